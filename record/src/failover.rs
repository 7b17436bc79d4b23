//! A failover measurement: its plan, which stands in the manifest, and what came of it, which stands in the summary.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a failover measurement was to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FailoverPlan {
    /// The fault: `kill`, `stop`, `pause`, `restart`, `rolling-restart`, `restart-all`, `kill-repeat`, `reset`,
    /// `session-storm` or `command` (the user's own).
    pub fault: String,
    /// Whom it is done to: `leader`, `follower`, `observer`, `any`, `minority`, `majority`, `all`, or a member's
    /// number.
    pub victim: String,
    /// Repetitions asked for.
    pub repetitions: u32,
    /// Time between two ops of a probe, nanoseconds.
    pub probe_period_ns: u64,
    /// How long after its intended time an op of a probe may be answered before its slot counts as failed, nanoseconds;
    /// `null` when that follows from each repetition's baseline (10 × its p99, at least 100 ms).
    pub slow_threshold_ns: Option<u64>,
    /// Length of the window before each fault that is its baseline, nanoseconds.
    pub baseline_ns: u64,
    /// Time between a repetition's end and the next one's baseline, nanoseconds.
    pub settle_ns: u64,
    /// How long after the fault recovery is waited for, nanoseconds, and again after it was cleared.
    pub limit_ns: u64,
    /// Time between the last client's recovery and the clearing of the fault, nanoseconds.
    pub clear_after_ns: u64,
    /// Time between two polls of a member around a fault, nanoseconds: the resolution of what they tell.
    pub poll_period_ns: u64,
    /// The probes.
    pub probes: Vec<ProbeInfo>,
}

/// A stream of probes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeInfo {
    /// Its name among the manifest's `streams`.
    pub stream: String,
    /// What its sessions do.
    pub role: ProbeRole,
    /// The one member that its sessions connect to, as its position in `target.members`, from 0; `null` when they
    /// connect to any.
    pub member: Option<u32>,
    /// Client policy of its sessions.
    pub policy: String,
}

/// What a probe does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProbeRole {
    /// Writes to a node that nobody else writes to.
    Write,
    /// Reads the node that the write probe of the same member writes to.
    Read,
    /// Watches the nodes of the write probes.
    Watch,
    /// Makes sessions that fall silent, whose ephemeral nodes go.
    Ephemeral,
}

/// A step of a fault, at the time of the event that carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultStage {
    /// Nothing has been done yet: the repetition begins, members are all synced, and the baseline is measured from here.
    Baseline,
    /// The victim is known, and all that the fault needs is there.
    Prepared,
    /// The fault's primitive is called now (t0).
    Asked,
    /// It is in effect (t0').
    Active,
    /// Whoever was to be hit was hit: seen right after the fault.
    VictimConfirmed,
    /// Somebody else was hit: the sample is invalid.
    WrongVictim,
    /// The last surviving client had recovered by now, as far as the control saw.
    Recovered,
    /// The clearing of the fault begins now (t8).
    ClearAsked,
    /// The fault is gone.
    Cleared,
    /// Every member serves and has caught up, as far as the control saw.
    Rejoined,
    /// A step was not done, was not proven or took longer than its limit: the detail says which.
    Failed,
    /// The fault cannot be done here: the detail says why.
    Skipped,
    /// The repetition is over.
    Over,
}

/// What came of a failover measurement. The metrics stand beside these fields by name: durations, in nanoseconds, as
/// `<metric>_ns` and counts by their own name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FailoverSummary {
    /// The fault, as in the plan.
    pub fault: String,
    /// Whom it was done to, as in the plan.
    pub victim: String,
    /// Repetitions asked for.
    pub planned: u32,
    /// Repetitions that count.
    pub valid: u32,
    /// Those that do not.
    pub invalid: Vec<InvalidRepetition>,
    /// Time between two ops of a probe, nanoseconds: what no time here is finer than.
    pub probe_period_ns: u64,
    /// Time between two polls of a member, nanoseconds: the resolution of `detection`, `election` and `sync`.
    pub poll_period_ns: u64,
    /// The upper end of the exact one-sided 95 % interval of the share of failovers with a lost write, expired session or
    /// silent replacement, given that none was seen in so many; `null` when one was, and without a valid repetition.
    pub unseen_rate_upper: Option<f64>,
    /// Durations, by name with `_ns`.
    #[serde(flatten)]
    pub durations: BTreeMap<String, Durations>,
    /// Counts over the repetitions, by name.
    pub counts: BTreeMap<String, Counts>,
    /// What clients of each policy saw.
    pub policies: BTreeMap<String, PolicySummary>,
    /// Every repetition, in order.
    pub repetitions: Vec<RepetitionSummary>,
}

/// A repetition that does not count, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InvalidRepetition {
    /// Its number, from 1.
    pub repetition: u32,
    /// Why, in words.
    pub reasons: Vec<String>,
}

/// A duration over the valid repetitions that have it, nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Durations {
    /// How many there are, censored ones included.
    pub n: u32,
    /// Each one, in the order of the repetitions; of a censored one the limit that it exceeds.
    pub values: Vec<u64>,
    /// The least; `null` without values, and where it is a censored one.
    pub min: Option<u64>,
    /// The median (of an even number the mean of the middle two), censored ones counting as infinite; `null` without
    /// values, and where it falls among those.
    pub median: Option<u64>,
    /// Exact, distribution-free interval of the median of at least 95 %, from order statistics; `null` where so few values
    /// give none. Its upper end is `null` where it is a censored value.
    pub median_ci: Option<(u64, Option<u64>)>,
    /// Its actual coverage, from 0 to 1.
    pub median_ci_coverage: Option<f64>,
    /// The greatest; `null` without values, and where it is censored.
    pub max: Option<u64>,
    /// How many did not end within the limit, or by the end of their repetition.
    pub censored: u32,
    /// Positions of these in `values`, from 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub censored_at: Vec<u32>,
}

/// A count over the valid repetitions that have it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Of each repetition, in their order.
    pub values: Vec<u64>,
    /// Their sum.
    pub total: u64,
}

/// What clients of one policy saw. Of several clients each repetition has the longest time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PolicySummary {
    /// Sessions.
    pub clients: u32,
    /// Durations, by name with `_ns`.
    #[serde(flatten)]
    pub durations: BTreeMap<String, Durations>,
    /// Counts over the repetitions, by name.
    pub counts: BTreeMap<String, Counts>,
}

/// One repetition. Times are nanoseconds since the run's start; `null` where the record does not have them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RepetitionSummary {
    /// Its number, from 1.
    pub repetition: u32,
    /// Whether it counts.
    pub valid: bool,
    /// Client addresses of the members that were hit.
    pub victims: Vec<String>,
    /// Why it does not count, and what else is to be known of it, in words.
    pub notes: Vec<String>,
    /// By when an op of a probe had to be answered after its intended time, nanoseconds.
    pub slow_threshold_ns: u64,
    /// The instants, by name: `t0`, `t0_proven`, `t1` … `t10`, and
    /// `t6_answered`.
    pub instants_ns: BTreeMap<String, u64>,
    /// What was measured, by the name of the metric: durations end in `_ns`. A time that did not end within the limit is
    /// in `censored`.
    pub values: BTreeMap<String, u64>,
    /// Names of the values that are lower bounds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub censored: Vec<String>,
}
