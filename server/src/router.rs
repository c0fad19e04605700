//! A router: the inference listener of one model whose versions are served elsewhere, by two tracks.
//!
//! ```text
//! route ── key ── envelope ── body ── admission ── track ── endpoint ── asked ─┬─ answer
//!                                          └ split.rs    └─────another one◄────────┘
//! ```
//!
//! It is told whom there is to ask ([`Router::follow`]) and finds out nothing by itself but who takes no connection. A request
//! and its answer are held whole, each within what all of them may take, so that a request can be asked again of another
//! endpoint. It looks into no body but for what says where it goes, in a message of gRPC: whether one can be read is for whoever
//! evaluates it to say. What comes by HTTP is asked by HTTP, and by gRPC what comes so; the split is one.

mod calls;
mod course;
mod describe;
mod forward;
mod headers;
mod listener;
mod pick;
mod table;
mod upstream;

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::future::BoxFuture;
use planner::backends::Backends;

use crate::http::frame::routes;
use crate::http::http1::Http1;
use crate::http::reply::Failure;
use crate::http::{Limits, Shutdown};
use crate::inference::grpc::Door;
use crate::inference::{Doors, Opening};
use crate::keys::Access;
use crate::metrics::{Metrics, RouterMeters};
use listener::Server;
use pick::Dice;
pub(crate) use table::Table;
use upstream::By;

/// What a router's listener is told besides whom to ask.
#[derive(Debug, Clone)]
pub struct RouterOptions {
    /// Who may ask; health is open to everybody.
    pub access: Access,
    /// What it takes from strangers. Rows are bounded by whoever evaluates them.
    pub limits: Limits,
    /// How long an endpoint may take until its answer begins; then 504.
    pub answer_timeout: Duration,
}

/// What is routed; cheap to clone.
#[derive(Debug, Clone)]
pub struct Router(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Nothing before the first time that it was told.
    table: ArcSwapOption<Table>,
    /// Why what it was told last is not in force.
    refused: Mutex<Option<String>>,
    /// How many requests the split has routed.
    routed: AtomicU64,
    draining: AtomicBool,
    dice: Dice,
    metrics: Metrics,
    meters: RouterMeters,
}

impl Router {
    /// Returns a router that knows nobody yet, and counts in `metrics`. Which of several endpoints is asked follows from
    /// `seed`.
    pub fn new(metrics: Metrics, seed: u64) -> Self {
        Self(Arc::new(Inner {
            table: ArcSwapOption::empty(),
            refused: Mutex::default(),
            routed: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            dice: Dice::new(seed),
            meters: metrics.router(),
            metrics,
        }))
    }

    /// Goes by these from the next request on; requests under way keep whom they ask.
    pub fn follow(&self, backends: &Backends) {
        let old = self.0.table.load();
        let table = Table::new(backends, old.as_deref());
        self.0.meters.told(&table);
        self.0.table.store(Some(Arc::new(table)));
        *self.refused() = None;
    }

    /// Notes that what it was told cannot be gone by, and why; what it was told before stays in force.
    pub fn refuse(&self, why: String) {
        self.0.meters.unreadable();
        *self.refused() = Some(why);
    }

    /// Says whether requests can be answered: somebody on one of the tracks can.
    pub fn ready(&self) -> bool {
        self.ready_by(By::Http)
    }

    fn ready_by(&self, by: By) -> bool {
        let is_draining = self.0.draining.load(Ordering::Acquire);
        !is_draining && self.0.table.load().as_ref().is_some_and(|table| table.any(by))
    }

    fn refused(&self) -> MutexGuard<'_, Option<String>> {
        self.0.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drain(&self) {
        self.0.draining.store(true, Ordering::Release);
    }

    fn table(&self) -> Result<Arc<Table>, Failure> {
        self.0
            .table
            .load_full()
            .ok_or_else(|| Failure::unavailable("it is not known yet whom to ask, try again".to_owned()))
    }
}

/// Answers requests at `doors` until `shutdown`, then drains as [`serve_inference`](crate::serve_inference) does.
///
/// Both doors share the memory and the turns of the limits, and one split.
pub async fn serve_router(
    router: Router,
    doors: impl Into<Doors>,
    options: RouterOptions,
    shutdown: impl Future<Output = ()> + Send,
) {
    answer(router, doors.into(), options, pin!(shutdown)).await;
}

/// Boxed for the same reason as that of inference.
fn answer(router: Router, doors: Doors, options: RouterOptions, shutdown: Shutdown<'_>) -> BoxFuture<'_, ()> {
    Box::pin(async move {
        let RouterOptions { access, limits, .. } = &options;
        let server = Arc::new(Server::new(router.clone(), options.clone()));
        let opening = Opening {
            access,
            limits,
            metrics: &router.0.metrics,
        };
        let http = |place| Http1(routes(server.clone(), place));
        let door = || Door::new(&server, &server.frame, opening);
        opening
            .serve(doors, http, door, shutdown, || router.drain())
            .await;
    })
}

#[cfg(test)]
mod tests;
