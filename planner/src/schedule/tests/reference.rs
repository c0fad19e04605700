//! Schedules against slots that `tests/reference/slots.py` found by watching the wall clock.

use super::{at, schedule};
use crate::Timestamp;
use crate::schedule::bundled_edition;

const SLOTS: &str = include_str!("../../../tests/reference/slots.tsv");

#[test]
fn slots_are_those_of_a_reference_by_the_bundled_zones() {
    let (edition, cases) = SLOTS.split_once('\n').unwrap();
    assert_eq!(
        edition.strip_prefix("# IANA "),
        Some(bundled_edition()),
        "other zones are compiled in: make slots.tsv anew, as tests/reference/slots.py says"
    );
    let mut wrong = Vec::new();
    for line in cases.lines() {
        let [cron, zone, after, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let minute = |text: &str| chrono::Duration::minutes(text.parse().unwrap());
        let after = at("1970-01-01 00:00") + minute(after);
        let expected: Vec<Timestamp> = expected.split(',').map(|text| after + minute(text)).collect();
        let schedule = schedule(cron, zone);
        let mut slot = after;
        let next = expected.iter().map_while(|_| {
            slot = schedule.next_after(slot)?;
            Some(slot)
        });
        let next: Vec<Timestamp> = next.collect();
        // Backwards: right before each slot, the newest is the one before it.
        let before = expected.iter().skip(1);
        let before = before.map(|slot| schedule.newest_until(*slot - chrono::Duration::milliseconds(1)));
        if next != expected || !before.eq(expected.iter().copied().rev().skip(1).rev().map(Some)) {
            wrong.push(line);
        }
    }
    assert!(cases.lines().count() >= 4_000);
    assert_eq!(wrong, [""; 0], "{} are wrong", wrong.len());
}
