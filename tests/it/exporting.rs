//! `quorumeter export`, as Prometheus and an operator meet it; members that are dead, slow or lie among them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use quorumeter_ensemble::scripted::{Action, Scripted, Step, Trigger};
use quorumeter_targets::session::Timeouts;
use quorumeter_targets::url::HostPort;
use quorumeter_targets::zookeeper::{Auth, Client, DialSettings, Root, driver};
use quorumeter_zk::request::{Create, Request, create_mode};
use quorumeter_zk::{Acl, ErrorCode, OpCode};
use rustix::process::Signal;

use crate::support::exporter::{Exporter, LIMIT, get, value};
use crate::support::http::Collector;
use crate::support::{QUORUMETER, quorumeter, scripted, srvr, words};

fn url(server: SocketAddr) -> String {
    format!("zk://{server}")
}

fn empty() -> Scripted {
    scripted(Vec::new())
}

fn probes(text: &str, operation: &str, outcome: &str) -> f64 {
    let series = format!(
        "quorum_probe_operations_total{{cluster=\"c\",operation=\"{operation}\",outcome=\"{outcome}\"}}"
    );
    value(text, &series).unwrap_or_else(|| panic!("no {series} in\n{text}"))
}

const OPERATIONS: [&str; 4] = ["write", "read", "sync_read", "watch"];

#[test]
fn an_ensemble_and_what_its_clients_feel_are_told() {
    let server = empty();
    let nodes = srvr(server.address()).node_count;
    let exporter =
        Exporter::start(&["--target", &format!("c={}", url(server.address())), "--canary", "20/s"]);
    let text = exporter.metrics_when("the canary is well", |text| {
        OPERATIONS.iter().all(|operation| probes(text, operation, "ok") >= 5.0)
    });
    let member = format!("{{cluster=\"c\",member=\"{}\"}}", server.address());
    assert_eq!(value(&text, &format!("quorum_member_up{member}")), Some(1.0), "{text}");
    assert_eq!(value(&text, &format!("quorum_member_serving{member}")), Some(1.0), "{text}");
    assert_eq!(value(&text, "quorum_exporter_reloads_total{outcome=\"failed\"}"), Some(0.0));
    assert!(value(&text, "process_resident_memory_bytes").unwrap() > 1e6);
    for operation in OPERATIONS {
        assert_eq!(probes(&text, operation, "failed") + probes(&text, operation, "unknown"), 0.0, "{text}");
    }
    let page = exporter.get("/", "").1;
    assert!(page.contains(&url(server.address())), "{page}");
    assert_eq!(exporter.get("/healthz", ""), (200, "ok\n".into()));
    exporter.end();
    assert_eq!(srvr(server.address()).node_count, nodes, "the canary has removed its nodes");
}

#[test]
fn what_falls_due_while_an_operation_hangs_is_missed_and_counted() {
    let stall = Step {
        when: Trigger::AtOp { op: Some(OpCode::SET_DATA), number: 20 },
        what: Action::Stall(Duration::from_secs(2)),
    };
    let server = scripted(vec![stall]);
    let exporter =
        Exporter::start(&["--target", &format!("c={}", url(server.address())), "--canary", "20/s"]);
    let text = exporter.metrics_when("writes are missed, and go on", |text| {
        probes(text, "write", "missed") > 0.0 && probes(text, "write", "ok") > 30.0
    });
    // 2 s at 20/s, less the one that hung; the machine may add a few.
    assert!(probes(&text, "write", "missed") >= 30.0, "{text}");
    let bucket = |le: &str| {
        let series =
            format!("quorum_probe_duration_seconds_bucket{{cluster=\"c\",operation=\"write\",le=\"{le}\"}}");
        value(&text, &series).unwrap()
    };
    assert!(bucket("+Inf") - bucket("1.6384") >= 1.0, "the one that hung took its whole time:\n{text}");
}

#[test]
fn a_refused_write_is_a_failure_and_reads_go_on() {
    let refuse = Step {
        when: Trigger::AfterFirstOp(Duration::from_millis(500)),
        what: Action::RefuseWrites(Some(ErrorCode::NO_AUTH)),
    };
    let server = scripted(vec![refuse]);
    let exporter =
        Exporter::start(&["--target", &format!("c={}", url(server.address())), "--canary", "20/s"]);
    let text = exporter.metrics_when("writes fail", |text| {
        ["write", "watch"].iter().all(|operation| probes(text, operation, "failed") >= 3.0)
    });
    let reads = probes(&text, "read", "ok");
    exporter.metrics_when("reads go on", |text| probes(text, "read", "ok") > reads + 3.0);
    assert_eq!(probes(&text, "read", "failed"), 0.0, "{text}");
}

#[test]
fn a_canary_with_credentials_works_where_others_may_not_and_its_nodes_are_its_own() {
    let server = empty();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = |auth: Option<Auth>| {
        let members = [HostPort { host: "127.0.0.1".into(), port: server.address().port() }];
        runtime.block_on(async {
            let members = driver::resolve(&members, None).await.unwrap();
            let timeouts = Timeouts { session_ms: 10_000, connect_ms: 5000, read_share: 0.5 };
            let settings = DialSettings { auth, ..DialSettings::default() };
            Client::connect(members, timeouts, settings, LIMIT).await.unwrap()
        })
    };
    let mut owner = client(Some(Auth::digest("anna", "hunter2")));
    runtime.block_on(owner.create("/locked", b"", false)).unwrap();
    runtime.block_on(client(None).create("/open", b"", false)).unwrap();
    let nodes = srvr(server.address()).node_count;

    let target = format!("c={}", url(server.address()));
    let args = ["--target", &target, "--canary", "20/s", "--canary-root", "/locked"];
    let exporter = Exporter::start(&args);
    let text = exporter.metrics_when("it may not", |text| probes(text, "write", "failed") > 3.0);
    assert_eq!(probes(&text, "write", "ok"), 0.0, "{text}");
    let page = exporter.get("/", "").1;
    assert!(page.contains("c: canary: cannot create /locked/canary-") && page.contains("NoAuth"), "{page}");
    exporter.end();

    let with = [&args[..], &["--auth-user", "anna", "--password-env", "CANARY_PASSWORD"]].concat();
    let exporter = Exporter::start_with(&[("CANARY_PASSWORD", "hunter2")], &with);
    let text = exporter.metrics_when("it may", |text| {
        OPERATIONS.iter().all(|operation| probes(text, operation, "ok") > 3.0)
    });
    assert!(!text.contains("hunter2") && !exporter.get("/", "").1.contains("hunter2"));
    // One of somebody else's, below the same node, is left alone and is no trouble.
    let no_one = Exporter::start(&["--target", &target, "--canary", "20/s", "--canary-root", "/open"]);
    no_one.metrics_when("it may here", |text| probes(text, "write", "ok") > 3.0);
    let mut with_open = with.clone();
    with_open[5] = "/open";
    let another = Exporter::start_with(&[("CANARY_PASSWORD", "hunter2")], &with_open);
    another.metrics_when("so may it", |text| probes(text, "write", "ok") > 3.0);
    let third = Exporter::start(&["--target", &target, "--canary", "20/s", "--canary-root", "/open"]);
    third.metrics_when("and it", |text| probes(text, "write", "ok") > 3.0);
    let page = third.get("/", "").1;
    assert!(!page.contains("canary: "), "{page}");
    for one in [no_one, another, third] {
        one.end();
    }
    let canaries = runtime.block_on(owner.children("/locked")).unwrap();
    let node = format!("/locked/{}/data/value", canaries.first().unwrap());
    runtime.block_on(owner.get(&node)).unwrap();
    let refused = runtime.block_on(client(None).get(&node)).unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::NO_AUTH), "{node} is its own");
    let said = exporter.end();
    assert!(!said.contains("hunter2"), "{said}");
    assert_eq!(srvr(server.address()).node_count, nodes, "it has removed its nodes");
}

#[test]
fn a_canary_works_below_a_node_of_its_own_that_is_below_one_where_it_may_nothing() {
    let server = empty();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let target: quorumeter_targets::TargetUrl = url(server.address()).parse().unwrap();
        let members = driver::resolve(&target.members, None).await.unwrap();
        let timeouts = Timeouts { session_ms: 10_000, connect_ms: 5000, read_share: 0.5 };
        let settings =
            DialSettings { auth: Some(Auth::digest("anna", "hunter2")), ..DialSettings::default() };
        let mut owner = Client::connect(members, timeouts, settings, LIMIT).await.unwrap();
        owner.create("/locked", b"", false).await.unwrap();
        let open = Create {
            path: "/locked/open".into(),
            data: Some(b""),
            acl: [Acl::OPEN][..].into(),
            flags: create_mode::PERSISTENT,
        };
        owner.call(&Request::Create(open), |_| Some(())).await.unwrap();
        owner.close().await;
    });
    let nodes = srvr(server.address()).node_count;
    let target = format!("c={}", url(server.address()));
    let exporter =
        Exporter::start(&["--target", &target, "--canary", "20/s", "--canary-root", "/locked/open"]);
    exporter.metrics_when("it is well", |text| {
        OPERATIONS.iter().all(|operation| probes(text, operation, "ok") > 3.0)
    });
    exporter.end();
    assert_eq!(srvr(server.address()).node_count, nodes, "it has removed its nodes, and no other");
}

#[test]
fn a_canary_with_another_password_is_not_hindered_by_what_the_last_one_made() {
    let server = empty();
    let nodes = srvr(server.address()).node_count;
    let dir = tempfile::tempdir().unwrap();
    let (path, password) = (dir.path().join("export.toml"), dir.path().join("password"));
    fs::write(&password, "hunter2\n").unwrap();
    let auth = format!("{{ user = \"anna\", password_file = \"{}\" }}", password.display());
    let canary = format!("canary = {{ rate = \"20/s\", auth = {auth} }}");
    let target = url(server.address());
    fs::write(&path, format!("[[cluster]]\nname = \"c\"\ntarget = \"{target}\"\n{canary}\n")).unwrap();
    let exporter = Exporter::start(&["--config".as_ref(), path.as_os_str()]);
    let is_well = |text: &str| OPERATIONS.iter().all(|operation| probes(text, operation, "ok") > 3.0);
    exporter.metrics_when("it is well", is_well);
    fs::write(&password, "hunter3\n").unwrap();
    exporter.signal(Signal::HUP);
    let text = exporter.metrics_when("so is the other one", |text| {
        value(text, "quorum_exporter_reloads_total{outcome=\"ok\"}") == Some(1.0) && is_well(text)
    });
    for operation in OPERATIONS {
        assert_eq!(probes(&text, operation, "failed"), 0.0, "{text}");
    }
    let said = exporter.end();
    assert!(!said.contains("hunter"), "{said}");
    assert_eq!(srvr(server.address()).node_count, nodes, "both have removed their nodes");
}

#[test]
fn a_lost_event_is_given_up_and_the_next_one_arrives() {
    let lose =
        Step { when: Trigger::AtOp { op: Some(OpCode::SET_DATA), number: 20 }, what: Action::DropEvents(1) };
    let server = scripted(vec![lose]);
    let exporter =
        Exporter::start(&["--target", &format!("c={}", url(server.address())), "--canary", "20/s"]);
    let text = exporter.metrics_when("one is unknown", |text| probes(text, "watch", "unknown") == 1.0);
    let page = exporter.get("/", "").1;
    let ok = probes(&text, "watch", "ok");
    exporter.metrics_when("the next one arrives", |text| probes(text, "watch", "ok") > ok);
    assert!(probes(&text, "watch", "missed") >= 90.0, "5 s at 20/s:\n{text}\n{page}");
    assert_eq!(probes(&text, "write", "unknown"), 0.0, "{text}");
}

#[test]
fn an_ensemble_that_is_not_there_fails_and_one_that_comes_is_found() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let exporter = Exporter::start(&["--target", &format!("c={}", url(address)), "--canary", "10/s"]);
    let text = exporter.metrics_when("operations fail", |text| {
        OPERATIONS.iter().all(|operation| probes(text, operation, "failed") >= 2.0)
    });
    assert!(OPERATIONS.iter().all(|operation| probes(&text, operation, "unknown") == 0.0), "{text}");
    assert_eq!(value(&text, &format!("quorum_member_up{{cluster=\"c\",member=\"{address}\"}}")), Some(0.0));
    exporter.end();
}

#[test]
fn what_a_killed_canary_left_is_removed_by_the_next() {
    let server = empty();
    let nodes = srvr(server.address()).node_count;
    leave_over(server.address(), "canary-0123456789abcdef");
    assert!(srvr(server.address()).node_count > nodes);
    let exporter =
        Exporter::start(&["--target", &format!("c={}", url(server.address())), "--canary", "20/s"]);
    exporter.metrics_when("the canary is well", |text| probes(text, "write", "ok") >= 1.0);
    exporter.end();
    assert_eq!(srvr(server.address()).node_count, nodes);

    leave_over(server.address(), "canary-0123456789abcdef");
    let dir = tempfile::tempdir().unwrap();
    let cleaned = quorumeter(dir.path(), &["clean", "--target", &url(server.address())]);
    assert!(words(&cleaned.stdout).contains("canary-0123456789abcdef"), "{cleaned:?}");
    assert_eq!(srvr(server.address()).node_count, nodes);
}

/// The nodes of a canary whose session is over.
fn leave_over(server: SocketAddr, name: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let target: quorumeter_targets::TargetUrl = url(server).parse().unwrap();
        let members = driver::resolve(&target.members, None).await.unwrap();
        let timeouts = Timeouts { session_ms: 10_000, connect_ms: 2000, read_share: 0.6 };
        let mut client = Client::connect(members, timeouts, DialSettings::default(), LIMIT).await.unwrap();
        Root::new("", name).claim(&mut client).await.unwrap();
        client.close().await;
    });
}

/// A member that treats every connection in its own way. Its threads end with it.
struct Odd {
    address: SocketAddr,
    over: Arc<AtomicBool>,
}

impl Odd {
    fn new(treat: impl Fn(&mut TcpStream, &AtomicBool) + Send + Sync + 'static) -> Odd {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let (ending, treat) = (Arc::clone(&over), Arc::new(treat));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ending.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                let (ending, treat) = (Arc::clone(&ending), Arc::clone(&treat));
                thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(Duration::from_millis(100)));
                    treat(&mut stream, &ending);
                });
            }
        });
        Odd { address, over }
    }
}

impl Drop for Odd {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // It lets the listener look up.
        let _ = TcpStream::connect(self.address);
    }
}

fn word(stream: &mut TcpStream) -> String {
    let mut word = [0; 4];
    // One that sends less is answered all the same.
    let _ = stream.read_exact(&mut word);
    String::from_utf8_lossy(&word).into_owned()
}

fn hold(over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn odd_members_are_not_up_and_disturb_no_other() {
    let good = empty();
    let members: Vec<(&str, Odd)> = vec![
        ("silent", Odd::new(|_, over| hold(over))),
        (
            "dripping",
            Odd::new(|stream, over| {
                while !over.load(Ordering::Relaxed) && stream.write_all(b"Z").is_ok() {
                    thread::sleep(Duration::from_millis(50));
                }
            }),
        ),
        (
            "endless",
            Odd::new(|stream, over| {
                let block = vec![b'x'; 1 << 16];
                while !over.load(Ordering::Relaxed) && stream.write_all(&block).is_ok() {}
            }),
        ),
        (
            "binary",
            Odd::new(|stream, _| {
                word(stream);
                let _ = stream.write_all(&[0xff, 0, 0x80, 7].repeat(100));
            }),
        ),
        (
            "half-closing",
            Odd::new(|stream, over| {
                word(stream);
                let _ = stream.write_all(b"Zookeeper version: 3.9.4");
                let _ = stream.shutdown(std::net::Shutdown::Write);
                hold(over);
            }),
        ),
        ("closing", Odd::new(|_, _| {})),
        (
            "another system",
            Odd::new(|stream, _| {
                word(stream);
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
            }),
        ),
    ];
    let mut args = vec!["--timeout".to_owned(), "500ms".to_owned()];
    for (name, member) in &members {
        args.extend(["--target".into(), format!("{name}={}", url(member.address))]);
    }
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    args.extend(["--target".into(), format!("dead={}", url(dead))]);
    args.extend(["--target".into(), format!("mixed=zk://{},{}", good.address(), members[0].1.address)]);
    let exporter = Exporter::start(&args);
    let begun = Instant::now();
    for _ in 0..3 {
        let text = exporter.metrics();
        let up = |cluster: &str, member: SocketAddr| {
            value(&text, &format!("quorum_member_up{{cluster=\"{cluster}\",member=\"{member}\"}}"))
        };
        for (name, member) in &members {
            assert_eq!(up(name, member.address), Some(0.0), "{name}\n{text}");
            let serving =
                format!("quorum_member_serving{{cluster=\"{name}\",member=\"{}\"}}", member.address);
            assert_ne!(value(&text, &serving), Some(1.0), "{name}\n{text}");
        }
        assert_eq!(up("dead", dead), Some(0.0), "{text}");
        assert_eq!(up("mixed", good.address()), Some(1.0), "one that is silent holds up no other:\n{text}");
        assert_eq!(up("mixed", members[0].1.address), Some(0.0), "{text}");
        let resident = value(&text, "process_resident_memory_bytes").unwrap();
        assert!(resident < 200e6, "{resident} bytes");
    }
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
    // What went wrong is counted by kind, from 0 so that the first is a rise.
    let text = exporter.metrics();
    for name in ["binary", "another system"] {
        assert!(parse_errors(&text, name) > 0.0, "{name}\n{text}");
    }
}

/// The number of answers of a cluster's members that could not be understood.
fn parse_errors(text: &str, cluster: &str) -> f64 {
    let series = format!("quorum_parse_errors_total{{cluster=\"{cluster}\",");
    let of = |line: &str| {
        line.starts_with(&series).then(|| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
    };
    text.lines().filter_map(of).sum()
}

#[test]
fn a_member_that_changes_its_dialect_is_told_by_parse_errors() {
    let changed = Arc::new(AtomicBool::new(false));
    let upgraded = Arc::clone(&changed);
    let member = Odd::new(move |stream, _| {
        let answer = match (word(stream).as_str(), upgraded.load(Ordering::Relaxed)) {
            ("srvr", false) => {
                "Zookeeper version: 3.9.4-abc, built on 2025-08-19 19:53 UTC\nLatency min/avg/max: 0/0.0/0\n\
                 Received: 1\nSent: 0\nConnections: 1\nOutstanding: 0\nZxid: 0x100000001\nMode: follower\n\
                 Node count: 5\n"
            }
            ("mntr", false) => "zk_version\t3.9.4\nzk_server_state\tfollower\nzk_znode_count\t5\n",
            ("srvr" | "mntr", true) => "{\"server\": {\"mode\": \"follower\"}}\n",
            _ => "x is not executed because it is not in the whitelist.\n",
        };
        let _ = stream.write_all(answer.as_bytes());
    });
    let exporter = Exporter::start(&["--timeout", "2s", "--target", &format!("c={}", url(member.address))]);
    let text = exporter.metrics();
    let up = format!("quorum_member_up{{cluster=\"c\",member=\"{}\"}}", member.address);
    assert_eq!((value(&text, &up), parse_errors(&text, "c")), (Some(1.0), 0.0), "{text}");
    changed.store(true, Ordering::Relaxed);
    let text = exporter.metrics();
    assert!(parse_errors(&text, "c") > 0.0, "{text}");
    assert!(!text.contains("quorum_keys{"), "what it told before is not told again:\n{text}");
}

#[test]
fn two_scrapers_at_once_are_told_the_same() {
    let server = empty();
    let exporter = Exporter::start(&["--target", &format!("c={}", url(server.address()))]);
    let address = exporter.address;
    let scrapes: Vec<_> = (0..8).map(|_| thread::spawn(move || get(address, "/metrics", ""))).collect();
    for scrape in scrapes {
        let (status, text) = scrape.join().unwrap();
        assert_eq!(status, 200, "{text}");
        let up = format!("quorum_member_up{{cluster=\"c\",member=\"{}\"}}", server.address());
        assert_eq!(value(&text, &up), Some(1.0), "{text}");
    }
}

#[test]
fn a_scrape_ends_before_prometheus_gives_it_up() {
    let silent = Odd::new(|_, over| hold(over));
    let exporter = Exporter::start(&["--timeout", "60s", "--target", &format!("c={}", url(silent.address))]);
    let begun = Instant::now();
    let (status, text) = exporter.get("/metrics", "X-Prometheus-Scrape-Timeout-Seconds: 2\r\n");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let up = format!("quorum_member_up{{cluster=\"c\",member=\"{}\"}}", silent.address);
    assert_eq!((status, value(&text, &up)), (200, Some(0.0)), "{text}");
}

#[test]
fn the_end_waits_for_a_scrape_that_is_on_its_way() {
    let (asked, was_asked) = mpsc::channel();
    let silent = Odd::new(move |_, over| {
        let _ = asked.send(());
        hold(over);
    });
    let exporter = Exporter::start(&["--timeout", "2s", "--target", &format!("c={}", url(silent.address))]);
    let address = exporter.address;
    let scrape = thread::spawn(move || get(address, "/metrics", ""));
    was_asked.recv_timeout(LIMIT).unwrap();
    exporter.end();
    let (status, text) = scrape.join().unwrap();
    assert!(status == 200 && text.contains("quorum_member_up"), "{status} {text}");
}

#[test]
fn names_of_any_content_are_labels() {
    let server = empty();
    let name = "a \"quoted\\ {cluster} 日本";
    let exporter = Exporter::start(&["--target", &format!("{name}={}", url(server.address()))]);
    let text = exporter.metrics();
    let up = format!(
        "quorum_member_up{{cluster=\"a \\\"quoted\\\\ {{cluster}} 日本\",member=\"{}\"}}",
        server.address()
    );
    assert_eq!(value(&text, &up), Some(1.0), "{text}");
}

#[test]
fn requests_that_are_none_are_refused_and_do_no_harm() {
    let server = empty();
    let exporter = Exporter::start(&["--target", &format!("c={}", url(server.address()))]);
    assert_eq!(exporter.get("/metrics", &format!("X: {}\r\n", "x".repeat(20_000))).0, 431);
    assert_eq!(exporter.get("/metrics", &"X: 1\r\n".repeat(200)).0, 431);
    for (path, status, message) in [
        ("/nothing", 404, "/metrics"),
        ("/%22%3Cscript%3E", 404, "there is no page"),
        ("/probe?target=zk://127.0.0.1", 403, "--probe-allow"),
        ("/probe", 400, "missing field `target`"),
        ("/probe?target=zk://a&clutser=b", 400, "unknown field `clutser`"),
    ] {
        let (told, text) = exporter.get(path, "");
        assert!(told == status && text.contains(message), "{path}: {told} {text}");
    }
    let mut stream = TcpStream::connect(exporter.address).unwrap();
    stream.write_all(&[0xff, 0, 1, 2, b'\r', b'\n', b'\r', b'\n']).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    exporter.metrics();
}

#[test]
fn what_may_be_probed_is_and_nothing_else() {
    let (server, other) = (empty(), empty());
    let allowed = server.address().to_string();
    let exporter = Exporter::start(&["--probe-allow", &allowed]);
    let probe = |target: &str| exporter.get(&format!("/probe?target={target}"), "");
    let (status, text) = probe(&format!("{}&cluster=mine", url(server.address())));
    let up = format!("quorum_member_up{{cluster=\"mine\",member=\"{allowed}\"}}");
    assert_eq!((status, value(&text, &up)), (200, Some(1.0)), "{text}");
    assert!(!text.contains("process_cpu_seconds_total"), "a probe tells of its target alone:\n{text}");
    let (status, text) = probe(&url(server.address()));
    assert_eq!((status, value(&text, &up.replace("mine", &allowed))), (200, Some(1.0)), "{text}");
    for (target, status, message) in [
        (url(other.address()), 403, format!("{} is not among", other.address())),
        (format!("{},{}", url(server.address()), other.address()), 403, "--probe-allow".into()),
        ("127.0.0.1".into(), 400, "zk://".into()),
        ("zk://me:hunter2@a".into(), 400, "no user or password".into()),
        (format!("{}&cluster=", url(server.address())), 400, "a cluster's name".into()),
    ] {
        let (told, text) = probe(&target);
        assert!(
            told == status && text.contains(&message) && !text.contains("hunter2"),
            "{target}: {told} {text}"
        );
    }
}

#[test]
fn what_cannot_be_exported_is_told_with_a_next_step() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    let cluster = "[[cluster]]\nname = \"a\"\ntarget = \"zk://127.0.0.1:1\"\n";
    write("good.toml", cluster);
    write("typo.toml", &format!("{cluster}tiemout = \"3s\"\n"));
    write("secret.toml", &format!("{cluster}token = \"hunter2\"\n"));
    write(
        "no-token.toml",
        &cluster.replace("zk:", "consul:").replace("1\"\n", "1\"\ntoken_file = \"absent\"\n"),
    );
    write("no-ca.toml", &format!("{}tls = {{ ca = \"absent.pem\" }}\n", cluster.replace("zk:", "zks:")));
    fs::write(dir.path().join("binary.toml"), [0xff, 0xfe]).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let cases: &[(&[&str], i32, &str)] = &[
        (&[], 1, "--target zk://HOST:PORT"),
        (&["--config", "typo.toml"], 1, "typo.toml: line 4, column 1: there is no key \"tiemout\" here"),
        (&["--config", "typo.toml"], 1, "did you mean \"timeout\"?"),
        (&["--config", "secret.toml"], 1, "there is no key \"token\" here"),
        (&["--config", "absent.toml"], 1, "absent.toml: cannot read it: No such file"),
        (&["--config", "."], 1, "cannot read it: Is a directory"),
        (&["--config", "binary.toml"], 1, "it is no text"),
        (&["--config", "no-token.toml"], 1, "cluster \"a\": cannot read the file that token_file names"),
        (&["--config", "no-ca.toml"], 1, "cluster \"a\": cannot read absent.pem"),
        (&["--config", "good.toml", "--target", "a=zk://b"], 1, "two clusters \"a\""),
        (&["--target", "127.0.0.1:2181"], 1, "has no scheme"),
        (&["--target", "a=zk://me:hunter2@b"], 1, "no user or password"),
        (&["--target", "=zk://b"], 1, "a cluster's name"),
        (&["--target", "zk://b", "--listen", "9142"], 1, "write HOST:PORT"),
        (&["--target", "zk://b", "--timeout", "1h"], 1, "from 10ms to 60s"),
        (&["--target", "zk://b", "--canary", "1k/s"], 1, "not to be a load"),
        (&["--target", "zk://b", "--canary-root", "/x"], 1, "--canary"),
        (&["--target", "zk://b", "--auth-user", "u", "--password-env", "P"], 1, "--canary"),
        (&["--target", "zk://b", "--canary", "1/s", "--auth-user", "u"], 1, "--password-env"),
        (
            &["--target", "a=zk://b", "--canary", "1/s", "--auth-user", "u", "--password-env", "hunter2"],
            1,
            "cluster \"a\": canary: the environment has no variable of the name that password_env gives",
        ),
        (&["--target", "zk://b", "--ca", "x"], 1, "zks://HOST:PORT"),
        (&["--target", "zk://b", "--admin-port", "8080", "--ca", "x"], 1, "--admin-scheme https"),
        (&["--target", "zk://b", "--admin-scheme", "https"], 1, "--admin-port"),
        (&["--target", "zk://b", "--admin-port", "8080", "--admin-scheme", "tls"], 1, "http or https"),
        (&["--target", "zk://b", "--prometheus-scheme", "https"], 1, "--prometheus-port"),
        (
            &["--target", "zk://b", "--admin-port", "8080", "--admin-scheme", "https", "--ca", "absent.pem"],
            1,
            "cannot read absent.pem (--ca)",
        ),
        (
            &["--config", "good.toml", "--ca", "absent.pem"],
            1,
            "a cluster of the configuration file has its own",
        ),
        (&["--target", "zk://b,c,b"], 1, "b:2181 twice"),
        (&["--target", "etcd://b", "--canary", "1/s"], 1, "--canary is about a --target zk://"),
        (&["--target", "consul://b", "--admin-port", "8080"], 1, "--admin-port is about a --target zk://"),
        (&["--config", "good.toml", "--timeout", "1s"], 1, "--timeout is about a --target"),
        (&["--config", "good.toml", "--prometheus-port", "7000"], 1, "--prometheus-port is about"),
        (&["--probe-allow", "a:b:c"], 1, "is no member"),
        (&["--config", "good.toml", "--listen", &taken], 5, "choose another port with --listen"),
        (&["--config", "good.toml", "--listen", "192.0.2.1:9142"], 5, "an address of this machine"),
        (&["--config", "good.toml", "--check"], 0, "the configuration is right; clusters: a"),
    ];
    for (args, code, message) in cases {
        let output = export(dir.path(), args);
        let said = words(&output.stderr) + &words(&output.stdout);
        assert_eq!(output.status.code(), Some(*code), "{args:?}: {said}");
        assert!(said.contains(message) && !said.contains("hunter2"), "{args:?}: {said}");
    }
}

#[test]
fn https_is_not_asked_for_where_nobody_is_trusted() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("empty.pem"), "").unwrap();
    let said = |scheme: &str| {
        let mut command = Command::new(QUORUMETER);
        command.args(["export", "--check", "--target", "zk://127.0.0.1:1", "--prometheus-port", "1"]);
        command.args(["--prometheus-scheme", scheme]).env("SSL_CERT_FILE", dir.path().join("empty.pem"));
        let output = command.env_remove("SSL_CERT_DIR").output().unwrap();
        (output.status.code(), words(&output.stderr) + &words(&output.stdout))
    };
    let (code, text) = said("https");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("is asked over HTTPS") && text.contains("--ca FILE"), "{text}");
    assert_eq!(said("http").0, Some(0));
}

fn export(dir: &Path, args: &[&str]) -> Output {
    let mut all = vec!["export"];
    all.extend(args);
    quorumeter(dir, &all)
}

#[test]
fn a_configuration_is_read_anew_and_a_wrong_one_changes_nothing() {
    let (first, second) = (empty(), empty());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("export.toml");
    let cluster = |name: &str, server: &Scripted| {
        format!("[[cluster]]\nname = \"{name}\"\ntarget = \"{}\"\n", url(server.address()))
    };
    fs::write(&path, cluster("first", &first)).unwrap();
    let exporter = Exporter::start(&["--config".as_ref(), path.as_os_str()]);
    let up = |text: &str, name: &str, server: &Scripted| {
        value(text, &format!("quorum_member_up{{cluster=\"{name}\",member=\"{}\"}}", server.address()))
    };
    let reloads = |text: &str, outcome: &str| {
        value(text, &format!("quorum_exporter_reloads_total{{outcome=\"{outcome}\"}}")).unwrap()
    };
    assert_eq!(up(&exporter.metrics(), "first", &first), Some(1.0));

    fs::write(&path, cluster("second", &second) + "tiemout = \"1s\"\n").unwrap();
    exporter.signal(Signal::HUP);
    let text = exporter.metrics_when("it is counted", |text| reloads(text, "failed") == 1.0);
    assert_eq!((up(&text, "first", &first), up(&text, "second", &second)), (Some(1.0), None), "{text}");

    fs::write(&path, cluster("second", &second)).unwrap();
    exporter.signal(Signal::HUP);
    let text = exporter.metrics_when("it is in effect", |text| reloads(text, "ok") == 1.0);
    assert_eq!((up(&text, "first", &first), up(&text, "second", &second)), (None, Some(1.0)), "{text}");
    let said = exporter.end();
    assert!(said.contains("did you mean \"timeout\"?") && said.contains("stays as it was"), "{said}");
}

#[test]
fn what_is_told_is_pushed_too() {
    let server = empty();
    let collector = Collector::start(&[200]);
    let target = format!("c={}", url(server.address()));
    let otlp = format!("http://anna:hunter2@{}", collector.address);
    let exporter = Exporter::start(&["--target", &target, "--otlp", &otlp]);
    let begun = Instant::now();
    while collector.metrics().is_empty() {
        assert!(begun.elapsed() < LIMIT, "nothing is pushed");
        thread::sleep(Duration::from_millis(20));
    }
    let said = exporter.end();
    assert!(!said.contains("hunter2") && !said.contains("could not be pushed"), "{said}");
    let pushes = collector.metrics();
    assert!(pushes.len() >= 2, "at once, and when it ends");
    for (resource, metrics) in pushes {
        assert!(resource.contains(&("service.name".into(), "quorumeter".into())), "{resource:?}");
        let names: Vec<_> = metrics.iter().map(|metric| metric.name.as_str()).collect();
        assert!(names.contains(&"quorum_member_up"), "{names:?}");
    }
}
