//! What leaves a commit, what takes over from what, and what is not there to be read.

use crate::desired::{Desired, environment, eventually, file};
use crate::installed::get;
use crate::repository::{V1, V2, deployment};
use crate::whole::{Watched, Whole};

/// Commits manifests, an object and its model each, and takes the others away.
fn declare_all(desired: &mut Desired, before: &[(&str, &str)], after: &[(&str, &str)]) {
    for (name, _) in before {
        desired.repo.remove(&file(name));
    }
    for (name, model) in after {
        let manifest = deployment(model, V1, None).replace(
            &format!("metadata: {{ name: {model} }}"),
            &format!("metadata: {{ name: {name} }}"),
        );
        desired.repo.write(&file(name), &manifest);
    }
    desired.repo.commit("move");
}

/// Says whether an object is ready with a model.
async fn serves(desired: &Desired, name: &str, model: &str) -> bool {
    let found = get(&desired.namespace, &format!("mldeployments/{name}"))
        .await
        .body;
    let is_seen = found["status"]["observedGeneration"] == found["metadata"]["generation"];
    is_seen && testkit::condition(&found, "Ready") == Some("True") && found["spec"]["modelName"] == model
}

/// The exchange of two models, a chain of renames, and a rename: nobody ever gets no answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_that_change_their_objects_answer_all_the_while() {
    let Some(mut whole) = Whole::new(&["a", "b", "c"]).await else {
        return;
    };
    let Whole {
        desired, controllers, ..
    } = &mut whole;
    let watched = Watched::begin(&desired.namespace.client()).await;
    controllers.start_all();
    let mut before = vec![("a", "a"), ("b", "b"), ("c", "c")];
    for after in [
        vec![("a", "b"), ("b", "a"), ("c", "c")],
        vec![("b", "b"), ("c", "a"), ("d", "c")],
        vec![("b", "b"), ("c", "a"), ("z", "c")],
    ] {
        for (name, model) in &before {
            eventually("it begins", async || serves(desired, name, model).await).await;
        }
        declare_all(desired, &before, &after);
        eventually("the objects are as the commit says", async || {
            let mut names = Vec::new();
            for item in get(&desired.namespace, "mldeployments").await.body["items"]
                .as_array()
                .into_iter()
                .flatten()
            {
                names.push(item["metadata"]["name"].as_str().unwrap_or_default().to_owned());
            }
            let mut is_so = names == after.iter().map(|(name, _)| *name).collect::<Vec<_>>();
            for (name, model) in &after {
                is_so &= serves(desired, name, model).await;
            }
            is_so
        })
        .await;
        before = after;
    }
    controllers.stop_all().await;
    let (count, broken) = watched.broken(desired.namespace.name());
    assert!(count > 30, "nothing was watched: {count}");
    assert_eq!(broken, Vec::<String>::new());
}

/// Three of ten are more than may go by one commit, until a later one allows it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_goes_that_a_commit_may_not_remove_or_does_not_say() {
    let models = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let Some(mut whole) = Whole::new(&models).await else {
        return;
    };
    let Whole {
        desired, controllers, ..
    } = &mut whole;
    controllers.start_all();
    for model in models {
        desired.until(model, &format!("Idle {V1} - 0")).await;
    }
    let names = async |desired: &Desired| {
        let all = get(&desired.namespace, "mldeployments").await.body["items"].clone();
        let names = all
            .as_array()
            .expect("a list")
            .iter()
            .map(|item| item["metadata"]["name"].clone());
        names
            .map(|name| name.as_str().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    let is_found = async |desired: &Desired, reason: &str| {
        let report = get(&desired.namespace, "mlenvironments/dev").await;
        let findings = report.body["status"]["findings"].as_array().cloned();
        findings
            .into_iter()
            .flatten()
            .any(|finding| finding["reason"] == reason)
    };
    // One goes, its pods and route with it; what it was stays in the registry.
    desired.remove("j");
    eventually("j is drained", async || names(desired).await == models[..9]).await;
    assert!(desired.root().join("aurora/j/versions").join(V1).is_dir());
    assert!(
        !desired
            .store()
            .history(&"j".parse().unwrap(), 10)
            .unwrap()
            .is_empty()
    );

    for model in ["a", "b", "c"] {
        desired.repo.remove(&file(model));
    }
    // What else the commit says is done.
    desired.repo.write(&file("d"), &deployment("d", V2, None));
    let refused = desired.repo.commit("without three");
    eventually("it is refused", async || {
        is_found(desired, "RemovalRefused").await
    })
    .await;
    assert_eq!(names(desired).await, models[..9]);

    // The whole folder goes: nothing is known of what should be.
    desired.repo.remove("environments/dev");
    desired.repo.write("README.md", "nothing is declared");
    desired.repo.commit("without an environment");
    eventually("it is told", async || {
        is_found(desired, "EnvironmentMissing").await
    })
    .await;
    assert_eq!(names(desired).await, models[..9]);

    // Back, and allowed.
    desired.repo.force(&refused);
    let allowed = environment(&desired.root(), desired.namespace.name(), "Correct")
        + &format!("  removal: {{ allow: {refused} }}\n");
    desired.repo.change("environment.yaml", &allowed);
    eventually("the three are drained", async || {
        names(desired).await == models[3..9]
    })
    .await;
    desired.until("d", &format!("Idle {V2} - 0")).await;
    controllers.stop_all().await;
}
