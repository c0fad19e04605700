//! Whether, and how, an object is applied over what is known of its name: values in, values out.

use std::collections::BTreeSet;

use planner::environment::Drift;
use planner::finding::{Disposition, Reason};
use planner::names::{EnvironmentName, Revision};
use planner::object::Kind;
use planner::observed::{DeploymentObject, TrainingObject};
use reconciler::objects::{Object, ObservedObject, TargetError};
use serde_json::{Map, Value};

use super::cache::{Content, Holder, Known};

/// How many fields that differ are told.
const FIELDS_MAX: usize = 8;

/// What is done about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is as it should be.
    Leave,
    /// It is made.
    Create,
    /// It is applied over what is there, if that is still as it was known.
    Apply {
        /// The object that is meant, and the version of it that this was decided on.
        uid: String,
        resource_version: String,
        /// Whether what others wrote gives way.
        force: bool,
        /// What of it somebody else had changed, for the log.
        corrects: Option<String>,
    },
}

/// An object as Git wants it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) object: &'a Object,
    /// The object as a custom resource.
    pub(super) resource: &'a Value,
    pub(super) environment: &'a EnvironmentName,
}

/// Decides on an object that Git wants as it is.
///
/// # Errors
///
/// It is somebody else's, on its way out, or changed by somebody else and that stands.
pub(super) fn decide(
    wanted: Wanted<'_>,
    known: Option<&Known>,
    drift: Drift,
) -> Result<Decision, TargetError> {
    let Wanted { object, resource, .. } = wanted;
    let Some(known) = known else {
        return Ok(Decision::Create);
    };
    if known.is_terminating {
        return Err(TargetError::new(
            Disposition::Waiting,
            Reason::ClusterUnavailable,
            "it is being deleted, and is made anew once it is gone; its finalizers say what it still waits for",
        ));
    }
    let apply = |force, corrects| Decision::Apply {
        uid: known.uid.clone(),
        resource_version: known.resource_version.clone(),
        force,
        corrects,
    };
    let spec = &resource["spec"];
    match (&known.holder, &known.content) {
        (Holder::Other(environment), _) => Err(foreign(&format!(
            "an object of this name is environment {environment}'s: give the manifest another name, or the environment another namespace"
        ))),
        (Holder::Nobody, Content::Raw(found)) if found == spec => Ok(apply(false, None)),
        (Holder::Nobody, _) => Err(foreign(
            "an object of this name is there that Aurora did not make, and its spec is another: delete it, make its spec that of the manifest, or give the manifest another name",
        )),
        (Holder::Ours, content) => {
            if let Content::Read(found) = content
                && is_same(object, found)
            {
                return Ok(Decision::Leave);
            }
            match (changed_by_others(known, wanted), Reason::of_drift(drift)) {
                (Some(what), Some(reason)) if is_of_same_commit(object, content) => Err(TargetError::new(
                    Disposition::Invalid,
                    reason,
                    format!("{what}, and spec.drift is {}: it stands", drift.as_str()),
                )),
                (corrects, _) => Ok(apply(true, corrects)),
            }
        }
    }
}

/// Returns what is said of an object that is somebody else's.
pub(super) fn foreign(words: &str) -> TargetError {
    TargetError::new(Disposition::Invalid, Reason::ForeignObject, words)
}

fn is_same(object: &Object, found: &ObservedObject) -> bool {
    match (object, found) {
        (Object::Environment(object), ObservedObject::Environment(found)) => object == found,
        (Object::Deployment(_, object), ObservedObject::Deployment(_, found)) => *object == found.object,
        (Object::Training(_, object), ObservedObject::Training(_, found)) => *object == found.object,
        _ => false,
    }
}

/// Says what others changed of a spec, and who; `None` where it is as we left it.
fn changed_by_others(known: &Known, wanted: Wanted<'_>) -> Option<String> {
    if known.editors.is_empty() {
        return None;
    }
    let found = spec_of(&known.content, wanted.environment);
    let mut fields = Vec::new();
    differences("spec", &wanted.resource["spec"], &found, &mut fields);
    if fields.is_empty() {
        return None;
    }
    let unnamed = fields.len().saturating_sub(FIELDS_MAX);
    fields.truncate(FIELDS_MAX);
    if unnamed > 0 {
        fields.push(format!("{unnamed} more"));
    }
    let managers: Vec<&str> = known.editors.iter().map(String::as_str).collect();
    Some(format!("{} changed {}", managers.join(", "), fields.join(", ")))
}

/// Returns the spec as it was found.
fn spec_of(content: &Content, environment: &EnvironmentName) -> Value {
    let found = match content {
        Content::Raw(spec) => return spec.clone(),
        Content::Read(ObservedObject::Environment(found)) => Object::Environment(found.clone()),
        Content::Read(ObservedObject::Deployment(name, found)) => {
            Object::Deployment(name.clone(), found.object.clone())
        }
        Content::Read(ObservedObject::Training(name, found)) => {
            Object::Training(name.clone(), found.object.clone())
        }
    };
    super::resource_of(&found, environment)["spec"].take()
}

/// Says whether an object is by the commit that it should be by, so that a difference is no commit's. The MLEnvironment is
/// what all commits are judged by: it is always what Git says.
fn is_of_same_commit(object: &Object, found: &Content) -> bool {
    let Content::Read(found) = found else {
        return object.id().kind != Kind::Environment;
    };
    revision(object).is_some_and(|revision| Some(revision) == found_revision(found))
}

fn revision(object: &Object) -> Option<&Revision> {
    match object {
        Object::Environment(_) => None,
        Object::Deployment(_, DeploymentObject { revision, .. })
        | Object::Training(_, TrainingObject { revision, .. }) => Some(revision),
    }
}

fn found_revision(found: &ObservedObject) -> Option<&Revision> {
    match found {
        ObservedObject::Environment(_) => None,
        ObservedObject::Deployment(_, found) => Some(&found.object.revision),
        ObservedObject::Training(_, found) => Some(&found.object.revision),
    }
}

/// Collects the paths at which two values differ.
fn differences(path: &str, a: &Value, b: &Value, out: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let field = |fields: &Map<String, Value>| fields.get(name).cloned().unwrap_or_default();
                differences(&format!("{path}.{name}"), &field(a), &field(b), out);
            }
        }
        // 100.0 is stored as 100.
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => {}
        _ if a == b => {}
        _ => out.push(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::DynamicObject;
    use planner::deployment::{Deployment, ResolvedPin, STABLE_REPLICAS};
    use planner::names::Digest;
    use planner::object::ObjectId;
    use serde_json::json;

    use super::super::cache::Cache;
    use super::super::{MANAGER, resource_of};
    use super::*;

    fn environment() -> EnvironmentName {
        "dev".parse().unwrap()
    }

    fn deployment(stable: u8, revision: &str) -> Object {
        let revision: Revision = revision.repeat(40).parse().unwrap();
        let object = DeploymentObject {
            spec: Deployment {
                model: "m".parse().unwrap(),
                stable: ResolvedPin {
                    version: format!("v202601{stable:02}-000000").parse().unwrap(),
                    digest: Digest::of(&[stable]),
                },
                replicas: STABLE_REPLICAS,
                canary: None,
                autoscaling: None,
                pod: None,
                route: None,
                engine: planner::engine::Engine::Aurora,
                suspend: None,
                rejected: Vec::new(),
                allow_breaking: Vec::new(),
            },
            revision: revision.clone(),
            stable_revision: revision,
            canary_revision: None,
            abort: None,
            overridden: None,
            kept: None,
            trust: None,
            behind: None,
        };
        Object::Deployment("m".parse().unwrap(), object)
    }

    /// An object as an API server reports it, whose spec these managers have written.
    fn reported(object: &Object, managers: &[&str], change: impl FnOnce(&mut Value)) -> Cache {
        let mut resource = resource_of(object, &environment());
        let entry = |manager: &&str| {
            json!({ "manager": manager, "operation": "Apply", "apiVersion": crds::API_VERSION,
                "fieldsType": "FieldsV1", "fieldsV1": { "f:spec": {} } })
        };
        resource["metadata"]["uid"] = json!("1");
        resource["metadata"]["resourceVersion"] = json!("7");
        resource["metadata"]["managedFields"] = managers.iter().map(entry).collect();
        change(&mut resource);
        let mut cache = Cache::new(environment());
        let found: DynamicObject = serde_json::from_value(resource).unwrap();
        cache.take(Kind::Deployment, found);
        cache
    }

    fn decided(object: &Object, cache: &Cache, drift: Drift) -> String {
        let environment = &environment();
        let resource = &resource_of(object, environment);
        let wanted = Wanted {
            object,
            resource,
            environment,
        };
        let id = ObjectId::deployment(&"m".parse().unwrap());
        match decide(wanted, cache.known(&id), drift) {
            Ok(Decision::Leave) => "leave".to_owned(),
            Ok(Decision::Create) => "create".to_owned(),
            Ok(Decision::Apply {
                uid,
                resource_version,
                force,
                corrects,
            }) => {
                let corrects = corrects.unwrap_or_default();
                format!("apply over {uid}@{resource_version}, force {force} {corrects}")
                    .trim()
                    .to_owned()
            }
            Err(error) => format!("{}: {error}", error.reason()),
        }
    }

    #[test]
    fn what_is_done_stands_on_whose_the_object_is_and_who_changed_it() {
        use Drift::{Correct, Off, Warn};
        let edited = "kubectl-edit changed spec.stable.digest, spec.stable.version";
        let by_hand: &[&str] = &["kubectl-edit"];
        let as_left = |_object: &mut Value| ();
        for (found, wanted, drift, expected) in [
            (
                reported(&deployment(1, "a"), &[MANAGER], as_left),
                deployment(1, "a"),
                Correct,
                "leave".to_owned(),
            ),
            // A commit, whoever else has agreed with us.
            (
                reported(&deployment(1, "a"), &[MANAGER], as_left),
                deployment(2, "b"),
                Warn,
                "apply over 1@7, force true".to_owned(),
            ),
            // What Git says was resolved anew, or is told about the object.
            (
                reported(&deployment(1, "a"), &[MANAGER], as_left),
                deployment(2, "a"),
                Warn,
                "apply over 1@7, force true".to_owned(),
            ),
            (
                reported(&deployment(2, "a"), by_hand, as_left),
                deployment(1, "a"),
                Correct,
                format!("apply over 1@7, force true {edited}"),
            ),
            (
                reported(&deployment(2, "a"), by_hand, as_left),
                deployment(1, "a"),
                Warn,
                format!("Drifted: {edited}, and spec.drift is Warn: it stands"),
            ),
            (
                reported(&deployment(2, "a"), by_hand, as_left),
                deployment(1, "a"),
                Off,
                format!("DriftLeft: {edited}, and spec.drift is Off: it stands"),
            ),
            (
                reported(&deployment(2, "a"), by_hand, as_left),
                deployment(1, "b"),
                Off,
                format!("apply over 1@7, force true {edited}"),
            ),
            // Nobody's.
            (
                reported(&deployment(1, "a"), by_hand, |object| {
                    object["metadata"]["labels"] = Value::Null;
                }),
                deployment(1, "a"),
                Correct,
                "apply over 1@7, force false".to_owned(),
            ),
        ] {
            assert_eq!(decided(&wanted, &found, drift), expected);
        }
        let nothing = Cache::new(environment());
        assert_eq!(decided(&deployment(1, "a"), &nothing, Correct), "create");
        let nobodys = reported(&deployment(2, "a"), by_hand, |object| {
            object["metadata"]["labels"] = Value::Null;
        });
        assert!(decided(&deployment(1, "a"), &nobodys, Correct).starts_with("ForeignObject: "));
        let ending = reported(&deployment(1, "a"), by_hand, |object| {
            object["metadata"]["deletionTimestamp"] = json!("2026-11-28T12:00:00Z");
        });
        assert!(decided(&deployment(1, "a"), &ending, Correct).contains("it is being deleted"));
    }

    #[test]
    fn numbers_differ_by_their_value_and_fields_by_their_path() {
        for (a, b, expected) in [
            (json!({ "x": 100.0 }), json!({ "x": 100 }), vec![]),
            (
                json!({ "x": 1, "y": { "z": [1] } }),
                json!({ "y": { "z": [2] } }),
                vec!["spec.x", "spec.y.z"],
            ),
            (json!({}), json!({ "x": null }), vec![]),
        ] {
            let mut fields = Vec::new();
            differences("spec", &a, &b, &mut fields);
            assert_eq!(fields, expected, "{a} {b}");
        }
    }
}
