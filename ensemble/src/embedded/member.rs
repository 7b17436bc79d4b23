//! A member: sessions, transactions and the delivery of watch events. What single requests do is in
//! `requests`.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use quorumeter_zk::ErrorCode;
use quorumeter_zk::acl;
use quorumeter_zk::connect::{ConnectRequest, ConnectResponse, PASSWORD_LEN};
use quorumeter_zk::event::{SessionState, WatchedEvent};
use quorumeter_zk::frame::PREFIX_LEN;
use quorumeter_zk::jute::Reader;
use quorumeter_zk::request::{Request, RequestHeader, VersionedPath};
use quorumeter_zk::tree::access::{self, Identities};
use quorumeter_zk::tree::{Change, Transaction, Tree, Trigger, WriteReply};
use quorumeter_zk::watch::{WatchTable, WatcherId};
use tokio::time::Instant;

use super::sessions::{self, Sessions};
use super::statistics::{Counters, Statistics};
use super::{Options, admin};
use crate::serving::{self, Service, WireId, Wires};

/// An embedded member.
pub(crate) struct Member {
    pub(super) options: Options,
    pub(super) address: SocketAddr,
    pub(super) tree: Tree,
    pub(super) watches: WatchTable,
    pub(super) sessions: Sessions,
    pub(super) statistics: Statistics,
    pub(super) counters: Counters,
    pub(super) started_at: Instant,
    /// The machine's monotonic clock then, milliseconds.
    started_monotonic_ms: i64,
    /// When the batch began: monotonic, and wall time in milliseconds since 1970.
    now: Instant,
    now_ms: i64,
    next_container_check: Instant,
    pub(crate) event_faults: EventFaults,
    /// What the member says that it is.
    pub(crate) version: String,
    /// Whether it serves reads alone.
    pub(crate) is_read_only: bool,
    /// Buffers that are empty between transactions.
    triggers: Vec<Trigger>,
    watchers: Vec<WatcherId>,
    event: Vec<u8>,
}

/// What a scripted member does wrong with events.
#[derive(Debug, Default)]
pub(crate) struct EventFaults {
    /// The zxid that events carry; `None` for the triggering transaction's.
    pub(crate) zxid: Option<i64>,
    /// So many events are lost.
    pub(crate) to_drop: u64,
    /// So many are sent twice.
    pub(crate) to_duplicate: u64,
}

/// What a member keeps for a connection.
pub(crate) struct Client {
    pub(super) peer: SocketAddr,
    /// 0 before the handshake.
    pub(crate) session_id: i64,
    pub(super) timeout_ms: i32,
    pub(super) identities: Identities,
    pub(super) statistics: Statistics,
    pub(super) accepted_ms: i64,
    pub(super) last_op: &'static str,
    pub(super) last_xid: i32,
    pub(super) last_zxid: i64,
    /// On the machine's monotonic clock, as Java's `System.nanoTime` is.
    pub(super) last_answer_ms: i64,
    pub(super) last_latency_ms: u64,
    /// Requests answered in this batch.
    pub(super) batch: u64,
}

pub(crate) type Clients = Wires<Client>;

impl Member {
    /// A member with an empty tree that listens at `address`.
    pub(crate) fn new(options: Options, address: SocketAddr, now: Instant) -> Member {
        Member {
            sessions: Sessions::new(
                options.tick_time_ms,
                options.session_timeouts_ms(),
                options.server_id,
                now,
            ),
            next_container_check: now + options.container_check_interval(),
            options,
            address,
            tree: Tree::new(),
            watches: WatchTable::new(),
            statistics: Statistics::default(),
            counters: Counters::default(),
            started_at: now,
            started_monotonic_ms: monotonic_ms(),
            now,
            now_ms: wall_ms(),
            event_faults: EventFaults::default(),
            version: serving::version(),
            is_read_only: false,
            triggers: Vec::new(),
            watchers: Vec::new(),
            event: Vec::new(),
        }
    }

    /// Makes a transaction of a change and commits it. With one member there is nobody to agree with.
    pub(super) fn propose(
        &mut self,
        clients: &mut Clients,
        session_id: i64,
        asker: Option<WireId>,
        change: Change<'_>,
    ) -> Result<WriteReply, ErrorCode> {
        let identities = asker.and_then(|id| clients.get(id)).map(|wire| &wire.state.identities[..]);
        let transaction = Transaction {
            zxid: self.tree.last_zxid() + 1,
            time_ms: self.now_ms,
            session_id,
            identities: Cow::Borrowed(identities.unwrap_or_default()),
            change,
        };
        let reply = self.tree.apply(&transaction, &mut self.triggers);
        let zxid = transaction.zxid;
        if !self.triggers.is_empty() {
            self.deliver(clients, zxid);
        }
        reply
    }

    /// Appends the events of a transaction to the output of whoever watches, before anything that the
    /// transaction lets them read.
    fn deliver(&mut self, clients: &mut Clients, zxid: i64) {
        let faults = &mut self.event_faults;
        let zxid = faults.zxid.unwrap_or(zxid);
        for trigger in self.triggers.drain(..) {
            self.watches.fire(&trigger, &mut self.watchers);
            if self.watchers.is_empty() {
                continue;
            }
            self.event.clear();
            let state = SessionState::SYNC_CONNECTED;
            WatchedEvent { kind: trigger.kind, state, path: Cow::Borrowed(&trigger.path) }
                .encode_frame(&mut self.event, zxid);
            let event = clients.segment(&self.event);
            for &watcher in &self.watchers {
                let Some(wire) = clients.get_mut(watcher) else { continue };
                if !access::allows(&trigger.acl, acl::READ, &wire.state.identities) {
                    continue;
                }
                if faults.to_drop > 0 {
                    faults.to_drop -= 1;
                    continue;
                }
                wire.state.statistics.sent += 1;
                self.statistics.sent += 1;
                clients.share(watcher, &event);
                if faults.to_duplicate > 0 {
                    faults.to_duplicate -= 1;
                    clients.share(watcher, &event);
                }
            }
        }
    }

    fn handshake(&mut self, clients: &mut Clients, id: WireId, body: &[u8]) {
        let Ok(request) = ConnectRequest::decode(body) else { return clients.close_now(id) };
        self.counters.connection_requests += 1;
        if self.is_read_only && request.read_only != Some(true) {
            return clients.close_now(id);
        }
        // A client that knows more than this member goes to another one.
        if request.last_zxid_seen > self.tree.last_zxid() {
            return clients.close_now(id);
        }
        let timeout_ms = self.sessions.granted_timeout_ms(request.timeout_ms);
        let session_id = match request.session_id {
            0 => Some(self.open_session(clients, id, timeout_ms)),
            session_id => {
                let is_password = request.password == Some(&sessions::password(session_id)[..]);
                self.continue_session(clients, id, session_id, timeout_ms, is_password)
            }
        };
        let Some(wire) = clients.get_mut(id) else { return };
        wire.is_established = true;
        let password = session_id.map_or([0; PASSWORD_LEN], sessions::password);
        let response = ConnectResponse {
            protocol_version: 0,
            timeout_ms: if session_id.is_some() { timeout_ms } else { 0 },
            session_id: session_id.unwrap_or(0),
            password: Some(&password),
            read_only: request.read_only.map(|_| self.is_read_only),
        };
        response.encode_frame(&mut wire.out);
        wire.state.session_id = session_id.unwrap_or(0);
        wire.state.timeout_ms = timeout_ms;
        wire.state.last_op = "SESS";
        self.answered(clients, id);
        if session_id.is_none() {
            clients.close(id);
        }
    }

    fn open_session(&mut self, clients: &mut Clients, id: WireId, timeout_ms: i32) -> i64 {
        let session_id = self.sessions.create(timeout_ms, id, self.now);
        // A createSession does not fail.
        let _ = self.propose(clients, session_id, None, Change::CreateSession { timeout_ms });
        session_id
    }

    /// Attaches a session to another connection. The one that it was attached to is closed in any case, as
    /// upstream does even when the password turns out to be wrong.
    fn continue_session(
        &mut self,
        clients: &mut Clients,
        id: WireId,
        session_id: i64,
        timeout_ms: i32,
        is_password: bool,
    ) -> Option<i64> {
        let session = self.sessions.get_mut(session_id)?;
        if let Some(before) = session.wire.take() {
            self.watches.forget(before);
            clients.close_now(before);
        }
        if !is_password {
            return None;
        }
        session.wire = Some(id);
        session.timeout_ms = timeout_ms;
        self.sessions.touch(session_id, self.now);
        Some(session_id)
    }

    /// Ends a session: its ephemerals are deleted, and its connection is closed once it has been told.
    pub(crate) fn end_session(&mut self, clients: &mut Clients, session_id: i64) {
        let wire = self.sessions.get_mut(session_id).and_then(|session| session.wire);
        // A closeSession does not fail.
        let _ = self.propose(clients, session_id, None, Change::CloseSession);
        self.sessions.remove(session_id);
        if let Some(id) = wire {
            clients.close(id);
        }
    }

    /// The open sessions.
    pub(crate) fn session_ids(&self) -> Vec<i64> {
        self.tree.sessions().map(|(id, _)| id).collect()
    }

    /// The zxid of the last transaction.
    pub(crate) fn last_zxid(&self) -> i64 {
        self.tree.last_zxid()
    }

    fn delete_due(&mut self, clients: &mut Clients) {
        for path in self.tree.due(self.now_ms) {
            let path = Cow::Borrowed(&*path);
            let request = Request::DeleteContainer(VersionedPath { path, version: -1 });
            // It may have a child again, or be gone.
            let _ = self.propose(clients, 0, None, Change::Request(request));
        }
    }

    /// Counts an answer to a request of a connection.
    pub(super) fn answered(&mut self, clients: &mut Clients, id: WireId) {
        self.statistics.sent += 1;
        if let Some(wire) = clients.get_mut(id) {
            wire.state.statistics.sent += 1;
            wire.state.batch += 1;
        }
    }
}

impl Client {
    /// Forgets what is counted (`ServerCnxn.resetStats`).
    pub(super) fn reset(&mut self) {
        self.statistics = Statistics::default();
        (self.last_op, self.last_xid, self.last_zxid) = ("NA", -1, -1);
        (self.last_answer_ms, self.last_latency_ms) = (0, 0);
    }
}

impl Service for Member {
    type State = Client;

    fn accepted(&mut self, peer: SocketAddr) -> Client {
        Client {
            peer,
            session_id: 0,
            timeout_ms: 0,
            identities: Identities::of_peer(peer.ip()),
            statistics: Statistics::default(),
            accepted_ms: wall_ms(),
            last_op: "NA",
            last_xid: -1,
            last_zxid: 0,
            last_answer_ms: 0,
            last_latency_ms: 0,
            batch: 0,
        }
    }

    fn begin(&mut self, now: Instant) {
        self.now = now;
        self.now_ms = wall_ms();
    }

    fn frame(&mut self, clients: &mut Clients, id: WireId, body: &[u8]) {
        self.statistics.received += 1;
        self.counters.bytes_received += (PREFIX_LEN + body.len()) as u64;
        let Some(wire) = clients.get_mut(id) else { return };
        wire.state.statistics.received += 1;
        if !wire.is_established {
            return self.handshake(clients, id, body);
        }
        let mut input = Reader::replacing(body);
        match RequestHeader::decode(&mut input) {
            Ok(header) => self.request(clients, id, header, input),
            Err(_) => clients.close_now(id),
        }
    }

    fn word(&mut self, clients: &mut Clients, id: WireId, word: &'static str) {
        self.statistics.received += 1;
        self.counters.bytes_received += word.len() as u64;
        if let Some(wire) = clients.get_mut(id) {
            wire.state.statistics.received += 1;
        }
        let answer = self.answer_word(clients, word);
        self.statistics.sent += 1;
        if let Some(wire) = clients.get_mut(id) {
            wire.out.extend_from_slice(answer.as_bytes());
        }
    }

    fn end(&mut self, clients: &mut Clients, id: WireId) {
        let Some(wire) = clients.get_mut(id) else { return };
        let client = &mut wire.state;
        let count = std::mem::take(&mut client.batch);
        let latency_ms = self.now.elapsed().as_millis() as u64;
        client.statistics.answered(count, latency_ms);
        client.last_latency_ms = latency_ms;
        let since_start = self.now.saturating_duration_since(self.started_at);
        client.last_answer_ms = self.started_monotonic_ms + since_start.as_millis() as i64;
        client.last_zxid = self.tree.last_zxid();
        self.statistics.answered(count, latency_ms);
        let session_id = client.session_id;
        if session_id != 0 && !wire.is_closing() {
            self.sessions.touch(session_id, self.now);
        }
    }

    fn closed(&mut self, id: WireId, client: Client) {
        self.watches.forget(id);
        if let Some(session) = self.sessions.get_mut(client.session_id)
            && session.wire == Some(id)
        {
            session.wire = None;
        }
    }

    fn commands(&self) -> &'static [&'static str] {
        &admin::COMMANDS
    }

    fn command(&self, clients: &Clients, name: &str) -> String {
        self.answer_command(clients, name)
    }

    fn wake_at(&self) -> Option<Instant> {
        Some(self.sessions.next_expiry().min(self.next_container_check))
    }

    fn tick(&mut self, clients: &mut Clients, now: Instant) {
        self.begin(now);
        for session_id in self.sessions.expired(now) {
            self.counters.sessions_expired += 1;
            self.end_session(clients, session_id);
        }
        if self.next_container_check <= now {
            self.next_container_check = now + self.options.container_check_interval();
            self.delete_due(clients);
        }
    }
}

/// The machine's monotonic clock, milliseconds.
fn monotonic_ms() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1_000 + now.tv_nsec / 1_000_000
}

/// Milliseconds since 1970.
pub(super) fn wall_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
