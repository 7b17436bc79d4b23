//! `quorumeter report`

use std::path::PathBuf;

use quorumeter_record::RecordReader;
use quorumeter_results::analyse;
use quorumeter_results::report::{Format, render};

use crate::{EXIT_ENVIRONMENT, EXIT_USAGE, diagnose};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The record's folder.
    run: PathBuf,
    #[command(flatten)]
    format: FormatArgs,
}

/// The form of a report.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct FormatArgs {
    /// Print the summary as JSON.
    #[arg(long, group = "format")]
    json: bool,
    /// Print a line per op, comma-separated.
    #[arg(long, group = "format")]
    csv: bool,
    /// Print Markdown, for a pull request or a CI summary.
    #[arg(long, group = "format")]
    markdown: bool,
}

impl FormatArgs {
    pub(crate) fn chosen(self) -> Format {
        match self {
            FormatArgs { json: true, .. } => Format::Json,
            FormatArgs { csv: true, .. } => Format::Csv,
            FormatArgs { markdown: true, .. } => Format::Markdown,
            _ => Format::Text,
        }
    }
}

/// Computes everything anew from the record. The exit code is that of the verdict, as it was for the run.
pub(crate) fn run(args: &Args) -> u8 {
    let analysis = match RecordReader::open(&args.run).and_then(|record| analyse(&record)) {
        Ok(analysis) => analysis,
        Err(error) => return diagnose::fail(&error, EXIT_USAGE),
    };
    if !diagnose::print(&render(&analysis, args.format.chosen())) {
        return EXIT_ENVIRONMENT;
    }
    analysis.summary.verdict.exit_code()
}
