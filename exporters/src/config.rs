//! The configuration of `quorumeter export`: TOML in, checked settings out, errors that point at the place.
//!
//! No error repeats what stands in the file beyond names of keys, of clusters, and values of the wrong form: a secret may have
//! been put where none belongs.

mod file;
mod secret;

use std::fmt;
use std::time::Duration;

use quorumeter_targets::units::{Dur, Rate};
use quorumeter_targets::url::HostPort;
use quorumeter_targets::{System, TargetUrl, TlsOptions};

use crate::ask::{HttpAddress, HttpPort, Scheme};

pub use self::file::{MAX_FILE, load, read, schema};
pub use self::secret::{Credentials, Secret};

/// Where an exporter listens unless it is told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:9142";

/// How long a member may take to answer unless it is told otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

const DEFAULT_PUSH_PERIOD: Dur = Dur(15_000_000_000);

/// The canary's highest rate of each operation, per second: it is to notice, and not to be a load.
const CANARY_RATE_MAX: f64 = 100.0;
/// The lowest: once in an hour.
const CANARY_RATE_MIN: f64 = 1.0 / 3600.0;

/// What an exporter is told to do.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// Where it listens: HOST:PORT.
    pub listen: Option<String>,
    /// What it tells of.
    pub clusters: Vec<Cluster>,
    /// Where it pushes to.
    pub otlp: Option<Otlp>,
    /// What it may be asked to probe.
    pub probe: Probe,
}

/// A cluster to tell of.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// Its label.
    pub name: String,
    /// Its members, and how they are reached.
    pub target: TargetUrl,
    /// The rest.
    pub settings: Settings,
}

impl Cluster {
    /// A cluster of this name.
    ///
    /// # Errors
    ///
    /// A message when it can have no such name, or a member is in it twice.
    pub fn new(name: String, target: TargetUrl, settings: Settings) -> Result<Cluster, String> {
        if name.trim().is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
            return Err(
                "a cluster's name is a line of up to 200 bytes, as the label `cluster` shows it".into()
            );
        }
        named_once(&target)?;
        Ok(Cluster { name, target, settings })
    }
}

/// Whether every member is named once.
fn named_once(target: &TargetUrl) -> Result<(), String> {
    let members = &target.members;
    match members.iter().enumerate().find(|(at, one)| members[..*at].contains(one)) {
        Some((_, twice)) => {
            Err(format!("the target names {twice} twice, which would count as two members; name it once"))
        }
        None => Ok(()),
    }
}

/// How the members of a cluster are asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The members' AdminServers, in the order of the members; ZooKeeper only.
    pub admin: Admin,
    /// The port of the members' own Prometheus endpoints; ZooKeeper only.
    pub prometheus: Option<HttpPort>,
    /// How long a member may take to answer everything.
    pub timeout: Duration,
    /// The canary; ZooKeeper only.
    pub canary: Option<CanarySettings>,
    /// Where the token is; etcd and Consul only.
    pub token: Option<Secret>,
    /// How what is asked over HTTPS is verified where the target is not over TLS itself, and targets that are probed.
    pub tls: TlsOptions,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            admin: Admin::None,
            prometheus: None,
            timeout: DEFAULT_TIMEOUT,
            canary: None,
            token: None,
            tls: TlsOptions::default(),
        }
    }
}

impl Settings {
    /// Whether anything is asked over HTTPS beside the target itself.
    pub fn has_https(&self) -> bool {
        self.admin.is_over_https() || self.prometheus.is_some_and(|port| port.scheme == Scheme::Https)
    }

    /// The same without what members of this system do not have.
    pub fn fit_for(&self, system: System) -> Settings {
        match system {
            System::ZooKeeper => Settings { token: None, ..self.clone() },
            System::Etcd | System::Consul => {
                let (token, tls) = (self.token.clone(), self.tls.clone());
                Settings { timeout: self.timeout, token, tls, ..Settings::default() }
            }
        }
    }
}

/// Where the AdminServers are.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Admin {
    /// Nobody said; they are not asked.
    #[default]
    None,
    /// At the same port of every member's host.
    Port(HttpPort),
    /// One for each member, in the same order.
    Each(Vec<HttpAddress>),
}

impl Admin {
    /// The AdminServer of the member at this place.
    pub fn of(&self, place: usize, member: &HostPort) -> Option<HttpAddress> {
        match self {
            Admin::None => None,
            Admin::Port(port) => Some(port.of(member)),
            Admin::Each(all) => all.get(place).cloned(),
        }
    }

    fn is_over_https(&self) -> bool {
        match self {
            Admin::None => false,
            Admin::Port(port) => port.scheme == Scheme::Https,
            Admin::Each(all) => all.iter().any(|at| at.scheme == Scheme::Https),
        }
    }
}

/// How often the canary does what, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct CanarySettings {
    /// How often it begins each operation, per second.
    pub rate_per_s: f64,
    /// The path of the node below which it has its own, whatever the target's chroot; that, or else `/quorumeter`, when not
    /// given.
    pub root: Option<String>,
    /// Whom it says to be.
    pub auth: Option<Credentials>,
}

impl CanarySettings {
    /// Settings of this rate.
    ///
    /// # Errors
    ///
    /// A message when a canary has no such rate, or the root is no path.
    pub fn new(
        rate: Rate,
        root: Option<String>,
        auth: Option<Credentials>,
    ) -> Result<CanarySettings, String> {
        if !(CANARY_RATE_MIN..=CANARY_RATE_MAX).contains(&rate.0) {
            return Err(format!(
                "a canary's rate is from one in an hour to {CANARY_RATE_MAX}/s, as it is to notice and not to be a load"
            ));
        }
        if let Some(root) = &root {
            quorumeter_zk::path::validate(root)
                .map_err(|e| format!("{root:?} is no path for the canary: {e}"))?;
            if root == "/" {
                return Err(
                    "the canary has a node of its own, not the root: write a path such as /quorumeter".into(),
                );
            }
        }
        Ok(CanarySettings { rate_per_s: rate.0, root, auth })
    }
}

/// Where metrics are pushed to.
#[derive(Debug, Clone, PartialEq)]
pub struct Otlp {
    /// The receiver's URL.
    pub url: String,
    /// How often.
    pub period: Duration,
}

impl Otlp {
    /// A receiver that is pushed to as often as one is unless it is told otherwise.
    pub fn new(url: String) -> Otlp {
        Otlp { url, period: Duration::from_nanos(DEFAULT_PUSH_PERIOD.0) }
    }
}

/// What may be probed, and how.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Probe {
    /// Which members.
    pub allow: Vec<Allowed>,
    /// How they are asked.
    pub settings: Settings,
}

impl Probe {
    /// The cluster that a target is when it is probed.
    ///
    /// # Errors
    ///
    /// As [`Cluster::new`].
    pub fn cluster(&self, name: String, mut target: TargetUrl) -> Result<Cluster, String> {
        if let Some(tls) = &mut target.tls {
            tls.clone_from(&self.settings.tls);
        }
        let settings = self.settings.fit_for(target.system);
        Cluster::new(name, target, settings)
    }

    /// Whether a cluster that was probed may be, and would be the same.
    pub fn would_be_the_same(&self, cluster: &Cluster) -> bool {
        self.refused(&cluster.target.members).is_none()
            && self.cluster(cluster.name.clone(), cluster.target.clone()).as_ref() == Ok(cluster)
    }

    /// The first member that may not be probed.
    pub fn refused<'m>(&self, members: &'m [HostPort]) -> Option<&'m HostPort> {
        members.iter().find(|member| !self.allow.iter().any(|allowed| allowed.is(member)))
    }
}

/// Members that may be probed, by what is in the target's URL. Names are not resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// All of them.
    Any,
    /// Every port of a host.
    Host(String),
    /// One port of a host.
    Port(HostPort),
}

impl Allowed {
    fn is(&self, member: &HostPort) -> bool {
        match self {
            Allowed::Any => true,
            Allowed::Host(host) => host.eq_ignore_ascii_case(&member.host),
            Allowed::Port(one) => one.port == member.port && one.host.eq_ignore_ascii_case(&member.host),
        }
    }
}

impl std::str::FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Allowed, String> {
        if text == "*" {
            return Ok(Allowed::Any);
        }
        // No member has the port 0: it shows that none was given.
        let read = HostPort::read(text, 0).map_err(|e| e.to_string())?;
        Ok(if read.port == 0 { Allowed::Host(read.host) } else { Allowed::Port(read) })
    }
}

/// Why a configuration will not do.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigError {
    /// What is wrong.
    pub message: String,
    /// What would help.
    pub help: Option<String>,
    /// The line and the column, from 1, in the file.
    pub place: Option<(usize, usize)>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.place {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Whether an exporter can be told to listen there.
///
/// # Errors
///
/// A message when it cannot.
pub fn check_listen(listen: &str) -> Result<(), String> {
    match listen.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(()),
        _ => Err(format!(
            "{listen:?} is nowhere to listen; write HOST:PORT, as in {DEFAULT_LISTEN} or [::]:9142"
        )),
    }
}

/// The time that a member may take to answer.
///
/// # Errors
///
/// A message when no member should be given as little or as much.
pub fn timeout(given: Dur) -> Result<Duration, String> {
    match Duration::from_nanos(given.0) {
        timeout if (Duration::from_millis(10)..=Duration::from_secs(60)).contains(&timeout) => Ok(timeout),
        _ => Err("a timeout is from 10ms to 60s".into()),
    }
}

#[cfg(test)]
mod tests;
