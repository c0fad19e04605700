//! A store: where it lies and whose it is.
//!
//! Opening checks the layout; opening as the owner also removes what a crash left.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use planner::Timestamp;
use planner::names::{EnvironmentName, ModelName, Version};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::files::Dir;
use crate::lock::{Lock, Mode, PATIENCE};

/// The layout that this program writes, and the newest that it reads.
pub const LAYOUT: u32 = 1;

pub(crate) const VERSIONS: &str = "versions";
pub(crate) const DATASETS: &str = "datasets";
pub(crate) const RUNS: &str = "runs";
pub(crate) const MODEL_FILE: &str = "model.onnx";
pub(crate) const METADATA_FILE: &str = "metadata.json";
pub(crate) const REGISTRY: &str = "registry";
const CURRENT_VERSION: &str = "current-version";
const LOCK: &str = ".lock";

/// The largest `metadata.json` of a version, request or result.
pub(crate) const METADATA_BYTES_MAX: u64 = 1 << 20;
/// The largest `metadata.json` of a store: it lists up to 100,000 models.
const STORE_METADATA_BYTES_MAX: u64 = 16 << 20;
/// The largest artifact, unless [`Store::with_artifact_limit`] says otherwise.
const ARTIFACT_BYTES_MAX: u64 = 1 << 30;

/// How long [`Store::open_owned`] waits for a writer that outlived the last owner before it cleans up another time.
const CLEAN_PATIENCE: Duration = Duration::from_secs(2);

/// Whose a store is: one installation of one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The environment.
    pub environment: EnvironmentName,
    /// The installation's random id.
    pub installation: String,
}

/// `registry/metadata.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StoreMetadata {
    registry_version: String,
    created_at: Timestamp,
    storage_type: String,
    owner: Owner,
    models: Vec<ModelName>,
}

/// How far a sweep goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sweep {
    /// It removes nothing.
    OnlyList,
    /// Not into the runs' folders: a trainer writes there without the lock.
    BesideTrainers,
    /// Everywhere: an owner starts, and its trainers are gone.
    AtStart,
}

/// A handle on a store: cheap to clone, usable from any thread, valid whatever other processes do.
///
/// No part of its root's path may be a symbolic link; whoever takes a root from a person resolves that person's links.
#[derive(Debug, Clone)]
pub struct Store {
    root: Arc<Path>,
    artifact_bytes_max: u64,
}

impl Store {
    /// Makes a store below `root`, or opens the one that is there if it is the owner's.
    pub fn init(root: &Path, owner: &Owner, now: Timestamp) -> Result<Self, StoreError> {
        let store = Self::at(root);
        let base = Dir::ensure(root)?.ensure_dir("aurora")?;
        let registry = base.ensure_dir(REGISTRY)?;
        base.ensure_dir(DATASETS)?;
        let _lock = Lock::take(&registry, LOCK, Mode::Exclusive, PATIENCE)?;
        let layout = store.check_layout(&registry)?;
        match read_metadata(&registry)? {
            Some(metadata) => store.check_owner(&metadata, owner)?,
            None => write_metadata(
                &registry,
                &StoreMetadata {
                    registry_version: format!("v{LAYOUT}"),
                    created_at: now,
                    storage_type: "filesystem".to_owned(),
                    owner: owner.clone(),
                    models: store.models()?,
                },
            )?,
        }
        // Last: a store without it is none, so a crash before this line is repaired by the next `init`.
        if layout.is_none() {
            registry.replace(CURRENT_VERSION, format!("v{LAYOUT}\n").as_bytes())?;
        }
        Ok(store)
    }

    /// Opens a store to read it, or to publish into it.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let store = Self::at(root);
        match store.check_layout(&store.registry()?)? {
            Some(()) => Ok(store),
            None => Err(StoreError::NoStore(root.to_owned())),
        }
    }

    /// Opens a store as its owner, and removes what unfinished writes left in it.
    ///
    /// Where a writer is still at work, its leftovers cannot be told from its work: then cleaning waits for the next
    /// time.
    pub fn open_owned(root: &Path, owner: &Owner) -> Result<Self, StoreError> {
        let store = Self::open(root)?;
        let registry = store.registry()?;
        let metadata = read_metadata(&registry)?.ok_or_else(|| {
            StoreError::malformed(&registry.path().join(METADATA_FILE), "is missing: restore it")
        })?;
        store.check_owner(&metadata, owner)?;
        match Lock::take(&registry, LOCK, Mode::Exclusive, CLEAN_PATIENCE) {
            Ok(_lock) => {
                let swept = store.sweep(Sweep::AtStart)?;
                if !swept.is_empty() {
                    tracing::info!(count = swept.len(), "removed what unfinished writes had left");
                }
            }
            Err(StoreError::Busy { .. }) => {
                tracing::warn!("a writer is at work: what unfinished writes left is cleaned up next time");
            }
            Err(error) => return Err(error),
        }
        store.refresh_models()?;
        Ok(store)
    }

    /// Says whether the store is this owner's.
    pub fn belongs_to(&self, owner: &Owner) -> bool {
        let metadata = self.registry().and_then(|registry| read_metadata(&registry));
        metadata.is_ok_and(|metadata| metadata.is_some_and(|metadata| metadata.owner == *owner))
    }

    /// Returns the same store with another limit for the size of an artifact, in bytes.
    #[must_use]
    pub fn with_artifact_limit(self, artifact_bytes_max: u64) -> Self {
        Self {
            artifact_bytes_max,
            ..self
        }
    }

    /// Returns the root: the folder that holds `aurora/`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Writes the list of models into the store's own metadata if it changed; for the owner only. Says whether it did.
    pub(crate) fn refresh_models(&self) -> Result<bool, StoreError> {
        let registry = self.registry()?;
        let models = self.models()?;
        match read_metadata(&registry)? {
            Some(metadata) if metadata.models != models => {
                let _lock = self.lock_shared()?;
                write_metadata(&registry, &StoreMetadata { models, ..metadata })?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Returns the folder of a training run.
    pub fn run_dir(&self, model: &ModelName, version: &Version) -> PathBuf {
        self.model_path(model).join(RUNS).join(version.to_string())
    }

    pub(crate) fn at(root: &Path) -> Self {
        Self {
            root: root.into(),
            artifact_bytes_max: ARTIFACT_BYTES_MAX,
        }
    }

    pub(crate) fn artifact_bytes_max(&self) -> u64 {
        self.artifact_bytes_max
    }

    pub(crate) fn base_path(&self) -> PathBuf {
        self.root.join("aurora")
    }

    pub(crate) fn model_path(&self, model: &ModelName) -> PathBuf {
        self.base_path().join(model.as_str())
    }

    pub(crate) fn base(&self) -> Result<Dir, StoreError> {
        let no_store = || StoreError::NoStore(self.root.to_path_buf());
        let root = Dir::open_if_there(&self.root)?.ok_or_else(no_store)?;
        root.dir("aurora")?.ok_or_else(no_store)
    }

    fn registry(&self) -> Result<Dir, StoreError> {
        self.base()?
            .dir(REGISTRY)?
            .ok_or_else(|| StoreError::NoStore(self.root.to_path_buf()))
    }

    pub(crate) fn model_dir(&self, model: &ModelName) -> Result<Option<Dir>, StoreError> {
        self.base()?.dir(model.as_str())
    }

    /// Opens a model's folder and makes it first where it is missing.
    pub(crate) fn ensure_model_dir(&self, model: &ModelName) -> Result<Dir, StoreError> {
        if is_reserved(model) {
            return Err(StoreError::ReservedName(model.clone()));
        }
        self.base()?.ensure_dir(model.as_str())
    }

    pub(crate) fn versions_dir(&self, model: &ModelName) -> Result<Option<Dir>, StoreError> {
        match self.model_dir(model)? {
            Some(dir) => dir.dir(VERSIONS),
            None => Ok(None),
        }
    }

    pub(crate) fn lock_shared(&self) -> Result<Lock, StoreError> {
        Lock::take(&self.registry()?, LOCK, Mode::Shared, PATIENCE)
    }

    pub(crate) fn lock_exclusive(&self) -> Result<Lock, StoreError> {
        Lock::take(&self.registry()?, LOCK, Mode::Exclusive, PATIENCE)
    }

    /// Removes every leftover of an unfinished write, or only lists them; the caller holds the lock exclusively.
    pub(crate) fn sweep(&self, sweep: Sweep) -> Result<Vec<PathBuf>, StoreError> {
        let dry_run = sweep == Sweep::OnlyList;
        let base = self.base()?;
        let mut swept = Vec::new();
        for name in [REGISTRY, DATASETS] {
            if let Some(dir) = base.dir(name)? {
                swept.extend(dir.sweep(dry_run)?);
            }
        }
        for model in self.models()? {
            let Some(dir) = base.dir(model.as_str())? else {
                continue;
            };
            for name in [VERSIONS, crate::alias::ALIASES] {
                if let Some(dir) = within(&dir, name)? {
                    swept.extend(dir.sweep(dry_run)?);
                }
            }
            if sweep == Sweep::AtStart
                && let Some(runs) = within(&dir, RUNS)?
            {
                swept.extend(sweep_runs(&runs)?);
            }
        }
        Ok(swept)
    }

    fn check_layout(&self, registry: &Dir) -> Result<Option<()>, StoreError> {
        let Some(bytes) = registry.read(CURRENT_VERSION, "a layout version", 64)? else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&bytes);
        let layout = text.trim().strip_prefix('v').and_then(|n| n.parse().ok());
        if layout.is_some_and(|layout: u32| (1..=LAYOUT).contains(&layout)) {
            return Ok(Some(()));
        }
        Err(StoreError::OtherLayout {
            path: self.root.to_path_buf(),
            found: text.trim().chars().take(40).collect(),
        })
    }

    fn check_owner(&self, metadata: &StoreMetadata, owner: &Owner) -> Result<(), StoreError> {
        if metadata.owner == *owner {
            return Ok(());
        }
        Err(StoreError::OtherOwner {
            path: self.root.to_path_buf(),
            owner: Box::new(metadata.owner.clone()),
            wanted: Box::new(owner.clone()),
        })
    }
}

/// Opens a folder of a model. Where a link is in its place, whoever uses it is told: it must not keep the other models
/// from starting.
fn within(model: &Dir, name: &str) -> Result<Option<Dir>, StoreError> {
    match model.dir(name) {
        Err(StoreError::Link { .. }) => Ok(None),
        dir => dir,
    }
}

fn sweep_runs(runs: &Dir) -> Result<Vec<PathBuf>, StoreError> {
    let mut swept = Vec::new();
    for version in runs.folders()? {
        // It may be a link by now: then it is nobody's run.
        if let Ok(Some(run)) = runs.dir(&version) {
            swept.extend(run.sweep(false)?);
        }
    }
    Ok(swept)
}

pub(crate) fn is_reserved(model: &ModelName) -> bool {
    [REGISTRY, DATASETS].contains(&model.as_str())
}

fn read_metadata(registry: &Dir) -> Result<Option<StoreMetadata>, StoreError> {
    let Some(bytes) = registry.read(METADATA_FILE, "the registry's metadata", STORE_METADATA_BYTES_MAX)?
    else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|e| {
        let path = registry.path().join(METADATA_FILE);
        StoreError::malformed(&path, format!("cannot be read: {e}; restore it"))
    })
}

fn write_metadata(registry: &Dir, metadata: &StoreMetadata) -> Result<(), StoreError> {
    registry.replace(METADATA_FILE, &to_json(metadata))
}

/// Renders a record as indented JSON that ends in a newline.
pub(crate) fn to_json(record: &impl Serialize) -> Vec<u8> {
    let mut json =
        serde_json::to_vec_pretty(record).expect("invariant: our records have text keys and cannot fail");
    json.push(b'\n');
    json
}
