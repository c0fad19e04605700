//! Custom resources: applied, and waited for until they are served.

use std::time::{Duration, Instant};

use http::Method;
use kube::Client;
use serde_json::Value;

use crate::control_plane::ControlPlaneError;
use crate::request::{Answer, Applied, apply, send};

/// The path of all definitions.
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
/// How long an API server may take to serve a new kind.
const PATIENCE: Duration = Duration::from_mins(5);

/// Applies CustomResourceDefinitions and returns them as they are once they are served, each with what was answered to it.
///
/// # Errors
///
/// There is no answer, one is refused, or not served in time.
pub async fn install(
    client: &Client,
    definitions: &[Value],
) -> Result<Vec<(Answer, Value)>, ControlPlaneError> {
    let mut installed = Vec::new();
    for definition in definitions {
        let how = Applied {
            collection: DEFINITIONS,
            subresource: "",
            manager: "testkit",
            is_dry_run: false,
        };
        let answer = apply(client, how, definition).await?;
        if !answer.is_success() {
            return Err(ControlPlaneError::Definition(answer.body.to_string()));
        }
        let served = until_served(client, answer.text("/metadata/name")).await?;
        installed.push((answer, served));
    }
    Ok(installed)
}

async fn until_served(client: &Client, name: &str) -> Result<Value, ControlPlaneError> {
    let path = format!("{DEFINITIONS}/{name}");
    let started = Instant::now();
    loop {
        let found = get(client, &path).await?;
        if condition(&found, "Established") == Some("True") && is_discovered(client, &found).await? {
            return Ok(found);
        }
        if started.elapsed() > PATIENCE {
            return Err(ControlPlaneError::Definition(found["status"].to_string()));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Says whether discovery knows a kind: a moment after it is established.
async fn is_discovered(client: &Client, definition: &Value) -> Result<bool, kube::Error> {
    let text = |pointer: &str| {
        definition
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let path = format!("/apis/{}/{}", text("/spec/group"), text("/spec/versions/0/name"));
    let discovered = get(client, &path).await?;
    let mut resources = discovered["resources"].as_array().into_iter().flatten();
    Ok(resources.any(|resource| resource["name"] == text("/spec/names/plural")))
}

async fn get(client: &Client, path: &str) -> Result<Value, kube::Error> {
    let answer = send(client, Method::GET, "application/json", path, &Value::Null).await?;
    Ok(answer.body)
}

/// Returns the status of one of an object's conditions.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == kind)?;
    found["status"].as_str()
}
