//! `quorumeter report`

use std::path::PathBuf;

use quorumeter_record::RecordReader;
use quorumeter_results::report::{
    Format, Inconclusive, render, render_annotations, render_junit, render_text_in,
};
use quorumeter_results::{Analysis, analyse};

use crate::ci::CiArgs;
use crate::{EXIT_ENVIRONMENT, EXIT_USAGE, diagnose};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The record's folder.
    run: PathBuf,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    ci: CiArgs,
}

/// Columns of drawn timelines where the terminal does not tell.
const COLUMNS: usize = 100;

/// The form of a report.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct FormatArgs {
    /// Print the summary as JSON.
    #[arg(long, group = "form")]
    json: bool,
    /// Print a line per op, comma-separated.
    #[arg(long, group = "form")]
    csv: bool,
    /// Print Markdown, for a pull request or a CI summary.
    #[arg(long, group = "form")]
    markdown: bool,
    /// Print in this form: text, json, csv, markdown, junit, github (a step's summary), annotations (GitHub's), bencher
    /// or gab (github-action-benchmark).
    #[arg(long, group = "form", value_name = "NAME")]
    format: Option<Format>,
}

impl FormatArgs {
    pub(crate) fn chosen(self) -> Format {
        match self {
            FormatArgs { json: true, .. } => Format::Json,
            FormatArgs { csv: true, .. } => Format::Csv,
            FormatArgs { markdown: true, .. } => Format::Markdown,
            FormatArgs { format, .. } => format.unwrap_or(Format::Text),
        }
    }
}

/// A report in the form chosen, drawn as wide as COLUMNS says.
pub(crate) fn rendered(analysis: &Analysis, format: Format, inconclusive: Inconclusive) -> String {
    match format {
        Format::Text => render_text_in(analysis, columns()),
        Format::Junit => render_junit(&[analysis], inconclusive),
        Format::Annotations => render_annotations(&[analysis], inconclusive),
        format => render(analysis, format),
    }
}

fn columns() -> usize {
    let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    told.unwrap_or(COLUMNS).clamp(60, 400)
}

/// Computes everything anew from the record. The exit code is that of the verdict, as it was for the run.
pub(crate) fn run(args: &Args) -> u8 {
    let analysis = match RecordReader::open(&args.run).and_then(|record| analyse(&record)) {
        Ok(analysis) => analysis,
        Err(error) => return diagnose::fail(&error, EXIT_USAGE),
    };
    if !diagnose::print(&rendered(&analysis, args.format.chosen(), args.ci.inconclusive())) {
        return EXIT_ENVIRONMENT;
    }
    args.ci.finish(&[&analysis])
}
