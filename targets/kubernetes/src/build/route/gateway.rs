//! A model's HTTPRoute.
//!
//! Requests that name a version or a track have rules of their own, of fixed weight, before the weighted one. The canary is
//! a backend only while it is ready: what gateways do with one that has nobody behind it differs, and is mostly an error.

use planner::names::Track;
use planner::route::{Gateway, Route};

use super::Split;
use super::paths::{self, Path, PathKind};
use crate::build::gateway_api::{
    BackendRef, GROUP, HTTPRoute, HeaderMatch, HttpRouteSpec, Match, ParentRef, PathMatch, Rule,
};
use crate::build::intent::sealed;
use crate::build::labels::Component;
use crate::build::serving::{Model, PORT};

/// The weight of the only backend of a rule: never 0, which some gateways refuse.
pub(super) const ONLY: i32 = 1;

/// Returns the HTTPRoute of a model.
pub(super) fn route(model: &Model<'_>, route: &Route, split: &Split<'_>) -> HTTPRoute {
    let mut child = HTTPRoute::new(
        "",
        HttpRouteSpec {
            parent_refs: vec![parent(of_route(model, route))],
            hostnames: route.host.iter().cloned().collect(),
            rules: rules(model, route, split),
        },
    );
    child.metadata = model.metadata(model.route_name(), model.labels(Component::Route));
    sealed(child)
}

/// Returns the Gateway of a route.
pub(super) fn of_route<'a>(model: &Model<'a>, route: &'a Route) -> &'a Gateway {
    route.gateway.as_ref().unwrap_or(&model.installation.gateway)
}

pub(super) fn parent(gateway: &Gateway) -> ParentRef {
    let Gateway {
        name,
        namespace,
        section_name,
    } = gateway.clone();
    ParentRef {
        group: GROUP.to_owned(),
        kind: "Gateway".to_owned(),
        namespace,
        name,
        section_name,
    }
}

fn rules(model: &Model<'_>, route: &Route, split: &Split<'_>) -> Vec<Rule> {
    let paths = paths::of_model(&model.spec.model, route);
    let versions = [(Track::Stable, Some(split.stable)), (Track::Canary, split.canary)];
    let versions = versions
        .into_iter()
        .filter_map(|(track, version)| Some((track, version?)));
    let mut rules = Vec::new();
    for (track, version) in versions.clone() {
        let path = paths::of_version(&model.spec.model, version);
        rules.push(Rule {
            matches: vec![matching(&path, None)],
            backend_refs: vec![backend(model, track, PORT, ONLY)],
        });
    }
    for (track, _) in versions {
        rules.push(Rule {
            matches: paths.iter().map(|path| matching(path, Some(track))).collect(),
            backend_refs: vec![backend(model, track, PORT, ONLY)],
        });
    }
    rules.push(Rule {
        matches: paths.iter().map(|path| matching(path, None)).collect(),
        backend_refs: shared(model, split, PORT),
    });
    rules
}

/// Returns the backends between which a split divides, by their port.
pub(super) fn shared(model: &Model<'_>, split: &Split<'_>, port: i32) -> Vec<BackendRef> {
    let weight = split.canary_percent();
    let canary = split.canary.map(|_| backend(model, Track::Canary, port, weight));
    let stable = backend(model, Track::Stable, port, 100 - weight);
    [stable].into_iter().chain(canary).collect()
}

fn matching(path: &Path, track: Option<Track>) -> Match {
    let kind = match path.kind {
        PathKind::Prefix => "PathPrefix",
        PathKind::Exact => "Exact",
    };
    Match {
        path: PathMatch {
            kind: kind.to_owned(),
            value: path.value.clone(),
        },
        headers: track.map(asks_for).into_iter().collect(),
    }
}

/// What a request says that asks for its track.
pub(super) fn asks_for(track: Track) -> HeaderMatch {
    says("aurora-track", track.to_string())
}

pub(super) fn says(name: &str, value: String) -> HeaderMatch {
    HeaderMatch {
        kind: "Exact".to_owned(),
        name: name.to_owned(),
        value,
    }
}

pub(super) fn backend(model: &Model<'_>, track: Track, port: i32, weight: i32) -> BackendRef {
    BackendRef {
        group: String::new(),
        kind: "Service".to_owned(),
        name: model.track_name(track),
        port,
        weight,
    }
}
