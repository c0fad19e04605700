//! From rows to the bytes of an answer. Numbers are written so that they read back bit for bit.

use registry::artifact::{LABEL, PREDICTION, PROBABILITIES, Predictions};
use registry::metadata::Labels;
use serde::Serialize;

use super::prepare::{Reply, Work};
use super::protocol::{InferResponse, OutputData, OutputTensor};
use crate::http::budget::FREE_BYTES;
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
        let of_output = |name: &str| match name {
            LABEL => slot.label_bytes_max + 1,
            PROBABILITIES => slot.classes().saturating_mul(NUMBER_BYTES),
            _ => NUMBER_BYTES,
        };
        match reply {
            Reply::Plain if slot.model.labels().is_some() => Self {
                frame: FRAME_BYTES,
                a_row: of_output(LABEL),
            },
            Reply::Plain => Self {
                frame: FRAME_BYTES,
                a_row: NUMBER_BYTES,
            },
            Reply::Protocol { id, outputs } => Self {
                // An id may need six bytes for one that is not shown.
                frame: FRAME_BYTES + id.as_ref().map_or(0, |id| id.len().saturating_mul(6)),
                a_row: outputs
                    .iter()
                    .map(|name| of_output(name))
                    .fold(0, usize::saturating_add),
            },
        }
    }

    pub(super) fn of_rows(self, rows: usize) -> usize {
        self.frame.saturating_add(self.a_row.saturating_mul(rows))
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

/// Evaluates the rows and writes the answer's body.
pub(super) fn evaluate(loaded: &Loaded, work: Work) -> Result<Vec<u8>, Failed> {
    let Work {
        rows,
        count,
        reply,
        answer_bytes_max: _,
    } = work;
    let is_wanted = matches!(&reply, Reply::Protocol { outputs, .. } if outputs.contains(&PROBABILITIES));
    let predictions = predict(loaded, &rows, count, is_wanted)?;
    drop(rows);
    match reply {
        Reply::Protocol { id, outputs } => {
            let response = InferResponse {
                model_name: loaded.slot.labels.model.as_str(),
                model_version: &loaded.version_text,
                id: id.as_deref(),
                outputs: outputs
                    .into_iter()
                    .map(|name| output(name, loaded, &predictions, count))
                    .collect::<Result<_, _>>()?,
            };
            let numbers = match &predictions {
                Kept::Numbers(numbers) => numbers.len(),
                Kept::Classes {
                    index, probabilities, ..
                } => index.len() + probabilities.len(),
            };
            Ok(write(&response, numbers))
        }
        Reply::Plain => {
            #[derive(Serialize)]
            struct Body<'a> {
                predictions: OutputData<'a>,
            }
            let predictions = match &predictions {
                Kept::Numbers(numbers) => OutputData::Doubles(numbers),
                Kept::Classes { index, .. } => labels(loaded, index)?,
            };
            Ok(write(&Body { predictions }, count))
        }
    }
}

/// Evaluates as many rows at a time as give a bounded number of numbers: of a thousand classes only labels may be
/// wanted.
fn predict(loaded: &Loaded, rows: &[f64], count: usize, probabilities_wanted: bool) -> Result<Kept, Failed> {
    let model = &loaded.slot.model;
    let classes = loaded.slot.classes();
    let block = (BLOCK_NUMBERS_MAX / classes.max(1)).max(1);
    if count <= block {
        return match model.predict(rows) {
            Predictions::Numbers(numbers) => {
                check(&numbers, count, 1, 0)?;
                Ok(Kept::Numbers(numbers))
            }
            Predictions::Classes {
                index,
                probabilities,
                k,
            } => {
                check(&probabilities, count, k, 0)?;
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
            probabilities: Vec::with_capacity(if probabilities_wanted { count * classes } else { 0 }),
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
                check(&numbers, count, 1, first)?;
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
                check(&probabilities, count, k, first)?;
                indices.extend(index);
                if probabilities_wanted {
                    all.extend(probabilities);
                }
            }
            _ => return Err(Failed::Inconsistent),
        }
        first += count;
    }
    Ok(kept)
}

/// Refuses numbers that are not those of so many rows, or that JSON cannot hold; the first row has number `first`.
fn check(numbers: &[f64], count: usize, a_row: usize, first: usize) -> Result<(), Failed> {
    if numbers.len() != count * a_row {
        return Err(Failed::Inconsistent);
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
        data,
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

fn write<T: Serialize>(body: &T, numbers: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FRAME_BYTES + numbers * NUMBER_BYTES);
    serde_json::to_writer(&mut bytes, body)
        .expect("invariant: answers have text keys and writing to memory works");
    // Until the client has taken it, it is to hold what it counts for.
    if bytes.capacity() > FREE_BYTES {
        bytes.shrink_to_fit();
    }
    bytes
}
