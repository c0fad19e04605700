//! From pins to tracks and live weight: one closed state enum, one transition function, all memory in the status.

mod step;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::deployment::{ResolvedDeployment, ResolvedPin};
use crate::names::{Digest, Track, Weight};

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
        /// `Suspended`, `LoadFailed`, `CanaryLost` or `Paused`; where several hold, the first of these.
        reason: String,
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

/// What people asked of a rollout beside the pins.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Commands {
    /// The canary digest to abort, and why.
    pub abort: Option<(Digest, String)>,
    /// Freezes raises, never a lowering: who and why.
    pub paused: Option<String>,
}

/// What one track does now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TrackState {
    /// What answers requests: loaded, verified, warm.
    pub serving: Option<ResolvedPin>,
    /// What is being loaded beside it.
    pub loading: Option<ResolvedPin>,
    /// What could not be loaded, and why.
    pub failed: Option<(ResolvedPin, String)>,
}

/// What a model's two tracks do now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tracks {
    /// The stable track.
    pub stable: TrackState,
    /// The canary track.
    pub canary: TrackState,
    /// The live weight.
    pub weight: Weight,
}

/// A rollout's whole memory, kept in the object's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Where it stands.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// What stable serves.
    pub stable: Option<ResolvedPin>,
    /// What the canary serves.
    pub canary: Option<ResolvedPin>,
    /// The live weight.
    pub weight: Weight,
    /// The canary that was lost: its comeback waits for a back-off that doubles.
    pub lost: Option<Lost>,
    /// The pause that is in force.
    pub paused: Option<String>,
    /// What the pause froze: the canary may carry so much and no more. Survives a restart of the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<Ceiling>,
    /// What a suspension froze. Survives a restart of the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Frozen>,
    /// A stable pin that did not load: the next attempt waits for a back-off that doubles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable_retry: Option<Retry>,
    /// A canary pin that did not load: the next attempt waits for a back-off that doubles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_retry: Option<Retry>,
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

/// What the target does next, in this order: weight down, loads, weight up, unloads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// What stable must serve; `None` empties the track. The target begins to load it, beside the old one, whenever the
    /// track neither serves nor loads it, and swaps when it is ready. Between attempts at a pin that does not load
    /// this is what the track serves: `None` where that is nothing, and then the target must not forget the failure. A
    /// load that ends after the goal has changed is dropped.
    pub stable: Option<ResolvedPin>,
    /// What the canary must serve, as for stable.
    pub canary: Option<ResolvedPin>,
    /// The live weight from now on.
    pub weight: Weight,
    /// The new memory. Equal to the old one where nothing changed.
    pub status: Status,
    /// When to ask again although nothing happened.
    pub wake: Option<Timestamp>,
}

/// Computes the next step of a model's rollout.
///
/// `spec` is `None` when the object is being removed. The weight is never above the declared one, and above 0 only
/// while the canary serves exactly its pin and stable serves something. One exception: in a promotion the canary keeps
/// the weight that it has until stable serves the same digest, so that nobody is sent back to the old version.
pub fn rollout(
    spec: Option<&ResolvedDeployment>,
    commands: &Commands,
    tracks: &Tracks,
    status: Option<&Status>,
    now: Timestamp,
) -> Rollout {
    step::step(spec, commands, tracks, status, now)
}
