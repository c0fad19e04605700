//! Kubernetes events: on transitions alone, for whoever runs `kubectl describe` or `kubectl events`.

use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use serde_json::json;
use tokio::time::timeout;

/// The longest note that an API server takes is a little longer.
const NOTE_MAX: usize = 1_000;
/// How long it may take to tell one: what is told of goes on.
const PATIENCE: Duration = Duration::from_secs(5);

/// Something that is told of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) is_warning: bool,
    pub(crate) reason: String,
    pub(crate) note: String,
}

/// Tells something of an object, by its kind, as `teller`. An event that is lost is no reason to fail.
pub(crate) async fn tell(
    events: &Api<Event>,
    teller: &str,
    (kind, metadata): (&str, &ObjectMeta),
    said: &Said,
    now: MicroTime,
) {
    let name = metadata.name.as_deref().unwrap_or_default();
    let event = json!({
        "metadata": { "generateName": format!("{name}-"), "namespace": metadata.namespace },
        "eventTime": now,
        "reportingController": format!("aurora.io/{}", teller.trim_start_matches("aurora-")),
        "reportingInstance": teller, "action": "Step",
        "type": if said.is_warning { "Warning" } else { "Normal" },
        "reason": said.reason, "note": said.note.chars().take(NOTE_MAX).collect::<String>(),
        "regarding": {
            "apiVersion": crds::API_VERSION, "kind": kind, "name": name, "namespace": metadata.namespace,
            "uid": metadata.uid, "resourceVersion": metadata.resource_version,
        },
    });
    let made = async {
        let event = serde_json::from_value(event).map_err(|error| error.to_string())?;
        let made = events.create(&PostParams::default(), &event).await;
        made.map(drop).map_err(|error| error.to_string())
    };
    let made = timeout(PATIENCE, made).await;
    if let Err(error) = made.unwrap_or_else(|elapsed| Err(elapsed.to_string())) {
        tracing::debug!(name, error, "could not tell an event");
    }
}
