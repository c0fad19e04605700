//! Aborts outlive the status that tells of them: on the object, and from the history where the object is lost.

use super::Action;
use crate::names::Digest;
use crate::observed::{DeploymentObject, Observed, ObservedDeployment, ObservedModel};

/// Appends to the history each abort that only an object or a status knows of.
pub(super) fn record(observed: &Observed) -> Vec<Action> {
    let record = |deployment: &ObservedDeployment| {
        let spec = &deployment.object.spec;
        let canary = spec.canary.as_ref()?;
        let (digest, reason) = in_force(deployment)?;
        let is_recorded = observed
            .models
            .get(&spec.model)
            .is_some_and(|model| model.aborted.contains(&digest));
        (canary.pin.digest == digest && !is_recorded).then(|| Action::RecordAbort {
            model: spec.model.clone(),
            version: canary.pin.version.clone(),
            digest,
            reason,
        })
    };
    observed.deployments.values().filter_map(record).collect()
}

/// Returns the abort that a deployment's status or object knows of, and why.
fn in_force(deployment: &ObservedDeployment) -> Option<(Digest, String)> {
    let status = deployment.status.as_ref();
    let told = status
        .and_then(|status| status.state.aborted())
        .map(|(digest, reason)| (digest, reason.to_owned()));
    let kept = || {
        deployment
            .object
            .abort
            .map(|digest| (digest, "kept on the object".to_owned()))
    };
    let canary = deployment.object.spec.canary.as_ref()?.pin.digest;
    told.filter(|(digest, _)| *digest == canary).or_else(kept)
}

/// An abort stays while its canary does. The history brings it back where object and status were lost.
pub(super) fn of(
    after: &DeploymentObject,
    base: Option<&ObservedDeployment>,
    registered: &ObservedModel,
) -> Option<Digest> {
    let canary = after.spec.canary.as_ref()?.pin.digest;
    let is_known = base
        .and_then(in_force)
        .is_some_and(|(digest, _)| digest == canary);
    let is_lost = match base {
        None => true,
        Some(base) => {
            let was_canary = base
                .object
                .spec
                .canary
                .as_ref()
                .is_some_and(|old| old.pin.digest == canary);
            base.status.is_none() && was_canary
        }
    };
    (is_known || (is_lost && registered.aborted.contains(&canary))).then_some(canary)
}
