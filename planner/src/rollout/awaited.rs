//! What should come to serve, for whoever says when a server is ready.

use super::State;
use crate::deployment::ResolvedPin;
use crate::observed::ObservedDeployment;
use crate::per_track::PerTrack;

/// Returns the pins that an object's tracks are to load. One that does not load has a finding and is left out, as is an
/// aborted canary; under a suspension it is what served when that came.
pub fn awaited(deployment: &ObservedDeployment) -> PerTrack<Option<&ResolvedPin>> {
    let spec = &deployment.object.spec;
    let status = deployment.status.as_ref();
    let frozen = status
        .and_then(|status| status.frozen.as_ref())
        .filter(|_| spec.suspend.is_some());
    let pins = match frozen {
        Some(frozen) => PerTrack {
            stable: Some(&frozen.stable),
            canary: frozen.canary.as_ref(),
        },
        None => PerTrack {
            stable: Some(&spec.stable),
            canary: spec.canary.as_ref().map(|canary| &canary.pin),
        },
    };
    let is_aborted = |pin: &ResolvedPin| {
        let told = status.map(|status| &status.state).and_then(State::aborted);
        deployment.object.abort == Some(pin.digest) || told.is_some_and(|(digest, _)| digest == pin.digest)
    };
    let loads = pins.map(|track, pin| {
        let retry = status.and_then(|status| status.retry.get(track).as_ref());
        pin.filter(|pin| retry.is_none_or(|retry| retry.pin != **pin))
    });
    PerTrack {
        canary: loads.canary.filter(|pin| !is_aborted(pin)),
        ..loads
    }
}
