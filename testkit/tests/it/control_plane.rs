//! Who a client is, and that controllers run.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use testkit::{ControlPlane, Namespace, assets, namespace, send};

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

/// Who asks for what is noted, and with what right.
#[tokio::test]
async fn calls_are_noted_by_account() {
    let Some(namespace) = namespace().await else {
        return;
    };
    let client = namespace
        .client_of_account(namespace.name(), "asks")
        .await
        .unwrap();
    let path = format!("/api/v1/namespaces/{}/pods/a/status", namespace.name());
    let refused = send(
        &client,
        Method::PATCH,
        "application/merge-patch+json",
        &path,
        &json!({}),
    )
    .await
    .unwrap();
    assert_eq!(refused.code, 403, "{refused:?}");
    whoami(&client).await;
    let noted = crate::world::until("both calls are noted", async || {
        let calls = namespace.control_plane().calls().unwrap();
        let own = calls
            .into_iter()
            .filter(|call| call.account() == Some((namespace.name(), "asks")));
        let own: Vec<_> = own.collect();
        if own.len() == 2 {
            Ok(own)
        } else {
            Err(format!("{own:?}"))
        }
    })
    .await;
    let told: Vec<_> = noted
        .iter()
        .map(|call| {
            format!(
                "{} {} {} {}",
                call.verb, call.resource, call.code, call.is_forbidden
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "patch pods/status 403 true",
            "create selfsubjectreviews 201 false"
        ]
    );
}

#[tokio::test]
async fn what_was_written_is_there_after_the_api_server_and_etcd_were_away() {
    let Some(assets) = assets() else { return };
    let control_plane = Arc::new(ControlPlane::start(&assets).await.unwrap());
    let namespace = Namespace::create(Arc::clone(&control_plane)).await.unwrap();
    control_plane.restart_api_server().await.unwrap();
    let path = format!("/api/v1/namespaces/{}", namespace.name());
    let read = async || {
        send(
            &namespace.client(),
            Method::GET,
            "application/json",
            &path,
            &Value::Null,
        )
        .await
    };
    assert_eq!(read().await.unwrap().code, 200);
    let paused = control_plane.pause_etcd().unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(2), read()).await;
    assert!(
        !matches!(answer, Ok(Ok(answer)) if answer.code == 200),
        "etcd is stopped"
    );
    drop(paused);
    crate::world::until("it answers", async || match read().await {
        Ok(answer) if answer.code == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
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
