//! What the reconciler writes ↔ the custom resource: spec, annotations and the environment's label.

use std::collections::BTreeMap;
use std::str::FromStr;

use chrono::SecondsFormat;
use kube::core::ObjectMeta;
use planner::Timestamp;
use planner::deployment::{Canary, Deployment, ResolvedDeployment, ResolvedPin};
use planner::environment::Environment;
use planner::names::{Digest, EnvironmentName, ObjectName, Version};
use planner::observed::{Behind, DeploymentObject, TrainingObject};
use planner::trust::Trust;
use serde::de::DeserializeOwned;

use super::{Problem, pod};
use crate::{
    CanarySpec, ENVIRONMENT_LABEL, MLDeployment, MLDeploymentSpec, MLEnvironment, MLTrainingJob, StableSpec,
};

/// The commit that last changed an object's manifest.
pub(crate) const REVISION: &str = "aurora.io/revision";
/// The commit that last changed what stable serves.
const STABLE_REVISION: &str = "aurora.io/stable-revision";
/// The commit that last changed what the canary serves.
const CANARY_REVISION: &str = "aurora.io/canary-revision";
/// The canary digest that was aborted.
const ABORT: &str = "aurora.io/abort";
/// What a person must mend before the object is what Git says.
const STOPPED: &str = "aurora.io/stopped";
/// What comes first before the object is what Git says.
const WAITING: &str = "aurora.io/waiting";
/// What holds an object back by somebody's will.
const HELD: &str = "aurora.io/held";
/// Why a commit overrides the windows that would have held it.
const OVERRIDDEN: &str = "aurora.io/overridden";
/// What the tracks keep while more is held back, as JSON.
const KEPT: &str = "aurora.io/kept";
/// What whoever loads a version, or imports one, holds it to, as JSON.
const TRUST: &str = "aurora.io/trust";
/// The public keys that an environment trusts, as JSON: what the file held that it names.
const TRUSTED: &str = "aurora.io/trusted";
/// The version that a job's are compared with.
const BASELINE: &str = "aurora.io/baseline";
/// The committer time of [`REVISION`], RFC 3339 in UTC.
const COMMITTED_AT: &str = "aurora.io/committed-at";

/// Returns the MLDeployment that the reconciler writes.
pub fn deployment_object(
    name: &ObjectName,
    object: &DeploymentObject,
    environment: &EnvironmentName,
) -> MLDeployment {
    let DeploymentObject {
        spec:
            Deployment {
                model,
                stable,
                replicas,
                canary,
                autoscaling,
                pod,
                route,
                engine,
                suspend,
                rejected,
                allow_breaking,
            },
        revision,
        stable_revision,
        canary_revision,
        abort,
        overridden,
        kept,
        trust,
        behind,
    } = object;
    let spec = MLDeploymentSpec {
        model_name: model.clone(),
        stable: StableSpec {
            version: stable.version.clone(),
            digest: Some(stable.digest),
            replicas: *replicas,
        },
        canary: canary.as_ref().map(
            |Canary {
                 pin,
                 weight,
                 replicas,
             }| CanarySpec {
                version: pin.version.clone(),
                digest: Some(pin.digest),
                weight: *weight,
                replicas: *replicas,
            },
        ),
        autoscaling: autoscaling.map(super::autoscaling_spec),
        pod: pod::pod_spec(pod.as_deref()),
        route: pod::route_spec(route.as_deref()),
        engine: *engine,
        suspend: suspend.clone(),
        rejected: rejected.clone(),
        allow_breaking: allow_breaking.clone(),
    };
    let annotations = [
        (REVISION, Some(revision.to_string())),
        (STABLE_REVISION, Some(stable_revision.to_string())),
        (CANARY_REVISION, canary_revision.as_ref().map(ToString::to_string)),
        (ABORT, abort.map(|digest| digest.to_string())),
        (OVERRIDDEN, overridden.clone()),
        (
            KEPT,
            kept.as_ref().map(|kept| {
                serde_json::to_string(kept)
                    .expect("invariant: pins and weights have text keys and cannot fail")
            }),
        ),
        (TRUST, trust.as_ref().map(trusting)),
        behind.as_ref().map_or((STOPPED, None), said),
    ];
    MLDeployment {
        metadata: metadata(name.as_str(), environment, annotations),
        spec,
        status: None,
    }
}

fn trusting(trust: &Trust) -> String {
    serde_json::to_string(trust).expect("invariant: texts have text keys and cannot fail")
}

/// Returns the annotation that says what keeps an object from what Git says.
fn said(behind: &Behind) -> (&'static str, Option<String>) {
    let (annotation, what) = match behind {
        Behind::Stopped(what) => (STOPPED, what),
        Behind::Waits(what) => (WAITING, what),
        Behind::Held(what) => (HELD, what),
    };
    (annotation, Some(what.clone()))
}

/// Reads an MLDeployment that the reconciler wrote.
///
/// # Errors
///
/// A pin has no digest, or an annotation is missing or malformed: it was written by somebody else.
pub fn read_deployment_object(object: &MLDeployment) -> Result<DeploymentObject, Problem> {
    let MLDeploymentSpec {
        model_name,
        stable,
        canary,
        autoscaling,
        pod,
        route,
        engine,
        suspend,
        rejected,
        allow_breaking,
    } = &object.spec;
    let canary = canary
        .as_ref()
        .map(
            |CanarySpec {
                 version,
                 digest,
                 weight,
                 replicas,
             }| {
                Ok(Canary {
                    pin: resolved(version, *digest, "spec.canary.digest")?,
                    weight: *weight,
                    replicas: *replicas,
                })
            },
        )
        .transpose()?;
    Ok(DeploymentObject {
        spec: ResolvedDeployment {
            model: model_name.clone(),
            stable: resolved(&stable.version, stable.digest, "spec.stable.digest")?,
            replicas: stable.replicas,
            canary,
            autoscaling: autoscaling.as_ref().map(super::autoscaling),
            pod: pod::pod(pod.as_ref()),
            route: pod::route(route.as_ref()),
            engine: *engine,
            suspend: suspend.clone(),
            rejected: rejected.clone(),
            allow_breaking: allow_breaking.clone(),
        },
        revision: required(&object.metadata, REVISION)?,
        stable_revision: required(&object.metadata, STABLE_REVISION)?,
        canary_revision: optional(&object.metadata, CANARY_REVISION)?,
        abort: optional(&object.metadata, ABORT)?,
        overridden: optional(&object.metadata, OVERRIDDEN)?,
        kept: json(&object.metadata, KEPT)?,
        trust: json(&object.metadata, TRUST)?,
        behind: behind(&object.metadata),
    })
}

/// Returns the MLTrainingJob that the reconciler writes.
pub fn training_object(
    name: &ObjectName,
    object: &TrainingObject,
    environment: &EnvironmentName,
) -> MLTrainingJob {
    let TrainingObject {
        spec,
        revision,
        committed_at,
        baseline,
        trust,
        behind,
    } = object;
    let annotations = [
        (REVISION, Some(revision.to_string())),
        (
            COMMITTED_AT,
            Some(committed_at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        ),
        (BASELINE, baseline.as_ref().map(ToString::to_string)),
        (TRUST, trust.as_ref().map(trusting)),
        behind.as_ref().map_or((STOPPED, None), said),
    ];
    MLTrainingJob {
        metadata: metadata(name.as_str(), environment, annotations),
        spec: super::training::training_spec(spec),
        status: None,
    }
}

/// Reads an MLTrainingJob that the reconciler wrote.
///
/// # Errors
///
/// All that is wrong with its spec, or the annotation that is missing or malformed.
pub fn read_training_object(object: &MLTrainingJob) -> Result<TrainingObject, Vec<Problem>> {
    Ok(TrainingObject {
        spec: super::accepted_training(object)?,
        revision: required(&object.metadata, REVISION).map_err(|problem| vec![problem])?,
        committed_at: required::<Timestamp>(&object.metadata, COMMITTED_AT)
            .map_err(|problem| vec![problem])?,
        baseline: optional(&object.metadata, BASELINE).map_err(|problem| vec![problem])?,
        trust: json(&object.metadata, TRUST).map_err(|problem| vec![problem])?,
        behind: behind(&object.metadata),
    })
}

/// Returns the MLEnvironment that the reconciler writes.
pub fn environment_object(environment: &Environment) -> MLEnvironment {
    let trusted = &environment.models.trusted;
    let trusted = (!trusted.is_empty())
        .then(|| serde_json::to_string(trusted).expect("invariant: a list of texts cannot fail"));
    MLEnvironment {
        metadata: metadata(environment.name.as_str(), &environment.name, [(TRUSTED, trusted)]),
        spec: super::environment_spec(environment),
        status: None,
    }
}

/// Reads an MLEnvironment that the reconciler wrote.
///
/// # Errors
///
/// Its name is not an environment's, or an annotation is malformed.
pub fn read_environment_object(object: &MLEnvironment) -> Result<Environment, Vec<Problem>> {
    let mut environment = super::environment(object)?;
    let trusted = json(&object.metadata, TRUSTED).map_err(|problem| vec![problem])?;
    environment.models.trusted = trusted.unwrap_or_default();
    Ok(environment)
}

fn metadata<const N: usize>(
    name: &str,
    environment: &EnvironmentName,
    annotations: [(&str, Option<String>); N],
) -> ObjectMeta {
    let annotations: BTreeMap<String, String> = annotations
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect();
    ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(BTreeMap::from([(
            ENVIRONMENT_LABEL.to_owned(),
            environment.to_string(),
        )])),
        annotations: (!annotations.is_empty()).then_some(annotations),
        ..ObjectMeta::default()
    }
}

/// Returns what keeps an object from what Git says.
pub fn behind(metadata: &ObjectMeta) -> Option<Behind> {
    let annotations = metadata.annotations.as_ref()?;
    let stopped = annotations.get(STOPPED).cloned().map(Behind::Stopped);
    let waits = || annotations.get(WAITING).cloned().map(Behind::Waits);
    let held = || annotations.get(HELD).cloned().map(Behind::Held);
    stopped.or_else(waits).or_else(held)
}

fn resolved(version: &Version, digest: Option<Digest>, field: &str) -> Result<ResolvedPin, Problem> {
    let digest =
        digest.ok_or_else(|| Problem::new(field, "a resolved pin has a digest, this one has none", ""))?;
    Ok(ResolvedPin {
        version: version.clone(),
        digest,
    })
}

fn optional<T: FromStr>(metadata: &ObjectMeta, annotation: &str) -> Result<Option<T>, Problem>
where
    T::Err: std::fmt::Display,
{
    metadata
        .annotations
        .as_ref()
        .and_then(|annotations| annotations.get(annotation))
        .map(|text| text.parse::<T>())
        .transpose()
        .map_err(|malformed: T::Err| {
            Problem::new(
                format!("metadata.annotations[{annotation}]"),
                malformed.to_string(),
                "",
            )
        })
}

/// Reads an annotation that is JSON.
fn json<T: DeserializeOwned>(metadata: &ObjectMeta, annotation: &str) -> Result<Option<T>, Problem> {
    let annotations = metadata.annotations.iter();
    let mut texts = annotations.filter_map(|annotations| annotations.get(annotation));
    let read = texts.next().map(|text| serde_json::from_str(text)).transpose();
    read.map_err(|malformed| {
        Problem::new(
            format!("metadata.annotations[{annotation}]"),
            malformed.to_string(),
            "",
        )
    })
}

fn required<T: FromStr>(metadata: &ObjectMeta, annotation: &str) -> Result<T, Problem>
where
    T::Err: std::fmt::Display,
{
    optional(metadata, annotation)?.ok_or_else(|| {
        Problem::new(
            format!("metadata.annotations[{annotation}]"),
            "the annotation is missing",
            "",
        )
    })
}
