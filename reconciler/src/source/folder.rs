//! Where an environment lies in a commit, and the content of its manifests.

use planner::names::{EnvironmentName, Revision};

use super::client::Next;
use super::hash::GitHash;
use super::protocol::{FoundFolder, ManifestFile, ManifestPart, Request};
use super::{ENVIRONMENTS, Source, SourceError};

/// How many files are asked for at a time.
const BATCH: usize = 4_096;

/// An environment's folder at one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Its path from the repository's root.
    pub(crate) path: String,
    /// Its own tree.
    pub(crate) tree: GitHash,
    /// The tree of the whole commit.
    pub(crate) root: GitHash,
}

impl Source {
    /// Finds an environment's folder at a commit. An environment without one is an error that names those that exist.
    pub fn folder(&self, revision: &Revision, environment: &EnvironmentName) -> Result<Folder, SourceError> {
        let path = format!("{ENVIRONMENTS}/{environment}");
        let request = Request::Folder {
            commit: self.hash(revision)?,
            path: path.clone(),
        };
        let found: Option<FoundFolder> = self.ask(&request).map_err(|error| error.for_commit(revision))?;
        match found {
            Some(FoundFolder { tree, root }) => Ok(Folder { path, tree, root }),
            None => Err(SourceError::NoEnvironment {
                revision: revision.short().to_owned(),
                environment: environment.clone(),
                existing: self.environments(revision)?,
            }),
        }
    }

    /// Lists the folders below `environments/` at a commit, at most 100.
    pub fn environments(&self, revision: &Revision) -> Result<Vec<String>, SourceError> {
        let request = Request::Folders {
            commit: self.hash(revision)?,
            path: ENVIRONMENTS.to_owned(),
        };
        self.ask(&request).map_err(|error| error.for_commit(revision))
    }

    /// Lists the environments at a commit, at most 100; a folder whose name no environment can have is left out.
    pub fn environment_names(&self, revision: &Revision) -> Result<Vec<EnvironmentName>, SourceError> {
        let names = self.environments(revision)?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Reads manifests in their order: `take` is given each one's position and content, or why it has none: it is larger
    /// than `file_bytes_max`, or makes all of them larger than `bytes_max`.
    pub(crate) fn manifests(
        &self,
        files: &[ManifestFile],
        file_bytes_max: u64,
        bytes_max: u64,
        take: &mut dyn FnMut(usize, ManifestPart),
    ) -> Result<(), SourceError> {
        let mut read = Read {
            source: self,
            file_bytes_max,
            bytes_left: bytes_max,
            at: 0,
            take,
        };
        for batch in files.chunks(BATCH) {
            let before = read.at;
            let Err(error) = read.batch(batch) else { continue };
            // Which one it was is found out one by one, where the answer does not say it.
            if batch.len() > 1 && error.is_of_objects() {
                for file in &batch[read.at - before..] {
                    read.batch(std::slice::from_ref(file))?;
                }
            } else {
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Manifests on their way.
struct Read<'a> {
    source: &'a Source,
    file_bytes_max: u64,
    bytes_left: u64,
    /// How many were read.
    at: usize,
    take: &'a mut dyn FnMut(usize, ManifestPart),
}

impl Read<'_> {
    fn batch(&mut self, files: &[ManifestFile]) -> Result<(), SourceError> {
        let request = Request::Manifests {
            files: files.iter().map(|file| file.id).collect(),
            file_bytes_max: self.file_bytes_max,
            bytes_max: self.bytes_left,
        };
        let before = self.at;
        let mut client = self.source.client();
        let read = (|| {
            let mut exchange = client.exchange(&request)?;
            while let Next::Part(bytes) = exchange.next::<()>()? {
                let part = ManifestPart::read(bytes).map_err(|error| exchange.unclear(error))?;
                if let ManifestPart::Content(content) = &part {
                    let bytes = u64::try_from(content.len()).unwrap_or(u64::MAX);
                    self.bytes_left = self.bytes_left.saturating_sub(bytes);
                }
                (self.take)(self.at, part);
                self.at += 1;
            }
            Ok(())
        })();
        drop(client);
        read.map_err(|error| {
            let mut error = self.source.explain(error);
            if let (SourceError::Unreadable { what, .. }, Some(file)) =
                (&mut error, files.get(self.at - before))
            {
                what.clone_from(&file.path);
            }
            error
        })
    }
}
