use quorumeter_record::{EventKind, FaultStage, RecordWriter, RowKind, Verdict};

use super::simulator::{How, MEMBERS, OVER, ROUND, Scene, T0, hole};
use super::*;
use crate::fixture::{MS, S, summary};
use crate::verdict;

fn six() -> Scene {
    Scene::new(6, &[hole(2 * MS, 400 * MS, How::GiveUp(300 * MS))])
}

/// The verdict on a run of nothing but this measurement, and its reasons.
fn verdict_on(scene: &Scene) -> (Verdict, Vec<String>) {
    let mut summary = summary();
    summary.failover = Some(scene.judge().summary);
    verdict::judge(&summary, &[], true, &[])
}

fn in_repetition(event: &Event, stage: FaultStage, repetitions: &[u32]) -> bool {
    matches!(&event.kind, EventKind::Fault { repetition, stage: s, .. } if *s == stage && repetitions.contains(repetition))
}

#[test]
fn a_whole_measurement_passes_and_its_mutations_do_not() {
    assert_eq!(verdict_on(&six()), (Verdict::Pass, Vec::new()));

    // The fault's proof is missing in one, and in all: a fault without effect proves nothing.
    let mut one = six();
    one.events.retain(|event| !in_repetition(event, FaultStage::Active, &[2]));
    assert_eq!(verdict_on(&one).0, Verdict::Pass);
    let no_op = six().without(FaultStage::Active);
    let (verdict, reasons) = verdict_on(&no_op);
    assert_eq!(verdict, Verdict::Inconclusive);
    assert!(
        reasons[0].starts_with("only 0 of 6 repetitions count (1: the fault was never proven"),
        "{reasons:?}"
    );

    // Acknowledgements are dropped: others were acknowledged, but what the history lacks might have been anything.
    let mut dropped = six();
    dropped.rows.retain(|row| row.stream != 6 || !(T0 + S..T0 + 2 * S).contains(&row.intended_ns));
    let gap = |scene: &Scene| scene.judge().summary.repetitions[0].values["ack_gap_any_ns"];
    assert_eq!(gap(&dropped), gap(&six()));
    let invalid = dropped.judge().summary.invalid;
    assert_eq!(invalid.len(), 1);
    assert_eq!(invalid[0].reasons, ["200 rows of the probes' history are missing"]);

    // A clock that is shifted by 10 s: the baseline and the fault's times have nothing to do with the rows.
    let mut shifted = six();
    for row in &mut shifted.rows {
        row.intended_ns += 10 * S;
        row.released_ns += 10 * S;
        row.sent_ns = row.sent_ns.map(|sent_ns| sent_ns + 10 * S);
        row.ended_ns += 10 * S;
    }
    let (verdict, reasons) = verdict_on(&shifted);
    assert_eq!(verdict, Verdict::Inconclusive);
    assert!(
        reasons[0].contains("2: no probe noticed the fault, not even those of the victim"),
        "{reasons:?}"
    );

    // Acknowledged writes that the audit does not find, in an invalid repetition, too.
    for stage in [None, Some(FaultStage::Active)] {
        let mut lost = six();
        for event in &mut lost.events {
            if let EventKind::Audit { repetition: 3, key: 2, version: Some(version), .. } = &mut event.kind {
                *version -= 650;
            }
        }
        if let Some(stage) = stage {
            lost.events.retain(|event| !in_repetition(event, stage, &[3]));
        }
        let (verdict, reasons) = verdict_on(&lost);
        assert_eq!(verdict, Verdict::Unsafe);
        assert!(reasons[0].starts_with("the ensemble lost "), "{reasons:?}");
        assert!(reasons[0].ends_with(" writes that it had acknowledged"), "{reasons:?}");
    }

    // A version that is given again is seen without an audit.
    let mut again = six();
    again.events.retain(|event| !matches!(event.kind, EventKind::Audit { .. }));
    assert_eq!(verdict_on(&again).0, Verdict::Pass);
    assert!(!again.judge().summary.counts.contains_key("lost_acked_writes"), "absent, not 0");
    let is_late =
        |row: &&mut HistoryRow| row.stream == 1 && row.kind == RowKind::Ok && row.intended_ns > T0 + S;
    let late = again.rows.iter_mut().filter(is_late).take(2).collect::<Vec<_>>();
    let [first, second] = <[&mut HistoryRow; 2]>::try_from(late).unwrap();
    second.version = first.version;
    let (verdict, reasons) = verdict_on(&again);
    assert_eq!(verdict, Verdict::Unsafe);
    assert_eq!(reasons, ["the ensemble lost 1 write that it had acknowledged"]);
}

#[test]
fn a_measurement_that_was_cut_short_is_inconclusive() {
    let mut cut = six();
    cut.events.retain(|event| event.t_ns < 3 * ROUND + OVER - S);
    cut.rows.retain(|row| row.ended_ns < 3 * ROUND + OVER - S);
    let (verdict, reasons) = verdict_on(&cut);
    assert_eq!(verdict, Verdict::Inconclusive);
    assert_eq!(
        reasons,
        ["only 3 of 6 repetitions count (4: it was not brought to its end, 2 were not begun)"]
    );
}

#[test]
fn polls_explain_an_outage() {
    let mut scene = Scene::new(1, &[hole(2 * MS, 400 * MS, How::Refuse)]);
    for i in 0..1300 {
        let t_ns = i * 20 * MS + 3 * MS;
        let after_ms = (t_ns as i64 - T0 as i64) / 1_000_000;
        for member in MEMBERS {
            let is_victim = member == MEMBERS[0];
            if is_victim && after_ms > 0 {
                continue;
            }
            let (role, state, term) = match after_ms {
                ..0 => (if is_victim { "leader" } else { "follower" }, "broadcast", 1),
                0..300 => ("", "election", 1),
                300..380 => ("", "synchronization", 2),
                _ => (if member == MEMBERS[1] { "leader" } else { "follower" }, "broadcast", 2),
            };
            scene.lines.push(MemberLine {
                t_ns,
                member: member.to_owned(),
                role: (!role.is_empty()).then(|| role.to_owned()),
                zab_state: Some(state.to_owned()),
                term: Some(term),
                answer_ns: Some(MS),
                elections: Some(quorumeter_record::TimeSum {
                    count: term as u64,
                    sum_ns: if term == 1 { 200 * MS } else { 490 * MS },
                }),
                ..MemberLine::default()
            });
        }
    }
    let judged = scene.judge();
    let told = &judged.summary.repetitions[0];
    // Polls are at 3, 23, … ms after the fault; its proof comes 2 ms after it.
    for (name, ms) in [("detection", 1), ("election", 300), ("sync", 80), ("members_election", 290)] {
        assert_eq!(told.values[&format!("{name}_ns")], ms * MS, "{name}");
    }
    let (t4, t6) = (told.instants_ns["t4"], told.instants_ns["t6_answered"]);
    assert_eq!(told.values["client_tail_ns"], t6 - t4);
    assert_eq!(told.values["phases_residual_ns"], 0);
    let roles: Vec<Option<&str>> = judged.pictures[0]
        .members
        .iter()
        .filter(|span| span.member == 1)
        .map(|span| span.role.as_deref())
        .collect();
    assert_eq!(roles, [Some("follower"), None, Some("leader")]);
}

#[test]
fn a_policy_that_does_not_reconnect_has_its_own_row() {
    let mut scene = Scene::new(2, &[hole(2 * MS, 400 * MS, How::Refuse)]);
    let plan = scene.manifest.failover.as_mut().unwrap();
    for probe in plan.probes.iter_mut().filter(|probe| probe.policy == "java") {
        probe.policy = "none".to_owned();
    }
    // Its sessions are gone with the first fault.
    for row in scene.rows.iter_mut().filter(|row| row.stream == 7 && row.intended_ns > T0) {
        row.kind = RowKind::Shed;
    }
    // One of them has not even rows any more.
    scene.rows.retain(|row| row.stream != 7 || row.session != 1 || row.intended_ns < ROUND);
    let summary = scene.judge().summary;
    assert_eq!(summary.valid, 2);
    assert!(summary.durations["write_outage_every_upper_ns"].max.is_some_and(|ns| ns < 420 * MS));
    let none = &summary.policies["none"].durations["write_outage_client_upper_ns"];
    assert_eq!((none.n, none.censored), (1, 1), "in the second one they were gone before");
}

#[test]
fn a_threshold_that_was_asked_for_holds() {
    let mut scene = Scene::new(1, &[hole(2 * MS, 60 * MS, How::Hang)]);
    assert_eq!(scene.judge().summary.repetitions[0].values["outage_count"], 0);
    scene.manifest.failover.as_mut().unwrap().slow_threshold_ns = Some(20 * MS);
    let told = &scene.judge().summary.repetitions[0];
    assert_eq!((told.slow_threshold_ns, told.values["outage_count"]), (20 * MS, 1));
}

#[test]
fn a_record_is_judged_from_its_files() {
    let scene = Scene::new(1, &[hole(2 * MS, 400 * MS, How::Refuse)]);
    let dir = tempfile::tempdir().unwrap();
    let mut writer = RecordWriter::create(dir.path(), &scene.manifest).unwrap();
    // Two workers, and rows in no order.
    let (even, odd): (Vec<&HistoryRow>, Vec<&HistoryRow>) =
        scene.rows.iter().partition(|r| r.stream % 2 == 0);
    writer.history(0, even).unwrap();
    writer.history(1, odd).unwrap();
    for event in &scene.events {
        writer.event(event).unwrap();
    }
    drop(writer);
    let analysis = crate::analyse(&RecordReader::open(dir.path()).unwrap()).unwrap();
    let judged = scene.judge();
    assert_eq!(analysis.summary.failover.as_ref(), Some(&judged.summary));
    assert_eq!(analysis.pictures, judged.pictures);
    let json = serde_json::to_string(&judged.summary).unwrap();
    assert_eq!(serde_json::from_str::<FailoverSummary>(&json).unwrap(), judged.summary);
}

#[test]
fn warnings_say_what_the_numbers_are_worth() {
    let says = |scene: &Scene, text: &str| {
        let told = warnings(&scene.judge().summary);
        assert!(told.iter().any(|warning| warning.contains(text)), "{text}: {told:?}");
    };
    assert_eq!(warnings(&six().judge().summary), Vec::<String>::new());
    says(&Scene::new(1, &[hole(2 * MS, 100 * MS, How::Refuse)]), "which probes of every 10 ms tell coarsely");
    says(
        &Scene::new(1, &[hole(2 * MS, 100 * S, How::Refuse)]),
        "ack_gap_any did not end in 1 of 1 repetition",
    );
    let mut stalls = Scene::new(1, &[hole(2 * MS, 400 * MS, How::Refuse)]);
    for row in stalls.rows.iter_mut().filter(|row| (2 * S..2 * S + 70 * MS).contains(&row.ended_ns)) {
        row.kind = RowKind::Failed;
    }
    says(&stalls, "went by without an acknowledged write");
    let mut one = six();
    one.events.retain(|event| !in_repetition(event, FaultStage::Active, &[2]));
    says(&one, "repetition 2 does not count: the fault was never proven to be in effect");
    let mut none = six();
    none.events.retain(|event| !matches!(event.kind, EventKind::Audit { .. }));
    says(&none, "there was no audit");
}
