//! What several benchmarks need: a client that costs as little as one can, the engine, and the name of the machine.

pub mod engine;

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use quorumeter_zk::connect::{ConnectRequest, PASSWORD_LEN};
use quorumeter_zk::frame::{self, Front};
use quorumeter_zk::request::Request;
use rustix::event::epoll;

/// The processor, its cores, and who shares them.
pub fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!("{}, {cores} cores, shared by server and clients", model.trim_start_matches(['\t', ':', ' ']))
}

/// Whether a comparison is to be made: `cargo bench` says `--bench`, and `cargo test --benches` does not. With `--test` or
/// `--list` something else is asked for.
pub fn is_to_measure() -> bool {
    let has = |name: &str| std::env::args().any(|arg| arg == name);
    has("--bench") && !has("--test") && !has("--list")
}

/// Prints a row of the README's table, when it is asked for with `--markdown`.
pub fn table_row(what: &str, own: &str, beside: &str, ratio: &str) {
    if std::env::args().any(|arg| arg == "--markdown") {
        println!("| {what} | {own} | {beside} | {ratio} |");
    }
}

/// Sessions that send one prebuilt request again and again, count replies by their length, and look at nothing else.
#[derive(Debug)]
pub struct BareClients {
    connections: Vec<TcpStream>,
    poll: std::os::fd::OwnedFd,
    depth: u32,
}

impl BareClients {
    /// Connects so many sessions, which will have `depth` requests in flight each.
    pub fn connect(server: SocketAddr, connections: u32, depth: u32) -> io::Result<BareClients> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connected = Vec::new();
        for i in 0..connections {
            let stream = connect(server)?;
            stream.set_nonblocking(true)?;
            epoll::add(&poll, stream.as_fd(), epoll::EventData::new_u64(i.into()), epoll::EventFlags::IN)?;
            connected.push(stream);
        }
        Ok(BareClients { connections: connected, poll, depth })
    }

    /// Sends the request for a time, and returns the number of replies; none is left open.
    pub fn run(&mut self, request: &Request<'_>, time: Duration) -> io::Result<u64> {
        let mut frame = Vec::new();
        request.encode_frame(&mut frame, 1);
        let frames = frame.repeat(self.depth as usize);
        let begun = Instant::now();
        for stream in &mut self.connections {
            stream.write_all(&frames)?;
        }
        let mut buffers: Vec<(Vec<u8>, usize)> =
            self.connections.iter().map(|_| (vec![0; 256 << 10], 0)).collect();
        let mut events = Vec::with_capacity(self.connections.len());
        let (mut answered, mut open) = (0, self.connections.len() as u64 * u64::from(self.depth));
        while open > 0 {
            let goes_on = begun.elapsed() < time;
            events.clear();
            epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut events), None)?;
            for event in &events {
                let place = event.data.u64() as usize;
                let (buffer, filled) = &mut buffers[place];
                match self.connections[place].read(&mut buffer[*filled..])? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    n => *filled += n,
                }
                let (mut start, mut replies) = (0, 0);
                while let Ok(Front::Frame(body)) = frame::front(&buffer[start..*filled], 1 << 20) {
                    start += frame::PREFIX_LEN + body.len();
                    replies += 1;
                }
                buffer.copy_within(start..*filled, 0);
                *filled -= start;
                answered += replies;
                if goes_on {
                    // The socket's buffer holds far more than a window of requests.
                    self.connections[place].write_all(&frames[..replies as usize * frame.len()])?;
                } else {
                    open -= replies;
                }
            }
        }
        Ok(answered)
    }
}

/// A connection that blocks, with a session of its own.
pub fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    let mut bytes = Vec::new();
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: 0,
        timeout_ms: 30_000,
        session_id: 0,
        password: Some(&[0; PASSWORD_LEN]),
        read_only: Some(false),
    }
    .encode_frame(&mut bytes);
    stream.write_all(&bytes)?;
    stream.read_exact(&mut [0; 41])?;
    Ok(stream)
}

/// Reads one frame, and leaves its body in `body`.
pub fn read_frame(stream: &mut TcpStream, body: &mut Vec<u8>) -> io::Result<()> {
    let mut prefix = [0; frame::PREFIX_LEN];
    stream.read_exact(&mut prefix)?;
    let length = u32::from_be_bytes(prefix) as usize;
    if length > frame::DEFAULT_MAX_FRAME {
        return Err(io::Error::other(format!("a frame announces {length} bytes")));
    }
    body.resize(length, 0);
    stream.read_exact(body)
}
