//! Who may ask: API keys by their hash, from a file that is read again and again.
//!
//! A key comes in `x-api-key` or as `Authorization: Bearer`, never in a query string. Comparing takes the same time
//! whichever key is near. Plain keys are neither kept nor logged. What is known of the file is never older than a
//! moment when it decides: a line that is gone no longer works, and of a file that cannot be used no key does.

mod file;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use planner::names::Digest;
use registry::{Advice, Shortage};
use sha2::Digest as _;
use subtle::{Choice, ConstantTimeEq};
use tokio::task::JoinSet;

use crate::http::Origins;
use file::KeyFile;

/// The longest key that is looked at.
const KEY_BYTES_MAX: usize = 256;
/// The randomness of a generated key.
const KEY_RANDOM_BYTES: usize = 24;
/// The header that carries a key and nothing else.
const KEY_HEADER: &str = "x-api-key";

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read.
    #[error("failed to read the key file {path}{}", Advice::from(Shortage::of(source)))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no file: a pipe or a device would never end.
    #[error("key file {path}: {what}, not a regular file")]
    NoFile {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Others can read or change who may ask.
    #[error(
        "key file {path} has mode {mode:04o}: others must not read or write it; chmod 600, or 640 where it belongs to root"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file is larger than any key file is.
    #[error("key file {path}: larger than {} bytes", file::FILE_BYTES_MAX)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A line is longer than any key's.
    #[error("key file {path}, line {line}: longer than {} bytes", file::LINE_BYTES_MAX)]
    LongLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A line is not a key.
    #[error("key file {path}, line {line}: expected `name:sha256-hex`, as `aurora key new NAME` prints it")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The file holds no key: nobody could ask.
    #[error("key file {path}: holds no key; `aurora key new NAME` prints a line for it")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file system does not answer.
    #[error("key file {path}: the file system did not answer in time")]
    Late {
        /// The file.
        path: PathBuf,
    },
    /// Anybody on the network could ask.
    #[error(
        "{address} is reachable from the network and no key is configured: give {flag}, or listen on 127.0.0.1"
    )]
    Open {
        /// Where it would listen.
        address: SocketAddr,
        /// The flag that gives keys.
        flag: &'static str,
    },
    /// The system gives no randomness.
    #[error("failed to get randomness from the system: {0}")]
    Random(getrandom::Error),
}

/// The configured keys; cheap to clone. Without a file nobody is asked for one.
#[derive(Debug, Clone, Default)]
pub struct Keys(Option<Arc<KeyFile>>);

/// Who may ask a listener.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// The keys, one of which is asked for everywhere but by probes.
    pub keys: Keys,
    /// Whether `/metrics` is shown without a key too.
    pub open_metrics: bool,
    /// Whether it may be asked under any name without a key too: otherwise only as `localhost` or a loopback address,
    /// and not by pages of other sites, which a browser on this machine would let in.
    pub open_names: bool,
    /// Pages of which origins may call from a browser: with a key where one is asked for, which they send in a header.
    pub origins: Origins,
}

/// Why a request may not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("a key is needed: send it as x-api-key, or as Authorization: Bearer")]
    Missing,
    #[error("more than one key: send one")]
    Several,
    #[error("the key is not known")]
    Unknown,
    #[error("the key file cannot be used, so no key works: the log says why")]
    Closed,
}

impl Refused {
    /// Names it in metrics.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Missing => "no_key",
            Self::Several => "several_keys",
            Self::Unknown => "unknown_key",
            Self::Closed => "keys_unusable",
        }
    }
}

impl Keys {
    /// Asks nobody for a key: for loopback, see [`require_loopback`].
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads a key file: lines `name:sha256hex`, `#` starts a comment.
    ///
    /// # Errors
    ///
    /// If it is no regular file of at most 1 MiB (links are followed), others may read or write it (its group may read
    /// what belongs to root, as the files of a Kubernetes Secret do), or a line is not a key.
    pub fn from_file(path: &Path) -> Result<Self, KeysError> {
        KeyFile::open(path).map(|file| Self(Some(Arc::new(file))))
    }

    /// Returns whether a key is asked for.
    pub fn configured(&self) -> bool {
        self.0.is_some()
    }

    /// Decides whether a request with these headers may pass, by what the file says now.
    ///
    /// `x-api-key` decides where it is given: `Authorization` may be somebody else's, a proxy's or a mesh's.
    pub(crate) async fn admit(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let Some(file) = &self.0 else { return Ok(()) };
        let key = presented(headers)?;
        let known = file.known().await;
        let hashes = known.as_deref().ok_or(Refused::Closed)?;
        let hash: [u8; 32] = sha2::Sha256::digest(key).into();
        // Every key is compared: the time tells neither which one matched nor how nearly.
        let is_known: bool = hashes
            .iter()
            .fold(Choice::from(0), |known, other| known | other.ct_eq(&hash))
            .into();
        is_known.then_some(()).ok_or(Refused::Unknown)
    }

    /// Looks at the file from time to time until what is returned is dropped, so that what is wrong with it is logged
    /// before somebody asks.
    pub(crate) fn watched(&self) -> JoinSet<()> {
        let mut watching = JoinSet::new();
        if let Some(file) = self.0.clone() {
            // A task of its own: a file system that hangs must not keep its caller.
            watching.spawn(async move { file.watch().await });
        }
        watching
    }
}

/// Returns the key that a request presents.
fn presented(headers: &HeaderMap) -> Result<&[u8], Refused> {
    let one = |name: &str| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (first, None) => Ok(first.map(HeaderValue::as_bytes)),
            (_, Some(_second)) => Err(Refused::Several),
        }
    };
    let key = match one(KEY_HEADER)? {
        Some(key) => key,
        None => one(AUTHORIZATION.as_str())?
            .and_then(bearer)
            .ok_or(Refused::Missing)?,
    };
    if key.len() > KEY_BYTES_MAX {
        return Err(Refused::Unknown);
    }
    Ok(key)
}

/// Returns what follows `Bearer`, whose case does not count; nothing of another scheme.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = value.split_at_checked("Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then_some(key.trim_ascii())
}

/// Refuses an address that others can reach while no key is configured; `flag` is what would give one.
pub fn require_loopback(address: SocketAddr, keys: &Keys, flag: &'static str) -> Result<(), KeysError> {
    if keys.configured() || address.ip().to_canonical().is_loopback() {
        Ok(())
    } else {
        Err(KeysError::Open { address, flag })
    }
}

/// Makes a key: the text for its holder, shown once, and the line for the key file.
pub fn generate(name: &str) -> Result<(String, String), KeysError> {
    let mut random = [0; KEY_RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(KeysError::Random)?;
    let key = format!("aurora_{}", hex::encode(random));
    let line = format!("{name}:{}", Digest::of(key.as_bytes()).hex());
    Ok((key, line))
}

#[cfg(test)]
mod tests;
