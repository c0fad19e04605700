//! Since when an environment says what it says of raises, and when what it holds is looked at again.

use planner::Timestamp;
use planner::desired::Desired;
use planner::environment::Environment;
use planner::names::{ModelName, Revision};
use planner::object::ObjectId;
use planner::observed::PolicyAge;
use planner::part::Part;
use planner::runs::Phase;
use planner::training::Training;
use planner::window::{Window, next_edge};

use super::Reconciler;
use crate::standing::Standing;
use crate::view::View;

/// What an environment says of raises, and the commit at which it was first heard.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    environment: Environment,
    revision: Revision,
}

/// Says since when what the environment says of raises is said, and what is to be remembered of it.
///
/// `is_unsure`: something that the commit touches could not be decided about.
pub(super) fn policy_age(
    heard: Option<Heard>,
    declared: &Desired,
    view: &View,
    standing: &Standing,
    part: &Part,
    is_unsure: bool,
) -> (Option<Heard>, PolicyAge) {
    let Some(last) = &view.observed.environment else {
        return (None, PolicyAge::New);
    };
    if declared.environment.has_policy_of(last) {
        return (None, PolicyAge::Older);
    }
    let heard = heard.filter(|heard| heard.environment.has_policy_of(&declared.environment));
    let heard = heard.unwrap_or_else(|| Heard {
        environment: declared.environment.clone(),
        revision: declared.revision.clone(),
    });
    let age = if heard.revision != declared.revision {
        PolicyAge::Older
    } else if is_unsure
        || standing.held().any(|id| !part.ids.contains(id))
        || last.models.trust() != declared.environment.models.trust() && is_importing(declared, view, part)
    {
        PolicyAge::NewAndHolds
    } else {
        PolicyAge::New
    };
    (Some(heard), age)
}

/// Says whether something that is not in the part is still to be imported, by whoever's signature counted when its commit came.
fn is_importing(declared: &Desired, view: &View, part: &Part) -> bool {
    let declared = declared.trainings.iter().filter(|(name, declared)| {
        let Training { fit, suspend, .. } = &declared.spec;
        fit.import().is_some() && !suspend && !part.ids.contains(&ObjectId::training(name))
    });
    let mut phases = declared.filter_map(|(name, _)| Some(&view.observed.trainings.get(name)?.phase));
    phases.any(|phase| !matches!(phase, Some(Phase::Succeeded { .. })))
}

impl Reconciler {
    /// Returns the models that the policy holds where a window may have opened since they were looked at.
    pub(super) fn past_edge(&self, now: Timestamp) -> Vec<ModelName> {
        if self.wake_at.is_none_or(|wake_at| now < wake_at) {
            return Vec::new();
        }
        self.held_models()
    }

    /// Returns the models that the policy holds.
    pub(super) fn held_models(&self) -> Vec<ModelName> {
        let held = self.standing.held();
        let models = held.flat_map(|id| self.view.links.models_of(id));
        models.cloned().collect()
    }

    /// Notes when what waits for a time is to be looked at again: at the time that was told, or the next edge of any window.
    pub(super) fn note_wake(&mut self, windows: &[Window], now: Timestamp) {
        let waits = self.standing.waits_for_time();
        let told = self.standing.told_times().filter(|told| *told > now);
        self.wake_at = next_edge(windows, now)
            .into_iter()
            .chain(told)
            .min()
            .filter(|_| waits);
    }
}
