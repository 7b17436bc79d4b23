//! What is gathered, served over HTTP/1.1.
//!
//! | path | what it tells |
//! |---|---|
//! | `/metrics` | everything, gathered now |
//! | `/probe?target=URL[&cluster=NAME]` | the members of one target, where the one who gathers can do that |
//! | `/healthz` | that this process answers; nothing of the ensembles |
//! | `/` | what is told of, and where |
//!
//! | limit | is |
//! |---|---|
//! | connections at once | 128; further ones wait in the kernel's queue |
//! | scrapes at once | 16; further ones are told to come again (503) |
//! | time for a request's head, and between two requests | 30 s |
//! | time of a scrape | what Prometheus says in `X-Prometheus-Scrape-Timeout-Seconds`, less up to 0.5 s for the way back; 60 s otherwise |
//! | life of a connection | 10 min, so that one whose answers nobody takes is not there for ever |
//! | a request's head | 8 KiB, 64 headers (431) |

mod pages;
mod routes;

use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::family::Family;

const CONNECTIONS_MAX: usize = 128;
const SCRAPES_MAX: usize = 16;
const HEAD_TIME: Duration = Duration::from_secs(30);
const HEAD_MAX: usize = 8 << 10;
const HEADERS_MAX: usize = 64;
const CONNECTION_LIFE: Duration = Duration::from_secs(600);
/// How long what is on its way may take once the end is wanted.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// How long nobody is let in after the system had no room for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A future that can be kept and sent.
pub type Gathering<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One who knows what there is to tell.
pub trait Gather: Send + Sync + 'static {
    /// Everything, as it is now. Several may gather at once.
    fn gather(&self) -> Gathering<'_, Vec<Family>>;

    /// The same within a time limit; `None` when nothing was to be had in time.
    fn gather_within(&self, limit: Duration) -> Gathering<'_, Option<Vec<Family>>> {
        Box::pin(async move { timeout(limit, self.gather()).await.ok() })
    }

    /// Whoever answers for it, by cluster: the name and the target's URL. For people.
    fn clusters(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// What went wrong when it was last gathered, a line each. For people.
    fn problems(&self) -> Vec<String> {
        Vec::new()
    }

    /// What the members of another target tell, within a time limit.
    fn probe(&self, _wanted: Wanted, _limit: Duration) -> Gathering<'_, Result<Vec<Family>, Refused>> {
        Box::pin(async { Err(Refused::NotHere) })
    }
}

/// A target that is to be probed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Its URL.
    pub target: String,
    /// The value of the label `cluster`; the first member when there is none.
    pub cluster: Option<String>,
}

/// Why a target is not probed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such page.
    #[error("this server probes no targets; see /metrics")]
    NotHere,
    /// The target is none.
    #[error("target: {0}")]
    Target(String),
    /// Nobody may be probed.
    #[error(
        "probing is off, because it lets whoever reaches this port reach members through it; say which with \
         --probe-allow HOST[:PORT], or [probe] allow = [\"HOST:PORT\"] in the configuration"
    )]
    Off,
    /// This one may not.
    #[error(
        "{0} is not among the members that may be probed; add it with --probe-allow HOST[:PORT], or to [probe] allow in \
         the configuration"
    )]
    NotAllowed(String),
    /// The members cannot be asked.
    #[error("cannot ask the target: {0}")]
    Setup(String),
    /// Nothing was to be had in time.
    #[error(
        "the members did not tell within {0} ms; give Prometheus a longer scrape_timeout, or this exporter a shorter timeout"
    )]
    Timeout(u128),
}

/// Serves until `stop` is ready, and then ends the requests that are on their way, at most ten seconds.
///
/// # Errors
///
/// When the listener cannot be taken over. What goes wrong with a connection ends that connection.
pub async fn serve(
    listener: TcpListener,
    gather: Arc<dyn Gather>,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let router = routes::router(gather, SCRAPES_MAX);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (ending, ended) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            (place, accepted) = accepted => match accepted {
                Ok((stream, _)) => {
                    let connection = serve_connection(stream, router.clone(), ended.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                // Too many open files, or one that was gone before it was let in.
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    // Nobody may be left to be told.
    let _ = ending.send(true);
    // What does not end in time is dropped with the set.
    let _ = timeout(STOP_GRACE, async { while connections.join_next().await.is_some() {} }).await;
    Ok(())
}

async fn serve_connection(stream: TcpStream, router: axum::Router, mut ending: watch::Receiver<bool>) {
    // Answers are written whole: waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_header_size(HEAD_MAX)
        .max_headers(HEADERS_MAX);
    let service = TowerToHyperService::new(router);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // A client that went away in the middle is no concern of ours.
        _ = &mut connection => return,
        _ = ending.wait_for(|end| *end) => {}
        () = sleep(CONNECTION_LIFE) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(STOP_GRACE, connection).await;
}
