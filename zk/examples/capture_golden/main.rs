//! Captures what the codec's tests compare against: the frames of a conversation between Apache ZooKeeper and its
//! own Java client, both directions, and answers to four-letter words.
//!
//! ```text
//! cargo xtask servers zookeeper
//! cargo run -p quorumeter-zk --example capture_golden -- ~/.cache/quorumeter/servers/zookeeper-3.9.4/lib zk/tests
//! ```
//!
//! The first argument is the folder of jars that `cargo xtask` fills. The servers are started here, on free ports of
//! the loopback and with data in the temporary folder, and are stopped at the end. Written are
//! `golden/conversation.txt` and the files in `four_letter/`. Session ids, passwords, zxids and times are as they
//! were, so that they differ from one capture to the next: tests rely on their relations only.

mod by_hand;
mod recorder;
mod server;

use std::error::Error;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use quorumeter_zk::four_letter::Srvr;

use recorder::Recorder;
use server::{Server, ask};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match capture() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

fn capture() -> Result<()> {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [jars, out] = &args[..] else {
        return Err("usage: capture_golden JARS OUT (the folder of ZooKeeper's jars, and zk/tests)".into());
    };
    let scratch = Scratch::new()?;
    let capture =
        Capture { jars, scratch: &scratch.0, words: &out.join("four_letter"), recorder: &Recorder::start()? };
    let version = standalone(&capture)?;
    prometheus(&capture)?;
    ensemble(&capture)?;
    fs::write(out.join("golden/conversation.txt"), capture.recorder.text(&version))?;
    Ok(())
}

struct Capture<'a> {
    jars: &'a Path,
    scratch: &'a Path,
    words: &'a Path,
    recorder: &'a Recorder,
}

const LOGIN: &str =
    "Server { org.apache.zookeeper.server.auth.DigestLoginModule required user_bench=\"secret\"; };";

/// The conversation proper. Returns the server's version.
fn standalone(capture: &Capture<'_>) -> Result<String> {
    let login = capture.scratch.join("login.conf");
    fs::write(&login, LOGIN)?;
    let properties = [
        "-Dzookeeper.extendedTypesEnabled=true".to_owned(),
        "-Dzookeeper.authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider".to_owned(),
        format!("-Djava.security.auth.login.config={}", login.display()),
    ];
    let server = Server::start(capture, "standalone", &properties, "4lw.commands.whitelist=*\n")?;
    server.await_answer("srvr", "Mode: standalone")?;
    capture.recorder.forward_to(server.address);
    talk(capture, "standalone")?;
    by_hand::standalone(capture.recorder)?;
    for word in ["srvr", "mntr", "isro", "ruok"] {
        save(capture, "standalone", word, server.address)?;
    }
    Ok(Srvr::parse(&ask(server.address, "srvr")?)?.version)
}

/// The dialect of `mntr` that the Prometheus provider makes, and words that are not allowed.
fn prometheus(capture: &Capture<'_>) -> Result<()> {
    let port = server::free_ports(1)?[0];
    let config = format!(
        "4lw.commands.whitelist=mntr\n\
         metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider\n\
         metricsProvider.httpHost=127.0.0.1\nmetricsProvider.httpPort={port}\n"
    );
    let server = Server::start(capture, "prometheus", &[], &config)?;
    server.await_answer("srvr", "Mode: standalone")?;
    save(capture, "prometheus", "mntr", server.address)?;
    save(capture, "not_whitelisted", "ruok", server.address)
}

/// What only an ensemble says.
fn ensemble(capture: &Capture<'_>) -> Result<()> {
    let ports = server::free_ports(9)?;
    let members: String = ports
        .chunks(3)
        .zip(1..)
        .map(|(p, id)| format!("server.{id}=127.0.0.1:{}:{};127.0.0.1:{}\n", p[0], p[1], p[2]))
        .collect();
    let config =
        format!("4lw.commands.whitelist=*\nstandaloneEnabled=false\nreconfigEnabled=true\n{members}");
    let properties = ["-Dreadonlymode.enabled=true".to_owned(), "-Dzookeeper.skipACL=yes".to_owned()];
    let start = |id: usize, more: &str| {
        Server::member(capture, id, ports[3 * id - 1], &properties, &format!("{config}{more}"))
    };

    let first = start(1, "")?;
    first.await_answer("srvr", "not currently serving")?;
    for word in ["srvr", "mntr", "isro"] {
        save(capture, "looking", word, first.address)?;
    }
    let others = [start(2, "")?, start(3, "")?];
    for member in [&first, &others[0], &others[1]] {
        member.await_answer("srvr", "er\nNode count")?;
    }
    capture.recorder.forward_to(first.address);
    talk(capture, "ensemble")?;
    for member in [&first, &others[0], &others[1]] {
        let mode = Srvr::parse(&ask(member.address, "srvr")?)?.mode;
        for word in ["srvr", "mntr"] {
            save(capture, mode.name(), word, member.address)?;
        }
    }
    drop(others);
    first.await_answer("srvr", "Mode: read-only")?;
    by_hand::refused_by_read_only(capture.recorder)?;
    drop(first);
    let first = start(1, "localSessionsEnabled=true\n")?;
    first.await_answer("srvr", "Mode: read-only")?;
    talk(capture, "read-only")?;
    for word in ["srvr", "mntr", "isro"] {
        save(capture, "read_only", word, first.address)?;
    }
    Ok(())
}

fn save(capture: &Capture<'_>, name: &str, word: &str, address: SocketAddr) -> Result<()> {
    Ok(fs::write(capture.words.join(format!("{name}.{word}")), ask(address, word)?)?)
}

/// Runs the Java client through the recorder.
fn talk(capture: &Capture<'_>, part: &str) -> Result<()> {
    let log = capture.scratch.join(format!("client-{part}.log"));
    let mut client = Command::new("java")
        // Without this the client has no DIGEST-MD5.
        .arg("-Dzookeeper.fips-mode=false")
        .arg("-cp")
        .arg(capture.jars.join("*"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/capture_golden/Conversation.java"))
        .arg(capture.recorder.address.to_string())
        .arg(part)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(&log)?)
        .spawn()?;
    let mut answers = client.stdin.take().ok_or("the client has no standard input")?;
    let steps = client.stdout.take().ok_or("the client has no standard output")?;
    for line in BufReader::new(steps).lines() {
        match line?.split_once(' ') {
            Some(("step", step)) => {
                let (name, comment) = step.split_once(' ').unwrap_or((step, ""));
                eprintln!("{name}");
                capture.recorder.step(name, comment);
            }
            _ => capture.recorder.cut(),
        }
        answers.write_all(b"\n")?;
    }
    if client.wait()?.success() {
        Ok(())
    } else {
        let said = fs::read_to_string(&log)?;
        let end: Vec<&str> = said.lines().rev().take(20).collect();
        Err(format!("the client failed: {}", end.into_iter().rev().collect::<Vec<_>>().join("\n")).into())
    }
}

/// A temporary folder.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch> {
        let folder = std::env::temp_dir().join(format!("capture-golden-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Scratch(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left over is in the temporary folder and harmless.
        let _ = fs::remove_dir_all(&self.0);
    }
}
