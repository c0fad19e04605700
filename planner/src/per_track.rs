//! One value for each track.

use serde::{Deserialize, Serialize};

use crate::names::Track;

/// What there is of one thing on stable and on the canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct PerTrack<T> {
    /// Of the stable track.
    pub stable: T,
    /// Of the canary track.
    pub canary: T,
}

impl<T> PerTrack<T> {
    /// Returns a track's value.
    pub const fn get(&self, track: Track) -> &T {
        match track {
            Track::Stable => &self.stable,
            Track::Canary => &self.canary,
        }
    }

    /// Returns a track's value, to change it.
    pub const fn get_mut(&mut self, track: Track) -> &mut T {
        match track {
            Track::Stable => &mut self.stable,
            Track::Canary => &mut self.canary,
        }
    }

    /// Borrows both values.
    pub const fn as_ref(&self) -> PerTrack<&T> {
        PerTrack {
            stable: &self.stable,
            canary: &self.canary,
        }
    }

    /// Makes something else of each value, stable's first.
    pub fn map<U>(self, mut make: impl FnMut(Track, T) -> U) -> PerTrack<U> {
        PerTrack {
            stable: make(Track::Stable, self.stable),
            canary: make(Track::Canary, self.canary),
        }
    }

    /// Makes a pair for each track of two such values.
    pub fn zip<U>(self, other: PerTrack<U>) -> PerTrack<(T, U)> {
        PerTrack {
            stable: (self.stable, other.stable),
            canary: (self.canary, other.canary),
        }
    }
}

impl<T> IntoIterator for PerTrack<T> {
    type Item = (Track, T);
    type IntoIter = std::array::IntoIter<(Track, T), 2>;

    /// Goes through both values, stable's first.
    fn into_iter(self) -> Self::IntoIter {
        [(Track::Stable, self.stable), (Track::Canary, self.canary)].into_iter()
    }
}
