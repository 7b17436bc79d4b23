//! Reports, one file per format. All show the same analysis; none computes anything.

mod calibration;
mod csv;
mod lives;
mod markdown;
mod spark;
mod table;
mod text;
mod wording;

use std::str::FromStr;

use crate::Analysis;

pub use calibration::render_calibration;
pub use csv::render_csv;
pub use markdown::render_markdown;
pub use text::render_text;

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
}

/// The name is that of no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no report format; there are text, json, csv and markdown")]
pub struct UnknownFormat {
    /// The name.
    pub name: String,
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 4] = [Format::Text, Format::Json, Format::Csv, Format::Markdown];

    /// Its name: `text`, `json`, `csv` or `markdown`.
    pub fn name(self) -> &'static str {
        match self {
            Format::Text => "text",
            Format::Json => "json",
            Format::Csv => "csv",
            Format::Markdown => "markdown",
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

/// Writes an analysis in one format, with a line end at its end.
pub fn render(analysis: &Analysis, format: Format) -> String {
    match format {
        Format::Text => render_text(analysis),
        Format::Json => render_json(analysis),
        Format::Csv => render_csv(analysis),
        Format::Markdown => render_markdown(analysis),
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
