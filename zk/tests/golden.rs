//! The codec against a real server: the frames in `golden/conversation.txt` went between Apache ZooKeeper and its
//! own Java client (`examples/capture_golden` tells how). Each of them is decoded, and encoded into the same bytes.

#[path = "golden/conversation.rs"]
mod conversation;

use std::collections::BTreeSet;

use conversation::{Message, frames, messages};
use quorumeter_zk::{ErrorCode, OpCode, Request, frame};

fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match message {
        Message::Hello(hello) => hello.encode_frame(&mut out),
        Message::Welcome(Ok(welcome)) => welcome.encode_frame(&mut out),
        Message::Welcome(Err(_)) => {}
        Message::Request(header, Some(request)) => request.encode_frame(&mut out, header.xid),
        Message::Request(header, None) => {
            let mark = frame::begin_request(&mut out, header.xid, header.op);
            frame::end(&mut out, mark);
        }
        Message::Reply(_, header, Some(reply)) if header.err == ErrorCode::OK => {
            reply.encode_frame(&mut out, header.xid, header.zxid);
        }
        Message::Reply(_, header, reply) => {
            let mark = frame::begin(&mut out);
            header.encode(&mut out);
            reply.iter().for_each(|reply| reply.encode(&mut out));
            frame::end(&mut out, mark);
        }
        Message::Event(header, event) => event.encode_frame(&mut out, header.zxid),
    }
    out
}

#[test]
fn every_frame_comes_out_as_it_came_in() {
    let frames = frames();
    for (frame, message) in frames.iter().zip(messages(&frames)) {
        if let Message::Welcome(Err(_)) = message {
            assert_eq!(frame.step, "by-hand-refused-read-only");
            continue;
        }
        assert_eq!(encoded(&message), frame.bytes, "{}: {message:?}", frame.step);
    }
}

#[test]
fn every_op_that_a_client_may_send_is_there() {
    let frames = frames();
    let mut seen = BTreeSet::new();
    let mut in_multi = BTreeSet::new();
    for message in messages(&frames) {
        if let Message::Request(header, request) = message {
            seen.insert(header.op);
            if let Some(Request::Multi(ops) | Request::MultiRead(ops)) = request {
                in_multi.extend(ops.iter().map(|op| op.op()));
            }
        }
    }
    let never_alone = [
        OpCode::NOTIFICATION,
        OpCode::CHECK,
        OpCode::DELETE_CONTAINER,
        OpCode::CREATE_SESSION,
        OpCode::ERROR,
    ];
    let apache = OpCode::ALL.iter().filter(|op| op.0 < OpCode::KEEPER_FILTERED_LIST.0);
    let missing: Vec<_> = apache.filter(|op| !never_alone.contains(op) && !seen.contains(op)).collect();
    assert_eq!(missing, [] as [&OpCode; 0]);
    assert_eq!(in_multi.len(), 9, "{in_multi:?}");
}
