//! Runs a request where it disturbs nobody: small ones at once, large ones on a thread of their own with turns, and those of a
//! model that another process evaluates on that model's own thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use warp::reply::Response;

use super::Server;
use super::answer::{self, Answer, Failed};
use super::envelope::{Envelope, Form, JSON_LENGTH};
use super::prepare::{Bounds, Prepared, Work, prepare};
use crate::http::body::Body;
use crate::http::budget::{self, Counted, Held};
use crate::http::coding::{COMPRESSED_BYTES_MIN, Coding};
use crate::http::place::Place;
use crate::http::reply::Failure;
use crate::metrics::Outcome;
use crate::runtime::{Choice, Loaded, Model};

/// What an answer with tensors after its JSON is.
const TENSORS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// The largest body that is parsed on an async worker: with evaluation and answer, half a millisecond.
const INLINE_BODY_BYTES: usize = 64 << 10;
/// The longest estimated evaluation on an async worker, with writing the answer.
const INLINE_EVALUATION: Duration = Duration::from_micros(300);
/// What a kilobyte of an answer takes to write, by what it has at most.
const WRITING_A_KILOBYTE: Duration = Duration::from_nanos(2_500);
/// What it takes to compress one.
const COMPRESSING_A_KILOBYTE: Duration = Duration::from_micros(20);

/// What a slot made of a request.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) loaded: Arc<Loaded>,
    /// The answer and what it holds, or why there is none.
    pub(super) result: Result<(Answer, Option<Held>), Failure>,
}

impl Served {
    /// Returns it as HTTP says it, with the headers that say who answered.
    pub(super) fn response(self) -> Response {
        match self.result {
            Ok((answer, held)) => {
                let mut response = respond(answer, &self.loaded);
                if let Some(held) = held {
                    response.extensions_mut().insert(Counted::from(held));
                }
                response
            }
            Err(failure) => named(failure.response(), &self.loaded),
        }
    }
}

/// Answers a request whose body is complete. Fails only while it has no slot.
pub(super) async fn run(
    server: &Server,
    place: &Arc<Place>,
    model: &Arc<Model>,
    choice: Choice,
    (form, envelope): (Form, Envelope),
    headers: &HeaderMap,
    body: Body,
) -> Result<Served, Failure> {
    let since = Instant::now();
    let body = match envelope.coding {
        None => body,
        Some(coding) => Box::pin(server.aside.inflate(coding, body, 0)).await?,
    };
    let bounds = Bounds::of(&server.limits);
    let form = (form, envelope.layout);
    let (prepared, held) = if body.len() <= INLINE_BODY_BYTES {
        let prepared = prepare(model, &choice, form, &body, bounds, since)?;
        (prepared, body.into_held())
    } else {
        let model = model.clone();
        let prepared = server.aside.run(move || {
            let prepared = prepare(&model, &choice, form, &body, bounds, since)?;
            Ok::<_, Failure>((prepared, body.into_held()))
        });
        Box::pin(prepared).await??
    };
    let Prepared {
        loaded,
        attempt,
        work,
    } = prepared;
    // From here on dropping this future drops `attempt`, which counts the request as cancelled.
    let result = match work {
        Err(failure) => Err((Prepared::REFUSED, failure)),
        Ok(work) => evaluate(server, place, &loaded, work, headers).await,
    };
    // Rows take some times what the body took: they count for as long.
    drop(held);
    let result = match result {
        Ok((answer, held)) => {
            attempt.finish(answer.outcome, 200);
            Ok((answer, held))
        }
        Err((outcome, failure)) => {
            attempt.finish(outcome, failure.status.as_u16());
            Err(failure)
        }
    };
    Ok(Served { loaded, result })
}

/// Makes an answer's response, with the headers that say who answered.
fn respond(answer: Answer, loaded: &Loaded) -> Response {
    let Answer {
        bytes,
        json_bytes,
        coding,
        outcome: _,
    } = answer;
    let mut response = Response::new(bytes.into());
    let headers = response.headers_mut();
    // Copied whole: to put them in one by one takes three times as long.
    headers.clone_from(&loaded.headers);
    if let Some(json_bytes) = json_bytes {
        headers.insert(CONTENT_TYPE, TENSORS);
        headers.insert(JSON_LENGTH, json_bytes.into());
    }
    if let Some(coding) = coding {
        headers.insert(CONTENT_ENCODING, coding.header());
    }
    response
}

/// Evaluates rows that fit; returns the answer and what it holds.
async fn evaluate(
    server: &Server,
    place: &Arc<Place>,
    loaded: &Arc<Loaded>,
    work: Work,
    headers: &HeaderMap,
) -> Result<(Answer, Option<Held>), (Outcome, Failure)> {
    // While it is compressed it is there twice; where that is more than it may have, it goes as it is.
    let twice = work.answer_bytes_max.saturating_mul(2);
    let may_be_coded = work.answer_bytes_max >= COMPRESSED_BYTES_MIN && twice <= server.limits.answer_bytes;
    let takes = if may_be_coded && !work.reply.is_message() {
        Coding::of_answer(headers)
    } else {
        None
    };
    let room_bytes = if takes.is_some() {
        twice
    } else {
        work.answer_bytes_max
    };
    let kilobytes = u32::try_from(work.answer_bytes_max >> 10).unwrap_or(u32::MAX);
    let a_kilobyte = match takes {
        None => WRITING_A_KILOBYTE,
        Some(_) => WRITING_A_KILOBYTE + COMPRESSING_A_KILOBYTE,
    };
    let writing = a_kilobyte.saturating_mul(kilobytes);
    let is_short = loaded.slot.lane.is_none()
        && loaded.slot.cost(work.count).saturating_add(writing) <= INLINE_EVALUATION;
    let free = budget::free_bytes(place);
    if is_short && room_bytes <= free {
        let answer = answer::evaluate(loaded, work, takes).map_err(Failed::into_parts)?;
        return Ok((answer, None));
    }
    // Boxed: what most requests need is small.
    let large = Large {
        work,
        takes,
        room_bytes,
        is_short,
    };
    Box::pin(large.evaluate(server, place, loaded)).await
}

/// Rows that are many, or whose answer is large.
struct Large {
    work: Work,
    takes: Option<Coding>,
    /// What the answer may take, compressed and as it is.
    room_bytes: usize,
    /// Whether it disturbs nobody.
    is_short: bool,
}

impl Large {
    /// Evaluates them once there is room for the answer.
    async fn evaluate(
        self,
        server: &Server,
        place: &Arc<Place>,
        loaded: &Arc<Loaded>,
    ) -> Result<(Answer, Option<Held>), (Outcome, Failure)> {
        let Self {
            work,
            takes,
            room_bytes,
            is_short,
        } = self;
        let error = |failure| (Outcome::Error, failure);
        let mut held = None;
        if room_bytes > budget::free_bytes(place) {
            let mut room = server.answers.hold(place.clone());
            room.grow_to(room_bytes)
                .await
                .map_err(|_full| error(Failure::answers_full()))?;
            held = Some(room);
        }
        let answer = if is_short {
            answer::evaluate(loaded, work, takes)
        } else {
            let slot = loaded.clone();
            let evaluating = move || answer::evaluate(&slot, work, takes);
            let evaluated = match &loaded.slot.lane {
                Some(lane) => lane.run(server.limits.queue_timeout, evaluating).await,
                None => server.aside.run(evaluating).await,
            };
            evaluated.map_err(error)?
        };
        let answer = answer.map_err(Failed::into_parts)?;
        if let Some(held) = &mut held {
            held.shrink_to(answer.bytes.len());
        }
        Ok((answer, held))
    }
}

/// Adds the headers that say who answered to an answer of JSON.
pub(super) fn named(mut response: Response, loaded: &Loaded) -> Response {
    response.headers_mut().extend(loaded.headers.clone());
    response
}
