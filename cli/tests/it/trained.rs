//! `aurora reconcile`, `aurora operator` and `aurora control-plane` as processes, behind a real API server and its
//! controllers: Pods are processes that run `aurora train` and `aurora serve`, and requests come through a gateway that
//! follows the route late.

mod fetched;
mod load;
mod trainings;
mod world;

use std::fs;

use serde_json::{Value, json};

use crate::harness::{eventually, note};
use load::{Ask, Counted, Load};
use world::{ENVIRONMENT, World};

const MODEL: &str = "wine-quality";
const ROW: &str = r#"{"inputs":[[10.0,0.35,0.47,2.0,0.061,6.0,11.0,0.99585,3.23,0.52,12.0]]}"#;
const OLD: &str = "v20261101-120000";
const NEW: &str = "v20261120-093000";
const DEPLOYMENT: &str = "apis/aurora.io/v1alpha1/mldeployments/wine-quality";

/// What trains a version.
fn job(version: &str, fit: &str) -> String {
    let name = if version == OLD { "linear" } else { "boosted" };
    format!(
        "apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata: {{ name: {MODEL}-{name} }}
spec:
  modelName: {MODEL}
  version: {version}
  dataset: {{ uri: 'builtin:wine-quality' }}
  {fit}
  evaluation: {{ metric: r2, minimum: 0.2, holdout: {{ percent: 20, seed: 0 }} }}
---
"
    )
}

/// Both jobs, and what serves.
fn manifest(stable: &str, canary: Option<(&str, u8)>) -> String {
    let canary = canary.map(|(version, weight)| {
        format!("  canary: {{ version: {version}, weight: {weight}, replicas: 1 }}\n")
    });
    let serves = format!(
        "apiVersion: aurora.io/v1alpha1
kind: MLDeployment
metadata: {{ name: {MODEL} }}
spec:
  modelName: {MODEL}
  stable: {{ version: {stable}, replicas: 2 }}
{}",
        canary.unwrap_or_default()
    );
    let linear = job(OLD, "algorithm: linear_regression");
    let boosted = job(
        NEW,
        "algorithm: gradient_boosting\n  hyperparameters: { trees: 20, max_leaves: 8 }",
    );
    format!("{linear}{boosted}{serves}")
}

/// Waits until the status says what each track serves, and the weight.
async fn until(world: &mut World, stable: &str, canary: Option<&str>, weight: u64) {
    let wanted = json!([stable, canary, weight, "Idle"]);
    world
        .until(DEPLOYMENT, |found| {
            let status = &found["status"];
            let version = |track: &str| status[track]["version"].clone();
            let seen = [
                version("stable"),
                version("canary"),
                status["weight"].clone(),
                status["state"].clone(),
            ];
            wanted == json!(seen)
        })
        .await;
}

/// Returns the version that an alias names.
fn alias(world: &World, track: &str) -> Option<String> {
    let path = world.registry().join(format!("aurora/{MODEL}/aliases/{track}"));
    let target = fs::read_link(path).ok()?;
    Some(target.file_name()?.to_str()?.to_owned())
}

fn until_alias(world: &World, track: &str, version: Option<&str>) {
    eventually("the alias follows", || {
        (alias(world, track).as_deref() == version).then_some(())
    });
}

/// From a namespace with nothing in it and a commit: Jobs, versions, aliases, Deployments, a route; then the commits of a
/// canary's life, while requests come all the time.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_trains_serves_and_is_promoted_reverted_and_its_canary_removed_and_no_request_is_lost() {
    let Some(mut world) = World::begin().await else {
        return;
    };
    let gateway = world.serve().await;
    let environment = format!(
        "apiVersion: aurora.io/v1alpha1
kind: MLEnvironment
metadata: {{ name: {ENVIRONMENT} }}
spec:
  target: Kubernetes
  namespace: {}
  registry: {{ path: {} }}
",
        world.namespace.name(),
        world.registry().display(),
    );
    world.commit("environment.yaml", environment);
    world.commit("wine-quality.yaml", manifest(OLD, Some((NEW, 10))));
    world.operate().await;
    world.reconcile();
    // The pins wait for the versions that the same commit's jobs make.
    for name in ["wine-quality-linear", "wine-quality-boosted"] {
        world.until_phase(name, "Succeeded").await;
    }
    until(&mut world, OLD, Some(NEW), 10).await;
    until_alias(&world, "stable", Some(OLD));
    until_alias(&world, "canary", Some(NEW));
    let jobs = world.names("apis/batch/v1/jobs").await;
    assert_eq!(
        jobs,
        [
            format!("wine-quality-boosted-{NEW}-1"),
            format!("wine-quality-linear-{OLD}-1")
        ]
    );
    let ask = Ask {
        gateway: gateway.address(),
        model: MODEL,
        row: ROW,
    };
    eventually("both versions answer", || (ask.once() == OLD).then_some(()));
    eventually("both versions answer", || (ask.once() == NEW).then_some(()));

    let load = Load::begin(ask);
    // More weight.
    let half = world.commit("wine-quality.yaml", manifest(OLD, Some((NEW, 50))));
    until(&mut world, OLD, Some(NEW), 50).await;
    // Promoted: from its end on nobody is sent back.
    world.commit("wine-quality.yaml", manifest(NEW, None));
    until(&mut world, NEW, None, 0).await;
    until_alias(&world, "stable", Some(NEW));
    let (old, new) = (load.of(OLD), load.of(NEW));
    eventually("the promoted version answers", || {
        (load.of(NEW) > new + 500).then_some(())
    });
    let after_promotion = load.of(OLD) - old;
    // Reverted: what was promoted is the canary again, with its share.
    world.repository.revert_to(half);
    until(&mut world, OLD, Some(NEW), 50).await;
    until_alias(&world, "stable", Some(OLD));
    let old = load.of(OLD);
    eventually("the old version answers again", || {
        (load.of(OLD) > old + 100).then_some(())
    });
    // The canary removed.
    world.commit("wine-quality.yaml", manifest(OLD, None));
    until(&mut world, OLD, None, 0).await;
    until_alias(&world, "canary", None);
    let new = load.of(NEW);
    load.until_total(10_000);
    let after_removal = load.of(NEW) - new;

    let counted = load.end();
    let requests: usize = counted.values().sum();
    let failures: Counted = counted
        .iter()
        .filter(|(told, _)| ![OLD, NEW].contains(&told.as_str()))
        .map(|(told, count)| (told.clone(), *count))
        .collect();
    note(&format!(
        "trained: {requests} requests; failures: {}; answers of the old version after promotion ended: \
         {after_promotion}; of the canary after its removal: {after_removal}; by version: {counted:?}",
        failures.values().sum::<usize>(),
    ));
    assert_eq!(failures, Counted::new());
    assert_eq!((after_promotion, after_removal), (0, 0));
    assert!(requests >= 10_000, "{requests}");
    assert_eq!(
        world.names("apis/batch/v1/jobs").await,
        jobs,
        "nothing was trained twice"
    );
    let deployment = world.get(DEPLOYMENT).await;
    assert_eq!(deployment["status"]["canary"], Value::Null);
    world.stop();
}
