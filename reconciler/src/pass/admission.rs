//! Whether the branch's newest commit may be followed, by who signed it: asked before anything of it is read.

use std::collections::BTreeSet;

use chrono::Duration;
use planner::Timestamp;
use planner::commits::{Judgement, Verify};
use planner::finding::Finding;
use planner::names::Revision;

use super::Reconciler;
use crate::resolve::Touched;
use crate::signatures::{Question, Seen, of_keys, of_trusted};
use crate::source::SourceError;

/// After how long a refused commit is judged again, in seconds: keys of the machine may be others then.
const SECONDS_REFUSED: i64 = 10;

/// What signatures came to.
#[derive(Debug, Default)]
pub(super) struct Admission {
    pub(super) seen: Seen,
    /// The newest commit, while it is not followed.
    refused: Option<Refused>,
    /// What is told of commits.
    of_commits: BTreeSet<Finding>,
    /// What is told of the files of keys by which the next commit is judged.
    of_keys: BTreeSet<Finding>,
}

#[derive(Debug)]
struct Refused {
    head: Revision,
    again_at: Timestamp,
}

impl Admission {
    pub(super) fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.of_commits.iter().chain(&self.of_keys)
    }

    /// Returns the newest commit, while it is not followed.
    pub(super) fn refused(&self) -> Option<&Revision> {
        self.refused.as_ref().map(|refused| &refused.head)
    }

    /// Says whether a commit was refused, and is not to be judged again so soon.
    pub(super) fn refuses(&self, head: &Revision, now: Timestamp) -> bool {
        let wait = Duration::seconds(SECONDS_REFUSED);
        self.refused.as_ref().is_some_and(|refused| {
            // A wait that is longer than any means that the clock was set back.
            refused.head == *head && now < refused.again_at && refused.again_at - now <= wait
        })
    }

    fn note(&mut self, head: &Revision, judgement: Judgement, now: Timestamp) -> bool {
        let Judgement { is_refused, findings } = judgement;
        self.of_commits = findings;
        self.refused = is_refused.then(|| Refused {
            head: head.clone(),
            again_at: now + Duration::seconds(SECONDS_REFUSED),
        });
        !is_refused
    }
}

impl Reconciler {
    /// Resolves, at a start, the commit that was followed before, where the next one is judged by what it says.
    pub(super) fn resolve_followed(&mut self) -> Result<Option<Touched>, SourceError> {
        let (None, Some(last_good)) = (&self.resolved, &self.view.observed.environment) else {
            return Ok(None);
        };
        let report = &self.view.report;
        let accepted = report.accepted_revision.as_ref();
        if last_good.commits.verify == Verify::Off && accepted.is_none() {
            return Ok(None);
        }
        let Some(followed) = accepted.or(report.applied_revision.as_ref()).cloned() else {
            return Ok(None);
        };
        let resolver = &mut self.resolver;
        match resolver.resolve(&self.source, &followed, &self.environment, Some(last_good)) {
            Ok(touched) => {
                self.look_at_keys(&followed);
                self.resolved = Some(followed);
                Ok(Some(touched))
            }
            // It may be gone, after the branch was forced: then the object says by what the next one is judged.
            Err(error) if error.is_of_objects() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Says whether a commit may be followed, by what the one says that was followed before.
    pub(super) fn admit(&mut self, head: &Revision, now: Timestamp) -> Result<bool, SourceError> {
        let resolved = self.resolver.resolution().desired.as_ref();
        let followed = self.resolved.as_ref().and(resolved);
        let followed = followed.map(|desired| &desired.environment);
        let Some(environment) = followed.or(self.view.observed.environment.as_ref()) else {
            // Nothing was applied: what it says itself is asked once it was read.
            return Ok(self.admission.note(head, Judgement::default(), now));
        };
        let report = &self.view.report;
        let reported = report
            .accepted_revision
            .as_ref()
            .or(report.applied_revision.as_ref());
        let question = Question {
            source: &self.source,
            environment: &self.environment,
            policy: &environment.commits,
            base: self.resolved.as_ref().or(reported),
            head,
            now,
        };
        let judgement = question.answer(&mut self.admission.seen)?;
        Ok(self.admission.note(head, judgement, now))
    }

    /// Says whether the first commit of all may be followed, by what it says itself.
    pub(super) fn admit_first(&mut self, head: &Revision, now: Timestamp) -> Result<bool, SourceError> {
        let (None, None, Some(desired)) = (
            &self.resolved,
            &self.view.observed.environment,
            &self.resolver.resolution().desired,
        ) else {
            return Ok(true);
        };
        let question = Question {
            source: &self.source,
            environment: &self.environment,
            policy: &desired.environment.commits,
            base: None,
            head,
            now,
        };
        let judgement = question.answer(&mut self.admission.seen)?;
        Ok(self.admission.note(head, judgement, now))
    }

    /// Looks at the keys that a commit brings: the next one is judged by them.
    pub(super) fn look_at_keys(&mut self, revision: &Revision) {
        let Some(desired) = &self.resolver.resolution().desired else {
            return;
        };
        let commits = &desired.environment.commits;
        let mut of_keys = of_keys(&self.source, &self.environment, commits, revision);
        let models = &desired.environment.models;
        of_keys.extend(of_trusted(&self.source, &self.environment, models, revision));
        self.admission.of_keys = of_keys;
    }

    /// Returns the commit that was followed, where commits need signatures.
    pub(super) fn accepted(&self) -> Option<Revision> {
        match &self.resolver.resolution().desired {
            Some(desired) if desired.environment.commits.verify != Verify::Off => self.resolved.clone(),
            Some(_) => None,
            None => self.view.report.accepted_revision.clone(),
        }
    }

    /// Takes what is known of when commits were first seen.
    #[must_use]
    pub fn with_seen(mut self, seen: Seen) -> Self {
        self.admission.seen = seen;
        self
    }

    /// Returns when commits were first seen, for another process.
    pub fn seen(&self) -> &Seen {
        &self.admission.seen
    }
}
