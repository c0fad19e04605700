//! The control planes of other environments: versions for import, and what they say of what serves.
//!
//! A key goes to the host that a manifest names beside it, and lies below a folder that whoever started the process named:
//! a commit chooses among such files, and reads no other.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::HeaderValue;
use planner::endpoint::Endpoint;
use planner::imports::{Fault, Wanted};
use planner::names::ModelName;
use registry::files::is_exposed;
use registry::metadata::VersionMetadata;
use registry::{DatasetRoots, open_data_file};
use web::{Client, Plain, Url};

use super::client::{self, Asked, KEY_BYTES_MAX, key_of};
use super::error::FetchError;
use super::{Fetch, LIMITS, Pinned, aside};

/// How long an attempt may take, however steadily bytes come; what came stays for the next.
const ATTEMPT: Duration = Duration::from_mins(10);
/// How long an answer about what serves may take.
const STATUS: Duration = Duration::from_secs(15);
/// The most that such an answer has: the objects of one model.
const STATUS_BYTES_MAX: u64 = 4 << 20;

/// Asks the control planes of other environments.
#[derive(Debug, Clone)]
pub struct Remote {
    client: Client,
    key_roots: DatasetRoots,
}

impl Remote {
    /// Asks by `client`, with keys in files below these folders.
    pub fn new(client: Client, key_roots: DatasetRoots) -> Self {
        Self { client, key_roots }
    }

    /// Fetches a version once: its record and its artifact, which is what was wanted. `partial` holds what came of the
    /// artifact before, and what came when this fails.
    ///
    /// # Errors
    ///
    /// Why it did not come.
    pub async fn version(
        &self,
        wanted: &Wanted,
        partial: &mut Vec<u8>,
    ) -> Result<(VersionMetadata, Vec<u8>), Fault> {
        let version = Pinned {
            model: &wanted.model,
            version: &wanted.version,
            digest: wanted.digest,
        };
        let fetched = async {
            let (url, key) = self.way(&wanted.from).await?;
            let mut fetch = Fetch::new(&self.client, &url, version, LIMITS);
            fetch.bytes = std::mem::take(partial);
            let attempt = tokio::time::timeout(ATTEMPT, fetch.attempt(key)).await;
            let attempt = attempt.unwrap_or(Err(FetchError::Slow {
                what: "send an artifact",
                limit: ATTEMPT,
            }));
            if attempt.is_err() {
                *partial = fetch.bytes;
                return attempt.map(|metadata| (metadata, Vec::new()));
            }
            attempt.map(|metadata| (metadata, fetch.bytes))
        };
        fetched.await.map_err(|error| fault(&error))
    }

    /// Returns what a control plane says of a model: the JSON of `/status/models/{model}`; `None` where it has none such.
    ///
    /// # Errors
    ///
    /// Why it says nothing.
    pub async fn status(&self, at: &Endpoint, model: &ModelName) -> Result<Option<Vec<u8>>, FetchError> {
        let (url, key) = self.way(at).await?;
        let path = format!("/status/models/{model}");
        let asked = Asked {
            path: &path,
            rest: None,
        };
        let answered = async {
            let mut answer = client::ask(&self.client, &url, key, &asked, LIMITS).await?;
            match answer.status() {
                StatusCode::OK => {
                    let mut content = Vec::new();
                    answer.read(&mut content, "the answer", STATUS_BYTES_MAX).await?;
                    Ok(Some(content))
                }
                StatusCode::NOT_FOUND => Ok(None),
                _ => Err(super::failure(answer, FetchError::Unexpected).await),
            }
        };
        let limit = STATUS;
        let answered = tokio::time::timeout(limit, answered).await;
        answered.unwrap_or(Err(FetchError::Slow {
            what: "answer",
            limit,
        }))
    }

    /// Returns where an endpoint is, and the key for it, read anew.
    async fn way(&self, at: &Endpoint) -> Result<(Url, Option<HeaderValue>), FetchError> {
        let url = Url::parse(at.url.as_str(), Plain::Loopback)?;
        let Some(file) = at.key_file.clone() else {
            return Ok((url, None));
        };
        let roots = self.key_roots.clone();
        let key = aside(move || key(&roots, &file)).await?;
        Ok((url, Some(key)))
    }
}

/// Reads a key that a manifest names. What lies elsewhere is refused alike, whether it exists or not.
fn key(roots: &DatasetRoots, file: &str) -> Result<HeaderValue, FetchError> {
    let refused = |why: &dyn std::fmt::Display| FetchError::Key(format!("{file}: {why}"));
    let path = roots
        .locate(file)
        .ok_or_else(|| refused(&"it lies below no --key-root of this process"))?;
    let opened = open_data_file(&roots.folders(), &path).map_err(|error| refused(&error))?;
    let metadata = opened.file.metadata().map_err(|error| refused(&error))?;
    if is_exposed(metadata.mode(), metadata.uid()) {
        return Err(refused(&"others may read it: chmod 600"));
    }
    let mut text = String::new();
    let mut bounded = opened.file.take(KEY_BYTES_MAX);
    bounded
        .read_to_string(&mut text)
        .map_err(|error| refused(&error))?;
    key_of(&text).ok_or_else(|| refused(&"it does not hold one key on one line"))
}

/// Says what keeps a version from coming, by what happens next.
fn fault(error: &FetchError) -> Fault {
    match error {
        FetchError::OtherDigest { got, .. } => Fault::OtherDigest(*got),
        FetchError::NotThere { .. } => Fault::NotThere,
        FetchError::Refused { .. } | FetchError::Key(_) => Fault::Refused(error.to_string()),
        FetchError::Unexpected(_)
        | FetchError::Unaskable(_)
        | FetchError::Changed { .. }
        | FetchError::TooLarge { .. }
        | FetchError::Trust(_)
        | FetchError::Untrusted(_)
        | FetchError::Load(_) => Fault::Unusable(error.to_string()),
        FetchError::Unreachable(_)
        | FetchError::Broken(_)
        | FetchError::Slow { .. }
        | FetchError::Unavailable { .. }
        | FetchError::Died(_) => Fault::Unavailable(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
