//! The secrets that calls are signed with: a file of one line, or of two while one takes the other's place.

use std::io;
use std::path::PathBuf;

use registry::files::{SecretError, read_secret};

/// The largest such file, in bytes.
const BYTES_MAX: u64 = 4096;
/// The shortest secret, in bytes: nobody guesses it.
const SECRET_BYTES_MIN: usize = 16;
/// The most secrets.
const SECRETS_MAX: usize = 2;

/// A file of secrets, read anew for each call: another secret needs no restart.
#[derive(Debug, Clone)]
pub struct WebhookSecrets(PathBuf);

/// Why a file of secrets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// It is missing, or cannot be read.
    #[error("secrets of the webhook: {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("secrets of the webhook: {} {what}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        what: String,
    },
}

impl WebhookSecrets {
    /// Takes a file that can be used now.
    pub fn open(path: PathBuf) -> Result<Self, SecretsError> {
        let secrets = Self(path);
        secrets.read()?;
        Ok(secrets)
    }

    pub(super) fn read(&self) -> Result<Vec<String>, SecretsError> {
        let failed = |source| SecretsError::Read {
            path: self.0.clone(),
            source,
        };
        let unusable = |what| SecretsError::Unusable {
            path: self.0.clone(),
            what,
        };
        let text = read_secret(&self.0, BYTES_MAX).map_err(|error| match error {
            SecretError::Read(source) => failed(source),
            SecretError::Unusable(what) => unusable(what),
        })?;
        let secrets: Vec<String> = text
            .lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect();
        if secrets.is_empty() || secrets.len() > SECRETS_MAX {
            return Err(unusable(format!(
                "holds {} lines: one secret, or two, are expected",
                secrets.len()
            )));
        }
        if secrets.iter().any(|secret| secret.len() < SECRET_BYTES_MIN) {
            return Err(unusable(format!(
                "holds a secret of fewer than {SECRET_BYTES_MIN} bytes; openssl rand -hex 32 makes one"
            )));
        }
        Ok(secrets)
    }
}
