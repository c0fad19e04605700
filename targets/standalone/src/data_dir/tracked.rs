//! Whether Git tracks anything in a folder: what it tracks, a commit's author fills.
//!
//! Git's index is what says it, for a commit that is checked out as for what is only added: a pull writes the index
//! before it moves the branch. It is read here and not by a Git library, because it is one plain file, and nothing that a
//! hostile repository holds besides must keep us from knowing.

mod index;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use index::{Hash, Match};

use super::DataDirError;

/// The largest index that is read, in bytes: that of some millions of files.
const INDEX_BYTES_MAX: u64 = 1 << 30;
/// The largest of Git's small files that is read, in bytes.
const SMALL_BYTES_MAX: u64 = 1 << 20;
/// How many characters of a tracked file's path are shown.
const SHOWN_CHARS_MAX: usize = 120;

/// The Git work trees that one folder is or lies in, and what their indexes said of it when they were last read.
#[derive(Debug, Default)]
pub(super) struct Tracked {
    folder: PathBuf,
    around: Vec<Around>,
}

#[derive(Debug)]
struct Around {
    work_tree: PathBuf,
    git_dir: PathBuf,
    /// The folder's path from the work tree.
    prefix: Vec<u8>,
    read: Option<(Stamp, Result<Option<String>, String>)>,
}

/// What changes when an index does: Git replaces it whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Tracked {
    /// Finds the work trees that a folder is or lies in. The path is absolute and has no links.
    pub(super) fn around(folder: &Path) -> Self {
        let around = folder.ancestors().filter_map(|work_tree| {
            Some(Around {
                work_tree: work_tree.to_owned(),
                git_dir: git_dir(work_tree)?,
                prefix: folder
                    .strip_prefix(work_tree)
                    .ok()?
                    .as_os_str()
                    .as_bytes()
                    .to_vec(),
                read: None,
            })
        });
        Self {
            folder: folder.to_owned(),
            around: around.collect(),
        }
    }

    /// Finds the work tree that a repository elsewhere names in its configuration, `core.worktree`, if the folder is it or
    /// lies in it: nothing around the folder tells of that. The folder's path is absolute and has no links.
    pub(super) fn of_repository(folder: &Path, repository: &Path) -> Self {
        let around = elsewhere(repository).and_then(|(git_dir, work_tree)| {
            Some(Around {
                prefix: folder
                    .strip_prefix(&work_tree)
                    .ok()?
                    .as_os_str()
                    .as_bytes()
                    .to_vec(),
                work_tree,
                git_dir,
                read: None,
            })
        });
        Self {
            folder: folder.to_owned(),
            around: around.into_iter().collect(),
        }
    }

    /// Fails if an index tracks something in the folder, or in its place, or cannot be read.
    ///
    /// Costs one `stat` per work tree while the index stays what it is.
    pub(super) fn refuse(&mut self) -> Result<(), DataDirError> {
        for around in &mut self.around {
            let found = around.look(&self.folder);
            let (path, work_tree) = (self.folder.clone(), around.work_tree.clone());
            match found {
                Ok(None) => {}
                Ok(Some(file)) => {
                    return Err(DataDirError::Tracked {
                        path,
                        work_tree,
                        inside: PathBuf::from(OsStr::from_bytes(&around.prefix)),
                        file,
                    });
                }
                Err(why) => {
                    return Err(DataDirError::IndexUnreadable { path, work_tree, why });
                }
            }
        }
        Ok(())
    }
}

impl Tracked {
    /// Returns the lock by which Git is filling a work tree around the folder right now: what its index says is older
    /// than what lies there.
    pub(super) fn checkout(&self) -> Option<PathBuf> {
        let locks = self.around.iter().map(|around| around.git_dir.join("index.lock"));
        locks.into_iter().find(|lock| fs::symlink_metadata(lock).is_ok())
    }
}

impl Around {
    fn look(&mut self, folder: &Path) -> Result<Option<String>, String> {
        let path = self.git_dir.join("index");
        // Without one nothing was ever added, or the repository went away: its index tells once it is back.
        let Ok(metadata) = fs::metadata(&path) else {
            self.read = None;
            return Ok(None);
        };
        let stamp = Stamp {
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        };
        match &self.read {
            Some((known, found)) if *known == stamp => found.clone(),
            _ => {
                let found = self.scan(&path, folder);
                self.read = Some((stamp, found.clone()));
                found
            }
        }
    }

    fn scan(&self, path: &Path, folder: &Path) -> Result<Option<String>, String> {
        let hash = self.hash();
        let mut paths = vec![path.to_owned()];
        let mut found = None;
        while let Some(path) = paths.pop() {
            let bytes = read(&path, INDEX_BYTES_MAX).map_err(|error| error.to_string())?;
            let split = index::scan(&bytes, hash, &self.prefix, &mut |name, matched| {
                if found.is_none() && self.is_meant(name, matched, folder) {
                    found = Some(shown(name));
                }
            })?;
            // A split index takes most of its entries from a second file.
            if let Some(base) = split.filter(|_| paths.is_empty()) {
                paths.push(self.git_dir.join(format!("sharedindex.{base}")));
            }
            if found.is_some() {
                break;
            }
        }
        Ok(found)
    }

    /// Says whether an entry lies in the folder. One that is spelt otherwise does where the file system takes both
    /// spellings for one.
    fn is_meant(&self, name: &[u8], matched: Match, folder: &Path) -> bool {
        if matched == Match::Exact {
            return true;
        }
        let spelt = name.get(..self.prefix.len()).unwrap_or(name);
        let spelt = self.work_tree.join(OsStr::from_bytes(spelt));
        let identity = |path: &Path| {
            let metadata = fs::symlink_metadata(path).ok()?;
            Some((metadata.dev(), metadata.ino()))
        };
        identity(&spelt).is_some_and(|spelt| Some(spelt) == identity(folder))
    }

    /// Returns which hash the repository names its objects by.
    fn hash(&self) -> Hash {
        let config = configuration(&self.git_dir).to_ascii_lowercase();
        let is_sha256 = config
            .lines()
            .filter_map(|line| line.split_once('='))
            .any(|(key, value)| key.trim() == "objectformat" && value.trim() == "sha256");
        if is_sha256 { Hash::Sha256 } else { Hash::Sha1 }
    }
}

/// Returns a repository's own configuration: that of its work tree last.
fn configuration(git_dir: &Path) -> String {
    let common = read(&git_dir.join("commondir"), SMALL_BYTES_MAX).ok();
    let common = common.map_or_else(
        || git_dir.to_owned(),
        |bytes| git_dir.join(String::from_utf8_lossy(&bytes).trim_end()),
    );
    let files = [common.join("config"), git_dir.join("config.worktree")];
    let texts = files.map(|file| read(&file, SMALL_BYTES_MAX).unwrap_or_default());
    String::from_utf8_lossy(&texts.join(&b'\n')).into_owned()
}

/// Returns the Git folder of the repository that a path lies in, and the work tree that its configuration names.
fn elsewhere(repository: &Path) -> Option<(PathBuf, PathBuf)> {
    let repository = repository.canonicalize().ok()?;
    let git_dir = repository.ancestors().find_map(|folder| {
        let is_one = folder.join("HEAD").is_file() && folder.join("objects").is_dir();
        git_dir(folder).or_else(|| is_one.then(|| folder.to_owned()))
    })?;
    let work_tree = named_work_tree(&configuration(&git_dir))?;
    // A relative one counts from the Git folder.
    let work_tree = git_dir.join(work_tree).canonicalize().ok()?;
    Some((git_dir, work_tree))
}

/// Returns what a configuration says of `core.worktree`; what it includes from other files is not looked at.
fn named_work_tree(configuration: &str) -> Option<String> {
    let mut is_core = false;
    let mut named = None;
    for line in configuration.lines().map(str::trim) {
        let mut rest = line;
        if let Some((section, after)) = line.strip_prefix('[').and_then(|line| line.split_once(']')) {
            is_core = section.trim().eq_ignore_ascii_case("core");
            rest = after.trim();
        }
        if let Some((key, value)) = rest.split_once('=')
            && is_core
            && key.trim().eq_ignore_ascii_case("worktree")
        {
            named = Some(unquoted(value.trim()));
        }
    }
    named
}

/// Takes a value out of its quotes, and what is escaped in it.
fn unquoted(value: &str) -> String {
    let mut text = String::new();
    let mut characters = value.chars();
    let mut is_quoted = false;
    while let Some(character) = characters.next() {
        match character {
            '"' => is_quoted = !is_quoted,
            '\\' => text.extend(characters.next()),
            '#' | ';' if !is_quoted => break,
            other => text.push(other),
        }
    }
    if is_quoted {
        text
    } else {
        text.trim_end().to_owned()
    }
}

/// Returns the folder in which Git keeps what it knows of a work tree; `None` where there is no work tree.
fn git_dir(work_tree: &Path) -> Option<PathBuf> {
    let git = work_tree.join(".git");
    let metadata = fs::metadata(&git).ok()?;
    if metadata.is_dir() {
        return Some(git);
    }
    // A submodule's, or that of a further work tree of one repository.
    let text = read(&git, SMALL_BYTES_MAX).ok()?;
    let text = text.strip_prefix(b"gitdir:")?;
    Some(work_tree.join(OsStr::from_bytes(text.trim_ascii())))
}

fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    if metadata.len() > bytes_max {
        return Err(io::Error::other(format!("it has more than {bytes_max} bytes")));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    File::open(path)?.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Cuts a path to what fits a line, and takes out what would steer a terminal.
fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let mut shown: String = text
        .chars()
        .take(SHOWN_CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}
