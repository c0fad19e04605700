use std::fmt::Write as _;

use crds::MLEnvironmentStatus;
use crds::status::{Condition, ConditionStatus};
use expect_test::{Expect, expect};
use planner::names::Weight;
use planner::per_track::PerTrack;

use super::*;

/// What a recorder hears.
enum Heard {
    /// A report of a commit, by the digit that it consists of: whether it was applied, or what stalls it.
    Report(char, Standing),
    /// One of a pass that took two and a half seconds.
    Late(char, Standing),
    /// A pass that reports nothing.
    Quiet,
    Happened(Event),
}

enum Standing {
    Underway,
    Applied,
    Stalled,
}

fn revision(digit: char) -> Revision {
    digit.to_string().repeat(40).parse().unwrap()
}

fn status(attempted: Option<char>, standing: &Standing) -> MLEnvironmentStatus {
    let kind = match standing {
        Standing::Underway => "Reconciling",
        Standing::Applied => "Ready",
        Standing::Stalled => "Stalled",
    };
    MLEnvironmentStatus {
        conditions: vec![Condition {
            kind: kind.to_owned(),
            status: ConditionStatus::True,
            reason: "Any".to_owned(),
            message: "it cannot be so".to_owned(),
            last_transition_time: Timestamp::UNIX_EPOCH,
        }],
        attempted_revision: attempted.map(revision),
        applied_revision: attempted
            .filter(|_| matches!(standing, Standing::Applied))
            .map(revision),
        ..MLEnvironmentStatus::default()
    }
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_timestamp(second, 0).unwrap()
}

/// Lets a recorder hear things, a second apart, each report of a pass of half a second; shows the traces that end.
fn check(heard: Vec<Heard>, expected: &Expect) {
    let mut ids = 0;
    let next_id = move || {
        ids += 1;
        ids
    };
    let mut recorder = Recorder::new("dev".parse().unwrap(), Box::new(next_id));
    let mut before = MLEnvironmentStatus::default();
    let mut shown = String::new();
    for (at, heard) in (1..).zip(heard) {
        let took = if matches!(heard, Heard::Late(..)) {
            2_500
        } else {
            500
        };
        match heard {
            Heard::Happened(event) => {
                if let Some(trace) = recorder.happened(&event, second(at)) {
                    show(&mut shown, &trace);
                }
            }
            Heard::Quiet => {
                for trace in recorder.passed("converged", Duration::ZERO, second(at)) {
                    show(&mut shown, &trace);
                }
            }
            Heard::Report(digit, standing) | Heard::Late(digit, standing) => {
                let after = status(Some(digit), &standing);
                recorder.reported(&Reported {
                    before: std::mem::replace(&mut before, after.clone()),
                    after,
                    receivers: Vec::new(),
                    aborted: Vec::new(),
                });
                for trace in recorder.passed("changed", Duration::from_millis(took), second(at)) {
                    show(&mut shown, &trace);
                }
            }
        }
    }
    expected.assert_eq(&shown);
}

fn show(shown: &mut String, trace: &Trace) {
    for span in std::iter::once(&trace.commit).chain(&trace.spans) {
        let milliseconds = |time: Timestamp| time.timestamp_millis();
        let (began, ended) = (milliseconds(span.began), milliseconds(span.ended));
        let error = span.error.as_deref().unwrap_or("ok");
        writeln!(
            shown,
            "{} {} {began}..{ended} {error}",
            trace.revision.short(),
            span.name
        )
        .unwrap();
    }
}

fn started() -> Event {
    Event::TrainingStarted {
        job: "iris".parse().unwrap(),
        model: "iris".parse().unwrap(),
        version: "v20260101-000000".parse().unwrap(),
        revision: "a".repeat(40).parse().unwrap(),
    }
}

fn ended(outcome: Outcome) -> Event {
    Event::TrainingEnded {
        job: "iris".parse().unwrap(),
        model: "iris".parse().unwrap(),
        version: "v20260101-000000".parse().unwrap(),
        outcome,
        is_retried: false,
    }
}

fn published() -> Event {
    ended(Outcome::Published {
        at: second(1),
        digest: planner::names::Digest::of(b"a"),
    })
}

fn rollout(state: rollout::State) -> Event {
    Event::Rollout {
        deployment: "iris".parse().unwrap(),
        model: "iris".parse().unwrap(),
        revision: "a".repeat(40).parse().unwrap(),
        status: Box::new(rollout::Status {
            state,
            since: Timestamp::UNIX_EPOCH,
            serving: PerTrack::default(),
            weight: Weight::ZERO,
            routed_at: None,
            lost: None,
            thinned: None,
            paused: None,
            ceiling: None,
            frozen: None,
            retry: PerTrack::default(),
            history: Vec::new(),
        }),
    }
}

#[test]
fn a_commit_is_followed_from_its_first_pass_until_it_is_applied() {
    use Heard::{Happened, Report};
    check(
        vec![
            // It may begin before the pass over its commit has ended.
            Happened(started()),
            Report('a', Standing::Underway),
            Happened(started()),
            Happened(ended(Outcome::Published {
                at: second(3),
                digest: planner::names::Digest::of(b"a"),
            })),
            Happened(rollout(rollout::State::Preparing)),
            Happened(rollout(rollout::State::Promoting)),
            Happened(rollout(rollout::State::Idle)),
            Report('a', Standing::Applied),
            // Nothing begins anew with what is known.
            Report('a', Standing::Applied),
            Happened(started()),
            Report('a', Standing::Stalled),
        ],
        &expect![[r#"
            aaaaaaaaaa commit 1500..8000 ok
            aaaaaaaaaa pass 1500..2000 ok
            aaaaaaaaaa train iris v20260101-000000 1000..4000 ok
            aaaaaaaaaa roll out iris 5000..7000 ok
            aaaaaaaaaa pass 7500..8000 ok
        "#]],
    );
}

#[test]
fn what_ends_before_the_pass_that_began_it_belongs_to_its_commit() {
    use Heard::{Happened, Late};
    check(
        vec![
            // Of no commit that is under way, and long over.
            Happened(started()),
            Happened(published()),
            Happened(rollout(rollout::State::Preparing)),
            Happened(started()),
            Happened(published()),
            Late('a', Standing::Applied),
        ],
        &expect![[r#"
            aaaaaaaaaa commit 3500..6000 ok
            aaaaaaaaaa train iris v20260101-000000 4000..5000 ok
            aaaaaaaaaa pass 3500..6000 ok
        "#]],
    );
}

#[test]
fn what_is_told_to_have_ended_after_its_commit_was_applied_belongs_to_it() {
    use Heard::{Happened, Quiet, Report};
    // Its version was seen, and served, before.
    check(
        vec![
            Report('a', Standing::Underway),
            Happened(started()),
            Happened(rollout(rollout::State::Preparing)),
            Report('a', Standing::Applied),
            Quiet,
            Happened(rollout(rollout::State::Idle)),
            Happened(published()),
            Happened(started()),
        ],
        &expect![[r#"
            aaaaaaaaaa commit 500..4000 ok
            aaaaaaaaaa pass 500..1000 ok
            aaaaaaaaaa pass 3500..4000 ok
            aaaaaaaaaa roll out iris 3000..6000 ok
            aaaaaaaaaa train iris v20260101-000000 2000..7000 ok
        "#]],
    );
    // What goes on for long is not waited for, nor what the next commit finds.
    let quiet = || std::iter::repeat_with(|| Quiet).take(30);
    let begun = || {
        [
            Report('a', Standing::Underway),
            Happened(started()),
            Report('a', Standing::Applied),
        ]
    };
    let alone = expect![[r#"
        aaaaaaaaaa commit 500..3000 ok
        aaaaaaaaaa pass 500..1000 ok
        aaaaaaaaaa pass 2500..3000 ok
    "#]];
    check(begun().into_iter().chain(quiet()).collect(), &alone);
    check(
        begun()
            .into_iter()
            .chain([Report('b', Standing::Underway)])
            .collect(),
        &alone,
    );
    check(
        begun().into_iter().chain(quiet().take(29)).collect(),
        &expect![""],
    );
}

#[test]
fn a_commit_that_is_refused_or_overtaken_ends_with_why() {
    use Heard::{Happened, Report};
    check(
        vec![
            Report('a', Standing::Stalled),
            Report('b', Standing::Underway),
            Happened(started()),
            Report('c', Standing::Underway),
            Happened(started()),
            Happened(ended(Outcome::Refused {
                at: second(6),
                message: "no such column".to_owned(),
            })),
            Report('c', Standing::Stalled),
        ],
        &expect![[r#"
            aaaaaaaaaa commit 500..1000 it cannot be so
            aaaaaaaaaa pass 500..1000 ok
            bbbbbbbbbb commit 1500..4000 overtaken by cccccccccc before it was applied
            bbbbbbbbbb pass 1500..2000 ok
            cccccccccc commit 3500..7000 it cannot be so
            cccccccccc pass 3500..4000 ok
            cccccccccc train iris v20260101-000000 3000..6000 no such column
            cccccccccc pass 6500..7000 ok
        "#]],
    );
}

#[test]
fn what_was_begun_by_another_process_is_not_followed() {
    let mut recorder = Recorder::new("dev".parse().unwrap(), Box::new(|| 1));
    recorder.reported(&Reported {
        before: status(Some('a'), &Standing::Underway),
        after: status(Some('a'), &Standing::Applied),
        receivers: Vec::new(),
        aborted: Vec::new(),
    });
    assert_eq!(recorder.passed("converged", Duration::ZERO, second(1)), []);
    // A pass that reports nothing is none of a commit's.
    assert_eq!(recorder.passed("converged", Duration::ZERO, second(2)), []);
}

#[test]
fn a_trace_is_bounded_and_its_document_is_what_collectors_take() {
    let mut ids = 0;
    let next_id = move || {
        ids += 1;
        ids
    };
    let mut recorder = Recorder::new("dev".parse().unwrap(), Box::new(next_id));
    let report = |standing: &Standing, before: Option<char>| Reported {
        before: status(before, standing),
        after: status(Some('a'), standing),
        receivers: Vec::new(),
        aborted: Vec::new(),
    };
    recorder.reported(&report(&Standing::Underway, None));
    assert_eq!(recorder.passed("changed", Duration::ZERO, second(1)), []);
    for _ in 0..SPANS_MAX + 5 {
        assert_eq!(recorder.happened(&started(), second(2)), None);
        let message = "killed".to_owned();
        let ended = ended(Outcome::Transient {
            at: second(3),
            message,
        });
        assert_eq!(recorder.happened(&ended, second(3)), None);
    }
    recorder.reported(&report(&Standing::Applied, Some('a')));
    let traces = recorder.passed("changed", Duration::ZERO, second(4));
    let [trace] = traces.as_slice() else {
        panic!("one trace: {traces:?}")
    };
    assert_eq!((trace.spans.len(), trace.left_out), (SPANS_MAX, 7));
    let mut document = otlp::document(trace, &"dev".parse().unwrap());
    let spans = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
        .as_array_mut()
        .unwrap();
    spans.truncate(3);
    document["resourceSpans"][0]["resource"] = "aurora, and its version".into();
    expect![[r#"
        {
          "resourceSpans": [
            {
              "resource": "aurora, and its version",
              "scopeSpans": [
                {
                  "scope": {
                    "name": "aurora"
                  },
                  "spans": [
                    {
                      "attributes": [
                        {
                          "key": "aurora.environment",
                          "value": {
                            "stringValue": "dev"
                          }
                        },
                        {
                          "key": "vcs.ref.head.revision",
                          "value": {
                            "stringValue": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                          }
                        },
                        {
                          "key": "aurora.spans_left_out",
                          "value": {
                            "stringValue": "7"
                          }
                        }
                      ],
                      "endTimeUnixNano": "4000000000",
                      "kind": 1,
                      "name": "commit",
                      "parentSpanId": "",
                      "spanId": "0000000000000001",
                      "startTimeUnixNano": "1000000000",
                      "status": {
                        "code": 1
                      },
                      "traceId": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                    },
                    {
                      "attributes": [
                        {
                          "key": "aurora.result",
                          "value": {
                            "stringValue": "changed"
                          }
                        },
                        {
                          "key": "aurora.findings",
                          "value": {
                            "stringValue": "0"
                          }
                        },
                        {
                          "key": "aurora.waiting",
                          "value": {
                            "stringValue": "0"
                          }
                        }
                      ],
                      "endTimeUnixNano": "1000000000",
                      "kind": 1,
                      "name": "pass",
                      "parentSpanId": "0000000000000001",
                      "spanId": "0000000000000002",
                      "startTimeUnixNano": "1000000000",
                      "status": {
                        "code": 1
                      },
                      "traceId": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                    },
                    {
                      "attributes": [
                        {
                          "key": "aurora.model",
                          "value": {
                            "stringValue": "iris"
                          }
                        }
                      ],
                      "endTimeUnixNano": "3000000000",
                      "kind": 1,
                      "name": "train iris v20260101-000000",
                      "parentSpanId": "0000000000000001",
                      "spanId": "0000000000000003",
                      "startTimeUnixNano": "2000000000",
                      "status": {
                        "code": 2,
                        "message": "killed"
                      },
                      "traceId": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                    }
                  ]
                }
              ]
            }
          ]
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&document).unwrap());
}
