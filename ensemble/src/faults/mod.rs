//! Faults: members that are broken on purpose, with the proof that they are, and that they serve again.
//!
//! ```text
//! prepare ─► inject ─► prove_active ─► confirm_victim ─► … ─► clear ─► prove_cleared
//! Prepared   Asked     Active          VictimConfirmed        ClearAsked  Cleared
//! ```
//!
//! A fault is data: a [`FaultKind`], a [`Victim`] and the [`Means`] to do it. An [`Injector`] does it once and tells each
//! stage at its very instant. That a fault is in effect is seen on its victim, and never concluded from the order that was
//! given: one that nobody can see is an error.
//!
//! | file | what is in it |
//! |---|---|
//! | `kind` | what can be done, and what that needs |
//! | `victim` | to whom |
//! | `injector` | the stages of a fault |
//! | `look` | whether the victims are who they are to be |
//! | `act` | breaking and mending |
//! | `wait` | waiting for a proof, and for members to serve |
//! | `proof` | how a fault shows in a member |
//! | `sequence` | faults that have several steps |
//! | `means` | by what it is done: signals, the user's commands, the load's own connections |
//! | `command` | a command of the user's, bounded in time |
//!
//! Everything here blocks; in asynchronous code, call it from a thread that may.

mod act;
mod command;
mod injector;
mod kind;
mod look;
mod means;
mod proof;
mod sequence;
#[cfg(test)]
mod tests;
mod victim;
mod wait;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use quorumeter_record::FaultStage;
use quorumeter_targets::session::Member;

use crate::ask::Asker;
use crate::launch::LaunchError;
pub use command::CommandError;
pub use injector::Injector;
pub use kind::FaultKind;
pub use means::{Means, ResetConnections};
pub use victim::{NoVictim, Role, Victim};

/// Is told each stage at its instant: the stage, the positions of the members that it is about, and more about it in words.
pub type Tell<'a> = &'a mut dyn FnMut(FaultStage, &[usize], &str);

/// Why a fault is not what it was to be.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// It cannot be done here.
    #[error("{0}")]
    Skipped(String),
    /// A method was called before those that go before it.
    #[error("the fault has not been {0} yet")]
    TooEarly(&'static str),
    /// There is nobody to do it to.
    #[error(transparent)]
    NoVictim(#[from] NoVictim),
    /// What members are asked with could not be made.
    #[error("cannot ask the members: {0}; allow more open files (ulimit -n), and try again")]
    Asking(io::Error),
    /// A victim does not serve before anything was done to it.
    #[error("{member} is no victim, as it does not serve before the fault: {reason}")]
    NotServing {
        /// Its client address.
        member: SocketAddr,
        /// What it did when it was asked.
        reason: String,
    },
    /// The victim is not who it was to be: the sample is invalid.
    #[error("the wrong victim: {0}")]
    WrongVictim(String),
    /// A member could not be signalled or started, or died.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// A command of the user's did not do what it was to.
    #[error("the {what} command for {member}: {source}")]
    Command {
        /// `fault` or `clear`.
        what: &'static str,
        /// Client address of the victim.
        member: SocketAddr,
        /// What happened.
        source: CommandError,
    },
    /// The load could not reset its connections.
    #[error("the load's connections could not be reset: {0}")]
    Reset(String),
    /// The fault shows nowhere.
    #[error(
        "{member} shows no {fault} within {:.1} s: {seen}; nothing that is measured here would tell of the fault",
        .limit.as_secs_f64()
    )]
    NotProven {
        /// The fault.
        fault: FaultKind,
        /// Client address of the victim.
        member: SocketAddr,
        /// How long it was waited for.
        limit: Duration,
        /// What was last seen instead.
        seen: String,
    },
    /// A member does not serve after the fault was cleared, or after an earlier step of it.
    #[error("{member} does not serve again within {:.1} s: {reason}", .limit.as_secs_f64())]
    NotCleared {
        /// Its client address.
        member: SocketAddr,
        /// How long it was waited for.
        limit: Duration,
        /// What is missing.
        reason: String,
    },
    /// No other member becomes the leader.
    #[error("no other member leads and serves within {:.1} s: {reason}", .limit.as_secs_f64())]
    NoLeader {
        /// How long it was waited for.
        limit: Duration,
        /// What was last seen.
        reason: String,
    },
    /// A member has another number than before.
    #[error("{member} came back as another member: its serverId was {before} and is {now}")]
    AnotherIdentity {
        /// Its client address.
        member: SocketAddr,
        /// Its number before the fault.
        before: String,
        /// Its number now.
        now: String,
    },
    /// A member's data is gone.
    #[error(
        "{member} is not started again, as its data is gone: {} had logs and snapshots before the fault, and has none now",
        dir.display()
    )]
    DataGone {
        /// Its client address.
        member: SocketAddr,
        /// The folder of its data.
        dir: PathBuf,
    },
    /// Whoever waits for it has given up.
    #[error("the fault was interrupted")]
    Interrupted,
}

impl FaultError {
    /// The stage under which it stands on the timeline.
    fn stage(&self) -> FaultStage {
        match self {
            FaultError::Skipped(_) => FaultStage::Skipped,
            FaultError::WrongVictim(_) => FaultStage::WrongVictim,
            _ => FaultStage::Failed,
        }
    }
}

/// What a member tells of itself; `None` of one that does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its role.
    pub role: Role,
    /// The last transaction that it has applied.
    pub zxid: Option<i64>,
}

impl Seen {
    /// The term of its last transaction.
    pub fn term(&self) -> Option<i64> {
        self.zxid.map(term)
    }
}

/// ZooKeeper's term is the upper half of a zxid.
fn term(zxid: i64) -> i64 {
    zxid >> 32
}

/// Asks all members at once what they are; `limit` bounds the whole. The answers are in the order of the members.
///
/// # Errors
/// Only when nobody can be asked: a member that does not answer is a [`Seen`] without a role.
pub fn roles(members: &[Member], limit: Duration) -> Result<Vec<Seen>, FaultError> {
    Ok(seen(&Asker::new().map_err(FaultError::Asking)?, members, limit))
}

fn seen(asker: &Asker, members: &[Member], limit: Duration) -> Vec<Seen> {
    let answers = asker.srvr_of_all(members, limit).into_iter();
    answers
        .map(|answer| {
            answer.told.map_or_else(
                |_| Seen::default(),
                |srvr| Seen { role: Some(srvr.mode), zxid: Some(srvr.zxid) },
            )
        })
        .collect()
}
