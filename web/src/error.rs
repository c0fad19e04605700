//! Why there is no answer, and what happens next.

use std::time::Duration;

use http::StatusCode;
use planner::finding::Disposition;

use crate::Url;

/// The most of what a server says of itself that is told, in characters.
const SAID_CHARACTERS_MAX: usize = 200;

/// Says why something could not be asked. No text holds more of an address than its origin.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// It is no address, or none that may be asked.
    #[error("the address cannot be used: {0}")]
    Address(String),
    /// The certificates of authorities cannot be used.
    #[error("the certificates that are trusted cannot be used: {0}")]
    Trust(String),
    /// A secret is not what a header can hold.
    #[error("the secret holds what no header may: a line break, or what is not ASCII")]
    Secret,
    /// Its name leads to an address that is never asked.
    #[error("{origin} is a link-local address, which is never asked")]
    Forbidden {
        /// Who was asked.
        origin: String,
    },
    /// Who answers is not who was asked.
    #[error(
        "the certificate of {origin} is not trusted: {why}; give the certificate of its authority with --ca-file, or the name that it was issued for"
    )]
    Untrusted {
        /// Who was asked.
        origin: String,
        /// What is wrong with it.
        why: String,
    },
    /// Another server is named, which is not asked.
    #[error("{origin} redirects to {to}: give the address that answers itself")]
    Redirected {
        /// Who was asked.
        origin: String,
        /// The other server.
        to: String,
    },
    /// The proxy does not let it through.
    #[error("the proxy does not connect to {origin}: it answers {status}")]
    Proxy {
        /// Who was asked.
        origin: String,
        /// What the proxy answers.
        status: StatusCode,
    },
    /// Nothing answers.
    #[error("{origin} cannot be reached: {why}")]
    Unreachable {
        /// Who was asked.
        origin: String,
        /// What is in the way.
        why: String,
    },
    /// It takes longer than it may.
    #[error("{origin} takes more than {limit:?} to {what}")]
    Slow {
        /// Who was asked.
        origin: String,
        /// What it was to do.
        what: &'static str,
        /// How long it had.
        limit: Duration,
    },
    /// What comes is no answer, or ends in its middle.
    #[error("the answer of {origin} broke off: {why}")]
    Broken {
        /// Who was asked.
        origin: String,
        /// What is wrong with it.
        why: String,
    },
    /// The answer is larger than any that is wanted.
    #[error("the answer of {origin} has more than {bytes_max} bytes")]
    TooLarge {
        /// Who was asked.
        origin: String,
        /// The most that is taken.
        bytes_max: u64,
    },
    /// It answers, and says no.
    #[error("{origin} answers {status}{}", if said.is_empty() { String::new() } else { format!(": {said}") })]
    Refused {
        /// Who was asked.
        origin: String,
        /// What it answers.
        status: StatusCode,
        /// What it says of that.
        said: String,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
}

impl WebError {
    /// Says what happens next.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Address(_)
            | Self::Trust(_)
            | Self::Secret
            | Self::Forbidden { .. }
            | Self::Untrusted { .. }
            | Self::Redirected { .. }
            | Self::TooLarge { .. } => Disposition::Invalid,
            Self::Unreachable { .. } | Self::Slow { .. } | Self::Broken { .. } => Disposition::Transient,
            Self::Proxy { status, .. } | Self::Refused { status, .. } => of_status(*status),
        }
    }

    /// Returns how long the server asks to be left alone, at most an hour.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(crate) fn unreachable(url: &Url, error: &dyn std::error::Error) -> Self {
        Self::Unreachable {
            origin: url.origin(),
            why: error.to_string(),
        }
    }

    pub(crate) fn broken(url: &Url, error: &dyn std::error::Error) -> Self {
        Self::Broken {
            origin: url.origin(),
            why: error.to_string(),
        }
    }
}

/// What a server cannot do now it may do later; what it refuses, it refuses until somebody acts.
fn of_status(status: StatusCode) -> Disposition {
    let is_now = status.is_server_error()
        || [
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::TOO_EARLY,
            StatusCode::TOO_MANY_REQUESTS,
        ]
        .contains(&status);
    if is_now {
        Disposition::Transient
    } else {
        Disposition::Invalid
    }
}

/// Returns the beginning of what a server says, on one line.
pub(crate) fn said(body: &[u8]) -> String {
    let begin = &body[..body.len().min(4 * SAID_CHARACTERS_MAX)];
    let text = String::from_utf8_lossy(begin);
    let shown = text
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character });
    let line: String = shown.collect();
    let words: Vec<&str> = line.split_whitespace().collect();
    words.join(" ").chars().take(SAID_CHARACTERS_MAX).collect()
}
