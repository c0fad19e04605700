//! Things that are done one after the other on a thread of their own, each again when it is due, until nobody wants them.
//!
//! The thread is there while there is anything to do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What became of a thing that was done once.
#[derive(Debug)]
pub(super) enum Round<V> {
    /// It need not be done again.
    Done,
    /// It is due again after a pause; what is known of it from now on.
    Again(V, Duration),
}

type Run<K, V> = dyn Fn(&K, &V) -> Round<V> + Send + Sync;

/// Things by their key, with what is known of each.
pub(super) struct Rounds<K, V>(Arc<Shared<K, V>>);

struct Shared<K, V> {
    name: &'static str,
    run: Box<Run<K, V>>,
    state: Mutex<State<K, V>>,
    changed: Condvar,
}

struct State<K, V> {
    items: BTreeMap<K, (V, Instant)>,
    news: BTreeSet<K>,
    is_working: bool,
    is_over: bool,
}

impl<K, V> Rounds<K, V>
where
    K: Ord + Clone + Send + 'static,
    V: PartialEq + Clone + Send + 'static,
{
    /// Does things by `run`, on a thread of this name.
    pub(super) fn new(name: &'static str, run: impl Fn(&K, &V) -> Round<V> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared {
            name,
            run: Box::new(run),
            state: Mutex::new(State {
                items: BTreeMap::new(),
                news: BTreeSet::new(),
                is_working: false,
                is_over: false,
            }),
            changed: Condvar::new(),
        }))
    }

    /// Returns what is known of a thing.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        let state = self.0.lock();
        state.items.get(key).map(|(value, _due)| value.clone())
    }

    /// Does a thing as soon as its turn comes, and forgets what was known of it.
    pub(super) fn put(&self, key: K, value: V) {
        let mut state = self.0.lock();
        state.items.insert(key, (value, Instant::now()));
        self.0.changed.notify_all();
        if state.is_working {
            return;
        }
        let shared = self.0.clone();
        let thread = std::thread::Builder::new().name(self.0.name.to_owned());
        match thread.spawn(move || shared.work()) {
            Ok(_detached) => state.is_working = true,
            Err(error) => {
                tracing::warn!(%error, "cannot start a thread; it is tried again");
                // Whoever wants them asks again.
                let keys: Vec<K> = std::mem::take(&mut state.items).into_keys().collect();
                state.news.extend(keys);
            }
        }
    }

    /// Goes on with the things alone that are still wanted.
    pub(super) fn retain(&self, is_wanted: impl Fn(&K, &V) -> bool) {
        let mut state = self.0.lock();
        state.items.retain(|key, (value, _due)| is_wanted(key, value));
        self.0.changed.notify_all();
    }

    /// Takes the keys of which there is news since they were taken last.
    pub(super) fn news(&self) -> BTreeSet<K> {
        std::mem::take(&mut self.0.lock().news)
    }

    /// Counts the things of a kind.
    pub(super) fn count(&self, is: impl Fn(&V) -> bool) -> usize {
        let state = self.0.lock();
        state.items.values().filter(|(value, _due)| is(value)).count()
    }
}

impl<K, V> Drop for Rounds<K, V> {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.changed.notify_all();
    }
}

impl<K, V> Shared<K, V> {
    fn lock(&self) -> MutexGuard<'_, State<K, V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Ord + Clone, V: PartialEq + Clone> Shared<K, V> {
    fn work(&self) {
        while let Some((key, value)) = self.next() {
            let round = (self.run)(&key, &value);
            self.note(key, &value, round);
        }
    }

    /// Waits for what is due next; `None` once there is nothing to do.
    fn next(&self) -> Option<(K, V)> {
        let mut state = self.lock();
        loop {
            let first = state.items.iter().min_by_key(|(_key, (_value, due))| *due);
            let Some((key, (value, due))) = first.filter(|_| !state.is_over) else {
                state.is_working = false;
                return None;
            };
            let pause = due.saturating_duration_since(Instant::now());
            if pause.is_zero() {
                return Some((key.clone(), value.clone()));
            }
            let waited = self.changed.wait_timeout(state, pause);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn note(&self, key: K, before: &V, round: Round<V>) {
        let mut state = self.lock();
        // What was put meanwhile is another thing, and due.
        let Some(item) = state.items.get_mut(&key).filter(|(value, _due)| value == before) else {
            return;
        };
        let is_news = match round {
            Round::Done => {
                state.items.remove(&key);
                true
            }
            Round::Again(value, pause) => {
                let is_news = value != *before;
                *item = (value, Instant::now() + pause);
                is_news
            }
        };
        if is_news {
            state.news.insert(key);
        }
    }
}
