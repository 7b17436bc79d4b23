//! The embedded member, seen through a socket.

mod raw;

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use quorumeter_ensemble::{Running, embedded};
use quorumeter_zk::connect::{ConnectResponse, PASSWORD_LEN};
use quorumeter_zk::four_letter::Mntr;
use quorumeter_zk::reply::Reply;
use quorumeter_zk::request::{
    Create, Request, SetWatches, VersionedPath, WatchedPath, create_mode, watch_mode,
};
use quorumeter_zk::{Acl, ErrorCode, OpCode, acl};
use raw::{Event, Raw, create, word};

fn start() -> Running {
    embedded::start(embedded::Options::default()).expect("a server")
}

/// A member whose sessions live 500 ms to 5 s, and expire at ticks of 250 ms.
fn start_with_short_ticks() -> Running {
    let options = embedded::Options { tick_time_ms: 250, ..embedded::Options::default() };
    embedded::start(options).expect("a server")
}

/// Pings until so many events have come.
fn next_events(raw: &mut Raw, count: usize) -> Vec<Event> {
    let begin = Instant::now();
    let mut events = Vec::new();
    while events.len() < count {
        events.extend(raw.events());
        assert!(begin.elapsed() < raw::PATIENCE, "{events:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    events
}

fn event(kind: i32, path: &str, zxid: i64) -> Event {
    Event { kind, path: path.to_owned(), zxid }
}

const CREATED: i32 = 1;
const DELETED: i32 = 2;
const CHANGED: i32 = 3;
const CHILDREN: i32 = 4;

fn watch(path: &str) -> WatchedPath<'_> {
    WatchedPath { path: path.into(), watch: true }
}

#[test]
fn a_session_is_granted_and_used() {
    let server = start();
    let mut raw = Raw::connect_for(server.address(), 1);
    assert_eq!(raw.timeout_ms, 4_000, "two ticks");
    assert_eq!(raw.session_id as u64 >> 56, 1, "the member's number");
    assert_eq!(Raw::connect_for(server.address(), i32::MAX).timeout_ms, 40_000, "twenty ticks");
    // Two createSessions came before.
    let answer = raw.create("/a", b"x", 0);
    assert_eq!((answer.header.zxid, answer.reply(OpCode::CREATE)), (3, Reply::Path { path: "/a".into() }));
    let answer = raw.get("/a", false);
    let Reply::Data { data, stat } = answer.reply(OpCode::GET_DATA) else { panic!() };
    assert_eq!((data, stat.czxid, answer.header.zxid), (Some(&b"x"[..]), 3, 3));
    assert_eq!(raw.set("/none", b"").header.zxid, 4, "a write that fails has a zxid");
    assert_eq!(raw.get("/none", false).header.zxid, 4, "a read has none of its own");
    assert_eq!(
        raw.call(&Request::Sync { path: "/a".into() }).reply(OpCode::SYNC),
        Reply::Path { path: "/a".into() }
    );
    let answer = raw.call(&Request::CloseSession);
    assert_eq!((answer.header.err, answer.header.zxid), (ErrorCode::OK, 5));
    assert!(raw.is_closed());
}

#[test]
fn requests_are_answered_in_order_and_in_batches() {
    let server = start();
    let mut raw = Raw::connect(server.address());
    let mut out = Vec::new();
    for n in 0..1_000 {
        let path = format!("/{n}");
        create(&path, b"", 0).encode_frame(&mut out, n + 1);
        Request::Exists(WatchedPath { path: path.as_str().into(), watch: false })
            .encode_frame(&mut out, n + 1);
    }
    // In pieces that do not care for frames.
    for piece in out.chunks(777) {
        raw.stream.write_all(piece).unwrap();
    }
    for n in 0..1_000 {
        for _ in 0..2 {
            let answer = raw.answer().unwrap().unwrap();
            assert_eq!(
                (answer.header.xid, answer.header.err, answer.header.zxid),
                (n + 1, ErrorCode::OK, i64::from(n) + 2)
            );
        }
    }
}

#[test]
fn a_session_goes_on_at_another_connection() {
    let server = start();
    let mut first = Raw::connect(server.address());
    first.create("/e", b"", create_mode::EPHEMERAL);
    first.get("/e", true);
    let mut second = Raw::open(server.address()).unwrap();
    assert!(second.handshake(5_000, 0, first.session_id, &first.password).unwrap());
    assert_eq!(
        (second.session_id, second.password, second.timeout_ms),
        (first.session_id, first.password, 5_000)
    );
    assert!(first.is_closed(), "the old connection is closed");
    second.set("/e", b"");
    assert_eq!(second.events(), [], "its watches are gone");
    // A wrong password closes the connection that there is, as upstream does, and is told that the session
    // expired.
    let mut thief = Raw::open(server.address()).unwrap();
    assert!(thief.handshake(5_000, 0, second.session_id, &[1; PASSWORD_LEN]).unwrap());
    assert_eq!((thief.session_id, thief.timeout_ms, thief.password), (0, 0, [0; PASSWORD_LEN]));
    assert!(thief.is_closed());
    assert!(second.is_closed());
    assert!(second.reconnect(server.address()).unwrap());
    assert_eq!(second.get("/e", false).header.err, ErrorCode::OK, "the session lives");
}

#[test]
fn a_client_that_knows_more_is_refused() {
    let server = start();
    let mut raw = Raw::open(server.address()).unwrap();
    assert!(!raw.handshake(5_000, 1, 0, &[0; PASSWORD_LEN]).unwrap(), "closed without an answer");
}

#[test]
fn the_read_only_flag_is_sent_to_those_who_sent_one() {
    let server = start();
    for (flag, len) in [(None, 36), (Some(false), 37), (Some(true), 37)] {
        let mut raw = Raw::open(server.address()).unwrap();
        let mut out = Vec::new();
        quorumeter_zk::connect::ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: 0,
            timeout_ms: 4_000,
            session_id: 0,
            password: None,
            read_only: flag,
        }
        .encode_frame(&mut out);
        raw.stream.write_all(&out).unwrap();
        let body = raw.frame().unwrap().unwrap();
        assert_eq!(body.len(), len);
        assert_eq!(ConnectResponse::decode(&body).unwrap().read_only, flag.map(|_| false));
    }
}

#[test]
fn a_silent_session_expires_and_takes_its_ephemerals_along() {
    let server = start_with_short_ticks();
    let mut watcher = Raw::connect_for(server.address(), i32::MAX);
    watcher.call(&Request::AddWatch { path: "/e".into(), mode: watch_mode::PERSISTENT });
    let mut silent = Raw::connect_for(server.address(), 500);
    // The server hears of it for the last time between here and the answer.
    let begin = Instant::now();
    silent.create("/e", b"", create_mode::EPHEMERAL);
    assert_eq!(next_events(&mut watcher, 2), [event(CREATED, "/e", 3), event(DELETED, "/e", 4)]);
    // Never before its timeout.
    assert!(begin.elapsed() >= Duration::from_millis(500), "{:?}", begin.elapsed());
    assert!(silent.is_closed());
    silent.reconnect(server.address()).unwrap();
    assert_eq!(silent.session_id, 0, "it has expired");
    assert_eq!(Mntr::parse(&word(server.address(), "mntr")).unwrap().number("global_sessions"), Some(1.0));
}

#[test]
fn a_session_without_a_connection_lives_until_its_timeout() {
    // Its own timeout is so long that no busy machine reaches it.
    let server = start();
    let mut owner = Raw::connect(server.address());
    owner.create("/e", b"", create_mode::EPHEMERAL);
    owner.stream.shutdown(Shutdown::Both).unwrap();
    let mut other = Raw::connect(server.address());
    assert_eq!(other.get("/e", false).header.err, ErrorCode::OK);
    assert!(owner.reconnect(server.address()).unwrap());
    assert_ne!(owner.session_id, 0);

    // One that is short ends without a connection as with one, and not before.
    let server = start_with_short_ticks();
    let mut watcher = Raw::connect_for(server.address(), i32::MAX);
    watcher.call(&Request::AddWatch { path: "/e".into(), mode: watch_mode::PERSISTENT });
    let mut owner = Raw::connect_for(server.address(), 500);
    let begin = Instant::now();
    owner.create("/e", b"", create_mode::EPHEMERAL);
    owner.stream.shutdown(Shutdown::Both).unwrap();
    assert_eq!(next_events(&mut watcher, 2), [event(CREATED, "/e", 3), event(DELETED, "/e", 4)]);
    assert!(begin.elapsed() >= Duration::from_millis(500), "{:?}", begin.elapsed());
    assert!(owner.reconnect(server.address()).unwrap());
    assert_eq!(owner.session_id, 0);
}

#[test]
fn events_come_before_the_reply_that_could_show_the_change() {
    let server = start();
    let (mut watcher, mut writer) = (Raw::connect(server.address()), Raw::connect(server.address()));
    writer.create("/a", b"", 0);
    watcher.get("/a", true);
    watcher.call(&Request::GetChildren(watch("/a")));
    watcher.call(&Request::Exists(watch("/a/b")));
    let zxid = writer.create("/a/b", b"", 0).header.zxid;
    assert_eq!(watcher.get("/a", true).events, [event(CREATED, "/a/b", zxid), event(CHILDREN, "/a", zxid)]);
    let zxid = writer.set("/a", b"").header.zxid;
    let zxid_of_second = writer.set("/a", b"").header.zxid;
    assert_eq!(watcher.get("/a", false).events, [event(CHANGED, "/a", zxid)], "one-shot");
    assert!(zxid_of_second > zxid);
    // A session's own events come before the reply to its own write.
    watcher.get("/a/b", true);
    let answer = watcher.delete("/a/b");
    assert_eq!(answer.events, [event(DELETED, "/a/b", answer.header.zxid)]);
}

#[test]
fn an_idle_watcher_is_told_at_once() {
    let server = start();
    let (mut watcher, mut writer) = (Raw::connect(server.address()), Raw::connect(server.address()));
    let persistent = Request::AddWatch { path: "/".into(), mode: watch_mode::PERSISTENT_RECURSIVE };
    assert_eq!(watcher.call(&persistent).reply(OpCode::ADD_WATCH), Reply::AddWatch(0));
    for n in 0..100 {
        writer.create(&format!("/{n}"), b"", 0);
        // It asks for nothing.
        let body = watcher.frame().unwrap().unwrap();
        assert!(body.starts_with(&[255, 255, 255, 255]));
    }
}

#[test]
fn persistent_watches_stay_until_they_are_removed() {
    let server = start();
    let (mut watcher, mut writer) = (Raw::connect(server.address()), Raw::connect(server.address()));
    for (path, mode) in [("/p", watch_mode::PERSISTENT), ("/r", watch_mode::PERSISTENT_RECURSIVE)] {
        watcher.call(&Request::AddWatch { path: path.into(), mode });
    }
    for path in ["/p", "/p/x", "/p/x/y", "/r", "/r/x", "/r/x/y"] {
        writer.create(path, b"", 0);
    }
    writer.set("/p", b"");
    writer.set("/r/x/y", b"");
    let kinds = |events: Vec<Event>| events.into_iter().map(|e| (e.kind, e.path)).collect::<Vec<_>>();
    let expected = [
        (CREATED, "/p"),
        (CHILDREN, "/p"),
        (CREATED, "/r"),
        (CREATED, "/r/x"),
        (CREATED, "/r/x/y"),
        (CHANGED, "/p"),
        (CHANGED, "/r/x/y"),
    ];
    assert_eq!(kinds(watcher.events()), expected.map(|(kind, path)| (kind, path.to_owned())));
    let remove = |path: &'static str, kind| Request::RemoveWatches { path: path.into(), kind };
    assert_eq!(watcher.code(&remove("/p", 3)), ErrorCode::OK);
    assert_eq!(watcher.code(&remove("/p", 3)), ErrorCode::NO_WATCHER);
    assert_eq!(watcher.code(&Request::CheckWatches { path: "/r".into(), kind: 5 }), ErrorCode::OK);
    assert_eq!(watcher.code(&Request::CheckWatches { path: "/r".into(), kind: 4 }), ErrorCode::NO_WATCHER);
    writer.set("/p", b"");
    assert_eq!(watcher.events(), []);
    assert_eq!(word(server.address(), "wchs"), "1 connections watching 1 paths\nTotal watches:1\n");
}

#[test]
fn watches_set_again_fire_for_what_was_missed() {
    let server = start();
    let (mut watcher, mut writer) = (Raw::connect(server.address()), Raw::connect(server.address()));
    writer.create("/a", b"", 0);
    watcher.get("/a", false);
    let seen = watcher.last_zxid;
    assert!(watcher.reconnect(server.address()).unwrap());
    writer.set("/a", b"");
    let paths = ["/a".into()];
    let watches = SetWatches {
        relative_zxid: seen,
        data: (&paths[..]).into(),
        exist: Default::default(),
        child: (&paths[..]).into(),
        persistent: Default::default(),
        persistent_recursive: Default::default(),
    };
    let answer = watcher.call(&Request::SetWatches(watches));
    assert_eq!(answer.events, [event(CHANGED, "/a", -1)], "without a zxid, as upstream does");
    let zxid = writer.create("/a/b", b"", 0).header.zxid;
    assert_eq!(watcher.events(), [event(CHILDREN, "/a", zxid)]);
}

#[test]
fn who_may_not_read_gets_no_event() {
    let server = start();
    let (mut watcher, mut writer) = (Raw::connect(server.address()), Raw::connect(server.address()));
    let auth = Request::Auth { kind: 0, scheme: "digest".into(), auth: Some(b"u:p") };
    assert_eq!(writer.call(&auth).header.zxid, 0);
    writer.create("/a", b"", 0);
    watcher.get("/a", true);
    watcher.call(&Request::GetChildren(watch("/")));
    let private = [Acl::CREATOR];
    let request = Request::SetAcl { path: "/a".into(), acl: (&private[..]).into(), version: -1 };
    assert_eq!(writer.code(&request), ErrorCode::OK);
    assert_eq!(watcher.get("/a", false).header.err, ErrorCode::NO_AUTH);
    writer.set("/a", b"");
    let zxid = writer.delete("/a").header.zxid;
    assert_eq!(watcher.events(), [event(CHILDREN, "/", zxid)], "the parent may be read");
}

#[test]
fn what_is_not_served_is_refused_as_upstream_does() {
    let server = start();
    let version = VersionedPath { path: "/".into(), version: -1 };
    for (request, code, closes) in [
        (Request::Check(version), ErrorCode::UNIMPLEMENTED, true),
        (Request::Auth { kind: 0, scheme: "kerberos".into(), auth: None }, ErrorCode::AUTH_FAILED, true),
        (Request::Sasl { token: Some(b"") }, ErrorCode::OK, false),
        (
            Request::Reconfig { joining: None, leaving: None, new_members: None, config_id: -1 },
            ErrorCode::RECONFIG_DISABLED,
            false,
        ),
        (Request::AddWatch { path: "/".into(), mode: 2 }, ErrorCode::MARSHALLING_ERROR, false),
        (Request::RemoveWatches { path: "/".into(), kind: 0 }, ErrorCode::MARSHALLING_ERROR, false),
        (Request::KeeperRemoveRecursive { path: "/".into(), limit: 1 }, ErrorCode::UNIMPLEMENTED, true),
    ] {
        let mut raw = Raw::connect(server.address());
        assert_eq!(raw.code(&request), code, "{request:?}");
        if closes {
            assert!(raw.is_closed(), "{request:?}");
        } else {
            assert_eq!(raw.code(&Request::Ping), ErrorCode::OK, "{request:?}");
        }
    }
    let mut raw = Raw::connect(server.address());
    raw.send_record(7, OpCode::SET_DATA, &[0, 0, 0, 9]).unwrap();
    assert_eq!(raw.answer().unwrap().unwrap().header.err, ErrorCode::MARSHALLING_ERROR);
    raw.send_record(7, OpCode(4711), &[]).unwrap();
    let answer = raw.answer().unwrap().unwrap();
    assert_eq!((answer.header.err, answer.header.zxid), (ErrorCode::UNIMPLEMENTED, -1));
}

#[test]
fn containers_and_ttl_nodes_are_cleaned_up() {
    let options = embedded::Options { container_check_interval_ms: 10, ..embedded::Options::default() };
    let server = embedded::start(options).unwrap();
    let mut raw = Raw::connect(server.address());
    let open = [Acl::OPEN];
    let create =
        |path: &'static str, flags| Create { path: path.into(), data: None, acl: (&open[..]).into(), flags };
    assert_eq!(raw.code(&Request::CreateContainer(create("/c", create_mode::CONTAINER))), ErrorCode::OK);
    let ttl = Request::CreateTtl { create: create("/t", create_mode::PERSISTENT_WITH_TTL), ttl_ms: 1 };
    assert_eq!(raw.code(&ttl), ErrorCode::OK);
    raw.create("/c/child", b"", 0);
    raw.call(&Request::Exists(watch("/c")));
    raw.delete("/c/child");
    let begin = Instant::now();
    for path in ["/c", "/t"] {
        while raw.get(path, false).header.err != ErrorCode::NO_NODE {
            assert!(begin.elapsed() < raw::PATIENCE, "{path} is still there");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[test]
fn the_super_user_may_do_everything() {
    let super_digest = Some(acl::digest_id("super:test"));
    let server = embedded::start(embedded::Options { super_digest, ..embedded::Options::default() }).unwrap();
    let mut raw = Raw::connect(server.address());
    assert_eq!(raw.set("/zookeeper/config", b"x").header.err, ErrorCode::NO_AUTH);
    raw.call(&Request::Auth { kind: 0, scheme: "digest".into(), auth: Some(b"super:test") });
    assert_eq!(raw.set("/zookeeper/config", b"x").header.err, ErrorCode::OK);
    let answer = raw.call(&Request::WhoAmI);
    let Reply::Clients(clients) = answer.reply(OpCode::WHO_AM_I) else { panic!() };
    let mut clients: Vec<_> = clients.iter().map(|c| (c.scheme.into_owned(), c.user.into_owned())).collect();
    clients.sort();
    let expected = [("digest", "super"), ("ip", "127.0.0.1"), ("super", "")];
    assert_eq!(clients, expected.map(|(scheme, user)| (scheme.to_owned(), user.to_owned())));
}
