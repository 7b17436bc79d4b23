//! What survives between two scrapes.

use std::collections::{BTreeMap, BTreeSet};

use crate::asked::{Asked, ProblemKind};
use crate::derive::view;

/// What has to be known of earlier scrapes of a cluster: what is counted, and the voter map.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// By member and source: how often each thing went wrong. Of every source that was ever asked there is an entry of
    /// every kind, so that the first problem of a kind is a rise.
    problems: BTreeMap<String, BTreeMap<(&'static str, ProblemKind), u64>>,
    /// The greatest term in which somebody was known to lead.
    led_term: Option<u64>,
    leader_changes: u64,
    /// How many voters there are, as it was told last.
    pub(super) voters: Option<u64>,
    /// Whether any majority of them is a quorum, as it was told last.
    has_majorities: Option<bool>,
    /// Members that said that they do not vote when they last said anything of it.
    pub(super) without_vote: BTreeSet<String>,
}

impl Memory {
    /// Takes in what came of asking once.
    pub(super) fn take(&mut self, asked: &[Asked]) {
        for asked in asked {
            self.take_problems(asked);
            match asked.sample.as_ref().and_then(view::votes) {
                Some(true) => _ = self.without_vote.remove(&asked.member),
                Some(false) => _ = self.without_vote.insert(asked.member.clone()),
                None => {}
            }
        }
        let led_term = view::samples(asked).filter_map(view::led_term).max();
        if led_term > self.led_term {
            self.leader_changes += u64::from(self.led_term.is_some());
            self.led_term = led_term;
        }
        self.voters = view::voters(asked).or(self.voters);
        // Where members do not agree, some quorums are none for one of them.
        let told = view::samples(asked).filter_map(|sample| sample.has_majorities);
        self.has_majorities = told.reduce(|one, other| one && other).or(self.has_majorities);
    }

    /// Why the failure tolerance is not told, whatever members say.
    pub fn why_no_tolerance(&self) -> Option<&'static str> {
        (self.has_majorities == Some(false)).then_some(
            "quorum_failure_tolerance is not told: with groups or weights (group.N, weight.N) a quorum is no majority",
        )
    }

    fn take_problems(&mut self, asked: &Asked) {
        let counts = self.problems.entry(asked.member.clone()).or_default();
        let sources = asked.sources.iter().map(|(source, _)| *source);
        for source in sources.chain(asked.problems.iter().map(|problem| problem.source)) {
            if !counts.contains_key(&(source, ProblemKind::ALL[0])) {
                counts.extend(ProblemKind::ALL.map(|kind| ((source, kind), 0)));
            }
        }
        for problem in asked.problems.iter().filter(|_| !asked.is_counted) {
            *counts.entry((problem.source, problem.kind)).or_default() += 1;
        }
    }

    /// How often each thing went wrong with a member.
    pub(super) fn problems(
        &self,
        member: &str,
    ) -> impl Iterator<Item = (&'static str, ProblemKind, u64)> + use<'_> {
        let counts = self.problems.get(member).into_iter().flatten();
        counts.map(|((source, kind), count)| (*source, *kind, *count))
    }

    /// `None` until somebody has led in a term that is known: nobody could have seen a change.
    pub(super) fn leader_changes(&self) -> Option<u64> {
        self.led_term.map(|_| self.leader_changes)
    }
}
