//! The calibration of this machine, as it is kept from one command to the next.
//!
//! It lies in the user's state folder, `$XDG_STATE_HOME/quorumeter/calibration.json` or
//! `~/.local/state/quorumeter/calibration.json`. It counts for the machine and the version of the tool that it was made
//! on, and for no other.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use quorumeter_record::{Calibration, CalibrationNote, Environment, MachineIdentity, Tool};
use sha1::{Digest as _, Sha1};

use crate::environment;

/// Where it lies below the state folder.
const FILE: &str = "quorumeter/calibration.json";
/// Bytes of the largest file that is read; a calibration has some tens of thousands.
const FILE_MAX: u64 = 4 << 20;

/// Where this user's calibration lies; `None` where the environment has neither a state folder nor a home.
pub fn default_path() -> Option<PathBuf> {
    let folder = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")))?;
    Some(state.join(FILE))
}

/// Keeps a calibration: a reader sees the old one or the new one, whole.
///
/// # Errors
/// The operating system's, when the folder cannot be made or the file not be written.
pub fn store(path: &Path, calibration: &Calibration) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut text = serde_json::to_string_pretty(calibration)?;
    text.push('\n');
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}.new", std::process::id()));
    fs::write(&new, text)?;
    fs::rename(&new, path).inspect_err(|_| drop(fs::remove_file(&new)))
}

/// Adds what is known of this machine's generator to what a record says of the machine.
pub fn annotate(environment: &mut Environment) {
    let Some(path) = default_path() else { return };
    match find(&path, &environment::tool(), &machine(environment)) {
        Found::Nothing => {}
        Found::Ours(calibration) => environment.calibration = Some(CalibrationNote::from(&*calibration)),
        Found::Unused(why) => environment.calibration_unused = Some(why),
    }
}

/// What identifies the machine of this environment.
pub fn machine(environment: &Environment) -> MachineIdentity {
    let host = rustix::system::uname().nodename().to_bytes().to_vec();
    let hash = Sha1::digest(&host);
    MachineIdentity {
        host: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        kernel: environment.kernel.clone(),
        cpu_model: environment.cpu_model.clone(),
        cores: environment.cores,
        cgroup_cpus: environment.cgroup_cpus,
    }
}

/// What lies where a calibration should.
#[derive(Debug, PartialEq)]
enum Found {
    Nothing,
    Ours(Box<Calibration>),
    /// One that does not count, and why.
    Unused(String),
}

fn find(path: &Path, tool: &Tool, machine: &MachineIdentity) -> Found {
    let calibration = match read(path) {
        Ok(Some(calibration)) => calibration,
        Ok(None) => return Found::Nothing,
        Err(why) => return Found::Unused(format!("{} cannot be read: {why}", path.display())),
    };
    match foreign(&calibration, tool, machine) {
        Some(why) => Found::Unused(format!("that of {} is of {why}", calibration.calibrated.rfc3339)),
        None => Found::Ours(Box::new(calibration)),
    }
}

/// Reads a calibration of this format; `None` where there is no file. The error is in words.
fn read(path: &Path) -> Result<Option<Calibration>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut text = String::new();
    file.take(FILE_MAX).read_to_string(&mut text).map_err(|error| error.to_string())?;
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    match value.get("schema").and_then(|schema| schema.as_str()) {
        Some(Calibration::SCHEMA) => {}
        Some(schema) => {
            return Err(format!("its format is {schema:?}, and this version reads {}", Calibration::SCHEMA));
        }
        None => return Err(format!("it names no format, and this version reads {}", Calibration::SCHEMA)),
    }
    serde_json::from_value(value).map(Some).map_err(|error| error.to_string())
}

/// In what a calibration differs from this tool and this machine, in words; `None` when it counts here.
fn foreign(calibration: &Calibration, tool: &Tool, machine: &MachineIdentity) -> Option<String> {
    let (theirs, here) = (&calibration.machine, machine);
    let told = |name: &Option<String>| name.clone().unwrap_or_else(|| "unknown".to_owned());
    let limit = |cpus: Option<f64>| cpus.map_or_else(|| "none".to_owned(), |cpus| cpus.to_string());
    let differs = |what: &str, their: &str, our: &str| {
        (their != our).then(|| format!("another {what} ({their}; here: {our})"))
    };
    differs("version of quorumeter", &calibration.tool.version, &tool.version)
        .or_else(|| differs("build", &calibration.tool.build, &tool.build))
        .or_else(|| (theirs.host != here.host).then(|| "another host".to_owned()))
        .or_else(|| differs("CPU model", &told(&theirs.cpu_model), &told(&here.cpu_model)))
        .or_else(|| differs("number of cores", &theirs.cores.to_string(), &here.cores.to_string()))
        .or_else(|| {
            differs("CPU limit of the control group", &limit(theirs.cgroup_cpus), &limit(here.cgroup_cpus))
        })
        .or_else(|| differs("kernel", &theirs.kernel, &here.kernel))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorumeter_record::WallStart;

    fn tool() -> Tool {
        Tool { version: "1.0.0".into(), commit: None, build: "release".into() }
    }

    fn here() -> MachineIdentity {
        MachineIdentity {
            host: "aa".into(),
            kernel: "Linux 6.1".into(),
            cpu_model: Some("A".into()),
            cores: 4,
            cgroup_cpus: None,
        }
    }

    fn calibration() -> Calibration {
        Calibration {
            schema: Calibration::SCHEMA.into(),
            tool: tool(),
            calibrated: WallStart { rfc3339: "2026-11-25T10:00:00.000Z".into(), unix_ns: 1 },
            machine: here(),
            load_average: None,
            step_ns: 1_000_000_000,
            workers: 1,
            depths: Vec::new(),
            timers: Vec::new(),
            search: Vec::new(),
            highest_rate: Some(120_000.0),
            highest_rate_is_lower_bound: false,
            findings: Vec::new(),
            complete: true,
        }
    }

    #[test]
    fn what_is_stored_is_found_again_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/quorumeter/calibration.json");
        assert_eq!(find(&path, &tool(), &here()), Found::Nothing);
        store(&path, &calibration()).unwrap();
        let newer = Calibration { highest_rate: None, ..calibration() };
        store(&path, &newer).unwrap();
        assert_eq!(find(&path, &tool(), &here()), Found::Ours(Box::new(newer)));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn another_machine_or_version_is_told_by_what_differs() {
        type Change = fn(&mut Tool, &mut MachineIdentity);
        let cases: [(Change, &str); 7] = [
            (|t, _| t.version = "1.0.1".into(), "another version of quorumeter (1.0.0; here: 1.0.1)"),
            (|t, _| t.build = "debug".into(), "another build (release; here: debug)"),
            (|_, m| m.host = "bb".into(), "another host"),
            (|_, m| m.cpu_model = None, "another CPU model (A; here: unknown)"),
            (|_, m| m.cores = 2, "another number of cores (4; here: 2)"),
            (|_, m| m.cgroup_cpus = Some(1.5), "another CPU limit of the control group (none; here: 1.5)"),
            (|_, m| m.kernel = "Linux 6.2".into(), "another kernel (Linux 6.1; here: Linux 6.2)"),
        ];
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("calibration.json");
        store(&path, &calibration()).unwrap();
        for (change, what) in cases {
            let (mut tool, mut machine) = (tool(), here());
            change(&mut tool, &mut machine);
            let expected = format!("that of 2026-11-25T10:00:00.000Z is of {what}");
            assert_eq!(find(&path, &tool, &machine), Found::Unused(expected));
        }
    }

    #[test]
    fn a_broken_file_is_told_and_fails_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("calibration.json");
        let whole = serde_json::to_string(&calibration()).unwrap();
        for (bytes, what) in [
            (&b""[..], "EOF"),
            (b"\xff\xfe", "UTF-8"),
            (b"{}", "it names no format"),
            (b"{\"schema\": \"quorumeter.calibration/9\"}", "its format is \"quorumeter.calibration/9\""),
            (b"{\"schema\": \"quorumeter.calibration/1\"}", "missing field"),
            (&whole.as_bytes()[..whole.len() / 2], "EOF"),
        ] {
            fs::write(&path, bytes).unwrap();
            match find(&path, &tool(), &here()) {
                Found::Unused(why) => assert!(why.contains("cannot be read") && why.contains(what), "{why}"),
                found => panic!("{what}: {found:?}"),
            }
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(find(&path, &tool(), &here()), Found::Unused(_)));
        assert!(store(&path, &calibration()).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "a failed write leaves nothing behind");
    }

    #[test]
    fn this_machine_is_the_same_when_it_is_looked_at_again() {
        let look = || machine(&environment::environment());
        assert_eq!(look(), look());
        assert_eq!(look().host.len(), 40);
    }
}
