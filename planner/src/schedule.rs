//! Five-field cron schedules in an IANA time zone (docs/design.md, "Cron and time zones").
//!
//! Slots are computed in the zone's wall-clock time by the crate `cron` and mapped to UTC here, so that gaps and folds
//! of daylight saving are decided in one place.

mod fields;
#[cfg(test)]
mod tests;
mod zone;

use std::sync::Arc;

use chrono::{Duration, MappedLocalTime, NaiveDateTime};
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::names::Malformed;
pub use zone::{NoZoneFile, ZoneRules, bundled_edition, is_zone, zone_names};

/// The wall clock repeats or skips at most a day (Samoa, Kwajalein), which has so many minutes, and one to be safe.
const STEPS_MAX: usize = 24 * 60 + 1;

/// A cron expression of five POSIX fields and the time zone in which it is read.
///
/// Day of month and weekday both given mean *or*. In a spring gap the slot is the first valid minute after it; in
/// autumn it is the first occurrence, once. No slot lies after the year 2100.
///
/// Two are equal where they are written alike, whatever rules their zone is read by.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "ScheduleText", into = "ScheduleText")]
pub struct Schedule {
    text: ScheduleText,
    /// None for a zone that is not compiled in, until its rules are given: there is no slot.
    zone: Option<Arc<ZoneRules>>,
    /// A slot of any of these is a slot: one, or two where day of month and weekday are both given.
    alternatives: Vec<cron::Schedule>,
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Schedule {}

/// How a schedule is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleText {
    /// Five POSIX fields.
    pub cron: String,
    /// An IANA name; `UTC` where a manifest gives none.
    pub time_zone: String,
}

impl TryFrom<ScheduleText> for Schedule {
    type Error = Malformed;

    fn try_from(text: ScheduleText) -> Result<Self, Malformed> {
        if !is_zone(&text.time_zone) {
            let expected = "an IANA time zone, e.g. Europe/Paris or UTC";
            return Err(Malformed::new(&text.time_zone, expected));
        }
        let schedule = Self::accepted(text)?;
        schedule.check_dates()?;
        Ok(schedule)
    }
}

impl From<Schedule> for ScheduleText {
    fn from(schedule: Schedule) -> Self {
        schedule.text
    }
}

impl Schedule {
    /// Takes a schedule that somebody has accepted before: it may be of a date that never comes, or of a zone that is not
    /// compiled in, and has no slot then.
    pub fn accepted(text: ScheduleText) -> Result<Self, Malformed> {
        let alternatives = fields::parse(&text.cron)?;
        let zone = ZoneRules::bundled(&text.time_zone);
        Ok(Self {
            text,
            zone,
            alternatives,
        })
    }

    /// Refuses a schedule of a date that never comes.
    pub fn check_dates(&self) -> Result<(), Malformed> {
        fields::check_dates(&self.text.cron)
    }

    /// Returns how it was written.
    pub fn text(&self) -> &ScheduleText {
        &self.text
    }

    /// Lets the zone be read by these rules rather than by those that are compiled in, where there are any.
    pub fn read_by(&mut self, rules: Option<Arc<ZoneRules>>) {
        if let Some(rules) = rules {
            self.zone = Some(rules);
        }
    }

    /// Returns the first slot after `after`; `None` where no date ever matches, or nobody knows the zone.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let mut local = self.local(after)?;
        // In the second pass through a fold, slots of the first pass lie ahead on the wall clock but not in time.
        for _ in 0..STEPS_MAX {
            local = self.next_local(local)?;
            let slot = self.instant(local)?;
            if slot > after {
                return Some(slot);
            }
        }
        None
    }

    /// Returns the newest slot at or before `at`; `None` where there was none since 1970.
    pub fn newest_until(&self, at: Timestamp) -> Option<Timestamp> {
        // Slots are whole minutes: what is behind the second decides nothing, and would reach into the next one.
        let local = self.local(at)?;
        let local = chrono::Timelike::with_nanosecond(&local, 0).unwrap_or(local);
        let mut candidate = self.previous_local(local + Duration::seconds(1));
        // In the second pass through a fold, slots ahead on the wall clock have been already.
        if let MappedLocalTime::Ambiguous(..) = self.zone.as_ref()?.instants(local) {
            for _ in 0..STEPS_MAX {
                let Some(ahead) = self.next_local(candidate.unwrap_or(local)) else {
                    break;
                };
                if self.instant(ahead).is_none_or(|slot| slot > at) {
                    break;
                }
                candidate = Some(ahead);
            }
        }
        self.instant(candidate?)
    }

    fn local(&self, at: Timestamp) -> Option<NaiveDateTime> {
        Some(self.zone.as_ref()?.local(at))
    }

    fn next_local(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        // The wall clock is handed over as if it were UTC, which has neither gaps nor folds.
        let next = |alternative: &cron::Schedule| alternative.after(&after.and_utc()).next();
        self.alternatives
            .iter()
            .filter_map(next)
            .min()
            .map(|slot| slot.naive_utc())
    }

    fn previous_local(&self, before: NaiveDateTime) -> Option<NaiveDateTime> {
        let previous = |alternative: &cron::Schedule| alternative.after(&before.and_utc()).next_back();
        self.alternatives
            .iter()
            .filter_map(previous)
            .max()
            .map(|slot| slot.naive_utc())
    }

    /// The first occurrence of a wall-clock minute, or of the first valid minute after it.
    fn instant(&self, local: NaiveDateTime) -> Option<Timestamp> {
        let zone = self.zone.as_ref()?;
        (0..STEPS_MAX).find_map(|minutes| {
            let minutes = i64::try_from(minutes).expect("invariant: a day's minutes fit");
            let local = local.checked_add_signed(Duration::minutes(minutes))?;
            zone.instants(local).earliest()
        })
    }
}
