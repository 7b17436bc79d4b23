//! A session's link to the system: it connects as the client policy says, reads what comes, and connects again.
//!
//! What the session is for is its [`Part`]'s affair: issuing ops, or watching.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use quorumeter_record::SessionChange;
use quorumeter_targets::policy::{Attempts, Policy};
use quorumeter_targets::session::{Attached, Dialled, Identity};
use quorumeter_targets::{Connection, ConnectionError, Driver, Sink};
use rand::{RngExt as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::ops::OpsPart;
use super::placement::{Candidates, NO_MEMBER_PAUSE, NO_SUCH_ROLE, tell, timeouts};
use super::recorder::Recorder;
use super::source::derive_seed;
use super::worker::Shared;

/// What a session is for.
pub(super) trait Part: 'static {
    /// What it wants back with each op's end.
    type Tag: Copy + 'static;

    /// The client policy, where it is not the stream's.
    const POLICY: Option<Policy> = None;

    /// Submits what may go now.
    fn fill(&mut self, connection: &mut impl Connection<Self::Tag>, recorder: &mut Recorder, now_ns: u64);

    /// Takes what the connection tells. `connected` is false when the connection is being given up.
    fn sink<'a>(&'a mut self, recorder: &'a mut Recorder, connected: bool) -> impl Sink<Self::Tag> + 'a;

    /// There is a new connection to this member; `same_session` when it continues the session.
    fn attached(&mut self, member: usize, same_session: bool, recorder: &mut Recorder, now_ns: u64);

    /// The connection is gone, and its ops have ended.
    fn detached(&mut self, recorder: &mut Recorder, now_ns: u64);
}

/// One session of one worker.
pub(super) struct Link<D: Driver, P: Part> {
    pub(super) stream: usize,
    pub(super) number: u32,
    pub(super) state: RefCell<State<D, P>>,
    /// Something is to be looked at before the socket is ready again.
    wake: Notify,
    closing: Cell<bool>,
}

/// What changes.
pub(super) struct State<D: Driver, P: Part> {
    pub(super) connection: Option<D::Connection<P::Tag>>,
    pub(super) part: P,
    /// The member that it is, or was last, connected to.
    member: usize,
    broken: Option<ConnectionError>,
    requests_counted: u64,
}

impl<D: Driver, P: Part> State<D, P> {
    /// Ops that the connection has not ended; so many that there is room for none when nothing more can go.
    pub(super) fn open_ops(&self) -> usize {
        match &self.connection {
            Some(connection) if self.broken.is_none() => connection.open_ops(),
            _ => usize::MAX,
        }
    }

    /// Submits what may go, and hands it over.
    pub(super) fn pump(&mut self, shared: &Shared<D>, stream: usize, now_ns: u64) {
        let Some(connection) = &mut self.connection else { return };
        if self.broken.is_some() {
            return;
        }
        let mut recorder = shared.recorder.borrow_mut();
        self.part.fill(connection, &mut recorder, now_ns);
        let result = connection.flush(&shared.clock, &mut self.part.sink(&mut recorder, true));
        let requests = connection.requests();
        recorder.requests(stream, requests - self.requests_counted);
        self.requests_counted = requests;
        self.broken = result.err();
    }
}

impl<D: Driver, P: Part> Link<D, P> {
    pub(super) fn new(stream: usize, number: u32, part: P) -> Rc<Link<D, P>> {
        Rc::new(Link {
            stream,
            number,
            state: RefCell::new(State {
                connection: None,
                part,
                member: 0,
                broken: None,
                requests_counted: 0,
            }),
            wake: Notify::new(),
            closing: Cell::new(false),
        })
    }

    /// Submits what may go, and hands it over; to be called when something was added to what may.
    pub(super) fn pump(&self, shared: &Shared<D>, now_ns: u64) {
        let mut state = self.state.borrow_mut();
        state.pump(shared, self.stream, now_ns);
        let wants = state.broken.is_some() || state.connection.as_ref().is_some_and(Connection::wants_write);
        if wants {
            self.wake.notify_one();
        }
    }

    /// Keeps the session alive; returns when this is to be called again, nanoseconds.
    pub(super) fn keep_alive(&self, shared: &Shared<D>, now_ns: u64) -> u64 {
        let mut state = self.state.borrow_mut();
        let Some(connection) = &mut state.connection else { return u64::MAX };
        match connection.keep_alive(now_ns) {
            Ok(next_ns) => {
                drop(state);
                self.pump(shared, now_ns);
                next_ns
            }
            Err(e) => {
                state.broken.get_or_insert(e);
                self.wake.notify_one();
                u64::MAX
            }
        }
    }

    /// Has the connection reset if it is one to this member, or to any; returns whether it is.
    pub(super) fn reset(&self, member: Option<usize>) -> bool {
        let mut state = self.state.borrow_mut();
        let Some(connection) = &state.connection else { return false };
        if state.broken.is_some() || member.is_some_and(|member| member != state.member) {
            return false;
        }
        // It fails only where there is no connection any more.
        let _ = connection.socket().reset_when_dropped();
        state.broken = Some(ConnectionError::OnPurpose);
        self.wake.notify_one();
        true
    }

    /// Ends the session at the server.
    pub(super) fn close(&self) {
        self.closing.set(true);
        self.wake.notify_one();
    }

    /// Ends the link at once: gives up what is in flight, and drops the connection.
    pub(super) fn cut(&self, shared: &Shared<D>, now_ns: u64) {
        self.give_up(shared, now_ns);
        self.state.borrow_mut().connection = None;
        self.close();
    }

    /// Gives up what the connection has in flight.
    fn give_up(&self, shared: &Shared<D>, now_ns: u64) {
        let mut state = self.state.borrow_mut();
        let State { connection, part, requests_counted, .. } = &mut *state;
        if let Some(connection) = connection {
            let mut recorder = shared.recorder.borrow_mut();
            connection.abandon(now_ns, &mut part.sink(&mut recorder, false));
            recorder.requests(self.stream, connection.requests() - *requests_counted);
            *requests_counted = connection.requests();
        }
    }

    /// Connects, serves, connects again: until the session is closed, or the policy gives up.
    pub(super) async fn run(self: Rc<Self>, shared: Rc<Shared<D>>) {
        let stream = &shared.workload.streams[self.stream];
        let seed = derive_seed(shared.workload.seed, self.stream, u64::from(self.number) | 1 << 40);
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut random = move || generator.random::<f64>();
        let policy = P::POLICY.unwrap_or(stream.policy);
        let candidates = Candidates::new(&shared, self.stream);
        let members = candidates.most();
        let mut dialler =
            Dialler { shared: &shared, link: &self, candidates, identity: Identity::default(), last: None };
        let first = self.number as usize % members;
        let mut attempts = Attempts::new(policy, members, first, &mut random);
        let mut ever_connected = false;
        while !self.closing.get() {
            // A session that never had a connection tries on, whatever its policy.
            if ever_connected && policy == Policy::None {
                return;
            }
            let attempt = attempts.next(&mut random);
            let pause_ms = if ever_connected { attempt.pause_ms } else { attempt.pause_ms.min(100.0) };
            if !self.pause(pause_ms).await {
                return;
            }
            let permit = match ever_connected {
                true => None,
                false => shared.first_connects.acquire().await.ok(),
            };
            match dialler.connect(attempt.member).await {
                Ok(connection) => {
                    attempts.succeeded();
                    if !ever_connected {
                        ever_connected = true;
                        shared.note_connected();
                    }
                    drop(permit);
                    let ended = self.serve(&shared, connection).await;
                    dialler.lost(ended);
                }
                Err(pause) => sleep(pause).await,
            }
        }
    }

    /// Pauses; returns false when the session is to end.
    async fn pause(&self, pause_ms: f64) -> bool {
        if pause_ms > 0.0 {
            let deadline = sleep(Duration::from_micros((pause_ms * 1e3) as u64));
            tokio::pin!(deadline);
            while !self.closing.get() {
                tokio::select! {
                    () = &mut deadline => break,
                    // Perhaps of the connection before, which is no reason to try earlier, or to try another member.
                    () = self.wake.notified() => {}
                }
            }
        }
        !self.closing.get()
    }

    /// Serves one connection to its end.
    async fn serve(&self, shared: &Rc<Shared<D>>, connection: D::Connection<P::Tag>) -> Ended {
        let socket = connection.socket();
        {
            let mut state = self.state.borrow_mut();
            state.requests_counted = 0;
            state.broken = None;
            state.connection = Some(connection);
            state.pump(shared, self.stream, shared.clock.now_ns());
            shared.keep_alive_is_due();
        }
        let mut closing = false;
        let error = loop {
            let wants_write = self.state.borrow().connection.as_ref().is_some_and(Connection::wants_write);
            tokio::select! {
                biased;
                ready = socket.ready(wants_write) => if let Err(e) = ready {
                    break Some(e.into());
                },
                () = self.wake.notified() => {}
            }
            match self.turn(shared, &mut closing) {
                Turn::Over(Some(ConnectionError::Silent(_))) => {
                    // What came during a pause of this process has not been read: the poll comes first.
                    yield_now().await;
                    if let Err(error) = self.listen_once_more(shared) {
                        break Some(error);
                    }
                }
                Turn::Over(error) => break error,
                Turn::Done => {}
                // The timer and the other sessions wait for this one: a session whose replies never end must not
                // keep them from their turn.
                Turn::MoreToRead => yield_now().await,
            }
        };
        // Nothing more is submitted.
        self.state.borrow_mut().broken.get_or_insert(ConnectionError::Closed);
        if matches!(error, Some(ConnectionError::Io(_) | ConnectionError::OnPurpose)) {
            // The socket is known to have something to read only after a poll.
            yield_now().await;
            self.read_the_rest(shared);
        }
        let now_ns = shared.clock.now_ns();
        self.give_up(shared, now_ns);
        let mut state = self.state.borrow_mut();
        let identity = state.connection.take().map(|c| c.identity()).unwrap_or_default();
        state.broken = None;
        state.part.detached(&mut shared.recorder.borrow_mut(), now_ns);
        Ended { at_ns: now_ns, error, identity }
    }

    /// What there is to do when the socket is ready or somebody woke the session.
    fn turn(&self, shared: &Shared<D>, closing: &mut bool) -> Turn {
        let mut state = self.state.borrow_mut();
        if let Some(error) = state.broken.take() {
            return Turn::Over(Some(error));
        }
        let Some(connection) = &mut state.connection else { return Turn::Over(None) };
        if self.closing.get() && !*closing {
            *closing = true;
            connection.close_session();
        }
        let more = match self.receive(&mut state, shared) {
            Ok(more) => more,
            Err(error) => return Turn::Over(Some(error).filter(|_| !*closing)),
        };
        state.pump(shared, self.stream, shared.clock.now_ns());
        match state.broken.take() {
            Some(error) => Turn::Over(Some(error)),
            None if more => Turn::MoreToRead,
            None => Turn::Done,
        }
    }

    /// Reads once; returns whether there may be more.
    fn receive(&self, state: &mut State<D, P>, shared: &Shared<D>) -> Result<bool, ConnectionError> {
        let State { connection, part, .. } = state;
        let Some(connection) = connection else { return Ok(false) };
        let mut recorder = shared.recorder.borrow_mut();
        connection.receive(&shared.clock, &mut part.sink(&mut recorder, true))
    }

    /// Reads from a connection that seemed silent; an error if it is.
    fn listen_once_more(&self, shared: &Shared<D>) -> Result<(), ConnectionError> {
        let mut state = self.state.borrow_mut();
        self.receive(&mut state, shared)?;
        match &mut state.connection {
            Some(connection) => connection.keep_alive(shared.clock.now_ns()).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Reads what had come before a connection broke: what the member has answered is not unknown.
    fn read_the_rest(&self, shared: &Shared<D>) {
        let mut state = self.state.borrow_mut();
        for _ in 0..LAST_READS {
            if !matches!(self.receive(&mut state, shared), Ok(true)) {
                break;
            }
        }
    }
}

/// How a connection ended.
struct Ended {
    /// When what was in flight was given up.
    at_ns: u64,
    /// Why; `None` when that was asked for.
    error: Option<ConnectionError>,
    identity: Identity,
}

/// How a session's turn ended.
enum Turn {
    Done,
    MoreToRead,
    /// The connection is of no use any more; without an error when that was asked for.
    Over(Option<ConnectionError>),
}

impl<D: Driver> Link<D, OpsPart> {
    /// Whether an op waits or is in flight.
    pub(super) fn is_open(&self) -> bool {
        let state = self.state.borrow();
        !state.part.is_idle() || state.connection.as_ref().is_some_and(|c| c.open_ops() > 0)
    }
}

/// Makes a session's connections, and tells of them.
struct Dialler<'a, D: Driver, P: Part> {
    shared: &'a Rc<Shared<D>>,
    link: &'a Link<D, P>,
    candidates: Candidates<'a, D>,
    identity: Identity,
    /// The member that served last.
    last: Option<usize>,
}

/// Reads from a broken connection, at most: far more than a socket's buffer holds.
const LAST_READS: usize = 1024;

impl<D: Driver, P: Part> Dialler<'_, D, P> {
    /// Makes attempt number `place` of the current round. An error is how long to wait, beyond what the policy
    /// says.
    async fn connect(&mut self, place: usize) -> Result<D::Connection<P::Tag>, Duration> {
        let shared = self.shared;
        let stream = &shared.workload.streams[self.link.stream];
        let candidates = self.candidates.now().await;
        if candidates.is_empty() {
            shared.note_failure(NO_SUCH_ROLE.to_owned());
            self.event(shared.clock.now_ns(), None, SessionChange::ConnectFailed, NO_SUCH_ROLE.to_owned());
            return Err(NO_MEMBER_PAUSE);
        }
        let member = candidates[place % candidates.len()];
        let timeouts = timeouts(stream, &self.identity, candidates.len());
        let (stream_number, session) = (self.link.stream, self.link.number);
        let result = shared
            .driver
            .connect::<P::Tag>(stream_number, session, member, &self.identity, timeouts, shared.clock)
            .await;
        match result {
            Ok(Dialled { attached: Attached::Expired, .. } | Dialled { connection: None, .. }) => {
                self.event(shared.clock.now_ns(), Some(member), SessionChange::Expired, String::new());
                self.identity = Identity::default();
                Err(Duration::ZERO)
            }
            Ok(Dialled { attached, connection: Some(connection), stages }) => {
                self.identity = connection.identity();
                let change = match attached {
                    Attached::Again if self.last == Some(member) => SessionChange::Reattached,
                    Attached::Again => SessionChange::Moved,
                    _ => SessionChange::Connected,
                };
                self.event(stages.attached_ns, Some(member), change, String::new());
                self.last = Some(member);
                let same = attached == Attached::Again;
                let now_ns = shared.clock.now_ns();
                let mut recorder = shared.recorder.borrow_mut();
                let mut state = self.link.state.borrow_mut();
                state.member = member;
                state.part.attached(member, same, &mut recorder, now_ns);
                Ok(connection)
            }
            Err(error) => {
                shared.note_connect_failure(member, &error);
                let now_ns = shared.clock.now_ns();
                self.event(now_ns, Some(member), SessionChange::ConnectFailed, error.to_string());
                Err(Duration::ZERO)
            }
        }
    }

    fn lost(&mut self, Ended { at_ns, error, identity }: Ended) {
        self.identity = identity;
        if let Some(error) = error {
            self.event(at_ns, self.last, SessionChange::Lost, error.to_string());
        }
    }

    fn event(&self, t_ns: u64, member: Option<usize>, change: SessionChange, cause: String) {
        let who = (self.link.stream, self.link.number, &self.identity);
        tell(self.shared, who, t_ns, member, change, cause);
    }
}
