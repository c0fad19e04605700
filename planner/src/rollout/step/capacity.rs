//! How much of a track there is and has to be: a weight `w` needs `ceil(w/100 × stable replicas)` of the canary's.

use super::attempt::{back_off, is_over, longest_back_off};
use crate::Timestamp;
use crate::deployment::ResolvedPin;
use crate::names::Weight;
use crate::per_track::PerTrack;
use crate::rollout::{HoldReason, Means, Model, State, Status, Thinned, Tracks};

/// The most that the canary's ready replicas carry.
pub(super) fn carried(tracks: &Tracks) -> Weight {
    let PerTrack { stable, canary } = tracks.track.as_ref().map(|_, track| track.capacity);
    let percent = u64::from(canary.ready) * 100 / u64::from(stable.wanted.max(1));
    Weight::try_from(percent.min(100)).unwrap_or(Weight::FULL)
}

/// Remembers a canary whose ready replicas do not carry what it has any more. While that is fresh, a further loss counts
/// as the same one.
pub(super) fn thinned(
    pin: &ResolvedPin,
    most: Weight,
    tracks: &Tracks,
    before: Option<&Status>,
    now: Timestamp,
) -> Option<Thinned> {
    let before = before?;
    let known = before
        .thinned
        .as_ref()
        .filter(|thinned| thinned.digest == pin.digest);
    let carried = carried(tracks);
    let is_served = |serving: &Option<ResolvedPin>| serving.as_ref() == Some(pin);
    let goes_on = is_served(&before.serving.canary) && is_served(&tracks.track.canary.serving);
    if !goes_on || carried >= tracks.weight.min(most) {
        return known.cloned();
    }
    if let Some(known) = known.filter(|known| is_waiting(known, now)) {
        return Some(Thinned {
            weight: known.weight.min(carried),
            ..known.clone()
        });
    }
    // What was well for as long as the longest wait begins anew.
    let lately = known.filter(|known| now < known.until + longest_back_off());
    let count = lately.map_or(1, |known| known.count.saturating_add(1));
    Some(Thinned {
        digest: pin.digest,
        count,
        weight: carried,
        until: now + back_off(count),
    })
}

/// The most that a canary may carry that lost replicas of late.
pub(super) fn limit(thinned: Option<&Thinned>, now: Timestamp) -> Weight {
    let waiting = thinned.filter(|thinned| is_waiting(thinned, now));
    waiting.map_or(Weight::FULL, |thinned| thinned.weight)
}

fn is_waiting(thinned: &Thinned, now: Timestamp) -> bool {
    !is_over(thinned.until, thinned.count, now)
}

/// How many of the canary's replicas a weight needs, and no fewer than are declared.
pub(super) fn needed(weight: Weight, means: Means, tracks: &Tracks) -> u32 {
    let declared = means.stable_replicas.unwrap_or_default();
    let stable = declared.max(tracks.track.stable.capacity.wanted);
    let needed = (u64::from(weight.percent()) * u64::from(stable)).div_ceil(100);
    u32::try_from(needed)
        .unwrap_or(u32::MAX)
        .max(means.canary_replicas_min)
}

/// How many replicas each track is to have. `share` is what the canary is meant to carry once it can; where `is_kept`, it
/// has no fewer than now.
pub(super) fn replicas(
    model: &Model<'_>,
    goal: &PerTrack<Option<ResolvedPin>>,
    share: Weight,
    is_kept: bool,
) -> PerTrack<Option<u32>> {
    let needed = needed(share, model.means, model.tracks);
    let least = if is_kept {
        model.tracks.track.canary.capacity.wanted
    } else {
        0
    };
    PerTrack {
        stable: goal.stable.as_ref().and(model.means.stable_replicas),
        canary: goal.canary.as_ref().map(|_| needed.max(least)),
    }
}

/// What holds a canary that is to carry `most` and can carry less.
pub(super) fn state(tracks: &Tracks, most: Weight, thinned: Option<&Thinned>) -> State {
    let PerTrack { stable, canary } = tracks.track.as_ref().map(|_, track| track.capacity);
    let carried = carried(tracks);
    let message = if carried < most {
        format!(
            "{} of {} canary replicas are ready, which carry {carried} beside {} of stable",
            canary.ready, canary.wanted, stable.wanted
        )
    } else {
        let count = thinned.map_or(1, |thinned| thinned.count);
        format!("the canary lost replicas ({count} of late) and gets its share back after a back-off")
    };
    State::Holding {
        reason: HoldReason::CanaryCapacity,
        message,
    }
}
