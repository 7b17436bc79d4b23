//! Whether the victims are who they are to be: before the fault, at it, and right after it.

use std::time::{Duration, Instant};

use quorumeter_record::FaultStage;
use quorumeter_targets::session::Member;
use quorumeter_zk::four_letter::{Mode, Srvr};

use super::injector::{ANSWER_LIMIT, Before, Injector};
use super::proof::{self, SILENCE};
use super::victim::is_leader;
use super::{FaultError, FaultKind, NoVictim, Seen, Tell, Victim, seen, term};

/// How soon after the fault a member must say that it leads so that it led before it: an election takes at least 200 ms
/// (`finalizeWait` of ZooKeeper's FastLeaderElection).
const AT_ONCE: Duration = Duration::from_millis(150);

impl Injector {
    pub(super) fn look_before(&mut self) -> Result<(), FaultError> {
        if let Some(reason) = self.means.refusal(self.kind) {
            return Err(FaultError::Skipped(reason));
        }
        if let Some(beyond) = self.victims.iter().find(|victim| **victim >= self.members.len()) {
            let (number, members) = (*beyond as u32 + 1, self.members.len());
            return Err(NoVictim::Number { number, members }.into());
        }
        let answers = self.asker.srvr_of_all(&self.members, ANSWER_LIMIT);
        let mut before = Vec::new();
        for (place, (member, answer)) in self.members.iter().zip(answers).enumerate() {
            let seen = match answer.told {
                Ok(srvr) => Seen { role: Some(srvr.mode), zxid: Some(srvr.zxid) },
                Err(reason) if self.victims.contains(&place) => {
                    return Err(FaultError::NotServing { member: member.address, reason });
                }
                Err(_) => Seen::default(),
            };
            let data = self.means.data_of(member)?.filter(|data| proof::has_data(data));
            before.push(Before { seen, server_id: self.asker.server_id(member, ANSWER_LIMIT), data });
        }
        self.before = before;
        Ok(())
    }

    /// Whether the victims have the role for which they were chosen, now that it counts.
    pub(super) fn look_again(&mut self) -> Result<(), FaultError> {
        if self.before.is_empty() {
            return Err(FaultError::TooEarly("prepared"));
        }
        let members: Vec<Member> = self.victims.iter().map(|victim| self.members[*victim].clone()).collect();
        let answers = seen(&self.asker, &members, SILENCE);
        for (victim, now) in self.victims.iter().zip(&answers) {
            // One that is too busy to answer is the one that it was a moment ago.
            if now.role.is_some() {
                self.before[*victim].seen = *now;
            }
        }
        let have = |is: fn(Option<Mode>) -> bool| {
            self.victims.iter().any(|victim| is(self.before[*victim].seen.role))
        };
        let right = match self.victim {
            Victim::Leader | Victim::Majority => have(is_leader),
            Victim::Follower => have(|role| role == Some(Mode::Follower)),
            Victim::Observer => have(|role| role == Some(Mode::Observer)),
            Victim::Any | Victim::Minority | Victim::All | Victim::Number(_) => true,
        };
        let wrong = || {
            let described = self.described(&self.victims);
            FaultError::WrongVictim(format!(
                "{described}, and was to be {}; nothing was done to it",
                self.victim
            ))
        };
        if right { Ok(()) } else { Err(wrong()) }
    }

    /// Asks once whether the victim was the right one, and tells when it was.
    pub(super) fn confirm(&mut self, tell: Tell<'_>) -> Result<(), FaultError> {
        let Some(asked) = self.asked else { return Err(FaultError::TooEarly("injected")) };
        let confirmed = self.who_else_leads(asked);
        self.confirmed = Some(confirmed.clone());
        let detail = confirmed.map_err(FaultError::WrongVictim).map(|()| self.described(&self.victims))?;
        tell(FaultStage::VictimConfirmed, &self.victims, &detail);
        Ok(())
    }

    /// An error names the member that led when the victim was to.
    fn who_else_leads(&self, asked: Instant) -> Result<(), String> {
        if !matches!(self.victim, Victim::Leader | Victim::Majority) {
            return Ok(());
        }
        let term_before = self.victims.iter().filter_map(|victim| self.before[*victim].seen.term()).max();
        let is_asked = |place: &usize| !self.victims.contains(place) || self.kind == FaultKind::Reset;
        let places: Vec<usize> = (0..self.members.len()).filter(is_asked).collect();
        let members: Vec<Member> = places.iter().map(|place| self.members[*place].clone()).collect();
        let mut victims_now = Vec::new();
        for (place, answer) in places.into_iter().zip(self.asker.srvr_of_all(&members, SILENCE)) {
            let Ok(Srvr { mode, zxid, .. }) = answer.told else { continue };
            let (address, now) = (self.members[place].address, term(zxid));
            if self.victims.contains(&place) {
                victims_now.push(Some(mode));
            } else if mode == Mode::Leader
                && Some(now) >= term_before
                && answer.at.saturating_duration_since(asked) <= AT_ONCE
            {
                return Err(format!(
                    "{address} leads in term {now}, and said so sooner after the fault than an election takes; the victim \
                     was {}",
                    self.described(&self.victims)
                ));
            }
        }
        if victims_now.is_empty() || victims_now.into_iter().any(is_leader) {
            Ok(())
        } else {
            let described = self.described(&self.victims);
            Err(format!("{described} before the fault, and does not lead now, although it left it alone"))
        }
    }

    /// Addresses and roles before the fault.
    pub(super) fn described(&self, places: &[usize]) -> String {
        let one = |place: &usize| {
            let role = self.before[*place].seen.role.map_or("silent", Mode::name);
            format!("{} is {role}", self.members[*place].address)
        };
        places.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}
