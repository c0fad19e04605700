//! Opening a folder by its whole path, through no symbolic link.
//!
//! The kernel does it in one call where it can (`openat2`, Linux 5.6); where it cannot, or a sandbox forbids that call,
//! the path is walked one component at a time.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::DIRECTORY;
use crate::error::StoreError;

/// How a folder is opened that is only passed through: that needs no right to list it.
#[cfg(target_os = "linux")]
const PASSED: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const PASSED: OFlags = DIRECTORY;

/// Opens the folder at an absolute path.
pub(super) fn folder(path: &Path) -> Result<OwnedFd, StoreError> {
    match at_once(path) {
        Some(Ok(fd)) => Ok(fd),
        // The walk says which part of the path is a link.
        Some(Err(Errno::LOOP | Errno::NOTDIR)) | None => walk(path),
        Some(Err(e)) => Err(StoreError::io("open folder", path, e)),
    }
}

/// Lets the kernel resolve the path; `None` where it cannot.
#[cfg(target_os = "linux")]
fn at_once(path: &Path) -> Option<rustix::io::Result<OwnedFd>> {
    use rustix::fs::ResolveFlags;
    static IS_MISSING: AtomicBool = AtomicBool::new(false);
    if IS_MISSING.load(Ordering::Relaxed) {
        return None;
    }
    match rustix::fs::openat2(CWD, path, DIRECTORY, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        // Seccomp filters answer PERM for a call that they do not know.
        Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => {
            IS_MISSING.store(true, Ordering::Relaxed);
            None
        }
        opened => Some(opened),
    }
}

#[cfg(not(target_os = "linux"))]
fn at_once(_path: &Path) -> Option<rustix::io::Result<OwnedFd>> {
    None
}

fn walk(path: &Path) -> Result<OwnedFd, StoreError> {
    let mut at = PathBuf::from("/");
    let failed = |at: &Path, e: Errno| StoreError::io("open folder", at, e);
    let mut fd = rustix::fs::open("/", PASSED, Mode::empty()).map_err(|e| failed(&at, e))?;
    let mut components = path.components().peekable();
    while let Some(component) = components.next() {
        let name = match component {
            Component::RootDir | Component::CurDir | Component::Prefix(_) => continue,
            Component::ParentDir => OsStr::new(".."),
            Component::Normal(name) => name,
        };
        at.push(name);
        let flags = if components.peek().is_some() {
            PASSED
        } else {
            DIRECTORY
        };
        fd = match rustix::fs::openat(&fd, name, flags | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(next) => next,
            Err(Errno::LOOP | Errno::NOTDIR) if is_link(&fd, name) => {
                return Err(StoreError::Link {
                    path: at,
                    expected: "a folder",
                });
            }
            Err(e) => return Err(failed(&at, e)),
        };
    }
    if path.parent().is_none() {
        return rustix::fs::open("/", DIRECTORY, Mode::empty()).map_err(|e| failed(&at, e));
    }
    Ok(fd)
}

/// Says whether a name is a symbolic link.
pub(super) fn is_link(dir: impl AsFd, name: &OsStr) -> bool {
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_open_the_same_folders_and_follow_nothing() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("a/b/c")).unwrap();
        std::fs::write(root.join("a/file"), "").unwrap();
        std::os::unix::fs::symlink("a", root.join("link")).unwrap();
        std::os::unix::fs::symlink("b", root.join("a/inner")).unwrap();
        let said = |opened: Result<OwnedFd, StoreError>| match opened {
            Ok(fd) => rustix::fs::fstat(&fd).unwrap().st_ino.to_string(),
            Err(error) => error.to_string().replace(&root.display().to_string(), "…"),
        };
        for path in ["a/b/c", "a", "a/../a/b", ""] {
            let path = root.join(path);
            let expected = std::fs::metadata(&path).unwrap();
            let inode = std::os::unix::fs::MetadataExt::ino(&expected).to_string();
            assert_eq!(said(folder(&path)), inode, "{}", path.display());
            assert_eq!(said(walk(&path)), inode, "{}", path.display());
        }
        assert!(walk(Path::new("/")).is_ok() && folder(Path::new("/")).is_ok());
        for (path, expected) in [
            ("link", "…/link is a symbolic link where a folder"),
            ("link/b", "…/link is a symbolic link where a folder"),
            ("a/inner/c", "…/a/inner is a symbolic link where a folder"),
            ("a/file", "failed to open folder …/a/file: Not a directory"),
            ("a/file/c", "failed to open folder …/a/file"),
            ("a/none/c", "failed to open folder …/a/none"),
        ] {
            let path = root.join(path);
            for said in [said(folder(&path)), said(walk(&path))] {
                // The kernel does not say which part of a path is missing.
                let expected = if said.contains("No such") {
                    "failed to open folder …/a/none"
                } else {
                    expected
                };
                assert!(said.starts_with(expected), "{}: {said}", path.display());
            }
        }
    }
}
