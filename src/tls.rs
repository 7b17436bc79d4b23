//! What the command line says of TLS.

use std::path::PathBuf;

use quorumeter_targets::{System, TargetUrl, TlsOptions};

use crate::diagnose;

#[derive(Debug, clap::Args)]
pub(crate) struct TlsArgs {
    /// Certificates of the authorities that a zks:// target is trusted by (PEM); the system's when left out.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Certificate to show to a zks:// target (PEM, with those up to its authority after it).
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Private key of that certificate (PEM, without a password).
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Name that every member's certificate has to have; the host of the URL when left out.
    #[arg(long, value_name = "NAME")]
    tls_server_name: Option<String>,
}

impl TlsArgs {
    /// The target that a URL and these arguments name together, to drive load against.
    pub(crate) fn target(&self, url: &str) -> Result<TargetUrl, u8> {
        let target = self.watched(url)?;
        if target.system == System::ZooKeeper {
            return Ok(target);
        }
        let name = target.system.name();
        Err(diagnose::usage(&format!(
            "--target: load is driven against ZooKeeper-compatible ensembles only, zk://HOST:PORT; {name} can be watched, \
             with `quorumeter export --target {target}`"
        )))
    }

    /// The same, to watch.
    pub(crate) fn watched(&self, url: &str) -> Result<TargetUrl, u8> {
        let mut target = diagnose::target(url)?;
        match &mut target.tls {
            Some(tls) => *tls = self.options(),
            None if self.is_given() => return Err(Self::needs_target()),
            None => {}
        }
        Ok(target)
    }

    /// Whether there is any.
    pub(crate) fn is_given(&self) -> bool {
        !self.options().is_default()
    }

    /// Tells that there is nothing that they could be about.
    pub(crate) fn needs_target() -> u8 {
        diagnose::usage(
            "--ca, --cert, --key and --tls-server-name are about TLS, which only a target such as zks://HOST:PORT has",
        )
    }

    pub(crate) fn options(&self) -> TlsOptions {
        TlsOptions {
            ca: self.ca.clone(),
            cert: self.cert.clone(),
            key: self.key.clone(),
            server_name: self.tls_server_name.clone(),
        }
    }
}
