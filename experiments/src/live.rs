//! A run for the world outside, while it goes: scraped over HTTP, pushed over OTLP.
//!
//! Both have threads of their own. What they tell is fed by the engine's aggregator, once per interval, and by the run's
//! control; no worker waits for them. Members are asked when somebody wants to know, and not otherwise.
//!
//! The listener is there from before the first connection until the record has been judged: clean-up and report are still
//! scraped. Nobody is waited for. Whoever wants the last numbers, too, has them pushed, which is done once more at the end.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use quorumeter_ensemble::launch::{self, Launched};
use quorumeter_exporters::ask::HttpAddress;
use quorumeter_exporters::bench::{Bench, BenchInfo, Time};
use quorumeter_exporters::config::{Admin, Cluster, Config, Settings};
use quorumeter_exporters::otlp::{
    Endpoint, EndpointError, Push, Pusher, Reading, Resource, Source, TraceOf, push_trace,
};
use quorumeter_exporters::sample::Value;
use quorumeter_exporters::serve::{Gather, Gathering, serve};
use quorumeter_exporters::service::{Service, over_the_network};
use quorumeter_exporters::{Families, Family, record_line};
use quorumeter_loadgen::{Told, Workload};
use quorumeter_record::{FailoverPlan, FaultStage, Phase, ProbeRole, RowKind};
use quorumeter_targets::TargetUrl;
use quorumeter_targets::url::HostPort;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// The label `cluster` of the members that are measured.
pub const CLUSTER: &str = "measured";

/// How long a member may take to tell everything.
const ASK_LIMIT: Duration = Duration::from_secs(2);

/// Time between two pushes.
const PUSH_PERIOD: Duration = Duration::from_secs(5);

/// Who is told of a run while it goes.
#[derive(Debug, Clone, Default)]
pub struct Audience {
    /// Where `/metrics` is served.
    pub listen: Option<SocketAddr>,
    /// Where metrics and the trace are pushed to.
    pub otlp: Option<Endpoint>,
}

/// Why nobody can be told.
#[derive(Debug, thiserror::Error)]
pub enum AudienceError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}{}", advice(source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// Nothing can be pushed.
    #[error(transparent)]
    Push(#[from] EndpointError),
    /// There is no thread for it.
    #[error("cannot serve metrics: {0}")]
    Thread(io::Error),
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program has the port: choose another one, or 0 for any that is free"
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 are the system's: choose another one",
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has this address",
        _ => "",
    }
}

impl Audience {
    /// Takes the address to listen on, if there is one.
    pub(crate) fn listener(&self) -> Result<Option<TcpListener>, AudienceError> {
        let bind = |address: SocketAddr| {
            TcpListener::bind(address).map_err(|source| AudienceError::Listen { address, source })
        };
        self.listen.map(bind).transpose()
    }
}

/// What is known of the run, for everyone who feeds it and asks for it. Does nothing where nobody listens.
#[derive(Clone, Default)]
pub(crate) struct Live(Option<Arc<Known>>);

struct Known {
    bench: Mutex<Bench>,
    /// Who asks the members for scrapers, and for pushes, once it is known who they are. Each has connections of its own:
    /// those that one thread has opened are served by that thread alone.
    for_scrapes: Mutex<Option<Arc<Service>>>,
    for_pushes: Mutex<Option<Arc<Service>>>,
    /// The members' processes, where the run has started them.
    launched: Mutex<Weak<Launched>>,
    /// What the user should be told.
    notices: Mutex<Vec<String>>,
}

/// Who tells it.
#[derive(Default)]
pub(crate) struct Tellers {
    server: Option<Server>,
    pusher: Option<Pusher>,
    otlp: Option<(Endpoint, Resource)>,
}

/// A thread that serves until it is told to stop.
struct Server {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// Lets a run be known to its audience, on the listener that was taken for it.
pub(crate) fn start(
    audience: &Audience,
    listener: Option<TcpListener>,
    info: BenchInfo,
    resource: Resource,
    start_unix_ns: u64,
) -> Result<(Live, Tellers), AudienceError> {
    if listener.is_none() && audience.otlp.is_none() {
        return Ok(Default::default());
    }
    let known = Arc::new(Known {
        bench: Mutex::new(Bench::new(info)),
        for_scrapes: Mutex::default(),
        for_pushes: Mutex::default(),
        launched: Mutex::default(),
        notices: Mutex::default(),
    });
    let server = listener.map(|listener| Server::start(listener, Arc::clone(&known))).transpose();
    let mut tellers = Tellers { server: server.map_err(AudienceError::Thread)?, ..Tellers::default() };
    if let Some(endpoint) = &audience.otlp {
        let push = Push {
            endpoint: endpoint.clone(),
            resource: resource.clone(),
            start_unix_ns,
            period: PUSH_PERIOD,
        };
        let told = Arc::clone(&known);
        let tell = move |text: &str| lock(&told.notices).push(text.to_owned());
        let source = Arc::clone(&known);
        tellers.pusher = Some(Pusher::start(push, source, tell)?);
        tellers.otlp = Some((endpoint.clone(), resource));
    }
    Ok((Live(Some(known)), tellers))
}

impl Server {
    fn start(listener: TcpListener, known: Arc<Known>) -> io::Result<Server> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let body = move || {
            let stopped = async {
                // A run that is gone needs nobody who tells of it.
                let _ = stopped.await;
            };
            if let Err(error) =
                runtime.block_on(serve(listener, Arc::clone(&known) as Arc<dyn Gather>, stopped))
            {
                lock(&known.notices).push(format!("metrics are not served: {error}"));
            }
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("metrics".to_owned()).spawn(body)?;
        Ok(Server { stop, thread })
    }
}

impl Tellers {
    /// Tells the rest, and ends: the last push, the trace, then whoever still scrapes. Returns what the user should know.
    pub(crate) fn finish(self, live: &Live, trace: impl FnOnce() -> Option<TraceOf>) -> Vec<String> {
        let mut failed = 0;
        if let Some(pusher) = self.pusher {
            failed = pusher.finish().failed;
        }
        let pushed = self.otlp.map_or(Ok(()), |(endpoint, resource)| {
            trace().map_or(Ok(()), |trace| push_trace(&trace, &endpoint, &resource))
        });
        if let Some(Server { stop, thread }) = self.server {
            // It may have ended by itself.
            let _ = (stop.send(()), thread.join());
        }
        let mut notices = live.take_notices();
        if failed > 1 {
            notices.push(format!("{failed} pushes of metrics failed"));
        }
        notices.extend(pushed.err());
        notices
    }
}

impl Live {
    /// The members are these, from now on; of launched ones the AdminServers are known, and what their processes use.
    pub(crate) fn members(&self, url: &TargetUrl, launched: Option<&Arc<Launched>>) {
        let Some(known) = &self.0 else { return };
        *lock(&known.launched) = launched.map(Arc::downgrade).unwrap_or_default();
        let admin = |launched: &Launched| -> Option<Vec<HttpAddress>> {
            let of = |member: &launch::Member| member.admin.map(|at| host_port(at).into());
            launched.members.iter().map(of).collect()
        };
        let settings = Settings {
            admin: launched.and_then(|launched| admin(launched)).map_or(Admin::None, Admin::Each),
            timeout: ASK_LIMIT,
            ..Settings::default()
        };
        let cluster = Cluster { name: CLUSTER.to_owned(), target: url.clone(), settings };
        let config = Config { clusters: vec![cluster], ..Config::default() };
        for members in [&known.for_scrapes, &known.for_pushes] {
            match Service::new(&config, over_the_network) {
                Ok(service) => *lock(members) = Some(Arc::new(service)),
                Err(error) => lock(&known.notices).push(format!("members are not asked for others: {error}")),
            }
        }
    }

    /// A phase begins.
    pub(crate) fn phase(&self, phase: Phase) {
        self.with(|bench| bench.phase(phase));
    }

    /// A step of a fault.
    pub(crate) fn fault(&self, t_ns: u64, repetition: u32, stage: FaultStage) {
        self.with(|bench| bench.fault(t_ns, repetition, stage));
    }

    /// What the user should be told.
    pub(crate) fn take_notices(&self) -> Vec<String> {
        self.0.as_ref().map(|known| std::mem::take(&mut *lock(&known.notices))).unwrap_or_default()
    }

    /// Takes in what the engine tells; of streams, by number, whether they are write probes.
    pub(crate) fn engine(&self, told: Told<'_>, write_probes: &[bool]) {
        self.with(|bench| match told {
            Told::Interval(interval) => {
                for times in interval.times() {
                    let mut add = |time, histogram| bench.times(times.stream, &times.op, time, histogram);
                    times.response.into_iter().flatten().for_each(|histogram| add(Time::Response, histogram));
                    times.service.into_iter().for_each(|histogram| add(Time::Service, histogram));
                    times.wait.into_iter().for_each(|histogram| add(Time::Wait, histogram));
                }
                interval.lag().iter().for_each(|histogram| bench.lag(histogram));
                // Of write probes every op is told, and the other streams' writes do not count.
                if !write_probes.contains(&true) {
                    bench.acknowledged(interval.acknowledged());
                }
                bench.interval(interval.lines);
            }
            Told::Events(events) => bench.sessions(events),
            Told::History(rows) => {
                let is_write = |stream: u16| write_probes.get(usize::from(stream)) == Some(&true);
                let acknowledged = rows.iter().filter(|row| row.kind == RowKind::Ok && is_write(row.stream));
                bench.acknowledged(acknowledged.map(|row| row.ended_ns..row.ended_ns));
            }
        });
    }

    fn with(&self, change: impl FnOnce(&mut Bench)) {
        if let Some(known) = &self.0 {
            change(&mut lock(&known.bench));
        }
    }
}

/// Of the workload's streams, by number, whether they are write probes.
pub(crate) fn write_probes(workload: &Workload, plan: Option<&FailoverPlan>) -> Vec<bool> {
    let probes = || plan.iter().flat_map(|plan| &plan.probes);
    let is_write = |name: &str| probes().any(|probe| probe.stream == name && probe.role == ProbeRole::Write);
    workload.streams.iter().map(|stream| is_write(&stream.name)).collect()
}

impl Known {
    /// What members tell within the limit, then what the run tells by then.
    async fn read(&self, members: &Mutex<Option<Arc<Service>>>, limit: Duration) -> Reading {
        let members = lock(members).clone();
        let asked = match &members {
            Some(members) => members.gather_within(limit).await,
            None => None,
        };
        let mut of_run = Families::default();
        let exponentials = {
            // Both kinds of histogram are of the same moment.
            let bench = lock(&self.bench);
            bench.families(&mut of_run);
            bench.exponentials()
        };
        let mut families = self.used();
        families.extend(asked.into_iter().flatten());
        families.append(of_run);
        Reading { families: families.into_sorted(), exponentials }
    }

    /// What the processes of the run's own members have used.
    fn used(&self) -> Families {
        let mut families = Families::default();
        // The run stops them; who asks meanwhile keeps none of them.
        let Some(launched) = lock(&self.launched).upgrade() else { return families };
        for member in &launched.members {
            let labels = [CLUSTER.to_owned(), host_port(member.address).to_string()];
            for (metric, value) in launched.process_use(member.id).iter().flat_map(record_line::used) {
                families.add(metric, labels.to_vec(), Value::Number(value));
            }
        }
        families
    }
}

impl Gather for Known {
    fn gather(&self) -> Gathering<'_, Vec<Family>> {
        Box::pin(async { self.read(&self.for_scrapes, Duration::MAX).await.families })
    }

    fn gather_within(&self, limit: Duration) -> Gathering<'_, Option<Vec<Family>>> {
        Box::pin(async move { Some(self.read(&self.for_scrapes, limit).await.families) })
    }

    fn clusters(&self) -> Vec<(String, String)> {
        lock(&self.for_scrapes).as_ref().map(|members| members.clusters()).unwrap_or_default()
    }
}

impl Source for Known {
    fn read(&self) -> Gathering<'_, Reading> {
        Box::pin(self.read(&self.for_pushes, Duration::MAX))
    }
}

fn host_port(address: SocketAddr) -> HostPort {
    HostPort { host: address.ip().to_string(), port: address.port() }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
