//! From a workload and a fault to what is run: the probes, as streams beside those of the workload, and the plan.

use std::time::Duration;

use quorumeter_ensemble::faults::{FaultKind, Victim};
use quorumeter_loadgen::keys::Keys;
use quorumeter_loadgen::plan::file::{
    Cycle, LifeTable, Members, PolicyName, StreamTable, WatchKind, WatchOn, WatchTable,
};
use quorumeter_loadgen::plan::units::{Dur, Rate};
use quorumeter_loadgen::plan::{PlanError, Workload, WorkloadFile};
use quorumeter_loadgen::schedule::{Arrival, Profile};
use quorumeter_record::{FailoverPlan, ProbeInfo, ProbeRole};
use quorumeter_targets::policy::Policy;

/// Sessions of each floating policy's stream: with as many first members as there are.
const FLOATING_SESSIONS: u32 = 3;
/// Sessions that watch.
const WATCHING_SESSIONS: u32 = 1;
/// Sessions that fall silent, at most at once.
const SILENT_SESSIONS: u32 = 16;
/// Sessions that fall silent, per second.
const SILENCES_PER_S: f64 = 0.2;
/// The session timeout that silent sessions ask for: servers give them the shortest that they allow.
const SILENT_TIMEOUT: Dur = Dur(1_000_000_000);
/// Length of the recorder's interval, nanoseconds: how often the control sees what the probes saw.
const INTERVAL: Dur = Dur(500_000_000);
/// Ops of a probe that may be in flight: those of two minutes and a half at the shortest period.
const PROBE_DEPTH: u32 = 16_384;
/// What a repetition takes beyond its planned waits, at most: settling, proofs, an audit.
const SPARE: Duration = Duration::from_secs(120);
/// What no stream of a workload may be called.
const PREFIX: &str = "probe-";

/// How a failover measurement goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What is done.
    pub fault: FaultKind,
    /// To whom.
    pub victim: Victim,
    /// How often.
    pub repetitions: u32,
    /// Policies of the floating clients.
    pub policies: Vec<Policy>,
    /// Time between two ops of a probe.
    pub probe_period: Duration,
    /// By when an op of a probe has to be answered; from the baseline when not given.
    pub slow_threshold: Option<Duration>,
    /// Length of the baseline.
    pub baseline: Duration,
    /// Time between two repetitions, beside the baseline.
    pub settle: Duration,
    /// How long recovery is waited for.
    pub limit: Duration,
    /// Time between the last client's recovery and the clearing of the fault.
    pub clear_after: Duration,
    /// Time between two polls of a member around the fault.
    pub poll_period: Duration,
}

impl Settings {
    /// The usual ones for a fault: six repetitions, whose least and greatest values are then the median's interval.
    pub fn new(fault: FaultKind, victim: Victim) -> Settings {
        Settings {
            fault,
            victim,
            repetitions: 6,
            policies: vec![Policy::Ideal],
            probe_period: Duration::from_millis(10),
            slow_threshold: None,
            baseline: Duration::from_secs(10),
            settle: Duration::from_secs(10),
            limit: Duration::from_secs(60),
            clear_after: Duration::from_secs(3),
            poll_period: Duration::from_millis(20),
        }
    }
}

/// Why a failover measurement cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The workload cannot run beside the probes.
    #[error("{0}")]
    Workload(String),
    /// With the probes it is none.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A policy has clients already.
    #[error("the client policy {0} is given twice")]
    PolicyTwice(Policy),
    /// A setting is out of its range.
    #[error("{what} is {value}; it goes from {range}")]
    Range {
        /// The setting.
        what: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        range: &'static str,
    },
}

/// A checked workload with its probes, for an ensemble of so many members, and the plan.
pub(crate) fn plan(
    settings: &Settings,
    workload: &WorkloadFile,
    members: u32,
) -> Result<(Workload, FailoverPlan), SettingsError> {
    check_ranges(settings)?;
    check_workload(workload)?;
    let mut file = workload.clone();
    let (streams, probes) = probes(settings, members);
    let nodes = probe_nodes(settings, members);
    for stream in &mut file.stream {
        // A checked workload has them where they mean something.
        stream.nodes = stream.nodes.map(|[first, count]| [nodes + first, count]);
    }
    file.stream.extend(streams);
    file.dataset.nodes = file.dataset.nodes.saturating_add(nodes);
    file.engine.interval = INTERVAL;
    let longest = settings.baseline + 2 * settings.limit + settings.settle + SPARE;
    file.phases.measure = dur(longest * settings.repetitions);
    let workload = Workload::from_file(file)?;
    let ns = |duration: Duration| duration.as_nanos() as u64;
    let plan = FailoverPlan {
        fault: settings.fault.to_string(),
        victim: settings.victim.to_string(),
        repetitions: settings.repetitions,
        probe_period_ns: ns(settings.probe_period),
        slow_threshold_ns: settings.slow_threshold.map(ns),
        baseline_ns: ns(settings.baseline),
        settle_ns: ns(settings.settle),
        limit_ns: ns(settings.limit),
        clear_after_ns: ns(settings.clear_after),
        poll_period_ns: ns(settings.poll_period),
        probes,
    };
    Ok((workload, plan))
}

fn dur(duration: Duration) -> Dur {
    Dur(duration.as_nanos() as u64)
}

fn check_ranges(settings: &Settings) -> Result<(), SettingsError> {
    let (ms, s) = (Duration::from_millis, Duration::from_secs);
    let error = |what, value: String, range| Err(SettingsError::Range { what, value, range });
    if !(1..=1000).contains(&settings.repetitions) {
        return error("the number of repetitions", settings.repetitions.to_string(), "1 to 1000");
    }
    let told = |duration: Duration| dur(duration).to_string();
    for (what, value, low, high, range) in [
        ("the probe period", settings.probe_period, ms(5), s(1), "5ms to 1s"),
        ("the poll period", settings.poll_period, ms(20), s(1), "20ms to 1s"),
        ("the baseline", settings.baseline, s(2), s(600), "2s to 10m"),
        ("the settling time", settings.settle, s(0), s(600), "0s to 10m"),
        ("the limit", settings.limit, s(5), s(120), "5s to 2m"),
        ("the time before the fault is cleared", settings.clear_after, s(0), s(60), "0s to 1m"),
    ] {
        if value < low || value > high {
            return error(what, told(value), range);
        }
    }
    let twice = |(at, policy): &(usize, &Policy)| settings.policies[..*at].contains(policy);
    if let Some((_, policy)) = settings.policies.iter().enumerate().find(twice) {
        return Err(SettingsError::PolicyTwice(*policy));
    }
    if let Some(threshold) = settings.slow_threshold.filter(|t| *t < settings.probe_period || *t > s(60)) {
        return error("the slow threshold", told(threshold), "the probe period to 1m");
    }
    Ok(())
}

fn check_workload(workload: &WorkloadFile) -> Result<(), SettingsError> {
    let refuse = |text: String| Err(SettingsError::Workload(text));
    for stream in &workload.stream {
        let name = &stream.name;
        if name.starts_with(PREFIX) {
            return refuse(format!(
                "stream {name:?}: names that begin with {PREFIX:?} are for the probes; rename it"
            ));
        }
        if stream.watch.is_some() {
            return refuse(format!(
                "stream {name:?} watches: a failover measurement has watchers of its own; leave the stream out"
            ));
        }
    }
    if workload.client.read_only {
        return refuse(
            "client.read_only is set: probes write, and a read-only member takes no writes".to_owned(),
        );
    }
    Ok(())
}

/// How many nodes of the dataset, from its first on, write probes write to.
pub(crate) fn probe_nodes(settings: &Settings, members: u32) -> u32 {
    members + FLOATING_SESSIONS * settings.policies.len() as u32
}

/// The probes' streams, and what they are for.
fn probes(settings: &Settings, members: u32) -> (Vec<StreamTable>, Vec<ProbeInfo>) {
    let mut streams = Vec::new();
    let mut infos = Vec::new();
    let mut add = |stream: StreamTable, role, member: Option<u32>, policy: Policy| {
        infos.push(ProbeInfo { stream: stream.name.clone(), role, member, policy: policy.to_string() });
        streams.push(stream);
    };
    for (role, op) in [(ProbeRole::Write, "write"), (ProbeRole::Read, "read")] {
        for member in 0..members {
            let name = format!("{PREFIX}{op}-{}", member + 1);
            let mut stream = probe(settings, name, op, 1, member, Policy::Ideal);
            stream.members = Some(Members::Numbers(vec![member + 1]));
            add(stream, role, Some(member), Policy::Ideal);
        }
    }
    for (policy, first) in settings.policies.iter().zip((members..).step_by(FLOATING_SESSIONS as usize)) {
        let name = format!("{PREFIX}{policy}");
        let stream = probe(settings, name, "write", FLOATING_SESSIONS, first, *policy);
        add(stream, ProbeRole::Write, None, *policy);
    }
    let mut watch = table(format!("{PREFIX}watch"), WATCHING_SESSIONS, Policy::Ideal);
    watch.watch = Some(WatchTable {
        kind: WatchKind::Persistent,
        on: WatchOn::Data,
        watchers: WATCHING_SESSIONS,
        paths: Some(members),
    });
    add(watch, ProbeRole::Watch, None, Policy::Ideal);
    let mut silent = table(format!("{PREFIX}ephemeral"), SILENT_SESSIONS, Policy::Ideal);
    silent.life = Some(LifeTable { cycle: Cycle::Expire, hold: None });
    silent.rate = Some(rate(SILENCES_PER_S));
    silent.session_timeout = Some(SILENT_TIMEOUT);
    add(silent, ProbeRole::Ephemeral, None, Policy::Ideal);
    (streams, infos)
}

/// A stream of probes whose sessions each have a node of their own, from `first` on.
fn probe(
    settings: &Settings,
    name: String,
    op: &str,
    sessions: u32,
    first: u32,
    policy: Policy,
) -> StreamTable {
    let mut stream = table(name, sessions, policy);
    stream.depth = PROBE_DEPTH;
    stream.rate = Some(rate(f64::from(sessions) / settings.probe_period.as_secs_f64()));
    stream.arrival = Some(Arrival::Constant);
    stream.backlog = Some(dur(2 * settings.limit + SPARE));
    stream.mix.insert(op.to_owned(), 1.0);
    stream.keys = Some(Keys::Own);
    stream.nodes = Some([first, sessions]);
    stream
}

fn rate(per_s: f64) -> Profile {
    Profile::Constant(Rate(per_s))
}

fn table(name: String, sessions: u32, policy: Policy) -> StreamTable {
    StreamTable { history: true, policy: Some(PolicyName(policy)), ..StreamTable::named(name, sessions) }
}
