//! The scripted server: an embedded member that does wrong what a script says, when it says so. It is what a
//! load generator's own behaviour is tested against.
//!
//! ```no_run
//! use std::time::Duration;
//! use quorumeter_ensemble::scripted::{Action, Script, Scripted, Step, Trigger};
//!
//! let when = Trigger::AtOp { op: None, number: 5_000 };
//! let stall = Step { when, what: Action::Stall(Duration::from_secs(1)) };
//! let server = Scripted::start(Script { steps: vec![stall], ..Script::default() })?;
//! println!("load goes to {}", server.address());
//! println!("{:?}", server.log());
//! # Ok::<(), std::io::Error>(())
//! ```

mod replies;
mod service;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use quorumeter_zk::event::EventType;
use quorumeter_zk::{ErrorCode, OpCode};
use tokio::sync::Notify;

use crate::embedded;
use crate::serving::{self, Addresses, Running};

/// What a scripted server does.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// What goes wrong, and when. Steps that are due at the same op are done in their order.
    pub steps: Vec<Step>,
    /// Which ops are counted.
    pub counting: Counting,
    /// How the member is set up that the server is otherwise. It has no AdminServer.
    pub member: embedded::Options,
}

/// One thing that goes wrong, once.
#[derive(Debug, Clone)]
pub struct Step {
    /// When.
    pub when: Trigger,
    /// What.
    pub what: Action,
}

/// Which ops count. An op that reads or writes znodes may count; pings, auth, watches and the end of a
/// session never do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Counting {
    /// All of them.
    #[default]
    FromStart,
    /// All of them after [`Scripted::arm`].
    ByHand,
    /// Those whose path contains this, of a multi: whose first op's path does.
    Paths(String),
}

/// When a step is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// So long after the server's start.
    AfterStart(Duration),
    /// So long after the first op that counts.
    AfterFirstOp(Duration),
    /// When the op of this number arrives, counted from 1 over all connections; ops of one kind, or all. It
    /// is done before the op: what concerns replies begins with the reply to this op.
    AtOp {
        /// The kind; `None` for all.
        op: Option<OpCode>,
        /// The number.
        number: u64,
    },
    /// When the connection of this number is accepted, counted from 1.
    AtConnection(u64),
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Nothing is read and nothing is sent for so long; then everything goes on. The op that this begins at
    /// is done, and answered at the end.
    Stall(Duration),
    /// Every reply is sent so much later, in order; zero ends it. Events are not delayed.
    DelayReplies(Duration),
    /// The next replies to ops that count go wrong.
    Replies {
        /// How.
        fault: ReplyFault,
        /// How many.
        count: u64,
    },
    /// All connections are closed. The op that this begins at is done and not answered.
    CloseAll,
    /// The same with TCP resets.
    ResetAll,
    /// New connections are refused for so long.
    RefuseConnections(Duration),
    /// The next handshakes go wrong. A connection for a four-letter word is a handshake until it says so.
    Handshakes {
        /// How.
        fault: HandshakeFault,
        /// How many.
        count: u64,
    },
    /// Of the ops that count, every so many-th one is not done and answered with an error; 0 ends it.
    FailEvery {
        /// Ops from one to the next.
        every: u64,
        /// The error.
        code: ErrorCode,
    },
    /// Every write that counts is not done and answered with an error; `None` ends it.
    RefuseWrites(Option<ErrorCode>),
    /// The session of the op that this begins at expires, and the op is not done; without an op, all
    /// sessions.
    ExpireSession,
    /// Events carry this zxid, −1 as before 3.9; `None` ends it.
    EventZxid(Option<i64>),
    /// So many events are lost.
    DropEvents(u64),
    /// So many events are sent twice.
    DuplicateEvents(u64),
    /// The member has lost its quorum, or has it again: all connections are closed, and until it has it again, only
    /// clients that say `read_only` get new ones, and writes are answered with NotReadOnly.
    ReadOnly(bool),
    /// The member says that it is of another version.
    Version(String),
    /// addWatch is not known, as before 3.6.
    NoAddWatch(Unknown),
}

/// What becomes of a request that the server does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// It is answered with the error unimplemented.
    Unimplemented,
    /// The connection is closed.
    Close,
}

/// How a reply goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyFault {
    /// It is never sent.
    Drop,
    /// Its xid is 1,000 more than the request's.
    WrongXid,
    /// It is sent behind the next reply of its connection.
    Swap,
    /// Half of it is sent, and then nothing ever.
    HalfThenSilence,
    /// Half of it is sent, and then the connection is closed.
    HalfThenClose,
    /// In its place a frame of 2 GiB begins, and then nothing ever.
    HugeLength,
    /// These bytes are sent before it.
    Garbage(Vec<u8>),
    /// An event that nobody asked for is sent before it.
    Notification(EventType, String),
    /// The connection is closed instead: the op is done, and its client does not know.
    Close,
    /// The same with a TCP reset.
    Reset,
}

/// How a handshake goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeFault {
    /// Nothing is read or sent after the connection is accepted.
    Silence,
    /// The connection is closed at once.
    CloseOnAccept,
    /// The connection is closed when the request has been read. There is no session.
    CloseAfterRequest,
    /// The connection is closed after half of the response. There is a session.
    CloseInResponse,
    /// The response says that the session has expired.
    Expired,
}

/// Something that was done.
#[derive(Debug, Clone)]
pub struct Done {
    /// When.
    pub at: Instant,
    /// Number of the connection, counted from 1; `None` when it concerns all or none.
    pub connection: Option<u64>,
    /// Ops counted until then.
    pub ops: u64,
    /// What.
    pub action: Action,
    /// Which part of it.
    pub stage: Stage,
}

/// A part of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its trigger came.
    Began,
    /// It hit a reply, a request or a handshake.
    Hit,
    /// Its time is over.
    Ended,
}

/// What a connection did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests received, the handshake not included.
    pub requests: u64,
    /// Of these, ops that count.
    pub counted: u64,
}

/// A scripted server on a thread of its own; it stops when this is dropped.
#[derive(Debug)]
pub struct Scripted {
    shared: Arc<Shared>,
    running: Running,
}

/// What the server's thread and its handle share.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    woken: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    log: Vec<Done>,
    connections: BTreeMap<u64, Counts>,
    counted: u64,
    is_armed: bool,
    orders: Vec<Action>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A thread that panics leaves counters behind, nothing half done.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Scripted {
    /// Starts a server.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn start(script: Script) -> io::Result<Scripted> {
        let shared = Arc::new(Shared::default());
        let server_shared = Arc::clone(&shared);
        let addresses = Addresses { client: script.member.address, admin: None };
        let running = serving::start("scripted", addresses, script.member.limits(), move |address| {
            service::ScriptedMember::new(script, address, server_shared)
        })?;
        Ok(Scripted { shared, running })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.running.address()
    }

    /// Starts counting, with [`Counting::ByHand`].
    pub fn arm(&self) {
        self.shared.state().is_armed = true;
    }

    /// Does something now, as a step of the script would.
    pub fn act(&self, action: Action) {
        self.shared.state().orders.push(action);
        self.shared.woken.notify_one();
    }

    /// What was done so far.
    pub fn log(&self) -> Vec<Done> {
        self.shared.state().log.clone()
    }

    /// Ops counted so far.
    pub fn counted(&self) -> u64 {
        self.shared.state().counted
    }

    /// The connections so far, by number.
    pub fn connections(&self) -> BTreeMap<u64, Counts> {
        self.shared.state().connections.clone()
    }
}
