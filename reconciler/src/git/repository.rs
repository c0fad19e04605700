//! The repository: opened, and opened again where that gives back what it holds.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use git2::{ErrorClass, ErrorCode, ObjectType, Oid, Repository, Status, StatusOptions};

use super::branch;
use super::work_tree::{self, Oversized};
use crate::source::hash::GitHash;
use crate::source::protocol::{Cause, GitError, Newest, Opened as Known};
use crate::source::{HEAD, is_manifest};

/// What more the process may have resident than when it opened the repository before it asks to be replaced, in bytes:
/// what it has unpacked, and packs as far as they were read, only grow.
const GROWN_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// After how many looks at the branch's newest commit the memory is looked at.
const LOOKS: u32 = 64;

/// What is being read.
#[derive(Default)]
pub(super) struct Server {
    opened: Option<Opened>,
    looks: u32,
    /// What was resident when the repository was opened.
    resident_bytes: Option<u64>,
}

/// A repository that is open.
pub(super) struct Opened {
    pub(super) repository: Repository,
    /// What was asked for.
    path: PathBuf,
    known: Known,
    /// When packs last came or went, as far as is known.
    packs: Option<SystemTime>,
    /// The trees that are not too large to be read.
    pub(super) trees: RefCell<HashSet<GitHash>>,
    /// Files of the work tree that are too large to be read.
    pub(super) oversized: Oversized,
}

impl Server {
    pub(super) fn opened(&self) -> Result<&Opened, GitError> {
        self.opened.as_ref().ok_or_else(|| GitError::Unreadable {
            what: "the repository".to_owned(),
            message: "it is not open".to_owned(),
            cause: Cause::Crashed,
        })
    }

    /// Opens the repository that a path lies in, or the one that it was found in before.
    pub(super) fn open(&mut self, path: &[u8], known: Option<Known>) -> Result<Known, GitError> {
        self.opened = None;
        let path = Path::new(OsStr::from_bytes(path));
        let opened = match known {
            // Looking upwards from the path could find another one around it.
            Some(known) => Opened::again(path, known)?,
            None => Opened::discover(path)?,
        };
        let known = self.opened.insert(opened).known.clone();
        self.resident_bytes = resident_bytes();
        Ok(known)
    }

    /// Says whether the process has grown; looked at now and then.
    fn is_large(&mut self) -> bool {
        self.looks += 1;
        if !self.looks.is_multiple_of(LOOKS) {
            return false;
        }
        let grown = resident_bytes().zip(self.resident_bytes);
        grown.is_some_and(|(now, before)| now > before + GROWN_BYTES_MAX)
    }

    /// Makes a commit of the work tree.
    pub(super) fn work_tree(&mut self) -> Result<GitHash, GitError> {
        let opened = self.opened.as_mut().ok_or(GitError::NotARepository)?;
        let made = work_tree::commit(&opened.repository);
        let (commit, oversized) = made.map_err(|error| opened.unreadable("the work tree", &error))?;
        opened.oversized = oversized;
        Ok(hash(commit))
    }

    /// Resolves a branch's newest commit: one small file read, no walk.
    pub(super) fn head(&mut self, branch: &str) -> Result<Newest, GitError> {
        let is_large = self.is_large();
        let opened = self.opened.as_mut().ok_or(GitError::NotARepository)?;
        let before = opened.known.clone();
        opened.follow_path(branch == HEAD);
        if opened.packs != packs(&opened.repository) {
            // Packs that are gone would stay open until the repository is closed.
            *opened = Opened::again(&opened.path, opened.known.clone())?;
        }
        let commit = match opened.newest(branch) {
            Ok(id) => id,
            Err(_stale) => {
                *opened = Opened::again(&opened.path, opened.known.clone())?;
                let resolved = opened.newest(branch);
                resolved.map_err(|error| opened.without_commit(branch, &error))?
            }
        };
        Ok(Newest {
            commit: hash(commit),
            moved: (opened.known != before).then(|| opened.known.clone()),
            is_large,
        })
    }
}

impl Opened {
    /// Opens the repository that a path lies in.
    fn discover(path: &Path) -> Result<Self, GitError> {
        let repository = Repository::discover(path).map_err(|error| unopened(path, &error))?;
        let real_path = path.canonicalize().unwrap_or_else(|_gone| path.to_owned());
        let folder = repository.workdir().unwrap_or(repository.path());
        let folder = folder.canonicalize().unwrap_or_else(|_gone| folder.to_owned());
        let known = Known {
            git_dir: repository.path().as_os_str().as_bytes().to_vec(),
            place: real_path
                .strip_prefix(folder)
                .ok()
                .map(|place| place.as_os_str().as_bytes().to_vec()),
            real_path: real_path.as_os_str().as_bytes().to_vec(),
        };
        Ok(Self::of(repository, path, known))
    }

    /// Opens the repository that was found before, or the one that has its place by now.
    fn again(path: &Path, known: Known) -> Result<Self, GitError> {
        let git_dir = Path::new(OsStr::from_bytes(&known.git_dir));
        match Repository::open(git_dir) {
            Ok(repository) => Ok(Self::of(repository, path, known)),
            Err(error) => Self::in_place_of(path, &known).ok_or_else(|| unopened(path, &error)),
        }
    }

    /// Opens the repository that a path leads to now, if it leads to the same place in it: a link's own folder, or one
    /// around a repository that is gone, may lie in another repository, which was not meant.
    fn in_place_of(path: &Path, known: &Known) -> Option<Self> {
        // A path that leads nowhere is told of by what cannot be read there.
        let other = Self::discover(path).ok()?;
        (other.known.place.is_some() && other.known.place == known.place).then_some(other)
    }

    fn of(repository: Repository, path: &Path, known: Known) -> Self {
        take_in_quarantine(&repository);
        Self {
            packs: packs(&repository),
            repository,
            path: path.to_owned(),
            known,
            trees: RefCell::default(),
            oversized: Oversized::new(),
        }
    }

    /// Goes over to the repository that the path leads to now, where a link on it was changed; where HEAD is followed,
    /// also where the folder itself is another one's work tree by now.
    fn follow_path(&mut self, is_head: bool) {
        let before = Path::new(OsStr::from_bytes(&self.known.real_path));
        let is_elsewhere = self.path.canonicalize().is_ok_and(|now| now != before);
        if (is_elsewhere || (is_head && self.is_replaced()))
            && let Some(other) = Self::in_place_of(&self.path, &self.known)
        {
            *self = other;
        }
    }

    fn is_replaced(&self) -> bool {
        let git_dir = Path::new(OsStr::from_bytes(&self.known.git_dir));
        Repository::discover_path(&self.path, [] as [&OsStr; 0])
            .is_ok_and(|now| now.components().ne(git_dir.components()))
    }

    /// Resolves a branch, a tag or HEAD to its commit.
    fn newest(&self, name: &str) -> Result<Oid, git2::Error> {
        let id = self.repository.refname_to_id(name)?;
        if name == HEAD || name.starts_with("refs/heads/") {
            return Ok(id);
        }
        // A tag may be an object of its own.
        let commit = self.repository.find_object(id, None)?.peel(ObjectType::Commit)?;
        Ok(commit.id())
    }

    /// Says why a branch, or HEAD, names no commit.
    fn without_commit(&self, branch: &str, error: &git2::Error) -> GitError {
        let checked_out = || match branch::fix(self, None) {
            Ok(branch) => self.torn(&branch, error),
            Err(why @ GitError::Unborn { .. }) => why,
            Err(_detached_or_damaged) => self.unreadable(HEAD, error),
        };
        match error.code() {
            _ if branch == HEAD => checked_out(),
            ErrorCode::NotFound => GitError::Gone,
            _ => self.torn(branch, error),
        }
    }

    /// Says whether objects were left out when the repository was cloned.
    fn is_partial(&self) -> bool {
        let Ok(config) = self.repository.config().and_then(|mut config| config.snapshot()) else {
            return false;
        };
        let Ok(mut entries) = config.entries(Some("remote\\..*\\.promisor")) else {
            return false;
        };
        let mut is_partial = false;
        while let Some(Ok(entry)) = entries.next() {
            is_partial |= entry.value().is_ok_and(|value| value == "true");
        }
        is_partial
    }

    /// Says why something could not be read.
    pub(super) fn unreadable(&self, what: impl Into<String>, error: &git2::Error) -> GitError {
        let cause = match (error.code(), error.class()) {
            // It is there, and is something else, e.g. a tag in the place of a commit.
            (ErrorCode::NotFound, ErrorClass::Invalid) => Cause::Damaged,
            (ErrorCode::NotFound, _) if self.is_partial() => Cause::Partial,
            (ErrorCode::NotFound, _) => Cause::Missing,
            (_, ErrorClass::Os | ErrorClass::NoMemory | ErrorClass::Thread) => Cause::System,
            _ => Cause::Damaged,
        };
        GitError::Unreadable {
            what: what.into(),
            message: error.message().to_owned(),
            cause,
        }
    }

    /// Says that a branch's own file is not what Git writes.
    pub(super) fn torn(&self, branch: &str, error: &git2::Error) -> GitError {
        if error.class() == ErrorClass::Os {
            return self.unreadable("the branch", error);
        }
        let log = self.repository.commondir().join("logs").join(branch);
        let logged = std::fs::read_to_string(log).ok();
        let logged = logged.as_deref().and_then(|log| {
            let mut commits = log
                .lines()
                .rev()
                .filter_map(|line| line.split(' ').nth(1)?.parse::<GitHash>().ok());
            commits.find(|commit| self.commit(*commit).is_ok())
        });
        GitError::Torn {
            branch: branch.to_owned(),
            logged: logged.map(|commit| commit.to_string()),
        }
    }

    /// Counts the files below `environments/` that differ from what is committed; none without a work tree.
    pub(super) fn uncommitted_files(&self) -> Result<usize, GitError> {
        let changed = work_tree::changed(&self.repository);
        changed
            .map(|changed| changed.len())
            .map_err(|error| self.unreadable("the work tree", &error))
    }

    /// Returns the files below a folder that differ from what is committed and are named like manifests.
    pub(super) fn uncommitted(&self, folder: &str) -> Vec<String> {
        if self.repository.is_bare() {
            return Vec::new();
        }
        let mut options = StatusOptions::new();
        options
            .include_untracked(true)
            .recurse_untracked_dirs(true)
            .include_ignored(false)
            .exclude_submodules(true)
            .disable_pathspec_match(true)
            .pathspec(folder);
        let Ok(statuses) = self.repository.statuses(Some(&mut options)) else {
            return Vec::new();
        };
        statuses
            .iter()
            .filter(|entry| entry.status() != Status::CURRENT)
            .map(|entry| String::from_utf8_lossy(entry.path_bytes()).into_owned())
            .filter(|path| is_manifest(path))
            .collect()
    }
}

/// Takes in the objects of a push that Git is asking a hook about: they lie in a folder of their own until it is accepted.
fn take_in_quarantine(repository: &Repository) {
    let Some(quarantine) = std::env::var_os("GIT_QUARANTINE_PATH").map(PathBuf::from) else {
        return;
    };
    let real = |path: &Path| path.canonicalize().ok();
    let objects = real(&repository.commondir().join("objects"));
    let is_ours = objects.is_some() && quarantine.parent().and_then(real) == objects;
    if let (true, Some(path), Ok(database)) = (is_ours, quarantine.to_str(), repository.odb()) {
        // Where that fails, what was pushed is missing, and that is said.
        drop(database.add_disk_alternate(path));
    }
}

fn packs(repository: &Repository) -> Option<SystemTime> {
    let packs = repository.commondir().join("objects/pack");
    std::fs::metadata(packs)
        .and_then(|metadata| metadata.modified())
        .ok()
}

/// Returns how much memory of this process is resident; nothing where the system does not tell.
fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}

fn unopened(path: &Path, error: &git2::Error) -> GitError {
    match error.code() {
        ErrorCode::NotFound => GitError::NotARepository,
        ErrorCode::Owner => GitError::Ownership {
            path: owned(path).to_string_lossy().into_owned(),
        },
        _ => GitError::Unreadable {
            what: "the repository".to_owned(),
            message: error.message().to_owned(),
            cause: match error.class() {
                ErrorClass::Os | ErrorClass::NoMemory => Cause::System,
                _ if error.message().contains("partialclone") => Cause::Partial,
                _ => Cause::Damaged,
            },
        },
    }
}

/// Returns the folder that Git looks up in `safe.directory`: the work tree's, or a bare repository's own.
fn owned(path: &Path) -> PathBuf {
    let path = path.canonicalize().unwrap_or_else(|_gone| path.to_owned());
    let git_dir = Repository::discover_path(&path, [] as [&OsStr; 0]);
    let git_dir = git_dir.map_or_else(|_unknown| path.clone(), |path| path.components().collect());
    // A path into the repository's own folder names no work tree, and Git takes the one around it.
    let work_tree = path.ancestors().find(|folder| folder.join(".git").exists());
    match work_tree {
        Some(folder) if !path.starts_with(&git_dir) || git_dir.ends_with(".git") => folder.to_owned(),
        Some(_) | None => git_dir,
    }
}

pub(super) fn hash(id: Oid) -> GitHash {
    let mut bytes = [0; 20];
    for (byte, of_id) in bytes.iter_mut().zip(id.as_bytes()) {
        *byte = *of_id;
    }
    GitHash::from_bytes(bytes)
}

pub(super) fn oid(hash: GitHash) -> Oid {
    Oid::from_bytes(hash.as_bytes()).expect("invariant: an id has 20 bytes")
}
