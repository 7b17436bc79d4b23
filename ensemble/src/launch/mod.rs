//! Members as child processes on loopback, one folder each.
//!
//! | file | what is in it |
//! |---|---|
//! | [`child`] | child processes that never outlive their parent |
//! | [`http`] | one question to a member over plain HTTP |
//! | `kept` | ports that members must have again |
//! | [`own`] | members that are this tool itself: embedded and null |
//! | [`ports`] | loopback ports for servers that cannot choose one themselves |
//! | [`process`] | what a process uses, from `/proc` |
//! | [`program`] | what etcd and Consul have in common: a process each, with ports that it keeps |
//! | `startup` | starting members until all of them serve |
//! | [`etcd`], [`consul`] | where they are installed, their configuration, starting them |
//! | [`zookeeper`] | Apache ZooKeeper: where it is installed, its configuration, starting it |
//!
//! Everything here blocks; in asynchronous code, call it from a thread that may.

pub mod child;
pub mod consul;
pub mod etcd;
pub mod http;
mod kept;
pub mod own;
pub mod ports;
pub mod process;
pub mod program;
mod startup;
pub mod zookeeper;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quorumeter_record::ProcessUse;

use child::{ChildId, Children, State};

/// How long a member may take to end after SIGTERM before it is killed.
pub const STOP_GRACE: Duration = Duration::from_secs(5);

/// Starts, with new ports each, before a port that is taken is an error.
const ATTEMPTS: u32 = 3;

/// Why a member does not come to serve, although its process may run on.
pub(crate) const PORT_TAKEN: &str = "a port of it is taken by another process (Address already in use)";

/// How long an ensemble may take until every member serves, unless told.
pub const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// Members that were started by this process. Dropping it stops them.
#[derive(Debug)]
pub struct Launched {
    /// What they are.
    pub kind: Kind,
    /// The members, by ascending id.
    pub members: Vec<Member>,
    /// Settings in force on every member, defaults included, for the record.
    pub settings: BTreeMap<String, String>,
    /// How durable an acknowledged write is.
    pub fsync: Fsync,
    children: Children,
    is_stopped: Mutex<bool>,
    _data_dir: DataDirLock,
}

/// A member that was started by this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its number within the ensemble, from 1.
    pub id: u32,
    /// Client address.
    pub address: SocketAddr,
    /// Process id of its first start. Once a member may have been started again, [`Launched::pid`] tells the present one.
    pub pid: u32,
    pub(crate) child: ChildId,
    /// Its folder: configuration, data, log.
    pub dir: PathBuf,
    /// What it writes to standard output and standard error.
    pub log: PathBuf,
    /// Address of its administration interface, where it has one (ZooKeeper's AdminServer, HTTP).
    pub admin: Option<SocketAddr>,
    /// Client address over TLS, where it has one.
    pub secure: Option<SocketAddr>,
}

/// What the members of an ensemble are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The ZooKeeper-compatible server of this repository.
    Embedded,
    /// Apache ZooKeeper.
    Zookeeper,
    /// etcd.
    Etcd,
    /// Consul.
    Consul,
    /// The server that answers at once and stores nothing.
    Null,
}

/// How durable an acknowledged write is, in the words of the record's manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fsync {
    /// It was forced to the device first.
    Fsync,
    /// It is in the kernel's page cache: a crash of the machine may lose it.
    NoFsync,
    /// It is in the process's memory alone.
    Memory,
}

/// Why members could not be started, or did not stay.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// There is no folder in which servers could be installed.
    #[error(
        "cannot tell where real servers are installed: none of QUORUMETER_SERVERS, XDG_CACHE_HOME and HOME is \
         set; set QUORUMETER_SERVERS to a folder"
    )]
    NoServersDir,
    /// A real server is not installed.
    #[error(
        "{server} is not installed: there is no {missing} in {}; install it with `cargo xtask servers {name}` (needs \
         {needs}), or set QUORUMETER_SERVERS to the folder that holds it", dir.display()
    )]
    NotInstalled {
        /// Name and version of the server.
        server: String,
        /// Its name for `cargo xtask servers`.
        name: &'static str,
        /// What is not there.
        missing: String,
        /// What the installation needs.
        needs: &'static str,
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// There is no Java to run a server with.
    #[error(
        "no `java` in JAVA_HOME/bin or PATH; `apt-get install default-jre-headless` installs one, or set JAVA_HOME"
    )]
    NoJava,
    /// The number of members cannot be had.
    #[error("an ensemble of {members} members cannot be started; ask for 1 to {max}")]
    Members {
        /// The number asked for.
        members: u32,
        /// The largest number.
        max: u32,
    },
    /// A setting of the user cannot be used.
    #[error("server setting `{key}={value}` cannot be used: {reason}")]
    Setting {
        /// Its name.
        key: String,
        /// Its value.
        value: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// Another process uses the data folder.
    #[error("{} is in use by another ensemble; stop that one, or give another data folder", dir.display())]
    DataDirInUse {
        /// The folder.
        dir: PathBuf,
    },
    /// The data folder holds an ensemble of another size, which its members have written down.
    #[error(
        "{} holds the data of {before} members, and {members} were asked for; ask for {before}, or give another data folder",
        dir.display()
    )]
    OtherMembers {
        /// The folder.
        dir: PathBuf,
        /// How many members it is of.
        before: usize,
        /// How many were asked for.
        members: usize,
    },
    /// The data folder holds data of an ensemble that did not come to serve, or of none that was started by this.
    #[error(
        "{} holds data of an ensemble that was never seen to serve; give another data folder, or remove what is in it",
        dir.display()
    )]
    NotServed {
        /// The folder.
        dir: PathBuf,
    },
    /// A file or folder could not be read, made or written.
    #[error("cannot {action} {}: {source}; check that the folder exists, is yours to write and has space", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// No port is free.
    #[error("cannot find a free port on 127.0.0.1: {0}; stop what holds them, and try again")]
    NoPort(io::Error),
    /// What members are asked with could not be made.
    #[error("cannot ask members whether they serve: {0}; allow more open files (ulimit -n), and try again")]
    Asking(io::Error),
    /// A process could not be started.
    #[error("cannot start {name}, as `{}`: {source}; check that the program is there and may be run", program.display())]
    Start {
        /// Name of the member.
        name: String,
        /// The program.
        program: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// There is no member of this number.
    #[error("there is no member {id}: they are numbered from 1 to {members}")]
    NoSuchMember {
        /// The number.
        id: u32,
        /// How many there are.
        members: usize,
    },
    /// The ensemble has been stopped.
    #[error("no member is started again after the ensemble was stopped")]
    Stopped,
    /// A member ended without being told to.
    #[error("{name} died ({status}); the end of its log {}:\n{tail}", log.display())]
    Died {
        /// Name of the member.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// Its log.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// A member did not serve in time.
    #[error(
        "{name} does not serve after {:.1} s ({reason}); give it more time, or see the end of its log {}:\n{tail}",
        waited.as_secs_f64(), log.display()
    )]
    NotReady {
        /// Name of the member.
        name: String,
        /// How long it was waited for.
        waited: Duration,
        /// What was last seen of it.
        reason: String,
        /// Its log.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
}

impl Launched {
    pub(crate) fn new(
        kind: Kind,
        members: Vec<Member>,
        settings: BTreeMap<String, String>,
        fsync: Fsync,
        children: Children,
        data_dir: DataDirLock,
    ) -> Launched {
        Launched {
            kind,
            members,
            settings,
            fsync,
            children,
            is_stopped: Mutex::default(),
            _data_dir: data_dir,
        }
    }

    /// The first member found to have ended without being told to, as [`LaunchError::Died`]. One that was killed or
    /// terminated through this is none of them, until it has been started again.
    pub fn check(&self) -> Result<(), LaunchError> {
        self.members.iter().try_for_each(|member| self.children.check(member.child))
    }

    /// What the member with this id has used since it started; `None` when it runs no more.
    pub fn process_use(&self, id: u32) -> Option<ProcessUse> {
        self.children.process_use(self.child(id).ok()?)
    }

    /// Process id of the member's latest start; `None` when that has ended, and when there is no such member.
    pub fn pid(&self, id: u32) -> Option<u32> {
        let child = self.child(id).ok()?;
        let pid = self.children.pid(child);
        (self.children.state(child) != State::Gone).then_some(pid)
    }

    /// What the member's process does now.
    ///
    /// # Errors
    /// [`LaunchError::NoSuchMember`], like every function that takes a member's id.
    pub fn state(&self, id: u32) -> Result<State, LaunchError> {
        Ok(self.children.state(self.child(id)?))
    }

    /// Sends the member SIGKILL, and waits for nothing: [`state`](Launched::state) tells when it is gone. One that is gone
    /// already stays so.
    pub fn kill(&self, id: u32) -> Result<(), LaunchError> {
        self.children.kill(self.child(id)?);
        Ok(())
    }

    /// Ends members: SIGTERM, up to `grace` of patience for all of them together, SIGKILL. When it returns, their processes
    /// are gone.
    pub fn terminate(&self, ids: &[u32], grace: Duration) -> Result<(), LaunchError> {
        let children: Vec<ChildId> = ids.iter().map(|id| self.child(*id)).collect::<Result<_, _>>()?;
        self.children.terminate(&children, grace);
        Ok(())
    }

    /// Sends the member SIGSTOP, and waits for nothing: [`state`](Launched::state) tells when it has stopped.
    pub fn pause(&self, id: u32) -> Result<(), LaunchError> {
        self.children.pause(self.child(id)?);
        Ok(())
    }

    /// Lets a member that was paused continue; one that was not is left as it is.
    pub fn resume(&self, id: u32) -> Result<(), LaunchError> {
        self.children.resume(self.child(id)?);
        Ok(())
    }

    /// Starts a member that is gone again, with the same arguments, folder and ports, and waits for nothing. One that is
    /// not gone is left as it is.
    ///
    /// # Errors
    /// Besides [`LaunchError::NoSuchMember`], what keeps the process from starting, and [`LaunchError::Stopped`].
    pub fn start_again(&self, id: u32) -> Result<(), LaunchError> {
        let child = self.child(id)?;
        let is_stopped = self.is_stopped();
        if *is_stopped { Err(LaunchError::Stopped) } else { self.children.start_again(child) }
    }

    /// An error when the latest start of the member cannot come to serve: it has died ([`LaunchError::Died`]), or found a
    /// port taken ([`LaunchError::NotReady`]).
    pub fn check_start(&self, id: u32) -> Result<(), LaunchError> {
        let child = self.child(id)?;
        // One that died of a port that is taken is that first.
        if self.children.found_a_port_taken(child) {
            return Err(self.children.not_ready(child, PORT_TAKEN.to_owned()));
        }
        self.children.check(child)
    }

    /// Ends every member: SIGTERM, up to `grace` of patience ([`STOP_GRACE`] is usual), SIGKILL. When it returns, no
    /// member's process exists any more.
    pub fn stop(&self, grace: Duration) {
        *self.is_stopped() = true;
        self.children.stop_all(grace);
    }

    fn child(&self, id: u32) -> Result<ChildId, LaunchError> {
        let member = self.members.iter().find(|member| member.id == id);
        let members = self.members.len();
        member.map(|member| member.child).ok_or(LaunchError::NoSuchMember { id, members })
    }

    /// Held while a member is started, so that none is after [`stop`](Launched::stop).
    fn is_stopped(&self) -> MutexGuard<'_, bool> {
        self.is_stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Embedded => "embedded",
            Kind::Zookeeper => "zookeeper",
            Kind::Etcd => "etcd",
            Kind::Consul => "consul",
            Kind::Null => "null",
        })
    }
}

impl fmt::Display for Fsync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fsync::Fsync => "fsync",
            Fsync::NoFsync => "no fsync",
            Fsync::Memory => "memory",
        })
    }
}

/// The folder with the installed real servers, a folder each: `$QUORUMETER_SERVERS`, or else `quorumeter/servers` in
/// `$XDG_CACHE_HOME`, or else in `$HOME/.cache`. Absolute.
pub fn servers_dir() -> Result<PathBuf, LaunchError> {
    servers_dir_from(|name| std::env::var_os(name)).map(absolute)
}

fn servers_dir_from(env: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, LaunchError> {
    let set = |name| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("QUORUMETER_SERVERS")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("quorumeter/servers")))
        .or_else(|| Some(set("HOME")?.join(".cache/quorumeter/servers")))
        .ok_or(LaunchError::NoServersDir)
}

/// The `java` to run servers with: `$JAVA_HOME/bin/java`, or else the first one in `PATH`. Absolute.
pub fn java() -> Result<PathBuf, LaunchError> {
    java_from(|name| std::env::var_os(name)).map(absolute)
}

fn java_from(env: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, LaunchError> {
    let home = env("JAVA_HOME").filter(|home| !home.is_empty()).map(|home| Path::new(&home).join("bin"));
    let path = env("PATH").unwrap_or_default();
    home.into_iter()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join("java"))
        .find(|java| java.is_file())
        .ok_or(LaunchError::NoJava)
}

/// The program of this name of an installed server, which is built from Go's modules.
fn installed_program(kind: Kind, version: &str, program: &str) -> Result<PathBuf, LaunchError> {
    let dir = servers_dir()?.join(format!("{kind}-{version}")).join("bin");
    let path = dir.join(program);
    if path.is_file() {
        return Ok(path);
    }
    let (server, name) = match kind {
        Kind::Consul => ("Consul", "consul"),
        _ => ("etcd", "etcd"),
    };
    Err(LaunchError::NotInstalled {
        server: format!("{server} {version}"),
        name,
        missing: format!("`{program}`"),
        needs: "Go 1.21 or later",
        dir,
    })
}

/// Members run in folders of their own, where a relative path would mean something else.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// The right to use a data folder, for as long as the value lives. The kernel takes it back when the process ends,
/// however it ends.
#[derive(Debug)]
pub(crate) struct DataDirLock {
    _file: File,
}

impl DataDirLock {
    /// Makes the folder if need be, and takes it; the folder comes back as an absolute path.
    pub(crate) fn take(dir: &Path) -> Result<(PathBuf, DataDirLock), LaunchError> {
        let fail = |action, source| LaunchError::File { action, path: dir.to_owned(), source };
        std::fs::create_dir_all(dir).map_err(|error| fail("make", error))?;
        let dir = dir.canonicalize().map_err(|error| fail("find", error))?;
        let file = File::create(dir.join("lock")).map_err(|error| fail("make a lock file in", error))?;
        match file.try_lock() {
            Ok(()) => Ok((dir, DataDirLock { _file: file })),
            Err(TryLockError::WouldBlock) => Err(LaunchError::DataDirInUse { dir }),
            Err(TryLockError::Error(error)) => Err(fail("lock", error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env<'a>(set: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        |name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
    }

    #[test]
    fn the_first_folder_that_is_set_holds_the_servers() {
        let home = ("HOME", "/home/me");
        let xdg = ("XDG_CACHE_HOME", "/xdg");
        let own = ("QUORUMETER_SERVERS", "/own");
        for (set, expected) in [
            (&[home][..], Some("/home/me/.cache/quorumeter/servers")),
            (&[home, xdg], Some("/xdg/quorumeter/servers")),
            (&[home, xdg, own], Some("/own")),
            (&[home, ("XDG_CACHE_HOME", "")], Some("/home/me/.cache/quorumeter/servers")),
            (&[], None),
        ] {
            assert_eq!(servers_dir_from(env(set)).ok(), expected.map(PathBuf::from), "{set:?}");
        }
    }

    #[test]
    fn java_home_goes_before_path() {
        let dir = tempfile::tempdir().unwrap();
        let java = |folder: &str| {
            let bin = dir.path().join(folder);
            std::fs::create_dir_all(&bin).unwrap();
            std::fs::write(bin.join("java"), "").unwrap();
            bin.to_str().unwrap().to_owned()
        };
        let (in_home, in_path) = (java("home/bin"), java("path"));
        let home = dir.path().join("home").to_str().unwrap().to_owned();
        let path = format!("/nowhere:{in_path}");

        let found = |set: &[(&str, &str)]| java_from(env(set)).ok();
        assert_eq!(found(&[("JAVA_HOME", &home), ("PATH", &path)]), Some(Path::new(&in_home).join("java")));
        assert_eq!(found(&[("JAVA_HOME", "/gone"), ("PATH", &path)]), Some(Path::new(&in_path).join("java")));
        assert_eq!(found(&[("PATH", &path)]), Some(Path::new(&in_path).join("java")));
        assert_eq!(found(&[("PATH", "/nowhere")]), None);
    }

    #[test]
    fn a_data_folder_has_one_user_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let (path, lock) = DataDirLock::take(&dir.path().join("a/b")).unwrap();
        assert!(path.is_absolute() && path.ends_with("a/b"));
        assert!(matches!(DataDirLock::take(&path), Err(LaunchError::DataDirInUse { .. })));
        drop(lock);
        assert!(DataDirLock::take(&path).is_ok());
    }

    #[test]
    fn the_error_for_a_missing_server_names_the_command_and_the_packages() {
        let message = LaunchError::NotInstalled {
            server: "Apache ZooKeeper 3.9.4".to_owned(),
            name: "zookeeper",
            missing: "jar of it".to_owned(),
            needs: "`apt-get install default-jre-headless maven`",
            dir: "/cache/zookeeper-3.9.4/lib".into(),
        }
        .to_string();
        assert!(message.contains("`cargo xtask servers zookeeper`"), "{message}");
        assert!(message.contains("`apt-get install default-jre-headless maven`"), "{message}");
    }
}
