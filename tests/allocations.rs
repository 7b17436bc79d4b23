//! An operation costs no allocation: counted over all threads of this process, with the server in another one.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorumeter_ensemble::launch::{Kind, own};
use quorumeter_loadgen::plan::Workload;
use quorumeter_loadgen::{Engine, Told, values};
use quorumeter_record::{Manifest, PhasePlan, RecordWriter, Tool, WallStart};
use quorumeter_targets::Clock;
use quorumeter_targets::session::Member;
use quorumeter_targets::zookeeper::{DialSettings, Layout as Tree, ZooKeeper};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every method hands its arguments to the system's allocator unchanged and returns what that returns, so
// the contract of `GlobalAlloc` is the system allocator's own. Counting touches an atomic and nothing else.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller upholds the contract for `layout`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` came from `System`, with this layout.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: `ptr` came from `System`, with this layout.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations, and ops at the server, over a second in the middle of a load with every kind of op on open and
/// closed loops. The interval is longer than that, so that nothing is merged or written meanwhile.
#[test]
fn an_op_allocates_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = own::start(
        Kind::Null,
        1,
        &dir.path().join("null"),
        &Default::default(),
        env!("CARGO_BIN_EXE_quorumeter").as_ref(),
    )
    .unwrap();
    let text = "phases = { warmup = \"2s\", measure = \"4s\" }\nengine = { workers = 1, interval = \"60s\" }\n\
                [[stream]]\nname = \"closed\"\nsessions = 2\ndepth = 16\nkeys = \"zipf(0.99)\"\n\
                mix = { read = 50, read_fresh = 10, exists = 10, write = 10, write_cas = 10, \"multi(3)\" = 5, sync = 5 }\n\
                [[stream]]\nname = \"open\"\nsessions = 4\ndepth = 16\nrate = \"2k/s\"\nhistory = true\n\
                value = \"lognormal(200 B, 0.5)\"\nmix = { read = 8, write = 1, list = 1 }\n";
    let workload = Arc::new(Workload::read(text, &[], || 1).unwrap());
    let manifest = Manifest {
        schema: Manifest::SCHEMA.into(),
        run_id: "test".into(),
        tool: Tool { version: String::new(), commit: None, build: String::new() },
        command_line: Vec::new(),
        wall_start: WallStart { rfc3339: String::new(), unix_ns: 0 },
        seed: 1,
        workload: Default::default(),
        streams: Vec::new(),
        phases: PhasePlan { warmup_ns: 0, measure_ns: 0, drain_limit_ns: 0 },
        interval_ns: 0,
        gates: Vec::new(),
        aborts: Vec::new(),
        failover: None,
        target: None,
        environment: Default::default(),
    };
    let record = RecordWriter::create(&dir.path().join("run"), &manifest).unwrap();
    let pool = values::pool(workload.largest_value(), 1);
    let tree = Tree {
        root: "/quorumeter/test".into(),
        dataset: workload.dataset,
        streams: workload.streams.iter().map(|s| s.name.clone()).collect(),
    };
    let members = vec![Member { name: "null".into(), address: server.members[0].address, tls: None }];
    let driver = ZooKeeper::new(members, DialSettings::default(), tree, Arc::clone(&pool));
    let clock = Clock::start();
    let scheduled = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&scheduled);
    let engine = Engine::start(
        &driver,
        Arc::clone(&workload),
        1,
        pool.len(),
        clock,
        Arc::new(Mutex::new(record)),
        Box::new(move |told| {
            let Told::Interval(interval) = told else { return };
            for line in interval.lines {
                if let quorumeter_record::IntervalLine::Generator(generator) = line {
                    *counted.lock().unwrap() += generator.departed;
                }
            }
        }),
    )
    .unwrap();
    while engine.connecting().connected < engine.connecting().sessions {
        std::thread::sleep(Duration::from_millis(5));
    }
    let start_ns = clock.now_ns() + 20_000_000;
    engine.begin(start_ns);
    // Into the measured window, where every histogram that is made on first use has been made.
    let sleep_until =
        |t_ns: u64| std::thread::sleep(Duration::from_nanos(t_ns.saturating_sub(clock.now_ns())));
    sleep_until(start_ns + 3_500_000_000);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    sleep_until(start_ns + 5_500_000_000);
    let during = ALLOCATIONS.load(Ordering::Relaxed) - before;
    engine.finish().unwrap();
    let ops = *scheduled.lock().unwrap();
    assert!(ops > 10_000, "{ops}");
    // A buffer may still grow to what this load needs, more often where the machine stalls; one op in a hundred that
    // allocated would make it thousands.
    let limit = 8 + ops / 10_000;
    assert!(during <= limit, "{during} allocations in 2 s, of {ops} ops in 6 s; at most {limit}");
}
