//! Signals, death and full disks in the middle of a run.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use quorumeter_ensemble::scripted::{Action, Step, Trigger};
use quorumeter_experiments::signals::hang_up_is_ignored;
use quorumeter_record::{EventKind, RecordReader, Summary, Verdict};
use quorumeter_results::analyse;
use quorumeter_zk::OpCode;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{QUORUMETER, assert_gone, scripted, srvr};

/// A long run, once it has reached a phase; on the embedded server unless `more` says otherwise.
fn run_until(out: &Path, phase: &str, more: &[&str]) -> Child {
    let mut child = Command::new(QUORUMETER)
        .args(["run", "--warmup", "300ms", "--rate", "500/s"])
        .args(if more.contains(&"--duration") { &[][..] } else { &["--duration", "60s"] })
        .args(["--set", "engine.interval=500ms", "--set", "dataset.nodes=1000"])
        .args(more)
        .arg("--out")
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

pub(crate) fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

pub(crate) fn wait(mut child: Child, limit: Duration) -> ExitStatus {
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

#[test]
fn the_first_signal_ends_the_measurement_in_order() {
    for how in [Signal::INT, Signal::TERM] {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("run");
        let child = run_until(&out, "measure", &[]);
        signal(&child, how);
        let status = wait(child, Duration::from_secs(60));
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

/// `2>&1 | head` closes standard error in the middle of a run.
#[test]
fn a_reader_of_the_progress_that_goes_away_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let mut child = Command::new(QUORUMETER)
        .args(["run", "--warmup", "300ms", "--rate", "500/s", "--duration", "2s"])
        .args(["--set", "engine.interval=500ms", "--set", "dataset.nodes=1000", "--out"])
        .arg(&out)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    let status = wait(child, Duration::from_secs(60));
    assert!(matches!(status.code(), Some(0 | 4)), "{status}");
    let record = RecordReader::open(&out).unwrap();
    assert!(record.summary().unwrap().unwrap().complete);
    assert_gone(&member_pids(&record));
}

/// On a server that outlives the run one can see what is left: nothing, at whatever point the run is stopped.
#[test]
fn a_stopped_run_leaves_nothing_on_the_target() {
    let server = scripted(Vec::new());
    let target = format!("zk://{}", server.address());
    let nodes = srvr(server.address()).node_count;
    for phase in ["connect", "precheck", "prefill", "warm-up", "measure"] {
        for how in [Signal::INT, Signal::TERM, Signal::HUP] {
            // A child inherits what its parent ignores, and then does, too.
            if how == Signal::HUP && hang_up_is_ignored() {
                continue;
            }
            let dir = tempfile::tempdir().unwrap();
            let out = dir.path().join("run");
            let child = run_until(&out, phase, &["--target", &target]);
            signal(&child, how);
            let status = wait(child, Duration::from_secs(60));
            assert!(matches!(status.code(), Some(0 | 4)), "{phase} {how:?}: {status}");
            assert!(analyse(&RecordReader::open(&out).unwrap()).unwrap().summary.complete);
            assert_eq!(srvr(server.address()).node_count, nodes, "{phase} {how:?}");
        }
    }
}

/// Under `nohup` a run outlives its terminal.
#[test]
fn an_ignored_hang_up_does_not_end_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let mut child = Command::new("sh")
        .args([
            "-c",
            "trap '' HUP; exec \"$@\"",
            "sh",
            QUORUMETER,
            "run",
            "--duration",
            "2s",
            "--warmup",
            "0s",
        ])
        .args(["--rate", "100/s", "--set", "engine.interval=200ms", "--set", "dataset.nodes=10", "--out"])
        .arg(&out)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for_intervals(&out, 2);
    signal(&child, Signal::HUP);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let measured_s = analyse(&RecordReader::open(&out).unwrap()).unwrap().summary.measured_s;
    assert!(measured_s > 1.9, "{measured_s}");
}

/// A first signal while it cleans up already is no reason to leave it half done.
#[test]
fn a_signal_during_the_clean_up_does_not_end_it() {
    let at_first_delete = Trigger::AtOp { op: Some(OpCode::DELETE), number: 1 };
    let slow = Action::DelayReplies(Duration::from_millis(300));
    let server = scripted(vec![Step { when: at_first_delete, what: slow }]);
    let target = format!("zk://{}", server.address());
    let nodes = srvr(server.address()).node_count;
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let child = run_until(&out, "clean up", &["--target", &target, "--duration", "500ms"]);
    signal(&child, Signal::INT);
    let status = wait(child, Duration::from_secs(60));
    assert_eq!(status.code(), Some(0), "{status}");
    assert_eq!(srvr(server.address()).node_count, nodes);
}

/// A target that says nothing more after the handshake must not hold the run against its user.
#[test]
fn a_run_on_a_target_that_hangs_can_be_stopped() {
    let at_first_create = Trigger::AtOp { op: Some(OpCode::CREATE), number: 1 };
    let stall = Action::Stall(Duration::from_secs(300));
    let server = scripted(vec![Step { when: at_first_create, what: stall }]);
    let target = format!("zk://{}", server.address());
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let child = run_until(&out, "precheck", &["--target", &target]);
    signal(&child, Signal::INT);
    // The second one is another signal only when the first has been taken.
    wait_for_event(&out, "\"stop\"");
    signal(&child, Signal::INT);
    let status = wait(child, Duration::from_secs(25));
    // 4 when the first signal came before anything was asked that hangs.
    assert!(matches!(status.code(), Some(4 | 5)), "{status}");
}

fn wait_for_event(out: &Path, text: &str) {
    let begun = Instant::now();
    while !fs::read_to_string(out.join("events.ndjson")).unwrap_or_default().contains(text) {
        assert!(begun.elapsed() < Duration::from_secs(30), "no event {text}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A server of the run's own that dies is no result of the ensemble's: what was measured until then is reported, and
/// the verdict is an error.
#[test]
fn a_run_whose_own_member_dies_ends_with_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let child = run_until(&out, "measure", &["--set", "phases.drain=1s"]);
    wait_for_intervals(&out, 3);
    let pids = member_pids(&RecordReader::open(&out).unwrap());
    assert_eq!(pids.len(), 1);
    kill_process(pids[0], Signal::KILL).unwrap();
    let status = wait(child, Duration::from_secs(60));
    assert_eq!(status.code(), Some(5), "{status}");
    let record = RecordReader::open(&out).unwrap();
    let summary = analyse(&record).unwrap().summary;
    assert!(summary.complete && summary.accounting.balanced, "{summary:?}");
    assert_eq!(summary.verdict, Verdict::Error);
    assert!(summary.reasons[0].contains("could not go on"), "{:?}", summary.reasons);
    assert!(summary.ops["app.read"].ok > 0, "what was measured is there");
}

/// When the ends of the intervals of the load are, from the record, nanoseconds.
fn interval_ends(out: &Path) -> Vec<u64> {
    let text = fs::read_to_string(out.join("intervals.ndjson")).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let ends = whole.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["end_ns"].as_u64().unwrap()
    });
    ends.collect::<std::collections::BTreeSet<u64>>().into_iter().collect()
}

fn wait_for_intervals(out: &Path, count: usize) {
    let begun = Instant::now();
    while interval_ends(out).len() < count {
        assert!(begun.elapsed() < Duration::from_secs(30), "no {count} intervals");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Killed without any chance to act: no process is left, and the record lacks one interval at most.
#[test]
fn a_killed_run_leaves_a_readable_record_and_no_process() {
    /// How far a busy machine may be behind with writing an interval, beyond that interval.
    const BEHIND: Duration = Duration::from_secs(1);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let mut child = run_until(&out, "measure", &[]);
    wait_for_intervals(&out, 4);
    signal(&child, Signal::KILL);
    let killed_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    child.wait().unwrap();
    let record = RecordReader::open(&out).unwrap();
    assert_gone(&member_pids(&record));
    let killed_ns = killed_at.as_nanos() as u64 - record.manifest().wall_start.unix_ns;
    let missing = Duration::from_nanos(killed_ns - interval_ends(&out).last().unwrap());
    assert!(missing < Duration::from_millis(500) + BEHIND, "{missing:?} are missing");
    let analysis = analyse(&record).unwrap();
    let summary = &analysis.summary;
    assert!(!summary.complete && summary.verdict == Verdict::Error, "{summary:?}");
    assert!(summary.ops["app.read"].ok > 0, "what was measured is there");
    let report = Command::new(QUORUMETER).arg("report").arg(&out).output().unwrap();
    assert_eq!(report.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&report.stdout).contains("the record is incomplete"));
}

/// A limit on the size of files stands for a full disk: the run says so, cleans up, and ends.
#[test]
fn a_full_disk_is_told_and_the_target_is_cleaned() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let server = scripted(Vec::new());
    let nodes = srvr(server.address()).node_count;
    let script = "trap '' XFSZ; ulimit -f 40; exec \"$@\"";
    let output = Command::new("sh")
        .args(["-c", script, "sh", QUORUMETER, "run", "--duration", "30s", "--warmup", "0s"])
        .args(["--set", "engine.interval=100ms", "--set", "dataset.nodes=100"])
        .args(["--target", &format!("zk://{}", server.address()), "--json", "--out"])
        .arg(&out)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{error}");
    assert!(error.contains("cannot write") && error.contains("File too large"), "{error}");
    assert_eq!(srvr(server.address()).node_count, nodes, "{error}");
    let record = RecordReader::open(&out).unwrap();
    // The sessions' events come with their interval; those of the run itself stand in the order of their times.
    let events = record.events().unwrap().map(Result::unwrap);
    let own = events.filter(|e| matches!(e.kind, EventKind::Phase { .. } | EventKind::Stop { .. }));
    let times: Vec<u64> = own.map(|e| e.t_ns).collect();
    assert!(times.len() > 3 && times.is_sorted(), "{times:?}");
    let analysis = analyse(&record).unwrap();
    let summary: Summary = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary, analysis.summary);
    assert_eq!(record.summary().unwrap().unwrap(), summary);
    assert!(!summary.complete && summary.verdict == Verdict::Error);
    assert!(summary.reasons[0].contains("could not go on"), "{:?}", summary.reasons);
    assert!(!summary.reasons.iter().any(|r| r.contains("killed")), "{:?}", summary.reasons);
    let window = analysis.window.unwrap();
    assert!(window.end_ns > window.start_ns, "what fitted is there");
    assert_eq!(window.end_ns, *interval_ends(&out).last().unwrap(), "and nothing else is divided by");
    // Divided by the planned 30 s it would be a small part of what is offered, 4,000 per second.
    let rate = analysis.summary.streams["app"].rate;
    assert!(rate > 1000.0, "{rate}");
}

/// A run that cannot begin has a whole record, which says why.
#[test]
fn a_run_that_never_had_a_target_has_a_summary() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let output = Command::new(QUORUMETER)
        .args(["run", "--json", "--set", "client.connect_limit=1s", "--target"])
        .arg(format!("zk://{nobody}"))
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&output.stderr).contains("error: cannot connect to"));
    let summary: Summary = serde_json::from_slice(&output.stdout).unwrap();
    assert!(summary.complete && summary.verdict == Verdict::Error, "{summary:?}");
    assert!(summary.reasons[0].contains("cannot connect to"), "{:?}", summary.reasons);
    assert_eq!(RecordReader::open(&out).unwrap().summary().unwrap(), Some(summary));
}
