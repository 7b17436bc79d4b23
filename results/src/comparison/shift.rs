//! By how much one set of values is above another: the Hodges–Lehmann shift with the exact interval of the Mann–Whitney
//! test (Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, 4.2 and 4.3). Nothing is assumed of the
//! distributions but that one is the other, shifted.

/// Values of one side up to which the test's distribution is counted; above it is approximated by the normal one.
const COUNTED: usize = 60;
/// Chance of an interval to miss on either side, at most.
const TAIL: f64 = 0.025;
/// The same in standard deviations of the normal distribution.
const NORMAL_TAIL: f64 = 1.959_964;

/// By how much values are above others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// Hodges–Lehmann: the median of all differences; `None` where it is not finite, or depends on how long times were
    /// that did not end.
    pub estimate: Option<f64>,
    /// Two-sided interval of at least 95 %; `None` where so few values give none: 3 and 3 never do, 4 and 4 do.
    pub interval: Option<Interval>,
}

/// Where a shift lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Its low end; −∞ where that depends on times that did not end.
    pub low: f64,
    /// Its high end; ∞ likewise.
    pub high: f64,
    /// Its coverage, from 0 to 1: at least this much where values are equal.
    pub coverage: f64,
}

/// The shift of `values` against `others`. Times that did not end are ∞: a difference of two of these could be anything,
/// and stands at whichever end makes the interval wider.
///
/// The interval's ends are order statistics of the differences, [D(k), D(mn + 1 − k)] for the greatest k with
/// P(U ≤ k − 1) ≤ 2.5 %. With equal values (times are read to the probe's period) it covers at least as much, as its ends
/// belong to it.
pub fn shift(values: &[f64], others: &[f64]) -> Shift {
    let differences = |undefined: f64| {
        let mut all: Vec<f64> = values
            .iter()
            .flat_map(|value| others.iter().map(move |other| (value, other)))
            .map(
                |(value, other)| {
                    if value.is_infinite() && other.is_infinite() { undefined } else { value - other }
                },
            )
            .collect();
        all.sort_by(f64::total_cmp);
        all
    };
    let (lowest, highest) = (differences(f64::NEG_INFINITY), differences(f64::INFINITY));
    let count = lowest.len();
    if count == 0 {
        return Shift { estimate: None, interval: None };
    }
    let median = |sorted: &[f64]| (sorted[(count - 1) / 2] + sorted[count / 2]) / 2.0;
    let estimate = median(&lowest);
    let is_told = estimate.is_finite() && estimate == median(&highest);
    let interval = rank(values.len(), others.len()).map(|(k, coverage)| Interval {
        low: lowest[k - 1],
        high: highest[count - k],
        coverage,
    });
    Shift { estimate: is_told.then_some(estimate), interval }
}

/// The rank k of the interval's ends with its coverage; `None` where no interval covers 95 %.
fn rank(m: usize, n: usize) -> Option<(usize, f64)> {
    if m.max(n) > COUNTED {
        let (m, n) = (m as f64, n as f64);
        let deviation = (m * n * (m + n + 1.0) / 12.0).sqrt();
        let k = (m * n / 2.0 - NORMAL_TAIL * deviation).floor();
        return (k >= 1.0).then_some((k as usize, 1.0 - 2.0 * TAIL));
    }
    let counts = counts_of_u(m, n);
    let total: f64 = counts.iter().sum();
    let mut below = 0.0;
    let mut found = None;
    for (u, count) in counts.iter().enumerate() {
        below += count;
        if below / total > TAIL {
            break;
        }
        found = Some((u + 1, 1.0 - 2.0 * below / total));
    }
    found
}

/// In how many of the orders of m and n values U is 0, 1, … mn, when all orders are equally likely: the value that is
/// greatest belongs to the m, and is above all of the n (U of the rest is n less), or to the n. Exact up to 2⁵³, and to a
/// relative 2⁻⁴⁶ beyond: sums of positive numbers lose nothing.
fn counts_of_u(m: usize, n: usize) -> Vec<f64> {
    // `rows[j]` for i of the m and j of the n values.
    let mut rows: Vec<Vec<f64>> = vec![vec![1.0]; n + 1];
    for i in 1..=m {
        let mut next: Vec<Vec<f64>> = Vec::with_capacity(n + 1);
        next.push(vec![1.0]);
        for j in 1..=n {
            let mut counts = vec![0.0; i * j + 1];
            for (u, count) in rows[j].iter().enumerate() {
                counts[u + j] += count;
            }
            for (u, count) in next[j - 1].iter().enumerate() {
                counts[u] += count;
            }
            next.push(counts);
        }
        rows = next;
    }
    rows.swap_remove(n)
}

/// The median of values, ∞ where it is among times that did not end; `None` without values.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    Some((sorted[last / 2] + sorted[last.div_ceil(2)]) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Two-sided p of the most extreme order.
    fn least_p(m: usize, n: usize) -> f64 {
        let counts = counts_of_u(m, n);
        2.0 * counts[0] / counts.iter().sum::<f64>()
    }

    #[test]
    fn the_distribution_is_that_of_the_tables() {
        assert_eq!(counts_of_u(2, 2), [1.0, 1.0, 2.0, 1.0, 1.0]);
        assert_eq!(counts_of_u(1, 3), [1.0; 4]);
        assert_eq!(counts_of_u(0, 3), [1.0]);
        for (n, p) in [(3, 0.10), (4, 0.0286), (5, 0.0079)] {
            assert!((least_p(n, n) - p).abs() < 0.0001, "{n}: {}", least_p(n, n));
        }
        // All orders are C(m + n, m), and the distribution is symmetric.
        let counts = counts_of_u(10, 10);
        assert_eq!(counts.iter().sum::<f64>(), 184_756.0);
        assert!(counts.iter().eq(counts.iter().rev()));
        assert_eq!(counts_of_u(4, 7), counts_of_u(7, 4));
        let most: f64 = counts_of_u(60, 60).iter().sum();
        assert!((most / 9.661_4e34 - 1.0).abs() < 1e-4, "{most}");
    }

    #[test]
    fn the_rank_is_one_above_the_critical_value_of_the_tables() {
        // Critical values of U, two-sided 5 %: 4 and 4: 0, 5 and 5: 2, 6 and 6: 5, 8 and 8: 13, 10 and 10: 23, 20 and
        // 20: 127, 5 and 8: 6, 3 and 5: 0.
        for (m, n, critical) in [
            (4, 4, Some(0)),
            (5, 5, Some(2)),
            (6, 6, Some(5)),
            (8, 8, Some(13)),
            (10, 10, Some(23)),
            (20, 20, Some(127)),
            (5, 8, Some(6)),
            (3, 5, Some(0)),
            (3, 3, None),
            (3, 4, None),
            (1, 30, None),
            (1, 40, Some(0)),
            (0, 6, None),
        ] {
            assert_eq!(rank(m, n).map(|(k, _)| k - 1), critical, "{m} and {n}");
        }
        let (_, coverage) = rank(4, 4).unwrap();
        assert!((coverage - 0.9714).abs() < 0.0001);
    }

    #[test]
    fn beyond_the_counted_the_normal_distribution_takes_over_without_a_leap() {
        let (counted, _) = rank(60, 60).unwrap();
        let (approximated, coverage) = rank(61, 61).unwrap();
        assert!((counted..counted + 80).contains(&approximated), "{counted} {approximated}");
        assert!((coverage - 0.95).abs() < 1e-9);
    }

    #[test]
    fn a_shift_is_the_median_of_the_differences_within_its_interval() {
        // Differences of 14, 15, 16, 17 and 1, 2, 3, 4: 10 to 16; D(1) and D(16).
        let found = shift(&[14.0, 15.0, 16.0, 17.0], &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(found.estimate, Some(13.0));
        let interval = found.interval.unwrap();
        assert_eq!((interval.low, interval.high), (10.0, 16.0));
        // Five and five: D(3) and D(23). Differences of 1..=5 with themselves: −4, −3 ×2, −2 ×3, …
        let same: Vec<f64> = (1..=5).map(f64::from).collect();
        let found = shift(&same, &same);
        assert_eq!(found.estimate, Some(0.0));
        assert_eq!(found.interval.map(|i| (i.low, i.high)), Some((-3.0, 3.0)));
        assert_eq!(shift(&[1.0; 3], &[2.0; 3]), Shift { estimate: Some(-1.0), interval: None });
        assert_eq!(shift(&[], &[2.0; 3]), Shift { estimate: None, interval: None });
    }

    #[test]
    fn what_did_not_end_makes_the_interval_open_and_never_narrow() {
        let inf = f64::INFINITY;
        let found = shift(&[inf, 2.0, 3.0, 4.0], &[1.0, 1.0, 1.0, 1.0]);
        assert_eq!(found.estimate, Some(2.5));
        assert_eq!(found.interval.map(|i| (i.low, i.high)), Some((1.0, inf)));
        let found = shift(&[inf; 4], &[1.0; 4]);
        assert_eq!((found.estimate, found.interval.map(|i| (i.low, i.high))), (None, Some((inf, inf))));
        let both = shift(&[inf; 4], &[inf; 4]);
        assert_eq!((both.estimate, both.interval.map(|i| (i.low, i.high))), (None, Some((-inf, inf))));
    }

    #[test]
    fn a_median_is_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[1.0, 4.0]), Some(2.5));
        assert_eq!(median(&[1.0, f64::INFINITY]), Some(f64::INFINITY));
    }

    proptest! {
        #[test]
        fn the_interval_encloses_the_estimate_and_turns_round_with_the_sides(
            values in proptest::collection::vec(0_u32..50, 4..12),
            others in proptest::collection::vec(0_u32..50, 4..12),
        ) {
            let [values, others] = [values, others].map(|v| v.into_iter().map(f64::from).collect::<Vec<_>>());
            let (there, back) = (shift(&values, &others), shift(&others, &values));
            let (interval, reverse) = (there.interval.unwrap(), back.interval.unwrap());
            let estimate = there.estimate.unwrap();
            prop_assert!(interval.low <= estimate && estimate <= interval.high);
            prop_assert!(interval.coverage >= 0.95);
            prop_assert_eq!((interval.low, interval.high), (-reverse.high, -reverse.low));
        }
    }
}
