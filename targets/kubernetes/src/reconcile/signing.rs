//! Signs what Jobs publish, once their MLTrainingJob says what that is: the key is in this process alone, and on no volume that a
//! Job has.
//!
//! ```text
//! statuses ── published: version, digest ──> due ── key, registry ──> signature beside the version
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use planner::names::{Digest, ModelName, Version};
use reconciler::objects::Mark;
use reconciler::runs::{sign, signing_key};
use registry::{Store, StoreError};

use crate::objects::{Objects, Published};

/// After how long it is tried again where something could not be signed.
const REST: Duration = Duration::from_secs(15);
/// How many of those that were signed are remembered.
const DONE_MAX: usize = 10_000;

/// Who signs, by a file that is read whenever there is something to sign.
#[derive(Debug)]
pub(super) struct Signer {
    key_file: PathBuf,
    mark: Option<Mark>,
    due: BTreeMap<(ModelName, Version), Digest>,
    done: BTreeSet<Published>,
    /// When something could not be signed.
    failed: Option<Instant>,
    /// What was said of the key last.
    said: Option<String>,
}

impl Signer {
    pub(super) fn new(key_file: PathBuf) -> Self {
        Self {
            key_file,
            mark: None,
            due: BTreeMap::new(),
            done: BTreeSet::new(),
            failed: None,
            said: None,
        }
    }

    /// Signs what was published since the last time, and what could not be signed then; blocks.
    pub(super) fn step(&mut self, objects: &Objects, store: &Store) {
        let (mark, published) = objects.published(self.mark);
        self.mark = Some(mark);
        self.note(published);
        if self.due.is_empty() || self.failed.is_some_and(|failed| failed.elapsed() < REST) {
            return;
        }
        self.failed = None;
        let key = match signing_key(&self.key_file) {
            Ok(key) => key,
            Err(error) => {
                let why = format!("the signing key {} {error}", self.key_file.display());
                if self.said.as_ref() != Some(&why) {
                    // Whoever installs may bring a key later, or none.
                    if error.is_missing() {
                        tracing::info!(why, "nothing is signed that runs publish");
                    } else {
                        tracing::error!(why, "nothing is signed that runs publish");
                    }
                    self.said = Some(why);
                }
                self.failed = Some(Instant::now());
                return;
            }
        };
        self.said = None;
        for ((model, version), digest) in std::mem::take(&mut self.due) {
            match sign(store, &key, (&model, &version), digest) {
                // What is not there any more was removed meanwhile.
                Ok(()) | Err(StoreError::NotFound { .. }) => self.finish(model, version, digest),
                Err(error) => {
                    tracing::error!(%model, %version, %error, "cannot sign a version; it is tried again, and `aurora model sign` does it by hand");
                    self.failed = Some(Instant::now());
                    self.due.insert((model, version), digest);
                }
            }
        }
    }

    fn note(&mut self, published: Vec<Published>) {
        for found in published {
            if !self.done.contains(&found) {
                let Published {
                    model,
                    version,
                    digest,
                } = found;
                self.due.insert((model, version), digest);
            }
        }
    }

    fn finish(&mut self, model: ModelName, version: Version, digest: Digest) {
        if self.done.len() >= DONE_MAX {
            self.done.clear();
        }
        self.done.insert(Published {
            model,
            version,
            digest,
        });
    }
}
