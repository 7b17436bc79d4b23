//! The whole of monitoring on the real thing: the exporter over live ensembles, scraped by a real Prometheus with the rendered
//! rules, while load runs and a leader is killed. Every query of every dashboard is asked, and what it gave is drawn.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

mod contact_sheet;
mod dashboards;
mod otlp;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use quorumeter_ensemble::launch::child::{ChildId, ChildSpec, Children, State, Wrapper};
use quorumeter_ensemble::launch::ports::free_port;
use quorumeter_ensemble::launch::{Kind, Launched, consul, etcd, http, own, zookeeper};
use quorumeter_zk::four_letter::Mode;
use serde_json::Value;

use contact_sheet::Drawn;
use dashboards::{Dashboard, substituted};
use support::prometheus::{Prometheus, Series, installed, unix_now};
use support::{QUORUMETER, real_zookeeper, skip, srvr};

/// Between two points of a query over time, seconds.
const STEP_S: u32 = 2;

/// What `$__rate_interval` is: four scrapes, and one more.
const RATE_INTERVAL: &str = "10s";

/// The cluster whose leader is killed.
const KILLED: &str = "zookeeper";

/// How long the load runs before the kill.
const BASELINE: Duration = Duration::from_secs(25);

/// Longest wait for alerts to fire, and to be silent again.
const PATIENCE: Duration = Duration::from_secs(180);

/// Alerts that the death of a leader of three fires.
const EXPECTED: [&str; 3] = ["QuorumLeaderChanged", "QuorumMemberDown", "QuorumNoFailureTolerance"];

/// Alerts that may fire besides, of which clusters, each with the reason.
const POSSIBLE: [(&str, &[&str], &str); 4] = [
    ("QuorumElectionSlow", &[KILLED], "how long an election takes is the machine's"),
    ("QuorumProbeSlow", &[KILLED], "how long a probe takes is the machine's"),
    (
        "QuorumLeaderChanged",
        &["etcd", "consul"],
        "they elect anew where a busy machine holds up their heartbeats, and say so",
    ),
    (
        "QuorumProbeErrors",
        &[KILLED],
        "a second without a leader, or of a busy machine, is much of a window that is a twelfth",
    ),
];

/// Queries that have no data here, each with the reason: a part of the expression.
const WITHOUT_DATA: [(&str, &str); 4] = [
    ("bench_fault_active", "a run has no faults; a failover measurement has"),
    ("quorum_commits_failed_total", "ClickHouse Keeper alone tells it"),
    ("quorum_process_written_bytes_total", "from /proc, of members that a measurement has started itself"),
    ("quorum_process_read_bytes_total", "from /proc, of members that a measurement has started itself"),
];

/// Panels that may draw the same all the time, each with the reason.
const CONSTANT: [(&str, &str); 17] = [
    ("Voters", "the ensemble keeps its voters"),
    ("Leaders in one term", "never do two lead"),
    ("Leader", "an election may fit between two scrapes"),
    ("Phase and fault", "the kill is within one phase, and no fault of the run's own"),
    ("Connections refused", "nobody reaches a limit of connections"),
    ("Requests throttled", "nobody reaches a limit of requests"),
    ("What must be 0", "it is, unless a follower counts the request that its dead leader had"),
    ("Elections, mean duration", "one election has one duration"),
    ("Snapshots, mean duration", "a member that comes back writes one, and it has one duration"),
    ("Nodes or keys", "the load makes its nodes before it begins, and makes no more"),
    ("Ephemeral nodes", "the locks of the load and the canary alone are, and stay"),
    ("Size of the data", "values are replaced by others of their size"),
    ("Database file and its quota", "of etcd, which has next to nothing to do here"),
    ("Sessions", "they outlive their connections"),
    ("Sessions expired", "they outlive their connections"),
    ("Watches", "they are set again where their sessions go"),
    ("Outcomes other than ok", "what waits for the new leader, and was not sent to the old one, succeeds"),
];

const WORKLOAD: &str = r#"
name = "monitored"
phases = { warmup = "1s", measure = "10m" }
client = { policy = "java" }
dataset = { nodes = 500, value = "256 B" }
[[stream]]
name = "app"
sessions = 6
depth = 8
rate = "300/s"
mix = { read = 60, write = 35, read_fresh = 5 }
[[stream]]
name = "watchers"
sessions = 3
watch = { kind = "persistent", watchers = 1 }
"#;

#[test]
fn dashboards_and_alerts_tell_what_happens_to_real_ensembles() {
    let test = "dashboards_and_alerts_tell_what_happens_to_real_ensembles";
    let Some(prometheus) = installed("prometheus", test) else { return };
    let Some(promtool) = installed("promtool", test) else { return };
    if real_zookeeper(test).is_none() {
        return;
    }
    for program in [etcd::program(), consul::program()] {
        if let Err(error) = program {
            return skip(test, &error.to_string());
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let ensembles = Ensembles::start(dir.path());
    let children = Children::new(wrapper()).unwrap();
    let exporter = start_exporter(&children, dir.path(), &ensembles);
    let (load, bench) = start_load(&children, dir.path(), &ensembles.zookeeper);
    let prometheus = start_prometheus(&children, &prometheus, dir.path(), exporter, bench);
    let others = Others::start(&ensembles);
    let from = unix_now();

    std::thread::sleep(BASELINE);
    let mut fired = firing(&prometheus);
    fired.retain(|(name, cluster)| !is_possible(name, cluster));
    assert!(fired.is_empty(), "before anything happened: {fired:?}; the canary: {:?}", outcomes(&prometheus));

    let leader = leader_of(&ensembles.zookeeper);
    ensembles.zookeeper.kill(leader).unwrap();
    wait_until("the alerts of a dead leader fire", || {
        let firing = firing(&prometheus);
        let missing = EXPECTED.iter().find(|name| !firing.iter().any(|(fired, _)| fired == *name));
        missing.map_or(Ok(()), |name| Err(format!("{name} does not; these do: {firing:?}")))
    });
    check_metrics(&promtool, exporter, dir.path());
    check_metrics(&promtool, bench, dir.path());
    ensembles.zookeeper.start_again(leader).unwrap();
    wait_until("all alerts are silent again", || {
        let firing = firing(&prometheus);
        if firing.is_empty() { Ok(()) } else { Err(format!("{firing:?}")) }
    });
    // What recovered is on the pictures.
    std::thread::sleep(Duration::from_secs(5));
    let time = (from, unix_now());
    assert_eq!(children.state(load), State::Running, "{}", children.output(load));
    others.stop();

    let fired = fired_in(&prometheus, time);
    let unexpected: Vec<_> = fired
        .iter()
        .filter(|(name, cluster)| {
            let is_expected = EXPECTED.contains(&name.as_str()) && cluster == KILLED;
            !is_expected && !is_possible(name, cluster)
        })
        .collect();
    assert!(unexpected.is_empty(), "these alerts fired, and should not have: {unexpected:?}");

    let mut empty = empty_rules(&prometheus, time);
    let mut constant = Vec::new();
    let sheets = sheets_dir();
    for dashboard in dashboards::read(&dashboards_dir()) {
        let seen = look(&prometheus, &dashboard, time, &sheets);
        empty.extend(seen.empty);
        constant.extend(seen.constant);
    }
    println!("pictures: {}", sheets.display());
    let unexplained: Vec<_> =
        empty.iter().filter(|query| !WITHOUT_DATA.iter().any(|(part, _)| query.contains(part))).collect();
    assert!(unexplained.is_empty(), "without data, and without a reason in WITHOUT_DATA: {unexplained:#?}");
    for (part, reason) in WITHOUT_DATA {
        assert!(empty.iter().any(|query| query.contains(part)), "{part} has data, in spite of: {reason}");
    }
    constant.retain(|title| !CONSTANT.iter().any(|(known, _)| known == title));
    assert!(constant.is_empty(), "the same all the time, without a reason in CONSTANT: {constant:?}");
    // A signal is enough for both: neither is killed, and the load takes away what it made.
    children.terminate(&[load], Duration::from_secs(20));
}

/// Whether an alert may fire of this cluster, whatever is done to it.
fn is_possible(name: &str, cluster: &str) -> bool {
    POSSIBLE.iter().any(|(possible, clusters, _)| *possible == name && clusters.contains(&cluster))
}

fn wrapper() -> Wrapper {
    Wrapper::Quorumeter(QUORUMETER.into())
}

fn dashboards_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/out")
}

/// Where the pictures go: beside what is built, to be looked at after the test.
fn sheets_dir() -> PathBuf {
    let target = Path::new(QUORUMETER).ancestors().nth(2).unwrap();
    let dir = target.join("contact-sheets");
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

struct Ensembles {
    zookeeper: Launched,
    embedded: Launched,
    etcd: Launched,
    consul: Launched,
}

impl Ensembles {
    fn start(dir: &Path) -> Ensembles {
        let mut options = zookeeper::Options::new(3, dir.join("zookeeper"), wrapper());
        options.ready_timeout = PATIENCE;
        // Each acknowledgement of a peer is timed, and not one in a thousand.
        options.settings.insert("leader.ackLoggingFrequency".to_owned(), "1".to_owned());
        options.settings.insert("jvm.Xmx".to_owned(), "256m".to_owned());
        let embedded = own::start(
            Kind::Embedded,
            1,
            &dir.join("embedded"),
            &[("admin.serverPort".to_owned(), "0".to_owned())].into(),
            QUORUMETER.as_ref(),
        );
        Ensembles {
            zookeeper: zookeeper::start(&options).unwrap(),
            embedded: embedded.unwrap(),
            etcd: etcd::start(&etcd::Options::new(3, dir.join("etcd"), wrapper())).unwrap(),
            consul: consul::start(&consul::Options::new(3, dir.join("consul"), wrapper())).unwrap(),
        }
    }
}

/// Addresses with a comma between them.
fn listed(addresses: impl Iterator<Item = SocketAddr>) -> String {
    addresses.map(|address| address.to_string()).collect::<Vec<_>>().join(",")
}

fn members(launched: &Launched) -> String {
    listed(launched.members.iter().map(|member| member.address))
}

/// The exporter over all of them, with a canary on the one whose leader is killed.
fn start_exporter(children: &Children, dir: &Path, ensembles: &Ensembles) -> SocketAddr {
    let listen = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    let mut config = format!("listen = \"{listen}\"\n");
    for (name, scheme, launched) in [
        (KILLED, "zk", &ensembles.zookeeper),
        ("embedded", "zk", &ensembles.embedded),
        ("etcd", "etcd", &ensembles.etcd),
        ("consul", "consul", &ensembles.consul),
    ] {
        config += &format!("[[cluster]]\nname = \"{name}\"\ntarget = \"{scheme}://{}\"\n", members(launched));
        let admin: Vec<_> = launched
            .members
            .iter()
            .filter_map(|member| Some(format!("{:?}", member.admin?.to_string())))
            .collect();
        if !admin.is_empty() {
            config += &format!("admin = [{}]\n", admin.join(", "));
        }
        if name == KILLED {
            config += "canary = { rate = \"1/s\" }\n";
        }
    }
    std::fs::write(dir.join("export.toml"), config).unwrap();
    start(children, dir, "export", &["export", "--config", "export.toml"]);
    listen
}

/// A run on the ensemble whose leader is killed, whose own metrics are served too.
fn start_load(children: &Children, dir: &Path, launched: &Launched) -> (ChildId, SocketAddr) {
    let listen = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
    std::fs::write(dir.join("monitored.toml"), WORKLOAD).unwrap();
    let target = format!("zk://{}", members(launched));
    let args =
        ["run", "monitored.toml", "--target", &target, "--out", "record", "--listen", &listen.to_string()];
    (start(children, dir, "run", &args), listen)
}

fn start(children: &Children, dir: &Path, name: &str, args: &[&str]) -> ChildId {
    let spec = ChildSpec {
        name: name.to_owned(),
        program: QUORUMETER.into(),
        args: args.iter().map(Into::into).collect(),
        dir: dir.to_owned(),
        log: dir.join(format!("{name}.log")),
        announcement: None,
    };
    children.start(spec).unwrap()
}

/// Prometheus with the rules of the mixin, over both.
fn start_prometheus(
    children: &Children,
    program: &Path,
    dir: &Path,
    exporter: SocketAddr,
    bench: SocketAddr,
) -> Prometheus {
    let dir = dir.join("prometheus");
    std::fs::create_dir_all(&dir).unwrap();
    for rules in ["rules.yaml", "alerts.yaml"] {
        let text = std::fs::read_to_string(dashboards_dir().join(rules)).unwrap();
        std::fs::write(dir.join(rules), twelve_times_as_fast(&text)).unwrap();
    }
    let configuration = format!(
        "global: {{ scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 1s }}\n\
         rule_files: [rules.yaml, alerts.yaml]\n\
         scrape_configs:\n\
         - {{ job_name: quorumeter, honor_labels: true, static_configs: [{{ targets: ['{exporter}'] }}] }}\n\
         - {{ job_name: benchmark, honor_labels: true, static_configs: [{{ targets: ['{bench}'] }}] }}\n"
    );
    Prometheus::start(children, program, &dir, &configuration)
}

/// Rules that do in five minutes what they do in an hour: every window and every wait of them a twelfth.
fn twelve_times_as_fast(rules: &str) -> String {
    let mut fast = String::new();
    for line in rules.lines() {
        let mut line = line.to_owned();
        if let Some((before, duration)) = line.trim_end().trim_end_matches('"').split_once("for: \"") {
            line = format!("{before}for: \"{}\"", twelfth(duration));
        }
        // Windows, which stand in brackets.
        let mut parts = line.split('[');
        let mut shortened = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            shortened += "[";
            shortened += &match part.split_once(']') {
                Some((window, rest)) if window.starts_with(|c: char| c.is_ascii_digit()) => {
                    format!("{}]{rest}", twelfth(window))
                }
                _ => part.to_owned(),
            };
        }
        // How far the growth of data is drawn out, and how long a canary may be without success.
        let shortened = shortened.replace(", 14400)", ", 1200)");
        fast += &shortened
            .strip_suffix("}) > 60")
            .map_or_else(|| shortened.clone(), |rest| format!("{rest}}}) > 5"));
        fast += "\n";
    }
    fast
}

fn twelfth(duration: &str) -> String {
    let (number, unit) = duration.split_at(duration.len() - 1);
    let factor = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => panic!("{duration} is no duration"),
    };
    let seconds: f64 = number.parse().unwrap();
    format!("{:.0}s", (seconds * factor / 12.0).ceil())
}

#[test]
fn every_time_in_a_rule_is_a_twelfth() {
    assert_eq!(
        twelve_times_as_fast("a: rate(x{y=\"z\"}[300s]) + increase(x[1h])\n  for: \"2m\"\n  for: \"0s\"\n"),
        "a: rate(x{y=\"z\"}[25s]) + increase(x[300s])\n  for: \"10s\"\n  for: \"0s\"\n"
    );
    assert_eq!(twelve_times_as_fast("x[30s] y{a=~\"[a-z]\"}\n"), "x[3s] y{a=~\"[a-z]\"}\n");
}

/// A little load on etcd and Consul, until it is stopped.
struct Others {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Others {
    fn start(ensembles: &Ensembles) -> Others {
        let stop = Arc::new(AtomicBool::new(false));
        let addresses = |launched: &Launched| launched.members.iter().map(|m| m.address).collect::<Vec<_>>();
        let (etcd, consul) = (addresses(&ensembles.etcd), addresses(&ensembles.consul));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let limit = Duration::from_secs(5);
            for turn in (0..).take_while(|_| !stopped.load(Ordering::Relaxed)) {
                // A busy machine may make one of them late, which is nothing to this test.
                let _ = http::ask(
                    etcd[turn % 3],
                    "POST",
                    "/v3/kv/put",
                    r#"{"key":"a2V5","value":"dmFsdWU="}"#,
                    limit,
                );
                let _ = http::ask(etcd[turn % 3], "POST", "/v3/kv/range", r#"{"key":"a2V5"}"#, limit);
                let _ = http::ask(consul[turn % 3], "PUT", "/v1/kv/key", "value", limit);
                let _ = http::get(consul[turn % 3], "/v1/kv/key", limit);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Others { stop, thread }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

fn leader_of(launched: &Launched) -> u32 {
    let leads = |member: &&quorumeter_ensemble::launch::Member| srvr(member.address).mode == Mode::Leader;
    launched.members.iter().find(leads).expect("a member leads").id
}

/// Alerts that fire now, with their cluster.
fn firing(prometheus: &Prometheus) -> BTreeSet<(String, String)> {
    names(prometheus.now("ALERTS{alertstate=\"firing\"}"))
}

/// Alerts that fired at any time.
fn fired_in(prometheus: &Prometheus, time: (f64, f64)) -> BTreeSet<(String, String)> {
    names(prometheus.range("ALERTS{alertstate=\"firing\"}", time, 1))
}

/// What became of the canary's operations so far.
fn outcomes(prometheus: &Prometheus) -> Vec<String> {
    let outcomes = prometheus.now("sum by (operation, outcome) (quorum_probe_operations_total) > 0");
    outcomes.iter().map(|series| format!("{:?} {:?}", series.labels, series.points)).collect()
}

fn names(alerts: Vec<Series>) -> BTreeSet<(String, String)> {
    let label = |series: &Series, name: &str| series.labels.get(name).cloned().unwrap_or_default();
    alerts.iter().map(|series| (label(series, "alertname"), label(series, "cluster"))).collect()
}

fn wait_until(what: &str, is_so: impl Fn() -> Result<(), String>) {
    let begun = Instant::now();
    while let Err(seen) = is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: {seen}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// `promtool check metrics` on a scrape.
fn check_metrics(promtool: &Path, of: SocketAddr, dir: &Path) {
    let (status, scrape) = http::get(of, "/metrics", Duration::from_secs(10)).unwrap();
    assert_eq!(status, 200, "{scrape}");
    let file = dir.join("scrape");
    std::fs::write(&file, scrape).unwrap();
    let output = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::from(std::fs::File::open(&file).unwrap()))
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

/// Recording rules that gave nothing, and an error where one cannot be evaluated.
fn empty_rules(prometheus: &Prometheus, time: (f64, f64)) -> Vec<String> {
    let data = prometheus.api("rules", &[]);
    let all = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let rules: Vec<Value> = all(&data["groups"]).iter().flat_map(|group| all(&group["rules"])).collect();
    assert!(rules.len() > EXPECTED.len(), "{data}");
    let mut empty = Vec::new();
    for rule in &rules {
        let name = rule["name"].as_str().unwrap();
        assert_eq!(rule["health"], "ok", "{name}: {}", rule["lastError"]);
        if rule["type"] == "recording" && !has_data(&prometheus.range(name, time, STEP_S)) {
            empty.push(format!("rule {name}: {}", rule["query"].as_str().unwrap()));
        }
    }
    empty
}

fn changes_ever(series: &Series) -> bool {
    let first = series.finite().next();
    series.finite().any(|(_, value)| first.is_some_and(|(_, first)| first != value))
}

fn has_data(series: &[Series]) -> bool {
    series.iter().any(|series| series.finite().next().is_some())
}

/// What is remarkable of a dashboard.
#[derive(Default)]
struct Seen {
    /// Queries that no choice of the variables has data for.
    empty: Vec<String>,
    /// Panels that draw something, and with no choice anything that changes.
    constant: Vec<String>,
}

/// Asks every query of a dashboard with every choice of its variables, and draws what each choice gave.
fn look(prometheus: &Prometheus, dashboard: &Dashboard, time: (f64, f64), sheets: &Path) -> Seen {
    let choices = dashboard.choices(prometheus, KILLED);
    let mut seen = Seen::default();
    let mut pictures: BTreeMap<usize, Vec<Drawn>> = BTreeMap::new();
    for (index, panel) in dashboard.panels.iter().enumerate() {
        let mut has = vec![false; panel.targets.len()];
        let mut changes = false;
        for (choice, chosen) in choices.iter().enumerate() {
            let mut lines = Vec::new();
            for (target, has) in panel.targets.iter().zip(&mut has) {
                let query = substituted(&target.expr.replace("$__rate_interval", RATE_INTERVAL), chosen);
                let series = prometheus.range(&query, time, STEP_S);
                *has |= has_data(&series);
                changes |= series.iter().any(changes_ever);
                let series = series.into_iter().filter(|series| series.finite().next().is_some());
                lines.extend(series.map(|series| (legend(&target.legend, &series), series)));
            }
            pictures.entry(choice).or_default().push(Drawn { panel: index, lines });
        }
        if !changes && has.contains(&true) {
            seen.constant.push(panel.title.clone());
        }
        let targets = panel.targets.iter().zip(has).filter(|(_, has)| !has);
        seen.empty.extend(
            targets.map(|(target, _)| format!("{} / {}: {}", dashboard.name, panel.title, target.expr)),
        );
    }
    for (choice, drawn) in pictures {
        let name = if choice == 0 { String::new() } else { format!("-{}", choice + 1) };
        let svg = contact_sheet::svg(dashboard, &choices[choice], &drawn, time);
        std::fs::write(sheets.join(format!("{}{name}.svg", dashboard.name)), svg).unwrap();
    }
    seen
}

/// `{{label}}` with the label's value in its place.
fn legend(template: &str, series: &Series) -> String {
    let mut name = template.to_owned();
    for (label, value) in &series.labels {
        name = name.replace(&format!("{{{{{label}}}}}"), value);
    }
    name
}
