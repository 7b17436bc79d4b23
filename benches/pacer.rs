//! What it costs to know when the next op starts: `cargo bench -p quorumeter-benches --bench pacer`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use quorumeter_loadgen::schedule::{Arrival, Profile, Schedule};

const PROFILES: [&str; 4] =
    ["20k/s", "ramp(1k/s, 20k/s, 30s)", "steps(10s, 1k/s, 5k/s, 20k/s)", "sine(10k/s, 5k/s, 20s)"];
const ARRIVALS: [&str; 3] = ["constant", "poisson", "bursts(100)"];

fn next_op(c: &mut Criterion) {
    let mut group = c.benchmark_group("next_op");
    for profile in PROFILES {
        for arrival in ARRIVALS {
            let profile: Profile = profile.parse().expect("the profile is one");
            let kind: Arrival = arrival.parse().expect("the arrival process is one");
            let new = || Schedule::new(profile.clone(), kind, 1.0, 1);
            let mut schedule = new();
            group.bench_function(format!("{profile}, {arrival}"), |b| {
                b.iter(|| {
                    let op = schedule.next_op();
                    // A minute of it is long enough: later all profiles but the sine are constant.
                    if op.1 > 60_000_000_000 {
                        schedule = new();
                    }
                    black_box(op)
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, next_op);
criterion_main!(benches);
