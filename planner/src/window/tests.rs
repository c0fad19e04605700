use chrono::{Duration, NaiveDateTime};
use proptest::prelude::*;

use super::*;
use crate::schedule::ScheduleText;

fn at(text: &str) -> Timestamp {
    let parsed = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M");
    parsed.unwrap().and_utc()
}

fn window(kind: WindowKind, cron: &str, zone: &str, duration: &str) -> Window {
    let text = ScheduleText {
        cron: cron.to_owned(),
        time_zone: zone.to_owned(),
    };
    Window {
        kind,
        schedule: text.try_into().unwrap(),
        duration: duration.parse().unwrap(),
        reason: None,
    }
}

fn allow(cron: &str, zone: &str, duration: &str) -> Window {
    window(WindowKind::Allow, cron, zone, duration)
}

fn deny(cron: &str, zone: &str, duration: &str) -> Window {
    window(WindowKind::Deny, cron, zone, duration)
}

#[test]
fn raises_are_allowed_where_no_window_refuses_and_one_allows() {
    let working = || allow("0 9 * * MON-FRI", "Europe/Paris", "8h");
    let lunch = || deny("0 12 * * *", "Europe/Paris", "1h");
    let weekend = || deny("0 18 * * FRI", "Europe/Paris", "62h");
    let ever = || deny("0 * * * *", "UTC", "2h");
    // Each instant in UTC, and until when raises are refused: none where they are allowed, `ever` where nobody knows.
    let cases: &[(&[Window], &str, Option<&str>)] = &[
        (&[], "2026-11-29 12:00", None),
        // Winter: 09:00 in Paris is 08:00 in UTC. The end is outside.
        (&[working()], "2026-11-30 07:59", Some("2026-11-30 08:00")),
        (&[working()], "2026-11-30 08:00", None),
        (&[working()], "2026-11-30 15:59", None),
        (&[working()], "2026-11-30 16:00", Some("2026-12-01 08:00")),
        (&[working()], "2026-11-28 10:00", Some("2026-11-30 08:00")),
        // One that allows is enough, whichever.
        (
            &[allow("0 9 * * SUN", "UTC", "1h"), working()],
            "2026-11-30 08:00",
            None,
        ),
        (
            &[working(), allow("0 9 * * SUN", "UTC", "1h")],
            "2026-11-29 09:30",
            None,
        ),
        // Refusal wins, and what follows it counts too.
        (
            &[working(), lunch()],
            "2026-11-30 11:30",
            Some("2026-11-30 12:00"),
        ),
        (&[lunch()], "2026-11-30 10:59", None),
        (&[weekend()], "2026-11-27 16:59", None),
        (&[weekend()], "2026-11-27 17:00", Some("2026-11-30 07:00")),
        (
            &[weekend(), working()],
            "2026-11-28 12:00",
            Some("2026-11-30 08:00"),
        ),
        // A window that is as long as its period, or longer, is always open.
        (&[ever()], "2026-11-30 11:30", Some("ever")),
        (&[allow("0 * * * *", "UTC", "1h")], "2026-11-30 11:59", None),
        // Spring in Paris, 2027-03-28: 02:30 does not exist, and 03:00 stands for it, 01:00 in UTC.
        (
            &[deny("30 2 * * *", "Europe/Paris", "1h")],
            "2027-03-28 00:59",
            None,
        ),
        (
            &[deny("30 2 * * *", "Europe/Paris", "1h")],
            "2027-03-28 01:00",
            Some("2027-03-28 02:00"),
        ),
        // Eight hours from midnight are eight hours: they end at 09:00 that morning, 07:00 in UTC.
        (
            &[deny("0 0 * * *", "Europe/Paris", "8h")],
            "2027-03-28 06:59",
            Some("2027-03-28 07:00"),
        ),
        // Autumn, 2026-10-25: 02:30 comes twice, and counts once, at 00:30 in UTC.
        (
            &[deny("30 2 * * *", "Europe/Paris", "30m")],
            "2026-10-25 00:30",
            Some("2026-10-25 01:00"),
        ),
        (
            &[deny("30 2 * * *", "Europe/Paris", "30m")],
            "2026-10-25 01:30",
            None,
        ),
        (
            &[deny("0 0 * * *", "Europe/Paris", "8h")],
            "2026-10-25 05:59",
            Some("2026-10-25 06:00"),
        ),
    ];
    for (windows, now, until) in cases {
        let closed = closed(windows, at(now));
        let told = closed.map(|closed| closed.until);
        let expected = until.map(|until| (until != "ever").then(|| at(until)));
        assert_eq!(told, expected, "{now} {windows:?}");
    }
}

#[test]
fn what_is_closed_says_why_and_until_when() {
    let freeze = Window {
        reason: Some("release freeze".to_owned()),
        ..deny("0 18 * * FRI", "Europe/Paris", "62h")
    };
    let working = allow("0 9 * * MON-FRI", "Europe/Paris", "8h");
    let night = allow("0 2 * * *", "UTC", "90m");
    for (windows, expected) in [
        (
            vec![freeze.clone()],
            "window Deny `0 18 * * FRI` Europe/Paris for 62h (release freeze) is open; raises are allowed from 2026-11-30 07:00 UTC on",
        ),
        (
            vec![working.clone()],
            "window Allow `0 9 * * MON-FRI` Europe/Paris for 8h is not open; raises are allowed from 2026-11-30 08:00 UTC on",
        ),
        (
            vec![working, night],
            "none of 2 windows that allow raises is open, the first being Allow `0 9 * * MON-FRI` Europe/Paris for 8h; raises are allowed from 2026-11-29 02:00 UTC on",
        ),
        (
            vec![deny("* * * * *", "UTC", "1h")],
            "window Deny `* * * * *` UTC for 1h is open",
        ),
    ] {
        let closed = closed(&windows, at("2026-11-28 12:00")).unwrap();
        assert_eq!(closed.to_string(), expected);
    }
}

/// Four zones whose clocks change by an hour, by half an hour, and at midnight, on either half of the earth.
const ZONES: [&str; 4] = [
    "Europe/Paris",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Santiago",
];

/// The days around a change of each zone's clocks in 2026, in UTC.
const CHANGES: [&str; 8] = [
    "2026-03-29 01:00",
    "2026-10-25 01:00",
    "2026-03-08 07:00",
    "2026-11-01 06:00",
    "2026-04-04 15:00",
    "2026-10-03 15:30",
    "2026-04-05 03:00",
    "2026-09-06 04:00",
];

fn windows() -> impl Strategy<Value = Vec<Window>> {
    let cron = (
        0..60_u8,
        prop_oneof![Just(None), (0..24_u8).prop_map(Some)],
        0..4_u8,
    )
        .prop_map(|(minute, hour, days)| {
            let days = ["*", "MON-FRI", "SUN", "SAT,SUN"][usize::from(days)];
            let hour = hour.map_or("*".to_owned(), |hour| hour.to_string());
            format!("{minute} {hour} * * {days}")
        });
    let kind = prop_oneof![Just(WindowKind::Allow), Just(WindowKind::Deny)];
    let one = (kind, cron, 0..ZONES.len(), 1..3_000_u32)
        .prop_map(|(kind, cron, zone, minutes)| window(kind, &cron, ZONES[zone], &format!("{minutes}m")));
    prop::collection::vec(one, 1..4)
}

fn instants() -> impl Strategy<Value = Timestamp> {
    (0..CHANGES.len(), -4_000..4_000_i64, 0..60_i64).prop_map(|(change, minutes, seconds)| {
        at(CHANGES[change]) + Duration::minutes(minutes) + Duration::seconds(seconds)
    })
}

/// Says whether a slot that the schedule gives, one after the other, is not over at an instant.
fn is_open_by_slots(window: &Window, at: Timestamp) -> bool {
    let mut slot = at - window.duration.duration() - Duration::days(2);
    while let Some(next) = window.schedule.next_after(slot).filter(|next| *next <= at) {
        if at < next + window.duration.duration() {
            return true;
        }
        slot = next;
    }
    false
}

proptest! {
    #[test]
    fn a_window_is_open_while_one_of_its_slots_lasts(windows in windows(), at in instants()) {
        for window in &windows {
            prop_assert_eq!(window.is_open(at), is_open_by_slots(window, at), "{} {}", window, at);
        }
    }

    #[test]
    fn nothing_opens_or_closes_between_two_edges(windows in windows(), at in instants(), part in 1..1_000_i32) {
        let edge = next_edge(&windows, at).unwrap();
        prop_assert!(edge > at);
        let between = at + (edge - at) * part / 1_000;
        let open = |at| -> Vec<bool> { windows.iter().map(|window| window.is_open(at)).collect() };
        prop_assert_eq!(open(at), open(between), "{} {}", at, between);
        prop_assert_eq!(open(at), open(edge - Duration::nanoseconds(1)), "{} {}", at, edge);
    }

    #[test]
    fn what_is_told_is_the_first_instant_that_allows(windows in windows(), at in instants(), part in 0..1_000_i32) {
        match closed(&windows, at) {
            None => {
                let mut denying = windows.iter().filter(|window| window.kind == WindowKind::Deny);
                prop_assert!(!denying.any(|window| is_open_by_slots(window, at)));
            }
            Some(Closed { until: Some(until), .. }) => {
                prop_assert!(until > at);
                prop_assert!(closed(&windows, until).is_none());
                let between = at + (until - at) * part / 1_000;
                prop_assert!(closed(&windows, between).is_some(), "{}", between);
                prop_assert!(closed(&windows, until - Duration::nanoseconds(1)).is_some());
            }
            Some(Closed { until: None, .. }) => {}
        }
    }
}
