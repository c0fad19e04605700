//! `/models…`: what the registry holds.

use planner::finding::Disposition;
use planner::names::{ModelName, Version};
use planner::observed::ObservedAlias;
use registry::{Reference, Store, StoreError};
use serde_json::{Map, Value, json};
use warp::reply::Response;

use super::ok;
use crate::http::reply::{self, Failure};

/// How many of the newest versions of each model the list of all models names.
const VERSIONS_LISTED: usize = 20;
/// How many of the newest entries of its history a model shows.
const HISTORY_SHOWN: usize = 50;

/// Lists every model with its aliases and newest versions. What is wrong with one model does not hide the others.
pub(super) fn list(store: &Store) -> Result<Response, Failure> {
    let models: Vec<Value> = store
        .models()
        .map_err(failure)?
        .iter()
        .map(|model| {
            let described = || -> Result<Value, StoreError> {
                let versions = store.versions(model)?;
                Ok(json!({
                    "name": model,
                    "aliases": aliases(store, model)?,
                    "versions_count": versions.len(),
                    "versions": newest(&versions, VERSIONS_LISTED),
                }))
            };
            described().unwrap_or_else(|error| json!({ "name": model, "error": error.to_string() }))
        })
        .collect();
    Ok(ok(&json!({ "models": models })))
}

/// Shows one model: aliases, all versions, newest first, and the end of its history.
pub(super) fn model(store: &Store, model: &ModelName) -> Result<Response, Failure> {
    let versions = store.versions(model).map_err(failure)?;
    let aliases = aliases(store, model).map_err(failure)?;
    if versions.is_empty() && aliases.is_empty() && !store.models().map_err(failure)?.contains(model) {
        return Err(Failure::not_found(format!("no such model: {model}")));
    }
    let history = store.history(model, HISTORY_SHOWN).map_err(failure)?;
    Ok(ok(&json!({
        "name": model,
        "aliases": aliases,
        "versions": newest(&versions, versions.len()),
        "history": history,
    })))
}

/// Shows a version's metadata.
pub(super) fn version(store: &Store, model: &ModelName, reference: &Reference) -> Result<Response, Failure> {
    let entry = store.resolve(model, reference).map_err(failure)?;
    Ok(reply::json(hyper::StatusCode::OK, &entry.metadata))
}

/// Says what an error of the store means to whoever asked. Paths of the server's disk stay in its log.
#[expect(clippy::needless_pass_by_value, reason = "the argument of map_err")]
pub(super) fn failure(error: StoreError) -> Failure {
    if let StoreError::NotFound { .. } = error {
        return Failure::not_found(error.to_string());
    }
    tracing::warn!(
        error = &error as &dyn std::error::Error,
        "failed to read the registry"
    );
    match error.disposition() {
        Disposition::Waiting | Disposition::Transient => {
            Failure::unavailable("the registry cannot be read now, try again".to_owned())
        }
        Disposition::Invalid => Failure::internal(match error {
            StoreError::Damaged { .. } => error.to_string(),
            _ => {
                "the registry is not in order: the server's log and `aurora model verify` say why".to_owned()
            }
        }),
    }
}

fn newest(versions: &[Version], count: usize) -> Vec<&Version> {
    versions.iter().rev().take(count).collect()
}

fn aliases(store: &Store, model: &ModelName) -> Result<Map<String, Value>, StoreError> {
    Ok(store
        .aliases(model)?
        .into_iter()
        .map(|(track, alias)| {
            let shown = match alias {
                ObservedAlias::To(version) => json!(version),
                ObservedAlias::Broken(_why) => Value::Null,
            };
            (track.to_string(), shown)
        })
        .collect())
}
