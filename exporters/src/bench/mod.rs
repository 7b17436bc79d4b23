//! What a measurement tells of itself while it goes: the `bench_*` metrics.
//!
//! All is cumulative, from the beginning of the load, its warm-up included, and nothing is ever set back: whoever reads it
//! takes differences. It is fed once per interval and read when somebody asks; no operation touches it.

mod outage;
#[cfg(test)]
mod tests;
mod times;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use hdrhistogram::Histogram;
use quorumeter_record::{Event, EventKind, FaultStage, IntervalLine, OpLine, Phase, SessionChange, stage};
use quorumeter_targets::OpKind;

use self::outage::Outage;
pub use self::times::Exponential;
use self::times::Times;
use crate::catalog::{
    BENCH_CPU, BENCH_FAULT, BENCH_IN_FLIGHT, BENCH_INFO, BENCH_LAG, BENCH_LATE, BENCH_OPERATIONS,
    BENCH_OUTAGE, BENCH_PHASE, BENCH_RESPONSE, BENCH_SCHEDULED, BENCH_SERVICE, BENCH_SESSIONS, BENCH_WAIT,
    BENCH_WAITING, BENCH_WATCH, Metric,
};
use crate::family::Families;
use crate::sample::Value;

/// The phases, as they are named in labels.
const PHASES: [(Phase, &str); 7] = [
    (Phase::Connect, "connect"),
    (Phase::Precheck, "precheck"),
    (Phase::Prefill, "prefill"),
    (Phase::Warmup, "warmup"),
    (Phase::Measure, "measure"),
    (Phase::Drain, "drain"),
    (Phase::Cleanup, "cleanup"),
];

/// The measurement that goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BenchInfo {
    /// Its id, as in its record.
    pub run_id: String,
    /// The workload's name.
    pub workload: String,
    /// What is measured, without secrets.
    pub target: String,
    /// The fault that is done in it; `None` where none is.
    pub fault: Option<String>,
}

/// Which time of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// done − intended, of all outcomes.
    Response,
    /// done − sent.
    Service,
    /// sent − intended.
    Wait,
}

/// Everything that is told of a measurement.
#[derive(Debug)]
pub struct Bench {
    info: BenchInfo,
    phase: Option<Phase>,
    fault_is_active: bool,
    /// The repetition that the outage is of.
    repetition: u32,
    outage: Outage,
    streams: BTreeMap<String, Stream>,
    lag: Times,
    /// Whether the load has begun, so that there is something to tell of the generator.
    has_load: bool,
    cpu_ns: u64,
}

/// What is told of a stream.
#[derive(Debug, Default)]
struct Stream {
    scheduled: u64,
    in_flight: u64,
    waiting: u64,
    /// Its sessions that are connected, by number.
    connected: BTreeSet<u32>,
    /// How many are, where sessions come and go by the schedule.
    open: Option<u64>,
    ops: BTreeMap<String, Op>,
    watch: Option<Times>,
}

/// What is told of a kind of op.
#[derive(Debug, Default)]
struct Op {
    /// Those that ended, by outcome as in [`OUTCOMES`].
    outcomes: [u64; 4],
    late: u64,
    response: Times,
    service: Times,
    wait: Times,
}

const OUTCOMES: [&str; 4] = ["ok", "failed", "unknown", "shed"];

impl Bench {
    /// Of a measurement that begins.
    pub fn new(info: BenchInfo) -> Bench {
        Bench {
            info,
            phase: None,
            fault_is_active: false,
            repetition: 0,
            outage: Outage::default(),
            streams: BTreeMap::new(),
            lag: Times::default(),
            has_load: false,
            cpu_ns: 0,
        }
    }

    /// A phase begins.
    pub fn phase(&mut self, phase: Phase) {
        self.phase = Some(phase);
    }

    /// A step of the fault in a repetition. It is in effect from its proof to the proof that it is gone; the outage is of
    /// the repetition whose first fault was asked for last.
    pub fn fault(&mut self, t_ns: u64, repetition: u32, stage: FaultStage) {
        match stage {
            FaultStage::Asked if repetition != self.repetition => {
                self.repetition = repetition;
                self.outage.begin_anew(t_ns);
            }
            FaultStage::Active => self.fault_is_active = true,
            FaultStage::Cleared | FaultStage::Over => self.fault_is_active = false,
            _ => {}
        }
    }

    /// What happened to sessions.
    pub fn sessions(&mut self, events: &[Event]) {
        for event in events {
            let EventKind::Session { stream, session, change, .. } = &event.kind else { continue };
            let connected = &mut self.stream(stream).connected;
            match change {
                SessionChange::Connected | SessionChange::Reattached | SessionChange::Moved => {
                    connected.insert(*session);
                }
                SessionChange::Lost | SessionChange::Expired => {
                    connected.remove(session);
                }
                SessionChange::ConnectFailed => {}
            }
        }
    }

    /// Writes were acknowledged, at least one in each of these spans of time, which may be moments: before the lines of the
    /// interval that has them.
    pub fn acknowledged(&mut self, within_ns: impl Iterator<Item = Range<u64>>) {
        self.outage.acknowledged(within_ns);
    }

    /// Times of a kind of op in an interval. Stages of sessions' lives are left out: they are parts of ops, or none at all.
    pub fn times(&mut self, stream: &str, op: &str, time: Time, histogram: &Histogram<u64>) {
        if op == stage::WATCH_DELIVERY {
            if time == Time::Response {
                self.stream(stream).watch.get_or_insert_default().add(histogram);
            }
        } else if !stage::is_observed(op) {
            let op = self.op(stream, op);
            let times = match time {
                Time::Response => &mut op.response,
                Time::Service => &mut op.service,
                Time::Wait => &mut op.wait,
            };
            times.add(histogram);
        }
    }

    /// How late the generator was in an interval.
    pub fn lag(&mut self, histogram: &Histogram<u64>) {
        self.lag.add(histogram);
    }

    /// The lines of an interval that is over.
    pub fn interval(&mut self, lines: &[IntervalLine]) {
        let (mut has_writes, mut window) = (false, None);
        for line in lines {
            match line {
                IntervalLine::Op(line) if line.op == stage::WATCH_DELIVERY => {
                    self.stream(&line.stream).watch.get_or_insert_default();
                }
                IntervalLine::Op(line) if !stage::is_observed(&line.op) => {
                    self.count(line);
                    has_writes |= OpKind::from_name(&line.op).is_some_and(OpKind::is_write);
                }
                IntervalLine::Stream(line) => {
                    let stream = self.stream(&line.stream);
                    stream.scheduled += line.warmup.scheduled + line.measure.scheduled;
                    (stream.in_flight, stream.waiting) = (line.in_flight, line.waiting);
                }
                IntervalLine::Sessions(line) => self.stream(&line.stream).open = Some(line.open),
                IntervalLine::Generator(line) => {
                    self.has_load = true;
                    self.cpu_ns += line.workers.iter().map(|worker| worker.cpu_ns).sum::<u64>();
                    // In the drain nothing is asked for that could be acknowledged.
                    window = (line.during != Phase::Drain).then_some((line.start_ns, line.end_ns));
                }
                IntervalLine::Op(_) | IntervalLine::Watch(_) | IntervalLine::Keys(_) => {}
            }
        }
        if has_writes && let Some((start_ns, end_ns)) = window {
            self.outage.interval(start_ns, end_ns);
        }
    }

    fn count(&mut self, line: &OpLine) {
        let op = self.op(&line.stream, &line.op);
        let ended = [line.ok, line.failed.values().sum(), line.unknown, line.shed];
        op.outcomes.iter_mut().zip(ended).for_each(|(all, n)| *all += n);
        op.late += line.late;
    }

    fn stream(&mut self, name: &str) -> &mut Stream {
        if !self.streams.contains_key(name) {
            self.streams.insert(name.to_owned(), Stream::default());
        }
        self.streams.get_mut(name).expect("it was added just now")
    }

    fn op(&mut self, stream: &str, name: &str) -> &mut Op {
        let ops = &mut self.stream(stream).ops;
        if !ops.contains_key(name) {
            ops.insert(name.to_owned(), Op::default());
        }
        ops.get_mut(name).expect("it was added just now")
    }

    /// Everything, as series; histograms are classic ones.
    pub fn families(&self, into: &mut Families) {
        let mut number =
            |metric, labels: &[&str], value: f64| into.add(metric, owned(labels), Value::Number(value));
        let BenchInfo { run_id, workload, target, fault } = &self.info;
        number(&BENCH_INFO, &[run_id, workload, target], 1.0);
        for (phase, name) in PHASES {
            number(&BENCH_PHASE, &[name], f64::from(self.phase == Some(phase)));
        }
        if let Some(fault) = fault {
            number(&BENCH_FAULT, &[fault], f64::from(self.fault_is_active));
        }
        if let Some(outage_ns) = self.outage.longest_ns() {
            number(&BENCH_OUTAGE, &[], outage_ns as f64 / 1e9);
        }
        if self.has_load {
            number(&BENCH_CPU, &[], self.cpu_ns as f64 / 1e9);
        }
        for (name, stream) in &self.streams {
            let connected = stream.open.unwrap_or(stream.connected.len() as u64);
            number(&BENCH_SESSIONS, &[name], connected as f64);
            if self.has_load {
                number(&BENCH_SCHEDULED, &[name], stream.scheduled as f64);
                number(&BENCH_IN_FLIGHT, &[name], stream.in_flight as f64);
                number(&BENCH_WAITING, &[name], stream.waiting as f64);
            }
            for (op_name, op) in &stream.ops {
                for (outcome, n) in OUTCOMES.iter().zip(op.outcomes) {
                    number(&BENCH_OPERATIONS, &[name, op_name, outcome], n as f64);
                }
                number(&BENCH_LATE, &[name, op_name], op.late as f64);
            }
        }
        for (metric, labels, times) in self.all_times() {
            into.add(metric, labels, Value::Histogram(times.classic()));
        }
    }

    /// The histograms again, as exponential ones.
    pub fn exponentials(&self) -> Vec<(&'static Metric, Vec<String>, Exponential)> {
        self.all_times().map(|(metric, labels, times)| (metric, labels, times.exponential())).collect()
    }

    fn all_times(&self) -> impl Iterator<Item = (&'static Metric, Vec<String>, &Times)> {
        let lag = self.has_load.then(|| (&BENCH_LAG, Vec::new(), &self.lag));
        let of_ops = self.streams.iter().flat_map(|(name, stream)| {
            let watch = stream.watch.as_ref().map(|times| (&BENCH_WATCH, owned(&[name]), times));
            let ops = stream.ops.iter().flat_map(move |(op_name, op)| {
                let times =
                    [(&BENCH_RESPONSE, &op.response), (&BENCH_SERVICE, &op.service), (&BENCH_WAIT, &op.wait)];
                times.map(|(metric, times)| (metric, owned(&[name, op_name]), times))
            });
            ops.chain(watch)
        });
        lag.into_iter().chain(of_ops)
    }
}

fn owned(labels: &[&str]) -> Vec<String> {
    labels.iter().map(|label| (*label).to_owned()).collect()
}
