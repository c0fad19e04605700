//! What a reader sees of a store, as text.

use std::path::Path;

use planner::names::{ModelName, Version};
use planner::observed::{ObservedAlias, ObservedVersion};
use registry::{HistoryEntry, Observer, Store, StoreError};

/// Data files, versions with what verifying them says, and aliases.
pub(crate) fn render(root: &Path) -> Result<String, StoreError> {
    let store = match Store::open(root) {
        Ok(store) => store,
        Err(StoreError::NoStore(_)) => return Ok("no store\n".to_owned()),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    for digest in store.datasets()? {
        text += &format!("dataset {}\n", digest.short());
    }
    for model in store.models()? {
        let observed = Observer::new(store.clone()).observe(&model)?;
        for (version, found) in &observed.versions {
            text += &match found {
                ObservedVersion::Sound { digest, .. } => {
                    format!("{model} {version} {}\n", digest.short())
                }
                ObservedVersion::Damaged(why) => format!("{model} {version} damaged: {why}\n"),
            };
        }
        for (track, alias) in &observed.aliases {
            text += &match alias {
                ObservedAlias::To(version) => format!("{model} {track} -> {version}\n"),
                ObservedAlias::Broken(why) => format!("{model} {track} broken: {why}\n"),
            };
        }
    }
    Ok(text)
}

/// A model's history: event, alias, from, to.
pub(crate) fn render_history(root: &Path, model: &ModelName) -> Result<String, StoreError> {
    let name = |version: Option<Version>| version.map_or("-".to_owned(), |version| version.to_string());
    let entries = Store::open(root)?.history(model, usize::MAX)?;
    Ok(entries.into_iter().fold(String::new(), |text, entry| {
        let HistoryEntry {
            event,
            alias,
            from,
            to,
            ..
        } = entry;
        text + &format!("{event:?} {alias} {} {}\n", name(from), name(to))
    }))
}
