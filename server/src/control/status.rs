//! `/status…`: the environment's state, and how old the knowledge of it is.

use planner::names::ModelName;
use serde_json::{Value, json};
use warp::reply::Response;

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

/// Shows what concerns one model.
pub(super) fn of_model(source: &dyn StatusSource, model: &ModelName) -> Result<Response, Failure> {
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
        "age_seconds": source.age_seconds(),
    })))
}
