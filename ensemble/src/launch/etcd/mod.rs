//! etcd.

mod settings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::program::{self, Program};
use super::{Fsync, Kind, LaunchError, Launched, Member, http, installed_program, kept};
use settings::Settings;

pub use super::program::{MEMBERS_MAX, Options};

/// The release that is started.
pub const VERSION: &str = "3.7.3";

/// Longest wait for one answer of a member.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The installed `etcd`; the error says how to install it.
pub fn program() -> Result<PathBuf, LaunchError> {
    installed_program(Kind::Etcd, VERSION, "etcd")
}

/// The installed `etcdctl`, of the same release.
pub fn etcdctl() -> Result<PathBuf, LaunchError> {
    installed_program(Kind::Etcd, VERSION, "etcdctl")
}

/// Starts an ensemble, and returns when every member serves: it answers linearizable reads, as its `/readyz` tells.
pub fn start(options: &Options) -> Result<Launched, LaunchError> {
    program::start(&Settings::new(&options.settings)?, options)
}

/// Ports of the client and of the peers.
impl Program<2> for Settings {
    const KIND: Kind = Kind::Etcd;

    fn path(&self) -> Result<PathBuf, LaunchError> {
        program()
    }

    fn arguments(&self, index: usize, ports: &[[u16; 2]], dir: &Path) -> Result<Vec<String>, LaunchError> {
        Ok(self.flags(index, ports, &kept::data(dir)))
    }

    fn check_serving(&self, member: &Member, _: usize) -> Result<(), String> {
        match http::get(member.address, "/readyz", ANSWER_TIMEOUT)? {
            (200, _) => Ok(()),
            (status, body) => Err(format!("GET /readyz: {status} {}", body.trim())),
        }
    }

    fn in_force(&self) -> BTreeMap<String, String> {
        Settings::in_force(self)
    }

    fn fsync(&self) -> Fsync {
        Settings::fsync(self)
    }
}
