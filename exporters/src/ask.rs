//! Asking all members of a cluster once, whatever the system.
//!
//! All members are asked at the same time, and each has the same limit for everything that is asked of it: one that
//! hangs, drips, or answers without end costs that time and a bounded amount of memory, and no other member anything.
//!
//! | system | questions |
//! |---|---|
//! | ZooKeeper | `srvr`, then `mntr` (of Keeper `lgif`, too), and once a minute `conf`; of the AdminServer, where its address is known, `zabstate`, `voting_view`, `leader` and `last_snapshot`, and `monitor` of a leader that serves no clients; its own Prometheus endpoint, where that is configured |
//! | etcd | `/metrics`, and of the JSON gateway status and member list |
//! | Consul | agent, leader, raft configuration, metrics; of the leader autopilot's health |
//!
//! None of them changes anything in a member, or costs it more the more clients or data it has; but for `conf`, which looks
//! at the files of the data, and is therefore asked so seldom. A question that a member refuses is not asked again for a
//! [minute](REFUSED_FOR).

mod address;
mod consul;
mod etcd;
mod told;
mod web;
mod zookeeper;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quorumeter_targets::http::{Http, HttpSetupError, SecretHeader};
use quorumeter_targets::url::HostPort;
use quorumeter_targets::{System, TlsError, TlsOptions};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::asked::{Asked, Problem, ProblemKind};
use crate::catalog;

use self::told::Told;

pub use self::address::{HttpAddress, HttpPort, Scheme};
pub use self::told::REFUSED_FOR;

/// How long everything that is asked of a member may take, unless somebody says otherwise.
pub const LIMIT: Duration = Duration::from_secs(5);

/// A cluster that is watched.
#[derive(Debug, Clone)]
pub struct Watch {
    /// What it is called.
    pub cluster: String,
    /// What kind of system it is.
    pub system: System,
    /// Its members, as far as they are watched.
    pub members: Vec<Watched>,
    /// How long everything that is asked of a member may take.
    pub limit: Duration,
    /// How its members are reached over TLS, if they are.
    pub tls: Option<TlsOptions>,
    /// How what is asked over HTTPS is verified.
    pub https: TlsOptions,
    /// What Consul's servers want to see as a token, and etcd's as `Authorization`.
    pub token: Option<String>,
}

/// A member that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Where its clients reach it.
    pub address: HostPort,
    /// ZooKeeper: where its AdminServer is, if that is known.
    pub admin: Option<HttpAddress>,
    /// ZooKeeper and Keeper: where their own Prometheus endpoint is, if that is to be asked.
    pub prometheus: Option<HttpAddress>,
}

/// Why a cluster cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is nobody to ask.
    #[error("the cluster {0:?} has no member to watch; name one")]
    NoMember(String),
    /// Something was given that the system has no use for.
    #[error("{what} is of no use with {system}; leave it out", system = .system.name())]
    OfNoUse {
        /// What was given.
        what: &'static str,
        /// The system.
        system: System,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Nobody is trusted who could vouch for what is asked over HTTPS.
    #[error(
        "an AdminServer or Prometheus endpoint is asked over HTTPS, and there is nobody to vouch for it: {0}; in a \
         configuration file that is tls = {{ ca = \"FILE\" }}"
    )]
    HttpsWithoutRoots(TlsError),
    /// A member cannot be asked over HTTP.
    #[error(transparent)]
    Http(#[from] HttpSetupError),
}

/// Asks the members of a cluster.
#[derive(Debug)]
pub struct Asker {
    cluster: String,
    limit: Duration,
    members: Vec<Arc<Member>>,
    /// The asking that goes on, for whoever else asks meanwhile with the same limit.
    in_flight: Mutex<(Duration, Weak<OnceCell<Vec<Asked>>>)>,
}

/// A member, and how each of its questions is asked.
#[derive(Debug)]
struct Member {
    name: String,
    questions: Questions,
    refusals: told::Refusals,
}

#[derive(Debug)]
enum Questions {
    ZooKeeper(zookeeper::Member),
    Etcd(Http),
    Consul(Http),
}

impl Asker {
    /// Prepares to ask. Files of certificates are read; nothing is connected.
    pub fn new(watch: Watch) -> Result<Asker, AskError> {
        let Watch { cluster, system, members, limit, tls, https, token } = watch;
        if members.is_empty() {
            return Err(AskError::NoMember(cluster));
        }
        let of_no_use = |what| Err(AskError::OfNoUse { what, system });
        if system != System::ZooKeeper {
            if members.iter().any(|member| member.admin.is_some()) {
                return of_no_use("an AdminServer");
            }
            if members.iter().any(|member| member.prometheus.is_some()) {
                return of_no_use("a Prometheus endpoint of its own");
            }
        } else if token.is_some() {
            return of_no_use("a token");
        }
        let is_https = |at: &Option<HttpAddress>| at.as_ref().is_some_and(|at| at.scheme == Scheme::Https);
        let wants_https =
            members.iter().any(|member| is_https(&member.admin) || is_https(&member.prometheus));
        let https = wants_https.then(|| https.load()).transpose().map_err(|error| match error {
            TlsError::NoRoots => AskError::HttpsWithoutRoots(error),
            other => AskError::Tls(other),
        })?;
        let tls = tls.map(|options| options.load()).transpose()?;
        let http = |watched: &Watched, header| {
            let secret = token.as_deref().map(|token| SecretHeader::new(header, token));
            Http::new(&watched.address, tls.as_ref(), secret.as_ref())
        };
        let members = members.iter().map(|watched| {
            let questions = match system {
                System::ZooKeeper => {
                    Questions::ZooKeeper(zookeeper::Member::new(watched, tls.as_ref(), https.as_ref())?)
                }
                System::Etcd => Questions::Etcd(http(watched, "authorization")?),
                System::Consul => Questions::Consul(http(watched, "x-consul-token")?),
            };
            let name = watched.address.to_string();
            Ok(Arc::new(Member { name, questions, refusals: told::Refusals::default() }))
        });
        let members = members.collect::<Result<_, AskError>>()?;
        Ok(Asker { cluster, limit, members, in_flight: Mutex::default() })
    }

    /// What the cluster is called.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Asks all members, and returns what came of it in their order, within the limit. Whoever asks while somebody else
    /// does has the same answers, which say so: members are not asked twice at a time.
    pub async fn ask(&self) -> Vec<Asked> {
        self.ask_within(self.limit).await
    }

    /// The same within a limit that may be shorter than the usual one: a member that has not told by then is the only one
    /// that is given up.
    pub async fn ask_within(&self, limit: Duration) -> Vec<Asked> {
        let limit = limit.min(self.limit);
        let cell = {
            let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
            let (its_limit, its_cell) = &*in_flight;
            let shared = its_cell.upgrade().filter(|cell| *its_limit == limit && !cell.initialized());
            let cell = shared.unwrap_or_default();
            *in_flight = (limit, Arc::downgrade(&cell));
            cell
        };
        // When the first one goes away, the next one who waits goes on in its place.
        let mut is_first = false;
        let asking = || {
            is_first = true;
            self.ask_members(limit)
        };
        let mut asked = cell.get_or_init(asking).await.clone();
        // What went wrong once is counted once, by whoever asked last in the place of the first.
        asked.iter_mut().for_each(|one| one.is_counted = !is_first);
        asked
    }

    async fn ask_members(&self, limit: Duration) -> Vec<Asked> {
        let mut asking = JoinSet::new();
        for (index, member) in self.members.iter().enumerate() {
            let member = Arc::clone(member);
            asking.spawn(async move { (index, member.ask(limit).await) });
        }
        // A member is here if a defect of ours keeps its task from ending.
        let failed = |member: &Arc<Member>| Asked {
            member: member.name.clone(),
            problems: vec![Problem {
                source: "exporter",
                kind: ProblemKind::Value,
                detail: "its answers could not be read because of a defect of this exporter".to_owned(),
            }],
            ..Asked::default()
        };
        let mut asked: Vec<Asked> = self.members.iter().map(failed).collect();
        while let Some(one) = asking.join_next().await {
            if let Ok((index, one)) = one {
                asked[index] = one;
            }
        }
        asked
    }
}

impl Member {
    async fn ask(&self, limit: Duration) -> Asked {
        let began = Instant::now();
        let deadline = began + limit;
        let mut told = Told::new(&self.refusals);
        match &self.questions {
            Questions::ZooKeeper(member) => member.ask(&mut told, deadline).await,
            Questions::Etcd(http) => etcd::ask(http, &mut told, deadline).await,
            Questions::Consul(http) => consul::ask(http, &mut told, deadline).await,
        }
        let took = began.elapsed();
        let mut asked = told.into_asked(self.name.clone(), took);
        if let Some(sample) = &mut asked.sample
            && let Some(started) = sample.started_unix_s
            && let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH)
            && now.as_secs_f64() >= started
        {
            sample.push(&catalog::UPTIME, now.as_secs_f64() - started);
        }
        asked
    }
}

#[cfg(test)]
pub(crate) mod tests;
