//! Signs what runs publish. The key is read by whoever started the process, and no run has it.

use std::path::Path;

use planner::names::{Digest, ModelName, Version};
use registry::files::{SecretError, read_secret};
use registry::{Reference, Store, StoreError};
use signing::{BadKey, SigningKey};

/// The largest file of a key, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Why a file holds no key that signs.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read, or others may.
    #[error(transparent)]
    Unread(#[from] SecretError),
    /// It holds something else.
    #[error("is not usable: {0}")]
    Unusable(#[from] BadKey),
}

impl KeyError {
    /// Says whether there is no such file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Unread(SecretError::Read(error)) if error.kind() == std::io::ErrorKind::NotFound)
    }
}

/// Reads the private key that signs, which nobody else may read.
///
/// # Errors
///
/// There is none that can be used.
pub fn signing_key(path: &Path) -> Result<SigningKey, KeyError> {
    let pem = read_secret(path, FILE_BYTES_MAX)?;
    Ok(SigningKey::from_pem(&pem)?)
}

/// Signs what a run has published, as it says it published it: what is another version by now is told, and not signed. What the
/// key has signed is left as it is.
///
/// # Errors
///
/// It is damaged, or the registry cannot be read or written.
pub fn sign(
    store: &Store,
    key: &SigningKey,
    (model, version): (&ModelName, &Version),
    published: Digest,
) -> Result<(), StoreError> {
    let entry = store.resolve(model, &Reference::Version(version.clone()))?;
    if entry.digest != published {
        tracing::warn!(%model, %version, %published, found = %entry.digest, "a version is not what its run published, and is not signed");
        return Ok(());
    }
    if store
        .signer(&entry, std::slice::from_ref(key.verifying()))?
        .is_ok()
    {
        return Ok(());
    }
    store.sign(&entry, key)?;
    tracing::info!(%model, %version, key = key.verifying().id().short(), "signed what a run published");
    Ok(())
}
