//! Why the forge does not do what it was asked, and when it is asked again.

use std::time::Duration;

use planner::finding::Disposition;
use web::WebError;

/// Says why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    /// The token cannot be read.
    #[error("the forge's token: {0}")]
    Token(String),
    /// It does not answer, or says no.
    #[error("the forge does not {what}")]
    Web {
        /// What it was asked.
        what: &'static str,
        /// Why not.
        #[source]
        source: WebError,
    },
    /// Too much was asked of it.
    #[error("the forge takes no more requests for {} s", wait.as_secs())]
    Limited {
        /// For how long.
        wait: Duration,
    },
    /// Its answer is none of GitHub's.
    #[error("the forge's answer to `{what}` makes no sense: {why}")]
    Unexpected {
        /// What it was asked.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl ForgeError {
    /// Says what happens next.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Token(_) | Self::Unexpected { .. } => Disposition::Invalid,
            Self::Web { source, .. } => source.disposition(),
            Self::Limited { .. } => Disposition::Transient,
        }
    }

    /// Returns how long nothing is asked after so many failures in a row.
    pub fn rest(&self, failures: u32) -> Duration {
        let grown = Duration::from_secs(1 << failures.min(8));
        match self {
            Self::Limited { wait } => (*wait).max(grown),
            Self::Web { source, .. } if source.disposition() == Disposition::Transient => {
                source.retry_after().unwrap_or_default().max(grown)
            }
            // A person may mend it, and nothing tells of that.
            Self::Web { .. } | Self::Token(_) | Self::Unexpected { .. } => Duration::from_mins(10),
        }
    }
}
