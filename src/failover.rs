//! `quorumeter failover`

use std::path::{Path, PathBuf};
use std::time::Duration;

use quorumeter_ensemble::faults::{FaultKind, Victim};
use quorumeter_experiments::failover::{Commands, Settings};
use quorumeter_experiments::{
    EnsembleKind, EnsembleSpec, FailoverOptions, Failure, Finished, failover as measure,
};
use quorumeter_loadgen::plan::file::PolicyName;
use quorumeter_loadgen::plan::units::Dur;
use quorumeter_loadgen::plan::{Override, Workload};
use quorumeter_record::Verdict;
use quorumeter_results::Analysis;
use quorumeter_results::report::Format;

use crate::audience::AudienceArgs;
use crate::ci::CiArgs;
use crate::measured::{MeasuredArgs, workload_text};
use crate::progress::Progress;
use crate::report::{FormatArgs, rendered};
use crate::run::{command_line, draw_seed, own_program};
use crate::{EXIT_ENVIRONMENT, diagnose};

/// The load beside the probes when none is given.
const DEFAULT_WORKLOAD: (&str, &str) =
    ("workloads/failover.toml", include_str!("../workloads/failover.toml"));

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Workload file (TOML) of the load beside the probes; a modest mix when left out.
    workload: Option<PathBuf>,
    #[command(flatten)]
    measured: MeasuredArgs,
    /// What is done: kill, stop, pause, restart, rolling-restart, restart-all, kill-repeat, reset, session-storm, or
    /// command (whatever --fault-command does).
    #[arg(long, value_name = "KIND", default_value_t = FaultKind::Kill, conflicts_with = "profile")]
    fault: FaultKind,
    /// To whom: leader (the usual one), follower, observer, any, minority, majority, all, or a member's number from 1.
    #[arg(long, value_name = "WHOM", conflicts_with = "profile")]
    victim: Option<Victim>,
    /// How often. The least and the greatest of 6 are a 96.9 % interval of the median.
    #[arg(long, value_name = "N")]
    repetitions: Option<u32>,
    /// Sets of faults, a record each: pr (kill and pause of the leader, 6 each, quick) or nightly (every fault, 30 each).
    #[arg(long, value_enum)]
    profile: Option<Profile>,
    /// Policy of the clients that connect to any member: ideal, java, kazoo or none; repeatable.
    #[arg(long, value_name = "POLICY", default_value = "ideal")]
    policy: Vec<PolicyName>,
    /// Shell command that does the fault to a --target. It is told QUORUMETER_VICTIM, QUORUMETER_ROLE,
    /// QUORUMETER_MEMBERS and QUORUMETER_FAULT.
    #[arg(long, value_name = "COMMAND", requires = "target")]
    fault_command: Option<String>,
    /// Shell command that undoes it, with the same environment. It may be called when there is nothing to undo.
    #[arg(long, value_name = "COMMAND", requires = "fault_command")]
    clear_command: Option<String>,
    /// How long either command may take.
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    command_timeout: Dur,
    /// Time between two ops of a probe.
    #[arg(long, value_name = "DURATION", default_value = "10ms")]
    probe_period: Dur,
    /// By when an op of a probe has to be answered; 10 times its 99th percentile before the fault, at least 100ms, when
    /// left out.
    #[arg(long, value_name = "DURATION")]
    slow_threshold: Option<Dur>,
    /// How long the load is watched before each fault.
    #[arg(long, value_name = "DURATION")]
    baseline: Option<Dur>,
    /// Pause between two repetitions.
    #[arg(long, value_name = "DURATION")]
    settle: Option<Dur>,
    /// How long recovery is waited for; what takes longer is told as more than that.
    #[arg(long, value_name = "DURATION")]
    limit: Option<Dur>,
    /// How long after the last client's recovery the fault is cleared.
    #[arg(long, value_name = "DURATION")]
    clear_after: Option<Dur>,
    /// Time between two polls of a member around a fault: the resolution of the phases. Polls cost members CPU time.
    #[arg(long, value_name = "DURATION", default_value = "20ms")]
    poll_period: Dur,
    /// Seed of everything that is drawn at random; drawn itself when left out.
    #[arg(long)]
    seed: Option<u64>,
    /// Override of a workload's key, as in app.rate=1k/s; repeatable.
    #[arg(long, value_name = "STREAM.KEY=VALUE")]
    set: Vec<Override>,
    /// Folder for the record (with --profile, for a folder per fault); runs/RUN-ID when left out.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What must hold, as in 'write_outage_any.median < 2s'; repeatable.
    #[arg(long, value_name = "EXPR")]
    require: Vec<String>,
    #[command(flatten)]
    audience: AudienceArgs,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    ci: CiArgs,
}

/// A set of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Profile {
    /// Kill and pause of the leader, six times each.
    Pr,
    /// Every fault, thirty times each.
    Nightly,
}

pub(crate) fn run(args: &Args) -> u8 {
    match try_run(args) {
        Ok(code) | Err(code) => code,
    }
}

fn try_run(args: &Args) -> Result<u8, u8> {
    let (name, text) = workload_text(args.workload.as_ref(), DEFAULT_WORKLOAD)?;
    let mut overrides = args.set.clone();
    overrides.extend(args.seed.map(|seed| Override { path: "seed".to_owned(), value: seed.to_string() }));
    let workload =
        Workload::read(&text, &overrides, draw_seed).map_err(|error| diagnose::plan(&error, &name, &text))?;
    let commands = args.fault_command.as_ref().map(|fault| Commands {
        fault: fault.clone(),
        clear: args.clear_command.clone(),
        timeout: Duration::from_nanos(args.command_timeout.0),
    });
    let target = args.measured.target(EnsembleSpec::new(EnsembleKind::ZooKeeper, 3))?;
    let audience = args.audience.audience()?;
    let faults = faults(args);
    let several = faults.len() > 1;
    let mut analyses = Vec::new();
    let mut failed = None;
    for (fault, victim) in faults {
        let settings = settings(args, fault, victim);
        let out =
            args.out.as_ref().map(|out| if several { out.join(folder(fault, victim)) } else { out.clone() });
        let options = FailoverOptions {
            settings,
            workload: workload.clone(),
            target: target.clone(),
            // Of a profile's faults, some are the load's own.
            commands: commands.clone().filter(|_| args.profile.is_none() || !fault.is_clients()),
            out,
            requirements: args.require.clone(),
            command_line: command_line(),
            quorumeter: own_program()?,
            audience: audience.clone(),
        };
        // What could not be measured keeps no other fault of a profile from it.
        let (analysis, code) = one(options, args);
        analyses.extend(analysis);
        failed = failed.or(code);
    }
    let code = args.ci.finish(&analyses.iter().collect::<Vec<_>>());
    // Safety outranks what could not be done.
    Ok(failed.filter(|_| code != Verdict::Unsafe.exit_code()).unwrap_or(code))
}

/// Measures one fault, and reports on it. Returns what there is to be judged, and an exit code where something went wrong.
fn one(options: FailoverOptions, args: &Args) -> (Option<Analysis>, Option<u8>) {
    let mut progress = Progress::new();
    let finished = measure(options, &mut progress);
    progress.finish();
    let format = args.format.chosen();
    let show = |analysis: &Analysis| diagnose::print(&rendered(analysis, format, args.ci.inconclusive()));
    match finished {
        Ok(Finished { dir, analysis }) => {
            let is_shown = show(&analysis);
            if is_shown && format == Format::Text {
                diagnose::print(&format!("Record: {}\n", dir.display()));
            }
            (Some(analysis), (!is_shown).then_some(EXIT_ENVIRONMENT))
        }
        Err(Failure { error, finished }) => {
            let code = diagnose::fail(&error, error.exit_code());
            let analysis = finished.map(|finished| finished.analysis);
            analysis.iter().filter(|_| format == Format::Json).for_each(|analysis| {
                show(analysis);
            });
            (analysis, Some(code))
        }
    }
}

/// The faults of a profile, or the one that was asked for.
fn faults(args: &Args) -> Vec<(FaultKind, Victim)> {
    match args.profile {
        None => vec![(args.fault, args.victim.unwrap_or(args.fault.default_victim()))],
        Some(Profile::Pr) => vec![(FaultKind::Kill, Victim::Leader), (FaultKind::Pause, Victim::Leader)],
        Some(Profile::Nightly) => vec![
            (FaultKind::Kill, Victim::Leader),
            (FaultKind::Kill, Victim::Follower),
            (FaultKind::Pause, Victim::Leader),
            (FaultKind::Pause, Victim::Follower),
            (FaultKind::Stop, Victim::Leader),
            (FaultKind::Restart, Victim::Leader),
            (FaultKind::RollingRestart, Victim::All),
            (FaultKind::RestartAll, Victim::All),
            (FaultKind::KillRepeat, Victim::Leader),
            (FaultKind::Reset, Victim::Leader),
            (FaultKind::SessionStorm, Victim::All),
        ],
    }
}

fn folder(fault: FaultKind, victim: Victim) -> PathBuf {
    Path::new(&format!("{fault}-{victim}")).to_owned()
}

/// How the measurement of one fault goes: as the flags say, else as the profile does.
fn settings(args: &Args, fault: FaultKind, victim: Victim) -> Settings {
    let mut settings = Settings::new(fault, victim);
    match args.profile {
        // The baseline is the pause, too.
        Some(Profile::Pr) => {
            settings.baseline = Duration::from_secs(5);
            settings.settle = Duration::ZERO;
        }
        Some(Profile::Nightly) => settings.repetitions = 30,
        None => {}
    }
    let given = |dur: Option<Dur>, default: Duration| dur.map_or(default, |dur| Duration::from_nanos(dur.0));
    settings.repetitions = args.repetitions.unwrap_or(settings.repetitions);
    settings.policies = args.policy.iter().map(|policy| policy.0).collect();
    settings.probe_period = Duration::from_nanos(args.probe_period.0);
    settings.poll_period = Duration::from_nanos(args.poll_period.0);
    settings.slow_threshold = args.slow_threshold.map(|dur| Duration::from_nanos(dur.0));
    settings.baseline = given(args.baseline, settings.baseline);
    settings.settle = given(args.settle, settings.settle);
    settings.limit = given(args.limit, settings.limit);
    settings.clear_after = given(args.clear_after, settings.clear_after);
    settings
}
