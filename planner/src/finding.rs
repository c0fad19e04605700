//! Something wrong with one manifest: it stops that model, never the others.

use std::fmt;
use std::str::FromStr;

use serde::de::IntoDeserializer as _;
use serde::{Deserialize, Serialize};

use crate::environment::Drift;
use crate::object::ObjectId;
use crate::shown::escape;

/// What happens next after something went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Disposition {
    /// A person must act: nothing changes by itself.
    Invalid,
    /// Something else must come first, and will by itself.
    Waiting,
    /// It may succeed when it is tried again.
    Transient,
}

/// Why a finding was made. The text is stable: it is a condition's reason and a metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// The environment's folder has no MLEnvironment, or more than one.
    EnvironmentMissing,
    /// A file is no YAML, no UTF-8, too large, or passes a limit.
    Unreadable,
    /// A document is not one of the three kinds, or breaks its schema.
    InvalidManifest,
    /// Two manifests claim one name or one model.
    Duplicate,
    /// A link, submodule or other entry that Aurora does not follow.
    UnsupportedEntry,
    /// A pinned version has another digest than the pin says.
    DigestMismatch,
    /// The registry's artifact is no longer what its record or a pin's resolution says.
    ArtifactChanged,
    /// A pinned version does not exist and no training job makes it: there is none, it failed or it is suspended.
    VersionMissing,
    /// A pinned version cannot be imported from the environment that has it until a person acts. It is tried again.
    ImportFailed,
    /// The environment that pinned versions are imported from does not answer, or not now. It is asked again.
    UpstreamUnavailable,
    /// A pinned version is evaluated by another engine than its deployment allows.
    EngineNotDeclared,
    /// A fixed version exists, trained from other inputs.
    VersionHasOtherInputs,
    /// A commit removes more than the environment allows.
    RemovalRefused,
    /// A commit raises a version's share of the requests by more than the environment allows at once.
    WeightStepTooLarge,
    /// A version's signature breaks clients of the present stable.
    SignatureBreaking,
    /// A version's metric is worse than that of the present stable on the same holdout.
    MetricWorse,
    /// A version is not the stable one of the environment that it must come through.
    NotPromoted,
    /// A version that is not signed by any key that the environment trusts is not let through.
    VersionUntrusted,
    /// A version is not signed by any key that the environment trusts. A report, it stops nothing.
    VersionUnsigned,
    /// Something is not known that the environment asks for before a version gets more requests.
    GateUnknown,
    /// A commit is not signed by anybody whom the environment allows: nothing is applied from it on.
    CommitRefused,
    /// A commit is not signed by anybody whom the environment allows. A report, it stops nothing.
    CommitUnverified,
    /// A file of the keys that may sign commits has a line that cannot be used.
    SignersUnusable,
    /// The file that a job trains on is missing or not what it should be.
    DatasetUnusable,
    /// A training run failed in a way that only a person can mend.
    TrainingFailed,
    /// A version does not load.
    LoadFailed,
    /// The branch was moved to a commit that does not contain the last applied one. A report, it stops nothing.
    BranchForced,
    /// The branch is gone, or has no readable commit.
    SourceUnavailable,
    /// The data directory or the registry cannot be read or written. It is tried again.
    StorageUnavailable,
    /// The API server does not answer, or not now. It is asked again.
    ClusterUnavailable,
    /// The API server refuses: a permission is missing, or a rule of the cluster forbids it.
    ClusterRefused,
    /// An object has the name of one of ours, and is somebody else's.
    ForeignObject,
    /// An object of the environment makes no sense, and no manifest says what it should be. A report, it stops nothing.
    UnreadableObject,
    /// Somebody changed what Git declares, and `drift: Warn` lets it stand.
    Drifted,
    /// Somebody changed what Git declares, and `drift: Off` lets it stand. A report, it stops nothing.
    DriftLeft,
}

impl Reason {
    /// Says whether a commit with such a finding is not applied as a whole. A report, and what came of an object that
    /// was written, say nothing of that.
    pub const fn stops_commit(self) -> bool {
        match self {
            Self::TrainingFailed
            | Self::LoadFailed
            | Self::BranchForced
            | Self::UnreadableObject
            | Self::CommitUnverified
            | Self::SignersUnusable
            | Self::VersionUnsigned
            | Self::DriftLeft => false,
            Self::EnvironmentMissing
            | Self::Unreadable
            | Self::InvalidManifest
            | Self::Duplicate
            | Self::UnsupportedEntry
            | Self::DigestMismatch
            | Self::ArtifactChanged
            | Self::VersionMissing
            | Self::ImportFailed
            | Self::UpstreamUnavailable
            | Self::EngineNotDeclared
            | Self::VersionHasOtherInputs
            | Self::RemovalRefused
            | Self::WeightStepTooLarge
            | Self::SignatureBreaking
            | Self::MetricWorse
            | Self::NotPromoted
            | Self::VersionUntrusted
            | Self::GateUnknown
            | Self::CommitRefused
            | Self::DatasetUnusable
            | Self::SourceUnavailable
            | Self::StorageUnavailable
            | Self::ClusterUnavailable
            | Self::ClusterRefused
            | Self::ForeignObject
            | Self::Drifted => true,
        }
    }

    /// Says whether it is only told.
    pub const fn is_report(self) -> bool {
        matches!(
            self,
            Self::BranchForced
                | Self::UnreadableObject
                | Self::DriftLeft
                | Self::CommitUnverified
                | Self::VersionUnsigned
        )
    }

    /// Returns what is said of a change by somebody else that is not corrected; `None` where it is.
    pub const fn of_drift(drift: Drift) -> Option<Self> {
        match drift {
            Drift::Correct => None,
            Drift::Warn => Some(Self::Drifted),
            Drift::Off => Some(Self::DriftLeft),
        }
    }

    /// Says whether somebody changed what Git declares, and that stands.
    pub const fn is_drift(self) -> bool {
        matches!(self, Self::Drifted | Self::DriftLeft)
    }

    /// Says whether it stands until a person acts, so that trying again is no progress.
    pub const fn stands(self) -> bool {
        matches!(
            self,
            Self::ClusterRefused
                | Self::ForeignObject
                | Self::UnreadableObject
                | Self::Drifted
                | Self::DriftLeft
        )
    }

    /// Says whether the environment's policy stops something: it is that of the last applied commit.
    pub const fn is_of_policy(self) -> bool {
        matches!(
            self,
            Self::RemovalRefused
                | Self::WeightStepTooLarge
                | Self::SignatureBreaking
                | Self::MetricWorse
                | Self::NotPromoted
                | Self::VersionUntrusted
                | Self::GateUnknown
        )
    }

    /// Says whether nothing is known of what the branch's newest commit declares.
    pub const fn is_blind(self) -> bool {
        matches!(self, Self::EnvironmentMissing | Self::SourceUnavailable)
    }
}

/// Reads what [`fmt::Display`] writes.
impl FromStr for Reason {
    type Err = serde::de::value::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::deserialize(text.into_deserializer())
    }
}

/// Where in the repository a finding was made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Location {
    /// Path from the repository's root.
    pub file: String,
    /// 1-based line; 0 where the finding is about the whole file.
    pub line: u64,
    /// 1-based column; 0 where the finding is about the whole file.
    pub column: u64,
}

/// For people: what the file's name hides is escaped.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.file))?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        Ok(())
    }
}

/// What a finding is about; its text is `MLDeployment/wine-quality` for an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Subject {
    /// An object, or the manifest of one.
    Object(ObjectId),
    /// Anything else, in words; empty for a file as a whole.
    Other(String),
}

impl Subject {
    /// Returns the object that it is about.
    pub fn object(&self) -> Option<&ObjectId> {
        match self {
            Self::Object(id) => Some(id),
            Self::Other(_) => None,
        }
    }

    /// Says whether it is about a file as a whole.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Other(text) if text.is_empty())
    }
}

impl Default for Subject {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

impl From<ObjectId> for Subject {
    fn from(id: ObjectId) -> Self {
        Self::Object(id)
    }
}

impl From<String> for Subject {
    /// Recognises an object by its text.
    fn from(text: String) -> Self {
        let id = text.split_once('/').and_then(|(kind, name)| {
            Some(ObjectId {
                kind: kind.parse().ok()?,
                name: name.parse().ok()?,
            })
        });
        id.map_or(Self::Other(text), Self::Object)
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.to_string()
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(id) => id.fmt(f),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// Something wrong with one manifest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// Where, if it is about a file.
    pub location: Option<Location>,
    /// Why, as a stable word.
    pub reason: Reason,
    /// What it is about.
    pub subject: Subject,
    /// What is wrong, a lower-case fragment without a full stop.
    pub message: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// For people: at most two lines, whatever the commit put into its texts.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(f, "{location}: ")?;
        }
        write!(f, "{}: ", self.reason)?;
        if !self.subject.is_empty() {
            write!(f, "{}: ", escape(&self.subject.to_string()))?;
        }
        f.write_str(&escape(&self.message))?;
        if !self.hint.is_empty() {
            write!(f, "\n  hint: {}", escape(&self.hint))?;
        }
        Ok(())
    }
}
