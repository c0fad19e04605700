//! Which commit last changed a manifest.
//!
//! A long history is read a piece at a time, so that no commit waits for it: until the walk is over, what was known
//! before stands for what it looks for, else the oldest commit that it came to at first.

mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use planner::Timestamp;
use planner::desired::Dating;
use planner::names::{Digest, EnvironmentName, Revision};
use planner::object::ObjectId;
use serde::{Deserialize, Serialize};

use super::difference::Difference;
use super::hash::GitHash;
use super::protocol::{Fork, ManifestFile, Request};
use super::{Source, SourceError};
use walk::{UnderWay, Walk};

/// The most commits that are walked; beyond them a manifest counts as changed where it counted before, or at the oldest
/// one reached.
const COMMITS_MAX: usize = 10_000;
/// The last second that a version can be named after, since 1970.
const YEAR_9999_ENDS: i64 = 253_402_300_799;

/// The documents of one file: what each is about, and the digest of its canonical form (equal if the parsed documents
/// are).
pub(crate) type Documents = Vec<(ObjectId, Digest)>;

/// The commit that last changed a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The commit.
    pub revision: Revision,
    /// Its committer time.
    pub committed_at: Timestamp,
}

/// What is known of the history of a commit: it outlives the process that found it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    environment: EnvironmentName,
    head: Revision,
    changed: Vec<(ObjectId, Changed)>,
}

/// Remembers what it found at the last head, so that a new commit costs only its own difference.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// What `known` holds for.
    at: Option<(EnvironmentName, GitHash)>,
    known: BTreeMap<ObjectId, Changed>,
    /// The walk to a later head that is not over.
    under_way: Option<(EnvironmentName, UnderWay)>,
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
    pub(crate) documents: &'a mut FindDocuments<'a>,
}

/// Parses files; one that does not parse, or cannot be read any more, has no documents.
pub(crate) type FindDocuments<'a> = dyn FnMut(Vec<ManifestFile>) -> Result<Vec<Documents>, SourceError> + 'a;

/// Whose data files are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Touched,
    All,
}

/// What a walk found, until it is taken into the history.
#[derive(Debug)]
pub(crate) struct Walked {
    environment: EnvironmentName,
    walk: UnderWay,
}

impl Source {
    /// Returns a commit with its time.
    pub fn changed_at(&self, revision: &Revision) -> Result<Changed, SourceError> {
        let commit = self.hash(revision)?;
        let time = self.ask(&Request::Time { commit })?;
        Ok(changed_at(commit, time))
    }

    /// Returns who made a commit, as it says itself: a name and an address, each at most 100 characters.
    pub fn author(&self, revision: &Revision) -> Result<String, SourceError> {
        let commit = self.hash(revision)?;
        self.ask(&Request::Author { commit })
    }

    /// Returns what a trailer of a commit's message says, at most 256 characters.
    pub(crate) fn trailer(&self, revision: &Revision, name: &str) -> Result<Option<String>, SourceError> {
        let commit = self.hash(revision)?;
        let name = name.to_owned();
        self.ask(&Request::Trailer { commit, name })
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
    /// Goes on from what another process has found out.
    pub(crate) fn remembering(remembered: Remembered) -> Self {
        let Remembered {
            environment,
            head,
            changed,
        } = remembered;
        let Ok(head) = GitHash::of(&head) else {
            return Self::default();
        };
        Self {
            at: Some((environment, head)),
            known: changed.into_iter().collect(),
            under_way: None,
        }
    }

    /// Returns what is known of the last head to which a walk is over, of the manifests that are followed.
    pub(crate) fn remembered(&self, is_followed: &dyn Fn(&ObjectId) -> bool) -> Option<Remembered> {
        let (environment, head) = self.at.clone()?;
        let changed = self.known.iter().filter(|(id, _)| is_followed(id));
        Some(Remembered {
            environment,
            head: head.revision(),
            changed: changed
                .map(|(id, changed)| (id.clone(), changed.clone()))
                .collect(),
        })
    }

    /// Returns the last head to which a walk is over.
    pub(crate) fn walked_to(&self) -> Option<Revision> {
        self.at.as_ref().map(|(_, head)| head.revision())
    }

    /// Says whether a walk is not over.
    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Finds for manifests the newest first-parent commit where the parsed document differs from its parent's, or a data
    /// file that it trains on. Comments, formatting and moves to another file are no difference.
    ///
    /// What is known at the last head is carried on: only the commits since are walked, and only manifests of
    /// `touched` that are not known yet are looked for further back. Where the branch was forced, those that the dropped
    /// commits changed are looked for too. Where nothing leads to the last head, all manifests are.
    ///
    /// It takes about as long as `patience`; what is not found by then is for [`Self::go_on`].
    pub(crate) fn walk(
        &self,
        line: Line<'_>,
        mut questions: Questions<'_>,
        patience: Duration,
    ) -> Result<Walked, SourceError> {
        let deadline = Instant::now().checked_add(patience);
        let mut walk = match self.after_the_walk_under_way(line, &mut questions, deadline)? {
            Some(walk) => walk,
            None => self.begin(line, &questions)?,
        };
        let known = line.known;
        Walk::new(
            line.source,
            line.environment,
            known,
            questions.documents,
            deadline,
        )
        .run(&mut walk)?;
        Ok(Walked {
            environment: line.environment.clone(),
            walk,
        })
    }

    /// Goes on with the walk to a head of which the one under way is an ancestor: what came since is added in front.
    /// `None` where there is none, or it must begin anew.
    fn after_the_walk_under_way(
        &self,
        line: Line<'_>,
        questions: &mut Questions<'_>,
        deadline: Option<Instant>,
    ) -> Result<Option<UnderWay>, SourceError> {
        let Some((_, under_way)) = self.under_way.as_ref().filter(|(of, _)| of == line.environment) else {
            return Ok(None);
        };
        let Some(fork) = fork(line, under_way.head)?.filter(|fork| fork.behind == 0) else {
            return Ok(None);
        };
        let of = if fork.ahead == 1 { Of::Touched } else { Of::All };
        let mut above = UnderWay::begin(line.source.hash(line.head)?, BTreeSet::new());
        above.above = Some((fork.commit, (questions.data)(of)));
        Walk::new(
            line.source,
            line.environment,
            line.known,
            questions.documents,
            deadline,
        )
        .run(&mut above)?;
        let is_known = |id: &ObjectId| {
            above.found.contains_key(id) || self.get(id).is_some() && !(questions.is_out_of_date)(id)
        };
        let has_arrived = above.is_over && above.above.is_none();
        if !has_arrived || !questions.touched.iter().all(|id| is_known(id)) {
            return Ok(None);
        }
        let mut walk = under_way.clone();
        walk.head = above.head;
        for (id, changed) in above.found {
            walk.open.remove(&id);
            walk.found.insert(id, changed);
        }
        Ok(Some(walk))
    }

    /// Says what is to be looked for from a head on, by the last one to which a walk is over.
    fn begin(&self, line: Line<'_>, questions: &Questions<'_>) -> Result<UnderWay, SourceError> {
        let Questions {
            touched,
            is_out_of_date,
            all,
            carried,
            data,
            documents: _,
        } = questions;
        let last = self.at.as_ref().filter(|(known, _)| known == line.environment);
        let fork = match last {
            Some((_, last)) => fork(line, *last)?,
            None => None,
        };
        let mut open: BTreeSet<ObjectId> = match &fork {
            Some(_) => touched
                .iter()
                .filter(|id| !self.known.contains_key(**id) || is_out_of_date(id))
                .map(|id| ObjectId::clone(id))
                .collect(),
            None => all(),
        };
        let dropped = fork.as_ref().map(|fork| self.dropped(fork)).unwrap_or_default();
        if !dropped.is_empty() {
            open.extend(all().intersection(&dropped).cloned());
        }
        // What was known before stands where nobody can find out more.
        let known = |id: &ObjectId| self.known.get(id).filter(|_| !touched.contains(id)).cloned();
        let stand_ins = open
            .iter()
            .filter_map(|id| Some((id.clone(), known(id).or_else(|| carried(id))?)))
            .collect();
        let mut walk = UnderWay::begin(line.source.hash(line.head)?, open);
        walk.is_anew = fork.is_none();
        walk.dropped = dropped;
        walk.stand_ins = stand_ins;
        // Only of the commits that follow the last one it is known what they touch.
        let follows = fork.as_ref().is_some_and(|fork| fork.behind == 0) && self.under_way.is_none();
        walk.data = data(if follows { Of::Touched } else { Of::All });
        // Above the last head every change counts, whoever made and undid it; below it only what is looked for.
        walk.above = fork.map(|fork| {
            let is_one = follows && fork.ahead == 1;
            let of = if is_one { Of::Touched } else { Of::All };
            (fork.commit, data(of))
        });
        Ok(walk)
    }

    /// Returns the manifests that a commit of a line that was left had changed last.
    fn dropped(&self, fork: &Fork) -> BTreeSet<ObjectId> {
        let commits: BTreeSet<Revision> = fork.dropped.iter().map(|commit| commit.revision()).collect();
        let known = self
            .known
            .iter()
            .filter(|(_, known)| commits.contains(&known.revision));
        known.map(|(id, _)| id.clone()).collect()
    }

    /// Goes on with the walk that is under way, for about as long as `patience`, and returns the manifests whose commit
    /// may be another one now.
    pub(crate) fn go_on(
        &mut self,
        source: &Source,
        documents: &mut FindDocuments<'_>,
        patience: Duration,
        is_declared: &dyn Fn(&ObjectId) -> bool,
    ) -> Result<Vec<ObjectId>, SourceError> {
        let Some((environment, walk)) = &mut self.under_way else {
            return Ok(Vec::new());
        };
        let deadline = Instant::now().checked_add(patience);
        Walk::new(source, environment, None, documents, deadline).run(walk)?;
        if !walk.is_over {
            return Ok(Vec::new());
        }
        let Some((environment, walk)) = self.under_way.take() else {
            return Ok(Vec::new());
        };
        let walked = Walked { environment, walk };
        Ok(self.accept(walked, &BTreeSet::new(), is_declared))
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
        let Walked {
            environment,
            mut walk,
        } = walked;
        for id in touched.iter().chain(walk.found.keys()) {
            if !is_declared(id) {
                self.known.remove(id);
            }
        }
        walk.open.retain(|id| is_declared(id));
        walk.found.retain(|id, _| is_declared(id));
        if walk.is_over {
            self.under_way = None;
            return self.take_in(environment, walk);
        }
        let found = walk.found.keys().chain(&walk.open).cloned().collect();
        self.under_way = Some((environment, walk));
        found
    }

    /// Takes in what a walk found that is over.
    fn take_in(&mut self, environment: EnvironmentName, walk: UnderWay) -> Vec<ObjectId> {
        self.at = Some((environment, walk.head));
        if walk.is_anew {
            self.known.clear();
        }
        // Also of one that is not declared now, for which nobody looked.
        for id in &walk.dropped {
            self.known.remove(id);
        }
        let found = walk.found.keys().cloned().collect();
        self.known.extend(walk.found);
        found
    }

    /// Returns the commit that last changed a manifest, or stands for it.
    pub(crate) fn get(&self, id: &ObjectId) -> Option<(&Changed, Dating)> {
        let Some((_, walk)) = &self.under_way else {
            return self.known.get(id).map(|known| (known, Dating::Known));
        };
        if walk.open.contains(id) {
            let stand_in = walk.stand_ins.get(id).or(walk.first_reached.as_ref());
            return stand_in.map(|stand_in| (stand_in, Dating::Provisional));
        }
        let known = self.known.get(id).filter(|_| !walk.is_anew);
        walk.found.get(id).or(known).map(|known| (known, Dating::Known))
    }
}

/// Finds where the first parents of a commit meet those of a line's head.
fn fork(line: Line<'_>, other: GitHash) -> Result<Option<Fork>, SourceError> {
    line.source.ask(&Request::Fork {
        head: line.source.hash(line.head)?,
        other,
        steps_max: COMMITS_MAX,
    })
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
