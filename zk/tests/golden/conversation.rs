//! `conversation.txt`, read and decoded.

#![allow(dead_code, reason = "each test looks at its own part")]

use std::collections::{HashMap, HashSet};

use quorumeter_zk::connect::{ConnectRequest, ConnectResponse};
use quorumeter_zk::event::WatchedEvent;
use quorumeter_zk::frame::{self, DEFAULT_MAX_FRAME, Front};
use quorumeter_zk::jute::{DecodeError, Reader};
use quorumeter_zk::op::xid;
use quorumeter_zk::reply::ReplyHeader;
use quorumeter_zk::request::RequestHeader;
use quorumeter_zk::{ErrorCode, OpCode, Reply, Request};

/// A frame as the file has it.
pub(crate) struct Frame {
    pub(crate) step: &'static str,
    pub(crate) connection: u32,
    pub(crate) to_server: bool,
    pub(crate) bytes: Vec<u8>,
}

/// What a frame says.
#[derive(Debug)]
pub(crate) enum Message<'a> {
    Hello(ConnectRequest<'a>),
    Welcome(Result<ConnectResponse<'a>, DecodeError>),
    Request(RequestHeader, Option<Request<'a>>),
    /// To a request of this op.
    Reply(OpCode, ReplyHeader, Option<Reply<'a>>),
    Event(ReplyHeader, WatchedEvent<'a>),
}

pub(crate) fn frames() -> Vec<Frame> {
    let mut step = "";
    let mut frames = Vec::new();
    for line in include_str!("conversation.txt").lines() {
        if let Some(name) = line.strip_prefix("== ") {
            step = name;
        } else if !line.is_empty() && !line.starts_with('#') {
            let [connection, direction, prefix, body] =
                line.split(' ').collect::<Vec<_>>().try_into().expect("four columns");
            let connection = connection.parse().expect("the number of a connection");
            frames.push(Frame { step, connection, to_server: direction == ">", bytes: unhex(prefix, body) });
        }
    }
    frames
}

fn unhex(prefix: &str, body: &str) -> Vec<u8> {
    let digits: Vec<u8> = (prefix.chars().chain(body.chars()))
        .map(|c| c.to_digit(16).expect("a hexadecimal digit") as u8)
        .collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

const RECORD: &str = "a real server's record";

/// Follows every connection as a client does: the handshake first, and replies belong to the requests by number.
pub(crate) fn messages(frames: &[Frame]) -> Vec<Message<'_>> {
    let mut begun = HashSet::new();
    let mut asked: HashMap<u32, Vec<RequestHeader>> = HashMap::new();
    frames
        .iter()
        .map(|frame| {
            let Ok(Front::Frame(body)) = frame::front(&frame.bytes, DEFAULT_MAX_FRAME) else {
                panic!("{}: not a frame", frame.step)
            };
            let first = begun.insert((frame.connection, frame.to_server));
            let asked = asked.entry(frame.connection).or_default();
            match (first, frame.to_server) {
                (true, true) => Message::Hello(ConnectRequest::decode(body).expect(RECORD)),
                (true, false) => Message::Welcome(ConnectResponse::decode(body)),
                (false, true) => {
                    let mut input = Reader::new(body);
                    let header = RequestHeader::decode(&mut input).expect(RECORD);
                    let request = Request::decode(header.op, &mut input).expect(RECORD);
                    assert!(input.is_empty(), "{}: {header:?} leaves {:?}", frame.step, input.rest());
                    asked.push(header);
                    Message::Request(header, request)
                }
                (false, false) => {
                    let (header, record) = ReplyHeader::split(body).expect(RECORD);
                    if header.xid == xid::NOTIFICATION {
                        return Message::Event(header, WatchedEvent::decode(record).expect(RECORD));
                    }
                    let nth = asked.iter().position(|request| request.xid == header.xid).expect("a request");
                    let op = asked.remove(nth).op;
                    // A failed SASL step is the one error that comes with a record.
                    let has_record = header.err == ErrorCode::OK || op == OpCode::SASL;
                    assert!(has_record || record.is_empty(), "{}: {record:?}", frame.step);
                    let reply = has_record
                        .then(|| Reply::decode(op, record).expect(RECORD).expect("an op with a reply"));
                    Message::Reply(op, header, reply)
                }
            }
        })
        .collect()
}
