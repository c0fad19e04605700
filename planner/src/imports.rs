//! Versions that come from another environment's registry: what is asked for, and how that stands.
//!
//! An import that was asked for is tried until its version is there or nothing pins it any more; a plan only says what is to
//! be asked for, and what became of it so far.

use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::finding::Reason;
use crate::names::{Digest, ModelName, Revision, Version};

/// A version that is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The registered model.
    pub model: ModelName,
    /// The version.
    pub version: Version,
    /// What it must be: nothing else is taken.
    pub digest: Digest,
    /// Where it is.
    pub from: Endpoint,
    /// The commit that asks for it.
    pub revision: Revision,
}

/// An import that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// What was asked for.
    pub wanted: Wanted,
    /// What the last attempt failed for; absent while the first is under way.
    pub fault: Option<Fault>,
}

impl Import {
    /// Says whether it brings these bytes from there, whichever commit asked.
    pub fn brings(&self, digest: Digest, from: &Endpoint) -> bool {
        self.wanted.digest == digest && self.wanted.from == *from
    }
}

/// Why a version could not be imported. It is tried again in any case: nothing tells when a person has mended it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// Its artifact is another there.
    OtherDigest(Digest),
    /// It is not there.
    NotThere,
    /// It is not handed out: a key is missing or wrong.
    Refused(String),
    /// What came is no version that could serve.
    Unusable(String),
    /// Nothing answers, or not as it should, or not in time.
    Unavailable(String),
    /// It came, and this registry could not take it.
    Storage(String),
}

impl Fault {
    /// Says why a finding is made.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::OtherDigest(_) => Reason::DigestMismatch,
            Self::NotThere => Reason::VersionMissing,
            Self::Refused(_) | Self::Unusable(_) => Reason::ImportFailed,
            Self::Unavailable(_) => Reason::UpstreamUnavailable,
            Self::Storage(_) => Reason::StorageUnavailable,
        }
    }

    /// Says what is wrong with what was asked for, and what to do.
    pub fn told(&self, wanted: &Wanted) -> (String, &'static str) {
        let Wanted {
            model,
            version,
            digest,
            from,
            revision: _,
        } = wanted;
        match self {
            Self::OtherDigest(there) => (
                format!("version {version} of {model} is {there} at {from}, the pin says {digest}"),
                "what serves stays; pin the digest that was reviewed there, as `aurora promote` does",
            ),
            Self::NotThere => (
                format!("version {version} of {model} is neither here nor at {from}"),
                "what serves stays, and it is asked again; pin a version that is there",
            ),
            Self::Refused(why) => (
                format!("version {version} of {model} is not handed out by {from}: {why}"),
                "what serves stays, and it is asked again; `keyFile` must name a file with a key that its control plane knows",
            ),
            Self::Unusable(why) => (
                format!("version {version} of {model} from {from} cannot be used: {why}"),
                "what serves stays; `aurora model verify` there says which versions are sound",
            ),
            Self::Unavailable(why) => (
                format!("version {version} of {model} cannot be fetched from {from}: {why}"),
                "what serves stays, and it is tried again",
            ),
            Self::Storage(why) => (
                format!("version {version} of {model} came from {from} and cannot be kept: {why}"),
                "what serves stays, and it is tried again",
            ),
        }
    }
}
