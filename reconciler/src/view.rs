//! What a pass knows: the objects and the registry as last seen, kept up to date by what changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use crds::MLEnvironmentStatus;
use planner::desired::Desired;
use planner::names::ModelName;
use planner::object::{Kind, ObjectId};
use planner::observed::{Observed, ObservedModel};
use planner::part::{Links, Side};

use crate::clock::Newest;
use crate::objects::{Changes, Mark, ObservedObject};

/// The whole environment as last seen, and what in it hangs together.
#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) observed: Observed,
    pub(crate) links: Links,
    /// The report that was last written.
    pub(crate) report: MLEnvironmentStatus,
    /// Where the next look at the objects goes on.
    pub(crate) mark: Option<Mark>,
    /// What the clock is held against.
    pub(crate) newest: Newest,
}

impl View {
    /// Takes in what changed among the objects; adds the models that it touches to `touched`.
    pub(crate) fn update(&mut self, changes: Changes, touched: &mut BTreeSet<ModelName>) {
        let Changes {
            mark,
            is_complete,
            objects,
            gone,
            report,
        } = changes;
        self.mark = Some(mark);
        if let Some(report) = report {
            drop(self.reported(*report));
        }
        if is_complete {
            let there: BTreeSet<ObjectId> = objects.iter().map(ObservedObject::id).collect();
            let deployments = self.observed.deployments.keys().map(ObjectId::deployment);
            let trainings = self.observed.trainings.keys().map(ObjectId::training);
            let known: Vec<ObjectId> = deployments.chain(trainings).collect();
            for id in known.iter().filter(|id| !there.contains(id)) {
                self.remove(id, touched);
            }
        }
        for id in gone {
            self.remove(&id, touched);
        }
        for object in objects {
            self.links
                .set(Side::Observed, &object.id(), object.model(), touched);
            match object {
                ObservedObject::Environment(environment) => self.observed.environment = Some(environment),
                ObservedObject::Deployment(name, found) => {
                    drop(self.observed.deployments.insert(name, found));
                }
                ObservedObject::Training(name, found) => {
                    self.newest.record = self.newest.record.max(found.recorded_at);
                    drop(self.observed.trainings.insert(name, found));
                }
            }
        }
    }

    /// Takes in what a commit declares of these manifests.
    pub(crate) fn declare(
        &mut self,
        desired: Option<&Desired>,
        ids: impl IntoIterator<Item = ObjectId>,
        touched: &mut BTreeSet<ModelName>,
    ) {
        for id in ids {
            let declared = match id.kind {
                Kind::Environment => continue,
                Kind::Deployment => desired
                    .and_then(|desired| desired.deployments.get(&id.name))
                    .map(|declared| (&declared.spec.model, declared.committed_at)),
                Kind::Training => desired
                    .and_then(|desired| desired.trainings.get(&id.name))
                    .map(|declared| (&declared.spec.model, declared.committed_at)),
            };
            let model = declared.map(|(model, _)| model);
            self.newest.commit = self.newest.commit.max(declared.map(|(_, at)| at));
            self.links.set(Side::Declared, &id, model, touched);
        }
    }

    /// Takes in what was reported; returns what was before.
    pub(crate) fn reported(&mut self, report: MLEnvironmentStatus) -> MLEnvironmentStatus {
        let passes = report.history.iter().map(|pass| pass.at);
        self.newest.record = self.newest.record.into_iter().chain(passes).max();
        std::mem::replace(&mut self.report, report)
    }

    /// Takes in what the registry holds of a model.
    pub(crate) fn register(&mut self, model: &ModelName, found: Arc<ObservedModel>) {
        self.observed.models.insert(model.clone(), found);
    }

    fn remove(&mut self, id: &ObjectId, touched: &mut BTreeSet<ModelName>) {
        self.links.set(Side::Observed, id, None, touched);
        // Its name may have been waited for.
        touched.extend(self.links.models_of(id).cloned());
        match id.kind {
            // The environment stays what it was: the last good one goes on.
            Kind::Environment => {}
            Kind::Deployment => drop(self.observed.deployments.remove(&id.name)),
            Kind::Training => drop(self.observed.trainings.remove(&id.name)),
        }
    }
}
