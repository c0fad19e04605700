//! Which model answers: two slots and a weight per model.
//!
//! A request takes one snapshot of its model and keeps it, so it never sees half a swap; nothing on that way locks.
//! Changes come from one writer at a time and replace the snapshot. This module loads nothing: whoever calls
//! [`Runtime::load`] has verified the artifact, and calls it on a thread that may block.

mod ready;
mod slots;
mod split;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use planner::deployment::ResolvedPin;
use planner::names::{Digest, ModelName, Revision, Track, Version, Weight};
use planner::rollout::{TrackState, Tracks};
use registry::metadata::VersionMetadata;

use crate::metrics::{Metrics, SlotLabels};
pub use ready::Awaited;
use ready::Latch;
use slots::Slot;
pub(crate) use slots::{Choice, Loaded, Model, NoSlot, Snapshot};

/// A verified model on its way into a slot.
#[derive(Debug)]
pub struct Artifact {
    /// The registered model.
    pub model: ModelName,
    /// The slot.
    pub track: Track,
    /// The version.
    pub version: Version,
    /// The artifact's digest.
    pub digest: Digest,
    /// The commit that last changed the track's pin.
    pub revision: Revision,
    /// The decoded graph, verified against its example.
    pub loaded: registry::artifact::Model,
    /// What is known of the version besides its bytes.
    pub metadata: Arc<VersionMetadata>,
}

/// The slots of every model; cheap to clone.
#[derive(Debug, Clone)]
pub struct Runtime(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    models: ArcSwap<BTreeMap<String, Arc<Model>>>,
    /// Held by whoever changes slots; never by a request.
    writer: Mutex<Writer>,
    latch: Mutex<Latch>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Writer {
    /// Replaced slots that requests may still hold: freed by [`Runtime::sweep`], not by the last of these requests.
    retired: Vec<Arc<Loaded>>,
}

impl Runtime {
    /// Returns a runtime that serves nothing yet and counts in `metrics`.
    pub fn new(metrics: Metrics) -> Self {
        Self(Arc::new(Inner {
            models: ArcSwap::default(),
            writer: Mutex::default(),
            latch: Mutex::default(),
            metrics,
        }))
    }

    /// Puts a model into its slot: requests that come from now on get it, those under way keep what they have.
    ///
    /// Measures what a row costs, which runs the model for a millisecond or so: not on an async worker.
    pub fn load(&self, artifact: Artifact) {
        let Artifact {
            model: name,
            track,
            version,
            digest,
            revision,
            loaded,
            metadata,
        } = artifact;
        let labels = SlotLabels {
            model: name.clone(),
            version,
            track,
        };
        let slot = Slot::new(labels, digest, loaded, metadata);
        let mut writer = self.writer();
        let meters = self.0.metrics.slot(&slot.labels);
        let loaded = Arc::new(Loaded::new(Arc::new(slot), &revision, meters));
        let model = self.model_or_new(&name);
        self.replace(&mut writer, &model, |snapshot| {
            *snapshot.slot_mut(track) = Some(loaded);
        });
    }

    /// Empties a slot. An emptied canary leaves the weight at 0.
    pub fn unload(&self, model: &ModelName, track: Track) {
        let mut writer = self.writer();
        if let Some(model) = self.model(model.as_str()) {
            self.replace(&mut writer, &model, |snapshot| *snapshot.slot_mut(track) = None);
        }
    }

    /// Sets the live weight, in force for the next request. It stays 0 while the canary's slot is empty.
    pub fn set_weight(&self, model: &ModelName, weight: Weight) {
        let mut writer = self.writer();
        if let Some(model) = self.model(model.as_str()) {
            self.replace(&mut writer, &model, |snapshot| snapshot.weight = weight);
        }
    }

    /// Changes the revision that a slot's answers name; nothing is loaded anew.
    pub fn set_revision(&self, model: &ModelName, track: Track, revision: &Revision) {
        let mut writer = self.writer();
        if let Some(model) = self.model(model.as_str()) {
            self.replace(&mut writer, &model, |snapshot| {
                let slot = snapshot.slot_mut(track);
                *slot = slot.as_ref().map(|loaded| Arc::new(loaded.at(revision)));
            });
        }
    }

    /// Forgets a model: its slots are emptied and its paths answer 404.
    pub fn remove(&self, model: &ModelName) {
        let mut writer = self.writer();
        if let Some(known) = self.model(model.as_str()) {
            let mut models = BTreeMap::clone(&self.0.models.load());
            models.remove(model.as_str());
            self.0.models.store(Arc::new(models));
            self.replace(&mut writer, &known, |snapshot| *snapshot = Snapshot::default());
            self.0.metrics.retire_unrouted(model, Instant::now());
        }
    }

    /// Returns what a model's slots serve and the live weight; nothing for a model that it does not know.
    ///
    /// What is being loaded and what failed to load is known to the caller of [`Runtime::load`] alone.
    pub fn tracks(&self, model: &ModelName) -> Tracks {
        let Some(model) = self.model(model.as_str()) else {
            return Tracks::default();
        };
        let snapshot = model.snapshot();
        let state = |slot: &Option<Arc<Loaded>>| TrackState {
            serving: slot.as_ref().map(|loaded| ResolvedPin {
                version: loaded.version().clone(),
                digest: loaded.slot.digest,
            }),
            ..TrackState::default()
        };
        Tracks {
            stable: state(&snapshot.stable),
            canary: state(&snapshot.canary),
            weight: snapshot.weight,
        }
    }

    /// Says what the environment's pins still wait for, each time that this is known anew; the server is ready from
    /// the moment when nothing is left to wait for (or has waited too long) and at least one model is loaded.
    ///
    /// A pin with a finding is left out. Before the first call the server is not ready.
    pub fn set_expected(&self, awaited: Vec<Awaited>, now: Instant) {
        self.latch().expect(awaited, now);
    }

    /// Returns whether the server can answer for what it was told to serve.
    pub fn ready(&self, now: Instant) -> bool {
        let models = self.0.models.load();
        let any = models.values().any(|model| model.snapshot().any());
        self.latch().ready(now, any, |awaited| {
            models
                .get(awaited.model.as_str())
                .and_then(|model| {
                    model
                        .snapshot()
                        .slot(awaited.track)
                        .map(|loaded| loaded.slot.labels.version.clone())
                })
                .is_some_and(|version| version == awaited.version)
        })
    }

    /// Makes the server not ready for good: it is going away.
    pub(crate) fn drain(&self) {
        self.latch().drain();
    }

    /// Frees replaced slots that no request holds any more, and the series of versions long gone. To be called about
    /// once a second on a thread that may block.
    pub(crate) fn sweep(&self, now: Instant) {
        let free: Vec<_> = {
            let mut writer = self.writer();
            let retired = std::mem::take(&mut writer.retired);
            // Invariant: no snapshot holds a retired slot, so nobody can take a new reference to one whose count is 1.
            let (free, held) = retired
                .into_iter()
                .partition(|loaded| Arc::strong_count(loaded) == 1);
            writer.retired = held;
            free
        };
        drop(free);
        self.0.metrics.sweep(now);
    }

    pub(crate) fn model(&self, name: &str) -> Option<Arc<Model>> {
        self.0.models.load().get(name).cloned()
    }

    /// Returns every model, by name.
    pub(crate) fn models(&self) -> Arc<BTreeMap<String, Arc<Model>>> {
        self.0.models.load_full()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    fn model_or_new(&self, name: &ModelName) -> Arc<Model> {
        if let Some(model) = self.model(name.as_str()) {
            return model;
        }
        let unrouted = self.0.metrics.unrouted(Some(name));
        let model = Arc::new(Model::new(name.clone(), unrouted));
        let mut models = BTreeMap::clone(&self.0.models.load());
        models.insert(name.to_string(), model.clone());
        self.0.models.store(Arc::new(models));
        model
    }

    fn replace(&self, writer: &mut Writer, model: &Model, change: impl FnOnce(&mut Snapshot)) {
        let old = model.snapshot();
        let mut new = Snapshot::clone(&old);
        change(&mut new);
        if new.canary.is_none() {
            new.weight = Weight::ZERO;
        }
        let kept = |loaded: &Arc<Loaded>| {
            new.slot(loaded.slot.labels.track)
                .is_some_and(|other| other.slot.labels == loaded.slot.labels)
        };
        for loaded in [&old.stable, &old.canary].into_iter().flatten() {
            if !kept(loaded) {
                self.0.metrics.retire(&loaded.slot.labels, Instant::now());
            }
            if !new
                .slot(loaded.slot.labels.track)
                .is_some_and(|other| Arc::ptr_eq(other, loaded))
            {
                writer.retired.push(loaded.clone());
            }
        }
        model.store(new);
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.0.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn latch(&self) -> MutexGuard<'_, Latch> {
        self.0.latch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
