//! A ZooKeeper client that hides nothing: frames in, frames out, one blocking socket.
#![allow(dead_code, unreachable_pub, reason = "every test uses its own part of it")]
#![allow(clippy::unwrap_used, reason = "what goes wrong here fails a test")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use quorumeter_zk::connect::{ConnectRequest, ConnectResponse, PASSWORD_LEN};
use quorumeter_zk::event::WatchedEvent;
use quorumeter_zk::frame::{self, Front};
use quorumeter_zk::op::xid;
use quorumeter_zk::reply::{Reply, ReplyHeader};
use quorumeter_zk::request::{Create, Request, VersionedPath, WatchedPath};
use quorumeter_zk::{Acl, ErrorCode, OpCode};

/// How long a test waits for anything before it fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A connection, usually with a session.
pub struct Raw {
    pub stream: TcpStream,
    input: Vec<u8>,
    pub session_id: i64,
    pub password: [u8; PASSWORD_LEN],
    pub timeout_ms: i32,
    pub last_zxid: i64,
    next_xid: i32,
}

/// A reply, and the events that came before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub events: Vec<Event>,
    pub header: ReplyHeader,
    pub body: Vec<u8>,
}

/// A watch event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub kind: i32,
    pub path: String,
    pub zxid: i64,
}

impl Raw {
    /// Connects without a handshake.
    pub fn open(address: SocketAddr) -> io::Result<Raw> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Raw {
            stream,
            input: Vec::new(),
            session_id: 0,
            password: [0; PASSWORD_LEN],
            timeout_ms: 0,
            last_zxid: 0,
            next_xid: 1,
        })
    }

    /// Connects with a new session.
    pub fn connect(address: SocketAddr) -> Raw {
        Raw::connect_for(address, 40_000)
    }

    /// Connects with a new session of this timeout.
    pub fn connect_for(address: SocketAddr, timeout_ms: i32) -> Raw {
        let mut raw = Raw::open(address).unwrap();
        assert!(
            raw.handshake(timeout_ms, 0, 0, &[0; PASSWORD_LEN]).unwrap(),
            "the server closed the connection"
        );
        assert_ne!(raw.session_id, 0);
        raw
    }

    /// Continues this session on another connection. False when the server closed it without an answer; the
    /// session's id is 0 when it was refused.
    pub fn reconnect(&mut self, address: SocketAddr) -> io::Result<bool> {
        let mut raw = Raw::open(address)?;
        raw.next_xid = self.next_xid;
        raw.last_zxid = self.last_zxid;
        let is_answered = raw.handshake(self.timeout_ms, self.last_zxid, self.session_id, &self.password)?;
        *self = raw;
        Ok(is_answered)
    }

    /// Sends a handshake and reads the answer; false when there is none.
    pub fn handshake(
        &mut self,
        timeout_ms: i32,
        last_zxid_seen: i64,
        session_id: i64,
        password: &[u8],
    ) -> io::Result<bool> {
        let mut out = Vec::new();
        ConnectRequest {
            protocol_version: 0,
            last_zxid_seen,
            timeout_ms,
            session_id,
            password: Some(password),
            read_only: Some(false),
        }
        .encode_frame(&mut out);
        self.stream.write_all(&out)?;
        let Some(body) = self.frame()? else { return Ok(false) };
        let response = ConnectResponse::decode(&body).map_err(io::Error::other)?;
        self.session_id = response.session_id;
        self.timeout_ms = response.timeout_ms;
        if let Some(password) = response.password.and_then(|p| p.try_into().ok()) {
            self.password = password;
        }
        Ok(true)
    }

    /// Sends a request; returns its xid.
    pub fn send(&mut self, request: &Request<'_>) -> i32 {
        let mut record = Vec::new();
        request.encode(&mut record);
        let number = match request {
            Request::Ping => xid::PING,
            Request::Auth { .. } => xid::AUTH,
            Request::SetWatches(_) | Request::SetWatches2(_) => xid::SET_WATCHES,
            _ => self.take_xid(),
        };
        self.send_record(number, request.op(), &record).unwrap();
        number
    }

    pub fn take_xid(&mut self) -> i32 {
        self.next_xid += 1;
        self.next_xid - 1
    }

    pub fn send_record(&mut self, xid: i32, op: OpCode, record: &[u8]) -> io::Result<()> {
        let mut out = Vec::new();
        let mark = frame::begin_request(&mut out, xid, op);
        out.extend_from_slice(record);
        frame::end(&mut out, mark);
        self.stream.write_all(&out)
    }

    /// The body of the next frame; `None` at the end of the stream.
    pub fn frame(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Front::Frame(body) = frame::front(&self.input, 1 << 30).map_err(io::Error::other)? {
                let body = body.to_vec();
                self.input.drain(..frame::PREFIX_LEN + body.len());
                return Ok(Some(body));
            }
            let mut chunk = [0; 64 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(None),
                Ok(n) => self.input.extend_from_slice(&chunk[..n]),
                Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                    return Ok(None);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// The next reply, and the events before it; `None` at the end of the stream.
    pub fn answer(&mut self) -> io::Result<Option<Answer>> {
        let mut events = Vec::new();
        while let Some(body) = self.frame()? {
            let (header, record) = ReplyHeader::split(&body).map_err(io::Error::other)?;
            if header.xid == xid::NOTIFICATION {
                let event = WatchedEvent::decode(record).map_err(io::Error::other)?;
                assert_eq!(event.state.0, 3);
                events.push(Event { kind: event.kind.0, path: event.path.into_owned(), zxid: header.zxid });
                continue;
            }
            self.last_zxid = self.last_zxid.max(header.zxid);
            return Ok(Some(Answer { events, header, body: record.to_vec() }));
        }
        Ok(None)
    }

    /// Sends a request and waits for its answer.
    pub fn call(&mut self, request: &Request<'_>) -> Answer {
        let xid = self.send(request);
        let answer = self.answer().unwrap().expect("an answer");
        assert_eq!(answer.header.xid, xid);
        answer
    }

    /// The error of a request.
    pub fn code(&mut self, request: &Request<'_>) -> ErrorCode {
        self.call(request).header.err
    }

    /// Whether the server has closed the connection; waits for it.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.frame(), Ok(None))
    }

    /// The events that have come so far: those before the answer to a ping.
    pub fn events(&mut self) -> Vec<Event> {
        self.call(&Request::Ping).events
    }

    pub fn create(&mut self, path: &str, data: &[u8], flags: i32) -> Answer {
        self.call(&create(path, data, flags))
    }

    pub fn get(&mut self, path: &str, watch: bool) -> Answer {
        self.call(&Request::GetData(WatchedPath { path: path.into(), watch }))
    }

    pub fn set(&mut self, path: &str, data: &[u8]) -> Answer {
        self.call(&Request::SetData { path: path.into(), data: Some(data), version: -1 })
    }

    pub fn delete(&mut self, path: &str) -> Answer {
        self.call(&Request::Delete(VersionedPath { path: path.into(), version: -1 }))
    }
}

impl Answer {
    /// The record, decoded.
    pub fn reply(&self, op: OpCode) -> Reply<'_> {
        assert_eq!(self.header.err, ErrorCode::OK);
        Reply::decode(op, &self.body).unwrap().unwrap()
    }
}

/// A create request with an open ACL.
pub fn create<'a>(path: &'a str, data: &'a [u8], flags: i32) -> Request<'a> {
    Request::Create(Create { path: path.into(), data: Some(data), acl: (&[Acl::OPEN][..]).into(), flags })
}

/// The answer to a four-letter word.
pub fn word(address: SocketAddr, word: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(word.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
