//! Where an environment lies in a commit, and the content of its manifests.

use git2::{Commit, FileMode, ObjectType, Odb, Oid, Tree};
use planner::names::{EnvironmentName, Revision};

use super::{ENVIRONMENTS, Source, SourceError, oid_of};

/// An environment's folder at one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Its path from the repository's root.
    pub(crate) path: String,
    /// Its own tree.
    pub(crate) tree: Oid,
    /// The tree of the whole commit.
    pub(crate) root: Oid,
}

/// One manifest of a commit; its content is read by a [`Reader`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ManifestFile {
    /// Its path from the repository's root.
    pub(crate) path: String,
    pub(crate) id: Oid,
}

/// Reads manifests.
pub(crate) struct Reader<'a> {
    source: &'a Source,
    objects: Odb<'a>,
}

/// Says whether a path is a manifest's by its ending.
pub(super) fn is_manifest(path: &str) -> bool {
    std::path::Path::new(path)
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml")
}

impl Source {
    /// Finds an environment's folder at a commit. An environment without one is an error that names those that exist.
    pub fn folder(&self, revision: &Revision, environment: &EnvironmentName) -> Result<Folder, SourceError> {
        let path = format!("{ENVIRONMENTS}/{environment}");
        let commit = self.commit(revision)?;
        match folder_of(&commit, &path).map_err(|error| self.unreadable(path.as_str(), &error))? {
            Some(tree) => Ok(Folder {
                path,
                tree,
                root: commit.tree_id(),
            }),
            None => Err(SourceError::NoEnvironment {
                revision: revision.short().to_owned(),
                environment: environment.clone(),
                existing: self.environments(revision)?,
            }),
        }
    }

    /// Lists the folders below `environments/` at a commit, at most 100.
    pub fn environments(&self, revision: &Revision) -> Result<Vec<String>, SourceError> {
        let unreadable = |error: &git2::Error| self.unreadable(ENVIRONMENTS, error);
        let Some(id) =
            folder_of(&self.commit(revision)?, ENVIRONMENTS).map_err(|error| unreadable(&error))?
        else {
            return Ok(Vec::new());
        };
        Ok(self
            .tree(id, ENVIRONMENTS)?
            .iter()
            .filter(|entry| entry.kind() == Some(ObjectType::Tree))
            .map(|entry| String::from_utf8_lossy(entry.name_bytes()).into_owned())
            .take(100)
            .collect())
    }

    /// Lists the environments at a commit, at most 100; a folder whose name no environment can have is left out.
    pub fn environment_names(&self, revision: &Revision) -> Result<Vec<EnvironmentName>, SourceError> {
        let names = self.environments(revision)?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Opens the repository's objects for reading many manifests.
    pub(crate) fn reader(&self) -> Result<Reader<'_>, SourceError> {
        Ok(Reader {
            source: self,
            objects: self
                .repository
                .odb()
                .map_err(|error| self.unreadable("the objects", &error))?,
        })
    }

    pub(super) fn commit(&self, revision: &Revision) -> Result<Commit<'_>, SourceError> {
        oid_of(revision)
            .and_then(|id| self.repository.find_commit(id))
            .map_err(|error| self.unreadable(format!("commit {}", revision.short()), &error))
    }

    pub(super) fn tree(&self, id: Oid, path: &str) -> Result<Tree<'_>, SourceError> {
        self.repository
            .find_tree(id)
            .map_err(|error| self.unreadable(path, &error))
    }
}

impl Reader<'_> {
    /// Returns a manifest's size in bytes, without reading it.
    pub(crate) fn size(&self, file: &ManifestFile) -> Result<u64, SourceError> {
        self.objects
            .read_header(file.id)
            .map(|(bytes, _kind)| u64::try_from(bytes).unwrap_or(u64::MAX))
            .map_err(|error| self.source.unreadable(&file.path, &error))
    }

    /// Reads a manifest's content, whatever its size is.
    pub(crate) fn read(&self, file: &ManifestFile) -> Result<Vec<u8>, SourceError> {
        self.source
            .repository
            .find_blob(file.id)
            .map(|blob| blob.content().to_vec())
            .map_err(|error| self.source.unreadable(&file.path, &error))
    }
}

/// Returns the tree of a folder, if there is one at the path.
pub(super) fn folder_of(commit: &Commit<'_>, folder: &str) -> Result<Option<Oid>, git2::Error> {
    match commit.tree()?.get_path(std::path::Path::new(folder)) {
        Ok(entry) => Ok((entry.filemode() == i32::from(FileMode::Tree)).then(|| entry.id())),
        Err(error) if error.code() == git2::ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
