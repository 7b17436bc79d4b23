//! The child's own side: what a process does before it becomes the program it was started for.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Signal};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_another_parent_is_told_so() {
        let error = die_with_parent(u32::MAX).unwrap_err();
        assert!(error.to_string().contains("is gone"), "{error}");
        // Undo what the call has asked for, so that the test's own parent may end as it likes.
        rustix::process::set_parent_process_death_signal(None).unwrap();
    }
}
