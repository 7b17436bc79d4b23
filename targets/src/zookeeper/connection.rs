//! The pipelined connection of a load session.
//!
//! Replies come in the order of the requests, so what is in flight is a queue. The queue also knows how far into
//! the output each op reaches, which tells, after every write, whose last byte has gone.

mod replies;
mod sealed;
mod templates;

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use quorumeter_zk::event::{EventType, WatchedEvent};
use quorumeter_zk::frame::{self, Front};
use quorumeter_zk::multi::MultiOp;
use quorumeter_zk::op::xid;
use quorumeter_zk::reply::ReplyHeader;
use quorumeter_zk::request::Request;
use quorumeter_zk::{ErrorCode, OpCode, path};

pub use self::templates::Templates;

use self::replies::{data_version, is_write, protocol, read_record, shape};
use super::outcome;
use crate::clock::Clock;
use crate::operation::{Change, Created, Operation, Value};
use crate::session::{Completion, Connection, ConnectionError, Identity, Outcome, Sink, WatchEvent};
use crate::socket::Socket;
use crate::stream::Stream;

/// The longest reply that is taken, bytes. Servers limit requests, not replies: a long list may be larger than
/// `jute.maxbuffer`.
pub const MAX_REPLY: usize = 64 << 20;

/// Bytes of the input buffer at first, and up to which it doubles when reads fill it.
const INPUT_BYTES: (usize, usize) = (4 << 10, 256 << 10);

/// One op in the queue.
struct Pending<T> {
    tag: T,
    op: Operation,
    /// The xid of the reply that is due next.
    xid: i32,
    /// Replies still due, of the requests that have been encoded.
    replies: u8,
    /// Whether the op goes on with another request when these replies have come.
    goes_on: bool,
    /// The first error among the op's replies.
    err: ErrorCode,
    /// 0 until the op's last byte has gone.
    sent_ns: u64,
    /// Where its bytes end, counted over all the connection's output.
    end: u64,
    /// How many bytes it has.
    len: u32,
}

/// A session's connection to one member.
pub struct ZooKeeperConnection<T> {
    socket: Rc<Socket>,
    /// With TLS.
    sealed: Option<Box<sealed::Sealed>>,
    templates: Arc<Templates>,
    values: Arc<[u8]>,
    session: u32,
    identity: Identity,
    read_timeout_ns: u64,

    next_xid: i32,
    pending: VecDeque<Pending<T>>,
    /// Ops at the queue's front whose last byte has gone.
    sent_ops: usize,

    output: Vec<u8>,
    /// Bytes of `output` that the kernel has taken; with TLS, that are sealed.
    taken: usize,
    /// Bytes that the kernel has taken over all; with TLS, those of whole records.
    handed: u64,
    /// Bytes ever put into `output`.
    encoded: u64,
    last_write_ns: u64,
    requests: u64,

    input: Vec<u8>,
    /// The part of `input` that is filled and not yet taken apart.
    filled: std::ops::Range<usize>,
    last_read_ns: u64,

    ping_due: bool,
    ping_open: bool,
    /// Where the last ping's bytes end, and when they went: 0 until then.
    ping: (u64, u64),
    suspected: bool,
}

impl<T: Copy> ZooKeeperConnection<T> {
    /// Takes over a stream on which the handshake is done.
    pub fn new(
        stream: Stream,
        templates: Arc<Templates>,
        values: Arc<[u8]>,
        session: u32,
        identity: Identity,
        read_share: f64,
        now_ns: u64,
    ) -> Self {
        let (tcp, sealed) = match stream {
            Stream::Plain(tcp) => (tcp, None),
            Stream::Secured(stream) => {
                let (tcp, sealed) = sealed::split(*stream);
                (tcp, Some(sealed))
            }
        };
        let read_timeout_ns = (f64::from(identity.timeout_ms) * 1e6 * read_share) as u64;
        ZooKeeperConnection {
            socket: Rc::new(Socket::new(tcp)),
            sealed,
            templates,
            values,
            session,
            identity,
            read_timeout_ns,
            next_xid: 1,
            pending: VecDeque::new(),
            sent_ops: 0,
            output: Vec::new(),
            taken: 0,
            handed: 0,
            encoded: 0,
            last_write_ns: now_ns,
            requests: 0,
            input: vec![0; INPUT_BYTES.0],
            filled: 0..0,
            last_read_ns: now_ns,
            ping_due: false,
            ping_open: false,
            ping: (0, 0),
            suspected: false,
        }
    }

    fn take_xid(&mut self) -> i32 {
        let taken = self.next_xid;
        self.next_xid = xid::next(taken);
        taken
    }

    /// Queues what was put into the output since it had `before` bytes.
    fn queue(&mut self, op: Pending<T>, before: usize) {
        let len = self.output.len() - before;
        self.encoded += len as u64;
        self.pending.push_back(Pending { end: self.encoded, len: len as u32, ..op });
    }

    /// Puts a request that is no op into the output.
    fn encode_aside(&mut self, request: &Request<'_>, xid: i32) {
        let before = self.output.len();
        request.encode_frame(&mut self.output, xid);
        self.encoded += (self.output.len() - before) as u64;
        self.requests += 1;
    }

    /// After the kernel took bytes with the write before which the clock showed `sent_ns`: tells of every op
    /// whose last byte was among them.
    fn note_sent(&mut self, sent_ns: u64, sink: &mut impl Sink<T>) {
        if self.ping.1 == 0 && self.handed >= self.ping.0 {
            self.ping.1 = sent_ns;
        }
        while let Some(op) = self.pending.get_mut(self.sent_ops) {
            if op.end > self.handed {
                break;
            }
            self.sent_ops += 1;
            self.requests += u64::from(op.replies);
            // The second request of a chain goes when the op itself was sent long ago.
            if op.sent_ns == 0 {
                op.sent_ns = sent_ns;
                sink.sent(&op.tag, sent_ns, self.sent_ops as u64);
            }
        }
    }

    /// Forgets what the kernel has taken, once that is the larger part: the output then holds no more than twice
    /// what is in flight, and no byte is moved more than once for each that goes.
    fn compact(&mut self) {
        if self.taken > self.output.len() / 2 {
            self.output.drain(..self.taken);
            self.taken = 0;
        }
    }

    /// Takes apart what has been read.
    fn take_frames(&mut self, done_ns: u64, sink: &mut impl Sink<T>) -> Result<(), ConnectionError> {
        // The buffer is lent to the loop, so that replies can borrow from it while the queue changes.
        let input = std::mem::take(&mut self.input);
        let mut filled = self.filled.clone();
        let mut needed = 0;
        let result = loop {
            match frame::front(&input[filled.clone()], MAX_REPLY) {
                Ok(Front::Frame(body)) => {
                    filled.start += frame::PREFIX_LEN + body.len();
                    if let Err(e) = self.take_reply(body, done_ns, sink) {
                        break Err(e);
                    }
                }
                Ok(Front::Partial { needed: n }) => {
                    needed = n;
                    break Ok(());
                }
                Err(e) => break Err(ConnectionError::Protocol(e.to_string())),
            }
        };
        self.input = input;
        self.filled = filled;
        if self.filled.is_empty() {
            self.filled = 0..0;
        } else if self.filled.start > 0 && self.filled.start + needed > self.input.len() {
            self.input.copy_within(self.filled.clone(), 0);
            self.filled = 0..self.filled.len();
        }
        if needed > self.input.len() {
            self.input.resize(needed.next_power_of_two(), 0);
        }
        result
    }

    #[inline]
    fn take_reply(
        &mut self,
        body: &[u8],
        done_ns: u64,
        sink: &mut impl Sink<T>,
    ) -> Result<(), ConnectionError> {
        let (header, record) = ReplyHeader::split(body).map_err(|e| protocol(&e))?;
        if header.xid < 0 {
            return self.take_aside(header, record, done_ns, sink);
        }
        let Some(op) = self.pending.front_mut() else {
            return Err(ConnectionError::Protocol(format!(
                "a reply with xid {} came, and nothing was asked",
                header.xid
            )));
        };
        if header.xid != op.xid || self.sent_ops == 0 {
            return Err(ConnectionError::Protocol(format!(
                "a reply with xid {} came where {} was due",
                header.xid, op.xid
            )));
        }
        self.identity.last_zxid = self.identity.last_zxid.max(header.zxid);
        op.replies -= 1;
        op.xid = xid::next(op.xid);
        if op.err == ErrorCode::OK {
            op.err = header.err;
        }
        if op.replies > 0 {
            return Ok(());
        }
        let Some(op) = self.pending.pop_front() else { return Ok(()) };
        self.sent_ops -= 1;
        if op.goes_on && op.err == ErrorCode::OK {
            return self.continue_chain(op, record);
        }
        let mut completion = Completion {
            done_ns,
            sent_ns: op.sent_ns,
            outcome: Outcome::Ok,
            code: op.err.0,
            zxid: header.zxid,
            value_bytes: None,
            version: -1,
            number: None,
        };
        if op.err == ErrorCode::OK {
            read_record(op.op, record, &mut completion)?;
        } else {
            completion.outcome =
                if is_write(op.op) { outcome::of_write(op.err) } else { outcome::of_read(op.err) };
        }
        sink.done(op.tag, op.op, completion);
        Ok(())
    }

    /// The first reply of a compare-and-set came: the write goes out with the version that was read. The op moves
    /// to the queue's end, where the write's reply will be due.
    fn continue_chain(&mut self, op: Pending<T>, record: &[u8]) -> Result<(), ConnectionError> {
        let version = data_version(record).ok_or_else(|| shape("getData"))?;
        let Operation::WriteCas { key, value } = op.op else { return Ok(()) };
        let before = self.output.len();
        let xid = self.take_xid();
        let numbers = [u64::from(self.templates.dataset.parent_of(key)), u64::from(key)];
        let value = piece(&self.values, value);
        self.templates.write.write_versioned(&mut self.output, xid, &numbers, value, version);
        self.queue(Pending { xid, replies: 1, goes_on: false, ..op }, before);
        Ok(())
    }

    /// A frame that answers no op.
    #[cold]
    fn take_aside(
        &mut self,
        header: ReplyHeader,
        record: &[u8],
        received_ns: u64,
        sink: &mut impl Sink<T>,
    ) -> Result<(), ConnectionError> {
        match header.xid {
            xid::PING if self.ping_open => {
                self.ping_open = false;
                sink.pinged(self.ping.1, received_ns);
            }
            xid::PING => {}
            xid::NOTIFICATION => {
                let event = WatchedEvent::decode(record).map_err(|e| protocol(&e))?;
                let mut numbers = [0; 2];
                self.identity.last_zxid = self.identity.last_zxid.max(header.zxid);
                if event.kind == EventType::NODE_DELETED
                    && self.templates.ephemeral.parse(&event.path, &mut numbers).is_some()
                {
                    sink.gone(numbers[0] as u32, numbers[1] as u32, received_ns);
                    return Ok(());
                }
                sink.event(WatchEvent {
                    changed: changed(&self.templates, &event),
                    zxid: (header.zxid > 0).then_some(header.zxid),
                    received_ns,
                });
            }
            // A rejection that came after the handshake's own.
            xid::AUTH if header.err != ErrorCode::OK => {
                return Err(ConnectionError::Protocol("the credentials were refused".into()));
            }
            xid::AUTH | xid::SET_WATCHES => {}
            other => {
                return Err(ConnectionError::Protocol(format!("a reply with the unknown xid {other} came")));
            }
        }
        Ok(())
    }
}

impl<T: Copy> Connection<T> for ZooKeeperConnection<T> {
    fn submit(&mut self, op: Operation, tag: T) {
        let before = self.output.len();
        let first_xid = self.take_xid();
        let templates = &*self.templates;
        let out = &mut self.output;
        let node = |key: u32| [u64::from(templates.dataset.parent_of(key)), u64::from(key)];
        let own = |serial: u32| [u64::from(self.session), u64::from(serial)];
        let child = |key: u32, serial: u32| {
            let ([parent, key], [session, serial]) = (node(key), own(serial));
            [parent, key, session, serial]
        };
        let mut replies = 1;
        let mut goes_on = false;
        match op {
            Operation::Read { key } => templates.read.write(out, first_xid, &node(key)),
            Operation::ReadFresh { key } | Operation::ReadStrongest { key } => {
                templates.sync.write(out, first_xid, &node(key));
                templates.read.write(out, xid::next(first_xid), &node(key));
                replies = 2;
            }
            Operation::Exists { key } | Operation::ChildrenVersion { key } => {
                templates.exists.write(out, first_xid, &node(key));
            }
            Operation::List { key } => templates.list.write(out, first_xid, &node(key)[..1]),
            Operation::Write { key, value } => {
                templates.write.write(out, first_xid, &node(key), piece(&self.values, value));
            }
            Operation::WriteCas { key, .. } => {
                templates.read.write(out, first_xid, &node(key));
                goes_on = true;
            }
            Operation::Create { serial, value } => {
                templates.create.write(out, first_xid, &own(serial), piece(&self.values, value));
            }
            Operation::CreateSequential { value } => {
                templates.create_sequential.write(out, first_xid, &[], piece(&self.values, value));
            }
            Operation::CreateEphemeral { serial, value } => {
                templates.create_ephemeral.write(out, first_xid, &own(serial), piece(&self.values, value));
            }
            Operation::CreateChild { key, serial, value } => {
                let numbers = child(key, serial);
                templates.create_child.write(out, first_xid, &numbers, piece(&self.values, value));
            }
            Operation::Delete { node: Created::Child { key, serial } } => {
                templates.delete_child.write(out, first_xid, &child(key, serial));
            }
            Operation::Delete { node: Created::Plain(serial) } => {
                templates.delete.write(out, first_xid, &own(serial));
            }
            Operation::Delete { node: Created::Ephemeral(serial) } => {
                templates.delete_ephemeral.write(out, first_xid, &own(serial));
            }
            Operation::Delete { node: Created::Sequential(number) } => {
                templates.delete_sequential.write(out, first_xid, &[u64::from(number)]);
            }
            Operation::Multi { key, count, nodes, value } => {
                let mark = frame::begin_request(out, first_xid, OpCode::MULTI);
                for i in 0..u32::from(count) {
                    let key = nodes.behind(key, i);
                    templates.write.write_multi_op(out, &node(key), piece(&self.values, value));
                }
                MultiOp::encode_end(out);
                frame::end(out, mark);
            }
            Operation::Sync { key } => templates.sync.write(out, first_xid, &node(key)),
            Operation::WatchOnce { key } => templates.read_and_watch.write(out, first_xid, &node(key)),
            Operation::WatchEphemeral { session, serial } => {
                let numbers = [session.into(), serial.into()];
                templates.sync_ephemeral.write(out, first_xid, &numbers);
                templates.watch_ephemeral.write(out, xid::next(first_xid), &numbers);
                replies = 2;
            }
            Operation::Close => {
                Request::CloseSession.encode_frame(out, first_xid);
            }
            Operation::WatchExists { key } => templates.exists_and_watch.write(out, first_xid, &node(key)),
            Operation::WatchBelow { key } => {
                templates.watch_below.write(out, first_xid, &node(key)[..1]);
                templates.read.write(out, xid::next(first_xid), &node(key));
                replies = 2;
            }
            Operation::WatchAlways { key } => {
                templates.watch_always.write(out, first_xid, &node(key));
                templates.read.write(out, xid::next(first_xid), &node(key));
                replies = 2;
            }
            Operation::WatchChildrenOnce { key } => {
                templates.list_node_and_watch.write(out, first_xid, &node(key));
            }
            Operation::WatchChildrenAlways { key } => {
                templates.watch_always.write(out, first_xid, &node(key));
                templates.exists.write(out, xid::next(first_xid), &node(key));
                replies = 2;
            }
            Operation::WatchChildrenBelow { key } => {
                templates.watch_node_below.write(out, first_xid, &node(key));
                templates.exists.write(out, xid::next(first_xid), &node(key));
                replies = 2;
            }
        }
        if replies == 2 {
            self.take_xid();
        }
        let err = ErrorCode::OK;
        self.queue(
            Pending { tag, op, xid: first_xid, replies, goes_on, err, sent_ns: 0, end: 0, len: 0 },
            before,
        );
    }

    fn open_ops(&self) -> usize {
        self.pending.len()
    }

    fn flush(&mut self, clock: &Clock, sink: &mut impl Sink<T>) -> Result<(), ConnectionError> {
        if self.ping_due {
            self.ping_due = false;
            self.ping_open = true;
            self.encode_aside(&Request::Ping, xid::PING);
            self.ping = (self.encoded, 0);
        }
        if self.sealed.is_some() {
            return self.flush_sealed(clock, sink);
        }
        while self.taken < self.output.len() {
            let sent_ns = clock.now_ns();
            match self.socket.try_write(&self.output[self.taken..]) {
                Ok(0) => return Err(ConnectionError::Closed),
                Ok(n) => {
                    self.taken += n;
                    self.handed += n as u64;
                    self.last_write_ns = sent_ns;
                    self.note_sent(sent_ns, sink);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.compact();
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        self.output.clear();
        self.taken = 0;
        Ok(())
    }

    fn wants_write(&self) -> bool {
        self.taken < self.output.len() || self.sealed.as_ref().is_some_and(|sealed| sealed.wants_write())
    }

    fn receive(&mut self, clock: &Clock, sink: &mut impl Sink<T>) -> Result<bool, ConnectionError> {
        if self.sealed.is_some() {
            return self.receive_sealed(clock, sink);
        }
        let space = self.input.len() - self.filled.end;
        let n = match self.socket.try_read(&mut self.input[self.filled.end..]) {
            Ok(0) => return Err(ConnectionError::Closed),
            Ok(n) => n,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Ok(false);
            }
            Err(e) => return Err(e.into()),
        };
        let done_ns = clock.now_ns();
        self.last_read_ns = done_ns;
        self.suspected = false;
        self.filled.end += n;
        if n < space {
            self.socket.emptied();
        }
        self.take_frames(done_ns, sink)?;
        if n == space && self.input.len() < INPUT_BYTES.1 {
            self.input.resize(self.input.len() * 2, 0);
        }
        Ok(n == space)
    }

    fn keep_alive(&mut self, now_ns: u64) -> Result<u64, ConnectionError> {
        let silent_ns = now_ns.saturating_sub(self.last_read_ns);
        if silent_ns >= self.read_timeout_ns {
            // Believed at the second look only: after a pause of this process itself, what came meanwhile has
            // not been read at the first one.
            if self.suspected {
                return Err(ConnectionError::Silent(silent_ns / 1_000_000));
            }
            self.suspected = true;
        }
        let ping_at_ns = self.last_write_ns + self.read_timeout_ns / 2;
        if !self.ping_open && now_ns >= ping_at_ns {
            self.ping_due = true;
        }
        Ok(match (self.suspected, self.ping_open || self.ping_due) {
            (true, _) => now_ns,
            (false, true) => self.last_read_ns + self.read_timeout_ns,
            (false, false) => ping_at_ns.min(self.last_read_ns + self.read_timeout_ns),
        })
    }

    fn abandon(&mut self, now_ns: u64, sink: &mut impl Sink<T>) {
        if std::mem::take(&mut self.ping_open) && self.ping.1 > 0 {
            sink.ping_lost(self.ping.1, now_ns);
        }
        let handed = self.sealed.as_ref().map_or(self.handed, |sealed| sealed.begun());
        for (i, op) in std::mem::take(&mut self.pending).into_iter().enumerate() {
            let begun = handed > op.end - u64::from(op.len);
            if op.sent_ns == 0 && !begun {
                sink.not_sent(op.tag, op.op);
                continue;
            }
            let mut sent_ns = op.sent_ns;
            if sent_ns == 0 {
                // Half of it went: it can be called neither sent in time nor unsent.
                sent_ns = self.last_write_ns;
                self.requests += u64::from(op.replies);
                sink.sent(&op.tag, sent_ns, i as u64 + 1);
            }
            let completion = Completion { done_ns: now_ns, sent_ns, ..Completion::NOTHING };
            sink.done(op.tag, op.op, completion);
        }
        self.sent_ops = 0;
    }

    fn close_session(&mut self) {
        let xid = self.take_xid();
        self.encode_aside(&Request::CloseSession, xid);
    }

    fn identity(&self) -> Identity {
        self.identity.clone()
    }

    fn requests(&self) -> u64 {
        self.requests
    }

    fn socket(&self) -> Rc<Socket> {
        Rc::clone(&self.socket)
    }
}

/// Which node of the dataset an event is about, and what of it has changed. A child that came or went is told by its
/// own path to recursive watches, by its parent's to others.
fn changed(templates: &Templates, event: &WatchedEvent<'_>) -> Option<(u32, Change)> {
    let (path, change) = match event.kind {
        EventType::NODE_DATA_CHANGED => (&*event.path, Change::Data),
        EventType::NODE_CHILDREN_CHANGED => (&*event.path, Change::Children),
        EventType::NODE_CREATED | EventType::NODE_DELETED => (path::parent(&event.path)?, Change::Children),
        _ => return None,
    };
    let mut numbers = [0; 2];
    templates.node.parse(path, &mut numbers)?;
    Some((numbers[1] as u32, change))
}

#[inline]
fn piece(values: &[u8], value: Value) -> &[u8] {
    &values[value.offset as usize..][..value.len as usize]
}
