//! Why a data directory cannot be used, each with what to do.

use std::io;
use std::path::{Path, PathBuf};

use crds::ForeignObject;
use planner::memory::UnknownFormat;
use planner::names::EnvironmentName;
use registry::{Advice, Shortage, StoreError};

use super::files::plain;

/// What is told of a link in the place of something of ours.
const UNFOLLOWED: &str = "; aurora follows no link there: remove it";

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
    /// It is reached through a link that a commit may have brought.
    #[error(
        "{} is a symbolic link in the Git work tree {}, where a commit may have brought it, and is not followed; give the folder itself with --data-dir{}",
        path.display(), work_tree.display(), if target.is_absolute() { format!(" {}", target.display()) } else { String::new() }
    )]
    Link {
        /// The link.
        path: PathBuf,
        /// Where it points.
        target: PathBuf,
        /// The work tree.
        work_tree: PathBuf,
    },
    /// Git tracks something in it.
    #[error(
        "Git tracks {file}, in the folder {}: what a commit brings there is neither used nor served; remove it (git -C {} rm -rf -- {}; with --cached beside if you added files of your own by mistake) and commit that, or give another folder with --data-dir",
        path.display(), work_tree.display(), inside.display()
    )]
    Tracked {
        /// The data directory.
        path: PathBuf,
        /// The work tree.
        work_tree: PathBuf,
        /// The data directory's path in the work tree.
        inside: PathBuf,
        /// The first tracked file, from the work tree's root, made fit to be shown.
        file: String,
    },
    /// A repository lies in the place of one of its folders.
    #[error(
        "{} is a Git work tree, and aurora keeps files of its own in this folder; give another folder with --data-dir, or move the clone",
        path.display()
    )]
    WorkTree {
        /// The folder.
        path: PathBuf,
    },
    /// It cannot be said what Git tracks.
    #[error(
        "cannot tell whether Git tracks anything of the folder {}: the index of {}: {why}; mend it, or give a folder outside with --data-dir",
        path.display(), work_tree.display()
    )]
    IndexUnreadable {
        /// The data directory.
        path: PathBuf,
        /// The work tree.
        work_tree: PathBuf,
        /// Why not.
        why: String,
    },
    /// It belongs to somebody else.
    #[error(
        "{} belongs to user {owner}, and this is user {user}: run as that user, `chown -R {user} {}`, or give a folder that aurora makes itself, such as {}",
        path.display(), path.display(), path.join("aurora").display()
    )]
    OtherUser {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        user: u32,
    },
    /// Somebody else may write in it.
    #[error(
        "others may write in {} (mode {mode:04o}), and could change what is served: `chmod go-w {}`, or give a folder that aurora makes itself, such as {}",
        path.display(), path.display(), path.join("aurora").display()
    )]
    Shared {
        /// The folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
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
    /// Another program wrote an object.
    #[error("{} {source}, or give another folder with --data-dir", path.display())]
    ForeignObject {
        /// The object.
        path: PathBuf,
        /// In which version of the API.
        #[source]
        source: ForeignObject,
    },
    /// Something else is in the place of a file or folder of it.
    #[error("{source}{advice}")]
    InTheWay {
        /// What.
        #[source]
        source: Box<StoreError>,
        /// What to do, as `; …`, or nothing.
        advice: &'static str,
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
    /// Says whether what was looked for is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }

    pub(super) fn store(what: &'static str, path: &Path) -> impl FnOnce(StoreError) -> Self {
        let path = path.to_owned();
        move |error| match error {
            // It names what is in the way itself.
            error @ (StoreError::Link { .. } | StoreError::Malformed { .. }) => Self::InTheWay {
                advice: if matches!(error, StoreError::Link { .. }) {
                    UNFOLLOWED
                } else {
                    ""
                },
                source: Box::new(error),
            },
            error => Self::Io {
                what,
                path,
                source: plain(error),
            },
        }
    }
}

/// Says what a person can do about an error of the operating system, as `; …`, or nothing.
pub(crate) fn advice(error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free some space",
        io::ErrorKind::ReadOnlyFilesystem => "; make the file system writable",
        io::ErrorKind::PermissionDenied => "; give this user the right to write there",
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => "; a file is in the folder's way",
        _ => return Advice::from(Shortage::of_start(error)).to_string(),
    };
    advice.to_owned()
}
