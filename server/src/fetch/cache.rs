//! What was fetched before, by digest: a process that starts again needs no control plane.
//!
//! Nothing in it is believed: an artifact is what its digest says or is fetched anew, and so is a version whose cached record
//! does not fit it; whose signatures it holds counts by the keys of now. A cache that cannot be used costs a fetch.

use std::error::Error;
use std::path::PathBuf;

use planner::names::Digest;
use registry::files::Dir;
use registry::metadata::VersionMetadata;
use registry::{METADATA_BYTES_MAX, StoreError};

use super::{ARTIFACT_BYTES_MAX, Fetched, Wanted};
use crate::signed::{ANSWER_BYTES_MAX, SignedVersion};

/// A folder of artifacts and records.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Returns what is wanted if it is there whole; blocks.
    pub(super) fn read(&self, wanted: &Wanted) -> Option<Fetched> {
        match self.look(wanted) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn Error,
                    "failed to read the cache: it is fetched anew"
                );
                None
            }
        }
    }

    fn look(&self, wanted: &Wanted) -> Result<Option<Fetched>, StoreError> {
        let Some(dir) = Dir::open_if_there(&self.folder)? else {
            return Ok(None);
        };
        let Some(record) = dir.read(&record_name(wanted), "a cached record", METADATA_BYTES_MAX)? else {
            return Ok(None);
        };
        let Some(bytes) = dir.read(
            &artifact_name(&wanted.digest),
            "a cached artifact",
            ARTIFACT_BYTES_MAX,
        )?
        else {
            return Ok(None);
        };
        let metadata = VersionMetadata::read(&record, &wanted.model, &wanted.version).ok();
        let found = metadata.filter(|_| Digest::of(&bytes) == wanted.digest);
        let found = found.filter(|metadata| metadata.artifact.digest == wanted.digest);
        if found.is_none() {
            tracing::warn!(digest = %wanted.digest, "what the cache holds is damaged: it is fetched anew");
        }
        // What makes no sense is asked for anew, once anybody needs it.
        let signed = dir
            .read(&signed_name(wanted), "cached signatures", ANSWER_BYTES_MAX)
            .unwrap_or_default()
            .and_then(|kept| SignedVersion::read(&kept).ok());
        Ok(found.map(|metadata| Fetched {
            metadata,
            bytes,
            signed,
        }))
    }

    /// Keeps what was fetched, aside first, so that a kill leaves it whole or not at all; blocks. What does not fit is not
    /// kept, and serves all the same.
    pub(super) fn keep(&self, wanted: &Wanted, fetched: &Fetched) {
        if let Err(error) = self.write(wanted, fetched) {
            tracing::warn!(
                error = &error as &dyn Error,
                "failed to keep an artifact in the cache: the next start fetches it anew"
            );
        }
    }

    fn write(&self, wanted: &Wanted, fetched: &Fetched) -> Result<(), StoreError> {
        let Fetched {
            metadata,
            bytes,
            signed,
        } = fetched;
        let dir = Dir::ensure(&self.folder)?;
        // What a kill left, which would fill the folder start by start.
        dir.sweep(false)?;
        let record = serde_json::to_vec(metadata).expect("invariant: a record has text keys and cannot fail");
        dir.replace(&artifact_name(&wanted.digest), bytes)?;
        if let Some(signed) = signed {
            dir.replace(&signed_name(wanted), &SignedVersion::write(signed.clone()))?;
        }
        dir.replace(&record_name(wanted), &record)
    }
}

fn artifact_name(digest: &Digest) -> String {
    format!("sha256-{}.onnx", digest.hex())
}

fn signed_name(Wanted { model, version, .. }: &Wanted) -> String {
    format!("{model}.{version}.signed.json")
}

/// One digest may be that of several versions.
fn record_name(Wanted { model, version, .. }: &Wanted) -> String {
    format!("{model}.{version}.json")
}
