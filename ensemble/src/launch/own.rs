//! Members that are this tool itself: the embedded and the null server, each a process of its own, so that the load
//! generator's CPU is the load generator's.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::child::{ChildSpec, Children, Wrapper};
use super::{DataDirLock, Fsync, Kind, LaunchError, Launched, Member};

/// How long such a member may take to listen.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// The settings of an embedded member, with their defaults.
const EMBEDDED_SETTINGS: [(&str, u64, std::ops::RangeInclusive<u64>); 1] = [("tickTime", 2000, 10..=60_000)];
/// The settings of a null server, with their defaults.
const NULL_SETTINGS: [(&str, u64, std::ops::RangeInclusive<u64>); 1] = [("valueBytes", 256, 0..=1_000_000)];

/// Starts an embedded or null server, whose logs go below `data_dir`, and returns when it listens.
///
/// # Errors
/// [`LaunchError::Members`] for more than one member, [`LaunchError::Setting`] for an unknown setting or a value out
/// of its range, and whatever keeps the process from starting.
pub fn start(
    kind: Kind,
    members: u32,
    data_dir: &Path,
    given: &BTreeMap<String, String>,
    quorumeter: &Path,
) -> Result<Launched, LaunchError> {
    if members != 1 {
        return Err(LaunchError::Members { members, max: 1 });
    }
    let known: &[_] = if kind == Kind::Null { &NULL_SETTINGS } else { &EMBEDDED_SETTINGS };
    let settings = settings(known, given)?;
    let (data_dir, lock) = DataDirLock::take(data_dir)?;
    let dir = data_dir.join(format!("{kind}-1"));
    std::fs::create_dir_all(&dir).map_err(|source| LaunchError::File {
        action: "make",
        path: dir.clone(),
        source,
    })?;
    let children = Children::new(Wrapper::Quorumeter(quorumeter.to_owned()))?;
    let announcement = dir.join("address");
    let mut args: Vec<OsString> = vec!["member".into(), kind.to_string().into(), "--announce".into()];
    args.push(announcement.clone().into());
    for (key, value) in &settings {
        args.extend(["--setting".into(), format!("{key}={value}").into()]);
    }
    let log: PathBuf = dir.join("log");
    let pid = children.start(ChildSpec {
        name: format!("{kind} member 1"),
        program: quorumeter.to_owned(),
        args,
        dir: dir.clone(),
        log: log.clone(),
        announcement: Some(announcement),
    })?;
    let announced = children.wait_for_announcement(pid, READY_TIMEOUT)?;
    let (address, admin) = addresses(&announced)
        .ok_or_else(|| children.not_ready(pid, format!("it announced {announced:?}, which is no address")))?;
    let member = Member { id: 1, address, pid, dir, log, admin };
    Ok(Launched::new(kind, vec![member], settings, Fsync::Memory, children, lock))
}

/// What a member announces: its address, and on a second line that of its AdminServer if it has one.
fn addresses(announced: &str) -> Option<(SocketAddr, Option<SocketAddr>)> {
    let mut lines = announced.lines().map(str::parse);
    let address = lines.next()?.ok()?;
    Some((address, lines.next().transpose().ok()?))
}

/// The settings in force: what was given, and defaults.
fn settings(
    known: &[(&str, u64, std::ops::RangeInclusive<u64>)],
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, LaunchError> {
    let mut settings: BTreeMap<String, String> =
        known.iter().map(|(key, default, _)| ((*key).to_owned(), default.to_string())).collect();
    for (key, value) in given {
        let fail = |reason: String| LaunchError::Setting { key: key.clone(), value: value.clone(), reason };
        let Some((_, _, range)) = known.iter().find(|(k, _, _)| k == key) else {
            let names: Vec<&str> = known.iter().map(|(k, _, _)| *k).collect();
            return Err(fail(format!("this server knows {}", names.join(", "))));
        };
        match value.parse() {
            Ok(number) if range.contains(&number) => settings.insert(key.clone(), number.to_string()),
            _ => return Err(fail(format!("it is a number from {} to {}", range.start(), range.end()))),
        };
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_are_one_address_or_two() {
        let (client, admin) = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
        assert_eq!(addresses("127.0.0.1:1"), Some((client, None)));
        assert_eq!(addresses("127.0.0.1:1\n127.0.0.1:2\n"), Some((client, Some(admin))));
        for broken in ["", "x", "127.0.0.1:1\nx"] {
            assert_eq!(addresses(broken), None, "{broken}");
        }
    }

    #[test]
    fn settings_are_checked() {
        let given = |pairs: &[(&str, &str)]| {
            settings(&EMBEDDED_SETTINGS, &pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect())
        };
        assert_eq!(given(&[]).unwrap()["tickTime"], "2000");
        assert_eq!(given(&[("tickTime", "500")]).unwrap()["tickTime"], "500");
        for (key, value, reason) in
            [("tickTim", "500", "knows tickTime"), ("tickTime", "0", "from 10"), ("tickTime", "x", "number")]
        {
            let error = given(&[(key, value)]).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
