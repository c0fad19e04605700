//! Objects that a target has stored, before they are taken for ours.

use planner::shown::escape;
use serde_json::Value;

use crate::API_VERSION;

/// How much of a foreign version is shown, in characters.
const SHOWN_CHARS_MAX: usize = 60;

/// A stored object is of another version of the API, or of none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("has {found}, and this aurora reads {API_VERSION}: another program wrote it, so use that one")]
pub struct ForeignObject {
    /// What it has instead, fit to be shown.
    found: String,
}

/// Fails for an object whose `apiVersion` is not ours: what its fields mean is not known, and what is not known is
/// neither used nor written over.
pub fn check_stored(object: &Value) -> Result<(), ForeignObject> {
    match object.get("apiVersion") {
        Some(Value::String(version)) if version == API_VERSION => Ok(()),
        Some(version) => {
            let shown: String = version.to_string().chars().take(SHOWN_CHARS_MAX).collect();
            Err(ForeignObject {
                found: format!("apiVersion {}", escape(&shown)),
            })
        }
        None => Err(ForeignObject {
            found: "no apiVersion".to_owned(),
        }),
    }
}
