//! What hangs on a model, looked up instead of searched for.

use std::collections::BTreeMap;

use crate::desired::{Declared, Desired};
use crate::names::{ModelName, ObjectName, Version};
use crate::observed::{Observed, ObservedDeployment};
use crate::training::Training;

/// Both sides of a plan by model.
pub(super) struct Index<'a> {
    /// The manifest that declares each model's deployment, and its stable version.
    declared: BTreeMap<&'a ModelName, (&'a ObjectName, &'a Version)>,
    /// The objects that serve each model, in the order of their names.
    objects: BTreeMap<&'a ModelName, Vec<(&'a ObjectName, &'a ObservedDeployment)>>,
    /// The manifests that make each model's versions, in the order of their names.
    jobs: BTreeMap<&'a ModelName, Vec<(&'a ObjectName, &'a Declared<Training>)>>,
}

impl<'a> Index<'a> {
    pub(super) fn new(desired: &'a Desired, observed: &'a Observed) -> Self {
        let declared = desired.deployments.iter();
        let declared = declared.map(|(name, declared)| {
            let spec = &declared.spec;
            (&spec.model, (name, &spec.stable.version))
        });
        let mut objects: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (name, found) in &observed.deployments {
            objects
                .entry(&found.object.spec.model)
                .or_default()
                .push((name, found));
        }
        let mut jobs: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (name, job) in &desired.trainings {
            jobs.entry(&job.spec.model).or_default().push((name, job));
        }
        Self {
            declared: declared.collect(),
            objects,
            jobs,
        }
    }

    /// Says whether a manifest declares that the model is served.
    pub(super) fn is_declared(&self, model: &ModelName) -> bool {
        self.declared.contains_key(model)
    }

    /// Returns the version that Git pins as the model's stable.
    pub(super) fn baseline(&self, model: &ModelName) -> Option<&'a Version> {
        self.declared.get(model).map(|(_, version)| *version)
    }

    /// Returns the object whose tracks the model has: of several the last, as [`crate::rollout::owner`] says.
    pub(super) fn owner(&self, model: &ModelName) -> Option<&'a ObjectName> {
        let (name, _) = self.objects.get(model)?.last()?;
        Some(name)
    }

    /// Returns the object other than `name` that serves the model: of several the last.
    pub(super) fn holder(
        &self,
        model: &ModelName,
        name: &ObjectName,
    ) -> Option<(&'a ObjectName, &'a ObservedDeployment)> {
        let objects = self.objects.get(model)?;
        objects.iter().rfind(|(other, _)| *other != name).copied()
    }

    /// Returns every object that serves the model, in the order of their names.
    pub(super) fn holders(&self, model: &ModelName) -> &[(&'a ObjectName, &'a ObservedDeployment)] {
        self.objects.get(model).map_or(&[], Vec::as_slice)
    }

    /// Returns the models that objects serve, in order.
    pub(super) fn served(&self) -> impl Iterator<Item = &'a ModelName> {
        self.objects.keys().copied()
    }

    /// Returns the manifests that make the model's versions.
    pub(super) fn jobs(&self, model: &ModelName) -> &[(&'a ObjectName, &'a Declared<Training>)] {
        self.jobs.get(model).map_or(&[], Vec::as_slice)
    }
}
