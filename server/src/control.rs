//! The control plane's listener: the registry, the platform, the state of the environment, and what it runs on.
//!
//! It only reads, from the store, a [`StatusSource`] and an [`Infrastructure`], so it answers while reconciler and Git are down.

mod artifact;
mod infrastructure;
mod models;
mod openapi;
mod route;
mod shown;
mod status;

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use hyper::StatusCode;
use hyper::header::HeaderMap;
use registry::Store;
use serde::Serialize;
use strum::EnumCount as _;
use tokio::sync::Semaphore;
use warp::reply::Response;

use crate::dashboard::Dashboard;
use crate::http::body::Body;
use crate::http::budget::Budget;
use crate::http::frame::{Answered, Answers, Frame, Request, routes};
use crate::http::http1::Http1;
use crate::http::reply::{self, Failure};
use crate::http::{self, Limits, Listener, Origin, Shutdown, Sockets};
use crate::keys::Access;
use crate::metrics::{ListenerName, Metrics, Page as MetricsPage, RouteMeters, TICK};
use artifact::{Downloads, Verified};
pub use infrastructure::Infrastructure;
use models::Page;
pub use openapi::openapi;
use route::{Kind, Route};
pub use status::{Known, StatusSource};
use status::{Snapshots, Streams};

/// How many requests read at a time: a file system that hangs holds no more threads.
const READS: usize = 8;
/// How long the metrics wait for how models stand.
const LOOK: Duration = Duration::from_secs(1);

/// What the control plane shows, and to whom.
#[derive(Clone)]
pub struct ControlPlane {
    /// The registry.
    pub store: Store,
    /// The state of the environment.
    pub status: Arc<dyn StatusSource>,
    /// What it runs on.
    pub infrastructure: Arc<dyn Infrastructure>,
    /// Where browsers reach inference, for the dashboard; it lets this one's pages call.
    pub inference: Option<Origin>,
    /// Who may ask; `/health` is open to everybody.
    pub access: Access,
    /// What `/metrics` shows, and where its requests are counted.
    pub metrics: Metrics,
    /// What it takes from strangers; it reads no body and evaluates nothing.
    pub limits: Limits,
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
    listener: impl Into<Sockets>,
    shutdown: impl Future<Output = ()> + Send,
) {
    answer(control, listener.into(), pin!(shutdown)).await;
}

/// A future is compiled where it is polled: boxed, this one is compiled with this crate.
fn answer(control: ControlPlane, sockets: Sockets, shutdown: Shutdown<'_>) -> BoxFuture<'_, ()> {
    Box::pin(async move {
        let ControlPlane {
            access,
            limits,
            metrics,
            ..
        } = &control;
        let _watching = access.keys.watched();
        let how = Listener::new(ListenerName::ControlPlane, limits, access, metrics);
        let metrics = metrics.clone();
        let server = Arc::new(Server::new(control));
        let streams = server.streams.clone();
        let shutdown = pin!(async {
            shutdown.await;
            streams.end();
        });
        let routes = |place| Http1(routes(server.clone(), place));
        tokio::select! {
            () = http::serve(routes, sockets, how, shutdown, || {}) => {}
            () = tick(&metrics) => {}
        }
    })
}

/// Lets the metrics note what was counted, for ever.
async fn tick(metrics: &Metrics) {
    let mut interval = tokio::time::interval(TICK);
    loop {
        interval.tick().await;
        metrics.tick(Instant::now());
    }
}

/// What every request shares.
#[derive(Debug)]
struct Server {
    control: ControlPlane,
    frame: Frame,
    admitted: Semaphore,
    /// Turns to read what is asked for.
    reads: Semaphore,
    /// Turns to open an artifact, which may have to be hashed first: fewer, so that nothing else waits for it.
    opens: Semaphore,
    /// What answers hold until they are taken.
    answers: Budget,
    verified: Arc<Verified>,
    downloads: Downloads,
    snapshots: Arc<Snapshots>,
    /// The turn to look how models stand, for the metrics.
    looking: Arc<Semaphore>,
    streams: Arc<Streams>,
    dashboard: Dashboard,
    meters: [RouteMeters; Kind::COUNT],
}

impl Answers for Server {
    fn frame(&self) -> &Frame {
        &self.frame
    }

    async fn answer(
        &self,
        request: Request<'_>,
        _unwanted: impl Future<Output = Result<Body, Failure>> + Send,
    ) -> Answered<'_> {
        let route = Route::parse(request.path);
        let kind = route.as_ref().map_or(Kind::Unknown, Route::kind);
        let answer = self.dispatch(request, kind, route).await;
        let meters = &self.meters[kind as usize];
        Answered::of(answer, meters)
    }
}

impl Server {
    fn new(control: ControlPlane) -> Self {
        let limits = &control.limits;
        Self {
            meters: Kind::meters(&control.metrics),
            frame: Frame::new(
                limits,
                &control.access,
                control.metrics.listener(ListenerName::ControlPlane),
            ),
            admitted: Semaphore::new(limits.requests),
            reads: Semaphore::new(READS),
            opens: Semaphore::new(READS / 2),
            answers: Budget::new(limits.answers_bytes, limits.answer_bytes),
            verified: Arc::default(),
            downloads: Downloads::default(),
            snapshots: Arc::new(Snapshots::new(epoch())),
            looking: Arc::new(Semaphore::new(1)),
            streams: Arc::default(),
            dashboard: Dashboard::new(control.inference.as_ref()),
            control,
        }
    }

    async fn dispatch(
        &self,
        request: Request<'_>,
        kind: Kind,
        route: Result<Route, Failure>,
    ) -> Result<Response, Failure> {
        if let Some(answer) = self.frame.admit(request, kind.demands()).await? {
            return Ok(answer);
        }
        let place = request.place;
        let route = route?;
        let _admitted = self
            .admitted
            .try_acquire()
            .map_err(|_none_left| Failure::unavailable("too many requests at once, try again".to_owned()))?;
        let response = match route {
            Route::Health => ok(&shown::Health {
                status: "ok",
                service: "aurora-control-plane",
            }),
            Route::Platform => ok(&shown::PlatformInfo {
                platform: "AURORA Control Plane",
                version: "v1",
                control_plane: true,
                aurora: env!("CARGO_PKG_VERSION"),
            }),
            Route::OpenApi => reply::json_bytes(StatusCode::OK, openapi::openapi().into()),
            Route::Dashboard(path) => self.dashboard.answer(&path, request.headers)?,
            Route::Status(status::At::Events) => status::events(
                &self.control.status,
                &self.snapshots,
                &self.streams,
                request.method,
                request.query,
                request.headers,
            )?,
            route => {
                let turns = match route {
                    Route::Artifact(..) => &self.opens,
                    _ => &self.reads,
                };
                let _turn = tokio::time::timeout(self.control.limits.queue_timeout, turns.acquire())
                    .await
                    .map_err(|_elapsed| {
                        Failure::unavailable("too much is being read, try again".to_owned())
                    })?;
                let response = self.read(route, request).await?;
                return reply::counted(response, &self.answers, place).await;
            }
        };
        Ok(response)
    }

    /// Lets the metrics say how models stand. Whatever hangs, all else that is counted is shown.
    async fn see_states(&self) {
        let look = async {
            let turn = self.looking.clone().try_acquire_owned().ok()?;
            let (source, snapshots) = (self.control.status.clone(), self.snapshots.clone());
            let looking = tokio::task::spawn_blocking(move || {
                // As long as one look hangs, there is no other.
                let _turn = turn;
                snapshots.look(&*source)
            });
            tokio::time::timeout(LOOK, looking).await.ok()?.ok()
        };
        let seen = look.await;
        let words = seen.iter().flat_map(|snapshot| snapshot.words());
        self.control.metrics.set_states(words);
    }

    /// Answers from files, or from what is counted.
    async fn read(&self, route: Route, request: Request<'_>) -> Result<Response, Failure> {
        let store = self.control.store.clone();
        let headers = request.headers.clone();
        match route {
            Route::Metrics => {
                self.see_states().await;
                reply::metrics(&self.control.metrics, MetricsPage::ControlPlane).await
            }
            Route::Models => read(headers, move || models::list(&store)).await,
            Route::Model(model) => {
                let page = Page::parse(request.query)?;
                read(headers, move || models::model(&store, &model, &page)).await
            }
            Route::Version(model, reference) => {
                read(headers, move || models::version(&store, &model, &reference)).await
            }
            Route::Signatures(model, reference) => {
                read(headers, move || models::signatures(&store, &model, &reference)).await
            }
            Route::Artifact(model, reference) => {
                let verified = self.verified.clone();
                let found = blocking(move || artifact::find(&store, &verified, &model, &reference)).await?;
                Ok(artifact::respond(found, request.headers, &self.downloads))
            }
            Route::Status(at) => {
                let (source, snapshots) = (self.control.status.clone(), self.snapshots.clone());
                let metrics = self.control.metrics.clone();
                blocking(move || status::read(&at, &*source, &snapshots, (&store, &metrics), &headers)).await
            }
            Route::Nodes => {
                let infrastructure = self.control.infrastructure.clone();
                read(headers, move || Ok(infrastructure::nodes(&*infrastructure))).await
            }
            Route::Classes => {
                let infrastructure = self.control.infrastructure.clone();
                read(headers, move || {
                    Ok(infrastructure::classes(&*infrastructure, &store))
                })
                .await
            }
            Route::Volumes => {
                let infrastructure = self.control.infrastructure.clone();
                read(headers, move || {
                    Ok(infrastructure::volumes(&*infrastructure, &store))
                })
                .await
            }
            Route::Health | Route::Platform | Route::OpenApi | Route::Dashboard(_) => {
                Err(Failure::internal("nothing to read here".to_owned()))
            }
        }
    }
}

/// Returns what tells this process's states from those of the one before.
fn epoch() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

fn ok(body: &impl Serialize) -> Response {
    reply::json(StatusCode::OK, body)
}

/// Reads what is to be shown, and makes the answer for a client with these headers, where no other request waits for it.
async fn read<T: Serialize>(
    headers: HeaderMap,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<Response, Failure> {
    blocking(move || work().map(|body| reply::json_for(&headers, reply::written(&body)))).await
}

/// Runs what reads files where no other request waits for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|_panicked| {
        Failure::internal("failed to read the registry: a fault of the server".to_owned())
    })?
}

#[cfg(test)]
mod tests;
