//! `/status/models/{model}`: all that is known of one model.

use crds::view::ModelView;
use planner::names::{ModelName, Track};
use planner::observed::ObservedAlias;
use registry::{Event, Reference, Store, StoreError};
use serde_json::{Value, json};
use warp::reply::Response;

use super::super::models::failure;
use super::{Known, StatusSource, ok, tell, unknown};
use crate::http::reply::Failure;

/// How many of the newest entries of its history a model shows.
const HISTORY_SHOWN: usize = 50;

/// Shows what concerns one model. What its stable alias names, and since when, its versions and its history are the
/// registry's word.
pub(super) fn detail(
    source: &dyn StatusSource,
    store: &Store,
    model: &ModelName,
) -> Result<Response, Failure> {
    let view = match source.known() {
        Known::Objects(view) => view,
        Known::Unreadable(why) => return Err(Failure::unavailable(why)),
        Known::Process(_) => {
            return Err(Failure::not_found(
                "this process looks at no models: ask the control plane".to_owned(),
            ));
        }
    };
    let models = view.models(unknown(source));
    let Some(found) = models.get(model.as_str()) else {
        return Err(Failure::not_found(format!(
            "the environment has no model {model}"
        )));
    };
    let ModelView {
        trainings,
        findings,
        waits,
        ..
    } = found;
    let deployments: Vec<_> = view
        .deployments
        .values()
        .filter(|deployment| deployment.spec.model_name == *model)
        .collect();
    let row = found.row(model.as_str());
    let served = |track: Option<&crds::status::TrackStatus>| -> Value {
        let entry = track.map(|track| store.resolve(model, &Reference::Version(track.version.clone())));
        entry
            .and_then(Result::ok)
            .map_or(Value::Null, |entry| json!(entry.metadata))
    };
    let mut shown = json!({
        "model": model,
        "summary": row,
        "deployments": deployments,
        "trainings": trainings,
        "findings": findings,
        "waits": waits,
        "stable": stable(store, model).map_err(failure)?,
        "tracks": { "stable": served(row.stable.as_ref()), "canary": served(row.canary.as_ref()) },
        "history": store.history(model, HISTORY_SHOWN).map_err(failure)?,
    });
    tell(&mut shown, source);
    Ok(ok(&shown))
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
