//! Members that answer, and members that do not, on loopback.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::sample::{Dialect, Role};

pub(crate) mod https;

macro_rules! fixture {
    ($($name:literal),+) => {
        include_str!(concat!("../../tests/fixtures/", $($name),+))
    };
}

/// Long enough for a healthy member on a busy machine, and what the others cost.
const PATIENCE: Duration = Duration::from_secs(3);

/// How a question is answered.
#[derive(Clone)]
enum Reply {
    /// As it should be.
    Text(&'static str),
    /// HTTP with this status and body.
    Status(u16, &'static str),
    /// These bytes, then the end of the stream.
    Raw(&'static [u8]),
    /// The head of an answer, these bytes of a longer body, then the end of the stream.
    Cut(&'static str),
    /// Never.
    Hang,
    /// A byte now and then, without end.
    Drip,
    /// Bytes without end.
    Flood,
}

use Reply::{Cut, Drip, Flood, Hang, Raw, Status, Text};

/// A connection, secured or not.
trait Both: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

/// A server of a test: a script of four-letter words and HTTP paths.
struct Server {
    address: HostPort,
    asked: Arc<Mutex<Vec<String>>>,
    heads: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Server {
        Server::start_at(None, script).await
    }

    /// The same over TLS, if there is somebody to accept it.
    async fn start_at(
        acceptor: Option<TlsAcceptor>,
        script: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = HostPort { host: "127.0.0.1".to_owned(), port: listener.local_addr().unwrap().port() };
        let (asked, heads) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let connections = Arc::<AtomicUsize>::default();
        let (script, to_asked, to_heads) = (Arc::new(script), Arc::clone(&asked), Arc::clone(&heads));
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let (script, asked, heads) =
                    (Arc::clone(&script), Arc::clone(&to_asked), Arc::clone(&to_heads));
                let acceptor = acceptor.clone();
                open.spawn(async move {
                    let mut stream: Box<dyn Both> = match acceptor {
                        None => Box::new(stream),
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(secured) => Box::new(secured),
                            Err(_) => return,
                        },
                    };
                    while let Some(head) = question(&mut *stream).await {
                        let is_word = !head.contains("HTTP/1.1");
                        let question = if is_word { &head } else { head.split(' ').nth(1).unwrap() };
                        asked.lock().unwrap().push(question.to_owned());
                        heads.lock().unwrap().push(head.clone());
                        let stays = answer(&mut *stream, script(question), is_word).await;
                        if !stays.unwrap_or(false) {
                            return;
                        }
                    }
                });
            }
        });
        Server { address, asked, heads, connections, task }
    }

    fn watched(&self) -> Watched {
        Watched { address: self.address.clone(), admin: None, prometheus: None }
    }

    /// What was asked, sorted.
    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.sort();
        asked
    }
}

/// Reads a word, or the head of a request; what follows it as a body is short and left to be passed over.
async fn question(stream: &mut dyn Both) -> Option<String> {
    let mut read = Vec::new();
    loop {
        let is_http = read.starts_with(b"GET ") || read.starts_with(b"POST");
        if read.len() == 4 && !is_http {
            return String::from_utf8(read).ok();
        }
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(read[..end].to_vec()).ok()?;
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            stream.read_exact(&mut body).await.ok()?;
            return Some(head);
        }
        read.push(stream.read_u8().await.ok()?);
    }
}

/// Whether the connection stays open for another question.
async fn answer(stream: &mut dyn Both, reply: Reply, is_word: bool) -> std::io::Result<bool> {
    let ok = "HTTP/1.1 200 OK\r\n";
    match reply {
        Text(text) if is_word => stream.write_all(text.as_bytes()).await?,
        Text(text) => {
            let head = format!("{ok}Content-Length: {}\r\n\r\n", text.len());
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(text.as_bytes()).await?;
            return Ok(true);
        }
        Status(status, body) => {
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} So\r\nLocation: /elsewhere\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            stream.write_all(head.as_bytes()).await?;
            return Ok(true);
        }
        Raw(bytes) => stream.write_all(bytes).await?,
        Cut(part) => {
            let head = format!("{ok}Content-Length: {}\r\n\r\n{part}", part.len() + 1);
            stream.write_all(head.as_bytes()).await?;
        }
        Hang => sleep(PATIENCE * 100).await,
        Drip | Flood => {
            if !is_word {
                stream.write_all(format!("{ok}\r\n").as_bytes()).await?;
            }
            let (bytes, pause) = match reply {
                Drip => (1, Duration::from_millis(20)),
                _ => (1 << 16, Duration::ZERO),
            };
            let bytes = vec![b'a'; bytes];
            loop {
                stream.write_all(&bytes).await?;
                sleep(pause).await;
            }
        }
    }
    Ok(false)
}

fn asker(system: System, members: Vec<Watched>) -> Asker {
    let watch = Watch {
        cluster: "c".to_owned(),
        system,
        members,
        limit: PATIENCE,
        tls: None,
        https: TlsOptions::default(),
        token: None,
    };
    Asker::new(watch).unwrap()
}

fn leader_of_zookeeper(question: &str) -> Reply {
    Text(match question {
        "srvr" => fixture!("zookeeper/3.9.4/leader.srvr.txt"),
        "mntr" => fixture!("zookeeper/3.9.4/leader.mntr.txt"),
        "conf" => fixture!("zookeeper/3.9.4-majority/follower.conf.txt"),
        "/commands/zabstate" => fixture!("zookeeper/3.9.4/leader.zabstate.json"),
        "/commands/voting_view" => fixture!("zookeeper/3.9.4/leader.voting_view.json"),
        "/commands/leader" => fixture!("zookeeper/3.9.4/leader.leader.json"),
        "/commands/last_snapshot" => fixture!("zookeeper/3.9.4/leader.last_snapshot.json"),
        "/metrics" => fixture!("zookeeper/3.9.4-prometheus/leader.metrics.txt"),
        _ => return Status(404, ""),
    })
}

fn leader_of_etcd(question: &str) -> Reply {
    Text(match question {
        "/metrics" => fixture!("etcd/3.7.3/leader.metrics.txt"),
        "/v3/maintenance/status" => fixture!("etcd/3.7.3/leader.status.json"),
        "/v3/cluster/member/list" => fixture!("etcd/3.7.3/leader.member_list.json"),
        _ => return Status(404, "404 page not found\n"),
    })
}

fn server_of_consul(question: &str, is_leader: bool) -> Reply {
    macro_rules! of {
        ($name:literal) => {
            if is_leader {
                fixture!("consul/1.20.1/leader.", $name)
            } else {
                fixture!("consul/1.20.1/follower.", $name)
            }
        };
    }
    Text(match question {
        "/v1/agent/self" => of!("self.json"),
        "/v1/status/leader" => of!("leader.json"),
        "/v1/operator/raft/configuration?stale" => of!("configuration.json"),
        "/v1/agent/metrics?format=prometheus" => of!("metrics.txt"),
        "/v1/operator/autopilot/health" => return Status(429, of!("autopilot.json")),
        _ => return Status(404, ""),
    })
}

fn problems(asked: &Asked) -> Vec<(&'static str, ProblemKind)> {
    asked.problems.iter().map(|problem| (problem.source, problem.kind)).collect()
}

#[tokio::test]
async fn a_member_of_zookeeper_is_asked_what_it_can_tell_and_nothing_else() {
    let server = Server::start(leader_of_zookeeper).await;
    let everywhere = Some(HttpAddress::from(server.address.clone()));
    let watched = Watched { admin: everywhere.clone(), prometheus: everywhere, ..server.watched() };
    let one = asker(System::ZooKeeper, vec![watched]).ask().await.remove(0);
    assert_eq!(problems(&one), []);
    let of = ["srvr", "mntr", "zabstate", "voting_view", "leader", "last_snapshot", "prometheus", "conf"];
    assert_eq!(one.sources, of.map(|source| (source, true)));
    let questions = [
        "/commands/last_snapshot",
        "/commands/leader",
        "/commands/voting_view",
        "/commands/zabstate",
        "/metrics",
        "conf",
        "mntr",
        "srvr",
    ];
    assert_eq!(server.asked(), questions);
    let sample = one.sample.unwrap();
    assert_eq!((sample.system, sample.role), (Some(Dialect::ZooKeeper), Some(Role::Leader)));
    assert_eq!((sample.serving, sample.voter_ids.map(|ids| ids.len())), (Some(true), Some(3)));
    assert_eq!(one.member, server.address.to_string());
}

#[tokio::test]
async fn what_makes_a_quorum_is_asked_once_in_a_while_and_told_each_time() {
    for (answer, told) in [
        (Text(fixture!("zookeeper/3.9.4-groups/follower.conf.txt")), Some(false)),
        (Text(fixture!("zookeeper/3.9.4-majority/follower.conf.txt")), Some(true)),
        (Text("conf is not executed because it is not in the whitelist.\n"), None),
    ] {
        let server = Server::start(move |question| match question {
            "conf" => answer.clone(),
            other => leader_of_zookeeper(other),
        })
        .await;
        let asker = asker(System::ZooKeeper, vec![server.watched()]);
        for _ in 0..3 {
            let one = asker.ask().await.remove(0);
            assert_eq!(problems(&one), []);
            assert!(one.sources.contains(&("conf", told.is_some())), "{:?}", one.sources);
            assert_eq!(one.sample.unwrap().has_majorities, told);
        }
        assert_eq!(server.asked().iter().filter(|asked| *asked == "conf").count(), 1);
    }
    // It is no reason to ask more often that there is no answer.
    let server = Server::start(|question| match question {
        "conf" => Raw(b""),
        other => leader_of_zookeeper(other),
    })
    .await;
    let asker = asker(System::ZooKeeper, vec![server.watched()]);
    for wrong in [1, 0, 0] {
        assert_eq!(asker.ask().await.remove(0).problems.len(), wrong, "it is told once");
    }
    assert_eq!(server.asked().iter().filter(|asked| *asked == "conf").count(), 1);
}

#[tokio::test]
async fn what_makes_a_quorum_is_asked_again_of_a_member_that_had_just_ceased_to_serve() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let server = Server::start(|question| match question {
        "conf" if ASKED.fetch_add(1, Ordering::Relaxed) == 0 => {
            Text("This ZooKeeper instance is not currently serving requests\n")
        }
        "conf" => Text(fixture!("zookeeper/3.9.4-groups/follower.conf.txt")),
        other => leader_of_zookeeper(other),
    })
    .await;
    let asker = asker(System::ZooKeeper, vec![server.watched()]);
    for told in [None, Some(false), Some(false)] {
        let one = asker.ask().await.remove(0);
        assert_eq!(problems(&one), []);
        let sample = one.sample.unwrap();
        assert_eq!((sample.has_majorities, sample.serving), (told, Some(true)));
    }
    assert_eq!(ASKED.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn what_is_refused_is_not_asked_again_at_once() {
    let refused = fixture!("zookeeper/written/refused.mntr.txt");
    let server = Server::start(|question| match question {
        "mntr" => Text(refused),
        "/commands/zabstate" => Status(404, ""),
        other => leader_of_zookeeper(other),
    })
    .await;
    let watched = Watched { admin: Some(server.address.clone().into()), ..server.watched() };
    let asker = asker(System::ZooKeeper, vec![watched]);
    for _ in 0..3 {
        let one = asker.ask().await.remove(0);
        assert_eq!(problems(&one), []);
        assert!(one.sources.contains(&("mntr", false)) && one.sources.contains(&("zabstate", false)));
        assert_eq!(one.sample.unwrap().role, Some(Role::Leader));
    }
    let times = |question: &str| server.asked().iter().filter(|asked| *asked == question).count();
    assert_eq!((times("srvr"), times("mntr"), times("/commands/zabstate")), (3, 1, 1));
}

#[tokio::test]
async fn not_serving_is_no_verdict_before_the_admin_server_was_asked() {
    let silent = |question: &str| match question {
        "srvr" | "mntr" => Text(fixture!("zookeeper/written/not-serving.srvr.txt")),
        "/commands/zabstate" => Text(fixture!("zookeeper/written/leader-serves-no.zabstate.json")),
        "/commands/monitor" => Text(fixture!("zookeeper/written/leader-serves-no.monitor.json")),
        other => leader_of_zookeeper(other),
    };
    let server = Server::start(silent).await;
    let with = Watched { admin: Some(server.address.clone().into()), ..server.watched() };
    let one = asker(System::ZooKeeper, vec![with]).ask().await.remove(0);
    assert_eq!(problems(&one), []);
    let sample = one.sample.unwrap();
    assert_eq!((sample.role, sample.serving), (Some(Role::Leader), Some(false)), "leaderServes=no");
    assert_eq!(sample.synced_followers, Some(2), "of `monitor`, which only leaders tell");
    let one = asker(System::ZooKeeper, vec![server.watched()]).ask().await.remove(0);
    assert_eq!(problems(&one), []);
    let sample = one.sample.unwrap();
    assert_eq!((sample.role, sample.serving), (None, Some(false)), "up, and nobody's leader");
}

#[tokio::test]
async fn keeper_is_asked_for_its_log() {
    let server = Server::start(|question| match question {
        "srvr" => Text(fixture!("keeper/written/24.3-leader.srvr.txt")),
        "mntr" => Text(fixture!("keeper/written/24.3-leader.mntr.txt")),
        "lgif" => Text(fixture!("keeper/written/24.3-leader.lgif.txt")),
        "/metrics" => Text(fixture!("keeper/written/24.3-leader.metrics.txt")),
        _ => Hang,
    })
    .await;
    let watched = Watched { prometheus: Some(server.address.clone().into()), ..server.watched() };
    let one = asker(System::ZooKeeper, vec![watched]).ask().await.remove(0);
    assert_eq!(problems(&one), []);
    assert_eq!(server.asked(), ["/metrics", "lgif", "mntr", "srvr"]);
    let sample = one.sample.unwrap();
    assert_eq!(sample.system, Some(Dialect::Keeper));
    assert!(sample.term.is_some() && sample.commit_index.is_some());
}

#[tokio::test]
async fn keepers_metrics_are_known_as_its_own_when_its_words_tell_nothing() {
    for (silence, kind) in [(Raw(b""), ProblemKind::Empty), (Raw(b"?\n"), ProblemKind::Missing)] {
        let server = Server::start(move |question| match question {
            "/metrics" => Text(fixture!("keeper/written/24.3-leader.metrics.txt")),
            _ => silence.clone(),
        })
        .await;
        let watched = Watched { prometheus: Some(server.address.clone().into()), ..server.watched() };
        let one = asker(System::ZooKeeper, vec![watched]).ask().await.remove(0);
        assert!(problems(&one).iter().all(|(source, of)| *source != "prometheus" && *of == kind), "{one:?}");
        let sample = one.sample.unwrap();
        assert_eq!((sample.system, sample.role), (Some(Dialect::Keeper), Some(Role::Leader)));
        assert!(kind != ProblemKind::Empty || sample.serving == Some(false), "its clients are told nothing");
    }
}

#[tokio::test]
async fn etcd_is_asked_three_questions_over_connections_that_are_kept() {
    let server = Server::start(leader_of_etcd).await;
    let asker = asker(System::Etcd, vec![server.watched()]);
    for _ in 0..10 {
        let one = asker.ask().await.remove(0);
        assert_eq!(problems(&one), []);
        assert_eq!(one.sources, [("status", true), ("metrics", true), ("member_list", true)]);
        let sample = one.sample.unwrap();
        assert_eq!((sample.role, sample.serving), (Some(Role::Leader), Some(true)));
        assert!(sample.number(&catalog::UPTIME).unwrap() > 0.0);
    }
    assert_eq!(server.asked().len(), 30);
    let connections = server.connections.load(Ordering::Relaxed);
    assert!(connections < 15, "{connections}");
}

#[tokio::test]
async fn only_the_leader_of_consul_is_asked_for_autopilots_view() {
    for is_leader in [true, false] {
        let server = Server::start(move |question| server_of_consul(question, is_leader)).await;
        let one = asker(System::Consul, vec![server.watched()]).ask().await.remove(0);
        assert_eq!(problems(&one), [], "429 is the status of an answer there");
        let asked_autopilot = server.asked().iter().any(|question| question.contains("autopilot"));
        let sample = one.sample.unwrap();
        assert_eq!((asked_autopilot, sample.synced_followers.is_some()), (is_leader, is_leader));
    }
}

#[tokio::test]
async fn a_token_is_sent_and_never_told() {
    let server = Server::start(|question| match question {
        "/v1/agent/self" => Status(403, "Permission denied"),
        "/v1/agent/metrics?format=prometheus" => Status(500, "broken"),
        other => server_of_consul(other, false),
    })
    .await;
    let watch = Watch {
        cluster: "c".to_owned(),
        system: System::Consul,
        members: vec![server.watched()],
        limit: PATIENCE,
        tls: None,
        https: TlsOptions::default(),
        token: Some("hunter2\n".to_owned()),
    };
    let asker = Asker::new(watch.clone()).unwrap();
    let one = asker.ask().await.remove(0);
    // What the token does not allow is refused, and the rest is told.
    assert_eq!(problems(&one), [("metrics", ProblemKind::Status)]);
    assert!(one.sources.contains(&("self", false)));
    assert_eq!(one.sample.as_ref().unwrap().serving, Some(true));
    let heads = server.heads.lock().unwrap().clone();
    assert!(!heads.is_empty() && heads.iter().all(|head| head.contains("x-consul-token: hunter2")));
    assert!(!format!("{one:?} {asker:?}").contains("hunter2"));
    let bad = Watch { token: Some("hunter2\u{7f}".to_owned()), ..watch };
    let error = Asker::new(bad).unwrap_err().to_string();
    assert!(error.contains("x-consul-token") && !error.contains("hunter2"), "{error}");
}

/// One that does nothing right, and one beside it that must not notice.
#[tokio::test]
async fn a_broken_member_has_its_kind_of_problem_and_no_other_member_has_any() {
    use ProblemKind::{Binary, Closed, Empty, Missing, Syntax, Timeout, TooLong};
    let words = [
        (Hang, Timeout),
        (Drip, Timeout),
        (Flood, TooLong),
        (Raw(b""), Empty),
        (Raw(b"Zookeeper version: 3.9.4\nLatency"), Missing),
        (Raw(b"\0\xff\xfe\x01\x02"), Binary),
        (Raw(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Missing),
    ];
    let http = [
        (Hang, Timeout),
        (Drip, Timeout),
        (Flood, TooLong),
        (Raw(b""), Closed),
        (Raw(b"HTTP/1.1 200"), Closed),
        (Cut("{"), Closed),
        (Raw(b"This ZooKeeper instance is not currently serving requests\n"), Syntax),
        (Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n\0\xff\xfe\x01\x02"), Binary),
        (Text(""), Empty),
        (Text("imok"), Syntax),
        (Status(500, "etcdserver: no leader"), ProblemKind::Status),
        (Status(302, ""), ProblemKind::Status),
    ];
    let cases = words.into_iter().map(|case| (System::ZooKeeper, case));
    let cases =
        cases.chain(http.into_iter().flat_map(|(reply, kind)| {
            [(System::Etcd, (reply.clone(), kind)), (System::Consul, (reply, kind))]
        }));
    let mut running = JoinSet::new();
    for (system, (reply, kind)) in cases {
        running.spawn(async move {
            let healthy = Server::start(move |question| match system {
                System::ZooKeeper => leader_of_zookeeper(question),
                System::Etcd => leader_of_etcd(question),
                System::Consul => server_of_consul(question, false),
            })
            .await;
            let broken = Server::start(move |_| reply.clone()).await;
            let asked = asker(system, vec![broken.watched(), healthy.watched()]).ask().await;
            assert_eq!(problems(&asked[1]), [], "{system:?} {kind:?}");
            assert_eq!(asked[1].sample.as_ref().unwrap().serving, Some(true));
            assert_eq!(asked[0].sample, None, "{system:?} {kind:?}");
            let found = problems(&asked[0]);
            let kinds: Vec<_> = found.iter().map(|(_, kind)| *kind).collect();
            assert!(
                !found.is_empty() && kinds.iter().all(|one| *one == kind),
                "{system:?} {kind:?}: {found:?}"
            );
            assert!(asked[0].problems.iter().all(|problem| problem.detail.len() < 400));
            if system == System::ZooKeeper && kind == Timeout {
                assert_eq!(broken.asked(), ["srvr"], "it is left in peace");
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn nobody_there_is_a_problem_of_connecting() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let nobody = HostPort { host: "127.0.0.1".to_owned(), port };
    for system in System::ALL {
        let watched = Watched { address: nobody.clone(), admin: None, prometheus: None };
        let one = asker(system, vec![watched]).ask().await.remove(0);
        assert_eq!(one.sample, None);
        let found = problems(&one);
        assert!(!found.is_empty());
        assert!(found.iter().all(|(_, kind)| *kind == ProblemKind::Connect), "{found:?}");
        assert!(!one.problems[0].detail.is_empty());
    }
}

#[tokio::test]
async fn a_system_that_is_another_one_is_not_up() {
    type Script = fn(&str) -> Reply;
    let consul: Script = |question| server_of_consul(question, false);
    let zookeeper: Script = |question| match question {
        // As it takes an HTTP request for a packet that is too long.
        other if other.starts_with('/') => Raw(b""),
        word => leader_of_zookeeper(word),
    };
    for (system, script, expected) in [
        (System::Etcd, consul, ProblemKind::Missing),
        (System::Consul, leader_of_etcd as Script, ProblemKind::Missing),
        (System::Etcd, zookeeper, ProblemKind::Closed),
        (System::Consul, zookeeper, ProblemKind::Closed),
    ] {
        let server = Server::start(script).await;
        let one = asker(system, vec![server.watched()]).ask().await.remove(0);
        assert_eq!(one.sample, None, "{system:?} {expected:?}");
        assert!(one.problems.iter().any(|problem| problem.kind == expected), "{:?}", one.problems);
    }
}

#[tokio::test]
async fn who_asks_meanwhile_has_the_same_answers() {
    let server = Server::start(leader_of_zookeeper).await;
    let asker = asker(System::ZooKeeper, vec![server.watched()]);
    let (one, other, third) = tokio::join!(asker.ask(), asker.ask(), asker.ask());
    assert_eq!((&one[0].sample, &other[0].sample), (&other[0].sample, &third[0].sample));
    let counted = [one, other, third].iter().filter(|asked| !asked[0].is_counted).count();
    assert_eq!(counted, 1, "what went wrong once is counted once");
    assert_eq!(server.asked(), ["conf", "mntr", "srvr"]);
    let again = asker.ask().await;
    assert_eq!(server.asked().len(), 5, "and nothing is remembered but what makes a quorum");
    assert!(!again[0].is_counted);
}

#[tokio::test]
async fn a_member_that_hangs_is_given_up_alone_however_short_the_limit_is() {
    let healthy = Server::start(leader_of_zookeeper).await;
    let hanging = Server::start(|_| Hang).await;
    let asker = asker(System::ZooKeeper, vec![hanging.watched(), healthy.watched()]);
    let began = Instant::now();
    // Who can wait longer does not get what the other one made do with.
    let (short, usual) = tokio::join!(asker.ask_within(PATIENCE / 3), asker.ask());
    assert!(began.elapsed() >= PATIENCE);
    for (asked, limit) in [(short, PATIENCE / 3), (usual, PATIENCE)] {
        assert_eq!(problems(&asked[0]), [("srvr", ProblemKind::Timeout)]);
        assert!(asked[0].took >= limit);
        assert_eq!(problems(&asked[1]), []);
        assert!(asked[1].sample.is_some());
    }
}

#[tokio::test]
async fn who_goes_away_takes_nobodys_answers_along() {
    let server = Server::start(leader_of_zookeeper).await;
    let asker = Arc::new(asker(System::ZooKeeper, vec![server.watched()]));
    let gone = tokio::spawn({
        let asker = Arc::clone(&asker);
        async move { asker.ask().await }
    });
    let stays = tokio::spawn({
        let asker = Arc::clone(&asker);
        async move { asker.ask().await }
    });
    gone.abort();
    assert_eq!(problems(&stays.await.unwrap()[0]), []);
}

#[test]
fn what_is_of_no_use_is_refused() {
    let address = HostPort { host: "a".to_owned(), port: 1 };
    let watched = Watched { address: address.clone(), admin: None, prometheus: None };
    let watch = |system, watched: &[Watched], token: Option<&str>| Watch {
        cluster: "c".to_owned(),
        system,
        members: watched.to_vec(),
        limit: PATIENCE,
        tls: None,
        https: TlsOptions::default(),
        token: token.map(str::to_owned),
    };
    let admin = Watched { admin: Some(address.clone().into()), ..watched.clone() };
    let prometheus = Watched { prometheus: Some(address.into()), ..watched.clone() };
    for (watch, message) in [
        (watch(System::ZooKeeper, &[], None), "no member"),
        (watch(System::Etcd, &[admin], None), "AdminServer is of no use with etcd"),
        (watch(System::Consul, &[prometheus], None), "is of no use with consul"),
        (watch(System::ZooKeeper, std::slice::from_ref(&watched), Some("x")), "a token is of no use"),
    ] {
        let error = Asker::new(watch).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    // Asking can go to any thread.
    fn is_send(_: impl Send) {}
    is_send(asker(System::ZooKeeper, vec![watched]).ask());
}
