//! Which commit last changed a manifest.

use std::collections::{BTreeMap, BTreeSet};

use planner::Timestamp;
use planner::names::{Digest, EnvironmentName, Revision};
use planner::object::ObjectId;

use super::client::Next;
use super::difference::Difference;
use super::hash::GitHash;
use super::protocol::{Changes, Fork, ManifestFile, Request, Step, WalkEnd, parse};
use super::{ENVIRONMENTS, Source, SourceError};

/// The most commits that are walked; beyond them a manifest counts as changed where it counted before, or at the oldest
/// one reached.
const COMMITS_MAX: usize = 10_000;
/// How many commits are asked for at first, where nobody knows how far back a change lies; it doubles each time.
const CHUNK_MIN: usize = 64;
/// The most that are asked for at a time.
const CHUNK_MAX: usize = 1_024;

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
    at: Option<(EnvironmentName, GitHash)>,
    known: BTreeMap<ObjectId, Changed>,
}

/// What a walk goes along: the first parents of a commit, as far as they change an environment's folder or a data file.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) source: &'a Source,
    pub(crate) head: &'a Revision,
    pub(crate) environment: &'a EnvironmentName,
    /// What is known to differ between two trees of the folder, the older one first: large folders take time to read.
    pub(crate) known: Option<(GitHash, GitHash, &'a Difference)>,
}

/// What a walk asks about the state that it starts from.
pub(crate) struct Questions<'a> {
    /// The manifests that are declared anew, or may be declared otherwise.
    pub(crate) touched: &'a BTreeSet<&'a ObjectId>,
    /// Says whether what is known of a touched manifest may be out of date: it was not looked at for a while.
    pub(crate) is_out_of_date: &'a dyn Fn(&ObjectId) -> bool,
    /// Returns all manifests that are declared.
    pub(crate) all: &'a dyn Fn() -> BTreeSet<ObjectId>,
    /// Returns the commit that counted for a manifest before this process began, if it says the same since.
    pub(crate) carried: &'a dyn Fn(&ObjectId) -> Option<Changed>,
    /// Returns the data files of jobs, with those jobs: of the touched ones, or of all.
    pub(crate) data: &'a dyn Fn(Of) -> BTreeMap<String, BTreeSet<ObjectId>>,
    /// Parses files; one that does not parse, or cannot be read any more, has no documents.
    pub(crate) documents: &'a mut dyn FnMut(Vec<ManifestFile>) -> Result<Vec<Documents>, SourceError>,
}

/// Whose data files are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Touched,
    All,
}

/// What a walk found, until it is taken into the history.
#[derive(Debug)]
pub(crate) struct Walked {
    at: (EnvironmentName, GitHash),
    /// The last head has no first parent in common with the new one: what was known of it counts no more.
    is_anew: bool,
    /// The manifests that changed since the last head, or whose change was not known.
    found: BTreeMap<ObjectId, Changed>,
}

impl Source {
    /// Returns a commit with its time.
    pub fn changed_at(&self, revision: &Revision) -> Result<Changed, SourceError> {
        let commit = self.hash(revision)?;
        let time = self.ask(&Request::Time { commit })?;
        Ok(changed_at(commit, time))
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
        let Ok(wanted) = GitHash::of(wanted) else {
            return Ok(None);
        };
        self.ask(&Request::Steps {
            head: self.hash(head)?,
            wanted,
            known: known.and_then(|(head, steps)| Some((GitHash::of(head).ok()?, *steps))),
            steps_max: COMMITS_MAX,
        })
    }
}

impl History {
    /// Finds for manifests the newest first-parent commit where the parsed document differs from its parent's, or a data
    /// file that it trains on. Comments, formatting and moves to another file are no difference.
    ///
    /// What is known at the last head is carried on: only the commits since are walked, and only manifests of
    /// `touched` that are not known yet are looked for further back. Where the branch was forced, those that the dropped
    /// commits changed are looked for too. Where nothing leads to the last head, all manifests are.
    pub(crate) fn walk(&self, line: Line<'_>, questions: Questions<'_>) -> Result<Walked, SourceError> {
        let Line {
            source,
            head,
            environment,
            known,
        } = line;
        let Questions {
            touched,
            is_out_of_date,
            all,
            carried,
            data,
            documents,
        } = questions;
        let from = source.hash(head)?;
        let last = self.at.as_ref().filter(|(known, _)| known == environment);
        let fork = match last {
            Some((_, last)) => source.ask::<Option<Fork>>(&Request::Fork {
                head: from,
                other: *last,
                steps_max: COMMITS_MAX,
            })?,
            None => None,
        };
        let mut open: BTreeSet<ObjectId> = match fork {
            Some(_) => touched
                .iter()
                .filter(|id| !self.known.contains_key(**id) || is_out_of_date(id))
                .map(|id| ObjectId::clone(id))
                .collect(),
            None => all(),
        };
        let mut walk = Walk {
            source,
            folder: format!("{ENVIRONMENTS}/{environment}"),
            known,
            documents,
            reached: (from, 0),
            left: COMMITS_MAX,
            is_cut: false,
        };
        if let (Some(fork), Some((_, last))) = (&fork, last)
            && fork.behind > 0
        {
            open.extend(
                walk.dropped(*last, fork, &data(Of::All))?
                    .intersection(&all())
                    .cloned(),
            );
        }
        let mut found = BTreeMap::new();
        let mut is_over = false;
        // Above the last head every change counts, whoever made and undid it; below it only what is looked for.
        if let Some(fork) = &fork {
            let data = data(if fork.ahead == 1 { Of::Touched } else { Of::All });
            is_over = walk.until(Some(fork.commit), &data, &mut |id, changed| {
                open.remove(id);
                found.entry(id.clone()).or_insert(changed);
                false
            })?;
        }
        if !is_over && !open.is_empty() {
            let data = data(if fork.is_some() { Of::Touched } else { Of::All });
            walk.until(None, &data, &mut |id, changed| {
                if open.remove(id) {
                    found.insert(id.clone(), changed);
                }
                open.is_empty()
            })?;
        }
        if !open.is_empty() {
            let oldest = walk.oldest()?;
            for id in open {
                // What was known before stands where nobody can find out more.
                let known = self.known.get(&id).filter(|_| !touched.contains(&id)).cloned();
                let known = known.or_else(|| carried(&id)).filter(|_| walk.is_cut);
                found.insert(id, known.unwrap_or_else(|| changed_at(oldest.0, oldest.1)));
            }
        }
        Ok(Walked {
            at: (environment.clone(), from),
            is_anew: fork.is_none(),
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

/// A walk under way.
struct Walk<'a> {
    source: &'a Source,
    folder: String,
    known: Option<(GitHash, GitHash, &'a Difference)>,
    documents: &'a mut dyn FnMut(Vec<ManifestFile>) -> Result<Vec<Documents>, SourceError>,
    /// The first commit that was not compared with its parent, and its time where that is known.
    reached: (GitHash, i64),
    /// How many commits may be compared.
    left: usize,
    /// The history goes further back than it could be read.
    is_cut: bool,
}

impl Walk<'_> {
    /// Returns the manifests that the commits of a line that was left have changed.
    fn dropped(
        &mut self,
        last: GitHash,
        fork: &Fork,
        data: &BTreeMap<String, BTreeSet<ObjectId>>,
    ) -> Result<BTreeSet<ObjectId>, SourceError> {
        let mut dropped = BTreeSet::new();
        let from = std::mem::replace(&mut self.reached, (last, 0));
        let left = self.left;
        self.until(Some(fork.commit), data, &mut |id, _changed| {
            dropped.insert(id.clone());
            false
        })?;
        (self.reached, self.left) = (from, left);
        Ok(dropped)
    }

    /// Goes on to a commit, or as far as it goes; `take` is told of each change and says whether that is enough. Returns
    /// whether there is nothing more to come to.
    fn until(
        &mut self,
        until: Option<GitHash>,
        data: &BTreeMap<String, BTreeSet<ObjectId>>,
        take: &mut dyn FnMut(&ObjectId, Changed) -> bool,
    ) -> Result<bool, SourceError> {
        let paths: Vec<String> = data.keys().cloned().collect();
        let jobs: Vec<&BTreeSet<ObjectId>> = data.values().collect();
        let mut chunk = if until.is_some() { CHUNK_MAX } else { CHUNK_MIN };
        loop {
            let (steps, end) = self.chunk(until, paths.clone(), chunk.min(self.left))?;
            let mut changes = match self.changes(&steps) {
                Ok(changes) => changes,
                // What nobody can read any more ends the history, as a clone that is shallow does.
                Err(error) if error.is_of_objects() => {
                    self.is_cut = true;
                    return Ok(true);
                }
                Err(error) => return Err(error),
            }
            .into_iter();
            for step in &steps {
                let documents = changes.next().into_iter().flatten();
                let moved = step
                    .moved
                    .iter()
                    .filter_map(|at| jobs.get(*at).copied())
                    .flatten();
                for id in documents.chain(moved.cloned()) {
                    if take(&id, changed_at(step.commit, step.time)) {
                        return Ok(true);
                    }
                }
            }
            match end {
                WalkEnd::Arrived => return Ok(false),
                WalkEnd::Bounds if self.left > 0 => chunk = (chunk * 2).min(CHUNK_MAX),
                WalkEnd::First => return Ok(true),
                WalkEnd::Bounds | WalkEnd::Cut => {
                    self.is_cut = true;
                    return Ok(true);
                }
                WalkEnd::Unreadable(message) => {
                    self.is_cut = true;
                    tracing::warn!(commit = %self.reached.0, message, "the branch's history cannot be read beyond a commit");
                    return Ok(true);
                }
            }
        }
    }

    /// Asks for some commits more.
    fn chunk(
        &mut self,
        until: Option<GitHash>,
        data: Vec<String>,
        commits_max: usize,
    ) -> Result<(Vec<Step>, WalkEnd), SourceError> {
        let request = Request::Walk {
            from: self.reached.0,
            until,
            folder: self.folder.clone(),
            known: self.known.map(|(old, new, _)| (old, new)),
            data,
            commits_max,
        };
        let mut client = self.source.client();
        let walked = (|| {
            let mut steps = Vec::new();
            let mut exchange = client.exchange(&request)?;
            loop {
                match exchange.next::<super::protocol::Walked>()? {
                    Next::Part(step) => steps.push(parse(&step).map_err(|error| exchange.unclear(error))?),
                    Next::Done(walked) => return Ok((steps, walked)),
                }
            }
        })();
        drop(client);
        let (steps, walked) = match walked {
            Ok(walked) => walked,
            Err(error) => {
                let error = self.source.explain(error);
                if !error.is_of_objects() {
                    return Err(error);
                }
                // A step that hangs takes the answer with it.
                return Ok((Vec::new(), WalkEnd::Unreadable(error.to_string())));
            }
        };
        self.reached = (walked.reached, walked.time);
        self.left = self.left.saturating_sub(walked.commits);
        Ok((steps, walked.end))
    }

    /// Returns the manifests that each step has changed.
    fn changes(&mut self, steps: &[Step]) -> Result<Vec<Vec<ObjectId>>, SourceError> {
        let sides = |step: &Step| match (&step.changes, self.known) {
            (Changes::Manifests { gone, new }, _) => (gone.clone(), new.clone()),
            (Changes::Known, Some((_, _, difference))) => (
                difference.gone.manifests.clone(),
                difference.new.manifests.clone(),
            ),
            (Changes::Known, None) => (Vec::new(), Vec::new()),
        };
        let sides: Vec<_> = steps.iter().map(sides).collect();
        let files = sides.iter().flat_map(|(gone, new)| gone.iter().chain(new));
        let mut documents = (self.documents)(files.cloned().collect())?.into_iter();
        let mut changes = Vec::new();
        for (gone, new) in &sides {
            let mut all = |count: usize| -> BTreeMap<ObjectId, Digest> {
                documents.by_ref().take(count).flatten().collect()
            };
            let (before, after) = (all(gone.len()), all(new.len()));
            let others = after
                .into_iter()
                .filter(|(id, document)| before.get(id) != Some(document));
            changes.push(others.map(|(id, _)| id).collect());
        }
        Ok(changes)
    }

    /// Returns the oldest commit at hand.
    fn oldest(&self) -> Result<(GitHash, i64), SourceError> {
        let (commit, time) = self.reached;
        if time != 0 {
            return Ok((commit, time));
        }
        Ok((commit, self.source.ask(&Request::Time { commit })?))
    }
}

fn changed_at(commit: GitHash, seconds: i64) -> Changed {
    // Versions are named after it: a commit of the year 10000 counts as one of 1970.
    let seconds = Some(seconds).filter(|seconds| (0..=YEAR_9999_ENDS).contains(seconds));
    Changed {
        revision: commit.revision(),
        committed_at: seconds
            .and_then(|seconds| Timestamp::from_timestamp(seconds, 0))
            .unwrap_or_default(),
    }
}
