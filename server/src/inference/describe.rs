//! What the listener says of itself and of its models.

use std::sync::Arc;
use std::time::Instant;

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use registry::metadata::Tensor;
use serde::Serialize;
use serde_json::json;
use warp::reply::Response;

use super::Health;
use super::evaluate::named;
use super::prepare::choice;
use crate::http::reply::{self, Failure};
use crate::runtime::{Awaited, Choice, Coming, Loaded, Model, Models, NoSlot, Runtime};

/// What our artifacts are, in the protocol's form `<project>_<format>`.
pub(super) const PLATFORM: &str = "aurora_onnx";
/// What is there beyond the protocol, by the names that its clients know: nothing else.
const EXTENSIONS: [&str; 2] = ["binary_tensor_data", "model_configuration"];
/// Why a version that failed is not there. What is wrong with it is for operators, not for clients.
const DOES_NOT_LOAD: &str = "does not load: `aurora status` says why";
/// How many names an error lists.
const NAMES_SHOWN_MAX: usize = 20;

pub(crate) fn server() -> Response {
    let body = json!({
        "name": "aurora", "version": env!("CARGO_PKG_VERSION"), "extensions": EXTENSIONS,
    });
    reply::json(StatusCode::OK, &body)
}

/// Says that somebody is there, in the word of KServe's first protocol.
pub(crate) fn alive() -> Response {
    reply::json(StatusCode::OK, &json!({ "status": "alive" }))
}

/// Says which Aurora this is, as text: so does MLflow of itself.
pub(crate) fn version() -> Response {
    let mut response = Response::new(env!("CARGO_PKG_VERSION").into());
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

pub(crate) fn live() -> Response {
    reply::json(StatusCode::OK, &json!({ "live": true }))
}

pub(super) fn ready(runtime: &Runtime) -> Response {
    let ready = runtime.ready(Instant::now());
    reply::json(status(ready), &json!({ "ready": ready, "live": true }))
}

/// The seed's `/health`, except that it can fail where it tells of readiness.
pub(super) fn health(runtime: &Runtime, means: Health) -> Response {
    let ready = runtime.ready(Instant::now());
    let word = if ready { "ok" } else { "not ready" };
    let models = runtime.models();
    let models: Vec<_> = served(&models).collect();
    reply::json(
        status(ready || means == Health::Alive),
        &json!({ "status": word, "service": "aurora-inference", "models": models }),
    )
}

pub(super) fn models(runtime: &Runtime) -> Response {
    let models = runtime.models();
    let models: Vec<_> = served(&models).collect();
    reply::json(StatusCode::OK, &json!({ "models": models }))
}

/// A version in the repository index.
#[derive(Serialize)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    pub(super) state: &'static str,
    pub(super) reason: &'static str,
}

pub(super) fn index(runtime: &Runtime) -> Response {
    index_of(runtime, |entries| reply::json(StatusCode::OK, &entries))
}

/// Tells the repository index: each version that is loaded or comes to be, and models that have none.
pub(super) fn index_of<T>(runtime: &Runtime, tell: impl FnOnce(&[Entry<'_>]) -> T) -> T {
    let models = runtime.models();
    let mut entries = Vec::with_capacity(models.size());
    let coming: Vec<_> = {
        let all = runtime.coming();
        all.iter()
            .map(|(name, coming)| (name.to_owned(), coming.clone()))
            .collect()
    };
    for (name, coming) in &coming {
        entries.extend(coming.awaited.iter().map(|pin| Entry {
            name,
            version: Some(pin.version.to_string()),
            state: "LOADING",
            reason: waits_for(pin),
        }));
        let failed = coming.failed.as_ref().into_iter();
        entries.extend(failed.filter_map(|(_, version)| {
            Some(Entry {
                name,
                version: Some(version.as_ref()?.to_string()),
                state: "UNAVAILABLE",
                reason: DOES_NOT_LOAD,
            })
        }));
    }
    for (name, model) in models.iter() {
        let snapshot = model.snapshot();
        if !snapshot.any() && runtime.coming().get(name).is_none() {
            entries.push(Entry {
                name,
                version: None,
                state: "UNAVAILABLE",
                reason: "no version is loaded",
            });
        }
        entries.extend(snapshot.loaded().map(|loaded| Entry {
            name,
            version: Some(loaded.version_text.clone()),
            state: "READY",
            reason: "",
        }));
    }
    entries.sort_by_key(|entry| (entry.name, entry.state != "READY"));
    tell(&entries)
}

pub(super) fn model(model: &Model, version: Option<&str>, headers: &HeaderMap) -> Result<Response, Failure> {
    #[derive(Serialize)]
    struct Metadata<'a> {
        name: &'a str,
        versions: Vec<&'a str>,
        platform: &'static str,
        inputs: &'a [Tensor],
        outputs: &'a [Tensor],
    }
    let loaded = describing(model, version, headers)?;
    let snapshot = model.snapshot();
    let signature = loaded.slot.model.signature();
    let body = Metadata {
        name: model.name.as_str(),
        versions: snapshot
            .loaded()
            .map(|loaded| loaded.version_text.as_str())
            .collect(),
        platform: PLATFORM,
        inputs: &signature.inputs,
        outputs: &signature.outputs,
    };
    Ok(named(reply::json(StatusCode::OK, &body), &loaded))
}

/// Returns what describes a model: what was asked for, else stable, else whatever is loaded.
pub(super) fn describing(
    model: &Model,
    version: Option<&str>,
    headers: &HeaderMap,
) -> Result<Arc<Loaded>, Failure> {
    let choice = choice(version, headers)?;
    let snapshot = model.snapshot();
    let loaded = match snapshot.explicit(&choice) {
        Err(NoSlot::Track(_)) if choice.track.is_none() => {
            snapshot.canary.as_ref().ok_or(NoSlot::NotReady)?
        }
        found => found?,
    };
    Ok(loaded.clone())
}

/// Whether a model answers, or one of its versions.
pub(super) enum Readiness {
    /// This one does.
    Ready(Arc<Loaded>),
    /// The model is known, and nothing of it answers what names no track.
    NotYet,
    /// It is still to come.
    Coming,
}

impl Readiness {
    pub(super) fn is_ready(&self) -> bool {
        matches!(self, Self::Ready(_))
    }
}

/// A model is ready when a request that names no track is answered.
pub(super) fn readiness(runtime: &Runtime, name: &str, choice: &Choice) -> Result<Readiness, Failure> {
    let Some(model) = runtime.model(name) else {
        let is_to_come = runtime.coming().get(name).is_some();
        return if is_to_come {
            Ok(Readiness::Coming)
        } else {
            Err(unknown_model(runtime, name))
        };
    };
    match model.snapshot().explicit(choice) {
        Err(NoSlot::Track(_)) if choice.track.is_none() => Ok(Readiness::NotYet),
        found => Ok(Readiness::Ready(found?.clone())),
    }
}

pub(super) fn model_ready(
    runtime: &Runtime,
    name: &str,
    version: Option<&str>,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    let readiness = readiness(runtime, name, &choice(version, headers)?)?;
    let is_ready = readiness.is_ready();
    let response = reply::json(status(is_ready), &json!({ "name": name, "ready": is_ready }));
    Ok(match &readiness {
        Readiness::Ready(loaded) => named(response, loaded),
        Readiness::NotYet | Readiness::Coming => response,
    })
}

/// Returns the one model that is served, for paths that name none.
pub(super) fn only_model(runtime: &Runtime) -> Result<String, Failure> {
    let models = runtime.models();
    match &first(&models, 2)[..] {
        [] => Err(Failure::unavailable("no model is loaded yet".to_owned())),
        [only] => Ok((*only).to_owned()),
        _ => Err(Failure::bad_request(format!(
            "several models are served, name one: POST /predict/MODEL with {}",
            listed(runtime, &models)
        ))),
    }
}

/// Says that a model is not there: not yet, or not at all.
pub(super) fn unknown_model(runtime: &Runtime, name: &str) -> Failure {
    if let Some(coming) = runtime.coming().get(name) {
        return Failure::unavailable(format!("no version is loaded: {}", why_not(coming)));
    }
    if !runtime.is_told() {
        return Failure::unavailable("it is not known yet which models there are, try again".to_owned());
    }
    let models = runtime.models();
    Failure::not_found(if runtime.answering() == 0 {
        "no such model: none is loaded".to_owned()
    } else {
        format!("no such model; served: {}", listed(runtime, &models))
    })
}

/// Says why nothing of a model serves that should.
fn why_not(coming: &Coming) -> String {
    let mut failed = coming.failed.as_ref().into_iter();
    let failed = failed.find_map(|(_, version)| version.as_ref());
    match (coming.awaited.first(), failed) {
        (Some(pin), _) => format!("{} {}", pin.version, waits_for(pin)),
        (None, Some(version)) => format!("{version} {DOES_NOT_LOAD}"),
        (None, None) => "none is pinned".to_owned(),
    }
}

/// Says what a version that is not served yet waits for.
fn waits_for(pin: &Awaited) -> &'static str {
    if pin.training {
        "is still being trained or imported"
    } else {
        "is being loaded"
    }
}

/// Lists the first names of what is served, and counts the others: an error must not cost more with more models.
fn listed(runtime: &Runtime, models: &Models) -> String {
    let names = first(models, NAMES_SHOWN_MAX);
    let shown = names.join(", ");
    match runtime.answering().saturating_sub(names.len()) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Returns the names of at most `max` models that are served.
fn first(models: &Models, max: usize) -> Vec<&str> {
    served(models).take(max).collect()
}

fn served(models: &Models) -> impl Iterator<Item = &str> {
    models
        .iter()
        .filter(|(_, model)| model.snapshot().any())
        .map(|(name, _)| name.as_str())
}

fn status(ready: bool) -> StatusCode {
    if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}
