//! What hangs together in an environment, so that a pass over ten thousand models that changes one decides about one.
//!
//! Models hang together where manifests and objects cross: an object that serves one model and is declared to serve
//! another joins the two. A part is everything of such models. What no manifest declares, objects and models, belongs to
//! every part: how much may go at once is judged over the whole.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::Desired;
use crate::names::{ModelName, ObjectName};
use crate::object::{Kind, ObjectId};
use crate::observed::Observed;
use crate::plan::stand_in;

/// Which model each manifest and each object is about. Kept up to date by whoever changes one side.
#[derive(Debug, Clone, Default)]
pub struct Links {
    declared: BTreeMap<ObjectId, ModelName>,
    observed: BTreeMap<ObjectId, ModelName>,
    of_model: BTreeMap<ModelName, BTreeSet<ObjectId>>,
    undeclared: BTreeSet<ObjectId>,
    /// The models that an MLDeployment object serves and no manifest declares.
    left: BTreeSet<ModelName>,
}

/// Which side of a plan says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A manifest.
    Declared,
    /// An object.
    Observed,
}

/// Everything that is decided together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// The models.
    pub models: BTreeSet<ModelName>,
    /// The manifests and objects.
    pub ids: BTreeSet<ObjectId>,
}

impl Links {
    /// Says which model a manifest or an object is about now, `None` where it is gone. Adds the models that it touches,
    /// before and after, to `touched`.
    pub fn set(
        &mut self,
        side: Side,
        id: &ObjectId,
        model: Option<&ModelName>,
        touched: &mut BTreeSet<ModelName>,
    ) {
        let (this, other) = match side {
            Side::Declared => (&mut self.declared, &self.observed),
            Side::Observed => (&mut self.observed, &self.declared),
        };
        let before = match model {
            Some(model) => this.insert(id.clone(), model.clone()),
            None => this.remove(id),
        };
        touched.extend(model.cloned());
        if let Some(before) = before.filter(|before| Some(before) != model) {
            if other.get(id) != Some(&before)
                && let Some(ids) = self.of_model.get_mut(&before)
            {
                ids.remove(id);
                if ids.is_empty() {
                    self.of_model.remove(&before);
                }
            }
            self.judge_left(id, &before);
            touched.insert(before);
        }
        if let Some(model) = model {
            self.of_model.entry(model.clone()).or_default().insert(id.clone());
            self.judge_left(id, model);
        }
        if self.observed.contains_key(id) && !self.declared.contains_key(id) {
            self.undeclared.insert(id.clone());
        } else {
            self.undeclared.remove(id);
        }
    }

    /// Says anew whether a model is left, after a change of this manifest or object.
    fn judge_left(&mut self, changed: &ObjectId, model: &ModelName) {
        if changed.kind != Kind::Deployment {
            return;
        }
        let is_of = |side: &BTreeMap<ObjectId, ModelName>| {
            let mut ids = self.ids(model);
            ids.any(|id| id.kind == Kind::Deployment && side.get(id) == Some(model))
        };
        if is_of(&self.observed) && !is_of(&self.declared) {
            self.left.insert(model.clone());
        } else {
            self.left.remove(model);
        }
    }

    /// Returns every model that a manifest or an object is about.
    pub fn models(&self) -> impl Iterator<Item = &ModelName> {
        self.of_model.keys()
    }

    /// Returns the models after `last`, at most `count` of them, and then those from the beginning: for looking at all
    /// of them in turns.
    pub fn models_after(&self, last: Option<&ModelName>, count: usize) -> Vec<ModelName> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let Some(last) = last else {
            return self.of_model.keys().take(count).cloned().collect();
        };
        let after = self.of_model.range::<ModelName, _>((Excluded(last), Unbounded));
        let before = self.of_model.range::<ModelName, _>((Unbounded, Included(last)));
        let turn = after.chain(before).map(|(model, _)| model);
        turn.take(count).cloned().collect()
    }

    /// Returns the ids of a model.
    pub fn ids(&self, model: &ModelName) -> impl Iterator<Item = &ObjectId> {
        self.of_model.get(model).into_iter().flatten()
    }

    /// Returns the models that a manifest, and its object, are about.
    pub fn models_of(&self, id: &ObjectId) -> impl Iterator<Item = &ModelName> {
        self.declared.get(id).into_iter().chain(self.observed.get(id))
    }

    /// Returns every manifest that is declared.
    pub fn declared(&self) -> impl Iterator<Item = &ObjectId> {
        self.declared.keys()
    }

    /// Returns what must be decided about together where these models are touched.
    pub fn part(&self, touched: &BTreeSet<ModelName>) -> Part {
        let mut part = Part::default();
        let undeclared = self.undeclared.iter().filter_map(|id| self.observed.get(id));
        let mut open: Vec<&ModelName> = touched.iter().chain(undeclared).chain(&self.left).collect();
        while let Some(model) = open.pop() {
            if !part.models.insert(model.clone()) {
                continue;
            }
            for id in self.ids(model) {
                if part.ids.insert(id.clone()) {
                    open.extend(self.declared.get(id));
                    open.extend(self.observed.get(id));
                }
            }
            open.extend(self.in_the_way(model));
        }
        part
    }

    /// Returns the models of whatever has a name that the model's stand-in would have.
    fn in_the_way(&self, model: &ModelName) -> Vec<&ModelName> {
        let mut models = Vec::new();
        for name in stand_in::names(model) {
            let id = ObjectId::deployment(&name);
            let before = models.len();
            models.extend(self.models_of(&id));
            if models.len() == before {
                break;
            }
        }
        models
    }
}

impl Part {
    /// Returns the part's manifests.
    pub fn desired(&self, whole: &Desired) -> Desired {
        Desired {
            revision: whole.revision.clone(),
            environment: whole.environment.clone(),
            completeness: whole.completeness,
            deployments: pick(self.names(Kind::Deployment), &whole.deployments),
            trainings: pick(self.names(Kind::Training), &whole.trainings),
            allowed: whole.allowed.clone(),
            overrides: BTreeMap::new(),
            promoted: BTreeMap::new(),
        }
    }

    /// Returns the part's objects, and what the registry holds of its models.
    pub fn observed(&self, whole: &Observed) -> Observed {
        let deployments = pick(self.names(Kind::Deployment), &whole.deployments);
        let trainings = pick(self.names(Kind::Training), &whole.trainings);
        let objects = whole.deployments.len() + whole.elsewhere;
        Observed {
            environment: whole.environment.clone(),
            models: pick(self.models.iter(), &whole.models),
            datasets: whole.datasets.clone(),
            elsewhere: objects - deployments.len(),
            facts: BTreeMap::new(),
            imports: BTreeMap::new(),
            policy: whole.policy,
            signers: BTreeMap::new(),
            deployments,
            trainings,
        }
    }

    fn names(&self, kind: Kind) -> impl Iterator<Item = &ObjectName> {
        self.ids
            .iter()
            .filter(move |id| id.kind == kind)
            .map(|id| &id.name)
    }
}

fn pick<'a, K: Ord + Clone + 'a, V: Clone>(
    keys: impl Iterator<Item = &'a K>,
    whole: &BTreeMap<K, V>,
) -> BTreeMap<K, V> {
    keys.filter_map(|key| Some((key.clone(), whole.get(key)?.clone())))
        .collect()
}
