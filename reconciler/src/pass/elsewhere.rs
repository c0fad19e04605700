//! What a pass asks of other environments, and when it looks again for that.

use std::collections::BTreeSet;
use std::sync::Arc;

use planner::endpoint::Endpoint;
use planner::names::ModelName;

use super::Reconciler;
use crate::upstream::{ControlPlanes, Imports, Known, Nobody, Statuses};

/// What was asked of other environments.
pub(super) struct Elsewhere {
    pub(super) imports: Imports,
    pub(super) statuses: Statuses,
}

impl Elsewhere {
    fn new(planes: Arc<dyn ControlPlanes>) -> Self {
        Self {
            imports: Imports::new(planes.clone()),
            statuses: Statuses::new(planes),
        }
    }

    /// Returns the models of which another environment has said more.
    pub(super) fn news(&self) -> impl Iterator<Item = ModelName> {
        self.imports.news().chain(self.statuses.news())
    }

    /// Lets `look` ask what serves elsewhere, and forgets what it did not ask of these models.
    pub(super) fn ask(
        &self,
        models: &BTreeSet<ModelName>,
        look: impl FnOnce(&mut dyn FnMut(&Endpoint, &ModelName) -> Known),
    ) {
        let mut asked = BTreeSet::new();
        look(&mut |at, model| {
            asked.insert((model.clone(), at.clone()));
            self.statuses.of(at, model)
        });
        self.statuses.keep(models, &asked);
    }
}

impl Default for Elsewhere {
    fn default() -> Self {
        Self::new(Arc::new(Nobody))
    }
}

impl Reconciler {
    /// Asks other environments' control planes by `planes`.
    #[must_use]
    pub fn with_control_planes(self, planes: Arc<dyn ControlPlanes>) -> Self {
        Self {
            elsewhere: Elsewhere::new(planes),
            ..self
        }
    }
}
