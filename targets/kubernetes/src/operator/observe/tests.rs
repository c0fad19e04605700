//! Children → tracks, as tables.

use expect_test::{Expect, expect};
use planner::names::{Digest, Version};
use serde_json::{Value, json};

use super::*;

fn digest(n: u8) -> Digest {
    format!("sha256:{}", format!("{n:02x}").repeat(32))
        .parse()
        .unwrap()
}

/// Version number `n`.
fn pin(n: u8) -> ResolvedPin {
    let version: Version = format!("v202611{n:02}-120000").parse().unwrap();
    ResolvedPin {
        version,
        digest: digest(n),
    }
}

fn memory(stable: Option<u8>) -> Status {
    let status = json!({
        "state": "Idle", "since": "2026-11-01T00:00:00Z", "weight": 0, "history": [],
        "stable": stable.map(pin), "canary": null, "lost": null, "paused": null,
    });
    serde_json::from_value(status).unwrap()
}

/// A Deployment of version 2: how many are wanted, exist, are new, are ready.
fn deployed([wanted, existing, updated, ready]: [u32; 4]) -> Deployed {
    Deployed {
        model: "iris".parse().unwrap(),
        pin: pin(2),
        revision: None,
        wanted,
        existing,
        updated,
        ready,
        is_current: true,
        failure: None,
        holds_replicas: false,
    }
}

fn show(state: &TrackState) -> String {
    let name = |pin: &Option<ResolvedPin>| {
        let number = |pin: &ResolvedPin| (1..9).find(|n| super::tests::pin(*n) == *pin).unwrap();
        pin.as_ref()
            .map_or("-".to_owned(), |pin| format!("v{}", number(pin)))
    };
    let failed = state.unloadable.clone().map(|(pin, _)| pin);
    format!(
        "serves {}, loads {}, failed {}, {} of {} ready",
        name(&state.serving),
        name(&state.loading),
        name(&failed),
        state.capacity.ready,
        state.capacity.wanted
    )
}

/// What stable does, when it is remembered to serve a version.
#[track_caller]
fn check(deployed: Option<Deployed>, remembered: Option<u8>, expected: &Expect) {
    let observed = Observed {
        deployed: PerTrack {
            stable: deployed,
            canary: None,
        },
        ..Observed::default()
    };
    let tracks = tracks(&observed, Some(&memory(remembered)));
    expected.assert_eq(&show(&tracks.track.stable));
}

#[test]
fn a_first_start_serves_once_all_are_ready() {
    check(None, None, &expect!["serves -, loads -, failed -, 0 of 0 ready"]);
    check(
        Some(deployed([3, 3, 3, 0])),
        None,
        &expect!["serves -, loads v2, failed -, 0 of 3 ready"],
    );
    check(
        Some(deployed([3, 3, 3, 2])),
        None,
        &expect!["serves -, loads v2, failed -, 2 of 3 ready"],
    );
    check(
        Some(deployed([3, 3, 3, 3])),
        None,
        &expect!["serves v2, loads -, failed -, 3 of 3 ready"],
    );
}

#[test]
fn a_roll_serves_the_old_one_until_all_of_the_new_are_ready() {
    let stale = Deployed {
        is_current: false,
        ..deployed([3, 3, 3, 3])
    };
    check(
        Some(stale),
        Some(1),
        &expect!["serves v1, loads v2, failed -, 3 of 3 ready"],
    );
    check(
        Some(deployed([3, 4, 1, 3])),
        Some(1),
        &expect!["serves v1, loads v2, failed -, 3 of 3 ready"],
    );
    check(
        Some(deployed([3, 4, 3, 4])),
        Some(1),
        &expect!["serves v1, loads v2, failed -, 4 of 3 ready"],
    );
    check(
        Some(deployed([3, 3, 3, 3])),
        Some(1),
        &expect!["serves v2, loads -, failed -, 3 of 3 ready"],
    );
    // The old ones are gone, and the new ones not all there: nothing is known to serve as it should.
    check(
        Some(deployed([3, 3, 3, 2])),
        Some(1),
        &expect!["serves -, loads v2, failed -, 2 of 3 ready"],
    );
}

#[test]
fn pods_that_are_lost_are_missed_and_the_last_one_ends_it() {
    check(
        Some(deployed([3, 3, 3, 1])),
        Some(2),
        &expect!["serves v2, loads -, failed -, 1 of 3 ready"],
    );
    check(
        Some(deployed([3, 3, 3, 0])),
        Some(2),
        &expect!["serves -, loads v2, failed -, 0 of 3 ready"],
    );
    // More are wanted, or the template changed but not what is served.
    check(
        Some(deployed([6, 3, 3, 3])),
        Some(2),
        &expect!["serves v2, loads -, failed -, 3 of 6 ready"],
    );
    check(
        Some(deployed([3, 4, 1, 3])),
        Some(2),
        &expect!["serves v2, loads -, failed -, 3 of 3 ready"],
    );
}

#[test]
fn a_memory_that_is_gone_claims_only_what_is_whole() {
    check(
        Some(deployed([3, 4, 1, 3])),
        None,
        &expect!["serves -, loads v2, failed -, 3 of 3 ready"],
    );
    check(
        Some(deployed([0, 0, 0, 0])),
        None,
        &expect!["serves -, loads v2, failed -, 0 of 0 ready"],
    );
}

#[test]
fn what_was_given_up_did_not_load() {
    let given_up = Deployed {
        failure: Some("its pods do not become ready".to_owned()),
        ..deployed([3, 4, 1, 3])
    };
    check(
        Some(given_up.clone()),
        Some(1),
        &expect!["serves v1, loads -, failed v2, 3 of 3 ready"],
    );
    // What serves serves, whatever is said of its last pod.
    check(
        Some(given_up),
        Some(2),
        &expect!["serves v2, loads -, failed -, 3 of 3 ready"],
    );
}

/// A Deployment that went back to what it served before is no new attempt.
#[test]
fn a_failure_is_remembered_between_attempts() {
    let mut memory = memory(Some(2));
    memory.retry.stable = Some(Retry {
        pin: pin(3),
        count: 1,
        message: "no such opset".to_owned(),
        until: "2026-11-01T00:00:00Z".parse().unwrap(),
        sound: None,
    });
    for (stable, expected) in [
        (
            Some(deployed([3, 3, 3, 3])),
            expect!["serves v2, loads -, failed v3, 3 of 3 ready"],
        ),
        (None, expect!["serves -, loads -, failed v3, 0 of 0 ready"]),
    ] {
        let observed = Observed {
            deployed: PerTrack { stable, canary: None },
            ..Observed::default()
        };
        let tracks = tracks(&observed, Some(&memory));
        expected.assert_eq(&show(&tracks.track.stable));
    }
}

#[test]
fn the_weight_is_the_most_that_a_route_was_written_with() {
    let at = |percent| Route::At(Weight::try_from(percent).unwrap());
    for (route, calls, percent, is_routed) in [
        (Route::None, None, 0, false),
        (at(10), None, 10, true),
        (at(10), Some(Route::None), 10, true),
        (at(10), Some(Route::Unknown), 10, true),
        // Stopped between two writes, on the way up and on the way down.
        (at(50), Some(at(10)), 50, true),
        (at(0), Some(at(10)), 10, true),
        (Route::None, Some(at(0)), 0, true),
    ] {
        let observed = Observed {
            route,
            calls,
            ..Observed::default()
        };
        let routed = tracks(&observed, None);
        let told = (routed.weight.percent(), routed.is_routed);
        assert_eq!(told, (percent, is_routed), "{route:?} {calls:?}");
    }
}

fn written(change: impl FnOnce(&mut Value)) -> Deployment {
    let mut written = json!({
        "metadata": { "name": "iris-stable", "generation": 4, "managedFields": [
            { "manager": "aurora-operator", "operation": "Apply", "fieldsV1": { "f:spec": { "f:template": {} } } },
        ], "labels": { "aurora.io/model": "iris" } },
        "spec": { "replicas": 3, "selector": {}, "template": { "metadata": { "annotations": {
            "aurora.io/version": "v20261102-120000",
            "aurora.io/digest": digest(2).to_string(),
            "aurora.io/revision": "0123456789abcdef0123456789abcdef01234567",
        } } } },
        "status": { "observedGeneration": 4, "replicas": 4, "updatedReplicas": 1, "readyReplicas": 3 },
    });
    change(&mut written);
    serde_json::from_value(written).unwrap()
}

#[test]
fn a_deployment_as_it_is_read() {
    let read = Deployed::read(&written(|_| {})).unwrap();
    let expected = Deployed {
        revision: read.revision.clone(),
        ..deployed([3, 4, 1, 3])
    };
    assert_eq!(read, expected);
    assert!(read.revision.is_some());
    let stale = Deployed::read(&written(|written| {
        written["status"]["observedGeneration"] = 3.into();
    }));
    assert!(!stale.unwrap().is_current);
    let new = Deployed::read(&written(|written| written["status"] = json!({}))).unwrap();
    assert_eq!((new.is_current, new.existing, new.ready), (false, 0, 0));
    let held_by = |others: &[Value]| {
        let held = written(|written| {
            let managers = &mut written["metadata"]["managedFields"];
            managers[0]["fieldsV1"]["f:spec"]["f:replicas"] = json!({});
            managers.as_array_mut().unwrap().extend_from_slice(others);
        });
        Deployed::read(&held).unwrap().holds_replicas
    };
    assert!(held_by(&[]) && !read.holds_replicas);
    let other = |fields: Value| json!({ "manager": "other", "operation": "Apply", "fieldsV1": fields });
    assert!(held_by(&[other(json!({ "f:spec": { "f:paused": {} } }))]));
    assert!(!held_by(&[other(json!({ "f:spec": { "f:replicas": {} } }))]));
    let given_up = Deployed::read(&written(|written| {
        written["status"]["conditions"] =
            json!([{ "type": "Progressing", "status": "False", "message": "timed out" }]);
    }));
    expect!["its pods do not become ready: timed out; `kubectl describe pod` says why"]
        .assert_eq(&given_up.unwrap().failure.unwrap());
}

#[test]
fn a_deployment_that_says_nothing_of_its_pin_is_unreadable() {
    let unlabelled = Deployed::read(&written(|written| written["metadata"]["labels"] = json!({})));
    expect![
        "Deployment iris-stable does not say what it serves (aurora.io/model): delete it, it is made anew"
    ]
    .assert_eq(&unlabelled.unwrap_err().to_string());
    let malformed = Deployed::read(&written(|written| {
        written["spec"]["template"]["metadata"]["annotations"]["aurora.io/digest"] = "sha256:x".into();
    }));
    expect![
        "Deployment iris-stable does not say what it serves (aurora.io/digest): delete it, it is made anew"
    ]
    .assert_eq(&malformed.unwrap_err().to_string());
}
