//! A TCP proxy that keeps every frame it passes on.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use quorumeter_zk::frame::{DEFAULT_MAX_FRAME, PREFIX_LEN};
use quorumeter_zk::jute::Reader;
use quorumeter_zk::op::xid;
use quorumeter_zk::reply::ReplyHeader;
use quorumeter_zk::request::RequestHeader;

use crate::Result;

/// The proxy and what it has recorded.
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    server: Option<SocketAddr>,
    connections: usize,
    open: Vec<TcpStream>,
    steps: Vec<Step>,
}

struct Step {
    name: String,
    comment: String,
    frames: Vec<Frame>,
}

struct Frame {
    connection: usize,
    direction: Direction,
    /// With its prefix.
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Direction {
    ToServer,
    ToClient,
}

impl Recorder {
    pub(crate) fn start() -> Result<Recorder> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A server that is not there closes the connection, which is what a client expects.
                let _ = accept(client, &shared);
            }
        });
        Ok(Recorder { address, state })
    }

    /// Where connections lead from now on.
    pub(crate) fn forward_to(&self, server: SocketAddr) {
        lock(&self.state).server = Some(server);
    }

    /// Opens a step: what follows belongs to it.
    pub(crate) fn step(&self, name: &str, comment: &str) {
        let step = Step { name: name.to_owned(), comment: comment.to_owned(), frames: Vec::new() };
        lock(&self.state).steps.push(step);
    }

    /// Closes every connection.
    pub(crate) fn cut(&self) {
        for stream in lock(&self.state).open.drain(..) {
            // It may have ended before.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// The recording.
    pub(crate) fn text(&self, version: &str) -> String {
        let mut text = format!(
            "# Frames between Apache ZooKeeper's Java client and a server, as they were on the wire.\n\
             # Written by `cargo run -p quorumeter-zk --example capture_golden`; do not edit.\n\
             # Server: {version}.\n\
             #\n\
             # == name of a step\n\
             # connection, direction (> to the server, < to the client), length prefix, body\n"
        );
        let mut begun = HashSet::new();
        for step in &lock(&self.state).steps {
            let _ = writeln!(text, "\n== {}\n# {}", step.name, step.comment);
            for frame in &step.frames {
                let first = begun.insert((frame.connection, frame.direction));
                let sign = if frame.direction == Direction::ToServer { '>' } else { '<' };
                let (prefix, body) = frame.bytes.split_at(PREFIX_LEN);
                let (prefix, body) = (hex(prefix), hex(body));
                let _ = writeln!(
                    text,
                    "# {}\n{} {sign} {prefix} {body}",
                    meaning(frame, first),
                    frame.connection
                );
            }
        }
        text
    }
}

fn accept(client: TcpStream, state: &Arc<Mutex<State>>) -> std::io::Result<()> {
    let server = lock(state).server.ok_or_else(|| std::io::Error::other("no server yet"))?;
    let server = TcpStream::connect(server)?;
    let connection = {
        let mut state = lock(state);
        state.open.extend([client.try_clone()?, server.try_clone()?]);
        state.connections += 1;
        state.connections
    };
    for (from, to, direction) in [
        (client.try_clone()?, server.try_clone()?, Direction::ToServer),
        (server, client, Direction::ToClient),
    ] {
        let state = Arc::clone(state);
        thread::spawn(move || {
            // Either way the connection is at its end.
            let _ = relay(&from, &to, connection, direction, &state);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    Ok(())
}

/// A frame is recorded before it is passed on, so that a request stands before its reply.
fn relay(
    mut from: &TcpStream,
    mut to: &TcpStream,
    connection: usize,
    direction: Direction,
    state: &Mutex<State>,
) -> std::io::Result<()> {
    loop {
        let mut bytes = vec![0; PREFIX_LEN];
        from.read_exact(&mut bytes)?;
        let length = bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b));
        if length > DEFAULT_MAX_FRAME {
            // A four-letter word (clients of a read-only member look for others with `isro`) or its answer.
            to.write_all(&bytes)?;
            std::io::copy(&mut from, &mut to)?;
            return Ok(());
        }
        bytes.resize(PREFIX_LEN + length, 0);
        from.read_exact(&mut bytes[PREFIX_LEN..])?;
        if let Some(step) = lock(state).steps.last_mut() {
            step.frames.push(Frame { connection, direction, bytes: bytes.clone() });
        }
        to.write_all(&bytes)?;
    }
}

/// A hint for whoever reads the file.
fn meaning(frame: &Frame, first: bool) -> String {
    let body = &frame.bytes[PREFIX_LEN..];
    match frame.direction {
        _ if first => "handshake".to_owned(),
        Direction::ToServer => RequestHeader::decode(&mut Reader::new(body))
            .map_or_else(|e| e.to_string(), |header| format!("{}, xid {}", header.op, header.xid)),
        Direction::ToClient => ReplyHeader::split(body).map_or_else(
            |e| e.to_string(),
            |(ReplyHeader { xid, zxid, err }, _)| {
                let what = if xid == xid::NOTIFICATION { "event" } else { "reply" };
                format!("{what}, xid {xid}, zxid {zxid:#x}, {err:?}")
            },
        ),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, b| text + &format!("{b:02x}"))
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
