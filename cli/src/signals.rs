//! SIGTERM and SIGINT: the first asks for an orderly end, the second ends the process at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Exit code of a process that a second signal ends, as a shell reports SIGINT.
const INTERRUPTED: i32 = 130;

/// Both signals, caught from the moment this is made.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches both signals from here on.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Ends the process at once with the next signal.
    pub(crate) fn end_with_next(mut self) {
        tokio::spawn(async move {
            self.next().await;
            // Whoever sends a second signal does not want to wait for a drain.
            std::process::exit(INTERRUPTED);
        });
    }
}
