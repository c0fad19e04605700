//! The stored forms: what is written, what the first version wrote, and what a later one may write.

use expect_test::expect;
use planner::memory::{FORMAT, Format};
use planner::names::Track;
use planner::per_track::PerTrack;
use planner::rollout::{Ceiling, Frozen, HoldReason, Lost, Retry, State, Status, Thinned, Transition};
use planner::runs::{Outcome, Record, Records, SkipReason, StopReason};

use crate::support::{digest, resolved, time, version, weight};

/// Everything is there.
fn full() -> Status {
    let aborted = State::Aborted {
        digest: digest(4),
        reason: "ann: slow".to_owned(),
    };
    let retry = |n, sound| Retry {
        pin: resolved(n),
        count: n,
        message: "no such opset".to_owned(),
        until: time(i64::from(n)),
        sound,
    };
    Status {
        state: State::Holding {
            reason: HoldReason::CanaryCapacity,
            message: "1 of 4".to_owned(),
        },
        since: time(1),
        serving: PerTrack {
            stable: Some(resolved(1)),
            canary: Some(resolved(2)),
        },
        weight: weight(10),
        routed_at: Some(time(40)),
        thinned: Some(Thinned {
            digest: digest(2),
            count: 4,
            weight: weight(3),
            until: time(50),
        }),
        lost: Some(Lost {
            digest: digest(2),
            count: 3,
            until: time(30),
        }),
        paused: Some("ann: lunch".to_owned()),
        ceiling: Some(Ceiling {
            digest: digest(2),
            weight: weight(5),
        }),
        frozen: Some(Frozen {
            stable: resolved(6),
            canary: Some(resolved(7)),
            weight: weight(20),
        }),
        retry: PerTrack {
            stable: Some(retry(8, None)),
            canary: Some(retry(9, Some(false))),
        },
        history: vec![Transition {
            at: time(2),
            from: aborted,
            to: State::Promoting,
            weight: weight(30),
        }],
    }
}

/// Nothing is there.
fn empty() -> Status {
    Status {
        state: State::Idle,
        since: time(0),
        serving: PerTrack::default(),
        weight: weight(0),
        routed_at: None,
        thinned: None,
        lost: None,
        paused: None,
        ceiling: None,
        frozen: None,
        retry: PerTrack::default(),
        history: Vec::new(),
    }
}

fn records() -> Records {
    let record = |n: u32, outcome| Record {
        version: version(n),
        inputs: digest(n),
        spec_hash: digest(10 + n),
        slot: (n > 2).then(|| time(0)),
        attempt: n,
        started_at: time(i64::from(n)),
        outcome,
    };
    let at = time(60);
    let message = "r2 is below 0.5".to_owned();
    let outcomes = [
        Outcome::Running,
        Outcome::Published {
            at,
            digest: digest(5),
        },
        Outcome::Refused {
            at,
            message: message.clone(),
        },
        Outcome::Transient { at, message },
        Outcome::Skipped {
            at,
            reason: SkipReason::SameInputs,
        },
        Outcome::Stopped {
            at,
            reason: StopReason::DeadlineExceeded,
        },
    ];
    Records {
        runs: (1..)
            .zip(outcomes)
            .map(|(n, outcome)| record(n, outcome))
            .collect(),
        behind_since: None,
    }
}

#[test]
fn a_rollout_as_it_is_written() {
    let json = serde_json::to_string_pretty(&full()).unwrap();
    expect![[r#"
        {
          "format": 1,
          "state": {
            "Holding": {
              "reason": "CanaryCapacity",
              "message": "1 of 4"
            }
          },
          "since": "2026-01-01T00:00:01Z",
          "stable": {
            "version": "v20260102-000000",
            "digest": "sha256:b40711a88c7039756fb8a73827eabe2c0fe5a0346ca7e0a104adc0fc764f528d"
          },
          "canary": {
            "version": "v20260103-000000",
            "digest": "sha256:433ebf5bc03dffa38536673207a21281612cef5faa9bc7a4d5b9be2fdb12cf1a"
          },
          "weight": 10,
          "routed_at": "2026-01-01T00:00:40Z",
          "lost": {
            "digest": "sha256:433ebf5bc03dffa38536673207a21281612cef5faa9bc7a4d5b9be2fdb12cf1a",
            "count": 3,
            "until": "2026-01-01T00:00:30Z"
          },
          "thinned": {
            "digest": "sha256:433ebf5bc03dffa38536673207a21281612cef5faa9bc7a4d5b9be2fdb12cf1a",
            "count": 4,
            "weight": 3,
            "until": "2026-01-01T00:00:50Z"
          },
          "paused": "ann: lunch",
          "ceiling": {
            "digest": "sha256:433ebf5bc03dffa38536673207a21281612cef5faa9bc7a4d5b9be2fdb12cf1a",
            "weight": 5
          },
          "frozen": {
            "stable": {
              "version": "v20260107-000000",
              "digest": "sha256:b253668f6b59f1ff28522831931e4d3c5a3de533965af22e961735437c0172cb"
            },
            "canary": {
              "version": "v20260108-000000",
              "digest": "sha256:1561ade0621c5acf44b780521f95a1e0b19b4e5032945b860c4032fc28a3a23b"
            },
            "weight": 20
          },
          "stable_retry": {
            "pin": {
              "version": "v20260109-000000",
              "digest": "sha256:17eb70034b5b71092521d184c5e7b069d47de657e51aef2be11a00c115036943"
            },
            "count": 8,
            "message": "no such opset",
            "until": "2026-01-01T00:00:08Z"
          },
          "canary_retry": {
            "pin": {
              "version": "v20260110-000000",
              "digest": "sha256:3b28a6c3766c6295adad976d349705ef49393fbfdebe4facb5862d2cdfa285d3"
            },
            "count": 9,
            "message": "no such opset",
            "until": "2026-01-01T00:00:09Z",
            "sound": false
          },
          "history": [
            {
              "at": "2026-01-01T00:00:02Z",
              "from": {
                "Aborted": {
                  "digest": "sha256:1bc5d0e3df0ea12c4d0078668d14924f95106bbe173e196de50fe13a900b0937",
                  "reason": "ann: slow"
                }
              },
              "to": "Promoting",
              "weight": 30
            }
          ]
        }"#]]
    .assert_eq(&json);
    assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), full());
    let json = serde_json::to_string(&empty()).unwrap();
    expect![[r#"{"format":1,"state":"Idle","since":"2026-01-01T00:00:00Z","stable":null,"canary":null,"weight":0,"lost":null,"paused":null,"history":[]}"#]].assert_eq(&json);
    assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), empty());
}

#[test]
fn runs_as_they_are_written() {
    let json = serde_json::to_string_pretty(&records()).unwrap();
    expect![[r#"
        {
          "format": 1,
          "runs": [
            {
              "version": "v20260102-000000",
              "inputs": "sha256:b40711a88c7039756fb8a73827eabe2c0fe5a0346ca7e0a104adc0fc764f528d",
              "spec_hash": "sha256:390b36a09502b05d4f8c27aea2636c6b7fd05b27d742ed32074ffea1f888ebe4",
              "slot": null,
              "attempt": 1,
              "started_at": "2026-01-01T00:00:01Z",
              "outcome": "Running"
            },
            {
              "version": "v20260103-000000",
              "inputs": "sha256:433ebf5bc03dffa38536673207a21281612cef5faa9bc7a4d5b9be2fdb12cf1a",
              "spec_hash": "sha256:c22ceee66b8ab104483c83053173b33f992dd4fcb457284c60ef9d699a1c7059",
              "slot": null,
              "attempt": 2,
              "started_at": "2026-01-01T00:00:02Z",
              "outcome": {
                "Published": {
                  "at": "2026-01-01T00:01:00Z",
                  "digest": "sha256:221f8af2372a95064f2ef7d7712216a9ab46e7ef98482fd237e106f83eaa7569"
                }
              }
            },
            {
              "version": "v20260104-000000",
              "inputs": "sha256:88185d128d9922e0e6bcd32b07b6c7f20f27968eab447a1d8d1cdf250f79f7d3",
              "spec_hash": "sha256:8092fe01b9ce31a49ce380fc2fe1ee6b6b7d5c15c5f1ecb6ad98c60c4273a435",
              "slot": "2026-01-01T00:00:00Z",
              "attempt": 3,
              "started_at": "2026-01-01T00:00:03Z",
              "outcome": {
                "Refused": {
                  "at": "2026-01-01T00:01:00Z",
                  "message": "r2 is below 0.5"
                }
              }
            },
            {
              "version": "v20260105-000000",
              "inputs": "sha256:1bc5d0e3df0ea12c4d0078668d14924f95106bbe173e196de50fe13a900b0937",
              "spec_hash": "sha256:7fde8eebf388fcff667a89be60430cc6e198b1a78cb603a39cdd09885a3336e3",
              "slot": "2026-01-01T00:00:00Z",
              "attempt": 4,
              "started_at": "2026-01-01T00:00:04Z",
              "outcome": {
                "Transient": {
                  "at": "2026-01-01T00:01:00Z",
                  "message": "r2 is below 0.5"
                }
              }
            },
            {
              "version": "v20260106-000000",
              "inputs": "sha256:221f8af2372a95064f2ef7d7712216a9ab46e7ef98482fd237e106f83eaa7569",
              "spec_hash": "sha256:9246be1e9ba9f5de5baf766a256eb725e9a7551fb93d7faa793c938e0f41de35",
              "slot": "2026-01-01T00:00:00Z",
              "attempt": 5,
              "started_at": "2026-01-01T00:00:05Z",
              "outcome": {
                "Skipped": {
                  "at": "2026-01-01T00:01:00Z",
                  "reason": "SameInputs"
                }
              }
            },
            {
              "version": "v20260107-000000",
              "inputs": "sha256:b253668f6b59f1ff28522831931e4d3c5a3de533965af22e961735437c0172cb",
              "spec_hash": "sha256:5085cb99dbe1e374ccd321e5b58182d2c42cf4840c68cfab17b0618a8285e7d6",
              "slot": "2026-01-01T00:00:00Z",
              "attempt": 6,
              "started_at": "2026-01-01T00:00:06Z",
              "outcome": {
                "Stopped": {
                  "at": "2026-01-01T00:01:00Z",
                  "reason": "DeadlineExceeded"
                }
              }
            }
          ]
        }"#]]
    .assert_eq(&json);
    assert_eq!(serde_json::from_str::<Records>(&json).unwrap(), records());
}

/// Every word that stands in a stored form.
#[test]
fn the_words_of_reasons() {
    let mut words = Vec::new();
    let mut show = |reason: &dyn std::fmt::Display, json: serde_json::Value| {
        assert_eq!(json, reason.to_string(), "one word, shown and stored");
        words.push(reason.to_string());
    };
    for reason in [
        HoldReason::Suspended,
        HoldReason::LoadFailed,
        HoldReason::CanaryLost,
        HoldReason::CanaryCapacity,
        HoldReason::Paused,
    ] {
        show(&reason, serde_json::to_value(reason).unwrap());
    }
    for reason in [
        SkipReason::SameInputs,
        SkipReason::Forbid,
        SkipReason::MissedDeadline,
        SkipReason::LastRunInvalid,
    ] {
        show(&reason, serde_json::to_value(reason).unwrap());
    }
    for reason in [
        StopReason::SpecChanged,
        StopReason::Replaced,
        StopReason::DeadlineExceeded,
        StopReason::Interrupted,
    ] {
        show(&reason, serde_json::to_value(reason).unwrap());
    }
    expect!["Suspended LoadFailed CanaryLost CanaryCapacity Paused SameInputs Forbid MissedDeadline LastRunInvalid SpecChanged Replaced DeadlineExceeded Interrupted"].assert_eq(&words.join(" "));
}

/// No `format`, a reason as text, no `sound`.
#[test]
fn a_rollout_that_the_first_version_wrote() {
    let pin = |n: u32| format!(r#"{{"version":"{}","digest":"{}"}}"#, version(n), digest(n));
    let (one, two, four) = (pin(1), pin(2), digest(4));
    let json = format!(
        r#"{{
            "state": {{"Holding": {{"reason": "LoadFailed", "message": "canary cannot load"}}}},
            "since": "2026-01-01T00:00:01Z",
            "stable": {one},
            "canary": null,
            "weight": 10,
            "lost": null,
            "paused": "ann: lunch",
            "canary_retry": {{"pin": {two}, "count": 2, "message": "no such opset", "until": "2026-01-01T00:00:20Z"}},
            "history": [{{
                "at": "2026-01-01T00:00:01Z",
                "from": {{"Aborted": {{"digest": "{four}", "reason": "ann: slow"}}}},
                "to": "Preparing",
                "weight": 0
            }}]
        }}"#
    );
    let read: Status = serde_json::from_str(&json).unwrap();
    let expected = Status {
        state: State::Holding {
            reason: HoldReason::LoadFailed,
            message: "canary cannot load".to_owned(),
        },
        since: time(1),
        serving: PerTrack {
            stable: Some(resolved(1)),
            canary: None,
        },
        weight: weight(10),
        paused: Some("ann: lunch".to_owned()),
        retry: PerTrack {
            stable: None,
            canary: Some(Retry {
                pin: resolved(2),
                count: 2,
                message: "no such opset".to_owned(),
                until: time(20),
                sound: None,
            }),
        },
        history: vec![Transition {
            at: time(1),
            from: State::Aborted {
                digest: digest(4),
                reason: "ann: slow".to_owned(),
            },
            to: State::Preparing,
            weight: weight(0),
        }],
        ..empty()
    };
    assert_eq!(read, expected);
    // A retry without a message is older still.
    let older = json.replace(r#""message": "no such opset", "#, "");
    let read: Status = serde_json::from_str(&older).unwrap();
    assert_eq!(read.retry.get(Track::Canary).as_ref().unwrap().message, "");
}

#[test]
fn runs_that_the_first_version_wrote() {
    let (one, hash) = (version(1), digest(1));
    let record = |slot: &str, outcome: &str| {
        format!(
            r#"{{"version":"{one}","inputs":"{hash}","spec_hash":"{hash}","slot":{slot},"attempt":1,"started_at":"2026-01-01T00:00:01Z","outcome":{outcome}}}"#
        )
    };
    let at = r#""at":"2026-01-01T00:01:00Z""#;
    let json = format!(
        r#"{{"runs":[{},{},{},{},{},{}]}}"#,
        record("null", r#""Running""#),
        record("null", &format!(r#"{{"Succeeded":{{{at},"digest":"{hash}"}}}}"#)),
        record(
            "null",
            &format!(r#"{{"Invalid":{{{at},"message":"r2 is below 0.5"}}}}"#)
        ),
        record("null", &format!(r#"{{"Transient":{{{at},"message":"killed"}}}}"#)),
        record(
            r#""2026-01-01T00:00:00Z""#,
            &format!(r#"{{"Skipped":{{{at},"reason":"MissedDeadline"}}}}"#)
        ),
        record(
            "null",
            &format!(r#"{{"Stopped":{{{at},"reason":"Interrupted"}}}}"#)
        ),
    );
    let Records { runs: read, .. } = serde_json::from_str(&json).unwrap();
    let at = time(60);
    let outcomes: Vec<Outcome> = read.iter().map(|record| record.outcome.clone()).collect();
    assert_eq!(
        outcomes,
        [
            Outcome::Running,
            Outcome::Published {
                at,
                digest: digest(1)
            },
            Outcome::Refused {
                at,
                message: "r2 is below 0.5".to_owned()
            },
            Outcome::Transient {
                at,
                message: "killed".to_owned()
            },
            Outcome::Skipped {
                at,
                reason: SkipReason::MissedDeadline
            },
            Outcome::Stopped {
                at,
                reason: StopReason::Interrupted
            },
        ]
    );
    assert_eq!((read[0].slot, read[4].slot), (None, Some(time(0))));
}

/// Nothing is read, so that nothing is taken for lost and written over.
#[test]
fn what_a_later_version_wrote_is_refused() {
    let later = |mut json: serde_json::Value| {
        assert_eq!(json["format"], FORMAT);
        json["format"] = (FORMAT + 1).into();
        // It may look like nothing that is known here.
        for key in ["state", "runs"] {
            if let Some(field) = json.get_mut(key) {
                *field = "Meditating".into();
            }
        }
        json
    };
    let status = serde_json::from_value::<Status>(later(serde_json::to_value(full()).unwrap()));
    let runs = serde_json::from_value::<Records>(later(serde_json::to_value(records()).unwrap()));
    expect!["is written in form 2, and this aurora reads up to 1: a later aurora wrote it, start that one"]
        .assert_eq(&status.unwrap_err().to_string());
    expect!["is written in form 2, and this aurora reads up to 1: a later aurora wrote it, start that one"]
        .assert_eq(&runs.unwrap_err().to_string());
    assert!(Format(0).known().is_ok() && Format(FORMAT).known().is_ok());
    assert_eq!(Format::default(), Format(FORMAT));
}

/// What is not understood is an error and never an empty memory.
#[test]
fn what_is_no_memory_is_refused() {
    for text in [
        "{}",
        "null",
        "[]",
        r#"{"format":1}"#,
        r#"{"format":"1","runs":[]}"#,
    ] {
        assert!(serde_json::from_str::<Records>(text).is_err(), "{text}");
        assert!(serde_json::from_str::<Status>(text).is_err(), "{text}");
    }
    let mut json = serde_json::to_value(full()).unwrap();
    json["state"] = serde_json::json!({"Holding": {"reason": "Tired", "message": ""}});
    assert!(serde_json::from_value::<Status>(json).is_err());
}
