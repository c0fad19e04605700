//! A repository on another machine: where it is, what it is reached with, and who has it fetched when.
//!
//! ```text
//! fetcher ─ every interval, or when nudged ─> a process that fetches ─> mirror (a bare repository on this machine)
//! Source  ─ whenever it is asked ───────────> the process that reads Git <─ mirror
//! ```
//!
//! What is read is the mirror, so a remote that is away, stalls or lies keeps nobody from what was fetched before. A
//! secret is read from its file for each fetch and goes to the process through its socket, never through arguments or
//! variables.

mod access;
mod address;
mod fault;
mod fetcher;
mod files;
mod known_hosts;
mod nudge;
mod schedule;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use access::{Access, Proxy};
pub(crate) use access::{Credential, Means};
pub use address::{Address, AddressError, Scheme};
pub use fault::{Fault, Presented};
pub(crate) use fetcher::Fetcher;
pub use nudge::Nudge;

/// A repository on another machine.
#[derive(Debug, Clone)]
pub struct Remote {
    /// Where it is.
    pub address: Address,
    /// What it is reached with.
    pub access: Access,
    /// How often it is fetched, about: jitter moves it by a tenth, faults let it grow.
    pub interval: Duration,
    /// How long a fetch may go without anything coming.
    pub stall: Duration,
    /// Whether the first look waits for the first fetch, also where there is something to go on with.
    pub is_fetched_first: bool,
    /// What asks for a fetch before its time.
    pub nudge: Nudge,
    /// Time and chance, which are not read here.
    pub chance: Chance,
}

/// Where time and chance come from.
#[derive(Clone)]
pub struct Chance {
    /// Returns the time, in seconds since 1970.
    pub now: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// Returns a number from 0 to below 1.
    pub jitter: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl std::fmt::Debug for Chance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chance").finish_non_exhaustive()
    }
}

/// Returns where in a data directory the mirror lies.
pub fn mirror(data_dir: &Path) -> PathBuf {
    data_dir.join("git").join("mirror")
}
