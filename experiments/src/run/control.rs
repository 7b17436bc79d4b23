//! The thread that runs a run: what it holds, and how that is given back whatever happens.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quorumeter_ensemble::launch::{LaunchError, Launched, STOP_GRACE};
use quorumeter_loadgen::Engine;
use quorumeter_loadgen::plan::Workload;
use quorumeter_record::{
    Event, EventKind, HistoryRow, IntervalLine, Manifest, Phase, RecordWriter, StopReason,
};
use quorumeter_results::Gate;
use quorumeter_targets::Clock;
use quorumeter_targets::session::Member;
use quorumeter_targets::zookeeper::{Client, DialSettings, Layout, Root};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{RunError, TargetSpec};
use crate::ensembles;
use crate::failover::Faults;
use crate::live::Live;
use crate::members::Roles;
use crate::observe::Observer;
use crate::secrets;
use crate::signals::Signals;

/// How long a clean-up goes on after the connection was lost.
const CLEANUP_LIMIT: Duration = Duration::from_secs(20);
/// Between two looks at the engine.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// An `[abort]` expression, and since when it has not held.
pub(super) struct Brake {
    pub(super) gate: Gate,
    pub(super) violated_since_ns: Option<u64>,
}

/// The thread that runs a run.
pub(super) struct Control<'o> {
    pub(super) workload: Arc<Workload>,
    pub(super) target: TargetSpec,
    pub(super) quorumeter: PathBuf,
    pub(super) dir: PathBuf,
    /// Settings of a launched ensemble, as given: some may be secrets.
    pub(super) settings: BTreeMap<String, String>,
    /// What is done to the members while the load runs.
    pub(super) faults: Option<Faults>,
    /// Time between two polls of a member, if there are to be any.
    pub(super) poll_period: Option<Duration>,
    /// What others are told of the run.
    pub(super) live: Live,
    pub(super) clock: Clock,
    pub(super) record: Arc<Mutex<RecordWriter>>,
    pub(super) manifest: Manifest,
    pub(super) aborts: Vec<Brake>,
    pub(super) observer: &'o mut dyn Observer,
    /// Phases of the load that have begun.
    pub(super) begun: Vec<Phase>,
    /// Those that the observer has not been told of: the intervals before them come first.
    pub(super) untold: VecDeque<(u64, Phase)>,
    /// How far the observer has seen the load.
    pub(super) shown_ns: u64,
}

/// What is to be given back at the end.
#[derive(Default)]
pub(super) struct Held {
    /// An ensemble that is being started.
    pub(super) starting: Option<JoinHandle<Result<Launched, LaunchError>>>,
    pub(super) launched: Option<Arc<Launched>>,
    pub(super) members: Vec<Member>,
    /// The roles that they were last seen to have.
    pub(super) roles: Rc<RefCell<Roles>>,
    pub(super) client: Option<Rc<tokio::sync::Mutex<Client>>>,
    pub(super) root: Option<Root>,
    pub(super) keeper: Option<JoinHandle<()>>,
    pub(super) engine: Option<Engine>,
    pub(super) probes: Option<Probes>,
    pub(super) live: Option<Receiver<Vec<IntervalLine>>>,
}

/// What the probes' ops, and whoever looks after them, need to be found.
pub(crate) struct Probes {
    /// What the probes saw, as it is recorded.
    pub(crate) history: Receiver<Vec<HistoryRow>>,
    pub(crate) dial: DialSettings,
    pub(crate) layout: Layout,
}

impl Held {
    /// Ends what keeps the control's session alive.
    pub(super) async fn stop_keeper(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
            // It is done with the client when it has ended.
            let _ = keeper.await;
        }
    }
}

/// Why a run does not go on.
enum Halt {
    /// The first signal, before there was anything to end early.
    Signal,
    Error(RunError),
}

impl Control<'_> {
    pub(super) async fn drive(&mut self, mut signals: Signals) -> Result<(), RunError> {
        let mut held = Held::default();
        let prepared = tokio::select! {
            prepared = self.prepare(&mut held) => prepared.map_err(Halt::Error),
            _ = signals.next() => Err(Halt::Signal),
        };
        let loaded = match prepared {
            Ok(()) => self.load(&mut held, &mut signals).await.map_err(Halt::Error),
            Err(halt) => Err(halt),
        };
        let mut result = match loaded {
            Ok(()) => Ok(()),
            Err(Halt::Signal) => {
                self.observer.notice("stopping before the load; once more stops at once");
                self.event(EventKind::Stop { reason: StopReason::Signal, detail: String::new() });
                Ok(())
            }
            Err(Halt::Error(error)) => {
                let detail = secrets::text(&error.to_string(), &self.settings);
                self.event(EventKind::Stop { reason: StopReason::Error, detail });
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
        let escape = if signals.seen() == 0 { "Ctrl-C twice" } else { "Ctrl-C" };
        let cleaned = tokio::select! {
            () = self.clean_up(&mut held, escape) => Ok(()),
            () = signals.second() => Err(RunError::Killed),
        };
        // What the engine or the disk has lost is missing: such a record has no end.
        let is_whole = !matches!(result, Err(RunError::Engine(_) | RunError::Write(_)));
        let ended = match cleaned {
            Ok(()) if is_whole => {
                let end = Event { t_ns: self.clock.now_ns(), kind: EventKind::End };
                self.record().event(&end).map_err(RunError::from)
            }
            cleaned => cleaned,
        };
        result.and(ended)
    }

    /// Removes what the run created, and ends what it started. `escape` is what the user can do to stop that.
    async fn clean_up(&mut self, held: &mut Held, escape: &str) {
        held.stop_keeper().await;
        if let Some(Ok(Ok(launched))) = match held.starting.take() {
            Some(starting) => Some(starting.await),
            None => None,
        } {
            held.launched = Some(Arc::new(launched));
        }
        // What a member that is gone has kept goes with its folder.
        let is_gone = held.launched.as_ref().is_some_and(|launched| launched.check().is_err());
        if let Some(client) = held.client.take().filter(|_| !is_gone) {
            if let Some(root) = held.root.take() {
                self.release(&root, &client, escape).await;
            }
            if let Ok(client) = Rc::try_unwrap(client) {
                client.into_inner().close().await;
            }
        }
        if let Some(launched) = held.launched.take() {
            // Stopping takes as long as the members do.
            launched.stop(STOP_GRACE);
            ensembles::remove_data(&launched);
        }
    }

    async fn release(&mut self, root: &Root, client: &tokio::sync::Mutex<Client>, escape: &str) {
        let detail = format!("what this run created at {} ({escape} leaves it there)", root.path);
        self.begin_phase(Phase::Cleanup, &detail);
        let mut client = client.lock().await;
        if let Err(error) = root.release(&mut client, CLEANUP_LIMIT).await {
            let text =
                format!("{} could not be removed: {error}; `quorumeter clean` does it later", root.path);
            self.observer.notice(&text);
            self.event(EventKind::Warning { text });
        }
    }

    pub(super) fn record(&self) -> MutexGuard<'_, RecordWriter> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn event(&self, kind: EventKind) {
        // A record that cannot be written ends the run through the engine's aggregator.
        let _ = self.record().event(&Event { t_ns: self.clock.now_ns(), kind });
    }

    pub(super) fn begin_phase(&mut self, phase: Phase, detail: &str) {
        self.event(EventKind::Phase { phase });
        self.live.phase(phase);
        self.observer.phase(phase, detail);
    }

    /// Begins a phase of the load, once.
    pub(super) fn begin_phase_at(&mut self, t_ns: u64, phase: Phase) {
        if !self.begun.contains(&phase) {
            self.begun.push(phase);
            self.live.phase(phase);
            let _ = self.record().event(&Event { t_ns, kind: EventKind::Phase { phase } });
            self.untold.push_back((t_ns, phase));
        }
    }

    /// Tells the observer of the phases that have begun by `t_ns`.
    pub(super) fn announce(&mut self, t_ns: u64) {
        while let Some((_, phase)) = self.untold.pop_front_if(|(begun_ns, _)| *begun_ns <= t_ns) {
            self.observer.phase(phase, "");
        }
    }
}

/// Keeps the control session, and with it the lock, alive while load runs.
pub(super) async fn keep_control(
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
