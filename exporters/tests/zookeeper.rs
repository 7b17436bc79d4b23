//! Answers of real members, and traps.
//!
//! `answers/VERSION/MEMBER.QUESTION` are of ensembles of three on loopback: after the first leader was killed and came
//! back (3.9.4 `leader`, `follower`), of the last member after two were killed (`looking`, and `read_only` with
//! `readonlymode.enabled`), of a follower within an election (`synchronization`), and of one that was just started
//! (3.8.0), where the member is `new_follower` before it has applied its first transaction.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

use quorumeter_exporters::zookeeper::{ParseError, mntr, srvr, zabstate};
use quorumeter_record::{MemberLine, TimeSum};
use quorumeter_zk::four_letter::AnswerError;

macro_rules! answer {
    ($file:literal) => {
        include_str!(concat!("answers/", $file))
    };
}

const NOT_SERVING: &str = answer!("3.9.4/looking.srvr");

/// Role, term, Zab state, zxid.
fn position(line: &MemberLine) -> (Option<&str>, Option<i64>, Option<&str>, Option<i64>) {
    (line.role.as_deref(), line.term, line.zab_state.as_deref(), line.zxid)
}

#[test]
fn what_real_members_tell_together() {
    let zxid = Some(0x3_0000_00f8);
    for (name, answers, expected) in [
        (
            "leader",
            [answer!("3.9.4/leader.srvr"), answer!("3.9.4/leader.zabstate"), answer!("3.9.4/leader.mntr")],
            (Some("leader"), Some(3), Some("broadcast"), zxid),
        ),
        (
            "follower",
            [
                answer!("3.9.4/follower.srvr"),
                answer!("3.9.4/follower.zabstate"),
                answer!("3.9.4/follower.mntr"),
            ],
            (Some("follower"), Some(3), Some("broadcast"), zxid),
        ),
        (
            "looking",
            [NOT_SERVING, answer!("3.9.4/looking.zabstate"), answer!("3.9.4/looking.mntr")],
            (None, None, None, None),
        ),
        (
            "read-only",
            [
                answer!("3.9.4/read_only.srvr"),
                answer!("3.9.4/read_only.zabstate"),
                answer!("3.9.4/read_only.mntr"),
            ],
            (Some("read-only"), Some(3), None, zxid),
        ),
        (
            "synchronising, as it says itself",
            [NOT_SERVING, answer!("3.9.4/synchronization.zabstate"), NOT_SERVING],
            (None, Some(1), Some("synchronization"), Some(0x1_0000_0000)),
        ),
        (
            "3.8 leader",
            [answer!("3.8.0/leader.srvr"), answer!("3.8.0/leader.zabstate"), answer!("3.8.0/leader.mntr")],
            (Some("leader"), Some(1), Some("broadcast"), Some(0x1_0000_0000)),
        ),
        (
            "3.8 follower",
            [answer!("3.8.0/follower.srvr"), answer!("3.8.0/follower.zabstate"), NOT_SERVING],
            (Some("follower"), Some(1), Some("broadcast"), Some(0x1_0000_0000)),
        ),
        (
            "3.8 follower that has applied nothing",
            [answer!("3.8.0/new_follower.srvr"), answer!("3.8.0/new_follower.zabstate"), NOT_SERVING],
            (Some("follower"), None, Some("broadcast"), Some(0)),
        ),
    ] {
        // Whatever comes first.
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let mut line = MemberLine::default();
            for question in order {
                [srvr, zabstate, mntr][question](&mut line, answers[question]).unwrap();
            }
            assert_eq!(position(&line), expected, "{name}, asked in order {order:?}");
        }
    }
}

#[test]
fn srvr_tells_the_counters() {
    let mut line = MemberLine::default();
    srvr(&mut line, answer!("3.9.4/follower.srvr")).unwrap();
    let expected = MemberLine {
        role: Some("follower".to_owned()),
        term: Some(3),
        zxid: Some(0x3_0000_00f8),
        packets_received: Some(847),
        packets_sent: Some(1376),
        outstanding_requests: Some(0),
        connections: Some(1),
        znodes: Some(5),
        ..MemberLine::default()
    };
    assert_eq!(line, expected);
}

#[test]
fn mntr_tells_followers_elections_and_times_without_service() {
    let sum = |count, ms: u64| Some(TimeSum { count, sum_ns: ms * 1_000_000 });
    for (name, answer, followers, [elections, unavailable, leader_unavailable], state) in [
        (
            "leader",
            answer!("3.9.4/leader.mntr"),
            Some(2),
            [sum(2, 616), sum(2, 827), sum(1, 349)],
            Some("broadcast"),
        ),
        (
            "follower",
            answer!("3.9.4/follower.mntr"),
            None,
            [sum(2, 435), sum(2, 657), sum(0, 0)],
            Some("broadcast"),
        ),
        ("read-only", answer!("3.9.4/read_only.mntr"), None, [sum(0, 0); 3], None),
        (
            "3.8 leader",
            answer!("3.8.0/leader.mntr"),
            Some(2),
            [sum(1, 417), sum(1, 519), sum(1, 519)],
            Some("broadcast"),
        ),
        ("looking", NOT_SERVING, None, [None; 3], None),
        ("Keeper's", "This instance is not currently serving requests\n", None, [None; 3], None),
        ("Keeper's follower", "zk_server_state\tfollower\nzk_synced_followers\t0\n", None, [None; 3], None),
        ("3.4 leader", "zk_server_state\tleader\nzk_synced_followers\t0\n", Some(0), [None; 3], None),
        (
            "with the Prometheus provider",
            "zk_server_state\tleader\nzk_synced_followers\t2.0\nzk_election_time{quantile=\"0.5\"}\tNaN\n\
             zk_election_time_count\t2.0\nzk_election_time_sum\t1.6308337E7\nzk_unavailable_time_count\t0.0\n\
             zk_unavailable_time_sum\t0.0\n",
            Some(2),
            [sum(2, 16_308_337), sum(0, 0), None],
            None,
        ),
        (
            "in the middle of it",
            "zk_peer_state\tfollowing - synchronization - diff\nzk_cnt_election_time\t1\nzk_sum_election_time\t-1\n",
            None,
            [None; 3],
            Some("synchronization"),
        ),
        ("of a state to come", "zk_peer_state\tfollowing - rapture\n", None, [None; 3], None),
        ("of a part of the truth", "zk_cnt_election_time\t1\n", None, [None; 3], None),
    ] {
        let mut line = MemberLine::default();
        mntr(&mut line, answer).unwrap();
        let expected = MemberLine {
            synced_followers: followers,
            elections,
            unavailable,
            leader_unavailable,
            zab_state: state.map(str::to_owned),
            ..MemberLine::default()
        };
        assert_eq!(line, expected, "{name}");
    }
}

#[test]
fn traps_in_zabstate() {
    let with = |json: &str| {
        let mut line = MemberLine::default();
        let result = zabstate(&mut line, json);
        (position(&line).1, line.zab_state.clone(), line.zxid, result)
    };
    let empty = |result| (None, None, None, result);
    // As the embedded member and a standalone one answer.
    let standalone = r#"{"voting": false, "zabstate": "", "command": "zabstate", "error": null}"#;
    assert_eq!(with(standalone), empty(Ok(())));
    let not_serving =
        r#"{"command": "zabstate", "error": "This ZooKeeper instance is not currently serving requests"}"#;
    assert_eq!(with(not_serving), empty(Ok(())));
    let unknown = r#"{"command": "zabstate", "error": "Unknown command: zabstate"}"#;
    assert_eq!(with(unknown), empty(Err(ParseError::Failed("Unknown command: zabstate".to_owned()))));
    for json in ["", "[]", "<html>", r#"{"zabstate": 1}"#, "{\"zabstate\": \"broadcast\""] {
        let (.., result) = with(json);
        assert!(matches!(result, Err(ParseError::Json(_))), "{json}: {result:?}");
    }
    let bad = |field, value: &str| empty(Err(ParseError::Value { field, value: value.to_owned() }));
    assert_eq!(with(r#"{"zabstate": "rapture", "last_zxid": "0x1"}"#), bad("zabstate", "rapture"));
    assert_eq!(with(r#"{"zabstate": "broadcast", "last_zxid": "7"}"#), bad("last_zxid", "7"));
    assert_eq!(with(r#"{"zabstate": "broadcast", "last_zxid": "0x+7"}"#), bad("last_zxid", "0x+7"));
    let state = |state: &str| Some(state.to_owned());
    assert_eq!(with(r#"{"zabstate": "DISCOVERY"}"#), (None, state("discovery"), None, Ok(())));
    // Its epoch is the later one.
    let epoch = r#"{"zabstate": "broadcast", "last_zxid": "0x200000007", "zab_epoch": 3}"#;
    assert_eq!(with(epoch), (Some(3), state("broadcast"), Some(0x2_0000_0007), Ok(())));
}

#[test]
fn what_is_no_answer_is_an_error_and_changes_nothing() {
    let refused = "mntr is not executed because it is not in the whitelist.\n";
    for (answer, error) in [
        ("", AnswerError::Empty),
        (refused, AnswerError::NotWhitelisted),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", AnswerError::Missing("Latency min/avg/max")),
    ] {
        let mut line = MemberLine::default();
        assert_eq!(srvr(&mut line, answer), Err(error.into()));
        assert_eq!(line, MemberLine::default());
    }
    let mut line = MemberLine::default();
    assert_eq!(mntr(&mut line, refused), Err(AnswerError::NotWhitelisted.into()));
    assert_eq!(mntr(&mut line, "noise"), Err(AnswerError::Missing("zk_ lines").into()));
    assert_eq!(line, MemberLine::default());
}
