//! What each MLTrainingJob object becomes, and the data files that it needs.

use std::collections::BTreeSet;

use super::Action;
use super::deployments::behind;
use super::index::Index;
use crate::desired::{Dating, Declared, Desired};
use crate::environment::{Environment, Target};
use crate::finding::{Finding, Reason};
use crate::identity::inputs_hash;
use crate::names::{Digest, ObjectName, Version};
use crate::object::ObjectId;
use crate::observed::{Observed, ObservedTraining, ObservedVersion, TrainingObject};
use crate::runs::Phase;
use crate::training::{Fit, ImportSource, RunPolicy, Training};

/// What was decided about all jobs.
#[derive(Default)]
pub(super) struct Decided {
    /// Data files first, then objects.
    pub(super) actions: Vec<Action>,
    pub(super) findings: Vec<Finding>,
}

pub(super) fn decide(desired: &Desired, observed: &Observed, index: &Index<'_>) -> Decided {
    let mut decided = Decided::default();
    let mut puts = Vec::new();
    let mut staging = BTreeSet::new();
    for (name, declared) in &desired.trainings {
        let before = observed.trainings.get(name);
        let finding = beyond_target(name, declared, &desired.environment)
            .or_else(|| other_inputs(name, declared, observed));
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
        (Fit::Import(import), Target::Kubernetes { .. })
            if matches!(import.source, ImportSource::Elsewhere(_)) =>
        {
            (
                format!(
                    "spec.import.uri: {environment_id} is in a cluster, where a model is imported from the commit alone"
                ),
                "commit the file, and write its path from the manifest's folder",
            )
        }
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
            RunPolicy::Fixed(_) | RunPolicy::PerInputs => "change the job's data, algorithm, hyperparameters or minimum by a commit; nothing retries it until then",
            RunPolicy::Scheduled { .. } => "a changed spec runs at the next slot",
        }
        .to_owned(),
    })
}
