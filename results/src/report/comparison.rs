//! Comparisons, for people and machines.

use std::fmt::Write;

use serde_json::{Value, json};

use super::markdown::escape;
use super::table::{paragraph, table};
use super::wording;
use crate::comparison::{
    Better, Comparison, Conclusion, Difference, Finding, MetricComparison, SideBySide, median,
};
use crate::figures::{UNTOLD, count, counted, decimal, duration, percent, rate};

/// Where the text beside a label begins.
const INDENT: usize = 14;

/// A form in which a comparison can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComparisonFormat {
    /// For a terminal.
    Text,
    /// For a pull request, or the summary of a CI step.
    Markdown,
    /// For machines: times in nanoseconds, rates per second.
    Json,
}

/// Writes a comparison with a baseline, with a line end at its end.
pub fn render_comparison(comparison: &Comparison, format: ComparisonFormat) -> String {
    match format {
        ComparisonFormat::Text => text(comparison),
        ComparisonFormat::Markdown => markdown(comparison),
        ComparisonFormat::Json => format!("{:#}\n", json(comparison)),
    }
}

/// Writes records side by side, with a line end at its end.
pub fn render_side_by_side(records: &SideBySide, format: ComparisonFormat) -> String {
    match format {
        ComparisonFormat::Text => {
            let mut out = String::new();
            for (letter, told) in legend(records) {
                out.push_str(&paragraph(&letter, 4, &told));
            }
            out.push('\n');
            out.push_str(&table(&side_header(records), 1, side_rows(records)));
            out.push_str(&paragraph("", 0, SIDE_BY_SIDE));
            out.push_str(&remarks(&records.differences, &records.unchecked, &records.notes));
            out
        }
        ComparisonFormat::Markdown => {
            let mut out = String::from("### Records side by side\n\n");
            for (letter, told) in legend(records) {
                let _ = writeln!(out, "- {letter}: {}", escape(&told));
            }
            out.push('\n');
            out.push_str(&markdown_table(&side_header(records), &side_rows(records)));
            let _ = writeln!(out, "\n{}\n", escape(SIDE_BY_SIDE));
            out.push_str(&markdown_remarks(&records.differences, &records.unchecked, &records.notes));
            out
        }
        ComparisonFormat::Json => {
            let told = |values: &[f64]| Value::Array(values.iter().map(|value| finite(*value)).collect());
            let metrics = records.rows.iter().map(|row| {
                let each: Vec<Value> = row.values.iter().map(|values| told(values)).collect();
                (row.name.clone(), json!({ "unit": unit(row.better), "values": each }))
            });
            let value = json!({
                "records": records.names,
                "verdicts": records.verdicts,
                "metrics": metrics.collect::<serde_json::Map<_, _>>(),
                "differences": differences(&records.differences),
                "not_checked": records.unchecked,
                "notes": records.notes,
            });
            format!("{value:#}\n")
        }
    }
}

const SIDE_BY_SIDE: &str = "of a run its value, of a failover the median of its repetitions (of an outage its upper bound), \
     with their number in brackets";

fn finding(finding: Finding) -> &'static str {
    match finding {
        Finding::Regression => "REGRESSION",
        Finding::Improvement => "better",
        Finding::Held => "held",
        Finding::Open => "open",
        Finding::NotEnough => "NOT ENOUGH",
        Finding::Shown => "not judged",
    }
}

fn conclusion(comparison: &Comparison) -> String {
    let judged = comparison.metrics.len() - comparison.found(Finding::Shown);
    let of = |finding| counted(comparison.found(finding) as u64, "metric");
    let judged_of = format!("of {} judged", count(judged as u64));
    let open = match comparison.found(Finding::Open) {
        0 => String::new(),
        _ => format!("; {} may be worse by more than that: more values would tell", of(Finding::Open)),
    };
    match comparison.conclusion {
        Conclusion::Unsafe => "UNSAFE: a promise was broken, see the notes".to_owned(),
        Conclusion::NotEnough if judged == 0 => "NOT ENOUGH RUNS: no metric could be judged".to_owned(),
        Conclusion::NotEnough => format!(
            "NOT ENOUGH RUNS for {} {judged_of}: it takes 4 values against 4 (or 3 against 5) to tell anything at 95 %{}",
            of(Finding::NotEnough),
            match comparison.found(Finding::Regression) {
                0 => String::new(),
                _ => format!("; REGRESSION of {}", of(Finding::Regression)),
            }
        ),
        Conclusion::Regression => format!("REGRESSION of {} {judged_of}{open}", of(Finding::Regression)),
        Conclusion::NoRegression => {
            format!("no regression seen in {}{open}", counted(judged as u64, "metric"))
        }
    }
}

/// What an interval means, and that many of them err more often than one.
fn meaning(comparison: &Comparison) -> String {
    let judged = comparison.metrics.len() - comparison.found(Finding::Shown);
    let alarms = if judged < MANY {
        String::new()
    } else {
        format!(
            "; of {} judged, {} are to be expected to seem worse by chance alone: --metric judges those that matter",
            counted(judged as u64, "metric"),
            decimal(judged as f64 * 0.025)
        )
    };
    format!(
        "shift = Hodges–Lehmann, by how much the runs are above the baseline, with its exact 95 % interval; a regression \
         when all of that is worse than allowed ({} of the baseline's median, and no less than the resolution){alarms}",
        percent(comparison.tolerance)
    )
}

/// Metrics from which on one of them seeming worse by chance is worth a word.
const MANY: usize = 4;

const HEADER: [&str; 7] =
    ["metric", "baseline (n)", "runs (n)", "shift", "95 % interval", "allowed", "finding"];

fn rows(comparison: &Comparison) -> Vec<Vec<String>> {
    let row = |metric: &MetricComparison| {
        let shown = |value: f64| figure(value, metric.better);
        let side = |values: &[f64]| match median(values) {
            Some(median) => format!("{} ({})", shown(median), values.len()),
            None => UNTOLD.to_owned(),
        };
        vec![
            metric.name.clone(),
            side(&metric.baseline),
            side(&metric.run),
            metric.shift.estimate.map_or(UNTOLD.to_owned(), |shift| signed(shift, metric.better)),
            metric.shift.interval.map_or("n too small".to_owned(), |interval| {
                format!("{}…{}", signed(interval.low, metric.better), signed(interval.high, metric.better))
            }),
            if metric.finding == Finding::Shown { UNTOLD.to_owned() } else { shown(metric.allowed) },
            finding(metric.finding).to_owned(),
        ]
    };
    comparison.metrics.iter().map(row).collect()
}

fn text(comparison: &Comparison) -> String {
    let mut out = paragraph("Runs", INDENT, &comparison.run.join(", "));
    out.push_str(&paragraph("Baseline", INDENT, &comparison.baseline.join(", ")));
    out.push('\n');
    out.push_str(&table(&HEADER, 1, rows(comparison)));
    out.push_str(&paragraph("", 0, &meaning(comparison)));
    out.push_str(&remarks(&comparison.differences, &comparison.unchecked, &comparison.notes));
    out.push('\n');
    out.push_str(&paragraph("Conclusion", INDENT, &conclusion(comparison)));
    out
}

fn remarks(differences: &[Difference], unchecked: &[String], notes: &[String]) -> String {
    let mut out = String::new();
    for (title, texts) in remark_lists(differences, unchecked, notes) {
        let _ = write!(out, "\n{title}\n");
        for text in texts {
            out.push_str(&paragraph("  -", 4, &text));
        }
    }
    out
}

fn markdown_remarks(differences: &[Difference], unchecked: &[String], notes: &[String]) -> String {
    let mut out = String::new();
    for (title, texts) in remark_lists(differences, unchecked, notes) {
        let _ = writeln!(out, "**{title}**\n");
        for text in texts {
            let _ = writeln!(out, "- {}", escape(&text));
        }
        out.push('\n');
    }
    out
}

fn remark_lists(
    differences: &[Difference],
    unchecked: &[String],
    notes: &[String],
) -> Vec<(&'static str, Vec<String>)> {
    let differ = |is_harmless: bool| {
        let of_kind = differences.iter().filter(move |d| d.is_harmless == is_harmless);
        of_kind.map(|d| format!("{}: {}", d.what, d.values.join(" against "))).collect::<Vec<_>>()
    };
    let unchecked = match unchecked {
        [] => Vec::new(),
        some => vec![some.join(", ")],
    };
    let lists = [
        ("They differ in what is measured", differ(false)),
        ("They differ in version or machine", differ(true)),
        ("Not checked, as a record without its run.json does not tell", unchecked),
        ("Notes", notes.to_vec()),
    ];
    lists.into_iter().filter(|(_, texts)| !texts.is_empty()).collect()
}

fn markdown(comparison: &Comparison) -> String {
    let mut out = format!("### Against the baseline: {}\n\n", escape(&conclusion(comparison)));
    let _ = writeln!(out, "- runs: {}", escape(&comparison.run.join(", ")));
    let _ = writeln!(out, "- baseline: {}\n", escape(&comparison.baseline.join(", ")));
    out.push_str(&markdown_table(&HEADER, &rows(comparison)));
    let _ = writeln!(out, "\n{}\n", escape(&meaning(comparison)));
    out.push_str(&markdown_remarks(&comparison.differences, &comparison.unchecked, &comparison.notes));
    out
}

fn markdown_table<T: AsRef<str>>(header: &[T], rows: &[Vec<String>]) -> String {
    let mut out = String::new();
    for cell in header {
        let _ = write!(out, "| {} ", escape(cell.as_ref()));
    }
    out.push_str("|\n|---|");
    out.push_str(&"--:|".repeat(header.len() - 1));
    out.push('\n');
    for row in rows {
        for cell in row {
            let _ = write!(out, "| {} ", escape(cell));
        }
        out.push_str("|\n");
    }
    out
}

fn json(comparison: &Comparison) -> Value {
    let metric = |metric: &MetricComparison| {
        let values = |values: &[f64]| Value::Array(values.iter().map(|value| finite(*value)).collect());
        let interval = metric.shift.interval;
        let value = json!({
            "unit": unit(metric.better),
            "better": match metric.better { Better::Lower => "lower", Better::Higher => "higher" },
            "run": values(&metric.run),
            "baseline": values(&metric.baseline),
            "shift": metric.shift.estimate,
            "interval": interval.map(|interval| [finite(interval.low), finite(interval.high)]),
            "coverage": interval.map(|interval| interval.coverage),
            "allowed": finite(metric.allowed),
            "finding": match metric.finding {
                Finding::Regression => "regression",
                Finding::Improvement => "improvement",
                Finding::Held => "held",
                Finding::Open => "open",
                Finding::NotEnough => "not_enough",
                Finding::Shown => "not_judged",
            },
        });
        (metric.name.clone(), value)
    };
    json!({
        "conclusion": match comparison.conclusion {
            Conclusion::NoRegression => "no_regression",
            Conclusion::Regression => "regression",
            Conclusion::NotEnough => "not_enough",
            Conclusion::Unsafe => "unsafe",
        },
        "tolerance": comparison.tolerance,
        "run": comparison.run,
        "baseline": comparison.baseline,
        "metrics": comparison.metrics.iter().map(metric).collect::<serde_json::Map<_, _>>(),
        "differences": differences(&comparison.differences),
        "not_checked": comparison.unchecked,
        "notes": comparison.notes,
    })
}

fn differences(differences: &[Difference]) -> Vec<Value> {
    let told = |d: &Difference| json!({ "what": d.what, "values": d.values, "harmless": d.is_harmless });
    differences.iter().map(told).collect()
}

/// A number, or `null` for one without end.
fn finite(value: f64) -> Value {
    if value.is_finite() { json!(value) } else { Value::Null }
}

fn unit(better: Better) -> &'static str {
    match better {
        Better::Lower => "ns",
        Better::Higher => "per_s",
    }
}

fn figure(value: f64, better: Better) -> String {
    match better {
        _ if value.is_infinite() => "no end".to_owned(),
        Better::Lower => duration(value.round() as i64),
        Better::Higher => rate(value),
    }
}

fn signed(value: f64, better: Better) -> String {
    match value {
        f64::INFINITY => "∞".to_owned(),
        f64::NEG_INFINITY => "-∞".to_owned(),
        0.0 => "0".to_owned(),
        above if above > 0.0 => format!("+{}", figure(above, better)),
        below => figure(below, better),
    }
}

/// The records by the letters that stand for them.
fn legend(records: &SideBySide) -> Vec<(String, String)> {
    let of = |(i, name): (usize, &String)| {
        (letter(i), format!("{name}, {}", wording::verdict(records.verdicts[i])))
    };
    records.names.iter().enumerate().map(of).collect()
}

/// A, B, … Z, then numbers.
fn letter(i: usize) -> String {
    match u8::try_from(i).ok().filter(|i| *i < 26) {
        Some(i) => char::from(b'A' + i).to_string(),
        None => (i + 1).to_string(),
    }
}

fn side_header(records: &SideBySide) -> Vec<String> {
    std::iter::once("metric".to_owned()).chain((0..records.names.len()).map(letter)).collect()
}

fn side_rows(records: &SideBySide) -> Vec<Vec<String>> {
    let row = |row: &crate::comparison::Row| {
        let cells = row.values.iter().map(|values| match (median(values), values.len()) {
            (None, _) => UNTOLD.to_owned(),
            (Some(value), 1) => figure(value, row.better),
            (Some(median), n) => format!("{} ({n})", figure(median, row.better)),
        });
        std::iter::once(row.name.clone()).chain(cells).collect()
    };
    records.rows.iter().map(row).collect()
}
