//! Two commits compared, as a reviewer would say it: what each model is meant to serve, before and after.
//!
//! Only what Git declares is compared, never what is observed. What could not be understood is shown as such: "could
//! not compute" is never "no change".

mod render;

use std::collections::BTreeMap;

use planner::deployment::{Canary, DeclaredDeployment, Pin};
use planner::desired::{Completeness, Declared, Desired};
use planner::environment::Environment;
use planner::finding::Finding;
use planner::identity::plan_hash;
use planner::names::{Digest, EnvironmentName, ObjectName, Revision};
use planner::training::{RunPolicy, Training};
use serde::Serialize;
use serde_json::Value;

/// One thing that a commit means to change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Intent {
    /// The model, or the environment's name where it is about all of them.
    pub subject: String,
    /// What changes, a fragment.
    pub text: String,
}

/// What one commit means to change against another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Intents {
    /// The environment.
    pub environment: EnvironmentName,
    /// The commit compared with.
    pub base: Revision,
    /// The commit that changes it.
    pub head: Revision,
    /// What changes, by subject.
    pub intents: Vec<Intent>,
    /// What is wrong at `head`.
    pub findings: Vec<Finding>,
    /// Whether both commits were understood as a whole; if not, more may change than is listed.
    pub is_complete: bool,
    /// The hash of what `head` declares: equal exactly if the declared specs are.
    pub hash: Digest,
}

/// Computes what `head` means to change against `base`; `findings` are those of `head`, shown and not hashed.
pub fn intents(base: &Desired, head: &Desired, findings: &[Finding]) -> Intents {
    let mut intents = Vec::new();
    let is_removal = head.completeness == Completeness::Complete;
    environment(&base.environment, &head.environment, &mut intents);
    for (name, before, after) in pairs(&base.deployments, &head.deployments) {
        deployment(name, before, after, is_removal, &mut intents);
    }
    for (name, before, after) in pairs(&base.trainings, &head.trainings) {
        training(name, before, after, is_removal, &mut intents);
    }
    intents.sort_by(|a, b| a.subject.cmp(&b.subject));
    Intents {
        environment: head.environment.name.clone(),
        base: base.revision.clone(),
        head: head.revision.clone(),
        intents,
        findings: findings.to_vec(),
        is_complete: base.completeness == Completeness::Complete
            && head.completeness == Completeness::Complete,
        hash: plan_hash(head),
    }
}

/// What is said of a manifest that may only be unreadable.
const NOT_UNDERSTOOD: &str = "is not among what was understood: it stays as it is";

/// Pairs two maps by name, in the names' order.
fn pairs<'a, S>(
    base: &'a BTreeMap<ObjectName, Declared<S>>,
    head: &'a BTreeMap<ObjectName, Declared<S>>,
) -> impl Iterator<Item = (&'a ObjectName, Option<&'a S>, Option<&'a S>)> {
    let names: std::collections::BTreeSet<&ObjectName> = base.keys().chain(head.keys()).collect();
    names.into_iter().map(|name| {
        let before = base.get(name).map(|declared| &declared.spec);
        let after = head.get(name).map(|declared| &declared.spec);
        (name, before, after)
    })
}

fn environment(before: &Environment, after: &Environment, intents: &mut Vec<Intent>) {
    let mut say = |text: String| {
        intents.push(Intent {
            subject: after.name.to_string(),
            text,
        });
    };
    suspension(before.suspend.as_deref(), after.suspend.as_deref(), &mut say);
    if before.registry_path != after.registry_path {
        let shown = |path: &Option<String>| path.clone().unwrap_or_else(|| "<data-dir>/registry".to_owned());
        say(format!(
            "registry moves from {} to {} (at the next start)",
            shown(&before.registry_path),
            shown(&after.registry_path)
        ));
    }
    if before.removal != after.removal {
        say(format!(
            "removal limits: {} objects and {} % become {} objects and {} %{}",
            before.removal.max_count,
            before.removal.max_percent,
            after.removal.max_count,
            after.removal.max_percent,
            match &after.removal.allow {
                Some(allow) => format!(", what {} took away may go", allow.short()),
                None => String::new(),
            }
        ));
    }
}

fn deployment(
    name: &ObjectName,
    before: Option<&DeclaredDeployment>,
    after: Option<&DeclaredDeployment>,
    is_removal: bool,
    intents: &mut Vec<Intent>,
) {
    let Some(subject) = after.or(before).map(|deployment| deployment.model.to_string()) else {
        return;
    };
    let mut say = |text: String| {
        intents.push(Intent {
            subject: subject.clone(),
            text,
        });
    };
    let (before, after) = match (before, after) {
        (Some(before), Some(after)) if before.model == after.model => (before, after),
        (before, Some(after)) => {
            if let Some(before) = before {
                say(format!("MLDeployment/{name} leaves model {}", before.model));
            }
            say(format!("begins to serve {}", pin(&after.stable)));
            if let Some(canary) = &after.canary {
                say(format!(
                    "canary {} gets {} of the traffic",
                    pin(&canary.pin),
                    canary.weight
                ));
            }
            return;
        }
        (Some(_), None) => {
            say(if is_removal {
                "is no longer served; its versions stay".to_owned()
            } else {
                format!("MLDeployment/{name} {NOT_UNDERSTOOD}")
            });
            return;
        }
        (None, None) => return,
    };
    let was_canary = before.canary.as_ref().map(|canary| &canary.pin.version);
    let is_promotion =
        was_canary == Some(&after.stable.version) && before.stable.version != after.stable.version;
    if is_promotion {
        say(format!(
            "promotes canary {} to stable (was {})",
            pin(&after.stable),
            before.stable.version
        ));
    } else if before.stable.version != after.stable.version {
        say(format!(
            "stable: {} -> {}",
            before.stable.version,
            pin(&after.stable)
        ));
    } else if before.stable.digest != after.stable.digest {
        say(format!(
            "stable {}: digest {} -> {}",
            after.stable.version,
            digest(&before.stable),
            digest(&after.stable)
        ));
    }
    canary(
        before.canary.as_ref(),
        after.canary.as_ref(),
        is_promotion,
        &mut say,
    );
    suspension(before.suspend.as_deref(), after.suspend.as_deref(), &mut say);
}

fn canary(
    before: Option<&Canary<Pin>>,
    after: Option<&Canary<Pin>>,
    is_promotion: bool,
    say: &mut impl FnMut(String),
) {
    match (before, after) {
        (None, None) => {}
        (None, Some(after)) => say(format!(
            "canary {} gets {} of the traffic",
            pin(&after.pin),
            after.weight
        )),
        (Some(_), None) if is_promotion => {}
        (Some(before), None) => say(format!(
            "canary {} leaves (was {})",
            before.pin.version, before.weight
        )),
        (Some(before), Some(after)) => {
            if before.pin.version != after.pin.version {
                say(format!(
                    "canary: {} -> {}, at {}",
                    before.pin.version,
                    pin(&after.pin),
                    after.weight
                ));
            } else if before.pin.digest != after.pin.digest {
                say(format!(
                    "canary {}: digest {} -> {}",
                    after.pin.version,
                    digest(&before.pin),
                    digest(&after.pin)
                ));
            }
            if before.pin.version == after.pin.version && before.weight != after.weight {
                say(format!(
                    "canary {}: {} -> {} of the traffic",
                    after.pin.version, before.weight, after.weight
                ));
            }
        }
    }
}

fn training(
    name: &ObjectName,
    before: Option<&Training>,
    after: Option<&Training>,
    is_removal: bool,
    intents: &mut Vec<Intent>,
) {
    let Some(subject) = after.or(before).map(|training| training.model.to_string()) else {
        return;
    };
    let mut say = |text: String| {
        intents.push(Intent {
            subject: subject.clone(),
            text,
        });
    };
    match (before, after) {
        (None, None) => {}
        (None, Some(after)) => say(format!(
            "MLTrainingJob/{name} trains {} by {}",
            made(&after.runs),
            after.algorithm.as_str()
        )),
        (Some(_), None) if is_removal => say(format!("MLTrainingJob/{name} goes; what it made stays")),
        (Some(_), None) => say(format!("MLTrainingJob/{name} {NOT_UNDERSTOOD}")),
        (Some(before), Some(after)) => {
            let mut changed = Vec::new();
            let value = |training| {
                serde_json::to_value(training)
                    .expect("invariant: a training spec has text keys and cannot fail")
            };
            differing("", &value(before), &value(after), &mut changed);
            if !changed.is_empty() {
                say(format!("MLTrainingJob/{name} changes: {}", changed.join(", ")));
            }
        }
    }
}

fn suspension(before: Option<&str>, after: Option<&str>, say: &mut impl FnMut(String)) {
    match (before, after) {
        (None, Some(reason)) => say(format!("is suspended: {reason}")),
        (Some(_), None) => say("is no longer suspended".to_owned()),
        (Some(before), Some(after)) if before != after => say(format!("stays suspended: {after}")),
        (Some(_), Some(_)) | (None, None) => {}
    }
}

fn pin(pin: &Pin) -> String {
    match &pin.digest {
        Some(digest) => format!("{} ({})", pin.version, digest.short()),
        None => pin.version.to_string(),
    }
}

fn digest(pin: &Pin) -> String {
    pin.digest.as_ref().map_or("none".to_owned(), Digest::short)
}

fn made(runs: &RunPolicy) -> String {
    match runs {
        RunPolicy::Fixed(version) => version.to_string(),
        RunPolicy::PerInputs => "a version per change".to_owned(),
        RunPolicy::Scheduled { .. } => "a version per slot of its schedule".to_owned(),
    }
}

/// Names the leaves that differ between two JSON values, as `path: before -> after`.
fn differing(path: &str, before: &Value, after: &Value, changed: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for key in keys {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                differing(
                    &path,
                    before.get(key).unwrap_or(&Value::Null),
                    after.get(key).unwrap_or(&Value::Null),
                    changed,
                );
            }
        }
        (before, after) if before != after => changed.push(format!("{path} {before} -> {after}")),
        _ => {}
    }
}
