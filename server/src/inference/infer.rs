//! The protocol's requests against a signature: JSON, binary tensors, and the raw form.

use std::borrow::Cow;

use engine::{Buffer, Symbols, Type};
use registry::artifact::Inputs;

use super::envelope::JSON_LENGTH;
use super::prepare::{Output, Reply, Wanted, Work, shown};
use super::protocol::{InferRequest, InputTensor, RequestedOutput, Written};
use super::values::{Taken, listed};
use crate::http::reply::Failure;
use crate::runtime::Slot;

/// How many lengths of a shape an error shows.
const DIMENSIONS_SHOWN_MAX: usize = 8;
/// How many inputs of a model an error names.
const INPUTS_SHOWN_MAX: usize = 30;

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
        written,
    } = request;
    let all_binary = parameters
        .and_then(|parameters| parameters.binary_data_output)
        .unwrap_or(false);
    let reply = Reply::Protocol {
        outputs: wanted(outputs, slot, all_binary)?,
        id: id.map(Cow::into_owned),
        written,
    };
    // First: as a model takes them, binary elements may take much more than they took.
    let within = |count| match tensors {
        Some(_) => within(count, &reply),
        None => Ok(()),
    };
    let mut rest = tensors;
    let (inputs, count) = match <[InputTensor<'_>; 1]>::try_from(inputs) {
        Ok([input]) if Taken::only(slot).is_some_and(|only| only.name() == input.name) => {
            one(input, slot, within, &mut rest)?
        }
        Ok([input]) => several(vec![input], slot, within, &mut rest)?,
        Err(inputs) => several(inputs, slot, within, &mut rest)?,
    };
    if let (Some(tensors), Some(left @ 1..)) = (tensors, rest.map(<[u8]>::len)) {
        return Err(Failure::bad_request(format!(
            "got {} bytes after the JSON, expected {}: what the inputs' binary_data_size count",
            tensors.len(),
            tensors.len() - left
        )));
    }
    Ok(Work {
        inputs,
        count,
        reply,
        answer_bytes_max: 0,
    })
}

/// The model's inputs, and how many rows they have.
type Counted = (Inputs, usize);

/// Checks the one input of a model that has one.
fn one(
    input: InputTensor<'_>,
    slot: &Slot,
    within: impl FnOnce(usize) -> Result<(), Failure>,
    rest: &mut Option<&[u8]>,
) -> Result<Counted, Failure> {
    let only = Taken::only(slot).expect("invariant: the caller saw that there is one");
    let count = rows(&input, &only)?;
    within(count)?;
    let mut inputs = Inputs::default();
    let buffer = elements(input, &only, count, rest, &mut inputs.symbols)?;
    inputs.buffers.push(buffer);
    Ok((inputs, count))
}

/// Checks inputs, which come in any order.
fn several(
    inputs: Vec<InputTensor<'_>>,
    slot: &Slot,
    within: impl FnOnce(usize) -> Result<(), Failure>,
    rest: &mut Option<&[u8]>,
) -> Result<Counted, Failure> {
    let taken: Vec<Taken<'_>> = Taken::all(slot).collect();
    let places = places(&inputs, &taken)?;
    let count = count(&inputs, &taken, &places)?;
    within(count)?;
    let mut symbols = Symbols::default();
    let mut buffers: Vec<Option<Buffer>> = taken.iter().map(|_| None).collect();
    for (input, place) in inputs.into_iter().zip(places) {
        buffers[place] = Some(elements(input, &taken[place], count, rest, &mut symbols)?);
    }
    let buffers = buffers.into_iter().flatten().collect();
    Ok((Inputs { buffers, symbols }, count))
}

/// Checks the raw form: the bytes of the one input, of the type that the model takes; all outputs come as bytes.
pub(super) fn check_raw(
    body: &[u8],
    slot: &Slot,
    within: impl FnOnce(usize, &Reply) -> Result<(), Failure>,
) -> Result<Work, Failure> {
    let taken: Vec<Taken<'_>> = Taken::all(slot).collect();
    let ([only], Some(datatype)) = (
        &taken[..],
        taken.first().and_then(|first| match first.element() {
            Type::Text => None,
            element => first.datatype(element.protocol_name()).ok(),
        }),
    ) else {
        return Err(Failure::bad_request(format!(
            "the raw form ({JSON_LENGTH} is 0) is for models with one input of numbers; this one takes {}",
            announced(&taken)
        )));
    };
    let a_row = only.width().saturating_mul(datatype.width());
    if body.is_empty() || !body.len().is_multiple_of(a_row) {
        return Err(Failure::bad_request(format!(
            "input `{}`: got {} bytes, expected a multiple of {a_row} for {} {} ({JSON_LENGTH} is 0)",
            only.name(),
            body.len(),
            datatype.as_str(),
            only.described()
        )));
    }
    let count = body.len() / a_row;
    let reply = Reply::Protocol {
        id: None,
        outputs: wanted(None, slot, true)?,
        written: Written::Json,
    };
    within(count, &reply)?;
    let mut inputs = Inputs::default();
    let buffer = only.of_bytes(body, datatype, count, &mut inputs.symbols)?;
    inputs.buffers.push(buffer);
    Ok(Work {
        inputs,
        count,
        reply,
        answer_bytes_max: 0,
    })
}

/// Names the inputs of a model.
fn announced(taken: &[Taken<'_>]) -> String {
    let shown: Vec<String> = taken
        .iter()
        .take(INPUTS_SHOWN_MAX)
        .map(Taken::announced)
        .collect();
    match taken.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Returns which input of the model each tensor is; each is there once.
fn places(inputs: &[InputTensor<'_>], taken: &[Taken<'_>]) -> Result<Vec<usize>, Failure> {
    if let ([only], false) = (taken, inputs.len() == 1) {
        let got = match inputs {
            [] => "none".to_owned(),
            [first, ..] => format!("{}, the first of them `{}`", inputs.len(), shown(&first.name)),
        };
        return Err(Failure::bad_request(format!(
            "expected one input, {}, got {got}",
            only.announced()
        )));
    }
    let mut places = Vec::with_capacity(inputs.len());
    let mut is_given = vec![false; taken.len()];
    for (at, input) in inputs.iter().enumerate() {
        // Most clients send them in the model's order.
        let in_order = taken.get(at).filter(|taken| taken.name() == input.name);
        let found = in_order
            .map(|_| at)
            .or_else(|| taken.iter().position(|taken| taken.name() == input.name));
        let found = found.ok_or_else(|| {
            Failure::bad_request(format!(
                "input `{}` is unknown: expected {}",
                shown(&input.name),
                announced(taken)
            ))
        })?;
        if std::mem::replace(&mut is_given[found], true) {
            let name = shown(&input.name);
            return Err(Failure::bad_request(format!("input `{name}` is given twice")));
        }
        places.push(found);
    }
    match is_given.iter().position(|is_given| !is_given) {
        None => Ok(places),
        Some(place) => Err(Failure::bad_request(format!(
            "input {} is missing: expected {}",
            taken[place].announced(),
            announced(taken)
        ))),
    }
}

/// Returns how many rows the shapes say, all of them the same.
fn count(inputs: &[InputTensor<'_>], taken: &[Taken<'_>], places: &[usize]) -> Result<usize, Failure> {
    let mut first: Option<(usize, &str)> = None;
    for (input, place) in inputs.iter().zip(places) {
        let taken = &taken[*place];
        let rows = rows(input, taken)?;
        match first {
            None => first = Some((rows, taken.name())),
            Some((count, _)) if count == rows => {}
            Some((count, name)) => {
                return Err(Failure::bad_request(format!(
                    "input `{}`: got {rows} rows, and input `{name}` has {count}",
                    taken.name()
                )));
            }
        }
    }
    Ok(first.map_or(0, |(count, _)| count))
}

/// Returns how many rows the shape says.
fn rows(input: &InputTensor<'_>, taken: &Taken<'_>) -> Result<usize, Failure> {
    let rows = input.shape.first().map_or(0, |rows| rows.0);
    let rows = usize::try_from(rows).unwrap_or(0);
    let given = input
        .shape
        .iter()
        .skip(1)
        .map(|length| usize::try_from(length.0).ok());
    let of_row = taken.lengths(1).skip(1).map(Some);
    if rows > 0 && given.eq(of_row) {
        return Ok(rows);
    }
    let shown = &input.shape[..input.shape.len().min(DIMENSIONS_SHOWN_MAX)];
    let hint = if shown.iter().any(|length| length.0 < 0) {
        ": a request says how many (-1 stands for that where the model is described)"
    } else {
        ""
    };
    Err(Failure::bad_request(format!(
        "input `{}`: got shape {shown:?}, expected {} with at least one row{hint}",
        taken.name(),
        taken.described()
    )))
}

/// Returns what a tensor holds, in its JSON or in the bytes after it.
fn elements(
    input: InputTensor<'_>,
    taken: &Taken<'_>,
    count: usize,
    rest: &mut Option<&[u8]>,
    symbols: &mut Symbols,
) -> Result<Buffer, Failure> {
    let name = taken.name();
    let datatype = taken.datatype(&input.datatype)?;
    if let Some(given) = input.given {
        let wanted = taken.shape(count).iter().product();
        let bytes = given.bytes(name, datatype, wanted)?;
        if let Some(expected) = taken.binary_bytes(datatype, count)
            && bytes.len() != expected
        {
            return Err(Failure::bad_request(format!(
                "input `{name}`: got {} bytes, expected {expected} for {} {}",
                bytes.len(),
                datatype.as_str(),
                listed(&taken.shape(count))
            )));
        }
        return taken.of_bytes(&bytes, datatype, count, symbols);
    }
    let binary_bytes = input
        .parameters
        .and_then(|parameters| parameters.binary_data_size);
    match (input.data, binary_bytes) {
        (Some(data), None) => taken.of_json(data, datatype, count, symbols),
        (None, Some(size)) => {
            let Some(bytes) = rest else {
                return Err(Failure::bad_request(format!(
                    "input `{name}`: binary_data_size needs the header {JSON_LENGTH}, which says where the JSON ends"
                )));
            };
            if let Some(expected) = taken.binary_bytes(datatype, count)
                && u64::try_from(expected) != Ok(size)
            {
                return Err(Failure::bad_request(format!(
                    "input `{name}`: got binary_data_size {size}, expected {expected} for {} {}",
                    datatype.as_str(),
                    listed(&taken.shape(count))
                )));
            }
            let own = usize::try_from(size)
                .ok()
                .and_then(|size| bytes.split_at_checked(size));
            let Some((own, after)) = own else {
                return Err(Failure::bad_request(format!(
                    "input `{name}`: got {} bytes after the JSON, expected {size}, its binary_data_size",
                    bytes.len()
                )));
            };
            *rest = Some(after);
            taken.of_bytes(own, datatype, count, symbols)
        }
        (Some(_), Some(_)) => Err(Failure::bad_request(format!(
            "input `{name}`: got data and binary_data_size, expected one of them"
        ))),
        (None, None) => Err(Failure::bad_request(format!("input `{name}` has no data"))),
    }
}

/// Returns the outputs that are asked for; all of them where none is.
fn wanted(
    outputs: Option<Vec<RequestedOutput<'_>>>,
    slot: &Slot,
    all_binary: bool,
) -> Result<Wanted, Failure> {
    let offered = slot.model.output_tensors();
    let output = |place, is_binary: Option<bool>| Output {
        place,
        is_binary: is_binary.unwrap_or(all_binary),
    };
    let Some(outputs) = outputs.filter(|outputs| !outputs.is_empty()) else {
        return Ok((0..offered.len()).map(|place| output(place, None)).collect());
    };
    let mut wanted = Wanted::with_capacity(offered.len());
    for asked in outputs {
        let known = offered.iter().position(|output| output.name == asked.name);
        let known = known.ok_or_else(|| {
            let names: Vec<&str> = offered.iter().map(|output| output.name.as_str()).collect();
            Failure::bad_request(format!(
                "output `{}` is unknown: expected {}",
                shown(&asked.name),
                names.join(" or ")
            ))
        })?;
        if wanted.iter().any(|other| other.place == known) {
            return Err(Failure::bad_request(format!(
                "output `{}` is asked for twice",
                offered[known].name
            )));
        }
        let is_binary = asked.parameters.and_then(|parameters| parameters.binary_data);
        wanted.push(output(known, is_binary));
    }
    Ok(wanted)
}
