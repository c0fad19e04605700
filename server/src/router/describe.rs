//! What a router says of itself, and of what it knows without asking anybody.

use hyper::StatusCode;
use planner::names::Track;
use serde::Serialize;
use serde_json::json;
use warp::reply::Response;

use super::Router;
use super::table::Table;
use super::upstream::By;
use crate::http::reply::{self, Failure};
pub(super) use crate::inference::{alive, live, server, version};
use crate::runtime::{Choice, NoSlot};

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
    let entries: Vec<_> = entries(table, By::Http).collect();
    reply::json(StatusCode::OK, &entries)
}

/// A version in the repository index.
#[derive(Serialize)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
    pub(super) state: &'static str,
    pub(super) reason: &'static str,
}

/// Returns what answers by a door.
pub(super) fn entries(table: &Table, by: By) -> impl Iterator<Item = Entry<'_>> {
    table.upstreams().map(move |(track, upstream)| {
        let (state, reason) = match by {
            _ if table.has(track, by) => ("READY", ""),
            By::Grpc if !upstream.endpoints.is_empty() => ("UNAVAILABLE", "no pod answers by gRPC"),
            By::Http | By::Grpc => ("UNAVAILABLE", "no pod is ready"),
        };
        Entry {
            name: table.model.as_str(),
            version: &upstream.version,
            state,
            reason,
        }
    })
}

/// A model is ready when a request that names no track is answered.
pub(super) fn is_ready(table: &Table, choice: &Choice, by: By) -> Result<bool, NoSlot> {
    Ok(table.has(table.explicit(choice)?, by))
}

pub(super) fn model_ready(table: &Table, choice: &Choice) -> Result<Response, Failure> {
    let ready = is_ready(table, choice, By::Http)?;
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
