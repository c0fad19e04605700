//! What people do to objects by hand, past Git: it is corrected, or told, as the environment's `drift` says.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use crate::desired::{Desired, PATIENCE, environment, eventually, note};
use crate::installed::{ask, get};
use crate::repository::{V1, V2};
use crate::whole::{MODEL, V3, Watched, Whole};

const DEPLOYMENTS: &str = "apis/apps/v1/deployments";
const ROUTES: &str = "apis/gateway.networking.k8s.io/v1/httproutes";
const SERVICES: &str = "api/v1/services";
const BUDGETS: &str = "apis/policy/v1/poddisruptionbudgets";

/// What somebody edits: where, what, and what is so again.
struct Edit {
    collection: &'static str,
    name: &'static str,
    patch: Value,
    pointer: &'static str,
}

/// A route's rules with another weight of the canary.
fn with_weight(route: &Value, weight: u64) -> Value {
    let mut rules = route["spec"]["rules"].clone();
    let last = rules.as_array_mut().expect("rules").last_mut().expect("a rule");
    last["backendRefs"][0]["weight"] = json!(100 - weight);
    last["backendRefs"][1]["weight"] = json!(weight);
    json!({ "spec": { "rules": rules } })
}

/// Waits until something is as it was, and says how long that took.
async fn restored(desired: &Desired, collection: &str, name: &str, pointer: &str, was: &Value) -> Duration {
    let began = Instant::now();
    loop {
        let found = desired
            .ask(Method::GET, collection, name, &Value::Null)
            .await
            .body;
        if found.pointer(pointer) == was.pointer(pointer) {
            return began.elapsed();
        }
        assert!(began.elapsed() < PATIENCE, "{name}: {pointer} of {found:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_edited_or_deleted_is_made_as_it_was() {
    let Some(mut whole) = Whole::new(&[MODEL]).await else {
        return;
    };
    let Whole {
        desired, controllers, ..
    } = &mut whole;
    let watched = Watched::begin(&desired.namespace.client()).await;
    desired.declare(MODEL, V1, Some((V2, 10)));
    controllers.start_all();
    desired.until(MODEL, &format!("Idle {V1} {V2} 10")).await;
    let route = desired
        .ask(Method::GET, ROUTES, "iris-route", &Value::Null)
        .await
        .body;
    let template = |name: &str, value: Value| json!({ "spec": { "template": { "spec": { name: value } } } });
    let edits = [
        Edit {
            collection: DEPLOYMENTS,
            name: "iris-stable",
            patch: json!({ "spec": { "replicas": 7 } }),
            pointer: "/spec/replicas",
        },
        Edit {
            collection: DEPLOYMENTS,
            name: "iris-stable",
            patch: template("terminationGracePeriodSeconds", json!(999)),
            pointer: "/spec/template/spec/terminationGracePeriodSeconds",
        },
        Edit {
            collection: DEPLOYMENTS,
            name: "iris-canary",
            patch: json!({ "metadata": { "labels": { "app": "other" } } }),
            pointer: "/metadata/labels",
        },
        Edit {
            collection: ROUTES,
            name: "iris-route",
            patch: with_weight(&route, 90),
            pointer: "/spec/rules",
        },
        Edit {
            collection: ROUTES,
            name: "iris-route",
            patch: json!({ "spec": { "rules": route["spec"]["rules"].as_array().expect("rules")[..1] } }),
            pointer: "/spec/rules",
        },
        Edit {
            collection: SERVICES,
            name: "iris-stable",
            patch: json!({ "spec": { "selector": { "track": "canary" } } }),
            pointer: "/spec/selector",
        },
        Edit {
            collection: BUDGETS,
            name: "iris-stable",
            patch: json!({ "spec": { "maxUnavailable": 2 } }),
            pointer: "/spec/maxUnavailable",
        },
    ];
    for Edit {
        collection,
        name,
        patch,
        pointer,
    } in edits
    {
        let was = desired
            .ask(Method::GET, collection, name, &Value::Null)
            .await
            .body;
        let edited = desired.ask(Method::PATCH, collection, name, &patch).await;
        assert!(edited.is_success(), "{edited:?}");
        assert_ne!(edited.body.pointer(pointer), was.pointer(pointer), "{patch}");
        let took = restored(desired, collection, name, pointer, &was).await;
        note(&format!("{name}: {pointer} after {took:?}"));
    }
    desired.until(MODEL, &format!("Idle {V1} {V2} 10")).await;

    // What is deleted is made anew. A canary that is lost comes back after a back-off.
    for (collection, name) in [
        (SERVICES, "iris-canary"),
        (BUDGETS, "iris-stable"),
        (ROUTES, "iris-route"),
        (DEPLOYMENTS, "iris-canary"),
        (DEPLOYMENTS, "iris-stable"),
    ] {
        let was = desired
            .ask(Method::GET, collection, name, &Value::Null)
            .await
            .body;
        let gone = desired.ask(Method::DELETE, collection, name, &Value::Null).await;
        assert!(gone.is_success(), "{gone:?}");
        let began = Instant::now();
        loop {
            let found = desired.ask(Method::GET, collection, name, &Value::Null).await;
            if found.is_success() && found.body["metadata"]["uid"] != was["metadata"]["uid"] {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "{name}: {found:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        note(&format!("{name}: there again after {:?}", began.elapsed()));
    }
    desired.until(MODEL, &format!("Idle {V1} {V2} 10")).await;

    // The spec, where no admission policy stands in the way.
    let path = "mldeployments/iris";
    let mut spec = get(&desired.namespace, path).await.body["spec"].clone();
    spec["canary"]["weight"] = json!(80);
    let edited = ask(&desired.namespace, Method::PATCH, path, &json!({ "spec": spec })).await;
    assert!(edited.is_success(), "{edited:?}");
    let began = Instant::now();
    while get(&desired.namespace, path).await.body["spec"]["canary"]["weight"] != 10 {
        assert!(began.elapsed() < PATIENCE, "it stays");
    }
    note(&format!("a spec: after {:?}", began.elapsed()));
    desired.until(MODEL, &format!("Idle {V1} {V2} 10")).await;

    // An alias.
    let alias = desired.root().join("aurora/iris/aliases/stable");
    let was = std::fs::read_link(&alias).expect("an alias");
    std::fs::remove_file(&alias).expect("it is there");
    std::os::unix::fs::symlink(format!("../versions/{V3}"), &alias).expect("it is moved");
    let began = Instant::now();
    while std::fs::read_link(&alias).expect("an alias") != was {
        assert!(began.elapsed() < PATIENCE, "it stays");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    note(&format!("an alias: after {:?}", began.elapsed()));

    // A status. What it says is found out anew.
    desired.wipe(path).await;
    desired.until(MODEL, &format!("Idle {V1} {V2} 10")).await;
    // A canary that was aborted stays so, whatever is wiped, and in whatever order.
    desired.abort(MODEL).await;
    let aborted = format!("Aborted {V1} {V2} 0");
    desired.until(MODEL, &aborted).await;
    recorded(desired).await;
    desired.wipe(path).await;
    desired.until(MODEL, &aborted).await;
    let lifted = json!({ "metadata": { "annotations": { "aurora.io/abort": null } } });
    ask(&desired.namespace, Method::PATCH, path, &lifted).await;
    eventually("the record of the abort is there again", async || {
        let found = get(&desired.namespace, path).await;
        !found.text("/metadata/annotations/aurora.io~1abort").is_empty()
    })
    .await;
    desired.wipe(path).await;
    desired.until(MODEL, &aborted).await;
    // Both at once: what the history has kept is in force before the record is there again.
    for _ in 0..3 {
        let (_, ()) = tokio::join!(
            ask(&desired.namespace, Method::PATCH, path, &lifted),
            desired.wipe(path)
        );
        desired.until(MODEL, &aborted).await;
    }
    let uid = get(&desired.namespace, path)
        .await
        .text("/metadata/uid")
        .to_owned();
    ask(&desired.namespace, Method::DELETE, path, &Value::Null).await;
    let began = Instant::now();
    loop {
        let found = get(&desired.namespace, path).await;
        if found.is_success() && found.text("/metadata/uid") != uid {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{found:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    desired.until(MODEL, &format!("Aborted {V1} - 0")).await;
    controllers.stop_all().await;
    let aborted = watched.aborted(desired.namespace.name());
    assert_eq!(aborted, Vec::<String>::new());
}

/// Waits until the registry's history tells of the abort.
async fn recorded(desired: &Desired) {
    let began = Instant::now();
    let model = MODEL.parse().expect("a name");
    loop {
        let history = desired.store().history(&model, 100).expect("a history");
        if history
            .iter()
            .any(|entry| format!("{:?}", entry.event) == "Aborted")
        {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{history:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Says whether the environment's report tells of something by the reason of a drift that is left.
async fn is_told(desired: &Desired, what: &str) -> bool {
    let report = get(&desired.namespace, "mlenvironments/dev").await;
    let findings = report.body["status"]["findings"].as_array().cloned();
    let mut findings = findings.into_iter().flatten();
    findings.any(|finding| finding["reason"] == "Drifted" && finding.to_string().contains(what))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_drift_leaves_is_told_until_it_is_corrected() {
    let Some(mut whole) = Whole::new(&[MODEL]).await else {
        return;
    };
    let Whole {
        desired, controllers, ..
    } = &mut whole;
    let policy = |desired: &mut Desired, drift: &str| {
        let text = environment(&desired.root(), desired.namespace.name(), drift);
        desired.repo.change("environment.yaml", &text);
    };
    policy(desired, "Warn");
    desired.declare(MODEL, V1, Some((V2, 10)));
    controllers.start_all();
    desired.until(MODEL, &format!("Idle {V1} {V2} 10")).await;
    let path = "mldeployments/iris";
    let mut spec = get(&desired.namespace, path).await.body["spec"].clone();
    spec["canary"]["weight"] = json!(5);
    let edited = ask(&desired.namespace, Method::PATCH, path, &json!({ "spec": spec })).await;
    assert!(edited.is_success(), "{edited:?}");
    desired.until(MODEL, &format!("Idle {V1} {V2} 5")).await;
    let alias = desired.root().join("aurora/iris/aliases/stable");
    std::fs::remove_file(&alias).expect("it is there");
    let moved = std::path::PathBuf::from(format!("../versions/{V3}"));
    std::os::unix::fs::symlink(&moved, &alias).expect("it is moved");
    eventually("both are told", async || {
        is_told(desired, "changed spec.canary.weight").await && is_told(desired, "changed alias stable").await
    })
    .await;
    assert_eq!(std::fs::read_link(&alias).expect("an alias"), moved);

    policy(desired, "Correct");
    desired.until(MODEL, &format!("Idle {V1} {V2} 10")).await;
    eventually("nothing is told any more", async || {
        let report = get(&desired.namespace, "mlenvironments/dev").await;
        report.body["status"]["findings"]
            .as_array()
            .is_none_or(Vec::is_empty)
    })
    .await;
    assert_eq!(
        std::fs::read_link(&alias).expect("an alias"),
        std::path::Path::new("../versions").join(V1)
    );
    controllers.stop_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_edited_while_a_window_holds_a_raise_is_what_was_let_through_again() {
    let Some(mut whole) = Whole::new(&[MODEL]).await else {
        return;
    };
    let Whole {
        desired, controllers, ..
    } = &mut whole;
    desired.declare(MODEL, V1, Some((V2, 10)));
    controllers.start_all();
    let allowed = format!("Idle {V1} {V2} 10");
    desired.until(MODEL, &allowed).await;
    let text = environment(&desired.root(), desired.namespace.name(), "Correct");
    let always = "  windows: [ { type: Deny, cron: 0 0 * * *, duration: 24h, reason: freeze } ]\n";
    // It counts from the next commit on.
    let frozen = desired.repo.change("environment.yaml", &(text + always));
    eventually("the window is applied", async || {
        let report = get(&desired.namespace, "mlenvironments/dev").await;
        report.text("/status/appliedRevision") == frozen.as_str()
    })
    .await;
    desired.declare(MODEL, V1, Some((V2, 50)));
    let path = "mldeployments/iris";
    eventually("the window holds it", async || {
        let found = get(&desired.namespace, path).await;
        found
            .text("/metadata/annotations/aurora.io~1held")
            .contains("freeze")
    })
    .await;
    for weight in [80, 50, 5] {
        let mut spec = get(&desired.namespace, path).await.body["spec"].clone();
        spec["canary"]["weight"] = json!(weight);
        let edited = ask(&desired.namespace, Method::PATCH, path, &json!({ "spec": spec })).await;
        assert!(edited.is_success(), "{edited:?}");
        eventually("the edit is put right", async || {
            get(&desired.namespace, path).await.body["spec"]["canary"]["weight"] == 10
        })
        .await;
        desired.until(MODEL, &allowed).await;
    }
    controllers.stop_all().await;
}
