//! A model's GRPCRoute, beside its HTTPRoute.
//!
//! Over gRPC a path names no model. Calls say it in their metadata, or have a host to themselves; the version they ask for lies
//! in the message, where no gateway looks, so that whoever wants the other track than the split gives it asks for the track.
//! What names its model matches more than what does not, so models may share a host whose calls say whom they are for.

use planner::names::Track;
use planner::route::{Grpc, Route};

use super::Split;
use super::gateway::{ONLY, asks_for, backend, of_route, parent, says, shared};
use crate::build::gateway_api::{GRPCRoute, GrpcMatch, GrpcRouteSpec, GrpcRule};
use crate::build::intent::sealed;
use crate::build::labels::Component;
use crate::build::serving::{GRPC_PORT, Model};

/// The metadata by which a call says what model it is for.
const MODEL_HEADER: &str = "aurora-model";

/// Returns the GRPCRoute of a model.
pub(super) fn route(model: &Model<'_>, route: &Route, grpc: &Grpc, split: &Split<'_>) -> GRPCRoute {
    let gateway = grpc.gateway.as_ref().unwrap_or(of_route(model, route));
    let mut child = GRPCRoute::new(
        "",
        GrpcRouteSpec {
            parent_refs: vec![parent(gateway)],
            hostnames: grpc.host.iter().cloned().collect(),
            rules: rules(model, grpc, split),
        },
    );
    child.metadata = model.metadata(model.route_name(), model.labels(Component::Route));
    sealed(child)
}

fn rules(model: &Model<'_>, grpc: &Grpc, split: &Split<'_>) -> Vec<GrpcRule> {
    let tracks = [Some(Track::Stable), split.canary.map(|_| Track::Canary)];
    let mut rules: Vec<_> = tracks
        .into_iter()
        .flatten()
        .map(|track| GrpcRule {
            matches: matching(model, grpc, Some(track)),
            backend_refs: vec![backend(model, track, GRPC_PORT, ONLY)],
        })
        .collect();
    rules.push(GrpcRule {
        matches: matching(model, grpc, None),
        backend_refs: shared(model, split, GRPC_PORT),
    });
    rules
}

/// Returns what calls are the model's, of those that ask for a track or of all.
fn matching(model: &Model<'_>, grpc: &Grpc, track: Option<Track>) -> Vec<GrpcMatch> {
    let with = |name: Option<_>| GrpcMatch {
        headers: name.into_iter().chain(track.map(asks_for)).collect(),
    };
    let mut matches = vec![with(Some(says(MODEL_HEADER, model.spec.model.to_string())))];
    if grpc.host.is_some() {
        matches.push(with(None));
    }
    matches
}
