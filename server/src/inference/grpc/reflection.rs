//! What can be called, for those that ask (<https://github.com/grpc/grpc/blob/master/doc/server-reflection.md>): grpcurl and
//! its kin need no file of the protocol.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, Stream};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::time::Instant;
use tonic::body::Body as TonicBody;
use tonic_reflection::server::Builder;
use tower_service::Service;

use super::messages::DESCRIPTORS;
use super::method::Method;
use super::{Answering, Door, status};
use crate::http::place::{Place, ReceiveError, Receiving};
use crate::http::reply::Failure;
use crate::http::request_id;

/// How long somebody who asks may be silent.
const SILENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether the listener ends meanwhile.
const LOOK: Duration = Duration::from_millis(250);
/// How much may be asked in one call.
const ASKED_BYTES_MAX: usize = 1 << 20;

type Asked = hyper::Request<TonicBody>;
type Opened = BoxFuture<'static, hyper::Response<TonicBody>>;

/// Both editions of the service.
pub(super) struct Reflection {
    v1: Box<dyn Fn(Asked) -> Opened + Send + Sync>,
    v1alpha: Box<dyn Fn(Asked) -> Opened + Send + Sync>,
}

impl fmt::Debug for Reflection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reflection")
    }
}

impl Reflection {
    pub(super) fn new() -> Self {
        let known = || Builder::configure().register_encoded_file_descriptor_set(DESCRIPTORS);
        let well_formed = "invariant: the descriptors are made of files that compile";
        Self {
            v1: opening(known().build_v1().expect(well_formed)),
            v1alpha: opening(known().build_v1alpha().expect(well_formed)),
        }
    }
}

/// Returns what opens a call of a service.
fn opening<S>(service: S) -> Box<dyn Fn(Asked) -> Opened + Send + Sync>
where
    S: Service<Asked, Response = hyper::Response<TonicBody>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    Box::new(move |asked| {
        // It is always ready.
        let opened = service.clone().call(asked);
        Box::pin(async move {
            match opened.await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        })
    })
}

impl<A: Answering> Door<A> {
    /// Opens a call that asks what can be called.
    pub(super) async fn reflect(
        &self,
        place: &Arc<Place>,
        call: hyper::Request<Receiving>,
        refused: Option<&Failure>,
    ) -> hyper::Response<TonicBody> {
        let method = Method::of(call.uri().path());
        let meters = &self.meters[method as usize];
        let (head, body) = call.into_parts();
        let (id, opened) = self
            .frame
            .open(place, &head, refused, method.demands(), meters)
            .await;
        let open = match method {
            Method::ReflectionV1Alpha => &self.reflection.v1alpha,
            _ => &self.reflection.v1,
        };
        let mut response = match opened {
            Ok(()) => {
                let asked = StreamBody::new(messages(body, place.clone()));
                open(hyper::Request::from_parts(head, TonicBody::new(asked))).await
            }
            Err(failure) => status::status(&failure).into_http(),
        };
        response.headers_mut().insert(request_id::HEADER, id);
        response
    }
}

/// Returns what is asked, until it is too much, nothing comes for long, or the listener ends.
fn messages(
    body: Receiving,
    place: Arc<Place>,
) -> impl Stream<Item = Result<Frame<Bytes>, ReceiveError>> + Send + 'static {
    stream::unfold((body, place, 0), async |(mut body, place, before)| {
        let until = Instant::now() + SILENCE;
        loop {
            if place.is_draining() || place.is_leaving() || before > ASKED_BYTES_MAX {
                return None;
            }
            match tokio::time::timeout(LOOK, body.frame()).await {
                Ok(frame) => {
                    let frame = frame?;
                    let came = frame
                        .as_ref()
                        .ok()
                        .and_then(Frame::data_ref)
                        .map_or(0, Bytes::len);
                    return Some((frame, (body, place, before + came)));
                }
                Err(_silent) if Instant::now() >= until => return None,
                Err(_silent) => {}
            }
        }
    })
}
