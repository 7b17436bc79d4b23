//! Consul: agents that are servers. They gossip over loopback, and have no ports for gRPC, DNS and the gossip of several
//! datacentres.

mod settings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::program::{self, Program};
use super::startup::write_file;
use super::{Fsync, Kind, LaunchError, Launched, Member, http, installed_program, kept};
use settings::Settings;

pub use super::program::{MEMBERS_MAX, Options};

/// The release that is started.
pub const VERSION: &str = "1.20.1";

/// Longest wait for one answer of a member.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// A key that nobody writes: reading it consistently takes a leader that is confirmed by a majority.
const CONSISTENT_READ: &str = "/v1/kv/quorumeter-launch?consistent";

/// The installed `consul`; the error says how to install it.
pub fn program() -> Result<PathBuf, LaunchError> {
    installed_program(Kind::Consul, VERSION, "consul")
}

/// Starts an ensemble, and returns when every member serves: it knows all the others as voters, and answers consistent
/// reads.
pub fn start(options: &Options) -> Result<Launched, LaunchError> {
    program::start(&Settings::new(&options.settings)?, options)
}

/// Ports of HTTP, of the servers among each other, and of gossip.
impl Program<3> for Settings {
    const KIND: Kind = Kind::Consul;

    fn path(&self) -> Result<PathBuf, LaunchError> {
        program()
    }

    fn arguments(&self, index: usize, ports: &[[u16; 3]], dir: &Path) -> Result<Vec<String>, LaunchError> {
        let configuration = dir.join("consul.json");
        write_file(&configuration, &self.configuration())?;
        Ok(settings::flags(index, ports, &kept::data(dir), &configuration))
    }

    fn check_serving(&self, member: &Member, members: usize) -> Result<(), String> {
        let ask = |path| http::get(member.address, path, ANSWER_TIMEOUT);
        // 404 is the answer that there is no such key.
        match ask(CONSISTENT_READ)? {
            (404, _) => {}
            (status, body) => return Err(format!("GET {CONSISTENT_READ}: {status} {}", body.trim())),
        }
        let (_, peers) = ask("/v1/status/peers")?;
        match serde_json::from_str::<Vec<String>>(&peers) {
            Ok(peers) if peers.len() == members => Ok(()),
            Ok(peers) => Err(format!("it knows {} of {members} members", peers.len())),
            Err(_) => Err(format!("GET /v1/status/peers: {}", peers.trim())),
        }
    }

    fn in_force(&self) -> BTreeMap<String, String> {
        Settings::in_force(self)
    }

    /// There is no setting that turns it off.
    fn fsync(&self) -> Fsync {
        Fsync::Fsync
    }
}
