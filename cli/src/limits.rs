//! What the system lets this process have of files and threads. It is tried before anything depends on it, so that a limit
//! is said in words: a runtime that cannot start a thread, or cannot be told of signals, panics.
//!
//! What it starts gets back the limit on open files that the process itself was started with: programs exist that take a
//! high one for the number of files they have to look at.

use std::error::Error;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::{io, thread};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that any command may have open at once, besides those that serve connections.
const FILES_MIN: usize = 16;
/// Threads and processes that must be left for what is started later: those that load, a process that reads Git, a trainer.
const THREADS_SPARE: usize = 4;

/// The limit on open files before it was raised; absent where there was none.
static FILES_AT_START: OnceLock<Option<u64>> = OnceLock::new();

/// Lets the process have as many files open as it may, and says if that is not enough for any command.
pub(crate) fn take_files() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    FILES_AT_START.get_or_init(|| limit.current);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(
            error = &error as &dyn Error,
            "failed to raise the limit on open files"
        );
    }
    let pairs: io::Result<Vec<_>> = (0..FILES_MIN / 2).map(|_| UnixStream::pair()).collect();
    pairs.map(drop)
}

/// Returns how many files the process may have open.
pub(crate) fn files() -> usize {
    let now = getrlimit(Resource::Nofile).current;
    now.map_or(usize::MAX, |now| usize::try_from(now).unwrap_or(usize::MAX))
}

/// Returns how many files the process might have open when it was started; `None` where there was no limit.
pub(crate) fn files_at_start() -> Option<u64> {
    FILES_AT_START.get().copied().flatten()
}

/// Takes a lower limit on open files. Where the system refuses, the process goes on with the one that it has.
pub(crate) fn lower_files(to: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| to < current) {
        let lowered = Rlimit {
            current: Some(to),
            maximum: limit.maximum,
        };
        let _refused = setrlimit(Resource::Nofile, lowered);
    }
}

/// Says whether so many threads can be started, and a few more, by starting them.
pub(crate) fn try_threads(count: usize) -> io::Result<()> {
    let gate = Mutex::new(());
    thread::scope(|scope| {
        let shut = gate.lock().unwrap_or_else(PoisonError::into_inner);
        let started: io::Result<Vec<_>> = (0..count + THREADS_SPARE)
            .map(|_| thread::Builder::new().spawn_scoped(scope, || drop(gate.lock())))
            .collect();
        drop(shut);
        started.map(|threads| threads.into_iter().for_each(|thread| drop(thread.join())))
    })
}
