//! The Open Inference Protocol over gRPC: other words for the same models, slots, split, bounds and counters.
//!
//! ```text
//! method       which call, and who may make it
//! frames       a call's one message, out of its frame and into one
//! request      a ModelInferRequest, read where it lies
//! answer       a ModelInferResponse, written once
//! describe     what the listener says of itself and of its models
//! status       HTTP's words for a fault in gRPC's
//! reflection   what can be called, for those that ask
//! messages     generated of server/proto
//! ```
//!
//! Bodies are read and decompressed under the budget of all bodies and large ones are looked at aside, as over HTTP/1: that
//! is why frames are taken apart here. A fault counts under the status that HTTP has for it.

mod answer;
mod describe;
mod frames;
mod messages;
mod method;
mod reflection;
mod request;
mod status;

use std::pin::pin;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::HeaderMap;
use prost::Message;
use strum::EnumCount as _;
use tonic::body::Body as TonicBody;
use warp::reply::Response;

use super::envelope::{Envelope, Form, Layout};
use super::evaluate::{self, Served};
use super::prepare::choice;
use super::refusals;
use super::{InferenceOptions, Server};
use crate::http::body::Body;
use crate::http::frame::{Answered, Answers, Frame, Request};
use crate::http::http2::Calls;
use crate::http::place::{Place, Receiving};
use crate::http::reply::{self, Failure};
use crate::metrics::{ListenerName, RouteMeters};
use crate::runtime::{Loaded, Runtime};
pub(super) use answer::answer;
use messages::health;
use messages::inference as oip;
use method::Method;
use reflection::Reflection;
pub(super) use request::{Given, request};

/// What answers calls.
#[derive(Debug)]
pub(super) struct Door {
    server: Arc<Server>,
    frame: Frame,
    meters: [RouteMeters; Method::COUNT],
    reflection: Reflection,
}

impl Answers for Door {
    fn frame(&self) -> &Frame {
        &self.frame
    }

    async fn answer(
        &self,
        request: Request<'_>,
        body: impl Future<Output = Result<Body, Failure>> + Send,
    ) -> Answered<'_> {
        let method = Method::of(request.path);
        let meters = &self.meters[method as usize];
        match self.dispatch(request, method, pin!(body)).await {
            Ok(response) => Answered {
                code: StatusCode::OK,
                response,
                meters,
            },
            Err(Refusal { failure, loaded }) => Answered {
                code: failure.status,
                response: status::refusal(&failure, loaded.as_deref()),
                meters,
            },
        }
    }
}

impl Calls for Door {
    fn is_stream(path: &str) -> bool {
        Method::of(path).is_stream()
    }

    async fn stream(
        &self,
        place: &Arc<Place>,
        call: hyper::Request<Receiving>,
        refused: Option<&Failure>,
    ) -> hyper::Response<TonicBody> {
        self.reflect(place, call, refused).await
    }
}

/// Why a call gets no answer, and of whom it was asked where that is known.
struct Refusal {
    failure: Failure,
    loaded: Option<Arc<Loaded>>,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            loaded: None,
        }
    }
}

impl Door {
    /// Opens a second door to what `server` serves.
    pub(super) fn new(server: &Arc<Server>, options: &InferenceOptions) -> Self {
        let metrics = server.runtime.metrics();
        let meters = metrics.listener(ListenerName::Grpc);
        Self {
            frame: Frame::new(&options.limits, &options.access, meters).sharing_with(&server.frame),
            meters: Method::meters(metrics),
            reflection: Reflection::new(),
            server: server.clone(),
        }
    }

    async fn dispatch(
        &self,
        request: Request<'_>,
        method: Method,
        body: impl Future<Output = Result<Body, Failure>>,
    ) -> Result<Response, Refusal> {
        let Request { place, headers, .. } = request;
        if let Some(answer) = self.frame.admit(request, method.demands()).await? {
            return Ok(answer);
        }
        frames::check(headers)?;
        let runtime = &self.server.runtime;
        match method {
            Method::ModelInfer => self.infer(place, headers, body.await?).await,
            Method::ServerLive => self.said(place, &describe::live()).await,
            Method::ServerReady => self.said(place, &describe::ready(runtime)).await,
            Method::ServerMetadata => self.said(place, &describe::server()).await,
            Method::ModelReady => {
                let asked: oip::ModelReadyRequest = self.read(headers, body).await?;
                self.said(place, &describe::model_ready(runtime, &asked, headers)?)
                    .await
            }
            Method::ModelMetadata => {
                let asked: oip::ModelMetadataRequest = self.read(headers, body).await?;
                let model = self.server.model(&asked.name)?;
                self.said(place, &describe::model(&model, &asked, headers)?).await
            }
            Method::ModelConfig => {
                let asked: oip::ModelConfigRequest = self.read(headers, body).await?;
                let model = self.server.model(&asked.name)?;
                let rows_max = self.server.limits.rows;
                Ok(frames::said(&describe::configuration(
                    &model, &asked, headers, rows_max,
                )?))
            }
            Method::ModelStatistics => {
                let asked: oip::ModelStatisticsRequest = self.read(headers, body).await?;
                if asked.name.is_empty() {
                    return self.list(place, describe::all_statistics).await;
                }
                let model = self.server.model(&asked.name)?;
                self.said(place, &describe::statistics(&model, &asked, headers)?)
                    .await
            }
            Method::RepositoryIndex => {
                let asked: oip::RepositoryIndexRequest = self.read(headers, body).await?;
                self.list(place, move |runtime| describe::index(runtime, asked.ready))
                    .await
            }
            Method::RepositoryModelLoad | Method::RepositoryModelUnload => Err(refusals::by_commit().into()),
            Method::HealthCheck => {
                let asked: health::HealthCheckRequest = self.read(headers, body).await?;
                self.said(place, &describe::health(runtime, &asked)?).await
            }
            Method::HealthWatch | Method::ReflectionV1 | Method::ReflectionV1Alpha | Method::Unknown => {
                Err(status::no_such_method().into())
            }
        }
    }

    /// Answers with a message, which counts until the client has taken it.
    async fn said(&self, place: &Arc<Place>, message: &impl Message) -> Result<Response, Refusal> {
        Ok(reply::counted(frames::said(message), &self.server.answers, place).await?)
    }

    /// Reads a call's message.
    async fn read<M: Message + Default>(
        &self,
        headers: &HeaderMap,
        body: impl Future<Output = Result<Body, Failure>>,
    ) -> Result<M, Failure> {
        let (body, at) = frames::open(&self.server, headers, body.await?).await?;
        let message = body.get(at..).unwrap_or_default();
        if message.len() > frames::QUESTION_BYTES_MAX {
            return Err(Failure::too_large(frames::QUESTION_BYTES_MAX));
        }
        M::decode(message)
            .map_err(|error| Failure::bad_request(format!("failed to read the message: {error}")))
    }

    /// Answers a request for predictions; what fails before it has a slot is counted as unrouted.
    async fn infer(&self, place: &Arc<Place>, headers: &HeaderMap, body: Body) -> Result<Response, Refusal> {
        let server = &self.server;
        let unrouted = |failure| server.unrouted(None, failure);
        let _turn = server.admit(place).map_err(unrouted)?;
        let (body, at) = frames::open(server, headers, body).await.map_err(unrouted)?;
        let (name, version) = {
            let named = request::named(body.get(at..).unwrap_or_default()).map_err(unrouted)?;
            (named.model.to_owned(), named.version.map(str::to_owned))
        };
        let model = server.model(&name).map_err(unrouted)?;
        let choice =
            choice(version.as_deref(), headers).map_err(|failure| server.unrouted(Some(&model), failure))?;
        let form = (
            Form::Message,
            Envelope {
                layout: Layout::Message { at },
                coding: None,
            },
        );
        let Served { loaded, result } = evaluate::run(server, place, &model, choice, form, headers, body)
            .await
            .map_err(|failure| server.unrouted(Some(&model), failure))?;
        match result {
            Ok((answer, held)) => Ok(frames::answer(answer.bytes, &loaded.headers, held)),
            Err(failure) => Err(Refusal {
                failure,
                loaded: Some(loaded),
            }),
        }
    }

    /// Makes an answer that names every model on a thread that may block.
    async fn list<M: Message>(
        &self,
        place: &Arc<Place>,
        list: impl FnOnce(&Runtime) -> M + Send + 'static,
    ) -> Result<Response, Refusal> {
        let server = &self.server;
        let made = move |runtime: &Runtime| frames::said(&list(runtime));
        Ok(server.listing(&server.listings, place, made).await?)
    }
}

#[cfg(test)]
mod tests;
