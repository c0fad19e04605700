//! From a body to rows that a slot can evaluate: parse, choose the slot, check against its signature.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use hyper::StatusCode;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use planner::names::Track;
use registry::artifact::{INPUT, LABEL, PREDICTION, PROBABILITIES};
use registry::metadata::Signature;

use super::answer::Size;
use super::predict::{self, PlainRequest};
use super::protocol::{InferRequest, InputTensor, RequestedOutput};
use super::tensor::{Data, Flaw};
use crate::http::Limits;
use crate::http::reply::Failure;
use crate::metrics::{Attempt, Outcome};
use crate::runtime::{Choice, Loaded, Model, NoSlot};

/// The header that asks for a track.
pub(super) const TRACK_HEADER: HeaderName = HeaderName::from_static("aurora-track");
/// The header of the binary tensor extension, which is not offered.
const BINARY_HEADER: HeaderName = HeaderName::from_static("inference-header-content-length");

/// Which of the two bodies a path takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The Open Inference Protocol's.
    Protocol,
    /// `/predict`'s.
    Plain,
}

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
    /// Row-major, `count × width`.
    pub(super) rows: Vec<f64>,
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
    Protocol { id: Option<String>, outputs: Wanted },
    /// `{"predictions": …}`.
    Plain,
}

/// Which outputs an answer carries, in this order.
pub(super) type Wanted = Vec<&'static str>;

/// Refuses a body that is not JSON. A request without the header is taken at its word, and so is what `curl -d` says
/// where `/predict` is asked: any page can make a browser send either, so refusing one would protect nobody.
pub(crate) fn check_content_type(form: Form, headers: &HeaderMap) -> Result<(), Failure> {
    let unsupported = |message: &str| {
        Err(Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            message.to_owned(),
        ))
    };
    if headers.contains_key(BINARY_HEADER) {
        return Err(no_binary("the request"));
    }
    let encoded = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(CONTENT_ENCODING).iter().any(encoded) {
        return unsupported("compressed bodies are not taken: send it without content-encoding");
    }
    let Some(kind) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    let kind = kind.to_str().unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    let curl = form == Form::Plain && essence.eq_ignore_ascii_case("application/x-www-form-urlencoded");
    if curl || essence.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        unsupported("the content type is not application/json (curl: -H 'content-type: application/json')")
    }
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
    form: Form,
    body: &[u8],
    bounds: Bounds,
    since: Instant,
) -> Result<Prepared, Failure> {
    let parsed = match form {
        Form::Protocol => Parsed::Protocol(parse(body)?),
        Form::Plain => Parsed::Plain(parse(body)?),
    };
    let (loaded, routed) = model.route(choice)?;
    let attempt = Attempt::start(loaded.meters.clone(), routed, since);
    let signature = &loaded.slot.signature;
    let width = loaded.slot.model.width();
    let work = match parsed {
        Parsed::Protocol(request) => check(request, signature, width, &loaded),
        Parsed::Plain(request) => predict::check(request, signature, width, |rows| {
            bounds.check(rows, width, Size::of(&loaded, &Reply::Plain))
        }),
    };
    let work = work.and_then(|mut work| {
        let size = Size::of(&loaded, &work.reply);
        bounds.check(work.count, width, size)?;
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
    Plain(PlainRequest<'a>),
}

fn parse<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    // serde would also take a list of the fields' values.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Failure::bad_request("the body is no JSON object".to_owned()));
    }
    serde_json::from_slice(body)
        .map_err(|error| Failure::bad_request(format!("failed to read the body as JSON: {error}")))
}

fn check(
    request: InferRequest<'_>,
    signature: &Signature,
    width: usize,
    loaded: &Loaded,
) -> Result<Work, Failure> {
    let InferRequest {
        id,
        parameters,
        inputs,
        outputs,
    } = request;
    if parameters.is_some_and(|parameters| parameters.binary()) {
        return Err(no_binary("the request"));
    }
    let outputs = wanted(outputs, loaded.slot.model.labels().is_some())?;
    let expected = || format!("FP64 [-1,{width}]");
    let [input] = <[InputTensor<'_>; 1]>::try_from(inputs).map_err(|inputs| {
        let got = match &inputs[..] {
            [] => "none".to_owned(),
            [first, ..] => format!("{}, the first of them `{}`", inputs.len(), shown(&first.name)),
        };
        Failure::bad_request(format!("expected one input, `{INPUT}` {}, got {got}", expected()))
    })?;
    if input.name != INPUT {
        return Err(Failure::bad_request(format!(
            "input `{}` is unknown: expected `{INPUT}` {}",
            shown(&input.name),
            expected()
        )));
    }
    if input.parameters.is_some_and(|parameters| parameters.binary()) {
        return Err(no_binary("input `input`"));
    }
    let widening = Widening::of(&input.datatype).ok_or_else(|| {
        Failure::bad_request(format!(
            "input `{INPUT}`: got {}, expected FP64 or a type that widens to it without loss: FP32, INT8, INT16, INT32, \
             UINT8, UINT16, UINT32",
            shown(&input.datatype)
        ))
    })?;
    let data = input
        .data
        .ok_or_else(|| Failure::bad_request(format!("input `{INPUT}` has no data")))?;
    let count = match input.shape[..] {
        [count, columns] if columns == width as u64 && count > 0 => {
            usize::try_from(count).unwrap_or(usize::MAX)
        }
        _ => {
            return Err(Failure::bad_request(format!(
                "input `{INPUT}`: got shape {:?}, expected [-1,{width}] with at least one row",
                &input.shape[..input.shape.len().min(8)]
            )));
        }
    };
    let elements = count.saturating_mul(width);
    if data.values.len() != elements {
        return Err(Failure::bad_request(format!(
            "input `{INPUT}`: got {} elements, expected {elements} for shape [{count},{width}]",
            data.values.len()
        )));
    }
    if data.flaw.is_none() && data.dims.len() > 1 && data.dims != [count, width] {
        return Err(Failure::bad_request(format!(
            "input `{INPUT}`: got data nested as {:?}, expected [{count},{width}] or a flat list",
            data.dims
        )));
    }
    let rows = numbers(data, width, signature, Some(widening))?;
    Ok(Work {
        rows,
        count,
        reply: Reply::Protocol {
            id: id.map(Cow::into_owned),
            outputs,
        },
        answer_bytes_max: 0,
    })
}

/// Returns a tensor's numbers once nothing is wrong with any of them; `width` and `signature` name the element.
pub(super) fn numbers(
    data: Data,
    width: usize,
    signature: &Signature,
    widening: Option<Widening>,
) -> Result<Vec<f64>, Failure> {
    let place = |at: usize| {
        let (row, column) = (at / width.max(1), at % width.max(1));
        match signature.features.get(column) {
            Some(feature) => format!("input `{INPUT}`, row {row}, column {column} ({})", feature.name),
            None => format!("input `{INPUT}`, row {row}, column {column}"),
        }
    };
    let refuse =
        |at: usize, got: &str| Failure::bad_request(format!("{}: got {got}, expected a number", place(at)));
    match data.flaw {
        None => {}
        Some(Flaw::Text(at)) => return Err(refuse(at, "a text")),
        Some(Flaw::Bool(at)) => return Err(refuse(at, "true or false")),
        Some(Flaw::Ragged(at)) => {
            return Err(Failure::bad_request(format!(
                "input `{INPUT}`: lists of different lengths or depths at element {at}"
            )));
        }
    }
    if let Some(at) = data.missing.filter(|_| !signature.missing_values) {
        return Err(refuse(at, "null (this model takes no missing value)"));
    }
    let mut values = data.values;
    if let Some(widening) = widening.filter(|widening| *widening != Widening::Double) {
        for (at, value) in values.iter_mut().enumerate() {
            if !value.is_nan() {
                *value = widening.apply(*value).ok_or_else(|| {
                    Failure::bad_request(format!("{}: {value:?} is no {}", place(at), widening.as_str()))
                })?;
            }
        }
    }
    Ok(values)
}

/// A tensor type whose every value is also a double.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Widening {
    Double,
    Single,
    /// Whole numbers of this name, from and to.
    Whole(&'static str, f64, f64),
}

impl Widening {
    fn of(datatype: &str) -> Option<Self> {
        Some(match datatype {
            "FP64" => Self::Double,
            "FP32" => Self::Single,
            "INT8" => Self::Whole("INT8", i8::MIN.into(), i8::MAX.into()),
            "INT16" => Self::Whole("INT16", i16::MIN.into(), i16::MAX.into()),
            "INT32" => Self::Whole("INT32", i32::MIN.into(), i32::MAX.into()),
            "UINT8" => Self::Whole("UINT8", 0.0, u8::MAX.into()),
            "UINT16" => Self::Whole("UINT16", 0.0, u16::MAX.into()),
            "UINT32" => Self::Whole("UINT32", 0.0, u32::MAX.into()),
            _ => return None,
        })
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Double => "FP64",
            Self::Single => "FP32",
            Self::Whole(name, ..) => name,
        }
    }

    /// Returns the value that the tensor's type gives this literal; `None` where it cannot hold it.
    fn apply(self, value: f64) -> Option<f64> {
        match self {
            Self::Double => Some(value),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the type's own rounding, as its sender meant it"
            )]
            Self::Single => Some(f64::from(value as f32)).filter(|value| value.is_finite()),
            Self::Whole(_, min, max) => {
                (value.fract() == 0.0 && (min..=max).contains(&value)).then_some(value)
            }
        }
    }
}

fn wanted(outputs: Option<Vec<RequestedOutput<'_>>>, classifier: bool) -> Result<Wanted, Failure> {
    let offered: &[&'static str] = if classifier {
        &[LABEL, PROBABILITIES]
    } else {
        &[PREDICTION]
    };
    let Some(outputs) = outputs.filter(|outputs| !outputs.is_empty()) else {
        return Ok(offered.to_vec());
    };
    let mut wanted = Wanted::with_capacity(offered.len());
    for output in outputs {
        if output.parameters.is_some_and(|parameters| parameters.binary()) {
            return Err(no_binary(&format!("output `{}`", shown(&output.name))));
        }
        let known = offered.iter().find(|name| **name == output.name).ok_or_else(|| {
            Failure::bad_request(format!(
                "output `{}` is unknown: expected {}",
                shown(&output.name),
                offered.join(" or ")
            ))
        })?;
        if wanted.contains(known) {
            return Err(Failure::bad_request(format!(
                "output `{known}` is asked for twice"
            )));
        }
        wanted.push(known);
    }
    Ok(wanted)
}

fn no_binary(what: &str) -> Failure {
    Failure::bad_request(format!(
        "{what} asks for binary tensors: that extension is not offered, send and ask for JSON (tritonclient: \
         binary_data=False)"
    ))
}

/// Cuts what a client wrote to what fits into a message.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}
