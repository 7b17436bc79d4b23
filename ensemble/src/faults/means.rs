//! By what a fault is done.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quorumeter_targets::session::Member;

use super::{FaultError, FaultKind};
use crate::launch::child::State;
use crate::launch::{Kind, Launched};

/// Resets the load's connections to the member at this position, or all of them, and returns how many these were.
pub type ResetConnections = Box<dyn Fn(Option<usize>) -> Result<u32, String> + Send>;

/// By what a fault is done.
pub enum Means {
    /// Signals to members that this process has started.
    Launched(Arc<Launched>),
    /// The user's own commands, run by `sh -c` once for each victim, at once for all of them. In their environment are
    /// `QUORUMETER_VICTIM` (its client address), `QUORUMETER_ROLE` (`leader`, …), `QUORUMETER_MEMBERS` (the client addresses
    /// of all members, with commas between them) and `QUORUMETER_FAULT` (the kind).
    Commands {
        /// What breaks a member.
        fault: String,
        /// What undoes that; `None` where nothing is to be undone.
        clear: Option<String>,
        /// How long each may take.
        timeout: Duration,
    },
    /// The load itself, for faults of its connections.
    Client(ResetConnections),
}

impl Means {
    /// Why a fault cannot be done by this, if it cannot.
    pub(super) fn refusal(&self, kind: FaultKind) -> Option<String> {
        match self {
            Means::Client(_) if kind.is_clients() => None,
            Means::Client(_) => Some(format!("{kind} cannot be done by connections of the load")),
            _ if kind.is_clients() => Some(format!("{kind} can only be done by the load itself")),
            Means::Launched(_) if kind == FaultKind::Command => {
                Some("the fault `command` is done by a command, and none was given".to_owned())
            }
            Means::Commands { clear: None, .. } if kind.needs_clear() => {
                Some(format!("{kind} is undone by a command of yours, and none was given for that"))
            }
            _ => None,
        }
    }

    /// The launched ensemble, and the number in it of the member at a target's address; `None` for members elsewhere.
    pub(super) fn launched(&self, member: &Member) -> Result<Option<(&Launched, u32)>, FaultError> {
        let Means::Launched(launched) = self else { return Ok(None) };
        let own = launched.members.iter().find(|own| {
            own.address == member.address || own.secure.is_some_and(|address| address == member.address)
        });
        own.map(|own| Some((&**launched, own.id))).ok_or_else(|| {
            let address = member.address;
            FaultError::Skipped(format!("{address} was not started by this tool, which cannot signal it"))
        })
    }

    /// State of a member's process, where it is one of this process's children.
    pub(super) fn process_of(&self, member: &Member) -> Result<Option<State>, FaultError> {
        let launched = self.launched(member)?;
        Ok(launched.map(|(launched, id)| launched.state(id)).transpose()?)
    }

    /// The folder of a launched ZooKeeper's data.
    pub(super) fn data_of(&self, member: &Member) -> Result<Option<PathBuf>, FaultError> {
        let launched = self.launched(member)?.filter(|(launched, _)| launched.kind == Kind::Zookeeper);
        let dir = launched.and_then(|(launched, id)| launched.members.iter().find(|own| own.id == id));
        Ok(dir.map(|own| own.dir.join("data")))
    }
}

impl fmt::Debug for Means {
    /// Without the commands, in which secrets may stand.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Means::Launched(_) => "Launched(…)",
            Means::Commands { .. } => "Commands(…)",
            Means::Client(_) => "Client(…)",
        })
    }
}
