//! What a node writes of a Pod: its status, where that changed, and at the end its removal.

use std::collections::BTreeMap;

use http::Method;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::PAUSE;
use super::status::PodState;
use crate::request::send;

/// Conditions are merged by their type: those of others stay.
pub(super) const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// Writes for one Pod, and none that has its name after it.
pub(super) struct Reporter {
    client: Client,
    path: String,
    uid: String,
    written: Value,
    /// Since when each condition is as it is.
    conditions: BTreeMap<&'static str, (bool, Timestamp)>,
}

impl Reporter {
    pub(super) fn new(client: Client, pod: &Pod) -> Self {
        Self {
            client,
            path: format!(
                "/api/v1/namespaces/{}/pods/{}",
                pod.namespace().unwrap_or_default(),
                pod.name_any()
            ),
            uid: pod.uid().unwrap_or_default(),
            written: Value::Null,
            conditions: BTreeMap::new(),
        }
    }

    /// Writes the status, if it is not written yet, until somebody takes it.
    pub(super) async fn report(&mut self, state: &PodState) {
        let now = Timestamp::now();
        let conditions = &mut self.conditions;
        let mut status = state.json(|kind, is_true| {
            let (was_true, since) = conditions.entry(kind).or_insert((is_true, now));
            if *was_true != is_true {
                (*was_true, *since) = (is_true, now);
            }
            *since
        });
        status["hostIP"] = "127.0.0.1".into();
        status["hostIPs"] = json!([{ "ip": "127.0.0.1" }]);
        if status == self.written {
            return;
        }
        let body = json!({ "metadata": { "uid": self.uid }, "status": status });
        self.insist(Method::PATCH, STRATEGIC, &format!("{}/status", self.path), &body)
            .await;
        self.written = status;
    }

    /// Removes the Pod: nothing of it runs any more.
    pub(super) async fn remove(&self) {
        let options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 0,
            "preconditions": { "uid": self.uid },
        });
        self.insist(Method::DELETE, "application/json", &self.path, &options)
            .await;
    }

    /// Sends until there is an answer that stays: done, or the Pod is another's or gone.
    async fn insist(&self, method: Method, kind: &str, path: &str, body: &Value) {
        loop {
            match send(&self.client, method.clone(), kind, path, body).await {
                Ok(answer) if answer.is_success() || matches!(answer.code, 404 | 409) => return,
                Ok(answer) if answer.code == 422 => {
                    return crate::note(&format!("play-kubelet: {path}: {}", answer.body));
                }
                _ => sleep(PAUSE).await,
            }
        }
    }
}
