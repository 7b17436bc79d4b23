//! What the Java client never sends. These requests are this crate's own, the replies are the server's.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use quorumeter_zk::OpCode;
use quorumeter_zk::acl::Acl;
use quorumeter_zk::connect::{ConnectRequest, PASSWORD_LEN};
use quorumeter_zk::frame;
use quorumeter_zk::jute::List;
use quorumeter_zk::multi::MultiOp;
use quorumeter_zk::op::xid;
use quorumeter_zk::request::{Create, Request, SetWatches, VersionedPath, create_mode};

use crate::Result;
use crate::recorder::Recorder;

const HELLO: ConnectRequest<'static> = ConnectRequest {
    protocol_version: 0,
    last_zxid_seen: 0,
    timeout_ms: 10_000,
    session_id: 0,
    password: Some(&[0; PASSWORD_LEN]),
    read_only: Some(false),
};

pub(crate) fn standalone(recorder: &Recorder) -> Result<()> {
    recorder.step("by-hand-without-flag", "By hand: a handshake as before 3.4, without the read-only flag.");
    exchange(recorder, ConnectRequest { read_only: None, ..HELLO }, &closing(&[]))?;

    recorder.step("by-hand-null-password", "By hand: a handshake whose password is null.");
    exchange(recorder, ConnectRequest { password: None, ..HELLO }, &closing(&[]))?;

    recorder.step("by-hand-multi", "By hand: a multi without any op, and create2 in a multi.");
    let acl = [Acl::OPEN];
    let create = Create {
        path: "/golden-by-hand".into(),
        data: None,
        acl: List::from(&acl[..]),
        flags: create_mode::PERSISTENT,
    };
    let delete = VersionedPath { path: "/golden-by-hand".into(), version: 0 };
    let ops = [MultiOp::Create2(create), MultiOp::Delete(delete)];
    let multis = [(1, Request::Multi(List::default())), (2, Request::Multi(List::from(&ops[..])))];
    exchange(recorder, HELLO, &closing(&multis))?;

    recorder.step(
        "by-hand-set-watches",
        "By hand: setWatches with its own xid; watches of the past fire at once.",
    );
    let (changed, missing) = (["/golden".into()], ["/missing".into()]);
    let watches = SetWatches {
        relative_zxid: 1,
        data: List::from(&changed[..]),
        exist: List::from(&changed[..]),
        child: List::from(&missing[..]),
        persistent: List::default(),
        persistent_recursive: List::default(),
    };
    exchange(recorder, HELLO, &closing(&[(xid::SET_WATCHES, Request::SetWatches(watches))]))?;

    recorder.step("by-hand-unknown-op", "By hand: an op that the server does not know: -6, then the end.");
    let mut unknown = Vec::new();
    let mark = frame::begin_request(&mut unknown, 1, OpCode(999));
    frame::end(&mut unknown, mark);
    exchange(recorder, HELLO, &unknown)
}

pub(crate) fn refused_by_read_only(recorder: &Recorder) -> Result<()> {
    recorder.step(
        "by-hand-refused-read-only",
        "By hand: a read-only member opens local sessions only. Its answer has a reply's header, and -119.",
    );
    exchange(recorder, ConnectRequest { read_only: Some(true), ..HELLO }, &[])
}

/// The frames of these requests, and of a closeSession.
fn closing(requests: &[(i32, Request<'_>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (xid, request) in requests {
        request.encode_frame(&mut out, *xid);
    }
    Request::CloseSession.encode_frame(&mut out, 100);
    out
}

/// Sends everything at once, and reads until the server closes the connection.
fn exchange(recorder: &Recorder, hello: ConnectRequest<'_>, frames: &[u8]) -> Result<()> {
    let mut out = Vec::new();
    hello.encode_frame(&mut out);
    out.extend_from_slice(frames);
    let mut stream = TcpStream::connect(recorder.address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(&out)?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(())
}
