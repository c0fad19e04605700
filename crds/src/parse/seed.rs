//! What people bring from elsewhere: the objects of Aurora's first design and `kubectl`'s habits, with what to write
//! instead.

use super::check::Kind;
use super::document::{Entry, Node, Value};

/// Returns what to write instead of a field that is not known.
pub(super) fn field_hint(kind: Kind, parent: &str, entry: &Entry) -> Option<&'static str> {
    match (kind, parent, entry.key.as_str()) {
        (Kind::Deployment, "spec", "strategy") if entry.value.field("canaryWeight").is_some() => Some(
            "pin what serves, `stable: { version: VERSION }` and `canary: { version: VERSION, weight: PERCENT }`, instead of `strategy.canaryWeight`",
        ),
        (Kind::Deployment, "spec", "canaryWeight") => Some(
            "write `canary: { version: VERSION, weight: PERCENT }`: a canary is a version with its weight",
        ),
        (_, "", "status") => Some("remove it: Aurora writes the status"),
        (_, "metadata", "namespace") => {
            Some("remove it: the folder below `environments/` says where the object belongs")
        }
        (_, "metadata", _) => Some("remove it: a manifest's metadata is its name"),
        _ => None,
    }
}

/// Returns what to write instead of a value.
pub(super) fn value_hint(kind: Kind, field: &str, node: &Node) -> Option<&'static str> {
    match (kind, field, &node.value) {
        (Kind::Training, "spec.dataset", Value::Text(text)) if text == "synthetic" => {
            Some("write `dataset: { uri: synthetic:NAME }`, e.g. synthetic:linear")
        }
        (Kind::Training, "spec.dataset", Value::Text(_)) => {
            Some("write `dataset: { uri: URI }`: builtin:NAME, synthetic:NAME or the path of a CSV file")
        }
        (Kind::Training, "spec.algorithm", Value::Text(text)) if text == "random_forest" => {
            Some("write one of these; gradient_boosting is the one of trees")
        }
        _ => None,
    }
}
