//! A command of the user's: `sh -c`, in a process group of its own, bounded in time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// Bytes from the end of a command's standard error that stand in a message.
const TAIL_BYTES: usize = 400;

/// What is written for a secret.
const HIDDEN: &str = "***";

/// Parts of the names of environment variables whose values are taken for secrets.
const SECRET_NAMES: [&str; 7] = ["PASS", "SECRET", "TOKEN", "CREDENTIAL", "AUTH", "PRIVATE", "KEY"];

/// Secrets that are shorter stand in ordinary words by accident.
const SECRET_LEN_MIN: usize = 4;

/// Why a command did not do what it was to. No message has the command itself, in which secrets may stand; of what it
/// wrote to standard error there is the end, without the values of environment variables that are named like secrets.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no shell, no memory or no file left.
    #[error("`sh` could not be started: {0}")]
    Start(io::Error),
    /// It told that it failed.
    #[error("it failed ({status}){}", said(.tail))]
    Failed {
        /// How it ended.
        status: ExitStatus,
        /// The end of its standard error.
        tail: String,
    },
    /// It took too long, and was killed with all of its process group.
    #[error("it did not end within {:.1} s, and was killed{}", .after.as_secs_f64(), said(.tail))]
    TimedOut {
        /// How long it was given.
        after: Duration,
        /// The end of its standard error.
        tail: String,
    },
}

fn said(tail: &str) -> String {
    if tail.is_empty() { "; it wrote nothing to standard error".to_owned() } else { format!(": {tail}") }
}

/// A command that runs. Dropping it kills it, with what it has started.
#[derive(Debug)]
pub(super) struct RunningCommand {
    child: Child,
    /// In memory, so that who inherited it may keep it open.
    stderr: File,
    begun: Instant,
    limit: Duration,
    is_over: bool,
}

impl RunningCommand {
    /// Starts a command with these variables in its environment beside the inherited ones.
    pub(super) fn start(
        command: &str,
        environment: &[(&str, String)],
        limit: Duration,
    ) -> Result<RunningCommand, CommandError> {
        let stderr = rustix::fs::memfd_create("stderr", rustix::fs::MemfdFlags::CLOEXEC)
            .map(File::from)
            .map_err(|error| CommandError::Start(error.into()))?;
        let child = Command::new("sh")
            .args(["-c", command])
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr.try_clone().map_err(CommandError::Start)?)
            .process_group(0)
            .spawn()
            .map_err(CommandError::Start)?;
        Ok(RunningCommand { child, stderr, begun: Instant::now(), limit, is_over: false })
    }

    /// Whether it has ended well. An error ends it, if it has not ended by itself. What it left running in the background
    /// after a good end stays.
    pub(super) fn poll(&mut self) -> Result<bool, CommandError> {
        if self.is_over {
            return Ok(true);
        }
        match self.child.try_wait().map_err(CommandError::Start)? {
            Some(status) => {
                self.is_over = true;
                match status.success() {
                    true => Ok(true),
                    false => Err(CommandError::Failed { status, tail: self.tail() }),
                }
            }
            None if self.begun.elapsed() >= self.limit => {
                self.kill();
                Err(CommandError::TimedOut { after: self.limit, tail: self.tail() })
            }
            None => Ok(false),
        }
    }

    fn kill(&mut self) {
        // It has not been reaped, so the group's number is still its own.
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // An error means that nobody is left in it.
            let _ = kill_process_group(group, Signal::KILL);
        }
        // After SIGKILL this takes no longer than the kernel needs.
        let _ = self.child.wait();
        self.is_over = true;
    }

    fn tail(&self) -> String {
        let mut bytes = vec![0; TAIL_BYTES];
        let length = self.stderr.metadata().map_or(0, |metadata| metadata.len());
        let from = length.saturating_sub(TAIL_BYTES as u64);
        let read = self.stderr.read_at(&mut bytes, from).unwrap_or(0);
        let text = String::from_utf8_lossy(&bytes[..read]);
        let secrets = std::env::vars_os().filter(|(name, _)| is_secret(&name.to_string_lossy()));
        let secrets = secrets.map(|(_, value)| value.to_string_lossy().into_owned());
        one_line(&hidden(&text, from > 0, secrets))
    }
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        if !self.is_over {
            self.kill();
        }
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    SECRET_NAMES.iter().any(|part| name.contains(part))
}

/// The text without these secrets, nor the end of one that it begins with if it was `cut` from a longer one.
fn hidden(text: &str, cut: bool, secrets: impl Iterator<Item = String>) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        for secret in std::iter::once(secret.as_str()).chain(secret.lines()) {
            if secret.len() < SECRET_LEN_MIN {
                continue;
            }
            text = text.replace(secret, HIDDEN);
            let rests = secret.char_indices().skip(1).map(|(at, _)| &secret[at..]);
            let rest = rests.filter(|_| cut).find(|rest| text.starts_with(rest)).map(str::len);
            if let Some(length) = rest {
                text.replace_range(..length, HIDDEN);
            }
        }
    }
    text
}

/// Lines joined, and no control characters.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" / ").replace(|c: char| c.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn run(command: &str, limit: Duration) -> Result<(), CommandError> {
        let mut running = RunningCommand::start(command, &[("QUORUMETER_ROLE", "leader".to_owned())], limit)?;
        while !running.poll()? {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(running.poll()?, "an end stays one");
        Ok(())
    }

    #[test]
    fn a_command_that_fails_is_told_with_its_status_and_its_words() {
        for (command, expected) in [
            ("true", None),
            ("[ $QUORUMETER_ROLE = leader ]", None),
            // What it leaves in the background is waited for by nobody.
            ("sleep 1 & exit 0", None),
            ("exit 3", Some("it failed (exit status: 3); it wrote nothing to standard error")),
            ("echo not told; echo one >&2; printf '\\n  \\033two\\n' >&2; exit 1", Some("1): one /  two")),
            ("no-such-program-anywhere", Some("127): sh: ")),
            ("kill -TERM $$", Some("signal: 15")),
        ] {
            let result = run(command, LONG).map_err(|error| error.to_string());
            match expected {
                None => assert_eq!(result, Ok(()), "{command}"),
                Some(part) => assert!(result.clone().unwrap_err().contains(part), "{command}: {result:?}"),
            }
        }
        let long = run("i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo line $i >&2; done; exit 1", LONG);
        let error = long.unwrap_err().to_string();
        assert!(error.ends_with("line 199 / line 200") && !error.contains("line 1 "), "{error}");
    }

    #[test]
    fn a_command_that_hangs_is_killed_with_all_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let command = format!(
            "trap '' TERM; sleep 600 & echo $! > {0}.part; mv {0}.part {0}; echo waiting >&2; wait",
            file.display()
        );
        let mut running = RunningCommand::start(&command, &[], LONG).unwrap();
        let begun = Instant::now();
        while !file.exists() || running.tail().is_empty() {
            assert!(begun.elapsed() < LONG && !running.poll().unwrap());
            std::thread::sleep(Duration::from_millis(1));
        }
        running.limit = Duration::ZERO;
        let error = running.poll().unwrap_err().to_string();
        assert_eq!(error, "it did not end within 0.0 s, and was killed: waiting");
        let pid = std::fs::read_to_string(file).unwrap();
        let stat = format!("/proc/{}/stat", pid.trim());
        // Who reaps it is whoever inherits it, at a time of its own.
        let is_gone = || std::fs::read_to_string(&stat).is_err() || is_dead(&stat);
        while !is_gone() {
            assert!(begun.elapsed() < LONG, "{pid} lives on");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn is_dead(stat: &str) -> bool {
        std::fs::read_to_string(stat).is_ok_and(|text| text.contains(") Z "))
    }

    #[test]
    fn secrets_of_the_environment_are_hidden() {
        for name in ["ZK_PASSWORD", "vault_token", "AWS_SECRET_ACCESS_KEY", "QUORUMETER_AUTH"] {
            assert!(is_secret(name), "{name}");
        }
        assert!(!is_secret("PATH") && !is_secret("QUORUMETER_VICTIM"));
        let secrets = || ["hunter22", "abc", "first line\nsecond line"].map(str::to_owned).into_iter();
        for (text, cut, expected) in [
            ("login hunter22 failed, hunter22!", false, "login *** failed, ***!"),
            ("ter22 failed", true, "*** failed"),
            ("ter22 failed", false, "ter22 failed"),
            ("abc is too short to be one", false, "abc is too short to be one"),
            ("got: second line", false, "got: ***"),
        ] {
            assert_eq!(hidden(text, cut, secrets()), expected, "{text}");
        }
    }
}
