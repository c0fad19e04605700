//! `<model>/runs/<version>/`: what a training run was asked, how far it is, and how it ended.
//!
//! The target writes `request.json` and starts the trainer on it; the trainer appends to `progress.jsonl` and writes
//! `result.json` last, by rename. `<model>/runs/data.json` spares it a read of data that nobody touched.

mod data;
mod folder;

use std::collections::BTreeMap;
use std::path::PathBuf;

use planner::Timestamp;
use planner::names::{Digest, ModelName, ObjectName, Revision, Version};
use planner::training::Training;
use planner::trust::Trust;
use serde::{Deserialize, Serialize};

pub use data::Sighting;
pub use folder::RunFolder;

/// `request.json`: everything that a trainer needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRequest {
    /// The store's root: the folder that holds `aurora/`.
    #[serde(with = "path")]
    pub registry: PathBuf,
    /// The registered model.
    pub model: ModelName,
    /// The version to publish.
    pub version: Version,
    /// The MLTrainingJob.
    pub job: ObjectName,
    /// The commit that last changed the job's manifest.
    pub revision: Revision,
    /// What to fit.
    pub training: Training,
    /// The hash of the declared inputs.
    pub inputs_hash: Digest,
    /// The folders below which data files outside the store may lie, without links.
    #[serde(default, with = "path::list")]
    pub dataset_roots: Vec<PathBuf>,
    /// The data file; absent for `builtin:` and `synthetic:`.
    #[serde(with = "path::optional")]
    pub dataset: Option<PathBuf>,
    /// The holdout's file, where the evaluation names one.
    #[serde(with = "path::optional")]
    pub holdout: Option<PathBuf>,
    /// The version that the deployment pins as stable, scored on the same holdout if it exists.
    pub baseline: Option<Version>,
    /// The inputs of the newest version, for a run that learns its own only once its data is read: the same ones end it.
    #[serde(default)]
    pub published_inputs: Option<Digest>,
    /// Whose signature what is imported needs; absent: nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
}

/// One line of `progress.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// When.
    pub at: Timestamp,
    /// 0 to 100.
    pub percent: u8,
    /// What is being done: `read`, `fit` or `import`, `evaluate`, `publish`.
    pub stage: String,
}

/// `result.json`: how a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// When.
    pub at: Timestamp,
    /// How.
    pub ending: Ending,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Ending {
    /// The version exists.
    Published {
        /// Its digest.
        digest: Digest,
        /// What was measured on the holdout.
        metrics: BTreeMap<String, f64>,
    },
    /// The data is what the newest version was trained from: nothing was published.
    SameInputs,
    /// The inputs are at fault, and would be again: nothing was published.
    Refused {
        /// What is wrong, where, and what to do.
        message: String,
    },
    /// Something outside the inputs went wrong: it may be tried again.
    #[serde(alias = "Failed")]
    Transient {
        /// What.
        message: String,
    },
}

/// A path in JSON: text, or its bytes where it is no UTF-8.
mod path {
    use std::ffi::{OsStr, OsString};
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Bytes(Vec<u8>),
    }

    fn written(path: &Path) -> Written {
        let path: &OsStr = path.as_os_str();
        path.to_str().map_or_else(
            || Written::Bytes(path.as_bytes().to_vec()),
            |text| Written::Text(text.to_owned()),
        )
    }

    fn read(written: Written) -> PathBuf {
        match written {
            Written::Text(text) => text.into(),
            Written::Bytes(bytes) => OsString::from_vec(bytes).into(),
        }
    }

    pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        written(path).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        Written::deserialize(deserializer).map(read)
    }

    /// Any number of them.
    pub(super) mod list {
        use super::{Deserialize, Deserializer, PathBuf, Serializer, Written, read, written};

        pub(in super::super) fn serialize<S: Serializer>(
            paths: &[PathBuf],
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(paths.iter().map(|path| written(path)))
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Vec<PathBuf>, D::Error> {
            let paths = Vec::<Written>::deserialize(deserializer)?;
            Ok(paths.into_iter().map(read).collect())
        }
    }

    /// One that may be absent.
    pub(super) mod optional {
        use super::{Deserialize, Deserializer, PathBuf, Serialize, Serializer, Written, read, written};

        #[expect(clippy::ref_option, reason = "serde gives a reference to the field")]
        pub(in super::super) fn serialize<S: Serializer>(
            path: &Option<PathBuf>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            path.as_deref().map(written).serialize(serializer)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<PathBuf>, D::Error> {
            Ok(Option::<Written>::deserialize(deserializer)?.map(read))
        }
    }
}
