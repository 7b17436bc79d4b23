//! `run.json`: what was run, against what, on which machine.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{CalibrationNote, FailoverPlan};

/// The manifest of a run. Written when the record is made, and again when the target is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// [`Manifest::SCHEMA`].
    pub schema: String,
    /// Unique name of the run; also the name of its znode below `/quorumeter`.
    pub run_id: String,
    /// What made the record.
    pub tool: Tool,
    /// The command line, with secrets removed.
    pub command_line: Vec<String>,
    /// The wall clock at time 0 of the run's monotonic clock.
    pub wall_start: WallStart,
    /// Seed of everything that is drawn at random.
    pub seed: u64,
    /// The workload in effect, after defaults and overrides, as it would stand in a file; without secrets.
    pub workload: serde_json::Value,
    /// The streams, with what a reader of the other files needs to know of them.
    pub streams: Vec<StreamInfo>,
    /// The phases as planned; `events.ndjson` has them as they were.
    pub phases: PhasePlan,
    /// Length of the recorder's interval, nanoseconds.
    pub interval_ns: u64,
    /// Requirements of the user, as written: `metric comparison value`.
    pub gates: Vec<String>,
    /// Expressions that stop the run when they do not hold, as written.
    pub aborts: Vec<String>,
    /// The failover measurement; absent of a plain run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<FailoverPlan>,
    /// What was measured; `null` until the target has answered.
    pub target: Option<TargetInfo>,
    /// The machine of the load generator.
    pub environment: Environment,
}

impl Manifest {
    /// Name and version of this file's format.
    pub const SCHEMA: &str = "quorumeter.run/1";
}

/// The program that made a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// Version of Quorumeter.
    pub version: String,
    /// Commit it was built from, when that is known.
    pub commit: Option<String>,
    /// `release` or `debug`.
    pub build: String,
}

/// Wall time of the run's start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WallStart {
    /// UTC, RFC 3339, to the millisecond.
    pub rfc3339: String,
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub unix_ns: u64,
}

/// A stream of the workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StreamInfo {
    /// Its name.
    pub name: String,
    /// Who decides when an op starts.
    #[serde(rename = "loop")]
    pub loop_kind: LoopKind,
    /// Sessions.
    pub sessions: u32,
    /// Ops in flight per session, at most.
    pub depth: u32,
    /// Offered rate over the measured window, ops per second; `null` for a closed loop.
    pub offered_rate: Option<f64>,
    /// Client policy of the sessions.
    pub policy: String,
    /// The ops, in the order of the workload.
    pub ops: Vec<OpInfo>,
    /// For a watch stream, its watches.
    pub watch: Option<WatchInfo>,
    /// For a stream of session lives, what becomes of them.
    #[serde(default)]
    pub life: Option<LifeInfo>,
}

/// One kind of op of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OpInfo {
    /// Name of the op.
    pub op: String,
    /// Weight in the mix; 0 for what is observed and not drawn, such as `watch_delivery`.
    pub weight: f64,
    /// What a read may return: `local`, `session`, `fresh` or `linearizable`.
    pub consistency: String,
    /// Requests that one op takes.
    pub requests: u32,
}

/// The watches of a watch stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WatchInfo {
    /// `one-shot`, `persistent` or `recursive`.
    pub kind: String,
    /// What sets them: `data` (a read) or `exists`.
    pub on: String,
    /// Watched paths: of a recursive watch, parents.
    pub paths: u64,
    /// Watchers of each path, on distinct sessions.
    pub watchers: u32,
}

/// The sessions of a stream of session lives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LifeInfo {
    /// How they end: `idle` (not at all), `close`, `drop`, `reattach` or `expire`.
    pub cycle: String,
    /// How long they are held before that, nanoseconds.
    pub hold_ns: u64,
    /// Session timeout that is asked for, milliseconds.
    pub timeout_ms: u32,
}

/// Who decides when an op starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoopKind {
    /// The schedule.
    Open,
    /// The reply of the op before.
    Closed,
    /// Some streams this, some that (of a whole run).
    Mixed,
    /// The server (of a watch stream).
    Watch,
    /// Nobody: the sessions are only kept alive.
    Idle,
}

/// Lengths of the phases, nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PhasePlan {
    /// Load that is not judged.
    pub warmup_ns: u64,
    /// Load that is judged.
    pub measure_ns: u64,
    /// Longest wait for what is still open after that.
    pub drain_limit_ns: u64,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TargetInfo {
    /// `zookeeper`.
    pub system: String,
    /// `embedded`, `zookeeper` or `null` when this tool started it; `null` (absent) for an ensemble elsewhere.
    pub launched: Option<String>,
    /// The target's URL, without secrets.
    pub url: String,
    /// The znode below which everything happened.
    pub root: String,
    /// The members.
    pub members: Vec<MemberInfo>,
    /// Settings in force, as far as they are known: what was given, and what a launched server was started with.
    pub settings: BTreeMap<String, String>,
    /// Session timeout as the server granted it, nanoseconds.
    pub session_timeout_ns: u64,
    /// How durable an acknowledged write is: `fsync`, `no fsync`, `memory` or `unknown`.
    pub fsync: String,
    /// Whether server and load generator share the machine.
    pub on_this_machine: bool,
}

impl TargetInfo {
    /// What it is, as [`crate::Summary::target`] has it.
    pub fn kind(&self) -> &str {
        match &self.launched {
            Some(kind) => kind,
            None if self.is_own_server() => "quorumeter",
            None => &self.system,
        }
    }

    /// Whether a member says that it is this tool's own server, whoever started it.
    pub fn is_own_server(&self) -> bool {
        self.members.iter().filter_map(|member| member.version.as_deref()).any(|v| v.contains("quorumeter"))
    }
}

/// A member of the target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MemberInfo {
    /// Client address.
    pub address: String,
    /// The name behind which the address was found, with its port; absent when the target names the address itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Version, as the member tells it.
    pub version: Option<String>,
    /// Role at the precheck.
    pub role: Option<String>,
    /// Process id, for members started by this tool.
    pub pid: Option<u32>,
}

/// The machine of the load generator. What it does not tell is `null`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// Kernel name and release.
    pub kernel: String,
    /// CPU model name.
    pub cpu_model: Option<String>,
    /// Cores that the process may use.
    pub cores: u32,
    /// Frequency governor of the first core.
    pub governor: Option<String>,
    /// Memory of the machine, bytes.
    pub memory_bytes: Option<u64>,
    /// CPU limit of the control group, in cores.
    pub cgroup_cpus: Option<f64>,
    /// Memory limit of the control group, bytes.
    pub cgroup_memory_bytes: Option<u64>,
    /// The kernel's clock source.
    pub clock_source: Option<String>,
    /// Load average over 1, 5 and 15 minutes at the start.
    pub load_average: Option<[f64; 3]>,
    /// What this machine's generator can do, when this version of the tool has calibrated it; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<CalibrationNote>,
    /// Why the calibration that there is does not count, in words; absent when it does, and when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration_unused: Option<String>,
}
