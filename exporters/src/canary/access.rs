//! What a canary connects with.

use std::fmt;

use quorumeter_targets::zookeeper::DialSettings;
use quorumeter_targets::{Tls, TlsOptions};

use crate::config::{Cluster, Credentials};

/// What a canary connects with. Its files are read before it begins and at a reload, never between two operations: reading
/// the system's authorities takes longer than most operations do.
#[derive(Clone)]
pub struct Access {
    pub(super) tls: Option<Tls>,
    pub(super) settings: DialSettings,
}

impl Access {
    /// Reads the files that a cluster's canary needs.
    ///
    /// # Errors
    ///
    /// A message when one cannot be read, or holds something else. It repeats nothing of a secret.
    pub fn load(cluster: &Cluster) -> Result<Access, String> {
        let tls = cluster.target.tls.as_ref().map(TlsOptions::load).transpose();
        let canary = cluster.settings.canary.as_ref();
        let auth = canary.and_then(|canary| canary.auth.as_ref()).map(Credentials::read).transpose();
        let auth = auth.map_err(|message| format!("canary: {message}"))?;
        let settings = DialSettings { auth, ..DialSettings::default() };
        Ok(Access { tls: tls.map_err(|error| error.to_string())?, settings })
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("settings", &self.settings).finish_non_exhaustive()
    }
}
