//! `<model>/runs/data.json`: which bytes data files had when a run read them, so that the next one need not read again
//! what nobody touched.
//!
//! It spares a read and decides nothing: where it is gone, damaged or in doubt, the file is read.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use planner::names::{Digest, ModelName};
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::files::{Opened, Stamp, seconds_now};
use crate::roots::open_data_file;
use crate::store::{METADATA_BYTES_MAX, RUNS, Store, to_json};

const DATA: &str = "data.json";

/// How many files are known of a model: the last that were read.
const KNOWN_MAX: usize = 16;

/// What a data file outside the store was when it was opened.
#[derive(Debug, Clone)]
pub struct Sighting {
    path: PathBuf,
    stamp: Stamp,
    /// The second in which it was looked at, at the latest.
    at: i64,
}

/// What is kept of a file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// The hash of its path, size, inode and times.
    stamp: Digest,
    /// The hash of its bytes.
    sha256: Digest,
}

impl Sighting {
    /// Opens a data file as [`open_data_file`] does, and says what it was then.
    pub fn open(folders: &[PathBuf], path: &Path) -> Result<(Opened, Self), StoreError> {
        let at = seconds_now();
        let opened = open_data_file(folders, path)?;
        let sighting = Self {
            path: path.to_owned(),
            stamp: opened.stamp.clone(),
            at,
        };
        Ok((opened, sighting))
    }

    fn digest(&self) -> Digest {
        let mut all = self.stamp.to_bytes().to_vec();
        all.extend(self.path.as_os_str().as_bytes());
        Digest::of(&all)
    }
}

impl Store {
    /// Returns the hash of the bytes that a data file had when a run of the model read it, where it is still the same
    /// file with the same size and times.
    pub fn known_data(&self, model: &ModelName, sighting: &Sighting) -> Option<Digest> {
        let stamp = sighting.digest();
        let known = self.read_known(model).ok()?;
        known
            .into_iter()
            .find_map(|known| (known.stamp == stamp).then_some(known.sha256))
    }

    /// Remembers what was read of data files since their sightings. One that was changed just before is not: another
    /// change could bear the same time.
    pub fn remember_data(&self, model: &ModelName, read: &[(Sighting, Digest)]) -> Result<(), StoreError> {
        let settled = read
            .iter()
            .filter(|(sighting, _)| sighting.stamp.is_settled(sighting.at));
        let new: Vec<Known> = settled
            .map(|(sighting, sha256)| Known {
                stamp: sighting.digest(),
                sha256: *sha256,
            })
            .collect();
        // What cannot be read is written anew.
        let before = self.read_known(model).unwrap_or_default();
        if new.iter().all(|new| before.contains(new)) {
            return Ok(());
        }
        let is_kept = |known: &Known| new.iter().all(|new| new.stamp != known.stamp);
        let mut known: Vec<Known> = before.into_iter().filter(is_kept).collect();
        known.extend(new);
        known.drain(..known.len().saturating_sub(KNOWN_MAX));
        let runs = self.ensure_model_dir(model)?.make_dir(RUNS)?;
        runs.replace_unsynced(DATA, &to_json(&known))
    }

    fn read_known(&self, model: &ModelName) -> Result<Vec<Known>, StoreError> {
        let runs = match self.model_dir(model)? {
            Some(dir) => dir.dir(RUNS)?,
            None => None,
        };
        let bytes = match runs {
            Some(runs) => runs.read(DATA, "what was read of data files", METADATA_BYTES_MAX)?,
            None => None,
        };
        Ok(bytes
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::SETTLED_SECONDS;
    use crate::store::Owner;

    #[test]
    fn a_file_is_known_while_nobody_touched_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let owner = Owner {
            environment: "dev".parse().unwrap(),
            installation: "test".to_owned(),
        };
        let now = "2026-11-01T12:00:00Z".parse().unwrap();
        let store = Store::init(&root.join("registry"), &owner, now).unwrap();
        let model: ModelName = "m".parse().unwrap();
        let path = root.join("data.csv");
        std::fs::write(&path, "a\n1\n").unwrap();
        // As if the look came this much later than it did.
        let sight = |seconds: i64| {
            let (_, mut sighting) = Sighting::open(std::slice::from_ref(&root), &path).unwrap();
            sighting.at = sighting.stamp.changed_seconds() + seconds;
            sighting
        };
        let known = |sighting: &Sighting| store.known_data(&model, sighting);
        let (first, second) = (Digest::of(b"a\n1\n"), Digest::of(b"a\n2\n"));
        assert_eq!(known(&sight(0)), None);
        // Too soon after the change to be sure that no other follows at the same time.
        for seconds in [-1, 0, SETTLED_SECONDS] {
            store.remember_data(&model, &[(sight(seconds), first)]).unwrap();
            assert_eq!(known(&sight(0)), None, "{seconds}");
        }
        store
            .remember_data(&model, &[(sight(SETTLED_SECONDS + 1), first)])
            .unwrap();
        assert_eq!(known(&sight(0)), Some(first));
        // Changed in place, its time set back: the inode's own time tells.
        let (before, modified) = (sight(0), std::fs::metadata(&path).unwrap().modified().unwrap());
        while sight(0).stamp == before.stamp {
            std::fs::write(&path, "a\n2\n").unwrap();
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(modified).unwrap();
        }
        assert_eq!(known(&sight(0)), None);
        store.remember_data(&model, &[(sight(3), second)]).unwrap();
        assert_eq!(known(&sight(0)), Some(second));
        // Another name of the same file is another file.
        let mut moved = sight(0);
        moved.path = root.join("moved.csv");
        assert_eq!(known(&moved), None);
        // However many were read, the last are known.
        for n in 0..KNOWN_MAX - 1 {
            let mut other = sight(3);
            other.path = root.join(n.to_string());
            store.remember_data(&model, &[(other, first)]).unwrap();
        }
        assert_eq!(known(&sight(0)), Some(second));
        let mut other = sight(3);
        other.path = root.join("one more");
        store.remember_data(&model, &[(other.clone(), first)]).unwrap();
        assert_eq!(known(&sight(0)), None);
        assert_eq!(known(&other), Some(first));
        // What is damaged is nothing, and is written anew.
        std::fs::write(root.join("registry/aurora/m/runs/data.json"), "[{").unwrap();
        assert_eq!(known(&other), None);
        store.remember_data(&model, &[(other.clone(), first)]).unwrap();
        assert_eq!(known(&other), Some(first));
    }
}
