//! ZooKeeper's AdminServer: commands asked over plain HTTP, answered in JSON.
//!
//! What is known when a four-letter word is answered with "not serving" is known here: `zabstate`, and `leader`.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::admin::{AdminError, MAX_ANSWER};
use crate::session::ConnectError;
use crate::source;

/// Headers of an answer.
const HEADERS: usize = 64;

/// Asks for `/commands/COMMAND`, and returns the body of the answer; `limit` bounds the whole. Nothing but `address`
/// is ever connected to: an answer that sends elsewhere is an error.
///
/// # Errors
///
/// [`AdminError::Status`] for any status but 200. A command that failed has 200 all the same, and `error` in its JSON.
pub async fn get(address: SocketAddr, command: &str, limit: Duration) -> Result<String, AdminError> {
    // To 1.0 no server answers in chunks.
    let request = format!("GET /commands/{command} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    timeout(limit, async {
        let mut stream = source::connect(address).await.map_err(ConnectError::Tcp)?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        loop {
            let is_end = stream.read_buf(&mut answer).await? == 0;
            if let Some(body) = body(&answer, is_end)? {
                return Ok(String::from_utf8_lossy(body).into_owned());
            }
            if answer.len() > MAX_ANSWER {
                return Err(AdminError::TooLong);
            }
        }
    })
    .await
    .map_err(|_| AdminError::Timeout(limit.as_millis()))?
}

/// The body of an answer; `None` when there is more to come, which there is not at the end of the stream.
fn body(answer: &[u8], is_end: bool) -> Result<Option<&[u8]>, AdminError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(answer) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) if is_end => return Err(AdminError::Truncated),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(AdminError::Http(error.to_string())),
    };
    if let Some(status) = response.code.filter(|status| *status != 200) {
        return Err(AdminError::Status(status));
    }
    let header = |name: &str| response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    if header("Transfer-Encoding").is_some() {
        return Err(AdminError::Http(
            "the body is encoded for its transfer, which was not asked for".to_owned(),
        ));
    }
    let body = &answer[head..];
    let Some(length) = header("Content-Length") else { return Ok(is_end.then_some(body)) };
    let length = std::str::from_utf8(length.value).ok().and_then(|text| text.trim().parse::<usize>().ok());
    match length {
        None => Err(AdminError::Http("its Content-Length is no number".to_owned())),
        Some(length) if length <= body.len() => Ok(Some(&body[..length])),
        Some(length) if length > MAX_ANSWER => Err(AdminError::TooLong),
        Some(_) if is_end => Err(AdminError::Truncated),
        Some(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_as_long_as_its_header_says_or_ends_with_the_stream() {
        for (answer, is_end, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", false, Ok(Some("{}"))),
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}more", false, Ok(Some("{}"))),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false, Ok(Some(""))),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", false, Ok(None)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", true, Err("before its end")),
            ("HTTP/1.1 200 OK\r\n\r\n{}", false, Ok(None)),
            ("HTTP/1.1 200 OK\r\n\r\n{}", true, Ok(Some("{}"))),
            ("HTTP/1.1 200 OK\r\nContent-Le", false, Ok(None)),
            ("HTTP/1.1 200 OK\r\nContent-Le", true, Err("before its end")),
            ("", false, Ok(None)),
            ("", true, Err("before its end")),
            ("HTTP/1.1 500 Server Error\r\n\r\n", false, Err("status 500")),
            ("HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\n\r\n", false, Err("status 302")),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                true,
                Err("encoded"),
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", false, Err("no number")),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n", false, Err("more than 1048576 bytes")),
            ("imok", false, Err("no HTTP")),
        ] {
            match (body(answer.as_bytes(), is_end), expected) {
                (Ok(body), Ok(expected)) => assert_eq!(body, expected.map(str::as_bytes), "{answer:?}"),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{answer:?}: {error}"),
                (body, expected) => panic!("{answer:?}: {body:?} instead of {expected:?}"),
            }
        }
    }
}
