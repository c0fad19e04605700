//! A model that was made elsewhere: its bytes are held against the digest that was reviewed, checked as a model of the rows,
//! evaluated on the holdout and published with the rows' signature. A job without rows evaluates nothing, and what it publishes
//! says so.
//!
//! Whoever made it may have seen the rows that are held out here.

pub(crate) mod signer;

use std::collections::BTreeMap;

use planner::Timestamp;
use planner::names::Digest;
use planner::training::{FileName, Import, ImportSource};
use registry::artifact::{Limits, Model, with_files, with_signature};
use registry::metadata::{Attestation, Fit};
use registry::run::{Ending, RunRequest};
use registry::{Store, StoreError};

use crate::error::TrainError;
use crate::external::{ExternalError, signature};
use crate::means::{Means, Wanted};
use crate::pushed::{self, Bringing};
use crate::trainable::{self, JobRows};
use crate::{Made, declared, evaluate_made, log_warnings, record, store_to_make};
use signer::Vouched;

/// What made a version that was imported.
const FRAMEWORK: &str = "imported";
const ALGORITHM: &str = "import";

/// Says why there are no bytes to import.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    /// The registry cannot be read.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The copy that was staged for the run is not the file of the commit.
    #[error("the staged copy of {uri} is missing or damaged: it is staged again before the next attempt")]
    Unstaged { uri: String },
    /// It is more than is taken.
    #[error("the model and its files have more than {0} bytes together")]
    TooLarge(usize),
    /// It cannot be read to its end.
    #[error("the staged copy of {uri} cannot be read: {error}")]
    Read { uri: String, error: std::io::Error },
}

/// Publishes the model that a request imports, if it is one of the request's rows and reaches the bound.
pub(crate) fn publish(
    request: &RunRequest,
    import: &Import,
    means: &dyn Means,
    stage: &mut dyn FnMut(u8, &str),
    clock: &dyn Fn() -> Timestamp,
) -> Result<Ending, TrainError> {
    let Some(store) = store_to_make(request)? else {
        return Ok(Ending::SameInputs);
    };
    stage(0, "import");
    let parts = parts(&store, import, means)?;
    let vouched = signer::of(request, import, &store, means)?;
    let bytes = joined(import, parts)?;
    if request.training.rows.is_none() {
        return publish_unevaluated(&store, request, import, (bytes, vouched), means, stage, clock);
    }
    let Vouched { signer, warning } = vouched;
    let engines = means.engines();
    let by = (request.training.engine, &engines);
    let model = pushed::read(&bytes, &import.told, by).map_err(TrainError::Unusable)?;
    evaluate_made(
        &store,
        request,
        (Some(&model), &engines),
        stage,
        clock,
        |layout, train, _held_out| {
            let signature = signature(&model, layout, train)?;
            Ok(Made {
                artifact: with_signature(&bytes, &signature).map_err(ExternalError::Unreadable)?,
                said: None,
                framework: FRAMEWORK,
                algorithm: ALGORITHM,
                settings: request.training.hyperparameters.clone(),
                fit: told(warning),
                attestation: Some(attestation(&model, request, &store)?),
                signer,
            })
        },
    )
}

/// Says what speaks for it that a model which was made elsewhere was not fitted to the held-out rows.
fn attestation(model: &Model, request: &RunRequest, store: &Store) -> Result<Attestation, TrainError> {
    let rows = JobRows {
        rows: declared(&request.training)?,
        dataset: request.dataset.as_deref(),
        holdout: request.holdout.as_deref(),
        roots: &request.dataset_roots,
        seed: request.training.seed,
    };
    Ok(if trainable::is_attested(model, rows, store)? {
        Attestation::Attested
    } else {
        Attestation::Unattested
    })
}

/// Publishes a model of no rows as it is, with what the job tells of it.
fn publish_unevaluated(
    store: &Store,
    request: &RunRequest,
    import: &Import,
    (bytes, Vouched { signer, warning }): (Vec<u8>, Vouched),
    means: &dyn Means,
    stage: &mut dyn FnMut(u8, &str),
    clock: &dyn Fn() -> Timestamp,
) -> Result<Ending, TrainError> {
    let fit = told(warning);
    log_warnings(request, &fit);
    let bringing = Bringing {
        framework: FRAMEWORK,
        algorithm: ALGORITHM,
        inputs_hash: Some(request.inputs_hash),
        fit,
        lineage: record::lineage(request, signer),
    };
    let made = (&request.model, &request.version);
    let engines = means.engines();
    let by = (request.training.engine, &engines);
    let draft = pushed::unevaluated(made, bytes, &import.told, by, bringing, clock());
    let draft = draft.map_err(TrainError::Unusable)?;
    stage(90, "publish");
    let entry = store.publish(draft).map_err(TrainError::Publish)?;
    stage(100, "publish");
    Ok(Ending::Published {
        digest: entry.digest,
        metrics: BTreeMap::new(),
    })
}

/// Nothing was fitted here; what a person should know is told where a fit's warnings are.
fn told(warning: Option<String>) -> Fit {
    Fit {
        warnings: warning.into_iter().collect(),
        ..Fit::default()
    }
}

/// Returns the bytes that the digests name: the model's own, and those of the files that hold its tensors.
fn parts(store: &Store, import: &Import, means: &dyn Means) -> Result<Vec<Vec<u8>>, TrainError> {
    let bytes_max = Limits::default().bytes_max;
    let mut parts = Vec::new();
    let mut bytes_left = bytes_max;
    let mut keep = |part: Vec<u8>| {
        bytes_left = bytes_left
            .checked_sub(part.len())
            .ok_or(ImportError::TooLarge(bytes_max))?;
        parts.push(part);
        Ok::<_, TrainError>(())
    };
    match &import.source {
        ImportSource::Committed(_) => {
            for (uri, digest) in import.committed() {
                keep(staged(store, &uri, Some(&digest), bytes_max)?)?;
            }
        }
        ImportSource::Elsewhere(address) => {
            keep(means.fetch(address, Wanted::File(&import.digest))?)?;
            for (name, digest) in &import.files {
                keep(means.fetch(address, Wanted::Beside(name, digest))?)?;
            }
        }
    }
    Ok(parts)
}

/// Returns the bytes of a model whose tensors are all in one file.
fn joined(import: &Import, parts: Vec<Vec<u8>>) -> Result<Vec<u8>, TrainError> {
    let mut parts = parts.into_iter();
    let model = parts.next().expect("invariant: a model has one file of its own");
    let files = import.files.keys().map(FileName::to_string).zip(parts).collect();
    with_files(model, &files, &Limits::default()).map_err(|error| TrainError::Unusable(error.into()))
}

/// Returns what was staged of the commit; of more than `bytes_max` bytes one more than that, unseen.
fn staged(
    store: &Store,
    uri: &str,
    digest: Option<&Digest>,
    bytes_max: usize,
) -> Result<Vec<u8>, TrainError> {
    use std::io::Read as _;

    let uri = uri.to_owned();
    let Some(digest) = digest else {
        return Err(ImportError::Unstaged { uri }.into());
    };
    let again = |uri: String| match store.discard_damaged(digest) {
        Ok(_is_missing) => ImportError::Unstaged { uri },
        Err(error) => ImportError::Store(error),
    };
    let file = match store.open_dataset(digest) {
        Ok(Some(file)) => file,
        Ok(None) | Err(StoreError::Link { .. } | StoreError::Malformed { .. }) => {
            return Err(again(uri).into());
        }
        Err(error) => return Err(ImportError::Store(error).into()),
    };
    let mut bytes = Vec::new();
    if let Err(error) = file.take(bytes_max as u64 + 1).read_to_end(&mut bytes) {
        return Err(ImportError::Read { uri, error }.into());
    }
    // What is too large was read in part, and is refused as such.
    if bytes.len() <= bytes_max && Digest::of(&bytes) != *digest {
        return Err(again(uri).into());
    }
    Ok(bytes)
}
