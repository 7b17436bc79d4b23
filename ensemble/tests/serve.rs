//! Members as processes of their own: this test's binary runs itself as the server.

mod raw;

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use quorumeter_ensemble::{embedded, null};
use raw::Raw;
use rustix::process::{Pid, Signal, kill_process};

const ANNOUNCE: &str = "QUORUMETER_TEST_ANNOUNCE";

/// Not a test of its own: what the child processes of the test below run.
#[test]
fn child() {
    let Some(announce) = std::env::var_os(ANNOUNCE) else { return };
    let announce = Some(announce.into());
    if std::env::var("QUORUMETER_TEST_KIND").unwrap() == "null" {
        null::serve(&null::Options { announce, ..null::Options::default() }).unwrap();
    } else {
        embedded::serve(embedded::Options { announce, ..embedded::Options::default() }).unwrap();
    }
}

#[test]
fn a_process_announces_its_address_and_serves_until_terminated() {
    for kind in ["embedded", "null"] {
        let folder = tempfile::tempdir().unwrap();
        let announce = folder.path().join("address");
        let mut child = Guard(
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "child"])
                .env(ANNOUNCE, &announce)
                .env("QUORUMETER_TEST_KIND", kind)
                .stdout(Stdio::null())
                .spawn()
                .unwrap(),
        );
        let announcement = announced(&announce);
        let addresses: Vec<SocketAddr> = announcement.lines().map(|line| line.parse().unwrap()).collect();
        let mut raw = Raw::connect(addresses[0]);
        // Only a member has an AdminServer.
        assert_eq!(addresses.len(), if kind == "embedded" { 2 } else { 1 });
        assert!(addresses.iter().all(|address| TcpStream::connect(address).is_ok()));
        assert_eq!(raw.create("/a", b"", 0).header.err.0, 0);
        let pid = Pid::from_raw(child.0.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        assert!(child.0.wait().unwrap().success(), "{kind} ends in order");
        assert!(raw.is_closed());
    }
}

/// The addresses, once they are there. The file appears whole.
fn announced(path: &Path) -> String {
    let begin = Instant::now();
    loop {
        if let Ok(announcement) = std::fs::read_to_string(path) {
            return announcement;
        }
        assert!(begin.elapsed() < raw::PATIENCE, "no announcement");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// A child that does not outlive the test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
