//! Tests that need several rooms, or the binary.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod addresses;
mod audience;
mod broken_servers;
mod calibrate;
mod command_line;
mod engine;
mod exporting;
mod failover;
mod interrupted;
mod lives;
mod options;
mod outcomes;
mod pipelines;
mod read_only;
mod secrets;
#[path = "../support/mod.rs"]
mod support;
mod watching;
