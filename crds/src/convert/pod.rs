//! `pod` and `route` of a manifest ↔ the planner's types. The schema has said all that can be wrong with them.

use planner::pod::{Pod, Resources, Toleration};
use planner::route::{Gateway, Grpc, Route};

use crate::pod::{PodSpec, ResourcesSpec, SecretSpec, TolerationSpec, VariableSpec};
use crate::route::{GatewaySpec, GrpcSpec, RouteSpec};

/// Returns the settings of pods; none where nothing is said.
pub(super) fn pod(spec: Option<&PodSpec>) -> Option<Box<Pod>> {
    let PodSpec {
        resources,
        node_selector,
        tolerations,
        image_pull_secrets,
        labels,
        env,
    } = spec?.clone();
    let pod = Pod {
        resources: resources.map_or_else(Resources::default, |ResourcesSpec { requests, limits }| {
            Resources { requests, limits }
        }),
        node_selector,
        tolerations: tolerations.into_iter().map(toleration).collect(),
        image_pull_secrets: image_pull_secrets
            .into_iter()
            .map(|SecretSpec { name }| name)
            .collect(),
        labels,
        env: env
            .into_iter()
            .map(|VariableSpec { name, value }| (name, value))
            .collect(),
    };
    (pod != Pod::default()).then(|| Box::new(pod))
}

fn toleration(spec: TolerationSpec) -> Toleration {
    let TolerationSpec {
        key,
        operator,
        value,
        effect,
        toleration_seconds,
    } = spec;
    Toleration {
        key,
        operator,
        value,
        effect,
        toleration_seconds,
    }
}

/// Returns the settings of pods in their wire form.
pub(super) fn pod_spec(pod: Option<&Pod>) -> Option<PodSpec> {
    let Pod {
        resources,
        node_selector,
        tolerations,
        image_pull_secrets,
        labels,
        env,
    } = pod?.clone();
    Some(PodSpec {
        resources: (!resources.is_empty()).then_some({
            let Resources { requests, limits } = resources;
            ResourcesSpec { requests, limits }
        }),
        node_selector,
        tolerations: tolerations.into_iter().map(toleration_spec).collect(),
        image_pull_secrets: image_pull_secrets
            .into_iter()
            .map(|name| SecretSpec { name })
            .collect(),
        labels,
        env: env
            .into_iter()
            .map(|(name, value)| VariableSpec { name, value })
            .collect(),
    })
}

fn toleration_spec(toleration: Toleration) -> TolerationSpec {
    let Toleration {
        key,
        operator,
        value,
        effect,
        toleration_seconds,
    } = toleration;
    TolerationSpec {
        key,
        operator,
        value,
        effect,
        toleration_seconds,
    }
}

/// Returns the route that a manifest gives.
pub(super) fn route(spec: Option<&RouteSpec>) -> Option<Box<Route>> {
    let RouteSpec {
        provider,
        path,
        host,
        gateway,
        ingress_class_name,
        tls_secret,
        grpc,
    } = spec?.clone();
    Some(Box::new(Route {
        provider,
        path,
        host,
        gateway: gateway.map(self::gateway),
        ingress_class_name,
        tls_secret,
        grpc: grpc.map(|GrpcSpec { host, gateway }| Grpc {
            host,
            gateway: gateway.map(self::gateway),
        }),
    }))
}

fn gateway(spec: GatewaySpec) -> Gateway {
    let GatewaySpec {
        name,
        namespace,
        section_name,
    } = spec;
    Gateway {
        name,
        namespace,
        section_name,
    }
}

/// Returns a route in its wire form.
pub(super) fn route_spec(route: Option<&Route>) -> Option<RouteSpec> {
    let Route {
        provider,
        path,
        host,
        gateway,
        ingress_class_name,
        tls_secret,
        grpc,
    } = route?.clone();
    Some(RouteSpec {
        provider,
        path,
        host,
        gateway: gateway.map(gateway_spec),
        ingress_class_name,
        tls_secret,
        grpc: grpc.map(|Grpc { host, gateway }| GrpcSpec {
            host,
            gateway: gateway.map(gateway_spec),
        }),
    })
}

fn gateway_spec(gateway: Gateway) -> GatewaySpec {
    let Gateway {
        name,
        namespace,
        section_name,
    } = gateway;
    GatewaySpec {
        name,
        namespace,
        section_name,
    }
}
