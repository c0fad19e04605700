//! Runs a request where it disturbs nobody: small ones at once, large ones on a thread of their own with turns.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::header::HeaderName;
use warp::reply::Response;

use super::Server;
use super::answer::{self, Failed};
use super::prepare::{Bounds, Form, Prepared, TRACK_HEADER, Work, prepare};
use crate::http::body::Body;
use crate::http::budget::{Counted, FREE_BYTES, Held};
use crate::http::place::Place;
use crate::http::reply::{self, Failure};
use crate::metrics::Outcome;
use crate::runtime::{Choice, Loaded, Model};

const VERSION_HEADER: HeaderName = HeaderName::from_static("aurora-model-version");
const DIGEST_HEADER: HeaderName = HeaderName::from_static("aurora-model-digest");
const REVISION_HEADER: HeaderName = HeaderName::from_static("aurora-revision");

/// The largest body that is parsed on an async worker: with evaluation and answer, half a millisecond.
const INLINE_BODY_BYTES: usize = 64 << 10;
/// The longest estimated evaluation on an async worker, with writing the answer.
const INLINE_EVALUATION: Duration = Duration::from_micros(300);
/// What a kilobyte of an answer takes to write, by what it has at most.
const WRITING_A_KILOBYTE: Duration = Duration::from_nanos(2_500);

/// Answers a request whose body is complete. Fails only while it has no slot.
pub(super) async fn run(
    server: &Server,
    place: &Arc<Place>,
    model: &Arc<Model>,
    choice: Choice,
    form: Form,
    body: Body,
) -> Result<Response, Failure> {
    let since = Instant::now();
    let bounds = Bounds::of(&server.limits);
    let (prepared, held) = if body.len() <= INLINE_BODY_BYTES {
        let prepared = prepare(model, &choice, form, &body, bounds, since)?;
        (prepared, body.into_held())
    } else {
        let model = model.clone();
        server
            .aside(move || {
                let prepared = prepare(&model, &choice, form, &body, bounds, since)?;
                Ok::<_, Failure>((prepared, body.into_held()))
            })
            .await??
    };
    let Prepared {
        loaded,
        attempt,
        work,
    } = prepared;
    // From here on dropping this future drops `attempt`, which counts the request as cancelled.
    let result = match work {
        Err(failure) => Err((Prepared::REFUSED, failure)),
        Ok(work) => evaluate(server, place, &loaded, work).await,
    };
    // Rows take some times what the body took: they count for as long.
    drop(held);
    let response = match result {
        Ok((bytes, counted)) => {
            attempt.finish(Outcome::Ok, 200);
            let mut response = reply::json_bytes(StatusCode::OK, bytes);
            if let Some(counted) = counted {
                response.extensions_mut().insert(Counted::from(counted));
            }
            response
        }
        Err((outcome, failure)) => {
            attempt.finish(outcome, failure.status.as_u16());
            failure.response()
        }
    };
    Ok(named(response, &loaded))
}

/// Evaluates rows that fit, once there is room for the answer; returns its bytes and what they hold.
async fn evaluate(
    server: &Server,
    place: &Arc<Place>,
    loaded: &Arc<Loaded>,
    work: Work,
) -> Result<(Vec<u8>, Option<Held>), (Outcome, Failure)> {
    let error = |failure| (Outcome::Error, failure);
    let mut held = None;
    if work.answer_bytes_max > FREE_BYTES {
        let mut room = server.answers.hold(place.clone());
        room.grow_to(work.answer_bytes_max)
            .await
            .map_err(|_full| error(Failure::answers_full()))?;
        held = Some(room);
    }
    let kilobytes = u32::try_from(work.answer_bytes_max >> 10).unwrap_or(u32::MAX);
    let writing = WRITING_A_KILOBYTE.saturating_mul(kilobytes);
    let bytes = if loaded.slot.cost(work.count).saturating_add(writing) <= INLINE_EVALUATION {
        answer::evaluate(loaded, work)
    } else {
        let slot = loaded.clone();
        let evaluated = server.aside(move || answer::evaluate(&slot, work)).await;
        evaluated.map_err(error)?
    };
    let bytes = bytes.map_err(Failed::into_parts)?;
    if let Some(held) = &mut held {
        held.shrink_to(bytes.len());
    }
    Ok((bytes, held))
}

/// Adds the headers that say who answered.
pub(super) fn named(mut response: Response, loaded: &Loaded) -> Response {
    let headers = response.headers_mut();
    headers.insert(VERSION_HEADER, loaded.headers.version.clone());
    headers.insert(DIGEST_HEADER, loaded.headers.digest.clone());
    headers.insert(TRACK_HEADER, loaded.headers.track.clone());
    headers.insert(REVISION_HEADER, loaded.headers.revision.clone());
    response
}

impl Server {
    /// Runs `work` on a thread that may block, one per core at a time; 503 when its turn does not come in time.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let turn = tokio::time::timeout(self.limits.queue_timeout, self.turns.clone().acquire_owned())
            .await
            .map_err(|_elapsed| Failure::unavailable("too much to evaluate at once, try again".to_owned()))?
            .expect("invariant: the semaphore is never closed");
        tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        })
        .await
        .map_err(|_panicked| {
            Failure::internal("failed to evaluate the request: a fault of the server".to_owned())
        })
    }
}
