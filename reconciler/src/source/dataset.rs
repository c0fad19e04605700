//! Data files of a commit: what a training job's relative path stands for.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Component, Path};

use planner::names::{Digest, Revision};

use super::client::{Exchange, Next};
use super::hash::GitHash;
use super::protocol::{FoundFolder, GitError, NoDataFile, Request};
use super::{DATA_BYTES_MAX, Source, SourceError};

/// So much of a manifest is read: more than one may have.
const MANIFEST_BYTES_MAX: usize = 2 << 20;

/// How many paths are asked for at a time.
const BATCH: usize = 4_096;

/// One data file of a commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataFile {
    /// Its path from the repository's root.
    pub path: String,
    id: GitHash,
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
    root: GitHash,
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
        let Some(path) = join(manifest, relative) else {
            return Ok(Err(DataFileError::Outside(relative.to_owned())));
        };
        let whole = Request::Folder {
            commit: self.hash(revision)?,
            path: String::new(),
        };
        match self.ask::<Option<FoundFolder>>(&whole)? {
            Some(FoundFolder { root, .. }) => self.data_files(root).find(&path),
            None => Ok(Err(DataFileError::Missing(path))),
        }
    }

    /// Opens a commit's whole tree for finding data files.
    pub(crate) fn data_files(&self, root: GitHash) -> DataFiles<'_> {
        DataFiles {
            source: self,
            root,
            found: HashMap::new(),
        }
    }

    /// Returns the SHA-256 of a data file's content.
    pub fn data_digest(&self, file: &DataFile) -> Result<Digest, SourceError> {
        let DataFile { path, id } = file.clone();
        self.ask(&Request::DataDigest { file: id, path })
    }

    /// Gives a data file's content to `use_it`, which reads it piece by piece; it is never held as a whole here.
    pub fn with_data<R>(
        &self,
        file: &DataFile,
        use_it: impl FnOnce(&mut dyn Read) -> R,
    ) -> Result<R, SourceError> {
        let DataFile { path, id } = file.clone();
        let mut client = self.client();
        let exchange = client
            .exchange(&Request::Data { file: id, path })
            .map_err(|error| self.explain(error))?;
        let mut content = Content {
            exchange,
            piece: Vec::new(),
            at: 0,
            is_over: false,
            error: None,
        };
        let used = use_it(&mut content);
        match content.error.take() {
            Some(error) => Err(self.explain(error)),
            None => Ok(used),
        }
    }

    /// Returns the first bytes of a data file, at most so many.
    pub fn data_head(&self, file: &DataFile, bytes_max: usize) -> Result<Vec<u8>, SourceError> {
        self.with_data(file, |content| {
            let mut bytes = Vec::new();
            let most = u64::try_from(bytes_max).unwrap_or(u64::MAX);
            // What fails is told by whoever gives the content; an answer is read to its end.
            let _read = content.take(most).read_to_end(&mut bytes);
            let _rest = io::copy(content, &mut io::sink());
            bytes
        })
    }

    /// Reads a manifest of a commit; nothing where there is no such file.
    pub fn manifest(&self, revision: &Revision, path: &str) -> Result<Vec<u8>, SourceError> {
        let name = path.rsplit('/').next().unwrap_or(path);
        match self.data_file(revision, path, name)? {
            Ok(file) => self.data_head(&file, MANIFEST_BYTES_MAX),
            Err(_none) => Ok(Vec::new()),
        }
    }

    /// Returns those of the paths, all from the repository's root, at which two commits hold different things.
    pub(crate) fn moved_data<'p>(
        &self,
        old: GitHash,
        new: GitHash,
        paths: impl Iterator<Item = &'p str>,
    ) -> Result<Vec<&'p str>, SourceError> {
        let mut moved = Vec::new();
        if old == new {
            return Ok(moved);
        }
        let paths: Vec<&str> = paths.collect();
        for paths in paths.chunks(BATCH) {
            let request = Request::MovedData {
                old,
                new,
                paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            };
            let positions: Vec<usize> = self.ask(&request)?;
            moved.extend(positions.into_iter().filter_map(|at| paths.get(at).copied()));
        }
        Ok(moved)
    }
}

impl DataFiles<'_> {
    /// Looks for many data files at once, by their paths from the repository's root.
    pub(crate) fn look_for(&mut self, paths: impl IntoIterator<Item = String>) -> Result<(), SourceError> {
        let mut unknown: Vec<String> = paths
            .into_iter()
            .filter(|path| !self.found.contains_key(path))
            .collect();
        unknown.sort_unstable();
        unknown.dedup();
        for paths in unknown.chunks(BATCH) {
            let request = Request::DataFiles {
                root: self.root,
                paths: paths.to_vec(),
            };
            let found: Vec<Result<GitHash, NoDataFile>> = self.source.ask(&request)?;
            for (path, found) in paths.iter().zip(found) {
                let path = path.clone();
                let found = match found {
                    Ok(id) => Ok(DataFile {
                        path: path.clone(),
                        id,
                    }),
                    Err(why) => Err(error(path.clone(), &why)),
                };
                self.found.insert(path, found);
            }
        }
        Ok(())
    }

    /// Finds the data file at a path from the repository's root.
    pub(crate) fn find(&mut self, path: &str) -> Result<Result<DataFile, DataFileError>, SourceError> {
        self.look_for([path.to_owned()])?;
        let missing = || Err(DataFileError::Missing(path.to_owned()));
        Ok(self.found.get(path).cloned().unwrap_or_else(missing))
    }
}

fn error(path: String, why: &NoDataFile) -> DataFileError {
    let what = match why {
        NoDataFile::Missing => return DataFileError::Missing(path),
        NoDataFile::LfsPointer => return DataFileError::LfsPointer(path),
        NoDataFile::TooLarge(bytes) => return DataFileError::TooLarge { path, bytes: *bytes },
        NoDataFile::Link => "a symbolic link",
        NoDataFile::Folder => "a folder",
        NoDataFile::Submodule => "a submodule",
        NoDataFile::OtherMode => "of a mode that Git gives to no file",
    };
    DataFileError::NotAFile { path, what }
}

/// A data file on its way.
struct Content<'a> {
    exchange: Exchange<'a>,
    piece: Vec<u8>,
    at: usize,
    is_over: bool,
    error: Option<GitError>,
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() && !self.is_over {
            match self.exchange.next::<()>() {
                Ok(Next::Part(piece)) => (self.piece, self.at) = (piece, 0),
                Ok(Next::Done(())) => self.is_over = true,
                Err(error) => {
                    self.is_over = true;
                    self.error = Some(error);
                }
            }
        }
        if self.error.is_some() {
            return Err(io::Error::other("the data file could not be read from Git"));
        }
        let rest = &self.piece[self.at..];
        let bytes = rest.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&rest[..bytes]);
        self.at += bytes;
        Ok(bytes)
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
