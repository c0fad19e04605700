//! Publishing: a version appears whole, or not at all.
//!
//! ```text
//! mkdir versions/.tmp-…   write + fsync each file   fsync the folder   rename to versions/<version>   fsync versions/
//! ```

use planner::names::Digest;

use crate::error::{Damage, StoreError};
use crate::files::Dir;
use crate::metadata::VersionMetadata;
use crate::reference::{self, Entry};
use crate::store::{METADATA_BYTES_MAX, METADATA_FILE, MODEL_FILE, Store, VERSIONS, to_json};
use crate::verify::{CHECKSUMS_FILE, format_checksums};

/// What is to be published.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Its record: names model and version, and the artifact's file, digest and size.
    pub metadata: VersionMetadata,
    /// The artifact's bytes.
    pub artifact: Vec<u8>,
}

impl Store {
    /// Publishes a version and returns its entry.
    ///
    /// A version that exists with this artifact and these inputs is left as it is and returned: a repeated run may
    /// publish again. With others it is [`StoreError::Exists`].
    pub fn publish(&self, draft: Draft) -> Result<Entry, StoreError> {
        let record = self.render(&draft)?;
        let Draft { metadata, artifact } = draft;
        let (model, version) = (&metadata.model_name, &metadata.version);
        let sums = [
            (METADATA_FILE, Digest::of(&record)),
            (MODEL_FILE, metadata.artifact.digest),
        ];
        let checksums = format_checksums(&sums);
        let list = (CHECKSUMS_FILE, Digest::of(checksums.as_bytes()));

        let _lock = self.lock_shared()?;
        let model_dir = self.ensure_model_dir(model)?;
        let versions = model_dir.make_dir(VERSIONS)?;
        if let Some(entry) = self.existing(&versions, &metadata)? {
            return Ok(entry);
        }
        let is_first = !versions.is_settled()?;
        let (temporary, dir) = versions.make_temporary_dir()?;
        let name = version.to_string();
        let written = dir
            .write_new(MODEL_FILE, &artifact)
            .and_then(|()| dir.write_new(METADATA_FILE, &record))
            .and_then(|()| dir.write_new(CHECKSUMS_FILE, checksums.as_bytes()))
            .and_then(|()| dir.sync())
            // Late, where most filesystems have taken it along with the files already.
            .and_then(|()| if is_first { model_dir.sync() } else { Ok(()) })
            .and_then(|()| versions.rename(&temporary, &name));
        if let Err(error) = versions.discard_on_error(&temporary, written) {
            // Another process may have published it since we looked; a folder that is not empty is never renamed over.
            return match self.existing(&versions, &metadata)? {
                Some(entry) => Ok(entry),
                None => Err(error),
            };
        }
        versions.sync()?;
        Ok(Entry {
            model: model.clone(),
            version: version.clone(),
            digest: metadata.artifact.digest,
            metadata,
            files: sums
                .into_iter()
                .chain([list])
                .map(|(name, digest)| (name.to_owned(), digest))
                .collect(),
            dir: versions.path().join(name),
        })
    }

    /// Renders the record, and refuses one that contradicts its artifact or would not be read back.
    fn render(&self, draft: &Draft) -> Result<Vec<u8>, StoreError> {
        let Draft { metadata, artifact } = draft;
        let (model, version) = (&metadata.model_name, &metadata.version);
        let refused = |why: String| StoreError::Draft {
            model: model.clone(),
            version: version.clone(),
            why,
        };
        let digest = Digest::of(artifact);
        let stated = &metadata.artifact;
        if stated.digest != digest || stated.bytes != artifact.len() as u64 {
            return Err(refused(format!(
                "its metadata says {} in {} bytes, and the artifact has {digest} in {}",
                stated.digest,
                stated.bytes,
                artifact.len()
            )));
        }
        if artifact.len() as u64 > self.artifact_bytes_max() {
            return Err(refused(format!(
                "an artifact has at most {} bytes",
                self.artifact_bytes_max()
            )));
        }
        let record = to_json(metadata);
        if record.len() as u64 > METADATA_BYTES_MAX {
            return Err(refused(format!(
                "its metadata has more than {METADATA_BYTES_MAX} bytes"
            )));
        }
        match VersionMetadata::read(&record, model, version) {
            Ok(read) if read == *metadata => Ok(record),
            Ok(_) => Err(refused("its metadata reads back as something else".to_owned())),
            Err(damage) => Err(refused(format!("{damage} (is a number not finite?)"))),
        }
    }

    fn existing(&self, versions: &Dir, metadata: &VersionMetadata) -> Result<Option<Entry>, StoreError> {
        let (model, version) = (&metadata.model_name, &metadata.version);
        if versions.kind(&version.to_string())?.is_none() {
            return Ok(None);
        }
        let there = match self.check(versions, model, version) {
            Ok(there) => there,
            Err(Damage::Unreadable(error)) => return Err(*error),
            Err(damage) => {
                return Err(StoreError::Damaged {
                    model: model.clone(),
                    version: version.clone(),
                    damage,
                });
            }
        };
        if there.artifact.digest == metadata.artifact.digest && there.inputs_hash == metadata.inputs_hash {
            return reference::entry(versions, model, version);
        }
        Err(StoreError::Exists {
            model: model.clone(),
            version: version.clone(),
            there: there.artifact.digest,
            given: metadata.artifact.digest,
        })
    }
}
