//! etcd and Consul as ensembles: they start, keep what they were told, and are gone with who started them.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quorumeter_ensemble::launch::{LaunchError, consul, etcd, http};
use rustix::process::{Pid, Signal, kill_process};
use support::{QUORUMETER, assert_gone, skip};

mod support;

/// Longest wait for one answer.
const LIMIT: Duration = Duration::from_secs(30);

/// Three members are enough for one machine at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the server is installed; if not, says that `test` is skipped.
fn is_there(program: Result<PathBuf, LaunchError>, test: &str) -> bool {
    program.inspect_err(|error| skip(test, &error.to_string())).is_ok()
}

/// `quorumeter ensemble up`, and what it printed.
struct Up {
    child: Child,
    _out: BufReader<ChildStdout>,
    url: String,
    pids: Vec<Pid>,
}

impl Up {
    fn start(ensemble: &str, dir: &Path, members: usize) -> Up {
        let mut child = Command::new(QUORUMETER)
            .args(["ensemble", "up", ensemble, "--data-dir"])
            .arg(dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = || {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        };
        let url = line();
        let pids = (0..members)
            .map(|_| {
                let line = line();
                let pid = line.split("pid ").nth(1).and_then(|rest| rest.split(',').next());
                Pid::from_raw(pid.unwrap().parse().unwrap()).unwrap()
            })
            .collect();
        Up { child, _out: out, url, pids }
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        let (_, members) = self.url.split_once("://").unwrap();
        members.split(',').map(|member| member.parse().unwrap()).collect()
    }

    /// Ctrl-C, after which it ends by itself and so do its members.
    fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        assert!(self.child.wait().unwrap().success());
        assert_gone(&self.pids);
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        assert_gone(&self.pids);
    }
}

/// Asks until the answer holds this, which may take an election.
fn ask_until(member: SocketAddr, (method, path, body): (&str, &str, &str), holds: &str) {
    let begun = Instant::now();
    loop {
        let (status, answer) = http::ask(member, method, path, body, LIMIT).unwrap();
        if status == 200 && answer.contains(holds) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{method} {path}: {status} {answer}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What is written to one member is read from the others, also after all were stopped, killed, and started from their data.
fn keeps_what_it_is_told(
    kind: &str,
    write: (&str, &str, &str),
    written: &str,
    read: (&str, &str, &str),
    value: &str,
) {
    let dir = tempfile::tempdir().unwrap();
    let ensemble = format!("{kind}:3");
    let up = Up::start(&ensemble, dir.path(), 3);
    assert!(up.url.starts_with(&format!("{kind}://127.0.0.1:")), "{}", up.url);
    let members = up.addresses();
    assert_eq!(members.len(), 3);
    ask_until(members[0], write, written);
    ask_until(members[1], read, value);
    up.stop();

    let up = Up::start(&ensemble, dir.path(), 3);
    assert_eq!(up.addresses(), members, "members of {kind} know each other by address");
    ask_until(members[2], read, value);
    up.kill();

    let refused = Command::new(QUORUMETER)
        .args(["ensemble", "up", &format!("{kind}:5"), "--data-dir"])
        .arg(dir.path())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{error}");
    assert!(error.contains("holds the data of 3 members"), "{error}");
    for log in 1..=3 {
        assert!(dir.path().join(format!("{kind}-{log}/{kind}.log")).exists());
    }
}

#[test]
fn etcd_keeps_what_it_is_told_and_is_gone_with_its_parent() {
    if !is_there(etcd::program(), "etcd_keeps_what_it_is_told_and_is_gone_with_its_parent") {
        return;
    }
    let _alone = alone();
    // Of /quorumeter and x, in Base64.
    keeps_what_it_is_told(
        "etcd",
        ("POST", "/v3/kv/put", r#"{"key":"L3F1b3J1bWV0ZXI=","value":"eA=="}"#),
        "revision",
        ("POST", "/v3/kv/range", r#"{"key":"L3F1b3J1bWV0ZXI="}"#),
        r#""value":"eA==""#,
    );
}

#[test]
fn consul_keeps_what_it_is_told_and_is_gone_with_its_parent() {
    if !is_there(consul::program(), "consul_keeps_what_it_is_told_and_is_gone_with_its_parent") {
        return;
    }
    let _alone = alone();
    keeps_what_it_is_told(
        "consul",
        ("PUT", "/v1/kv/quorumeter", "x"),
        "true",
        ("GET", "/v1/kv/quorumeter?raw&consistent", ""),
        "x",
    );
}

#[test]
fn settings_are_in_force_or_their_refusal_is_told() {
    if !is_there(
        etcd::program().and_then(|_| consul::program()),
        "settings_are_in_force_or_their_refusal_is_told",
    ) {
        return;
    }
    let _alone = alone();
    let start = |setting: (&str, &str)| {
        let dir = tempfile::tempdir().unwrap();
        let settings = [(setting.0.to_owned(), setting.1.to_owned())].into();
        let wrapper = quorumeter_ensemble::launch::child::Wrapper::Quorumeter(QUORUMETER.into());
        let result = if setting.0.contains('-') {
            etcd::start(&etcd::Options { settings, ..etcd::Options::new(1, dir.path(), wrapper) })
        } else {
            consul::start(&consul::Options { settings, ..consul::Options::new(1, dir.path(), wrapper) })
        };
        // The folder goes with the members' end.
        result.map(|launched| (launched, dir))
    };
    let (launched, _dir) = start(("max-wals", "3")).unwrap();
    assert!(std::fs::read_to_string(&launched.members[0].log).unwrap().contains(r#""max-wals":3"#));
    assert_eq!(launched.settings["max-wals"], "3");
    drop(launched);
    let (launched, _dir) = start(("performance.raft_multiplier", "2")).unwrap();
    let (_, told) = http::get(launched.members[0].address, "/v1/agent/self", LIMIT).unwrap();
    assert!(told.contains(r#""ConsulRaftElectionTimeout":"2s""#), "{told}");
    assert_eq!(launched.settings["performance.raft_multiplier"], "2");
    drop(launched);
    for (setting, told) in [
        (("no-such-flag", "1"), "not defined: -no-such-flag"),
        (("no_such_key", "1"), "invalid config key no_such_key"),
    ] {
        let error = start(setting).unwrap_err();
        assert!(matches!(error, LaunchError::Died { .. }) && error.to_string().contains(told), "{error}");
    }
}
