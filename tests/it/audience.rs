//! Who is told of a run while it goes: scrapers, and collectors.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use quorumeter_record::{EventKind, IntervalLine, RecordReader};

use crate::support::QUORUMETER;
use crate::support::http::{Collector, get, pairs, sample, samples};

const PHASES: [&str; 7] = ["connect", "precheck", "prefill", "warmup", "measure", "drain", "cleanup"];

/// A run of 2.5 s on the embedded server, into the folder `run`.
fn command(dir: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(QUORUMETER);
    command
        .args(["run", "--warmup", "500ms", "--duration", "2s", "--rate", "500/s"])
        .args(["--set", "engine.interval=250ms", "--set", "dataset.nodes=100"])
        .args(more)
        .arg("--out")
        .arg(dir.join("run"));
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Scrapes again and again, from the notice on until nobody answers any more.
fn scrape_all(mut child: Child) -> (SocketAddr, Vec<Vec<(String, f64)>>, Output) {
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let notice = lines.find_map(|line| {
        line.unwrap().strip_prefix("metrics: http://")?.strip_suffix("/metrics").map(str::to_owned)
    });
    let address: SocketAddr = notice.expect("the address is told").parse().unwrap();
    let rest = std::thread::spawn(move || lines.for_each(drop));
    let mut scrapes = Vec::new();
    while let Some((status, text)) = get(address, "/metrics") {
        assert_eq!(status, 200, "{text}");
        scrapes.push(samples(&text));
        std::thread::sleep(Duration::from_millis(20));
    }
    rest.join().unwrap();
    (address, scrapes, child.wait_with_output().unwrap())
}

#[test]
fn a_run_can_be_scraped_from_its_beginning_until_it_is_judged() {
    let dir = tempfile::tempdir().unwrap();
    let child = command(dir.path(), &["--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (address, scrapes, output) = scrape_all(child);
    assert!(output.status.success());
    assert!(get(address, "/metrics").is_none(), "nobody listens when it is over");

    let record = RecordReader::open(&dir.path().join("run")).unwrap();
    let run_id = &record.manifest().run_id;
    let info = format!("bench_run_info{{run_id=\"{run_id}\",workload=\"default\",target=\"embedded:1\"}}");
    let ok = |op: &str| format!("bench_operations_total{{stream=\"app\",op=\"{op}\",outcome=\"ok\"}}");
    let timed = |op: &str| format!("bench_response_seconds_count{{stream=\"app\",op=\"{op}\"}}");
    let mut phases: Vec<&str> = Vec::new();
    let mut before = 0.0;
    for scrape in &scrapes {
        assert_eq!(sample(scrape, &info), Some(1.0));
        let is_active =
            |phase: &&str| sample(scrape, &format!("bench_phase{{phase=\"{phase}\"}}")) == Some(1.0);
        let active: Vec<&str> = PHASES.into_iter().filter(is_active).collect();
        assert!(active.len() <= 1, "{active:?}");
        if let Some(phase) = active.first().filter(|phase| phases.last() != Some(*phase)) {
            phases.push(phase);
        }
        let reads = sample(scrape, &ok("read")).unwrap_or(0.0);
        assert!(reads >= before, "a counter is never set back");
        before = reads;
        for op in ["read", "write"] {
            assert_eq!(
                sample(scrape, &ok(op)),
                sample(scrape, &timed(op)),
                "every op was timed, at any moment"
            );
        }
    }
    assert!(phases.contains(&"warmup") && phases.contains(&"measure"), "{phases:?}");
    let place = |phase: &&str| PHASES.iter().position(|known| known == phase);
    assert!(phases.is_sorted_by_key(place), "{phases:?}");

    let member = &record.manifest().target.as_ref().unwrap().members[0].address;
    let up = format!("quorum_member_up{{cluster=\"measured\",member=\"{member}\"}}");
    assert!(scrapes.iter().any(|scrape| sample(scrape, &up) == Some(1.0)), "members are told of beside it");
    let resident = up.replace("quorum_member_up", "quorum_process_resident_bytes");
    let has_process = |scrape| sample(scrape, &resident).is_some_and(|bytes| bytes > 1e6);
    assert!(
        scrapes.iter().any(|scrape| has_process(scrape)),
        "and what their processes use, which this run has started"
    );

    // What is told is what the record has, as far as some interval's end: nobody waits for a last scrape.
    let last = scrapes.last().unwrap();
    assert!(sample(last, "bench_outage_seconds").is_some_and(|seconds| seconds < 2.0));
    let lines: Vec<IntervalLine> = record.intervals().unwrap().map(Result::unwrap).collect();
    let recorded = lines.iter().filter_map(|line| match line {
        IntervalLine::Op(line) if line.op == "read" => Some(line.ok as f64),
        _ => None,
    });
    let so_far: Vec<f64> = [0.0]
        .into_iter()
        .chain(recorded.scan(0.0, |sum, reads| {
            *sum += reads;
            Some(*sum)
        }))
        .collect();
    for reads in scrapes.iter().filter_map(|scrape| sample(scrape, &ok("read"))) {
        assert!(so_far.contains(&reads), "{reads} is not among {so_far:?}");
    }
    assert!(sample(last, &ok("read")) > Some(so_far.last().unwrap() / 2.0), "most of it was scraped");
}

#[test]
fn an_address_that_cannot_be_had_is_told_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = command(dir.path(), &["--listen", &address]).output().unwrap();
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains(&format!("cannot listen on {address}")) && told.contains("choose another one"),
        "{told}"
    );
    assert!(!dir.path().join("run").exists());
}

#[test]
fn a_url_to_push_to_is_checked_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    for (url, says) in [("grpc://geheim@h", "http:// or https://"), ("geheim", "wants a URL")] {
        let output = command(dir.path(), &["--otlp", url]).output().unwrap();
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(says) && !told.contains("geheim"), "{told}");
        assert!(!dir.path().join("run").exists());
    }
}

#[test]
fn polls_are_within_their_bounds_or_off() {
    let dir = tempfile::tempdir().unwrap();
    for period in ["5ms", "2s", "never"] {
        let output = command(dir.path(), &["--poll", period]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let told = text(&output.stderr);
        assert!(told.contains("--poll") && told.contains(period), "{told}");
    }
    for (period, at_least, at_most) in [("off", 0, 0), ("100ms", 10, 30)] {
        let dir = tempfile::tempdir().unwrap();
        let output = command(dir.path(), &["--poll", period]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let record = RecordReader::open(&dir.path().join("run")).unwrap();
        let lines = record.members().unwrap().count();
        assert!((at_least..=at_most).contains(&lines), "{lines} samples with --poll {period}");
    }
}

#[test]
fn a_run_pushes_its_metrics_and_its_trace() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Collector::start(&[200]);
    let url = format!("http://anna:geheim@{}", collector.address);
    let output = command(dir.path(), &["--otlp", &url])
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a%20b")
        .output()
        .unwrap();
    let told = text(&output.stderr);
    assert!(output.status.success() && !told.contains("could not be pushed"), "{told}");
    assert!(!told.contains("geheim"), "{told}");
    for posted in collector.posted() {
        let has = |header: &str| posted.headers.iter().any(|line| line.eq_ignore_ascii_case(header));
        assert!(has("x-tenant: a b") && has("authorization: Basic YW5uYTpnZWhlaW0="), "{posted:?}");
    }

    let record = RecordReader::open(&dir.path().join("run")).unwrap();
    let run_id = record.manifest().run_id.clone();
    let pushes = collector.metrics();
    let (resource, metrics) = pushes.last().expect("at the end there is a push");
    assert!(resource.contains(&("service.instance.id".to_owned(), run_id.clone())), "{resource:?}");
    let service = ("service.name".to_owned(), "quorumeter-bench".to_owned());
    assert!(resource.contains(&service), "alerts read another job: {resource:?}");
    let data = |name: &str| metrics.iter().find(|metric| metric.name == name).and_then(|m| m.data.as_ref());
    let is = |attributes, wanted: &[&str]| {
        pairs(attributes).iter().map(|(_, value)| value.as_str()).eq(wanted.iter().copied())
    };
    let Some(Data::Sum(operations)) = data("bench_operations_total") else { panic!("{metrics:?}") };
    let reads = operations.data_points.iter().find(|point| is(&point.attributes, &["app", "read", "ok"]));
    let Some(Value::AsDouble(reads)) = reads.and_then(|point| point.value) else { panic!("{operations:?}") };
    let lines: Vec<IntervalLine> = record.intervals().unwrap().map(Result::unwrap).collect();
    let recorded = lines.iter().filter_map(|line| match line {
        IntervalLine::Op(line) if line.op == "read" => Some(line.ok),
        _ => None,
    });
    assert_eq!(reads, recorded.sum::<u64>() as f64, "the last push has everything");
    let Some(Data::ExponentialHistogram(response)) = data("bench_response_seconds") else {
        panic!("{metrics:?}")
    };
    let point = response.data_points.iter().find(|point| is(&point.attributes, &["app", "read"])).unwrap();
    let in_buckets: u64 = point.positive.iter().flat_map(|buckets| &buckets.bucket_counts).sum();
    assert_eq!((point.count as f64, in_buckets + point.zero_count), (reads, point.count));

    assert!(pushes.iter().any(|(_, metrics)| metrics.iter().any(|metric| metric.name == "quorum_member_up")));

    let spans = collector.spans();
    let whole = spans.iter().find(|span| span.parent_span_id.is_empty()).expect("a span of it all");
    assert_eq!(whole.name, "quorumeter run");
    assert!(pairs(&whole.attributes).contains(&("quorumeter.run_id".to_owned(), run_id)));
    let start = record.manifest().wall_start.unix_ns;
    assert_eq!(whole.start_time_unix_nano, start);
    let mut names = Vec::new();
    for span in spans.iter().filter(|span| !span.parent_span_id.is_empty()) {
        assert_eq!((&span.trace_id, &span.parent_span_id), (&whole.trace_id, &whole.span_id));
        assert!(span.start_time_unix_nano >= start && span.end_time_unix_nano <= whole.end_time_unix_nano);
        names.push(span.name.clone());
    }
    let phases = record.events().unwrap().filter_map(|event| match event.unwrap().kind {
        EventKind::Phase { phase } => {
            Some(format!("phase {}", serde_json::to_value(phase).unwrap().as_str()?))
        }
        _ => None,
    });
    let mut phases: Vec<String> = phases.collect();
    phases.sort();
    names.sort();
    assert_eq!(names, phases);
}

#[test]
fn a_push_that_is_refused_is_told_once_and_is_no_failure_of_the_run() {
    for (statuses, says) in [(&[500][..], "500"), (&[404], "--web.enable-otlp-receiver")] {
        let dir = tempfile::tempdir().unwrap();
        let collector = Collector::start(statuses);
        let url = format!("http://anna:geheim@{}", collector.address);
        let output = command(dir.path(), &["--otlp", &url]).output().unwrap();
        let told = text(&output.stderr);
        assert!(output.status.success(), "{told}");
        assert_eq!(told.matches("metrics could not be pushed").count(), 1, "{told}");
        assert!(told.contains(says) && told.contains("pushes of metrics failed"), "{told}");
        assert!(told.contains("the trace could not be pushed") && !told.contains("geheim"), "{told}");
    }
}

#[test]
fn a_collector_that_is_busy_is_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Collector::start(&[503, 429, 200]);
    let url = format!("http://{}", collector.address);
    let output = command(dir.path(), &["--otlp", &url]).output().unwrap();
    assert!(
        output.status.success() && !text(&output.stderr).contains("could not"),
        "{}",
        text(&output.stderr)
    );
    assert!(collector.metrics().len() >= 4, "three attempts of the first push, and the last one");
}

/// Nobody there, and one who takes and says nothing.
#[test]
fn a_collector_that_is_dead_or_silent_holds_a_run_up_for_seconds_at_most() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (address, says) in [(dead, "cannot connect"), (silent.local_addr().unwrap(), "no answer within 5 s")]
    {
        let dir = tempfile::tempdir().unwrap();
        let mut child = command(dir.path(), &["--otlp", &format!("http://{address}")])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = String::new();
        child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        let status = crate::interrupted::wait(child, Duration::from_secs(60));
        assert!(status.success() && told.contains(says), "{told}");
    }
}
