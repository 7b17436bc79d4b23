//! A report for a pull request, or for the summary of a CI step.

use std::fmt::Write;

use quorumeter_record::FailoverSummary;

use super::checks;
use super::failover::{self, Statistic};
use super::table::WIDTH;
use super::text::{op_label, ops_in_order};
use super::wording::{self, Fact};
use crate::Analysis;
use crate::figures::{count, decimal, statistic};
use crate::warnings::shown_name;

/// Statistics of the table.
const STATISTICS: [&str; 5] = ["p50", "p90", "p99", "p999", "max"];

/// The report as Markdown: the verdict, a table of the ops, gates and warnings, and the rest folded away.
pub fn render_markdown(analysis: &Analysis) -> String {
    let summary = &analysis.summary;
    let mut out = String::new();
    let verdict = wording::verdict(summary.verdict);
    // Of a failover measurement each repetition was judged by its own lateness.
    let limited = wording::limited(summary).filter(|_| summary.failover.is_none());
    let mark = if limited.is_some() { ", GENERATOR LIMITED" } else { "" };
    let _ = writeln!(out, "### {}: {verdict}{mark}\n", escape(&heading(analysis)));
    if let Some(limited) = limited {
        let _ = writeln!(out, "> **{}**\n", escape(&limited));
    }
    list(&mut out, &summary.reasons);
    let of_failover = summary.failover.as_ref().map(failover::setting).unwrap_or_default();
    list_facts(&mut out, &[of_failover, wording::setting(analysis)].concat());
    match &summary.failover {
        Some(failover) => failover_tables(&mut out, failover),
        None => op_table(&mut out, analysis),
    }
    if !summary.gates.is_empty() {
        out.push_str("| gate | outcome | measured |\n|---|---|---|\n");
        for gate in &summary.gates {
            let outcome = wording::outcome(gate.outcome);
            let _ = writeln!(
                out,
                "| `{}` | {outcome} | {} |",
                gate.gate.replace('|', "\\|"),
                escape(&gate.reason)
            );
        }
        out.push('\n');
    }
    if !summary.warnings.is_empty() {
        out.push_str("**Warnings**\n\n");
        list(&mut out, &summary.warnings);
    }
    if let Some(failover) = &summary.failover {
        let drawn = failover::timelines(analysis, failover, WIDTH);
        if !drawn.is_empty() {
            let _ =
                writeln!(out, "<details><summary>Timelines</summary>\n\n```text{drawn}```\n\n</details>\n");
        }
    }
    out.push_str("<details><summary>More</summary>\n\n");
    if summary.failover.is_some() {
        op_table(&mut out, analysis);
    }
    list_facts(&mut out, &wording::findings(analysis));
    out.push_str("</details>\n");
    out
}

fn heading(analysis: &Analysis) -> String {
    match &analysis.summary.failover {
        Some(_) => checks::title(analysis),
        None => wording::workload(&analysis.manifest).to_owned(),
    }
}

fn failover_tables(out: &mut String, failover: &FailoverSummary) {
    out.push_str("| metric | min | median | 95 % interval of the median | max | n (no end) |\n|---|--:|--:|--:|--:|--:|\n");
    for metric in failover::metrics(failover) {
        let [min, median, max] = [Statistic::Min, Statistic::Median, Statistic::Max]
            .map(|statistic| escape(&metric.shown(statistic)));
        let (interval, n) = (escape(&metric.interval()), metric.n());
        let _ = writeln!(out, "| `{}` | {min} | {median} | {interval} | {max} | {n} |", metric.name);
    }
    let counts = failover::counts(failover);
    if !counts.is_empty() {
        out.push_str("\n| count | in each repetition | total |\n|---|---|--:|\n");
    }
    for (name, counts) in counts {
        let each: Vec<String> = counts.values.iter().map(u64::to_string).collect();
        let _ = writeln!(out, "| `{name}` | {} | {} |", each.join(" "), count(counts.total));
    }
    out.push('\n');
    let told: Vec<String> =
        failover::unseen(failover).into_iter().chain(failover::invalid(failover)).collect();
    list(out, &told);
}

fn op_table(out: &mut String, analysis: &Analysis) {
    let _ = write!(out, "| op | consistency | rate/s | ok | failed | unknown | shed | late |");
    for name in STATISTICS {
        let _ = write!(out, " response {} |", shown_name(name));
    }
    let _ = write!(out, " service p99 (ok ops) |\n|---|---|");
    out.push_str(&"--:|".repeat(7 + STATISTICS.len()));
    out.push('\n');
    for (key, op) in ops_in_order(analysis) {
        let (label, consistency) = (op_label(&analysis.summary, key), &op.consistency);
        let _ = write!(out, "| {} | {} | {} |", escape(&label), escape(consistency), decimal(op.rate));
        for n in [op.ok, wording::failed_ops(op), op.unknown, op.shed, op.late] {
            let _ = write!(out, " {} |", count(n));
        }
        for name in STATISTICS {
            let _ = write!(out, " {} |", statistic(&op.response_ns, name));
        }
        let _ = writeln!(out, " {} |", statistic(&op.service_ns, "p99"));
    }
    let _ = writeln!(out, "\n{}\n", escape(wording::RATE));
}

fn list(out: &mut String, texts: &[String]) {
    for text in texts {
        let _ = writeln!(out, "- {}", escape(text));
    }
    if !texts.is_empty() {
        out.push('\n');
    }
}

fn list_facts(out: &mut String, facts: &[Fact]) {
    for (label, text) in facts {
        let _ = match *label {
            "" => writeln!(out, "  {}", escape(text)),
            label => writeln!(out, "- {label}: {}", escape(text)),
        };
    }
    if !facts.is_empty() {
        out.push('\n');
    }
}

/// Keeps text from being taken for Markdown or HTML. What stands between backticks is code, in which only the
/// end of a table's cell and of a line mean anything.
pub(super) fn escape(text: &str) -> String {
    let has_code = text.matches('`').count().is_multiple_of(2);
    let mut in_code = false;
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        in_code ^= has_code && c == '`';
        match c {
            '\n' | '\r' => escaped.push(' '),
            '|' => escaped.push_str("\\|"),
            '`' if has_code => escaped.push('`'),
            c if in_code => escaped.push(c),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' => {
                escaped.push('\\');
                escaped.push(c);
            }
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        for (text, escaped) in [
            ("a|b *c* <d> e_f\ng", "a\\|b \\*c\\* &lt;d&gt; e\\_f g"),
            ("gate `a_b < 1|2` & so on", "gate `a_b < 1\\|2` &amp; so on"),
            ("one ` alone_", "one \\` alone\\_"),
        ] {
            assert_eq!(escape(text), escaped);
        }
    }
}
