//! From rows to the bytes of an answer. Numbers are written so that they read back bit for bit.

use registry::artifact::{LABEL, PREDICTION, PROBABILITIES, Predictions};
use registry::metadata::Labels;
use serde::Serialize;

use super::prepare::{Reply, Work};
use super::protocol::{InferResponse, OutputData, OutputTensor};
use crate::http::reply::Failure;
use crate::metrics::Outcome;
use crate::runtime::Loaded;

/// What a number takes at most in JSON, with its comma.
const NUMBER_BYTES: usize = 25;
/// What an answer takes besides its numbers.
const FRAME_BYTES: usize = 256;

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

/// Evaluates the rows and writes the answer's body.
pub(super) fn evaluate(loaded: &Loaded, work: Work) -> Result<Vec<u8>, Failed> {
    let Work { rows, count, reply } = work;
    let predictions = loaded.slot.model.predict(&rows);
    drop(rows);
    let (numbers, a_row) = match &predictions {
        Predictions::Numbers(numbers) => (numbers, 1),
        Predictions::Classes { probabilities, k, .. } => (probabilities, *k),
    };
    if numbers.len() != count * a_row {
        return Err(Failed::Inconsistent);
    }
    if let Some(at) = numbers.iter().position(|number| !number.is_finite()) {
        return Err(Failed::NonFinite { row: at / a_row });
    }
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
            Ok(write(&response, numbers.len()))
        }
        Reply::Plain => {
            #[derive(Serialize)]
            struct Body<'a> {
                predictions: OutputData<'a>,
            }
            let predictions = match &predictions {
                Predictions::Numbers(numbers) => OutputData::Doubles(numbers),
                Predictions::Classes { index, .. } => labels(loaded, index)?,
            };
            Ok(write(&Body { predictions }, count))
        }
    }
}

fn output<'a>(
    name: &'static str,
    loaded: &'a Loaded,
    predictions: &'a Predictions,
    count: usize,
) -> Result<OutputTensor<'a>, Failed> {
    let (datatype, shape, data) = match (name, predictions) {
        (PREDICTION, Predictions::Numbers(numbers)) => ("FP64", vec![count, 1], OutputData::Doubles(numbers)),
        (PROBABILITIES, Predictions::Classes { probabilities, k, .. }) => {
            ("FP64", vec![count, *k], OutputData::Doubles(probabilities))
        }
        (LABEL, Predictions::Classes { index, .. }) => {
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
    bytes
}
