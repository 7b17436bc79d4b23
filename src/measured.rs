//! What the command line says of what is measured, and by which load.

use std::path::PathBuf;

use quorumeter_experiments::{EnsembleSpec, TargetSpec};

use crate::diagnose;
use crate::ensemble::that_takes_load;
use crate::run::key_value;
use crate::tls::TlsArgs;

#[derive(Debug, clap::Args)]
pub(crate) struct MeasuredArgs {
    /// Ensemble to measure, as zk://HOST:PORT,[IPV6]:PORT/CHROOT, or zks:// over TLS; without a port 2181, over TLS
    /// 2281. Every address of a name is a member.
    #[arg(long, value_name = "URL", conflicts_with_all = ["ensemble", "server"])]
    target: Option<String>,
    #[command(flatten)]
    tls: TlsArgs,
    /// Ensemble to start for the measurement: embedded:1 (the default of `run`), zookeeper:N (zookeeper:3 is that of
    /// `failover`), zookeeper:N+M with M observers, or null:1.
    #[arg(long, value_name = "KIND:N")]
    ensemble: Option<EnsembleSpec>,
    /// Setting of the started ensemble's servers, as in tickTime=500, or version=3.8 for another release; repeatable.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    server: Vec<(String, String)>,
}

impl MeasuredArgs {
    /// What is measured; `default` when nothing is said.
    pub(crate) fn target(&self, default: EnsembleSpec) -> Result<TargetSpec, u8> {
        match &self.target {
            Some(url) => Ok(TargetSpec::Url(self.tls.target(url)?)),
            None if self.tls.is_given() => Err(TlsArgs::needs_target()),
            None => Ok(TargetSpec::Ensemble {
                spec: that_takes_load(self.ensemble.unwrap_or(default))?,
                settings: self.server.iter().cloned().collect(),
            }),
        }
    }
}

/// A workload's name and text: those of a file, or `default` where none is given.
pub(crate) fn workload_text(path: Option<&PathBuf>, default: (&str, &str)) -> Result<(String, String), u8> {
    let Some(path) = path else { return Ok((default.0.to_owned(), default.1.to_owned())) };
    let text = diagnose::read_workload(path).map_err(|message| diagnose::usage(&message))?;
    Ok((path.display().to_string(), text))
}
