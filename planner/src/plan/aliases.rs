//! Aliases follow what the tracks serve. Nothing that serves reads them.

use super::deployments::Decided as Deployment;
use super::index::Index;
use super::removals::Decided as Removals;
use super::{Action, Waiting};
use crate::deployment::ResolvedPin;
use crate::desired::Desired;
use crate::environment::Drift;
use crate::finding::{Finding, Location, Reason};
use crate::names::{ModelName, ObjectName, Revision, Track};
use crate::object::ObjectId;
use crate::observed::{Observed, ObservedAlias, ObservedDeployment, ObservedModel, ObservedVersion};
use crate::per_track::PerTrack;

/// What was decided about all aliases.
#[derive(Default)]
pub(super) struct Decided {
    /// Aliases of models that are no longer served: they go before the objects do.
    pub(super) leaves: Vec<Action>,
    /// Aliases that follow their tracks.
    pub(super) actions: Vec<Action>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) findings: Vec<Finding>,
}

pub(super) fn decide(
    desired: &Desired,
    observed: &Observed,
    index: &Index<'_>,
    deployments: &[Deployment<'_>],
    removals: &Removals<'_>,
) -> Decided {
    let mut decided = Decided::default();
    for deployment in deployments {
        let is_suspended = desired
            .deployments
            .get(deployment.name)
            .is_none_or(|declared| declared.spec.suspend.is_some());
        let Some(before) = deployment.before.filter(|_| !is_suspended) else {
            continue;
        };
        let model = &before.object.spec.model;
        // While an object takes over from another, there are two, and only one has the model's tracks.
        let has_tracks = deployment.serves(model) && index.owner(model) == Some(deployment.name);
        if let Some(registered) = observed.models.get(model).filter(|_| has_tracks) {
            let location = desired.deployments.get(deployment.name);
            let by_hand = ByHand {
                drift: observed.environment.as_ref().map(|environment| environment.drift),
                location: location.map(|declared| &declared.location),
            };
            follow(deployment, before, registered, &by_hand, &mut decided);
        }
    }
    let gone = removals.gone.iter();
    decided.leaves = gone
        .flat_map(|model| leave(model, observed, &desired.revision))
        .collect();
    decided
}

/// What becomes of aliases that somebody moved by hand: what the commit says that was applied last.
struct ByHand<'a> {
    drift: Option<Drift>,
    location: Option<&'a Location>,
}

impl ByHand<'_> {
    /// Returns what is said of an alias that was moved to its pin once, names something else now, and stays so.
    fn left(
        &self,
        deployment: &ObjectName,
        registered: &ObservedModel,
        track: Track,
        pin: &ResolvedPin,
    ) -> Option<Finding> {
        let drift = self.drift?;
        let reason = Reason::of_drift(drift)?;
        let was_moved = registered.recorded.get(&track) == Some(&pin.version);
        was_moved.then(|| {
            let names = match registered.aliases.get(&track) {
                Some(ObservedAlias::To(version)) => format!("names {version}"),
                Some(ObservedAlias::Broken(what)) => format!("is no alias ({what})"),
                None => "is gone".to_owned(),
            };
            Finding {
                location: self.location.cloned(),
                reason,
                subject: ObjectId::deployment(deployment).into(),
                message: format!(
                    "somebody changed alias {track}: it {names} instead of {}, and spec.drift is {}: it stands",
                    pin.version,
                    drift.as_str()
                ),
                hint: "what serves goes by the pin; set spec.drift to Correct to have the alias moved back".to_owned(),
            }
        })
    }
}

/// Takes both aliases of a model away.
fn leave(model: &ModelName, observed: &Observed, revision: &Revision) -> Vec<Action> {
    let aliases = observed.models.get(model).map(|model| &model.aliases);
    let remove = |(track, from): (&Track, &ObservedAlias)| Action::RemoveAlias {
        model: model.clone(),
        track: *track,
        from: from.clone(),
        revision: revision.clone(),
    };
    aliases.into_iter().flatten().map(remove).collect()
}

fn follow(
    deployment: &Deployment<'_>,
    before: &ObservedDeployment,
    registered: &ObservedModel,
    by_hand: &ByHand<'_>,
    decided: &mut Decided,
) {
    let object = &before.object;
    let model = &object.spec.model;
    let canary = object
        .spec
        .canary
        .as_ref()
        .map(|canary| &canary.pin)
        .zip(object.canary_revision.as_ref());
    let pinned = PerTrack {
        stable: Some((&object.spec.stable, &object.stable_revision)),
        canary,
    };
    let status = before.status.as_ref();
    for (track, pinned) in pinned {
        let serves = status.and_then(|status| status.serving.get(track).as_ref());
        let alias = registered.aliases.get(&track);
        if let Some((pin, revision)) = pinned
            && serves == Some(pin)
            && !names(alias, pin)
            && is_sound(registered, pin)
        {
            let left = by_hand.left(deployment.name, registered, track, pin);
            if let Some(left) = left {
                decided.findings.push(left);
            } else {
                decided.actions.push(Action::MoveAlias {
                    model: model.clone(),
                    track,
                    from: alias.cloned(),
                    to: pin.clone(),
                    revision: revision.clone(),
                    overridden: object.overridden.clone().filter(|_| object.revision == *revision),
                });
            }
        }
        let goal = deployment.pin(track);
        if let (None, None, Some(from)) = (pinned, goal, alias)
            && status.is_some_and(|status| status.serving.canary.is_none())
        {
            decided.actions.push(Action::RemoveAlias {
                model: model.clone(),
                track,
                from: from.clone(),
                revision: object.revision.clone(),
            });
        }
        if let Some(goal) = goal
            && serves != Some(goal)
            && !names(alias, goal)
            && !is_stuck(before, track)
        {
            decided.waiting.push(Waiting::ForTrack {
                deployment: deployment.name.clone(),
                track,
            });
        }
    }
}

fn names(alias: Option<&ObservedAlias>, pin: &ResolvedPin) -> bool {
    matches!(alias, Some(ObservedAlias::To(version)) if *version == pin.version)
}

fn is_sound(registered: &ObservedModel, pin: &ResolvedPin) -> bool {
    let version = registered.versions.get(&pin.version);
    matches!(version, Some(ObservedVersion::Sound { digest, .. }) if *digest == pin.digest)
}

/// Nothing goes on by itself: an aborted canary that never served never will, and a load that fails is a finding.
fn is_stuck(before: &ObservedDeployment, track: Track) -> bool {
    before.status.as_ref().is_some_and(|status| {
        let is_aborted = track == Track::Canary && status.state.aborted().is_some();
        is_aborted || status.retry.get(track).is_some()
    })
}
