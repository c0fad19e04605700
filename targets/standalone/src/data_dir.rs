//! The data directory: its layout, its one owner, and writes that leave the old file or the new one.
//!
//! ```text
//! <data-dir>/{lock, heartbeat, installation, .gitignore}
//! <data-dir>/objects/<kind>/<name>.json     the custom resource without its status
//! <data-dir>/status/<kind>/<name>.json      its status
//! <data-dir>/commands/<model>/              what people asked for beside Git
//! <data-dir>/{registry, git}/
//! ```

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use planner::memory::UnknownFormat;
use planner::names::EnvironmentName;
use planner::object::Kind;

use crate::syncer::Syncer;

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process holds the lock.
    #[error(
        "{} is in use by another aurora{}; stop that one, or give another folder with --data-dir",
        path.display(), holder.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The data directory.
        path: PathBuf,
        /// The process that holds it, if the lock file tells.
        holder: Option<u32>,
    },
    /// It holds the state of another environment.
    #[error(
        "{} holds environment {other}, not {environment}; give each environment a folder of its own with --data-dir",
        path.display()
    )]
    OtherEnvironment {
        /// The data directory.
        path: PathBuf,
        /// The environment that it holds.
        other: String,
        /// The environment that was asked for.
        environment: EnvironmentName,
    },
    /// A later program wrote a status.
    #[error("{} {source}, or give another folder with --data-dir", path.display())]
    LaterFormat {
        /// The status.
        path: PathBuf,
        /// In which form.
        #[source]
        source: UnknownFormat,
    },
    /// The directory does not exist and cannot be made.
    #[error(
        "cannot make the data directory {}: {source}{}; give another folder with --data-dir",
        path.display(), advice(source)
    )]
    NotMade {
        /// The data directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Something could not be read or written.
    #[error("cannot {what} {}: {source}{}", path.display(), advice(source))]
    Io {
        /// What was tried, e.g. `write`.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl DataDirError {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

/// Says what a person can do about an error of the operating system, as `; …`, or nothing.
pub(crate) fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free some space",
        io::ErrorKind::ReadOnlyFilesystem => "; make the file system writable",
        io::ErrorKind::PermissionDenied => "; give this user the right to write there",
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => "; a file is in the folder's way",
        _ => "",
    }
}

/// An open and locked data directory.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Absent where the directory is only looked at.
    lock: Option<Mutex<File>>,
    installation: String,
    /// Absent where the directory is only looked at.
    syncer: Option<Syncer>,
}

impl DataDir {
    /// Makes the directory if it is missing, and takes its lock, which is held until the value is dropped.
    ///
    /// `installation` becomes the installation's id if it has none yet.
    pub fn open(path: &Path, installation: &str) -> Result<Self, DataDirError> {
        fs::create_dir_all(path).map_err(|source| DataDirError::NotMade {
            path: std::path::absolute(path).unwrap_or_else(|_unresolved| path.to_owned()),
            source,
        })?;
        let path = path.canonicalize().map_err(DataDirError::io("find", path))?;
        let lock = lock(&path)?;
        let mut data_dir = Self {
            path,
            lock: Some(Mutex::new(lock)),
            installation: installation.to_owned(),
            syncer: None,
        };
        data_dir.lay_out()?;
        data_dir.installation = data_dir.read_installation()?;
        data_dir.syncer =
            Some(Syncer::start().map_err(DataDirError::io("start a thread for", &data_dir.path))?);
        Ok(data_dir)
    }

    /// Opens the directory to look at it: takes no lock, makes and removes nothing.
    pub fn peek(path: &Path) -> Result<Self, DataDirError> {
        let path = path.canonicalize().map_err(DataDirError::io("find", path))?;
        let mut data_dir = Self {
            path,
            lock: None,
            installation: String::new(),
            syncer: None,
        };
        data_dir.installation = data_dir.read_installation()?;
        Ok(data_dir)
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
    pub fn object_file(&self, kind: Kind, name: &str) -> PathBuf {
        self.path.join(format!("objects/{kind}/{name}.json"))
    }

    /// Returns a status's file.
    pub fn status_file(&self, kind: Kind, name: &str) -> PathBuf {
        self.path.join(format!("status/{kind}/{name}.json"))
    }

    /// Lets a file that was written survive a power loss too, soon.
    pub(crate) fn sync_later(&self, path: PathBuf) {
        if let Some(syncer) = &self.syncer {
            syncer.sync_later(path);
        }
    }

    /// Says whether the directory is still the one that was locked: nobody deleted or replaced it.
    pub fn is_intact(&self) -> bool {
        let Some(lock) = &self.lock else {
            return true;
        };
        let on_disk = fs::metadata(self.path.join("lock"));
        let ours = lock.lock().unwrap_or_else(PoisonError::into_inner).metadata();
        match (on_disk, ours) {
            (Ok(on_disk), Ok(ours)) => (on_disk.dev(), on_disk.ino()) == (ours.dev(), ours.ino()),
            (Err(error), _) => error.kind() != io::ErrorKind::NotFound,
            (Ok(_), Err(_)) => true,
        }
    }

    /// Makes what is missing of a directory that was deleted anew: its lock, folders and the same installation id.
    pub fn remake(&self) -> Result<(), DataDirError> {
        fs::create_dir_all(&self.path).map_err(DataDirError::io("make", &self.path))?;
        // A lock that is still there is ours, and taking it twice would be refused.
        if let Some(held) = &self.lock
            && !self.is_intact()
        {
            let new = lock(&self.path)?;
            *held.lock().unwrap_or_else(PoisonError::into_inner) = new;
        }
        self.lay_out()
    }

    /// Fails if another process holds the directory. Takes, makes and writes nothing.
    pub fn refuse_in_use(path: &Path) -> Result<(), DataDirError> {
        let Ok(mut file) = File::open(path.join("lock")) else {
            return Ok(());
        };
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Err(in_use(path, &mut file)),
            // What else is wrong is told when the directory is opened.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
        }
    }

    /// Says that the process is alive: touches `heartbeat`.
    pub fn beat(&self, now: SystemTime) -> io::Result<()> {
        let path = self.path.join("heartbeat");
        match File::options().append(true).open(&path) {
            Ok(file) => file.set_modified(now),
            Err(error) if error.kind() == io::ErrorKind::NotFound => File::create(path)?.set_modified(now),
            Err(error) => Err(error),
        }
    }

    fn lay_out(&self) -> Result<(), DataDirError> {
        for folder in ["objects", "status", "commands", "registry", "git"] {
            let folder = self.path.join(folder);
            fs::create_dir_all(&folder).map_err(DataDirError::io("make", &folder))?;
        }
        let ignore = self.path.join(".gitignore");
        if !ignore.exists() {
            write_atomic(&ignore, b"*\n").map_err(DataDirError::io("write", &ignore))?;
        }
        let installation = self.path.join("installation");
        if !installation.exists() {
            write_atomic(&installation, format!("{}\n", self.installation).as_bytes())
                .map_err(DataDirError::io("write", &installation))?;
        }
        Ok(())
    }

    fn read_installation(&self) -> Result<String, DataDirError> {
        let path = self.path.join("installation");
        read_bounded(&path, 1024)
            .map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned())
            .map_err(DataDirError::io("read", &path))
    }
}

fn lock(folder: &Path) -> Result<File, DataDirError> {
    let path = folder.join("lock");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(DataDirError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(in_use(folder, &mut file)),
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

/// Writes a file so that a reader, and a restart after a kill, finds the old content or the new one. Makes the folder.
/// Not synced: whoever must not lose it in a power loss does that, or has it done by [`DataDir::sync_later`].
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or(OsStr::new("file")).to_string_lossy();
    let temporary = folder.join(format!(".tmp-{name}"));
    let written = match File::create(&temporary) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            File::create(&temporary)
        }
        created => created,
    }
    .and_then(|mut file| file.write_all(bytes))
    .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _half_written = fs::remove_file(&temporary);
    }
    written
}

/// Removes a file for good; one that is not there is removed already.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Reads a file of at most `bytes_max` bytes.
pub(crate) fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("has more than {bytes_max} bytes"),
        ));
    }
    Ok(bytes)
}
