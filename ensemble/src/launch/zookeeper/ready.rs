//! Whether a member serves: it has a role, and gives a session.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use quorumeter_zk::ErrorCode;
use quorumeter_zk::connect::{ConnectRequest, ConnectResponse, PASSWORD_LEN};
use quorumeter_zk::four_letter::{Mode, Srvr};
use quorumeter_zk::frame::{self, Front, PREFIX_LEN};
use quorumeter_zk::reply::ReplyHeader;
use quorumeter_zk::request::Request;

/// Longest answer that is read from a member.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Asks the member for its role, opens a session at it and closes that again: both are writes, so the member is part
/// of a working ensemble when this succeeds. `timeout` bounds each connect, read and write. An error says in words
/// what is missing.
pub(super) fn check_serving(address: SocketAddr, timeout: Duration) -> Result<(), String> {
    let answer = srvr(address, timeout).map_err(|error| format!("srvr: {error}"))?;
    let mode = Srvr::parse(&answer).map_err(|error| format!("srvr: {error}"))?.mode;
    if mode == Mode::ReadOnly {
        return Err(format!("srvr: its mode is {}", mode.name()));
    }
    open_and_close_session(address, timeout).map_err(|error| format!("opening a session: {error}"))
}

fn srvr(address: SocketAddr, timeout: Duration) -> io::Result<String> {
    let mut stream = connect(address, timeout)?;
    stream.write_all(b"srvr")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX as u64).read_to_string(&mut answer)?;
    Ok(answer)
}

fn open_and_close_session(address: SocketAddr, timeout: Duration) -> io::Result<()> {
    let mut stream = connect(address, timeout)?;
    let mut out = Vec::new();
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: 0,
        timeout_ms: 4_000,
        session_id: 0,
        password: Some(&[0; PASSWORD_LEN]),
        read_only: Some(false),
    }
    .encode_frame(&mut out);
    stream.write_all(&out)?;
    let body = read_frame(&mut stream)?;
    let response = ConnectResponse::decode(&body).map_err(io::Error::other)?;
    if response.timeout_ms <= 0 {
        return Err(io::Error::other("it was refused"));
    }
    out.clear();
    Request::CloseSession.encode_frame(&mut out, 1);
    stream.write_all(&out)?;
    let body = read_frame(&mut stream)?;
    match ReplyHeader::split(&body).map_err(io::Error::other)?.0.err {
        ErrorCode::OK => Ok(()),
        code => Err(io::Error::other(format!("it could not be closed: {code}"))),
    }
}

fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; PREFIX_LEN];
    stream.read_exact(&mut bytes)?;
    if let Front::Partial { needed } = frame::front(&bytes, ANSWER_BYTES_MAX).map_err(io::Error::other)? {
        bytes.resize(needed, 0);
        stream.read_exact(&mut bytes[PREFIX_LEN..])?;
    }
    Ok(bytes.split_off(PREFIX_LEN))
}

fn connect(address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A member that answers the n-th connection with the n-th answer.
    fn member(answers: Vec<Vec<u8>>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 64]);
                stream.write_all(&answer).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                let _ = stream.read_to_end(&mut Vec::new());
            }
        });
        address
    }

    fn srvr(mode: Mode) -> Vec<u8> {
        let srvr = Srvr {
            version: "3.9.4".to_owned(),
            latency_ms: (0.0, 0.0, 0.0),
            received: 0,
            sent: 0,
            connections: 1,
            outstanding: 0,
            zxid: 0,
            mode,
            proposal_sizes: None,
            node_count: 5,
        };
        srvr.write().into_bytes()
    }

    /// The answer to a handshake and the reply to closeSession.
    fn session(timeout_ms: i32, err: ErrorCode) -> Vec<u8> {
        let mut out = Vec::new();
        ConnectResponse {
            protocol_version: 0,
            timeout_ms,
            session_id: 1,
            password: Some(&[7; PASSWORD_LEN]),
            read_only: Some(false),
        }
        .encode_frame(&mut out);
        ReplyHeader { xid: 1, zxid: 5, err }.encode_frame(&mut out);
        out
    }

    #[test]
    fn a_member_serves_when_it_has_a_role_and_gives_a_session() {
        let follower = || srvr(Mode::Follower);
        for (answers, expected) in [
            (vec![follower(), session(4_000, ErrorCode::OK)], Ok(())),
            (vec![srvr(Mode::Standalone), session(4_000, ErrorCode::OK)], Ok(())),
            (
                vec![b"This ZooKeeper instance is not currently serving requests\n".to_vec()],
                Err("not serving"),
            ),
            (vec![srvr(Mode::ReadOnly)], Err("mode is read-only")),
            (vec![vec![]], Err("answer is empty")),
            (vec![follower(), vec![]], Err("opening a session")),
            (vec![follower(), session(0, ErrorCode::OK)], Err("refused")),
            (vec![follower(), session(4_000, ErrorCode::THROTTLED_OP)], Err("not be closed")),
            (vec![follower(), b"HTTP/1.1 400".to_vec()], Err("a frame announces")),
        ] {
            let result = check_serving(member(answers), Duration::from_secs(10));
            match expected {
                Ok(()) => assert_eq!(result, Ok(())),
                Err(part) => assert!(result.clone().unwrap_err().contains(part), "{part}: {result:?}"),
            }
        }
    }

    #[test]
    fn a_member_that_accepts_and_says_nothing_is_not_waited_for_without_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = check_serving(listener.local_addr().unwrap(), Duration::from_millis(20)).unwrap_err();
        assert!(error.starts_with("srvr: "), "{error}");
    }
}
