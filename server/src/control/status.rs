//! `/status…`: how the environment stands, and how old the knowledge of that is. A view over objects, their status and the
//! registry: it needs neither Git nor whoever reconciles.
//!
//! ```text
//! snapshot   the environment at a glance, with a number that rises with each change
//! stream     the changes as they come
//! model      all that is known of one model
//! badge      a word as a picture
//! ```

mod badge;
mod model;
mod snapshot;
mod stream;

use std::sync::Arc;

use crds::view::{AGE_MAX, NEVER_RECONCILED, Overview, TOO_OLD, View};
use hyper::header::{CACHE_CONTROL, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use hyper::{Method, StatusCode};
use planner::names::ModelName;
use registry::Store;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use warp::reply::Response;

use crate::http::reply::{self, Failure};
use crate::metrics::Metrics;
pub(super) use model::Detail;
use snapshot::{Seen, aged};
pub(super) use snapshot::{Snapshot, Snapshots};
pub(super) use stream::Streams;

/// How old the knowledge is, in seconds, on an answer that has no body.
const AGE: &str = "aurora-age-seconds";

/// What a process knows of its environment.
#[derive(Debug, Clone)]
pub enum Known {
    /// The objects with their status: the very same view as long as nothing has changed.
    Objects(Arc<View>),
    /// It cannot say now: why.
    Unreadable(String),
    /// It looks at no objects, and says what it does itself.
    Process(Value),
}

/// What is known of the environment: a view over what the reconciler wrote down.
pub trait StatusSource: Send + Sync {
    /// Returns what is known. Reads files where it must; called on a thread that may block.
    fn known(&self) -> Known;
    /// Returns what keeps the state from being written down, and so cannot stand in it.
    fn trouble(&self) -> Vec<String> {
        Vec::new()
    }
    /// Returns how long ago the knowledge was last renewed, in seconds; `None` before the first pass.
    fn age_seconds(&self) -> Option<f64>;
}

/// What is shown, and how old the knowledge is.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Aged{T}")]
pub(super) struct Aged<T> {
    #[serde(flatten)]
    shown: T,
    /// How old the knowledge is; `null` before the first pass.
    age_seconds: Option<f64>,
}

/// The environment and its models at a glance.
#[derive(JsonSchema, Debug, Serialize)]
pub(super) struct All<'a> {
    #[serde(flatten)]
    overview: &'a Overview,
    /// The state: what `/status/events` and `If-None-Match` name it by.
    id: &'a str,
    /// Why the objects cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    /// What keeps the state from being written down.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    trouble: &'a [String],
}

/// The objects as they are.
#[derive(JsonSchema, Debug, Serialize)]
pub(super) struct Objects<'a> {
    #[serde(flatten)]
    known: crds::view::Objects<'a>,
    /// Why the objects cannot be read: these are those that could be read last.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    /// What keeps the state from being written down.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    trouble: &'a [String],
}

/// A path below `/status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At {
    All,
    Objects,
    Events,
    Badge,
    Model(ModelName),
    BadgeOfModel(ModelName),
}

/// Says why what is known is worth nothing.
fn unknown(source: &dyn StatusSource) -> Option<&'static str> {
    match source.age_seconds() {
        None => Some(NEVER_RECONCILED),
        Some(age) if age > AGE_MAX.as_secs_f64() => Some(TOO_OLD),
        Some(_) => None,
    }
}

/// Answers from files, and from what is counted.
pub(super) fn read(
    at: &At,
    source: &dyn StatusSource,
    snapshots: &Snapshots,
    (store, metrics): (&Store, &Metrics),
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    match at {
        At::All => Ok(all(source, snapshots, headers)),
        At::Objects => Ok(objects(source, snapshots, headers)),
        At::Model(model) => {
            let seen = snapshots.objects(source);
            let detail = model::detail(&seen, store, metrics, model)?;
            Ok(shown(detail, source, headers))
        }
        At::Badge => {
            let Snapshot { body, .. } = &*snapshots.look(source);
            let row = body.environment();
            let name = row.and_then(|row| row.name.as_deref()).unwrap_or("aurora");
            Ok(badge::answer(name, row.map(|row| row.standing.word), headers))
        }
        At::BadgeOfModel(name) => {
            let Snapshot { body, .. } = &*snapshots.look(source);
            let row = body.model(name.as_str());
            let word = row.and_then(|row| Some(row.standing.as_ref()?.word));
            Ok(badge::answer(name.as_str(), word, headers))
        }
        At::Events => Err(Failure::internal("a stream is not read".to_owned())),
    }
}

/// Shows the environment at a glance, or that it has not changed since.
fn all(source: &dyn StatusSource, snapshots: &Snapshots, headers: &HeaderMap) -> Response {
    let snapshot = snapshots.look(source);
    let age = source.age_seconds();
    let mut response = if is_known(headers, &snapshot.id) {
        let mut unchanged = Response::default();
        *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
        unchanged
    } else {
        reply::json_for(headers, aged(age, snapshot.json()).into_bytes())
    };
    let named = response.headers_mut();
    named.insert(ETAG, header(&format!("W/\"{}\"", snapshot.id)));
    named.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Some(age) = age {
        named.insert(AGE, header(&format!("{age:.1}")));
    }
    response
}

/// Says whether a client has a state already. Whatever a proxy made of the tag, the state's name stands in it.
fn is_known(headers: &HeaderMap, id: &str) -> bool {
    let tags = headers.get_all(IF_NONE_MATCH).iter();
    tags.filter_map(|tags| tags.to_str().ok())
        .flat_map(|tags| tags.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'))
        .any(|tag| tag == "*" || tag.strip_suffix("-gzip").unwrap_or(tag) == id)
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("invariant: numbers, letters and quotes are a header's value")
}

/// Shows the objects as they are.
fn objects(source: &dyn StatusSource, snapshots: &Snapshots, headers: &HeaderMap) -> Response {
    match &*snapshots.objects(source) {
        Seen::Environment {
            view,
            error,
            trouble,
            unknown: _,
        } => {
            let objects = Objects {
                known: view.objects(),
                error: error.as_deref(),
                trouble,
            };
            shown(objects, source, headers)
        }
        Seen::Process(said) => shown(said, source, headers),
    }
}

/// Answers with what is known, and how old that is.
fn shown(shown: impl Serialize, source: &dyn StatusSource, headers: &HeaderMap) -> Response {
    let age_seconds = source.age_seconds();
    reply::json_for(headers, reply::written(&Aged { shown, age_seconds }))
}

/// Answers with what comes.
pub(super) fn events(
    source: &Arc<dyn StatusSource>,
    snapshots: &Arc<Snapshots>,
    streams: &Arc<Streams>,
    method: &Method,
    query: &str,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    // `?once` says how long, whatever it is said to be.
    let is_once = query
        .split('&')
        .any(|pair| pair.split('=').next() == Some("once"));
    stream::answer(source, snapshots, streams, method, is_once, headers)
}

#[cfg(test)]
pub(super) mod tests;
