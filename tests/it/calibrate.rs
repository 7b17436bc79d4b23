//! `quorumeter calibrate`, with steps as short as can be: what it prints has the right shape and agrees with itself.
//! How fast the machine is, is no matter.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use quorumeter_record::{Calibration, Manifest, RateTrial, Summary};
use rustix::process::Signal;

use super::interrupted::{signal, wait};
use crate::support::QUORUMETER;

/// This program with a state folder and a folder for temporary files of its own.
fn quorumeter(home: &Path, args: &[&str]) -> Command {
    fs::create_dir_all(home.join("tmp")).unwrap();
    let mut command = Command::new(QUORUMETER);
    command.args(args).current_dir(home);
    command.env("XDG_STATE_HOME", home.join("state")).env("TMPDIR", home.join("tmp"));
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A short run, its manifest, and its report with words one blank apart.
fn run(home: &Path, name: &str) -> (Manifest, Summary, String) {
    let args = ["run", "--ensemble", "null", "--warmup", "0s", "--duration", "300ms", "--out", name];
    let output = quorumeter(home, &args).output().unwrap();
    // So short a run may have too few samples for a verdict, and has one that is no failure.
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let read = |file| fs::read(home.join(name).join(file)).unwrap();
    let manifest = serde_json::from_slice(&read("run.json")).unwrap();
    let summary = serde_json::from_slice(&read("summary.json")).unwrap();
    let report = text(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    (manifest, summary, report)
}

fn check(calibration: &Calibration) {
    assert!(calibration.complete);
    assert_eq!((calibration.schema.as_str(), calibration.step_ns), (Calibration::SCHEMA, 200_000_000));
    let depths: Vec<u32> = calibration.depths.iter().map(|cost| cost.depth).collect();
    assert_eq!(depths, [1, 4, 16, 64, 256]);
    for cost in &calibration.depths {
        assert!(cost.rate > 0.0 && cost.cpu_per_op_ns.is_some_and(|ns| ns > 0), "{cost:?}");
    }
    let timers: Vec<&str> = calibration.timers.iter().map(|lag| lag.timer.as_str()).collect();
    assert_eq!(timers, ["timerfd", "spin", "tokio"]);
    for timer in &calibration.timers {
        assert!(timer.schedule_lag_ns.is_some() != timer.skipped.is_some(), "{timer:?}");
        assert!(timer.schedule_lag_ns.as_ref().is_none_or(|lag| lag.count > 0), "{timer:?}");
    }
    let holds = |trial: &&RateTrial| trial.limits.is_empty();
    for trial in calibration.search.iter().filter(holds) {
        assert!(trial.schedule_lag_ns.p99.is_some_and(|p99| p99 < 1_000_000), "{trial:?}");
        assert!(trial.busiest_worker <= 0.9, "{trial:?}");
    }
    // The highest rate held twice. Above it nothing did before a rate no higher had failed twice.
    let count = |rate: f64, held: bool| {
        calibration.search.iter().filter(|t| t.offered_rate == rate && t.limits.is_empty() == held).count()
    };
    if let Some(highest) = calibration.highest_rate {
        assert!(count(highest, true) >= 2, "{:?}", calibration.search);
        let failed: Vec<f64> = calibration
            .search
            .iter()
            .map(|t| t.offered_rate)
            .filter(|rate| count(*rate, false) >= 2)
            .collect();
        for trial in calibration.search.iter().filter(|t| t.offered_rate > highest) {
            let explained = failed.iter().any(|rate| *rate <= trial.offered_rate);
            assert!(
                explained || calibration.highest_rate_is_lower_bound,
                "{trial:?} of {:?}",
                calibration.search
            );
        }
    }
    let findings = calibration.findings.join("\n");
    assert!(findings.contains("the null server and the generator share"), "{findings}");
}

#[test]
fn a_calibration_is_kept_and_shown_where_it_counts() {
    let home = tempfile::tempdir().unwrap();
    let (manifest, _, report) = run(home.path(), "before");
    assert_eq!((manifest.environment.calibration, manifest.environment.calibration_unused), (None, None));
    assert!(!report.contains("calibrat"), "{report}");

    let output = quorumeter(home.path(), &["calibrate", "--json", "--duration", "200ms"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let calibration: Calibration = serde_json::from_slice(&output.stdout).unwrap();
    check(&calibration);
    let file = home.path().join("state/quorumeter/calibration.json");
    assert_eq!(text(&fs::read(&file).unwrap()), text(&output.stdout), "what is kept is what is printed");
    assert_eq!(fs::read_dir(home.path().join("tmp")).unwrap().count(), 0, "no record is left");

    let (manifest, _, report) = run(home.path(), "calibrated");
    let note = manifest.environment.calibration.unwrap();
    assert_eq!(note.calibrated, calibration.calibrated.rfc3339);
    assert_eq!(note.highest_rate, calibration.highest_rate);
    assert!(report.contains("this machine's generator was calibrated at"), "{report}");
    let again = quorumeter(home.path(), &["report", "calibrated"]).output().unwrap();
    fs::remove_file(&file).unwrap();
    let pure = quorumeter(home.path(), &["report", "calibrated"]).output().unwrap();
    assert_eq!(text(&again.stdout), text(&pure.stdout), "a report is made from the record alone");

    // One of another machine, and one that is damaged, fail nothing.
    let mut other = calibration;
    other.machine.host = "0".repeat(40);
    for (name, contents, why) in [
        ("other", serde_json::to_string(&other).unwrap(), "is of another host"),
        ("damaged", "{\"schema\": \"quorumeter.cal".to_owned(), "cannot be read"),
    ] {
        fs::write(&file, contents).unwrap();
        let (manifest, summary, report) = run(home.path(), name);
        assert_eq!(manifest.environment.calibration, None);
        assert!(manifest.environment.calibration_unused.is_some_and(|told| told.contains(why)));
        let warned = |warning: &String| warning.contains("does not count") && warning.contains(why);
        assert!(summary.warnings.iter().any(warned), "{:?}", summary.warnings);
        assert!(!report.contains("was calibrated at"), "{report}");
    }
}

#[test]
fn a_signal_ends_a_calibration_in_order_and_keeps_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut child = quorumeter(home.path(), &["calibrate", "--json", "--duration", "500ms"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("depth 4:")));
    let stdout = child.stdout.take().unwrap();
    std::thread::spawn(move || lines.for_each(drop));
    signal(&child, Signal::INT);
    let status = wait(child, Duration::from_secs(60));
    assert_eq!(status.code(), Some(4));
    let calibration: Calibration = serde_json::from_reader(stdout).unwrap();
    assert!(!calibration.complete && calibration.highest_rate.is_none());
    assert!(calibration.depths.len() >= 2 && calibration.search.is_empty(), "{calibration:?}");
    assert!(calibration.findings[0].contains("ended early"), "{:?}", calibration.findings);
    assert!(!home.path().join("state").exists(), "nothing is kept");
    assert_eq!(fs::read_dir(home.path().join("tmp")).unwrap().count(), 0, "no record is left");
}

#[test]
fn a_file_can_be_named_and_wrong_lengths_are_told() {
    let home = tempfile::tempdir().unwrap();
    let said = |args: &[&str]| {
        let output = quorumeter(home.path(), args).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let (code, error) = said(&["calibrate", "--duration", "1ms"]);
    assert!(code == Some(1) && error.contains("it goes from 100ms"), "{code:?} {error}");
    let (code, error) = said(&["calibrate", "--workers", "0"]);
    assert!(code == Some(1) && error.contains("--workers"), "{code:?} {error}");
    let (code, error) = said(&["calibrate", "--duration", "100ms", "--out", "here.json"]);
    assert_eq!(code, Some(0), "{error}");
    let kept: Calibration =
        serde_json::from_slice(&fs::read(home.path().join("here.json")).unwrap()).unwrap();
    assert!(kept.complete && error.contains("kept in here.json"), "{error}");
    assert!(!home.path().join("state").exists());
}
