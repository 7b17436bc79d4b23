//! What a run pushes to Prometheus's own receiver: beside what is scraped of the same run, and beside its record.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use hdrhistogram::Histogram;
use quorumeter_ensemble::launch::child::Children;
use quorumeter_ensemble::launch::ports::free_port;
use quorumeter_exporters::catalog::{self, Kind, Scope};
use quorumeter_record::{RecordReader, new_duration_histogram};
use serde_json::Value;

use crate::support::QUORUMETER;
use crate::support::prometheus::{Prometheus, installed};
use crate::wrapper;

const SCRAPED: &str = "scraped";

/// The job of what a run pushes.
const PUSHED: &str = "quorumeter-bench";

/// There is no warm-up, which is in what is pushed and not in the record's histograms. Between two pushes of a run are 5 s:
/// one is amid the load.
const WORKLOAD: &str = r#"
name = "pushed"
phases = { warmup = "0s", measure = "7s" }
dataset = { nodes = 100, value = "64 B" }
engine = { interval = "250ms" }
[[stream]]
name = "app"
sessions = 2
rate = "400/s"
mix = { read = 70, write = 30 }
[[stream]]
name = "watchers"
sessions = 1
watch = { kind = "persistent", watchers = 1 }
"#;

#[test]
fn what_a_run_pushes_arrives_in_prometheus_as_it_is_scraped_and_recorded() {
    let test = "what_a_run_pushes_arrives_in_prometheus_as_it_is_scraped_and_recorded";
    let Some(program) = installed("prometheus", test) else { return };
    let dir = tempfile::tempdir().unwrap();
    let children = Children::new(wrapper()).unwrap();
    let listen = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    let configuration = format!(
        "global: {{ scrape_interval: 500ms, scrape_timeout: 500ms }}\n\
         scrape_configs: [{{ job_name: {SCRAPED}, static_configs: [{{ targets: ['{listen}'] }}] }}]\n"
    );
    let prometheus = Prometheus::start(&children, &program, &dir.path().join("prometheus"), &configuration);
    run(dir.path(), listen, prometheus.address);

    let (scraped, pushed) = (series(&prometheus, SCRAPED), series(&prometheus, PUSHED));
    let only_in = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
    assert!(scraped.len() > 50, "{scraped:#?}");
    assert_eq!(only_in(&scraped, &pushed), [""; 0], "scraped and not pushed");
    assert_eq!(only_in(&pushed, &scraped), [""; 0], "pushed and not scraped");
    let buckets = format!("{{job=\"{PUSHED}\", __name__=~\"bench_.+_bucket\"}}");
    assert_eq!(prometheus.label_values("__name__", &buckets), [""; 0], "pushed as classic histograms");

    let record = RecordReader::open(&dir.path().join("run")).unwrap();
    let summary = record.summary().unwrap().unwrap();
    for op in ["read", "write"] {
        let of = format!("job=\"{PUSHED}\", stream=\"app\", op=\"{op}\"");
        for (time, population) in [("response", "all"), ("service", "ok")] {
            let recorded = Recorded::of(&record, &format!("app.{op}.{population}.{time}"));
            agree(&prometheus, &format!("bench_{time}_seconds{{{of}}}"), &recorded);
        }
        let ended = &summary.ops[&format!("app.{op}")];
        let failed = ended.failed.values().sum();
        assert!(ended.ok > 0, "{ended:?}");
        for (outcome, n) in
            [("ok", ended.ok), ("failed", failed), ("unknown", ended.unknown), ("shed", ended.shed)]
        {
            let selector = format!("bench_operations_total{{{of}, outcome=\"{outcome}\"}}");
            assert_eq!(prometheus.now(&selector)[0].points[0].1, n as f64, "{selector}");
        }
    }
}

/// Runs the load on the embedded server, scraped and pushed, to its end.
fn run(dir: &Path, listen: SocketAddr, prometheus: SocketAddr) {
    std::fs::write(dir.join("pushed.toml"), WORKLOAD).unwrap();
    let child = Command::new(QUORUMETER)
        .args(["run", "pushed.toml", "--out", "run", "--listen", &listen.to_string()])
        .args(["--otlp", &format!("http://{prometheus}/api/v1/otlp/v1/metrics")])
        .current_dir(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !told.contains("metrics could not be pushed"), "{told}");
}

/// All series of a job that are the run's own, without the labels that say whose they are. Native histograms, and the
/// classic ones in whose place they are pushed, have the name of their family.
fn series(prometheus: &Prometheus, job: &str) -> BTreeSet<String> {
    let found = prometheus.api("series", &[("match[]", &format!("{{job=\"{job}\"}}"))]);
    let exponential = |name: &str| {
        let metrics = catalog::ALL.iter().filter(|m| m.scope == Scope::Bench && m.kind == Kind::Histogram);
        let mut names = metrics.map(|metric| metric.name);
        names.find(|family| {
            ["_bucket", "_sum", "_count"].iter().any(|part| name.strip_suffix(part) == Some(family))
        })
    };
    let mut all = BTreeSet::new();
    for found in found.as_array().unwrap() {
        let mut labels: BTreeMap<&str, &str> = found
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        let name = labels.remove("__name__").unwrap();
        // Prometheus's own, of a scrape and of a receiver.
        if name == "up" || name == "target_info" || name.starts_with("scrape_") {
            continue;
        }
        labels.retain(|label, _| !["job", "instance"].contains(label) && !label.starts_with("otel_scope_"));
        let family = exponential(name);
        if family.is_some() {
            labels.remove("le");
        }
        all.insert(format!("{} {labels:?}", family.unwrap_or(name)));
    }
    all
}

/// Times of an op in a record, interval by interval.
struct Recorded(Vec<Histogram<u64>>);

impl Recorded {
    fn of(record: &RecordReader, tag: &str) -> Recorded {
        let mut intervals = Vec::new();
        for entry in record.histograms().unwrap() {
            let (_, entry) = entry.unwrap();
            if entry.tag == tag {
                intervals.push(entry.histogram);
            }
        }
        Recorded(intervals)
    }

    /// The intervals before and behind the end of one, added up; `None` where no interval ends with so many values.
    fn divided(&self, first: u64) -> Option<(Histogram<u64>, Histogram<u64>)> {
        let (mut before, mut behind) = (new_duration_histogram(), new_duration_histogram());
        for interval in &self.0 {
            let to = if before.len() < first { &mut before } else { &mut behind };
            to.add(interval).unwrap();
        }
        (before.len() == first).then_some((before, behind))
    }
}

/// A native histogram as Prometheus tells it.
struct Native {
    at: f64,
    count: u64,
    sum: f64,
    /// Beyond the lower bound and up to the upper one, seconds, and how many.
    buckets: Vec<(f64, f64, u64)>,
}

impl Native {
    fn of(value: &Value) -> Native {
        let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
        let bucket = |bucket: &Value| {
            assert_eq!(bucket[0], 0, "open below, closed above: {bucket}");
            (number(&bucket[1]), number(&bucket[2]), number(&bucket[3]) as u64)
        };
        let told = &value[1];
        Native {
            at: value[0].as_f64().unwrap(),
            count: number(&told["count"]) as u64,
            sum: number(&told["sum"]),
            buckets: told["buckets"].as_array().into_iter().flatten().map(bucket).collect(),
        }
    }

    /// How wide a bucket is, as a factor.
    fn width(&self) -> f64 {
        self.buckets.first().map_or(1.0, |(from, to, _)| to / from)
    }
}

/// What arrived has the record's counts, sum and quantiles: of the whole load, and of the time between two pushes.
fn agree(prometheus: &Prometheus, selector: &str, recorded: &Recorded) {
    let found = prometheus.api("query", &[("query", &format!("{selector}[2m]"))]);
    let pushes: Vec<Native> =
        found["result"][0]["histograms"].as_array().unwrap().iter().map(Native::of).collect();
    let last = pushes.last().unwrap();
    let (whole, nothing) = recorded.divided(last.count).expect("the last push has every interval");
    assert_eq!((whole.len(), nothing.len()), (last.count, 0), "the last push has everything");
    let sum_s = whole.mean() * whole.len() as f64 / 1e9;
    assert!((last.sum / sum_s - 1.0).abs() < 0.001, "{selector}: {} is not {sum_s}", last.sum);
    for (from, to, count) in &last.buckets {
        let of_bucket = whole.iter_recorded().filter(|recorded| {
            let middle_s = whole.median_equivalent(recorded.value_iterated_to()) as f64 / 1e9;
            // Bounds are irrational, and computed in another way there.
            *from * (1.0 + 1e-12) < middle_s && middle_s <= *to * (1.0 + 1e-12)
        });
        let of_bucket: u64 = of_bucket.map(|recorded| recorded.count_at_value()).sum();
        assert_eq!(of_bucket, *count, "{selector}: from {from} to {to}");
    }
    // Stated of values within a factor of 1,000 and of a million.
    let spread = whole.max() as f64 / whole.min() as f64;
    let stated = if spread < 1e3 { 1.045 } else { 1.0906 };
    assert!(spread < 1e6 && last.width() <= stated, "{} wide at a spread of {spread}", last.width());

    let is_part = |push: &&Native| push.count > 0 && push.count < last.count;
    let part = pushes.iter().rev().find(is_part).expect("there is a push amid the load");
    let (_, behind) = recorded.divided(part.count).expect("what is pushed ends with an interval");
    let since = format!("{selector} @ {} - {selector} @ {}", last.at, part.at);
    let width = last.width().max(part.width());
    for (expr, recorded) in [(format!("{selector} @ {}", last.at), whole), (since, behind)] {
        for quantile in [0.5, 0.9, 0.99] {
            let told = prometheus.now(&format!("histogram_quantile({quantile}, {expr})"))[0].points[0].1;
            let exact = recorded.value_at_quantile(quantile) as f64 / 1e9;
            let ratio = (told / exact).max(exact / told);
            assert!(ratio <= width * 1.001, "{quantile} of {expr}: {told} s, recorded {exact} s");
        }
    }
}
