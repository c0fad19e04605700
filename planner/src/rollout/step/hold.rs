//! What holds a rollout back: a lost canary, a pause, a suspension.

use super::attempt::back_off;
use crate::Timestamp;
use crate::deployment::{ResolvedDeployment, ResolvedPin};
use crate::names::Weight;
use crate::rollout::{Ceiling, Frozen, HoldReason, Lost, State, Status, Tracks};

/// Counts a canary that answered at the last step and now does not.
///
/// A process that restarted has lost both tracks: that is no fault of the canary's.
pub(super) fn lost(
    pin: &ResolvedPin,
    tracks: &Tracks,
    before: Option<&Status>,
    now: Timestamp,
) -> Option<Lost> {
    let before = before?;
    let known = before.lost.as_ref().filter(|lost| lost.digest == pin.digest);
    let was_ready =
        before.serving.canary.as_ref() == Some(pin) && (before.weight > Weight::ZERO || known.is_some());
    let is_gone = tracks.track.canary.serving.is_none() && tracks.track.stable.serving.is_some();
    if !(was_ready && is_gone) {
        return known.cloned();
    }
    let count = known.map_or(1, |lost| lost.count.saturating_add(1));
    Some(Lost {
        digest: pin.digest,
        count,
        until: now + back_off(count),
    })
}

/// While a pause is in force, the canary may carry what it carried when the pause came, less what was lowered since.
/// A canary that comes later carries nothing.
pub(super) fn ceiling(
    pin: &ResolvedPin,
    declared: Weight,
    paused: Option<&str>,
    tracks: &Tracks,
    before: Option<&Status>,
) -> Option<Ceiling> {
    paused?;
    let known = before
        .and_then(|before| before.ceiling.as_ref())
        .filter(|known| known.digest == pin.digest);
    let begins = before.is_none_or(|before| before.paused.is_none());
    let carried = match known {
        Some(known) => known.weight,
        None if begins && tracks.track.canary.serving.as_ref() == Some(pin) => tracks.weight,
        None => Weight::ZERO,
    };
    Some(Ceiling {
        digest: pin.digest,
        weight: carried.min(declared),
    })
}

/// While a suspension is in force, what served when it came.
pub(super) fn frozen(spec: &ResolvedDeployment, tracks: &Tracks, before: Option<&Status>) -> Option<Frozen> {
    spec.suspend.as_ref()?;
    if let Some(frozen) = before.and_then(|before| before.frozen.as_ref()) {
        return Some(frozen.clone());
    }
    let is_restart = tracks.track.stable.serving.is_none() && tracks.track.canary.serving.is_none();
    Some(match before {
        None if is_restart => Frozen {
            stable: spec.stable.clone(),
            canary: spec.canary.as_ref().map(|canary| canary.pin.clone()),
            weight: spec.canary.as_ref().map_or(Weight::ZERO, |canary| canary.weight),
        },
        Some(before) if is_restart => Frozen {
            stable: before
                .serving
                .stable
                .clone()
                .unwrap_or_else(|| spec.stable.clone()),
            canary: before.serving.canary.clone(),
            weight: before.weight,
        },
        Some(_) | None => Frozen {
            stable: tracks
                .track
                .stable
                .serving
                .clone()
                .unwrap_or_else(|| spec.stable.clone()),
            canary: tracks.track.canary.serving.clone(),
            weight: tracks.weight,
        },
    })
}

pub(super) fn suspended(reason: &str) -> State {
    State::Holding {
        reason: HoldReason::Suspended,
        message: reason.to_owned(),
    }
}

pub(super) fn paused(paused: Option<&str>) -> State {
    State::Holding {
        reason: HoldReason::Paused,
        message: paused.unwrap_or_default().to_owned(),
    }
}

pub(super) fn canary_lost(lost: Option<&Lost>) -> State {
    let count = lost.map_or(1, |lost| lost.count);
    let times = if count == 1 {
        "once".to_owned()
    } else {
        format!("{count} times")
    };
    State::Holding {
        reason: HoldReason::CanaryLost,
        message: format!("the canary stopped answering ({times}) and comes back after a back-off"),
    }
}
