//! `quorumeter run`

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quorumeter_experiments::run::POLL_PERIOD;
use quorumeter_experiments::{EnsembleKind, EnsembleSpec, RunOptions, run as measure};
use quorumeter_exporters::poller::{PERIOD_MAX, PERIOD_MIN};
use quorumeter_loadgen::plan::units::{Dur, Rate};
use quorumeter_loadgen::plan::{Override, Workload};
use quorumeter_results::report::Format;

use crate::audience::AudienceArgs;
use crate::ci::CiArgs;
use crate::diagnose;
use crate::measured::{MeasuredArgs, workload_text};
use crate::progress::Progress;
use crate::report::{FormatArgs, rendered};

/// The workload of a run that is given none.
const DEFAULT_WORKLOAD: (&str, &str) = ("workloads/default.toml", include_str!("../workloads/default.toml"));

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Workload file (TOML); a modest mix of reads and writes when left out.
    workload: Option<PathBuf>,
    #[command(flatten)]
    measured: MeasuredArgs,
    /// Offered rate of the workload's one stream of ops, as in 20k/s.
    #[arg(long)]
    rate: Option<String>,
    /// Length of the measured window, as in 30s.
    #[arg(long, value_name = "DURATION")]
    duration: Option<Dur>,
    /// Length of the warm-up, as in 5s.
    #[arg(long, value_name = "DURATION")]
    warmup: Option<Dur>,
    /// Override of a workload's key, as in app.depth=64 or phases.measure=1m; repeatable.
    #[arg(long, value_name = "STREAM.KEY=VALUE")]
    set: Vec<Override>,
    /// Folder for the run record; runs/RUN-ID when left out.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What must hold, as in 'app.read.response.p99 < 10ms'; repeatable.
    #[arg(long, value_name = "EXPR")]
    require: Vec<String>,
    /// Time between two polls of a member, from 20ms to 1s (1s when left out), or off. Polls cost members CPU time; without
    /// them the record does not tell what members did.
    #[arg(long, value_name = "DURATION|off", value_parser = poll_period)]
    poll: Option<PollPeriod>,
    #[command(flatten)]
    audience: AudienceArgs,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    ci: CiArgs,
}

/// Time between two polls; `None` without polls.
#[derive(Debug, Clone, Copy)]
struct PollPeriod(Option<Duration>);

fn poll_period(text: &str) -> Result<PollPeriod, String> {
    if text == "off" {
        return Ok(PollPeriod(None));
    }
    let period = Duration::from_nanos(text.parse::<Dur>().map_err(|error| error.to_string())?.0);
    if (PERIOD_MIN..=PERIOD_MAX).contains(&period) {
        Ok(PollPeriod(Some(period)))
    } else {
        Err("write a duration from 20ms to 1s, or off".into())
    }
}

pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err("write KEY=VALUE, as in tickTime=500".into()),
    }
}

/// This program, which members are started through.
pub(crate) fn own_program() -> Result<PathBuf, u8> {
    std::env::current_exe().map_err(|e| diagnose::fail(&e, crate::EXIT_ENVIRONMENT))
}

/// The command line as it is recorded: where this program lies on this machine is nobody's affair.
pub(crate) fn command_line() -> Vec<String> {
    let mut args: Vec<String> = std::env::args().collect();
    if let Some(program) = args.first_mut() {
        let name = Path::new(program).file_name();
        *program = name.map_or_else(|| "quorumeter".to_owned(), |name| name.to_string_lossy().into_owned());
    }
    args
}

pub(crate) fn run(args: Args) -> u8 {
    match try_run(args) {
        Ok(code) | Err(code) => code,
    }
}

fn try_run(args: Args) -> Result<u8, u8> {
    let (name, text) = workload_text(args.workload.as_ref(), DEFAULT_WORKLOAD)?;
    let overrides = overrides(&args, &name, &text)?;
    let workload =
        Workload::read(&text, &overrides, draw_seed).map_err(|error| diagnose::plan(&error, &name, &text))?;
    let target = args.measured.target(EnsembleSpec::new(EnsembleKind::Embedded, 1))?;
    let audience = args.audience.audience()?;
    let options = RunOptions {
        workload,
        target,
        out: args.out,
        requirements: args.require,
        command_line: command_line(),
        quorumeter: own_program()?,
        audience,
        poll_period: args.poll.map_or(Some(POLL_PERIOD), |PollPeriod(period)| period),
    };
    let mut progress = Progress::new();
    let finished = measure(options, &mut progress);
    progress.finish();
    let format = args.format.chosen();
    let finished = finished.map_err(|failure| {
        let code = diagnose::fail(&failure.error, failure.error.exit_code());
        if let Some(finished) = failure.finished {
            if format == Format::Json {
                diagnose::print(&rendered(&finished.analysis, format, args.ci.inconclusive()));
            }
            if let Err(error) = args.ci.write(&[&finished.analysis]) {
                diagnose::fail(&error, code);
            }
        }
        code
    })?;
    if !diagnose::print(&rendered(&finished.analysis, format, args.ci.inconclusive())) {
        return Err(crate::EXIT_ENVIRONMENT);
    }
    if format == Format::Text {
        diagnose::print(&format!("Record: {}\n", finished.dir.display()));
    }
    Ok(args.ci.finish(&[&finished.analysis]))
}

/// The overrides, those of the short flags first.
fn overrides(args: &Args, name: &str, text: &str) -> Result<Vec<Override>, u8> {
    let set = |path: String, value: String| Override { path, value };
    let mut overrides = Vec::new();
    if let Some(warmup) = args.warmup {
        overrides.push(set("phases.warmup".into(), warmup.to_string()));
    }
    if let Some(duration) = args.duration {
        overrides.push(set("phases.measure".into(), duration.to_string()));
    }
    if let Some(rate) = &args.rate {
        rate.parse::<Rate>().map_err(|e| diagnose::usage(&format!("--rate: {e}")))?;
        // Only a workload that can be read tells its streams.
        let workload = Workload::read(text, &args.set, || 0).map_err(|e| diagnose::plan(&e, name, text))?;
        let mut streams = workload.streams.iter().filter(|s| s.watch().is_none()).map(|s| &s.name);
        match (streams.next(), streams.next()) {
            (Some(stream), None) => overrides.push(set(format!("{stream}.rate"), rate.clone())),
            _ => {
                return Err(diagnose::usage(
                    "--rate is for workloads with one stream of ops; name the stream with --set STREAM.rate=RATE",
                ));
            }
        }
    }
    overrides.extend(args.set.iter().cloned());
    Ok(overrides)
}

/// A seed that differs from run to run. It is in the record, so that the run can be repeated.
pub(crate) fn draw_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    (now ^ u64::from(std::process::id()) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
}
