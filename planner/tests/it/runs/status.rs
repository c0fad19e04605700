//! A job's memory: what is decided is written down, and what is written down is decided from.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::Duration;
use expect_test::{Expect, expect};
use planner::Timestamp;
use planner::names::Version;
use planner::observed::{ObservedVersion, TrainingObject};
use planner::runs::{Decided, Due, Job, Outcome, RECORDS_MAX, SkipReason, Status, StopReason};
use planner::training::{Concurrency, RunPolicy, Training};

use super::{interrupted, invalid, killed, render, sound, succeeded};
use crate::support::{at, digest, object, revision, schedule, training, version};

/// A job whose runs start and end when the test says so.
struct Case {
    object: TrainingObject,
    existing: BTreeMap<Version, ObservedVersion>,
    status: Status,
    now: Timestamp,
    log: String,
}

impl Case {
    fn new(spec: Training) -> Self {
        let now = at("2026-03-01 00:00");
        Self {
            object: TrainingObject {
                spec,
                revision: revision(1),
                committed_at: now,
                baseline: None,
                trust: None,
                behind: None,
            },
            existing: BTreeMap::new(),
            status: Status::default(),
            now,
            log: String::new(),
        }
    }

    fn job(&self) -> Job<'_> {
        Job::new(&self.object, &self.existing)
    }

    /// Decides once and writes down what stops, what is due and where the job stands.
    fn decide(&mut self, held: Option<&str>) -> Decided {
        let mut status = std::mem::take(&mut self.status);
        let decided = status.decide(&object("t"), &self.job(), held, self.now);
        self.status = status;
        let mut line = format!("{}", self.now.format("%d %H:%M:%S"));
        for version in &decided.stops {
            write!(line, " stop {version}").unwrap();
        }
        for due in &decided.due {
            write!(line, " due {} #{}", due.version, due.attempt).unwrap();
        }
        let phase = self.status.phase.as_ref().map_or("-".to_owned(), render);
        let note = self.status.note.as_deref().unwrap_or("-");
        writeln!(self.log, "{line} | {phase} | {note}").unwrap();
        decided
    }

    /// Decides, and starts what is due.
    fn start(&mut self) -> Vec<Due> {
        let due = self.decide(None).due;
        for due in &due {
            let mut status = std::mem::take(&mut self.status);
            status.start(due, &self.job(), self.now);
            self.status = status;
        }
        due
    }

    fn end(&mut self, version: &Version, outcome: impl Fn(Timestamp) -> Outcome) -> Option<bool> {
        let ended = self.status.end(version, outcome(self.now));
        ended.map(|ended| ended.is_retried)
    }

    fn wait(&mut self, seconds: i64) {
        self.now += Duration::seconds(seconds);
    }

    #[track_caller]
    fn check(&self, expected: &Expect) {
        expected.assert_eq(&self.log);
    }
}

fn fixed() -> Case {
    Case::new(training("m", RunPolicy::Fixed(version(1))))
}

fn scheduled(concurrency: Concurrency) -> Case {
    Case::new(training(
        "m",
        RunPolicy::Scheduled {
            schedule: schedule("0 3 * * *", "UTC"),
            starting_deadline_seconds: None,
            concurrency,
        },
    ))
}

#[test]
fn a_run_that_is_due_has_not_started_before_it_is_admitted() {
    let mut case = fixed();
    case.decide(None);
    assert_eq!(case.status.records, []);
    // It is due as long as it is not admitted.
    case.wait(100);
    let due = case.start();
    assert_eq!(
        due,
        [Due {
            job: object("t"),
            model: "m".parse().unwrap(),
            version: version(1),
            slot: None,
            attempt: 1,
            baseline: None,
            is_baseline: false,
        }]
    );
    let record = case.status.records[0].clone();
    assert_eq!(
        (record.version, record.attempt, record.started_at, record.outcome),
        (version(1), 1, case.now, Outcome::Running)
    );
    assert_eq!(
        (record.inputs, record.spec_hash),
        (case.job().inputs, case.job().spec_hash)
    );
    assert_eq!(case.status.running().collect::<Vec<_>>(), [&version(1)]);
    assert_eq!(
        render(case.status.phase.as_ref().unwrap()),
        format!("Running {}", version(1))
    );
    case.decide(None);
    assert_eq!(case.end(&version(1), succeeded), Some(false));
    assert_eq!(case.status.running().next(), None);
    case.existing.insert(version(1), sound(None));
    case.decide(None);
    case.check(&expect![[r#"
        01 00:00:00 due v20260102-000000 #1 | Pending v20260102-000000 | -
        01 00:01:40 due v20260102-000000 #1 | Pending v20260102-000000 | -
        01 00:01:40 | Running v20260102-000000 | -
        01 00:01:40 | Succeeded v20260102-000000 | -
    "#]]);
}

#[test]
fn what_others_are_compared_with_is_said_of_a_run() {
    for (pinned, baseline, is_baseline) in [
        (None, None, false),
        (Some(1), None, true),
        (Some(2), Some(2), false),
    ] {
        let mut case = fixed();
        case.object.baseline = pinned.map(version);
        let due = &case.decide(None).due[0];
        assert_eq!(
            (&due.baseline, due.is_baseline),
            (&baseline.map(version), is_baseline)
        );
    }
}

#[test]
fn a_run_that_broke_off_waits_and_says_so() {
    let mut case = fixed();
    case.start();
    case.wait(3);
    assert_eq!(case.end(&version(1), killed), Some(true));
    case.decide(None);
    case.wait(10);
    case.start();
    assert_eq!(case.end(&version(1), killed), Some(true));
    case.decide(None);
    case.wait(40);
    case.start();
    assert_eq!(
        case.end(&version(1), killed),
        Some(false),
        "it was the last attempt"
    );
    case.decide(None);
    case.check(&expect![[r#"
        01 00:00:00 due v20260102-000000 #1 | Pending v20260102-000000 | -
        01 00:00:03 | Pending v20260102-000000 | attempt 1 of 3 failed: killed; the next one is due at 00:00:13 UTC
        01 00:00:13 due v20260102-000000 #2 | Pending v20260102-000000 | -
        01 00:00:13 | Pending v20260102-000000 | attempt 2 of 3 failed: killed; the next one is due at 00:00:53 UTC
        01 00:00:53 due v20260102-000000 #3 | Pending v20260102-000000 | -
        01 00:00:53 | Failed v20260102-000000: killed (after 3 attempts) | -
    "#]]);
}

#[test]
fn a_run_that_ends_with_all_around_it_waits_and_says_so() {
    let mut case = fixed();
    // 10 s and 40 s, then hourly.
    for seconds in [10, 40, 3_600] {
        let due = case.start();
        assert_eq!(
            case.end(&due[0].version, interrupted),
            Some(true),
            "it is tried again"
        );
        case.decide(None);
        case.wait(seconds);
    }
    case.check(&expect![[r#"
        01 00:00:00 due v20260102-000000 #1 | Pending v20260102-000000 | -
        01 00:00:00 | Pending v20260102-000000 | attempt 1 of 3 ended with the process that serves, which was killed, by the kernel if memory ran out: give it more memory, or the run less data; the next one is due at 00:00:10 UTC, and after the third they are hourly
        01 00:00:10 due v20260102-000000 #2 | Pending v20260102-000000 | -
        01 00:00:10 | Pending v20260102-000000 | attempt 2 of 3 ended with the process that serves, which was killed, by the kernel if memory ran out: give it more memory, or the run less data; the next one is due at 00:00:50 UTC, and after the third they are hourly
        01 00:00:50 due v20260102-000000 #3 | Pending v20260102-000000 | -
        01 00:00:50 | Pending v20260102-000000 | attempt 3 of 3 ended with the process that serves, which was killed, by the kernel if memory ran out: give it more memory, or the run less data; the next one is due at 01:00:50 UTC, and after the third they are hourly
    "#]]);
    let Some(note) = case.status.note.clone() else {
        panic!("it waits")
    };
    for words in ["the process that serves", "killed", "more memory", "hourly"] {
        assert!(note.contains(words), "{note}");
    }
}

#[test]
fn a_run_that_is_tried_hourly_for_days_takes_no_other_runs_place() {
    let mut case = fixed();
    let published = version(7);
    let mut other = case.start().remove(0);
    case.end(&other.version, interrupted);
    other.version = published.clone();
    let mut status = std::mem::take(&mut case.status);
    status.start(&other, &case.job(), case.now);
    case.status = status;
    case.end(&published, succeeded);
    for _ in 0..100 {
        case.wait(3_600);
        let due = case.start();
        assert_eq!(due.len(), 1);
        case.end(&due[0].version, interrupted);
    }
    let attempts: Vec<_> = case.status.records.iter().map(|record| record.attempt).collect();
    assert_eq!(attempts, [1, 1, 2, 3, 101]);
    assert!(
        case.status
            .records
            .iter()
            .any(|record| record.version == published)
    );
    // An orderly stop of the attempt that follows leaves what came before it.
    case.wait(3_600);
    let due = case.start();
    case.status.withdraw(&due[0].version);
    assert_eq!(case.start()[0].attempt, 102);
}

#[test]
fn a_run_that_is_refused_is_not_tried_again() {
    let mut case = fixed();
    case.start();
    assert_eq!(case.end(&version(1), invalid), Some(false));
    case.decide(None);
    case.check(&expect![[r#"
        01 00:00:00 due v20260102-000000 #1 | Pending v20260102-000000 | -
        01 00:00:00 | Failed v20260102-000000: r2 is below 0.5 | -
    "#]]);
}

#[test]
fn what_keeps_a_run_from_starting_is_said_while_it_is_due() {
    let mut case = fixed();
    case.decide(Some("no space left on device"));
    case.start();
    assert_eq!(case.status.note, None);
    case.decide(Some("no space left on device"));
    case.end(&version(1), killed);
    // It waits for its next attempt: that is what it waits for.
    case.decide(Some("no space left on device"));
    case.wait(10);
    case.decide(Some("no space left on device"));
    case.check(&expect![[r#"
        01 00:00:00 due v20260102-000000 #1 | Pending v20260102-000000 | cannot start: no space left on device; it is tried again
        01 00:00:00 due v20260102-000000 #1 | Pending v20260102-000000 | -
        01 00:00:00 | Running v20260102-000000 | -
        01 00:00:00 | Pending v20260102-000000 | attempt 1 of 3 failed: killed; the next one is due at 00:00:10 UTC
        01 00:00:10 due v20260102-000000 #2 | Pending v20260102-000000 | cannot start: no space left on device; it is tried again
    "#]]);
}

#[test]
fn a_run_that_was_stopped_has_ended_as_that() {
    let mut case = fixed();
    case.start();
    case.object.spec.seed = 1;
    assert_eq!(case.decide(None).stops, [version(1)]);
    let stopped = Outcome::Stopped {
        at: case.now,
        reason: StopReason::SpecChanged,
    };
    assert_eq!(case.status.records[0].outcome, stopped);
    // Its process ends, whatever it says of itself.
    assert_eq!(case.end(&version(1), succeeded), None);
    assert_eq!(case.status.records[0].outcome, stopped);
    assert_eq!(case.end(&version(7), succeeded), None, "it never was");
    // The same version runs again: that one ends.
    case.start();
    assert_eq!(case.end(&version(1), succeeded), Some(false));
    assert_eq!(case.status.records[0].outcome, stopped);
    assert_eq!(case.status.records.len(), 2);
    case.check(&expect![[r#"
        01 00:00:00 due v20260102-000000 #1 | Pending v20260102-000000 | -
        01 00:00:00 stop v20260102-000000 | Pending v20260102-000000 | -
        01 00:00:00 due v20260102-000000 #1 | Pending v20260102-000000 | -
    "#]]);
}

#[test]
fn a_slot_that_is_skipped_is_remembered() {
    let mut case = scheduled(Concurrency::Forbid);
    case.object.spec.active_deadline_seconds = 3 * 86_400;
    case.now = at("2026-03-01 03:00");
    case.start();
    case.now = at("2026-03-02 03:05");
    case.decide(None);
    let record = case.status.records[1].clone();
    assert_eq!(
        (record.slot, record.attempt, record.started_at, record.outcome),
        (
            Some(at("2026-03-02 03:00")),
            1,
            case.now,
            Outcome::Skipped {
                at: case.now,
                reason: SkipReason::Forbid
            }
        )
    );
    assert_eq!(
        (record.inputs, record.spec_hash),
        (case.job().inputs, case.job().spec_hash)
    );
    case.decide(None);
    case.check(&expect![[r#"
        01 03:00:00 due v20260301-030000 #1 | Pending v20260301-030000 | -
        02 03:05:00 | Running v20260301-030000 | -
        02 03:05:00 | Running v20260301-030000 | -
    "#]]);
}

#[test]
fn a_run_is_stopped_once_and_what_takes_its_place_is_due_after() {
    let mut case = scheduled(Concurrency::Replace);
    case.object.spec.active_deadline_seconds = 3 * 86_400;
    case.now = at("2026-03-01 03:00");
    case.start();
    case.now = at("2026-03-02 03:00");
    let decided = case.decide(None);
    assert_eq!(
        (decided.stops.len(), decided.due.len(), decided.wake),
        (1, 0, Some(case.now))
    );
    assert_eq!(case.start()[0].slot, Some(case.now));
    case.check(&expect![[r#"
        01 03:00:00 due v20260301-030000 #1 | Pending v20260301-030000 | -
        02 03:00:00 stop v20260301-030000 | Pending v20260302-030000 | -
        02 03:00:00 due v20260302-030000 #1 | Pending v20260302-030000 | -
    "#]]);
}

#[test]
fn the_last_runs_are_remembered() {
    let mut case = scheduled(Concurrency::Forbid);
    for day in 0..RECORDS_MAX + 5 {
        case.now = at("2026-03-01 03:00") + Duration::days(i64::try_from(day).unwrap());
        case.object.spec.seed = u64::try_from(day).unwrap();
        let due = case.start();
        assert_eq!(case.end(&due[0].version, succeeded), Some(false));
        assert_eq!(case.status.records.len(), RECORDS_MAX.min(day + 1));
    }
    let slots: Vec<_> = case
        .status
        .records
        .iter()
        .map(|record| record.slot.unwrap())
        .collect();
    assert_eq!(slots[0], at("2026-03-06 03:00"));
    assert!(slots.is_sorted());
    assert_eq!(slots.last(), Some(&case.now));
}

#[test]
fn a_job_whose_version_is_there_has_nothing_to_say() {
    let mut case = fixed();
    case.existing.insert(
        version(1),
        ObservedVersion::Sound {
            digest: digest(1),
            inputs: None,
            engine: planner::engine::Engine::Aurora,
        },
    );
    let decided = case.decide(Some("no space left on device"));
    assert_eq!(decided, Decided::default());
    case.check(&expect![[r#"
        01 00:00:00 | Succeeded v20260102-000000 | -
    "#]]);
}

#[test]
fn a_run_that_starts_has_nothing_to_say() {
    let mut case = fixed();
    let due = case.decide(Some("no space left on device")).due;
    assert!(case.status.note.is_some());
    let mut status = std::mem::take(&mut case.status);
    status.start(&due[0], &case.job(), case.now);
    assert_eq!(status.note, None);
}

#[test]
fn the_last_skipped_run_is_not_the_last_run() {
    let mut case = Case::new(training(
        "m",
        RunPolicy::Scheduled {
            schedule: schedule("0 3 * * *", "UTC"),
            starting_deadline_seconds: None,
            concurrency: Concurrency::Forbid,
        },
    ));
    case.now = at("2026-03-01 03:00");
    let due = case.start();
    case.status.end(&due[0].version, succeeded(case.now)).unwrap();
    case.existing
        .insert(due[0].version.clone(), sound(Some(case.job().inputs)));
    assert_eq!(case.status.last_skipped(), None);
    case.now = at("2026-03-02 03:00");
    case.decide(None);
    let (skipped, skipped_at, reason) = case.status.last_skipped().unwrap();
    assert_eq!(
        (skipped.slot, skipped_at, reason),
        (Some(case.now), case.now, SkipReason::SameInputs)
    );
    assert_eq!(case.status.last_run().unwrap().version, due[0].version);
    assert_eq!(case.status.next, Some(at("2026-03-03 03:00")));
}
