//! From a body to rows that a slot can evaluate: parse, choose the slot, check against its signature.

use std::sync::Arc;
use std::time::Instant;

use hyper::StatusCode;
use hyper::header::HeaderMap;
use planner::names::Track;
use registry::artifact::Inputs;

use super::answer::Size;
use super::envelope::{Form, JSON_LENGTH, Layout};
use super::grpc;
use super::infer;
use super::literal;
use super::predict::{self, InstancesRequest, Invocation, Plain, PlainRequest};
use super::protocol::{InferRequest, Written};
use crate::http::Limits;
use crate::http::reply::Failure;
use crate::metrics::{Attempt, Outcome};
use crate::runtime::{Choice, Loaded, Model, NoSlot, TRACK_HEADER};

/// A request that has its slot and fits it.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Who answers.
    pub(super) loaded: Arc<Loaded>,
    /// Its start is counted; its end is still to be.
    pub(super) attempt: Attempt,
    /// What to evaluate, or why it does not fit the signature.
    pub(super) work: Result<Work, Failure>,
}

/// What to evaluate, and how to answer.
#[derive(Debug)]
pub(super) struct Work {
    /// The rows, as the model takes them.
    pub(super) inputs: Inputs,
    /// How many rows; at least one.
    pub(super) count: usize,
    /// The form of the answer.
    pub(super) reply: Reply,
    /// What the answer takes at most.
    pub(super) answer_bytes_max: usize,
}

/// What one request may ask for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) rows: usize,
    pub(super) answer_bytes: usize,
}

impl Bounds {
    pub(super) fn of(limits: &Limits) -> Self {
        Self {
            rows: limits.rows,
            answer_bytes: limits.answer_bytes,
        }
    }

    /// Refuses more rows than a request may have, and rows whose features or answer would take too much.
    pub(super) fn check(self, rows: usize, width: usize, answer: Size) -> Result<(), Failure> {
        let too_large = |message| Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message));
        if rows > self.rows {
            let max = self.rows;
            return too_large(format!(
                "{rows} rows, more than the {max} that a request may have"
            ));
        }
        let a_row = answer.a_row.max(width.saturating_mul(size_of::<f64>()));
        let bytes = answer.frame.saturating_add(rows.saturating_mul(a_row));
        if bytes > self.answer_bytes {
            let fit = self.answer_bytes.saturating_sub(answer.frame) / a_row.max(1);
            let max = self.answer_bytes;
            return too_large(format!(
                "{rows} rows take up to {bytes} bytes, more than the {max} that an answer may have: send at most {fit} \
                 rows per request"
            ));
        }
        Ok(())
    }
}

/// The form of the answer.
#[derive(Debug)]
pub(super) enum Reply {
    /// The protocol's, with the request's id and the outputs that it asked for.
    Protocol {
        id: Option<String>,
        outputs: Wanted,
        written: Written,
    },
    /// `{"predictions": …}`, with the probabilities of classes or without.
    Plain { probabilities: bool },
}

impl Reply {
    /// Says whether it is a message of gRPC.
    pub(super) fn is_message(&self) -> bool {
        matches!(
            self,
            Self::Protocol {
                written: Written::Message { .. },
                ..
            }
        )
    }
}

/// Which outputs an answer carries, in this order.
pub(super) type Wanted = Vec<Output>;

/// An output that an answer carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Output {
    /// Its place among the model's outputs.
    pub(super) place: usize,
    /// Whether its elements come as bytes: what is no number may be among them.
    pub(super) is_binary: bool,
}

/// Reads which slot a request asks for, if any.
pub(crate) fn choice(version: Option<&str>, headers: &HeaderMap) -> Result<Choice, Failure> {
    let mut track = None;
    for value in headers.get_all(TRACK_HEADER) {
        let asked = value.to_str().ok().and_then(|text| text.parse::<Track>().ok());
        let asked = asked
            .ok_or_else(|| Failure::bad_request(format!("{TRACK_HEADER} is neither stable nor canary")))?;
        if track.replace(asked).is_some_and(|before| before != asked) {
            return Err(Failure::bad_request(format!("{TRACK_HEADER} is given twice")));
        }
    }
    Ok(Choice {
        version: version.map(str::to_owned),
        track,
    })
}

impl From<NoSlot> for Failure {
    fn from(reason: NoSlot) -> Self {
        let message = reason.to_string();
        match reason {
            NoSlot::Version(_) | NoSlot::Track(_) => Self::not_found(message),
            NoSlot::Contradiction { .. } => Self::bad_request(message),
            NoSlot::NotReady => Self::unavailable(message),
        }
    }
}

/// Parses a body, chooses its slot and checks it. Fails only while the request has no slot.
pub(super) fn prepare(
    model: &Model,
    choice: &Choice,
    (form, layout): (Form, Layout),
    body: &[u8],
    bounds: Bounds,
    since: Instant,
) -> Result<Prepared, Failure> {
    let (json, tensors) = divide(body, layout)?;
    let quoted;
    let parsed = match (form, layout) {
        (_, Layout::Raw) => Parsed::Raw,
        (Form::Message, _) => Parsed::read(form, json)?,
        // NaN and Infinity are no JSON, but Python writes them: read for what they are, their refusal names their place.
        _ => match Parsed::read(form, json) {
            Ok(parsed) => parsed,
            Err(failure) => {
                quoted = literal::quoted(json).ok_or_else(|| failure.clone())?;
                Parsed::read(form, &quoted).map_err(|_same| failure)?
            }
        },
    };
    let (loaded, routed) = model.route(choice)?;
    let attempt = Attempt::start(loaded.meters.clone(), routed, since);
    let slot = &loaded.slot;
    let within = |rows, reply: &Reply| bounds.check(rows, slot.model.width(), Size::of(&loaded, reply));
    let work = match parsed {
        Parsed::Protocol(request) => infer::check(request, tensors, slot, within),
        Parsed::Raw => infer::check_raw(body, slot, within),
        Parsed::Plain(plain) => plain.and_then(|plain| predict::check(*plain, slot, within)),
    };
    let work = work.and_then(|mut work| {
        let size = Size::of(&loaded, &work.reply);
        bounds.check(work.count, slot.model.width(), size)?;
        work.answer_bytes_max = size.of_rows(work.count);
        Ok(work)
    });
    Ok(Prepared {
        loaded,
        attempt,
        work,
    })
}

impl Prepared {
    /// Returns how a refusal of this request counts.
    pub(super) const REFUSED: Outcome = Outcome::RejectedInput;
}

enum Parsed<'a> {
    Protocol(InferRequest<'a>),
    Raw,
    /// A shape that can be read may still be none that there is.
    Plain(Result<Box<Plain<'a>>, Failure>),
}

impl<'a> Parsed<'a> {
    fn plain(plain: Result<Plain<'a>, Failure>) -> Self {
        Self::Plain(plain.map(Box::new))
    }

    fn read(form: Form, json: &'a [u8]) -> Result<Self, Failure> {
        match form {
            Form::Protocol => parse(json).map(Self::Protocol),
            Form::Message => grpc::request(json).map(Self::Protocol),
            Form::Plain => parse::<PlainRequest<'_>>(json).map(|request| Self::plain(request.try_into())),
            Form::Instances => {
                parse::<InstancesRequest<'_>>(json).map(|request| Self::plain(Ok(request.into())))
            }
            Form::Invocation => parse::<Invocation<'_>>(json).map(|request| Self::plain(request.try_into())),
        }
    }
}

/// Returns the JSON of a body, and what comes after it where that is announced.
fn divide(body: &[u8], layout: Layout) -> Result<(&[u8], Option<&[u8]>), Failure> {
    match layout {
        Layout::Json => Ok((body, None)),
        Layout::Raw => Ok((&[], None)),
        Layout::Message { at } => Ok((body.get(at..).unwrap_or_default(), Some(&[]))),
        Layout::Tensors(json_bytes) => match body.split_at_checked(json_bytes) {
            Some((json, tensors)) => Ok((json, Some(tensors))),
            None => Err(Failure::bad_request(format!(
                "{JSON_LENGTH}: got {json_bytes}, but the body has {} bytes in all (decompressed)",
                body.len()
            ))),
        },
    }
}

fn parse<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    // serde would also take a list of the fields' values.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Failure::bad_request("the body is no JSON object".to_owned()));
    }
    serde_json::from_slice(body)
        .map_err(|error| Failure::bad_request(format!("failed to read the body as JSON: {error}")))
}

/// Cuts what a client wrote to what fits into a message.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}
