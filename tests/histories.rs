//! The histories of streams: a row for each op, whatever goes wrong, and what it tells is what happened.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use quorumeter_ensemble::embedded;
use quorumeter_ensemble::scripted::{Action, Counting, ReplyFault, Script, Scripted, Step, Trigger};
use quorumeter_loadgen::{Engine, Resets, Told, Workload, values};
use quorumeter_record::{
    Event, EventKind, HistoryRow, IntervalLine, Manifest, PhasePlan, RecordReader, RecordWriter, RowKind,
    SessionChange, Tool, WallStart,
};
use quorumeter_targets::Clock;
use quorumeter_targets::session::Member;
use quorumeter_targets::zookeeper::{DialSettings, Layout, ZooKeeper};
use quorumeter_zk::{ErrorCode, OpCode};

use support::{measure, scripted};

mod support;

/// Ok, failed, unknown and shed of each op of each stream.
type Counts = BTreeMap<(usize, usize), [u64; 4]>;

fn read(text: &str) -> Workload {
    Workload::read(text, &[], || 1).expect("the test's workload is one")
}

fn rows(record: &RecordReader) -> Vec<HistoryRow> {
    record.history().expect("there is a history").map(|row| row.expect("rows are whole")).collect()
}

fn rows_of(rows: &[HistoryRow], stream: u16) -> Vec<HistoryRow> {
    rows.iter().filter(|row| row.stream == stream).copied().collect()
}

fn events(record: &RecordReader) -> Vec<Event> {
    record.events().expect("the events are there").map(|event| event.expect("events are whole")).collect()
}

/// What was counted of the streams that keep a history: over warm-up, window and drain.
fn counted(record: &RecordReader, workload: &Workload) -> Counts {
    let mut counts = Counts::new();
    for line in record.intervals().expect("the intervals are there") {
        let IntervalLine::Op(line) = line.expect("lines are whole") else { continue };
        let place = workload.streams.iter().position(|stream| stream.name == line.stream);
        let place = place.expect("lines are of the workload's streams");
        let stream = &workload.streams[place];
        let op = stream.op_names().iter().position(|op| *op == line.op);
        // The stages of connecting are told of too late for an order.
        let kept = stream.history && !["tcp", "tls", "handshake"].contains(&line.op.as_str());
        let Some(op) = op.filter(|_| kept) else { continue };
        let failed = line.failed.values().sum();
        let sum = counts.entry((place, op)).or_default();
        for (sum, n) in sum.iter_mut().zip([line.ok, failed, line.unknown, line.shed]) {
            *sum += n;
        }
    }
    counts.retain(|_, counts| *counts != [0; 4]);
    counts
}

fn rowed(rows: &[HistoryRow]) -> Counts {
    let mut counts = Counts::new();
    for row in rows.iter().filter(|row| row.kind != RowKind::Event) {
        let place = (usize::from(row.stream), usize::from(row.op));
        counts.entry(place).or_default()[row.kind as usize] += 1;
    }
    counts
}

/// What must hold of every row.
fn assert_sound(row: &HistoryRow) {
    assert!(row.released_ns <= row.ended_ns && row.intended_ns <= row.released_ns, "{row:?}");
    match row.kind {
        RowKind::Shed => {
            assert_eq!((row.sent_ns, row.connection, row.member), (None, 0, None), "{row:?}");
        }
        RowKind::Event => assert_eq!(row.sent_ns, None, "{row:?}"),
        RowKind::Ok | RowKind::Failed | RowKind::Unknown => {
            let sent_ns = row.sent_ns.expect("it was handed over");
            assert!(row.released_ns <= sent_ns && sent_ns <= row.ended_ns, "{row:?}");
        }
    }
}

#[test]
fn a_row_tells_its_ops_life() {
    let server = scripted(Vec::new());
    let text = "phases = { warmup = \"200ms\", measure = \"1s\" }\n[dataset]\nnodes = 10\n\
                [[stream]]\nname = \"reader\"\nsessions = 1\nrate = \"50/s\"\nkeys = \"own\"\n\
                nodes = [3, 1]\nhistory = true\nmix = { read = 1 }\n\
                [[stream]]\nname = \"app\"\nsessions = 2\nrate = \"200/s\"\narrival = \"constant\"\n\
                keys = \"own\"\nnodes = [3, 4]\nhistory = true\nmix = { write = 1 }\n\
                [[stream]]\nname = \"watchers\"\nsessions = 1\nwatch = { kind = \"persistent\" }\nhistory = true\n";
    let measured = measure(server.address(), text);
    let record = measured.record();
    let rows = rows(&record);
    rows.iter().for_each(assert_sound);
    assert_eq!(rowed(&rows), counted(&record, &read(text)));
    assert!(rows.is_sorted_by_key(|row| row.ended_ns), "in the order in which they ended");
    let writes = rows_of(&rows, 1);
    assert_eq!(writes.len(), 240);
    for session in 0..2 {
        let own: Vec<_> = writes.iter().filter(|row| row.session == session).collect();
        let intended: Vec<u64> = own.iter().map(|row| row.intended_ns).collect();
        assert!(intended.windows(2).all(|pair| pair[1] - pair[0] == 10_000_000), "{intended:?}");
        for (n, row) in (1..).zip(&own) {
            let told = (row.kind, row.key, row.version, row.code, row.connection, row.member, row.op);
            assert_eq!(told, (RowKind::Ok, 3 + session, n, 0, 1, Some(0), 0));
        }
        assert!(own.windows(2).all(|pair| pair[0].zxid < pair[1].zxid));
    }
    // What is read is what had been written by then, or is written at the time.
    for row in rows_of(&rows, 0) {
        let of_it = writes.iter().filter(|write| write.key == 3);
        let written = of_it.clone().filter(|write| write.ended_ns < row.sent_ns.unwrap_or(0)).count();
        let begun = of_it.filter(|write| write.sent_ns.unwrap_or(0) <= row.ended_ns).count();
        assert_eq!((row.key, row.kind), (3, RowKind::Ok));
        assert!((written..=begun).contains(&(row.version as usize)), "{row:?}: {written} to {begun}");
    }
    // Every write has its event, by the transaction and the node.
    let told = |row: &HistoryRow| (row.zxid, row.key);
    let mut events: Vec<_> = rows_of(&rows, 2).iter().map(told).collect();
    let mut written: Vec<_> = writes.iter().map(told).collect();
    events.sort_unstable();
    written.sort_unstable();
    assert_eq!(events, written);
    let keys = &measured.summary().streams["app"].keys;
    assert_eq!(keys.as_ref().map(|keys| (keys.keys, keys.touched)), Some((4, 2)));
}

/// Resets, closed connections, refusals, errors and stalls, with windows and backlogs that overflow, on two workers: each
/// op has one row, of the kind that was counted.
#[test]
fn the_rows_are_the_accounting() {
    let at = |ms, what| Step { when: Trigger::AfterFirstOp(Duration::from_millis(ms)), what };
    let member = embedded::Options { tick_time_ms: 100, ..embedded::Options::default() };
    let script = Script {
        steps: vec![
            at(200, Action::ResetAll),
            at(300, Action::FailEvery { every: 7, code: ErrorCode::NO_AUTH }),
            at(400, Action::Stall(Duration::from_millis(300))),
            at(750, Action::FailEvery { every: 11, code: ErrorCode::REQUEST_TIMEOUT }),
            at(800, Action::CloseAll),
            at(800, Action::RefuseConnections(Duration::from_millis(300))),
            at(1200, Action::Replies { fault: ReplyFault::HalfThenClose, count: 3 }),
            at(1400, Action::FailEvery { every: 0, code: ErrorCode::OK }),
            at(1900, Action::Stall(Duration::from_secs(1))),
        ],
        counting: Counting::Paths("/data/".into()),
        member,
    };
    let server = Scripted::start(script).expect("loopback can be listened on");
    let text = "phases = { warmup = \"500ms\", measure = \"1500ms\", drain = \"200ms\" }\nengine = { workers = 2 }\n\
                client = { session_timeout = \"4s\" }\n[dataset]\nnodes = 50\n\
                [[stream]]\nname = \"open\"\nsessions = 3\ndepth = 8\nrate = \"3k/s\"\nbacklog = \"20ms\"\n\
                history = true\nmix = { read = 5, write = 3, write_cas = 1, read_fresh = 1, \"multi(3)\" = 1 }\n\
                [[stream]]\nname = \"closed\"\nsessions = 3\ndepth = 4\nhistory = true\nmix = { write = 1, list = 1 }\n\
                [[stream]]\nname = \"patient\"\nsessions = 2\ndepth = 16384\nrate = \"200/s\"\nbacklog = \"200s\"\n\
                keys = \"own\"\nhistory = true\nmix = { write = 1 }\n\
                [[stream]]\nname = \"logins\"\nsessions = 4\nrate = \"100/s\"\nbacklog = \"50ms\"\nhistory = true\n\
                life = { cycle = \"close\" }\n\
                [[stream]]\nname = \"again\"\nsessions = 2\nrate = \"20/s\"\nhistory = true\n\
                life = { cycle = \"reattach\" }\n\
                [[stream]]\nname = \"watchers\"\nsessions = 2\nwatch = { kind = \"one-shot\" }\nhistory = true\n\
                [[stream]]\nname = \"silent\"\nsessions = 2\nmix = { read = 1 }\nrate = \"10/s\"\n";
    let measured = measure(server.address(), text);
    let (record, workload) = (measured.record(), read(text));
    assert!(measured.summary().accounting.balanced);
    let rows = rows(&record);
    rows.iter().for_each(assert_sound);
    for worker in rows.chunk_by(|a, b| a.session % 2 == b.session % 2) {
        assert!(worker.is_sorted_by_key(|row| row.ended_ns));
    }
    let (rowed, counted) = (rowed(&rows), counted(&record, &workload));
    assert_eq!(rowed, counted);
    assert!(rows_of(&rows, 6).is_empty(), "that stream keeps none");
    let of = |stream: usize, kind: RowKind| -> u64 {
        rowed.iter().filter(|((s, _), _)| *s == stream).map(|(_, counts)| counts[kind as usize]).sum()
    };
    for kind in [RowKind::Ok, RowKind::Failed, RowKind::Unknown, RowKind::Shed] {
        assert!(of(0, kind) > 0, "the test is to have all kinds: {rowed:?}");
    }
    assert!(of(1, RowKind::Unknown) > 0 && of(2, RowKind::Unknown) > 0, "{rowed:?}");
    // One op of a session after the other has the next intended time, in an open loop: none has two rows.
    for stream in [0, 2] {
        let mut seen: Vec<_> =
            rows_of(&rows, stream).iter().map(|row| (row.session, row.intended_ns, row.op)).collect();
        let len = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), len);
    }
}

/// A server that is gone for two seconds: nothing is lost, what was due meanwhile was released meanwhile, and it keeps its
/// intended time.
#[test]
fn ops_wait_out_a_dead_server() {
    let gone = Duration::from_secs(2);
    let write = |number, what| Step { when: Trigger::AtOp { op: Some(OpCode::SET_DATA), number }, what };
    let steps = vec![write(100, Action::CloseAll), write(100, Action::RefuseConnections(gone))];
    // With sessions that outlive it.
    let member = embedded::Options { tick_time_ms: 1000, ..embedded::Options::default() };
    let server = Scripted::start(Script { steps, member, ..Script::default() }).expect("it can listen");
    let text = "phases = { warmup = \"0s\", measure = \"4s\" }\nclient = { session_timeout = \"10s\" }\n\
                [dataset]\nnodes = 5\n\
                [[stream]]\nname = \"probe\"\nsessions = 1\ndepth = 16384\nrate = \"100/s\"\narrival = \"constant\"\n\
                backlog = \"200s\"\nkeys = \"own\"\nnodes = [2, 1]\nhistory = true\nmix = { write = 1 }\n";
    let measured = measure(server.address(), text);
    let rows = rows(&measured.record());
    assert_eq!(rows.len(), 400);
    rows.iter().for_each(assert_sound);
    let mut intended: Vec<u64> = rows.iter().map(|row| row.intended_ns).collect();
    intended.sort_unstable();
    assert!(intended.windows(2).all(|pair| pair[1] - pair[0] == 10_000_000));
    assert!(rows.iter().all(|row| matches!(row.kind, RowKind::Ok | RowKind::Unknown)));
    let lost = rows.iter().find(|row| row.kind == RowKind::Unknown).expect("the 100th is not answered");
    let back = rows.iter().find(|row| row.connection == 2).expect("the session has another connection");
    let (lost_ns, back_ns) = (lost.ended_ns, back.sent_ns.expect("it was answered"));
    assert_eq!((lost.connection, lost.member), (1, Some(0)));
    assert!(back_ns - lost_ns >= 1_900_000_000, "{lost:?} {back:?}");
    // All of those wait at once, and each was noticed when it was due: long before there was a connection.
    let waited: Vec<_> =
        rows.iter().filter(|row| row.intended_ns > lost_ns && row.intended_ns < back_ns).collect();
    assert!(waited.len() >= 180, "{}", waited.len());
    let released_meanwhile = waited.iter().filter(|row| row.released_ns + 20_000_000 < back_ns).count();
    assert!(released_meanwhile + 20 >= waited.len(), "{released_meanwhile} of {}", waited.len());
    // Each write raises the version by one, the unknown one, too, as it was done.
    let versions: Vec<i32> =
        rows.iter().filter(|row| row.kind == RowKind::Ok).map(|row| row.version).collect();
    assert!(versions.windows(2).all(|pair| pair[1] > pair[0]), "{versions:?}");
    let events = events(&measured.record());
    let of = |change| events_of(&events, change).map(|(t_ns, ..)| t_ns).collect::<Vec<_>>();
    assert_eq!(of(SessionChange::Lost), [lost_ns]);
    assert!(of(SessionChange::Reattached)[0] < back_ns);
    let tried = of(SessionChange::ConnectFailed);
    assert!(tried.iter().all(|t_ns| (lost_ns..back_ns).contains(t_ns)));
    // Every 10 ms, on a machine that keeps up; what is released meanwhile is no reason to put it off.
    assert!(tried.len() >= 50, "{}", tried.len());
}

/// Time, stream, session id and cause of the session events of one sort.
fn events_of(
    events: &[Event],
    wanted: SessionChange,
) -> impl Iterator<Item = (u64, &str, &str, &str)> + use<'_> {
    events.iter().filter_map(move |event| match &event.kind {
        EventKind::Session { stream, change, session_id, cause, .. } if *change == wanted => {
            Some((event.t_ns, stream.as_str(), session_id.as_str(), cause.as_str()))
        }
        _ => None,
    })
}

/// Connections to one member are reset, and those to the other stay; then all are.
#[test]
fn connections_are_reset_on_purpose() {
    let servers = [scripted(Vec::new()), scripted(Vec::new())];
    let text = "phases = { warmup = \"0s\", measure = \"4s\" }\n\
                client = { session_timeout = \"10s\" }\n[dataset]\nnodes = 10\n\
                [[stream]]\nname = \"hit\"\nsessions = 3\ndepth = 64\nrate = \"300/s\"\narrival = \"constant\"\n\
                members = [1]\nhistory = true\nmix = { sync = 1 }\n\
                [[stream]]\nname = \"spared\"\nsessions = 3\ndepth = 64\nrate = \"300/s\"\n\
                members = [2]\nhistory = true\nmix = { sync = 1, write = 1 }\n\
                [[stream]]\nname = \"watchers\"\nsessions = 2\nmembers = [1]\nwatch = { kind = \"persistent\" }\n\
                [[stream]]\nname = \"idle\"\nsessions = 2\nmembers = [1]\nlife = { cycle = \"idle\" }\n";
    let workload = Arc::new(read(text));
    let dir = tempfile::tempdir().expect("there is a folder for temporary files");
    let clock = Clock::start();
    let told = Arc::new(Mutex::new(0));
    let engine = start(&workload, &servers, dir.path(), clock, Arc::clone(&told));
    wait_until("all sessions are connected", || engine.connecting().connected == 10);
    assert!(engine.resets().are_done());
    engine.begin(clock.now_ns() + 20_000_000);
    sleep(Duration::from_millis(300));
    // Something is in flight when it happens.
    servers[0].act(Action::Stall(Duration::from_millis(400)));
    wait_until("the server stalls", || !servers[0].log().is_empty());
    sleep(Duration::from_millis(100));
    let asked_ns = clock.now_ns();
    engine.reset_connections(Some(0));
    wait_until("the connections are reset", || engine.resets().are_done());
    assert_eq!(engine.resets(), Resets { asked: 1, done: 2, workers: 2, connections: 7 });
    // The seven are back when their second connections are, and have shaken hands.
    wait_until("the sessions connect again", || servers[0].connections().len() >= 14);
    sleep(Duration::from_millis(500));
    let all_ns = clock.now_ns();
    engine.reset_connections(None);
    wait_until("all connections are reset", || engine.resets().are_done());
    assert_eq!(engine.resets(), Resets { asked: 2, done: 2, workers: 2, connections: 17 });
    engine.finish().expect("nothing fails");
    let record = RecordReader::open(&dir.path().join("run")).expect("there is a record");
    let rows = rows(&record);
    assert_eq!(rowed(&rows), counted(&record, &workload));
    assert_eq!(*told.lock().expect("nobody panicked"), rows.len(), "who watches is told of every row");
    let (hit, spared) = (rows_of(&rows, 0), rows_of(&rows, 1));
    let at_first = |row: &&HistoryRow| row.ended_ns < all_ns;
    for row in spared.iter().filter(at_first) {
        assert!((row.connection, row.member) == (1, Some(1)) && row.kind != RowKind::Unknown, "{row:?}");
    }
    assert!((0..3).all(|n| spared.iter().any(|row| (row.session, row.connection) == (n, 2))));
    let hit: Vec<_> = hit.iter().filter(at_first).collect();
    let unknown: Vec<_> = hit.iter().filter(|row| row.kind == RowKind::Unknown).collect();
    assert!(!unknown.is_empty());
    for row in &unknown {
        assert_eq!((row.connection, row.member, row.code), (1, Some(0), 0));
        assert!(row.ended_ns >= asked_ns && row.sent_ns.expect("it was sent") <= row.ended_ns);
    }
    for session in 0..3 {
        let mut connections: Vec<u32> =
            hit.iter().filter(|row| row.session == session).map(|row| row.connection).collect();
        connections.dedup();
        assert_eq!(connections, [1, 2], "session {session}");
    }
    let events = events(&record);
    assert_eq!(events_of(&events, SessionChange::Lost).count(), 17);
    let events: Vec<_> = events.into_iter().filter(|event| event.t_ns < all_ns).collect();
    let lost: Vec<_> = events_of(&events, SessionChange::Lost).collect();
    let again: Vec<_> = events_of(&events, SessionChange::Reattached).collect();
    assert_eq!((lost.len(), again.len()), (7, 7), "{events:?}");
    for (lost_ns, stream, id, cause) in lost {
        assert!(lost_ns >= asked_ns && stream != "spared" && id.len() == 16);
        assert_eq!(cause, "reset on purpose");
        let back = again.iter().find(|(_, _, again, _)| *again == id).expect("the session goes on");
        assert!(back.0 > lost_ns && back.1 == stream);
    }
    // What a session had in flight ended when its connection did.
    let ends: Vec<u64> = events_of(&events, SessionChange::Lost).map(|(t_ns, ..)| t_ns).collect();
    assert!(unknown.iter().all(|row| ends.contains(&row.ended_ns)));
}

fn start(
    workload: &Arc<Workload>,
    servers: &[Scripted],
    dir: &Path,
    clock: Clock,
    told: Arc<Mutex<usize>>,
) -> Engine {
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
    let record = RecordWriter::create(&dir.join("run"), &manifest).expect("the record can be written");
    let pool = values::pool(workload.largest_value(), 1);
    let layout = Layout {
        root: "/quorumeter/test".into(),
        dataset: workload.dataset,
        streams: workload.streams.iter().map(|stream| stream.name.clone()).collect(),
    };
    let member = |server: &Scripted| Member { name: "it".into(), address: server.address(), tls: None };
    let members = servers.iter().map(member).collect();
    let driver = ZooKeeper::new(members, DialSettings::default(), layout, Arc::clone(&pool));
    Engine::start(
        &driver,
        Arc::clone(workload),
        2,
        pool.len(),
        clock,
        Arc::new(Mutex::new(record)),
        Box::new(move |what| {
            if let Told::History(rows) = what {
                *told.lock().expect("nobody panicked") += rows.len();
            }
        }),
    )
    .expect("threads can be started")
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        sleep(Duration::from_millis(2));
    }
}
