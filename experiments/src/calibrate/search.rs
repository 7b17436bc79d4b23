//! The search for the highest rate that holds: a function from what was measured to the next step.
//!
//! ```text
//!   rate ▲            ✗✗
//!        │         ✓      ✓✓ ◄── highest
//!        │      ✓
//!        │   ✓
//!        └──────────────────────► attempts
//!          double      halve the ratio
//! ```
//!
//! One attempt never decides against a rate, and one never confirms the highest: each takes two that agree, of three at
//! most. A rate counts as out of reach when one below it is, whatever a luckier attempt above it came to.

use std::collections::BTreeMap;

/// Where the search begins, ops per second.
pub(super) const FIRST: u64 = 10_000;
/// The lowest rate that is tried.
pub(super) const LOWEST: u64 = 1_250;
/// The highest rate that is tried.
pub(super) const HIGHEST: u64 = 10_240_000;
/// The search ends when the rate above the highest that holds is at most this many times it.
pub(super) const PRECISION: f64 = 1.1;
/// Attempts that have to agree.
const AGREEING: u32 = 2;
/// Attempts in all, at most.
pub(super) const ATTEMPTS: usize = 36;

/// One attempt at a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempt {
    /// Offered rate, ops per second.
    pub(super) rate: u64,
    /// Whether it held.
    pub(super) held: bool,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// An attempt at this rate.
    Try(u64),
    /// Nothing: the search is over.
    Done {
        /// The highest rate that held twice; `None` when none did.
        highest: Option<u64>,
        /// Whether rates above it were not tried, or not often enough.
        is_lower_bound: bool,
    },
}

/// The step after these attempts.
pub(super) fn next(attempts: &[Attempt]) -> Step {
    let tallies = tallies(attempts);
    if attempts.len() >= ATTEMPTS {
        return conclude(&tallies);
    }
    if let Some(undecided) = tallies.iter().find(|(_, tally)| tally.is_in_doubt()) {
        return Step::Try(*undecided.0);
    }
    let failed = lowest_failed(&tallies);
    let held = highest_held(&tallies, failed);
    match (held, failed) {
        (None, None) => Step::Try(FIRST),
        (None, Some(failed)) if failed <= LOWEST => conclude(&tallies),
        (None, Some(failed)) => Step::Try((failed / 2).max(LOWEST)),
        (Some(held), None) if held < HIGHEST => Step::Try((held * 2).min(HIGHEST)),
        (Some(held), Some(failed)) if failed as f64 / held as f64 > PRECISION => {
            Step::Try(between(held, failed))
        }
        (Some(held), _) if tallies[&held].held < AGREEING => Step::Try(held),
        (Some(_), _) => conclude(&tallies),
    }
}

/// What the attempts came to, whether or not the search is over.
pub(super) fn so_far(attempts: &[Attempt]) -> (Option<u64>, bool) {
    match conclude(&tallies(attempts)) {
        Step::Done { highest, is_lower_bound } => (highest, is_lower_bound),
        Step::Try(_) => (None, false),
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    held: u32,
    failed: u32,
}

impl Tally {
    fn has_failed(self) -> bool {
        self.failed >= AGREEING
    }

    /// A failure that another attempt has to confirm or to outvote.
    fn is_in_doubt(self) -> bool {
        self.failed > 0 && self.failed < AGREEING && self.held < AGREEING
    }
}

fn tallies(attempts: &[Attempt]) -> BTreeMap<u64, Tally> {
    let mut tallies = BTreeMap::<u64, Tally>::new();
    for attempt in attempts {
        let tally = tallies.entry(attempt.rate).or_default();
        *(if attempt.held { &mut tally.held } else { &mut tally.failed }) += 1;
    }
    tallies
}

fn lowest_failed(tallies: &BTreeMap<u64, Tally>) -> Option<u64> {
    tallies.iter().find(|(_, tally)| tally.has_failed()).map(|(rate, _)| *rate)
}

/// The highest rate below `failed` that held at least once, and has not failed.
fn highest_held(tallies: &BTreeMap<u64, Tally>, failed: Option<u64>) -> Option<u64> {
    let below = tallies.range(..failed.unwrap_or(u64::MAX));
    below.rev().find(|(_, tally)| tally.held > 0).map(|(rate, _)| *rate)
}

/// The rate in the middle, by ratio, with three digits.
fn between(held: u64, failed: u64) -> u64 {
    let middle = (held as f64 * failed as f64).sqrt();
    let digit = 10_u64.pow((middle.log10().floor() as u32).saturating_sub(2));
    ((middle / digit as f64).round() as u64 * digit).clamp(held + 1, failed - 1)
}

fn conclude(tallies: &BTreeMap<u64, Tally>) -> Step {
    let failed = lowest_failed(tallies);
    let below = tallies.range(..failed.unwrap_or(u64::MAX));
    let highest = below.rev().find(|(_, tally)| tally.held >= AGREEING).map(|(rate, _)| *rate);
    let is_lower_bound = highest.is_some_and(|highest| match failed {
        None => true,
        Some(failed) => failed as f64 / highest as f64 > PRECISION,
    });
    Step::Done { highest, is_lower_bound }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches a machine, given as what becomes of the n-th attempt in all at a rate. Returns the end, and the rates
    /// that were tried.
    fn search(mut holds: impl FnMut(usize, u64) -> bool) -> (Step, Vec<u64>) {
        let mut attempts = Vec::new();
        loop {
            match next(&attempts) {
                Step::Try(rate) => attempts.push(Attempt { rate, held: holds(attempts.len(), rate) }),
                done @ Step::Done { .. } => return (done, attempts.iter().map(|a| a.rate).collect()),
            }
        }
    }

    fn done(highest: u64) -> Step {
        Step::Done { highest: Some(highest), is_lower_bound: false }
    }

    #[test]
    fn it_doubles_and_then_halves_the_ratio_between_what_holds_and_what_does_not() {
        let (step, tried) = search(|_, rate| rate <= 100_000);
        assert_eq!(
            tried,
            [
                10_000, 20_000, 40_000, 80_000, // each held
                160_000, 160_000, // twice not
                113_000, 113_000, // √(80 × 160)
                95_100,  // √(80 × 113)
                104_000, 104_000, // √(95.1 × 113)
                95_100,  // confirmed: 104 / 95.1 = 1.094
            ]
        );
        assert_eq!(step, done(95_100));
    }

    #[test]
    fn any_limit_is_found_within_the_precision_and_from_below() {
        for limit in (0..200).map(|i| (1_300.0 * 1.045_f64.powi(i)) as u64).filter(|limit| *limit < HIGHEST) {
            let (step, tried) = search(|_, rate| rate <= limit);
            let Step::Done { highest: Some(highest), is_lower_bound: false } = step else {
                panic!("{limit}: {step:?}")
            };
            assert!(highest <= limit && limit as f64 <= highest as f64 * PRECISION, "{limit}: {highest}");
            assert!(tried.len() < 25, "{limit}: {tried:?}");
        }
    }

    #[test]
    fn one_disturbance_does_not_decide() {
        let (undisturbed, tried) = search(|_, rate| rate <= 100_000);
        for disturbed in 0..tried.len() {
            let (step, _) = search(|n, rate| n != disturbed && rate <= 100_000);
            assert_eq!(step, undisturbed, "attempt {disturbed} was disturbed");
        }
    }

    #[test]
    fn one_lucky_attempt_does_not_decide() {
        // 160k, then 113k, then 104k holds once by luck, when it is tried first.
        for lucky in [160_000, 113_000, 104_000] {
            let mut luck = true;
            let (step, _) = search(|_, rate| rate <= 100_000 || (rate == lucky && std::mem::take(&mut luck)));
            let Step::Done { highest: Some(highest), .. } = step else { panic!("{step:?}") };
            assert!(highest <= 100_000, "{lucky}: {highest}");
        }
    }

    #[test]
    fn a_rate_above_one_that_fails_is_out_of_reach() {
        // 40k fails always, though 80k would hold.
        let (step, tried) = search(|_, rate| rate != 40_000 && rate <= 100_000);
        assert!(tried.iter().all(|rate| *rate <= 40_000), "{tried:?}");
        let Step::Done { highest: Some(highest), is_lower_bound: false } = step else { panic!("{step:?}") };
        assert!((36_363..40_000).contains(&highest), "{highest}");
        // What held once, and cannot be confirmed, leads back below.
        let mut at_20k = 0;
        let (step, _) = search(|_, rate| {
            at_20k += u32::from(rate == 20_000);
            rate < 20_000 || (rate == 20_000 && at_20k == 1) || (rate > 20_000 && rate < 20_500)
        });
        let Step::Done { highest: Some(highest), .. } = step else { panic!("{step:?}") };
        assert!(highest < 20_500, "{highest}");
    }

    #[test]
    fn a_machine_that_can_do_nothing_or_everything_ends_the_search() {
        let (step, tried) = search(|_, _| false);
        assert_eq!(step, Step::Done { highest: None, is_lower_bound: false });
        assert_eq!(tried, [10_000, 10_000, 5_000, 5_000, 2_500, 2_500, 1_250, 1_250]);
        let (step, tried) = search(|_, _| true);
        assert_eq!(step, Step::Done { highest: Some(HIGHEST), is_lower_bound: true });
        assert_eq!(tried.len(), 12, "{tried:?}");
    }

    #[test]
    fn noise_ends_within_the_attempts_and_claims_only_what_held_twice() {
        for seed in 0..500_u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut held = BTreeMap::<u64, u32>::new();
            let (step, tried) = search(|_, rate| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let holds = (state >> 33) % 200_000 > rate;
                *held.entry(rate).or_default() += u32::from(holds);
                holds
            });
            assert!(tried.len() <= ATTEMPTS);
            if let Step::Done { highest: Some(highest), .. } = step {
                assert!(held[&highest] >= 2, "{seed}: {highest} of {held:?}");
            }
        }
    }

    #[test]
    fn what_an_interrupted_search_has_is_a_lower_bound() {
        let held = |rate| Attempt { rate, held: true };
        assert_eq!(so_far(&[]), (None, false));
        assert_eq!(so_far(&[held(10_000), held(20_000)]), (None, false), "nothing is confirmed");
        assert_eq!(so_far(&[held(10_000), held(10_000), held(20_000)]), (Some(10_000), true));
    }
}
