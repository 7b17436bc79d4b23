use std::collections::BTreeMap;

use super::*;
use crate::fixture::{self, MS, S};
use crate::report::{ComparisonFormat, render_comparison, render_side_by_side};

fn options() -> Options {
    Options { tolerance: 0.1, metrics: Vec::new(), allow_differences: false }
}

/// A failover record of one metric with so many milliseconds in its repetitions.
fn failover(name: &str, ms: &[Option<u64>]) -> Record {
    let mut analysis = fixture::failover();
    analysis.summary.run_id = name.to_owned();
    let failover = analysis.summary.failover.as_mut().unwrap();
    failover.durations = BTreeMap::from([("ack_gap_any_ns".to_owned(), fixture::durations(ms))]);
    failover.policies.clear();
    failover.valid = ms.len() as u32;
    Record { name: name.to_owned(), manifest: Some(analysis.manifest), summary: analysis.summary }
}

fn versus(run: &Record, baseline: &Record, options: &Options) -> Result<Comparison, CompareError> {
    compare(std::slice::from_ref(run), std::slice::from_ref(baseline), options)
}

fn some(ms: &[u64]) -> Vec<Option<u64>> {
    ms.iter().copied().map(Some).collect()
}

/// A run whose reads take so long at p50, and twice as long at p99.
fn run(name: &str, p50_us: i64) -> Record {
    let mut analysis = fixture::analysis();
    analysis.summary.run_id = name.to_owned();
    analysis.summary.ops.retain(|key, _| key == "app.read");
    let read = analysis.summary.ops.get_mut("app.read").unwrap();
    (read.response_ns.p50, read.response_ns.p99) = (Some(p50_us * 1000), Some(p50_us * 2000));
    read.rate = 500.0 - p50_us as f64 / 10.0;
    Record { name: name.to_owned(), manifest: Some(analysis.manifest), summary: analysis.summary }
}

fn runs(name: &str, p50_us: &[i64]) -> Vec<Record> {
    p50_us.iter().enumerate().map(|(i, p50)| run(&format!("{name}{i}"), *p50)).collect()
}

fn found(comparison: &Comparison, name: &str) -> Finding {
    comparison.metrics.iter().find(|metric| metric.name == name).unwrap().finding
}

#[test]
fn a_failover_is_worse_when_all_of_the_interval_is() {
    let baseline = some(&[450, 475, 470, 482, 441, 480]);
    for (new, finding, conclusion) in [
        (some(&[850, 875, 870, 882, 841, 880]), Finding::Regression, Conclusion::Regression),
        (some(&[455, 471, 468, 480, 445, 479]), Finding::Held, Conclusion::NoRegression),
        (some(&[250, 275, 270, 282, 241, 280]), Finding::Improvement, Conclusion::NoRegression),
        (some(&[450, 575, 570, 482, 441, 580]), Finding::Open, Conclusion::NoRegression),
        // Worse for sure, by less than 10 % of 472.5 ms.
        (some(&[485, 486, 487, 488, 489, 490]), Finding::Held, Conclusion::NoRegression),
        // All of them never ended.
        (vec![None; 6], Finding::Regression, Conclusion::Regression),
        (some(&[900, 900, 900]), Finding::Regression, Conclusion::Regression),
        (some(&[900, 900]), Finding::NotEnough, Conclusion::NotEnough),
    ] {
        let compared = versus(&failover("new", &new), &failover("old", &baseline), &options()).unwrap();
        assert_eq!(found(&compared, "ack_gap_any"), finding, "{new:?}");
        assert_eq!(compared.conclusion, conclusion, "{new:?}");
    }
}

#[test]
fn three_against_three_are_not_enough_whatever_they_say() {
    let (new, old) = (some(&[9000, 9000, 9000]), some(&[10, 10, 10]));
    let compared = versus(&failover("new", &new), &failover("old", &old), &options()).unwrap();
    assert_eq!(compared.conclusion, Conclusion::NotEnough);
    assert_eq!(compared.conclusion.exit_code(), 4);
    assert_eq!(compared.without_the_undecided(), Conclusion::NoRegression);
    let text = render_comparison(&compared, ComparisonFormat::Text);
    assert!(text.contains("NOT ENOUGH RUNS for 1 metric of 1 judged"), "{text}");
    // Two records of three repetitions are six values.
    let sides = |name: &str, values: &[Option<u64>]| {
        [failover(&format!("{name} 1"), values), failover(&format!("{name} 2"), values)]
    };
    let compared = compare(&sides("new", &new), &sides("old", &old), &options()).unwrap();
    assert_eq!(compared.conclusion, Conclusion::Regression);
}

#[test]
fn nothing_is_a_regression_that_is_finer_than_the_probes() {
    // 10 % of 20 ms are 2 ms; probes come every 10 ms.
    let (old, new) = (some(&[20; 6]), some(&[29; 6]));
    let compared = versus(&failover("new", &new), &failover("old", &old), &options()).unwrap();
    assert_eq!(compared.metrics[0].allowed, (10 * MS) as f64);
    assert_eq!(found(&compared, "ack_gap_any"), Finding::Held);
}

#[test]
fn what_only_explains_is_shown_and_not_judged() {
    let with_phases = |name: &str, ms: u64| {
        let mut record = failover(name, &some(&[450; 6]));
        let failover = record.summary.failover.as_mut().unwrap();
        failover.durations.insert("detection_ns".to_owned(), fixture::durations(&some(&[ms; 6])));
        record
    };
    let (new, old) = (with_phases("new", 900), with_phases("old", 20));
    let compared = versus(&new, &old, &options()).unwrap();
    assert_eq!(found(&compared, "detection"), Finding::Shown);
    assert_eq!(compared.conclusion, Conclusion::NoRegression);
    // Unless it is asked for; then the other is not.
    let asked = Options { metrics: vec!["detection".to_owned()], ..options() };
    let compared = versus(&new, &old, &asked).unwrap();
    assert_eq!(found(&compared, "detection"), Finding::Regression);
    assert_eq!(found(&compared, "ack_gap_any"), Finding::Shown);
    let unknown = Options { metrics: vec!["nothing".to_owned()], ..options() };
    let error = versus(&new, &old, &unknown).unwrap_err();
    assert_eq!(error.to_string(), "neither side has a metric `nothing`; there are: ack_gap_any, detection");
}

#[test]
fn a_metric_that_is_gone_is_no_pass() {
    let mut gone = failover("new", &some(&[450; 6]));
    gone.summary.failover.as_mut().unwrap().durations.clear();
    let old = failover("old", &some(&[450; 6]));
    assert_eq!(versus(&gone, &old, &options()).unwrap().conclusion, Conclusion::NotEnough);
    // A new one is nothing to compare, and alone no pass either.
    assert_eq!(versus(&old, &gone, &options()).unwrap().conclusion, Conclusion::NotEnough);
}

#[test]
fn what_only_some_repetitions_have_leaves_nothing_undecided() {
    let with_removal = |name: &str, removals: &[Option<u64>]| {
        let mut record = failover(name, &some(&[450; 6]));
        let failover = record.summary.failover.as_mut().unwrap();
        failover.durations.insert("ephemeral_removal_ns".to_owned(), fixture::durations(removals));
        record
    };
    let (three, six) = (some(&[800; 3]), some(&[800; 6]));
    let compared = |new: &[Option<u64>], old: &[Option<u64>], options: &Options| {
        let compared = versus(&with_removal("new", new), &with_removal("old", old), options).unwrap();
        (found(&compared, "ephemeral_removal"), compared.conclusion)
    };
    assert_eq!(compared(&three, &three, &options()), (Finding::Shown, Conclusion::NoRegression));
    // With enough of them they are judged, and so they are where they are asked for or the baseline always has them.
    assert_eq!(compared(&six, &three, &options()), (Finding::Held, Conclusion::NoRegression));
    assert_eq!(compared(&some(&[1]), &six, &options()), (Finding::NotEnough, Conclusion::NotEnough));
    let asked = Options { metrics: vec!["ephemeral_removal".to_owned()], ..options() };
    assert_eq!(compared(&three, &three, &asked), (Finding::NotEnough, Conclusion::NotEnough));
}

#[test]
fn runs_are_compared_by_a_value_each() {
    let old = runs("old", &[100, 104, 98, 101]);
    let slow = compare(&runs("new", &[150, 149, 160, 155]), &old, &options()).unwrap();
    assert_eq!(found(&slow, "app.read.response.p50"), Finding::Regression);
    assert_eq!(found(&slow, "app.read.response.p99"), Finding::Regression);
    // 5/s less of 490/s are within 10 %.
    assert_eq!(found(&slow, "app.read.rate"), Finding::Held);
    assert_eq!(slow.conclusion, Conclusion::Regression);
    let mut halved = runs("new", &[100, 104, 98, 101]);
    for record in &mut halved {
        record.summary.ops.get_mut("app.read").unwrap().rate = 200.0;
    }
    let halved = compare(&halved, &old, &options()).unwrap();
    assert_eq!(found(&halved, "app.read.rate"), Finding::Regression);
    assert_eq!(found(&halved, "app.read.response.p50"), Finding::Held);
}

#[test]
fn a_run_whose_generator_was_the_limit_counts_for_nothing() {
    let mut new = runs("new", &[150, 149, 160, 155]);
    new[0].summary.generator.verdict = GeneratorVerdict::Limited;
    let compared = compare(&new, &runs("old", &[100, 104, 98, 101]), &options()).unwrap();
    assert_eq!(compared.conclusion, Conclusion::NotEnough);
    assert_eq!(compared.notes, ["new0: the load generator was the limit, and it counts for nothing"]);
}

#[test]
fn a_broken_promise_outweighs_every_number() {
    let mut new = failover("new", &some(&[450; 6]));
    new.summary.verdict = Verdict::Unsafe;
    new.summary.reasons = vec!["an acknowledged write is gone".to_owned()];
    let compared = versus(&new, &failover("old", &some(&[450; 6])), &options()).unwrap();
    assert_eq!((compared.conclusion, compared.conclusion.exit_code()), (Conclusion::Unsafe, 3));
    assert_eq!(compared.notes, ["new: its verdict is UNSAFE: an acknowledged write is gone"]);
}

#[test]
fn what_measured_something_else_is_not_compared() {
    let old = failover("old", &some(&[450; 6]));
    type Change = (&'static str, fn(&mut Record));
    let changes: [Change; 8] = [
        ("fault: pause against kill", |r| r.summary.failover.as_mut().unwrap().fault = "pause".to_owned()),
        ("victim: any against leader", |r| r.summary.failover.as_mut().unwrap().victim = "any".to_owned()),
        ("probe period: 20 ms against 10 ms", |r| {
            r.summary.failover.as_mut().unwrap().probe_period_ns = 20 * MS;
        }),
        ("target: zookeeper against embedded", |r| r.summary.target = Some("zookeeper".to_owned())),
        ("setting tickTime: 500 against none", |r| {
            let settings = &mut r.manifest.as_mut().unwrap().target.as_mut().unwrap().settings;
            settings.insert("tickTime".to_owned(), "500".to_owned());
        }),
        ("members: 0 against 1", |r| r.manifest.as_mut().unwrap().target.as_mut().unwrap().members.clear()),
        ("workload stream.app.rate: 1k/s against none", |r| {
            let stream = serde_json::json!([{ "name": "app", "rate": "1k/s" }]);
            r.manifest.as_mut().unwrap().workload["stream"] = stream;
        }),
        ("kind of measurement: run against failover", |r| r.summary.failover = None),
    ];
    for (told, change) in changes {
        let mut new = failover("new", &some(&[450; 6]));
        change(&mut new);
        let error = versus(&new, &old, &options()).unwrap_err();
        assert!(error.to_string().lines().any(|line| line == format!("  {told}")), "{told}: {error}");
        // Allowed, they are told in the report.
        let allowed = Options { allow_differences: true, ..options() };
        let compared = versus(&new, &old, &allowed).unwrap();
        let text = render_comparison(&compared, ComparisonFormat::Text);
        assert!(text.contains("They differ in what is measured") && text.contains(told), "{text}");
    }
}

#[test]
fn a_version_or_a_machine_is_told_and_no_obstacle() {
    let mut new = failover("new", &some(&[450; 6]));
    let manifest = new.manifest.as_mut().unwrap();
    manifest.environment.kernel = "Linux 7".to_owned();
    manifest.seed = 7;
    manifest.workload["name"] = "another".into();
    let target = manifest.target.as_mut().unwrap();
    target.members[0].version = Some("0.2.0".to_owned());
    target.settings.insert("version".to_owned(), "3.8".to_owned());
    let compared = versus(&new, &failover("old", &some(&[450; 6])), &options()).unwrap();
    let told: Vec<&str> = compared.differences.iter().map(|d| d.what.as_str()).collect();
    assert_eq!(told, ["kernel", "server's version"]);
    assert!(render_comparison(&compared, ComparisonFormat::Text).contains("kernel: Linux 7 against Linux 6"));
}

#[test]
fn a_summary_alone_is_compared_with_what_it_tells() {
    let mut old = failover("old", &some(&[450; 6]));
    old.manifest = None;
    let compared = versus(&failover("new", &some(&[450; 6])), &old, &options()).unwrap();
    assert!(compared.unchecked.iter().any(|what| what == "members"), "{:?}", compared.unchecked);
    assert!(render_comparison(&compared, ComparisonFormat::Text).contains("Not checked"));
    old.summary.failover.as_mut().unwrap().fault = "pause".to_owned();
    assert!(versus(&failover("new", &some(&[450; 6])), &old, &options()).is_err());
}

#[test]
fn no_run_counts_twice() {
    let record = failover("one", &some(&[450; 6]));
    let other = Record { name: "its copy".to_owned(), ..record.clone() };
    let error = versus(&record, &other, &options()).unwrap_err();
    assert_eq!(error.to_string(), "one and its copy are the same run (one), which would count twice");
    assert!(side_by_side(&[record, other]).is_err());
}

#[test]
fn a_comparison_is_printed() {
    let old = failover("runs/old", &some(&[450, 475, 470, 482, 441, 480]));
    let new = failover("runs/new", &[Some(850), Some(875), Some(870), None, Some(841), Some(880)]);
    let compared = versus(&new, &old, &options()).unwrap();
    assert_eq!(
        render_comparison(&compared, ComparisonFormat::Text),
        "\
Runs          runs/new
Baseline      runs/old

metric       baseline (n)    runs (n)    shift  95 % interval  allowed     finding
──────────────────────────────────────────────────────────────────────────────────
ack_gap_any    473 ms (6)  873 ms (6)  +400 ms      +371 ms…∞  47.3 ms  REGRESSION
shift = Hodges–Lehmann, by how much the runs are above the baseline, with its exact 95 % interval; a
regression when all of that is worse than allowed (10.0 % of the baseline's median, and no less than
the resolution)

Conclusion    REGRESSION of 1 metric of 1 judged
"
    );
}

#[test]
fn a_comparison_in_json_and_markdown_says_the_same() {
    let old = failover("runs/old", &some(&[450, 475, 470, 482, 441, 480]));
    let new = failover("runs/new", &[Some(850), None, None, None, None, None]);
    let compared = versus(&new, &old, &options()).unwrap();
    let json: serde_json::Value =
        serde_json::from_str(&render_comparison(&compared, ComparisonFormat::Json)).unwrap();
    assert_eq!(json["conclusion"], "regression");
    let metric = &json["metrics"]["ack_gap_any"];
    assert_eq!((&metric["finding"], &metric["unit"]), (&"regression".into(), &"ns".into()));
    assert_eq!(metric["run"][1], serde_json::Value::Null);
    assert_eq!(metric["interval"][1], serde_json::Value::Null);
    let markdown = render_comparison(&compared, ComparisonFormat::Markdown);
    assert!(
        markdown.starts_with("### Against the baseline: REGRESSION of 1 metric of 1 judged\n"),
        "{markdown}"
    );
    assert!(markdown.contains("| ack\\_gap\\_any | 473 ms (6) | no end (6) | - | +"), "{markdown}");
}

#[test]
fn records_stand_side_by_side_with_what_they_differ_in() {
    let mut fast = run("fast", 100);
    fast.manifest.as_mut().unwrap().target.as_mut().unwrap().session_timeout_ns = 10 * S;
    let records = [run("slow", 200), fast, failover("failover", &some(&[450, 470, 480]))];
    let side = side_by_side(&records).unwrap();
    let text = render_side_by_side(&side, ComparisonFormat::Text);
    for line in [
        "A   slow, PASS",
        "C   failover, PASS",
        "metric                      A       B           C",
        "app.read.response.p50  200 µs  100 µs           -",
        "ack_gap_any                 -       -  470 ms (3)",
        "  - session timeout: 30 s against 10 s against 30 s",
    ] {
        assert!(text.lines().any(|other| other == line), "{line}\n\n{text}");
    }
    let markdown = render_side_by_side(&side, ComparisonFormat::Markdown);
    assert!(markdown.contains("| app.read.response.p50 | 200 µs | 100 µs | - |"), "{markdown}");
    let json: serde_json::Value =
        serde_json::from_str(&render_side_by_side(&side, ComparisonFormat::Json)).unwrap();
    assert_eq!(json["metrics"]["app.read.response.p50"]["values"], serde_json::json!([[2e5], [1e5], []]));
}
