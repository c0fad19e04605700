//! The doors of a listener of predictions: HTTP, and gRPC where it is spoken. Both drain together.

use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt as _;

use super::grpc::{Answering, Door};
use crate::http::http2::Http2;
use crate::http::place::Place;
use crate::http::{self, Limits, Listener, Protocol, Shutdown, Sockets, Tls};
use crate::keys::Access;
use crate::metrics::{ListenerName, Metrics};

/// Of how many connections gRPC has one: each has many calls, and may hold more that nobody reads yet.
const CONNECTIONS_OF_CALLS: usize = 4;

/// Where requests for predictions come in.
#[derive(Debug)]
pub struct Doors {
    /// HTTP/1: the Open Inference Protocol, and what else there is.
    pub http: Sockets,
    /// gRPC, where it is spoken: the Open Inference Protocol.
    pub grpc: Option<Sockets>,
}

impl<T: Into<Sockets>> From<T> for Doors {
    fn from(http: T) -> Self {
        Self {
            http: http.into(),
            grpc: None,
        }
    }
}

impl Doors {
    /// Lets connections be by TLS, and no other way.
    #[must_use]
    pub fn over(self, tls: Option<&Tls>) -> Self {
        Self {
            http: self.http.over(tls.cloned()),
            grpc: self.grpc.map(|grpc| grpc.over(tls.map(Tls::of_http2))),
        }
    }
}

/// By what the doors are opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening<'a> {
    pub(crate) access: &'a Access,
    pub(crate) limits: &'a Limits,
    pub(crate) metrics: &'a Metrics,
}

impl Opening<'_> {
    /// Answers at both doors until `shutdown`, then drains them. `http` answers a connection, `grpc` makes what answers calls,
    /// and `draining` runs as soon as `shutdown` has come.
    pub(crate) async fn serve<P: Protocol, A: Answering>(
        self,
        doors: Doors,
        http: impl Fn(Arc<Place>) -> P,
        grpc: impl FnOnce() -> Door<A>,
        shutdown: Shutdown<'_>,
        draining: impl FnOnce(),
    ) {
        let Self {
            access,
            limits,
            metrics,
        } = self;
        let _watching = access.keys.watched();
        let shutdown = shutdown.shared();
        let how = Listener::new(ListenerName::Inference, limits, access, metrics);
        let stopped = pin!(shutdown.clone());
        let by_http = http::serve(http, doors.http, how, stopped, draining);
        let by_grpc = async {
            let Some(sockets) = doors.grpc else {
                return;
            };
            let door = Arc::new(grpc());
            let calls = |_place| Http2(door.clone());
            let limits = Limits {
                connections: limits.connections.div_ceil(CONNECTIONS_OF_CALLS),
                ..limits.clone()
            };
            let how = Listener::new(ListenerName::Grpc, &limits, access, metrics);
            http::serve(calls, sockets, how, pin!(shutdown.clone()), || {}).await;
        };
        tokio::join!(by_http, by_grpc);
    }
}
