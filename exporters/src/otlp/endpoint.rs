//! Where OTLP is pushed to.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use quorumeter_targets::tls::{TlsError, TlsOptions, config_without_roots};
use reqwest::Url;
use reqwest::blocking::Client;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;

/// The variable with headers of all requests, as OpenTelemetry has it: `key=value,key=value`, values percent-encoded.
pub const HEADERS_VARIABLE: &str = "OTEL_EXPORTER_OTLP_HEADERS";

const METRICS: &str = "/v1/metrics";
const TRACES: &str = "/v1/traces";

/// How long one request may take, from connecting to the end of the answer.
pub(super) const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// Where OTLP is pushed to. Secrets of it are in no message.
#[derive(Clone)]
pub struct Endpoint {
    metrics: Url,
    traces: Url,
    headers: HeaderMap,
}

/// Why nothing can be pushed there.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// It is no URL.
    #[error("--otlp wants a URL, as in http://127.0.0.1:4318: {0}")]
    Url(String),
    /// It is a URL of something else.
    #[error("--otlp wants http:// or https://, not {0}://: OTLP is pushed over HTTP, in protobuf")]
    Scheme(String),
    /// A header cannot be sent.
    #[error(
        "{HEADERS_VARIABLE}: entry {number} is no header: write KEY=VALUE,KEY=VALUE, values percent-encoded"
    )]
    Header {
        /// Its number, from 1.
        number: usize,
    },
    /// User or password cannot be sent.
    #[error("--otlp: the user or password in the URL cannot be sent")]
    User,
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The library refuses.
    #[error("cannot make an HTTP client: {0}")]
    Client(String),
}

impl Endpoint {
    /// Of a URL: metrics go to `{url}/v1/metrics` and traces to `{url}/v1/traces`, as OpenTelemetry has it. A URL that ends
    /// with either is taken as it is, and the other one is beside it. User and password in it go into a header, as those in
    /// `headers`, the value of [`HEADERS_VARIABLE`], do.
    ///
    /// # Errors
    ///
    /// It is no such URL, or the headers are none. No error shows what may be a secret.
    pub fn new(url: &str, headers: Option<&str>) -> Result<Endpoint, EndpointError> {
        let mut url = Url::parse(url.trim()).map_err(|error| EndpointError::Url(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EndpointError::Scheme(url.scheme().to_owned()));
        }
        let mut headers = parse_headers(headers.unwrap_or_default())?;
        if let Some(value) = basic(&url) {
            headers.insert(AUTHORIZATION, secret(&value).ok_or(EndpointError::User)?);
        }
        // A URL with a host takes both.
        let _ = (url.set_username(""), url.set_password(None));
        url.set_fragment(None);
        let path = url.path().trim_end_matches('/');
        let base = path.strip_suffix(METRICS).or(path.strip_suffix(TRACES)).unwrap_or(path).to_owned();
        let (mut metrics, mut traces) = (url.clone(), url);
        metrics.set_path(&format!("{base}{METRICS}"));
        traces.set_path(&format!("{base}{TRACES}"));
        Ok(Endpoint { metrics, traces, headers })
    }

    pub(super) fn metrics(&self) -> &Url {
        &self.metrics
    }

    pub(super) fn traces(&self) -> &Url {
        &self.traces
    }

    /// A client that goes nowhere else and sends the headers. It blocks, and is not to be made where that is not allowed.
    ///
    /// # Errors
    ///
    /// No certificate authority is trusted here, or the library refuses.
    pub(super) fn client(&self) -> Result<Client, EndpointError> {
        // Also without TLS: the library's own would look for a process-wide provider of cryptography.
        let tls = match self.metrics.scheme() {
            "https" => TlsOptions::default().load()?.client_config(),
            _ => config_without_roots()?,
        };
        let builder = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .timeout(REQUEST_LIMIT)
            .user_agent("quorumeter")
            .default_headers(self.headers.clone())
            .tls_backend_preconfigured(tls);
        builder.build().map_err(|error| EndpointError::Client(error.without_url().to_string()))
    }
}

/// A URL as it may be shown: without what may be a secret.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.metrics))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

/// What user and password of a URL are as a header (RFC 7617); `None` without them.
fn basic(url: &Url) -> Option<String> {
    let is_given = !url.username().is_empty() || url.password().is_some();
    let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    is_given.then(|| {
        let pair = [decoded(url.username()), decoded(url.password().unwrap_or_default())].join(&b':');
        format!("Basic {}", STANDARD.encode(pair))
    })
}

fn parse_headers(text: &str) -> Result<HeaderMap, EndpointError> {
    let mut headers = HeaderMap::new();
    for (number, entry) in (1..).zip(text.split(',')).filter(|(_, entry)| !entry.trim().is_empty()) {
        let header = || {
            let (key, value) = entry.split_once('=')?;
            let key = HeaderName::try_from(key.trim()).ok()?;
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            Some((key, secret(&value)?))
        };
        let (key, value) = header().ok_or(EndpointError::Header { number })?;
        headers.insert(key, value);
    }
    Ok(headers)
}

/// A header's value that is not shown.
fn secret(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_paths_below_the_url() {
        for (url, metrics, traces) in [
            ("http://h:4318", "http://h:4318/v1/metrics", "http://h:4318/v1/traces"),
            ("http://h:4318/", "http://h:4318/v1/metrics", "http://h:4318/v1/traces"),
            ("https://h/otlp/", "https://h/otlp/v1/metrics", "https://h/otlp/v1/traces"),
            (
                "http://h:9090/api/v1/otlp",
                "http://h:9090/api/v1/otlp/v1/metrics",
                "http://h:9090/api/v1/otlp/v1/traces",
            ),
            (
                "http://h:9090/api/v1/otlp/v1/metrics",
                "http://h:9090/api/v1/otlp/v1/metrics",
                "http://h:9090/api/v1/otlp/v1/traces",
            ),
            ("http://h/v1/traces?a=1#x", "http://h/v1/metrics?a=1", "http://h/v1/traces?a=1"),
            ("http://[::1]:1/x", "http://[::1]:1/x/v1/metrics", "http://[::1]:1/x/v1/traces"),
        ] {
            let endpoint = Endpoint::new(url, None).unwrap();
            assert_eq!((endpoint.metrics.as_str(), endpoint.traces.as_str()), (metrics, traces), "{url}");
        }
    }

    #[test]
    fn secrets_are_sent_and_not_shown() {
        let headers = "api-key=geheim%2C%201, x-scope = a";
        let endpoint = Endpoint::new("http://anna:p%40ss@h:1/?token=geheim", Some(headers)).unwrap();
        assert_eq!(endpoint.headers["authorization"], format!("Basic {}", STANDARD.encode("anna:p@ss")));
        assert_eq!(endpoint.headers["api-key"], "geheim, 1");
        assert_eq!(endpoint.headers["x-scope"], "a");
        let shown = format!("{endpoint} {endpoint:?} {:?}", endpoint.headers);
        for secret in ["anna", "p@ss", "p%40ss", "geheim"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("http://h:1/v1/metrics"));
    }

    #[test]
    fn what_is_wrong_is_said_without_secrets() {
        for (url, headers, says) in [
            ("h:4318", None, "not h://"),
            ("grpc://geheim@h:4317", None, "not grpc://"),
            ("geheim", None, "wants a URL"),
            ("http://geheim@", None, "wants a URL"),
            ("http://h", Some("a=1,geheim"), "entry 2"),
            ("http://h", Some("ge heim=1"), "entry 1"),
            ("http://h", Some("a=geheim%0a"), "entry 1"),
        ] {
            let error = Endpoint::new(url, headers).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("geheim"), "{url}: {error}");
        }
    }

    #[test]
    fn a_client_can_be_made_without_a_default_provider_of_cryptography() {
        Endpoint::new("http://127.0.0.1:1", Some("a=b")).unwrap().client().unwrap();
    }
}
