//! The stages of a fault.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use quorumeter_record::FaultStage;
use quorumeter_targets::session::Member;

use super::act::{Broken, VictimsCommand};
use super::{FaultError, FaultKind, Means, Seen, Tell, Victim, seen};
use crate::ask::Asker;

/// Longest wait for one answer of a member that should be well.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Does one fault once. An error of any method has been told already, as `Failed`, `Skipped` or `WrongVictim`.
///
/// Dropping it while a fault is in effect lets paused members continue and runs the user's command that clears the fault;
/// members that were killed stay so.
#[derive(Debug)]
pub struct Injector {
    pub(super) kind: FaultKind,
    pub(super) victim: Victim,
    pub(super) members: Vec<Member>,
    pub(super) means: Means,
    pub(super) asker: Asker,
    pub(super) interrupted: Arc<AtomicBool>,
    /// Of every member, once prepared.
    pub(super) before: Vec<Before>,
    /// Whom it is done to; of a fault with several steps, in all of them that are known beforehand.
    pub(super) victims: Vec<usize>,
    pub(super) asked: Option<Instant>,
    pub(super) active: Option<Instant>,
    /// Whether the victim was the right one, once that is known.
    pub(super) confirmed: Option<Result<(), String>>,
    pub(super) clear_told: bool,
    pub(super) is_cleared: bool,
    /// Connections of the load that were reset.
    pub(super) connections_reset: u32,
    /// Members that have been broken and not been mended.
    pub(super) down: BTreeMap<usize, Broken>,
    /// Members that have ever been broken.
    pub(super) broken: BTreeSet<usize>,
    pub(super) commands: Vec<VictimsCommand>,
}

/// What is known of a member before the fault.
#[derive(Debug, Clone, Default)]
pub(super) struct Before {
    pub(super) seen: Seen,
    pub(super) server_id: Option<String>,
    /// The folder of its data, where it has data that this process can see.
    pub(super) data: Option<PathBuf>,
}

impl Injector {
    /// For a fault on members in the order of the target.
    ///
    /// # Errors
    /// When nobody can be asked for want of files or memory.
    pub fn new(
        kind: FaultKind,
        victim: Victim,
        members: Vec<Member>,
        means: Means,
    ) -> Result<Injector, FaultError> {
        Ok(Injector {
            kind,
            victim,
            members,
            means,
            asker: Asker::new().map_err(FaultError::Asking)?,
            interrupted: Arc::default(),
            before: Vec::new(),
            victims: Vec::new(),
            asked: None,
            active: None,
            confirmed: None,
            clear_told: false,
            is_cleared: false,
            connections_reset: 0,
            down: BTreeMap::new(),
            broken: BTreeSet::new(),
            commands: Vec::new(),
        })
    }

    /// While this is true, whatever waits ends soon with [`FaultError::Interrupted`].
    pub fn interruption(&self) -> Arc<AtomicBool> {
        self.interrupted.clone()
    }

    /// What all members are now, in their order; `limit` bounds the whole.
    pub fn roles(&self, limit: Duration) -> Vec<Seen> {
        seen(&self.asker, &self.members, limit)
    }

    /// Sees that all that the fault needs is there, and keeps what the members are before it. `victims` are positions, as
    /// [`Victim::choose`] returns them.
    ///
    /// # Errors
    /// [`FaultError::Skipped`] when the fault cannot be done by these means, and when a victim does not serve.
    pub fn prepare(&mut self, victims: &[usize], tell: Tell<'_>) -> Result<(), FaultError> {
        self.victims = victims.to_vec();
        let prepared = self.look_before();
        self.told(prepared, tell)?;
        tell(FaultStage::Prepared, &self.victims, &self.described(&self.victims));
        Ok(())
    }

    /// Breaks the victims: of a fault with several steps, those of the first. `Asked` is told immediately before. A second
    /// call does nothing.
    ///
    /// # Errors
    /// [`FaultError::WrongVictim`], before anything is done, when a victim has not the role any more for which it was
    /// chosen, and whatever keeps the fault from being done.
    pub fn inject(&mut self, tell: Tell<'_>) -> Result<(), FaultError> {
        if self.asked.is_some() {
            return Ok(());
        }
        let right = self.look_again();
        self.told(right, tell)?;
        let first = self.first_victims();
        let done = self.break_members(&first, &self.described(&first), tell);
        self.told(done, tell)
    }

    /// Waits until the fault shows in every victim, and returns the instant since which it has been in effect at the latest:
    /// that is when `Active` is told, or, where it shows by an answer that does not come, when the question was asked.
    /// A fault with several steps then goes on to its last; `limit` bounds each wait.
    ///
    /// # Errors
    /// [`FaultError::NotProven`] when it does not show in time, and whatever keeps the steps from being done.
    pub fn prove_active(&mut self, limit: Duration, tell: Tell<'_>) -> Result<Instant, FaultError> {
        if let Some(active) = self.active {
            return Ok(active);
        }
        let proven = self.prove_first_and_carry_on(limit, tell);
        self.told(proven, tell)
    }

    /// Asks the members that are left, right after the fault, whether the victim was who it was to be. Of a fault with
    /// several steps this has been done after the first, and what came of it is returned.
    ///
    /// # Errors
    /// [`FaultError::WrongVictim`].
    pub fn confirm_victim(&mut self, tell: Tell<'_>) -> Result<(), FaultError> {
        match self.confirmed.clone() {
            Some(confirmed) => confirmed.map_err(FaultError::WrongVictim),
            None => {
                let right = self.confirm(tell);
                self.told(right, tell)
            }
        }
    }

    /// Mends what is broken: `ClearAsked` is told immediately before. A second call does nothing but what an earlier one
    /// could not do.
    ///
    /// # Errors
    /// [`FaultError::DataGone`], and whatever keeps a member from being started or a command from being run. Every other
    /// member has been mended then.
    pub fn clear(&mut self, tell: Tell<'_>) -> Result<(), FaultError> {
        if self.asked.is_none() {
            return Ok(());
        }
        let down: Vec<usize> = self.down.keys().copied().collect();
        if !self.clear_told {
            self.clear_told = true;
            tell(FaultStage::ClearAsked, if down.is_empty() { &self.victims } else { &down }, "");
        }
        let mended = self.mend(&down);
        self.told(mended, tell)
    }

    /// Waits until every member that was broken serves: it runs, has a role, gives a session that can be closed, and is the
    /// member that it was.
    ///
    /// # Errors
    /// [`FaultError::NotCleared`] when it does not in time, and whatever is told on the way by commands and processes.
    pub fn prove_cleared(&mut self, limit: Duration, tell: Tell<'_>) -> Result<(), FaultError> {
        if self.asked.is_none() || self.is_cleared {
            return Ok(());
        }
        let members: Vec<usize> =
            if self.broken.is_empty() { self.victims.clone() } else { self.broken.iter().copied().collect() };
        let serving = self.wait_until_serving(&members, limit);
        let told = self.told(serving, tell)?;
        self.is_cleared = true;
        tell(FaultStage::Cleared, &members, &told);
        Ok(())
    }

    fn told<T>(&self, result: Result<T, FaultError>, tell: Tell<'_>) -> Result<T, FaultError> {
        if let Err(error) = &result {
            tell(error.stage(), &self.victims, &error.to_string());
        }
        result
    }

    fn prove_first_and_carry_on(&mut self, limit: Duration, tell: Tell<'_>) -> Result<Instant, FaultError> {
        if self.asked.is_none() {
            return Err(FaultError::TooEarly("injected"));
        }
        let first = self.first_victims();
        let active = self.prove(&first, limit, tell)?;
        self.active = Some(active);
        self.carry_on(&first, limit, tell)?;
        Ok(active)
    }
}

impl Drop for Injector {
    fn drop(&mut self) {
        let not_ended: Vec<usize> =
            self.down.iter().filter(|(_, how)| **how != Broken::Ended).map(|(member, _)| *member).collect();
        // Nobody is left to be told of an error.
        let _ = self.mend(&not_ended);
        self.wait_for_clear_commands();
    }
}
