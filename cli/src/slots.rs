//! Joins the standalone target to the server: loads a version from the registry, verifies it, warms it up and swaps it in.
//!
//! Knows what is being loaded and what failed to load; what serves is the server's to know. Decides nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use planner::deployment::ResolvedPin;
use planner::names::{ModelName, Revision, Track, Weight};
use planner::rollout::Tracks;
use reconciler::standalone::{LoadRequest, Slots, Wake};
use registry::artifact::{Model, load_bytes};
use registry::{Entry, Reference, Store};
use server::{Artifact, Runtime};

use crate::failure::chain;

/// How often a model predicts its example before its first request: enough for its pages and branches to be warm.
const WARM_UP_PREDICTIONS: usize = 32;

/// The server's slots, filled from one store; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct ServerSlots(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    runtime: Runtime,
    store: Store,
    wake: Wake,
    loads: Mutex<BTreeMap<(ModelName, Track), Load>>,
}

/// The newest load of one track.
#[derive(Debug, Default)]
struct Load {
    /// Counts what was asked of the track: a result with an older number is dropped.
    number: u64,
    loading: Option<ResolvedPin>,
    failed: Option<(ResolvedPin, String)>,
}

impl ServerSlots {
    /// Fills `runtime` from `store` and calls `wake` after each load.
    pub(crate) fn new(runtime: Runtime, store: Store, wake: Wake) -> Self {
        Self(Arc::new(Inner {
            runtime,
            store,
            wake,
            loads: Mutex::default(),
        }))
    }
}

impl Slots for ServerSlots {
    fn begin_load(&self, request: LoadRequest) {
        let number = {
            let mut loads = self.0.loads();
            let load = loads.entry((request.model.clone(), request.track)).or_default();
            load.number += 1;
            load.loading = Some(request.pin.clone());
            load.failed = None;
            load.number
        };
        let inner = self.0.clone();
        tokio::spawn(async move {
            let worker = inner.clone();
            let asked = request.clone();
            let loading = tokio::task::spawn_blocking(move || {
                let loaded = worker.read(&asked);
                worker.finish(&asked, number, loaded);
            });
            if let Err(error) = loading.await {
                inner.finish(&request, number, Err(format!("the loader died: {error}")));
            }
        });
    }

    fn unload(&self, model: &ModelName, track: Track) {
        let mut loads = self.0.loads();
        if let Some(load) = loads.get_mut(&(model.clone(), track)) {
            *load = Load {
                number: load.number + 1,
                ..Load::default()
            };
        }
        self.0.runtime.unload(model, track);
    }

    fn set_weight(&self, model: &ModelName, weight: Weight) {
        self.0.runtime.set_weight(model, weight);
    }

    fn set_revision(&self, model: &ModelName, track: Track, revision: &Revision) {
        self.0.runtime.set_revision(model, track, revision);
    }

    fn forget(&self, model: &ModelName) {
        for track in Track::ALL {
            self.unload(model, track);
        }
        self.0.runtime.remove(model);
    }

    fn tracks(&self, model: &ModelName) -> Tracks {
        let loads = self.0.loads();
        let mut tracks = self.0.runtime.tracks(model);
        for (track, state) in [
            (Track::Stable, &mut tracks.stable),
            (Track::Canary, &mut tracks.canary),
        ] {
            if let Some(load) = loads.get(&(model.clone(), track)) {
                state.loading.clone_from(&load.loading);
                state.failed.clone_from(&load.failed);
            }
        }
        tracks
    }
}

/// Reads a version's artifact, checks its digest, its signature and its example; blocks.
pub(crate) fn load(store: &Store, entry: &Entry) -> Result<Model, String> {
    let bytes = store.read_artifact(entry).map_err(|error| chain(&error))?;
    load_bytes(&bytes, &entry.metadata).map_err(|error| chain(&error))
}

impl Inner {
    /// Reads, verifies and warms up a version; blocks.
    fn read(&self, request: &LoadRequest) -> Result<Artifact, String> {
        let LoadRequest {
            model,
            track,
            pin,
            revision,
        } = request;
        let entry = self
            .store
            .resolve(model, &Reference::Version(pin.version.clone()))
            .map_err(|error| chain(&error))?;
        if entry.digest != pin.digest {
            return Err(format!(
                "{model} {} in the registry has digest {}, and {} is what was pinned",
                pin.version,
                entry.digest.short(),
                pin.digest.short()
            ));
        }
        let loaded = load(&self.store, &entry)?;
        for _ in 0..WARM_UP_PREDICTIONS {
            std::hint::black_box(loaded.predict(&entry.metadata.example.inputs));
        }
        Ok(Artifact {
            model: model.clone(),
            track: *track,
            version: pin.version.clone(),
            digest: pin.digest,
            revision: revision.clone(),
            loaded,
            metadata: Arc::new(entry.metadata),
        })
    }

    /// Swaps a version in, or remembers why it could not be loaded, unless the track was asked for something else since.
    fn finish(&self, request: &LoadRequest, number: u64, loaded: Result<Artifact, String>) {
        // Held over the swap: whatever is asked of the track next comes after it.
        let mut loads = self.loads();
        let Some(load) = loads
            .get_mut(&(request.model.clone(), request.track))
            .filter(|load| load.number == number)
        else {
            return;
        };
        load.loading = None;
        match loaded {
            Ok(artifact) => self.runtime.load(artifact),
            Err(message) => {
                tracing::error!(
                    model = request.model.as_str(),
                    track = request.track.as_str(),
                    version = %request.pin.version,
                    error = message,
                    "a version does not load; what served serves"
                );
                load.failed = Some((request.pin.clone(), message));
            }
        }
        drop(loads);
        self.wake.wake();
    }

    fn loads(&self) -> MutexGuard<'_, BTreeMap<(ModelName, Track), Load>> {
        self.loads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
