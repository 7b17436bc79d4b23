//! A row per op, for spreadsheets and scripts.

use quorumeter_record::{GeneratorVerdict, LoopKind, OpSummary, Quantiles, Verdict};

use super::text::ops_in_order;
use super::wording::failed_ops;
use crate::Analysis;

/// The ops as comma-separated values (RFC 4180), with units in the column names: durations in nanoseconds, sizes
/// in bytes, rates per second. What cannot be told is empty. `…_at_least` names the statistics that are lower
/// bounds.
pub fn render_csv(analysis: &Analysis) -> String {
    let mut out = row(header());
    for (key, op) in ops_in_order(analysis) {
        out.push_str(&row(fields(analysis, key, op)));
    }
    out
}

const DISTRIBUTIONS: [&str; 4] = ["wait", "service", "response", "ok_response"];

fn header() -> Vec<String> {
    let mut columns: Vec<String> = [
        "run_id",
        "verdict",
        "complete",
        "target",
        "stream",
        "op",
        "loop",
        "consistency",
        "generator",
        "measured_s",
        "rate_per_s",
        "ok",
        "failed",
        "unknown",
        "shed",
        "late",
        "failed_codes",
        "in_flight_at_send_mean",
        "in_flight_at_send_max",
        "value_count",
        "value_min_bytes",
        "value_mean_bytes",
        "value_max_bytes",
    ]
    .map(str::to_owned)
    .to_vec();
    for name in DISTRIBUTIONS {
        columns.push(format!("{name}_count"));
        columns.push(format!("{name}_censored"));
        columns.extend(Quantiles::NAMES.map(|statistic| format!("{name}_{statistic}_ns")));
        columns.push(format!("{name}_at_least"));
    }
    columns
}

fn fields(analysis: &Analysis, key: &str, op: &OpSummary) -> Vec<String> {
    let summary = &analysis.summary;
    let (stream, name) = key.split_once('.').unwrap_or(("", key));
    let loop_kind = summary.streams.get(stream).map_or("", |s| match s.loop_kind {
        LoopKind::Open => "open",
        LoopKind::Closed => "closed",
        LoopKind::Mixed => "mixed",
        LoopKind::Watch => "watch",
        LoopKind::Idle => "idle",
    });
    let verdict = match summary.verdict {
        Verdict::Pass => "pass",
        Verdict::GateFailed => "gate_failed",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Error => "error",
        Verdict::Unsafe => "unsafe",
    };
    let generator = match summary.generator.verdict {
        GeneratorVerdict::Ok => "ok",
        GeneratorVerdict::Limited => "limited",
    };
    let codes: Vec<String> = op.failed.iter().map(|(code, count)| format!("{code}={count}")).collect();
    let values = &op.value_bytes;
    let of_values = |n: f64| if values.count == 0 { String::new() } else { n.to_string() };
    let mut fields = vec![
        summary.run_id.clone(),
        verdict.to_owned(),
        summary.complete.to_string(),
        summary.target.clone().unwrap_or_default(),
        stream.to_owned(),
        name.to_owned(),
        loop_kind.to_owned(),
        op.consistency.clone(),
        generator.to_owned(),
        summary.measured_s.to_string(),
        op.rate.to_string(),
        op.ok.to_string(),
        failed_ops(op).to_string(),
        op.unknown.to_string(),
        op.shed.to_string(),
        op.late.to_string(),
        codes.join(" "),
        op.in_flight_at_send.mean.to_string(),
        op.in_flight_at_send.max.to_string(),
        values.count.to_string(),
        of_values(values.min as f64),
        of_values(values.sum as f64 / values.count as f64),
        of_values(values.max as f64),
    ];
    for quantiles in [&op.wait_ns, &op.service_ns, &op.response_ns, &op.ok_response_ns] {
        fields.push(quantiles.count.to_string());
        fields.push(quantiles.censored.to_string());
        fields.extend(
            Quantiles::NAMES.map(|name| quantiles.get(name).map_or(String::new(), |ns| ns.to_string())),
        );
        fields.push(quantiles.at_least.join(" "));
    }
    fields
}

fn row(fields: Vec<String>) -> String {
    let quoted = |field: String| {
        if field.contains(['"', ',', '\n', '\r']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            field
        }
    };
    fields.into_iter().map(quoted).collect::<Vec<_>>().join(",") + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn every_row_has_every_column() {
        let csv = render_csv(&fixture::analysis());
        let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!(lines.len(), 1 + 3);
        assert!(lines.iter().all(|line| line.len() == 23 + 4 * 12), "{csv}");
        let column = |name: &str| lines[0].iter().position(|column| *column == name).unwrap();
        let read = &lines[1];
        for (name, value) in [
            ("verdict", "pass"),
            ("complete", "true"),
            ("target", "embedded"),
            ("stream", "app"),
            ("op", "read"),
            ("loop", "open"),
            ("rate_per_s", "500"),
            ("failed", "0"),
            ("response_p99_ns", "2000000"),
            ("response_p9999_ns", ""),
        ] {
            assert_eq!(read[column(name)], value, "{name}");
        }
    }

    #[test]
    fn what_would_break_a_row_is_quoted() {
        assert_eq!(row(vec!["a,b".to_owned(), "say \"x\"".to_owned()]), "\"a,b\",\"say \"\"x\"\"\"\r\n");
    }
}
