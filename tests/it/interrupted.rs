//! Signals, death and full disks in the middle of a run.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use quorumeter_record::{RecordReader, Verdict};
use quorumeter_results::analyse;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::support::QUORUMETER;

/// A long run on the embedded server, once it has reached a phase.
fn run_until(out: &Path, phase: &str) -> Child {
    let mut child = Command::new(QUORUMETER)
        .args([
            "run",
            "--duration",
            "60s",
            "--warmup",
            "300ms",
            "--set",
            "engine.interval=200ms",
            "--rate",
            "500/s",
        ])
        .args(["--set", "dataset.nodes=1000", "--out"])
        .arg(out)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with(phase)), "the run reaches {phase}");
    // What follows is read, so that the run never waits for a reader.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn wait(mut child: Child, limit: Duration) -> ExitStatus {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    panic!("still running after {limit:?}");
}

fn member_pids(record: &RecordReader) -> Vec<Pid> {
    let target = record.manifest().target.as_ref().unwrap();
    target.members.iter().filter_map(|m| Pid::from_raw(m.pid? as i32)).collect()
}

fn assert_gone(pids: &[Pid]) {
    assert!(!pids.is_empty());
    let begun = Instant::now();
    while pids.iter().any(|pid| test_kill_process(*pid).is_ok()) {
        assert!(begun.elapsed() < Duration::from_secs(10), "{pids:?} are left");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_first_signal_ends_the_measurement_in_order() {
    for how in [Signal::INT, Signal::TERM] {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("run");
        let child = run_until(&out, "measure");
        signal(&child, how);
        let status = wait(child, Duration::from_secs(20));
        // There may be an ok op by then or not.
        assert!(matches!(status.code(), Some(0 | 4)), "{status}");
        let record = RecordReader::open(&out).unwrap();
        let analysis = analyse(&record).unwrap();
        assert!(analysis.summary.complete && analysis.summary.accounting.balanced, "{:?}", analysis.summary);
        assert!(analysis.summary.measured_s < 30.0);
        assert_eq!(record.summary().unwrap().unwrap().accounting, analysis.summary.accounting);
        assert_gone(&member_pids(&record));
    }
}

#[test]
fn a_signal_before_the_load_still_cleans_up() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let child = run_until(&out, "connect");
    signal(&child, Signal::INT);
    let status = wait(child, Duration::from_secs(20));
    assert!(matches!(status.code(), Some(0 | 4)), "{status}");
    assert!(analyse(&RecordReader::open(&out).unwrap()).unwrap().summary.complete);
}

/// Killed without any chance to act: no process is left, and the record lacks one interval at most.
#[test]
fn a_killed_run_leaves_a_readable_record_and_no_process() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let mut child = run_until(&out, "measure");
    std::thread::sleep(Duration::from_millis(700));
    let killed_at = fs::metadata(out.join("intervals.ndjson")).unwrap().modified().unwrap();
    signal(&child, Signal::KILL);
    child.wait().unwrap();
    let record = RecordReader::open(&out).unwrap();
    assert_gone(&member_pids(&record));
    let analysis = analyse(&record).unwrap();
    let summary = &analysis.summary;
    assert!(!summary.complete && summary.verdict == Verdict::Error, "{summary:?}");
    assert!(summary.ops["app.read"].ok > 0, "what was measured is there");
    // The record was written to less than an interval (and its writing) before the end.
    assert!(killed_at.elapsed().unwrap() < Duration::from_secs(5));
    let report = Command::new(QUORUMETER).arg("report").arg(&out).output().unwrap();
    assert_eq!(report.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&report.stdout).contains("the record is incomplete"));
}

/// A limit on the size of files stands for a full disk: the run says so, cleans up, and ends.
#[test]
fn a_full_disk_is_told_and_the_target_is_cleaned() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let script = "trap '' XFSZ; ulimit -f 40; exec \"$@\"";
    let output = Command::new("sh")
        .args(["-c", script, "sh", QUORUMETER, "run", "--duration", "30s", "--warmup", "0s"])
        .args(["--set", "engine.interval=100ms", "--set", "dataset.nodes=100", "--out"])
        .arg(&out)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{error}");
    assert!(error.contains("cannot write") && error.contains("File too large"), "{error}");
    assert!(error.contains("clean up"), "{error}");
    let record = RecordReader::open(&out).unwrap();
    let phases = record.events().unwrap().map_while(Result::ok);
    assert!(phases.count() > 3);
    let analysis = analyse(&record).unwrap();
    assert!(analysis.window.is_some_and(|w| w.end_ns > w.start_ns), "what fitted is there");
}
