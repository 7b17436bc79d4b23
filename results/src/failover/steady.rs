//! When the load is again as it was before the fault.

use quorumeter_record::{HistoryRow, RowKind};

use super::probes::{between, is_good, response_ns};
use super::stats::quantile;

/// So many windows in a row have to be steady,
const WINDOWS: u64 = 5;
/// each of this length.
const WINDOW_NS: u64 = 1_000_000_000;
/// The share of the baseline's goodput that a steady window has at least.
const GOODPUT_SHARE: f64 = 0.9;
/// How much greater the p99 may be than the baseline's: by a half,
const P99_FACTOR: f64 = 1.5;
/// and in any case by so much.
const P99_FLOOR_NS: u64 = 2_000_000;

/// What a steady window looks like: the goodput and the p99 of response times of the surviving probes before the fault.
///
/// The probes stand for the load: they have every op, so that windows can begin anywhere, and the same rate in every
/// repetition. A window is steady when its good slots per second are at least 90 % of the baseline's, and the p99 of its
/// ops that succeeded is at most half as much again, or 2 ms more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Steady {
    good_per_s: f64,
    p99_limit_ns: u64,
    threshold_ns: u64,
}

impl Steady {
    /// From the slots that are intended in `[from_ns, to_ns)`; `None` when none of them is good.
    pub(crate) fn of_baseline(
        slots: &[HistoryRow],
        from_ns: u64,
        to_ns: u64,
        threshold_ns: u64,
    ) -> Option<Steady> {
        let slots = between(slots, from_ns, to_ns);
        let good = slots.iter().filter(|slot| is_good(slot, threshold_ns)).count();
        let ok = slots.iter().filter(|slot| slot.kind == RowKind::Ok);
        let mut responses: Vec<u64> = ok.map(response_ns).collect();
        responses.sort_unstable();
        let p99_ns = quantile(&responses, 0.99)?;
        (good > 0).then(|| Steady {
            good_per_s: good as f64 * 1e9 / (to_ns - from_ns) as f64,
            p99_limit_ns: ((p99_ns as f64 * P99_FACTOR) as u64).max(p99_ns + P99_FLOOR_NS),
            threshold_ns,
        })
    }

    /// The start of the first five steady windows in a row that begin with a slot at or after `from_ns` and end by `to_ns`.
    pub(crate) fn first(&self, slots: &[HistoryRow], from_ns: u64, to_ns: u64) -> Option<u64> {
        // How many of the slots before each are good, ok, and ok but above the p99's limit.
        let mut sums = vec![[0_u64; 3]];
        let mut sum = [0; 3];
        for slot in slots {
            let is_ok = slot.kind == RowKind::Ok;
            sum[0] += u64::from(is_good(slot, self.threshold_ns));
            sum[1] += u64::from(is_ok);
            sum[2] += u64::from(is_ok && response_ns(slot) > self.p99_limit_ns);
            sums.push(sum);
        }
        let at = |t_ns: u64| slots.partition_point(|slot| slot.intended_ns < t_ns);
        let is_steady = |start_ns: u64| {
            let (first, end) = (sums[at(start_ns)], sums[at(start_ns + WINDOW_NS)]);
            let [good, ok, above] = [0, 1, 2].map(|i| end[i] - first[i]);
            let beyond_p99 = ok - (ok as f64 * 0.99).ceil() as u64;
            good as f64 >= GOODPUT_SHARE * self.good_per_s && ok > 0 && above <= beyond_p99
        };
        slots[at(from_ns)..]
            .iter()
            .map(|slot| slot.intended_ns)
            .take_while(|start_ns| start_ns + WINDOWS * WINDOW_NS <= to_ns)
            .find(|start_ns| (0..WINDOWS).all(|i| is_steady(start_ns + i * WINDOW_NS)))
    }

    /// The last instant at which five windows could begin that end by `to_ns`.
    pub(crate) fn last_start_ns(to_ns: u64) -> u64 {
        to_ns.saturating_sub(WINDOWS * WINDOW_NS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::simulator::{How, Simulated, history, hole};
    use crate::fixture::{MS, S};

    const THRESHOLD: u64 = 100 * MS;

    fn slots(holes: &[crate::failover::simulator::Hole]) -> Vec<HistoryRow> {
        let client = Simulated { stream: 0, session: 0, member: None, key: 0, phase_ns: 0 };
        let mut slots = history(client, holes, false, 20 * S);
        slots.sort_by_key(|slot| slot.intended_ns);
        slots
    }

    fn first(slots: &[HistoryRow], from_ns: u64, to_ns: u64) -> Option<u64> {
        Steady::of_baseline(slots, 0, 4 * S, THRESHOLD).unwrap().first(slots, from_ns, to_ns)
    }

    #[test]
    fn five_windows_have_to_be_as_before() {
        let clean = slots(&[]);
        assert_eq!(first(&clean, 4 * S, 9 * S), Some(4 * S));
        assert_eq!(first(&clean, 4 * S + 1, 20 * S), Some(4 * S + 10 * MS));
        assert_eq!(first(&clean, 4 * S + 1, 9 * S), None, "five windows do not fit");
        // A tenth of the goodput may be missing; so the windows begin 100 ms before the hole ends.
        let hole_of = slots(&[hole(4 * S, 5 * S, How::Refuse)]);
        assert_eq!(first(&hole_of, 4 * S, 20 * S), Some(4 * S + 900 * MS));
        let twice = slots(&[hole(4 * S, 5 * S, How::Refuse), hole(9 * S, 9 * S + 500 * MS, How::Refuse)]);
        assert_eq!(first(&twice, 4 * S, 20 * S), Some(9 * S + 400 * MS));
    }

    #[test]
    fn a_greater_p99_is_not_steady() {
        let slow = |ns: u64| {
            let mut slots = slots(&[]);
            let late = slots.iter_mut().filter(|slot| (4 * S..8 * S).contains(&slot.intended_ns));
            late.for_each(|slot| slot.ended_ns += ns);
            first(&slots, 4 * S, 20 * S)
        };
        // The p99 is 1.2 ms: 2 ms more are allowed.
        assert_eq!(slow(MS), Some(4 * S));
        // One op of 100 in a window may be beyond its p99.
        assert_eq!(slow(3 * MS), Some(8 * S - 10 * MS));
    }

    #[test]
    fn nothing_is_like_no_baseline() {
        let none = slots(&[hole(0, 20 * S, How::Refuse)]);
        assert_eq!(Steady::of_baseline(&none, 0, 4 * S, THRESHOLD), None);
        assert_eq!(Steady::of_baseline(&[], 0, 4 * S, THRESHOLD), None);
        assert_eq!(Steady::last_start_ns(S), 0);
    }
}
