//! etcd.

mod settings;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::child::{ChildSpec, Children, Wrapper};
use super::kept::{self, Ports};
use super::startup::{make_dir, until_all_serve};
use super::{DataDirLock, Kind, LaunchError, Launched, Member, READY_TIMEOUT, http, installed_program};
use settings::{MemberPorts, Settings};

/// The release that is started.
pub const VERSION: &str = "3.7.3";

/// The largest ensemble that can be started; upstream advises no more than 7.
pub const MEMBERS_MAX: u32 = 9;

/// Longest wait for one answer of a member.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// An ensemble to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Number of members, 1 to [`MEMBERS_MAX`]; all of them vote.
    pub members: u32,
    /// Where the members' folders `etcd-1`, `etcd-2`, … are. What an earlier ensemble of as many members left in them is used
    /// again, with its ports.
    pub data_dir: PathBuf,
    /// The user's settings: flags of etcd without their dashes (`heartbeat-interval`), milliseconds where etcd has such.
    pub settings: BTreeMap<String, String>,
    /// How long to wait until every member serves.
    pub ready_timeout: Duration,
    /// What ties the members' lives to this process.
    pub wrapper: Wrapper,
}

impl Options {
    /// An ensemble with upstream's settings and 60 s to become ready.
    pub fn new(members: u32, data_dir: impl Into<PathBuf>, wrapper: Wrapper) -> Options {
        Options {
            members,
            data_dir: data_dir.into(),
            settings: BTreeMap::new(),
            ready_timeout: READY_TIMEOUT,
            wrapper,
        }
    }
}

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
    if options.members == 0 || options.members > MEMBERS_MAX {
        return Err(LaunchError::Members { members: options.members, max: MEMBERS_MAX });
    }
    let settings = Settings::new(&options.settings)?;
    let program = program()?;
    let (data_dir, lock) = DataDirLock::take(&options.data_dir)?;
    let dirs: Vec<PathBuf> = (1..=options.members).map(|id| data_dir.join(format!("etcd-{id}"))).collect();
    let ports = Ports::look(&data_dir, Kind::Etcd, &dirs)?;
    let children = Children::new(options.wrapper.clone())?;
    let deadline = Instant::now() + options.ready_timeout;

    let mut chosen = Vec::new();
    let start = || {
        chosen = ports.choose(&dirs)?;
        let of_members: Vec<MemberPorts> =
            chosen.iter().map(|[client, peer]| MemberPorts { client: *client, peer: *peer }).collect();
        start_members(&program, &dirs, &of_members, &settings, &children)
    };
    let members = until_all_serve(&children, deadline, start, check_serving).inspect_err(|_| {
        children.stop_all(Duration::ZERO);
        // What cannot be removed is refused at the next start, in words.
        let _ = ports.discard(&dirs);
    })?;
    ports.keep(&chosen)?;
    Ok(Launched::new(Kind::Etcd, members, settings.in_force(), settings.fsync(), children, lock))
}

fn start_members(
    program: &Path,
    dirs: &[PathBuf],
    ports: &[MemberPorts],
    settings: &Settings,
    children: &Children,
) -> Result<Vec<Member>, LaunchError> {
    let mut members = Vec::new();
    for (index, dir) in dirs.iter().enumerate() {
        let id = index as u32 + 1;
        make_dir(dir)?;
        let log = dir.join("etcd.log");
        let child = children.start(ChildSpec {
            name: format!("etcd member {id}"),
            program: program.to_owned(),
            args: settings.flags(index, ports, &kept::data(dir)).into_iter().map(OsString::from).collect(),
            dir: dir.clone(),
            log: log.clone(),
            announcement: None,
        })?;
        members.push(Member {
            id,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, ports[index].client)),
            pid: children.pid(child),
            child,
            dir: dir.clone(),
            log,
            admin: None,
            secure: None,
        });
    }
    Ok(members)
}

fn check_serving(member: &Member) -> Result<(), String> {
    match http::get(member.address, "/readyz", ANSWER_TIMEOUT)? {
        (200, _) => Ok(()),
        (status, body) => Err(format!("GET /readyz: {status} {}", body.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ensemble_of_no_or_too_many_members_is_refused() {
        for members in [0, MEMBERS_MAX + 1, u32::MAX] {
            let dir = tempfile::tempdir().unwrap();
            let error = start(&Options::new(members, dir.path(), Wrapper::None)).unwrap_err();
            assert!(matches!(error, LaunchError::Members { .. }), "{error}");
        }
    }
}
