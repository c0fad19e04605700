//! Who signed what is imported: the signature that the job names is held against the digests that it imports, by the keys that
//! the environment trusts. Nothing has read the model by then.

use planner::commits::Verify;
use planner::names::Digest;
use planner::shown::escape;
use planner::training::{FileName, Import, SignatureSource};
use planner::trust::{Trust, UNNAMED_SIGNATURE};
use registry::Store;
use registry::run::RunRequest;
use signing::{BUNDLE_BYTES_MAX, Hash, Refused, Uncovered, VerifyingKey};

use super::staged;
use crate::error::TrainError;
use crate::means::{Means, Unmet, Wanted};

/// Who vouches for what is imported.
#[derive(Debug, Default)]
pub(crate) struct Vouched {
    /// The key that signed it, where one that is trusted did.
    pub(crate) signer: Option<String>,
    /// Why none did, where that is told and stops nothing.
    pub(crate) warning: Option<String>,
}

/// Says why nobody who is trusted has signed what is imported.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsigned {
    /// The job names no signature.
    #[error("{UNNAMED_SIGNATURE}")]
    Unnamed,
    /// It does not come.
    #[error("the signature cannot be fetched: {0}")]
    Fetch(Unmet),
    /// It is none that counts.
    #[error("the signature {of} does not count: {why}")]
    Refused {
        /// Where it lies.
        of: String,
        /// What is wrong with it.
        why: Refused,
    },
    /// It is another model's.
    #[error("the signature {of} is not of this model: {why}")]
    Uncovered {
        /// Where it lies.
        of: String,
        /// Which file it is not about.
        why: Uncovered,
    },
}

/// Returns who vouches for what a request imports.
///
/// # Errors
///
/// Nobody who is trusted does, and somebody has to.
pub(crate) fn of(
    request: &RunRequest,
    import: &Import,
    store: &Store,
    means: &dyn Means,
) -> Result<Vouched, TrainError> {
    let trust = request.trust.as_ref();
    let Some(trust) = trust.filter(|trust| trust.verify != Verify::Off) else {
        return Ok(Vouched::default());
    };
    let judged = bundle(import, store, means)?.and_then(|(of, bundle)| judge(import, of, &bundle, trust));
    match judged {
        Ok(signer) => Ok(Vouched {
            signer: Some(signer),
            warning: None,
        }),
        Err(why) if trust.verify == Verify::Warn => Ok(Vouched {
            signer: None,
            warning: Some(format!("nobody who is trusted has signed it: {why}")),
        }),
        Err(why) => Err(TrainError::Unsigned(why)),
    }
}

/// Returns where the signature lies, for people, and what is there. A fault of the registry is nobody's who signs.
fn bundle(
    import: &Import,
    store: &Store,
    means: &dyn Means,
) -> Result<Result<(String, Vec<u8>), Unsigned>, TrainError> {
    Ok(match &import.signature {
        None => Err(Unsigned::Unnamed),
        Some(SignatureSource::Committed(file)) => {
            let bundle = staged(store, &file.path, file.sha256.as_ref(), BUNDLE_BYTES_MAX)?;
            Ok((escape(&file.path).into_owned(), bundle))
        }
        Some(SignatureSource::Elsewhere(address)) => means
            .fetch(address, Wanted::Within(BUNDLE_BYTES_MAX as u64))
            .map(|bundle| (address.to_string(), bundle))
            .map_err(Unsigned::Fetch),
    })
}

/// Returns the name of the key that has signed what is imported.
fn judge(import: &Import, of: String, bundle: &[u8], trust: &Trust) -> Result<String, Unsigned> {
    let keys = VerifyingKey::usable(&trust.keys);
    let (manifest, key) = match signing::verify(bundle, &keys) {
        Ok(verified) => verified,
        Err(why) => return Err(Unsigned::Refused { of, why }),
    };
    let hash = |digest: &Digest| -> Hash { *digest.as_bytes() };
    let beside = |(name, digest): (&FileName, &Digest)| (name.to_string(), hash(digest));
    let beside = import.files.iter().map(beside).collect();
    match manifest.covers(&hash(&import.digest), &beside) {
        Ok(()) => Ok(key.id().to_string()),
        Err(why) => Err(Unsigned::Uncovered { of, why }),
    }
}
