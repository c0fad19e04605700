//! Data files of a commit: what a training job's relative path stands for.

use std::path::{Component, Path};

use git2::{FileMode, ObjectType, Oid};
use planner::names::{Digest, Revision};

use super::{Source, SourceError, oid_of};

/// The largest data file, in bytes.
const DATA_BYTES_MAX: usize = 512 * 1024 * 1024;

/// One data file of a commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataFile {
    /// Its path from the repository's root.
    pub path: String,
    id: Oid,
}

/// Why a path of a manifest is no data file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DataFileError {
    /// Nothing lies there.
    #[error("{0} is not in the commit; commit it, with a path relative to the manifest's folder")]
    Missing(String),
    /// The path leads out of the repository.
    #[error("{0} leads out of the repository; a relative path names a file of the same commit")]
    Outside(String),
    /// A link, a folder or a submodule lies there.
    #[error("{path} is {what}; commit the file itself")]
    NotAFile {
        /// The path from the repository's root.
        path: String,
        /// What it is.
        what: &'static str,
    },
    /// A Git LFS pointer lies there.
    #[error(
        "{0} is a Git LFS pointer, whose content is not in the commit; commit the file itself, or give an absolute path with sha256"
    )]
    LfsPointer(String),
    /// It is too large.
    #[error(
        "{path} has {bytes} bytes, more than {DATA_BYTES_MAX}; give an absolute path with sha256 instead"
    )]
    TooLarge {
        /// The path from the repository's root.
        path: String,
        /// Its size.
        bytes: usize,
    },
}

impl Source {
    /// Finds the data file that a manifest names by a path relative to its own folder.
    pub fn data_file(
        &self,
        revision: &Revision,
        manifest: &str,
        relative: &str,
    ) -> Result<Result<DataFile, DataFileError>, SourceError> {
        let Some(path) = join(manifest, relative) else {
            return Ok(Err(DataFileError::Outside(relative.to_owned())));
        };
        let unreadable = |error: &git2::Error| self.unreadable(path.as_str(), error);
        let tree = oid_of(revision)
            .and_then(|id| self.repository.find_commit(id))
            .and_then(|commit| commit.tree())
            .map_err(|error| unreadable(&error))?;
        let entry = match tree.get_path(Path::new(&path)) {
            Ok(entry) => entry,
            Err(error) if error.code() == git2::ErrorCode::NotFound => {
                return Ok(Err(DataFileError::Missing(path)));
            }
            Err(error) => return Err(unreadable(&error)),
        };
        let what = if entry.filemode() == i32::from(FileMode::Link) {
            Some("a symbolic link")
        } else {
            match entry.kind() {
                Some(ObjectType::Blob) => None,
                Some(ObjectType::Tree) => Some("a folder"),
                Some(_) | None => Some("a submodule"),
            }
        };
        if let Some(what) = what {
            return Ok(Err(DataFileError::NotAFile { path, what }));
        }
        let (bytes, _kind) = self
            .repository
            .odb()
            .and_then(|objects| objects.read_header(entry.id()))
            .map_err(|error| unreadable(&error))?;
        if bytes > DATA_BYTES_MAX {
            return Ok(Err(DataFileError::TooLarge { path, bytes }));
        }
        if bytes < 1024 {
            let blob = self
                .repository
                .find_blob(entry.id())
                .map_err(|error| unreadable(&error))?;
            if blob
                .content()
                .starts_with(b"version https://git-lfs.github.com/spec/")
            {
                return Ok(Err(DataFileError::LfsPointer(path)));
            }
        }
        Ok(Ok(DataFile { id: entry.id(), path }))
    }

    /// Returns the SHA-256 of a data file's content.
    pub fn data_digest(&self, file: &DataFile) -> Result<Digest, SourceError> {
        self.with_data(file, Digest::of)
    }

    /// Gives a data file's content to `use_it`.
    pub fn with_data<R>(&self, file: &DataFile, use_it: impl FnOnce(&[u8]) -> R) -> Result<R, SourceError> {
        let blob = self
            .repository
            .find_blob(file.id)
            .map_err(|error| self.unreadable(&file.path, &error))?;
        Ok(use_it(blob.content()))
    }
}

/// Joins a manifest's folder and a relative path; `None` if that leads out of the repository.
fn join(manifest: &str, relative: &str) -> Option<String> {
    let mut parts: Vec<&str> = manifest.split('/').collect();
    parts.pop();
    for component in Path::new(relative).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::ParentDir => {
                parts.pop()?;
            }
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}
