//! What a pass does about long histories, the branch's and the registry's: a piece at a time, so that nothing waits.

use std::collections::BTreeSet;
use std::time::Duration;

use planner::finding::{Finding, Reason};
use planner::names::{ModelName, Revision};

use super::{Pass, Reconciler, Scope};
use crate::resolve::Touched;
use crate::source::Remembered;

/// How long a pass may read on in the branch's history: no commit waits longer for it, nor does an end.
pub(super) const PATIENCE: Duration = Duration::from_millis(50);

impl Reconciler {
    /// Reads on in a long history for about this long in each pass.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        let resolver = self.resolver.with_patience(patience);
        Self { resolver, ..self }
    }

    /// Takes what an earlier reconciler knew of the branch's history.
    #[must_use]
    pub fn with_remembered(self, remembered: Option<Remembered>) -> Self {
        let resolver = self.resolver.with_remembered(remembered);
        Self { resolver, ..self }
    }

    /// Returns what is known of the branch's history.
    pub fn remembered(&self) -> Option<Remembered> {
        self.resolver.remembered()
    }

    /// Returns the commit down from which the branch's history is known.
    pub fn walked_to(&self) -> Option<Revision> {
        self.resolver.walked_to()
    }

    /// Reads on in a history that is too long to be read at once.
    pub(super) fn go_on(&mut self, pass: &mut Pass, scope: &mut Scope) {
        if !self.resolver.is_under_way() {
            return;
        }
        match self.resolver.go_on(&self.source) {
            Ok(touched) => {
                pass.is_walking = self.resolver.is_under_way();
                if touched != Touched::Manifests(BTreeSet::new()) {
                    self.declare(touched, scope);
                }
            }
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "cannot read on in the branch's history"
                );
                pass.is_cut_short = true;
            }
        }
    }

    /// Closes a history that has grown, as one of a model that nothing moves has that an Aurora of before left: one in a
    /// pass, since it is read for that.
    pub(super) fn close_histories(&self, models: &[ModelName]) {
        for model in models {
            match self.registry.close_history(model) {
                Ok(false) => {}
                Ok(true) => break,
                Err(error) => tracing::debug!(%model, %error, "a history that has grown cannot be closed"),
            }
        }
    }

    /// Says that the branch was forced, until it moves on.
    pub(super) fn forced_finding(&self) -> Option<Finding> {
        let (from, to) = self.forced.as_ref()?;
        Some(Finding {
            location: None,
            reason: Reason::BranchForced,
            subject: self.source.followed().into(),
            message: format!(
                "was forced from {} to {}, which does not contain it; it is followed",
                from.short(),
                to.short()
            ),
            hint: format!(
                "the commit is not lost yet: git branch before-force {}",
                from.short()
            ),
        })
    }
}
