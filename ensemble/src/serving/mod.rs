//! What all servers of this crate have in common: one thread that listens, reads, hands frames over and
//! writes.
//!
//! ```text
//! socket ─► connection (one task) ─► frames ─► Service ─► Wires (output buffers) ─► one write per batch
//! ```
//!
//! - Everything is on one thread: no locks, no channels, and no change of task per request.
//! - All requests of one read are answered in one write. What a request sends to *other* connections (watch
//!   events) is written by the same task when the batch is done; only a connection whose peer does not take
//!   its bytes is woken.
//! - A client can hurt nobody else: frames, connections, the time for the handshake and unsent output are
//!   bounded. A connection with too much unsent output is not read from until it drains; one that other
//!   clients push beyond a hard limit is closed. All buffers together have one bound: beyond it the connection
//!   that holds most is closed.
//! - A panic ends the server, and with it the process if it is one of its own: whoever started it sees that it is
//!   gone. None is expected; a server that goes on with a state nobody knows is worse.

mod announce;
mod connection;
mod http;
mod output;
mod running;
#[cfg(test)]
mod tests;
mod wires;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use quorumeter_zk::frame;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::Instant;

pub(crate) use announce::serve_until_terminated;
pub use running::Running;
pub(crate) use running::start;
pub(crate) use wires::{Wire, WireId, Wires};

/// What a server does with what its clients send.
pub(crate) trait Service: 'static {
    /// What it keeps for each connection.
    type State: 'static;

    /// A client has connected.
    fn accepted(&mut self, peer: SocketAddr) -> Self::State;

    /// The connection has its number.
    fn opened(&mut self, wires: &mut Wires<Self::State>, id: WireId) {
        let _ = (wires, id);
    }

    /// A batch of requests of one connection begins.
    fn begin(&mut self, now: Instant);

    /// A whole frame; the answer goes to the wire's output.
    fn frame(&mut self, wires: &mut Wires<Self::State>, id: WireId, body: &[u8]);

    /// A four-letter word in the place of the first frame. The connection is closed once the answer is sent.
    fn word(&mut self, wires: &mut Wires<Self::State>, id: WireId, word: &'static str);

    /// The batch of a connection is done.
    fn end(&mut self, wires: &mut Wires<Self::State>, id: WireId);

    /// A connection is gone.
    fn closed(&mut self, id: WireId, state: Self::State);

    /// When [`Service::tick`] is to be called next.
    fn wake_at(&self) -> Option<Instant>;

    /// To be notified when [`Service::wake_at`] has become earlier than it was.
    fn woken_earlier(&self) -> Arc<Notify> {
        Arc::default()
    }

    /// The commands of its AdminServer.
    fn commands(&self) -> &'static [&'static str] {
        &[]
    }

    /// The answer to a command, known or not, as JSON.
    fn command(&self, wires: &Wires<Self::State>, name: &str) -> String {
        let _ = (wires, name);
        String::from("{}")
    }

    /// Work that is due at a time.
    fn tick(&mut self, wires: &mut Wires<Self::State>, now: Instant);
}

/// Time for the handshake, as upstream has it (`zookeeper.nio.sessionlessCnxnTimeout`).
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(10);

/// The bounds of what clients may do.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Bytes of a frame (`jute.maxbuffer`).
    pub(crate) frame: usize,
    /// Bytes of the first frame, the handshake. It comes from anybody, and takes 44 or 45 bytes with the password of
    /// 16 bytes that every client has.
    pub(crate) first_frame: usize,
    /// Unsent bytes at which a connection is not read from any more.
    pub(crate) unsent_soft: usize,
    /// Unsent bytes at which watch events close a connection.
    pub(crate) unsent_hard: usize,
    /// Bytes that all connections together may hold: output, and input that waits.
    pub(crate) held: usize,
    /// Time for the handshake.
    pub(crate) handshake: Duration,
    /// Connections at a time, and those of them that may come from one address.
    pub(crate) connections: usize,
    pub(crate) connections_of_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            frame: frame::DEFAULT_MAX_FRAME,
            first_frame: 1 << 10,
            unsent_soft: 1 << 20,
            unsent_hard: 32 << 20,
            held: 1 << 30,
            handshake: HANDSHAKE,
            connections: 50_000,
            connections_of_address: usize::MAX,
        }
    }
}

/// A server: its service and its connections.
struct Core<S: Service> {
    service: S,
    wires: Wires<S::State>,
    limits: Limits,
}

/// What the tasks of a server share.
struct Shared<S: Service> {
    core: RefCell<Core<S>>,
    /// Where all connections read to.
    scratch: RefCell<Box<[u8]>>,
    /// Notified by a connection's task that panics.
    panicked: Notify,
}

/// Longest reply. Upstream has no such bound; without one, a request of a few kilobytes that reads the same large
/// znode again and again is answered with more than a frame can hold. Whoever asks for more is closed.
pub(crate) const REPLY_LEN_MAX: usize = 64 << 20;

/// Bytes of one read.
const READ_LEN: usize = 64 << 10;

/// How often connections are looked at that take too long for something.
const SWEEP: Duration = Duration::from_millis(500);

/// What the servers of this crate call themselves: a version of ZooKeeper, as clients expect one, with this
/// crate's in the place of the commit. The format wants a date; it is that of the version.
pub(crate) fn version() -> String {
    format!("3.9.4-quorumeter-{}, built on 2026-11-24 00:00 UTC", env!("CARGO_PKG_VERSION"))
}

/// Where a server listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    /// For clients; port 0 asks for a free one.
    pub(crate) client: SocketAddr,
    /// For its AdminServer, if it has one; port 0 asks for a free one.
    pub(crate) admin: Option<SocketAddr>,
}

/// What listens there.
pub(crate) struct Listeners {
    client: std::net::TcpListener,
    admin: Option<std::net::TcpListener>,
}

impl Listeners {
    /// Binds them.
    fn bind(addresses: Addresses) -> io::Result<Listeners> {
        Ok(Listeners { client: bind(addresses.client)?, admin: addresses.admin.map(bind).transpose()? })
    }

    /// Where they are, with the ports that were chosen.
    pub(crate) fn addresses(&self) -> io::Result<Addresses> {
        let admin = self.admin.as_ref().map(std::net::TcpListener::local_addr).transpose()?;
        Ok(Addresses { client: self.client.local_addr()?, admin })
    }
}

/// Binds a listener; port 0 asks for a free one.
fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Serves until `stop` is ready. Must run inside a `LocalSet`.
///
/// # Errors
/// When a task ends that must not, for example in a panic.
pub(crate) async fn serve<S: Service>(
    Listeners { client, admin }: Listeners,
    service: S,
    limits: Limits,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(client)?;
    let admin = admin.map(TcpListener::from_std).transpose()?;
    let wires = Wires::new(&limits);
    let shared = Rc::new(Shared {
        core: RefCell::new(Core { service, wires, limits }),
        scratch: RefCell::new(vec![0; READ_LEN].into()),
        panicked: Notify::new(),
    });
    let mut accepting = tokio::task::spawn_local(accept(listener, Rc::clone(&shared)));
    let administering =
        admin.map(|listener| tokio::task::spawn_local(http::accept(listener, Rc::clone(&shared))));
    let mut ticking = tokio::task::spawn_local(tick(Rc::clone(&shared)));
    let result = tokio::select! {
        () = stop => Ok(()),
        ended = &mut accepting => match ended {
            Ok(result) => result,
            Err(error) => Err(io::Error::other(error)),
        },
        ended = &mut ticking => match ended {
            Ok(()) => Ok(()),
            Err(error) => Err(io::Error::other(error)),
        },
        () = shared.panicked.notified() => Err(io::Error::other("the task of a connection panicked")),
    };
    accepting.abort();
    ticking.abort();
    if let Some(task) = administering {
        task.abort();
    }
    result
}

async fn accept<S: Service>(listener: TcpListener, shared: Rc<Shared<S>>) -> io::Result<()> {
    let address = listener.local_addr()?;
    let is_refusing = shared.core.borrow().wires.is_refusing();
    let mut listener = Some(listener);
    loop {
        match &listener {
            Some(open) => tokio::select! {
                accepted = open.accept() => match accepted {
                    Ok((stream, peer)) => connection::spawn(&shared, stream, peer),
                    // Out of file descriptors, or the client is gone already: neither lasts.
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                },
                () = is_refusing.changed() => {}
            },
            None => is_refusing.changed().await,
        }
        // A closed listener is what makes the kernel refuse.
        if is_refusing.get() {
            listener = None;
        } else if listener.is_none() {
            listener = Some(TcpListener::from_std(bind(address)?)?);
        }
    }
}

async fn tick<S: Service>(shared: Rc<Shared<S>>) {
    let woken_earlier = shared.core.borrow().service.woken_earlier();
    loop {
        let sweep_at = Instant::now() + SWEEP;
        let at = shared.core.borrow().service.wake_at().map_or(sweep_at, |at| at.min(sweep_at));
        tokio::select! {
            () = tokio::time::sleep_until(at) => {}
            () = woken_earlier.notified() => {}
        }
        let now = Instant::now();
        let core = &mut *shared.core.borrow_mut();
        core.wires.close_overdue(now, core.limits.handshake);
        if core.service.wake_at().is_some_and(|at| at <= now) {
            core.service.tick(&mut core.wires, now);
        }
        core.wires.flush();
    }
}
