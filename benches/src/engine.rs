//! The engine with everything on, in this process: recorder, aggregator, record on disk, and its own start and end.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorumeter_loadgen::plan::Workload;
use quorumeter_loadgen::{Engine, Told, values};
use quorumeter_record::{GeneratorLine, IntervalLine, Manifest, PhasePlan, RecordWriter, Tool, WallStart};
use quorumeter_targets::Clock;
use quorumeter_targets::session::Member;
use quorumeter_targets::zookeeper::{DialSettings, Layout, ZooKeeper};

/// Runs a workload, and returns the generator's lines.
pub fn engine_run(server: SocketAddr, workload: &str) -> io::Result<Vec<GeneratorLine>> {
    let workload = Arc::new(Workload::read(workload, &[], || 1).map_err(io::Error::other)?);
    let dir = tempfile::tempdir()?;
    let record =
        RecordWriter::create(&dir.path().join("run"), &manifest(&workload)).map_err(io::Error::other)?;
    let pool = values::pool(workload.largest_value(), 1);
    let layout = Layout {
        root: "/quorumeter/20261124-000000-0000".into(),
        dataset: workload.dataset,
        streams: workload.streams.iter().map(|s| s.name.clone()).collect(),
    };
    let members = vec![Member { name: "null".into(), address: server, tls: None }];
    let driver = ZooKeeper::new(members, DialSettings::default(), layout, Arc::clone(&pool));
    let clock = Clock::start();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&lines);
    let engine = Engine::start(
        &driver,
        Arc::clone(&workload),
        workload.file.engine.workers as usize,
        pool.len(),
        clock,
        Arc::new(Mutex::new(record)),
        Box::new(move |told| {
            let Told::Interval(interval) = told else { return };
            let generator = interval.lines.iter().filter_map(|line| match line {
                IntervalLine::Generator(g) => Some(g.clone()),
                _ => None,
            });
            if let Ok(mut lines) = taken.lock() {
                lines.extend(generator);
            }
        }),
    )
    .map_err(io::Error::other)?;
    while engine.connecting().connected < engine.connecting().sessions {
        std::thread::sleep(Duration::from_millis(5));
    }
    engine.begin(clock.now_ns() + 50_000_000);
    engine.finish().map_err(io::Error::other)?;
    let lines = lines.lock().map_err(|_| io::Error::other("the aggregator panicked"))?;
    Ok(lines.clone())
}

fn manifest(workload: &Workload) -> Manifest {
    Manifest {
        schema: Manifest::SCHEMA.into(),
        run_id: "bench".into(),
        tool: Tool { version: "bench".into(), commit: None, build: "bench".into() },
        command_line: Vec::new(),
        wall_start: WallStart { rfc3339: String::new(), unix_ns: 0 },
        seed: workload.seed,
        workload: Default::default(),
        streams: Vec::new(),
        phases: PhasePlan { warmup_ns: 0, measure_ns: 0, drain_limit_ns: 0 },
        interval_ns: workload.interval_ns,
        gates: Vec::new(),
        aborts: Vec::new(),
        failover: None,
        target: None,
        environment: Default::default(),
    }
}

/// CPU time of this process but for the null server's thread, nanoseconds: threads that have ended count, too.
pub fn client_cpu_ns() -> u64 {
    let all = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let mut servers_ns = 0;
    for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let used = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        if name.trim() == "null" {
            servers_ns += used.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    (all.tv_sec as u64 * 1_000_000_000 + all.tv_nsec as u64).saturating_sub(servers_ns)
}
