//! What a worker records in one interval.
//!
//! A buffer belongs to one thread at a time: its worker fills it, the aggregator merges it with those of the
//! other workers and gives it back empty. Its histograms are made on first use and kept.

use hdrhistogram::Histogram;
use quorumeter_record::{
    DURATION_BOUNDS, Event, HistoryRow, OpPhase, Phase, StreamCounts, ValueBytes, WorkerUse,
    new_duration_histogram,
};

use super::aggregate::OpTimes;
use super::join::{NoticeRow, UnknownRow, WriteRow};
use super::slots::Slots;

/// The most events that are kept of one interval, per worker; more are counted. Twenty sessions that try to connect every
/// 10 ms make fewer in a minute, the longest interval.
pub(super) const MAX_EVENTS: usize = 1 << 17;
/// The most rows of writes, and of notices, that are kept of one interval, per worker; more are counted.
pub(super) const MAX_ROWS: usize = 1 << 19;
/// The most rows of histories that are kept of one interval, per worker; more are counted.
pub(super) const MAX_HISTORY: usize = 1 << 20;

/// The shape of a workload, as far as buffers depend on it.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    /// Kinds of ops of each stream.
    pub(super) ops: Vec<usize>,
}

impl Shape {
    pub(super) fn streams(&self) -> usize {
        self.ops.len()
    }
}

/// One interval of one worker, or of all of them merged.
pub(super) struct IntervalBuffer {
    pub(super) number: u32,
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    pub(super) during: Phase,
    /// The worker's last.
    pub(super) last: bool,
    pub(super) streams: Vec<StreamBuffer>,
    /// When writes were acknowledged, of all streams.
    pub(super) acknowledged: Slots,
    /// released − intended, by the ops' phase.
    pub(super) lag: [Histogram<u64>; 2],
    /// By worker, in no particular order.
    pub(super) workers: Vec<(usize, WorkerUse)>,
    pub(super) in_flight_op_ns: u64,
    pub(super) waiting_op_ns: u64,
    pub(super) departed: u64,
    pub(super) departed_sent: u64,
    pub(super) service_sum_ns: u64,
    pub(super) response_sum_ns: u64,
    pub(super) events: Vec<Event>,
    pub(super) events_dropped: u64,
    pub(super) writes: Vec<WriteRow>,
    pub(super) unknown_writes: Vec<UnknownRow>,
    pub(super) notices: Vec<NoticeRow>,
    pub(super) rows_dropped: u64,
    /// One worker's own: it is written as the interval is delivered, and is in no sum.
    pub(super) history: Vec<HistoryRow>,
    pub(super) history_dropped: u64,
}

/// One stream in one interval.
pub(super) struct StreamBuffer {
    /// By the ops' phase.
    pub(super) counts: [StreamCounts; 2],
    pub(super) waiting: u64,
    pub(super) in_flight: u64,
    pub(super) requests: u64,
    /// By op and phase.
    pub(super) ops: Vec<[OpSlot; 2]>,
    pub(super) watch: WatchCounts,
    pub(super) lives: LifeCounts,
}

/// The sessions of one stream of session lives in one interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LifeCounts {
    /// Sessions with a connection at the interval's end.
    pub(super) open: u64,
    pub(super) lost_connections: u64,
    pub(super) retries: u64,
    pub(super) early: u64,
    /// The shortest and the longest session timeout granted, milliseconds.
    pub(super) timeout_ms: Option<(u32, u32)>,
}

impl LifeCounts {
    /// A session was given this timeout.
    pub(super) fn granted(&mut self, timeout_ms: u32) {
        self.granted_all(Some((timeout_ms, timeout_ms)));
    }

    fn granted_all(&mut self, range: Option<(u32, u32)>) {
        self.timeout_ms = match (self.timeout_ms, range) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
    }

    fn merge(&mut self, other: &LifeCounts) {
        self.open += other.open;
        self.lost_connections += other.lost_connections;
        self.retries += other.retries;
        self.early += other.early;
        self.granted_all(other.timeout_ms);
    }
}

/// The watchers' side of one watch stream in one interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct WatchCounts {
    /// Watches set at the interval's end.
    pub(super) armed: u64,
    pub(super) events: u64,
    pub(super) merged: u64,
    pub(super) lost: u64,
    pub(super) duplicate: u64,
    pub(super) interrupted: u64,
}

/// One kind of op in one phase.
#[derive(Default)]
pub(super) struct OpSlot {
    pub(super) ok: u64,
    pub(super) failed: Vec<(i32, u64)>,
    pub(super) unknown: u64,
    pub(super) shed: u64,
    pub(super) late: u64,
    pub(super) in_flight_at_send: (u64, u64, u64),
    pub(super) value_bytes: ValueBytes,
    pub(super) of_ok: Option<Box<OkTimes>>,
    pub(super) of_failed: Option<Box<Histogram<u64>>>,
    pub(super) of_unknown: Option<Box<Histogram<u64>>>,
    pub(super) of_shed: Option<Box<Histogram<u64>>>,
}

/// The three times of ops that succeeded.
pub(super) struct OkTimes {
    pub(super) wait: Histogram<u64>,
    pub(super) service: Histogram<u64>,
    pub(super) response: Histogram<u64>,
}

impl OkTimes {
    fn new() -> Box<OkTimes> {
        Box::new(OkTimes {
            wait: new_duration_histogram(),
            service: new_duration_histogram(),
            response: new_duration_histogram(),
        })
    }
}

/// Records a duration; what is beyond the histogram's range counts as its end.
#[inline]
pub(super) fn record(histogram: &mut Histogram<u64>, ns: u64) {
    histogram.saturating_record(ns.min(DURATION_BOUNDS.1));
}

/// Records into a histogram that is made on first use.
#[inline]
pub(super) fn record_in(histogram: &mut Option<Box<Histogram<u64>>>, ns: u64) {
    record(histogram.get_or_insert_with(|| Box::new(new_duration_histogram())), ns);
}

impl OpSlot {
    /// Everything that was timed here, lent.
    pub(super) fn times<'a>(&'a self, stream: &'a str, op: String) -> OpTimes<'a> {
        let of_ok = self.of_ok.as_deref();
        OpTimes {
            stream,
            op,
            response: [
                of_ok.map(|times| &times.response),
                self.of_failed.as_deref(),
                self.of_unknown.as_deref(),
                self.of_shed.as_deref(),
            ],
            service: of_ok.map(|times| &times.service),
            wait: of_ok.map(|times| &times.wait),
        }
    }

    /// The times of ops that succeeded.
    #[inline]
    pub(super) fn ok_times(&mut self) -> &mut OkTimes {
        self.of_ok.get_or_insert_with(OkTimes::new)
    }

    pub(super) fn count_failed(&mut self, code: i32, n: u64) {
        match self.failed.iter_mut().find(|(c, _)| *c == code) {
            Some((_, count)) => *count += n,
            None => self.failed.push((code, n)),
        }
    }

    fn merge(&mut self, other: &OpSlot) {
        self.ok += other.ok;
        for (code, n) in &other.failed {
            self.count_failed(*code, *n);
        }
        self.unknown += other.unknown;
        self.shed += other.shed;
        self.late += other.late;
        self.in_flight_at_send.0 += other.in_flight_at_send.0;
        self.in_flight_at_send.1 = self.in_flight_at_send.1.max(other.in_flight_at_send.1);
        self.in_flight_at_send.2 += other.in_flight_at_send.2;
        self.value_bytes.merge(&other.value_bytes);
        if let Some(times) = &other.of_ok {
            let own = self.ok_times();
            add(&mut own.wait, &times.wait);
            add(&mut own.service, &times.service);
            add(&mut own.response, &times.response);
        }
        for (own, theirs) in [
            (&mut self.of_failed, &other.of_failed),
            (&mut self.of_unknown, &other.of_unknown),
            (&mut self.of_shed, &other.of_shed),
        ] {
            if let Some(theirs) = theirs {
                add(own.get_or_insert_with(|| Box::new(new_duration_histogram())), theirs);
            }
        }
    }

    fn reset(&mut self) {
        let OpSlot { failed, of_ok, of_failed, of_unknown, of_shed, .. } = std::mem::take(self);
        self.failed = failed;
        self.failed.clear();
        self.of_ok = of_ok;
        if let Some(times) = &mut self.of_ok {
            for histogram in [&mut times.wait, &mut times.service, &mut times.response] {
                empty(histogram);
            }
        }
        for (own, old) in [
            (&mut self.of_failed, of_failed),
            (&mut self.of_unknown, of_unknown),
            (&mut self.of_shed, of_shed),
        ] {
            *own = old;
            if let Some(histogram) = own {
                empty(histogram);
            }
        }
    }
}

/// Adds all of `other`'s samples.
pub(super) fn add(histogram: &mut Histogram<u64>, other: &Histogram<u64>) {
    if !other.is_empty() {
        histogram.add(other).expect("all histograms of durations have the same bounds");
    }
}

fn empty(histogram: &mut Histogram<u64>) {
    if !histogram.is_empty() {
        histogram.reset();
    }
}

impl StreamBuffer {
    fn new(ops: usize) -> StreamBuffer {
        StreamBuffer {
            counts: Default::default(),
            waiting: 0,
            in_flight: 0,
            requests: 0,
            ops: (0..ops).map(|_| Default::default()).collect(),
            watch: WatchCounts::default(),
            lives: LifeCounts::default(),
        }
    }

    fn merge(&mut self, other: &StreamBuffer) {
        for (own, theirs) in self.counts.iter_mut().zip(&other.counts) {
            own.merge(theirs);
        }
        self.waiting += other.waiting;
        self.in_flight += other.in_flight;
        self.requests += other.requests;
        for (own, theirs) in self.ops.iter_mut().flatten().zip(other.ops.iter().flatten()) {
            own.merge(theirs);
        }
        let (own, theirs) = (&mut self.watch, &other.watch);
        own.armed += theirs.armed;
        own.events += theirs.events;
        own.merged += theirs.merged;
        own.lost += theirs.lost;
        own.duplicate += theirs.duplicate;
        own.interrupted += theirs.interrupted;
        self.lives.merge(&other.lives);
    }

    fn reset(&mut self) {
        self.counts = Default::default();
        self.waiting = 0;
        self.in_flight = 0;
        self.requests = 0;
        self.ops.iter_mut().flatten().for_each(OpSlot::reset);
        self.watch = WatchCounts::default();
        self.lives = LifeCounts::default();
    }
}

impl IntervalBuffer {
    /// An empty buffer.
    pub(super) fn new(shape: &Shape) -> Box<IntervalBuffer> {
        Box::new(IntervalBuffer {
            number: 0,
            start_ns: 0,
            end_ns: 0,
            during: Phase::Warmup,
            last: false,
            streams: shape.ops.iter().map(|ops| StreamBuffer::new(*ops)).collect(),
            acknowledged: Slots::default(),
            lag: [new_duration_histogram(), new_duration_histogram()],
            workers: Vec::new(),
            in_flight_op_ns: 0,
            waiting_op_ns: 0,
            departed: 0,
            departed_sent: 0,
            service_sum_ns: 0,
            response_sum_ns: 0,
            events: Vec::new(),
            events_dropped: 0,
            writes: Vec::new(),
            unknown_writes: Vec::new(),
            notices: Vec::new(),
            rows_dropped: 0,
            history: Vec::new(),
            history_dropped: 0,
        })
    }

    /// Adds what another worker recorded in the same interval; its events and rows are moved over.
    pub(super) fn merge(&mut self, other: &mut IntervalBuffer) {
        for (own, theirs) in self.streams.iter_mut().zip(&other.streams) {
            own.merge(theirs);
        }
        self.acknowledged.merge(other.acknowledged);
        for (own, theirs) in self.lag.iter_mut().zip(&other.lag) {
            add(own, theirs);
        }
        self.workers.append(&mut other.workers);
        self.in_flight_op_ns += other.in_flight_op_ns;
        self.waiting_op_ns += other.waiting_op_ns;
        self.departed += other.departed;
        self.departed_sent += other.departed_sent;
        self.service_sum_ns += other.service_sum_ns;
        self.response_sum_ns += other.response_sum_ns;
        self.events.append(&mut other.events);
        self.events_dropped += other.events_dropped;
        self.writes.append(&mut other.writes);
        self.unknown_writes.append(&mut other.unknown_writes);
        self.notices.append(&mut other.notices);
        self.rows_dropped += other.rows_dropped;
    }

    /// Forgets everything but the memory.
    pub(super) fn reset(&mut self) {
        self.last = false;
        self.streams.iter_mut().for_each(StreamBuffer::reset);
        self.acknowledged = Slots::default();
        self.lag.iter_mut().for_each(empty);
        self.workers.clear();
        self.in_flight_op_ns = 0;
        self.waiting_op_ns = 0;
        self.departed = 0;
        self.departed_sent = 0;
        self.service_sum_ns = 0;
        self.response_sum_ns = 0;
        self.events.clear();
        self.events_dropped = 0;
        self.writes.clear();
        self.unknown_writes.clear();
        self.notices.clear();
        self.rows_dropped = 0;
        self.history.clear();
        self.history_dropped = 0;
    }

    /// One kind of op of a stream in one phase.
    #[inline]
    pub(super) fn slot(&mut self, stream: usize, op: usize, phase: OpPhase) -> &mut OpSlot {
        &mut self.streams[stream].ops[op][phase as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(values: &[u64], shape: &Shape) -> Box<IntervalBuffer> {
        let mut buffer = IntervalBuffer::new(shape);
        let slot = buffer.slot(0, 1, OpPhase::Measure);
        for &v in values {
            slot.ok += 1;
            slot.value_bytes.add(v);
            record(&mut slot.ok_times().response, v);
            record_in(&mut slot.of_unknown, v / 2);
        }
        slot.count_failed(-101, values.len() as u64);
        buffer
    }

    #[test]
    fn histograms_of_two_workers_merge_exactly() {
        let shape = Shape { ops: vec![2] };
        let (a, b) = ([5, 1_000_000, 77], [3_600_000_000_000, 12, 12]);
        let mut merged = filled(&a, &shape);
        merged.merge(&mut filled(&b, &shape));
        let mut together = filled(&[&a[..], &b[..]].concat(), &shape);
        let (m, t) = (merged.slot(0, 1, OpPhase::Measure), together.slot(0, 1, OpPhase::Measure));
        assert_eq!(m.ok_times().response, t.ok_times().response);
        assert_eq!(m.of_unknown, t.of_unknown);
        assert_eq!((m.ok, m.value_bytes, &m.failed), (6, t.value_bytes, &t.failed));
        assert_eq!(m.value_bytes.min, 5);
    }

    #[test]
    fn a_reset_buffer_is_as_new() {
        let shape = Shape { ops: vec![2] };
        let mut buffer = filled(&[1, 2, 3], &shape);
        buffer.acknowledged.mark(5, 0, 10);
        buffer.reset();
        assert_eq!(buffer.acknowledged, Slots::default());
        let mut merged = filled(&[9], &shape);
        let before = merged.slot(0, 1, OpPhase::Measure).ok;
        merged.merge(&mut buffer);
        let slot = merged.slot(0, 1, OpPhase::Measure);
        assert_eq!((slot.ok, slot.failed.as_slice()), (before, &[(-101, 1)][..]));
        assert_eq!(slot.ok_times().response.len(), 1);
    }
}
