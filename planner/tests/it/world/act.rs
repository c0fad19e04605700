//! What happens to the world, and passes of the reconciler.

use planner::names::{ModelName, Track};
use planner::observed::{Observed, ObservedAlias, ObservedDeployment, ObservedTraining, ObservedVersion};
use planner::plan::{Action, Undone, plan};
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
            Event::Promote { name: index } => {
                self.commit();
                let n = self.commits;
                if let Some(declared) = self.head.deployments.get_mut(&name(index))
                    && let Some(canary) = declared.spec.canary.take()
                {
                    declared.spec.stable = canary.pin;
                    declared.revision = revision(n);
                }
            }
            Event::Remove { name: index } => {
                self.commit();
                self.head.deployments.remove(&name(index));
            }
            Event::Permute { ref names } => {
                self.commit();
                let n = self.commits;
                let before = std::mem::take(&mut self.head.deployments);
                for (from, to) in names.iter().enumerate() {
                    if let Some(mut manifest) = before.get(&name(from)).cloned() {
                        if from != *to {
                            manifest.revision = revision(n);
                        }
                        self.head.deployments.insert(name(*to), manifest);
                    }
                }
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
            Event::Die { model: of, after } => {
                // What is in a process goes with it.
                if self.slots[&model(MODELS[of])].is_cluster() {
                    self.operate_until(&model(MODELS[of]), Some(after));
                }
            }
            Event::Replicas { model: of, wanted } => _ = self.replicas.insert(model(MODELS[of]), wanted),
            Event::CanaryReady { model: of, ready } => {
                let slots = self.slots.get_mut(&model(MODELS[of])).unwrap();
                if slots.is_cluster() {
                    slots.canary_ready(ready);
                }
            }
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
                        *known = ObservedVersion::Damaged("checksums do not match".to_owned());
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
        let told = plan.to_string();
        let declared = self.head.deployments.values();
        let mut served: Vec<ModelName> = declared.map(|declared| declared.spec.model.clone()).collect();
        served.retain(|model| !self.objects_of(model).is_empty());
        let mut undone = Undone::default();
        for (index, action) in plan.actions.into_iter().enumerate().take(cut) {
            // What a renamed object takes over is read again before it is written.
            let is_conflict = match &action {
                Action::PutDeployment {
                    name,
                    object,
                    from: None,
                } => {
                    let model = &object.spec.model;
                    let object =
                        |observed: &Observed, name| observed.deployments.get(name).map(|d| d.object.clone());
                    self.truth.deployments.contains_key(name)
                        || is_stale
                            && objects_of(&seen, model)
                                .iter()
                                .any(|name| object(&seen, name) != object(&self.truth, name))
                }
                Action::PutDeployment {
                    name,
                    from: Some(from),
                    ..
                } => self.truth.deployments.get(name).map(|truth| &truth.object) != Some(&**from),
                Action::DeleteDeployment { name, .. } => {
                    is_stale
                        && seen.deployments.get(name).map(|seen| &seen.object)
                            != self.truth.deployments.get(name).map(|truth| &truth.object)
                }
                _ => false,
            };
            if index == lost || is_conflict || undone.stops(&action) {
                undone.add(&action);
            } else {
                self.act(action);
            }
            for model in served.iter().filter(|_| !is_stale) {
                assert!(
                    !self.objects_of(model).is_empty(),
                    "{model} is without an object:\n{told}"
                );
            }
        }
    }

    /// Does what the plan says, as the target would: an object that has changed since it was seen is a conflict, and
    /// the registry moves no alias to what does not verify.
    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::PutEnvironment(environment) => self.truth.environment = Some(*environment),
            Action::StageDataset { .. } => unreachable!("no job has a data file"),
            Action::Import(_) => unreachable!("no environment has an upstream"),
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
                        recorded_at: None,
                    },
                );
            }
            Action::PutDeployment { name, from, object } => {
                let old = self.truth.deployments.get(&name);
                if old.map(|old| &old.object) != from.as_deref() {
                    return;
                }
                let canary = object.spec.canary.as_ref().map(|canary| canary.pin.digest);
                let turned = old
                    .map(|old| old.object.spec.model.clone())
                    .filter(|old| *old != object.spec.model);
                self.aborted.retain(|model, digest| {
                    turned.as_ref() != Some(model) && (*model != object.spec.model || canary == Some(*digest))
                });
                let old = self.truth.deployments.remove(&name);
                let written = ObservedDeployment::written(old, *object);
                self.truth.deployments.insert(name, written);
            }
            Action::MoveAlias { model, track, to, .. } => {
                let registered = self.registered(&model);
                let is_sound = matches!(
                    registered.versions.get(&to.version),
                    Some(ObservedVersion::Sound { digest, .. }) if *digest == to.digest
                );
                // The registry recognises a move that it has made already.
                let to_version = ObservedAlias::To(to.version.clone());
                let is_made = registered.aliases.get(&track) == Some(&to_version);
                if is_sound && !is_made {
                    registered.aliases.insert(track, to_version);
                    registered.recorded.insert(track, to.version.clone());
                    registered.history_digests.insert(to.version, to.digest);
                    self.canary_alias_left(&model, track);
                }
            }
            Action::RemoveAlias { model, track, .. } => {
                self.registered(&model).recorded.remove(&track);
                if self.registered(&model).aliases.remove(&track).is_some() {
                    self.canary_alias_left(&model, track);
                }
            }
            Action::RecordAbort { model, digest, .. } => _ = self.registered(&model).aborted.insert(digest),
            Action::DeleteDeployment { name, .. } => {
                if let Some(old) = self.truth.deployments.remove(&name)
                    && self.objects_of(&old.object.spec.model).is_empty()
                {
                    self.aborted.remove(&old.object.spec.model);
                }
            }
            Action::DeleteTraining { name } => {
                self.truth.trainings.remove(&name);
                self.jobs.remove(&name);
                self.queue.set(&name, Vec::new());
            }
        }
    }

    fn canary_alias_left(&mut self, model: &ModelName, track: Track) {
        if track == Track::Canary {
            self.registered(model).aborted.clear();
        }
    }
}
