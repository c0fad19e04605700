//! What happens to the world, and passes of the reconciler.

use planner::desired::{Completeness, Declared, Desired};
use planner::finding::Reason;
use planner::names::{ModelName, Track};
use planner::observed::{Observed, ObservedAlias, ObservedDeployment, ObservedTraining, ObservedVersion};
use planner::plan::{Action, Plan, Waiting, plan};
use planner::training::RunPolicy;

use super::machine::{Event, Pinned};
use super::{MODELS, World, job, name, objects_of, sound};
use crate::support::{declared, declared_deployment, digest, model, revision, training, version};

impl World {
    pub(super) fn happen(&mut self, event: &Event) {
        match *event {
            Event::Commit {
                name: index,
                model: of,
                stable,
                canary,
                suspend,
                digest: pinned,
            } => {
                let mut spec = declared_deployment(MODELS[of], stable, canary);
                spec.suspend = suspend.then(|| "audit".to_owned());
                spec.stable.digest = match pinned {
                    Pinned::None => None,
                    Pinned::Right => Some(digest(stable)),
                    Pinned::Wrong => Some(digest(99)),
                };
                // Two manifests for one model never get here: they are a finding of the parser.
                self.head
                    .deployments
                    .retain(|other, old| old.spec.model != spec.model || *other == name(index));
                self.commit();
                let n = self.commits;
                let manifest = declared("a", spec, n);
                let entry = self
                    .head
                    .deployments
                    .entry(name(index))
                    .or_insert_with(|| manifest.clone());
                if entry.spec != manifest.spec {
                    *entry = manifest;
                }
            }
            Event::Remove { name: index } => {
                self.commit();
                self.head.deployments.remove(&name(index));
            }
            Event::CommitTraining {
                job: index,
                model: of,
                makes,
                seed,
            } => {
                self.commit();
                let n = self.commits;
                self.head.trainings.remove(&job(index));
                if let Some(makes) = makes {
                    let mut spec = training(MODELS[of], RunPolicy::Fixed(version(makes)));
                    spec.seed = seed;
                    self.head.trainings.insert(job(index), declared("t", spec, n));
                }
            }
            Event::Completeness(completeness) => self.head.completeness = completeness,
            Event::SuspendEnvironment(is_suspended) => {
                self.commit();
                self.head.environment.suspend = is_suspended.then(|| "freeze".to_owned());
            }
            Event::Pass { is_stale, cut, lost } => self.pass(is_stale, cut, lost),
            Event::Observe => self.stale = self.truth.clone(),
            Event::Operate { model: of } => self.operate(&model(MODELS[of])),
            Event::Load { model: of, track } => self.load(&model(MODELS[of]), track),
            Event::LoseCanary { model: of } => self.slots.get_mut(&model(MODELS[of])).unwrap().lose_canary(),
            Event::Restart => self.restart(),
            Event::LoseStatus { name: index } => {
                if let Some(deployment) = self.truth.deployments.get_mut(&name(index)) {
                    deployment.status = None;
                }
            }
            Event::LoseObject { name: index } => {
                self.truth.deployments.remove(&name(index));
            }
            Event::Train => {
                self.train();
            }
            Event::EndRuns(ending) => self.end_runs(ending),
            Event::Damage {
                model: of,
                version: n,
                is_damaged,
            } => {
                let versions = &mut self.registered(&model(MODELS[of])).versions;
                let known = versions.get_mut(&version(n));
                match (known, is_damaged) {
                    (Some(known), true) => {
                        *known = ObservedVersion::Damaged("checksums do not match".to_owned())
                    }
                    (Some(known @ ObservedVersion::Damaged(_)), false) => *known = sound(n, None),
                    (Some(ObservedVersion::Sound { .. }) | None, _) => {}
                }
            }
            Event::Unloadable {
                model: of,
                version: n,
                is_so,
            } => {
                let key = (model(MODELS[of]), version(n));
                if is_so {
                    self.unloadable.insert(key);
                } else {
                    self.unloadable.remove(&key);
                }
            }
            Event::Tamper { model: of, track, to } => {
                let aliases = &mut self.registered(&model(MODELS[of])).aliases;
                match to {
                    Some(n) => aliases.insert(track, ObservedAlias::To(version(n))),
                    None => aliases.remove(&track),
                };
            }
            Event::Abort { model: of } => self.abort(&model(MODELS[of])),
            Event::Pause { model: of, is_paused } => {
                let commands = self.commands.get_mut(&model(MODELS[of])).unwrap();
                commands.paused = is_paused.then(|| "ann: lunch".to_owned());
            }
            Event::Wait(seconds) => self.now += chrono::Duration::seconds(seconds),
            Event::Settle => self.settle(),
        }
    }

    fn commit(&mut self) {
        self.commits += 1;
        self.head.revision = revision(self.commits);
    }

    fn pass(&mut self, is_stale: bool, cut: usize, lost: usize) {
        let seen = if is_stale {
            self.stale.clone()
        } else {
            self.truth.clone()
        };
        let plan = plan(&self.head, &seen, self.now);
        self.check_plan(&plan, &seen);
        for (index, action) in plan.actions.into_iter().enumerate().take(cut) {
            // A model that turns out to have another object than was seen is a conflict, too.
            let is_conflict = match &action {
                Action::PutDeployment {
                    object, from: None, ..
                } => self.objects_of(&object.spec.model) != objects_of(&seen, &object.spec.model),
                _ => false,
            };
            if index != lost && !is_conflict {
                self.act(action);
            }
        }
    }

    /// Does what the plan says, as the target would: an object that has changed since it was seen is a conflict, and
    /// the registry moves no alias to what does not verify.
    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::PutEnvironment(environment) => self.truth.environment = Some(environment),
            Action::StageDataset { .. } => unreachable!("no job has a data file"),
            Action::PutTraining { name, from, object } => {
                let old = self.truth.trainings.get(&name);
                if old.map(|old| &old.object) != from.as_deref() {
                    return;
                }
                let phase = old.and_then(|old| old.phase.clone());
                self.truth.trainings.insert(
                    name,
                    ObservedTraining {
                        object: *object,
                        phase,
                    },
                );
            }
            Action::PutDeployment { name, from, object } => {
                let old = self.truth.deployments.get(&name);
                if old.map(|old| &old.object) != from.as_deref() {
                    return;
                }
                let status = old.and_then(|old| old.status.clone());
                let canary = object.spec.canary.as_ref().map(|canary| canary.pin.digest);
                let turned = old
                    .map(|old| old.object.spec.model.clone())
                    .filter(|old| *old != object.spec.model);
                self.aborted.retain(|model, digest| {
                    Some(&*model) != turned.as_ref()
                        && (*model != object.spec.model || canary == Some(*digest))
                });
                self.truth.deployments.insert(
                    name,
                    ObservedDeployment {
                        object: *object,
                        status,
                    },
                );
            }
            Action::MoveAlias { model, track, to, .. } => {
                let registered = self.registered(&model);
                let is_sound = matches!(
                    registered.versions.get(&to.version),
                    Some(ObservedVersion::Sound { digest, .. }) if *digest == to.digest
                );
                if is_sound {
                    registered
                        .aliases
                        .insert(track, ObservedAlias::To(to.version.clone()));
                    registered.history_digests.insert(to.version, to.digest);
                    self.canary_alias_left(&model, track);
                }
            }
            Action::RemoveAlias { model, track, .. } => {
                self.registered(&model).aliases.remove(&track);
                self.canary_alias_left(&model, track);
            }
            Action::RecordAbort { model, digest, .. } => _ = self.registered(&model).aborted.insert(digest),
            Action::DeleteDeployment { name } => {
                if let Some(old) = self.truth.deployments.remove(&name)
                    && self.objects_of(&old.object.spec.model).is_empty()
                {
                    self.aborted.remove(&old.object.spec.model);
                }
            }
            Action::DeleteTraining { name } => {
                self.truth.trainings.remove(&name);
                self.records.remove(&name);
            }
        }
    }

    fn canary_alias_left(&mut self, model: &ModelName, track: Track) {
        if track == Track::Canary {
            self.registered(model).aborted.clear();
        }
    }

    /// What every plan must be.
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
                    | Action::StageDataset { .. } => true,
                    Action::PutEnvironment(_) => true,
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
