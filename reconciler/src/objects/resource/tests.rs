//! Custom resources → objects, as a table: what is left out of each, and what becomes of it.

use planner::names::Digest;
use serde_json::json;

use super::*;

/// Reads a kind from its smallest sound form, with one place set to another value; null takes the place away.
fn changed(kind: Kind, place: &str, value: Value) -> Result<ObservedObject, Unreadable> {
    let revision = "a".repeat(40);
    let metadata =
        |annotations: Value| json!({ "name": "iris", "generation": 3, "annotations": annotations });
    let (metadata, spec, status) = match kind {
        Kind::Environment => (
            json!({ "name": "dev" }),
            json!({ "target": "Kubernetes", "namespace": "dev" }),
            json!({}),
        ),
        Kind::Deployment => (
            metadata(json!({ "aurora.io/revision": revision, "aurora.io/stable-revision": revision })),
            json!({ "modelName": "wine", "stable": { "version": "v20261101-120000", "digest": Digest::of(b"a") } }),
            json!({ "memory": {
                "state": "Idle", "since": "2026-11-01T00:00:00Z", "weight": 0, "history": [],
                "stable": null, "canary": null, "lost": null, "paused": null,
            } }),
        ),
        Kind::Training => (
            metadata(
                json!({ "aurora.io/revision": revision, "aurora.io/committed-at": "2026-11-01T00:00:00Z" }),
            ),
            json!({
                "modelName": "wine", "version": "v20261101-120000", "dataset": { "uri": "builtin:iris" },
                "algorithm": "logistic_regression", "evaluation": { "metric": "accuracy", "minimum": 0.5 },
            }),
            json!({
                "phase": "Failed", "version": "v20261101-120000", "message": "no such column",
                "observedGeneration": 3,
            }),
        ),
    };
    let mut resource = json!({
        "apiVersion": crds::API_VERSION, "kind": kind.as_str(),
        "metadata": metadata, "spec": spec, "status": status,
    });
    if let Some((parent, name)) = place.rsplit_once('/') {
        let parent = resource.pointer_mut(parent).and_then(Value::as_object_mut);
        let parent = parent.unwrap_or_else(|| unreachable!("{place} has a parent"));
        let name = name.replace("~1", "/");
        if value.is_null() {
            parent.remove(&name);
        } else {
            parent.insert(name, value);
        }
    }
    read(kind, resource)
}

/// Says what an object is and what its status comes to, or what is wrong.
fn shown(read: Result<ObservedObject, Unreadable>) -> String {
    match read {
        Ok(ObservedObject::Environment(environment)) => format!("environment {}", environment.name),
        Ok(ObservedObject::Deployment(name, found)) => {
            let state = found.status.map(|status| format!("{:?}", status.state));
            format!(
                "{name} of {}: {}",
                found.object.spec.model,
                state.as_deref().unwrap_or("-")
            )
        }
        Ok(ObservedObject::Training(name, found)) => {
            let phase = found.phase.map(|phase| format!("{phase:?}"));
            format!(
                "{name} of {}: {}",
                found.object.spec.model,
                phase.as_deref().unwrap_or("-")
            )
        }
        Err(unreadable) => {
            let words = unreadable.to_string();
            // What is known besides grows with the kinds.
            let (what, _known) = words.split_once(", expected one of").unwrap_or((&words, ""));
            format!("! {what}")
        }
    }
}

#[test]
fn an_object_is_read_or_said_to_make_no_sense() {
    let mut table = Vec::new();
    for (kind, places) in [
        (
            Kind::Environment,
            vec![
                ("", Value::Null),
                ("/apiVersion", "aurora.io/v9".into()),
                ("/metadata/name", Value::Null),
                ("/spec", Value::Null),
                ("/spec/target", "Moon".into()),
                ("/spec/namespace", Value::Null),
                ("/status", "nonsense".into()),
            ],
        ),
        (
            Kind::Deployment,
            vec![
                ("", Value::Null),
                ("/apiVersion", Value::Null),
                ("/metadata/name", "Not a name".into()),
                ("/metadata/annotations", Value::Null),
                ("/metadata/annotations/aurora.io~1revision", "HEAD".into()),
                ("/metadata/annotations/aurora.io~1stable-revision", Value::Null),
                ("/spec/unknown", 1.into()),
                ("/spec/modelName", Value::Null),
                ("/spec/stable/digest", Value::Null),
                ("/spec/stable/version", "newest".into()),
                ("/status", Value::Null),
                ("/status/memory", Value::Null),
                ("/status/memory/state", "Flying".into()),
                ("/status/memory/format", 1000.into()),
            ],
        ),
        (
            Kind::Training,
            vec![
                ("", Value::Null),
                (
                    "/metadata/annotations/aurora.io~1committed-at",
                    "yesterday".into(),
                ),
                ("/spec/algorithm", "magic".into()),
                ("/spec/version", "v1".into()),
                ("/status/phase", "Flying".into()),
                ("/status/version", Value::Null),
                ("/status/observedGeneration", 2.into()),
                ("/status/observedGeneration", Value::Null),
                ("/status", Value::Null),
            ],
        ),
    ] {
        for (place, value) in places {
            let line = shown(changed(kind, place, value.clone()));
            table.push(format!("{} {place} {value} => {line}\n", kind.as_str()));
        }
    }
    expect_test::expect_file!["tests.txt"].assert_eq(&table.concat());
}

#[test]
fn a_report_is_read_without_what_only_its_writer_adds() {
    let read = |status: Value| read_report(&json!({ "status": status }));
    assert_eq!(read_report(&json!({})), None);
    assert_eq!(read(Value::Null), None);
    assert_eq!(read("nonsense".into()), None);
    let report = read(json!({ "observedGeneration": 7, "requestedAt": "now" })).unwrap();
    assert_eq!(report.observed_generation, None);
    assert_eq!(report.requested_at.as_deref(), Some("now"));
}

#[test]
fn what_is_written_is_read_back_as_it_was() {
    for kind in Kind::ALL {
        let observed = changed(kind, "", Value::Null).unwrap();
        let object = match observed.clone() {
            ObservedObject::Environment(environment) => Object::Environment(environment),
            ObservedObject::Deployment(name, found) => Object::Deployment(name, found.object),
            ObservedObject::Training(name, found) => Object::Training(name, found.object),
        };
        let environment = "dev".parse().unwrap();
        let resource = Resource {
            object: &object,
            environment: &environment,
        };
        let written = serde_json::to_value(resource).unwrap();
        let label = "/metadata/labels/aurora.io~1environment";
        assert_eq!(written.pointer(label), Some(&json!("dev")), "{written}");
        assert_eq!(written.get("status"), None, "{written}");
        let again = match read(kind, written).unwrap() {
            ObservedObject::Environment(environment) => Object::Environment(environment),
            ObservedObject::Deployment(name, found) => Object::Deployment(name, found.object),
            ObservedObject::Training(name, found) => Object::Training(name, found.object),
        };
        assert_eq!(again, object);
    }
}
