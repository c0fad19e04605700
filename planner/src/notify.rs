//! Who is told of what happens in an environment.

use serde::{Deserialize, Serialize};

/// What somebody may want to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Topic {
    /// Something is wrong with a manifest, or cannot be done.
    Finding,
    /// Somebody changed what Git declares, and that stands.
    Drift,
    /// A canary gets no more requests.
    Abort,
    /// A pass changed something.
    Applied,
}

impl Topic {
    /// Returns its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Finding => "Finding",
            Self::Drift => "Drift",
            Self::Abort => "Abort",
            Self::Applied => "Applied",
        }
    }
}

/// Somebody who is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Receiver {
    /// How.
    pub form: Form,
    /// The name of the file that holds his secret, in a folder that the process is given.
    pub secret_file: String,
    /// Of what.
    pub topics: Vec<Topic>,
}

/// How somebody is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Form {
    /// A signed call.
    Webhook {
        /// Where to.
        url: String,
    },
    /// A line in a channel of Slack: the secret is the address.
    Slack,
}
