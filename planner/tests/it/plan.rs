//! Plans, rendered as a reviewer reads them.

mod aborts;
mod dating;
mod engines;
mod exchanges;
mod held;
mod imports;
mod pins;
mod removals;
mod signed_imports;
mod tracks;
mod trainings;

use std::sync::Arc;

use expect_test::Expect;
use planner::deployment::DeclaredDeployment;
use planner::desired::Desired;
use planner::identity::inputs_hash;
use planner::imports::{Import, Wanted};
use planner::names::{Digest, Track};
use planner::observed::{
    Observed, ObservedAlias, ObservedDeployment, ObservedModel, ObservedTraining, ObservedVersion,
};
use planner::per_track::PerTrack;
use planner::plan::{Action, Plan, plan};
use planner::rollout::{State, Status};
use planner::runs::Phase;
use planner::training::Training;

use crate::support::{
    declared, declared_deployment, desired, digest, environment, model, object, revision, time, version,
    weight,
};

/// A desired and an observed state, built up and taken through passes.
struct Case {
    desired: Desired,
    observed: Observed,
}

impl Case {
    /// An environment at revision 1 whose registry holds versions 1 to `versions` of model `m`.
    fn new(versions: u32) -> Self {
        let mut case = Self {
            desired: desired(1),
            observed: Observed {
                environment: Some(environment()),
                ..Observed::default()
            },
        };
        case.observed.models.insert(model("m"), Arc::default());
        for n in 1..=versions {
            case.publish("m", n, None);
        }
        case
    }

    fn model(&mut self, name: &str) -> &mut ObservedModel {
        Arc::make_mut(self.observed.models.entry(model(name)).or_default())
    }

    fn publish(&mut self, name: &str, n: u32, inputs: Option<Digest>) {
        let sound = ObservedVersion::Sound {
            digest: digest(n),
            inputs,
            engine: planner::engine::Engine::Aurora,
        };
        self.model(name).versions.insert(version(n), sound);
    }

    /// Commit `n`: MLDeployment `m` of model `m` becomes this.
    fn commit(&mut self, n: u64, stable: u32, canary: Option<(u32, u64)>) {
        self.commit_deployment(n, "m", declared_deployment("m", stable, canary));
    }

    fn commit_deployment(&mut self, n: u64, name: &str, spec: DeclaredDeployment) {
        self.desired.revision = revision(n);
        self.desired
            .deployments
            .insert(object(name), declared(name, spec, n));
    }

    fn commit_training(&mut self, n: u64, name: &str, spec: Training) {
        self.desired.revision = revision(n);
        let file = format!("train-{name}");
        self.desired
            .trainings
            .insert(object(name), declared(&file, spec, n));
    }

    fn plan(&self) -> Plan {
        plan(&self.desired, &self.observed, time(0))
    }

    /// Shows the plan.
    #[track_caller]
    fn check(&self, expected: &Expect) {
        expected.assert_eq(&self.plan().to_string());
    }

    /// Shows the plan and applies it.
    #[track_caller]
    fn apply(&mut self, expected: &Expect) {
        self.check(expected);
        for action in self.plan().actions {
            self.act(action);
        }
    }

    /// Applies the plan, and lets tracks and aliases follow until nothing is left to do.
    fn converge(&mut self) -> &mut Self {
        for _ in 0..5 {
            let actions = self.plan().actions;
            if actions.is_empty() {
                return self;
            }
            for action in actions {
                self.act(action);
            }
            self.serve();
        }
        panic!("no rest: {}", self.plan());
    }

    /// Applies the plan; no track follows.
    fn converge_objects(&mut self) {
        for action in self.plan().actions {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::PutEnvironment(environment) => self.observed.environment = Some(*environment),
            Action::StageDataset { sha256, .. } => {
                Arc::make_mut(&mut self.observed.datasets).insert(sha256);
            }
            Action::Import(wanted) => {
                let Wanted { model, version, .. } = (*wanted).clone();
                let import = Import {
                    wanted: *wanted,
                    fault: None,
                };
                self.observed
                    .imports
                    .entry(model)
                    .or_default()
                    .insert(version, import);
            }
            Action::PutTraining { name, object, .. } => {
                let old = self.observed.trainings.remove(&name);
                let phase = old.and_then(|old| old.phase);
                self.observed.trainings.insert(
                    name,
                    ObservedTraining {
                        object: *object,
                        phase,
                        recorded_at: None,
                    },
                );
            }
            Action::PutDeployment { name, object, .. } => {
                let old = self.observed.deployments.remove(&name);
                let written = ObservedDeployment::written(old, *object);
                self.observed.deployments.insert(name, written);
            }
            Action::MoveAlias { model, track, to, .. } => {
                let model = Arc::make_mut(self.observed.models.entry(model).or_default());
                model.aliases.insert(track, ObservedAlias::To(to.version.clone()));
                model.recorded.insert(track, to.version.clone());
                model.history_digests.insert(to.version, to.digest);
                if track == Track::Canary {
                    model.aborted.clear();
                }
            }
            Action::RemoveAlias { model, track, .. } => {
                let model = Arc::make_mut(self.observed.models.entry(model).or_default());
                model.aliases.remove(&track);
                model.recorded.remove(&track);
                if track == Track::Canary {
                    model.aborted.clear();
                }
            }
            Action::RecordAbort { model, digest, .. } => {
                let model = Arc::make_mut(self.observed.models.entry(model).or_default());
                model.aborted.insert(digest);
            }
            Action::DeleteDeployment { name, .. } => {
                self.observed.deployments.remove(&name);
            }
            Action::DeleteTraining { name } => {
                self.observed.trainings.remove(&name);
            }
        }
    }

    /// Every track serves its pin.
    fn serve(&mut self) {
        for deployment in self.observed.deployments.values_mut() {
            let spec = &deployment.object.spec;
            let canary = spec.canary.as_ref();
            let mut status = status(State::Idle);
            status.serving = PerTrack {
                stable: Some(spec.stable.clone()),
                canary: canary.map(|canary| canary.pin.clone()),
            };
            status.weight = canary.map_or(weight(0), |canary| canary.weight);
            deployment.status = Some(status);
        }
    }

    fn deployment(&mut self) -> &mut ObservedDeployment {
        self.observed.deployments.get_mut(&object("m")).unwrap()
    }
}

fn status(state: State) -> Status {
    Status {
        state,
        since: time(0),
        serving: PerTrack::default(),
        weight: weight(0),
        routed_at: None,
        lost: None,
        thinned: None,
        paused: None,
        ceiling: None,
        frozen: None,
        retry: PerTrack::default(),
        history: Vec::new(),
    }
}

/// Stable v1, and a canary if one is given, applied and serving since commit 1.
fn serving(versions: u32, canary: Option<(u32, u64)>) -> Case {
    let mut case = Case::new(versions);
    case.commit(1, 1, canary);
    case.converge();
    case
}
