//! Gates: what must hold, as `METRIC COMPARISON VALUE`.
//!
//! | metric | of | value |
//! |---|---|---|
//! | `<stream>.<op>.response.<statistic>`, `.ok_response.`, `.service.`, `.wait.` | one kind of op | `10ms` |
//! | `<stream>.<op>.rate`, `<stream>.rate`, `total.rate` | ok replies per second | `10k/s` |
//! | `….ok`, `.failed`, `.unknown`, `.shed`, `.late` after any of the same three | counts, or their share of all ops | `0`, `0.1%` |
//! | `<stream>.after_ack.<statistic>` | watch events, from the write's acknowledgement on | `5ms` |
//! | `<stream>.fan_out.<rank>.<statistic>` | `first`, `median` or `last` delivery of each write that reached every watcher, from its intended time on | `20ms` |
//! | `<stream>.complete`, `.incomplete`, `.unknown_writes` | writes that reached every watcher, that did not, and that may have happened | `0` |
//! | `<stream>.events`, `.lost`, `.merged`, `.duplicate`, … | watch events | `0` |
//! | `generator.lag.<statistic>` | the load generator's own schedule lag | `1ms` |
//! | `write_outage_any.median`, `rejoin_outage.max`, `ack_gap_any.min`, … | a duration over the repetitions of a failover measurement | `2s` |
//! | `java.write_outage_client.median`, `pinned.reconnect_time.max` | the same of clients of one policy, or of the pinned ones | `2s` |
//! | `lost_acked_writes`, `sessions_expired`, `java.connect_failures`, … | a count over the repetitions | `0` |
//!
//! A statistic is `min`, `mean`, `p50`, `p90`, `p95`, `p99`, `p99.9` (or `p999`), `p99.99` or `max`. Comparisons
//! are `<`, `<=`, `>`, `>=`, `==` and `!=`. Durations are in ns, us (or µs), ms, s, m or h, rates in `/s`, with k
//! and M for thousands and millions. What a failover measurement tells between two bounds is read at the one that is harder
//! to pass: at the lower one with `>` and `>=`, and otherwise at the upper one.
//!
//! ```
//! use quorumeter_results::Gate;
//!
//! let gate = Gate::parse("app.read.response.p99 < 10ms")?;
//! assert_eq!(gate, Gate::from_parts("app.read.response.p99", "< 10ms")?);
//! assert!(Gate::parse("app.read.rate < 10ms").is_err()); // a rate is no duration
//! # Ok::<(), quorumeter_results::GateError>(())
//! ```

mod metric;
mod reading;
mod value;

use std::fmt;

use quorumeter_record::{
    FailoverPlan, GateOutcome, GateResult, GeneratorVerdict, IntervalLine, StreamInfo, Summary,
};

use crate::agreement::Untimed;
use metric::{Figure, Metric};
use reading::{Reading, Side};
use value::Bound;

/// Why what failed on a limited run is no failure of the server.
pub(crate) const GENERATOR_WAS_THE_LIMIT: &str = ", but the load generator was itself the limit";

/// A requirement, parsed. Which streams and ops a workload has is for [`Gate::check_exists`] to say.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    text: String,
    metric: Metric,
    comparison: Comparison,
    bound: Bound,
}

/// Why a text is not a gate, or not one for this workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// The text has not the form of a requirement.
    #[error(
        "`{text}` is not a requirement: {problem}; write METRIC COMPARISON VALUE, \
         for example `app.read.response.p99 < 10ms`"
    )]
    Form {
        /// The text.
        text: String,
        /// What is wrong with it, in words.
        problem: &'static str,
    },
    /// No workload can have a metric of this name.
    #[error("`{metric}` is not a metric: {problem}")]
    Metric {
        /// The name.
        metric: String,
        /// What is wrong with it, and what would be right, in words.
        problem: String,
    },
    /// The value does not fit the metric.
    #[error("`{value}` does not fit `{metric}`, which {expected}")]
    Value {
        /// The metric.
        metric: String,
        /// The value as written.
        value: String,
        /// What fits, in words.
        expected: String,
    },
    /// Whatever is measured, it holds.
    #[error("`{text}` holds whatever is measured, and so requires nothing; give a value that can be missed")]
    CannotFail {
        /// The text.
        text: String,
    },
    /// Whatever is measured, it does not hold.
    #[error("`{text}` cannot hold, whatever is measured; give a value that can be reached")]
    CannotPass {
        /// The text.
        text: String,
    },
    /// The workload at hand has no such metric.
    #[error("there is no `{metric}` in this workload: {problem}{}", did_you_mean(nearest.as_deref()))]
    Absent {
        /// The metric.
        metric: String,
        /// Why not, in words.
        problem: String,
        /// The metric of this workload whose name is most like it.
        nearest: Option<String>,
    },
    /// The metric is known at the end of a run only.
    #[error("`{metric}` cannot stop a run: {problem}")]
    NotInInterval {
        /// The metric.
        metric: String,
        /// Why not, and what to use instead, in words.
        problem: String,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    Greater,
    AtLeast,
    Equal,
    NotEqual,
}

impl Gate {
    /// Parses `METRIC COMPARISON VALUE`.
    ///
    /// # Errors
    ///
    /// The form is wrong, the metric is one that no workload can have, or the value's unit does not fit it.
    pub fn parse(text: &str) -> Result<Gate, GateError> {
        let text = text.trim();
        match text.find(['<', '>', '=', '!']) {
            Some(at) => Gate::new(text, &text[..at], &text[at..]),
            None => Err(GateError::Form { text: text.to_owned(), problem: "it compares nothing" }),
        }
    }

    /// The form of a table of gates: the key is the metric, the value `COMPARISON VALUE`.
    ///
    /// # Errors
    ///
    /// As [`Gate::parse`].
    pub fn from_parts(metric: &str, condition: &str) -> Result<Gate, GateError> {
        Gate::new(&format!("{} {}", metric.trim(), condition.trim()), metric, condition)
    }

    fn new(text: &str, metric: &str, condition: &str) -> Result<Gate, GateError> {
        let problem = |problem| GateError::Form { text: text.to_owned(), problem };
        let (comparison, value) = Comparison::parse(condition.trim())
            .ok_or_else(|| problem("a comparison is one of < <= > >= == !="))?;
        if metric.trim().is_empty() {
            return Err(problem("it names no metric"));
        }
        if value.trim().is_empty() {
            return Err(problem("it has no value"));
        }
        let metric = Metric::parse(metric.trim())?;
        let bound = Bound::parse(value.trim(), &metric)?;
        if let Some(holds) = comparison.foregone(bound.range(&metric), bound.value) {
            let text = text.to_owned();
            return Err(if holds { GateError::CannotFail { text } } else { GateError::CannotPass { text } });
        }
        Ok(Gate { text: text.to_owned(), metric, comparison, bound })
    }

    /// The gate as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Checks that a workload of these streams has the metric, before anything connects. Metrics of a failover exist with a
    /// plan of one only.
    ///
    /// # Errors
    ///
    /// [`GateError::Absent`], which names the nearest metric that there is.
    pub fn check_exists(&self, streams: &[StreamInfo], plan: Option<&FailoverPlan>) -> Result<(), GateError> {
        self.metric.check_exists(streams, plan)
    }

    /// Checks that one interval can tell the metric, so that the gate can stop a run.
    ///
    /// # Errors
    ///
    /// [`GateError::NotInInterval`].
    pub fn check_interval(&self) -> Result<(), GateError> {
        self.metric.check_interval()
    }

    /// Judges a run. Without data the outcome is inconclusive, and so is a failure on a run whose generator was
    /// the limit; of a failover each repetition was judged by its own lateness.
    pub fn evaluate(&self, summary: &Summary) -> GateResult {
        let side = self.comparison.harder();
        let reading = reading::of_summary(&self.metric, self.bound, side, summary);
        let of_failover = self.metric.is_of_failover();
        let (outcome, mut reason) = match (&reading, self.comparison.holds(&reading, self.bound.value)) {
            (Reading::Nothing(why), _) => (GateOutcome::Inconclusive, why.clone()),
            (_, Some(true)) => (GateOutcome::Passed, self.told(&reading)),
            (_, Some(false)) => (GateOutcome::Failed, self.told(&reading)),
            (_, None) => {
                let why = match self.metric.figure {
                    Figure::Repeated(_) => "it did not end while it was watched",
                    Figure::Sum(_) => "not every repetition tells it",
                    _ => "ops were given up or shed",
                };
                let more = format!("and how much more cannot be told, as {why}");
                (GateOutcome::Inconclusive, format!("{}, {more}", self.told(&reading)))
            }
        };
        if let Some(detail) = reading::detail(&self.metric, side, summary) {
            reason.push_str(&format!(" ({detail})"));
        }
        let limited = !of_failover && summary.generator.verdict == GeneratorVerdict::Limited;
        let outcome = if limited && outcome == GateOutcome::Failed {
            reason.push_str(GENERATOR_WAS_THE_LIMIT);
            GateOutcome::Inconclusive
        } else {
            outcome
        };
        GateResult { gate: self.text.clone(), measured: reading.value(), outcome, reason }
    }

    /// Whether the gate holds in one interval, given the lines of that interval alone; `None` where they have no
    /// data for it. Ops of the warm-up count too: this is a brake, not a judgement.
    ///
    /// An interval without a single reply has a rate of 0 and failed shares that cannot be told. A quantile needs
    /// its 10 samples beyond it within the interval.
    pub fn holds_in_interval(&self, lines: &[IntervalLine]) -> Option<bool> {
        let readings = reading::of_interval(&self.metric, self.bound, lines);
        let told: Vec<bool> =
            readings.iter().filter_map(|r| self.comparison.holds(r, self.bound.value)).collect();
        (!told.is_empty()).then(|| told.into_iter().all(|holds| holds))
    }

    fn told(&self, reading: &Reading) -> String {
        let at_least = if matches!(reading, Reading::AtLeast(_)) { "at least " } else { "" };
        let value = reading.value().unwrap_or(f64::NAN);
        format!("{} is {at_least}{}", self.metric, self.bound.show(value, &self.metric))
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for Gate {
    type Err = GateError;

    fn from_str(text: &str) -> Result<Gate, GateError> {
        Gate::parse(text)
    }
}

impl Comparison {
    /// Splits a condition. The longer signs first, as `<=` begins with `<`.
    fn parse(condition: &str) -> Option<(Comparison, &str)> {
        const SIGNS: [(&str, Comparison); 6] = [
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        SIGNS.iter().find_map(|(sign, comparison)| Some((*comparison, condition.strip_prefix(sign)?)))
    }

    /// Which of two bounds makes it harder to hold.
    fn harder(self) -> Side {
        match self {
            Comparison::Greater | Comparison::AtLeast => Side::Lower,
            Comparison::Less | Comparison::AtMost | Comparison::Equal | Comparison::NotEqual => Side::Upper,
        }
    }

    /// Whether the comparison holds for all values from `low` to `high`, or for none of them; `None` where that depends.
    fn foregone(self, (low, high): (f64, f64), bound: f64) -> Option<bool> {
        let (all, none) = match self {
            Comparison::Less => (high < bound, low >= bound),
            Comparison::AtMost => (high <= bound, low > bound),
            Comparison::Greater => (low > bound, high <= bound),
            Comparison::AtLeast => (low >= bound, high < bound),
            Comparison::Equal => (false, bound < low || bound > high),
            Comparison::NotEqual => (bound < low || bound > high, false),
        };
        if all { Some(true) } else { none.then_some(false) }
    }

    /// Whether the comparison holds; `None` where that cannot be told. Of a lower bound it is told if every value
    /// from it upwards says the same.
    fn holds(self, reading: &Reading, bound: f64) -> Option<bool> {
        match (reading, self) {
            (Reading::Nothing(_), _) => None,
            (Reading::Exact(value), Comparison::Less) => Some(*value < bound),
            (Reading::Exact(value), Comparison::AtMost) => Some(*value <= bound),
            (Reading::Exact(value), Comparison::Greater) => Some(*value > bound),
            (Reading::Exact(value), Comparison::AtLeast) => Some(*value >= bound),
            (Reading::Exact(value), Comparison::Equal) => Some(*value == bound),
            (Reading::Exact(value), Comparison::NotEqual) => Some(*value != bound),
            (Reading::AtLeast(least), Comparison::Less) => (*least >= bound).then_some(false),
            (Reading::AtLeast(least), Comparison::AtMost | Comparison::Equal) => {
                (*least > bound).then_some(false)
            }
            (Reading::AtLeast(least), Comparison::Greater | Comparison::NotEqual) => {
                (*least > bound).then_some(true)
            }
            (Reading::AtLeast(least), Comparison::AtLeast) => (*least >= bound).then_some(true),
        }
    }
}

/// Every metric that a gate on a workload of these streams, and on a failover measurement of this plan, may name.
pub fn known_metrics(streams: &[StreamInfo], plan: Option<&FailoverPlan>) -> Vec<String> {
    metric::known(streams, plan).iter().map(ToString::to_string).collect()
}

/// A gate of a record, which was checked when the run began. One that cannot be read is told and never passed.
///
/// A time of an op of which the record lacks histograms cannot be told either.
pub(crate) fn evaluate_text(text: &str, summary: &Summary, untimed: &[Untimed]) -> GateResult {
    match Gate::parse(text) {
        Ok(gate) => {
            let result = gate.evaluate(summary);
            match untimed.iter().find(|untimed| gate.metric.is_time_of(&untimed.key)) {
                Some(untimed) => GateResult {
                    measured: None,
                    outcome: GateOutcome::Inconclusive,
                    reason: untimed.to_string(),
                    ..result
                },
                None => result,
            }
        }
        Err(error) => GateResult {
            gate: text.to_owned(),
            measured: None,
            outcome: GateOutcome::Inconclusive,
            reason: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests;
