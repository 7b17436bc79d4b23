//! Running steps against a server, and telling what was observed in a form that two servers can agree on.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;

use quorumeter_zk::frame;
use quorumeter_zk::jute::Reader;
use quorumeter_zk::multi::MultiResult;
use quorumeter_zk::op::xid;
use quorumeter_zk::reply::Reply;
use quorumeter_zk::request::{Request, SetWatches};
use quorumeter_zk::{ErrorCode, OpCode, Stat};

use crate::raw::{Answer, Raw, word};
use crate::steps::{Action, Encoded, SESSIONS, Step};

/// One server with its sessions.
pub(crate) struct Side {
    address: SocketAddr,
    sessions: Vec<Raw>,
    /// Names of all sessions so far: their ids differ between servers.
    names: HashMap<i64, String>,
    pub(crate) coverage: Coverage,
}

/// What a sequence of steps has touched: a comparison of refusals alone would prove little.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    pub(crate) events: BTreeMap<i32, usize>,
    pub(crate) codes: BTreeMap<ErrorCode, usize>,
    /// Failed multis by the code of the op that failed.
    pub(crate) failed_multis: BTreeMap<ErrorCode, usize>,
    /// What succeeded, by a name for what is special about it.
    pub(crate) done: BTreeMap<String, usize>,
}

impl Side {
    pub(crate) fn new(address: SocketAddr) -> Side {
        let mut side =
            Side { address, sessions: Vec::new(), names: HashMap::new(), coverage: Coverage::default() };
        for _ in 0..SESSIONS {
            let session = side.new_session();
            side.sessions.push(session);
        }
        side
    }

    /// Does a step, and tells what was seen of it.
    pub(crate) fn run(&mut self, step: &Step) -> String {
        let index = step.session;
        match &step.action {
            Action::Request(request) => self.request(index, std::slice::from_ref(request)),
            Action::Pipeline(requests) => self.request(index, requests),
            Action::SetWatches { is_first_version, back, lists } => {
                let session = &mut self.sessions[index];
                let paths: Vec<Vec<_>> =
                    lists.iter().map(|list| list.iter().map(|path| path.as_str().into()).collect()).collect();
                let watches = SetWatches {
                    relative_zxid: session.last_zxid - back,
                    data: paths[0][..].into(),
                    exist: paths[1][..].into(),
                    child: paths[2][..].into(),
                    persistent: paths[3][..].into(),
                    persistent_recursive: paths[4][..].into(),
                };
                let request = match is_first_version {
                    true => Request::SetWatches(watches),
                    false => Request::SetWatches2(watches),
                };
                session.send(&request);
                self.observe(index, request.op(), Some(&request))
            }
            Action::Reconnect => self.reconnect(index),
            Action::Renew => {
                self.sessions[index].send(&Request::CloseSession);
                let seen = self.observe_only(index, OpCode::CLOSE_SESSION, None);
                assert!(self.sessions[index].is_closed());
                self.sessions[index] = self.new_session();
                seen
            }
        }
    }

    /// Keeps all sessions alive, and tells the events that they have not seen yet, and who watches what.
    pub(crate) fn look(&mut self) -> String {
        self.ping() + &self.watches()
    }

    /// What the words about watches answer. The order of sessions, and that of paths, means nothing.
    pub(crate) fn watches(&self) -> String {
        let mut out = word(self.address, "wchs");
        for name in ["wchc", "wchp"] {
            let answer = word(self.address, name);
            let list = answer.strip_suffix('\n').unwrap_or_else(|| panic!("{name} ends as {answer:?}"));
            let mut groups: Vec<Vec<String>> = Vec::new();
            for line in list.split_terminator('\n') {
                match groups.last_mut() {
                    Some(group) if line.starts_with('\t') => group.push(self.with_name(line)),
                    _ => groups.push(vec![self.with_name(line)]),
                }
            }
            groups.iter_mut().for_each(|group| group[1..].sort_unstable());
            groups.sort_unstable();
            let _ = writeln!(out, "{name} {groups:?}");
        }
        out
    }

    /// A line with a session's name in place of its id.
    fn with_name(&self, line: &str) -> String {
        let digits = line.trim_start_matches('\t').strip_prefix("0x");
        let name = digits.and_then(|id| self.names.get(&i64::from_str_radix(id, 16).ok()?));
        name.map_or_else(|| line.to_owned(), |name| line.replace(line.trim_start_matches('\t'), name))
    }

    fn ping(&mut self) -> String {
        let mut seen = String::new();
        for index in 0..SESSIONS {
            self.sessions[index].send(&Request::Ping);
            seen += &self.observe_only(index, OpCode::PING, None);
        }
        seen
    }

    fn new_session(&mut self) -> Raw {
        let session = Raw::connect(self.address);
        let name = format!("S{}", self.names.len());
        self.names.insert(session.session_id, name);
        session
    }

    fn reconnect(&mut self, index: usize) -> String {
        let session = &mut self.sessions[index];
        match session.reconnect(self.address) {
            Ok(true) => {
                let name = self.names.get(&session.session_id).cloned().unwrap_or_default();
                format!("connected to {name} for {} ms", session.timeout_ms)
            }
            Ok(false) => "closed".to_owned(),
            Err(e) => format!("{:?}", e.kind()),
        }
    }

    /// Writes requests at once, and reads their answers.
    fn request(&mut self, index: usize, requests: &[Encoded]) -> String {
        let session = &mut self.sessions[index];
        let mut out = Vec::new();
        for Encoded { op, record, .. } in requests {
            let number = match *op {
                OpCode::PING => xid::PING,
                OpCode::AUTH => xid::AUTH,
                _ => session.take_xid(),
            };
            let mark = frame::begin_request(&mut out, number, *op);
            out.extend_from_slice(record);
            frame::end(&mut out, mark);
        }
        if session.stream.write_all(&out).is_err() {
            return "cannot send".to_owned() + &self.reconnect(index);
        }
        let mut seen = String::new();
        for Encoded { op, record, .. } in requests {
            let request = Request::decode(*op, &mut Reader::replacing(record)).ok().flatten();
            let one = self.observe(index, *op, request.as_ref());
            let is_end = one.contains("end of stream");
            seen += &one;
            seen.push('\n');
            if is_end {
                break;
            }
        }
        seen
    }

    /// The answer, and whether the connection was closed after it; then it is made again.
    fn observe(&mut self, index: usize, op: OpCode, request: Option<&Request<'_>>) -> String {
        let mut seen = self.observe_only(index, op, request);
        let must_close = seen.contains("Unimplemented") || seen.contains("AuthFailed");
        if must_close {
            let closed = self.sessions[index].is_closed();
            let _ = write!(seen, " closed: {closed}");
        }
        if must_close || seen.ends_with("end of stream") {
            seen += &self.reconnect(index);
        }
        seen
    }

    fn observe_only(&mut self, index: usize, op: OpCode, request: Option<&Request<'_>>) -> String {
        match self.sessions[index].answer() {
            Ok(None) => "end of stream".to_owned(),
            Ok(Some(answer)) => {
                self.coverage.note(&answer, op, request);
                self.describe(&answer, op)
            }
            Err(e) => panic!("no answer to {op} from {}: {e}", self.address),
        }
    }

    fn describe(&self, answer: &Answer, op: OpCode) -> String {
        let mut out = String::new();
        for event in &answer.events {
            let _ = writeln!(out, "event {} {:?} zxid {}", event.kind, event.path, event.zxid);
        }
        let header = &answer.header;
        let _ = write!(out, "xid {} zxid {} {:?} ", header.xid, header.zxid, header.err);
        if header.err != ErrorCode::OK {
            let _ = write!(out, "{:?}", answer.body);
            return out;
        }
        match Reply::decode(op, &answer.body) {
            Ok(Some(reply)) => out += &self.describe_reply(reply),
            other => {
                let _ = write!(out, "{other:?} {:?}", answer.body);
            }
        }
        out
    }

    fn describe_reply(&self, reply: Reply<'_>) -> String {
        match reply {
            Reply::PathAndStat { path, stat } => format!("{path:?} {}", self.describe_stat(&stat)),
            Reply::Stat(stat) => self.describe_stat(&stat),
            Reply::Data { data, stat } => format!("{data:?} {}", self.describe_stat(&stat)),
            Reply::Acl { acl, stat } => format!("{acl:?} {}", self.describe_stat(&stat)),
            Reply::Children { children, stat } => format!("{children:?} {}", self.describe_stat(&stat)),
            Reply::Multi(results) => {
                let results = results.iter().map(|result| match result {
                    MultiResult::Create2 { path, stat } => {
                        format!("create2 {path:?} {}", self.describe_stat(&stat))
                    }
                    MultiResult::SetData { stat } => format!("setData {}", self.describe_stat(&stat)),
                    MultiResult::GetData { data, stat } => {
                        format!("getData {data:?} {}", self.describe_stat(&stat))
                    }
                    other => format!("{other:?}"),
                });
                results.collect::<Vec<_>>().join("; ")
            }
            other => format!("{other:?}"),
        }
    }

    /// Everything but the times, and the session by its name.
    fn describe_stat(&self, stat: &Stat) -> String {
        let owner = match stat.ephemeral_owner {
            0 => "nobody".to_owned(),
            id => self.names.get(&id).cloned().unwrap_or_else(|| format!("{id:x}")),
        };
        let Stat { czxid, mzxid, pzxid, version, cversion, aversion, data_length, num_children, .. } = stat;
        format!(
            "czxid {czxid} mzxid {mzxid} pzxid {pzxid} v {version} cv {cversion} av {aversion} \
             owner {owner} length {data_length} children {num_children}"
        )
    }
}

impl Coverage {
    /// Adds what another sequence of steps has touched.
    pub(crate) fn add(&mut self, other: Coverage) {
        fn sum<K: Ord>(to: &mut BTreeMap<K, usize>, from: BTreeMap<K, usize>) {
            from.into_iter().for_each(|(key, count)| *to.entry(key).or_default() += count);
        }
        sum(&mut self.events, other.events);
        sum(&mut self.codes, other.codes);
        sum(&mut self.failed_multis, other.failed_multis);
        sum(&mut self.done, other.done);
    }

    fn note(&mut self, answer: &Answer, op: OpCode, request: Option<&Request<'_>>) {
        for event in &answer.events {
            *self.events.entry(event.kind).or_default() += 1;
        }
        *self.codes.entry(answer.header.err).or_default() += 1;
        if answer.header.err != ErrorCode::OK {
            return;
        }
        let reply = Reply::decode(op, &answer.body).ok().flatten();
        if let (OpCode::MULTI, Some(Reply::Multi(results))) = (op, &reply)
            && let Some(code) = MultiResult::failure(results)
        {
            *self.failed_multis.entry(code).or_default() += 1;
        }
        let name = match request {
            Some(request) => special(request, answer, reply),
            // Of what is no request to this suite's clients, null is all that succeeds here.
            None if op == OpCode::ADD_WATCH => Some("watch of null".to_owned()),
            None if op == OpCode::REMOVE_WATCHES => Some("removal of a watch of null".to_owned()),
            None => None,
        };
        if let Some(name) = name {
            *self.done.entry(name).or_default() += 1;
        }
    }
}

/// What the comparisons have to have seen succeed, all together.
pub(crate) const SPECIAL: [&str; 21] = [
    "create of mode 0",
    "create of mode 1",
    "create of mode 2",
    "create of mode 3",
    "create of mode 4",
    "createTTL of mode 5",
    "createTTL of mode 6",
    "createContainer",
    "setWatches with an event",
    "setWatches2 with an event",
    "removal of watches of type 1",
    "removal of watches of type 2",
    "removal of watches of type 3",
    "removal of watches of type 4",
    "removal of watches of type 5",
    "watch of null",
    "removal of a watch of null",
    "quota's counts",
    "quota's other values",
    "multi on quotas",
    "super user",
];

fn special(request: &Request<'_>, answer: &Answer, reply: Option<Reply<'_>>) -> Option<String> {
    let is_stats = |path: &str| path.starts_with("/zookeeper/quota/") && path.ends_with("/zookeeper_stats");
    let set_at_once = answer.events.iter().any(|event| event.zxid == -1);
    Some(match (request, reply) {
        (Request::Create(create) | Request::Create2(create), _) => format!("create of mode {}", create.flags),
        (Request::CreateTtl { create, .. }, _) => format!("createTTL of mode {}", create.flags),
        (Request::CreateContainer(_), _) => "createContainer".to_owned(),
        (Request::SetWatches(_), _) if set_at_once => "setWatches with an event".to_owned(),
        (Request::SetWatches2(_), _) if set_at_once => "setWatches2 with an event".to_owned(),
        (Request::RemoveWatches { kind, .. }, _) => format!("removal of watches of type {kind}"),
        (Request::GetData(read), Some(Reply::Data { data: Some(data), .. })) if is_stats(&read.path) => {
            let has_others = data.contains(&b';');
            if has_others { "quota's other values" } else { "quota's counts" }.to_owned()
        }
        (Request::Multi(ops), Some(Reply::Multi(results))) => {
            let is_done = MultiResult::failure(&results).is_none();
            let paths = ops.iter().any(|op| format!("{op:?}").contains("/zookeeper/quota/"));
            (is_done && paths).then(|| "multi on quotas".to_owned())?
        }
        (Request::WhoAmI, Some(Reply::Clients(clients))) => {
            clients.iter().any(|client| client.scheme == "super").then(|| "super user".to_owned())?
        }
        _ => return None,
    })
}
