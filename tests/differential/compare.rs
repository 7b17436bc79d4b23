//! Running steps against a server, and telling what was observed in a form that two servers can agree on.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::net::SocketAddr;

use quorumeter_zk::multi::MultiResult;
use quorumeter_zk::op::xid;
use quorumeter_zk::reply::Reply;
use quorumeter_zk::request::{Request, SetWatches};
use quorumeter_zk::{ErrorCode, OpCode, Stat};

use crate::raw::{Answer, Raw};
use crate::steps::{Action, SESSIONS, Step};

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
            Action::Request { op, record, .. } => {
                let session = &mut self.sessions[index];
                let number = match *op {
                    OpCode::PING => xid::PING,
                    OpCode::AUTH => xid::AUTH,
                    _ => session.take_xid(),
                };
                if session.send_record(number, *op, record).is_err() {
                    return "cannot send".to_owned() + &self.reconnect(index);
                }
                self.observe(index, *op)
            }
            Action::SetWatches { back, lists } => {
                let session = &mut self.sessions[index];
                let paths: Vec<Vec<_>> =
                    lists.iter().map(|list| list.iter().map(|path| path.as_str().into()).collect()).collect();
                session.send(&Request::SetWatches2(SetWatches {
                    relative_zxid: session.last_zxid - back,
                    data: paths[0][..].into(),
                    exist: paths[1][..].into(),
                    child: paths[2][..].into(),
                    persistent: paths[3][..].into(),
                    persistent_recursive: paths[4][..].into(),
                }));
                self.observe(index, OpCode::SET_WATCHES2)
            }
            Action::Reconnect => self.reconnect(index),
            Action::Renew => {
                self.sessions[index].send(&Request::CloseSession);
                let seen = self.observe_only(index, OpCode::CLOSE_SESSION);
                assert!(self.sessions[index].is_closed());
                self.sessions[index] = self.new_session();
                seen
            }
        }
    }

    /// Keeps all sessions alive, and tells the events that they have not seen yet.
    pub(crate) fn ping(&mut self) -> String {
        let mut seen = String::new();
        for index in 0..SESSIONS {
            self.sessions[index].send(&Request::Ping);
            seen += &self.observe_only(index, OpCode::PING);
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

    /// The answer, and whether the connection was closed after it; then it is made again.
    fn observe(&mut self, index: usize, op: OpCode) -> String {
        let mut seen = self.observe_only(index, op);
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

    fn observe_only(&mut self, index: usize, op: OpCode) -> String {
        match self.sessions[index].answer() {
            Ok(None) => "end of stream".to_owned(),
            Ok(Some(answer)) => {
                self.coverage.note(&answer, op);
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
    fn note(&mut self, answer: &Answer, op: OpCode) {
        for event in &answer.events {
            *self.events.entry(event.kind).or_default() += 1;
        }
        *self.codes.entry(answer.header.err).or_default() += 1;
        if op == OpCode::MULTI
            && let Ok(Some(Reply::Multi(results))) = Reply::decode(op, &answer.body)
            && let Some(code) = MultiResult::failure(&results)
        {
            *self.failed_multis.entry(code).or_default() += 1;
        }
    }
}
