//! `summary.json`: what was computed from the rest of the record.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{FailoverSummary, FanOutSummary, LoopKind, Quantiles, ValueBytes};

/// The summary of a run. Durations are integer nanoseconds, names end in `_ns`; rates are per second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// [`Summary::SCHEMA`].
    pub schema: String,
    /// Name of the run.
    pub run_id: String,
    /// The judgement.
    pub verdict: Verdict,
    /// What was measured: `embedded`, `null` or `zookeeper` when this tool started it; of an ensemble elsewhere the system,
    /// or `quorumeter` where its members say that they are this tool's own server (embedded or null); `null` (absent) when
    /// no target answered.
    pub target: Option<String>,
    /// Why the verdict is not `pass`, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Length of the measured window as it was, seconds.
    pub measured_s: f64,
    /// Who decided when ops start.
    #[serde(rename = "loop")]
    pub loop_kind: LoopKind,
    /// What the load generator itself did.
    pub generator: Generator,
    /// What became of every op intended in the measured window.
    pub accounting: Accounting,
    /// The same run seen twice: integrals of counters against rate × mean latency, over the measured window.
    pub littles_law: LittlesLaw,
    /// Every kind of op of every stream, by `<stream>.<op>`.
    pub ops: BTreeMap<String, OpSummary>,
    /// Every stream, by name.
    pub streams: BTreeMap<String, StreamSummary>,
    /// Every watch stream, by name.
    pub watches: BTreeMap<String, WatchSummary>,
    /// Streams of session lives by name.
    #[serde(default)]
    pub sessions: BTreeMap<String, SessionsSummary>,
    /// Failover measurement; `null` for a plain run.
    pub failover: Option<FailoverSummary>,
    /// Safety checks; `null` when none were asked for.
    pub safety: Option<serde_json::Value>,
    /// The gates and what became of them.
    pub gates: Vec<GateResult>,
    /// What a reader should know, with what would help.
    pub warnings: Vec<String>,
    /// Whether the record runs to its end; a killed run's does not.
    pub complete: bool,
}

impl Summary {
    /// Name and version of this file's format.
    pub const SCHEMA: &str = "quorumeter.summary/1";
}

/// The judgement of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything that was required holds.
    Pass,
    /// A gate does not hold.
    GateFailed,
    /// Nothing can be concluded: no data, or a generator that was itself the limit.
    Inconclusive,
    /// The environment or the tool failed.
    Error,
    /// A promise of the system was broken.
    Unsafe,
}

impl Verdict {
    /// The process's exit code for this verdict: 0 pass, 2 gate failed, 3 unsafe, 4 inconclusive, 5 error.
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::Pass => 0,
            Verdict::GateFailed => 2,
            Verdict::Unsafe => 3,
            Verdict::Inconclusive => 4,
            Verdict::Error => 5,
        }
    }

    /// The graver of two: unsafe, then error, then inconclusive, then a failed gate.
    pub fn or_graver(self, other: Verdict) -> Verdict {
        self.max(other)
    }
}

/// What the load generator did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Generator {
    /// Whether the generator, not the server, shaped the numbers.
    pub verdict: GeneratorVerdict,
    /// Why it is `limited`, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// released − intended, over the open-loop ops of the measured window.
    pub schedule_lag_ns: Quantiles,
    /// CPU time of all workers over the measured window, seconds.
    pub cpu_s: f64,
    /// CPU time of the workers per op that ended in the measured window, nanoseconds; `null` without ops.
    pub cpu_per_op_ns: Option<u64>,
    /// Largest share of a core that a worker used over the measured window (0 to 1).
    pub busiest_worker: f64,
    /// Worker threads.
    pub workers: u32,
}

/// Whether the numbers are the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GeneratorVerdict {
    /// They are.
    Ok,
    /// They are not: the generator was late or out of CPU.
    Limited,
}

/// What became of the ops intended in the measured window. `scheduled = sent + shed + waiting`, and
/// `sent = ok + failed + unknown + in_flight`; at the end of a run `waiting` and `in_flight` are 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Accounting {
    /// Ops that the schedule released.
    pub scheduled: u64,
    /// Ops handed over.
    pub sent: u64,
    /// Ops dropped before any byte was handed over.
    pub shed: u64,
    /// Ops released and neither sent nor shed.
    pub waiting: u64,
    /// Ops that succeeded.
    pub ok: u64,
    /// Ops that failed for certain.
    pub failed: u64,
    /// Ops of unknown outcome.
    pub unknown: u64,
    /// Ops sent without an outcome.
    pub in_flight: u64,
    /// Request frames that the load's sessions handed over from the warm-up's start to the drain's end; pings
    /// and the second request of two-request ops included.
    pub requests: u64,
    /// Whether both identities hold.
    pub balanced: bool,
}

/// Little's law over the measured window: the left sides are integrated from counters, never from latencies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LittlesLaw {
    /// Mean number of ops in flight.
    pub mean_in_flight: f64,
    /// Departures per second × their mean service time.
    pub rate_times_mean_service: f64,
    /// Mean number of ops in flight or waiting.
    pub mean_in_system: f64,
    /// Departures per second × their mean response time.
    pub rate_times_mean_response: f64,
    /// Whether both pairs agree within 5 % and what ops across the window's edges account for; `null` where those are too
    /// many, or the ops too few, to tell.
    pub holds: Option<bool>,
}

/// One kind of op of one stream, over ops intended in the measured window (the rate: done inside it).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OpSummary {
    /// What a read may return: `local`, `session`, `fresh` or `linearizable`.
    pub consistency: String,
    /// Ops that succeeded.
    pub ok: u64,
    /// Ops that failed for certain, by error code.
    pub failed: BTreeMap<String, u64>,
    /// Ops of unknown outcome.
    pub unknown: u64,
    /// Ops of which no byte was ever handed over.
    pub shed: u64,
    /// Ops that waited in the backlog.
    pub late: u64,
    /// Ok replies done inside the window ÷ the window, per second.
    pub rate: f64,
    /// sent − intended, over ops that succeeded.
    pub wait_ns: Quantiles,
    /// done − sent, over ops that succeeded.
    pub service_ns: Quantiles,
    /// done − intended, over every op; given-up and shed ones count as lower bounds.
    pub response_ns: Quantiles,
    /// done − intended, over ops that succeeded.
    pub ok_response_ns: Quantiles,
    /// Ops of the session in flight when one was sent, itself included.
    pub in_flight_at_send: InFlightAtSend,
    /// Sizes of the values read or written.
    pub value_bytes: ValueBytes,
}

/// Pipelining as it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InFlightAtSend {
    /// Mean; 0 when nothing was sent.
    pub mean: f64,
    /// Largest.
    pub max: u64,
}

/// One stream over the measured window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StreamSummary {
    /// Who decided when its ops start.
    #[serde(rename = "loop")]
    pub loop_kind: LoopKind,
    /// Rate that the schedule released over the window as it was, per second; `null` for a closed loop, and without a
    /// window. The planned one is the manifest's.
    pub offered_rate: Option<f64>,
    /// Ok replies done inside the window ÷ the window, per second.
    pub rate: f64,
    /// Ops waiting and in flight when the warm-up ended.
    pub backlog_at_warmup_end: u64,
    /// The keys used, as measured; `null` when the stream used none, or the run did not reach its end.
    pub keys: Option<KeyDistribution>,
    /// What became of its ops.
    pub accounting: Accounting,
}

/// The keys that a stream used, as measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KeyDistribution {
    /// Keys in the dataset.
    pub keys: u64,
    /// Keys used at least once.
    pub touched: u64,
    /// Share of the ops on the most used key (0 to 1).
    pub hottest_share: f64,
    /// Share of the ops on the most used 1 % of the keys.
    pub top_1_percent_share: f64,
    /// Share of the ops on the most used 10 % of the keys.
    pub top_10_percent_share: f64,
}

/// The sessions of one stream of session lives, from the start of the measured window to the end of the drain. How
/// long the stages of a life took stands under `ops`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionsSummary {
    /// How they end: `idle` (not at all), `close`, `drop`, `reattach` or `expire`.
    pub cycle: String,
    /// The most sessions with a connection at the end of an interval of the measured window.
    pub open_max: u64,
    /// Connections that ended and were not meant to.
    pub lost_connections: u64,
    /// Attempts to connect that failed and were followed by another for the same op.
    pub retries: u64,
    /// Sessions due in the measured window that were gone before: before their timeout had passed since their last request
    /// was sent.
    pub early: u64,
    /// The shortest and the longest session timeout that members granted, milliseconds; `null` when none did.
    pub timeout_ms: Option<(u32, u32)>,
}

/// The watches of one stream, from the start of the measured window to the end of the drain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WatchSummary {
    /// `one-shot`, `persistent` or `recursive`.
    pub kind: String,
    /// What is watched, or what a one-shot watch is set by: `data`, `exists` or `children`.
    #[serde(default = "data")]
    pub on: String,
    /// Watched paths: of a recursive watch on data, parents.
    pub paths: u64,
    /// Watchers of each path.
    pub watchers: u32,
    /// Events received.
    pub events: u64,
    /// Events whose write is known.
    pub matched: u64,
    /// Events whose write could not be told.
    pub unmatched: u64,
    /// Events of writes of unknown outcome, or that may be: they have no latency.
    #[serde(default)]
    pub of_unknown: u64,
    /// Writes that fell between an event and the renewal of a one-shot watch.
    pub merged: u64,
    /// Events that never came.
    pub lost: u64,
    /// Events that no write explains.
    pub duplicate: u64,
    /// Watches that went with their connection.
    pub interrupted: u64,
    /// Rows that did not fit into the bounded log.
    pub dropped: u64,
    /// received − acknowledged, signed.
    pub after_ack_ns: Quantiles,
    /// How the writes reached their watchers.
    pub fan_out: FanOutSummary,
}

fn data() -> String {
    "data".to_owned()
}

/// A gate and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateResult {
    /// The gate as written.
    pub gate: String,
    /// What was measured, in the gate's unit (nanoseconds, per second, a count or a share); `null` without data.
    pub measured: Option<f64>,
    /// Whether the gate holds.
    pub outcome: GateOutcome,
    /// The reason, in words.
    pub reason: String,
}

/// What became of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GateOutcome {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// It cannot be told.
    Inconclusive,
}
