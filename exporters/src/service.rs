//! An exporter as a service: clusters asked when somebody scrapes, and never in between.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quorumeter_targets::TargetUrl;
use quorumeter_targets::url::HostPort;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::ask::{self, Asker};
use crate::asked::{Asked, Problem, ProblemKind};
use crate::canary::{Access, Canary};
use crate::catalog;
use crate::config::{Cluster, Config, Probe, Secret, Settings};
use crate::derive::{self, Memory};
use crate::family::{Families, Family};
use crate::otlp::{Reading, Source};
use crate::own;
use crate::sample::Value;
use crate::serve::{Gather, Gathering, Refused, Wanted};

/// How long what is pushed may be gathered.
const PUSH_LIMIT: Duration = Duration::from_secs(8);

/// Probed targets whose counters are remembered, those that were probed last.
const PROBED_MAX: usize = 128;

/// What of a scrape's time is left to put the answers together, at most.
const SPARE: Duration = Duration::from_millis(100);

/// Problems of a cluster that are told to people.
const PROBLEMS_MAX: usize = 20;

/// Who asks the members of a cluster.
pub trait Members: std::fmt::Debug + Send + Sync + 'static {
    /// What came of asking all of them, within a limit that may be shorter than their own. Several may ask at once.
    fn ask(&self, limit: Duration) -> Gathering<'_, Vec<Asked>>;
}

/// Makes the one who asks a cluster's members. The error is a message.
pub type Reach = fn(&Cluster) -> Result<Arc<dyn Members>, String>;

impl Members for Asker {
    fn ask(&self, limit: Duration) -> Gathering<'_, Vec<Asked>> {
        Box::pin(self.ask_within(limit))
    }
}

/// The members as they are asked over the network.
///
/// # Errors
///
/// A message when files of certificates or secrets cannot be read.
pub fn over_the_network(cluster: &Cluster) -> Result<Arc<dyn Members>, String> {
    let Settings { admin, prometheus, timeout, token, tls, .. } = &cluster.settings;
    let members = cluster.target.members.iter().enumerate().map(|(place, address)| ask::Watched {
        address: address.clone(),
        admin: admin.of(place, address),
        prometheus: prometheus.map(|port| port.of(address)),
    });
    let watch = ask::Watch {
        cluster: cluster.name.clone(),
        system: cluster.target.system,
        members: members.collect(),
        limit: *timeout,
        tls: cluster.target.tls.clone(),
        https: cluster.target.tls.as_ref().unwrap_or(tls).clone(),
        token: token.as_ref().map(Secret::read).transpose()?,
    };
    Ok(Arc::new(Asker::new(watch).map_err(|error| error.to_string())?))
}

/// Clusters that are asked at scrape time, and this process itself.
#[derive(Debug)]
pub struct Service {
    reach: Reach,
    setup: Mutex<Arc<Setup>>,
    /// Those that were probed last first. Locked before `setup`.
    probed: Mutex<VecDeque<Probed>>,
    reloads: [(&'static str, AtomicU64); 2],
}

/// What one configuration makes.
#[derive(Debug)]
struct Setup {
    clusters: Vec<Arc<Watched>>,
    probe: Probe,
}

/// A cluster that is watched.
#[derive(Debug)]
struct Watched {
    cluster: Cluster,
    members: Arc<dyn Members>,
    /// What survives between scrapes, and a reload that leaves the target as it is.
    memory: Arc<Mutex<Memory>>,
    canary: Option<Arc<Canary>>,
    /// What went wrong when it was asked last, for people.
    problems: Mutex<Vec<String>>,
}

/// A target that was probed.
#[derive(Debug)]
struct Probed {
    cluster: Cluster,
    /// What survives between probes, and a reload that leaves target and settings as they are.
    memory: Arc<Mutex<Memory>>,
    /// `None` from a reload to the next probe: files of certificates may have changed.
    watched: Option<Arc<Watched>>,
}

/// Why a configuration cannot be put into effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// Something is wrong with a cluster.
    #[error("cluster {0:?}: {1}")]
    Cluster(String, String),
    /// Something is wrong with how targets are probed.
    #[error("what may be probed: {0}")]
    Probe(String),
}

impl Service {
    /// Begins to watch what the configuration says.
    ///
    /// # Errors
    ///
    /// When a cluster cannot be set up, as its certificates cannot be read.
    pub fn new(config: &Config, reach: Reach) -> Result<Service, SetupError> {
        let setup = Setup::new(config, reach, None)?;
        Ok(Service {
            reach,
            setup: Mutex::new(Arc::new(setup)),
            probed: Mutex::new(VecDeque::new()),
            reloads: [("ok", AtomicU64::new(0)), ("failed", AtomicU64::new(0))],
        })
    }

    /// Whether the configuration can be put into effect; nothing is begun.
    ///
    /// # Errors
    ///
    /// As [`Service::new`].
    pub fn check(config: &Config, reach: Reach) -> Result<(), SetupError> {
        reached(config, reach).map(drop)
    }

    /// Watches what another configuration says from now on. After an error everything is as it was.
    ///
    /// # Errors
    ///
    /// As [`Service::new`].
    pub fn reload(&self, config: &Config) -> Result<(), SetupError> {
        let before = Arc::clone(&lock(&self.setup));
        let setup = Setup::new(config, self.reach, Some(&before))?;
        let mut probed = lock(&self.probed);
        probed.retain(|one| setup.probe.would_be_the_same(&one.cluster));
        probed.iter_mut().for_each(|one| one.watched = None);
        *lock(&self.setup) = Arc::new(setup);
        Ok(())
    }

    /// Counts an attempt to read the configuration anew.
    pub fn count_reload(&self, ok: bool) {
        self.reloads[usize::from(!ok)].1.fetch_add(1, Ordering::Release);
    }

    /// Ends the canaries, which remove what they made.
    pub fn stop(&self) {
        let setup = Arc::clone(&lock(&self.setup));
        let canaries = || setup.clusters.iter().filter_map(|watched| watched.canary.as_ref());
        // All at the same time: of ensembles that are not there each takes seconds.
        canaries().for_each(|canary| canary.end());
        canaries().for_each(|canary| canary.stop());
    }

    /// The target that is to be probed, as it was probed before if it was.
    fn probed(&self, wanted: Wanted) -> Result<Arc<Watched>, Refused> {
        let mut probed = lock(&self.probed);
        let setup = Arc::clone(&lock(&self.setup));
        let probe = &setup.probe;
        if probe.allow.is_empty() {
            return Err(Refused::Off);
        }
        let target: TargetUrl = wanted.target.parse().map_err(|e| Refused::Target(format!("{e}")))?;
        if let Some(member) = probe.refused(&target.members) {
            return Err(Refused::NotAllowed(member.to_string()));
        }
        let name = wanted.cluster.unwrap_or_else(|| default_name(&target));
        let cluster = probe.cluster(name, target).map_err(Refused::Target)?;
        let place = probed.iter().position(|one| one.cluster == cluster);
        let known = place.map(|place| &probed[place]);
        let memory = known.map(|one| Arc::clone(&one.memory)).unwrap_or_default();
        let watched = match known.and_then(|one| one.watched.clone()) {
            Some(watched) => watched,
            None => Arc::new(Watched {
                cluster: cluster.clone(),
                members: (self.reach)(&cluster).map_err(Refused::Setup)?,
                memory: Arc::clone(&memory),
                canary: None,
                problems: Mutex::default(),
            }),
        };
        if let Some(place) = place {
            probed.remove(place);
        }
        probed.push_front(Probed { cluster, memory, watched: Some(Arc::clone(&watched)) });
        probed.truncate(PROBED_MAX);
        Ok(watched)
    }
}

/// The label of a cluster that nobody named: its first member.
pub fn default_name(target: &TargetUrl) -> String {
    target.members.first().map(ToString::to_string).unwrap_or_default()
}

impl Setup {
    fn new(config: &Config, reach: Reach, before: Option<&Setup>) -> Result<Setup, SetupError> {
        let clusters = reached(config, reach)?.into_iter().map(|Reached { cluster, members, access }| {
            let same =
                before.and_then(|setup| setup.clusters.iter().find(|old| is_the_same(&old.cluster, cluster)));
            let going_on = same.filter(|old| has_the_same_canary(&old.cluster, cluster));
            let going_on = going_on.and_then(|old| old.canary.clone());
            let going_on =
                going_on.filter(|canary| access.as_ref().is_some_and(|access| canary.goes_on_with(access)));
            let canary = match (cluster.settings.canary.as_ref().zip(access), going_on) {
                (None, _) => None,
                (Some((_, access)), Some(canary)) => {
                    canary.renew(access);
                    Some(canary)
                }
                (Some((canary, access)), None) => {
                    let before = same.and_then(|old| old.canary.clone());
                    Some(Arc::new(Canary::start(cluster, canary, access, before)))
                }
            };
            let memory = same.map(|old| Arc::clone(&old.memory)).unwrap_or_default();
            Arc::new(Watched {
                cluster: cluster.clone(),
                members,
                memory,
                canary,
                problems: Mutex::default(),
            })
        });
        Ok(Setup { clusters: clusters.collect(), probe: config.probe.clone() })
    }
}

/// Whether a cluster is the one that was watched before: what was counted of it counts on. Members may have come and gone,
/// but not all of them.
fn is_the_same(old: &Cluster, new: &Cluster) -> bool {
    let has = |member| old.target.members.contains(member);
    old.name == new.name && old.target.system == new.target.system && new.target.members.iter().any(has)
}

/// Whether its canary can go on, whatever else is different.
fn has_the_same_canary(old: &Cluster, new: &Cluster) -> bool {
    old.target == new.target && old.settings.canary == new.settings.canary
}

/// A cluster, and how it is reached.
struct Reached<'c> {
    cluster: &'c Cluster,
    members: Arc<dyn Members>,
    /// What its canary connects with.
    access: Option<Access>,
}

/// How each cluster is reached. Made anew each time, as files of certificates and secrets may have changed.
fn reached(config: &Config, reach: Reach) -> Result<Vec<Reached<'_>>, SetupError> {
    // A probe that could not be would tell so to nobody but whoever asks for it.
    if !config.probe.allow.is_empty() {
        let settings = &config.probe.settings;
        let is_needed = settings.has_https() || !settings.tls.is_default();
        let loaded = is_needed.then(|| settings.tls.load()).transpose();
        loaded.map_err(|error| SetupError::Probe(error.to_string()))?;
    }
    let of = |cluster: &Cluster| {
        let wrong = |message| SetupError::Cluster(cluster.name.clone(), message);
        let access = cluster.settings.canary.as_ref().map(|_| Access::load(cluster));
        Ok((reach(cluster).map_err(wrong)?, access.transpose().map_err(wrong)?))
    };
    let reached = |cluster| of(cluster).map(|(members, access)| Reached { cluster, members, access });
    config.clusters.iter().map(reached).collect()
}

impl Watched {
    async fn tell(&self, limit: Duration) -> Families {
        // Each member is given up by itself, so that one that hangs does not take the answers of the others along.
        let each = limit.saturating_sub((limit / 10).min(SPARE));
        let asked = match timeout(limit, self.members.ask(each)).await {
            Ok(asked) => asked,
            Err(_) => self.cluster.target.members.iter().map(|member| late(member, limit)).collect(),
        };
        let mut families = Families::default();
        let mut problems = problems(&asked);
        {
            let mut memory = lock(&self.memory);
            derive::families(&self.cluster.name, &asked, &mut memory, &mut families);
            problems.extend(memory.why_no_tolerance().map(str::to_owned));
        }
        *lock(&self.problems) = problems;
        if let Some(canary) = &self.canary {
            canary.families(&self.cluster.name, &mut families);
        }
        families
    }
}

fn of_this_process(reloads: [(&str, u64); 2], into: &mut Families) {
    into.add(&catalog::BUILD_INFO, vec![env!("CARGO_PKG_VERSION").to_owned()], Value::Number(1.0));
    for (outcome, count) in reloads {
        into.add(&catalog::RELOADS, vec![outcome.to_owned()], Value::Number(count as f64));
    }
    own::families(into);
}

/// What went wrong, a line each; the first ones, when there are many.
fn problems(asked: &[Asked]) -> Vec<String> {
    let of = |member: &Asked| {
        let name = member.member.clone();
        let line = move |problem: &Problem| format!("{name}: {}: {}", problem.source, problem.detail);
        member.problems.iter().map(line).collect::<Vec<_>>()
    };
    asked.iter().flat_map(of).take(PROBLEMS_MAX).collect()
}

/// A member that has not told when whoever scrapes could wait no longer.
fn late(member: &HostPort, limit: Duration) -> Asked {
    let detail = format!("the scrape had to end after {} ms", limit.as_millis());
    let problem = Problem { source: "scrape", kind: ProblemKind::Timeout, detail };
    Asked { member: member.to_string(), took: limit, problems: vec![problem], ..Asked::default() }
}

impl Gather for Service {
    fn gather(&self) -> Gathering<'_, Vec<Family>> {
        Box::pin(async { self.gather_within(Duration::MAX).await.unwrap_or_default() })
    }

    /// Members that do not tell in time are not up: there is always something to tell.
    fn gather_within(&self, limit: Duration) -> Gathering<'_, Option<Vec<Family>>> {
        Box::pin(async move {
            // Counted after it was in effect: whoever sees it counted sees it in effect.
            let reloads =
                self.reloads.each_ref().map(|(outcome, count)| (*outcome, count.load(Ordering::Acquire)));
            let setup = Arc::clone(&lock(&self.setup));
            let mut asking = JoinSet::new();
            for (place, watched) in setup.clusters.iter().enumerate() {
                let watched = Arc::clone(watched);
                asking.spawn(async move { (place, watched.tell(limit).await) });
            }
            let mut told = asking.join_all().await;
            told.sort_by_key(|(place, _)| *place);
            let mut all = Families::default();
            for (_, families) in told {
                all.append(families);
            }
            of_this_process(reloads, &mut all);
            Some(all.into_sorted())
        })
    }

    fn clusters(&self) -> Vec<(String, String)> {
        let setup = Arc::clone(&lock(&self.setup));
        let told =
            |watched: &Arc<Watched>| (watched.cluster.name.clone(), watched.cluster.target.to_string());
        setup.clusters.iter().map(told).collect()
    }

    fn problems(&self) -> Vec<String> {
        let setup = Arc::clone(&lock(&self.setup));
        let of = |watched: &Arc<Watched>| {
            let canary = watched.canary.as_ref().and_then(|canary| canary.trouble());
            let canary = canary.map(|trouble| format!("canary: {trouble}"));
            let name = watched.cluster.name.clone();
            let all: Vec<_> = lock(&watched.problems).iter().cloned().chain(canary).collect();
            all.into_iter().map(move |problem| format!("{name}: {problem}"))
        };
        setup.clusters.iter().flat_map(of).collect()
    }

    fn probe(&self, wanted: Wanted, limit: Duration) -> Gathering<'_, Result<Vec<Family>, Refused>> {
        Box::pin(async move {
            let watched = self.probed(wanted)?;
            Ok(watched.tell(limit).await.into_sorted())
        })
    }
}

/// A service as it is pushed: gathered on the runtime on which it is served, where its connections are at home.
#[derive(Debug)]
pub struct Pushing {
    service: Arc<Service>,
    runtime: Handle,
}

impl Pushing {
    /// Within the runtime on which the service is served.
    pub fn new(service: Arc<Service>) -> Pushing {
        Pushing { service, runtime: Handle::current() }
    }
}

impl Source for Pushing {
    fn read(&self) -> Gathering<'_, Reading> {
        let service = Arc::clone(&self.service);
        let gathering = self.runtime.spawn(async move { service.gather_within(PUSH_LIMIT).await });
        Box::pin(async move {
            let families = gathering.await.ok().flatten().unwrap_or_default();
            Reading { families, exponentials: Vec::new() }
        })
    }
}

/// What was half-way through a change when a thread panicked is still the best that there is.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CanarySettings, Credentials};

    fn cluster(name: &str, target: &str) -> Cluster {
        Cluster::new(name.to_owned(), target.parse().unwrap(), Settings::default()).unwrap()
    }

    #[test]
    fn a_cluster_stays_the_same_when_members_come_and_go() {
        let old = cluster("c", "zk://a:1,b:1,c:1");
        for (name, target, is_same) in [
            ("c", "zk://a:1,b:1,c:1", true),
            ("c", "zk://a:1,b:1,c:1,d:1", true),
            ("c", "zk://c:1,d:1,e:1", true),
            ("c", "zk://d:1,e:1,f:1", false),
            ("d", "zk://a:1,b:1,c:1", false),
            ("c", "etcd://a:1,b:1,c:1", false),
        ] {
            assert_eq!(is_the_same(&old, &cluster(name, target)), is_same, "{name} {target}");
        }
    }

    #[test]
    fn a_canary_goes_on_unless_it_is_to_do_something_else() {
        let old = cluster("c", "zk://a:1");
        let timeout = Settings { timeout: Duration::from_secs(1), ..Settings::default() };
        let canary = CanarySettings { rate_per_s: 1.0, root: None, auth: None };
        let with = Settings { canary: Some(canary), ..Settings::default() };
        for (settings, goes_on) in [(Settings::default(), true), (timeout, true), (with, false)] {
            assert_eq!(has_the_same_canary(&old, &Cluster { settings, ..old.clone() }), goes_on);
        }
        assert!(!has_the_same_canary(&old, &cluster("c", "zk://a:1,b:1")));
    }

    #[tokio::test]
    async fn a_canary_with_another_password_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        std::fs::write(&file, "hunter2").unwrap();
        let auth = Credentials::new("anna".to_owned(), Secret::File(file.clone())).unwrap();
        let canary = CanarySettings { rate_per_s: 1.0, root: None, auth: Some(auth) };
        // Nobody is there.
        let mut cluster = cluster("c", "zk://127.0.0.1:1");
        cluster.settings.canary = Some(canary);
        let config = Config { clusters: vec![cluster], ..Config::default() };
        let service = Service::new(&config, over_the_network).unwrap();
        let canary = || lock(&service.setup).clusters[0].canary.clone().unwrap();
        let first = canary();
        service.reload(&config).unwrap();
        assert!(Arc::ptr_eq(&first, &canary()));
        std::fs::write(&file, "").unwrap();
        let error = service.reload(&config).unwrap_err().to_string();
        assert!(error.contains("password_file") && !error.contains("hunter2"), "{error}");
        assert!(Arc::ptr_eq(&first, &canary()), "a mistake changes nothing");
        std::fs::write(&file, "hunter3\n").unwrap();
        service.reload(&config).unwrap();
        assert!(!Arc::ptr_eq(&first, &canary()));
        service.stop();
    }

    #[tokio::test]
    async fn what_was_counted_of_a_probed_target_survives_a_reload_that_leaves_it_as_it_is() {
        static REACHED: AtomicU64 = AtomicU64::new(0);
        let reach: Reach = |cluster| {
            REACHED.fetch_add(1, Ordering::Relaxed);
            over_the_network(cluster)
        };
        let config = |allow: &str, timeout_s| {
            let settings = Settings { timeout: Duration::from_secs(timeout_s), ..Settings::default() };
            Config { probe: Probe { allow: vec![allow.parse().unwrap()], settings }, ..Config::default() }
        };
        let service = Service::new(&config("*", 1), reach).unwrap();
        // Nobody is there.
        let refusals = async || {
            let wanted = Wanted { target: "zk://127.0.0.1:1".to_owned(), cluster: Some("c".to_owned()) };
            let families = service.probe(wanted, Duration::from_secs(1)).await?;
            let family = families.iter().find(|family| family.metric.name == catalog::SCRAPE_ERRORS.name);
            let labels = ["c", "127.0.0.1:1", "srvr", "connect"];
            let series = family.unwrap().series.iter().find(|series| series.labels == labels);
            let reached = REACHED.load(Ordering::Relaxed);
            Ok::<_, Refused>((series.unwrap().value.clone(), reached))
        };
        let told = |refusals: f64, reached| Ok((Value::Number(refusals), reached));
        assert_eq!(refusals().await, told(1.0, 1));
        assert_eq!(refusals().await, told(2.0, 1));
        // Files are read anew, and what was counted counts on.
        service.reload(&config("127.0.0.1", 1)).unwrap();
        assert_eq!(refusals().await, told(3.0, 2));
        assert_eq!(refusals().await, told(4.0, 2));
        service.reload(&config("127.0.0.1", 2)).unwrap();
        assert_eq!(refusals().await, told(1.0, 3), "asked in another way");
        service.reload(&config("elsewhere", 2)).unwrap();
        assert!(matches!(refusals().await, Err(Refused::NotAllowed(_))));
        service.reload(&config("*", 2)).unwrap();
        assert_eq!(refusals().await, told(1.0, 4), "what may not be probed is forgotten");
    }

    #[test]
    fn files_that_probes_need_are_read_before_there_are_any() {
        let tls = quorumeter_targets::TlsOptions { ca: Some("absent.pem".into()), ..Default::default() };
        let probe = |allow: &[&str]| Probe {
            allow: allow.iter().map(|entry| entry.parse().unwrap()).collect(),
            settings: Settings { tls: tls.clone(), ..Settings::default() },
        };
        let check = |probe| Service::check(&Config { probe, ..Config::default() }, over_the_network);
        assert!(check(probe(&["*"])).unwrap_err().to_string().contains("cannot read absent.pem"));
        check(probe(&[])).unwrap();
    }

    #[tokio::test]
    async fn what_was_counted_survives_a_reload() {
        // Nobody is there.
        let config = |target| Config { clusters: vec![cluster("c", target)], ..Config::default() };
        let service = Service::new(&config("zk://127.0.0.1:1"), over_the_network).unwrap();
        let refusals = async |service: &Service| {
            let families = service.gather().await;
            let family = families.iter().find(|family| family.metric.name == catalog::SCRAPE_ERRORS.name);
            let labels = ["c", "127.0.0.1:1", "srvr", "connect"];
            let series = family.unwrap().series.iter().find(|series| series.labels == labels);
            series.unwrap().value.clone()
        };
        assert_eq!(refusals(&service).await, Value::Number(1.0));
        service.reload(&config("zk://127.0.0.1:1,127.0.0.1:2")).unwrap();
        assert_eq!(refusals(&service).await, Value::Number(2.0));
    }
}
