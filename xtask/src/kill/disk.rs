//! What the data directory shows: the phase that a kill hit, and whether everything is in its place.
//!
//! Reads files only, in the formats that docs/design.md promises ("The store", "Standalone data directory"), and knows
//! nothing of the process that wrote them.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use benchmark::scenario::Pins;
use serde_json::Value;

use super::scenario::MOVING;

/// Where a commit is on its way to the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// The commit is not in the objects yet.
    Reconcile,
    /// A version is being trained.
    Train,
    /// A version is being written, or is there without its run's result.
    Publish,
    /// A track does not serve its pin yet, or a track that left is not gone.
    Swap,
    /// An alias is not at its pin yet, or is being moved.
    Alias,
    /// Everything is as declared.
    Idle,
}

impl Phase {
    pub(super) const ALL: [Self; 6] = [
        Self::Reconcile,
        Self::Train,
        Self::Publish,
        Self::Swap,
        Self::Alias,
        Self::Idle,
    ];
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Reconcile => "reconcile",
            Self::Train => "train",
            Self::Publish => "publish",
            Self::Swap => "swap",
            Self::Alias => "alias",
            Self::Idle => "idle",
        })
    }
}

/// A data directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Disk<'a>(pub(super) &'a Path);

impl Disk<'_> {
    /// Returns the folder that holds `aurora/`.
    pub(super) fn registry(self) -> PathBuf {
        self.0.join("registry")
    }

    fn model(self) -> PathBuf {
        self.registry().join("aurora").join(MOVING)
    }

    /// Returns the phase of the moving model. Of several at once it is the rarest.
    pub(super) fn phase(self, declared: &Pins) -> Phase {
        let model = self.model();
        if has_temporary(&model.join("versions")) {
            return Phase::Publish;
        }
        if has_temporary(&model.join("aliases")) {
            return Phase::Alias;
        }
        let canary = declared
            .canary
            .as_ref()
            .map(|(version, _weight)| version.as_str());
        let tracks = [
            self.phase_of_track("stable", Some(&declared.stable)),
            self.phase_of_track("canary", canary),
            self.phase_of_weight(declared),
        ];
        let rarity = [
            Phase::Publish,
            Phase::Alias,
            Phase::Swap,
            Phase::Reconcile,
            Phase::Train,
        ];
        let rarest = rarity.into_iter().find(|phase| tracks.contains(phase));
        rarest.unwrap_or(Phase::Idle)
    }

    fn phase_of_track(self, track: &str, pin: Option<&str>) -> Phase {
        if let Some(version) = pin {
            let exists = self.model().join("versions").join(version).is_dir();
            let result = self.model().join("runs").join(version).join("result.json");
            let run = self.read("status", "MLTrainingJob");
            // A run that was killed here leaves no result; once it is settled its version counts.
            if exists && !result.is_file() && run["phase"] == "Running" && run["version"] == version {
                return Phase::Publish;
            }
            if !exists {
                let job = self.read("objects", "MLTrainingJob");
                let is_asked_for = job["spec"]["version"] == version;
                return if is_asked_for {
                    Phase::Train
                } else {
                    Phase::Reconcile
                };
            }
        }
        if self.read("objects", "MLDeployment")["spec"][track]["version"].as_str() != pin {
            return Phase::Reconcile;
        }
        if self.read("status", "MLDeployment")[track]["version"].as_str() != pin {
            return Phase::Swap;
        }
        if self.alias(track).as_deref() != pin {
            return Phase::Alias;
        }
        Phase::Idle
    }

    /// The weight is in the object as soon as the canary can be: once its version exists.
    fn phase_of_weight(self, declared: &Pins) -> Phase {
        let Some((version, weight)) = &declared.canary else {
            return Phase::Idle;
        };
        let exists = self.model().join("versions").join(version).is_dir();
        let applied = &self.read("objects", "MLDeployment")["spec"]["canary"]["weight"];
        if exists && *applied != *weight {
            Phase::Reconcile
        } else {
            Phase::Idle
        }
    }

    /// Returns the version that an alias names.
    pub(super) fn alias(self, track: &str) -> Option<String> {
        let target = fs::read_link(self.model().join("aliases").join(track)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    /// Returns what was left behind half-written, anywhere in the data directory.
    pub(super) fn temporaries(self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.0.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().starts_with(".tmp-") {
                    found.push(entry.path());
                } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push(entry.path());
                }
            }
        }
        found
    }

    /// Returns what is wrong with `history.jsonl`: each line is whole, and the last move of an alias led to where it is.
    pub(super) fn history_fault(self) -> Option<String> {
        let text = fs::read_to_string(self.model().join("history.jsonl")).unwrap_or_default();
        let mut last = [("stable", None), ("canary", None)];
        for (number, line) in text.lines().enumerate() {
            let Ok(entry) = serde_json::from_str::<Value>(line) else {
                return Some(format!(
                    "line {} of history.jsonl is not JSON: {line}",
                    number + 1
                ));
            };
            for (track, to) in &mut last {
                if entry["alias"] == *track {
                    *to = entry["to"].as_str().map(str::to_owned);
                }
            }
        }
        let differs = last.into_iter().find(|(track, to)| *to != self.alias(track));
        differs.map(|(track, to)| {
            format!(
                "history.jsonl says that {track} names {to:?}, the alias {:?}",
                self.alias(track)
            )
        })
    }

    /// Returns the moving model's object or status of a kind; null while there is none.
    fn read(self, folder: &str, kind: &str) -> Value {
        let path = self.0.join(folder).join(kind).join(format!("{MOVING}.json"));
        let bytes = fs::read(path).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or(Value::Null)
    }
}

fn has_temporary(folder: &Path) -> bool {
    let mut entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.any(|entry| entry.file_name().to_string_lossy().starts_with(".tmp-"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(folder: &Path, path: &str, text: &str) {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn the_disk_tells_how_far_a_commit_is() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let declared = Pins {
            stable: "v1".into(),
            canary: None,
        };
        let model = format!("registry/aurora/{MOVING}");
        let file = |kind: &str| format!("{kind}/{MOVING}.json");
        let phase = |expected: Phase| assert_eq!(Disk(data).phase(&declared), expected);

        fs::create_dir_all(data.join(&model).join("aliases")).unwrap();
        phase(Phase::Reconcile);
        write(
            data,
            &file("objects/MLTrainingJob"),
            r#"{"spec":{"version":"v1"}}"#,
        );
        phase(Phase::Train);
        write(
            data,
            &file("status/MLTrainingJob"),
            r#"{"phase":"Running","version":"v1"}"#,
        );
        phase(Phase::Train);
        fs::create_dir_all(data.join(&model).join("versions/.tmp-1-0")).unwrap();
        phase(Phase::Publish);
        fs::rename(
            data.join(&model).join("versions/.tmp-1-0"),
            data.join(&model).join("versions/v1"),
        )
        .unwrap();
        phase(Phase::Publish);
        write(
            data,
            &file("status/MLTrainingJob"),
            r#"{"phase":"Succeeded","version":"v1"}"#,
        );
        phase(Phase::Reconcile);
        write(
            data,
            &file("objects/MLDeployment"),
            r#"{"spec":{"stable":{"version":"v1"}}}"#,
        );
        phase(Phase::Swap);
        write(
            data,
            &file("status/MLDeployment"),
            r#"{"stable":{"version":"v1"}}"#,
        );
        phase(Phase::Alias);
        symlink("../versions/v1", data.join(&model).join("aliases/.tmp-1-1")).unwrap();
        phase(Phase::Alias);
        fs::rename(
            data.join(&model).join("aliases/.tmp-1-1"),
            data.join(&model).join("aliases/stable"),
        )
        .unwrap();
        phase(Phase::Idle);
    }

    #[test]
    fn a_history_agrees_with_the_aliases() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("registry/aurora").join(MOVING);
        fs::create_dir_all(model.join("aliases")).unwrap();
        symlink("../versions/v2", model.join("aliases/stable")).unwrap();
        let fault = |text: &str| {
            fs::write(model.join("history.jsonl"), text).unwrap();
            Disk(folder.path()).history_fault()
        };
        let moved = "{\"alias\":\"stable\",\"to\":\"v1\"}\n{\"alias\":\"stable\",\"to\":\"v2\"}\n";
        let gone = "{\"alias\":\"canary\",\"to\":\"v3\"}\n{\"alias\":\"canary\",\"to\":null}\n";
        assert_eq!(fault(&format!("{moved}{gone}")), None);
        assert!(fault(&moved[..20]).unwrap().contains("line 1 of history.jsonl"));
        assert!(fault("").unwrap().contains("stable"));
    }
}
