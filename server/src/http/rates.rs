//! How often each address may do something: a burst, and so many a second for good.
//!
//! Of each address one moment is kept: when it would be where it is had it kept to its rate. That of one that has rested is
//! forgotten, and of more addresses than are kept the one that is nearest to it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::clock;
use super::place::Peer;

/// How many addresses are kept.
const PEERS_MAX: usize = 4096;

/// The rates of all addresses.
#[derive(Debug)]
pub(super) struct Rates {
    /// Between two, for good.
    interval: u64,
    /// How far ahead of its rate an address may be.
    burst: u64,
    due: BTreeMap<Peer, u64>,
}

impl Rates {
    /// Lets each address have `burst` at once, then one each `interval`.
    pub(super) fn new(interval: Duration, burst: u32) -> Self {
        let interval = clock::microseconds(interval);
        Self {
            interval,
            burst: interval * u64::from(burst),
            due: BTreeMap::new(),
        }
    }

    /// Counts one more of `peer` at `now` and returns how long it has to wait for its turn; where that is longer than
    /// `patience` it is not counted, and the error says how long.
    pub(super) fn take(&mut self, peer: Peer, now: u64, patience: Duration) -> Result<Duration, Duration> {
        let due = self.due.get(&peer).copied().unwrap_or(0).max(now) + self.interval;
        let wait = Duration::from_micros(due.saturating_sub(now + self.burst));
        if wait > patience {
            return Err(wait);
        }
        if self.due.len() >= PEERS_MAX && !self.due.contains_key(&peer) {
            self.forget(now);
        }
        self.due.insert(peer, due);
        Ok(wait)
    }

    fn forget(&mut self, now: u64) {
        self.due.retain(|_, due| *due > now);
        if self.due.len() >= PEERS_MAX
            && let Some((peer, _)) = self.due.iter().min_by_key(|(_, due)| **due)
        {
            let peer = *peer;
            self.due.remove(&peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u32) -> Peer {
        Peer::of(std::net::Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn a_burst_is_taken_and_then_so_many_a_second_of_each_address() {
        let mut rates = Rates::new(Duration::from_millis(100), 5);
        let mut taken = |at: u64, number| {
            let now = at * 1_000_000 + 1;
            let ask = |_: &u32| rates.take(peer(number), now, Duration::ZERO).is_ok();
            (0..100).filter(ask).count()
        };
        let of_one = [taken(0, 1), taken(0, 1), taken(1, 1), taken(1, 2), taken(100, 1)];
        assert_eq!(of_one, [5, 0, 5, 5, 5]);
    }

    #[test]
    fn whoever_is_ahead_waits_longer_each_time_and_not_for_ever() {
        let mut rates = Rates::new(Duration::from_secs(1), 2);
        let waits: Vec<_> = (0..6)
            .map(|_| {
                rates
                    .take(peer(1), 1, Duration::from_secs(2))
                    .map_err(|wait| wait.as_secs())
            })
            .map(|wait| wait.map(|wait| wait.as_secs()))
            .collect();
        assert_eq!(waits, [Ok(0), Ok(0), Ok(1), Ok(2), Err(3), Err(3)]);
    }

    #[test]
    fn many_addresses_are_not_kept() {
        let mut rates = Rates::new(Duration::from_secs(1), 1);
        let once = |rates: &mut Rates, number, now| rates.take(peer(number), now, Duration::ZERO).is_ok();
        let many = u32::try_from(PEERS_MAX).expect("few");
        for number in 0..many {
            assert!(once(&mut rates, number, 1 + u64::from(number)));
        }
        // The oldest, the first, gives way to another one.
        assert!(once(&mut rates, many, 10_000));
        assert!(!once(&mut rates, 1, 10_000));
        assert!(once(&mut rates, 0, 10_000));
        assert_eq!(rates.due.len(), PEERS_MAX);
        // All have rested.
        assert!(once(&mut rates, 2 * many, 100_000_000));
        assert_eq!(rates.due.len(), 1);
    }
}
