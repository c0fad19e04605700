//! Which processor core a thread, and the processes that it starts, run on.

use std::io;
use std::thread;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The core that a server is kept on where it must not share one with the load.
pub const SERVER_CORE: usize = 0;
/// The core that the load is kept on then.
pub const LOAD_CORE: usize = 1;

/// Keeps the current thread, and what it starts from now on, on one core.
pub fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

/// Runs `act` with the current thread on `core`; a process that it starts stays there, with all its threads.
pub fn on_core<T>(core: Option<usize>, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let Some(core) = core else { return act() };
    let before = sched_getaffinity(None)?;
    pin(core)?;
    let result = act();
    sched_setaffinity(None, &before)?;
    result
}

/// Returns how many cores the current thread may use.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}
