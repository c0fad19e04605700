//! Which model answers: two slots and a weight per model.
//!
//! A request takes one snapshot of its model and keeps it, so it never sees half a swap; nothing on that way locks.
//! Changes come from one writer at a time and replace the snapshot. This module loads nothing: whoever calls
//! [`Runtime::load`] has verified the artifact, and calls it on a thread that may block.

mod choice;
mod columns;
mod coming;
mod lane;
mod ready;
mod slots;
pub(crate) mod split;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use planner::deployment::ResolvedPin;
use planner::names::{Digest, ModelName, Revision, Track, Version, Weight};
use planner::per_track::PerTrack;
use planner::rollout::{TrackState, Tracks};
use registry::artifact::Inputs;
use registry::metadata::VersionMetadata;
use rpds::RedBlackTreeMapSync;
use tokio::sync::Notify;

use crate::metrics::{Metrics, SlotLabels};
pub(crate) use choice::{Choice, NoSlot};
pub(crate) use columns::{Made, RawColumns};
use coming::AllComing;
pub(crate) use coming::Coming;
pub use ready::Awaited;
use ready::Latch;
pub(crate) use slots::{Loaded, Model, Slot, Snapshot, TRACK_HEADER};

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
    /// What is known of the version besides its bytes; the slot keeps its signature.
    pub metadata: Arc<VersionMetadata>,
}

/// How often a model predicts its example before its first request: enough for its pages and branches to be warm.
const WARM_UP_PREDICTIONS: usize = 32;

/// Lets a model predict its example until it is as fast as it gets; blocks.
pub fn warm_up(model: &registry::artifact::Model, metadata: &VersionMetadata) {
    let Inputs { buffers, mut symbols } = model
        .inputs(&metadata.example.inputs)
        .expect("invariant: what was loaded has predicted its example");
    for _ in 0..WARM_UP_PREDICTIONS {
        // What another process does not answer now is no reason not to ask it later.
        drop(std::hint::black_box(model.answer(&buffers, 1, &mut symbols)));
    }
}

/// The slots of every model; cheap to clone.
#[derive(Debug, Clone)]
pub struct Runtime(Arc<Inner>);

/// Every model, by name. A copy shares all but a path of the tree: adding the ten-thousandth costs what adding the
/// tenth does, a request reads a snapshot without a lock, and lists come in order (a concurrent hash map has neither).
pub(crate) type Models = RedBlackTreeMapSync<String, Arc<Model>>;

/// How long a replaced slot that a request still holds is left alone before it is looked at again.
const HELD: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Inner {
    models: ArcSwap<Models>,
    /// How many models have a slot that is not empty.
    answering: AtomicUsize,
    /// Held by whoever changes slots; never by a request.
    writer: Mutex<Writer>,
    /// Told when there is something to sweep.
    retired: Notify,
    latch: Mutex<Latch>,
    coming: Mutex<AllComing>,
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
            models: ArcSwap::from_pointee(Models::new_sync()),
            answering: AtomicUsize::new(0),
            retired: Notify::new(),
            writer: Mutex::default(),
            latch: Mutex::default(),
            coming: Mutex::default(),
            metrics,
        }))
    }

    /// Puts a model into its slot: requests that come from now on get it, those under way keep what they have.
    ///
    /// Measures what a row costs, which runs the model for a millisecond or so: not on an async worker.
    pub fn load(&self, artifact: Artifact) {
        self.put(artifact, |_snapshot| {});
    }

    /// As [`Self::load`], for a process that serves nothing else: what splits the requests stands before it, so each one
    /// that names no track is for this one.
    pub fn load_alone(&self, artifact: Artifact) {
        let weight = match artifact.track {
            Track::Stable => Weight::ZERO,
            Track::Canary => Weight::FULL,
        };
        self.put(artifact, |snapshot| snapshot.weight = weight);
    }

    fn put(&self, artifact: Artifact, also: impl FnOnce(&mut Snapshot)) {
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
        let slot = Arc::new(Slot::new(labels, digest, loaded, metadata));
        let mut writer = self.writer();
        let meters = self.0.metrics.slot(&slot.labels);
        let loaded = Arc::new(Loaded::new(slot.clone(), &revision, meters));
        let model = self.model_or_new(&name);
        self.replace(&mut writer, &model, |snapshot| {
            *snapshot.slot_mut(track) = Some(loaded);
            also(snapshot);
        });
        drop(writer);
        let version = &slot.labels.version;
        self.latch().loaded(&name, track, version);
        self.coming().loaded(name.as_str(), track, version);
    }

    /// Notes that a version did not load; what serves goes on. A model without anything that serves is unavailable then.
    pub fn failed(&self, model: &ModelName, track: Track, version: &Version) {
        self.coming().failed(model.as_str(), track, version);
    }

    /// Empties a slot. An emptied canary leaves the weight at 0.
    pub fn unload(&self, model: &ModelName, track: Track) {
        self.coming().emptied(model.as_str(), track);
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
        self.coming().remove(model.as_str());
        let mut writer = self.writer();
        if let Some(known) = self.model(model.as_str()) {
            let models = self.0.models.load().remove(model.as_str());
            self.0.models.store(Arc::new(models));
            self.replace(&mut writer, &known, |snapshot| *snapshot = Snapshot::default());
            self.0.metrics.retire_unrouted(model, Instant::now());
            self.0.retired.notify_one();
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
            track: PerTrack {
                stable: state(&snapshot.stable),
                canary: state(&snapshot.canary),
            },
            weight: snapshot.weight,
            ..Tracks::default()
        }
    }

    /// Says what one model's pins still wait for; replaces what was said of it before. Empty: nothing.
    ///
    /// A pin with a finding is left out, and one that is loaded meanwhile is no longer awaited. A model that is awaited is
    /// not ready, rather than unknown. Once the server was ready nothing of this counts any more for its readiness.
    pub fn expect(&self, model: &ModelName, awaited: Vec<Awaited>) {
        // A load that comes between stores its snapshot before it asks for these: one of the two sees the other.
        let mut latch = self.latch();
        let mut coming = self.coming();
        let snapshot = self.model(model.as_str()).map(|known| known.snapshot());
        let is_loaded = |pin: &Awaited| {
            snapshot
                .as_ref()
                .and_then(|snapshot| snapshot.slot(pin.track))
                .is_some_and(|loaded| *loaded.version() == pin.version)
        };
        let left = awaited.iter().filter(|pin| !is_loaded(pin));
        coming.expect(model.as_str(), left.cloned().collect());
        drop(coming);
        latch.expect(model, awaited, is_loaded);
    }

    /// A pass has said all that it expects; the minute of training pins counts from the first.
    ///
    /// The server is ready from the moment when nothing is left to wait for (or has waited too long) and at least one
    /// model is loaded. Before the first call it is not ready.
    pub fn expected(&self, now: Instant) {
        self.latch().expected(now);
    }

    /// Returns whether the server can answer for what it was told to serve.
    pub fn ready(&self, now: Instant) -> bool {
        self.latch().ready(now, self.answering() > 0)
    }

    /// Says whether it is known by now which models there are to be.
    pub(crate) fn is_told(&self) -> bool {
        self.latch().is_told()
    }

    /// Returns what should come to serve and does not yet.
    pub(crate) fn coming(&self) -> MutexGuard<'_, AllComing> {
        self.0.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many models have something loaded.
    pub(crate) fn answering(&self) -> usize {
        self.0.answering.load(Ordering::Acquire)
    }

    /// Makes the server not ready for good: it is going away.
    pub(crate) fn drain(&self) {
        self.latch().drain();
    }

    /// Waits until there is something to sweep that no sweep has seen.
    pub(crate) async fn retired(&self) {
        self.0.retired.notified().await;
    }

    /// Frees replaced slots that no request holds any more, and the series of versions long gone; returns when there
    /// is more to do, if anything is left. To be called on a thread that may block.
    pub(crate) fn sweep(&self, now: Instant) -> Option<Instant> {
        let (free, held) = {
            let mut writer = self.writer();
            let retired = std::mem::take(&mut writer.retired);
            // Invariant: no snapshot holds a retired slot, so nobody can take a new reference to one whose count is 1.
            let (free, held): (Vec<_>, _) = retired
                .into_iter()
                .partition(|loaded| Arc::strong_count(loaded) == 1);
            writer.retired = held;
            (free, !writer.retired.is_empty())
        };
        drop(free);
        let held = held.then(|| now + HELD);
        [held, self.0.metrics.sweep(now)].into_iter().flatten().min()
    }

    pub(crate) fn model(&self, name: &str) -> Option<Arc<Model>> {
        self.0.models.load().get(name).cloned()
    }

    pub(crate) fn models(&self) -> Arc<Models> {
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
        let models = self.0.models.load().insert(name.to_string(), model.clone());
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
        for loaded in old.loaded() {
            if !kept(loaded) {
                self.0.metrics.retire(&loaded.slot.labels, Instant::now());
            }
            if !new
                .slot(loaded.slot.labels.track)
                .is_some_and(|other| Arc::ptr_eq(other, loaded))
            {
                writer.retired.push(loaded.clone());
                self.0.retired.notify_one();
            }
        }
        match (old.any(), new.any()) {
            (false, true) => _ = self.0.answering.fetch_add(1, Ordering::AcqRel),
            (true, false) => _ = self.0.answering.fetch_sub(1, Ordering::AcqRel),
            _ => {}
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
