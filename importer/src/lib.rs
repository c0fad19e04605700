//! Fetches models that were made elsewhere: the bytes that a digest names, or why there are none.
//!
//! ```text
//! address ── below a prefix? ── ask ── redirect: below a prefix? ── bytes, bounded ── digest
//! ```
//!
//! Nothing is asked that no prefix of the process covers. A credential is read from its file at each use and goes below its own
//! prefix alone: where a redirect leads, that place's own prefix counts. No text of an error holds a credential, nor more of
//! a redirect than its origin.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod error;
mod source;
mod stores;

use std::time::Duration;

use planner::names::Digest;
use planner::training::{Address, Scheme};
use web::{Client, Method, Plain, Request, Settings, StatusCode, Url};

pub use error::ImportError;
pub use source::{Source, SourceError, Sources};

/// How often a redirect is followed.
const REDIRECTS_MAX: usize = 5;
/// The Hugging Face Hub.
const HUB: &str = "https://huggingface.co";

/// What bounds one import.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest model, in bytes.
    pub bytes_max: u64,
    /// Until there is a connection.
    pub connect: Duration,
    /// Without anything coming.
    pub stall: Duration,
    /// For all of it, however steadily bytes come.
    pub deadline: Duration,
}

impl Default for Limits {
    /// 256 MiB, 10 s, 60 s, 10 min.
    fn default() -> Self {
        Self {
            bytes_max: 256 << 20,
            connect: Duration::from_secs(10),
            stall: Duration::from_mins(1),
            deadline: Duration::from_mins(10),
        }
    }
}

/// Fetches models from below the prefixes that it was given.
#[derive(Debug, Clone)]
pub struct Importer {
    client: Client,
    sources: Sources,
    limits: Limits,
    hub: Url,
}

impl Importer {
    /// Takes what may be asked, and how.
    ///
    /// # Errors
    ///
    /// Where the certificates that are trusted cannot be used.
    pub fn new(sources: Sources, settings: Settings, limits: Limits) -> Result<Self, ImportError> {
        Ok(Self {
            client: Client::new(settings)?,
            sources,
            limits,
            hub: Url::parse(HUB, Plain::Loopback)?,
        })
    }

    /// Returns the bytes at an address, which are those that the digest names.
    ///
    /// # Errors
    ///
    /// Where nobody allows to ask, nothing answers, or what comes is something else.
    pub async fn fetch(&self, address: &Address, digest: &Digest) -> Result<Vec<u8>, ImportError> {
        let limit = self.limits.deadline;
        let fetched = tokio::time::timeout(limit, self.bytes_at(address)).await;
        let bytes = fetched.map_err(|_elapsed| ImportError::Slow {
            address: address.clone(),
            limit,
        })??;
        let got = Digest::of(&bytes);
        if got != *digest {
            return Err(ImportError::OtherDigest {
                address: address.clone(),
                got,
                bytes: bytes.len(),
            });
        }
        Ok(bytes)
    }

    async fn bytes_at(&self, address: &Address) -> Result<Vec<u8>, ImportError> {
        match address.scheme() {
            Scheme::Https | Scheme::Http | Scheme::Hf => self.of_web(address).await,
            Scheme::S3 | Scheme::Az => {
                let source = self.sources.of(address)?;
                let client = self.client.clone();
                stores::fetch(address, source, client, self.request_limits()).await
            }
            Scheme::Gs => {
                let source = self.sources.of(address)?;
                let client = self.client.clone();
                let request = stores::of_google(address, source, client, self.request_limits()).await?;
                let mut answer = self.client.open_once(&request).await?;
                self.read(address, &mut answer).await
            }
        }
    }

    async fn of_web(&self, address: &Address) -> Result<Vec<u8>, ImportError> {
        let source = self.sources.of(address)?;
        let mut url = self.url(address)?;
        let mut source = Some(source);
        for _hop in 0..=REDIRECTS_MAX {
            let mut request = Request::new(Method::GET, url.clone()).limits(self.request_limits());
            if let Some(source) = source {
                request = source.authorize(request)?;
            }
            let mut answer = self.client.open_once(&request).await?;
            let Some(location) = answer.location() else {
                return self.read(address, &mut answer).await;
            };
            let next = location?;
            // Of the Hub an owner is a prefix, which its own addresses do not begin with.
            let is_within_hub = address.scheme() == Scheme::Hf
                && next.origin() == self.hub.origin()
                && url.origin() == next.origin();
            if !is_within_hub {
                let covering = self.sources.of_url(&next);
                source = Some(covering.ok_or_else(|| ImportError::Redirected {
                    address: address.clone(),
                    to: next.origin(),
                })?);
            }
            url = next;
        }
        Err(ImportError::Redirected {
            address: address.clone(),
            to: format!(
                "another place more than {REDIRECTS_MAX} times, last {}",
                url.origin()
            ),
        })
    }

    /// Returns where an address is asked for.
    fn url(&self, address: &Address) -> Result<Url, ImportError> {
        match address.scheme() {
            Scheme::Https | Scheme::Http => Ok(Url::parse(&address.to_string(), Plain::Anywhere)?),
            Scheme::Hf => {
                let (repository, file) = address
                    .path()
                    .split_first()
                    .expect("invariant: a path is not empty");
                let (name, commit) = repository.split_once('@').expect("invariant: it names a commit");
                let path = format!("{}/{name}/resolve/{commit}/{}", address.place(), file.join("/"));
                Ok(self.hub.join(&path)?)
            }
            Scheme::S3 | Scheme::Gs | Scheme::Az => unreachable!("invariant: its store's client asks for it"),
        }
    }

    fn request_limits(&self) -> web::Limits {
        web::Limits {
            connect: self.limits.connect,
            stall: self.limits.stall,
            deadline: self.limits.deadline,
            body_bytes_max: self.limits.bytes_max,
        }
    }

    async fn read(&self, address: &Address, answer: &mut web::Answer) -> Result<Vec<u8>, ImportError> {
        if answer.status != StatusCode::OK {
            return Err(ImportError::answered(address, answer.status));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
