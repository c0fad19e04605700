//! What a data directory says now: the objects with their status. Read from its files, so it works beside a running
//! process as well as inside it, and while none runs. Nothing of it is reached through a link.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crds::view::View;
use crds::{MLDeployment, MLEnvironment, MLTrainingJob, check_stored};
use registry::files::{Dir, Stamp, seconds_now};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The largest object or status file, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// A data directory that is read again and again: what has not changed meanwhile is not read anew.
#[derive(Debug)]
pub(crate) struct Reader {
    data_dir: PathBuf,
    environments: Folder<MLEnvironment>,
    deployments: Folder<MLDeployment>,
    trainings: Folder<MLTrainingJob>,
    view: Arc<View>,
}

/// The objects of one kind, as they were read last.
#[derive(Debug)]
struct Folder<T> {
    /// As the data directory's folders are called.
    kind: &'static str,
    objects: BTreeMap<String, Seen<T>>,
}

/// An object with its status, as it was read.
#[derive(Debug)]
struct Seen<T> {
    stamps: Option<Stamps>,
    /// Why not, where it cannot be read.
    object: Result<Arc<T>, String>,
}

/// The stamps of an object's file and of its status's, both so old that other content would have others.
#[derive(Debug, PartialEq, Eq)]
struct Stamps(Stamp, Option<Stamp>);

/// Reads what a data directory says; empty for a folder that is none. An object that cannot be read costs no other.
///
/// # Errors
///
/// A folder cannot be listed.
pub(crate) fn read(data_dir: &Path) -> io::Result<View> {
    Reader::new(data_dir.to_owned()).read().map(Arc::unwrap_or_clone)
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

impl Reader {
    /// Reads nothing yet.
    pub(crate) fn new(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            environments: Folder::new("MLEnvironment"),
            deployments: Folder::new("MLDeployment"),
            trainings: Folder::new("MLTrainingJob"),
            view: Arc::default(),
        }
    }

    /// Returns what the directory says now, as [`read`]: the same view as before where nothing has changed.
    ///
    /// # Errors
    ///
    /// A folder cannot be listed.
    pub(crate) fn read(&mut self) -> io::Result<Arc<View>> {
        let changed = [
            self.environments.look(&self.data_dir)?,
            self.deployments.look(&self.data_dir)?,
            self.trainings.look(&self.data_dir)?,
        ];
        let failure = standalone::left_failure(&self.data_dir);
        if changed.contains(&true) || self.view.failure != failure {
            let mut unreadable = BTreeMap::new();
            let environments = self.environments.readable(&mut unreadable);
            self.view = Arc::new(View {
                environment: environments.into_values().next().map(Arc::unwrap_or_clone),
                deployments: self.deployments.readable(&mut unreadable),
                trainings: self.trainings.readable(&mut unreadable),
                unreadable,
                failure,
            });
        }
        Ok(self.view.clone())
    }
}

impl<T: DeserializeOwned + PartialEq> Folder<T> {
    const fn new(kind: &'static str) -> Self {
        Self {
            kind,
            objects: BTreeMap::new(),
        }
    }

    /// Reads the objects whose stamps are others than before, and says whether any is another now.
    fn look(&mut self, data_dir: &Path) -> io::Result<bool> {
        let now = seconds_now();
        let open = |folder: &str| Dir::open_if_there(&data_dir.join(folder).join(self.kind));
        let (folder, statuses) = (open("objects")?, open("status")?);
        let files = names(folder.as_ref())?;
        let mut before = std::mem::take(&mut self.objects);
        let mut is_changed = false;
        for file in files {
            let name = file.trim_end_matches(".json");
            let last = before.remove(name);
            let stamps = Stamps::of(folder.as_ref(), statuses.as_ref(), &file, now);
            let is_last = |last: &Seen<T>| last.object.is_ok() && stamps.is_some() && last.stamps == stamps;
            let object = match last {
                Some(last) if is_last(&last) => last.object,
                last => {
                    let read = object(folder.as_ref(), statuses.as_ref(), &file).transpose();
                    let read = read.map(|read| read.map(Arc::new).map_err(|error| error.to_string()));
                    match (last, read) {
                        (Some(last), Some(read)) if last.object == read => last.object,
                        (_, Some(read)) => {
                            is_changed = true;
                            if let Err(error) = &read {
                                tracing::warn!(kind = self.kind, name, error, "an object cannot be read");
                            }
                            read
                        }
                        // A file that is replaced or removed meanwhile is read next time.
                        (last, None) => {
                            is_changed |= last.is_some();
                            continue;
                        }
                    }
                }
            };
            self.objects.insert(name.to_owned(), Seen { stamps, object });
        }
        Ok(is_changed || !before.is_empty())
    }

    /// Returns the objects that could be read, and says why not of the others.
    fn readable(&self, unreadable: &mut BTreeMap<String, String>) -> BTreeMap<String, Arc<T>> {
        let mut readable = BTreeMap::new();
        for (name, seen) in &self.objects {
            match &seen.object {
                Ok(object) => drop(readable.insert(name.clone(), object.clone())),
                Err(why) => drop(unreadable.insert(format!("{}/{name}", self.kind), why.clone())),
            }
        }
        readable
    }
}

impl Stamps {
    /// Returns what a look that begins at the second `now` can trust.
    fn of(folder: Option<&Dir>, statuses: Option<&Dir>, file: &str, now: i64) -> Option<Self> {
        let object = folder?.stamp(file).ok()??;
        let status = statuses.map_or(Ok(None), |statuses| statuses.stamp(file)).ok()?;
        let mut both = std::iter::once(&object).chain(&status);
        both.all(|stamp| stamp.is_settled(now))
            .then_some(Self(object, status))
    }
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

#[cfg(test)]
mod tests;
