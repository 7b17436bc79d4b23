//! What this machine's generator can do: runs against the null server, which answers without doing anything.
//!
//! ```text
//!   what an op costs     closed loop, by depth                   2 rounds of each, interleaved
//!   how timers keep time open loop at one rate, by timer         2 rounds of each, interleaved
//!   the highest rate     open loop, doubling, then bisecting     until two attempts agree on each rate
//! ```
//!
//! Every step is a whole run with a null server of its own, in a child process, and a record in a temporary folder.

mod search;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use quorumeter_loadgen::plan::{PlanError, Workload};
use quorumeter_record::{Calibration, DepthCost, RateTrial, StopReason, Summary, TimerLag};
use quorumeter_results::calibration::{depth_cost, findings, rate_trial, timer_lag};
use quorumeter_results::figures;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use self::search::{Attempt, Step};
use crate::calibration;
use crate::ensembles::{EnsembleKind, EnsembleSpec};
use crate::environment;
use crate::live::Audience;
use crate::observe::{Nobody, Observer};
use crate::precheck;
use crate::run::{POLL_PERIOD, RunError, RunOptions, TargetSpec, run};
use crate::signals::Signals;

/// Depths whose cost is measured.
const DEPTHS: [u32; 5] = [1, 4, 16, 64, 256];
/// Rounds of each depth and each timer.
const ROUNDS: u32 = 2;
/// Rate at which timers are compared, ops per second: far below what any machine can do, so that it is the timer that
/// is seen.
const TIMER_RATE: u64 = 10_000;
/// Sessions per worker, and ops in flight on each, of the open loops: more than a millisecond's worth at any rate.
const OPEN_SESSIONS: u32 = 4;
const OPEN_DEPTH: u32 = 256;
/// The longest warm-up of a step.
const WARMUP_MAX_NS: u64 = 500_000_000;

/// A calibration to do.
#[derive(Debug, Clone)]
pub struct CalibrateOptions {
    /// Length of each step's measured window, nanoseconds.
    pub step_ns: u64,
    /// Worker threads; as many as a run on this machine has when not given.
    pub workers: Option<u32>,
    /// The command line, for the steps' records.
    pub command_line: Vec<String>,
    /// This program, which the null server is started through.
    pub quorumeter: PathBuf,
}

/// Why a calibration could not be done.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    /// The steps cannot be as long, or the workers as many, as asked for.
    #[error("{}{}", .0, .0.help.as_ref().map_or(String::new(), |help| format!("; {help}")))]
    Plan(#[from] PlanError),
    /// A step could not be done.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A step's accounting does not balance.
    #[error("the accounting of {0} does not balance, which is a bug of this tool; please report it")]
    Unbalanced(String),
    /// The operating system.
    #[error("cannot set the calibration up: {0}")]
    Setup(#[from] io::Error),
}

impl CalibrateError {
    /// The exit code: 1 for what the user asked wrongly, 5 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            CalibrateError::Plan(_) => 1,
            CalibrateError::Run(error) => error.exit_code(),
            CalibrateError::Unbalanced(_) | CalibrateError::Setup(_) => 5,
        }
    }
}

/// Calibrates. After a first signal it returns what was measured until then, marked as not complete.
///
/// # Errors
///
/// What kept a step from its end, and [`RunError::Killed`] after a second signal.
pub fn calibrate(
    options: &CalibrateOptions,
    observer: &mut dyn Observer,
) -> Result<Calibration, CalibrateError> {
    let environment = environment::environment();
    let workers = options.workers.unwrap_or_else(|| precheck::default_workers(true));
    let mut steps = Steps {
        options,
        workers,
        dir: TempDir::with_prefix("quorumeter-calibrate-")?,
        interrupts: Interrupts::new()?,
        done: 0,
        observer,
    };
    let mut calibration = Calibration {
        schema: Calibration::SCHEMA.to_owned(),
        tool: environment::tool(),
        calibrated: environment::wall_start(),
        machine: calibration::machine(&environment),
        load_average: environment.load_average,
        step_ns: options.step_ns,
        workers,
        depths: Vec::new(),
        timers: Vec::new(),
        search: Vec::new(),
        highest_rate: None,
        highest_rate_is_lower_bound: false,
        findings: Vec::new(),
        complete: false,
    };
    calibration.complete = steps.depths(&mut calibration.depths)?
        && steps.timers(environment.cores, &mut calibration.timers)?
        && steps.search(&mut calibration.search)?;
    let (highest, is_lower_bound) = search::so_far(&attempts(&calibration.search));
    calibration.highest_rate = highest.map(|rate| rate as f64);
    calibration.highest_rate_is_lower_bound = is_lower_bound;
    calibration.findings = findings(&calibration);
    Ok(calibration)
}

fn attempts(trials: &[RateTrial]) -> Vec<Attempt> {
    let attempt = |t: &RateTrial| Attempt { rate: t.offered_rate as u64, held: t.limits.is_empty() };
    trials.iter().map(attempt).collect()
}

/// Does one step after the other.
struct Steps<'a> {
    options: &'a CalibrateOptions,
    workers: u32,
    /// Where their records are, until all are done.
    dir: TempDir,
    interrupts: Interrupts,
    done: u32,
    observer: &'a mut dyn Observer,
}

/// Each of these returns false when a signal ended it early.
impl Steps<'_> {
    /// What an op costs, by depth: of the rounds, the cheapest.
    fn depths(&mut self, costs: &mut Vec<DepthCost>) -> Result<bool, CalibrateError> {
        for _ in 0..ROUNDS {
            for depth in DEPTHS {
                let stream = format!("sessions = {}\ndepth = {depth}\n", self.workers);
                let Some(summary) = self.step(&format!("depth {depth}"), "timerfd", &stream)? else {
                    return Ok(false);
                };
                let cost = depth_cost(&summary, depth);
                let per_op = cost.cpu_per_op_ns.map_or("-".to_owned(), |ns| figures::duration(ns as i64));
                self.tell(&format!("depth {depth}: {per_op} per op, {}", figures::rate(cost.rate)));
                let cheaper = |old: &DepthCost| {
                    cost.cpu_per_op_ns.is_some_and(|ns| old.cpu_per_op_ns.is_none_or(|o| ns < o))
                };
                match costs.iter_mut().find(|old| old.depth == depth) {
                    None => costs.push(cost),
                    Some(old) if cheaper(old) => *old = cost,
                    Some(_) => {}
                }
            }
        }
        Ok(true)
    }

    /// How timers keep the schedule: of the rounds, the one with the least lag.
    fn timers(&mut self, cores: u32, lags: &mut Vec<TimerLag>) -> Result<bool, CalibrateError> {
        // A worker that spins has its core for itself; the server and the rest of the generator need one, too.
        let can_spin = cores > self.workers + 1;
        for _ in 0..ROUNDS {
            for timer in ["timerfd", "spin", "tokio"] {
                let old = lags.iter_mut().find(|lag| lag.timer == timer);
                if timer == "spin" && !can_spin {
                    if old.is_none() {
                        lags.push(no_core_to_spin_on(cores));
                    }
                    continue;
                }
                let name = format!("timer {timer}");
                let Some(summary) = self.step(&name, timer, &self.open_loop(TIMER_RATE))? else {
                    return Ok(false);
                };
                let lag = timer_lag(&summary, timer, TIMER_RATE as f64);
                let p99 = |lag: &TimerLag| lag.schedule_lag_ns.as_ref().and_then(|lag| lag.p99);
                self.tell(&format!(
                    "{name}: lag p99 {}",
                    p99(&lag).map_or("-".to_owned(), figures::duration)
                ));
                match old {
                    None => lags.push(lag),
                    Some(old) if p99(&lag).is_some_and(|new| p99(old).is_none_or(|old| new < old)) => {
                        *old = lag;
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(true)
    }

    /// The highest rate that holds.
    fn search(&mut self, trials: &mut Vec<RateTrial>) -> Result<bool, CalibrateError> {
        while let Step::Try(rate) = search::next(&attempts(trials)) {
            let offered = figures::rate(rate as f64);
            let Some(summary) = self.step(&format!("rate {offered}"), "timerfd", &self.open_loop(rate))?
            else {
                return Ok(false);
            };
            let trial = rate_trial(&summary, rate as f64);
            self.tell(&format!(
                "rate {offered}: {}, lag p99 {}, {} done, busiest worker {}",
                if trial.limits.is_empty() { "holds" } else { "does not hold" },
                trial.schedule_lag_ns.p99.map_or("-".to_owned(), figures::duration),
                figures::rate(trial.rate),
                figures::percent(trial.busiest_worker)
            ));
            trials.push(trial);
        }
        Ok(true)
    }

    fn tell(&mut self, text: &str) {
        self.observer.notice(text);
    }

    fn open_loop(&self, rate: u64) -> String {
        let sessions = OPEN_SESSIONS * self.workers;
        // What waits for half a second is beyond the limit of any step.
        format!("sessions = {sessions}\ndepth = {OPEN_DEPTH}\nrate = \"{rate}/s\"\nbacklog = \"500ms\"\n")
    }

    /// One run; `None` when a signal came.
    fn step(&mut self, name: &str, timer: &str, stream: &str) -> Result<Option<Summary>, CalibrateError> {
        if self.interrupts.came() {
            return Ok(None);
        }
        let measure_ns = self.options.step_ns;
        let workload = format!(
            "name = \"calibrate\"\nphases = {{ warmup = \"{}ns\", measure = \"{measure_ns}ns\", drain = \"1s\" }}\n\
             engine = {{ workers = {}, timer = \"{timer}\" }}\ndataset = {{ nodes = 1000, value = \"256 B\" }}\n\
             [[stream]]\nname = \"app\"\nmix = {{ read = 1 }}\n{stream}",
            (measure_ns / 4).min(WARMUP_MAX_NS),
            self.workers
        );
        self.done += 1;
        let options = RunOptions {
            workload: Workload::read(&workload, &[], || u64::from(self.done))?,
            target: TargetSpec::Ensemble {
                spec: EnsembleSpec { kind: EnsembleKind::Null, members: 1, observers: 0 },
                settings: Default::default(),
            },
            out: Some(self.dir.path().join(self.done.to_string())),
            requirements: Vec::new(),
            command_line: self.options.command_line.clone(),
            quorumeter: self.options.quorumeter.clone(),
            audience: Audience::default(),
            poll_period: Some(POLL_PERIOD),
        };
        let analysis = run(options, &mut Nobody).map_err(|failure| failure.error)?.analysis;
        let stopped = analysis.stops.iter().any(|stop| stop.reason == StopReason::Signal);
        if stopped {
            return Ok(None);
        }
        if !analysis.summary.accounting.balanced {
            return Err(CalibrateError::Unbalanced(name.to_owned()));
        }
        Ok(Some(analysis.summary))
    }
}

fn no_core_to_spin_on(cores: u32) -> TimerLag {
    TimerLag {
        timer: "spin".to_owned(),
        offered_rate: TIMER_RATE as f64,
        schedule_lag_ns: None,
        busiest_worker: None,
        skipped: Some(format!(
            "it needs a core of its own for every worker, and there are {} for the server, too",
            figures::counted(u64::from(cores), "core")
        )),
    }
}

/// Signals that come between two runs: each run looks after those that come while it goes.
struct Interrupts {
    runtime: Runtime,
    signals: Signals,
}

impl Interrupts {
    fn new() -> io::Result<Interrupts> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let signals = runtime.block_on(async { Signals::new() })?;
        Ok(Interrupts { runtime, signals })
    }

    /// Whether one has come.
    fn came(&mut self) -> bool {
        let next = self.signals.next();
        let now = Duration::from_millis(1);
        self.runtime.block_on(async { tokio::time::timeout(now, next).await.is_ok() })
    }
}
