//! Whether a request that one endpoint did not answer is asked of another one.
//!
//! All that is passed on may be repeated: predictions and descriptions change nothing. But a request that ends the process
//! that evaluates it would end one after the other, so what was sent is sent once more at most.

use planner::names::Track;
use strum::IntoStaticStr;

use crate::metrics::Routed;

/// How many endpoints of a track are asked for one request.
const TRIES_MAX: usize = 3;
/// How often a request is sent whole.
const SENT_MAX: usize = 2;

/// Why an endpoint gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Tried {
    /// It takes no connection, or has said that it does not take the request: it did nothing.
    Refused,
    /// It answered that it serves nothing: it did nothing.
    NotReady,
    /// It got the request, and its answer did not come or broke off.
    Broken,
}

/// The way of one request so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Course {
    track: Track,
    /// Whether the weight chose the track: then stable may answer what is the canary's.
    may_divert: bool,
    tries: usize,
    sent: usize,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Another endpoint of the same track.
    Another,
    /// Stable instead of the canary.
    Divert,
    /// Nothing: it failed.
    Stop,
}

impl Course {
    pub(super) fn new(track: Track, routed: Option<Routed>) -> Self {
        Self {
            track,
            may_divert: track == Track::Canary && routed == Some(Routed::Split),
            tries: 0,
            sent: 0,
        }
    }

    /// Returns the track whose endpoints are asked.
    pub(super) fn track(&self) -> Track {
        self.track
    }

    /// An endpoint gave no answer.
    pub(super) fn after(&mut self, tried: Tried) -> Next {
        self.tries += 1;
        self.sent += usize::from(tried == Tried::Broken);
        if self.sent >= SENT_MAX {
            return Next::Stop;
        }
        if self.tries < TRIES_MAX {
            return Next::Another;
        }
        self.nobody_left()
    }

    /// The track has no endpoint that was not asked.
    pub(super) fn nobody_left(&mut self) -> Next {
        if !std::mem::take(&mut self.may_divert) {
            return Next::Stop;
        }
        self.track = Track::Stable;
        self.tries = 0;
        Next::Divert
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what comes after each: `r`efused, `n`ot ready, `b`roken, `-` nobody left.
    fn course(track: Track, routed: Routed, tried: &str) -> String {
        let mut course = Course::new(track, Some(routed));
        let next = |tried| {
            let next = match tried {
                'r' => course.after(Tried::Refused),
                'n' => course.after(Tried::NotReady),
                'b' => course.after(Tried::Broken),
                _ => course.nobody_left(),
            };
            match next {
                Next::Another => 'a',
                Next::Divert => 'd',
                Next::Stop => '.',
            }
        };
        tried.chars().map(next).collect()
    }

    #[test]
    fn what_was_sent_twice_or_tried_three_times_is_not_tried_again() {
        for (track, routed, tried, expected) in [
            (Track::Stable, Routed::Split, "rrr", "aa."),
            (Track::Stable, Routed::Split, "nrn", "aa."),
            (Track::Stable, Routed::Split, "bb", "a."),
            (Track::Stable, Routed::Split, "rbb", "aa."),
            (Track::Stable, Routed::Explicit, "-", "."),
            (Track::Stable, Routed::Split, "-", "."),
            // The canary's share goes to stable, once.
            (Track::Canary, Routed::Split, "-rrr", "daa."),
            (Track::Canary, Routed::Split, "rrr-", "aad."),
            (Track::Canary, Routed::Split, "b-b", "ad."),
            (Track::Canary, Routed::Split, "bb", "a."),
            // Whoever asks for the canary wants no other.
            (Track::Canary, Routed::Explicit, "-", "."),
            (Track::Canary, Routed::Explicit, "rrr", "aa."),
        ] {
            let got = course(track, routed, tried);
            assert_eq!(got, expected, "{track} {routed:?} {tried}");
        }
    }
}
