//! The wall clock: read here and handed on as an argument.

use std::time::SystemTime;

use planner::Timestamp;

/// Returns the time, UTC.
pub(crate) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}
