//! All members, seen together.

use std::collections::BTreeMap;

use super::Memory;
use crate::asked::Asked;
use crate::sample::{Dialect, Role, Sample};

/// How far behind an etcd member's log may be so that the leader's log is enough to catch up: etcd keeps this many
/// entries behind a snapshot (`SnapshotCatchUpEntries`).
pub const ETCD_CATCH_UP: u64 = 5000;

/// The same of Consul (`raft_trailing_logs`, by default).
pub const CONSUL_CATCH_UP: u64 = 10_240;

/// What follows from all members together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// Whether a member leads in the greatest term, or most voters that are watched know a leader.
    pub(super) has_leader: bool,
    /// The greatest number of members that say to lead in one and the same term. One whose term is not known is alone
    /// in it.
    pub(super) leaders: usize,
    /// The greatest term that a member tells.
    pub(super) term: Option<u64>,
    /// Voters of the ensemble.
    pub(super) voters: Option<u64>,
    /// Voters that are up and have a leader.
    pub(super) serving_voters: u64,
    /// Voters that serve and are in sync, less a majority of all.
    pub(super) failure_tolerance: Option<i64>,
    /// By member: entries that it has yet to apply.
    pub(super) lags: Vec<Option<u64>>,
}

impl View {
    /// Puts the answers of all members together. `memory` has taken them in.
    pub(super) fn of(asked: &[Asked], memory: &Memory) -> View {
        let leader = leader(asked);
        let serving: Vec<&Sample> =
            samples(asked).filter(|sample| votes(sample) == Some(true) && follows(sample, leader)).collect();
        let watched_voters =
            asked.iter().filter(|asked| !memory.without_vote.contains(&asked.member)).count();
        let most_know_one = if watched_voters == 0 {
            samples(asked).any(|sample| sample.has_leader == Some(true))
        } else {
            serving.len() * 2 > watched_voters
        };
        let term = samples(asked).filter_map(|sample| sample.term).max();
        let voters = memory.voters;
        let all_are_watched = voters.is_some_and(|voters| watched_voters as u64 >= voters);
        let in_sync = voters_in_sync(&serving, leader, all_are_watched);
        // No more than there are: others only say that they vote.
        let on_the_map = |number: u64| voters.map_or(number, |voters| number.min(voters));
        let in_sync = in_sync.map(on_the_map);
        View {
            has_leader: most_know_one
                || leader.is_some_and(|leader| led_term(leader).is_none_or(|led| Some(led) >= term)),
            leaders: leaders(asked),
            term,
            voters,
            serving_voters: on_the_map(serving.len() as u64),
            failure_tolerance: voters
                .zip(in_sync)
                .filter(|_| memory.why_no_tolerance().is_none())
                .map(|(voters, in_sync)| in_sync as i64 - (voters as i64 / 2 + 1)),
            lags: asked.iter().map(|one| lag(one.sample.as_ref()?, leader, asked)).collect(),
        }
    }
}

/// What the members that answered told.
pub(super) fn samples(asked: &[Asked]) -> impl Iterator<Item = &Sample> {
    asked.iter().filter_map(|asked| asked.sample.as_ref())
}

/// Whether a member votes: by the voter map, or else by its role.
pub(super) fn votes(sample: &Sample) -> Option<bool> {
    sample.voter().or(match sample.role? {
        Role::Leader | Role::Follower | Role::Standalone => Some(true),
        Role::Observer => Some(false),
        Role::Candidate | Role::ReadOnly => None,
    })
}

/// How many voters there are, as the members tell it that answered: the one in the greatest term, a leader first, and of
/// two of those the one that knows more.
pub(super) fn voters(asked: &[Asked]) -> Option<u64> {
    let told = samples(asked).filter_map(|sample| {
        let alone = (sample.role == Some(Role::Standalone)).then_some(1);
        Some((sample.term, sample.role == Some(Role::Leader), sample.voters().or(alone)?))
    });
    told.max().map(|(.., voters)| voters)
}

/// The term in which this member knows somebody to lead, itself or another. A leader's is of the answer that says that it
/// leads: another answer of the same member may be of the next term already.
pub(super) fn led_term(sample: &Sample) -> Option<u64> {
    match sample.role {
        Some(Role::Leader) => sample.applied_term.or(sample.term),
        _ if sample.has_leader == Some(true) => sample.term,
        _ => None,
    }
}

fn is_leader(sample: &&Sample) -> bool {
    sample.role == Some(Role::Leader)
}

/// Who leads: of several, the one in the greatest term.
fn leader(asked: &[Asked]) -> Option<&Sample> {
    let standalone = || samples(asked).find(|sample| sample.role == Some(Role::Standalone));
    samples(asked).filter(is_leader).max_by_key(|sample| led_term(sample)).or_else(standalone)
}

fn leaders(asked: &[Asked]) -> usize {
    let mut by_term: BTreeMap<u64, usize> = BTreeMap::new();
    let mut alone = 0;
    for leader in samples(asked).filter(is_leader) {
        match led_term(leader) {
            Some(term) => *by_term.entry(term).or_default() += 1,
            None => alone = 1,
        }
    }
    by_term.into_values().max().unwrap_or_default().max(alone)
}

/// Whether a member has a leader that has not been deposed, as far as that can be told: a ZooKeeper follower's term follows
/// with the first write only.
fn follows(sample: &Sample, leader: Option<&Sample>) -> bool {
    let led = leader.and_then(led_term);
    let is_of_this_term = |term: Option<u64>| term.is_none() || led.is_none() || term >= led;
    match sample.role {
        Some(Role::Leader) => is_of_this_term(led_term(sample)),
        Some(Role::Standalone) => true,
        role => {
            let has_leader =
                sample.has_leader.unwrap_or(role == Some(Role::Follower) && sample.serving == Some(true));
            let tells_its_term = matches!(sample.system, Some(Dialect::Etcd | Dialect::Consul));
            has_leader && (!tells_its_term || is_of_this_term(sample.term))
        }
    }
}

/// How many voters are in sync; see the [module](super).
fn voters_in_sync(serving: &[&Sample], leader: Option<&Sample>, all_are_watched: bool) -> Option<u64> {
    let as_leader_knows =
        leader.and_then(|leader| leader.synced_followers).map(|followers| followers.saturating_add(1));
    if !all_are_watched {
        return as_leader_knows;
    }
    let greatest = serving.iter().filter_map(|sample| log_end(sample)).max();
    let is_in_sync = |sample: &&&Sample| {
        let limit = match sample.system {
            Some(Dialect::Etcd) => ETCD_CATCH_UP,
            Some(Dialect::Consul) => CONSUL_CATCH_UP,
            _ => return true,
        };
        greatest.zip(log_end(sample)).is_none_or(|(greatest, own)| greatest - own <= limit)
    };
    let seen = serving.iter().filter(is_in_sync).count() as u64;
    // Autopilot needs seconds after an election until it knows who is healthy.
    let counts_itself = leader.is_some_and(|leader| leader.system != Some(Dialect::Consul));
    Some(as_leader_knows.filter(|_| counts_itself).map_or(seen, |known| known.min(seen)))
}

/// The last entry that a member of etcd or Consul has or knows of.
fn log_end(sample: &Sample) -> Option<u64> {
    sample.last_index.or(sample.commit_index)
}

/// How many entries a member has yet to apply, of what the leader has in its term. What any member has in that term the
/// leader has had, too: the greatest is taken, because members are asked at slightly different instants.
fn lag(sample: &Sample, leader: Option<&Sample>, asked: &[Asked]) -> Option<u64> {
    if sample.system == Some(Dialect::Keeper) {
        // Of one answer of one member; without a leader it is what one had in the past.
        let is_led = sample.has_leader == Some(true) || sample.role == Some(Role::Leader);
        let known = sample.leader_commit_index.filter(|_| is_led)?;
        return known.checked_sub(sample.commit_index?);
    }
    type Told = fn(&Sample) -> Option<u64>;
    let (term_of, end_of): (Told, Told) = match sample.system? {
        Dialect::Etcd | Dialect::Consul => (|sample| sample.term, log_end),
        _ => (|sample| sample.applied_term, |sample| sample.applied_index),
    };
    let term = term_of(sample)?;
    if term_of(leader?) != Some(term) {
        return None;
    }
    let in_term = samples(asked).filter(|other| term_of(other) == Some(term));
    in_term.filter_map(end_of).max()?.checked_sub(sample.applied_index?)
}
