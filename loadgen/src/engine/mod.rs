//! The engine: worker threads that issue the ops of a workload, and an aggregator that writes down what became
//! of them.
//!
//! ```text
//!   control ──► Timeline, Status (a few words, never touched per op)
//!                  │
//!   worker 0 ──────┤   timer ─► release ─► session: backlog ─► window ─► socket
//!   worker 1 ──────┤                                 ▲                    │
//!      …           │                                 └── replies ◄────────┘
//!                  │        recorder: one buffer per interval, swapped whole
//!                  └──► aggregator ──► record, live view
//! ```
//!
//! | module | what it knows |
//! |---|---|
//! | `timeline` | when phases and intervals begin and end |
//! | `worker` | one thread: its life, and the release of ops at their times |
//! | `link` | one session's connections, as the client policy has them |
//! | `placement` | which members a session may connect to |
//! | `ops`, `source` | sessions that issue ops, and which op comes next |
//! | `lives` | sessions that come and go |
//! | `watch`, `join` | sessions that watch, and which write an event tells of |
//! | `recorder`, `buffer`, `slots` | what a worker records in an interval |
//! | `resets` | connections that are reset on purpose |
//! | `history` | what is kept of each op, of streams that ask for it |
//! | `aggregate` | merging, and writing |

mod aggregate;
mod buffer;
mod deliveries;
mod fan_out;
mod history;
mod join;
mod link;
mod lives;
mod ops;
mod placement;
mod recorder;
mod resets;
mod slots;
mod source;
mod timeline;
mod timer;
mod watch;
mod worker;

use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use quorumeter_record::{RecordWriter, WriteError};
use quorumeter_targets::{Clock, Driver};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use aggregate::{Aggregator, Message};
pub use aggregate::{Interval, Live, OpTimes, Told};
use buffer::Shape;
pub use resets::Resets;
use timeline::Timeline;
use worker::{Status, WorkerSetup};

use crate::plan::Workload;

/// Why the engine failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A thread could not be started, or its runtime failed.
    #[error("a worker of the load generator failed: {0}")]
    Worker(io::Error),
    /// A bug.
    #[error("a worker of the load generator panicked; this is a bug, please report it")]
    Panic,
    /// The record could not be written.
    #[error(transparent)]
    Record(#[from] WriteError),
}

/// How far the sessions are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connecting {
    /// Sessions that have had a connection.
    pub connected: u32,
    /// Sessions of the workload.
    pub sessions: u32,
    /// The last failure to connect, in words.
    pub last_failure: Option<String>,
}

/// A stream's watches cannot be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchFailure {
    /// The stream's number.
    pub stream: usize,
    /// Why not, in words.
    pub cause: String,
}

/// A running engine. Its sessions connect as soon as it is made; load begins when it is told to.
pub struct Engine {
    timeline: Arc<Timeline>,
    status: Arc<Status>,
    workload: Arc<Workload>,
    workers: Vec<JoinHandle<io::Result<()>>>,
    aggregator: JoinHandle<Result<(), WriteError>>,
}

impl Engine {
    /// Starts `workers` threads (at least one). `pool_len` is the length of the pool of values that the driver
    /// was made with.
    pub fn start<D: Driver>(
        driver: &D,
        workload: Arc<Workload>,
        workers: usize,
        pool_len: usize,
        clock: Clock,
        record: Arc<Mutex<RecordWriter>>,
        live: Live,
    ) -> Result<Engine, EngineError> {
        let workers = workers.max(1);
        let timeline = Arc::new(Timeline::new(workload.interval_ns));
        let status = Arc::new(Status::new(workers));
        let shape = Shape { ops: workload.streams.iter().map(|s| s.op_names().len()).collect() };
        let (out, messages) = channel();
        let (give_back, backs): (Vec<_>, Vec<_>) = (0..workers).map(|_| channel()).unzip();
        let cores = if workload.file.engine.pin { spare_cores(workers) } else { Vec::new() };
        let mut threads = Vec::new();
        for (id, back) in backs.into_iter().enumerate() {
            let setup = WorkerSetup {
                id,
                workers,
                driver: driver.clone(),
                clock,
                workload: Arc::clone(&workload),
                timeline: Arc::clone(&timeline),
                shape: shape.clone(),
                status: Arc::clone(&status),
                pool_len,
                out: out.clone(),
                back,
            };
            let core = cores.get(id).copied();
            let out = out.clone();
            let status = Arc::clone(&status);
            let thread = thread::Builder::new().name(format!("worker-{id}")).spawn(move || {
                let mut ending = Ending { worker: id, out, status, report: None };
                pin(core);
                let report = worker::run(setup)?;
                ending.report = Some(report);
                Ok(())
            });
            threads.push(thread.map_err(EngineError::Worker)?);
        }
        drop(out);
        let aggregator = Aggregator::new(Arc::clone(&workload), record, live, D::error_name, give_back);
        let cancel = Arc::clone(&status);
        let aggregator = thread::Builder::new()
            .name("aggregator".into())
            .spawn(move || aggregator.run(&messages, || cancel.cancel.store(true, Ordering::Relaxed)))
            .map_err(EngineError::Worker)?;
        Ok(Engine { timeline, status, workload, workers: threads, aggregator })
    }

    /// How far the sessions are.
    pub fn connecting(&self) -> Connecting {
        Connecting {
            connected: self.status.connected.load(Ordering::Relaxed),
            sessions: self.workload.streams.iter().map(|s| s.first_connections(self.workers.len())).sum(),
            last_failure: self.status.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// The dataset is there: watches are to be set.
    pub fn arm_watches(&self) {
        self.status.arm.store(true, Ordering::Relaxed);
    }

    /// Whether all watches are set.
    pub fn watches_are_armed(&self) -> bool {
        self.status.armed.load(Ordering::Relaxed) as usize == self.workers.len()
    }

    /// Why watches cannot be set, once that is known.
    pub fn watch_failure(&self) -> Option<WatchFailure> {
        self.status.watch_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins the load at `start_ns`.
    pub fn begin(&self, start_ns: u64) {
        self.timeline.begin(start_ns, self.workload.warmup_ns, self.workload.measure_ns);
    }

    /// Ends the measured window at `t_ns` if it would end later. `t_ns` should lie some 20 ms ahead, so that
    /// every worker sees it before it comes.
    pub fn end_early(&self, t_ns: u64) {
        self.timeline.end_early(t_ns);
    }

    /// The start of the measured window, nanoseconds.
    pub fn measure_ns(&self) -> u64 {
        self.timeline.measure_ns()
    }

    /// The end of the measured window, nanoseconds.
    pub fn end_ns(&self) -> u64 {
        self.timeline.end_ns()
    }

    /// Resets connections of sessions that issue ops, watch or are idle: all that there are to this member (its position
    /// in the driver's members), or to any. Each worker does so within some 10 ms: what is in flight becomes unknown, and
    /// the sessions connect again as their policy says. [`Engine::resets`] tells when it is done. Sessions of other
    /// lives keep their connections.
    pub fn reset_connections(&self, member: Option<usize>) {
        self.status.resets.ask(member);
    }

    /// How far the workers are with the resets that were asked for.
    pub fn resets(&self) -> Resets {
        self.status.resets.state()
    }

    /// Gives everything up at once.
    pub fn cancel(&self) {
        self.status.cancel.store(true, Ordering::Relaxed);
    }

    /// Whether all threads have ended, by themselves or because something failed.
    pub fn is_finished(&self) -> bool {
        self.workers.iter().all(JoinHandle::is_finished) && self.aggregator.is_finished()
    }

    /// Waits for the end.
    pub fn finish(self) -> Result<(), EngineError> {
        let mut result = Ok(());
        for worker in self.workers {
            match worker.join() {
                Ok(Ok(())) => {}
                Ok(Err(e)) => result = Err(EngineError::Worker(e)),
                Err(_) => result = Err(EngineError::Panic),
            }
        }
        match self.aggregator.join() {
            Ok(written) => written?,
            Err(_) => return Err(EngineError::Panic),
        }
        result
    }
}

/// Tells the aggregator that a worker has ended, however it ended, and the other workers when it failed.
struct Ending {
    worker: usize,
    out: std::sync::mpsc::Sender<Message>,
    status: Arc<Status>,
    report: Option<worker::WorkerReport>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if self.report.is_none() {
            self.status.cancel.store(true, Ordering::Relaxed);
        }
        // Without an aggregator there is nobody left to tell.
        let _ = self.out.send(Message::Done { worker: self.worker, report: self.report.take() });
    }
}

/// Cores for the workers, the last ones first, when there are more cores than workers.
fn spare_cores(workers: usize) -> Vec<usize> {
    let Ok(allowed) = sched_getaffinity(None) else { return Vec::new() };
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).rev().collect();
    if cores.len() > workers { cores } else { Vec::new() }
}

fn pin(core: Option<usize>) {
    if let Some(core) = core {
        let mut set = CpuSet::new();
        set.set(core);
        // Unpinned it works as well, only less evenly.
        let _ = sched_setaffinity(None, &set);
    }
}
