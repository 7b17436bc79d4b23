use super::*;
use crate::asked::ProblemKind;
use crate::sample::{Histogram, Value};

/// A captured answer; captures are taken of three members at about the same time.
macro_rules! captured {
    ($name:literal) => {
        include_str!(concat!("../../tests/fixtures/etcd/3.7.3/", $name))
    };
}

macro_rules! written {
    ($name:literal) => {
        include_str!(concat!("../../tests/fixtures/etcd/written/", $name))
    };
}

type Capture = [&'static str; 3];

const LEADER: Capture =
    [captured!("leader.status.json"), captured!("leader.metrics.txt"), captured!("leader.member_list.json")];
const FOLLOWER: Capture = [
    captured!("follower.status.json"),
    captured!("follower.metrics.txt"),
    captured!("follower.member_list.json"),
];

fn read([of_status, of_metrics, of_list]: Capture) -> Sample {
    let mut sample = Sample::default();
    status(&mut sample, of_status).unwrap();
    metrics(&mut sample, of_metrics).unwrap();
    member_list(&mut sample, of_list).unwrap();
    sample
}

fn only(parse: impl Fn(&mut Sample, &str) -> Result<(), ParseError>, answer: &str) -> Sample {
    let mut sample = Sample::default();
    parse(&mut sample, answer).unwrap();
    sample
}

#[test]
fn the_answers_of_a_member_agree_with_each_other() {
    for (capture, role) in [(LEADER, Role::Leader), (FOLLOWER, Role::Follower)] {
        let [by_status, by_metrics, by_list] =
            [only(status, capture[0]), only(metrics, capture[1]), only(member_list, capture[2])];
        let whole = read(capture);
        assert_eq!(whole.system, Some(Dialect::Etcd));
        assert_eq!((whole.role, whole.serving, whole.has_leader), (Some(role), Some(true), Some(true)));
        for one in [&by_status, &by_metrics] {
            assert_eq!(
                (one.role, one.has_leader, one.serving),
                (whole.role, whole.has_leader, whole.serving)
            );
            assert_eq!((&one.version, one.voter), (&whole.version, Some(true)));
        }
        assert_eq!(whole.version.as_deref(), Some("3.7.3"));
        for one in [&by_status, &by_metrics, &by_list] {
            assert_eq!(one.member_id, whole.member_id);
        }
        let voters = whole.voter_ids.clone().unwrap();
        assert_eq!((voters.len(), voters.is_sorted()), (3, true));
        assert!(voters.contains(whole.member_id.as_ref().unwrap()));
        assert_eq!(whole.term, by_status.term);
        // Of two instants, and applied is never ahead of committed.
        for one in [&by_status, &by_metrics] {
            assert!(one.applied_index.unwrap() <= one.commit_index.unwrap());
        }
        assert_eq!(whole.number(&catalog::ALARMS), Some(0.0));
        assert!(whole.number(&catalog::DATA_BYTES) <= whole.number(&catalog::STORAGE_BYTES));
        assert!(whole.number(&catalog::OPEN_FDS) <= whole.number(&catalog::MAX_FDS));
        let Some(Value::Histogram(fsync)) = whole.get(&catalog::FSYNC_DURATION) else { panic!() };
        assert_eq!(fsync.buckets[0].0, 0.001, "etcd's lowest bucket");
        assert!(fsync.count >= whole.applied_index.unwrap() / 2 || fsync.count > 10, "{fsync:?}");
        let log = whole.get_labelled(&catalog::STAGE_DURATION, &["log"]);
        assert_eq!(log, Some(&Value::Histogram(fsync.clone())));
    }
    assert_eq!(read(LEADER).voter_ids, read(FOLLOWER).voter_ids);
    assert_ne!(read(LEADER).member_id, read(FOLLOWER).member_id);
}

#[test]
fn peers_are_timed_by_their_ids() {
    for capture in [LEADER, FOLLOWER] {
        let sample = read(capture);
        // A peer is there from its first round trip on, half a minute after the start.
        for entry in sample.values.iter().filter(|entry| entry.metric.name == catalog::PEER_ACK.name) {
            assert!(sample.voter_ids.as_ref().unwrap().contains(&entry.labels[0]), "{entry:?}");
            assert_ne!(Some(&entry.labels[0]), sample.member_id.as_ref());
        }
    }
    let with_peers = only(metrics, written!("peers.metrics.txt"));
    let round_trips = Histogram { buckets: vec![(0.0001, 0), (0.0002, 3)], count: 4, sum: 0.0021 };
    let peer = with_peers.get_labelled(&catalog::PEER_ACK, &["5cae315174de75b1"]);
    assert_eq!(peer, Some(&Value::Histogram(round_trips)));
}

#[test]
fn what_the_status_says_of_role_and_term_is_of_one_instant() {
    // The metrics are of a moment later, when somebody else led.
    let mut sample = Sample::default();
    status(&mut sample, LEADER[0]).unwrap();
    metrics(&mut sample, FOLLOWER[1]).unwrap();
    assert_eq!(sample.role, Some(Role::Leader));
}

#[test]
fn states_are_told_from_each_other() {
    let base = r#""version":"3.7.3","raftTerm":"7","raftIndex":"9","raftAppliedIndex":"8""#;
    for (rest, role, has_leader, serving, alarms) in [
        (r#","leader":"11""#, Role::Leader, true, true, 0.0),
        (r#","leader":"12""#, Role::Follower, true, true, 0.0),
        (r#","leader":12"#, Role::Follower, true, true, 0.0),
        (r#","leader":"12","isLearner":true"#, Role::Observer, true, true, 0.0),
        (r#","errors":["etcdserver: no leader"]"#, Role::Candidate, false, false, 0.0),
        (
            r#","leader":"11","errors":["memberID:12 alarm:NOSPACE ","memberID:11 alarm:CORRUPT "]"#,
            Role::Leader,
            true,
            false,
            2.0,
        ),
    ] {
        let sample = only(status, &format!("{{\"header\":{{\"member_id\":\"11\"}},{base}{rest}}}"));
        assert_eq!(sample.role, Some(role), "{rest}");
        assert_eq!((sample.has_leader, sample.serving), (Some(has_leader), Some(serving)), "{rest}");
        assert_eq!(sample.number(&catalog::ALARMS), Some(alarms), "{rest}");
        assert_eq!((sample.term, sample.commit_index, sample.applied_index), (Some(7), Some(9), Some(8)));
        assert_eq!(sample.member_id.as_deref(), Some("b"));
    }
    for (metrics_text, role, has_leader, voter) in [
        (written!("no_leader.metrics.txt"), Role::Candidate, false, Some(true)),
        (written!("learner.metrics.txt"), Role::Observer, true, Some(false)),
        (written!("3.3.metrics.txt"), Role::Follower, true, None),
    ] {
        let sample = only(metrics, metrics_text);
        assert_eq!((sample.role, sample.has_leader), (Some(role), Some(has_leader)));
        assert_eq!((sample.serving, sample.voter), (Some(has_leader), voter));
    }
}

#[test]
fn a_quota_that_is_negative_is_none() {
    for (quota, told) in [("-1", None), ("0", None), ("8e+09", Some(8e9))] {
        let text = format!("etcd_server_has_leader 1\netcd_server_quota_backend_bytes {quota}\n");
        let mut sample = Sample::default();
        metrics(&mut sample, &text).unwrap();
        assert_eq!(sample.number(&catalog::QUOTA_BYTES), told, "{quota}");
    }
}

#[test]
fn an_alarm_counts_whatever_is_read_after_it() {
    let mut sample = Sample::default();
    status(&mut sample, written!("alarm.status.json")).unwrap();
    metrics(&mut sample, LEADER[1]).unwrap();
    assert_eq!((sample.serving, sample.number(&catalog::ALARMS)), (Some(false), Some(1.0)));
}

#[test]
fn learners_and_the_removed_do_not_vote() {
    let sample = only(member_list, written!("learner.member_list.json"));
    assert_eq!(sample.voter, Some(false));
    assert_eq!(sample.voter_ids.unwrap(), ["1f", "a", "ffffffffffffffff"]);
    let removed =
        written!("learner.member_list.json").replace("\"member_id\":\"11\"", "\"member_id\":\"99\"");
    assert_eq!(only(member_list, &removed).voter, Some(false));
}

#[test]
fn gauges_that_are_called_totals_are_indexes_and_large_ones_are_exact() {
    let sample = only(metrics, written!("no_leader.metrics.txt"));
    assert_eq!((sample.commit_index, sample.applied_index), (Some(9_007_199_254_740_991), Some(1_234_567)));
    // Absent, not 0.
    assert_eq!(sample.number(&catalog::KEYS), None);
    // Its own, where the process's are missing.
    assert_eq!(sample.number(&catalog::OPEN_FDS), Some(19.0));
    // NaN is no value.
    assert_eq!(sample.number(&catalog::PROPOSALS_PENDING), None);
}

#[test]
fn what_is_no_answer_of_etcd_is_told_why_and_nothing_is_taken_in() {
    type Parse = fn(&mut Sample, &str) -> Result<(), ParseError>;
    for (parse, answer, kind) in [
        (metrics as Parse, "", ProblemKind::Empty),
        (metrics, "<html>404</html>\n", ProblemKind::Syntax),
        (metrics, "go_goroutines 7\n", ProblemKind::Missing),
        (metrics, "etcd_server_has_leader yes\n", ProblemKind::Value),
        (metrics, "\u{0}\u{1}", ProblemKind::Binary),
        (status, "", ProblemKind::Empty),
        (status, "imok", ProblemKind::Syntax),
        (status, "{}", ProblemKind::Value),
        (status, r#"{"header":{}}"#, ProblemKind::Missing),
        (status, r#"{"header":{"member_id":"11"},"raftTerm":"-1"}"#, ProblemKind::Value),
        (status, r#"{"header":{"member_id":"11"},"raftTerm":"18446744073709551616"}"#, ProblemKind::Value),
        (status, "\"127.0.0.1:8300\"", ProblemKind::Value),
        (member_list, r#"{"header":{"member_id":"11"}}"#, ProblemKind::Missing),
        (member_list, r#"{"header":{"member_id":"11"},"members":[{"ID":"x"}]}"#, ProblemKind::Value),
    ] {
        let mut sample = Sample::default();
        let error = parse(&mut sample, answer).unwrap_err();
        assert_eq!(error.kind(), kind, "{answer:?}: {error}");
        assert_eq!(sample, Sample::default(), "{answer:?}");
    }
    // The answers of others.
    let consul = include_str!("../../tests/fixtures/consul/1.20.1/leader.metrics.txt");
    assert_eq!(metrics(&mut Sample::default(), consul).unwrap_err().kind(), ProblemKind::Missing);
}

/// Cut anywhere, an answer is none, or tells what the whole tells.
#[test]
fn a_cut_answer_tells_nothing_wrong() {
    let whole = only(metrics, LEADER[1]);
    let ends: Vec<usize> = LEADER[1].match_indices('\n').map(|(at, _)| at).collect();
    for end in ends.iter().step_by(97).flat_map(|end| [*end, end + 1]) {
        let mut sample = Sample::default();
        if metrics(&mut sample, &LEADER[1][..end]).is_ok() {
            // Of these a second source stands in for the first.
            let of_two = [catalog::OPEN_FDS.name, catalog::MAX_FDS.name];
            for entry in sample.values.iter().filter(|entry| !of_two.contains(&entry.metric.name)) {
                let labels: Vec<&str> = entry.labels.iter().map(String::as_str).collect();
                let of_whole = whole.get_labelled(entry.metric, &labels);
                assert!(of_whole.is_some(), "{}", entry.metric.name);
                if let Value::Number(_) = entry.value {
                    assert_eq!(of_whole, Some(&entry.value), "{}", entry.metric.name);
                }
            }
        }
    }
    for answer in [LEADER[0], LEADER[2]] {
        for end in 0..answer.trim_end().len() {
            let mut sample = Sample::default();
            assert!(status(&mut sample, &answer[..end]).is_err());
            assert!(member_list(&mut sample, &answer[..end]).is_err());
            assert_eq!(sample, Sample::default());
        }
    }
}
