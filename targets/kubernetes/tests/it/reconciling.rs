//! From commits to objects in a namespace: a repository on disk, a registry in a folder, a real API server.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::Method;
use kubernetes::objects::Objects;
use kubernetes::reconcile::{self, Mode, RunError};
use reconciler::source::{Follow, Source};
use reconciler::{Beat, Converged, Reconciler};
use registry::{Observer, Store};
use serde_json::{Value, json};
use testkit::{Component, send};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::desired::{Desired, PATIENCE, eventually, file, now};
use crate::faults::Faults;
use crate::installed::{apply_as, ask, follow, get, manifest, versions};
use crate::repository::{V1, V2, deployment, dev, training};
use crate::versions::draft;

const ENVIRONMENT_OBJECT: &str = "mlenvironments/dev";

impl Desired {
    /// Runs a reconciler as a process does.
    async fn run(&self, identity: &str, mode: Mode) -> Running {
        let config = self.namespace.config_of(Component::Reconciler).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let options = self.options(identity);
        let ended = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            reconcile::run(config, options, mode, Box::new(|_told| ()), stopped).await
        });
        Running { stop, ended }
    }

    /// Returns a reconciler that a test drives itself, over objects of its own.
    pub(crate) fn reconciler(&self, objects: Objects) -> Reconciler {
        let source = Source::open(&self.repo.repository(), Follow::Branch("main".to_owned())).unwrap();
        let root = self.root();
        Reconciler::new(
            source,
            dev(),
            Arc::new(objects),
            Observer::new(Store::open(&root).unwrap()),
            Arc::new(move |_environment| root.clone()),
        )
    }

    async fn stable(&self, name: &str) -> String {
        let found = get(&self.namespace, &format!("mldeployments/{name}")).await;
        found.text("/spec/stable/version").to_owned()
    }

    async fn status(&self) -> Value {
        get(&self.namespace, ENVIRONMENT_OBJECT).await.body["status"].clone()
    }

    /// Waits for a finding of the environment's status.
    async fn finds(&self, reason: &str) -> String {
        let found = Mutex::new(String::new());
        eventually(reason, async || {
            let status = self.status().await;
            let mut findings = status["findings"].as_array().into_iter().flatten();
            let finding = findings.find(|finding| finding["reason"] == reason);
            *found.lock().unwrap() = finding.map(Value::to_string).unwrap_or_default();
            finding.is_some()
        })
        .await;
        found.into_inner().unwrap()
    }

    /// Returns what events tell of the environment, in their order.
    async fn told(&self) -> Vec<String> {
        let path = format!(
            "/apis/events.k8s.io/v1/namespaces/{}/events",
            self.namespace.name()
        );
        let client = self.namespace.client();
        let found = send(&client, Method::GET, "application/json", &path, &Value::Null).await;
        let events = found.unwrap().body["items"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let of_environment = events
            .iter()
            .filter(|event| event["regarding"]["kind"] == "MLEnvironment");
        let text = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let mut told: Vec<(String, String)> = of_environment
            .map(|event| {
                let [kind, reason, note] = ["type", "reason", "note"].map(|name| text(event, name));
                (text(event, "eventTime"), format!("{kind} {reason}: {note}"))
            })
            .collect();
        told.sort();
        told.into_iter().map(|(_, said)| said).collect()
    }

    async fn names(&self) -> Vec<String> {
        let versions = versions(&self.namespace).await.into_iter();
        versions.map(|(name, _)| name).collect()
    }
}

struct Running {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<Converged, RunError>>,
}

impl Running {
    async fn stop(self) -> Result<Converged, RunError> {
        let _running = self.stop.send(());
        self.ended.await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_follow_the_branch_and_nobody_else() {
    let Some(mut world) = Desired::new(&["a", "b", "c", "d", "e"]).await else {
        return;
    };
    let running = world.run("one", Mode::Follow).await;
    let all = ["a", "b", "c", "d", "e"].map(|model| format!("mldeployments/{model}"));
    let all: Vec<String> = [ENVIRONMENT_OBJECT.to_owned()].into_iter().chain(all).collect();
    eventually("the first commit is applied", async || world.names().await == all).await;
    let made = get(&world.namespace, ENVIRONMENT_OBJECT).await;
    // The registry was made before by somebody who knew no cluster: it is taken as it is, and remembered.
    assert_eq!(made.text("/metadata/annotations/aurora.io~1installation"), "test");

    // A commit changes what it changes.
    let before = versions(&world.namespace).await;
    let head = world.repo.change("a.yaml", &deployment("a", V2, None));
    eventually("a pin follows", async || world.stable("a").await == V2).await;
    eventually("the report follows", async || {
        world.status().await["attemptedRevision"] == head.as_str()
    })
    .await;
    let after = versions(&world.namespace).await;
    let changed: Vec<&str> = before
        .iter()
        .zip(&after)
        .filter(|(before, after)| before != after)
        .map(|((name, _), _)| name.as_str())
        .collect();
    assert_eq!(changed, [ENVIRONMENT_OBJECT, "mldeployments/a"]);

    // By hand: edited, deleted.
    let edited = apply_as(
        &world.namespace,
        "kubectl-edit",
        "mldeployments",
        &manifest("b", 9),
    )
    .await;
    assert!(edited.is_success(), "{edited:?}");
    eventually("an edit is corrected", async || world.stable("b").await == V1).await;
    let uid = get(&world.namespace, "mldeployments/c")
        .await
        .text("/metadata/uid")
        .to_owned();
    ask(&world.namespace, Method::DELETE, "mldeployments/c", &Value::Null).await;
    eventually("what was deleted is made anew", async || {
        let found = get(&world.namespace, "mldeployments/c").await;
        found.is_success() && found.text("/metadata/uid") != uid
    })
    .await;

    let wiped = json!({ "status": null });
    ask(
        &world.namespace,
        Method::PATCH,
        &format!("{ENVIRONMENT_OBJECT}/status"),
        &wiped,
    )
    .await;
    eventually("a report that was wiped is written again", async || {
        world.status().await["attemptedRevision"] == head.as_str()
    })
    .await;

    // A pass that is asked for is run, and answered.
    let asked = json!({ "metadata": { "annotations": { "aurora.io/requestedAt": "now" } } });
    ask(&world.namespace, Method::PATCH, ENVIRONMENT_OBJECT, &asked).await;
    eventually("it is answered", async || {
        world.status().await["requestedAt"] == "now"
    })
    .await;

    // Somebody else's object keeps its name, until it is gone.
    let foreign = ask(&world.namespace, Method::POST, "mldeployments", &manifest("f", 9)).await;
    assert!(foreign.is_success(), "{foreign:?}");
    world.repo.change("f.yaml", &deployment("f", V1, None));
    let store = Store::open(&world.root()).unwrap();
    store
        .publish(draft(&"f".parse().unwrap(), &V1.parse().unwrap(), None))
        .unwrap();
    let finding = world.finds("ForeignObject").await;
    assert!(finding.contains("MLDeployment/f"), "{finding}");
    assert_eq!(get(&world.namespace, "mldeployments/f").await.body, foreign.body);
    ask(&world.namespace, Method::DELETE, "mldeployments/f", &Value::Null).await;
    eventually("it is made", async || world.stable("f").await == V1).await;

    // One model may go, most may not.
    world.repo.remove(&file("e"));
    world.repo.commit("without e");
    eventually("a removal", async || {
        !world.names().await.contains(&"mldeployments/e".to_owned())
    })
    .await;
    for model in ["a", "b", "c", "d"] {
        world.repo.remove(&file(model));
    }
    world.repo.commit("without most");
    world.finds("RemovalRefused").await;
    assert_eq!(world.names().await.len(), 6);

    // What cannot be read removes nothing.
    let moved = world.folder.path().join("moved");
    std::fs::rename(world.repo.path().join(".git"), &moved).unwrap();
    std::fs::create_dir(world.repo.path().join(".git")).unwrap();
    world.finds("SourceUnavailable").await;
    std::fs::rename(world.root(), world.folder.path().join("unmounted")).unwrap();
    let edited = apply_as(
        &world.namespace,
        "kubectl-edit",
        "mldeployments",
        &manifest("a", 9),
    )
    .await;
    assert!(edited.is_success(), "{edited:?}");
    world.finds("StorageUnavailable").await;
    assert_eq!(world.names().await.len(), 6);

    // It ends in order, and leaves the Lease to the next at once.
    running.stop().await.unwrap();
    let lease = format!(
        "/apis/coordination.k8s.io/v1/namespaces/{}/leases/{}",
        world.namespace.name(),
        reconcile::LEASE
    );
    let client = world.namespace.client();
    let lease = testkit::send(&client, Method::GET, "application/json", &lease, &Value::Null).await;
    assert_eq!(lease.unwrap().text("/spec/holderIdentity"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leads_no_more_ends() {
    let Some(world) = Desired::new(&["a"]).await else {
        return;
    };
    let running = world.run("one", Mode::Follow).await;
    eventually("it leads", async || world.stable("a").await == V1).await;
    let path = format!(
        "/apis/coordination.k8s.io/v1/namespaces/{}/leases/{}",
        world.namespace.name(),
        reconcile::LEASE
    );
    let taken = json!({ "spec": { "holderIdentity": "two" } });
    let client = world.namespace.client();
    testkit::send(
        &client,
        Method::PATCH,
        "application/merge-patch+json",
        &path,
        &taken,
    )
    .await
    .unwrap();
    let ended = tokio::time::timeout(PATIENCE, running.ended)
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(ended, Err(RunError::Lost(_))), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_further_passes_and_a_restart_write_nothing() {
    let Some(mut world) = Desired::new(&["a", "b"]).await else {
        return;
    };
    let job = training("c", V2, "builtin:iris");
    world.repo.change("c.yaml", &job);
    let once = Mode::Once { timeout: PATIENCE };
    let converged = world.run("one", once).await.ended.await.unwrap().unwrap();
    assert!(converged.is_settled, "{converged:?}");
    let names = world.names().await;
    let expected = [
        "mlenvironments/dev",
        "mldeployments/a",
        "mldeployments/b",
        "mltrainingjobs/c-20261120-093000",
    ];
    assert_eq!(names, expected);
    let before = versions(&world.namespace).await;
    let mut reconciler = world.reconciler(follow(&world.namespace));
    let passes = tokio::task::spawn_blocking(move || {
        let passes = (0..100).map(|_| reconciler.pass(Beat::Turn, now(), &mut || {}));
        passes.filter(|pass| !pass.applied.done.is_empty()).count()
    });
    assert_eq!(passes.await.unwrap(), 0);
    assert_eq!(versions(&world.namespace).await, before);
}

/// Whoever asks the cluster alone sees which commit was applied and what is wrong, once each.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_and_what_is_wrong_are_told_as_events_once() {
    let Some(mut world) = Desired::new(&["a", "b"]).await else {
        return;
    };
    let once = Mode::Once { timeout: PATIENCE };
    world.run("one", once).await.ended.await.unwrap().unwrap();
    let first = world.told().await;
    let head = world.status().await["appliedRevision"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(first.len(), 1, "{first:?}");
    let applied = format!("Normal Applied: commit {head} is applied: ");
    assert!(first[0].starts_with(&applied), "{first:?}");
    // Another replica has nothing to add.
    world.run("two", once).await.ended.await.unwrap().unwrap();
    assert_eq!(world.told().await, first);

    world.repo.change("b.yaml", "kind: Nonsense\n");
    let running = world.run("three", Mode::Follow).await;
    eventually("it is told", async || world.told().await.len() > 1).await;
    running.stop().await.unwrap();
    let then = world.told().await;
    assert_eq!(then[0], first[0]);
    assert!(
        then[1].starts_with("Warning ") && then[1].contains("b.yaml"),
        "{then:?}"
    );
}

/// Every third write is refused in turns by 409, 429 and 500, some watches end at once, some have been forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_now_and_then_is_followed_all_the_same() {
    let models = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let Some(mut world) = Desired::new(&models).await else {
        return;
    };
    let faults = Faults::new(world.namespace.client());
    let environment = dev();
    let client = faults.client();
    let objects = Objects::follow(&client, world.namespace.name(), &environment);
    let mut reconciler = world.reconciler(objects);
    for (round, version) in [V1, V2, V1].into_iter().enumerate() {
        for model in models {
            world.repo.write(&file(model), &deployment(model, version, None));
        }
        let head = world.repo.commit("all");
        let started = Instant::now();
        loop {
            let pass;
            (reconciler, pass) = tokio::task::spawn_blocking(move || {
                let pass = reconciler.pass(Beat::Turn, now(), &mut || {});
                (reconciler, pass)
            })
            .await
            .unwrap();
            if pass.is_quiet() && pass.attempted.as_ref() == Some(&head) {
                break;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "{round}: {:?}",
                reconciler.standing()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for model in models {
            assert_eq!(world.stable(model).await, version, "{model}");
        }
    }
    // Somebody edits meanwhile: what the watches missed is found by the next.
    let edited = apply_as(
        &world.namespace,
        "kubectl-edit",
        "mldeployments",
        &manifest("a", 9),
    )
    .await;
    assert!(edited.is_success(), "{edited:?}");
    let started = Instant::now();
    while world.stable("a").await != V1 {
        assert!(started.elapsed() < PATIENCE, "{:?}", reconciler.standing());
        reconciler = tokio::task::spawn_blocking(move || {
            drop(reconciler.pass(Beat::Touch, now(), &mut || {}));
            reconciler
        })
        .await
        .unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(faults.refused() > 10 && faults.closed() > 3, "{faults:?}");
}

/// An object that somebody gave our label, and that no manifest declares, is told and left; all else goes on.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_ours_that_makes_no_sense_is_told_and_stops_nothing() {
    let Some(mut world) = Desired::new(&["a"]).await else {
        return;
    };
    let running = world.run("one", Mode::Follow).await;
    eventually("the first commit is applied", async || {
        world.stable("a").await == V1
    })
    .await;
    let mut senseless = manifest("stray", 9);
    senseless["metadata"]["labels"] = json!({ "aurora.io/environment": "dev" });
    let made = ask(&world.namespace, Method::POST, "mldeployments", &senseless).await;
    assert!(made.is_success(), "{made:?}");
    let finding = world.finds("UnreadableObject").await;
    assert!(
        finding.contains("MLDeployment/stray") && finding.contains("kubectl delete"),
        "{finding}"
    );
    // It is a report: the next commit is applied as a whole.
    let head = world.repo.change("a.yaml", &deployment("a", V2, None));
    eventually("a pin follows", async || world.stable("a").await == V2).await;
    eventually("the commit is applied", async || {
        world.status().await["appliedRevision"] == head.as_str()
    })
    .await;
    assert_eq!(get(&world.namespace, "mldeployments/stray").await.body, made.body);
    // Once it is gone, nothing is told of it.
    ask(
        &world.namespace,
        Method::DELETE,
        "mldeployments/stray",
        &Value::Null,
    )
    .await;
    eventually("nothing is told", async || {
        !world.status().await.to_string().contains("UnreadableObject")
    })
    .await;
    running.stop().await.unwrap();
}
