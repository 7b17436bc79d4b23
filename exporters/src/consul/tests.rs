use super::*;
use crate::asked::ProblemKind;
use crate::sample::Value;

macro_rules! captured {
    ($name:literal) => {
        include_str!(concat!("../../tests/fixtures/consul/1.20.1/", $name))
    };
}

macro_rules! written {
    ($name:literal) => {
        include_str!(concat!("../../tests/fixtures/consul/written/", $name))
    };
}

type Capture = [&'static str; 5];

const LEADER: Capture = [
    captured!("leader.self.json"),
    captured!("leader.leader.json"),
    captured!("leader.configuration.json"),
    captured!("leader.metrics.txt"),
    captured!("leader.autopilot.json"),
];
const FOLLOWER: Capture = [
    captured!("follower.self.json"),
    captured!("follower.leader.json"),
    captured!("follower.configuration.json"),
    captured!("follower.metrics.txt"),
    captured!("follower.autopilot.json"),
];

fn read([of_self, of_leader, of_configuration, of_metrics, of_autopilot]: Capture) -> Sample {
    let mut sample = Sample::default();
    agent_self(&mut sample, of_self).unwrap();
    leader(&mut sample, of_leader).unwrap();
    configuration(&mut sample, of_configuration).unwrap();
    metrics(&mut sample, of_metrics).unwrap();
    autopilot(&mut sample, of_autopilot).unwrap();
    sample
}

fn sum_and_count(sample: &Sample, metric: &catalog::Metric, labels: &[&str]) -> Option<(f64, u64)> {
    match sample.get_labelled(metric, labels)? {
        Value::Histogram(histogram) => Some((histogram.sum, histogram.count)),
        Value::Number(_) => None,
    }
}

#[test]
fn the_answers_of_a_server_agree_with_each_other() {
    for (capture, role) in [(LEADER, Role::Leader), (FOLLOWER, Role::Follower)] {
        let sample = read(capture);
        assert_eq!((sample.system, sample.role), (Some(Dialect::Consul), Some(role)));
        assert_eq!(sample.version.as_deref(), Some("1.20.1"));
        assert_eq!((sample.serving, sample.has_leader, sample.voter), (Some(true), Some(true), Some(true)));
        let voters = sample.voter_ids.clone().unwrap();
        assert_eq!((voters.len(), voters.is_sorted()), (3, true));
        assert!(voters.contains(sample.member_id.as_ref().unwrap()));
        assert!(sample.applied_index.unwrap() <= sample.commit_index.unwrap());
        assert!(sample.commit_index.unwrap() <= sample.last_index.unwrap());
        // Autopilot says the same by other means. (`consul_server_isLeader` does not: it may be 0 on a leader.)
        let health: serde_json::Value = serde_json::from_str(capture[4]).unwrap();
        let leads = |server: &&serde_json::Value| server["Leader"] == true;
        let leader = health["Servers"].as_array().unwrap().iter().find(leads).unwrap();
        let is_it = leader["Name"].as_str() == sample.member_id.as_deref();
        assert_eq!(is_it, role == Role::Leader);
        assert_eq!(sample.synced_followers.is_some(), role == Role::Leader);
        assert_eq!(sample.number(&catalog::SESSIONS).is_some(), role == Role::Leader);
        assert!(sample.number(&catalog::OPEN_FDS) <= sample.number(&catalog::MAX_FDS));
    }
    let (leader, follower) = (read(LEADER), read(FOLLOWER));
    assert_eq!((leader.voter_ids, leader.term), (follower.voter_ids, follower.term));
    assert_eq!(leader.synced_followers, Some(2));
    assert_eq!(follower.synced_followers, None);
}

#[test]
fn milliseconds_are_seconds_and_only_sum_and_number_count() {
    let sample = read(LEADER);
    let scraped = prometheus_text::parse(LEADER[3]).unwrap();
    let sum_ms = scraped.number("consul_raft_commitTime_sum").unwrap();
    let count = scraped.number("consul_raft_commitTime_count").unwrap();
    assert_eq!(sum_and_count(&sample, &catalog::COMMIT_DURATION, &[]), Some((sum_ms / 1000.0, count as u64)));
    let pauses_ns = scraped.number("consul_runtime_gc_pause_ns_sum").unwrap();
    let pauses = sum_and_count(&sample, &catalog::PAUSES, &[]).unwrap();
    assert_eq!(pauses.0, pauses_ns / 1e9);
    // Go counts the same in seconds.
    let by_go = scraped.number("go_gc_duration_seconds_sum").unwrap();
    assert!((pauses.0 - by_go).abs() <= 0.5 * by_go, "{pauses:?} {by_go}");
    // Each by itself: what Consul drops after a while would let a sum go back.
    let of = |entry: &&crate::sample::Entry| entry.metric.name == catalog::REQUEST_DURATION.name;
    let ops: Vec<_> = sample.values.iter().filter(of).map(|entry| entry.labels[0].as_str()).collect();
    assert_eq!(ops, ["GET v1_kv_", "PUT v1_kv_", "GET v1_status_peers"]);
    let (_, counted) = sum_and_count(&sample, &catalog::REQUEST_DURATION, &["PUT v1_kv_"]).unwrap();
    let with = [("method", "PUT"), ("path", "v1_kv_")];
    assert_eq!(Some(counted as f64), scraped.number_with("consul_api_http_count", &with));
    let peers = sample.values.iter().filter(|entry| entry.metric.name == catalog::PEER_ACK.name);
    assert_eq!(peers.count(), 2);
}

#[test]
fn what_is_nan_or_known_to_the_leader_alone_is_absent() {
    let mut sample = Sample { role: Some(Role::Follower), ..Sample::default() };
    metrics(&mut sample, written!("idle.metrics.txt")).unwrap();
    autopilot(&mut sample, written!("unhealthy.autopilot.json")).unwrap();
    assert_eq!(sample.values, []);
    assert_eq!(sample.synced_followers, None);
    sample.role = Some(Role::Leader);
    autopilot(&mut sample, written!("unhealthy.autopilot.json")).unwrap();
    assert_eq!(sample.synced_followers, Some(1));
}

#[test]
fn servers_without_a_vote_and_without_a_name_are_known() {
    for (own, role, voter) in [("n1", Role::Follower, true), ("n3", Role::Observer, false)] {
        let role_before = Some(Role::Follower);
        let mut sample = Sample { member_id: Some(own.into()), role: role_before, ..Sample::default() };
        configuration(&mut sample, written!("non_voter.configuration.json")).unwrap();
        assert_eq!((sample.role, sample.voter), (Some(role), Some(voter)));
        assert_eq!(sample.voter_ids.unwrap(), ["00000002-1111-2222-3333-444444444442", "n1"]);
    }
}

#[test]
fn states_are_told_from_each_other() {
    for (state, role) in [
        ("Leader", Some(Role::Leader)),
        ("Candidate", Some(Role::Candidate)),
        ("Follower", Some(Role::Follower)),
        ("Shutdown", None),
    ] {
        let mut sample = Sample::default();
        let answer = format!(
            r#"{{"Config":{{"NodeName":"n1"}},"Stats":{{"raft":{{"state":"{state}","term":"18446744073709551615"}}}}}}"#
        );
        agent_self(&mut sample, &answer).unwrap();
        assert_eq!((sample.role, sample.term, sample.commit_index), (role, Some(u64::MAX), None));
    }
    for (answer, known) in [("\"\"", false), ("\"127.0.0.1:8300\"", true), ("\"[::1]:8300\"\n", true)] {
        let mut sample = Sample::default();
        leader(&mut sample, answer).unwrap();
        assert_eq!((sample.has_leader, sample.serving), (Some(known), Some(known)));
    }
}

#[test]
fn what_is_no_answer_of_consul_is_told_why_and_nothing_is_taken_in() {
    type Parse = fn(&mut Sample, &str) -> Result<(), ParseError>;
    for (parse, answer, kind) in [
        (agent_self as Parse, "", ProblemKind::Empty),
        (agent_self, "Permission denied", ProblemKind::Syntax),
        (agent_self, r#"{"Config":{},"Stats":{}}"#, ProblemKind::Missing),
        (agent_self, r#"{"Config":{},"Stats":{"raft":{"state":"Dancing"}}}"#, ProblemKind::Value),
        (agent_self, r#"{"Config":{},"Stats":{"raft":{"state":"Leader","term":"x"}}}"#, ProblemKind::Value),
        (leader, "{}", ProblemKind::Value),
        (leader, "\"hello\"", ProblemKind::Value),
        (leader, "No cluster leader", ProblemKind::Syntax),
        (configuration, r#"{"Servers":[]}"#, ProblemKind::Missing),
        (configuration, r#"{"Servers":null}"#, ProblemKind::Value),
        (autopilot, "[]", ProblemKind::Value),
        (metrics, "etcd_server_has_leader 1\n", ProblemKind::Missing),
        (metrics, "{\"Gauges\": []}\n", ProblemKind::Syntax),
    ] {
        let mut sample = Sample::default();
        let error = parse(&mut sample, answer).unwrap_err();
        assert_eq!(error.kind(), kind, "{answer:?}: {error}");
        assert_eq!(sample, Sample::default(), "{answer:?}");
    }
}
