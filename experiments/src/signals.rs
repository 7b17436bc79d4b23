//! Ctrl-C and SIGTERM.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end a run: the first one early and in order, the second one at once.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    seen: u32,
}

impl Signals {
    /// Takes the signals over from the default, which would kill the process.
    pub(crate) fn new() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            seen: 0,
        })
    }

    /// Waits for the next one, and returns how many there were.
    pub(crate) async fn next(&mut self) -> u32 {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        self.seen += 1;
        self.seen
    }
}
