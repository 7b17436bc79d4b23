//! The embedded member: a ZooKeeper server in memory, with the tree and the watch table of `quorumeter-zk`.
//!
//! Any ZooKeeper client can use it. What it does not have: TLS, SASL, reconfiguration, the AdminServer.

mod member;
mod requests;
mod sessions;
mod statistics;
mod words;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use crate::serving::{self, Limits, Running};
pub(crate) use member::{Client, Clients, Member};

/// How an embedded member is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens; port 0 asks for a free one.
    pub address: SocketAddr,
    /// A file that the address is written to once the member listens.
    pub announce: Option<PathBuf>,
    /// `tickTime`, milliseconds, at least 1. Session timeouts are 2 to 20 ticks, and sessions expire at
    /// ticks.
    pub tick_time_ms: u32,
    /// The number of the member, in the highest byte of the ids of its sessions.
    pub server_id: u8,
    /// How often containers and znodes with a time to live are looked at, milliseconds
    /// (`znode.container.checkIntervalMs`).
    pub container_check_interval_ms: u32,
    /// The digest id of the user who passes every ACL check
    /// (`zookeeper.DigestAuthenticationProvider.superDigest`).
    pub super_digest: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            announce: None,
            tick_time_ms: 2000,
            server_id: 1,
            container_check_interval_ms: 60_000,
            super_digest: None,
        }
    }
}

impl Options {
    fn container_check_interval(&self) -> Duration {
        Duration::from_millis(u64::from(self.container_check_interval_ms.max(1)))
    }
}

/// Runs a member in this process until SIGTERM.
///
/// # Errors
/// When the address cannot be listened on, or the announcement cannot be written.
pub fn serve(options: Options) -> io::Result<()> {
    let announce = options.announce.clone();
    serving::serve_until_terminated(options.address, announce.as_deref(), Limits::default(), |address| {
        Member::new(options, address, Instant::now())
    })
}

/// Starts a member on a thread of its own, where it runs until the handle is dropped. `announce` is left out:
/// the handle knows the address.
///
/// # Errors
/// When the address cannot be listened on.
pub fn start(options: Options) -> io::Result<Running> {
    serving::start("embedded", options.address, Limits::default(), move |address| {
        Member::new(options, address, Instant::now())
    })
}
