//! One question to a member over plain HTTP.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Status and body of what a member answers to a GET; `limit` bounds the whole. An error says in words what happened.
pub fn get(address: SocketAddr, path: &str, limit: Duration) -> Result<(u16, String), String> {
    ask(address, "GET", path, "", limit)
}

/// The same of another method, with a body.
pub fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
    limit: Duration,
) -> Result<(u16, String), String> {
    let deadline = Instant::now() + limit;
    let fail = |error: std::io::Error| format!("{method} {path}: {error}");
    let mut stream = TcpStream::connect_timeout(&address, limit).map_err(fail)?;
    stream.set_write_timeout(Some(limit)).map_err(fail)?;
    // A server of HTTP/1.0 ends its answer with the connection, in no chunks.
    let length = body.len();
    let request =
        format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).map_err(fail)?;
    let mut answer = Vec::new();
    let mut part = [0; 8192];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("{method} {path}: no whole answer within {:.1} s", limit.as_secs_f64()));
        }
        stream.set_read_timeout(Some(left)).map_err(fail)?;
        match stream.read(&mut part).map_err(fail)? {
            0 => break,
            read => answer.extend_from_slice(&part[..read]),
        }
        if answer.len() > ANSWER_BYTES_MAX {
            return Err(format!("{method} {path}: the answer is longer than {ANSWER_BYTES_MAX} bytes"));
        }
    }
    parse(&answer).ok_or_else(|| format!("{method} {path}: what came is no answer of HTTP"))
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
