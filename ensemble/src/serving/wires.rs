//! The connections of a server, and what waits to be sent on each.

mod budget;

use std::cell::Cell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use quorumeter_zk::watch::WatcherId;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Limits;
use super::output::{Output, Segment};

/// A connection's number, never used twice.
pub(crate) type WireId = WatcherId;

/// How long a connection that is to be closed may take for its last bytes.
const LAST_BYTES: Duration = Duration::from_secs(5);

/// All connections of a server.
pub(crate) struct Wires<C> {
    slots: Vec<Slot<C>>,
    unused: Vec<u32>,
    /// Connections with output that nobody has tried to send.
    dirty: Vec<WireId>,
    count: usize,
    by_address: HashMap<IpAddr, usize>,
    rejected: u64,
    expired: u64,
    unsent_hard: usize,
    /// Bytes that all connections together may hold, and those that they do hold.
    budget: usize,
    held: Rc<Cell<usize>>,
    spare: Vec<Vec<u8>>,
    /// While it is set, nothing is read and nothing is sent.
    is_stalled: bool,
    is_refusing: Rc<Switch>,
}

/// A flag whose changes can be waited for, by one task.
#[derive(Debug, Default)]
pub(super) struct Switch {
    is_on: Cell<bool>,
    changed: Notify,
}

impl Switch {
    pub(super) fn get(&self) -> bool {
        self.is_on.get()
    }

    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

struct Slot<C> {
    generation: u32,
    wire: Option<Wire<C>>,
}

/// One connection.
pub(crate) struct Wire<C> {
    /// What the service keeps for it.
    pub(crate) state: C,
    address: IpAddr,
    /// What is to be sent; replies are appended here.
    pub(crate) out: Output,
    /// Whether the handshake is done. Until then the connection may hold a four-letter word, and is closed
    /// when it takes too long.
    pub(crate) is_established: bool,
    /// A connection from which nothing is heard for so long is closed.
    pub(crate) idle_limit: Option<Duration>,
    heard_at: Instant,
    closing: Closing,
    closing_since: Option<Instant>,
    /// Bytes of input that have been read and not handled.
    input: usize,
    /// What the budget knows of.
    counted: usize,
    writer: OwnedWriteHalf,
    waker: Option<Waker>,
    is_dirty: bool,
    opened_at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    No,
    WhenSent,
    Now,
    /// As `Now`, with a reset instead of the end of the stream.
    Reset,
    /// It is not closed, and as dead as if it were.
    Never,
}

/// What a wire's task does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It reads.
    Read,
    /// It waits: there is output that the peer does not take, or something else has to happen first.
    Wait,
    /// It ends.
    End,
}

impl<C> Wires<C> {
    pub(super) fn new(limits: &Limits) -> Self {
        Wires {
            slots: Vec::new(),
            unused: Vec::new(),
            dirty: Vec::new(),
            count: 0,
            by_address: HashMap::new(),
            rejected: 0,
            expired: 0,
            unsent_hard: limits.unsent_hard,
            budget: limits.held,
            held: Rc::default(),
            spare: Vec::new(),
            is_stalled: false,
            is_refusing: Rc::default(),
        }
    }

    /// Number of connections.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Number of connections from an address.
    pub(super) fn len_of(&self, address: IpAddr) -> usize {
        self.by_address.get(&address).copied().unwrap_or(0)
    }

    /// A connection was not accepted: there are too many.
    pub(super) fn reject(&mut self) {
        self.rejected += 1;
    }

    /// Connections that were not accepted because there were too many.
    pub(crate) fn rejected(&self) -> u64 {
        self.rejected
    }

    /// Connections that were closed because they took too long for the handshake.
    pub(crate) fn expired(&self) -> u64 {
        self.expired
    }

    #[inline]
    pub(crate) fn get(&self, id: WireId) -> Option<&Wire<C>> {
        let slot = self.slots.get(id as u32 as usize)?;
        if slot.generation == (id >> 32) as u32 { slot.wire.as_ref() } else { None }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: WireId) -> Option<&mut Wire<C>> {
        let slot = self.slots.get_mut(id as u32 as usize)?;
        if slot.generation == (id >> 32) as u32 { slot.wire.as_mut() } else { None }
    }

    /// All connections.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Wire<C>> {
        self.slots.iter().filter_map(|slot| slot.wire.as_ref())
    }

    /// All connections.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Wire<C>> {
        self.slots.iter_mut().filter_map(|slot| slot.wire.as_mut())
    }

    /// Appends to what is sent to a connection, from outside of its own batch. Beyond the hard limit the
    /// connection is closed: its peer does not read.
    pub(crate) fn push(&mut self, id: WireId, bytes: &[u8]) {
        let hard = self.unsent_hard;
        let Some(wire) = self.get_mut(id) else { return };
        if wire.closing != Closing::No {
            return;
        }
        wire.out.extend_from_slice(bytes);
        if wire.unsent() > hard {
            wire.closing = Closing::Now;
        }
        self.mark_dirty(id);
        self.account(id);
    }

    /// Makes bytes that [`Wires::share`] sends to several connections without a copy for each.
    pub(crate) fn segment(&self, bytes: &[u8]) -> Rc<Segment> {
        Segment::new(bytes, &self.held)
    }

    /// Does what [`Wires::push`] does, with bytes that others are sent, too.
    pub(crate) fn share(&mut self, id: WireId, segment: &Rc<Segment>) {
        let hard = self.unsent_hard;
        let Some(wire) = self.get_mut(id) else { return };
        if wire.closing != Closing::No {
            return;
        }
        wire.out.share(segment);
        if wire.unsent() > hard {
            wire.closing = Closing::Now;
        }
        self.mark_dirty(id);
        self.account(id);
    }

    /// Closes a connection once its output is sent. It is not read from any more.
    pub(crate) fn close(&mut self, id: WireId) {
        self.set_closing(id, Closing::WhenSent);
    }

    /// Closes a connection without sending what is left.
    pub(crate) fn close_now(&mut self, id: WireId) {
        self.set_closing(id, Closing::Now);
    }

    /// Leaves a connection open, but never reads from it again and sends nothing that is appended later.
    pub(crate) fn silence(&mut self, id: WireId) {
        self.set_closing(id, Closing::Never);
    }

    /// Closes a connection with a TCP reset.
    pub(crate) fn reset(&mut self, id: WireId) {
        self.set_closing(id, Closing::Reset);
    }

    /// Stops all reading and sending, or lets it go on.
    pub(crate) fn stall(&mut self, is_stalled: bool) {
        self.is_stalled = is_stalled;
        self.slots.iter().filter_map(|slot| slot.wire.as_ref()?.waker.as_ref()).for_each(Waker::wake_by_ref);
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.is_stalled
    }

    /// Lets the kernel refuse new connections, or accept them again.
    pub(crate) fn refuse(&mut self, is_refusing: bool) {
        self.is_refusing.is_on.set(is_refusing);
        self.is_refusing.changed.notify_one();
    }

    pub(super) fn is_refusing(&self) -> Rc<Switch> {
        Rc::clone(&self.is_refusing)
    }

    fn set_closing(&mut self, id: WireId, closing: Closing) {
        if let Some(wire) = self.get_mut(id)
            && !wire.is_aborted()
        {
            wire.closing = closing;
            wire.closing_since.get_or_insert_with(Instant::now);
            self.mark_dirty(id);
        }
    }

    /// The output of a connection is to be tried by [`Wires::flush`].
    pub(super) fn mark_dirty(&mut self, id: WireId) {
        if let Some(wire) = self.get_mut(id)
            && !std::mem::replace(&mut wire.is_dirty, true)
        {
            self.dirty.push(id);
        }
    }

    /// Sends what was appended; a connection that does not take it, or is to be closed, has its task woken.
    pub(super) fn flush(&mut self) {
        if self.is_stalled {
            return;
        }
        while let Some(id) = self.dirty.pop() {
            let Some(wire) = self.get_mut(id) else { continue };
            wire.is_dirty = false;
            wire.send();
            if wire.unsent() == 0 {
                self.keep(id);
            } else {
                wire.out.shrink();
            }
            self.account(id);
            let Some(wire) = self.get_mut(id) else { continue };
            if (wire.unsent() > 0 || wire.closing != Closing::No)
                && let Some(waker) = &wire.waker
            {
                waker.wake_by_ref();
            }
        }
    }

    /// Sends what a connection has to send, and says what comes next for its task.
    #[inline]
    pub(super) fn progress(&mut self, id: WireId, cx: &mut Context<'_>, unsent_soft: usize) -> Progress {
        let is_stalled = self.is_stalled;
        let Some(wire) = self.get_mut(id) else { return Progress::End };
        let had_output = wire.unsent() > 0;
        let progress = wire.progress(cx, unsent_soft, is_stalled);
        if had_output {
            self.keep(id);
            self.account(id);
        }
        progress
    }

    /// A batch of requests begins, `now`.
    #[inline]
    pub(super) fn begin(&mut self, id: WireId, now: Instant) {
        let slot = self.slots.get_mut(id as u32 as usize);
        if let Some(wire) = slot.and_then(|slot| slot.wire.as_mut()) {
            wire.heard_at = now;
            wire.out.lend(&mut self.spare);
        }
    }

    pub(super) fn open(&mut self, state: C, writer: OwnedWriteHalf, address: IpAddr) -> WireId {
        *self.by_address.entry(address).or_default() += 1;
        let wire = Wire {
            state,
            address,
            out: Output::default(),
            is_established: false,
            idle_limit: None,
            heard_at: Instant::now(),
            closing: Closing::No,
            closing_since: None,
            input: 0,
            counted: 0,
            writer,
            waker: None,
            is_dirty: false,
            opened_at: Instant::now(),
        };
        let index = self.unused.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, wire: None });
            self.slots.len() as u32 - 1
        });
        let slot = &mut self.slots[index as usize];
        slot.generation += 1;
        slot.wire = Some(wire);
        self.count += 1;
        u64::from(slot.generation) << 32 | u64::from(index)
    }

    pub(super) fn remove(&mut self, id: WireId) -> Option<C> {
        self.get(id)?;
        let wire = self.slots[id as u32 as usize].wire.take()?;
        if wire.closing == Closing::Reset {
            // Without lingering, and without the end of the stream that dropping this half would send.
            let _ = socket2::SockRef::from(wire.writer.as_ref()).set_linger(Some(Duration::ZERO));
            wire.writer.forget();
        }
        self.held.set(self.held.get() - wire.counted);
        if let Entry::Occupied(mut entry) = self.by_address.entry(wire.address) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
        self.unused.push(id as u32);
        self.count -= 1;
        Some(wire.state)
    }

    /// Closes connections without a handshake after `handshake`, those from which nothing is heard, and those whose
    /// peers do not take their last bytes.
    pub(super) fn close_overdue(&mut self, now: Instant, handshake: Duration) {
        let overdue: Vec<_> = self
            .slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.wire.as_ref().is_some_and(|w| w.is_overdue(now, handshake)))
            .map(|(index, slot)| u64::from(slot.generation) << 32 | index as u64)
            .collect();
        for id in overdue {
            let is_sessionless = self.get(id).is_some_and(|w| w.closing == Closing::No && !w.is_established);
            self.expired += u64::from(is_sessionless);
            self.close_now(id);
        }
    }
}

impl<C> Wire<C> {
    /// Bytes that are not sent.
    pub(crate) fn unsent(&self) -> usize {
        self.out.unsent()
    }

    /// When it was accepted.
    pub(crate) fn opened_at(&self) -> Instant {
        self.opened_at
    }

    /// Whether the connection is about to be closed.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing != Closing::No
    }

    fn is_overdue(&self, now: Instant, handshake: Duration) -> bool {
        match self.closing {
            Closing::No if !self.is_established => now - self.opened_at > handshake,
            Closing::No => self.idle_limit.is_some_and(|limit| now.duration_since(self.heard_at) > limit),
            Closing::WhenSent => self.closing_since.is_some_and(|since| now - since > LAST_BYTES),
            Closing::Now | Closing::Reset | Closing::Never => false,
        }
    }

    fn is_aborted(&self) -> bool {
        matches!(self.closing, Closing::Now | Closing::Reset)
    }

    /// Sends as much as the peer takes.
    fn send(&mut self) {
        if self.is_aborted() {
            return;
        }
        let writer = &self.writer;
        let result =
            self.out.send(|bytes| writer.try_write(bytes), |pieces| writer.try_write_vectored(pieces));
        if result.is_err_and(|error| error.kind() != ErrorKind::WouldBlock) {
            self.closing = Closing::Now;
        }
    }

    /// Sends, and says what comes next. Whatever it waits for wakes the task.
    fn progress(&mut self, cx: &mut Context<'_>, unsent_soft: usize, is_stalled: bool) -> Progress {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
        if is_stalled {
            return if self.is_aborted() { Progress::End } else { Progress::Wait };
        }
        loop {
            let unsent = self.unsent();
            self.send();
            if self.unsent() < unsent {
                // A peer that takes bytes is there.
                self.heard_at = Instant::now();
            }
            if self.is_aborted() {
                return Progress::End;
            }
            if self.unsent() == 0 {
                return match self.closing {
                    Closing::No => Progress::Read,
                    Closing::Never => Progress::Wait,
                    _ => Progress::End,
                };
            }
            match self.writer.as_ref().poll_write_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Progress::End,
                Poll::Pending if self.closing == Closing::No && self.unsent() < unsent_soft => {
                    return Progress::Read;
                }
                Poll::Pending => return Progress::Wait,
            }
        }
    }
}
