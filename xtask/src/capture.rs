//! What real members tell, as fixtures of the exporters' tests: ensembles are started, get a little load, and are asked.
//!
//! What is written is what was said, but for the names of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use quorumeter_ensemble::launch::child::Wrapper;
use quorumeter_ensemble::launch::{Launched, Member, STOP_GRACE, consul, etcd, http, zookeeper};
use serde_json::Value;

use crate::{cargo, root};

/// Where the fixtures are.
const FIXTURES: &str = "exporters/tests/fixtures";

/// Longest wait for one answer.
const LIMIT: Duration = Duration::from_secs(10);

/// Longest wait for members to come to a state.
const PATIENCE: Duration = Duration::from_secs(60);

/// Writes that make the load of etcd and Consul.
const WRITES: u32 = 200;

/// AdminServer commands that are asked.
const COMMANDS: [&str; 5] = ["zabstate", "voting_view", "leader", "last_snapshot", "monitor"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum System {
    Zookeeper,
    Etcd,
    Consul,
}

/// Writes the fixtures of these systems, or of all.
pub(crate) fn run(systems: &[System]) -> Result<(), String> {
    cargo(&["build", "--quiet", "--package", "quorumeter"])?;
    // Members are started through it, so that they end with this process.
    let xtask = std::env::current_exe().map_err(|error| error.to_string())?;
    let quorumeter = xtask.with_file_name("quorumeter");
    let all = [System::Zookeeper, System::Etcd, System::Consul];
    for system in if systems.is_empty() { &all } else { systems } {
        let scratch = Scratch::new()?;
        let capture = Capture { quorumeter: quorumeter.clone(), scratch: scratch.0.clone() };
        match system {
            System::Zookeeper => {
                for release in &zookeeper::Release::ALL {
                    capture.zookeeper(release.version)?;
                }
                capture.zookeeper_with_prometheus(zookeeper::Release::ALL[0].version)?;
                capture.zookeeper_quorums(zookeeper::Release::ALL[0].version)?;
            }
            System::Etcd => capture.etcd()?,
            System::Consul => capture.consul()?,
        }
    }
    Ok(())
}

/// A folder for members, removed with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch, String> {
        let dir = std::env::temp_dir().join(format!("quorumeter-capture-{}", std::process::id()));
        fs::create_dir(&dir).map_err(|error| format!("cannot make {}: {error}", dir.display()))?;
        Ok(Scratch(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It is in the folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Capture {
    quorumeter: PathBuf,
    scratch: PathBuf,
}

impl Capture {
    /// Three members that vote and one that observes, under load; then one voter that is left alone and elects.
    fn zookeeper(&self, version: &str) -> Result<(), String> {
        let dir = fixtures("zookeeper", version)?;
        let launched = self.start_zookeeper(version, 1, &[])?;
        let load = self.load(&launched)?;
        let roles = roles(&launched)?;
        let role_of = |wanted: &str| {
            let member = roles.iter().find(|(role, _)| role == wanted).map(|(_, member)| *member);
            member.ok_or_else(|| format!("no member says that it is {wanted}"))
        };
        for role in ["leader", "follower", "observer"] {
            self.ask_zookeeper(&dir, role, role_of(role)?)?;
        }
        drop(load);
        let left = role_of("follower")?;
        let voters = roles.iter().filter(|(role, member)| role != "observer" && member.id != left.id);
        for (_, member) in voters {
            launched.kill(member.id).map_err(|error| error.to_string())?;
        }
        wait_until("the member that is left serves no more", || {
            Ok(word(left.address, "srvr")?.contains("not currently serving"))
        })?;
        self.ask_zookeeper(&dir, "electing", left)?;
        launched.stop(STOP_GRACE);
        Ok(())
    }

    /// Three members that serve Prometheus themselves.
    fn zookeeper_with_prometheus(&self, version: &str) -> Result<(), String> {
        let dir = fixtures("zookeeper", &format!("{version}-prometheus"))?;
        let provider = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";
        let launched = self.start_zookeeper(version, 0, &[("metricsProvider.className", provider)])?;
        let load = self.load(&launched)?;
        for (role, member) in first_of_each(&roles(&launched)?) {
            for command in ["mntr", "srvr"] {
                self.write(&dir, &format!("{role}.{command}.txt"), &word(member.address, command)?)?;
            }
            let metrics = get(prometheus_of(member)?, "/metrics")?;
            self.write(&dir, &format!("{role}.metrics.txt"), &metrics)?;
        }
        drop(load);
        launched.stop(STOP_GRACE);
        Ok(())
    }

    /// What makes a quorum, of ensembles without and with groups and weights.
    fn zookeeper_quorums(&self, version: &str) -> Result<(), String> {
        let weighted = [("group.1", "1:2:3"), ("weight.1", "3"), ("weight.2", "1"), ("weight.3", "1")];
        for (name, settings) in [("majority", &[][..]), ("groups", &weighted)] {
            let dir = fixtures("zookeeper", &format!("{version}-{name}"))?;
            let launched = self.start_zookeeper(version, 0, settings)?;
            let roles = first_of_each(&roles(&launched)?);
            let follower = roles.get("follower").ok_or("no member says that it is a follower")?;
            self.write(&dir, "follower.conf.txt", &word(follower.address, "conf")?)?;
            launched.stop(STOP_GRACE);
        }
        Ok(())
    }

    fn etcd(&self) -> Result<(), String> {
        let dir = fixtures("etcd", etcd::VERSION)?;
        let options = etcd::Options::new(3, self.scratch.join("etcd"), self.wrapper());
        let launched = etcd::start(&options).map_err(|error| error.to_string())?;
        let ask = |member: &Member, path: &str, body: &str| {
            answer(http::ask(member.address, "POST", path, body, LIMIT)?, path)
        };
        for write in 0..WRITES {
            // `key` and `value` in Base64; each member passes on a third.
            let member = &launched.members[write as usize % launched.members.len()];
            ask(member, "/v3/kv/put", r#"{"key":"a2V5","value":"dmFsdWU="}"#)?;
            ask(member, "/v3/kv/range", r#"{"key":"a2V5"}"#)?;
        }
        let mut members = Vec::new();
        for member in &launched.members {
            let status: Value = json(&ask(member, "/v3/maintenance/status", "{}")?)?;
            let leads = status["leader"] == status["header"]["member_id"];
            members.push((if leads { "leader" } else { "follower" }.to_owned(), member));
        }
        for (role, member) in first_of_each(&members) {
            self.write(&dir, &format!("{role}.metrics.txt"), &get(member.address, "/metrics")?)?;
            for (name, path) in
                [("status", "/v3/maintenance/status"), ("member_list", "/v3/cluster/member/list")]
            {
                self.write(&dir, &format!("{role}.{name}.json"), &ask(member, path, "{}")?)?;
            }
        }
        launched.stop(STOP_GRACE);
        Ok(())
    }

    fn consul(&self) -> Result<(), String> {
        let dir = fixtures("consul", consul::VERSION)?;
        let options = consul::Options::new(3, self.scratch.join("consul"), self.wrapper());
        let launched = consul::start(&options).map_err(|error| error.to_string())?;
        for write in 0..WRITES {
            let member = &launched.members[write as usize % launched.members.len()];
            let path = format!("/v1/kv/key-{}", write % 10);
            answer(http::ask(member.address, "PUT", &path, "value", LIMIT)?, &path)?;
            get(member.address, &path)?;
        }
        let first = launched.members[0].address;
        wait_until("Consul calls its members healthy", || {
            // It says so with another status, too.
            let (_, health) = http::get(first, "/v1/operator/autopilot/health", LIMIT)?;
            Ok(json(&health).is_ok_and(|health| health["Healthy"] == true))
        })?;
        let configuration = json(&get(first, "/v1/operator/raft/configuration")?)?;
        let leader = configuration["Servers"]
            .as_array()
            .and_then(|servers| servers.iter().find(|server| server["Leader"] == true))
            .and_then(|server| server["Node"].as_str())
            .ok_or("no server of Consul's Raft configuration leads")?;
        let role =
            |member: &Member| if leader == format!("consul-{}", member.id) { "leader" } else { "follower" };
        let members: Vec<_> =
            launched.members.iter().map(|member| (role(member).to_owned(), member)).collect();
        for (role, member) in first_of_each(&members) {
            for (name, path) in [
                ("metrics.txt", "/v1/agent/metrics?format=prometheus"),
                ("leader.json", "/v1/status/leader"),
                ("configuration.json", "/v1/operator/raft/configuration"),
                ("self.json", "/v1/agent/self"),
                ("autopilot.json", "/v1/operator/autopilot/health"),
            ] {
                self.write(&dir, &format!("{role}.{name}"), &get(member.address, path)?)?;
            }
        }
        launched.stop(STOP_GRACE);
        Ok(())
    }

    fn wrapper(&self) -> Wrapper {
        Wrapper::Quorumeter(self.quorumeter.clone())
    }

    fn start_zookeeper(
        &self,
        version: &str,
        observers: u32,
        settings: &[(&str, &str)],
    ) -> Result<Launched, String> {
        let dir = self.scratch.join(format!("zookeeper-{version}-{}", settings.len()));
        let mut options = zookeeper::Options::new(3, dir, self.wrapper());
        options.observers = observers;
        options.settings = settings.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        options.settings.insert("version".to_owned(), version.to_owned());
        // Each ACK's latency is measured: by default it is one of a thousand, of which a short load has none.
        options.settings.insert("leader.ackLoggingFrequency".to_owned(), "1".to_owned());
        zookeeper::start(&options).map_err(|error| error.to_string())
    }

    /// Load on all members; it goes on when this returns, and has gone on for a while.
    fn load(&self, launched: &Launched) -> Result<Load, String> {
        let members: Vec<_> = launched.members.iter().map(|member| member.address.to_string()).collect();
        let out = self.scratch.join(format!("run-{}", launched.settings.len()));
        // What an earlier ensemble's load left.
        let _ = fs::remove_dir_all(&out);
        let load = Command::new(&self.quorumeter)
            .args(["run", "--target", &format!("zk://{}", members.join(","))])
            .args(["--rate", "300/s", "--duration", "60s", "--set", "dataset.nodes=100", "--out"])
            .arg(&out)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{} cannot be run: {error}", self.quorumeter.display()))?;
        let load = Load(load);
        let first = launched.members[0].address;
        wait_until("the first member has answered 1000 requests", || {
            let srvr = word(first, "srvr")?;
            let received = srvr.lines().find_map(|line| line.strip_prefix("Received: ")?.parse().ok());
            Ok(received.is_some_and(|received: u64| received > 1000))
        })?;
        Ok(load)
    }

    fn ask_zookeeper(&self, dir: &Path, role: &str, member: &Member) -> Result<(), String> {
        for command in ["mntr", "srvr"] {
            self.write(dir, &format!("{role}.{command}.txt"), &word(member.address, command)?)?;
        }
        let admin = member.admin.ok_or("the member has no AdminServer")?;
        for command in COMMANDS {
            let path = format!("/commands/{command}");
            // Without a quorum `monitor` fails with an error page, which is no answer.
            if let (200 | 503, body) = http::get(admin, &path, LIMIT)? {
                self.write(dir, &format!("{role}.{command}.json"), &body)?;
            }
        }
        Ok(())
    }

    fn write(&self, dir: &Path, name: &str, text: &str) -> Result<(), String> {
        let path = dir.join(name);
        let text = neutral(text, &self.scratch, |name| std::env::var(name).ok(), &host_name());
        fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        println!("{}", path.strip_prefix(root()).unwrap_or(&path).display());
        Ok(())
    }
}

fn fixtures(system: &str, version: &str) -> Result<PathBuf, String> {
    let dir = root().join(FIXTURES).join(system).join(version);
    fs::create_dir_all(&dir).map_err(|error| format!("cannot make {}: {error}", dir.display()))?;
    Ok(dir)
}

/// What members of ZooKeeper say that they are.
fn roles(launched: &Launched) -> Result<Vec<(String, &Member)>, String> {
    let role = |member: &Member| {
        let srvr = word(member.address, "srvr")?;
        let mode = srvr.lines().find_map(|line| line.strip_prefix("Mode: "));
        mode.map(str::to_owned).ok_or_else(|| format!("no Mode in {srvr:?}"))
    };
    launched.members.iter().map(|member| Ok((role(member)?, member))).collect()
}

/// The first member of each role.
fn first_of_each<'m>(members: &[(String, &'m Member)]) -> BTreeMap<String, &'m Member> {
    members.iter().rev().cloned().collect()
}

/// Where a member of ZooKeeper serves Prometheus.
fn prometheus_of(member: &Member) -> Result<SocketAddr, String> {
    let path = member.dir.join("zoo.cfg");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let port = text.lines().find_map(|line| line.strip_prefix("metricsProvider.httpPort=")?.parse().ok());
    let port = port.ok_or_else(|| format!("{} has no port for Prometheus", path.display()))?;
    Ok(SocketAddr::new(member.address.ip(), port))
}

/// A four-letter word's answer.
fn word(address: SocketAddr, word: &str) -> Result<String, String> {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(word.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().map_err(|error: std::io::Error| format!("{word} to {address}: {error}"))
}

fn get(address: SocketAddr, path: &str) -> Result<String, String> {
    answer(http::get(address, path, LIMIT)?, path)
}

fn answer((status, body): (u16, String), path: &str) -> Result<String, String> {
    if status == 200 { Ok(body) } else { Err(format!("{path}: status {status}: {body}")) }
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))
}

fn wait_until(what: &str, is_so: impl Fn() -> Result<bool, String>) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        // The last thing seen may be an error that passes.
        let seen = is_so();
        match &seen {
            Ok(true) => return Ok(()),
            Err(error) if begun.elapsed() > PATIENCE => return Err(format!("{what}: {error}")),
            Ok(false) if begun.elapsed() > PATIENCE => return Err(format!("{what}: not within a minute")),
            _ => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// A load that ends with the value. What it left goes with its ensemble.
struct Load(Child);

impl Drop for Load {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// A text without this machine's folders, host and user.
fn neutral(text: &str, scratch: &Path, env: impl Fn(&str) -> Option<String>, host: &str) -> String {
    let mut text = text.replace(&scratch.display().to_string(), "/srv");
    if let Some(home) = env("HOME").filter(|home| home.len() > 1) {
        text = replace_word(&text, &home, "/home/quorumeter");
    }
    text = replace_word(&text, host, "host");
    match env("USER").filter(|user| user != "root") {
        Some(user) => replace_word(&text, &user, "quorumeter"),
        // A word of its own in what servers tell.
        None => text,
    }
}

/// Replaces a word where it stands alone: it is no part of another one.
fn replace_word(text: &str, word: &str, by: &str) -> String {
    if word.is_empty() {
        return text.to_owned();
    }
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let (before, after) = (&rest[..at], &rest[at + word.len()..]);
        let before_it = before.chars().next_back().or_else(|| replaced.chars().next_back());
        let stands_alone = !is_part(before_it) && !is_part(after.chars().next());
        replaced.push_str(before);
        replaced.push_str(if stands_alone { by } else { word });
        rest = after;
    }
    replaced + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_machine_is_written() {
        let env = |name: &str| match name {
            "HOME" => Some("/home/ada".to_owned()),
            "USER" => Some("ada".to_owned()),
            _ => None,
        };
        for (text, expected) in [
            ("dir /tmp/x/etcd-1", "dir /srv/etcd-1"),
            ("/home/ada/.cache", "/home/quorumeter/.cache"),
            ("by ada on vm.", "by quorumeter on host."),
            ("jvm vm_1 canada adage", "jvm vm_1 canada adage"),
            ("vm vm", "host host"),
            ("vmvm", "vmvm"),
        ] {
            assert_eq!(neutral(text, Path::new("/tmp/x"), env, "vm"), expected);
        }
        let root = |name: &str| (name == "USER").then(|| "root".to_owned());
        assert_eq!(neutral("root certificate", Path::new("/tmp/x"), root, ""), "root certificate");
    }
}
