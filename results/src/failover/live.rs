//! What the control of a failover measurement needs to know while it goes.

use quorumeter_record::{HistoryRow, Manifest, ProbeRole};

use super::outage::{RUN, Scale, every};
use super::probes::{Client, Probes};
use super::repetition;

/// Where no slot has failed, the clients have to be seen served for so long after the fault.
const UNHARMED_NS: u64 = 1_000_000_000;

/// t6 of the surviving clients that write, from the rows so far: when all of them are served again, nanoseconds since the
/// run's start; `t0_ns` where none of them was ever out, which is known a second later. `None` until then.
///
/// The manifest is the one of the measurement, with its plan; `threshold_ns` is how late a good slot may end, `rows` are those
/// of this repetition, of any stream and in any order, and `victims` positions of members.
pub fn recovered_ns(
    manifest: &Manifest,
    threshold_ns: u64,
    rows: &[HistoryRow],
    victims: &[u32],
    t0_ns: u64,
) -> Option<u64> {
    let probes = Probes::new(manifest, rows.iter().copied());
    let survivors: Vec<&Client> = probes.of(ProbeRole::Write).filter(|c| c.survives(victims)).collect();
    let period_ns = manifest.failover.as_ref()?.probe_period_ns;
    let scale = Scale { period_ns, threshold_ns, ordinary_ns: threshold_ns };
    // A slot that is still open has no row. So only what all clients have rows of is known, and of each client the slots
    // without a hole in their schedule.
    let until_ns = survivors.iter().map(|client| known_until_ns(client, period_ns, t0_ns)).min()??;
    let slots: Vec<&[HistoryRow]> = survivors.iter().map(|client| client.between(0, until_ns + 1)).collect();
    match every(&slots, scale, t0_ns, u64::MAX).first() {
        Some(outage) => outage.end_ns,
        None => (until_ns >= t0_ns + UNHARMED_NS).then_some(t0_ns),
    }
}

/// Up to where the client has a row of every slot from the fault on; `None` where it has none since then.
fn known_until_ns(client: &Client, period_ns: u64, t0_ns: u64) -> Option<u64> {
    let slots = client.between(t0_ns, u64::MAX);
    let mut holes =
        slots.windows(2).filter(|pair| pair[1].intended_ns - pair[0].intended_ns >= 2 * period_ns);
    // What lies behind the last slot that is still open and that many good ones is known again.
    let last = slots.last()?;
    match holes.next_back() {
        Some(hole) if last.intended_ns < hole[1].intended_ns + RUN as u64 * period_ns => {
            Some(hole[0].intended_ns)
        }
        _ => Some(last.intended_ns),
    }
}

/// t9, from the rows so far: when every victim has served again what had been acknowledged before `cleared_ns` (t8), and a
/// write, nanoseconds since the run's start. `None` until then, and where a victim has no probe. The rest as of
/// [`recovered_ns`]; the rows begin before the clearing.
pub fn rejoined_ns(
    manifest: &Manifest,
    threshold_ns: u64,
    rows: &[HistoryRow],
    victims: &[u32],
    cleared_ns: u64,
) -> Option<u64> {
    let probes = Probes::new(manifest, rows.iter().copied());
    let clients: Vec<&Client> = probes.clients.iter().collect();
    repetition::rejoined_ns(&clients, victims, [threshold_ns; 2], cleared_ns, u64::MAX)
}

#[cfg(test)]
mod tests {
    use quorumeter_record::HistoryRow;

    use super::*;
    use crate::failover::simulator::{How, PERIOD, Scene, T0, T8, hole};
    use crate::fixture::{MS, S};

    /// What is known of t6 when only the rows are there that have ended by then.
    fn recovered(scene: &Scene, now_ns: u64) -> Option<u64> {
        let rows: Vec<HistoryRow> = scene.rows.iter().filter(|row| row.ended_ns <= now_ns).copied().collect();
        recovered_ns(&scene.manifest, 100 * MS, &rows, &[0], T0)
    }

    #[test]
    fn recovery_is_known_when_every_survivor_is_served_again() {
        for how in [How::Refuse, How::Hang, How::GiveUp(300 * MS)] {
            let last = hole(400 * MS, 900 * MS, how).of(&["java 2"]);
            let scene = Scene::new(1, &[hole(2 * MS, 400 * MS, how), last]);
            // What hung is answered at 900 ms, and what of it was intended after 800 ms is good.
            for before_ms in [0, 50, 200, 399, 450, 500, 899] {
                assert_eq!(recovered(&scene, T0 + before_ms * MS), None, "{how:?} {before_ms}");
            }
            let told = recovered(&scene, T0 + 1300 * MS).unwrap();
            let judged = scene.judge().summary.repetitions[0].instants_ns["t6"];
            assert_eq!(told, judged, "{how:?}");
        }
    }

    #[test]
    fn clients_that_were_never_out_are_known_to_be_so_after_a_second() {
        let scene = Scene::new(1, &[]);
        assert_eq!(recovered(&scene, T0 + 900 * MS), None);
        assert_eq!(recovered(&scene, T0 + 1100 * MS), Some(T0));
        // A victim's clients, and reads, are not waited for.
        let reads = Scene::new(1, &[hole(2 * MS, 3 * S, How::Refuse).of(&["read 2"])]);
        assert_eq!(recovered(&reads, T0 + 1100 * MS), Some(T0));
    }

    #[test]
    fn what_never_recovers_is_never_known() {
        for how in [How::Refuse, How::Hang, How::GiveUp(90 * S)] {
            let scene = Scene::new(1, &[hole(2 * MS, 100 * S, how).of(&["ideal 1"])]);
            for now_s in [1, 2, 5, 9] {
                assert_eq!(recovered(&scene, T0 + now_s * S), None, "{how:?} {now_s}");
            }
        }
    }

    #[test]
    fn a_rejoin_is_known_when_the_victims_serve() {
        let scene = Scene::new(1, &[hole(2 * MS, 400 * MS, How::Refuse)]);
        let rejoined = |now_ns: u64| {
            let rows: Vec<HistoryRow> =
                scene.rows.iter().filter(|row| row.ended_ns <= now_ns).copied().collect();
            rejoined_ns(&scene.manifest, 100 * MS, &rows, &[0], T0 + T8)
        };
        assert_eq!(rejoined(T0 + T8 + S), None);
        let told = rejoined(T0 + T8 + S + 3 * PERIOD).unwrap();
        assert_eq!(told, scene.judge().summary.repetitions[0].instants_ns["t9"]);
        // Nobody is hit who has no probe.
        assert_eq!(rejoined_ns(&scene.manifest, 100 * MS, &scene.rows, &[7], T0 + T8), None);
        assert_eq!(rejoined_ns(&scene.manifest, 100 * MS, &scene.rows, &[], T0 + T8), None);
    }
}
