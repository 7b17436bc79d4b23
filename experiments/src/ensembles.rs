//! Starting the ensemble that a run asks for.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use quorumeter_ensemble::launch::child::Wrapper;
use quorumeter_ensemble::launch::{Kind, LaunchError, Launched, consul, etcd, own, zookeeper};
use quorumeter_targets::url::{HostPort, System};
use quorumeter_targets::{TargetUrl, TlsOptions};

use crate::secrets;

/// What kind of ensemble can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnsembleKind {
    /// The server of this repository.
    Embedded,
    /// Apache ZooKeeper.
    ZooKeeper,
    /// etcd.
    Etcd,
    /// Consul.
    Consul,
    /// The server that does nothing.
    Null,
}

/// An ensemble to start: `KIND:N`, `KIND` for one member, or `zookeeper:N+M` for N voters and M observers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnsembleSpec {
    /// What the members are.
    pub kind: EnsembleKind,
    /// How many of them vote.
    pub members: u32,
    /// How many observe.
    pub observers: u32,
}

impl EnsembleSpec {
    /// An ensemble without observers.
    pub fn new(kind: EnsembleKind, members: u32) -> EnsembleSpec {
        EnsembleSpec { kind, members, observers: 0 }
    }
}

impl EnsembleKind {
    /// Every kind.
    pub const ALL: [EnsembleKind; 5] = [
        EnsembleKind::Embedded,
        EnsembleKind::ZooKeeper,
        EnsembleKind::Etcd,
        EnsembleKind::Consul,
        EnsembleKind::Null,
    ];

    /// Whether load can be driven against it: it speaks ZooKeeper's protocol.
    pub fn takes_load(self) -> bool {
        !matches!(self, EnsembleKind::Etcd | EnsembleKind::Consul)
    }

    /// The most members of an ensemble.
    fn members_max(self) -> u32 {
        match self {
            EnsembleKind::ZooKeeper => zookeeper::MEMBERS_MAX,
            EnsembleKind::Etcd => etcd::MEMBERS_MAX,
            EnsembleKind::Consul => consul::MEMBERS_MAX,
            EnsembleKind::Embedded | EnsembleKind::Null => 1,
        }
    }
}

impl fmt::Display for EnsembleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EnsembleKind::Embedded => "embedded",
            EnsembleKind::ZooKeeper => "zookeeper",
            EnsembleKind::Etcd => "etcd",
            EnsembleKind::Consul => "consul",
            EnsembleKind::Null => "null",
        })
    }
}

impl fmt::Display for EnsembleSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.members)?;
        if self.observers > 0 { write!(f, "+{}", self.observers) } else { Ok(()) }
    }
}

impl FromStr for EnsembleSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, members) = text.split_once(':').unwrap_or((text, "1"));
        let Some(kind) = EnsembleKind::ALL.into_iter().find(|kind| kind.to_string() == name) else {
            let known: Vec<_> = EnsembleKind::ALL.iter().map(ToString::to_string).collect();
            return Err(format!("there is no kind of ensemble {name:?}; known: {}", known.join(", ")));
        };
        let max = kind.members_max();
        let has_observers = kind == EnsembleKind::ZooKeeper;
        let (voters, observers) = match members.split_once('+') {
            Some((voters, observers)) => (voters, observers.parse::<u32>().ok().filter(|number| *number > 0)),
            None => (members, Some(0)),
        };
        match (voters.parse::<u32>(), observers) {
            (Ok(members), Some(observers))
                if members > 0
                    && members.saturating_add(observers) <= max
                    && (observers == 0 || has_observers) =>
            {
                Ok(EnsembleSpec { kind, members, observers })
            }
            (Ok(_), Some(observers)) if observers > 0 && max > 1 && !has_observers => {
                Err(format!("{name} has no observers; they are for zookeeper:N+M"))
            }
            (Ok(_), Some(_)) if max == 1 => Err(format!("{name} has one member; for more use zookeeper:N")),
            _ => Err(format!(
                "{members:?} is no number of members; {name} has 1 to {max}{}",
                if has_observers { ", observers included, which are written as in 3+1" } else { "" }
            )),
        }
    }
}

/// Starts an ensemble in `data_dir`, and returns when every member serves. Blocks. `quorumeter` is this program,
/// which the members are started through.
pub fn start(
    spec: EnsembleSpec,
    data_dir: &Path,
    settings: &BTreeMap<String, String>,
    quorumeter: &Path,
) -> Result<Launched, LaunchError> {
    match spec.kind {
        EnsembleKind::Embedded => own::start(Kind::Embedded, spec.members, data_dir, settings, quorumeter),
        EnsembleKind::Null => own::start(Kind::Null, spec.members, data_dir, settings, quorumeter),
        EnsembleKind::ZooKeeper => {
            let wrapper = Wrapper::Quorumeter(quorumeter.to_owned());
            let mut options = zookeeper::Options::new(spec.members, data_dir, wrapper);
            options.observers = spec.observers;
            options.settings = settings.clone();
            zookeeper::start(&options)
        }
        EnsembleKind::Etcd => {
            let wrapper = Wrapper::Quorumeter(quorumeter.to_owned());
            let options = etcd::Options::new(spec.members, data_dir, wrapper);
            etcd::start(&etcd::Options { settings: settings.clone(), ..options })
        }
        EnsembleKind::Consul => {
            let wrapper = Wrapper::Quorumeter(quorumeter.to_owned());
            let options = consul::Options::new(spec.members, data_dir, wrapper);
            consul::start(&consul::Options { settings: settings.clone(), ..options })
        }
    }
}

/// The target URL of a started ensemble.
pub fn url_of(launched: &Launched) -> TargetUrl {
    url(launched.kind, launched.members.iter().map(|m| m.address).collect(), None)
}

/// The target URL of its ports for clients over TLS, where it has such.
pub fn secure_url_of(launched: &Launched) -> Option<TargetUrl> {
    let addresses = launched.members.iter().map(|m| m.secure).collect::<Option<_>>()?;
    Some(url(launched.kind, addresses, Some(TlsOptions::default())))
}

fn url(kind: Kind, addresses: Vec<SocketAddr>, tls: Option<TlsOptions>) -> TargetUrl {
    let members = addresses.iter().map(|a| HostPort { host: a.ip().to_string(), port: a.port() }).collect();
    let system = match kind {
        Kind::Embedded | Kind::Zookeeper | Kind::Null => System::ZooKeeper,
        Kind::Etcd => System::Etcd,
        Kind::Consul => System::Consul,
    };
    TargetUrl { system, members, chroot: String::new(), tls }
}

/// Removes the members' data below a run's folder once they have stopped; their logs and settings stay.
pub(crate) fn remove_data(launched: &Launched) {
    for member in &launched.members {
        let data: PathBuf = member.dir.join("data");
        // Left-over data cost space and do no other harm.
        let _ = std::fs::remove_dir_all(data);
    }
}

/// Removes what members wrote down of settings that are secrets, below the folder that holds theirs.
pub(crate) fn remove_secrets(ensemble_dir: &Path, settings: &BTreeMap<String, String>) {
    if !settings.keys().any(|key| secrets::is_secret(key)) {
        return;
    }
    for member in std::fs::read_dir(ensemble_dir).into_iter().flatten().flatten() {
        // A member without one has nothing to remove.
        let _ = std::fs::remove_file(member.path().join("zoo.cfg"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ensembles_are_named_by_kind_and_number() {
        for (text, kind, members, observers) in [
            ("embedded:1", EnsembleKind::Embedded, 1, 0),
            ("embedded", EnsembleKind::Embedded, 1, 0),
            ("zookeeper:3", EnsembleKind::ZooKeeper, 3, 0),
            ("zookeeper:3+1", EnsembleKind::ZooKeeper, 3, 1),
            ("zookeeper:1+8", EnsembleKind::ZooKeeper, 1, 8),
            ("null:1", EnsembleKind::Null, 1, 0),
            ("etcd:3", EnsembleKind::Etcd, 3, 0),
            ("consul:9", EnsembleKind::Consul, 9, 0),
            ("consul", EnsembleKind::Consul, 1, 0),
        ] {
            let spec: EnsembleSpec = text.parse().unwrap();
            assert_eq!(spec, EnsembleSpec { kind, members, observers });
            assert_eq!(spec.to_string().parse(), Ok(spec));
        }
        for (text, why) in [
            ("etc:3", "no kind"),
            ("zookeeper:0", "1 to 9"),
            ("zookeeper:x", "1 to 9"),
            ("zookeeper:0+3", "1 to 9"),
            ("zookeeper:3+0", "as in 3+1"),
            ("zookeeper:3+", "as in 3+1"),
            ("zookeeper:3+x", "as in 3+1"),
            ("zookeeper:9+1", "observers included"),
            ("zookeeper:4294967295+1", "1 to 9"),
            ("embedded:3", "zookeeper:N"),
            ("embedded:1+1", "zookeeper:N"),
            ("null:x", "null has 1 to 1"),
            ("etcd:10", "etcd has 1 to 9"),
            ("consul:0", "consul has 1 to 9"),
            ("etcd:3+1", "no observers"),
            ("", "no kind"),
        ] {
            let error = text.parse::<EnsembleSpec>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
