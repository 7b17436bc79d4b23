//! The null server: it answers every request at once with a reply of the right shape, and does nothing.
//!
//! It is the yardstick of a load generator: what is measured against it is the generator, the kernel's
//! loopback and very little else. It keeps no znodes and no sessions, sends no events, and looks at a request
//! no further than its reply needs.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use quorumeter_zk::connect::{ConnectRequest, ConnectResponse, PASSWORD_LEN};
use quorumeter_zk::four_letter::{IMOK, Mntr, Mode, Srvr, write_isro};
use quorumeter_zk::frame;
use quorumeter_zk::jute::{Item as _, List, Reader, put_buffer, put_i32};
use quorumeter_zk::multi::{MultiOp, MultiResult};
use quorumeter_zk::op::xid;
use quorumeter_zk::reply::ReplyHeader;
use quorumeter_zk::request::RequestHeader;
use quorumeter_zk::tree::consumes_zxid;
use quorumeter_zk::{ErrorCode, OpCode, Stat};
use tokio::time::Instant;

use crate::serving::{self, Addresses, Limits, REPLY_LEN_MAX, Running, Service, WireId, Wires};

/// How a null server is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens; port 0 asks for a free one.
    pub address: SocketAddr,
    /// A file that the address is written to once the server listens.
    pub announce: Option<PathBuf>,
    /// Bytes that getData answers with.
    pub value_len: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { address: SocketAddr::from(([127, 0, 0, 1], 0)), announce: None, value_len: 256 }
    }
}

impl Options {
    fn addresses(&self) -> Addresses {
        Addresses { client: self.address, admin: None }
    }
}

/// Runs a null server in this process until SIGTERM.
///
/// # Errors
/// When the address cannot be listened on, or the announcement cannot be written.
pub fn serve(options: &Options) -> io::Result<()> {
    let announce = options.announce.as_deref();
    serving::serve_until_terminated(options.addresses(), announce, Limits::default(), |_| {
        Null::new(options.value_len)
    })
}

/// Starts a null server on a thread of its own, where it runs until the handle is dropped.
///
/// # Errors
/// When the address cannot be listened on.
pub fn start(options: &Options) -> io::Result<Running> {
    let value_len = options.value_len;
    serving::start("null", options.addresses(), Limits::default(), move |_| Null::new(value_len))
}

/// The longest timeout that is granted: that of a member with the default `tickTime`. A connection that is silent for
/// longer than its own is closed: its peer may be gone without a word.
const TIMEOUT_MAX_MS: i32 = 40_000;

struct Null {
    zxid: i64,
    sessions: i64,
    requests: u64,
    /// The record of every reply to getData.
    data: Vec<u8>,
    /// The record of every reply that is a stat.
    stat: Vec<u8>,
    value: Vec<u8>,
}

impl Null {
    fn new(value_len: usize) -> Null {
        let value = vec![b'.'; value_len];
        let stat = Stat { czxid: 1, mzxid: 1, pzxid: 1, data_length: value_len as i32, ..Stat::default() };
        let (mut data, mut record) = (Vec::new(), Vec::new());
        put_buffer(&mut data, Some(&value));
        stat.encode(&mut data);
        stat.encode(&mut record);
        Null { zxid: 1, sessions: 0, requests: 0, data, stat: record, value }
    }

    /// Appends the answer to a handshake, and returns the timeout that it grants, milliseconds.
    fn handshake(&mut self, body: &[u8], out: &mut Vec<u8>) -> Option<u32> {
        let request = ConnectRequest::decode(body).ok()?;
        self.sessions += 1;
        let timeout_ms = request.timeout_ms.clamp(1, TIMEOUT_MAX_MS);
        ConnectResponse {
            protocol_version: 0,
            timeout_ms,
            session_id: if request.session_id == 0 { self.sessions } else { request.session_id },
            password: Some(&[0; PASSWORD_LEN]),
            read_only: request.read_only.map(|_| false),
        }
        .encode_frame(out);
        Some(timeout_ms.unsigned_abs())
    }

    /// Appends the answer, and returns whether the connection goes on; `None` when there is none, and what was
    /// appended is half of one.
    #[inline]
    fn answer(&mut self, body: &[u8], out: &mut Vec<u8>) -> Option<bool> {
        let mut input = Reader::new(body);
        let header = RequestHeader::decode(&mut input).ok()?;
        if consumes_zxid(header.op) {
            self.zxid += 1;
        }
        let mark = frame::begin(out);
        let xid = if header.op == OpCode::PING { xid::PING } else { header.xid };
        ReplyHeader { xid, zxid: self.zxid, err: ErrorCode::OK }.encode(out);
        match header.op {
            OpCode::GET_DATA => out.extend_from_slice(&self.data),
            OpCode::SET_DATA | OpCode::EXISTS | OpCode::SET_ACL => out.extend_from_slice(&self.stat),
            OpCode::CREATE | OpCode::SYNC => put_buffer(out, input.buffer("path").ok()?),
            OpCode::CREATE2 | OpCode::CREATE_CONTAINER | OpCode::CREATE_TTL => {
                put_buffer(out, input.buffer("path").ok()?);
                out.extend_from_slice(&self.stat);
            }
            // An empty vector, the number 0, the error 0.
            OpCode::GET_CHILDREN
            | OpCode::GET_EPHEMERALS
            | OpCode::WHO_AM_I
            | OpCode::ADD_WATCH
            | OpCode::GET_ALL_CHILDREN_NUMBER => put_i32(out, 0),
            OpCode::GET_CHILDREN2 | OpCode::GET_ACL => {
                put_i32(out, 0);
                out.extend_from_slice(&self.stat);
            }
            OpCode::MULTI | OpCode::MULTI_READ => self.answer_multi(&mut input, out)?,
            OpCode::DELETE
            | OpCode::DELETE_CONTAINER
            | OpCode::PING
            | OpCode::AUTH
            | OpCode::SET_WATCHES
            | OpCode::SET_WATCHES2
            | OpCode::CHECK_WATCHES
            | OpCode::REMOVE_WATCHES => {}
            op => {
                out.truncate(mark);
                let err = if op == OpCode::CLOSE_SESSION { ErrorCode::OK } else { ErrorCode::UNIMPLEMENTED };
                ReplyHeader { xid, zxid: self.zxid, err }.encode_frame(out);
                return Some(false);
            }
        }
        frame::end(out, mark);
        Some(true)
    }

    fn answer_multi(&self, input: &mut Reader<'_>, out: &mut Vec<u8>) -> Option<()> {
        let stat = Stat { data_length: self.value.len() as i32, ..Stat::default() };
        let start = out.len();
        for op in MultiOp::decode_list(input).ok()?.iter() {
            let result = match op {
                MultiOp::Create(create) => MultiResult::Create { path: create.path },
                MultiOp::Create2(create)
                | MultiOp::CreateContainer(create)
                | MultiOp::CreateTtl { create, .. } => MultiResult::Create2 { path: create.path, stat },
                MultiOp::Delete(_) => MultiResult::Delete,
                MultiOp::SetData { .. } => MultiResult::SetData { stat },
                MultiOp::Check(_) => MultiResult::Check,
                MultiOp::GetData { .. } => MultiResult::GetData { data: Some(&self.value), stat },
                MultiOp::GetChildren { .. } => MultiResult::GetChildren { children: List::default() },
                MultiOp::KeeperCheckNotExists(_) => MultiResult::KeeperCheckNotExists,
                MultiOp::KeeperCheckStat { .. } => MultiResult::KeeperCheckStat,
                MultiOp::KeeperExists(_) => MultiResult::KeeperExists { stat },
                MultiOp::KeeperGetChildren2(_) => {
                    MultiResult::KeeperGetChildren2 { children: List::default(), stat }
                }
                MultiOp::KeeperFilteredList { .. } => {
                    MultiResult::KeeperFilteredList { children: List::default(), stat }
                }
            };
            result.encode(out);
            if out.len() - start > REPLY_LEN_MAX {
                return None;
            }
        }
        MultiOp::encode_end(out);
        Some(())
    }

    fn answer_word(&self, connections: usize, word: &str) -> String {
        let version = serving::version();
        match word {
            "ruok" => IMOK.to_owned(),
            "isro" => write_isro(false).to_owned(),
            "srvr" => Srvr {
                version,
                latency_ms: (0.0, 0.0, 0.0),
                received: self.requests,
                sent: self.requests,
                connections: connections as u64,
                outstanding: 0,
                zxid: self.zxid,
                mode: Mode::Standalone,
                node_count: 5,
                proposal_sizes: None,
            }
            .write(),
            "mntr" => {
                let mut mntr = Mntr::new();
                mntr.push("version", version);
                mntr.push("server_state", Mode::Standalone.name());
                mntr.push("packets_received", self.requests);
                mntr.push("packets_sent", self.requests);
                mntr.push("num_alive_connections", connections);
                mntr.push("outstanding_requests", 0);
                mntr.push("znode_count", 5);
                mntr.write()
            }
            _ => format!("{word}{}", quorumeter_zk::four_letter::NOT_WHITELISTED),
        }
    }
}

impl Service for Null {
    type State = ();

    fn accepted(&mut self, _: SocketAddr) {}

    fn begin(&mut self, _: Instant) {}

    #[inline]
    fn frame(&mut self, wires: &mut Wires<()>, id: WireId, body: &[u8]) {
        self.requests += 1;
        let Some(wire) = wires.get_mut(id) else { return };
        let mark = wire.out.len();
        if !wire.is_established {
            wire.is_established = true;
            match self.handshake(body, &mut wire.out) {
                Some(timeout_ms) => wire.idle_limit = Some(Duration::from_millis(timeout_ms.into())),
                None => wires.close(id),
            }
            return;
        }
        match self.answer(body, &mut wire.out) {
            Some(true) => {}
            Some(false) => wires.close(id),
            None => {
                wire.out.truncate(mark);
                wires.close(id);
            }
        }
    }

    fn word(&mut self, wires: &mut Wires<()>, id: WireId, word: &'static str) {
        let answer = self.answer_word(wires.len(), word);
        if let Some(wire) = wires.get_mut(id) {
            wire.out.extend_from_slice(answer.as_bytes());
        }
    }

    fn end(&mut self, _: &mut Wires<()>, _: WireId) {}

    fn closed(&mut self, _: WireId, (): ()) {}

    fn wake_at(&self) -> Option<Instant> {
        None
    }

    fn tick(&mut self, _: &mut Wires<()>, _: Instant) {}
}
