//! What every plan must be.

use std::collections::{BTreeMap, BTreeSet};

use planner::desired::{Completeness, Declared, Desired};
use planner::finding::Subject;
use planner::names::{ModelName, ObjectName};
use planner::object::{Kind, ObjectId};
use planner::observed::{DeploymentObject, Observed, ObservedDeployment, ObservedVersion};
use planner::part::{Links, Side};
use planner::plan::{Action, Plan, Waiting, plan};

use super::{World, objects_of};
use crate::support::version;

impl World {
    /// Asserts what must hold of every plan.
    pub(super) fn check_plan(&self, plan: &Plan, seen: &Observed) {
        for action in &plan.actions {
            match action {
                Action::MoveAlias { model, to, .. } => {
                    let known = seen.models[model].versions.get(&to.version);
                    let is_sound =
                        matches!(known, Some(ObservedVersion::Sound { digest, .. }) if *digest == to.digest);
                    assert!(is_sound, "an alias on what does not verify:\n{plan}");
                }
                Action::DeleteDeployment { name, model } => {
                    // What is declared goes only where another manifest has its model and its own has none yet.
                    let is_declared = self.head.deployments.contains_key(name);
                    let mut declared = self.head.deployments.values();
                    let is_renamed = declared.any(|declared| declared.spec.model == *model);
                    assert!(is_renamed || !is_declared, "{plan}");
                    let is_complete = self.head.completeness == Completeness::Complete;
                    assert!(
                        is_complete || is_declared || !seen.deployments.contains_key(name),
                        "{plan}"
                    );
                }
                Action::DeleteTraining { name } => {
                    assert!(!self.head.trainings.contains_key(name), "{plan}");
                    assert_eq!(self.head.completeness, Completeness::Complete, "{plan}");
                }
                Action::PutDeployment { name, object, .. } => self.check_put(plan, name, object, seen),
                Action::PutEnvironment(_)
                | Action::StageDataset { .. }
                | Action::Import(_)
                | Action::PutTraining { .. }
                | Action::RemoveAlias { .. }
                | Action::RecordAbort { .. } => {}
            }
        }
        self.check_prefixes(plan, seen);
        self.check_isolation(plan, seen);
        self.check_parts(plan, seen);
    }

    /// Wherever a plan is cut off, each declared model that has an object still has one; and of those that are not
    /// declared any more, the whole of it removes one: two are more than 20 percent of three.
    fn check_prefixes(&self, plan: &Plan, seen: &Observed) {
        let model_of = |(name, found): (&ObjectName, &ObservedDeployment)| {
            (name.clone(), found.object.spec.model.clone())
        };
        let mut models: BTreeMap<ObjectName, ModelName> = seen.deployments.iter().map(model_of).collect();
        let before: BTreeSet<ModelName> = models.values().cloned().collect();
        let declared = self.head.deployments.values();
        let declared: BTreeSet<&ModelName> = declared.map(|declared| &declared.spec.model).collect();
        let kept: Vec<&ModelName> = before.iter().filter(|model| declared.contains(model)).collect();
        for action in &plan.actions {
            match action {
                Action::PutDeployment { name, object, .. } => {
                    models.insert(name.clone(), object.spec.model.clone());
                }
                Action::DeleteDeployment { name, model } => {
                    assert_eq!(models.remove(name).as_ref(), Some(model), "{plan}");
                }
                _ => {}
            }
            let now: BTreeSet<&ModelName> = models.values().collect();
            for model in &kept {
                assert!(
                    now.contains(model),
                    "{model} is without an object after {action}:\n{plan}"
                );
            }
        }
        let now: BTreeSet<ModelName> = models.values().cloned().collect();
        assert!(
            before.difference(&now).count() <= 1,
            "more is removed than is allowed:\n{plan}"
        );
        let is_complete = self.head.completeness == Completeness::Complete;
        assert!(
            is_complete || before.is_subset(&now),
            "missing information removes:\n{plan}"
        );
    }

    /// A finding leaves the model's pins as they are, and so does a suspension; without either, Git's weight is the
    /// most. A stand-in is what it stands in for.
    fn check_put(&self, plan: &Plan, name: &ObjectName, object: &DeploymentObject, seen: &Observed) {
        let pins = |object: &DeploymentObject| (object.spec.stable.clone(), object.spec.canary.clone());
        let known: Vec<_> = objects_of(seen, &object.spec.model)
            .iter()
            .map(|name| pins(&seen.deployments[name].object))
            .collect();
        let declared = self.head.deployments.get(name).map(|declared| &declared.spec);
        let Some(declared) = declared.filter(|declared| declared.model == object.spec.model) else {
            assert!(known.contains(&pins(object)), "{plan}");
            return;
        };
        let subject = Subject::from(ObjectId::deployment(name));
        let is_stopped = plan.findings.iter().any(|finding| finding.subject == subject);
        if is_stopped || declared.suspend.is_some() {
            assert!(known.contains(&pins(object)), "{plan}");
            return;
        }
        if let Some(canary) = &object.spec.canary {
            assert_ne!(canary.pin.digest, object.spec.stable.digest, "{plan}");
            let most = declared.canary.as_ref().map(|canary| canary.weight);
            assert!(
                Some(canary.weight) <= most,
                "a weight that nobody declared:\n{plan}"
            );
        }
    }

    /// A plan of what hangs together with one model says of that what the plan of the whole does.
    fn check_parts(&self, whole: &Plan, seen: &Observed) {
        let mut links = Links::default();
        let mut all = BTreeSet::new();
        for (name, declared) in &self.head.deployments {
            let id = ObjectId::deployment(name);
            links.set(Side::Declared, &id, Some(&declared.spec.model), &mut all);
        }
        for (name, declared) in &self.head.trainings {
            let id = ObjectId::training(name);
            links.set(Side::Declared, &id, Some(&declared.spec.model), &mut all);
        }
        for (name, found) in &seen.deployments {
            let id = ObjectId::deployment(name);
            links.set(Side::Observed, &id, Some(&found.object.spec.model), &mut all);
        }
        for (name, found) in &seen.trainings {
            let id = ObjectId::training(name);
            links.set(Side::Observed, &id, Some(&found.object.spec.model), &mut all);
        }
        for model in all {
            let part = links.part(&BTreeSet::from([model.clone()]));
            let planned = plan(&part.desired(&self.head), &part.observed(seen), self.now);
            let is_in = |id: ObjectId| part.ids.contains(&id);
            let is_about = |action: &&Action| match action {
                Action::PutEnvironment(_) => true,
                Action::PutDeployment { name, object, .. } => {
                    is_in(ObjectId::deployment(name)) || part.models.contains(&object.spec.model)
                }
                Action::DeleteDeployment { name, model } => {
                    is_in(ObjectId::deployment(name)) || part.models.contains(model)
                }
                Action::StageDataset { job: name, .. }
                | Action::PutTraining { name, .. }
                | Action::DeleteTraining { name } => is_in(ObjectId::training(name)),
                Action::MoveAlias { model, .. }
                | Action::RemoveAlias { model, .. }
                | Action::RecordAbort { model, .. } => part.models.contains(model),
                Action::Import(wanted) => part.models.contains(&wanted.model),
            };
            let waiting = whole.waiting.iter();
            let waiting = waiting.filter(|waiting| is_in(ObjectId::deployment(waiting.deployment())));
            let findings = whole.findings.iter();
            let findings = findings.filter(|finding| {
                finding
                    .subject
                    .object()
                    .is_none_or(|id| id.kind == Kind::Environment || part.ids.contains(id))
            });
            let expected = Plan {
                actions: whole.actions.iter().filter(is_about).cloned().collect(),
                waiting: waiting.cloned().collect(),
                findings: findings.cloned().collect(),
                held: whole.held.iter().filter(is_about).cloned().collect(),
            };
            assert_eq!(
                planned, expected,
                "the part of {model}:\n{planned}\nof the whole:\n{whole}"
            );
        }
    }

    /// One bad model never changes another's plan.
    fn check_isolation(&self, before: &Plan, seen: &Observed) {
        for (bad_name, declared) in &self.head.deployments {
            let mut desired: Desired = self.head.clone();
            let mut bad: Declared<_> = declared.clone();
            bad.spec.stable.version = version(28);
            bad.spec.stable.digest = None;
            // What its object serves so far is its own as well.
            let serves = seen
                .deployments
                .get(bad_name)
                .map(|seen| seen.object.spec.model.clone());
            let bad_models = [Some(bad.spec.model.clone()), serves];
            desired.deployments.insert(bad_name.clone(), bad);
            let after = plan(&desired, seen, self.now);
            let is_other = |model: &ModelName| !bad_models.contains(&Some(model.clone()));
            let about = |plan: &Plan| -> Vec<String> {
                let model_of = |name| {
                    let declared = self
                        .head
                        .deployments
                        .get(name)
                        .map(|declared| declared.spec.model.clone());
                    let seen = seen
                        .deployments
                        .get(name)
                        .map(|seen| seen.object.spec.model.clone());
                    [declared, seen].into_iter().flatten().collect::<Vec<_>>()
                };
                let actions = plan.actions.iter().filter(|action| match action {
                    Action::PutDeployment { name, object, .. } => {
                        model_of(name).iter().all(is_other) && is_other(&object.spec.model)
                    }
                    Action::DeleteDeployment { name, model } => {
                        model_of(name).iter().all(is_other) && is_other(model)
                    }
                    Action::MoveAlias { model, .. }
                    | Action::RemoveAlias { model, .. }
                    | Action::RecordAbort { model, .. } => is_other(model),
                    Action::Import(wanted) => is_other(&wanted.model),
                    Action::PutTraining { object, .. } => is_other(&object.spec.model),
                    Action::DeleteTraining { .. }
                    | Action::StageDataset { .. }
                    | Action::PutEnvironment(_) => true,
                });
                let waiting = plan.waiting.iter().filter(|waiting| match waiting {
                    Waiting::ForVersion { deployment, .. }
                    | Waiting::ForImport { deployment, .. }
                    | Waiting::ForTrack { deployment, .. }
                    | Waiting::ForTime { deployment, .. }
                    | Waiting::ForModel { deployment, .. }
                    | Waiting::ToLeave { deployment, .. } => model_of(deployment).iter().all(is_other),
                });
                actions
                    .map(ToString::to_string)
                    .chain(waiting.map(ToString::to_string))
                    .collect()
            };
            assert_eq!(
                about(&after),
                about(before),
                "a bad {bad_name} changes the plan of others"
            );
        }
    }
}
