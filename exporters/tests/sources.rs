//! What the catalog says that ZooKeeper and ClickHouse Keeper tell is told by one of their answers.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::collections::BTreeSet;

use quorumeter_exporters::catalog::{self, Metric, Scope};
use quorumeter_exporters::{Role, Sample};

/// What no answer tells, and why.
const EXCEPTIONS: [(&Metric, &str); 3] = [
    (&catalog::READ_BYTES, "of the operating system, which tells of launched members"),
    (&catalog::WRITTEN_BYTES, "of the operating system, which tells of launched members"),
    (&catalog::LAG, "follows from the members together"),
];

/// What a sample tells beyond its [entries](Sample::entries).
fn beside_numbers(sample: &Sample) -> Vec<&'static str> {
    [
        (sample.serving.is_some(), &catalog::UP),
        (sample.system.is_some() && sample.version.is_some(), &catalog::INFO),
        (sample.role.is_some(), &catalog::ROLE),
    ]
    .into_iter()
    .filter_map(|(is_told, metric)| is_told.then_some(metric.name))
    .collect()
}

/// The names of everything that the fixtures of a system tell.
fn told(system: &str) -> BTreeSet<&'static str> {
    let mut names = BTreeSet::new();
    for fixture in support::fixtures(system) {
        // Some are of leaders only, and of answers that do not tell the role.
        let mut sample = Sample { role: Some(Role::Leader), ..Sample::default() };
        if fixture.path.contains("metrics") && fixture.take(&mut sample).is_ok() {
            names.extend(sample.entries().map(|entry| entry.metric.name));
        }
        let mut sample = Sample::default();
        if fixture.take(&mut sample).is_ok() {
            names.extend(sample.entries().map(|entry| entry.metric.name));
            names.extend(beside_numbers(&sample));
        }
    }
    names
}

#[test]
fn everything_that_the_catalog_says_is_told_and_nothing_else() {
    for system in ["zookeeper", "keeper"] {
        let told = told(system);
        let source = |metric: &Metric| match system {
            "zookeeper" => metric.sources.zookeeper,
            _ => metric.sources.keeper,
        };
        for metric in catalog::ALL.iter().filter(|metric| metric.scope == Scope::Member) {
            if let Some((_, reason)) = EXCEPTIONS.iter().find(|(exception, _)| exception.name == metric.name)
            {
                assert!(!told.contains(metric.name), "{system}: {} is told, though {reason}", metric.name);
                continue;
            }
            let is_listed = !source(metric).is_empty();
            assert_eq!(told.contains(metric.name), is_listed, "{system}: {}", metric.name);
        }
    }
}
