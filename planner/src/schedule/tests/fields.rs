//! What the five fields may say, and what is said of the others.

use std::fmt::Write as _;

use expect_test::expect;

use super::{at, schedule};
use crate::schedule::{Schedule, ScheduleText};

/// The weekdays of the slots in a week that begins on a Sunday.
fn weekdays(field: &str) -> String {
    let schedule = schedule(&format!("0 0 * * {field}"), "UTC");
    let mut slot = at("2026-11-21 23:59");
    let mut days = Vec::new();
    while let Some(next) = schedule.next_after(slot)
        && next < at("2026-11-29 00:00")
    {
        days.push(next.format("%a").to_string());
        slot = next;
    }
    days.join(" ")
}

#[test]
fn sunday_begins_and_ends_a_week() {
    let cases = [
        ("SUN-SUN", "Sun"),
        ("0-SUN", "Sun"),
        ("7-SUN", "Sun"),
        ("SUN-0", "Sun"),
        ("sun-mon", "Sun Mon"),
        ("MON-SUN", "Sun Mon Tue Wed Thu Fri Sat"),
        ("FRI-SUN", "Sun Fri Sat"),
        ("FRI-SUN/2", "Sun Fri"),
        ("0-7", "Sun Mon Tue Wed Thu Fri Sat"),
        ("7/2", "Sun"),
        ("7/1", "Sun"),
        ("6/2", "Sat"),
        ("SUN/2", "Sun Tue Thu Sat"),
        ("*/2", "Sun Tue Thu Sat"),
        ("1,7/3", "Sun Mon"),
    ];
    for (field, expected) in cases {
        assert_eq!(weekdays(field), expected, "{field}");
    }
}

#[test]
fn a_date_need_come_in_one_of_its_months_only() {
    for cron in [
        "0 0 31 4,5 *",
        "0 0 29 2 *",
        "0 0 30,31 4 *",
        "0 0 31 4 MON",
        "0 0 31 */5 *",
        "0 0 28-31 2 *",
    ] {
        let next = schedule(cron, "UTC").next_after(at("2026-01-01 00:00"));
        assert!(next.is_some(), "{cron}");
    }
}

#[test]
fn errors_say_which_field() {
    let refused = [
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * L * *",
        "* * * 13 *",
        "* * * * 8",
        "* * * * FRI-MON",
        "*/0 * * * *",
        "1,,2 * * * *",
        "-1 * * * *",
        "+1 * * * *",
        "99999999999999999999 * * * *",
        "0 0 3 * * *",
        "0 0 31 4 *",
        "0 0 30 2 *",
        "0 0 31 2,4,6,9,11 */1",
        "@daily",
        " @Weekly",
        "@hourly",
        "@monthly",
        "@annually",
        "@every 15m",
        "CRON_TZ=Europe/Paris 0 3 * * *",
        "@reboot",
        "",
    ];
    let mut lines = String::new();
    for (cron, time_zone) in refused
        .iter()
        .map(|cron| (*cron, "UTC"))
        .chain([("0 3 * * *", "Europe/Pariss")])
    {
        let text = ScheduleText {
            cron: cron.to_owned(),
            time_zone: time_zone.to_owned(),
        };
        writeln!(lines, "{}", Schedule::try_from(text).unwrap_err()).unwrap();
    }
    expect![[r#"
        "60" is not a cron minute (first field): 0-59, lists (0,30), ranges (0-10), steps (*/15) or *
        "24" is not a cron hour (second field): 0-23, lists (6,18), ranges (9-17), steps (*/6) or *
        "0" is not a cron day of month (third field): 1-31, lists (1,15), ranges (1-7), steps (*/2) or *
        "32" is not a cron day of month (third field): 1-31, lists (1,15), ranges (1-7), steps (*/2) or *
        "L" is not a cron day of month (third field): 1-31, lists (1,15), ranges (1-7), steps (*/2) or *
        "13" is not a cron month (fourth field): 1-12 or JAN-DEC, lists, ranges, steps or *
        "8" is not a cron weekday (fifth field): 0-7 (0 and 7 are Sunday) or SUN-SAT, lists, ranges, steps or *
        "FRI-MON" is not a cron weekday (fifth field): 0-7 (0 and 7 are Sunday) or SUN-SAT, lists, ranges, steps or *
        "*/0" is not a cron minute (first field): 0-59, lists (0,30), ranges (0-10), steps (*/15) or *
        "1,,2" is not a cron minute (first field): 0-59, lists (0,30), ranges (0-10), steps (*/15) or *
        "-1" is not a cron minute (first field): 0-59, lists (0,30), ranges (0-10), steps (*/15) or *
        "+1" is not a cron minute (first field): 0-59, lists (0,30), ranges (0-10), steps (*/15) or *
        "99999999999999999999" is not a cron minute (first field): 0-59, lists (0,30), ranges (0-10), steps (*/15) or *
        "0 0 3 * * *" is not a cron schedule of five fields: minute, hour, day of month, month, weekday
        "0 0 31 4 *" is not a schedule of a date that comes: none of its months has such a day
        "0 0 30 2 *" is not a schedule of a date that comes: none of its months has such a day
        "0 0 31 2,4,6,9,11 */1" is not a schedule of a date that comes: none of its months has such a day
        "@daily" is not written in five fields: write 0 0 * * * instead
        " @Weekly" is not written in five fields: write 0 0 * * 0 instead
        "@hourly" is not written in five fields: write 0 * * * * instead
        "@monthly" is not written in five fields: write 0 0 1 * * instead
        "@annually" is not written in five fields: write 0 0 1 1 * instead
        "@every 15m" is not a time of day: write when it runs in five fields, e.g. */15 * * * * or 0 */6 * * *
        "CRON_TZ=Europe/Paris 0 3 * * *" is not a cron schedule of five fields alone: write the zone as timeZone
        "@reboot" is not a cron schedule of five fields: minute, hour, day of month, month, weekday
        "" is not a cron schedule of five fields: minute, hour, day of month, month, weekday
        "Europe/Pariss" is not an IANA time zone, e.g. Europe/Paris or UTC
    "#]].assert_eq(&lines);
}
