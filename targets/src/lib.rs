//! How to talk to each kind of system.
//!
//! | module | what it knows |
//! |---|---|
//! | [`clock`] | the run's one monotonic clock |
//! | [`url`] | target URLs |
//! | [`operation`] | the operations of a workload, and what each system makes of them |
//! | [`session`] | submit and complete: the interface between the load generator and a system |
//! | [`policy`] | client policies: what a client does when its connection is gone |
//! | [`socket`] | a non-blocking socket that tells when it is ready |
//! | [`spelling`] | what is wrong with a key that somebody wrote |
//! | [`units`] | values with a unit, as people write them |
//! | `source` | where connections come from when ports run out |
//! | [`tls`] | certificates, and what may go wrong with them |
//! | [`stream`] | a connection that is plain or secured, before it is a session's |
//! | [`http`] | questions over HTTP, bounded in time and bytes |
//! | [`zookeeper`] | ZooKeeper and everything that speaks its protocol |

pub mod clock;
pub mod http;
pub mod operation;
pub mod policy;
pub mod session;
pub mod socket;
mod source;
pub mod spelling;
pub mod stream;
pub mod tls;
pub mod units;
pub mod url;
pub mod zookeeper;

pub use clock::Clock;
pub use operation::{Change, Created, Nodes, OpKind, Operation, Value};
pub use session::{Completion, Connection, ConnectionError, Driver, Outcome, Sink};
pub use tls::{Tls, TlsError, TlsOptions};
pub use url::{System, TargetUrl};
