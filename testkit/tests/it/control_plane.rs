//! Who a client is, and that controllers run.

use http::Method;
use serde_json::{Value, json};
use testkit::{namespace, send};

/// Asks the API server who a client is.
async fn whoami(client: &kube::Client) -> Value {
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let answer = send(client, Method::POST, "application/json", path, &review)
        .await
        .expect("the server answers");
    assert!(answer.is_success(), "{answer:?}");
    answer.body["status"]["userInfo"]["username"].clone()
}

#[tokio::test]
async fn clients_are_who_they_say_and_may_what_they_may() {
    let Some(namespace) = namespace().await else {
        return;
    };
    assert_eq!(whoami(&namespace.client()).await, "admin");

    let person = namespace
        .client_as("jane", &["people", "system:authenticated"])
        .await
        .unwrap();
    assert_eq!(whoami(&person).await, "jane");
    let path = format!("/api/v1/namespaces/{}/configmaps", namespace.name());
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" } });
    let answer = send(&person, Method::POST, "application/json", &path, &map)
        .await
        .unwrap();
    assert_eq!(answer.code, 403, "{answer:?}");

    let account = namespace
        .client_of_account(namespace.name(), "robot")
        .await
        .unwrap();
    let expected = format!("system:serviceaccount:{}:robot", namespace.name());
    assert_eq!(whoami(&account).await, expected.as_str());
}

#[tokio::test]
async fn controllers_make_the_pods_of_a_job() {
    let Some(namespace) = namespace().await else {
        return;
    };
    let base = format!("namespaces/{}", namespace.name());
    let pod = json!({
        "restartPolicy": "Never",
        "containers": [{ "name": "a", "image": "a", "command": ["a"] }],
    });
    let job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": { "name": "a" },
        "spec": { "template": { "spec": pod } },
    });
    let client = namespace.client();
    let path = format!("/apis/batch/v1/{base}/jobs");
    let answer = send(&client, Method::POST, "application/json", &path, &job)
        .await
        .unwrap();
    assert!(answer.is_success(), "{answer:?}");
    let pods = format!("/api/v1/{base}/pods");
    let started = std::time::Instant::now();
    loop {
        let answer = send(&client, Method::GET, "application/json", &pods, &Value::Null)
            .await
            .unwrap();
        if let Some([pod]) = answer.body["items"].as_array().map(Vec::as_slice) {
            assert_eq!(pod["status"]["phase"], "Pending", "there is no kubelet");
            return;
        }
        assert!(started.elapsed().as_secs() < 60, "no Pod: {answer:?}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
