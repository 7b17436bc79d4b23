//! The embedded member: a ZooKeeper server in memory, with the tree and the watch table of `quorumeter-zk`.
//!
//! Any ZooKeeper client can use it. What it does not have: TLS, SASL, reconfiguration.

mod admin;
mod java_date;
mod member;
mod monitor;
mod requests;
mod sessions;
mod settings;
mod statistics;
mod words;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use quorumeter_zk::frame;
use tokio::time::Instant;

use crate::serving::{self, Addresses, Limits, Running};
pub(crate) use member::{Client, Clients, Member};
pub use settings::SettingError;

/// How an embedded member is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens; port 0 asks for a free one.
    pub address: SocketAddr,
    /// A file that the address is written to once the member listens, and on a second line that of its AdminServer.
    pub announce: Option<PathBuf>,
    /// Port of its AdminServer, on 127.0.0.1 (`admin.serverPort`); 0 asks for a free one.
    pub admin_port: u16,
    /// `tickTime`, milliseconds, at least 1. Sessions expire at ticks.
    pub tick_time_ms: u32,
    /// `minSessionTimeout`, milliseconds; 2 ticks when it is not set.
    pub min_session_timeout_ms: Option<u32>,
    /// `maxSessionTimeout`, milliseconds; 20 ticks when it is not set.
    pub max_session_timeout_ms: Option<u32>,
    /// Connections at a time from one address (`maxClientCnxns`); 0 for any number.
    pub max_client_connections: u32,
    /// Bytes of a request (`jute.maxbuffer`).
    pub max_frame_len: usize,
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
            admin_port: 0,
            tick_time_ms: 2000,
            min_session_timeout_ms: None,
            max_session_timeout_ms: None,
            max_client_connections: 0,
            max_frame_len: frame::DEFAULT_MAX_FRAME,
            server_id: 1,
            container_check_interval_ms: 60_000,
            super_digest: None,
        }
    }
}

impl Options {
    fn addresses(&self) -> Addresses {
        let admin = SocketAddr::from(([127, 0, 0, 1], self.admin_port));
        Addresses { client: self.address, admin: Some(admin) }
    }

    pub(crate) fn limits(&self) -> Limits {
        let connections_of_address = match self.max_client_connections {
            0 => usize::MAX,
            number => number as usize,
        };
        Limits { frame: self.max_frame_len, connections_of_address, ..Limits::default() }
    }

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
    let (addresses, limits) = (options.addresses(), options.limits());
    serving::serve_until_terminated(addresses, announce.as_deref(), limits, |address| {
        Member::new(options, address, Instant::now())
    })
}

/// Starts a member on a thread of its own, where it runs until the handle is dropped. `announce` is left out:
/// the handle knows the address.
///
/// # Errors
/// When the address cannot be listened on.
pub fn start(options: Options) -> io::Result<Running> {
    serving::start("embedded", options.addresses(), options.limits(), move |address| {
        Member::new(options, address, Instant::now())
    })
}
