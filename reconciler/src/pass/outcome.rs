//! Why a pass is run, and what came of it.

use crds::MLEnvironmentStatus;
use planner::Timestamp;
use planner::clock::Doubt;
use planner::desired::Desired;
use planner::names::{Digest, ModelName, Revision, Version, Weight};
use planner::notify::Receiver;
use planner::plan::Action;
use planner::rollout::{self, State};

use crate::apply::Applied;
use crate::standing::AwaitedPin;
use crate::view::View;

/// What one pass did.
#[derive(Debug, Default)]
pub struct Pass {
    /// The commit that it looked at; absent where the branch could not be read and never was.
    pub attempted: Option<Revision>,
    /// The commit that was followed, where commits need signatures.
    pub accepted: Option<Revision>,
    /// Why nothing was done, where the MLEnvironment is suspended.
    pub suspended: Option<String>,
    /// The hash of what the commit intends, where the pass did something.
    pub plan_hash: Option<Digest>,
    /// What it did and what failed.
    pub applied: Applied,
    /// The models of which it is news what should come to serve.
    pub awaited: Vec<(ModelName, Vec<AwaitedPin>)>,
    /// The models of which it is news whether something is not as Git says: a finding, a wait, a suspension, a removal
    /// that is refused.
    pub behind: Vec<(ModelName, bool)>,
    /// The models of which it is news whether somebody changed something that stands.
    pub drifted: Vec<(ModelName, bool)>,
    /// What was seen of the models that it decided about: how the rollout of each stood; none where there is no object.
    pub seen: Vec<(ModelName, Option<Live>)>,
    /// The report that it wrote, if it wrote one.
    pub reported: Option<Box<Reported>>,
    /// Whether something could not be read or written, now or at an earlier pass, and is tried again.
    pub is_cut_short: bool,
    /// Why the clock cannot be believed.
    pub doubt: Option<Doubt>,
    /// Whether it decided about anything.
    pub is_touched: bool,
    /// When a window opens or closes that something waits for.
    pub wakes_at: Option<Timestamp>,
    /// Whether there is more of a long history to read, for the next pass at once.
    pub is_walking: bool,
    /// How many versions are on their way from another environment.
    pub importing: usize,
}

impl Pass {
    /// Says whether it did nothing, and nothing is to be tried again or read on.
    pub fn is_quiet(&self) -> bool {
        self.applied.done.is_empty()
            && self.applied.failed.is_empty()
            && !self.is_cut_short
            && !self.is_walking
            && self.importing == 0
    }
}

/// What a report says that was written, and what the one before it said: that of another process, at the first pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// The report before.
    pub before: MLEnvironmentStatus,
    /// This one.
    pub after: MLEnvironmentStatus,
    /// Who is told, as the last good MLEnvironment has it.
    pub receivers: Vec<Receiver>,
    /// The canaries whose abort was written down.
    pub aborted: Vec<Aborted>,
}

/// A canary that gets no more requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aborted {
    /// Its model.
    pub model: ModelName,
    /// Its version.
    pub version: Version,
    /// Who aborted it, and why.
    pub reason: String,
}

/// How a model serves, as its operator has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Live {
    /// The live weight of its canary.
    pub weight: Weight,
    /// Whether its tracks serve what its object says.
    pub is_idle: bool,
}

impl Live {
    pub(super) fn of(status: Option<&rollout::Status>) -> Self {
        status.map_or(Self::default(), |status| Self {
            weight: status.weight,
            is_idle: status.state == State::Idle,
        })
    }
}

/// Why a pass is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// Something was touched: that, and nothing else, is looked at.
    Touch,
    /// A while has passed: some models that nothing touched are looked at too, in turns.
    Turn,
}

/// Returns who is told: a commit that is refused takes nobody from the list.
pub(super) fn receivers(view: &View, desired: Option<&Desired>) -> Vec<Receiver> {
    let desired = desired.map(|desired| &desired.environment);
    let known = view.observed.environment.as_ref().or(desired);
    known.map_or_else(Vec::new, |environment| environment.notify.clone())
}

/// Returns the aborts that were written down.
pub(super) fn aborted(applied: &Applied) -> Vec<Aborted> {
    let of_action = |action: &Action| match action {
        Action::RecordAbort {
            model,
            version,
            digest: _,
            reason,
        } => Some(Aborted {
            model: model.clone(),
            version: version.clone(),
            reason: reason.clone(),
        }),
        _ => None,
    };
    applied.done.iter().filter_map(of_action).collect()
}
