use quorumeter_record::{
    EventKind, FailoverSummary, FaultStage, MemberLine, RepetitionSummary, RowKind, SessionChange,
};

use crate::failover::simulator::{How, MEMBERS, OVER, PERIOD, ROUND, Scene, T0, T8, hole, session};
use crate::fixture::{MS, S};

/// The first repetition of a scene with these holes.
fn measured(scene: &Scene) -> RepetitionSummary {
    scene.judge().summary.repetitions[0].clone()
}

fn ns(repetition: &RepetitionSummary, name: &str) -> u64 {
    *repetition.values.get(name).unwrap_or_else(|| panic!("{name} is not in {repetition:#?}"))
}

/// Whether the bounds enclose the truth, and are no further apart than the slots make them.
fn enclose(repetition: &RepetitionSummary, name: &str, truth_ns: u64, slack_ns: u64) {
    let (lower, upper) =
        (ns(repetition, &format!("{name}_lower_ns")), ns(repetition, &format!("{name}_upper_ns")));
    assert!(lower <= truth_ns && truth_ns <= upper, "{name}: {lower} ≤ {truth_ns} ≤ {upper}");
    assert!(upper - lower <= slack_ns, "{name}: {lower} to {upper} is wide");
}

#[test]
fn nothing_happens_and_nothing_is_told() {
    let told = measured(&Scene::new(1, &[]));
    assert!(told.valid, "{:?}", told.notes);
    assert_eq!(told.slow_threshold_ns, 100 * MS);
    // Below three periods nothing more is told.
    for name in ["write_outage_any", "write_outage_every", "read_outage_any", "read_outage_every"] {
        let bounds = (ns(&told, &format!("{name}_lower_ns")), ns(&told, &format!("{name}_upper_ns")));
        assert_eq!(bounds, (0, 3 * PERIOD), "{name}");
    }
    for (name, value) in [
        ("bad_time_total_ns", 0),
        ("outage_count", 0),
        ("rejoin_outage_ns", 0),
        ("rejoin_outage_every_ns", 0),
        ("lost_acked_writes", 0),
        ("ops_unknown", 0),
        ("watch_missed", 0),
        ("watch_duplicates", 0),
        ("injection_ns", 2 * MS),
    ] {
        assert_eq!(told.values.get(name), Some(&value), "{name}");
    }
    assert!(ns(&told, "ack_gap_any_ns") < 5 * MS && ns(&told, "baseline_ack_gap_any_ns") < 15 * MS);
    assert!(ns(&told, "recovery_time_ns") <= PERIOD);
    assert_eq!(told.instants_ns.get("t5"), None);
    assert!(told.censored.is_empty());
    // The victim serves again 1 s after the clearing began.
    assert!((S..S + 2 * PERIOD).contains(&ns(&told, "rejoin_time_ns")));
    assert!(told.notes.is_empty(), "{:?}", told.notes);
}

#[test]
fn a_hole_is_enclosed_wherever_it_lies() {
    // At a slot of the first probe, between two, and across many; short of the threshold and far above it.
    for from_ns in [2 * MS, 5 * MS, 9_999_999] {
        for length_ns in [37 * MS, 45 * MS, 99 * MS, 101 * MS, 250 * MS, S, 5 * S] {
            for how in [How::Refuse, How::Hang, How::GiveUp(300 * MS), How::GiveUp(20 * S)] {
                let told = measured(&Scene::new(1, &[hole(from_ns, from_ns + length_ns, how)]));
                assert!(told.valid, "{:?}", told.notes);
                let case = format!("{from_ns} {length_ns} {how:?}");
                println!("{case}");
                // What hangs for less than the threshold and is answered is good.
                let slack_ns = if how == How::Hang { 100 * MS + 4 * PERIOD } else { 4 * PERIOD };
                for name in ["write_outage_any", "write_outage_every", "read_outage_any", "read_outage_every"]
                {
                    enclose(&told, name, length_ns, slack_ns);
                }
                let gap_ns = ns(&told, "ack_gap_any_ns");
                assert!(gap_ns + 2 * MS > length_ns && gap_ns < length_ns + 12 * MS, "{case}: {gap_ns}");
                // From the proof of the fault to the first slot that starts steady windows.
                let steady_ns = ns(&told, "recovery_time_ns");
                assert!(steady_ns < from_ns + length_ns + 20 * MS, "{case}: {steady_ns}");
                if how != How::Hang && length_ns > 40 * MS {
                    let end_ns = T0 + from_ns + length_ns;
                    for t in ["t5", "t6"] {
                        let told_ns = told.instants_ns[t];
                        assert!((end_ns - MS..end_ns + PERIOD).contains(&told_ns), "{case}: {t} {told_ns}");
                    }
                    let t1 = told.instants_ns["t1"];
                    assert!((T0..T0 + from_ns + PERIOD).contains(&t1), "{case}: {t1}");
                    assert_eq!(ns(&told, "outage_count"), 1);
                    assert_eq!(ns(&told, "bad_time_total_ns"), ns(&told, "write_outage_any_upper_ns"));
                }
            }
        }
    }
}

#[test]
fn a_flap_does_not_end_an_outage_and_a_longer_stay_does() {
    let (a, b) = (hole(2 * MS, 300 * MS, How::Refuse), hole(330 * MS, 600 * MS, How::Refuse));
    let flapping = measured(&Scene::new(1, &[a.clone(), b]));
    enclose(&flapping, "write_outage_any", 598 * MS, 4 * PERIOD);
    assert_eq!(ns(&flapping, "outage_count"), 1);

    let twice = measured(&Scene::new(1, &[a, hole(500 * MS, 600 * MS, How::Refuse)]));
    enclose(&twice, "write_outage_any", 298 * MS, 4 * PERIOD);
    assert_eq!(ns(&twice, "outage_count"), 2);
    let bad_ns = ns(&twice, "bad_time_total_ns");
    assert!((398 * MS..398 * MS + 4 * PERIOD).contains(&bad_ns), "{bad_ns}");
    assert!(twice.notes.iter().any(|note| note.contains("2 separate outages")), "{:?}", twice.notes);
}

#[test]
fn one_member_only_is_no_outage_of_any_client() {
    let scene = Scene::new(1, &[hole(2 * MS, S, How::Refuse).of(&["write 2", "read 2", "java 1"])]);
    let told = measured(&scene);
    assert_eq!(ns(&told, "write_outage_any_upper_ns"), 3 * PERIOD);
    assert_eq!(ns(&told, "outage_count"), 0);
    for name in
        ["write_outage_every", "read_outage_every", "pinned.write_outage_client", "java.write_outage_client"]
    {
        enclose(&told, name, 998 * MS, 3 * PERIOD);
    }
    assert_eq!(ns(&told, "ideal.write_outage_client_upper_ns"), 3 * PERIOD);
    // The victim's own clients do not count, although they are refused all the time.
    let all = measured(&Scene::new(1, &[]));
    assert_eq!(ns(&all, "pinned.write_outage_client_upper_ns"), 3 * PERIOD);
}

#[test]
fn reads_are_told_apart_from_writes() {
    let reads =
        measured(&Scene::new(1, &[hole(2 * MS, 500 * MS, How::Refuse).of(&["read 1", "read 2", "read 3"])]));
    enclose(&reads, "read_outage_any", 498 * MS, 4 * PERIOD);
    assert_eq!(ns(&reads, "write_outage_any_upper_ns"), 3 * PERIOD);
    assert!(reads.instants_ns.contains_key("t1") && !reads.instants_ns.contains_key("t5"));
}

#[test]
fn clients_that_recover_one_after_the_other_are_all_waited_for() {
    let all = hole(2 * MS, 400 * MS, How::Refuse);
    let told = measured(&Scene::new(1, &[all, hole(400 * MS, 1300 * MS, How::Refuse).of(&["java 2"])]));
    enclose(&told, "write_outage_any", 398 * MS, 4 * PERIOD);
    enclose(&told, "write_outage_every", 1298 * MS, 3 * PERIOD);
    enclose(&told, "java.write_outage_client", 1298 * MS, 3 * PERIOD);
    enclose(&told, "ideal.write_outage_client", 398 * MS, 3 * PERIOD);
    assert!(told.instants_ns["t6"] > told.instants_ns["t5"] + 890 * MS);
}

#[test]
fn a_moment_before_is_not_taken_for_the_outage_of_every_client() {
    let moment = hole(2 * MS, 60 * MS, How::Refuse).of(&["java 1"]);
    let told = measured(&Scene::new(1, &[moment, hole(500 * MS, 1500 * MS, How::Refuse)]));
    enclose(&told, "write_outage_any", S, 4 * PERIOD);
    for name in ["write_outage_every", "java.write_outage_client", "ideal.write_outage_client"] {
        enclose(&told, name, S, 3 * PERIOD);
    }
}

#[test]
fn one_client_that_stays_out_is_censored_alone() {
    let all = hole(2 * MS, 400 * MS, How::Refuse);
    let told = measured(&Scene::new(1, &[all, hole(400 * MS, 100 * S, How::Refuse).of(&["java 2"])]));
    assert!(told.valid, "{:?}", told.notes);
    enclose(&told, "write_outage_any", 398 * MS, 4 * PERIOD);
    for name in ["write_outage_every_upper_ns", "java.write_outage_client_upper_ns", "recovery_time_ns"] {
        assert!(told.censored.contains(&name.to_owned()), "{name}: {:?}", told.censored);
    }
    assert!(!told.instants_ns.contains_key("t6") && !told.values.contains_key("rejoin_outage_every_ns"));
    assert_eq!(ns(&told, "rejoin_outage_ns"), 0);
}

#[test]
fn without_a_clearing_nothing_is_told_of_a_rejoin() {
    let mut scene = Scene::new(1, &[hole(2 * MS, 400 * MS, How::Refuse)]).without(FaultStage::ClearAsked);
    let told = measured(&scene);
    enclose(&told, "write_outage_any", 398 * MS, 4 * PERIOD);
    assert!(told.censored.is_empty() && !told.values.contains_key("rejoin_time_ns"), "{told:?}");
    scene.rows.retain(|row| row.ended_ns < T0 + 12 * S || row.kind != RowKind::Ok);
    assert!(measured(&scene).censored.contains(&"ack_gap_any_ns".to_owned()));
}

#[test]
fn what_never_ends_is_censored_and_stays_valid() {
    for how in [How::Refuse, How::GiveUp(90 * S), How::Hang] {
        let told = measured(&Scene::new(1, &[hole(2 * MS, 100 * S, how)]));
        assert!(told.valid, "{:?}", told.notes);
        for name in [
            "ack_gap_any",
            "write_outage_any_lower",
            "write_outage_any_upper",
            "write_outage_every_upper",
            "recovery_time",
            "rejoin_time",
        ] {
            let name = format!("{name}_ns");
            assert!(told.censored.contains(&name), "{how:?}: {name} of {:?}", told.censored);
        }
        let seen_ns = OVER - T0;
        for name in ["ack_gap_any_ns", "write_outage_any_lower_ns", "write_outage_any_upper_ns"] {
            let told_ns = ns(&told, name);
            assert!(told_ns > seen_ns - 3 * PERIOD && told_ns < seen_ns + PERIOD, "{name}: {told_ns}");
        }
        assert!(!told.values.contains_key("rejoin_outage_ns"), "the rejoin's cannot be told apart");
    }
}

#[test]
fn the_rejoin_is_an_outage_of_its_own() {
    let rejoin = hole(T8 + 500 * MS, T8 + 800 * MS, How::Refuse);
    let one = hole(T8 + 900 * MS, T8 + 1100 * MS, How::Refuse).of(&["ideal 1"]);
    let told = measured(&Scene::new(1, &[hole(2 * MS, 400 * MS, How::Refuse), rejoin, one]));
    enclose(&told, "write_outage_any", 398 * MS, 4 * PERIOD);
    let (any, every) = (ns(&told, "rejoin_outage_ns"), ns(&told, "rejoin_outage_every_ns"));
    assert!((300 * MS..300 * MS + 3 * PERIOD).contains(&any), "{any}");
    assert!((500 * MS..500 * MS + 5 * PERIOD).contains(&every), "{every}");
    assert!((S..S + 2 * PERIOD).contains(&ns(&told, "rejoin_time_ns")));
    let t10 = told.instants_ns["t10"];
    assert!(t10 >= T0 + T8 + 2 * S, "when all members had caught up: {t10}");
}

#[test]
fn an_outage_that_only_the_clearing_ends_is_none_of_the_rejoin() {
    let told = measured(&Scene::new(1, &[hole(2 * MS, T8 + 500 * MS, How::GiveUp(3 * S))]));
    enclose(&told, "write_outage_any", T8 + 498 * MS, 4 * PERIOD);
    assert_eq!((ns(&told, "rejoin_outage_ns"), ns(&told, "rejoin_outage_every_ns")), (0, 0));
    assert_eq!(ns(&told, "outage_count"), 1);
    assert!(told.instants_ns["t5"] > told.instants_ns["t8"]);
    assert!(told.censored.is_empty(), "{:?}", told.censored);
}

#[test]
fn what_ends_only_after_the_control_gave_up_did_not_end() {
    for how in [How::Refuse, How::GiveUp(3 * S), How::Hang] {
        let hole = hole(2 * MS, T8 + 500 * MS, how);
        let mut scene = Scene::new(1, &[hole]).without(FaultStage::Recovered);
        let id = "5";
        for (t_ns, change) in [
            (0, SessionChange::Connected),
            (T0 + 5 * MS, SessionChange::Lost),
            (T0 + T8 + 600 * MS, SessionChange::Moved),
        ] {
            scene.event(t_ns, session("probe-java", change, id));
        }
        let told = measured(&scene);
        assert!(told.valid, "{:?}", told.notes);
        for (name, from_ns) in [
            ("ack_gap_any", 0),
            ("write_outage_any_lower", 2 * MS),
            ("write_outage_any_upper", 2 * MS),
            ("write_outage_every_lower", 2 * MS),
            ("write_outage_every_upper", 2 * MS),
            ("read_outage_any_upper", 2 * MS),
            ("java.write_outage_client_upper", 2 * MS),
            ("bad_time_total", 2 * MS),
            ("java.reconnect_time", 5 * MS),
            ("reconnect_time", 5 * MS),
            ("recovery_time", 2 * MS),
        ] {
            let name = format!("{name}_ns");
            assert!(told.censored.contains(&name), "{how:?}: {name} of {:?}", told.censored);
            let (known_ns, told_ns) = (T8 - from_ns, ns(&told, &name));
            assert!(told_ns.abs_diff(known_ns) <= 3 * PERIOD, "{how:?}: {name} is {told_ns}");
        }
        for name in ["t5", "t6", "t6_answered", "t7"] {
            assert!(!told.instants_ns.contains_key(name), "{how:?}: {name}");
        }
        assert!(!told.values.contains_key("rejoin_outage_ns") && ns(&told, "rejoin_time_ns") < 2 * S);
        assert!(!told.censored.contains(&"rejoin_time_ns".to_owned()));
    }
}

#[test]
fn those_who_were_back_before_the_control_gave_up_were_back() {
    let all = hole(2 * MS, 400 * MS, How::Refuse);
    let one = hole(400 * MS, T8 + 500 * MS, How::Refuse).of(&["java 2"]);
    let mut scene = Scene::new(1, &[all, one]).without(FaultStage::Recovered);
    let line = |t_ns, member: usize, role: &str, term| MemberLine {
        t_ns,
        member: MEMBERS[member].to_owned(),
        role: Some(role.to_owned()),
        term: Some(term),
        answer_ns: Some(1),
        ..MemberLine::default()
    };
    scene.lines = vec![
        line(T0 - 20 * MS, 0, "leader", 1),
        line(T0 - 20 * MS, 1, "follower", 1),
        line(T0 + 300 * MS, 1, "leader", 2),
    ];
    let told = measured(&scene);
    enclose(&told, "write_outage_any", 398 * MS, 4 * PERIOD);
    enclose(&told, "ideal.write_outage_client", 398 * MS, 4 * PERIOD);
    assert_eq!((ns(&told, "client_tail_ns"), ns(&told, "recovery_time_ns")), (T8 - 300 * MS, T8 - 2 * MS));
    let mut censored = told.censored.clone();
    censored.sort_unstable();
    assert_eq!(
        censored,
        [
            "client_tail_ns",
            "java.write_outage_client_lower_ns",
            "java.write_outage_client_upper_ns",
            "recovery_time_ns",
            "write_outage_every_lower_ns",
            "write_outage_every_upper_ns"
        ]
    );
}

#[test]
fn a_victim_that_serves_old_reads_has_not_rejoined() {
    let mut scene = Scene::new(1, &[]);
    // Reads of the victim are of before the fault until 2 s after the clearing.
    for row in &mut scene.rows {
        if row.stream == 3 && row.ended_ns > T0 + T8 && row.ended_ns < T0 + T8 + 2 * S {
            row.zxid = T0 as i64;
        }
    }
    let rejoin_ns = ns(&measured(&scene), "rejoin_time_ns");
    assert!((2 * S..2 * S + 2 * PERIOD).contains(&rejoin_ns), "{rejoin_ns}");
}

/// A scene and what is done to it.
fn invalid(change: impl FnOnce(&mut Scene), says: &str) {
    let mut scene = Scene::new(1, &[hole(2 * MS, 400 * MS, How::Refuse)]);
    change(&mut scene);
    let told = measured(&scene);
    assert!(!told.valid, "{says}");
    assert!(told.notes.iter().any(|note| note.contains(says)), "{says}: {:?}", told.notes);
}

fn drop_stage(stage: FaultStage) -> impl FnOnce(&mut Scene) {
    move |scene| *scene = scene.clone().without(stage)
}

#[test]
fn what_makes_a_repetition_invalid() {
    invalid(drop_stage(FaultStage::Active), "never proven");
    invalid(drop_stage(FaultStage::Asked), "was not injected");
    invalid(drop_stage(FaultStage::VictimConfirmed), "nobody confirmed");
    invalid(drop_stage(FaultStage::Over), "not brought to its end");
    let tell = |scene: &mut Scene, stage, t_ns, text: &str| {
        let (fault, detail) = ("kill".to_owned(), text.to_owned());
        scene.event(t_ns, EventKind::Fault { repetition: 1, fault, stage, victims: Vec::new(), detail });
    };
    invalid(|s| tell(s, FaultStage::WrongVictim, T0 + 3 * MS, "2182 leads"), "was meant to be: 2182 leads");
    invalid(|s| tell(s, FaultStage::Failed, T0, "no such command"), "the fault failed: no such command");
    invalid(|s| tell(s, FaultStage::Skipped, T0, "no root"), "the fault was skipped: no root");
    invalid(
        |s| s.event(T0 + S, EventKind::Warning { text: "12 rows of history are missing".to_owned() }),
        "rows of the probes' history are missing",
    );
    invalid(|s| s.rows.retain(|row| row.stream != 7 || row.session != 1), "there is no history of java 2");
    invalid(
        |s| {
            for row in s.rows.iter_mut().filter(|r| r.stream == 1 && r.intended_ns > T0 + 100 * MS).take(1) {
                row.released_ns = row.intended_ns + 5 * PERIOD + 1;
            }
        },
        "released a probe 50.0 ms late",
    );
    invalid(
        |s| s.rows.iter_mut().filter(|r| r.intended_ns < S).for_each(|row| row.kind = RowKind::Failed),
        "of its baseline's slots are good",
    );
    invalid(
        |s| s.rows.iter_mut().filter(|r| r.intended_ns < T0).for_each(|row| row.kind = RowKind::Failed),
        "no slot of its baseline is good",
    );
    // Shifted clocks: the proof comes 51 ms after the fault.
    invalid(
        |s| {
            for event in &mut s.events {
                if matches!(event.kind, EventKind::Fault { stage: FaultStage::Active, .. }) {
                    event.t_ns = T0 + 51 * MS;
                }
            }
        },
        "in effect 51.0 ms after it was asked for, more than 50.0 ms",
    );
    // The second step of a rolling restart: recovery was not waited for.
    invalid(
        |s| tell(s, FaultStage::Failed, T0 + S, "2182 did not start"),
        "the fault failed: 2182 did not start",
    );
    // A failure to clear it is told and does not make it invalid.
    let mut scene = Scene::new(1, &[hole(2 * MS, 400 * MS, How::Refuse)]);
    tell(&mut scene, FaultStage::Failed, T0 + T8, "it came back with an empty disk");
    let told = measured(&scene);
    assert!(told.valid && told.notes == ["it came back with an empty disk"], "{:?}", told.notes);
}

#[test]
fn acknowledged_writes_that_are_gone_are_counted_in_every_repetition() {
    let scene = || Scene::new(1, &[hole(2 * MS, 400 * MS, How::GiveUp(S))]);
    let told = measured(&scene());
    assert_eq!(told.values.get("lost_acked_writes"), Some(&0));
    let unknown = ns(&told, "ops_unknown");
    assert!(unknown > 200, "{unknown}");
    assert_eq!((ns(&told, "unknown_landed"), ns(&told, "unknown_absent")), (0, unknown));

    let mut none = scene();
    none.events.retain(|event| !matches!(event.kind, EventKind::Audit { .. }));
    let none = measured(&none);
    assert_eq!(none.values.get("lost_acked_writes"), None, "absent, not 0");
    assert!(none.notes.iter().any(|note| note.contains("no audit")));

    // One member has an older version of one node: what it lacks of before the repetition's end is lost.
    let mut behind = scene();
    let audit = behind.events.iter_mut().find_map(|event| match &mut event.kind {
        EventKind::Audit { key: 1, version: Some(version), .. } => Some(version),
        _ => None,
    });
    *audit.unwrap() -= 103; // what was acknowledged in the second after the end is not asked for
    let lost = ns(&measured(&behind), "lost_acked_writes");
    assert!((1..=4).contains(&lost), "{lost}");

    // A version that is given again, with another transaction.
    let mut again = scene().without(FaultStage::Active);
    let at = |t_ns: u64| {
        move |row: &&mut quorumeter_record::HistoryRow| {
            row.stream == 6 && row.session == 0 && row.intended_ns > t_ns
        }
    };
    let version = again.rows.iter_mut().find(at(T0 - S)).unwrap().version;
    again.rows.iter_mut().find(at(T0 - 990 * MS)).unwrap().version = version;
    let again = measured(&again);
    assert!(!again.valid && ns(&again, "lost_acked_writes") >= 1, "{again:?}");
}

#[test]
fn unknown_writes_that_landed_are_found_by_the_versions_after_them() {
    let mut scene = Scene::new(1, &[hole(2 * MS, 400 * MS, How::GiveUp(S)).of(&["ideal 1"])]);
    for row in scene.rows.iter_mut().filter(|r| r.stream == 6 && r.session == 0 && r.version > 0) {
        row.version += if row.intended_ns > T0 + 2 * MS { 3 } else { 0 };
    }
    for event in &mut scene.events {
        if let EventKind::Audit { key: 15, version: Some(version), .. } = &mut event.kind {
            *version += 3;
        }
    }
    let told = measured(&scene);
    assert_eq!(ns(&told, "unknown_landed"), 3);
    assert_eq!(ns(&told, "unknown_absent"), ns(&told, "ops_unknown") - 3);
    assert_eq!(ns(&told, "lost_acked_writes"), 0);
}

#[test]
fn sessions_are_counted_by_policy() {
    let mut scene = Scene::new(1, &[hole(2 * MS, 400 * MS, How::Refuse)]);
    for (stream, t_ns, change, id) in [
        ("probe-java", S, SessionChange::Connected, "1"),
        ("probe-java", T0 + MS, SessionChange::Lost, "1"),
        ("probe-java", T0 + 100 * MS, SessionChange::ConnectFailed, "1"),
        ("probe-java", T0 + 401 * MS, SessionChange::Moved, "1"),
        ("probe-write-1", S, SessionChange::Connected, "2"),
        ("probe-write-1", T0 + MS, SessionChange::Lost, "2"),
        ("probe-write-1", T0 + T8 + S, SessionChange::Expired, "2"),
        ("probe-write-1", T0 + T8 + S, SessionChange::Connected, "3"),
        ("probe-ideal", S, SessionChange::Connected, "4"),
        ("probe-ideal", T0 + MS, SessionChange::Lost, "4"),
        ("probe-ideal", T0 + 500 * MS, SessionChange::Connected, "5"),
        ("app", T0 + 2 * MS, SessionChange::Lost, "6"),
    ] {
        scene.event(t_ns, session(stream, change, id));
    }
    let told = measured(&scene);
    for (name, value) in [
        ("sessions_lost", 3),
        ("sessions_expired", 1),
        ("sessions_silently_replaced", 1),
        ("sessions_moved", 1),
        ("connect_failures", 1),
        ("java.sessions_moved", 1),
        ("pinned.sessions_expired", 1),
        ("ideal.sessions_silently_replaced", 1),
        ("java.reconnect_time_ns", 400 * MS),
        ("reconnect_time_ns", 400 * MS),
    ] {
        assert_eq!(told.values.get(name), Some(&value), "{name}");
    }
    assert_eq!(
        told.values.get("pinned.reconnect_time_ns"),
        None,
        "the victim's client is not one that recovers"
    );
}

#[test]
fn watchers_are_missed_and_told_twice() {
    let scene = Scene::new(1, &[hole(2 * MS, 400 * MS, How::Refuse)]);
    let told = measured(&scene);
    let recovery_ns = ns(&told, "watch_recovery_ns");
    assert!(recovery_ns < 3 * PERIOD, "{recovery_ns}");
    assert_eq!((ns(&told, "watch_missed"), ns(&told, "watch_duplicates")), (0, 0));

    let mut changed = scene.clone();
    let is_event = |row: &quorumeter_record::HistoryRow| row.kind == RowKind::Event;
    // Two events in the quiet time are gone, one comes twice, and none comes in the first 300 ms.
    let quiet: Vec<usize> = changed
        .rows
        .iter()
        .enumerate()
        .filter(|(_, r)| is_event(r) && r.key == 1 && r.ended_ns > T0 + 5 * S)
        .map(|(i, _)| i)
        .take(3)
        .collect();
    let twice = changed.rows[quiet[2]];
    changed.rows.push(twice);
    changed.rows.remove(quiet[1]);
    changed.rows.remove(quiet[0]);
    changed.rows.retain(|r| !is_event(r) || !(T0..T0 + 700 * MS).contains(&r.ended_ns));
    let told = measured(&changed);
    assert_eq!((ns(&told, "watch_missed"), ns(&told, "watch_duplicates")), (2, 1));
    let recovery_ns = ns(&told, "watch_recovery_ns");
    assert!((285 * MS..310 * MS).contains(&recovery_ns), "{recovery_ns}");

    changed.rows.retain(|row| !is_event(row));
    let told = measured(&changed);
    assert!(told.censored.contains(&"watch_recovery_ns".to_owned()));
}

#[test]
fn a_slow_baseline_has_a_slow_threshold() {
    let threshold_ms = |samples: usize, response_ms: u64| {
        let mut scene = Scene::new(1, &[hole(2 * MS, 400 * MS, How::Refuse)]);
        scene.rows.sort_by_key(|row| row.intended_ns);
        let mut writes = 0;
        scene.rows.retain(|row| {
            let is_write = row.stream != 3 && row.stream != 4 && row.stream != 5 && row.intended_ns < T0;
            writes += usize::from(is_write && row.kind == RowKind::Ok);
            !is_write || writes <= samples
        });
        for row in scene.rows.iter_mut().filter(|row| row.intended_ns < T0) {
            row.ended_ns = row.intended_ns + response_ms * MS;
        }
        measured(&scene).slow_threshold_ns / MS
    };
    assert_eq!(threshold_ms(100, 20), 200);
    assert_eq!(threshold_ms(99, 20), 100, "too few samples");
    assert_eq!(threshold_ms(1000, 5), 100, "no less than 100 ms");
}

fn six(change: impl FnOnce(&mut Scene)) -> FailoverSummary {
    let mut scene = Scene::new(6, &[hole(2 * MS, 400 * MS, How::Refuse)]);
    change(&mut scene);
    scene.judge().summary
}

#[test]
fn six_repetitions_make_an_interval() {
    let summary = six(|_| ());
    assert_eq!((summary.planned, summary.valid, summary.invalid.len()), (6, 6, 0));
    let upper = &summary.durations["write_outage_any_upper_ns"];
    assert_eq!((upper.n, upper.censored), (6, 0));
    assert_eq!(upper.median_ci, upper.min.map(|min| (min, upper.max)));
    assert_eq!(upper.median_ci_coverage, Some(0.96875));
    assert_eq!(summary.policies["java"].clients, 2);
    assert_eq!(summary.policies["pinned"].clients, 3);
    assert_eq!(summary.policies["java"].durations["write_outage_client_upper_ns"].n, 6);
    assert_eq!(summary.counts["lost_acked_writes"].values, [0; 6]);
    assert!(summary.unseen_rate_upper.is_some_and(|upper| (upper - 0.393).abs() < 0.001));
    assert_eq!(super::super::too_few(&summary), None);

    // Without an audit nothing is known of lost writes.
    let no_audit =
        six(|scene| scene.events.retain(|e| !matches!(e.kind, EventKind::Audit { repetition: 4, .. })));
    assert_eq!((no_audit.valid, no_audit.unseen_rate_upper), (6, None));
}

#[test]
fn two_invalid_repetitions_of_six_are_too_many() {
    let without = |repetitions: &'static [u32]| {
        move |scene: &mut Scene| {
            scene.events.retain(|event| {
                !matches!(&event.kind, EventKind::Fault { repetition, stage: FaultStage::Active, .. } if repetitions.contains(repetition))
            });
        }
    };
    let one = six(without(&[3]));
    assert_eq!((one.valid, super::super::too_few(&one)), (5, None));
    assert_eq!(one.invalid[0].repetition, 3);
    assert_eq!(one.durations["ack_gap_any_ns"].n, 5);
    let two = six(without(&[3, 5]));
    let reason = super::super::too_few(&two).unwrap();
    assert!(reason.starts_with("only 4 of 6 repetitions count (3: the fault was never proven"), "{reason}");
    // Repetitions that were never begun are missing, too.
    let cut = six(|scene| {
        scene.events.retain(|e| !matches!(&e.kind, EventKind::Fault { repetition, .. } if *repetition > 4));
    });
    assert_eq!(super::super::too_few(&cut).unwrap(), "only 4 of 6 repetitions count (2 were not begun)");
    assert_eq!(cut.repetitions.len(), 4);
}

#[test]
fn pictures_show_the_fault_and_its_probes() {
    let scene = Scene::new(2, &[hole(2 * MS, 400 * MS, How::Refuse)]);
    let pictures = scene.judge().pictures;
    assert_eq!(pictures.len(), 2);
    let second = &pictures[1];
    assert_eq!((second.repetition, second.start_ns), (2, ROUND + T0 - 500 * MS));
    let labels: Vec<&str> = second.probes.iter().map(|probe| probe.label.as_str()).collect();
    assert_eq!(
        labels,
        [
            "write 1", "write 2", "write 3", "read 1", "read 2", "read 3", "ideal 1", "ideal 2", "java 1",
            "java 2"
        ]
    );
    assert!(
        second.probes.iter().all(|probe| probe.is_victims == probe.label.ends_with(" 1")
            && probe.label.starts_with(['w', 'r'])
            || !probe.is_victims)
    );
    let failed = second.probes[1].slots.iter().filter(|slot| slot.mark == crate::failover::Mark::Failed);
    assert!((38..=41).contains(&failed.count()));
    assert!(second.stages.iter().any(|mark| mark.stage == FaultStage::Asked));
}
