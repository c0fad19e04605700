mod counting;
mod fields;
mod reference;

use std::fmt::Write as _;

use chrono::NaiveDateTime;
use expect_test::{Expect, expect};

use super::{Schedule, ScheduleText, ZoneRules};
use crate::Timestamp;

fn schedule(cron: &str, time_zone: &str) -> Schedule {
    ScheduleText {
        cron: cron.to_owned(),
        time_zone: time_zone.to_owned(),
    }
    .try_into()
    .unwrap()
}

fn at(text: &str) -> Timestamp {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M")
        .unwrap()
        .and_utc()
}

/// Renders the next four slots in the zone's wall clock, with its offset from UTC.
#[track_caller]
fn check(cron: &str, time_zone: &str, after: &str, expected: &Expect) {
    let schedule = schedule(cron, time_zone);
    let mut lines = String::new();
    let mut slot = at(after);
    for _ in 0..4 {
        let Some(next) = schedule.next_after(slot) else {
            lines.push_str("none\n");
            break;
        };
        assert!(next > slot);
        assert_eq!(
            schedule.newest_until(next),
            Some(next),
            "the newest slot until a slot is that slot"
        );
        let ahead = schedule.zone.as_ref().unwrap().local(next) - next.naive_utc();
        let offset = chrono::FixedOffset::east_opt(i32::try_from(ahead.num_seconds()).unwrap()).unwrap();
        let local = next.with_timezone(&offset);
        writeln!(lines, "{}", local.format("%a %Y-%m-%d %H:%M %z")).unwrap();
        slot = next;
    }
    expected.assert_eq(&lines);
}

#[test]
fn fields_mean_what_posix_says() {
    check(
        "30 4 * * *",
        "UTC",
        "2026-01-01 04:30",
        &expect![[r#"
        Fri 2026-01-02 04:30 +0000
        Sat 2026-01-03 04:30 +0000
        Sun 2026-01-04 04:30 +0000
        Mon 2026-01-05 04:30 +0000
    "#]],
    );
    check(
        "*/20 9-10 * * *",
        "UTC",
        "2026-01-01 09:30",
        &expect![[r#"
        Thu 2026-01-01 09:40 +0000
        Thu 2026-01-01 10:00 +0000
        Thu 2026-01-01 10:20 +0000
        Thu 2026-01-01 10:40 +0000
    "#]],
    );
    check(
        "0 0 1,15 * *",
        "UTC",
        "2026-01-01 00:00",
        &expect![[r#"
        Thu 2026-01-15 00:00 +0000
        Sun 2026-02-01 00:00 +0000
        Sun 2026-02-15 00:00 +0000
        Sun 2026-03-01 00:00 +0000
    "#]],
    );
    check(
        "0 12 * feb,AUG *",
        "UTC",
        "2026-02-27 12:00",
        &expect![[r#"
        Sat 2026-02-28 12:00 +0000
        Sat 2026-08-01 12:00 +0000
        Sun 2026-08-02 12:00 +0000
        Mon 2026-08-03 12:00 +0000
    "#]],
    );
    check(
        "5/25 0 1 1 *",
        "UTC",
        "2026-01-01 00:00",
        &expect![[r#"
        Thu 2026-01-01 00:05 +0000
        Thu 2026-01-01 00:30 +0000
        Thu 2026-01-01 00:55 +0000
        Fri 2027-01-01 00:05 +0000
    "#]],
    );
}

#[test]
fn weekdays_count_from_sunday_which_is_0_and_7() {
    // 2026-11-22 is a Sunday.
    check(
        "0 3 * * 0",
        "UTC",
        "2026-11-21 00:00",
        &expect![[r#"
        Sun 2026-11-22 03:00 +0000
        Sun 2026-11-29 03:00 +0000
        Sun 2026-12-06 03:00 +0000
        Sun 2026-12-13 03:00 +0000
    "#]],
    );
    for sunday in ["7", "SUN", "sun", "0,7"] {
        let next = schedule(&format!("0 3 * * {sunday}"), "UTC").next_after(at("2026-11-21 00:00"));
        assert_eq!(next, Some(at("2026-11-22 03:00")), "{sunday}");
    }
    check(
        "0 0 * * 1-5",
        "UTC",
        "2026-11-20 00:00",
        &expect![[r#"
        Mon 2026-11-23 00:00 +0000
        Tue 2026-11-24 00:00 +0000
        Wed 2026-11-25 00:00 +0000
        Thu 2026-11-26 00:00 +0000
    "#]],
    );
    check(
        "0 0 * * 5-7",
        "UTC",
        "2026-11-18 00:00",
        &expect![[r#"
        Fri 2026-11-20 00:00 +0000
        Sat 2026-11-21 00:00 +0000
        Sun 2026-11-22 00:00 +0000
        Fri 2026-11-27 00:00 +0000
    "#]],
    );
    check(
        "0 0 * * SAT-SUN",
        "UTC",
        "2026-11-18 00:00",
        &expect![[r#"
        Sat 2026-11-21 00:00 +0000
        Sun 2026-11-22 00:00 +0000
        Sat 2026-11-28 00:00 +0000
        Sun 2026-11-29 00:00 +0000
    "#]],
    );
    check(
        "0 0 * * */2",
        "UTC",
        "2026-11-21 00:00",
        &expect![[r#"
        Sun 2026-11-22 00:00 +0000
        Tue 2026-11-24 00:00 +0000
        Thu 2026-11-26 00:00 +0000
        Sat 2026-11-28 00:00 +0000
    "#]],
    );
    check(
        "0 0 * * 1/2",
        "UTC",
        "2026-11-21 00:00",
        &expect![[r#"
        Mon 2026-11-23 00:00 +0000
        Wed 2026-11-25 00:00 +0000
        Fri 2026-11-27 00:00 +0000
        Mon 2026-11-30 00:00 +0000
    "#]],
    );
}

#[test]
fn day_of_month_and_weekday_given_mean_or() {
    check(
        "0 0 13 * FRI",
        "UTC",
        "2026-11-05 00:00",
        &expect![[r#"
        Fri 2026-11-06 00:00 +0000
        Fri 2026-11-13 00:00 +0000
        Fri 2026-11-20 00:00 +0000
        Fri 2026-11-27 00:00 +0000
    "#]],
    );
    check(
        "0 0 * * FRI",
        "UTC",
        "2026-11-05 00:00",
        &expect![[r#"
        Fri 2026-11-06 00:00 +0000
        Fri 2026-11-13 00:00 +0000
        Fri 2026-11-20 00:00 +0000
        Fri 2026-11-27 00:00 +0000
    "#]],
    );
    check(
        "0 0 13 * *",
        "UTC",
        "2026-11-05 00:00",
        &expect![[r#"
        Fri 2026-11-13 00:00 +0000
        Sun 2026-12-13 00:00 +0000
        Wed 2027-01-13 00:00 +0000
        Sat 2027-02-13 00:00 +0000
    "#]],
    );
}

#[test]
fn dates_that_are_rare_or_never() {
    check(
        "0 0 29 2 *",
        "UTC",
        "2026-01-01 00:00",
        &expect![[r#"
        Tue 2028-02-29 00:00 +0000
        Sun 2032-02-29 00:00 +0000
        Fri 2036-02-29 00:00 +0000
        Wed 2040-02-29 00:00 +0000
    "#]],
    );
    check(
        "0 0 31 * *",
        "UTC",
        "2026-01-31 00:00",
        &expect![[r#"
        Tue 2026-03-31 00:00 +0000
        Sun 2026-05-31 00:00 +0000
        Fri 2026-07-31 00:00 +0000
        Mon 2026-08-31 00:00 +0000
    "#]],
    );
    check(
        "0 0 1 1 *",
        "UTC",
        "2098-06-01 00:00",
        &expect![[r#"
        Thu 2099-01-01 00:00 +0000
        Fri 2100-01-01 00:00 +0000
        none
    "#]],
    );
    assert_eq!(
        schedule("0 0 1 1 *", "UTC").newest_until(at("1969-06-01 00:00")),
        None
    );
}

#[test]
fn a_slot_in_the_spring_gap_happens_at_the_first_valid_minute_after_it() {
    check(
        "30 2 * * *",
        "Europe/Paris",
        "2026-03-28 00:00",
        &expect![[r#"
        Sat 2026-03-28 02:30 +0100
        Sun 2026-03-29 03:00 +0200
        Mon 2026-03-30 02:30 +0200
        Tue 2026-03-31 02:30 +0200
    "#]],
    );
    // Several slots of the gap are one.
    check(
        "*/20 2 * * *",
        "America/New_York",
        "2026-03-08 00:00",
        &expect![[r#"
        Sun 2026-03-08 03:00 -0400
        Mon 2026-03-09 02:00 -0400
        Mon 2026-03-09 02:20 -0400
        Mon 2026-03-09 02:40 -0400
    "#]],
    );
    // Half an hour is skipped.
    check(
        "15 2 * * *",
        "Australia/Lord_Howe",
        "2026-10-02 20:00",
        &expect![[r#"
        Sun 2026-10-04 02:30 +1100
        Mon 2026-10-05 02:15 +1100
        Tue 2026-10-06 02:15 +1100
        Wed 2026-10-07 02:15 +1100
    "#]],
    );
    // Midnight itself is skipped.
    check(
        "0 0 * * *",
        "Africa/Cairo",
        "2026-04-22 22:00",
        &expect![[r#"
        Fri 2026-04-24 01:00 +0300
        Sat 2026-04-25 00:00 +0300
        Sun 2026-04-26 00:00 +0300
        Mon 2026-04-27 00:00 +0300
    "#]],
    );
    // A whole day was skipped.
    check(
        "0 0 * * *",
        "Pacific/Apia",
        "2011-12-29 00:00",
        &expect![[r#"
        Thu 2011-12-29 00:00 -1000
        Sat 2011-12-31 00:00 +1400
        Sun 2012-01-01 00:00 +1400
        Mon 2012-01-02 00:00 +1400
    "#]],
    );
    check(
        "0 12 * * *",
        "Pacific/Apia",
        "2011-12-29 00:00",
        &expect![[r#"
        Thu 2011-12-29 12:00 -1000
        Sat 2011-12-31 00:00 +1400
        Sat 2011-12-31 12:00 +1400
        Sun 2012-01-01 12:00 +1400
    "#]],
    );
}

#[test]
fn a_slot_in_the_autumn_fold_happens_once_at_its_first_occurrence() {
    check(
        "30 2 * * *",
        "Europe/Paris",
        "2026-10-24 00:00",
        &expect![[r#"
        Sat 2026-10-24 02:30 +0200
        Sun 2026-10-25 02:30 +0200
        Mon 2026-10-26 02:30 +0100
        Tue 2026-10-27 02:30 +0100
    "#]],
    );
    check(
        "30 1 * * *",
        "America/New_York",
        "2026-10-31 12:00",
        &expect![[r#"
        Sun 2026-11-01 01:30 -0400
        Mon 2026-11-02 01:30 -0500
        Tue 2026-11-03 01:30 -0500
        Wed 2026-11-04 01:30 -0500
    "#]],
    );
    check(
        "45 1 * * *",
        "Australia/Lord_Howe",
        "2026-04-03 20:00",
        &expect![[r#"
        Sun 2026-04-05 01:45 +1100
        Mon 2026-04-06 01:45 +1030
        Tue 2026-04-07 01:45 +1030
        Wed 2026-04-08 01:45 +1030
    "#]],
    );
    check(
        "*/30 * * * *",
        "Europe/Paris",
        "2026-10-24 23:45",
        &expect![[r#"
        Sun 2026-10-25 02:00 +0200
        Sun 2026-10-25 02:30 +0200
        Sun 2026-10-25 03:00 +0100
        Sun 2026-10-25 03:30 +0100
    "#]],
    );
}

#[test]
fn from_inside_the_second_pass_of_a_fold() {
    // 01:10 UTC is 02:10 for the second time: 02:30 was an hour ago.
    let half_past = schedule("30 2 * * *", "Europe/Paris");
    assert_eq!(
        half_past.next_after(at("2026-10-25 01:10")),
        Some(at("2026-10-26 01:30"))
    );
    assert_eq!(
        half_past.newest_until(at("2026-10-25 01:10")),
        Some(at("2026-10-25 00:30"))
    );
    let each_minute = schedule("* * * * *", "Europe/Paris");
    assert_eq!(
        each_minute.next_after(at("2026-10-25 01:10")),
        Some(at("2026-10-25 02:00"))
    );
    assert_eq!(
        each_minute.newest_until(at("2026-10-25 01:10")),
        Some(at("2026-10-25 00:59"))
    );
}

#[test]
fn a_schedule_keeps_its_text() {
    let schedule = schedule("0  3 * * SUN", "Europe/Paris");
    let json = serde_json::to_string(&schedule).unwrap();
    expect![[r#"{"cron":"0  3 * * SUN","time_zone":"Europe/Paris"}"#]].assert_eq(&json);
    assert_eq!(serde_json::from_str::<Schedule>(&json).unwrap(), schedule);
}

#[test]
fn no_slot_is_newest_before_it_is_there() {
    // Up to a millisecond before the slot it is the one before, by whatever clock reads fractions of a second.
    for (cron, zone) in [
        ("* * * * *", "UTC"),
        ("* * * * *", "Europe/Paris"),
        ("30 1,2 * * *", "Europe/Berlin"),
    ] {
        let schedule = schedule(cron, zone);
        let slot = schedule.next_after(at("2026-10-25 00:00")).unwrap();
        let before = schedule
            .newest_until(slot - chrono::Duration::seconds(1))
            .unwrap();
        for millis in [1, 500, 999, 1_000] {
            let at = slot - chrono::Duration::milliseconds(millis);
            assert_eq!(
                schedule.newest_until(at),
                Some(before),
                "{cron} {zone} {millis} ms before"
            );
        }
        for millis in [0, 1, 999] {
            let at = slot + chrono::Duration::milliseconds(millis);
            assert_eq!(
                schedule.newest_until(at),
                Some(slot),
                "{cron} {zone} {millis} ms after"
            );
        }
    }
}

/// Rules of a zone as a file would give them: a year of Europe/Paris, or of a country that has changed its mind.
fn given(zone: &str, before: i32, from: &[(&str, i32)]) -> Schedule {
    let from = from.iter().map(|(text, offset)| (at(text).timestamp(), *offset));
    let mut schedule = schedule("30 2 * * *", zone);
    schedule.read_by(Some(std::sync::Arc::new(ZoneRules::new(before, from))));
    schedule
}

#[test]
fn rules_that_are_given_count_as_those_that_are_compiled_in() {
    let paris = [("2026-03-29 01:00", 7_200), ("2026-10-25 01:00", 3_600)];
    let given = given("Europe/Paris", 3_600, &paris);
    let bundled = schedule("30 2 * * *", "Europe/Paris");
    assert_eq!(given, bundled, "how it is written decides");
    // The spring gap, the autumn fold, and any other night; minute by minute around the changes.
    let mut after = at("2026-01-01 00:00");
    while after < at("2026-12-31 00:00") {
        assert_eq!(
            given.next_after(after),
            bundled.next_after(after),
            "after {after}"
        );
        assert_eq!(
            given.newest_until(after),
            bundled.newest_until(after),
            "until {after}"
        );
        after += chrono::Duration::minutes(if [3, 10].contains(&chrono::Datelike::month(&after)) {
            7
        } else {
            301
        });
    }
}

#[test]
fn rules_that_are_newer_than_those_that_are_compiled_in_count() {
    // A zone that gives its summer time up: standard time all year from 2026 on.
    let given = given("Europe/Paris", 3_600, &[]);
    assert_eq!(
        given.next_after(at("2026-07-01 00:00")),
        Some(at("2026-07-01 01:30"))
    );
    assert_eq!(
        schedule("30 2 * * *", "Europe/Paris").next_after(at("2026-07-01 00:00")),
        Some(at("2026-07-01 00:30"))
    );
}

#[test]
fn what_was_accepted_once_is_kept_and_has_no_slot() {
    let accepted = |cron: &str, zone: &str| {
        Schedule::accepted(ScheduleText {
            cron: cron.to_owned(),
            time_zone: zone.to_owned(),
        })
        .unwrap()
    };
    let now = "2026-11-28T12:00:00Z".parse().unwrap();
    let slots = |schedule: &Schedule| (schedule.next_after(now), schedule.newest_until(now));
    let never = accepted("0 0 31 4 *", "UTC");
    assert_eq!(slots(&never), (None, None));
    assert!(never.check_dates().is_err());
    assert!(accepted("0 0 31 4 MON", "UTC").check_dates().is_ok());
    let mut elsewhere = accepted("0 3 * * *", "Mars/Olympus");
    assert_eq!(slots(&elsewhere), (None, None));
    // Once somebody has its rules, it is a zone like any other.
    elsewhere.read_by(Some(std::sync::Arc::new(ZoneRules::new(3_600, []))));
    assert_eq!(
        elsewhere.next_after(now),
        Some("2026-11-29T02:00:00Z".parse().unwrap())
    );
}
