//! A **small gateway**: a reverse proxy that obeys the HTTPRoutes, GRPCRoutes and Ingresses of a namespace.
//!
//! ```text
//! watches: routes, Ingresses, Services, EndpointSlices ──> table, endpoints ──(lag)──> requests
//! ```
//!
//! Rules have the precedence of the Gateway API; calls by gRPC, which are told by their type, fall to those of GRPCRoutes alone
//! and are passed on by HTTP/2. A request that falls to no rule is answered 404, one whose share is of a
//! Service that is not there 500, one for which nobody is ready or no backend has a weight 503, one whose endpoint breaks off
//! 502. Only endpoints that are ready get requests. It looks at no Gateway, listener, filter or query, and writes no status:
//! whoever waits for one to be told that a route is in force, is right to wait for more.

mod endpoints;
mod ingress;
mod table;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::WithTrailers;
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::config::Config;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::background::Background;
use crate::control_plane::{ControlPlane, ControlPlaneError, client};
use crate::install::install;
use crate::listener::{self, Closed};
use crate::mirror::{self, Objects};
use crate::note;
use endpoints::{Endpoints, endpoints};
use table::{CallRouteSpec, RouteSpec, Table, share};

/// The definition of HTTPRoutes (see the README beside it).
const HTTP_ROUTES: &str = include_str!("../gateway-api/httproutes.json");
/// That of GRPCRoutes.
const GRPC_ROUTES: &str = include_str!("../gateway-api/grpcroutes.json");

/// Who answered, and how: a Service, or nothing where none was asked.
type Counts = BTreeMap<(String, u16), u64>;

/// A gateway that listens on loopback until it is dropped.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    shared: Arc<Shared>,
    _background: Background,
}

/// What is in force.
#[derive(Debug, Default)]
struct Routing {
    /// Which of two is newer.
    generation: u64,
    table: Table,
    /// What GRPCRoutes say.
    calls: Table,
    endpoints: Endpoints,
}

#[derive(Debug)]
struct Shared {
    routing: RwLock<Arc<Routing>>,
    counts: Mutex<Counts>,
    requests: AtomicU64,
    lag: Mutex<Duration>,
    http: HttpClient<HttpConnector, Whole>,
    http2: HttpClient<HttpConnector, Whole>,
}

/// A whole body, its trailers included.
type Whole = WithTrailers<Full<Bytes>, Ready<Option<Result<HeaderMap, Infallible>>>>;
type Answer = Response<Whole>;

impl Gateway {
    /// Starts a gateway for the routes of one namespace; each change takes effect so long after it is seen.
    ///
    /// # Errors
    ///
    /// There is no port or no thread to be had, or the control plane has no kubeconfig.
    pub async fn start(
        control_plane: &ControlPlane,
        namespace: &str,
        lag: Duration,
    ) -> Result<Self, ControlPlaneError> {
        let config = control_plane.config().await?;
        let (listener, address) = listener::bind()?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let shared = Arc::new(Shared {
            routing: RwLock::default(),
            counts: Mutex::default(),
            requests: AtomicU64::new(0),
            lag: Mutex::new(lag),
            http: HttpClient::builder(TokioExecutor::new()).build(connector.clone()),
            http2: HttpClient::builder(TokioExecutor::new())
                .http2_only(true)
                .build(connector),
        });
        let (namespace, working) = (namespace.to_owned(), Arc::clone(&shared));
        let background = Background::start("gateway", move || async move {
            let answering = Arc::clone(&working);
            let answer = move |request| {
                let shared = Arc::clone(&answering);
                async move { Ok::<_, Closed>(shared.answer(request).await) }
            };
            let listening = listener::serve(listener, answer);
            tokio::select! {
                told = follow(config, &namespace, working) => note(&format!("gateway: {told:?}")),
                told = listening => note(&format!("gateway: {told:?}")),
            }
        })?;
        Ok(Self {
            address,
            shared,
            _background: background,
        })
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets changes that are seen from now on take effect so much later.
    pub fn set_lag(&self, lag: Duration) {
        *self.shared.lag.lock().unwrap_or_else(PoisonError::into_inner) = lag;
    }

    /// Returns how often each Service's answer was passed on, or the gateway answered by itself, by code.
    pub fn answers(&self) -> BTreeMap<(String, u16), u64> {
        self.shared
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Lets an API server know HTTPRoutes and GRPCRoutes.
///
/// # Errors
///
/// There is no answer, or a kind is not served in time.
pub async fn gateway_api(client: &kube::Client) -> Result<(), ControlPlaneError> {
    let definitions = [HTTP_ROUTES, GRPC_ROUTES];
    let definitions =
        definitions.map(|text| serde_json::from_str(text).expect("invariant: a definition is JSON"));
    install(client, &definitions).await.map(drop)
}

/// Puts in force what is seen, for ever.
async fn follow(config: Config, namespace: &str, shared: Arc<Shared>) -> Result<(), ControlPlaneError> {
    let client = client(config)?;
    let kind = |kind| ApiResource::from_gvk(&GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", kind));
    let (routes, mut routes_seen) = watch::channel(Objects::<DynamicObject>::new());
    let (calls, mut calls_seen) = watch::channel(Objects::<DynamicObject>::new());
    let (ingresses, mut ingresses_seen) = watch::channel(Objects::<Ingress>::new());
    let (services, mut services_seen) = watch::channel(Objects::<Service>::new());
    let (slices, mut slices_seen) = watch::channel(Objects::<EndpointSlice>::new());
    tokio::spawn(mirror::follow(
        Api::namespaced_with(client.clone(), namespace, &kind("HTTPRoute")),
        routes,
    ));
    tokio::spawn(mirror::follow(
        Api::namespaced_with(client.clone(), namespace, &kind("GRPCRoute")),
        calls,
    ));
    tokio::spawn(mirror::follow(
        Api::namespaced(client.clone(), namespace),
        ingresses,
    ));
    tokio::spawn(mirror::follow(
        Api::namespaced(client.clone(), namespace),
        services,
    ));
    tokio::spawn(mirror::follow(Api::namespaced(client, namespace), slices));
    for generation in 1.. {
        tokio::select! {
            _ = routes_seen.changed() => {}
            _ = calls_seen.changed() => {}
            _ = ingresses_seen.changed() => {}
            _ = services_seen.changed() => {}
            _ = slices_seen.changed() => {}
        }
        let services = services_seen.borrow_and_update().clone();
        let mut routes: Vec<RouteSpec> = specs(&routes_seen.borrow_and_update());
        let calls = specs(&calls_seen.borrow_and_update()).into_iter();
        let calls: Vec<_> = calls.map(CallRouteSpec::routes).collect();
        routes.extend(ingress::routes(&ingresses_seen.borrow_and_update(), &services));
        let routing = Routing {
            generation,
            table: Table::new(&routes),
            calls: Table::new(&calls),
            endpoints: endpoints(&services, &slices_seen.borrow_and_update()),
        };
        tokio::spawn(Arc::clone(&shared).put_in_force(Arc::new(routing)));
    }
    Ok(())
}

/// Returns what routes say, the oldest first.
fn specs<S: DeserializeOwned>(routes: &Objects<DynamicObject>) -> Vec<S> {
    let mut routes: Vec<_> = routes.values().collect();
    routes.sort_by_key(|route| {
        (
            route.metadata.creation_timestamp.clone(),
            route.metadata.name.clone(),
        )
    });
    let spec = |route: &&DynamicObject| serde_json::from_value(route.data["spec"].clone()).ok();
    routes.iter().filter_map(spec).collect()
}

impl Shared {
    async fn put_in_force(self: Arc<Self>, routing: Arc<Routing>) {
        let lag = *self.lag.lock().unwrap_or_else(PoisonError::into_inner);
        tokio::time::sleep(lag).await;
        let mut in_force = self.routing.write().unwrap_or_else(PoisonError::into_inner);
        if routing.generation > in_force.generation {
            *in_force = routing;
        }
    }

    /// Answers one request, and counts who did.
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let n = self.requests.fetch_add(1, Ordering::Relaxed);
        let (service, endpoint) = self.choose(&request, n);
        let response = match endpoint {
            Ok(endpoint) => self.pass(request, endpoint).await,
            Err(code) => Err(code),
        };
        let response = response.unwrap_or_else(by_itself);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((service, response.status().as_u16())).or_default() += 1;
        response
    }

    /// Returns the Service that a request's share is of, and where it answers.
    fn choose(&self, request: &Request<Incoming>, n: u64) -> (String, Result<SocketAddr, StatusCode>) {
        let routing = Arc::clone(&self.routing.read().unwrap_or_else(PoisonError::into_inner));
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        // By HTTP/2 it is a part of the URI.
        let host = host.or(request.uri().host()).unwrap_or_default();
        let host = host.split(':').next().unwrap_or_default();
        let (method, path) = (request.method().as_str(), request.uri().path());
        let table = if is_call(request) {
            &routing.calls
        } else {
            &routing.table
        };
        let Some(backends) = table.find(method, host, path, request.headers()) else {
            return (String::new(), Err(StatusCode::NOT_FOUND));
        };
        let Some(backend) = share(backends, n) else {
            return (String::new(), Err(StatusCode::SERVICE_UNAVAILABLE));
        };
        let key = (backend.name.clone(), backend.port.unwrap_or_default());
        let endpoint = match routing.endpoints.get(&key).map(Vec::as_slice) {
            None => Err(StatusCode::INTERNAL_SERVER_ERROR),
            Some([]) => Err(StatusCode::SERVICE_UNAVAILABLE),
            Some(ready) => {
                let turn = usize::try_from(n).unwrap_or_default() % ready.len();
                Ok(ready[turn])
            }
        };
        (backend.name.clone(), endpoint)
    }

    async fn pass(&self, request: Request<Incoming>, endpoint: SocketAddr) -> Result<Answer, StatusCode> {
        let broken = StatusCode::BAD_GATEWAY;
        let client = if is_call(&request) {
            &self.http2
        } else {
            &self.http
        };
        let (mut parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|_cut| StatusCode::BAD_REQUEST)?;
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = format!("http://{endpoint}{path}")
            .parse()
            .map_err(|_invalid| StatusCode::BAD_REQUEST)?;
        // Those of one connection are not the other's.
        parts.headers.remove(CONNECTION);
        parts.headers.remove(TRANSFER_ENCODING);
        let answer = client.request(Request::from_parts(parts, whole(body))).await;
        let (mut parts, body) = answer.map_err(|_away| broken)?.into_parts();
        parts.headers.remove(CONNECTION);
        parts.headers.remove(TRANSFER_ENCODING);
        let body = body.collect().await.map_err(|_cut| broken)?;
        Ok(Response::from_parts(parts, whole(body)))
    }
}

/// Says whether a request is a call by gRPC.
fn is_call(request: &Request<Incoming>) -> bool {
    let kind = request.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Returns a body of which it is known how long it is.
fn whole(body: Collected<Bytes>) -> Whole {
    let trailers = body.trailers().cloned().map(Ok);
    Full::new(body.to_bytes()).with_trailers(ready(trailers))
}

fn by_itself(code: StatusCode) -> Answer {
    let mut response = Response::new(whole(Collected::default()));
    *response.status_mut() = code;
    response
}
