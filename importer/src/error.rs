//! Why nothing was imported, and what happens next.

use std::time::Duration;

use planner::finding::Disposition;
use planner::names::Digest;
use planner::training::Address;
use web::{StatusCode, WebError};

/// Says why a model could not be fetched. No text holds a credential, nor what a server says of its own accord.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// No prefix of the process covers it.
    #[error(
        "{0} lies below no place that models are imported from: start aurora with --import-source and the beginning of it"
    )]
    NotAllowed(Address),
    /// The credential of a prefix cannot be used.
    #[error("the credential for {prefix} cannot be used: {why}")]
    Credential {
        /// The prefix.
        prefix: String,
        /// What is wrong with the file.
        why: String,
    },
    /// Whoever asks may not have it.
    #[error(
        "{address} is refused ({status}): give a credential that may read it, as --import-source PREFIX=FILE"
    )]
    Denied {
        /// What was asked for.
        address: Address,
        /// What was answered.
        status: StatusCode,
    },
    /// Nothing is there.
    #[error("nothing lies at {address} ({status})")]
    Missing {
        /// What was asked for.
        address: Address,
        /// What was answered.
        status: StatusCode,
    },
    /// It is answered in a way that brings no file.
    #[error("{address} is answered with {status}")]
    Answered {
        /// What was asked for.
        address: Address,
        /// What was answered.
        status: StatusCode,
    },
    /// It leads to where nobody allowed to ask.
    #[error(
        "{address} redirects to {to}, which lies below no place that models are imported from: give the address that answers itself, or allow it with --import-source"
    )]
    Redirected {
        /// What was asked for.
        address: Address,
        /// Where it leads, as far as that is shown.
        to: String,
    },
    /// Who is asked has something else there.
    #[error("{address}: {why}")]
    Unfit {
        /// What was asked for.
        address: Address,
        /// What is there, or what to do.
        why: String,
    },
    /// Other bytes lie there.
    #[error("what lies at {address} is not what {field} names: its {bytes} bytes have the digest {got}")]
    OtherDigest {
        /// What was asked for.
        address: Address,
        /// What names it in a job.
        field: String,
        /// What came.
        got: Digest,
        /// How much came.
        bytes: usize,
    },
    /// It takes longer than it may, however steadily bytes come.
    #[error("{address} takes more than {limit:?}")]
    Slow {
        /// What was asked for.
        address: Address,
        /// How long it had.
        limit: Duration,
    },
    /// No answer came, or none whole.
    #[error(transparent)]
    Web(#[from] WebError),
}

impl ImportError {
    /// Says what an answer other than the file means.
    pub(crate) fn answered(address: &Address, status: StatusCode) -> Self {
        let address = address.clone();
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Self::Denied { address, status },
            StatusCode::NOT_FOUND | StatusCode::GONE => Self::Missing { address, status },
            _ => Self::Answered { address, status },
        }
    }

    /// Says what happens next. What whoever runs the process or the place can mend without a commit is waited for.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::NotAllowed(_) | Self::Credential { .. } | Self::Denied { .. } | Self::Missing { .. } => {
                Disposition::Waiting
            }
            Self::Answered { status, .. } if is_passing(*status) => Disposition::Transient,
            Self::Slow { .. } => Disposition::Transient,
            Self::Answered { .. }
            | Self::Redirected { .. }
            | Self::Unfit { .. }
            | Self::OtherDigest { .. } => Disposition::Invalid,
            Self::Web(error) => error.disposition(),
        }
    }
}

/// Says whether a server may answer otherwise soon.
fn is_passing(status: StatusCode) -> bool {
    let passing = [
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    status.is_server_error() || passing.contains(&status)
}
