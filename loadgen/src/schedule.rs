//! When ops start: pure arithmetic from a number to a time.
//!
//! A schedule is a rate profile and an arrival process. With Λ(t) the number of ops that the profile asks for up
//! to time t, op n starts at Λ⁻¹(Sₙ), where the arrival process gives Sₙ:
//!
//! | arrival | Sₙ |
//! |---|---|
//! | constant | n |
//! | poisson | sum of n + 1 exponential gaps of mean 1 |
//! | bursts(b) | b·⌊n / b⌋ |
//!
//! ```text
//!   rate ▲         ramp        steps          sine
//!        │        ╱‾‾‾        ┌──┘         ╭─╮   ╭─
//!        │      ╱          ┌──┘          ╱    ╲ ╱
//!        └────────────►  ──────────►  ─────────────►  t
//! ```
//!
//! The profile begins with the measured window; the warm-up before it runs at the profile's first rate.

use std::f64::consts::TAU;
use std::fmt;
use std::str::FromStr;

use rand::{RngExt as _, SeedableRng as _};
use rand_distr::Exp1;
use rand_xoshiro::Xoshiro256PlusPlus;

use quorumeter_targets::text_form;
use quorumeter_targets::units::{Dur, Rate, call};

/// How the offered rate goes with time.
///
/// | text | rate |
/// |---|---|
/// | `20k/s` | constant |
/// | `ramp(1k/s, 20k/s, 30s)` | grows linearly over 30 s, then stays |
/// | `steps(10s, 1k/s, 5k/s, 20k/s)` | each for 10 s, the last one stays |
/// | `sine(10k/s, 5k/s, 20s)` | 10,000 ± 5,000 per second, a period of 20 s |
#[derive(Debug, Clone, PartialEq)]
pub enum Profile {
    /// The same all the time.
    Constant(Rate),
    /// Linear growth (or decline).
    Ramp {
        /// At the start.
        from: Rate,
        /// At the end, and from then on.
        to: Rate,
        /// How long it takes.
        over: Dur,
    },
    /// One after the other.
    Steps {
        /// Length of each.
        every: Dur,
        /// Their rates; the last one stays.
        rates: Vec<Rate>,
    },
    /// A sine wave.
    Sine {
        /// Around which it goes.
        mean: Rate,
        /// How far it goes from there; at most the mean.
        amplitude: Rate,
        /// How long a wave is.
        period: Dur,
    },
}

impl Profile {
    /// The rate at time `t` (seconds since the profile's start), per second.
    pub fn rate_at(&self, t: f64) -> f64 {
        match self {
            Profile::Constant(rate) => rate.0,
            Profile::Ramp { from, to, over } => {
                let share = (t / seconds(*over)).clamp(0.0, 1.0);
                from.0 + (to.0 - from.0) * share
            }
            Profile::Steps { every, rates } => {
                let step = (t.max(0.0) / seconds(*every)) as usize;
                rates[step.min(rates.len() - 1)].0
            }
            Profile::Sine { mean, amplitude, period } => {
                mean.0 + amplitude.0 * (TAU * t / seconds(*period)).sin()
            }
        }
    }

    /// Ops that the profile asks for up to time `t`: the integral of the rate.
    pub fn count_at(&self, t: f64) -> f64 {
        match self {
            Profile::Constant(rate) => rate.0 * t,
            Profile::Ramp { from, to, over } => {
                let over = seconds(*over);
                let growing = t.min(over);
                let grown = from.0 * growing + (to.0 - from.0) * growing * growing / (2.0 * over);
                grown + to.0 * (t - growing)
            }
            Profile::Steps { every, rates } => {
                let every = seconds(*every);
                let mut count = 0.0;
                let mut left = t;
                for rate in &rates[..rates.len() - 1] {
                    let part = left.min(every);
                    count += rate.0 * part;
                    left -= part;
                }
                count + rates[rates.len() - 1].0 * left
            }
            // ∫ m + a·sin(2πt/p) dt = m·t + a·p/2π·(1 − cos(2πt/p))
            Profile::Sine { mean, amplitude, period } => {
                let period = seconds(*period);
                mean.0 * t + amplitude.0 * period / TAU * (1.0 - (TAU * t / period).cos())
            }
        }
    }

    /// The time at which the profile has asked for `count` ops; infinite when it never does.
    pub fn time_of(&self, count: f64) -> f64 {
        match self {
            Profile::Constant(rate) => divide(count, rate.0),
            Profile::Ramp { from, to, over } => {
                let over_s = seconds(*over);
                let grown = self.count_at(over_s);
                if count >= grown {
                    return over_s + divide(count - grown, to.0);
                }
                // from·t + growth/2·t² = count, in the form that stays exact when the growth is small
                let growth = (to.0 - from.0) / over_s;
                let root = (from.0 * from.0 + 2.0 * growth * count).max(0.0).sqrt();
                divide(2.0 * count, from.0 + root)
            }
            Profile::Steps { every, rates } => {
                let every = seconds(*every);
                let mut start = 0.0;
                let mut left = count;
                for rate in &rates[..rates.len() - 1] {
                    if left < rate.0 * every {
                        return start + left / rate.0;
                    }
                    left -= rate.0 * every;
                    start += every;
                }
                start + divide(left, rates[rates.len() - 1].0)
            }
            Profile::Sine { mean, amplitude, period } => {
                // The integral lies between m·t and m·t + a·p/π, which brackets the time.
                let spread = amplitude.0 * seconds(*period) / std::f64::consts::PI;
                let mut low = ((count - spread) / mean.0).max(0.0);
                let mut high = count / mean.0;
                for _ in 0..60 {
                    let middle = (low + high) / 2.0;
                    if self.count_at(middle) < count {
                        low = middle;
                    } else {
                        high = middle;
                    }
                }
                high
            }
        }
    }

    /// The mean rate over the first `window_s` seconds, per second.
    pub fn mean_rate(&self, window_s: f64) -> f64 {
        if window_s > 0.0 { self.count_at(window_s) / window_s } else { self.rate_at(0.0) }
    }

    /// The highest rate that it ever asks for, per second.
    pub fn peak_rate(&self) -> f64 {
        match self {
            Profile::Constant(rate) => rate.0,
            Profile::Ramp { from, to, .. } => from.0.max(to.0),
            Profile::Steps { rates, .. } => rates.iter().map(|r| r.0).fold(0.0, f64::max),
            Profile::Sine { mean, amplitude, .. } => mean.0 + amplitude.0,
        }
    }

    /// Why the profile will not do, if it will not.
    fn fault(&self) -> Option<String> {
        let rates: Vec<Rate> = match self {
            Profile::Constant(rate) => vec![*rate],
            Profile::Ramp { from, to, .. } => vec![*from, *to],
            Profile::Steps { rates, .. } => rates.clone(),
            Profile::Sine { mean, .. } => vec![*mean],
        };
        if let Some(rate) = rates.iter().find(|r| r.0 > MAX_RATE) {
            return Some(format!(
                "{rate} is more than any machine schedules; the limit is {}",
                Rate(MAX_RATE)
            ));
        }
        if rates.iter().all(|r| r.0 <= 0.0) {
            return Some("a rate of 0 schedules nothing; leave the rate out for a closed loop".into());
        }
        match self {
            Profile::Ramp { over: Dur(0), .. } | Profile::Steps { every: Dur(0), .. } => {
                Some("the duration must not be 0".into())
            }
            Profile::Sine { period: Dur(0), .. } => Some("the period must not be 0".into()),
            Profile::Sine { mean, amplitude, .. } if amplitude.0 > mean.0 => Some(format!(
                "the amplitude {amplitude} is larger than the mean {mean}: the rate would be negative"
            )),
            _ => None,
        }
    }
}

/// The highest rate that a stream may ask for, per second.
const MAX_RATE: f64 = 1e8;

fn seconds(duration: Dur) -> f64 {
    duration.0 as f64 / 1e9
}

fn divide(count: f64, rate: f64) -> f64 {
    if count <= 0.0 {
        0.0
    } else if rate > 0.0 {
        count / rate
    } else {
        f64::INFINITY
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, arguments) = call(text).ok_or_else(|| format!("{text:?} has no closing parenthesis"))?;
        let profile = match (name, &arguments[..]) {
            ("ramp", [from, to, over]) => {
                Profile::Ramp { from: from.parse()?, to: to.parse()?, over: over.parse()? }
            }
            ("steps", [every, rates @ ..]) if !rates.is_empty() => Profile::Steps {
                every: every.parse()?,
                rates: rates.iter().map(|r| r.parse()).collect::<Result<_, _>>()?,
            },
            ("sine", [mean, amplitude, period]) => {
                Profile::Sine { mean: mean.parse()?, amplitude: amplitude.parse()?, period: period.parse()? }
            }
            ("ramp" | "steps" | "sine", _) => {
                return Err(format!(
                    "{text:?} has other parameters than ramp(FROM, TO, OVER), steps(EVERY, RATE, RATE, …) or \
                     sine(MEAN, AMPLITUDE, PERIOD)"
                ));
            }
            _ => Profile::Constant(text.parse()?),
        };
        match profile.fault() {
            Some(fault) => Err(fault),
            None => Ok(profile),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Profile::Constant(rate) => rate.fmt(f),
            Profile::Ramp { from, to, over } => write!(f, "ramp({from}, {to}, {over})"),
            Profile::Steps { every, rates } => {
                write!(f, "steps({every}")?;
                rates.iter().try_for_each(|rate| write!(f, ", {rate}"))?;
                f.write_str(")")
            }
            Profile::Sine { mean, amplitude, period } => write!(f, "sine({mean}, {amplitude}, {period})"),
        }
    }
}

text_form!(
    Profile,
    true,
    "a rate: \"20k/s\", \"ramp(1k/s, 20k/s, 30s)\", \"steps(10s, 1k/s, 5k/s)\" or \"sine(10k/s, 5k/s, 20s)\"",
    ["20k/s", "ramp(1k/s, 20k/s, 30s)", "steps(10s, 1k/s, 5k/s)", "sine(10k/s, 5k/s, 20s)"]
);

/// How ops arrive within the profile: `constant`, `poisson` or `bursts(100)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Evenly.
    Constant,
    /// Independently of each other.
    Poisson,
    /// So many at once, with gaps that keep the mean rate.
    Bursts(u32),
}

impl FromStr for Arrival {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match call(text) {
            Some(("constant", arguments)) if arguments.is_empty() => Ok(Arrival::Constant),
            Some(("poisson", arguments)) if arguments.is_empty() => Ok(Arrival::Poisson),
            Some(("bursts", arguments)) => match arguments[..] {
                [size] => match size.parse() {
                    Ok(size @ 1..=1_000_000) => Ok(Arrival::Bursts(size)),
                    _ => Err(format!("{size:?} is no burst size; write a number from 1 to 1000000")),
                },
                _ => Err("bursts takes one parameter, as in \"bursts(100)\"".into()),
            },
            _ => Err(format!("{text:?} is no arrival process; known: constant, poisson, bursts(SIZE)")),
        }
    }
}

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Arrival::Constant => f.write_str("constant"),
            Arrival::Poisson => f.write_str("poisson"),
            Arrival::Bursts(size) => write!(f, "bursts({size})"),
        }
    }
}

text_form!(
    Arrival,
    false,
    "an arrival process: \"constant\", \"poisson\" or \"bursts(100)\"",
    ["constant", "poisson", "bursts(100)"]
);

/// The intended times of a stream's ops, in order: the same for the same profile, arrival and seed.
#[derive(Debug, Clone)]
pub struct Schedule {
    profile: Profile,
    arrival: Arrival,
    warmup_s: f64,
    /// Ops that the warm-up takes, at the profile's first rate.
    warmup_count: f64,
    n: u64,
    poisson_count: f64,
    random: Xoshiro256PlusPlus,
}

impl Schedule {
    /// A schedule whose time 0 is the warm-up's start.
    pub fn new(profile: Profile, arrival: Arrival, warmup_s: f64, seed: u64) -> Schedule {
        let warmup_count = profile.rate_at(0.0) * warmup_s;
        let random = Xoshiro256PlusPlus::seed_from_u64(seed);
        Schedule { profile, arrival, warmup_s, warmup_count, n: 0, poisson_count: 0.0, random }
    }

    /// The next op's number (from 0) and its intended time, nanoseconds since the warm-up's start; the time is
    /// `u64::MAX` when the profile never reaches it.
    pub fn next_op(&mut self) -> (u64, u64) {
        let n = self.n;
        self.n += 1;
        let count = match self.arrival {
            Arrival::Constant => n as f64,
            Arrival::Poisson => {
                self.poisson_count += self.random.sample::<f64, _>(Exp1);
                self.poisson_count
            }
            Arrival::Bursts(size) => (n / u64::from(size) * u64::from(size)) as f64,
        };
        let t = if count < self.warmup_count {
            count / self.profile.rate_at(0.0)
        } else {
            self.warmup_s + self.profile.time_of(count - self.warmup_count)
        };
        // A float beyond the range becomes `u64::MAX`.
        (n, (t * 1e9).round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn times(profile: &str, arrival: &str, warmup_s: f64, n: usize) -> Vec<u64> {
        let mut schedule = Schedule::new(profile.parse().unwrap(), arrival.parse().unwrap(), warmup_s, 7);
        (0..n).map(|_| schedule.next_op().1).collect()
    }

    #[test]
    fn constant_arrivals_are_evenly_spaced() {
        assert_eq!(times("1k/s", "constant", 0.0, 4), [0, 1_000_000, 2_000_000, 3_000_000]);
        // No drift after a day at 100,000/s.
        let mut schedule = Schedule::new(Profile::Constant(Rate(1e5)), Arrival::Constant, 0.0, 0);
        schedule.n = 8_640_000_000;
        assert_eq!(schedule.next_op().1, 86_400_000_000_000);
    }

    #[test]
    fn bursts_keep_the_mean_rate() {
        let ms = 1_000_000;
        assert_eq!(times("1k/s", "bursts(3)", 0.0, 7), [0, 0, 0, 3 * ms, 3 * ms, 3 * ms, 6 * ms]);
    }

    #[test]
    fn a_ramp_is_the_integral_of_its_rate() {
        // From 0 to 100/s over 10 s: 5·t² ops after t seconds, 500 at the end, then 100/s.
        let ramp: Profile = "ramp(0/s, 100/s, 10s)".parse().unwrap();
        assert_eq!((ramp.count_at(2.0), ramp.count_at(10.0), ramp.count_at(11.0)), (20.0, 500.0, 600.0));
        assert_eq!((ramp.time_of(20.0), ramp.time_of(500.0), ramp.time_of(600.0)), (2.0, 10.0, 11.0));
        // A decline to nothing never reaches more than its area.
        let decline: Profile = "ramp(100/s, 0/s, 10s)".parse().unwrap();
        assert_eq!((decline.time_of(500.0), decline.time_of(501.0)), (10.0, f64::INFINITY));
        assert_eq!(decline.rate_at(5.0), 50.0);
    }

    #[test]
    fn steps_follow_each_other() {
        let steps: Profile = "steps(2s, 10/s, 0/s, 30/s)".parse().unwrap();
        assert_eq!((steps.count_at(2.0), steps.count_at(4.0), steps.count_at(5.0)), (20.0, 20.0, 50.0));
        assert_eq!((steps.time_of(10.0), steps.time_of(20.0), steps.time_of(50.0)), (1.0, 4.0, 5.0));
        assert_eq!((steps.rate_at(1.9), steps.rate_at(2.0), steps.rate_at(99.0)), (10.0, 0.0, 30.0));
    }

    #[test]
    fn a_sine_goes_around_its_mean() {
        let sine: Profile = "sine(100/s, 50/s, 4s)".parse().unwrap();
        assert!((sine.count_at(4.0) - 400.0).abs() < 1e-9);
        assert!((sine.rate_at(1.0) - 150.0).abs() < 1e-9);
        assert!((sine.time_of(400.0) - 4.0).abs() < 1e-9);
    }

    #[test]
    fn the_warm_up_runs_at_the_first_rate_and_the_profile_begins_after_it() {
        // 2 s at 10/s, then the ramp.
        let t = times("ramp(10/s, 20/s, 1s)", "constant", 2.0, 36);
        assert_eq!((t[0], t[19], t[20]), (0, 1_900_000_000, 2_000_000_000));
        assert_eq!(t[35], 3_000_000_000);
    }

    #[test]
    fn the_same_seed_gives_the_same_times() {
        assert_eq!(times("1k/s", "poisson", 1.0, 1000), times("1k/s", "poisson", 1.0, 1000));
        let mut other = Schedule::new(Profile::Constant(Rate(1e3)), Arrival::Poisson, 1.0, 8);
        assert_ne!(times("1k/s", "poisson", 1.0, 1)[0], other.next_op().1);
    }

    /// Kolmogorov–Smirnov: the gaps of a Poisson process are exponential. The seeds are fixed, so this is no
    /// test of luck; 1.95/√n is the bound that one seed in a thousand exceeds.
    #[test]
    fn poisson_gaps_fit_the_exponential_distribution() {
        for seed in 0..10 {
            let mut schedule = Schedule::new(Profile::Constant(Rate(1e3)), Arrival::Poisson, 0.0, seed);
            let times: Vec<u64> = (0..100_000).map(|_| schedule.next_op().1).collect();
            let gaps: Vec<f64> = times.windows(2).map(|w| (w[1] - w[0]) as f64 / 1e6).collect();
            let n = gaps.len() as f64;
            // The gaps do not depend on each other: the correlation of neighbours is within 3.3/√n of 0.
            let correlation = gaps.windows(2).map(|w| (w[0] - 1.0) * (w[1] - 1.0)).sum::<f64>() / n;
            assert!(correlation.abs() < 3.3 / n.sqrt(), "{seed}: {correlation}");
            let mut sorted = gaps;
            sorted.sort_by(f64::total_cmp);
            let distance = sorted
                .iter()
                .enumerate()
                .map(|(i, gap)| {
                    let expected = 1.0 - (-gap).exp();
                    (expected - i as f64 / n).abs().max((expected - (i + 1) as f64 / n).abs())
                })
                .fold(0.0, f64::max);
            assert!(distance < 1.95 / n.sqrt(), "{seed}: {distance}");
        }
    }

    #[test]
    fn what_cannot_be_scheduled_is_told_why() {
        for (text, why) in [
            ("0/s", "schedules nothing"),
            ("ramp(0/s, 0/s, 1s)", "schedules nothing"),
            ("ramp(1/s, 2/s)", "other parameters"),
            ("ramp(1/s, 2/s, 0s)", "must not be 0"),
            ("steps(1s)", "other parameters"),
            ("sine(1/s, 2/s, 1s)", "negative"),
            ("1e9/s", "no rate"),
            ("999M/s", "limit"),
            ("wave(1)", "no rate"),
            ("ramp(1/s", "parenthesis"),
        ] {
            let error = text.parse::<Profile>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        for text in ["bursts", "bursts(0)", "bursts(x)", "poisson(1)", "even"] {
            assert!(text.parse::<Arrival>().is_err(), "{text}");
        }
    }

    fn any_profile() -> impl Strategy<Value = Profile> {
        let rate = || (0.1..1e6).prop_map(Rate);
        let duration = || (1_000_000u64..100_000_000_000).prop_map(Dur);
        prop_oneof![
            rate().prop_map(Profile::Constant),
            (rate(), rate(), duration()).prop_map(|(from, to, over)| Profile::Ramp { from, to, over }),
            (duration(), prop::collection::vec(rate(), 1..5))
                .prop_map(|(every, rates)| Profile::Steps { every, rates }),
            (rate(), 0.0..1.0, duration()).prop_map(|(mean, share, period)| Profile::Sine {
                mean,
                amplitude: Rate(mean.0 * share),
                period
            }),
        ]
    }

    proptest! {
        #[test]
        fn time_and_count_are_inverse(profile in any_profile(), t in 0.0..200.0f64) {
            let count = profile.count_at(t);
            let again = profile.count_at(profile.time_of(count));
            prop_assert!((again - count).abs() <= 1e-6 * count.max(1.0), "{again} {count}");
        }

        #[test]
        fn times_never_go_back(profile in any_profile(), seed: u64, bursts in 1u32..9) {
            for arrival in [Arrival::Constant, Arrival::Poisson, Arrival::Bursts(bursts)] {
                let mut schedule = Schedule::new(profile.clone(), arrival, 0.5, seed);
                let mut last = 0;
                for n in 0..500 {
                    let (number, t) = schedule.next_op();
                    prop_assert_eq!(number, n);
                    prop_assert!(t >= last);
                    last = t;
                }
            }
        }

        #[test]
        fn texts_are_read_again(profile in any_profile()) {
            // Durations are written in whole units, rates with all their digits.
            let text = profile.to_string();
            prop_assert_eq!(text.parse::<Profile>().map(|p| p.to_string()), Ok(text));
        }
    }
}
