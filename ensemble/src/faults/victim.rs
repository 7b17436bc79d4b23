//! Whom a fault is done to.

use std::fmt;
use std::str::FromStr;

use quorumeter_zk::four_letter::Mode;

/// A member's role by its own word; `None` of one that does not tell.
pub type Role = Option<Mode>;

/// Whom a fault is done to, as the user says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Victim {
    /// The leader, or the one standalone member.
    Leader,
    /// A follower, another one each repetition.
    Follower,
    /// An observer, another one each repetition.
    Observer,
    /// A member of whatever role, another one each repetition.
    Any,
    /// As many voters as an ensemble may lose, others each repetition, the leader among them or not.
    Minority,
    /// One voter more than that: the leader, and others each repetition.
    Majority,
    /// Every member.
    All,
    /// The member of this number, from 1, in the order of the target.
    Number(u32),
}

/// Why nobody is chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoVictim {
    /// Nobody has the role.
    #[error("no member is {article} {role} now: the members say that they are {found}")]
    Role {
        /// `a` or `an`, or `the`.
        article: &'static str,
        /// The role.
        role: &'static str,
        /// The roles that there are.
        found: String,
    },
    /// There is no such member.
    #[error("there is no member {number}: they are numbered from 1 to {members}")]
    Number {
        /// The number.
        number: u32,
        /// How many members there are.
        members: usize,
    },
    /// There are too few voters.
    #[error("{what} needs at least {needed} voters, and there are {voters}")]
    TooFew {
        /// What needs them.
        what: String,
        /// How many it needs.
        needed: usize,
        /// How many there are.
        voters: usize,
    },
    /// The fault cannot be done to that victim.
    #[error("{0}")]
    Senseless(String),
}

/// How many of the members vote.
pub(super) fn voters(roles: &[Role]) -> usize {
    roles.iter().filter(|role| is_voter(**role)).count()
}

fn is_voter(role: Role) -> bool {
    matches!(role, Some(Mode::Leader | Mode::Follower | Mode::Standalone))
}

pub(super) fn is_leader(role: Role) -> bool {
    matches!(role, Some(Mode::Leader | Mode::Standalone))
}

impl Victim {
    /// Positions of the victims among the members, in ascending order. `roles` are those of all members, in the order of
    /// the target; `repetition` counts from 1 and turns the choice on by one member each time.
    pub fn choose(self, roles: &[Role], repetition: u32) -> Result<Vec<usize>, NoVictim> {
        let turn = repetition.saturating_sub(1) as usize;
        let those = |is: fn(Role) -> bool| -> Vec<usize> {
            (0..roles.len()).filter(|place| is(roles[*place])).collect()
        };
        let one_of = |is: fn(Role) -> bool, article, role| match those(is).as_slice() {
            [] => Err(NoVictim::Role { article, role, found: told(roles) }),
            candidates => Ok(vec![candidates[turn % candidates.len()]]),
        };
        let voters = those(is_voter);
        let minority = voters.len().saturating_sub(1) / 2;
        match self {
            Victim::Leader => one_of(is_leader, "the", "leader"),
            Victim::Follower => one_of(|role| role == Some(Mode::Follower), "a", "follower"),
            Victim::Observer => one_of(|role| role == Some(Mode::Observer), "an", "observer"),
            Victim::Any => one_of(|role| role.is_some(), "a", "member that answers"),
            Victim::All => Ok((0..roles.len()).collect()),
            Victim::Number(number) => match (number as usize).checked_sub(1) {
                Some(place) if place < roles.len() => Ok(vec![place]),
                _ => Err(NoVictim::Number { number, members: roles.len() }),
            },
            Victim::Minority if minority == 0 => {
                Err(NoVictim::TooFew { what: "a minority".to_owned(), needed: 3, voters: voters.len() })
            }
            Victim::Minority => Ok(some_of(&voters, minority, turn)),
            Victim::Majority => {
                let mut victims = one_of(is_leader, "the", "leader")?;
                let others: Vec<usize> = voters.into_iter().filter(|place| *place != victims[0]).collect();
                victims.extend(some_of(&others, minority, turn));
                victims.sort_unstable();
                Ok(victims)
            }
        }
    }
}

/// `count` of the candidates, from the one whose turn it is on.
fn some_of(candidates: &[usize], count: usize, turn: usize) -> Vec<usize> {
    let mut chosen: Vec<usize> =
        (0..count).map(|step| candidates[(turn % candidates.len() + step) % candidates.len()]).collect();
    chosen.sort_unstable();
    chosen
}

fn told(roles: &[Role]) -> String {
    if roles.is_empty() {
        return "none at all".to_owned();
    }
    roles.iter().map(|role| role.map_or("silent", Mode::name)).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Victim::Leader => f.write_str("leader"),
            Victim::Follower => f.write_str("follower"),
            Victim::Observer => f.write_str("observer"),
            Victim::Any => f.write_str("any"),
            Victim::Minority => f.write_str("minority"),
            Victim::Majority => f.write_str("majority"),
            Victim::All => f.write_str("all"),
            Victim::Number(number) => write!(f, "{number}"),
        }
    }
}

impl FromStr for Victim {
    type Err = String;

    fn from_str(text: &str) -> Result<Victim, String> {
        let named = [
            Victim::Leader,
            Victim::Follower,
            Victim::Observer,
            Victim::Any,
            Victim::Minority,
            Victim::Majority,
            Victim::All,
        ];
        if let Some(victim) = named.into_iter().find(|victim| victim.to_string() == text) {
            return Ok(victim);
        }
        match text.parse() {
            Ok(number) if number > 0 => Ok(Victim::Number(number)),
            _ => Err(format!(
                "{text:?} is no victim; there are {}, and the number of a member, from 1",
                named.map(|victim| victim.to_string()).join(", ")
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter a member: leader, follower, observer, standalone, read-only, and `-` for silence.
    fn roles(text: &str) -> Vec<Role> {
        let role = |letter| match letter {
            'L' => Some(Mode::Leader),
            'F' => Some(Mode::Follower),
            'O' => Some(Mode::Observer),
            'S' => Some(Mode::Standalone),
            'R' => Some(Mode::ReadOnly),
            _ => None,
        };
        text.chars().map(role).collect()
    }

    #[test]
    fn victims_turn_with_the_repetition() {
        for (victim, members, expected) in [
            (Victim::Leader, "FLF", vec![vec![1], vec![1], vec![1]]),
            (Victim::Leader, "S", vec![vec![0], vec![0]]),
            (Victim::Follower, "FLF", vec![vec![0], vec![2], vec![0]]),
            (Victim::Follower, "LF-", vec![vec![1], vec![1]]),
            (Victim::Observer, "LFFOO", vec![vec![3], vec![4], vec![3]]),
            (Victim::Any, "FLFO", vec![vec![0], vec![1], vec![2], vec![3], vec![0]]),
            (Victim::Any, "F-L", vec![vec![0], vec![2], vec![0]]),
            (Victim::Minority, "FLF", vec![vec![0], vec![1], vec![2], vec![0]]),
            (Victim::Minority, "FLFFF", vec![vec![0, 1], vec![1, 2], vec![2, 3], vec![3, 4], vec![0, 4]]),
            (Victim::Minority, "OLFF", vec![vec![1], vec![2], vec![3]]),
            (Victim::Majority, "FLF", vec![vec![0, 1], vec![1, 2], vec![0, 1]]),
            (Victim::Majority, "FLFFF", vec![vec![0, 1, 2], vec![1, 2, 3], vec![1, 3, 4], vec![0, 1, 4]]),
            (Victim::Majority, "FL", vec![vec![1]]),
            (Victim::Majority, "S", vec![vec![0]]),
            (Victim::All, "FLO", vec![vec![0, 1, 2], vec![0, 1, 2]]),
            (Victim::Number(3), "FLF", vec![vec![2], vec![2]]),
            (Victim::Number(3), "FL-", vec![vec![2]]),
        ] {
            for (place, expected) in expected.into_iter().enumerate() {
                let repetition = place as u32 + 1;
                assert_eq!(
                    victim.choose(&roles(members), repetition),
                    Ok(expected),
                    "{victim} of {members} in repetition {repetition}"
                );
            }
        }
        assert_eq!(Victim::Any.choose(&roles("LFF"), u32::MAX), Ok(vec![(u32::MAX as usize - 1) % 3]));
    }

    #[test]
    fn who_is_missing_is_said() {
        for (victim, members, expected) in [
            (
                Victim::Leader,
                "F-R",
                "no member is the leader now: the members say that they are follower, silent, read-only",
            ),
            (Victim::Leader, "", "none at all"),
            (Victim::Follower, "S", "no member is a follower now"),
            (Victim::Observer, "LFF", "no member is an observer now"),
            (Victim::Any, "--", "no member is a member that answers now"),
            (Victim::Minority, "LF", "a minority needs at least 3 voters, and there are 2"),
            (Victim::Minority, "LFOO", "there are 2"),
            (Victim::Majority, "FF", "no member is the leader"),
            (Victim::Number(0), "LFF", "there is no member 0: they are numbered from 1 to 3"),
            (Victim::Number(4), "LFF", "there is no member 4"),
        ] {
            let error = victim.choose(&roles(members), 1).unwrap_err().to_string();
            assert!(error.contains(expected), "{victim} of {members}: {error}");
        }
    }

    #[test]
    fn victims_are_read_back_and_an_unknown_one_lists_them() {
        for text in ["leader", "follower", "observer", "any", "minority", "majority", "all", "1", "12"] {
            assert_eq!(text.parse::<Victim>().unwrap().to_string(), text);
        }
        for text in ["", "0", "-1", "leaders", "Leader", "1.5"] {
            let error = text.parse::<Victim>().unwrap_err();
            assert!(error.contains("there are leader, follower") && error.contains("from 1"), "{error}");
        }
    }
}
