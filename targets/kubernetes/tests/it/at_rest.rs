//! Exactly the objects that there should be; nothing is written while nothing changes, and only what changes otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use expect_test::expect;
use http::Method;
use kube::Client;
use reconciler::Beat;
use serde_json::Value;
use testkit::{Namespace, send};

use crate::desired::{eventually, now};
use crate::installed::{follow, get};
use crate::repository::{V1, V2, deployment, training};
use crate::whole::{Which, Whole};

/// What other controllers make and go on writing, and what tells of the past.
const OF_OTHERS: [&str; 5] = ["pods", "replicasets", "endpointslices", "endpoints", "events"];
/// What a job of the environment makes.
const TRAINED: &str = "v20261128-080000";
/// How often both go over what stands.
const PASSES: usize = 100;
/// After this nothing comes by itself: it is longer than a route settles, and than an alias is looked at again.
const QUIET: Duration = Duration::from_secs(8);

async fn ask(client: &Client, path: &str) -> Value {
    let answer = send(client, Method::GET, "application/json", path, &Value::Null).await;
    answer.expect("the server answers").body
}

/// Returns the collections of all kinds of things in namespaces, e.g. `apis/apps/v1/deployments`.
async fn collections(client: &Client) -> Vec<String> {
    let mut versions = vec!["api/v1".to_owned()];
    for group in ask(client, "/apis").await["groups"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let version = group["preferredVersion"]["groupVersion"]
            .as_str()
            .expect("a version");
        // The same events once more.
        if !version.starts_with("events.k8s.io/") {
            versions.push(format!("apis/{version}"));
        }
    }
    let mut collections = Vec::new();
    for version in versions {
        let found = ask(client, &format!("/{version}")).await;
        for kind in found["resources"].as_array().into_iter().flatten() {
            let lists = kind["verbs"]
                .as_array()
                .is_some_and(|verbs| verbs.contains(&"list".into()));
            if kind["namespaced"] == true && lists {
                collections.push(format!("{version}/{}", kind["name"].as_str().expect("a name")));
            }
        }
    }
    collections
}

/// Returns everything in a namespace but its Leases, by kind and name, each with its version.
async fn everything(namespace: &Namespace, collections: &[String]) -> BTreeMap<String, String> {
    let client = namespace.client();
    let mut everything = BTreeMap::new();
    for collection in collections
        .iter()
        .filter(|collection| !collection.ends_with("/leases"))
    {
        let path = crate::whole::path(namespace.name(), collection, "");
        let plural = collection.rsplit_once('/').expect("a collection").1;
        for object in ask(&client, &path).await["items"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default();
            everything.insert(
                format!("{plural}/{}", text("name")),
                text("resourceVersion").to_owned(),
            );
        }
    }
    everything
}

/// Waits until nothing has changed for a while, and returns what there is then.
async fn at_rest(namespace: &Namespace, collections: &[String]) -> BTreeMap<String, String> {
    let mut last = everything(namespace, collections).await;
    let mut since = Instant::now();
    while since.elapsed() < QUIET {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let next = everything(namespace, collections).await;
        if next != last {
            (last, since) = (next, Instant::now());
        }
    }
    last
}

fn changed(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let all: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed = all
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name));
    changed.cloned().collect()
}

/// Returns when each file and link of a registry was written.
fn written(root: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let mut written = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let metadata = std::fs::symlink_metadata(&path).expect("metadata");
            if metadata.is_dir() {
                folders.push(path.clone());
            }
            written.insert(path, metadata.modified().expect("a time"));
        }
    }
    written
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_environment_is_these_objects_and_stays_as_it_is() {
    let Some(mut whole) = Whole::new(&["iris", "wine"]).await else {
        return;
    };
    let Whole {
        desired, controllers, ..
    } = &mut whole;
    let iris = deployment("iris", V1, None).replace(
        &format!("stable: {{ version: {V1} }}"),
        &format!("stable: {{ version: {V1}, replicas: 2 }}\n  canary: {{ version: {V2}, weight: WEIGHT, replicas: 2 }}"),
    );
    desired.repo.change("iris.yaml", &iris.replace("WEIGHT", "10"));
    desired
        .repo
        .change("job.yaml", &training("wine", TRAINED, "builtin:iris"));
    controllers.start_all();
    desired.until("iris", &format!("Idle {V1} {V2} 10")).await;
    desired.until("wine", &format!("Idle {V1} - 0")).await;
    eventually("the job is done", async || {
        let path = "mltrainingjobs/wine-20261128-080000";
        let job = get(&desired.namespace, path).await;
        job.body["status"]["phase"] == "Succeeded"
    })
    .await;
    let client = desired.namespace.client();
    let collections = collections(&client).await;
    let before = at_rest(&desired.namespace, &collections).await;
    let ours = before.keys().filter(|name| {
        let plural = name.split('/').next().unwrap_or_default();
        !OF_OTHERS.contains(&plural)
    });
    // A Job's Pods are its own, too; each has a name that nobody knows before.
    let pods = before.keys().filter_map(|name| {
        let (pod, _) = name.strip_prefix("pods/")?.rsplit_once('-')?;
        let is_of_job = before.contains_key(&format!("jobs/{pod}"));
        is_of_job.then(|| format!("pods/{pod}-…"))
    });
    let mut ours: Vec<String> = ours.cloned().chain(pods).collect();
    ours.sort();
    expect![[r#"
        configmaps/kube-root-ca.crt
        deployments/iris-canary
        deployments/iris-stable
        deployments/wine-stable
        httproutes/iris-route
        httproutes/wine-route
        jobs/wine-20261128-080000-v20261128-080000-1
        mldeployments/iris
        mldeployments/wine
        mlenvironments/dev
        mltrainingjobs/wine-20261128-080000
        poddisruptionbudgets/iris-canary
        poddisruptionbudgets/iris-stable
        poddisruptionbudgets/wine-stable
        pods/wine-20261128-080000-v20261128-080000-1-…
        serviceaccounts/default
        services/iris-canary
        services/iris-stable
        services/wine-stable
    "#]]
    .assert_eq(&(ours.join("\n") + "\n"));
    let files = written(&desired.root());

    // 100 passes of another reconciler, which knows nothing yet.
    controllers.stop(Which::Reconciler).await;
    let mut reconciler = desired.reconciler(follow(&desired.namespace));
    let passes = tokio::task::spawn_blocking(move || {
        let passes = (0..PASSES).map(|_| reconciler.pass(Beat::Turn, now(), &mut || {}));
        passes.filter(|pass| !pass.applied.done.is_empty()).count()
    });
    assert_eq!(passes.await.expect("they do not panic"), 0);
    // And of as many operators, each of which applies everything: none knows what the one before applied.
    controllers.stop(Which::Operator).await;
    for _ in 0..PASSES {
        controllers.step_all(3).await;
    }
    // Both, as they are started.
    controllers.start_all();
    let after = at_rest(&desired.namespace, &collections).await;
    assert_eq!(changed(&before, &after), Vec::<String>::new());
    assert_eq!(written(&desired.root()), files);

    // Another weight changes what says it, and nothing else.
    desired.repo.change("iris.yaml", &iris.replace("WEIGHT", "50"));
    desired.until("iris", &format!("Idle {V1} {V2} 50")).await;
    let moved = at_rest(&desired.namespace, &collections).await;
    let mut changed = changed(&after, &moved);
    changed.retain(|name| !name.starts_with("events/"));
    assert_eq!(
        changed,
        [
            "httproutes/iris-route",
            "mldeployments/iris",
            "mlenvironments/dev"
        ]
    );
    assert_eq!(written(&desired.root()), files);
    controllers.stop_all().await;
}
