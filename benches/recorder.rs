//! What recording costs: `cargo bench -p quorumeter-benches --bench recorder`.
//!
//! An op is three durations in three histograms; an interval is one worker's histograms added to the sum of all, and a
//! line of the interval log for each.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use quorumeter_record::hlog::LogWriter;
use quorumeter_record::new_duration_histogram;

/// Durations as they come: around 100 µs, one in a hundred ten times as long.
fn durations() -> impl Iterator<Item = u64> {
    let mut state = 1_u64;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let ns = 50_000 + (state >> 33) % 100_000;
        if (state >> 40).is_multiple_of(100) { ns * 10 } else { ns }
    })
}

fn record(c: &mut Criterion) {
    let mut group = c.benchmark_group("recorder");
    let mut histograms = [new_duration_histogram(), new_duration_histogram(), new_duration_histogram()];
    let mut durations_ns = durations();
    group.bench_function("record an op", |b| {
        b.iter(|| {
            let service_ns = durations_ns.next().unwrap_or_default();
            for (histogram, ns) in
                histograms.iter_mut().zip([service_ns / 3, service_ns, service_ns + service_ns / 3])
            {
                histogram.saturating_record(black_box(ns));
            }
        });
    });

    let mut interval = new_duration_histogram();
    durations().take(100_000).for_each(|ns| interval.saturating_record(ns));
    group.bench_function("merge an interval of 100,000 ops", |b| {
        b.iter_batched_ref(
            new_duration_histogram,
            |sum| sum.add(black_box(&interval)).expect("both have the same bounds"),
            BatchSize::LargeInput,
        );
    });

    let (mut log, mut out) = (LogWriter::new(), Vec::with_capacity(1 << 20));
    group.bench_function("write a line of the interval log", |b| {
        b.iter(|| {
            out.clear();
            log.entry(&mut out, "app.read.ok.service", 0, 1_000_000_000, black_box(&interval))
                .expect("memory can be written");
            black_box(out.len())
        });
    });
    group.finish();
}

criterion_group!(benches, record);
criterion_main!(benches);
