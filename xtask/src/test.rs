//! Everything that must hold before a change is done, in one command.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{cargo, generate, root, servers};

/// Set to 1: a test that cannot run fails, unless `tests/skips.txt` has it.
const REQUIRE_SERVERS: &str = "QUORUMETER_REQUIRE_SERVERS";

/// Names the file to which a skipped test appends its name and reason, separated by a tab.
const SKIPS: &str = "QUORUMETER_SKIPS";

/// Exit codes of a one-second run of a sample workload: pass, a gate failed (gates are written for longer runs),
/// inconclusive (too few samples in a second).
const WORKLOAD_EXIT_CODES: [i32; 3] = [0, 2, 4];

/// Longest time for a one-second run of a sample workload, with its ensemble.
const WORKLOAD_TIMEOUT: Duration = Duration::from_secs(120);

/// Runs every step, also behind one that failed, and tells at the end which did.
pub(crate) fn run(install_servers: bool) -> ExitCode {
    let mut failures = Vec::new();
    let mut step = |name: &str, work: &mut dyn FnMut() -> Result<(), String>| {
        println!("==> {name}");
        let started = Instant::now();
        let result = work();
        let seconds = started.elapsed().as_secs_f64();
        match result {
            Ok(()) => println!("==> {name}: ok ({seconds:.1} s)"),
            Err(error) => {
                println!("==> {name}: FAILED ({seconds:.1} s): {error}");
                failures.push(format!("{name}: {error}"));
            }
        }
    };

    let required = std::env::var(REQUIRE_SERVERS).is_ok_and(|value| value == "1");
    let mut tested = Tested::default();
    step("format", &mut || cargo(&["fmt", "--all", "--check"]));
    step("lints", &mut || cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]));
    step("fuzz targets", &mut check_fuzz_targets);
    step("generated files", &mut generate::check);
    if install_servers {
        step("real servers", &mut || match servers::install(&[]) {
            Err(error) if !required => {
                println!("{error}\nThe tests that need them are skipped.");
                Ok(())
            }
            result => result,
        });
    }
    step("tests", &mut || {
        tested = run_tests()?;
        tested.judge(required)
    });
    step("sample workloads", &mut run_workloads);

    println!("{tested}");
    if failures.is_empty() {
        println!("xtask test: ok");
        return ExitCode::SUCCESS;
    }
    println!("xtask test: FAILED");
    for failure in failures {
        println!("  {failure}");
    }
    ExitCode::FAILURE
}

/// Compiles the fuzz targets, which are a workspace of their own because cargo-fuzz needs flags that nothing else
/// does. libFuzzer is C++, which nothing else here needs either.
fn check_fuzz_targets() -> Result<(), String> {
    if Command::new("c++").arg("--version").output().is_err() {
        println!("there is no C++ compiler: the fuzz targets are not compiled");
        return Ok(());
    }
    cargo(&["check", "--quiet", "--manifest-path", "zk/fuzz/Cargo.toml", "--target-dir", "target/fuzz"])
}

/// What the tests said, all test programs together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tested {
    totals: Totals,
    failed_names: Vec<String>,
    /// By name, with the reason.
    skipped: BTreeMap<String, String>,
    /// What `cargo test` itself ended with, if not with success.
    error: Option<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: u64,
    failed: u64,
    ignored: u64,
}

fn run_tests() -> Result<Tested, String> {
    let skips = Scratch::new("skips")?;
    let skips_file = skips.0.join("skips");
    let mut child = Command::new("cargo")
        .args(["test", "--workspace", "--no-fail-fast"])
        .current_dir(root())
        .env(SKIPS, &skips_file)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cargo cannot be run: {error}"))?;
    let mut tested = Tested::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.map_err(|error| format!("cannot read what cargo test says: {error}"))?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            tested.note(&line);
        }
    }
    let status = child.wait().map_err(|error| format!("cannot wait for cargo test: {error}"))?;
    tested.error = (!status.success()).then(|| format!("cargo test failed ({status})"));
    tested.skipped = parse_skipped(&fs::read_to_string(&skips_file).unwrap_or_default());
    Ok(tested)
}

impl Tested {
    /// Counts what one line of `cargo test` says.
    fn note(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.failed_names.push(name.to_owned());
        }
        let Some(counts) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
            return;
        };
        for count in counts.1.split("; ") {
            let Some((number, what)) = count.split_once(' ') else { continue };
            let number = number.parse().unwrap_or(0);
            match what {
                "passed" => self.totals.passed += number,
                "failed" => self.totals.failed += number,
                "ignored" => self.totals.ignored += number,
                _ => {}
            }
        }
    }

    fn judge(&self, servers_required: bool) -> Result<(), String> {
        let mut reasons: Vec<String> = self.error.iter().cloned().collect();
        if !self.failed_names.is_empty() {
            reasons.push(format!("failed: {}", self.failed_names.join(", ")));
        }
        if self.totals.passed == 0 {
            reasons.push("no test passed".to_owned());
        }
        if servers_required {
            let text = fs::read_to_string(root().join("tests/skips.txt")).unwrap_or_default();
            let allowed = parse_allowed(&text);
            let surprising: Vec<&str> =
                self.skipped.keys().map(String::as_str).filter(|name| !allowed.contains(name)).collect();
            if !surprising.is_empty() {
                reasons.push(format!("skipped, and not in tests/skips.txt: {}", surprising.join(", ")));
            }
        }
        if reasons.is_empty() { Ok(()) } else { Err(reasons.join("; ")) }
    }
}

impl fmt::Display for Tested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Totals { passed, failed, ignored } = self.totals;
        let skipped = self.skipped.len() as u64;
        // The test harness knows no skipping, and counts such a test among those that passed.
        let passed = passed.saturating_sub(skipped);
        write!(f, "tests: {passed} passed, {failed} failed, {ignored} ignored, {skipped} skipped")?;
        self.skipped.iter().try_for_each(|(name, reason)| write!(f, "\n  skipped: {name}: {reason}"))
    }
}

fn parse_skipped(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, why)| (name.into(), why.into()))
        .collect()
}

/// The names in `tests/skips.txt`, whose lines are `name: reason`, or comments with `#`.
fn parse_allowed(text: &str) -> BTreeSet<&str> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(": "))
        .map(|(name, _)| name)
        .collect()
}

/// Runs every workload of `workloads/` for a second on the embedded ensemble, through the binary.
fn run_workloads() -> Result<(), String> {
    // With the tests' features, so that what they were built from is not built a second time.
    cargo(&["build", "--workspace", "--bins", "--tests"])?;
    let quorumeter = binary()?;
    let folder = root().join("workloads");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .map_err(|error| format!("{}: {error}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err("there is no workload in workloads/".to_owned());
    }
    let scratch = Scratch::new("workloads")?;
    let mut failed = Vec::new();
    for file in &files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let started = Instant::now();
        let result = run_workload(&quorumeter, file, &scratch.0.join(&name));
        let seconds = started.elapsed().as_secs_f64();
        match result {
            Ok(code) => println!("workload {name}: ok (exit code {code}, {seconds:.1} s)"),
            Err(error) => {
                println!("workload {name}: FAILED ({seconds:.1} s): {error}");
                failed.push(name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

/// The binary that `cargo build` made: this program lies in the same target folder.
fn binary() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let target = own.ancestors().nth(2).unwrap_or(Path::new("target"));
    Ok(target.join("debug").join("quorumeter"))
}

/// Returns the exit code when it is one of [`WORKLOAD_EXIT_CODES`] and nothing panicked.
fn run_workload(quorumeter: &Path, file: &Path, out: &Path) -> Result<i32, String> {
    let log = out.with_extension("log");
    let fail = |error| format!("{}: {error}", log.display());
    let output = File::create(&log).map_err(fail)?;
    let mut child = Command::new(quorumeter)
        .arg("run")
        .arg(file)
        .args(["--set", "phases.warmup=0s", "--set", "phases.measure=1s", "--out"])
        .arg(out)
        .current_dir(root())
        .stdin(Stdio::null())
        .stdout(output.try_clone().map_err(fail)?)
        .stderr(output)
        .spawn()
        .map_err(|error| format!("{} cannot be run: {error}", quorumeter.display()))?;
    let deadline = Instant::now() + WORKLOAD_TIMEOUT;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(fail)? {
            break Some(status);
        }
        if Instant::now() >= deadline {
            child.kill().and_then(|()| child.wait()).map_err(fail)?;
            break None;
        }
        thread::sleep(Duration::from_millis(10));
    };
    let output = String::from_utf8_lossy(&fs::read(&log).map_err(fail)?).into_owned();
    let ok = ok_ops(&out.join(quorumeter_record::SUMMARY_FILE));
    judge_workload(status.map(|status| status.code()), ok, &output)
        .inspect_err(|_| println!("{}", output.trim_end()))
}

/// How many ops succeeded, by the run's summary; none without one.
fn ok_ops(summary: &Path) -> u64 {
    let text = fs::read_to_string(summary).unwrap_or_default();
    let summary: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    summary["accounting"]["ok"].as_u64().unwrap_or(0)
}

/// `code` is `None` for a run that did not end, and `Some(None)` for one that was ended by a signal. `ok` counts the
/// ops that succeeded.
fn judge_workload(code: Option<Option<i32>>, ok: u64, output: &str) -> Result<i32, String> {
    if output.contains("panicked at") {
        return Err("it panicked".to_owned());
    }
    match code {
        None => Err(format!("it did not end within {} s", WORKLOAD_TIMEOUT.as_secs())),
        Some(None) => Err("it was ended by a signal".to_owned()),
        Some(Some(code)) if WORKLOAD_EXIT_CODES.contains(&code) && ok > 0 => Ok(code),
        Some(Some(code)) if WORKLOAD_EXIT_CODES.contains(&code) => {
            Err(format!("no operation succeeded (exit code {code})"))
        }
        Some(Some(code)) => Err(format!("exit code {code}")),
    }
}

/// A folder that is removed when this is dropped.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Result<Scratch, String> {
        let path = std::env::temp_dir().join(format!("quorumeter-xtask-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_summed_over_test_programs() {
        let mut tested = Tested::default();
        for line in [
            "running 3 tests",
            "test launch::starts ... ok",
            "test launch::stops ... FAILED",
            "test src/lib.rs - parse (line 3) ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.25s",
            "test result: ok. 40 passed; 0 failed; 2 ignored; 0 measured; 5 filtered out; finished in 10.25s",
            "the test result: ok. 9 passed; is not one of ours",
        ] {
            tested.note(line);
        }
        assert_eq!(tested.totals, Totals { passed: 41, failed: 1, ignored: 3 });
        assert_eq!(tested.failed_names, ["launch::stops", "src/lib.rs - parse (line 3)"]);
        let error = tested.judge(false).unwrap_err();
        assert_eq!(error, "failed: launch::stops, src/lib.rs - parse (line 3)");
    }

    #[test]
    fn no_test_at_all_is_a_failure() {
        assert_eq!(Tested::default().judge(false).unwrap_err(), "no test passed");
    }

    #[test]
    fn a_skip_is_named_and_fails_where_servers_are_required() {
        let tested = Tested {
            totals: Totals { passed: 5, failed: 0, ignored: 0 },
            skipped: parse_skipped("a::starts\tno java\nnonsense\nb\tno root\na::starts\tno java\n"),
            ..Tested::default()
        };
        assert_eq!(
            tested.to_string(),
            "tests: 3 passed, 0 failed, 0 ignored, 2 skipped\n  skipped: a::starts: no java\n  skipped: b: no root"
        );
        assert_eq!(tested.judge(false), Ok(()));
        assert_eq!(tested.judge(true).unwrap_err(), "skipped, and not in tests/skips.txt: a::starts, b");
    }

    #[test]
    fn allowed_skips_are_read_without_comments() {
        let text = "# name: reason\n\na::starts: no java: none at all\nb: no root\n";
        assert_eq!(parse_allowed(text), ["a::starts", "b"].into());
    }

    #[test]
    fn a_workload_may_miss_a_gate_in_a_second_but_not_break() {
        for (code, ok, output, expected) in [
            (Some(Some(0)), 9, "", Ok(0)),
            (Some(Some(2)), 9, "", Ok(2)),
            (Some(Some(4)), 9, "", Ok(4)),
            (Some(Some(4)), 0, "", Err("no operation succeeded (exit code 4)")),
            (Some(Some(1)), 9, "", Err("exit code 1")),
            (Some(Some(3)), 9, "", Err("exit code 3")),
            (Some(Some(5)), 9, "", Err("exit code 5")),
            (Some(Some(101)), 9, "", Err("exit code 101")),
            (Some(Some(0)), 9, "thread 'worker' panicked at src/x.rs:1:2", Err("it panicked")),
            (Some(None), 9, "", Err("it was ended by a signal")),
            (None, 9, "", Err("it did not end within 120 s")),
        ] {
            assert_eq!(
                judge_workload(code, ok, output),
                expected.map_err(str::to_owned),
                "{code:?} {output}"
            );
        }
    }
}
