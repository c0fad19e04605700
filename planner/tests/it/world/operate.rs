//! The standalone target: slots follow objects, runs follow jobs.

use std::collections::BTreeMap;

use planner::deployment::ResolvedDeployment;
use planner::identity::{inputs_hash, spec_hash};
use planner::names::{ModelName, Track, Weight};
use planner::observed::{ObservedVersion, TrainingObject};
use planner::rollout::{Commands, HISTORY_LENGTH_MAX, Rollout, Tracks, rollout};
use planner::runs::{Job, Outcome, Record, RunAction, Runs, runs};
use planner::training::RunPolicy;

use super::machine::Ending;
use super::{VERSIONS, World};
use crate::support::{digest, version};

impl World {
    /// One step of a model's rollout.
    pub(super) fn operate(&mut self, model: &ModelName) {
        // While a renamed object takes over there are two: the target lets one of them have the model.
        let name = self.objects_of(model).into_iter().next_back();
        let object = name.as_ref().map(|name| self.truth.deployments[name].clone());
        let slots = &self.slots[model];
        let tracks = slots.tracks.clone();
        let commands = self.commands_of(model);
        let spec = object.as_ref().map(|object| &object.object.spec);
        let status = object.as_ref().and_then(|object| object.status.as_ref());
        let step = rollout(spec, &commands, &tracks, status, self.now);
        self.check_step(model, spec, &tracks, &step);
        self.slots.get_mut(model).unwrap().carry_out(&step);
        if let Some(name) = name {
            self.truth.deployments.get_mut(&name).unwrap().status = Some(step.status);
        }
    }

    /// An abort's file is there until object and history hold it, or its canary is gone.
    fn commands_of(&mut self, model: &ModelName) -> Commands {
        let name = self.objects_of(model).into_iter().next_back();
        let object = name.map(|name| self.truth.deployments[&name].object.clone());
        let canary = object
            .as_ref()
            .and_then(|object| object.spec.canary.as_ref())
            .map(|c| c.pin.digest);
        let kept = object.as_ref().and_then(|object| object.abort);
        let recorded = self.truth.models[model].aborted.clone();
        let commands = self.commands.get_mut(model).unwrap();
        if let Some((digest, _)) = &commands.abort {
            let is_kept = kept == Some(*digest) && recorded.contains(digest);
            if object.is_some() && (canary != Some(*digest) || is_kept) {
                commands.abort = None;
            }
        }
        let mut commands = commands.clone();
        commands.abort = commands
            .abort
            .or_else(|| kept.map(|digest| (digest, "kept".to_owned())));
        commands
    }

    fn check_step(
        &self,
        model: &ModelName,
        spec: Option<&ResolvedDeployment>,
        tracks: &Tracks,
        step: &Rollout,
    ) {
        let case = || format!("{model}: {spec:?}\n{tracks:?}\n{step:?}");
        assert!(step.status.history.len() <= HISTORY_LENGTH_MAX, "{}", case());
        if let (Some(spec), Some(canary)) = (spec, &tracks.canary.serving)
            && canary.digest == spec.stable.digest
            && tracks.stable.serving.as_ref() != Some(&spec.stable)
            && spec.suspend.is_none()
        {
            assert_eq!(step.weight, tracks.weight, "sent back in a promotion: {}", case());
        }
        if step.weight == Weight::ZERO {
            return;
        }
        let serving = tracks
            .canary
            .serving
            .as_ref()
            .unwrap_or_else(|| panic!("no canary: {}", case()));
        let spec = spec.unwrap_or_else(|| panic!("no object: {}", case()));
        assert_eq!(step.canary.as_ref(), Some(serving), "{}", case());
        if let Some(canary) = spec.canary.as_ref().filter(|canary| canary.pin == *serving) {
            assert!(
                step.weight <= canary.weight,
                "above the declared weight: {}",
                case()
            );
            assert_ne!(
                self.aborted.get(model),
                Some(&serving.digest),
                "aborted: {}",
                case()
            );
        } else {
            let is_promotion = serving.digest == spec.stable.digest;
            assert!(is_promotion || spec.suspend.is_some(), "undeclared: {}", case());
            assert!(step.weight <= tracks.weight, "raised without a pin: {}", case());
        }
    }

    pub(super) fn load(&mut self, model: &ModelName, track: Track) {
        let versions = self.truth.models[model].versions.clone();
        let unloadable = self.unloadable.clone();
        self.slots
            .get_mut(model)
            .unwrap()
            .finish(track, |pin| match versions.get(&pin.version) {
                Some(ObservedVersion::Sound { digest, .. })
                    if *digest == pin.digest
                        && !unloadable.contains(&(model.clone(), pin.version.clone())) =>
                {
                    Ok(())
                }
                Some(_) | None => Err("no such opset".to_owned()),
            });
    }

    pub(super) fn abort(&mut self, model: &ModelName) {
        let name = self.objects_of(model).into_iter().next_back();
        let canary = name.and_then(|name| self.truth.deployments[&name].object.spec.canary.clone());
        if let Some(canary) = canary {
            let digest = canary.pin.digest;
            self.commands.get_mut(model).unwrap().abort = Some((digest, "ann: slow".to_owned()));
            self.aborted.insert(model.clone(), digest);
        }
    }

    pub(super) fn restart(&mut self) {
        for slots in self.slots.values_mut() {
            slots.restart();
        }
        self.end_runs(Ending::Killed);
    }

    fn job<'a>(
        object: &'a TrainingObject,
        existing: &'a BTreeMap<planner::names::Version, ObservedVersion>,
    ) -> Job<'a> {
        Job {
            training: &object.spec,
            inputs: inputs_hash(&object.spec),
            spec_hash: spec_hash(&object.spec),
            committed_at: object.committed_at,
            existing,
        }
    }

    /// One step of every job. Returns whether anything was decided.
    pub(super) fn train(&mut self) -> bool {
        let mut is_busy = false;
        for (name, training) in &mut self.truth.trainings {
            let existing = &self.truth.models[&training.object.spec.model].versions;
            let job = Self::job(&training.object, existing);
            let records = self.records.entry(name.clone()).or_default();
            let Runs { actions, phase, .. } = runs(&job, records, self.now);
            is_busy |= !actions.is_empty();
            for action in actions {
                match action {
                    RunAction::Start {
                        version,
                        slot,
                        attempt,
                    } => {
                        assert!(
                            !existing.contains_key(&version),
                            "a version is never trained twice"
                        );
                        records.push(Record {
                            version,
                            inputs: job.inputs,
                            spec_hash: job.spec_hash,
                            slot,
                            attempt,
                            started_at: self.now,
                            outcome: Outcome::Running,
                        });
                    }
                    RunAction::Stop { version, reason } => {
                        let mut running = records.iter_mut().filter(|r| r.outcome == Outcome::Running);
                        let record = running.find(|record| record.version == version).unwrap();
                        record.outcome = Outcome::Stopped {
                            at: self.now,
                            reason: reason.to_owned(),
                        };
                    }
                    RunAction::Skip { .. } => unreachable!("no job has a schedule"),
                }
            }
            training.phase = Some(phase);
        }
        is_busy
    }

    pub(super) fn end_runs(&mut self, ending: Ending) {
        let at = self.now;
        for (name, records) in &mut self.records {
            for record in records
                .iter_mut()
                .filter(|record| record.outcome == Outcome::Running)
            {
                let n = (0..VERSIONS).find(|n| version(*n) == record.version).unwrap();
                let digest = digest(n);
                record.outcome = match ending {
                    Ending::Published => Outcome::Succeeded { at, digest },
                    Ending::Invalid => Outcome::Invalid {
                        at,
                        message: "r2 is below 0.5".to_owned(),
                    },
                    Ending::Killed => Outcome::Transient {
                        at,
                        message: "killed".to_owned(),
                    },
                };
                if let Ending::Published = ending {
                    let model = &self.truth.trainings[name].object.spec.model;
                    let versions = &mut self.truth.models.get_mut(model).unwrap().versions;
                    let sound = ObservedVersion::Sound {
                        digest,
                        inputs: Some(record.inputs),
                    };
                    versions.entry(record.version.clone()).or_insert(sound);
                }
            }
        }
        debug_assert!(
            self.truth
                .trainings
                .values()
                .all(|job| matches!(job.object.spec.runs, RunPolicy::Fixed(_))),
            "each run's version is one of the world's",
        );
    }
}
