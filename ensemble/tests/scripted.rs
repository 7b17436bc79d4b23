//! Every action of the scripted server, seen by a client.

mod raw;

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use quorumeter_ensemble::scripted::{
    Action, Counting, HandshakeFault, ReplyFault, Script, Scripted, Stage, Step, Trigger,
};
use quorumeter_zk::connect::PASSWORD_LEN;
use quorumeter_zk::event::EventType;
use quorumeter_zk::four_letter::Srvr;
use quorumeter_zk::frame;
use quorumeter_zk::op::xid;
use quorumeter_zk::request::{Request, WatchedPath, create_mode, watch_mode};
use quorumeter_zk::{ErrorCode, OpCode};
use raw::{Raw, word};

const LONG: Duration = Duration::from_millis(400);

fn script(steps: impl IntoIterator<Item = (Trigger, Action)>) -> Script {
    let steps = steps.into_iter().map(|(when, what)| Step { when, what }).collect();
    Script { steps, counting: Counting::Paths("/d".into()), ..Script::default() }
}

fn at(number: u64) -> Trigger {
    Trigger::AtOp { op: None, number }
}

fn replies(fault: ReplyFault, count: u64) -> Action {
    Action::Replies { fault, count }
}

/// A server with the znode /data, and a session there. Creating it is the first op that counts.
fn start(steps: impl IntoIterator<Item = (Trigger, Action)>) -> (Scripted, Raw) {
    let server = Scripted::start(script(steps)).expect("a server");
    let mut raw = Raw::connect(server.address());
    assert_eq!(raw.create("/data", b"x", 0).header.err, ErrorCode::OK);
    (server, raw)
}

fn read(path: &'static str) -> Request<'static> {
    Request::GetData(WatchedPath { path: path.into(), watch: false })
}

fn set(data: &[u8]) -> Request<'_> {
    Request::SetData { path: "/data".into(), data: Some(data), version: -1 }
}

/// The version of /data, asked for in a session of its own.
fn version(server: &Scripted) -> i32 {
    let mut raw = Raw::connect(server.address());
    let answer = raw.call(&Request::Exists(WatchedPath { path: "/data".into(), watch: false }));
    quorumeter_zk::Stat::peek_version(&answer.body).expect("a stat")
}

fn began(server: &Scripted) -> Vec<Action> {
    server.log().into_iter().filter(|done| done.stage == Stage::Began).map(|done| done.action).collect()
}

#[test]
fn ops_are_counted_over_all_connections() {
    let (server, mut first) = start([]);
    let mut second = Raw::connect(server.address());
    for raw in [&mut first, &mut second] {
        raw.call(&Request::Ping);
        raw.call(&read("/data"));
        raw.call(&read("/other"));
    }
    assert_eq!(server.counted(), 3);
    let counts: Vec<_> = server.connections().values().map(|c| (c.requests, c.counted)).collect();
    assert_eq!(counts, [(4, 2), (3, 1)]);
}

#[test]
fn counting_may_begin_by_hand() {
    let steps = vec![Step { when: at(1), what: replies(ReplyFault::Close, 1) }];
    let server = Scripted::start(Script { steps, counting: Counting::ByHand, ..Script::default() }).unwrap();
    let mut raw = Raw::connect(server.address());
    assert_eq!(raw.create("/x", b"", 0).header.err, ErrorCode::OK);
    assert_eq!(server.counted(), 0);
    server.arm();
    raw.send(&read("/x"));
    assert!(raw.is_closed());
    assert_eq!(server.counted(), 1);
}

#[test]
fn a_stall_holds_everything_back() {
    let (server, mut raw) =
        start([(Trigger::AtOp { op: Some(OpCode::GET_DATA), number: 2 }, Action::Stall(LONG))]);
    raw.call(&read("/data"));
    let mut other = Raw::connect(server.address());
    let begin = Instant::now();
    raw.send(&read("/data"));
    raw.send(&set(b"y"));
    // The log tells that it has begun.
    while began(&server).is_empty() {
        std::thread::yield_now();
    }
    other.call(&Request::Ping);
    assert!(begin.elapsed() >= LONG, "nobody is answered");
    for _ in 0..2 {
        assert_eq!(raw.answer().unwrap().unwrap().header.err, ErrorCode::OK);
    }
    let log = server.log();
    let stages: Vec<_> = log.iter().map(|done| (done.stage, done.ops)).collect();
    assert_eq!(stages[0], (Stage::Began, 3));
    assert_eq!(stages[1].0, Stage::Ended);
    let length = log[1].at - log[0].at;
    assert!(length >= LONG, "{length:?}");
    assert_eq!(log[0].connection, Some(1));
}

#[test]
fn steps_come_after_a_time() {
    let begin = Instant::now();
    let (server, mut raw) = start([
        (Trigger::AfterFirstOp(LONG), replies(ReplyFault::Close, 1)),
        (Trigger::AfterStart(Duration::ZERO), Action::Version("9.9.9-test, built on a day".into())),
    ]);
    loop {
        raw.send(&read("/data"));
        if raw.answer().unwrap().is_none() {
            break;
        }
    }
    // The first op was the creation of /data.
    assert!(begin.elapsed() >= LONG, "{:?}", begin.elapsed());
    assert_eq!(Srvr::parse(&word(server.address(), "srvr")).unwrap().version, "9.9.9-test, built on a day");
}

#[test]
fn replies_are_delayed_in_order() {
    let (server, mut raw) = start([(at(2), Action::DelayReplies(LONG))]);
    let begin = Instant::now();
    for n in 0..3u8 {
        raw.send(&set(&[n]));
    }
    for n in 0..3 {
        assert_eq!(raw.answer().unwrap().unwrap().header.xid, n + 2);
        assert!(begin.elapsed() >= LONG);
    }
    // Nobody waits for an hour, so the second order has ended the first.
    server.act(Action::DelayReplies(Duration::from_secs(3_600)));
    server.act(Action::DelayReplies(Duration::ZERO));
    while began(&server).len() < 3 {
        std::thread::yield_now();
    }
    raw.call(&read("/data"));
}

#[test]
fn replies_are_lost() {
    let (_server, mut raw) = start([(at(2), replies(ReplyFault::Drop, 2))]);
    for n in 0..3u8 {
        raw.send(&set(&[n]));
    }
    assert_eq!(raw.answer().unwrap().unwrap().header.xid, 4);
}

#[test]
fn a_reply_has_the_wrong_xid() {
    let (_server, mut raw) = start([(at(2), replies(ReplyFault::WrongXid, 1))]);
    let sent = raw.send(&read("/data"));
    assert_eq!(raw.answer().unwrap().unwrap().header.xid, sent + 1000);
    raw.call(&read("/data"));
}

#[test]
fn two_replies_are_swapped() {
    let (_server, mut raw) = start([(at(2), replies(ReplyFault::Swap, 1))]);
    let sent: Vec<_> = (0..3).map(|_| raw.send(&read("/data"))).collect();
    let mut received = || raw.answer().unwrap().unwrap().header.xid;
    assert_eq!([received(), received(), received()], [sent[1], sent[0], sent[2]]);
}

#[test]
fn half_a_reply_is_followed_by_nothing() {
    for (fault, is_closed) in [(ReplyFault::HalfThenSilence, false), (ReplyFault::HalfThenClose, true)] {
        let (_server, mut raw) = start([(at(2), replies(fault, 1))]);
        raw.send(&read("/data"));
        raw.send(&read("/data"));
        // Prefix, header, one byte of data with its length, and a stat: 93 bytes.
        raw.stream.read_exact(&mut [0; 46]).unwrap();
        if !is_closed {
            raw.stream.set_read_timeout(Some(LONG)).unwrap();
        }
        let mut rest = Vec::new();
        let end = raw.stream.read_to_end(&mut rest);
        assert_eq!(end.is_ok() || end.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset), is_closed);
        assert!(rest.is_empty(), "{rest:?}");
    }
}

#[test]
fn a_frame_of_two_gigabytes_is_announced() {
    let (_server, mut raw) = start([(at(2), replies(ReplyFault::HugeLength, 1))]);
    raw.send(&read("/data"));
    let mut prefix = [0; frame::PREFIX_LEN];
    raw.stream.read_exact(&mut prefix).unwrap();
    assert_eq!(i32::from_be_bytes(prefix), i32::MAX);
}

#[test]
fn garbage_and_unasked_events_come_before_a_reply() {
    let event = ReplyFault::Notification(EventType::NODE_CREATED, "/nobody/asked".into());
    let (_server, mut raw) =
        start([(at(2), replies(event, 1)), (at(3), replies(ReplyFault::Garbage(vec![0xab; 7]), 1))]);
    let answer = raw.call(&read("/data"));
    assert_eq!((answer.events[0].kind, &*answer.events[0].path), (1, "/nobody/asked"));
    raw.send(&read("/data"));
    let mut bytes = [0; 7];
    raw.stream.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, [0xab; 7]);
    assert!(raw.answer().unwrap().is_some());
}

#[test]
fn a_connection_breaks_when_the_op_is_done() {
    for (fault, is_reset) in [(ReplyFault::Close, false), (ReplyFault::Reset, true)] {
        let (server, mut raw) = start([(at(3), replies(fault, 1))]);
        raw.call(&set(b"1"));
        raw.send(&set(b"2"));
        let mut byte = [0];
        match raw.stream.read(&mut byte) {
            Ok(0) => assert!(!is_reset),
            Err(e) => assert!(is_reset && e.kind() == ErrorKind::ConnectionReset, "{e}"),
            Ok(_) => panic!("an answer"),
        }
        assert_eq!(version(&server), 2, "both writes were done");
        assert!(raw.reconnect(server.address()).unwrap());
        assert_ne!(raw.session_id, 0, "the session goes on");
    }
}

#[test]
fn all_connections_break_at_once() {
    for action in [Action::CloseAll, Action::ResetAll] {
        let (server, mut raw) = start([(at(2), action.clone())]);
        let mut other = Raw::connect(server.address());
        raw.send(&set(b"2"));
        assert!(raw.is_closed() && other.is_closed());
        assert_eq!(version(&server), 1);
        let mut again = Raw::connect(server.address());
        server.act(action);
        assert!(again.is_closed());
    }
}

#[test]
fn connections_are_refused_for_a_while() {
    // As long as it takes to see it.
    let (server, mut raw) = start([(at(2), Action::RefuseConnections(Duration::from_secs(3_600)))]);
    raw.call(&read("/data"));
    let begin = Instant::now();
    let is_refused =
        || TcpStream::connect(server.address()).is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused);
    while !is_refused() {
        assert!(begin.elapsed() < raw::PATIENCE, "the listener closes");
        std::thread::yield_now();
    }
    let begin = Instant::now();
    server.act(Action::RefuseConnections(LONG));
    while TcpStream::connect(server.address()).is_err() {
        assert!(begin.elapsed() < raw::PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(begin.elapsed() >= LONG, "{:?}", begin.elapsed());
    assert_eq!(raw.call(&read("/data")).header.err, ErrorCode::OK, "the old connection lives");
    assert!(server.log().iter().any(|done| done.stage == Stage::Ended));
}

#[test]
fn handshakes_go_wrong() {
    for fault in [
        HandshakeFault::Silence,
        HandshakeFault::CloseOnAccept,
        HandshakeFault::CloseAfterRequest,
        HandshakeFault::CloseInResponse,
        HandshakeFault::Expired,
    ] {
        let handshakes = Action::Handshakes { fault, count: 1 };
        let server = Scripted::start(script([(Trigger::AtConnection(2), handshakes.clone())])).unwrap();
        let _first = Raw::connect(server.address());
        let mut raw = Raw::open(server.address()).unwrap();
        if fault == HandshakeFault::Silence {
            raw.stream.set_read_timeout(Some(LONG)).unwrap();
        }
        let result = raw.handshake(4_000, 0, 0, &[0; PASSWORD_LEN]);
        match fault {
            HandshakeFault::Silence => assert_eq!(result.unwrap_err().kind(), ErrorKind::WouldBlock),
            HandshakeFault::Expired => {
                assert_eq!((result.unwrap(), raw.session_id, raw.timeout_ms), (true, 0, 0));
            }
            // Writing to a closed connection may be what fails.
            _ => assert!(!result.unwrap_or(false), "{fault:?}"),
        }
        assert_ne!(Raw::connect(server.address()).session_id, 0, "the next one is served");
        let log = server.log();
        assert!(
            log.iter().any(|d| d.stage == Stage::Hit && d.action == handshakes && d.connection == Some(2))
        );
    }
}

#[test]
fn every_third_op_fails() {
    let every_third = Action::FailEvery { every: 3, code: ErrorCode::THROTTLED_OP };
    let (server, mut raw) = start([(at(2), every_third)]);
    let codes: Vec<_> = (0..6).map(|_| raw.set("/data", b"y").header.err == ErrorCode::OK).collect();
    assert_eq!(codes, [true, true, false, true, true, false]);
    assert_eq!(version(&server), 4);
}

#[test]
fn writes_are_refused_and_not_done() {
    let (server, mut raw) = start([(at(2), Action::RefuseWrites(Some(ErrorCode::NO_AUTH)))]);
    assert_eq!(raw.set("/data", b"y").header.err, ErrorCode::NO_AUTH);
    assert_eq!(raw.get("/data", false).header.err, ErrorCode::OK);
    server.act(Action::RefuseWrites(None));
    while raw.set("/data", b"y").header.err != ErrorCode::OK {}
    assert_eq!(version(&server), 1);
}

#[test]
fn sessions_expire() {
    let (server, mut raw) = start([(at(3), Action::ExpireSession)]);
    raw.create("/e", b"", create_mode::EPHEMERAL);
    raw.call(&read("/data"));
    let mut other = Raw::connect(server.address());
    raw.send(&set(b"y"));
    assert!(raw.is_closed());
    raw.reconnect(server.address()).unwrap();
    assert_eq!(raw.session_id, 0);
    assert_eq!(other.get("/e", false).header.err, ErrorCode::NO_NODE);
    assert_eq!(version(&server), 0, "the op was not done");
    server.act(Action::ExpireSession);
    assert!(other.is_closed());
}

#[test]
fn events_are_lost_doubled_and_without_a_zxid() {
    let (server, mut writer) = start([(at(2), Action::EventZxid(Some(-1))), (at(2), Action::DropEvents(1))]);
    let mut watcher = Raw::connect(server.address());
    watcher.call(&Request::AddWatch { path: "/data".into(), mode: watch_mode::PERSISTENT });
    writer.set("/data", b"1");
    assert_eq!(watcher.events(), []);
    writer.set("/data", b"2");
    assert_eq!(watcher.events().iter().map(|e| e.zxid).collect::<Vec<_>>(), [-1]);
    server.act(Action::DuplicateEvents(1));
    server.act(Action::EventZxid(None));
    while began(&server).len() < 4 {
        std::thread::yield_now();
    }
    let zxid = writer.set("/data", b"3").header.zxid;
    assert_eq!(watcher.events().iter().map(|e| e.zxid).collect::<Vec<_>>(), [zxid, zxid]);
}

#[test]
fn pings_are_never_touched() {
    let (_server, mut raw) = start([(at(2), replies(ReplyFault::Drop, 1))]);
    raw.send(&set(b"y"));
    raw.send(&Request::Ping);
    assert_eq!(raw.answer().unwrap().unwrap().header.xid, xid::PING);
}
