//! Statuses: what is written, and what is read back.

use super::*;

#[test]
fn statuses_read_back_as_what_was_written() {
    let aborted = State::Aborted {
        digest: pin(2).digest,
        reason: "eve: errors".to_owned(),
    };
    let holding = State::Holding {
        reason: rollout::HoldReason::Paused,
        message: "eve: lunch".to_owned(),
    };
    let transition = Transition {
        at: time(1),
        from: holding,
        to: aborted.clone(),
        weight: Weight::ZERO,
    };
    let rollout = rollout::Status {
        state: aborted,
        since: time(1),
        serving: PerTrack {
            stable: Some(pin(1)),
            canary: Some(pin(2)),
        },
        weight: Weight::ZERO,
        routed_at: Some(time(3)),
        thinned: Some(rollout::Thinned {
            digest: pin(2).digest,
            count: 1,
            weight: Weight::ZERO,
            until: time(4),
        }),
        lost: Some(rollout::Lost {
            digest: pin(2).digest,
            count: 2,
            until: time(60),
        }),
        paused: Some("eve: lunch".to_owned()),
        ceiling: Some(rollout::Ceiling {
            digest: pin(2).digest,
            weight: Weight::FULL,
        }),
        frozen: None,
        retry: PerTrack {
            stable: None,
            canary: Some(rollout::Retry {
                pin: pin(2),
                count: 1,
                message: "no such opset".to_owned(),
                until: time(2),
                sound: Some(true),
            }),
        },
        history: vec![transition],
    };
    let status: status::MLDeploymentStatus = through_json(&deployment_status(&rollout));
    assert_eq!(status.memory, Some(rollout));
    let readable = status::MLDeploymentStatus {
        memory: None,
        ..status
    };
    expect![[r#"
        {
          "stable": {
            "version": "v20261101-010000",
            "digest": "sha256:b40711a88c7039756fb8a73827eabe2c0fe5a0346ca7e0a104adc0fc764f528d"
          },
          "canary": {
            "version": "v20261101-020000",
            "digest": "sha256:433ebf5bc03dffa38536673207a21281612cef5faa9bc7a4d5b9be2fdb12cf1a"
          },
          "weight": 0,
          "state": "Aborted",
          "message": "433ebf5bc03d: eve: errors",
          "history": [
            {
              "at": "2027-01-15T08:00:01Z",
              "from": "Holding",
              "to": "Aborted",
              "message": "433ebf5bc03d: eve: errors",
              "weight": 0
            }
          ]
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&readable).unwrap());

    let version = pin(1).version;
    for phase in [
        Phase::Scheduled { next: Some(time(5)) },
        Phase::Scheduled { next: None },
        Phase::Pending {
            version: version.clone(),
        },
        Phase::Running {
            version: version.clone(),
        },
        Phase::Succeeded {
            version: version.clone(),
            digest: pin(1).digest,
        },
        Phase::Failed {
            version,
            message: "no data".to_owned(),
        },
        Phase::Suspended,
    ] {
        assert_eq!(
            read_training_phase(&through_json(&training_status(&phase))),
            Some(phase)
        );
    }
    assert_eq!(read_training_phase(&status::MLTrainingJobStatus::default()), None);
}
