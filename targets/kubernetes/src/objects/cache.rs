//! What is known of the objects, by lists, watches and what our own writes were answered: values in, values out.
//!
//! Each report carries the `resourceVersion` of its object, and an older one than what is known says nothing. So the answer
//! to a write counts at once, and the watch that tells of it later changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use crds::{ENVIRONMENT_LABEL, MLEnvironmentStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::core::{DynamicObject, ObjectMeta};
use planner::environment::Drift;
use planner::names::{Digest, EnvironmentName, ModelName, Version};
use planner::object::{Kind, ObjectId};
use planner::trust::Trust;
use reconciler::objects::resource::{read, read_published, read_report};
use reconciler::objects::{Changes, Log, Mark, ObservedObject};
use serde_json::Value;

use super::MANAGER;

/// What asks for a pass at once.
pub(crate) const REQUESTED_AT: &str = "aurora.io/requestedAt";

/// Which installation this is: what the registry knows its owner by.
pub(super) const INSTALLATION: &str = "aurora.io/installation";

/// Everything that is known of one environment's objects.
#[derive(Debug)]
pub(super) struct Cache {
    environment: EnvironmentName,
    known: BTreeMap<ObjectId, Known>,
    /// The objects that we saw end, by their uid, until a watch has told that too.
    ended: BTreeMap<ObjectId, String>,
    /// Those of ours that make no sense, and what is wrong with them.
    unreadable: BTreeMap<ObjectId, String>,
    changes: Log,
    report: Option<MLEnvironmentStatus>,
    requested_at: Option<String>,
    installation: Option<String>,
}

/// What a run has published, by the status of its job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Published {
    pub(crate) model: ModelName,
    pub(crate) version: Version,
    pub(crate) digest: Digest,
}

/// One object of one of our kinds, whoever made it.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) uid: String,
    pub(super) resource_version: String,
    pub(super) generation: Option<i64>,
    pub(super) holder: Holder,
    /// Whether it is being deleted.
    pub(super) is_terminating: bool,
    /// Whether that is what we wanted.
    is_released: bool,
    /// Who beside us wrote the spec as it is.
    pub(super) editors: BTreeSet<String>,
    pub(super) content: Content,
    /// What its runs have published, of a job.
    published: Vec<(Version, Digest)>,
}

/// Whose an object is, by its label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holder {
    /// This environment's.
    Ours,
    /// Another environment's.
    Other(String),
    /// Nobody's.
    Nobody,
}

/// What an object says.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all are read")]
pub(super) enum Content {
    /// It is of this environment and makes sense.
    Read(ObservedObject),
    /// It is not of this environment, or makes no sense: its spec as it is.
    Raw(Value),
}

impl Cache {
    pub(super) fn new(environment: EnvironmentName) -> Self {
        Self {
            environment,
            known: BTreeMap::new(),
            ended: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            changes: Log::default(),
            report: None,
            requested_at: None,
            installation: None,
        }
    }

    pub(super) fn known(&self, id: &ObjectId) -> Option<&Known> {
        self.known.get(id)
    }

    /// Returns the report as it was written last.
    pub(super) fn report(&self) -> Option<&MLEnvironmentStatus> {
        self.report.as_ref()
    }

    /// Returns the uid of an object of ours that is to be deleted; `None` where nothing is left to do.
    pub(super) fn removable(&mut self, id: &ObjectId) -> Option<String> {
        let known = self.known.get(id)?;
        if known.holder != Holder::Ours {
            return None;
        }
        if known.is_terminating {
            self.release(id);
            return None;
        }
        Some(known.uid.clone())
    }

    /// Returns what `reconcile --now` asked for last.
    pub(super) fn requested_at(&self) -> Option<&str> {
        self.requested_at.as_deref()
    }

    /// Returns what becomes of what somebody else changed: as the commit says that was applied last.
    pub(super) fn drift(&self) -> Drift {
        let id = ObjectId::environment(&self.environment);
        match self.known.get(&id).map(|known| &known.content) {
            Some(Content::Read(ObservedObject::Environment(environment))) => environment.drift,
            _ => Drift::default(),
        }
    }

    /// Returns whose signature versions need, as the MLEnvironment says, and of which version that is; nothing where it is not
    /// known.
    pub(super) fn trust(&self) -> Option<(String, Option<Trust>)> {
        let known = self.known.get(&ObjectId::environment(&self.environment))?;
        match &known.content {
            Content::Read(ObservedObject::Environment(environment)) => {
                Some((known.resource_version.clone(), environment.models.trust()))
            }
            Content::Read(_) | Content::Raw(_) => None,
        }
    }

    /// Returns which installation this is, by the MLEnvironment.
    pub(super) fn installation(&self) -> Option<&str> {
        self.installation.as_deref()
    }

    /// Says which installation this is; the MLEnvironment is written with it.
    pub(super) fn set_installation(&mut self, installation: &str) {
        self.installation = Some(installation.to_owned());
    }

    /// Takes in an object as it was reported; returns whether anything that is observed changed.
    pub(super) fn take(&mut self, kind: Kind, object: DynamicObject) -> bool {
        let Some(id) = id(kind, &object.metadata) else {
            return false;
        };
        let uid = object.metadata.uid.clone().unwrap_or_default();
        let before = self.known.get(&id);
        let is_old = before.is_some_and(|before| {
            let version = object.metadata.resource_version.as_deref().unwrap_or_default();
            before.uid == uid && is_at_least(&before.resource_version, version)
        });
        if is_old || self.ended.get(&id) == Some(&uid) {
            return false;
        }
        let was_released = before.is_some_and(|before| before.uid == uid && before.is_released);
        self.ended.remove(&id);
        let known = self.read(kind, &id, object, was_released);
        self.replace(&id, Some(known))
    }

    /// Takes in that an object is gone, whatever became of its name since.
    pub(super) fn gone(&mut self, kind: Kind, metadata: &ObjectMeta) -> bool {
        let Some(id) = id(kind, metadata) else {
            return false;
        };
        let uid = metadata.uid.as_deref().unwrap_or_default();
        if self.ended.get(&id).is_some_and(|ended| ended == uid) {
            self.ended.remove(&id);
        }
        if self.known.get(&id).is_none_or(|known| known.uid != uid) {
            return false;
        }
        self.replace(&id, None)
    }

    /// Takes in that our deletion took an object at once.
    pub(super) fn ended(&mut self, id: &ObjectId, uid: &str) {
        if self.known.get(id).is_some_and(|known| known.uid == uid) {
            self.ended.insert(id.clone(), uid.to_owned());
            self.replace(id, None);
        }
    }

    /// Takes in that there is nothing of that name.
    pub(super) fn absent(&mut self, id: &ObjectId) {
        self.replace(id, None);
    }

    /// Notes that we want the end of an object that is being deleted: it counts as gone from now on.
    pub(super) fn release(&mut self, id: &ObjectId) {
        let Some(known) = self.known.get(id) else {
            return;
        };
        let released = Known {
            is_released: true,
            ..known.clone()
        };
        self.replace(id, Some(released));
    }

    /// Takes in all objects of a kind as they were at a version. What is known of later stays.
    pub(super) fn listed(&mut self, kind: Kind, objects: Vec<DynamicObject>, version: &str) -> bool {
        let there: BTreeSet<ObjectId> = objects
            .iter()
            .filter_map(|object| id(kind, &object.metadata))
            .collect();
        let is_gone = |(id, known): &(&ObjectId, &Known)| {
            id.kind == kind && !there.contains(id) && is_at_least(version, &known.resource_version)
        };
        let gone: Vec<ObjectId> = self
            .known
            .iter()
            .filter(is_gone)
            .map(|(id, _)| id.clone())
            .collect();
        self.ended.retain(|id, _| id.kind != kind || there.contains(id));
        let mut is_news = false;
        for id in gone {
            is_news |= self.replace(&id, None);
        }
        for object in objects {
            is_news |= self.take(kind, object);
        }
        is_news
    }

    /// Returns the objects of ours that make no sense, each with what is wrong with it.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = (&ObjectId, &str)> {
        let unreadable = self.unreadable.iter();
        unreadable.map(|(id, why)| (id, why.as_str()))
    }

    /// Returns what changed since a mark, or everything.
    pub(super) fn changes(&self, since: Option<Mark>) -> Changes {
        let ids = since.and_then(|Mark(since)| self.changes.since(Some(since)));
        let mut changes = Changes {
            mark: Mark(self.changes.now()),
            is_complete: ids.is_none(),
            report: self.report.clone().filter(|_| ids.is_none()).map(Box::new),
            ..Changes::default()
        };
        for id in ids.unwrap_or_else(|| self.known.keys().cloned().collect()) {
            match self.known.get(&id).and_then(Known::observed) {
                Some(object) => changes.objects.push(object.clone()),
                None if !changes.is_complete => changes.gone.push(id),
                None => {}
            }
        }
        changes
    }

    /// Returns what runs published by the statuses that changed since a mark, or by all, and the mark of now.
    pub(super) fn published(&self, since: Option<Mark>) -> (Mark, Vec<Published>) {
        let ids = since.and_then(|Mark(since)| self.changes.since(Some(since)));
        let ids = ids.unwrap_or_else(|| self.known.keys().cloned().collect());
        let mut all = Vec::new();
        for known in ids.iter().filter_map(|id| self.known.get(id)) {
            if let Some(ObservedObject::Training(_, found)) = known.observed() {
                let model = &found.object.spec.model;
                all.extend(known.published.iter().map(|(version, digest)| Published {
                    model: model.clone(),
                    version: version.clone(),
                    digest: *digest,
                }));
            }
        }
        (Mark(self.changes.now()), all)
    }

    fn read(&mut self, kind: Kind, id: &ObjectId, object: DynamicObject, was_released: bool) -> Known {
        let metadata = object.metadata.clone();
        let label = metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(ENVIRONMENT_LABEL));
        let holder = match label {
            Some(label) if label == self.environment.as_str() => Holder::Ours,
            Some(label) => Holder::Other(label.clone()),
            None => Holder::Nobody,
        };
        let value = serde_json::to_value(object).unwrap_or_default();
        if *id == ObjectId::environment(&self.environment) && holder == Holder::Ours {
            self.report = read_report(&value);
            let annotation = |name| metadata.annotations.as_ref()?.get(name).cloned();
            self.requested_at = annotation(REQUESTED_AT);
            self.installation = annotation(INSTALLATION).or(self.installation.take());
        }
        self.unreadable.remove(id);
        let raw = |value: &Value| Content::Raw(value.get("spec").cloned().unwrap_or_default());
        let published = if kind == Kind::Training && holder == Holder::Ours {
            read_published(&value)
        } else {
            Vec::new()
        };
        let content = if holder == Holder::Ours {
            let spec = raw(&value);
            match read(kind, value) {
                Ok(object) => Content::Read(object),
                Err(error) => {
                    tracing::warn!(object = %id, %error, "an object makes no sense: it is made anew from Git, if it is there");
                    self.unreadable.insert(id.clone(), error.to_string());
                    spec
                }
            }
        } else {
            raw(&value)
        };
        Known {
            uid: metadata.uid.unwrap_or_default(),
            resource_version: metadata.resource_version.unwrap_or_default(),
            generation: metadata.generation,
            holder,
            is_terminating: metadata.deletion_timestamp.is_some(),
            is_released: was_released,
            editors: editors(metadata.managed_fields.as_deref().unwrap_or_default()),
            content,
            published,
        }
    }

    /// Replaces what is known, and notes a change of what is observed.
    fn replace(&mut self, id: &ObjectId, after: Option<Known>) -> bool {
        let is_end = after.is_none();
        if is_end {
            self.unreadable.remove(id);
        }
        let seen = after.as_ref().and_then(Known::observed).cloned();
        let before = match after {
            Some(known) => self.known.insert(id.clone(), known),
            None => self.known.remove(id),
        };
        // The end of what was waited for is news, too: its name is free.
        let is_awaited_end = is_end && before.as_ref().is_some_and(|known| known.is_terminating);
        let is_news = before.as_ref().and_then(Known::observed) != seen.as_ref() || is_awaited_end;
        if is_news {
            self.changes.touch(id);
        }
        is_news
    }
}

impl Known {
    /// Returns the object, if it is one of this environment's that is there to stay.
    fn observed(&self) -> Option<&ObservedObject> {
        match &self.content {
            Content::Read(object) if !(self.is_terminating && self.is_released) => Some(object),
            Content::Read(_) | Content::Raw(_) => None,
        }
    }
}

/// Names an object; `None` for a name that none of ours can have.
fn id(kind: Kind, metadata: &ObjectMeta) -> Option<ObjectId> {
    let name = metadata.name.as_deref()?.parse().ok()?;
    Some(ObjectId { kind, name })
}

/// Says whether a version is at least another, as an API server promises that they can be compared: they are numbers, and
/// grow.
fn is_at_least(version: &str, other: &str) -> bool {
    match (version.parse::<u64>(), other.parse::<u64>()) {
        (Ok(version), Ok(other)) => version >= other,
        _ => false,
    }
}

/// Returns who beside us owns the spec. It is atomic, so it has one writer, or several that agree.
fn editors(entries: &[ManagedFieldsEntry]) -> BTreeSet<String> {
    let owns_spec = |entry: &&ManagedFieldsEntry| {
        let fields = entry.fields_v1.as_ref();
        fields.is_some_and(|fields| fields.0.get("f:spec").is_some())
    };
    let managers = entries.iter().filter(owns_spec);
    managers
        .filter_map(|entry| entry.manager.clone())
        .filter(|manager| manager != MANAGER)
        .collect()
}

#[cfg(test)]
mod tests {
    use planner::runs::{Outcome, Record, Records};
    use serde_json::json;

    use super::*;

    fn object(name: &str, uid: &str, version: u64) -> DynamicObject {
        let digest = planner::names::Digest::of(&version.to_be_bytes());
        serde_json::from_value(json!({
            "apiVersion": crds::API_VERSION,
            "kind": "MLDeployment",
            "metadata": {
                "name": name, "uid": uid, "resourceVersion": version.to_string(),
                "labels": { ENVIRONMENT_LABEL: "dev" },
                "annotations": {
                    "aurora.io/revision": "a".repeat(40), "aurora.io/stable-revision": "a".repeat(40),
                },
            },
            "spec": { "modelName": name, "stable": { "version": "v20260101-000000", "digest": digest } },
        }))
        .unwrap()
    }

    fn named(name: &str) -> ObjectId {
        ObjectId::deployment(&name.parse().unwrap())
    }

    /// What is observed: each object's name and the version of it that is known.
    fn seen(cache: &Cache) -> Vec<String> {
        let known = cache.known.iter().filter(|(_, known)| known.observed().is_some());
        known
            .map(|(id, known)| format!("{}@{}", id.name, known.resource_version))
            .collect()
    }

    fn take(cache: &mut Cache, object: DynamicObject) -> bool {
        cache.take(Kind::Deployment, object)
    }

    #[test]
    fn an_older_report_says_nothing() {
        let mut cache = Cache::new("dev".parse().unwrap());
        assert!(take(&mut cache, object("a", "1", 20)), "the answer to a write");
        assert!(!take(&mut cache, object("a", "1", 20)), "its watch");
        assert!(!take(&mut cache, object("a", "1", 10)), "a late one");
        assert_eq!(seen(&cache), ["a@20"]);
        assert!(
            take(&mut cache, object("a", "2", 30)),
            "another object of the name"
        );
        assert!(
            !cache.gone(Kind::Deployment, &object("a", "1", 25).metadata),
            "the end of the first"
        );
        assert_eq!(seen(&cache), ["a@30"]);
    }

    #[test]
    fn what_our_deletion_took_does_not_come_back() {
        let mut cache = Cache::new("dev".parse().unwrap());
        take(&mut cache, object("a", "1", 20));
        cache.ended(&named("a"), "1");
        assert!(!take(&mut cache, object("a", "1", 19)));
        assert!(!take(&mut cache, object("a", "1", 21)), "a watch that is behind");
        assert_eq!(seen(&cache), Vec::<String>::new());
        assert!(!cache.gone(Kind::Deployment, &object("a", "1", 22).metadata));
        assert!(take(&mut cache, object("a", "2", 23)));
        assert_eq!(seen(&cache), ["a@23"]);
    }

    #[test]
    fn a_list_removes_what_is_older_than_it() {
        let mut cache = Cache::new("dev".parse().unwrap());
        for (name, version) in [("a", 10), ("b", 11), ("c", 30)] {
            take(&mut cache, object(name, name, version));
        }
        let mark = cache.changes(None).mark;
        // `c` was written while the list was made.
        cache.listed(Kind::Deployment, vec![object("a", "a", 10)], "20");
        assert_eq!(seen(&cache), ["a@10", "c@30"]);
        let changes = cache.changes(Some(mark));
        assert_eq!((changes.objects.len(), changes.gone), (0, vec![named("b")]));
    }

    #[test]
    fn what_runs_published_is_told_once_and_not_what_was_there_before_any() {
        let job = |version: u64, outcome: Option<Outcome>| -> DynamicObject {
            let digest = Digest::of(b"inputs");
            let record = |outcome| Record {
                version: "v20260101-000000".parse().unwrap(),
                inputs: digest,
                spec_hash: digest,
                slot: None,
                attempt: 1,
                started_at: planner::Timestamp::UNIX_EPOCH,
                outcome,
            };
            let memory = Records {
                runs: outcome.map(record).into_iter().collect(),
                behind_since: None,
            };
            serde_json::from_value(json!({
                "apiVersion": crds::API_VERSION,
                "kind": "MLTrainingJob",
                "metadata": {
                    "name": "a", "uid": "1", "resourceVersion": version.to_string(),
                    "labels": { ENVIRONMENT_LABEL: "dev" },
                    "annotations": {
                        "aurora.io/revision": "a".repeat(40), "aurora.io/committed-at": "2026-11-01T12:00:00Z",
                    },
                },
                "spec": {
                    "modelName": "iris", "version": "v20260101-000000", "dataset": { "uri": "builtin:iris" },
                    "algorithm": "logistic_regression", "evaluation": { "metric": "accuracy", "minimum": 0.5 },
                },
                "status": {
                    "phase": "Succeeded", "version": "v20260101-000000",
                    "digest": Digest::of(b"what was there").to_string(), "memory": memory,
                },
            }))
            .unwrap()
        };
        let mut cache = Cache::new("dev".parse().unwrap());
        let take = |cache: &mut Cache, version, outcome| cache.take(Kind::Training, job(version, outcome));
        assert!(take(&mut cache, 20, None));
        let (mark, published) = cache.published(None);
        assert_eq!(published, [], "the version was there before any run");
        assert!(take(&mut cache, 21, Some(Outcome::Running)));
        let (mark, published) = cache.published(Some(mark));
        assert_eq!(published, [], "it is under way");
        let digest = Digest::of(b"artifact");
        let at = planner::Timestamp::UNIX_EPOCH + std::time::Duration::from_mins(1);
        assert!(take(&mut cache, 22, Some(Outcome::Published { at, digest })));
        let (mark, published) = cache.published(Some(mark));
        let expected = Published {
            model: "iris".parse().unwrap(),
            version: "v20260101-000000".parse().unwrap(),
            digest,
        };
        assert_eq!(published, std::slice::from_ref(&expected));
        assert_eq!(cache.published(Some(mark)).1, [], "it was told");
        assert_eq!(cache.published(None).1, [expected], "to whoever asks first");
    }
}
