//! `quorumeter ensemble`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use quorumeter_ensemble::launch::{LaunchError, Launched, STOP_GRACE};
use quorumeter_experiments::{EnsembleSpec, Signals, ensembles};

use crate::run::{key_value, own_program};
use crate::{EXIT_ENVIRONMENT, EXIT_USAGE, diagnose};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Start an ensemble on this machine, print its target URL, and run until Ctrl-C.
    Up(UpArgs),
}

#[derive(Debug, clap::Args)]
struct UpArgs {
    /// What to start: embedded:1, zookeeper:N, zookeeper:N+M with M observers, etcd:N, consul:N, or null:1.
    #[arg(value_name = "KIND:N")]
    ensemble: EnsembleSpec,
    /// Setting of the servers, as in tickTime=500, or version=3.8 for another release of ZooKeeper; of etcd its flags
    /// (heartbeat-interval=50), of Consul its configuration (performance.raft_multiplier=5); repeatable.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    server: Vec<(String, String)>,
    /// Folder for the members' data and logs, which stay there; a temporary one when left out.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// The ensemble, if load can be driven against it.
pub(crate) fn that_takes_load(spec: EnsembleSpec) -> Result<EnsembleSpec, u8> {
    if spec.kind.takes_load() {
        return Ok(spec);
    }
    Err(diagnose::usage(&format!(
        "--ensemble: load is driven against ZooKeeper-compatible ensembles only, as yet: embedded:1 and zookeeper:N; {spec} \
         can be started with `quorumeter ensemble up {spec}`, and watched with `quorumeter export`"
    )))
}

pub(crate) fn run(args: Args) -> u8 {
    let Command::Up(args) = args.command;
    match up(args) {
        Ok(()) => 0,
        Err(code) => code,
    }
}

fn up(args: UpArgs) -> Result<(), u8> {
    let quorumeter = own_program()?;
    let settings: BTreeMap<_, _> = args.server.into_iter().collect();
    let (dir, temporary) = match args.data_dir {
        Some(dir) => (dir, false),
        None => (std::env::temp_dir().join(format!("quorumeter-ensemble-{}", std::process::id())), true),
    };
    let environment = |e: std::io::Error| diagnose::fail(&e, EXIT_ENVIRONMENT);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(environment)?;
    let result = runtime.block_on(async {
        // Taken over before anything is started, so that a signal never leaves a member behind.
        let mut signals = Signals::new().map_err(environment)?;
        let data = dir.clone();
        let mut starting = tokio::task::spawn_blocking(move || {
            ensembles::start(args.ensemble, &data, &settings, &quorumeter)
        });
        let (started, stopped) = tokio::select! {
            started = &mut starting => (started, false),
            _ = signals.next() => (starting.await, true),
        };
        let launched = started.map_err(|e| diagnose::fail(&e, EXIT_ENVIRONMENT))?.map_err(|e| {
            let wrong = matches!(
                e,
                LaunchError::Setting { .. } | LaunchError::Members { .. } | LaunchError::OtherMembers { .. }
            );
            diagnose::fail(&e, if wrong { EXIT_USAGE } else { EXIT_ENVIRONMENT })
        })?;
        let result = if stopped { Ok(()) } else { serve(&launched, &mut signals).await };
        launched.stop(STOP_GRACE);
        result
    });
    if temporary {
        // What cannot be removed now is in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&dir);
    }
    result
}

/// Until a signal, or until a member dies.
async fn serve(launched: &Launched, signals: &mut Signals) -> Result<(), u8> {
    announce(launched);
    loop {
        tokio::select! {
            _ = signals.next() => return Ok(()),
            () = tokio::time::sleep(Duration::from_millis(200)) => {
                launched.check().map_err(|error| diagnose::fail(&error, EXIT_ENVIRONMENT))?;
            }
        }
    }
}

fn announce(launched: &Launched) {
    let mut text = format!("{}\n", ensembles::url_of(launched));
    if let Some(secure) = ensembles::secure_url_of(launched) {
        text += &format!("over TLS: {secure}\n");
    }
    for member in &launched.members {
        text += &format!(
            "member {}: {}, pid {}, log {}\n",
            member.id,
            member.address,
            member.pid,
            member.log.display()
        );
    }
    diagnose::print(&text);
}
