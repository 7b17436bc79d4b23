//! Sessions that come and go: each op is a session's life, or a turn in one.
//!
//! | cycle | an op | after it |
//! |---|---|---|
//! | `close` | connect, first op | held, closed |
//! | `drop` | connect, first op | held, its connection dropped |
//! | `expire` | connect, create an ephemeral node | silent, until an observer is told that the node is gone |
//! | `reattach` | drop the connection, connect again by the client policy, first op | kept alive until the next one |
//! | `idle` | none | kept alive |
//!
//! The op ends with the first op's reply; its stages, and what comes after it, are observed beside it.

mod idle;
mod life;
mod observer;
mod session;

pub(super) use idle::IdlePart;
pub(super) use life::Life;
pub(super) use observer::ObserverPart;
