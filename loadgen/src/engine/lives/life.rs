//! One session's place in a stream of session lives: what waits for it, and how far it is.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use quorumeter_targets::{Completion, Driver, Outcome};
use tokio::sync::Notify;

use super::observer::{Gone, ObserverPart};
use super::session::Session;
use crate::engine::history::Place;
use crate::engine::link::Link;
use crate::engine::recorder::{Recorder, Tag};
use crate::engine::timeline::Timeline;
use crate::engine::worker::Shared;
use crate::plan::{self, Load, Stream};

/// One of a stream's sessions at a time, one after the other.
pub(in crate::engine) struct Life<D: Driver> {
    pub(super) stream: usize,
    pub(super) number: u32,
    pub(super) plan: plan::Life,
    pub(super) timeline: Arc<Timeline>,
    /// Who is told when this one's silence has ended it.
    pub(super) observer: Option<Rc<Link<D, ObserverPart>>>,
    pub(super) gone: Rc<Gone>,
    /// Something is to be looked at.
    pub(super) wake: Notify,
    pub(super) closing: Cell<bool>,
    /// Ops waiting, at most; `None` in a closed loop.
    backlog: Option<usize>,
    /// Where its ops end, if their history is kept.
    pub(super) place: Cell<Option<Place>>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Tag>,
    /// The op that is under way, and when it was sent.
    current: Option<(Tag, u64)>,
    /// Whether an op that comes now can begin at once.
    is_free: bool,
    /// Whether something after the op is being measured.
    is_ending: bool,
}

impl<D: Driver> Life<D> {
    pub(in crate::engine) fn new(
        number: usize,
        session: u32,
        stream: &Stream,
        plan: plan::Life,
        timeline: &Arc<Timeline>,
        observer: Option<&Rc<Link<D, ObserverPart>>>,
    ) -> Rc<Life<D>> {
        let backlog = match stream.load {
            Load::Open { backlog_per_session, .. } => Some(backlog_per_session),
            _ => None,
        };
        Rc::new(Life {
            stream: number,
            number: session,
            plan,
            timeline: Arc::clone(timeline),
            observer: observer.map(Rc::clone),
            gone: Rc::default(),
            wake: Notify::new(),
            closing: Cell::new(false),
            backlog,
            place: Cell::new(Place::of(stream, number, session)),
            state: RefCell::default(),
        })
    }

    /// The number of its stream.
    pub(in crate::engine) fn stream(&self) -> usize {
        self.stream
    }

    /// Lives until it is closed.
    pub(in crate::engine) async fn run(self: Rc<Self>, shared: Rc<Shared<D>>) {
        Session::new(&self, &shared).run().await;
    }

    /// An op's time has come.
    pub(in crate::engine) fn release(&self, intended_ns: u64, now_ns: u64, recorder: &mut Recorder) {
        let state = &mut *self.state.borrow_mut();
        // In a closed loop an op comes when there is room for it.
        let room = usize::from(state.is_free || self.backlog.is_none());
        let phase = self.timeline.phase_of_op(intended_ns);
        let late = state.waiting.len() >= room;
        let stream = self.stream as u16;
        let released_ns = now_ns;
        let tag = Tag { intended_ns, released_ns, stream, op: 0, phase, late, is_write: false };
        recorder.released(&tag, self.backlog.is_some());
        while self.backlog.is_some_and(|limit| state.waiting.len() >= limit.saturating_add(room))
            && let Some(oldest) = state.waiting.pop_front()
        {
            self.shed(&oldest, now_ns, recorder);
        }
        state.waiting.push_back(tag);
        self.wake.notify_one();
    }

    /// In a closed loop the next op begins as soon as this one's life is over.
    pub(super) fn release_next(&self, now_ns: u64, recorder: &mut Recorder) {
        if self.backlog.is_none() && now_ns < self.timeline.end_ns() && !self.closing.get() {
            self.release(now_ns, now_ns, recorder);
        }
    }

    /// Drops all that waits.
    pub(in crate::engine) fn shed_all(&self, now_ns: u64, recorder: &mut Recorder) {
        for tag in self.state.borrow_mut().waiting.drain(..) {
            self.shed(&tag, now_ns, recorder);
        }
    }

    fn shed(&self, tag: &Tag, now_ns: u64, recorder: &mut Recorder) {
        recorder.shed(tag, now_ns);
        if let Some(place) = self.place.get() {
            recorder.history(place.shed(tag, None, now_ns));
        }
    }

    /// Whether an op waits or is under way, or its end is being measured.
    pub(in crate::engine) fn is_open(&self) -> bool {
        let state = self.state.borrow();
        !state.waiting.is_empty() || state.current.is_some() || state.is_ending
    }

    /// Gives up the op that is under way, and ends the session.
    pub(in crate::engine) fn cut(&self, now_ns: u64, recorder: &mut Recorder) {
        self.end_op(now_ns, Outcome::Unknown, recorder);
        self.close();
    }

    /// Ends the session.
    pub(in crate::engine) fn close(&self) {
        self.closing.set(true);
        self.wake.notify_one();
    }

    /// The op that is to begin.
    pub(super) fn take_waiting(&self) -> Option<Tag> {
        self.state.borrow_mut().waiting.pop_front()
    }

    /// There is another connection to this member, or none any more.
    pub(super) fn set_connected(&self, member: Option<usize>) {
        if let Some(mut place) = self.place.get() {
            match member {
                Some(member) => place.connected(member),
                None => place.disconnected(),
            }
            self.place.set(Some(place));
        }
    }

    pub(super) fn set_free(&self, is_free: bool) {
        self.state.borrow_mut().is_free = is_free;
    }

    pub(super) fn set_ending(&self, is_ending: bool) {
        self.state.borrow_mut().is_ending = is_ending;
    }

    /// An op begins: nothing of it has gone to the member before.
    pub(super) fn begin_op(&self, tag: Tag, sent_ns: u64, recorder: &mut Recorder) {
        recorder.sent(&tag, sent_ns, 1);
        self.state.borrow_mut().current = Some((tag, sent_ns));
    }

    /// The op has ended, unless it was given up before. Returns whether it was still under way.
    pub(super) fn end_op(&self, done_ns: u64, outcome: Outcome, recorder: &mut Recorder) -> bool {
        let Some((tag, sent_ns)) = self.state.borrow_mut().current.take() else { return false };
        let completion = Completion { done_ns, sent_ns, outcome, ..Completion::NOTHING };
        recorder.done(&tag, &completion);
        if let Some(place) = self.place.get() {
            recorder.history(place.op(&tag, None, &completion));
        }
        true
    }
}
