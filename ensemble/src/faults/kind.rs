//! The kinds of faults, and what each of them needs.

use std::fmt;
use std::str::FromStr;

use super::victim::{NoVictim, Role, Victim, voters};

/// What is done to the victims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The process dies at once (SIGKILL), and is started again when the fault is cleared.
    Kill,
    /// The process is asked to end (SIGTERM), and is started again when the fault is cleared.
    Stop,
    /// The process hangs (SIGSTOP) with its connections open, and goes on (SIGCONT) when the fault is cleared.
    Pause,
    /// The process is asked to end, and is started again as soon as it is gone.
    Restart,
    /// Every member is restarted, one after the other, the leader last.
    RollingRestart,
    /// Every member is killed, and started again as soon as all are gone.
    RestartAll,
    /// The leader is killed, and then each new one as soon as it serves; of those before, each is started again then.
    KillRepeat,
    /// Every connection of the load to the victims is reset.
    Reset,
    /// Every connection of the load is reset at once.
    SessionStorm,
    /// What the user's own command does.
    Command,
}

impl FaultKind {
    /// Every one.
    pub const ALL: [FaultKind; 10] = [
        FaultKind::Kill,
        FaultKind::Stop,
        FaultKind::Pause,
        FaultKind::Restart,
        FaultKind::RollingRestart,
        FaultKind::RestartAll,
        FaultKind::KillRepeat,
        FaultKind::Reset,
        FaultKind::SessionStorm,
        FaultKind::Command,
    ];

    /// Its name in options and records.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::Kill => "kill",
            FaultKind::Stop => "stop",
            FaultKind::Pause => "pause",
            FaultKind::Restart => "restart",
            FaultKind::RollingRestart => "rolling-restart",
            FaultKind::RestartAll => "restart-all",
            FaultKind::KillRepeat => "kill-repeat",
            FaultKind::Reset => "reset",
            FaultKind::SessionStorm => "session-storm",
            FaultKind::Command => "command",
        }
    }

    /// Whom it is done to unless told.
    pub fn default_victim(self) -> Victim {
        if self.is_for_all() { Victim::All } else { Victim::Leader }
    }

    /// Whether it is done to the whole ensemble.
    pub(super) fn is_for_all(self) -> bool {
        matches!(self, FaultKind::RollingRestart | FaultKind::RestartAll | FaultKind::SessionStorm)
    }

    /// Whether it consists of several steps, all of which are gone through before its recovery is waited for.
    pub fn is_compound(self) -> bool {
        matches!(
            self,
            FaultKind::Restart | FaultKind::RollingRestart | FaultKind::RestartAll | FaultKind::KillRepeat
        )
    }

    /// Whether it is done to connections of the load, and leaves the members alone.
    pub fn is_clients(self) -> bool {
        matches!(self, FaultKind::Reset | FaultKind::SessionStorm)
    }

    /// Whether members stay broken until it is undone; whatever else a command does may end by itself.
    pub fn needs_clear(self) -> bool {
        !self.is_clients()
            && !matches!(self, FaultKind::Command | FaultKind::Restart | FaultKind::RollingRestart)
    }

    /// What is to be known before this is done to `victim` in an ensemble of these roles: sentences for the user. It
    /// depends on how many there are of each role, and on which of them is the leader it does not.
    ///
    /// # Errors
    /// When there is no such victim, or it makes no sense: then the error says what does.
    pub fn needs(self, victim: Victim, roles: &[Role]) -> Result<Vec<String>, NoVictim> {
        if self.is_for_all() && victim != Victim::All {
            return Err(NoVictim::Senseless(format!(
                "{self} is done to all members, and not to `{victim}`; leave the victim out"
            )));
        }
        if self == FaultKind::KillRepeat && victim != Victim::Leader {
            return Err(NoVictim::Senseless(format!(
                "{self} kills one leader after the other, and not `{victim}`; leave the victim out"
            )));
        }
        let (voters, victims) = (voters(roles), victim.choose(roles, 1)?);
        match self {
            FaultKind::KillRepeat if voters < 3 => Err(NoVictim::TooFew {
                what: "kill-repeat, as the others elect a new leader each time,".to_owned(),
                needed: 3,
                voters,
            }),
            FaultKind::RollingRestart if roles.len() < 2 => Err(NoVictim::Senseless(
                "rolling-restart of a single member is `restart`: take that, or more members".to_owned(),
            )),
            FaultKind::KillRepeat if voters < 5 => Ok(vec![format!(
                "Of {voters} voters a quorum is left at the second kill only once the first victim has started again: \
                 its start counts as outage."
            )]),
            FaultKind::RollingRestart if voters < 3 => Ok(vec![format!(
                "Of {voters} voters every one is needed for a quorum: each restart of one is an outage."
            )]),
            FaultKind::RollingRestart
            | FaultKind::KillRepeat
            | FaultKind::Reset
            | FaultKind::SessionStorm => Ok(Vec::new()),
            FaultKind::Command => Ok(Vec::new()),
            FaultKind::RestartAll => Ok(vec![
                "No member is left: the service is back only once they have started again.".to_owned(),
            ]),
            FaultKind::Kill | FaultKind::Stop | FaultKind::Pause | FaultKind::Restart => {
                // In turn it is one of them.
                let voting = if victim == Victim::Any { voters.min(1) } else { voting(&victims, roles) };
                Ok(without_quorum(self, voters, voting).into_iter().collect())
            }
        }
    }
}

/// How many of the victims vote.
fn voting(victims: &[usize], roles: &[Role]) -> usize {
    victims.iter().filter(|victim| voters(&roles[**victim..=**victim]) == 1).count()
}

fn without_quorum(kind: FaultKind, voters: usize, victims: usize) -> Option<String> {
    let (left, quorum) = (voters - victims, voters / 2 + 1);
    let after = match kind {
        FaultKind::Restart => "once what was restarted serves again",
        _ => "after the fault is cleared",
    };
    (victims > 0 && left < quorum).then(|| {
        format!(
            "Of {voters} {} {left} {} left, and a quorum is {quorum}: the service is back only {after}.",
            if voters == 1 { "voter" } else { "voters" },
            if left == 1 { "is" } else { "are" },
        )
    })
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FaultKind {
    type Err = String;

    fn from_str(text: &str) -> Result<FaultKind, String> {
        let known = FaultKind::ALL.into_iter().find(|kind| kind.name() == text);
        known.ok_or_else(|| {
            format!("{text:?} is no fault; there are {}", FaultKind::ALL.map(FaultKind::name).join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use quorumeter_zk::four_letter::Mode;

    use super::*;

    fn ensemble(voters: usize, observers: usize) -> Vec<Role> {
        if voters == 1 && observers == 0 {
            return vec![Some(Mode::Standalone)];
        }
        let followers = std::iter::repeat_n(Some(Mode::Follower), voters - 1);
        let observers = std::iter::repeat_n(Some(Mode::Observer), observers);
        std::iter::once(Some(Mode::Leader)).chain(followers).chain(observers).collect()
    }

    #[test]
    fn names_are_read_back_and_an_unknown_one_lists_them() {
        for kind in FaultKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        let error = "partition".parse::<FaultKind>().unwrap_err();
        assert!(error.starts_with("\"partition\" is no fault; there are kill, stop, pause"), "{error}");
    }

    #[test]
    fn what_leaves_no_quorum_is_told_and_what_makes_no_sense_is_refused() {
        use FaultKind::*;
        let all_of = |kind: FaultKind| (kind, kind.default_victim());
        for ((kind, victim), voters, observers, expected) in [
            (all_of(Kill), 3, 0, Ok(None)),
            (all_of(Kill), 2, 0, Ok(Some("Of 2 voters 1 is left, and a quorum is 2"))),
            (
                all_of(Kill),
                1,
                0,
                Ok(Some("Of 1 voter 0 are left, and a quorum is 1: the service is back only after")),
            ),
            (all_of(Restart), 1, 0, Ok(Some("once what was restarted serves again"))),
            (all_of(Pause), 4, 0, Ok(None)),
            ((Pause, Victim::Majority), 3, 0, Ok(Some("Of 3 voters 1 is left"))),
            ((Pause, Victim::Majority), 4, 0, Ok(Some("Of 4 voters 2 are left, and a quorum is 3"))),
            ((Stop, Victim::Minority), 5, 0, Ok(None)),
            ((Stop, Victim::All), 3, 1, Ok(Some("Of 3 voters 0 are left"))),
            ((Kill, Victim::Observer), 1, 1, Ok(None)),
            ((Kill, Victim::Any), 2, 5, Ok(Some("Of 2 voters 1 is left"))),
            ((Kill, Victim::Observer), 3, 0, Err("no member is an observer")),
            (all_of(KillRepeat), 5, 0, Ok(None)),
            (all_of(KillRepeat), 3, 0, Ok(Some("its start counts as outage"))),
            (all_of(KillRepeat), 2, 3, Err("needs at least 3 voters, and there are 2")),
            ((KillRepeat, Victim::Follower), 3, 0, Err("leave the victim out")),
            (all_of(RollingRestart), 3, 0, Ok(None)),
            (all_of(RollingRestart), 2, 0, Ok(Some("each restart of one is an outage"))),
            (all_of(RollingRestart), 1, 0, Err("take that, or more members")),
            ((RollingRestart, Victim::Leader), 3, 0, Err("not to `leader`")),
            (all_of(RestartAll), 1, 0, Ok(Some("No member is left"))),
            (all_of(SessionStorm), 1, 0, Ok(None)),
            ((SessionStorm, Victim::Any), 3, 0, Err("leave the victim out")),
            ((Reset, Victim::Number(2)), 1, 0, Err("no member 2")),
            ((Command, Victim::Majority), 3, 0, Ok(None)),
        ] {
            let what = format!("{kind} of {victim}, {voters}+{observers}");
            match (kind.needs(victim, &ensemble(voters, observers)), expected) {
                (Ok(notices), Ok(expected)) => {
                    assert_eq!(notices.len(), usize::from(expected.is_some()), "{what}: {notices:?}");
                    assert!(notices.iter().all(|n| n.contains(expected.unwrap())), "{what}: {notices:?}");
                }
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{what}: {error}"),
                (other, _) => panic!("{what}: {other:?}"),
            }
        }
    }
}
