//! The stages of a fault.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use quorumeter_record::FaultStage;
use quorumeter_targets::session::Member;
use quorumeter_zk::four_letter::{Mode, Srvr};

use super::command::RunningCommand;
use super::proof::{self, SILENCE};
use super::victim::is_leader;
use super::{FaultError, FaultKind, Means, Seen, Tell, Victim, seen};
use crate::ask::Asker;
use crate::launch::child::{State, poll_after};
use crate::launch::{self, Launched, STOP_GRACE};

/// Longest wait for one answer of a member that should be well.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// How soon after the fault a member must say that it leads so that it led before it: an election takes at least 200 ms
/// (`finalizeWait` of ZooKeeper's FastLeaderElection).
const AT_ONCE: Duration = Duration::from_millis(150);

/// Between two looks at a member that is to serve again.
const SERVING_POLL: Duration = Duration::from_millis(20);

/// Does one fault once. An error of any method has been told already, as `Failed`, `Skipped` or `WrongVictim`.
///
/// Dropping it while a fault is in effect lets paused members continue and runs the user's command that clears the fault;
/// members that were killed stay so.
#[derive(Debug)]
pub struct Injector {
    pub(super) kind: FaultKind,
    victim: Victim,
    pub(super) members: Vec<Member>,
    means: Means,
    pub(super) asker: Asker,
    interrupted: Arc<AtomicBool>,
    /// Of every member, once prepared.
    pub(super) before: Vec<Before>,
    /// Whom it is done to; of a fault with several steps, in all of them that are known beforehand.
    pub(super) victims: Vec<usize>,
    asked: Option<Instant>,
    active: Option<Instant>,
    /// Whether the victim was the right one, once that is known.
    confirmed: Option<Result<(), String>>,
    clear_told: bool,
    is_cleared: bool,
    /// Connections of the load that were reset.
    connections_reset: u32,
    /// Members that have been broken and not been mended.
    down: BTreeMap<usize, Broken>,
    /// Members that have ever been broken.
    pub(super) broken: BTreeSet<usize>,
    commands: Vec<VictimsCommand>,
}

/// What is known of a member before the fault.
#[derive(Debug, Clone, Default)]
pub(super) struct Before {
    pub(super) seen: Seen,
    server_id: Option<String>,
    /// The folder of its data, where it has data that this process can see.
    data: Option<PathBuf>,
}

/// How a member was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    Ended,
    Paused,
    ByCommand,
}

#[derive(Debug)]
struct VictimsCommand {
    victim: usize,
    what: &'static str,
    running: RunningCommand,
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

    fn look_before(&mut self) -> Result<(), FaultError> {
        if let Some(reason) = self.means.refusal(self.kind) {
            return Err(FaultError::Skipped(reason));
        }
        if let Some(beyond) = self.victims.iter().find(|victim| **victim >= self.members.len()) {
            let (number, members) = (*beyond as u32 + 1, self.members.len());
            return Err(super::NoVictim::Number { number, members }.into());
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
            let data = self.data_of(place)?.filter(|data| proof::has_data(data));
            before.push(Before { seen, server_id: self.asker.server_id(member, ANSWER_LIMIT), data });
        }
        self.before = before;
        Ok(())
    }

    /// Whether the victims have the role for which they were chosen, now that it counts.
    fn look_again(&mut self) -> Result<(), FaultError> {
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

    /// Tells `Asked`, and breaks them.
    pub(super) fn break_members(
        &mut self,
        victims: &[usize],
        detail: &str,
        tell: Tell<'_>,
    ) -> Result<(), FaultError> {
        let ids = self.ids_of(victims)?;
        self.asked.get_or_insert(Instant::now());
        tell(FaultStage::Asked, victims, detail);
        if let Means::Client(reset) = &self.means {
            let whose: Vec<Option<usize>> = match self.kind {
                FaultKind::SessionStorm => vec![None],
                _ => victims.iter().copied().map(Some).collect(),
            };
            for member in whose {
                self.connections_reset += reset(member).map_err(FaultError::Reset)?;
            }
            return Ok(());
        }
        // Known before anything is done, so that whatever happens it is undone.
        for victim in victims {
            self.broken.insert(*victim);
            self.down.insert(*victim, self.how_broken());
        }
        match (&self.means, self.kind) {
            (Means::Launched(launched), FaultKind::Pause) => {
                ids.iter().try_for_each(|id| launched.pause(*id))?;
            }
            (Means::Launched(launched), FaultKind::Stop | FaultKind::Restart | FaultKind::RollingRestart) => {
                launched.terminate(&ids, STOP_GRACE)?;
            }
            (Means::Launched(launched), _) => ids.iter().try_for_each(|id| launched.kill(*id))?,
            (Means::Commands { fault, timeout, .. }, _) => {
                let (fault, timeout) = (fault.clone(), *timeout);
                victims.iter().try_for_each(|victim| self.run("fault", *victim, &fault, timeout))?;
            }
            (Means::Client(_), _) => {}
        }
        Ok(())
    }

    fn how_broken(&self) -> Broken {
        match (&self.means, self.kind) {
            (Means::Launched(_), FaultKind::Pause) => Broken::Paused,
            (Means::Launched(_), _) => Broken::Ended,
            _ => Broken::ByCommand,
        }
    }

    fn run(
        &mut self,
        what: &'static str,
        victim: usize,
        command: &str,
        limit: Duration,
    ) -> Result<(), FaultError> {
        let member = self.members[victim].address;
        let all: Vec<String> = self.members.iter().map(|member| member.address.to_string()).collect();
        let role = self.before[victim].seen.role.map_or("unknown", Mode::name);
        let environment = [
            ("QUORUMETER_VICTIM", member.to_string()),
            ("QUORUMETER_ROLE", role.to_owned()),
            ("QUORUMETER_MEMBERS", all.join(",")),
            ("QUORUMETER_FAULT", self.kind.name().to_owned()),
        ];
        let running = RunningCommand::start(command, &environment, limit)
            .map_err(|source| FaultError::Command { what, member, source })?;
        self.commands.push(VictimsCommand { victim, what, running });
        Ok(())
    }

    /// Whether every command has ended well.
    fn commands_are_over(&mut self) -> Result<bool, FaultError> {
        let mut are_over = true;
        for VictimsCommand { victim, what, running } in &mut self.commands {
            let member = self.members[*victim].address;
            are_over &= running.poll().map_err(|source| FaultError::Command { what, member, source })?;
        }
        if are_over {
            self.commands.clear();
        }
        Ok(are_over)
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
            let process = self.process_of(victim)?;
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
        let term = self.victims.iter().filter_map(|victim| self.before[*victim].seen.term()).max();
        let is_asked = |place: &usize| !self.victims.contains(place) || self.kind == FaultKind::Reset;
        let places: Vec<usize> = (0..self.members.len()).filter(is_asked).collect();
        let members: Vec<Member> = places.iter().map(|place| self.members[*place].clone()).collect();
        let mut victims_now = Vec::new();
        for (place, answer) in places.into_iter().zip(self.asker.srvr_of_all(&members, SILENCE)) {
            let Ok(Srvr { mode, zxid, .. }) = answer.told else { continue };
            let (address, now) = (self.members[place].address, super::term(zxid));
            if self.victims.contains(&place) {
                victims_now.push(Some(mode));
            } else if mode == Mode::Leader
                && Some(now) >= term
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

    /// Undoes what was done to these, and waits for nothing that comes of it. The first error is returned once all of them
    /// have had their turn.
    pub(super) fn mend(&mut self, members: &[usize]) -> Result<(), FaultError> {
        // A command that breaks a member must not go on while another mends it.
        self.commands.retain(|command| command.what != "fault" || !members.contains(&command.victim));
        let mut first_error = None;
        for member in members {
            let Some(how) = self.down.get(member).copied() else { continue };
            match self.mend_one(*member, how) {
                Ok(()) => {
                    self.down.remove(member);
                }
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    fn mend_one(&mut self, member: usize, how: Broken) -> Result<(), FaultError> {
        match (&self.means, how) {
            (Means::Launched(launched), Broken::Paused) => {
                Ok(launched.resume(id_of(launched, &self.members[member])?)?)
            }
            (Means::Launched(launched), _) => {
                let id = id_of(launched, &self.members[member])?;
                // It was told to end: nothing is started again over one that still does.
                launched.terminate(&[id], STOP_GRACE)?;
                if let Some(dir) = &self.before[member].data
                    && !proof::has_data(dir)
                {
                    return Err(FaultError::DataGone {
                        member: self.members[member].address,
                        dir: dir.clone(),
                    });
                }
                Ok(launched.start_again(id)?)
            }
            (Means::Commands { clear: Some(clear), timeout, .. }, _) => {
                let (clear, timeout) = (clear.clone(), *timeout);
                self.run("clear", member, &clear, timeout)
            }
            (Means::Commands { clear: None, .. } | Means::Client(_), _) => Ok(()),
        }
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
        if let Means::Launched(launched) = &self.means {
            launched.check_start(id_of(launched, member)?)?;
        }
        match self.process_of(place)? {
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

    /// State of a member's process, where it is one of this process's children.
    fn process_of(&self, place: usize) -> Result<Option<State>, FaultError> {
        match &self.means {
            Means::Launched(launched) => Ok(Some(launched.state(id_of(launched, &self.members[place])?)?)),
            _ => Ok(None),
        }
    }

    /// The folder of a launched ZooKeeper's data.
    fn data_of(&self, place: usize) -> Result<Option<PathBuf>, FaultError> {
        match &self.means {
            Means::Launched(launched) if launched.kind == launch::Kind::Zookeeper => {
                let id = id_of(launched, &self.members[place])?;
                let own = launched.members.iter().find(|member| member.id == id);
                Ok(own.map(|member| member.dir.join("data")))
            }
            _ => Ok(None),
        }
    }

    /// Numbers of launched members; empty for others.
    fn ids_of(&self, places: &[usize]) -> Result<Vec<u32>, FaultError> {
        match &self.means {
            Means::Launched(launched) => {
                places.iter().map(|place| id_of(launched, &self.members[*place])).collect()
            }
            _ => Ok(Vec::new()),
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

impl Drop for Injector {
    fn drop(&mut self) {
        let not_ended: Vec<usize> =
            self.down.iter().filter(|(_, how)| **how != Broken::Ended).map(|(member, _)| *member).collect();
        // Nobody is left to be told of an error.
        let _ = self.mend(&not_ended);
        self.commands.retain(|command| command.what == "clear");
        while let Ok(false) = self.commands_are_over() {
            thread::sleep(SERVING_POLL);
        }
    }
}

/// The number of the launched member at a target's address.
fn id_of(launched: &Launched, member: &Member) -> Result<u32, FaultError> {
    let own = launched.members.iter().find(|own| {
        own.address == member.address || own.secure.is_some_and(|address| address == member.address)
    });
    own.map(|own| own.id).ok_or_else(|| {
        FaultError::Skipped(format!(
            "{} was not started by this tool, which cannot signal it",
            member.address
        ))
    })
}
