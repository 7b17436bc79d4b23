//! What the alerts, recording rules and dashboards of the mixin promise, by reading them.

mod dashboard;
mod deployed;
mod query;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dashboard::{list, text};
use query::Place;
use serde_json::Value;
use xtask::mixin;

/// Alerts that there must be.
const ALERTS: [&str; 25] = [
    "EtcdQuotaLow",
    "ExporterParseErrors",
    "KeeperCommitsFailed",
    "KeeperMemorySoftLimit",
    "KeeperSnapshotFailed",
    "QuorumDataGrowth",
    "QuorumElectionSlow",
    "QuorumExporterDown",
    "QuorumFileDescriptorsHigh",
    "QuorumFollowerLagging",
    "QuorumLeaderChanged",
    "QuorumLeaderFlapping",
    "QuorumLogFsyncSlow",
    "QuorumLost",
    "QuorumMemberDown",
    "QuorumMemberNotServing",
    "QuorumMultipleLeaders",
    "QuorumNoFailureTolerance",
    "QuorumNoLeader",
    "QuorumOutstandingRequestsGrowing",
    "QuorumProbeErrors",
    "QuorumProbeSlow",
    "QuorumSessionsExpiring",
    "ZooKeeperDigestMismatch",
    "ZooKeeperUnrecoverableError",
];

const DASHBOARDS: [&str; 6] =
    ["benchmark.json", "compare.json", "overview.json", "sessions.json", "storage.json", "write-path.json"];

/// A rendered file, parsed.
fn rendered(name: &str, knobs: &[&str]) -> Value {
    let files: BTreeMap<_, _> = mixin::render(knobs).expect("the mixin renders").into_iter().collect();
    let contents = &files[Path::new(name)];
    match name.ends_with(".json") {
        true => serde_json::from_str(contents).expect("it is JSON"),
        false => mixin::parse_yaml(contents).expect("it is YAML"),
    }
}

fn rules(file: &Value) -> impl Iterator<Item = &Value> {
    list(file, "/groups").iter().flat_map(|group| list(group, "/rules"))
}

#[test]
fn every_alert_is_there_and_says_what_to_do() {
    let alerts = rendered("alerts.yaml", &[]);
    let names: BTreeSet<&str> = rules(&alerts).map(|rule| text(rule, "/alert")).collect();
    assert_eq!(names, ALERTS.into());
    assert_eq!(rules(&alerts).count(), ALERTS.len(), "each once");
    for rule in rules(&alerts) {
        let name = text(rule, "/alert");
        assert!(["critical", "warning", "info"].contains(&text(rule, "/labels/severity")), "{name}");
        assert!(!text(rule, "/for").is_empty(), "{name}");
        let [summary, description] =
            ["summary", "description"].map(|key| text(&rule["annotations"], &format!("/{key}")));
        assert!(summary.ends_with('.') && !summary.contains("{{"), "{name}: a summary is one fixed sentence");
        assert!(
            description.matches(". ").count() >= 1 && description.ends_with('.'),
            "{name}: {description}"
        );
        assert!(name == "QuorumExporterDown" || description.contains("{{ $labels.cluster }}"), "{name}");
        assert_eq!(query::faults(text(rule, "/expr"), Place::Alert), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn voters_are_counted_by_the_voter_map_and_never_by_those_that_are_up() {
    for rule in rules(&rendered("alerts.yaml", &[])).chain(rules(&rendered("rules.yaml", &[]))) {
        let expr = text(rule, "/expr");
        assert!(!expr.contains("count(") && !expr.contains("count by"), "{expr}");
        assert_eq!(expr.contains("floor("), expr.contains("quorum_cluster_voters"), "{expr}");
    }
}

#[test]
fn recording_rules_are_named_by_level_metric_and_operation() {
    let file = rendered("rules.yaml", &[]);
    let mut names = BTreeSet::new();
    for rule in rules(&file) {
        let name = text(rule, "/record");
        assert!(names.insert(name), "{name} is recorded twice");
        let parts: Vec<&str> = name.split(':').collect();
        assert!(
            parts.len() == 3 && parts[0].starts_with("cluster") && parts[1].starts_with("quorum_"),
            "{name}"
        );
        assert_eq!(query::faults(text(rule, "/expr"), Place::Rule), Vec::<String>::new(), "{name}");
    }
    for needed in ["election", "unavailable", "fsync", "probe_duration"] {
        assert!(names.iter().any(|name| name.contains(needed)), "{needed}");
    }
}

#[test]
fn dashboards_are_as_they_should_be() {
    let files = mixin::render(&[]).unwrap();
    let names: BTreeSet<&str> =
        files.iter().filter_map(|(name, _)| name.to_str()).filter(|name| name.ends_with(".json")).collect();
    assert_eq!(names, DASHBOARDS.into());
    let mut uids = BTreeSet::new();
    for name in names {
        let dashboard = rendered(name, &[]);
        assert_eq!(dashboard::faults(&dashboard), Vec::<String>::new(), "{name}");
        assert!(uids.insert(text(&dashboard, "/uid").to_owned()), "{name} has the uid of another");
    }
}

#[test]
fn a_panel_of_acknowledgements_stands_beside_the_lag() {
    for name in DASHBOARDS {
        let dashboard = rendered(name, &[]);
        let shows = |metric: &str| {
            dashboard::panels(&dashboard)
                .flat_map(|panel| list(panel, "/targets"))
                .any(|target| text(target, "/expr").contains(metric))
        };
        assert!(!shows("quorum_peer_ack_seconds") || shows("quorum_lag_entries"), "{name}");
    }
}

#[test]
fn every_alert_is_tested_firing_and_silent_for_three_and_for_five_voters() {
    let files = mixin::render_tests().unwrap();
    for voters in [3, 5] {
        let name = format!("{voters}-voters.yaml");
        let (_, contents) = files.iter().find(|(path, _)| path.to_str() == Some(name.as_str())).unwrap();
        let tests = mixin::parse_yaml(contents).unwrap();
        let told = |firing: bool| -> BTreeSet<&str> {
            list(&tests, "/tests")
                .iter()
                .flat_map(|test| list(test, "/alert_rule_test"))
                .filter(|alert| list(alert, "/exp_alerts").is_empty() != firing)
                .map(|alert| text(alert, "/alertname"))
                .collect()
        };
        assert_eq!(told(true), ALERTS.into(), "{name}: firing");
        assert_eq!(told(false), ALERTS.into(), "{name}: silent");
    }
}

#[test]
fn knobs_reach_what_they_are_for() {
    let alerts = rendered(
        "alerts.yaml",
        &[
            "selector=job=~\"a|b\"",
            "clusterLabel=ensemble",
            "memberLabel=server",
            "lagEntries=7",
            "alertFor.QuorumLost=9s",
            "alertLabels={\"team\":\"storage\"}",
            "runbookUrlPrefix=https://runbooks.example/",
            "scrapeIntervalSeconds=120",
        ],
    );
    for rule in rules(&alerts) {
        let name = text(rule, "/alert");
        let expr = text(rule, "/expr");
        assert_eq!(text(rule, "/labels/team"), "storage", "{name}");
        assert_eq!(text(rule, "/annotations/runbook_url"), format!("https://runbooks.example/{name}"));
        assert!(expr.contains("job=~\"a|b\"") && !expr.contains("quorumeter"), "{name}: {expr}");
        for selection in query::selections(expr).unwrap() {
            let labels: BTreeSet<&str> = selection.by.iter().map(String::as_str).collect();
            assert!(labels.is_disjoint(&["cluster", "member"].into()), "{name}: {expr}");
            assert!(selection.range.is_none_or(|range| range.as_secs() >= 480), "{name}: four scrapes");
        }
    }
    let rule = |name: &str| rules(&alerts).find(|rule| text(rule, "/alert") == name).unwrap();
    assert_eq!(text(rule("QuorumLost"), "/for"), "9s");
    assert_eq!(text(rule("QuorumMemberDown"), "/for"), "2m");
    assert!(text(rule("QuorumFollowerLagging"), "/expr").contains("> 7"));

    let short = rendered("alerts.yaml", &["alertForAll=3s"]);
    assert!(rules(&short).all(|rule| text(rule, "/for") == "3s"));
    let overview = rendered("overview.json", &["clusterLabel=ensemble", "dashboardTags=[\"x\"]"]).to_string();
    assert!(overview.contains(r#"ensemble=\"$cluster\""#) && !overview.contains(r#" cluster=\"$cluster\""#));
}

#[test]
fn every_alert_has_its_time_and_every_time_its_alert() {
    for name in ALERTS {
        assert!(mixin::render(&[&format!("alertFor.{name}=1s")]).is_ok(), "{name}");
    }
}

#[test]
fn a_knob_that_there_is_not_is_refused() {
    for (knob, says) in [
        ("lagEntrys=7", "there is no knob `lagEntrys`; those of dashboards/config.libsonnet are "),
        ("alertFor.QuorumDown=7", "there is no knob `alertFor.QuorumDown`"),
        ("lagEntries", "`lagEntries` is not KEY=VALUE"),
    ] {
        let error = mixin::render(&[knob]).unwrap_err();
        assert!(error.starts_with(says), "{error}");
    }
}

#[test]
fn the_prometheus_rule_is_all_alerts_and_rules() {
    let rule = rendered("prometheus-rule.yaml", &[]);
    assert_eq!(
        (text(&rule, "/apiVersion"), text(&rule, "/kind")),
        ("monitoring.coreos.com/v1", "PrometheusRule")
    );
    let groups = list(&rule, "/spec/groups");
    let names: BTreeSet<&str> = groups.iter().map(|group| text(group, "/name")).collect();
    assert_eq!(names.len(), groups.len(), "names of groups are unique");
    let count = |file| rules(&rendered(file, &[])).count();
    let all: usize = groups.iter().map(|group| list(group, "/rules").len()).sum();
    assert_eq!(all, count("alerts.yaml") + count("rules.yaml"));
}
