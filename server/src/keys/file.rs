//! One key file: what it is allowed to be, and how what is known of it stays true.
//!
//! Its content is what counts, not its time stamps: a rotation may keep both size and time. Whoever asks first when what
//! is known is old reads it anew, which takes some microseconds; a file system that hangs keeps that one request, and
//! closes the door to the others.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use registry::files::is_exposed;
use rustix::fs::{Mode, OFlags};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::KeysError;

/// The largest key file.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 20;
/// The longest line of one.
pub(super) const LINE_BYTES_MAX: usize = 4096;
/// How old what is known may be when it decides.
const FRESH: Duration = Duration::from_millis(5);
/// How old it may be while somebody else is reading the file anew.
const STALE: Duration = Duration::from_millis(50);
/// How often it is looked at while nobody asks.
const WATCH: Duration = Duration::from_secs(1);
/// How long a file system may take.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// SHA-256 of each key.
type Hashes = Vec<[u8; 32]>;

/// A key file and what it said last.
#[derive(Debug)]
pub(super) struct KeyFile {
    path: PathBuf,
    known: ArcSwap<Known>,
    /// The clock of the moments below, in microseconds.
    began: Instant,
    /// When the file was looked at last.
    looked_at: AtomicU64,
    /// Since when somebody is looking; 0 while nobody is.
    looking_since: AtomicU64,
    /// Held by whoever looks; never waited for.
    looking: Mutex<()>,
}

/// What a file said.
#[derive(Debug)]
struct Known {
    /// Its bytes: hashes, no secret.
    text: Vec<u8>,
    /// The keys that work; none where it cannot be used.
    hashes: Option<Arc<Hashes>>,
    /// Why not.
    trouble: Option<String>,
}

impl KeyFile {
    pub(super) fn open(path: &Path) -> Result<Self, KeysError> {
        let text = read(path)?;
        let hashes = parse(path, &text)?;
        Ok(Self {
            path: path.to_owned(),
            known: ArcSwap::from_pointee(Known {
                text,
                hashes: Some(Arc::new(hashes)),
                trouble: None,
            }),
            began: Instant::now(),
            looked_at: AtomicU64::new(0),
            looking_since: AtomicU64::new(0),
            looking: Mutex::default(),
        })
    }

    /// Returns the keys that work now; nothing where the file cannot be used.
    pub(super) async fn known(&self) -> Option<Arc<Hashes>> {
        if self.age() >= FRESH {
            self.look();
        }
        while self.age() >= STALE {
            let since = self.looking_since.load(Ordering::Acquire);
            if since != 0 && self.since(since) >= READ_TIMEOUT {
                self.learn(Err(KeysError::Late {
                    path: self.path.clone(),
                }));
                return None;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.look();
        }
        self.known.load().hashes.clone()
    }

    pub(super) async fn watch(&self) {
        loop {
            tokio::time::sleep(WATCH).await;
            self.look();
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn since(&self, moment: u64) -> Duration {
        Duration::from_micros(self.now().saturating_sub(moment))
    }

    /// Returns how old what is known is.
    fn age(&self) -> Duration {
        self.since(self.looked_at.load(Ordering::Acquire))
    }

    /// Learns what the file says, unless somebody else is looking or just did.
    fn look(&self) {
        let Ok(_looking) = self.looking.try_lock() else {
            return;
        };
        if self.age() < FRESH {
            return;
        }
        let asked_at = self.now();
        self.looking_since.store(asked_at.max(1), Ordering::Release);
        let found = aside(|| read(&self.path));
        self.learn(found);
        self.looked_at.store(asked_at, Ordering::Release);
        self.looking_since.store(0, Ordering::Release);
    }

    /// Takes over what the file says; where it cannot be used, no key works any more.
    fn learn(&self, found: Result<Vec<u8>, KeysError>) {
        let before = self.known.load();
        if let Ok(text) = &found
            && before.trouble.is_none()
            && before.text == *text
        {
            return;
        }
        let parsed = found.and_then(|text| parse(&self.path, &text).map(|hashes| (text, hashes)));
        let known = match parsed {
            Ok((text, hashes)) => {
                tracing::info!(path = %self.path.display(), keys = hashes.len(), "reread the key file");
                Known {
                    text,
                    hashes: Some(Arc::new(hashes)),
                    trouble: None,
                }
            }
            Err(error) => {
                let trouble = error.to_string();
                if before.trouble.as_ref() == Some(&trouble) {
                    return;
                }
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "no key works until the key file can be used again"
                );
                Known {
                    text: Vec::new(),
                    hashes: None,
                    trouble: Some(trouble),
                }
            }
        };
        drop(before);
        self.known.store(Arc::new(known));
    }
}

/// Does what may block where it keeps no other request waiting.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Reads the file if it is one that may say who asks. Links are followed: a Secret's files are links.
fn read(path: &Path) -> Result<Vec<u8>, KeysError> {
    let failed = |source: io::Error| KeysError::Read {
        path: path.to_owned(),
        source,
    };
    // Before it is opened, for opening some devices does something; and after, for it may be another one by then.
    check(path, &std::fs::metadata(path).map_err(failed)?)?;
    // A pipe that came meanwhile does not block.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
    let file = File::from(file);
    check(path, &file.metadata().map_err(failed)?)?;
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(KeysError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(text)
}

/// Refuses what is no regular file, and what others may read or write.
fn check(path: &Path, metadata: &Metadata) -> Result<(), KeysError> {
    let kind = metadata.file_type();
    if !kind.is_file() {
        let what = match () {
            () if kind.is_dir() => "a folder",
            () if kind.is_fifo() => "a pipe",
            () if kind.is_socket() => "a socket",
            () => "a device",
        };
        return Err(KeysError::NoFile {
            path: path.to_owned(),
            what,
        });
    }
    let mode = metadata.mode() & 0o7777;
    if is_exposed(mode, metadata.uid()) {
        return Err(KeysError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

/// Reads the lines; says of a key that stands there twice which names it has.
fn parse(path: &Path, text: &[u8]) -> Result<Hashes, KeysError> {
    let mut keys: Vec<([u8; 32], &str)> = Vec::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.len() > LINE_BYTES_MAX {
            return Err(KeysError::LongLine {
                path: path.to_owned(),
                line: index + 1,
            });
        }
        let malformed = || KeysError::Line {
            path: path.to_owned(),
            line: index + 1,
        };
        let line = std::str::from_utf8(line).map_err(|_other_text| malformed())?;
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let key = line
            .split_once(':')
            .map(|(name, hash)| (name.trim(), hash.trim()))
            .filter(|(name, _)| !name.is_empty())
            .and_then(|(name, hash)| {
                let mut bytes = [0; 32];
                hex::decode_to_slice(hash, &mut bytes).ok()?;
                Some((bytes, name))
            });
        keys.push(key.ok_or_else(malformed)?);
    }
    if keys.is_empty() {
        return Err(KeysError::Empty {
            path: path.to_owned(),
        });
    }
    for (first, second) in repeated(&keys) {
        tracing::warn!(
            path = %path.display(),
            first,
            second,
            "a key stands in the key file twice: taking one of the lines away does not stop it"
        );
    }
    Ok(keys.into_iter().map(|(hash, _name)| hash).collect())
}

/// Returns the names of keys that stand there more than once.
pub(super) fn repeated<'a>(keys: &[([u8; 32], &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut sorted: Vec<_> = keys.iter().collect();
    sorted.sort_by_key(|(hash, _)| *hash);
    let pairs = sorted.windows(2).filter_map(|pair| match pair {
        [(hash, first), (other, second)] if hash == other => Some((*first, *second)),
        _ => None,
    });
    pairs.collect()
}
