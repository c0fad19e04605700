//! What is in force: whom there is to ask, and what share the canary gets. Replaced whole, never changed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use planner::backends::{self, Backend, Backends};
use planner::names::{ModelName, Track, Weight};
use planner::per_track::PerTrack;

use super::upstream::{By, Endpoint};
use crate::metrics::Routed;
use crate::runtime::{Choice, NoSlot, split};

/// Whom requests are passed to.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) model: ModelName,
    pub(crate) weight: Weight,
    tracks: PerTrack<Option<Upstream>>,
}

/// Who answers as a track.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) version: String,
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
}

impl Table {
    /// Keeps what is known of endpoints that were there before, and their connections.
    pub(super) fn new(backends: &Backends, old: Option<&Self>) -> Self {
        let Backends {
            model,
            weight,
            stable,
            canary,
        } = backends;
        let old = old.map(|old| old.tracks.as_ref().into_iter());
        let old: BTreeMap<SocketAddr, &Arc<Endpoint>> = old
            .into_iter()
            .flatten()
            .filter_map(|(_, upstream)| upstream.as_ref())
            .flat_map(|upstream| &upstream.endpoints)
            .map(|endpoint| (endpoint.address, endpoint))
            .collect();
        let endpoint = |told: &backends::Endpoint| Endpoint::new(told, old.get(&told.http).copied());
        let upstream = |backend: &Backend| Upstream {
            version: backend.version.to_string(),
            endpoints: backend.endpoints.iter().map(endpoint).collect(),
        };
        Self {
            model: model.clone(),
            weight: *weight,
            tracks: PerTrack {
                stable: Some(upstream(stable)),
                canary: canary.as_ref().map(upstream),
            },
        }
    }

    /// Returns who answers as a track, if there is one.
    pub(crate) fn upstream(&self, track: Track) -> Option<&Upstream> {
        self.tracks.get(track).as_ref()
    }

    /// Returns the tracks that there are, stable first.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = (Track, &Upstream)> {
        let tracks = self.tracks.as_ref().into_iter();
        tracks.filter_map(|(track, upstream)| Some((track, upstream.as_ref()?)))
    }

    /// Returns the endpoints of a track.
    pub(super) fn endpoints(&self, track: Track) -> &[Arc<Endpoint>] {
        self.upstream(track)
            .map_or(&[], |upstream| upstream.endpoints.as_slice())
    }

    /// Returns those of a track that can be asked by a door.
    pub(super) fn reached(&self, track: Track, by: By) -> impl Iterator<Item = &Arc<Endpoint>> {
        let endpoints = self.endpoints(track).iter();
        endpoints.filter(move |endpoint| endpoint.has(by))
    }

    /// Says whether there is anybody of a track to ask by a door.
    pub(super) fn has(&self, track: Track, by: By) -> bool {
        self.reached(track, by).next().is_some()
    }

    /// Says whether there is anybody to ask by a door.
    pub(super) fn any(&self, by: By) -> bool {
        self.upstreams().any(|(track, _)| self.has(track, by))
    }

    /// Chooses the track of a request for predictions; `n` counts those of the split, from 1.
    pub(super) fn track(&self, choice: &Choice, n: impl FnOnce() -> u64) -> Result<(Track, Routed), NoSlot> {
        if !choice.is_split() {
            return Ok((self.explicit(choice)?, Routed::Explicit));
        }
        let is_canarys = split::to_canary(n(), self.weight) && self.upstream(Track::Canary).is_some();
        let track = if is_canarys { Track::Canary } else { Track::Stable };
        Ok((track, Routed::Split))
    }

    /// Finds the track that a request named.
    pub(super) fn explicit(&self, choice: &Choice) -> Result<Track, NoSlot> {
        let version = |track| self.upstream(track).map(|upstream| upstream.version.as_str());
        choice.explicit(&PerTrack {
            stable: version(Track::Stable),
            canary: version(Track::Canary),
        })
    }

    /// Finds the track that describes the model: where nothing was asked for, whoever is there.
    pub(super) fn describing(&self, choice: &Choice, by: By) -> Result<Track, NoSlot> {
        if choice.is_split() && !self.has(Track::Stable, by) && self.has(Track::Canary, by) {
            return Ok(Track::Canary);
        }
        self.explicit(choice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{V1, V2, model, version};

    /// A table of stable at V1 and, where it is given, a canary of a weight and a version.
    fn table(canary: Option<(u64, &str)>) -> Table {
        let backend = |number: &str, address: &str| Backend {
            version: version(number),
            endpoints: [backends::Endpoint::by_http(address.parse().expect("an address"))].into(),
        };
        let backends = Backends {
            model: model("wine"),
            weight: Weight::try_from(canary.map_or(0, |(weight, _)| weight)).expect("a percent"),
            stable: backend(V1, "10.0.0.1:80"),
            canary: canary.map(|(_, number)| backend(number, "10.0.0.2:80")),
        };
        Table::new(&backends, None)
    }

    fn choice(version: Option<&str>, track: Option<Track>) -> Choice {
        Choice {
            version: version.map(str::to_owned),
            track,
        }
    }

    #[test]
    fn of_a_thousand_requests_the_weight_decides_exactly() {
        for percent in 0..=100 {
            let table = table(Some((percent, V2)));
            for start in [1, 12_345] {
                let canarys = (start..start + 1_000)
                    .filter(|n| {
                        let (track, routed) = table.track(&choice(None, None), || *n).expect("a track");
                        assert_eq!(routed, Routed::Split);
                        track == Track::Canary
                    })
                    .count();
                let exact = usize::try_from(percent).expect("small") * 10;
                assert!(canarys.abs_diff(exact) <= 2, "{percent} %: {canarys}");
                assert!(!matches!(percent, 0 | 100) || canarys == exact);
            }
        }
        let alone = table(None);
        assert!(
            (1..1_000).all(|n| alone.track(&choice(None, None), || n).expect("a track").0 == Track::Stable)
        );
    }

    #[test]
    fn what_names_a_track_or_a_version_is_no_part_of_the_split() {
        use Track::{Canary, Stable};
        let with = Some((0, V2));
        let same = Some((50, V1));
        for (canary, version, track, expected) in [
            (with, None, Some(Stable), Ok(Stable)),
            (with, None, Some(Canary), Ok(Canary)),
            (with, Some(V1), None, Ok(Stable)),
            (with, Some(V2), None, Ok(Canary)),
            (with, Some(V2), Some(Canary), Ok(Canary)),
            (
                with,
                Some(V2),
                Some(Stable),
                Err("aurora-track is stable, but version v20260202-000000 is loaded on canary"),
            ),
            (with, Some("v1"), None, Err("version v1 is not loaded")),
            (None, None, Some(Canary), Err("there is no canary track")),
            (
                None,
                Some(V2),
                None,
                Err("version v20260202-000000 is not loaded"),
            ),
            (same, Some(V1), None, Ok(Stable)),
            (same, Some(V1), Some(Canary), Ok(Canary)),
        ] {
            let found = table(canary).track(&choice(version, track), || unreachable!("it is not counted"));
            let found = found
                .map(|(track, routed)| {
                    assert_eq!(routed, Routed::Explicit);
                    track
                })
                .map_err(|error| error.to_string());
            assert_eq!(
                found,
                expected.map_err(str::to_owned),
                "{canary:?} {version:?} {track:?}"
            );
        }
    }

    #[test]
    fn endpoints_that_stay_are_the_same_ones() {
        let told = |endpoints: &[(&str, Option<&str>)], old: Option<&Table>| {
            let parsed = |text: &str| text.parse().expect("an address");
            let endpoint = |(http, grpc): &(&str, Option<&str>)| backends::Endpoint {
                http: parsed(http),
                grpc: grpc.map(parsed),
            };
            let backends = Backends {
                model: model("wine"),
                weight: Weight::ZERO,
                stable: Backend {
                    version: version(V2),
                    endpoints: endpoints.iter().map(endpoint).collect(),
                },
                canary: None,
            };
            Table::new(&backends, old)
        };
        let (one, other) = ("10.0.0.1:80", "10.0.0.9:80");
        let first = told(&[(one, None)], Some(&table(None)));
        let second = told(&[(one, None), (other, None)], Some(&first));
        let [kept, new] = second.endpoints(Track::Stable) else {
            unreachable!("two are told");
        };
        assert!(Arc::ptr_eq(kept, &first.endpoints(Track::Stable)[0]));
        assert_eq!(new.address.to_string(), other);
        // A port of gRPC that comes or changes costs no connection by HTTP: it is the same pod.
        kept.put_out(By::Http);
        let third = told(&[(one, Some("10.0.0.1:81"))], Some(&second));
        let by_both = &third.endpoints(Track::Stable)[0];
        assert!(by_both.load(By::Http).is_out && !by_both.load(By::Grpc).is_out);
        assert!(by_both.has(By::Grpc) && !kept.has(By::Grpc));
        by_both.put_out(By::Grpc);
        let same = told(&[(one, Some("10.0.0.1:81"))], Some(&third));
        assert!(Arc::ptr_eq(by_both, &same.endpoints(Track::Stable)[0]));
        let moved = told(&[(one, Some("10.0.0.1:82"))], Some(&same));
        let moved = &moved.endpoints(Track::Stable)[0];
        assert!(moved.load(By::Http).is_out && !moved.load(By::Grpc).is_out);
        assert_eq!(moved.authority(By::Grpc).to_string(), "10.0.0.1:82");
    }
}
