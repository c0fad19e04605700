//! The other end of the control plane: one version, known by its digest, for a process that serves it for its life.
//!
//! ```text
//! cache ── whole, trusted and loads ───────────────────────┐
//!   └ else: signatures or record, artifact (its rest after a break) ── verify ── load ── keep
//! ```
//!
//! What decides is the digest that was pinned, and where somebody must have signed the version, who has. Sizes and times are
//! bounded, a control plane that is away is waited for, and what asking again cannot mend ends it with words.

mod address;
mod cache;
mod client;
mod error;
mod remote;
mod trust;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{CONTENT_RANGE, ETAG, HeaderValue};
use planner::finding::Disposition;
use planner::names::{Digest, ModelName, Revision, Track, Version};
use planner::trust::Trust;
use registry::artifact::{Engines, load_bytes};
use registry::metadata::VersionMetadata;
use registry::{METADATA_BYTES_MAX, Signed};
use web::{Client, Limits, Settings, Url};

pub use address::Address;
use cache::Cache;
use client::{Answer, Asked};
pub use error::FetchError;
pub use remote::Remote;
use trust::Worth;

use crate::runtime::{Artifact, warm_up};
use crate::signed::{ANSWER_BYTES_MAX, SignedVersion};

/// The largest artifact, as a registry has it.
const ARTIFACT_BYTES_MAX: u64 = 1 << 30;
/// How often in a row what only a person can mend is tried: a key or a volume may be a little behind.
const REFUSALS_MAX: u32 = 5;

/// What bounds one request. Before an answer begins, a control plane may have to hash the artifact.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    stall: Duration::from_mins(1),
    // What is read in parts has its limits there.
    deadline: Duration::MAX,
    body_bytes_max: u64::MAX,
};

/// What a process serves for its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The registered model.
    pub model: ModelName,
    /// The version.
    pub version: Version,
    /// What was pinned: nothing else is loaded.
    pub digest: Digest,
    /// Which track it answers as.
    pub track: Track,
    /// The commit that its answers name.
    pub revision: Revision,
}

/// Where it comes from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The control plane.
    pub control_plane: Address,
    /// The file that holds the key, read anew for each attempt.
    pub key_file: Option<PathBuf>,
    /// The folder that keeps what was fetched.
    pub cache: PathBuf,
    /// The file that says whose signature versions need, read anew for each attempt; one that is not there: nobody's.
    pub trust_file: Option<PathBuf>,
    /// What versions may be evaluated by.
    pub engines: Engines,
}

/// How long it may take, and how long it is waited before it is tried again.
#[derive(Debug, Clone)]
struct Pace {
    /// Of one request.
    limits: Limits,
    /// Of one attempt, however steadily bytes come; what came stays for the next.
    attempt: Duration,
    /// The first pause, each other one twice as long.
    pause: Duration,
    /// The longest pause.
    pause_max: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            limits: LIMITS,
            attempt: Duration::from_mins(10),
            pause: Duration::from_millis(500),
            pause_max: Duration::from_secs(15),
        }
    }
}

/// A version that came whole.
#[derive(Debug)]
struct Fetched {
    metadata: VersionMetadata,
    bytes: Vec<u8>,
    /// What of it is signed, where that was asked for.
    signed: Option<Signed>,
}

/// Returns what is wanted, verified, loaded and warm: from the cache, else from the control plane, which is asked until it
/// answers. Ends with an error where that cannot help.
pub async fn fetch(source: &Source, wanted: &Wanted) -> Result<Artifact, FetchError> {
    fetch_at(source, wanted, &Pace::default()).await
}

async fn fetch_at(source: &Source, wanted: &Wanted, pace: &Pace) -> Result<Artifact, FetchError> {
    let cache = Cache::new(source.cache.clone());
    let version = Pinned {
        model: &wanted.model,
        version: &wanted.version,
        digest: wanted.digest,
    };
    let (from, of) = (cache.clone(), wanted.clone());
    let mut came = Vec::new();
    if let Some(kept) = aside(move || Ok(from.read(&of))).await? {
        let trust = trust_of(source.trust_file.as_deref()).await;
        match trust::hold_kept(trust.as_ref().map(Option::as_ref), version, kept) {
            Worth::All(kept) => {
                let (of, engines) = (wanted.clone(), source.engines.clone());
                if let Some(artifact) = aside(move || Ok(load_cached(&of, &kept, &engines))).await? {
                    return Ok(artifact);
                }
            }
            Worth::Artifact(bytes) => came = bytes,
        }
    }
    let client = Client::new(Settings::default())?;
    let url = source.control_plane.url();
    let fetch = Fetch {
        bytes: came,
        trust_file: source.trust_file.as_deref(),
        ..Fetch::new(&client, &url, version, pace.limits)
    };
    let fetched = fetch.run(source.key_file.as_deref(), pace).await?;
    let (of, engines) = (wanted.clone(), source.engines.clone());
    aside(move || {
        let artifact = load(&of, &fetched, &engines)?;
        cache.keep(&of, &fetched);
        Ok(artifact)
    })
    .await
}

async fn trust_of(file: Option<&Path>) -> Result<Option<Trust>, FetchError> {
    match file {
        Some(file) => trust::read(file).await,
        None => Ok(None),
    }
}

/// Runs what blocks where nothing else waits for it.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FetchError> + Send + 'static,
) -> Result<T, FetchError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| FetchError::Died(error.to_string()))?
}

/// Loads what the cache holds; what does not load is no better than what is not there.
fn load_cached(wanted: &Wanted, fetched: &Fetched, engines: &Engines) -> Option<Artifact> {
    let loaded = load(wanted, fetched, engines).inspect_err(|error| {
        tracing::warn!(
            error = error as &dyn Error,
            "what the cache holds does not load: it is fetched anew"
        );
    });
    loaded.ok()
}

fn load(wanted: &Wanted, fetched: &Fetched, engines: &Engines) -> Result<Artifact, FetchError> {
    let Fetched {
        metadata,
        bytes,
        signed: _,
    } = fetched;
    let loaded = load_bytes(bytes, metadata, engines)?;
    warm_up(&loaded, metadata);
    let Wanted {
        model,
        version,
        digest,
        track,
        revision,
    } = wanted.clone();
    Ok(Artifact {
        model,
        track,
        version,
        digest,
        revision,
        loaded,
        metadata: Arc::new(metadata.clone()),
    })
}

/// One version, by its digest.
#[derive(Debug, Clone, Copy)]
struct Pinned<'a> {
    model: &'a ModelName,
    version: &'a Version,
    digest: Digest,
}

/// A fetch under way: what has come so far.
#[derive(Debug)]
struct Fetch<'a> {
    client: &'a Client,
    url: &'a Url,
    wanted: Pinned<'a>,
    limits: Limits,
    trust_file: Option<&'a Path>,
    metadata: Option<VersionMetadata>,
    bytes: Vec<u8>,
    signed: Option<Signed>,
}

impl<'a> Fetch<'a> {
    fn new(client: &'a Client, url: &'a Url, wanted: Pinned<'a>, limits: Limits) -> Self {
        Self {
            client,
            url,
            wanted,
            limits,
            trust_file: None,
            metadata: None,
            bytes: Vec::new(),
            signed: None,
        }
    }

    /// Asks until all is there.
    async fn run(mut self, key_file: Option<&Path>, pace: &Pace) -> Result<Fetched, FetchError> {
        let mut pause = pace.pause;
        let mut refusals = 0;
        loop {
            let before = self.bytes.len();
            let limit = pace.attempt;
            let attempt = tokio::time::timeout(limit, async {
                let key = match key_file {
                    Some(file) => Some(client::key(file).await?),
                    None => None,
                };
                self.attempt(key).await
            });
            let error = match attempt.await {
                Ok(Ok(metadata)) => {
                    return Ok(Fetched {
                        metadata,
                        bytes: self.bytes,
                        signed: self.signed,
                    });
                }
                Ok(Err(error)) => error,
                Err(_elapsed) => FetchError::Slow {
                    what: "send an artifact",
                    limit,
                },
            };
            match error.disposition() {
                Disposition::Invalid => return Err(error),
                Disposition::Waiting if refusals + 1 >= REFUSALS_MAX => return Err(error),
                Disposition::Waiting => refusals += 1,
                Disposition::Transient => refusals = 0,
            }
            if self.bytes.len() > before {
                pause = pace.pause;
            }
            tracing::warn!(
                error = &error as &dyn Error,
                bytes = self.bytes.len(),
                again_in_seconds = pause.as_secs_f64(),
                "failed to fetch the artifact: it is tried again"
            );
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(pace.pause_max);
        }
    }

    /// Fetches what is not there yet. What came before an error stays where it can be gone on from.
    async fn attempt(&mut self, key: Option<HeaderValue>) -> Result<VersionMetadata, FetchError> {
        let trust = trust_of(self.trust_file).await?;
        if let Some(trust) = &trust
            && let Some(metadata) = self.signed_record(trust, key.clone()).await?
        {
            self.metadata = Some(metadata);
        }
        let metadata = match &self.metadata {
            Some(metadata) => metadata.clone(),
            None => self.metadata.insert(self.record(key.clone()).await?).clone(),
        };
        if !self.is_there(metadata.artifact.bytes).await? {
            self.artifact(metadata.artifact.bytes, key).await?;
        }
        let (bytes, pinned) = (std::mem::take(&mut self.bytes), self.wanted.digest);
        let (bytes, got) = aside(move || {
            let got = Digest::of(&bytes);
            Ok((bytes, got))
        })
        .await?;
        if got != pinned {
            return Err(FetchError::Changed { got, pinned });
        }
        self.bytes = bytes;
        Ok(metadata)
    }

    /// Says whether the artifact was there before anything was asked.
    async fn is_there(&mut self, total: u64) -> Result<bool, FetchError> {
        if self.bytes.len() as u64 != total {
            return Ok(false);
        }
        let (bytes, pinned) = (std::mem::take(&mut self.bytes), self.wanted.digest);
        let (bytes, is_it) = aside(move || {
            let is_it = Digest::of(&bytes) == pinned;
            Ok((bytes, is_it))
        })
        .await?;
        self.bytes = bytes;
        Ok(is_it)
    }

    /// Fetches what of the version is signed, and returns its record as somebody who is trusted signed it; nothing where
    /// nobody has, and it is loaded all the same.
    async fn signed_record(
        &mut self,
        trust: &Trust,
        key: Option<HeaderValue>,
    ) -> Result<Option<VersionMetadata>, FetchError> {
        self.signed = None;
        let signed = self.signatures(key).await;
        if let Err(error) = &signed
            && error.disposition() == Disposition::Transient
        {
            // The record could not be asked for either.
            return signed.map(|_never| None);
        }
        let of = self.wanted;
        let kept = signed.as_ref().ok().cloned();
        let metadata = trust::hold(trust, of, signed)?;
        self.signed = kept.filter(|_| metadata.is_some());
        metadata.as_ref().map_or(Ok(()), fits)?;
        Ok(metadata)
    }

    /// Fetches what of the version is signed, and the signatures.
    async fn signatures(&self, key: Option<HeaderValue>) -> Result<Signed, FetchError> {
        let Pinned { model, version, .. } = self.wanted;
        let path = format!("/models/{model}/{version}/signatures");
        let mut answer = self.ask(&path, None, key).await?;
        if answer.status() != StatusCode::OK {
            return Err(failure(answer, |said| {
                FetchError::Untrusted(format!(
                    "{model} {version} is not to be trusted: the control plane hands out no signatures of it: {said}"
                ))
            })
            .await);
        }
        let mut signed = Vec::new();
        answer
            .read(&mut signed, "the list of signatures", ANSWER_BYTES_MAX)
            .await?;
        SignedVersion::read(&signed).map_err(FetchError::Unexpected)
    }

    /// Fetches the version's record: of this model, this version and this digest.
    async fn record(&self, key: Option<HeaderValue>) -> Result<VersionMetadata, FetchError> {
        let Pinned {
            model,
            version,
            digest,
        } = self.wanted;
        let path = format!("/models/{model}/{version}");
        let mut answer = self.ask(&path, None, key).await?;
        if answer.status() != StatusCode::OK {
            return Err(self.failure(answer).await);
        }
        let mut record = Vec::new();
        answer
            .read(&mut record, "the version's record", METADATA_BYTES_MAX)
            .await?;
        let metadata = VersionMetadata::read(&record, model, version)
            .map_err(|damage| FetchError::Unexpected(damage.to_string()))?;
        let got = metadata.artifact.digest;
        if got != digest {
            return Err(FetchError::OtherDigest {
                model: model.clone(),
                version: version.clone(),
                got,
                pinned: digest,
            });
        }
        fits(&metadata)?;
        Ok(metadata)
    }

    /// Fetches the artifact, or what is missing of it.
    async fn artifact(&mut self, total: u64, key: Option<HeaderValue>) -> Result<(), FetchError> {
        let Pinned {
            model,
            version,
            digest,
        } = self.wanted;
        let tag = format!("\"{digest}\"");
        let there = self.bytes.len() as u64;
        if there >= total {
            self.bytes.clear();
        }
        let rest = (!self.bytes.is_empty()).then(|| (there, tag.clone()));
        let mut answer = self
            .ask(&format!("/models/{model}/{version}/artifact"), rest, key)
            .await?;
        match answer.status() {
            StatusCode::OK => self.bytes.clear(),
            StatusCode::PARTIAL_CONTENT if begins_at(&answer, self.bytes.len() as u64, total) => {}
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                self.bytes.clear();
                return Err(FetchError::Broken(
                    "it gives another part than was asked for".to_owned(),
                ));
            }
            _ => return Err(self.failure(answer).await),
        }
        let tagged = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
        if tagged != Some(&tag) {
            self.bytes.clear();
            let tagged = tagged.unwrap_or("no tag").chars().take(100).collect::<String>();
            return Err(FetchError::Unexpected(format!(
                "it tags the artifact with {tagged}, not {tag}"
            )));
        }
        let read = answer.read(&mut self.bytes, "the artifact", total).await;
        if let Err(FetchError::TooLarge { .. }) = read {
            // Whatever sends more than it announced sent nothing that can be gone on from.
            self.bytes.clear();
        }
        read?;
        if (self.bytes.len() as u64) < total {
            let got = self.bytes.len();
            return Err(FetchError::Broken(format!("{got} of {total} bytes came")));
        }
        Ok(())
    }

    async fn ask(
        &self,
        path: &str,
        rest: Option<(u64, String)>,
        key: Option<HeaderValue>,
    ) -> Result<Answer, FetchError> {
        let asked = Asked { path, rest };
        client::ask(self.client, self.url, key, &asked, self.limits).await
    }

    /// Says what an answer means that is not the one that was asked for.
    async fn failure(&self, answer: Answer) -> FetchError {
        failure(answer, |said| FetchError::NotThere {
            model: self.wanted.model.clone(),
            version: self.wanted.version.clone(),
            said,
        })
        .await
    }
}

/// Fails for what announces a larger artifact than there are.
fn fits(metadata: &VersionMetadata) -> Result<(), FetchError> {
    if metadata.artifact.bytes > ARTIFACT_BYTES_MAX {
        return Err(FetchError::TooLarge {
            what: "the artifact",
            limit: ARTIFACT_BYTES_MAX,
        });
    }
    Ok(())
}

/// Says what an answer means that is not the one that was asked for; `missing` of what is not there.
async fn failure(answer: Answer, missing: impl FnOnce(String) -> FetchError) -> FetchError {
    let status = answer.status();
    if status.is_redirection() || status.is_success() || status.is_informational() {
        return FetchError::Unexpected(format!("it answers {status}"));
    }
    let said = answer.said().await;
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => FetchError::Refused { status, said },
        StatusCode::NOT_FOUND => missing(said),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            FetchError::Unavailable { status, said }
        }
        _ if status.is_server_error() => FetchError::Unavailable { status, said },
        _ => FetchError::Unexpected(format!("it answers {status}: {said}")),
    }
}

/// Says whether a part of an answer goes on where what is there ends, and is of as much.
fn begins_at(answer: &Answer, first: u64, total: u64) -> bool {
    let range = answer.headers().get(CONTENT_RANGE);
    let range = range.and_then(|range| range.to_str().ok()).unwrap_or_default();
    range == format!("bytes {first}-{}/{total}", total.saturating_sub(1))
}

/// Takes up to half of a pause away, so that a hundred pods that lost one control plane do not come back at once.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0; 4];
    // Without randomness all of them come at once, which is no reason not to come.
    let _drawn = getrandom::fill(&mut random);
    let part = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
    pause.mul_f64(1.0 - part / 2.0)
}

#[cfg(test)]
mod tests;
