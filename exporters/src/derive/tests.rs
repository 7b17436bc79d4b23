use std::time::Duration;

use super::*;
use crate::asked::{Problem, ProblemKind};
use crate::family::Family;
use crate::sample::Dialect;

/// What a member of a test told. `voters` is as its voter map says.
fn told(system: Dialect, role: Role, term: u64, index: u64) -> Sample {
    let follows = matches!(role, Role::Leader | Role::Follower | Role::Observer | Role::Standalone);
    let mut sample = Sample {
        system: Some(system),
        role: Some(role),
        serving: Some(follows),
        has_leader: Some(follows),
        voter: match role {
            Role::Candidate | Role::ReadOnly => None,
            role => Some(role != Role::Observer),
        },
        term: Some(term),
        applied_index: Some(index),
        ..Sample::default()
    };
    match system {
        Dialect::Etcd | Dialect::Keeper => sample.commit_index = Some(index),
        Dialect::Consul => (sample.commit_index, sample.last_index) = (Some(index), Some(index)),
        Dialect::ZooKeeper | Dialect::Embedded => sample.applied_term = Some(term),
    }
    sample
}

fn zookeeper(role: Role, term: u64, index: u64) -> Sample {
    told(Dialect::ZooKeeper, role, term, index)
}

fn with_voters(mut sample: Sample, voters: u64) -> Sample {
    sample.voters = Some(voters);
    sample
}

/// A leader of `voters` with followers that are in sync.
fn leader(term: u64, index: u64, voters: u64, synced: u64) -> Sample {
    Sample { synced_followers: Some(synced), ..with_voters(zookeeper(Role::Leader, term, index), voters) }
}

fn follower(term: u64, index: u64, voters: u64) -> Sample {
    with_voters(zookeeper(Role::Follower, term, index), voters)
}

fn looking() -> Sample {
    zookeeper(Role::Candidate, 1, 0)
}

const DOWN: Option<Sample> = None;

fn asked(samples: Vec<Option<Sample>>) -> Vec<Asked> {
    let of = |(number, sample)| Asked {
        member: format!("m{}:2181", number + 1),
        sample,
        took: Duration::from_millis(3),
        ..Asked::default()
    };
    samples.into_iter().enumerate().map(of).collect()
}

fn told_of(samples: Vec<Option<Sample>>, memory: &mut Memory) -> Vec<Family> {
    let mut into = Families::default();
    families("c", &asked(samples), memory, &mut into);
    into.into_sorted()
}

/// The value of the series with these labels behind the cluster.
fn value(families: &[Family], metric: &Metric, labels: &[&str]) -> Option<f64> {
    let family = families.iter().find(|family| family.metric.name == metric.name)?;
    let series = family.series.iter().find(|series| series.labels[1..] == *labels)?;
    match series.value {
        Value::Number(number) => Some(number),
        Value::Histogram(_) => None,
    }
}

/// What is derived of a cluster: has_leader, leaders, voters, serving voters, tolerance.
type Cluster = (f64, f64, Option<f64>, f64, Option<f64>);

fn cluster(families: &[Family]) -> Cluster {
    let number = |metric| value(families, metric, &[]);
    (
        number(&catalog::CLUSTER_HAS_LEADER).unwrap(),
        number(&catalog::CLUSTER_LEADERS).unwrap(),
        number(&catalog::CLUSTER_VOTERS),
        number(&catalog::CLUSTER_SERVING_VOTERS).unwrap(),
        number(&catalog::FAILURE_TOLERANCE),
    )
}

#[test]
fn a_cluster_is_what_its_members_say_together() {
    let observer = || Some(zookeeper(Role::Observer, 1, 9));
    let l = |n, synced| Some(leader(1, 9, n, synced));
    let f = |n| Some(follower(1, 9, n));
    let no = || Some(looking());
    let standalone = || Some(zookeeper(Role::Standalone, 1, 9));
    // A leader that serves no clients.
    let silent = || Some(Sample { serving: Some(false), ..leader(1, 9, 3, 2) });
    let read_only = || Some(zookeeper(Role::ReadOnly, 1, 9));
    let cases: Vec<(&str, Vec<Option<Sample>>, Cluster)> = vec![
        ("three", vec![l(3, 2), f(3), f(3)], (1.0, 1.0, Some(3.0), 3.0, Some(1.0))),
        (
            "three and an observer",
            vec![l(3, 2), f(3), f(3), observer()],
            (1.0, 1.0, Some(3.0), 3.0, Some(1.0)),
        ),
        ("a follower of three is down", vec![l(3, 1), f(3), DOWN], (1.0, 1.0, Some(3.0), 2.0, Some(0.0))),
        ("an observer is down", vec![l(3, 2), f(3), f(3), DOWN], (1.0, 1.0, Some(3.0), 3.0, Some(1.0))),
        // The leader believes in it for seconds.
        ("a follower of three hangs", vec![l(3, 2), f(3), DOWN], (1.0, 1.0, Some(3.0), 2.0, Some(0.0))),
        ("a follower is not in sync", vec![l(3, 1), f(3), f(3)], (1.0, 1.0, Some(3.0), 3.0, Some(0.0))),
        ("the leader is down", vec![DOWN, no(), no()], (0.0, 0.0, None, 0.0, None)),
        ("the leader has just died", vec![DOWN, f(3), f(3)], (1.0, 0.0, Some(3.0), 2.0, Some(0.0))),
        ("one has noticed", vec![DOWN, f(3), no()], (0.0, 0.0, Some(3.0), 1.0, Some(-1.0))),
        ("all are down", vec![DOWN, DOWN, DOWN], (0.0, 0.0, None, 0.0, None)),
        ("five", vec![l(5, 4), f(5), f(5), f(5), f(5)], (1.0, 1.0, Some(5.0), 5.0, Some(2.0))),
        (
            "two of five are down",
            vec![l(5, 2), f(5), f(5), DOWN, DOWN],
            (1.0, 1.0, Some(5.0), 3.0, Some(0.0)),
        ),
        ("three of five are down", vec![no(), no(), DOWN, DOWN, DOWN], (0.0, 0.0, None, 0.0, None)),
        (
            "four have two for a majority of three",
            vec![l(4, 3), f(4), f(4), f(4)],
            (1.0, 1.0, Some(4.0), 4.0, Some(1.0)),
        ),
        // What is configured is not what is there.
        ("two of five are watched", vec![l(5, 4), f(5)], (1.0, 1.0, Some(5.0), 2.0, Some(2.0))),
        ("the leader is not watched", vec![f(5), f(5)], (1.0, 0.0, Some(5.0), 2.0, None)),
        (
            "one too many is watched",
            vec![l(3, 2), f(3), f(3), DOWN, DOWN],
            (1.0, 1.0, Some(3.0), 3.0, Some(1.0)),
        ),
        ("an observer alone is watched", vec![observer()], (1.0, 0.0, None, 0.0, None)),
        // They have yet to be made voters, and follow as if they were.
        (
            "two more follow without a vote",
            vec![l(3, 4), f(3), f(3), f(3), f(3)],
            (1.0, 1.0, Some(3.0), 3.0, Some(1.0)),
        ),
        (
            "three that are alone are no ensemble",
            vec![standalone(), standalone(), standalone()],
            (1.0, 0.0, Some(1.0), 1.0, Some(0.0)),
        ),
        ("standalone", vec![standalone()], (1.0, 0.0, Some(1.0), 1.0, Some(0.0))),
        ("leaderServes=no", vec![silent(), f(3), f(3)], (1.0, 1.0, Some(3.0), 3.0, Some(1.0))),
        ("read-only", vec![read_only(), DOWN, DOWN], (0.0, 0.0, None, 0.0, None)),
        (
            "no voter map",
            vec![Some(zookeeper(Role::Leader, 1, 9)), Some(zookeeper(Role::Follower, 1, 9))],
            (1.0, 1.0, None, 2.0, None),
        ),
    ];
    for (name, samples, expected) in cases {
        let families = told_of(samples, &mut Memory::default());
        assert_eq!(cluster(&families), expected, "{name}");
    }
}

#[test]
fn a_follower_that_is_not_on_the_voter_map_does_not_vote() {
    let of = |id: &str, role| {
        let ids = ["1", "2", "3"].map(str::to_owned).to_vec();
        Some(Sample { member_id: Some(id.into()), voter_ids: Some(ids), ..zookeeper(role, 1, 9) })
    };
    let samples = vec![of("1", Role::Leader), of("2", Role::Follower), DOWN, of("4", Role::Follower)];
    let families = told_of(samples, &mut Memory::default());
    assert_eq!(cluster(&families), (1.0, 1.0, Some(3.0), 2.0, Some(0.0)));
    assert_eq!(value(&families, &catalog::VOTER, &["m4:2181"]), Some(0.0));
}

#[test]
fn leaders_count_by_term() {
    let l = |term| Some(leader(term, 9, 3, 2));
    let f = |term| Some(follower(term, 9, 3));
    let without_term = || Some(Sample { term: None, applied_term: None, ..leader(1, 9, 3, 2) });
    for (samples, leaders, has_leader, serving) in [
        (vec![l(5), f(5), f(5)], 1.0, 1.0, 3.0),
        (vec![l(5), l(6), f(6)], 1.0, 1.0, 2.0),
        (vec![l(6), l(6), f(6)], 2.0, 1.0, 3.0),
        (vec![l(5), l(5), l(6)], 2.0, 1.0, 1.0),
        // A follower's term follows with the first write.
        (vec![l(6), f(5), f(5)], 1.0, 1.0, 3.0),
        (vec![without_term(), without_term(), f(5)], 1.0, 1.0, 3.0),
        (vec![without_term(), l(5), f(5)], 1.0, 1.0, 3.0),
        // Deposed, and nobody else knows a leader.
        (vec![l(5), Some(zookeeper(Role::Candidate, 6, 0)), Some(looking())], 1.0, 0.0, 1.0),
    ] {
        let families = told_of(samples.clone(), &mut Memory::default());
        let (has, of_one_term, _, serve, _) = cluster(&families);
        assert_eq!((of_one_term, has, serve), (leaders, has_leader, serving), "{samples:?}");
    }
}

/// It told that it leads, and in another answer, of a moment later, a term in which it does not.
#[test]
fn nobody_leads_in_a_later_term_by_a_mixture_of_answers() {
    let deposed = Sample { term: Some(6), ..leader(5, 9, 3, 2) };
    let samples = vec![Some(deposed), Some(leader(6, 0, 3, 2)), Some(follower(6, 0, 3))];
    let families = told_of(samples, &mut Memory::default());
    assert_eq!(value(&families, &catalog::CLUSTER_LEADERS, &[]), Some(1.0));
    assert_eq!(value(&families, &catalog::CLUSTER_TERM, &[]), Some(6.0));
}

#[test]
fn members_of_etcd_and_consul_in_an_older_term_have_no_leader_in_this_one() {
    for system in [Dialect::Etcd, Dialect::Consul] {
        let of = |role, term| Some(with_voters(told(system, role, term, 9), 3));
        let families = told_of(
            vec![of(Role::Leader, 6), of(Role::Follower, 6), of(Role::Follower, 5)],
            &mut Memory::default(),
        );
        assert_eq!(cluster(&families), (1.0, 1.0, Some(3.0), 2.0, Some(0.0)), "{system:?}");
    }
}

#[test]
fn a_voter_that_is_too_far_behind_is_not_in_sync() {
    for (system, limit) in [(Dialect::Etcd, ETCD_CATCH_UP), (Dialect::Consul, CONSUL_CATCH_UP)] {
        for (behind, tolerance) in [(0, 1.0), (limit, 1.0), (limit + 1, 0.0)] {
            let of = |role, index| Some(with_voters(told(system, role, 6, index), 3));
            let samples = vec![
                of(Role::Leader, 50_000),
                of(Role::Follower, 50_000),
                of(Role::Follower, 50_000 - behind),
            ];
            let families = told_of(samples, &mut Memory::default());
            assert_eq!(
                value(&families, &catalog::FAILURE_TOLERANCE, &[]),
                Some(tolerance),
                "{system:?} {behind}"
            );
        }
    }
    // Autopilot does not know yet who is healthy.
    let of = |role| Some(with_voters(told(Dialect::Consul, role, 6, 9), 3));
    let mut samples = vec![of(Role::Leader), of(Role::Follower), of(Role::Follower)];
    samples[0].as_mut().unwrap().synced_followers = Some(0);
    let families = told_of(samples.clone(), &mut Memory::default());
    assert_eq!(value(&families, &catalog::FAILURE_TOLERANCE, &[]), Some(1.0));
    // Of servers that are not watched nothing else is known.
    samples[0].as_mut().unwrap().synced_followers = Some(2);
    samples.truncate(1);
    let families = told_of(samples, &mut Memory::default());
    assert_eq!(value(&families, &catalog::FAILURE_TOLERANCE, &[]), Some(1.0));
}

#[test]
fn lag_is_within_a_term_and_below_a_leader() {
    let of = |samples: Vec<Option<Sample>>| -> Vec<Option<f64>> {
        let members = samples.len();
        let families = told_of(samples, &mut Memory::default());
        (1..=members).map(|n| value(&families, &catalog::LAG, &[&format!("m{n}:2181")])).collect()
    };
    let l = |term, index| Some(leader(term, index, 3, 2));
    let f = |term, index| Some(follower(term, index, 3));
    assert_eq!(of(vec![l(2, 100), f(2, 97), f(2, 100)]), [Some(0.0), Some(3.0), Some(0.0)]);
    // Asked a moment later than the leader: it cannot be ahead of it.
    assert_eq!(of(vec![l(2, 100), f(2, 104), f(2, 103)]), [Some(4.0), Some(0.0), Some(1.0)]);
    // No write since the election.
    assert_eq!(of(vec![l(3, 0), f(2, 900), f(3, 0)]), [Some(0.0), None, Some(0.0)]);
    assert_eq!(of(vec![DOWN, f(2, 97), f(2, 100)]), [None, None, None]);
    let observer = Some(zookeeper(Role::Observer, 2, 50));
    assert_eq!(of(vec![l(2, 100), observer]), [Some(0.0), Some(50.0)]);
    let etcd = |role, term, commit, applied| {
        let sample = told(Dialect::Etcd, role, term, applied);
        Some(Sample { commit_index: Some(commit), ..sample })
    };
    assert_eq!(
        of(vec![etcd(Role::Leader, 4, 10, 9), etcd(Role::Follower, 4, 8, 8), etcd(Role::Follower, 3, 8, 8)]),
        [Some(1.0), Some(2.0), None]
    );
    let consul = |role, last, applied| {
        Some(Sample { last_index: Some(last), ..told(Dialect::Consul, role, 4, applied) })
    };
    assert_eq!(of(vec![consul(Role::Leader, 12, 10), consul(Role::Follower, 11, 9)]), [Some(2.0), Some(3.0)]);
    // Each member of Keeper tells the leader's index itself.
    let keeper = |role, of_leader| {
        Some(Sample { leader_commit_index: Some(of_leader), ..told(Dialect::Keeper, role, 4, 20) })
    };
    assert_eq!(of(vec![keeper(Role::Follower, 25)]), [Some(5.0)]);
    assert_eq!(of(vec![keeper(Role::Candidate, 25)]), [None]);
}

#[test]
fn leader_changes_are_rises_of_the_term_that_somebody_leads_in() {
    let mut memory = Memory::default();
    let l = |term| Some(leader(term, 9, 3, 2));
    let f = |term| Some(follower(term, 9, 3));
    let mut seen = Vec::new();
    for samples in [
        vec![DOWN, DOWN, DOWN],
        vec![l(1), f(1), f(1)],
        vec![l(1), f(1), f(1)],
        vec![DOWN, Some(looking()), Some(looking())],
        // A new one, whose followers have not written yet.
        vec![DOWN, l(2), f(1)],
        vec![f(2), l(2), f(2)],
        // The old one is back, and says for a moment that it leads.
        vec![l(1), l(2), f(2)],
        // Two changes between two scrapes.
        vec![l(4), f(4), f(4)],
        // Only a follower is left that can be reached, and knows of another.
        vec![DOWN, DOWN, f(5)],
    ] {
        let families = told_of(samples, &mut memory);
        seen.push(value(&families, &catalog::LEADER_CHANGES, &[]));
    }
    let expected = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 3.0].map(Some);
    assert_eq!((seen[0], &seen[1..]), (None, &expected[..]), "before anybody led nothing could be seen");
    // etcd's metrics alone tell no term.
    let without_term = Sample { term: None, ..told(Dialect::Etcd, Role::Leader, 1, 9) };
    let families = told_of(vec![Some(without_term)], &mut Memory::default());
    assert_eq!(value(&families, &catalog::LEADER_CHANGES, &[]), None);
}

#[test]
fn the_voter_map_outlives_who_told_it() {
    let mut memory = Memory::default();
    let l = |n| Some(leader(1, 9, n, n - 1));
    // The followers do not tell it, as before 3.6.
    let f = || Some(zookeeper(Role::Follower, 1, 9));
    let tolerance = |families: &[Family]| value(families, &catalog::FAILURE_TOLERANCE, &[]);
    assert_eq!(tolerance(&told_of(vec![l(3), f(), f()], &mut memory)), Some(1.0));
    assert_eq!(tolerance(&told_of(vec![DOWN, f(), f()], &mut memory)), Some(0.0));
    assert_eq!(tolerance(&told_of(vec![DOWN, Some(looking()), Some(looking())], &mut memory)), Some(-2.0));
    assert_eq!(tolerance(&told_of(vec![DOWN, DOWN, DOWN], &mut memory)), Some(-2.0));
    // It grows.
    let grown = told_of(vec![l(5), f(), f()], &mut memory);
    assert_eq!(value(&grown, &catalog::CLUSTER_VOTERS, &[]), Some(5.0));
}

#[test]
fn where_a_quorum_is_no_majority_no_tolerance_is_told_until_it_is_one() {
    let mut memory = Memory::default();
    let mut tolerance = |told: [Option<bool>; 3]| {
        let samples = [leader(1, 9, 3, 2), follower(1, 9, 3), follower(1, 9, 3)].into_iter().zip(told);
        let samples = samples.map(|(sample, has_majorities)| Some(Sample { has_majorities, ..sample }));
        let families = told_of(samples.collect(), &mut memory);
        assert_eq!(value(&families, &catalog::CLUSTER_VOTERS, &[]), Some(3.0));
        let tolerance = value(&families, &catalog::FAILURE_TOLERANCE, &[]);
        assert_eq!(tolerance.is_none(), memory.why_no_tolerance().is_some());
        tolerance
    };
    let (majority, weighted) = (Some(true), Some(false));
    assert_eq!(tolerance([None, None, None]), Some(1.0), "nobody may tell");
    assert_eq!(tolerance([majority, None, majority]), Some(1.0));
    assert_eq!(tolerance([majority, weighted, None]), None);
    assert_eq!(tolerance([None, None, None]), None, "it was told last");
    assert_eq!(tolerance([majority, None, None]), Some(1.0));
}

#[test]
fn an_observer_that_is_down_is_still_none_of_the_voters() {
    let mut memory = Memory::default();
    let observer = Some(zookeeper(Role::Observer, 1, 9));
    told_of(vec![observer, Some(follower(1, 9, 3))], &mut memory);
    // One watched voter of three: the exporter does not know how many serve.
    let families = told_of(vec![DOWN, Some(follower(1, 9, 3))], &mut memory);
    assert_eq!(cluster(&families), (1.0, 0.0, Some(3.0), 1.0, None));
}

#[test]
fn versions_may_differ() {
    let old = Sample { version: Some("3.4.14".into()), voters: None, term: None, ..follower(1, 8, 3) };
    let new = Sample { version: Some("3.9.4".into()), ..leader(1, 9, 3, 2) };
    let families = told_of(vec![Some(new), Some(old)], &mut Memory::default());
    assert_eq!(value(&families, &catalog::INFO, &["m1:2181", "zookeeper", "3.9.4", ""]), Some(1.0));
    assert_eq!(value(&families, &catalog::INFO, &["m2:2181", "zookeeper", "3.4.14", ""]), Some(1.0));
    assert_eq!(value(&families, &catalog::CLUSTER_VOTERS, &[]), Some(3.0));
    assert_eq!(value(&families, &catalog::TERM, &["m2:2181"]), None);
    assert_eq!(value(&families, &catalog::LAG, &["m2:2181"]), Some(1.0));
}

#[test]
fn every_member_has_one_role_and_is_up_or_not() {
    let unknown = Sample { system: Some(Dialect::ZooKeeper), serving: Some(false), ..Sample::default() };
    let samples = vec![Some(leader(1, 9, 3, 2)), DOWN, Some(unknown), Some(looking())];
    let families = told_of(samples, &mut Memory::default());
    let names: Vec<&str> = Role::ALL.map(Role::name).into_iter().chain(["unknown"]).collect();
    let members: [(&str, &str, f64, f64); 4] = [
        ("m1:2181", "leader", 1.0, 1.0),
        ("m2:2181", "unknown", 0.0, 0.0),
        ("m3:2181", "unknown", 1.0, 0.0),
        ("m4:2181", "candidate", 1.0, 0.0),
    ];
    for (member, role, up, serving) in members {
        for name in &names {
            let expected = if *name == role { 1.0 } else { 0.0 };
            assert_eq!(value(&families, &catalog::ROLE, &[member, name]), Some(expected), "{member} {name}");
        }
        assert_eq!(value(&families, &catalog::UP, &[member]), Some(up));
        assert_eq!(value(&families, &catalog::SERVING, &[member]), Some(serving));
        assert_eq!(value(&families, &catalog::SCRAPE_DURATION, &[member]), Some(0.003));
    }
    assert_eq!(value(&families, &catalog::CLUSTER_MEMBERS, &[]), Some(4.0));
    assert_eq!(value(&families, &catalog::TERM, &["m2:2181"]), None);
}

#[test]
fn problems_are_counted_by_source_and_kind_from_zero_on() {
    let mut memory = Memory::default();
    let mut one = asked(vec![Some(follower(1, 9, 3))]);
    one[0].sources = vec![("srvr", true), ("mntr", false)];
    let mut now = |one: &[Asked]| {
        let mut into = Families::default();
        families("c", one, &mut memory, &mut into);
        into.into_sorted()
    };
    let first = now(&one);
    let member = one[0].member.clone();
    let of = |families: &[Family], metric, source, kind| value(families, metric, &[&member, source, kind]);
    assert_eq!(of(&first, &catalog::SCRAPE_ERRORS, "srvr", "timeout"), Some(0.0));
    assert_eq!(of(&first, &catalog::PARSE_ERRORS, "mntr", "missing"), Some(0.0));
    assert_eq!(of(&first, &catalog::SCRAPE_ERRORS, "srvr", "missing"), None, "each kind has one metric");
    assert_eq!(value(&first, &catalog::SOURCE_AVAILABLE, &[&member, "srvr"]), Some(1.0));
    assert_eq!(value(&first, &catalog::SOURCE_AVAILABLE, &[&member, "mntr"]), Some(0.0));
    let problem = |kind| Problem { source: "srvr", kind, detail: String::new() };
    one[0].problems = vec![problem(ProblemKind::Timeout), problem(ProblemKind::Binary)];
    now(&one);
    // The same answers, told to somebody else who asked at the same time.
    let mut shared = one.clone();
    shared[0].is_counted = true;
    let second = now(&shared);
    assert_eq!(of(&second, &catalog::SCRAPE_ERRORS, "srvr", "timeout"), Some(1.0));
    let third = now(&one);
    assert_eq!(of(&third, &catalog::SCRAPE_ERRORS, "srvr", "timeout"), Some(2.0));
    assert_eq!(of(&third, &catalog::PARSE_ERRORS, "srvr", "binary"), Some(2.0));
    assert_eq!(of(&third, &catalog::SCRAPE_ERRORS, "srvr", "connect"), Some(0.0));
}
