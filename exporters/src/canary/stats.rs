//! What the canary has felt so far.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::catalog::{self, BUCKETS_NS};
use crate::family::Families;
use crate::sample::{Histogram, Value};

/// An operation of the canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A write.
    Write,
    /// A read from the member that the session is connected to.
    Read,
    /// A sync and a read.
    SyncRead,
    /// A write, and its event at a watcher.
    Watch,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Operation; 4] =
        [Operation::Write, Operation::Read, Operation::SyncRead, Operation::Watch];

    /// Its name in labels.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Write => "write",
            Operation::Read => "read",
            Operation::SyncRead => "sync_read",
            Operation::Watch => "watch",
        }
    }
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// As it should.
    Ok,
    /// Nothing was done: refused, or no connection.
    Failed,
    /// Nobody knows.
    Unknown,
}

impl Outcome {
    const NAMES: [&str; 3] = ["ok", "failed", "unknown"];
}

/// Counts and times of all operations, from 0.
#[derive(Debug, Default)]
pub(super) struct Stats {
    of: [OfOne; 4],
    /// What is wrong with the nodes.
    of_nodes: Option<String>,
}

#[derive(Debug, Default)]
struct OfOne {
    /// By outcome.
    ended: [u64; 3],
    missed: u64,
    /// Those at or below each bound, and above the one before.
    buckets: [u64; BUCKETS_NS.len()],
    sum: Duration,
    last_ok: Option<SystemTime>,
    trouble: Option<String>,
    died: Option<Death>,
}

/// Since when an operation is not even tried, and why.
#[derive(Debug)]
struct Death {
    at: Instant,
    rate_per_s: f64,
    why: String,
}

impl Stats {
    /// Notes an operation that ended, `took` after it was due; `trouble` says why it was not well.
    pub(super) fn ended(
        &mut self,
        operation: Operation,
        outcome: Outcome,
        took: Duration,
        trouble: Option<String>,
    ) {
        let one = &mut self.of[operation as usize];
        one.ended[outcome as usize] += 1;
        let bucket = BUCKETS_NS.iter().position(|bound| took.as_nanos() <= u128::from(*bound));
        if let Some(bucket) = bucket {
            one.buckets[bucket] += 1;
        }
        one.sum += took;
        if outcome == Outcome::Ok {
            one.last_ok = Some(SystemTime::now());
        }
        one.trouble = trouble;
    }

    /// Notes operations that were due and not sent.
    pub(super) fn missed(&mut self, operation: Operation, missed: u64) {
        self.of[operation as usize].missed += missed;
    }

    /// Notes why the nodes of the operations are not as they should be, or that they are.
    pub(super) fn of_nodes(&mut self, trouble: Option<String>) {
        self.of_nodes = trouble;
    }

    /// Notes that nobody performs an operation from now on, though it is due as often as this: all that fall due are
    /// missed. What it died of first counts.
    pub(super) fn died(&mut self, operation: Operation, rate_per_s: f64, why: &str) {
        let one = &mut self.of[operation as usize];
        one.died.get_or_insert_with(|| Death { at: Instant::now(), rate_per_s, why: why.to_owned() });
    }

    /// Whether an operation has died.
    pub(super) fn has_died(&self) -> bool {
        self.of.iter().any(|one| one.died.is_some())
    }

    pub(super) fn trouble(&self) -> Option<String> {
        let death = self.of.iter().find_map(|one| one.died.as_ref());
        match death {
            Some(death) => Some(death.why.clone()),
            // Of operations without their nodes it is the reason.
            None => self.of_nodes.clone().or_else(|| self.of.iter().find_map(|one| one.trouble.clone())),
        }
    }

    pub(super) fn families(&self, cluster: &str, into: &mut Families) {
        let now = Instant::now();
        for (operation, one) in Operation::ALL.into_iter().zip(&self.of) {
            let labels = |more: &[&str]| {
                [cluster, operation.name()]
                    .iter()
                    .chain(more)
                    .map(|label| (*label).to_owned())
                    .collect::<Vec<_>>()
            };
            into.add(&catalog::PROBE_DURATION, labels(&[]), Value::Histogram(one.histogram()));
            for (outcome, ended) in
                Outcome::NAMES.into_iter().zip(one.ended).chain([("missed", one.missed_until(now))])
            {
                into.add(&catalog::PROBES, labels(&[outcome]), Value::Number(ended as f64));
            }
            if let Some(at) = one.last_ok.and_then(|at| at.duration_since(UNIX_EPOCH).ok()) {
                into.add(&catalog::PROBE_LAST_OK, labels(&[]), Value::Number(at.as_secs_f64()));
            }
        }
    }
}

impl OfOne {
    fn missed_until(&self, now: Instant) -> u64 {
        let since_death = self.died.as_ref().map_or(0.0, |death| {
            (now.saturating_duration_since(death.at).as_secs_f64() * death.rate_per_s).floor()
        });
        self.missed + since_death as u64
    }

    fn histogram(&self) -> Histogram {
        let mut below = 0;
        let cumulative = |(bound, count): (&u64, &u64)| {
            below += count;
            (*bound as f64 / 1e9, below)
        };
        Histogram {
            buckets: BUCKETS_NS.iter().zip(&self.buckets).map(cumulative).collect(),
            count: self.ended.iter().sum(),
            sum: self.sum.as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::Series;

    fn told(stats: &Stats) -> Vec<(&'static str, Series)> {
        let mut families = Families::default();
        stats.families("c", &mut families);
        let families = families.into_sorted();
        families.into_iter().flat_map(|f| f.series.into_iter().map(move |s| (f.metric.name, s))).collect()
    }

    fn number(told: &[(&str, Series)], labels: [&str; 3]) -> f64 {
        let is_it =
            |(name, series): &&(&str, Series)| *name == catalog::PROBES.name && series.labels == labels;
        match told.iter().find(is_it).map(|(_, series)| &series.value) {
            Some(Value::Number(number)) => *number,
            other => panic!("{labels:?}: {other:?}"),
        }
    }

    #[test]
    fn everything_begins_at_0_so_that_the_first_failure_is_a_rise() {
        let told = told(&Stats::default());
        for operation in Operation::ALL {
            for outcome in ["ok", "failed", "unknown", "missed"] {
                assert_eq!(number(&told, ["c", operation.name(), outcome]), 0.0);
            }
        }
        assert!(told.iter().all(|(name, _)| *name != catalog::PROBE_LAST_OK.name), "none has succeeded yet");
    }

    #[test]
    fn a_time_belongs_to_the_bucket_whose_bound_it_does_not_exceed() {
        let mut stats = Stats::default();
        let nanos = Duration::from_nanos;
        let times = [nanos(1), nanos(50_000), nanos(50_001), nanos(6_553_600_000), nanos(6_553_600_001)];
        for took in times {
            stats.ended(Operation::Read, Outcome::Ok, took, None);
        }
        let histogram = stats.of[Operation::Read as usize].histogram();
        assert_eq!(histogram.buckets[..2], [(0.000_05, 2), (0.0001, 3)]);
        assert_eq!(histogram.buckets[16..], [(3.2768, 3), (6.5536, 4)]);
        assert_eq!((histogram.count, histogram.sum), (5, times.iter().sum::<Duration>().as_secs_f64()));
    }

    #[test]
    fn what_falls_due_after_a_death_is_missed_and_the_death_is_the_trouble() {
        let mut stats = Stats::default();
        stats.missed(Operation::Read, 2);
        stats.ended(Operation::Write, Outcome::Failed, Duration::from_millis(1), Some("refused".into()));
        assert!(!stats.has_died());
        stats.died(Operation::Read, 2.0, "a defect");
        stats.died(Operation::Read, 1000.0, "another");
        assert!(stats.has_died());
        assert_eq!(stats.trouble().as_deref(), Some("a defect"));
        let one = &stats.of[Operation::Read as usize];
        let at = one.died.as_ref().unwrap().at;
        for (after_ms, missed) in [(0, 2), (499, 2), (500, 3), (10_000, 22)] {
            assert_eq!(one.missed_until(at + Duration::from_millis(after_ms)), missed, "{after_ms}");
        }
        assert_eq!(stats.of[Operation::Write as usize].missed_until(at + Duration::from_secs(9)), 0);
    }

    #[test]
    fn outcomes_are_told_apart_and_trouble_passes_with_the_next_success() {
        let mut stats = Stats::default();
        stats.ended(Operation::Write, Outcome::Failed, Duration::from_millis(1), Some("refused".into()));
        stats.ended(Operation::Write, Outcome::Unknown, Duration::from_secs(5), Some("no answer".into()));
        stats.missed(Operation::Write, 4);
        assert_eq!(stats.trouble().as_deref(), Some("no answer"));
        stats.of_nodes(Some("may not create them".into()));
        assert_eq!(stats.trouble().as_deref(), Some("may not create them"));
        stats.of_nodes(None);
        assert_eq!(stats.trouble().as_deref(), Some("no answer"));
        stats.ended(Operation::Write, Outcome::Ok, Duration::from_millis(1), None);
        assert_eq!(stats.trouble(), None);
        let told = told(&stats);
        for (outcome, count) in [("ok", 1.0), ("failed", 1.0), ("unknown", 1.0), ("missed", 4.0)] {
            assert_eq!(number(&told, ["c", "write", outcome]), count, "{outcome}");
        }
        assert_eq!(told.iter().filter(|(name, _)| *name == catalog::PROBE_LAST_OK.name).count(), 1);
        assert_eq!(stats.of[0].histogram().count, 3, "what was missed took no time");
    }
}
