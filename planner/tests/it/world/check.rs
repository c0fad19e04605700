//! What every plan must be.

use planner::desired::{Completeness, Declared, Desired};
use planner::finding::Reason;
use planner::names::ModelName;
use planner::observed::{Observed, ObservedVersion};
use planner::plan::{Action, Plan, Waiting, plan};

use super::World;
use crate::support::version;

impl World {
    /// Asserts what must hold of every plan.
    pub(super) fn check_plan(&self, plan: &Plan, seen: &Observed) {
        let refused = plan
            .findings
            .iter()
            .any(|finding| finding.reason == Reason::RemovalRefused);
        for action in &plan.actions {
            match action {
                Action::MoveAlias { model, to, .. } => {
                    let known = seen.models[model].versions.get(&to.version);
                    let is_sound =
                        matches!(known, Some(ObservedVersion::Sound { digest, .. }) if *digest == to.digest);
                    assert!(is_sound, "an alias on what does not verify:\n{plan}");
                }
                Action::DeleteDeployment { name } => {
                    assert!(!self.head.deployments.contains_key(name), "{plan}");
                    assert_eq!(self.head.completeness, Completeness::Complete, "{plan}");
                    let model = &seen.deployments[name].object.spec.model;
                    let is_renamed = self
                        .head
                        .deployments
                        .values()
                        .any(|declared| declared.spec.model == *model);
                    assert!(is_renamed || !refused, "{plan}");
                }
                Action::DeleteTraining { name } => {
                    assert!(!self.head.trainings.contains_key(name), "{plan}");
                    assert_eq!(self.head.completeness, Completeness::Complete, "{plan}");
                    assert!(!refused, "{plan}");
                }
                Action::PutDeployment { object, from, .. } => {
                    let spec = &object.spec;
                    if let Some(canary) = &spec.canary {
                        assert_ne!(canary.pin.digest, spec.stable.digest, "{plan}");
                        let old = from.as_ref().and_then(|from| from.spec.canary.as_ref());
                        let declared = self
                            .head
                            .deployments
                            .values()
                            .find(|d| d.spec.model == spec.model);
                        let declared = declared.and_then(|declared| declared.spec.canary.as_ref());
                        let was = old.filter(|old| old.pin == canary.pin).map(|old| old.weight);
                        let may = declared.map(|declared| declared.weight);
                        assert!(
                            was.max(may) >= Some(canary.weight),
                            "a weight that nobody declared:\n{plan}"
                        );
                    }
                }
                Action::PutEnvironment(_)
                | Action::StageDataset { .. }
                | Action::PutTraining { .. }
                | Action::RemoveAlias { .. }
                | Action::RecordAbort { .. } => {}
            }
        }
        self.check_isolation(plan, seen);
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
                    Action::PutDeployment { name, .. } | Action::DeleteDeployment { name } => {
                        model_of(name).iter().all(is_other)
                    }
                    Action::MoveAlias { model, .. }
                    | Action::RemoveAlias { model, .. }
                    | Action::RecordAbort { model, .. } => is_other(model),
                    Action::PutTraining { .. }
                    | Action::DeleteTraining { .. }
                    | Action::StageDataset { .. }
                    | Action::PutEnvironment(_) => true,
                });
                let waiting = plan.waiting.iter().filter(|waiting| match waiting {
                    Waiting::ForVersion { deployment, .. }
                    | Waiting::ForTrack { deployment, .. }
                    | Waiting::ForModel { deployment, .. } => model_of(deployment).iter().all(is_other),
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
