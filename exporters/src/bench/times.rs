//! Times as they add up, in the buckets of both kinds of histogram.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::catalog::BUCKETS_NS;
use crate::sample;

/// The finest scale of an exponential histogram: 32 buckets for each factor of 2.
const SCALE_MAX: i32 = 5;
/// The most buckets of one, as in OpenTelemetry's own.
const BUCKETS_MAX: i32 = 160;

/// Times as they add up.
///
/// They come in [HDR histograms](Histogram) of nanoseconds with 3 significant digits, which know a value to 0.1 %: it
/// stands for all that are its equivalents. Counts are exact. What is counted where:
///
/// | | by | so that |
/// |---|---|---|
/// | classic buckets | the least equivalent | a value that equals a bound belongs to it, as may one that is up to 0.1 % beyond it |
/// | exponential buckets | the middle equivalent | a value may be 0.05 % away from its bucket |
/// | the sum | the middle equivalents | it is exact to 0.05 %, and exact altogether of values below 2.048 µs |
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Times {
    /// By classic bucket: those in it alone.
    buckets: [u64; BUCKETS_NS.len()],
    count: u64,
    sum_ns: u128,
    /// Values of 0, which no exponential bucket has.
    zeros: u64,
    /// By index at the finest scale.
    fine: BTreeMap<i32, u64>,
}

/// An exponential histogram of seconds, as OTLP has it: bucket *i* is from above `base^(offset + i)` to `base^(offset + i +
/// 1)`, where `base` is 2^(2^−scale).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exponential {
    /// How fine it is: 5 where the values lie within a factor of 32, one less with each doubling of the number of their
    /// octaves. A value is known to its bucket, which is 2.2 % wide at scale 5, 4.4 % at 4, 9.1 % at 3 (values within a
    /// factor of a million), 19 % at 2.
    pub scale: i32,
    /// Number of all values.
    pub count: u64,
    /// Their sum, seconds.
    pub sum: f64,
    /// Values that are 0.
    pub zeros: u64,
    /// Index of the first bucket.
    pub offset: i32,
    /// Numbers of values in the buckets, from the first that has any to the last.
    pub buckets: Vec<u64>,
}

impl Times {
    /// Adds what an interval's histogram has.
    pub(super) fn add(&mut self, histogram: &Histogram<u64>) {
        for recorded in histogram.iter_recorded() {
            let (n, value) = (recorded.count_at_value(), recorded.value_iterated_to());
            self.count += n;
            let least_ns = histogram.lowest_equivalent(value);
            let middle_ns = if value == least_ns { value } else { histogram.median_equivalent(value) };
            self.sum_ns += u128::from(middle_ns) * u128::from(n);
            if let Some(bucket) = self.buckets.get_mut(BUCKETS_NS.partition_point(|bound| *bound < least_ns))
            {
                *bucket += n;
            }
            match middle_ns {
                0 => self.zeros += n,
                ns => *self.fine.entry(index(ns)).or_default() += n,
            }
        }
    }

    /// As a classic histogram, in seconds.
    pub(super) fn classic(&self) -> sample::Histogram {
        let below = self.buckets.iter().scan(0, |below, n| {
            *below += n;
            Some(*below)
        });
        sample::Histogram {
            buckets: BUCKETS_NS.iter().map(|ns| *ns as f64 / 1e9).zip(below).collect(),
            count: self.count,
            sum: self.sum(),
        }
    }

    /// As an exponential one, in seconds, as fine as fits.
    pub(super) fn exponential(&self) -> Exponential {
        let (count, sum, zeros) = (self.count, self.sum(), self.zeros);
        let (Some((first, _)), Some((last, _))) = (self.fine.first_key_value(), self.fine.last_key_value())
        else {
            return Exponential { scale: SCALE_MAX, count, sum, zeros, ..Exponential::default() };
        };
        let mut coarser = 0;
        while (last >> coarser) - (first >> coarser) >= BUCKETS_MAX {
            coarser += 1;
        }
        let (offset, last) = (first >> coarser, last >> coarser);
        let mut buckets = vec![0; (last - offset + 1) as usize];
        for (index, n) in &self.fine {
            buckets[((index >> coarser) - offset) as usize] += n;
        }
        Exponential { scale: SCALE_MAX - coarser, count, sum, zeros, offset, buckets }
    }

    fn sum(&self) -> f64 {
        self.sum_ns as f64 / 1e9
    }
}

/// The bucket of a time above 0, at the finest scale.
fn index(ns: u64) -> i32 {
    let per_octave = f64::from(1 << SCALE_MAX);
    ((ns as f64 / 1e9).log2() * per_octave).ceil() as i32 - 1
}

#[cfg(test)]
mod tests {
    use quorumeter_record::new_duration_histogram;

    use super::*;

    fn times(values_ns: &[u64]) -> Times {
        let mut histogram = new_duration_histogram();
        values_ns.iter().for_each(|ns| histogram.record(*ns).unwrap());
        let mut times = Times::default();
        times.add(&histogram);
        times
    }

    #[test]
    fn a_value_that_equals_a_bound_belongs_to_it() {
        for (n, bound) in BUCKETS_NS.into_iter().enumerate() {
            let classic = times(&[bound]).classic();
            assert_eq!(classic.buckets[n].0, bound as f64 / 1e9);
            let counts: Vec<u64> = classic.buckets.iter().map(|(_, count)| *count).collect();
            let expected: Vec<u64> = (0..BUCKETS_NS.len()).map(|bucket| u64::from(bucket >= n)).collect();
            assert_eq!(counts, expected, "{bound} ns");
            // What is beyond the bound by more than the histogram's error is beyond it here, too.
            let beyond = times(&[bound + bound / 500]).classic();
            assert_eq!(beyond.buckets[n].1, 0, "{bound} ns");
        }
    }

    #[test]
    fn what_is_beyond_every_bound_is_in_count_and_sum_alone() {
        let classic = times(&[7_000_000_000, 1_000]).classic();
        assert_eq!((classic.buckets[0].1, classic.buckets[17].1, classic.count), (1, 1, 2));
        assert!((classic.sum - 7.000_001).abs() < 7.0 * 0.0005, "{}", classic.sum);
    }

    #[test]
    fn sums_of_small_values_are_exact_and_of_large_ones_to_half_a_thousandth() {
        assert_eq!(times(&[0, 1, 2, 2_047]).classic().sum, 2_050e-9);
        let values: Vec<u64> = (1..=1000).map(|n| n * 1_234_567).collect();
        let exact = values.iter().sum::<u64>() as f64 / 1e9;
        let sum = times(&values).classic().sum;
        assert!((sum / exact - 1.0).abs() < 0.0005, "{sum} is not {exact}");
    }

    #[test]
    fn intervals_add_up() {
        let mut both = times(&[60_000, 3]);
        let mut histogram = new_duration_histogram();
        histogram.record_n(200_000, 5).unwrap();
        both.add(&histogram);
        assert_eq!(both, times(&[3, 60_000, 200_000, 200_000, 200_000, 200_000, 200_000]));
        assert_eq!(both.classic().count, 7);
    }

    #[test]
    fn exponential_buckets_hold_their_values() {
        for ns in
            [1, 999, 50_000, 123_456, 1_000_000, 65_536_000, 999_999_999, 1_000_000_000, 3_600_000_000_000]
        {
            let exponential = times(&[ns]).exponential();
            assert_eq!((exponential.scale, exponential.buckets.as_slice()), (5, &[1][..]));
            let bound = |index: i32| 2f64.powf(f64::from(index) / 32.0) * 1e9;
            let (from, to) = (bound(exponential.offset), bound(exponential.offset + 1));
            let (least, greatest) = (ns as f64 * 0.9995, ns as f64 * 1.0005);
            assert!(from < greatest && least <= to * (1.0 + 1e-12), "{ns} in {from}..{to}");
            assert!((to / from - 1.022).abs() < 0.0002, "2.2 % wide");
        }
    }

    #[test]
    fn an_exponential_histogram_is_as_fine_as_fits() {
        for (greatest_ns, scale) in [
            (1_000, 5),
            // 160 buckets are 5 octaves at scale 5, 10 at 4, 20 at 3, 40 at 2.
            (31_000, 5),
            (33_000, 4),
            (950_000, 4),
            (1_100_000, 3),
            (900_000_000, 3),
            (1_100_000_000, 2),
        ] {
            let exponential = times(&[1_000, 1_000, greatest_ns]).exponential();
            assert_eq!(exponential.scale, scale, "up to {greatest_ns}");
            assert!(exponential.buckets.len() <= 160);
            assert_eq!(exponential.buckets.iter().sum::<u64>(), 3, "counts are exact");
            assert!(exponential.buckets[0] >= 2 && exponential.buckets.last() > Some(&0));
        }
        let all = times(&[1, 3_600_000_000_000]).exponential();
        assert_eq!((all.scale, all.count), (1, 2));
    }

    #[test]
    fn zeros_have_a_place_of_their_own() {
        let exponential = times(&[0, 0, 5]).exponential();
        assert_eq!((exponential.zeros, exponential.count), (2, 3));
        assert_eq!(exponential.buckets, [1]);
        let nothing = Times::default().exponential();
        assert_eq!((nothing.count, nothing.buckets.len(), nothing.sum), (0, 0, 0.0));
        assert_eq!(times(&[0]).classic().buckets[0].1, 1);
    }
}
