//! JSON for services that follow numbers from commit to commit: Bencher and github-action-benchmark.
//!
//! Both are told times alone in the same words, and Bencher rates as well; of github-action-benchmark's format, in which
//! smaller is better, rates are no part. What is only a lower bound, did not end, or was shaped by the load generator is
//! left out: a service would take it for the number.

use quorumeter_record::{GeneratorVerdict, Quantiles};
use serde_json::{Map, Value, json};

use super::checks::title;
use super::failover::metrics;
use crate::Analysis;

/// A number to follow.
struct Measure {
    /// Of what: the record's title, and the op where there is one.
    bench: String,
    name: String,
    /// Nanoseconds, or per second.
    value: f64,
    /// The interval in which it lies.
    interval: (Option<f64>, Option<f64>),
    is_time: bool,
    extra: String,
}

/// Bencher's metric format: times in nanoseconds, rates per second.
pub fn render_bencher(records: &[&Analysis]) -> String {
    let mut benches = Map::new();
    for measure in records.iter().flat_map(|analysis| measures(analysis)) {
        let mut metric = Map::from_iter([("value".to_owned(), json!(measure.value))]);
        let (low, high) = measure.interval;
        metric.extend(low.map(|low| ("lower_value".to_owned(), json!(low))));
        metric.extend(high.map(|high| ("upper_value".to_owned(), json!(high))));
        let bench = benches.entry(measure.bench).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(bench) = bench {
            bench.insert(measure.name, Value::Object(metric));
        }
    }
    pretty(&Value::Object(benches))
}

/// The format of github-action-benchmark's tool `customSmallerIsBetter`: times in milliseconds.
pub fn render_action_benchmark(records: &[&Analysis]) -> String {
    let times = records.iter().flat_map(|analysis| measures(analysis)).filter(|measure| measure.is_time);
    let ms = |ns: f64| ns / 1e6;
    let entries = times.map(|measure| {
        let mut entry = json!({
            "name": format!("{}: {}", measure.bench, measure.name),
            "unit": "ms",
            "value": ms(measure.value),
        });
        if let (Some(low), Some(high)) = measure.interval {
            entry["range"] = json!(format!("{} … {}", ms(low), ms(high)));
        }
        entry["extra"] = json!(measure.extra);
        entry
    });
    pretty(&Value::Array(entries.collect()))
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn measures(analysis: &Analysis) -> Vec<Measure> {
    let summary = &analysis.summary;
    let title = title(analysis);
    if let Some(failover) = &summary.failover {
        let measure = |metric: super::failover::Metric<'_>| {
            // Of two bounds the upper one: it is what gates read.
            let times = metric.high;
            let interval = times
                .median_ci
                .map_or((None, None), |(low, high)| (Some(low as f64), high.map(|high| high as f64)));
            Some(Measure {
                bench: title.clone(),
                value: times.median? as f64,
                interval,
                is_time: true,
                extra: format!("median of n = {}, run {}", metric.n(), summary.run_id),
                name: metric.name,
            })
        };
        return metrics(failover).into_iter().filter_map(measure).collect();
    }
    if summary.generator.verdict == GeneratorVerdict::Limited || !summary.complete {
        return Vec::new();
    }
    let mut measures = Vec::new();
    for (key, op) in &summary.ops {
        let bench = format!("{title}: {key}");
        let mut push = |name: &str, value: f64, is_time, extra| {
            measures.push(Measure {
                bench: bench.clone(),
                name: name.to_owned(),
                value,
                interval: (None, None),
                is_time,
                extra,
            });
        };
        for statistic in ["p50", "p99"] {
            if let Some(ns) = known(&op.response_ns, statistic) {
                let extra = format!("of {} ops, run {}", op.response_ns.count, summary.run_id);
                push(&format!("response_{statistic}"), ns as f64, true, extra);
            }
        }
        if op.ok > 0 {
            push("rate", op.rate, false, String::new());
        }
    }
    measures
}

/// A statistic that is known, and no bound.
fn known(quantiles: &Quantiles, statistic: &str) -> Option<i64> {
    quantiles.get(statistic).filter(|_| !quantiles.is_lower_bound(statistic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn read(json: &str) -> Value {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_failover_is_followed_by_its_medians_and_their_intervals() {
        let analysis = fixture::failover();
        let bench = read(&render_bencher(&[&analysis]))["failover kill leader on embedded:1"].clone();
        assert_eq!(
            bench["ack_gap_any"],
            json!({ "value": 472.5e6, "lower_value": 441e6, "upper_value": 482e6 })
        );
        // The upper bound; an interval whose upper end did not end; too few for an interval.
        assert_eq!(bench["write_outage_any"]["value"], json!(474.5e6));
        assert_eq!(bench["recovery_time"], json!({ "value": 960e6, "lower_value": 900e6 }));
        assert_eq!(bench["rejoin_outage"], json!({ "value": 0.0 }));
        let entries = read(&render_action_benchmark(&[&analysis]));
        assert_eq!(
            entries[0],
            json!({
                "name": "failover kill leader on embedded:1: ack_gap_any",
                "unit": "ms",
                "value": 472.5,
                "range": "441 … 482",
                "extra": "median of n = 6, run 20260101-000000-abcd",
            })
        );
    }

    #[test]
    fn a_run_is_followed_by_its_responses_and_its_rate_where_more_is_better() {
        let analysis = fixture::analysis();
        let benches = read(&render_bencher(&[&analysis]));
        let read_op = &benches["mixed on embedded:1: app.read"];
        assert_eq!(
            *read_op,
            json!({
                "response_p50": { "value": 500_000.0 },
                "response_p99": { "value": 2_000_000.0 },
                "rate": { "value": 500.0 },
            })
        );
        let entries = read(&render_action_benchmark(&[&analysis]));
        let names: Vec<&str> =
            entries.as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap()).collect();
        assert_eq!(
            names[..2],
            ["mixed on embedded:1: app.read: response_p50", "mixed on embedded:1: app.read: response_p99"]
        );
        assert!(!names.iter().any(|name| name.contains("rate")));
    }

    #[test]
    fn what_is_not_the_number_is_left_out() {
        let mut bounded = fixture::analysis();
        bounded.summary.ops.get_mut("app.read").unwrap().response_ns.at_least = vec!["p99".to_owned()];
        let read_op = read(&render_bencher(&[&bounded]))["mixed on embedded:1: app.read"].clone();
        assert!(read_op.get("response_p99").is_none() && read_op.get("response_p50").is_some());
        bounded.summary.generator.verdict = GeneratorVerdict::Limited;
        assert_eq!(render_bencher(&[&bounded]), "{}\n");
        assert_eq!(render_action_benchmark(&[&bounded]), "[]\n");
        let mut censored = fixture::failover();
        let failover = censored.summary.failover.as_mut().unwrap();
        failover.durations.insert("recovery_time_ns".to_owned(), fixture::durations(&[None, None, Some(1)]));
        let bench = read(&render_bencher(&[&censored]))["failover kill leader on embedded:1"].clone();
        assert!(bench.get("recovery_time").is_none(), "{bench}");
    }
}
