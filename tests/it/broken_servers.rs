//! Servers that break the protocol: a typed error, counted; the run goes on, or ends with a complete record.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use quorumeter_ensemble::scripted::{Action, HandshakeFault, ReplyFault, Step, Trigger};
use quorumeter_experiments::RunError;
use quorumeter_record::{EventKind, SessionChange, StopReason};
use quorumeter_zk::OpCode;
use quorumeter_zk::event::EventType;

use crate::support::{Measured, measure, scripted, srvr};

const READS: &str = "phases = { warmup = \"0s\", measure = \"1500ms\" }\n[dataset]\nnodes = 100\n\
                     [client]\nsession_timeout = \"2s\"\n\
                     [[stream]]\nname = \"app\"\nsessions = 2\ndepth = 8\nrate = \"400/s\"\narrival = \"constant\"\n\
                     mix = { read = 1 }\n";

/// The run goes on behind the fault, and every op is accounted for.
fn assert_went_on(measured: &Measured, what: &str) {
    let summary = measured.summary();
    assert!(summary.accounting.balanced && summary.complete, "{what}: {summary:?}");
    assert_eq!(summary.accounting.scheduled, 600, "{what}");
    assert!(summary.ops["app.read"].ok > 300, "{what}: {:?}", summary.ops);
}

#[test]
fn replies_that_break_the_protocol_end_their_connection_and_nothing_else() {
    let cases = [
        (ReplyFault::WrongXid, "xid"),
        (ReplyFault::Swap, "xid"),
        (ReplyFault::Drop, "xid"),
        (ReplyFault::HugeLength, "2147483647 bytes"),
        (ReplyFault::Garbage(vec![0xff; 64]), "outside of 0"),
        (ReplyFault::Garbage(vec![0, 0, 0, 3, 1, 2, 3]), "reply header"),
        (ReplyFault::HalfThenClose, "closed the connection"),
        (ReplyFault::HalfThenSilence, "nothing came from the member"),
        (ReplyFault::Reset, ""),
    ];
    thread::scope(|scope| {
        for (fault, cause) in cases {
            scope.spawn(move || {
                let what = format!("{fault:?}");
                let when = Trigger::AtOp { op: Some(OpCode::GET_DATA), number: 100 };
                let step = Step { when, what: Action::Replies { fault, count: 1 } };
                let server = scripted(vec![step]);
                let measured = measure(server.address(), READS);
                assert_went_on(&measured, &what);
                let causes = measured.causes(SessionChange::Lost);
                assert_eq!(causes.len(), 1, "{what}: {causes:?}");
                assert!(causes[0].contains(cause), "{what}: {causes:?}");
                assert!(measured.summary().ops["app.read"].unknown >= 1, "{what}");
            });
        }
    });
}

#[test]
fn an_event_that_nobody_asked_for_does_no_harm() {
    let fault = ReplyFault::Notification(EventType::NODE_DELETED, "/elsewhere".into());
    let when = Trigger::AtOp { op: Some(OpCode::GET_DATA), number: 100 };
    let server = scripted(vec![Step { when, what: Action::Replies { fault, count: 5 } }]);
    let measured = measure(server.address(), READS);
    assert_went_on(&measured, "notification");
    assert_eq!(measured.summary().ops["app.read"].ok, 600);
}

#[test]
fn handshakes_that_fail_are_tried_again() {
    let cases = [
        (HandshakeFault::CloseOnAccept, "closed the connection"),
        (HandshakeFault::CloseAfterRequest, "closed the connection"),
        (HandshakeFault::CloseInResponse, "closed the connection"),
        (HandshakeFault::Silence, "no answer to the handshake"),
        (HandshakeFault::Expired, "takes no sessions"),
    ];
    thread::scope(|scope| {
        for (fault, cause) in cases {
            scope.spawn(move || {
                // The first connection is the run's own; the next two are the load's.
                let what = Action::Handshakes { fault, count: 2 };
                let server = scripted(vec![Step { when: Trigger::AtConnection(2), what }]);
                let measured = measure(server.address(), READS);
                assert_went_on(&measured, &format!("{fault:?}"));
                let causes = measured.causes(SessionChange::ConnectFailed);
                assert!(causes.iter().any(|c| c.contains(cause)), "{fault:?}: {causes:?}");
            });
        }
    });
}

#[test]
fn a_lost_session_that_comes_back_as_expired_is_replaced() {
    let close = Action::Replies { fault: ReplyFault::Close, count: 1 };
    let at = || Trigger::AtOp { op: Some(OpCode::GET_DATA), number: 100 };
    let expired = Action::Handshakes { fault: HandshakeFault::Expired, count: 1 };
    let server = scripted(vec![Step { when: at(), what: expired }, Step { when: at(), what: close }]);
    let measured = measure(server.address(), READS);
    assert_went_on(&measured, "expired");
    assert_eq!(measured.causes(SessionChange::Expired).len(), 1);
}

/// Something listens that is no ZooKeeper.
fn other_server(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().take(100).flatten() {
            let mut stream = stream;
            let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(answer);
        }
    });
    address
}

#[test]
fn a_target_that_is_none_is_told_so_and_the_record_says_why() {
    let unreachable = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (address, why) in [
        (other_server(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "does not speak the protocol"),
        (other_server(b""), "closed the connection"),
        (unreachable, "refused"),
    ] {
        let measured =
            measure(address, &format!("{READS}\n").replace("\"2s\"", "\"2s\"\nconnect_limit = \"1s\""));
        let error = measured.result.as_ref().unwrap_err();
        assert!(matches!(error, RunError::Target { .. }) && error.exit_code() == 5, "{error}");
        assert!(error.to_string().contains(why), "{error}");
        let events: Vec<_> = measured.record().events().unwrap().map(|e| e.unwrap().kind).collect();
        let is_stop = |e: &EventKind| matches!(e, EventKind::Stop { reason: StopReason::Error, .. });
        assert!(events.iter().any(is_stop), "{events:?}");
    }
}

#[test]
fn a_server_that_takes_no_writes_is_told_before_load() {
    let refuse = Action::RefuseWrites(Some(quorumeter_zk::ErrorCode::NO_AUTH));
    let server = scripted(vec![Step { when: Trigger::AfterStart(Duration::ZERO), what: refuse }]);
    let measured = measure(server.address(), READS);
    let error = measured.result.as_ref().unwrap_err();
    assert!(matches!(error, RunError::Root(_)) && error.exit_code() == 5, "{error}");
    assert!(
        error.to_string().contains("cannot create /quorumeter") && error.to_string().contains("NoAuth"),
        "{error}"
    );
}

/// Whichever create fails, what was created before it is removed again, and the reason told is the first one.
#[test]
fn a_half_claimed_root_leaves_nothing() {
    for number in 1..=5 {
        let at = |op| Trigger::AtOp { op: Some(op), number: 1 };
        let server = scripted(vec![
            Step {
                when: Trigger::AtOp { op: Some(OpCode::CREATE), number },
                what: Action::RefuseWrites(Some(quorumeter_zk::ErrorCode::NO_AUTH)),
            },
            Step { when: at(OpCode::DELETE), what: Action::RefuseWrites(None) },
        ]);
        let nodes = srvr(server.address()).node_count;
        let measured = measure(server.address(), READS);
        let error = measured.result.as_ref().unwrap_err();
        assert!(error.to_string().contains("NoAuth"), "{number}: {error}");
        assert_eq!(srvr(server.address()).node_count, nodes, "{number}: {error}");
    }
}
