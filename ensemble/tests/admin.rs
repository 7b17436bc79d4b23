//! The AdminServer of the embedded member.

mod raw;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use quorumeter_ensemble::{Running, embedded, null};
use raw::Raw;
use serde_json::{Value, json};

fn start() -> (Running, SocketAddr) {
    let server = embedded::start(embedded::Options::default()).expect("a server");
    let admin = server.admin().expect("an AdminServer");
    assert!(admin.ip().is_loopback());
    (server, admin)
}

/// Everything that comes back for these bytes.
fn exchange(admin: SocketAddr, pieces: &[&str]) -> String {
    let mut stream = TcpStream::connect(admin).expect("a connection");
    stream.set_read_timeout(Some(raw::PATIENCE)).expect("a timeout");
    for piece in pieces {
        stream.write_all(piece.as_bytes()).expect("a request");
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// The answer to a command.
fn command(admin: SocketAddr, name: &str) -> Value {
    let answer = exchange(admin, &[&format!("GET /commands/{name} HTTP/1.1\r\nHost: x\r\n\r\n")]);
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    serde_json::from_str(body).expect("JSON")
}

#[test]
fn commands_are_answered_as_upstream_does_standalone() {
    let (_server, admin) = start();
    // 3.9.4's own answers.
    for (name, expected) in [
        ("ruok", json!({"command": "ruok", "error": null})),
        ("leader", json!({"error": "server is not initialized", "command": "leader"})),
        ("lead", json!({"error": "server is not initialized", "command": "leader"})),
        ("zabstate", json!({"voting": false, "zabstate": "", "command": "zabstate", "error": null})),
        ("voting_view", json!({"current_config": {}, "command": "voting_view", "error": null})),
        ("nosuch", json!({"command": "nosuch", "error": "Unknown command: nosuch"})),
        ("RUOK?x=y", json!({"command": "RUOK", "error": "Unknown command: RUOK"})),
    ] {
        assert_eq!(command(admin, name), expected, "{name}");
    }
}

#[test]
fn monitor_tells_what_mntr_tells() {
    let (server, admin) = start();
    let mut raw = Raw::connect(server.address());
    raw.create("/a", b"12345", 1);
    raw.get("/a", true);
    for name in ["monitor", "mntr"] {
        let monitor = command(admin, name);
        for (key, value) in [
            ("server_state", json!("standalone")),
            ("znode_count", json!(6)),
            ("ephemerals_count", json!(1)),
            ("watch_count", json!(1)),
            ("num_alive_connections", json!(1)),
            ("packets_received", json!(3)),
            ("command", json!("monitor")),
            ("error", json!(null)),
        ] {
            assert_eq!(monitor[key], value, "{key}");
        }
        assert!(monitor["avg_latency"].is_f64(), "{monitor}");
        assert!(monitor["version"].as_str().unwrap().starts_with("3.9.4-"));
    }
}

#[test]
fn requests_of_every_kind_have_an_answer() {
    let (server, admin) = start();
    let head = exchange(admin, &["HEAD /commands/ruok HTTP/1.0\r\n\r\n"]);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    let pieces = ["GET /comm", "ands HTTP/1.1\r\nHo", "st: x\r\n", "\r\n"];
    assert!(exchange(admin, &pieces).contains("<a href=\"/commands/zabstate\">zabstate</a>"));
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(8_000));
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("GET /commandsx HTTP/1.1\r\n\r\n", "404"),
        (&long, "404"),
        ("POST /commands/ruok HTTP/1.1\r\n\r\n", "405"),
        ("ruok\r\n\r\n", "400"),
        ("\0\0\0\u{1}", "400"),
    ] {
        let answer = exchange(admin, &[request]);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
    }
    assert_eq!(Raw::connect(server.address()).create("/a", b"", 0).header.err.0, 0);
}

#[test]
fn a_null_server_has_none() {
    assert_eq!(null::start(&null::Options::default()).unwrap().admin(), None);
}
