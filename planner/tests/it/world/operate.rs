//! The targets: slots, or a cluster's tracks, follow objects; runs follow jobs.

use planner::deployment::ResolvedDeployment;
use planner::names::{ModelName, Track, Weight};
use planner::observed::ObservedVersion;
use planner::rollout::{
    Claimant, HISTORY_LENGTH_MAX, Means, Model, Rollout, TrackAction, Tracks, owner, rollout,
};
use planner::runs::{Decided, Due, Job, Outcome, Queue, StopReason};

use super::machine::Ending;
use super::{SETTLE, VERSIONS, World};
use crate::support::{digest, version};

/// How many processes train at a time.
const RUNNING_MAX: usize = 2;

impl World {
    /// One step of a model's rollout.
    pub(super) fn operate(&mut self, model: &ModelName) {
        self.operate_until(model, None);
    }

    fn means(&self, model: &ModelName) -> Means {
        if !self.slots[model].is_cluster() {
            return Means::SLOTS;
        }
        Means {
            settle: SETTLE,
            stable_replicas: Some(self.replicas[model]),
            canary_replicas_min: 1,
            is_restarted_to_rename: true,
        }
    }

    /// One step, whose process dies after so many actions and remembers nothing of them.
    pub(super) fn operate_until(&mut self, model: &ModelName, dies_after: Option<usize>) {
        let names = self.objects_of(model);
        let claimants: Vec<Claimant<'_>> = names
            .iter()
            .map(|name| Claimant {
                name,
                status: self.truth.deployments[name].status.as_ref(),
            })
            .collect();
        let left = self.left.get(model);
        let owned = owner(&claimants, left);
        let name = owned.map(|(name, _)| name.clone());
        let status = owned.map_or(left, |(_, status)| status).cloned();
        let object = name
            .as_ref()
            .map(|name| self.truth.deployments[name].object.clone());
        let tracks = self.slots[model].tracks.clone();
        let step = rollout(
            &Model {
                object: object.as_ref(),
                commands: &self.commands[model],
                registered: Some(&self.truth.models[model]),
                tracks: &tracks,
                status: status.as_ref(),
                means: self.means(model),
            },
            self.now,
        );
        self.check_step(model, object.as_ref().map(|object| &object.spec), &tracks, &step);
        let done = step.actions.len().min(dies_after.unwrap_or(usize::MAX));
        let slots = self.slots.get_mut(model).unwrap();
        if slots.carry_out(&step.actions[..done], self.now) {
            self.commands.get_mut(model).unwrap().abort = None;
        }
        // A route is made as soon as there is something to send requests to.
        let serves = object.is_some() && slots.tracks.track.stable.serving.is_some();
        slots.tracks.is_routed |= serves && slots.is_cluster();
        if dies_after.is_some() {
            return;
        }
        match name {
            Some(name) => {
                self.left.remove(model);
                self.truth.deployments.get_mut(&name).unwrap().status = Some(step.status);
            }
            None if step.actions.contains(&TrackAction::Forget) => drop(self.left.remove(model)),
            None => drop(self.left.insert(model.clone(), step.status)),
        }
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
        let empties = step.actions.contains(&TrackAction::Unload(Track::Stable));
        assert!(!empties || spec.is_none(), "an answer is lost: {}", case());
        if let (Some(spec), Some(canary)) = (spec, &tracks.track.canary.serving)
            && canary.digest == spec.stable.digest
            && tracks.track.stable.serving.as_ref() != Some(&spec.stable)
            && spec.suspend.is_none()
        {
            assert_eq!(step.weight, tracks.weight, "sent back in a promotion: {}", case());
        }
        self.check_abort(model, spec, tracks, step);
        if step.weight == Weight::ZERO {
            return;
        }
        let serving = tracks
            .track
            .canary
            .serving
            .as_ref()
            .unwrap_or_else(|| panic!("no canary: {}", case()));
        let spec = spec.unwrap_or_else(|| panic!("no object: {}", case()));
        assert_eq!(step.goal.canary.as_ref(), Some(serving), "{}", case());
        let (wanted, ready) = (
            tracks.track.stable.capacity.wanted,
            tracks.track.canary.capacity.ready,
        );
        let needed = (u32::from(step.weight.percent()) * wanted).div_ceil(100);
        let is_promotion = serving.digest == spec.stable.digest && spec.suspend.is_none();
        assert!(
            ready >= needed || is_promotion,
            "more than its replicas carry: {}",
            case()
        );
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

    /// An abort is done within the step that sees it, whatever there is of replicas.
    fn check_abort(
        &self,
        model: &ModelName,
        spec: Option<&ResolvedDeployment>,
        tracks: &Tracks,
        step: &Rollout,
    ) {
        let canary = spec.and_then(|spec| spec.canary.as_ref());
        let aborted = self.commands[model].abort.as_ref().map(|(digest, _)| *digest);
        if let Some(canary) = canary
            && aborted == Some(canary.pin.digest)
            && tracks.track.canary.serving.as_ref() == Some(&canary.pin)
        {
            let lowers = step.actions.contains(&TrackAction::SetWeight(Weight::ZERO));
            assert!(
                lowers || tracks.weight == Weight::ZERO,
                "{model} goes on: {step:?}"
            );
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
        self.end_runs(Ending::Interrupted);
        self.queue = Queue::default();
        self.left.clear();
    }

    /// One step of every job. Returns whether anything was decided.
    pub(super) fn train(&mut self) -> bool {
        let mut is_busy = false;
        for (name, training) in &mut self.truth.trainings {
            let existing = &self.truth.models[&training.object.spec.model].versions;
            let job = Job::new(&training.object, existing);
            let status = self.jobs.entry(name.clone()).or_default();
            let Decided { stops, due, .. } = status.decide(name, &job, None, self.now);
            is_busy |= !stops.is_empty() || !due.is_empty();
            assert!(
                due.iter().all(|due| !existing.contains_key(&due.version)),
                "a version is never trained twice"
            );
            self.queue.set(name, due);
        }
        for due in self.queue.admit(RUNNING_MAX) {
            let object = &self.truth.trainings[&due.job].object;
            let existing = &self.truth.models[&due.model].versions;
            let is_same = |process: &Due| (&process.model, &process.version) == (&due.model, &due.version);
            assert!(
                !self.processes.iter().any(is_same),
                "two processes write one run: {due:?}"
            );
            if let Some(baseline) = &due.baseline {
                let is_due = self
                    .processes
                    .iter()
                    .any(|process| process.model == due.model && process.version == *baseline);
                assert!(!is_due, "compared before it is made: {due:?}");
            }
            let status = self.jobs.get_mut(&due.job).unwrap();
            status.start(&due, &Job::new(object, existing), self.now);
            self.queue.started(&due);
            self.processes.push(due);
        }
        assert!(self.processes.len() <= RUNNING_MAX);
        for (name, training) in &mut self.truth.trainings {
            training.phase.clone_from(&self.jobs[name].phase);
        }
        is_busy
    }

    /// The processes under way end; those that were stopped have been killed.
    pub(super) fn end_runs(&mut self, ending: Ending) {
        let at = self.now;
        for due in std::mem::take(&mut self.processes) {
            self.queue.ended(&due);
            let n = (0..VERSIONS).find(|n| version(*n) == due.version).unwrap();
            let digest = digest(n);
            let outcome = match ending {
                Ending::Published => Outcome::Published { at, digest },
                Ending::Refused => Outcome::Refused {
                    at,
                    message: "r2 is below 0.5".to_owned(),
                },
                Ending::Killed => Outcome::Transient {
                    at,
                    message: "killed".to_owned(),
                },
                Ending::Interrupted => Outcome::Stopped {
                    at,
                    reason: StopReason::Interrupted,
                },
            };
            let Some(status) = self.jobs.get_mut(&due.job) else {
                continue;
            };
            // The job may have been made anew meanwhile: then the process was another one's.
            let record = status
                .records
                .iter()
                .rfind(|record| record.version == due.version);
            let inputs = record.map(|record| record.inputs);
            let is_recorded = status.end(&due.version, outcome).is_some();
            if let (Ending::Published, true) = (ending, is_recorded) {
                let sound = ObservedVersion::Sound {
                    digest,
                    inputs,
                    engine: planner::engine::Engine::Aurora,
                };
                self.registered(&due.model)
                    .versions
                    .entry(due.version.clone())
                    .or_insert(sound);
            }
        }
    }
}
