//! What people ask of a rollout beside Git: abort and pause.
//!
//! `<data-dir>/commands/<model>/{abort,paused}.json` are written by `aurora rollout …`, taken up within a second by the
//! process that serves, and acknowledged in the deployment's status. An abort's file goes once the registry's history
//! holds it; a pause stands while its file does.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use planner::Timestamp;
use planner::names::{Digest, ModelName};
use planner::rollout::Commands;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use registry::files::Stamp;

use crate::data_dir::{FilePath, folder};

/// The largest command, in bytes.
const COMMAND_BYTES_MAX: u64 = 16 * 1024;
/// The longest reason, in characters.
const REASON_CHARS_MAX: usize = 500;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Abort {
    digest: Digest,
    reason: String,
    at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pause {
    reason: String,
    at: Timestamp,
}

/// Asks that the canary of this digest serves no request until its pin changes or leaves.
pub fn write_abort(
    data_dir: &Path,
    model: &ModelName,
    digest: Digest,
    reason: &str,
    now: Timestamp,
) -> io::Result<()> {
    let abort = Abort {
        digest,
        reason: bounded(reason),
        at: now,
    };
    write(&file(data_dir, model, "abort"), &abort)
}

/// Asks that no raise of the model's exposure happens: who, and why.
pub fn write_pause(data_dir: &Path, model: &ModelName, reason: &str, now: Timestamp) -> io::Result<()> {
    let pause = Pause {
        reason: bounded(reason),
        at: now,
    };
    write(&file(data_dir, model, "paused"), &pause)
}

/// Lifts a pause; one that is not there is lifted already.
pub fn clear_pause(data_dir: &Path, model: &ModelName) -> io::Result<()> {
    file(data_dir, model, "paused").remove()
}

/// What tells a model's command files from other ones.
pub(crate) type Stamps = [Option<Stamp>; 2];

/// Lists the models that have commands, each with what tells them from others; none where the folder cannot be read.
pub(crate) fn commanded(data_dir: &Path) -> BTreeMap<ModelName, Stamps> {
    let names = match folder(data_dir, &["commands"]) {
        Ok(Some(folder)) => folder.folders().unwrap_or_default(),
        Ok(None) | Err(_) => Vec::new(),
    };
    let names = names.iter().filter_map(|name| name.parse::<ModelName>().ok());
    let stamp = |model: &ModelName, command: &str| file(data_dir, model, command).stamp().ok().flatten();
    names
        .map(|model| {
            let stamps = ["abort", "paused"].map(|command| stamp(&model, command));
            (model, stamps)
        })
        .filter(|(_, stamps)| stamps.iter().any(Option::is_some))
        .collect()
}

/// Reads a model's commands. A file that makes no sense is left alone, with a warning.
pub(crate) fn read(data_dir: &Path, model: &ModelName) -> Commands {
    let abort: Option<Abort> = read_file(&file(data_dir, model, "abort"));
    let pause: Option<Pause> = read_file(&file(data_dir, model, "paused"));
    Commands {
        abort: abort.map(|abort| (abort.digest, bounded(&abort.reason))),
        paused: pause.map(|pause| bounded(&pause.reason)),
    }
}

/// Removes an abort that is recorded, or about a canary that is gone.
pub(crate) fn clear_abort(data_dir: &Path, model: &ModelName) -> io::Result<()> {
    file(data_dir, model, "abort").remove()
}

fn file(data_dir: &Path, model: &ModelName, command: &str) -> FilePath {
    FilePath::new(data_dir, ["commands", model.as_str()], format!("{command}.json"))
}

fn write<T: Serialize>(file: &FilePath, command: &T) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(command).expect("invariant: a command has text keys and cannot fail");
    bytes.push(b'\n');
    file.write(&bytes)
}

fn read_file<T: DeserializeOwned>(file: &FilePath) -> Option<T> {
    let path = file.path();
    let bytes = match file.read(COMMAND_BYTES_MAX) {
        Ok(bytes) => bytes?,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "left alone a command that cannot be read");
            return None;
        }
    };
    serde_json::from_slice(&bytes)
        .inspect_err(
            |error| tracing::warn!(path = %path.display(), %error, "left alone a command that makes no sense"),
        )
        .ok()
}

fn bounded(reason: &str) -> String {
    reason.chars().take(REASON_CHARS_MAX).collect()
}
