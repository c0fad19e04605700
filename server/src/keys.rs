//! Who may ask: API keys by their hash, from a file that is reread when it changes.
//!
//! A key comes in the header `x-api-key`, never in a query string. Comparing takes the same time whichever key is
//! near. Plain keys are neither kept nor logged.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use planner::names::Digest;
use sha2::Digest as _;
use subtle::{Choice, ConstantTimeEq};

/// How often a key file's time stamp is looked at, at most.
const POLL: Duration = Duration::from_secs(1);
/// The largest key file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The longest key that is looked at.
const KEY_BYTES_MAX: usize = 256;
/// The randomness of a generated key.
const KEY_RANDOM_BYTES: usize = 24;

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read.
    #[error("failed to read the key file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is larger than any key file is.
    #[error("key file {path}: larger than {FILE_BYTES_MAX} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
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

#[derive(Debug)]
struct KeyFile {
    path: PathBuf,
    hashes: ArcSwap<Vec<[u8; 32]>>,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    stamp: Option<(SystemTime, u64)>,
    polled: Instant,
}

impl Keys {
    /// Asks nobody for a key: for loopback, see [`require_loopback`].
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads a key file: lines `name:sha256hex`, `#` starts a comment.
    pub fn from_file(path: &Path) -> Result<Self, KeysError> {
        let stamp = stamp(path);
        let hashes = read(path)?;
        Ok(Self(Some(Arc::new(KeyFile {
            path: path.to_owned(),
            hashes: ArcSwap::from_pointee(hashes),
            seen: Mutex::new(Seen {
                stamp,
                polled: Instant::now(),
            }),
        }))))
    }

    /// Returns whether a key is asked for.
    pub fn configured(&self) -> bool {
        self.0.is_some()
    }

    /// Returns whether a request with this `x-api-key` may pass. Rereads a changed file at most once a second.
    pub(crate) fn admit(&self, key: Option<&[u8]>) -> bool {
        let Some(file) = &self.0 else { return true };
        file.reread(Instant::now());
        let Some(key) = key.filter(|key| key.len() <= KEY_BYTES_MAX) else {
            return false;
        };
        let hash: [u8; 32] = sha2::Sha256::digest(key).into();
        // Every key is compared: the time tells neither which one matched nor how nearly.
        file.hashes
            .load()
            .iter()
            .fold(Choice::from(0), |known, other| known | other.ct_eq(&hash))
            .into()
    }
}

impl KeyFile {
    /// Reads the file again where its time stamp or size changed. A broken file changes nothing: the keys read last stay.
    fn reread(&self, now: Instant) {
        // Somebody else is looking already: this request goes by what is known.
        let Ok(mut seen) = self.seen.try_lock() else {
            return;
        };
        if now.saturating_duration_since(seen.polled) < POLL {
            return;
        }
        seen.polled = now;
        let stamp = stamp(&self.path);
        if stamp == seen.stamp {
            return;
        }
        seen.stamp = stamp;
        match read(&self.path) {
            Ok(hashes) => {
                tracing::info!(path = %self.path.display(), keys = hashes.len(), "reread the key file");
                self.hashes.store(Arc::new(hashes));
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "kept the keys read last: the key file is broken"
            ),
        }
    }
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

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(path: &Path) -> Result<Vec<[u8; 32]>, KeysError> {
    use std::io::Read as _;
    let failed = |source| KeysError::Read {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    std::fs::File::open(path)
        .map_err(failed)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(KeysError::TooLarge {
            path: path.to_owned(),
        });
    }
    let mut hashes = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let hash = line
            .split_once(':')
            .filter(|(name, _)| !name.trim().is_empty())
            .and_then(|(_, hash)| {
                let mut bytes = [0; 32];
                hex::decode_to_slice(hash.trim(), &mut bytes).ok().map(|()| bytes)
            })
            .ok_or_else(|| KeysError::Line {
                path: path.to_owned(),
                line: index + 1,
            })?;
        hashes.push(hash);
    }
    if hashes.is_empty() {
        return Err(KeysError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(hashes)
}

#[cfg(test)]
mod tests;
