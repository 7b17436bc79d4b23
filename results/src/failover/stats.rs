//! What few repetitions can tell: exact intervals that assume nothing of the distribution.

use quorumeter_record::{Counts, Durations};

/// What an interval has to cover at least.
const COVERAGE: f64 = 0.95;

/// Ranks of the order statistics, from 1, between which the median lies with at least 95 %, and with how much it does:
/// `[x_k, x_(n+1−k)]` covers it with `1 − 2·P(B ≤ k − 1)`, where `B` is binomial with n trials of ½. `None` of fewer
/// than 6 values, of which even the least and the greatest cover less.
pub fn median_ranks(n: u32) -> Option<(u32, u32, f64)> {
    // P(B ≤ k − 1), a term at a time: each is the one before × (n − k) ÷ (k + 1).
    let mut term = 0.5_f64.powi(i32::try_from(n).ok()?);
    let mut below = 0.0;
    let mut best = None;
    for k in 1..=n / 2 {
        below += term;
        term *= f64::from(n - (k - 1)) / f64::from(k);
        let coverage = 1.0 - 2.0 * below;
        if coverage < COVERAGE {
            break;
        }
        best = Some((k, n + 1 - k, coverage));
    }
    best
}

/// The upper end of the exact one-sided 95 % interval of a rate of which none was seen in `n`: `1 − 0.05^(1/n)`. `None`
/// without a trial.
pub fn unseen_rate_upper(n: u32) -> Option<f64> {
    (n > 0).then(|| 1.0 - (1.0 - COVERAGE).powf(1.0 / f64::from(n)))
}

/// A duration over repetitions: each value, and whether it is the limit that a censored one exceeds. Censored ones
/// count as infinite.
pub(crate) fn durations(values: &[(u64, bool)]) -> Durations {
    let n = u32::try_from(values.len()).unwrap_or(u32::MAX);
    let mut ranked: Vec<Option<u64>> =
        values.iter().map(|(ns, censored)| (!censored).then_some(*ns)).collect();
    ranked.sort_by_key(|value| value.unwrap_or(u64::MAX));
    let at_rank = |rank: u32| ranked.get(rank as usize - 1).copied().flatten();
    let median = match ranked.len() {
        0 => None,
        len if len % 2 == 1 => ranked[len / 2],
        len => ranked[len / 2 - 1].zip(ranked[len / 2]).map(|(low, high)| low + (high - low) / 2),
    };
    let ranks = median_ranks(n).filter(|(low, ..)| at_rank(*low).is_some());
    Durations {
        n,
        values: values.iter().map(|(ns, _)| *ns).collect(),
        min: ranked.first().copied().flatten(),
        median,
        median_ci: ranks.and_then(|(low, high, _)| Some((at_rank(low)?, at_rank(high)))),
        median_ci_coverage: ranks.map(|(.., coverage)| coverage),
        max: ranked.last().copied().flatten(),
        censored: values.iter().map(|(_, censored)| u32::from(*censored)).sum(),
        censored_at: (0..).zip(values).filter(|(_, (_, censored))| *censored).map(|(i, _)| i).collect(),
    }
}

/// A count over repetitions.
pub(crate) fn counts(values: &[u64]) -> Counts {
    Counts { values: values.to_vec(), total: values.iter().sum() }
}

/// The value that `share` of the sorted values do not exceed (nearest rank); `None` of none.
pub(crate) fn quantile(sorted: &[u64], share: f64) -> Option<u64> {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_between_these_ranks() {
        for (n, ranks, percent) in [
            (6, (1, 6), 96.9),
            (9, (2, 8), 96.1),
            (10, (2, 9), 97.9),
            (12, (3, 10), 96.1),
            (20, (6, 15), 95.9),
            (30, (10, 21), 95.7),
        ] {
            let (low, high, coverage) = median_ranks(n).unwrap();
            assert_eq!((low, high), ranks, "{n}");
            assert!((coverage * 100.0 - percent).abs() < 0.05, "{n}: {coverage}");
        }
        for n in 0..6 {
            assert_eq!(median_ranks(n), None, "{n}");
        }
        assert!(median_ranks(1000).is_some_and(|(low, high, c)| low < 500 && high > 500 && c < 0.96));
    }

    #[test]
    fn none_of_a_few_is_weak_evidence() {
        assert_eq!(unseen_rate_upper(0), None);
        for (n, percent) in [(1, 95.0), (6, 39.3), (10, 25.9), (30, 9.5), (59, 5.0), (100, 3.0), (300, 1.0)] {
            let upper = unseen_rate_upper(n).unwrap();
            assert!((upper * 100.0 - percent).abs() < 0.06, "{n}: {upper}");
        }
    }

    fn whole(values: &[u64]) -> Durations {
        durations(&values.iter().map(|v| (*v, false)).collect::<Vec<_>>())
    }

    #[test]
    fn order_statistics_are_told_as_they_are() {
        let six = whole(&[50, 10, 40, 20, 60, 31]);
        assert_eq!((six.n, six.min, six.median, six.max), (6, Some(10), Some(35), Some(60)));
        assert_eq!((six.median_ci, six.median_ci_coverage), (Some((10, Some(60))), Some(0.96875)));
        assert_eq!((six.values, six.censored, six.censored_at), (vec![50, 10, 40, 20, 60, 31], 0, vec![]));
        let five = whole(&[5, 1, 4, 2, 3]);
        assert_eq!((five.median, five.median_ci, five.median_ci_coverage), (Some(3), None, None));
        assert_eq!(whole(&[]), Durations::default());
        assert_eq!(whole(&[u64::MAX - 1, u64::MAX - 3]).median, Some(u64::MAX - 2), "no sum overflows");
    }

    #[test]
    fn what_did_not_end_is_infinite_and_stays() {
        let mut values = [(10, false), (5, true), (30, false), (20, false), (40, false), (50, false)];
        let one = durations(&values);
        assert_eq!((one.n, one.censored, one.censored_at), (6, 1, vec![1]));
        assert_eq!((one.min, one.median, one.max), (Some(10), Some(35), None));
        assert_eq!(one.median_ci, Some((10, None)));
        assert_eq!(one.values[1], 5, "the limit that it exceeds");
        // Half of them: the median falls between a value and infinity.
        (values[3].1, values[4].1) = (true, true);
        let half = durations(&values);
        assert_eq!((half.min, half.median, half.max), (Some(10), None, None));
        let all = durations(&values.map(|(ns, _)| (ns, true)));
        assert_eq!((all.n, all.censored, all.min, all.median, all.median_ci), (6, 6, None, None, None));
        assert_eq!(all.median_ci_coverage, None);
    }

    #[test]
    fn a_quantile_is_a_value_that_was_there() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(quantile(&hundred, 0.99), Some(99));
        assert_eq!(quantile(&hundred, 0.5), Some(50));
        assert_eq!(quantile(&hundred, 0.0), Some(1));
        assert_eq!(quantile(&[], 0.99), None);
        assert_eq!(quantile(&[7], 0.99), Some(7));
    }
}
