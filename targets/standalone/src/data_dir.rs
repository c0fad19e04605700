//! The data directory: its layout, its one owner, and writes that leave the old file or the new one.
//!
//! ```text
//! <data-dir>/{lock, heartbeat, installation, registry-path, dataset-roots.json, failure.json, .gitignore}
//! <data-dir>/objects/<kind>/<name>.json     the custom resource without its status
//! <data-dir>/status/<kind>/<name>.json      its status
//! <data-dir>/commands/<model>/              what people asked for beside Git
//! <data-dir>/{registry, git}/
//! ```
//!
//! The process that runs it keeps `events.jsonl` beside them.
//!
//! It often lies in a clone, where a commit can put anything in its place. So it is refused while Git tracks anything in
//! it, and nothing below it is ever reached through a link.

mod error;
mod failure;
mod files;
mod place;
mod tracked;

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::iter;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use planner::names::Digest;
use planner::object::Kind;
use reconciler::signatures::Seen;
use reconciler::source::Remembered;
use registry::files::Dir;
use registry::{DatasetRoots, StoreError};

pub use self::error::DataDirError;
pub(crate) use self::error::advice;
pub use self::failure::{leave_failure, left_failure};
use self::files::{FILE, plain};
pub(crate) use self::files::{FilePath, KindFolder, folder};
use self::place::Purpose;
pub use self::place::settle;
use self::tracked::Tracked;
use crate::syncer::Syncer;

const LOCK: &str = "lock";
const HEARTBEAT: &str = "heartbeat";
/// There since the process was asked to end, until the next one starts.
const STOP: &str = "stop";
const INSTALLATION: &str = "installation";
const GIT: &str = "git";
/// The folders that are made with the directory.
const FOLDERS: [&str; 5] = ["objects", "status", "commands", "registry", GIT];
const DATA_DIGESTS: &str = "data-digests.json";
/// The largest memory of data files that is read, in bytes.
const DATA_DIGESTS_BYTES_MAX: u64 = 64 << 20;
const HISTORY: &str = "history.json";
/// The largest memory of the branch's history that is read, in bytes: a hundred thousand manifests.
const HISTORY_BYTES_MAX: u64 = 64 << 20;
const SEEN: &str = "commits-seen.json";
/// The largest memory of when commits were first seen that is read, in bytes.
const SEEN_BYTES_MAX: u64 = 1 << 20;
const REGISTRY_PATH: &str = "registry-path";
const DATASET_ROOTS: &str = "dataset-roots.json";
/// The largest of the small files that remember something, in bytes.
const SMALL_BYTES_MAX: u64 = 64 << 10;

/// An open and locked data directory.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Of the directory, and of a registry outside it.
    tracked: Mutex<Vec<Tracked>>,
    /// Absent where the directory is only looked at.
    lock: Option<Mutex<File>>,
    installation: String,
    /// Absent where the directory is only looked at.
    syncer: Option<Syncer>,
}

impl DataDir {
    /// Makes the directory if it is missing, and takes its lock, which is held until the value is dropped.
    ///
    /// `installation` becomes the installation's id if it has none yet. One that Git tracks anything of, that lies behind
    /// a link in a work tree, or that is not this user's alone, is refused before anything in it is touched.
    pub fn open(path: &Path, installation: &str) -> Result<Self, DataDirError> {
        let path = settle(path)?;
        let mut tracked = Tracked::around(&path);
        tracked.refuse()?;
        let dir = make(&path).map_err(|error| not_made(&path, error))?;
        place::refuse_shared(&dir, Purpose::Write)?;
        let lock = lock(&dir)?;
        let mut data_dir = Self {
            path,
            tracked: Mutex::new(vec![tracked]),
            lock: Some(Mutex::new(lock)),
            installation: installation.to_owned(),
            syncer: None,
        };
        data_dir.lay_out(&dir)?;
        failure::forget(&dir);
        data_dir.installation = data_dir.read_installation()?;
        data_dir.syncer =
            Some(Syncer::start().map_err(DataDirError::io("start a thread for", &data_dir.path))?);
        Ok(data_dir)
    }

    /// Opens the directory to look at it: takes no lock, makes and removes nothing. One that Git tracks anything of, or
    /// that lies behind a link in a work tree, is refused.
    pub fn peek(path: &Path) -> Result<Self, DataDirError> {
        let path = inspect(path)?;
        Dir::open(&path).map_err(DataDirError::store("open", &path))?;
        let mut data_dir = Self {
            tracked: Mutex::new(vec![Tracked::around(&path)]),
            path,
            lock: None,
            installation: String::new(),
            syncer: None,
        };
        data_dir.installation = data_dir.read_installation()?;
        Ok(data_dir)
    }

    /// Fails while Git tracks anything in the directory: a commit that was checked out meanwhile may have filled it.
    ///
    /// Costs one `stat` while no index around it changes.
    pub fn refuse_tracked(&self) -> Result<(), DataDirError> {
        let mut tracked = self.tracked.lock().unwrap_or_else(PoisonError::into_inner);
        tracked.iter_mut().try_for_each(Tracked::refuse)
    }

    /// Judges a registry outside the directory as the directory itself, from here on: a commit may name it.
    pub(crate) fn watch_registry(&self, root: &Path) -> Result<(), DataDirError> {
        self.watch(Tracked::around(&settle(root)?))
    }

    /// Judges what a repository elsewhere, which has the directory in its work tree, tracks of it from here on too.
    pub(crate) fn watch_repository(&self, repository: &Path) -> Result<(), DataDirError> {
        self.watch(Tracked::of_repository(&self.path, repository))
    }

    fn watch(&self, mut tracked: Tracked) -> Result<(), DataDirError> {
        tracked.refuse()?;
        self.tracked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(tracked);
        Ok(())
    }

    /// Returns Git's lock on a work tree around the directory while it is held: a checkout may be filling the directory.
    pub(crate) fn checkout(&self) -> Option<PathBuf> {
        let tracked = self.tracked.lock().unwrap_or_else(PoisonError::into_inner);
        tracked.iter().find_map(Tracked::checkout)
    }

    /// Says whether this value holds the lock, and so may write.
    pub fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    /// Returns the absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the installation's random id.
    pub fn installation(&self) -> &str {
        &self.installation
    }

    /// Returns an object's file.
    pub(crate) fn object_file(&self, kind: Kind, name: &str) -> FilePath {
        FilePath::new(&self.path, ["objects", kind.as_str()], format!("{name}.json"))
    }

    /// Returns a status's file.
    pub(crate) fn status_file(&self, kind: Kind, name: &str) -> FilePath {
        FilePath::new(&self.path, ["status", kind.as_str()], format!("{name}.json"))
    }

    /// Opens the folder of a kind's objects, or of their statuses.
    pub(crate) fn kind_folder(&self, of: &str, kind: Kind) -> Result<KindFolder, DataDirError> {
        let path = self.path.join(of).join(kind.as_str());
        let dir = folder(&self.path, &[of, kind.as_str()]).map_err(DataDirError::io("read", &path))?;
        Ok(KindFolder { path, dir })
    }

    /// Lets a file that was written survive a power loss too, soon.
    pub(crate) fn sync_later(&self, path: FilePath) {
        if let Some(syncer) = &self.syncer {
            syncer.sync_later(path);
        }
    }

    /// Says whether the directory is still the one that was locked: nobody deleted or replaced it.
    pub fn is_intact(&self) -> bool {
        let Some(lock) = &self.lock else {
            return true;
        };
        let on_disk = Dir::open(&self.path).and_then(|dir| dir.stamp(LOCK));
        let ours = lock.lock().unwrap_or_else(PoisonError::into_inner).metadata();
        match (on_disk, ours) {
            (Ok(Some(on_disk)), Ok(ours)) => on_disk.is_of(ours.dev(), ours.ino()),
            (Ok(None), _) => false,
            // What is in its place is for whoever mends it to say.
            (Err(error), _) => !error.is_not_found() && !matches!(error, StoreError::Link { .. }),
            (Ok(_), Err(_)) => true,
        }
    }

    /// Makes what is missing of a directory that was deleted anew: its lock, folders and the same installation id.
    pub fn remake(&self) -> Result<(), DataDirError> {
        self.refuse_tracked()?;
        let dir = make(&self.path).map_err(DataDirError::store("make", &self.path))?;
        place::refuse_shared(&dir, Purpose::Write)?;
        // A lock that is still there is ours, and taking it twice would be refused.
        if let Some(held) = &self.lock
            && !self.is_intact()
        {
            let new = lock(&dir)?;
            *held.lock().unwrap_or_else(PoisonError::into_inner) = new;
        }
        self.lay_out(&dir)
    }

    /// Fails if another process holds the directory. Takes, makes and writes nothing.
    pub fn refuse_in_use(path: &Path) -> Result<(), DataDirError> {
        let Ok(path) = settle(path) else {
            return Ok(());
        };
        let Ok(Some(opened)) = Dir::open(&path).and_then(|dir| dir.file(LOCK)) else {
            return Ok(());
        };
        let mut file = opened.file;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Err(in_use(&path, &mut file)),
            // What else is wrong is told when the directory is opened.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
        }
    }

    /// Says that the process is alive: touches `heartbeat`.
    pub fn beat(&self, now: SystemTime) -> io::Result<()> {
        Ok(Dir::open(&self.path).and_then(|dir| dir.touch(HEARTBEAT, now))?)
    }

    /// Remembers that the process was asked to end: whatever becomes of it from here on says nothing of what it did.
    pub(crate) fn note_stop(&self) -> io::Result<()> {
        let noted = Dir::open(&self.path).and_then(|dir| dir.replace_unsynced(STOP, b""));
        noted.map_err(plain)
    }

    /// Says whether the process before this one was asked to end, and forgets it.
    pub(crate) fn take_stop(&self) -> bool {
        let Ok(dir) = Dir::open(&self.path) else {
            return false;
        };
        let was_asked = matches!(dir.stamp(STOP), Ok(Some(_)));
        // One that cannot be forgotten would make every later end look like this one.
        was_asked && dir.remove(STOP).is_ok()
    }

    /// Remembers where the registry in use lies; nothing is written where that is remembered already.
    pub(crate) fn note_registry(&self, path: &str) -> Result<(), DataDirError> {
        if registry_path(&self.path).as_deref() == Some(path) {
            return Ok(());
        }
        Dir::open(&self.path)
            .and_then(|dir| dir.replace_unsynced(REGISTRY_PATH, format!("{path}\n").as_bytes()))
            .map_err(DataDirError::store("write", &self.path.join(REGISTRY_PATH)))
    }

    /// Returns the folders that the process that last used the directory was told data may be read from; `None` where
    /// that is not known, or one of them is gone.
    pub(crate) fn dataset_roots(&self) -> Option<DatasetRoots> {
        let path = self.path.join(DATASET_ROOTS);
        let bytes = registry::files::read(&path, FILE, SMALL_BYTES_MAX).ok()??;
        let named: Vec<PathBuf> = serde_json::from_slice(&bytes).ok()?;
        DatasetRoots::new(&named).ok()
    }

    /// Remembers which folders this process was told data may be read from, for whoever asks what it would do.
    pub(crate) fn note_dataset_roots(&self, roots: &DatasetRoots) -> Result<(), DataDirError> {
        let path = self.path.join(DATASET_ROOTS);
        let named: Vec<_> = roots.named().map(Path::to_string_lossy).collect();
        let mut bytes =
            serde_json::to_vec(&named).map_err(|error| DataDirError::io("write", &path)(error.into()))?;
        bytes.push(b'\n');
        let known = registry::files::read(&path, FILE, SMALL_BYTES_MAX).ok().flatten();
        if known.as_ref() == Some(&bytes) {
            return Ok(());
        }
        Dir::open(&self.path)
            .and_then(|dir| dir.replace_unsynced(DATASET_ROOTS, &bytes))
            .map_err(DataDirError::store("write", &path))
    }

    /// Returns what is remembered of the content of the repository's data files; nothing where that cannot be read.
    pub(crate) fn data_digests(&self) -> BTreeMap<String, Digest> {
        let path = self.path.join(GIT).join(DATA_DIGESTS);
        let bytes = registry::files::read(&path, FILE, DATA_DIGESTS_BYTES_MAX)
            .ok()
            .flatten();
        bytes
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// Remembers the content of the repository's data files. It is a memory of facts: losing it costs time alone.
    pub(crate) fn set_data_digests(&self, digests: &BTreeMap<String, Digest>) -> io::Result<()> {
        let bytes = serde_json::to_vec(digests)?;
        match folder(&self.path, &[GIT])? {
            Some(dir) => dir.replace_unsynced(DATA_DIGESTS, &bytes).map_err(plain),
            None => Ok(()),
        }
    }

    /// Returns what is remembered of the branch's history; nothing where that cannot be read.
    pub(crate) fn history(&self) -> Option<Remembered> {
        let path = self.path.join(GIT).join(HISTORY);
        let bytes = registry::files::read(&path, FILE, HISTORY_BYTES_MAX).ok()??;
        serde_json::from_slice(&bytes).ok()
    }

    /// Remembers the branch's history. Losing it costs time alone.
    pub(crate) fn set_history(&self, remembered: &Remembered) -> io::Result<()> {
        let bytes = serde_json::to_vec(remembered)?;
        match folder(&self.path, &[GIT])? {
            Some(dir) => dir.replace_unsynced(HISTORY, &bytes).map_err(plain),
            None => Ok(()),
        }
    }

    /// Returns when commits were first seen; nothing where that cannot be read.
    pub(crate) fn seen(&self) -> Seen {
        let path = self.path.join(GIT).join(SEEN);
        let bytes = registry::files::read(&path, FILE, SEEN_BYTES_MAX).ok().flatten();
        bytes
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// Remembers when commits were first seen. What is lost counts from when it is seen again.
    pub(crate) fn set_seen(&self, seen: &Seen) -> io::Result<()> {
        let bytes = serde_json::to_vec(seen)?;
        match folder(&self.path, &[GIT])? {
            Some(dir) => dir.replace_unsynced(SEEN, &bytes).map_err(plain),
            None => Ok(()),
        }
    }

    fn lay_out(&self, dir: &Dir) -> Result<(), DataDirError> {
        let sweep = |dir: &Dir| {
            // What a killed process had not finished; files of objects are swept where they are read.
            let swept = dir.sweep(false);
            swept.map_err(DataDirError::store("remove what is unfinished from", dir.path()))
        };
        sweep(dir)?;
        for name in FOLDERS {
            let folder = dir
                .make_dir(name)
                .map_err(DataDirError::store("make", &self.path.join(name)))?;
            place::refuse_shared(&folder, Purpose::Write)?;
            // A clone in one of our folders: what lies beside our files there is a commit's.
            if !matches!(folder.kind(".git"), Ok(None)) {
                return Err(DataDirError::WorkTree {
                    path: folder.path().to_owned(),
                });
            }
            if name == GIT {
                sweep(&folder)?;
            }
        }
        let installation = format!("{}\n", self.installation);
        for (name, content) in [(".gitignore", "*\n"), (INSTALLATION, &installation)] {
            let path = self.path.join(name);
            // What is in its place is refused here: nothing is written through a link, nor read from a pipe.
            let there = dir.file(name).map_err(DataDirError::store("open", &path))?;
            if there.is_none() {
                dir.replace_unsynced(name, content.as_bytes())
                    .map_err(DataDirError::store("write", &path))?;
            }
        }
        Ok(())
    }

    fn read_installation(&self) -> Result<String, DataDirError> {
        let path = self.path.join(INSTALLATION);
        let bytes = registry::files::read(&path, "an installation's id", 1024)
            .map_err(DataDirError::store("read", &path))?
            .ok_or_else(|| DataDirError::io("read", &path)(io::ErrorKind::NotFound.into()))?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }
}

/// Returns when the process that owns a data directory last said that it is alive; `None` if it never did.
pub fn last_beat(data_dir: &Path) -> Option<SystemTime> {
    let heartbeat = Dir::open(data_dir).and_then(|dir| dir.file(HEARTBEAT)).ok()??;
    heartbeat
        .file
        .metadata()
        .and_then(|metadata| metadata.modified())
        .ok()
}

/// Returns where the registry in use lies, as a manifest says it; `None` where that was never remembered.
pub(crate) fn registry_path(data_dir: &Path) -> Option<String> {
    let path = data_dir.join(REGISTRY_PATH);
    let bytes = registry::files::read(&path, FILE, SMALL_BYTES_MAX).ok()??;
    let path = String::from_utf8(bytes).ok()?;
    let path = path.trim_end_matches('\n');
    // Only what a manifest may say counts.
    let relative = path.strip_prefix('/').unwrap_or(path);
    let is_path = !relative.split('/').any(|part| matches!(part, "" | "." | ".."));
    is_path.then(|| path.to_owned())
}

/// Returns where a data directory lies that a person named, if it may be looked at: nothing of it need be there.
///
/// One that Git tracks anything of, that lies behind a link in a work tree, or that others may write in, is refused: what
/// it says would be anybody's word. Another user's may be looked at.
pub fn inspect(path: &Path) -> Result<PathBuf, DataDirError> {
    let path = inspect_untracked(path)?;
    refuse_shared(&path, Purpose::Look)?;
    Ok(path)
}

/// Returns where a data directory lies that a person named, if this user may write in it, by the rules of the process
/// that serves: nothing of it need be there.
pub fn inspect_to_write(path: &Path) -> Result<PathBuf, DataDirError> {
    let path = inspect_untracked(path)?;
    refuse_shared(&path, Purpose::Write)?;
    Ok(path)
}

/// Returns where a folder lies that a person named, if Git tracks nothing in it and no link of a work tree leads there.
pub fn inspect_untracked(path: &Path) -> Result<PathBuf, DataDirError> {
    let path = settle(path)?;
    Tracked::around(&path).refuse()?;
    Ok(path)
}

/// Refuses a data directory in which a repository elsewhere, which has it in its work tree, tracks anything.
pub(crate) fn refuse_tracked_by(path: &Path, repository: &Path) -> Result<(), DataDirError> {
    Tracked::of_repository(&settle(path)?, repository).refuse()
}

/// Judges whose a data directory and its folders are, as far as they are there.
fn refuse_shared(path: &Path, purpose: Purpose) -> Result<(), DataDirError> {
    let folders = FOLDERS.map(|name| path.join(name));
    for folder in iter::once(path).chain(folders.iter().map(PathBuf::as_path)) {
        // What is in its place is told by whoever reads it.
        if let Ok(Some(dir)) = Dir::open_if_there(folder) {
            place::refuse_shared(&dir, purpose)?;
        }
    }
    Ok(())
}

/// Makes the directory, for this user alone where it is missing, and opens it.
fn make(path: &Path) -> Result<Dir, StoreError> {
    match (Dir::open_if_there(path)?, path.parent(), path.file_name()) {
        (Some(dir), _, _) => Ok(dir),
        (None, Some(parent), Some(name)) => Dir::ensure(parent)?.make_private_dir(name),
        (None, _, _) => Dir::open(path),
    }
}

fn not_made(path: &Path, error: StoreError) -> DataDirError {
    match error {
        StoreError::Io { error: source, .. } => DataDirError::NotMade {
            path: path.to_owned(),
            source,
        },
        error => DataDirError::store("make", path)(error),
    }
}

fn lock(dir: &Dir) -> Result<File, DataDirError> {
    let path = dir.path().join(LOCK);
    let mut file = dir
        .open_in_place(LOCK)
        .map_err(DataDirError::store("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(in_use(dir.path(), &mut file)),
        Err(TryLockError::Error(error)) => return Err(DataDirError::io("lock", &path)(error)),
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(DataDirError::io("write", &path))?;
    Ok(file)
}

fn in_use(folder: &Path, lock: &mut File) -> DataDirError {
    let mut text = String::new();
    let holder = Read::by_ref(lock)
        .take(32)
        .read_to_string(&mut text)
        .ok()
        .and_then(|_bytes| text.trim().parse().ok());
    DataDirError::InUse {
        path: folder.to_owned(),
        holder,
    }
}
