//! What is computed, against the slow and obvious way of computing it; and texts of any kind against the parser.

use hdrhistogram::Histogram;
use proptest::prelude::*;
use quorumeter_record::{Quantiles, new_duration_histogram};
use quorumeter_results::Gate;

/// Quantiles by name, in ten-thousandths.
const QUANTILES: [(&str, usize); 6] =
    [("p50", 5000), ("p90", 9000), ("p95", 9500), ("p99", 9900), ("p999", 9990), ("p9999", 9999)];

fn histogram(values: &[u64]) -> Histogram<u64> {
    let mut histogram = new_duration_histogram();
    for value in values {
        histogram.record(*value).expect("durations are up to 1 hour");
    }
    histogram
}

/// The value at a quantile of sorted values, if 10 of them are beyond it.
fn oracle(sorted: &[i64], share: usize) -> Option<i64> {
    let beyond_enough = sorted.len() * (10_000 - share) >= 100_000;
    beyond_enough.then(|| sorted[(sorted.len() * share).div_ceil(10_000) - 1])
}

fn within_a_thousandth(found: Option<i64>, expected: Option<i64>) -> bool {
    match (found, expected) {
        (Some(found), Some(expected)) => {
            (found - expected).unsigned_abs() as f64 <= expected.unsigned_abs() as f64 / 1000.0
        }
        (found, expected) => found == expected,
    }
}

/// Durations over the whole range: as many of microseconds as of minutes.
fn durations(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::vec((0_u32..41, any::<u64>()).prop_map(|(bits, n)| 1 + n % (1 << bits)), count)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn quantiles_are_those_of_the_sorted_values(exact in durations(1..3000), censored in durations(0..100)) {
        let quantiles = Quantiles::from_histograms(&histogram(&exact), &histogram(&censored));
        let mut sorted: Vec<i64> = exact.iter().chain(&censored).map(|v| *v as i64).collect();
        sorted.sort_unstable();
        prop_assert_eq!(quantiles.count, sorted.len() as u64);
        prop_assert_eq!(quantiles.censored, censored.len() as u64);
        prop_assert!(within_a_thousandth(quantiles.min, sorted.first().copied()));
        prop_assert!(within_a_thousandth(quantiles.max, sorted.last().copied()));
        let mean = sorted.iter().sum::<i64>() as f64 / sorted.len() as f64;
        prop_assert!((quantiles.mean.unwrap() as f64 - mean).abs() <= mean / 1000.0 + 1.0);
        for (name, share) in QUANTILES {
            let expected = oracle(&sorted, share);
            prop_assert!(within_a_thousandth(quantiles.get(name), expected), "{}: {:?} {:?}", name, quantiles, expected);
        }
    }

    /// A statistic without the mark stays what it is when the censored ops take forever.
    #[test]
    fn what_is_not_marked_cannot_move(exact in durations(1..500), censored in durations(1..50)) {
        let quantiles = Quantiles::from_histograms(&histogram(&exact), &histogram(&censored));
        let forever = vec![3_599_000_000_000; censored.len()];
        let moved = Quantiles::from_histograms(&histogram(&exact), &histogram(&forever));
        for name in Quantiles::NAMES {
            let (now, then) = (quantiles.get(name), moved.get(name));
            prop_assert!(now <= then, "{}: {:?} {:?}", name, now, then);
            if !quantiles.is_lower_bound(name) {
                prop_assert_eq!(now, then, "{}", name);
            }
        }
    }

    #[test]
    fn signed_quantiles_are_those_of_the_sorted_values(after in durations(0..1500), before in durations(0..1500)) {
        let quantiles = Quantiles::from_signed(&histogram(&after), &histogram(&before));
        let mut sorted: Vec<i64> = after.iter().map(|v| *v as i64).chain(before.iter().map(|v| -(*v as i64))).collect();
        sorted.sort_unstable();
        prop_assert!(within_a_thousandth(quantiles.min, sorted.first().copied()));
        prop_assert!(within_a_thousandth(quantiles.max, sorted.last().copied()));
        for (name, share) in QUANTILES {
            prop_assert!(within_a_thousandth(quantiles.get(name), oracle(&sorted, share)), "{}", name);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        let _ = Gate::parse(&text);
        let _ = Gate::from_parts(&text, &text);
    }

    /// Texts that come close to a gate reach deeper than arbitrary ones.
    #[test]
    fn no_near_gate_makes_the_parser_panic(
        metric in "[a-z_.()0-9]{0,30}",
        comparison in "[<>=!]{1,3}",
        value in "-?[0-9_.]{0,25} ?(ns|us|µs|ms|s|m|h|/s|k/s|M/s|%|e|é)?",
    ) {
        let _ = Gate::from_parts(&metric, &format!("{comparison}{value}"));
        for metric in ["app.read.response.p99", "app.read.rate", "app.read.failed", "watchers.lost"] {
            if let Ok(gate) = Gate::parse(&format!("{metric} {comparison} {value}")) {
                prop_assert_eq!(&Gate::parse(gate.text()).unwrap(), &gate);
                prop_assert_eq!(gate.holds_in_interval(&[]), None);
            }
        }
    }
}
