//! Sessions that issue ops.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use quorumeter_record::OpPhase;
use quorumeter_targets::session::WatchEvent;
use quorumeter_targets::{Change, Completion, Connection, Created, Nodes, Operation, Outcome, Sink};

use super::history::Place;
use super::join::{UnknownRow, WriteRow};
use super::link::Part;
use super::recorder::{Recorder, Tag};
use super::source::OpSource;
use super::timeline::Timeline;

/// An op whose time has come and that waits to be submitted.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    op: Operation,
    tag: Tag,
}

/// The ops of one session: what waits, and where more come from.
pub(super) struct OpsPart {
    source: OpSource,
    waiting: VecDeque<Waiting>,
    /// Ops in flight, at most.
    depth: usize,
    /// Ops waiting, at most; `None` in a closed loop, where no more than `depth` can wait.
    backlog: Option<usize>,
    stream: u16,
    timeline: Arc<Timeline>,
    watched: Watched,
    /// Which nodes its keys are of.
    nodes: Nodes,
    /// How often each node was used by ops of the measured window that were sent.
    key_counts: Rc<KeyCounts>,
    /// Whether an op that is released now can be submitted at once, as far as is known.
    connected: bool,
    /// Where its ops end, if their history is kept.
    place: Option<Place>,
}

/// The nodes of a stream whose ops are about none.
pub(super) const NO_NODES: Nodes = Nodes { first: 0, count: 0 };

/// How often each of a stream's nodes was used on one worker.
pub(super) struct KeyCounts {
    first: u32,
    counts: Vec<std::cell::Cell<u32>>,
}

impl KeyCounts {
    pub(super) fn new(nodes: Nodes) -> Rc<KeyCounts> {
        let counts = vec![std::cell::Cell::new(0); nodes.count as usize];
        Rc::new(KeyCounts { first: nodes.first, counts })
    }

    #[inline]
    fn add(&self, key: u32) {
        let count = &self.counts[(key - self.first) as usize];
        count.set(count.get().saturating_add(1));
    }

    pub(super) fn take(&self) -> Vec<u32> {
        self.counts.iter().map(std::cell::Cell::take).collect()
    }
}

/// What a session's ops have in common.
pub(super) struct OpsSettings {
    pub(super) depth: usize,
    pub(super) backlog: Option<usize>,
    pub(super) stream: u16,
    pub(super) watched: Watched,
    pub(super) nodes: Nodes,
}

/// How many of the dataset's first nodes somebody watches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watched {
    /// For changes of their data.
    pub(super) data: u32,
    /// For children that come and go.
    pub(super) children: u32,
}

impl OpsPart {
    pub(super) fn new(
        source: OpSource,
        settings: &OpsSettings,
        timeline: Arc<Timeline>,
        key_counts: Rc<KeyCounts>,
        place: Option<Place>,
    ) -> OpsPart {
        OpsPart {
            source,
            waiting: VecDeque::new(),
            depth: settings.depth,
            backlog: settings.backlog,
            stream: settings.stream,
            timeline,
            watched: settings.watched,
            nodes: settings.nodes,
            key_counts,
            connected: false,
            place,
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// An op's time has come. `open_ops` counts what the connection has not ended.
    #[inline]
    pub(super) fn release(
        &mut self,
        intended_ns: u64,
        now_ns: u64,
        open_ops: usize,
        recorder: &mut Recorder,
    ) {
        let (op_place, op) = self.source.next_op();
        let phase = self.timeline.phase_of_op(intended_ns);
        // Ops that can be submitted as soon as the batch is released: they are no backlog.
        let room = if self.connected { self.depth.saturating_sub(open_ops) } else { 0 };
        let late = self.waiting.len() >= room;
        let tag = Tag {
            intended_ns,
            released_ns: now_ns,
            stream: self.stream,
            op: op_place as u16,
            phase,
            late,
            is_write: self.source.is_write(op_place),
        };
        recorder.released(&tag, self.backlog.is_some());
        // What a lost connection gave back may have filled it beyond its limit.
        while self.backlog.is_some_and(|limit| self.waiting.len() >= limit.saturating_add(room))
            && let Some(oldest) = self.waiting.pop_front()
        {
            self.shed(oldest, now_ns, recorder);
        }
        self.waiting.push_back(Waiting { op, tag });
    }

    /// A closed loop's ops begin: every slot is free.
    pub(super) fn open_slots(&mut self, start_ns: u64, now_ns: u64, recorder: &mut Recorder) {
        for _ in 0..self.depth {
            self.release(start_ns, now_ns, 0, recorder);
        }
    }

    /// Drops all that waits.
    pub(super) fn shed_all(&mut self, now_ns: u64, recorder: &mut Recorder) {
        while let Some(waiting) = self.waiting.pop_front() {
            self.shed(waiting, now_ns, recorder);
        }
    }

    fn shed(&self, Waiting { op, tag }: Waiting, now_ns: u64, recorder: &mut Recorder) {
        recorder.shed(&tag, now_ns);
        if let Some(place) = &self.place {
            recorder.history(place.shed(&tag, op.key(), now_ns));
        }
    }

    fn count_keys(&self, op: Operation) {
        let count = if let Operation::Multi { count, .. } = op { count.into() } else { 1 };
        if let Some(key) = op.key() {
            (0..count).for_each(|i| self.key_counts.add(self.nodes.behind(key, i)));
        }
    }

    /// Notes a write that was acknowledged, or whose outcome is unknown, for those who watch its nodes.
    #[inline]
    fn log_write(&self, tag: &Tag, op: Operation, completion: &Completion, recorder: &mut Recorder) {
        let (key, count, change, watched) = match op {
            Operation::Write { key, .. } | Operation::WriteCas { key, .. } => {
                (key, 1, Change::Data, self.watched.data)
            }
            Operation::Multi { key, count, .. } => (key, u32::from(count), Change::Data, self.watched.data),
            Operation::CreateChild { key, .. } | Operation::Delete { node: Created::Child { key, .. } } => {
                (key, 1, Change::Children, self.watched.children)
            }
            _ => return,
        };
        let (sent_ns, done_ns, phase) = (completion.sent_ns, completion.done_ns, tag.phase);
        for key in (0..count).map(|i| self.nodes.behind(key, i)).filter(|key| *key < watched) {
            match completion.outcome {
                Outcome::Ok => recorder.write_row(WriteRow {
                    key,
                    change,
                    zxid: completion.zxid,
                    intended_ns: tag.intended_ns,
                    sent_ns,
                    acked_ns: done_ns,
                    phase,
                }),
                Outcome::Unknown => {
                    recorder.unknown_row(UnknownRow { key, change, sent_ns, given_up_ns: done_ns, phase });
                }
                Outcome::Failed(_) => {}
            }
        }
    }
}

impl Part for OpsPart {
    type Tag = Tag;

    #[inline]
    fn fill(&mut self, connection: &mut impl Connection<Tag>, _: &mut Recorder, _: u64) {
        while connection.open_ops() < self.depth {
            let Some(waiting) = self.waiting.pop_front() else { break };
            connection.submit(waiting.op, waiting.tag);
        }
    }

    fn sink<'a>(&'a mut self, recorder: &'a mut Recorder, connected: bool) -> impl Sink<Tag> + 'a {
        self.connected &= connected;
        OpsSink { part: self, recorder, returned: 0 }
    }

    fn attached(&mut self, member: usize, same_session: bool, _: &mut Recorder, _: u64) {
        self.connected = true;
        self.place.iter_mut().for_each(|place| place.connected(member));
        if !same_session {
            self.source.session_gone();
        }
    }

    fn detached(&mut self, _: &mut Recorder, _: u64) {
        self.connected = false;
        self.place.iter_mut().for_each(Place::disconnected);
    }
}

/// Takes what one connection tells.
struct OpsSink<'a> {
    part: &'a mut OpsPart,
    recorder: &'a mut Recorder,
    /// Ops that came back unsent. They stand at the end until all have come, which is after everything else that a
    /// connection tells; then they go to the front, in their order.
    returned: usize,
}

impl Drop for OpsSink<'_> {
    fn drop(&mut self) {
        if self.returned > 0 {
            self.part.waiting.rotate_right(self.returned);
        }
    }
}

impl Sink<Tag> for OpsSink<'_> {
    #[inline]
    fn sent(&mut self, tag: &Tag, sent_ns: u64, in_flight: u64) {
        self.recorder.sent(tag, sent_ns, in_flight);
    }

    #[inline]
    fn done(&mut self, tag: Tag, op: Operation, completion: Completion) {
        self.recorder.done(&tag, &completion);
        if let Some(place) = &self.part.place {
            self.recorder.history(place.op(&tag, op.key(), &completion));
        }
        if tag.phase == OpPhase::Measure {
            self.part.count_keys(op);
        }
        if completion.outcome == Outcome::Ok {
            self.part.source.succeeded(op, completion.number);
        }
        self.part.log_write(&tag, op, &completion, self.recorder);
        // In a closed loop a reply starts the next op.
        if self.part.backlog.is_none() && completion.done_ns < self.part.timeline.end_ns() {
            self.part.release(completion.done_ns, completion.done_ns, 0, self.recorder);
        }
    }

    fn not_sent(&mut self, mut tag: Tag, op: Operation) {
        tag.late = true;
        self.part.waiting.push_back(Waiting { op, tag });
        self.returned += 1;
    }

    fn event(&mut self, _: WatchEvent) {}
}
