//! Which of the runs that are due start now.

use std::collections::{BTreeMap, BTreeSet};

use crate::Timestamp;
use crate::names::{ModelName, ObjectName, Version};

/// A run that is due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// The job.
    pub job: ObjectName,
    /// Its model.
    pub model: ModelName,
    /// The version that it publishes.
    pub version: Version,
    /// The slot that it is for.
    pub slot: Option<Timestamp>,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// The version that it is compared with.
    pub baseline: Option<Version>,
    /// Whether it makes the version that others of its model are compared with.
    pub is_baseline: bool,
}

/// Where a run stands in the queue: those that others are compared with come first.
type Place = (bool, ObjectName, Version);

/// The runs that are due and those under way. Asking costs what is admitted, not what is due.
#[derive(Debug, Clone, Default)]
pub struct Queue {
    due: BTreeMap<Place, Due>,
    of_job: BTreeMap<ObjectName, Vec<Place>>,
    /// The runs whose folder a process may still write to, be it on its way out or another job's, by how many.
    busy: BTreeMap<(ModelName, Version), usize>,
    /// The models whose baseline is due or under way, by how many runs.
    unfinished: BTreeMap<ModelName, usize>,
    running: usize,
}

impl Queue {
    /// Replaces what is due of a job.
    pub fn set(&mut self, job: &ObjectName, due: Vec<Due>) {
        for place in self.of_job.remove(job).unwrap_or_default() {
            if let Some(old) = self.due.remove(&place).filter(|old| old.is_baseline) {
                self.finish(&old.model);
            }
        }
        let mut places = Vec::new();
        for due in due {
            if due.is_baseline {
                *self.unfinished.entry(due.model.clone()).or_default() += 1;
            }
            let place = (!due.is_baseline, job.clone(), due.version.clone());
            places.push(place.clone());
            self.due.insert(place, due);
        }
        if !places.is_empty() {
            self.of_job.insert(job.clone(), places);
        }
    }

    /// Says that a run's process was started.
    pub fn started(&mut self, due: &Due) {
        if due.is_baseline {
            *self.unfinished.entry(due.model.clone()).or_default() += 1;
        }
        *self
            .busy
            .entry((due.model.clone(), due.version.clone()))
            .or_default() += 1;
        self.running += 1;
    }

    /// Says that a run's process is gone.
    pub fn ended(&mut self, due: &Due) {
        let key = (due.model.clone(), due.version.clone());
        if let Some(processes) = self.busy.get_mut(&key) {
            *processes -= 1;
            if *processes == 0 {
                self.busy.remove(&key);
            }
            self.running -= 1;
            if due.is_baseline {
                self.finish(&due.model);
            }
        }
    }

    /// Takes out what starts now, in order, so that at most `running_max` processes are under way: the pinned stable's
    /// runs before those that are compared with them, and none whose folder a process still writes to.
    pub fn admit(&mut self, running_max: usize) -> Vec<Due> {
        let free = running_max.saturating_sub(self.running);
        let mut taken: Vec<Place> = Vec::new();
        let mut claimed: BTreeSet<(&ModelName, &Version)> = BTreeSet::new();
        for (place, due) in &self.due {
            if taken.len() == free {
                break;
            }
            let is_compared = !due.is_baseline && self.unfinished.contains_key(&due.model);
            let is_busy = self.busy.contains_key(&(due.model.clone(), due.version.clone()));
            if !is_compared && !is_busy && claimed.insert((&due.model, &due.version)) {
                taken.push(place.clone());
            }
        }
        taken.into_iter().filter_map(|place| self.take(&place)).collect()
    }

    /// Says whether nothing is due and nothing under way; nothing is remembered then.
    pub fn is_empty(&self) -> bool {
        self.due.is_empty() && self.of_job.is_empty() && self.running == 0
    }

    fn take(&mut self, place: &Place) -> Option<Due> {
        let due = self.due.remove(place)?;
        if let Some(places) = self.of_job.get_mut(&due.job) {
            places.retain(|other| other != place);
            if places.is_empty() {
                self.of_job.remove(&due.job);
            }
        }
        if due.is_baseline {
            self.finish(&due.model);
        }
        Some(due)
    }

    fn finish(&mut self, model: &ModelName) {
        if let Some(unfinished) = self.unfinished.get_mut(model) {
            *unfinished -= 1;
            if *unfinished == 0 {
                self.unfinished.remove(model);
            }
        }
    }
}
