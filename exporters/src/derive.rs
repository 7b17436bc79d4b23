//! What follows from the answers of all members together, and the families of a cluster.
//!
//! # The voter map
//!
//! How many voters there are is told by members alone, never by how many were configured or are up. The member in the
//! greatest term is believed, a leader first. When nobody tells any more, what was told last counts: a dead leader must
//! not take the knowledge with it that the ensemble is in danger.
//!
//! # In sync
//!
//! | system | a voter is in sync when it has a leader and |
//! |---|---|
//! | ZooKeeper, Keeper | is one of those that the leader counts (`synced_followers`, and itself) |
//! | etcd | is at most [`ETCD_CATCH_UP`] entries behind: with more it has to be sent a snapshot first |
//! | Consul | is at most [`CONSUL_CATCH_UP`] entries behind, likewise |
//!
//! One that does not answer the exporter is not in sync, whatever the leader thinks: leaders believe for seconds in a
//! member that hangs. Where the exporter does not watch all voters, the leader's word is all there is (of Consul's, what
//! its autopilot calls healthy), and without it the tolerance is absent. So it is where a quorum is no majority
//! (ZooKeeper's groups and weights).

mod memory;
mod view;

use crate::asked::Asked;
use crate::catalog::{self, Metric};
use crate::family::Families;
use crate::sample::{Role, Sample, Value};

pub use self::memory::Memory;
use self::view::View;
pub use self::view::{CONSUL_CATCH_UP, ETCD_CATCH_UP};

/// Adds all families of a cluster, from what came of asking its members once.
pub fn families(cluster: &str, asked: &[Asked], memory: &mut Memory, into: &mut Families) {
    memory.take(asked);
    let view = View::of(asked, memory);
    for (asked, lag) in asked.iter().zip(&view.lags) {
        let mut member = Member { cluster, member: &asked.member, into };
        member.what_it_is(asked);
        if let Some(sample) = &asked.sample {
            member.what_it_told(sample);
        }
        member.add_some(&catalog::LAG, lag.map(|lag| lag as f64));
        member.add(&catalog::SCRAPE_DURATION, asked.took.as_secs_f64());
        for (source, is_answered) in &asked.sources {
            member.add_labelled(&catalog::SOURCE_AVAILABLE, &[source], flag(*is_answered));
        }
        for (source, kind, count) in memory.problems(&asked.member) {
            let metric = if kind.is_of_parsing() { &catalog::PARSE_ERRORS } else { &catalog::SCRAPE_ERRORS };
            member.add_labelled(metric, &[source, kind.name()], count as f64);
        }
    }
    let numbers = [
        (&catalog::CLUSTER_HAS_LEADER, Some(flag(view.has_leader))),
        (&catalog::CLUSTER_LEADERS, Some(view.leaders as f64)),
        (&catalog::CLUSTER_TERM, view.term.map(|term| term as f64)),
        (&catalog::CLUSTER_MEMBERS, Some(asked.len() as f64)),
        (&catalog::CLUSTER_VOTERS, view.voters.map(|voters| voters as f64)),
        (&catalog::CLUSTER_SERVING_VOTERS, Some(view.serving_voters as f64)),
        (&catalog::FAILURE_TOLERANCE, view.failure_tolerance.map(|tolerance| tolerance as f64)),
        (&catalog::LEADER_CHANGES, memory.leader_changes().map(|changes| changes as f64)),
    ];
    for (metric, number) in numbers {
        if let Some(number) = number {
            into.add(metric, vec![cluster.to_owned()], Value::Number(number));
        }
    }
}

fn flag(is_set: bool) -> f64 {
    f64::from(u8::from(is_set))
}

/// The series of a member, as they are added.
struct Member<'a> {
    cluster: &'a str,
    member: &'a str,
    into: &'a mut Families,
}

impl Member<'_> {
    fn add(&mut self, metric: &'static Metric, number: f64) {
        self.add_labelled(metric, &[], number);
    }

    fn add_some(&mut self, metric: &'static Metric, number: Option<f64>) {
        if let Some(number) = number {
            self.add(metric, number);
        }
    }

    fn add_labelled(&mut self, metric: &'static Metric, labels: &[&str], number: f64) {
        self.add_value(metric, labels.iter().copied(), Value::Number(number));
    }

    fn add_value<'l>(
        &mut self,
        metric: &'static Metric,
        labels: impl Iterator<Item = &'l str>,
        value: Value,
    ) {
        let mut all = vec![self.cluster.to_owned(), self.member.to_owned()];
        all.extend(labels.map(str::to_owned));
        self.into.add(metric, all, value);
    }

    /// What is told of every member, whether it answers or not.
    fn what_it_is(&mut self, asked: &Asked) {
        let sample = asked.sample.as_ref();
        self.add(&catalog::UP, flag(sample.is_some()));
        // One that is not up serves nobody.
        let serving = sample.map_or(Some(false), |sample| sample.serving);
        self.add_some(&catalog::SERVING, serving.map(flag));
        let role = sample.and_then(|sample| sample.role);
        for one in Role::ALL {
            self.add_labelled(&catalog::ROLE, &[one.name()], flag(role == Some(one)));
        }
        self.add_labelled(&catalog::ROLE, &["unknown"], flag(role.is_none()));
    }

    fn what_it_told(&mut self, sample: &Sample) {
        if let Some(system) = sample.system {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            let (version, id) = (text(&sample.version), text(&sample.member_id));
            self.add_labelled(&catalog::INFO, &[system.name(), &version, &id], 1.0);
        }
        // Whether it serves was told with what it is.
        for entry in sample.entries() {
            let labels = entry.labels.iter().map(String::as_str);
            self.add_value(entry.metric, labels, entry.value.clone());
        }
    }
}

#[cfg(test)]
mod tests;
