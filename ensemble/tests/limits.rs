//! What clients of the embedded member may not do.

mod raw;

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use quorumeter_ensemble::{Running, embedded};
use quorumeter_zk::four_letter::Srvr;
use quorumeter_zk::multi::MultiOp;
use quorumeter_zk::reply::Reply;
use quorumeter_zk::request::{Request, WatchedPath, create_mode, watch_mode};
use quorumeter_zk::{ErrorCode, OpCode, frame};
use raw::{Raw, create, word};

fn start() -> Running {
    embedded::start(embedded::Options::default()).expect("a server")
}

/// A member with a setting.
fn start_with(key: &str, value: &str) -> Running {
    let mut options = embedded::Options::default();
    options.set(key, value).expect("a setting");
    embedded::start(options).expect("a server")
}

fn watch(path: &str) -> WatchedPath<'_> {
    WatchedPath { path: path.into(), watch: true }
}

#[test]
fn garbage_hurts_nobody() {
    let server = start();
    let mut good = Raw::connect(server.address());
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xff; 100],
        &[0; 4],
        &[0, 0, 0, 3, 1, 2, 3],
        &[0, 0x10, 0, 0],
        &[0, 0, 0, 44, 9],
    ] {
        let mut raw = Raw::open(server.address()).unwrap();
        raw.stream.write_all(garbage).unwrap();
        raw.stream.shutdown(Shutdown::Write).unwrap();
        assert!(raw.is_closed(), "{garbage:?}");
        assert_eq!(good.code(&Request::Ping), ErrorCode::OK);
    }
    let mut raw = Raw::connect(server.address());
    raw.stream.write_all(&[0, 0, 0, 2, 1, 2]).unwrap();
    assert!(raw.is_closed(), "a request without a header");
}

#[test]
fn a_frame_beyond_the_limit_closes_the_connection() {
    let server = start();
    let mut raw = Raw::connect(server.address());
    let fits = vec![7; frame::DEFAULT_MAX_FRAME - 100];
    assert_eq!(raw.create("/a", &fits, 0).header.err, ErrorCode::OK);
    assert_eq!(raw.get("/a", false).reply(OpCode::GET_DATA), raw.get("/a", false).reply(OpCode::GET_DATA));
    let too_long = vec![7; frame::DEFAULT_MAX_FRAME];
    let mut out = Vec::new();
    create("/b", &too_long, 0).encode_frame(&mut out, 9);
    // The server stops reading in the middle.
    let _ = raw.stream.write_all(&out);
    assert!(raw.is_closed());
}

#[test]
fn a_reply_beyond_its_bound_closes_the_connection_and_hurts_nobody_else() {
    let server = start();
    let mut good = Raw::connect(server.address());
    good.create("/big", &vec![7; 1_000_000], 0);
    let ops = vec![MultiOp::GetData { path: "/big".into(), watch: false }; 2_500];
    let mut greedy = Raw::connect(server.address());
    let answer = greedy.call(&Request::MultiRead((&ops[..60]).into()));
    let Reply::Multi(results) = answer.reply(OpCode::MULTI_READ) else { panic!() };
    assert_eq!(results.len(), 60);
    // 45 kB that ask for 2.5 GB.
    greedy.send(&Request::MultiRead((&ops[..]).into()));
    assert!(greedy.is_closed());
    assert_eq!(good.get("/big", false).header.err, ErrorCode::OK);
}

#[test]
fn lists_of_names_have_the_same_bound() {
    let server = start();
    let mut raw = Raw::connect(server.address());
    let name = "n".repeat(1_000_000);
    raw.create("/p", b"", 0);
    for n in 0..70 {
        raw.create(&format!("/p/{name}{n}"), b"", create_mode::EPHEMERAL);
    }
    let path = || "/p".into();
    let ops = [MultiOp::GetChildren { path: path(), watch: false }];
    for request in [
        Request::GetChildren(watch("/p")),
        Request::GetChildren2(watch("/p")),
        Request::GetEphemerals { prefix: path() },
        Request::MultiRead((&ops[..]).into()),
    ] {
        raw.send(&request);
        assert!(raw.is_closed(), "{request:?}");
        assert!(raw.reconnect(server.address()).unwrap());
        assert_eq!(raw.get("/p", false).header.err, ErrorCode::OK);
    }
}

#[test]
fn a_client_that_does_not_read_hurts_only_itself() {
    let server = start();
    let mut good = Raw::connect(server.address());
    let value = vec![7; 500_000];
    good.create("/big", &value, 0);
    let mut deaf = Raw::connect(server.address());
    // Whether a slow server or a full one stops it, what it must not do is take everything.
    deaf.stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut out = Vec::new();
    Request::GetData(WatchedPath { path: "/big".into(), watch: false }).encode_frame(&mut out, 1);
    let request_len = out.len();
    // Far more than the kernel keeps; the server reads no more requests than it can answer.
    let (mut sent, limit) = (0, 100 << 20);
    let many = out.repeat(10_000);
    while sent < limit {
        match deaf.stream.write(&many[sent % request_len..]) {
            Ok(n) => sent += n,
            Err(_) => break,
        }
    }
    assert!(sent < limit, "it must not read everything");
    assert_eq!(good.get("/big", false).header.err, ErrorCode::OK);
    // When it reads again, every request that arrived whole is answered.
    deaf.stream.set_read_timeout(Some(raw::PATIENCE)).unwrap();
    for _ in 0..20 {
        assert_eq!(deaf.answer().unwrap().unwrap().header.err, ErrorCode::OK);
    }
}

#[test]
fn a_watcher_that_does_not_read_is_closed_at_the_hard_limit() {
    let server = start();
    let (mut deaf, mut writer) = (Raw::connect(server.address()), Raw::connect(server.address()));
    deaf.call(&Request::AddWatch { path: "/".into(), mode: watch_mode::PERSISTENT_RECURSIVE });
    // Long paths make long events: 40 MB of them.
    let name = "n".repeat(100_000);
    let path = format!("/{name}");
    writer.create(&path, b"", 0);
    for _ in 0..450 {
        assert_eq!(writer.set(&path, b"").header.err, ErrorCode::OK);
    }
    let connections = |server: &Running| Srvr::parse(&word(server.address(), "srvr")).unwrap().connections;
    let begin = Instant::now();
    // The word's own connection is one of them.
    while connections(&server) != 2 {
        assert!(begin.elapsed() < raw::PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_request_may_be_as_long_as_the_setting_says() {
    let long = vec![7; 1_500_000];
    for (limit, is_taken) in [("1048575", false), ("2000000", true), ("2000", false)] {
        let server = start_with("jute.maxbuffer", limit);
        let mut raw = Raw::connect(server.address());
        assert_eq!(raw.create("/short", &[7; 1_000], 0).header.err, ErrorCode::OK);
        let mut out = Vec::new();
        create("/long", &long, 0).encode_frame(&mut out, 9);
        // The server stops reading in the middle.
        let _ = raw.stream.write_all(&out);
        assert_eq!(raw.answer().unwrap_or_default().is_some(), is_taken, "{limit}");
    }
}

#[test]
fn an_address_has_as_many_connections_as_the_setting_says() {
    let server = start_with("maxClientCnxns", "2");
    let (first, mut second) = (Raw::connect(server.address()), Raw::connect(server.address()));
    let is_refused = || {
        let mut third = Raw::open(server.address()).unwrap();
        // Writing to a closed connection may be what fails.
        !third.handshake(5_000, 0, 0, &[0; 16]).unwrap_or(false)
    };
    assert!(is_refused());
    assert_eq!(second.code(&Request::Ping), ErrorCode::OK);
    drop(first);
    let begin = Instant::now();
    while is_refused() {
        assert!(begin.elapsed() < raw::PATIENCE, "the place of the first is free");
    }
    let unlimited = start();
    let many: Vec<Raw> = (0..100).map(|_| Raw::connect(unlimited.address())).collect();
    drop(many);
}

#[test]
fn session_timeouts_are_what_the_settings_say() {
    for (key, value, granted) in [
        ("tickTime", "1000", [2_000, 20_000]),
        ("minSessionTimeout", "100", [100, 40_000]),
        ("maxSessionTimeout", "60000", [4_000, 60_000]),
        // Upstream refuses to start with less than the least; here the greatest wins.
        ("maxSessionTimeout", "3000", [3_000, 3_000]),
    ] {
        let server = start_with(key, value);
        let timeouts = [1, i32::MAX].map(|asked| Raw::connect_for(server.address(), asked).timeout_ms);
        assert_eq!(timeouts, granted, "{key}={value}");
    }
}

#[test]
fn the_super_user_is_who_the_setting_says() {
    let server = start_with("superDigest", &quorumeter_zk::acl::digest_id("super:test"));
    for (secret, code) in [("super:wrong", ErrorCode::NO_AUTH), ("super:test", ErrorCode::OK)] {
        let mut raw = Raw::connect(server.address());
        raw.call(&Request::Auth { kind: 0, scheme: "digest".into(), auth: Some(secret.as_bytes()) });
        assert_eq!(raw.set("/zookeeper/config", b"x").header.err, code, "{secret}");
    }
}
