//! `quorumeter clean`

use std::time::Duration;

use quorumeter_targets::session::Timeouts;
use quorumeter_targets::zookeeper::root::{Cleaned, clean};
use quorumeter_targets::zookeeper::{Auth, Client, DialSettings, driver::resolve};
use quorumeter_targets::{TargetUrl, TlsOptions};

use crate::tls::TlsArgs;
use crate::{EXIT_ENVIRONMENT, EXIT_USAGE, diagnose};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Target to clean, as zk://HOST:PORT/CHROOT, or zks:// over TLS; without a chroot, what is below /quorumeter.
    #[arg(long, value_name = "URL")]
    target: String,
    #[command(flatten)]
    tls: TlsArgs,
    /// User of the scheme digest, when the runs had one.
    #[arg(long, value_name = "USER", requires = "password_env")]
    auth_user: Option<String>,
    /// Environment variable that holds the user's password.
    #[arg(long, value_name = "NAME", requires = "auth_user")]
    password_env: Option<String>,
}

pub(crate) fn run(args: &Args) -> u8 {
    let target = match args.tls.target(&args.target) {
        Ok(target) => target,
        Err(code) => return code,
    };
    let auth = match (&args.auth_user, &args.password_env) {
        (Some(user), Some(name)) => match std::env::var(name) {
            Ok(password) => Some(Auth::digest(user, &password)),
            Err(_) => return diagnose::usage(&format!("the environment has no variable {name:?}")),
        },
        _ => None,
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return diagnose::fail(&error, EXIT_ENVIRONMENT),
    };
    match runtime.block_on(clean_target(&target, DialSettings { auth, ..DialSettings::default() })) {
        Ok(cleaned) => tell(&cleaned),
        Err(code) => code,
    }
}

async fn clean_target(target: &TargetUrl, settings: DialSettings) -> Result<Cleaned, u8> {
    let tls = target.tls.as_ref().map(TlsOptions::load).transpose();
    let tls = tls.map_err(|error| diagnose::fail(&error, EXIT_USAGE))?;
    let members = resolve(&target.members, tls.as_ref()).await.map_err(|message| {
        diagnose::usage(&message);
        EXIT_ENVIRONMENT
    })?;
    let timeouts = Timeouts { session_ms: 10_000, connect_ms: 2000, read_share: 2.0 / 3.0 };
    let connected = Client::connect(members, timeouts, settings, Duration::from_secs(5)).await;
    let mut client = connected.map_err(|error| {
        diagnose::usage(&format!("cannot connect to {target}: {error}"));
        EXIT_ENVIRONMENT
    })?;
    let cleaned = clean(&mut client, &target.chroot).await;
    client.close().await;
    cleaned.map_err(|error| diagnose::fail(&error, EXIT_ENVIRONMENT))
}

/// Says what was done. Runs that are still alive are left alone, which is an error for whoever wanted them gone.
fn tell(cleaned: &Cleaned) -> u8 {
    let mut text = String::new();
    for (root, nodes) in &cleaned.removed {
        text += &format!("removed {root}: {nodes} znodes\n");
    }
    if cleaned.removed.is_empty() && cleaned.alive.is_empty() {
        text += "nothing to remove\n";
    }
    diagnose::print(&text);
    for (root, run) in &cleaned.alive {
        eprintln!(
            "left alone {root}: the run {run} is alive, or was killed so shortly ago that its session has not expired; \
             try again in a minute"
        );
    }
    if cleaned.alive.is_empty() { 0 } else { EXIT_USAGE }
}
