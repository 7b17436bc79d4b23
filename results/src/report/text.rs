//! The report for a terminal.

use std::fmt::Write;

use quorumeter_record::{FailoverSummary, GateOutcome, LoopKind, OpSummary, Quantiles, Summary, stage};

use super::failover;
use super::spark::{Fold, spark};
use super::table::{WIDTH, paragraph, table};
use super::wording::{self, Fact};
use crate::figures::{count, counted, decimal, duration, rate, statistic};
use crate::warnings::shown_name;
use crate::{Analysis, Point};

/// Statistics of the latency table.
const STATISTICS: [&str; 5] = ["p50", "p90", "p99", "p999", "max"];
/// Columns of a spark line at most.
const SPARK_COLUMNS: usize = 60;
/// Where the text beside a label begins.
const INDENT: usize = 14;

/// The report as text of at most 100 columns where names and numbers allow it, without colour.
pub fn render_text(analysis: &Analysis) -> String {
    render_text_in(analysis, WIDTH)
}

/// The same, in which drawn timelines have up to so many columns.
pub fn render_text_in(analysis: &Analysis, columns: usize) -> String {
    match &analysis.summary.failover {
        Some(summary) => failover_text(analysis, summary, columns),
        None => run_text(analysis),
    }
}

fn run_text(analysis: &Analysis) -> String {
    let summary = &analysis.summary;
    let mut out = String::new();
    limited(&mut out, summary);
    facts(&mut out, &wording::setting(analysis));
    out.push('\n');
    out.push_str(&op_table(analysis));
    out.push_str(&paragraph("", 0, wording::RATE));
    out.push('\n');
    out.push_str(&latency_table(analysis, &LATENCIES));
    out.push_str(&paragraph(
        "",
        0,
        "response = done − intended, service = done − sent, wait = sent − intended; ≥ is a lower bound (ops given up \
         or shed), - has fewer than 10 samples beyond it",
    ));
    if !analysis.series.is_empty() {
        out.push('\n');
        series(&mut out, &analysis.series);
    }
    out.push('\n');
    facts(&mut out, &wording::findings(analysis));
    conclusions(&mut out, summary);
    out
}

/// Of a failover measurement its own numbers come first, and what its ops went through over all of it is told shortly.
fn failover_text(analysis: &Analysis, failover: &FailoverSummary, columns: usize) -> String {
    let mut out = String::new();
    facts(&mut out, &failover::setting(failover));
    facts(&mut out, &wording::setting(analysis));
    out.push('\n');
    out.push_str(&failover::section(analysis, failover, columns));
    out.push_str("\nAll ops over the whole measurement, the faults included\n\n");
    limited(&mut out, &analysis.summary);
    out.push_str(&op_table(analysis));
    out.push('\n');
    out.push_str(&latency_table(analysis, &LATENCIES[..1]));
    out.push('\n');
    facts(&mut out, &wording::books(&analysis.summary));
    conclusions(&mut out, &analysis.summary);
    out
}

fn limited(out: &mut String, summary: &Summary) {
    if let Some(limited) = wording::limited(summary) {
        out.push_str(&paragraph("", 0, &limited));
        out.push('\n');
    }
}

fn conclusions(out: &mut String, summary: &Summary) {
    gates(out, summary);
    warnings(out, summary);
    out.push('\n');
    verdict(out, summary);
}

/// A label is not repeated under itself.
fn facts(out: &mut String, facts: &[Fact]) {
    let mut last = "";
    for (label, text) in facts {
        out.push_str(&paragraph(if *label == last { "" } else { label }, INDENT, text));
        if !label.is_empty() {
            last = label;
        }
    }
}

/// Ops in the order of the workload, then those that it does not announce.
pub(super) fn ops_in_order(analysis: &Analysis) -> Vec<(&String, &OpSummary)> {
    let place = |key: &str| {
        let announced = analysis.manifest.streams.iter().flat_map(|s| s.ops.iter().map(move |op| (s, op)));
        announced.into_iter().position(|(s, op)| {
            key.split_once('.').is_some_and(|(stream, name)| s.name == stream && op.op == name)
        })
    };
    // A stage that never came, as TLS on a plain connection, is no news.
    let is_shown = |(key, op): &(&String, &OpSummary)| !is_stage(key) || op.response_ns.count > 0;
    let mut ops: Vec<_> = analysis.summary.ops.iter().filter(is_shown).collect();
    ops.sort_by_key(|(key, _)| place(key).unwrap_or(usize::MAX));
    ops
}

fn is_observed(key: &str) -> bool {
    key.split_once('.').is_some_and(|(_, op)| stage::is_observed(op))
}

/// Whether a row is of a stage of sessions' lives.
pub(super) fn is_stage(key: &str) -> bool {
    key.split_once('.').is_some_and(|(_, op)| stage::is_of_sessions(op))
}

/// The op's name, with the loop's kind where the latencies would be taken for something else.
pub(super) fn op_label(summary: &Summary, key: &str) -> String {
    let stream = key.split_once('.').and_then(|(stream, _)| summary.streams.get(stream));
    match stream.map(|s| s.loop_kind) {
        Some(LoopKind::Closed) if !is_stage(key) => format!("{key} (closed loop)"),
        _ => key.to_owned(),
    }
}

fn op_table(analysis: &Analysis) -> String {
    let mut rows = Vec::new();
    let mut total = (0, 0.0, [0; 5]);
    for (key, op) in ops_in_order(analysis) {
        let counts = [op.ok, wording::failed_ops(op), op.unknown, op.shed, op.late];
        let mut row = vec![op_label(&analysis.summary, key), op.consistency.clone(), decimal(op.rate)];
        row.extend(counts.map(count));
        rows.push(row);
        if !is_observed(key) {
            total.0 += 1;
            total.1 += op.rate;
            for (sum, n) in total.2.iter_mut().zip(counts) {
                *sum += n;
            }
        }
    }
    if total.0 > 1 {
        let mut row = vec!["total".to_owned(), String::new(), decimal(total.1)];
        row.extend(total.2.map(count));
        rows.push(row);
    }
    table(&["op", "consistency", "rate/s", "ok", "failed", "unknown", "shed", "late"], 2, rows)
}

/// A distribution of times of an op.
type Latency = (&'static str, fn(&OpSummary) -> &Quantiles);

/// Those that the latency table has.
const LATENCIES: [Latency; 3] = [
    ("response, all ops", |op| &op.response_ns),
    ("service, ok ops", |op| &op.service_ns),
    ("wait, ok ops", |op| &op.wait_ns),
];
/// A stage waits for nothing, so all there is to tell is how long it took.
const STAGE: [Latency; 1] = [("stage", |op| &op.response_ns)];

fn latency_table(analysis: &Analysis, latencies: &[Latency]) -> String {
    let mut rows = Vec::new();
    for (key, op) in ops_in_order(analysis) {
        let mut label = op_label(&analysis.summary, key);
        for (of, quantiles) in if is_stage(key) { &STAGE } else { latencies } {
            let mut row = vec![std::mem::take(&mut label), (*of).to_owned()];
            row.extend(STATISTICS.map(|name| statistic(quantiles(op), name)));
            rows.push(row);
        }
    }
    let mut header = vec!["op", "time"];
    header.extend(STATISTICS.map(shown_name));
    table(&header, 2, rows)
}

/// Throughput and the tail over time. Where most intervals have too few ops for a p99, the longest is shown.
fn series(out: &mut String, points: &[Point]) {
    let rates: Vec<Option<f64>> = points.iter().map(|p| Some(p.rate)).collect();
    let told = points.iter().filter(|p| p.response_ns.p99.is_some()).count();
    let (name, statistic) = if told * 2 >= points.len() { ("p99", "p99") } else { ("longest", "max") };
    let tail: Vec<Option<i64>> = points.iter().map(|p| p.response_ns.get(statistic)).collect();
    let columns = points.len().min(SPARK_COLUMNS);
    let shared = if points.len() > columns { ", several to a column" } else { "" };
    let _ = writeln!(out, "Over time     {}{shared}", counted(points.len() as u64, "interval"));
    let (low, high) =
        points.iter().fold((f64::MAX, 0.0), |(low, high), p| (p.rate.min(low), p.rate.max(high)));
    let line = spark(&rates, SPARK_COLUMNS, Fold::Mean);
    let _ = writeln!(out, "  throughput  {line}  {} to {}", rate(low), rate(high));
    if let (Some(low), Some(high)) = (tail.iter().flatten().min(), tail.iter().flatten().max()) {
        let values: Vec<Option<f64>> = tail.iter().map(|ns| ns.map(|ns| ns as f64)).collect();
        let line = spark(&values, SPARK_COLUMNS, Fold::Max);
        // Any interval's bound may be of a value beyond the highest; the lowest is one if no known value is as low.
        let is_bound = |p: &&Point| p.response_ns.is_lower_bound(statistic);
        let low_is_bound =
            points.iter().filter(|p| p.response_ns.get(statistic) == Some(*low)).all(|p| is_bound(&p));
        let mark = |is_bound: bool| if is_bound { "≥" } else { "" };
        let _ = writeln!(
            out,
            "  {name:<11} {line}  {}{} to {}{}",
            mark(low_is_bound),
            duration(*low),
            mark(points.iter().any(|p| is_bound(&p))),
            duration(*high)
        );
    }
}

fn gates(out: &mut String, summary: &Summary) {
    if summary.gates.is_empty() {
        return;
    }
    out.push_str("\nGates\n");
    for gate in &summary.gates {
        let outcome = wording::outcome(gate.outcome);
        let reason = if gate.outcome == GateOutcome::Passed && gate.reason.is_empty() {
            "it holds"
        } else {
            &gate.reason
        };
        out.push_str(&paragraph(&format!("  {outcome}"), INDENT + 2, &format!("{}: {reason}", gate.gate)));
    }
}

fn warnings(out: &mut String, summary: &Summary) {
    if summary.warnings.is_empty() {
        return;
    }
    out.push_str("\nWarnings\n");
    for warning in &summary.warnings {
        out.push_str(&paragraph("  -", 4, warning));
    }
}

fn verdict(out: &mut String, summary: &Summary) {
    let verdict = wording::verdict(summary.verdict);
    match summary.reasons.as_slice() {
        [] => out.push_str(&paragraph("Verdict", INDENT, verdict)),
        [reason] if reason.chars().count() + verdict.len() + INDENT + 2 <= WIDTH => {
            out.push_str(&paragraph("Verdict", INDENT, &format!("{verdict}: {reason}")));
        }
        reasons => {
            out.push_str(&paragraph("Verdict", INDENT, verdict));
            for reason in reasons {
                out.push_str(&paragraph("  -", 4, reason));
            }
        }
    }
}
