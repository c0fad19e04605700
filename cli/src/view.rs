//! What a data directory says now: the objects with their status. Read from its files, so it works beside a running
//! process as well as inside it, and while none runs. Nothing of it is reached through a link.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crds::check_stored;
use crds::view::View;
use registry::files::Dir;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The largest object or status file, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// The kinds, as the data directory's folders are called.
const ENVIRONMENT: &str = "MLEnvironment";
const DEPLOYMENT: &str = "MLDeployment";
const TRAINING: &str = "MLTrainingJob";

/// Reads what a data directory says; empty for a folder that is none. An object that cannot be read costs no other.
///
/// # Errors
///
/// A folder cannot be listed.
pub(crate) fn read(data_dir: &Path) -> io::Result<View> {
    let mut unreadable = BTreeMap::new();
    Ok(View {
        environment: objects(data_dir, ENVIRONMENT, &mut unreadable)?
            .into_values()
            .next(),
        deployments: objects(data_dir, DEPLOYMENT, &mut unreadable)?,
        trainings: objects(data_dir, TRAINING, &mut unreadable)?,
        unreadable,
    })
}

/// Reads what a data directory says, all of it.
///
/// # Errors
///
/// A folder cannot be listed, or an object cannot be read: the first.
pub(crate) fn read_whole(data_dir: &Path) -> io::Result<View> {
    let view = read(data_dir)?;
    match view.unreadable.first_key_value() {
        Some((subject, why)) => Err(invalid(&format!("{subject}: {why}"))),
        None => Ok(view),
    }
}

/// Reads a kind's objects and puts each one's status into it.
fn objects<T: DeserializeOwned>(
    data_dir: &Path,
    kind: &str,
    unreadable: &mut BTreeMap<String, String>,
) -> io::Result<BTreeMap<String, T>> {
    let open = |folder: &str| Dir::open_if_there(&data_dir.join(folder).join(kind));
    let (folder, statuses) = (open("objects")?, open("status")?);
    let mut objects = BTreeMap::new();
    for file in names(folder.as_ref())? {
        let name = file.trim_end_matches(".json");
        match object(folder.as_ref(), statuses.as_ref(), &file) {
            Ok(Some(object)) => drop(objects.insert(name.to_owned(), object)),
            // A file that is replaced or removed meanwhile is read next time.
            Ok(None) => {}
            Err(error) => {
                let subject = format!("{kind}/{name}");
                tracing::warn!(%subject, %error, "an object cannot be read");
                unreadable.insert(subject, error.to_string());
            }
        }
    }
    Ok(objects)
}

fn object<T: DeserializeOwned>(
    folder: Option<&Dir>,
    statuses: Option<&Dir>,
    file: &str,
) -> io::Result<Option<T>> {
    let Some(mut object) = document(folder, file)? else {
        return Ok(None);
    };
    check_stored(&object).map_err(|error| invalid(&error.to_string()))?;
    let status = document(statuses, file)?;
    if let (Some(object), Some(status)) = (object.as_object_mut(), status) {
        object.insert("status".to_owned(), status);
    }
    let object = serde_json::from_value(object).map_err(|error| invalid(&error.to_string()))?;
    Ok(Some(object))
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
