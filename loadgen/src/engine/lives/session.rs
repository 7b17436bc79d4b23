//! What a life does: connecting, asking, holding, ending.

use std::rc::Rc;
use std::time::Duration;

use quorumeter_record::{OpPhase, SessionChange, stage};
use quorumeter_targets::policy::{Attempts, Policy};
use quorumeter_targets::session::{Attached, Dialled, Identity, Stages, WatchEvent};
use quorumeter_targets::{Completion, Connection, ConnectionError, Driver, Operation, Outcome, Sink, Value};
use rand::{RngExt as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use super::life::Life;
use super::observer::Awaited;
use crate::engine::history::Place;
use crate::engine::placement::{Candidates, NO_MEMBER_PAUSE, NO_SUCH_ROLE, tell, timeouts};
use crate::engine::recorder::{Observed, Tag};
use crate::engine::source::derive_seed;
use crate::engine::worker::Shared;
use crate::keys::KeyChooser;
use crate::plan::{Cycle, Load};

/// How long a closed loop pauses after an attempt that failed: it would do nothing else.
const FAILED_PAUSE: Duration = Duration::from_millis(10);

/// The sessions of one life, one after the other.
pub(super) struct Session<'a, D: Driver> {
    life: &'a Life<D>,
    shared: &'a Rc<Shared<D>>,
    candidates: Candidates<'a, D>,
    attempts: Attempts,
    random: Xoshiro256PlusPlus,
    keys: KeyChooser,
    identity: Identity,
    connection: Option<D::Connection<()>>,
    /// The member that served last.
    last: Option<usize>,
    /// Sessions made, of which the next one's member follows.
    made: usize,
    /// Ephemeral nodes created.
    serial: u32,
    ever_connected: bool,
    /// Of the connection's requests.
    requests_counted: u64,
}

/// How an attempt to connect ended.
enum Attempt {
    /// There is a connection.
    Connected(Attached, Stages),
    /// The session is gone.
    Expired,
    /// There is none.
    Failed(Outcome),
}

impl<'a, D: Driver> Session<'a, D> {
    pub(super) fn new(life: &'a Life<D>, shared: &'a Rc<Shared<D>>) -> Session<'a, D> {
        let stream = &shared.workload.streams[life.stream];
        let seed = derive_seed(shared.workload.seed, life.stream, u64::from(life.number) | 1 << 40);
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let candidates = Candidates::new(shared, life.stream);
        let members = candidates.most();
        let first = life.number as usize % members;
        let attempts = Attempts::new(stream.policy, members, first, &mut || random.random());
        let keys = KeyChooser::new(stream.keys, stream.nodes, life.number, stream.sessions, &Rc::default());
        Session {
            life,
            shared,
            candidates,
            attempts,
            random,
            keys,
            identity: Identity::default(),
            connection: None,
            last: None,
            made: 0,
            serial: 0,
            ever_connected: false,
            requests_counted: 0,
        }
    }

    fn cycle(&self) -> Cycle {
        self.life.plan.cycle
    }

    fn policy(&self) -> Policy {
        self.shared.workload.streams[self.life.stream].policy
    }

    fn now_ns(&self) -> u64 {
        self.shared.clock.now_ns()
    }

    pub(super) async fn run(mut self) {
        while let Some(tag) = self.next_op().await {
            self.live(tag).await;
            let now_ns = self.now_ns();
            self.life.release_next(now_ns, &mut self.shared.recorder.borrow_mut());
        }
        if self.connection.is_some() {
            // Of no interest, and bounded by how long the worker waits for its sessions.
            let _ = self.ask(Operation::Close).await;
        }
        self.let_go();
    }

    /// Waits for the next op; `None` when the session is to end.
    async fn next_op(&mut self) -> Option<Tag> {
        loop {
            if self.life.closing.get() {
                return None;
            }
            if self.cycle().connects_first()
                && self.connection.is_none()
                && (!self.ever_connected || self.policy().reconnects())
            {
                self.attach().await;
                continue;
            }
            if let Some(tag) = self.life.take_waiting() {
                return Some(tag);
            }
            self.life.set_free(true);
            let tended = self.tend(u64::MAX).await;
            self.life.set_free(false);
            if let Err(error) = tended {
                self.lost(&error);
            }
        }
    }

    /// Connects as the client policy says, outside of any op.
    async fn attach(&mut self) {
        let permit = match self.ever_connected {
            true => None,
            false => self.shared.first_connects.acquire().await.ok(),
        };
        while !self.life.closing.get() {
            let attempt = self.attempts.next(&mut || self.random.random());
            // A session that never had a connection is not made to wait by its policy.
            let pause_ms = if self.ever_connected { attempt.pause_ms } else { attempt.pause_ms.min(100.0) };
            if self.pause(pause_ms).await
                && let Attempt::Connected(..) = self.connect(attempt.member).await
            {
                break;
            }
        }
        drop(permit);
    }

    /// Pauses; returns false when the session is to end.
    async fn pause(&self, pause_ms: f64) -> bool {
        if pause_ms > 0.0 {
            let deadline = sleep(Duration::from_micros((pause_ms * 1e3) as u64));
            tokio::pin!(deadline);
            while !self.life.closing.get() {
                tokio::select! {
                    () = &mut deadline => break,
                    () = self.life.wake.notified() => {}
                }
            }
        }
        !self.life.closing.get()
    }

    /// One attempt to connect with the identity that there is, to the candidate at this place.
    async fn connect(&mut self, place: usize) -> Attempt {
        let candidates = self.candidates.now().await;
        if candidates.is_empty() {
            self.shared.note_failure(NO_SUCH_ROLE.to_owned());
            self.tell(None, SessionChange::ConnectFailed, NO_SUCH_ROLE.to_owned());
            sleep(NO_MEMBER_PAUSE).await;
            return Attempt::Failed(D::CONNECTION_LOST);
        }
        let member = candidates[place % candidates.len()];
        let (stream, number) = (self.life.stream, self.life.number);
        let timeouts = timeouts(&self.shared.workload.streams[stream], &self.identity, candidates.len());
        let shared = self.shared;
        let dialled =
            shared.driver.connect(stream, number, member, &self.identity, timeouts, shared.clock).await;
        match dialled {
            Ok(Dialled { attached, connection: Some(connection), stages }) => {
                self.identity = connection.identity();
                self.connection = Some(connection);
                self.last = Some(member);
                self.life.set_connected(Some(member));
                self.attempts.succeeded();
                if !self.ever_connected {
                    self.ever_connected = true;
                    if self.cycle().connects_first() {
                        shared.note_connected();
                    }
                }
                let mut recorder = shared.recorder.borrow_mut();
                recorder.open(stream, 1);
                recorder.lives(stream).granted(self.identity.timeout_ms);
                Attempt::Connected(attached, stages)
            }
            Ok(_) => {
                self.tell(Some(member), SessionChange::Expired, String::new());
                self.identity = Identity::default();
                Attempt::Expired
            }
            Err(error) => {
                shared.note_connect_failure(member, &error);
                self.tell(Some(member), SessionChange::ConnectFailed, error.to_string());
                Attempt::Failed(D::outcome_of(&error))
            }
        }
    }

    /// One op, and what comes after it.
    async fn live(&mut self, tag: Tag) {
        // Of `reattach` it is the op to do without it from now on.
        self.let_go();
        let begun_ns = self.now_ns();
        self.life.begin_op(tag, begun_ns, &mut self.shared.recorder.borrow_mut());
        let attempt = match self.cycle() {
            Cycle::Reattach => self.reattach().await,
            _ => {
                self.identity = Identity::default();
                self.made += 1;
                self.connect(self.life.number as usize + self.made - 1).await
            }
        };
        let stages = match attempt {
            Attempt::Connected(_, stages) => stages,
            Attempt::Expired => return self.end_op(D::EXPIRED),
            Attempt::Failed(outcome) => {
                self.end_op(outcome);
                if matches!(self.shared.workload.streams[self.life.stream].load, Load::Closed) {
                    sleep(FAILED_PAUSE).await;
                }
                return;
            }
        };
        self.observe_stages(tag.phase, stages);
        let op = self.first_op();
        match self.ask(op).await {
            Ok(completion) => {
                let Completion { sent_ns, done_ns, outcome, .. } = completion;
                // Of an op that was given up before, nothing more is told.
                if self.end_op_at(done_ns, outcome) {
                    self.observe(stage::FIRST_OP, tag.phase, sent_ns, done_ns, outcome);
                }
                self.after(tag, completion).await;
            }
            Err(error) => {
                let now_ns = self.now_ns();
                if self.end_op_at(now_ns, Outcome::Unknown) {
                    self.observe(stage::FIRST_OP, tag.phase, stages.attached_ns, now_ns, Outcome::Unknown);
                }
                self.lost(&error);
            }
        }
    }

    fn end_op(&self, outcome: Outcome) {
        self.end_op_at(self.now_ns(), outcome);
    }

    fn end_op_at(&self, done_ns: u64, outcome: Outcome) -> bool {
        self.life.end_op(done_ns, outcome, &mut self.shared.recorder.borrow_mut())
    }

    /// Counts the requests that the connection has handed over since they were counted last.
    fn count_requests(&mut self) {
        if let Some(connection) = &self.connection {
            let requests = connection.requests();
            self.shared.recorder.borrow_mut().requests(self.life.stream, requests - self.requests_counted);
            self.requests_counted = requests;
        }
    }

    /// Takes the session up again, as the client policy says.
    async fn reattach(&mut self) -> Attempt {
        let had_session = self.identity.session_id != 0;
        loop {
            let attempt = self.attempts.next(&mut || self.random.random());
            if !self.pause(attempt.pause_ms).await {
                return Attempt::Failed(D::CONNECTION_LOST);
            }
            match self.connect(attempt.member).await {
                Attempt::Failed(outcome) if !self.policy().reconnects() => return Attempt::Failed(outcome),
                Attempt::Failed(_) => self.shared.recorder.borrow_mut().lives(self.life.stream).retries += 1,
                // Some servers give a new session to whoever asks for one that is gone.
                Attempt::Connected(Attached::New, _) if had_session => {
                    self.tell(self.last, SessionChange::Expired, String::new());
                    return Attempt::Expired;
                }
                ended => return ended,
            }
        }
    }

    fn first_op(&mut self) -> Operation {
        if self.cycle().reads() {
            return Operation::Read { key: self.keys.next_key(false, &mut self.random) };
        }
        self.serial += 1;
        Operation::CreateEphemeral { serial: self.serial, value: Value::default() }
    }

    /// What comes after the op.
    async fn after(&mut self, tag: Tag, first_op: Completion) {
        match self.cycle() {
            Cycle::Close | Cycle::Drop => {
                let to_its_end = self.hold().await;
                if self.connection.is_some() && (self.cycle() == Cycle::Close || !to_its_end) {
                    self.close(tag.phase, to_its_end).await;
                }
                self.let_go();
            }
            Cycle::Expire if first_op.outcome == Outcome::Ok => self.fall_silent(first_op.sent_ns).await,
            Cycle::Expire => {
                self.close(tag.phase, false).await;
                self.let_go();
            }
            Cycle::Reattach | Cycle::Idle => {}
        }
    }

    /// Holds the session for as long as the plan says, or until the load ends; returns whether it was to its end.
    async fn hold(&mut self) -> bool {
        if self.life.plan.hold_ns == 0 {
            return true;
        }
        let until_ns = self.now_ns() + self.life.plan.hold_ns;
        loop {
            let now_ns = self.now_ns();
            if now_ns >= until_ns {
                return true;
            }
            if self.life.closing.get() || now_ns >= self.life.timeline.end_ns() {
                return false;
            }
            if let Err(error) = self.tend(until_ns.min(self.life.timeline.end_ns())).await {
                self.lost(&error);
                return false;
            }
        }
    }

    /// Closes the session at the member; how long that takes is of interest when it was held to its end.
    async fn close(&mut self, phase: OpPhase, observed: bool) {
        self.life.set_ending(observed);
        let begun_ns = self.now_ns();
        let closed = self.ask(Operation::Close).await;
        if observed {
            match closed {
                Ok(closed) => {
                    self.observe(stage::CLOSE, phase, closed.sent_ns, closed.done_ns, closed.outcome);
                }
                Err(_) => self.observe(stage::CLOSE, phase, begun_ns, self.now_ns(), Outcome::Unknown),
            }
        }
        self.life.set_ending(false);
    }

    /// Says nothing any more, until the session is gone.
    async fn fall_silent(&mut self, last_sent_ns: u64) {
        let Some(observer) = &self.life.observer else { return };
        let due_ns = last_sent_ns + u64::from(self.identity.timeout_ms) * 1_000_000;
        self.life.gone.take();
        let node = (self.life.number, self.serial);
        let awaited = Awaited { due_ns, gone: Rc::clone(&self.life.gone), place: self.life.place.get() };
        observer.state.borrow_mut().part.watch(node, awaited);
        observer.pump(self.shared, self.now_ns());
        while !self.life.closing.get() {
            tokio::select! {
                () = self.life.gone.changed() => if self.life.gone.take() {
                    return self.let_go();
                },
                () = self.life.wake.notified() => {}
            }
        }
    }

    /// Asks for one thing, and waits for the answer.
    async fn ask(&mut self, op: Operation) -> Result<Completion, ConnectionError> {
        let stream = &self.shared.workload.streams[self.life.stream];
        let limit_ms = (f64::from(self.identity.timeout_ms) * stream.policy.read_share()) as u64;
        let Some(connection) = &mut self.connection else { return Err(ConnectionError::Closed) };
        let clock = &self.shared.clock;
        let answered = timeout(Duration::from_millis(limit_ms), async {
            let mut answer = Answer::default();
            connection.submit(op, ());
            let socket = connection.socket();
            loop {
                connection.flush(clock, &mut answer)?;
                if let Some(completion) = answer.completion {
                    return Ok(completion);
                }
                socket.ready(connection.wants_write()).await?;
                let received = connection.receive(clock, &mut answer);
                // What has been answered is answered, though the connection ends with it.
                if let Some(completion) = answer.completion {
                    return Ok(completion);
                }
                received?;
            }
        })
        .await
        .unwrap_or(Err(ConnectionError::Silent(limit_ms)));
        self.count_requests();
        answered
    }

    /// Keeps the session alive until `until_ns`, or until it is woken.
    async fn tend(&mut self, until_ns: u64) -> Result<(), ConnectionError> {
        let Some(connection) = &mut self.connection else {
            self.life.wake.notified().await;
            return Ok(());
        };
        let clock = &self.shared.clock;
        let socket = connection.socket();
        loop {
            let now_ns = clock.now_ns();
            if now_ns >= until_ns {
                return Ok(());
            }
            let next_ns = connection.keep_alive(now_ns)?.min(until_ns);
            connection.flush(clock, &mut Answer::default())?;
            if next_ns <= now_ns {
                // What came during a pause of this process has not been read: the poll comes first.
                yield_now().await;
            }
            tokio::select! {
                biased;
                ready = socket.ready(connection.wants_write()) => {
                    ready?;
                    connection.receive(clock, &mut Answer::default())?;
                }
                () = self.life.wake.notified() => return Ok(()),
                () = sleep(Duration::from_nanos(next_ns.saturating_sub(now_ns))) => {}
            }
        }
    }

    /// The connection broke.
    fn lost(&mut self, error: &ConnectionError) {
        if self.connection.is_some() {
            self.shared.recorder.borrow_mut().lives(self.life.stream).lost_connections += 1;
            self.tell(self.last, SessionChange::Lost, error.to_string());
            self.let_go();
        }
    }

    /// Drops the connection, if there is one.
    fn let_go(&mut self) {
        self.count_requests();
        if let Some(connection) = self.connection.take() {
            self.requests_counted = 0;
            self.identity = connection.identity();
            self.life.set_connected(None);
            self.shared.recorder.borrow_mut().open(self.life.stream, -1);
        }
    }

    /// These have no rows in a history: they are told of when others have ended that began later.
    fn observe_stages(&self, phase: OpPhase, stages: Stages) {
        let observe = |stage, began_ns, done_ns| {
            self.observe_at(None, stage, phase, began_ns, done_ns, Outcome::Ok);
        };
        observe(stage::TCP, stages.began_ns, stages.connected_ns);
        if stages.secured_ns > stages.connected_ns {
            observe(stage::TLS, stages.connected_ns, stages.secured_ns);
        }
        observe(stage::HANDSHAKE, stages.secured_ns, stages.attached_ns);
    }

    fn observe(&self, stage: &str, phase: OpPhase, began_ns: u64, done_ns: u64, outcome: Outcome) {
        self.observe_at(self.life.place.get(), stage, phase, began_ns, done_ns, outcome);
    }

    fn observe_at(
        &self,
        place: Option<Place>,
        stage: &str,
        phase: OpPhase,
        began_ns: u64,
        done_ns: u64,
        outcome: Outcome,
    ) {
        let cycle = self.cycle();
        let scheduled = usize::from(cycle.op().is_some());
        if let Some(op) = cycle.stages().iter().position(|s| *s == stage) {
            let what = Observed { stream: self.life.stream, op: scheduled + op, phase, place };
            self.shared.recorder.borrow_mut().observed(what, began_ns, done_ns, outcome);
        }
    }

    fn tell(&self, member: Option<usize>, change: SessionChange, cause: String) {
        let who = (self.life.stream, self.life.number, &self.identity);
        tell(self.shared, who, self.now_ns(), member, change, cause);
    }
}

/// Waits for one answer.
#[derive(Default)]
struct Answer {
    completion: Option<Completion>,
}

impl Sink<()> for Answer {
    fn sent(&mut self, (): &(), _: u64, _: u64) {}

    fn done(&mut self, (): (), _: Operation, completion: Completion) {
        self.completion = Some(completion);
    }

    fn not_sent(&mut self, (): (), _: Operation) {}

    fn event(&mut self, _: WatchEvent) {}
}
