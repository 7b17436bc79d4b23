//! HTTP as far as an AdminServer needs it: one GET or HEAD a connection, on the thread of the server.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::connection::TellOfPanic;
use super::{Service, Shared};

/// Connections at a time.
const CONNECTIONS: usize = 64;

/// Bytes of a request.
const REQUEST_LEN_MAX: usize = 8 << 10;

/// Headers of a request.
const HEADERS: usize = 64;

/// Time for a request and its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers requests until it is dropped.
pub(super) async fn accept<S: Service>(listener: TcpListener, shared: Rc<Shared<S>>) -> io::Result<()> {
    let open = Rc::new(());
    loop {
        // Out of file descriptors, or the client is gone already: neither lasts.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        if Rc::strong_count(&open) <= CONNECTIONS {
            let (shared, open) = (Rc::clone(&shared), Rc::clone(&open));
            tokio::task::spawn_local(async move {
                // A client that is too slow, or gone, has itself to blame.
                let _ = tokio::time::timeout(PATIENCE, answer(stream, &shared)).await;
                drop(open);
            });
        }
    }
}

async fn answer<S: Service>(mut stream: TcpStream, shared: &Shared<S>) -> io::Result<()> {
    let mut input = Vec::new();
    let response = loop {
        match read(&input) {
            Read::Partial if input.len() < REQUEST_LEN_MAX => {}
            Read::Partial | Read::Invalid => break Response::failed("400 Bad Request"),
            Read::Whole { method: "GET" | "HEAD", path } => break respond(shared, path),
            Read::Whole { .. } => break Response::failed("405 Method Not Allowed"),
        }
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    };
    let head = format!(
        "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        response.status,
        response.content_type,
        response.body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    if !input.starts_with(b"HEAD ") {
        stream.write_all(response.body.as_bytes()).await?;
    }
    stream.shutdown().await
}

/// What has come of a request.
enum Read<'a> {
    Partial,
    Invalid,
    Whole { method: &'a str, path: &'a str },
}

fn read(input: &[u8]) -> Read<'_> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match (request.parse(input), request.method, request.path) {
        (Ok(httparse::Status::Partial), ..) => Read::Partial,
        (Ok(httparse::Status::Complete(_)), Some(method), Some(path)) => Read::Whole { method, path },
        _ => Read::Invalid,
    }
}

struct Response {
    status: &'static str,
    content_type: &'static str,
    body: String,
}

impl Response {
    fn failed(status: &'static str) -> Response {
        Response { status, content_type: "text/plain", body: format!("{status}\n") }
    }
}

/// Does `/commands/NAME`, and lists the names at `/commands`.
fn respond<S: Service>(shared: &Shared<S>, target: &str) -> Response {
    let _guard = TellOfPanic(&shared.panicked);
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let core = &mut *shared.core.borrow_mut();
    match path.strip_prefix("/commands").map(|rest| rest.strip_prefix('/').unwrap_or(rest)) {
        Some("") => {
            let link = |name: &&str| format!("<a href=\"/commands/{name}\">{name}</a>\n<br/>\n");
            let body = core.service.commands().iter().map(link).collect();
            Response { status: "200 OK", content_type: "text/html", body }
        }
        Some(name) if path.starts_with("/commands/") => {
            let body = core.service.command(&core.wires, name);
            Response { status: "200 OK", content_type: "application/json", body }
        }
        _ => Response::failed("404 Not Found"),
    }
}
