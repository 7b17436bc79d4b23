//! Enough of HTTP for tests: a scrape, and a collector of OpenTelemetry that keeps what it is sent.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

const LIMIT: Duration = Duration::from_secs(20);

/// What `GET path` answers: status and body; `None` when nobody answers.
pub(crate) fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// The samples of an exposition: series as written, and value.
pub(crate) fn samples(text: &str) -> Vec<(String, f64)> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
        (series.to_owned(), value.parse().expect("a value is a number"))
    };
    lines.map(sample).collect()
}

/// The value of a series.
pub(crate) fn sample(samples: &[(String, f64)], series: &str) -> Option<f64> {
    samples.iter().find(|(name, _)| name == series).map(|(_, value)| *value)
}

/// Attributes as text.
pub(crate) type Pairs = Vec<(String, String)>;

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    pub(crate) path: String,
    pub(crate) headers: Vec<String>,
    body: Vec<u8>,
}

/// A collector on loopback. It answers with the statuses that it is given, in turn, and with the last one from then on.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    posted: Arc<Mutex<Vec<Posted>>>,
    _thread: JoinHandle<()>,
}

impl Collector {
    pub(crate) fn start(statuses: &'static [u16]) -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback can be listened on");
        let address = listener.local_addr().expect("it has an address");
        let posted = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&posted);
        let body = move || {
            for (number, stream) in listener.incoming().enumerate() {
                let Ok(stream) = stream else { return };
                let status = statuses[number.min(statuses.len() - 1)];
                // A client that ends in the middle has posted nothing.
                if let Some(request) = answer(stream, status) {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                }
            }
        };
        Collector { address, posted, _thread: std::thread::spawn(body) }
    }

    /// All that came, in its order.
    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.posted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The metrics of each push that came, with the attributes of what they are of.
    pub(crate) fn metrics(&self) -> Vec<(Pairs, Vec<Metric>)> {
        let of = |request: &Posted| {
            let request =
                ExportMetricsServiceRequest::decode(&request.body[..]).expect("it is one of metrics");
            let [of] = &request.resource_metrics[..] else { panic!("one resource") };
            let resource = of.resource.as_ref().expect("it has one");
            (pairs(&resource.attributes), of.scope_metrics.iter().flat_map(|s| s.metrics.clone()).collect())
        };
        self.posted().iter().filter(|posted| posted.path == "/v1/metrics").map(of).collect()
    }

    /// The spans of all traces that came.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let of = |request: &Posted| {
            let request = ExportTraceServiceRequest::decode(&request.body[..]).expect("it is one of traces");
            let scopes = request.resource_spans.into_iter().flat_map(|of| of.scope_spans);
            scopes.flat_map(|scope| scope.spans).collect::<Vec<_>>()
        };
        self.posted().iter().filter(|posted| posted.path == "/v1/traces").flat_map(of).collect()
    }
}

/// Reads one request, and answers it. One connection has one request.
fn answer(stream: TcpStream, status: u16) -> Option<Posted> {
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let path = lines.first()?.split(' ').nth(1)?.to_owned();
    let length = lines.iter().find_map(|line| {
        line.to_ascii_lowercase().strip_prefix("content-length:").map(|length| length.trim().to_owned())
    });
    let mut body = vec![0; length?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    write!(reader.get_mut(), "HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()?;
    Some(Posted { path, headers: lines.split_off(1), body })
}

/// Attributes as text.
pub(crate) fn pairs(attributes: &[KeyValue]) -> Pairs {
    let text = |pair: &KeyValue| match &pair.value {
        Some(AnyValue { value: Some(Value::StringValue(value)) }) => (pair.key.clone(), value.clone()),
        other => panic!("{other:?} is no text"),
    };
    attributes.iter().map(text).collect()
}
