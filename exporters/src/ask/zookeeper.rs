//! The questions to a member of ZooKeeper, or of what speaks like it.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use quorumeter_targets::Tls;
use quorumeter_targets::http::Http;
use quorumeter_targets::session::{self, ConnectError};
use quorumeter_targets::tls::MemberTls;
use quorumeter_targets::url::HostPort;
use quorumeter_targets::zookeeper::admin::{self, AdminError};
use tokio::net::lookup_host;
use tokio::time::{Instant, timeout_at};

use super::told::{Answer, Failure, Parse, Told};
use super::web::Question;
use super::{AskError, HttpAddress, Scheme, Watched};
use crate::asked::ProblemKind;
use crate::parse_error::ParseError;
use crate::sample::{Dialect, Role, Sample};
use crate::{keeper, zookeeper};

/// Status 200 whatever there is to say: an error stands in the JSON.
const ZABSTATE: Question = Question::get("/commands/zabstate");
const VOTING_VIEW: Question = Question::get("/commands/voting_view");
const LEADER: Question = Question::get("/commands/leader");
const LAST_SNAPSHOT: Question = Question::get("/commands/last_snapshot");
const MONITOR: Question = Question::get("/commands/monitor");
const METRICS: Question = Question { refused: &[], ..Question::get("/metrics") };

#[derive(Debug)]
pub(super) struct Member {
    address: HostPort,
    tls: Option<MemberTls>,
    admin: Option<Endpoint>,
    prometheus: Option<Endpoint>,
    conf: Mutex<Conf>,
}

/// How long what `conf` told is believed. It changes when the ensemble is configured anew.
const CONF_FOR: Duration = Duration::from_secs(60);

/// What `conf` told last.
#[derive(Debug, Default)]
struct Conf {
    asked: Option<Instant>,
    text: Option<String>,
}

/// Where questions are put over HTTP.
#[derive(Debug)]
struct Endpoint {
    http: Http,
    scheme: Scheme,
}

/// What came of a question beside the four-letter words, and who reads it.
type Others = Vec<(&'static str, Answer, Parse)>;

impl Member {
    /// `tls` is of the clients' port, `https` of what is asked over HTTPS.
    pub(super) fn new(watched: &Watched, tls: Option<&Tls>, https: Option<&Tls>) -> Result<Member, AskError> {
        let tls = tls.map(|tls| tls.for_host(&watched.address.host)).transpose()?;
        let endpoint = |at: &Option<HttpAddress>| at.as_ref().map(|at| Endpoint::new(at, https)).transpose();
        let (admin, prometheus) = (endpoint(&watched.admin)?, endpoint(&watched.prometheus)?);
        Ok(Member { address: watched.address.clone(), tls, admin, prometheus, conf: Mutex::default() })
    }

    /// What a word does not tell, because a member is looking for a leader, or leads and serves no clients, the AdminServer
    /// does: nothing is concluded before it was asked.
    pub(super) async fn ask(&self, told: &mut Told<'_>, deadline: Instant) {
        let refusals = told.refusals();
        let ((), admin, prometheus) = tokio::join!(
            self.ask_words(told, deadline),
            async {
                let mut answers = Others::new();
                if let Some(admin) = &self.admin {
                    let (zabstate, voting_view, leader, last_snapshot) = tokio::join!(
                        refusals.put("zabstate", admin.ask(ZABSTATE, deadline)),
                        refusals.put("voting_view", admin.ask(VOTING_VIEW, deadline)),
                        refusals.put("leader", admin.ask(LEADER, deadline)),
                        refusals.put("last_snapshot", admin.ask(LAST_SNAPSHOT, deadline)),
                    );
                    answers.push(("zabstate", zabstate, zookeeper::zabstate));
                    answers.push(("voting_view", voting_view, zookeeper::voting_view));
                    answers.push(("leader", leader, zookeeper::leader));
                    answers.push(("last_snapshot", last_snapshot, zookeeper::last_snapshot));
                }
                answers
            },
            async {
                match &self.prometheus {
                    Some(own) => Some(refusals.put("prometheus", own.ask(METRICS, deadline)).await),
                    None => None,
                }
            },
        );
        for (source, answer, parse) in admin {
            told.take(source, answer, parse);
        }
        // Of a leader that serves no clients, `mntr` tells nothing. Of one that is just losing its leadership, this is an
        // error, and so it is not asked of others.
        let serves_nobody = told.sample().serving == Some(false) && told.sample().role == Some(Role::Leader);
        if let Some(admin) = self.admin.as_ref().filter(|_| serves_nobody) {
            let answer = refusals.put("monitor", admin.ask(MONITOR, deadline)).await;
            told.take("monitor", answer, zookeeper::monitor);
        }
        if let Some(answer) = prometheus {
            told.take("prometheus", answer, of_either);
        }
        self.ask_conf(told, deadline).await;
    }

    /// What makes a quorum is told by a member that serves, and asked once in a while: it looks through the folders of the
    /// data, too.
    async fn ask_conf(&self, told: &mut Told<'_>, deadline: Instant) {
        let sample = told.sample();
        let in_ensemble = matches!(sample.role, Some(Role::Leader | Role::Follower | Role::Observer));
        if sample.system != Some(Dialect::ZooKeeper) || sample.serving != Some(true) || !in_ensemble {
            return;
        }
        let conf = || self.conf.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = {
            let mut conf = conf();
            let is_due = conf.asked.is_none_or(|asked| asked.elapsed() >= CONF_FOR);
            if is_due {
                conf.asked = Some(Instant::now());
            }
            is_due
        };
        if is_due {
            let answer = match self.addresses(deadline).await {
                Ok(addresses) => self.word(&addresses, "conf", deadline).await,
                Err(failure) => Err(failure),
            };
            let mut alone = Sample::default();
            match answer.as_ref().map(|text| zookeeper::conf(&mut alone, text)) {
                // It has ceased to serve since it was asked the words: that tells nothing of quorums, and costs it nothing.
                Ok(Ok(())) if alone.serving == Some(false) => {
                    conf().asked = None;
                    return told.take("conf", answer, zookeeper::conf);
                }
                Ok(Ok(()) | Err(ParseError::Refused)) => conf().text = answer.ok(),
                // What went wrong is told once.
                _ => return told.take("conf", answer, zookeeper::conf),
            }
        }
        let text = conf().text.clone();
        if let Some(text) = text {
            told.take("conf", Ok(text), zookeeper::conf);
        }
    }

    /// Asks the words, one connection each: the member closes it behind its answer.
    async fn ask_words(&self, told: &mut Told<'_>, deadline: Instant) {
        let refusals = told.refusals();
        let addresses = match self.addresses(deadline).await {
            Ok(addresses) => addresses,
            Err(failure) => {
                told.take("srvr", Err(failure), zookeeper::srvr);
                return;
            }
        };
        let word = |word| self.word(&addresses, word, deadline);
        let srvr = word("srvr").await;
        let is_there = srvr.as_ref().is_ok_and(|answer| !answer.is_empty());
        told.take("srvr", srvr, zookeeper::srvr);
        if !is_there {
            // A member that hangs keeps each connection in a queue that is its clients', too. And it serves nobody, nor does one
            // that ends it without a word, whatever its other ports tell.
            told.sample().serving = Some(false);
            return;
        }
        let is_keeper = told.sample().system == Some(Dialect::Keeper);
        let (mntr, lgif) = tokio::join!(refusals.put("mntr", word("mntr")), async {
            if is_keeper { Some(refusals.put("lgif", word("lgif")).await) } else { None }
        });
        told.take("mntr", mntr, zookeeper::mntr);
        if let Some(lgif) = lgif {
            told.take("lgif", lgif, keeper::lgif);
        }
    }

    async fn addresses(&self, deadline: Instant) -> Result<Vec<SocketAddr>, Failure> {
        let HostPort { host, port } = &self.address;
        let problem = |detail: String| Failure::Problem(ProblemKind::Connect, detail);
        match timeout_at(deadline, lookup_host((host.as_str(), *port))).await {
            Ok(Ok(found)) => Ok(found.collect()),
            Ok(Err(error)) => Err(problem(format!("cannot look {host} up: {error}"))),
            Err(_) => Err(problem(format!("nobody says in time where {host} is"))),
        }
    }

    /// Asks a word at the first address where there is somebody.
    async fn word(&self, addresses: &[SocketAddr], word: &'static str, deadline: Instant) -> Answer {
        let mut failure = Failure::Problem(ProblemKind::Connect, "it has no address".to_owned());
        for address in addresses {
            let name = self.address.to_string();
            let member = session::Member { name, address: *address, tls: self.tls.clone() };
            let limit = deadline.saturating_duration_since(Instant::now());
            match admin::four_letter_word(&member, word, limit).await {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    let is_nobody_there = matches!(error, AdminError::Connect(ConnectError::Tcp(_)));
                    failure = failure_of(&error);
                    if !is_nobody_there {
                        break;
                    }
                }
            }
        }
        Err(failure)
    }
}

impl Endpoint {
    fn new(at: &HttpAddress, https: Option<&Tls>) -> Result<Endpoint, AskError> {
        let tls = https.filter(|_| at.scheme == Scheme::Https);
        Ok(Endpoint { http: Http::new(&at.address, tls, None)?, scheme: at.scheme })
    }

    /// A server that speaks HTTPS alone answers plain HTTP with an alert of TLS, or ends the connection.
    async fn ask(&self, question: Question, deadline: Instant) -> Answer {
        question.ask(&self.http, deadline).await.map_err(|failure| match failure {
            Failure::Problem(kind @ (ProblemKind::Syntax | ProblemKind::Closed), detail)
                if self.scheme == Scheme::Http =>
            {
                Failure::Problem(kind, format!("if HTTPS is spoken there, configure it: {detail}"))
            }
            other => other,
        })
    }
}

/// Takes in what a Prometheus endpoint answers. Of a member whose words told nothing it shows whose it is itself.
fn of_either(sample: &mut Sample, answer: &str) -> Result<(), ParseError> {
    match sample.system {
        Some(Dialect::Keeper) => keeper::prometheus(sample, answer),
        None if answer.contains("\nClickHouse") => keeper::prometheus(sample, answer),
        _ => zookeeper::prometheus(sample, answer),
    }
}

fn failure_of(error: &AdminError) -> Failure {
    use std::io::ErrorKind;
    let kind = match error {
        AdminError::Connect(ConnectError::Timeout { .. }) | AdminError::Timeout(_) => ProblemKind::Timeout,
        AdminError::Connect(ConnectError::Tls(_)) => ProblemKind::Tls,
        AdminError::Connect(_) => ProblemKind::Connect,
        AdminError::Io(error) => match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                ProblemKind::Closed
            }
            _ => ProblemKind::Io,
        },
        AdminError::TooLong => ProblemKind::TooLong,
        AdminError::Truncated => ProblemKind::Closed,
        AdminError::Answer(_) | AdminError::Http(_) => ProblemKind::Syntax,
        AdminError::Status(_) => ProblemKind::Status,
    };
    Failure::Problem(kind, error.to_string())
}
