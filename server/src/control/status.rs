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

use crds::view::{Overview, View};
use hyper::header::{CACHE_CONTROL, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use hyper::{Method, StatusCode};
use planner::names::ModelName;
use registry::Store;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use warp::reply::Response;

use super::ok;
use crate::http::reply::Failure;
pub(super) use snapshot::{Snapshot, Snapshots};
pub(super) use stream::Streams;

/// Knowledge that is older is worth nothing: whoever reconciles says every five seconds that it is alive.
const AGE_SECONDS_MAX: f64 = 15.0;

/// How old the knowledge is, in seconds, on an answer that has no body.
const AGE: &str = "aurora-age-seconds";

/// What a process knows of its environment.
#[derive(Debug, Clone)]
pub enum Known {
    /// The objects with their status.
    Objects(Box<View>),
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

/// The environment and its models at a glance.
#[derive(JsonSchema, Debug, Serialize)]
pub(super) struct All<'a> {
    #[serde(flatten)]
    overview: &'a Overview,
    /// The state: what `/status/events` and `If-None-Match` name it by.
    id: &'a str,
    /// How old the knowledge is; `null` before the first pass.
    age_seconds: Option<f64>,
    /// Why the objects cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    /// What keeps the state from being written down.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    trouble: &'a [String],
}

impl Snapshot {
    fn show(&self, age_seconds: Option<f64>) -> Response {
        match &self.body {
            snapshot::Body::Environment {
                overview,
                error,
                trouble,
            } => ok(&All {
                overview,
                id: &self.id,
                age_seconds,
                error: error.as_deref(),
                trouble,
            }),
            snapshot::Body::Process(_) => {
                let mut shown = self.body.json();
                shown["id"] = json!(self.id);
                shown["age_seconds"] = json!(age_seconds);
                ok(&shown)
            }
        }
    }
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
        None => Some("nobody has reconciled here yet"),
        Some(age) if age > AGE_SECONDS_MAX => Some(
            "whoever reconciles has not been seen alive lately; what is shown is the last that was known",
        ),
        Some(_) => None,
    }
}

/// Answers from files.
pub(super) fn read(
    at: &At,
    source: &dyn StatusSource,
    snapshots: &Snapshots,
    store: &Store,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    match at {
        At::All => Ok(all(source, snapshots, headers)),
        At::Objects => Ok(objects(source)),
        At::Model(model) => model::detail(source, store, model),
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
    let tag = format!("W/\"{}\"", snapshot.id);
    let mut response = if is_known(headers, &snapshot.id) {
        let mut unchanged = Response::default();
        *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
        unchanged
    } else {
        snapshot.show(age)
    };
    let named = response.headers_mut();
    named.insert(ETAG, header(&tag));
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
fn objects(source: &dyn StatusSource) -> Response {
    let mut shown = match source.known() {
        Known::Objects(view) => view.objects(),
        Known::Unreadable(why) => {
            let mut shown = View::default().objects();
            shown["error"] = json!(why);
            shown
        }
        Known::Process(said) => said,
    };
    if !shown.is_object() {
        shown = json!({});
    }
    tell(&mut shown, source);
    ok(&shown)
}

/// Says beside what is known how old that is, and what keeps it from being written down.
fn tell(shown: &mut Value, source: &dyn StatusSource) {
    shown["age_seconds"] = json!(source.age_seconds());
    let trouble = source.trouble();
    if !trouble.is_empty() {
        shown["trouble"] = json!(trouble);
    }
}

/// Answers with what comes.
pub(super) fn events(
    source: &Arc<dyn StatusSource>,
    snapshots: &Arc<Snapshots>,
    streams: &Arc<Streams>,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    stream::answer(source, snapshots, streams, method, headers)
}

#[cfg(test)]
pub(super) mod tests;
