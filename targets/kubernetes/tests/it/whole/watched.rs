//! Everything that becomes of objects, in the order in which it was written, and what must hold after each write.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt as _, TryStreamExt as _};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, WatchEvent, WatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::Value;
use tokio::task::JoinSet;

use super::carried::{Carried, carried, text};

const KINDS: [(&str, &str, &str); 11] = [
    ("aurora.io", "v1alpha1", "MLDeployment"),
    ("aurora.io", "v1alpha1", "MLTrainingJob"),
    ("apps", "v1", "Deployment"),
    ("", "v1", "Service"),
    ("", "v1", "ConfigMap"),
    ("policy", "v1", "PodDisruptionBudget"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler"),
    ("gateway.networking.k8s.io", "v1", "HTTPRoute"),
    ("gateway.networking.k8s.io", "v1", "GRPCRoute"),
    ("networking.k8s.io", "v1", "Ingress"),
    ("batch", "v1", "Job"),
];

/// Where a child says of which model it is.
const MODEL: &str = "/metadata/labels/aurora.io~1model";
/// What is said of an abort that did not last.
const ABORTED: &str = "is that of a canary that was aborted";

/// What was written in each namespace.
type Writes = Arc<Mutex<BTreeMap<String, Written>>>;

/// What was written in a namespace.
#[derive(Debug, Default)]
struct Written {
    /// By version: one for all kinds.
    writes: BTreeMap<u64, Write>,
    /// The objects that are there now.
    objects: Objects,
}

#[derive(Debug, Clone)]
struct Write {
    kind: &'static str,
    name: String,
    /// `None`: it is gone.
    object: Option<Value>,
}

/// Objects by kind and name.
pub(crate) type Objects = BTreeMap<(&'static str, String), Value>;

/// What watches all namespaces of a control plane, until it is dropped.
pub(crate) struct Watched {
    writes: Writes,
    _watches: JoinSet<()>,
}

impl Watched {
    /// Watches from now on.
    pub(crate) async fn begin(client: &Client) -> Self {
        let writes = Writes::default();
        let mut watches = JoinSet::new();
        for (group, version, kind) in KINDS {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            let list = api.list(&ListParams::default()).await.expect("a list");
            let since = list.metadata.resource_version.expect("a version");
            watches.spawn(record(api, kind, since, writes.clone()));
        }
        Self {
            writes,
            _watches: watches,
        }
    }

    /// Returns which write of a namespace was the last.
    pub(crate) fn version(&self, namespace: &str) -> u64 {
        let writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        let last = writes
            .get(namespace)
            .and_then(|written| written.writes.last_key_value());
        last.map(|(version, _)| *version).unwrap_or_default()
    }

    /// Returns the objects of a namespace as they are now.
    pub(crate) fn objects(&self, namespace: &str) -> Objects {
        let writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        writes
            .get(namespace)
            .map(|written| written.objects.clone())
            .unwrap_or_default()
    }

    /// Returns when a canary that was aborted was exposed again. What else does not hold while somebody edits is no fault.
    pub(crate) fn aborted(&self, namespace: &str) -> Vec<String> {
        let (_, mut broken) = self.broken(namespace);
        broken.retain(|what| what.contains(ABORTED));
        broken
    }

    /// Returns what did not hold of the objects of a namespace at some time, and how many writes were looked at.
    pub(crate) fn broken(&self, namespace: &str) -> (usize, Vec<String>) {
        let writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = State::default();
        let mut broken = Vec::new();
        let mut count = 0;
        for (version, write) in writes
            .get(namespace)
            .into_iter()
            .flat_map(|written| &written.writes)
        {
            count += 1;
            state.take(write);
            for what in state.broken() {
                broken.push(format!(
                    "{namespace}@{version} after {} {}: {what}",
                    write.kind, write.name
                ));
            }
        }
        (count, broken)
    }
}

impl Write {
    /// Makes the objects what they are after it.
    fn give(&self, objects: &mut Objects) {
        let key = (self.kind, self.name.clone());
        match &self.object {
            Some(object) => drop(objects.insert(key, object.clone())),
            None => drop(objects.remove(&key)),
        }
    }
}

async fn record(api: Api<DynamicObject>, kind: &'static str, mut since: String, writes: Writes) {
    loop {
        let params = WatchParams::default().timeout(290);
        let params = match kind {
            // Others keep theirs in each namespace.
            "ConfigMap" => params.labels("aurora.io/model"),
            _ => params,
        };
        let Ok(events) = api.watch(&params, &since).await else {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            continue;
        };
        let mut events = events.boxed();
        while let Ok(Some(event)) = events.try_next().await {
            let (mut object, is_gone) = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
                WatchEvent::Deleted(object) => (object, true),
                WatchEvent::Bookmark(bookmark) => {
                    since = bookmark.metadata.resource_version;
                    continue;
                }
                WatchEvent::Error(error) => unreachable!("writes of {kind} were missed: {error:?}"),
            };
            since = object.resource_version().expect("a version");
            let version = since.parse().expect("a number");
            object.metadata.managed_fields = None;
            let namespace = object.namespace().unwrap_or_default();
            let write = Write {
                kind,
                name: object.name_any(),
                object: (!is_gone).then(|| serde_json::to_value(&object).expect("JSON")),
            };
            let mut writes = writes.lock().unwrap_or_else(PoisonError::into_inner);
            let written = writes.entry(namespace).or_default();
            write.give(&mut written.objects);
            written.writes.insert(version, write);
        }
    }
}

/// The objects of a namespace as they are after a write.
#[derive(Default)]
struct State {
    objects: Objects,
    /// What the ready pods of each Deployment serve.
    ready: BTreeMap<String, String>,
    /// The models that answered once.
    served: BTreeSet<String>,
    /// The aborted canary of each MLDeployment, and by which kinds of carriers it has no weight any more.
    aborted: BTreeMap<String, (Value, BTreeSet<&'static str>)>,
    /// Who has fewer replicas after the last write, though an autoscaler has their number.
    lowered: Vec<String>,
}

impl State {
    fn take(&mut self, write: &Write) {
        self.take_lowered(write);
        write.give(&mut self.objects);
        match write.kind {
            "Deployment" => self.take_ready(&write.name, write.object.as_ref()),
            "MLDeployment" => self.take_abort(&write.name, write.object.as_ref()),
            _ => {}
        }
    }

    fn take_lowered(&mut self, write: &Write) {
        let replicas = |object: &Value| object.pointer("/spec/replicas").and_then(Value::as_u64);
        let before = self
            .objects
            .get(&(write.kind, write.name.clone()))
            .and_then(replicas);
        let after = write.object.as_ref().and_then(replicas);
        let is_scaled = write.name.strip_suffix("-stable").is_some_and(|owner| {
            let owner = self.objects.get(&("MLDeployment", owner.to_owned()));
            owner.is_some_and(|owner| owner["spec"]["autoscaling"].is_object())
        });
        if let ("Deployment", true, Some(before), Some(after)) = (write.kind, is_scaled, before, after)
            && after < before
        {
            let name = &write.name;
            self.lowered
                .push(format!("{name} had {before} replicas and now {after}"));
        }
    }

    /// Ready are those of the newest template once there are no others, and of the one before until then.
    fn take_ready(&mut self, name: &str, deployment: Option<&Value>) {
        let number = |pointer: &str| {
            deployment
                .and_then(|found| found.pointer(pointer)?.as_i64())
                .unwrap_or_default()
        };
        if number("/status/readyReplicas") == 0 {
            self.ready.remove(name);
        } else if number("/status/observedGeneration") >= number("/metadata/generation")
            && number("/status/updatedReplicas") == number("/status/replicas")
        {
            self.ready.insert(name.to_owned(), digest(deployment));
        }
    }

    fn take_abort(&mut self, name: &str, object: Option<&Value>) {
        let at = |pointer: &str| {
            object
                .and_then(|object| object.pointer(pointer))
                .cloned()
                .unwrap_or_default()
        };
        let (canary, abort) = (
            at("/spec/canary/digest"),
            at("/metadata/annotations/aurora.io~1abort"),
        );
        let known = self
            .aborted
            .get(name)
            .is_some_and(|(digest, _)| *digest == canary);
        // An object that is gone may be made anew.
        if object.is_none() {
            return;
        }
        if canary.is_null() || !known && abort != canary {
            self.aborted.remove(name);
        } else if !known {
            self.aborted.insert(name.to_owned(), (canary, BTreeSet::new()));
        }
    }

    fn broken(&mut self) -> Vec<String> {
        let carried = carried(&self.objects);
        let mut broken = self.unanswered(&carried);
        broken.append(&mut self.lowered);
        for Carried {
            kind, owner, shares, ..
        } in carried
        {
            let canary = format!("{owner}-canary");
            let weight = shares.get(&canary).copied().unwrap_or_default();
            for service in shares.keys() {
                if !self.objects.contains_key(&("Service", service.clone())) {
                    broken.push(format!("a share is {service}'s, which is not there"));
                }
            }
            let stable = format!("{owner}-stable");
            for (track, share) in [(&stable, 100 - weight), (&canary, weight)] {
                let deployment = self.objects.get(&("Deployment", track.clone()));
                match self.ready.get(track) {
                    _ if share == 0 => {}
                    None => broken.push(format!("{share} % is {track}'s, which does not answer")),
                    Some(ready) if *track == canary && *ready != digest(deployment) => {
                        broken.push(format!("{share} % is {track}'s, which turns into something else"));
                    }
                    Some(_) => {}
                }
            }
            if let Some((_, closed)) = self.aborted.get_mut(&owner) {
                if closed.contains(kind) && weight > 0 {
                    broken.push(format!("{weight} % {ABORTED}"));
                }
                if weight == 0 {
                    closed.insert(kind);
                }
            }
        }
        broken
    }

    /// Returns the models that answered, are still declared, and do not answer now: of two that carry a model's requests
    /// the older one counts.
    fn unanswered(&mut self, carried: &[Carried]) -> Vec<String> {
        let mut oldest: BTreeMap<&String, &Carried> = BTreeMap::new();
        for carried in carried {
            let of_model = oldest.entry(&carried.model).or_insert(carried);
            if carried.age < of_model.age {
                *of_model = carried;
            }
        }
        let answers = |carried: &&Carried| {
            let mut tracks = carried.shares.iter().filter(|(_, share)| **share > 0);
            let is_routed = carried
                .router
                .as_ref()
                .is_none_or(|router| self.ready.contains_key(router));
            is_routed
                && tracks.all(|(track, _)| {
                    let deployment = self.objects.get(&("Deployment", track.clone()));
                    let is_of_model = deployment.is_some_and(|found| text(found, MODEL) == carried.model);
                    self.ready.contains_key(track) && is_of_model
                })
        };
        let answering: BTreeSet<String> = oldest
            .into_values()
            .filter(answers)
            .map(|carried| carried.model.clone())
            .collect();
        let declared = self.objects.iter().filter(|((kind, _), object)| {
            *kind == "MLDeployment" && object["metadata"]["deletionTimestamp"].is_null()
        });
        let declared: BTreeSet<String> = declared
            .map(|(_, object)| text(object, "/spec/modelName"))
            .collect();
        self.served.retain(|model| declared.contains(model));
        let unanswered = self
            .served
            .difference(&answering)
            .map(|model| format!("nobody answers for {model}"));
        let unanswered = unanswered.collect();
        self.served.extend(answering);
        unanswered
    }
}

/// What the pods of a Deployment are to serve.
fn digest(deployment: Option<&Value>) -> String {
    let at = "/spec/template/metadata/annotations/aurora.io~1digest";
    let found = deployment.and_then(|found| found.pointer(at)?.as_str());
    found.unwrap_or_default().to_owned()
}
