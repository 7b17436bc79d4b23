//! What an op costs the engine with everything on, against the null server: `cargo bench -p quorumeter-benches --bench
//! engine`.
//!
//! A sample is a whole run of the engine, and its value is the process's CPU time less the null server's, per op. So the
//! time that criterion prints is CPU time, and "thrpt" is ops per CPU second.

use std::io;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use quorumeter_benches::engine::{client_cpu_ns, engine_run};
use quorumeter_ensemble::null;

const CONNECTIONS: u32 = 4;

fn cpu_per_op(c: &mut Criterion) {
    let mut group = c.benchmark_group("engine");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(1));
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(1));
    for (name, mix) in [("read", "read = 1"), ("write", "write = 1")] {
        for depth in [1, 16, 256] {
            group.bench_with_input(BenchmarkId::new(name, format!("depth {depth}")), &depth, |b, depth| {
                b.iter_custom(|ops| {
                    let ns = cpu_ns_per_op(mix, *depth).expect("the engine runs on loopback");
                    Duration::from_nanos((ns * ops as f64) as u64)
                });
            });
        }
    }
    group.finish();
}

/// A closed loop for a moment.
fn cpu_ns_per_op(mix: &str, depth: u32) -> io::Result<f64> {
    let server = null::start(&null::Options::default())?;
    let cpu_ns = client_cpu_ns();
    let lines = engine_run(
        server.address(),
        &format!(
            "phases = {{ warmup = \"50ms\", measure = \"300ms\" }}\nengine = {{ workers = 1, pin = false }}\n\
             [[stream]]\nname = \"app\"\nsessions = {CONNECTIONS}\ndepth = {depth}\nmix = {{ {mix} }}\n"
        ),
    )?;
    let ops: u64 = lines.iter().map(|line| line.departed).sum();
    if ops == 0 {
        return Err(io::Error::other("no op ended"));
    }
    Ok((client_cpu_ns() - cpu_ns) as f64 / ops as f64)
}

criterion_group!(benches, cpu_per_op);
criterion_main!(benches);
