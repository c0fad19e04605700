//! Objects as custom resources: what a target that keeps files and one with an API server write and read alike.

use crds::{
    MLDeployment, MLDeploymentStatus, MLEnvironment, MLEnvironmentStatus, MLTrainingJob, MLTrainingJobStatus,
    check_stored, convert,
};
use planner::memory::{Format, UnknownFormat};
use planner::names::{Digest, EnvironmentName, Version};
use planner::object::Kind;
use planner::observed::{ObservedDeployment, ObservedTraining};
use planner::runs::{self, Outcome, Records};
use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Serialize, Serializer};
use serde_json::Value;

use super::{Object, ObservedObject};

/// An object as the custom resource that the reconciler writes: labels, annotations and spec, without status.
#[derive(Debug, Clone, Copy)]
pub struct Resource<'a> {
    /// The object.
    pub object: &'a Object,
    /// The environment whose label it bears.
    pub environment: &'a EnvironmentName,
}

impl Serialize for Resource<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { object, environment } = self;
        match object {
            Object::Environment(environment) => {
                convert::environment_object(environment).serialize(serializer)
            }
            Object::Deployment(name, object) => {
                convert::deployment_object(name, object, environment).serialize(serializer)
            }
            Object::Training(name, object) => {
                convert::training_object(name, object, environment).serialize(serializer)
            }
        }
    }
}

/// A custom resource is none that the reconciler wrote; says what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

/// Reads an object and its status. A status that makes no sense counts as none.
///
/// # Errors
///
/// It is of another API version, its spec or an annotation makes no sense, or it has no name that ours may have.
pub fn read(kind: Kind, mut resource: Value) -> Result<ObservedObject, Unreadable> {
    check_stored(&resource).map_err(|foreign| Unreadable(foreign.to_string()))?;
    let status = resource.get_mut("status").map(Value::take);
    let generation = resource.pointer("/metadata/generation").and_then(Value::as_i64);
    if let Some(fields) = resource.as_object_mut() {
        fields.remove("status");
    }
    Ok(match kind {
        Kind::Environment => {
            let object: MLEnvironment = parsed(resource)?;
            let environment = convert::read_environment_object(&object);
            ObservedObject::Environment(environment.map_err(|problems| first(&problems))?)
        }
        Kind::Deployment => {
            let resource: MLDeployment = parsed(resource)?;
            let object = convert::read_deployment_object(&resource).map_err(|problem| one(&problem))?;
            let shown: Option<MLDeploymentStatus> = understood(status);
            let found = ObservedDeployment {
                object,
                status: shown.and_then(|shown| shown.memory),
            };
            ObservedObject::Deployment(
                convert::object_name(&resource.metadata).map_err(|problem| one(&problem))?,
                found,
            )
        }
        Kind::Training => {
            let resource: MLTrainingJob = parsed(resource)?;
            let object = convert::read_training_object(&resource).map_err(|problems| first(&problems))?;
            let shown: MLTrainingJobStatus = understood(status).unwrap_or_default();
            let runs = read_runs(&shown);
            // What became of another spec says nothing of this one.
            let is_of_spec = shown.observed_generation.is_none() || shown.observed_generation == generation;
            let found = ObservedTraining {
                object,
                recorded_at: runs.recorded_at(),
                phase: runs.phase.filter(|_| is_of_spec),
            };
            ObservedObject::Training(
                convert::object_name(&resource.metadata).map_err(|problem| one(&problem))?,
                found,
            )
        }
    })
}

/// Reads the report of a pass from an MLEnvironment, without what only its writer adds; `None` where there is none.
pub fn read_report(resource: &Value) -> Option<MLEnvironmentStatus> {
    let report: MLEnvironmentStatus = understood(resource.get("status").cloned())?;
    Some(MLEnvironmentStatus {
        observed_generation: None,
        ..report
    })
}

/// Returns what a job's status remembers of its runs.
pub fn read_runs(shown: &MLTrainingJobStatus) -> runs::Status {
    let Records {
        runs: records,
        behind_since,
    } = shown.memory.clone().unwrap_or_default();
    runs::Status {
        phase: convert::read_training_phase(shown),
        note: None,
        next: shown.next_run,
        behind_since,
        records,
    }
}

/// Returns what the runs of an MLTrainingJob have published, by the records of its status: not what was there before any run.
pub fn read_published(resource: &Value) -> Vec<(Version, Digest)> {
    // A memory that a later program wrote says nothing here.
    let memory = resource.pointer("/status/memory");
    let records = memory.and_then(|memory| Records::deserialize(memory).ok());
    let published = records
        .unwrap_or_default()
        .runs
        .into_iter()
        .filter_map(|record| match record.outcome {
            Outcome::Published { digest, .. } => Some((record.version, digest)),
            Outcome::Running
            | Outcome::Refused { .. }
            | Outcome::Transient { .. }
            | Outcome::Skipped { .. }
            | Outcome::Stopped { .. } => None,
        });
    published.collect()
}

/// Fails for a status whose memory a later program wrote.
///
/// # Errors
///
/// The format is not known here.
pub fn known_format(status: &Value) -> Result<(), UnknownFormat> {
    let format = status.pointer("/memory/format").and_then(Value::as_u64);
    let format = format.map_or(Format::default(), |format| {
        Format(u32::try_from(format).unwrap_or(u32::MAX))
    });
    format.known().map(drop)
}

fn understood<T: DeserializeOwned>(status: Option<Value>) -> Option<T> {
    let status = status.filter(|status| !status.is_null())?;
    if let Err(unknown) = known_format(&status) {
        tracing::warn!(%unknown, "a status is not read");
        return None;
    }
    let read = serde_json::from_value(status).inspect_err(|error| {
        tracing::warn!(%error, "a status makes no sense and is not read");
    });
    read.ok()
}

fn parsed<T: DeserializeOwned>(resource: Value) -> Result<T, Unreadable> {
    serde_json::from_value(resource).map_err(|error| Unreadable(error.to_string()))
}

fn one(problem: &convert::Problem) -> Unreadable {
    Unreadable(problem.to_string())
}

fn first(problems: &[convert::Problem]) -> Unreadable {
    problems.first().map_or_else(|| Unreadable(String::new()), one)
}

#[cfg(test)]
mod tests;
