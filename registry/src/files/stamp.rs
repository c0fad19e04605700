//! Stamps: what tells that a file or folder was changed, without reading it.

use std::path::Path;
use std::time::SystemTime;

use rustix::fs::{AtFlags, CWD, Stat};
use rustix::io::Errno;

use crate::error::StoreError;

/// A name's stamp is trusted only when it is older than this, in seconds: a change right after the look could bear the
/// same time, as coarse as some filesystems keep it.
pub(crate) const SETTLED_SECONDS: i64 = 2;

/// What identifies the content of a file that nobody may change in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Returns the stamp of what lies at `path`, whose last component is not followed; `None` where there is nothing.
    ///
    /// The components before it may be links: good for noticing a change, never for reading.
    pub(crate) fn at(path: &Path) -> Result<Option<Self>, StoreError> {
        let stat = rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW);
        match found(stat) {
            Ok(stat) => Ok(stat.map(|stat| Self::of(&stat))),
            // Something else is in the place of a folder above it.
            Err(Errno::NOTDIR) => Ok(None),
            Err(e) => Err(StoreError::io("examine", path, e)),
        }
    }

    pub(super) fn of(stat: &Stat) -> Self {
        #[expect(
            clippy::useless_conversion,
            reason = "the widths of these fields differ between architectures"
        )]
        Self {
            device: u64::from(stat.st_dev),
            inode: u64::from(stat.st_ino),
            bytes: u64::try_from(stat.st_size).unwrap_or(0),
            modified: (
                i64::from(stat.st_mtime),
                i64::try_from(stat.st_mtime_nsec).unwrap_or(0),
            ),
            changed: (
                i64::from(stat.st_ctime),
                i64::try_from(stat.st_ctime_nsec).unwrap_or(0),
            ),
        }
    }

    /// Returns the size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Says whether it is of the same file, whatever became of its content.
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Says whether it is of the file with these numbers.
    pub fn is_of(&self, device: u64, inode: u64) -> bool {
        (self.device, self.inode) == (device, inode)
    }

    /// Returns all of it, to be hashed.
    pub(crate) fn to_bytes(&self) -> [u8; 56] {
        let Self {
            device,
            inode,
            bytes,
            modified,
            changed,
        } = self;
        let times = [modified.0, modified.1, changed.0, changed.1].map(i64::cast_unsigned);
        let mut all = [0; 56];
        for (place, number) in all
            .chunks_exact_mut(8)
            .zip([*device, *inode, *bytes].into_iter().chain(times))
        {
            place.copy_from_slice(&number.to_le_bytes());
        }
        all
    }

    /// Says whether a look that began at the second `now` since the epoch can trust it.
    pub fn is_settled(&self, now: i64) -> bool {
        self.changed_seconds() + SETTLED_SECONDS < now
    }

    /// Returns the second of the last change to the file or its inode.
    pub(crate) fn changed_seconds(&self) -> i64 {
        self.changed.0.max(self.modified.0)
    }

    /// Returns the second of the last change to the content.
    pub(crate) fn modified_seconds(&self) -> i64 {
        self.modified.0
    }
}

/// Takes what is not there as nothing.
pub(super) fn found(stat: rustix::io::Result<Stat>) -> rustix::io::Result<Option<Stat>> {
    match stat {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Returns the second since the epoch: what file times are compared with.
pub fn seconds_now() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |elapsed| i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX))
}
