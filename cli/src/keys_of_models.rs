//! The keys that sign versions, and those that say whose signatures count: PEM in files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use reconciler::runs;
use signing::{SigningKey, VerifyingKey};

use crate::failure::Failure;

/// The largest file of keys, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// The key that signs what runs publish.
#[derive(Debug, Args)]
pub(crate) struct SigningArguments {
    /// Sign what training runs publish by this private key in PEM, which nobody else may read (OpenSSF Model Signing) [default: nothing
    /// is signed]
    #[arg(long, env = "AURORA_SIGNING_KEY", value_name = "FILE")]
    signing_key: Option<PathBuf>,
}

impl SigningArguments {
    /// Returns the file of the key, for a process that reads it whenever it signs.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        self.signing_key.clone()
    }

    /// Reads the key, where there is to be one.
    pub(crate) fn key(&self) -> Result<Option<Arc<SigningKey>>, Failure> {
        let key = self.signing_key.as_deref().map(signing_key).transpose()?;
        Ok(key.map(Arc::new))
    }
}

/// Reads a private key.
pub(crate) fn signing_key(path: &Path) -> Result<SigningKey, Failure> {
    let shown = path.display();
    runs::signing_key(path).map_err(|error| Failure::new(format!("the signing key {shown} {error}")))
}

/// Reads a file of public keys.
pub(crate) fn verifying_keys(path: &Path) -> Result<Vec<VerifyingKey>, Failure> {
    let shown = path.display();
    let failed = |why: String| Failure::new(format!("the keys of {shown} are not usable: {why}"));
    let bytes = fs::metadata(path)
        .map_err(|error| failed(error.to_string()))?
        .len();
    if bytes > FILE_BYTES_MAX {
        return Err(failed(format!("the file has more than {FILE_BYTES_MAX} bytes")));
    }
    let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    VerifyingKey::all_from_pem(&text).map_err(|bad| failed(bad.to_string()))
}
