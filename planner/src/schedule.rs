//! Five-field cron schedules in an IANA time zone (DESIGN §11.12).

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::names::Malformed;

/// A cron expression of five POSIX fields and the time zone in which it is read.
///
/// Day of month and weekday both given mean *or*. In a spring gap the slot is the first valid minute after it; in
/// autumn it is the first occurrence, once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ScheduleText", into = "ScheduleText")]
pub struct Schedule {
    text: ScheduleText,
    zone: Tz,
}

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
        let _unused = &text;
        unimplemented!()
    }
}

impl From<Schedule> for ScheduleText {
    fn from(schedule: Schedule) -> Self {
        schedule.text
    }
}

impl Schedule {
    /// Returns the first slot after `after`.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let _unused = (after, self.zone);
        unimplemented!()
    }
}
