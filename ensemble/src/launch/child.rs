//! Child processes that never outlive their parent, also when the parent is killed. The owner of children is here;
//! what a child does itself is in `inside`.
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

mod inside;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
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

use super::process::{is_stopped, process_use};
use super::{LaunchError, STOP_GRACE};
pub use inside::{become_child, die_with_parent};

/// Between two looks at a process or a file that is waited for.
const POLL: Duration = Duration::from_millis(5);

/// Lines of a log that stand in an error.
const TAIL_LINES: usize = 30;

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
    /// The file that will appear, whole or not at all, when it has something to tell, such as its address; one that is there before the start is removed.
    pub announcement: Option<PathBuf>,
}

/// A child, which stays the same one when it is started again as another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildId(usize);

/// What a child's process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It runs.
    Running,
    /// It is stopped by a signal and does nothing until it continues.
    Stopped,
    /// It has ended, and has been reaped.
    Gone,
}

/// Owner of child processes. Dropping it stops them all, and no process is ever left unreaped. Only a child that has
/// not been reaped is ever signalled, as its process id could be another's afterwards.
#[derive(Debug)]
pub struct Children {
    wrapper: Wrapper,
    /// `None` only while being dropped.
    spawner: Option<(Sender<SpawnRequest>, JoinHandle<()>)>,
    running: Mutex<Vec<Running>>,
}

#[derive(Debug)]
struct Running {
    spec: ChildSpec,
    process: Process,
    /// Whether it was told to end, so that its end is no surprise.
    told_to_end: bool,
}

/// One start of a child.
#[derive(Debug)]
struct Process {
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

    /// Starts a process. That it runs says nothing of whether it serves.
    pub fn start(&self, spec: ChildSpec) -> Result<ChildId, LaunchError> {
        let process = self.spawn(&spec)?;
        let mut running = self.running();
        running.push(Running { spec, process, told_to_end: false });
        Ok(ChildId(running.len() - 1))
    }

    /// Starts a child that is gone again as it was started before, in the same folder, its log appended to, and waits
    /// for nothing. One that runs or is stopped is left as it is.
    pub fn start_again(&self, child: ChildId) -> Result<(), LaunchError> {
        if self.state(child) != State::Gone {
            return Ok(());
        }
        let spec = of(&mut self.running(), child).spec.clone();
        let mut process = self.spawn(&spec)?;
        let mut running = self.running();
        let running = of(&mut running, child);
        if running.process.status().is_none() {
            // Another thread was faster.
            process.kill();
        } else {
            running.process = process;
            running.told_to_end = false;
        }
        Ok(())
    }

    /// Process id of a child's latest start, which may be another's once the child is [`State::Gone`].
    pub fn pid(&self, child: ChildId) -> u32 {
        of(&mut self.running(), child).process.child.id()
    }

    /// What a child's process does now.
    pub fn state(&self, child: ChildId) -> State {
        of(&mut self.running(), child).process.state()
    }

    /// SIGKILL. It is not waited for: [`state`](Children::state) tells when the process is gone.
    pub fn kill(&self, child: ChildId) {
        let mut running = self.running();
        let running = of(&mut running, child);
        running.told_to_end |= running.process.status().is_none();
        running.process.signal(Signal::KILL);
    }

    /// SIGSTOP. It is not waited for: [`state`](Children::state) tells when the process has stopped.
    pub fn pause(&self, child: ChildId) {
        of(&mut self.running(), child).process.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self, child: ChildId) {
        of(&mut self.running(), child).process.signal(Signal::CONT);
    }

    /// Whether a child still runs, or was told to end: if neither, [`LaunchError::Died`] with the end of its log.
    ///
    /// # Panics
    ///
    /// Like every function that takes a child, when it is none that [`start`](Children::start) of the same owner
    /// returned.
    pub fn check(&self, child: ChildId) -> Result<(), LaunchError> {
        let mut running = self.running();
        let child = of(&mut running, child);
        match child.process.status() {
            Some(status) if !child.told_to_end => Err(LaunchError::Died {
                name: child.spec.name.clone(),
                status,
                log: child.spec.log.clone(),
                tail: child.tail(),
            }),
            _ => Ok(()),
        }
    }

    /// What a child has used since it started; `None` when it runs no more, or the kernel does not tell.
    pub fn process_use(&self, child: ChildId) -> Option<ProcessUse> {
        let mut running = self.running();
        let process = &mut of(&mut running, child).process;
        // Nobody else reaps, so the id stays this child's while the lock is held.
        process.status().is_none().then(|| process_use(process.child.id()).ok())?
    }

    /// What a child has written since it started, or the last 64 KiB of it.
    pub fn output(&self, child: ChildId) -> String {
        of(&mut self.running(), child).output()
    }

    /// Whether a child has told in its log that it could not bind a port. Not every one ends of that: ZooKeeper goes
    /// without its AdminServer, or cannot lead.
    pub(crate) fn found_a_port_taken(&self, child: ChildId) -> bool {
        // Java writes the first letter large, Go writes it small.
        self.output(child).contains("ddress already in use")
    }

    /// The error for a child that does not serve in time: its age and the end of its log, with a reason.
    pub fn not_ready(&self, child: ChildId, reason: String) -> LaunchError {
        let mut running = self.running();
        let child = of(&mut running, child);
        LaunchError::NotReady {
            name: child.spec.name.clone(),
            waited: child.process.started.elapsed(),
            reason,
            log: child.spec.log.clone(),
            tail: child.tail(),
        }
    }

    /// Waits until a child has written its announcement, and returns that.
    pub fn wait_for_announcement(&self, child: ChildId, timeout: Duration) -> Result<String, LaunchError> {
        let file = of(&mut self.running(), child).spec.announcement.clone();
        let Some(file) = file else {
            return Err(self.not_ready(child, "it was started without a file for an announcement".to_owned()));
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
            self.check(child)?;
            if Instant::now() >= deadline {
                return Err(self.not_ready(child, format!("it has not written {}", file.display())));
            }
            thread::sleep(POLL);
        }
    }

    /// Ends every child: SIGTERM, up to `grace` of patience for all of them together, SIGKILL. When it returns, all
    /// have been reaped.
    pub fn stop_all(&self, grace: Duration) {
        let all: Vec<ChildId> = (0..self.running().len()).map(ChildId).collect();
        self.terminate(&all, grace);
    }

    /// Ends children: SIGTERM, up to `grace` of patience for all of them together, SIGKILL. When it returns, all of them
    /// have been reaped.
    pub fn terminate(&self, children: &[ChildId], grace: Duration) {
        for child in children {
            let mut running = self.running();
            let running = of(&mut running, *child);
            running.told_to_end |= running.process.status().is_none();
            running.process.signal(Signal::TERM);
            // One that is stopped takes notice of SIGTERM only when it continues.
            running.process.signal(Signal::CONT);
        }
        let begun = Instant::now();
        while children.iter().any(|child| self.state(*child) != State::Gone) && begun.elapsed() < grace {
            thread::sleep(poll_after(begun.elapsed()));
        }
        for child in children {
            of(&mut self.running(), *child).process.kill();
        }
    }

    fn spawn(&self, spec: &ChildSpec) -> Result<Process, LaunchError> {
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

        let mut command = self.command(spec);
        command
            .current_dir(&spec.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(log_error)?)
            .stderr(log)
            .process_group(0);
        let started = Instant::now();
        let child = self.spawn_in_thread(command).map_err(|source| LaunchError::Start {
            name: spec.name.clone(),
            program: spec.program.clone(),
            source,
        })?;
        Ok(Process { child, started, log_from })
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

    fn spawn_in_thread(&self, command: Command) -> io::Result<Child> {
        let gone = || io::Error::other("the thread that spawns members has ended");
        let (reply, answer) = mpsc::channel();
        let (requests, _) = self.spawner.as_ref().ok_or_else(gone)?;
        requests.send(SpawnRequest { command, reply }).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }

    fn running(&self) -> MutexGuard<'_, Vec<Running>> {
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

fn of(running: &mut [Running], child: ChildId) -> &mut Running {
    running.get_mut(child.0).unwrap_or_else(|| panic!("{child:?} is not a child of this owner"))
}

/// Between two looks at a process that was told to stop or end: close together at first, so that the instant at which it
/// does is known well.
pub(crate) fn poll_after(waited: Duration) -> Duration {
    if waited < Duration::from_millis(200) { Duration::from_millis(1) } else { POLL }
}

impl Process {
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

    fn state(&mut self) -> State {
        match self.status() {
            Some(_) => State::Gone,
            // While it is not reaped, the id is this child's.
            None if is_stopped(self.child.id()) => State::Stopped,
            None => State::Running,
        }
    }
}

impl Running {
    fn output(&self) -> String {
        read_end(&self.spec.log, self.process.log_from)
            .unwrap_or_else(|error| format!("(cannot be read: {error})"))
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
