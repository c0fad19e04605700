//! The control plane's listener: the registry, the platform, the state of the environment.
//!
//! It only reads, from the store and from a [`StatusSource`], so it answers while reconciler and Git are down.

mod artifact;
mod models;
mod openapi;
mod route;
mod status;

use std::sync::Arc;
use std::time::Instant;

use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use registry::Store;
use serde_json::json;
use strum::EnumCount as _;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Rejection};

use crate::http::reply::{self, Failure};
use crate::http::{self, Limits};
use crate::keys::Keys;
use crate::metrics::{Metrics, RouteMeters};
use artifact::Verified;
use route::{Kind, Route};

/// What is known of the environment: a view over what the reconciler wrote down.
pub trait StatusSource: Send + Sync {
    /// Returns `{"environment": {…}, "deployments": […], "trainings": […]}`: the objects with their status. Reads files
    /// where it must; called on a thread that may block.
    fn status(&self) -> serde_json::Value;
    /// Returns how long ago the knowledge was last renewed, in seconds; `None` before the first pass.
    fn age_seconds(&self) -> Option<f64>;
}

/// What the control plane shows, and to whom.
#[derive(Clone)]
pub struct ControlPlane {
    /// The registry.
    pub store: Store,
    /// The state of the environment.
    pub status: Arc<dyn StatusSource>,
    /// Who may ask; `/health` is open to everybody.
    pub keys: Keys,
    /// What `/metrics` shows, and where its requests are counted.
    pub metrics: Metrics,
}

impl std::fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlPlane")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// Answers on `listener` until `shutdown`, then lets requests under way finish and returns.
pub async fn serve_control_plane(
    control: ControlPlane,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) {
    let limits = Limits::default();
    let server = Arc::new(Server::new(control, &limits));
    http::serve(routes(server), listener, &limits, shutdown, || {}).await;
}

/// What every request shares.
#[derive(Debug)]
struct Server {
    control: ControlPlane,
    admitted: Semaphore,
    verified: Arc<Verified>,
    meters: [RouteMeters; Kind::COUNT],
}

impl Server {
    fn new(control: ControlPlane, limits: &Limits) -> Self {
        Self {
            meters: Kind::meters(&control.metrics),
            admitted: Semaphore::new(limits.requests),
            verified: Arc::default(),
            control,
        }
    }

    async fn answer(&self, method: Method, path: FullPath, headers: HeaderMap) -> Response {
        let since = Instant::now();
        let route = Route::parse(path.as_str());
        let kind = route.as_ref().map_or(Kind::Unknown, Route::kind);
        let response = self
            .dispatch(&method, kind, route, &headers)
            .await
            .unwrap_or_else(|failure| failure.response());
        self.meters[kind as usize].answered(method.as_str(), response.status().as_u16(), since.elapsed());
        response
    }

    async fn dispatch(
        &self,
        method: &Method,
        kind: Kind,
        route: Result<Route, Failure>,
        headers: &HeaderMap,
    ) -> Result<Response, Failure> {
        let key = headers.get("x-api-key").map(HeaderValue::as_bytes);
        if kind != Kind::Health && !self.control.keys.admit(key) {
            return Err(Failure::unauthorized());
        }
        let route = route?;
        if method != Method::GET && method != Method::HEAD {
            return Err(Failure::method_not_allowed("GET, HEAD"));
        }
        let _admitted = self
            .admitted
            .try_acquire()
            .map_err(|_none_left| Failure::unavailable("too many requests at once, try again".to_owned()))?;
        let store = self.control.store.clone();
        match route {
            Route::Health => Ok(ok(&json!({ "status": "ok", "service": "aurora-control-plane" }))),
            Route::Platform => Ok(ok(&json!({
                "platform": "AURORA Control Plane",
                "version": "v1",
                "control_plane": true,
                "aurora": env!("CARGO_PKG_VERSION"),
            }))),
            Route::Metrics => reply::metrics(&self.control.metrics).await,
            Route::OpenApi => Ok(ok(&openapi::document())),
            Route::Models => blocking(move || models::list(&store)).await,
            Route::Model(model) => blocking(move || models::model(&store, &model)).await,
            Route::Version(model, reference) => {
                blocking(move || models::version(&store, &model, &reference)).await
            }
            Route::Artifact(model, reference) => {
                let verified = self.verified.clone();
                let found = blocking(move || artifact::find(&store, &verified, &model, &reference)).await?;
                artifact::respond(found, headers).await
            }
            Route::Status => {
                let source = self.control.status.clone();
                blocking(move || Ok(status::all(&*source))).await
            }
            Route::StatusOfModel(model) => {
                let source = self.control.status.clone();
                blocking(move || status::of_model(&*source, &model)).await
            }
        }
    }
}

fn ok(body: &serde_json::Value) -> Response {
    reply::json(StatusCode::OK, body)
}

/// Runs what reads files where no other request waits for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|_panicked| {
        Failure::internal("failed to read the registry: a fault of the server".to_owned())
    })?
}

fn routes(
    server: Arc<Server>,
) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone + Send + Sync {
    warp::method()
        .and(warp::path::full())
        .and(warp::header::headers_cloned())
        .and_then(move |method, path, headers| {
            let server = server.clone();
            async move { Ok::<_, Rejection>(server.answer(method, path, headers).await) }
        })
}

#[cfg(test)]
mod tests;
