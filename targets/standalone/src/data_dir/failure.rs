//! Word of why a process did not start, or could not go on: left in the directory for whoever looks while none runs.

use std::io;
use std::path::Path;

use crds::view::Failure;
use registry::files::Dir;

use super::files::FILE;
use super::place::{Purpose, refuse_shared};
use super::tracked::Tracked;
use super::{DataDirError, LOCK, SMALL_BYTES_MAX, lock, settle};

const FAILURE: &str = "failure.json";

/// Leaves word of a failure; makes nothing where there is no data directory.
///
/// # Errors
///
/// The directory is not one to write in, or another process has it: what went wrong is no matter of that one then.
pub fn leave_failure(path: &Path, failure: &Failure) -> Result<(), DataDirError> {
    let path = settle(path)?;
    let opened = Dir::open_if_there(&path).map_err(DataDirError::store("open", &path))?;
    let Some(dir) = opened.filter(|dir| matches!(dir.stamp(LOCK), Ok(Some(_)))) else {
        return Ok(());
    };
    Tracked::around(&path).refuse()?;
    refuse_shared(&dir, Purpose::Write)?;
    let _held = lock(&dir)?;
    let bytes =
        serde_json::to_vec(failure).map_err(|error| DataDirError::io("write", &path)(error.into()))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > SMALL_BYTES_MAX) {
        return Err(DataDirError::io("write", &path)(
            io::ErrorKind::FileTooLarge.into(),
        ));
    }
    dir.replace_unsynced(FAILURE, &bytes)
        .map_err(DataDirError::store("write", &path.join(FAILURE)))
}

/// Returns what the last process left word of; `None` where none did, or it cannot be read.
pub fn left_failure(path: &Path) -> Option<Failure> {
    let dir = Dir::open_if_there(path).ok()??;
    let bytes = dir.read(FAILURE, FILE, SMALL_BYTES_MAX).ok()??;
    serde_json::from_slice(&bytes).ok()
}

/// Forgets it: a process has the directory.
pub(super) fn forget(dir: &Dir) {
    if matches!(dir.stamp(FAILURE), Ok(Some(_))) {
        // One that cannot be removed is shown only while no process runs.
        let _gone = dir.remove(FAILURE);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::DataDir;

    fn failure() -> Failure {
        Failure {
            message: "the port is in use".to_owned(),
            hint: "give another one".to_owned(),
        }
    }

    #[test]
    fn word_is_left_where_nobody_runs_until_somebody_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        // Nothing is made for it.
        leave_failure(&path, &failure()).unwrap();
        assert!(!path.exists());

        let running = DataDir::open(&path, "test").unwrap();
        let refused = leave_failure(&path, &failure()).unwrap_err();
        assert!(matches!(refused, DataDirError::InUse { .. }), "{refused}");
        drop(running);
        assert_eq!(left_failure(&path), None);

        leave_failure(&path, &failure()).unwrap();
        assert_eq!(left_failure(&path), Some(failure()));
        drop(DataDir::open(&path, "test").unwrap());
        assert_eq!(left_failure(&path), None);
    }

    #[test]
    fn what_lies_in_its_place_is_neither_read_nor_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (path, precious) = (folder.path().join("data"), folder.path().join("precious"));
        drop(DataDir::open(&path, "test").unwrap());
        let theirs = serde_json::to_vec(&failure()).unwrap();
        fs::write(&precious, &theirs).unwrap();
        symlink(&precious, path.join(FAILURE)).unwrap();
        assert_eq!(left_failure(&path), None);
        let other = Failure {
            message: "another".to_owned(),
            ..failure()
        };
        let _left_or_refused = leave_failure(&path, &other);
        assert_eq!(fs::read(&precious).unwrap(), theirs);
    }
}
