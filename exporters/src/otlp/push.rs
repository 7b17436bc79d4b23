//! Pushing metrics again and again, from a thread of its own.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message as _;
use reqwest::StatusCode;
use reqwest::blocking::Client;
use reqwest::header::CONTENT_TYPE;
use tokio::runtime::{Builder, Runtime};

use super::encode::{Reading, encode};
use super::endpoint::Endpoint;
use super::{EndpointError, Resource};

/// Pauses before further attempts of a push; there are no more.
const PAUSES: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(1)];

/// How long a reading may take, whatever it asks for.
const READ_LIMIT: Duration = Duration::from_secs(10);

/// The most that is read of an answer, in bytes.
const ANSWER_MAX: u64 = 64 << 10;

/// What is pushed.
pub trait Source: Send + Sync + 'static {
    /// Reads everything as it is now.
    fn read(&self) -> Pin<Box<dyn Future<Output = Reading> + Send + '_>>;
}

/// How to push.
#[derive(Debug, Clone)]
pub struct Push {
    /// Where to.
    pub endpoint: Endpoint,
    /// What it is of.
    pub resource: Resource,
    /// Since when this process counts, Unix time in nanoseconds.
    pub start_unix_ns: u64,
    /// Time between two pushes.
    pub period: Duration,
}

/// What came of pushing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Pushes that arrived.
    pub arrived: u64,
    /// Those that did not, each after all its attempts.
    pub failed: u64,
}

/// Pushes until it is told to finish.
#[derive(Debug)]
pub struct Pusher {
    /// Never used to send: it is gone when it is time to end.
    stop: Sender<()>,
    thread: JoinHandle<Pushed>,
}

impl Pusher {
    /// Starts to push: at once, then every period. `tell` is told of the first push that fails, in words.
    ///
    /// # Errors
    ///
    /// There is no client to be had, or no thread.
    pub fn start(
        push: Push,
        source: Arc<dyn Source>,
        tell: impl FnMut(&str) + Send + 'static,
    ) -> Result<Pusher, EndpointError> {
        let (stop, stopped) = channel();
        let (ready_in, ready) = channel();
        let body = move || {
            let made = push.endpoint.client().and_then(|client| {
                let runtime = Builder::new_current_thread().enable_all().build();
                Ok((client, runtime.map_err(|error| EndpointError::Client(error.to_string()))?))
            });
            let (client, runtime) = match made {
                Ok(made) => made,
                Err(error) => {
                    // Who started it waits for this.
                    let _ = ready_in.send(Err(error));
                    return Pushed::default();
                }
            };
            let _ = ready_in.send(Ok(()));
            Pushing { push, source, client, runtime, tell, pushed: Pushed::default() }.run(&stopped)
        };
        let failed = |error: io::Error| EndpointError::Client(error.to_string());
        let thread = std::thread::Builder::new().name("otlp".to_owned()).spawn(body).map_err(failed)?;
        ready.recv().unwrap_or_else(|_| Err(EndpointError::Client("its thread ended".to_owned())))?;
        Ok(Pusher { stop, thread })
    }

    /// Pushes for the last time, and ends. Takes no longer than a reading and two requests may.
    pub fn finish(self) -> Pushed {
        // An end that is seen between two attempts is still there afterwards.
        drop(self.stop);
        self.thread.join().unwrap_or_default()
    }
}

/// The thread's own.
struct Pushing<T> {
    push: Push,
    source: Arc<dyn Source>,
    client: Client,
    runtime: Runtime,
    tell: T,
    pushed: Pushed,
}

/// Why a push did not arrive.
enum Failure {
    /// It may arrive later.
    Passing(String),
    /// It never will.
    Final(String),
}

impl<T: FnMut(&str)> Pushing<T> {
    fn run(mut self, stopped: &Receiver<()>) -> Pushed {
        let mut due = Instant::now();
        loop {
            let is_last = wait_until(stopped, due);
            self.push(stopped, is_last);
            if is_last {
                return self.pushed;
            }
            // What was missed is not made up for.
            due = (due + self.push.period).max(Instant::now());
        }
    }

    fn push(&mut self, stopped: &Receiver<()>, is_last: bool) {
        let read = async { tokio::time::timeout(READ_LIMIT, self.source.read()).await };
        let result = match self.runtime.block_on(read) {
            Ok(reading) => self.deliver(&reading, stopped, is_last),
            Err(_) => Err(format!("they could not be read within {} s", READ_LIMIT.as_secs())),
        };
        match result {
            Ok(()) => self.pushed.arrived += 1,
            Err(cause) => {
                self.pushed.failed += 1;
                if self.pushed.failed == 1 {
                    let url = &self.push.endpoint;
                    let text = format!(
                        "metrics could not be pushed to {url}: {cause}; what fails from now on is counted"
                    );
                    (self.tell)(&text);
                }
            }
        }
    }

    /// Delivers a reading, in several attempts where that may help.
    fn deliver(&mut self, reading: &Reading, stopped: &Receiver<()>, is_last: bool) -> Result<(), String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let Push { resource, start_unix_ns, .. } = &self.push;
        let body = encode(reading, resource, *start_unix_ns, now.as_nanos() as u64).encode_to_vec();
        let pauses = match (is_last, self.pushed.failed) {
            (false, _) => &PAUSES[..],
            (true, 0) => &PAUSES[..1],
            // The end is not held up by what has failed before.
            (true, _) => &[],
        };
        let mut pauses = pauses.iter();
        loop {
            match (self.post(body.clone()), pauses.next()) {
                (Ok(()), _) => return Ok(()),
                (Err(Failure::Passing(_)), Some(pause)) if is_last => std::thread::sleep(*pause),
                (Err(Failure::Passing(cause)), Some(pause)) => match stopped.recv_timeout(*pause) {
                    Err(RecvTimeoutError::Timeout) => {}
                    // The last push is about to be made. It says the same and more.
                    _ => return Err(cause),
                },
                (Err(Failure::Passing(cause) | Failure::Final(cause)), _) => return Err(cause),
            }
        }
    }

    fn post(&self, body: Vec<u8>) -> Result<(), Failure> {
        let url = self.push.endpoint.metrics().clone();
        let request = self.client.post(url).header(CONTENT_TYPE, "application/x-protobuf").body(body);
        let response = request.send().map_err(|error| Failure::Passing(in_words(&error)))?;
        let status = response.status();
        if !status.is_success() {
            return Err(refusal(status));
        }
        let mut answer = Vec::new();
        let read = io::Read::read_to_end(&mut io::Read::take(response, ANSWER_MAX), &mut answer);
        read.map_err(|error| Failure::Passing(error.to_string()))?;
        // What is no such answer comes of a receiver that took everything and says nothing.
        let partly =
            ExportMetricsServiceResponse::decode(&answer[..]).ok().and_then(|answer| answer.partial_success);
        match partly {
            Some(partly) if partly.rejected_data_points > 0 => Err(Failure::Final(format!(
                "{} data points were rejected: {}",
                partly.rejected_data_points,
                partly.error_message.chars().filter(|c| !c.is_control()).take(200).collect::<String>()
            ))),
            _ => Ok(()),
        }
    }
}

/// Waits until `due`, or until it is to end; returns whether it is.
fn wait_until(stopped: &Receiver<()>, due: Instant) -> bool {
    let left = due.saturating_duration_since(Instant::now());
    !matches!(stopped.recv_timeout(left), Err(RecvTimeoutError::Timeout))
}

/// An answer that is none of success. Which of them pass is OTLP's own list.
fn refusal(status: StatusCode) -> Failure {
    let text = format!("the answer is {status}");
    match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Failure::Passing(text),
        StatusCode::NOT_FOUND => Failure::Final(format!(
            "{text}. Prometheus takes them at http://HOST:9090/api/v1/otlp when it runs with \
             --web.enable-otlp-receiver"
        )),
        _ => Failure::Final(text),
    }
}

/// An error with its causes, without the URL, in which secrets may stand.
pub(super) fn in_words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", super::endpoint::REQUEST_LIMIT.as_secs());
    }
    let mut text = if error.is_connect() { "cannot connect".to_owned() } else { "no answer".to_owned() };
    let mut cause = std::error::Error::source(error);
    let mut last = None;
    while let Some(inner) = cause {
        last = Some(inner.to_string());
        cause = inner.source();
    }
    if let Some(last) = last {
        text.push_str(": ");
        text.push_str(&last);
    }
    text
}
