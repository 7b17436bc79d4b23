//! The codec against a real server: the frames in `golden/conversation.txt` went between Apache ZooKeeper and its
//! own Java client (`examples/capture_golden` tells how). Each of them is decoded, and encoded into the same bytes.

#[path = "golden/conversation.rs"]
mod conversation;

use std::collections::BTreeSet;

use conversation::{Message, frames, messages};
use quorumeter_zk::jute::{Item, List};
use quorumeter_zk::multi::{MultiOp, MultiResult};
use quorumeter_zk::request::{Create, SetWatches};
use quorumeter_zk::{ErrorCode, OpCode, Reply, Request, frame};

fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match message {
        Message::Hello(hello) => hello.encode_frame(&mut out),
        Message::Welcome(Ok(welcome)) => welcome.encode_frame(&mut out),
        Message::Welcome(Err(_)) => {}
        Message::Request(header, Some(request)) => {
            request_by_value(request.clone()).encode_frame(&mut out, header.xid);
        }
        Message::Request(header, None) => {
            let mark = frame::begin_request(&mut out, header.xid, header.op);
            frame::end(&mut out, mark);
        }
        Message::Reply(_, header, Some(reply)) if header.err == ErrorCode::OK => {
            reply_by_value(reply.clone()).encode_frame(&mut out, header.xid, header.zxid);
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

/// A list that was read is kept as its bytes, and would be written as them; this one is written item by item.
/// What it holds is never freed, which a test may do.
fn by_value<'a, T: Item<'a>>(list: &List<'a, T>) -> List<'a, T> {
    List::from(&*list.iter().collect::<Vec<T>>().leak())
}

fn request_by_value(request: Request<'_>) -> Request<'_> {
    match request {
        Request::Create(create) => Request::Create(create_by_value(create)),
        Request::Create2(create) => Request::Create2(create_by_value(create)),
        Request::CreateContainer(create) => Request::CreateContainer(create_by_value(create)),
        Request::CreateTtl { create, ttl_ms } => {
            Request::CreateTtl { create: create_by_value(create), ttl_ms }
        }
        Request::SetAcl { path, acl, version } => Request::SetAcl { path, acl: by_value(&acl), version },
        Request::SetWatches(watches) => Request::SetWatches(watches_by_value(&watches)),
        Request::SetWatches2(watches) => Request::SetWatches2(watches_by_value(&watches)),
        Request::Multi(ops) => Request::Multi(ops_by_value(&ops)),
        Request::MultiRead(ops) => Request::MultiRead(ops_by_value(&ops)),
        other => other,
    }
}

fn create_by_value(create: Create<'_>) -> Create<'_> {
    Create { acl: by_value(&create.acl), ..create }
}

fn watches_by_value<'a>(watches: &SetWatches<'a>) -> SetWatches<'a> {
    SetWatches {
        relative_zxid: watches.relative_zxid,
        data: by_value(&watches.data),
        exist: by_value(&watches.exist),
        child: by_value(&watches.child),
        persistent: by_value(&watches.persistent),
        persistent_recursive: by_value(&watches.persistent_recursive),
    }
}

fn ops_by_value<'a>(ops: &List<'a, MultiOp<'a>>) -> List<'a, MultiOp<'a>> {
    let ops = ops.iter().map(|op| match op {
        MultiOp::Create(create) => MultiOp::Create(create_by_value(create)),
        MultiOp::Create2(create) => MultiOp::Create2(create_by_value(create)),
        MultiOp::CreateContainer(create) => MultiOp::CreateContainer(create_by_value(create)),
        MultiOp::CreateTtl { create, ttl_ms } => {
            MultiOp::CreateTtl { create: create_by_value(create), ttl_ms }
        }
        other => other,
    });
    List::from(&*ops.collect::<Vec<_>>().leak())
}

fn reply_by_value(reply: Reply<'_>) -> Reply<'_> {
    match reply {
        Reply::Acl { acl, stat } => Reply::Acl { acl: by_value(&acl), stat },
        Reply::Paths(paths) => Reply::Paths(by_value(&paths)),
        Reply::Children { children, stat } => Reply::Children { children: by_value(&children), stat },
        Reply::Clients(clients) => Reply::Clients(by_value(&clients)),
        Reply::Multi(results) => {
            let results = results.iter().map(|result| match result {
                MultiResult::GetChildren { children } => {
                    MultiResult::GetChildren { children: by_value(&children) }
                }
                other => other,
            });
            Reply::Multi(List::from(&*results.collect::<Vec<_>>().leak()))
        }
        other => other,
    }
}

#[test]
fn every_frame_comes_out_as_it_came_in() {
    let frames = frames();
    for (frame, message) in frames.iter().zip(messages(&frames)) {
        if let Message::Welcome(Err(_)) = message {
            assert_eq!(frame.step, "by-hand-refused-read-only");
            continue;
        }
        let expected = in_utf8(&frame.bytes);
        assert!(expected == frame.bytes || frame.step == "set-acl", "{}: {message:?}", frame.step);
        assert_eq!(encoded(&message), expected, "{}: {message:?}", frame.step);
    }
}

/// The frame with the one text that Java's client sent in its own form as this codec writes it.
fn in_utf8(frame: &[u8]) -> Vec<u8> {
    let java = b"\0\0\0\x08\xed\xa0\xbe\xed\xb6\x80:x";
    let Some(at) = frame.windows(java.len()).position(|bytes| bytes == java) else { return frame.to_vec() };
    let (front, rest) = (&frame[frame::PREFIX_LEN..at], &frame[at + java.len()..]);
    let mut out = Vec::new();
    frame::put(&mut out, &[front, b"\0\0\0\x06\xf0\x9f\xa6\x80:x", rest].concat());
    out
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
