//! What clients may not do, with limits small enough to be reached.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::*;

/// Answers every frame with itself; the first one is the handshake.
struct Echo;

impl Service for Echo {
    type State = ();

    fn accepted(&mut self, _: SocketAddr) {}

    fn begin(&mut self, _: Instant) {}

    fn frame(&mut self, wires: &mut Wires<()>, id: WireId, body: &[u8]) {
        if let Some(wire) = wires.get_mut(id) {
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
    start("echo", SocketAddr::from(([127, 0, 0, 1], 0)), limits, |_| Echo).unwrap()
}

fn connect(server: &Running) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
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
    let server = echo(Limits { handshake: Duration::from_millis(20), ..Limits::default() });
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
