//! What there is in an environment, without what differs from one time to the next.

use std::collections::BTreeMap;

use planner::names::Track;
use serde_json::{Value, json};

use crate::desired::Desired;
use crate::whole::{MODEL, Objects};

/// What the API server and its controllers make of themselves.
const THEIRS: [&str; 7] = [
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "generation",
    "managedFields",
    "namespace",
    "selfLink",
];

/// Objects and aliases by kind and name.
pub(crate) type Snapshot = BTreeMap<String, Value>;

impl Desired {
    /// Looks at objects, and at how deployments stand.
    pub(crate) fn snapshot_of(&self, objects: &Objects) -> Snapshot {
        let objects = objects.iter();
        objects
            .map(|((kind, name), object)| (format!("{kind} {name}"), self.timeless(object)))
            .collect()
    }

    /// Looks at the registry: aliases, and what the history tells.
    pub(crate) fn snapshot_of_registry(&self) -> Snapshot {
        let mut snapshot = Snapshot::new();
        let store = self.store();
        let model = MODEL.parse().expect("a name");
        for track in [Track::Stable, Track::Canary] {
            let alias = self
                .root()
                .join("aurora")
                .join(MODEL)
                .join("aliases")
                .join(track.as_str());
            let target = std::fs::read_link(alias).ok();
            snapshot.insert(format!("alias {track}"), json!(target));
        }
        let history = store.history(&model, 100).expect("a history").into_iter();
        let history: Vec<String> = history
            .map(|entry| {
                format!(
                    "{:?} {:?} {:?} {:?}",
                    entry.event, entry.alias, entry.from, entry.to
                )
            })
            .collect();
        snapshot.insert("history".to_owned(), json!(history));
        snapshot
    }

    fn timeless(&self, object: &Value) -> Value {
        let mut object = object.clone();
        let generation = object["metadata"]["generation"].clone();
        let metadata = &mut object["metadata"];
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.retain(|name, _| !THEIRS.contains(&name.as_str()));
        }
        if let Some(said) = metadata["annotations"].as_object_mut() {
            said.remove("aurora.io/intent");
            said.remove("deployment.kubernetes.io/revision");
        }
        for owner in metadata["ownerReferences"].as_array_mut().into_iter().flatten() {
            owner["uid"] = Value::Null;
        }
        for address in ["clusterIP", "clusterIPs"] {
            if !object["spec"][address].is_null() {
                object["spec"][address] = json!("an address");
            }
        }
        let status = object["status"].take();
        if object["kind"] == "Deployment" {
            // Told by its controller, so that the next phase begins with the same each time.
            let is_told = status["observedGeneration"] == generation;
            object["status"] = json!([is_told, status["replicas"], status["readyReplicas"]]);
        }
        if object["kind"] == "MLDeployment" {
            let kept = ["state", "weight", "stable", "canary"].map(|name| status[name].clone());
            object["status"] = json!(kept);
        }
        // Which commit is whose is the same each time, its name is not.
        let mut text = object.to_string().replace(self.namespace.name(), "NAMESPACE");
        let mut walk = self.repo.git().revwalk().expect("a walk");
        walk.push_ref("refs/heads/main").expect("a branch");
        let commits: Vec<_> = walk.map(|id| id.expect("a commit").to_string()).collect();
        for (number, commit) in commits.iter().rev().enumerate() {
            text = text.replace(commit, &format!("commit-{number}"));
        }
        serde_json::from_str(&text).expect("JSON")
    }
}
