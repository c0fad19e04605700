//! The hash of what a child was meant to be: it tells what somebody else changed from what is yet to be applied.

use kube::Resource;
use planner::identity::document_hash;
use serde::Serialize;

/// The annotation with the hash.
pub const INTENT: &str = "aurora.io/intent";

/// Returns a child that carries the hash of all else that it says.
pub(super) fn sealed<K: Resource + Serialize>(mut child: K) -> K {
    let hash = intent(&child);
    let annotations = child.meta_mut().annotations.get_or_insert_default();
    annotations.insert(INTENT.to_owned(), hash);
    child
}

/// Returns the hash of what a child says, but for the hash that it carries.
pub fn intent<K: Serialize>(child: &K) -> String {
    let mut document = serde_json::to_value(child).expect("invariant: an object of a cluster is JSON");
    if let Some(annotations) = document
        .pointer_mut("/metadata/annotations")
        .and_then(serde_json::Value::as_object_mut)
    {
        annotations.remove(INTENT);
        if annotations.is_empty()
            && let Some(metadata) = document["metadata"].as_object_mut()
        {
            metadata.remove("annotations");
        }
    }
    document_hash(&document).hex()
}
