//! A branch's history, along first parents.

use std::collections::HashMap;
use std::io::Write as _;

use git2::Commit;

use super::difference::within;
use super::repository::{Opened, hash, oid};
use super::{Failure, Output, data};
use crate::source::hash::GitHash;
use crate::source::protocol::{Changes, Fork, GitError, Kind, Step, WalkEnd, Walked, write_answer};

/// The most entries that are looked at on one walk.
const VISITS_MAX: usize = 4_000_000;
/// After how many manifests that changed a walk is interrupted.
const FILES_MAX: usize = 8_192;

/// A walk along first parents.
pub(super) struct Walk<'a> {
    pub(super) opened: &'a Opened,
    pub(super) until: Option<GitHash>,
    pub(super) folder: &'a str,
    pub(super) known: Option<(GitHash, GitHash)>,
    pub(super) data: &'a [String],
    pub(super) commits_max: usize,
}

impl Walk<'_> {
    /// Writes a step for each commit that changes something.
    pub(super) fn go(&self, from: GitHash, output: &mut Output) -> Result<Walked, Failure> {
        let mut commit = self.opened.commit(from)?;
        let mut commits = 0;
        let mut files = 0;
        let mut visits = VISITS_MAX;
        let end = loop {
            if self.until == Some(hash(commit.id())) {
                break WalkEnd::Arrived;
            }
            if commits >= self.commits_max || files >= FILES_MAX {
                break WalkEnd::Bounds;
            }
            // A shallow clone ends where the parent is missing, as the first commit does.
            let Ok(parent) = commit.parent(0) else {
                let is_first = commit.parent_count() == 0 && !self.opened.repository.is_shallow();
                break if is_first { WalkEnd::First } else { WalkEnd::Cut };
            };
            match self.step(&commit, &parent, &mut visits) {
                Ok(Some(step)) => {
                    if let Changes::Manifests { gone, new } = &step.changes {
                        files += gone.len() + new.len();
                    }
                    let json = serde_json::to_vec(&step).map_err(std::io::Error::from)?;
                    write_answer(output, Kind::Part, &[&json])?;
                    // Whoever waits sees that it goes on.
                    output.flush()?;
                }
                Ok(None) => {}
                Err(error) => break WalkEnd::Unreadable(said(&error)),
            }
            // A step that was cut is all that can be said of it.
            if visits == 0 {
                break WalkEnd::Unreadable("too much differs".to_owned());
            }
            commit = parent;
            commits += 1;
        };
        Ok(Walked {
            reached: hash(commit.id()),
            time: commit.time().seconds(),
            commits,
            end,
        })
    }

    /// Compares a commit with its parent.
    fn step(
        &self,
        commit: &Commit<'_>,
        parent: &Commit<'_>,
        visits: &mut usize,
    ) -> Result<Option<Step>, GitError> {
        let (ours, theirs) = (hash(commit.tree_id()), hash(parent.tree_id()));
        if ours == theirs {
            return Ok(None);
        }
        let moved = data::moved(self.opened, theirs, ours, self.data)?;
        let new = self.opened.folder_in(ours, self.folder)?;
        let old = self.opened.folder_in(theirs, self.folder)?;
        let changes = if old == new {
            Changes::Manifests {
                gone: Vec::new(),
                new: Vec::new(),
            }
        } else if self.known.is_some() && self.known == old.zip(new) {
            Changes::Known
        } else {
            let difference = within(self.opened, self.folder, old, new, visits)?;
            Changes::Manifests {
                gone: difference.gone.manifests,
                new: difference.new.manifests,
            }
        };
        Ok((old != new || !moved.is_empty()).then(|| Step {
            commit: hash(commit.id()),
            time: commit.time().seconds(),
            changes,
            moved,
        }))
    }
}

fn said(error: &GitError) -> String {
    match error {
        GitError::Unreadable { what, message, .. } => format!("{what}: {message}"),
        other => format!("{other:?}"),
    }
}

/// Counts the first-parent steps that lead from a commit to another one.
pub(super) fn steps(
    opened: &Opened,
    head: GitHash,
    wanted: GitHash,
    known: Option<(GitHash, Option<usize>)>,
    steps_max: usize,
) -> Result<Option<usize>, GitError> {
    let wanted = oid(wanted);
    let known = known.map(|(head, steps)| (oid(head), steps));
    let mut commit = opened.commit(head)?;
    for steps in 0..steps_max {
        if commit.id() == wanted {
            return Ok(Some(steps));
        }
        if let Some((head, more)) = known
            && head == commit.id()
        {
            return Ok(more.map(|more| steps + more).filter(|steps| *steps < steps_max));
        }
        let Ok(parent) = commit.parent(0) else {
            break;
        };
        commit = parent;
    }
    Ok(None)
}

/// Finds where the lines of first parents of two commits meet. A commit that is gone meets none.
pub(super) fn fork(
    opened: &Opened,
    head: GitHash,
    other: GitHash,
    steps_max: usize,
) -> Result<Option<Fork>, GitError> {
    let mut line = HashMap::new();
    let mut next = Some(opened.commit(head)?);
    for ahead in 0..steps_max {
        let Some(commit) = next else { break };
        if hash(commit.id()) == other {
            return Ok(Some(Fork {
                commit: other,
                ahead,
                behind: 0,
                dropped: Vec::new(),
            }));
        }
        line.insert(commit.id(), ahead);
        next = commit.parent(0).ok();
    }
    let mut next = opened.commit(other).ok();
    let mut dropped = Vec::new();
    for behind in 0..steps_max {
        let Some(commit) = next else { break };
        if let Some(ahead) = line.get(&commit.id()) {
            return Ok(Some(Fork {
                commit: hash(commit.id()),
                ahead: *ahead,
                behind,
                dropped,
            }));
        }
        dropped.push(hash(commit.id()));
        next = commit.parent(0).ok();
    }
    Ok(None)
}
