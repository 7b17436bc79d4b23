//! What is done to the members: breaking and mending.

use std::thread;
use std::time::{Duration, Instant};

use quorumeter_record::FaultStage;
use quorumeter_zk::four_letter::Mode;

use super::command::RunningCommand;
use super::injector::Injector;
use super::{FaultError, FaultKind, Means, Tell, proof};
use crate::launch::STOP_GRACE;

/// How a member was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    Ended,
    Paused,
    ByCommand,
}

/// A command that runs for a victim.
#[derive(Debug)]
pub(super) struct VictimsCommand {
    victim: usize,
    /// `fault` or `clear`.
    pub(super) what: &'static str,
    running: RunningCommand,
}

impl Injector {
    /// Tells `Asked`, and breaks them.
    pub(super) fn break_members(
        &mut self,
        victims: &[usize],
        detail: &str,
        tell: Tell<'_>,
    ) -> Result<(), FaultError> {
        let mut ids = Vec::new();
        for victim in victims {
            ids.extend(self.means.launched(&self.members[*victim])?.map(|(_, id)| id));
        }
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

    /// Whether every command has ended well. A member whose clear command did not is as broken as before.
    pub(super) fn commands_are_over(&mut self) -> Result<bool, FaultError> {
        let mut are_over = true;
        for VictimsCommand { victim, what, running } in &mut self.commands {
            let member = self.members[*victim].address;
            are_over &= running.poll().map_err(|source| {
                if *what == "clear" {
                    self.down.insert(*victim, Broken::ByCommand);
                }
                FaultError::Command { what, member, source }
            })?;
        }
        if are_over {
            self.commands.clear();
        }
        Ok(are_over)
    }

    /// Ends the commands that break members, and waits for those that mend them, however these end.
    pub(super) fn wait_for_clear_commands(&mut self) {
        self.commands.retain(|command| command.what == "clear");
        while !self.commands.is_empty() {
            self.commands.retain_mut(|command| matches!(command.running.poll(), Ok(false)));
            thread::sleep(Duration::from_millis(5));
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
        if let Some((launched, id)) = self.means.launched(&self.members[member])? {
            if how == Broken::Paused {
                return Ok(launched.resume(id)?);
            }
            // It was told to end: nothing is started again over one that still does.
            launched.terminate(&[id], STOP_GRACE)?;
            if let Some(dir) = &self.before[member].data
                && !proof::has_data(dir)
            {
                return Err(FaultError::DataGone { member: self.members[member].address, dir: dir.clone() });
            }
            return Ok(launched.start_again(id)?);
        }
        let Means::Commands { clear: Some(clear), timeout, .. } = &self.means else { return Ok(()) };
        let (clear, timeout) = (clear.clone(), *timeout);
        self.run("clear", member, &clear, timeout)
    }
}
