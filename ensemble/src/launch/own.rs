//! Members that are this tool itself: the embedded and the null server, each a process of its own, so that the load
//! generator's CPU is the load generator's.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::child::{ChildSpec, Children, Wrapper};
use super::ports::free_port;
use super::{ATTEMPTS, DataDirLock, Fsync, Kind, LaunchError, Launched, Member};
use crate::embedded;

/// Name of the file that a member writes its addresses to.
const ANNOUNCEMENT: &str = "address";

/// The setting of an embedded member for the port of its AdminServer; 0 is any.
const ADMIN_PORT: &str = "admin.serverPort";

/// How long such a member may take to listen.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// The setting of a null server, and its default.
const VALUE_BYTES: (&str, u64) = ("valueBytes", 256);
const VALUE_BYTES_MAX: u64 = 1_000_000;

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
    let settings = if kind == Kind::Null { null_settings(given) } else { embedded_settings(given) }?;
    let (data_dir, lock) = DataDirLock::take(data_dir)?;
    let dir = data_dir.join(format!("{kind}-1"));
    std::fs::create_dir_all(&dir).map_err(|source| LaunchError::File {
        action: "make",
        path: dir.clone(),
        source,
    })?;
    let children = Children::new(Wrapper::Quorumeter(quorumeter.to_owned()))?;
    let log: PathBuf = dir.join("log");
    let mut attempt = 1;
    let (child, announced) = loop {
        let child = children.start(ChildSpec {
            name: format!("{kind} member 1"),
            program: quorumeter.to_owned(),
            args: args(kind, &settings, &dir.join(ANNOUNCEMENT)).map_err(LaunchError::NoPort)?,
            dir: dir.clone(),
            log: log.clone(),
            announcement: Some(dir.join(ANNOUNCEMENT)),
        })?;
        match children.wait_for_announcement(child, READY_TIMEOUT) {
            Ok(announced) => break (child, announced),
            Err(_) if attempt < ATTEMPTS && children.found_a_port_taken(child) => {
                children.terminate(&[child], Duration::ZERO);
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    };
    let (address, admin) = addresses(&announced).ok_or_else(|| {
        children.not_ready(child, format!("it announced {announced:?}, which is no address"))
    })?;
    let pid = children.pid(child);
    let member = Member { id: 1, address, pid, child, dir, log, admin, secure: None };
    Ok(Launched::new(kind, vec![member], settings, Fsync::Memory, children, lock))
}

/// Arguments with ports of the member's own, which it finds again when it is started again.
fn args(kind: Kind, settings: &BTreeMap<String, String>, announcement: &Path) -> io::Result<Vec<OsString>> {
    let mut args: Vec<OsString> = vec!["member".into(), kind.to_string().into(), "--announce".into()];
    args.push(announcement.into());
    args.extend(["--address".into(), format!("127.0.0.1:{}", free_port()?).into()]);
    for (key, value) in settings {
        let value = match key == ADMIN_PORT && value == "0" {
            true => free_port()?.to_string(),
            false => value.clone(),
        };
        args.extend(["--setting".into(), format!("{key}={value}").into()]);
    }
    Ok(args)
}

/// What a member announces: its address, and on a second line that of its AdminServer if it has one.
fn addresses(announced: &str) -> Option<(SocketAddr, Option<SocketAddr>)> {
    let mut lines = announced.lines().map(str::parse);
    let address = lines.next()?.ok()?;
    Some((address, lines.next().transpose().ok()?))
}

/// The settings of an embedded member that are in force: what was given, and defaults.
fn embedded_settings(given: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, LaunchError> {
    let mut options = embedded::Options::default();
    for (key, value) in given {
        options.set(key, value).map_err(|error| refused(key, value, error.to_string()))?;
    }
    Ok(options.settings())
}

/// The same of a null server.
fn null_settings(given: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, LaunchError> {
    let (name, mut value_bytes) = VALUE_BYTES;
    for (key, value) in given {
        if key != name {
            return Err(refused(key, value, format!("this server knows {name}")));
        }
        let number = value.parse().ok().filter(|number| *number <= VALUE_BYTES_MAX);
        let range = || refused(key, value, format!("it is a number from 0 to {VALUE_BYTES_MAX}"));
        value_bytes = number.ok_or_else(range)?;
    }
    Ok(BTreeMap::from([(name.to_owned(), value_bytes.to_string())]))
}

fn refused(key: &str, value: &str, reason: String) -> LaunchError {
    LaunchError::Setting { key: key.to_owned(), value: value.to_owned(), reason }
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
        type Settings = fn(&BTreeMap<String, String>) -> Result<BTreeMap<String, String>, LaunchError>;
        let with = |settings: Settings, key: &str, value: &str| {
            settings(&BTreeMap::from([(key.to_owned(), value.to_owned())]))
        };
        assert_eq!(embedded_settings(&BTreeMap::new()).unwrap()["tickTime"], "2000");
        assert_eq!(with(embedded_settings, "tickTime", "500").unwrap()["maxSessionTimeout"], "10000");
        assert_eq!(null_settings(&BTreeMap::new()).unwrap()["valueBytes"], "256");
        assert_eq!(with(null_settings, "valueBytes", "0").unwrap()["valueBytes"], "0");
        for (settings, key, value, reason) in [
            (embedded_settings as Settings, "tickTim", "500", "maxSessionTimeout, minSessionTimeout"),
            (embedded_settings, "tickTime", "0", "from 10"),
            (null_settings, "tickTime", "500", "knows valueBytes"),
            (null_settings, "valueBytes", "1000001", "from 0 to 1000000"),
            (null_settings, "valueBytes", "x", "number"),
        ] {
            let error = with(settings, key, value).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
