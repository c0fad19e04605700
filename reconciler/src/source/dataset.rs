//! Data files of a commit: what a training job's relative path stands for.

use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path};

use git2::{FileMode, Oid, Tree};
use planner::names::{Digest, Revision};

use super::{Source, SourceError};

/// The largest data file, in bytes.
const DATA_BYTES_MAX: usize = 512 * 1024 * 1024;

/// One data file of a commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataFile {
    /// Its path from the repository's root.
    pub path: String,
    id: Oid,
}

impl DataFile {
    /// Returns what names its content: the id of its Git object.
    pub(crate) fn content(&self) -> String {
        self.id.to_string()
    }
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
        "{path} has {bytes} bytes, more than the {DATA_BYTES_MAX} (512 MiB) that a data file may have, wherever it lies; give fewer rows, only the columns that are needed, or numbers of fewer digits"
    )]
    TooLarge {
        /// The path from the repository's root.
        path: String,
        /// Its size.
        bytes: usize,
    },
}

/// Finds data files of one commit, many of them in one folder.
pub(crate) struct DataFiles<'a> {
    source: &'a Source,
    root: Tree<'a>,
    /// The folders looked into. A folder of many files is large, and none is read twice.
    folders: HashMap<String, Option<Tree<'a>>>,
    found: HashMap<String, Result<DataFile, DataFileError>>,
}

impl Source {
    /// Finds the data file that a manifest names by a path relative to its own folder.
    pub fn data_file(
        &self,
        revision: &Revision,
        manifest: &str,
        relative: &str,
    ) -> Result<Result<DataFile, DataFileError>, SourceError> {
        match join(manifest, relative) {
            Some(path) => self.data_files(self.commit(revision)?.tree_id())?.find(&path),
            None => Ok(Err(DataFileError::Outside(relative.to_owned()))),
        }
    }

    /// Opens a commit's whole tree for finding data files.
    pub(crate) fn data_files(&self, root: Oid) -> Result<DataFiles<'_>, SourceError> {
        Ok(DataFiles {
            source: self,
            root: self.tree(root, "the commit's folder")?,
            folders: HashMap::new(),
            found: HashMap::new(),
        })
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

    /// Returns those of the paths, all from the repository's root, at which two commits hold different things.
    pub(crate) fn moved_data<'p>(
        &self,
        old: Oid,
        new: Oid,
        paths: impl Iterator<Item = &'p str>,
    ) -> Result<Vec<&'p str>, SourceError> {
        let mut moved = Vec::new();
        if old == new {
            return Ok(moved);
        }
        // A path and what of it lies below the two folders. The stack is ours: a path may have any number of levels.
        let whole: Vec<(&str, &str)> = paths
            .filter(|path| !path.contains('\0'))
            .map(|path| (path, path))
            .collect();
        let mut open = vec![(old, new, whole)];
        while let Some((old, new, paths)) = open.pop() {
            let Some((first, _)) = paths.first() else { continue };
            let old = self.tree(old, first)?;
            let new = self.tree(new, first)?;
            let mut below: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
            for (path, rest) in paths {
                let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
                below.entry(name).or_default().push((path, rest));
            }
            for (name, paths) in below {
                let entry = |tree: &Tree<'_>| {
                    let entry = tree.get_name_bytes(name.as_bytes())?;
                    Some((entry.id(), entry.filemode()))
                };
                let (old, new) = (entry(&old), entry(&new));
                if old == new {
                    continue;
                }
                let folder = i32::from(FileMode::Tree);
                match (old, new) {
                    (Some((old, old_mode)), Some((new, new_mode)))
                        if old_mode == folder && new_mode == folder =>
                    {
                        let (deeper, here): (Vec<_>, Vec<_>) =
                            paths.into_iter().partition(|(_, rest)| !rest.is_empty());
                        moved.extend(here.into_iter().map(|(path, _)| path));
                        open.push((old, new, deeper));
                    }
                    (_, _) => moved.extend(paths.into_iter().map(|(path, _)| path)),
                }
            }
        }
        Ok(moved)
    }
}

impl DataFiles<'_> {
    /// Finds the data file at a path from the repository's root.
    pub(crate) fn find(&mut self, path: &str) -> Result<Result<DataFile, DataFileError>, SourceError> {
        if let Some(found) = self.found.get(path) {
            return Ok(found.clone());
        }
        // No entry's name has a NUL, and libgit2 takes none.
        let entry = if path.contains('\0') {
            None
        } else {
            self.entry(path)?
        };
        let found = match entry {
            Some((id, mode)) => self.judge(path, id, mode)?,
            None => Err(DataFileError::Missing(path.to_owned())),
        };
        self.found.insert(path.to_owned(), found.clone());
        Ok(found)
    }

    fn entry(&mut self, path: &str) -> Result<Option<(Oid, i32)>, SourceError> {
        let found = |tree: &Tree<'_>, name: &str| {
            let entry = tree.get_name_bytes(name.as_bytes())?;
            Some((entry.id(), entry.filemode()))
        };
        let Some((folder, name)) = path.rsplit_once('/') else {
            return Ok(found(&self.root, path));
        };
        if !self.folders.contains_key(folder) {
            let id = match self.root.get_path(Path::new(folder)) {
                Ok(entry) => (entry.filemode() == i32::from(FileMode::Tree)).then(|| entry.id()),
                Err(error) if error.code() == git2::ErrorCode::NotFound => None,
                Err(error) => return Err(self.source.unreadable(path, &error)),
            };
            let tree = id.map(|id| self.source.tree(id, folder)).transpose()?;
            self.folders.insert(folder.to_owned(), tree);
        }
        let tree = self.folders.get(folder).and_then(Option::as_ref);
        Ok(tree.and_then(|tree| found(tree, name)))
    }

    fn judge(&self, path: &str, id: Oid, mode: i32) -> Result<Result<DataFile, DataFileError>, SourceError> {
        let path = path.to_owned();
        let what = if mode == i32::from(FileMode::Link) {
            Some("a symbolic link")
        } else if mode == i32::from(FileMode::Tree) {
            Some("a folder")
        } else if mode == i32::from(FileMode::Commit) {
            Some("a submodule")
        } else {
            None
        };
        if let Some(what) = what {
            return Ok(Err(DataFileError::NotAFile { path, what }));
        }
        let repository = &self.source.repository;
        let unreadable = |error: &git2::Error| self.source.unreadable(path.as_str(), error);
        let (bytes, _kind) = repository
            .odb()
            .and_then(|objects| objects.read_header(id))
            .map_err(|error| unreadable(&error))?;
        if bytes > DATA_BYTES_MAX {
            return Ok(Err(DataFileError::TooLarge { path, bytes }));
        }
        if bytes < 1024 {
            let blob = repository.find_blob(id).map_err(|error| unreadable(&error))?;
            if blob
                .content()
                .starts_with(b"version https://git-lfs.github.com/spec/")
            {
                return Ok(Err(DataFileError::LfsPointer(path)));
            }
        }
        Ok(Ok(DataFile { path, id }))
    }
}

/// Joins a manifest's folder and a relative path; `None` if that leads out of the repository.
pub(crate) fn join(manifest: &str, relative: &str) -> Option<String> {
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
