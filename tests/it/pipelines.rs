//! What a pipeline gets from the command line: files, annotations, exit codes, and comparisons of records.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::QUORUMETER;

fn quorumeter(args: &[&str], dir: &Path) -> Output {
    Command::new(QUORUMETER)
        .args(args)
        .current_dir(dir)
        .env("GITHUB_STEP_SUMMARY", "step-summary.md")
        .env("COLUMNS", "100")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A short run into the folder `record`, with a gate that no machine meets.
fn measured(dir: &Path, more: &[&str]) -> Output {
    let fixed =
        ["run", "--ensemble", "null:1", "--warmup", "100ms", "--duration", "500ms", "--rate", "200/s"];
    let out = ["--out", "record", "--require", "app.read.rate > 100M/s"];
    quorumeter(&[&fixed[..], &out, more].concat(), dir)
}

#[test]
fn a_run_writes_what_pipelines_read_and_so_does_its_report() {
    let dir = tempfile::tempdir().unwrap();
    let files = ["--junit", "junit.xml", "--bencher", "bencher.json", "--gab", "gab.json", "--github"];
    let run = measured(dir.path(), &files);
    // 2, or 4 where this machine's generator was the limit.
    let code = run.status.code();
    assert!(matches!(code, Some(2 | 4)), "{}", text(&run.stderr));
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
    let junit = read("junit.xml");
    for part in [
        "<testsuite name=\"default on null:1\" tests=\"5\" failures=\"2\"",
        "name=\"record complete\" time=\"0\"/>",
        "name=\"app.read.rate &gt; 100M/s\"",
    ] {
        assert!(junit.contains(part), "{part}: {junit}");
    }
    assert!(read("step-summary.md").starts_with("### default: "));
    assert!(text(&run.stderr).contains("\n::error title=default on null%3A1%3A verdict::"));
    for name in ["bencher.json", "gab.json"] {
        let json: Value = serde_json::from_str(&read(name)).unwrap();
        assert!(json.is_object() || json.is_array(), "{name}: {json}");
    }
    // Each of them once more from the record.
    for (format, name) in [("junit", "junit.xml"), ("bencher", "bencher.json"), ("gab", "gab.json")] {
        let again = quorumeter(&["report", "record", "--format", format], dir.path());
        assert_eq!((text(&again.stdout), again.status.code()), (read(name), code), "{format}");
    }
    let annotations = quorumeter(&["report", "record", "--format", "annotations"], dir.path());
    assert!(text(&annotations.stdout).starts_with("::error title="));
}

#[test]
fn a_file_that_cannot_be_written_is_told_after_the_report() {
    let dir = tempfile::tempdir().unwrap();
    measured(dir.path(), &[]);
    let report =
        quorumeter(&["report", "record", "--junit", "no/such/junit.xml", "--gab", "gab.json"], dir.path());
    assert_eq!(report.status.code(), Some(5));
    assert!(text(&report.stderr).contains("cannot write no/such/junit.xml: No such file or directory"));
    assert!(text(&report.stdout).contains("Verdict"), "the report is printed all the same");
    assert!(dir.path().join("gab.json").exists(), "and the other file written");
}

#[test]
fn what_is_inconclusive_is_a_warning_where_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let run = quorumeter(
        &[
            "run",
            "--ensemble",
            "null:1",
            "--warmup",
            "0s",
            "--duration",
            "500ms",
            "--rate",
            "20/s",
            "--out",
            "record",
        ]
        .into_iter()
        .chain(["--require", "app.read.response.p9999 < 1s", "--inconclusive", "warn"])
        .collect::<Vec<_>>(),
        dir.path(),
    );
    let error = text(&run.stderr);
    assert_eq!(run.status.code(), Some(0), "{error}");
    let last = error.lines().last().unwrap();
    assert_eq!(last, "warning: the result is inconclusive; with --inconclusive warn the exit code is 0");
    assert_eq!(quorumeter(&["report", "record"], dir.path()).status.code(), Some(4));
}

/// Keeps two files of the record as a record of its own, in which reads took so long.
fn keep(dir: &Path, name: &str, p50_ns: i64) {
    let json = |file: &str| -> Value {
        serde_json::from_str(&fs::read_to_string(dir.join("record").join(file)).unwrap()).unwrap()
    };
    let (mut manifest, mut summary) = (json("run.json"), json("summary.json"));
    for value in [&mut manifest, &mut summary] {
        value["run_id"] = name.into();
    }
    summary["verdict"] = "pass".into();
    summary["reasons"] = Value::Array(Vec::new());
    summary["generator"]["verdict"] = "ok".into();
    summary["ops"]["app.read"]["response_ns"]["p50"] = p50_ns.into();
    summary["ops"]["app.read"]["response_ns"]["at_least"] = Value::Array(Vec::new());
    fs::create_dir(dir.join(name)).unwrap();
    fs::write(dir.join(name).join("run.json"), manifest.to_string()).unwrap();
    fs::write(dir.join(name).join("summary.json"), summary.to_string()).unwrap();
}

#[test]
fn records_are_compared_with_a_baseline() {
    let dir = tempfile::tempdir().unwrap();
    measured(dir.path(), &[]);
    for i in 1..=4 {
        keep(dir.path(), &format!("old{i}"), 100_000 + i);
        keep(dir.path(), &format!("same{i}"), 101_000 + i);
        keep(dir.path(), &format!("slow{i}"), 200_000 + i);
    }
    let compare = |args: &str| {
        let args: Vec<&str> = ["compare"].into_iter().chain(args.split(' ')).collect();
        let output = quorumeter(&args, dir.path());
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    const METRIC: &str = "--metric app.read.response.p50";
    const OLD: &str = "--fail-on-regression old1 old2 old3 old4";
    for (args, code, told) in [
        (format!("slow1 slow2 slow3 slow4 {METRIC} {OLD}"), 2, "REGRESSION of 1 metric of 1 judged"),
        (format!("same1 same2 same3 same4 {METRIC} {OLD}"), 0, "no regression seen in 1 metric"),
        (format!("slow1 slow2 slow3 slow4 {METRIC} --tolerance 150% {OLD}"), 0, "no regression seen"),
        (format!("slow1 slow2 slow3 {METRIC} --fail-on-regression old1 old2 old3"), 4, "NOT ENOUGH RUNS"),
        (format!("slow1 {METRIC} --inconclusive warn --fail-on-regression old1"), 0, "NOT ENOUGH RUNS"),
        (
            format!("slow1/summary.json slow2 slow3 slow4 {METRIC} {OLD}"),
            2,
            "Not checked, as a record without its run.json does not tell",
        ),
        ("old1 slow1".to_owned(), 0, "app.read.response.p50"),
        (format!("slow1 slow2 slow3 slow4 --json {METRIC} {OLD}"), 2, "\"conclusion\": \"regression\""),
        (
            format!("slow1 slow2 slow3 slow4 --format markdown {METRIC} {OLD}"),
            2,
            "### Against the baseline: ",
        ),
    ] {
        let (exit, out, error) = compare(&args);
        assert_eq!(exit, Some(code), "{args}: {out}{error}");
        assert!(out.contains(told), "{args}: {out}");
    }
    for (args, told) in [
        ("old1 old1", "the same run"),
        ("old1 nowhere", "not a run record"),
        ("old1/run.json", "has the format"),
        ("old1 --tolerance 10%", "--fail-on-regression"),
        ("old1 --tolerance much --fail-on-regression old2", "as in 10%"),
        ("old1 --metric nothing --fail-on-regression old2", "neither side has a metric `nothing`"),
    ] {
        let (exit, out, error) = compare(args);
        assert_eq!((exit, out), (Some(1), String::new()), "{args}: {error}");
        assert!(error.contains(told), "{args}: {error}");
    }
}

/// Options in docs/ci.md that are of other programs.
const OF_OTHERS: [&str; 5] = ["--release", "--locked", "--no-install-recommends", "--adapter", "--file"];

#[test]
fn the_documented_options_exist() {
    let dir = tempfile::tempdir().unwrap();
    let help = |command| text(&quorumeter(&[command, "--help"], dir.path()).stdout);
    let help: String = ["run", "failover", "compare", "report"].map(help).concat();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ci.md");
    let documentation = fs::read_to_string(path).unwrap();
    let is_of_option = |c: char| c.is_ascii_lowercase() || c == '-';
    let named = documentation.match_indices("--").map(|(at, _)| &documentation[at..]);
    let options: BTreeSet<&str> = named
        .map(|rest| rest.split(|c| !is_of_option(c)).next().unwrap_or_default())
        .filter(|option| option.trim_start_matches('-').len() > 2 && !option.starts_with("---"))
        .collect();
    assert!(options.len() > 10, "{options:?}");
    for option in options.iter().filter(|o| !OF_OTHERS.contains(o)) {
        assert!(help.contains(option), "{option}");
    }
}
