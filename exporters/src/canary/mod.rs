//! What a client feels: a canary that writes, reads and watches nodes of its own, over and over.
//!
//! | operation | what is timed |
//! |---|---|
//! | `write` | a write to a node |
//! | `read` | a read of it, from the member that the session is connected to |
//! | `sync_read` | a sync and a read: what a client does that must not read old data |
//! | `watch` | a write by one session, until another one's watch event of it |
//!
//! Each is due at its own times, at a fixed rate, and timed from when it was due. None has more than one operation on its
//! way: those that fall due meanwhile are not sent, and are counted as missed. Each has a session of its own (the watch
//! has two), so that one that hangs holds up no other, and one more session holds the lock.
//!
//! Its nodes are those of a run (see [`Root`]): they go when it stops. What a killed one leaves is removed by the next
//! canary with the same parent, and by `quorumeter clean`.

mod access;
mod keeper;
mod operation;
mod schedule;
mod stats;

use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quorumeter_targets::TargetUrl;
use quorumeter_targets::session::{Outcome as SessionOutcome, Timeouts};
use quorumeter_targets::zookeeper::client::ClientError;
use quorumeter_targets::zookeeper::outcome::of_write;
use quorumeter_targets::zookeeper::root::{DEFAULT_PARENT, Root};
use quorumeter_targets::zookeeper::{Client, driver};
use quorumeter_zk::OpCode;
use tokio::sync::watch;
use tokio::task::{Id, JoinSet, LocalSet};
use tokio::time::timeout;

pub use access::Access;
pub use stats::Operation;
use stats::Stats;

use crate::config::{CanarySettings, Cluster};
use crate::family::Families;

/// How long an operation may take before it is given up.
pub const OPERATION_LIMIT: Duration = Duration::from_secs(5);

/// How long sessions outlive the canary when it is killed.
const TIMEOUTS: Timeouts = Timeouts { session_ms: 10_000, connect_ms: 1000, read_share: 2.0 / 3.0 };

/// How long the nodes' removal may take.
const RELEASE_LIMIT: Duration = Duration::from_secs(5);

/// How long the end of a session may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// What the names of canaries' nodes begin with.
const NAME: &str = "canary-";

const DEFECT: &str = "it has ended by a defect of this exporter; a reload or restart begins it anew";

/// A canary, on a thread of its own. It ends when this is dropped.
#[derive(Debug)]
pub struct Canary {
    shared: Arc<Shared>,
    access: Arc<Mutex<Access>>,
    stop: watch::Sender<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    stats: Mutex<Stats>,
}

impl Shared {
    fn stats(&self) -> std::sync::MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody performs any operation from now on.
    fn died(&self, rate_per_s: f64, why: &str) {
        let mut stats = self.stats();
        for operation in Operation::ALL {
            stats.died(operation, rate_per_s, why);
        }
    }
}

/// Where a canary is at work.
#[derive(Debug, Clone)]
struct Place {
    target: TargetUrl,
    /// Of all canaries that are configured alike.
    parent: String,
    root: Root,
    rate_per_s: f64,
    access: Arc<Mutex<Access>>,
}

impl Canary {
    /// Begins, and goes on until it is stopped, whatever becomes of the ensemble. If there was one `before` that said to be
    /// somebody else, that one ends first: what it made above its nodes would be closed to this one.
    pub fn start(
        cluster: &Cluster,
        settings: &CanarySettings,
        access: Access,
        before: Option<Arc<Canary>>,
    ) -> Canary {
        let before = before.filter(|before| !before.is_the_same_user(&access));
        let access = Arc::new(Mutex::new(access));
        let place = Place::new(&cluster.target, settings, Arc::clone(&access));
        let rate_per_s = place.rate_per_s;
        let work = |shared, stopped| {
            if let Some(before) = before {
                before.stop();
            }
            run(place, shared, stopped);
        };
        Canary::begin(rate_per_s, access, work, on_a_thread)
    }

    /// Begins this work. That it cannot begin, or ends before its end is wanted, is told as what falls due and is missed.
    fn begin(
        rate_per_s: f64,
        access: Arc<Mutex<Access>>,
        work: impl FnOnce(Arc<Shared>, watch::Receiver<bool>) + Send + 'static,
        spawn: fn(Work) -> io::Result<JoinHandle<()>>,
    ) -> Canary {
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = watch::channel(false);
        let of_thread = Arc::clone(&shared);
        let thread = spawn(Box::new(move || {
            let _alive = Alive { shared: Arc::clone(&of_thread), rate_per_s, stopped: stopped.clone() };
            work(of_thread, stopped);
        }));
        if let Err(error) = &thread {
            shared.died(rate_per_s, &format!("it cannot start: {error}"));
        }
        Canary { shared, access, stop, thread: Mutex::new(thread.ok()) }
    }

    /// Whether it can go on with this: it is alive, and says to be whom this says, as its nodes may belong to that one alone.
    pub fn goes_on_with(&self, access: &Access) -> bool {
        self.is_the_same_user(access) && !self.has_died()
    }

    fn is_the_same_user(&self, access: &Access) -> bool {
        let own = self.access.lock().unwrap_or_else(PoisonError::into_inner);
        own.settings.auth == access.settings.auth
    }

    /// Connects with this from now on; what is connected stays so.
    pub fn renew(&self, access: Access) {
        *self.access.lock().unwrap_or_else(PoisonError::into_inner) = access;
    }

    /// Adds what it has felt so far.
    pub fn families(&self, cluster: &str, into: &mut Families) {
        self.shared.stats().families(cluster, into);
    }

    /// Why the last operation that was not well was not, if the last one was not.
    pub fn trouble(&self) -> Option<String> {
        self.shared.stats().trouble()
    }

    /// Whether nobody is at work, or not at all of it, though its end was not wanted.
    fn has_died(&self) -> bool {
        self.shared.stats().has_died()
    }

    /// Lets it end.
    pub fn end(&self) {
        self.stop.send_replace(true);
    }

    /// Lets it end, and waits until it has removed its nodes, some seconds at most.
    pub fn stop(&self) {
        self.end();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A canary that panicked has ended, too.
            let _ = thread.join();
        }
    }
}

/// What a thread does.
type Work = Box<dyn FnOnce() + Send>;

fn on_a_thread(work: Work) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("canary".into()).spawn(work)
}

/// Tells of the death of a thread that goes away with this.
struct Alive {
    shared: Arc<Shared>,
    rate_per_s: f64,
    stopped: watch::Receiver<bool>,
}

impl Drop for Alive {
    fn drop(&mut self) {
        if !*self.stopped.borrow() {
            self.shared.died(self.rate_per_s, DEFECT);
        }
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.end();
    }
}

impl Place {
    fn new(target: &TargetUrl, settings: &CanarySettings, access: Arc<Mutex<Access>>) -> Place {
        let parent = match &settings.root {
            Some(root) => root.clone(),
            None if target.chroot.is_empty() => DEFAULT_PARENT.to_owned(),
            None => target.chroot.clone(),
        };
        let name = format!("{NAME}{:016x}", draw_id());
        let root = Root::new(&quorumeter_zk::path::child(&parent, &name), &name);
        Place { target: target.clone(), parent, root, rate_per_s: settings.rate_per_s, access }
    }

    /// A session.
    async fn connect(&self) -> Result<Client, Trouble> {
        let Access { tls, settings } = self.access.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let members = driver::resolve(&self.target.members, tls.as_ref()).await.map_err(Trouble::other)?;
        // One round through the members: an operation that is due does not wait for them.
        let connected = Client::connect(members, TIMEOUTS, settings, Duration::ZERO);
        Ok(connected.await?)
    }
}

/// Differs between canaries: another process, another time, or another one of this process.
fn draw_id() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    RandomState::new().hash_one((std::process::id(), now))
}

/// Why an operation was not well.
#[derive(Debug)]
enum Trouble {
    /// What the client says.
    Client(ClientError),
    /// Nothing was sent.
    Other(String),
    /// It was given up.
    Late,
}

impl Trouble {
    fn other(error: impl ToString) -> Trouble {
        Trouble::Other(error.to_string())
    }

    /// Whether it proves that nothing was done.
    fn is_refusal(&self) -> bool {
        match self {
            // Some answers to a write leave it open.
            Trouble::Client(ClientError::Server { op: OpCode::SET_DATA, code, .. }) => {
                matches!(of_write(*code), SessionOutcome::Failed(_))
            }
            Trouble::Other(_) | Trouble::Client(ClientError::Connect(_) | ClientError::Server { .. }) => true,
            Trouble::Client(_) | Trouble::Late => false,
        }
    }
}

impl From<ClientError> for Trouble {
    fn from(error: ClientError) -> Trouble {
        Trouble::Client(error)
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Client(error) => error.fmt(f),
            Trouble::Other(message) => f.write_str(message),
            Trouble::Late => write!(f, "no answer within {} s", OPERATION_LIMIT.as_secs()),
        }
    }
}

fn run(place: Place, shared: Arc<Shared>, stopped: watch::Receiver<bool>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return shared.died(place.rate_per_s, &format!("it cannot start: {error}")),
    };
    LocalSet::new().block_on(&runtime, async move {
        let place = Arc::new(place);
        // The nodes are there before the operations begin, and go after them.
        let mut keeper = keeper::Keeper::new(Arc::clone(&place));
        let mut operations = Operations::default();
        let mut ending = stopped.clone();
        keeper.prepare(&shared, &mut ending).await;
        if !*ending.borrow() {
            for operation in Operation::ALL {
                let (place, shared) = (Arc::clone(&place), Arc::clone(&shared));
                operations.begin(operation, operation::go_on(operation, place, shared, stopped.clone()));
            }
        }
        tokio::select! {
            () = keeper.keep(&shared, &mut ending) => {}
            () = operations.watch_over(&shared, place.rate_per_s) => {}
        }
        while operations.tasks.join_next().await.is_some() {}
        keeper.release().await;
    });
}

/// The operations, a task for each.
#[derive(Default)]
struct Operations {
    tasks: JoinSet<()>,
    of: HashMap<Id, Operation>,
}

impl Operations {
    fn begin(&mut self, operation: Operation, work: impl Future<Output = ()> + 'static) {
        let id = self.tasks.spawn_local(work).id();
        self.of.insert(id, operation);
    }

    /// Tells of each whose task panics; the others go on. Has no end.
    async fn watch_over(&mut self, shared: &Shared, rate_per_s: f64) {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            if let Err(error) = ended
                && let Some(operation) = self.of.get(&error.id())
            {
                shared.stats().died(*operation, rate_per_s, DEFECT);
            }
        }
        pending::<()>().await;
    }
}

/// Ends a session, unless that takes too long: it expires anyway.
async fn close(client: Client) {
    let _ = timeout(CLOSE_LIMIT, client.close()).await;
}

#[cfg(test)]
mod tests {
    use quorumeter_zk::ErrorCode;

    use super::*;
    use crate::ask::tests::https::authority;
    use crate::catalog;
    use crate::config::Settings;
    use crate::family::Series;
    use crate::sample::Value;

    #[tokio::test]
    async fn files_are_read_before_it_connects_and_those_of_a_reload_from_then_on() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        let acceptor = authority(&file("ca.pem"));
        authority(&file("stranger.pem"));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                // It secures the connection and ends it.
                let _ = acceptor.accept(tcp).await;
            }
        });
        let load = |ca: &str| {
            let mut target: TargetUrl = format!("zks://{address}").parse().unwrap();
            target.tls.as_mut().unwrap().ca = Some(file(ca));
            let cluster = Cluster::new("c".to_owned(), target, Settings::default()).unwrap();
            Access::load(&cluster).map(|access| (cluster, access))
        };
        let (cluster, access) = load("stranger.pem").unwrap();
        let canary = CanarySettings { rate_per_s: 1.0, root: None, auth: None };
        let (stop, _) = watch::channel(false);
        let access = Arc::new(Mutex::new(access));
        let place = Place::new(&cluster.target, &canary, Arc::clone(&access));
        let canary = Canary { shared: Arc::default(), access, stop, thread: Mutex::new(None) };
        std::fs::remove_file(file("stranger.pem")).unwrap();
        let trouble = async || place.connect().await.err().unwrap().to_string();
        assert!(trouble().await.contains("not signed by an authority that is trusted"), "the file was read");
        assert!(load("stranger.pem").is_err_and(|error| error.contains("cannot read")));
        canary.renew(load("ca.pem").unwrap().1);
        assert!(!trouble().await.contains("certificate"), "secured, and ended then");
        server.abort();
    }

    fn access() -> Arc<Mutex<Access>> {
        let target = "zk://127.0.0.1:1".parse().unwrap();
        let cluster = Cluster::new("c".to_owned(), target, Settings::default()).unwrap();
        Arc::new(Mutex::new(Access::load(&cluster).unwrap()))
    }

    /// Of each operation the number that was missed.
    fn missed(canary: &Canary) -> Vec<f64> {
        let mut families = Families::default();
        canary.families("c", &mut families);
        let families = families.into_sorted();
        let probes = families.iter().find(|family| family.metric.name == catalog::PROBES.name).unwrap();
        let is_missed = |series: &&Series| series.labels.iter().any(|label| label == "missed");
        let number = |series: &Series| match series.value {
            Value::Number(number) => number,
            Value::Histogram(_) => unreachable!("it is a counter"),
        };
        probes.series.iter().filter(is_missed).map(number).collect()
    }

    /// What it says of a canary that is told as dead, once all that it should do is missed.
    fn trouble_of_dead(canary: &Canary) -> String {
        let begun = std::time::Instant::now();
        while !canary.has_died() || missed(canary).iter().any(|missed| *missed < 1.0) {
            assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", missed(canary));
            std::thread::yield_now();
        }
        canary.stop();
        assert!(!canary.goes_on_with(&access().lock().unwrap()), "a reload begins another one");
        canary.trouble().unwrap()
    }

    #[test]
    fn a_canary_that_cannot_start_or_dies_is_told_and_misses_all_that_falls_due() {
        let no_thread: fn(Work) -> io::Result<JoinHandle<()>> =
            |_| Err(io::Error::other("there is no thread to spare"));
        let canary = Canary::begin(100.0, access(), |_, _| {}, no_thread);
        assert_eq!(trouble_of_dead(&canary), "it cannot start: there is no thread to spare");
        let canary = Canary::begin(100.0, access(), |_, _| panic!("as it should in this test"), on_a_thread);
        assert_eq!(trouble_of_dead(&canary), DEFECT);
        let wait = |_: Arc<Shared>, mut stopped: watch::Receiver<bool>| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(stopped.wait_for(|stop| *stop)).map(|_| ());
        };
        let canary = Canary::begin(100.0, access(), wait, on_a_thread);
        assert!(canary.goes_on_with(&access().lock().unwrap()));
        canary.stop();
        assert!(!canary.has_died() && canary.trouble().is_none(), "its end was wanted");
    }

    #[tokio::test]
    async fn an_operation_that_dies_is_told_and_the_others_go_on() {
        let shared = Shared::default();
        let local = LocalSet::new();
        let watched = local.run_until(async {
            let mut operations = Operations::default();
            operations.begin(Operation::Read, async { panic!("as it should in this test") });
            operations.begin(Operation::Write, pending());
            let died = async {
                while !shared.stats().has_died() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                () = operations.watch_over(&shared, 1e9) => unreachable!("it has no end"),
                () = died => {}
            }
            assert_eq!(operations.tasks.len(), 1, "the other one goes on");
        });
        timeout(Duration::from_secs(30), watched).await.unwrap();
        let (stop, _) = watch::channel(false);
        let canary = Canary { shared: Arc::new(shared), access: access(), stop, thread: Mutex::new(None) };
        let missed = missed(&canary);
        assert_eq!(missed.iter().filter(|missed| **missed > 0.0).count(), 1, "{missed:?}");
        assert_eq!(canary.trouble().as_deref(), Some(DEFECT));
    }

    #[test]
    fn only_what_proves_that_nothing_was_done_is_a_refusal() {
        let server = |op, code| Trouble::Client(ClientError::Server { op, path: String::new(), code });
        for (trouble, is_refusal) in [
            (server(OpCode::SET_DATA, ErrorCode::NO_NODE), true),
            (server(OpCode::SET_DATA, ErrorCode::THROTTLED_OP), true),
            // As ClickHouse Keeper says when its leader went away with the write.
            (server(OpCode::SET_DATA, ErrorCode::OPERATION_TIMEOUT), false),
            (server(OpCode::SET_DATA, ErrorCode::CONNECTION_LOSS), false),
            (server(OpCode::GET_DATA, ErrorCode::CONNECTION_LOSS), true),
            (Trouble::Other("no such host".into()), true),
            (Trouble::Late, false),
        ] {
            assert_eq!(trouble.is_refusal(), is_refusal, "{trouble:?}");
        }
    }
}
