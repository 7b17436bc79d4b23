//! Answers of ClickHouse Keeper, written from documented facts, and traps.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod support;

use quorumeter_exporters::catalog;
use quorumeter_exporters::sample::{Histogram, Value};
use quorumeter_exporters::{Dialect, ParseError, ProblemKind, Role, Sample, keeper};

use self::support::{Fixture, fixture};

fn of(file: &str) -> Fixture {
    fixture(&format!("keeper/written/{file}"))
}

#[test]
fn srvr_is_told_from_zookeepers_and_has_a_zxid_of_its_own() {
    for (file, version, role, zxid) in [
        // Decimal, as old releases write it.
        ("21.11-follower.srvr.txt", "v21.11.1.1-prestable", Role::Follower, 34),
        ("24.3-leader.srvr.txt", "v24.3.1.2672-lts", Role::Leader, 0x1a4),
        ("24.3-observer.srvr.txt", "v24.3.1.2672-lts", Role::Observer, 0x1a4),
    ] {
        let told = of(file).told();
        assert_eq!((told.system, told.version.as_deref()), (Some(Dialect::Keeper), Some(version)), "{file}");
        assert_eq!((told.role, told.serving, told.zxid), (Some(role), Some(true), Some(zxid)), "{file}");
        assert_eq!(
            (told.term, told.applied_term, told.applied_index),
            (None, None, None),
            "{file}: no term in it"
        );
    }
}

#[test]
fn mntr_tells_followers_of_leaders_only() {
    for (file, synced, learners, voters) in [
        ("24.3-leader.mntr.txt", Some(1), Some(2.0), Some(3)),
        ("24.3-follower.mntr.txt", None, None, None),
        ("synced-of-a-follower.mntr.txt", None, None, None),
        ("newest-leader.mntr.txt", Some(2), Some(2.0), Some(3)),
    ] {
        let told = of(file).told();
        assert_eq!(told.system, Some(Dialect::Keeper), "{file}");
        let followers = (told.synced_followers, told.number(&catalog::LEARNERS), told.voters);
        assert_eq!(followers, (synced, learners, voters), "{file}");
        let values = [&catalog::KEYS, &catalog::WATCHES, &catalog::CONNECTIONS, &catalog::DATA_BYTES];
        assert_eq!(
            values.map(|metric| told.number(metric)),
            [Some(41.0), Some(6.0), Some(4.0), Some(10_914.0)]
        );
    }
    assert_eq!(of("no-fd-limit.mntr.txt").told().number(&catalog::MAX_FDS), None, "-1");
    let told = of("newest-leader.mntr.txt").told();
    let sum = |count, sum| Some(Value::Histogram(Histogram { buckets: vec![], count, sum }));
    assert_eq!(told.get(&catalog::ELECTION_DURATION).cloned(), sum(2, 1830.0 / 1e3));
    assert_eq!(told.get(&catalog::LEADER_UNAVAILABLE).cloned(), sum(1, 2510.0 / 1e3));
    assert_eq!(told.number(&catalog::ELECTIONS), Some(2.0));
}

#[test]
fn lgif_tells_term_and_position_whatever_first_log_term_says() {
    for (file, term, [last, committed, of_leader]) in [
        ("24.3-leader.lgif.txt", 7, [503, 501, 501]),
        ("24.3-follower.lgif.txt", 7, [503, 498, 501]),
        ("22.8-follower.lgif.txt", 2, [101, 101, 101]),
    ] {
        let expected = Sample {
            system: Some(Dialect::Keeper),
            term: Some(term),
            last_index: Some(last),
            commit_index: Some(committed),
            applied_index: Some(committed),
            leader_commit_index: Some(of_leader),
            ..Sample::default()
        };
        assert_eq!(of(file).told(), expected, "{file}");
    }
    assert_eq!(of("no-leader.lgif.txt").told().leader_commit_index, None);
}

#[test]
fn the_endpoint_tells_it_all_in_three_families() {
    let (leader, follower) = (of("24.3-leader.metrics.txt").told(), of("24.3-follower.metrics.txt").told());
    assert_eq!((leader.role, leader.synced_followers, leader.voters), (Some(Role::Leader), Some(1), Some(3)));
    let followers = (follower.role, follower.synced_followers, follower.number(&catalog::LEARNERS));
    assert_eq!(followers, (Some(Role::Follower), None, None), "0 of followers is not told");
    // As `mntr` and `lgif` of the same member tell it.
    let mut words = of("24.3-leader.mntr.txt").told();
    of("24.3-leader.lgif.txt").take(&mut words).unwrap();
    for metric in [
        &catalog::KEYS,
        &catalog::WATCHES,
        &catalog::EPHEMERALS,
        &catalog::DATA_BYTES,
        &catalog::OPEN_FDS,
        &catalog::MAX_FDS,
        &catalog::CONNECTIONS,
        &catalog::OUTSTANDING,
        &catalog::PACKETS_RECEIVED,
        &catalog::PACKETS_SENT,
        &catalog::LEARNERS,
    ] {
        assert_eq!(leader.number(metric), words.number(metric), "{}", metric.name);
    }
    let position = |told: &Sample| (told.term, told.last_index, told.commit_index, told.applied_index);
    assert_eq!(position(&leader), position(&words));
    for (metric, value) in [
        (&catalog::PROPOSALS, 402.0),
        (&catalog::COMMITS_FAILED, 0.0),
        (&catalog::SNAPSHOTS_FAILED, 3.0),
        (&catalog::MEMORY_LIMIT_HIT, 0.0),
        (&catalog::THROTTLED, 5.0),
    ] {
        assert_eq!(leader.number(metric), Some(value), "{}", metric.name);
    }
    let Some(Value::Histogram(syncs)) = leader.get(&catalog::FSYNC_DURATION) else { panic!("{leader:?}") };
    assert_eq!((syncs.count, syncs.sum), (610, 0.912345));
    let of_op = |op: &str| leader.get_labelled(&catalog::REQUEST_DURATION, &[op]).cloned();
    let Some(Value::Histogram(reads)) = of_op("read") else { panic!("{leader:?}") };
    assert_eq!((reads.count, reads.sum, reads.buckets.len()), (400, 812.5 / 1e3, 7));
    assert_eq!(reads.buckets[0], (10.0 / 1e3, 398));
    assert!(of_op("write").is_some() && of_op("multi").is_some());
}

#[test]
fn old_spellings_and_members_without_a_leader() {
    let old = of("22.8-leader.metrics.txt").told();
    assert_eq!(old.number(&catalog::OUTSTANDING), Some(1.0));
    assert_eq!((old.term, old.get_labelled(&catalog::REQUEST_DURATION, &["read"])), (None, None));
    let alone = of("no-leader.metrics.txt").told();
    assert_eq!((alone.role, alone.serving, alone.synced_followers), (None, None, None));
    let not_serving = Sample { serving: Some(false), ..Sample::default() };
    assert_eq!(of("not-serving.mntr.txt").told(), not_serving);
    let mut sample = Sample::default();
    assert_eq!(keeper::lgif(&mut sample, &of("not-serving.mntr.txt").text), Ok(()));
    assert_eq!(sample, not_serving);
}

#[test]
fn what_is_no_answer_is_an_error_and_changes_nothing() {
    let mut sample = Sample::default();
    assert_eq!(of("refused.lgif.txt").take(&mut sample), Err(ParseError::Refused));
    for (answer, kind) in [
        ("", ProblemKind::Empty),
        ("last_log_term\t7\n", ProblemKind::Missing),
        ("last_log_term\tseven\nlast_log_idx\t1\n", ProblemKind::Value),
    ] {
        assert_eq!(keeper::lgif(&mut sample, answer).map_err(|error| error.kind()), Err(kind), "{answer:?}");
    }
    let zookeepers = fixture("zookeeper/3.9.4-prometheus/leader.metrics.txt");
    let error = keeper::prometheus(&mut sample, &zookeepers.text).unwrap_err();
    assert_eq!(error.kind(), ProblemKind::Missing);
    assert_eq!(sample, Sample::default());
}
