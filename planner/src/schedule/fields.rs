//! Five POSIX fields to the form that the crate `cron` reads: seconds in front, weekdays 1 to 7 from Sunday.

use std::collections::BTreeSet;

use crate::names::Malformed;

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// One field: what it may hold and how to say that it does not.
struct Field {
    first: u32,
    last: u32,
    /// The end of `*` and of `n/step`: the last value that no other one means too.
    open_end: u32,
    names: &'static [&'static str],
    expected: &'static str,
}

const MINUTE: Field = Field {
    first: 0,
    last: 59,
    open_end: 59,
    names: &[],
    expected: "a cron minute (first field): 0-59, lists (0,30), ranges (0-10), steps (*/15) or *",
};
const HOUR: Field = Field {
    first: 0,
    last: 23,
    open_end: 23,
    names: &[],
    expected: "a cron hour (second field): 0-23, lists (6,18), ranges (9-17), steps (*/6) or *",
};
const DAY: Field = Field {
    first: 1,
    last: 31,
    open_end: 31,
    names: &[],
    expected: "a cron day of month (third field): 1-31, lists (1,15), ranges (1-7), steps (*/2) or *",
};
const MONTH: Field = Field {
    first: 1,
    last: 12,
    open_end: 12,
    names: &MONTHS,
    expected: "a cron month (fourth field): 1-12 or JAN-DEC, lists, ranges, steps or *",
};
const WEEKDAY: Field = Field {
    first: 0,
    last: 7,
    open_end: 6,
    names: &WEEKDAYS,
    expected: "a cron weekday (fifth field): 0-7 (0 and 7 are Sunday) or SUN-SAT, lists, ranges, steps or *",
};

/// Parses five fields into the schedules whose slots they have together.
pub(super) fn parse(text: &str) -> Result<Vec<cron::Schedule>, Malformed> {
    let [minute, hour, day, month, weekday] = five(text)?;
    let time = format!(
        "0 {} {}",
        MINUTE.parse(minute)?.render(),
        HOUR.parse(hour)?.render()
    );
    let month = MONTH.parse(month)?;
    let day = DAY.parse(day)?;
    let weekday = WEEKDAY.parse(weekday)?.weekdays_from_one();
    let month = month.render();
    let dates = if day.is_given && weekday.is_given {
        vec![
            format!("{} {month} *", day.render()),
            format!("* {month} {}", weekday.render()),
        ]
    } else {
        vec![format!("{} {month} {}", day.render(), weekday.render())]
    };
    dates
        .into_iter()
        .map(|date| format!("{time} {date}").parse())
        .collect::<Result<_, cron::error::Error>>()
        .map_err(|_ignored| Malformed::new(text, "a cron schedule"))
}

fn five(text: &str) -> Result<[&str; 5], Malformed> {
    let parts: Vec<&str> = text.split_ascii_whitespace().collect();
    parts
        .try_into()
        .map_err(|_others| Malformed::new(text, in_five_fields(text)))
}

/// Refuses five fields whose date never comes.
pub(super) fn check_dates(text: &str) -> Result<(), Malformed> {
    let [_minute, _hour, day, month, weekday] = five(text)?;
    if WEEKDAY.parse(weekday)?.is_given || comes(&DAY.parse(day)?, &MONTH.parse(month)?) {
        return Ok(());
    }
    let expected = "a schedule of a date that comes: none of its months has such a day";
    Err(Malformed::new(text, expected))
}

/// Says whether any of the months has any of the days.
fn comes(days: &Values, months: &Values) -> bool {
    let longest = months.values.iter().map(|month| match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    });
    days.values.first() <= longest.max().as_ref()
}

/// Says which five fields to write, where something else stands for them.
fn in_five_fields(text: &str) -> &'static str {
    match text.trim().to_ascii_lowercase().as_str() {
        "@yearly" | "@annually" => "written in five fields: write 0 0 1 1 * instead",
        "@monthly" => "written in five fields: write 0 0 1 * * instead",
        "@weekly" => "written in five fields: write 0 0 * * 0 instead",
        "@daily" | "@midnight" => "written in five fields: write 0 0 * * * instead",
        "@hourly" => "written in five fields: write 0 * * * * instead",
        name if name.starts_with("@every") => {
            "a time of day: write when it runs in five fields, e.g. */15 * * * * or 0 */6 * * *"
        }
        zone if zone.starts_with("tz=") || zone.starts_with("cron_tz=") => {
            "a cron schedule of five fields alone: write the zone as timeZone"
        }
        _ => "a cron schedule of five fields: minute, hour, day of month, month, weekday",
    }
}

/// The values of one field.
struct Values {
    /// Whether the field says more than `*`.
    is_given: bool,
    values: BTreeSet<u32>,
}

impl Values {
    fn render(&self) -> String {
        if !self.is_given {
            return "*".to_owned();
        }
        self.values
            .iter()
            .map(u32::to_string)
            .collect::<Vec<_>>()
            .join(",")
    }

    fn weekdays_from_one(self) -> Self {
        Self {
            values: self.values.into_iter().map(|day| day % 7 + 1).collect(),
            ..self
        }
    }
}

impl Field {
    fn parse(&self, text: &str) -> Result<Values, Malformed> {
        let mut values = BTreeSet::new();
        for item in text.split(',') {
            values.extend(
                self.item(item)
                    .ok_or_else(|| Malformed::new(text, self.expected))?,
            );
        }
        Ok(Values {
            is_given: !matches!(text, "*" | "*/1"),
            values,
        })
    }

    /// `*`, `n`, `n-m`, each with `/step`; `n/step` runs to the end of the field, and `7/2` is the Sunday that it begins with.
    fn item(&self, text: &str) -> Option<impl Iterator<Item = u32>> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(number(step)?)),
            None => (text, None),
        };
        let step = usize::try_from(step.unwrap_or(1)).ok().filter(|step| *step > 0)?;
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.first, self.open_end),
            Some((first, last)) => {
                let first = self.value(first)?;
                (first, self.end(last, first)?)
            }
            None => {
                let first = self.value(range)?;
                let last = if text.contains('/') { self.open_end } else { first };
                (first, last.max(first))
            }
        };
        (first <= last).then(|| (first..=last).step_by(step))
    }

    fn value(&self, text: &str) -> Option<u32> {
        let named = self
            .names
            .iter()
            .zip(self.first..)
            .find(|(name, _)| name.eq_ignore_ascii_case(text));
        named
            .map(|(_, value)| value)
            .or_else(|| number(text))
            .filter(|value| (self.first..=self.last).contains(value))
    }

    /// The end of a range: `SAT-SUN` ends on the Sunday after the Saturday, `SUN-SUN` on the one that it begins with.
    fn end(&self, text: &str, first: u32) -> Option<u32> {
        let end = self.value(text)?;
        let is_sunday = self.names.first() == Some(&"sun") && text.eq_ignore_ascii_case("sun");
        Some(if is_sunday && first > end { 7 } else { end })
    }
}

/// Digits only: no sign, and short enough to be a value or a step of any field.
fn number(text: &str) -> Option<u32> {
    let is_short = (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    is_short.then(|| text.parse().ok()).flatten()
}
