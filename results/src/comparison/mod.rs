//! Records against each other: is this ensemble, version or setting worse than what was measured before?
//!
//! Of a failover record every repetition gives a value of each duration; of other records each gives one: a run is one
//! draw of everything that differs from run to run, however many ops it has. So a comparison of runs takes several of
//! each side: 4 and 4 are the least (3 and 5 will do as well), 3 and 3 can never tell anything at 95 %.

mod identity;
mod shift;

use std::collections::BTreeSet;

use quorumeter_record::{GeneratorVerdict, Manifest, Summary, Verdict};

pub use identity::Difference;
pub use shift::{Interval, Shift, median, shift};

use crate::report::failover::{is_judged, metrics};

/// A record, or what is kept of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// What the user calls it.
    pub name: String,
    /// Its manifest; without it there is less to be checked.
    pub manifest: Option<Manifest>,
    /// Its summary.
    pub summary: Summary,
}

/// How to compare.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// By how much of the baseline's median a metric may be worse, from 0.
    pub tolerance: f64,
    /// The metrics to judge; all where there are none.
    pub metrics: Vec<String>,
    /// Compare what differs in more than a version or a machine.
    pub allow_differences: bool,
}

/// Why records cannot be compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CompareError {
    /// A record counts more than once.
    #[error("{first} and {second} are the same run ({run_id}), which would count twice")]
    Twice {
        /// One of them.
        first: String,
        /// The other.
        second: String,
        /// The run.
        run_id: String,
    },
    /// They measured different things.
    #[error("these records cannot be compared:{}\n--allow-differences compares them all the same", lines(.0))]
    Differ(Vec<Difference>),
    /// There is no such metric.
    #[error("neither side has a metric `{name}`; there are: {}", known.join(", "))]
    UnknownMetric {
        /// Its name.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
}

fn lines(differences: &[Difference]) -> String {
    let line =
        |difference: &Difference| format!("\n  {}: {}", difference.what, difference.values.join(" against "));
    differences.iter().map(line).collect()
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Of a time, in nanoseconds.
    Lower,
    /// Of a rate, per second.
    Higher,
}

/// What a comparison of one metric shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// It is worse by more than is allowed, at 97.5 %.
    Regression,
    /// It is better by more than would have been allowed the other way, likewise.
    Improvement,
    /// It is not worse by more than is allowed, likewise.
    Held,
    /// It may be one or the other: the interval reaches across what is allowed.
    Open,
    /// There are too few values to tell anything.
    NotEnough,
    /// It is shown, and not judged: it explains others, or was not asked for.
    Shown,
}

/// One metric of both sides.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricComparison {
    /// Its name, as a gate names it, without a statistic.
    pub name: String,
    /// Which way is better, and so its unit.
    pub better: Better,
    /// The values of the records in question, ∞ for a time that did not end.
    pub run: Vec<f64>,
    /// Those of the baseline.
    pub baseline: Vec<f64>,
    /// By how much the former are above the latter.
    pub shift: Shift,
    /// By how much it may be worse, in its unit: the tolerance, and no less than the resolution of the measurement.
    pub allowed: f64,
    /// What that shows.
    pub finding: Finding,
}

/// What a comparison shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Conclusion {
    /// No metric is shown to be worse than is allowed.
    NoRegression,
    /// One is.
    Regression,
    /// There are too few values for one or more, or for all.
    NotEnough,
    /// A record in question broke a promise: no number makes up for that.
    Unsafe,
}

/// Records against a baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Names of the records in question.
    pub run: Vec<String>,
    /// Names of the records of the baseline.
    pub baseline: Vec<String>,
    /// The tolerance, as asked for.
    pub tolerance: f64,
    /// Every metric that a side has, the headline first.
    pub metrics: Vec<MetricComparison>,
    /// In what the sides differ.
    pub differences: Vec<Difference>,
    /// What was not looked at, as a record does not tell it.
    pub unchecked: Vec<String>,
    /// What else is to be known of the records, in words.
    pub notes: Vec<String>,
    /// What it comes to.
    pub conclusion: Conclusion,
}

impl Conclusion {
    /// The process's exit code: 0 no regression, 2 regression, 3 unsafe, 4 not enough.
    pub fn exit_code(self) -> u8 {
        match self {
            Conclusion::NoRegression => 0,
            Conclusion::Regression => 2,
            Conclusion::NotEnough => 4,
            Conclusion::Unsafe => 3,
        }
    }
}

impl Comparison {
    /// Metrics of one finding.
    pub fn found(&self, finding: Finding) -> usize {
        self.metrics.iter().filter(|metric| metric.finding == finding).count()
    }

    /// The conclusion where too few values are a warning: what they leave.
    pub fn without_the_undecided(&self) -> Conclusion {
        match self.conclusion {
            Conclusion::NotEnough if self.found(Finding::Regression) > 0 => Conclusion::Regression,
            Conclusion::NotEnough => Conclusion::NoRegression,
            other => other,
        }
    }
}

/// Compares records with a baseline.
///
/// # Errors
///
/// They are not of the same measurement, a record is given twice, or a metric is asked for that there is not.
pub fn compare(run: &[Record], baseline: &[Record], options: &Options) -> Result<Comparison, CompareError> {
    let all: Vec<&Record> = run.iter().chain(baseline).collect();
    check_distinct(&all)?;
    let (differences, unchecked) = identity::differences(&[run, baseline]);
    let grave: Vec<Difference> = differences.iter().filter(|d| !d.is_harmless).cloned().collect();
    if !grave.is_empty() && !options.allow_differences {
        return Err(CompareError::Differ(grave));
    }
    let (of_run, of_baseline) = (values(run), values(baseline));
    let mut metrics: Vec<MetricComparison> = Vec::new();
    for value in of_run.iter().chain(&of_baseline) {
        if metrics.iter().any(|metric| metric.name == value.name) {
            continue;
        }
        let of = |side: &[Values]| {
            side.iter().find(|other| other.name == value.name).map(|v| v.values.clone()).unwrap_or_default()
        };
        metrics.push(judge(value, of(&of_run), of(&of_baseline), draws(baseline), options));
    }
    for name in &options.metrics {
        if !metrics.iter().any(|metric| metric.name == *name) {
            let known = metrics.iter().map(|metric| metric.name.clone()).collect();
            return Err(CompareError::UnknownMetric { name: name.clone(), known });
        }
    }
    let mut comparison = Comparison {
        run: run.iter().map(|record| record.name.clone()).collect(),
        baseline: baseline.iter().map(|record| record.name.clone()).collect(),
        tolerance: options.tolerance,
        metrics,
        differences,
        unchecked,
        notes: all.iter().filter_map(|record| note(record)).collect(),
        conclusion: Conclusion::NoRegression,
    };
    comparison.conclusion = conclude(&comparison, run);
    Ok(comparison)
}

/// Records side by side, without a judgement: in what they differ is what one wants to see.
///
/// # Errors
///
/// A record is given twice.
pub fn side_by_side(records: &[Record]) -> Result<SideBySide, CompareError> {
    check_distinct(&records.iter().collect::<Vec<_>>())?;
    let sides: Vec<&[Record]> = records.chunks(1).collect();
    let (differences, unchecked) = identity::differences(&sides);
    let values: Vec<Vec<Values>> = sides.iter().map(|side| values(side)).collect();
    let mut rows: Vec<Row> = Vec::new();
    for value in values.iter().flatten() {
        if !rows.iter().any(|row| row.name == value.name) {
            let of =
                |side: &Vec<Values>| side.iter().find(|v| v.name == value.name).map(|v| v.values.clone());
            let each = values.iter().map(|side| of(side).unwrap_or_default()).collect();
            rows.push(Row { name: value.name.clone(), better: value.better, values: each });
        }
    }
    Ok(SideBySide {
        names: records.iter().map(|record| record.name.clone()).collect(),
        verdicts: records.iter().map(|record| record.summary.verdict).collect(),
        rows,
        differences,
        unchecked,
        notes: records.iter().filter_map(note).collect(),
    })
}

/// Records side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct SideBySide {
    /// Their names.
    pub names: Vec<String>,
    /// Their verdicts.
    pub verdicts: Vec<Verdict>,
    /// Every metric that one of them has, the headline first.
    pub rows: Vec<Row>,
    /// In what they differ.
    pub differences: Vec<Difference>,
    /// What one of them does not tell.
    pub unchecked: Vec<String>,
    /// What else is to be known of them, in words.
    pub notes: Vec<String>,
}

/// A metric of every record.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Which way is better, and so its unit.
    pub better: Better,
    /// The values of each record: none, one of a run, one a repetition of a failover.
    pub values: Vec<Vec<f64>>,
}

fn check_distinct(records: &[&Record]) -> Result<(), CompareError> {
    for (i, record) in records.iter().enumerate() {
        let run_id = &record.summary.run_id;
        if let Some(first) = records[..i].iter().find(|other| other.summary.run_id == *run_id) {
            let (first, second) = (first.name.clone(), record.name.clone());
            return Err(CompareError::Twice { first, second, run_id: run_id.clone() });
        }
    }
    Ok(())
}

/// The values of a metric on one side.
struct Values {
    name: String,
    better: Better,
    values: Vec<f64>,
    /// What no difference is finer than.
    resolution: f64,
    is_judged: bool,
}

/// Of all records of a side, the headline first.
fn values(records: &[Record]) -> Vec<Values> {
    let mut all: Vec<Values> = Vec::new();
    let mut add = |name: String, better, values: Vec<f64>, resolution, is_judged| match all
        .iter_mut()
        .find(|other| other.name == name)
    {
        Some(known) => known.values.extend(values),
        None => all.push(Values { name, better, values, resolution, is_judged }),
    };
    for record in records {
        let summary = &record.summary;
        if let Some(failover) = &summary.failover {
            for metric in metrics(failover) {
                let is_judged = is_judged(&metric);
                let period = if is_judged { failover.probe_period_ns } else { failover.poll_period_ns };
                // Of two bounds the upper one: it is what gates read.
                let ended = |i: usize| !metric.high.censored_at.iter().any(|at| *at as usize == i);
                let times = metric.high.values.iter().enumerate();
                let times = times.map(|(i, ns)| if ended(i) { *ns as f64 } else { f64::INFINITY });
                add(metric.name, Better::Lower, times.collect(), period as f64, is_judged);
            }
        } else if unusable(summary).is_none() {
            for (key, op) in &summary.ops {
                for statistic in ["p50", "p99"] {
                    let quantiles = &op.response_ns;
                    if let Some(ns) = quantiles.get(statistic) {
                        let value =
                            if quantiles.is_lower_bound(statistic) { f64::INFINITY } else { ns as f64 };
                        add(format!("{key}.response.{statistic}"), Better::Lower, vec![value], 0.0, true);
                    }
                }
                add(format!("{key}.rate"), Better::Higher, vec![op.rate], 0.0, true);
            }
        }
    }
    all
}

/// How many values a metric has of these records that each draw tells: a repetition of a failover, or a run.
fn draws(records: &[Record]) -> usize {
    let of = |summary: &Summary| match &summary.failover {
        Some(failover) => failover.valid as usize,
        None => usize::from(unusable(summary).is_none()),
    };
    records.iter().map(|record| of(&record.summary)).sum()
}

/// Why the numbers of a run say nothing of the server.
fn unusable(summary: &Summary) -> Option<&'static str> {
    if !summary.complete {
        Some("it was not run to its end, and counts for nothing")
    } else if summary.failover.is_none() && summary.generator.verdict == GeneratorVerdict::Limited {
        Some("the load generator was the limit, and it counts for nothing")
    } else {
        None
    }
}

fn note(record: &Record) -> Option<String> {
    let summary = &record.summary;
    let verdict = (summary.verdict != Verdict::Pass).then(|| {
        let why = if summary.reasons.is_empty() {
            String::new()
        } else {
            format!(": {}", summary.reasons.join("; "))
        };
        format!("its verdict is {}{why}", crate::report::verdict(summary.verdict))
    });
    let told: Vec<String> = unusable(summary).map(str::to_owned).into_iter().chain(verdict).collect();
    (!told.is_empty()).then(|| format!("{}: {}", record.name, told.join("; ")))
}

/// Judges a metric, of which the baseline could have as many values as it has draws.
fn judge(
    of: &Values,
    run: Vec<f64>,
    baseline: Vec<f64>,
    draws: usize,
    options: &Options,
) -> MetricComparison {
    let shift = shift(&run, &baseline);
    let allowed = median(&baseline).map_or(0.0, |median| median * options.tolerance).max(of.resolution);
    let is_judged =
        if options.metrics.is_empty() { of.is_judged } else { options.metrics.contains(&of.name) };
    // As if lower were better.
    let worse = shift.interval.map(|interval| match of.better {
        Better::Lower => (interval.low, interval.high),
        Better::Higher => (-interval.high, -interval.low),
    });
    let finding = match worse {
        _ if !is_judged => Finding::Shown,
        // What the baseline never had cannot have become worse, and what it has now and then only, as ephemeral nodes that
        // happen to be due in an outage, would leave every comparison undecided.
        None if (baseline.is_empty() || baseline.len() < draws) && options.metrics.is_empty() => {
            Finding::Shown
        }
        None => Finding::NotEnough,
        Some((low, _)) if low > allowed => Finding::Regression,
        Some((_, high)) if high < -allowed => Finding::Improvement,
        Some((_, high)) if high <= allowed => Finding::Held,
        Some(_) => Finding::Open,
    };
    MetricComparison { name: of.name.clone(), better: of.better, run, baseline, shift, allowed, finding }
}

fn conclude(comparison: &Comparison, run: &[Record]) -> Conclusion {
    let judged: BTreeSet<bool> = comparison
        .metrics
        .iter()
        .filter(|metric| metric.finding != Finding::Shown)
        .map(|metric| metric.finding == Finding::NotEnough)
        .collect();
    if run.iter().any(|record| record.summary.verdict == Verdict::Unsafe) {
        Conclusion::Unsafe
    } else if judged.is_empty() || judged.contains(&true) {
        // Nothing that was looked at is no pass.
        Conclusion::NotEnough
    } else if comparison.found(Finding::Regression) > 0 {
        Conclusion::Regression
    } else {
        Conclusion::NoRegression
    }
}

#[cfg(test)]
mod tests;
