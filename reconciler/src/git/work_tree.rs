//! The work tree as a commit that nobody made: what `git add --all environments` and a commit would hold now.
//!
//! Files are read from the work tree; blobs, trees and the commit are kept in memory and written nowhere, neither into
//! the repository nor into its index. What Git would not add is not in it: ignored files, what is no file. No link is
//! followed, and only manifests and the data files that they name are read.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crds::parse::{FILE_BYTES_MAX, Manifest, parse_file};
use git2::{
    AttrCheckFlags, ErrorCode, Index, IndexEntry, IndexTime, ObjectType, Oid, Repository, Signature, Status,
    StatusOptions, Time,
};

use crate::source::{DATA_BYTES_MAX, ENTRIES_MAX, ENVIRONMENTS, is_manifest as is_manifest_path, join};

/// The most that is read of a work tree, in bytes.
const TOTAL_BYTES_MAX: u64 = 1 << 30;

/// What a file that Git LFS keeps elsewhere is committed as.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";

const FILE: u32 = 0o100_644;
const LINK: u32 = 0o120_000;
const SUBMODULE: u32 = 0o160_000;

/// Sizes of files that are too large to be read, by the id that stands for them.
pub(super) type Oversized = BTreeMap<Oid, u64>;

/// Makes a commit of the work tree, in memory: it can be read like any other, from this handle alone.
///
/// A repository without a work tree, or one that holds too much that is not committed, is an error.
pub(super) fn commit(repository: &Repository) -> Result<(Oid, Oversized), git2::Error> {
    Gathered::commit(repository)
}

/// The files of a work tree, as Git's index would have them.
struct Gathered<'r> {
    repository: &'r Repository,
    root: &'r Path,
    index: Index,
    oversized: Oversized,
    bytes: u64,
}

impl<'r> Gathered<'r> {
    fn commit(repository: &'r Repository) -> Result<(Oid, Oversized), git2::Error> {
        let root = repository
            .workdir()
            .ok_or_else(|| git2::Error::from_str("it has none"))?;
        // Whatever is written from here on stays in memory.
        let objects = repository.odb()?;
        objects.add_new_mempack_backend(i32::MAX)?;
        let mut gathered = Self {
            repository,
            root,
            index: Index::new()?,
            oversized: Oversized::new(),
            bytes: 0,
        };
        let mut committed = repository.index()?;
        committed.read(true)?;
        for entry in committed.iter() {
            // Of a merge that is under way, what lies in the work tree counts.
            let stage = entry.flags >> 12 & 3;
            if stage == 0 && is_below(&entry.path, ENVIRONMENTS) {
                gathered.index.add(&entry)?;
            }
        }
        let changed = changed(repository)?;
        if changed.len() > ENTRIES_MAX {
            let message = format!("more than {ENTRIES_MAX} files below {ENVIRONMENTS}/ are not committed");
            return Err(git2::Error::from_str(&message));
        }
        for path in changed {
            gathered.take(&path, is_manifest(&path))?;
        }
        for path in gathered.data_files()? {
            // Where there is none, or a folder, the manifest gets its finding.
            let status = repository.status_file(Path::new(&path));
            if status.is_ok_and(|status| status != Status::CURRENT && !status.contains(Status::IGNORED)) {
                gathered.take(path.as_bytes(), true)?;
            } else if let Some(entry) = committed.get_path(Path::new(&path), 0) {
                gathered.index.add(&entry)?;
            }
        }
        let tree = gathered.index.write_tree_to(repository)?;
        let tree = repository.find_tree(tree)?;
        let parent = match repository.head().and_then(|head| head.peel_to_commit()) {
            Ok(commit) => Some(commit),
            Err(error) if matches!(error.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => None,
            Err(error) => return Err(error),
        };
        let time = parent
            .as_ref()
            .map_or_else(|| Time::new(0, 0), git2::Commit::time);
        let nobody = Signature::new("work tree", "work-tree", &time)?;
        let parents: Vec<_> = parent.iter().collect();
        let commit = repository.commit(None, &nobody, &nobody, "the work tree", &tree, &parents)?;
        Ok((commit, gathered.oversized))
    }

    /// Takes a path as it lies in the work tree; its content only where that is asked for.
    fn take(&mut self, path: &[u8], is_read: bool) -> Result<(), git2::Error> {
        // A repository in the work tree is shown with a slash, and would be added as a submodule.
        if let Some(path) = path.strip_suffix(b"/") {
            return self.add(path, SUBMODULE, self.repository.blob(b"a submodule")?);
        }
        let relative = Path::new(OsStr::from_bytes(path));
        let file = self.root.join(relative);
        let lies_there = || -> Option<fs::Metadata> {
            let folders = relative.ancestors().skip(1);
            let mut folders = folders.map(|folder| fs::symlink_metadata(self.root.join(folder)));
            // A link to a folder is a link to Git, and nothing lies below it.
            let are_folders = folders.all(|folder| folder.is_ok_and(|folder| folder.is_dir()));
            are_folders.then(|| fs::symlink_metadata(&file).ok())?
        };
        let Some(metadata) = lies_there() else {
            return self
                .index
                .remove(relative, 0)
                .or_else(|error| match error.code() {
                    ErrorCode::NotFound => Ok(()),
                    _ => Err(error),
                });
        };
        if metadata.is_symlink() {
            let target = fs::read_link(&file).map_err(|error| failed(&file, &error))?;
            let blob = self.repository.blob(target.as_os_str().as_bytes())?;
            return self.add(path, LINK, blob);
        }
        if !metadata.is_file() {
            return Ok(());
        }
        let is_too_large = metadata.len() > largest(path);
        if !is_read || is_too_large {
            // What nobody reads is there, and no more than that is known of it.
            let stand_in = self
                .repository
                .blob(&[path, &metadata.len().to_le_bytes()].concat())?;
            if is_too_large {
                self.oversized.insert(stand_in, metadata.len());
            }
            return self.add(path, FILE, stand_in);
        }
        self.bytes += metadata.len();
        if self.bytes > TOTAL_BYTES_MAX {
            let message = format!(
                "what is not committed has more than {} MiB; commit the data, or give it by an absolute path with sha256",
                TOTAL_BYTES_MAX >> 20
            );
            return Err(git2::Error::from_str(&message));
        }
        let filter = self
            .repository
            .get_attr_bytes(relative, "filter", AttrCheckFlags::FILE_THEN_INDEX);
        let blob = if filter.is_ok_and(|filter| filter == Some(b"lfs")) {
            self.repository.blob(LFS_POINTER)?
        } else {
            // With the conversions of line ends that a commit would make.
            self.repository.blob_path(&file)?
        };
        self.add(path, FILE, blob)
    }

    fn add(&mut self, path: &[u8], mode: u32, id: Oid) -> Result<(), git2::Error> {
        let time = IndexTime::new(0, 0);
        self.index.add(&IndexEntry {
            ctime: time,
            mtime: time,
            dev: 0,
            ino: 0,
            mode,
            uid: 0,
            gid: 0,
            file_size: 0,
            id,
            flags: 0,
            flags_extended: 0,
            path: path.to_vec(),
        })
    }

    /// Lists the data files that the manifests name, as paths from the repository's root.
    fn data_files(&self) -> Result<Vec<String>, git2::Error> {
        let objects = self.repository.odb()?;
        let mut paths = Vec::new();
        for entry in self.index.iter() {
            let Ok(path) = std::str::from_utf8(&entry.path) else {
                continue;
            };
            if entry.mode == LINK || entry.mode == SUBMODULE || !is_manifest_path(path) {
                continue;
            }
            let (bytes, kind) = objects.read_header(entry.id)?;
            if kind != ObjectType::Blob || bytes as u64 > FILE_BYTES_MAX {
                continue;
            }
            let blob = self.repository.find_blob(entry.id)?;
            // What is wrong with them is told later.
            for document in parse_file(path, blob.content()).documents {
                let Manifest::Training(_, training) = document.manifest else {
                    continue;
                };
                for (relative, _sha256) in training.committed() {
                    paths.extend(join(path, &relative));
                }
            }
        }
        paths.retain(|path| !path.is_empty() && !path.contains('\0'));
        paths.sort();
        paths.dedup();
        Ok(paths)
    }
}

/// Lists the paths below `environments/` that a commit of the work tree would change.
pub(super) fn changed(repository: &Repository) -> Result<Vec<Vec<u8>>, git2::Error> {
    if repository.is_bare() {
        return Ok(Vec::new());
    }
    let mut options = StatusOptions::new();
    options
        .include_untracked(true)
        .recurse_untracked_dirs(true)
        .include_ignored(false)
        .exclude_submodules(true)
        .disable_pathspec_match(true)
        .pathspec(ENVIRONMENTS);
    let statuses = repository.statuses(Some(&mut options))?;
    Ok(statuses
        .iter()
        .filter(|entry| entry.status() != Status::CURRENT)
        .map(|entry| entry.path_bytes().to_vec())
        .collect())
}

fn is_manifest(path: &[u8]) -> bool {
    std::str::from_utf8(path).is_ok_and(is_manifest_path)
}

fn largest(path: &[u8]) -> u64 {
    if is_manifest(path) {
        FILE_BYTES_MAX
    } else {
        DATA_BYTES_MAX as u64
    }
}

fn is_below(path: &[u8], folder: &str) -> bool {
    path.strip_prefix(folder.as_bytes())
        .is_some_and(|rest| rest.starts_with(b"/"))
}

fn failed(file: &Path, error: &std::io::Error) -> git2::Error {
    git2::Error::from_str(&format!("cannot read {}: {error}", file.display()))
}
