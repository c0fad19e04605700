//! The files in it: whole paths of known names, each opened anew through no link.

use std::io;
use std::path::{Path, PathBuf};

use registry::StoreError;
use registry::files::{Dir, Stamp};

use super::DataDirError;

/// What a file of it is, where it is too large.
pub(super) const FILE: &str = "a file of the data directory";

/// A file in a folder of a folder of the data directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FilePath {
    root: PathBuf,
    folders: [String; 2],
    name: String,
}

impl FilePath {
    pub(crate) fn new(root: &Path, folders: [&str; 2], name: String) -> Self {
        Self {
            root: root.to_owned(),
            folders: folders.map(str::to_owned),
            name,
        }
    }

    /// Returns the whole path, to be shown.
    pub(crate) fn path(&self) -> PathBuf {
        let [outer, inner] = &self.folders;
        self.root.join(outer).join(inner).join(&self.name)
    }

    fn dir(&self) -> io::Result<Option<Dir>> {
        let [outer, inner] = &self.folders;
        folder(&self.root, &[outer, inner])
    }

    /// Writes the file so that a reader, and a restart after a kill, finds the old content or the new one. Makes its
    /// folder. Not synced: whoever must not lose it in a power loss does that, or has it done by
    /// [`DataDir::sync_later`].
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut dir = Dir::open(&self.root).map_err(plain)?;
        for folder in &self.folders {
            dir = dir.make_dir(folder).map_err(plain)?;
        }
        dir.replace_unsynced(&self.name, bytes).map_err(plain)
    }

    /// Removes the file for good; one that is not there is removed already.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let Some(dir) = self.dir()? else {
            return Ok(());
        };
        if dir.kind(&self.name).map_err(plain)?.is_some() {
            dir.remove(&self.name).and_then(|()| dir.sync()).map_err(plain)?;
        }
        Ok(())
    }

    /// Reads a file of at most `bytes_max` bytes; `None` where there is none.
    pub(crate) fn read(&self, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(dir) = self.dir()? else {
            return Ok(None);
        };
        dir.read(&self.name, FILE, bytes_max).map_err(plain)
    }

    /// Returns what tells the file from another one; `None` where there is none.
    pub(crate) fn stamp(&self) -> io::Result<Option<Stamp>> {
        match self.dir()? {
            Some(dir) => dir.stamp(&self.name).map_err(plain),
            None => Ok(None),
        }
    }

    /// Makes its bytes and its name survive a power loss; one that was removed meanwhile needs none.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let Some(dir) = self.dir()? else {
            return Ok(());
        };
        if let Some(opened) = dir.file(&self.name).map_err(plain)? {
            opened.file.sync_all()?;
        }
        dir.sync().map_err(plain)
    }

    /// Asks the file system that holds its folder to sync all that it has.
    pub(crate) fn sync_file_system(&self) -> io::Result<()> {
        match self.dir()? {
            Some(dir) => dir.sync_file_system().map_err(plain),
            None => Ok(()),
        }
    }
}

/// The folder of one kind, held open to read much of it at once.
#[derive(Debug)]
pub(crate) struct KindFolder {
    pub(super) path: PathBuf,
    /// Absent where there is no such folder.
    pub(super) dir: Option<Dir>,
}

impl KindFolder {
    /// Returns a file's path, to be shown.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Lists what is in it, sorted.
    pub(crate) fn names(&self) -> Result<Vec<String>, DataDirError> {
        match &self.dir {
            Some(dir) => dir.names().map_err(DataDirError::store("read", &self.path)),
            None => Ok(Vec::new()),
        }
    }

    /// Reads a file of at most `bytes_max` bytes; `None` where there is none.
    pub(crate) fn read(&self, name: &str, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        match &self.dir {
            Some(dir) => dir.read(name, FILE, bytes_max).map_err(plain),
            None => Ok(None),
        }
    }

    /// Removes a file; one that cannot be removed is met again at the next start.
    pub(crate) fn discard(&self, name: &str) {
        if let Some(dir) = &self.dir {
            let _left = dir.remove(name);
        }
    }
}

/// Opens a folder below the data directory; `None` where there is none.
pub(crate) fn folder(root: &Path, names: &[&str]) -> io::Result<Option<Dir>> {
    let mut dir = Dir::open_if_there(root).map_err(plain)?;
    for name in names {
        dir = match dir {
            Some(dir) => dir.dir(name).map_err(plain)?,
            None => return Ok(None),
        };
    }
    Ok(dir)
}

/// Takes what the operating system said out of an error that names its own path, for those who name it themselves.
pub(crate) fn plain(error: StoreError) -> io::Error {
    match error {
        StoreError::Io { error, .. } => error,
        error => io::Error::from(error),
    }
}
