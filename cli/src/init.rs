//! The first process of a container: passes signals on, reaps orphans, and ends as the process that does the work.
//!
//! Whoever is process 1 gets no signal that it has no handler for, and has to reap whatever its descendants leave behind.
//! Reaping takes the exit status of any child, also of those that somebody waits for, so it has a process of its own:
//!
//! ```text
//! 1  aurora   this: waits, passes on, reaps
//! └─ aurora   the same program, as it would run anywhere else
//! ```

use std::io;
use std::mem::MaybeUninit;
use std::process::ExitCode;
use std::ptr;

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, wait};

/// What is passed on.
const PASSED_ON: [libc::c_int; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT];
/// Exit code of a process that could not wait for the other: none that a command's own means.
const LOST: u8 = 71;

/// Does what a first process has to, if this is one, and returns its exit code at the end; `None` in any other, the one
/// that does the work among them. Called before there are threads.
pub(crate) fn run_if_first() -> Option<ExitCode> {
    if !getpid().is_init() {
        return None;
    }
    let attended = Attended::default();
    match fork() {
        Ok(Some(child)) => Some(attended.attend(child)),
        Ok(None) => {
            attended.restore();
            None
        }
        // It can still do the work by itself; only orphans stay.
        Err(_no_process) => {
            attended.restore();
            None
        }
    }
}

/// The signals that are waited for, and what was blocked before them.
struct Attended {
    set: libc::sigset_t,
    before: libc::sigset_t,
}

impl Default for Attended {
    /// Blocks them: what comes from here on is waited for.
    #[expect(unsafe_code, reason = "no safe crate changes a thread's signal mask")]
    fn default() -> Self {
        let mut set = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: both sets are made empty, so they are ones, before anything else is done with them, and the calls get
        // nothing but them and signals that exist.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigemptyset(before.as_mut_ptr());
            for signal in PASSED_ON.into_iter().chain([libc::SIGCHLD]) {
                libc::sigaddset(set.as_mut_ptr(), signal);
            }
            let _is_blocked = libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), before.as_mut_ptr());
            Self {
                set: set.assume_init(),
                before: before.assume_init(),
            }
        }
    }
}

impl Attended {
    /// Blocks what was blocked before, and nothing else.
    #[expect(unsafe_code, reason = "no safe crate changes a thread's signal mask")]
    fn restore(&self) {
        // SAFETY: the set was filled in by the call that blocked the others; no former mask is asked for.
        let _is_restored =
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, ptr::null_mut()) };
    }

    /// Waits until `child` ends, and returns its exit code.
    fn attend(&self, child: Pid) -> ExitCode {
        loop {
            match reap(child) {
                Ok(Some(code)) => return code,
                Ok(None) => {}
                Err(_no_child) => return ExitCode::from(LOST),
            }
            if let Some(signal) = self.next() {
                // It may have ended meanwhile.
                let _is_there = kill_process(child, signal);
            }
        }
    }

    /// Waits for a signal, and returns it if the other has not got it as well.
    #[expect(unsafe_code, reason = "no safe crate waits for a signal")]
    fn next(&self) -> Option<Signal> {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: the set was filled in when the signals were blocked; the call fills in `info`, which is valid anyway: all
        // of its fields are numbers.
        let (signal, code) = unsafe {
            let signal = libc::sigwaitinfo(&raw const self.set, info.as_mut_ptr());
            (signal, info.assume_init().si_code)
        };
        if !PASSED_ON.contains(&signal) {
            return None;
        }
        // A terminal sends Ctrl-C to both; what closes one is told to the first process alone.
        let is_of_terminal = code == libc::SI_KERNEL && signal != libc::SIGHUP;
        Signal::from_named_raw(signal).filter(|_signal| !is_of_terminal)
    }
}

/// Takes the exit status of whoever has ended; returns the exit code if `child` was among them.
fn reap(child: Pid) -> io::Result<Option<ExitCode>> {
    while let Some((ended, status)) = wait(WaitOptions::NOHANG)? {
        if ended == child {
            return Ok(Some(code(status)));
        }
    }
    Ok(None)
}

/// Returns the exit code that says how a process ended, as a shell does.
fn code(status: WaitStatus) -> ExitCode {
    let by_signal = || Some(128 + status.terminating_signal()?);
    let code = status.exit_status().or_else(by_signal);
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(LOST))
}

/// Makes a process that goes on from here as this one does; returns its id in this one.
#[expect(unsafe_code, reason = "no safe crate forks")]
fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: there is no other thread yet whose locks or memory could be left half done in the new process.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        id => Ok(Pid::from_raw(id)),
    }
}
