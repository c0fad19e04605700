//! What a data directory says now: the objects with their status. Read from its files, so it works beside a running
//! process as well as inside it, and while none runs. Nothing of it is reached through a link.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crds::{MLDeployment, MLEnvironment, MLTrainingJob, check_stored};
use registry::files::Dir;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The largest object or status file, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// The kinds, as the data directory's folders are called.
const ENVIRONMENT: &str = "MLEnvironment";
const DEPLOYMENT: &str = "MLDeployment";
const TRAINING: &str = "MLTrainingJob";

/// The objects of one environment, each with its status where it has one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct View {
    /// Absent before the first pass.
    pub(crate) environment: Option<MLEnvironment>,
    /// By name.
    pub(crate) deployments: BTreeMap<String, MLDeployment>,
    /// By name.
    pub(crate) trainings: BTreeMap<String, MLTrainingJob>,
}

impl View {
    /// Reads the view; empty for a folder that is no data directory.
    pub(crate) fn read(data_dir: &Path) -> io::Result<Self> {
        Ok(Self {
            environment: objects(data_dir, ENVIRONMENT)?.into_values().next(),
            deployments: objects(data_dir, DEPLOYMENT)?,
            trainings: objects(data_dir, TRAINING)?,
        })
    }

    /// Returns it as the status API shows it.
    pub(crate) fn to_json(&self) -> Value {
        let Self {
            environment,
            deployments,
            trainings,
        } = self;
        json!({
            "environment": environment,
            "deployments": deployments.values().collect::<Vec<_>>(),
            "trainings": trainings.values().collect::<Vec<_>>(),
        })
    }
}

/// Reads a kind's objects and puts each one's status into it.
fn objects<T: DeserializeOwned>(data_dir: &Path, kind: &str) -> io::Result<BTreeMap<String, T>> {
    let open = |folder: &str| Dir::open_if_there(&data_dir.join(folder).join(kind));
    let (folder, statuses) = (open("objects")?, open("status")?);
    let mut objects = BTreeMap::new();
    for name in names(folder.as_ref())? {
        // A file that is replaced or removed meanwhile is read next time.
        let Some(mut object) = document(folder.as_ref(), &name)? else {
            continue;
        };
        check_stored(&object).map_err(|error| invalid(&format!("{kind}/{name} {error}")))?;
        let status = document(statuses.as_ref(), &name)?;
        if let (Some(object), Some(status)) = (object.as_object_mut(), status) {
            object.insert("status".to_owned(), status);
        }
        let object =
            serde_json::from_value(object).map_err(|error| invalid(&format!("{kind}/{name}: {error}")))?;
        objects.insert(name.trim_end_matches(".json").to_owned(), object);
    }
    Ok(objects)
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

fn names(folder: Option<&Dir>) -> io::Result<Vec<String>> {
    let mut names = folder.map_or_else(|| Ok(Vec::new()), Dir::names)?;
    names.retain(|name| {
        name.strip_suffix(".json")
            .is_some_and(|name| !name.starts_with('.'))
    });
    Ok(names)
}

fn document(folder: Option<&Dir>, name: &str) -> io::Result<Option<Value>> {
    let Some(folder) = folder else {
        return Ok(None);
    };
    let Some(bytes) = folder.read(name, "an object or its status", FILE_BYTES_MAX)? else {
        return Ok(None);
    };
    let value = serde_json::from_slice(&bytes).map_err(|error| {
        let path = folder.path().join(name);
        invalid(&format!("{}: {error}", path.display()))
    })?;
    Ok(Some(value))
}
