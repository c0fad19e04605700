//! The objects of Aurora's first design, and what to write instead of each of their fields.

use super::check::Kind;
use super::document::Entry;

/// Returns what to write instead of a field that the first design had.
pub(super) fn hint(kind: Kind, parent: &str, entry: &Entry) -> Option<String> {
    let hint = match (kind, parent, entry.key.as_str()) {
        (Kind::Deployment, "spec", "strategy") if entry.value.field("canaryWeight").is_some() => {
            "pin what serves: `stable: { version: VERSION }` and `canary: { version: VERSION, weight: PERCENT }` instead of `strategy.canaryWeight`"
        }
        (Kind::Deployment, "spec", "canaryWeight") => {
            "write `canary: { version: VERSION, weight: PERCENT }`: a canary is a version with its weight"
        }
        (_, "", "status") => "remove it: Aurora writes the status",
        (_, "metadata", "namespace") => {
            "remove it: the folder below `environments/` says where the object belongs"
        }
        (_, "metadata", _) => "remove it: a manifest's metadata is its name",
        _ => return None,
    };
    Some(hint.to_owned())
}
