//! What the load generator itself costs, and how well it keeps its schedule: `cargo bench -p quorumeter-benches
//! --bench generator`.
//!
//! Everything runs against the null server, in this process but on a thread of its own that is not counted: CPU times
//! are the process's less that thread's, as the kernel keeps them. The candidates take turns, and the best of each one's
//! rounds counts: on a shared machine the best is the least disturbed.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use quorumeter_benches::engine::{client_cpu_ns, engine_run};
use quorumeter_benches::{BareClients, is_to_measure, machine, table_row};
use quorumeter_ensemble::null;
use quorumeter_record::Phase;
use quorumeter_zk::request::{Request, WatchedPath};

const CONNECTIONS: u32 = 4;
const DEPTH: u32 = 64;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(1);
/// Lengths of the runs whose memory is compared, seconds.
const MEMORY_RUNS_S: [u64; 2] = [10, 60];
/// The argument with which this program measures a run's memory in a process of its own.
const PEAK_MEMORY_OF: &str = "--peak-memory-of";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Some(seconds) = std::env::args().skip_while(|arg| arg != PEAK_MEMORY_OF).nth(1) {
        println!("{}", peak_memory_here(seconds.parse()?)?);
        return Ok(());
    }
    if !is_to_measure() {
        return Ok(());
    }
    println!("machine: {}", machine());
    cost_per_read()?;
    schedule_lag()?;
    peak_memory()?;
    Ok(())
}

/// A client that reads as fast as it can for a time, and returns the CPU time and the number of reads.
type Candidate = (&'static str, fn(SocketAddr) -> io::Result<(u64, u64)>);

fn cost_per_read() -> io::Result<()> {
    println!(
        "\nclient CPU per read, {CONNECTIONS} connections × depth {DEPTH}, best of {ROUNDS} interleaved rounds"
    );
    let candidates: [Candidate; 3] =
        [("bare loop", bare_loop), ("quorumeter", quorumeter), ("zookeeper-client", zookeeper_client)];
    let mut best = [f64::INFINITY; 3];
    for _ in 0..ROUNDS {
        for (place, (_, run)) in candidates.iter().enumerate() {
            let server = null::start(&null::Options::default())?;
            let (cpu_ns, reads) = run(server.address())?;
            best[place] = best[place].min(cpu_ns as f64 / reads as f64);
        }
    }
    for ((name, _), ns) in candidates.iter().zip(best) {
        println!("  {name:<18} {:>8.0} ns   {:>6.2} × the bare loop", ns, ns / best[0]);
    }
    println!("  at most 2.5 × the bare loop: {}", verdict(best[1] <= 2.5 * best[0]));
    println!("  at least 5 × cheaper than zookeeper-client: {}", verdict(5.0 * best[1] <= best[2]));
    let what = format!("client CPU per read, {CONNECTIONS} connections × depth {DEPTH}");
    let ns = best.map(|ns| format!("{ns:.0} ns"));
    let dearer = format!("{:.2} × the cost", best[1] / best[0]);
    table_row(&what, &ns[1], &format!("{}, bare loop that records nothing", ns[0]), &dearer);
    let cheaper = format!("{:.1} × cheaper", best[2] / best[1]);
    table_row(&what, &ns[1], &format!("{}, crate `zookeeper-client`", ns[2]), &cheaper);
    Ok(())
}

fn verdict(holds: bool) -> &'static str {
    if holds { "holds" } else { "DOES NOT HOLD" }
}

/// The yardstick: prebuilt frames, replies counted by their length, nothing recorded.
fn bare_loop(server: SocketAddr) -> io::Result<(u64, u64)> {
    let path = "/quorumeter/20261124-000000-0000/data/000000/00000000";
    let mut clients = BareClients::connect(server, CONNECTIONS, DEPTH)?;
    let cpu_ns = client_cpu_ns();
    let reads = clients.run(&Request::GetData(WatchedPath { path: path.into(), watch: false }), ROUND)?;
    Ok((client_cpu_ns() - cpu_ns, reads))
}

/// The engine with everything on: recorder, aggregator, record on disk, and its own start and end.
fn quorumeter(server: SocketAddr) -> io::Result<(u64, u64)> {
    let cpu_ns = client_cpu_ns();
    let lines = engine_run(
        server,
        &format!(
            "phases = {{ warmup = \"200ms\", measure = \"{}ms\" }}\nengine = {{ workers = 1, pin = false }}\n\
             [[stream]]\nname = \"app\"\nsessions = {CONNECTIONS}\ndepth = {DEPTH}\nmix = {{ read = 1 }}\n",
            ROUND.as_millis()
        ),
    )?;
    Ok((client_cpu_ns() - cpu_ns, lines.iter().map(|g| g.departed).sum()))
}

/// The crate `zookeeper-client`: as many sessions, and as many tasks that each await one read after the other.
fn zookeeper_client(server: SocketAddr) -> io::Result<(u64, u64)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            let client = zookeeper_client::Client::connect(&server.to_string()).await;
            clients.push(client.map_err(io::Error::other)?);
        }
        let (begun, cpu_ns) = (Instant::now(), client_cpu_ns());
        let mut tasks = Vec::new();
        for client in &clients {
            for _ in 0..DEPTH {
                let client = client.clone();
                tasks.push(tokio::spawn(async move {
                    let mut reads = 0;
                    while begun.elapsed() < ROUND {
                        let read =
                            client.get_data("/quorumeter/20261124-000000-0000/data/000000/00000000").await;
                        if read.is_err() {
                            break;
                        }
                        reads += 1;
                    }
                    reads
                }));
            }
        }
        let mut reads = 0;
        for task in tasks {
            reads += task.await.map_err(io::Error::other)?;
        }
        Ok((client_cpu_ns() - cpu_ns, reads))
    })
}

fn schedule_lag() -> io::Result<()> {
    const RATE: &str = "50k/s";
    println!("\nschedule lag at {RATE}, constant arrivals, 1 worker, best of {ROUNDS} interleaved rounds");
    let timers = ["timerfd", "tokio"];
    let mut best: HashMap<&str, (i64, i64)> = HashMap::new();
    for _ in 0..ROUNDS {
        for timer in timers {
            let server = null::start(&null::Options::default())?;
            let lines = engine_run(
                server.address(),
                &format!(
                    "phases = {{ warmup = \"500ms\", measure = \"2s\" }}\n\
                     engine = {{ workers = 1, timer = \"{timer}\", interval = \"2s\" }}\n\
                     [[stream]]\nname = \"app\"\nsessions = {CONNECTIONS}\ndepth = {DEPTH}\nrate = \"{RATE}\"\n\
                     arrival = \"constant\"\nmix = {{ read = 1 }}\n"
                ),
            )?;
            let lag = lines.iter().find(|g| g.during == Phase::Measure).map(|g| &g.measured_lag_ns);
            if let Some((p50, p99)) = lag.and_then(|lag| Some((lag.p50?, lag.p99?))) {
                let entry = best.entry(timer).or_insert((p50, p99));
                *entry = (entry.0.min(p50), entry.1.min(p99));
            }
        }
    }
    let of = |timer: &str| best.get(timer).copied().unwrap_or((i64::MAX, i64::MAX));
    for timer in timers {
        let (p50, p99) = of(timer);
        println!("  {timer:<8} p50 {:>8.1} µs   p99 {:>8.1} µs", p50 as f64 / 1e3, p99 as f64 / 1e3);
    }
    let ratio = of("tokio").1 as f64 / of("timerfd").1 as f64;
    println!(
        "  p99 {ratio:.1} × lower with timerfd; at least 10 ×, and a lower p50: {}",
        verdict(ratio >= 10.0 && of("timerfd").0 < of("tokio").0)
    );
    let us = |timer: &str| format!("{:.1} µs", of(timer).1 as f64 / 1e3);
    let what = format!("schedule lag p99 at {RATE}");
    table_row(
        &what,
        &us("timerfd"),
        &format!("{}, tokio's timers", us("tokio")),
        &format!("{ratio:.1} × lower"),
    );
    Ok(())
}

/// Does memory grow with the length of a run? Each run has a process of its own, whose peak the kernel keeps.
fn peak_memory() -> Result<(), Box<dyn std::error::Error>> {
    println!("\npeak memory of a run with 2 workers, generator and null server in one process");
    let mut peaks_kib = [0_u64; 2];
    for (peak_kib, seconds) in peaks_kib.iter_mut().zip(MEMORY_RUNS_S) {
        let output =
            Command::new(std::env::current_exe()?).args([PEAK_MEMORY_OF, &seconds.to_string()]).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        *peak_kib = text.trim().parse().map_err(|_| format!("the run of {seconds} s failed: {output:?}"))?;
        println!("  {seconds:>3} s {:>10.2} MiB", *peak_kib as f64 / 1024.0);
    }
    let holds = peaks_kib[0].abs_diff(peaks_kib[1]) <= 2 << 10;
    println!("  within 2 MiB: {}", verdict(holds));
    let mib = peaks_kib.map(|kib| format!("{:.2} MiB", kib as f64 / 1024.0));
    let grown = format!("{:+.2} MiB", (peaks_kib[1] as f64 - peaks_kib[0] as f64) / 1024.0);
    let [short, long] = MEMORY_RUNS_S;
    table_row(
        &format!("peak memory of a run of {long} s, null server included"),
        &mib[1],
        &format!("{}, a run of {short} s", mib[0]),
        &grown,
    );
    Ok(())
}

/// Runs reads and writes for a time, and returns this process's peak of resident memory, KiB.
fn peak_memory_here(seconds: u64) -> Result<u64, Box<dyn std::error::Error>> {
    let server = null::start(&null::Options::default())?;
    engine_run(
        server.address(),
        &format!(
            "phases = {{ warmup = \"1s\", measure = \"{seconds}s\" }}\nengine = {{ workers = 2 }}\n[[stream]]\nname = \"app\"\n\
             sessions = {CONNECTIONS}\ndepth = {DEPTH}\nrate = \"20k/s\"\narrival = \"poisson\"\n\
             mix = {{ read = 80, write = 20 }}\n"
        ),
    )?;
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(peak.trim().trim_end_matches(" kB").parse()?)
}
