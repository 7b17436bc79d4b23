//! What members tell of themselves: asked, read, put into one vocabulary, and told on.
//!
//! | module | what it knows |
//! |---|---|
//! | [`catalog`] | every metric: name, type, meaning, and where each system tells it |
//! | [`sample`] | what one member told, in the words of the catalog |
//! | [`asked`] | what came of asking the members once |
//! | [`family`] | series of metrics: what expositions are written from |
//! | [`exposition`] | Prometheus's text |
//! | [`serve`] | HTTP: `/metrics` and what goes with it |
//! | [`service`] | all of it put together: clusters that are asked when somebody scrapes |
//! | [`config`] | the configuration file of an exporter |
//! | [`canary`] | what a client feels |
//! | [`own`] | what this process itself uses |
//! | [`parse_error`] | why an answer tells nothing |
//! | [`prometheus_text`] | the text format of the servers' own metrics |
//! | [`zookeeper`] | the answers of ZooKeeper and of what speaks like it; text in, fields or an error out |
//! | [`etcd`] | the answers of etcd |
//! | [`consul`] | the answers of Consul |
//! | [`ask`] | asking all members of a cluster once, whatever the system |
//! | [`derive`] | what follows from all members together |
//! | [`zookeeper`] | the answers of ZooKeeper and of what speaks like it: text in, a sample or an error out |
//! | [`keeper`] | the same of what ClickHouse Keeper alone answers |
//! | [`record_line`] | what a member told, as a line of the run record |
//! | [`poller`] | asking every member again and again, without one of them holding up another |

pub mod ask;
pub mod asked;
pub mod canary;
pub mod catalog;
pub mod config;
pub mod consul;
pub mod derive;
pub mod etcd;
pub mod exposition;
pub mod family;
pub mod keeper;
pub mod own;
pub mod parse_error;
pub mod poller;
pub mod prometheus_text;
pub mod record_line;
pub mod sample;
pub mod serve;
pub mod service;
pub mod zookeeper;

pub use asked::{Asked, Problem, ProblemKind};
pub use family::{Families, Family, Series};
pub use parse_error::ParseError;
pub use poller::{PolledMember, Poller};
pub use sample::{Dialect, Role, Sample};
