//! The store's lock: shared by writers, exclusive for whoever cleans up.
//!
//! The kernel gives a lock back when its holder dies, so a lock never outlives a crash.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::thread;
use std::time::Duration;

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
        let file = match mode {
            // One that only publishes into its own model may not write here.
            Mode::Shared => match dir.file(name)? {
                Some(opened) => opened.file,
                None => dir.open_append(name)?,
            },
            Mode::Exclusive => dir.open_append(name)?,
        };
        let mut waited = Duration::ZERO;
        loop {
            let taken = match mode {
                Mode::Shared => file.try_lock_shared(),
                Mode::Exclusive => file.try_lock(),
            };
            match taken {
                Ok(()) => return Ok(Self { file }),
                Err(TryLockError::Error(e)) if e.kind() != ErrorKind::Interrupted => {
                    return Err(StoreError::io("lock", dir.path().join(name), e));
                }
                Err(TryLockError::WouldBlock | TryLockError::Error(_)) if waited < patience => {
                    thread::sleep(STEP);
                    waited += STEP;
                }
                Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {
                    return Err(StoreError::Busy {
                        path: dir.path().join(name),
                        seconds: patience.as_secs(),
                    });
                }
            }
        }
    }

    /// Returns the locked file, opened to read and, where the lock is exclusive, to append.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}
