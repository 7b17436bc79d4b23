//! Whether a member serves: it has a role, and gives a session.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest answer that is read from a member.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Asks the member for its role, opens a session at it and closes that again: both are writes, so the member is part
/// of a working ensemble when this succeeds. `timeout` bounds each connect, read and write. An error says in words
/// what is missing.
pub(super) fn check_serving(address: SocketAddr, timeout: Duration) -> Result<(), String> {
    let answer = srvr(address, timeout).map_err(|error| format!("srvr: {error}"))?;
    let Some(mode) = mode(&answer) else {
        return Err(format!("srvr: {}", answer.lines().next().unwrap_or("an empty answer")));
    };
    if !["leader", "follower", "observer", "standalone"].contains(&mode) {
        return Err(format!("srvr: its mode is {mode}"));
    }
    open_and_close_session(address, timeout).map_err(|error| format!("opening a session: {error}"))
}

fn srvr(address: SocketAddr, timeout: Duration) -> io::Result<String> {
    let mut stream = connect(address, timeout)?;
    stream.write_all(b"srvr")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

/// What follows `Mode:`. A member that looks for a leader answers without one.
fn mode(srvr: &str) -> Option<&str> {
    srvr.lines().find_map(|line| line.strip_prefix("Mode:")).map(str::trim)
}

fn open_and_close_session(address: SocketAddr, timeout: Duration) -> io::Result<()> {
    let mut stream = connect(address, timeout)?;
    stream.write_all(&connect_request())?;
    let response = read_frame(&mut stream)?;
    // protocolVersion (4), timeOut (4), sessionId (8): no time-out means no session.
    if response.get(4..8).is_none_or(|timeout_ms| timeout_ms == [0; 4]) {
        return Err(io::Error::other("it was refused"));
    }
    // xid 1, closeSession.
    stream.write_all(&[0, 0, 0, 8, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xf5])?;
    // xid (4), zxid (8), err (4).
    match read_frame(&mut stream)?.get(12..16) {
        Some([0, 0, 0, 0]) => Ok(()),
        _ => Err(io::Error::other("it could not be closed")),
    }
}

/// A ConnectRequest of 45 bytes in its frame: a new session with a time-out of 4 s, not read-only.
fn connect_request() -> [u8; 49] {
    let mut frame = [0; 49];
    frame[3] = 45;
    // protocolVersion (4), lastZxidSeen (8), then timeOut.
    frame[16..20].copy_from_slice(&4_000_i32.to_be_bytes());
    // sessionId (8), then the length of the password, the password (16) and readOnly (1).
    frame[31] = 16;
    frame
}

fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u64::from(u32::from_be_bytes(length));
    if length > ANSWER_BYTES_MAX {
        return Err(io::Error::other(format!("the answer claims to have {length} bytes")));
    }
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body)?;
    Ok(body)
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
    fn member(answers: &'static [&'static [u8]]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 64]);
                stream.write_all(answer).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                let _ = stream.read_to_end(&mut Vec::new());
            }
        });
        address
    }

    const FOLLOWER: &[u8] = b"Zookeeper version: 3.9.4\nZxid: 0x0\nMode: follower\nNode count: 5\n";
    /// Connect response with a time-out of 4 s, and the reply to closeSession.
    const SESSION: &[u8] =
        b"\0\0\0\x25\0\0\0\0\0\0\x0f\xa0\0\0\0\0\0\0\0\x01\0\0\0\x10PASSWORDPASSWORD\0\0\0\0\x10\0\0\0\x01\0\0\0\0\0\0\0\x05\0\0\0\0";
    /// Connect response with a time-out of 0.
    const REFUSED: &[u8] = b"\0\0\0\x25\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10PASSWORDPASSWORD\0";

    #[test]
    fn a_member_serves_when_it_has_a_role_and_gives_a_session() {
        for (answers, expected) in [
            (&[FOLLOWER, SESSION][..], Ok(())),
            (&[b"This ZooKeeper instance is not currently serving requests\n"], Err("not currently serving")),
            (&[b"Mode: read-only\n"], Err("mode is read-only")),
            (&[b""], Err("an empty answer")),
            (&[FOLLOWER, b""], Err("opening a session")),
            (&[FOLLOWER, REFUSED], Err("refused")),
            (&[FOLLOWER, b"HTTP/1.1 400"], Err("claims to have")),
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

    #[test]
    fn a_connect_request_is_45_bytes_in_its_frame() {
        let frame = connect_request();
        assert_eq!(frame[..4], 45_u32.to_be_bytes());
        assert_eq!(frame.len(), 4 + 4 + 8 + 4 + 8 + 4 + 16 + 1);
        assert_eq!(frame[16..20], 4_000_u32.to_be_bytes());
        assert_eq!(frame[28..32], 16_u32.to_be_bytes());
    }
}
