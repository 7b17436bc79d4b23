//! Little's law, L = λ·W: the mean number of ops in a system is the rate of departures times the mean time that
//! each spends there. The left sides come from counters alone and the right sides from latencies alone, so that
//! they check each other.
//!
//! Over a window of length T with n departures of mean W the right side is (n / T)·(ΣW / n) = ΣW / T.

//!
//! The integral has the whole of the window, and ΣW the whole of the ops that end in it: they differ by the parts of ops
//! that cross an edge. With k ops open at the edges that is about k·W / T, which is granted to the two sides. Where it
//! is itself more than what would count as apart, they tell nothing.

use quorumeter_record::LittlesLaw;

use crate::tally::{GeneratorTally, Tally};

/// How far apart two sides may be, relative to the larger one.
const TOLERANCE: f64 = 0.05;

/// Both pairs over a window of `window_ns`.
pub(crate) fn littles_law(tally: &Tally, window_ns: u64) -> LittlesLaw {
    let GeneratorTally { in_flight_op_ns, waiting_op_ns, service_sum_ns, response_sum_ns, .. } =
        tally.generator;
    let mean = |op_ns: u128| if window_ns == 0 { 0.0 } else { op_ns as f64 / window_ns as f64 };
    let mean_in_flight = mean(in_flight_op_ns);
    let rate_times_mean_service = mean(service_sum_ns);
    let mean_in_system = mean(in_flight_op_ns.saturating_add(waiting_op_ns));
    let rate_times_mean_response = mean(response_sum_ns);
    let (in_flight_at_edges, in_system_at_edges) = tally.open_at_edges();
    // k ops, each of the mean time of those that departed, over the window.
    let edges = |open: u64, rate_times_mean: f64, departed: u64| {
        open as f64 * rate_times_mean / departed.max(1) as f64
    };
    let of_service = edges(in_flight_at_edges, rate_times_mean_service, tally.generator.departed_sent);
    let of_response = edges(in_system_at_edges, rate_times_mean_response, tally.generator.departed);
    LittlesLaw {
        mean_in_flight,
        rate_times_mean_service,
        mean_in_system,
        rate_times_mean_response,
        holds: both(
            agree(mean_in_flight, rate_times_mean_service, of_service),
            agree(mean_in_system, rate_times_mean_response, of_response),
        ),
    }
}

/// Whether two sides agree, given what the edges of the window may do to them; `None` where that hides it.
fn agree(left: f64, right: f64, edges: f64) -> Option<bool> {
    let (apart, granted) = ((left - right).abs(), TOLERANCE * left.max(right));
    if apart > granted + edges { Some(false) } else { (edges < granted).then_some(true) }
}

/// One pair that is off is enough; for all to be well both must be known to be.
fn both(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::StreamTally;

    const S: u128 = 1_000_000_000;
    const WINDOW_NS: u64 = 2_000_000_000;

    /// 1,000 ops in 2 s, 4 ms of service each after 1 ms of waiting: 2 in flight, 2.5 in the system.
    fn even() -> Tally {
        let generator = GeneratorTally {
            in_flight_op_ns: 4 * S,
            waiting_op_ns: S,
            departed: 1000,
            departed_sent: 1000,
            service_sum_ns: 4 * S,
            response_sum_ns: 5 * S,
            ..GeneratorTally::default()
        };
        let edges =
            StreamTally { in_flight_after_warmup: 2, in_flight_after_window: 2, ..StreamTally::default() };
        Tally { generator, streams: [("app".to_owned(), edges)].into(), ..Tally::default() }
    }

    #[test]
    fn both_pairs_are_computed_from_their_own_side() {
        let law = littles_law(&even(), WINDOW_NS);
        assert_eq!((law.mean_in_flight, law.rate_times_mean_service), (2.0, 2.0));
        assert_eq!((law.mean_in_system, law.rate_times_mean_response), (2.5, 2.5));
        assert_eq!(law.holds, Some(true));
    }

    #[test]
    fn five_percent_apart_and_the_edges_are_the_limit() {
        for (left, right, edges, holds) in [
            (100.0, 95.0, 0.0, Some(true)),
            (100.0, 94.9, 0.0, Some(false)),
            (94.9, 100.0, 0.0, Some(false)),
            (100.0, 94.9, 1.0, Some(true)),
            (100.0, 93.9, 1.0, Some(false)),
            // However little is in flight, being off is not hidden by that.
            (0.01, 0.0501, 0.0001, Some(false)),
            (0.01, 0.0101, 0.0001, Some(true)),
            // The edges alone are 5 %: only what is further apart is told.
            (1.0, 1.0, 0.06, None),
            (1.0, 0.8, 0.06, Some(false)),
            (0.0, 0.0, 0.0, None),
        ] {
            assert_eq!(agree(left, right, edges), holds, "{left} {right} {edges}");
        }
    }

    #[test]
    fn either_pair_can_break_it() {
        let law = |change: fn(&mut Tally)| {
            let mut tally = even();
            change(&mut tally);
            littles_law(&tally, WINDOW_NS).holds
        };
        assert_eq!(law(|t| t.generator.service_sum_ns = 44 * S / 10), Some(false));
        assert_eq!(law(|t| t.generator.waiting_op_ns = 2 * S), Some(false));
        // Of 10 ops 4 are across an edge.
        assert_eq!(law(|t| (t.generator.departed, t.generator.departed_sent) = (10, 10)), None);
        assert_eq!(littles_law(&even(), 0).holds, None, "an empty window tells nothing");
    }
}
