//! What is written: sizes, and the bytes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use quorumeter_targets::Value;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_distr::{Distribution as _, LogNormal};
use rand_xoshiro::Xoshiro256PlusPlus;

use quorumeter_targets::text_form;
use quorumeter_targets::units::{Size, call};

/// The largest value, bytes: with path and header it stays below a server's default frame limit of 1 MiB.
pub const MAX_VALUE: u64 = 1_000_000;

/// How far above the median a log-normal size may be, in standard deviations of its logarithm.
const LOG_NORMAL_SIGMAS: f64 = 7.0;

/// How large values are.
///
/// | text | sizes |
/// |---|---|
/// | `256 B` | all the same |
/// | `uniform(100 B, 1 KiB)` | any from 100 to 1,024 bytes alike, both included |
/// | `lognormal(256 B, 0.5)` | a median of 256 bytes, a logarithm with standard deviation 0.5; sizes beyond 7 of those (one in 10¹²) or 1 MB are drawn again |
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sizes {
    /// All the same.
    Fixed(Size),
    /// Anything between two sizes.
    Uniform {
        /// The smallest.
        min: Size,
        /// The largest.
        max: Size,
    },
    /// Log-normal.
    LogNormal {
        /// The median.
        median: Size,
        /// Standard deviation of the natural logarithm, above 0, up to 3.
        sigma: f64,
    },
}

impl Sizes {
    /// The largest size that can come.
    pub fn max(&self) -> u64 {
        match self {
            Sizes::Fixed(size) => size.0,
            Sizes::Uniform { max, .. } => max.0,
            Sizes::LogNormal { median, sigma } => {
                ((median.0 as f64 * (LOG_NORMAL_SIGMAS * sigma).exp()).ceil() as u64).min(MAX_VALUE)
            }
        }
    }
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, arguments) = call(text).ok_or_else(|| format!("{text:?} has no closing parenthesis"))?;
        let sizes = match (name, &arguments[..]) {
            ("uniform", [min, max]) => Sizes::Uniform { min: min.parse()?, max: max.parse()? },
            ("lognormal", [median, sigma]) => Sizes::LogNormal {
                median: median.parse()?,
                sigma: match sigma.parse::<f64>() {
                    Ok(sigma) if sigma > 0.0 && sigma <= 3.0 => sigma,
                    _ => return Err(format!("{sigma:?} is no sigma; write a number above 0, up to 3")),
                },
            },
            ("uniform" | "lognormal", _) => {
                return Err(format!(
                    "{text:?} has other parameters than uniform(MIN, MAX) or lognormal(MEDIAN, SIGMA)"
                ));
            }
            _ => Sizes::Fixed(text.parse()?),
        };
        match sizes {
            Sizes::Uniform { min, max } if min > max => {
                Err(format!("the smallest size, {min}, is above the largest, {max}"))
            }
            Sizes::LogNormal { median: Size(0), .. } => Err("the median must not be 0".into()),
            Sizes::LogNormal { median, .. } if median.0 > MAX_VALUE / 2 => {
                Err(format!("the median {median} is above {}", Size(MAX_VALUE / 2)))
            }
            _ if sizes.max() > MAX_VALUE => Err(format!(
                "values have up to {}: servers close the connection above 1 MiB",
                Size(MAX_VALUE)
            )),
            _ => Ok(sizes),
        }
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sizes::Fixed(size) => size.fmt(f),
            Sizes::Uniform { min, max } => write!(f, "uniform({min}, {max})"),
            Sizes::LogNormal { median, sigma } => write!(f, "lognormal({median}, {sigma})"),
        }
    }
}

text_form!(
    Sizes,
    true,
    "a size: \"256 B\", \"uniform(100 B, 1 KiB)\" or \"lognormal(256 B, 0.5)\"",
    ["256 B", "uniform(100 B, 1 KiB)", "lognormal(256 B, 0.5)"]
);

/// Random bytes from which all values of a run are cut.
pub fn pool(largest: u64, seed: u64) -> Arc<[u8]> {
    // Twice the largest value, so that values of the same size differ.
    let mut bytes = vec![0; (2 * largest).max(64 << 10) as usize];
    Xoshiro256PlusPlus::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes.into()
}

/// Chooses values for one session.
#[derive(Debug, Clone)]
pub struct ValueChooser {
    sizes: Sizes,
    log_normal: Option<LogNormal<f64>>,
    largest: f64,
    pool_len: u32,
}

impl ValueChooser {
    /// A chooser from a pool of `pool_len` bytes, which is longer than the largest value.
    pub fn new(sizes: Sizes, pool_len: usize) -> ValueChooser {
        let log_normal = match sizes {
            Sizes::LogNormal { median, sigma } => {
                Some(LogNormal::new((median.0 as f64).ln(), sigma).expect("a plan's sigma is finite"))
            }
            _ => None,
        };
        ValueChooser { sizes, log_normal, largest: sizes.max() as f64, pool_len: pool_len as u32 }
    }

    /// The value of the next op.
    #[inline]
    pub fn next_value(&mut self, random: &mut Xoshiro256PlusPlus) -> Value {
        let len = match (self.sizes, &self.log_normal) {
            (Sizes::Uniform { min, max }, _) => random.random_range(min.0..=max.0),
            (_, Some(distribution)) => loop {
                let size = distribution.sample(random).round();
                if size <= self.largest {
                    break size as u64;
                }
            },
            (Sizes::Fixed(size), _) => size.0,
            (Sizes::LogNormal { median, .. }, None) => median.0,
        } as u32;
        Value { offset: random.random_range(0..=self.pool_len - len), len }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(text: &str) -> Vec<u32> {
        let sizes: Sizes = text.parse().unwrap();
        let pool = pool(sizes.max(), 1);
        let mut chooser = ValueChooser::new(sizes, pool.len());
        let mut random = Xoshiro256PlusPlus::seed_from_u64(5);
        (0..20_000)
            .map(|_| {
                let value = chooser.next_value(&mut random);
                assert!((value.offset + value.len) as usize <= pool.len());
                value.len
            })
            .collect()
    }

    #[test]
    fn sizes_are_as_asked() {
        assert!(sizes("256 B").iter().all(|&s| s == 256));
        let uniform = sizes("uniform(10 B, 19 B)");
        for size in 10..20 {
            let count = uniform.iter().filter(|&&s| s == size).count();
            assert!((1800..2200).contains(&count), "{size}: {count}");
        }
        let mut log_normal = sizes("lognormal(256 B, 0.5)");
        log_normal.sort_unstable();
        // Median 256, and 256·e^(±0.5·1.2816) at the 10th and 90th percentile.
        let (p10, p50, p90) = (log_normal[2000], log_normal[10_000], log_normal[18_000]);
        assert!((131..139).contains(&p10) && (250..262).contains(&p50) && (474..499).contains(&p90));
        assert!(sizes("lognormal(500 kB, 3)").iter().all(|&s| u64::from(s) <= MAX_VALUE));
    }

    #[test]
    fn impossible_sizes_are_told_why() {
        for (text, why) in [
            ("2 MB", "above 1 MiB"),
            ("uniform(2 B, 1 B)", "above the largest"),
            ("uniform(1 B)", "other parameters"),
            ("lognormal(0 B, 1)", "must not be 0"),
            ("lognormal(1 B, 0)", "no sigma"),
            ("-3", "no size"),
        ] {
            let error = text.parse::<Sizes>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
