//! The set of statistics that stands for a distribution wherever one is written down.

use std::cmp::Ordering;

use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lowest and highest duration that a histogram tells apart, in nanoseconds: 1 ns and 1 hour. Longer ones are
/// counted as 1 hour.
pub const DURATION_BOUNDS: (u64, u64) = (1, 3_600_000_000_000);

/// A histogram of durations: nanoseconds, 3 significant digits, up to 1 hour.
pub fn new_duration_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(DURATION_BOUNDS.0, DURATION_BOUNDS.1, 3)
        .expect("the bounds are constants that fit")
}

/// A quantile with fewer samples than this beyond it is not told.
const SAMPLES_BEYOND: u64 = 10;

/// The quantiles, ascending: name, and the share of the samples at or below in ten-thousandths. Whole numbers,
/// so that 1,000 samples have exactly 10 beyond the 99th percentile.
const QUANTILES: [(&str, u64); 6] =
    [("p50", 5_000), ("p90", 9_000), ("p95", 9_500), ("p99", 9_900), ("p999", 9_990), ("p9999", 9_999)];

/// A distribution of durations in nanoseconds.
///
/// A quantile with fewer than 10 samples beyond it is `null`: nothing can be said of it. Where `censored`
/// samples are among the population (ops given up or shed, whose true duration is only known from below), the
/// names of the values that are therefore only lower bounds stand in `at_least`; reports print them with `≥`.
///
/// A quantile is the smallest value such that at least that share of the samples is at or below it. All values
/// carry the histogram's relative error of 0.1 %; like HdrHistogram's own they are upper edges of its buckets
/// (`min`: the lower edge, `mean`: of the buckets' middles).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Quantiles {
    /// Samples in the population, censored ones included.
    pub count: u64,
    /// Samples of which only a lower bound is known.
    pub censored: u64,
    /// Smallest sample.
    pub min: Option<i64>,
    /// Arithmetic mean.
    pub mean: Option<i64>,
    /// Median.
    pub p50: Option<i64>,
    /// 90th percentile.
    pub p90: Option<i64>,
    /// 95th percentile.
    pub p95: Option<i64>,
    /// 99th percentile.
    pub p99: Option<i64>,
    /// 99.9th percentile.
    pub p999: Option<i64>,
    /// 99.99th percentile.
    pub p9999: Option<i64>,
    /// Largest sample.
    pub max: Option<i64>,
    /// Names of the values above that are lower bounds (for example `["p999", "max"]`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at_least: Vec<String>,
}

impl Quantiles {
    /// Names of the statistics, in the order in which they are written.
    pub const NAMES: [&'static str; 9] = ["min", "mean", "p50", "p90", "p95", "p99", "p999", "p9999", "max"];

    /// The statistic called `name` (one of [`Quantiles::NAMES`]), if there is one and it can be told.
    pub fn get(&self, name: &str) -> Option<i64> {
        match name {
            "min" => self.min,
            "mean" => self.mean,
            "p50" => self.p50,
            "p90" => self.p90,
            "p95" => self.p95,
            "p99" => self.p99,
            "p999" => self.p999,
            "p9999" => self.p9999,
            "max" => self.max,
            _ => None,
        }
    }

    /// Whether the statistic called `name` is only a lower bound.
    pub fn is_lower_bound(&self, name: &str) -> bool {
        self.at_least.iter().any(|n| n == name)
    }

    /// The statistics of a population of which every value is known.
    pub fn from_histogram(exact: &Histogram<u64>) -> Quantiles {
        from_buckets(exact.len(), 0, buckets(exact))
    }

    /// The statistics of a population of two parts: values that are known, and values of which only a lower
    /// bound is known (of ops that were given up or shed).
    ///
    /// Every statistic is computed as if the censored values were what they are at least. So each is a lower
    /// bound of the true one, and is the true one exactly if it would not change however much longer the
    /// censored ops took. That is the case when enough *known* values are at or below it to make up its share.
    pub fn from_histograms(exact: &Histogram<u64>, censored: &Histogram<u64>) -> Quantiles {
        from_buckets(exact.len() + censored.len(), censored.len(), merged(exact, censored))
    }

    /// The statistics of signed values: `after` holds those from 0 on, `before` the magnitudes of the others.
    pub fn from_signed(after: &Histogram<u64>, before: &Histogram<u64>) -> Quantiles {
        let count = after.len() + before.len();
        // The r-th smallest value is, while r is among the negative ones, the one with the (negatives + 1 − r)-th
        // smallest magnitude. Ranks ascend, so those of the magnitudes descend.
        let ranks = QUANTILES.map(|(_, share)| rank(count, share));
        let mut before_ranks = ranks.map(|r| r.filter(|r| *r <= before.len()).map(|r| before.len() + 1 - r));
        before_ranks.reverse();
        let after_ranks = ranks.map(|r| r.filter(|r| *r > before.len()).map(|r| r - before.len()));
        let negative = scan(buckets(before).map(|b| Bucket { high: b.low, low: b.high, ..b }), before_ranks);
        let positive = scan(buckets(after), after_ranks);
        let mut ranked = positive.ranked.map(|r| r.map(|r| r.value as i64));
        for (value, magnitude) in ranked.iter_mut().zip(negative.ranked.iter().rev()) {
            *value = value.or(magnitude.as_ref().map(|r| -(r.value as i64)));
        }
        let sum = positive.sum as f64 - negative.sum as f64;
        let first_positive = positive.first.map(|b| b.low as i64);
        let last_positive = positive.last.map(|b| b.high as i64);
        // The edges of the negative buckets were swapped above, so that `high` is the one nearer to 0.
        let last_negative = negative.first.map(|b| -(b.high as i64));
        let first_negative = negative.last.map(|b| -(b.low as i64));
        Quantiles {
            min: first_negative.or(first_positive),
            mean: (count > 0).then(|| (sum / count as f64).round() as i64),
            max: last_positive.or(last_negative),
            ..with_quantiles(count, 0, ranked)
        }
    }

    /// How many samples it takes until the quantile called `name` can be told; `None` for `min`, `mean` and
    /// `max`, which every sample tells.
    pub fn samples_needed(name: &str) -> Option<u64> {
        let (_, share) = QUANTILES.iter().find(|(quantile, _)| *quantile == name)?;
        Some((SAMPLES_BEYOND * 10_000).div_ceil(10_000 - share))
    }
}

/// One bucket of a histogram, or the same bucket of two.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    low: u64,
    middle: u64,
    high: u64,
    exact: u64,
    censored: u64,
}

/// The value at one rank.
#[derive(Debug, Clone, Copy)]
struct Ranked {
    value: u64,
    lower_bound: bool,
}

/// What one pass over the buckets tells.
#[derive(Debug, Default)]
struct Scan {
    first: Option<Bucket>,
    last: Option<Bucket>,
    sum: u128,
    ranked: [Option<Ranked>; QUANTILES.len()],
}

fn from_buckets(count: u64, censored: u64, buckets: impl Iterator<Item = Bucket>) -> Quantiles {
    let scan = scan(buckets, QUANTILES.map(|(_, share)| rank(count, share)));
    let mut quantiles = Quantiles {
        min: scan.first.map(|b| b.low as i64),
        mean: (count > 0).then(|| (scan.sum as f64 / count as f64).round() as i64),
        max: scan.last.map(|b| b.high as i64),
        ..with_quantiles(count, censored, scan.ranked.map(|r| r.map(|r| r.value as i64)))
    };
    if censored > 0 {
        let lower_bounds = scan.ranked.map(|r| r.is_some_and(|r| r.lower_bound));
        let mut at_least = Vec::new();
        if scan.first.is_some_and(|b| b.exact == 0) {
            at_least.push("min");
        }
        at_least.push("mean");
        at_least.extend(QUANTILES.iter().zip(lower_bounds).filter(|(_, is)| *is).map(|((name, _), _)| *name));
        at_least.push("max");
        quantiles.at_least = at_least.into_iter().map(str::to_owned).collect();
    }
    quantiles
}

fn with_quantiles(count: u64, censored: u64, values: [Option<i64>; QUANTILES.len()]) -> Quantiles {
    let [p50, p90, p95, p99, p999, p9999] = values;
    Quantiles { count, censored, p50, p90, p95, p99, p999, p9999, ..Quantiles::default() }
}

/// The rank (from 1) of a quantile, unless too few samples are beyond it.
fn rank(count: u64, share: u64) -> Option<u64> {
    let count = u128::from(count);
    let enough = count * u128::from(10_000 - share) >= u128::from(SAMPLES_BEYOND * 10_000);
    enough.then(|| (count * u128::from(share)).div_ceil(10_000) as u64)
}

/// One pass over the buckets, whose ranks must ascend.
fn scan(buckets: impl Iterator<Item = Bucket>, ranks: [Option<u64>; QUANTILES.len()]) -> Scan {
    let mut scan = Scan::default();
    let mut pending = ranks.into_iter().enumerate().filter_map(|(i, rank)| Some((i, rank?))).peekable();
    let (mut exact, mut all) = (0_u64, 0_u64);
    for bucket in buckets {
        exact += bucket.exact;
        all += bucket.exact + bucket.censored;
        scan.sum += u128::from(bucket.middle) * u128::from(bucket.exact + bucket.censored);
        scan.first.get_or_insert(bucket);
        scan.last = Some(bucket);
        while let Some((i, rank)) = pending.next_if(|(_, rank)| all >= *rank) {
            scan.ranked[i] = Some(Ranked { value: bucket.high, lower_bound: exact < rank });
        }
    }
    scan
}

fn buckets(histogram: &Histogram<u64>) -> impl Iterator<Item = Bucket> {
    // The crate's iterator looks at every slot of an empty histogram.
    let recorded = (!histogram.is_empty()).then(|| histogram.iter_recorded());
    recorded.into_iter().flatten().map(|step| {
        let high = step.value_iterated_to();
        Bucket {
            low: histogram.lowest_equivalent(high),
            middle: histogram.median_equivalent(high),
            high,
            exact: step.count_at_value(),
            censored: 0,
        }
    })
}

/// The buckets of both, in their order; the same bucket of both is one.
fn merged(exact: &Histogram<u64>, censored: &Histogram<u64>) -> impl Iterator<Item = Bucket> {
    let mut exact = buckets(exact).peekable();
    let mut censored = buckets(censored).map(|b| Bucket { exact: 0, censored: b.exact, ..b }).peekable();
    std::iter::from_fn(move || {
        let (Some(e), Some(c)) = (exact.peek(), censored.peek()) else {
            return exact.next().or_else(|| censored.next());
        };
        match e.high.cmp(&c.high) {
            Ordering::Less => exact.next(),
            Ordering::Greater => censored.next(),
            Ordering::Equal => {
                let both = Bucket { censored: c.censored, ..*e };
                exact.next();
                censored.next();
                Some(both)
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values below 2,048 have a bucket each, so expectations are exact.
    fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = new_duration_histogram();
        for value in values {
            histogram.record(value).unwrap();
        }
        histogram
    }

    #[test]
    fn nothing_has_no_statistics() {
        let none = histogram([]);
        assert_eq!(Quantiles::from_histogram(&none), Quantiles::default());
        assert_eq!(Quantiles::from_histograms(&none, &none), Quantiles::default());
        assert_eq!(Quantiles::from_signed(&none, &none), Quantiles::default());
    }

    #[test]
    fn a_quantile_is_the_smallest_value_with_its_share_at_or_below() {
        let q = Quantiles::from_histogram(&histogram(1..=1000));
        assert_eq!((q.count, q.censored), (1000, 0));
        assert_eq!((q.min, q.mean, q.max), (Some(1), Some(501), Some(1000))); // 500.5, rounded
        assert_eq!((q.p50, q.p90, q.p95, q.p99), (Some(500), Some(900), Some(950), Some(990)));
        assert_eq!((q.p999, q.p9999), (None, None));
        assert!(q.at_least.is_empty());
    }

    #[test]
    fn a_quantile_needs_ten_samples_beyond_it() {
        for (name, needed) in [("p50", 20), ("p90", 100), ("p95", 200), ("p99", 1000), ("p999", 10_000)] {
            assert_eq!(Quantiles::samples_needed(name), Some(needed));
            let enough = Quantiles::from_histogram(&histogram((0..needed).map(|_| 7)));
            assert_eq!(enough.get(name), Some(7), "{name}");
            let few = Quantiles::from_histogram(&histogram((1..needed).map(|_| 7)));
            assert_eq!(few.get(name), None, "{name}");
            assert_eq!((few.min, few.mean, few.max), (Some(7), Some(7), Some(7)));
        }
        assert_eq!(Quantiles::samples_needed("p9999"), Some(100_000));
        assert_eq!(Quantiles::samples_needed("max"), None);
    }

    #[test]
    fn censored_samples_make_lower_bounds_of_what_they_could_move() {
        // 1..=90 are known, ten ops were given up at 50: of the 100 values, ranks 1 to 49 are 1 to 49, ranks 50 to
        // 60 are at 50, rank r from 61 on is r − 10.
        let q = Quantiles::from_histograms(&histogram(1..=90), &histogram([50; 10]));
        assert_eq!((q.count, q.censored), (100, 10));
        // Rank 50: 50 known values are at or below 50, so that no given-up op can move the median.
        assert_eq!(q.p50, Some(50));
        // Rank 90 is 80 here, and 90 if all ten took forever.
        assert_eq!(q.p90, Some(80));
        assert_eq!((q.min, q.max), (Some(1), Some(90)));
        assert_eq!(q.mean, Some(46)); // (4095 + 500) / 100 = 45.95
        assert_eq!(q.at_least, ["mean", "p90", "max"]);

        // One more given up below the median moves it: rank 51 of 101 would be 51 without the eleven.
        let q =
            Quantiles::from_histograms(&histogram(1..=90), &histogram([[50; 10].as_slice(), &[3]].concat()));
        assert_eq!(q.p50, Some(50));
        assert_eq!(q.at_least, ["mean", "p50", "p90", "max"]);
    }

    #[test]
    fn a_quantile_below_every_censored_sample_is_exact() {
        let q = Quantiles::from_histograms(&histogram([10; 99]), &histogram([1000]));
        assert_eq!((q.p50, q.p90, q.max), (Some(10), Some(10), Some(1000)));
        assert_eq!(q.at_least, ["mean", "max"]);
    }

    #[test]
    fn an_op_given_up_early_does_not_blur_a_thousand_that_were_answered() {
        let known = (0..10_100).map(|i| 100 + i / 1000); // 1,000 each of 100 to 109, and 100 of 110
        let q = Quantiles::from_histograms(&histogram(known), &histogram([1]));
        assert_eq!((q.min, q.p50, q.p99, q.max), (Some(1), Some(105), Some(109), Some(110)));
        // The median is rank 5,051 of 10,101: the known values of rank 5,050 and 5,051 are both 105.
        assert_eq!(q.at_least, ["min", "mean", "max"]);
    }

    #[test]
    fn where_nothing_is_known_everything_is_a_lower_bound() {
        let q = Quantiles::from_histograms(&histogram([]), &histogram([5; 20]));
        assert_eq!((q.count, q.censored, q.min, q.p50, q.max), (20, 20, Some(5), Some(5), Some(5)));
        assert_eq!(q.at_least, ["min", "mean", "p50", "max"]);
    }

    #[test]
    fn signed_values_are_ordered_through_zero() {
        // −20 to −1 and 0 to 79: a hundred values, the r-th of which is r − 21.
        let q = Quantiles::from_signed(&histogram(0..80), &histogram(1..=20));
        assert_eq!((q.count, q.min, q.max), (100, Some(-20), Some(79)));
        assert_eq!((q.p50, q.p90, q.p95), (Some(29), Some(69), None));
        assert_eq!(q.mean, Some(30)); // (3160 − 210) / 100 = 29.5
        // −80 to −1 and 0 to 19: the r-th is r − 81.
        let q = Quantiles::from_signed(&histogram(0..20), &histogram(1..=80));
        assert_eq!((q.min, q.p50, q.p90, q.max), (Some(-80), Some(-31), Some(9), Some(19)));
        // One side alone.
        let q = Quantiles::from_signed(&histogram([]), &histogram(1..=100));
        assert_eq!((q.min, q.p50, q.p90, q.max), (Some(-100), Some(-51), Some(-11), Some(-1)));
        let q = Quantiles::from_signed(&histogram(1..=100), &histogram([]));
        assert_eq!((q.min, q.p50, q.p90, q.max), (Some(1), Some(50), Some(90), Some(100)));
    }
}
