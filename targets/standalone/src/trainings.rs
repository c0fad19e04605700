//! One step of each training job that was touched: what the planner decides, done with child processes.

mod child;
mod places;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use planner::Timestamp;
use planner::names::{Digest, ModelName, ObjectName, Version};
use planner::observed::{ObservedModel, TrainingObject};
use planner::runs::{self, Around, Claims, Job, Outcome, Phase, Queue, StopReason};
use reconciler::Beat;
use reconciler::runs::{TrainingStatus, outside, request, sign, transient};
use reconciler::zones::Zones;
use registry::{DatasetRoots, Observer};
use signing::SigningKey;

use crate::data_dir::advice;
use crate::due::Due;
use crate::events::{Event, Events};
use crate::models::{Stepped, earliest};
use crate::objects::{Objects, TrainingEntry};
use crate::{Trainer, Wake};
use child::{Children, End, Ended, RunKey};
use places::OnMachine;

/// How long to wait before a run is started that could not be, or a registry is read that could not be.
const POSTPONED: Duration = Duration::from_secs(5);
/// How many jobs are looked at at a time although nothing touched them: their model may have changed in the registry.
const TURN: usize = 16;

/// Makes training runs follow the MLTrainingJob objects.
pub(crate) struct Trainings {
    objects: Arc<Objects>,
    registry: Observer,
    trainer: Arc<dyn Trainer>,
    /// The folders below which a job may name data files by absolute paths.
    roots: DatasetRoots,
    /// What signs a version once its run has published it.
    signing_key: Option<Arc<SigningKey>>,
    events: Events,
    children: Children,
    queue: Queue,
    /// What each process that is under way was started for.
    started: BTreeMap<RunKey, runs::Due>,
    claims: Claims,
    /// What the registry held of each job's model when it was last decided about.
    seen: BTreeMap<ObjectName, Arc<ObservedModel>>,
    due: Due<ObjectName>,
    unsettled: BTreeSet<ObjectName>,
    /// How many processes train at a time.
    running_max: usize,
    /// Whether runs that a former process left behind have been settled.
    has_settled_leftovers: bool,
    /// Until when no run is started, and why: nothing could be written for the last one.
    postponed: Option<(Timestamp, String)>,
    /// Whether it was told that runs cannot be started, and not since that they can.
    is_troubled: bool,
    /// Whose turn it was last.
    turn: Option<ObjectName>,
    zones: Zones,
}

impl Trainings {
    pub(crate) fn new(
        objects: Arc<Objects>,
        registry: Observer,
        trainer: Arc<dyn Trainer>,
        roots: DatasetRoots,
        events: Events,
        wake: Wake,
    ) -> Self {
        Self {
            objects,
            registry,
            trainer,
            roots,
            signing_key: None,
            events,
            children: Children::new(wake),
            queue: Queue::default(),
            started: BTreeMap::new(),
            claims: Claims::default(),
            seen: BTreeMap::new(),
            due: Due::default(),
            unsettled: BTreeSet::new(),
            running_max: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            has_settled_leftovers: false,
            postponed: None,
            is_troubled: false,
            turn: None,
            zones: Zones::default(),
        }
    }

    /// Signs by a key what runs publish.
    pub(crate) fn signing_by(self, signing_key: Option<Arc<SigningKey>>) -> Self {
        Self { signing_key, ..self }
    }

    /// Lets every job with a time be due, and no run wait for a time that is far away now: the clock was set back.
    pub(crate) fn clock_was_set_back(&mut self) -> Vec<ObjectName> {
        self.postponed = None;
        self.due.all()
    }

    /// Steps these jobs, those whose run ended, those that are due, and where it is a turn some that nothing touched.
    /// Called within a Tokio runtime.
    pub(crate) fn step(&mut self, mut touched: BTreeSet<ObjectName>, beat: Beat, now: Timestamp) -> Stepped {
        let mut has_news = false;
        if !self.has_settled_leftovers {
            self.settle_leftovers(now);
            self.has_settled_leftovers = true;
        }
        for Ended { key, end } in self.children.ended() {
            has_news = true;
            if let Some(due) = self.started.remove(&key) {
                self.queue.ended(&due);
            }
            match end {
                End::Ended(how) => self.settle(&key, Some(transient(how, now)), now),
                End::Unstarted(why) => {
                    self.settle(&key, None, now);
                    self.postpone(&key, why, now);
                }
            }
            // Whoever waits for the same folder, or to be compared with this run, is admitted below.
            touched.insert(key.job);
        }
        touched.extend(self.due.take(now));
        if beat == Beat::Turn {
            touched.extend(self.in_turn());
        }
        self.follow_progress(now);
        if self.postponed.as_ref().is_some_and(|(until, _)| *until <= now) {
            self.postponed = None;
        }
        for name in touched {
            has_news |= self.step_job(&name, now);
        }
        has_news |= self.start_admitted(now);
        let postponed = self.postponed.as_ref().map(|(until, _)| *until);
        Stepped {
            has_news,
            is_settled: self.unsettled.is_empty() && self.children.keys().next().is_none(),
            wake: earliest(self.due.next(), postponed),
        }
    }

    /// Stops all runs, for the end of the process. None of them counts as tried: the next process starts them as they
    /// were, and can tell them from those that were killed with this one.
    pub(crate) fn stop_all(&mut self) {
        let keys: Vec<RunKey> = self.children.keys().cloned().collect();
        for RunKey { job, version } in &keys {
            if let Some(TrainingEntry { mut status, .. }) = self.objects.training(job) {
                status.runs.withdraw(version);
                self.objects.set_training(job, status);
            }
        }
        self.children.stop_all();
        if let Err(error) = self.objects.write_statuses() {
            tracing::warn!(%error, "cannot write down that runs were stopped; they count as interrupted");
        }
    }

    /// Decides about one job. Returns whether its phase changed.
    fn step_job(&mut self, name: &ObjectName, now: Timestamp) -> bool {
        let Some(TrainingEntry {
            mut object,
            mut status,
        }) = self.objects.training(name)
        else {
            self.forget(name);
            return false;
        };
        self.zones.read(&mut object.spec);
        let model = &object.spec.model;
        let existing = match self.registry.observe(model) {
            Ok(existing) => existing,
            Err(error) => {
                tracing::warn!(job = %name, %error, "cannot look at the versions of a job's model; it is tried again");
                self.unsettled.insert(name.clone());
                self.due.set(name, Some(now + POSTPONED));
                return false;
            }
        };
        let around = Around {
            claimed: self.claims.of_others(name, model),
            elapsed: self.children.elapsed(name),
        };
        let job = Job::new(&object, &existing.versions).with(&around);
        let outside = outside(&object, &self.places());
        let postponed = self.postponed.as_ref().map(|(_, why)| why.as_str());
        let held = outside.as_deref().or(postponed);
        let mut decided = status.runs.decide(name, &job, held, now);
        self.seen.insert(name.clone(), existing.clone());
        for version in decided.stops {
            self.children.stop(&RunKey {
                job: name.clone(),
                version,
            });
        }
        if outside.is_some() {
            decided.due.clear();
        }
        self.due.set(name, decided.wake);
        let due = decided.due.iter().map(|due| &due.version);
        self.claims.set(name, model, &status.runs, due);
        self.queue.set(name, decided.due);
        let has_news = self.save(name, &object, status, now);
        if outside.is_some() {
            // Nothing comes of waiting for it in this process.
            self.unsettled.remove(name);
        }
        has_news
    }

    /// Returns where a trainer finds things: where they are for this process.
    fn places(&self) -> OnMachine<'_> {
        OnMachine {
            store: self.registry.store(),
            roots: &self.roots,
        }
    }

    /// A job that is gone: its processes end, and nothing is due.
    fn forget(&mut self, name: &ObjectName) {
        let orphans: Vec<RunKey> = self
            .children
            .keys()
            .filter(|key| key.job == *name)
            .cloned()
            .collect();
        for key in orphans {
            self.children.stop(&key);
        }
        self.claims.remove(name);
        self.queue.set(name, Vec::new());
        self.due.set(name, None);
        self.seen.remove(name);
        self.unsettled.remove(name);
    }

    fn save(
        &mut self,
        name: &ObjectName,
        object: &TrainingObject,
        mut status: TrainingStatus,
        now: Timestamp,
    ) -> bool {
        let is_unsettled = matches!(
            status.runs.phase,
            Some(Phase::Running { .. } | Phase::Pending { .. })
        );
        if is_unsettled {
            self.unsettled.insert(name.clone());
        } else {
            self.unsettled.remove(name);
        }
        status.judge(object, now);
        self.objects.set_training(name, status)
    }

    /// Starts what is admitted. Returns whether a phase changed.
    fn start_admitted(&mut self, now: Timestamp) -> bool {
        let mut has_news = false;
        if self.postponed.is_some() {
            return has_news;
        }
        for due in self.queue.admit(self.running_max) {
            if self.postponed.is_some() {
                // What was admitted and cannot start now is decided about again.
                self.due.set(&due.job, Some(now + POSTPONED));
                continue;
            }
            has_news |= self.start(&due, now);
        }
        has_news
    }

    /// Records the attempt, then starts it: a crash in between leaves a record that the next process settles.
    fn start(&mut self, due: &runs::Due, now: Timestamp) -> bool {
        let Some(TrainingEntry { object, mut status }) = self.objects.training(&due.job) else {
            return false;
        };
        let existing = self.seen.get(&due.job).cloned().unwrap_or_default();
        let before = status.clone();
        let job = Job::new(&object, &existing.versions);
        status.runs.start(due, &job, now);
        status.metrics.clear();
        status.progress_percent = Some(0);
        let key = RunKey {
            job: due.job.clone(),
            version: due.version.clone(),
        };
        let published = before.runs.published_inputs(&job);
        let Ok(request) = request(due, &object, job.inputs, published, &self.places()) else {
            // Invariant: what may not be read is not queued.
            return false;
        };
        let has_news = self.save(&due.job, &object, status, now);
        let prepared = self
            .objects
            .write_statuses()
            .map_err(|error| format!("{error}{}", advice(&error)))
            .and_then(|()| child::prepare(&request, self.registry.store()));
        let folder = match prepared {
            Ok(folder) => folder,
            Err(why) => {
                self.save(&due.job, &object, before, now);
                self.postpone(&key, why, now);
                return has_news;
            }
        };
        self.is_troubled = false;
        self.queue.started(due);
        self.started.insert(key.clone(), due.clone());
        self.children.start(&key, folder, self.trainer.as_ref());
        self.events.send(Event::TrainingStarted {
            job: key.job,
            model: request.model,
            version: key.version,
            revision: object.revision.clone(),
        });
        has_news
    }

    /// A run for which nothing can be written, or no process started, was never tried: it counts as no attempt, however long that lasts.
    fn postpone(&mut self, key: &RunKey, why: String, now: Timestamp) {
        let RunKey { job, version } = key;
        tracing::warn!(%job, %version, why, "cannot start a training run; it is tried again");
        if !std::mem::replace(&mut self.is_troubled, true) {
            self.events.send(Event::Trouble(format!(
                "cannot start training {job} {version}: {why}; it is tried again"
            )));
        }
        self.postponed = Some((now + POSTPONED, why));
        // Its note says why it waits, and it is due again once that may be over.
        self.step_job(job, now);
        self.due.set(job, Some(now + POSTPONED));
    }

    /// Records how a run ended, `without_result` if it left none; then, without that, it was never tried.
    fn settle(&mut self, key: &RunKey, without_result: Option<Outcome>, now: Timestamp) {
        let Some(TrainingEntry { object, mut status }) = self.objects.training(&key.job) else {
            return;
        };
        let model = object.spec.model.clone();
        let of = (&model, &key.version);
        let store = self.registry.store();
        let folder = store.run(&model, &key.version);
        // A trainer that was stopped has not cleared up after a program of the commit.
        if let Ok(Some(folder)) = &folder
            && let Err(error) = folder.end_work()
        {
            tracing::warn!(%error, "what a program of the commit left cannot be removed");
        }
        let outcome = match folder.and_then(|folder| folder.map_or(Ok(None), |folder| folder.result())) {
            Ok(Some(result)) => Some(status.outcome(result, of, store, now)),
            Ok(None) => without_result,
            Err(error) => Some(transient(
                format!("the run's result cannot be read: {error}"),
                now,
            )),
        };
        let Some(outcome) = outcome else {
            status.runs.withdraw(&key.version);
            self.save(&key.job, &object, status, now);
            return;
        };
        if let Outcome::Published { digest, .. } = &outcome {
            self.sign(&model, &key.version, *digest);
        }
        let Some(ended) = status.end(of, outcome, store) else {
            return;
        };
        self.save(&key.job, &object, status, now);
        self.tell_end(key, model, ended);
    }

    /// Signs what a run has published, as it says it published it.
    fn sign(&self, model: &ModelName, version: &Version, digest: Digest) {
        let Some(key) = &self.signing_key else {
            return;
        };
        if let Err(error) = sign(self.registry.store(), key, (model, version), digest) {
            tracing::error!(%model, %version, %error, "cannot sign a version; `aurora model sign` does it by hand");
        }
    }

    fn tell_end(&self, key: &RunKey, model: ModelName, ended: runs::Ended) {
        let runs::Ended { outcome, is_retried } = ended;
        tracing::info!(job = %key.job, version = %key.version, ?outcome, "training run ended");
        self.events.send(Event::TrainingEnded {
            job: key.job.clone(),
            model,
            version: key.version.clone(),
            outcome,
            is_retried,
        });
    }

    /// Settles runs that are recorded as under way by a process that is gone, and its trainers with it. One that was
    /// asked to end, and did not live to write that down, has tried none of them.
    fn settle_leftovers(&mut self, now: Timestamp) {
        let interrupted = (!self.objects.data_dir.take_stop()).then_some(Outcome::Stopped {
            at: now,
            reason: StopReason::Interrupted,
        });
        for name in self.objects.trainings() {
            let Some(entry) = self.objects.training(&name) else {
                continue;
            };
            // What is claimed is known of all before anything is decided about one.
            self.claims.set(
                &name,
                &entry.object.spec.model,
                &entry.status.runs,
                std::iter::empty(),
            );
            let running: Vec<_> = entry.status.runs.running().cloned().collect();
            for version in running {
                let job = name.clone();
                self.settle(&RunKey { job, version }, interrupted.clone(), now);
            }
        }
    }

    fn follow_progress(&mut self, now: Timestamp) {
        for (key, progress, is_due) in self.children.progress(now) {
            if is_due && let Some(mut entry) = self.objects.training(&key.job) {
                entry.status.progress_percent = Some(progress.percent);
                self.objects.set_training(&key.job, entry.status);
            }
            self.events.send(Event::TrainingProgress {
                job: key.job,
                version: key.version,
                percent: progress.percent,
                stage: progress.stage,
            });
        }
    }

    /// Returns the jobs whose turn it is and whose model is not what it was when they were decided about.
    fn in_turn(&mut self) -> Vec<ObjectName> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let after = match &self.turn {
            Some(last) => (Excluded(last.clone()), Unbounded),
            None => (Unbounded, Unbounded),
        };
        let mut turn: Vec<(ObjectName, Arc<ObservedModel>)> = Vec::new();
        let mut take = |range: std::collections::btree_map::Range<'_, ObjectName, Arc<ObservedModel>>| {
            let left = TURN - turn.len();
            turn.extend(range.take(left).map(|(name, seen)| (name.clone(), seen.clone())));
        };
        take(self.seen.range::<ObjectName, _>(after));
        if let Some(last) = self.turn.take() {
            take(self.seen.range::<ObjectName, _>((Unbounded, Included(last))));
        }
        self.turn = turn.last().map(|(name, _)| name.clone());
        let has_changed = |(name, seen): (ObjectName, Arc<ObservedModel>)| {
            let model = self.objects.training(&name)?.object.spec.model;
            if self.registry.glance(&model) && self.registry.observe(&model).is_err() {
                return None;
            }
            let now = self.registry.known(&model)?;
            (!Arc::ptr_eq(&seen, &now) && seen.versions != now.versions).then_some(name)
        };
        turn.into_iter().filter_map(has_changed).collect()
    }
}
