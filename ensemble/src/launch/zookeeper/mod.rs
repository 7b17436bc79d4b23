//! Apache ZooKeeper.

mod settings;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::child::{ChildSpec, Children, Wrapper};
use super::ports::free_port;
use super::startup::{make_dir, until_all_serve, write_file};
use super::{DataDirLock, Kind, LaunchError, Launched, Member, READY_TIMEOUT, java, servers_dir};
use crate::ask::{self, Asker};
use settings::{MemberPorts, Settings};

/// A release of ZooKeeper that can be installed and started.
#[derive(Debug, PartialEq, Eq)]
pub struct Release {
    /// Its version.
    pub version: &'static str,
    /// Its name for `cargo xtask servers`.
    pub name: &'static str,
    /// What its installation needs.
    needs: &'static str,
}

impl Release {
    /// Every one; the first is the one that is started unless told.
    pub const ALL: [Release; 2] = [
        Release {
            version: "3.9.4",
            name: "zookeeper",
            needs: "`apt-get install default-jre-headless maven`",
        },
        Release { version: "3.8.0", name: "zookeeper-3.8", needs: "`apt-get install default-jre-headless`" },
    ];

    /// The release of this version, which may leave the patch out: `3.8`.
    fn named(version: &str) -> Option<&'static Release> {
        Release::ALL.iter().find(|release| {
            release.version == version
                || release.version.rsplit_once('.').is_some_and(|(minor, _)| minor == version)
        })
    }
}

/// The largest ensemble that can be started: each member is a Java process of this machine.
pub const MEMBERS_MAX: u32 = 9;

/// Longest wait for one answer of a member.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Logging at INFO to standard output, which is the member's log file.
const LOGBACK_XML: &str = r#"<configuration>
  <appender name="log" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{ISO8601} %-5p [%t] %c{1} - %m%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="log"/></root>
</configuration>
"#;

/// An ensemble to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Number of members that vote, at least 1. A single one, without observers, is a plain standalone server.
    pub members: u32,
    /// Number of observers beside them; together they are at most [`MEMBERS_MAX`]. They have the last ids.
    pub observers: u32,
    /// Where the members' folders `zk-1`, `zk-2`, … are. What an earlier ensemble left in them is used again.
    pub data_dir: PathBuf,
    /// The user's settings: keys of `zoo.cfg`, and with `jvm.` before it a system property (`jvm.zookeeper.forceSync`)
    /// or a memory option (`jvm.Xmx`) of the Java process. A key that `zoo.cfg` does not know becomes the system
    /// property `zookeeper.KEY`: that is upstream's rule. `version` is not ZooKeeper's: it chooses the [`Release`].
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
            observers: 0,
            data_dir: data_dir.into(),
            settings: BTreeMap::new(),
            ready_timeout: READY_TIMEOUT,
            wrapper,
        }
    }
}

/// Where ZooKeeper and the Java to run it with are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The `java` program.
    pub java: PathBuf,
    /// The folder with the jars.
    pub lib: PathBuf,
}

impl Installation {
    /// Looks for both; the error says how to install what is missing.
    pub fn find(release: &Release) -> Result<Installation, LaunchError> {
        let lib = servers_dir()?.join(format!("zookeeper-{}", release.version)).join("lib");
        if !lib.join(format!("zookeeper-{}.jar", release.version)).is_file() {
            return Err(LaunchError::NotInstalled {
                server: format!("Apache ZooKeeper {}", release.version),
                name: release.name,
                missing: "jar of it".to_owned(),
                needs: release.needs,
                dir: lib,
            });
        }
        Ok(Installation { java: java()?, lib })
    }

    fn java_args(&self, settings: &Settings) -> Vec<OsString> {
        let mut args = settings.java_options();
        args.push("-Dlogback.configurationFile=logback.xml".into());
        // Debian's packages have no Logback, and this of slf4j, which writes no time unless told.
        args.push("-Dorg.slf4j.simpleLogger.showDateTime=true".into());
        args.push("-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss,SSS".into());
        args.push("-cp".into());
        args.push(self.lib.join("*").into());
        args.push("org.apache.zookeeper.server.quorum.QuorumPeerMain".into());
        args.push("./zoo.cfg".into());
        args
    }
}

/// Starts an ensemble, and returns when every member serves: it has a role, and gave a session that was closed again.
pub fn start(options: &Options) -> Result<Launched, LaunchError> {
    let members = options.members.saturating_add(options.observers);
    if options.members == 0 || members > MEMBERS_MAX {
        return Err(LaunchError::Members { members, max: MEMBERS_MAX });
    }
    let settings = Settings::new(&options.settings)?;
    let installation = Installation::find(settings.release)?;
    let (data_dir, lock) = DataDirLock::take(&options.data_dir)?;
    let children = Children::new(options.wrapper.clone())?;
    let deadline = Instant::now() + options.ready_timeout;

    let asker = Asker::new().map_err(LaunchError::Asking)?;
    let members = until_all_serve(
        &children,
        deadline,
        || start_members(options, &data_dir, &settings, &installation, &children),
        |member| asker.check_serving(&ask::at(member.address), ANSWER_TIMEOUT).map(drop),
    )?;
    Ok(Launched::new(Kind::Zookeeper, members, settings.in_force(), settings.fsync(), children, lock))
}

fn start_members(
    options: &Options,
    data_dir: &Path,
    settings: &Settings,
    installation: &Installation,
    children: &Children,
) -> Result<Vec<Member>, LaunchError> {
    let ports: Vec<MemberPorts> = (0..options.members + options.observers)
        .map(|_| choose_ports())
        .collect::<io::Result<_>>()
        .map_err(LaunchError::NoPort)?;
    let mut members = Vec::new();
    for (index, own) in ports.iter().enumerate() {
        let id = index as u32 + 1;
        let dir = data_dir.join(format!("zk-{id}"));
        write_folder(&dir, id, &settings.zoo_cfg(index, &ports, options.observers as usize))?;
        let log = dir.join("zookeeper.log");
        let child = children.start(ChildSpec {
            name: format!("zookeeper member {id}"),
            program: installation.java.clone(),
            args: installation.java_args(settings),
            dir: dir.clone(),
            log: log.clone(),
            announcement: None,
        })?;
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        members.push(Member {
            id,
            address: loopback(own.client),
            pid: children.pid(child),
            child,
            dir,
            log,
            admin: Some(loopback(own.admin)),
            secure: settings.is_secured().then(|| loopback(own.secure)),
        });
    }
    Ok(members)
}

fn choose_ports() -> io::Result<MemberPorts> {
    Ok(MemberPorts {
        client: free_port()?,
        peer: free_port()?,
        election: free_port()?,
        admin: free_port()?,
        metrics: free_port()?,
        secure: free_port()?,
    })
}

fn write_folder(dir: &Path, id: u32, zoo_cfg: &str) -> Result<(), LaunchError> {
    let data = dir.join("data");
    make_dir(&data)?;
    for (path, text) in [
        (dir.join("zoo.cfg"), zoo_cfg),
        (dir.join("logback.xml"), LOGBACK_XML),
        (data.join("myid"), &format!("{id}\n")),
    ] {
        write_file(&path, text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ensemble_of_no_or_too_many_members_is_refused() {
        for (members, observers) in [(0, 0), (0, 3), (MEMBERS_MAX + 1, 0), (MEMBERS_MAX, 1), (1, u32::MAX)] {
            let dir = tempfile::tempdir().unwrap();
            let options = Options { observers, ..Options::new(members, dir.path(), Wrapper::None) };
            let error = start(&options).unwrap_err();
            assert!(matches!(error, LaunchError::Members { .. }), "{error}");
        }
    }

    #[test]
    fn a_members_folder_is_complete_and_keeps_its_data() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("zk-2");
        for text in ["clientPort=1\n", "clientPort=2\n"] {
            write_folder(&folder, 2, text).unwrap();
            assert_eq!(std::fs::read_to_string(folder.join("zoo.cfg")).unwrap(), text);
            assert_eq!(std::fs::read_to_string(folder.join("data/myid")).unwrap(), "2\n");
            std::fs::write(folder.join("data/snapshot"), "").unwrap();
        }
        assert!(folder.join("data/snapshot").exists());
    }

    #[test]
    fn java_gets_its_options_before_the_class_and_the_configuration_after_it() {
        let user = BTreeMap::from([("jvm.zookeeper.snapCount".to_owned(), "1000".to_owned())]);
        let installation = Installation { java: "java".into(), lib: "/servers/zookeeper/lib".into() };
        assert_eq!(
            installation.java_args(&Settings::new(&user).unwrap()),
            [
                "-Xmx512m",
                "-Dzookeeper.snapCount=1000",
                "-Dlogback.configurationFile=logback.xml",
                "-Dorg.slf4j.simpleLogger.showDateTime=true",
                "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss,SSS",
                "-cp",
                "/servers/zookeeper/lib/*",
                "org.apache.zookeeper.server.quorum.QuorumPeerMain",
                "./zoo.cfg"
            ]
        );
    }
}
