//! Watches, counted against a server that loses, doubles and merges events on purpose.

use quorumeter_ensemble::scripted::{Action, Step, Trigger};
use quorumeter_record::WatchSummary;
use quorumeter_zk::OpCode;

use crate::support::{Measured, measure, scripted};

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

fn watches(measured: &Measured) -> &WatchSummary {
    &measured.summary().watches["w"]
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
}

/// Before 3.9 events carry no transaction id; the replies to the writes do.
#[test]
fn events_without_an_id_find_their_write() {
    for kind in ["persistent", "one-shot"] {
        let start = Trigger::AfterStart(std::time::Duration::ZERO);
        let server = scripted(vec![Step { when: start, what: Action::EventZxid(Some(-1)) }]);
        let measured = measure(server.address(), &watching(kind));
        let w = watches(&measured);
        assert_eq!(w.events + w.merged, 300, "{kind}: {w:?}");
        assert_eq!((w.matched, w.unmatched), (w.events, 0), "{kind}: {w:?}");
        let delivery = &measured.summary().ops["w.watch_delivery"];
        assert!(delivery.service_ns.max < Some(500_000_000), "{kind}: {delivery:?}");
    }
}

/// Watchers whose connections go lose their watches with them, and set them anew: nothing of that is called lost.
#[test]
fn watches_that_go_with_their_connection_are_counted() {
    let server = scripted(vec![at_write(50, Action::CloseAll)]);
    let measured = measure(server.address(), &watching("persistent"));
    let w = watches(&measured);
    assert_eq!((w.lost, w.duplicate, w.interrupted), (0, 0, 3), "{w:?}");
    // Write 50 was done and not answered: what its watchers were told of it has no write to go with.
    assert!((290..=300).contains(&w.events) && w.unmatched <= 3, "{w:?}");
    assert_eq!(w.matched + w.unmatched, w.events, "{w:?}");
    // The fourth session watches nothing.
    assert_eq!(measured.analysis().sessions["w"].lost, 4);
}
