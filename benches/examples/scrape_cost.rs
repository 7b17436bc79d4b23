//! What an exporter costs: its CPU while it is scraped each second over HTTP and asks the three members of a real
//! `zookeeper:3` each time, AdminServers included, and the CPU of the members; 30 s each without and with scrapes.

use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use quorumeter_ensemble::launch::Launched;
use quorumeter_ensemble::launch::child::Wrapper;
use quorumeter_ensemble::launch::zookeeper::{Options, start};
use quorumeter_exporters::config::{Admin, Cluster, Config, Settings};
use quorumeter_exporters::serve::serve;
use quorumeter_exporters::service::{Service, over_the_network};
use quorumeter_targets::TargetUrl;
use quorumeter_targets::clock::thread_cpu_ns;
use quorumeter_targets::url::HostPort;
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Builder;

const WINDOW: Duration = Duration::from_secs(30);
const PERIOD: Duration = Duration::from_secs(1);

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let ensemble = start(&Options::new(3, dir.path(), Wrapper::None))?;
    let exporter = export(&ensemble)?;
    println!(
        "| scrapes | bytes of each | exporter | for each | a member (mean) |\n|---|---:|---:|---:|---:|"
    );
    // The first round is for the members' compiler.
    for is_scraped in [true, false, true] {
        measure(&ensemble, exporter, is_scraped)?;
    }
    Ok(())
}

/// Starts the exporter on threads of its own.
fn export(ensemble: &Launched) -> Result<SocketAddr, Box<dyn Error>> {
    let list: Vec<String> = ensemble.members.iter().map(|own| own.address.to_string()).collect();
    let target: TargetUrl = format!("zk://{}", list.join(",")).parse()?;
    let admin = ensemble.members.iter().filter_map(|own| own.admin);
    let admin = admin.map(|at| HostPort { host: at.ip().to_string(), port: at.port() }.into()).collect();
    let settings = Settings { admin: Admin::Each(admin), ..Settings::default() };
    let config =
        Config { clusters: vec![Cluster::new("c".to_owned(), target, settings)?], ..Config::default() };
    let service = Service::new(&config, over_the_network)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || runtime.block_on(serve(listener, Arc::new(service), std::future::pending())));
    Ok(address)
}

/// Prints a line of the table.
fn measure(ensemble: &Launched, exporter: SocketAddr, is_scraped: bool) -> Result<(), Box<dyn Error>> {
    let (begun, own_ns, theirs_ns) = (Instant::now(), exporter_cpu_ns(), members_cpu_ns(ensemble));
    let (mut scrapes, mut bytes) = (0, 0);
    while begun.elapsed() < WINDOW {
        if is_scraped {
            bytes = scrape(exporter)?;
            scrapes += 1;
            let next = begun + PERIOD * scrapes;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        } else {
            thread::sleep(WINDOW);
        }
    }
    let window_ns = begun.elapsed().as_nanos() as f64;
    let own_ns = (exporter_cpu_ns() - own_ns) as f64;
    let own = own_ns / window_ns * 100.0;
    let each =
        if scrapes > 0 { format!("{:.2} ms", own_ns / f64::from(scrapes) / 1e6) } else { String::new() };
    let theirs = (members_cpu_ns(ensemble) - theirs_ns) as f64 / ensemble.members.len() as f64;
    let theirs = theirs / window_ns * 100.0;
    println!("| {scrapes} | {bytes} | {own:.2} % | {each} | {theirs:.2} % |");
    Ok(())
}

/// Scrapes once, and returns the length of the answer.
fn scrape(exporter: SocketAddr) -> Result<usize, Box<dyn Error>> {
    let mut stream = TcpStream::connect(exporter)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: exporter\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let up = answer.lines().filter(|line| line.starts_with("quorum_member_up{") && line.ends_with(" 1"));
    let up = up.count();
    if up == 3 { Ok(answer.len()) } else { Err(format!("{up} of 3 members are up: {answer}").into()) }
}

/// CPU time of this process without the thread that scrapes, nanoseconds.
fn exporter_cpu_ns() -> u64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as u64 * 1_000_000_000 + used.tv_nsec as u64 - thread_cpu_ns()
}

/// CPU time of all members, nanoseconds.
fn members_cpu_ns(ensemble: &Launched) -> u64 {
    ensemble.members.iter().filter_map(|own| ensemble.process_use(own.id)).map(|used| used.cpu_ns).sum()
}
