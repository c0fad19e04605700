//! What carries requests to the tracks of a model, in the proportion of the live weight. A route is built whole each time,
//! from the spec and what was decided: nothing of it is edited.

mod gateway;
mod grpc;
mod ingress;
mod paths;
mod router;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use planner::names::{Version, Weight};
use planner::route::{Provider, Route};

use super::gateway_api::{GRPCRoute, HTTPRoute};
use super::serving::Model;

/// What was decided about a model's traffic.
#[derive(Debug, Clone, Copy)]
pub struct Split<'a> {
    /// The live weight; it counts only while the canary is ready.
    pub weight: Weight,
    /// The version of stable's pods, for paths that name it.
    pub stable: &'a Version,
    /// The version of the canary's pods, while it is ready: a gateway asks whatever a route names.
    pub canary: Option<&'a Version>,
}

impl Split<'_> {
    /// Returns the canary's percent.
    fn canary_percent(&self) -> i32 {
        match self.canary {
            Some(_) => i32::from(self.weight.percent()),
            None => 0,
        }
    }
}

/// What carries requests, by provider.
#[derive(Debug, Clone, PartialEq)]
pub enum Carrier {
    /// Routes of the Gateway API; the second where the model takes calls by gRPC.
    Gateway(Box<HTTPRoute>, Option<Box<GRPCRoute>>),
    /// Two Ingresses; the second while the canary is ready.
    Ingress(Box<Ingress>, Option<Box<Ingress>>),
    /// A router of our own, and what it is told.
    Router(Box<Router>),
    /// Nothing.
    None,
}

/// A router of our own.
#[derive(Debug, Clone, PartialEq)]
pub struct Router {
    /// What it is told: the one part that changes with the weight.
    pub weights: ConfigMap,
    /// Its pods.
    pub deployment: Deployment,
    /// Where it is reached.
    pub service: Service,
    /// What an eviction must leave of it.
    pub budget: PodDisruptionBudget,
}

/// Returns what carries requests to a model.
pub fn carrier(model: &Model<'_>, split: &Split<'_>) -> Carrier {
    let default = Route::default();
    let route = model.spec.route.as_deref().unwrap_or(&default);
    match route.provider {
        Provider::GatewayApi => {
            let grpc = route
                .grpc
                .as_ref()
                .map(|grpc| grpc::route(model, route, grpc, split));
            Carrier::Gateway(Box::new(gateway::route(model, route, split)), grpc.map(Box::new))
        }
        Provider::IngressNginx => {
            let (stable, canary) = ingress::pair(model, route, split);
            Carrier::Ingress(Box::new(stable), canary.map(Box::new))
        }
        Provider::Aurora => Carrier::Router(Box::new(router::router(model, split))),
        Provider::None => Carrier::None,
    }
}
