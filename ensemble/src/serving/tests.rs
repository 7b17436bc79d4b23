//! What clients may not do, with limits small enough to be reached.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::*;

/// Answers every frame with itself; the first one is the handshake. The frame `panic` is one too many, and one that
/// begins with `all` goes to all connections.
#[derive(Default)]
struct Echo {
    ids: Vec<WireId>,
}

impl Service for Echo {
    type State = ();

    fn accepted(&mut self, _: SocketAddr) {}

    fn opened(&mut self, _: &mut Wires<()>, id: WireId) {
        self.ids.push(id);
    }

    fn begin(&mut self, _: Instant) {}

    fn frame(&mut self, wires: &mut Wires<()>, id: WireId, body: &[u8]) {
        assert_ne!(body, b"panic", "this is what the test wants");
        if body.starts_with(b"all") {
            let mut out = Vec::new();
            frame::put(&mut out, body);
            let segment = wires.segment(&out);
            self.ids.iter().for_each(|id| wires.share(*id, &segment));
        } else if let Some(wire) = wires.get_mut(id) {
            wire.is_established = true;
            frame::put(&mut wire.out, body);
        }
    }

    fn word(&mut self, wires: &mut Wires<()>, id: WireId, word: &'static str) {
        let connections = wires.len();
        if let Some(wire) = wires.get_mut(id) {
            wire.out.extend_from_slice(format!("{word} {connections}").as_bytes());
        }
    }

    fn end(&mut self, _: &mut Wires<()>, _: WireId) {}

    fn closed(&mut self, _: WireId, (): ()) {}

    fn wake_at(&self) -> Option<Instant> {
        None
    }

    fn tick(&mut self, _: &mut Wires<()>, _: Instant) {}
}

fn echo(limits: Limits) -> Running {
    let addresses = Addresses { client: SocketAddr::from(([127, 0, 0, 1], 0)), admin: None };
    start("echo", addresses, limits, |_| Echo::default()).unwrap()
}

fn connect(server: &Running) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

fn send(stream: &mut TcpStream, body: &[u8]) {
    let mut out = Vec::new();
    frame::put(&mut out, body);
    stream.write_all(&out).unwrap();
}

fn receive(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; frame::PREFIX_LEN + len];
    stream.read_exact(&mut bytes).unwrap();
    bytes.split_off(frame::PREFIX_LEN)
}

fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(n) => n == 0,
        Err(e) => e.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn frames_are_answered_however_they_arrive() {
    let server = echo(Limits::default());
    let mut stream = connect(&server);
    for byte in [0, 0, 0, 3, b'a', b'b', b'c'] {
        stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(receive(&mut stream, 3), b"abc");
    // More than one read takes.
    let long: Vec<u8> = (0..READ_LEN * 3).map(|n| n as u8).collect();
    send(&mut stream, &long);
    send(&mut stream, b"");
    assert_eq!(receive(&mut stream, long.len()), long);
    assert_eq!(receive(&mut stream, 0), b"");
    // Behind the handshake a word is a length.
    stream.write_all(b"ruok").unwrap();
    assert!(is_closed(&mut stream));
}

#[test]
fn a_word_is_answered_and_the_connection_closed() {
    let server = echo(Limits::default());
    let mut stream = connect(&server);
    stream.write_all(b"st").unwrap();
    stream.write_all(b"at and more\n").unwrap();
    let mut answer = [0; 6];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"stat 1");
    assert!(is_closed(&mut stream));
}

#[test]
fn who_does_not_shake_hands_is_closed() {
    let server = echo(Limits { handshake: Duration::from_secs(1), ..Limits::default() });
    let (mut silent, mut slow, mut good) = (connect(&server), connect(&server), connect(&server));
    slow.write_all(&[0, 0, 0, 9, 1]).unwrap();
    send(&mut good, b"hello");
    assert_eq!(receive(&mut good, 5), b"hello");
    assert!(is_closed(&mut silent) && is_closed(&mut slow));
    send(&mut good, b"hello");
    assert_eq!(receive(&mut good, 5), b"hello");
}

#[test]
fn there_is_a_limit_to_connections_and_frames() {
    let server = echo(Limits { connections: 2, frame: 10, ..Limits::default() });
    let (mut first, mut second) = (connect(&server), connect(&server));
    for stream in [&mut first, &mut second] {
        send(stream, b"hello");
        receive(stream, 5);
    }
    let mut third = connect(&server);
    assert!(is_closed(&mut third));
    send(&mut first, &[7; 10]);
    assert_eq!(receive(&mut first, 10), [7; 10]);
    second.write_all(&[0, 0, 0, 11]).unwrap();
    assert!(is_closed(&mut second));
}

#[test]
fn unsent_output_stops_reading_until_it_has_drained() {
    let server = echo(Limits { unsent_soft: 1_000, ..Limits::default() });
    let mut stream = connect(&server);
    let mut writer = stream.try_clone().unwrap();
    let body = vec![7; 100_000];
    send(&mut stream, b"hello");
    receive(&mut stream, 5);
    // 40 MB: the kernel keeps less.
    let sending = std::thread::spawn(move || (0..400).for_each(|_| send(&mut writer, &body)));
    for _ in 0..400 {
        assert_eq!(receive(&mut stream, 100_000), [7; 100_000]);
    }
    sending.join().unwrap();
}

#[test]
fn a_server_ends_with_its_handle() {
    let server = echo(Limits::default());
    let mut stream = connect(&server);
    send(&mut stream, b"hello");
    receive(&mut stream, 5);
    let address = server.address();
    drop(server);
    assert!(is_closed(&mut stream));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn the_first_frame_is_short() {
    let server = echo(Limits { first_frame: 10, ..Limits::default() });
    let (mut first, mut second) = (connect(&server), connect(&server));
    send(&mut first, &[7; 10]);
    receive(&mut first, 10);
    send(&mut first, &[7; 100_000]);
    receive(&mut first, 100_000);
    second.write_all(&[0, 0, 0, 11]).unwrap();
    assert!(is_closed(&mut second));
}

#[test]
fn a_panic_ends_the_server() {
    let server = echo(Limits::default());
    let (mut other, mut last) = (connect(&server), connect(&server));
    send(&mut other, b"hello");
    receive(&mut other, 5);
    send(&mut last, b"panic");
    assert!(is_closed(&mut last) && is_closed(&mut other));
    // The listener is closed with the server's thread, which may take a moment.
    while TcpStream::connect(server.address()).is_ok() {
        std::thread::yield_now();
    }
}

#[test]
fn a_panic_ends_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let announce = folder.path().join("address");
    let path = announce.clone();
    let serving = std::thread::spawn(move || {
        let addresses = Addresses { client: SocketAddr::from(([127, 0, 0, 1], 0)), admin: None };
        serve_until_terminated(addresses, Some(&path), Limits::default(), |_| Echo::default())
    });
    let address: SocketAddr = loop {
        assert!(!serving.is_finished());
        if let Ok(text) = std::fs::read_to_string(&announce) {
            break text.trim_end().parse().unwrap();
        }
        std::thread::yield_now();
    };
    send(&mut TcpStream::connect(address).unwrap(), b"panic");
    let error = serving.join().unwrap().unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
}

/// A connection that has shaken hands.
fn greeted(server: &Running) -> TcpStream {
    let mut stream = connect(server);
    send(&mut stream, b"hello");
    assert_eq!(receive(&mut stream, 5), b"hello");
    stream
}

#[test]
fn beyond_the_budget_the_connection_with_the_largest_output_is_closed() {
    let limits = Limits { held: 2 << 20, unsent_soft: usize::MAX, ..Limits::default() };
    let server = echo(limits);
    let (mut good, mut deaf) = (greeted(&server), greeted(&server));
    // A part of a frame waits as input.
    good.write_all(&[0, 0, 0, 3, b'a']).unwrap();
    // Far more than the kernel keeps.
    let mut out = Vec::new();
    frame::put(&mut out, &vec![7; 500_000]);
    let is_cut_off = (0..200).any(|_| deaf.write_all(&out).is_err());
    assert!(is_cut_off, "100 MB were taken in");
    good.write_all(b"bc").unwrap();
    assert_eq!(receive(&mut good, 3), b"abc");
}

#[test]
fn input_that_waits_counts_too() {
    let server = echo(Limits { held: 2 << 20, ..Limits::default() });
    let mut good = greeted(&server);
    let mut out = Vec::new();
    frame::put(&mut out, &vec![7; 900_000]);
    let mut halves: Vec<_> = (0..10).map(|_| greeted(&server)).collect();
    for half in &mut halves {
        // It may be closed in the middle.
        let _ = half.write_all(&out[..800_000]);
        send(&mut good, b"still there");
        assert_eq!(receive(&mut good, 11), b"still there");
    }
    let mut is_cut_off = |half: &mut TcpStream| half.write_all(&out[800_000..]).is_err() || is_closed(half);
    let closed = halves.iter_mut().map(&mut is_cut_off).filter(|is_closed| *is_closed).count();
    assert!((5..10).contains(&closed), "{closed}");
}

#[test]
fn nothing_is_held_when_everything_is_sent() {
    let limits = Limits { held: 1 << 20, ..Limits::default() };
    let server = echo(limits);
    // Each of them leaves a buffer behind that would not fit 20 times.
    let mut streams: Vec<_> = (0..20).map(|_| greeted(&server)).collect();
    for _ in 0..3 {
        for stream in &mut streams {
            send(stream, &[7; 100_000]);
            assert_eq!(receive(stream, 100_000), [7; 100_000]);
        }
    }
}

#[test]
fn what_is_sent_to_all_is_held_once() {
    // 12 MB for each of 20 connections that do not read: more than the budget and the kernel's buffers together.
    let server = echo(Limits { held: 16 << 20, ..Limits::default() });
    let mut deaf: Vec<_> = (0..20).map(|_| greeted(&server)).collect();
    let mut sender = greeted(&server);
    let body = [&b"all"[..], &[7; 100_000]].concat();
    for _ in 0..120 {
        send(&mut sender, &body);
        assert_eq!(receive(&mut sender, body.len()), body);
    }
    for stream in &mut deaf {
        for _ in 0..120 {
            assert_eq!(receive(stream, body.len()), body);
        }
    }
}
