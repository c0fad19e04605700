//! What this process applied last, so that what stands is not applied again at each step: pure.
//!
//! A child is left alone while its intent's hash and what it holds are those of the last apply of this process. What somebody
//! else made of it, as a watch tells, is applied over, but for what its own controller says of it in its status; and
//! everything is now and then, whatever a watch missed.

use std::collections::BTreeMap;

use chrono::Duration;
use kube::api::DynamicObject;
use planner::Timestamp;
use planner::names::{Digest, ObjectName};
use serde_json::json;

use crate::operator::child::{Child, ChildId};

/// How long what was applied counts.
const COUNTS: Duration = Duration::minutes(10);

#[derive(Debug, Default)]
pub(crate) struct Applied {
    of: BTreeMap<ObjectName, OfObject>,
}

#[derive(Debug, Default)]
struct OfObject {
    children: BTreeMap<ChildId, Known>,
    routed_at: Option<Timestamp>,
}

#[derive(Debug, PartialEq, Eq)]
enum Known {
    Is {
        intent: String,
        mark: Option<Mark>,
        at: Timestamp,
    },
    Absent,
}

/// What a child holds, but for its status: equal marks, equal children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark(Digest);

impl Mark {
    /// Returns the mark of a child as it is.
    pub(crate) fn of(child: &DynamicObject) -> Self {
        let mut metadata = child.metadata.clone();
        metadata.managed_fields = None;
        metadata.resource_version = None;
        // Of the template that it rolls out, which is told by the template.
        if let Some(said) = &mut metadata.annotations {
            said.remove("deployment.kubernetes.io/revision");
        }
        let mut data = child.data.clone();
        if let Some(data) = data.as_object_mut() {
            data.remove("status");
        }
        let text = json!([metadata, data]).to_string();
        Self(Digest::of(text.as_bytes()))
    }
}

impl Applied {
    /// Says whether a child is as it is to be, as far as is known.
    pub(crate) fn is_applied(&self, object: &ObjectName, child: &Child, now: Timestamp) -> bool {
        match self.known(object, &child.id) {
            Some(Known::Is { intent, at, .. }) => *intent == child.intent && *at <= now && now - *at < COUNTS,
            Some(Known::Absent) | None => false,
        }
    }

    pub(crate) fn is_absent(&self, object: &ObjectName, child: &ChildId) -> bool {
        self.known(object, child) == Some(&Known::Absent)
    }

    fn known(&self, object: &ObjectName, child: &ChildId) -> Option<&Known> {
        self.of.get(object)?.children.get(child)
    }

    /// Remembers an apply.
    pub(crate) fn applied(&mut self, object: &ObjectName, child: &Child, mark: Option<Mark>, at: Timestamp) {
        let intent = child.intent.clone();
        let known = Known::Is { intent, mark, at };
        self.of_mut(object).children.insert(child.id.clone(), known);
    }

    /// Remembers that a child is not there.
    pub(crate) fn absent(&mut self, object: &ObjectName, child: &ChildId) {
        self.of_mut(object).children.insert(child.clone(), Known::Absent);
    }

    /// Remembers that requests were given another way.
    pub(crate) fn routed(&mut self, object: &ObjectName, at: Timestamp) {
        self.of_mut(object).routed_at = Some(at);
    }

    fn of_mut(&mut self, object: &ObjectName) -> &mut OfObject {
        self.of.entry(object.clone()).or_default()
    }

    /// Takes in what a watch tells.
    pub(crate) fn saw(&mut self, object: &ObjectName, child: &ChildId, seen: Option<&Mark>) {
        let Some(of) = self.of.get_mut(object) else { return };
        let is_ours = match (of.children.get(child), seen) {
            (Some(Known::Is { mark, .. }), Some(seen)) => mark.as_ref() == Some(seen),
            (Some(Known::Absent), None) => true,
            (Some(Known::Is { .. }), None) | (Some(Known::Absent), Some(_)) | (None, _) => false,
        };
        if !is_ours {
            of.children.remove(child);
        }
    }

    pub(crate) fn forget(&mut self, object: &ObjectName) {
        self.of.remove(object);
    }

    /// Returns when this process gave requests of an object another way last.
    pub(crate) fn routed_at(&self, object: &ObjectName) -> Option<Timestamp> {
        self.of.get(object)?.routed_at
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::operator::child::ChildKind;

    fn child(kind: ChildKind, intent: &str) -> Child {
        Child {
            id: ChildId::new(kind, "iris-route"),
            intent: intent.to_owned(),
            document: Value::Null,
        }
    }

    fn mark(text: &str) -> Mark {
        Mark(Digest::of(text.as_bytes()))
    }

    #[test]
    fn a_child_is_another_one_by_all_but_its_status() {
        let document = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "iris", "resourceVersion": "7", "labels": { "a": "b" } },
            "spec": { "replicas": 2 }, "status": { "readyReplicas": 1 },
        });
        let of = |pointer: &str, value: Value| {
            let mut changed = document.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            Mark::of(&serde_json::from_value(changed).unwrap())
        };
        let same = of("/metadata/name", json!("iris"));
        assert_eq!(of("/status/readyReplicas", json!(2)), same);
        assert_eq!(of("/metadata/resourceVersion", json!("8")), same);
        assert_ne!(of("/spec/replicas", json!(3)), same);
        assert_ne!(of("/metadata/labels/a", json!("c")), same);
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + Duration::seconds(seconds)
    }

    #[test]
    fn what_stands_is_left_alone_until_somebody_else_writes() {
        let name: ObjectName = "iris".parse().unwrap();
        let child_a = child(ChildKind::HttpRoute, "a");
        let mut applied = Applied::default();
        assert!(!applied.is_applied(&name, &child_a, at(0)));
        applied.applied(&name, &child_a, Some(mark("7")), at(0));
        assert!(applied.is_applied(&name, &child_a, at(599)));
        assert!(
            !applied.is_applied(&name, &child_a, at(600)),
            "now and then it is"
        );
        assert!(
            !applied.is_applied(&name, &child_a, at(-1)),
            "the clock was set back"
        );
        assert!(!applied.is_applied(&name, &child(ChildKind::HttpRoute, "b"), at(1)));
        // The echo of the own apply, then somebody else's.
        applied.saw(&name, &child_a.id, Some(&mark("7")));
        assert!(applied.is_applied(&name, &child_a, at(1)));
        applied.saw(&name, &child_a.id, Some(&mark("8")));
        assert!(!applied.is_applied(&name, &child_a, at(1)));
        applied.applied(&name, &child_a, Some(mark("9")), at(2));
        applied.saw(&name, &child_a.id, None);
        assert!(!applied.is_applied(&name, &child_a, at(3)), "it was deleted");
    }

    #[test]
    fn what_is_absent_is_not_looked_for_until_it_comes() {
        let name: ObjectName = "iris".parse().unwrap();
        let id = ChildId::new(ChildKind::Budget, "iris-stable");
        let mut applied = Applied::default();
        assert!(!applied.is_absent(&name, &id));
        applied.absent(&name, &id);
        applied.saw(&name, &id, None);
        assert!(applied.is_absent(&name, &id));
        applied.saw(&name, &id, Some(&mark("7")));
        assert!(!applied.is_absent(&name, &id));
    }
}
