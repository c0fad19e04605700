//! What a request asks for besides its model, and which track that is.

use planner::names::Track;
use planner::per_track::PerTrack;

/// What a request asked for. A version stays text: what does not parse is not loaded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Choice {
    /// The version in the path.
    pub(crate) version: Option<String>,
    /// The header `aurora-track`.
    pub(crate) track: Option<Track>,
}

/// Why nobody answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoSlot {
    #[error("version {0} is not loaded")]
    Version(String),
    #[error("there is no {0} track")]
    Track(Track),
    #[error("aurora-track is {track}, but version {version} is loaded on {loaded}")]
    Contradiction {
        track: Track,
        version: String,
        loaded: Track,
    },
    #[error("no version is loaded yet")]
    NotReady,
}

impl Choice {
    /// Says whether the weight decides.
    pub(crate) fn is_split(&self) -> bool {
        self.version.is_none() && self.track.is_none()
    }

    /// Finds the track that was asked for, by the version of each; where stable and canary have one version (a promotion
    /// under way), the track decides, and without a track stable answers.
    pub(crate) fn explicit(&self, versions: &PerTrack<Option<&str>>) -> Result<Track, NoSlot> {
        let Some(version) = &self.version else {
            let track = self.track.unwrap_or(Track::Stable);
            return versions
                .get(track)
                .map(|_version| track)
                .ok_or(NoSlot::Track(track));
        };
        let holds = |track: &Track| *versions.get(*track) == Some(version.as_str());
        let Some(first) = [Track::Stable, Track::Canary].into_iter().find(holds) else {
            return Err(NoSlot::Version(version.clone()));
        };
        match self.track {
            None => Ok(first),
            Some(track) if holds(&track) => Ok(track),
            Some(track) => Err(NoSlot::Contradiction {
                track,
                version: version.clone(),
                loaded: first,
            }),
        }
    }
}
