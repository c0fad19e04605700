//! What a process lets models be imported from: prefixes, each with the credential that goes there and nowhere else.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use planner::names::Malformed;
use planner::training::{Address, Prefix, Scheme};
use registry::files::read_secret;
use web::header::AUTHORIZATION;
use web::{Plain, Request, Url};

use crate::ImportError;

/// The largest file with a credential, in bytes.
const CREDENTIAL_BYTES_MAX: u64 = 64 << 10;

/// A prefix, and where the credential for it lies: `PREFIX[=FILE]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    prefix: Prefix,
    /// Of a web server: `scheme://host:port`.
    origin: Option<String>,
    credential: Option<PathBuf>,
}

/// Says why a text names no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It begins with none of the places that are known. It may hold a secret, and is not repeated.
    #[error(
        "it is not PREFIX[=FILE], the prefix being the beginning of an address: https://HOST, http://HOST, hf://OWNER, s3://BUCKET, gs://BUCKET, az://ACCOUNT, mlflow://HOST, mlflow+http://HOST, oci://HOST or oci+http://HOST, with or without a path below, without user and query"
    )]
    Prefix,
    /// It is never asked.
    #[error("{0}")]
    Address(String),
    /// No file follows the sign.
    #[error("no file follows '='")]
    NoFile,
}

impl Source {
    /// Says whether a web server's address lies below it.
    fn covers(&self, url: &Url) -> bool {
        let path = self.prefix.path();
        self.origin.as_ref() == Some(&url.origin())
            && (path.is_empty() || {
                let parts: Vec<&str> = url.path().trim_start_matches('/').split('/').collect();
                parts.iter().all(|part| is_plain(part))
                    && parts.iter().zip(path).filter(|(a, b)| **a == **b).count() == path.len()
            })
    }

    /// Says who asks, where somebody has to.
    pub(crate) fn authorize(&self, request: Request) -> Result<Request, ImportError> {
        let Some(text) = self.credential()? else {
            return Ok(request);
        };
        let secret = text.trim();
        if secret.is_empty() || secret.contains(char::is_control) {
            return Err(self.unusable("does not hold one credential on one line"));
        }
        let authorized = if secret.contains(':') {
            request.secret(AUTHORIZATION, &format!("Basic {}", STANDARD.encode(secret)))
        } else {
            request.bearer(secret)
        };
        authorized.map_err(|error| self.unusable(format_args!("cannot be used: {error}")))
    }

    /// Reads the file with the credential anew, where there is one.
    pub(crate) fn credential(&self) -> Result<Option<String>, ImportError> {
        let read = |file| read_secret(file, CREDENTIAL_BYTES_MAX).map_err(|error| self.unusable(error));
        self.credential.as_deref().map(read).transpose()
    }

    /// Says what is wrong with the credential.
    pub(crate) fn unusable(&self, why: impl fmt::Display) -> ImportError {
        let file = self.credential.as_ref().map(|file| file.display().to_string());
        ImportError::Credential {
            prefix: self.prefix.to_string(),
            why: match file {
                Some(file) => format!("{file} {why}"),
                None => why.to_string(),
            },
        }
    }
}

/// A part of a path that a server takes for what it looks like.
pub(crate) fn is_plain(part: &str) -> bool {
    let lower = part.to_ascii_lowercase();
    !matches!(part, "" | "." | "..") && !["%2e", "%2f", "%5c", "\\"].iter().any(|odd| lower.contains(odd))
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let (prefix, credential) = match text.split_once('=') {
            Some((_, "")) => return Err(SourceError::NoFile),
            Some((prefix, file)) => (prefix, Some(PathBuf::from(file))),
            None => (text, None),
        };
        let prefix: Prefix = prefix
            .parse()
            .map_err(|_malformed: Malformed| SourceError::Prefix)?;
        let origin = match prefix.scheme() {
            Scheme::Https | Scheme::Http => {
                let url = Url::parse(&prefix.to_string(), Plain::Anywhere);
                Some(
                    url.map_err(|error| SourceError::Address(error.to_string()))?
                        .origin(),
                )
            }
            Scheme::Hf
            | Scheme::S3
            | Scheme::Gs
            | Scheme::Az
            | Scheme::Mlflow
            | Scheme::MlflowPlain
            | Scheme::Oci
            | Scheme::OciPlain => None,
        };
        Ok(Self {
            prefix,
            origin,
            credential,
        })
    }
}

/// As it is given: the path of the file is no secret.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            prefix, credential, ..
        } = self;
        match credential {
            Some(file) => write!(f, "{prefix}={}", file.display()),
            None => prefix.fmt(f),
        }
    }
}

/// All that a process lets models be imported from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Takes the sources that were named, each prefix once.
    pub fn new(sources: Vec<Source>) -> Self {
        Self(sources)
    }

    /// Returns the source that an address lies below, the longest prefix of all.
    pub(crate) fn of(&self, address: &Address) -> Result<&Source, ImportError> {
        let covering = self.0.iter().filter(|source| source.prefix.covers(address));
        covering
            .max_by_key(|source| source.prefix.path().len())
            .ok_or_else(|| ImportError::NotAllowed(address.clone()))
    }

    pub(crate) fn of_url(&self, url: &Url) -> Option<&Source> {
        let covering = self.0.iter().filter(|source| source.covers(url));
        covering.max_by_key(|source| source.prefix.path().len())
    }
}
