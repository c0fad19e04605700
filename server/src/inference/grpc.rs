//! The Open Inference Protocol over gRPC: other words for the same models, slots, split, bounds and counters.
//!
//! ```text
//! method       which call, and who may make it
//! frames       a call's one message, out of its frame and into one
//! request      a ModelInferRequest, read where it lies
//! answer       a ModelInferResponse, written once
//! describe     what the listener says of itself and of its models
//! models       who answers calls where the models are here
//! status       HTTP's words for a fault in gRPC's, and back
//! reflection   what can be called, for those that ask
//! messages     generated of server/proto
//! ```
//!
//! The door is the same whoever answers: what a call has to pass, what is refused, and what is said without asking anybody.
//! Bodies are read and decompressed under the budget of all bodies and large ones are looked at aside, as over HTTP/1: that
//! is why frames are taken apart here. A fault counts under the status that HTTP has for it.

mod answer;
pub(crate) mod describe;
pub(crate) mod frames;
mod messages;
mod method;
mod models;
mod reflection;
pub(crate) mod request;
pub(crate) mod status;

use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::HeaderMap;
use prost::Message;
use strum::EnumCount as _;
use tonic::body::Body as TonicBody;
use warp::reply::Response;

use super::doors::Opening;
use super::refusals;
use crate::http::aside::Aside;
use crate::http::body::Body;
use crate::http::budget::Budget;
use crate::http::frame::{Answered, Answers, Frame, Request};
use crate::http::http2::Calls;
use crate::http::place::{Place, Receiving};
use crate::http::reply::{self, Failure};
use crate::metrics::{ListenerName, RouteMeters};
use crate::runtime::{Choice, Loaded};
pub(super) use answer::answer;
use messages::health;
pub(crate) use messages::inference as oip;
use method::Method;
use reflection::Reflection;
pub(super) use request::{Given, request};

/// Who answers calls: the models of this process, or those that it passes calls on to.
pub(crate) trait Answering: fmt::Debug + Send + Sync + 'static {
    /// Returns where messages are decompressed.
    fn aside(&self) -> &Aside;

    /// Returns what answers share until they are taken.
    fn answers(&self) -> &Budget;

    /// Says whether requests can be answered.
    fn ready(&self) -> bool;

    /// Says whether a model answers, or what of it was chosen; fails where nobody knows it.
    fn model_ready(&self, name: &str, choice: &Choice) -> Result<bool, Failure>;

    /// Answers a request for predictions.
    fn infer(&self, request: Request<'_>, body: Body) -> impl Future<Output = Result<Told, Refusal>> + Send;

    /// Answers what is asked of a model besides.
    fn describe(
        &self,
        what: Description,
        request: Request<'_>,
        body: Body,
    ) -> impl Future<Output = Result<Told, Refusal>> + Send;

    /// Lists the versions that there are, or those that are ready.
    fn index(
        &self,
        place: &Arc<Place>,
        only_ready: bool,
    ) -> impl Future<Output = Result<Response, Failure>> + Send;
}

/// What a model says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Description {
    Metadata,
    Config,
    Statistics,
}

/// What a call is answered, and the status that HTTP has for that.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) response: Response,
    pub(crate) code: StatusCode,
}

impl From<Response> for Told {
    fn from(response: Response) -> Self {
        Self {
            response,
            code: StatusCode::OK,
        }
    }
}

/// Why a call gets no answer, and of whom it was asked where that is known.
#[derive(Debug)]
pub(crate) struct Refusal {
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

/// What takes calls, whoever answers them.
#[derive(Debug)]
pub(crate) struct Door<A> {
    answering: Arc<A>,
    frame: Frame,
    meters: [RouteMeters; Method::COUNT],
    reflection: Reflection,
}

impl<A: Answering> Answers for Door<A> {
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
            Ok(Told { response, code }) => Answered {
                response,
                code,
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

impl<A: Answering> Calls for Door<A> {
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

impl<A: Answering> Door<A> {
    /// Opens a second door to what answers at one whose frame is `beside`.
    pub(crate) fn new(answering: &Arc<A>, beside: &Frame, opening: Opening<'_>) -> Self {
        let Opening {
            access,
            limits,
            metrics,
        } = opening;
        let meters = metrics.listener(ListenerName::Grpc);
        Self {
            frame: Frame::new(limits, access, meters).sharing_with(beside),
            meters: Method::meters(metrics),
            reflection: Reflection::new(),
            answering: answering.clone(),
        }
    }

    async fn dispatch(
        &self,
        request: Request<'_>,
        method: Method,
        body: impl Future<Output = Result<Body, Failure>>,
    ) -> Result<Told, Refusal> {
        let Request { place, headers, .. } = request;
        if let Some(answer) = self.frame.admit(request, method.demands()).await? {
            return Ok(answer.into());
        }
        frames::check(headers)?;
        let answering = &*self.answering;
        let describe = async |what, body| answering.describe(what, request, body).await;
        match method {
            Method::ModelInfer => answering.infer(request, body.await?).await,
            Method::ServerLive => self.said(place, &describe::live()).await,
            Method::ServerReady => self.said(place, &describe::ready(answering)).await,
            Method::ServerMetadata => self.said(place, &describe::server()).await,
            Method::ModelReady => {
                let asked: oip::ModelReadyRequest = self.read(headers, body).await?;
                self.said(place, &describe::model_ready(answering, &asked, headers)?)
                    .await
            }
            Method::ModelMetadata => describe(Description::Metadata, body.await?).await,
            Method::ModelConfig => describe(Description::Config, body.await?).await,
            Method::ModelStatistics => describe(Description::Statistics, body.await?).await,
            Method::RepositoryIndex => {
                let asked: oip::RepositoryIndexRequest = self.read(headers, body).await?;
                Ok(answering.index(place, asked.ready).await?.into())
            }
            Method::RepositoryModelLoad | Method::RepositoryModelUnload => Err(refusals::by_commit().into()),
            Method::HealthCheck => {
                let asked: health::HealthCheckRequest = self.read(headers, body).await?;
                self.said(place, &describe::health(answering, &asked)?).await
            }
            Method::HealthWatch | Method::ReflectionV1 | Method::ReflectionV1Alpha | Method::Unknown => {
                Err(status::no_such_method().into())
            }
        }
    }

    /// Answers with a message, which counts until the client has taken it.
    async fn said(&self, place: &Arc<Place>, message: &impl Message) -> Result<Told, Refusal> {
        let said = reply::counted(frames::said(message), self.answering.answers(), place);
        Ok(said.await?.into())
    }

    /// Reads a call's message.
    async fn read<M: Message + Default>(
        &self,
        headers: &HeaderMap,
        body: impl Future<Output = Result<Body, Failure>>,
    ) -> Result<M, Failure> {
        frames::read(self.answering.aside(), headers, body.await?).await
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
