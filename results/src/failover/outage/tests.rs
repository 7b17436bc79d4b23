use proptest::prelude::*;
use quorumeter_record::ProbeRole;

use super::*;
use crate::failover::simulator::{How, PERIOD, Simulated, history, hole};
use crate::failover::values::Bounds;
use crate::fixture::{MS, S};

const SCALE: Scale = Scale { period_ns: PERIOD, threshold_ns: 100 * MS, ordinary_ns: 2 * MS };
const T0: u64 = S;

fn client(n: u32, phase_ns: u64, holes: &[crate::failover::simulator::Hole]) -> Client {
    let simulated = Simulated { stream: 0, session: n, member: None, key: n, phase_ns };
    let mut slots = history(simulated, holes, true, 8 * S);
    slots.sort_by_key(|slot| slot.intended_ns);
    let label = format!("ideal {n}");
    Client { label, role: ProbeRole::Write, member: None, policy: "ideal".to_owned(), slots }
}

fn bounds(outages: &[Outage], clients: &[&Client]) -> Bounds {
    let span = AckSpan { start_ns: 0, from_ns: T0, to_ns: 8 * S, end_ns: 8 * S };
    Bounds::new(outages.first(), &ack_gap(clients, span), PERIOD)
}

fn slots<'a>(clients: &[&'a Client]) -> Vec<&'a [HistoryRow]> {
    clients.iter().map(|client| client.slots.as_slice()).collect()
}

/// Slots every 10 ms, of which each is good (`·`) or fails (`x`) or ends late (`-`): the outages from the third slot on.
fn drawn(text: &str) -> Vec<(u64, u64, Option<u64>)> {
    let row = |(i, c): (u64, char)| HistoryRow {
        intended_ns: i * PERIOD,
        released_ns: i * PERIOD,
        sent_ns: Some(i * PERIOD),
        ended_ns: i * PERIOD + if c == '-' { 101 * MS } else { MS },
        zxid: 0,
        session: 0,
        connection: 1,
        key: 0,
        code: 0,
        version: -1,
        stream: 0,
        member: None,
        op: 0,
        kind: if c == 'x' { RowKind::Failed } else { RowKind::Ok },
    };
    let slots: Vec<HistoryRow> = (0..).zip(text.chars()).map(row).collect();
    let outages = Line::of_client(&slots, SCALE).outages(2 * PERIOD, S);
    outages
        .iter()
        .map(|o| (o.first_ns / PERIOD, o.last_ns / PERIOD, o.end_ns.map(|ns| ns / PERIOD)))
        .collect()
}

#[test]
fn five_good_slots_end_an_outage() {
    for (text, outages) in [
        ("············", vec![]),
        ("··x·····", vec![(2, 2, Some(3))]),
        ("···xxx·····", vec![(3, 5, Some(6))]),
        ("···xxx····", vec![(3, 5, None)]),
        ("···xxx··x·····", vec![(3, 8, Some(9))]),
        ("···xxx····x·····", vec![(3, 10, Some(11))]),
        ("···xxx·····x·····", vec![(3, 5, Some(6)), (11, 11, Some(12))]),
        ("···xx", vec![(3, 4, None)]),
        // What failed before is not of this; what is still open is.
        ("xx··········", vec![]),
        ("x-··········", vec![(1, 1, Some(2))]),
        ("-x··········", vec![(0, 1, Some(2))]),
        ("··---·····", vec![(2, 4, Some(5))]),
    ] {
        assert_eq!(drawn(text), outages, "{text}");
    }
}

#[test]
fn the_threshold_itself_is_still_good() {
    let mut only = client(0, 0, &[]);
    only.slots[200].ended_ns = only.slots[200].intended_ns + 100 * MS;
    assert_eq!(Line::of_client(&only.slots, SCALE).outages(T0, 8 * S), []);
    only.slots[200].ended_ns += 1;
    assert_eq!(Line::of_client(&only.slots, SCALE).outages(T0, 8 * S).len(), 1);
}

#[test]
fn bounds_of_one_client_are_these() {
    // Refused from 1.005 s to 1.055 s: slots 1.01 to 1.05 fail.
    let only = client(0, 0, &[hole(T0 + 5 * MS, T0 + 55 * MS, How::Refuse)]);
    let outages = Line::of_client(&only.slots, SCALE).outages(T0, 8 * S);
    let slot = |ms: u64| only.slots.iter().find(|s| s.intended_ns == T0 + ms * MS).unwrap();
    let expected = Outage {
        first_ns: T0 + 10 * MS,
        last_ns: T0 + 50 * MS,
        end_ns: Some(T0 + 60 * MS),
        began_by_ns: slot(10).ended_ns,
        began_after_ns: slot(0).sent_ns.unwrap(),
        over_by_ns: Some(slot(60).ended_ns),
    };
    assert_eq!(outages, [expected]);
    assert!(expected.lower_ns() > 38 * MS && expected.lower_ns() < 40 * MS);
    assert!(expected.upper_ns() > 60 * MS && expected.upper_ns() < 62 * MS);
}

#[test]
fn gaps_are_between_the_ends_of_acknowledged_ops() {
    let only = client(0, 0, &[hole(T0 + 5 * MS, T0 + 300 * MS, How::Hang)]);
    let span = AckSpan { start_ns: 0, from_ns: T0, to_ns: 2 * S, end_ns: 8 * S };
    let gap = ack_gap(&[&only], span);
    let acks: Vec<u64> = only.slots.iter().map(|slot| slot.ended_ns).collect();
    let before = *acks.iter().filter(|t| **t < T0 + 5 * MS).max().unwrap();
    let after = *acks.iter().filter(|t| **t > T0 + 5 * MS).min().unwrap();
    assert_eq!((gap.gap_ns, gap.is_censored), (after - before, false));
    assert!(gap.hole_ns >= 295 * MS && gap.hole_ns > gap.gap_ns);
    // A gap counts that only overlaps the time that is asked about.
    for (from_ns, to_ns) in [(T0 + 100 * MS, T0 + 200 * MS), (0, T0 + 6 * MS), (T0 + 299 * MS, 2 * S)] {
        assert_eq!(ack_gap(&[&only], AckSpan { from_ns, to_ns, ..span }), gap);
    }
    assert!(ack_gap(&[&only], AckSpan { from_ns: T0 + 400 * MS, ..span }).gap_ns < 12 * MS);
    // It never ends.
    let gone = client(0, 0, &[hole(T0 + 5 * MS, 9 * S, How::Refuse)]);
    let gap = ack_gap(&[&gone], span);
    assert_eq!((gap.gap_ns, gap.is_censored), (8 * S - before, true));
    // And never was one.
    assert_eq!(ack_gap(&[], span), AckGap { gap_ns: 8 * S, hole_ns: 8 * S, is_censored: true });
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![Just(How::Refuse), Just(How::Hang), (1_u64..2_000_000_000).prop_map(How::GiveUp),]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// Clients lose the service one after the other within 30 ms, and have it back within half a second of each other: the
    /// hole of any client is where all of theirs overlap, and that of every client reaches from the first to the last.
    #[test]
    fn bounds_enclose_the_truth(
        from in 0_u64..20_000_000,
        length in prop_oneof![1_000_000_u64..150_000_000, 1_000_000_u64..3_000_000_000],
        each in prop::collection::vec((0..PERIOD, 0_u64..30_000_000, 0_u64..500_000_000, how()), 1..6),
        slow in 0_u64..80_000_000,
    ) {
        let holes: Vec<_> = each
            .iter()
            .map(|(_, late, longer, how)| hole(T0 + from + late, T0 + from + length.max(late + 1) + longer, *how))
            .collect();
        let mut clients: Vec<Client> = (0..).zip(&each).zip(&holes)
            .map(|((n, (phase, ..)), hole)| client(n, *phase, std::slice::from_ref(hole)))
            .collect();
        // Some answers are under way for longer.
        for slot in clients.iter_mut().flat_map(|client| client.slots.iter_mut().skip(7).step_by(13)) {
            slot.ended_ns += slow;
        }
        for (client, hole) in clients.iter().zip(&holes) {
            let truth = hole.to_ns - hole.from_ns;
            let told = bounds(&Line::of_client(&client.slots, SCALE).outages(T0, 8 * S), &[client]);
            prop_assert!(told.lower_ns <= truth && truth <= told.upper_ns, "client: {truth} in {told:?}");
            prop_assert!(!told.is_censored);
            // What hangs and is answered in time is good, and what fails in time had failed by then.
            let hidden = match hole.how {
                How::Hang => 101 * MS,
                How::GiveUp(ns) if ns <= 100 * MS => ns,
                _ => 0,
            };
            prop_assert!(told.upper_ns - told.lower_ns <= 3 * PERIOD + hidden + 2 * slow, "wide: {truth} in {told:?}");
        }
        let clients: Vec<&Client> = clients.iter().collect();
        let starts = || holes.iter().map(|hole| hole.from_ns);
        let ends = || holes.iter().map(|hole| hole.to_ns);

        let truth = ends().min().unwrap().saturating_sub(starts().max().unwrap());
        let told = bounds(&Line::any(&slots(&clients), SCALE).outages(T0, 8 * S), &clients);
        prop_assert!(told.lower_ns <= truth && truth <= told.upper_ns, "any: {truth} in {told:?}");

        let truth = ends().max().unwrap() - starts().min().unwrap();
        let outages = every(&slots(&clients), SCALE, T0, 8 * S);
        if let [outage] = outages[..] {
            let told = bounds(&[outage], &clients);
            let short = holes.iter().any(|hole| hole.to_ns - hole.from_ns <= 111 * MS);
            prop_assert!(told.lower_ns <= truth, "every: {truth} in {told:?}");
            // A hole in which everything hangs for less than the threshold, or which no slot falls in, is none to its client.
            prop_assert!(truth <= told.upper_ns || short, "every: {truth} in {told:?}");
        }
    }

    /// Flaps of up to three good slots do not end an outage, and its bounds enclose the first hole's start to the last one's
    /// end.
    #[test]
    fn bounds_enclose_a_flapping_hole(
        phase in 0..PERIOD,
        from in 0_u64..20_000_000,
        holes in prop::collection::vec((25_000_000_u64..400_000_000, 1_000_000_u64..30_000_000), 1..5),
        gives_up in 1_u64..99_000_000,
    ) {
        let mut at = T0 + from;
        let mut script = Vec::new();
        for (length, pause) in &holes {
            script.push(hole(at, at + length, if length % 2 == 0 { How::Refuse } else { How::GiveUp(gives_up) }));
            at += length + pause;
        }
        let only = client(0, phase, &script);
        let outages = Line::of_client(&only.slots, SCALE).outages(T0, 8 * S);
        prop_assert_eq!(outages.len(), 1);
        let truth = script.last().unwrap().to_ns - script[0].from_ns;
        let told = bounds(&outages, &[&only]);
        prop_assert!(told.lower_ns <= truth && truth <= told.upper_ns, "{truth} in {told:?}");
        prop_assert!(told.upper_ns - told.lower_ns <= 3 * PERIOD + gives_up, "wide: {truth} in {told:?}");
    }
}
