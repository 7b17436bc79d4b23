//! Servers that are Go programs: built from a `go.mod` of their own, whose `tool` lines name the programs and whose
//! `go.sum` has a checksum for every module.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
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
    let program = new_enough_go(source)?;
    let bin = target.join("bin");
    fs::create_dir(&bin).map_err(|error| format!("cannot make {}: {error}", bin.display()))?;
    // Without the slash, one program alone would be a file of that name.
    let into = bin.join("");
    run(go(&program, source)
        .args(["build", "-trimpath", "-mod=readonly", "-o"])
        .arg(into)
        .args(packages(&program, source)?))?;
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

/// A `go` in the folder of a `go.mod`, which belongs to no workspace.
fn go(program: &Path, source: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(source).env("GOWORK", "off").stdin(Stdio::null());
    command
}

/// The packages of the `tool` lines.
fn packages(program: &Path, source: &Path) -> Result<Vec<String>, String> {
    let output = go(program, source).args(["list", "-mod=readonly", "tool"]).output();
    let output = output.map_err(|error| format!("go cannot be run: {error}"))?;
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        return Err(format!("go list tool failed ({})", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// A Go that is new enough for the `go.mod` in this folder. One that is too old to fetch a newer one itself, as Debian 12's,
/// is made to.
fn new_enough_go(source: &Path) -> Result<PathBuf, String> {
    let path: PathBuf = source.join("go.mod");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("go "));
    let wanted = line.and_then(|line| Some((line, version(line)?)));
    let (wanted_text, wanted) =
        wanted.ok_or_else(|| format!("{} has no line `go VERSION`", path.display()))?;
    // One that can, and may, is a newer one by then: it fetches that and hands over to it.
    let go_of_path = PathBuf::from("go");
    let have = version_of(&go_of_path, source)?;
    if have >= wanted {
        return Ok(go_of_path);
    }
    if have >= FETCHES_NEWER {
        let ((major, minor), (wanted_major, wanted_minor)) = (have, wanted);
        return Err(format!(
            "`go` is Go {major}.{minor}, and {wanted_major}.{wanted_minor} is needed: set GOTOOLCHAIN=auto to let it fetch \
             a newer one itself, or install a newer one"
        ));
    }
    let fetched = fetch(&toolchain(wanted_text))?;
    match version_of(&fetched, source)? {
        have if have >= wanted => Ok(fetched),
        _ => Err(format!("{} is not the Go that it should be", fetched.display())),
    }
}

/// What a Go says that it is, in this folder.
fn version_of(program: &Path, source: &Path) -> Result<(u32, u32), String> {
    let name = program.display();
    let output = go(program, source).arg("version").output();
    let output = output.map_err(|error| format!("{name} cannot be run: {error}"))?;
    let told = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
    }
    let told_version = told.split_whitespace().nth(2).and_then(|word| version(word.strip_prefix("go")?));
    told_version.ok_or_else(|| format!("`{name} version` tells no version: {:?}", told.trim()))
}

/// The module that a Go of this version is, for this machine.
fn toolchain(version: &str) -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let patch = if version.matches('.').count() == 1 { ".0" } else { "" };
    format!("golang.org/toolchain@v0.0.1-go{version}{patch}.{}-{arch}", std::env::consts::OS)
}

/// Fetches a Go as the module that it is, which an old one can, too: checked by its checksum as every module is. What an
/// old one does not know is that parts of it are programs.
fn fetch(module: &str) -> Result<PathBuf, String> {
    println!("this Go is too old: fetching {module}");
    let output = Command::new("go").args(["mod", "download", "-json", module]).output();
    let output = output.map_err(|error| format!("go cannot be run: {error}"))?;
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let Some(dir) = told["Dir"].as_str().map(Path::new) else {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        let why = told["Error"].as_str().unwrap_or("go mod download failed");
        return Err(format!(
            "cannot fetch {module}: {why}; install a newer Go from the backports of your distribution, or from the archives \
             that the Go project publishes, and put its `bin` folder first in PATH"
        ));
    };
    let fail = |error| format!("cannot make the programs in {} such: {error}", dir.display());
    for folder in [dir.join("bin"), dir.join("pkg/tool")] {
        make_programs(&folder).map_err(fail)?;
    }
    Ok(dir.join("bin/go"))
}

/// Lets every file below a folder be run.
fn make_programs(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            make_programs(&path)?;
        } else {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
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
    fn a_go_is_a_module_with_its_whole_version() {
        assert!(
            toolchain("1.26").starts_with("golang.org/toolchain@v0.0.1-go1.26.0.linux-"),
            "{}",
            toolchain("1.26")
        );
        assert!(toolchain("1.26.3").contains("-go1.26.3.linux-"));
    }

    #[test]
    fn every_file_of_a_toolchain_can_be_run() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("linux_amd64");
        fs::create_dir(&inner).unwrap();
        for file in [folder.path().join("go"), inner.join("vet")] {
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
        }
        make_programs(folder.path()).unwrap();
        for file in [folder.path().join("go"), inner.join("vet")] {
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o755);
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
