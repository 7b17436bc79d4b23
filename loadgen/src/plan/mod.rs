//! The plan: from a workload file and overrides to a validated workload.
//!
//! | module | what it knows |
//! |---|---|
//! | [`file`] | the fields of a workload file, with their documentation and defaults |
//! | [`read`] | TOML in, fields out; errors that point at the key |
//! | [`workload`] | the validated workload |
//! | `check` | from fields to workload: ranges, and combinations that make no sense |

mod check;
pub mod file;
pub mod read;
pub mod workload;

pub use file::{Cycle, WatchKind, WatchOn, WorkloadFile, workload_schema};
pub use quorumeter_targets::units;
pub use read::{Override, PlanError, read};
pub use workload::{Credentials, Life, Load, Placement, Stream, StreamOp, Watch, Workload};
