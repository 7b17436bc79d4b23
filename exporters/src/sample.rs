//! What one member told, in the words of the [catalog](crate::catalog).

use std::borrow::Cow;
use std::fmt;

use crate::catalog::{self, Metric};

/// What one member told. A field or metric that it did not tell is absent.
///
/// What other values are derived from is typed, whole numbers exactly; the rest are [values](Sample::values).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// Which kind of server it is.
    pub system: Option<Dialect>,
    /// Its version, as it tells it, without commit and build date.
    pub version: Option<String>,
    /// Its id, as it writes it: ZooKeeper's `myid`, etcd's in hexadecimal, Consul's node name.
    pub member_id: Option<String>,
    /// Whether it serves clients; `None` when that is not known.
    pub serving: Option<bool>,
    /// Its role; `None` when it did not say.
    pub role: Option<Role>,
    /// How far its part in ZooKeeper's protocol is: `election`, `discovery`, `synchronization` or `broadcast`.
    pub zab_state: Option<String>,
    /// Whether it knows a leader.
    pub has_leader: Option<bool>,
    /// Whether it votes.
    pub voter: Option<bool>,
    /// The ids of all voters, as it tells them, sorted; each in the form of [`Sample::member_id`].
    pub voter_ids: Option<Vec<String>>,
    /// How many voters there are, where it tells no more.
    pub voters: Option<u64>,
    /// ZooKeeper: whether any majority of the voters is a quorum; not so with groups or weights.
    pub has_majorities: Option<bool>,
    /// The term that it is in.
    pub term: Option<u64>,
    /// The last entry that it knows to be committed. ZooKeeper: absent.
    pub commit_index: Option<u64>,
    /// The last entry that it has applied. ZooKeeper: the lower half of the zxid, which counts from 0 in each term.
    pub applied_index: Option<u64>,
    /// ZooKeeper: the term of [`Sample::applied_index`], the upper half of the same zxid.
    pub applied_term: Option<u64>,
    /// The last transaction that it has applied, as ZooKeeper and ClickHouse Keeper number them. ZooKeeper's is
    /// [`Sample::applied_term`] and [`Sample::applied_index`] in one; Keeper's is no index of its log.
    pub zxid: Option<u64>,
    /// The last entry in its log, committed or not.
    pub last_index: Option<u64>,
    /// The last entry that it knows the leader to have committed.
    pub leader_commit_index: Option<u64>,
    /// Followers that are in sync; of leaders only.
    pub synced_followers: Option<u64>,
    /// When its process started, Unix time in seconds by its own clock, where it tells that instead of for how long.
    pub started_unix_s: Option<f64>,
    /// Everything else.
    pub values: Vec<Entry>,
}

/// A value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Which metric.
    pub metric: &'static Metric,
    /// The values of its own [labels](Metric::labels), in their order.
    pub labels: Vec<String>,
    /// The value.
    pub value: Value,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of gauges and counters; finite.
    Number(f64),
    /// Of histograms.
    Histogram(Histogram),
}

/// A classic histogram, or only the sum and number of what would be in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// Upper bounds in the metric's unit, ascending and finite, each with the number of values at or below it; without
    /// `+Inf`. Empty where only sum and number are known.
    pub buckets: Vec<(f64, u64)>,
    /// Number of values.
    pub count: u64,
    /// Their sum, in the metric's unit.
    pub sum: f64,
}

/// A kind of server, by what it tells and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// Apache ZooKeeper.
    ZooKeeper,
    /// ClickHouse Keeper.
    Keeper,
    /// The ensemble of this repository.
    Embedded,
    /// etcd.
    Etcd,
    /// Consul.
    Consul,
}

impl Dialect {
    /// Its name in records and labels.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::ZooKeeper => "zookeeper",
            Dialect::Keeper => "clickhouse-keeper",
            Dialect::Embedded => "embedded",
            Dialect::Etcd => "etcd",
            Dialect::Consul => "consul",
        }
    }
}

/// What a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It orders the writes.
    Leader,
    /// It votes, and follows.
    Follower,
    /// It follows without a vote (ZooKeeper's observers, etcd's learners, Consul's non-voters).
    Observer,
    /// It looks for a leader.
    Candidate,
    /// It is alone.
    Standalone,
    /// It has no quorum and serves reads.
    ReadOnly,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 6] =
        [Role::Leader, Role::Follower, Role::Observer, Role::Candidate, Role::Standalone, Role::ReadOnly];

    /// Its name in records and labels.
    pub fn name(self) -> &'static str {
        match self {
            Role::Leader => "leader",
            Role::Follower => "follower",
            Role::Observer => "observer",
            Role::Candidate => "candidate",
            Role::Standalone => "standalone",
            Role::ReadOnly => "read-only",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Sample {
    /// Adds the value of a metric without labels of its own, unless it is not finite; NaN is how servers say that they
    /// have none.
    pub fn push(&mut self, metric: &'static Metric, value: f64) {
        self.push_labelled(metric, &[], value);
    }

    /// The same of a metric with labels of its own.
    pub fn push_labelled(&mut self, metric: &'static Metric, labels: &[&str], value: f64) {
        if value.is_finite() {
            self.add(metric, labels, Value::Number(value));
        }
    }

    /// Adds a histogram, unless its sum is not finite.
    pub fn push_histogram(&mut self, metric: &'static Metric, labels: &[&str], histogram: Histogram) {
        if histogram.sum.is_finite() {
            self.add(metric, labels, Value::Histogram(histogram));
        }
    }

    /// What another source has told of the same stays as it is: sources are read in the order of their worth.
    fn add(&mut self, metric: &'static Metric, labels: &[&str], value: Value) {
        debug_assert_eq!(labels.len(), metric.labels.len(), "{}", metric.name);
        if self.get_labelled(metric, labels).is_none() {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            self.values.push(Entry { metric, labels, value });
        }
    }

    /// Every metric that is a number or a histogram: the typed fields, then [`Sample::values`].
    pub fn entries(&self) -> impl Iterator<Item = Cow<'_, Entry>> {
        let count = |number: Option<u64>| number.map(|number| number as f64);
        let flag = |flag: Option<bool>| flag.map(|flag| f64::from(u8::from(flag)));
        let mut typed = Sample::default();
        for (metric, value) in [
            (&catalog::SERVING, flag(self.serving)),
            (&catalog::VOTER, flag(self.voter())),
            (&catalog::HAS_LEADER, flag(self.has_leader)),
            (&catalog::VOTERS, count(self.voters())),
            (&catalog::SYNCED_FOLLOWERS, count(self.synced_followers)),
            (&catalog::TERM, count(self.term)),
            (&catalog::COMMIT_INDEX, count(self.commit_index)),
            (&catalog::APPLIED_INDEX, count(self.applied_index)),
        ] {
            if let Some(value) = value {
                typed.push(metric, value);
            }
        }
        typed.values.into_iter().map(Cow::Owned).chain(self.values.iter().map(Cow::Borrowed))
    }

    /// Whether it votes: by the ids of all voters, or else as it says.
    pub fn voter(&self) -> Option<bool> {
        match (&self.voter_ids, &self.member_id) {
            (Some(ids), Some(id)) => Some(ids.contains(id)),
            _ => self.voter,
        }
    }

    /// How many voters there are: by their ids, or else as it says.
    pub fn voters(&self) -> Option<u64> {
        self.voter_ids.as_ref().map(|ids| ids.len() as u64).or(self.voters)
    }

    /// The value of a metric without labels of its own.
    pub fn get(&self, metric: &Metric) -> Option<&Value> {
        self.get_labelled(metric, &[])
    }

    /// The value of a metric with these.
    pub fn get_labelled(&self, metric: &Metric, labels: &[&str]) -> Option<&Value> {
        let is_it = |entry: &&Entry| entry.metric.name == metric.name && entry.labels == labels;
        self.values.iter().find(is_it).map(|entry| &entry.value)
    }

    /// The value of a metric that is a number and has no labels of its own.
    pub fn number(&self, metric: &Metric) -> Option<f64> {
        match self.get(metric)? {
            Value::Number(number) => Some(*number),
            Value::Histogram(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_is_absent_and_the_first_source_counts() {
        let mut sample = Sample::default();
        sample.push(&catalog::KEYS, f64::NAN);
        assert_eq!(sample, Sample::default());
        sample.push(&catalog::KEYS, 3.0);
        sample.push(&catalog::KEYS, 4.0);
        assert_eq!(sample.number(&catalog::KEYS), Some(3.0));
        sample.push_labelled(&catalog::PROBES, &["write", "ok"], 1.0);
        assert_eq!(sample.get_labelled(&catalog::PROBES, &["write", "ok"]), Some(&Value::Number(1.0)));
        assert_eq!(sample.get_labelled(&catalog::PROBES, &["read", "ok"]), None);
    }
}
