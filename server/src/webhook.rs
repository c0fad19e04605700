//! The listener for webhooks: who pushed tells that there may be something to fetch.
//!
//! ```text
//! rate ── body, bounded ── signature ── has it come before? ── nudge ── 202
//! ```
//!
//! A call is a hint. What it says is not believed and not even read: the ref is resolved anew by the fetch that it asks for,
//! and polling goes on without it. So all that matters is who sent it, and that nobody sends it again in his place.

mod judge;
mod rate;
mod secrets;
mod seen;
mod sign;
mod token;

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use hyper::StatusCode;
use hyper::header::HeaderMap;
use serde_json::json;
use warp::reply::Response;

use crate::http::body::Body;
use crate::http::frame::{Answered, Answers, Frame, Request, routes};
use crate::http::gate::{Audience, Demands, Methods};
use crate::http::http1::Http1;
use crate::http::reply::{self, Failure};
use crate::http::{self, Limits, Listener, Sockets};
use crate::keys::Access;
use crate::metrics::{ListenerName, Metrics, Page, RouteMeters, WebhookMeters};
use judge::{Call, Known, Verdict, judge};
use rate::Rate;
pub use secrets::{SecretsError, WebhookSecrets};
use seen::Seen;
pub use sign::sign;
pub use token::{Issued, Issuer, IssuerKeys};

/// Where calls are taken.
const PATH: &str = "/webhook";

/// The largest body. GitHub sends at most 25 MiB; a call that is larger is not missed, for polling goes on.
const BODY_BYTES_MAX: usize = 8 << 20;
/// What all bodies together may hold.
const BODIES_BYTES_MAX: usize = 16 << 20;

/// What takes calls.
#[derive(Clone)]
pub struct Webhook {
    /// What signatures are made with; none are taken where there is nothing.
    pub secrets: Option<WebhookSecrets>,
    /// Whose tokens are taken; nobody's where there is nothing.
    pub issued: Option<Arc<Issued>>,
    /// Asks for a fetch.
    pub nudge: Arc<dyn Fn() + Send + Sync>,
    /// Where calls are counted.
    pub metrics: Metrics,
    /// What it takes from strangers; the sizes of bodies are its own.
    pub limits: Limits,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").finish_non_exhaustive()
    }
}

/// Answers calls on `listener` until `shutdown`, then drains as [`serve_inference`](crate::serve_inference) does.
pub async fn serve_webhook(
    webhook: Webhook,
    listener: impl Into<Sockets>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let Webhook {
        secrets,
        issued,
        nudge,
        metrics,
        limits,
    } = webhook;
    let limits = Limits {
        // How often it may be called is its own: a forge has few addresses.
        peer_requests_per_second: None,
        connections: limits.connections.min(64),
        body_bytes: BODY_BYTES_MAX,
        bodies_bytes: BODIES_BYTES_MAX,
        ..limits
    };
    // Who sends a call shows it by the signature; a forge knows the listener by whatever name.
    let access = Access {
        open_names: true,
        ..Access::default()
    };
    let how = Listener::new(ListenerName::Webhook, &limits, &access, &metrics);
    let server = Arc::new(Server {
        secrets,
        issued,
        nudge,
        frame: Frame::new(&limits, &access, metrics.listener(ListenerName::Webhook)),
        memory: Mutex::new(Memory {
            rate: Rate::new(Instant::now()),
            seen: Seen::default(),
        }),
        meters: metrics.webhook(),
        routes: [PATH, "unknown"].map(|route| metrics.route(Page::ControlPlane, "POST", route)),
    });
    let of_connection = |place| Http1(routes(server.clone(), place));
    Box::pin(http::serve(
        of_connection,
        listener.into(),
        how,
        pin!(shutdown),
        || (),
    ))
    .await;
}

/// What every call shares.
struct Server {
    secrets: Option<WebhookSecrets>,
    issued: Option<Arc<Issued>>,
    nudge: Arc<dyn Fn() + Send + Sync>,
    frame: Frame,
    memory: Mutex<Memory>,
    meters: WebhookMeters,
    routes: [RouteMeters; 2],
}

struct Memory {
    rate: Rate,
    seen: Seen,
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
        let answer = self.called(request, body).await;
        Answered::of(answer, &self.routes[usize::from(request.path != PATH)])
    }
}

impl Server {
    async fn called(
        &self,
        request: Request<'_>,
        body: impl Future<Output = Result<Body, Failure>>,
    ) -> Result<Response, Failure> {
        let methods = match request.path {
            PATH => Methods::Call,
            _ => Methods::None,
        };
        let demands = Demands {
            // Who sends a call shows it by the signature.
            audience: Audience::Keys,
            methods,
        };
        if let Some(answer) = self.frame.admit(request, demands).await? {
            return Ok(answer);
        }
        if request.path != PATH {
            return Err(Failure::not_found(format!("calls are taken at {PATH}")));
        }
        let verdict = if self.memory().rate.admits(Instant::now()) {
            match body.await {
                Ok(body) => self.judge(request.headers, &body),
                Err(failure) if failure.status == StatusCode::PAYLOAD_TOO_LARGE => Verdict::TooLarge,
                Err(failure) => {
                    self.meters.called(Verdict::Broken.word());
                    return Err(failure);
                }
            }
        } else {
            Verdict::Limited
        };
        self.meters.called(verdict.word());
        if verdict == Verdict::Accepted {
            (self.nudge)();
        }
        told(verdict)
    }

    fn judge(&self, headers: &HeaderMap, body: &[u8]) -> Verdict {
        let secrets = match self.secrets.as_ref().map_or(Ok(Vec::new()), WebhookSecrets::read) {
            Ok(secrets) => secrets,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "no call can be judged");
                return Verdict::Unavailable;
            }
        };
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = since.unwrap_or(Duration::ZERO);
        let call = Call::of(headers, body);
        let known = Known {
            secrets: &secrets,
            issued: self.issued.as_deref(),
        };
        judge(&call, known, now, &mut self.memory().seen)
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn told(verdict: Verdict) -> Result<Response, Failure> {
    let status = verdict.status();
    if status.is_success() {
        return Ok(reply::json(status, &json!({ "result": verdict.word() })));
    }
    Err(Failure::new(status, verdict.why().to_owned()))
}

#[cfg(test)]
mod tests;
