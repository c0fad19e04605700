//! Staged data files: `datasets/<sha256>`, named by what they hold.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;

use planner::names::Digest;
use rustix::fs::FileType;

use crate::error::{Damage, StoreError};
use crate::files::{Dir, sync_file};
use crate::store::{DATASETS, Store};
use crate::verify::{Hasher, copy, digest};

/// The largest data file, in bytes.
const DATASET_BYTES_MAX: u64 = 512 << 20;

impl Store {
    /// Copies a data file of at most 512 MiB into the store; its digest must be `sha256`. Replaces what is there.
    pub fn stage_dataset(&self, sha256: &Digest, mut source: impl Read) -> Result<(), StoreError> {
        let _lock = self.lock_shared()?;
        let datasets = self.base()?.ensure_dir(DATASETS)?;
        let (temporary, mut file) = datasets.make_temporary_file()?;
        let path = datasets.path().join(&temporary);
        let mut hasher = Hasher::default();
        let written = copy(&mut source.by_ref().take(DATASET_BYTES_MAX + 1), |chunk| {
            hasher.update(chunk);
            file.write_all(chunk)
        })
        .map_err(|e| StoreError::io("copy a data file to", &path, e))
        .and_then(|bytes| {
            if bytes > DATASET_BYTES_MAX {
                return Err(StoreError::TooLarge {
                    what: "a data file",
                    path: self.dataset_path(sha256),
                    limit: DATASET_BYTES_MAX,
                });
            }
            let (expected, got) = (*sha256, hasher.finish());
            if got != expected {
                return Err(StoreError::DatasetDigest { expected, got });
            }
            sync_file(&file, &path)?;
            if datasets.kind(&sha256.hex())? == Some(FileType::Directory) {
                return Err(StoreError::malformed(
                    &self.dataset_path(sha256),
                    "is a folder where a data file should be: move it away, then the next pass stages the file",
                ));
            }
            self.permit()?;
            datasets.rename(&temporary, &sha256.hex())
        });
        datasets.discard_on_error(&temporary, written)?;
        datasets.sync()
    }

    /// Returns where the data file of this digest lies, or would lie.
    pub fn dataset_path(&self, sha256: &Digest) -> PathBuf {
        self.root().join("aurora").join(DATASETS).join(sha256.hex())
    }

    /// Opens a staged data file, without following a link; `None` where there is none. Its content is not verified:
    /// whoever reads it holds it against its digest, and calls [`Self::discard_damaged`] where it is another.
    pub fn open_dataset(&self, sha256: &Digest) -> Result<Option<File>, StoreError> {
        let Some(dir) = self.datasets_dir()? else {
            return Ok(None);
        };
        Ok(dir.file(&sha256.hex())?.map(|opened| opened.file))
    }

    /// Verifies a staged data file by hashing it.
    pub fn verify_dataset(&self, sha256: &Digest) -> Result<(), Damage> {
        let name = sha256.hex();
        let missing = || Damage::Missing(name.clone());
        let dir = self.datasets_dir()?.ok_or_else(missing)?;
        let opened = dir.file(&name)?.ok_or_else(missing)?;
        let got = digest(opened, DATASET_BYTES_MAX)?;
        if got == *sha256 {
            return Ok(());
        }
        Err(Damage::Changed {
            file: name,
            expected: *sha256,
            got,
        })
    }

    /// Takes a staged data file away if it is not what its name says: the next pass stages it again. Says whether one
    /// that is sound is missing now.
    ///
    /// A folder in its place may hold somebody's files: it stays, and the pass says so.
    pub fn discard_damaged(&self, sha256: &Digest) -> Result<bool, StoreError> {
        let _lock = self.lock_shared()?;
        match self.verify_dataset(sha256) {
            Ok(()) => return Ok(false),
            Err(Damage::Unreadable(error)) => return Err(*error),
            Err(damage) => {
                let path = self.dataset_path(sha256);
                tracing::warn!(path = %path.display(), %damage, "staged data is damaged: it is staged again");
            }
        }
        if let Some(dir) = self.datasets_dir()?
            && dir.kind(&sha256.hex())? != Some(FileType::Directory)
        {
            dir.remove(&sha256.hex())?;
            dir.sync()?;
        }
        Ok(true)
    }

    /// Lists the staged data files; a link or folder of such a name is none. Their content is checked by whoever reads
    /// one.
    pub fn datasets(&self) -> Result<BTreeSet<Digest>, StoreError> {
        match self.datasets_dir()? {
            Some(dir) => Ok(dir
                .regular_files()?
                .iter()
                .filter_map(|name| Digest::from_hex(name).ok())
                .collect()),
            None => Ok(BTreeSet::new()),
        }
    }

    pub(crate) fn datasets_dir(&self) -> Result<Option<Dir>, StoreError> {
        self.base()?.dir(DATASETS)
    }
}
