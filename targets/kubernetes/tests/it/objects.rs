//! The objects of an environment in a real API server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use kubernetes::objects::{MANAGER, Objects};
use planner::commits::CommitPolicy;
use planner::deployment::{Deployment, ResolvedPin, STABLE_REPLICAS};
use planner::environment::{Drift, Environment, RemovalLimits, Target};
use planner::finding::{Disposition, Reason};
use planner::names::{Digest, EnvironmentName};
use planner::object::ObjectId;
use planner::observed::DeploymentObject;
use reconciler::objects::resource::Resource;
use reconciler::objects::{Mark, Object, ObjectStore, ObservedObject, TargetError, conformance};
use serde_json::json;
use testkit::Namespace;
use tokio::runtime::Handle;

use crate::installed::{ENVIRONMENT, apply_as, ask, follow, get, installed, manifest, versions};

/// What is waited for comes within this.
const PATIENCE: Duration = Duration::from_mins(5);

fn environment() -> EnvironmentName {
    ENVIRONMENT.parse().unwrap()
}

fn deployment(name: &str, stable: u8, revision: &str) -> Object {
    let revision = revision.repeat(40);
    let object = DeploymentObject {
        spec: Deployment {
            model: name.parse().unwrap(),
            stable: ResolvedPin {
                version: format!("v202601{stable:02}-000000").parse().unwrap(),
                digest: Digest::of(&[stable]),
            },
            replicas: STABLE_REPLICAS,
            canary: None,
            autoscaling: None,
            pod: None,
            route: None,
            engine: planner::engine::Engine::Aurora,
            suspend: None,
            rejected: Vec::new(),
            allow_breaking: Vec::new(),
        },
        revision: revision.parse().unwrap(),
        stable_revision: revision.parse().unwrap(),
        canary_revision: None,
        abort: None,
        overridden: None,
        kept: None,
        trust: None,
        behind: None,
    };
    Object::Deployment(name.parse().unwrap(), object)
}

fn policy(namespace: &Namespace, drift: Drift) -> Object {
    Object::Environment(Environment {
        name: environment(),
        target: Target::Kubernetes {
            namespace: namespace.name().to_owned(),
        },
        commits: CommitPolicy::default(),
        models: planner::trust::ModelPolicy::default(),
        drift,
        suspend: None,
        notify: Vec::new(),
        registry_path: None,
        removal: RemovalLimits::default(),
        windows: Vec::new(),
        gates: None,
        promotion: None,
        upstream: None,
    })
}

/// Runs what blocks where it may.
async fn blocking<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(what).await.unwrap()
}

async fn put(objects: &Arc<Objects>, object: Object) -> Result<(), TargetError> {
    let objects = objects.clone();
    blocking(move || {
        // As a pass does: what is there is observed first.
        objects.observe(None)?;
        ObjectStore::put(objects.as_ref(), &object)
    })
    .await
}

async fn observed(objects: &Arc<Objects>, since: Option<Mark>) -> Vec<ObservedObject> {
    let objects = objects.clone();
    blocking(move || objects.observe(since).unwrap().objects).await
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn stable_of(answer: &testkit::Answer) -> String {
    answer.text("/spec/stable/version").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_in_an_api_server_conform() {
    if installed().await.is_none() {
        return;
    }
    let runtime = Handle::current();
    blocking(move || {
        conformance::check(|| {
            runtime.block_on(async {
                let namespace = installed().await.expect("there was one before");
                follow(&namespace)
            })
        });
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_the_same_twice_changes_no_version() {
    let Some(namespace) = installed().await else {
        return;
    };
    let all = [policy(&namespace, Drift::Correct), deployment("a", 1, "a")];
    let objects = Arc::new(follow(&namespace));
    for object in all.clone() {
        put(&objects, object).await.unwrap();
    }
    let before = versions(&namespace).await;
    assert_eq!(before.len(), all.len());
    for (object, plural) in all.iter().zip(["mlenvironments", "mldeployments"]) {
        let environment = &environment();
        let resource = serde_json::to_value(Resource { object, environment }).unwrap();
        let again = apply_as(&namespace, MANAGER, plural, &resource).await;
        assert!(again.is_success() && again.warnings.is_empty(), "{again:?}");
    }
    assert_eq!(versions(&namespace).await, before);
}

/// Somebody edits the spec of an object that Git has not touched since.
#[tokio::test(flavor = "multi_thread")]
async fn an_edited_spec_is_corrected_or_told() {
    let Some(namespace) = installed().await else {
        return;
    };
    for (drift, name, revision, expected) in [
        (Drift::Correct, "correct", "a", None),
        (
            Drift::Warn,
            "warn",
            "a",
            Some("kubectl-edit changed spec.stable.digest, spec.stable.version"),
        ),
        (Drift::Off, "off", "a", Some("drift is Off: it stands")),
        // A commit that changed the model is applied whatever the policy is.
        (Drift::Warn, "commit", "b", None),
    ] {
        let objects = Arc::new(follow(&namespace));
        put(&objects, policy(&namespace, drift)).await.unwrap();
        put(&objects, deployment(name, 1, "a")).await.unwrap();
        let edited = apply_as(&namespace, "kubectl-edit", "mldeployments", &manifest(name, 2)).await;
        assert!(edited.is_success(), "{edited:?}");
        let seen = deployment(name, 2, "a");
        eventually("the edit is seen", async || {
            observed(&objects, None)
                .await
                .iter()
                .any(|object| is(object, &seen))
        })
        .await;
        let wanted = deployment(name, 1, revision);
        match (put(&objects, wanted.clone()).await, expected) {
            (Ok(()), None) => {
                let found = get(&namespace, &format!("mldeployments/{name}")).await;
                assert_eq!(stable_of(&found), "v20260101-000000", "{drift:?}");
                assert!(
                    observed(&objects, None)
                        .await
                        .iter()
                        .any(|object| is(object, &wanted))
                );
            }
            (Err(error), Some(told)) => {
                let is_told = [Reason::Drifted, Reason::DriftLeft].contains(&error.reason());
                assert!(is_told, "{error}");
                assert!(error.to_string().contains(told), "{error}");
                let found = get(&namespace, &format!("mldeployments/{name}")).await;
                assert_eq!(stable_of(&found), "v20260102-000000", "{drift:?}");
            }
            (result, _) => panic!("{drift:?}: {result:?}"),
        }
    }
}

fn is(found: &ObservedObject, object: &Object) -> bool {
    match (found, object) {
        (ObservedObject::Deployment(found_name, found), Object::Deployment(name, object)) => {
            found_name == name && found.object == *object
        }
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_ours_or_equal_is_taken() {
    let Some(namespace) = installed().await else {
        return;
    };
    let labelled = |name: &str, label: &str| {
        let mut object = manifest(name, 1);
        object["metadata"]["labels"] = json!({ "aurora.io/environment": label });
        object
    };
    let objects = Arc::new(follow(&namespace));
    for (there, wanted, expected) in [
        (manifest("equal", 1), 1, None),
        (manifest("other", 2), 1, Some("Aurora did not make")),
        (labelled("prod", "prod"), 1, Some("environment prod's")),
        // Ours, without any annotation of ours: made anew from Git.
        (labelled("bare", "dev"), 2, None),
    ] {
        let name = there["metadata"]["name"].as_str().unwrap();
        let made = ask(&namespace, Method::POST, "mldeployments", &there).await;
        assert!(made.is_success(), "{made:?}");
        let before = get(&namespace, &format!("mldeployments/{name}")).await;
        let result = put(&objects, deployment(name, wanted, "a")).await;
        let after = get(&namespace, &format!("mldeployments/{name}")).await;
        match expected {
            None => {
                assert_eq!(result, Ok(()), "{name}");
                let label = after.text("/metadata/labels/aurora.io~1environment");
                assert_eq!(label, "dev", "{name}");
                assert_eq!(stable_of(&after), format!("v202601{wanted:02}-000000"));
            }
            Some(told) => {
                let error = result.unwrap_err();
                assert_eq!(error.reason(), Reason::ForeignObject);
                assert_eq!(error.disposition(), Disposition::Invalid);
                assert!(error.to_string().contains(told), "{error}");
                assert_eq!(after.body, before.body, "nothing of it is touched");
                // Nor is it ever deleted.
                let id = ObjectId::deployment(&name.parse().unwrap());
                let deleting = objects.clone();
                blocking(move || deleting.delete(&id)).await.unwrap();
                assert_eq!(
                    get(&namespace, &format!("mldeployments/{name}")).await.body,
                    before.body
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_being_deleted_is_waited_for() {
    let Some(namespace) = installed().await else {
        return;
    };
    let objects = Arc::new(follow(&namespace));
    put(&objects, deployment("a", 1, "a")).await.unwrap();
    let path = "mldeployments/a";
    let drained = json!({ "metadata": { "finalizers": ["aurora.io/drain"] } });
    let before = ask(&namespace, Method::PATCH, path, &drained).await;
    assert!(before.is_success(), "{before:?}");
    let removing = objects.clone();
    let mark = blocking(move || {
        let mark = removing.observe(None).unwrap().mark;
        let id = ObjectId::deployment(&"a".parse().unwrap());
        removing.delete(&id).unwrap();
        let changes = removing.observe(Some(mark)).unwrap();
        assert_eq!(changes.gone, std::slice::from_ref(&id), "it counts as gone");
        removing.delete(&id).unwrap();
        changes.mark
    })
    .await;
    let waits = put(&objects, deployment("a", 2, "b")).await.unwrap_err();
    assert_eq!(waits.disposition(), Disposition::Waiting, "{waits}");
    let released = ask(
        &namespace,
        Method::PATCH,
        path,
        &json!({ "metadata": { "finalizers": null } }),
    )
    .await;
    assert!(released.is_success(), "{released:?}");
    let following = objects.clone();
    eventually("its end is news", async || {
        let following = following.clone();
        !blocking(move || following.observe(Some(mark)).unwrap().gone)
            .await
            .is_empty()
    })
    .await;
    put(&objects, deployment("a", 2, "b")).await.unwrap();
    let after = get(&namespace, path).await;
    assert_eq!(stable_of(&after), "v20260102-000000");
    assert_ne!(after.text("/metadata/uid"), before.text("/metadata/uid"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_write_is_told_which_permission_is_missing() {
    let Some(namespace) = installed().await else {
        return;
    };
    let account = namespace
        .client_of_account(namespace.name(), "nobody")
        .await
        .unwrap();
    let objects = Arc::new(Objects::follow(&account, namespace.name(), &environment()));
    let refused = put(&objects, deployment("a", 1, "a")).await.unwrap_err();
    assert_eq!(
        (refused.disposition(), refused.reason()),
        (Disposition::Invalid, Reason::ClusterRefused)
    );
    assert!(refused.to_string().contains("cannot list resource"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_are_written_at_once_are_answered_in_their_order() {
    let Some(namespace) = installed().await else {
        return;
    };
    let foreign = ask(&namespace, Method::POST, "mldeployments", &manifest("m-07", 9)).await;
    assert!(foreign.is_success(), "{foreign:?}");
    let store = follow(&namespace);
    let wanted: Vec<Object> = (0..30)
        .map(|index| deployment(&format!("m-{index:02}"), 1, "a"))
        .collect();
    let written = blocking(move || {
        store.observe(None).unwrap();
        let before = store.put_all(&wanted);
        // Nothing is written again.
        let again = store.put_all(&wanted);
        [before, again].map(|answers| {
            let reasons = answers
                .into_iter()
                .map(|answer| answer.err().map(|error| error.reason()));
            reasons.collect::<Vec<_>>()
        })
    })
    .await;
    let expected: Vec<Option<Reason>> = (0..30)
        .map(|index| (index == 7).then_some(Reason::ForeignObject))
        .collect();
    assert_eq!(written, [expected.clone(), expected]);
    assert_eq!(versions(&namespace).await.len(), 30);
    assert_eq!(get(&namespace, "mldeployments/m-07").await.body, foreign.body);
}
