//! What can go wrong with a store, sorted by what happens next.

use std::io;
use std::path::{Path, PathBuf};

use planner::finding::Disposition;
use planner::names::{Digest, ModelName, Version};

use crate::reference::Reference;
use crate::shortage::{Advice, Shortage};
use crate::store::{METADATA_FILE, MODEL_FILE, Owner};
use crate::verify::CHECKSUMS_FILE;

/// Why an operation on a store failed. The message says what, where and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused. Names the act and the path, and what to do about a full or read-only disk,
    /// or a limit.
    #[error("failed to {act} {}: {error}{}", path.display(), hint(error))]
    Io {
        /// A verb, and what it was done to.
        act: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// There is no store.
    #[error(
        "{} holds no registry: mount the volume that has it, or make an empty one with `aurora registry init` (for a data directory that was in use, --installation takes what its file `installation` says)",
        .0.display()
    )]
    NoStore(PathBuf),
    /// The store's layout is one that this program does not know.
    #[error("{} has layout {found:?}, and this aurora reads up to v{}: upgrade aurora", path.display(), crate::store::LAYOUT)]
    OtherLayout {
        /// The store's root.
        path: PathBuf,
        /// What it says of itself, cut to 40 characters.
        found: String,
    },
    /// The store belongs to somebody else.
    #[error(
        "{} belongs to environment {} (installation {}), and this is environment {} (installation {}): \
         give each environment and installation a registry of its own (`registry.path`)",
        path.display(), owner.environment, owner.installation, wanted.environment, wanted.installation
    )]
    OtherOwner {
        /// The store's root.
        path: PathBuf,
        /// Whose it is.
        owner: Box<Owner>,
        /// Who asked.
        wanted: Box<Owner>,
    },
    /// Nothing answers to the reference.
    #[error("{model} has no {reference}")]
    NotFound {
        /// The model.
        model: ModelName,
        /// What was asked for.
        reference: Box<Reference>,
    },
    /// Several artifacts answer to the reference.
    #[error("{reference} of {model} may be {} or {}: give more digits", .digests[0], .digests[1])]
    Ambiguous {
        /// The model.
        model: ModelName,
        /// What was asked for.
        reference: Box<Reference>,
        /// Two of the artifacts.
        digests: Box<[Digest; 2]>,
    },
    /// The version exists with another artifact or other inputs; versions never change.
    #[error(
        "{model} {version} exists already with artifact {there}, not {given}: a version never changes, publish another one"
    )]
    Exists {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// The digest that it has.
        there: Digest,
        /// The digest that was to be published.
        given: Digest,
    },
    /// An alias is no link to a version of its model.
    #[error("alias {} {why}: remove it by hand, the next pass sets it anew", path.display())]
    BrokenAlias {
        /// The alias.
        path: PathBuf,
        /// What it is instead.
        why: String,
    },
    /// A version is not what its record says.
    #[error("{model} {version} is damaged: {damage}; {}, or publish another version", damage.advice())]
    Damaged {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// What is wrong.
        damage: Damage,
    },
    /// A file of the store is not what it should be.
    #[error("{} {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// Something in the store leads elsewhere.
    #[error("{} is a symbolic link where {expected} should be: nothing of aurora's is read or written through one", path.display())]
    Link {
        /// Where.
        path: PathBuf,
        /// What should be there, as a noun phrase.
        expected: &'static str,
    },
    /// A link below a folder that somebody named leads out of it.
    #[error("{} leads out of {}", path.display(), root.display())]
    Outside {
        /// What was to be opened.
        path: PathBuf,
        /// The folder.
        root: PathBuf,
    },
    /// Something is larger than what is read of its kind.
    #[error("{} is larger than {limit} bytes, the limit for {what}", path.display())]
    TooLarge {
        /// What it is, as a noun phrase.
        what: &'static str,
        /// Where it lies.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// The model's name is one that the layout needs for itself.
    #[error("a model cannot be called {0}: the registry keeps a folder of its own under this name")]
    ReservedName(ModelName),
    /// What was to be published contradicts itself.
    #[error("{model} {version} cannot be published: {why}")]
    Draft {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// What is wrong with it.
        why: String,
    },
    /// An alias was to move to other bytes than the version has.
    #[error("{model} {version} has artifact {there}, not {given}: its alias stays")]
    OtherDigest {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// The digest that it has.
        there: Digest,
        /// The digest that was expected.
        given: Digest,
    },
    /// A data file is not the one that it was said to be.
    #[error("the data has {got}, not {expected}: the file changed, or its sha256 is wrong")]
    DatasetDigest {
        /// What was asked for.
        expected: Digest,
        /// What was read.
        got: Digest,
    },
    /// Another process works on the store.
    #[error("{} is held by another process for more than {seconds} s: try again when its work is done", path.display())]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
    /// Whoever says when this process may write says no.
    #[error("this process may not write now, for another one may lead: nothing is written")]
    NotPermitted,
}

impl StoreError {
    /// Says what happens next.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Io { error, .. } => match error.kind() {
                io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::PermissionDenied
                | io::ErrorKind::AlreadyExists
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::IsADirectory => Disposition::Invalid,
                _ => Disposition::Transient,
            },
            Self::NotPermitted => Disposition::Transient,
            Self::Damaged {
                damage: Damage::Unreadable(error),
                ..
            } => error.disposition(),
            Self::NotFound { .. } | Self::Busy { .. } => Disposition::Waiting,
            Self::NoStore(_)
            | Self::OtherLayout { .. }
            | Self::OtherOwner { .. }
            | Self::Ambiguous { .. }
            | Self::Exists { .. }
            | Self::BrokenAlias { .. }
            | Self::Damaged { .. }
            | Self::Malformed { .. }
            | Self::Link { .. }
            | Self::Outside { .. }
            | Self::TooLarge { .. }
            | Self::ReservedName(_)
            | Self::Draft { .. }
            | Self::OtherDigest { .. }
            | Self::DatasetDigest { .. } => Disposition::Invalid,
        }
    }

    /// Returns the limit that was reached, where that is why: it says nothing of what was to be read.
    pub fn shortage(&self) -> Option<Shortage> {
        match self {
            Self::Io { error, .. } => Shortage::of(error),
            _ => None,
        }
    }

    /// Says whether what was asked for is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }

    pub(crate) fn io(act: &'static str, path: impl Into<PathBuf>, error: impl Into<io::Error>) -> Self {
        Self::Io {
            act,
            path: path.into(),
            error: error.into(),
        }
    }

    pub(crate) fn malformed(path: &Path, why: impl Into<String>) -> Self {
        Self::Malformed {
            path: path.to_owned(),
            why: why.into(),
        }
    }
}

impl From<StoreError> for io::Error {
    /// Keeps the kind, and says the rest in words.
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::Io { error, .. } => error.kind(),
            StoreError::TooLarge { .. } => io::ErrorKind::FileTooLarge,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

fn hint(error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space, for instance with `aurora model gc`"
        }
        io::ErrorKind::ReadOnlyFilesystem => "; mount the registry writable",
        io::ErrorKind::PermissionDenied => "; give this user the right to write the registry",
        _ => return Advice::from(Shortage::of(error)).to_string(),
    };
    advice.to_owned()
}

/// Renders why JSON was not understood, cut to what fits a line: the text may quote what it met, whatever its length.
pub(crate) fn why(error: &serde_json::Error) -> String {
    const CHARS_MAX: usize = 160;
    let text = error.to_string();
    match text.char_indices().nth(CHARS_MAX) {
        Some((at, _)) => format!("{}… (line {})", &text[..at], error.line()),
        None => text,
    }
}

/// What is wrong with a version's files: a phrase that follows "is damaged: ".
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// A file is missing.
    #[error("{0} is missing")]
    Missing(String),
    /// A file's bytes are not those that were published.
    #[error("{file} has {got}, and its record says {expected}")]
    Changed {
        /// The file.
        file: String,
        /// What its record says.
        expected: Digest,
        /// What it has.
        got: Digest,
    },
    /// There is a file that was not published.
    #[error("{0} does not belong to it")]
    Unexpected(String),
    /// A file cannot be understood, or contradicts another one.
    #[error("{file} {why}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// It could not be checked: the one damage that may pass by itself.
    #[error("it cannot be checked: {0}")]
    Unreadable(Box<StoreError>),
}

impl Damage {
    /// Says what mends it.
    fn advice(&self) -> String {
        match self {
            Self::Missing(file) | Self::Changed { file, .. } | Self::Malformed { file, .. }
                if is_ours(file) =>
            {
                format!("restore its {file}")
            }
            Self::Unexpected(file) => format!("take {file} away"),
            Self::Missing(_) | Self::Changed { .. } | Self::Malformed { .. } | Self::Unreadable(_) => {
                "restore its files".to_owned()
            }
        }
    }
}

fn is_ours(file: &str) -> bool {
    [METADATA_FILE, MODEL_FILE, CHECKSUMS_FILE].contains(&file)
}

impl From<StoreError> for Damage {
    /// What lies where a file should be is damage; only what the operating system refuses may pass.
    fn from(error: StoreError) -> Self {
        let (path, why) = match error {
            StoreError::Link { path, .. } => (path, "is a symbolic link".to_owned()),
            StoreError::Malformed { path, why } => (path, why),
            StoreError::TooLarge { path, limit, .. } => (path, format!("has more than {limit} bytes")),
            error => return Self::Unreadable(Box::new(error)),
        };
        let file = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Self::Malformed { file, why }
    }
}
