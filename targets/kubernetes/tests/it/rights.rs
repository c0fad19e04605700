//! What the reconciler's account is shipped with is enough where others write at the same time, and where things go.

use std::sync::Arc;

use kubernetes::objects::Objects;
use planner::environment::{Drift, Environment, RemovalLimits, Target};
use planner::object::Kind;
use reconciler::objects::resource::read;
use reconciler::objects::{Object, ObjectStore as _, ObservedObject};
use serde_json::{Value, json};
use testkit::{Component, Namespace};

use crate::faults::Faults;
use crate::installed::{ENVIRONMENT, get, installed};

/// How often each object is written at most until each was read over.
const ROUNDS_MAX: usize = 60;

fn environment(namespace: &Namespace, round: usize) -> Object {
    Object::Environment(Environment {
        name: ENVIRONMENT.parse().unwrap(),
        target: Target::Kubernetes {
            namespace: namespace.name().to_owned(),
        },
        commits: planner::commits::CommitPolicy::default(),
        models: planner::trust::ModelPolicy::default(),
        drift: Drift::Correct,
        suspend: Some(format!("round {round}")),
        notify: Vec::new(),
        registry_path: None,
        removal: RemovalLimits::default(),
        windows: Vec::new(),
        gates: None,
        promotion: None,
        upstream: None,
    })
}

fn written(kind: Kind, spec: &Value) -> Object {
    let revision = "a".repeat(40);
    let resource = json!({
        "apiVersion": crds::API_VERSION, "kind": kind.as_str(),
        "metadata": {
            "name": "iris",
            "labels": { crds::ENVIRONMENT_LABEL: ENVIRONMENT },
            "annotations": {
                "aurora.io/revision": revision, "aurora.io/stable-revision": revision,
                "aurora.io/committed-at": "2026-11-01T12:00:00Z",
            },
        },
        "spec": spec,
    });
    match read(kind, resource).unwrap() {
        ObservedObject::Deployment(name, found) => Object::Deployment(name, found.object),
        ObservedObject::Training(name, found) => Object::Training(name, found.object),
        ObservedObject::Environment(environment) => Object::Environment(environment),
    }
}

fn deployment(round: usize) -> Object {
    let digest = planner::names::Digest::of(b"artifact").to_string();
    let spec = json!({
        "modelName": "iris", "suspend": format!("round {round}"),
        "stable": { "version": "v20261101-120000", "digest": digest },
    });
    written(Kind::Deployment, &spec)
}

fn training(round: usize) -> Object {
    let spec = json!({
        "modelName": "iris", "version": "v20261101-120000", "dataset": { "uri": "builtin:iris" },
        "algorithm": "logistic_regression", "seed": round,
        "evaluation": { "metric": "accuracy", "minimum": 0.5 },
    });
    written(Kind::Training, &spec)
}

/// Says of which kinds the account has read an object, past the watch.
fn read_over(namespace: &Namespace) -> Vec<String> {
    let calls = namespace.control_plane().calls().unwrap();
    let own = (namespace.name(), Component::Reconciler.account());
    let mut read: Vec<String> = calls
        .iter()
        .filter(|call| call.account() == Some(own) && call.verb == "get")
        .map(|call| call.resource.clone())
        .collect();
    read.sort();
    read.dedup();
    read
}

/// Every third write is refused in turns by 409, 429 and 500.
#[tokio::test(flavor = "multi_thread")]
async fn a_reconciler_may_read_what_it_was_overtaken_on_and_delete_what_goes() {
    let Some(namespace) = installed().await else {
        return;
    };
    let faults = Faults::new(namespace.client_of(Component::Reconciler).await.unwrap());
    let name = ENVIRONMENT.parse().unwrap();
    let objects = Arc::new(Objects::follow(&faults.client(), namespace.name(), &name));
    let kinds = ["mldeployments", "mlenvironments", "mltrainingjobs"];
    for round in 0.. {
        assert!(round < ROUNDS_MAX, "{:?}", read_over(&namespace));
        let all = [environment(&namespace, round), deployment(round), training(round)];
        let objects = objects.clone();
        tokio::task::spawn_blocking(move || {
            for object in all {
                // What is refused is another pass's to write.
                drop(objects.observe(None).and_then(|_seen| objects.put(&object)));
            }
        })
        .await
        .unwrap();
        if read_over(&namespace) == kinds {
            break;
        }
    }
    let ids = [deployment(0).id(), training(0).id()];
    let paths = ["mldeployments/iris", "mltrainingjobs/iris"];
    for (id, path) in ids.into_iter().zip(paths) {
        while get(&namespace, path).await.is_success() {
            let (objects, id) = (objects.clone(), id.clone());
            let deleted = tokio::task::spawn_blocking(move || objects.delete(&id));
            drop(deleted.await.unwrap());
        }
    }
}
