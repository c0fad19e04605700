//! What the C library's allocator keeps, where it is glibc: without this, half of what a thousand models leave resident is
//! memory that was freed.

/// The most arenas that the threads have together.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ARENAS: libc::c_int = 2;

/// After how many events there is enough to give back.
const UNTIDY: u64 = 1_000;

/// Lets threads share a few arenas; called before there are threads.
///
/// Each thread would have one of its own, up to eight per core, and what a short-lived thread frees would serve no other.
/// Threads rarely meet at two, because small pieces come from a cache of each thread (`mallopt(3)`, `M_ARENA_MAX`). An
/// operator's own `MALLOC_ARENA_MAX` holds.
#[cfg_attr(
    all(target_os = "linux", target_env = "gnu"),
    expect(unsafe_code, reason = "no safe crate wraps mallopt")
)]
pub(crate) fn share_between_threads() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if std::env::var_os("MALLOC_ARENA_MAX").is_none() {
        // SAFETY: mallopt takes two integers, keeps no pointer and may be called at any time.
        let _is_taken = unsafe { libc::mallopt(libc::M_ARENA_MAX, ARENAS) };
    }
}

/// Gives free memory back to the system when much has happened and nothing is left to do.
#[derive(Debug)]
pub(crate) struct Heap {
    events: u64,
}

impl Default for Heap {
    /// The start alone, which reads everything, is much.
    fn default() -> Self {
        Self { events: UNTIDY }
    }
}

impl Heap {
    /// Takes in that something happened, so often.
    pub(crate) fn used(&mut self, events: u64) {
        self.events = self.events.saturating_add(events);
    }

    /// Gives back what is free, on a thread that may wait, if there was enough. Called within a Tokio runtime.
    pub(crate) fn tidy(&mut self) {
        if self.events >= UNTIDY {
            self.events = 0;
            drop(tokio::task::spawn_blocking(trim));
        }
    }
}

/// Gives pages that hold nothing but free memory back to the system.
#[cfg_attr(
    all(target_os = "linux", target_env = "gnu"),
    expect(unsafe_code, reason = "no safe crate wraps malloc_trim")
)]
fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: malloc_trim takes an integer, moves nothing that is in use and may be called on any thread.
        let _was_any = unsafe { libc::malloc_trim(0) };
    }
}
