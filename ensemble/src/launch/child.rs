//! Child processes that never outlive their parent, also when the parent is killed.
//!
//! ```text
//! parent ── its spawning thread ──► quorumeter child --parent-pid N -- PROGRAM ARGS…
//!                                   1. asks the kernel for SIGKILL at its parent's death
//!                                   2. checks that the parent still is N
//!                                   3. becomes PROGRAM (exec: same process, the request stays)
//! ```
//!
//! The death signal belongs to the *thread* that spawned (prctl(2), `PR_SET_PDEATHSIG`), so one thread does all the
//! spawning of a [`Children`] and ends after the last child. A child has a process group of its own: Ctrl-C in the
//! terminal reaches the parent alone, which then stops its children in order.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use quorumeter_record::ProcessUse;
use rustix::process::{Pid, Signal};

use super::process::process_use;
use super::{LaunchError, STOP_GRACE};

/// Between two looks at a process or a file that is waited for.
const POLL: Duration = Duration::from_millis(5);

/// Lines of a log that stand in an error.
const TAIL_LINES: usize = 20;

/// Bytes from the end of a log that are looked at.
const TAIL_BYTES: u64 = 64 * 1024;

/// What stands between a child and its program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrapper {
    /// The `quorumeter` binary, whose `child` command calls [`become_child`].
    Quorumeter(PathBuf),
    /// Nothing. For tests only: a child survives when its parent is killed.
    None,
}

/// A process to start.
#[derive(Debug, Clone)]
pub struct ChildSpec {
    /// What messages call it, for example `zookeeper member 1`.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its working folder, which must exist.
    pub dir: PathBuf,
    /// The file to which its standard output and standard error are appended.
    pub log: PathBuf,
    /// The file in which it will [`announce`] something, if it will; one that is there before the start is removed.
    pub announcement: Option<PathBuf>,
}

/// Owner of child processes. Each child is addressed by its process id. Dropping it stops them all, and no process
/// is ever left unreaped.
#[derive(Debug)]
pub struct Children {
    wrapper: Wrapper,
    /// `None` only while being dropped.
    spawner: Option<(Sender<SpawnRequest>, JoinHandle<()>)>,
    running: Mutex<BTreeMap<u32, Running>>,
}

#[derive(Debug)]
struct Running {
    spec: ChildSpec,
    child: Child,
    started: Instant,
    /// Where the log ended before the start.
    log_from: u64,
}

#[derive(Debug)]
struct SpawnRequest {
    command: Command,
    reply: Sender<io::Result<Child>>,
}

impl Children {
    /// No children yet, and the thread that will spawn them.
    pub fn new(wrapper: Wrapper) -> Result<Children, LaunchError> {
        let (requests, receiver) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("child-spawner".to_owned())
            .spawn(move || spawn_on_request(&receiver))
            .map_err(|source| LaunchError::Start {
                name: "the thread that spawns members".to_owned(),
                program: PathBuf::from("thread"),
                source,
            })?;
        Ok(Children { wrapper, spawner: Some((requests, thread)), running: Mutex::default() })
    }

    /// Starts a process and returns its id. That it runs says nothing of whether it serves.
    pub fn start(&self, spec: ChildSpec) -> Result<u32, LaunchError> {
        if let Some(file) = &spec.announcement {
            match std::fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(LaunchError::File { action: "remove", path: file.clone(), source: error });
                }
                _ => {}
            }
        }
        let log_error = |source| LaunchError::File { action: "write", path: spec.log.clone(), source };
        let log = OpenOptions::new().create(true).append(true).open(&spec.log).map_err(log_error)?;
        let log_from = log.metadata().map_err(log_error)?.len();

        let mut command = self.command(&spec);
        command
            .current_dir(&spec.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(log_error)?)
            .stderr(log)
            .process_group(0);
        let started = Instant::now();
        let child = self.spawn(command).map_err(|source| LaunchError::Start {
            name: spec.name.clone(),
            program: spec.program.clone(),
            source,
        })?;
        let pid = child.id();
        self.running().insert(pid, Running { spec, child, started, log_from });
        Ok(pid)
    }

    /// Whether a child still runs: if not, [`LaunchError::Died`] with the end of its log.
    ///
    /// # Panics
    ///
    /// Like every function that takes a process id, when it is none that [`start`](Children::start) returned.
    pub fn check(&self, pid: u32) -> Result<(), LaunchError> {
        let mut running = self.running();
        let child = of(&mut running, pid);
        match child.status() {
            None => Ok(()),
            Some(status) => Err(LaunchError::Died {
                name: child.spec.name.clone(),
                status,
                log: child.spec.log.clone(),
                tail: child.tail(),
            }),
        }
    }

    /// What a child has used since it started; `None` when it runs no more, or the kernel does not tell.
    pub fn process_use(&self, pid: u32) -> Option<ProcessUse> {
        let mut running = self.running();
        // Nobody else reaps, so the id stays this child's while the lock is held.
        of(&mut running, pid).status().is_none().then(|| process_use(pid).ok())?
    }

    /// What a child has written since it started, or the last 64 KiB of it.
    pub fn output(&self, pid: u32) -> String {
        of(&mut self.running(), pid).output()
    }

    /// The error for a child that does not serve in time: its age and the end of its log, with a reason.
    pub fn not_ready(&self, pid: u32, reason: String) -> LaunchError {
        let mut running = self.running();
        let child = of(&mut running, pid);
        LaunchError::NotReady {
            name: child.spec.name.clone(),
            waited: child.started.elapsed(),
            reason,
            log: child.spec.log.clone(),
            tail: child.tail(),
        }
    }

    /// Waits until a child has made its [`announce`]ment, and returns it.
    pub fn wait_for_announcement(&self, pid: u32, timeout: Duration) -> Result<String, LaunchError> {
        let file = of(&mut self.running(), pid).spec.announcement.clone();
        let Some(file) = file else {
            return Err(self.not_ready(pid, "it was started without a file for an announcement".to_owned()));
        };
        let deadline = Instant::now() + timeout;
        loop {
            match std::fs::read_to_string(&file) {
                Ok(text) => return Ok(text.trim_end().to_owned()),
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(LaunchError::File { action: "read", path: file, source: error });
                }
                Err(_) => {}
            }
            self.check(pid)?;
            if Instant::now() >= deadline {
                return Err(self.not_ready(pid, format!("it has not written {}", file.display())));
            }
            thread::sleep(POLL);
        }
    }

    /// Ends every child: SIGTERM, up to `grace` of patience for all of them together, SIGKILL. When it returns, all
    /// have been reaped.
    pub fn stop_all(&self, grace: Duration) {
        for child in self.running().values_mut() {
            child.signal(Signal::TERM);
            // One that is stopped takes notice of SIGTERM only when it continues.
            child.signal(Signal::CONT);
        }
        let deadline = Instant::now() + grace;
        while self.running().values_mut().any(|child| child.status().is_none()) {
            if Instant::now() >= deadline {
                break;
            }
            thread::sleep(POLL);
        }
        for child in self.running().values_mut() {
            child.kill();
        }
    }

    fn command(&self, spec: &ChildSpec) -> Command {
        match &self.wrapper {
            Wrapper::Quorumeter(quorumeter) => {
                let mut command = Command::new(quorumeter);
                command
                    .args(["child", "--parent-pid", &std::process::id().to_string(), "--"])
                    .arg(&spec.program)
                    .args(&spec.args);
                command
            }
            Wrapper::None => {
                let mut command = Command::new(&spec.program);
                command.args(&spec.args);
                command
            }
        }
    }

    fn spawn(&self, command: Command) -> io::Result<Child> {
        let gone = || io::Error::other("the thread that spawns members has ended");
        let (reply, answer) = mpsc::channel();
        let (requests, _) = self.spawner.as_ref().ok_or_else(gone)?;
        requests.send(SpawnRequest { command, reply }).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<u32, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.stop_all(STOP_GRACE);
        if let Some((requests, thread)) = self.spawner.take() {
            drop(requests);
            // It has nothing to tell: a panic in it has been reported where it happened.
            let _ = thread.join();
        }
    }
}

/// Ends with its [`Children`], and so after the last child.
fn spawn_on_request(requests: &Receiver<SpawnRequest>) {
    for SpawnRequest { mut command, reply } in requests {
        let unwanted = reply.send(command.spawn()).err();
        if let Some(mpsc::SendError(Ok(mut child))) = unwanted {
            // Who asked has panicked, so nobody else would reap it. Errors mean that it is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn of(running: &mut BTreeMap<u32, Running>, pid: u32) -> &mut Running {
    running.get_mut(&pid).unwrap_or_else(|| panic!("{pid} is not a child of this owner"))
}

impl Running {
    /// How it ended, if it has.
    fn status(&mut self) -> Option<ExitStatus> {
        // The one error of waitpid(2) for an unreaped child of one's own is an interruption, which is retried.
        self.child.try_wait().ok().flatten()
    }

    fn signal(&mut self, signal: Signal) {
        if self.status().is_none()
            && let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            // It may have ended since, and waits to be reaped: then there is nobody to signal, which is what was wanted.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    fn kill(&mut self) {
        self.signal(Signal::KILL);
        // After SIGKILL this takes no longer than the kernel needs.
        let _ = self.child.wait();
    }

    fn output(&self) -> String {
        read_end(&self.spec.log, self.log_from).unwrap_or_else(|error| format!("(cannot be read: {error})"))
    }

    fn tail(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        match lines.as_slice() {
            [] => "(it is empty)".to_owned(),
            lines => lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"),
        }
    }
}

/// The text behind position `from`, or the last [`TAIL_BYTES`] of it.
fn read_end(path: &Path, from: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(from.max(length.saturating_sub(TAIL_BYTES))))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Turns the calling process into `program`, which dies when its parent does. Returns only when that failed; the
/// caller then reports the error and exits. It is what `quorumeter child` does.
pub fn become_child(parent_pid: u32, program: &OsStr, args: &[OsString]) -> io::Error {
    match die_with_parent(parent_pid) {
        Ok(()) => Command::new(program).args(args).exec(),
        Err(error) => error,
    }
}

/// From now on the kernel kills the calling process when its parent, which must be `parent_pid`, dies. An error means
/// that the parent is gone already, and that the caller should exit.
pub fn die_with_parent(parent_pid: u32) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have died before the line above; then another one has taken its place.
    let parent = rustix::process::getppid().map(Pid::as_raw_pid);
    if parent.and_then(|pid| u32::try_from(pid).ok()) == Some(parent_pid) {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "the parent process {parent_pid} is gone; this is a command for internal use"
        )))
    }
}

/// Tells the parent something, such as the address that a member serves at, through a file. The file appears whole or not at
/// all. [`Children::wait_for_announcement`] reads it.
pub fn announce(file: &Path, line: &str) -> io::Result<()> {
    let mut unfinished = file.as_os_str().to_owned();
    unfinished.push(".unfinished");
    std::fs::write(&unfinished, format!("{line}\n"))?;
    std::fs::rename(&unfinished, file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn spec(dir: &Path, script: &str) -> ChildSpec {
        ChildSpec {
            name: "test member".to_owned(),
            program: PathBuf::from("sh"),
            args: vec!["-c".into(), script.into()],
            dir: dir.to_owned(),
            log: dir.join("log"),
            announcement: Some(dir.join("announced")),
        }
    }

    fn start(children: &Children, dir: &Path, script: &str) -> u32 {
        children.start(spec(dir, script)).unwrap()
    }

    /// Starts a script and waits until it has come to its `UP`.
    fn start_announced(children: &Children, dir: &Path, script: &str) -> u32 {
        let pid =
            start(children, dir, &script.replace("UP", "echo up > unfinished; mv unfinished announced"));
        assert_eq!(children.wait_for_announcement(pid, LONG).unwrap(), "up");
        pid
    }

    /// Signal and exit code.
    fn how_it_ended(children: &Children, pid: u32) -> (Option<i32>, Option<i32>) {
        match children.check(pid) {
            Err(LaunchError::Died { status, .. }) => (status.signal(), status.code()),
            other => panic!("{other:?}"),
        }
    }

    fn exists(pid: u32) -> bool {
        Path::new(&format!("/proc/{pid}")).exists()
    }

    fn wait_for_death(children: &Children, pid: u32) -> LaunchError {
        let deadline = Instant::now() + LONG;
        while Instant::now() < deadline {
            if let Err(error) = children.check(pid) {
                return error;
            }
            thread::sleep(POLL);
        }
        panic!("{pid} lives on");
    }

    #[test]
    fn a_child_is_gone_once_its_owner_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let children = Children::new(Wrapper::None).unwrap();
        let pids = [0, 1].map(|_| start(&children, dir.path(), "exec sleep 60"));
        for pid in pids {
            children.check(pid).unwrap();
            assert!(children.process_use(pid).is_some());
        }
        drop(children);
        assert!(pids.iter().all(|pid| !exists(*pid)));
    }

    #[test]
    fn stopping_asks_first_and_kills_what_does_not_listen() {
        let dir = tempfile::tempdir().unwrap();
        for (script, grace, signal, code) in [
            ("trap 'exit 3' TERM; UP; while :; do sleep 0.01; done", LONG, None, Some(3)),
            ("UP; exec sleep 60", LONG, Some(15), None),
            ("trap '' TERM; UP; while :; do sleep 0.01; done", Duration::from_millis(50), Some(9), None),
        ] {
            let children = Children::new(Wrapper::None).unwrap();
            let pid = start_announced(&children, dir.path(), script);
            children.stop_all(grace);
            assert_eq!(how_it_ended(&children, pid), (signal, code), "{script}");
            assert!(!exists(pid) && children.process_use(pid).is_none());
        }
    }

    #[test]
    fn a_stopped_child_hears_sigterm_too() {
        let dir = tempfile::tempdir().unwrap();
        let children = Children::new(Wrapper::None).unwrap();
        let pid = start_announced(&children, dir.path(), "UP; exec sleep 60");
        of(&mut children.running(), pid).signal(Signal::STOP);
        children.stop_all(LONG);
        assert_eq!(how_it_ended(&children, pid), (Some(15), None));
    }

    #[test]
    fn a_death_is_told_with_its_status_and_the_end_of_its_own_log() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("log"), "of an earlier start\n").unwrap();
        let children = Children::new(Wrapper::None).unwrap();
        let pid = start(
            &children,
            dir.path(),
            "i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo line $i; done; exit 7",
        );
        let error = wait_for_death(&children, pid);
        let LaunchError::Died { status, tail, .. } = &error else { panic!("{error}") };
        assert_eq!(status.code(), Some(7));
        assert_eq!((tail.lines().count(), tail.lines().next()), (TAIL_LINES, Some("line 11")));
        assert!(error.to_string().starts_with("test member died (exit status: 7)"), "{error}");

        let pid = start(&children, dir.path(), "exit 1");
        let LaunchError::Died { tail, .. } = wait_for_death(&children, pid) else { panic!() };
        assert_eq!(tail, "(it is empty)");
    }

    #[test]
    fn an_announcement_is_of_this_start() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("announced"), "of an earlier start\n").unwrap();
        let children = Children::new(Wrapper::None).unwrap();
        start_announced(&children, dir.path(), "UP; exec sleep 60");

        let dead = start(&children, dir.path(), "exit 1");
        let error = children.wait_for_announcement(dead, LONG).unwrap_err();
        assert!(matches!(error, LaunchError::Died { .. }), "{error}");

        let silent = start(&children, dir.path(), "echo hm >&2; exec sleep 60");
        let error = children.wait_for_announcement(silent, Duration::from_millis(20)).unwrap_err();
        assert!(matches!(error, LaunchError::NotReady { .. }), "{error}");
    }

    #[test]
    fn an_announcement_has_no_half() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("announced");
        announce(&file, "127.0.0.1:4711").unwrap();
        announce(&file, "127.0.0.1:4712").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "127.0.0.1:4712\n");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_wrapper_is_told_its_parent_and_the_program() {
        let dir = tempfile::tempdir().unwrap();
        // The shell reads its first argument, `child`, as a script.
        std::fs::write(dir.path().join("child"), "echo \"$1 $2 $3\"; shift 3; exec \"$@\"\n").unwrap();
        let children = Children::new(Wrapper::Quorumeter(PathBuf::from("sh"))).unwrap();
        let pid = start_announced(&children, dir.path(), "echo -- --parent-pid; UP; exec sleep 60");
        assert_eq!(
            children.output(pid),
            format!("--parent-pid {} --\n-- --parent-pid\n", std::process::id())
        );
    }

    #[test]
    fn a_child_has_a_process_group_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let children = Children::new(Wrapper::None).unwrap();
        let pid = start(&children, dir.path(), "exec sleep 60");
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let group = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(2).unwrap();
        assert_eq!(group, pid.to_string());
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let children = Children::new(Wrapper::None).unwrap();
        let missing = ChildSpec { program: "/no/such/program".into(), ..spec(dir.path(), "") };
        let error = children.start(missing).unwrap_err().to_string();
        assert!(error.contains("test member") && error.contains("/no/such/program"), "{error}");
    }

    #[test]
    fn a_process_of_another_parent_is_told_so() {
        let error = die_with_parent(u32::MAX).unwrap_err();
        assert!(error.to_string().contains("is gone"), "{error}");
        // Undo what the call has asked for, so that the test's own parent may end as it likes.
        rustix::process::set_parent_process_death_signal(None).unwrap();
    }
}
