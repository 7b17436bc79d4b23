//! The task of one connection.

use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use quorumeter_zk::four_letter;
use quorumeter_zk::frame::{self, Front};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::wires::Progress;
use super::{Core, Service, Shared, WireId};

/// Starts the task of a new connection, unless there are too many.
pub(super) fn spawn<S: Service>(shared: &Rc<Shared<S>>, stream: TcpStream, peer: SocketAddr) {
    let core = &mut *shared.core.borrow_mut();
    let ip = peer.ip().to_canonical();
    if core.wires.len() >= core.limits.connections
        || core.wires.len_of(ip) >= core.limits.connections_of_address
    {
        return core.wires.reject();
    }
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let (reader, writer) = stream.into_split();
    let id = core.wires.open(core.service.accepted(peer), writer, ip);
    core.service.opened(&mut core.wires, id);
    let task = Connection { shared: Rc::clone(shared), id, reader, input: Vec::new(), is_held_back: false };
    tokio::task::spawn_local(task);
}

/// Capacity that an input buffer keeps when it is empty.
const KEPT_CAPACITY: usize = 4 << 10;

struct Connection<S: Service> {
    shared: Rc<Shared<S>>,
    id: WireId,
    reader: OwnedReadHalf,
    /// What has been read and not handled.
    input: Vec<u8>,
    /// Whether `input` may hold whole frames: they wait until output has drained, or a stall is over.
    is_held_back: bool,
}

impl<S: Service> Future for Connection<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let _guard = TellOfPanic(&this.shared.panicked);
        let core = &mut *this.shared.core.borrow_mut();
        let scratch = &mut *this.shared.scratch.borrow_mut();
        loop {
            match core.wires.progress(this.id, cx, core.limits.unsent_soft) {
                Progress::Read => {}
                Progress::Wait => return Poll::Pending,
                Progress::End => return Poll::Ready(()),
            }
            if this.is_held_back {
                let (handled, held_back) = core.handle(this.id, &this.input);
                this.is_held_back = held_back;
                forget(&mut this.input, handled);
                core.wires.keeps_input(this.id, this.input.capacity());
                continue;
            }
            let mut buffer = ReadBuf::new(scratch);
            // A read that does not fill the buffer tells tokio that nothing is left: no second system call.
            let Poll::Ready(read) = Pin::new(&mut this.reader).poll_read(cx, &mut buffer) else {
                return Poll::Pending;
            };
            let bytes = buffer.filled();
            if read.is_err() || bytes.is_empty() {
                return Poll::Ready(());
            }
            this.is_held_back = if this.input.is_empty() {
                let (handled, held_back) = core.handle(this.id, bytes);
                this.input.extend_from_slice(&bytes[handled..]);
                held_back
            } else {
                this.input.extend_from_slice(bytes);
                let (handled, held_back) = core.handle(this.id, &this.input);
                forget(&mut this.input, handled);
                held_back
            };
            core.wires.keeps_input(this.id, this.input.capacity());
        }
    }
}

/// Takes the first bytes out of an input buffer.
fn forget(input: &mut Vec<u8>, handled: usize) {
    input.drain(..handled);
    if input.is_empty() && input.capacity() > KEPT_CAPACITY {
        *input = Vec::new();
    }
}

impl<S: Service> Drop for Connection<S> {
    fn drop(&mut self) {
        let _guard = TellOfPanic(&self.shared.panicked);
        // The runtime drops tasks outside of any borrow of the core.
        let Ok(mut core) = self.shared.core.try_borrow_mut() else { return };
        if let Some(state) = core.wires.remove(self.id) {
            core.service.closed(self.id, state);
        }
    }
}

/// The runtime takes a panic for the end of one task.
pub(super) struct TellOfPanic<'a>(pub(super) &'a Notify);

impl Drop for TellOfPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.notify_one();
        }
    }
}

impl<S: Service> Core<S> {
    /// Handles the whole frames at the front of `bytes`, and sends what came of them. Returns the number of
    /// bytes handled, and whether it stopped before the end because nothing more is to be handled now.
    fn handle(&mut self, id: WireId, bytes: &[u8]) -> (usize, bool) {
        let now = Instant::now();
        self.wires.begin(id, now);
        self.service.begin(now);
        let mut at = 0;
        let mut is_held_back = false;
        while let Some(wire) = self.wires.get(id)
            && !wire.is_closing()
        {
            if wire.unsent() >= self.limits.unsent_soft || self.wires.is_stalled() {
                is_held_back = true;
                break;
            }
            let rest = &bytes[at..];
            if !wire.is_established
                && let Some(word) = four_letter_word(rest)
            {
                self.service.word(&mut self.wires, id, word);
                self.wires.close(id);
                at = bytes.len();
                break;
            }
            let limits = &self.limits;
            let limit = if wire.is_established { limits.frame } else { limits.frame.min(limits.first_frame) };
            match frame::front(rest, limit) {
                Ok(Front::Frame(body)) => {
                    self.service.frame(&mut self.wires, id, body);
                    at += frame::PREFIX_LEN + body.len();
                }
                Ok(Front::Partial { .. }) => break,
                Err(_) => {
                    self.wires.close(id);
                    break;
                }
            }
        }
        self.service.end(&mut self.wires, id);
        self.wires.mark_dirty(id);
        self.wires.account(id);
        self.wires.flush();
        (at, is_held_back)
    }
}

fn four_letter_word(bytes: &[u8]) -> Option<&'static str> {
    let first = bytes.first_chunk::<4>()?;
    four_letter::WORDS.into_iter().find(|word| word.as_bytes() == first)
}
