//! Decoding borrows: it asks the allocator for nothing, or, for text in Java's form, for no more than the text's own
//! bytes, or three times as many where malformed text is replaced. Whatever a record announces.

#[path = "golden/conversation.rs"]
mod conversation;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use conversation::{Message, frames, messages};
use proptest::collection::vec;
use proptest::prelude::*;
use quorumeter_zk::connect::{ConnectRequest, ConnectResponse};
use quorumeter_zk::event::WatchedEvent;
use quorumeter_zk::frame::{self, DEFAULT_MAX_FRAME, PREFIX_LEN};
use quorumeter_zk::jute::{MAX_VECTOR_LEN, Reader, put_i32, put_string};
use quorumeter_zk::reply::ReplyHeader;
use quorumeter_zk::request::RequestHeader;
use quorumeter_zk::tree::Transaction;
use quorumeter_zk::tree::access::{Identity, MAX_IDENTITIES};
use quorumeter_zk::{OpCode, Reply, Request};

/// Counts what each thread asks for.
struct Counting;

thread_local! {
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the contract; the count is a
// thread-local without a destructor, so that counting does not allocate. `realloc` is the trait's own, by way of
// `alloc`.
#[allow(unsafe_code, reason = "an allocator cannot be written without it")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.with(|asked| asked.set(asked.get() + layout.size()));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The bytes that `work` asked the allocator for.
fn asked<T>(work: impl FnOnce() -> T) -> usize {
    let before = ASKED.get();
    black_box(work());
    ASKED.get() - before
}

/// The most that decoding these bytes asks for, as whatever they may be.
fn asked_by_decoding(bytes: &[u8]) -> usize {
    let of_ops = OpCode::ALL.iter().flat_map(|op| {
        [asked(|| Request::decode(*op, &mut Reader::new(bytes))), asked(|| Reply::decode(*op, bytes))]
    });
    let of_others = [
        asked(|| frame::front(bytes, DEFAULT_MAX_FRAME)),
        asked(|| ConnectRequest::decode(bytes)),
        asked(|| ConnectResponse::decode(bytes)),
        asked(|| WatchedEvent::decode(bytes)),
        asked(|| ReplyHeader::split(bytes)),
        asked(|| RequestHeader::decode(&mut Reader::new(bytes))),
    ];
    of_ops.chain(of_others).max().unwrap_or_default()
}

#[test]
fn the_count_counts() {
    assert_eq!(asked(|| vec![0_u8; 100]), 100);
}

#[test]
fn real_frames_are_borrowed() {
    let frames = frames();
    for (frame, message) in frames.iter().zip(messages(&frames)) {
        let body = &frame.bytes[PREFIX_LEN..];
        let asked = match message {
            Message::Hello(_) => asked(|| ConnectRequest::decode(body)),
            Message::Welcome(_) => asked(|| ConnectResponse::decode(body)),
            Message::Request(header, _) => asked(|| Request::decode(header.op, &mut Reader::new(&body[8..]))),
            Message::Reply(op, ..) => asked(|| Reply::decode(op, &body[ReplyHeader::LEN..])),
            Message::Event(..) => asked(|| WatchedEvent::decode(&body[ReplyHeader::LEN..])),
        };
        // The one text in Java's form has 8 bytes.
        assert!(asked == 0 || frame.step == "set-acl" && asked == 8, "{}: {asked} for {body:?}", frame.step);
        assert!(asked_by_decoding(body) <= body.len(), "{}: {body:?}", frame.step);
    }
}

#[test]
fn what_is_announced_is_not_allocated() {
    for announced in [i32::MAX, MAX_VECTOR_LEN as i32, 1 << 20] {
        let mut record = Vec::new();
        for _ in 0..8 {
            put_i32(&mut record, announced);
            assert_eq!(asked_by_decoding(&record), 0);
        }
        // The same behind a path, behind data, and behind a zxid.
        for front in [&b"\0\0\0\x01/"[..], b"\0\0\0\x01/\xff\xff\xff\xff", &[0; 8]] {
            assert_eq!(asked_by_decoding(&[front, &record].concat()), 0);
        }
    }
}

#[test]
fn malformed_text_takes_three_times_its_bytes() {
    let mut record = Vec::new();
    put_i32(&mut record, 1000);
    record.extend_from_slice(&[0xff; 1000]);
    let decoding = asked(|| Request::decode(OpCode::SYNC, &mut Reader::replacing(&record)));
    assert_eq!(decoding, 3000);
}

#[test]
fn a_transaction_takes_its_own_bytes_and_its_identities() {
    let most = MAX_IDENTITIES * size_of::<Identity>();
    for (count, is_read) in [(0, true), (1, true), (MAX_IDENTITIES, true), (MAX_IDENTITIES + 1, false)] {
        let mut bytes = vec![0; 24];
        put_i32(&mut bytes, count as i32);
        for _ in 0..count {
            put_string(&mut bytes, "sasl");
            put_string(&mut bytes, "somebody");
        }
        put_i32(&mut bytes, OpCode::CLOSE_SESSION.0);
        assert_eq!(Transaction::decode(&bytes).is_ok(), is_read);
        let asked = asked(|| Transaction::decode(&bytes));
        assert!(asked <= if is_read { bytes.len() + most } else { 0 }, "{asked} for {count}");
    }
}

#[test]
fn a_list_of_text_in_javas_form_takes_its_own_bytes() {
    let mut record = Vec::new();
    put_i32(&mut record, 1000);
    for _ in 0..1000 {
        put_i32(&mut record, 6);
        record.extend_from_slice(b"\xed\xa0\xbe\xed\xb6\x80");
    }
    let decoding = asked(|| Reply::decode(OpCode::GET_CHILDREN, &record).is_ok_and(|reply| reply.is_some()));
    assert!((1..=record.len()).contains(&decoding), "{decoding}");
}

proptest! {
    #[test]
    fn any_bytes_take_no_more_than_their_own_size(
        bytes in vec(prop_oneof![3 => Just(0), 1 => Just(1), 1 => Just(0xed), 1 => any::<u8>()], 0..200),
    ) {
        prop_assert!(asked_by_decoding(&bytes) <= bytes.len());
        let identities = bytes.len() / 8 * size_of::<Identity>();
        prop_assert!(asked(|| Transaction::decode(&bytes)) <= 3 * bytes.len() + identities);
    }
}
