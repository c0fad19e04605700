//! What a real API server says of its nodes, its storage classes and our objects, to whom it is allowed and to whom not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crds::view::View;
use http::Method;
use kube::Client;
use kubernetes::cluster::{Cluster, Objects};
use serde_json::{Value, json};
use testkit::{Component, Proxy, namespace, send};

use crate::installed::{apply_as, ask, installed};

async fn create(client: &Client, path: &str, object: &Value) {
    let answer = send(client, Method::POST, "application/json", path, object)
        .await
        .expect("the server answers");
    assert!(answer.is_success(), "{answer:?}");
}

async fn asked<T: Send + 'static>(
    cluster: &Arc<Cluster>,
    ask: impl FnOnce(&Cluster) -> T + Send + 'static,
) -> T {
    let cluster = cluster.clone();
    tokio::task::spawn_blocking(move || ask(&cluster))
        .await
        .expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_shows_what_it_has_to_whom_it_is_allowed() {
    let Some(namespace) = namespace().await else {
        return;
    };
    let client = namespace.client();
    create(
        &client,
        "/api/v1/nodes",
        &json!({ "metadata": { "name": "node-of-view" } }),
    )
    .await;
    let class = json!({ "metadata": { "name": "class-of-view" }, "provisioner": "example.com/none" });
    create(&client, "/apis/storage.k8s.io/v1/storageclasses", &class).await;

    let shows = namespace.client_of(Component::ControlPlane).await;
    let cluster = Arc::new(Cluster::of(shows.expect("the account has a token")));
    let names = |list: Value| -> Vec<String> {
        let list = list.as_array().expect("a list").clone();
        list.iter()
            .map(|item| item["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    let nodes = asked(&cluster, Cluster::nodes).await.expect("it is allowed");
    assert!(names(nodes).contains(&"node-of-view".to_owned()));
    let classes = asked(&cluster, Cluster::storage_classes)
        .await
        .expect("it is allowed");
    assert!(names(classes).contains(&"class-of-view".to_owned()));

    let claim = json!({
        "metadata": { "name": "claim-of-view" },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
    });
    let claims = format!("/api/v1/namespaces/{}/persistentvolumeclaims", namespace.name());
    create(&client, &claims, &claim).await;
    let volumes = asked(&cluster, Cluster::volumes).await.expect("it is allowed");
    assert!(names(volumes).contains(&"claim-of-view".to_owned()));

    let nobody = namespace
        .client_as("nobody", &["system:authenticated"])
        .await
        .expect("a client");
    let cluster = Arc::new(Cluster::of(nobody));
    let refusals = [
        asked(&cluster, Cluster::nodes)
            .await
            .expect_err("it is not allowed"),
        asked(&cluster, Cluster::storage_classes)
            .await
            .expect_err("it is not allowed"),
        asked(&cluster, Cluster::volumes)
            .await
            .expect_err("it is not allowed"),
    ];
    for refusal in refusals {
        assert!(refusal.starts_with("the API server answers 403: "), "{refusal}");
        assert!(refusal.contains("cannot list resource"), "{refusal}");
    }
}

/// Asks again and again until something holds of the answer, and returns that answer.
async fn until(
    cluster: &Arc<Cluster>,
    holds: impl Fn(&Result<Objects, String>) -> bool,
) -> Result<Objects, String> {
    let waited = Instant::now();
    loop {
        let answer = asked(cluster, Cluster::objects).await;
        if holds(&answer) {
            return answer;
        }
        assert!(waited.elapsed() < Duration::from_mins(1), "{answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_followed_and_not_listed_by_who_looks() {
    let Some(namespace) = installed().await else {
        return;
    };
    namespace.allow(Component::ControlPlane).await.unwrap();
    for name in ["iris", "wine"] {
        let applied = apply_as(&namespace, "test", "mldeployments", &deployment(name)).await;
        assert!(applied.is_success(), "{applied:?}");
    }
    let account = namespace.config_of(Component::ControlPlane).await.unwrap();
    let proxy = Proxy::start(account).unwrap();
    let client = Client::try_from(proxy.config()).unwrap();
    let cluster = Arc::new(Cluster::of(client));

    let first = asked(&cluster, Cluster::objects).await.unwrap().view;
    assert_eq!(first.deployments.len(), 2);
    for _ in 0..50 {
        let again = asked(&cluster, Cluster::objects).await.unwrap().view;
        assert!(Arc::ptr_eq(&again, &first), "nothing has changed");
    }
    let labels = json!({ "metadata": { "labels": { "a": "b" } } });
    ask(&namespace, Method::PATCH, "mldeployments/wine", &labels).await;
    let is_changed = |view: &View| view.deployments["wine"].metadata.labels.is_some();
    let second = until(&cluster, |seen| {
        seen.as_ref().is_ok_and(|seen| is_changed(&seen.view))
    })
    .await;
    let second = second.unwrap().view;
    let is_shared = |view: &View, name: &str| Arc::ptr_eq(&view.deployments[name], &first.deployments[name]);
    assert!(is_shared(&second, "iris") && !is_shared(&second, "wine"));

    // A watch that a server ends is gone on with; nobody notices.
    proxy.close_watches();
    ask(&namespace, Method::DELETE, "mldeployments/iris", &Value::Null).await;
    let third = until(&cluster, |seen| {
        seen.as_ref()
            .map_or(true, |seen| seen.view.deployments.len() == 1)
    })
    .await;
    assert!(third.is_ok(), "{third:?}");
    // A server that does not answer is told of, and found again.
    proxy.cut_after(proxy.writes());
    let cut = until(&cluster, Result::is_err).await.unwrap_err();
    assert!(cut.contains("the API server"), "{cut}");
    proxy.mend();
    let found = until(&cluster, Result::is_ok).await.unwrap();
    assert_eq!(found.view.deployments.len(), 1);

    let account = format!("system:serviceaccount:{}:", namespace.name());
    let calls = namespace.control_plane().calls().unwrap();
    let lists = calls.iter().filter(|call| {
        call.user.starts_with(&account) && call.verb == "list" && call.resource == "mldeployments"
    });
    assert_eq!(lists.count(), 1, "once, and then it is followed");
}

fn deployment(name: &str) -> Value {
    json!({
        "apiVersion": crds::API_VERSION, "kind": "MLDeployment", "metadata": { "name": name },
        "spec": { "modelName": name, "stable": { "version": "v20261101-120000" } },
    })
}
