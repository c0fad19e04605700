//! What should come to serve: the pins of the objects rather than those of Git, for a manifest that is refused or
//! suspended leaves its object as it is. Beside them the pins whose versions are being trained.

use std::collections::BTreeMap;

use planner::desired::Desired;
use planner::names::ModelName;
use planner::object::Kind;
use planner::part::Part;
use planner::plan::Waiting;
use planner::rollout;

use crate::standing::AwaitedPin;
use crate::view::View;

/// Returns what the part's models should come to serve, sorted.
pub(crate) fn awaited(
    part: &Part,
    desired: &Desired,
    waiting: &[Waiting],
    view: &View,
) -> BTreeMap<ModelName, Vec<AwaitedPin>> {
    let mut by_model: BTreeMap<ModelName, Vec<AwaitedPin>> = BTreeMap::new();
    for pin in waiting.iter().filter_map(|waiting| in_training(desired, waiting)) {
        by_model.entry(pin.model.clone()).or_default().push(pin);
    }
    for id in part.ids.iter().filter(|id| id.kind == Kind::Deployment) {
        let Some(found) = view.observed.deployments.get(&id.name) else {
            continue;
        };
        let model = &found.object.spec.model;
        let pins = by_model.entry(model.clone()).or_default();
        for (track, pin) in rollout::awaited(found) {
            let Some(pin) = pin.filter(|_| !pins.iter().any(|other| other.track == track)) else {
                continue;
            };
            pins.push(AwaitedPin {
                model: model.clone(),
                track,
                version: pin.version.clone(),
                is_in_training: false,
            });
        }
        pins.sort();
    }
    by_model
}

fn in_training(desired: &Desired, waiting: &Waiting) -> Option<AwaitedPin> {
    match waiting {
        Waiting::ForVersion {
            deployment,
            track,
            version,
            job: _,
        }
        | Waiting::ForImport {
            deployment,
            track,
            version,
            from: _,
        } => Some(AwaitedPin {
            model: desired.deployments.get(deployment)?.spec.model.clone(),
            track: *track,
            version: version.clone(),
            is_in_training: true,
        }),
        Waiting::ForTrack { .. }
        | Waiting::ForModel { .. }
        | Waiting::ForTime { .. }
        | Waiting::ToLeave { .. } => None,
    }
}
