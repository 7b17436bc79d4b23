//! Servers that are Go programs: built from a `go.mod` of their own, whose `tool` lines name the programs and whose
//! `go.sum` has a checksum for every module.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::run;

/// A program that a build makes.
#[derive(Debug)]
pub(super) struct Program {
    /// What `go build` calls it: the last part of its package's path.
    pub(super) built: &'static str,
    /// What it is called once it is installed.
    pub(super) name: &'static str,
    /// The argument that makes it tell its version.
    pub(super) version: &'static str,
    /// What it tells then.
    pub(super) tells: &'static str,
}

/// Builds the programs into `bin`. Go works with the settings of its user (`GOFLAGS`, `GOPROXY`, `GOTOOLCHAIN`, …).
pub(super) fn build(programs: &[Program], source: &Path, target: &Path) -> Result<(), String> {
    check_go(source)?;
    let bin = target.join("bin");
    fs::create_dir(&bin).map_err(|error| format!("cannot make {}: {error}", bin.display()))?;
    // Without the slash, one program alone would be a file of that name.
    let into = bin.join("");
    run(go(source).args(["build", "-trimpath", "-mod=readonly", "-o"]).arg(into).args(packages(source)?))?;
    for program in programs.iter().filter(|program| program.built != program.name) {
        let (from, to) = (bin.join(program.built), bin.join(program.name));
        fs::rename(&from, &to).map_err(|error| format!("cannot rename {}: {error}", from.display()))?;
    }
    check(programs, target)
}

/// Whether every program is there, runs, and is of its version.
pub(super) fn check(programs: &[Program], target: &Path) -> Result<(), String> {
    programs.iter().try_for_each(|program| {
        let path = target.join("bin").join(program.name);
        let output = Command::new(&path).arg(program.version).stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("{} cannot be run: {error}", path.display()))?;
        let told = String::from_utf8_lossy(&output.stdout);
        if output.status.success() && told.contains(program.tells) {
            Ok(())
        } else {
            let asked = format!("{} {}", path.display(), program.version);
            Err(format!("{asked} does not tell {} ({})", program.tells, output.status))
        }
    })
}

/// `go` in the folder of a `go.mod`, which belongs to no workspace.
fn go(source: &Path) -> Command {
    let mut command = Command::new("go");
    command.current_dir(source).env("GOWORK", "off").stdin(Stdio::null());
    command
}

/// The packages of the `tool` lines.
fn packages(source: &Path) -> Result<Vec<String>, String> {
    let output = go(source).args(["list", "-mod=readonly", "tool"]).output();
    let output = output.map_err(|error| format!("go cannot be run: {error}"))?;
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        return Err(format!("go list tool failed ({})", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// Whether the Go that works in this folder is new enough for its `go.mod`.
fn check_go(source: &Path) -> Result<(), String> {
    let path: PathBuf = source.join("go.mod");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    // One that can, and may, is a newer one by then: it fetches that and hands over to it.
    let output = go(source).arg("version").output().map_err(|error| format!("go cannot be run: {error}"))?;
    let told = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
    }
    let have = told.split_whitespace().nth(2).and_then(|word| version(word.strip_prefix("go")?));
    let wanted = text.lines().find_map(|line| version(line.strip_prefix("go ")?));
    match (have, wanted) {
        (Some(have), Some(wanted)) if have < wanted => Err(too_old(have, wanted)),
        (Some(_), Some(_)) => Ok(()),
        (None, _) => Err(format!("`go version` tells no version: {:?}", told.trim())),
        (_, None) => Err(format!("{} has no line `go VERSION`", path.display())),
    }
}

fn too_old((major, minor): (u32, u32), (wanted_major, wanted_minor): (u32, u32)) -> String {
    let how = if (major, minor) < FETCHES_NEWER {
        "it cannot fetch a newer one itself, as Go 1.21 and later can; install one of the backports of your \
         distribution, or of the archives that the Go project publishes, and put its `bin` folder first in PATH"
    } else {
        "set GOTOOLCHAIN=auto to let it fetch a newer one itself, or install a newer one"
    };
    format!("`go` is Go {major}.{minor}, and {wanted_major}.{wanted_minor} is needed: {how}")
}

/// The first Go that fetches a newer one, which is a module to it, where a `go.mod` asks for that.
const FETCHES_NEWER: (u32, u32) = (1, 21);

/// Major and minor version of `1.26.0`, `1.26` or `1.26rc1`.
fn version(text: &str) -> Option<(u32, u32)> {
    let (major, rest) = text.split_once('.')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_go_are_compared_by_number() {
        for (text, expected) in [
            ("1.26.8", Some((1, 26))),
            ("1.26", Some((1, 26))),
            ("1.9.1", Some((1, 9))),
            ("1.27rc1", Some((1, 27))),
            ("devel", None),
            ("1.x", None),
        ] {
            assert_eq!(version(text), expected, "{text}");
        }
        assert!(version("1.9") < version("1.26.0"));
    }

    #[test]
    fn a_go_that_is_too_old_is_told_where_a_newer_one_comes_from() {
        for (have, what) in [((1, 19), "backports"), ((1, 20), "backports"), ((1, 21), "GOTOOLCHAIN=auto")] {
            let message = too_old(have, (1, 26));
            assert!(message.contains(what) && message.contains("1.26 is needed"), "{message}");
        }
    }

    #[test]
    fn a_program_that_is_missing_or_fails_or_is_another_version_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        // A program that says what it is told, and two that say nothing.
        for (is_run, says, is_whole) in [
            ("/bin/echo", "etcd Version: 3.7.3", true),
            ("/bin/echo", "etcd Version: 3.7.2", false),
            ("/bin/true", "3.7.3", false),
            ("/bin/false", "3.7.3", false),
            ("/bin/is-not-there", "3.7.3", false),
        ] {
            let program = Program { built: "server", name: "etcd", version: says, tells: "3.7.3" };
            std::os::unix::fs::symlink(is_run, bin.join("etcd")).unwrap();
            assert_eq!(check(&[program], folder.path()).is_ok(), is_whole, "{is_run} {says}");
            fs::remove_file(bin.join("etcd")).unwrap();
        }
    }
}
