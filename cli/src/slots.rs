//! Joins the standalone target to the server: loads a version from the registry, verifies it, warms it up and swaps it in.
//!
//! Knows what is being loaded and what failed to load; what serves is the server's to know. Decides nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use planner::deployment::ResolvedPin;
use planner::names::{ModelName, Revision, Track, Weight};
use planner::rollout::Tracks;
use planner::trust::Trust;
use reconciler::AwaitedPin;
use registry::artifact::{Engines, Model, load_bytes};
use registry::{Entry, Held, Reference, Store};
use server::runtime::warm_up;
use server::{Artifact, Awaited, Runtime};
use standalone::{LoadRequest, Slots, Wake};
use tokio::sync::Semaphore;

use crate::failure::chain;

/// The server's slots, filled from one store; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct ServerSlots(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    runtime: Runtime,
    store: Store,
    engines: Engines,
    wake: Wake,
    /// Loads read, check and evaluate: more at a time than there are cores would only hold more memory.
    at_a_time: Semaphore,
    loads: Mutex<BTreeMap<(ModelName, Track), Load>>,
}

/// The newest load of one track.
#[derive(Debug, Default)]
struct Load {
    /// Counts what was asked of the track: a result with an older number is dropped.
    number: u64,
    loading: Option<ResolvedPin>,
    unloadable: Option<(ResolvedPin, String)>,
    /// The commit that the answers of what serves name.
    revision: Option<Revision>,
}

impl ServerSlots {
    /// Fills `runtime` from `store`, with models of `engines`, and calls `wake` after each load.
    pub(crate) fn new(runtime: Runtime, store: Store, engines: Engines, wake: Wake) -> Self {
        Self(Arc::new(Inner {
            runtime,
            store,
            engines,
            wake,
            at_a_time: Semaphore::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get)),
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
            load.unloadable = None;
            let serving = self.0.runtime.tracks(&request.model);
            if serving.get(request.track).serving.as_ref() == Some(&request.pin) {
                // What was being loaded beside it is dropped; what serves is what is asked for.
                load.loading = None;
                load.revision = Some(request.revision.clone());
                self.0
                    .runtime
                    .set_revision(&request.model, request.track, &request.revision);
                drop(loads);
                return self.0.wake.model(&request.model);
            }
            load.loading = Some(request.pin.clone());
            load.number
        };
        let inner = self.0.clone();
        tokio::spawn(async move {
            let _permit = inner.at_a_time.acquire().await;
            if !inner.is_wanted(&request, number) {
                return;
            }
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
        let mut loads = self.0.loads();
        loads.entry((model.clone(), track)).or_default().revision = Some(revision.clone());
        drop(loads);
        self.0.runtime.set_revision(model, track, revision);
    }

    fn forget(&self, model: &ModelName) {
        for track in Track::ALL {
            self.unload(model, track);
            self.0.loads().remove(&(model.clone(), track));
        }
        self.0.runtime.remove(model);
    }

    fn expect(&self, model: &ModelName, awaited: &[AwaitedPin]) {
        let awaited = awaited.iter().map(|pin| Awaited {
            model: pin.model.clone(),
            track: pin.track,
            version: pin.version.clone(),
            training: pin.is_in_training,
        });
        self.0.runtime.expect(model, awaited.collect());
    }

    fn expected(&self) {
        self.0.runtime.expected(Instant::now());
    }

    fn tracks(&self, model: &ModelName) -> Tracks {
        let loads = self.0.loads();
        let mut tracks = self.0.runtime.tracks(model);
        for track in Track::ALL {
            if let Some(load) = loads.get(&(model.clone(), track)) {
                let state = tracks.track.get_mut(track);
                state.loading.clone_from(&load.loading);
                state.unloadable.clone_from(&load.unloadable);
                state.revision = load.revision.clone().filter(|_| state.serving.is_some());
            }
        }
        tracks
    }
}

/// Reads a version's artifact, checks its digest, its signature and its example; blocks.
fn load(store: &Store, entry: &Entry, engines: &Engines) -> Result<Model, String> {
    let bytes = store.read_artifact(entry).map_err(|error| chain(&error))?;
    load_bytes(&bytes, &entry.metadata, engines).map_err(|error| chain(&error))
}

/// Fails where somebody must have signed a version, and nobody who is trusted has. What is loaded then is what the entry says.
fn hold_to(trust: &Trust, store: &Store, entry: &Entry) -> Result<(), String> {
    match store.hold_to(trust, entry).map_err(|error| chain(&error))? {
        Held::Trusted => Ok(()),
        Held::Told(why) => {
            tracing::warn!(%why, "a version that is loaded is not signed by anybody who is trusted");
            Ok(())
        }
        Held::Refused(why) => Err(why.to_string()),
    }
}

impl Inner {
    /// Says whether nothing else was asked of the track since.
    fn is_wanted(&self, request: &LoadRequest, number: u64) -> bool {
        let loads = self.loads();
        let load = loads.get(&(request.model.clone(), request.track));
        load.is_some_and(|load| load.number == number)
    }

    /// Reads, verifies and warms up a version; blocks.
    fn read(&self, request: &LoadRequest) -> Result<Artifact, String> {
        let LoadRequest {
            model,
            track,
            pin,
            revision,
            trust,
            engine,
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
        if !entry.metadata.engine.is_own() && entry.metadata.engine != *engine {
            return Err(format!(
                "{model} {} is evaluated by ONNX Runtime, which its MLDeployment does not say: add `engine: {}`",
                pin.version, entry.metadata.engine
            ));
        }
        if let Some(trust) = trust {
            hold_to(trust, &self.store, &entry)?;
        }
        let loaded = load(&self.store, &entry, &self.engines)?;
        warm_up(&loaded, &entry.metadata);
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
            Ok(artifact) => {
                load.revision = Some(artifact.revision.clone());
                self.runtime.load(artifact);
            }
            Err(message) => {
                tracing::error!(
                    model = request.model.as_str(),
                    track = request.track.as_str(),
                    version = %request.pin.version,
                    error = message,
                    "a version does not load; what served serves"
                );
                self.runtime
                    .failed(&request.model, request.track, &request.pin.version);
                load.unloadable = Some((request.pin.clone(), message));
            }
        }
        drop(loads);
        self.wake.model(&request.model);
    }

    fn loads(&self) -> MutexGuard<'_, BTreeMap<(ModelName, Track), Load>> {
        self.loads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
