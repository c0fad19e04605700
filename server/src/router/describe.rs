//! What a router says of itself, and of what it knows without asking anybody.

use hyper::StatusCode;
use planner::names::Track;
use serde_json::json;
use warp::reply::Response;

use super::Router;
use super::table::{Table, Upstream};
use crate::http::reply::{self, Failure};
pub(super) use crate::inference::{alive, live, server, version};
use crate::runtime::Choice;

pub(super) fn ready(router: &Router) -> Response {
    let ready = router.ready();
    reply::json(status(ready), &json!({ "ready": ready, "live": true }))
}

/// Tells whether the process is alive, and what it goes by: ending it would bring no endpoint nearer.
pub(super) fn health(router: &Router) -> Response {
    let table = router.0.table.load();
    let track = |track| {
        let upstream = table.as_ref()?.upstream(track)?;
        Some(json!({ "version": upstream.version, "endpoints": upstream.endpoints.len() }))
    };
    let body = json!({
        "status": if router.ready() { "ok" } else { "not ready" },
        "service": "aurora-router",
        "model": table.as_ref().map(|table| &table.model),
        "weight": table.as_ref().map(|table| table.weight.percent()),
        "stable": track(Track::Stable),
        "canary": track(Track::Canary),
        "refused": *router.refused(),
    });
    reply::json(StatusCode::OK, &body)
}

pub(super) fn models(table: &Table) -> Response {
    reply::json(StatusCode::OK, &json!({ "models": [table.model] }))
}

pub(super) fn index(table: &Table) -> Response {
    let entry = |(_, upstream): (Track, &Upstream)| {
        let (state, reason) = if upstream.endpoints.is_empty() {
            ("UNAVAILABLE", "no pod is ready")
        } else {
            ("READY", "")
        };
        json!({ "name": table.model, "version": upstream.version, "state": state, "reason": reason })
    };
    let entries: Vec<_> = table.upstreams().map(entry).collect();
    reply::json(StatusCode::OK, &entries)
}

/// A model is ready when a request that names no track is answered.
pub(super) fn model_ready(table: &Table, choice: &Choice) -> Result<Response, Failure> {
    let ready = !table.endpoints(table.explicit(choice)?).is_empty();
    let body = json!({ "name": table.model, "ready": ready });
    Ok(reply::json(status(ready), &body))
}

fn status(ready: bool) -> StatusCode {
    if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}
