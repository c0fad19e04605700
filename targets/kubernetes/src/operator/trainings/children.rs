//! Which Jobs and Pods there are, as watches tell: pure. It says whom to ask for and whom to step; what they are like is
//! asked for when it matters.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use kube::core::ObjectMeta;
use planner::names::{ModelName, ObjectName, Version};

use crate::build::{MODEL, VERSION};

/// The label with which a Job's controller names the Job on a Pod.
pub(super) const JOB_OF_POD: &str = "batch.kubernetes.io/job-name";
/// The label of a child with its object's name.
const INSTANCE: &str = "app.kubernetes.io/instance";

/// A version of a model: what a run writes.
type Written = (ModelName, Version);

#[derive(Debug, Default)]
pub(super) struct Children {
    jobs: BTreeMap<ObjectName, BTreeSet<String>>,
    owner_of: BTreeMap<String, ObjectName>,
    pods: BTreeMap<String, SeenPod>,
    pods_of: BTreeMap<String, BTreeSet<String>>,
    /// The Pods that may still write a version, by their names.
    writers: BTreeMap<Written, BTreeSet<String>>,
}

/// A Pod as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SeenPod {
    object: Option<ObjectName>,
    job: String,
    /// What it may still write.
    writes: Option<Written>,
}

/// Returns the MLTrainingJob that a Job is of.
pub(super) fn owner(job: &ObjectMeta) -> Option<ObjectName> {
    let owners = job.owner_references.as_ref()?;
    let owner = owners.iter().find(|owner| owner.kind == "MLTrainingJob")?;
    owner.name.parse().ok()
}

impl Children {
    /// Takes in whose a Job is; `None`: it is gone. Returns whose it was or is.
    pub(super) fn set_job(&mut self, name: &str, owner: Option<ObjectName>) -> Option<ObjectName> {
        let before = match &owner {
            Some(owner) => self.owner_of.insert(name.to_owned(), owner.clone()),
            None => self.owner_of.remove(name),
        };
        if let Some(before) = &before
            && let Some(jobs) = self.jobs.get_mut(before)
        {
            jobs.remove(name);
            if jobs.is_empty() {
                self.jobs.remove(before);
            }
        }
        if let Some(owner) = &owner {
            self.jobs
                .entry(owner.clone())
                .or_default()
                .insert(name.to_owned());
        }
        owner.or(before)
    }

    /// Takes in a Pod; `None`: it is gone. Returns whose it was or is.
    pub(super) fn set_pod(&mut self, name: &str, pod: Option<&Pod>) -> Option<ObjectName> {
        let after = pod.and_then(read);
        let before = match &after {
            Some(after) => self.pods.insert(name.to_owned(), after.clone()),
            None => self.pods.remove(name),
        };
        if let Some(before) = &before {
            take_out(&mut self.pods_of, &before.job, name);
            if let Some(written) = &before.writes {
                take_out(&mut self.writers, written, name);
            }
        }
        if let Some(after) = &after {
            put_in(&mut self.pods_of, after.job.clone(), name);
            if let Some(written) = &after.writes {
                put_in(&mut self.writers, written.clone(), name);
            }
        }
        after.or(before)?.object
    }

    /// Forgets all Jobs but these, which a list has told of. Returns whose the others were.
    pub(super) fn keep_jobs(&mut self, listed: &BTreeSet<String>) -> Vec<ObjectName> {
        let gone = self.owner_of.keys().filter(|name| !listed.contains(*name));
        let gone: Vec<String> = gone.cloned().collect();
        gone.iter().filter_map(|name| self.set_job(name, None)).collect()
    }

    /// Forgets all Pods but these, which a list has told of. Returns whose the others were.
    pub(super) fn keep_pods(&mut self, listed: &BTreeSet<String>) -> Vec<ObjectName> {
        let gone = self.pods.keys().filter(|name| !listed.contains(*name));
        let gone: Vec<String> = gone.cloned().collect();
        gone.iter().filter_map(|name| self.set_pod(name, None)).collect()
    }

    /// Returns the Jobs of an object.
    pub(super) fn jobs(&self, object: &ObjectName) -> BTreeSet<String> {
        self.jobs.get(object).cloned().unwrap_or_default()
    }

    /// Returns the Pods of a Job.
    pub(super) fn pods(&self, job: &str) -> BTreeSet<String> {
        self.pods_of.get(job).cloned().unwrap_or_default()
    }

    /// Says whether a Pod of another Job than this one may still write a version.
    pub(super) fn is_written_by_another(&self, model: &ModelName, version: &Version, job: &str) -> bool {
        let writers = self.writers.get(&(model.clone(), version.clone()));
        let jobs = writers.into_iter().flatten().filter_map(|pod| self.pods.get(pod));
        jobs.into_iter().any(|pod| pod.job != job)
    }
}

/// Reads a Pod of a training run.
fn read(pod: &Pod) -> Option<SeenPod> {
    let labels = pod.metadata.labels.as_ref()?;
    let annotations = pod.metadata.annotations.as_ref();
    let version = || annotations?.get(VERSION)?.parse().ok();
    let model = || labels.get(MODEL)?.parse().ok();
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    let is_over = matches!(phase, Some("Succeeded" | "Failed"));
    Some(SeenPod {
        object: labels.get(INSTANCE).and_then(|name| name.parse().ok()),
        job: labels.get(JOB_OF_POD)?.clone(),
        writes: (!is_over).then(|| model().zip(version())).flatten(),
    })
}

fn put_in<K: Ord>(sets: &mut BTreeMap<K, BTreeSet<String>>, key: K, name: &str) {
    sets.entry(key).or_default().insert(name.to_owned());
}

fn take_out<K: Ord>(sets: &mut BTreeMap<K, BTreeSet<String>>, key: &K, name: &str) {
    if let Some(set) = sets.get_mut(key) {
        set.remove(name);
        if set.is_empty() {
            sets.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(job: &str, phase: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "labels": { INSTANCE: "wine", MODEL: "wine", JOB_OF_POD: job },
                "annotations": { VERSION: "v20261101-120000" },
            },
            "status": { "phase": phase },
        }))
        .unwrap()
    }

    fn name(name: &str) -> ObjectName {
        name.parse().unwrap()
    }

    #[test]
    fn whose_a_job_and_a_pod_is_is_told_while_they_are_there_and_when_they_go() {
        let mut children = Children::default();
        assert_eq!(children.set_job("wine-1", Some(name("wine"))), Some(name("wine")));
        children.set_job("iris-1", Some(name("iris")));
        assert_eq!(
            children.jobs(&name("wine")),
            BTreeSet::from(["wine-1".to_owned()])
        );
        assert_eq!(
            children.set_pod("a", Some(&pod("wine-1", "Running"))),
            Some(name("wine"))
        );
        assert_eq!(children.pods("wine-1"), BTreeSet::from(["a".to_owned()]));
        assert_eq!(children.keep_pods(&BTreeSet::new()), [name("wine")]);
        assert_eq!(
            children.keep_jobs(&BTreeSet::from(["iris-1".to_owned()])),
            [name("wine")]
        );
        assert_eq!(children.set_job("iris-1", None), Some(name("iris")));
        assert_eq!(children.set_job("iris-1", None), None);
        assert!(children.jobs.is_empty() && children.pods_of.is_empty() && children.writers.is_empty());
    }

    /// A Job that was deleted leaves a Pod that goes on for its grace period.
    #[test]
    fn a_pod_that_has_not_ended_may_write() {
        let mut children = Children::default();
        let (model, version) = ("wine".parse().unwrap(), "v20261101-120000".parse().unwrap());
        let mut check = |phase: Option<&str>, job: &str, expected: bool| {
            children.set_pod("a", phase.map(|phase| pod("wine-1", phase)).as_ref());
            let told = children.is_written_by_another(&model, &version, job);
            assert_eq!(told, expected, "{phase:?} {job}");
        };
        check(Some("Running"), "wine-1", false);
        check(Some("Running"), "wine-2", true);
        check(Some("Pending"), "wine-2", true);
        check(Some("Failed"), "wine-2", false);
        check(None, "wine-2", false);
    }
}
