//! Two commits compared, as a reviewer would say it: what each model is meant to serve, before and after.
//!
//! Only what Git declares is compared, never what is observed. What could not be understood is shown as such: "could
//! not compute" is never "no change".

mod exposure;
mod render;

use std::collections::{BTreeMap, BTreeSet};

use planner::deployment::{Canary, DeclaredDeployment, Pin};
use planner::desired::{Completeness, Desired};
use planner::endpoint::Endpoint;
use planner::environment::{Environment, Target};
use planner::finding::Finding;
use planner::gates::{Gates, PromotionOrder};
use planner::identity::plan_hash;
use planner::names::{Digest, EnvironmentName, ModelName, ObjectName, Revision};
use planner::plan::beyond_the_target;
use planner::training::{RunPolicy, Training};
use planner::window::Window;
use serde::Serialize;
use serde_json::Value;

use exposure::exposures;
pub use exposure::{Changed, Compared, Exposure, Ground, Importing, Metrics, Pair, Rate, Records};

/// One thing that a commit means to change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Intent {
    /// The model, or the environment's name where it is about all of them.
    pub subject: String,
    /// What changes, a fragment.
    pub text: String,
}

/// What one commit means to change against another.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
    /// What is known of each version that is to get another share of the requests, and whether it may.
    pub exposures: Vec<Exposure>,
    /// The hash of what `head` declares: equal exactly if the declared specs are.
    pub hash: Digest,
}

impl Intents {
    /// Says whether the environment's policy stops something that a person must mend.
    pub fn is_stopped(&self) -> bool {
        self.exposures.iter().any(Exposure::is_stopped)
    }
}

/// Computes what `head` means to change against `base`; `findings` are those of `head`, shown and not hashed.
///
/// What will be refused, or not happen while something is suspended, is said as such.
pub fn intents(base: &Desired, head: &Desired, findings: &[Finding], ground: &Ground<'_>) -> Intents {
    let mut intents = Vec::new();
    let refused = planner::plan::refused(base, head);
    let removal = match (head.completeness, &refused) {
        (Completeness::Partial, _) => Removal::NotUnderstood,
        (Completeness::Complete, Some(_)) => Removal::Refused,
        (Completeness::Complete, None) => Removal::Possible,
    };
    environment(&base.environment, &head.environment, &mut intents);
    deployments(base, head, removal, &mut intents);
    trainings(base, head, removal, &mut intents);
    if let (false, Some(reason)) = (intents.is_empty(), &head.environment.suspend)
        && base.environment.suspend.as_ref() == Some(reason)
    {
        intents.push(Intent {
            subject: head.environment.name.to_string(),
            text: suspended(reason),
        });
    }
    intents.sort_by(|a, b| a.subject.cmp(&b.subject));
    Intents {
        environment: head.environment.name.clone(),
        base: base.revision.clone(),
        head: head.revision.clone(),
        intents,
        exposures: exposures(base, head, ground),
        findings: findings
            .iter()
            .cloned()
            .chain(refused)
            .chain(beyond_the_target(head))
            .collect(),
        is_complete: base.completeness == Completeness::Complete
            && head.completeness == Completeness::Complete,
        hash: plan_hash(head),
    }
}

fn suspended(reason: &str) -> String {
    format!("is suspended, and nothing that is listed here happens before that is lifted: {reason}")
}

/// What becomes of what is not declared any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Removal {
    Possible,
    Refused,
    /// It may only be unreadable.
    NotUnderstood,
}

impl Removal {
    /// Says of something that is not declared any more what becomes of it; `goes` where it may.
    fn of(self, what: &str, goes: &str) -> String {
        match self {
            Self::Possible => goes.to_owned(),
            Self::Refused => {
                format!("{what} is no longer declared, and stays all the same: too much would go at once")
            }
            Self::NotUnderstood => {
                format!("{what} is not among what was understood: it stays as it is")
            }
        }
    }
}

/// A manifest's name and what it says.
type Named<'a, S> = (&'a ObjectName, &'a S);

/// Compares by model, for that is what is served: a manifest's name is only what it is called.
fn deployments(base: &Desired, head: &Desired, removal: Removal, intents: &mut Vec<Intent>) {
    let by_model = |desired: &'_ Desired| -> BTreeMap<ModelName, ObjectName> {
        let deployments = desired.deployments.iter();
        deployments
            .map(|(name, declared)| (declared.spec.model.clone(), name.clone()))
            .collect()
    };
    let (before, after) = (by_model(base), by_model(head));
    let spec = |desired: &'_ Desired, name: &ObjectName| desired.deployments[name].spec.clone();
    let models: BTreeSet<&ModelName> = before.keys().chain(after.keys()).collect();
    for model in models {
        let mut say = |text: String| {
            intents.push(Intent {
                subject: model.to_string(),
                text,
            });
        };
        match (before.get(model), after.get(model)) {
            (Some(old), Some(new)) => {
                if old != new {
                    say(format!(
                        "is served by MLDeployment/{new}, until now by MLDeployment/{old}"
                    ));
                }
                changed(&spec(base, old), &spec(head, new), &mut say);
            }
            (None, Some(new)) => {
                // An object whose model may not go goes on with it.
                let left = base.deployments.get(new).map(|declared| &declared.spec.model);
                let left = left.filter(|left| !after.contains_key(*left));
                begins(
                    &spec(head, new),
                    left.filter(|_| removal != Removal::Possible),
                    &mut say,
                );
            }
            (Some(old), None) => say(removal.of(
                &format!("MLDeployment/{old}"),
                "is no longer served; its versions stay",
            )),
            (None, None) => {}
        }
    }
}

/// Says what a model begins to be served as; `left` is the model that its object may not leave.
fn begins(after: &DeclaredDeployment, left: Option<&ModelName>, say: &mut impl FnMut(String)) {
    if let Some(reason) = &after.suspend {
        say(format!(
            "is suspended and not served before that is lifted: {reason}"
        ));
        return;
    }
    let once = left.map_or_else(String::new, |left| format!(", once model {left} may go"));
    say(format!("begins to serve {}{once}", pin(&after.stable)));
    if let Some(canary) = &after.canary {
        say(format!(
            "canary {} gets {} of the traffic{once}",
            pin(&canary.pin),
            canary.weight
        ));
    }
}

/// Pairs the jobs of two commits. One that only got another name is the same.
fn trainings(base: &Desired, head: &Desired, removal: Removal, intents: &mut Vec<Intent>) {
    let mut gone: BTreeMap<&ObjectName, &Training> = BTreeMap::new();
    for (name, declared) in &base.trainings {
        match head.trainings.get(name) {
            Some(after) => training(Some((name, &declared.spec)), (name, &after.spec), intents),
            None => drop(gone.insert(name, &declared.spec)),
        }
    }
    for (name, declared) in &head.trainings {
        if base.trainings.contains_key(name) {
            continue;
        }
        let renamed = gone.iter().find(|(_, before)| ***before == declared.spec);
        let renamed = renamed.map(|(before, _)| *before);
        let before = renamed.and_then(|renamed| gone.remove_entry(renamed));
        training(before, (name, &declared.spec), intents);
    }
    for (name, before) in gone {
        let what = format!("MLTrainingJob/{name}");
        intents.push(Intent {
            subject: before.model.to_string(),
            text: removal.of(&what, &format!("{what} goes; what it made stays")),
        });
    }
}

fn environment(before: &Environment, after: &Environment, intents: &mut Vec<Intent>) {
    let mut say = |text: String| {
        intents.push(Intent {
            subject: after.name.to_string(),
            text,
        });
    };
    match (&before.suspend, &after.suspend) {
        (before, Some(reason)) if before.as_ref() != Some(reason) => say(suspended(reason)),
        (Some(_), None) => say("is no longer suspended".to_owned()),
        (Some(_) | None, Some(_)) | (None, None) => {}
    }
    if before.target != after.target {
        say(format!(
            "moves from {} to {}",
            place(&before.target),
            place(&after.target)
        ));
    }
    if before.drift != after.drift {
        say(format!(
            "drift: {} -> {}",
            before.drift.as_str(),
            after.drift.as_str()
        ));
    }
    if before.registry_path != after.registry_path {
        let shown = |path: &Option<String>| path.clone().unwrap_or_else(|| "<data-dir>/registry".to_owned());
        say(format!(
            "registry moves from {} to {} (at the next start)",
            shown(&before.registry_path),
            shown(&after.registry_path)
        ));
    }
    if before.commits != after.commits {
        say(format!(
            "signatures of commits: {} -> {}, from the next commit on",
            before.commits, after.commits
        ));
    }
    if before.upstream != after.upstream {
        let shown =
            |upstream: &Option<Endpoint>| upstream.as_ref().map_or("none".to_owned(), Endpoint::to_string);
        say(format!(
            "versions that are not in the registry are imported from {} -> {}",
            shown(&before.upstream),
            shown(&after.upstream)
        ));
    }
    if before.windows != after.windows {
        let shown = |windows: &[Window]| match windows {
            [] => "none".to_owned(),
            windows => windows
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; "),
        };
        say(format!(
            "windows: {} -> {}, from the next commit on",
            shown(&before.windows),
            shown(&after.windows)
        ));
    }
    if before.models != after.models {
        say(format!(
            "signatures of models: {} -> {}, from the next commit on",
            before.models, after.models
        ));
    }
    if before.gates != after.gates {
        let shown = |gates: &Option<Gates>| gates.as_ref().map_or("none".to_owned(), Gates::to_string);
        say(format!(
            "gates: {} -> {}, from the next commit on",
            shown(&before.gates),
            shown(&after.gates)
        ));
    }
    if before.promotion != after.promotion {
        let shown = |order: &Option<PromotionOrder>| {
            let Some(PromotionOrder { from, soak, status }) = order else {
                return "any version".to_owned();
            };
            let asked = status.as_ref().map(|at| format!(", asked of {at}"));
            let what = match soak {
                None => format!("what {from} has as stable"),
                Some(soak) => format!("what {from} has had as stable for {soak}"),
            };
            what + &asked.unwrap_or_default()
        };
        say(format!(
            "takes {} -> {}, from the next commit on",
            shown(&before.promotion),
            shown(&after.promotion)
        ));
    }
    if before.notify != after.notify {
        say(format!(
            "who is told: {} receivers -> {}",
            before.notify.len(),
            after.notify.len()
        ));
    }
    if before.removal != after.removal {
        say(format!(
            "removal limits: {} models and {} % become {} models and {} %{}",
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

/// Says where an environment's models serve.
fn place(target: &Target) -> String {
    match target {
        Target::Standalone => "one process".to_owned(),
        Target::Kubernetes { namespace } => format!("namespace {namespace} of a cluster"),
    }
}

/// Says what changes of a model that is served before and after.
fn changed(before: &DeclaredDeployment, after: &DeclaredDeployment, say: &mut impl FnMut(String)) {
    let held = after.suspend.as_deref();
    match (before.suspend.as_deref(), held) {
        (None, Some(reason)) => say(format!("is suspended: {reason}")),
        (Some(_), None) => say("is no longer suspended".to_owned()),
        (Some(before), Some(after)) if before != after => say(format!("stays suspended: {after}")),
        (Some(_), Some(_)) | (None, None) => {}
    }
    let mut say = |text: String| {
        say(match held {
            Some(_) => format!("once it is no longer suspended: {text}"),
            None => text,
        });
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
    let (old, new) = (&before.rejected, &after.rejected);
    for version in new.iter().filter(|version| !old.contains(version)) {
        say(format!("rejects {version}: it may not be pinned again"));
    }
    for version in old.iter().filter(|version| !new.contains(version)) {
        say(format!("rejects {version} no more: it may be pinned again"));
    }
    let mut changed = Vec::new();
    // What a canary has that comes or goes is said with it.
    let (before, after) = match (&before.canary, &after.canary) {
        (Some(_), Some(_)) | (None, None) => (before.operation(), after.operation()),
        (Some(_), None) | (None, Some(_)) => (
            before.operation().without_canary(),
            after.operation().without_canary(),
        ),
    };
    if before != after {
        differing("", &to_value(before), &to_value(after), &mut changed);
        say(format!("in a cluster: {}", changed.join(", ")));
    }
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
                // Whether somebody aborted it is not in Git.
                let aborted = if after.weight > before.weight {
                    ", and none if it was aborted"
                } else {
                    ""
                };
                say(format!(
                    "canary {}: {} -> {} of the traffic{aborted}",
                    after.pin.version, before.weight, after.weight
                ));
            }
        }
    }
}

fn training(before: Option<Named<'_, Training>>, after: Named<'_, Training>, intents: &mut Vec<Intent>) {
    let (name, after) = after;
    let mut say = |text: String| {
        intents.push(Intent {
            subject: after.model.to_string(),
            text,
        });
    };
    let Some((old, before)) = before else {
        say(format!(
            "MLTrainingJob/{name} trains {} by {}",
            made(&after.runs),
            after.by()
        ));
        return;
    };
    if old != name {
        say(format!("MLTrainingJob/{old} is called MLTrainingJob/{name} now"));
    }
    let mut changed = Vec::new();
    differing("", &to_value(before), &to_value(after), &mut changed);
    if !changed.is_empty() {
        say(format!("MLTrainingJob/{name} changes: {}", changed.join(", ")));
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

fn to_value(spec: impl Serialize) -> Value {
    serde_json::to_value(spec).expect("invariant: a spec has text keys and cannot fail")
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
