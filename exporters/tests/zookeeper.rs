//! Answers of real ZooKeeper members, and traps.
//!
//! `fixtures/zookeeper/VERSION/` are captured from ensembles of three voters and an observer; what is checked of them holds
//! for any such capture. `fixtures/zookeeper/written/` are written from documented facts. `answers/` are of members within
//! elections: after the first leader was killed and came back (3.9.4 `leader`, `follower`), of the last member after two
//! were killed (`looking`, and `read_only` with `readonlymode.enabled`), of a follower within an election
//! (`synchronization`), and of one that was just started (3.8.0), where the member is `new_follower` before it has applied
//! its first transaction.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use quorumeter_exporters::catalog::{self, Metric};
use quorumeter_exporters::sample::{Histogram, Value};
use quorumeter_exporters::zookeeper::{mntr, prometheus, srvr, zabstate};
use quorumeter_exporters::{Dialect, ParseError, ProblemKind, Role, Sample};

use self::support::{Fixture, fixture};

const VERSIONS: [(&str, &str); 3] = [("3.9.4", "3.9.4"), ("3.8.0", "3.8.0"), ("3.9.4-prometheus", "3.9.4")];
const ROLES: [(&str, Role); 3] =
    [("leader", Role::Leader), ("follower", Role::Follower), ("observer", Role::Observer)];

macro_rules! answer {
    ($file:literal) => {
        include_str!(concat!("answers/", $file))
    };
}

fn of(folder: &str, file: &str) -> Fixture {
    fixture(&format!("zookeeper/{folder}/{file}"))
}

/// The captured members of which there is this answer, with their roles.
fn captured(question: &str) -> Vec<(&'static str, &'static str, Role, Fixture)> {
    let all = support::fixtures("zookeeper");
    let mut found = Vec::new();
    for (folder, version) in VERSIONS {
        for (name, role) in ROLES {
            let path = format!("zookeeper/{folder}/{name}.{question}");
            found.extend(
                all.iter()
                    .find(|fixture| fixture.path == path)
                    .map(|fixture| (folder, version, role, fixture.clone())),
            );
        }
    }
    assert!(found.len() >= 2, "{question}: {}", found.len());
    found
}

/// The raw values of `mntr`, read in the plainest way.
fn raw(mntr: &Fixture) -> BTreeMap<String, f64> {
    let pair = |line: &str| {
        let (key, value) = line.split_once('\t')?;
        Some((key.strip_prefix("zk_")?.to_owned(), value.parse().ok()?))
    };
    mntr.text.lines().filter_map(pair).collect()
}

fn series(sample: &Sample) -> BTreeSet<(&'static str, Vec<String>)> {
    sample.values.iter().map(|entry| (entry.metric.name, entry.labels.clone())).collect()
}

fn times(sample: &Sample, metric: &Metric) -> Option<(u64, f64)> {
    match sample.get(metric)? {
        Value::Histogram(Histogram { buckets, count, sum }) => {
            assert!(buckets.is_empty());
            Some((*count, *sum))
        }
        Value::Number(number) => panic!("{number}"),
    }
}

#[test]
fn followers_that_are_to_vote_later_are_no_voters_in_sync() {
    let leader = of("3.9.4", "leader.mntr.txt").text;
    assert!(
        leader.contains("zk_synced_followers\t2") && leader.contains("zk_synced_non_voting_followers\t0")
    );
    for (all, without_vote, synced) in [("2", "0", 2), ("3", "1", 2), ("2", "2", 0)] {
        let answer =
            leader.replace("zk_synced_followers\t2", &format!("zk_synced_followers\t{all}")).replace(
                "zk_synced_non_voting_followers\t0",
                &format!("zk_synced_non_voting_followers\t{without_vote}"),
            );
        let mut sample = Sample::default();
        mntr(&mut sample, &answer).unwrap();
        assert_eq!(sample.synced_followers, Some(synced), "{all} {without_vote}");
    }
}

#[test]
fn mntr_of_captured_members_is_taken_as_it_stands() {
    for (folder, version, role, fixture) in captured("mntr.txt") {
        let (sample, raw) = (fixture.told(), raw(&fixture));
        let path = &fixture.path;
        assert_eq!((sample.system, sample.version.as_deref()), (Some(Dialect::ZooKeeper), Some(version)));
        assert_eq!((sample.role, sample.serving, sample.has_leader), (Some(role), Some(true), Some(true)));
        assert_eq!(sample.voter, Some(role != Role::Observer), "{path}");
        assert_eq!(sample.zab_state.as_deref(), Some("broadcast"), "{path}");
        assert_eq!(sample.voters.map(|n| n as f64), raw.get("quorum_size").copied(), "{path}");
        for (metric, name) in [
            (&catalog::KEYS, "znode_count"),
            (&catalog::EPHEMERALS, "ephemerals_count"),
            (&catalog::WATCHES, "watch_count"),
            (&catalog::DATA_BYTES, "approximate_data_size"),
            (&catalog::PACKETS_RECEIVED, "packets_received"),
            (&catalog::PACKETS_SENT, "packets_sent"),
            (&catalog::CONNECTIONS, "num_alive_connections"),
            (&catalog::OUTSTANDING, "outstanding_requests"),
            (&catalog::OPEN_FDS, "open_file_descriptor_count"),
            (&catalog::MAX_FDS, "max_file_descriptor_count"),
            (&catalog::ELECTIONS, "looking_count"),
            (&catalog::PROPOSALS, "proposal_count"),
            (&catalog::COMMITS, "commit_count"),
            (&catalog::CONNECTIONS_REJECTED, "connection_rejected"),
            (&catalog::SESSIONS_EXPIRED, "stale_sessions_expired"),
            (&catalog::THROTTLED, "request_throttle_wait_count"),
            (&catalog::UNRECOVERABLE, "unrecoverable_error_count"),
            (&catalog::DIGEST_MISMATCHES, "digest_mismatches_count"),
        ] {
            assert_eq!(sample.number(metric), Some(raw[name]), "{path}: {name}");
        }
        assert_eq!(sample.number(&catalog::UPTIME), Some(raw["uptime"] / 1e3), "{path}");
        let sessions = raw["global_sessions"] + raw["local_sessions"];
        assert_eq!(sample.number(&catalog::SESSIONS), Some(sessions), "{path}");
        for (metric, name) in [
            (&catalog::ELECTION_DURATION, "election_time"),
            (&catalog::UNAVAILABLE, "unavailable_time"),
            (&catalog::LEADER_UNAVAILABLE, "leader_unavailable_time"),
            (&catalog::FSYNC_DURATION, "fsynctime"),
            (&catalog::SNAPSHOT_DURATION, "snapshottime"),
            (&catalog::COMMIT_DURATION, "quorum_ack_latency"),
        ] {
            let either = |plain: &str, provider: &str| {
                raw.get(&format!("{plain}_{name}"))
                    .or_else(|| raw.get(&format!("{name}_{provider}")))
                    .copied()
            };
            let expected = (either("cnt", "count").unwrap() as u64, either("sum", "sum").unwrap() / 1e3);
            let (count, sum) = times(&sample, metric).unwrap();
            assert!(count == expected.0 && (sum - expected.1).abs() < 1e-9, "{path}: {name}");
        }
        let of_leaders = [
            sample.synced_followers.map(|n| n as f64) == raw.get("synced_followers").copied(),
            sample.number(&catalog::LEARNERS) == raw.get("learners").copied(),
            sample.synced_followers.is_some() == (role == Role::Leader),
            sample.number(&catalog::PROPOSALS_PENDING).is_some() == (role == Role::Leader),
        ];
        assert_eq!(of_leaders, [true; 4], "{path}: {sample:?}");
        assert!(sample.term.is_none() && sample.applied_index.is_none(), "{folder}: mntr has no zxid");
    }
}

#[test]
fn what_captured_members_tell_in_different_answers_agrees() {
    for (folder, version, role, fixture) in captured("srvr.txt") {
        let name = role.name();
        let (told, mntr) = (fixture.told(), of(folder, &format!("{name}.mntr.txt")).told());
        assert_eq!((told.role, told.version.as_deref()), (Some(role), Some(version)), "{}", fixture.path);
        assert_eq!(told.number(&catalog::KEYS), mntr.number(&catalog::KEYS), "{}", fixture.path);
        let packets = told.number(&catalog::PACKETS_RECEIVED) >= mntr.number(&catalog::PACKETS_RECEIVED);
        assert!(packets, "{}: `srvr` was asked after `mntr`", fixture.path);
        let zxid = told.zxid.unwrap();
        assert_eq!((told.applied_term, told.applied_index), (Some(zxid >> 32), Some(zxid & 0xffff_ffff)));
        assert!(told.term.is_some_and(|term| term >= 1), "{}", fixture.path);
    }
    for (folder, _, role, fixture) in captured("zabstate.json") {
        let name = role.name();
        let (told, srvr) = (fixture.told(), of(folder, &format!("{name}.srvr.txt")).told());
        let path = &fixture.path;
        assert_eq!((told.role, told.serving, told.voter), (Some(role), Some(true), srvr.voter), "{path}");
        assert_eq!((told.term, told.applied_term), (srvr.term, srvr.applied_term), "{path}");
        assert!(told.applied_index >= srvr.applied_index, "{path}: it was asked later");
        assert_eq!(told.zab_state.as_deref(), Some("broadcast"), "{path}");

        let mut together = told;
        of(folder, &format!("{name}.voting_view.json")).take(&mut together).unwrap();
        of(folder, &format!("{name}.leader.json")).take(&mut together).unwrap();
        let mntr = of(folder, &format!("{name}.mntr.txt")).told();
        assert_eq!(together.voters(), mntr.voters, "{path}");
        assert_eq!(together.voter(), Some(role != Role::Observer), "{path}");
        assert_eq!(together.has_leader, Some(true), "{path}");
    }
    for (folder, _, role, fixture) in captured("monitor.json") {
        let mntr = of(folder, &format!("{}.mntr.txt", role.name())).told();
        let told = fixture.told();
        assert_eq!(series(&told), series(&mntr), "{}", fixture.path);
        assert_eq!((told.role, told.voters, &told.version), (mntr.role, mntr.voters, &mntr.version));
        for metric in [&catalog::KEYS, &catalog::ELECTIONS, &catalog::MAX_FDS, &catalog::ELECTION_DURATION] {
            assert_eq!(told.get(metric), mntr.get(metric), "{}: {}", fixture.path, metric.name);
        }
        assert_eq!(told.serving, None, "the AdminServer answers for members that serve nobody, too");
    }
    for (folder, _, role, fixture) in captured("metrics.txt") {
        let mntr = of(folder, &format!("{}.mntr.txt", role.name())).told();
        let mut told = Sample { role: Some(role), ..Sample::default() };
        fixture.take(&mut told).unwrap();
        assert_eq!(series(&told), series(&mntr), "{}", fixture.path);
        assert_eq!((told.voters, told.synced_followers), (mntr.voters, mntr.synced_followers));
        for metric in [&catalog::KEYS, &catalog::ELECTIONS, &catalog::MAX_FDS, &catalog::ELECTION_DURATION] {
            assert_eq!(told.get(metric), mntr.get(metric), "{}: {}", fixture.path, metric.name);
        }
        for metric in [&catalog::CPU_SECONDS, &catalog::RESIDENT_BYTES] {
            assert!(told.number(metric) > Some(0.0), "{}: {}", fixture.path, metric.name);
        }
        assert_eq!(fixture.told().role, None, "the endpoint does not tell it");
        assert_eq!(fixture.told().synced_followers, None, "only of a member that is known to lead");
    }
    for (_, _, role, fixture) in captured("last_snapshot.json") {
        // A member that has made none since it started tells none.
        match fixture.told().number(&catalog::LAST_SNAPSHOT) {
            Some(time) => assert!(time > 1.7e9, "{}: {time}", fixture.path),
            None => assert_ne!(role, Role::Leader, "{}", fixture.path),
        }
    }
}

#[test]
fn a_member_without_a_leader_is_a_candidate_and_tells_no_number() {
    for folder in ["3.9.4", "3.8.0"] {
        let mut sample = Sample::default();
        for file in ["srvr.txt", "mntr.txt"] {
            of(folder, &format!("electing.{file}")).take(&mut sample).unwrap();
        }
        assert_eq!(
            (sample.role, sample.has_leader),
            (None, None),
            "{folder}: it might serve nobody and lead"
        );
        for file in ["zabstate.json", "voting_view.json", "leader.json", "last_snapshot.json"] {
            of(folder, &format!("electing.{file}")).take(&mut sample).unwrap();
        }
        let expected = Sample {
            serving: Some(false),
            role: Some(Role::Candidate),
            has_leader: Some(false),
            ..Sample::default()
        };
        assert_eq!(sample, expected, "{folder}");
    }
}

#[test]
fn members_within_elections() {
    const LOOKING: &str = answer!("3.9.4/looking.srvr");
    let broadcast = Some("broadcast");
    let zxid = Some(0x3_0000_00f8);
    let candidate = Some(Role::Candidate);
    // Role, term, part in the protocol, zxid.
    for (name, answers, expected) in [
        (
            "leader",
            [answer!("3.9.4/leader.srvr"), answer!("3.9.4/leader.mntr"), answer!("3.9.4/leader.zabstate")],
            (Some(Role::Leader), Some(3), broadcast, zxid),
        ),
        (
            "follower",
            [
                answer!("3.9.4/follower.srvr"),
                answer!("3.9.4/follower.mntr"),
                answer!("3.9.4/follower.zabstate"),
            ],
            (Some(Role::Follower), Some(3), broadcast, zxid),
        ),
        (
            "looking",
            [LOOKING, answer!("3.9.4/looking.mntr"), answer!("3.9.4/looking.zabstate")],
            (candidate, None, None, None),
        ),
        (
            "read-only",
            [
                answer!("3.9.4/read_only.srvr"),
                answer!("3.9.4/read_only.mntr"),
                answer!("3.9.4/read_only.zabstate"),
            ],
            (Some(Role::ReadOnly), Some(3), None, zxid),
        ),
        (
            "synchronising, as it says itself",
            [LOOKING, LOOKING, answer!("3.9.4/synchronization.zabstate")],
            (None, Some(1), Some("synchronization"), Some(0x1_0000_0000)),
        ),
        (
            "3.8 leader",
            [answer!("3.8.0/leader.srvr"), answer!("3.8.0/leader.mntr"), answer!("3.8.0/leader.zabstate")],
            (Some(Role::Leader), Some(1), broadcast, Some(0x1_0000_0000)),
        ),
        (
            "3.8 follower",
            [answer!("3.8.0/follower.srvr"), LOOKING, answer!("3.8.0/follower.zabstate")],
            (Some(Role::Follower), Some(1), broadcast, Some(0x1_0000_0000)),
        ),
        (
            "3.8 follower that has applied nothing",
            [answer!("3.8.0/new_follower.srvr"), LOOKING, answer!("3.8.0/new_follower.zabstate")],
            (Some(Role::Follower), None, broadcast, Some(0)),
        ),
    ] {
        // `mntr` may come last.
        for order in [[0, 1, 2], [1, 0, 2], [0, 2, 1]] {
            let mut sample = Sample::default();
            for question in order {
                [srvr, mntr, zabstate][question](&mut sample, answers[question]).unwrap();
            }
            let told = (sample.role, sample.term, sample.zab_state.as_deref(), sample.zxid);
            assert_eq!(told, expected, "{name}, asked in order {order:?}");
            assert_eq!(sample.serving, Some(answers[0] != LOOKING), "{name}");
        }
    }
}

#[test]
fn a_leader_that_serves_no_clients_is_known_by_its_adminserver() {
    let mut sample = Sample::default();
    of("written", "not-serving.srvr.txt").take(&mut sample).unwrap();
    of("written", "leader-serves-no.zabstate.json").take(&mut sample).unwrap();
    let told = (sample.serving, sample.role, sample.has_leader, sample.term, sample.applied_index);
    assert_eq!(told, (Some(false), Some(Role::Leader), Some(true), Some(2), Some(17)));
    assert_eq!(sample.member_id.as_deref(), Some("3"));
    of("written", "leader-serves-no.monitor.json").take(&mut sample).unwrap();
    assert_eq!((sample.serving, sample.synced_followers, sample.voters), (Some(false), Some(2), Some(3)));
    assert_eq!(sample.number(&catalog::PROPOSALS_PENDING), Some(2.0));
    assert_eq!(sample.get(&catalog::FSYNC_DURATION), None, "a number that is none");
}

#[test]
fn releases_before_3_6_tell_followers_and_no_times() {
    for (file, version, role, synced, learners) in [
        ("3.4-leader.mntr.txt", "3.4.14", Role::Leader, Some(2), Some(2.0)),
        ("3.4-follower.mntr.txt", "3.4.14", Role::Follower, None, None),
        // An observer is among them.
        ("3.5-leader.mntr.txt", "3.5.9", Role::Leader, Some(3), Some(4.0)),
    ] {
        let told = of("written", file).told();
        assert_eq!((told.version.as_deref(), told.role), (Some(version), Some(role)), "{file}");
        assert_eq!((told.synced_followers, told.number(&catalog::LEARNERS)), (synced, learners), "{file}");
        assert_eq!((told.voters, &told.zab_state), (None, &None), "{file}");
        assert!(told.number(&catalog::PACKETS_RECEIVED) > Some(0.0), "{file}");
        let is_number = |value: &Value| matches!(value, Value::Number(_));
        assert!(told.values.iter().all(|entry| is_number(&entry.value)), "{file}");
        for metric in [&catalog::UPTIME, &catalog::SESSIONS, &catalog::ELECTIONS, &catalog::PROPOSALS_PENDING]
        {
            assert_eq!(told.number(metric), None, "{file}: {}", metric.name);
        }
    }
    let told = of("written", "3.4-leader.srvr.txt").told();
    let position = (told.role, told.term, told.applied_term, told.applied_index);
    assert_eq!(position, (Some(Role::Leader), Some(5), Some(5), Some(0x139)));
}

#[test]
fn traps_of_mntr_since_3_6() {
    let told = of("written", "3.6-leader.mntr.txt").told();
    let acks = |peer: &str| told.get_labelled(&catalog::PEER_ACK, &[peer]).cloned();
    let sum = |count, sum| Some(Value::Histogram(Histogram { buckets: vec![], count, sum }));
    assert_eq!((acks("2"), acks("3")), (sum(1, 7.0 / 1e3), sum(2, 26.0 / 1e3)), "the sid is in the middle");
    let peers = told.values.iter().filter(|entry| entry.metric.name == catalog::PEER_ACK.name).count();
    assert_eq!(peers, 2, "`quorum_ack_latency` is nobody's");
    assert_eq!(times(&told, &catalog::PAUSES), Some((4, 1250.0 / 1e3)));
    assert_eq!(told.get(&catalog::UNAVAILABLE), None, "since 3.7");

    let told = of("written", "3.6-follower-synchronizing.mntr.txt").told();
    assert_eq!(told.zab_state.as_deref(), Some("synchronization"), "a state with blanks");
    assert_eq!(
        (told.get(&catalog::ELECTION_DURATION), told.get(&catalog::MAX_FDS)),
        (None, None),
        "negative"
    );

    let told = of("written", "provider-leader.mntr.txt").told();
    assert_eq!(told.number(&catalog::PACKETS_RECEIVED), Some(16_308_337.0), "whole numbers, too");
    assert_eq!((told.synced_followers, told.voters), (Some(2), Some(3)));
    assert_eq!(times(&told, &catalog::ELECTION_DURATION), Some((2, 16_308_337.0 / 1e3)));
    assert_eq!(times(&told, &catalog::UNAVAILABLE), Some((0, 0.0)));
    assert_eq!(told.get_labelled(&catalog::REQUEST_DURATION, &["write"]), None, "NaN");
    let peer = told.get_labelled(&catalog::PEER_ACK, &["2"]);
    assert_eq!(peer.cloned(), sum(3, 12.0 / 1e3));
}

#[test]
fn the_endpoint_of_later_releases_tells_the_same_under_other_names() {
    let mut told = Sample { role: Some(Role::Leader), ..Sample::default() };
    of("written", "master-leader.metrics.txt").take(&mut told).unwrap();
    let mut before = Sample { role: Some(Role::Leader), ..Sample::default() };
    of("3.9.4-prometheus", "leader.metrics.txt").take(&mut before).unwrap();
    assert_eq!(series(&told), series(&before));
    assert!(told.number(&catalog::PROPOSALS) > Some(0.0), "{told:?}");
}

#[test]
fn the_embedded_member_answers_as_3_9_does() {
    let mut told = of("embedded", "standalone.srvr.txt").told();
    of("embedded", "standalone.mntr.txt").take(&mut told).unwrap();
    for file in ["standalone.zabstate.json", "standalone.leader.json", "standalone.voting_view.json"] {
        of("written", file).take(&mut told).unwrap();
    }
    assert_eq!((told.system, told.serving), (Some(Dialect::Embedded), Some(true)));
    assert_eq!((told.role, told.has_leader, told.voter), (Some(Role::Standalone), Some(true), Some(true)));
    assert_eq!((told.term, &told.zab_state, told.voters()), (None, &None, None));
    assert!(told.number(&catalog::SESSIONS).is_some() && told.number(&catalog::UPTIME).is_some());
}

#[test]
fn states_of_the_adminserver_are_no_errors() {
    let not_serving = Sample { serving: Some(false), ..Sample::default() };
    assert_eq!(of("written", "not-serving.zabstate.json").told(), not_serving);
    for file in ["standalone.zabstate.json", "standalone.leader.json", "standalone.voting_view.json"] {
        assert_eq!(of("written", file).told(), Sample::default(), "{file}");
    }
    assert_eq!(of("written", "none.last_snapshot.json").told(), Sample::default());
    assert_eq!(of("written", "nobody.leader.json").told().has_leader, Some(false));
    let ids = of("written", "three-voters-of-many.voting_view.json").told().voter_ids.unwrap();
    assert_eq!(ids, ["1", "2", "10"]);
    for file in ["unknown.zabstate.json", "refused.mntr.txt"] {
        let mut sample = Sample::default();
        assert_eq!(of("written", file).take(&mut sample), Err(ParseError::Refused), "{file}");
        assert_eq!(sample, Sample::default());
    }
}

#[test]
fn what_is_no_answer_is_an_error_and_changes_nothing() {
    use ProblemKind::{Binary, Empty, Missing, Syntax, Value};
    type Parse = fn(&mut Sample, &str) -> Result<(), ParseError>;
    let cases: [(Parse, &str, ProblemKind); 18] = [
        (srvr, "", Empty),
        (srvr, "\u{fffd}\u{fffd}\u{fffd}", Binary),
        (srvr, "HTTP/1.1 400 Bad Request\r\n\r\n", Missing),
        (srvr, "Zookeeper version: 3.9.4\nLatency min/avg/max: 0/0.0/0\nReceived: 2\n", Missing),
        (mntr, "\n", Empty),
        (mntr, "\0\0", Binary),
        (mntr, "noise\n", Missing),
        (mntr, "zk_version\t3.9.4\nzk_znode_count\t5\n", Missing),
        (mntr, "zk_server_state\trapture\n", Value),
        (zabstate, "", Empty),
        (zabstate, "<html>", Syntax),
        (zabstate, "{\"zabstate\": \"broadcast\"", Syntax),
        (zabstate, "[]", Value),
        (zabstate, "{\"zabstate\": \"broadcast\"}", Missing),
        (zabstate, "{\"zabstate\": 1, \"command\": \"zabstate\"}", Value),
        (zabstate, "{\"zabstate\": \"rapture\", \"command\": \"zabstate\"}", Value),
        (
            zabstate,
            "{\"zabstate\": \"broadcast\", \"last_zxid\": \"0x+7\", \"command\": \"zabstate\"}",
            Value,
        ),
        (prometheus, "up 1\n", Missing),
    ];
    for (parse, answer, kind) in cases {
        let mut sample = Sample::default();
        let result = parse(&mut sample, answer);
        assert_eq!(result.map_err(|error| error.kind()), Err(kind), "{answer:?}");
        assert_eq!(sample, Sample::default(), "{answer:?}");
    }
    // One that is no number does not hide the others.
    let mut sample = Sample::default();
    let answer = "zk_server_state\tleader\nzk_watch_count\tmany\nzk_znode_count\t5\n";
    let error = mntr(&mut sample, answer).unwrap_err();
    assert_eq!(error.to_string(), "watch_count is \"many\"");
    assert_eq!((sample.number(&catalog::KEYS), sample.number(&catalog::WATCHES)), (Some(5.0), None));
}
