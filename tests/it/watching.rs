//! Watches, counted against a server that loses, doubles and merges events on purpose.

use std::time::Duration;

use quorumeter_ensemble::scripted::{Action, ReplyFault, Step, Trigger, Unknown};
use quorumeter_experiments::RunError;
use quorumeter_record::{FanOutSummary, GateOutcome, GeneratorVerdict, Quantiles, WatchSummary};
use quorumeter_zk::{ErrorCode, OpCode};

use crate::support::{Measured, measure, measure_with, scripted};

/// 100 writes to one node in a second, and three watchers of it.
fn watching(kind: &str) -> String {
    format!(
        "phases = {{ warmup = \"0s\", measure = \"1s\" }}\n[dataset]\nnodes = 1\n\
         [[stream]]\nname = \"app\"\nsessions = 1\ndepth = 1\nrate = \"100/s\"\narrival = \"constant\"\nmix = {{ write = 1 }}\n\
         [[stream]]\nname = \"w\"\nsessions = 4\nwatch = {{ kind = \"{kind}\", watchers = 3 }}\n"
    )
}

fn at_write(number: u64, what: Action) -> Step {
    Step { when: Trigger::AtOp { op: Some(OpCode::SET_DATA), number }, what }
}

fn at_start(what: Action) -> Step {
    Step { when: Trigger::AfterStart(Duration::ZERO), what }
}

fn watches(measured: &Measured) -> &WatchSummary {
    &measured.summary().watches["w"]
}

/// First, median and last, each of as many writes as reached all of their watchers.
fn fan_out(watch: &WatchSummary) -> (u64, u64) {
    let FanOutSummary { complete, incomplete, first_ns, median_ns, last_ns, .. } = &watch.fan_out;
    let ranks = [first_ns, median_ns, last_ns];
    assert_eq!(ranks.map(|times| times.count), [*complete; 3], "{watch:?}");
    for statistic in ["min", "p50", "p90", "max"] {
        let in_order = ranks.map(|times: &Quantiles| times.get(statistic));
        assert!(in_order.is_sorted(), "{statistic}: {watch:?}");
    }
    (*complete, *incomplete)
}

#[test]
fn every_write_reaches_every_persistent_watcher() {
    let server = scripted(Vec::new());
    let measured = measure(server.address(), &watching("persistent"));
    let w = watches(&measured);
    assert_eq!((w.events, w.matched, w.lost, w.duplicate, w.unmatched, w.merged), (300, 300, 0, 0, 0, 0));
    let delivery = &measured.summary().ops["w.watch_delivery"];
    assert_eq!((delivery.ok, delivery.response_ns.count), (300, 300));
    // Delivered after it was sent, and measured from the intended time.
    assert!(delivery.response_ns.p50 >= delivery.service_ns.p50, "{delivery:?}");
    assert_eq!(w.after_ack_ns.count, 300);
    // Three deliveries of each write: one is its first, one its median, one its last.
    assert_eq!(fan_out(w), (100, 0));
    assert_eq!(
        (w.fan_out.first_ns.min, w.fan_out.last_ns.max),
        (delivery.response_ns.min, delivery.response_ns.max)
    );
    assert!(
        w.fan_out.last_ns.p90.is_some() && w.fan_out.last_ns.p95.is_none(),
        "10 samples beyond a quantile"
    );
}

/// Sessions, watchers and paths that are no multiples of each other, and writers of which two share a path.
#[test]
fn writers_watchers_and_paths_multiply() {
    let server = scripted(Vec::new());
    let workload = "phases = { warmup = \"0s\", measure = \"1s\" }\n[dataset]\nnodes = 7\n\
         [[stream]]\nname = \"a\"\nsessions = 3\nrate = \"140/s\"\narrival = \"constant\"\nkeys = \"sequential\"\nmix = { write = 1 }\n\
         [[stream]]\nname = \"b\"\nsessions = 1\nrate = \"20/s\"\narrival = \"constant\"\nmix = { \"multi(7)\" = 1 }\n\
         [[stream]]\nname = \"w\"\nsessions = 5\nwatch = { kind = \"persistent\", watchers = 4 }\n\
         [[stream]]\nname = \"half\"\nsessions = 2\nwatch = { kind = \"persistent\", watchers = 1, paths = 3 }\n";
    let measured = measure(server.address(), workload);
    let w = watches(&measured);
    // 140 writes of one node and 20 of seven: 280 changes, four watchers of each.
    assert_eq!((w.events, w.matched, w.lost, w.duplicate), (4 * 280, 4 * 280, 0, 0), "{w:?}");
    assert_eq!(fan_out(w), (280, 0));
    let half = &measured.summary().watches["half"];
    assert_eq!(fan_out(half), (half.events, 0), "with one watcher an event is a write");
    assert_eq!(half.fan_out.first_ns, half.fan_out.last_ns);
}

#[test]
fn events_that_never_come_are_lost_and_second_ones_duplicates() {
    let server =
        scripted(vec![at_write(20, Action::DropEvents(5)), at_write(60, Action::DuplicateEvents(2))]);
    let measured = measure(server.address(), &watching("persistent"));
    let w = watches(&measured);
    // Per watcher lost and duplicate events offset each other; the three of them cannot hide more than two.
    assert_eq!(w.events, 297, "{w:?}");
    assert_eq!(w.lost as i64 - w.duplicate as i64, 3, "{w:?}");
    // Five events were lost: of write 20 all three, of write 21 two. The second ones make no write complete.
    assert_eq!(fan_out(w), (98, 2));
    let delivery = &measured.summary().ops["w.watch_delivery"];
    assert_eq!(delivery.unknown, w.lost);
    assert_eq!(delivery.response_ns.censored, w.lost, "a lost event is a lower bound");
}

#[test]
fn a_one_shot_watch_merges_what_comes_before_it_is_set_again() {
    let server = scripted(Vec::new());
    let measured = measure(server.address(), &watching("one-shot"));
    let w = watches(&measured);
    // Every write either fires or is merged, for each of the three watchers.
    assert_eq!(w.events + w.merged, 300, "{w:?}");
    assert_eq!((w.lost, w.duplicate, w.unmatched), (0, 0, 0), "{w:?}");
    // A write that is merged for one of them has no last delivery.
    let (complete, incomplete) = fan_out(w);
    assert_eq!(complete + incomplete, 100, "{w:?}");
    assert!(incomplete <= w.merged && 3 * complete <= w.events, "{w:?}");
}

/// A one-shot watch whose event is lost stays set for ever: all later writes are merged into the one that is owed.
#[test]
fn a_lost_one_shot_event_is_found_at_the_end() {
    let server = scripted(vec![at_write(50, Action::DropEvents(1))]);
    let measured = measure(server.address(), &watching("one-shot"));
    let w = watches(&measured);
    assert_eq!((w.lost, w.duplicate), (1, 0), "{w:?}");
    assert_eq!(w.events + w.merged + w.lost, 300, "{w:?}");
    // Write 50 was lost for one watcher, and with it the 50 behind it were merged.
    assert!(w.merged >= 50, "{w:?}");
    let (complete, incomplete) = fan_out(w);
    assert!(complete <= 49 && complete + incomplete == 100, "{w:?}");
}

/// Before 3.9 events carry no transaction id; the replies to the writes do.
#[test]
fn events_without_an_id_find_their_write() {
    for kind in ["persistent", "one-shot"] {
        let server = scripted(vec![at_start(Action::EventZxid(Some(-1)))]);
        let measured = measure(server.address(), &watching(kind));
        let w = watches(&measured);
        assert_eq!(w.events + w.merged, 300, "{kind}: {w:?}");
        assert_eq!((w.matched, w.unmatched), (w.events, 0), "{kind}: {w:?}");
        let (complete, incomplete) = fan_out(w);
        assert_eq!(complete + incomplete, 100, "{kind}: {w:?}");
        assert!(kind == "one-shot" || complete == 100, "{kind}: {w:?}");
        let delivery = &measured.summary().ops["w.watch_delivery"];
        assert!(delivery.service_ns.max < Some(500_000_000), "{kind}: {delivery:?}");
    }
}

/// A watch that `exists` set tells changes of data, too, and its reply the version.
#[test]
fn a_watch_set_by_exists_counts_as_one_set_by_a_read() {
    let workload = watching("one-shot").replace("watchers = 3", "on = \"exists\", watchers = 3");
    let server = scripted(Vec::new());
    let measured = measure(server.address(), &workload);
    let w = watches(&measured);
    assert_eq!(w.events + w.merged, 300, "{w:?}");
    assert_eq!((w.matched, w.lost, w.duplicate, w.unmatched), (w.events, 0, 0, 0), "{w:?}");
    let (complete, incomplete) = fan_out(w);
    assert_eq!(complete + incomplete, 100, "{w:?}");
    // Two watchers lose the event of one write: what comes later is merged into it.
    let server = scripted(vec![at_write(50, Action::DropEvents(2))]);
    let measured = measure(server.address(), &workload);
    let w = watches(&measured);
    assert_eq!((w.lost, w.events + w.merged + w.lost), (2, 300), "{w:?}");
}

/// One watch on a parent tells of each of its children, and of nobody else's.
#[test]
fn a_recursive_watch_tells_of_every_child() {
    let workload = |paths: u32| {
        format!(
            "phases = {{ warmup = \"0s\", measure = \"1s\" }}\n[dataset]\nnodes = 10\nchildren_per_parent = 4\n\
             [[stream]]\nname = \"app\"\nsessions = 1\nrate = \"20/s\"\narrival = \"constant\"\nmix = {{ \"multi(10)\" = 1 }}\n\
             [[stream]]\nname = \"w\"\nsessions = 4\ndepth = 2\nwatch = {{ kind = \"recursive\", watchers = 3, paths = {paths} }}\n"
        )
    };
    // Parents of 4, 4 and 2 children: 20 writes of every child, three watchers of every parent.
    for (paths, children) in [(1, 4), (2, 8), (3, 10)] {
        let server = scripted(Vec::new());
        let measured = measure(server.address(), &workload(paths));
        let w = watches(&measured);
        assert_eq!((w.events, w.matched), (60 * children, 60 * children), "{w:?}");
        assert_eq!((w.lost, w.duplicate, w.merged, w.unmatched), (0, 0, 0, 0), "{w:?}");
        assert_eq!(fan_out(w), (20 * children, 0));
        assert_eq!((w.kind.as_str(), w.paths), ("recursive", u64::from(paths)));
    }
    // The first seven events of one transaction are lost, and the first of another comes twice.
    let at_multi = |number, what| {
        let when = Trigger::AtOp { op: Some(OpCode::MULTI), number };
        Step { when, what }
    };
    let server = scripted(vec![at_multi(7, Action::DropEvents(7)), at_multi(13, Action::DuplicateEvents(1))]);
    let measured = measure(server.address(), &workload(3));
    let w = watches(&measured);
    assert_eq!(w.events, 600 - 7 + 1, "{w:?}");
    // A watcher's lost and second events offset each other only for the same child.
    assert!(matches!((w.lost, w.duplicate), (7, 1) | (6, 0)), "{w:?}");
    let (complete, incomplete) = fan_out(w);
    // Seven events are of three children at least, which have three watchers each, and of seven at most.
    assert!(complete + incomplete == 200 && (3..=7).contains(&incomplete), "{w:?}");
}

/// Watchers whose connections go lose their watches with them, and set them anew: nothing of that is called lost.
#[test]
fn watches_that_go_with_their_connection_are_counted() {
    for kind in ["persistent", "recursive"] {
        let server = scripted(vec![at_write(50, Action::CloseAll)]);
        let measured = measure(server.address(), &watching(kind));
        let w = watches(&measured);
        assert_eq!((w.lost, w.duplicate, w.interrupted), (0, 0, 3), "{w:?}");
        // Write 50 was done and not answered: what its watchers were told of it has no reply to go with.
        assert!((290..=300).contains(&w.events) && w.of_unknown <= 3, "{w:?}");
        assert_eq!((w.matched + w.of_unknown, w.unmatched), (w.events, 0), "{w:?}");
        assert_eq!(w.fan_out.unknown_writes, 1, "{w:?}");
        // The fourth session watches nothing.
        assert_eq!(measured.analysis().sessions["w"].lost, 4);
    }
}

/// The same for children: 100 that come or go below one node in a second, and three watchers of it.
fn watching_children(kind: &str) -> String {
    watching(kind)
        .replace("mix = { write = 1 }", "mix = { create_child = 1, delete = 1 }")
        .replace("watchers = 3", "on = \"children\", watchers = 3")
}

#[test]
fn every_child_that_comes_or_goes_reaches_every_watcher() {
    for kind in ["persistent", "recursive"] {
        let server = scripted(Vec::new());
        let measured = measure(server.address(), &watching_children(kind));
        let w = watches(&measured);
        assert_eq!((w.events, w.matched, w.of_unknown, w.unmatched), (300, 300, 0, 0), "{w:?}");
        assert_eq!((w.lost, w.duplicate, w.merged), (0, 0, 0), "{w:?}");
        assert_eq!((w.kind.as_str(), w.on.as_str(), w.paths), (kind, "children", 1));
        assert_eq!(fan_out(w), (100, 0));
        let ops = &measured.summary().ops;
        assert_eq!(ops["app.create_child"].ok + ops["app.delete"].ok, 100);
        assert!(ops["app.delete"].ok > 20, "{:?}", ops["app.delete"]);
        let delivery = &ops["w.watch_delivery"];
        assert_eq!(
            (w.fan_out.first_ns.min, w.fan_out.last_ns.max),
            (delivery.response_ns.min, delivery.response_ns.max)
        );
    }
}

/// Writers of data and of children to the same nodes, and watchers of either: none is told of what is the others'.
#[test]
fn data_and_children_of_a_node_are_watched_apart() {
    for zxid in [None, Some(-1)] {
        let server = scripted(vec![at_start(Action::EventZxid(zxid))]);
        let workload = "phases = { warmup = \"0s\", measure = \"1s\" }\n[dataset]\nnodes = 7\n\
             [[stream]]\nname = \"c\"\nsessions = 3\nrate = \"140/s\"\narrival = \"constant\"\nkeys = \"sequential\"\nmix = { create_child = 1 }\n\
             [[stream]]\nname = \"d\"\nsessions = 1\nrate = \"20/s\"\narrival = \"constant\"\nmix = { \"multi(7)\" = 1 }\n\
             [[stream]]\nname = \"w\"\nsessions = 5\nwatch = { kind = \"persistent\", on = \"children\", watchers = 4 }\n\
             [[stream]]\nname = \"below\"\nsessions = 5\nwatch = { kind = \"recursive\", on = \"children\", watchers = 2, paths = 7 }\n\
             [[stream]]\nname = \"data\"\nsessions = 2\nwatch = { kind = \"persistent\", watchers = 1 }\n\
             [[stream]]\nname = \"tree\"\nsessions = 2\nwatch = { kind = \"recursive\", watchers = 1 }\n";
        let measured = measure(server.address(), workload);
        let watches = &measured.summary().watches;
        for (stream, changes, watchers) in
            [("w", 140, 4), ("below", 140, 2), ("data", 140, 1), ("tree", 140, 1)]
        {
            let w = &watches[stream];
            let told = changes * watchers;
            assert_eq!((w.events, w.matched, w.unmatched), (told, told, 0), "{stream}: {w:?}");
            assert_eq!((w.lost, w.duplicate), (0, 0), "{stream}: {w:?}");
            assert_eq!(fan_out(w), (changes, 0), "{stream}: {w:?}");
        }
    }
}

#[test]
fn events_of_children_are_lost_and_doubled_as_those_of_data() {
    let at_delete = |number, what| Step { when: Trigger::AtOp { op: Some(OpCode::DELETE), number }, what };
    for kind in ["persistent", "recursive"] {
        let server =
            scripted(vec![at_delete(5, Action::DropEvents(5)), at_delete(20, Action::DuplicateEvents(2))]);
        let measured = measure(server.address(), &watching_children(kind));
        let w = watches(&measured);
        assert_eq!(w.events, 297, "{w:?}");
        assert_eq!(w.lost as i64 - w.duplicate as i64, 3, "{w:?}");
        assert_eq!(fan_out(w), (98, 2));
        assert_eq!(measured.summary().ops["w.watch_delivery"].unknown, w.lost);
    }
}

/// A registration fires for the first child that comes or goes after it; what comes before the next one is merged.
#[test]
fn a_one_shot_watch_on_children_fires_or_merges_or_is_lost() {
    for zxid in [None, Some(-1)] {
        let server = scripted(vec![at_start(Action::EventZxid(zxid))]);
        let measured = measure(server.address(), &watching_children("one-shot"));
        let w = watches(&measured);
        assert_eq!((w.events + w.merged, w.matched), (300, w.events), "{w:?}");
        assert_eq!((w.lost, w.duplicate, w.unmatched), (0, 0, 0), "{w:?}");
        let (complete, incomplete) = fan_out(w);
        assert_eq!(complete + incomplete, 100, "{w:?}");
        assert!(incomplete <= w.merged && 3 * complete <= w.events, "{w:?}");
    }
    // Lost for one watcher, and with it everything behind is merged.
    let when = Trigger::AtOp { op: Some(OpCode::DELETE), number: 10 };
    let server = scripted(vec![Step { when, what: Action::DropEvents(1) }]);
    let measured = measure(server.address(), &watching_children("one-shot"));
    let w = watches(&measured);
    assert_eq!((w.lost, w.duplicate, w.events + w.merged + w.lost), (1, 0, 300), "{w:?}");
    assert!(w.merged >= 30, "{w:?}");
}

/// A write whose reply is lost with the writer's connection happened, and its watchers are told of it.
#[test]
fn writes_of_unknown_outcome_are_counted_in_their_own_right() {
    let lost_reply = |op| {
        let fault = Action::Replies { fault: ReplyFault::Close, count: 1 };
        Step { when: Trigger::AtOp { op: Some(op), number: 10 }, what: fault }
    };
    let cases =
        [(watching("persistent"), OpCode::SET_DATA), (watching_children("recursive"), OpCode::DELETE)];
    for (workload, op) in cases {
        let server = scripted(vec![lost_reply(op)]);
        let measured = measure(server.address(), &workload);
        let w = watches(&measured);
        assert_eq!((w.events, w.matched, w.of_unknown, w.unmatched), (300, 297, 3, 0), "{w:?}");
        assert_eq!((w.lost, w.duplicate), (0, 0), "{w:?}");
        assert_eq!((fan_out(w), w.fan_out.unknown_writes), ((99, 0), 1), "{w:?}");
        // Events without an id: those that may be of that write have no latency, and none has a wrong one.
        let server = scripted(vec![at_start(Action::EventZxid(Some(-1))), lost_reply(op)]);
        let measured = measure(server.address(), &workload);
        let w = watches(&measured);
        assert_eq!((w.events, w.matched + w.of_unknown, w.unmatched), (300, 300, 0), "{w:?}");
        assert!(w.of_unknown >= 3 && (w.lost, w.duplicate) == (0, 0), "{w:?}");
        let (complete, incomplete) = fan_out(w);
        assert_eq!((complete + incomplete, w.fan_out.unknown_writes), (99, 1), "{w:?}");
    }
}

/// Answers that prove nothing, of writes that did not happen: there is nothing to tell, and nothing is owed.
#[test]
fn unknown_writes_that_did_not_happen_owe_nothing() {
    let code = ErrorCode::REQUEST_TIMEOUT;
    let server = scripted(vec![at_write(1, Action::FailEvery { every: 10, code })]);
    let measured = measure(server.address(), &watching("persistent"));
    let w = watches(&measured);
    let unknown = measured.summary().ops["app.write"].unknown;
    assert!((5..=10).contains(&unknown), "{unknown}");
    assert_eq!((w.events, w.matched), (3 * (100 - unknown), 3 * (100 - unknown)), "{w:?}");
    assert_eq!((w.of_unknown, w.unmatched, w.lost, w.duplicate), (0, 0, 0, 0), "{w:?}");
    assert_eq!((fan_out(w), w.fan_out.unknown_writes), ((100 - unknown, 0), unknown), "{w:?}");
}

#[test]
fn gates_read_the_ranks_of_the_fan_out() {
    let server = scripted(Vec::new());
    let requirements = [
        "w.fan_out.last.p90 < 30s",
        "w.fan_out.first.min > 30s",
        "w.incomplete == 0",
        "w.fan_out.last.p99 < 30s",
    ];
    let measured = measure_with(&[server.address()], &watching_children("persistent"), &requirements);
    let outcomes: Vec<GateOutcome> = measured.summary().gates.iter().map(|gate| gate.outcome).collect();
    // A gate that fails tells nothing where the generator was late. 100 writes are too few for a p99.
    let failed = match measured.summary().generator.verdict {
        GeneratorVerdict::Ok => GateOutcome::Failed,
        GeneratorVerdict::Limited => GateOutcome::Inconclusive,
    };
    assert_eq!(outcomes, [GateOutcome::Passed, failed, GateOutcome::Passed, GateOutcome::Inconclusive]);
    let absent = measure_with(&[server.address()], &watching("persistent"), &["app.fan_out.last.p99 < 1s"]);
    assert!(matches!(absent.result, Err(RunError::Gate(_))));
    let abort =
        format!("{}[abort]\ngrace = \"0s\"\n\"w.fan_out.last.min\" = \"> 30s\"\n", watching("persistent"));
    let abort = abort.replace("measure = \"1s\"", "measure = \"20s\"");
    let stopped = measure(server.address(), &abort);
    assert!(stopped.summary().measured_s < 15.0, "{:?}", stopped.summary());
    let refused = abort.replace("w.fan_out.last.min\" = \"> 30s", "w.incomplete\" = \"== 0");
    assert!(matches!(measure(server.address(), &refused).result, Err(RunError::Gate(_))));
}

/// Servers that do not know addWatch: by what they say of themselves, by their answer, or by a closed connection.
#[test]
fn a_server_without_add_watch_ends_the_run_before_the_load() {
    let cases = [
        (Action::Version("3.5.9-0, built on 2021-01-06 20:03 GMT".into()), "is of version 3.5.9"),
        (Action::NoAddWatch(Unknown::Unimplemented), "the member answers Unimplemented"),
        (Action::NoAddWatch(Unknown::Close), "the connection is lost each time"),
    ];
    for (action, cause) in cases {
        for workload in [watching("recursive"), watching_children("persistent")] {
            let server = scripted(vec![at_start(action.clone())]);
            let measured = measure(server.address(), &workload);
            let Err(error @ RunError::NoSuchWatch { .. }) = &measured.result else {
                panic!("{action:?}: {:?}", measured.result)
            };
            let error = error.to_string();
            for part in ["stream \"w\"", cause, "since 3.6", "kind = \"one-shot\""] {
                assert!(error.contains(part), "{error}");
            }
            let intervals = measured.record().intervals().expect("there is a record");
            assert_eq!(intervals.count(), 0, "no load was made");
        }
        // One-shot watches need no addWatch.
        let server = scripted(vec![at_start(action)]);
        let measured = measure(server.address(), &watching_children("one-shot"));
        let w = watches(&measured);
        assert_eq!((w.events + w.merged, w.lost), (300, 0), "{w:?}");
    }
}
