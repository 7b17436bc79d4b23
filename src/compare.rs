//! `quorumeter compare`

use std::path::{Path, PathBuf};

use quorumeter_record::{EVENTS_FILE, ReadError, RecordReader, read_summary};
use quorumeter_results::analyse;
use quorumeter_results::comparison::{Conclusion, Options, Record, compare, side_by_side};
use quorumeter_results::report::{ComparisonFormat, Inconclusive, render_comparison, render_side_by_side};

use crate::ci::{self, InconclusiveArg};
use crate::{EXIT_ENVIRONMENT, diagnose};

/// Show records side by side, or judge them against a baseline: is a metric worse by more than is tolerated, and is that
/// more than chance?
///
/// Of a failover record each repetition is a value. Of other records each is one value, so that it takes several: 4 against
/// 4 are the least. Exit codes: 0 no regression, 2 regression, 3 a record is unsafe, 4 not enough runs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Records: their folders, folders with run.json and summary.json alone, or summary.json files.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Judge the records against these, which are given in the same way.
    #[arg(long, value_name = "BASELINE", num_args = 1..)]
    fail_on_regression: Vec<PathBuf>,
    /// By how much a metric may be worse: a share of the baseline's median.
    #[arg(long, value_name = "PERCENT", default_value = "10%", value_parser = share, requires = "fail_on_regression")]
    tolerance: f64,
    /// Judge this metric alone, as in ack_gap_any or app.read.response.p99; repeatable.
    #[arg(long, value_name = "METRIC", requires = "fail_on_regression")]
    metric: Vec<String>,
    /// Compare records of different measurements all the same; what they differ in is in the report.
    #[arg(long, requires = "fail_on_regression")]
    allow_differences: bool,
    /// Print JSON.
    #[arg(long, group = "form")]
    json: bool,
    /// Print in this form.
    #[arg(long, group = "form", value_name = "NAME", value_enum)]
    format: Option<Form>,
    #[command(flatten)]
    inconclusive: InconclusiveArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For a terminal.
    Text,
    /// For machines.
    Json,
    /// For a pull request, or the summary of a CI step.
    Markdown,
}

fn share(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').map(str::trim).and_then(|number| number.parse::<f64>().ok());
    match percent.filter(|percent| (0.0..=1000.0).contains(percent)) {
        Some(percent) => Ok(percent / 100.0),
        None => Err("write a share from 0% to 1000%, as in 10%".to_owned()),
    }
}

pub(crate) fn run(args: &Args) -> u8 {
    match try_run(args) {
        Ok(code) | Err(code) => code,
    }
}

fn try_run(args: &Args) -> Result<u8, u8> {
    let format = match (args.json, args.format) {
        (true, _) | (_, Some(Form::Json)) => ComparisonFormat::Json,
        (_, Some(Form::Markdown)) => ComparisonFormat::Markdown,
        _ => ComparisonFormat::Text,
    };
    let runs = read(&args.runs)?;
    if args.fail_on_regression.is_empty() {
        let records = side_by_side(&runs).map_err(|error| diagnose::usage(&error.to_string()))?;
        return printed(&render_side_by_side(&records, format), 0);
    }
    let options = Options {
        tolerance: args.tolerance,
        metrics: args.metric.clone(),
        allow_differences: args.allow_differences,
    };
    let comparison = compare(&runs, &read(&args.fail_on_regression)?, &options)
        .map_err(|error| diagnose::usage(&error.to_string()))?;
    let is_warned = args.inconclusive.chosen() == Inconclusive::Warn;
    let conclusion = if is_warned { comparison.without_the_undecided() } else { comparison.conclusion };
    let code = printed(&render_comparison(&comparison, format), conclusion.exit_code())?;
    if is_warned && comparison.conclusion == Conclusion::NotEnough {
        ci::warn(code);
    }
    Ok(code)
}

fn printed(text: &str, code: u8) -> Result<u8, u8> {
    if diagnose::print(text) { Ok(code) } else { Err(EXIT_ENVIRONMENT) }
}

fn read(paths: &[PathBuf]) -> Result<Vec<Record>, u8> {
    paths.iter().map(|path| record(path).map_err(|error| diagnose::fail(&error, crate::EXIT_USAGE))).collect()
}

/// A whole record is judged anew; of one that was kept as a baseline the summary is what there is.
fn record(path: &Path) -> Result<Record, ReadError> {
    let name = path.display().to_string();
    if path.is_file() {
        return Ok(Record { name, manifest: None, summary: read_summary(path)? });
    }
    let reader = RecordReader::open(path)?;
    let manifest = Some(reader.manifest().clone());
    let kept = if path.join(EVENTS_FILE).exists() { None } else { reader.summary()? };
    let summary = match kept {
        Some(summary) => summary,
        None => analyse(&reader)?.summary,
    };
    Ok(Record { name, manifest, summary })
}
