//! How objects and statuses lie in files.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crds::status::MLTrainingJobStatus;
use crds::{MLDeployment, MLDeploymentStatus, MLEnvironment, MLEnvironmentStatus, MLTrainingJob, convert};
use planner::names::{EnvironmentName, ObjectName};
use planner::runs::{Outcome, Record};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{DEPLOYMENT, DeploymentEntry, ENVIRONMENT, State, TRAINING, TrainingEntry, TrainingStatus};
use crate::standalone::data_dir::{DataDir, DataDirError, read_bounded, remove, write_atomic};

/// The largest object or status that is read back, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A training job's status and, since no Kubernetes Job keeps them here, its runs.
#[derive(Serialize, Deserialize)]
struct TrainingFile {
    #[serde(flatten)]
    shown: MLTrainingJobStatus,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    runs: Vec<Record>,
}

pub(super) fn load(data_dir: &DataDir, name: &EnvironmentName) -> Result<State, DataDirError> {
    refuse_another_environment(data_dir, name)?;
    let mut state = State::default();
    let object = |path: &Path| -> Option<MLEnvironment> { read_json(path) };
    state.environment = object(&data_dir.object_file(ENVIRONMENT, name.as_str()))
        .and_then(|object| understood(convert::read_environment_object(&object).ok(), name.as_str()));
    let report = data_dir.status_file(ENVIRONMENT, name.as_str());
    if let Some(found) = read_json::<MLEnvironmentStatus>(&report) {
        state.report = found;
    }
    for (name, object) in read_all::<MLDeployment>(data_dir, DEPLOYMENT)? {
        let Some(object) = understood(convert::read_deployment_object(&object).ok(), name.as_str()) else {
            continue;
        };
        let shown: Option<MLDeploymentStatus> = read_json(&data_dir.status_file(DEPLOYMENT, name.as_str()));
        state.deployments.insert(
            name,
            DeploymentEntry {
                object,
                status: shown.as_ref().and_then(|shown| shown.memory.clone()),
                conditions: shown.map(|shown| shown.conditions).unwrap_or_default(),
            },
        );
    }
    for (name, object) in read_all::<MLTrainingJob>(data_dir, TRAINING)? {
        let Some(object) = understood(convert::read_training_object(&object).ok(), name.as_str()) else {
            continue;
        };
        let file: Option<TrainingFile> = read_json(&data_dir.status_file(TRAINING, name.as_str()));
        let status = file.map(read_training).unwrap_or_default();
        state.trainings.insert(name, TrainingEntry { object, status });
    }
    if data_dir.is_locked() {
        remember_written(data_dir, &mut state);
    }
    Ok(state)
}

/// Objects of another environment would look like objects that Git does not have any more.
fn refuse_another_environment(data_dir: &DataDir, name: &EnvironmentName) -> Result<(), DataDirError> {
    for entry in fs::read_dir(data_dir.path().join("objects").join(ENVIRONMENT))
        .into_iter()
        .flatten()
        .flatten()
    {
        let file_name = entry.file_name().to_string_lossy().into_owned();
        if let Some(other) = file_name.strip_suffix(".json")
            && !file_name.starts_with(".tmp-")
            && other != name.as_str()
        {
            return Err(DataDirError::OtherEnvironment {
                path: data_dir.path().to_owned(),
                other: other.to_owned(),
                environment: name.clone(),
            });
        }
    }
    Ok(())
}

/// Serializes an object or a status.
pub(super) fn json<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .expect("invariant: objects and statuses have text keys and cannot fail");
    bytes.push(b'\n');
    bytes
}

pub(super) fn deployment_status(entry: &DeploymentEntry) -> Option<Vec<u8>> {
    let status = entry.status.as_ref()?;
    Some(json(&MLDeploymentStatus {
        conditions: entry.conditions.clone(),
        ..convert::deployment_status(status)
    }))
}

pub(super) fn training_status(entry: &TrainingEntry) -> Vec<u8> {
    let TrainingStatus {
        phase,
        note,
        records,
        progress_percent,
        metrics,
        conditions,
    } = &entry.status;
    let last = records.last();
    let of_phase = phase.as_ref().map(convert::training_status).unwrap_or_default();
    let shown = MLTrainingJobStatus {
        message: note.clone().or_else(|| of_phase.message.clone()),
        conditions: conditions.clone(),
        metrics: metrics.clone(),
        progress_percent: *progress_percent,
        started_at: last.map(|record| record.started_at),
        finished_at: last.and_then(|record| ended_at(&record.outcome)),
        ..of_phase
    };
    json(&TrainingFile {
        shown,
        runs: records.clone(),
    })
}

pub(super) fn write_object(data_dir: &DataDir, kind: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let path = data_dir.object_file(kind, name);
    write_atomic(&path, bytes).map_err(|error| named("write", &path, &error))
}

pub(super) fn write_status(data_dir: &DataDir, kind: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let path = data_dir.status_file(kind, name);
    write_atomic(&path, bytes).map_err(|error| named("write", &path, &error))
}

pub(super) fn remove_object(data_dir: &DataDir, kind: &str, name: &str) -> io::Result<()> {
    let path = data_dir.object_file(kind, name);
    remove(&path).map_err(|error| named("remove", &path, &error))
}

pub(super) fn remove_status(data_dir: &DataDir, kind: &str, name: &str) -> io::Result<()> {
    let path = data_dir.status_file(kind, name);
    remove(&path).map_err(|error| named("remove", &path, &error))
}

fn named(act: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {act} {}: {error}", path.display()))
}

fn ended_at(outcome: &Outcome) -> Option<planner::Timestamp> {
    match outcome {
        Outcome::Running => None,
        Outcome::Succeeded { at, .. }
        | Outcome::Invalid { at, .. }
        | Outcome::Transient { at, .. }
        | Outcome::Skipped { at, .. }
        | Outcome::Stopped { at, .. } => Some(*at),
    }
}

fn read_training(file: TrainingFile) -> TrainingStatus {
    let TrainingFile { shown, runs } = file;
    TrainingStatus {
        phase: convert::read_training_phase(&shown),
        note: None,
        records: runs,
        progress_percent: shown.progress_percent,
        metrics: shown.metrics,
        conditions: shown.conditions,
    }
}

fn read_all<T: DeserializeOwned>(
    data_dir: &DataDir,
    kind: &str,
) -> Result<BTreeMap<ObjectName, T>, DataDirError> {
    let folder = data_dir.path().join("objects").join(kind);
    let failed = |source| DataDirError::Io {
        what: "read",
        path: folder.clone(),
        source,
    };
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut all = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let file_name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if file_name.starts_with(".tmp-") {
            if data_dir.is_locked() {
                let _half_written = fs::remove_file(&path);
            }
        } else if let Some(name) = file_name.strip_suffix(".json").and_then(|name| name.parse().ok())
            && let Some(object) = read_json(&path)
        {
            all.insert(name, object);
        }
    }
    Ok(all)
}

/// Reads what the status files hold, and removes those of objects that are gone: their tracks ended with the process.
fn remember_written(data_dir: &DataDir, state: &mut State) {
    for kind in [ENVIRONMENT, DEPLOYMENT, TRAINING] {
        let folder = data_dir.path().join("status").join(kind);
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let file_name = entry.file_name().to_string_lossy().into_owned();
            let name = file_name.strip_suffix(".json").unwrap_or_default();
            let known = name.parse::<ObjectName>().is_ok_and(|name| match kind {
                DEPLOYMENT => state.deployments.contains_key(&name),
                TRAINING => state.trainings.contains_key(&name),
                _ => true,
            });
            if !known || file_name.starts_with(".tmp-") {
                let _orphan = fs::remove_file(&path);
            } else if let Ok(bytes) = read_bounded(&path, FILE_BYTES_MAX) {
                state.written.insert((kind, name.to_owned()), bytes);
            }
        }
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = match read_bounded(path, FILE_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "left out a file of the data directory that cannot be read");
            return None;
        }
    };
    serde_json::from_slice(&bytes)
        .inspect_err(|error| {
            tracing::warn!(path = %path.display(), %error, "left out a file of the data directory that makes no sense");
        })
        .ok()
}

fn understood<T>(value: Option<T>, name: &str) -> Option<T> {
    if value.is_none() {
        tracing::warn!(
            object = name,
            "left out an object of the data directory that makes no sense"
        );
    }
    value
}
