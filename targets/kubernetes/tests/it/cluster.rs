//! What a real API server says of its nodes, its storage classes and our objects, to whom it is allowed and to whom not.

use std::sync::Arc;

use http::Method;
use kube::Client;
use kubernetes::cluster::Cluster;
use serde_json::{Value, json};
use testkit::{Component, namespace, send};

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
