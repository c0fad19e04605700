//! The store's lock: shared by writers, exclusive for whoever cleans up.
//!
//! The kernel gives a lock back when its holder dies, so a lock never outlives a crash.

use std::fs::File;
use std::thread;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::error::StoreError;
use crate::files::Dir;

/// How long a writer waits for a collection or for another writer of the same history.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const STEP: Duration = Duration::from_millis(5);

/// Who may hold the lock at the same time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mode {
    Shared,
    Exclusive,
}

/// A held lock; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock file `name` of `dir`, waiting for at most `patience`.
    pub(crate) fn take(dir: &Dir, name: &str, mode: Mode, patience: Duration) -> Result<Self, StoreError> {
        let file = dir.open_append(name)?;
        let operation = match mode {
            Mode::Shared => FlockOperation::NonBlockingLockShared,
            Mode::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        let mut waited = Duration::ZERO;
        loop {
            match rustix::fs::flock(&file, operation) {
                Ok(()) => return Ok(Self { file }),
                Err(Errno::WOULDBLOCK | Errno::INTR) if waited < patience => {
                    thread::sleep(STEP);
                    waited += STEP;
                }
                Err(Errno::WOULDBLOCK | Errno::INTR) => {
                    return Err(StoreError::Busy {
                        path: dir.path().join(name),
                        seconds: patience.as_secs(),
                    });
                }
                Err(e) => return Err(StoreError::io("lock", dir.path().join(name), e)),
            }
        }
    }

    /// Returns the locked file, opened to read and append.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}
