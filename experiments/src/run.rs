//! One run: connect → precheck → prefill → warm-up → measure → drain → clean up.
//!
//! Whatever happens, what was created is removed as far as the target lets it, and the record is complete as far
//! as the disk does. The judgement is made from the record alone, after everything else.

mod control;
mod error;
mod load;
mod prepare;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quorumeter_exporters::bench::BenchInfo;
use quorumeter_exporters::otlp::{self, TraceOf};
use quorumeter_loadgen::plan::Workload;
use quorumeter_record::{Manifest, PhasePlan, RecordReader, RecordWriter};
use quorumeter_results::{Analysis, Gate, GateError, analyse};
use quorumeter_targets::socket::raise_open_files_limit;
use quorumeter_targets::{Clock, TargetUrl};
use tokio::runtime::{Builder, LocalOptions};

pub(crate) use self::control::Probes;
use self::control::{Brake, Control};
pub use self::error::RunError;
use crate::calibration;
use crate::ensembles::{self, EnsembleSpec};
use crate::environment;
use crate::failover::Faults;
use crate::live::{self, Audience};
use crate::observe::Observer;
use crate::precheck;
use crate::secrets;
use crate::signals::Signals;

/// Where, in the record's folder, the members of a launched ensemble have theirs.
const ENSEMBLE_DIR: &str = "ensemble";

/// What to measure.
#[derive(Debug, Clone)]
pub enum TargetSpec {
    /// An ensemble elsewhere.
    Url(TargetUrl),
    /// An ensemble that is started for the run.
    Ensemble {
        /// What to start.
        spec: EnsembleSpec,
        /// Settings of its servers.
        settings: BTreeMap<String, String>,
    },
}

/// A run to do.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The workload.
    pub workload: Workload,
    /// What to measure.
    pub target: TargetSpec,
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
    /// Time between two polls of a member, from [`PERIOD_MIN`](quorumeter_exporters::poller::PERIOD_MIN) to
    /// [`PERIOD_MAX`](quorumeter_exporters::poller::PERIOD_MAX); `None` without polls, when the record has no samples of
    /// members.
    pub poll_period: Option<Duration>,
}

/// Time between two polls of a member, unless the user says.
pub const POLL_PERIOD: Duration = Duration::from_secs(1);

/// A run that was done.
#[derive(Debug)]
pub struct Finished {
    /// The record's folder.
    pub dir: PathBuf,
    /// What was computed from it.
    pub analysis: Analysis,
}

/// A run that was not done, or not to its end.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub error: RunError,
    /// What was computed from the record, where the run got as far as to have one.
    pub finished: Option<Box<Finished>>,
}

impl<E: Into<RunError>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure { error: error.into(), finished: None }
    }
}

/// Does a run, to its report. The members of a launched ensemble are gone when this returns.
///
/// # Errors
///
/// What kept the run from its end. The record then has what was measured until then, and a summary as far as it can be
/// read and written.
pub fn run(options: RunOptions, observer: &mut dyn Observer) -> Result<Finished, Failure> {
    measure(options, None, observer)
}

/// Does a run, with faults beside its load if there are to be some.
pub(crate) fn measure(
    options: RunOptions,
    faults: Option<Faults>,
    observer: &mut dyn Observer,
) -> Result<Finished, Failure> {
    let streams = precheck::streams(&options.workload);
    let file = &options.workload.file;
    let gates = parse_gates(&file.gates, &options.requirements)?;
    let aborts = parse_gates(&file.abort.conditions, &[])?;
    let plan = faults.as_ref().map(|faults| &faults.plan);
    gates.iter().chain(&aborts).try_for_each(|gate| gate.check_exists(&streams, plan))?;
    aborts.iter().try_for_each(Gate::check_interval)?;
    let listener = options.audience.listener()?;

    raise_open_files_limit();
    let clock = Clock::start();
    let wall_start = environment::wall_start();
    let run_id = run_id(&wall_start.rfc3339, wall_start.unix_ns);
    let mut environment = environment::environment();
    calibration::annotate(&mut environment);
    let dir = options.out.clone().unwrap_or_else(|| Path::new("runs").join(&run_id));
    let manifest = Manifest {
        schema: Manifest::SCHEMA.to_owned(),
        run_id,
        tool: environment::tool(),
        command_line: secrets::command_line(&options.command_line),
        wall_start,
        seed: options.workload.seed,
        workload: serde_json::to_value(file).map_err(io::Error::from)?,
        streams,
        phases: PhasePlan {
            warmup_ns: options.workload.warmup_ns,
            measure_ns: options.workload.measure_ns,
            drain_limit_ns: options.workload.drain_ns,
        },
        interval_ns: options.workload.interval_ns,
        gates: gates.iter().map(|g| g.text().to_owned()).collect(),
        failover: faults.as_ref().map(|faults| faults.plan.clone()),
        aborts: aborts.iter().map(|g| g.text().to_owned()).collect(),
        target: None,
        environment,
    };
    let settings = match &options.target {
        TargetSpec::Url(_) => BTreeMap::new(),
        TargetSpec::Ensemble { settings, .. } => settings.clone(),
    };
    let record = Arc::new(Mutex::new(RecordWriter::create(&dir, &manifest)?));
    observer.notice(&format!("record: {}", dir.display()));
    if let Some(address) = listener.as_ref().and_then(|listener| listener.local_addr().ok()) {
        observer.notice(&format!("metrics: http://{address}/metrics"));
    }
    let about = about(&options, &manifest);
    let resource = otlp::resource(otlp::MEASUREMENT, &manifest.tool.version, &manifest.run_id);
    let start_unix_ns = manifest.wall_start.unix_ns;
    let (live, tellers) = live::start(&options.audience, listener, about.clone(), resource, start_unix_ns)?;
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let result = runtime.block_on(async {
        let mut control = Control {
            workload: Arc::new(options.workload),
            target: options.target,
            quorumeter: options.quorumeter,
            dir: dir.clone(),
            settings: settings.clone(),
            faults,
            poll_period: options.poll_period,
            live: live.clone(),
            clock,
            record: Arc::clone(&record),
            manifest,
            aborts: aborts.into_iter().map(|gate| Brake { gate, violated_since_ns: None }).collect(),
            observer,
            begun: Vec::new(),
            untold: VecDeque::new(),
            shown_ns: 0,
        };
        control.drive(Signals::new()?).await
    });
    // A task that still waits for a starting member must not be waited for in turn.
    runtime.shutdown_background();
    ensembles::remove_secrets(&dir.join(ENSEMBLE_DIR), &settings);
    let finished = conclude(dir, &record);
    // Whoever wants everything to stop at once does not wait for anybody.
    if !matches!(result, Err(RunError::Killed)) {
        let trace = || trace(about, start_unix_ns, finished.as_ref().ok()?);
        tellers.finish(&live, trace).iter().for_each(|notice| observer.notice(notice));
    }
    match result {
        Ok(()) => Ok(finished?),
        Err(error) => Err(Failure { error, finished: finished.ok().map(Box::new) }),
    }
}

/// What is told of a run as a whole.
fn about(options: &RunOptions, manifest: &Manifest) -> BenchInfo {
    BenchInfo {
        run_id: manifest.run_id.clone(),
        workload: options.workload.file.name.clone(),
        target: match &options.target {
            TargetSpec::Url(url) => url.to_string(),
            TargetSpec::Ensemble { spec, .. } => spec.to_string(),
        },
        fault: manifest.failover.as_ref().map(|plan| plan.fault.clone()),
    }
}

/// A run as a trace, from its record; `None` when that cannot be read.
fn trace(about: BenchInfo, start_unix_ns: u64, finished: &Finished) -> Option<TraceOf> {
    let events = RecordReader::open(&finished.dir).ok()?.events().ok()?;
    let verdict = serde_json::to_value(finished.analysis.summary.verdict).ok()?;
    Some(TraceOf {
        name: if about.fault.is_some() { "failover" } else { "run" },
        attributes: vec![
            ("quorumeter.run_id", about.run_id),
            ("quorumeter.workload", about.workload),
            ("quorumeter.target", about.target),
            ("quorumeter.verdict", verdict.as_str()?.to_owned()),
        ],
        start_unix_ns,
        events: events.map_while(Result::ok).collect(),
    })
}

/// Judges the record, and completes it with the summary.
fn conclude(dir: PathBuf, record: &Mutex<RecordWriter>) -> Result<Finished, RunError> {
    let analysis = analyse(&RecordReader::open(&dir)?)?;
    record.lock().unwrap_or_else(PoisonError::into_inner).summary(&analysis.summary)?;
    Ok(Finished { dir, analysis })
}

fn parse_gates<'a>(
    table: impl IntoIterator<Item = (&'a String, &'a String)>,
    more: &[String],
) -> Result<Vec<Gate>, GateError> {
    let of_table = table.into_iter().map(|(metric, condition)| Gate::from_parts(metric, condition));
    of_table.chain(more.iter().map(|text| Gate::parse(text))).collect()
}

/// A name that sorts by time and does not come twice.
fn run_id(rfc3339: &str, unix_ns: u64) -> String {
    let digits: String = rfc3339.chars().filter(char::is_ascii_digit).collect();
    let mix = (unix_ns ^ u64::from(std::process::id()) << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{}-{}-{:04x}", &digits[..8], &digits[8..14], mix >> 48)
}
