//! Apache ZooKeeper with weights: its quorums are no majorities, and nothing is said of how many voters may fail.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

use std::time::Duration;

use quorumeter_ensemble::launch::child::Wrapper;
use quorumeter_ensemble::launch::zookeeper::{Options, start};
use support::exporter::{Exporter, value};
use support::{QUORUMETER, real_zookeeper};

mod support;

const TOLERANCE: &str = "quorum_failure_tolerance{cluster=\"c\"}";

#[test]
fn weights_leave_the_failure_tolerance_untold() {
    if real_zookeeper("weights_leave_the_failure_tolerance_untold").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // The first one decides alone: without it the other two, a majority, have no quorum.
    let weights = [("group.1", "1:2:3"), ("weight.1", "3"), ("weight.2", "1"), ("weight.3", "1")];
    for (name, settings, tolerance) in [("plain", &[][..], Some(1.0)), ("weighted", &weights, None)] {
        let mut options = Options::new(3, dir.path().join(name), Wrapper::Quorumeter(QUORUMETER.into()));
        options.ready_timeout = Duration::from_secs(120);
        options.settings = settings.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let ensemble = start(&options).unwrap();
        let members: Vec<String> = ensemble.members.iter().map(|own| own.address.to_string()).collect();
        let exporter = Exporter::start(&["--target", &format!("c=zk://{}", members.join(","))]);
        let is_synced = |text: &str| {
            let synced = |member| format!("quorum_synced_followers{{cluster=\"c\",member=\"{member}\"}}");
            members.iter().any(|member| value(text, &synced(member)) == Some(2.0))
        };
        let text = exporter.metrics_when("both followers are in sync", is_synced);
        assert_eq!(value(&text, "quorum_cluster_voters{cluster=\"c\"}"), Some(3.0), "{text}");
        assert_eq!(value(&text, TOLERANCE), tolerance, "{name}: {text}");
        let page = exporter.get("/", "").1;
        assert_eq!(page.contains("quorum_failure_tolerance is not told"), tolerance.is_none(), "{page}");
        if tolerance.is_none() {
            // Nobody is there who could tell it anew.
            ensemble.kill(1).unwrap();
            let is_lost = |text: &str| value(text, "quorum_cluster_has_leader{cluster=\"c\"}") == Some(0.0);
            let text = exporter.metrics_when("the quorum is lost", is_lost);
            assert_eq!(value(&text, TOLERANCE), None, "{text}");
        }
    }
}
