//! For tests that need what not every machine has: they say so, or fail where it is required.
// Every test program compiles this file, and uses a part of it.
#![allow(dead_code)]

pub(crate) mod exporter;
pub(crate) mod http;
pub(crate) mod pair;
pub(crate) mod prometheus;

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use quorumeter_ensemble::embedded;
use quorumeter_ensemble::launch::{
    self,
    zookeeper::{Installation, Release},
};
use quorumeter_ensemble::scripted::{Script, Scripted, Step};
use quorumeter_experiments::observe::Nobody;
use quorumeter_experiments::run::POLL_PERIOD;
use quorumeter_experiments::{Audience, Finished, RunError, RunOptions, TargetSpec, run};
use quorumeter_loadgen::Workload;
use quorumeter_record::{EventKind, RecordReader, SessionChange, Summary};
use quorumeter_results::Analysis;
use quorumeter_zk::four_letter::Srvr;
use rustix::process::Pid;

/// Says that the test `name` cannot run here. The caller then returns.
///
/// The name and the reason go to standard error, past the test harness's capture, and to the file that
/// `QUORUMETER_SKIPS` names, from which `cargo xtask test` lists them.
///
/// # Panics
///
/// With `QUORUMETER_REQUIRE_SERVERS=1`, unless `tests/skips.txt` has the name.
pub(crate) fn skip(name: &str, reason: &str) {
    let allowed = include_str!("../skips.txt")
        .lines()
        .filter_map(|line| line.split_once(": "))
        .any(|(allowed, _)| allowed == name);
    if !allowed && std::env::var("QUORUMETER_REQUIRE_SERVERS").is_ok_and(|value| value == "1") {
        panic!(
            "{name} must run here, as QUORUMETER_REQUIRE_SERVERS=1 and tests/skips.txt does not have it: {reason}"
        );
    }
    // One line and one write each, because other tests write at the same time.
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    std::io::stderr()
        .write_all(format!("skipped: {name}: {reason}\n").as_bytes())
        .expect("standard error is open");
    if let Some(path) = std::env::var_os("QUORUMETER_SKIPS") {
        let mut file =
            OpenOptions::new().create(true).append(true).open(path).expect("QUORUMETER_SKIPS is writable");
        file.write_all(format!("{name}\t{reason}\n").as_bytes()).expect("QUORUMETER_SKIPS is writable");
    }
}

/// Apache ZooKeeper, or `None` after saying that `test` is skipped.
pub(crate) fn real_zookeeper(test: &str) -> Option<Installation> {
    installed(&Release::ALL[0], test)
}

/// The release before the current one, or `None` after saying that `test` is skipped.
pub(crate) fn older_zookeeper(test: &str) -> Option<Installation> {
    installed(&Release::ALL[1], test)
}

fn installed(release: &Release, test: &str) -> Option<Installation> {
    Installation::find(release).inspect_err(|error| skip(test, &error.to_string())).ok()
}

/// HdrHistogram's own reader of interval logs, to which arguments (`-i FILE -tag TAG -csv`) are to be added, or `None`
/// after saying that `test` is skipped.
pub(crate) fn hdr_log_processor(test: &str) -> Option<Command> {
    let found = launch::java().and_then(|java| Ok((java, launch::servers_dir()?)));
    let (java, servers) = found.inspect_err(|error| skip(test, &error.to_string())).ok()?;
    let jar = servers.join("hdrhistogram-2.2.2/lib/HdrHistogram-2.2.2.jar");
    if !jar.is_file() {
        skip(test, "HdrHistogram is not installed; `cargo xtask servers hdrhistogram` does that");
        return None;
    }
    let mut command = Command::new(java);
    command.arg("-cp").arg(jar).arg("org.HdrHistogram.HistogramLogProcessor");
    Some(command)
}

/// Whether a process is gone: it has ended, though perhaps nobody has waited for it. (Where the first process does not
/// collect orphans, as in many containers, they stay as zombies.)
pub(crate) fn is_gone(pid: Pid) -> bool {
    match std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())) {
        Err(_) => true,
        // The state stands behind the name, which may hold anything, also parentheses.
        Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(['Z', 'X'])),
    }
}

/// Waits until processes are gone.
pub(crate) fn assert_gone(pids: &[Pid]) {
    assert!(!pids.is_empty());
    let begun = Instant::now();
    while !pids.iter().all(|pid| is_gone(*pid)) {
        assert!(begun.elapsed() < Duration::from_secs(30), "{pids:?} are left");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What a server says of itself.
pub(crate) fn srvr(address: SocketAddr) -> Srvr {
    let mut stream = TcpStream::connect(address).expect("the server is there");
    stream.write_all(b"srvr").expect("it takes a word");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    Srvr::parse(&answer).expect("its answer is one")
}

/// Python with kazoo, to which a script is to be given, or `None` after saying that `test` is skipped.
pub(crate) fn kazoo(test: &str) -> Option<Command> {
    let servers = launch::servers_dir().inspect_err(|error| skip(test, &error.to_string())).ok()?;
    let lib = servers.join("kazoo-2.10.0/lib");
    if !lib.join("kazoo/__init__.py").is_file() {
        skip(test, "kazoo is not installed; `cargo xtask servers kazoo` does that");
        return None;
    }
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", lib);
    Some(command)
}

/// The binary under test.
pub(crate) const QUORUMETER: &str = env!("CARGO_BIN_EXE_quorumeter");

/// Runs the binary in a folder.
pub(crate) fn quorumeter(dir: &Path, args: &[&str]) -> Output {
    Command::new(QUORUMETER).args(args).current_dir(dir).output().expect("the binary can be run")
}

/// What was printed, whatever the lines that it was broken into.
pub(crate) fn words(printed: &[u8]) -> String {
    String::from_utf8_lossy(printed).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A run in this process against a server that is there already.
pub(crate) struct Measured {
    pub(crate) result: Result<Finished, RunError>,
    /// Keeps the record.
    dir: tempfile::TempDir,
}

impl Measured {
    /// What the run came to.
    pub(crate) fn analysis(&self) -> &Analysis {
        match &self.result {
            Ok(finished) => &finished.analysis,
            Err(error) => panic!("the run failed: {error}"),
        }
    }

    pub(crate) fn summary(&self) -> &Summary {
        &self.analysis().summary
    }

    pub(crate) fn record(&self) -> RecordReader {
        RecordReader::open(&self.folder()).expect("a record is there whatever happened")
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    /// Causes of the connections that went, in order.
    pub(crate) fn causes(&self, change: SessionChange) -> Vec<String> {
        let events = self.record().events().expect("the events are there");
        events
            .filter_map(|event| match event.expect("events are whole").kind {
                EventKind::Session { change: c, cause, .. } if c == change => Some(cause),
                _ => None,
            })
            .collect()
    }
}

/// Measures with a workload, given as TOML.
pub(crate) fn measure(server: SocketAddr, workload: &str) -> Measured {
    measure_with(&[server], workload, &[])
}

/// The same on several members.
pub(crate) fn measure_on(members: &[SocketAddr], workload: &str) -> Measured {
    measure_with(members, workload, &[])
}

/// The same with requirements.
pub(crate) fn measure_with(members: &[SocketAddr], workload: &str, requirements: &[&str]) -> Measured {
    let members: Vec<String> = members.iter().map(ToString::to_string).collect();
    let dir = tempfile::tempdir().expect("there is a folder for temporary files");
    let options = RunOptions {
        workload: Workload::read(workload, &[], || 1).expect("the test's workload is one"),
        target: TargetSpec::Url(
            format!("zk://{}", members.join(",")).parse().expect("an address makes a URL"),
        ),
        out: Some(dir.path().join("run")),
        requirements: requirements.iter().map(|r| (*r).to_owned()).collect(),
        command_line: Vec::new(),
        quorumeter: QUORUMETER.into(),
        audience: Audience::default(),
        poll_period: Some(POLL_PERIOD),
    };
    Measured { result: run(options, &mut Nobody).map_err(|failure| failure.error), dir }
}

/// A server that keeps to a script. Its ticks are short, so that session timeouts may be.
pub(crate) fn scripted(steps: Vec<Step>) -> Scripted {
    let member = embedded::Options { tick_time_ms: 100, ..embedded::Options::default() };
    Scripted::start(Script { steps, member, ..Script::default() }).expect("loopback can be listened on")
}
