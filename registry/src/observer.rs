//! What a store holds, looked at again only where a stamp changed.
//!
//! ```text
//! glance  three stamps of a model's folder: is there anything to look at?     cheap enough for every model of a poll
//! observe every stamp below it: what changed is read, a version's files are hashed, the rest is remembered
//! ```
//!
//! A stamp is trusted only once it is older than [`SETTLED_SECONDS`]: a change right after the look could bear the same
//! time, as coarse as some filesystems keep it. Nothing here writes, but for the store's own list of models.

mod mark;
mod model;
mod past;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use planner::names::{Digest, ModelName};
use planner::observed::ObservedModel;

use crate::error::StoreError;
use crate::files::seconds_now;
use crate::store::{DATASETS, METADATA_FILE, REGISTRY, Store};
use mark::Mark;
use model::Seen;

#[cfg(doc)]
use crate::files::SETTLED_SECONDS;

/// The memory of what a store holds. Cheap to clone; clones share it. No model waits for the look at another.
#[derive(Debug, Clone)]
pub struct Observer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Store,
    models: Mutex<HashMap<ModelName, Arc<Mutex<Seen>>>>,
    datasets: Mutex<(Mark, Arc<BTreeSet<Digest>>)>,
    /// Of the folder that holds the models, and of the file that lists them.
    listed: Mutex<[Mark; 2]>,
    counters: Counters,
}

/// How much was read, since the observer was made.
#[derive(Debug, Default)]
struct Counters {
    /// Versions whose files were hashed.
    hashed: AtomicU64,
    /// Bytes of histories.
    history_bytes: AtomicU64,
}

impl Counters {
    fn count_hashed(&self) {
        self.hashed.fetch_add(1, Ordering::Relaxed);
    }

    fn count_history(&self, bytes: u64) {
        self.history_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Observer {
    /// Makes an observer that has seen nothing yet.
    pub fn new(store: Store) -> Self {
        Self(Arc::new(Shared {
            store,
            models: Mutex::default(),
            datasets: Mutex::default(),
            listed: Mutex::default(),
            counters: Counters::default(),
        }))
    }

    /// Returns the store that is observed.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Returns what the store holds of a model, each version verified; the same [`Arc`] as before where nothing changed.
    ///
    /// An unknown model has nothing; a store that cannot be read is an error, never an empty model. Finds a version's
    /// damage even where it was made in place. Hashes only files that changed, reads of the history only what was added.
    pub fn observe(&self, model: &ModelName) -> Result<Arc<ObservedModel>, StoreError> {
        let seen = Arc::clone(lock(&self.0.models).entry(model.clone()).or_default());
        lock(&seen).look(&self.0.store, model, &self.0.counters)
    }

    /// Says whether a model's folders bear other stamps than at its last [`Self::observe`], or may hide a change.
    ///
    /// Also true for a model that was never observed, could not be, or is being observed right now. Costs at most four
    /// `statat`; nothing is opened or read. What is damaged in place within a version, only `observe` finds. Whoever
    /// shares the observer may have observed the change: [`Self::known`] tells.
    pub fn glance(&self, model: &ModelName) -> bool {
        let Some(seen) = lock(&self.0.models).get(model).cloned() else {
            return true;
        };
        // Whoever holds it may be waiting for a slow disk: this must not.
        seen.try_lock()
            .map_or(true, |seen| seen.may_differ(&self.0.store, model))
    }

    /// Returns what the last [`Self::observe`] of a model returned to anybody, without a look; `None` where it failed or is
    /// under way, or the model was never observed.
    pub fn known(&self, model: &ModelName) -> Option<Arc<ObservedModel>> {
        let seen = lock(&self.0.models).get(model).cloned()?;
        seen.try_lock().ok()?.known()
    }

    /// Returns the staged data files; their folder is listed only when its stamp changed.
    pub fn datasets(&self) -> Result<Arc<BTreeSet<Digest>>, StoreError> {
        let mut datasets = lock(&self.0.datasets);
        let now = seconds_now();
        let current = Mark::of(&self.base().join(DATASETS))?;
        let (mark, known) = &mut *datasets;
        // A folder that is gone may mean a store that is gone: that is for the listing to say.
        if *mark == current && current != Mark::Absent {
            return Ok(Arc::clone(known));
        }
        *mark = Mark::default();
        let found = self.0.store.datasets()?;
        if **known != found {
            *known = Arc::new(found);
        }
        *mark = current.trusted(now);
        Ok(Arc::clone(known))
    }

    /// Writes the list of models into the store's own metadata if it changed; for the owner only. Says whether it did.
    ///
    /// Costs two `statat` where no model's folder came or went.
    pub fn note_models(&self) -> Result<bool, StoreError> {
        let mut listed = lock(&self.0.listed);
        let now = seconds_now();
        let (base, list) = (self.base(), self.base().join(REGISTRY).join(METADATA_FILE));
        let current = [Mark::of(&base)?, Mark::of(&list)?];
        if *listed == current && !current.contains(&Mark::Absent) {
            return Ok(false);
        }
        *listed = Default::default();
        let is_written = self.0.store.refresh_models()?;
        if !is_written {
            *listed = current.map(|mark| mark.trusted(now));
        }
        Ok(is_written)
    }

    /// Closes a model's history if the last look found that it has grown, as an Aurora of before may have left it; for the
    /// owner only. Says whether it did.
    pub fn close_history(&self, model: &ModelName) -> Result<bool, StoreError> {
        let seen = lock(&self.0.models).get(model).cloned();
        let has_grown = seen.is_some_and(|seen| seen.try_lock().is_ok_and(|mut seen| seen.has_grown()));
        Ok(has_grown && self.0.store.close_history(model)?)
    }

    /// Forgets a model: nobody asks for it any more.
    pub fn forget(&self, model: &ModelName) {
        lock(&self.0.models).remove(model);
    }

    /// Returns how many versions were verified by hashing their files.
    pub fn hashed(&self) -> u64 {
        self.0.counters.hashed.load(Ordering::Relaxed)
    }

    /// Returns how many bytes of histories were read for what they say.
    pub fn history_bytes(&self) -> u64 {
        self.0.counters.history_bytes.load(Ordering::Relaxed)
    }

    fn base(&self) -> PathBuf {
        self.0.store.base_path()
    }
}

/// Takes a lock that a panic cannot spoil: what it guards distrusts itself until a look has ended.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever looks at a model holds its memory, for as long as a slow disk takes.
    #[test]
    fn a_model_that_is_being_looked_at_stalls_no_other() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["aurora/wine", "aurora/beer"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let observer = Observer::new(Store::at(root.path()));
        let [wine, beer]: [ModelName; 2] = ["wine", "beer"].map(|name| name.parse().unwrap());
        observer.observe(&wine).unwrap();
        observer.observe(&beer).unwrap();
        assert!(!observer.glance(&beer), "nothing is there, and nothing came");

        let seen = Arc::clone(&lock(&observer.0.models)[&beer]);
        let _slow = lock(&seen);
        assert!(observer.glance(&beer), "what is being looked at may differ");
        assert_eq!(observer.known(&beer), None);
        assert!(!observer.glance(&wine));
        observer.observe(&wine).unwrap();
        observer.datasets().unwrap();
        observer.forget(&wine);
    }
}
