//! The protocol's requests against a signature: JSON, binary tensors, and the raw form.

use std::borrow::Cow;

use registry::artifact::{INPUT, LABEL, PREDICTION, PROBABILITIES};
use registry::metadata::Signature;

use super::datatype::{Datatype, Inexact};
use super::envelope::JSON_LENGTH;
use super::prepare::{Output, Reply, Wanted, Work, shown};
use super::protocol::{InferRequest, InputTensor, RequestedOutput};
use super::tensor::{Data, Flaw};
use crate::http::reply::Failure;
use crate::runtime::Slot;

/// How many lengths of a shape an error shows.
const DIMENSIONS_SHOWN_MAX: usize = 8;

/// Checks a request against what a slot takes; `tensors` is what follows its JSON where it announces that, and `within`
/// refuses more rows than it may have.
pub(super) fn check(
    request: InferRequest<'_>,
    tensors: Option<&[u8]>,
    slot: &Slot,
    within: impl FnOnce(usize, &Reply) -> Result<(), Failure>,
) -> Result<Work, Failure> {
    let InferRequest {
        id,
        parameters,
        inputs,
        outputs,
    } = request;
    let all_binary = parameters
        .and_then(|parameters| parameters.binary_data_output)
        .unwrap_or(false);
    let reply = Reply::Protocol {
        outputs: wanted(outputs, slot, all_binary)?,
        id: id.map(Cow::into_owned),
    };
    let width = slot.model.width();
    let input = only(inputs, width)?;
    let datatype: Datatype = input.datatype.parse().map_err(|_unknown| {
        Failure::bad_request(format!(
            "input `{INPUT}`: got {}, expected FP64 or a type that widens to it: FP32, FP16 (binary), INT8, INT16, INT32, \
             UINT8, UINT16, UINT32, and of INT64 and UINT64 what is exact",
            shown(&input.datatype)
        ))
    })?;
    let count = rows(&input, width)?;
    let binary_bytes = input
        .parameters
        .and_then(|parameters| parameters.binary_data_size);
    let values = match (input.data, binary_bytes) {
        (Some(data), None) => {
            if let Some(left @ 1..) = tensors.map(<[u8]>::len) {
                return Err(Failure::bad_request(format!(
                    "input `{INPUT}`: {left} bytes come after the JSON, but it says no binary_data_size"
                )));
            }
            literals(data, datatype, count, slot)?
        }
        (None, Some(size)) => {
            let bytes = elements(size, tensors, datatype, [count, width])?;
            // First: as doubles they may take much more than they took.
            within(count, &reply)?;
            decoded(bytes, datatype, slot)?
        }
        (Some(_), Some(_)) => {
            return Err(Failure::bad_request(format!(
                "input `{INPUT}`: got data and binary_data_size, expected one of them"
            )));
        }
        (None, None) => {
            return Err(Failure::bad_request(format!("input `{INPUT}` has no data")));
        }
    };
    Ok(Work {
        rows: values,
        count,
        reply,
        answer_bytes_max: 0,
    })
}

/// Checks the raw form: the bytes of the one input, of the type that the model takes; all outputs come as bytes.
pub(super) fn check_raw(
    body: &[u8],
    slot: &Slot,
    within: impl FnOnce(usize, &Reply) -> Result<(), Failure>,
) -> Result<Work, Failure> {
    let width = slot.model.width();
    let a_row = width * Datatype::Fp64.width();
    if body.is_empty() || !body.len().is_multiple_of(a_row) {
        return Err(Failure::bad_request(format!(
            "input `{INPUT}`: got {} bytes, expected a multiple of {a_row} for FP64 [-1,{width}] ({JSON_LENGTH} is 0)",
            body.len()
        )));
    }
    let count = body.len() / a_row;
    let reply = Reply::Protocol {
        id: None,
        outputs: wanted(None, slot, true)?,
    };
    within(count, &reply)?;
    Ok(Work {
        rows: decoded(body, Datatype::Fp64, slot)?,
        count,
        reply,
        answer_bytes_max: 0,
    })
}

/// Returns the one input that there is to be.
fn only(inputs: Vec<InputTensor<'_>>, width: usize) -> Result<InputTensor<'_>, Failure> {
    let [input] = <[InputTensor<'_>; 1]>::try_from(inputs).map_err(|inputs| {
        let got = match &inputs[..] {
            [] => "none".to_owned(),
            [first, ..] => format!("{}, the first of them `{}`", inputs.len(), shown(&first.name)),
        };
        Failure::bad_request(format!(
            "expected one input, `{INPUT}` FP64 [-1,{width}], got {got}"
        ))
    })?;
    if input.name == INPUT {
        return Ok(input);
    }
    Err(Failure::bad_request(format!(
        "input `{}` is unknown: expected `{INPUT}` FP64 [-1,{width}]",
        shown(&input.name)
    )))
}

/// Returns how many rows the shape says.
fn rows(input: &InputTensor<'_>, width: usize) -> Result<usize, Failure> {
    if let [count, columns] = input.shape[..]
        && i64::try_from(width) == Ok(columns.0)
        && count.0 > 0
    {
        return Ok(usize::try_from(count.0).unwrap_or(usize::MAX));
    }
    let shown = &input.shape[..input.shape.len().min(DIMENSIONS_SHOWN_MAX)];
    let hint = if shown.iter().any(|length| length.0 < 0) {
        ": a request says how many (-1 stands for that where the model is described)"
    } else {
        ""
    };
    Err(Failure::bad_request(format!(
        "input `{INPUT}`: got shape {shown:?}, expected [-1,{width}] with at least one row{hint}"
    )))
}

/// Returns the numbers that JSON gave.
fn literals(data: Data, datatype: Datatype, count: usize, slot: &Slot) -> Result<Vec<f64>, Failure> {
    let width = slot.model.width();
    if datatype == Datatype::Fp16 {
        return Err(Failure::bad_request(format!(
            "input `{INPUT}`: FP16 has no form in JSON: send it as a binary tensor, or as FP32"
        )));
    }
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
    let inexact = data.inexact;
    let mut values = numbers(data, width, &slot.signature)?;
    if datatype == Datatype::Fp64 {
        return Ok(values);
    }
    if let Some(inexact) = inexact.filter(|_| matches!(datatype, Datatype::Int64 | Datatype::Uint64)) {
        return Err(refuse_inexact(inexact, slot));
    }
    for (at, value) in values.iter_mut().enumerate() {
        if !value.is_nan() {
            *value = datatype.of_literal(*value).ok_or_else(|| {
                let place = place(at, width, &slot.signature);
                Failure::bad_request(format!("{place}: {value:?} is no {}", datatype.as_str()))
            })?;
        }
    }
    Ok(values)
}

/// Returns the bytes of a binary tensor once their number is that of its shape.
fn elements(
    size: u64,
    tensors: Option<&[u8]>,
    datatype: Datatype,
    [count, width]: [usize; 2],
) -> Result<&[u8], Failure> {
    let Some(tensors) = tensors else {
        return Err(Failure::bad_request(format!(
            "input `{INPUT}`: binary_data_size needs the header {JSON_LENGTH}, which says where the JSON ends"
        )));
    };
    let expected = count.saturating_mul(width).saturating_mul(datatype.width());
    if u64::try_from(expected) != Ok(size) {
        return Err(Failure::bad_request(format!(
            "input `{INPUT}`: got binary_data_size {size}, expected {expected} for {} [{count},{width}]",
            datatype.as_str()
        )));
    }
    if tensors.len() != expected {
        return Err(Failure::bad_request(format!(
            "input `{INPUT}`: got {} bytes after the JSON, expected {expected}, its binary_data_size",
            tensors.len()
        )));
    }
    Ok(tensors)
}

fn decoded(bytes: &[u8], datatype: Datatype, slot: &Slot) -> Result<Vec<f64>, Failure> {
    let values = datatype
        .decode(bytes)
        .map_err(|inexact| refuse_inexact(inexact, slot))?;
    match values.iter().position(|value| value.is_nan()) {
        Some(at) if !slot.signature.missing_values => Err(refuse(
            at,
            slot.model.width(),
            &slot.signature,
            "NaN (this model takes no missing value)",
        )),
        _ => Ok(values),
    }
}

/// Returns a tensor's numbers once nothing is wrong with any of them; `width` and `signature` name the element.
pub(super) fn numbers(data: Data, width: usize, signature: &Signature) -> Result<Vec<f64>, Failure> {
    let refuse = |at, got| Err(refuse(at, width, signature, got));
    match data.flaw {
        None => {}
        Some(Flaw::Text(at)) => return refuse(at, "a text"),
        Some(Flaw::Bool(at)) => return refuse(at, "true or false"),
        Some(Flaw::NotFinite(at)) => {
            return refuse(
                at,
                "NaN or Infinity, which JSON does not have (null is a missing value)",
            );
        }
        Some(Flaw::Ragged(at)) => {
            return Err(Failure::bad_request(format!(
                "input `{INPUT}`: lists of different lengths or depths at element {at}"
            )));
        }
    }
    match data.missing {
        Some(at) if !signature.missing_values => refuse(at, "null (this model takes no missing value)"),
        _ => Ok(data.values),
    }
}

fn place(at: usize, width: usize, signature: &Signature) -> String {
    let (row, column) = (at / width.max(1), at % width.max(1));
    match signature.features.get(column) {
        Some(feature) => format!("input `{INPUT}`, row {row}, column {column} ({})", feature.name),
        None => format!("input `{INPUT}`, row {row}, column {column}"),
    }
}

fn refuse(at: usize, width: usize, signature: &Signature, got: &str) -> Failure {
    Failure::bad_request(format!(
        "{}: got {got}, expected a number",
        place(at, width, signature)
    ))
}

fn refuse_inexact(Inexact { at, value }: Inexact, slot: &Slot) -> Failure {
    let place = place(at, slot.model.width(), &slot.signature);
    Failure::bad_request(format!(
        "{place}: got {value}, expected a whole number that is exact as FP64"
    ))
}

/// Returns the outputs that are asked for; all of them where none is.
fn wanted(
    outputs: Option<Vec<RequestedOutput<'_>>>,
    slot: &Slot,
    all_binary: bool,
) -> Result<Wanted, Failure> {
    let offered: &[&'static str] = if slot.model.labels().is_some() {
        &[LABEL, PROBABILITIES]
    } else {
        &[PREDICTION]
    };
    let output = |name, is_binary: Option<bool>| Output {
        name,
        is_binary: is_binary.unwrap_or(all_binary),
    };
    let Some(outputs) = outputs.filter(|outputs| !outputs.is_empty()) else {
        return Ok(offered.iter().map(|name| output(name, None)).collect());
    };
    let mut wanted = Wanted::with_capacity(offered.len());
    for asked in outputs {
        let known = offered.iter().find(|name| **name == asked.name).ok_or_else(|| {
            Failure::bad_request(format!(
                "output `{}` is unknown: expected {}",
                shown(&asked.name),
                offered.join(" or ")
            ))
        })?;
        if wanted.iter().any(|other| other.name == *known) {
            return Err(Failure::bad_request(format!(
                "output `{known}` is asked for twice"
            )));
        }
        let is_binary = asked.parameters.and_then(|parameters| parameters.binary_data);
        wanted.push(output(known, is_binary));
    }
    Ok(wanted)
}
