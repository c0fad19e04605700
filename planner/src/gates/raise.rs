//! What a change of a manifest raises: the share of requests that reaches a version.

use crate::deployment::{Canary, DeclaredDeployment, Pin, ResolvedDeployment, ResolvedPin};
use crate::names::{Track, Version, Weight};
use crate::per_track::PerTrack;

/// What a model's tracks serve, and in which shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracks {
    /// What stable serves.
    pub stable: Pin,
    /// What the canary serves, and its weight.
    pub canary: Option<(Pin, Weight)>,
}

impl From<&ResolvedDeployment> for Tracks {
    fn from(spec: &ResolvedDeployment) -> Self {
        Self::of(&spec.stable, spec.canary.as_ref())
    }
}

impl From<&DeclaredDeployment> for Tracks {
    fn from(spec: &DeclaredDeployment) -> Self {
        let canary = spec.canary.as_ref();
        Self {
            stable: spec.stable.clone(),
            canary: canary.map(|canary| (canary.pin.clone(), canary.weight)),
        }
    }
}

impl Tracks {
    /// Returns what resolved pins serve.
    pub fn of(stable: &ResolvedPin, canary: Option<&Canary<ResolvedPin>>) -> Self {
        let pin = |pin: &ResolvedPin| Pin {
            version: pin.version.clone(),
            digest: Some(pin.digest),
        };
        Self {
            stable: pin(stable),
            canary: canary.map(|canary| (pin(&canary.pin), canary.weight)),
        }
    }

    /// Returns which share of the requests reaches a version, at most.
    pub fn share(&self, pin: &Pin) -> Weight {
        if self.is_stable(pin) {
            return Weight::FULL;
        }
        let canary = self.canary.as_ref().filter(|(canary, _)| is_same(canary, pin));
        canary.map_or(Weight::ZERO, |(_, weight)| *weight)
    }

    /// Says whether a version is what stable serves.
    pub fn is_stable(&self, pin: &Pin) -> bool {
        is_same(&self.stable, pin)
    }

    /// Says whether either track serves a version.
    pub fn serves(&self, pin: &Pin) -> bool {
        let canary = self.canary.as_ref();
        self.is_stable(pin) || canary.is_some_and(|(canary, _)| is_same(canary, pin))
    }
}

/// Says whether two pins are of one artifact: by digest where both have one.
fn is_same(one: &Pin, other: &Pin) -> bool {
    match (one.digest, other.digest) {
        (Some(one), Some(other)) => one == other,
        (Some(_) | None, Some(_) | None) => one.version == other.version,
    }
}

/// More requests reach a version than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raise {
    /// The track that serves it from now on.
    pub track: Track,
    /// The version.
    pub pin: Pin,
    /// The share that reached it before, at most.
    pub from: Weight,
    /// The share that reaches it then.
    pub to: Weight,
}

/// Returns which tracks of a change raise what reaches a version.
///
/// `rejected` are the versions that the change says may not serve. To leave such a stable for a version that `has_served`
/// before is to go back, which takes requests away from what is bad: no raise. Nor is it one that the stable gets what its
/// canary loses.
pub fn raises(
    before: Option<&Tracks>,
    after: &Tracks,
    rejected: &[Version],
    has_served: impl Fn(&Pin) -> bool,
) -> PerTrack<Option<Raise>> {
    let share = |pin: &Pin| before.map_or(Weight::ZERO, |before| before.share(pin));
    let stable = &after.stable;
    let goes_back = before.is_some_and(|before| {
        rejected.contains(&before.stable.version) && !is_same(&before.stable, stable) && has_served(stable)
    });
    let raise = |track: Track, pin: &Pin, to: Weight| {
        let from = share(pin);
        (to > from).then(|| Raise {
            track,
            pin: pin.clone(),
            from,
            to,
        })
    };
    PerTrack {
        stable: raise(Track::Stable, stable, Weight::FULL).filter(|_| !goes_back),
        canary: after
            .canary
            .as_ref()
            .and_then(|(pin, weight)| raise(Track::Canary, pin, *weight)),
    }
}
