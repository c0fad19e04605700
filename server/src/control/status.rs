//! `/status…`: the environment's state, and how old the knowledge of it is.

use planner::names::{ModelName, Track};
use planner::observed::ObservedAlias;
use registry::{Event, Store, StoreError};
use serde_json::{Value, json};
use warp::reply::Response;

use super::models::failure;
use super::{StatusSource, ok};
use crate::http::reply::Failure;

/// Shows everything.
pub(super) fn all(source: &dyn StatusSource) -> Response {
    let mut status = source.status();
    if let Some(status) = status.as_object_mut() {
        status.insert("age_seconds".to_owned(), json!(source.age_seconds()));
    }
    ok(&status)
}

/// Shows what concerns one model; what its stable alias names, and since when, is the registry's word.
pub(super) fn of_model(
    source: &dyn StatusSource,
    store: &Store,
    model: &ModelName,
) -> Result<Response, Failure> {
    let status = source.status();
    let concerns =
        |object: &&Value| object.pointer("/spec/modelName").and_then(Value::as_str) == Some(model.as_str());
    let of = |kind: &str| -> Vec<&Value> {
        let objects = status.get(kind).and_then(Value::as_array);
        objects.into_iter().flatten().filter(concerns).collect()
    };
    let (deployments, trainings) = (of("deployments"), of("trainings"));
    if deployments.is_empty() && trainings.is_empty() {
        return Err(Failure::not_found(format!(
            "the environment has no model {model}"
        )));
    }
    Ok(ok(&json!({
        "model": model,
        "deployments": deployments,
        "trainings": trainings,
        "stable": stable(store, model).map_err(failure)?,
        "age_seconds": source.age_seconds(),
    })))
}

/// Says which version the stable alias names, and since when it has named that artifact; `null` where nobody can say.
fn stable(store: &Store, model: &ModelName) -> Result<Value, StoreError> {
    let Some(ObservedAlias::To(version)) = store.aliases(model)?.remove(&Track::Stable) else {
        return Ok(Value::Null);
    };
    let history = store.history(model, usize::MAX)?;
    let mut changes = history
        .iter()
        .rev()
        .filter(|entry| entry.alias == Track::Stable && entry.event != Event::Aborted);
    let newest = changes.next().filter(|entry| entry.to.as_ref() == Some(&version));
    let Some((newest, digest)) = newest.and_then(|entry| Some((entry, entry.digest?))) else {
        return Ok(Value::Null);
    };
    // Where somebody moved it and it was moved back, it left.
    let before = changes.take_while(|entry| entry.to.is_some() && entry.digest == Some(digest));
    let since = before.last().unwrap_or(newest).at;
    Ok(json!({ "version": version, "digest": digest, "since": since }))
}
