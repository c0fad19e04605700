//! Going along a branch's first parents.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use planner::names::{Digest, EnvironmentName};
use planner::object::ObjectId;

use super::{COMMITS_MAX, Changed, FindDocuments, changed_at};
use crate::source::client::Next;
use crate::source::difference::Difference;
use crate::source::hash::GitHash;
use crate::source::protocol::{self, Changes, Request, Step, WalkEnd, parse};
use crate::source::{ENVIRONMENTS, Source, SourceError};

/// How many commits are asked for at first; it doubles each time.
const CHUNK_MIN: usize = 64;
/// The most that are asked for at a time.
const CHUNK_MAX: usize = 1_024;

/// How far a walk is, and what it looks for: all that the next piece of it needs.
#[derive(Debug, Clone)]
pub(super) struct UnderWay {
    /// Where it began.
    pub(super) head: GitHash,
    /// The last head has no first parent in common with this one: what was known of it counts no more.
    pub(super) is_anew: bool,
    /// The manifests of which a commit was known that the new head does not contain.
    pub(super) dropped: BTreeSet<ObjectId>,
    /// The commit down to which every change counts, until it is reached, with the data files to look at above it.
    pub(super) above: Option<(GitHash, DataOf)>,
    /// The data files to look at below.
    pub(super) data: DataOf,
    /// The manifests that are looked for, however far back.
    pub(super) open: BTreeSet<ObjectId>,
    /// The commits that were known before for those.
    pub(super) stand_ins: BTreeMap<ObjectId, Changed>,
    /// What stands for the others meanwhile: the oldest commit that was at hand when it was interrupted first.
    pub(super) first_reached: Option<Changed>,
    /// The manifests that changed since the last head, or whose change was not known.
    pub(super) found: BTreeMap<ObjectId, Changed>,
    /// Nothing is looked for any more.
    pub(super) is_over: bool,
    /// The first commit that was not compared with its parent, and its time where that is known.
    reached: (GitHash, i64),
    /// How many commits may be compared.
    left: usize,
}

/// Data files, and the jobs that read them.
pub(super) type DataOf = BTreeMap<String, BTreeSet<ObjectId>>;

impl UnderWay {
    pub(super) fn begin(head: GitHash, open: BTreeSet<ObjectId>) -> Self {
        Self {
            head,
            is_anew: false,
            dropped: BTreeSet::new(),
            above: None,
            data: DataOf::new(),
            open,
            stand_ins: BTreeMap::new(),
            first_reached: None,
            found: BTreeMap::new(),
            is_over: false,
            reached: (head, 0),
            left: COMMITS_MAX,
        }
    }
}

/// How a piece of a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// It came to the commit that it was to go to, or found all.
    Done,
    /// The history ends there.
    Ended,
    /// The time is over.
    Late,
}

/// One piece of a walk.
pub(super) struct Walk<'a, 'b> {
    source: &'a Source,
    folder: String,
    known: Option<(GitHash, GitHash, &'a Difference)>,
    documents: &'a mut FindDocuments<'b>,
    /// When to stop, though there is more.
    deadline: Option<Instant>,
    reached: (GitHash, i64),
    left: usize,
    /// The history goes further back than it could be read.
    is_cut: bool,
}

impl<'a, 'b> Walk<'a, 'b> {
    pub(super) fn new(
        source: &'a Source,
        environment: &EnvironmentName,
        known: Option<(GitHash, GitHash, &'a Difference)>,
        documents: &'a mut FindDocuments<'b>,
        deadline: Option<Instant>,
    ) -> Self {
        Self {
            source,
            folder: format!("{ENVIRONMENTS}/{environment}"),
            known,
            documents,
            deadline,
            reached: (GitHash::from_bytes([0; 20]), 0),
            left: 0,
            is_cut: false,
        }
    }

    /// Goes on with a walk until it is over, or the time is.
    pub(super) fn run(mut self, walk: &mut UnderWay) -> Result<(), SourceError> {
        (self.reached, self.left) = (walk.reached, walk.left);
        let stop = self.look(walk)?;
        (walk.reached, walk.left) = (self.reached, self.left);
        if stop == Stop::Late {
            if walk.first_reached.is_none() {
                let (commit, time) = self.oldest()?;
                walk.first_reached = Some(changed_at(commit, time));
            }
            return Ok(());
        }
        if !walk.open.is_empty() {
            let (commit, time) = self.oldest()?;
            for id in std::mem::take(&mut walk.open) {
                let known = walk.stand_ins.remove(&id).filter(|_| self.is_cut);
                walk.found
                    .insert(id, known.unwrap_or_else(|| changed_at(commit, time)));
            }
        }
        walk.is_over = true;
        Ok(())
    }

    fn look(&mut self, walk: &mut UnderWay) -> Result<Stop, SourceError> {
        let UnderWay {
            above,
            data,
            open,
            found,
            ..
        } = walk;
        if let Some((until, data)) = above {
            let stop = self.until(Some(*until), data, &mut |id, changed| {
                open.remove(id);
                found.entry(id.clone()).or_insert(changed);
                false
            })?;
            if stop != Stop::Done {
                return Ok(stop);
            }
            *above = None;
        }
        if open.is_empty() {
            return Ok(Stop::Done);
        }
        self.until(None, data, &mut |id, changed| {
            if open.remove(id) {
                found.insert(id.clone(), changed);
            }
            open.is_empty()
        })
    }

    /// Goes on to a commit, or as far as it goes; `take` is told of each change and says whether that is enough.
    fn until(
        &mut self,
        until: Option<GitHash>,
        data: &BTreeMap<String, BTreeSet<ObjectId>>,
        take: &mut dyn FnMut(&ObjectId, Changed) -> bool,
    ) -> Result<Stop, SourceError> {
        let paths: Vec<String> = data.keys().cloned().collect();
        let jobs: Vec<&BTreeSet<ObjectId>> = data.values().collect();
        let mut chunk = CHUNK_MIN;
        loop {
            let (steps, end) = self.chunk(until, paths.clone(), chunk.min(self.left))?;
            let mut changes = match self.changes(&steps) {
                Ok(changes) => changes,
                // What nobody can read any more ends the history, as a clone that is shallow does.
                Err(error) if error.is_of_objects() => {
                    self.is_cut = true;
                    return Ok(Stop::Ended);
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
                        return Ok(Stop::Done);
                    }
                }
            }
            match end {
                WalkEnd::Arrived => return Ok(Stop::Done),
                WalkEnd::Bounds if self.left > 0 => {
                    if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                        return Ok(Stop::Late);
                    }
                    chunk = self.next_chunk(chunk);
                }
                WalkEnd::First => return Ok(Stop::Ended),
                WalkEnd::Bounds | WalkEnd::Cut => {
                    self.is_cut = true;
                    return Ok(Stop::Ended);
                }
                WalkEnd::Unreadable(message) => {
                    self.is_cut = true;
                    tracing::warn!(commit = %self.reached.0, message, "the branch's history cannot be read beyond a commit");
                    return Ok(Stop::Ended);
                }
            }
        }
    }

    /// Returns how many commits are asked for next: the more, the fewer questions; with a deadline no more than that
    /// it is heeded.
    fn next_chunk(&self, chunk: usize) -> usize {
        let max = if self.deadline.is_some() {
            CHUNK_MIN
        } else {
            CHUNK_MAX
        };
        (chunk * 2).min(max)
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
        let (steps, walked) = match self.source.walked(&request) {
            Ok(walked) => walked,
            // A step that hangs takes the answer with it.
            Err(error) if error.is_of_objects() => {
                return Ok((Vec::new(), WalkEnd::Unreadable(error.to_string())));
            }
            Err(error) => return Err(error),
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

impl Source {
    /// Goes along first parents from a commit, and returns those that change something in a folder.
    pub(crate) fn steps(
        &self,
        from: GitHash,
        folder: &str,
        commits_max: usize,
    ) -> Result<(Vec<Step>, protocol::Walked), SourceError> {
        self.walked(&Request::Walk {
            from,
            until: None,
            folder: folder.to_owned(),
            known: None,
            data: Vec::new(),
            commits_max,
        })
    }

    fn walked(&self, request: &Request) -> Result<(Vec<Step>, protocol::Walked), SourceError> {
        let mut client = self.client();
        let walked = (|| {
            let mut steps = Vec::new();
            let mut exchange = client.exchange(request)?;
            loop {
                match exchange.next::<protocol::Walked>()? {
                    Next::Part(step) => steps.push(parse(&step).map_err(|error| exchange.unclear(error))?),
                    Next::Done(walked) => return Ok((steps, walked)),
                }
            }
        })();
        drop(client);
        walked.map_err(|error| self.explain(error))
    }
}
