//! The null server: replies of the right shape to everything.

mod raw;

use std::time::{Duration, Instant};

use quorumeter_ensemble::null;
use quorumeter_zk::four_letter::{Mntr, Srvr};
use quorumeter_zk::multi::{MultiOp, MultiResult};
use quorumeter_zk::reply::Reply;
use quorumeter_zk::request::{Create, Request, SetWatches, VersionedPath, WatchedPath};
use quorumeter_zk::{Acl, ErrorCode, OpCode};
use raw::{Raw, word};

#[test]
fn every_request_gets_a_reply_of_its_shape() {
    let server = null::start(&null::Options { value_len: 10, ..null::Options::default() }).unwrap();
    let mut raw = Raw::connect(server.address());
    let acl = [Acl::OPEN];
    let create = || Create { path: "/a".into(), data: Some(b"x"), acl: (&acl[..]).into(), flags: 0 };
    let watched = || WatchedPath { path: "/a".into(), watch: true };
    let versioned = || VersionedPath { path: "/a".into(), version: -1 };
    let set_watches = || SetWatches {
        relative_zxid: 0,
        data: Default::default(),
        exist: Default::default(),
        child: Default::default(),
        persistent: Default::default(),
        persistent_recursive: Default::default(),
    };
    let ops = [
        MultiOp::Create(create()),
        MultiOp::Create2(create()),
        MultiOp::CreateTtl { create: create(), ttl_ms: 1 },
        MultiOp::SetData { path: "/a".into(), data: None, version: -1 },
        MultiOp::Check(versioned()),
        MultiOp::Delete(versioned()),
    ];
    let reads = [MultiOp::GetData { path: "/a".into(), watch: false }];
    let path = || "/a".into();
    for request in [
        Request::Create(create()),
        Request::Create2(create()),
        Request::CreateContainer(create()),
        Request::CreateTtl { create: create(), ttl_ms: 1 },
        Request::Delete(versioned()),
        Request::Exists(watched()),
        Request::GetData(watched()),
        Request::SetData { path: path(), data: Some(b"x"), version: -1 },
        Request::GetAcl { path: path() },
        Request::SetAcl { path: path(), acl: (&acl[..]).into(), version: -1 },
        Request::GetChildren(watched()),
        Request::GetChildren2(watched()),
        Request::Sync { path: path() },
        Request::Ping,
        Request::Multi((&ops[..]).into()),
        Request::MultiRead((&reads[..]).into()),
        Request::CheckWatches { path: path(), kind: 3 },
        Request::RemoveWatches { path: path(), kind: 3 },
        Request::Auth { kind: 0, scheme: "digest".into(), auth: Some(b"u:p") },
        Request::SetWatches(set_watches()),
        Request::SetWatches2(set_watches()),
        Request::GetEphemerals { prefix: path() },
        Request::GetAllChildrenNumber { path: path() },
        Request::AddWatch { path: path(), mode: 0 },
        Request::WhoAmI,
    ] {
        let answer = raw.call(&request);
        assert_eq!(answer.header.err, ErrorCode::OK, "{request:?}");
        let reply = Reply::decode(request.op(), &answer.body);
        let reply = reply.unwrap_or_else(|e| panic!("{request:?}: {e}")).expect("a known op");
        match reply {
            Reply::Data { data, stat } => assert_eq!((data.unwrap().len(), stat.data_length), (10, 10)),
            Reply::Path { path } | Reply::PathAndStat { path, .. } => assert_eq!(path, "/a"),
            Reply::Multi(results) if request.op() == OpCode::MULTI => assert_eq!(results.len(), ops.len()),
            Reply::Multi(results) => {
                assert!(matches!(results.iter().next(), Some(MultiResult::GetData { .. })));
            }
            _ => {}
        }
    }
    let (first, second) = (raw.set("/a", b"").header.zxid, raw.set("/a", b"").header.zxid);
    assert_eq!(second, first + 1, "every write has a zxid of its own");
    assert_eq!(raw.code(&Request::CloseSession), ErrorCode::OK);
    assert!(raw.is_closed());
    assert!(Srvr::parse(&word(server.address(), "srvr")).is_ok());
    assert!(Mntr::parse(&word(server.address(), "mntr")).is_ok());
    let mut raw = Raw::connect(server.address());
    raw.send_record(1, OpCode(4711), &[]).unwrap();
    assert_eq!(raw.answer().unwrap().unwrap().header.err, ErrorCode::UNIMPLEMENTED);
    assert!(raw.is_closed());
}

#[test]
fn a_connection_that_is_silent_for_longer_than_its_timeout_is_closed() {
    let server = null::start(&null::Options::default()).unwrap();
    let mut good = Raw::connect(server.address());
    let begin = Instant::now();
    let mut silent = Raw::connect_for(server.address(), 50);
    assert_eq!(silent.timeout_ms, 50);
    assert!(silent.is_closed());
    assert!(begin.elapsed() >= Duration::from_millis(50), "{:?}", begin.elapsed());
    assert_eq!(good.code(&Request::Ping), ErrorCode::OK);
    assert_eq!(Raw::connect_for(server.address(), i32::MAX).timeout_ms, 40_000, "nobody is kept for ever");
}

#[test]
fn a_reply_has_a_bound() {
    let server = null::start(&null::Options { value_len: 1_000_000, ..null::Options::default() }).unwrap();
    let mut greedy = Raw::connect(server.address());
    let ops = vec![MultiOp::GetData { path: "/a".into(), watch: false }; 2_500];
    greedy.send(&Request::MultiRead((&ops[..60]).into()));
    assert!(greedy.answer().unwrap().is_some());
    greedy.send(&Request::MultiRead((&ops[..]).into()));
    assert!(greedy.is_closed());
    // A deep pipeline of large replies waits until they are read.
    let mut deep = Raw::connect(server.address());
    for _ in 0..200 {
        deep.send(&Request::GetData(WatchedPath { path: "/a".into(), watch: false }));
    }
    for _ in 0..200 {
        assert_eq!(deep.answer().unwrap().unwrap().header.err, ErrorCode::OK);
    }
}
