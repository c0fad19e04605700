//! Which command counts: an abort lasts while its canary does, in whatever place it is remembered.

use super::{Commands, Model};
use crate::names::Digest;
use crate::observed::DeploymentObject;

/// What commands come to.
pub(super) struct InForce {
    /// The canary that serves no request, and why.
    pub(super) abort: Option<(Digest, String)>,
    /// The pause.
    pub(super) paused: Option<String>,
    /// Whether the abort's own record can go: the object and the history hold it, or its canary is gone.
    pub(super) is_abort_done: bool,
}

pub(super) fn in_force(model: &Model<'_>, object: &DeploymentObject) -> InForce {
    let Commands { abort, paused } = model.commands;
    let canary = object.spec.canary.as_ref().map(|canary| canary.pin.digest);
    let is_current = |digest: &Digest| canary == Some(*digest);
    let is_recorded = |digest: &Digest| {
        let registered = model.registered;
        object.abort == Some(*digest)
            && registered.is_some_and(|registered| registered.aborted.contains(digest))
    };
    let is_abort_done = abort
        .as_ref()
        .is_some_and(|(digest, _)| !is_current(digest) || is_recorded(digest));
    let remembered = model
        .status
        .and_then(|status| status.state.aborted())
        .map(|(digest, reason)| (digest, reason.to_owned()));
    let kept = object
        .abort
        .map(|digest| (digest, "recorded in the registry's history".to_owned()));
    let abort = [remembered, abort.clone(), kept]
        .into_iter()
        .flatten()
        .find(|(digest, _)| is_current(digest));
    InForce {
        abort,
        paused: paused.clone(),
        is_abort_done,
    }
}
