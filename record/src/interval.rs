//! `intervals.ndjson`: what the recorder saw in each interval.
//!
//! Counts are by the time at which an op was *done* (or given up, or shed); `phase` is the phase of its
//! *intended* time. An interval in which nothing happened still has its lines, of zeros.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Phase, Quantiles};

/// One line of `intervals.ndjson`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "line", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "most lines are op lines, which are the large ones")]
pub enum IntervalLine {
    /// One kind of op of one stream.
    Op(OpLine),
    /// One stream.
    Stream(StreamLine),
    /// The load generator itself.
    Generator(GeneratorLine),
    /// The watches of one watch stream.
    Watch(WatchLine),
    /// The sessions of one stream of session lives.
    Sessions(SessionsLine),
    /// The keys that one stream used, over the whole measured window; written once, at the end.
    Keys(KeysLine),
}

/// The phase of an op: that of its intended time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OpPhase {
    /// Intended before the measured window.
    Warmup,
    /// Intended inside the measured window.
    Measure,
}

impl OpPhase {
    /// Both, in their order.
    pub const ALL: [OpPhase; 2] = [OpPhase::Warmup, OpPhase::Measure];
}

/// One kind of op of one stream in one interval, for ops of one phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OpLine {
    /// Number of the interval, from 0.
    pub interval: u32,
    /// Start of the interval, nanoseconds since the run's start.
    pub start_ns: u64,
    /// End of the interval, nanoseconds since the run's start.
    pub end_ns: u64,
    /// Phase of the run in which the interval lies: warm-up, measure or drain.
    pub during: Phase,
    /// Phase of the ops counted here.
    pub phase: OpPhase,
    /// Name of the stream.
    pub stream: String,
    /// Name of the op.
    pub op: String,
    /// Ops that succeeded.
    pub ok: u64,
    /// Ops whose reply proves that they were not applied, by error code.
    pub failed: BTreeMap<String, u64>,
    /// Ops handed over that had no reply, or one that proves nothing.
    pub unknown: u64,
    /// Ops of which no byte was ever handed over.
    pub shed: u64,
    /// Ops that waited in the backlog before they were sent.
    pub late: u64,
    /// Ops of this session that were in flight when an op was sent (the op itself included): sum over `sent`.
    pub in_flight_at_send_sum: u64,
    /// The largest of them.
    pub in_flight_at_send_max: u64,
    /// Ops over which that sum is.
    pub in_flight_at_send_count: u64,
    /// Sizes of the values written or read.
    pub value_bytes: ValueBytes,
    /// sent − intended, over ops that succeeded.
    pub wait_ns: Quantiles,
    /// done − sent, over ops that succeeded.
    pub service_ns: Quantiles,
    /// done − intended, over all ops: given-up and shed ones are lower bounds.
    pub response_ns: Quantiles,
}

/// Sizes of values, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ValueBytes {
    /// Values counted.
    pub count: u64,
    /// Sum of their sizes.
    pub sum: u64,
    /// The smallest; 0 when there is none.
    pub min: u64,
    /// The largest; 0 when there is none.
    pub max: u64,
}

impl ValueBytes {
    /// Counts one value.
    #[inline]
    pub fn add(&mut self, bytes: u64) {
        self.min = if self.count == 0 { bytes } else { self.min.min(bytes) };
        self.max = self.max.max(bytes);
        self.count += 1;
        self.sum += bytes;
    }

    /// Adds all values that `other` counted.
    pub fn merge(&mut self, other: &ValueBytes) {
        if other.count == 0 {
            return;
        }
        self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.count += other.count;
        self.sum += other.sum;
    }
}

/// What one stream scheduled and sent in one interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StreamLine {
    /// Number of the interval, from 0.
    pub interval: u32,
    /// Start of the interval, nanoseconds since the run's start.
    pub start_ns: u64,
    /// End of the interval, nanoseconds since the run's start.
    pub end_ns: u64,
    /// Phase of the run in which the interval lies.
    pub during: Phase,
    /// Name of the stream.
    pub stream: String,
    /// Counts of ops intended in the warm-up.
    pub warmup: StreamCounts,
    /// Counts of ops intended in the measured window.
    pub measure: StreamCounts,
    /// Ops waiting at the interval's end, of both phases.
    pub waiting: u64,
    /// Ops in flight at the interval's end, of both phases.
    pub in_flight: u64,
    /// Request frames handed over: ops may take more than one, and pings are requests too.
    pub requests: u64,
}

/// What became of a stream's ops of one phase in one interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreamCounts {
    /// Ops that the schedule released.
    pub scheduled: u64,
    /// Ops whose last byte was handed over.
    pub sent: u64,
    /// Ops of which no byte was ever handed over, and that were dropped.
    pub shed: u64,
    /// Ops that succeeded.
    pub ok: u64,
    /// Ops that failed for certain.
    pub failed: u64,
    /// Ops of unknown outcome.
    pub unknown: u64,
}

impl StreamCounts {
    /// Adds another count.
    pub fn merge(&mut self, other: &StreamCounts) {
        self.scheduled += other.scheduled;
        self.sent += other.sent;
        self.shed += other.shed;
        self.ok += other.ok;
        self.failed += other.failed;
        self.unknown += other.unknown;
    }

    /// Ops that were handed over and have no outcome yet, given that these counts run from the start.
    pub fn in_flight(&self) -> i64 {
        self.sent as i64 - (self.ok + self.failed + self.unknown) as i64
    }

    /// Ops that were released and are neither sent nor shed, given that these counts run from the start.
    pub fn waiting(&self) -> i64 {
        self.scheduled as i64 - (self.sent + self.shed) as i64
    }
}

/// The load generator in one interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GeneratorLine {
    /// Number of the interval, from 0.
    pub interval: u32,
    /// Start of the interval, nanoseconds since the run's start.
    pub start_ns: u64,
    /// End of the interval, nanoseconds since the run's start.
    pub end_ns: u64,
    /// Phase of the run in which the interval lies.
    pub during: Phase,
    /// Each worker's use of its core.
    pub workers: Vec<WorkerUse>,
    /// released − intended, over the open-loop ops released in this interval, of both phases.
    pub lag_ns: Quantiles,
    /// The same over ops intended in the measured window alone.
    pub measured_lag_ns: Quantiles,
    /// Integral of the number of ops in flight over the interval, in op·nanoseconds.
    pub in_flight_op_ns: u64,
    /// Integral of the number of ops waiting (from their intended time on) over the interval, in op·nanoseconds.
    pub waiting_op_ns: u64,
    /// Ops that ended in this interval, in whatever way.
    pub departed: u64,
    /// Ops that ended in this interval after they had been sent.
    pub departed_sent: u64,
    /// Sum of the service times of those sent, in nanoseconds.
    pub service_sum_ns: u64,
    /// Sum of the response times of all, in nanoseconds.
    pub response_sum_ns: u64,
}

/// A worker thread's use of its core in one interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerUse {
    /// CPU time of the thread, nanoseconds.
    pub cpu_ns: u64,
    /// Time that passed, nanoseconds.
    pub wall_ns: u64,
}

/// The watches of one watch stream in one interval. Counts are of the watchers' side; the delivery latency
/// stands in the stream's `watch_delivery` op lines (from the write's intended and sent time) and here (from
/// its acknowledgement, signed).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WatchLine {
    /// Number of the interval, from 0.
    pub interval: u32,
    /// Start of the interval, nanoseconds since the run's start.
    pub start_ns: u64,
    /// End of the interval, nanoseconds since the run's start.
    pub end_ns: u64,
    /// Phase of the run in which the interval lies.
    pub during: Phase,
    /// Name of the watch stream.
    pub stream: String,
    /// Watches set at the interval's end.
    pub armed: u64,
    /// Events received.
    pub events: u64,
    /// Events whose write is known, so that their latency is recorded.
    pub matched: u64,
    /// Events whose write could not be told: it came from elsewhere, or was dropped from the log.
    pub unmatched: u64,
    /// Events of a write of unknown outcome, and events without a transaction id that may be of one: they have no latency.
    #[serde(default)]
    pub of_unknown: u64,
    /// One-shot watches: writes between an event and the moment the watch was set again.
    pub merged: u64,
    /// Events that the server owes: a write happened on an armed watch and no event came.
    pub lost: u64,
    /// Events beyond what the writes explain.
    pub duplicate: u64,
    /// Watches that went with their connection, and were set anew.
    pub interrupted: u64,
    /// Rows that did not fit into the bounded log of writes and events.
    pub dropped: u64,
    /// received − acknowledged, nanoseconds, signed: negative where the event overtook the writer's own reply.
    pub after_ack_ns: Quantiles,
    /// How the writes reached their watchers.
    pub fan_out: FanOutSummary,
}

/// How writes reached the watchers of their node: over writes intended in the measured window, acknowledged
/// ones each counted when its last watcher was told, or when it was given up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FanOutSummary {
    /// Writes that reached every watcher of their node. The ranks are over these alone.
    pub complete: u64,
    /// Writes that did not: an event was lost or merged, its watch had gone, it came more than 30 s late, or it could not
    /// be told from that of a write of unknown outcome.
    pub incomplete: u64,
    /// Writes of unknown outcome, which are neither: nobody knows whether there was anything to tell. Each is counted
    /// when it was given up.
    #[serde(default)]
    pub unknown_writes: u64,
    /// received − intended of each write's first delivery.
    pub first_ns: Quantiles,
    /// received − intended of each write's median delivery: of w the ⌈w ÷ 2⌉-th.
    pub median_ns: Quantiles,
    /// received − intended of each write's last delivery.
    pub last_ns: Quantiles,
}

/// The sessions of one stream of session lives in one interval. How long the stages of a life took stands in the
/// stream's op lines: see [`stage`](crate::stage).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionsLine {
    /// Number of the interval, from 0.
    pub interval: u32,
    /// Start of the interval, nanoseconds since the run's start.
    pub start_ns: u64,
    /// End of the interval, nanoseconds since the run's start.
    pub end_ns: u64,
    /// Phase of the run in which the interval lies.
    pub during: Phase,
    /// Name of the stream.
    pub stream: String,
    /// Sessions with a connection at the interval's end.
    pub open: u64,
    /// Connections that ended and were not meant to.
    pub lost_connections: u64,
    /// Attempts to connect that failed and were followed by another for the same op.
    pub retries: u64,
    /// Sessions that were gone before their timeout had passed, of those due in the measured window.
    pub early: u64,
    /// The shortest session timeout that a member granted in this interval, milliseconds; `null` when none did.
    pub timeout_min_ms: Option<u32>,
    /// The longest one.
    pub timeout_max_ms: Option<u32>,
}

/// Which keys one stream used in the measured window, as measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KeysLine {
    /// Name of the stream.
    pub stream: String,
    /// Keys in the dataset.
    pub keys: u64,
    /// Ops counted.
    pub ops: u64,
    /// Keys that were used at least once.
    pub touched: u64,
    /// Share of the ops that went to the most used key (0 to 1).
    pub hottest_share: f64,
    /// Share of the ops that went to the most used 1 % of the keys (at least one key).
    pub top_1_percent_share: f64,
    /// Share of the ops that went to the most used 10 % of the keys (at least one key).
    pub top_10_percent_share: f64,
}
