//! One model: what was seen of it, and the next look.

use std::collections::BTreeMap;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;

use planner::names::{Digest, ModelName, Version};
use planner::observed::{ObservedModel, ObservedVersion};

use super::Counters;
use super::mark::Mark;
use super::past::Past;
use crate::alias::{ALIASES, aliases_in};
use crate::error::{Damage, StoreError};
use crate::files::{Dir, SETTLED_SECONDS, Stamp, seconds_now};
use crate::history::{HISTORY, Says};
use crate::reference::versions_in;
use crate::signatures::SIGNATURES;
use crate::store::{Store, VERSIONS};
use crate::verify::Hasher;

/// What was seen of a model.
#[derive(Debug, Default)]
pub(super) struct Seen {
    marks: Marks,
    /// The versions of `observed` that need not be verified again, ascending, with what stamps they had.
    verified: Vec<(Version, Digest)>,
    past: Past,
    observed: Arc<ObservedModel>,
    /// Whether `observed` is what one look found.
    is_whole: bool,
}

/// The marks of what a model's folder holds.
#[derive(Debug, Default, PartialEq, Eq)]
struct Marks {
    versions: Mark,
    aliases: Mark,
    history: Mark,
    signatures: Mark,
}

impl Marks {
    fn of(mut model: PathBuf) -> Result<Self, StoreError> {
        let mut mark = |name: &str| {
            model.push(name);
            let mark = Mark::of(&model);
            model.pop();
            mark
        };
        Ok(Self {
            versions: mark(VERSIONS)?,
            aliases: mark(ALIASES)?,
            history: mark(HISTORY)?,
            signatures: mark(SIGNATURES)?,
        })
    }

    fn are_trusted(&self) -> bool {
        let Self {
            versions,
            aliases,
            history,
            signatures,
        } = self;
        ![versions, aliases, history, signatures].contains(&&Mark::Distrusted)
    }
}

impl Seen {
    /// Says whether the next look may find anything else.
    pub(super) fn may_differ(&self, store: &Store, model: &ModelName) -> bool {
        !self.marks.are_trusted()
            || Marks::of(store.model_path(model)).map_or(true, |current| current != self.marks)
    }

    /// Returns what the last look found, if it came to its end.
    pub(super) fn known(&self) -> Option<Arc<ObservedModel>> {
        self.is_whole.then(|| Arc::clone(&self.observed))
    }

    /// Says, once, that the last look found a history that is to be closed.
    pub(super) fn has_grown(&mut self) -> bool {
        self.is_whole && self.past.is_to_be_closed()
    }

    /// Looks at all that changed, and returns what there is now.
    ///
    /// Each part is remembered as soon as it is read, its mark only when the whole look has succeeded.
    pub(super) fn look(
        &mut self,
        store: &Store,
        model: &ModelName,
        counters: &Counters,
    ) -> Result<Arc<ObservedModel>, StoreError> {
        let known = mem::take(&mut self.marks);
        self.is_whole = false;
        // Before anything is read: what changes from here on bears another time, or one that is too young.
        let now = seconds_now();
        let current = Marks::of(store.model_path(model))?;
        let Some(dir) = store.model_dir(model)? else {
            *self = Self {
                marks: current,
                observed: kept(&self.observed, ObservedModel::default()),
                is_whole: true,
                ..Self::default()
            };
            return Ok(Arc::clone(&self.observed));
        };
        let all_verified = self.look_at_versions(
            &dir,
            store,
            model,
            counters,
            known.versions == current.versions,
            now,
        )?;
        if known.aliases != current.aliases {
            let aliases = aliases_in(&dir)?;
            if self.observed.aliases != aliases {
                Arc::make_mut(&mut self.observed).aliases = aliases;
            }
        }
        if known.history != current.history {
            self.read_history(&dir, counters)?;
        }
        let Marks {
            versions,
            aliases,
            history,
            signatures,
        } = current;
        self.marks = Marks {
            versions: if all_verified {
                versions.trusted(now)
            } else {
                Mark::Distrusted
            },
            aliases: aliases.trusted(now),
            history: history.trusted(now),
            // What lies in it is read by whoever asks who signed.
            signatures: signatures.trusted(now),
        };
        self.is_whole = true;
        Ok(Arc::clone(&self.observed))
    }

    /// Says whether each version was verified by stamps that can be trusted.
    fn look_at_versions(
        &mut self,
        dir: &Dir,
        store: &Store,
        model: &ModelName,
        counters: &Counters,
        is_same_list: bool,
        now: i64,
    ) -> Result<bool, StoreError> {
        let mut found = BTreeMap::new();
        let mut verified = Vec::new();
        if let Some(versions) = dir.dir(VERSIONS)? {
            let names = if is_same_list {
                self.observed.versions.keys().cloned().collect()
            } else {
                versions_in(&versions)?
            };
            for version in names {
                let stamps = Stamps::of(&versions, &version).ok();
                let before = stamps.as_ref().and_then(|stamps| self.verdict(&version, stamps));
                let (verdict, may_pass) = if let Some(verdict) = before {
                    (verdict.clone(), false)
                } else {
                    counters.count_hashed();
                    match verify(store, &versions, model, &version)? {
                        Some(verdict) => verdict,
                        None => continue,
                    }
                };
                found.insert(version.clone(), verdict);
                if let Some(stamps) = stamps.filter(|stamps| !may_pass && stamps.are_settled(now)) {
                    verified.push((version, stamps.digest));
                }
            }
        }
        let all_verified = verified.len() == found.len();
        verified.shrink_to_fit();
        self.verified = verified;
        if self.observed.versions != found {
            Arc::make_mut(&mut self.observed).versions = found;
        }
        Ok(all_verified)
    }

    /// Returns what was found of a version whose files have these stamps.
    fn verdict(&self, version: &Version, stamps: &Stamps) -> Option<&ObservedVersion> {
        let at = self
            .verified
            .binary_search_by(|(other, _)| other.cmp(version))
            .ok()?;
        (self.verified[at].1 == stamps.digest).then(|| &self.observed.versions[version])
    }

    fn read_history(&mut self, dir: &Dir, counters: &Counters) -> Result<(), StoreError> {
        let observed = &self.observed;
        let before = Says {
            digests: observed.history_digests.clone(),
            aborted: observed.aborted.clone(),
            recorded: observed.recorded.clone(),
        };
        let mut says = before.clone();
        self.past.read(dir, counters, &mut says)?;
        if says != before {
            let Says {
                digests,
                aborted,
                recorded,
            } = says;
            let observed = Arc::make_mut(&mut self.observed);
            observed.history_digests = digests;
            observed.aborted = aborted;
            observed.recorded = recorded;
        }
        Ok(())
    }
}

/// Verifies a version by its files; `None` where it is gone by now. Says too whether what is wrong may pass by itself.
fn verify(
    store: &Store,
    versions: &Dir,
    model: &ModelName,
    version: &Version,
) -> Result<Option<(ObservedVersion, bool)>, StoreError> {
    let checked = store.check(versions, model, version);
    // A collection may have taken it away while it was read: that is no damage.
    if checked.is_err() && versions.kind(&version.to_string())?.is_none() {
        return Ok(None);
    }
    let may_pass = matches!(checked, Err(Damage::Unreadable(_)));
    let verdict = match checked {
        // No version is at fault for what this process has no more of.
        Err(Damage::Unreadable(error)) if error.shortage().is_some() => return Err(*error),
        Ok(metadata) => ObservedVersion::Sound {
            digest: metadata.artifact.digest,
            inputs: metadata.inputs_hash,
            engine: metadata.engine,
        },
        Err(damage) => ObservedVersion::Damaged(damage.to_string()),
    };
    Ok(Some((verdict, may_pass)))
}

/// Returns `new`, as the same [`Arc`] if it equals what was known.
fn kept(known: &Arc<ObservedModel>, new: ObservedModel) -> Arc<ObservedModel> {
    if **known == new {
        Arc::clone(known)
    } else {
        Arc::new(new)
    }
}

/// The stamps of a version's folder and of all that lies in it, as a hash: one is kept for each version of a store.
struct Stamps {
    digest: Digest,
    newest: i64,
}

impl Stamps {
    fn of(versions: &Dir, version: &Version) -> Result<Self, StoreError> {
        let name = version.to_string();
        let (mut hasher, mut newest) = (Hasher::default(), i64::MIN);
        let mut add = |name: &str, stamp: Option<Stamp>| {
            if let Some(stamp) = stamp {
                hasher.update(&(name.len() as u64).to_le_bytes());
                hasher.update(name.as_bytes());
                hasher.update(&stamp.to_bytes());
                newest = newest.max(stamp.changed_seconds());
            }
        };
        add("", versions.stamp(&name)?);
        match versions.dir(&name) {
            Ok(Some(dir)) => {
                for name in dir.names()? {
                    add(&name, dir.stamp(&name)?);
                }
            }
            // The link's own stamp tells when it is replaced.
            Ok(None) | Err(StoreError::Link { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(Self {
            digest: hasher.finish(),
            newest,
        })
    }

    fn are_settled(&self, now: i64) -> bool {
        self.newest + SETTLED_SECONDS < now
    }
}
