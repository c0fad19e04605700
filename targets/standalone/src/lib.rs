//! The standalone target: one process that reconciles, trains in child processes and serves from slots.
//!
//! Two loops share nothing but the objects and the registry: one makes the objects follow Git, the other makes slots and
//! processes follow the objects. Objects and their status lie in the data directory; this process is their only writer,
//! so memory is the truth and the files are what a restart reads. The target knows neither the server nor the trainer:
//! [`Slots`] and [`Trainer`] are where they begin.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod commands;
mod data_dir;
mod due;
pub mod events;
mod following;
mod models;
mod objects;
mod operator;
mod preview;
mod run;
mod syncer;
#[cfg(test)]
mod tests;
mod trainings;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use planner::deployment::ResolvedPin;
use planner::engine::Engine;
use planner::names::{ModelName, Revision, Track, Weight};
use planner::rollout::Tracks;
use planner::trust::Trust;
use reconciler::AwaitedPin;
use tokio::sync::Notify;

pub use data_dir::{
    DataDir, DataDirError, inspect, inspect_to_write, inspect_untracked, last_beat, leave_failure,
    left_failure, settle,
};
pub use events::{Event, PassSummary};
pub use preview::{PreviewError, preview};
pub use reconciler::Converged;
pub use run::{Mode, Options, RunError, Standalone, StartError, registry_in_use};

/// What to load into a track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadRequest {
    /// The model.
    pub model: ModelName,
    /// The track.
    pub track: Track,
    /// The version and its digest.
    pub pin: ResolvedPin,
    /// The commit that last changed what the track serves, for its answers.
    pub revision: Revision,
    /// Whose signature it is held to; absent: nobody's.
    pub trust: Option<Trust>,
    /// What it may be evaluated by, beside our own engine.
    pub engine: Engine,
}

/// What answers requests. No method blocks: a load goes on in the background, and its end shows in [`Slots::tracks`].
///
/// After any change of its own the implementation calls [`Wake::model`].
pub trait Slots: Send + Sync + 'static {
    /// Begins to load, verify, warm up and then swap in a version; what the track serves answers until the swap.
    ///
    /// A load of another pin that is under way for the track is superseded: its result is dropped. What the track
    /// serves already is not loaded again.
    fn begin_load(&self, request: LoadRequest);
    /// Empties a track, or drops its load under way.
    fn unload(&self, model: &ModelName, track: Track);
    /// Sets the share of routed requests that goes to the canary.
    fn set_weight(&self, model: &ModelName, weight: Weight);
    /// Sets the commit that a track's answers name.
    fn set_revision(&self, model: &ModelName, track: Track, revision: &Revision);
    /// Drops everything about a model.
    fn forget(&self, model: &ModelName);
    /// Says what a model should come to serve, each time that this is known anew: for whoever says when a server is
    /// ready.
    fn expect(&self, model: &ModelName, awaited: &[AwaitedPin]);
    /// Says that a pass has told all that it expects.
    fn expected(&self);
    /// Returns what the model's tracks do now; all empty for a model that is not known.
    fn tracks(&self, model: &ModelName) -> Tracks;
}

/// Makes the process of a training run.
pub trait Trainer: Send + Sync + 'static {
    /// Returns the command that trains what `request` (a `request.json`) asks; it is started with its standard input
    /// closed, and killed when its run is stopped.
    fn command(&self, request: &Path) -> tokio::process::Command;
}

/// Wakes the loops: something changed that they look at. Cheap, from any thread; a wake-up while they run is not lost.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Loops>);

#[derive(Debug, Default)]
struct Loops {
    operator: Notify,
    reconciler: Notify,
    /// The models whose slots changed since the operator last looked.
    models: Mutex<BTreeSet<ModelName>>,
}

impl Wake {
    /// Tells that a model's slots changed.
    pub fn model(&self, model: &ModelName) {
        let mut models = self.0.models.lock().unwrap_or_else(PoisonError::into_inner);
        models.insert(model.clone());
        drop(models);
        self.operator();
    }

    /// Tells that something else changed that the operator looks at: an object, a process.
    pub(crate) fn operator(&self) {
        self.0.operator.notify_one();
    }

    /// Tells that something changed that a pass looks at.
    pub(crate) fn reconciler(&self) {
        self.0.reconciler.notify_one();
    }

    /// Takes the models whose slots changed.
    pub(crate) fn take_models(&self) -> BTreeSet<ModelName> {
        std::mem::take(&mut *self.0.models.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
