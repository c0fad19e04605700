//! From rows to the bytes of an answer. Numbers are written so that they read back bit for bit.

use registry::artifact::{LABEL, PREDICTION, PROBABILITIES, Predictions};
use registry::metadata::Labels;
use serde::{Serialize, Serializer};

use super::prepare::{Output, Reply, Work};
use super::protocol::{BinarySize, InferResponse, OutputData, OutputTensor};
use crate::http::budget::FREE_BYTES;
use crate::http::coding::Coding;
use crate::http::reply::Failure;
use crate::metrics::Outcome;
use crate::runtime::Loaded;

/// What a number takes at most in JSON, with its comma.
const NUMBER_BYTES: usize = 25;
/// What an answer takes besides its rows and its id.
const FRAME_BYTES: usize = 1024;
/// How many numbers a model gives before the next rows get their turn.
const BLOCK_NUMBERS_MAX: usize = 256 << 10;

/// Why rows that fit the signature get no predictions.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("the model's prediction for row {row} is not finite: JSON cannot hold it")]
    NonFinite { row: usize },
    #[error("the model's predictions do not fit its signature")]
    Inconsistent,
}

impl Failed {
    pub(super) fn into_parts(self) -> (Outcome, Failure) {
        let outcome = match self {
            Self::NonFinite { .. } => Outcome::NonFinite,
            Self::Inconsistent => Outcome::Error,
        };
        (outcome, Failure::internal(self.to_string()))
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
        let of_output = |output: Output| match output.name {
            // Of a text, two quotes and a comma, or four bytes of length.
            LABEL => slot.label_bytes_max + if output.is_binary { 2 } else { 1 },
            PROBABILITIES => slot.classes().saturating_mul(NUMBER_BYTES),
            _ => NUMBER_BYTES,
        };
        match reply {
            Reply::Plain { probabilities: true } => Self {
                // The classes' names come once, those of a row in brackets of their own.
                frame: FRAME_BYTES + slot.classes().saturating_mul(slot.label_bytes_max + 1),
                a_row: slot.label_bytes_max + slot.classes().saturating_mul(NUMBER_BYTES) + 4,
            },
            Reply::Plain { probabilities: false } => Self {
                frame: FRAME_BYTES,
                a_row: match slot.model.labels() {
                    Some(_) => slot.label_bytes_max + 1,
                    None => NUMBER_BYTES,
                },
            },
            Reply::Protocol { id, outputs } => Self {
                // An id may need six bytes for one that is not shown.
                frame: FRAME_BYTES + id.as_ref().map_or(0, |id| id.len().saturating_mul(6)),
                a_row: outputs
                    .iter()
                    .map(|output| of_output(*output))
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

/// What is kept of predictions: what the answer shows, and no more.
enum Kept {
    Numbers(Vec<f64>),
    Classes {
        index: Vec<usize>,
        /// Empty where they are not asked for.
        probabilities: Vec<f64>,
        k: usize,
    },
}

impl Kept {
    fn are_finite(&self) -> bool {
        let (Self::Numbers(numbers)
        | Self::Classes {
            probabilities: numbers,
            ..
        }) = self;
        numbers.iter().all(|number| number.is_finite())
    }
}

/// Evaluates the rows and writes the answer's body, compressed where the client takes that.
pub(super) fn evaluate(loaded: &Loaded, work: Work, takes: Option<Coding>) -> Result<Answer, Failed> {
    let Work {
        rows,
        count,
        reply,
        answer_bytes_max: _,
    } = work;
    let keep = Keep::of(&reply);
    let predictions = predict(loaded, &rows, count, keep)?;
    drop(rows);
    let mut answer = match reply {
        Reply::Protocol { id, outputs } => infer(loaded, &predictions, count, id.as_deref(), &outputs)?,
        Reply::Plain { probabilities } => plain(loaded, &predictions, probabilities)?,
    };
    if keep.not_finite && !predictions.are_finite() {
        answer.outcome = Outcome::NonFinite;
    }
    Ok(answer.coded(takes))
}

/// Writes the plain answer: predictions, and with the probabilities the classes in their order.
fn plain(loaded: &Loaded, predictions: &Kept, is_with_probabilities: bool) -> Result<Answer, Failed> {
    #[derive(Serialize)]
    struct Body<'a> {
        predictions: OutputData<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        classes: Option<&'a Labels>,
        #[serde(skip_serializing_if = "Option::is_none")]
        probabilities: Option<Table<'a>>,
    }
    let (body, numbers) = match predictions {
        Kept::Numbers(numbers) => {
            let body = Body {
                predictions: OutputData::Doubles(numbers),
                classes: None,
                probabilities: None,
            };
            (body, numbers.len())
        }
        Kept::Classes {
            index,
            probabilities,
            k,
        } => {
            let table = Table {
                numbers: probabilities,
                width: *k,
            };
            let body = Body {
                predictions: labels(loaded, index)?,
                classes: loaded.slot.model.labels().filter(|_| is_with_probabilities),
                probabilities: is_with_probabilities.then_some(table),
            };
            let shown = if is_with_probabilities {
                probabilities.len()
            } else {
                0
            };
            (body, index.len() + shown)
        }
    };
    Ok(write(&body, numbers * NUMBER_BYTES, &[]))
}

/// Numbers of which so many are a row.
struct Table<'a> {
    numbers: &'a [f64],
    width: usize,
}

impl Serialize for Table<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.numbers.chunks(self.width.max(1)))
    }
}

/// Writes the protocol's answer: JSON, and then the elements of the outputs that are wanted in binary.
fn infer(
    loaded: &Loaded,
    predictions: &Kept,
    count: usize,
    id: Option<&str>,
    outputs: &[Output],
) -> Result<Answer, Failed> {
    let mut tensors = Vec::with_capacity(outputs.len());
    let mut binary = Vec::new();
    let mut json_bytes = 0;
    for wanted in outputs {
        let mut tensor = output(wanted.name, loaded, predictions, count)?;
        if let Some(data) = tensor.data.take_if(|_| wanted.is_binary) {
            tensor.parameters = Some(BinarySize {
                binary_data_size: data.binary_bytes(),
            });
            binary.push(data);
        } else {
            json_bytes += tensor.shape.iter().product::<usize>() * NUMBER_BYTES;
        }
        tensors.push(tensor);
    }
    let response = InferResponse {
        model_name: loaded.slot.labels.model.as_str(),
        model_version: &loaded.version_text,
        id,
        outputs: tensors,
    };
    Ok(write(&response, json_bytes, &binary))
}

/// What of predictions an answer needs.
#[derive(Debug, Clone, Copy)]
struct Keep {
    probabilities: bool,
    /// Whether a number that is not finite is an answer: only binary tensors can hold one.
    not_finite: bool,
}

impl Keep {
    fn of(reply: &Reply) -> Self {
        let outputs = match reply {
            Reply::Plain { probabilities } => {
                return Self {
                    probabilities: *probabilities,
                    not_finite: false,
                };
            }
            Reply::Protocol { outputs, .. } => outputs,
        };
        let find = |name| outputs.iter().find(|output| output.name == name);
        let probabilities = find(PROBABILITIES);
        let numbers = probabilities.or_else(|| find(PREDICTION));
        Self {
            probabilities: probabilities.is_some(),
            not_finite: numbers.is_some_and(|output| output.is_binary),
        }
    }
}

/// Evaluates as many rows at a time as give a bounded number of numbers: of a thousand classes only labels may be
/// wanted.
fn predict(loaded: &Loaded, rows: &[f64], count: usize, keep: Keep) -> Result<Kept, Failed> {
    let model = &loaded.slot.model;
    let classes = loaded.slot.classes();
    let block = (BLOCK_NUMBERS_MAX / classes.max(1)).max(1);
    if count <= block {
        return match model.predict(rows) {
            Predictions::Numbers(numbers) => {
                check(&numbers, count, 1, 0, keep)?;
                Ok(Kept::Numbers(numbers))
            }
            Predictions::Classes {
                index,
                probabilities,
                k,
            } => {
                check(&probabilities, count, k, 0, keep)?;
                Ok(Kept::Classes {
                    index,
                    probabilities,
                    k,
                })
            }
        };
    }
    let mut kept = if model.labels().is_some() {
        Kept::Classes {
            index: Vec::with_capacity(count),
            probabilities: Vec::with_capacity(if keep.probabilities { count * classes } else { 0 }),
            k: classes,
        }
    } else {
        Kept::Numbers(Vec::with_capacity(count))
    };
    let mut first = 0;
    for rows in rows.chunks(block * model.width()) {
        let count = rows.len() / model.width();
        match (model.predict(rows), &mut kept) {
            (Predictions::Numbers(numbers), Kept::Numbers(all)) => {
                check(&numbers, count, 1, first, keep)?;
                all.extend(numbers);
            }
            (
                Predictions::Classes {
                    index,
                    probabilities,
                    k,
                },
                Kept::Classes {
                    index: indices,
                    probabilities: all,
                    ..
                },
            ) => {
                check(&probabilities, count, k, first, keep)?;
                indices.extend(index);
                if keep.probabilities {
                    all.extend(probabilities);
                }
            }
            _ => return Err(Failed::Inconsistent),
        }
        first += count;
    }
    Ok(kept)
}

/// Refuses numbers that are not those of so many rows, or that the answer cannot hold; the first row has number `first`.
fn check(numbers: &[f64], count: usize, a_row: usize, first: usize, keep: Keep) -> Result<(), Failed> {
    if numbers.len() != count * a_row {
        return Err(Failed::Inconsistent);
    }
    if keep.not_finite {
        return Ok(());
    }
    match numbers.iter().position(|number| !number.is_finite()) {
        Some(at) => Err(Failed::NonFinite {
            row: first + at / a_row,
        }),
        None => Ok(()),
    }
}

fn output<'a>(
    name: &'static str,
    loaded: &'a Loaded,
    predictions: &'a Kept,
    count: usize,
) -> Result<OutputTensor<'a>, Failed> {
    let (datatype, shape, data) = match (name, predictions) {
        (PREDICTION, Kept::Numbers(numbers)) => ("FP64", vec![count, 1], OutputData::Doubles(numbers)),
        (PROBABILITIES, Kept::Classes { probabilities, k, .. }) => {
            ("FP64", vec![count, *k], OutputData::Doubles(probabilities))
        }
        (LABEL, Kept::Classes { index, .. }) => {
            let data = labels(loaded, index)?;
            let datatype = match data {
                OutputData::Texts(_) => "BYTES",
                OutputData::Integers(_) | OutputData::Doubles(_) => "INT64",
            };
            (datatype, vec![count], data)
        }
        _ => return Err(Failed::Inconsistent),
    };
    Ok(OutputTensor {
        name,
        shape,
        datatype,
        parameters: None,
        data: Some(data),
    })
}

fn labels<'a>(loaded: &'a Loaded, index: &[usize]) -> Result<OutputData<'a>, Failed> {
    let labels = loaded.slot.model.labels().ok_or(Failed::Inconsistent)?;
    let found = match labels {
        Labels::Numbers(labels) => index
            .iter()
            .map(|index| labels.get(*index).copied())
            .collect::<Option<_>>()
            .map(OutputData::Integers),
        Labels::Words(labels) => index
            .iter()
            .map(|index| labels.get(*index).map(String::as_str))
            .collect::<Option<_>>()
            .map(OutputData::Texts),
    };
    found.ok_or(Failed::Inconsistent)
}

/// Writes JSON whose rows take so many bytes at most, and the elements of tensors after it.
fn write<T: Serialize>(body: &T, json_bytes: usize, binary: &[OutputData<'_>]) -> Answer {
    let binary_bytes: usize = binary.iter().map(OutputData::binary_bytes).sum();
    let mut bytes = Vec::with_capacity(FRAME_BYTES + json_bytes + binary_bytes);
    serde_json::to_writer(&mut bytes, body)
        .expect("invariant: answers have text keys and writing to memory works");
    let json_bytes = (!binary.is_empty()).then_some(bytes.len());
    for data in binary {
        data.append_to(&mut bytes);
    }
    // Until the client has taken it, it is to hold what it counts for.
    if bytes.capacity() > FREE_BYTES {
        bytes.shrink_to_fit();
    }
    Answer {
        bytes,
        json_bytes,
        coding: None,
        outcome: Outcome::Ok,
    }
}
