//! SIGTERM, SIGINT and SIGHUP: the first asks for an orderly end, a second SIGTERM or SIGINT ends the process at once.
//!
//! They are held from the first instruction on, and awaited on a thread of their own before anything that can wait, so that
//! none is lost and nothing that is under way can keep them waiting.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

pub(crate) use settings::{hold, release};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Exit code of a process that a second signal ends, as a shell reports SIGINT.
const INTERRUPTED: i32 = 130;

/// The signals, caught from the moment this is made.
#[derive(Debug)]
pub(crate) struct Signals {
    asked: watch::Receiver<bool>,
    begun: Arc<AtomicBool>,
}

impl Signals {
    /// Catches the signals from here on. Until [`Self::begin`] there is nothing to end in order, and what is waited for may
    /// never come (a file system that hangs): the first signal ends the process at once, with `code`.
    ///
    /// SIGHUP, which says that the terminal is closed, counts unless it was ignored when the process started: `nohup`
    /// does that for what is to outlive its terminal. Writing to a terminal from the background never stops the process.
    pub(crate) fn catch(code: u8) -> io::Result<Self> {
        settings::write_from_background();
        let (ask, asked) = watch::channel(false);
        let begun = Arc::new(AtomicBool::new(false));
        let has_begun = begun.clone();
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
                    settings::release();
                    runtime.block_on(signals.tell(ask, &has_begun, code));
                }
                Err(error) => {
                    let _starter = caught.send(Err(error));
                }
            }
        })?;
        is_caught
            .recv()
            .unwrap_or_else(|_gone| Err(io::Error::other("the thread for signals ended")))?;
        Ok(Self { asked, begun })
    }

    /// Says that from here on somebody waits for [`Self::next`].
    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::SeqCst);
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
    async fn tell(mut self, ask: watch::Sender<bool>, has_begun: &AtomicBool, code: u8) {
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
            // Whoever begins after this finds that it was asked to end.
            if !has_begun.load(Ordering::SeqCst) {
                std::process::exit(code.into());
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
    use std::mem::MaybeUninit;
    use std::ptr;

    /// The signals that ask for an end.
    const ENDS: [libc::c_int; 3] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP];

    /// Keeps the signals that ask for an end until [`release`]: none is lost in between, also where the process is the
    /// first of a container, for which the kernel drops what it has no handler for. Called before there are threads.
    pub(crate) fn hold() {
        change(libc::SIG_BLOCK);
    }

    /// Lets this thread have the signals again, those that came meanwhile first.
    pub(crate) fn release() {
        change(libc::SIG_UNBLOCK);
    }

    #[expect(unsafe_code, reason = "no safe crate changes a thread's signal mask")]
    fn change(how: libc::c_int) {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the set is made empty, so it is one, before signals that exist are added and it is handed over; no former
        // mask is asked for.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for signal in ENDS {
                libc::sigaddset(set.as_mut_ptr(), signal);
            }
            let _is_changed = libc::pthread_sigmask(how, set.as_ptr(), ptr::null_mut());
        }
    }

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
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: with no new action given, the call only fills in the current one, which is valid when it returns 0.
        unsafe {
            libc::sigaction(libc::SIGHUP, ptr::null(), action.as_mut_ptr()) == 0
                && action.assume_init().sa_sigaction == libc::SIG_IGN
        }
    }
}
