//! Sessions that do nothing but live.

use std::sync::Arc;

use quorumeter_targets::session::WatchEvent;
use quorumeter_targets::{Completion, Connection, Operation, Outcome, Sink};

use crate::engine::history::Place;
use crate::engine::link::Part;
use crate::engine::recorder::{Observed, Recorder};
use crate::engine::timeline::Timeline;

/// A session whose pings are recorded.
pub(in crate::engine) struct IdlePart {
    stream: usize,
    timeline: Arc<Timeline>,
    attached: bool,
    ending: bool,
    /// Where its pings are answered, if their history is kept.
    place: Option<Place>,
}

impl IdlePart {
    pub(in crate::engine) fn new(stream: usize, timeline: Arc<Timeline>, place: Option<Place>) -> IdlePart {
        IdlePart { stream, timeline, attached: false, ending: false, place }
    }

    /// What ends from now on was meant to end.
    pub(in crate::engine) fn end(&mut self) {
        self.ending = true;
    }
}

impl Part for IdlePart {
    type Tag = ();

    fn fill(&mut self, _: &mut impl Connection<()>, _: &mut Recorder, _: u64) {}

    fn sink<'a>(&'a mut self, recorder: &'a mut Recorder, _: bool) -> impl Sink<()> + 'a {
        IdleSink { part: self, recorder }
    }

    fn attached(&mut self, member: usize, _: bool, recorder: &mut Recorder, _: u64) {
        self.attached = true;
        self.place.iter_mut().for_each(|place| place.connected(member));
        recorder.open(self.stream, 1);
    }

    fn detached(&mut self, recorder: &mut Recorder, _: u64) {
        if self.attached {
            self.attached = false;
            self.place.iter_mut().for_each(Place::disconnected);
            recorder.open(self.stream, -1);
            recorder.lives(self.stream).lost_connections += u64::from(!self.ending);
        }
    }
}

struct IdleSink<'a> {
    part: &'a IdlePart,
    recorder: &'a mut Recorder,
}

impl Sink<()> for IdleSink<'_> {
    fn sent(&mut self, (): &(), _: u64, _: u64) {}

    fn done(&mut self, (): (), _: Operation, _: Completion) {}

    fn not_sent(&mut self, (): (), _: Operation) {}

    fn event(&mut self, _: WatchEvent) {}

    fn pinged(&mut self, sent_ns: u64, done_ns: u64) {
        self.record(sent_ns, done_ns, Outcome::Ok);
    }

    fn ping_lost(&mut self, sent_ns: u64, now_ns: u64) {
        self.record(sent_ns, now_ns, Outcome::Unknown);
    }
}

impl IdleSink<'_> {
    fn record(&mut self, sent_ns: u64, done_ns: u64, outcome: Outcome) {
        // Sessions are kept alive before the load, and after it.
        if self.part.timeline.start_ns().is_some_and(|start_ns| sent_ns >= start_ns)
            && sent_ns < self.part.timeline.end_ns()
        {
            let phase = self.part.timeline.phase_of_op(sent_ns);
            let what = Observed { stream: self.part.stream, op: 0, phase, place: self.part.place };
            self.recorder.observed(what, sent_ns, done_ns, outcome);
        }
    }
}
