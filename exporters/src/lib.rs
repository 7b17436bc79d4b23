//! What members tell of themselves: asked, read, put into one vocabulary, and told on.
//!
//! ```text
//! members ──► ask ──► zookeeper, keeper, etcd, consul ──► Sample ──► derive ──► families ──► serve: /metrics
//!                      (text in, a sample or an error out)   │      canary, bench, own ─┘   └──► otlp
//!                                                            └── poller ──► lines of the run record
//! ```
//!
//! | module | what it knows |
//! |---|---|
//! | [`catalog`] | every metric: name, type, meaning, and where each system tells it |
//! | [`sample`] | what one member told, in the words of the catalog |
//! | [`zookeeper`] | the answers of ZooKeeper and of what speaks like it |
//! | [`keeper`] | what ClickHouse Keeper alone answers |
//! | [`etcd`], [`consul`] | the answers of these |
//! | [`prometheus_text`] | the text format of the servers' own metrics |
//! | [`parse_error`] | why an answer tells nothing |
//! | [`ask`], [`asked`] | asking all members of a cluster once, whatever the system, and what came of it |
//! | [`derive`] | what follows from all members together |
//! | [`poller`] | asking the members of a run again and again, without one of them holding up another |
//! | [`record_line`] | what a member told, as a line of the run record |
//! | [`canary`] | what a client feels |
//! | [`bench`] | what a measurement tells of itself while it goes |
//! | [`own`] | what this process itself uses |
//! | [`family`] | series of metrics: what expositions are written from |
//! | [`exposition`] | Prometheus's text |
//! | [`serve`] | HTTP: `/metrics` and what goes with it |
//! | [`otlp`] | pushing metrics, and traces of a run, to a collector |
//! | [`service`] | an exporter as a whole: its clusters, gathered at each scrape |
//! | [`config`] | the configuration file of an exporter |

pub mod ask;
pub mod asked;
pub mod bench;
pub mod canary;
pub mod catalog;
pub mod config;
pub mod consul;
pub mod derive;
pub mod etcd;
pub mod exposition;
pub mod family;
pub mod keeper;
pub mod otlp;
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
