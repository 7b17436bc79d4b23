//! A worker: one thread, one runtime, its own sessions.
//!
//! ```text
//!   idle ──► running ──► draining ──► settling ──► closed
//!     sessions   ops are     what is      watchers
//!     connect    released    open ends    find out what is owed
//! ```

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use quorumeter_targets::session::ConnectError;
use quorumeter_targets::{Change, Clock, Driver};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_local};

use super::WatchFailure;
use super::aggregate::Message;
use super::buffer::{IntervalBuffer, Shape};
use super::history::Place;
use super::link::Link;
use super::lives::{IdlePart, Life, ObserverPart};
use super::ops::{KeyCounts, NO_NODES, OpsPart, OpsSettings, Watched};
use super::recorder::Recorder;
use super::resets::ResetOrders;
use super::source::{OpSource, derive_seed};
use super::timeline::Timeline;
use super::timer::Timer;
use super::watch::{SettingFailure, WatchPart};
use crate::plan::{self, Cycle, Load, Workload};
use crate::schedule::Schedule;

/// How many sessions of a worker connect for the first time at once.
const FIRST_CONNECTS: usize = 64;
/// The longest time for which a worker looks at nothing but its sockets, nanoseconds.
const LONGEST_SLEEP_NS: u64 = 10_000_000;
/// The shortest time between two rounds of keeping sessions alive, nanoseconds: at least this, and this for each
/// session.
const KEEP_ALIVE_ROUND_NS: (u64, u64) = (5_000_000, 1_000);
/// How often a draining worker looks whether all is answered, nanoseconds.
const DRAIN_LOOK_NS: u64 = 1_000_000;
/// Ops of one stream that are released before the readers, and the other streams, have their turn.
const RELEASE_BATCH: usize = 1024;
/// How long watchers may take, at the end, to find out what is owed, nanoseconds.
const SETTLE_LIMIT_NS: u64 = 10_000_000_000;
/// How long sessions may take to close.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// What the workers and the control thread tell each other. Nothing here is touched per op.
pub(super) struct Status {
    /// Sessions that have had a connection.
    pub(super) connected: AtomicU32,
    /// The last failure to connect, in words.
    pub(super) last_failure: Mutex<Option<String>>,
    /// The nodes are there: watches are to be set.
    pub(super) arm: AtomicBool,
    /// Why a stream's watches cannot be set.
    pub(super) watch_failure: Mutex<Option<WatchFailure>>,
    /// Workers whose watches are all set.
    pub(super) armed: AtomicU32,
    /// Workers whose ops have all ended.
    pub(super) drained: AtomicU32,
    /// Connections that are to be reset.
    pub(super) resets: ResetOrders,
    /// Everything is to be given up.
    pub(super) cancel: AtomicBool,
}

impl Status {
    pub(super) fn new(workers: usize) -> Status {
        Status {
            connected: AtomicU32::default(),
            last_failure: Mutex::default(),
            arm: AtomicBool::default(),
            watch_failure: Mutex::default(),
            armed: AtomicU32::default(),
            drained: AtomicU32::default(),
            resets: ResetOrders::new(workers),
            cancel: AtomicBool::default(),
        }
    }
}

/// What the tasks of one worker share.
pub(super) struct Shared<D: Driver> {
    pub(super) driver: D,
    pub(super) clock: Clock,
    pub(super) workload: Arc<Workload>,
    pub(super) recorder: RefCell<Recorder>,
    pub(super) first_connects: Semaphore,
    pub(super) status: Arc<Status>,
    /// When the next round of keeping sessions alive is to be.
    next_keep_alive_ns: Cell<u64>,
    /// When it may be at the earliest.
    keep_alive_from_ns: Cell<u64>,
}

impl<D: Driver> Shared<D> {
    /// There is a connection that the worker has not asked yet when it wants to be kept alive.
    pub(super) fn keep_alive_is_due(&self) {
        self.next_keep_alive_ns.set(self.next_keep_alive_ns.get().min(self.keep_alive_from_ns.get()));
    }

    pub(super) fn note_connected(&self) {
        self.status.connected.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_connect_failure(&self, member: usize, error: &ConnectError) {
        self.note_failure(format!("{}: {error}", self.driver.members()[member].address));
    }

    pub(super) fn note_failure(&self, text: String) {
        *self.status.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }
}

/// What a worker is started with.
pub(super) struct WorkerSetup<D: Driver> {
    pub(super) id: usize,
    pub(super) workers: usize,
    pub(super) driver: D,
    pub(super) clock: Clock,
    pub(super) workload: Arc<Workload>,
    pub(super) timeline: Arc<Timeline>,
    pub(super) shape: Shape,
    pub(super) status: Arc<Status>,
    pub(super) pool_len: usize,
    pub(super) out: Sender<Message>,
    pub(super) back: Receiver<Box<IntervalBuffer>>,
}

/// What is left of a worker.
pub(super) struct WorkerReport {
    /// By stream: how often each node was used in the measured window. Empty for streams without ops.
    pub(super) key_counts: Vec<Vec<u32>>,
}

type OpsLink<D> = Rc<Link<D, OpsPart>>;
type WatchLink<D> = Rc<Link<D, WatchPart>>;
type IdleLink<D> = Rc<Link<D, IdlePart>>;
type ObserverLink<D> = Rc<Link<D, ObserverPart>>;

/// Runs a worker to its end, on the calling thread.
pub(super) fn run<D: Driver>(setup: WorkerSetup<D>) -> io::Result<WorkerReport> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        // The releaser is one task among thousands while sessions connect: it has its turn more often.
        .event_interval(16)
        .build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let timer = Timer::new(setup.workload.file.engine.timer, setup.workload.spin_ns, setup.clock)?;
        let mut worker = Worker::new(setup);
        worker.live(&timer).await?;
        Ok(WorkerReport { key_counts: worker.key_counts.iter().map(|c| c.take()).collect() })
    })
}

struct Worker<D: Driver> {
    shared: Rc<Shared<D>>,
    timeline: Arc<Timeline>,
    workers: usize,
    out: Sender<Message>,
    /// Sessions that issue ops; those of a stream stand together.
    ops: Vec<OpsLink<D>>,
    watchers: Vec<WatchLink<D>>,
    /// Sessions that come and go; those of a stream stand together.
    lives: Vec<Rc<Life<D>>>,
    observers: Vec<ObserverLink<D>>,
    idle: Vec<IdleLink<D>>,
    open: Vec<OpenStream>,
    key_counts: Vec<Rc<KeyCounts>>,
    tasks: Vec<JoinHandle<()>>,
    /// Places in `ops` to which something was released since they were last pumped.
    touched: Vec<usize>,
    is_touched: Vec<bool>,
    /// Orders to reset connections that have been carried out.
    resets_done: u32,
}

/// A stream with a schedule.
struct OpenStream {
    schedule: Schedule,
    /// The next op: its number, and its time since the load's start.
    next: (u64, u64),
    sessions: u64,
    /// Place of the stream's first session on this worker.
    first: First,
}

/// Where the sessions of a stream begin.
#[derive(Debug, Clone, Copy)]
enum First {
    /// In `ops`.
    Ops(usize),
    /// In `lives`.
    Lives(usize),
}

impl<D: Driver> Worker<D> {
    fn new(setup: WorkerSetup<D>) -> Worker<D> {
        let workload = Arc::clone(&setup.workload);
        let timeline = setup.timeline;
        let recorder =
            Recorder::new(setup.id, Arc::clone(&timeline), setup.shape, setup.out.clone(), setup.back);
        let shared = Rc::new(Shared {
            driver: setup.driver,
            clock: setup.clock,
            workload: setup.workload,
            recorder: RefCell::new(recorder),
            first_connects: Semaphore::new(FIRST_CONNECTS),
            status: setup.status,
            next_keep_alive_ns: Cell::new(0),
            keep_alive_from_ns: Cell::new(0),
        });
        let mut worker = Worker {
            shared,
            timeline,
            workers: setup.workers,
            out: setup.out,
            ops: Vec::new(),
            watchers: Vec::new(),
            lives: Vec::new(),
            observers: Vec::new(),
            idle: Vec::new(),
            open: Vec::new(),
            key_counts: Vec::new(),
            tasks: Vec::new(),
            touched: Vec::new(),
            is_touched: Vec::new(),
            resets_done: 0,
        };
        for number in 0..workload.streams.len() {
            worker.add_stream(number, setup.id, setup.pool_len);
        }
        worker.is_touched = vec![false; worker.ops.len()];
        worker
    }

    /// Makes the sessions of a stream that are this worker's: every `workers`-th.
    fn add_stream(&mut self, number: usize, id: usize, pool_len: usize) {
        let workload = Arc::clone(&self.shared.workload);
        let stream = &workload.streams[number];
        let sessions = (id as u32..stream.sessions).step_by(self.workers);
        if let Some(watch) = stream.watch() {
            self.key_counts.push(KeyCounts::new(NO_NODES));
            self.watchers.extend(sessions.map(|session| {
                let part = WatchPart::new(number, session, stream, watch, workload.dataset);
                Link::new(number, session, part)
            }));
            return;
        }
        if let Some(life) = stream.life {
            return self.add_lives(number, life, sessions);
        }
        let backlog = self.add_schedule(number, First::Ops(self.ops.len()));
        let settings = OpsSettings {
            depth: stream.depth as usize,
            backlog,
            stream: number as u16,
            watched: Watched {
                data: workload.watched_nodes(Change::Data),
                children: workload.watched_nodes(Change::Children),
            },
            nodes: stream.nodes,
        };
        let has_keys = stream.ops.iter().any(|op| op.kind.has_key());
        let key_counts = KeyCounts::new(if has_keys { stream.nodes } else { NO_NODES });
        let newest = Rc::new(Cell::new(0));
        self.ops.extend(sessions.map(|session| {
            let seed = derive_seed(workload.seed, number, session.into());
            let source = OpSource::new(stream, session, pool_len, seed, &newest);
            let (timeline, place) = (Arc::clone(&self.timeline), Place::of(stream, number, session));
            let part = OpsPart::new(source, &settings, timeline, Rc::clone(&key_counts), place);
            Link::new(number, session, part)
        }));
        self.key_counts.push(key_counts);
    }

    /// Makes the sessions of a stream of session lives, and what goes with them.
    fn add_lives(&mut self, number: usize, life: plan::Life, sessions: impl ExactSizeIterator<Item = u32>) {
        self.key_counts.push(KeyCounts::new(NO_NODES));
        let workload = Arc::clone(&self.shared.workload);
        let stream = &workload.streams[number];
        if life.cycle == Cycle::Idle {
            self.idle.extend(sessions.map(|session| {
                let place = Place::of(stream, number, session);
                Link::new(number, session, IdlePart::new(number, Arc::clone(&self.timeline), place))
            }));
            return;
        }
        let observer = (life.cycle == Cycle::Expire && sessions.len() > 0).then(|| {
            let op = stream.op_names().len() - 1;
            let part =
                ObserverPart::new(number, op, Arc::clone(&self.timeline), D::NO_NODE, D::CONNECTION_LOST);
            Link::new(number, stream.sessions + self.shared.recorder.borrow().worker() as u32, part)
        });
        self.add_schedule(number, First::Lives(self.lives.len()));
        self.lives.extend(
            sessions
                .map(|session| Life::new(number, session, stream, life, &self.timeline, observer.as_ref())),
        );
        self.observers.extend(observer);
    }

    /// Makes the schedule of a stream, if it has one; returns how many ops of a session may then wait.
    fn add_schedule(&mut self, number: usize, first: First) -> Option<usize> {
        let workload = Arc::clone(&self.shared.workload);
        let stream = &workload.streams[number];
        let Load::Open { profile, arrival, backlog_per_session } = &stream.load else { return None };
        let mut schedule = Schedule::new(
            profile.clone(),
            *arrival,
            workload.warmup_ns as f64 / 1e9,
            derive_seed(workload.seed, number, u64::MAX),
        );
        let next = schedule.next_op();
        self.open.push(OpenStream { schedule, next, sessions: stream.sessions.into(), first });
        Some(*backlog_per_session)
    }

    async fn live(&mut self, timer: &Timer) -> io::Result<()> {
        for link in &self.ops {
            self.tasks.push(spawn_local(Rc::clone(link).run(Rc::clone(&self.shared))));
        }
        for link in &self.watchers {
            self.tasks.push(spawn_local(Rc::clone(link).run(Rc::clone(&self.shared))));
        }
        for link in &self.idle {
            self.tasks.push(spawn_local(Rc::clone(link).run(Rc::clone(&self.shared))));
        }
        for link in &self.observers {
            self.tasks.push(spawn_local(Rc::clone(link).run(Rc::clone(&self.shared))));
        }
        for life in &self.lives {
            self.tasks.push(spawn_local(Rc::clone(life).run(Rc::clone(&self.shared))));
        }
        let done = self.idle(timer).await? && self.run(timer).await? && self.drain(timer).await?;
        if done {
            self.settle(timer).await?;
        }
        self.close().await;
        Ok(())
    }

    fn cancelled(&self) -> bool {
        self.shared.status.cancel.load(Ordering::Relaxed)
    }

    fn now_ns(&self) -> u64 {
        self.shared.clock.now_ns()
    }

    /// Closes intervals that are over, keeps sessions alive, and resets connections where that was asked for.
    fn look(&mut self) -> u64 {
        let now_ns = self.now_ns();
        self.shared.recorder.borrow_mut().advance(now_ns);
        if self.shared.status.resets.asked() != self.resets_done {
            self.reset_connections();
        }
        if now_ns >= self.shared.next_keep_alive_ns.get() {
            let ops = self.ops.iter().map(|link| link.keep_alive(&self.shared, now_ns));
            let watchers = self.watchers.iter().map(|link| link.keep_alive(&self.shared, now_ns));
            let idle = self.idle.iter().map(|link| link.keep_alive(&self.shared, now_ns));
            let observers = self.observers.iter().map(|link| link.keep_alive(&self.shared, now_ns));
            let next_ns = ops.chain(watchers).chain(idle).chain(observers).min().unwrap_or(u64::MAX);
            let sessions = (self.ops.len() + self.watchers.len() + self.idle.len()) as u64;
            let round_ns = KEEP_ALIVE_ROUND_NS.0.max(KEEP_ALIVE_ROUND_NS.1 * sessions);
            self.shared.keep_alive_from_ns.set(now_ns + round_ns);
            self.shared.next_keep_alive_ns.set(next_ns.max(now_ns + round_ns));
        }
        now_ns
    }

    #[cold]
    fn reset_connections(&mut self) {
        let id = self.shared.recorder.borrow().worker();
        self.resets_done = self.shared.status.resets.carry_out(id, |member| {
            let ops = self.ops.iter().filter(|link| link.reset(member)).count();
            let watchers = self.watchers.iter().filter(|link| link.reset(member)).count();
            let idle = self.idle.iter().filter(|link| link.reset(member)).count();
            (ops + watchers + idle) as u64
        });
    }

    /// Until the load begins. Returns false when the run is cancelled.
    async fn idle(&mut self, timer: &Timer) -> io::Result<bool> {
        let mut reported = false;
        loop {
            let now_ns = self.look();
            if self.cancelled() {
                return Ok(false);
            }
            let events = self.shared.recorder.borrow_mut().take_early_events();
            if !events.is_empty() {
                let _ = self.out.send(Message::Events(events));
            }
            if self.shared.status.arm.load(Ordering::Relaxed) {
                for link in &self.watchers {
                    link.state.borrow_mut().part.enable();
                    link.pump(&self.shared, now_ns);
                }
                self.note_watch_failure();
                let is_armed = |link: &WatchLink<D>| link.state.borrow().part.is_armed();
                if !reported && self.watchers.iter().all(is_armed) {
                    reported = true;
                    self.shared.status.armed.fetch_add(1, Ordering::Relaxed);
                }
            }
            let start_ns = self.timeline.start_ns();
            if let Some(start_ns) = start_ns
                && now_ns >= start_ns
            {
                self.shared.recorder.borrow_mut().begin(start_ns);
                return Ok(true);
            }
            timer.until(start_ns.unwrap_or(u64::MAX).min(now_ns + LONGEST_SLEEP_NS)).await?;
        }
    }

    /// Tells why a stream's watches cannot be set, if one has found out.
    fn note_watch_failure(&self) {
        let failed = |link: &WatchLink<D>| Some((link.stream, link.state.borrow().part.failure()?));
        let Some((stream, failure)) = self.watchers.iter().find_map(failed) else { return };
        let cause = match failure {
            SettingFailure::Refused(code) => format!("the member answers {}", D::error_name(code)),
            SettingFailure::Closed => "the connection is lost each time they are asked for".to_owned(),
        };
        let failure = WatchFailure { stream, cause };
        *self.shared.status.watch_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }

    /// Until the measured window ends.
    async fn run(&mut self, timer: &Timer) -> io::Result<bool> {
        let start_ns = self.timeline.start_ns().unwrap_or_default();
        for link in &self.ops {
            if matches!(self.shared.workload.streams[link.stream].load, Load::Closed) {
                let now_ns = self.now_ns();
                link.state.borrow_mut().part.open_slots(
                    start_ns,
                    now_ns,
                    &mut self.shared.recorder.borrow_mut(),
                );
                link.pump(&self.shared, now_ns);
            }
        }
        for life in &self.lives {
            if matches!(self.shared.workload.streams[life.stream()].load, Load::Closed) {
                life.release(start_ns, self.now_ns(), &mut self.shared.recorder.borrow_mut());
            }
        }
        loop {
            let now_ns = self.look();
            if self.cancelled() {
                return Ok(false);
            }
            let next_ns = self.release(start_ns, now_ns);
            let end_ns = self.timeline.end_ns();
            if now_ns >= end_ns {
                return Ok(true);
            }
            // The readers have their turn after every release.
            tokio::task::yield_now().await;
            timer.until(next_ns.min(end_ns).min(now_ns + LONGEST_SLEEP_NS)).await?;
        }
    }

    /// Releases the ops whose time has come, hands over what may go, and returns the next one's time.
    fn release(&mut self, start_ns: u64, now_ns: u64) -> u64 {
        let next_ns = self.release_batch(start_ns, now_ns);
        for place in self.touched.drain(..) {
            self.is_touched[place] = false;
            self.ops[place].pump(&self.shared, now_ns);
        }
        next_ns
    }

    /// Releases the ops whose time has come, up to a batch of each stream, and returns the next one's time.
    fn release_batch(&mut self, start_ns: u64, now_ns: u64) -> u64 {
        let end_ns = self.timeline.end_ns();
        let mut next_ns = u64::MAX;
        {
            let mut recorder = self.shared.recorder.borrow_mut();
            for stream in &mut self.open {
                // Other workers' ops of the stream are drawn too, to be passed over.
                let mut to_draw = RELEASE_BATCH * self.workers;
                loop {
                    let intended_ns = start_ns.saturating_add(stream.next.1);
                    if intended_ns > now_ns || intended_ns >= end_ns || to_draw == 0 {
                        next_ns = next_ns.min(intended_ns);
                        break;
                    }
                    let session = stream.next.0 % stream.sessions;
                    if session % self.workers as u64 == recorder.worker() as u64 {
                        let place = session as usize / self.workers;
                        match stream.first {
                            First::Ops(first) => {
                                let place = first + place;
                                let state = &mut *self.ops[place].state.borrow_mut();
                                let open_ops = state.open_ops();
                                state.part.release(intended_ns, now_ns, open_ops, &mut recorder);
                                if !self.is_touched[place] {
                                    self.is_touched[place] = true;
                                    self.touched.push(place);
                                }
                            }
                            First::Lives(first) => {
                                self.lives[first + place].release(intended_ns, now_ns, &mut recorder);
                            }
                        }
                    }
                    to_draw -= 1;
                    stream.next = stream.schedule.next_op();
                }
            }
        }
        next_ns
    }

    /// Until every op has ended, by its reply or by the limit.
    async fn drain(&mut self, timer: &Timer) -> io::Result<bool> {
        let end_ns = self.timeline.end_ns();
        let limit_ns = end_ns + self.shared.workload.drain_ns;
        let start_ns = self.timeline.start_ns().unwrap_or_default();
        let mut all_released = false;
        loop {
            let now_ns = self.look();
            if self.cancelled() {
                return Ok(false);
            }
            if (all_released && !self.is_open()) || now_ns >= limit_ns {
                break;
            }
            if all_released {
                timer.until(now_ns + DRAIN_LOOK_NS).await?;
            } else {
                // What the schedule intended before the end, and was not released in the last batches.
                all_released = self.release(start_ns, now_ns) >= end_ns;
                tokio::task::yield_now().await;
            }
        }
        let now_ns = self.now_ns();
        for link in self.ops.iter().filter(|link| !all_released || link.is_open()) {
            link.cut(&self.shared, now_ns);
        }
        {
            let recorder = &mut self.shared.recorder.borrow_mut();
            self.lives.iter().for_each(|life| life.cut(now_ns, recorder));
            self.observers.iter().for_each(|link| link.state.borrow_mut().part.give_up(now_ns, recorder));
        }
        self.idle.iter().for_each(|link| link.state.borrow_mut().part.end());
        self.shed_all();
        // A generator that could not even release what it was to: that has been intended, too.
        while !all_released {
            let now_ns = self.look();
            if self.cancelled() {
                return Ok(false);
            }
            // A session that connects only now must not send any of it.
            all_released = self.release_batch(start_ns, now_ns) >= end_ns;
            for place in self.touched.drain(..) {
                self.is_touched[place] = false;
            }
            self.shed_all();
            tokio::task::yield_now().await;
        }
        self.shared.status.drained.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }

    /// Gives up all that waits.
    fn shed_all(&self) {
        let now_ns = self.now_ns();
        let mut recorder = self.shared.recorder.borrow_mut();
        self.ops.iter().for_each(|link| link.state.borrow_mut().part.shed_all(now_ns, &mut recorder));
        self.lives.iter().for_each(|life| life.shed_all(now_ns, &mut recorder));
    }

    /// Whether an op waits or is in flight, or something is awaited that belongs to the measured window.
    fn is_open(&self) -> bool {
        self.ops.iter().any(|link| link.is_open())
            || self.lives.iter().any(|life| life.is_open())
            || self.observers.iter().any(|link| link.state.borrow().part.is_open())
    }

    /// Until the watchers know what they are owed: all writers have to have ended before.
    async fn settle(&mut self, timer: &Timer) -> io::Result<()> {
        let others_limit_ns = self.now_ns() + self.shared.workload.drain_ns + LONGEST_SLEEP_NS;
        let watched = self.shared.workload.watches();
        while watched && (self.shared.status.drained.load(Ordering::Relaxed) as usize) < self.workers {
            let now_ns = self.look();
            if self.cancelled() || now_ns > others_limit_ns {
                break;
            }
            timer.until(now_ns + DRAIN_LOOK_NS).await?;
        }
        let limit_ns = self.now_ns() + SETTLE_LIMIT_NS;
        for link in &self.watchers {
            link.state.borrow_mut().part.end();
            link.pump(&self.shared, self.now_ns());
        }
        loop {
            let now_ns = self.look();
            let ended = self.watchers.iter().all(|link| link.state.borrow().part.has_ended());
            if ended || self.cancelled() || now_ns >= limit_ns {
                break;
            }
            timer.until(now_ns + DRAIN_LOOK_NS).await?;
        }
        let now_ns = self.now_ns();
        self.shared.recorder.borrow_mut().finish(now_ns);
        Ok(())
    }

    /// Ends the sessions.
    async fn close(&mut self) {
        self.ops.iter().for_each(|link| link.close());
        self.watchers.iter().for_each(|link| link.close());
        self.idle.iter().for_each(|link| link.close());
        self.observers.iter().for_each(|link| link.close());
        self.lives.iter().for_each(|life| life.close());
        let all = async {
            for task in &mut self.tasks {
                // A session that failed to close expires.
                let _ = task.await;
            }
        };
        let _ = tokio::time::timeout(CLOSE_LIMIT, all).await;
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
