//! Requests whose whole answer a test wants to see: status, warnings and what is wrong with which field.

use http::{Method, Request};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// What an API server answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The HTTP status code.
    pub code: u16,
    /// What it warned of, e.g. of an unknown field.
    pub warnings: Vec<String>,
    /// The object, or the Status that says what is wrong.
    pub body: Value,
}

impl Answer {
    /// Says whether it was done.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Returns what is wrong, `field: message` each, in the server's order.
    pub fn causes(&self) -> Vec<(String, String)> {
        let causes = self.body.pointer("/details/causes").and_then(Value::as_array);
        let text = |cause: &Value, name: &str| cause[name].as_str().unwrap_or_default().to_owned();
        causes
            .into_iter()
            .flatten()
            .map(|cause| (text(cause, "field"), text(cause, "message")))
            .collect()
    }

    /// Returns a text of the object, e.g. at `/metadata/resourceVersion`; empty where there is none.
    pub fn text(&self, pointer: &str) -> &str {
        self.body
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

/// How an object is applied.
#[derive(Debug, Clone, Copy)]
pub struct Applied<'a> {
    /// The path of its kind, e.g. `/apis/aurora.io/v1alpha1/namespaces/a/mldeployments`.
    pub collection: &'a str,
    /// `status` for its status alone; empty for the object.
    pub subresource: &'a str,
    /// Who applies.
    pub manager: &'a str,
    /// Whether it is only said what would be.
    pub is_dry_run: bool,
}

/// Applies an object server-side, an unknown field being an error.
///
/// # Errors
///
/// There is no answer; a refusal is an answer.
pub async fn apply(client: &Client, how: Applied<'_>, object: &Value) -> Result<Answer, kube::Error> {
    let Applied {
        collection,
        subresource,
        manager,
        is_dry_run,
    } = how;
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let mut path = format!("{collection}/{name}");
    if !subresource.is_empty() {
        path = format!("{path}/{subresource}");
    }
    let dry_run = if is_dry_run { "&dryRun=All" } else { "" };
    let path = format!("{path}?fieldManager={manager}&fieldValidation=Strict&force=true{dry_run}");
    send(
        client,
        Method::PATCH,
        "application/apply-patch+yaml",
        &path,
        object,
    )
    .await
}

/// Sends a request; `body` is left out where it is null.
///
/// # Errors
///
/// There is no answer; a refusal is an answer.
pub async fn send(
    client: &Client,
    method: Method,
    content_type: &str,
    path: &str,
    body: &Value,
) -> Result<Answer, kube::Error> {
    let bytes = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::CONTENT_TYPE, content_type)
        .body(Body::from(bytes))
        .map_err(kube::Error::HttpError)?;
    let response = client.send(request).await?;
    let code = response.status().as_u16();
    let warnings = response
        .headers()
        .get_all(http::header::WARNING)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect();
    let bytes = response.into_body().collect().await?.to_bytes();
    let body =
        serde_json::from_slice(&bytes).unwrap_or_else(|_no_json| json!(String::from_utf8_lossy(&bytes)));
    Ok(Answer { code, warnings, body })
}
