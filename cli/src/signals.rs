//! SIGTERM, SIGINT and SIGHUP: the first asks for an orderly end, a second SIGTERM or SIGINT ends the process at once.
//!
//! They are awaited on a thread of their own, so that nothing else that is under way can keep them waiting.

use std::io;
use std::sync::mpsc;
use std::thread;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Exit code of a process that a second signal ends, as a shell reports SIGINT.
const INTERRUPTED: i32 = 130;

/// The signals, caught from the moment this is made.
#[derive(Debug)]
pub(crate) struct Signals {
    asked: watch::Receiver<bool>,
}

impl Signals {
    /// Catches the signals from here on.
    ///
    /// SIGHUP, which says that the terminal is closed, counts unless it was ignored when the process started: `nohup`
    /// does that for what is to outlive its terminal. Writing to a terminal from the background never stops the process.
    pub(crate) fn new() -> io::Result<Self> {
        settings::write_from_background();
        let (ask, asked) = watch::channel(false);
        let (caught, is_caught) = mpsc::channel();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
            let caught_on = runtime.and_then(|runtime| {
                let caught = {
                    let _entered = runtime.enter();
                    Caught::new()?
                };
                Ok((runtime, caught))
            });
            match caught_on {
                Ok((runtime, signals)) => {
                    let _starter = caught.send(Ok(()));
                    runtime.block_on(signals.tell(ask));
                }
                Err(error) => {
                    let _starter = caught.send(Err(error));
                }
            }
        })?;
        is_caught
            .recv()
            .unwrap_or_else(|_gone| Err(io::Error::other("the thread for signals ended")))?;
        Ok(Self { asked })
    }

    /// Waits for the first signal, which may have come already.
    pub(crate) async fn next(&mut self) {
        if self.asked.wait_for(|asked| *asked).await.is_err() {
            // The thread never ends by itself; without it there is no signal to wait for.
            std::future::pending::<()>().await;
        }
    }
}

struct Caught {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
}

impl Caught {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: if settings::ignores_hangup() {
                None
            } else {
                Some(signal(SignalKind::hangup())?)
            },
        })
    }

    /// Tells of the first signal, and ends the process with the second.
    async fn tell(mut self, ask: watch::Sender<bool>) {
        loop {
            let is_impatient = tokio::select! {
                _ = self.terminate.recv() => true,
                _ = self.interrupt.recv() => true,
                // A terminal that closes sends one, and the shell in it another: that is nobody's impatience.
                () = hung_up(&mut self.hangup) => false,
            };
            if ask.send_replace(true) && is_impatient {
                // Whoever sends a second signal does not want to wait for a drain.
                std::process::exit(INTERRUPTED);
            }
        }
    }
}

async fn hung_up(hangup: &mut Option<Signal>) {
    match hangup {
        Some(hangup) => {
            hangup.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// What the kernel does with signals that are not awaited.
mod settings {
    /// Lets the process write to its terminal from the background, whatever the terminal is set to (`stty tostop`):
    /// SIGTTOU would stop all of it.
    #[expect(unsafe_code, reason = "no safe crate ignores a signal")]
    pub(super) fn write_from_background() {
        // SAFETY: SIGTTOU is a signal that may be ignored, and SIG_IGN runs no code of ours.
        let _former = unsafe { libc::signal(libc::SIGTTOU, libc::SIG_IGN) };
    }

    /// Says whether SIGHUP was ignored when the process started.
    #[expect(unsafe_code, reason = "no safe crate reads a signal's action")]
    pub(super) fn ignores_hangup() -> bool {
        let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: with no new action given, the call only fills in the current one, which is valid when it returns 0.
        unsafe {
            libc::sigaction(libc::SIGHUP, std::ptr::null(), action.as_mut_ptr()) == 0
                && action.assume_init().sa_sigaction == libc::SIG_IGN
        }
    }
}
