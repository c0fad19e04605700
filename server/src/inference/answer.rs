//! From rows to the bytes of an answer. Numbers are written so that they read back bit for bit.

use engine::{Buffer, Symbol, Symbols, Type};
use registry::artifact::{Gives, Inputs, Model, Unanswered};
use registry::metadata::Labels;
use serde::{Serialize, Serializer};

use super::grpc;
use super::prepare::{Output, Reply, Work};
use super::protocol::{BinarySize, Elements, InferResponse, OutputTensor, Written};
use crate::http::budget::FREE_BYTES;
use crate::http::coding::Coding;
use crate::http::reply::Failure;
use crate::metrics::Outcome;
use crate::runtime::Loaded;

/// What a number takes at most in JSON, with its comma.
const NUMBER_BYTES: usize = 25;
/// What a whole number of 64 bits takes at most, and true or false.
const WHOLE_BYTES: usize = 21;
const TRUTH_BYTES: usize = 6;
/// What an answer takes besides its rows and its id.
const FRAME_BYTES: usize = 1024;
/// What most answers take besides their rows: there is room for it before there is more.
const FRAME_BYTES_USUAL: usize = 512;
/// How many numbers a model gives before the next rows get their turn.
const BLOCK_NUMBERS_MAX: usize = 256 << 10;

/// Why rows that fit the signature get no predictions.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("the model's prediction for row {row} is not finite: JSON cannot hold it")]
    NonFinite { row: usize },
    #[error("the model's prediction for row {row} is a text of the request, which it does not know")]
    UnknownText { row: usize },
    #[error("the model's predictions do not fit its signature")]
    Inconsistent,
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
}

impl Failed {
    pub(super) fn into_parts(self) -> (Outcome, Failure) {
        let failure = match &self {
            Self::Unanswered(Unanswered::Unavailable(why)) => Failure::unavailable(why.clone()),
            Self::Unanswered(Unanswered::UnknownCategory(_)) => Failure::bad_request(self.to_string()),
            _ => Failure::internal(self.to_string()),
        };
        let outcome = match self {
            Self::NonFinite { .. } => Outcome::NonFinite,
            Self::Unanswered(Unanswered::UnknownCategory(_)) => Outcome::RejectedInput,
            Self::UnknownText { .. } | Self::Inconsistent | Self::Unanswered(_) => Outcome::Error,
        };
        (outcome, failure)
    }
}

/// What an answer takes at most, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// Besides what its rows take.
    pub(super) frame: usize,
    /// For each row.
    pub(super) a_row: usize,
}

impl Size {
    pub(super) fn of(loaded: &Loaded, reply: &Reply) -> Self {
        let slot = &loaded.slot;
        let outputs = slot.model.output_tensors();
        let of_element = |place: usize, is_binary: bool| match outputs[place].element {
            // Of a text, two quotes and a comma, or four bytes of length.
            Type::Text => slot.text_bytes_max + if is_binary { 2 } else { 1 },
            Type::I32 | Type::I64 => WHOLE_BYTES,
            Type::Bool => TRUTH_BYTES,
            Type::F32 | Type::F64 => NUMBER_BYTES,
        };
        let of_output = |place: usize, is_binary| {
            outputs[place]
                .width()
                .saturating_mul(of_element(place, is_binary))
        };
        let of_json = |place| of_output(place, false);
        match (reply, slot.model.gives()) {
            (Reply::Plain { .. }, Gives::Numbers { prediction }) => Self {
                frame: FRAME_BYTES,
                a_row: match outputs[prediction].width() {
                    1 => NUMBER_BYTES,
                    // In brackets of their own.
                    _ => of_json(prediction) + 4,
                },
            },
            (Reply::Plain { probabilities: false }, Gives::Classes { label, .. }) => Self {
                frame: FRAME_BYTES,
                a_row: of_json(label),
            },
            (Reply::Plain { probabilities: true }, Gives::Classes { label, probabilities }) => Self {
                // The classes' names come once, those of a row in brackets of their own.
                frame: FRAME_BYTES
                    + slot
                        .model
                        .labels()
                        .map_or(0, Labels::len)
                        .saturating_mul(slot.label_bytes_max + 1),
                a_row: of_json(label) + probabilities.map_or(0, of_json) + 4,
            },
            (Reply::Protocol { id, outputs, .. }, _) => Self {
                // An id may need six bytes for one that is not shown.
                frame: FRAME_BYTES + id.as_ref().map_or(0, |id| id.len().saturating_mul(6)),
                a_row: outputs
                    .iter()
                    .map(|output| of_output(output.place, output.is_binary))
                    .fold(0, usize::saturating_add),
            },
        }
    }

    pub(super) fn of_rows(self, rows: usize) -> usize {
        self.frame.saturating_add(self.a_row.saturating_mul(rows))
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    /// How many of them are JSON, where tensors follow.
    pub(super) json_bytes: Option<usize>,
    /// How they are compressed.
    pub(super) coding: Option<Coding>,
    /// How the request ended: bytes hold what is no number too, but it is no prediction.
    pub(super) outcome: Outcome,
}

impl Answer {
    fn of(mut bytes: Vec<u8>, json_bytes: Option<usize>) -> Self {
        // Until the client has taken it, it is to hold what it counts for.
        if bytes.capacity() > FREE_BYTES {
            bytes.shrink_to_fit();
        }
        Self {
            bytes,
            json_bytes,
            coding: None,
            outcome: Outcome::Ok,
        }
    }

    /// Compresses it where the client takes that and it gets smaller.
    fn coded(self, takes: Option<Coding>) -> Self {
        match takes.and_then(|coding| Some((coding, coding.compress(&self.bytes)?))) {
            Some((coding, bytes)) => Self {
                bytes,
                coding: Some(coding),
                ..self
            },
            None => self,
        }
    }
}

/// What of a model's answers is kept, and what may be in it.
#[derive(Debug, Clone, Copy)]
struct Keep {
    /// The output's place among all.
    place: usize,
    /// Whether a number that is not finite is an answer: only binary tensors can hold one.
    not_finite: bool,
}

impl Keep {
    /// Returns what an answer shows, and what says whether it means anything.
    fn of(model: &Model, reply: &Reply) -> Vec<Self> {
        let judged = match model.gives() {
            Gives::Numbers { prediction } => Some(prediction),
            Gives::Classes { probabilities, .. } => probabilities,
        };
        let mut kept: Vec<Self> = match reply {
            Reply::Protocol { outputs, .. } => outputs
                .iter()
                .map(|output| Self {
                    place: output.place,
                    not_finite: output.is_binary,
                })
                .collect(),
            Reply::Plain { .. } => match model.gives() {
                Gives::Numbers { .. } => Vec::new(),
                Gives::Classes { label, .. } => vec![Self {
                    place: label,
                    not_finite: false,
                }],
            },
        };
        if let Some(place) = judged.filter(|place| kept.iter().all(|keep| keep.place != *place)) {
            kept.push(Self {
                place,
                not_finite: false,
            });
        }
        kept
    }
}

/// The outputs of a model that an answer needs, by their places.
struct Kept<'a> {
    model: &'a Model,
    outputs: Vec<(usize, Buffer)>,
    symbols: Symbols,
}

impl Kept<'_> {
    fn get(&self, place: usize) -> Result<&Buffer, Failed> {
        let mut outputs = self.outputs.iter();
        let found = outputs.find(|(known, _)| *known == place);
        found.map(|(_, buffer)| buffer).ok_or(Failed::Inconsistent)
    }

    fn elements(&self, place: usize) -> Result<Elements<'_>, Failed> {
        Ok(Elements {
            buffer: self.get(place)?,
            model: self.model,
            symbols: &self.symbols,
        })
    }

    fn are_finite(&self) -> bool {
        self.outputs
            .iter()
            .all(|(_, buffer)| not_finite(buffer).is_none())
    }
}

/// Returns the position of the first number that is not finite.
fn not_finite(buffer: &Buffer) -> Option<usize> {
    match buffer {
        Buffer::F32(numbers) => numbers.iter().position(|number| !number.is_finite()),
        Buffer::F64(numbers) => numbers.iter().position(|number| !number.is_finite()),
        Buffer::I32(_) | Buffer::I64(_) | Buffer::Bool(_) | Buffer::Text(_) => None,
    }
}

/// Evaluates the rows and writes the answer's body, compressed where the client takes that.
pub(super) fn evaluate(loaded: &Loaded, work: Work, takes: Option<Coding>) -> Result<Answer, Failed> {
    let Work {
        inputs,
        count,
        reply,
        answer_bytes_max: _,
    } = work;
    let keep = Keep::of(&loaded.slot.model, &reply);
    let predictions = predict(&loaded.slot.model, inputs, count, &keep)?;
    let mut answer = match reply {
        Reply::Protocol { id, outputs, written } => {
            infer(loaded, &predictions, count, id.as_deref(), &outputs, written)?
        }
        Reply::Plain { probabilities } => plain(&predictions, count, probabilities)?,
    };
    if keep.iter().any(|keep| keep.not_finite) && !predictions.are_finite() {
        answer.outcome = Outcome::NonFinite;
    }
    Ok(answer.coded(takes))
}

/// Writes the plain answer: predictions, and with the probabilities the classes in their order.
fn plain(predictions: &Kept<'_>, count: usize, is_with_probabilities: bool) -> Result<Answer, Failed> {
    #[derive(Serialize)]
    struct Body<'a> {
        predictions: Rows<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        classes: Option<&'a Labels>,
        #[serde(skip_serializing_if = "Option::is_none")]
        probabilities: Option<Table<'a>>,
    }
    let model = predictions.model;
    let table = |place| {
        Ok::<_, Failed>(Table {
            buffer: predictions.get(place)?,
            width: model.output_tensors()[place].width(),
        })
    };
    let (body, elements) = match model.gives() {
        Gives::Numbers { prediction } => {
            let table = table(prediction)?;
            let elements = count.saturating_mul(table.width);
            let predictions = match table.width {
                1 => Rows::Of(predictions.elements(prediction)?),
                _ => Rows::Several(table),
            };
            let body = Body {
                predictions,
                classes: None,
                probabilities: None,
            };
            (body, elements)
        }
        Gives::Classes { label, probabilities } => {
            let probabilities = probabilities.filter(|_| is_with_probabilities);
            let probabilities = probabilities.map(table).transpose()?;
            let shown = probabilities.as_ref().map_or(0, |table| table.width);
            let body = Body {
                predictions: Rows::Of(predictions.elements(label)?),
                classes: model.labels().filter(|_| is_with_probabilities),
                probabilities,
            };
            (body, count.saturating_mul(shown + 1))
        }
    };
    Ok(write(&body, elements.saturating_mul(NUMBER_BYTES), &[]))
}

/// One value for each row, or several.
#[derive(Serialize)]
#[serde(untagged)]
enum Rows<'a> {
    Of(Elements<'a>),
    Several(Table<'a>),
}

/// Numbers of which so many are a row.
struct Table<'a> {
    buffer: &'a Buffer,
    width: usize,
}

impl Serialize for Table<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let width = self.width.max(1);
        match self.buffer {
            Buffer::F32(numbers) => serializer.collect_seq(numbers.chunks(width)),
            Buffer::F64(numbers) => serializer.collect_seq(numbers.chunks(width)),
            Buffer::I32(numbers) => serializer.collect_seq(numbers.chunks(width)),
            Buffer::I64(numbers) => serializer.collect_seq(numbers.chunks(width)),
            Buffer::Bool(truths) => serializer.collect_seq(truths.chunks(width)),
            Buffer::Text(_) => Err(serde::ser::Error::custom("texts are no numbers")),
        }
    }
}

/// Writes the protocol's answer: a message, or JSON and then the elements of the outputs that are wanted in binary.
fn infer(
    loaded: &Loaded,
    predictions: &Kept<'_>,
    count: usize,
    id: Option<&str>,
    outputs: &[Output],
    written: Written,
) -> Result<Answer, Failed> {
    let mut tensors = Vec::with_capacity(outputs.len());
    let mut binary = Vec::new();
    let mut json_bytes = 0;
    for wanted in outputs {
        let output = &loaded.slot.model.output_tensors()[wanted.place];
        let elements = predictions.elements(wanted.place)?;
        let shape: Vec<usize> = output.shape.iter().map(|dim| dim.at(count)).collect();
        let mut tensor = OutputTensor {
            name: &output.name,
            datatype: output.element.protocol_name(),
            parameters: None,
            data: None,
            shape,
        };
        if wanted.is_binary && written == Written::Json {
            tensor.parameters = Some(BinarySize {
                binary_data_size: elements.binary_bytes(),
            });
            binary.push(elements);
        } else {
            json_bytes += tensor.shape.iter().product::<usize>() * NUMBER_BYTES;
            tensor.data = Some(elements);
        }
        tensors.push(tensor);
    }
    let response = InferResponse {
        model_name: loaded.slot.labels.model.as_str(),
        model_version: &loaded.version_text,
        id,
        outputs: tensors,
    };
    Ok(match written {
        Written::Json => write(&response, json_bytes, &binary),
        Written::Message { raw } => Answer::of(grpc::answer(&response, raw), None),
    })
}

/// Evaluates as many rows at a time as give a bounded number of elements: of a thousand classes only labels may be
/// wanted.
fn predict<'a>(model: &'a Model, inputs: Inputs, count: usize, keep: &[Keep]) -> Result<Kept<'a>, Failed> {
    let Inputs {
        buffers: inputs,
        mut symbols,
    } = inputs;
    let outputs = model.output_tensors();
    let a_row: usize = outputs.iter().map(engine::Tensor::width).sum();
    let block = (BLOCK_NUMBERS_MAX / a_row.max(1)).max(1);
    let mut kept: Vec<(usize, Buffer)> = Vec::new();
    let mut first = 0;
    while first < count {
        let rows = block.min(count - first);
        let mut answers = if rows == count {
            model.answer(&inputs, rows, &mut symbols)?
        } else {
            model.answer(&part(model, &inputs, first, rows), rows, &mut symbols)?
        };
        for (at, keep) in keep.iter().enumerate() {
            let width = outputs[keep.place].width();
            let answer = &mut answers[keep.place];
            check(answer, rows.saturating_mul(width), width, first, *keep)?;
            if first == 0 {
                let empty = Buffer::Bool(Vec::new());
                kept.push((keep.place, std::mem::replace(answer, empty)));
            } else {
                append(&mut kept[at].1, answer)?;
            }
        }
        first += rows;
    }
    Ok(Kept {
        model,
        outputs: kept,
        symbols,
    })
}

/// Returns some of the rows of a model's inputs.
fn part(model: &Model, inputs: &[Buffer], first: usize, rows: usize) -> Vec<Buffer> {
    let tensors = model.input_tensors().iter();
    let parts = tensors.zip(inputs).map(|(tensor, input)| {
        let width = tensor.width();
        let range = first * width..(first + rows) * width;
        match input {
            Buffer::F32(elements) => Buffer::F32(elements[range].to_vec()),
            Buffer::F64(elements) => Buffer::F64(elements[range].to_vec()),
            Buffer::I32(elements) => Buffer::I32(elements[range].to_vec()),
            Buffer::I64(elements) => Buffer::I64(elements[range].to_vec()),
            Buffer::Bool(elements) => Buffer::Bool(elements[range].to_vec()),
            Buffer::Text(elements) => Buffer::Text(elements[range].to_vec()),
        }
    });
    parts.collect()
}

fn append(kept: &mut Buffer, more: &Buffer) -> Result<(), Failed> {
    match (kept, more) {
        (Buffer::F32(kept), Buffer::F32(more)) => kept.extend(more),
        (Buffer::F64(kept), Buffer::F64(more)) => kept.extend(more),
        (Buffer::I32(kept), Buffer::I32(more)) => kept.extend(more),
        (Buffer::I64(kept), Buffer::I64(more)) => kept.extend(more),
        (Buffer::Bool(kept), Buffer::Bool(more)) => kept.extend(more),
        (Buffer::Text(kept), Buffer::Text(more)) => kept.extend(more),
        _ => return Err(Failed::Inconsistent),
    }
    Ok(())
}

/// Refuses elements that are not those of so many rows, or that the answer cannot hold; the first row has number `first`.
fn check(buffer: &Buffer, elements: usize, a_row: usize, first: usize, keep: Keep) -> Result<(), Failed> {
    let row = |at: usize| first + at / a_row.max(1);
    if buffer.len() != elements {
        return Err(Failed::Inconsistent);
    }
    if let Buffer::Text(symbols) = buffer
        && let Some(at) = symbols.iter().position(|symbol| *symbol == Symbol::UNKNOWN)
    {
        return Err(Failed::UnknownText { row: row(at) });
    }
    match not_finite(buffer).filter(|_| !keep.not_finite) {
        Some(at) => Err(Failed::NonFinite { row: row(at) }),
        None => Ok(()),
    }
}

/// Writes JSON whose rows take so many bytes at most, and the elements of tensors after it.
fn write<T: Serialize>(body: &T, json_bytes: usize, binary: &[Elements<'_>]) -> Answer {
    let binary_bytes: usize = binary.iter().map(Elements::binary_bytes).sum();
    let mut bytes = Vec::with_capacity(FRAME_BYTES_USUAL + json_bytes + binary_bytes);
    serde_json::to_writer(&mut bytes, body)
        .expect("invariant: answers have text keys and writing to memory works");
    let json_bytes = (!binary.is_empty()).then_some(bytes.len());
    for elements in binary {
        elements.append_to(&mut bytes);
    }
    Answer::of(bytes, json_bytes)
}
