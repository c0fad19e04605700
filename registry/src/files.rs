//! Folders held open, and the few durable operations on what lies in them.
//!
//! Every step goes through [`Dir`]: no symbolic link is followed, neither on the way to a folder nor in it, so that what
//! a commit or another user puts in its place leads nowhere. Whoever takes a path from a person resolves that person's
//! own links first, once. Only regular files are opened, without waiting for a pipe's other end, and whatever is read
//! has a limit. Nothing here knows what the files mean.

mod beneath;
mod exposed;
mod open;
mod stamp;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::error::StoreError;
pub use beneath::open_beneath;
pub use exposed::{SecretError, is_exposed, read_secret};
pub(crate) use stamp::SETTLED_SECONDS;
use stamp::found;
pub use stamp::{Stamp, seconds_now};

/// What an unfinished write is called until it is renamed. Only the lock's exclusive holder may remove one.
pub(crate) const TEMPORARY: &str = ".tmp-";

/// How many entries of one folder are read.
const ENTRIES_MAX: usize = 100_000;
/// How deep a tree is removed.
const DEPTH_MAX: usize = 16;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Without NONBLOCK a pipe that somebody put there would hold us for ever.
const GUARDED: OFlags = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);
/// Who may do what with a folder that is made: everybody may look in, as far as the umask lets them.
const FOLDER: Mode = Mode::from_raw_mode(0o755);
/// Who may do what with a folder that nobody else is to look into.
const PRIVATE: Mode = Mode::from_raw_mode(0o700);

type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A folder that is held open.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

/// A regular file, opened for reading.
#[derive(Debug)]
pub struct Opened {
    /// The file.
    pub file: File,
    /// What it was when it was opened.
    pub stamp: Stamp,
    /// Where it was found.
    pub path: PathBuf,
}

/// Whose a folder is, and who may write in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The owning user's id.
    pub user: u32,
    /// The owning group's id.
    pub group: u32,
    /// The permission bits, set-group-id among them.
    pub mode: u32,
}

impl Dir {
    /// Opens the folder at a path. No part of the path may be a symbolic link: a person's own links are resolved before.
    pub fn open(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).map_err(|e| StoreError::io("find", path, e))?;
        let fd = open::folder(&path)?;
        Ok(Self { fd, path })
    }

    /// Opens the folder at a path; `None` where there is nothing.
    pub fn open_if_there(path: &Path) -> Result<Option<Self>> {
        match Self::open(path) {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens the folder at a path and makes what is missing of it.
    pub fn ensure(path: &Path) -> Result<Self> {
        if let Some(dir) = Self::open_if_there(path)? {
            return Ok(dir);
        }
        let path = std::path::absolute(path).map_err(|e| StoreError::io("find", path, e))?;
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Self::ensure(parent)?.make(name, FOLDER),
            _ => Self::open(&path),
        }
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whose it is.
    pub fn access(&self) -> Result<Access> {
        let stat = rustix::fs::fstat(&self.fd).map_err(|e| StoreError::io("examine", &self.path, e))?;
        Ok(Access {
            user: stat.st_uid,
            group: stat.st_gid,
            mode: stat.st_mode & 0o7777,
        })
    }

    /// Opens a folder in it; `None` where there is nothing of this name.
    pub fn dir(&self, name: &str) -> Result<Option<Self>> {
        self.folder(OsStr::new(name))
    }

    fn folder(&self, name: &OsStr) -> Result<Option<Self>> {
        let path = self.child(name)?;
        match rustix::fs::openat(&self.fd, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(fd) => Ok(Some(Self { fd, path })),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR) if open::is_link(&self.fd, name) => Err(StoreError::Link {
                path,
                expected: "a folder",
            }),
            Err(e) => Err(StoreError::io("open folder", path, e)),
        }
    }

    /// Returns the path of a name in it. A name that is none, because it has parts, is refused: it could lead out.
    fn child(&self, name: &OsStr) -> Result<PathBuf> {
        let path = self.path.join(name);
        if name.is_empty() || name == "." || name == ".." || name.as_bytes().contains(&b'/') {
            return Err(StoreError::malformed(&path, "is no name of one file or folder"));
        }
        Ok(path)
    }

    /// Opens a folder in it and makes it first where it is missing, so that its name survives a power loss.
    pub fn ensure_dir(&self, name: &str) -> Result<Self> {
        let dir = self.make_dir(name)?;
        if !dir.is_settled()? {
            self.sync()?;
        }
        Ok(dir)
    }

    /// Opens a folder in it and makes it first where it is missing; its name is not on the disk until [`Dir::sync`].
    pub fn make_dir(&self, name: &str) -> Result<Self> {
        self.make(OsStr::new(name), FOLDER)
    }

    /// Opens a folder in it and makes it first where it is missing, so that only this user may look in.
    pub fn make_private_dir(&self, name: &OsStr) -> Result<Self> {
        self.make(name, PRIVATE)
    }

    fn make(&self, name: &OsStr, mode: Mode) -> Result<Self> {
        if let Some(dir) = self.folder(name)? {
            return Ok(dir);
        }
        match rustix::fs::mkdirat(&self.fd, name, mode) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(StoreError::io("make folder", self.path.join(name), e)),
        }
        self.folder(name)?
            .ok_or_else(|| StoreError::io("open folder", self.path.join(name), Errno::NOENT))
    }

    /// Says whether the folder's own name is known to be on the disk: whoever puts something in it syncs that name
    /// first. One that holds nothing finished may have been made right before a crash.
    pub(crate) fn is_settled(&self) -> Result<bool> {
        for entry in self.entries()? {
            let (name, _) = entry?;
            if !name.starts_with(TEMPORARY) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes a folder with a temporary name in it.
    pub(crate) fn make_temporary_dir(&self) -> Result<(String, Self)> {
        let (name, ()) = self.temporary("make folder", |name| rustix::fs::mkdirat(&self.fd, name, FOLDER))?;
        let dir = self
            .dir(&name)?
            .ok_or_else(|| StoreError::io("open folder", self.path.join(&name), Errno::NOENT))?;
        Ok((name, dir))
    }

    /// Makes an empty file with a temporary name in it.
    pub(crate) fn make_temporary_file(&self) -> Result<(String, File)> {
        self.temporary("create", |name| self.create(name))
    }

    /// Makes a symbolic link with a temporary name in it.
    pub(crate) fn make_temporary_link(&self, target: &str) -> Result<String> {
        let (name, ()) = self.temporary("create link", |name| {
            rustix::fs::symlinkat(target, &self.fd, name)
        })?;
        Ok(name)
    }

    fn temporary<T>(
        &self,
        act: &'static str,
        mut make: impl FnMut(&str) -> rustix::io::Result<T>,
    ) -> Result<(String, T)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // A process of another machine on the same volume may have this process's number, but not for ever.
        for _ in 0..1_000 {
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{TEMPORARY}{}-{n}", std::process::id());
            match make(&name) {
                Ok(value) => return Ok((name, value)),
                Err(Errno::EXIST) => {}
                Err(e) => return Err(StoreError::io(act, self.path.join(name), e)),
            }
        }
        Err(StoreError::io(act, self.path.join(TEMPORARY), Errno::EXIST))
    }

    fn create(&self, name: &str) -> rustix::io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | GUARDED;
        rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(0o644)).map(File::from)
    }

    /// Writes a new file; its bytes are on the disk when this returns, its name is not until [`Dir::sync`].
    pub fn write_new(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        let mut file = self
            .create(name)
            .map_err(|e| StoreError::io("create", &path, e))?;
        file.write_all(bytes)
            .map_err(|e| StoreError::io("write", &path, e))?;
        sync_file(&file, &path)
    }

    /// Gives a file new content: readers see the old or the new one, also after a power loss.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.exchange(name, bytes, sync_file)?;
        self.sync()
    }

    /// Gives a file new content: readers see the old or the new one; a power loss may take it, or leave it torn.
    pub fn replace_unsynced(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.exchange(name, bytes, |_file, _path| Ok(()))
    }

    fn exchange(
        &self,
        name: &str,
        bytes: &[u8],
        sync: impl FnOnce(&File, &Path) -> Result<()>,
    ) -> Result<()> {
        self.child(OsStr::new(name))?;
        let (temporary, mut file) = self.make_temporary_file()?;
        let path = self.path.join(&temporary);
        let written = file
            .write_all(bytes)
            .map_err(|e| StoreError::io("write", &path, e))
            .and_then(|()| sync(&file, &path))
            .and_then(|()| self.rename(&temporary, name));
        self.discard_on_error(&temporary, written)
    }

    /// Removes a temporary entry where `result` is an error: a full disk should not stay full.
    pub(crate) fn discard_on_error<T>(&self, temporary: &str, result: Result<T>) -> Result<T> {
        result.inspect_err(|_| {
            if let Err(error) = self.remove(temporary) {
                tracing::debug!(%error, "left for the next start to clean up");
            }
        })
    }

    /// Opens a regular file to append to, making it where it is missing.
    pub fn open_append(&self, name: &str) -> Result<File> {
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | GUARDED;
        let file = self.open_guarded(name, flags)?;
        file.ok_or_else(|| StoreError::io("open", self.path.join(name), Errno::NOENT))
    }

    /// Opens a regular file that is written in place, making it where it is missing. One that has another name too is
    /// refused: whoever reads it there would find it changed.
    pub fn open_in_place(&self, name: &str) -> Result<File> {
        let file = self.open_append(name)?;
        let path = self.path.join(name);
        let stat = rustix::fs::fstat(&file).map_err(|e| StoreError::io("examine", &path, e))?;
        if stat.st_nlink > 1 {
            return Err(StoreError::malformed(
                &path,
                "is a hard link: it has another name too, and would be changed there as well; remove it",
            ));
        }
        Ok(file)
    }

    /// Gives a file the time `now`, making it where it is missing or has another name too.
    pub fn touch(&self, name: &str, now: SystemTime) -> Result<()> {
        let file = match self.open_in_place(name) {
            Err(StoreError::Malformed { .. }) if self.kind(name)? == Some(FileType::RegularFile) => {
                self.replace_unsynced(name, b"")?;
                self.open_in_place(name)?
            }
            opened => opened?,
        };
        file.set_modified(now)
            .map_err(|e| StoreError::io("touch", self.path.join(name), e))
    }

    /// Opens a regular file; `None` where there is nothing of this name.
    pub fn file(&self, name: &str) -> Result<Option<Opened>> {
        let Some(file) = self.open_guarded(name, OFlags::RDONLY | GUARDED)? else {
            return Ok(None);
        };
        let path = self.path.join(name);
        let stat = rustix::fs::fstat(&file).map_err(|e| StoreError::io("examine", &path, e))?;
        Ok(Some(Opened {
            file,
            stamp: Stamp::of(&stat),
            path,
        }))
    }

    /// Opens what must be a regular file, and is left alone where it is anything else.
    fn open_guarded(&self, name: &str, flags: OFlags) -> Result<Option<File>> {
        let path = self.child(OsStr::new(name))?;
        let irregular = || StoreError::malformed(&path, "is no regular file");
        let fd = match rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(0o644)) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            // A socket, a pipe without a reader, a device without a driver, a folder opened to write.
            Err(Errno::NXIO | Errno::NODEV | Errno::ISDIR | Errno::OPNOTSUPP) => return Err(irregular()),
            Err(e) => return Err(self.open_error(name, e)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(|e| StoreError::io("examine", &path, e))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(irregular());
        }
        Ok(Some(File::from(fd)))
    }

    fn open_error(&self, name: &str, errno: Errno) -> StoreError {
        let path = self.path.join(name);
        match errno {
            Errno::LOOP => StoreError::Link {
                path,
                expected: "a file",
            },
            errno => StoreError::io("open", path, errno),
        }
    }

    /// Reads a whole file of at most `limit` bytes, `what` being a noun phrase for its kind.
    pub fn read(&self, name: &str, what: &'static str, limit: u64) -> Result<Option<Vec<u8>>> {
        self.file(name)?
            .map(|opened| opened.read(what, limit))
            .transpose()
    }

    /// Returns the names in it, sorted; bytes that are no UTF-8 are replaced, which makes a name that nothing is called.
    pub fn names(&self) -> Result<Vec<String>> {
        self.names_of(|_name, _kind| Ok(true))
    }

    /// Returns the names of the folders in it, sorted.
    pub fn folders(&self) -> Result<Vec<String>> {
        self.names_of(|name, kind| match kind {
            // Some filesystems do not say it with the name.
            FileType::Unknown => Ok(self.kind(name)? == Some(FileType::Directory)),
            kind => Ok(kind == FileType::Directory),
        })
    }

    /// Returns the names of the regular files in it, sorted.
    pub(crate) fn regular_files(&self) -> Result<Vec<String>> {
        self.names_of(|name, kind| match kind {
            FileType::Unknown => Ok(self.kind(name)? == Some(FileType::RegularFile)),
            kind => Ok(kind == FileType::RegularFile),
        })
    }

    fn names_of(&self, mut wanted: impl FnMut(&str, FileType) -> Result<bool>) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for (number, entry) in self.entries()?.enumerate() {
            let (name, kind) = entry?;
            if number == ENTRIES_MAX {
                return Err(StoreError::malformed(
                    &self.path,
                    format!("has more than {ENTRIES_MAX} entries"),
                ));
            }
            if wanted(&name, kind)? {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Returns what is in it, in no order.
    fn entries(&self) -> Result<impl Iterator<Item = Result<(String, FileType)>>> {
        let failed = |e: Errno| StoreError::io("list", &self.path, e);
        let entries = rustix::fs::Dir::read_from(&self.fd).map_err(failed)?;
        Ok(entries.filter_map(move |entry| {
            let entry = match entry {
                Ok(entry) => entry,
                Err(e) => return Some(Err(failed(e))),
            };
            let name = entry.file_name().to_string_lossy();
            (name != "." && name != "..").then(|| Ok((name.into_owned(), entry.file_type())))
        }))
    }

    /// Returns what `name` is, without following it.
    pub fn kind(&self, name: &str) -> Result<Option<FileType>> {
        Ok(self.stat(name)?.map(|stat| FileType::from_raw_mode(stat.st_mode)))
    }

    /// Returns the stamp of `name`, without following it.
    pub fn stamp(&self, name: &str) -> Result<Option<Stamp>> {
        Ok(self.stat(name)?.map(|stat| Stamp::of(&stat)))
    }

    fn stat(&self, name: &str) -> Result<Option<rustix::fs::Stat>> {
        self.child(OsStr::new(name))?;
        found(rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW))
            .map_err(|e| StoreError::io("examine", self.path.join(name), e))
    }

    /// Returns where the symbolic link `name` points.
    pub(crate) fn link_target(&self, name: &str) -> Result<PathBuf> {
        let target = rustix::fs::readlinkat(&self.fd, name, Vec::new())
            .map_err(|e| StoreError::io("read link", self.path.join(name), e))?;
        Ok(PathBuf::from(OsStr::from_bytes(target.as_bytes())))
    }

    /// Renames within the folder, over what is there if it is of the same kind (a folder: only an empty one).
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        rustix::fs::renameat(&self.fd, from, &self.fd, to)
            .map_err(|e| StoreError::io("rename a finished write to", self.path.join(to), e))
    }

    /// Gives a file another name besides its own; what has that name already is an error.
    pub(crate) fn link(&self, name: &str, other: &str) -> Result<()> {
        rustix::fs::linkat(&self.fd, name, &self.fd, other, AtFlags::empty())
            .map_err(|e| StoreError::io("give another name, as", self.path.join(other), e))
    }

    /// Makes the names in it survive a power loss.
    pub fn sync(&self) -> Result<()> {
        rustix::fs::fsync(&self.fd).map_err(|e| StoreError::io("sync folder", &self.path, e))
    }

    /// Makes all that its file system holds survive a power loss.
    pub fn sync_file_system(&self) -> Result<()> {
        #[cfg(target_os = "linux")]
        let synced = rustix::fs::syncfs(&self.fd);
        #[cfg(not(target_os = "linux"))]
        let synced = {
            rustix::fs::sync();
            Ok(())
        };
        synced.map_err(|e| StoreError::io("sync the file system of", &self.path, e))
    }

    /// Removes `name` whatever it is, with all that it holds; links are removed, not followed.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.remove_below(name, DEPTH_MAX)
    }

    fn remove_below(&self, name: &str, depth: usize) -> Result<()> {
        let path = || self.path.join(name);
        let flags = match self.kind(name)? {
            None => return Ok(()),
            Some(FileType::Directory) => {
                if depth == 0 {
                    return Err(StoreError::malformed(
                        &path(),
                        "is nested too deeply to be removed",
                    ));
                }
                if let Some(dir) = self.dir(name)? {
                    for inner in dir.names()? {
                        dir.remove_below(&inner, depth - 1)?;
                    }
                }
                AtFlags::REMOVEDIR
            }
            Some(_) => AtFlags::empty(),
        };
        match rustix::fs::unlinkat(&self.fd, name, flags) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(StoreError::io("remove", path(), e)),
        }
    }

    /// Removes what unfinished writes left here, and returns what it was. Only for the lock's exclusive holder.
    pub fn sweep(&self, dry_run: bool) -> Result<Vec<PathBuf>> {
        let mut swept = Vec::new();
        for name in self.names()? {
            if name.starts_with(TEMPORARY) {
                if !dry_run {
                    self.remove(&name)?;
                }
                swept.push(self.path.join(name));
            }
        }
        Ok(swept)
    }
}

impl Opened {
    /// Reads to the end, refusing more than `limit` bytes; `what` is a noun phrase for its kind.
    pub fn read(self, what: &'static str, limit: u64) -> Result<Vec<u8>> {
        let Self { file, stamp, path } = self;
        let mut content = Vec::with_capacity(usize::try_from(stamp.bytes().min(limit)).unwrap_or(0));
        file.take(limit + 1)
            .read_to_end(&mut content)
            .map_err(|e| StoreError::io("read", &path, e))?;
        if content.len() as u64 > limit {
            return Err(StoreError::TooLarge { what, path, limit });
        }
        Ok(content)
    }
}

/// Makes a file's bytes survive a power loss.
pub(crate) fn sync_file(file: &File, path: &Path) -> Result<()> {
    rustix::fs::fsync(file).map_err(|e| StoreError::io("sync", path, e))
}

/// Reads the file at a path, through no link; `None` where there is nothing.
pub fn read(path: &Path, what: &'static str, limit: u64) -> Result<Option<Vec<u8>>> {
    let Some((dir, name)) = place(path)? else {
        return Ok(None);
    };
    dir.read(name, what, limit)
}

/// Opens the regular file at a path, through no link; `None` where there is nothing.
pub fn open_file(path: &Path) -> Result<Option<Opened>> {
    match place(path)? {
        Some((dir, name)) => dir.file(name),
        None => Ok(None),
    }
}

/// Splits a path into the folder, opened, and the name in it; `None` where there is no such folder.
fn place(path: &Path) -> Result<Option<(Dir, &str)>> {
    let name = path.file_name().and_then(OsStr::to_str);
    let (Some(parent), Some(name)) = (path.parent(), name) else {
        return Err(StoreError::malformed(path, "is no path of a file"));
    };
    Ok(Dir::open_if_there(parent)?.map(|dir| (dir, name)))
}

/// Says whether there is anything at a path, without following it; what cannot be looked at may be there.
pub fn may_be_there(path: &Path) -> bool {
    match place(path) {
        Ok(Some((dir, name))) => !matches!(dir.kind(name), Ok(None)),
        Ok(None) => false,
        Err(error) => {
            !matches!(error, StoreError::Io { error, .. } if error.kind() == io::ErrorKind::NotFound)
        }
    }
}
