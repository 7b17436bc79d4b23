//! Ctrl-C, SIGTERM, and SIGHUP: the terminal is gone.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end a run: the first one early and in order, the second one at once.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` where it is ignored, as under `nohup`: then the run is meant to outlive its terminal.
    hang_up: Option<Signal>,
    seen: u32,
}

impl Signals {
    /// Takes the signals over from the default, which would kill the process.
    ///
    /// # Errors
    ///
    /// The operating system's, and outside of a runtime.
    pub fn new() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: if hang_up_is_ignored() { None } else { Some(signal(SignalKind::hangup())?) },
            seen: 0,
        })
    }

    /// Waits for the next one, and returns how many there were.
    pub async fn next(&mut self) -> u32 {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => drop(signal.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = hang_up => {}
        }
        self.seen += 1;
        self.seen
    }

    /// How many there were.
    pub fn seen(&self) -> u32 {
        self.seen
    }

    /// Waits for the second one.
    pub async fn second(&mut self) {
        while self.next().await < 2 {}
    }
}

/// Whether this process was started with SIGHUP ignored (proc(5): a mask in hexadecimal, the lowest bit for signal 1,
/// which SIGHUP is).
pub fn hang_up_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask =
        status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 != 0)
}
