//! The inference listener: Open Inference Protocol v2, `/predict`, the shapes of KServe's first protocol and of MLflow's
//! scoring, health and metrics.
//!
//! ```text
//! route ── key ── envelope ── admission ── body ── parse ── slot ── signature ── evaluate ── answer
//!                                                          └ from here on the request counts for its slot
//! ```
//!
//! It changes no model: those change by commit.

mod answer;
mod configuration;
mod datatype;
mod describe;
mod doors;
mod envelope;
mod evaluate;
pub(crate) mod grpc;
mod infer;
mod literal;
mod openapi;
mod predict;
mod prepare;
mod protocol;
pub(crate) mod refusals;
mod route;
mod rows;
mod tensor;
mod values;

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use hyper::header::HeaderMap;
use strum::EnumCount as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use warp::reply::Response;

use crate::http::aside::Aside;
use crate::http::body::Body;
use crate::http::budget::{self, Budget};
use crate::http::frame::{Answered, Answers, Frame, Request, routes};
use crate::http::http1::Http1;
use crate::http::place::{Admitted, Place};
use crate::http::reply::{self, Failure};
use crate::http::{Limits, Shutdown};
use crate::keys::Access;
use crate::metrics::{Codes, ListenerName, Page, RouteMeters};
use crate::runtime::{Model, Runtime};
pub(crate) use describe::{alive, live, server, version};
pub use doors::Doors;
pub(crate) use doors::Opening;
pub(crate) use envelope::{Envelope, Form};
use grpc::Door;
pub(crate) use prepare::choice;
pub(crate) use route::{Kind, Route};

/// How long after a model was replaced it is freed: requests that hold it have mostly ended then.
const SWEEP: Duration = Duration::from_millis(500);

/// How many answers that name every model, or every series, are made at a time.
const LISTINGS: usize = 2;

/// What the inference listener is told besides the runtime.
#[derive(Debug, Clone, Default)]
pub struct InferenceOptions {
    /// Who may ask; health is open to everybody.
    pub access: Access,
    /// What it takes from strangers.
    pub limits: Limits,
    /// What `/health` tells.
    pub health: Health,
}

/// What `/health` tells by its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// Whether requests can be answered, as `/v2/health/ready`.
    #[default]
    Ready,
    /// Whether the process is alive, as `/v2/health/live`: where it serves one model for its life, that may still be on its
    /// way, and ending the process would not bring it sooner.
    Alive,
}

/// Answers inference requests at `doors` until `shutdown`, then drains: not ready, no new connection, requests
/// under way finish within the limits' drain time-out. The models stay in the runtime.
///
/// Both doors share the memory and the turns of the limits; gRPC has a quarter of the connections, each with many calls.
pub async fn serve_inference(
    runtime: Runtime,
    doors: impl Into<Doors>,
    options: InferenceOptions,
    shutdown: impl Future<Output = ()> + Send,
) {
    answer(runtime, doors.into(), options, pin!(shutdown)).await;
}

/// A future is compiled where it is polled: boxed, what answers requests is compiled and optimised with this crate.
fn answer(
    runtime: Runtime,
    doors: Doors,
    options: InferenceOptions,
    shutdown: Shutdown<'_>,
) -> BoxFuture<'_, ()> {
    Box::pin(async move {
        let InferenceOptions { access, limits, .. } = &options;
        let server = Arc::new(Server::new(runtime.clone(), options.clone()));
        let opening = Opening {
            access,
            limits,
            metrics: runtime.metrics(),
        };
        let http = |place| Http1(routes(server.clone(), place));
        let door = || Door::new(&server, &server.frame, opening);
        let serving = opening.serve(doors, http, door, shutdown, || runtime.drain());
        tokio::select! {
            () = serving => {}
            () = sweep(&runtime) => {}
        }
    })
}

/// Frees replaced models and removes the series of versions long gone. Where nothing was replaced it sleeps.
async fn sweep(runtime: &Runtime) {
    loop {
        let sweeping = runtime.clone();
        // Freeing a large model takes milliseconds. A sweep that fails is made up for by the next.
        let next = tokio::task::spawn_blocking(move || sweeping.sweep(Instant::now()))
            .await
            .unwrap_or_default();
        let due = async {
            match next {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = runtime.retired() => tokio::time::sleep(SWEEP).await,
        }
    }
}

impl Answers for Server {
    fn frame(&self) -> &Frame {
        &self.frame
    }

    async fn answer(
        &self,
        request: Request<'_>,
        body: impl Future<Output = Result<Body, Failure>> + Send,
    ) -> Answered<'_> {
        let route = Route::parse(request.path);
        let meters = &self.meters[route.kind() as usize];
        // Read only once it is known that somebody wants it.
        let answer = self.dispatch(request, route, pin!(body)).await;
        Answered::of(answer, meters)
    }
}

/// What every request shares.
#[derive(Debug)]
struct Server {
    runtime: Runtime,
    limits: Limits,
    health: Health,
    frame: Frame,
    /// What answers hold until they are taken.
    answers: Budget,
    /// Requests between their last byte and their answer.
    admitted: Semaphore,
    /// Where is evaluated what would stall an async worker.
    aside: Aside,
    /// Turns to make an answer that names every model, or every series.
    listings: Semaphore,
    /// The turn to make such an answer to a probe: not behind those.
    probes: Semaphore,
    /// Inference requests for models that nobody knows.
    unrouted: Arc<Codes>,
    meters: [RouteMeters; Kind::COUNT],
}

impl Server {
    fn new(runtime: Runtime, options: InferenceOptions) -> Self {
        let InferenceOptions {
            access,
            limits,
            health,
        } = options;
        let metrics = runtime.metrics();
        Self {
            unrouted: metrics.unrouted(None),
            meters: Kind::meters(metrics),
            frame: Frame::new(&limits, &access, metrics.listener(ListenerName::Inference)),
            answers: Budget::new(limits.answers_bytes, limits.answer_bytes),
            admitted: Semaphore::new(limits.requests),
            aside: Aside::new(&limits),
            listings: Semaphore::new(LISTINGS),
            probes: Semaphore::new(1),
            runtime,
            limits,
            health,
        }
    }

    async fn dispatch(
        &self,
        request: Request<'_>,
        route: Route<'_>,
        body: impl Future<Output = Result<Body, Failure>>,
    ) -> Result<Response, Failure> {
        if let Some(answer) = self.frame.admit(request, route.kind().demands()).await? {
            return Ok(answer);
        }
        let Request { place, headers, .. } = request;
        match route {
            Route::Root => Ok(alive()),
            Route::Server => Ok(server()),
            Route::Version => Ok(version()),
            Route::Live => Ok(live()),
            Route::Ready | Route::Ping => Ok(describe::ready(&self.runtime)),
            Route::Health => {
                let means = self.health;
                let health = move |runtime: &Runtime| describe::health(runtime, means);
                self.listing(&self.probes, place, health).await
            }
            Route::Metrics => {
                let _turn = self.turn(&self.listings).await?;
                let response = reply::metrics(self.runtime.metrics(), Page::Inference).await?;
                reply::counted(response, &self.answers, place).await
            }
            Route::Models | Route::FirstModels => self.listing(&self.listings, place, describe::models).await,
            Route::Index => self.listing(&self.listings, place, describe::index).await,
            // What names no model is of all of them, unless there is one of that name.
            Route::Model {
                name: "stats",
                version: None,
            } if self.runtime.model("stats").is_none() => {
                self.listing(&self.listings, place, configuration::all_statistics)
                    .await
            }
            Route::Model { name, version } => describe::model(&*self.model(name)?, version, headers),
            Route::ModelReady { name, version } => {
                describe::model_ready(&self.runtime, name, version, headers)
            }
            Route::FirstModel { name } => describe::model_ready(&self.runtime, name, None, headers),
            Route::Config { name, version } => {
                let loaded = describe::describing(&*self.model(name)?, version, headers)?;
                Ok(configuration::configuration(&loaded, self.limits.rows))
            }
            Route::Stats { name, version } => {
                let model = self.model(name)?;
                let snapshot = model.snapshot();
                let only = choice(version, headers)?;
                let only = (!only.is_split()).then(|| snapshot.explicit(&only)).transpose()?;
                Ok(configuration::statistics(&snapshot, only.map(|loaded| &**loaded)))
            }
            Route::OpenApi { name } => {
                let loaded = describe::describing(&*self.model(name)?, None, headers)?;
                let has_keys = self.frame.asks_for_keys();
                let describe = move |_: &Runtime| openapi::describe(&loaded, has_keys);
                self.listing(&self.listings, place, describe).await
            }
            Route::ChangeModel => Err(refusals::by_commit()),
            Route::Infer { name, version } => {
                let asked = Asked {
                    version,
                    ..Asked::in_form(Form::Protocol, place, headers)
                };
                self.infer(Some(name), asked, body).await
            }
            Route::Predict { name } => {
                self.infer(name, Asked::in_form(Form::Plain, place, headers), body)
                    .await
            }
            Route::FirstPredict { name } => {
                self.infer(Some(name), Asked::in_form(Form::Instances, place, headers), body)
                    .await
            }
            Route::Invocations => {
                self.infer(None, Asked::in_form(Form::Invocation, place, headers), body)
                    .await
            }
            Route::Unknown => Err(refusals::no_such_path()),
        }
    }

    fn model(&self, name: &str) -> Result<Arc<Model>, Failure> {
        self.runtime
            .model(name)
            .ok_or_else(|| describe::unknown_model(&self.runtime, name))
    }

    /// Makes an answer that names every model on a thread that may block: with thousands of them it takes a while. The
    /// turn is kept until the answer counts.
    async fn listing(
        &self,
        turns: &Semaphore,
        place: &Arc<Place>,
        list: impl FnOnce(&Runtime) -> Response + Send + 'static,
    ) -> Result<Response, Failure> {
        let _turn = self.turn(turns).await?;
        let runtime = self.runtime.clone();
        let response = tokio::task::spawn_blocking(move || list(&runtime))
            .await
            .map_err(|_panicked| {
                Failure::internal("failed to list the models: a fault of the server".to_owned())
            })?;
        reply::counted(response, &self.answers, place).await
    }

    async fn turn<'a>(&self, turns: &'a Semaphore) -> Result<SemaphorePermit<'a>, Failure> {
        tokio::time::timeout(self.limits.queue_timeout, turns.acquire())
            .await
            .map_err(|_elapsed| Failure::unavailable("too many such requests at once, try again".to_owned()))
            .map(|turn| turn.expect("invariant: the semaphore is never closed"))
    }

    /// Answers a request for predictions, of the one model that is served where it names none; what fails before it has a
    /// slot is counted as unrouted.
    async fn infer(
        &self,
        name: Option<&str>,
        asked: Asked<'_>,
        body: impl Future<Output = Result<Body, Failure>>,
    ) -> Result<Response, Failure> {
        let model = match name {
            Some(name) => self.model(name),
            None => describe::only_model(&self.runtime).and_then(|name| self.model(&name)),
        };
        let model = model.map_err(|failure| self.unrouted(None, failure))?;
        self.infer_of(&model, asked, body)
            .await
            .map_err(|failure| self.unrouted(Some(&model), failure))
    }

    /// Counts a request for predictions that got no slot.
    fn unrouted(&self, model: Option<&Model>, failure: Failure) -> Failure {
        let unrouted = model.map_or(&self.unrouted, |model| &model.unrouted);
        unrouted.count(failure.status.as_u16());
        failure
    }

    /// Fails only before the request has a slot; after that, a refusal is an answer of that slot.
    async fn infer_of(
        &self,
        model: &Arc<Model>,
        asked: Asked<'_>,
        body: impl Future<Output = Result<Body, Failure>>,
    ) -> Result<Response, Failure> {
        let Asked {
            place,
            version,
            form,
            headers,
        } = asked;
        let envelope = Envelope::read(form, headers)?;
        let choice = choice(version, headers)?;
        let body = body.await?;
        let _turn = self.admit(place)?;
        let served = evaluate::run(self, place, model, choice, (form, envelope), headers, body).await?;
        Ok(served.response())
    }

    /// Counts a request whose body is there until its answer is, or refuses it where there are too many.
    fn admit<'a>(&'a self, place: &'a Place) -> Result<(SemaphorePermit<'a>, Admitted<'a>), Failure> {
        let Ok(admitted) = self.admitted.try_acquire() else {
            return Err(Failure::too_many_requests(self.limits.requests));
        };
        let most = budget::share(self.limits.requests);
        let Some(of_peer) = place.admit(most) else {
            return Err(Failure::too_many_of_yours(most));
        };
        Ok((admitted, of_peer))
    }
}

/// What a request for predictions says besides its model and its body.
struct Asked<'a> {
    place: &'a Arc<Place>,
    version: Option<&'a str>,
    form: Form,
    headers: &'a HeaderMap,
}

impl<'a> Asked<'a> {
    /// Asks for no version.
    fn in_form(form: Form, place: &'a Arc<Place>, headers: &'a HeaderMap) -> Self {
        Self {
            place,
            version: None,
            form,
            headers,
        }
    }
}

#[cfg(test)]
mod tests;
