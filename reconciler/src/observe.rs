//! What the registry holds, of the models that are touched, and of some others in turns. Reads, writes nothing.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use planner::desired::{Completeness, Desired};
use planner::names::ModelName;
use planner::observed::Observed;
use planner::part::Part;
use registry::{Observer, StoreError};

use crate::view::View;

/// How many models a pass glances at although nothing touched them: a few system calls each. A fixed number, so that
/// rest costs the same whatever there is; a thousand models take five seconds, ten thousand less than a minute.
const GLANCES: usize = 40;
/// How many models a pass looks at in full although nothing touched them, down to each file of their versions.
const LOOKS: usize = 3;

/// Whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    /// In how many turns every model is glanced at once, however many there are; 0: a fixed number in each.
    turns: usize,
    glanced: Option<ModelName>,
    looked: Option<ModelName>,
}

/// What can be decided, and of which models nothing can.
#[derive(Debug)]
pub(crate) struct Decidable {
    pub(crate) desired: Desired,
    pub(crate) observed: Observed,
    pub(crate) unreadable: BTreeMap<ModelName, StoreError>,
}

impl Looks {
    /// Glances at every model once in so many turns: where turns are far apart.
    pub(crate) fn within(turns: usize) -> Self {
        Self {
            turns,
            ..Self::default()
        }
    }

    /// Looks at the models whose turn it is; those that changed, or cannot be read, are touched. Returns those that were
    /// looked at in full.
    pub(crate) fn turn(
        &mut self,
        view: &View,
        registry: &Observer,
        touched: &mut BTreeSet<ModelName>,
    ) -> Vec<ModelName> {
        let glances = match self.turns {
            0 => GLANCES,
            turns => view.links.models().count().div_ceil(turns),
        };
        let turn = view.links.models_after(self.glanced.as_ref(), glances);
        touched.extend(turn.iter().filter(|model| registry.glance(model)).cloned());
        self.glanced = turn.into_iter().next_back();
        let turn = view.links.models_after(self.looked.as_ref(), LOOKS);
        for model in &turn {
            let known = view.observed.models.get(model);
            let is_known = match registry.observe(model) {
                Ok(found) => known.is_some_and(|known| Arc::ptr_eq(known, &found) || **known == *found),
                Err(_) => false,
            };
            if !is_known {
                touched.insert(model.clone());
            }
        }
        self.looked = turn.iter().next_back().cloned();
        turn.into_iter().collect()
    }

    /// Looks at every model of the part, and returns what can be decided about it.
    ///
    /// An error means that not even the store's list of data files could be read.
    pub(crate) fn observe(
        view: &mut View,
        registry: &Observer,
        part: &Part,
        whole: &Desired,
    ) -> Result<Decidable, StoreError> {
        view.observed.datasets = registry.datasets()?;
        let mut unreadable = BTreeMap::new();
        for model in &part.models {
            match registry.observe(model) {
                Ok(found) => view.register(model, found),
                Err(error) => drop(unreadable.insert(model.clone(), error)),
            }
        }
        let mut desired = part.desired(whole);
        if !unreadable.is_empty() {
            desired.completeness = Completeness::Partial;
            desired
                .deployments
                .retain(|_, declared| !unreadable.contains_key(&declared.spec.model));
            desired
                .trainings
                .retain(|_, declared| !unreadable.contains_key(&declared.spec.model));
        }
        Ok(Decidable {
            desired,
            observed: part.observed(&view.observed),
            unreadable,
        })
    }
}
