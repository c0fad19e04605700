//! What requests may still follow the route to: they come up to a settle time after it was written.

use crate::Timestamp;
use crate::deployment::ResolvedPin;
use crate::names::Weight;
use crate::per_track::PerTrack;
use crate::rollout::{Model, TrackState};

/// Returns when the route was last written, this step included; `None` where requests follow it at once.
///
/// A live weight that is not the remembered one was written by a step that was cut off, or by somebody else: when is not
/// known, so it counts from now on. So does the route of a model whose memory is gone.
pub(super) fn written_at(model: &Model<'_>, weight: Weight, now: Timestamp) -> Option<Timestamp> {
    if model.means.settle.is_zero() {
        return None;
    }
    let tracks = model.tracks;
    let remembered = model.status.filter(|before| before.weight == tracks.weight);
    let is_closed = model.object.is_none() && tracks.is_routed;
    if remembered.is_none() || weight != tracks.weight || is_closed {
        return Some(now);
    }
    let known = remembered.and_then(|before| before.routed_at);
    // A time to come means that the clock was set back.
    known.max(tracks.routed_at).map(|at| at.min(now))
}

/// Returns when all requests follow the route, if they may not yet.
pub(super) fn settles_at(
    model: &Model<'_>,
    written_at: Option<Timestamp>,
    now: Timestamp,
) -> Option<Timestamp> {
    let settled_at = written_at? + model.means.settle;
    (now < settled_at).then_some(settled_at)
}

/// Keeps what answers on each track that is to answer no more, or with something else. Stable turns into what is
/// declared all the same: it answers all the while.
pub(super) fn keep(model: &Model<'_>, goal: &mut PerTrack<Option<ResolvedPin>>) -> bool {
    let keep = |state: &TrackState, goal: &mut Option<ResolvedPin>| {
        let is_kept = state.serving.is_some() && *goal != state.serving;
        if is_kept {
            goal.clone_from(&state.serving);
        }
        is_kept
    };
    let PerTrack { stable, canary } = &model.tracks.track;
    let is_stable_kept = model.object.is_none() && keep(stable, &mut goal.stable);
    keep(canary, &mut goal.canary) || is_stable_kept
}
