//! Lengths of time as a manifest writes them.

use std::fmt;
use std::str::FromStr;

use chrono::Duration;
use serde::{Deserialize, Serialize};

use crate::names::Malformed;

/// The longest, in minutes: a year and a day.
const MINUTES_MAX: u32 = 366 * DAY;
const DAY: u32 = 24 * HOUR;
const HOUR: u32 = 60;

/// A length of time: a whole number of minutes, hours or days (`90m`, `8h`, `14d`), from a minute to 366 days.
///
/// An hour is sixty minutes and a day 24 hours, whatever a wall clock does meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    minutes: u32,
}

impl Span {
    /// Returns how long it is.
    pub fn duration(self) -> Duration {
        Duration::minutes(i64::from(self.minutes))
    }
}

impl FromStr for Span {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = || Malformed::new(text, "a length of time from 1m to 366d, e.g. 90m, 8h or 14d");
        let unit = match text.chars().next_back() {
            Some('m') => 1,
            Some('h') => HOUR,
            Some('d') => DAY,
            Some(_) | None => return Err(malformed()),
        };
        let number = &text[..text.len() - 1];
        if !number.bytes().all(|byte| byte.is_ascii_digit()) || number.starts_with('0') {
            return Err(malformed());
        }
        let number: Option<u32> = number.parse().ok();
        number
            .and_then(|number| number.checked_mul(unit))
            .filter(|minutes| (1..=MINUTES_MAX).contains(minutes))
            .map(|minutes| Self { minutes })
            .ok_or_else(malformed)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.minutes {
            minutes if minutes % DAY == 0 => write!(f, "{}d", minutes / DAY),
            minutes if minutes % HOUR == 0 => write!(f, "{}h", minutes / HOUR),
            minutes => write!(f, "{minutes}m"),
        }
    }
}

impl TryFrom<String> for Span {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_minutes_hours_or_days() {
        for (text, minutes, shown) in [
            ("1m", 1, "1m"),
            ("90m", 90, "90m"),
            ("120m", 120, "2h"),
            ("8h", 480, "8h"),
            ("24h", 1440, "1d"),
            ("14d", 14 * 1440, "14d"),
            ("366d", 366 * 1440, "366d"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.duration(), Duration::minutes(minutes), "{text}");
            assert_eq!(span.to_string(), shown);
            assert_eq!(shown.parse::<Span>().unwrap(), span);
        }
        for text in [
            "",
            "m",
            "0m",
            "08h",
            "8",
            "8 h",
            "8H",
            "-1m",
            "+1m",
            "1.5h",
            "367d",
            "99999999999d",
            "1é",
            "1s",
            "1w",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
