//! How long clients are without the service when a member dies, hangs or goes: one run with probes beside its load, and
//! faults by the repetition.
//!
//! | module | what it knows |
//! |---|---|
//! | [`plan`] | the probes, as streams of the workload, and the settings |
//! | `conduct` | what happens when: baseline, fault, recovery, clearing, rejoin |
//! | `audit` | what writes left behind |

mod audit;
pub(crate) mod conduct;
pub mod plan;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quorumeter_ensemble::faults::{FaultKind, Means};
use quorumeter_ensemble::launch::Launched;
use quorumeter_loadgen::plan::Workload;
use quorumeter_record::FailoverPlan;
use quorumeter_targets::TlsOptions;
use quorumeter_targets::zookeeper::driver::resolve;
use tokio::runtime::Builder;

pub use self::plan::{Settings, SettingsError};

use crate::ensembles::EnsembleKind;
use crate::live::Audience;
use crate::observe::Observer;
use crate::run::{Failure, Finished, POLL_PERIOD, RunError, RunOptions, TargetSpec, measure};

/// The servers' tick where nobody tells it: upstream's default.
const DEFAULT_TICK: Duration = Duration::from_secs(2);

/// A failover measurement to do.
#[derive(Debug, Clone)]
pub struct FailoverOptions {
    /// What is done, to whom, how often.
    pub settings: Settings,
    /// The load beside the probes.
    pub workload: Workload,
    /// What to measure.
    pub target: TargetSpec,
    /// How faults are done to an ensemble elsewhere.
    pub commands: Option<Commands>,
    /// The record's folder; `runs/<run id>` when not given.
    pub out: Option<PathBuf>,
    /// Requirements beyond the workload's own, as written.
    pub requirements: Vec<String>,
    /// The command line, for the record, which leaves secrets out.
    pub command_line: Vec<String>,
    /// This program, which members are started through.
    pub quorumeter: PathBuf,
    /// Who is told of it while it goes.
    pub audience: Audience,
}

/// Commands of the user that do a fault, and undo it.
#[derive(Clone, PartialEq, Eq)]
pub struct Commands {
    /// What breaks a member.
    pub fault: String,
    /// What undoes that; `None` where nothing is to be undone.
    pub clear: Option<String>,
    /// How long each may take.
    pub timeout: Duration,
}

impl std::fmt::Debug for Commands {
    /// Without the commands, in which secrets may stand.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Commands(…)")
    }
}

/// What a run needs to know of its faults.
pub(crate) struct Faults {
    pub(crate) settings: Settings,
    pub(crate) plan: FailoverPlan,
    commands: Option<Commands>,
}

impl Faults {
    /// What they are done with.
    pub(crate) fn means(&self, launched: Option<&Arc<Launched>>, resets: conduct::ClientResets) -> Means {
        match (&self.commands, launched) {
            (Some(Commands { fault, clear, timeout }), _) => {
                Means::Commands { fault: fault.clone(), clear: clear.clone(), timeout: *timeout }
            }
            (None, Some(launched)) if !self.settings.fault.is_clients() => {
                Means::Launched(Arc::clone(launched))
            }
            // Without means of its own it is a fault of the load's connections: others were refused before.
            _ => Means::Client(Box::new(move |member| resets.reset(member))),
        }
    }
}

/// The servers' tick, as they are started with it.
pub(crate) fn tick(launched: Option<&Launched>) -> Duration {
    let told = launched.and_then(|launched| launched.settings.get("tickTime")?.parse().ok());
    told.map_or(DEFAULT_TICK, Duration::from_millis)
}

/// Does a failover measurement, to its report. The members of a launched ensemble are gone when this returns.
///
/// # Errors
///
/// As of [`run`](crate::run()), and settings that make no sense.
pub fn failover(options: FailoverOptions, observer: &mut dyn Observer) -> Result<Finished, Failure> {
    let fault = options.settings.fault;
    match &options.target {
        TargetSpec::Url(_) if options.commands.is_none() && !fault.is_clients() => {
            return Err(RunError::NoMeans.into());
        }
        TargetSpec::Ensemble { spec, .. }
            if spec.kind != EnsembleKind::ZooKeeper && loses_memory(fault) && options.commands.is_none() =>
        {
            return Err(RunError::NothingKept { kind: spec.kind.to_string() }.into());
        }
        _ => {}
    }
    if let Some(refusal) = refusal(fault, options.commands.as_ref()) {
        return Err(RunError::Means(refusal).into());
    }
    let members = members(&options.target)?;
    let (workload, plan) = plan::plan(&options.settings, &options.workload.file, members)?;
    let faults = Faults { settings: options.settings, plan, commands: options.commands };
    let run = RunOptions {
        workload,
        target: options.target,
        out: options.out,
        requirements: options.requirements,
        command_line: options.command_line,
        quorumeter: options.quorumeter,
        audience: options.audience,
        poll_period: Some(POLL_PERIOD),
    };
    measure(run, Some(faults), observer)
}

/// Why the commands that were given, or none, are not the means of a fault, with a next step.
fn refusal(fault: FaultKind, commands: Option<&Commands>) -> Option<String> {
    match commands {
        None if fault == FaultKind::Command => {
            Some("--fault command does what --fault-command says, and none was given".to_owned())
        }
        Some(_) if fault.is_clients() => Some(format!(
            "--fault {fault} is done to the load's own connections, not by commands: leave --fault-command out"
        )),
        Some(Commands { clear: None, .. }) if fault.needs_clear() => Some(format!(
            "--fault {fault} has to be undone: give --clear-command, or --fault command for what ends by itself"
        )),
        _ => None,
    }
}

/// Whether a member that keeps everything in memory has lost it after such a fault.
fn loses_memory(fault: FaultKind) -> bool {
    !matches!(fault, FaultKind::Pause | FaultKind::Reset | FaultKind::SessionStorm)
}

/// How many members the target has: what probes are pinned to.
fn members(target: &TargetSpec) -> Result<u32, RunError> {
    match target {
        TargetSpec::Ensemble { spec, .. } => Ok(spec.members + spec.observers),
        TargetSpec::Url(url) => {
            let tls = url.tls.as_ref().map(TlsOptions::load).transpose()?;
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let found = runtime.block_on(resolve(&url.members, tls.as_ref()));
            let members = found.map_err(RunError::Resolve)?;
            let addresses: Vec<SocketAddr> = members.iter().map(|member| member.address).collect();
            Ok(addresses.len() as u32)
        }
    }
}
