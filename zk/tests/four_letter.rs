//! Answers to four-letter words: those of real members, written to `four_letter/` by `examples/capture_golden`, and
//! traps.

use quorumeter_zk::four_letter::{
    AnswerError, IMOK, Mntr, Mode, NOT_SERVING, NOT_WHITELISTED, Srvr, parse_isro, parse_ruok, write_isro,
};

macro_rules! answer {
    ($file:literal) => {
        include_str!(concat!("four_letter/", $file))
    };
}

const VERSION: &str = "3.9.4-7246445ec281f3dbf53dc54e970c914f39713903, built on 2025-08-19 19:53 UTC";

#[test]
fn srvr_of_real_members() {
    for (answer, mode) in [
        (answer!("standalone.srvr"), Mode::Standalone),
        (answer!("leader.srvr"), Mode::Leader),
        (answer!("follower.srvr"), Mode::Follower),
        (answer!("read_only.srvr"), Mode::ReadOnly),
    ] {
        let srvr = Srvr::parse(answer).unwrap();
        assert_eq!((srvr.mode, &srvr.version[..]), (mode, VERSION));
        assert!(srvr.zxid > 0 && srvr.received > 0 && srvr.sent > 0 && srvr.node_count >= 5, "{srvr:?}");
        assert_eq!(srvr.connections, 1, "the connection that asks");
        let (min, mean, max) = srvr.latency_ms;
        assert!(min <= mean && mean <= max, "{srvr:?}");
        let leader_only = (mode == Mode::Leader).then_some([48, 36, 267]);
        assert_eq!(srvr.proposal_sizes, leader_only);
        assert_eq!(srvr.write(), answer);
    }
}

#[test]
fn mntr_of_real_members() {
    for (answer, state, peer_state) in [
        (answer!("standalone.mntr"), "standalone", None),
        (answer!("leader.mntr"), "leader", Some("leading - broadcast")),
        (answer!("follower.mntr"), "follower", Some("following - broadcast")),
        (answer!("read_only.mntr"), "read-only", None),
        (answer!("prometheus.mntr"), "standalone", None),
    ] {
        let mntr = Mntr::parse(answer).unwrap();
        assert_eq!(mntr.entries().count(), answer.lines().count(), "every line is an entry");
        assert_eq!(mntr.write(), answer);
        assert_eq!(mntr.get("version"), Some(VERSION));
        assert_eq!(mntr.get("server_state"), Some(state));
        assert_eq!(mntr.get("peer_state"), peer_state);
        assert!(mntr.number("uptime").is_some_and(|ms| ms > 0.0));
        assert_eq!(mntr.number("version"), None);
        for (key, value) in mntr.entries() {
            let text = ["version", "server_state", "peer_state"].contains(&key) || value == "NaN";
            assert_eq!(value.parse::<f64>().is_ok_and(f64::is_finite), !text, "{key} is {value:?}");
        }
    }
    let leader = Mntr::parse(answer!("leader.mntr")).unwrap();
    assert_eq!((leader.number("quorum_size"), leader.number("synced_followers")), (Some(3.0), Some(2.0)));
    assert_eq!(leader.number("last_client_response_size"), Some(-1.0));
    let follower = Mntr::parse(answer!("follower.mntr")).unwrap();
    assert_eq!(follower.get("synced_followers"), None);
}

/// The Prometheus provider writes numbers as floats, labels into keys, and NaN where it has seen nothing.
#[test]
fn mntr_of_the_prometheus_provider() {
    let mntr = Mntr::parse(answer!("prometheus.mntr")).unwrap();
    assert!(answer!("prometheus.mntr").contains("zk_process_start_time_seconds\t1."));
    assert!(mntr.number("process_start_time_seconds").is_some_and(|s| s > 1e9));
    assert_eq!(mntr.get("node_changed_watch_count{quantile=\"0.5\"}"), Some("NaN"));
    assert_eq!(mntr.number("node_changed_watch_count{quantile=\"0.5\"}"), None);
    assert_eq!(mntr.number("node_changed_watch_count_count"), Some(0.0));
    assert_eq!(mntr.number("avg_updatelatency"), None, "there are quantiles for it");
    assert!(mntr.number("jvm_memory_pool_allocated_bytes_total{pool=\"G1 Eden Space\"}").is_some());
}

#[test]
fn answers_that_say_nothing_are_states() {
    assert_eq!(answer!("looking.srvr"), NOT_SERVING);
    assert_eq!(answer!("not_whitelisted.ruok"), format!("ruok{NOT_WHITELISTED}"));
    assert_eq!(answer!("standalone.ruok"), IMOK);
    for (answer, error) in [
        ("", AnswerError::Empty),
        ("\n", AnswerError::Empty),
        (answer!("looking.mntr"), AnswerError::NotServing),
        // ClickHouse Keeper without a leader.
        ("This instance is not currently serving requests", AnswerError::NotServing),
        ("This instance is not currently serving requests\n", AnswerError::NotServing),
        (answer!("not_whitelisted.ruok"), AnswerError::NotWhitelisted),
        ("mntr is not executed because it is not in the whitelist.", AnswerError::NotWhitelisted),
    ] {
        assert_eq!(Srvr::parse(answer), Err(error.clone()), "{answer:?}");
        assert_eq!(Mntr::parse(answer), Err(error.clone()), "{answer:?}");
        assert_eq!(parse_isro(answer), Err(error.clone()), "{answer:?}");
        assert_eq!(parse_ruok(answer), Err(error), "{answer:?}");
    }
    for (answer, read_only) in [
        (answer!("standalone.isro"), Ok(false)),
        (answer!("read_only.isro"), Ok(true)),
        (answer!("looking.isro"), Err(AnswerError::NotServing)),
        ("rw\n", Ok(false)),
        ("maybe", Err(AnswerError::Value { field: "isro", value: "maybe".to_owned() })),
    ] {
        assert_eq!(parse_isro(answer), read_only, "{answer:?}");
    }
    for answer in [answer!("standalone.ruok"), "imok\n"] {
        assert_eq!(parse_ruok(answer), Ok(()), "{answer:?}");
    }
    for answer in ["imo", "rw", "HTTP/1.1 400 Bad Request"] {
        let unheard = AnswerError::Value { field: "ruok", value: answer.to_owned() };
        assert_eq!(parse_ruok(answer), Err(unheard));
    }
    assert_eq!([write_isro(true), write_isro(false)], ["ro", "rw"]);
}

/// What a follower says, to be changed.
const SRVR: &str = "\
Zookeeper version: 3.9.4-7246445ec281f3dbf53dc54e970c914f39713903, built on 2025-08-19 19:53 UTC
Latency min/avg/max: 0/0.0/0
Received: 3
Sent: 2
Connections: 1
Outstanding: 0
Zxid: 0x100000007
Mode: follower
Node count: 5
";

#[test]
fn traps_in_srvr() {
    let with = |from: &str, to: &str| {
        assert!(SRVR.contains(from), "{from}");
        Srvr::parse(&SRVR.replace(from, to))
    };
    let bad = |field, value: &str| Err(AnswerError::Value { field, value: value.to_owned() });
    assert_eq!(with("0/0.0/0", "0/0.3421/12").unwrap().latency_ms, (0.0, 0.3421, 12.0));
    assert_eq!(with("0/0.0/0", "0/0/12").unwrap().latency_ms, (0.0, 0.0, 12.0));
    assert_eq!(with("0/0.0/0", "0/NaN/0"), bad("Latency min/avg/max", "0/NaN/0"));
    assert_eq!(with("0/0.0/0", "0/0.0"), bad("Latency min/avg/max", "0/0.0"));
    assert_eq!(with("0/0.0/0", "0/0.0/0/0"), bad("Latency min/avg/max", "0/0.0/0/0"));
    assert_eq!(with("0x100000007", "4294967303").unwrap().zxid, 0x1_0000_0007);
    assert_eq!(with("0x100000007", "0xffffffffffffffff").unwrap().zxid, -1);
    assert_eq!(with("0x100000007", "0x10000000000000000"), bad("Zxid", "0x10000000000000000"));
    assert_eq!(with("0x100000007", "0x"), bad("Zxid", "0x"));
    assert_eq!(with("0x100000007", "0x+1"), bad("Zxid", "0x+1"));
    assert_eq!(
        with("Received: 3", "Received: 18446744073709551616"),
        bad("Received", "18446744073709551616")
    );
    assert_eq!(with("Received: 3", "Received: -3"), bad("Received", "-3"));
    assert_eq!(with("follower", "drinking"), bad("Mode", "drinking"));
    assert_eq!(with("Mode: follower\n", ""), Err(AnswerError::Missing("Mode")));
    assert_eq!(with("Zookeeper version", "Version"), Err(AnswerError::Missing("version")));
    assert_eq!(with("Zookeeper version", "ClickHouse Keeper version").unwrap().version, VERSION);
    let proposals = |sizes: &str| with("5\n", &format!("5\nProposal sizes last/min/max: {sizes}\n"));
    assert_eq!(proposals("-1/-1/-1").unwrap().proposal_sizes, Some([-1; 3]));
    assert_eq!(proposals("1/2"), bad("Proposal sizes last/min/max", "1/2"));
    assert_eq!(proposals("1/2/3/4"), bad("Proposal sizes last/min/max", "1/2/3/4"));
    let parsed = Srvr::parse(SRVR);
    assert_eq!(with("\n", "\r\n"), parsed);
    assert_eq!(Srvr::parse(SRVR.trim_end()), parsed);
    // Cut off anywhere it is an error, or (within the last number) another number.
    for end in 0..=SRVR.find("5\n").unwrap() {
        assert!(Srvr::parse(&SRVR[..end]).is_err(), "{end}");
    }
}

#[test]
fn traps_in_mntr() {
    let answer = "zk_avg_latency\t0.3421\n\
                  zk_packets_received\t1.6308337E7\n\
                  zk_fsynctime{quantile=\"0.5\"}\tNaN\n\
                  zk_infinite\tInfinity\n\
                  zk_tabs\ta\tb\t\n\
                  zk_empty\t\n\
                  zk_no_tab\n\
                  \n\
                  other_key\t1\n\
                  zk_\t2\n\
                  zk_twice\t1\n\
                  zk_twice\t2\n\
                  zk_returned\t3\r\n\
                  zk_last\t4";
    let mntr = Mntr::parse(answer).unwrap();
    assert_eq!(mntr.number("avg_latency"), Some(0.3421));
    assert_eq!(mntr.number("packets_received"), Some(16_308_337.0));
    assert_eq!(mntr.number("fsynctime{quantile=\"0.5\"}"), None);
    assert_eq!(mntr.number("infinite"), None);
    assert_eq!(mntr.get("tabs"), Some("a\tb\t"));
    assert_eq!((mntr.get("empty"), mntr.number("empty")), (Some(""), None));
    assert_eq!((mntr.get("no_tab"), mntr.get("other_key"), mntr.get("")), (None, None, Some("2")));
    assert_eq!(mntr.number("twice"), Some(1.0));
    assert_eq!(mntr.number("returned"), Some(3.0));
    assert_eq!(mntr.number("last"), Some(4.0), "the newline at the end may be missing");
    let cut_off = Mntr::parse("zk_returned\t3\r").unwrap();
    assert_eq!(cut_off.number("returned"), Some(3.0));
    assert_eq!(Mntr::parse(&cut_off.write()), Ok(cut_off));
    for answer in ["no keys\n", "HTTP/1.1 400 Bad Request\r\n\r\n", "zk_no_tab\n"] {
        assert_eq!(Mntr::parse(answer), Err(AnswerError::Missing("zk_ lines")), "{answer:?}");
    }
}
