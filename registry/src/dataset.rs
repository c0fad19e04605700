//! Staged data files: `datasets/<sha256>`, named by what they hold.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::PathBuf;

use planner::names::Digest;

use crate::error::StoreError;
use crate::files::{Dir, sync_file};
use crate::store::{DATASETS, Store};
use crate::verify::{Hasher, copy};

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
            datasets.rename(&temporary, &sha256.hex())
        });
        datasets.discard_on_error(&temporary, written)?;
        datasets.sync()
    }

    /// Returns where the data file of this digest lies, or would lie.
    pub fn dataset_path(&self, sha256: &Digest) -> PathBuf {
        self.root().join("aurora").join(DATASETS).join(sha256.hex())
    }

    /// Lists the staged data files. Their content is checked by whoever reads one.
    pub fn datasets(&self) -> Result<BTreeSet<Digest>, StoreError> {
        match self.datasets_dir()? {
            Some(dir) => Ok(dir
                .names()?
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
