//! The configuration of `quorumeter export`: TOML in, checked settings out, errors that point at the place.
//!
//! No error repeats what stands in the file beyond names of keys, of clusters, and values of the wrong form: a secret may have
//! been put where none belongs.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quorumeter_targets::spelling::explain;
use quorumeter_targets::units::{Dur, Rate};
use quorumeter_targets::url::HostPort;
use quorumeter_targets::zookeeper::Auth;
use quorumeter_targets::{System, TargetUrl, TlsOptions};
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use crate::ask::{HttpAddress, HttpPort, Scheme};
use crate::otlp::Endpoint;

/// The largest configuration file, bytes.
pub const MAX_FILE: usize = 1 << 20;

/// Where an exporter listens unless it is told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:9142";

/// How long a member may take to answer unless it is told otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

const DEFAULT_PUSH_PERIOD: Dur = Dur(15_000_000_000);

/// The canary's highest rate of each operation, per second: it is to notice, and not to be a load.
const CANARY_RATE_MAX: f64 = 100.0;
/// The lowest: once in an hour.
const CANARY_RATE_MIN: f64 = 1.0 / 3600.0;

const SECRET_MAX: u64 = 4096;

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

/// Credentials of the scheme `digest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: Secret,
}

impl Credentials {
    /// Those of a user. The password is not read yet.
    ///
    /// # Errors
    ///
    /// A message when a user has no such name.
    pub fn new(user: String, password: Secret) -> Result<Credentials, String> {
        if user.is_empty() || user.contains(':') {
            return Err(
                "the user is empty or has a colon in it, which separates user and password in the scheme \
                        digest"
                    .into(),
            );
        }
        Ok(Credentials { user, password })
    }

    /// What is shown to the members.
    ///
    /// # Errors
    ///
    /// As [`Secret::read`].
    pub fn read(&self) -> Result<Auth, String> {
        Ok(Auth::digest(&self.user, &self.password.read_password()?))
    }
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

/// Where a secret is. Its value is in no message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// In a file, without the end of its line.
    File(PathBuf),
    /// In an environment variable.
    Env(String),
}

impl Secret {
    /// A token.
    ///
    /// # Errors
    ///
    /// A message that repeats nothing of it, nor of where it was said to be: that may be it, by mistake.
    pub fn read(&self) -> Result<String, String> {
        let (text, place) = self.text("token")?;
        let secret = text.trim_end_matches(['\n', '\r']);
        if secret.is_empty()
            || secret.len() as u64 > SECRET_MAX
            || !secret.bytes().all(|b| b.is_ascii_graphic())
        {
            return Err(format!(
                "{place} holds no token: it is one line of up to {SECRET_MAX} visible characters"
            ));
        }
        Ok(secret.to_owned())
    }

    /// A password: the first line of a file, or all of a variable.
    ///
    /// # Errors
    ///
    /// As [`Secret::read`].
    pub fn read_password(&self) -> Result<String, String> {
        let (text, place) = self.text("password")?;
        let password = match self {
            Secret::File(_) => text.lines().next().unwrap_or_default(),
            Secret::Env(_) => &text,
        };
        if password.is_empty() || password.len() as u64 > SECRET_MAX {
            return Err(format!("{place} holds no password: it is one line of up to {SECRET_MAX} bytes"));
        }
        Ok(password.to_owned())
    }

    /// What stands there, and what to call the place; `what` is how keys are called that name it.
    fn text(&self, what: &str) -> Result<(String, String), String> {
        match self {
            Secret::File(path) => {
                let mut text = String::new();
                let read =
                    fs::File::open(path).and_then(|file| file.take(SECRET_MAX + 1).read_to_string(&mut text));
                let place = format!("the file that {what}_file names");
                read.map_err(|e| format!("cannot read {place}: {e}"))?;
                Ok((text, place))
            }
            Secret::Env(name) => {
                let no_variable =
                    |_| format!("the environment has no variable of the name that {what}_env gives");
                let text = std::env::var(name).map_err(no_variable)?;
                Ok((text, format!("the environment variable that {what}_env names")))
            }
        }
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

/// The fields of the file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Configuration of quorumeter export")]
struct ConfigFile {
    /// Where to listen, as HOST:PORT; 127.0.0.1:9142 when left out.
    #[schemars(with = "Option<String>")]
    listen: Option<Spanned<String>>,
    /// Clusters to tell of.
    #[serde(default)]
    cluster: Vec<ClusterTable>,
    /// Where to push metrics to.
    otlp: Option<OtlpTable>,
    /// What may be probed with /probe?target=URL; nothing when left out.
    #[serde(default)]
    probe: ProbeTable,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ClusterTable {
    /// Value of the label `cluster`.
    #[schemars(with = "String")]
    name: Spanned<String>,
    /// Its members, as zk://HOST:PORT,HOST:PORT, etcd://… or consul://…; zks://, etcds:// and consuls:// over TLS.
    #[schemars(with = "String")]
    target: Spanned<String>,
    /// The members' AdminServers, as HOST:PORT or https://HOST:PORT, one for each member in the same order; ZooKeeper only.
    #[schemars(with = "Option<Vec<String>>")]
    admin: Option<Spanned<Vec<String>>>,
    /// Port of every member's AdminServer, in the place of `admin`; ZooKeeper only.
    #[schemars(with = "Option<u16>")]
    admin_port: Option<Spanned<u16>>,
    /// What is spoken at `admin_port`; http when left out.
    #[schemars(with = "Option<Scheme>")]
    admin_scheme: Option<Spanned<Scheme>>,
    /// Port of every member's own Prometheus endpoint; ZooKeeper only.
    #[schemars(with = "Option<u16>")]
    prometheus_port: Option<Spanned<u16>>,
    /// What is spoken at `prometheus_port`; http when left out.
    #[schemars(with = "Option<Scheme>")]
    prometheus_scheme: Option<Spanned<Scheme>>,
    /// How long a member may take to answer everything; 5s when left out.
    #[schemars(with = "Option<Dur>")]
    timeout: Option<Spanned<Dur>>,
    /// Clients' experience, measured by a canary; ZooKeeper only.
    #[schemars(with = "Option<CanaryTable>")]
    canary: Option<Spanned<CanaryTable>>,
    /// Files for TLS, of the target, and of AdminServers and Prometheus endpoints over HTTPS.
    #[schemars(with = "Option<TlsTable>")]
    tls: Option<Spanned<TlsTable>>,
    /// File that holds the token; etcd and Consul only.
    #[schemars(with = "Option<PathBuf>")]
    token_file: Option<Spanned<PathBuf>>,
    /// Environment variable that holds the token, in the place of `token_file`; etcd and Consul only.
    #[schemars(with = "Option<String>")]
    token_env: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CanaryTable {
    /// How often each operation begins, as in "1/s".
    rate: Rate,
    /// Path below which the canary has its node; the target's chroot, or else /quorumeter, when left out.
    root: Option<String>,
    /// Credentials of the scheme digest, where the root's ACL asks for some. Its nodes are then its own alone.
    auth: Option<AuthTable>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AuthTable {
    /// The user.
    user: String,
    /// File whose first line is the password.
    password_file: Option<PathBuf>,
    /// Environment variable that holds the password, in the place of `password_file`.
    password_env: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TlsTable {
    /// Certificates of the authorities that are trusted (PEM); the system's when left out.
    ca: Option<PathBuf>,
    /// Certificate to show (PEM, with those up to its authority after it).
    cert: Option<PathBuf>,
    /// Private key of that certificate (PEM, without a password).
    key: Option<PathBuf>,
    /// Name that every member's certificate has to have; the host of the URL when left out.
    server_name: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OtlpTable {
    /// The receiver's URL, as in http://collector:4318.
    #[schemars(with = "String")]
    url: Spanned<String>,
    /// How often to push; 15s when left out.
    #[schemars(with = "Option<Dur>")]
    period: Option<Spanned<Dur>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ProbeTable {
    /// Members that may be probed, as HOST, HOST:PORT, or * for any.
    #[schemars(with = "Vec<String>")]
    allow: Vec<Spanned<String>>,
    /// Port of their AdminServers; ZooKeeper only.
    #[schemars(with = "Option<u16>")]
    admin_port: Option<Spanned<u16>>,
    /// What is spoken at `admin_port`; http when left out.
    #[schemars(with = "Option<Scheme>")]
    admin_scheme: Option<Spanned<Scheme>>,
    /// Port of their own Prometheus endpoints; ZooKeeper only.
    #[schemars(with = "Option<u16>")]
    prometheus_port: Option<Spanned<u16>>,
    /// What is spoken at `prometheus_port`; http when left out.
    #[schemars(with = "Option<Scheme>")]
    prometheus_scheme: Option<Spanned<Scheme>>,
    /// Files for TLS, of targets over TLS, and of AdminServers and Prometheus endpoints over HTTPS.
    #[schemars(with = "Option<TlsTable>")]
    tls: Option<Spanned<TlsTable>>,
    /// How long a member may take to answer everything; 5s when left out.
    #[schemars(with = "Option<Dur>")]
    timeout: Option<Spanned<Dur>>,
}

/// The JSON Schema of configuration files.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(ConfigFile)
}

/// Reads a configuration file.
///
/// # Errors
///
/// With the place in the file, when there is one.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let shown = path.display();
    let plain = |message: String| ConfigError { message, help: None, place: None };
    let io = |e: std::io::Error| plain(format!("cannot read it: {e}"));
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(io)?;
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() > MAX_FILE {
        return Err(plain(format!(
            "{shown} has more than {MAX_FILE} bytes, and no configuration needs as many"
        )));
    }
    let text =
        String::from_utf8(bytes).map_err(|_| plain("it is no text; a configuration is TOML".into()))?;
    read(&text)
}

/// Reads the text of a configuration file.
///
/// # Errors
///
/// With the place in the text, when there is one.
pub fn read(text: &str) -> Result<Config, ConfigError> {
    let file: ConfigFile = toml::from_str(text).map_err(|error| {
        let (message, help) = explain(error.message(), None);
        let place = error.span().map(|span| place(text, &span));
        ConfigError { message, help, place }
    })?;
    check(file).map_err(|(span, message)| ConfigError {
        message,
        help: None,
        place: Some(place(text, &span)),
    })
}

/// The line and the column, from 1, of the beginning of a span.
fn place(text: &str, span: &Range<usize>) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(span.start)];
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

type Wrong = (Range<usize>, String);

fn check(file: ConfigFile) -> Result<Config, Wrong> {
    if let Some(listen) = &file.listen {
        check_listen(listen.get_ref()).map_err(|message| (listen.span(), message))?;
    }
    let mut names = HashSet::new();
    let mut clusters = Vec::new();
    for table in file.cluster {
        let span = table.name.span();
        let cluster = check_cluster(table)?;
        if !names.insert(cluster.name.clone()) {
            return Err((
                span,
                format!("there are two clusters {:?}; give each a name of its own", cluster.name),
            ));
        }
        clusters.push(cluster);
    }
    let otlp = file.otlp.map(check_otlp).transpose()?;
    Ok(Config {
        listen: file.listen.map(Spanned::into_inner),
        clusters,
        otlp,
        probe: check_probe(file.probe)?,
    })
}

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

fn check_cluster(table: ClusterTable) -> Result<Cluster, Wrong> {
    let target: TargetUrl = match table.target.get_ref().parse() {
        Ok(target) => target,
        Err(error) => return Err((table.target.span(), format!("target: {error}"))),
    };
    named_once(&target).map_err(|message| (table.target.span(), message))?;
    if target.system != System::ZooKeeper {
        let spans = [
            ("admin", table.admin.as_ref().map(Spanned::span)),
            ("admin_port", table.admin_port.as_ref().map(Spanned::span)),
            ("admin_scheme", table.admin_scheme.as_ref().map(Spanned::span)),
            ("prometheus_port", table.prometheus_port.as_ref().map(Spanned::span)),
            ("prometheus_scheme", table.prometheus_scheme.as_ref().map(Spanned::span)),
            ("canary", table.canary.as_ref().map(Spanned::span)),
        ];
        for (key, span) in spans {
            if let Some(span) = span {
                let system = target.system.name();
                return Err((
                    span,
                    format!("{key} is for zk:// and zks:// targets, and this one is of {system}"),
                ));
            }
        }
    }
    if let (Some(_), Some(port)) = (&table.admin, &table.admin_port) {
        return Err((port.span(), "give either admin or admin_port".into()));
    }
    let admin_port = check_port("admin", table.admin_port, table.admin_scheme)?;
    let admin = match (&table.admin, admin_port) {
        (Some(admin), _) => check_admin(admin, &target)?,
        (None, Some(port)) => Admin::Port(port),
        (None, None) => Admin::None,
    };
    let canary = match table.canary {
        Some(canary) => {
            let (span, CanaryTable { rate, root, auth }) = (canary.span(), canary.into_inner());
            let settings = auth.map(check_auth).transpose();
            let settings = settings.and_then(|auth| CanarySettings::new(rate, root, auth));
            Some(settings.map_err(|message| (span, message))?)
        }
        None => None,
    };
    let token = match (table.token_file, table.token_env) {
        (Some(_), Some(env)) => return Err((env.span(), "give either token_file or token_env".into())),
        (Some(file), None) => Some((file.span(), Secret::File(file.into_inner()))),
        (None, Some(env)) => Some((env.span(), Secret::Env(env.into_inner()))),
        (None, None) => None,
    };
    if let Some((span, _)) = &token
        && target.system == System::ZooKeeper
    {
        return Err((span.clone(), "a token is for etcd:// and consul:// targets".into()));
    }
    let settings = Settings {
        admin,
        prometheus: check_port("prometheus", table.prometheus_port, table.prometheus_scheme)?,
        timeout: check_timeout(table.timeout)?,
        canary,
        token: token.map(|(_, secret)| secret),
        tls: TlsOptions::default(),
    };
    let (target, settings) = with_tls(target, settings, table.tls)?;
    let span = table.name.span();
    Cluster::new(table.name.into_inner(), target, settings).map_err(|message| (span, message))
}

fn check_auth(table: AuthTable) -> Result<Credentials, String> {
    let password = match (table.password_file, table.password_env) {
        (Some(file), None) => Secret::File(file),
        (None, Some(env)) => Secret::Env(env),
        _ => return Err("auth: give either password_file or password_env".into()),
    };
    Credentials::new(table.user, password).map_err(|message| format!("auth: {message}"))
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

fn check_admin(admin: &Spanned<Vec<String>>, target: &TargetUrl) -> Result<Admin, Wrong> {
    let wrong = |message: String| (admin.span(), message);
    let (given, members) = (admin.get_ref().len(), target.members.len());
    if given != members {
        return Err(wrong(format!(
            "admin has {given} addresses and the target {members} members; give one for each, in the same order, or \
             admin_port"
        )));
    }
    let read = |text: &String| {
        text.parse::<HttpAddress>().map_err(|help| wrong(format!("an address in admin is none; {help}")))
    };
    Ok(Admin::Each(admin.get_ref().iter().map(read).collect::<Result<_, _>>()?))
}

/// A port, and what is spoken there.
fn check_port(
    what: &str,
    port: Option<Spanned<u16>>,
    scheme: Option<Spanned<Scheme>>,
) -> Result<Option<HttpPort>, Wrong> {
    match (port, scheme) {
        (Some(port), scheme) => {
            let scheme = scheme.map(Spanned::into_inner).unwrap_or_default();
            Ok(Some(HttpPort { scheme, port: port.into_inner() }))
        }
        (None, Some(scheme)) => {
            let mut message = format!("{what}_scheme is of {what}_port; give that, too");
            if what == "admin" {
                message += ", or write https://HOST:PORT in admin";
            }
            Err((scheme.span(), message))
        }
        (None, None) => Ok(None),
    }
}

fn check_timeout(timeout: Option<Spanned<Dur>>) -> Result<Duration, Wrong> {
    let Some(timeout) = timeout else { return Ok(DEFAULT_TIMEOUT) };
    self::timeout(*timeout.get_ref()).map_err(|message| (timeout.span(), message))
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

/// The files of a cluster where they belong.
fn with_tls(
    mut target: TargetUrl,
    mut settings: Settings,
    table: Option<Spanned<TlsTable>>,
) -> Result<(TargetUrl, Settings), Wrong> {
    let Some(table) = table else { return Ok((target, settings)) };
    let span = table.span();
    let options = check_tls(table)?;
    match &mut target.tls {
        Some(tls) => *tls = options,
        None if settings.has_https() => settings.tls = options,
        None => {
            let secured = target.system.secure_scheme();
            let endpoints = match target.system {
                System::ZooKeeper => ", or https for an AdminServer or Prometheus endpoint",
                System::Etcd | System::Consul => "",
            };
            return Err((
                span,
                format!("tls is for targets over TLS; write {secured}://HOST:PORT{endpoints}"),
            ));
        }
    }
    Ok((target, settings))
}

fn check_tls(table: Spanned<TlsTable>) -> Result<TlsOptions, Wrong> {
    let span = table.span();
    let TlsTable { ca, cert, key, server_name } = table.into_inner();
    if cert.is_some() != key.is_some() {
        return Err((
            span,
            "a client's certificate and its key belong together; give both cert and key".into(),
        ));
    }
    Ok(TlsOptions { ca, cert, key, server_name })
}

fn check_otlp(table: OtlpTable) -> Result<Otlp, Wrong> {
    let url = table.url.get_ref();
    // The headers are the environment's, and no fault of the file.
    if let Err(error) = Endpoint::new(url, None) {
        return Err((table.url.span(), error.to_string()));
    }
    let mut otlp = Otlp::new(url.clone());
    if let Some(period) = table.period {
        otlp.period = Duration::from_nanos(period.get_ref().0);
        if !(Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&otlp.period) {
            return Err((period.span(), "a period is from 100ms to 1h".into()));
        }
    }
    Ok(otlp)
}

fn check_probe(table: ProbeTable) -> Result<Probe, Wrong> {
    let mut allow = Vec::new();
    for text in table.allow {
        allow.push(text.get_ref().parse().map_err(|message| (text.span(), format!("allow: {message}")))?);
    }
    let settings = Settings {
        admin: check_port("admin", table.admin_port, table.admin_scheme)?.map_or(Admin::None, Admin::Port),
        prometheus: check_port("prometheus", table.prometheus_port, table.prometheus_scheme)?,
        timeout: check_timeout(table.timeout)?,
        tls: table.tls.map(check_tls).transpose()?.unwrap_or_default(),
        ..Settings::default()
    };
    Ok(Probe { allow, settings })
}

#[cfg(test)]
mod tests;
