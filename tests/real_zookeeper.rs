//! Against Apache ZooKeeper itself.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use quorumeter_ensemble::launch::Launched;
use quorumeter_ensemble::launch::child::Wrapper;
use quorumeter_ensemble::launch::zookeeper::{Options, start};
use quorumeter_record::{RecordReader, Summary};
use rustix::process::Pid;

use support::{QUORUMETER, assert_gone, is_gone, measure, measure_on, real_zookeeper, srvr};

mod support;

/// Three Java processes are enough for one machine at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn zookeeper(members: u32, dir: &tempfile::TempDir) -> Launched {
    let mut options = Options::new(members, dir.path().join("zk"), Wrapper::Quorumeter(QUORUMETER.into()));
    options.ready_timeout = Duration::from_secs(120);
    start(&options).unwrap()
}

/// The server's own count of requests is the tool's, and afterwards nothing of the tool is there.
#[test]
fn the_members_count_what_the_tool_counts_and_nothing_is_left() {
    if real_zookeeper("the_members_count_what_the_tool_counts_and_nothing_is_left").is_none() {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let ensemble = zookeeper(3, &dir);
    let addresses: Vec<SocketAddr> = ensemble.members.iter().map(|member| member.address).collect();
    let received = || addresses.iter().map(|address| srvr(*address).received).sum::<u64>();
    let (before, nodes_before) = (received(), srvr(addresses[0]).node_count);
    // A closed loop, so that a slow machine makes it fewer ops and nothing else.
    let workload = "phases = { warmup = \"500ms\", measure = \"6s\" }\n[dataset]\nnodes = 4\n\
                    [[stream]]\nname = \"app\"\nsessions = 4\ndepth = 8\n\
                    mix = { read = 60, read_fresh = 10, write = 10, write_cas = 5, \"multi(3)\" = 15 }\n";
    let measured = measure_on(&addresses, workload);
    let after = received();
    let summary = measured.summary();
    assert!(summary.complete && summary.accounting.balanced && summary.accounting.ok > 100, "{summary:?}");
    assert_eq!(summary.accounting.unknown, 0, "{summary:?}");
    let (theirs, ours) = (after - before, summary.accounting.requests);
    // Theirs has the looks of this test, the prefill, the clean-up and the samples, too.
    assert!(theirs >= ours && (theirs - ours) as f64 <= 0.03 * theirs as f64, "{theirs} {ours}");
    // A follower may be a moment behind the last delete.
    let begun = Instant::now();
    while srvr(addresses[0]).node_count != nodes_before {
        assert!(begun.elapsed() < Duration::from_secs(10), "znodes are left: {:?}", srvr(addresses[0]));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn three_members_serve_a_run_and_are_gone_after_it() {
    if real_zookeeper("three_members_serve_a_run_and_are_gone_after_it").is_none() {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(QUORUMETER)
        .args([
            "run",
            "--ensemble",
            "zookeeper:3",
            "--server",
            "tickTime=1000",
            "--rate",
            "200/s",
            "--warmup",
            "500ms",
        ])
        .args(["--duration", "2s", "--set", "dataset.nodes=200", "--set", "client.session_timeout=20s"])
        .args(["--out", "record", "--json"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    // A busy machine may make the generator late, which is no failure of the run.
    assert_eq!(output.status.code(), Some(0), "{error}");
    let summary: Summary = serde_json::from_slice(&output.stdout).unwrap();
    assert!(summary.complete && summary.accounting.balanced && summary.accounting.ok > 100, "{summary:?}");
    let record = RecordReader::open(&dir.path().join("record")).unwrap();
    let target = record.manifest().target.as_ref().unwrap();
    assert_eq!(target.settings["tickTime"], "1000");
    assert_eq!(target.fsync, "fsync");
    assert_eq!(target.session_timeout_ns, 20_000_000_000);
    let roles: Vec<_> = target.members.iter().filter_map(|m| m.role.as_deref()).collect();
    assert_eq!(roles.iter().filter(|r| **r == "leader").count(), 1, "{roles:?}");
    let samples = record.members().unwrap().map(Result::unwrap);
    assert!(samples.filter(|s| s.process.is_some() && s.packets_received.is_some()).count() >= 3);
    for member in &target.members {
        let pid = Pid::from_raw(member.pid.unwrap() as i32).unwrap();
        assert!(is_gone(pid), "{pid:?} is left");
    }
    assert!(dir.path().join("record/ensemble/zk-1/zookeeper.log").exists(), "the logs stay with the run");
}

/// SIGKILL of the parent takes real members with it.
#[test]
fn no_real_member_outlives_a_killed_parent() {
    if real_zookeeper("no_real_member_outlives_a_killed_parent").is_none() {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let mut up = Command::new(QUORUMETER)
        .args(["ensemble", "up", "zookeeper:1", "--data-dir"])
        .arg(dir.path().join("zk"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = std::io::BufReader::new(up.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    assert!(line.starts_with("zk://127.0.0.1:"), "{line}");
    line.clear();
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    let pid = line.split("pid ").nth(1).and_then(|rest| rest.split(',').next()).unwrap().parse().unwrap();
    let pid = Pid::from_raw(pid).unwrap();
    assert!(!is_gone(pid));
    up.kill().unwrap();
    up.wait().unwrap();
    assert_gone(&[pid]);
}

/// Watches on children, of every kind: the server's own version of a node's children counts them.
#[test]
fn real_watches_on_children_are_told_in_full() {
    if real_zookeeper("real_watches_on_children_are_told_in_full").is_none() {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let ensemble = zookeeper(1, &dir);
    let workload = "phases = { warmup = \"500ms\", measure = \"2s\" }\n[dataset]\nnodes = 10\n\
                    [[stream]]\nname = \"app\"\nsessions = 2\ndepth = 2\nrate = \"100/s\"\nmix = { create_child = 1, delete = 1 }\n\
                    [[stream]]\nname = \"p\"\nsessions = 3\nwatch = { kind = \"persistent\", on = \"children\", watchers = 2 }\n\
                    [[stream]]\nname = \"r\"\nsessions = 3\nwatch = { kind = \"recursive\", on = \"children\", watchers = 2 }\n\
                    [[stream]]\nname = \"o\"\nsessions = 3\nwatch = { kind = \"one-shot\", on = \"children\", watchers = 2 }\n";
    let measured = measure(ensemble.members[0].address, workload);
    let summary = measured.summary();
    let changes = summary.ops["app.create_child"].ok + summary.ops["app.delete"].ok;
    for name in ["p", "r", "o"] {
        let w = &summary.watches[name];
        assert_eq!((w.lost, w.duplicate, w.unmatched), (0, 0, 0), "{name}: {w:?}");
    }
    for name in ["p", "r"] {
        assert_eq!(summary.ops[&format!("{name}.watch_delivery")].ok, 2 * changes);
        let fan_out = &summary.watches[name].fan_out;
        assert_eq!((fan_out.complete, fan_out.incomplete), (changes, 0), "{name}");
    }
    assert!(summary.watches["o"].events > 0);
}

/// Watches against the real thing: what it owes is delivered.
#[test]
fn real_watches_are_told_in_full() {
    if real_zookeeper("real_watches_are_told_in_full").is_none() {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let ensemble = zookeeper(1, &dir);
    let workload = "phases = { warmup = \"500ms\", measure = \"2s\" }\n[dataset]\nnodes = 10\n\
                    [[stream]]\nname = \"app\"\nsessions = 2\ndepth = 2\nrate = \"100/s\"\nmix = { write = 1 }\n\
                    [[stream]]\nname = \"p\"\nsessions = 3\nwatch = { kind = \"persistent\", watchers = 2 }\n\
                    [[stream]]\nname = \"o\"\nsessions = 3\nwatch = { kind = \"one-shot\", watchers = 2 }\n";
    let measured = measure(ensemble.members[0].address, workload);
    let summary = measured.summary();
    let writes = summary.ops["app.write"].ok;
    let (p, o) = (&summary.watches["p"], &summary.watches["o"]);
    assert_eq!((p.lost, p.duplicate, p.unmatched), (0, 0, 0), "{p:?}");
    assert_eq!((o.lost, o.duplicate, o.unmatched), (0, 0, 0), "{o:?}");
    // Two watchers for each write of the measured window.
    assert_eq!(summary.ops["p.watch_delivery"].ok, 2 * writes);
}

/// A leader that is killed is missed for as long as its followers elect at least (200 ms: `FastLeaderElection` waits so
/// long for a better vote), it is back afterwards, and nothing that was acknowledged is lost.
#[test]
fn a_leader_that_dies_is_missed_and_nothing_is_lost() {
    if real_zookeeper("a_leader_that_dies_is_missed_and_nothing_is_lost").is_none() {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let output = Command::new(QUORUMETER)
        .args([
            "failover",
            "--ensemble",
            "zookeeper:3",
            "--server",
            "tickTime=500",
            "--server",
            "syncLimit=4",
        ])
        .args([
            "--repetitions",
            "2",
            "--baseline",
            "4s",
            "--settle",
            "0s",
            "--json",
            "--inconclusive",
            "warn",
        ])
        .args(["--require", "lost_acked_writes == 0", "--out"])
        .arg(&out)
        .current_dir(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let summary: Summary = serde_json::from_slice(&output.stdout).unwrap();
    let failover = summary.failover.as_ref().unwrap();
    assert_eq!((failover.planned, failover.repetitions.len()), (2, 2), "{said}");
    for repetition in &failover.repetitions {
        println!("{repetition:#?}");
        // A machine that stalls makes a sample that does not count, and says so.
        if !repetition.valid {
            continue;
        }
        let gap = repetition.values["ack_gap_any_ns"];
        assert!(gap > 200_000_000 && gap < 60_000_000_000, "{repetition:?}");
        assert_eq!(repetition.values["lost_acked_writes"], 0);
        assert_eq!(repetition.victims.len(), 1);
        assert!(repetition.instants_ns.contains_key("t9"), "{repetition:?}");
    }
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("run.json")).unwrap()).unwrap();
    let pids = manifest["target"]["members"].as_array().unwrap().iter();
    let pids: Vec<Pid> = pids.map(|m| Pid::from_raw(m["pid"].as_i64().unwrap() as i32).unwrap()).collect();
    assert_gone(&pids);
}
