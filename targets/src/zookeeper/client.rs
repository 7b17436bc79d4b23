//! A small client for everything that is not measured: precheck, prefill, clean-up.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use quorumeter_zk::event::WatchedEvent;
use quorumeter_zk::four_letter::Mode;
use quorumeter_zk::frame::{self, Front};
use quorumeter_zk::op::xid;
use quorumeter_zk::reply::ReplyHeader;
use quorumeter_zk::request::{Create, Request, VersionedPath, WatchedPath, create_mode};
use quorumeter_zk::{Acl, ErrorCode, OpCode, Reply, Stat};
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, sleep, timeout_at};

use super::admin;
use super::connection::MAX_REPLY;
use super::dial::{self, DialSettings};
use crate::clock::Clock;
use crate::session::{Attached, ConnectError, Dialled, Identity, Member, Timeouts};
use crate::stream::Stream;
use crate::tls::{self, TlsFailure};

/// Why a request of the client was not answered as hoped.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no connection to be had.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection was lost, and what was open on it with it.
    #[error("the connection to {address} was lost: {cause}")]
    Lost {
        /// The member.
        address: SocketAddr,
        /// Why.
        cause: String,
    },
    /// No answer in time.
    #[error("{address} did not answer a {op} request within {timeout_ms} ms")]
    Timeout {
        /// The member.
        address: SocketAddr,
        /// The request.
        op: OpCode,
        /// How long the client waited.
        timeout_ms: u64,
    },
    /// The server answered with an error.
    #[error("{op} {path}: {code}")]
    Server {
        /// The request.
        op: OpCode,
        /// Its path; empty for requests without one.
        path: String,
        /// The error.
        code: ErrorCode,
    },
    /// What came is not the protocol's.
    #[error("{address} broke the protocol: {cause}")]
    Protocol {
        /// The member.
        address: SocketAddr,
        /// How.
        cause: String,
    },
}

impl ClientError {
    /// The server's error code, when it is one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            ClientError::Server { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// One session, one connection at a time. When the connection is gone, the next call tries all members once to
/// continue the session; when it has expired, with a new one.
pub struct Client {
    members: Vec<Member>,
    at: usize,
    timeouts: Timeouts,
    settings: DialSettings,
    identity: Identity,
    stream: Option<Stream>,
    input: Vec<u8>,
    next_xid: i32,
    expired: bool,
    connections: u64,
    /// Paths of watch events that came and were not taken, the latest ones.
    events: VecDeque<String>,
}

/// Watch events that are kept for whoever asks for them.
const EVENTS_MAX: usize = 64;

/// Longest wait for a member to tell why it gives no session.
const EXPLANATION_LIMIT: Duration = Duration::from_millis(500);

/// Longest wait for the reply to any one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

impl Client {
    /// Connects to the first of the members that gives a session; tries all of them again until `deadline` has
    /// passed. The error is that of the last attempt.
    pub async fn connect(
        members: Vec<Member>,
        timeouts: Timeouts,
        settings: DialSettings,
        deadline: Duration,
    ) -> Result<Client, ClientError> {
        let mut client = Client {
            members,
            at: 0,
            timeouts,
            settings,
            identity: Identity::default(),
            stream: None,
            input: Vec::new(),
            next_xid: 1,
            expired: false,
            connections: 0,
            events: VecDeque::new(),
        };
        let end = Instant::now() + deadline;
        loop {
            match client.attach().await {
                Ok(()) => return Ok(client),
                Err(ClientError::Connect(e)) if e.is_final() => return Err(e.into()),
                Err(e) if Instant::now() >= end => return Err(client.explained(e).await),
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// A member that waits for TLS closes a connection without, and so does a read-only one whose client does not say
    /// that it may be; neither says why: they are asked.
    async fn explained(&self, error: ClientError) -> ClientError {
        // The one that failed last; the next attempt would be the next one's.
        let members = self.members.len();
        let member = &self.members[(self.at + members - 1) % members];
        let limit = Duration::from_millis(self.timeouts.connect_ms);
        if matches!(error, ClientError::Connect(ConnectError::Closed(_)))
            && member.tls.is_none()
            && tls::is_spoken_at(member.address, limit).await
        {
            return ConnectError::from(TlsFailure::NotExpected).into();
        }
        for member in &self.members {
            if admin::srvr(member, EXPLANATION_LIMIT).await.is_ok_and(|srvr| srvr.mode == Mode::ReadOnly) {
                return ConnectError::ReadOnly(member.address).into();
            }
        }
        error
    }

    /// The session timeout that the server granted.
    pub fn session_timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.identity.timeout_ms))
    }

    /// The member to which the client is connected, or was last.
    pub fn member(&self) -> SocketAddr {
        self.members[self.at].address
    }

    /// Whether the session expired, and was replaced, since the last call of this.
    pub fn take_expired(&mut self) -> bool {
        std::mem::take(&mut self.expired)
    }

    /// The ACL for what a run creates.
    pub fn acl(&self) -> [Acl<'static>; 1] {
        self.settings.acl()
    }

    async fn dial(&self) -> Result<(Dialled<Stream>, Identity), ConnectError> {
        let clock = Clock::start();
        dial::dial(&self.members[self.at], &self.identity, self.timeouts, &self.settings, &clock).await
    }

    async fn attach(&mut self) -> Result<(), ClientError> {
        let mut last = None;
        for _ in 0..self.members.len() {
            match self.dial().await {
                Ok((Dialled { attached: Attached::Expired, .. }, _)) => {
                    self.expired = true;
                    self.identity = Identity::default();
                    last = Some(ConnectError::Rejected("the session has expired"));
                }
                Ok((dialled, identity)) => {
                    self.take_over(dialled, identity);
                    return Ok(());
                }
                Err(e) => {
                    last = Some(e);
                    self.at = (self.at + 1) % self.members.len();
                }
            }
        }
        if self.expired && self.identity.session_id == 0 {
            // All members have been asked for the old session; a new one needs one more.
            let (dialled, identity) = self.dial().await?;
            self.take_over(dialled, identity);
            return Ok(());
        }
        Err(last.unwrap_or(ConnectError::Rejected("there is no member")).into())
    }

    fn take_over(&mut self, dialled: Dialled<Stream>, identity: Identity) {
        self.stream = dialled.connection;
        self.identity = identity;
        self.input.clear();
        self.connections += 1;
    }

    /// Sends a request and hands its reply's record to `read`. A server's error is [`ClientError::Server`].
    pub async fn call<R>(
        &mut self,
        request: &Request<'_>,
        read: impl FnOnce(Reply<'_>) -> Option<R>,
    ) -> Result<R, ClientError> {
        let op = request.op();
        let path = path_of(request);
        let mut read = Some(read);
        let mut result = None;
        let mut failure = None;
        self.pipeline(1, std::iter::once(request.clone()), |_, header, reply| {
            if header.err != ErrorCode::OK {
                failure = Some(header.err);
            } else if let (Some(read), Some(reply)) = (read.take(), reply) {
                result = read(reply);
            }
        })
        .await?;
        if let Some(code) = failure {
            return Err(ClientError::Server { op, path, code });
        }
        result.ok_or_else(|| ClientError::Protocol {
            address: self.member(),
            cause: format!("a reply to {op} has not the form of one"),
        })
    }

    /// Sends requests, up to `depth` unanswered at a time, and hands each reply to `take` in order: its number,
    /// its header, and its record if there was no error. Ends at the first failure of the connection; what was
    /// answered before has been handed over.
    pub async fn pipeline<'r>(
        &mut self,
        depth: usize,
        requests: impl IntoIterator<Item = Request<'r>>,
        mut take: impl FnMut(usize, ReplyHeader, Option<Reply<'_>>),
    ) -> Result<(), ClientError> {
        if self.stream.is_none() {
            self.attach().await?;
        }
        let mut stream = self.stream.take().ok_or(ConnectError::Rejected("there is no connection"))?;
        let result = self.run_pipeline(&mut stream, depth, requests.into_iter(), &mut take).await;
        match &result {
            // A connection on which replies may still come is of no use any more.
            Err(_) => self.at = (self.at + 1) % self.members.len(),
            Ok(()) => self.stream = Some(stream),
        }
        result
    }

    async fn run_pipeline<'r>(
        &mut self,
        stream: &mut Stream,
        depth: usize,
        mut requests: impl Iterator<Item = Request<'r>>,
        take: &mut impl FnMut(usize, ReplyHeader, Option<Reply<'_>>),
    ) -> Result<(), ClientError> {
        let address = self.member();
        let mut open: VecDeque<(i32, OpCode)> = VecDeque::new();
        let mut output = Vec::new();
        let mut answered = 0;
        loop {
            while open.len() < depth {
                let Some(request) = requests.next() else { break };
                let xid = match request {
                    Request::Ping => xid::PING,
                    _ => {
                        let taken = self.next_xid;
                        self.next_xid = xid::next(taken);
                        taken
                    }
                };
                open.push_back((xid, request.op()));
                request.encode_frame(&mut output, xid);
            }
            let Some(&(_, op)) = open.front() else { return Ok(()) };
            let deadline = Instant::now() + REQUEST_TIMEOUT;
            let late =
                |_| ClientError::Timeout { address, op, timeout_ms: REQUEST_TIMEOUT.as_millis() as u64 };
            if !output.is_empty() {
                // Bounded by `depth` requests, so writing all of it before reading cannot lock up: a server
                // takes at least one pipeline's worth of requests before it wants its replies read.
                timeout_at(deadline, stream.send(&output))
                    .await
                    .map_err(late)?
                    .map_err(|e| lost(address, &e.to_string()))?;
                output.clear();
            }
            self.input.reserve(16 << 10);
            let n = timeout_at(deadline, stream.read_buf(&mut self.input))
                .await
                .map_err(late)?
                .map_err(|e| lost(address, &e.to_string()))?;
            if n == 0 {
                return Err(lost(address, "the member closed it"));
            }
            let mut start = 0;
            loop {
                let body = match frame::front(&self.input[start..], MAX_REPLY) {
                    Ok(Front::Frame(body)) => body,
                    Ok(Front::Partial { .. }) => break,
                    Err(e) => return Err(ClientError::Protocol { address, cause: e.to_string() }),
                };
                start += frame::PREFIX_LEN + body.len();
                let broken = |cause: String| ClientError::Protocol { address, cause };
                let (header, record) = ReplyHeader::split(body).map_err(|e| broken(e.to_string()))?;
                self.identity.last_zxid = self.identity.last_zxid.max(header.zxid);
                match open.front() {
                    Some(&(xid, op)) if xid == header.xid => {
                        open.pop_front();
                        let reply = if header.err == ErrorCode::OK {
                            Reply::decode(op, record).map_err(|e| broken(e.to_string()))?
                        } else {
                            None
                        };
                        take(answered, header, reply);
                        answered += 1;
                    }
                    _ if header.xid < 0 => note_event(&mut self.events, header, record),
                    _ => return Err(broken(format!("a reply with xid {} was not due", header.xid))),
                }
            }
            self.input.drain(..start);
        }
    }

    /// How often the client has connected. Watches belong to a connection, and are gone when this has changed.
    pub fn connections(&self) -> u64 {
        self.connections
    }

    /// Waits for a watch event, and returns its path; one that came between the replies to requests is told at once. May
    /// be dropped half-way.
    pub async fn event(&mut self) -> Result<String, ClientError> {
        loop {
            if let Some(path) = self.events.pop_front() {
                return Ok(path);
            }
            if let Err(error) = self.read_events().await {
                self.stream = None;
                self.at = (self.at + 1) % self.members.len();
                return Err(error);
            }
        }
    }

    /// Forgets the watch events that came and were not taken.
    pub fn forget_events(&mut self) {
        self.events.clear();
    }

    /// Reads once, while nothing but events is due.
    async fn read_events(&mut self) -> Result<(), ClientError> {
        let address = self.member();
        let Some(stream) = &mut self.stream else { return Err(lost(address, "there is none")) };
        self.input.reserve(4 << 10);
        let n = stream.read_buf(&mut self.input).await.map_err(|e| lost(address, &e.to_string()))?;
        if n == 0 {
            return Err(lost(address, "the member closed it"));
        }
        let broken = |cause: String| ClientError::Protocol { address, cause };
        let mut start = 0;
        while let Front::Frame(body) =
            frame::front(&self.input[start..], MAX_REPLY).map_err(|e| broken(e.to_string()))?
        {
            start += frame::PREFIX_LEN + body.len();
            let (header, record) = ReplyHeader::split(body).map_err(|e| broken(e.to_string()))?;
            if header.xid >= 0 {
                return Err(broken(format!("a reply with xid {} was not due", header.xid)));
            }
            note_event(&mut self.events, header, record);
        }
        self.input.drain(..start);
        Ok(())
    }

    /// Keeps the session alive.
    pub async fn ping(&mut self) -> Result<(), ClientError> {
        self.call(&Request::Ping, |_| Some(())).await
    }

    /// Creates a node, and returns its path.
    pub async fn create(&mut self, path: &str, data: &[u8], ephemeral: bool) -> Result<String, ClientError> {
        let acl = self.acl();
        let flags = if ephemeral { create_mode::EPHEMERAL } else { create_mode::PERSISTENT };
        let create = Create { path: path.into(), data: Some(data), acl: acl[..].into(), flags };
        self.call(&Request::Create(create), |reply| match reply {
            Reply::Path { path } => Some(path.into_owned()),
            _ => None,
        })
        .await
    }

    /// Deletes a node, whatever its version.
    pub async fn delete(&mut self, path: &str) -> Result<(), ClientError> {
        self.call(&Request::Delete(VersionedPath { path: path.into(), version: -1 }), |_| Some(())).await
    }

    /// Reads a node.
    pub async fn get(&mut self, path: &str) -> Result<(Vec<u8>, Stat), ClientError> {
        self.call(&Request::GetData(WatchedPath { path: path.into(), watch: false }), |reply| match reply {
            Reply::Data { data, stat } => Some((data.unwrap_or_default().to_vec(), stat)),
            _ => None,
        })
        .await
    }

    /// Sets a node's data, whatever its version.
    pub async fn set(&mut self, path: &str, data: &[u8]) -> Result<Stat, ClientError> {
        let request = Request::SetData { path: path.into(), data: Some(data), version: -1 };
        self.call(&request, |reply| match reply {
            Reply::Stat(stat) => Some(stat),
            _ => None,
        })
        .await
    }

    /// Sets a one-shot watch on a node's data.
    pub async fn watch(&mut self, path: &str) -> Result<(), ClientError> {
        let request = Request::GetData(WatchedPath { path: path.into(), watch: true });
        self.call(&request, |_| Some(())).await
    }

    /// Lets the member catch up with the leader.
    pub async fn sync(&mut self, path: &str) -> Result<(), ClientError> {
        self.call(&Request::Sync { path: path.into() }, |_| Some(())).await
    }

    /// What the member knows of a node once it has caught up with the leader; `None` when there is no such node.
    pub async fn stat_after_sync(&mut self, path: &str) -> Result<Option<Stat>, ClientError> {
        self.sync(path).await?;
        match self.get(path).await {
            Ok((_, stat)) => Ok(Some(stat)),
            Err(e) if e.code() == Some(ErrorCode::NO_NODE) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Names of a node's children.
    pub async fn children(&mut self, path: &str) -> Result<Vec<String>, ClientError> {
        let request = Request::GetChildren2(WatchedPath { path: path.into(), watch: false });
        self.call(&request, |reply| match reply {
            Reply::Children { children, .. } => {
                Some(children.iter().map(std::borrow::Cow::into_owned).collect())
            }
            _ => None,
        })
        .await
    }

    /// Ends the session.
    pub async fn close(mut self) {
        if self.stream.is_some() {
            // The session would expire anyway.
            let _ = self.call(&Request::CloseSession, |_| Some(())).await;
        }
    }
}

fn lost(address: SocketAddr, cause: &str) -> ClientError {
    ClientError::Lost { address, cause: cause.to_owned() }
}

/// Keeps what a frame without a request tells, if it is a watch event; the oldest goes when there are too many.
fn note_event(events: &mut VecDeque<String>, header: ReplyHeader, record: &[u8]) {
    if header.xid == xid::NOTIFICATION
        && let Ok(event) = WatchedEvent::decode(record)
    {
        if events.len() == EVENTS_MAX {
            events.pop_front();
        }
        events.push_back(event.path.into_owned());
    }
}

fn path_of(request: &Request<'_>) -> String {
    match request {
        Request::Create(create) => create.path.to_string(),
        Request::Delete(path) => path.path.to_string(),
        Request::GetData(path) | Request::GetChildren2(path) => path.path.to_string(),
        Request::SetData { path, .. } | Request::Sync { path } => path.to_string(),
        _ => String::new(),
    }
}
