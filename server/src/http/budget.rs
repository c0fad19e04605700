//! Memory that requests share: what bodies hold on their way in, what answers hold on their way out.
//!
//! The first kilobytes of each are free: the number of connections bounds them, so small requests are answered whatever
//! large ones do. What is beyond is counted as it comes. Where there is no room, whoever is behind with sending or
//! taking loses its connection, and the others wait a moment. No peer gets all of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::clock;
use super::place::{Leave, Peer, Place};

/// What each body and each answer may hold uncounted, where a connection has one at a time.
pub(crate) const FREE_BYTES: usize = 16 << 10;
/// What is so large is freed on a thread that may wait: giving its pages back takes milliseconds.
const FREED_ASIDE_BYTES: usize = 1 << 20;
/// How long to wait for room: longer than it takes to see who is behind.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked who is behind meanwhile.
const LOOK: Duration = Duration::from_millis(50);

/// Returns what one body or answer of a connection may hold uncounted.
pub(crate) fn free_bytes(place: &Place) -> usize {
    if place.multiplexed { 0 } else { FREE_BYTES }
}

/// There is no room for it, and nobody to take it from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// A number of bytes that is shared; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bytes: usize,
    /// What one peer may hold.
    peer_bytes: usize,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    held: usize,
    peers: BTreeMap<Peer, usize>,
    /// Who holds, in the order in which they came.
    holders: BTreeMap<u64, Arc<Place>>,
    next: u64,
}

/// What one body or answer holds; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Budget,
    place: Arc<Place>,
    id: Option<u64>,
    counted: usize,
}

/// What an answer holds, on its way to the socket with the answer.
#[derive(Debug, Clone)]
pub(crate) struct Counted(Arc<Mutex<Option<Held>>>);

impl Counted {
    /// Ties what is held to the bytes: it is given back when they are freed.
    pub(super) fn with(&self, bytes: Bytes) -> Bytes {
        struct Both {
            bytes: Bytes,
            held: Option<Held>,
        }

        impl Drop for Both {
            fn drop(&mut self) {
                let large = self.bytes.len() >= FREED_ASIDE_BYTES;
                if let (true, Ok(runtime)) = (large, tokio::runtime::Handle::try_current()) {
                    let freed = (std::mem::take(&mut self.bytes), self.held.take());
                    drop(runtime.spawn_blocking(move || drop(freed)));
                }
            }
        }

        impl AsRef<[u8]> for Both {
            fn as_ref(&self) -> &[u8] {
                &self.bytes
            }
        }

        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(held) => Bytes::from_owner(Both {
                bytes,
                held: Some(held),
            }),
            None => bytes,
        }
    }
}

impl From<Held> for Counted {
    fn from(held: Held) -> Self {
        Self(Arc::new(Mutex::new(Some(held))))
    }
}

/// Returns what one of many may have of `all`: the rest is for others.
pub(crate) fn share(all: usize) -> usize {
    all - all / 8
}

impl Budget {
    /// Shares `bytes`; a single body or answer has at most `largest`, for which there is always room in the end.
    pub(crate) fn new(bytes: usize, largest: usize) -> Self {
        let bytes = bytes.max(largest);
        Self(Arc::new(Shared {
            bytes,
            peer_bytes: share(bytes).max(largest),
            state: Mutex::default(),
            freed: Notify::new(),
        }))
    }

    /// Holds nothing yet, for a connection.
    pub(crate) fn hold(&self, place: Arc<Place>) -> Held {
        Held {
            budget: self.clone(),
            place,
            id: None,
            counted: 0,
        }
    }

    /// Returns what one answer can count for: what is larger takes all that its peer may have, alone.
    pub(crate) fn most(&self) -> usize {
        self.0.peer_bytes.saturating_add(FREE_BYTES)
    }

    /// Returns how many bytes are held.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.state().held
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks whoever is behind most to leave, if somebody is; `of` one peer alone where that is what is full. Returns
    /// whether somebody was.
    fn evict(&self, of: Option<Peer>) -> bool {
        let now = clock::now();
        let state = self.state();
        let behind = state
            .holders
            .values()
            .filter(|place| of.is_none_or(|peer| peer == place.load.peer) && !place.is_leaving())
            .filter_map(|place| place.behind_since(now).map(|since| (since, place)))
            .min_by_key(|(since, _)| *since);
        if let Some((_, place)) = behind {
            place.leave(Leave::Behind);
        }
        behind.is_some()
    }
}

impl Held {
    /// Holds `bytes` in all, waiting a moment for room.
    pub(crate) async fn grow_to(&mut self, bytes: usize) -> Result<(), Full> {
        let wanted = bytes.saturating_sub(free_bytes(&self.place));
        if wanted <= self.counted {
            return Ok(());
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let budget = self.budget.clone();
            let freed = budget.0.freed.notified();
            let full = match self.try_grow(wanted) {
                Ok(()) => return Ok(()),
                Err(full) => full,
            };
            // Nothing is waited for from this client: it is us who do not read.
            self.place.settle_pace();
            let is_asked = budget.evict(full);
            let now = Instant::now();
            // Whoever was just asked to leave is waited for.
            if now >= deadline && !is_asked {
                return Err(Full);
            }
            let _late = tokio::time::timeout_at(now + LOOK, freed).await;
        }
    }

    /// Gives back what is beyond `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let wanted = bytes.saturating_sub(free_bytes(&self.place));
        if wanted < self.counted {
            let budget = self.budget.clone();
            self.count(&mut budget.state(), wanted);
            budget.0.freed.notify_waiters();
        }
    }

    /// Grows where there is room; otherwise tells whether it is one peer's share that is full, and whose.
    fn try_grow(&mut self, wanted: usize) -> Result<(), Option<Peer>> {
        let more = wanted - self.counted;
        let peer = self.place.load.peer;
        let budget = self.budget.clone();
        let mut state = budget.state();
        if state.held.saturating_add(more) > budget.0.bytes {
            return Err(None);
        }
        let of_peer = state.peers.get(&peer).copied().unwrap_or_default();
        if of_peer.saturating_add(more) > budget.0.peer_bytes {
            return Err(Some(peer));
        }
        self.count(&mut state, wanted);
        Ok(())
    }

    fn count(&mut self, state: &mut State, wanted: usize) {
        let peer = self.place.load.peer;
        state.held = state.held - self.counted + wanted;
        let of_peer = state.peers.entry(peer).or_default();
        *of_peer = *of_peer - self.counted + wanted;
        if *of_peer == 0 {
            state.peers.remove(&peer);
        }
        self.counted = wanted;
        if wanted == 0 {
            if let Some(id) = self.id.take() {
                state.holders.remove(&id);
            }
            return;
        }
        let id = *self.id.get_or_insert_with(|| {
            state.next += 1;
            state.next
        });
        state.holders.entry(id).or_insert_with(|| self.place.clone());
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests;
