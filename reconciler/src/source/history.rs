//! Which commit last changed a manifest.

use std::collections::{BTreeMap, BTreeSet};

use git2::{Commit, Oid};
use planner::Timestamp;
use planner::names::{Digest, EnvironmentName, Revision};
use planner::object::ObjectId;

use super::difference::Difference;
use super::tree::{ManifestFile, folder_of};
use super::{ENVIRONMENTS, Source, SourceError, oid_of, revision_of};

/// The most commits that are walked; beyond them a manifest counts as changed at the oldest one reached.
const COMMITS_MAX: usize = 10_000;

/// The last second that a version can be named after, since 1970.
const YEAR_9999_ENDS: i64 = 253_402_300_799;

/// The documents of one file: what each is about, and the digest of its canonical form (equal if the parsed documents
/// are).
pub(crate) type Documents = Vec<(ObjectId, Digest)>;

/// The commit that last changed a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The commit.
    pub revision: Revision,
    /// Its committer time.
    pub committed_at: Timestamp,
}

/// Remembers what it found at the last head, so that a new commit costs only its own difference.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// What `known` holds for.
    at: Option<(EnvironmentName, Oid)>,
    known: BTreeMap<ObjectId, Changed>,
}

/// What a walk goes along: the first parents of a commit, as far as they change an environment's folder.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) source: &'a Source,
    pub(crate) head: &'a Revision,
    pub(crate) environment: &'a EnvironmentName,
    /// What is known to differ between two trees of the folder, the older one first: large folders take time to read.
    pub(crate) known: Option<(Oid, Oid, &'a Difference)>,
}

/// What a walk found, until it is taken into the history.
#[derive(Debug)]
pub(crate) struct Walked {
    at: (EnvironmentName, Oid),
    /// The last head is none of the new one's first parents: what was known of it counts no more.
    is_anew: bool,
    /// The manifests that changed since the last head, or whose change was not known.
    found: BTreeMap<ObjectId, Changed>,
}

impl Source {
    /// Returns a commit with its time.
    pub fn changed_at(&self, revision: &Revision) -> Result<Changed, SourceError> {
        Ok(changed_at(&self.commit(revision)?))
    }

    /// Counts the first-parent steps that lead from `head` to a commit, if it is fewer than 10,000.
    ///
    /// `known` is an older head and its own count: the way is not walked twice.
    pub(crate) fn first_parent_steps(
        &self,
        head: &Revision,
        wanted: &Revision,
        known: Option<&(Revision, Option<usize>)>,
    ) -> Result<Option<usize>, SourceError> {
        let Ok(wanted) = oid_of(wanted) else {
            return Ok(None);
        };
        let known = known.and_then(|(head, steps)| Some((oid_of(head).ok()?, *steps)));
        let mut commit = self.commit(head)?;
        for steps in 0..COMMITS_MAX {
            if commit.id() == wanted {
                return Ok(Some(steps));
            }
            if let Some((head, more)) = known
                && head == commit.id()
            {
                return Ok(more.map(|more| steps + more).filter(|steps| *steps < COMMITS_MAX));
            }
            let Ok(parent) = commit.parent(0) else {
                break;
            };
            commit = parent;
        }
        Ok(None)
    }
}

impl History {
    /// Finds for manifests the newest first-parent commit where the parsed document differs from its parent's.
    /// Comments, formatting and moves to another file are no difference.
    ///
    /// What is known at the last head is carried on: only the commits since are walked, and only manifests of
    /// `touched` that are not known yet are looked for further back. Where the last head is none of `head`'s first
    /// parents, all manifests are looked for. `documents` parses files; a file that does not parse has none.
    pub(crate) fn walk(
        &self,
        line: Line<'_>,
        touched: &BTreeSet<&ObjectId>,
        all: &dyn Fn() -> BTreeSet<ObjectId>,
        documents: &mut dyn FnMut(Vec<ManifestFile>) -> Result<Vec<Documents>, SourceError>,
    ) -> Result<Walked, SourceError> {
        let Line {
            source,
            head,
            environment,
            known,
        } = line;
        let unreadable =
            |error: &git2::Error| source.unreadable(format!("the history of {}", head.short()), error);
        let folder = format!("{ENVIRONMENTS}/{environment}");
        let mut commit = source.commit(head)?;
        let at = (environment.clone(), commit.id());
        let last = self
            .at
            .as_ref()
            .filter(|(known, _)| known == environment)
            .map(|(_, last)| *last)
            .filter(|last| leads_to(&commit, *last));

        let mut open: BTreeSet<ObjectId> = match last {
            Some(_) => touched
                .iter()
                .filter(|id| !self.known.contains_key(**id))
                .map(|id| ObjectId::clone(id))
                .collect(),
            None => all(),
        };
        // Above the last head every change counts, whoever made and undid it; below it only what is looked for.
        let mut is_above = last.is_some();
        let mut found = BTreeMap::new();
        let mut ours = folder_of(&commit, &folder).map_err(|error| unreadable(&error))?;
        for _ in 0..COMMITS_MAX {
            is_above &= last != Some(commit.id());
            if !is_above && open.is_empty() {
                break;
            }
            // A shallow clone ends where the parent is missing, as the first commit does.
            let Ok(parent) = commit.parent(0) else { break };
            let theirs = folder_of(&parent, &folder).map_err(|error| unreadable(&error))?;
            let (before, after) = match known {
                Some((old, new, difference)) if theirs == Some(old) && ours == Some(new) => (
                    difference.gone.manifests.clone(),
                    difference.new.manifests.clone(),
                ),
                Some(_) | None => {
                    let difference = source.difference(&folder, theirs, ours)?;
                    (difference.gone.manifests, difference.new.manifests)
                }
            };
            let mut all = |files| {
                Ok(documents(files)?
                    .into_iter()
                    .flatten()
                    .collect::<BTreeMap<_, _>>())
            };
            let before = all(before)?;
            for (id, document) in all(after)? {
                if before.get(&id) != Some(&document) && (open.remove(&id) || is_above) {
                    found.entry(id).or_insert_with(|| changed_at(&commit));
                }
            }
            commit = parent;
            ours = theirs;
        }
        for id in open {
            found.insert(id, changed_at(&commit));
        }
        Ok(Walked {
            at,
            is_anew: last.is_none(),
            found,
        })
    }

    /// Takes in what a walk found, and returns the manifests whose commit may be another one now.
    ///
    /// Of `touched` manifests that are not declared any more nothing is remembered.
    pub(crate) fn accept(
        &mut self,
        walked: Walked,
        touched: &BTreeSet<ObjectId>,
        is_declared: &dyn Fn(&ObjectId) -> bool,
    ) -> Vec<ObjectId> {
        self.at = Some(walked.at);
        if walked.is_anew {
            self.known.clear();
        }
        for id in touched.iter().chain(walked.found.keys()) {
            if !is_declared(id) {
                self.known.remove(id);
            }
        }
        let mut found = Vec::new();
        for (id, changed) in walked.found {
            if is_declared(&id) {
                self.known.insert(id.clone(), changed);
                found.push(id);
            }
        }
        found
    }

    /// Returns the commit that last changed a manifest, if a walk found it.
    pub(crate) fn get(&self, id: &ObjectId) -> Option<&Changed> {
        self.known.get(id)
    }
}

/// Says whether a commit is `head` or one of its first parents, back to at most 10,000 commits.
fn leads_to(head: &Commit<'_>, wanted: Oid) -> bool {
    let mut commit = head.clone();
    for _ in 0..COMMITS_MAX {
        if commit.id() == wanted {
            return true;
        }
        match commit.parent(0) {
            Ok(parent) => commit = parent,
            Err(_end) => return false,
        }
    }
    false
}

fn changed_at(commit: &Commit<'_>) -> Changed {
    // Versions are named after it: a commit of the year 10000 counts as one of 1970.
    let seconds = Some(commit.time().seconds()).filter(|seconds| (0..=YEAR_9999_ENDS).contains(seconds));
    Changed {
        revision: revision_of(commit.id()),
        committed_at: seconds
            .and_then(|seconds| Timestamp::from_timestamp(seconds, 0))
            .unwrap_or_default(),
    }
}
