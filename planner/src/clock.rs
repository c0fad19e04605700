//! Whether the clock can be believed: what was written down must not lie ahead of it.

use std::fmt;

use chrono::Duration;

use crate::Timestamp;

/// How far a record or a commit may be ahead of the clock: no two clocks agree.
pub const TOLERANCE: Duration = Duration::minutes(5);

/// Why the clock cannot be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// Something was recorded here at a time that the clock has not reached.
    BehindRecord(Timestamp),
    /// A commit has a time that the clock has not reached.
    BehindCommit(Timestamp),
}

impl Doubt {
    /// Says why in one word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::BehindRecord(_) => "BehindRecord",
            Self::BehindCommit(_) => "BehindCommit",
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, at) = match self {
            Self::BehindRecord(at) => ("something was recorded here at", at),
            Self::BehindCommit(at) => ("a commit is dated", at),
        };
        let at = at.format("%F %T");
        write!(
            f,
            "{what} {at} UTC, which the clock has not reached: one of the two is wrong. Schedules go on by the clock as \
             it is; see that this machine's time is synchronised, and that of whoever commits"
        )
    }
}

/// Says whether the clock is behind the newest record or the newest commit.
pub fn doubt(
    newest_record: Option<Timestamp>,
    newest_commit: Option<Timestamp>,
    now: Timestamp,
) -> Option<Doubt> {
    let is_ahead = |at: &Timestamp| *at - now > TOLERANCE;
    let record = newest_record.filter(is_ahead).map(Doubt::BehindRecord);
    record.or_else(|| newest_commit.filter(is_ahead).map(Doubt::BehindCommit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + Duration::minutes(minutes)
    }

    #[test]
    fn what_is_ahead_by_more_than_clocks_disagree_is_doubted() {
        let now = at(1_000);
        assert_eq!(doubt(None, None, now), None);
        assert_eq!(doubt(Some(at(1_005)), Some(at(1_005)), now), None);
        let record = Some(Doubt::BehindRecord(at(1_006)));
        assert_eq!(doubt(Some(at(1_006)), Some(at(9_999)), now), record);
        let commit = Some(Doubt::BehindCommit(at(1_006)));
        assert_eq!(doubt(Some(at(5)), Some(at(1_006)), now), commit);
    }
}
