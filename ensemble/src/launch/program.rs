//! Ensembles of a program of which each member is one process with ports that it keeps: etcd and Consul.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::child::{ChildSpec, Children, Wrapper};
use super::kept::Ports;
use super::startup::{make_dir, until_all_serve};
use super::{DataDirLock, Fsync, Kind, LaunchError, Launched, Member, READY_TIMEOUT};

/// The largest ensemble that can be started; upstream advises 3 or 5 of either, and no more than 7 of etcd.
pub const MEMBERS_MAX: u32 = 9;

/// An ensemble to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Number of members, 1 to [`MEMBERS_MAX`]; all of them vote.
    pub members: u32,
    /// Where the members' folders are: `etcd-1`, `etcd-2`, …, or `consul-1` and so on. What an earlier ensemble of as many
    /// members left in them is used again, with its ports.
    pub data_dir: PathBuf,
    /// The user's settings. etcd: its flags without their dashes (`heartbeat-interval`), milliseconds where it has such.
    /// Consul: keys of its configuration file, a dot between the names of nested ones (`performance.raft_multiplier`).
    pub settings: BTreeMap<String, String>,
    /// How long to wait until every member serves.
    pub ready_timeout: Duration,
    /// What ties the members' lives to this process.
    pub wrapper: Wrapper,
}

impl Options {
    /// An ensemble with 60 s to become ready, and upstream's settings but for the timing of Consul's elections, which is what
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

/// A program with settings. Its members listen on `PORTS` ports each, the clients' first.
pub(super) trait Program<const PORTS: usize> {
    /// What it is.
    const KIND: Kind;

    /// Where it is installed.
    fn path(&self) -> Result<PathBuf, LaunchError>;

    /// The arguments of the member with number `index` of `ports`, from 0. Files that they name are written to its folder.
    fn arguments(&self, index: usize, ports: &[[u16; PORTS]], dir: &Path)
    -> Result<Vec<String>, LaunchError>;

    /// Whether a member of so many serves, and if not, why.
    fn check_serving(&self, member: &Member, members: usize) -> Result<(), String>;

    /// What is in force and the same on every member, by the name of its setting.
    fn in_force(&self) -> BTreeMap<String, String>;

    /// Whether members force an entry to the device before they acknowledge it.
    fn fsync(&self) -> Fsync;
}

/// Starts an ensemble, and returns when every member serves.
pub(super) fn start<const PORTS: usize, P: Program<PORTS>>(
    program: &P,
    options: &Options,
) -> Result<Launched, LaunchError> {
    if options.members == 0 || options.members > MEMBERS_MAX {
        return Err(LaunchError::Members { members: options.members, max: MEMBERS_MAX });
    }
    let path = program.path()?;
    let (data_dir, lock) = DataDirLock::take(&options.data_dir)?;
    let dirs: Vec<PathBuf> =
        (1..=options.members).map(|id| data_dir.join(format!("{}-{id}", P::KIND))).collect();
    let ports = Ports::look(&data_dir, P::KIND, &dirs)?;
    let children = Children::new(options.wrapper.clone())?;
    let deadline = Instant::now() + options.ready_timeout;

    let mut chosen = Vec::new();
    let start = || {
        chosen = ports.choose(&dirs)?;
        let one = |(index, dir): (usize, &PathBuf)| {
            start_member(program, path.clone(), index, &chosen, dir, &children)
        };
        dirs.iter().enumerate().map(one).collect()
    };
    let serving = |member: &Member| program.check_serving(member, dirs.len());
    let members = until_all_serve(&children, deadline, start, serving).inspect_err(|_| {
        children.stop_all(Duration::ZERO);
        // What cannot be removed is refused at the next start, in words.
        let _ = ports.discard(&dirs);
    })?;
    ports.keep(&chosen)?;
    Ok(Launched::new(P::KIND, members, program.in_force(), program.fsync(), children, lock))
}

fn start_member<const PORTS: usize, P: Program<PORTS>>(
    program: &P,
    path: PathBuf,
    index: usize,
    ports: &[[u16; PORTS]],
    dir: &Path,
    children: &Children,
) -> Result<Member, LaunchError> {
    let id = index as u32 + 1;
    make_dir(dir)?;
    let log = dir.join(format!("{}.log", P::KIND));
    let child = children.start(ChildSpec {
        name: format!("{} member {id}", P::KIND),
        program: path,
        args: program.arguments(index, ports, dir)?.into_iter().map(OsString::from).collect(),
        dir: dir.to_owned(),
        log: log.clone(),
        announcement: None,
    })?;
    Ok(Member {
        id,
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, ports[index][0])),
        pid: children.pid(child),
        child,
        dir: dir.to_owned(),
        log,
        admin: None,
        secure: None,
    })
}

/// The defaults of a release with the user's settings over them, unless one cannot be used: `refusal` says of a key why.
pub(super) fn settings(
    version: &str,
    defaults: &[(&str, &str)],
    user: &BTreeMap<String, String>,
    refusal: impl Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>, LaunchError> {
    let mut values: BTreeMap<String, String> =
        defaults.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    for (key, value) in user {
        let reason = match key.as_str() {
            "version" => Some(format!("the one release that can be started is {version}")),
            key => refusal(key),
        };
        let is_bad = value.trim().is_empty() || value.chars().any(char::is_control);
        let of_value = || is_bad.then(|| "a value is not empty and has no control characters".to_owned());
        if let Some(reason) = reason.or_else(of_value) {
            return Err(LaunchError::Setting { key: key.clone(), value: value.clone(), reason });
        }
        values.insert(key.clone(), value.clone());
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::super::{consul, etcd};
    use super::*;

    #[test]
    fn an_ensemble_of_no_or_too_many_members_is_refused() {
        for members in [0, MEMBERS_MAX + 1, u32::MAX] {
            let dir = tempfile::tempdir().unwrap();
            for start in [etcd::start, consul::start] {
                let error = start(&Options::new(members, dir.path(), Wrapper::None)).unwrap_err();
                assert!(matches!(error, LaunchError::Members { .. }), "{error}");
            }
        }
    }
}
