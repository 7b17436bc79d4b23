//! What a request costs the embedded server, beside Apache ZooKeeper standalone: `cargo build --release && cargo bench
//! -p quorumeter-benches --bench embedded`.
//!
//! Both run as child processes and get the same requests from the same client; times are CPU times of the server's
//! process, as the kernel keeps them. ZooKeeper runs with `forceSync=no`, as the embedded server keeps everything in
//! memory, and is warmed up first. The two take turns, and the best of each one's rounds counts.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use quorumeter_benches::{BareClients, is_to_measure, machine, table_row};
use quorumeter_ensemble::launch::child::Wrapper;
use quorumeter_ensemble::launch::{Kind, Launched, own, zookeeper};
use quorumeter_zk::Acl;
use quorumeter_zk::request::{Create, Request, WatchedPath, create_mode};

const CONNECTIONS: u32 = 6;
const DEPTH: u32 = 64;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
/// How long a virtual machine takes until its code is compiled.
const WARM_UP: Duration = Duration::from_secs(15);
const NODE: &str = "/bench";
const VALUE: [u8; 256] = [7; 256];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if !is_to_measure() {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let quorumeter = binary()?;
    let mut options =
        zookeeper::Options::new(1, dir.path().join("zk"), Wrapper::Quorumeter(quorumeter.clone()));
    options.settings.insert("forceSync".into(), "no".into());
    let servers = [
        own::start(Kind::Embedded, 1, &dir.path().join("embedded"), &Default::default(), &quorumeter)?,
        zookeeper::start(&options)?,
    ];
    let mut clients = Vec::new();
    for server in &servers {
        let mut connected = BareClients::connect(server.members[0].address, CONNECTIONS, DEPTH)?;
        connected.run(&create(), Duration::ZERO)?;
        connected.run(&read(), WARM_UP)?;
        connected.run(&write(), WARM_UP)?;
        clients.push(connected);
    }
    println!("machine: {}", machine());
    println!(
        "\nserver CPU per request, {CONNECTIONS} connections × depth {DEPTH}, values of {} bytes, best of {ROUNDS} \
         interleaved rounds",
        VALUE.len()
    );
    println!("  {:<8} {:>14} {:>22} {:>8}", "", "embedded", "ZooKeeper standalone", "ratio");
    for (name, request, at_least) in [("read", read(), 15.0), ("write", write(), 5.0)] {
        let mut best = [f64::INFINITY; 2];
        for _ in 0..ROUNDS {
            for ((server, clients), best) in servers.iter().zip(&mut clients).zip(&mut best) {
                let before_ns = cpu_ns(server)?;
                let answered = clients.run(&request, ROUND)?;
                *best = best.min((cpu_ns(server)? - before_ns) as f64 / answered as f64);
            }
        }
        let ratio = best[1] / best[0];
        println!(
            "  {name:<8} {:>11.2} µs {:>19.2} µs {ratio:>6.1} ×   at least {at_least} ×: {}",
            best[0] / 1e3,
            best[1] / 1e3,
            if ratio >= at_least { "holds" } else { "DOES NOT HOLD" }
        );
        let us = best.map(|ns| format!("{:.2} µs", ns / 1e3));
        table_row(
            &format!("server CPU per {name}, embedded server, {CONNECTIONS} connections × depth {DEPTH}"),
            &us[0],
            &format!(
                "{}, ZooKeeper {} standalone, `forceSync=no`",
                us[1],
                zookeeper::Release::ALL[0].version
            ),
            &format!("{ratio:.1} × cheaper"),
        );
    }
    Ok(())
}

/// The release build of the tool, which lies beside the benchmarks' own folder.
fn binary() -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let binary =
        own.ancestors().nth(2).map(|release| release.join("quorumeter")).filter(|path| path.is_file());
    binary.ok_or_else(|| io::Error::other("there is no release build; make one with `cargo build --release`"))
}

fn cpu_ns(server: &Launched) -> io::Result<u64> {
    server.process_use(1).map(|used| used.cpu_ns).ok_or_else(|| io::Error::other("the server is gone"))
}

fn create() -> Request<'static> {
    let acl = &[Acl::OPEN][..];
    Request::Create(Create {
        path: NODE.into(),
        data: Some(&VALUE),
        acl: acl.into(),
        flags: create_mode::PERSISTENT,
    })
}

fn read() -> Request<'static> {
    Request::GetData(WatchedPath { path: NODE.into(), watch: false })
}

fn write() -> Request<'static> {
    Request::SetData { path: NODE.into(), data: Some(&VALUE), version: -1 }
}
