//! Consul: agents that are servers. They gossip over loopback, and have no ports for gRPC, DNS and the gossip of several
//! datacentres.

mod settings;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::child::{ChildSpec, Children, Wrapper};
use super::kept::{self, Ports};
use super::startup::{make_dir, until_all_serve, write_file};
use super::{
    DataDirLock, Fsync, Kind, LaunchError, Launched, Member, READY_TIMEOUT, http, installed_program,
};
use settings::{MemberPorts, Settings};

/// The release that is started.
pub const VERSION: &str = "1.20.1";

/// The largest ensemble that can be started; upstream advises 3 or 5.
pub const MEMBERS_MAX: u32 = 9;

/// Longest wait for one answer of a member.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// A key that nobody writes: reading it consistently takes a leader that is confirmed by a majority.
const CONSISTENT_READ: &str = "/v1/kv/quorumeter-launch?consistent";

/// An ensemble to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Number of members, 1 to [`MEMBERS_MAX`]; all of them vote.
    pub members: u32,
    /// Where the members' folders `consul-1`, `consul-2`, … are. What an earlier ensemble of as many members left in them is
    /// used again, with its ports.
    pub data_dir: PathBuf,
    /// The user's settings: keys of Consul's configuration file, a dot between the names of nested ones
    /// (`performance.raft_multiplier`).
    pub settings: BTreeMap<String, String>,
    /// How long to wait until every member serves.
    pub ready_timeout: Duration,
    /// What ties the members' lives to this process.
    pub wrapper: Wrapper,
}

impl Options {
    /// An ensemble with 60 s to become ready, and upstream's settings but for the timing of elections, which is what
    /// upstream advises for production (`performance.raft_multiplier` 1; its default is 5).
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

/// The installed `consul`; the error says how to install it.
pub fn program() -> Result<PathBuf, LaunchError> {
    installed_program(Kind::Consul, VERSION, "consul")
}

/// Starts an ensemble, and returns when every member serves: it knows all the others as voters, and answers consistent
/// reads.
pub fn start(options: &Options) -> Result<Launched, LaunchError> {
    if options.members == 0 || options.members > MEMBERS_MAX {
        return Err(LaunchError::Members { members: options.members, max: MEMBERS_MAX });
    }
    let settings = Settings::new(&options.settings)?;
    let program = program()?;
    let (data_dir, lock) = DataDirLock::take(&options.data_dir)?;
    let dirs: Vec<PathBuf> = (1..=options.members).map(|id| data_dir.join(format!("consul-{id}"))).collect();
    let ports = Ports::look(&data_dir, Kind::Consul, &dirs)?;
    let children = Children::new(options.wrapper.clone())?;
    let deadline = Instant::now() + options.ready_timeout;

    let mut chosen = Vec::new();
    let start = || {
        chosen = ports.choose(&dirs)?;
        let of_members: Vec<MemberPorts> = chosen
            .iter()
            .map(|[http, server, serf]| MemberPorts { http: *http, server: *server, serf: *serf })
            .collect();
        start_members(&program, &dirs, &of_members, &settings, &children)
    };
    let serving = |member: &Member| check_serving(member, dirs.len());
    let members = until_all_serve(&children, deadline, start, serving).inspect_err(|_| {
        children.stop_all(Duration::ZERO);
        // What cannot be removed is refused at the next start, in words.
        let _ = ports.discard(&dirs);
    })?;
    ports.keep(&chosen)?;
    // There is no setting that turns it off.
    Ok(Launched::new(Kind::Consul, members, settings.in_force(), Fsync::Fsync, children, lock))
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
        let configuration = dir.join("consul.json");
        write_file(&configuration, &settings.configuration())?;
        let log = dir.join("consul.log");
        let child = children.start(ChildSpec {
            name: format!("consul member {id}"),
            program: program.to_owned(),
            args: settings::flags(index, ports, &kept::data(dir), &configuration)
                .into_iter()
                .map(OsString::from)
                .collect(),
            dir: dir.clone(),
            log: log.clone(),
            announcement: None,
        })?;
        members.push(Member {
            id,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, ports[index].http)),
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

fn check_serving(member: &Member, members: usize) -> Result<(), String> {
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
