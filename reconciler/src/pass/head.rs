//! The branch's newest commit: asked for, judged by who signed it, resolved where it is followed.

use planner::Timestamp;
use planner::finding::Reason;

use super::Reconciler;
use crate::resolve::Touched;
use crate::source::{Relation, SourceError};

impl Reconciler {
    /// Resolves the branch's newest commit anew if it moved, or was not understood at all; `None` where nothing is new, or
    /// it is not followed.
    pub(super) fn resolve_head(&mut self, now: Timestamp) -> Result<Option<Touched>, SourceError> {
        let is_first = self.resolved.is_none();
        let touched = self.resolve_newest(now);
        if is_first && touched.is_err() {
            // What the commit before touches is not lost with the newest one.
            self.resolver.forget();
            self.resolved = None;
        }
        touched
    }

    fn resolve_newest(&mut self, now: Timestamp) -> Result<Option<Touched>, SourceError> {
        let mut head = self.source.head()?;
        let is_refused = self.admission.refuses(&head, now);
        // One that is followed already lifts the refusal of one that is gone.
        let is_followed = self.admission.refused().is_none() && self.resolved.as_ref() == Some(&head);
        let is_known = is_refused || is_followed;
        let is_unread = self
            .of_commit
            .iter()
            .any(|finding| finding.reason == Reason::SourceUnavailable);
        if is_known && !is_unread && (is_refused || self.resolver.resolution().desired.is_some()) {
            return Ok(None);
        }
        if self.resolved.is_none() {
            self.resolver.carry_on(&self.view.observed);
        }
        let of_followed = self.resolve_followed()?;
        if !self.admit(&head, now)? {
            return Ok(of_followed);
        }
        let last_good = self.view.observed.environment.as_ref();
        let resolver = &mut self.resolver;
        let touched = match resolver.resolve(&self.source, &head, &self.environment, last_good) {
            // A clone that was moved on meanwhile may have lost what it was moved on from, and nobody misses that.
            Err(error) if error.is_of_objects() => {
                head = self.source.newest_after(&head).ok_or(error)?;
                if !self.admit(&head, now)? {
                    return Ok(of_followed);
                }
                let last_good = self.view.observed.environment.as_ref();
                self.resolver
                    .resolve(&self.source, &head, &self.environment, last_good)?
            }
            touched => touched?,
        };
        if !self.admit_first(&head, now)? {
            self.resolver.forget();
            return Ok(None);
        }
        self.look_at_keys(&head);
        let touched = of_followed.map_or(touched, |_| Touched::Everything);
        let before = self
            .resolved
            .clone()
            .or(self.view.report.applied_revision.clone());
        if let Some(before) = before.filter(|before| *before != head) {
            self.forced = match self.source.relation(&before, &head) {
                Relation::Forced => {
                    // Its finding tells a person.
                    tracing::info!(from = %before, to = %head, "the branch was forced; it is followed");
                    Some((before, head.clone()))
                }
                Relation::Same | Relation::Ahead => None,
            };
        }
        self.resolved = Some(head);
        Ok(Some(touched))
    }
}
