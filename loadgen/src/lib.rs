//! The load generator: plan, pacing, engine and recorder.
//!
//! | module | what it knows |
//! |---|---|
//! | [`plan`] | from a workload file to a validated workload |
//! | [`schedule`] | when ops start: pure arithmetic |
//! | [`keys`], [`values`] | which node, and what is written |
//! | [`engine`] | worker threads, sessions, recording |
//!
//! The engine knows systems only through [`quorumeter_targets::Driver`], and time only through the run's one
//! clock. What it records goes into the run record and nowhere else.

pub mod engine;
pub mod keys;
pub mod plan;
pub mod schedule;
pub mod values;

pub use engine::{Engine, EngineError, Interval, Live, OpTimes, Resets, Told, WatchFailure};
pub use plan::{Workload, workload_schema};
