//! What each MLTrainingJob object becomes, and the data files that it needs.

use std::collections::BTreeSet;

use super::Action;
use super::deployments::behind;
use super::exposure::whose_word;
use super::index::Index;
use crate::commits::Verify;
use crate::desired::{Dating, Declared, Desired};
use crate::environment::{Environment, Target};
use crate::finding::{Finding, Reason};
use crate::identity::inputs_hash;
use crate::names::{Digest, ObjectName, Version};
use crate::object::ObjectId;
use crate::observed::{Observed, ObservedTraining, ObservedVersion, TrainingObject};
use crate::runs::Phase;
use crate::training::{Fit, RunPolicy, Training};
use crate::trust::{HOW_TO_SIGN, ModelPolicy, UNNAMED_SIGNATURE};

/// What was decided about all jobs.
#[derive(Default)]
pub(super) struct Decided {
    /// Data files first, then objects.
    pub(super) actions: Vec<Action>,
    pub(super) findings: Vec<Finding>,
    /// Whether something is still to be imported by another word on signatures than the commit's own.
    pub(super) is_held: bool,
}

pub(super) fn decide(desired: &Desired, observed: &Observed, index: &Index<'_>) -> Decided {
    let mut decided = Decided::default();
    let mut puts = Vec::new();
    let mut staging = BTreeSet::new();
    let policy = &whose_word(desired, observed).models;
    let is_another = policy.trust() != desired.environment.models.trust();
    for (name, declared) in &desired.trainings {
        let before = observed.trainings.get(name);
        let is_to_come = is_to_be_imported(&declared.spec, observed);
        decided.is_held |= is_another && is_to_come;
        let finding = beyond_target(name, declared, &desired.environment)
            .or_else(|| other_inputs(name, declared, observed))
            .or_else(|| unsigned(name, declared, policy).filter(|_| is_to_come));
        if let Some(finding) = finding {
            puts.extend(before.and_then(|before| stopped(name, &before.object, &finding)));
            decided.findings.push(finding);
            continue;
        }
        decided
            .actions
            .extend(stage(name, &declared.spec, observed, &mut staging));
        if names_nothing_yet(declared, before) {
            continue;
        }
        let object = TrainingObject {
            spec: declared.spec.clone(),
            revision: declared.revision.clone(),
            committed_at: declared.committed_at,
            baseline: baseline(declared, before, observed, index),
            trust: declared.spec.fit.import().and_then(|_import| policy.trust()),
            behind: None,
        };
        if before.map(|before| &before.object) == Some(&object) {
            decided.findings.extend(failed(name, declared, before, observed));
        } else {
            puts.push(Action::PutTraining {
                name: name.clone(),
                from: before.map(|before| Box::new(before.object.clone())),
                object: Box::new(object),
            });
        }
    }
    decided.actions.extend(puts);
    decided
}

/// Says on the object what keeps it from its manifest.
fn stopped(name: &ObjectName, before: &TrainingObject, finding: &Finding) -> Option<Action> {
    let behind = behind(std::slice::from_ref(finding), &[]);
    (before.behind != behind).then(|| Action::PutTraining {
        name: name.clone(),
        from: Some(Box::new(before.clone())),
        object: Box::new(TrainingObject {
            behind,
            ..before.clone()
        }),
    })
}

/// A run is named after the commit that last changed its job: while that is looked for, no new one begins.
fn names_nothing_yet(declared: &Declared<Training>, before: Option<&ObservedTraining>) -> bool {
    declared.dating == Dating::Provisional
        && declared.spec.runs == RunPolicy::PerInputs
        && before.is_none_or(|before| before.object.spec != declared.spec)
}

/// The version that the job's is compared with: what Git pins as stable. A version that is there is not compared again.
fn baseline(
    declared: &Declared<Training>,
    before: Option<&ObservedTraining>,
    observed: &Observed,
    index: &Index<'_>,
) -> Option<Version> {
    let model = &declared.spec.model;
    let is_there = |version| {
        let registered = observed.models.get(model);
        registered.is_some_and(|registered| registered.versions.contains_key(version))
    };
    match &declared.spec.runs {
        RunPolicy::Fixed(version) if is_there(version) => {
            before.and_then(|before| before.object.baseline.clone())
        }
        RunPolicy::Fixed(_) | RunPolicy::PerInputs | RunPolicy::Scheduled { .. } => {
            index.baseline(model).cloned()
        }
    }
}

/// The files of the commit that the registry lacks, each once.
fn stage(
    job: &ObjectName,
    training: &Training,
    observed: &Observed,
    staging: &mut BTreeSet<Digest>,
) -> Vec<Action> {
    let mut actions = Vec::new();
    for (path, sha256) in training.committed() {
        let Some(sha256) = sha256 else { continue };
        if !observed.datasets.contains(&sha256) && staging.insert(sha256) {
            actions.push(Action::StageDataset {
                job: job.clone(),
                path: path.into_owned(),
                sha256,
            });
        }
    }
    actions
}

/// Says whether a job imports something that is not there yet.
fn is_to_be_imported(training: &Training, observed: &Observed) -> bool {
    if training.fit.import().is_none() || training.suspend {
        return false;
    }
    let registered = observed.models.get(&training.model);
    let mut versions = registered.iter().flat_map(|registered| &registered.versions);
    match &training.runs {
        RunPolicy::Fixed(version) => versions.all(|(known, _)| known != version),
        RunPolicy::PerInputs | RunPolicy::Scheduled { .. } => {
            let hash = inputs_hash(training);
            let is_it = |known: &ObservedVersion| matches!(known, ObservedVersion::Sound { inputs, .. } if *inputs == Some(hash));
            !versions.any(|(_, known)| is_it(known))
        }
    }
}

/// Somebody must have signed what is imported, and the job does not say where that stands.
fn unsigned(name: &ObjectName, declared: &Declared<Training>, policy: &ModelPolicy) -> Option<Finding> {
    let import = declared.spec.fit.import()?;
    (policy.verify == Verify::Require && import.signature.is_none()).then(|| Finding {
        location: Some(declared.location.clone()),
        reason: Reason::VersionUntrusted,
        subject: ObjectId::training(name).into(),
        message: format!("spec.import: {UNNAMED_SIGNATURE}"),
        hint: HOW_TO_SIGN.to_owned(),
    })
}

/// Returns the imports that a commit brings, or changes, and that the policy of the one before it does not let in: what a plan
/// finds too, which knows what is there already.
pub fn unsigned_imports<'d>(base: &'d Desired, head: &'d Desired) -> impl Iterator<Item = Finding> + 'd {
    let is_new = |name: &ObjectName, declared: &Declared<Training>| {
        let before = base.trainings.get(name);
        !declared.spec.suspend && before.is_none_or(|before| before.spec != declared.spec)
    };
    let new = head
        .trainings
        .iter()
        .filter(move |(name, declared)| is_new(name, declared));
    new.filter_map(|(name, declared)| unsigned(name, declared, &base.environment.models))
}

/// Returns what the environment's target cannot do of what is declared: what a plan finds too, without an observation.
pub fn beyond_the_target(desired: &Desired) -> impl Iterator<Item = Finding> {
    let trainings = desired.trainings.iter();
    trainings.filter_map(|(name, declared)| beyond_target(name, declared, &desired.environment))
}

/// The environment's target cannot do what the job says.
fn beyond_target(
    name: &ObjectName,
    declared: &Declared<Training>,
    environment: &Environment,
) -> Option<Finding> {
    let environment_id = ObjectId::environment(&environment.name);
    let (message, hint) = match (&declared.spec.fit, &environment.target) {
        (Fit::Container(_), Target::Standalone) => (
            format!("spec.container: {environment_id} is Standalone, and one process runs no images"),
            "train by an `algorithm` or a `command`, or in an environment with `target: Kubernetes`",
        ),
        (Fit::Command(_), Target::Kubernetes { .. }) => (
            format!(
                "spec.command: {environment_id} is in a cluster, where a program of one's own is an image's"
            ),
            "write `container` with an image that holds it, or train in an environment with `target: Standalone`",
        ),
        (
            Fit::Algorithm(_) | Fit::Container(_) | Fit::Command(_) | Fit::Import(_),
            Target::Standalone | Target::Kubernetes { .. },
        ) => return None,
    };
    Some(Finding {
        location: Some(declared.location.clone()),
        reason: Reason::InvalidManifest,
        subject: ObjectId::training(name).into(),
        message,
        hint: hint.to_owned(),
    })
}

/// The fixed version exists and was trained from something else.
fn other_inputs(name: &ObjectName, declared: &Declared<Training>, observed: &Observed) -> Option<Finding> {
    let RunPolicy::Fixed(version) = &declared.spec.runs else {
        return None;
    };
    let existing = observed.models.get(&declared.spec.model)?.versions.get(version)?;
    let ObservedVersion::Sound {
        inputs: Some(inputs), ..
    } = existing
    else {
        return None;
    };
    (*inputs != inputs_hash(&declared.spec)).then(|| Finding {
        location: Some(declared.location.clone()),
        reason: Reason::VersionHasOtherInputs,
        subject: ObjectId::training(name).into(),
        message: format!(
            "version {version} of {} exists, trained from other inputs",
            declared.spec.model
        ),
        hint: "give the changed training a new version; versions never change".to_owned(),
    })
}

/// The job is as it should be, and its run failed for good.
fn failed(
    name: &ObjectName,
    declared: &Declared<Training>,
    before: Option<&ObservedTraining>,
    observed: &Observed,
) -> Option<Finding> {
    let Some(Phase::Failed { version, message }) = &before?.phase else {
        return None;
    };
    let model = &declared.spec.model;
    let registered = observed.models.get(model);
    let existing = registered.and_then(|registered| registered.versions.get(version));
    if let Some(ObservedVersion::Damaged(what)) = existing {
        return Some(Finding {
            location: Some(declared.location.clone()),
            reason: Reason::ArtifactChanged,
            subject: ObjectId::training(name).into(),
            message: format!("version {version} of {model} is damaged: {what}"),
            hint: format!(
                "what serves stays; restore the version's files, or remove the registry's folder {model}/versions/{version}: then the job trains it again"
            ),
        });
    }
    Some(Finding {
        location: Some(declared.location.clone()),
        reason: Reason::TrainingFailed,
        subject: ObjectId::training(name).into(),
        message: format!("{version} was not published: {message}"),
        hint: match &declared.spec.runs {
            RunPolicy::Fixed(_) | RunPolicy::PerInputs if declared.spec.fit.import().is_some() => {
                "correct `import` or the job's rows and minimum by a commit, or whose signature the environment demands; nothing retries it until then"
            }
            RunPolicy::Fixed(_) | RunPolicy::PerInputs => "change the job's data, algorithm, hyperparameters or minimum by a commit; nothing retries it until then",
            RunPolicy::Scheduled { .. } => "a changed spec runs at the next slot",
        }
        .to_owned(),
    })
}
