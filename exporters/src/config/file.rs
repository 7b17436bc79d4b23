//! The configuration file: its tables, and what is checked of them.

use std::collections::HashSet;
use std::fs;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quorumeter_targets::spelling::explain;
use quorumeter_targets::units::{Dur, Rate};
use quorumeter_targets::{System, TargetUrl, TlsOptions};
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::{
    Admin, CanarySettings, Cluster, Config, ConfigError, Credentials, DEFAULT_TIMEOUT, Otlp, Probe, Secret,
    Settings, check_listen, named_once,
};
use crate::ask::{HttpAddress, HttpPort, Scheme};
use crate::otlp::Endpoint;

/// The largest configuration file, bytes.
pub const MAX_FILE: usize = 1 << 20;

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
    super::timeout(*timeout.get_ref()).map_err(|message| (timeout.span(), message))
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
