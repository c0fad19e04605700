//! One request to a control plane, bounded in time and size; what it says where it refuses.

use std::path::Path;

use hyper::StatusCode;
use hyper::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue, IF_RANGE, RANGE};
use tokio::io::AsyncReadExt as _;
use web::{Client, Limits, Method, Request, Url};

use super::error::FetchError;

/// The most of an error's text that is read and told.
const SAID_BYTES_MAX: u64 = 2048;
/// The most that a key's file has.
pub(super) const KEY_BYTES_MAX: u64 = 4096;

/// What is asked for.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// The path, from its slash on.
    pub(super) path: &'a str,
    /// From which byte on, where some are there, and the tag of what they are of.
    pub(super) rest: Option<(u64, String)>,
}

/// An answer whose body is still to come.
pub(super) struct Answer(web::Answer);

/// Reads the key of a file: what stands in it, without the space around it.
pub(super) async fn key(file: &Path) -> Result<HeaderValue, FetchError> {
    let unusable = |why: &dyn std::fmt::Display| FetchError::Key(format!("{}: {why}", file.display()));
    let mut text = String::new();
    let opened = tokio::fs::File::open(file)
        .await
        .map_err(|error| unusable(&error))?;
    let mut bounded = opened.take(KEY_BYTES_MAX);
    bounded
        .read_to_string(&mut text)
        .await
        .map_err(|error| unusable(&error))?;
    key_of(&text).ok_or_else(|| unusable(&"it does not hold one key on one line"))
}

/// Returns the one key that a file's text holds.
pub(super) fn key_of(text: &str) -> Option<HeaderValue> {
    let key = HeaderValue::from_str(text.trim()).ok();
    let mut key = key.filter(|key| !key.is_empty())?;
    key.set_sensitive(true);
    Some(key)
}

/// Asks, and waits until the answer begins.
pub(super) async fn ask(
    client: &Client,
    at: &Url,
    key: Option<HeaderValue>,
    asked: &Asked<'_>,
    limits: Limits,
) -> Result<Answer, FetchError> {
    let mut request = Request::new(Method::GET, at.join(asked.path)?)
        .header(ACCEPT, "*/*")
        .limits(limits);
    if let Some(key) = key {
        request.headers.insert(HeaderName::from_static("x-api-key"), key);
    }
    if let Some((first, tag)) = &asked.rest {
        request = request
            .header(RANGE, &format!("bytes={first}-"))
            .header(IF_RANGE, tag);
    }
    Ok(Answer(client.open(&request).await?))
}

impl Answer {
    /// Appends all of the answer to `content`, which is `what` and has at most `limit` bytes. What came before an error stays.
    pub(super) async fn read(
        &mut self,
        content: &mut Vec<u8>,
        what: &'static str,
        limit: u64,
    ) -> Result<(), FetchError> {
        while let Some(bytes) = self.0.chunk().await? {
            if content.len() as u64 + bytes.len() as u64 > limit {
                return Err(FetchError::TooLarge { what, limit });
            }
            content.extend_from_slice(&bytes);
        }
        Ok(())
    }

    /// Returns what an answer that is no success says: the `error` of its JSON, else its status.
    pub(super) async fn said(mut self) -> String {
        let mut content = Vec::new();
        // As much as came tells as well as nothing.
        let _partly = self.read(&mut content, "an error", SAID_BYTES_MAX).await;
        let json = serde_json::from_slice::<serde_json::Value>(&content).ok();
        let error = json.as_ref().and_then(|json| json["error"].as_str());
        let status = self.status();
        error.map_or_else(
            || status.canonical_reason().unwrap_or("no words").to_owned(),
            str::to_owned,
        )
    }

    /// Returns the status.
    pub(super) fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Returns the headers.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }
}
