//! Reports, one file per format. All show the same analysis; none computes anything.

mod calibration;
mod checks;
mod comparison;
mod csv;
mod drawing;
pub(crate) mod failover;
mod github;
mod junit;
mod lives;
mod markdown;
mod spark;
mod table;
mod text;
mod trackers;
mod wording;

use std::str::FromStr;

use crate::Analysis;

pub use calibration::render_calibration;
pub use checks::Inconclusive;
pub use comparison::{ComparisonFormat, render_comparison, render_side_by_side};
pub use csv::render_csv;
pub use github::{STEP_SUMMARY_BYTES, render_annotations, render_step_summary};
pub use junit::render_junit;
pub use markdown::render_markdown;
pub use text::{render_text, render_text_in};
pub use trackers::{render_action_benchmark, render_bencher};
pub(crate) use wording::verdict;

/// A form in which an analysis can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For a terminal, up to 100 columns where names allow it, without colour.
    Text,
    /// The summary as it stands in `summary.json`.
    Json,
    /// A row per op, with units in the column names.
    Csv,
    /// For a pull request, or the summary of a CI step.
    Markdown,
    /// A suite of JUnit XML with a case per gate and check.
    Junit,
    /// Markdown within the limits of a step's summary on GitHub.
    Github,
    /// Annotations on GitHub, as commands to its runner.
    Annotations,
    /// Bencher's metric format.
    Bencher,
    /// JSON for github-action-benchmark's `customSmallerIsBetter`.
    Gab,
}

/// The name is that of no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` is no report format; there are text, json, csv, markdown, junit, github, annotations, bencher and gab"
)]
pub struct UnknownFormat {
    /// The name.
    pub name: String,
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 9] = [
        Format::Text,
        Format::Json,
        Format::Csv,
        Format::Markdown,
        Format::Junit,
        Format::Github,
        Format::Annotations,
        Format::Bencher,
        Format::Gab,
    ];

    /// Its name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Text => "text",
            Format::Json => "json",
            Format::Csv => "csv",
            Format::Markdown => "markdown",
            Format::Junit => "junit",
            Format::Github => "github",
            Format::Annotations => "annotations",
            Format::Bencher => "bencher",
            Format::Gab => "gab",
        }
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Format, UnknownFormat> {
        let unknown = || UnknownFormat { name: name.to_owned() };
        Format::ALL.into_iter().find(|format| format.name() == name).ok_or_else(unknown)
    }
}

/// Writes an analysis in one format, with a line end at its end. Of [`Format::Annotations`] there may be none.
pub fn render(analysis: &Analysis, format: Format) -> String {
    match format {
        Format::Text => render_text(analysis),
        Format::Json => render_json(analysis),
        Format::Csv => render_csv(analysis),
        Format::Markdown => render_markdown(analysis),
        Format::Junit => render_junit(&[analysis], Inconclusive::Fail),
        Format::Github => render_step_summary(&[analysis], STEP_SUMMARY_BYTES),
        Format::Annotations => render_annotations(&[analysis], Inconclusive::Fail),
        Format::Bencher => render_bencher(&[analysis]),
        Format::Gab => render_action_benchmark(&[analysis]),
    }
}

/// The summary, pretty printed: what stands in `summary.json`.
pub fn render_json(analysis: &Analysis) -> String {
    let mut json = serde_json::to_string_pretty(&analysis.summary)
        .expect("a summary has string keys only, and serialises");
    json.push('\n');
    json
}

#[cfg(test)]
mod tests;
