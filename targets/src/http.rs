//! Questions over HTTP/1.1, each with a limit of time and of bytes: what monitoring asks of etcd, Consul and
//! ZooKeeper's AdminServer.
//!
//! A client talks to one member, and to nothing else: it follows no redirect, knows no proxy, keeps no cookie.
//! Connections are kept and used again. TLS is [the target's own](crate::tls), verified in the same way.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::tls::{self, Tls, TlsError, TlsFailure};
use crate::url::HostPort;

/// Idle connections to a member that are kept: one for each question that is usually open at the same time.
const IDLE_CONNECTIONS: usize = 4;

/// How long they are kept, below the shortest time after which servers close theirs (30 s, Jetty's).
const IDLE_LIMIT: Duration = Duration::from_secs(25);

/// A client of one member.
#[derive(Clone)]
pub struct Http {
    client: Client,
    base: String,
}

/// A header that holds a secret. Neither `Debug` nor any message shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretHeader {
    name: &'static str,
    value: String,
}

/// How much a question may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time, from the question to the last byte of the answer, the connection included.
    pub time: Duration,
    /// Bytes of the answer's body.
    pub bytes: usize,
}

/// An answer, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body, whole.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// There is no connection to be had.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// It could not be secured.
    #[error(transparent)]
    Tls(#[from] TlsFailure),
    /// It took too long.
    #[error("the answer was not complete within {0} ms")]
    Timeout(u128),
    /// The connection ended before the answer did.
    #[error("the connection was closed before the answer was complete")]
    Closed,
    /// More than may be.
    #[error("the answer has more than {0} bytes")]
    TooLong(usize),
    /// What came is not HTTP.
    #[error("the answer is no HTTP that is understood: {0}")]
    NotHttp(String),
    /// The network, otherwise.
    #[error("cannot ask the member: {0}")]
    Io(String),
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum HttpSetupError {
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A name of a certificate that cannot be asked for over HTTP.
    #[error(
        "{0} as --tls-server-name is an address, and another name than the member's own has to be a host name here"
    )]
    ServerName(String),
    /// The secret cannot be sent.
    #[error("the {0} header cannot hold this secret: it has a character that is not printable ASCII")]
    Secret(&'static str),
    /// The library refuses.
    #[error("cannot make a client for {0}: {1}")]
    Client(String, String),
}

impl SecretHeader {
    /// A header and its value, which surrounding white space is no part of.
    pub fn new(name: &'static str, value: &str) -> SecretHeader {
        SecretHeader { name, value: value.trim().to_owned() }
    }
}

impl fmt::Debug for SecretHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretHeader({}: …)", self.name)
    }
}

impl Http {
    /// A client of the member at `address`, over TLS if `tls` is given. Nothing is connected yet, and no name looked
    /// up: that happens for each new connection.
    pub fn new(
        address: &HostPort,
        tls: Option<&Tls>,
        secret: Option<&SecretHeader>,
    ) -> Result<Http, HttpSetupError> {
        let mut builder = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .http1_only()
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .pool_idle_timeout(IDLE_LIMIT)
            .user_agent("quorumeter");
        // Also without TLS: the library's own would look for a process-wide provider of cryptography.
        builder = builder.tls_backend_preconfigured(match tls {
            Some(tls) => tls.client_config(),
            None => tls::config_without_roots()?,
        });
        let scheme = if tls.is_some() { "https" } else { "http" };
        let mut base = format!("{scheme}://{address}");
        if let Some(name) = tls.and_then(Tls::server_name).filter(|name| *name != address.host) {
            if name.parse::<std::net::IpAddr>().is_ok() {
                return Err(HttpSetupError::ServerName(name));
            }
            base = format!("{scheme}://{name}:{}", address.port);
            builder = builder.dns_resolver(Elsewhere(address.clone()));
        }
        if let Some(secret) = secret {
            let bad = |_| HttpSetupError::Secret(secret.name);
            let mut value = HeaderValue::from_str(&secret.value).map_err(bad)?;
            value.set_sensitive(true);
            builder = builder
                .default_headers(HeaderMap::from_iter([(HeaderName::from_static(secret.name), value)]));
        }
        let refused = |error: reqwest::Error| HttpSetupError::Client(address.to_string(), cause_of(&error));
        Ok(Http { client: builder.build().map_err(refused)?, base })
    }

    /// Asks by GET; `path` begins with a slash and may have a query.
    pub async fn get(&self, path: &str, limits: Limits) -> Result<Answer, HttpError> {
        self.ask(Method::GET, path, None, limits).await
    }

    /// Asks by POST, with JSON.
    pub async fn post(&self, path: &str, json: &'static str, limits: Limits) -> Result<Answer, HttpError> {
        self.ask(Method::POST, path, Some(json), limits).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        json: Option<&'static str>,
        limits: Limits,
    ) -> Result<Answer, HttpError> {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(json) = json {
            request = request.header("content-type", "application/json").body(json);
        }
        let answer = async {
            let mut response = request.send().await.map_err(error_of)?;
            let status = response.status().as_u16();
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(error_of)? {
                if body.len() + chunk.len() > limits.bytes {
                    return Err(HttpError::TooLong(limits.bytes));
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Answer { status, body })
        };
        timeout(limits.time, answer).await.map_err(|_| HttpError::Timeout(limits.time.as_millis()))?
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("base", &self.base).finish_non_exhaustive()
    }
}

/// Looks for every name at the member's own: the URL's is then the one that its certificate has to have.
struct Elsewhere(HostPort);

impl Resolve for Elsewhere {
    fn resolve(&self, _: Name) -> Resolving {
        let address = self.0.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = lookup_host((address.host.as_str(), address.port)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// What the library's error means. It is told without the URL.
fn error_of(error: reqwest::Error) -> HttpError {
    let error = error.without_url();
    let text = cause_of(&error);
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>().map(innermost) {
            if let Some(failure) = TlsFailure::of(io) {
                return failure.into();
            }
            let ended = matches!(
                io.kind(),
                io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
            );
            match (error.is_connect(), ended) {
                // A TCP connection that is reset or ends at once is one whose handshake of TLS did.
                (true, true) => return TlsFailure::Closed.into(),
                (false, true) => return HttpError::Closed,
                _ => {}
            }
        }
        if let Some(hyper) = inner.downcast_ref::<hyper::Error>() {
            if hyper.is_parse() {
                return HttpError::NotHttp(text);
            }
            if hyper.is_incomplete_message() || hyper.is_closed() || hyper.is_canceled() {
                return HttpError::Closed;
            }
        }
        cause = inner.source();
    }
    if error.is_connect() { HttpError::Connect(text) } else { HttpError::Io(text) }
}

/// The error of the stream, in which the library has wrapped it: what an error of this kind holds is not among its sources.
fn innermost(mut error: &io::Error) -> &io::Error {
    while let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        error = inner;
    }
    error
}

/// The innermost cause: what happened, without who passed it on.
fn cause_of(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
