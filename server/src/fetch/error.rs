//! Why a version is not there, and whether asking again may help.

use std::time::Duration;

use hyper::StatusCode;
use planner::finding::Disposition;
use planner::names::{Digest, ModelName, Version};
use registry::artifact::LoadError;
use web::WebError;

/// Says why a version could not be fetched or loaded.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Nothing answers.
    #[error("the control plane cannot be reached: {0}")]
    Unreachable(String),
    /// It began to answer and stopped.
    #[error("the control plane's answer broke off: {0}")]
    Broken(String),
    /// It takes longer than it may.
    #[error("the control plane takes more than {limit:?} to {what}")]
    Slow {
        /// What it was to do.
        what: &'static str,
        /// How long it had.
        limit: Duration,
    },
    /// It cannot answer now, or what it has is damaged.
    #[error("the control plane answers {status}: {said}")]
    Unavailable {
        /// The status.
        status: StatusCode,
        /// What it says.
        said: String,
    },
    /// The key is wrong, or there is none.
    #[error("the control plane refuses the key ({status}): {said}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// What it says.
        said: String,
    },
    /// It has no such version.
    #[error("the control plane has no {model} {version}: {said}")]
    NotThere {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// What it says.
        said: String,
    },
    /// It answers what a control plane does not.
    #[error("what answers there is no control plane of Aurora: {0}")]
    Unexpected(String),
    /// The version's artifact is another than was pinned.
    #[error("{model} {version} has digest {got} there, and {pinned} is what was pinned")]
    OtherDigest {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// What the registry has.
        got: Digest,
        /// What was pinned.
        pinned: Digest,
    },
    /// What came is not what was announced.
    #[error("what came has digest {got}, and {pinned} is what was pinned: it was changed on its way")]
    Changed {
        /// What came.
        got: Digest,
        /// What was pinned.
        pinned: Digest,
    },
    /// It sends more than may be.
    #[error("{what} has more than the {limit} bytes that it may have")]
    TooLarge {
        /// What.
        what: &'static str,
        /// How many bytes it may have.
        limit: u64,
    },
    /// The key's file gives no key.
    #[error("the key's file cannot be used: {0}")]
    Key(String),
    /// Nothing says whose signature it needs.
    #[error("what versions are held to cannot be read: {0}")]
    Trust(String),
    /// Nobody who is trusted has signed it.
    #[error("{0}")]
    Untrusted(String),
    /// It is what was pinned, and does not load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// What was asked of it cannot be asked, or who answers is not who was asked.
    #[error("the control plane cannot be asked: {0}")]
    Unaskable(String),
    /// The thread that loads died.
    #[error("the loader died: {0}")]
    Died(String),
}

impl FetchError {
    /// Says what happens next: what is transient is tried until it works, what waits is tried a few times, since a key or a
    /// volume may be a little behind, and what is invalid is not tried again.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Unreachable(_) | Self::Broken(_) | Self::Slow { .. } | Self::Unavailable { .. } => {
                Disposition::Transient
            }
            Self::Refused { .. }
            | Self::NotThere { .. }
            | Self::Unexpected(_)
            | Self::Changed { .. }
            | Self::TooLarge { .. }
            | Self::Unaskable(_)
            | Self::Key(_)
            | Self::Trust(_)
            | Self::Untrusted(_) => Disposition::Waiting,
            Self::OtherDigest { .. } | Self::Load(_) | Self::Died(_) => Disposition::Invalid,
        }
    }

    /// Says what a person can do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused { .. } | Self::Key(_) => Some(
                "`aurora key new NAME` makes a key: its line belongs into the control plane's --api-keys-file, the key into the file of --key-file",
            ),
            Self::NotThere { .. } => Some("`aurora model list` says what the registry holds"),
            Self::OtherDigest { .. } => Some(
                "a version never changes: `aurora model verify` says whether the registry is sound, and the manifest's pin says what was reviewed",
            ),
            Self::Trust(_) => Some(
                "the file of --trust-file is what the reconciler writes into the ConfigMap `aurora-trust`: {\"verify\": …, \"keys\": […]}",
            ),
            Self::Untrusted(_) => Some("where it is what somebody vouches for, `aurora model sign` signs it"),
            Self::Load(_) => Some("`aurora model verify` says which versions are sound"),
            Self::Unexpected(_) => {
                Some("--control-plane names the control plane itself: redirects are not followed")
            }
            Self::Unreachable(_)
            | Self::Broken(_)
            | Self::Slow { .. }
            | Self::Unavailable { .. }
            | Self::Changed { .. }
            | Self::TooLarge { .. }
            | Self::Unaskable(_)
            | Self::Died(_) => None,
        }
    }
}

impl From<WebError> for FetchError {
    fn from(error: WebError) -> Self {
        match error {
            WebError::Slow { what, limit, .. } => Self::Slow { what, limit },
            WebError::Broken { why, .. } => Self::Broken(why),
            WebError::Redirected { .. } => Self::Unexpected(error.to_string()),
            error => match error.disposition() {
                Disposition::Transient | Disposition::Waiting => Self::Unreachable(error.to_string()),
                Disposition::Invalid => Self::Unaskable(error.to_string()),
            },
        }
    }
}
