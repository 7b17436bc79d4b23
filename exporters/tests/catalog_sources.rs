//! Every metric whose source the catalog names is found in a captured answer.

use std::collections::BTreeSet;

use quorumeter_exporters::catalog::{self, Metric, Scope};
use quorumeter_exporters::{Sample, consul, etcd};

fn fixture(name: &str) -> String {
    let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Metrics that are written from typed fields, or beside the parsers.
fn told_by_fields(sample: &Sample) -> Vec<&'static Metric> {
    let mut told = Vec::new();
    let mut note = |is_told: bool, metrics: &[&'static Metric]| {
        if is_told {
            told.extend(metrics);
        }
    };
    note(sample.system.is_some(), &[&catalog::UP]);
    note(
        sample.system.is_some() && sample.version.is_some() && sample.member_id.is_some(),
        &[&catalog::INFO],
    );
    note(sample.serving.is_some(), &[&catalog::SERVING]);
    note(sample.role.is_some(), &[&catalog::ROLE]);
    note(sample.voter.is_some(), &[&catalog::VOTER]);
    note(sample.started_unix_s.is_some(), &[&catalog::UPTIME]);
    note(sample.has_leader.is_some(), &[&catalog::HAS_LEADER]);
    note(sample.voter_ids.is_some(), &[&catalog::VOTERS]);
    note(sample.synced_followers.is_some(), &[&catalog::SYNCED_FOLLOWERS]);
    note(sample.term.is_some(), &[&catalog::TERM]);
    note(sample.commit_index.is_some(), &[&catalog::COMMIT_INDEX]);
    note(sample.applied_index.is_some(), &[&catalog::APPLIED_INDEX]);
    note(sample.commit_index.is_some() && sample.term.is_some(), &[&catalog::LAG]);
    told
}

fn check(system: &str, samples: &[Sample], source: impl Fn(&Metric) -> &'static str) {
    let told: BTreeSet<&str> = samples
        .iter()
        .flat_map(|sample| {
            let values = sample.values.iter().map(|entry| entry.metric);
            values.chain(told_by_fields(sample)).map(|metric| metric.name).collect::<Vec<_>>()
        })
        .collect();
    let named = catalog::ALL.iter().filter(|metric| matches!(metric.scope, Scope::Member | Scope::Cluster));
    for metric in named {
        let is_named = !source(metric).is_empty();
        assert_eq!(told.contains(metric.name), is_named, "{system} and {}", metric.name);
    }
}

#[test]
fn etcd_tells_what_the_catalog_says_that_it_tells() {
    let samples = ["leader", "follower"].map(|role| {
        let mut sample = Sample::default();
        etcd::status(&mut sample, &fixture(&format!("etcd/3.7.3/{role}.status.json"))).unwrap();
        etcd::metrics(&mut sample, &fixture(&format!("etcd/3.7.3/{role}.metrics.txt"))).unwrap();
        etcd::member_list(&mut sample, &fixture(&format!("etcd/3.7.3/{role}.member_list.json"))).unwrap();
        sample
    });
    check("etcd", &samples, |metric| metric.sources.etcd);
}

#[test]
fn consul_tells_what_the_catalog_says_that_it_tells() {
    let samples = ["leader", "follower"].map(|role| {
        let mut sample = Sample::default();
        let answer = |what: &str| fixture(&format!("consul/1.20.1/{role}.{what}"));
        consul::agent_self(&mut sample, &answer("self.json")).unwrap();
        consul::leader(&mut sample, &answer("leader.json")).unwrap();
        consul::configuration(&mut sample, &answer("configuration.json")).unwrap();
        consul::metrics(&mut sample, &answer("metrics.txt")).unwrap();
        consul::autopilot(&mut sample, &answer("autopilot.json")).unwrap();
        sample
    });
    check("consul", &samples, |metric| metric.sources.consul);
}
