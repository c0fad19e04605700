//! Loading for serving: what is wrong with an artifact shows here, not in an answer.

use planner::engine::Engine;

use super::model::{Origin, PredictError};
use super::{ArtifactError, Engines, Model};
use crate::metadata::{Example, VersionMetadata};
use crate::{Entry, Store, StoreError};

/// How far, relative to the larger magnitude, a prediction may be from the recorded one: another CPU may order sums or
/// fuse multiplications differently.
const fn example_tolerance(engine: Engine) -> f64 {
    match engine {
        Engine::Aurora => 1e-9,
        // It chooses its loops by the CPU, most of them in FP32.
        Engine::OnnxRuntime => 1e-5,
    }
}

/// What holds a version's signature: what its inputs and outputs mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pinned {
    /// The artifact's digest: it stands in the artifact's own metadata.
    ByDigest,
    /// Only the checksum of `metadata.json`: the artifact was made before it had metadata of its own.
    ByChecksum,
}

/// Says why a version is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The artifact is missing, damaged or not the one that the entry names.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The artifact is unreadable, or the metadata describes another one.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The recorded example is no row that it takes, or has no answer.
    #[error("the recorded example: {0}")]
    Predict(#[from] PredictError),
    /// The metadata says something else of the inputs and outputs than the artifact itself.
    #[error(
        "metadata.json has another signature.{field} than the artifact, whose digest pins it: restore metadata.json"
    )]
    OtherSignature {
        /// Where they differ.
        field: String,
    },
    /// It predicts something else than when it was trained.
    #[error(
        "the artifact predicts {got:?} for the recorded example, not {expected:?} (relative {tolerance:e}); retrain the version on this kind of machine, or restore its files"
    )]
    Example {
        /// The prediction now.
        got: Vec<f64>,
        /// The recorded one.
        expected: Vec<f64>,
        /// How far they may be apart, relative to the larger magnitude.
        tolerance: f64,
    },
}

/// Reads a version's artifact, checks its digest, decodes it, and holds it against its metadata: signature and example.
///
/// Blocks on the file system, and decodes some 100 MB a second: not for an async worker.
///
/// `entry` comes from [`Store::resolve`], which has held its metadata against the version's checksums.
pub fn load(store: &Store, entry: &Entry, engines: &Engines) -> Result<Model, LoadError> {
    load_bytes(&store.read_artifact(entry)?, &entry.metadata, engines)
}

/// Loads a version only to see that it would, and says what holds its signature.
pub fn inspect(store: &Store, entry: &Entry, engines: &Engines) -> Result<Pinned, LoadError> {
    let (_model, pinned) = check(&store.read_artifact(entry)?, &entry.metadata, engines)?;
    Ok(pinned)
}

/// Decodes an artifact whose digest is already checked, and holds it against its metadata: signature and example.
///
/// The artifact's own signature must be that of the metadata: then the digest pins all that decides an answer.
pub fn load_bytes(bytes: &[u8], metadata: &VersionMetadata, engines: &Engines) -> Result<Model, LoadError> {
    let (model, _pinned) = check(bytes, metadata, engines)?;
    Ok(model)
}

fn check(bytes: &[u8], metadata: &VersionMetadata, engines: &Engines) -> Result<(Model, Pinned), LoadError> {
    let model = Model::open_as(bytes, (metadata.engine, engines), |signature| signature)?;
    let signature = &metadata.signature;
    let difference = model.signature().difference(signature);
    let (model, pinned) = match (model.origin(), difference) {
        (_, None) => (model, Pinned::ByDigest),
        (Origin::Property, Some(field)) => return Err(LoadError::OtherSignature { field }),
        (Origin::Graph, Some(_)) => (model.described(signature.clone())?, Pinned::ByChecksum),
    };
    let Example {
        inputs, prediction, ..
    } = &metadata.example;
    if inputs.len() != model.width() {
        return Err(LoadError::Artifact(ArtifactError::Signature {
            problem: format!(
                "it takes {} values a row, and the example has {}",
                model.width(),
                inputs.len()
            ),
        }));
    }
    let got = model.predict_cells(inputs)?;
    let tolerance = example_tolerance(metadata.engine);
    let close = |a: f64, b: f64| (a - b).abs() <= tolerance * a.abs().max(b.abs());
    let same = got.numbers().len() == prediction.len()
        && got.numbers().iter().zip(prediction).all(|(a, b)| close(*a, *b));
    if same {
        Ok((model, pinned))
    } else {
        Err(LoadError::Example {
            got: got.numbers().to_vec(),
            expected: prediction.clone(),
            tolerance,
        })
    }
}
