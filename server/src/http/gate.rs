//! What a request has to pass before it is looked at, whoever answers.
//!
//! ```text
//! whom it asks ── is the place kept for probes? ── how often ── does a browser ask for a page? ── key ── method
//! ```
//!
//! A key that is known passes at once, whoever else shares the address; only answers to unknown ones are slowed.

use std::num::NonZero;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::header::{ALLOW, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use warp::reply::Response;

use super::frame::Request;
use super::rates::Rates;
use super::reply::Failure;
use super::{Limits, clock};
use crate::keys::{Access, Refused};
use crate::metrics::ListenerMeters;

/// For how many seconds' worth an address may ask at once.
const BURST_SECONDS: u32 = 2;
/// How many unknown keys of an address are answered at once; then one a second.
const WRONG_KEYS: u32 = 5;
const WRONG_KEY_INTERVAL: Duration = Duration::from_secs(1);
/// How long an answer to an unknown key is kept back; beyond it is told to come back later.
const WRONG_KEY_PATIENCE: Duration = Duration::from_secs(5);

/// Who may ask for a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Everybody, also where a place is kept for probes.
    Probes,
    /// Whoever has a key, unless metrics are shown to all; also where a place is kept for probes.
    Scrapers,
    /// Whoever has a key.
    Keys,
    /// Everybody.
    Public,
}

/// How a path may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Methods {
    /// It is read.
    Read,
    /// It is called.
    Call,
    /// There is nothing there, whatever the method.
    None,
}

impl Methods {
    /// Returns every method, as the header `Allow` lists them.
    pub(crate) const fn allow(self) -> &'static str {
        match self {
            Self::Read => "GET, HEAD, OPTIONS",
            Self::Call => "POST, OPTIONS",
            Self::None => "",
        }
    }

    fn has(self, method: &Method) -> bool {
        let allowed: &[Method] = match self {
            Self::Read => &[Method::GET, Method::HEAD, Method::OPTIONS],
            Self::Call => &[Method::POST, Method::OPTIONS],
            Self::None => return true,
        };
        allowed.contains(method)
    }
}

/// What a path asks of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Demands {
    pub(crate) audience: Audience,
    pub(crate) methods: Methods,
}

/// The gate of one listener.
#[derive(Debug)]
pub(crate) struct Gate {
    access: Access,
    requests: Option<Mutex<Rates>>,
    wrong_keys: Mutex<Rates>,
    meters: ListenerMeters,
}

impl Gate {
    /// Says whether those that are no probes need a key.
    pub(crate) fn asks_for_keys(&self) -> bool {
        self.access.keys.configured()
    }

    pub(crate) fn new(limits: &Limits, access: &Access, meters: ListenerMeters) -> Self {
        let requests = |per_second: NonZero<u32>| {
            let interval = Duration::from_secs(1) / per_second.get();
            Mutex::new(Rates::new(
                interval,
                per_second.get().saturating_mul(BURST_SECONDS),
            ))
        };
        Self {
            access: access.clone(),
            requests: limits.peer_requests_per_second.map(requests),
            wrong_keys: Mutex::new(Rates::new(WRONG_KEY_INTERVAL, WRONG_KEYS)),
            meters,
        }
    }

    /// Lets a request pass, refuses it, or answers it where it only asks for the methods.
    pub(crate) async fn admit(
        &self,
        request: Request<'_>,
        demands: Demands,
    ) -> Result<Option<Response>, Failure> {
        let Demands { audience, methods } = demands;
        if let Some(failure) = request.refused {
            return Err(failure.clone());
        }
        if request.place.reserved && matches!(audience, Audience::Keys | Audience::Public) {
            return Err(Failure::only_probes());
        }
        if audience != Audience::Probes {
            self.in_time(request)?;
        }
        if let Some(told) = self
            .access
            .origins
            .preflight(request.method, request.headers, methods)
        {
            return Ok(Some(told));
        }
        let open = match audience {
            Audience::Probes | Audience::Public => true,
            Audience::Scrapers => self.access.open_metrics,
            Audience::Keys => false,
        };
        if !open && let Err(refused) = self.access.keys.admit(request.headers).await {
            return Err(self.refuse(request, refused).await);
        }
        if !methods.has(request.method) {
            return Err(Failure::method_not_allowed(methods.allow()));
        }
        let asks_for_methods = methods != Methods::None && request.method == Method::OPTIONS;
        Ok(asks_for_methods.then(|| {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NO_CONTENT;
            let allow = HeaderValue::from_static(methods.allow());
            response.headers_mut().insert(ALLOW, allow);
            response
        }))
    }

    /// Lets the page that called read the answer, where it may.
    pub(crate) fn show(&self, method: &Method, headers: &HeaderMap, response: &mut Response) {
        self.access.origins.show(method, headers, response);
    }

    /// Refuses an address that asks more often than it may.
    fn in_time(&self, request: Request<'_>) -> Result<(), Failure> {
        let Some(rates) = &self.requests else {
            return Ok(());
        };
        let peer = request.place.load.peer;
        match lock(rates).take(peer, clock::now(), Duration::ZERO) {
            Ok(_at_once) => Ok(()),
            Err(wait) => {
                self.meters.refused_request("rate");
                Err(Failure::too_often(wait))
            }
        }
    }

    /// Returns why no key lets it pass; of an unknown one later and later.
    async fn refuse(&self, request: Request<'_>, refused: Refused) -> Failure {
        self.meters.refused_request(refused.word());
        if refused == Refused::Unknown {
            let peer = request.place.load.peer;
            let turn = lock(&self.wrong_keys).take(peer, clock::now(), WRONG_KEY_PATIENCE);
            match turn {
                Ok(wait) if wait.is_zero() => {}
                Ok(wait) => tokio::time::sleep(wait).await,
                Err(wait) => return Failure::too_many_wrong_keys(wait),
            }
        }
        refused.into()
    }
}

fn lock(rates: &Mutex<Rates>) -> MutexGuard<'_, Rates> {
    rates.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
