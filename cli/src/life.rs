//! Whether the process that owns a data directory is alive: by its lock, and by its heartbeat.

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crds::view::{AGE_MAX, NEVER_RECONCILED, TOO_OLD};
use planner::Timestamp;
use serde::Serialize;
use standalone::DataDir;

/// How the process that owns a data directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "process", content = "age_seconds", rename_all = "PascalCase")]
pub(crate) enum Life {
    /// It holds the directory and was seen so many seconds ago.
    Running(u64),
    /// It holds the directory, and its heartbeat is still: it hangs, or cannot write here.
    Silent(u64),
    /// Nobody holds the directory; the last one was seen so many seconds ago.
    Stopped(u64),
    /// Nobody ever did.
    NeverRun,
}

impl Life {
    /// Looks at a data directory; takes and writes nothing.
    pub(crate) fn of(data_dir: &Path) -> Self {
        let is_held = DataDir::refuse_in_use(data_dir).is_err();
        match age(data_dir) {
            Some(age) if is_held && age <= AGE_MAX => Self::Running(age.as_secs()),
            Some(age) if is_held => Self::Silent(age.as_secs()),
            None if is_held => Self::Running(0),
            Some(age) => Self::Stopped(age.as_secs()),
            None => Self::NeverRun,
        }
    }

    /// Says of whoever was last seen alive so long ago, by whether it has ended since as far as anybody knows.
    pub(crate) fn by_age(age: Duration, goes_on: bool) -> Self {
        if goes_on && age <= AGE_MAX {
            Self::Running(age.as_secs())
        } else {
            Self::Stopped(age.as_secs())
        }
    }

    /// Says why what is known is worth nothing, where it is.
    pub(crate) const fn unknown(self) -> Option<&'static str> {
        match self {
            Self::Running(_) => None,
            Self::Silent(_) | Self::Stopped(_) => Some(TOO_OLD),
            Self::NeverRun => Some(NEVER_RECONCILED),
        }
    }

    /// Says whether what the directory says is what is.
    pub(crate) fn is_running(self) -> bool {
        matches!(self, Self::Running(_))
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running(age) => write!(f, "running, seen alive {age} s ago"),
            Self::Silent(age) => write!(
                f,
                "its process holds the data directory, but hangs or cannot write here: last seen alive {age} s ago"
            ),
            Self::Stopped(age) => write!(f, "not running: last seen alive {age} s ago"),
            Self::NeverRun => f.write_str("never run"),
        }
    }
}

/// Returns how long ago whoever reconciles renewed its Lease. Its machine's clock may be ahead of this one's.
pub(crate) fn age_of(renewed: Timestamp) -> Duration {
    SystemTime::now()
        .duration_since(renewed.into())
        .unwrap_or_default()
}

/// Returns how long ago the process that owns the data directory was last alive.
pub(crate) fn age(data_dir: &Path) -> Option<Duration> {
    let beat = standalone::last_beat(data_dir)?;
    Some(SystemTime::now().duration_since(beat).unwrap_or_default())
}
