//! The member with a script between it and its clients.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quorumeter_zk::connect::{ConnectResponse, PASSWORD_LEN};
use quorumeter_zk::jute::Reader;
use quorumeter_zk::multi::MultiOp;
use quorumeter_zk::reply::ReplyHeader;
use quorumeter_zk::request::{Request, RequestHeader};
use quorumeter_zk::tree::consumes_zxid;
use quorumeter_zk::{ErrorCode, OpCode};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::replies::{self, Then};
use super::{Action, Counting, Done, HandshakeFault, ReplyFault, Script, Shared, Stage, Trigger, Unknown};
use crate::embedded::{Client, Clients, Member};
use crate::serving::{Service, WireId};

pub(super) struct ScriptedMember {
    member: Member,
    shared: Arc<Shared>,
    counting: Counting,
    /// Steps that have not been done: those at an op or a connection, and those at a time.
    steps: Vec<(Trigger, Action)>,
    timed: Vec<(Instant, Action)>,
    is_first_op: bool,
    /// Ops of each kind so far, and all of them.
    counted: HashMap<OpCode, u64>,
    counted_all: u64,
    accepted: u64,
    talks: HashMap<WireId, Talk>,
    now: Instant,
    /// Until when, and how long in all.
    stalled: Option<(Instant, Duration)>,
    refusing: Option<(Instant, Duration)>,
    delay: Duration,
    delayed: VecDeque<Delayed>,
    reply_faults: VecDeque<(ReplyFault, u64)>,
    handshake_faults: VecDeque<(HandshakeFault, u64)>,
    fail_every: Option<(u64, ErrorCode)>,
    ops_since_failure: u64,
    refuse_writes: Option<ErrorCode>,
    no_add_watch: Option<Unknown>,
    /// What is to be done with all connections when the op at hand is done.
    break_all: Option<Then>,
}

/// One connection.
#[derive(Default)]
struct Talk {
    number: u64,
    handshake: Option<HandshakeFault>,
    /// A reply that is sent behind the next one.
    withheld: Option<Vec<u8>>,
    /// When the last delayed reply is sent.
    delayed_until: Option<Instant>,
}

struct Delayed {
    at: Instant,
    id: WireId,
    bytes: Vec<u8>,
}

impl ScriptedMember {
    pub(super) fn new(script: Script, address: SocketAddr, shared: Arc<Shared>) -> ScriptedMember {
        let now = Instant::now();
        let mut steps = Vec::new();
        let mut timed = Vec::new();
        for step in script.steps {
            match step.when {
                Trigger::AfterStart(after) => timed.push((now + after, step.what)),
                when => steps.push((when, step.what)),
            }
        }
        ScriptedMember {
            member: Member::new(script.member, address, now),
            shared,
            counting: script.counting,
            steps,
            timed,
            is_first_op: true,
            counted: HashMap::new(),
            counted_all: 0,
            accepted: 0,
            talks: HashMap::new(),
            now,
            stalled: None,
            refusing: None,
            delay: Duration::ZERO,
            delayed: VecDeque::new(),
            reply_faults: VecDeque::new(),
            handshake_faults: VecDeque::new(),
            fail_every: None,
            ops_since_failure: 0,
            refuse_writes: None,
            no_add_watch: None,
            break_all: None,
        }
    }

    /// Does what a step says. `id` is the connection of the op or handshake that it begins at.
    fn perform(&mut self, clients: &mut Clients, id: Option<WireId>, action: Action) {
        let now = self.log(id, &action, Stage::Began);
        match action {
            Action::Stall(length) => {
                self.stalled = Some((now + length, length));
                clients.stall(true);
            }
            Action::DelayReplies(delay) => self.delay = delay,
            Action::Replies { fault, count } => self.reply_faults.push_back((fault, count)),
            Action::CloseAll => self.break_all = Some(Then::Close),
            Action::ResetAll => self.break_all = Some(Then::Reset),
            Action::RefuseConnections(length) => {
                self.refusing = Some((now + length, length));
                clients.refuse(true);
            }
            Action::Handshakes { fault, count } => self.handshake_faults.push_back((fault, count)),
            Action::FailEvery { every, code } => {
                self.fail_every = (every > 0).then_some((every, code));
                self.ops_since_failure = 0;
            }
            Action::RefuseWrites(code) => self.refuse_writes = code,
            Action::ExpireSession => {
                let sessions: Vec<i64> = match id.and_then(|id| clients.get(id)) {
                    Some(wire) => vec![wire.state.session_id],
                    None => self.member.session_ids(),
                };
                for session_id in sessions {
                    self.member.end_session(clients, session_id);
                }
            }
            Action::EventZxid(zxid) => self.member.event_faults.zxid = zxid,
            Action::DropEvents(count) => self.member.event_faults.to_drop = count,
            Action::DuplicateEvents(count) => self.member.event_faults.to_duplicate = count,
            Action::ReadOnly(is_read_only) => {
                self.member.is_read_only = is_read_only;
                self.break_all = Some(Then::Close);
            }
            Action::Version(version) => self.member.version = version,
            Action::NoAddWatch(unknown) => self.no_add_watch = Some(unknown),
        }
        self.shared.woken.notify_one();
    }

    /// Logs what is done, and returns the time that it is logged with.
    fn log(&self, id: Option<WireId>, action: &Action, stage: Stage) -> Instant {
        let connection = id.and_then(|id| self.talks.get(&id)).map(|talk| talk.number);
        let now = Instant::now();
        let (at, ops) = (now.into_std(), self.counted_all);
        self.shared.state().log.push(Done { at, connection, ops, action: action.clone(), stage });
        now
    }

    /// Performs the steps whose trigger is this one.
    fn perform_due(&mut self, clients: &mut Clients, id: WireId, is_due: impl Fn(&Trigger) -> bool) {
        let due: Vec<_> = self.steps.extract_if(.., |(when, _)| is_due(when)).collect();
        for (_, action) in due {
            self.perform(clients, Some(id), action);
        }
    }

    fn shake_hands(&mut self, clients: &mut Clients, id: WireId, body: &[u8]) {
        let fault = self.talks.get_mut(&id).and_then(|talk| talk.handshake.take());
        if let Some(fault) = fault {
            self.log(Some(id), &Action::Handshakes { fault, count: 1 }, Stage::Hit);
        }
        match fault {
            Some(HandshakeFault::CloseAfterRequest) => clients.close(id),
            Some(HandshakeFault::CloseInResponse) => {
                self.member.frame(clients, id, body);
                if let Some(wire) = clients.get_mut(id) {
                    replies::halve(&mut wire.out, 0);
                }
                clients.close(id);
            }
            Some(HandshakeFault::Expired) => {
                let password = Some(&[0; PASSWORD_LEN][..]);
                let (protocol_version, timeout_ms, session_id, read_only) = (0, 0, 0, Some(false));
                let response =
                    ConnectResponse { protocol_version, timeout_ms, session_id, password, read_only };
                if let Some(wire) = clients.get_mut(id) {
                    response.encode_frame(&mut wire.out);
                }
                clients.close(id);
            }
            Some(HandshakeFault::Silence | HandshakeFault::CloseOnAccept) | None => {
                self.member.frame(clients, id, body);
            }
        }
    }

    /// Counts an op if it counts, and performs what it triggers.
    fn count(&mut self, clients: &mut Clients, id: WireId, op: OpCode, record: Reader<'_>) -> bool {
        if let Some(talk) = self.talks.get(&id) {
            let mut state = self.shared.state();
            state.connections.entry(talk.number).or_default().requests += 1;
            if self.counting == Counting::ByHand && !state.is_armed {
                return false;
            }
        }
        let is_counted = is_data_op(op)
            && match &self.counting {
                Counting::FromStart | Counting::ByHand => true,
                Counting::Paths(part) => first_path(op, record).is_some_and(|path| path.contains(part)),
            };
        if !is_counted {
            return false;
        }
        self.counted_all += 1;
        let of_kind = self.counted.entry(op).or_default();
        *of_kind += 1;
        let (all, of_kind) = (self.counted_all, *of_kind);
        if let Some(talk) = self.talks.get(&id) {
            let mut state = self.shared.state();
            state.connections.entry(talk.number).or_default().counted += 1;
            state.counted = all;
        }
        if std::mem::take(&mut self.is_first_op) {
            let now = self.now;
            for (when, action) in
                self.steps.extract_if(.., |(when, _)| matches!(when, Trigger::AfterFirstOp(_)))
            {
                if let Trigger::AfterFirstOp(after) = when {
                    self.timed.push((now + after, action));
                }
            }
            self.shared.woken.notify_one();
        }
        self.perform_due(clients, id, |when| match when {
            Trigger::AtOp { op: Some(kind), number } => *kind == op && *number == of_kind,
            Trigger::AtOp { op: None, number } => *number == all,
            _ => false,
        });
        true
    }

    /// The error that a request is answered with instead of being done.
    fn refusal(&mut self, op: OpCode, is_counted: bool) -> Option<(ErrorCode, Action)> {
        if let Some(unknown) = self.no_add_watch
            && op == OpCode::ADD_WATCH
        {
            return Some((ErrorCode::UNIMPLEMENTED, Action::NoAddWatch(unknown)));
        }
        if !is_counted {
            return None;
        }
        if self.member.is_read_only && (consumes_zxid(op) || op == OpCode::SYNC) {
            return Some((ErrorCode::NOT_READ_ONLY, Action::ReadOnly(true)));
        }
        if let Some(code) = self.refuse_writes
            && consumes_zxid(op)
        {
            return Some((code, Action::RefuseWrites(Some(code))));
        }
        let (every, code) = self.fail_every?;
        self.ops_since_failure += 1;
        if self.ops_since_failure < every {
            return None;
        }
        self.ops_since_failure = 0;
        Some((code, Action::FailEvery { every, code }))
    }

    /// Lets the reply behind `mark` go wrong, if one is to.
    fn hit_reply(&mut self, clients: &mut Clients, id: WireId, mark: usize) {
        let Some(wire) = clients.get_mut(id) else { return };
        let Some(start) = replies::reply_start(&wire.out, mark) else { return };
        let Some((fault, left)) = self.reply_faults.front_mut() else { return };
        // Two that are swapped must be two.
        let talk = self.talks.entry(id).or_default();
        if *fault == ReplyFault::Swap && talk.withheld.is_some() {
            return;
        }
        let fault = fault.clone();
        *left -= 1;
        if *left == 0 {
            self.reply_faults.pop_front();
        }
        match replies::distort(&mut wire.out, start, &fault) {
            Then::GoOn => {}
            Then::Withhold(reply) => talk.withheld = Some(reply),
            then => break_connection(clients, id, &then),
        }
        self.log(Some(id), &Action::Replies { fault, count: 1 }, Stage::Hit);
    }

    /// Takes what is behind `mark` out of the output until its time has come.
    fn delay(&mut self, clients: &mut Clients, id: WireId, mark: usize) {
        let Some(wire) = clients.get_mut(id) else { return };
        let Some(talk) = self.talks.get_mut(&id) else { return };
        let queued = talk.delayed_until.filter(|at| *at > self.now);
        if (self.delay.is_zero() && queued.is_none()) || wire.is_closing() || wire.out.len() == mark {
            return;
        }
        let at = (self.now + self.delay).max(queued.unwrap_or(self.now));
        talk.delayed_until = Some(at);
        let delayed = Delayed { at, id, bytes: wire.out.split_off(mark) };
        let position = self.delayed.partition_point(|other| other.at <= at);
        self.delayed.insert(position, delayed);
        self.shared.woken.notify_one();
    }

    fn break_all(&mut self, clients: &mut Clients) {
        if let Some(then) = self.break_all.take() {
            let ids: Vec<_> = self.talks.keys().copied().collect();
            for id in ids {
                break_connection(clients, id, &then);
            }
        }
    }
}

impl Service for ScriptedMember {
    type State = Client;

    fn accepted(&mut self, peer: SocketAddr) -> Client {
        self.member.accepted(peer)
    }

    fn opened(&mut self, clients: &mut Clients, id: WireId) {
        self.accepted += 1;
        let number = self.accepted;
        self.shared.state().connections.entry(number).or_default();
        self.talks.insert(id, Talk { number, ..Talk::default() });
        self.perform_due(clients, id, |when| *when == Trigger::AtConnection(number));
        let Some((fault, left)) = self.handshake_faults.front_mut() else { return };
        let fault = *fault;
        *left -= 1;
        if *left == 0 {
            self.handshake_faults.pop_front();
        }
        match fault {
            HandshakeFault::Silence => clients.silence(id),
            HandshakeFault::CloseOnAccept => clients.close_now(id),
            later => {
                if let Some(talk) = self.talks.get_mut(&id) {
                    talk.handshake = Some(later);
                }
                return;
            }
        }
        self.log(Some(id), &Action::Handshakes { fault, count: 1 }, Stage::Hit);
    }

    fn begin(&mut self, now: Instant) {
        self.now = now;
        self.member.begin(now);
    }

    fn frame(&mut self, clients: &mut Clients, id: WireId, body: &[u8]) {
        if clients.get(id).is_some_and(|wire| !wire.is_established) {
            return self.shake_hands(clients, id, body);
        }
        let mut input = Reader::new(body);
        let Ok(header) = RequestHeader::decode(&mut input) else { return clients.close_now(id) };
        let is_counted = self.count(clients, id, header.op, input);
        let Some(wire) = clients.get_mut(id) else { return };
        if wire.is_closing() {
            return;
        }
        let mark = wire.out.len();
        let earlier = self.talks.get_mut(&id).and_then(|talk| talk.withheld.take());
        match self.refusal(header.op, is_counted) {
            Some((_, action @ Action::NoAddWatch(Unknown::Close))) => {
                clients.close(id);
                self.log(Some(id), &action, Stage::Hit);
            }
            Some((err, action)) => {
                ReplyHeader { xid: header.xid, zxid: self.member.last_zxid(), err }
                    .encode_frame(&mut wire.out);
                self.log(Some(id), &action, Stage::Hit);
            }
            None => self.member.frame(clients, id, body),
        }
        if self.break_all.is_some()
            && let Some(wire) = clients.get_mut(id)
            && let Some(start) = replies::reply_start(&wire.out, mark)
        {
            wire.out.truncate(start);
        }
        if is_counted {
            self.hit_reply(clients, id, mark);
        }
        if let (Some(earlier), Some(wire)) = (earlier, clients.get_mut(id)) {
            wire.out.extend_from_slice(&earlier);
        }
        self.delay(clients, id, mark);
        self.break_all(clients);
    }

    fn word(&mut self, clients: &mut Clients, id: WireId, word: &'static str) {
        self.member.word(clients, id, word);
    }

    fn end(&mut self, clients: &mut Clients, id: WireId) {
        self.member.end(clients, id);
    }

    fn closed(&mut self, id: WireId, client: Client) {
        self.talks.remove(&id);
        self.member.closed(id, client);
    }

    fn wake_at(&self) -> Option<Instant> {
        if !self.shared.state().orders.is_empty() {
            return Some(self.now);
        }
        let timed = self.timed.iter().map(|(at, _)| *at).min();
        let delayed = self.delayed.front().map(|delayed| delayed.at);
        let (stalled, refusing) = (self.stalled.map(|(at, _)| at), self.refusing.map(|(at, _)| at));
        [self.member.wake_at(), timed, delayed, stalled, refusing].into_iter().flatten().min()
    }

    fn woken_earlier(&self) -> Arc<Notify> {
        Arc::clone(&self.shared.woken)
    }

    fn tick(&mut self, clients: &mut Clients, now: Instant) {
        self.now = now;
        if self.member.wake_at().is_some_and(|at| at <= now) {
            self.member.tick(clients, now);
        }
        if let Some((_, length)) = self.stalled.take_if(|(at, _)| *at <= now) {
            clients.stall(false);
            self.log(None, &Action::Stall(length), Stage::Ended);
        }
        if let Some((_, length)) = self.refusing.take_if(|(at, _)| *at <= now) {
            clients.refuse(false);
            self.log(None, &Action::RefuseConnections(length), Stage::Ended);
        }
        let orders = std::mem::take(&mut self.shared.state().orders);
        let timed: Vec<_> =
            self.timed.extract_if(.., |(at, _)| *at <= now).map(|(_, action)| action).collect();
        for action in orders.into_iter().chain(timed) {
            self.perform(clients, None, action);
        }
        self.break_all(clients);
        while let Some(due) = self.delayed.pop_front_if(|delayed| delayed.at <= now) {
            clients.push(due.id, &due.bytes);
        }
    }
}

fn break_connection(clients: &mut Clients, id: WireId, then: &Then) {
    match then {
        Then::GoOn | Then::Withhold(_) => {}
        Then::Silence => clients.silence(id),
        Then::Close => clients.close(id),
        Then::Reset => clients.reset(id),
    }
}

fn is_data_op(op: OpCode) -> bool {
    !matches!(
        op,
        OpCode::PING
            | OpCode::AUTH
            | OpCode::SASL
            | OpCode::SET_WATCHES
            | OpCode::SET_WATCHES2
            | OpCode::ADD_WATCH
            | OpCode::REMOVE_WATCHES
            | OpCode::CHECK_WATCHES
            | OpCode::WHO_AM_I
            | OpCode::CLOSE_SESSION
    )
}

/// The path of a request; of a multi that of its first op.
fn first_path(op: OpCode, mut record: Reader<'_>) -> Option<String> {
    if matches!(op, OpCode::MULTI | OpCode::MULTI_READ) {
        let Ok(Some(Request::Multi(ops) | Request::MultiRead(ops))) = Request::decode(op, &mut record) else {
            return None;
        };
        return Some(
            match ops.iter().next()? {
                MultiOp::Create(create)
                | MultiOp::Create2(create)
                | MultiOp::CreateContainer(create)
                | MultiOp::CreateTtl { create, .. } => create.path,
                MultiOp::Delete(path)
                | MultiOp::Check(path)
                | MultiOp::KeeperCheckNotExists(path)
                | MultiOp::KeeperCheckStat { path, .. } => path.path,
                MultiOp::KeeperExists(path)
                | MultiOp::KeeperGetChildren2(path)
                | MultiOp::KeeperFilteredList { path, .. } => path.path,
                MultiOp::SetData { path, .. }
                | MultiOp::GetData { path, .. }
                | MultiOp::GetChildren { path, .. } => path,
            }
            .into_owned(),
        );
    }
    // Every other request begins with its path.
    record.string("path").ok().map(std::borrow::Cow::into_owned)
}
