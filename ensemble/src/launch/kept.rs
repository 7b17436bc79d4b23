//! Ports that members must have again. Members of etcd and Consul write each other's addresses into their data, so an
//! ensemble that is started from data has to listen where it did before.

use std::io;
use std::path::{Path, PathBuf};

use super::ports::free_port;
use super::startup::write_file;
use super::{Kind, LaunchError};

/// The file in an ensemble's folder with a line per member, its ports.
const FILE: &str = "ports";

/// The ports of an ensemble's members, `N` each.
#[derive(Debug)]
pub(super) struct Ports<const N: usize> {
    file: PathBuf,
    /// Of an earlier start, whose data are there.
    kept: Option<Vec<[u16; N]>>,
}

impl<const N: usize> Ports<N> {
    /// Looks whether data of these members, whose folders are given, are there from an earlier start.
    ///
    /// # Errors
    /// [`LaunchError::OtherMembers`] when they are of another number of members, [`LaunchError::NotServed`] when they are
    /// of an ensemble that never served, or of none that was started by this.
    pub(super) fn look(dir: &Path, kind: Kind, members: &[PathBuf]) -> Result<Ports<N>, LaunchError> {
        let file = dir.join(format!("{kind}-{FILE}"));
        let kept = match std::fs::read_to_string(&file) {
            Ok(text) => Some(parse(&text).ok_or_else(|| LaunchError::File {
                action: "read",
                path: file.clone(),
                source: io::Error::new(io::ErrorKind::InvalidData, "it holds no ports"),
            })?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(LaunchError::File { action: "read", path: file, source }),
        };
        match &kept {
            Some(kept) if kept.len() != members.len() => Err(LaunchError::OtherMembers {
                dir: dir.to_owned(),
                before: kept.len(),
                members: members.len(),
            }),
            None if members.iter().any(|member| data(member).exists()) => {
                Err(LaunchError::NotServed { dir: dir.to_owned() })
            }
            _ => Ok(Ports { file, kept }),
        }
    }

    /// Ports for a start: those of before, or new ones, for which what an attempt of this start has left is removed.
    pub(super) fn choose(&self, members: &[PathBuf]) -> Result<Vec<[u16; N]>, LaunchError> {
        if let Some(kept) = &self.kept {
            return Ok(kept.clone());
        }
        self.discard(members)?;
        let one = |_: &PathBuf| {
            let mut ports = [0; N];
            for port in &mut ports {
                *port = free_port()?;
            }
            Ok(ports)
        };
        members.iter().map(one).collect::<io::Result<_>>().map_err(LaunchError::NoPort)
    }

    /// Keeps the ports for later starts, now that the members serve.
    pub(super) fn keep(&self, ports: &[[u16; N]]) -> Result<(), LaunchError> {
        let line = |ports: &[u16; N]| ports.map(|port| port.to_string()).join(" ") + "\n";
        write_file(&self.file, &ports.iter().map(line).collect::<String>())
    }

    /// Removes the data that an attempt of this start has left: they are of an ensemble that never served.
    pub(super) fn discard(&self, members: &[PathBuf]) -> Result<(), LaunchError> {
        if self.kept.is_some() {
            return Ok(());
        }
        members.iter().map(|member| data(member)).try_for_each(|path| match std::fs::remove_dir_all(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(LaunchError::File { action: "remove", path, source })
            }
            _ => Ok(()),
        })
    }
}

/// A member's data in its folder.
pub(super) fn data(member: &Path) -> PathBuf {
    member.join("data")
}

fn parse<const N: usize>(text: &str) -> Option<Vec<[u16; N]>> {
    let line = |line: &str| {
        let ports: Vec<u16> = line.split(' ').map(|port| port.parse().ok()).collect::<Option<_>>()?;
        ports.try_into().ok()
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(dir: &Path, number: usize) -> Vec<PathBuf> {
        (1..=number).map(|id| dir.join(format!("etcd-{id}"))).collect()
    }

    fn look(dir: &Path, number: usize) -> Result<Ports<2>, LaunchError> {
        Ports::look(dir, Kind::Etcd, &members(dir, number))
    }

    fn leave_data(member: &Path) {
        std::fs::create_dir_all(data(member)).unwrap();
    }

    #[test]
    fn members_get_the_ports_again_with_which_they_served() {
        let dir = tempfile::tempdir().unwrap();
        let members = members(dir.path(), 3);
        let ports = look(dir.path(), 3).unwrap();
        let chosen = ports.choose(&members).unwrap();
        assert_eq!(chosen.len(), 3);
        leave_data(&members[0]);
        ports.keep(&chosen).unwrap();
        let again = look(dir.path(), 3).unwrap();
        assert_eq!(again.choose(&members).unwrap(), chosen);
        again.discard(&members).unwrap();
        assert!(data(&members[0]).exists(), "data of an ensemble that served are never removed");
        let error = look(dir.path(), 5).unwrap_err();
        assert!(matches!(error, LaunchError::OtherMembers { before: 3, members: 5, .. }), "{error}");
    }

    #[test]
    fn an_attempt_that_failed_leaves_nothing_to_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let members = members(dir.path(), 1);
        let ports = look(dir.path(), 1).unwrap();
        let first = ports.choose(&members).unwrap();
        leave_data(&members[0]);
        let second = ports.choose(&members).unwrap();
        assert!(first != second && !data(&members[0]).exists());
    }

    #[test]
    fn data_of_unknown_origin_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        leave_data(&members(dir.path(), 1)[0]);
        assert!(matches!(look(dir.path(), 1).unwrap_err(), LaunchError::NotServed { .. }));
        for broken in ["1\n", "1 2 3\n", "1 x\n", "1 70000\n"] {
            std::fs::write(dir.path().join("etcd-ports"), broken).unwrap();
            assert!(matches!(look(dir.path(), 1).unwrap_err(), LaunchError::File { .. }), "{broken}");
        }
    }
}
