//! Real servers, and tools that tests need, in versions pinned by the build files in `servers/`.
//!
//! Each is installed into a folder of its own in the cache, outside the checkout, so that every checkout on the
//! machine uses the same one. It is built beside that folder, verified, stamped with its build files, and renamed:
//! what is there is whole, and what has the right stamp and the right checksums is not built again.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use quorumeter_ensemble::launch::{self, consul, etcd, zookeeper::Release};

use crate::root;

mod golang;

/// Something that can be installed.
#[derive(Debug)]
struct Server {
    /// Its name here, and of its folder in `servers/`.
    name: &'static str,
    /// What it is: with the version, the name of its folder in the cache.
    product: &'static str,
    version: &'static str,
    /// Programs that its installation needs, each with the Debian package that has it.
    needs: &'static [(&'static str, &'static str)],
    /// Builds it: from the folder with its build files, into an empty folder.
    build: fn(&Path, &Path) -> Result<(), String>,
    /// Whether what was built is still whole: the same arguments.
    check: fn(&Path, &Path) -> Result<(), String>,
}

static SERVERS: [Server; 7] = [
    Server {
        name: Release::ALL[0].name,
        product: "zookeeper",
        version: Release::ALL[0].version,
        needs: &MAVEN,
        build: fetch_jars,
        check: check_jars,
    },
    Server {
        name: "hdrhistogram",
        product: "hdrhistogram",
        version: "2.2.2",
        needs: &MAVEN,
        build: fetch_jars,
        check: check_jars,
    },
    Server {
        name: "kazoo",
        product: "kazoo",
        version: "2.10.0",
        needs: &PYTHON,
        build: fetch_packages,
        check: check_packages,
    },
    Server {
        name: Release::ALL[1].name,
        product: "zookeeper",
        version: Release::ALL[1].version,
        needs: &DEBIAN,
        build: unpack_jars,
        check: check_unpacked,
    },
    Server {
        name: "etcd",
        product: "etcd",
        version: etcd::VERSION,
        needs: &GO,
        build: |source, target| golang::build(&ETCD, source, target),
        check: |_, target| golang::check(&ETCD, target),
    },
    Server {
        name: "consul",
        product: "consul",
        version: consul::VERSION,
        needs: &GO,
        build: |source, target| golang::build(&CONSUL, source, target),
        check: |_, target| golang::check(&CONSUL, target),
    },
    // Its Go modules are numbered 0.315.0 where its releases are 3.15.0.
    Server {
        name: "prometheus",
        product: "prometheus",
        version: "0.315.0",
        needs: &GO,
        build: |source, target| golang::build(&PROMETHEUS, source, target),
        check: |_, target| golang::check(&PROMETHEUS, target),
    },
];

const ETCD: [golang::Program; 2] = [
    golang::Program { built: "server", name: "etcd", version: "--version", tells: etcd::VERSION },
    golang::Program { built: "etcdctl", name: "etcdctl", version: "version", tells: etcd::VERSION },
];

const CONSUL: [golang::Program; 1] =
    [golang::Program { built: "consul", name: "consul", version: "version", tells: consul::VERSION }];

/// Built from its module they do not know their own version.
const PROMETHEUS: [golang::Program; 2] = [
    golang::Program { built: "prometheus", name: "prometheus", version: "--version", tells: "version" },
    golang::Program { built: "promtool", name: "promtool", version: "--version", tells: "version" },
];

const GO: [(&str, &str); 1] = [("go", "golang-go")];

const MAVEN: [(&str, &str); 2] = [("java", "default-jre-headless"), ("mvn", "maven")];

const PYTHON: [(&str, &str); 2] = [("python3", "python3"), ("pip3", "python3-pip")];

const DEBIAN: [(&str, &str); 3] =
    [("java", "default-jre-headless"), ("apt-get", "apt"), ("dpkg-deb", "dpkg")];

/// The file in an installation that says from which build files it was made.
const STAMP: &str = "stamp";

/// Prints what there is and what is installed.
pub(crate) fn list() -> Result<(), String> {
    let cache = cache()?;
    for server in &SERVERS {
        let dir = server.dir(&cache);
        let state = if server.is_installed(&dir)? { "installed in" } else { "not installed; would go to" };
        println!("{} {} {state} {}", server.name, server.version, dir.display());
    }
    Ok(())
}

/// Installs the servers of these names, or all.
pub(crate) fn install(names: &[String]) -> Result<(), String> {
    let chosen = choose(names)?;
    let cache = cache()?;
    fs::create_dir_all(&cache).map_err(|error| format!("cannot make {}: {error}", cache.display()))?;
    // One installation at a time: the names of unfinished folders are fixed, so that what was interrupted is cleared.
    let lock = File::create(cache.join("lock")).map_err(|error| format!("{}: {error}", cache.display()))?;
    lock.lock().map_err(|error| format!("cannot lock {}: {error}", cache.display()))?;
    // What one needs and is not there keeps none of the others away.
    let failures: Vec<String> =
        chosen.into_iter().filter_map(|server| ensure(server, &cache).err()).collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// Installs a server that is not installed.
fn ensure(server: &Server, cache: &Path) -> Result<(), String> {
    let dir = server.dir(cache);
    if server.is_installed(&dir)? {
        println!("{} {} is installed in {}: nothing to do", server.name, server.version, dir.display());
        return Ok(());
    }
    let started = Instant::now();
    provide(server)?;
    server.install(&dir).map_err(|error| format!("{} {}: {error}", server.name, server.version))?;
    println!(
        "{} {} installed in {} ({:.1} s)",
        server.name,
        server.version,
        dir.display(),
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

fn choose(names: &[String]) -> Result<Vec<&'static Server>, String> {
    if names.is_empty() {
        return Ok(SERVERS.iter().collect());
    }
    let known = || SERVERS.iter().map(|server| server.name).collect::<Vec<_>>().join(", ");
    names
        .iter()
        .map(|name| {
            SERVERS
                .iter()
                .find(|server| server.name == name)
                .ok_or_else(|| format!("there is no server `{name}`; there are {}", known()))
        })
        .collect()
}

fn cache() -> Result<PathBuf, String> {
    launch::servers_dir().map_err(|error| error.to_string())
}

impl Server {
    fn dir(&self, cache: &Path) -> PathBuf {
        cache.join(format!("{}-{}", self.product, self.version))
    }

    fn source(&self) -> PathBuf {
        root().join("servers").join(self.name)
    }

    /// Whether what is in the cache is what is pinned, and whole.
    fn is_installed(&self, dir: &Path) -> Result<bool, String> {
        let stamp = fs::read_to_string(dir.join(STAMP)).ok();
        Ok(stamp == Some(build_files(&self.source())?) && (self.check)(&self.source(), dir).is_ok())
    }

    fn install(&self, dir: &Path) -> Result<(), String> {
        let beside = |suffix: &str| PathBuf::from(format!("{}.{suffix}", dir.display()));
        let (unfinished, replaced) = (beside("unfinished"), beside("replaced"));
        let fail = |error| format!("cannot install into {}: {error}", dir.display());
        for folder in [&unfinished, &replaced] {
            if folder.exists() {
                fs::remove_dir_all(folder).map_err(fail)?;
            }
        }
        fs::create_dir(&unfinished).map_err(fail)?;
        (self.build)(&self.source(), &unfinished)?;
        fs::write(unfinished.join(STAMP), build_files(&self.source())?).map_err(fail)?;
        if dir.exists() {
            fs::rename(dir, &replaced).map_err(fail)?;
        }
        fs::rename(&unfinished, dir).map_err(fail)?;
        if replaced.exists() {
            fs::remove_dir_all(&replaced).map_err(fail)?;
        }
        Ok(())
    }
}

/// All that pins a server, as one text.
fn build_files(source: &Path) -> Result<String, String> {
    let fail = |error| format!("cannot read {}: {error}", source.display());
    let mut text = String::new();
    for name in names_in(source).map_err(fail)? {
        let contents = fs::read_to_string(source.join(&name)).map_err(fail)?;
        text.push_str(&format!("==> {name} <==\n{contents}"));
    }
    Ok(text)
}

fn names_in(dir: &Path) -> std::io::Result<BTreeSet<String>> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Fetches the jars of a `pom.xml` into `lib`, and compares them with the [`SUMS`] beside it.
fn fetch_jars(source: &Path, target: &Path) -> Result<(), String> {
    let lib = target.join("lib");
    run(Command::new("mvn")
        .args(["-q", "-B", "-Dstyle.color=never", "-f"])
        .arg(source.join("pom.xml"))
        .arg("dependency:copy-dependencies")
        .arg(format!("-DoutputDirectory={}", lib.display())))?;
    check_jars(source, target)
}

/// Whether `lib` holds the files of the build files' `SHA256SUMS`, byte for byte, and no others.
fn check_jars(source: &Path, target: &Path) -> Result<(), String> {
    check_sums(&source.join(SUMS), target)
}

/// The checksums of a server's jars.
const SUMS: &str = "SHA256SUMS";

fn check_sums(sums: &Path, target: &Path) -> Result<(), String> {
    let lib = &target.join("lib");
    let fetched = names_in(lib).map_err(|error| format!("{}: {error}", lib.display()))?;
    run(Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet"])
        .arg(sums)
        .current_dir(lib)
        .stdout(Stdio::null())
        .stderr(Stdio::null()))
    .map_err(|_| format!("the files in {} are not those of {}", lib.display(), sums.display()))?;
    // sha256sum looks at the files of the list; a jar that is not in the list must not be there either.
    let text = fs::read_to_string(sums).map_err(|error| format!("{}: {error}", sums.display()))?;
    let listed: BTreeSet<String> =
        text.lines().filter_map(|line| line.split_whitespace().nth(1)).map(str::to_owned).collect();
    if fetched == listed {
        Ok(())
    } else {
        let surplus: Vec<&String> = fetched.difference(&listed).collect();
        Err(format!("{} holds jars that {} does not list: {surplus:?}", lib.display(), sums.display()))
    }
}

/// Where a Debian package has its jars.
const DEBIAN_JARS: &str = "usr/share/java";

/// Downloads the Debian packages of a `packages.txt`, and takes their jars into `lib`. Nothing is installed, and apt
/// works on lists of its own, so that this needs no root. What came is noted in `packages` and [`SUMS`].
fn unpack_jars(source: &Path, target: &Path) -> Result<(), String> {
    let fail = |path: &Path, error| format!("{}: {error}", path.display());
    let list = source.join("packages.txt");
    let text = fs::read_to_string(&list).map_err(|error| fail(&list, error))?;
    let wanted = parse_packages(&text);
    let (work, lib) = (target.join("work"), target.join("lib"));
    let (lists, cache, unpacked) = (work.join("lists"), work.join("cache"), work.join("unpacked"));
    for folder in [&lib, &unpacked, &lists.join("partial"), &cache.join("archives/partial")] {
        fs::create_dir_all(folder).map_err(|error| fail(folder, error))?;
    }
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .arg(format!("-oDir::State::Lists={}", lists.display()))
            .arg(format!("-oDir::Cache={}", cache.display()))
            // Its unprivileged user may not write into this folder.
            .arg("-oAPT::Sandbox::User=")
            .arg("-qq")
            .args(arguments)
            .current_dir(&work);
        run(&mut command)
    };
    apt(&["update"])?;
    let names: Vec<&str> = wanted.iter().map(|(package, _)| *package).collect();
    apt(&[&["download"][..], &names].concat())?;
    let mut versions = String::new();
    for name in names_in(&work).map_err(|error| fail(&work, error))? {
        if let Some(package) = name.strip_suffix(".deb") {
            run(Command::new("dpkg-deb").arg("--extract").arg(work.join(&name)).arg(&unpacked))?;
            versions.push_str(&format!("{package}\n"));
        }
    }
    for (package, jars) in &wanted {
        for jar in jars {
            let from = unpacked.join(DEBIAN_JARS).join(format!("{jar}.jar"));
            // Many are links to a name without the version: what they point to is copied.
            fs::copy(&from, lib.join(format!("{jar}.jar"))).map_err(|error| {
                format!("the package {package} of this Debian has no {jar}.jar ({error}); Debian 12 has one")
            })?;
        }
    }
    fs::remove_dir_all(&work).map_err(|error| fail(&work, error))?;
    let noted = target.join("packages");
    fs::write(&noted, versions).map_err(|error| fail(&noted, error))?;
    let names = names_in(&lib).map_err(|error| fail(&lib, error))?;
    let sums = target.join(SUMS);
    let output = Command::new("sha256sum").args(&names).current_dir(&lib).output();
    let output = output.map_err(|error| format!("sha256sum cannot be run: {error}"))?;
    fs::write(&sums, output.stdout).map_err(|error| fail(&sums, error))?;
    check_unpacked(source, target)
}

/// Packages, each with its jars.
fn parse_packages(text: &str) -> Vec<(&str, Vec<&str>)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.collect()))
        })
        .collect()
}

/// Whether `lib` holds what was unpacked into it.
fn check_unpacked(_: &Path, target: &Path) -> Result<(), String> {
    check_sums(&target.join(SUMS), target)
}

/// Fetches the Python packages of a `requirements.txt` into `lib`; pip compares them with the checksums in it.
fn fetch_packages(source: &Path, target: &Path) -> Result<(), String> {
    run(Command::new("pip3")
        .args(["install", "--quiet", "--disable-pip-version-check", "--root-user-action", "ignore"])
        .args(["--no-deps", "--no-compile", "--require-hashes", "--requirement"])
        .arg(source.join("requirements.txt"))
        .arg("--target")
        .arg(target.join("lib")))
}

/// Whether there is something to import.
fn check_packages(_: &Path, target: &Path) -> Result<(), String> {
    let package = target.join("lib/kazoo/__init__.py");
    if package.is_file() { Ok(()) } else { Err(format!("{} is missing", package.display())) }
}

/// Makes sure that the programs which an installation needs are there, and installs their packages where that is
/// possible.
fn provide(server: &Server) -> Result<(), String> {
    let missing = || server.needs.iter().filter(|(program, _)| !has(program)).collect::<Vec<_>>();
    if missing().is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing().iter().map(|(_, package)| *package).collect();
    let command = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !is_root || !has("apt-get") {
        let programs: Vec<&str> = missing().iter().map(|(program, _)| *program).collect();
        return Err(format!(
            "{} needs {}, which this machine does not have; `{command}` installs it on Debian",
            server.name,
            programs.join(" and ")
        ));
    }
    println!("{} needs what is not there: apt-get update && {command}", server.name);
    run(Command::new("apt-get").args(["update", "-qq"]))?;
    run(Command::new("apt-get")
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(&packages)
        .env("DEBIAN_FRONTEND", "noninteractive"))?;
    if missing().is_empty() { Ok(()) } else { Err(format!("{command} did not bring {:?}", missing())) }
}

fn has(program: &str) -> bool {
    if program == "java" {
        // The same search as when a server is started.
        return launch::java().is_ok();
    }
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|dir| dir.join(program).is_file())
}

/// Runs a program whose output matters only when it fails.
fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    for text in [&output.stdout, &output.stderr] {
        eprint!("{}", String::from_utf8_lossy(text));
    }
    Err(format!("{program} failed ({})", output.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_files_pin_the_versions_of_the_table() {
        for server in &SERVERS {
            let files = build_files(&server.source()).unwrap();
            let pins = ["<version>VERSION</version>", "==VERSION ", " zookeeper-VERSION ", " vVERSION // "];
            let is_pinned = pins.iter().any(|pin| files.contains(&pin.replace("VERSION", server.version)));
            assert!(is_pinned, "{}", server.name);
            let is_debian = server.needs.contains(&("apt-get", "apt"));
            let sums = ["==> SHA256SUMS <==", "--hash=sha256:", "==> go.sum <=="];
            assert!(is_debian || sums.iter().any(|sum| files.contains(sum)), "{}", server.name);
        }
    }

    #[test]
    fn all_servers_are_chosen_when_none_is_named() {
        let names = |names: &[&str]| {
            choose(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
                .map(|servers| servers.iter().map(|server| server.name).collect::<Vec<_>>())
        };
        assert_eq!(
            names(&[]).unwrap(),
            ["zookeeper", "hdrhistogram", "kazoo", "zookeeper-3.8", "etcd", "consul", "prometheus"]
        );
        assert_eq!(names(&["hdrhistogram"]).unwrap(), ["hdrhistogram"]);
        assert_eq!(names(&["zookeeper-3.8"]).unwrap(), ["zookeeper-3.8"]);
        assert!(names(&["zookeper"]).unwrap_err().contains("there are zookeeper, hdrhistogram, kazoo"));
    }

    #[test]
    fn an_installation_is_whole_or_not_there_and_replaces_an_older_one() {
        let cache = tempfile::tempdir().unwrap();
        let check = |_: &Path, dir: &Path| if dir.join("bad").exists() { Err(String::new()) } else { Ok(()) };
        let server = |build| Server {
            name: "hdrhistogram",
            product: "hdrhistogram",
            version: "0",
            needs: &[],
            build,
            check,
        };
        let works = server(|_, target| fs::write(target.join("new"), "").map_err(|error| error.to_string()));
        let fails = server(|_, target| {
            fs::write(target.join("half"), "").map_err(|error| error.to_string())?;
            Err("no network".to_owned())
        });
        let dir = works.dir(cache.path());

        assert_eq!(fails.install(&dir).unwrap_err(), "no network");
        assert!(!dir.exists() && !fails.is_installed(&dir).unwrap());

        works.install(&dir).unwrap();
        assert!(works.is_installed(&dir).unwrap());
        assert_eq!(names_in(&dir).unwrap(), ["new", "stamp"].map(str::to_owned).into());

        fs::write(dir.join(STAMP), "of older build files").unwrap();
        fs::write(dir.join("old"), "").unwrap();
        assert!(!works.is_installed(&dir).unwrap());
        assert!(fails.install(&dir).is_err() && dir.join("old").exists());
        works.install(&dir).unwrap();
        assert_eq!(names_in(&dir).unwrap(), ["new", "stamp"].map(str::to_owned).into());
        assert_eq!(names_in(cache.path()).unwrap().len(), 1);

        // What was damaged since is not taken for an installation, and is replaced.
        fs::write(dir.join("bad"), "").unwrap();
        assert!(!works.is_installed(&dir).unwrap());
        works.install(&dir).unwrap();
        assert!(works.is_installed(&dir).unwrap());
    }

    #[test]
    fn packages_are_read_with_their_jars() {
        assert_eq!(
            parse_packages("# a comment\n\nlibb-java  b c\nliba-java a\n"),
            [("libb-java", vec!["b", "c"]), ("liba-java", vec!["a"])]
        );
    }

    #[test]
    fn a_jar_that_is_changed_or_too_many_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let (source, target) = (folder.path().join("source"), folder.path().join("target"));
        fs::create_dir_all(&source).unwrap();
        fs::create_dir_all(target.join("lib")).unwrap();
        // sha256 of nothing.
        let sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a.jar\n";
        fs::write(source.join("SHA256SUMS"), sum).unwrap();
        assert!(check_jars(&source, &target).is_err(), "it is missing");
        fs::write(target.join("lib/a.jar"), "").unwrap();
        check_jars(&source, &target).unwrap();
        fs::write(target.join("lib/b.jar"), "").unwrap();
        assert!(check_jars(&source, &target).unwrap_err().contains("b.jar"));
        fs::remove_file(target.join("lib/b.jar")).unwrap();
        fs::write(target.join("lib/a.jar"), "x").unwrap();
        assert!(check_jars(&source, &target).is_err(), "it is changed");
    }
}
