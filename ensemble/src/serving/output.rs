//! What waits to be sent on a connection: replies in a buffer of its own, and events that it shares with others.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// Sent bytes at the front of the buffer that are worth moving the rest for.
const COMPACT_LEN: usize = 64 << 10;

/// Capacity that is given back when little of it is needed.
const SHRINK_LEN: usize = 64 << 10;

/// Pieces of one vectored write.
const PIECES: usize = 64;

/// The output of a connection. It dereferences to the buffer that replies are appended to; segments keep the place
/// in it that they were pushed at.
#[derive(Debug, Default)]
pub(crate) struct Output {
    own: Vec<u8>,
    /// Bytes at the front of `own` that are sent.
    sent: usize,
    /// Each with its place in `own`. Places ascend.
    segments: VecDeque<(usize, Rc<Segment>)>,
    /// Bytes at the front of the first segment that are sent.
    segment_sent: usize,
    /// Bytes of all segments.
    shared: usize,
}

/// Bytes that several connections send. They count once in what a server holds, for as long as anybody has them.
#[derive(Debug)]
pub(crate) struct Segment {
    bytes: Box<[u8]>,
    held: Rc<Cell<usize>>,
}

impl Segment {
    pub(super) fn new(bytes: &[u8], held: &Rc<Cell<usize>>) -> Rc<Segment> {
        held.set(held.get() + bytes.len());
        Rc::new(Segment { bytes: bytes.into(), held: Rc::clone(held) })
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.held.set(self.held.get() - self.bytes.len());
    }
}

impl Deref for Output {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.own
    }
}

impl DerefMut for Output {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.own
    }
}

impl Output {
    /// Appends bytes that others send, too.
    pub(super) fn share(&mut self, segment: &Rc<Segment>) {
        self.shared += segment.bytes.len();
        self.segments.push_back((self.own.len(), Rc::clone(segment)));
    }

    /// Bytes that are not sent.
    #[inline]
    pub(super) fn unsent(&self) -> usize {
        self.own.len().saturating_sub(self.sent) + self.shared - self.segment_sent
    }

    /// Memory that is this connection's alone.
    #[inline]
    pub(super) fn held(&self) -> usize {
        self.own.capacity() + self.segments.capacity() * size_of::<(usize, Rc<Segment>)>()
    }

    /// Forgets everything, and gives its memory back.
    pub(super) fn release(&mut self) {
        *self = Output::default();
    }

    /// Uses a buffer that another connection has left, if it has none.
    #[inline]
    pub(super) fn lend(&mut self, spare: &mut Vec<Vec<u8>>) {
        if self.own.capacity() == 0
            && let Some(buffer) = spare.pop()
        {
            self.own = buffer;
        }
    }

    /// Takes the buffer away when everything is sent.
    #[inline]
    pub(super) fn take_empty(&mut self) -> Option<Vec<u8>> {
        (self.unsent() == 0 && self.own.capacity() > 0).then(|| {
            self.sent = 0;
            let mut buffer = std::mem::take(&mut self.own);
            buffer.clear();
            self.segments = VecDeque::new();
            buffer
        })
    }

    /// Gives back what a large buffer does not need for what waits in it.
    pub(super) fn shrink(&mut self) {
        if self.own.capacity() > SHRINK_LEN && self.own.len() < self.own.capacity() / 4 {
            self.own.shrink_to(self.own.len() * 2);
        }
    }

    /// Sends with `write`, for plain bytes, and `write_vectored`, until everything is sent or one of them fails.
    pub(super) fn send(
        &mut self,
        write: impl Fn(&[u8]) -> io::Result<usize>,
        write_vectored: impl Fn(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<()> {
        while self.unsent() > 0 {
            let count = if self.segments.is_empty() {
                write(&self.own[self.sent..])?
            } else {
                let mut pieces = [IoSlice::new(&[]); PIECES];
                let count = self.pieces(&mut pieces);
                write_vectored(&pieces[..count])?
            };
            self.advance(count);
        }
        self.own.clear();
        self.sent = 0;
        Ok(())
    }

    /// What is to be sent next, in order; returns the number of pieces.
    fn pieces<'a>(&'a self, pieces: &mut [IoSlice<'a>; PIECES]) -> usize {
        let (mut count, mut at, mut skipped) = (0, self.sent, self.segment_sent);
        for (place, segment) in &self.segments {
            if count + 2 > PIECES {
                return count;
            }
            // What was behind the place may have been taken out again.
            let place = (*place).min(self.own.len());
            if place > at {
                pieces[count] = IoSlice::new(&self.own[at..place]);
                (count, at) = (count + 1, place);
            }
            pieces[count] = IoSlice::new(&segment.bytes[skipped..]);
            (count, skipped) = (count + 1, 0);
        }
        if at < self.own.len() && count < PIECES {
            pieces[count] = IoSlice::new(&self.own[at..]);
            count += 1;
        }
        count
    }

    /// So many bytes have been sent.
    fn advance(&mut self, mut count: usize) {
        while let Some((place, segment)) = self.segments.front() {
            let before = (*place).min(self.own.len()).saturating_sub(self.sent);
            if count < before {
                break;
            }
            self.sent += before;
            count -= before;
            let left = segment.bytes.len() - self.segment_sent;
            if count < left {
                self.segment_sent += count;
                return self.compact();
            }
            count -= left;
            self.shared -= segment.bytes.len();
            self.segment_sent = 0;
            self.segments.pop_front();
        }
        self.sent += count;
        self.compact();
    }

    /// Forgets what is sent, so that a peer who never takes everything does not make the buffer grow.
    fn compact(&mut self) {
        if self.sent >= COMPACT_LEN && self.sent >= self.own.len() / 2 {
            self.own.drain(..self.sent);
            for (place, _) in &mut self.segments {
                *place = place.saturating_sub(self.sent);
            }
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Sends all, at most `step` bytes a call.
    fn sent(output: &mut Output, step: usize) -> Vec<u8> {
        let sink = RefCell::new(Vec::new());
        let take = |bytes: &[u8]| {
            let count = bytes.len().min(step);
            sink.borrow_mut().extend_from_slice(&bytes[..count]);
            Ok(count)
        };
        output
            .send(take, |pieces| {
                let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
                take(&bytes)
            })
            .unwrap();
        assert_eq!(output.unsent(), 0);
        sink.into_inner()
    }

    #[test]
    fn own_bytes_and_shared_ones_are_sent_in_their_order() {
        let held = Rc::default();
        let (first, second) = (Segment::new(b"first", &held), Segment::new(b"second", &held));
        for step in 1..30 {
            let mut output = Output::default();
            output.share(&first);
            output.extend_from_slice(b"-own-");
            output.share(&second);
            output.share(&first);
            output.extend_from_slice(b"-end");
            assert_eq!(output.unsent(), 25);
            assert_eq!(sent(&mut output, step), b"first-own-secondfirst-end", "{step}");
            output.extend_from_slice(b"more");
            assert_eq!(sent(&mut output, step), b"more");
        }
        assert_eq!(held.get(), 11, "shared bytes count once");
        drop((first, second));
        assert_eq!(held.get(), 0);
    }

    #[test]
    fn more_segments_than_one_write_takes() {
        let held = Rc::default();
        let mut output = Output::default();
        let mut expected = Vec::new();
        for n in 0..500u16 {
            let text = format!("{n},");
            output.share(&Segment::new(text.as_bytes(), &held));
            expected.extend_from_slice(text.as_bytes());
            if n % 3 == 0 {
                output.push(b'.');
                expected.push(b'.');
            }
        }
        assert_eq!(sent(&mut output, 1_000), expected);
        assert_eq!(held.get(), 0, "who has sent them gives them back");
    }

    #[test]
    fn a_reply_taken_out_again_leaves_the_events_before_it() {
        let mut output = Output::default();
        output.extend_from_slice(b"own");
        let mark = output.len();
        output.extend_from_slice(b"gone");
        output.share(&Segment::new(b"event", &Rc::default()));
        output.truncate(mark);
        assert_eq!(sent(&mut output, 2), b"ownevent");
    }

    #[test]
    fn few_bytes_do_not_keep_a_large_buffer() {
        let mut spare = vec![Vec::with_capacity(256 << 10)];
        let mut output = Output::default();
        output.lend(&mut spare);
        output.extend_from_slice(b"few");
        assert_eq!(output.held(), 256 << 10);
        output.shrink();
        assert!(output.held() < 100, "{}", output.held());
        assert_eq!(sent(&mut output, 2), b"few");
    }

    #[test]
    fn a_peer_who_never_takes_everything_does_not_make_the_buffer_grow() {
        let mut output = Output::default();
        for _ in 0..1_000 {
            output.extend_from_slice(&[7; 10_000]);
            let budget = Cell::new(9_999);
            let limited = |bytes: &[u8]| match budget.replace(0) {
                0 => Err(io::ErrorKind::WouldBlock.into()),
                left => Ok(left.min(bytes.len())),
            };
            let _ = output.send(limited, |_| unreachable!());
        }
        assert_eq!(output.unsent(), 1_000);
        assert!(output.held() < 1 << 20, "{}", output.held());
    }
}
