//! Independent clients against the embedded server: what they need of a ZooKeeper, it does.
//!
//! The Rust client `zookeeper-client` has its test in `benches/`, where its dependencies are.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use quorumeter_ensemble::launch::{Kind, Launched, own};

use support::{QUORUMETER, kazoo, real_zookeeper};

mod support;

fn embedded(dir: &Path) -> Launched {
    own::start(Kind::Embedded, 1, &dir.join("embedded"), &Default::default(), QUORUMETER.as_ref()).unwrap()
}

/// kazoo's locks, elections, barriers, queues, counters, parties, watchers and transactions.
#[test]
fn the_recipes_of_kazoo_work() {
    let Some(mut python) = kazoo("the_recipes_of_kazoo_work") else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = embedded(dir.path());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/recipes.py");
    let output = python.arg(script).arg(server.members[0].address.to_string()).output().unwrap();
    let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{error}");
    assert!(said.ends_with("all 16\n"), "{said}");
}

/// Apache's own shell, fed with a script.
#[test]
fn apaches_shell_works() {
    let Some(zookeeper) = real_zookeeper("apaches_shell_works") else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = embedded(dir.path());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/zkcli.txt");
    let output = Command::new(zookeeper.java)
        .arg("-cp")
        .arg(zookeeper.lib.join("*"))
        .args(["org.apache.zookeeper.ZooKeeperMain", "-server", &server.members[0].address.to_string()])
        .stdin(Stdio::from(File::open(script).unwrap()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    // Its log, on the same stream, has a time first.
    let said: Vec<&str> = said
        .lines()
        .filter(|line| !line.starts_with(|c: char| c.is_ascii_digit()) || line.len() < 3)
        .collect();
    for expected in [
        "Created /cli/s-0000000000",
        "Created /cli/container",
        "Created /cli/ttl",
        "[container, ephemeral, s-0000000000, ttl]",
        "version No is not valid : /cli",
        "second",
        "dataVersion = 1",
        "numChildren = 4",
        "'digest,'user:5w9W4eL3797Y4Wq8AcKUPPk8ha4=",
        "[/cli/ephemeral]",
        "Sync is OK",
        "Output stat for /cli count=7,bytes=13",
        "digest: user",
        "[zookeeper]",
    ] {
        assert!(said.contains(&expected), "{expected:?} is missing: {said:#?}");
    }
    let event = |kind: &str| said.iter().any(|line| line.contains(&format!("type:{kind} path:/cli")));
    assert!(event("NodeCreated") && event("PersistentWatchRemoved"), "{said:#?}");
}
