//! A fixed version, and one run per set of inputs.

use chrono::Duration;
use expect_test::expect;
use planner::names::Version;
use planner::observed::ObservedVersion;
use planner::training::RunPolicy;

use super::{Target, change, interrupted, invalid, killed, sound, succeeded};
use crate::support::{digest, training, version};

fn fixed() -> Target {
    Target::new(training("m", RunPolicy::Fixed(version(1))))
}

fn per_inputs() -> Target {
    Target::new(training("m", RunPolicy::PerInputs))
}

#[test]
fn fixed_version_is_trained_once() {
    let mut target = fixed();
    target.settle();
    target.wait(30);
    target.end(succeeded);
    target.wait(86_400);
    target.check(&expect![[r#"
        01 00:00:00 start v20260102-000000 #1 | Running v20260102-000000 | wake 01 00:10:00
        01 00:00:00 | Running v20260102-000000 | wake 01 00:10:00
        01 00:00:30 | Running v20260102-000000 | wake 01 00:10:00
        01 00:00:30 | Succeeded v20260102-000000 | wake never
        02 00:00:30 | Succeeded v20260102-000000 | wake never
    "#]]);
}

#[test]
fn fixed_version_that_exists_is_not_trained() {
    let mut target = fixed();
    target.existing.insert(version(1), sound(None));
    target.settle();
    target.check(&expect![[r#"
        01 00:00:00 | Succeeded v20260102-000000 | wake never
    "#]]);
}

#[test]
fn fixed_version_that_is_damaged_fails() {
    let mut target = fixed();
    target.existing.insert(
        version(1),
        ObservedVersion::Damaged("checksums do not match".to_owned()),
    );
    target.settle();
    target.check(&expect![[r#"
        01 00:00:00 | Failed v20260102-000000: the version exists but is damaged: checksums do not match; remove its folder to train it again | wake never
    "#]]);
}

#[test]
fn a_version_that_the_registry_does_not_show_is_trained_again_after_a_while() {
    let mut target = fixed();
    target.settle();
    target.end(succeeded);
    target.existing.clear();
    target.wait(1);
    target.wait(10);
    target.check(&expect![[r#"
        01 00:00:00 start v20260102-000000 #1 | Running v20260102-000000 | wake 01 00:10:00
        01 00:00:00 | Running v20260102-000000 | wake 01 00:10:00
        01 00:00:00 | Succeeded v20260102-000000 | wake never
        01 00:00:01 | Succeeded v20260102-000000 | wake 01 00:00:10
        01 00:00:11 start v20260102-000000 #1 | Running v20260102-000000 | wake 01 00:10:11
        01 00:00:11 | Running v20260102-000000 | wake 01 00:10:11
    "#]]);
}

#[test]
fn transient_failures_are_retried_under_the_same_version_three_times() {
    let mut target = fixed();
    target.settle();
    target.end(killed);
    target.wait(9);
    target.wait(1);
    target.end(killed);
    target.wait(40);
    target.end(killed);
    target.wait(86_400);
    change(&mut target);
    target.settle();
    target.check(&expect![[r#"
        01 00:00:00 start v20260102-000000 #1 | Running v20260102-000000 | wake 01 00:10:00
        01 00:00:00 | Running v20260102-000000 | wake 01 00:10:00
        01 00:00:00 | Pending v20260102-000000 | wake 01 00:00:10
        01 00:00:09 | Pending v20260102-000000 | wake 01 00:00:10
        01 00:00:10 start v20260102-000000 #2 | Running v20260102-000000 | wake 01 00:10:10
        01 00:00:10 | Running v20260102-000000 | wake 01 00:10:10
        01 00:00:10 | Pending v20260102-000000 | wake 01 00:00:50
        01 00:00:50 start v20260102-000000 #3 | Running v20260102-000000 | wake 01 00:10:50
        01 00:00:50 | Running v20260102-000000 | wake 01 00:10:50
        01 00:00:50 | Failed v20260102-000000: killed (after 3 attempts) | wake never
        02 00:00:50 | Failed v20260102-000000: killed (after 3 attempts) | wake never
        02 00:00:50 start v20260102-000000 #1 | Running v20260102-000000 | wake 02 00:10:50
        02 00:00:50 | Running v20260102-000000 | wake 02 00:10:50
    "#]]);
}

#[test]
fn a_run_that_ends_with_all_around_it_is_tried_again_later_and_then_hourly() {
    let mut target = fixed();
    target.settle();
    for seconds in [10, 40, 3_600, 3_600] {
        target.end(interrupted);
        // At once is too early, and so is a second before it is due.
        target.wait(seconds - 1);
        target.wait(1);
    }
    target.end(interrupted);
    // Another spec has not been tried yet.
    change(&mut target);
    target.wait(1);
    target.check(&expect![[r#"
        01 00:00:00 start v20260102-000000 #1 | Running v20260102-000000 | wake 01 00:10:00
        01 00:00:00 | Running v20260102-000000 | wake 01 00:10:00
        01 00:00:00 | Pending v20260102-000000 | wake 01 00:00:10
        01 00:00:09 | Pending v20260102-000000 | wake 01 00:00:10
        01 00:00:10 start v20260102-000000 #2 | Running v20260102-000000 | wake 01 00:10:10
        01 00:00:10 | Running v20260102-000000 | wake 01 00:10:10
        01 00:00:10 | Pending v20260102-000000 | wake 01 00:00:50
        01 00:00:49 | Pending v20260102-000000 | wake 01 00:00:50
        01 00:00:50 start v20260102-000000 #3 | Running v20260102-000000 | wake 01 00:10:50
        01 00:00:50 | Running v20260102-000000 | wake 01 00:10:50
        01 00:00:50 | Pending v20260102-000000 | wake 01 01:00:50
        01 01:00:49 | Pending v20260102-000000 | wake 01 01:00:50
        01 01:00:50 start v20260102-000000 #4 | Running v20260102-000000 | wake 01 01:10:50
        01 01:00:50 | Running v20260102-000000 | wake 01 01:10:50
        01 01:00:50 | Pending v20260102-000000 | wake 01 02:00:50
        01 02:00:49 | Pending v20260102-000000 | wake 01 02:00:50
        01 02:00:50 start v20260102-000000 #5 | Running v20260102-000000 | wake 01 02:10:50
        01 02:00:50 | Running v20260102-000000 | wake 01 02:10:50
        01 02:00:50 | Pending v20260102-000000 | wake 01 03:00:50
        01 02:00:51 start v20260102-000000 #1 | Running v20260102-000000 | wake 01 02:10:51
        01 02:00:51 | Running v20260102-000000 | wake 01 02:10:51
    "#]]);
}

#[test]
fn a_run_is_given_up_for_what_it_did_itself_not_for_what_ended_around_it() {
    let mut target = fixed();
    target.settle();
    for end in [interrupted, killed, killed, interrupted, killed, killed, killed] {
        target.end(end);
        target.wait(3_600);
    }
    target.check(&expect![[r#"
        01 00:00:00 start v20260102-000000 #1 | Running v20260102-000000 | wake 01 00:10:00
        01 00:00:00 | Running v20260102-000000 | wake 01 00:10:00
        01 00:00:00 | Pending v20260102-000000 | wake 01 00:00:10
        01 01:00:00 start v20260102-000000 #2 | Running v20260102-000000 | wake 01 01:10:00
        01 01:00:00 | Running v20260102-000000 | wake 01 01:10:00
        01 01:00:00 | Pending v20260102-000000 | wake 01 01:00:40
        01 02:00:00 start v20260102-000000 #3 | Running v20260102-000000 | wake 01 02:10:00
        01 02:00:00 | Running v20260102-000000 | wake 01 02:10:00
        01 02:00:00 | Pending v20260102-000000 | wake 01 03:00:00
        01 03:00:00 start v20260102-000000 #4 | Running v20260102-000000 | wake 01 03:10:00
        01 03:00:00 | Running v20260102-000000 | wake 01 03:10:00
        01 03:00:00 | Pending v20260102-000000 | wake 01 04:00:00
        01 04:00:00 start v20260102-000000 #5 | Running v20260102-000000 | wake 01 04:10:00
        01 04:00:00 | Running v20260102-000000 | wake 01 04:10:00
        01 04:00:00 | Pending v20260102-000000 | wake 01 05:00:00
        01 05:00:00 start v20260102-000000 #6 | Running v20260102-000000 | wake 01 05:10:00
        01 05:00:00 | Running v20260102-000000 | wake 01 05:10:00
        01 05:00:00 | Pending v20260102-000000 | wake 01 06:00:00
        01 06:00:00 start v20260102-000000 #7 | Running v20260102-000000 | wake 01 06:10:00
        01 06:00:00 | Running v20260102-000000 | wake 01 06:10:00
        01 06:00:00 | Failed v20260102-000000: killed (after 7 attempts) | wake never
        01 07:00:00 | Failed v20260102-000000: killed (after 7 attempts) | wake never
    "#]]);
}

#[test]
fn a_clock_that_is_set_back_holds_no_run_back_for_longer_than_an_hour() {
    let mut target = fixed();
    target.settle();
    for _ in 0..3 {
        target.end(interrupted);
        target.wait(40);
    }
    target.wait(-86_400);
    target.check(&expect![[r#"
        01 00:00:00 start v20260102-000000 #1 | Running v20260102-000000 | wake 01 00:10:00
        01 00:00:00 | Running v20260102-000000 | wake 01 00:10:00
        01 00:00:00 | Pending v20260102-000000 | wake 01 00:00:10
        01 00:00:40 start v20260102-000000 #2 | Running v20260102-000000 | wake 01 00:10:40
        01 00:00:40 | Running v20260102-000000 | wake 01 00:10:40
        01 00:00:40 | Pending v20260102-000000 | wake 01 00:01:20
        01 00:01:20 start v20260102-000000 #3 | Running v20260102-000000 | wake 01 00:11:20
        01 00:01:20 | Running v20260102-000000 | wake 01 00:11:20
        01 00:01:20 | Pending v20260102-000000 | wake 01 01:01:20
        01 00:02:00 | Pending v20260102-000000 | wake 01 01:01:20
        28 00:02:00 start v20260102-000000 #4 | Running v20260102-000000 | wake 28 00:12:00
        28 00:02:00 | Running v20260102-000000 | wake 28 00:12:00
    "#]]);
}

#[test]
fn invalid_runs_wait_for_another_spec() {
    let mut target = fixed();
    target.settle();
    target.end(invalid);
    target.wait(86_400);
    // Lowering the bound changes the spec, not the inputs.
    target.training.rows.as_mut().unwrap().evaluation.bound = Some(0.1);
    target.settle();
    target.check(&expect![[r#"
        01 00:00:00 start v20260102-000000 #1 | Running v20260102-000000 | wake 01 00:10:00
        01 00:00:00 | Running v20260102-000000 | wake 01 00:10:00
        01 00:00:00 | Failed v20260102-000000: r2 is below 0.5 | wake never
        02 00:00:00 | Failed v20260102-000000: r2 is below 0.5 | wake never
        02 00:00:00 start v20260102-000000 #1 | Running v20260102-000000 | wake 02 00:10:00
        02 00:00:00 | Running v20260102-000000 | wake 02 00:10:00
    "#]]);
}

#[test]
fn a_run_that_takes_too_long_is_stopped_and_not_tried_again() {
    let mut target = fixed();
    target.settle();
    target.wait(599);
    target.wait(1);
    target.wait(86_400);
    target.check(&expect![[r#"
        01 00:00:00 start v20260102-000000 #1 | Running v20260102-000000 | wake 01 00:10:00
        01 00:00:00 | Running v20260102-000000 | wake 01 00:10:00
        01 00:09:59 | Running v20260102-000000 | wake 01 00:10:00
        01 00:10:00 stop v20260102-000000 DeadlineExceeded | Failed v20260102-000000: stopped after activeDeadlineSeconds (600 s); it is not tried again until the spec changes | wake never
        01 00:10:00 | Failed v20260102-000000: stopped after activeDeadlineSeconds (600 s); it is not tried again until the spec changes | wake never
        02 00:10:00 | Failed v20260102-000000: stopped after activeDeadlineSeconds (600 s); it is not tried again until the spec changes | wake never
    "#]]);
}

#[test]
fn a_changed_spec_stops_the_run_and_starts_anew() {
    let mut target = fixed();
    target.settle();
    target.now += Duration::seconds(5);
    change(&mut target);
    target.settle();
    // And back: the stopped run counts for nothing.
    target.training.seed = 0;
    target.settle();
    target.check(&expect![[r#"
        01 00:00:00 start v20260102-000000 #1 | Running v20260102-000000 | wake 01 00:10:00
        01 00:00:00 | Running v20260102-000000 | wake 01 00:10:00
        01 00:00:05 stop v20260102-000000 SpecChanged | Pending v20260102-000000 | wake 01 00:00:05
        01 00:00:05 start v20260102-000000 #1 | Running v20260102-000000 | wake 01 00:10:05
        01 00:00:05 | Running v20260102-000000 | wake 01 00:10:05
        01 00:00:05 stop v20260102-000000 SpecChanged | Pending v20260102-000000 | wake 01 00:00:05
        01 00:00:05 start v20260102-000000 #1 | Running v20260102-000000 | wake 01 00:10:05
        01 00:00:05 | Running v20260102-000000 | wake 01 00:10:05
    "#]]);
}

#[test]
fn a_suspended_job_starts_nothing_and_stops_nothing() {
    let mut target = fixed();
    target.training.suspend = true;
    target.settle();
    target.training.suspend = false;
    target.settle();
    target.training.suspend = true;
    target.wait(5);
    target.end(succeeded);
    target.check(&expect![[r#"
        01 00:00:00 | Suspended | wake never
        01 00:00:00 start v20260102-000000 #1 | Running v20260102-000000 | wake 01 00:10:00
        01 00:00:00 | Running v20260102-000000 | wake 01 00:10:00
        01 00:00:05 | Running v20260102-000000 | wake 01 00:10:00
        01 00:00:05 | Suspended | wake never
    "#]]);
}

#[test]
fn per_inputs_is_one_run_per_set_of_inputs() {
    let mut target = per_inputs();
    target.settle();
    target.end(succeeded);
    // A commit that does not touch the inputs.
    target.now += Duration::seconds(100);
    target.training.rows.as_mut().unwrap().evaluation.bound = None;
    target.committed_at = target.now;
    target.settle();
    // One that does.
    change(&mut target);
    target.settle();
    target.end(succeeded);
    // And back: the first version is still there.
    target.training.seed -= 1;
    target.settle();
    target.check(&expect![[r#"
        01 00:00:00 start v20260301-000000 #1 | Running v20260301-000000 | wake 01 00:10:00
        01 00:00:00 | Running v20260301-000000 | wake 01 00:10:00
        01 00:00:00 | Succeeded v20260301-000000 | wake never
        01 00:01:40 | Succeeded v20260301-000000 | wake never
        01 00:01:40 start v20260301-000140 #1 | Running v20260301-000140 | wake 01 00:11:40
        01 00:01:40 | Running v20260301-000140 | wake 01 00:11:40
        01 00:01:40 | Succeeded v20260301-000140 | wake never
        01 00:01:40 | Succeeded v20260301-000000 | wake never
    "#]]);
}

#[test]
fn per_inputs_numbers_collisions() {
    let mut target = per_inputs();
    let first = Version::at(target.committed_at, |_| false);
    target.existing.insert(first, sound(Some(digest(7))));
    target.settle();
    target.end(killed);
    target.wait(10);
    target.end(succeeded);
    target.check(&expect![[r#"
        01 00:00:00 start v20260301-000000-2 #1 | Running v20260301-000000-2 | wake 01 00:10:00
        01 00:00:00 | Running v20260301-000000-2 | wake 01 00:10:00
        01 00:00:00 | Pending v20260301-000000-2 | wake 01 00:00:10
        01 00:00:10 start v20260301-000000-2 #2 | Running v20260301-000000-2 | wake 01 00:10:10
        01 00:00:10 | Running v20260301-000000-2 | wake 01 00:10:10
        01 00:00:10 | Succeeded v20260301-000000-2 | wake never
    "#]]);
}

#[test]
fn per_inputs_changed_while_running_gets_a_version_of_its_own() {
    let mut target = per_inputs();
    target.settle();
    target.now += Duration::seconds(7);
    change(&mut target);
    target.settle();
    target.check(&expect![[r#"
        01 00:00:00 start v20260301-000000 #1 | Running v20260301-000000 | wake 01 00:10:00
        01 00:00:00 | Running v20260301-000000 | wake 01 00:10:00
        01 00:00:07 stop v20260301-000000 SpecChanged | Pending v20260301-000007 | wake 01 00:00:07
        01 00:00:07 start v20260301-000007 #1 | Running v20260301-000007 | wake 01 00:10:07
        01 00:00:07 | Running v20260301-000007 | wake 01 00:10:07
    "#]]);
}

#[test]
fn a_clock_that_is_set_back_prolongs_no_back_off() {
    let mut target = fixed();
    target.settle();
    target.end(killed);
    target.wait(-86_400);
    target.check(&expect![[r#"
        01 00:00:00 start v20260102-000000 #1 | Running v20260102-000000 | wake 01 00:10:00
        01 00:00:00 | Running v20260102-000000 | wake 01 00:10:00
        01 00:00:00 | Pending v20260102-000000 | wake 01 00:00:10
        28 00:00:00 start v20260102-000000 #2 | Running v20260102-000000 | wake 28 00:10:00
        28 00:00:00 | Running v20260102-000000 | wake 28 00:10:00
    "#]]);
}

#[test]
fn a_run_without_a_bound_is_stopped_after_a_century() {
    for seconds in [u64::MAX, u64::MAX / 2, 100 * 366 * 24 * 3600 + 1] {
        let mut target = fixed();
        target.training.active_deadline_seconds = seconds;
        let wake = target.step().wake;
        assert_eq!(wake, Some(target.now + Duration::days(36_600)));
    }
    let mut target = fixed();
    target.training.active_deadline_seconds = 100 * 366 * 24 * 3600 - 1;
    let wake = target.step().wake;
    assert_eq!(
        wake,
        Some(target.now + Duration::days(36_600) - Duration::seconds(1))
    );
}

#[test]
fn per_inputs_goes_by_the_newest_of_equals() {
    let mut target = per_inputs();
    for n in [1, 2] {
        let inputs = planner::identity::inputs_hash(&target.training);
        target.existing.insert(version(n), sound(Some(inputs)));
    }
    target.existing.insert(version(3), sound(Some(digest(7))));
    target.settle();
    target.check(&expect![[r#"
        01 00:00:00 | Succeeded v20260103-000000 | wake never
    "#]]);
}

#[test]
fn jobs_of_one_model_and_one_commit_make_versions_of_their_own() {
    // Each is told what the others claim: what they have run, and what of theirs is due.
    let mut claimed = std::collections::BTreeSet::new();
    let mut names = Vec::new();
    for seed in 0..3 {
        let mut target = per_inputs();
        target.training.seed = seed;
        target.around.claimed.clone_from(&claimed);
        target.settle();
        let version = target.records[0].version.clone();
        names.push(version.to_string());
        claimed.insert(version);
        // It stays its own, published or not.
        target.end(succeeded);
        assert_eq!(target.records.len(), 1, "{}", target.log);
    }
    assert_eq!(
        names,
        ["v20260301-000000", "v20260301-000000-2", "v20260301-000000-3"]
    );
}

#[test]
fn a_clock_that_is_set_makes_no_run_older() {
    // The clock was two hours behind when the run started, and is set right: the run is seconds old.
    let mut target = fixed();
    target.settle();
    let elapsed = |target: &mut Target, seconds| {
        target.now += Duration::hours(2);
        let elapsed = std::time::Duration::from_secs(seconds);
        target.around.elapsed.insert(version(1), elapsed);
        target.settle();
    };
    elapsed(&mut target, 7);
    // Old enough is old enough, whatever the time of day.
    elapsed(&mut target, 600);
    target.check(&expect![[r#"
        01 00:00:00 start v20260102-000000 #1 | Running v20260102-000000 | wake 01 00:10:00
        01 00:00:00 | Running v20260102-000000 | wake 01 00:10:00
        01 02:00:00 | Running v20260102-000000 | wake 01 02:09:53
        01 04:00:00 stop v20260102-000000 DeadlineExceeded | Failed v20260102-000000: stopped after activeDeadlineSeconds (600 s); it is not tried again until the spec changes | wake never
        01 04:00:00 | Failed v20260102-000000: stopped after activeDeadlineSeconds (600 s); it is not tried again until the spec changes | wake never
    "#]]);
}
