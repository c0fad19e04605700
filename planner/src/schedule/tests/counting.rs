//! Schedules against a count of minutes.

use chrono::NaiveDateTime;
use proptest::prelude::*;

use super::{at, schedule};
use crate::Timestamp;
use crate::schedule::Schedule;

/// What a schedule means, minute by minute: a slot is the first valid minute from a matching wall-clock minute on.
fn slots_by_hand(
    schedule: &Schedule,
    matches: impl Fn(NaiveDateTime) -> bool,
    from: Timestamp,
    to: Timestamp,
) -> Vec<Timestamp> {
    let margin = chrono::Duration::hours(30);
    let mut local = (from - margin).naive_utc();
    let mut slots = std::collections::BTreeSet::new();
    while local < (to + margin).naive_utc() {
        if matches(local) {
            let mut valid = local;
            let slot = loop {
                match schedule.zone.as_ref().unwrap().instants(valid).earliest() {
                    Some(slot) => break slot.to_utc(),
                    None => valid += chrono::Duration::minutes(1),
                }
            };
            if from < slot && slot <= to {
                slots.insert(slot);
            }
        }
        local += chrono::Duration::minutes(1);
    }
    slots.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn next_and_newest_agree_with_counting_minutes(
        minutes in prop::collection::btree_set(0_u32..60, 1..4),
        hours in prop::collection::btree_set(0_u32..24, 1..6),
        weekdays in prop::option::of(prop::collection::btree_set(0_u32..7, 1..4)),
        days in prop::option::of(prop::collection::btree_set(1_u32..32, 1..10)),
        zone in prop::sample::select(vec!["UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
        // Around the changes of 2026, or anywhere.
        start in prop_oneof![
            Just(at("2026-03-28 12:00")), Just(at("2026-10-24 12:00")), Just(at("2026-03-07 17:00")), Just(at("2026-10-31 16:00")),
            Just(at("2026-04-04 02:00")), Just(at("2026-10-03 02:00")), (0_i64..500_000).prop_map(|m| at("2026-01-01 00:00") + chrono::Duration::minutes(m)),
        ],
        offset in 0_i64..2880,
    ) {
        use chrono::{Datelike as _, Timelike as _};
        let list = |values: &std::collections::BTreeSet<u32>| values.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let star = || "*".to_owned();
        let cron = format!(
            "{} {} {} * {}", list(&minutes), list(&hours),
            days.as_ref().map_or_else(star, list), weekdays.as_ref().map_or_else(star, list),
        );
        let schedule = schedule(&cron, zone);
        let is_date = |local: NaiveDateTime| {
            let is_day = days.as_ref().map(|days| days.contains(&local.day()));
            let is_weekday = weekdays.as_ref().map(|days| days.contains(&local.weekday().num_days_from_sunday()));
            match (is_day, is_weekday) {
                (Some(a), Some(b)) => a || b,
                (a, b) => a.or(b).unwrap_or(true),
            }
        };
        let matches = |local: NaiveDateTime| {
            minutes.contains(&local.minute()) && hours.contains(&local.hour()) && is_date(local)
        };
        let from = start + chrono::Duration::minutes(offset);
        let to = from + chrono::Duration::days(2);
        let expected = slots_by_hand(&schedule, matches, from, to);
        let mut slots = Vec::new();
        let mut slot = from;
        while let Some(next) = schedule.next_after(slot).filter(|next| *next <= to) {
            slots.push(next);
            slot = next;
        }
        prop_assert_eq!(&slots, &expected, "{}", cron);
        for pair in slots.windows(2) {
            prop_assert_eq!(schedule.newest_until(pair[1] - chrono::Duration::seconds(1)), Some(pair[0]), "{}", cron);
        }
        if let Some(last) = slots.last() {
            prop_assert_eq!(schedule.newest_until(to), Some(*last), "{}", cron);
        }
    }
}
