//! Data files of a commit.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read as _};

use git2::ObjectType;
use planner::names::Digest;
use sha2::Digest as _;

use super::Failure;
use super::commits::entry;
use super::entries::EntryKind;
use super::repository::{Opened, oid};
use crate::source::DATA_BYTES_MAX;
use crate::source::hash::GitHash;
use crate::source::protocol::{CHUNK_BYTES, GitError, NoDataFile};

/// What a Git LFS pointer begins with.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Finds data files by their paths from the repository's root.
pub(super) fn find(
    opened: &Opened,
    root: GitHash,
    paths: &[String],
) -> Result<Vec<Result<GitHash, NoDataFile>>, GitError> {
    // A folder of many files is large, and none is looked up twice.
    let mut folders: HashMap<&str, Option<git2::Tree<'_>>> = HashMap::new();
    let mut found = Vec::with_capacity(paths.len());
    for path in paths {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        if !folders.contains_key(folder) {
            let id = opened.folder_in(root, folder)?;
            folders.insert(folder, id.map(|id| opened.tree(id, folder)).transpose()?);
        }
        let tree = folders.get(folder).and_then(Option::as_ref);
        found.push(match tree.and_then(|tree| entry(tree, name)) {
            None => Err(NoDataFile::Missing),
            Some((_, EntryKind::Link)) => Err(NoDataFile::Link),
            Some((_, EntryKind::Folder)) => Err(NoDataFile::Folder),
            Some((_, EntryKind::Submodule)) => Err(NoDataFile::Submodule),
            Some((_, EntryKind::Other(_))) => Err(NoDataFile::OtherMode),
            Some((id, EntryKind::File)) => judge(opened, path, id)?,
        });
    }
    Ok(found)
}

fn judge(opened: &Opened, path: &str, id: GitHash) -> Result<Result<GitHash, NoDataFile>, GitError> {
    let unreadable = |error: &git2::Error| opened.unreadable(path, error);
    let objects = opened.repository.odb().map_err(|error| unreadable(&error))?;
    if let Some(bytes) = opened.oversized.get(&oid(id)) {
        return Ok(Err(NoDataFile::TooLarge(
            usize::try_from(*bytes).unwrap_or(usize::MAX),
        )));
    }
    let (bytes, _kind) = objects.read_header(oid(id)).map_err(|error| unreadable(&error))?;
    if bytes > DATA_BYTES_MAX {
        return Ok(Err(NoDataFile::TooLarge(bytes)));
    }
    if bytes < 1024 {
        let content = objects.read(oid(id)).map_err(|error| unreadable(&error))?;
        if content.data().starts_with(LFS_POINTER) {
            return Ok(Err(NoDataFile::LfsPointer));
        }
    }
    Ok(Ok(id))
}

/// Returns the positions of those paths at which two commits hold different things.
pub(super) fn moved(
    opened: &Opened,
    old: GitHash,
    new: GitHash,
    paths: &[String],
) -> Result<Vec<usize>, GitError> {
    let mut moved = Vec::new();
    if old == new || paths.is_empty() {
        return Ok(moved);
    }
    // A path's position and what of it lies below the two folders. The stack is ours: a path may have any number of
    // levels.
    let whole: Vec<(usize, &str)> = paths.iter().map(String::as_str).enumerate().collect();
    let mut open = vec![(old, new, whole)];
    while let Some((old, new, paths)) = open.pop() {
        let Some((_, first)) = paths.first() else { continue };
        let old = opened.tree(old, first)?;
        let new = opened.tree(new, first)?;
        let mut below: BTreeMap<&str, Vec<(usize, &str)>> = BTreeMap::new();
        for (at, rest) in paths {
            let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
            below.entry(name).or_default().push((at, rest));
        }
        for (name, paths) in below {
            let (old, new) = (entry(&old, name), entry(&new, name));
            if old == new {
                continue;
            }
            let (deeper, here): (Vec<_>, Vec<_>) = paths.into_iter().partition(|(_, rest)| !rest.is_empty());
            moved.extend(here.into_iter().map(|(at, _)| at));
            match (old, new) {
                (Some((old, EntryKind::Folder)), Some((new, EntryKind::Folder))) => {
                    open.push((old, new, deeper));
                }
                // In place of the other folder nothing lies below: what this one has came or went.
                (Some((folder, EntryKind::Folder)), _) | (_, Some((folder, EntryKind::Folder))) => {
                    for (at, rest) in deeper {
                        if is_there(opened, folder, rest)? {
                            moved.push(at);
                        }
                    }
                }
                (_, _) => {}
            }
        }
    }
    moved.sort_unstable();
    Ok(moved)
}

/// Says whether anything lies at a path below a folder.
fn is_there(opened: &Opened, folder: GitHash, path: &str) -> Result<bool, GitError> {
    let (inside, name) = path.rsplit_once('/').unwrap_or(("", path));
    let Some(folder) = opened.folder_in(folder, inside)? else {
        return Ok(false);
    };
    Ok(entry(&opened.tree(folder, path)?, name).is_some())
}

/// Hashes a data file.
pub(super) fn digest(opened: &Opened, file: GitHash, path: &str) -> Result<Digest, Failure> {
    let mut hasher = sha2::Sha256::new();
    read(opened, file, path, &mut |chunk| {
        hasher.update(chunk);
        Ok(())
    })?;
    Ok(Digest::from_bytes(hasher.finalize().into()))
}

/// Gives a data file's content to `take`, piece by piece: from a loose object it is never held as a whole.
pub(super) fn read(
    opened: &Opened,
    file: GitHash,
    path: &str,
    take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), Failure> {
    let unreadable = |error: &git2::Error| opened.unreadable(path, error);
    let no_file = || unreadable(&git2::Error::from_str("its object is no file"));
    let objects = opened.repository.odb().map_err(|error| unreadable(&error))?;
    // Only loose objects can be read in pieces.
    if let Ok((mut reader, bytes, kind)) = objects.reader(oid(file)) {
        if kind != ObjectType::Blob {
            return Err(no_file().into());
        }
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut left = bytes.min(DATA_BYTES_MAX);
        while left > 0 {
            let wanted = left.min(CHUNK_BYTES);
            let got = reader.read(&mut buffer[..wanted]).unwrap_or(0);
            if got == 0 {
                return Err(unreadable(&git2::Error::from_str("the object ends too early")).into());
            }
            left -= got;
            take(&buffer[..got])?;
        }
        return Ok(());
    }
    let object = objects.read(oid(file)).map_err(|error| unreadable(&error))?;
    if object.kind() != ObjectType::Blob {
        return Err(no_file().into());
    }
    object.data().chunks(CHUNK_BYTES).try_for_each(take)?;
    Ok(())
}
