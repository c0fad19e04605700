//! Schedules under a clock that was set, or that disagrees with the one of whoever commits.

use expect_test::expect;
use planner::names::ObjectName;
use planner::runs::{Job, Outcome, RECORDS_MAX, Records, SkipReason, Status};
use planner::training::{Concurrency, DataSource, RunPolicy};

use super::{Target, succeeded};
use crate::support::{at, digest, schedule, training};

fn nightly() -> Target {
    Target::new(training(
        "m",
        RunPolicy::Scheduled {
            schedule: schedule("0 3 * * *", "UTC"),
            starting_deadline_seconds: None,
            concurrency: Concurrency::Forbid,
        },
    ))
}

/// A job's memory that is asked at moments, and what it said.
struct Asked {
    target: Target,
    /// What it is trained from.
    inputs: u32,
    status: Status,
}

impl Asked {
    fn new(committed_at: &str) -> Self {
        let mut target = nightly();
        target.committed_at = at(committed_at);
        Self {
            target,
            inputs: 1,
            status: Status::default(),
        }
    }

    /// Returns the versions that are due at a moment, and the promised slot.
    fn due(&mut self, now: &str) -> (Vec<String>, String) {
        let Target {
            training,
            committed_at,
            existing,
            ..
        } = &self.target;
        let around = planner::runs::Around::default();
        let job = Job {
            training,
            inputs: digest(self.inputs),
            spec_hash: digest(2),
            committed_at: *committed_at,
            behind_since: None,
            existing,
            baseline: None,
            around: &around,
        };
        let name: ObjectName = "j".parse().unwrap();
        let decided = self.status.decide(&name, &job, None, at(now));
        for due in &decided.due {
            self.status.start(due, &job, at(now));
            let digest = digest(7);
            self.status
                .end(&due.version, Outcome::Published { at: at(now), digest });
        }
        let due = decided.due.iter().map(|due| due.version.to_string()).collect();
        (due, self.status.next.unwrap().format("%F %R").to_string())
    }
}

#[test]
fn a_slot_of_a_clock_that_was_ahead_silences_nothing() {
    let mut asked = Asked::new("2026-03-01 12:00");
    assert_eq!(asked.due("2030-01-07 03:00").0, ["v20300107-030000"]);
    // The clock is right again: what it has passed meanwhile is nobody's.
    asked.inputs = 2;
    let nothing = Vec::<String>::new();
    assert_eq!(
        asked.due("2026-03-02 12:00"),
        (nothing, "2026-03-03 03:00".to_owned())
    );
    for day in ["03", "04", "07"] {
        asked.inputs += 1;
        let slot = asked.due(&format!("2026-03-{day} 04:00")).0;
        assert_eq!(slot, [format!("v202603{day}-030000")]);
    }
}

#[test]
fn a_slot_that_comes_again_since_the_clock_was_set_back_is_taken_once() {
    let mut asked = Asked::new("2026-03-01 00:00");
    assert_eq!(asked.due("2026-03-02 03:00").0, ["v20260302-030000"]);
    asked.inputs = 2;
    let nothing = Vec::<String>::new();
    // Neither an older slot nor the same one: what is promised is what comes.
    for now in ["2026-03-02 02:50", "2026-03-02 03:00", "2026-03-03 02:59"] {
        assert_eq!(
            asked.due(now),
            (nothing.clone(), "2026-03-03 03:00".to_owned()),
            "{now}"
        );
    }
    assert_eq!(asked.due("2026-03-03 03:00").0, ["v20260303-030000"]);
    assert_eq!(asked.status.behind_since, None);
}

#[test]
fn a_commit_that_is_dated_ahead_promises_what_comes() {
    // The commit is of the 11th by its own clock.
    let mut asked = Asked::new("2026-03-11 12:00");
    let nothing = Vec::<String>::new();
    assert_eq!(
        asked.due("2026-03-01 12:00"),
        (nothing.clone(), "2026-03-02 03:00".to_owned())
    );
    // It is remembered through a restart.
    let json = serde_json::to_string(&Records {
        runs: asked.status.records.clone(),
        behind_since: asked.status.behind_since,
    });
    let Records { runs, behind_since } = serde_json::from_str(&json.unwrap()).unwrap();
    assert_eq!((runs.len(), behind_since), (0, Some(at("2026-03-01 12:00"))));
    asked.status = Status {
        records: runs,
        behind_since,
        ..Status::default()
    };
    let first = (vec!["v20260302-030000".to_owned()], "2026-03-03 03:00".to_owned());
    assert_eq!(asked.due("2026-03-02 03:00"), first);
    assert_eq!(
        asked.due("2026-03-02 03:01"),
        (nothing.clone(), "2026-03-03 03:00".to_owned())
    );
    // Once the clock is past it, it is a commit as any other.
    asked.inputs = 2;
    assert_eq!(
        asked.due("2026-03-11 12:00").0,
        nothing,
        "the newest slot was before the commit"
    );
    assert_eq!(asked.status.behind_since, None);
}

#[test]
fn a_commit_that_is_ahead_of_a_clock_that_is_set_back_further_goes_on_by_it() {
    let mut asked = Asked::new("2026-03-11 12:00");
    asked.due("2026-03-05 12:00");
    assert_eq!(asked.due("2026-03-01 12:00").1, "2026-03-02 03:00");
    assert_eq!(asked.due("2026-03-02 03:00").0, ["v20260302-030000"]);
}

#[test]
fn what_was_published_last_is_remembered_through_any_number_of_skips() {
    let mut asked = Asked::new("2026-03-01 00:00");
    assert_eq!(asked.due("2026-03-01 03:00").0.len(), 1);
    for day in 2..=30 {
        assert!(
            asked.due(&format!("2026-03-{day:02} 03:00")).0.is_empty(),
            "SameInputs"
        );
    }
    let records = &asked.status.records;
    assert_eq!(records.len(), RECORDS_MAX);
    let of_first = records.first().map(|record| record.version.to_string());
    assert_eq!(of_first.as_deref(), Some("v20260301-030000"));
    let (last, _, reason) = asked.status.last_skipped().unwrap();
    assert_eq!(
        (last.version.to_string().as_str(), reason),
        ("v20260330-030000", SkipReason::SameInputs)
    );
}

#[test]
fn a_digest_that_is_given_to_data_that_was_read_already_trains_nothing_anew() {
    let mut target = nightly();
    target.training.rows.as_mut().unwrap().dataset.source = DataSource::Absolute("/data/a.csv".to_owned());
    target.until("2026-03-02 03:00");
    target.end(succeeded);
    // The run learnt from the file what it was trained from, and its version says so.
    target.training.rows.as_mut().unwrap().dataset.sha256 = Some(digest(5));
    let inputs = Some(planner::identity::inputs_hash(&target.training));
    for version in target.existing.values_mut() {
        *version = super::sound(inputs);
    }
    target.log.clear();
    target.until("2026-03-03 03:00");
    target.check(&expect![[r#"
        03 03:00:00 skip v20260303-030000 SameInputs | Succeeded v20260302-030000 | wake 04 03:00:00
        03 03:00:00 | Succeeded v20260302-030000 | wake 04 03:00:00
    "#]]);
}
