//! Time zones: the copy that is compiled in, or rules that the planner is given.

use std::sync::Arc;

use chrono::{Duration, MappedLocalTime, NaiveDateTime, TimeZone as _};
use chrono_tz::Tz;

use crate::Timestamp;

/// Which edition of the IANA time zone database is compiled in, e.g. `2025b`.
pub const BUNDLED_EDITION: &str = chrono_tz::IANA_TZDB_VERSION;

/// The rules of one zone as whoever reads files has found them: which offset counts from when on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneRules {
    /// Each instant, in seconds since 1970, from which on the wall clock is so many seconds ahead of UTC; ascending.
    from: Vec<(i64, i32)>,
    /// What counts before the first of them, in seconds.
    before: i32,
}

impl ZoneRules {
    /// Makes rules of what counts first, in seconds ahead of UTC, and of what counts from which second since 1970 on.
    pub fn new(before: i32, mut from: Vec<(i64, i32)>) -> Self {
        from.sort_unstable();
        Self { from, before }
    }

    /// Returns how many seconds the wall clock is ahead of UTC.
    fn offset(&self, second: i64) -> i32 {
        let count = self.from.partition_point(|(from, _)| *from <= second);
        count.checked_sub(1).map_or(self.before, |last| self.from[last].1)
    }

    /// Returns the instants at which the wall clock shows a time, the earlier first.
    fn instants(&self, local: NaiveDateTime) -> Vec<i64> {
        // No zone is more than a day from UTC: only the offsets of the days around count.
        let near = local.and_utc().timestamp();
        let first = self.from.partition_point(|(from, _)| *from < near - 2 * 86_400);
        let last = self.from.partition_point(|(from, _)| *from <= near + 2 * 86_400);
        let offsets = self.from[first..last].iter().map(|(_, offset)| *offset);
        let mut instants: Vec<i64> = offsets
            .chain([self.offset(near - 2 * 86_400)])
            .map(|offset| (near - i64::from(offset), offset))
            .filter(|(instant, offset)| self.offset(*instant) == *offset)
            .map(|(instant, _)| instant)
            .collect();
        instants.sort_unstable();
        instants.dedup();
        instants
    }
}

/// What a schedule is read in.
#[derive(Debug, Clone)]
pub(super) enum Zone {
    Bundled(Tz),
    Given(Arc<ZoneRules>),
}

impl Zone {
    /// Returns what the wall clock shows.
    pub(super) fn local(&self, at: Timestamp) -> NaiveDateTime {
        match self {
            Self::Bundled(zone) => at.with_timezone(zone).naive_local(),
            Self::Given(rules) => at.naive_utc() + Duration::seconds(i64::from(rules.offset(at.timestamp()))),
        }
    }

    /// Returns when the wall clock shows a time: never, once or twice.
    pub(super) fn instants(&self, local: NaiveDateTime) -> MappedLocalTime<Timestamp> {
        let rules = match self {
            Self::Bundled(zone) => return zone.from_local_datetime(&local).map(|at| at.to_utc()),
            Self::Given(rules) => rules,
        };
        let behind = Duration::nanoseconds(i64::from(chrono::Timelike::nanosecond(&local)));
        let instants = rules.instants(local);
        let mut found = instants
            .into_iter()
            .filter_map(|second| Some(Timestamp::from_timestamp(second, 0)? + behind));
        match (found.next(), found.next()) {
            (None, _) => MappedLocalTime::None,
            (Some(only), None) => MappedLocalTime::Single(only),
            (Some(first), Some(second)) => MappedLocalTime::Ambiguous(first, second),
        }
    }
}
