//! Little's law, L = λ·W: the mean number of ops in a system is the rate of departures times the mean time that
//! each spends there. The left sides come from counters alone and the right sides from latencies alone, so that
//! they check each other.
//!
//! Over a window of length T with n departures of mean W the right side is (n / T)·(ΣW / n) = ΣW / T.

use quorumeter_record::LittlesLaw;

use crate::tally::GeneratorTally;

/// How far apart two sides may be, relative to the larger one.
const TOLERANCE: f64 = 0.05;
/// Sides this close agree, however small they are: mean numbers of ops.
const TOLERANCE_OPS: f64 = 0.05;

/// Both pairs over a window of `window_ns`. An empty window has nothing in it, and holds.
pub(crate) fn littles_law(tally: &GeneratorTally, window_ns: u64) -> LittlesLaw {
    let mean = |op_ns: u128| if window_ns == 0 { 0.0 } else { op_ns as f64 / window_ns as f64 };
    let mean_in_flight = mean(tally.in_flight_op_ns);
    let rate_times_mean_service = mean(tally.service_sum_ns);
    let mean_in_system = mean(tally.in_flight_op_ns + tally.waiting_op_ns);
    let rate_times_mean_response = mean(tally.response_sum_ns);
    LittlesLaw {
        mean_in_flight,
        rate_times_mean_service,
        mean_in_system,
        rate_times_mean_response,
        holds: agree(mean_in_flight, rate_times_mean_service)
            && agree(mean_in_system, rate_times_mean_response),
    }
}

fn agree(left: f64, right: f64) -> bool {
    let apart = (left - right).abs();
    apart < TOLERANCE_OPS || apart <= TOLERANCE * left.max(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u128 = 1_000_000_000;

    #[test]
    fn both_pairs_are_computed_from_their_own_side() {
        // 1,000 ops in 2 s, 4 ms of service each after 1 ms of waiting: 2 in flight, 2.5 in the system.
        let tally = GeneratorTally {
            in_flight_op_ns: 4 * S,
            waiting_op_ns: S,
            departed: 1000,
            service_sum_ns: 4 * S,
            response_sum_ns: 5 * S,
            ..GeneratorTally::default()
        };
        let law = littles_law(&tally, 2_000_000_000);
        assert_eq!((law.mean_in_flight, law.rate_times_mean_service), (2.0, 2.0));
        assert_eq!((law.mean_in_system, law.rate_times_mean_response), (2.5, 2.5));
        assert!(law.holds);
    }

    #[test]
    fn five_percent_apart_is_the_limit() {
        for (left, right, holds) in [
            (100.0, 95.0, true),
            (100.0, 94.9, false),
            (94.9, 100.0, false),
            (0.01, 0.0501, true), // little in flight: less than 0.05 ops apart
            (0.01, 0.07, false),
            (0.0, 0.0, true),
        ] {
            assert_eq!(agree(left, right), holds, "{left} {right}");
        }
    }

    #[test]
    fn either_pair_can_break_it() {
        let even = GeneratorTally {
            in_flight_op_ns: 10 * S,
            waiting_op_ns: 10 * S,
            service_sum_ns: 10 * S,
            response_sum_ns: 20 * S,
            ..GeneratorTally::default()
        };
        assert!(littles_law(&even, 1_000_000_000).holds);
        assert!(
            !littles_law(&GeneratorTally { service_sum_ns: 11 * S, ..even.clone() }, 1_000_000_000).holds
        );
        assert!(!littles_law(&GeneratorTally { waiting_op_ns: 12 * S, ..even.clone() }, 1_000_000_000).holds);
        assert!(littles_law(&even, 0).holds);
    }
}
