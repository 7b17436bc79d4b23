//! `quorumeter export`

use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quorumeter_exporters::ask::{HttpPort, Scheme};
use quorumeter_exporters::config::{
    self, Admin, Allowed, CanarySettings, Cluster, Config, Credentials, DEFAULT_LISTEN, DEFAULT_TIMEOUT,
    Otlp, Secret, Settings,
};
use quorumeter_exporters::otlp::endpoint::HEADERS_VARIABLE;
use quorumeter_exporters::otlp::{self, Endpoint, Push, Pusher};
use quorumeter_exporters::own;
use quorumeter_exporters::serve::{Gather, serve};
use quorumeter_exporters::service::{Pushing, Service, default_name, over_the_network};
use quorumeter_loadgen::plan::units::{Dur, Rate};
use quorumeter_targets::System;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::tls::TlsArgs;
use crate::{EXIT_ENVIRONMENT, diagnose};

/// Where Consul's own tools have the token.
const CONSUL_TOKEN: &str = "CONSUL_HTTP_TOKEN";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Ensemble to tell of, as zk://HOST:PORT,HOST:PORT, etcd://… or consul://…, with every member; zks://, etcds:// and
    /// consuls:// over TLS. NAME=URL names it, for the label `cluster`; else that is its first member. Repeatable.
    #[arg(long, value_name = "[NAME=]URL")]
    target: Vec<String>,
    /// Configuration file (TOML), for what differs between clusters, and for reloading by SIGHUP.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen; 127.0.0.1:9142 when left out. Port 0 is a free one.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// How long a member may take to answer everything; 5s when left out. Keep it below Prometheus's scrape_timeout.
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Dur>,
    /// Port of the members' AdminServers, which tell the voters and the state of elections (ZooKeeper).
    #[arg(long, value_name = "PORT")]
    admin_port: Option<u16>,
    /// What is spoken there, http or https; http when left out. HTTPS is verified by --ca and what goes with it.
    #[arg(long, value_name = "SCHEME", requires = "admin_port")]
    admin_scheme: Option<Scheme>,
    /// Port of the members' own Prometheus endpoints (ZooKeeper).
    #[arg(long, value_name = "PORT")]
    prometheus_port: Option<u16>,
    /// What is spoken there, http or https; http when left out.
    #[arg(long, value_name = "SCHEME", requires = "prometheus_port")]
    prometheus_scheme: Option<Scheme>,
    /// Let a canary write, read and watch nodes of its own, each as often as this, as in 1/s (ZooKeeper).
    #[arg(long, value_name = "RATE")]
    canary: Option<Rate>,
    /// Path below which the canary has its nodes; the target's chroot, or else /quorumeter, when left out.
    #[arg(long, value_name = "PATH", requires = "canary")]
    canary_root: Option<String>,
    /// User of the scheme digest that the canary is, where the path's ACL asks for one.
    #[arg(long, value_name = "USER", requires_all = ["password_env", "canary"])]
    auth_user: Option<String>,
    /// Environment variable that holds the user's password.
    #[arg(long, value_name = "NAME", requires = "auth_user")]
    password_env: Option<String>,
    /// Member that may be probed through /probe?target=URL; * for any. Repeatable; none when left out.
    #[arg(long, value_name = "HOST[:PORT]")]
    probe_allow: Vec<Allowed>,
    /// Push the metrics over OTLP (HTTP, protobuf) to URL/v1/metrics, too, as in http://127.0.0.1:4318. Headers come from
    /// OTEL_EXPORTER_OTLP_HEADERS.
    #[arg(long, value_name = "URL")]
    otlp: Option<String>,
    #[command(flatten)]
    tls: TlsArgs,
    /// Only say whether the configuration is right.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(args: &Args) -> u8 {
    match try_run(args) {
        Ok(()) => 0,
        Err(code) => code,
    }
}

fn try_run(args: &Args) -> Result<(), u8> {
    let config = configured(args)?;
    let otlp = config.otlp.as_ref().map(endpoint).transpose()?;
    if args.check {
        Service::check(&config, over_the_network).map_err(|error| diagnose::usage(&error.to_string()))?;
        diagnose::print(&format!("the configuration is right; clusters: {}\n", names(&config)));
        return Ok(());
    }
    let environment = |e: io::Error| diagnose::fail(&e, EXIT_ENVIRONMENT);
    let listener = listen(config.listen.as_deref().unwrap_or(DEFAULT_LISTEN))?;
    let address = listener.local_addr().map_err(environment)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(environment)?;
    runtime.block_on(async {
        // Taken over before a canary begins, so that a signal never leaves its nodes behind.
        let signals = Signals::new(args.config.is_some()).map_err(environment)?;
        let service = Service::new(&config, over_the_network);
        let service = Arc::new(service.map_err(|error| diagnose::usage(&error.to_string()))?);
        let pusher = otlp.map(|push| push_to(push, address.port(), &service)).transpose()?;
        diagnose::print(&format!("http://{address}/metrics\n"));
        let stop = until_stopped(signals, args, &config, &service);
        let served = serve(listener, Arc::clone(&service) as Arc<dyn Gather>, stop).await;
        let end = move || {
            if let Some(pusher) = pusher {
                pusher.finish();
            }
            service.stop();
        };
        // It waits for threads. One that panicked has ended, too.
        let _ = tokio::task::spawn_blocking(end).await;
        served.map_err(environment)
    })
}

fn names(config: &Config) -> String {
    let names: Vec<_> = config.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    names.join(", ")
}

/// Everything that the file and the flags say.
fn configured(args: &Args) -> Result<Config, u8> {
    let mut config = match &args.config {
        Some(path) => config::load(path)
            .map_err(|error| diagnose::usage(&format!("the configuration {}: {error}", path.display())))?,
        None => Config::default(),
    };
    let settings = settings(args).map_err(|message| diagnose::usage(&message))?;
    for text in &args.target {
        let cluster = cluster(text, &args.tls, &settings)?;
        if config.clusters.iter().any(|other| other.name == cluster.name) {
            let name = cluster.name;
            return Err(diagnose::usage(&format!(
                "there are two clusters {name:?}; name them with --target NAME=URL"
            )));
        }
        config.clusters.push(cluster);
    }
    if let Some(listen) = &args.listen {
        config::check_listen(listen).map_err(|message| diagnose::usage(&format!("--listen: {message}")))?;
        config.listen = Some(listen.clone());
    }
    if let Some(url) = &args.otlp {
        let otlp = config.otlp.get_or_insert_with(|| Otlp::new(url.clone()));
        otlp.url.clone_from(url);
    }
    config.probe.allow.extend(args.probe_allow.iter().cloned());
    if args.config.is_none() {
        config.probe.settings = Settings { canary: None, ..settings };
    }
    needed(args, &config)?;
    if config.clusters.is_empty() && config.probe.allow.is_empty() {
        return Err(diagnose::usage(
            "there is nothing to tell of; name an ensemble with --target zk://HOST:PORT,HOST:PORT (etcd://, consul://), or a \
             file with --config FILE; `quorumeter ensemble up embedded:1` starts one to try",
        ));
    }
    Ok(config)
}

/// Refuses flags that would change nothing: they are about targets of the command line, and about probes where no file says
/// how those are asked.
fn needed(args: &Args, config: &Config) -> Result<(), u8> {
    let has_target = !args.target.is_empty();
    let has_zookeeper =
        of_command_line(args, config).any(|cluster| cluster.target.system == System::ZooKeeper);
    let probes = args.config.is_none() && !args.probe_allow.is_empty();
    let of_zookeeper = "a --target zk://HOST:PORT";
    // The files are those of the command line's targets, and of what may be probed.
    let has_tls = probes
        || of_command_line(args, config)
            .any(|cluster| cluster.target.tls.is_some() || cluster.settings.has_https());
    if args.tls.is_given() && !has_tls {
        return Err(diagnose::usage(
            "--ca, --cert, --key and --tls-server-name are about TLS: give a --target such as zks://HOST:PORT, or \
             --admin-scheme https; a cluster of the configuration file has its own",
        ));
    }
    let flags = [
        ("--canary", args.canary.is_some(), has_zookeeper, of_zookeeper),
        ("--admin-port", args.admin_port.is_some(), has_zookeeper || probes, of_zookeeper),
        ("--prometheus-port", args.prometheus_port.is_some(), has_zookeeper || probes, of_zookeeper),
        ("--timeout", args.timeout.is_some(), has_target || probes, "a --target"),
    ];
    match flags.iter().find(|(_, is_given, has_use, _)| *is_given && !has_use) {
        Some((flag, .., what)) => Err(diagnose::usage(&format!(
            "{flag} is about {what}, and there is none; a cluster of the configuration file has its own settings"
        ))),
        None => Ok(()),
    }
}

/// The targets of the command line, which stand behind those of the file.
fn of_command_line<'c>(args: &Args, config: &'c Config) -> impl Iterator<Item = &'c Cluster> {
    config.clusters.iter().rev().take(args.target.len())
}

/// What the flags say of the targets of the command line.
fn settings(args: &Args) -> Result<Settings, String> {
    let auth = args.auth_user.clone().zip(args.password_env.clone().map(Secret::Env));
    let auth = auth.map(|(user, password)| Credentials::new(user, password)).transpose();
    let auth = auth.map_err(|message| format!("--auth-user: {message}"))?;
    let canary = args.canary.map(|rate| CanarySettings::new(rate, args.canary_root.clone(), auth));
    Ok(Settings {
        admin: port(args.admin_port, args.admin_scheme).map_or(Admin::None, Admin::Port),
        prometheus: port(args.prometheus_port, args.prometheus_scheme),
        timeout: args
            .timeout
            .map_or(Ok(DEFAULT_TIMEOUT), config::timeout)
            .map_err(|m| format!("--timeout: {m}"))?,
        canary: canary.transpose().map_err(|message| format!("--canary: {message}"))?,
        token: None,
        tls: args.tls.options(),
    })
}

fn port(port: Option<u16>, scheme: Option<Scheme>) -> Option<HttpPort> {
    Some(HttpPort { scheme: scheme.unwrap_or_default(), port: port? })
}

fn cluster(text: &str, tls: &TlsArgs, settings: &Settings) -> Result<Cluster, u8> {
    let scheme_end = text.find("://").unwrap_or(text.len());
    let (name, url) = match text[..scheme_end].split_once('=') {
        Some((name, _)) => (Some(name), &text[name.len() + 1..]),
        None => (None, text),
    };
    let mut target = diagnose::target(url)?;
    if target.tls.is_some() {
        target = tls.watched(url)?;
    }
    let mut settings = settings.fit_for(target.system);
    if target.system == System::Consul && std::env::var_os(CONSUL_TOKEN).is_some() {
        settings.token = Some(Secret::Env(CONSUL_TOKEN.to_owned()));
    }
    let name = name.map_or_else(|| default_name(&target), str::to_owned);
    Cluster::new(name, target, settings).map_err(|message| diagnose::usage(&format!("--target: {message}")))
}

/// Where to push, and how often.
fn endpoint(otlp: &Otlp) -> Result<(Endpoint, Duration), u8> {
    let headers = std::env::var(HEADERS_VARIABLE).ok();
    let endpoint = Endpoint::new(&otlp.url, headers.as_deref());
    Ok((endpoint.map_err(|error| diagnose::usage(&error.to_string()))?, otlp.period))
}

/// Begins to push what the service tells.
fn push_to(
    (endpoint, period): (Endpoint, Duration),
    port: u16,
    service: &Arc<Service>,
) -> Result<Pusher, u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let resource = otlp::resource(otlp::EXPORTER, env!("CARGO_PKG_VERSION"), &own::instance(port));
    let push = Push { endpoint, resource, start_unix_ns: now.as_nanos() as u64, period };
    let source = Arc::new(Pushing::new(Arc::clone(service)));
    Pusher::start(push, source, diagnose::say).map_err(|error| diagnose::fail(&error, EXIT_ENVIRONMENT))
}

fn listen(at: &str) -> Result<TcpListener, u8> {
    TcpListener::bind(at).map_err(|error| {
        let next = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "something listens there already; stop it, or choose another port with --listen HOST:PORT"
            }
            io::ErrorKind::PermissionDenied => {
                "ports below 1024 need a privilege; choose another with --listen HOST:PORT"
            }
            _ => "choose an address of this machine with --listen HOST:PORT",
        };
        diagnose::say(&format!("error: cannot listen on {at}: {error}; {next}"));
        EXIT_ENVIRONMENT
    })
}

/// The signals of a service.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    /// Whether SIGHUP means to read the configuration anew; else the terminal is gone.
    reloads: bool,
}

impl Signals {
    fn new(reloads: bool) -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            reloads,
        })
    }

    /// Whether the next one wants the end; else it wants the configuration read anew.
    async fn end(&mut self) -> bool {
        tokio::select! {
            _ = self.interrupt.recv() => true,
            _ = self.terminate.recv() => true,
            _ = self.hang_up.recv() => !self.reloads,
        }
    }
}

/// Reads the configuration anew when that is wanted, until the end is.
async fn until_stopped(mut signals: Signals, args: &Args, first: &Config, service: &Service) {
    let mut before = (first.listen.clone(), first.otlp.clone());
    while !signals.end().await {
        let reloaded = configured(args).and_then(|config| {
            service.reload(&config).map_err(|error| diagnose::usage(&error.to_string()))?;
            Ok(config)
        });
        service.count_reload(reloaded.is_ok());
        match reloaded {
            Ok(config) => {
                diagnose::say(&format!("configuration read anew; clusters: {}", names(&config)));
                let now = (config.listen, config.otlp);
                if now != before {
                    diagnose::say("where to listen and where to push take effect with the next start");
                }
                before = now;
            }
            Err(_) => diagnose::say("the configuration stays as it was"),
        }
    }
    diagnose::say("stopping");
}
