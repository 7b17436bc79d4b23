//! The session that is told when silent sessions' ephemeral nodes are gone.
//!
//! A silent session is due when its timeout has passed since the last request was sent: the member heard it no
//! earlier. What is recorded is how long after that the node was seen to be gone, so it is the longest that the member
//! may have taken beyond the timeout. A node that goes earlier is counted, and no time is made of it.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use quorumeter_record::OpPhase;
use quorumeter_targets::policy::Policy;
use quorumeter_targets::session::WatchEvent;
use quorumeter_targets::{Completion, Connection, Operation, Outcome, Sink};
use tokio::sync::Notify;

use crate::engine::history::Place;
use crate::engine::link::Part;
use crate::engine::recorder::{Observed, Recorder};
use crate::engine::timeline::Timeline;

/// Watches that are being set at once, at most.
const DEPTH: usize = 64;

/// Tells a silent session that it is over.
#[derive(Default)]
pub(in crate::engine) struct Gone {
    is_gone: Cell<bool>,
    wake: Notify,
}

impl Gone {
    /// Whether it is, once for each time.
    pub(super) fn take(&self) -> bool {
        self.is_gone.take()
    }

    /// Waits until it may be.
    pub(super) async fn changed(&self) {
        self.wake.notified().await;
    }

    fn set(&self) {
        self.is_gone.set(true);
        self.wake.notify_one();
    }
}

/// An ephemeral node: the number of its session in the stream, and its own.
type Node = (u32, u32);

/// What is known of a node that is to go.
pub(super) struct Awaited {
    /// When, or later.
    pub(super) due_ns: u64,
    /// Who is to know.
    pub(super) gone: Rc<Gone>,
    /// Where its session fell silent, if the stream's history is kept.
    pub(super) place: Option<Place>,
}

/// Watches ephemeral nodes of one stream.
pub(in crate::engine) struct ObserverPart {
    stream: usize,
    /// Place of the expiry among the stream's ops.
    op: usize,
    timeline: Arc<Timeline>,
    /// What a look at a node that is gone comes to.
    no_node: Outcome,
    /// What the wait for a node comes to when the connection was lost meanwhile.
    connection_lost: Outcome,
    awaited: BTreeMap<Node, Awaited>,
    to_watch: VecDeque<Node>,
}

impl ObserverPart {
    pub(in crate::engine) fn new(
        stream: usize,
        op: usize,
        timeline: Arc<Timeline>,
        no_node: Outcome,
        connection_lost: Outcome,
    ) -> ObserverPart {
        let (awaited, to_watch) = Default::default();
        ObserverPart { stream, op, timeline, no_node, connection_lost, awaited, to_watch }
    }

    /// A session has fallen silent, whose node is to go.
    pub(super) fn watch(&mut self, node: Node, awaited: Awaited) {
        self.awaited.insert(node, awaited);
        self.to_watch.push_back(node);
    }

    /// Whether a node is awaited that is due before the measured window's end.
    pub(in crate::engine) fn is_open(&self) -> bool {
        let end_ns = self.timeline.end_ns();
        self.awaited.values().any(|awaited| awaited.due_ns < end_ns)
    }

    /// Gives up what is awaited: it takes longer than until now.
    pub(in crate::engine) fn give_up(&mut self, now_ns: u64, recorder: &mut Recorder) {
        for (_, awaited) in std::mem::take(&mut self.awaited) {
            self.record(&awaited, now_ns, Outcome::Unknown, recorder);
        }
        self.to_watch.clear();
    }

    fn record(&self, awaited: &Awaited, seen_ns: u64, outcome: Outcome, recorder: &mut Recorder) {
        let Awaited { due_ns, place, .. } = *awaited;
        // What is due after the window belongs to none.
        if due_ns >= self.timeline.end_ns() {
            return;
        }
        let phase = self.timeline.phase_of_op(due_ns);
        if seen_ns < due_ns {
            recorder.lives(self.stream).early += u64::from(phase == OpPhase::Measure);
            if let Some(place) = place {
                recorder.history(place.observed(self.op, due_ns, seen_ns, Outcome::Failed(0)));
            }
            return;
        }
        let what = Observed { stream: self.stream, op: self.op, phase, place };
        recorder.observed(what, due_ns, seen_ns, outcome);
    }

    fn is_gone(&mut self, node: Node, seen_ns: u64, outcome: Outcome, recorder: &mut Recorder) {
        if let Some(awaited) = self.awaited.remove(&node) {
            self.record(&awaited, seen_ns, outcome, recorder);
            awaited.gone.set();
        }
    }
}

impl Part for ObserverPart {
    type Tag = Node;

    /// It is no client whose policy is of interest, and the others wait for it.
    const POLICY: Option<Policy> = Some(Policy::Ideal);

    fn fill(&mut self, connection: &mut impl Connection<Node>, _: &mut Recorder, _: u64) {
        while connection.open_ops() < DEPTH {
            let Some(node) = self.to_watch.pop_front() else { break };
            let (session, serial) = node;
            connection.submit(Operation::WatchEphemeral { session, serial }, node);
        }
    }

    fn sink<'a>(&'a mut self, recorder: &'a mut Recorder, _: bool) -> impl Sink<Node> + 'a {
        ObserverSink { part: self, recorder }
    }

    fn attached(&mut self, _: usize, _: bool, _: &mut Recorder, _: u64) {
        // Watches went with the connection before, if there was one.
        self.to_watch = self.awaited.keys().copied().collect();
    }

    fn detached(&mut self, _: &mut Recorder, _: u64) {}
}

struct ObserverSink<'a> {
    part: &'a mut ObserverPart,
    recorder: &'a mut Recorder,
}

impl Sink<Node> for ObserverSink<'_> {
    fn sent(&mut self, _: &Node, _: u64, _: u64) {}

    fn done(&mut self, node: Node, _: Operation, completion: Completion) {
        match completion.outcome {
            // The node was gone before the watch was set: since when, only the member knows.
            outcome if outcome == self.part.no_node => {
                let outcome = self.part.connection_lost;
                self.part.is_gone(node, completion.done_ns, outcome, self.recorder);
            }
            // The member would not say: it is asked again.
            Outcome::Failed(_) => self.part.to_watch.push_back(node),
            // Of a lost connection the next one asks again.
            Outcome::Ok | Outcome::Unknown => {}
        }
    }

    fn not_sent(&mut self, _: Node, _: Operation) {}

    fn event(&mut self, _: WatchEvent) {}

    fn gone(&mut self, session: u32, serial: u32, received_ns: u64) {
        self.part.is_gone((session, serial), received_ns, Outcome::Ok, self.recorder);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use quorumeter_record::{HistoryRow, RowKind};

    use super::*;
    use crate::engine::aggregate::Message;
    use crate::engine::buffer::{IntervalBuffer, Shape};
    use crate::plan::Workload;

    const MS: u64 = 1_000_000;

    /// The load begins at 0, the window at 100 ms, and it ends at 500 ms.
    #[test]
    fn what_is_recorded_is_how_long_after_it_was_due_a_node_was_gone() {
        let timeline = Arc::new(Timeline::new(1000 * MS));
        timeline.begin(0, 100 * MS, 400 * MS);
        let (out, messages) = channel();
        let (_keep, back) = channel();
        let mut recorder = Recorder::new(0, Arc::clone(&timeline), Shape { ops: vec![1] }, out, back);
        recorder.begin(0);
        let lost = Outcome::Failed(-4);
        let mut observer = ObserverPart::new(0, 0, timeline, Outcome::Failed(-101), lost);
        let gone: Rc<Gone> = Rc::default();
        let text = "[[stream]]\nname = \"a\"\nhistory = true\nlife = { cycle = \"expire\" }\n";
        let mut place = Place::of(&Workload::read(text, &[], || 1).unwrap().streams[0], 0, 7);
        place.iter_mut().for_each(|place| place.connected(2));
        // Number, due, seen, and how.
        for (serial, due_ms, seen) in [
            (1, 50, Some((60, Outcome::Ok))),
            (2, 200, Some((230, Outcome::Ok))),
            (3, 200, Some((190, Outcome::Ok))),
            (4, 300, Some((340, lost))),
            (5, 501, Some((510, Outcome::Ok))),
            (6, 400, None),
        ] {
            let awaited = Awaited { due_ns: due_ms * MS, gone: Rc::clone(&gone), place };
            observer.watch((7, serial), awaited);
            assert!(observer.is_open() == (due_ms < 500));
            if let Some((seen_ms, how)) = seen {
                observer.is_gone((7, serial), seen_ms * MS, how, &mut recorder);
                assert!(gone.take() && !observer.is_open());
            }
        }
        // Nobody else's node.
        observer.is_gone((8, 6), 400 * MS, Outcome::Ok, &mut recorder);
        assert!(!gone.take() && observer.is_open());
        observer.give_up(600 * MS, &mut recorder);
        recorder.finish(600 * MS);
        drop(recorder);
        let mut buffer = IntervalBuffer::new(&Shape { ops: vec![1] });
        let mut rows = Vec::new();
        for message in messages {
            if let Message::Interval { buffer: mut interval, .. } = message {
                rows.append(&mut interval.history);
                buffer.merge(&mut interval);
            }
        }
        assert_eq!(buffer.streams[0].lives.early, 1);
        assert_eq!(buffer.slot(0, 0, OpPhase::Warmup).ok, 1);
        let slot = buffer.slot(0, 0, OpPhase::Measure);
        assert_eq!((slot.ok, slot.failed.as_slice(), slot.unknown), (1, &[(-4, 1)][..], 1));
        let of = |histogram: &hdrhistogram::Histogram<u64>| histogram.max() / MS;
        assert_eq!(of(&slot.ok_times().response), 30);
        assert_eq!((of(slot.of_failed.as_ref().unwrap()), of(slot.of_unknown.as_ref().unwrap())), (40, 200));
        // Of each that was due in the window there is a row, of the one that went before its time, too.
        let told = |row: &HistoryRow| (row.intended_ns / MS, row.ended_ns / MS, row.kind, row.code);
        assert_eq!(
            rows.iter().map(told).collect::<Vec<_>>(),
            [
                (50, 60, RowKind::Ok, 0),
                (200, 230, RowKind::Ok, 0),
                (200, 190, RowKind::Failed, 0),
                (300, 340, RowKind::Failed, -4),
                (400, 600, RowKind::Unknown, 0),
            ]
        );
        assert!(rows.iter().all(|row| (row.session, row.connection, row.member) == (7, 1, Some(2))));
    }
}
