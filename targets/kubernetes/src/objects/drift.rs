//! What becomes of what somebody changed by hand.

use std::fmt;

/// What is done where an object or an alias is not as Git declares although no commit changed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Drift {
    /// It is made as Git declares.
    #[default]
    Correct,
    /// It stands, and is told as something to mend.
    Warn,
    /// It stands, and is told.
    Off,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
