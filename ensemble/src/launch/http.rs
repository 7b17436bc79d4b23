//! One question to a member over HTTP, to see whether it serves.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Status and body of what a member answers to a GET; `limit` bounds the whole. An error says in words what happened.
pub(super) fn get(address: SocketAddr, path: &str, limit: Duration) -> Result<(u16, String), String> {
    let deadline = Instant::now() + limit;
    let fail = |error: std::io::Error| format!("GET {path}: {error}");
    let mut stream = TcpStream::connect_timeout(&address, limit).map_err(fail)?;
    stream.set_write_timeout(Some(limit)).map_err(fail)?;
    // A server of HTTP/1.0 ends its answer with the connection, in no chunks.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).map_err(fail)?;
    let mut answer = Vec::new();
    let mut part = [0; 8192];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("GET {path}: no whole answer within {:.1} s", limit.as_secs_f64()));
        }
        stream.set_read_timeout(Some(left)).map_err(fail)?;
        match stream.read(&mut part).map_err(fail)? {
            0 => break,
            read => answer.extend_from_slice(&part[..read]),
        }
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(format!("GET {path}: the answer is longer than {ANSWER_BYTES_MAX} bytes"));
        }
    }
    parse(&answer).ok_or_else(|| format!("GET {path}: what came is no answer of HTTP"))
}

fn parse(answer: &[u8]) -> Option<(u16, String)> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = response.parse(answer).ok()? else { return None };
    Some((response.code?, String::from_utf8_lossy(&answer[length..]).into_owned()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A server that takes one request, says this, and closes after the pause.
    fn server(says: &'static str, pause: Duration) -> (SocketAddr, thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serving = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).unwrap() > 0);
            stream.write_all(says.as_bytes()).unwrap();
            thread::sleep(pause);
        });
        (address, serving)
    }

    #[test]
    fn an_answer_is_its_status_and_its_body() {
        let ask = |says| {
            let (address, serving) = server(says, Duration::ZERO);
            let answer = get(address, "/x", Duration::from_secs(10));
            serving.join().unwrap();
            answer
        };
        assert_eq!(ask("HTTP/1.0 200 OK\r\nA: b\r\n\r\nok\n").unwrap(), (200, "ok\n".to_owned()));
        assert_eq!(ask("HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap(), (503, String::new()));
        assert!(ask("HTTP/1.1 200 OK\r\nhalf").unwrap_err().contains("no answer of HTTP"));
        assert!(ask("SSH-2.0\r\n\r\n").unwrap_err().contains("no answer of HTTP"));
    }

    #[test]
    fn silence_is_waited_for_as_long_as_told() {
        let (address, serving) = server("HTTP/1.0 200 OK\r\n", Duration::from_millis(300));
        let error = get(address, "/x", Duration::from_millis(50)).unwrap_err();
        assert!(error.starts_with("GET /x: "), "{error}");
        serving.join().unwrap();
    }
}
