//! One run: connect → precheck → prefill → warm-up → measure → drain → clean up.
//!
//! Whatever happens, what was created is removed as far as the target lets it, and the record is complete as far
//! as the disk does. The judgement is made from the record alone, after everything else.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quorumeter_ensemble::launch::{LaunchError, Launched, STOP_GRACE};
use quorumeter_loadgen::plan::Workload;
use quorumeter_loadgen::{Engine, EngineError, values};
use quorumeter_record::{
    Event, EventKind, IntervalLine, Manifest, Phase, PhasePlan, ReadError, RecordReader, RecordWriter,
    StopReason, TargetInfo, WriteError,
};
use quorumeter_results::{Analysis, Gate, GateError, analyse};
use quorumeter_targets::session::{Member, Timeouts};
use quorumeter_targets::zookeeper::client::ClientError;
use quorumeter_targets::zookeeper::driver::resolve;
use quorumeter_targets::zookeeper::root::root_path;
use quorumeter_targets::zookeeper::{Auth, Client, DialSettings, Layout, Root, RootError, ZooKeeper};
use quorumeter_targets::{Clock, TargetUrl};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::{JoinHandle, spawn_blocking, spawn_local};
use tokio::time::{Instant, interval, sleep};

use crate::ensembles::{self, EnsembleSpec};
use crate::environment;
use crate::members;
use crate::observe::{Numbers, Observer};
use crate::precheck;
use crate::signals::Signals;

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
    /// The command line, for the record.
    pub command_line: Vec<String>,
    /// This program, which members are started through.
    pub quorumeter: PathBuf,
}

/// A run that was done.
#[derive(Debug)]
pub struct Finished {
    /// The record's folder.
    pub dir: PathBuf,
    /// What was computed from it.
    pub analysis: Analysis,
}

/// Why a run could not be done.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A requirement will not do.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// The workload asks for a member that is not there.
    #[error("stream {stream:?} asks for member {number}, and the target has {members}")]
    NoSuchMember {
        /// The stream.
        stream: String,
        /// The number it asks for.
        number: u32,
        /// How many members there are.
        members: usize,
    },
    /// The ensemble could not be started.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// A member's name has no address.
    #[error("{0}")]
    Resolve(String),
    /// There was no session to be had for the control of the run.
    #[error(
        "cannot connect to {target}: {source}\nIs the target running, and does it speak ZooKeeper's protocol?"
    )]
    Target {
        /// The target.
        target: String,
        /// Why not.
        source: ClientError,
    },
    /// Not all sessions got a connection.
    #[error(
        "only {connected} of {sessions} sessions are connected after {waited_s:.0} s; the last failure: {last}\n\
         See maxClientCnxns of the servers, or allow more time with --set client.connect_limit=60s"
    )]
    Sessions {
        /// How many did.
        connected: u32,
        /// How many should have.
        sessions: u32,
        /// How long they had.
        waited_s: f64,
        /// The last failure.
        last: String,
    },
    /// The watches were not set in time.
    #[error("the watches are not set after {0} s; use fewer paths or watchers")]
    Watches(u64),
    /// The root could not be claimed or filled.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The record could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The record could not be read again.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The operating system.
    #[error("cannot set the run up: {0}")]
    Setup(#[from] io::Error),
    /// A second signal came.
    #[error("stopped at once by a second signal; `quorumeter clean` removes what is left at the target")]
    Killed,
}

impl RunError {
    /// The exit code: 1 for what the user asked wrongly, 5 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            RunError::Gate(_)
            | RunError::NoSuchMember { .. }
            | RunError::Launch(LaunchError::Setting { .. } | LaunchError::Members { .. })
            | RunError::Write(WriteError::NotEmpty(_)) => 1,
            _ => 5,
        }
    }
}

/// How long the target may take to give the first session.
const FIRST_SESSION_LIMIT: Duration = Duration::from_secs(5);
/// How long watches may take to be set.
const ARM_LIMIT: Duration = Duration::from_secs(60);
/// How long a clean-up goes on after the connection was lost.
const CLEANUP_LIMIT: Duration = Duration::from_secs(20);
/// Between two looks at the engine.
const LOOK: Duration = Duration::from_millis(20);
/// Between the decision to begin and the beginning, so that every worker sees it before.
const LEAD_NS: u64 = 50_000_000;
/// Between two samples of the members.
const SAMPLE_PERIOD: Duration = Duration::from_secs(1);

/// Does a run, to its report. The members of a launched ensemble are gone when this returns.
pub fn run(options: RunOptions, observer: &mut dyn Observer) -> Result<Finished, RunError> {
    let streams = precheck::streams(&options.workload);
    let file = &options.workload.file;
    let gates = parse_gates(&file.gates, &options.requirements)?;
    let aborts = parse_gates(&file.abort.conditions, &[])?;
    gates.iter().chain(&aborts).try_for_each(|gate| gate.check_exists(&streams))?;
    aborts.iter().try_for_each(Gate::check_interval)?;

    let clock = Clock::start();
    let wall_start = environment::wall_start();
    let run_id = run_id(&wall_start.rfc3339, wall_start.unix_ns);
    let dir = options.out.clone().unwrap_or_else(|| Path::new("runs").join(&run_id));
    let manifest = Manifest {
        schema: Manifest::SCHEMA.to_owned(),
        run_id,
        tool: environment::tool(),
        command_line: options.command_line.clone(),
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
        aborts: aborts.iter().map(|g| g.text().to_owned()).collect(),
        target: None,
        environment: environment::environment(),
    };
    let record = RecordWriter::create(&dir, &manifest)?;
    observer.notice(&format!("record: {}", dir.display()));
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let result = runtime.block_on(async {
        let mut control = Control {
            workload: Arc::new(options.workload),
            target: options.target,
            quorumeter: options.quorumeter,
            dir: dir.clone(),
            clock,
            record: Arc::new(Mutex::new(record)),
            manifest,
            aborts: aborts.into_iter().map(|gate| Brake { gate, violated_since_ns: None }).collect(),
            signals: Signals::new()?,
            observer,
            begun: Vec::new(),
        };
        control.drive().await
    });
    // A task that still waits for a starting member must not be waited for in turn.
    runtime.shutdown_background();
    result?;
    let reader = RecordReader::open(&dir)?;
    let analysis = analyse(&reader)?;
    let text = serde_json::to_string_pretty(&analysis.summary).map_err(io::Error::from)? + "\n";
    let path = dir.join(quorumeter_record::SUMMARY_FILE);
    std::fs::write(&path, text).map_err(|source| WriteError::Io {
        action: "write",
        path: path.clone(),
        source,
    })?;
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

/// An `[abort]` expression, and since when it has not held.
struct Brake {
    gate: Gate,
    violated_since_ns: Option<u64>,
}

/// The thread that runs a run.
struct Control<'o> {
    workload: Arc<Workload>,
    target: TargetSpec,
    quorumeter: PathBuf,
    dir: PathBuf,
    clock: Clock,
    record: Arc<Mutex<RecordWriter>>,
    manifest: Manifest,
    aborts: Vec<Brake>,
    signals: Signals,
    observer: &'o mut dyn Observer,
    /// Phases that have begun.
    begun: Vec<Phase>,
}

/// What is to be given back at the end.
#[derive(Default)]
struct Held {
    launched: Option<Rc<Launched>>,
    members: Vec<Member>,
    client: Option<Rc<tokio::sync::Mutex<Client>>>,
    root: Option<Root>,
    keeper: Option<JoinHandle<()>>,
    engine: Option<Engine>,
    live: Option<Receiver<Vec<IntervalLine>>>,
}

/// Why a run does not go on.
enum Halt {
    /// The first signal, before there was anything to end early.
    Signal,
    Error(RunError),
}

impl<E: Into<RunError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Halt::Error(error.into())
    }
}

impl Control<'_> {
    async fn drive(&mut self) -> Result<(), RunError> {
        let mut held = Held::default();
        let loaded = match self.prepare(&mut held).await {
            Ok(()) => self.load(&mut held).await,
            Err(halt) => Err(halt),
        };
        let mut result = match loaded {
            Ok(()) => Ok(()),
            Err(Halt::Signal) => {
                self.event(EventKind::Stop { reason: StopReason::Signal, detail: String::new() });
                Ok(())
            }
            Err(Halt::Error(error)) => {
                self.event(EventKind::Stop { reason: StopReason::Error, detail: error.to_string() });
                Err(error)
            }
        };
        if let Some(engine) = held.engine.take() {
            engine.cancel();
            let finished = engine.finish();
            if result.is_ok() {
                result = finished.map_err(RunError::from);
            }
        }
        if matches!(result, Err(RunError::Killed)) {
            return result;
        }
        let cleaned = self.clean_up(&mut held).await;
        if let Some(launched) = held.launched.take() {
            // Stopping takes as long as the members do.
            launched.stop(STOP_GRACE);
            ensembles::remove_data(&launched);
        }
        result?;
        cleaned?;
        self.record().event(&Event { t_ns: self.clock.now_ns(), kind: EventKind::End })?;
        Ok(())
    }

    /// Everything before the load.
    async fn prepare(&mut self, held: &mut Held) -> Result<(), Halt> {
        let url = self.launch(held).await?;
        self.begin_phase(Phase::Connect, &url.to_string());
        held.members = resolve(&url.members).await.map_err(RunError::Resolve)?;
        if let Some((stream, number)) = precheck::missing_member(&self.workload, held.members.len()) {
            let members = held.members.len();
            return Err(RunError::NoSuchMember { stream, number, members }.into());
        }
        let settings = DialSettings {
            auth: self.workload.credentials.as_ref().map(|c| Auth::digest(&c.user, &c.password)),
        };
        let client = self.connect_control(held, &url, settings.clone()).await?;
        let local = precheck::on_this_machine(&held.members);
        let workers = precheck::workers(&self.workload, local);
        let values = values::pool(self.workload.largest_value(), self.workload.seed);
        let layout = Layout {
            root: root_path(&url.chroot, &self.manifest.run_id),
            dataset: self.workload.dataset,
            streams: self.workload.streams.iter().map(|s| s.name.clone()).collect(),
        };
        let driver = ZooKeeper::new(held.members.clone(), settings, layout.clone(), Arc::clone(&values));
        let (live_in, live_out) = channel();
        held.live = Some(live_out);
        held.engine = Some(Engine::start(
            &driver,
            Arc::clone(&self.workload),
            workers,
            values.len(),
            self.clock,
            Arc::clone(&self.record),
            Box::new(move |lines| {
                // Without anybody who looks the run is over.
                let _ = live_in.send(lines.to_vec());
            }),
        )?);
        self.wait_for_sessions(held).await?;

        self.begin_phase(Phase::Precheck, "");
        self.describe_target(held, &url, &layout, local, &client).await?;
        {
            let mut client = client.lock().await;
            held.root = Some(Root::claim(&mut client, &url.chroot, &self.manifest.run_id).await?);
        }
        self.begin_phase(Phase::Prefill, &format!("{} nodes", self.workload.dataset.nodes));
        self.prefill(held, &layout, &client, &values).await?;
        held.keeper = Some(spawn_local(keep_control(
            Rc::clone(&client),
            held.root.clone(),
            Arc::clone(&self.record),
            self.clock,
        )));
        self.arm(held).await
    }

    /// Starts the ensemble, if the run is to have one of its own.
    async fn launch(&mut self, held: &mut Held) -> Result<TargetUrl, Halt> {
        let (spec, settings) = match &self.target {
            TargetSpec::Url(url) => return Ok(url.clone()),
            TargetSpec::Ensemble { spec, settings } => (*spec, settings.clone()),
        };
        self.observer.notice(&format!("starting {spec}"));
        let (dir, quorumeter) = (self.dir.join("ensemble"), self.quorumeter.clone());
        let starting = spawn_blocking(move || ensembles::start(spec, &dir, &settings, &quorumeter));
        let launched = tokio::select! {
            launched = starting => launched.map_err(io::Error::from)?,
            _ = self.signals.next() => return Err(Halt::Signal),
        }?;
        let launched = held.launched.insert(Rc::new(launched));
        Ok(ensembles::url_of(launched))
    }

    async fn connect_control(
        &mut self,
        held: &mut Held,
        url: &TargetUrl,
        settings: DialSettings,
    ) -> Result<Rc<tokio::sync::Mutex<Client>>, Halt> {
        let session_ms = (self.workload.file.client.session_timeout.0 / 1_000_000) as u32;
        let timeouts = Timeouts { session_ms, connect_ms: 2000, read_share: 2.0 / 3.0 };
        let addresses = held.members.iter().map(|m| m.address).collect();
        let limit = FIRST_SESSION_LIMIT.min(Duration::from_nanos(self.workload.file.client.connect_limit.0));
        let client = tokio::select! {
            client = Client::connect(addresses, timeouts, settings, limit) => client,
            _ = self.signals.next() => return Err(Halt::Signal),
        };
        let client = client.map_err(|source| RunError::Target { target: url.to_string(), source })?;
        Ok(Rc::clone(held.client.insert(Rc::new(tokio::sync::Mutex::new(client)))))
    }

    async fn wait_for_sessions(&mut self, held: &Held) -> Result<(), Halt> {
        let limit = Duration::from_nanos(self.workload.file.client.connect_limit.0);
        let begun = Instant::now();
        loop {
            let Some(engine) = &held.engine else { return Ok(()) };
            let state = engine.connecting();
            if state.connected == state.sessions {
                return Ok(());
            }
            if engine.is_finished() || begun.elapsed() > limit {
                return Err(RunError::Sessions {
                    connected: state.connected,
                    sessions: state.sessions,
                    waited_s: begun.elapsed().as_secs_f64(),
                    last: state.last_failure.unwrap_or_else(|| "none".into()),
                }
                .into());
            }
            self.pause().await?;
        }
    }

    /// Waits a moment, unless a signal comes.
    async fn pause(&mut self) -> Result<(), Halt> {
        tokio::select! {
            () = sleep(LOOK) => Ok(()),
            _ = self.signals.next() => Err(Halt::Signal),
        }
    }

    async fn describe_target(
        &mut self,
        held: &Held,
        url: &TargetUrl,
        layout: &Layout,
        on_this_machine: bool,
        client: &Rc<tokio::sync::Mutex<Client>>,
    ) -> Result<(), Halt> {
        let launched = held.launched.as_deref();
        let pids: Vec<_> = launched.iter().flat_map(|l| &l.members).map(|m| (m.address, m.pid)).collect();
        self.manifest.target = Some(TargetInfo {
            system: url.system.name().to_owned(),
            launched: launched.map(|l| l.kind.to_string()),
            url: url.to_string(),
            root: layout.root.clone(),
            members: precheck::members(&held.members, &pids).await,
            settings: launched.map(|l| l.settings.clone()).unwrap_or_default(),
            session_timeout_ns: client.lock().await.session_timeout().as_nanos() as u64,
            fsync: launched.map_or_else(|| "unknown".to_owned(), |l| l.fsync.to_string()),
            on_this_machine,
        });
        self.record().manifest(&self.manifest)?;
        Ok(())
    }

    async fn prefill(
        &mut self,
        held: &Held,
        layout: &Layout,
        client: &Rc<tokio::sync::Mutex<Client>>,
        values: &Arc<[u8]>,
    ) -> Result<(), Halt> {
        let Some(root) = &held.root else { return Ok(()) };
        let mut chooser = values::ValueChooser::new(self.workload.dataset_value, values.len());
        let mut random = rand_xoshiro::rand_core::SeedableRng::seed_from_u64(self.workload.seed);
        let value = |_key| {
            let value = chooser.next_value(&mut random);
            &values[value.offset as usize..][..value.len as usize]
        };
        let creating: Vec<u32> =
            self.workload
                .streams
                .iter()
                .map(|s| {
                    if s.ops.iter().any(|op| op.kind.is_write() && !op.kind.has_key()) {
                        s.sessions
                    } else {
                        0
                    }
                })
                .collect();
        let observer = &mut *self.observer;
        let mut client = client.lock().await;
        tokio::select! {
            filled = root.prefill(&mut client, layout, &creating, value, |done, total| observer.prefill(done, total)) => Ok(filled?),
            _ = self.signals.next() => Err(Halt::Signal),
        }
    }

    async fn arm(&mut self, held: &Held) -> Result<(), Halt> {
        let Some(engine) = &held.engine else { return Ok(()) };
        engine.arm_watches();
        let begun = Instant::now();
        while !engine.watches_are_armed() {
            if begun.elapsed() > ARM_LIMIT {
                return Err(RunError::Watches(ARM_LIMIT.as_secs()).into());
            }
            if engine.is_finished() {
                break;
            }
            self.pause().await?;
        }
        Ok(())
    }

    /// Warm-up, measured window and drain.
    async fn load(&mut self, held: &mut Held) -> Result<(), Halt> {
        let (Some(engine), Some(live)) = (held.engine.take(), held.live.take()) else { return Ok(()) };
        let start_ns = self.clock.now_ns() + LEAD_NS;
        engine.begin(start_ns);
        let result = self.watch_load(&engine, &live, held, start_ns).await;
        if result.is_err() {
            engine.cancel();
        }
        let finished = engine.finish();
        self.show(&live, start_ns, None);
        result?;
        Ok(finished?)
    }

    async fn watch_load(
        &mut self,
        engine: &Engine,
        live: &Receiver<Vec<IntervalLine>>,
        held: &Held,
        start_ns: u64,
    ) -> Result<(), Halt> {
        let mut samples = interval(SAMPLE_PERIOD);
        let mut stopped = false;
        let mut died = false;
        self.begin_phase_at(start_ns, Phase::Warmup);
        while !engine.is_finished() {
            tokio::select! {
                () = sleep(LOOK) => {}
                _ = samples.tick() => {
                    self.sample_members(held);
                }
                n = self.signals.next() => {
                    if n > 1 {
                        return Err(RunError::Killed.into());
                    }
                    stopped = true;
                    self.observer.notice("stopping early; once more stops at once");
                    let kind = EventKind::Stop { reason: StopReason::Signal, detail: String::new() };
                    self.event(kind);
                    engine.end_early(self.clock.now_ns() + LEAD_NS);
                }
            }
            let now_ns = self.clock.now_ns();
            if now_ns >= engine.measure_ns() {
                self.begin_phase_at(engine.measure_ns(), Phase::Measure);
            }
            if now_ns >= engine.end_ns() {
                self.begin_phase_at(engine.end_ns(), Phase::Drain);
            }
            if let Some(broken) = self.show(live, start_ns, Some(engine.end_ns())).filter(|_| !stopped) {
                stopped = true;
                self.observer.notice(&format!("stopping early: {broken}"));
                self.event(EventKind::Stop { reason: StopReason::Abort, detail: broken });
                engine.end_early(self.clock.now_ns() + LEAD_NS);
            }
            if let Some(Err(error)) = held.launched.as_ref().filter(|_| !died).map(|l| l.check()) {
                died = true;
                self.observer.notice(&error.to_string());
                self.event(EventKind::Warning { text: error.to_string() });
            }
        }
        self.begin_phase_at(engine.measure_ns(), Phase::Measure);
        self.begin_phase_at(engine.end_ns(), Phase::Drain);
        Ok(())
    }

    fn sample_members(&self, held: &Held) {
        let (members, launched) = (held.members.clone(), held.launched.clone());
        let (clock, record) = (self.clock, Arc::clone(&self.record));
        spawn_local(async move {
            let lines = members::sample(&members, launched.as_ref(), clock).await;
            // A record that cannot be written ends the run elsewhere.
            let _ = record.lock().unwrap_or_else(PoisonError::into_inner).members(&lines);
        });
    }

    /// Shows the intervals that have ended. Returns the `[abort]` expression that has not held for its grace
    /// period, if there is one.
    fn show(
        &mut self,
        live: &Receiver<Vec<IntervalLine>>,
        start_ns: u64,
        end_ns: Option<u64>,
    ) -> Option<String> {
        let mut broken = None;
        for lines in live.try_iter() {
            let Some((from_ns, to_ns)) = lines.iter().find_map(|line| match line {
                IntervalLine::Generator(g) => Some((g.start_ns, g.end_ns)),
                _ => None,
            }) else {
                continue;
            };
            let elapsed_s = to_ns.saturating_sub(start_ns) as f64 / 1e9;
            let planned_s = self.workload.scheduled_ns() as f64 / 1e9;
            self.observer.interval(&Numbers::of(&lines), elapsed_s, planned_s);
            if end_ns.is_none_or(|end| from_ns >= end) {
                continue;
            }
            let grace_ns = self.workload.file.abort.grace.0;
            for brake in &mut self.aborts {
                match brake.gate.holds_in_interval(&lines) {
                    Some(false) => {
                        let since_ns = *brake.violated_since_ns.get_or_insert(from_ns);
                        if to_ns - since_ns >= grace_ns {
                            broken.get_or_insert_with(|| format!("`{}` does not hold", brake.gate.text()));
                        }
                    }
                    // An interval without data says nothing, and interrupts nothing.
                    None => {}
                    Some(true) => brake.violated_since_ns = None,
                }
            }
        }
        broken
    }

    /// Removes what the run created.
    async fn clean_up(&mut self, held: &mut Held) -> Result<(), RunError> {
        if let Some(keeper) = held.keeper.take() {
            keeper.abort();
            // It is done with the client when it has ended.
            let _ = keeper.await;
        }
        let Some(client) = held.client.take() else { return Ok(()) };
        let mut result = Ok(());
        if let Some(root) = held.root.take() {
            self.begin_phase(Phase::Cleanup, &root.path);
            let mut client = client.lock().await;
            tokio::select! {
                released = root.release(&mut client, CLEANUP_LIMIT) => if let Err(error) = released {
                    let text = format!("{} could not be removed: {error}; `quorumeter clean` does it later", root.path);
                    self.observer.notice(&text);
                    self.event(EventKind::Warning { text });
                },
                _ = self.signals.next() => result = Err(RunError::Killed),
            }
        }
        if let Ok(client) = Rc::try_unwrap(client) {
            client.into_inner().close().await;
        }
        result
    }

    fn record(&self) -> MutexGuard<'_, RecordWriter> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn event(&self, kind: EventKind) {
        // A record that cannot be written ends the run through the engine's aggregator.
        let _ = self.record().event(&Event { t_ns: self.clock.now_ns(), kind });
    }

    fn begin_phase(&mut self, phase: Phase, detail: &str) {
        self.event(EventKind::Phase { phase });
        self.observer.phase(phase, detail);
    }

    /// Begins a phase of the load, once.
    fn begin_phase_at(&mut self, t_ns: u64, phase: Phase) {
        if !self.begun.contains(&phase) {
            self.begun.push(phase);
            let _ = self.record().event(&Event { t_ns, kind: EventKind::Phase { phase } });
            self.observer.phase(phase, "");
        }
    }
}

/// Keeps the control session, and with it the lock, alive while load runs.
async fn keep_control(
    client: Rc<tokio::sync::Mutex<Client>>,
    root: Option<Root>,
    record: Arc<Mutex<RecordWriter>>,
    clock: Clock,
) {
    loop {
        let period = client.lock().await.session_timeout() / 4;
        sleep(period.max(Duration::from_millis(10))).await;
        let mut client = client.lock().await;
        // A failure is no news for the run: its own sessions will tell.
        let _ = client.ping().await;
        if client.take_expired()
            && let Some(root) = &root
        {
            let text = match root.take_lock(&mut client).await {
                Ok(()) => "the run's lock went with its session, and was taken again".to_owned(),
                Err(e) => format!("the run's lock went with its session: {e}"),
            };
            let event = Event { t_ns: clock.now_ns(), kind: EventKind::Warning { text } };
            let _ = record.lock().unwrap_or_else(PoisonError::into_inner).event(&event);
        }
    }
}
