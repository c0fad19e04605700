//! The listener of a router: what a request has to pass before it is passed on.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::header::HeaderMap;
use strum::EnumCount as _;
use tokio::sync::Semaphore;
use warp::reply::Response;

use super::forward::{Outgoing, Way};
use super::table::Table;
use super::upstream::By;
use super::{Router, RouterOptions, describe, headers};
use crate::http::Limits;
use crate::http::aside::Aside;
use crate::http::body::Body;
use crate::http::budget::{self, Budget};
use crate::http::frame::{Answered, Answers, Frame, Request};
use crate::http::place::Place;
use crate::http::reply::{self, Failure};
use crate::http::request_id::HEADER as REQUEST_ID;
use crate::inference::{Envelope, Form, Kind, Route, choice, refusals};
use crate::keys::Access;
use crate::metrics::{ListenerName, Page, RouteMeters};
use crate::runtime::Choice;

/// What every request shares.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) router: Router,
    access: Access,
    pub(super) limits: Limits,
    pub(super) answer_timeout: Duration,
    pub(super) frame: Frame,
    /// Where messages are decompressed that say where they go.
    pub(super) aside: Aside,
    /// What answers hold until they are taken.
    pub(super) answers: Budget,
    /// Requests between their last byte and their answer.
    admitted: Semaphore,
    meters: [RouteMeters; Kind::COUNT],
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

impl Server {
    pub(super) fn new(router: Router, options: RouterOptions) -> Self {
        let RouterOptions {
            access,
            limits,
            answer_timeout,
        } = options;
        Self {
            meters: Kind::meters(&router.0.metrics),
            frame: Frame::new(
                &limits,
                &access,
                router.0.metrics.listener(ListenerName::Inference),
            ),
            aside: Aside::new(&limits),
            answers: Budget::new(limits.answers_bytes, limits.answer_bytes),
            admitted: Semaphore::new(limits.requests),
            router,
            access,
            limits,
            answer_timeout,
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
        let router = &self.router;
        match route {
            Route::Root => Ok(describe::alive()),
            Route::Server => Ok(describe::server()),
            Route::Version => Ok(describe::version()),
            Route::Live => Ok(describe::live()),
            Route::Ready | Route::Ping => Ok(describe::ready(router)),
            Route::Health => Ok(describe::health(router)),
            Route::Metrics => {
                let response = reply::metrics(&router.0.metrics, Page::Inference).await?;
                reply::counted(response, &self.answers, place).await
            }
            Route::Models | Route::FirstModels => Ok(describe::models(&*router.table()?)),
            Route::Index => Ok(describe::index(&*router.table()?)),
            // What names no model is of the one that there is.
            Route::Model {
                name: "stats",
                version: None,
            } => {
                let table = router.table()?;
                self.describe((table.model.as_str(), None), request).await
            }
            Route::Model { name, version }
            | Route::Config { name, version }
            | Route::Stats { name, version } => self.describe((name, version), request).await,
            Route::OpenApi { name } => self.describe((name, None), request).await,
            Route::ModelReady { name, version } => {
                let table = self.of_model(Some(name))?;
                describe::model_ready(&table, &choice(version, headers)?)
            }
            Route::FirstModel { name } => {
                let table = self.of_model(Some(name))?;
                describe::model_ready(&table, &choice(None, headers)?)
            }
            Route::ChangeModel => Err(refusals::by_commit()),
            Route::Infer { name, version } => {
                let asked = Asked {
                    name: Some(name),
                    version,
                    form: Form::Protocol,
                };
                self.infer(asked, request, body).await
            }
            Route::Predict { name } => {
                let asked = Asked::in_form(Form::Plain, name);
                self.infer(asked, request, body).await
            }
            Route::FirstPredict { name } => {
                let asked = Asked::in_form(Form::Instances, Some(name));
                self.infer(asked, request, body).await
            }
            Route::Invocations => {
                let asked = Asked::in_form(Form::Invocation, None);
                self.infer(asked, request, body).await
            }
            Route::Unknown => Err(refusals::no_such_path()),
        }
    }

    /// Has a model described by whoever serves it.
    async fn describe(
        &self,
        (name, version): (&str, Option<&str>),
        request: Request<'_>,
    ) -> Result<Response, Failure> {
        let Request {
            place, path, headers, ..
        } = request;
        let table = self.of_model(Some(name))?;
        let track = table.describing(&choice(version, headers)?, By::Http)?;
        let outgoing = Outgoing::get(path, self.passed(request));
        let _admitted = self.admit(place)?;
        let answer = self.forward(&table, Way::describing(track), &outgoing, place);
        Ok(answer.await?.into_response(place))
    }

    /// Has a request for predictions answered. What is refused here is not counted in the split.
    async fn infer(
        &self,
        asked: Asked<'_>,
        request: Request<'_>,
        body: impl Future<Output = Result<Body, Failure>>,
    ) -> Result<Response, Failure> {
        let Request {
            place, path, headers, ..
        } = request;
        let Asked { name, version, form } = asked;
        self.of_model(name)?;
        Envelope::read(form, headers)?;
        let choice = choice(version, headers)?;
        let (body, _held) = body.await?.into_parts();
        let _admitted = self.admit(place)?;
        // Asked for anew: a body may take its time, and the weight is that of now.
        let table = self.of_model(name)?;
        let way = self.way(&table, &choice)?;
        let outgoing = Outgoing::post(path, self.passed(request), body);
        Ok(self
            .forward(&table, way, &outgoing, place)
            .await?
            .into_response(place))
    }

    /// Returns what is in force, if it is of this model.
    pub(super) fn of_model(&self, name: Option<&str>) -> Result<Arc<Table>, Failure> {
        let table = self.router.table()?;
        match name {
            Some(name) if name != table.model.as_str() => Err(Failure::not_found(format!(
                "no such model; served: {}",
                table.model
            ))),
            _ => Ok(table),
        }
    }

    /// Decides the track; one request of the split is one step of its sequence.
    pub(super) fn way(&self, table: &Table, choice: &Choice) -> Result<Way, Failure> {
        let n = || {
            let routed = &self.router.0.routed;
            routed.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
        };
        let (track, routed) = table.track(choice, n)?;
        Ok(Way::routed(track, routed))
    }

    pub(super) fn admit<'a>(&'a self, place: &'a Place) -> Result<impl Sized + use<'a>, Failure> {
        let Ok(admitted) = self.admitted.try_acquire() else {
            return Err(Failure::too_many_requests(self.limits.requests));
        };
        let of_peer = budget::share(self.limits.requests);
        let of_peer = place
            .admit(of_peer)
            .ok_or_else(|| Failure::too_many_of_yours(of_peer))?;
        Ok((admitted, of_peer))
    }

    /// Returns the headers that an endpoint gets. A key that is ours is nobody else's.
    pub(super) fn passed(&self, request: Request<'_>) -> HeaderMap {
        let mut passed = headers::passed(request.headers, self.access.keys.configured());
        passed.insert(REQUEST_ID, request.id.clone());
        passed
    }
}

/// What a request for predictions says in its path.
struct Asked<'a> {
    /// The model; absent where the path names none.
    name: Option<&'a str>,
    version: Option<&'a str>,
    form: Form,
}

impl<'a> Asked<'a> {
    /// Asks for no version.
    fn in_form(form: Form, name: Option<&'a str>) -> Self {
        Self {
            name,
            version: None,
            form,
        }
    }
}
