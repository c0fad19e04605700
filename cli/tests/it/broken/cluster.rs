//! The set-up that takes a cluster: an object of somebody else has the name of ours.

use std::process::Command;

use http::Method;
use serde_json::json;
use testkit::send;

use super::plain::Plain;
use super::{pages, says};
use crate::harness::{Up, run};
use crate::reconciled::Ground;

#[tokio::test(flavor = "multi_thread")]
async fn foreign_object() {
    let Some(ground) = Ground::new().await else {
        return;
    };
    let namespace = ground.namespace.name().to_owned();
    let theirs = json!({
        "apiVersion": "aurora.io/v1alpha1", "kind": "MLDeployment", "metadata": { "name": "iris" },
        "spec": { "modelName": "iris", "stable": { "version": "v20260101-000000" } },
    });
    let path = format!("/apis/aurora.io/v1alpha1/namespaces/{namespace}/mldeployments");
    let client = ground.namespace.client();
    let made = send(&client, Method::POST, "application/json", &path, &theirs).await;
    assert!(made.expect("the server answers").is_success());

    let following = Up::watch(ground.command(&["--control-plane", "127.0.0.1:0"]));
    ground.pin("iris");
    let place = ["--namespace".to_owned(), namespace.clone()];
    let ask = |command: &mut Command| run(command.env("KUBECONFIG", &ground.kubeconfig));
    let plain = Plain::new([]).and(&namespace, "<namespace>");
    says("foreign-object", &plain, || pages(&place, ask));
    assert!(following.stop().success());
}
