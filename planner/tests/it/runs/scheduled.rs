//! One run per slot.

use chrono::Duration;
use expect_test::expect;
use planner::identity::{inputs_hash, spec_hash};
use planner::names::Version;
use planner::runs::{Outcome, Record, SkipReason};
use planner::training::{Concurrency, DataSource, RunPolicy};

use super::{Target, change, interrupted, invalid, killed, sound, succeeded};
use crate::support::{at, digest, schedule, training, version};

fn scheduled(concurrency: Concurrency, starting_deadline_seconds: Option<u64>) -> Target {
    Target::new(training(
        "m",
        RunPolicy::Scheduled {
            schedule: schedule("0 3 * * *", "UTC"),
            starting_deadline_seconds,
            concurrency,
        },
    ))
}

#[test]
fn scheduled_runs_one_per_slot() {
    let mut target = scheduled(Concurrency::Forbid, None);
    target.settle();
    target.until("2026-03-01 03:00");
    target.end(succeeded);
    target.training.seed = 1;
    target.until("2026-03-02 03:00");
    target.end(succeeded);
    target.check(&expect![[r#"
        01 00:00:00 | Scheduled | wake 01 03:00:00
        01 03:00:00 start v20260301-030000 #1 | Running v20260301-030000 | wake 01 03:10:00
        01 03:00:00 | Running v20260301-030000 | wake 01 03:10:00
        01 03:00:00 | Succeeded v20260301-030000 | wake 02 03:00:00
        02 03:00:00 start v20260302-030000 #1 | Running v20260302-030000 | wake 02 03:10:00
        02 03:00:00 | Running v20260302-030000 | wake 02 03:10:00
        02 03:00:00 | Succeeded v20260302-030000 | wake 03 03:00:00
    "#]]);
}

#[test]
fn same_inputs_are_skipped_for_ever() {
    let mut target = scheduled(Concurrency::Forbid, None);
    target.until("2026-03-01 03:00");
    target.end(succeeded);
    target.until("2026-03-02 03:00");
    // The target forgets old records, and the registry's versions may be collected.
    target.records.remove(0);
    target.existing.clear();
    target.until("2026-03-03 03:00");
    target.check(&expect![[r#"
        01 03:00:00 start v20260301-030000 #1 | Running v20260301-030000 | wake 01 03:10:00
        01 03:00:00 | Running v20260301-030000 | wake 01 03:10:00
        01 03:00:00 | Succeeded v20260301-030000 | wake 02 03:00:00
        02 03:00:00 skip v20260302-030000 SameInputs | Succeeded v20260301-030000 | wake 03 03:00:00
        02 03:00:00 | Succeeded v20260301-030000 | wake 03 03:00:00
        03 03:00:00 skip v20260303-030000 SameInputs | Scheduled | wake 04 03:00:00
        03 03:00:00 | Scheduled | wake 04 03:00:00
    "#]]);
}

#[test]
fn lost_records_are_replaced_by_the_newest_trained_version() {
    let mut target = scheduled(Concurrency::Forbid, None);
    target
        .existing
        .insert(version(1), sound(Some(inputs_hash(&target.training))));
    target.existing.insert(version(2), sound(None));
    target.until("2026-03-01 03:00");
    target.check(&expect![[r#"
        01 03:00:00 skip v20260301-030000 SameInputs | Scheduled | wake 02 03:00:00
        01 03:00:00 | Scheduled | wake 02 03:00:00
    "#]]);
}

#[test]
fn of_missed_slots_only_the_newest_is_caught_up() {
    let mut target = scheduled(Concurrency::Forbid, None);
    target.settle();
    target.until("2026-03-09 02:00");
    target.check(&expect![[r#"
        01 00:00:00 | Scheduled | wake 01 03:00:00
        09 02:00:00 start v20260308-030000 #1 | Running v20260308-030000 | wake 09 02:10:00
        09 02:00:00 | Running v20260308-030000 | wake 09 02:10:00
    "#]]);
}

#[test]
fn a_slot_missed_by_more_than_the_deadline_is_skipped() {
    let mut target = scheduled(Concurrency::Forbid, Some(60));
    target.until("2026-03-01 03:01");
    target.end(succeeded);
    target.training.seed = 1;
    target.until("2026-03-02 03:02");
    target.check(&expect![[r#"
        01 03:01:00 start v20260301-030000 #1 | Running v20260301-030000 | wake 01 03:11:00
        01 03:01:00 | Running v20260301-030000 | wake 01 03:11:00
        01 03:01:00 | Succeeded v20260301-030000 | wake 02 03:00:00
        02 03:02:00 skip v20260302-030000 MissedDeadline | Succeeded v20260301-030000 | wake 03 03:00:00
        02 03:02:00 | Succeeded v20260301-030000 | wake 03 03:00:00
    "#]]);
}

#[test]
fn slots_before_the_commit_are_nobodys() {
    let mut target = scheduled(Concurrency::Forbid, None);
    target.committed_at = at("2026-03-05 12:00");
    target.until("2026-03-05 12:00");
    target.check(&expect![[r#"
        05 12:00:00 | Scheduled | wake 06 03:00:00
    "#]]);
}

fn overlapping(concurrency: Concurrency) -> Target {
    let mut target = scheduled(concurrency, None);
    target.training.active_deadline_seconds = 3 * 86_400;
    target.until("2026-03-01 03:00");
    target.until("2026-03-02 03:00");
    target
}

#[test]
fn forbid_skips_a_slot_while_a_run_is_under_way() {
    overlapping(Concurrency::Forbid).check(&expect![[r#"
        01 03:00:00 start v20260301-030000 #1 | Running v20260301-030000 | wake 02 03:00:00
        01 03:00:00 | Running v20260301-030000 | wake 02 03:00:00
        02 03:00:00 skip v20260302-030000 Forbid | Running v20260301-030000 | wake 03 03:00:00
        02 03:00:00 | Running v20260301-030000 | wake 03 03:00:00
    "#]]);
}

#[test]
fn replace_stops_the_run_under_way() {
    overlapping(Concurrency::Replace).check(&expect![[r#"
        01 03:00:00 start v20260301-030000 #1 | Running v20260301-030000 | wake 02 03:00:00
        01 03:00:00 | Running v20260301-030000 | wake 02 03:00:00
        02 03:00:00 stop v20260301-030000 Replaced | Pending v20260302-030000 | wake 02 03:00:00
        02 03:00:00 start v20260302-030000 #1 | Running v20260302-030000 | wake 03 03:00:00
        02 03:00:00 | Running v20260302-030000 | wake 03 03:00:00
    "#]]);
}

#[test]
fn allow_runs_both() {
    overlapping(Concurrency::Allow).check(&expect![[r#"
        01 03:00:00 start v20260301-030000 #1 | Running v20260301-030000 | wake 02 03:00:00
        01 03:00:00 | Running v20260301-030000 | wake 02 03:00:00
        02 03:00:00 start v20260302-030000 #1 | Running v20260302-030000 | wake 03 03:00:00
        02 03:00:00 | Running v20260302-030000 | wake 03 03:00:00
    "#]]);
}

#[test]
fn an_interrupted_slot_is_tried_again_later() {
    let mut target = scheduled(Concurrency::Forbid, Some(60));
    target.until("2026-03-01 03:00");
    target.wait(300);
    target.end(interrupted);
    target.wait(10);
    target.check(&expect![[r#"
        01 03:00:00 start v20260301-030000 #1 | Running v20260301-030000 | wake 01 03:10:00
        01 03:00:00 | Running v20260301-030000 | wake 01 03:10:00
        01 03:05:00 | Running v20260301-030000 | wake 01 03:10:00
        01 03:05:00 | Pending v20260301-030000 | wake 01 03:05:10
        01 03:05:10 start v20260301-030000 #2 | Running v20260301-030000 | wake 01 03:15:10
        01 03:05:10 | Running v20260301-030000 | wake 01 03:15:10
    "#]]);
}

#[test]
fn the_slots_after_an_interrupted_one_count_as_its_next_attempts() {
    let mut target = Target::new(training(
        "m",
        RunPolicy::Scheduled {
            schedule: schedule("* * * * *", "UTC"),
            starting_deadline_seconds: None,
            concurrency: Concurrency::Forbid,
        },
    ));
    target.until("2026-03-01 03:00");
    for _ in 0..3 {
        target.end(interrupted);
        target.wait(60);
    }
    target.log.clear();
    // A minute after the third, a slot is due; so it is each minute, and once an hour it starts.
    target.until("2026-03-01 04:01");
    target.until("2026-03-01 04:02");
    target.end(interrupted);
    // For another spec nothing has ended yet.
    change(&mut target);
    target.until("2026-03-01 04:03");
    target.check(&expect![[r#"
        01 04:01:00 | Pending v20260301-040100 | wake 01 04:02:00
        01 04:02:00 start v20260301-040200 #4 | Running v20260301-040200 | wake 01 04:03:00
        01 04:02:00 | Running v20260301-040200 | wake 01 04:03:00
        01 04:02:00 | Pending v20260301-040200 | wake 01 04:03:00
        01 04:03:00 start v20260301-040300 #1 | Running v20260301-040300 | wake 01 04:04:00
        01 04:03:00 | Running v20260301-040300 | wake 01 04:04:00
    "#]]);
}

#[test]
fn a_slot_is_retried_until_the_next_one() {
    let mut target = scheduled(Concurrency::Forbid, None);
    target.until("2026-03-01 03:00");
    target.end(killed);
    target.wait(10);
    target.end(killed);
    target.until("2026-03-02 03:00");
    target.end(killed);
    target.wait(10);
    target.end(killed);
    target.wait(40);
    target.end(killed);
    target.until("2026-03-03 03:00");
    target.check(&expect![[r#"
        01 03:00:00 start v20260301-030000 #1 | Running v20260301-030000 | wake 01 03:10:00
        01 03:00:00 | Running v20260301-030000 | wake 01 03:10:00
        01 03:00:00 | Pending v20260301-030000 | wake 01 03:00:10
        01 03:00:10 start v20260301-030000 #2 | Running v20260301-030000 | wake 01 03:10:10
        01 03:00:10 | Running v20260301-030000 | wake 01 03:10:10
        01 03:00:10 | Pending v20260301-030000 | wake 01 03:00:50
        02 03:00:00 start v20260302-030000 #1 | Running v20260302-030000 | wake 02 03:10:00
        02 03:00:00 | Running v20260302-030000 | wake 02 03:10:00
        02 03:00:00 | Pending v20260302-030000 | wake 02 03:00:10
        02 03:00:10 start v20260302-030000 #2 | Running v20260302-030000 | wake 02 03:10:10
        02 03:00:10 | Running v20260302-030000 | wake 02 03:10:10
        02 03:00:10 | Pending v20260302-030000 | wake 02 03:00:50
        02 03:00:50 start v20260302-030000 #3 | Running v20260302-030000 | wake 02 03:10:50
        02 03:00:50 | Running v20260302-030000 | wake 02 03:10:50
        02 03:00:50 | Failed v20260302-030000: killed (after 3 attempts); the next slot tries again | wake 03 03:00:00
        03 03:00:00 start v20260303-030000 #1 | Running v20260303-030000 | wake 03 03:10:00
        03 03:00:00 | Running v20260303-030000 | wake 03 03:10:00
    "#]]);
}

#[test]
fn slots_after_an_invalid_run_wait_for_another_spec() {
    let mut target = scheduled(Concurrency::Forbid, None);
    target.until("2026-03-01 03:00");
    target.end(invalid);
    target.until("2026-03-02 03:00");
    target.training.rows.as_mut().unwrap().evaluation.bound = None;
    target.until("2026-03-03 03:00");
    target.check(&expect![[r#"
        01 03:00:00 start v20260301-030000 #1 | Running v20260301-030000 | wake 01 03:10:00
        01 03:00:00 | Running v20260301-030000 | wake 01 03:10:00
        01 03:00:00 | Failed v20260301-030000: r2 is below 0.5 | wake 02 03:00:00
        02 03:00:00 skip v20260302-030000 LastRunInvalid | Failed v20260301-030000: r2 is below 0.5 | wake 03 03:00:00
        02 03:00:00 | Failed v20260301-030000: r2 is below 0.5 | wake 03 03:00:00
        03 03:00:00 start v20260303-030000 #1 | Running v20260303-030000 | wake 03 03:10:00
        03 03:00:00 | Running v20260303-030000 | wake 03 03:10:00
    "#]]);
}

#[test]
fn a_slot_is_run_again_for_a_changed_spec() {
    let mut target = scheduled(Concurrency::Forbid, None);
    target.until("2026-03-01 03:00");
    target.now += Duration::seconds(60);
    change(&mut target);
    target.settle();
    target.check(&expect![[r#"
        01 03:00:00 start v20260301-030000 #1 | Running v20260301-030000 | wake 01 03:10:00
        01 03:00:00 | Running v20260301-030000 | wake 01 03:10:00
        01 03:01:00 stop v20260301-030000 SpecChanged | Pending v20260301-030000 | wake 01 03:01:00
        01 03:01:00 start v20260301-030000 #1 | Running v20260301-030000 | wake 01 03:11:00
        01 03:01:00 | Running v20260301-030000 | wake 01 03:11:00
    "#]]);
}

#[test]
fn a_schedule_without_a_slot_ahead_waits_for_ever() {
    let mut target = scheduled(Concurrency::Forbid, None);
    target.training.runs = RunPolicy::Scheduled {
        schedule: schedule("0 3 1 1 *", "UTC"),
        starting_deadline_seconds: None,
        concurrency: Concurrency::Forbid,
    };
    target.committed_at = at("2100-01-02 00:00");
    target.until("2100-02-01 00:00");
    target.check(&expect![[r#"
        01 00:00:00 | Scheduled | wake never
    "#]]);
}

#[test]
fn a_run_that_took_too_long_waits_for_the_next_slot() {
    let mut target = scheduled(Concurrency::Forbid, None);
    target.until("2026-03-01 03:00");
    target.wait(600);
    // A changed spec has not failed yet, and the slot is gone.
    target.training.seed = 1;
    target.settle();
    target.until("2026-03-02 03:00");
    target.check(&expect![[r#"
        01 03:00:00 start v20260301-030000 #1 | Running v20260301-030000 | wake 01 03:10:00
        01 03:00:00 | Running v20260301-030000 | wake 01 03:10:00
        01 03:10:00 stop v20260301-030000 DeadlineExceeded | Failed v20260301-030000: stopped after activeDeadlineSeconds (600 s); the next slot tries again | wake 02 03:00:00
        01 03:10:00 | Failed v20260301-030000: stopped after activeDeadlineSeconds (600 s); the next slot tries again | wake 02 03:00:00
        01 03:10:00 | Scheduled | wake 02 03:00:00
        02 03:00:00 start v20260302-030000 #1 | Running v20260302-030000 | wake 02 03:10:00
        02 03:00:00 | Running v20260302-030000 | wake 02 03:10:00
    "#]]);
}

#[test]
fn what_broke_off_is_not_tried_again_for_another_spec() {
    for end in [killed, interrupted, invalid] {
        let mut target = scheduled(Concurrency::Forbid, None);
        target.until("2026-03-01 03:00");
        target.log.clear();
        let outcome = end(target.now);
        target.records[0].outcome = outcome;
        target.training.seed = 1;
        target.settle();
        target.check(&expect![[r#"
            01 03:00:00 | Scheduled | wake 02 03:00:00
        "#]]);
    }
}

#[test]
fn attempts_end_with_the_third_also_for_another_spec() {
    let mut target = scheduled(Concurrency::Forbid, None);
    target.until("2026-03-01 03:00");
    target.end(killed);
    target.wait(10);
    target.end(killed);
    target.wait(40);
    target.end(killed);
    target.training.seed = 1;
    target.settle();
    target.check(&expect![[r#"
        01 03:00:00 start v20260301-030000 #1 | Running v20260301-030000 | wake 01 03:10:00
        01 03:00:00 | Running v20260301-030000 | wake 01 03:10:00
        01 03:00:00 | Pending v20260301-030000 | wake 01 03:00:10
        01 03:00:10 start v20260301-030000 #2 | Running v20260301-030000 | wake 01 03:10:10
        01 03:00:10 | Running v20260301-030000 | wake 01 03:10:10
        01 03:00:10 | Pending v20260301-030000 | wake 01 03:00:50
        01 03:00:50 start v20260301-030000 #3 | Running v20260301-030000 | wake 01 03:10:50
        01 03:00:50 | Running v20260301-030000 | wake 01 03:10:50
        01 03:00:50 | Failed v20260301-030000: killed (after 3 attempts); the next slot tries again | wake 02 03:00:00
        01 03:00:50 | Scheduled | wake 02 03:00:00
    "#]]);
}

#[test]
fn a_slot_that_is_run_again_gets_another_version_where_its_own_is_there() {
    let mut target = scheduled(Concurrency::Forbid, None);
    target.until("2026-03-01 03:00");
    let slot = target.records[0].version.clone();
    target.log.clear();
    // It was published at the last moment, and the run was stopped all the same.
    target.existing.insert(slot, sound(None));
    change(&mut target);
    target.settle();
    target.check(&expect![[r#"
        01 03:00:00 stop v20260301-030000 SpecChanged | Pending v20260301-030000-2 | wake 01 03:00:00
        01 03:00:00 start v20260301-030000-2 #1 | Running v20260301-030000-2 | wake 01 03:10:00
        01 03:00:00 | Running v20260301-030000-2 | wake 01 03:10:00
    "#]]);
}

#[test]
fn slots_without_records_count_from_the_commit_and_records_from_their_slot() {
    // The commit is newer than the newest slot of the records.
    let mut target = scheduled(Concurrency::Forbid, None);
    target.until("2026-03-01 03:00");
    target.end(succeeded);
    target.now = at("2026-03-03 12:00");
    change(&mut target);
    target.settle();
    target.until("2026-03-04 03:00");
    target.check(&expect![[r#"
        01 03:00:00 start v20260301-030000 #1 | Running v20260301-030000 | wake 01 03:10:00
        01 03:00:00 | Running v20260301-030000 | wake 01 03:10:00
        01 03:00:00 | Succeeded v20260301-030000 | wake 02 03:00:00
        03 12:00:00 | Succeeded v20260301-030000 | wake 04 03:00:00
        04 03:00:00 start v20260304-030000 #1 | Running v20260304-030000 | wake 04 03:10:00
        04 03:00:00 | Running v20260304-030000 | wake 04 03:10:00
    "#]]);
}

#[test]
fn a_deadline_of_a_century_is_no_deadline() {
    let mut target = scheduled(Concurrency::Forbid, Some(u64::MAX));
    target.until("2026-03-01 03:00");
    target.end(succeeded);
    target.training.seed = 1;
    target.until("2026-03-09 02:00");
    target.check(&expect![[r#"
        01 03:00:00 start v20260301-030000 #1 | Running v20260301-030000 | wake 01 03:10:00
        01 03:00:00 | Running v20260301-030000 | wake 01 03:10:00
        01 03:00:00 | Succeeded v20260301-030000 | wake 02 03:00:00
        09 02:00:00 start v20260308-030000 #1 | Running v20260308-030000 | wake 09 02:10:00
        09 02:00:00 | Running v20260308-030000 | wake 09 02:10:00
    "#]]);
}

#[test]
fn replace_stops_nothing_for_a_slot_that_is_skipped() {
    let mut target = scheduled(Concurrency::Replace, None);
    target.training.active_deadline_seconds = 3 * 86_400;
    target
        .existing
        .insert(version(1), sound(Some(inputs_hash(&target.training))));
    target.records.push(Record {
        version: version(2),
        inputs: inputs_hash(&target.training),
        spec_hash: spec_hash(&target.training),
        slot: Some(at("2026-03-01 03:00")),
        attempt: 1,
        started_at: at("2026-03-01 03:00"),
        outcome: Outcome::Running,
    });
    target.until("2026-03-02 03:00");
    target.check(&expect![[r#"
        02 03:00:00 skip v20260302-030000 SameInputs | Running v20260103-000000 | wake 03 03:00:00
        02 03:00:00 | Running v20260103-000000 | wake 03 03:00:00
    "#]]);
}

#[test]
fn a_slot_whose_version_is_taken_gets_a_number() {
    // Somebody pushed it.
    let mut target = scheduled(Concurrency::Forbid, None);
    let slot = Version::at(at("2026-03-01 03:00"), |_| false);
    target.existing.insert(slot.clone(), sound(None));
    target.until("2026-03-01 03:00");
    target.check(&expect![[r#"
        01 03:00:00 start v20260301-030000-2 #1 | Running v20260301-030000-2 | wake 01 03:10:00
        01 03:00:00 | Running v20260301-030000-2 | wake 01 03:10:00
    "#]]);
    // A run of before the job had a schedule was to make it, and did not.
    let mut target = scheduled(Concurrency::Forbid, None);
    target.records.push(Record {
        version: slot,
        inputs: digest(1),
        spec_hash: digest(1),
        slot: None,
        attempt: 1,
        started_at: at("2026-03-01 02:00"),
        outcome: invalid(at("2026-03-01 02:10")),
    });
    target.until("2026-03-01 03:00");
    target.check(&expect![[r#"
        01 03:00:00 start v20260301-030000-2 #1 | Running v20260301-030000-2 | wake 01 03:10:00
        01 03:00:00 | Running v20260301-030000-2 | wake 01 03:10:00
    "#]]);
}

#[test]
fn inputs_are_compared_with_those_of_the_newest_run_that_published() {
    let mut target = scheduled(Concurrency::Forbid, None);
    target.until("2026-03-01 03:00");
    target.end(succeeded);
    target.training.seed = 1;
    target.until("2026-03-02 03:00");
    target.end(succeeded);
    // Back to what the first one had: that is another result than the newest.
    target.training.seed = 0;
    target.log.clear();
    target.until("2026-03-03 03:00");
    target.check(&expect![[r#"
        03 03:00:00 start v20260303-030000 #1 | Running v20260303-030000 | wake 03 03:10:00
        03 03:00:00 | Running v20260303-030000 | wake 03 03:10:00
    "#]]);
}

#[test]
fn what_lies_at_a_path_is_read_at_each_slot() {
    // The path is the same each time, and says nothing of the bytes: the run itself ends where they are the same too.
    let mut target = scheduled(Concurrency::Forbid, None);
    target.training.rows.as_mut().unwrap().dataset.source = DataSource::Absolute("/data/rows.csv".to_owned());
    target.until("2026-03-01 03:00");
    target.end(succeeded);
    target.until("2026-03-02 03:00");
    target.end(|at| Outcome::Skipped {
        at,
        reason: SkipReason::SameInputs,
    });
    target.until("2026-03-03 03:00");
    // What was refused may have been mended since.
    target.end(invalid);
    target.until("2026-03-04 03:00");
    target.check(&expect![[r#"
        01 03:00:00 start v20260301-030000 #1 | Running v20260301-030000 | wake 01 03:10:00
        01 03:00:00 | Running v20260301-030000 | wake 01 03:10:00
        01 03:00:00 | Succeeded v20260301-030000 | wake 02 03:00:00
        02 03:00:00 start v20260302-030000 #1 | Running v20260302-030000 | wake 02 03:10:00
        02 03:00:00 | Running v20260302-030000 | wake 02 03:10:00
        02 03:00:00 | Succeeded v20260301-030000 | wake 03 03:00:00
        03 03:00:00 start v20260303-030000 #1 | Running v20260303-030000 | wake 03 03:10:00
        03 03:00:00 | Running v20260303-030000 | wake 03 03:10:00
        03 03:00:00 | Failed v20260303-030000: r2 is below 0.5 | wake 04 03:00:00
        04 03:00:00 start v20260304-030000 #1 | Running v20260304-030000 | wake 04 03:10:00
        04 03:00:00 | Running v20260304-030000 | wake 04 03:10:00
    "#]]);
    // With a digest it is what the digest says.
    let mut target = scheduled(Concurrency::Forbid, None);
    target.training.rows.as_mut().unwrap().dataset.source = DataSource::Absolute("/data/rows.csv".to_owned());
    target.training.rows.as_mut().unwrap().dataset.sha256 = Some(digest(1));
    target.until("2026-03-01 03:00");
    target.end(succeeded);
    target.until("2026-03-02 03:00");
    target.check(&expect![[r#"
        01 03:00:00 start v20260301-030000 #1 | Running v20260301-030000 | wake 01 03:10:00
        01 03:00:00 | Running v20260301-030000 | wake 01 03:10:00
        01 03:00:00 | Succeeded v20260301-030000 | wake 02 03:00:00
        02 03:00:00 skip v20260302-030000 SameInputs | Succeeded v20260301-030000 | wake 03 03:00:00
        02 03:00:00 | Succeeded v20260301-030000 | wake 03 03:00:00
    "#]]);
}

#[test]
fn the_next_slot_is_known_whatever_goes_on() {
    let next = Some(at("2026-03-02 03:00"));
    let mut target = scheduled(Concurrency::Forbid, None);
    target.until("2026-03-01 03:00");
    assert_eq!(target.decide().next, next);
    target.end(succeeded);
    assert_eq!(target.decide().next, next);
    target.training.suspend = true;
    assert_eq!(target.decide().next, None);
}
