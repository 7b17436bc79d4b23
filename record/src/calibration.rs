//! `calibration.json`: what a machine's load generator can do. It belongs to a machine and not to a run; a run's manifest
//! holds the few numbers of it that its report needs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Quantiles, Tool, WallStart};

/// What a load generator can do on one machine, measured against the null server there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Calibration {
    /// [`Calibration::SCHEMA`].
    pub schema: String,
    /// What measured it.
    pub tool: Tool,
    /// When it began.
    pub calibrated: WallStart,
    /// The machine that it holds for.
    pub machine: MachineIdentity,
    /// Load average over 1, 5 and 15 minutes before it; `null` where the kernel does not tell.
    pub load_average: Option<[f64; 3]>,
    /// Length of the measured window of each step, nanoseconds.
    pub step_ns: u64,
    /// Worker threads of the generator.
    pub workers: u32,
    /// What an op costs the generator, by the number of ops in flight on one connection.
    pub depths: Vec<DepthCost>,
    /// How well each timer keeps the schedule.
    pub timers: Vec<TimerLag>,
    /// Every attempt of the search for the highest rate, in order.
    pub search: Vec<RateTrial>,
    /// Highest offered rate that held, ops per second; `null` when none did.
    pub highest_rate: Option<f64>,
    /// Whether higher rates were not tried, so that the highest one is only a lower bound.
    pub highest_rate_is_lower_bound: bool,
    /// What limits, and what would help, in words.
    pub findings: Vec<String>,
    /// Whether every step was done; a calibration that was ended early is printed and not kept.
    pub complete: bool,
}

impl Calibration {
    /// Name and version of this file's format.
    pub const SCHEMA: &str = "quorumeter.calibration/1";
}

/// What tells one machine from another, as far as a calibration depends on it. The same after a reboot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MachineIdentity {
    /// SHA-1 of the host name, hexadecimal.
    pub host: String,
    /// Kernel name and release.
    pub kernel: String,
    /// CPU model name; `null` where the kernel does not tell.
    pub cpu_model: Option<String>,
    /// Cores that the process may use.
    pub cores: u32,
    /// CPU limit of the control group, in cores; `null` without one.
    pub cgroup_cpus: Option<f64>,
}

/// What an op costs the generator at one depth, in a closed loop with one session per worker. Of the rounds, the one
/// with the least CPU per op: the least disturbed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DepthCost {
    /// Ops in flight on each connection.
    pub depth: u32,
    /// CPU time of the workers per op, nanoseconds; `null` when no op ended.
    pub cpu_per_op_ns: Option<u64>,
    /// Ok replies per second.
    pub rate: f64,
    /// Largest share of a core that a worker used (0 to 1).
    pub busiest_worker: f64,
}

/// How well a timer keeps the schedule. Of the rounds, the one with the least lag at p99.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TimerLag {
    /// `timerfd`, `spin` or `tokio`.
    pub timer: String,
    /// Offered rate, ops per second.
    pub offered_rate: f64,
    /// released − intended; `null` when it was not measured.
    pub schedule_lag_ns: Option<Quantiles>,
    /// Largest share of a core that a worker used (0 to 1); `null` when it was not measured.
    pub busiest_worker: Option<f64>,
    /// Why it was not measured, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

/// One attempt at an offered rate. It holds when nothing limits it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RateTrial {
    /// Offered rate, ops per second.
    pub offered_rate: f64,
    /// Ok replies per second.
    pub rate: f64,
    /// released − intended.
    pub schedule_lag_ns: Quantiles,
    /// Largest share of a core that a worker used (0 to 1).
    pub busiest_worker: f64,
    /// CPU time of the workers per op, nanoseconds; `null` when no op ended.
    pub cpu_per_op_ns: Option<u64>,
    /// What kept the rate from holding.
    pub limits: Vec<RateLimit>,
}

/// What keeps a rate from holding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RateLimit {
    /// A worker used more than 90 % of its core.
    Worker,
    /// The schedule lag's p99 was not below 1 ms.
    Lag,
    /// Less than 98 % of what was offered was done in time.
    Throughput,
    /// Too few ops for a p99.
    Samples,
}

/// What a run's report needs to know of the calibration of its machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CalibrationNote {
    /// When it was made: UTC, RFC 3339.
    pub calibrated: String,
    /// Worker threads of the generator.
    pub workers: u32,
    /// Highest offered rate that held, ops per second; `null` when none did.
    pub highest_rate: Option<f64>,
    /// Whether the highest rate is only a lower bound.
    pub highest_rate_is_lower_bound: bool,
}

impl From<&Calibration> for CalibrationNote {
    fn from(calibration: &Calibration) -> CalibrationNote {
        CalibrationNote {
            calibrated: calibration.calibrated.rfc3339.clone(),
            workers: calibration.workers,
            highest_rate: calibration.highest_rate,
            highest_rate_is_lower_bound: calibration.highest_rate_is_lower_bound,
        }
    }
}
