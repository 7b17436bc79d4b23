//! `quorumeter export`, as a process.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::QUORUMETER;

/// Longer than anything here takes, on any machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// An exporter that runs; it is killed with this.
pub(crate) struct Exporter {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Exporter {
    /// Starts it, to listen at a port of its own.
    pub(crate) fn start<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Exporter {
        Exporter::start_with(&[], args)
    }

    /// The same with variables of the environment.
    pub(crate) fn start_with<S: AsRef<std::ffi::OsStr>>(env: &[(&str, &str)], args: &[S]) -> Exporter {
        let mut child = Command::new(QUORUMETER)
            .envs(env.iter().copied())
            .args(["export", "--listen", "127.0.0.1:0"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let Some(address) = line.trim().strip_prefix("http://").and_then(|url| url.strip_suffix("/metrics"))
        else {
            let output = child.wait_with_output().unwrap();
            panic!("{line:?} {}", String::from_utf8_lossy(&output.stderr));
        };
        Exporter { address: address.parse().unwrap(), child }
    }

    /// The status and the body of an answer.
    pub(crate) fn get(&self, path: &str, headers: &str) -> (u16, String) {
        get(self.address, path, headers)
    }

    /// What it tells.
    pub(crate) fn metrics(&self) -> String {
        let (status, text) = self.get("/metrics", "");
        assert_eq!(status, 200, "{text}");
        text
    }

    /// Waits until the metrics are as they should be.
    pub(crate) fn metrics_when(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let text = self.metrics();
            if is(&text) {
                return text;
            }
            assert!(begun.elapsed() < LIMIT, "{what}:\n{text}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it as a service manager does, and returns what it said.
    pub(crate) fn end(mut self) -> String {
        self.signal(Signal::TERM);
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!((status.code(), status.signal()), (Some(0), None), "{said}");
        said
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The status and the body of what GET is answered with, asked with more headers.
pub(crate) fn get(address: SocketAddr, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {answer:?}"));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The value of a series.
pub(crate) fn value(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}
