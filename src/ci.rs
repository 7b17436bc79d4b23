//! What a pipeline wants besides the report: files for its tools, annotations, and how to take what cannot be concluded.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use quorumeter_record::Verdict;
use quorumeter_results::Analysis;
use quorumeter_results::report::{
    Inconclusive, STEP_SUMMARY_BYTES, render_action_benchmark, render_annotations, render_bencher,
    render_junit, render_step_summary,
};

use crate::EXIT_ENVIRONMENT;
use crate::diagnose::say;

/// The file into which a step on GitHub writes its summary.
const STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// For continuous integration.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Continuous integration")]
pub(crate) struct CiArgs {
    /// Write JUnit XML to this file: a case per gate and per check.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Add the report to the summary of the step on GitHub (the file that GITHUB_STEP_SUMMARY names), and write what does
    /// not hold as annotations to standard error.
    #[arg(long)]
    github: bool,
    /// Write times and rates to this file in Bencher's metric format.
    #[arg(long, value_name = "FILE")]
    bencher: Option<PathBuf>,
    /// Write times to this file for github-action-benchmark (customSmallerIsBetter).
    #[arg(long, value_name = "FILE")]
    gab: Option<PathBuf>,
    #[command(flatten)]
    inconclusive: InconclusiveArg,
}

/// How to take what cannot be concluded.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct InconclusiveArg {
    /// What becomes of a result that concludes nothing: exit code 4, or a warning and exit code 0.
    #[arg(long = "inconclusive", value_name = "HOW", value_enum, default_value_t)]
    how: How,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum How {
    /// Exit code 4.
    #[default]
    Fail,
    /// Exit code 0.
    Warn,
}

impl InconclusiveArg {
    pub(crate) fn chosen(self) -> Inconclusive {
        match self.how {
            How::Fail => Inconclusive::Fail,
            How::Warn => Inconclusive::Warn,
        }
    }
}

/// A file that a pipeline asked for could not be written.
#[derive(Debug)]
pub(crate) struct CiError {
    path: PathBuf,
    source: io::Error,
}

impl std::fmt::Display for CiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hint = match self.source.kind() {
            io::ErrorKind::NotFound => "; make its folder first",
            _ => "",
        };
        write!(f, "cannot write {}: {}{hint}", self.path.display(), self.source)
    }
}

impl std::error::Error for CiError {}

impl CiArgs {
    /// How to take what cannot be concluded.
    pub(crate) fn inconclusive(&self) -> Inconclusive {
        self.inconclusive.chosen()
    }

    /// Writes everything that was asked for, of several records together.
    ///
    /// # Errors
    ///
    /// The first file that could not be written; the others are written all the same.
    pub(crate) fn write(&self, records: &[&Analysis]) -> Result<(), CiError> {
        let mut failed = None;
        let mut keep = |result: Result<(), CiError>| {
            if let Err(error) = result {
                failed.get_or_insert(error);
            }
        };
        if let Some(path) = &self.junit {
            keep(write_file(path, &render_junit(records, self.inconclusive())));
        }
        if let Some(path) = &self.bencher {
            keep(write_file(path, &render_bencher(records)));
        }
        if let Some(path) = &self.gab {
            keep(write_file(path, &render_action_benchmark(records)));
        }
        if self.github {
            // The runner reads commands from both streams; standard output is the report's alone.
            say(render_annotations(records, self.inconclusive()).trim_end_matches('\n'));
            match std::env::var_os(STEP_SUMMARY).filter(|path| !path.is_empty()) {
                Some(path) => keep(add_to_summary(Path::new(&path), records)),
                None => say(&format!(
                    "{STEP_SUMMARY} is not set: there is no step whose summary could have the report"
                )),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Writes everything that was asked for, and returns the exit code: the gravest of the records' verdicts, or that of
    /// the environment where a file could not be written and nothing is graver. Comes after the report.
    pub(crate) fn finish(&self, records: &[&Analysis]) -> u8 {
        let written = self.write(records);
        let taken = records.iter().map(|analysis| self.inconclusive().verdict(analysis));
        let mut verdict = taken.fold(Verdict::Pass, Verdict::or_graver);
        if let Err(error) = written {
            crate::diagnose::fail(&error, EXIT_ENVIRONMENT);
            verdict = verdict.or_graver(Verdict::Error);
        }
        let is_warned = self.inconclusive() == Inconclusive::Warn
            && records.iter().any(|analysis| analysis.summary.verdict == Verdict::Inconclusive);
        if is_warned {
            warn(verdict.exit_code());
        }
        verdict.exit_code()
    }
}

/// Says that nothing was concluded, and what the exit code is all the same.
pub(crate) fn warn(code: u8) {
    say(&format!("warning: the result is inconclusive; with --inconclusive warn the exit code is {code}"));
}

fn write_file(path: &Path, content: &str) -> Result<(), CiError> {
    fs::write(path, content).map_err(|source| CiError { path: path.to_owned(), source })
}

/// What of a step's summary is left to others that write after this, bytes.
const LEFT_TO_OTHERS: usize = 64 * 1024;

/// Adds to what the step has written so far; the limit is of all of it.
fn add_to_summary(path: &Path, records: &[&Analysis]) -> Result<(), CiError> {
    let add = || {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        let taken = file.metadata()?.len() as usize + LEFT_TO_OTHERS;
        let room = STEP_SUMMARY_BYTES.saturating_sub(taken);
        file.write_all(render_step_summary(records, room).as_bytes())
    };
    add().map_err(|source| CiError { path: path.to_owned(), source })
}
