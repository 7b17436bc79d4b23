//! The recorder of one worker: counts and histograms of the current interval, swapped whole at its end.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use quorumeter_record::{Event, EventKind, HistoryRow, OpPhase, WorkerUse};
use quorumeter_targets::clock::thread_cpu_ns;
use quorumeter_targets::{Completion, Outcome};

use super::aggregate::Message;
use super::buffer::{
    IntervalBuffer, LifeCounts, MAX_EVENTS, MAX_HISTORY, MAX_ROWS, Shape, WatchCounts, record, record_in,
};
use super::history::Place;
use super::join::{NoticeRow, UnknownRow, WriteRow};
use super::timeline::Timeline;

/// What the recorder must know of an op, from its release to its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tag {
    pub(super) intended_ns: u64,
    pub(super) released_ns: u64,
    pub(super) stream: u16,
    pub(super) op: u16,
    pub(super) phase: OpPhase,
    /// Whether it waited in the backlog.
    pub(super) late: bool,
    /// Whether it changes the tree.
    pub(super) is_write: bool,
}

/// What was observed and not scheduled: its stream, its place among the stream's ops, the phase of its begin, and where
/// it happened if the stream keeps a history.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observed {
    pub(super) stream: usize,
    pub(super) op: usize,
    pub(super) phase: OpPhase,
    pub(super) place: Option<Place>,
}

/// What there is of a stream now.
#[derive(Debug, Clone, Copy, Default)]
struct Gauges {
    waiting: u64,
    in_flight: u64,
    /// Watches set.
    armed: u64,
    /// Sessions with a connection, of a stream of session lives.
    open: u64,
}

/// Records what one worker does.
///
/// Every method that takes a time first closes the intervals that have ended by then, so that what happens at a
/// time is in that time's interval whichever task notices first.
pub(super) struct Recorder {
    worker: usize,
    timeline: Arc<Timeline>,
    shape: Shape,
    buffer: Box<IntervalBuffer>,
    /// Nothing is recorded before the load begins.
    begun: bool,
    last_ns: u64,
    /// The slot in which a write was acknowledged last: nothing is to be marked for those that follow in it.
    marked_ns: Range<u64>,
    cpu_ns: u64,
    in_flight: u64,
    waiting: u64,
    /// By stream.
    gauges: Vec<Gauges>,
    out: Sender<Message>,
    back: Receiver<Box<IntervalBuffer>>,
}

impl Recorder {
    pub(super) fn new(
        worker: usize,
        timeline: Arc<Timeline>,
        shape: Shape,
        out: Sender<Message>,
        back: Receiver<Box<IntervalBuffer>>,
    ) -> Recorder {
        Recorder {
            worker,
            timeline,
            buffer: IntervalBuffer::new(&shape),
            begun: false,
            last_ns: 0,
            marked_ns: 0..0,
            cpu_ns: 0,
            in_flight: 0,
            waiting: 0,
            gauges: vec![Gauges::default(); shape.streams()],
            shape,
            out,
            back,
        }
    }

    /// Which worker this is the recorder of.
    pub(super) fn worker(&self) -> usize {
        self.worker
    }

    /// The first interval begins.
    pub(super) fn begin(&mut self, start_ns: u64) {
        self.begun = true;
        self.last_ns = start_ns;
        // What happened to sessions before belongs to no interval; what was granted then holds.
        for stream in &mut self.buffer.streams {
            stream.lives = LifeCounts { timeout_ms: stream.lives.timeout_ms, ..LifeCounts::default() };
        }
        self.open_interval(0, start_ns);
        self.cpu_ns = thread_cpu_ns();
    }

    fn open_interval(&mut self, number: u32, start_ns: u64) {
        self.buffer.number = number;
        self.buffer.start_ns = start_ns;
        self.buffer.during = self.timeline.phase_at(start_ns);
        self.marked_ns = 0..0;
    }

    /// The clock shows `now_ns`.
    #[inline]
    pub(super) fn advance(&mut self, now_ns: u64) {
        if !self.begun || now_ns <= self.last_ns {
            return;
        }
        loop {
            let end_ns = self.timeline.interval_end(self.buffer.start_ns);
            if now_ns < end_ns {
                break;
            }
            self.integrate(end_ns);
            self.close(end_ns);
        }
        self.integrate(now_ns);
    }

    #[inline]
    fn integrate(&mut self, to_ns: u64) {
        // A boundary that was drawn nearer may lie behind what was integrated already.
        let passed_ns = to_ns.saturating_sub(self.last_ns);
        self.buffer.in_flight_op_ns += self.in_flight * passed_ns;
        self.buffer.waiting_op_ns += self.waiting * passed_ns;
        self.last_ns = self.last_ns.max(to_ns);
    }

    #[cold]
    fn close(&mut self, end_ns: u64) {
        let number = self.buffer.number;
        self.send(end_ns);
        self.open_interval(number + 1, end_ns);
    }

    fn send(&mut self, end_ns: u64) {
        let cpu_ns = thread_cpu_ns();
        let buffer = &mut self.buffer;
        buffer.end_ns = end_ns;
        let worker_use = WorkerUse { cpu_ns: cpu_ns - self.cpu_ns, wall_ns: end_ns - buffer.start_ns };
        buffer.workers.push((self.worker, worker_use));
        self.cpu_ns = cpu_ns;
        for (stream, gauges) in buffer.streams.iter_mut().zip(&self.gauges) {
            stream.waiting = gauges.waiting;
            stream.in_flight = gauges.in_flight;
            stream.watch.armed = gauges.armed;
            stream.lives.open = gauges.open;
        }
        let next = self.back.try_recv().unwrap_or_else(|_| IntervalBuffer::new(&self.shape));
        let full = std::mem::replace(&mut self.buffer, next);
        // Without an aggregator the run is being torn down, and nothing is to be recorded.
        let _ = self.out.send(Message::Interval { worker: self.worker, buffer: full });
    }

    /// Closes the last interval, which may be short.
    pub(super) fn finish(&mut self, now_ns: u64) {
        if self.begun {
            self.advance(now_ns);
            let end_ns = now_ns.max(self.buffer.start_ns);
            self.buffer.last = true;
            self.send(end_ns);
            self.begun = false;
        }
    }

    /// An op's time has come. `lag` says whether there is a schedule that it can be late on.
    #[inline]
    pub(super) fn released(&mut self, tag: &Tag, lag: bool) {
        self.advance(tag.released_ns);
        let lag_ns = tag.released_ns.saturating_sub(tag.intended_ns);
        if lag {
            record(&mut self.buffer.lag[tag.phase as usize], lag_ns);
        }
        self.buffer.streams[usize::from(tag.stream)].counts[tag.phase as usize].scheduled += 1;
        self.waiting += 1;
        self.gauges[usize::from(tag.stream)].waiting += 1;
        // It has been waiting since its intended time.
        self.buffer.waiting_op_ns += lag_ns;
    }

    /// An op's last byte goes.
    #[inline]
    pub(super) fn sent(&mut self, tag: &Tag, sent_ns: u64, in_flight: u64) {
        self.advance(sent_ns);
        self.buffer.streams[usize::from(tag.stream)].counts[tag.phase as usize].sent += 1;
        let slot = self.buffer.slot(usize::from(tag.stream), usize::from(tag.op), tag.phase);
        slot.in_flight_at_send.0 += in_flight;
        slot.in_flight_at_send.1 = slot.in_flight_at_send.1.max(in_flight);
        slot.in_flight_at_send.2 += 1;
        self.waiting -= 1;
        self.in_flight += 1;
        let gauges = &mut self.gauges[usize::from(tag.stream)];
        gauges.waiting -= 1;
        gauges.in_flight += 1;
    }

    /// A sent op has ended.
    #[inline]
    pub(super) fn done(&mut self, tag: &Tag, completion: &Completion) {
        self.advance(completion.done_ns);
        // A worker reads its clock in the order intended, sent, done, so nothing is ever clamped here.
        debug_assert!(tag.intended_ns <= completion.sent_ns && completion.sent_ns <= completion.done_ns);
        let response_ns = completion.done_ns.saturating_sub(tag.intended_ns);
        let service_ns = completion.done_ns.saturating_sub(completion.sent_ns);
        self.in_flight -= 1;
        self.gauges[usize::from(tag.stream)].in_flight -= 1;
        self.buffer.departed += 1;
        self.buffer.departed_sent += 1;
        self.buffer.service_sum_ns += service_ns;
        self.buffer.response_sum_ns += response_ns;
        let stream = &mut self.buffer.streams[usize::from(tag.stream)];
        let counts = &mut stream.counts[tag.phase as usize];
        let slot = &mut stream.ops[usize::from(tag.op)][tag.phase as usize];
        slot.late += u64::from(tag.late);
        match completion.outcome {
            Outcome::Ok => {
                counts.ok += 1;
                slot.ok += 1;
                if let Some(bytes) = completion.value_bytes {
                    slot.value_bytes.add(u64::from(bytes));
                }
                let times = slot.ok_times();
                record(&mut times.wait, completion.sent_ns.saturating_sub(tag.intended_ns));
                record(&mut times.service, service_ns);
                record(&mut times.response, response_ns);
                if tag.is_write && !self.marked_ns.contains(&completion.done_ns) {
                    self.mark(completion.done_ns);
                }
            }
            Outcome::Failed(code) => {
                counts.failed += 1;
                slot.count_failed(code, 1);
                record_in(&mut slot.of_failed, response_ns);
            }
            Outcome::Unknown => {
                counts.unknown += 1;
                slot.unknown += 1;
                record_in(&mut slot.of_unknown, response_ns);
            }
        }
    }

    /// A write was acknowledged, the first one in its slot since another one's.
    #[cold]
    fn mark(&mut self, t_ns: u64) {
        let (start_ns, slot_ns) = (self.buffer.start_ns, self.timeline.slot_ns());
        self.marked_ns = self.buffer.acknowledged.mark(t_ns, start_ns, slot_ns);
    }

    /// A waiting op is dropped.
    pub(super) fn shed(&mut self, tag: &Tag, now_ns: u64) {
        self.advance(now_ns);
        let response_ns = now_ns.saturating_sub(tag.intended_ns);
        self.waiting -= 1;
        self.gauges[usize::from(tag.stream)].waiting -= 1;
        self.buffer.departed += 1;
        self.buffer.response_sum_ns += response_ns;
        let stream = &mut self.buffer.streams[usize::from(tag.stream)];
        stream.counts[tag.phase as usize].shed += 1;
        let slot = &mut stream.ops[usize::from(tag.op)][tag.phase as usize];
        slot.shed += 1;
        slot.late += u64::from(tag.late);
        record_in(&mut slot.of_shed, response_ns);
    }

    /// Request frames went.
    #[inline]
    pub(super) fn requests(&mut self, stream: usize, n: u64) {
        self.buffer.streams[stream].requests += n;
    }

    /// Something happened.
    pub(super) fn event(&mut self, t_ns: u64, kind: EventKind) {
        self.advance(t_ns);
        if self.buffer.events.len() < MAX_EVENTS {
            self.buffer.events.push(Event { t_ns, kind });
        } else {
            self.buffer.events_dropped += 1;
        }
    }

    /// The events that were recorded before the load began.
    pub(super) fn take_early_events(&mut self) -> Vec<Event> {
        if self.begun { Vec::new() } else { std::mem::take(&mut self.buffer.events) }
    }

    /// A write of watched nodes was acknowledged.
    #[inline]
    pub(super) fn write_row(&mut self, row: WriteRow) {
        if self.buffer.writes.len() < MAX_ROWS {
            self.buffer.writes.push(row);
        } else {
            self.buffer.rows_dropped += 1;
        }
    }

    /// A write of watched nodes was given up.
    pub(super) fn unknown_row(&mut self, row: UnknownRow) {
        if self.buffer.unknown_writes.len() < MAX_ROWS {
            self.buffer.unknown_writes.push(row);
        } else {
            self.buffer.rows_dropped += 1;
        }
    }

    /// Something ended, in a stream whose history is kept.
    #[inline]
    pub(super) fn history(&mut self, row: HistoryRow) {
        self.advance(row.ended_ns);
        if !self.begun {
            return;
        }
        if self.buffer.history.len() < MAX_HISTORY {
            self.buffer.history.push(row);
        } else {
            self.buffer.history_dropped += 1;
        }
    }

    /// A watcher was told of a change.
    #[inline]
    pub(super) fn notice_row(&mut self, row: NoticeRow) {
        self.advance(row.received_ns);
        if self.buffer.notices.len() < MAX_ROWS {
            self.buffer.notices.push(row);
        } else {
            self.buffer.rows_dropped += 1;
        }
    }

    /// The watchers' counts of a stream.
    #[inline]
    pub(super) fn watch(&mut self, stream: usize) -> &mut WatchCounts {
        &mut self.buffer.streams[stream].watch
    }

    /// So many watches more (or less) are set.
    #[inline]
    pub(super) fn armed(&mut self, stream: usize, change: i64) {
        let armed = &mut self.gauges[stream].armed;
        *armed = armed.saturating_add_signed(change);
    }

    /// Something that was not scheduled took from `began_ns` to `done_ns`, or longer if its outcome is unknown.
    pub(super) fn observed(&mut self, what: Observed, began_ns: u64, done_ns: u64, outcome: Outcome) {
        self.advance(done_ns);
        if !self.begun {
            return;
        }
        if let Some(place) = what.place {
            self.history(place.observed(what.op, began_ns, done_ns, outcome));
        }
        let took_ns = done_ns.saturating_sub(began_ns);
        let slot = self.buffer.slot(what.stream, what.op, what.phase);
        match outcome {
            Outcome::Ok => {
                slot.ok += 1;
                let times = slot.ok_times();
                record(&mut times.wait, 0);
                record(&mut times.service, took_ns);
                record(&mut times.response, took_ns);
            }
            Outcome::Failed(code) => {
                slot.count_failed(code, 1);
                record_in(&mut slot.of_failed, took_ns);
            }
            Outcome::Unknown => {
                slot.unknown += 1;
                record_in(&mut slot.of_unknown, took_ns);
            }
        }
    }

    /// The counts of a stream of session lives.
    pub(super) fn lives(&mut self, stream: usize) -> &mut LifeCounts {
        &mut self.buffer.streams[stream].lives
    }

    /// So many sessions more (or less) have a connection.
    pub(super) fn open(&mut self, stream: usize, change: i64) {
        let open = &mut self.gauges[stream].open;
        *open = open.saturating_add_signed(change);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use quorumeter_record::Phase;

    use super::*;
    use crate::plan::Workload;

    /// Writes that succeeded mark the slots of their times, of the interval that has them, and nothing else does.
    #[test]
    fn acknowledged_writes_are_marked() {
        let timeline = Arc::new(Timeline::new(1280));
        // The warm-up's last interval and the window's are shorter than the others.
        timeline.begin(0, 2000, 1500);
        let (out, messages) = channel();
        let (_keep, back) = channel();
        let mut recorder = Recorder::new(0, Arc::clone(&timeline), Shape { ops: vec![2] }, out, back);
        recorder.begin(0);
        for (is_write, done_ns, outcome) in [
            (true, 5, Outcome::Ok),
            (true, 9, Outcome::Ok),
            (false, 15, Outcome::Ok),
            (true, 25, Outcome::Failed(-101)),
            (true, 35, Outcome::Unknown),
            (true, 40, Outcome::Ok),
            (true, 1279, Outcome::Ok),
            (true, 1280, Outcome::Ok),
            (true, 1999, Outcome::Ok),
            // An interval without any, and one of the drain.
            (false, 2100, Outcome::Ok),
            (true, 3501, Outcome::Ok),
        ] {
            let (op, phase) = (u16::from(is_write), timeline.phase_of_op(done_ns));
            let (intended_ns, released_ns) = (done_ns, done_ns);
            let tag = Tag { intended_ns, released_ns, stream: 0, op, phase, late: false, is_write };
            recorder.released(&tag, true);
            recorder.sent(&tag, done_ns, 1);
            let completion = Completion { sent_ns: done_ns, done_ns, outcome, ..Completion::NOTHING };
            recorder.done(&tag, &completion);
        }
        recorder.finish(3600);
        drop(recorder);
        let told: Vec<(Phase, Vec<u64>)> = messages
            .iter()
            .map(|message| match message {
                Message::Interval { buffer, .. } => {
                    let spans = buffer.acknowledged.spans(buffer.start_ns, timeline.slot_ns());
                    (buffer.during, spans.map(|span| span.start).collect())
                }
                _ => panic!("nothing else was told"),
            })
            .collect();
        assert_eq!(
            told,
            [
                (Phase::Warmup, vec![0, 40, 1270]),
                (Phase::Warmup, vec![1280, 1990]),
                (Phase::Measure, vec![]),
                (Phase::Measure, vec![]),
                (Phase::Drain, vec![3500]),
            ]
        );
    }

    /// What does not fit an interval is counted, and the next interval has room again.
    #[test]
    fn rows_beyond_the_bound_are_counted() {
        let timeline = Arc::new(Timeline::new(1000));
        timeline.begin(0, 0, 10_000);
        let (out, messages) = channel();
        let (_keep, back) = channel();
        let mut recorder = Recorder::new(0, Arc::clone(&timeline), Shape { ops: vec![1] }, out, back);
        let text = "[[stream]]\nname = \"a\"\nhistory = true\nmix = { read = 1 }\n";
        let place = Place::of(&Workload::read(text, &[], || 1).unwrap().streams[0], 0, 0).unwrap();
        let row = |ended_ns| place.observed(0, 0, ended_ns, Outcome::Ok);
        recorder.history(row(0));
        recorder.begin(0);
        (0..MAX_HISTORY + 3).for_each(|_| recorder.history(row(500)));
        recorder.history(row(1500));
        recorder.finish(1600);
        drop(recorder);
        let told: Vec<_> = messages
            .iter()
            .map(|message| match message {
                Message::Interval { buffer, .. } => (buffer.history.len(), buffer.history_dropped),
                _ => panic!("nothing else was told"),
            })
            .collect();
        assert_eq!(told, [(MAX_HISTORY, 3), (1, 0)], "and nothing of before the load");
    }
}
