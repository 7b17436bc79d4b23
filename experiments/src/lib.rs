//! The orchestration of a measurement: what happens when, and what is left afterwards.
//!
//! | module | what it knows |
//! |---|---|
//! | [`run`] | one run: phases, clean-up, record |
//! | [`failover`] | a run with faults: how long clients are without the service |
//! | [`calibrate`] | what this machine's generator can do: many short runs |
//! | [`calibration`] | keeping that, and finding it again |
//! | [`ensembles`] | starting the ensemble that a run asks for |
//! | [`live`] | a run for the world outside, while it goes |
//! | [`observe`] | what a run tells while it goes |
//! | [`environment`] | the machine of the load generator |
//! | [`signals`] | Ctrl-C and its kin |
//! | `members` | samples of the members |
//! | `secrets` | what is kept out of the record |

pub mod calibrate;
pub mod calibration;
pub mod ensembles;
pub mod environment;
pub mod failover;
pub mod live;
mod members;
pub mod observe;
mod precheck;
pub mod run;
mod secrets;
pub mod signals;

pub use calibrate::{CalibrateError, CalibrateOptions, calibrate};
pub use ensembles::{EnsembleKind, EnsembleSpec};
pub use failover::{FailoverOptions, failover};
pub use live::{Audience, AudienceError};
pub use observe::{Numbers, Observer};
pub use run::{Failure, Finished, RunError, RunOptions, TargetSpec, run};
pub use signals::Signals;
