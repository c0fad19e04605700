//! Who gets a place when all are taken.
//!
//! What idles gives way first, then who is behind with sending or taking: the oldest of the peer that has most. Where
//! nobody gives way, a few places are left for probes and metrics, so that a full listener can still be asked how it
//! is. Nobody loses a place to a peer that has more of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::task::Id;

use super::place::{Leave, Peer, PeerLoad, Place};

/// Places beyond the limit that only probes and metrics get.
pub(crate) const RESERVED: usize = 32;
/// Connections that were asked to leave and have not yet, beyond all others.
const LEAVING_MAX: usize = 128;

/// Returns how many sockets a listener with `max` places may hold at most.
pub(super) const fn files(max: usize) -> usize {
    max.saturating_add(RESERVED + LEAVING_MAX)
}

/// The places of one listener.
#[derive(Debug)]
pub(super) struct Places {
    max: usize,
    /// Whether a connection has several requests at a time.
    multiplexed: bool,
    by_number: BTreeMap<u64, Arc<Place>>,
    numbers: HashMap<Id, u64>,
    /// What each peer has under way, and how many connections.
    peers: BTreeMap<Peer, (Arc<PeerLoad>, usize)>,
    next: u64,
}

/// What a new connection gets.
#[derive(Debug)]
pub(super) enum Found {
    /// A place that was free.
    Free(Arc<Place>),
    /// The place of another, which was asked to leave.
    Of(Arc<Place>),
    /// Nothing.
    None,
}

impl Places {
    pub(super) fn new(max: usize, multiplexed: bool) -> Self {
        Self {
            max,
            multiplexed,
            by_number: BTreeMap::new(),
            numbers: HashMap::new(),
            peers: BTreeMap::new(),
            next: 0,
        }
    }

    /// Finds a place for a new connection; [`Self::taken`] says that it was taken.
    pub(super) fn find(&self, address: IpAddr, now: u64) -> Found {
        let peer = Peer::of(address);
        let place = |reserved| {
            let load = self.peers.get(&peer).map_or_else(
                || {
                    Arc::new(PeerLoad {
                        peer,
                        admitted: AtomicUsize::new(0),
                    })
                },
                |(load, _)| load.clone(),
            );
            Arc::new(Place::new(load, reserved, self.multiplexed))
        };
        if self.by_number.len() < self.max {
            return Found::Free(place(false));
        }
        if self.by_number.len() >= files(self.max) {
            return Found::None;
        }
        let staying = |reserved| {
            self.by_number
                .values()
                .filter(move |place| place.reserved == reserved && !place.is_leaving())
        };
        for (reserved, max) in [(false, self.max), (true, RESERVED)] {
            if staying(reserved).count() < max {
                return Found::Free(place(reserved));
            }
            if let Some((victim, why)) = self.victim(&staying(reserved), peer, now) {
                victim.leave(why);
                return Found::Of(place(reserved));
            }
        }
        Found::None
    }

    /// Returns who gives way to `peer`.
    fn victim<'a>(
        &self,
        places: &(impl Iterator<Item = &'a Arc<Place>> + Clone),
        peer: Peer,
        now: u64,
    ) -> Option<(&'a Arc<Place>, Leave)> {
        let connections = |peer: Peer| self.peers.get(&peer).map_or(0, |(_, connections)| *connections);
        let own = connections(peer);
        // Of the peer with most connections, whoever waits longest.
        let longest = |since: &dyn Fn(&Place) -> Option<u64>| {
            places
                .clone()
                .filter_map(|place| Some((connections(place.load.peer), since(place)?, place)))
                .filter(|(connections, _, _)| *connections >= own)
                .min_by_key(|(connections, since, _)| (Reverse(*connections), *since))
                .map(|(_, _, place)| place)
        };
        if let Some(idle) = longest(&|place| place.idle_since()) {
            return Some((idle, Leave::Idle));
        }
        longest(&|place| place.behind_since(now)).map(|behind| (behind, Leave::Behind))
    }

    pub(super) fn taken(&mut self, task: Id, place: Arc<Place>) {
        let load = &place.load;
        let (_, connections) = self.peers.entry(load.peer).or_insert_with(|| (load.clone(), 0));
        *connections += 1;
        self.next += 1;
        self.numbers.insert(task, self.next);
        self.by_number.insert(self.next, place);
    }

    pub(super) fn left(&mut self, task: Id) {
        let Some(place) = self
            .numbers
            .remove(&task)
            .and_then(|number| self.by_number.remove(&number))
        else {
            return;
        };
        let peer = place.load.peer;
        if let Some((_, connections)) = self.peers.get_mut(&peer) {
            *connections -= 1;
            if *connections == 0 {
                self.peers.remove(&peer);
            }
        }
    }

    /// Asks every connection to end once it has answered.
    pub(super) fn drain(&self) {
        for place in self.by_number.values() {
            place.drain();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::clock;
    use crate::http::place::UnderWay;

    /// A full listener, described as its connections: whose they are and since when they idle, or that they are busy.
    struct Full {
        places: Places,
        held: Vec<Arc<Place>>,
        _under_way: Vec<UnderWay>,
    }

    fn address(peer: u8) -> IpAddr {
        [10, 0, 0, peer].into()
    }

    fn full(connections: &[(u8, Option<u64>)]) -> Full {
        let mut places = Places::new(connections.len(), false);
        let mut held = Vec::new();
        let mut under_way = Vec::new();
        for (peer, idle) in connections {
            let Found::Free(place) = places.find(address(*peer), 0) else {
                panic!("a free place");
            };
            match idle {
                Some(since) => place.idle_from(*since),
                None => under_way.push(place.begin_request()),
            }
            places.taken(tokio::spawn(async {}).id(), place.clone());
            held.push(place);
        }
        Full {
            places,
            held,
            _under_way: under_way,
        }
    }

    /// Returns what a newcomer gets, and whose place.
    fn newcomer(full: &Full, peer: u8) -> (&'static str, Option<usize>) {
        let found = match full.places.find(address(peer), clock::now() + 1_000_000_000) {
            Found::Free(place) | Found::Of(place) if place.reserved => "reserved",
            Found::Free(_) => "free",
            Found::Of(_) => "taken",
            Found::None => "none",
        };
        (found, full.held.iter().position(|place| place.is_leaving()))
    }

    #[tokio::test]
    async fn the_oldest_that_idles_gives_way() {
        let idle = [(1, Some(30)), (1, Some(10)), (1, None), (1, Some(20))];
        assert_eq!(newcomer(&full(&idle), 1), ("taken", Some(1)));
        assert_eq!(newcomer(&full(&idle), 2), ("taken", Some(1)));
    }

    #[tokio::test]
    async fn whoever_has_most_gives_way_first_and_nobody_to_one_that_has_more() {
        let flood = [(1, Some(50)), (1, Some(60)), (1, Some(70)), (2, Some(10))];
        assert_eq!(newcomer(&full(&flood), 3), ("taken", Some(0)));
        assert_eq!(newcomer(&full(&flood), 1), ("taken", Some(0)));
        let busy = [(1, None), (1, None), (1, None), (2, Some(10))];
        assert_eq!(newcomer(&full(&busy), 1), ("reserved", None));
        assert_eq!(newcomer(&full(&busy), 3), ("taken", Some(3)));
    }

    #[tokio::test]
    async fn who_is_behind_gives_way_where_nobody_idles() {
        let full = full(&[(1, None), (1, None), (1, None)]);
        full.held[2].wait_for_client();
        assert_eq!(newcomer(&full, 1), ("taken", Some(2)));
    }

    #[tokio::test]
    async fn a_few_places_are_left_for_probes() {
        let mut full = full(&[(1, None), (1, None)]);
        let mut busy = Vec::new();
        for _ in 0..RESERVED {
            let Found::Free(place) = full.places.find(address(1), 0) else {
                panic!("a reserved place");
            };
            assert!(place.reserved);
            busy.push(place.begin_request());
            full.places.taken(tokio::spawn(async {}).id(), place);
        }
        assert_eq!(newcomer(&full, 1), ("none", None));
        // One that has sent nothing yet gives way.
        drop(busy.pop());
        assert_eq!(newcomer(&full, 1).0, "reserved");
    }

    #[tokio::test]
    async fn a_place_that_is_left_is_free() {
        let mut places = Places::new(1, false);
        let Found::Free(place) = places.find(address(1), 0) else {
            panic!("a free place");
        };
        let _under_way = place.begin_request();
        let task = tokio::spawn(async {}).id();
        places.taken(task, place);
        places.left(task);
        assert!(matches!(places.find(address(1), 0), Found::Free(place) if !place.reserved));
        assert!(places.peers.is_empty());
    }
}
