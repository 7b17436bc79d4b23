//! Ctrl-C, SIGTERM, and SIGHUP: the terminal is gone.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end a run: the first one early and in order, the second one at once.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
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
            hang_up: signal(SignalKind::hangup())?,
            seen: 0,
        })
    }

    /// Waits for the next one, and returns how many there were.
    pub async fn next(&mut self) -> u32 {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
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
