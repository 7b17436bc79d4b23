//! What a run tells while it goes.

use quorumeter_record::{IntervalLine, Phase, stage};

/// Watches a run; called by the thread that runs it.
pub trait Observer {
    /// A phase begins.
    fn phase(&mut self, phase: Phase, detail: &str);
    /// So many of so many nodes are there.
    fn prefill(&mut self, done: u64, total: u64);
    /// An interval is over. `planned_s` is how long load runs in all, `elapsed_s` how long it has.
    fn interval(&mut self, numbers: &Numbers, elapsed_s: f64, planned_s: f64);
    /// Something that the user should know now.
    fn notice(&mut self, text: &str);
}

/// An observer that looks away.
pub struct Nobody;

impl Observer for Nobody {
    fn phase(&mut self, _: Phase, _: &str) {}
    fn prefill(&mut self, _: u64, _: u64) {}
    fn interval(&mut self, _: &Numbers, _: f64, _: f64) {}
    fn notice(&mut self, _: &str) {}
}

/// An interval in a few numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Numbers {
    /// Ok replies per second, over all streams.
    pub rate: f64,
    /// The largest 99th percentile of the response time among all kinds of ops, nanoseconds; `None` when no kind
    /// has enough samples.
    pub p99_ns: Option<i64>,
    /// Whether that is a lower bound, because ops were given up or shed.
    pub p99_is_lower_bound: bool,
    /// Ops that failed, had no answer, or were shed.
    pub errors: u64,
    /// Ops in flight at the interval's end.
    pub in_flight: u64,
    /// Ops waiting at the interval's end.
    pub waiting: u64,
}

impl Numbers {
    /// Sums an interval's lines up.
    pub fn of(lines: &[IntervalLine]) -> Numbers {
        let mut numbers = Numbers::default();
        for line in lines {
            match line {
                // Stages of sessions' lives are parts of ops, or no ops at all.
                IntervalLine::Op(op) if stage::is_of_sessions(&op.op) => {}
                IntervalLine::Op(op) => {
                    let seconds = (op.end_ns - op.start_ns) as f64 / 1e9;
                    if !stage::is_observed(&op.op) && seconds > 0.0 {
                        numbers.rate += op.ok as f64 / seconds;
                    }
                    numbers.errors += op.failed.values().sum::<u64>() + op.unknown + op.shed;
                    numbers.p99_ns = numbers.p99_ns.max(op.response_ns.p99);
                    // Whichever kind has a bound, its true value may be the largest.
                    numbers.p99_is_lower_bound |= op.response_ns.is_lower_bound("p99");
                }
                IntervalLine::Stream(stream) => {
                    numbers.in_flight += stream.in_flight;
                    numbers.waiting += stream.waiting;
                }
                _ => {}
            }
        }
        numbers
    }
}
