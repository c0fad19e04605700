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
mod mlflow;
mod oci;
mod source;
mod stores;

use std::time::Duration;

use planner::names::Digest;
use planner::training::{Address, FileName, Scheme};
use web::{Answer, Client, Method, Plain, Request, Settings, StatusCode, Url};

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

    /// Returns the bytes at an address, or of a file beside it; they are those that the digest names.
    ///
    /// # Errors
    ///
    /// Where nobody allows to ask, nothing answers, or what comes is something else.
    pub async fn fetch(
        &self,
        address: &Address,
        beside: Option<&FileName>,
        digest: &Digest,
    ) -> Result<Vec<u8>, ImportError> {
        let sibling = beside.and_then(|name| address.beside(name));
        let address = sibling.as_ref().unwrap_or(address);
        let bytes = self
            .in_time(address, self.bytes_at(address, beside, digest))
            .await?;
        let got = Digest::of(&bytes);
        if got != *digest {
            return Err(ImportError::OtherDigest {
                address: address.clone(),
                field: match beside {
                    None => "import.digest".to_owned(),
                    Some(name) => format!("import.files[{name}]"),
                },
                got,
                bytes: bytes.len(),
            });
        }
        Ok(bytes)
    }

    /// Returns the bytes at an address, whatever they are: what vouches for a file has no digest of its own.
    ///
    /// # Errors
    ///
    /// Where nobody allows to ask, nothing answers, more than `bytes_max` come, or the address is no path.
    pub async fn fetch_within(&self, bytes_max: u64, address: &Address) -> Result<Vec<u8>, ImportError> {
        let bounded = Self {
            limits: Limits {
                bytes_max: bytes_max.min(self.limits.bytes_max),
                ..self.limits
            },
            ..self.clone()
        };
        let source = self.sources.of(address)?;
        self.in_time(address, bounded.file_at(address, source)).await
    }

    async fn in_time(
        &self,
        address: &Address,
        fetching: impl Future<Output = Result<Vec<u8>, ImportError>>,
    ) -> Result<Vec<u8>, ImportError> {
        let limit = self.limits.deadline;
        let fetched = tokio::time::timeout(limit, fetching).await;
        fetched.map_err(|_elapsed| ImportError::Slow {
            address: address.clone(),
            limit,
        })?
    }

    /// `beside` is of use where an address is no path.
    async fn bytes_at(
        &self,
        address: &Address,
        beside: Option<&FileName>,
        digest: &Digest,
    ) -> Result<Vec<u8>, ImportError> {
        let source = self.sources.of(address)?;
        match address.scheme() {
            Scheme::Mlflow | Scheme::MlflowPlain => mlflow::fetch(self, address, beside, source).await,
            Scheme::Oci | Scheme::OciPlain => oci::fetch(self, address, source, digest).await,
            Scheme::Https | Scheme::Http | Scheme::Hf | Scheme::S3 | Scheme::Gs | Scheme::Az => {
                self.file_at(address, source).await
            }
        }
    }

    /// Returns the file that an address is the path of.
    async fn file_at(&self, address: &Address, source: &Source) -> Result<Vec<u8>, ImportError> {
        match address.scheme() {
            Scheme::Https | Scheme::Http => {
                let url = Url::parse(&address.to_string(), Plain::Anywhere)?;
                self.follow(address, Asked::of(url, Asker::Source(source))).await
            }
            Scheme::Hf => {
                let url = hub_file(&self.hub, address)?;
                self.follow(address, Asked::of(url, Asker::Source(source))).await
            }
            Scheme::S3 | Scheme::Az => {
                stores::fetch(address, source, self.client.clone(), self.request_limits()).await
            }
            Scheme::Gs => {
                let client = self.client.clone();
                let request = stores::of_google(address, source, client, self.request_limits()).await?;
                let mut answer = self.client.open_once(&request).await?;
                read(address, &mut answer).await
            }
            Scheme::Mlflow | Scheme::MlflowPlain | Scheme::Oci | Scheme::OciPlain => {
                Err(ImportError::Unfit {
                    address: address.clone(),
                    why: "it is the path of no file".to_owned(),
                })
            }
        }
    }

    /// Asks, and follows redirects: within a place that is one whole, as who was asked for; elsewhere as that place's own
    /// prefix has it, where there is one.
    async fn follow(&self, address: &Address, asked: Asked<'_>) -> Result<Vec<u8>, ImportError> {
        let Asked {
            mut url,
            mut asker,
            mut answer,
        } = asked;
        // Of the Hub an owner is a prefix, of a registry a repository: neither do all of their own addresses begin with.
        let home =
            matches!(address.scheme(), Scheme::Hf | Scheme::Oci | Scheme::OciPlain).then(|| url.origin());
        for _hop in 0..=REDIRECTS_MAX {
            let mut answer = match answer.take() {
                Some(answer) => answer,
                None => self.ask(&url, &asker, self.limits.bytes_max).await?,
            };
            let Some(location) = answer.location() else {
                return read(address, &mut answer).await;
            };
            let next = location?;
            let is_home = home.as_ref() == Some(&next.origin()) && url.origin() == next.origin();
            if !is_home {
                let covering = self.sources.of_url(&next);
                asker = Asker::Source(covering.ok_or_else(|| ImportError::Redirected {
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

    /// Asks once: a redirect is an answer too.
    async fn ask(&self, url: &Url, asker: &Asker<'_>, bytes_max: u64) -> Result<Answer, ImportError> {
        let limits = web::Limits {
            body_bytes_max: bytes_max,
            ..self.request_limits()
        };
        let request = Request::new(Method::GET, url.clone()).limits(limits);
        let request = match asker {
            Asker::Source(source) => source.authorize(request)?,
            Asker::Token(token) => request.bearer(token)?,
        };
        Ok(self.client.open_once(&request).await?)
    }

    fn request_limits(&self) -> web::Limits {
        web::Limits {
            connect: self.limits.connect,
            stall: self.limits.stall,
            deadline: self.limits.deadline,
            body_bytes_max: self.limits.bytes_max,
        }
    }
}

/// Who asks.
enum Asker<'a> {
    /// Whoever the credential of a prefix is.
    Source(&'a Source),
    /// Whoever was handed a token.
    Token(String),
}

/// What is asked for, and what came of it already.
struct Asked<'a> {
    url: Url,
    asker: Asker<'a>,
    answer: Option<Answer>,
}

impl<'a> Asked<'a> {
    fn of(url: Url, asker: Asker<'a>) -> Self {
        Self {
            url,
            asker,
            answer: None,
        }
    }
}

/// Returns where a file of the Hub is asked for.
fn hub_file(hub: &Url, address: &Address) -> Result<Url, ImportError> {
    let (repository, file) = address
        .path()
        .split_first()
        .expect("invariant: a path is not empty");
    let (name, commit) = repository.split_once('@').expect("invariant: it names a commit");
    let path = format!("{}/{name}/resolve/{commit}/{}", address.place(), file.join("/"));
    Ok(hub.join(&path)?)
}

/// Returns the server that an address names.
fn server(address: &Address, is_plain: bool) -> Result<Url, ImportError> {
    let scheme = if is_plain { "http" } else { "https" };
    Ok(Url::parse(
        &format!("{scheme}://{}", address.place()),
        Plain::Anywhere,
    )?)
}

/// Reads the file that is answered.
async fn read(address: &Address, answer: &mut Answer) -> Result<Vec<u8>, ImportError> {
    if answer.status != StatusCode::OK {
        return Err(ImportError::answered(address, answer.status));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
