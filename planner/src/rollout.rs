//! From pins to tracks and live weight: one closed state enum, one transition function, all memory in the status.

mod actions;
mod awaited;
mod commands;
mod means;
mod memory;
mod owner;
mod step;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::deployment::ResolvedPin;
use crate::names::{Digest, Revision, Track, Weight};
use crate::observed::{DeploymentObject, ObservedModel};
use crate::per_track::PerTrack;

pub use actions::TrackAction;
pub use awaited::awaited;
pub use means::Means;
pub use owner::{Claimant, owner};

/// How many transitions a status remembers.
pub const HISTORY_LENGTH_MAX: usize = 10;

/// Where a rollout stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum State {
    /// Stable serves its pin; the canary, if there is one, serves its pin at the declared weight.
    #[default]
    Idle,
    /// A track does not serve its pin yet, or still serves one that has left.
    Preparing,
    /// Something keeps a track from its pin, or the canary from its declared weight: what.
    Holding {
        /// Why; where several hold, the first in the order of [`HoldReason`].
        reason: HoldReason,
        /// One sentence for a person.
        message: String,
    },
    /// Stable becomes what the canary serves; the canary keeps answering until it has.
    Promoting,
    /// The canary of this digest serves no request until its pin changes or leaves.
    Aborted {
        /// The aborted canary.
        digest: Digest,
        /// Who, and why.
        reason: String,
    },
}

/// What holds a rollout back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum HoldReason {
    /// The manifest says so.
    Suspended,
    /// A track cannot load its pin.
    LoadFailed,
    /// The canary stopped answering and comes back after a back-off.
    CanaryLost,
    /// Too few of the canary's replicas are ready for the weight.
    CanaryCapacity,
    /// Somebody paused it.
    Paused,
}

impl fmt::Display for HoldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What people ask of a rollout beside the pins.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Commands {
    /// The canary digest to abort, and why.
    pub abort: Option<(Digest, String)>,
    /// Freezes raises, never a lowering: who and why.
    pub paused: Option<String>,
}

/// What one track does now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrackState {
    /// What answers requests: loaded, verified, warm.
    pub serving: Option<ResolvedPin>,
    /// The commit that its answers name.
    pub revision: Option<Revision>,
    /// What is being loaded beside it.
    pub loading: Option<ResolvedPin>,
    /// What could not be loaded, and why.
    pub unloadable: Option<(ResolvedPin, String)>,
    /// How much of it there is.
    pub capacity: Capacity,
}

/// How many replicas a track has. A slot in a process is one that is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// How many there should be.
    pub wanted: u32,
    /// How many answer.
    pub ready: u32,
}

impl Default for Capacity {
    fn default() -> Self {
        Self { wanted: 1, ready: 1 }
    }
}

/// What a model's two tracks do now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tracks {
    /// Each track.
    pub track: PerTrack<TrackState>,
    /// The live weight: what the route says, whatever requests follow it by now.
    pub weight: Weight,
    /// Whether there is a route of its own that sends requests to the tracks. A process has none.
    pub is_routed: bool,
    /// When the route was last written, as far as the target knows by itself.
    pub routed_at: Option<Timestamp>,
}

/// A rollout's whole memory, kept in the object's status. Written in the form of [`memory`], which has a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "memory::Memory")]
pub struct Status {
    /// Where it stands.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// What each track serves.
    pub serving: PerTrack<Option<ResolvedPin>>,
    /// The live weight.
    pub weight: Weight,
    /// When the route was last written; `None` where requests follow it at once.
    pub routed_at: Option<Timestamp>,
    /// The canary that was lost: its comeback waits for a back-off that doubles.
    pub lost: Option<Lost>,
    /// The canary that lost replicas which it needed: what was taken from it comes back after a back-off that doubles.
    pub thinned: Option<Thinned>,
    /// The pause that is in force.
    pub paused: Option<String>,
    /// What the pause froze: the canary may carry so much and no more. Survives a restart of the process.
    pub ceiling: Option<Ceiling>,
    /// What a suspension froze. Survives a restart of the process.
    pub frozen: Option<Frozen>,
    /// The pins that did not load: the next attempt waits for a back-off that doubles.
    pub retry: PerTrack<Option<Retry>>,
    /// The last transitions, oldest first.
    pub history: Vec<Transition>,
}

/// A canary that stopped answering.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Which.
    pub digest: Digest,
    /// How often since it was first ready.
    pub count: u32,
    /// It may carry weight again from here on.
    pub until: Timestamp,
}

/// A canary whose ready replicas became too few for what it carried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thinned {
    /// Which.
    pub digest: Digest,
    /// How often of late.
    pub count: u32,
    /// It carries no more than this,
    pub weight: Weight,
    /// up to here.
    pub until: Timestamp,
}

/// The most that a canary may carry while a pause is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ceiling {
    /// The canary.
    pub digest: Digest,
    /// The live weight when the pause came; 0 for a canary that came later.
    pub weight: Weight,
}

/// What served when a suspension came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// What stable served.
    pub stable: ResolvedPin,
    /// What the canary served.
    pub canary: Option<ResolvedPin>,
    /// The live weight.
    pub weight: Weight,
}

/// A pin that did not load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Which.
    pub pin: ResolvedPin,
    /// How often it did not.
    pub count: u32,
    /// Why not, the last time.
    #[serde(default)]
    pub message: String,
    /// It is tried again from here on.
    pub until: Timestamp,
    /// Whether the registry held it sound when that was last looked at. Once it does and did not before, nobody waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sound: Option<bool>,
}

impl Retry {
    /// Says which track does not load what, and why.
    pub(crate) fn describe(&self, track: Track) -> String {
        format!("{track} cannot load {}: {}", self.pin.version, self.message)
    }
}

/// One change of state or of the live weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// When.
    pub at: Timestamp,
    /// From where.
    pub from: State,
    /// To where.
    pub to: State,
    /// The live weight after it.
    pub weight: Weight,
}

/// One model as a target sees it: everything that a step looks at.
#[derive(Debug, Clone, Copy)]
pub struct Model<'a> {
    /// The object that has the model; `None` while the model is being removed.
    pub object: Option<&'a DeploymentObject>,
    /// What people ask.
    pub commands: &'a Commands,
    /// What the registry holds of it; `None` where it was not looked at.
    pub registered: Option<&'a ObservedModel>,
    /// What the tracks do.
    pub tracks: &'a Tracks,
    /// The memory of the step before.
    pub status: Option<&'a Status>,
    /// What the target has to carry it out with.
    pub means: Means,
}

/// What a step comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// What the target does, in this order.
    pub actions: Vec<TrackAction>,
    /// What each track is meant to serve once the actions are done; `None` empties it. Between attempts at a pin that
    /// does not load this is what the track serves.
    pub goal: PerTrack<Option<ResolvedPin>>,
    /// How many replicas each track is to have; `None` for one that is empty or that somebody else scales.
    pub replicas: PerTrack<Option<u32>>,
    /// The live weight from now on.
    pub weight: Weight,
    /// The new memory. Equal to the old one where nothing changed.
    pub status: Status,
    /// When to ask again although nothing happened.
    pub wake: Option<Timestamp>,
    /// Whether it rests: nothing loads, nothing moves.
    pub is_settled: bool,
}

/// Computes the next step of a model's rollout.
///
/// The weight is never above the declared one, and above 0 only while the canary serves exactly its pin, is ready for
/// that much, and stable serves something. One exception: in a promotion the canary keeps the weight that it has until
/// stable serves the same digest, so that nobody is sent back to the old version. What requests may still follow the last
/// write of the route to stays until they do not.
pub fn rollout(model: &Model<'_>, now: Timestamp) -> Rollout {
    step::step(model, now)
}

impl State {
    /// Returns the digest of the canary that is aborted, and why.
    pub fn aborted(&self) -> Option<(Digest, &str)> {
        match self {
            Self::Aborted { digest, reason } => Some((*digest, reason)),
            Self::Idle | Self::Preparing | Self::Holding { .. } | Self::Promoting => None,
        }
    }
}

impl Tracks {
    /// Returns a track's state.
    pub const fn get(&self, track: Track) -> &TrackState {
        self.track.get(track)
    }
}
