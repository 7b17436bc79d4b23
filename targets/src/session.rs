//! Submit and complete: the interface between the load generator and a system.
//!
//! ```text
//!            submit(op, tag)              flush()                     receive()
//!   engine ────────────────► connection ──────────► Sink::sent(tag) ──────────► Sink::done(tag, …)
//! ```
//!
//! A connection belongs to one task of one thread. Submitting encodes; flushing hands bytes to the kernel, and
//! tells of each op when its last byte went; receiving reads what is there, and tells of each op whose reply is
//! complete. One clock reading per system call: just before a write, just after a read.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use crate::clock::Clock;
use crate::operation::{Change, OpKind, Operation};
use crate::socket::Socket;
use crate::tls::{MemberTls, TlsFailure};

/// What became of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded.
    Ok,
    /// The reply proves that it was not applied. The system's error code.
    Failed(i32),
    /// It was handed over, and there was no reply, or one that proves nothing.
    Unknown,
}

/// The end of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completion {
    /// The clock just after the read that brought the reply's last byte; for an op that was given up, the time
    /// at which it was.
    pub done_ns: u64,
    /// The clock just before the write that took the op's last byte (of a chain of requests: of the first).
    pub sent_ns: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// The reply's error code, also where it proves nothing; 0 without one.
    pub code: i32,
    /// The transaction id in the reply, 0 where there is none.
    pub zxid: i64,
    /// Bytes of the value read or written, where the op has one and succeeded.
    pub value_bytes: Option<u32>,
    /// The node's data version after the op, where the reply tells it; of an op about its children, their version; else −1.
    pub version: i32,
    /// The number the system gave to a sequential node.
    pub number: Option<u32>,
}

impl Completion {
    /// That of an op of which nothing is known.
    pub const NOTHING: Completion = Completion {
        done_ns: 0,
        sent_ns: 0,
        outcome: Outcome::Unknown,
        code: 0,
        zxid: 0,
        value_bytes: None,
        version: -1,
        number: None,
    };
}

/// A watch event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchEvent {
    /// The dataset's node that it is about, and what of it has changed; `None` when it is about something else.
    pub changed: Option<(u32, Change)>,
    /// The transaction that triggered it, where the system tells; else `None`.
    pub zxid: Option<i64>,
    /// The clock just after the read that brought its last byte.
    pub received_ns: u64,
}

/// Takes what a connection tells. `T` is the engine's own tag of an op.
pub trait Sink<T> {
    /// The op's last byte goes to the kernel now. `in_flight` counts the connection's unanswered ops, this one
    /// included.
    fn sent(&mut self, tag: &T, sent_ns: u64, in_flight: u64);
    /// The op has ended.
    fn done(&mut self, tag: T, op: Operation, completion: Completion);
    /// No byte of the op was handed over, and none will be on this connection.
    fn not_sent(&mut self, tag: T, op: Operation);
    /// A watch event came.
    fn event(&mut self, event: WatchEvent);
    /// A ping was answered.
    fn pinged(&mut self, _sent_ns: u64, _done_ns: u64) {}
    /// A ping that was sent is not answered on this connection any more.
    fn ping_lost(&mut self, _sent_ns: u64, _now_ns: u64) {}
    /// The ephemeral node `serial` of the stream's session number `session` is gone.
    fn gone(&mut self, _session: u32, _serial: u32, _received_ns: u64) {}
}

/// Why a connection is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The member closed it.
    #[error("the member closed the connection")]
    Closed,
    /// The operating system reports an error.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// What came is not the protocol's.
    #[error("the member broke the protocol: {0}")]
    Protocol(String),
    /// The connection is no longer secure.
    #[error("{0}")]
    Tls(String),
    /// Nothing came for as long as the client policy waits.
    #[error("nothing came from the member for {0} ms")]
    Silent(u64),
    /// Its own side reset it.
    #[error("reset on purpose")]
    OnPurpose,
}

/// What a connection that is being made waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// The TCP connection.
    Tcp,
    /// The TLS handshake.
    Tls,
    /// The session's handshake, whose request has been sent.
    Handshake,
}

impl fmt::Display for Waited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Waited::Tcp => "TCP connection",
            Waited::Tls => "TLS handshake",
            Waited::Handshake => "answer to the handshake",
        })
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The TCP connection could not be made.
    #[error("cannot connect: {0}")]
    Tcp(io::Error),
    /// It took too long.
    #[error("no {what} within {timeout_ms} ms")]
    Timeout {
        /// What was waited for.
        what: Waited,
        /// How long.
        timeout_ms: u64,
    },
    /// The member closed the connection during the handshake.
    #[error("the member closed the connection {0}")]
    Closed(&'static str),
    /// What came is not a handshake.
    #[error("the member does not speak the protocol: {0}")]
    Protocol(String),
    /// The member takes no sessions now.
    #[error("the member takes no sessions now: {0}")]
    Rejected(&'static str),
    /// The credentials were refused.
    #[error("the member refused the credentials")]
    AuthFailed,
    /// The member serves reads alone.
    #[error(
        "{0} is read-only, because it has lost its quorum: it takes no writes, and no clients that do not say that they \
         are content with that; start enough voters"
    )]
    ReadOnly(SocketAddr),
    /// The connection could not be secured.
    #[error(transparent)]
    Tls(#[from] TlsFailure),
}

impl ConnectError {
    /// Whether another attempt would end in the same way, so that there is no sense in one.
    pub fn is_final(&self) -> bool {
        match self {
            ConnectError::AuthFailed => true,
            ConnectError::Tls(failure) => failure.is_final(),
            _ => false,
        }
    }
}

/// Who a client is to the system, so that a session can be continued on another connection.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// The session's id; 0 before there is one.
    pub session_id: i64,
    /// Its password.
    pub password: Vec<u8>,
    /// The last transaction that the client has seen.
    pub last_zxid: i64,
    /// The session timeout granted, milliseconds; 0 before there is a session.
    pub timeout_ms: u32,
    /// Whether the member that it is connected to, or was last, is read-only.
    pub read_only: bool,
    /// Whether a read-only member made the session: no other member knows it.
    pub is_local: bool,
}

/// How a handshake ended, when it ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attached {
    /// With a new session.
    New,
    /// With the session that was asked for.
    Again,
    /// The session that was asked for is gone; the connection is, too.
    Expired,
}

/// One connection of a session.
pub trait Connection<T: Copy> {
    /// Encodes an op into the output buffer. It goes out with the next [`Connection::flush`].
    fn submit(&mut self, op: Operation, tag: T);

    /// Ops submitted and not ended.
    fn open_ops(&self) -> usize;

    /// Hands the output buffer to the kernel, as far as it takes it.
    fn flush(&mut self, clock: &Clock, sink: &mut impl Sink<T>) -> Result<(), ConnectionError>;

    /// Whether a part of the output buffer is left for when the socket is writable.
    fn wants_write(&self) -> bool;

    /// Reads once, and ends the ops whose replies are complete. Returns whether there may be more to read.
    fn receive(&mut self, clock: &Clock, sink: &mut impl Sink<T>) -> Result<bool, ConnectionError>;

    /// Keeps the session alive, and fails when the member has been silent for too long. The caller flushes, and
    /// calls again at the time returned, nanoseconds; it may do so earlier. Silence is believed at the second call
    /// that finds it, between which the socket has to be read.
    fn keep_alive(&mut self, now_ns: u64) -> Result<u64, ConnectionError>;

    /// Gives every open op up: as unknown if any of its bytes was handed over, else as not sent.
    fn abandon(&mut self, now_ns: u64, sink: &mut impl Sink<T>);

    /// Asks the system to end the session; the caller flushes, and the member then closes the connection.
    fn close_session(&mut self);

    /// The session, with what the connection has learnt.
    fn identity(&self) -> Identity;

    /// Request frames handed over so far.
    fn requests(&self) -> u64;

    /// The socket, to wait on.
    fn socket(&self) -> Rc<Socket>;
}

/// What connecting came to.
#[derive(Debug)]
pub struct Dialled<C> {
    /// Whose session it is.
    pub attached: Attached,
    /// The connection; none when the session has expired.
    pub connection: Option<C>,
    /// When each stage of it ended.
    pub stages: Stages,
}

/// When the stages of connecting ended: times on the run's clock, nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stages {
    /// Before the system was asked for a TCP connection.
    pub began_ns: u64,
    /// The TCP connection was established.
    pub connected_ns: u64,
    /// TLS was agreed on; the same as `connected_ns` without TLS.
    pub secured_ns: u64,
    /// The session was there, and the credentials were taken.
    pub attached_ns: u64,
}

/// One kind of system.
pub trait Driver: Clone + Send + 'static {
    /// Its connections.
    type Connection<T: Copy + 'static>: Connection<T>;

    /// Members that sessions may connect to.
    fn members(&self) -> &[Member];

    /// Connects session number `session` of stream number `stream` to a member: to continue `identity`'s session
    /// if it has one, else with a new one.
    fn connect<T: Copy + 'static>(
        &self,
        stream: usize,
        session: u32,
        member: usize,
        identity: &Identity,
        timeouts: Timeouts,
        clock: Clock,
    ) -> impl Future<Output = Result<Dialled<Self::Connection<T>>, ConnectError>>;

    /// What a role is called that a session is pinned to, asked of the member itself now.
    fn role(&self, member: usize) -> impl Future<Output = Option<String>>;

    /// What an attempt to connect that failed has come to, if connecting is what is measured: failed when the member
    /// cannot have made a session, else unknown.
    fn outcome_of(error: &ConnectError) -> Outcome;

    /// What has become of a session that a member says is gone, as an op's outcome.
    const EXPIRED: Outcome;

    /// What an op comes to whose node is not there.
    const NO_NODE: Outcome;

    /// What has become of a wait that a lost connection ended, where nothing was asked of the member.
    const CONNECTION_LOST: Outcome;

    /// The name of an error code.
    fn error_name(code: i32) -> Cow<'static, str>;

    /// What an op of this kind may return: `local`, `session`, `fresh` or `linearizable`.
    fn consistency(kind: OpKind) -> &'static str;

    /// Requests that an op of this kind takes.
    fn requests_per_op(kind: OpKind) -> u32;
}

/// A member as a client knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// As it was named, with its port.
    pub name: String,
    /// Its client address.
    pub address: SocketAddr,
    /// How connections to it are secured, if they are.
    pub tls: Option<MemberTls>,
}

impl Member {
    /// The name behind which its address was found; `None` when it was named by the address itself.
    pub fn looked_up_name(&self) -> Option<&str> {
        (self.name.parse() != Ok(self.address)).then_some(&self.name)
    }
}

/// How long a client waits, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timeouts {
    /// Session timeout to ask for.
    pub session_ms: u32,
    /// For the TCP connection with its TLS, and again for the session's handshake.
    pub connect_ms: u64,
    /// For anything at all to come, as a share of the session timeout granted.
    pub read_share: f64,
}
