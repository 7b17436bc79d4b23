//! Two members that are one scripted server behind two relays, which can be made to fall silent or to go, for a time that
//! the test knows.
//!
//! ```text
//!                 ┌─ relay 1 ─┐      four-letter words are answered by the relay: the first leads, the second follows
//!   probes ───────┤           ├───── one server, one tree
//!                 └─ relay 2 ─┘
//! ```

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use quorumeter_ensemble::scripted::Scripted;
use quorumeter_zk::OpCode;
use quorumeter_zk::four_letter::{Mode, NOT_SERVING, Srvr};

/// What a relay does in a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// It holds all bytes back, and passes them on at the end.
    Hang,
    /// It ends all connections, and takes no new ones until the end.
    Refuse,
    /// It holds back what comes from connections that read.
    HangReads,
}

/// A time in which members do not serve.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hole {
    /// Of which members: 0 and 1.
    pub(crate) members: &'static [usize],
    /// How.
    pub(crate) how: How,
    /// How long after the fault command, or after the end of the hole before it.
    pub(crate) after: Duration,
    /// For how long; without an end when `None`.
    pub(crate) length: Option<Duration>,
}

/// The pair, with its fault.
pub(crate) struct Pair {
    relays: [Arc<Relay>; 2],
    threads: Vec<JoinHandle<()>>,
    dir: tempfile::TempDir,
    made: Arc<Mutex<Made>>,
    _server: Scripted,
}

impl Pair {
    /// Starts the pair. Each fault command makes the next of these series of holes.
    pub(crate) fn start(series: &[&[Hole]]) -> Pair {
        let server = super::scripted(Vec::new());
        let leader = Arc::new(Relay::new(server.address(), Mode::Leader));
        let follower = Arc::new(Relay::new(server.address(), Mode::Follower));
        let relays = [leader, follower];
        let dir = tempfile::tempdir().expect("there is a folder for temporary files");
        let mut threads: Vec<JoinHandle<()>> = relays
            .iter()
            .map(|relay| {
                let relay = Arc::clone(relay);
                thread::spawn(move || relay.listen())
            })
            .collect();
        let made = Arc::new(Mutex::new(Made::new()));
        let (asked, cleared) = (dir.path().join("asked"), dir.path().join("cleared"));
        let series: Vec<Vec<Hole>> = series.iter().map(|holes| holes.to_vec()).collect();
        let (own, log) = (relays.clone(), Arc::clone(&made));
        threads.push(thread::spawn(move || {
            series.iter().all(|holes| follow(&own, &asked, &cleared, holes, &log));
        }));
        Pair { relays, threads, dir, made, _server: server }
    }

    /// The members' addresses.
    pub(crate) fn addresses(&self) -> [SocketAddr; 2] {
        [self.relays[0].address, self.relays[1].address]
    }

    /// The commands that begin and end the fault.
    pub(crate) fn commands(&self) -> (String, String) {
        let touch = |name: &str| format!("touch '{}'", self.dir.path().join(name).display());
        (touch("asked"), touch("cleared"))
    }

    /// The holes of each series as they were.
    pub(crate) fn made(&self) -> Made {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// When holes began and ended, by series; without an end while it has none.
pub(crate) type Made = Vec<Vec<(Instant, Option<Instant>)>>;

impl Drop for Pair {
    fn drop(&mut self) {
        for relay in &self.relays {
            relay.state().is_over = true;
            relay.changed.notify_all();
        }
        for thread in self.threads.drain(..) {
            // A thread that panicked has failed its test already.
            let _ = thread.join();
        }
    }
}

/// Waits for the command, makes the holes, and waits for the other command. Returns whether there may be more.
fn follow(relays: &[Arc<Relay>; 2], asked: &Path, cleared: &Path, holes: &[Hole], log: &Mutex<Made>) -> bool {
    let wait_for = |path: &Path| {
        while std::fs::remove_file(path).is_err() {
            if relays[0].state().is_over {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        true
    };
    if !wait_for(asked) {
        return false;
    }
    relays[0].state().is_faulty = true;
    let made = || log.lock().unwrap_or_else(PoisonError::into_inner);
    made().push(Vec::new());
    let mut is_cleared = false;
    for hole in holes {
        thread::sleep(hole.after);
        made().last_mut().expect("it was pushed").push((Instant::now(), None));
        hole.members.iter().for_each(|member| relays[*member].set(Some(hole.how)));
        match hole.length {
            Some(length) => thread::sleep(length),
            None if wait_for(cleared) => is_cleared = true,
            None => return false,
        }
        hole.members.iter().for_each(|member| relays[*member].set(None));
        let mut made = made();
        made.last_mut().and_then(|holes| holes.last_mut()).expect("it was pushed").1 = Some(Instant::now());
    }
    is_cleared = is_cleared || wait_for(cleared);
    relays[0].state().is_faulty = false;
    is_cleared
}

/// One of the two.
struct Relay {
    address: SocketAddr,
    server: SocketAddr,
    role: Mode,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The listener when nobody is to be refused.
    listener: Option<TcpListener>,
    hole: Option<How>,
    /// Between the fault command and the clear command: it says that it does not serve.
    is_faulty: bool,
    is_over: bool,
    /// Both ends of every connection.
    connections: Vec<TcpStream>,
}

impl Relay {
    fn new(server: SocketAddr, role: Mode) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        listener.set_nonblocking(true).expect("a listener can be made so");
        let address = listener.local_addr().expect("it has an address");
        let state = State { listener: Some(listener), ..State::default() };
        Relay { address, server, role, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a hole, or ends it.
    fn set(&self, hole: Option<How>) {
        let mut state = self.state();
        state.hole = hole;
        if hole == Some(How::Refuse) {
            state.listener = None;
            for connection in state.connections.drain(..) {
                // It may have ended by itself.
                let _ = connection.shutdown(Shutdown::Both);
            }
        } else if state.listener.is_none() {
            let listener = TcpListener::bind(self.address).expect("its port is still its own");
            listener.set_nonblocking(true).expect("a listener can be made so");
            state.listener = Some(listener);
        }
        self.changed.notify_all();
    }

    /// Takes connections until the test is over.
    fn listen(self: Arc<Self>) {
        let mut threads = Vec::new();
        loop {
            let accepted = {
                let state = self.state();
                if state.is_over {
                    break;
                }
                state.listener.as_ref().and_then(|listener| listener.accept().ok())
            };
            match accepted {
                Some((client, _)) => {
                    let relay = Arc::clone(&self);
                    threads.push(thread::spawn(move || relay.serve(client)));
                }
                None => thread::sleep(Duration::from_micros(300)),
            }
        }
        for connection in self.state().connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
        for thread in threads {
            let _ = thread.join();
        }
    }

    /// A connection: of a word, or of a session.
    fn serve(self: Arc<Self>, mut client: TcpStream) {
        client.set_nonblocking(false).expect("a stream can be made so");
        client.set_nodelay(true).expect("a stream can be made so");
        let mut first = [0; 4];
        if client.read_exact(&mut first).is_err() {
            return;
        }
        if first.iter().all(u8::is_ascii_lowercase) {
            if self.wait_for_hole(false) {
                let _ = client.write_all(self.answer().as_bytes());
            }
            return;
        }
        if !self.keep(&client) {
            return;
        }
        let Ok(mut server) = TcpStream::connect(self.server) else { return };
        server.set_nodelay(true).expect("a stream can be made so");
        if !self.keep(&server) || server.write_all(&first).is_err() {
            return;
        }
        let (Ok(replies), Ok(back)) = (server.try_clone(), client.try_clone()) else { return };
        let relay = Arc::clone(&self);
        let down = thread::spawn(move || relay.pass(replies, back, false));
        self.pass(client, server, true);
        let _ = down.join();
    }

    /// Keeps a connection, to end it with the others; returns whether it may go on.
    fn keep(&self, connection: &TcpStream) -> bool {
        let mut state = self.state();
        let Ok(kept) = connection.try_clone() else { return false };
        if state.hole == Some(How::Refuse) {
            let _ = kept.shutdown(Shutdown::Both);
            return false;
        }
        state.connections.push(kept);
        true
    }

    /// Passes bytes on; in a hole at its end.
    fn pass(&self, mut from: TcpStream, mut to: TcpStream, are_requests: bool) {
        let mut chunk = [0; 16 << 10];
        loop {
            let n = match from.read(&mut chunk) {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Ok(n) if n > 0 => n,
                _ => break,
            };
            if !self.wait_for_hole(are_requests && reads(&chunk[..n])) || to.write_all(&chunk[..n]).is_err() {
                break;
            }
        }
        for stream in [from, to] {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Waits while bytes are held back; returns whether they may go on at all.
    fn wait_for_hole(&self, reads: bool) -> bool {
        let mut state = self.state();
        loop {
            match state.hole {
                _ if state.is_over => return false,
                Some(How::Hang) => {}
                Some(How::HangReads) if reads => {}
                _ => return true,
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What it says of itself.
    fn answer(&self) -> String {
        if self.state().is_faulty {
            return NOT_SERVING.to_owned();
        }
        let srvr = Srvr {
            version: "3.9.4-scripted".to_owned(),
            latency_ms: (0.0, 0.0, 0.0),
            received: 0,
            sent: 0,
            connections: 1,
            outstanding: 0,
            zxid: 0x1_0000_0001,
            mode: self.role,
            proposal_sizes: None,
            node_count: 5,
        };
        srvr.write()
    }
}

/// Whether the first request of these bytes is a read of a node.
fn reads(chunk: &[u8]) -> bool {
    // Length, xid, op.
    chunk.get(8..12) == Some(&OpCode::GET_DATA.0.to_be_bytes()[..])
}
