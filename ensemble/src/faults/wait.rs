//! What is waited for: that a fault shows, and that members serve again.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use quorumeter_record::FaultStage;
use quorumeter_zk::four_letter::Mode;

use super::injector::{ANSWER_LIMIT, Injector};
use super::proof::{self, SILENCE};
use super::{FaultError, Tell};
use crate::launch::child::{State, poll_after};

/// Between two looks at a member that is to serve again.
const SERVING_POLL: Duration = Duration::from_millis(20);

impl Injector {
    /// Waits until the fault shows in all of them, and tells `Active`.
    pub(super) fn prove(
        &mut self,
        victims: &[usize],
        limit: Duration,
        tell: Tell<'_>,
    ) -> Result<Instant, FaultError> {
        if self.kind.is_clients() {
            return self.prove_reset(victims, limit, tell);
        }
        let begun = Instant::now();
        let mut since = begun;
        let mut shown = Vec::new();
        for victim in victims {
            let (instant, how) = self.wait_for_proof(*victim, begun, limit)?;
            since = since.max(instant);
            shown.push(format!("{}: {how}", self.members[*victim].address));
        }
        tell(FaultStage::Active, victims, &shown.join("; "));
        while !self.commands_are_over()? {
            self.pause(Duration::from_millis(1))?;
        }
        Ok(since)
    }

    fn wait_for_proof(
        &mut self,
        victim: usize,
        begun: Instant,
        limit: Duration,
    ) -> Result<(Instant, String), FaultError> {
        loop {
            let process = self.means.process_of(&self.members[victim])?;
            let (member, before) = (&self.members[victim], self.before[victim].seen);
            let seen = match proof::look_for(self.kind, &self.asker, member, process, before) {
                Ok(proof) => return Ok((proof.since, proof.how)),
                Err(seen) => seen,
            };
            self.commands_are_over()?;
            if begun.elapsed() >= limit {
                let member = self.members[victim].address;
                return Err(FaultError::NotProven { fault: self.kind, member, limit, seen });
            }
            self.pause(poll_after(begun.elapsed()))?;
        }
    }

    fn prove_reset(
        &mut self,
        victims: &[usize],
        limit: Duration,
        tell: Tell<'_>,
    ) -> Result<Instant, FaultError> {
        let now = Instant::now();
        if self.connections_reset == 0 {
            let member = self.members[victims.first().copied().unwrap_or_default()].address;
            let seen = "the load has reset no connection, as it had none there".to_owned();
            return Err(FaultError::NotProven { fault: self.kind, member, limit, seen });
        }
        tell(FaultStage::Active, victims, &format!("{} connections were reset", self.connections_reset));
        Ok(now)
    }

    /// Waits until these members serve, and says in words as what.
    pub(super) fn wait_until_serving(
        &mut self,
        members: &[usize],
        limit: Duration,
    ) -> Result<String, FaultError> {
        let begun = Instant::now();
        let mut told = Vec::new();
        for member in members {
            let reason = loop {
                let commands_are_over = self.commands_are_over()?;
                let serving = self.serves(*member, limit.saturating_sub(begun.elapsed()))?;
                match serving {
                    Ok(role) if commands_are_over => {
                        told.push(format!("{} serves as {}", self.members[*member].address, role.name()));
                        break None;
                    }
                    Ok(_) if begun.elapsed() >= limit => {
                        break Some("the clear command has not ended".to_owned());
                    }
                    Err(reason) if begun.elapsed() >= limit => break Some(reason),
                    _ => self.pause(SERVING_POLL)?,
                }
            };
            if let Some(reason) = reason {
                let member = self.members[*member].address;
                return Err(FaultError::NotCleared { member, limit, reason });
            }
        }
        Ok(told.join("; "))
    }

    /// Whether a member serves now; the inner error says what is missing.
    fn serves(&self, place: usize, left: Duration) -> Result<Result<Mode, String>, FaultError> {
        let member = &self.members[place];
        if let Some((launched, id)) = self.means.launched(member)? {
            launched.check_start(id)?;
        }
        match self.means.process_of(member)? {
            None | Some(State::Running) => {}
            Some(State::Stopped) => return Ok(Err("its process is stopped".to_owned())),
            Some(State::Gone) => return Ok(Err("its process is gone".to_owned())),
        }
        // The last look may still take as long as an answer may.
        let limit = left.clamp(SILENCE, ANSWER_LIMIT);
        let srvr = match self.asker.check_serving(member, limit) {
            Ok(srvr) => srvr,
            Err(reason) => return Ok(Err(reason)),
        };
        if let Some(before) = &self.before[place].server_id {
            match self.asker.server_id(member, limit) {
                Some(now) if now != *before => {
                    let (member, before) = (member.address, before.clone());
                    return Err(FaultError::AnotherIdentity { member, before, now });
                }
                Some(_) => {}
                None => return Ok(Err("it does not tell its serverId any more".to_owned())),
            }
        }
        Ok(Ok(srvr.mode))
    }

    /// Waits a moment.
    ///
    /// # Errors
    /// When nobody wants to wait any longer.
    pub(super) fn pause(&self, moment: Duration) -> Result<(), FaultError> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(FaultError::Interrupted);
        }
        thread::sleep(moment);
        Ok(())
    }
}
