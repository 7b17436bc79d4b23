//! Sums over the lines of `intervals.ndjson`. Nothing here grows with the length of the run but the points of
//! the series.

use std::collections::BTreeMap;
use std::path::Path;

use quorumeter_record::{
    GeneratorLine, INTERVALS_FILE, IntervalLine, KeysLine, OpLine, OpPhase, Phase, ReadError, SessionsLine,
    StreamCounts, StreamLine, ValueBytes, WatchLine, WorkerUse, stage,
};

/// All counts of a record together are at most this.
pub(crate) const COUNT_MAX: u64 = i64::MAX as u64;

/// A stream's name and an op's name.
pub(crate) type OpKey = (String, String);

/// All sums that an analysis needs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tally {
    /// Per kind of op.
    pub(crate) ops: BTreeMap<OpKey, OpTally>,
    /// Per stream.
    pub(crate) streams: BTreeMap<String, StreamTally>,
    /// Of the load generator, over the intervals of the measured window.
    pub(crate) generator: GeneratorTally,
    /// Per watch stream, from the measured window's start to the drain's end.
    pub(crate) watches: BTreeMap<String, WatchTally>,
    /// Per stream of session lives.
    pub(crate) sessions: BTreeMap<String, SessionsTally>,
    /// The keys that each stream used.
    pub(crate) keys: BTreeMap<String, KeysLine>,
    /// The intervals of the measured window.
    pub(crate) intervals: Vec<IntervalTally>,
    /// Latest end of an interval.
    pub(crate) end_ns: u64,
}

/// One kind of op.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct OpTally {
    /// Ops intended in the warm-up.
    pub(crate) warmup: Outcomes,
    /// Ops intended in the measured window.
    pub(crate) measure: Outcomes,
    /// Codes of the failed ones among the latter.
    pub(crate) failed: BTreeMap<String, u64>,
    /// Those of the latter that waited.
    pub(crate) late: u64,
    /// Ok replies that came inside the measured window, whenever they were intended.
    pub(crate) ok_in_window: u64,
    /// In flight at send, over ops intended in the measured window.
    pub(crate) in_flight_sum: u64,
    /// Sends over which that sum is.
    pub(crate) in_flight_count: u64,
    /// The largest of them.
    pub(crate) in_flight_max: u64,
    /// Values of ops intended in the measured window.
    pub(crate) value_bytes: ValueBytes,
}

/// What became of ops.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Outcomes {
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    pub(crate) unknown: u64,
    pub(crate) shed: u64,
}

/// One stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct StreamTally {
    /// Ops intended in the warm-up.
    pub(crate) warmup: StreamCounts,
    /// Ops intended in the measured window.
    pub(crate) measure: StreamCounts,
    /// Requests handed over.
    pub(crate) requests: u64,
    /// Ops waiting at the end of the last interval, as the generator saw it.
    pub(crate) waiting_at_end: u64,
    /// Ops in flight at the end of the last interval, as the generator saw it.
    pub(crate) in_flight_at_end: u64,
    /// Ops waiting at the end of the warm-up.
    pub(crate) waiting_after_warmup: u64,
    /// Ops in flight at the end of the warm-up.
    pub(crate) in_flight_after_warmup: u64,
    /// Ops waiting at the end of the measured window.
    pub(crate) waiting_after_window: u64,
    /// Ops in flight at the end of the measured window.
    pub(crate) in_flight_after_window: u64,
}

/// The load generator over the measured window.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct GeneratorTally {
    /// CPU and wall time of each worker.
    pub(crate) workers: Vec<WorkerUse>,
    /// Integral of the ops in flight, op·ns. Wider than a line's: an hour of a million ops is beyond 64 bits.
    pub(crate) in_flight_op_ns: u128,
    /// Integral of the ops waiting, op·ns.
    pub(crate) waiting_op_ns: u128,
    /// Ops that ended.
    pub(crate) departed: u64,
    /// Those that had been sent.
    pub(crate) departed_sent: u64,
    /// Sum of service times, ns.
    pub(crate) service_sum_ns: u128,
    /// Sum of response times, ns.
    pub(crate) response_sum_ns: u128,
}

/// The watches of one stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct WatchTally {
    pub(crate) events: u64,
    pub(crate) matched: u64,
    pub(crate) unmatched: u64,
    pub(crate) of_unknown: u64,
    pub(crate) merged: u64,
    pub(crate) lost: u64,
    pub(crate) duplicate: u64,
    pub(crate) interrupted: u64,
    pub(crate) dropped: u64,
    /// Writes that reached every watcher, that did not, and of which nobody knows whether they happened.
    pub(crate) complete: u64,
    pub(crate) incomplete: u64,
    pub(crate) unknown_writes: u64,
}

/// The sessions of one stream of session lives, from the measured window's start to the drain's end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SessionsTally {
    /// The most at the end of an interval of the measured window.
    pub(crate) open_max: u64,
    pub(crate) lost_connections: u64,
    pub(crate) retries: u64,
    pub(crate) early: u64,
    /// The shortest and the longest timeout granted, from the run's start on.
    pub(crate) timeout_ms: Option<(u32, u32)>,
}

/// One interval of the measured window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IntervalTally {
    pub(crate) number: u32,
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
    /// Ok replies, watch events left out.
    pub(crate) ok: u64,
}

impl Outcomes {
    /// All of them.
    pub(crate) fn total(self) -> u64 {
        self.ok + self.failed + self.unknown + self.shed
    }

    /// Adds other outcomes.
    pub(crate) fn merge(&mut self, other: Outcomes) {
        self.ok += other.ok;
        self.failed += other.failed;
        self.unknown += other.unknown;
        self.shed += other.shed;
    }
}

impl Tally {
    /// Sums the lines, in their order.
    ///
    /// # Errors
    ///
    /// Those of the lines, and counts that no run can have: all of them together are at most [`COUNT_MAX`], so that no
    /// sum of some, here or later, goes beyond its type.
    pub(crate) fn read(
        dir: &Path,
        lines: impl Iterator<Item = Result<IntervalLine, ReadError>>,
    ) -> Result<Tally, ReadError> {
        let mut tally = Tally::default();
        let mut counted = 0_u128;
        for (number, line) in (1..).zip(lines) {
            let line = line?;
            counted += counts_of(&line);
            if counted > u128::from(COUNT_MAX) {
                return Err(ReadError::Damaged {
                    path: dir.join(INTERVALS_FILE),
                    line: number,
                    cause: "it counts more than any run can".to_owned(),
                });
            }
            match line {
                IntervalLine::Op(line) => tally.op(line),
                IntervalLine::Stream(line) => tally.stream(line),
                IntervalLine::Generator(line) => tally.generator(&line),
                IntervalLine::Watch(line) => tally.watch(line),
                IntervalLine::Sessions(line) => tally.sessions(line),
                IntervalLine::Keys(line) => {
                    tally.keys.insert(line.stream.clone(), line);
                }
            }
        }
        Ok(tally)
    }

    /// The end of the last interval of the measured window; 0 when there is none.
    pub(crate) fn measured_end_ns(&self) -> u64 {
        self.intervals.iter().map(|interval| interval.end_ns).max().unwrap_or(0)
    }

    /// Ops that were in flight, and in flight or waiting, at the two edges of the measured window together.
    pub(crate) fn open_at_edges(&self) -> (u64, u64) {
        self.streams.values().fold((0, 0), |(in_flight, in_system), stream| {
            let sent = stream.in_flight_after_warmup + stream.in_flight_after_window;
            let waiting = stream.waiting_after_warmup + stream.waiting_after_window;
            (in_flight + sent, in_system + sent + waiting)
        })
    }

    fn op(&mut self, line: OpLine) {
        let ok = if stage::is_observed(&line.op) { 0 } else { line.ok };
        self.interval(line.during, line.interval, line.start_ns, line.end_ns, ok);
        let op = self.ops.entry((line.stream, line.op)).or_default();
        if line.during == Phase::Measure {
            op.ok_in_window += line.ok;
        }
        let outcomes = Outcomes {
            ok: line.ok,
            failed: line.failed.values().sum(),
            unknown: line.unknown,
            shed: line.shed,
        };
        match line.phase {
            OpPhase::Warmup => op.warmup.merge(outcomes),
            OpPhase::Measure => {
                op.measure.merge(outcomes);
                for (code, count) in line.failed {
                    *op.failed.entry(code).or_default() += count;
                }
                op.late += line.late;
                op.in_flight_sum += line.in_flight_at_send_sum;
                op.in_flight_count += line.in_flight_at_send_count;
                op.in_flight_max = op.in_flight_max.max(line.in_flight_at_send_max);
                op.value_bytes.merge(&line.value_bytes);
            }
        }
    }

    fn stream(&mut self, line: StreamLine) {
        self.interval(line.during, line.interval, line.start_ns, line.end_ns, 0);
        let stream = self.streams.entry(line.stream).or_default();
        stream.warmup.merge(&line.warmup);
        stream.measure.merge(&line.measure);
        stream.requests += line.requests;
        stream.waiting_at_end = line.waiting;
        stream.in_flight_at_end = line.in_flight;
        if line.during == Phase::Warmup {
            stream.waiting_after_warmup = line.waiting;
            stream.in_flight_after_warmup = line.in_flight;
        }
        if line.during == Phase::Measure {
            stream.waiting_after_window = line.waiting;
            stream.in_flight_after_window = line.in_flight;
        }
    }

    fn generator(&mut self, line: &GeneratorLine) {
        self.interval(line.during, line.interval, line.start_ns, line.end_ns, 0);
        if line.during != Phase::Measure {
            return;
        }
        let sum = &mut self.generator;
        if sum.workers.len() < line.workers.len() {
            sum.workers.resize(line.workers.len(), WorkerUse { cpu_ns: 0, wall_ns: 0 });
        }
        for (total, worker) in sum.workers.iter_mut().zip(&line.workers) {
            total.cpu_ns += worker.cpu_ns;
            total.wall_ns += worker.wall_ns;
        }
        sum.in_flight_op_ns += u128::from(line.in_flight_op_ns);
        sum.waiting_op_ns += u128::from(line.waiting_op_ns);
        sum.departed += line.departed;
        sum.departed_sent += line.departed_sent;
        sum.service_sum_ns += u128::from(line.service_sum_ns);
        sum.response_sum_ns += u128::from(line.response_sum_ns);
    }

    fn watch(&mut self, line: WatchLine) {
        self.interval(line.during, line.interval, line.start_ns, line.end_ns, 0);
        if !matches!(line.during, Phase::Measure | Phase::Drain) {
            return;
        }
        let watch = self.watches.entry(line.stream).or_default();
        watch.events += line.events;
        watch.matched += line.matched;
        watch.unmatched += line.unmatched;
        watch.of_unknown += line.of_unknown;
        watch.merged += line.merged;
        watch.lost += line.lost;
        watch.duplicate += line.duplicate;
        watch.interrupted += line.interrupted;
        watch.dropped += line.dropped;
        watch.complete += line.fan_out.complete;
        watch.incomplete += line.fan_out.incomplete;
        watch.unknown_writes += line.fan_out.unknown_writes;
    }

    fn sessions(&mut self, line: SessionsLine) {
        self.interval(line.during, line.interval, line.start_ns, line.end_ns, 0);
        let sessions = self.sessions.entry(line.stream).or_default();
        if let (Some(min), Some(max)) = (line.timeout_min_ms, line.timeout_max_ms) {
            let (before_min, before_max) = sessions.timeout_ms.unwrap_or((min, max));
            sessions.timeout_ms = Some((before_min.min(min), before_max.max(max)));
        }
        // These are of sessions due in the measured window, whenever they went.
        sessions.early += line.early;
        if !matches!(line.during, Phase::Measure | Phase::Drain) {
            return;
        }
        if line.during == Phase::Measure {
            sessions.open_max = sessions.open_max.max(line.open);
        }
        sessions.lost_connections += line.lost_connections;
        sessions.retries += line.retries;
    }

    /// Notes the interval that a line is of. The lines of one interval stand together.
    fn interval(&mut self, during: Phase, number: u32, start_ns: u64, end_ns: u64, ok: u64) {
        self.end_ns = self.end_ns.max(end_ns);
        if during != Phase::Measure {
            return;
        }
        match self.intervals.last_mut() {
            Some(last) if last.number == number => last.ok += ok,
            _ => self.intervals.push(IntervalTally { number, start_ns, end_ns, ok }),
        }
    }
}

/// The sum of everything in a line that is added up as 64 bits.
fn counts_of(line: &IntervalLine) -> u128 {
    let sum = |counts: &[u64]| counts.iter().copied().map(u128::from).sum::<u128>();
    match line {
        IntervalLine::Op(l) => {
            let failed = l.failed.values().copied().map(u128::from).sum::<u128>();
            let sent = [l.in_flight_at_send_sum, l.in_flight_at_send_count];
            let values = [l.value_bytes.count, l.value_bytes.sum];
            failed + sum(&[l.ok, l.unknown, l.shed, l.late]) + sum(&sent) + sum(&values)
        }
        IntervalLine::Stream(l) => {
            let of = |c: &StreamCounts| sum(&[c.scheduled, c.sent, c.shed, c.ok, c.failed, c.unknown]);
            of(&l.warmup) + of(&l.measure) + sum(&[l.waiting, l.in_flight, l.requests])
        }
        IntervalLine::Generator(l) => {
            let workers: u128 = l.workers.iter().map(|w| sum(&[w.cpu_ns, w.wall_ns])).sum();
            workers + sum(&[l.departed, l.departed_sent])
        }
        IntervalLine::Watch(l) => {
            let came = [l.events, l.matched, l.unmatched, l.of_unknown, l.merged];
            let writes = [l.fan_out.complete, l.fan_out.incomplete, l.fan_out.unknown_writes];
            sum(&came) + sum(&writes) + sum(&[l.lost, l.duplicate, l.interrupted, l.dropped])
        }
        IntervalLine::Sessions(l) => sum(&[l.open, l.lost_connections, l.retries, l.early]),
        IntervalLine::Keys(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{generator_line, op_line, stream_line, watch_line};

    fn tally(lines: impl IntoIterator<Item = IntervalLine>) -> Tally {
        read(lines).unwrap()
    }

    fn read(lines: impl IntoIterator<Item = IntervalLine>) -> Result<Tally, ReadError> {
        Tally::read(Path::new("record"), lines.into_iter().map(Ok))
    }

    #[test]
    fn counts_that_no_run_can_have_are_damage() {
        let line = op_line(1, Phase::Measure, "app", "read");
        let stream = stream_line(1, Phase::Measure, "app");
        let most = StreamCounts { sent: u64::MAX, ok: u64::MAX, ..StreamCounts::default() };
        let many = |n| [("A".to_owned(), n), ("B".to_owned(), n)].into();
        let bytes = ValueBytes { count: u64::MAX, sum: u64::MAX, min: 0, max: u64::MAX };
        for absurd in [
            IntervalLine::Op(OpLine { ok: u64::MAX, ..line.clone() }),
            IntervalLine::Op(OpLine { failed: many(u64::MAX), ..line.clone() }),
            IntervalLine::Op(OpLine { value_bytes: bytes, ..line.clone() }),
            IntervalLine::Stream(StreamLine { measure: most, ..stream.clone() }),
            IntervalLine::Stream(StreamLine { waiting: u64::MAX, in_flight: 1, ..stream }),
            IntervalLine::Generator(GeneratorLine {
                departed: u64::MAX,
                ..generator_line(1, Phase::Measure)
            }),
            IntervalLine::Watch(WatchLine { lost: u64::MAX, ..watch_line(1, Phase::Measure, "app") }),
        ] {
            let error = read([IntervalLine::Op(line.clone()), absurd]).unwrap_err().to_string();
            assert!(error.starts_with("record/intervals.ndjson, line 2: it counts more than"), "{error}");
        }
    }

    #[test]
    fn counts_go_by_the_intended_phase_and_the_rate_by_the_time_of_the_reply() {
        let line = |interval, during, phase, ok| {
            IntervalLine::Op(OpLine { phase, ok, late: 1, ..op_line(interval, during, "app", "read") })
        };
        let tally = tally([
            line(0, Phase::Warmup, OpPhase::Warmup, 10),
            line(1, Phase::Measure, OpPhase::Warmup, 3),
            line(1, Phase::Measure, OpPhase::Measure, 20),
            line(2, Phase::Drain, OpPhase::Measure, 5),
        ]);
        let read = &tally.ops[&("app".to_owned(), "read".to_owned())];
        assert_eq!(read.warmup.ok, 13);
        assert_eq!(read.measure.ok, 25);
        assert_eq!(read.ok_in_window, 23);
        assert_eq!(read.late, 2);
        assert_eq!(tally.intervals.len(), 1);
        assert_eq!(tally.intervals[0].ok, 23);
        assert_eq!(tally.end_ns, 3_000_000_000);
    }

    #[test]
    fn watch_events_are_no_replies_of_the_series() {
        let tally = tally([
            IntervalLine::Op(OpLine {
                ok: 7,
                ..op_line(1, Phase::Measure, "watchers", stage::WATCH_DELIVERY)
            }),
            IntervalLine::Op(OpLine { ok: 2, ..op_line(1, Phase::Measure, "app", "write") }),
        ]);
        assert_eq!(tally.intervals[0].ok, 2);
        assert_eq!(tally.ops[&("watchers".to_owned(), stage::WATCH_DELIVERY.to_owned())].ok_in_window, 7);
    }

    #[test]
    fn the_generator_and_the_watches_have_windows_of_their_own() {
        let phases = [Phase::Warmup, Phase::Measure, Phase::Drain];
        let tally = tally((0..).zip(phases).flat_map(|(i, during)| {
            [
                IntervalLine::Generator(GeneratorLine { departed: 10, ..generator_line(i, during) }),
                IntervalLine::Watch(WatchLine { events: 10, ..watch_line(i, during, "watchers") }),
            ]
        }));
        assert_eq!(tally.generator.departed, 10); // measure
        assert_eq!(tally.watches["watchers"].events, 20); // measure and drain
    }

    #[test]
    fn the_backlog_is_that_of_the_last_interval_before_the_measured_window() {
        let line = |interval, during, waiting, in_flight| {
            IntervalLine::Stream(StreamLine { waiting, in_flight, ..stream_line(interval, during, "app") })
        };
        let tally = tally([
            line(0, Phase::Warmup, 1, 2),
            line(1, Phase::Warmup, 3, 4),
            line(2, Phase::Measure, 5, 6),
            line(3, Phase::Drain, 0, 0),
        ]);
        let app = &tally.streams["app"];
        assert_eq!((app.waiting_after_warmup, app.in_flight_after_warmup), (3, 4));
        assert_eq!((app.waiting_at_end, app.in_flight_at_end), (0, 0));
        assert_eq!((app.waiting_after_window, app.in_flight_after_window), (5, 6));
        assert_eq!(tally.open_at_edges(), (10, 18));
    }
}
