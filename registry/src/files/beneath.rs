//! Opening a file below a folder that somebody named, whose links may lead anywhere below it and nowhere else.
//!
//! Each component is opened relative to the folder before it and never followed by the kernel; a link is read and its
//! target walked the same way. So there is no moment in which a link that is swapped leads out.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{Dir, GUARDED, Opened, Stamp};
use crate::error::StoreError;

/// How many links are followed on the way to one file.
const LINKS_MAX: usize = 40;

/// Opens the regular file at `path`, relative to `root`.
///
/// A link whose target is absolute, or leads above `root`, is [`StoreError::Outside`]; `root` itself is opened through no
/// link.
pub fn open_beneath(root: &Path, path: &Path) -> Result<Opened, StoreError> {
    let shown = root.join(path);
    let outside = || StoreError::Outside {
        path: shown.clone(),
        root: root.to_owned(),
    };
    let failed = |e: Errno| StoreError::io("open", &shown, e);
    let mut open = vec![Dir::open(root)?];
    let mut left: VecDeque<Step> = steps(path).ok_or_else(outside)?.into();
    let mut links = 0;
    while let Some(step) = left.pop_front() {
        let name = match step {
            Step::Into(name) => name,
            Step::Up => {
                open.pop();
                if open.is_empty() {
                    return Err(outside());
                }
                continue;
            }
        };
        let Some(dir) = open.last() else {
            return Err(outside());
        };
        // Looked at before it is opened: opening a device may do something.
        let stat =
            rustix::fs::statat(&dir.fd, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(failed(Errno::LOOP));
                }
                let target = rustix::fs::readlinkat(&dir.fd, name.as_os_str(), Vec::new()).map_err(failed)?;
                let target = PathBuf::from(OsStr::from_bytes(target.as_bytes()));
                for step in steps(&target).ok_or_else(outside)?.into_iter().rev() {
                    left.push_front(step);
                }
            }
            FileType::Directory => {
                let next = dir.folder(&name)?.ok_or_else(|| failed(Errno::NOENT))?;
                open.push(next);
            }
            FileType::RegularFile if left.is_empty() => return open_file(dir, &name, &shown),
            FileType::RegularFile => return Err(failed(Errno::NOTDIR)),
            _ => break,
        }
    }
    Err(StoreError::malformed(&shown, "is no regular file"))
}

fn open_file(dir: &Dir, name: &OsStr, shown: &Path) -> Result<Opened, StoreError> {
    let fd = rustix::fs::openat(&dir.fd, name, OFlags::RDONLY | GUARDED, Mode::empty())
        .map_err(|e| StoreError::io("open", shown, e))?;
    let stat = rustix::fs::fstat(&fd).map_err(|e| StoreError::io("examine", shown, e))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(StoreError::malformed(shown, "is no regular file"));
    }
    Ok(Opened {
        file: File::from(fd),
        stamp: Stamp::of(&stat),
        path: shown.to_owned(),
    })
}

/// One step of a relative path.
#[derive(Debug)]
enum Step {
    Into(OsString),
    Up,
}

/// Splits a relative path; `None` if it is absolute.
fn steps(path: &Path) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => steps.push(Step::Into(name.to_owned())),
            Component::ParentDir => steps.push(Step::Up),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_may_lead_anywhere_below_the_root_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let root = folder.join("data");
        std::fs::create_dir_all(root.join("2026/11")).unwrap();
        std::fs::write(root.join("2026/11/rows.csv"), "rows").unwrap();
        std::fs::write(folder.join("secret"), "secret").unwrap();
        for (target, link) in [
            ("2026/11", "current"),
            ("rows.csv", "2026/11/newest"),
            ("../../current/rows.csv", "2026/11/around"),
            ("../secret", "out"),
            ("2026/../../secret", "out-again"),
            ("..", "up"),
            ("loop", "loop"),
            ("/etc/passwd", "absolute"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        symlink(&root, folder.join("data-link")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, root.join("pipe"), Mode::from_raw_mode(0o600)).unwrap();
        let said = |root: &Path, path: &str| match open_beneath(root, Path::new(path)) {
            Ok(mut opened) => {
                let mut text = String::new();
                opened.file.read_to_string(&mut text).unwrap();
                text
            }
            Err(StoreError::Outside { .. }) => "outside".to_owned(),
            Err(error) => error.to_string().replace(&folder.display().to_string(), "…"),
        };
        for (path, expected) in [
            ("2026/11/rows.csv", "rows"),
            ("2026/../2026/11/./rows.csv", "rows"),
            ("current/rows.csv", "rows"),
            ("current/newest", "rows"),
            ("current/around", "rows"),
            ("out", "outside"),
            ("out-again", "outside"),
            ("up/secret", "outside"),
            ("../secret", "outside"),
            ("absolute", "outside"),
            ("/etc/passwd", "outside"),
            (
                "loop",
                "failed to open …/data/loop: Too many levels of symbolic links (os error 40)",
            ),
            ("pipe", "…/data/pipe is no regular file"),
            ("2026", "…/data/2026 is no regular file"),
            ("", "…/data/ is no regular file"),
            (
                "2026/11/rows.csv/x",
                "failed to open …/data/2026/11/rows.csv/x: Not a directory (os error 20)",
            ),
            (
                "none",
                "failed to open …/data/none: No such file or directory (os error 2)",
            ),
        ] {
            assert_eq!(said(&root, path), expected, "{path}");
        }
        let linked = said(&folder.join("data-link"), "current/rows.csv");
        assert!(linked.contains("data-link is a symbolic link"), "{linked}");
    }
}
