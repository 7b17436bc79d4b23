//! The task of one connection.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use quorumeter_zk::four_letter;
use quorumeter_zk::frame::{self, Front};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::Instant;

use super::wires::Progress;
use super::{Core, Service, WireId};

/// Starts the task of a new connection, unless there are too many.
pub(super) fn spawn<S: Service>(core: &Rc<RefCell<Core<S>>>, stream: TcpStream, peer: SocketAddr) {
    let state = &mut *core.borrow_mut();
    if state.wires.len() >= state.limits.connections || stream.set_nodelay(true).is_err() {
        return;
    }
    let (reader, writer) = stream.into_split();
    let id = state.wires.open(state.service.accepted(peer), writer);
    state.service.opened(&mut state.wires, id);
    let task = Connection { core: Rc::clone(core), id, reader, input: Vec::new(), is_held_back: false };
    tokio::task::spawn_local(task);
}

struct Connection<S: Service> {
    core: Rc<RefCell<Core<S>>>,
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
        let core = &mut *this.core.borrow_mut();
        loop {
            match core.wires.progress(this.id, cx, core.limits.unsent_soft) {
                Progress::Read => {}
                Progress::Wait => return Poll::Pending,
                Progress::End => return Poll::Ready(()),
            }
            if this.is_held_back {
                let (handled, held_back) = core.handle(this.id, &this.input);
                this.input.drain(..handled);
                this.is_held_back = held_back;
                continue;
            }
            let mut scratch = std::mem::take(&mut core.scratch);
            let mut buffer = ReadBuf::new(&mut scratch);
            // A read that does not fill the buffer tells tokio that nothing is left: no second system call.
            let read = Pin::new(&mut this.reader).poll_read(cx, &mut buffer);
            let bytes = buffer.filled();
            let is_over = match read {
                Poll::Pending => {
                    core.scratch = scratch;
                    return Poll::Pending;
                }
                Poll::Ready(Ok(())) => bytes.is_empty(),
                Poll::Ready(Err(_)) => true,
            };
            if !is_over {
                this.is_held_back = if this.input.is_empty() {
                    let (handled, held_back) = core.handle(this.id, bytes);
                    this.input.extend_from_slice(&bytes[handled..]);
                    held_back
                } else {
                    this.input.extend_from_slice(bytes);
                    let (handled, held_back) = core.handle(this.id, &this.input);
                    this.input.drain(..handled);
                    held_back
                };
            }
            core.scratch = scratch;
            if is_over {
                return Poll::Ready(());
            }
        }
    }
}

impl<S: Service> Drop for Connection<S> {
    fn drop(&mut self) {
        // The runtime drops tasks outside of any borrow of the core.
        let Ok(mut core) = self.core.try_borrow_mut() else { return };
        if let Some(state) = core.wires.remove(self.id) {
            core.service.closed(self.id, state);
        }
    }
}

impl<S: Service> Core<S> {
    /// Handles the whole frames at the front of `bytes`, and sends what came of them. Returns the number of
    /// bytes handled, and whether it stopped before the end because nothing more is to be handled now.
    fn handle(&mut self, id: WireId, bytes: &[u8]) -> (usize, bool) {
        self.service.begin(Instant::now());
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
            match frame::front(rest, self.limits.frame) {
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
        self.wires.flush();
        (at, is_held_back)
    }
}

fn four_letter_word(bytes: &[u8]) -> Option<&'static str> {
    let first = bytes.first_chunk::<4>()?;
    four_letter::WORDS.into_iter().find(|word| word.as_bytes() == first)
}
