//! What should come to serve, for whoever says when the server is ready.
//!
//! The pins of the objects rather than those of Git: a manifest that is refused or suspended leaves its object as it
//! is, and what that one says serves. Beside them the pins whose versions are being trained.

use std::collections::BTreeMap;

use planner::deployment::ResolvedPin;
use planner::desired::Desired;
use planner::names::{ObjectName, Track};
use planner::plan::Waiting;
use planner::rollout::{Retry, State};

use super::events::AwaitedPin;
use super::objects::DeploymentEntry;

/// Returns the pins whose versions are being trained.
pub(crate) fn in_training(desired: &Desired, waiting: &[Waiting]) -> Vec<AwaitedPin> {
    let awaited = |waiting: &Waiting| match waiting {
        Waiting::ForVersion {
            deployment,
            track,
            version,
            job: _,
        } => Some(AwaitedPin {
            model: desired.deployments.get(deployment)?.spec.model.clone(),
            track: *track,
            version: version.clone(),
            is_in_training: true,
        }),
        Waiting::ForTrack { .. } | Waiting::ForModel { .. } => None,
    };
    waiting.iter().filter_map(awaited).collect()
}

/// Adds the pins that the objects' tracks are to load, where no version in training takes their place.
///
/// A pin that does not load has a finding and is left out, as is an aborted canary.
pub(crate) fn add_pinned(awaited: &mut Vec<AwaitedPin>, deployments: &BTreeMap<ObjectName, DeploymentEntry>) {
    for entry in deployments.values() {
        let model = &entry.object.spec.model;
        for (track, pin) in pins(entry) {
            if !awaited
                .iter()
                .any(|other| other.model == *model && other.track == track)
            {
                awaited.push(AwaitedPin {
                    model: model.clone(),
                    track,
                    version: pin.version.clone(),
                    is_in_training: false,
                });
            }
        }
    }
    awaited.sort();
}

fn pins(entry: &DeploymentEntry) -> Vec<(Track, &ResolvedPin)> {
    let spec = &entry.object.spec;
    let status = entry.status.as_ref();
    let frozen = status
        .and_then(|status| status.frozen.as_ref())
        .filter(|_| spec.suspend.is_some());
    let (stable, canary) = match frozen {
        Some(frozen) => (&frozen.stable, frozen.canary.as_ref()),
        None => (&spec.stable, spec.canary.as_ref().map(|canary| &canary.pin)),
    };
    let is_aborted = |pin: &ResolvedPin| {
        let told = status.map(|status| &status.state);
        entry.object.abort == Some(pin.digest)
            || matches!(told, Some(State::Aborted { digest, .. }) if *digest == pin.digest)
    };
    let does_not_load =
        |pin: &ResolvedPin, retry: Option<&Retry>| retry.is_some_and(|retry| retry.pin == *pin);
    let stable = Some(stable)
        .filter(|pin| !does_not_load(pin, status.and_then(|status| status.stable_retry.as_ref())));
    let canary = canary
        .filter(|pin| !does_not_load(pin, status.and_then(|status| status.canary_retry.as_ref())))
        .filter(|pin| !is_aborted(pin));
    let stable = stable.map(|pin| (Track::Stable, pin));
    stable
        .into_iter()
        .chain(canary.map(|pin| (Track::Canary, pin)))
        .collect()
}
