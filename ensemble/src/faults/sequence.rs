//! Faults that have several steps.

use std::time::{Duration, Instant};

use quorumeter_record::FaultStage;
use quorumeter_zk::four_letter::Mode;

use super::victim::is_leader;
use super::{FaultError, FaultKind, Injector, Seen, Tell, seen};

/// Leaders that `kill-repeat` kills.
const KILLS: u32 = 3;

/// Longest wait for one answer of a member.
const ANSWER_LIMIT: Duration = Duration::from_millis(500);

/// Between two looks at members that elect a leader, or catch up.
const POLL: Duration = Duration::from_millis(10);

impl Injector {
    /// Whom the first step is done to.
    pub(super) fn first_victims(&self) -> Vec<usize> {
        match self.kind {
            FaultKind::RollingRestart => self.order().into_iter().take(1).collect(),
            _ => self.victims.clone(),
        }
    }

    /// Everybody, the leader last.
    fn order(&self) -> Vec<usize> {
        let mut order = self.victims.clone();
        order.sort_by_key(|victim| is_leader(self.before[*victim].seen.role));
        order
    }

    /// The steps after the first, whose proof has been told.
    pub(super) fn carry_on(
        &mut self,
        first: &[usize],
        limit: Duration,
        tell: Tell<'_>,
    ) -> Result<(), FaultError> {
        match self.kind {
            FaultKind::Restart | FaultKind::RestartAll => {
                self.confirm(tell)?;
                self.bring_back(first, limit, tell)
            }
            FaultKind::RollingRestart => {
                self.confirm(tell)?;
                self.restart_the_others(first, limit, tell)
            }
            FaultKind::KillRepeat => {
                self.confirm(tell)?;
                self.kill_new_leaders(first, limit, tell)
            }
            FaultKind::Kill
            | FaultKind::Stop
            | FaultKind::Pause
            | FaultKind::Reset
            | FaultKind::SessionStorm
            | FaultKind::Command => Ok(()),
        }
    }

    /// Starts members again, and tells `Cleared` when they serve.
    fn bring_back(&mut self, members: &[usize], limit: Duration, tell: Tell<'_>) -> Result<(), FaultError> {
        self.mend(members)?;
        let told = self.wait_until_serving(members, limit)?;
        tell(FaultStage::Cleared, members, &told);
        Ok(())
    }

    fn restart_the_others(
        &mut self,
        first: &[usize],
        limit: Duration,
        tell: Tell<'_>,
    ) -> Result<(), FaultError> {
        let order = self.order();
        let steps = order.len();
        for (step, victim) in order.into_iter().enumerate() {
            if !first.contains(&victim) {
                let detail = format!("restart {} of {steps}: {}", step + 1, self.described(&[victim]));
                self.break_members(&[victim], &detail, tell)?;
                self.prove(&[victim], limit, tell)?;
            }
            self.mend(&[victim])?;
            let told = self.wait_until_serving(&[victim], limit)?;
            self.wait_until_caught_up(victim, limit)?;
            tell(FaultStage::Cleared, &[victim], &told);
        }
        Ok(())
    }

    /// Waits until a member has applied what the others have by now.
    fn wait_until_caught_up(&self, member: usize, limit: Duration) -> Result<(), FaultError> {
        let begun = Instant::now();
        // A standalone member has nobody to catch up with.
        let roles = self.roles(ANSWER_LIMIT);
        let of_ensemble = roles.iter().filter(|seen| seen.role != Some(Mode::Standalone));
        let goal = of_ensemble.filter_map(|seen| seen.zxid).max();
        loop {
            let now = seen(&self.asker, &self.members[member..=member], ANSWER_LIMIT);
            let zxid = now.first().and_then(|seen| seen.zxid);
            if zxid >= goal && zxid.is_some() {
                return Ok(());
            }
            if begun.elapsed() >= limit {
                let reason = match (zxid, goal) {
                    (Some(zxid), Some(goal)) => {
                        format!(
                            "it is at zxid {zxid:#x}, and others were at {goal:#x} when it began to serve"
                        )
                    }
                    _ => "it does not answer".to_owned(),
                };
                return Err(FaultError::NotCleared { member: self.members[member].address, limit, reason });
            }
            self.pause(POLL)?;
        }
    }

    fn kill_new_leaders(
        &mut self,
        first: &[usize],
        limit: Duration,
        tell: Tell<'_>,
    ) -> Result<(), FaultError> {
        let mut last = first.to_vec();
        for kill in 2..=KILLS {
            let leader = self.wait_for_leader(&last, limit)?;
            let now = format!("kill {kill} of {KILLS}: {} leads now", self.members[leader].address);
            self.mend(&last)?;
            self.break_members(&[leader], &now, tell)?;
            self.prove(&[leader], limit, tell)?;
            last = vec![leader];
        }
        Ok(())
    }

    /// Waits until a member that is not among the `gone` leads and serves.
    fn wait_for_leader(&self, gone: &[usize], limit: Duration) -> Result<usize, FaultError> {
        let begun = Instant::now();
        loop {
            let roles = self.roles(ANSWER_LIMIT);
            let leader =
                (0..roles.len()).find(|place| is_leader(roles[*place].role) && !gone.contains(place));
            let reason = match leader {
                Some(leader) => match self.asker.check_serving(&self.members[leader], ANSWER_LIMIT) {
                    Ok(_) => return Ok(leader),
                    Err(reason) => format!("{} leads, and {reason}", self.members[leader].address),
                },
                None => format!("the members are {}", described(&roles)),
            };
            if begun.elapsed() >= limit {
                return Err(FaultError::NoLeader { limit, reason });
            }
            self.pause(POLL)?;
        }
    }
}

fn described(roles: &[Seen]) -> String {
    roles.iter().map(|seen| seen.role.map_or("silent", Mode::name)).collect::<Vec<_>>().join(", ")
}
