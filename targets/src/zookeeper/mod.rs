//! ZooKeeper, and everything that speaks its protocol.
//!
//! | module | what it knows |
//! |---|---|
//! | [`layout`] | where a run's nodes are |
//! | [`dial`] | connection, handshake, credentials |
//! | [`connection`] | the pipelined connection of a load session |
//! | [`outcome`] | which error codes prove that a write was not applied |
//! | [`root`] | the part of the tree that belongs to a run |
//! | [`client`] | a small client for everything that is not measured |
//! | [`admin`] | four-letter words |
//! | [`admin_server`] | commands of the AdminServer |
//! | [`driver`] | the pieces put together |

pub mod admin;
pub mod admin_server;
pub mod client;
pub mod connection;
pub mod dial;
pub mod driver;
pub mod layout;
pub mod outcome;
pub mod root;

pub use client::Client;
pub use dial::{Auth, DialSettings};
pub use driver::ZooKeeper;
pub use layout::{Dataset, Layout};
pub use root::{Root, RootError};
