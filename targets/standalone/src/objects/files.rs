//! How objects and statuses lie in files.

use std::collections::BTreeMap;
use std::io;

use crds::{
    MLDeployment, MLDeploymentStatus, MLEnvironment, MLEnvironmentStatus, MLTrainingJob, MLTrainingJobStatus,
    check_stored, convert,
};
use planner::names::{Digest, EnvironmentName, ObjectName};
use planner::object::{Kind, ObjectId};
use planner::observed::ObservedDeployment;
use reconciler::objects::Object;
use reconciler::objects::resource::{Resource, known_format};
use registry::Shortage;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{DeploymentEntry, State, TrainingEntry};
use crate::data_dir::{DataDir, DataDirError, FilePath, KindFolder};

/// The largest object or status that is read back, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The folders of the objects' files and of their statuses.
const OBJECTS: &str = "objects";
const STATUSES: &str = "status";

pub(super) fn load(data_dir: &DataDir, name: &EnvironmentName) -> Result<State, DataDirError> {
    refuse_another_environment(data_dir, name)?;
    let mut state = State::default();
    let file_name = format!("{name}.json");
    let objects = data_dir.kind_folder(OBJECTS, Kind::Environment)?;
    state.environment = read_object::<MLEnvironment>(&objects, &file_name)?
        .and_then(|object| understood(convert::read_environment_object(&object).ok(), name.as_str()));
    let statuses = data_dir.kind_folder(STATUSES, Kind::Environment)?;
    state.report = read_json::<MLEnvironmentStatus>(&statuses, &file_name)?;
    let statuses = data_dir.kind_folder(STATUSES, Kind::Deployment)?;
    for (name, object) in read_all::<MLDeployment>(data_dir, Kind::Deployment)? {
        let Some(object) = understood(convert::read_deployment_object(&object).ok(), name.as_str()) else {
            continue;
        };
        let shown: Option<MLDeploymentStatus> = read_status(&statuses, &name)?;
        let model = object.spec.model.clone();
        state.of_model.entry(model).or_default().insert(name.clone());
        let (status, conditions) = shown
            .map(|shown| (shown.memory, shown.conditions))
            .unwrap_or_default();
        let found = ObservedDeployment { object, status };
        state
            .deployments
            .insert(name, DeploymentEntry { found, conditions });
    }
    let statuses = data_dir.kind_folder(STATUSES, Kind::Training)?;
    for (name, object) in read_all::<MLTrainingJob>(data_dir, Kind::Training)? {
        let Some(object) = understood(convert::read_training_object(&object).ok(), name.as_str()) else {
            continue;
        };
        let status = read_status(&statuses, &name)?
            .map(|shown: MLTrainingJobStatus| shown.into())
            .unwrap_or_default();
        state.trainings.insert(name, TrainingEntry { object, status });
    }
    if data_dir.is_locked() {
        remember_written(data_dir, &mut state)?;
    }
    Ok(state)
}

/// Reads a status. What a later program remembers in it is neither read nor lost: the start is refused.
fn read_status<T: DeserializeOwned>(
    folder: &KindFolder,
    name: &ObjectName,
) -> Result<Option<T>, DataDirError> {
    let file_name = format!("{name}.json");
    let path = folder.path(&file_name);
    let Some(mut status) = read_json::<Value>(folder, &file_name)? else {
        return Ok(None);
    };
    known_format(&status).map_err(|source| DataDirError::LaterFormat {
        path: path.clone(),
        source,
    })?;
    // The first version kept a job's runs beside its status.
    if let Some(runs) = status.get_mut("runs").map(Value::take)
        && status.get("memory").is_none()
    {
        status["memory"] = serde_json::json!({ "runs": runs });
    }
    let read = serde_json::from_value(status).inspect_err(|error| {
        tracing::warn!(path = %path.display(), %error, "left out a file of the data directory that makes no sense");
    });
    Ok(read.ok())
}

/// Objects of another environment would look like objects that Git does not have any more.
fn refuse_another_environment(data_dir: &DataDir, name: &EnvironmentName) -> Result<(), DataDirError> {
    for file_name in data_dir.kind_folder(OBJECTS, Kind::Environment)?.names()? {
        if let Some(other) = file_name.strip_suffix(".json")
            && !is_unfinished(&file_name)
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
    let status = entry.found.status.as_ref()?;
    Some(json(&MLDeploymentStatus {
        conditions: entry.conditions.clone(),
        ..convert::deployment_status(status)
    }))
}

pub(super) fn training_status(entry: &TrainingEntry) -> Vec<u8> {
    json(&entry.status.shown())
}

pub(super) fn write_object(
    data_dir: &DataDir,
    object: &Object,
    environment: &EnvironmentName,
) -> io::Result<()> {
    let bytes = json(&Resource { object, environment });
    let ObjectId { kind, name } = object.id();
    let file = data_dir.object_file(kind, name.as_str());
    write(data_dir, file, &bytes)
}

pub(super) fn write_status(data_dir: &DataDir, id: &ObjectId, bytes: &[u8]) -> io::Result<()> {
    write(data_dir, data_dir.status_file(id.kind, id.name.as_str()), bytes)
}

fn write(data_dir: &DataDir, file: FilePath, bytes: &[u8]) -> io::Result<()> {
    file.write(bytes).map_err(|error| named("write", &file, &error))?;
    data_dir.sync_later(file);
    Ok(())
}

pub(super) fn remove_object(data_dir: &DataDir, id: &ObjectId) -> io::Result<()> {
    remove(&data_dir.object_file(id.kind, id.name.as_str()))
}

pub(super) fn remove_status(data_dir: &DataDir, id: &ObjectId) -> io::Result<()> {
    remove(&data_dir.status_file(id.kind, id.name.as_str()))
}

fn remove(file: &FilePath) -> io::Result<()> {
    file.remove().map_err(|error| named("remove", file, &error))
}

fn named(act: &str, file: &FilePath, error: &io::Error) -> io::Error {
    let path = file.path();
    io::Error::new(error.kind(), format!("cannot {act} {}: {error}", path.display()))
}

/// Says whether a write left the file unfinished.
fn is_unfinished(file_name: &str) -> bool {
    file_name.starts_with(".tmp-")
}

fn read_all<T: DeserializeOwned>(
    data_dir: &DataDir,
    kind: Kind,
) -> Result<BTreeMap<ObjectName, T>, DataDirError> {
    let folder = data_dir.kind_folder(OBJECTS, kind)?;
    let mut all = BTreeMap::new();
    for file_name in folder.names()? {
        if is_unfinished(&file_name) {
            if data_dir.is_locked() {
                folder.discard(&file_name);
            }
        } else if let Some(name) = file_name.strip_suffix(".json").and_then(|name| name.parse().ok())
            && let Some(object) = read_object(&folder, &file_name)?
        {
            all.insert(name, object);
        }
    }
    Ok(all)
}

/// Reads what the status files hold, and removes those of objects that are gone: their tracks ended with the process. That
/// of an object that is there and was not understood stays, for a program that understands it.
fn remember_written(data_dir: &DataDir, state: &mut State) -> Result<(), DataDirError> {
    for kind in Kind::ALL {
        let folder = data_dir.kind_folder(STATUSES, kind)?;
        let objects = data_dir.kind_folder(OBJECTS, kind)?.names()?;
        for file_name in folder.names()? {
            let name = file_name.strip_suffix(".json").unwrap_or_default();
            let known = name.parse::<ObjectName>().ok().filter(|name| match kind {
                Kind::Deployment => state.deployments.contains_key(name),
                Kind::Training => state.trainings.contains_key(name),
                Kind::Environment => true,
            });
            match known.filter(|_| !is_unfinished(&file_name)) {
                None if objects.binary_search(&file_name).is_ok() => {}
                None => folder.discard(&file_name),
                Some(name) => {
                    if let Ok(Some(bytes)) = folder.read(&file_name, FILE_BYTES_MAX) {
                        state.written.insert(ObjectId { kind, name }, Digest::of(&bytes));
                    }
                }
            }
        }
    }
    Ok(())
}

/// Reads an object. One that is not of our version of the API is neither read nor lost: the start is refused.
fn read_object<T: DeserializeOwned>(folder: &KindFolder, file_name: &str) -> Result<Option<T>, DataDirError> {
    let path = folder.path(file_name);
    let Some(object) = read_json::<Value>(folder, file_name)? else {
        return Ok(None);
    };
    check_stored(&object).map_err(|source| DataDirError::ForeignObject {
        path: path.clone(),
        source,
    })?;
    let read = serde_json::from_value(object).inspect_err(|error| {
        tracing::warn!(path = %path.display(), %error, "left out a file of the data directory that makes no sense");
    });
    Ok(read.ok())
}

/// Reads a file. One that is at fault itself is left out; where a limit is reached, no file is, and the start is refused.
fn read_json<T: DeserializeOwned>(folder: &KindFolder, file_name: &str) -> Result<Option<T>, DataDirError> {
    let path = folder.path(file_name);
    let bytes = match folder.read(file_name, FILE_BYTES_MAX) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        Err(source) if Shortage::of(&source).is_some() => {
            let what = "read";
            return Err(DataDirError::Io { what, path, source });
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "left out a file of the data directory that cannot be read");
            return Ok(None);
        }
    };
    let read = serde_json::from_slice(&bytes).inspect_err(|error| {
        tracing::warn!(path = %path.display(), %error, "left out a file of the data directory that makes no sense");
    });
    Ok(read.ok())
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
