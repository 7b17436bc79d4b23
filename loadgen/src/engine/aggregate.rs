//! The aggregator: merges what the workers recorded, off their path, and writes it into the record.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use hdrhistogram::Histogram;
use quorumeter_record::{
    Event, EventKind, GeneratorLine, HistoryRow, IntervalLine, KeysLine, OpLine, OpPhase, Phase, Quantiles,
    RecordWriter, SessionsLine, StreamLine, WatchLine, WorkerUse, WriteError, new_duration_histogram,
    stage::WATCH_DELIVERY,
};

use super::buffer::{IntervalBuffer, OpSlot, add};
use super::deliveries::Deliveries;
use super::fan_out::{FanOuts, Watching};
use super::join::Join;
use super::slots::slot_ns;
use super::worker::WorkerReport;
use crate::plan::Workload;

/// What comes to the aggregator.
pub(super) enum Message {
    /// What a worker recorded in one interval.
    Interval {
        /// Whose it is.
        worker: usize,
        /// To be given back empty.
        buffer: Box<IntervalBuffer>,
    },
    /// What happened before the load began.
    Events(Vec<Event>),
    /// A worker has ended.
    Done {
        /// Which one.
        worker: usize,
        /// What is left of it; `None` when it failed.
        report: Option<WorkerReport>,
    },
}

/// What watches the run as it goes.
pub type Live = Box<dyn FnMut(Told<'_>) + Send>;

/// What it is told.
#[derive(Debug, Clone, Copy)]
pub enum Told<'a> {
    /// An interval that all workers have delivered.
    Interval(Interval<'a>),
    /// What happened to sessions: before the interval in which it did.
    Events(&'a [Event]),
    /// The rows of one worker's interval, in the order in which they ended: before the lines of that interval.
    History(&'a [HistoryRow]),
}

/// An interval as it is told.
#[derive(Clone, Copy)]
pub struct Interval<'a> {
    /// Its lines.
    pub lines: &'a [IntervalLine],
    workload: &'a Workload,
    buffer: &'a IntervalBuffer,
    deliveries: &'a [Option<Deliveries>],
}

/// The times of one kind of op in an interval, lent from where they were merged.
#[derive(Debug, Clone)]
pub struct OpTimes<'a> {
    /// Name of the stream.
    pub stream: &'a str,
    /// Name of the op.
    pub op: String,
    /// done − intended of those that succeeded, failed, were given up and were shed, in this order; nothing where there
    /// were none. The last two are lower bounds.
    pub response: [Option<&'a Histogram<u64>>; 4],
    /// done − sent of those that succeeded.
    pub service: Option<&'a Histogram<u64>>,
    /// sent − intended of those that succeeded.
    pub wait: Option<&'a Histogram<u64>>,
}

impl<'a> Interval<'a> {
    /// The times of every kind of op: of those intended in the warm-up, then of those intended in the measured window.
    /// Deliveries to watchers are the op [`WATCH_DELIVERY`] of their stream.
    pub fn times(&self) -> impl Iterator<Item = OpTimes<'a>> + use<'a> {
        let Interval { workload, buffer, deliveries, .. } = *self;
        workload.streams.iter().enumerate().flat_map(move |(number, stream)| {
            let ops = stream.op_names().into_iter().zip(&buffer.streams[number].ops);
            let watched = deliveries[number].iter().map(|of| (WATCH_DELIVERY.to_owned(), &of.slots));
            ops.chain(watched).flat_map(move |(op, slots)| {
                slots.iter().map(move |slot| slot.times(&stream.name, op.clone()))
            })
        })
    }

    /// released − intended of the open-loop ops released in it, by the phase of the ops.
    pub fn lag(&self) -> &'a [Histogram<u64>; 2] {
        &self.buffer.lag
    }

    /// When writes were acknowledged: the spans of time in which at least one was, each a 128th of the workload's interval,
    /// in their order. The last one may reach beyond the end of an interval that is shorter.
    pub fn acknowledged(&self) -> impl Iterator<Item = Range<u64>> + use<'a> {
        let Interval { workload, buffer, .. } = *self;
        buffer.acknowledged.spans(buffer.start_ns, slot_ns(workload.interval_ns))
    }
}

impl std::fmt::Debug for Interval<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interval").field("lines", &self.lines).finish_non_exhaustive()
    }
}

/// Writes intervals as they become complete.
pub(super) struct Aggregator {
    workload: Arc<Workload>,
    record: Arc<Mutex<RecordWriter>>,
    live: Live,
    error_name: fn(i32) -> Cow<'static, str>,
    back: Vec<Sender<Box<IntervalBuffer>>>,
    /// Workers that deliver no more intervals, and those that have ended.
    delivered_last: Vec<bool>,
    ended: Vec<bool>,
    /// Intervals that some workers have delivered: whose buffer it is, and the sum so far in it.
    open: BTreeMap<u32, (usize, Box<IntervalBuffer>)>,
    delivered: Vec<u32>,
    join: Join,
    fan_outs: FanOuts,
    /// By stream: deliveries of this interval; `None` of streams that do not watch.
    deliveries: Vec<Option<Deliveries>>,
    key_counts: Vec<Vec<u32>>,
    error: Option<WriteError>,
    all: Histogram<u64>,
    censored: Histogram<u64>,
}

impl Aggregator {
    pub(super) fn new(
        workload: Arc<Workload>,
        record: Arc<Mutex<RecordWriter>>,
        live: Live,
        error_name: fn(i32) -> Cow<'static, str>,
        back: Vec<Sender<Box<IntervalBuffer>>>,
    ) -> Aggregator {
        let streams = workload.streams.len();
        let deliveries = workload.streams.iter().map(|s| s.watch().map(|_| Deliveries::new())).collect();
        Aggregator {
            fan_outs: FanOuts::new(watching(&workload)),
            workload,
            record,
            live,
            error_name,
            delivered_last: vec![false; back.len()],
            ended: vec![false; back.len()],
            delivered: vec![0; back.len()],
            back,
            open: BTreeMap::new(),
            join: Join::default(),
            deliveries,
            key_counts: vec![Vec::new(); streams],
            error: None,
            all: new_duration_histogram(),
            censored: new_duration_histogram(),
        }
    }

    /// Works until all workers have ended. `on_error` is told once when the record cannot be written any more;
    /// what comes after that is lost.
    pub(super) fn run(
        mut self,
        messages: &Receiver<Message>,
        mut on_error: impl FnMut(),
    ) -> Result<(), WriteError> {
        for message in messages {
            let had_error = self.error.is_some();
            match message {
                Message::Interval { worker, buffer } => self.deliver(worker, buffer),
                Message::Events(events) => self.write_events(&events),
                Message::Done { worker, report } => {
                    self.ended[worker] = true;
                    self.delivered_last[worker] = true;
                    for (own, theirs) in
                        self.key_counts.iter_mut().zip(report.into_iter().flat_map(|r| r.key_counts))
                    {
                        own.resize(own.len().max(theirs.len()), 0);
                        own.iter_mut().zip(theirs).for_each(|(a, b)| *a = a.saturating_add(b));
                    }
                    self.write_complete();
                }
            }
            if self.error.is_some() && !had_error {
                on_error();
            }
            if self.ended.iter().all(|e| *e) {
                break;
            }
        }
        self.write_keys();
        self.error.map_or(Ok(()), Err)
    }

    fn deliver(&mut self, worker: usize, mut buffer: Box<IntervalBuffer>) {
        let number = buffer.number;
        self.delivered[worker] = number + 1;
        self.delivered_last[worker] |= buffer.last;
        self.write_history(worker, &mut buffer);
        match self.open.get_mut(&number) {
            None => {
                self.open.insert(number, (worker, buffer));
            }
            Some((_, sum)) => {
                sum.merge(&mut buffer);
                sum.end_ns = sum.end_ns.max(buffer.end_ns);
                buffer.reset();
                // A worker that has ended takes nothing back.
                let _ = self.back[worker].send(buffer);
            }
        }
        self.write_complete();
    }

    /// Writes the intervals to which no worker can add any more.
    fn write_complete(&mut self) {
        while let Some(entry) = self.open.first_entry() {
            let number = *entry.key();
            let complete = self
                .delivered_last
                .iter()
                .zip(&self.delivered)
                .all(|(last, delivered)| *last || *delivered > number);
            if !complete {
                return;
            }
            let (owner, mut buffer) = entry.remove();
            let last = self.open.is_empty() && self.delivered_last.iter().all(|last| *last);
            self.write(&mut buffer, last);
            buffer.reset();
            // Each worker gets back what it gave. One that has ended takes nothing.
            let _ = self.back[owner].send(buffer);
        }
    }

    /// Writes the rows of one worker's interval, and takes them out of it.
    fn write_history(&mut self, worker: usize, buffer: &mut IntervalBuffer) {
        let (rows, missing) = (&buffer.history, buffer.history_dropped);
        if rows.is_empty() && missing == 0 {
            return;
        }
        if self.error.is_none() {
            let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
            let mut result = record.history(worker, rows);
            if missing > 0 {
                let text = format!("{missing} rows of history are missing: one interval had too many");
                let event = Event { t_ns: buffer.end_ns, kind: EventKind::Warning { text } };
                result = result.and(record.event(&event));
            }
            drop(record);
            self.note(result);
        }
        (self.live)(Told::History(rows));
        buffer.history.clear();
        buffer.history_dropped = 0;
    }

    fn write_events(&mut self, events: &[Event]) {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let result = events.iter().try_for_each(|event| record.event(event));
        drop(record);
        self.note(result);
        (self.live)(Told::Events(events));
    }

    fn note(&mut self, result: Result<(), WriteError>) {
        if let Err(e) = result {
            self.error.get_or_insert(e);
        }
    }

    fn write(&mut self, buffer: &mut IntervalBuffer, last: bool) {
        let dropped = self.join(buffer, last);
        let lines = self.lines(buffer, dropped);
        if self.error.is_none() {
            let result = self.write_record(buffer, &lines);
            self.note(result);
        }
        if !buffer.events.is_empty() {
            (self.live)(Told::Events(&buffer.events));
        }
        let (workload, deliveries) = (&self.workload, &self.deliveries[..]);
        (self.live)(Told::Interval(Interval { lines: &lines, workload, buffer, deliveries }));
        self.deliveries.iter_mut().flatten().for_each(Deliveries::reset);
    }

    /// Finds the writes of the watchers' events.
    fn join(&mut self, buffer: &IntervalBuffer, last: bool) -> u64 {
        if !self.workload.watches() {
            return 0;
        }
        let unknown = &buffer.unknown_writes;
        let joined = self.join.take(&buffer.writes, unknown, &buffer.notices, buffer.end_ns, last);
        for delivery in &joined.deliveries {
            self.deliveries_to(delivery.stream, |to| to.record(delivery));
        }
        for stream in joined.unmatched {
            self.deliveries_to(stream, |to| to.unmatched += 1);
        }
        for stream in joined.of_unknown {
            self.deliveries_to(stream, |to| to.of_unknown += 1);
        }
        for write in unknown {
            for stream in self.fan_outs.streams_of(write).collect::<Vec<_>>() {
                self.deliveries_to(stream, |to| to.unknown_writes += 1);
            }
        }
        for fan_out in self.fan_outs.take(&buffer.writes, &joined.deliveries, buffer.end_ns, last) {
            self.deliveries_to(fan_out.stream, |to| to.record_fan_out(&fan_out));
        }
        joined.dropped
    }

    fn deliveries_to(&mut self, stream: u16, note: impl FnOnce(&mut Deliveries)) {
        if let Some(deliveries) = &mut self.deliveries[usize::from(stream)] {
            note(deliveries);
        }
    }

    /// What each worker used, in their order, whoever delivered first; nothing for one that had ended before.
    fn uses(&self, buffer: &IntervalBuffer) -> Vec<WorkerUse> {
        let mut uses = vec![WorkerUse { cpu_ns: 0, wall_ns: 0 }; self.back.len()];
        for (worker, worker_use) in &buffer.workers {
            uses[*worker] = *worker_use;
        }
        uses
    }

    /// The interval's lines. There is always one for the phase in which the interval lies, even if nothing
    /// happened; one for ops of the other phase only if some ended.
    fn lines(&mut self, buffer: &IntervalBuffer, dropped: u64) -> Vec<IntervalLine> {
        let workload = Arc::clone(&self.workload);
        let mut lines = Vec::new();
        let own_phase = if buffer.during == Phase::Warmup { OpPhase::Warmup } else { OpPhase::Measure };
        for (number, stream) in workload.streams.iter().enumerate() {
            let recorded = &buffer.streams[number];
            for (name, slots) in stream.op_names().iter().zip(&recorded.ops) {
                for phase in OpPhase::ALL {
                    let slot = &slots[phase as usize];
                    if phase == own_phase || !is_empty(slot) {
                        let line = self.op_line(buffer, &stream.name, name, phase, slot);
                        lines.push(IntervalLine::Op(line));
                    }
                }
            }
            // Lent to the lines, which are made with what the aggregator keeps for that.
            if let Some(deliveries) = self.deliveries[number].take() {
                for phase in OpPhase::ALL {
                    let slot = &deliveries.slots[phase as usize];
                    if phase == own_phase || !is_empty(slot) {
                        let line = self.op_line(buffer, &stream.name, WATCH_DELIVERY, phase, slot);
                        lines.push(IntervalLine::Op(line));
                    }
                }
                lines.push(IntervalLine::Watch(WatchLine {
                    interval: buffer.number,
                    start_ns: buffer.start_ns,
                    end_ns: buffer.end_ns,
                    during: buffer.during,
                    stream: stream.name.clone(),
                    armed: recorded.watch.armed,
                    events: recorded.watch.events,
                    matched: deliveries.slots.iter().map(|s| s.ok).sum(),
                    unmatched: deliveries.unmatched,
                    of_unknown: deliveries.of_unknown,
                    merged: recorded.watch.merged,
                    lost: recorded.watch.lost,
                    duplicate: recorded.watch.duplicate,
                    interrupted: recorded.watch.interrupted,
                    dropped: buffer.rows_dropped + dropped,
                    after_ack_ns: deliveries.after_ack_ns(),
                    fan_out: deliveries.fan_out(),
                }));
                self.deliveries[number] = Some(deliveries);
            }
            if stream.life.is_some() {
                lines.push(IntervalLine::Sessions(SessionsLine {
                    interval: buffer.number,
                    start_ns: buffer.start_ns,
                    end_ns: buffer.end_ns,
                    during: buffer.during,
                    stream: stream.name.clone(),
                    open: recorded.lives.open,
                    lost_connections: recorded.lives.lost_connections,
                    retries: recorded.lives.retries,
                    early: recorded.lives.early,
                    timeout_min_ms: recorded.lives.timeout_ms.map(|(min, _)| min),
                    timeout_max_ms: recorded.lives.timeout_ms.map(|(_, max)| max),
                }));
            }
            lines.push(IntervalLine::Stream(StreamLine {
                interval: buffer.number,
                start_ns: buffer.start_ns,
                end_ns: buffer.end_ns,
                during: buffer.during,
                stream: stream.name.clone(),
                warmup: recorded.counts[OpPhase::Warmup as usize],
                measure: recorded.counts[OpPhase::Measure as usize],
                waiting: recorded.waiting,
                in_flight: recorded.in_flight,
                requests: recorded.requests,
            }));
        }
        self.all.reset();
        buffer.lag.iter().for_each(|lag| add(&mut self.all, lag));
        lines.push(IntervalLine::Generator(GeneratorLine {
            interval: buffer.number,
            start_ns: buffer.start_ns,
            end_ns: buffer.end_ns,
            during: buffer.during,
            workers: self.uses(buffer),
            lag_ns: Quantiles::from_histogram(&self.all),
            measured_lag_ns: Quantiles::from_histogram(&buffer.lag[OpPhase::Measure as usize]),
            in_flight_op_ns: buffer.in_flight_op_ns,
            waiting_op_ns: buffer.waiting_op_ns,
            departed: buffer.departed,
            departed_sent: buffer.departed_sent,
            service_sum_ns: buffer.service_sum_ns,
            response_sum_ns: buffer.response_sum_ns,
        }));
        lines
    }

    fn op_line(
        &mut self,
        buffer: &IntervalBuffer,
        stream: &str,
        op: &str,
        phase: OpPhase,
        slot: &OpSlot,
    ) -> OpLine {
        let none = || Quantiles::default();
        let of_ok = slot.of_ok.as_deref();
        self.all.reset();
        self.censored.reset();
        for histogram in of_ok.iter().map(|t| &t.response).chain(slot.of_failed.as_deref()) {
            add(&mut self.all, histogram);
        }
        for histogram in [&slot.of_unknown, &slot.of_shed].into_iter().flatten() {
            add(&mut self.censored, histogram);
        }
        OpLine {
            interval: buffer.number,
            start_ns: buffer.start_ns,
            end_ns: buffer.end_ns,
            during: buffer.during,
            phase,
            stream: stream.to_owned(),
            op: op.to_owned(),
            ok: slot.ok,
            failed: slot.failed.iter().map(|(code, n)| ((self.error_name)(*code).into_owned(), *n)).collect(),
            unknown: slot.unknown,
            shed: slot.shed,
            late: slot.late,
            in_flight_at_send_sum: slot.in_flight_at_send.0,
            in_flight_at_send_max: slot.in_flight_at_send.1,
            in_flight_at_send_count: slot.in_flight_at_send.2,
            value_bytes: slot.value_bytes,
            wait_ns: of_ok.map_or_else(none, |t| Quantiles::from_histogram(&t.wait)),
            service_ns: of_ok.map_or_else(none, |t| Quantiles::from_histogram(&t.service)),
            response_ns: Quantiles::from_histograms(&self.all, &self.censored),
        }
    }

    fn write_record(&mut self, buffer: &IntervalBuffer, lines: &[IntervalLine]) -> Result<(), WriteError> {
        let record = Arc::clone(&self.record);
        let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
        buffer.events.iter().try_for_each(|event| record.event(event))?;
        if buffer.events_dropped > 0 {
            let text =
                format!("{} events of one interval did not fit and were dropped", buffer.events_dropped);
            record.event(&Event { t_ns: buffer.end_ns, kind: EventKind::Warning { text } })?;
        }
        let measure = OpPhase::Measure as usize;
        let workload = Arc::clone(&self.workload);
        for (number, stream) in workload.streams.iter().enumerate() {
            for (op, slots) in stream.op_names().iter().zip(&buffer.streams[number].ops) {
                let tag = format!("{}.{op}", stream.name);
                write_slot(&mut record, &tag, buffer, &slots[measure], &mut self.all);
            }
            if let Some(deliveries) = &self.deliveries[number] {
                let tag = format!("{}.{WATCH_DELIVERY}", stream.name);
                write_slot(&mut record, &tag, buffer, &deliveries.slots[measure], &mut self.all);
                deliveries.write_histograms(&mut record, &tag, buffer);
            }
        }
        if !buffer.lag[measure].is_empty() {
            record.histogram("generator.lag", buffer.start_ns, buffer.end_ns, &buffer.lag[measure]);
        }
        record.flush_histograms()?;
        record.intervals(lines)
    }

    /// Writes which keys each stream used.
    fn write_keys(&mut self) {
        let lines: Vec<IntervalLine> = self
            .workload
            .streams
            .iter()
            .zip(&mut self.key_counts)
            .filter(|(_, counts)| counts.iter().any(|c| *c > 0))
            .map(|(stream, counts)| IntervalLine::Keys(keys_line(&stream.name, counts)))
            .collect();
        if self.error.is_none() {
            let result = self.record.lock().unwrap_or_else(PoisonError::into_inner).intervals(&lines);
            self.note(result);
        }
    }
}

/// The streams of watchers.
fn watching(workload: &Workload) -> Vec<Watching> {
    let streams = (0..).zip(&workload.streams);
    streams
        .filter_map(|(stream, s)| {
            let watch = s.watch()?;
            let (nodes, change) = (watch.nodes(workload.dataset), watch.on.change());
            Some(Watching { stream, nodes, change, watchers: watch.watchers })
        })
        .collect()
}

fn is_empty(slot: &OpSlot) -> bool {
    slot.ok + slot.unknown + slot.shed == 0 && slot.failed.is_empty()
}

fn write_slot(
    record: &mut RecordWriter,
    tag: &str,
    buffer: &IntervalBuffer,
    slot: &OpSlot,
    all: &mut Histogram<u64>,
) {
    let (start_ns, end_ns) = (buffer.start_ns, buffer.end_ns);
    all.reset();
    let mut write = |name: &str, histogram: &Histogram<u64>| {
        if !histogram.is_empty() {
            record.histogram(&format!("{tag}.{name}"), start_ns, end_ns, histogram);
        }
    };
    if let Some(times) = &slot.of_ok {
        write("ok.wait", &times.wait);
        write("ok.service", &times.service);
        write("ok.response", &times.response);
        add(all, &times.response);
    }
    let others = [("failed", &slot.of_failed), ("unknown", &slot.of_unknown), ("shed", &slot.of_shed)];
    for (name, histogram) in others {
        if let Some(histogram) = histogram {
            write(&format!("{name}.response"), histogram);
            add(all, histogram);
        }
    }
    write("all.response", all);
}

/// How the ops were spread over the keys.
fn keys_line(stream: &str, counts: &mut [u32]) -> KeysLine {
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let total: u64 = counts.iter().map(|c| u64::from(*c)).sum();
    let share = |percent: usize| {
        let keys = (counts.len() * percent / 100).max(1);
        counts[..keys].iter().map(|c| u64::from(*c)).sum::<u64>() as f64 / total as f64
    };
    KeysLine {
        stream: stream.to_owned(),
        keys: counts.len() as u64,
        ops: total,
        touched: counts.iter().filter(|c| **c > 0).count() as u64,
        hottest_share: f64::from(counts[0]) / total as f64,
        top_1_percent_share: share(1),
        top_10_percent_share: share(10),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc::channel;

    use quorumeter_record::{Manifest, PhasePlan, RecordReader, RowKind, Tool, WallStart};

    use super::*;
    use crate::engine::buffer::Shape;

    fn record(dir: &Path) -> RecordWriter {
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
        RecordWriter::create(&dir.join("run"), &manifest).unwrap()
    }

    /// Whichever worker delivers first: its CPU stands in its own place, and it gets its own buffer back.
    #[test]
    fn what_a_worker_used_is_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let record = record(dir.path());
        let text = "[[stream]]\nname = \"a\"\nsessions = 2\nmix = { read = 1 }\n";
        let workload = Arc::new(Workload::read(text, &[], || 1).unwrap());
        let (give, backs): (Vec<_>, Vec<_>) = (0..2).map(|_| channel()).unzip();
        let (seen_in, seen) = channel();
        let live: Live = Box::new(move |told| {
            let Told::Interval(interval) = told else { return };
            let of = |line: &IntervalLine| match line {
                IntervalLine::Generator(generator) => Some(generator.workers.clone()),
                _ => None,
            };
            seen_in.send(interval.lines.iter().find_map(of).unwrap()).unwrap();
        });
        let name = |_: i32| Cow::Borrowed("");
        let mut aggregator = Aggregator::new(workload, Arc::new(Mutex::new(record)), live, name, give);
        for (number, order) in [[0, 1], [1, 0], [1, 0]].into_iter().enumerate() {
            for worker in order {
                let mut buffer = IntervalBuffer::new(&Shape { ops: vec![1] });
                buffer.number = number as u32;
                let used = WorkerUse { cpu_ns: 100 + worker as u64, wall_ns: 1000 };
                buffer.workers.push((worker, used));
                aggregator.deliver(worker, buffer);
            }
            let cpu_ns: Vec<u64> = seen.recv().unwrap().iter().map(|used| used.cpu_ns).collect();
            assert_eq!(cpu_ns, [100, 101]);
            for back in &backs {
                assert_eq!(back.try_iter().count(), 1, "each gets back as many as it gave");
            }
        }
    }

    /// Of what both workers recorded, every time is in a histogram of its op, its outcome and its phase.
    #[test]
    fn an_interval_tells_all_its_times() {
        let dir = tempfile::tempdir().unwrap();
        let text = "[[stream]]\nname = \"a\"\nsessions = 2\nmix = { read = 1, write = 1 }\n";
        let workload = Arc::new(Workload::read(text, &[], || 1).unwrap());
        let (give, _backs): (Vec<_>, Vec<_>) = (0..2).map(|_| channel()).unzip();
        let (seen_in, seen) = channel();
        let live: Live = Box::new(move |told| {
            let Told::Interval(interval) = told else { return };
            let max = |histogram: Option<&Histogram<u64>>| histogram.map_or(0, Histogram::max);
            for times in interval.times() {
                let response = times.response.map(max);
                let of_ok = (max(times.wait), max(times.service));
                seen_in.send((format!("{}.{}", times.stream, times.op), response, of_ok)).unwrap();
            }
            let [warmup, measure] = interval.lag();
            seen_in.send(("lag".to_owned(), [warmup.len(), measure.len(), 0, 0], (0, 0))).unwrap();
            for span in interval.acknowledged() {
                seen_in.send(("acknowledged".to_owned(), [0; 4], (span.start, span.end))).unwrap();
            }
        });
        let record = Arc::new(Mutex::new(record(dir.path())));
        let mut aggregator = Aggregator::new(workload, record, live, |_| Cow::Borrowed(""), give);
        for worker in 0..2 {
            let mut buffer = IntervalBuffer::new(&Shape { ops: vec![2] });
            let [read, write] = &mut buffer.streams[0].ops[..] else { panic!("two ops") };
            let measure = OpPhase::Measure as usize;
            let times = read[OpPhase::Warmup as usize].ok_times();
            times.wait.record(1 + worker).unwrap();
            times.service.record(10 + worker).unwrap();
            times.response.record(11 + 2 * worker).unwrap();
            let histogram = || Some(Box::new(new_duration_histogram()));
            (write[measure].of_failed, write[measure].of_shed) = (histogram(), histogram());
            write[measure].of_failed.as_mut().unwrap().record(100 + worker).unwrap();
            write[measure].of_shed.as_mut().unwrap().record(200 + worker).unwrap();
            buffer.lag[measure].record(5).unwrap();
            // Of the default interval of 1 s.
            (buffer.start_ns, buffer.end_ns) = (3_000_000_000, 4_000_000_000);
            buffer.acknowledged.mark(3_500_000_000 - worker, buffer.start_ns, 7_812_500);
            aggregator.deliver(worker as usize, buffer);
        }
        drop(aggregator);
        let of = |name: &str, response, of_ok| (name.to_owned(), response, of_ok);
        assert_eq!(
            seen.iter().collect::<Vec<_>>(),
            [
                of("a.read", [13, 0, 0, 0], (2, 11)),
                of("a.read", [0; 4], (0, 0)),
                of("a.write", [0; 4], (0, 0)),
                of("a.write", [0, 101, 0, 201], (0, 0)),
                of("lag", [0, 2, 0, 0], (0, 0)),
                of("acknowledged", [0; 4], (3_492_187_500, 3_500_000_000)),
                of("acknowledged", [0; 4], (3_500_000_000, 3_507_812_500)),
            ]
        );
    }

    /// Each worker's rows stand in its own file as they ended, told before their interval's lines; what did not fit is
    /// told in the record.
    #[test]
    fn histories_are_written_as_they_are_delivered() {
        let dir = tempfile::tempdir().unwrap();
        let text = "[[stream]]\nname = \"a\"\nsessions = 2\nhistory = true\nmix = { read = 1 }\n";
        let workload = Arc::new(Workload::read(text, &[], || 1).unwrap());
        let (give, _backs): (Vec<_>, Vec<_>) = (0..2).map(|_| channel()).unzip();
        let (seen_in, seen) = channel();
        let live: Live = Box::new(move |told| {
            seen_in
                .send(match told {
                    Told::History(rows) => rows.iter().map(|row| row.ended_ns).collect(),
                    Told::Interval(_) | Told::Events(_) => Vec::new(),
                })
                .unwrap();
        });
        let record = Arc::new(Mutex::new(record(dir.path())));
        let name = |_: i32| Cow::Borrowed("");
        let mut aggregator = Aggregator::new(workload, record, live, name, give);
        for (worker, number, ended_ns, missing) in
            [(0, 0, [1, 4], 0), (0, 1, [11, 12], 7), (1, 0, [2, 3], 0), (1, 1, [13, 14], 0)]
        {
            let mut buffer = IntervalBuffer::new(&Shape { ops: vec![1] });
            buffer.number = number;
            buffer.history.extend(ended_ns.map(row));
            buffer.history_dropped = missing;
            aggregator.deliver(worker, buffer);
        }
        drop(aggregator);
        let told: Vec<Vec<u64>> = seen.iter().collect();
        assert_eq!(told, [&[1, 4][..], &[11, 12], &[2, 3], &[], &[13, 14], &[]]);
        let record = RecordReader::open(&dir.path().join("run")).unwrap();
        let written: Vec<u64> = record.history().unwrap().map(|row| row.unwrap().ended_ns).collect();
        assert_eq!(written, [1, 4, 11, 12, 2, 3, 13, 14], "worker 0's first");
        let events: Vec<Event> = record.events().unwrap().map(Result::unwrap).collect();
        let [Event { kind: EventKind::Warning { text }, .. }] = &events[..] else { panic!("{events:?}") };
        assert!(text.starts_with("7 rows of history are missing"), "{text}");
    }

    fn row(ended_ns: u64) -> HistoryRow {
        HistoryRow {
            intended_ns: 0,
            released_ns: 0,
            sent_ns: None,
            ended_ns,
            zxid: 0,
            session: 0,
            connection: 0,
            key: 0,
            code: 0,
            version: 0,
            stream: 0,
            member: None,
            op: 0,
            kind: RowKind::Ok,
        }
    }

    #[test]
    fn keys_are_summed_up_by_share() {
        let mut counts = vec![0; 200];
        counts[7] = 50;
        counts[8] = 30;
        counts[100..118].fill(1);
        counts[199] = 2;
        let line = keys_line("a", &mut counts);
        assert_eq!((line.keys, line.ops, line.touched), (200, 100, 21));
        // The top 1 % are 2 keys, the top 10 % 20.
        let shares = [line.hottest_share, line.top_1_percent_share, line.top_10_percent_share];
        assert_eq!(shares, [0.5, 0.8, 0.99]);
    }
}
