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
use crate::gate::Gate;
use crate::lock::{Lock, Mode, PATIENCE};

/// The layout that this program writes, and the newest that it reads.
pub const LAYOUT: u32 = 1;

pub(crate) const VERSIONS: &str = "versions";
pub(crate) const DATASETS: &str = "datasets";
pub(crate) const RUNS: &str = "runs";
pub(crate) const MODEL_FILE: &str = "model.onnx";
pub(crate) const METADATA_FILE: &str = "metadata.json";
pub(crate) const REGISTRY: &str = "registry";
const LOCK: &str = ".lock";

/// The largest `metadata.json` of a version, request or result.
pub const METADATA_BYTES_MAX: u64 = 1 << 20;
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
    /// Absent: this process may always write.
    gate: Option<Gate>,
}

impl Store {
    /// Makes a store below `root`, or opens the one that is there if it is the owner's, and makes good what is damaged of
    /// its own metadata.
    pub fn init(root: &Path, owner: &Owner, now: Timestamp) -> Result<Self, StoreError> {
        Self::at(root).make(owner, now)
    }

    /// As [`Self::init`], of what a handle is on.
    pub fn make(self, owner: &Owner, now: Timestamp) -> Result<Self, StoreError> {
        self.permit()?;
        let base = Dir::ensure(&self.root)?.ensure_dir("aurora")?;
        let registry = base.ensure_dir(REGISTRY)?;
        base.ensure_dir(DATASETS)?;
        let _lock = self.lock(&registry, Mode::Exclusive, PATIENCE)?;
        self.settle(&registry, owner, Some(now))?;
        Ok(self)
    }

    /// Opens a store to read it, or to publish into it.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        Self::at(root).checked()
    }

    /// Opens a store as its owner, and removes what unfinished writes left in it.
    ///
    /// Where a writer is still at work, its leftovers cannot be told from its work: then cleaning waits for the next
    /// time.
    pub fn open_owned(root: &Path, owner: &Owner) -> Result<Self, StoreError> {
        Self::at(root).own_and_sweep(owner, Sweep::AtStart)
    }

    /// Opens a store as its owner, whose trainers are processes of other machines and may be at work.
    pub fn open_beside_trainers(root: &Path, owner: &Owner) -> Result<Self, StoreError> {
        Self::at(root).own_beside_trainers(owner)
    }

    /// As [`Self::open_beside_trainers`], of what a handle is on.
    pub fn own_beside_trainers(self, owner: &Owner) -> Result<Self, StoreError> {
        self.own_and_sweep(owner, Sweep::BesideTrainers)
    }

    fn checked(self) -> Result<Self, StoreError> {
        self.check_layout(&self.registry()?)?;
        Ok(self)
    }

    fn own_and_sweep(self, owner: &Owner, sweep: Sweep) -> Result<Self, StoreError> {
        let store = self.checked()?;
        let registry = store.registry()?;
        if !store.is_settled(&registry, owner)? {
            let _lock = store.lock(&registry, Mode::Exclusive, PATIENCE)?;
            store.settle(&registry, owner, None)?;
        }
        match store.lock(&registry, Mode::Exclusive, CLEAN_PATIENCE) {
            Ok(_lock) => {
                let swept = store.sweep(sweep)?;
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
        self.registry()
            .is_ok_and(|registry| self.is_settled(&registry, owner).is_ok())
    }

    /// Returns the same store with another limit for the size of an artifact, in bytes.
    #[must_use]
    pub fn with_artifact_limit(self, artifact_bytes_max: u64) -> Self {
        Self {
            artifact_bytes_max,
            ..self
        }
    }

    /// Returns the same store, whose writes begin only while a gate lets them. One that is under way goes to its end.
    #[must_use]
    pub fn behind(self, gate: Gate) -> Self {
        Self {
            gate: Some(gate),
            ..self
        }
    }

    /// Fails where this process may not write now. To be asked last before a write.
    pub(crate) fn permit(&self) -> Result<(), StoreError> {
        self.gate.as_ref().map_or(Ok(()), Gate::check)
    }

    /// Returns the root: the folder that holds `aurora/`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the folder of a training run.
    pub fn run_dir(&self, model: &ModelName, version: &Version) -> PathBuf {
        self.model_path(model).join(RUNS).join(version.to_string())
    }

    /// Returns a handle on what lies at `root`, whatever it is: to look at a store that does not open.
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.into(),
            artifact_bytes_max: ARTIFACT_BYTES_MAX,
            gate: None,
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

    pub(crate) fn registry(&self) -> Result<Dir, StoreError> {
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
        self.lock(&self.registry()?, Mode::Shared, PATIENCE)
    }

    pub(crate) fn lock_exclusive(&self) -> Result<Lock, StoreError> {
        self.lock(&self.registry()?, Mode::Exclusive, PATIENCE)
    }

    /// Takes the store's lock; what it was waited for may have taken the permission to write.
    fn lock(&self, registry: &Dir, mode: Mode, patience: Duration) -> Result<Lock, StoreError> {
        let lock = Lock::take(registry, LOCK, mode, patience)?;
        self.permit()?;
        Ok(lock)
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
            swept.extend(dir.sweep(dry_run)?);
            for name in [VERSIONS, crate::alias::ALIASES, RUNS] {
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
}

/// Opens a folder of a model. Where a link is in its place, whoever uses it is told: it must not keep the other models
/// from starting.
pub(crate) fn within(model: &Dir, name: &str) -> Result<Option<Dir>, StoreError> {
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

/// Renders a record as indented JSON that ends in a newline.
pub(crate) fn to_json(record: &impl Serialize) -> Vec<u8> {
    let mut json =
        serde_json::to_vec_pretty(record).expect("invariant: our records have text keys and cannot fail");
    json.push(b'\n');
    json
}
