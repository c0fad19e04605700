//! A `ModelInferRequest`, read where it lies (<https://protobuf.dev/programming-guides/encoding/>).
//!
//! As a tree of messages it could take a hundred times the bytes that it came in. Read here, names and elements are
//! borrowed, and of what there may be many of there are not too many.

use std::borrow::Cow;

use prost::bytes::Buf as _;
use prost::encoding::{WireType, decode_key, decode_varint};

use super::describe::given;
use crate::http::reply::Failure;
use crate::inference::datatype::Datatype;
use crate::inference::prepare::shown;
use crate::inference::protocol::{InferRequest, InputTensor, Length, RequestedOutput, Written};

/// How many fields a message may have besides elements, those that nobody knows among them.
const FIELDS_MAX: usize = 1 << 16;
/// How many inputs, or outputs that are asked for.
const TENSORS_MAX: usize = 1 << 12;
/// How many lengths a shape may have.
const LENGTHS_MAX: usize = 64;

/// Which model a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named<'a> {
    pub(crate) model: &'a str,
    pub(crate) version: Option<&'a str>,
}

/// What an input was given.
#[derive(Debug)]
pub(in crate::inference) enum Given<'a> {
    /// Its elements, little-endian.
    Raw(&'a [u8]),
    /// Its `InferTensorContents`: of several, all count.
    Contents(Vec<&'a [u8]>),
}

/// Returns which model a message asks.
pub(crate) fn named(message: &[u8]) -> Result<Named<'_>, Failure> {
    let (mut model, mut version) = ("", "");
    for field in Fields::of(message) {
        match field? {
            (1, Value::Bytes(name)) => model = text(name, "model_name")?,
            (2, Value::Bytes(name)) => version = text(name, "model_version")?,
            _ => {}
        }
    }
    Ok(Named {
        model,
        version: given(version),
    })
}

/// Reads a message.
pub(in crate::inference) fn request(message: &[u8]) -> Result<InferRequest<'_>, Failure> {
    let mut id = "";
    let mut inputs = Vec::new();
    let mut outputs = Vec::new();
    let mut raw = Vec::new();
    for field in Fields::of(message) {
        match field? {
            (3, Value::Bytes(name)) => id = text(name, "id")?,
            (5, Value::Bytes(input)) => push(&mut inputs, self::input(input)?, "inputs")?,
            (6, Value::Bytes(output)) => push(&mut outputs, self::output(output)?, "outputs")?,
            (7, Value::Bytes(elements)) => push(&mut raw, elements, "raw_input_contents")?,
            _ => {}
        }
    }
    let is_raw = !raw.is_empty();
    if is_raw {
        if raw.len() != inputs.len() {
            return Err(Failure::bad_request(format!(
                "got {} raw_input_contents for {} inputs, expected one for each",
                raw.len(),
                inputs.len()
            )));
        }
        for (input, elements) in inputs.iter_mut().zip(raw) {
            if input.given.is_some() {
                return Err(Failure::bad_request(format!(
                    "input `{}`: got contents and raw_input_contents, expected one of them",
                    shown(&input.name)
                )));
            }
            input.given = Some(Given::Raw(elements));
        }
    }
    Ok(InferRequest {
        id: given(id).map(Cow::Borrowed),
        parameters: None,
        inputs,
        outputs: Some(outputs),
        written: Written::Message { raw: is_raw },
    })
}

fn push<T>(all: &mut Vec<T>, one: T, what: &str) -> Result<(), Failure> {
    if all.len() == TENSORS_MAX {
        return Err(Failure::bad_request(format!("more than {TENSORS_MAX} {what}")));
    }
    all.push(one);
    Ok(())
}

fn input(message: &[u8]) -> Result<InputTensor<'_>, Failure> {
    let (mut name, mut datatype) = ("", "");
    let mut shape = Vec::new();
    let mut contents = Vec::new();
    for field in Fields::of(message) {
        match field? {
            (1, Value::Bytes(own)) => name = text(own, "the name of an input")?,
            (2, Value::Bytes(own)) => datatype = text(own, "the datatype of an input")?,
            (3, Value::Bytes(mut packed)) => {
                while packed.has_remaining() {
                    length(&mut shape, decode_varint(&mut packed).map_err(|_cut| broken())?)?;
                }
            }
            (3, Value::Whole(one)) => length(&mut shape, one)?,
            (5, Value::Bytes(own)) => push(&mut contents, own, "contents of an input")?,
            _ => {}
        }
    }
    Ok(InputTensor {
        name: name.into(),
        shape,
        datatype: datatype.into(),
        parameters: None,
        data: None,
        given: (!contents.is_empty()).then_some(Given::Contents(contents)),
    })
}

fn length(shape: &mut Vec<Length>, length: u64) -> Result<(), Failure> {
    if shape.len() == LENGTHS_MAX {
        return Err(Failure::bad_request(format!(
            "a shape has more than {LENGTHS_MAX} lengths"
        )));
    }
    shape.push(Length(length.cast_signed()));
    Ok(())
}

fn output(message: &[u8]) -> Result<RequestedOutput<'_>, Failure> {
    let mut name = "";
    for field in Fields::of(message) {
        if let (1, Value::Bytes(own)) = field? {
            name = text(own, "the name of an output")?;
        }
    }
    Ok(RequestedOutput {
        name: name.into(),
        parameters: None,
    })
}

impl<'a> Given<'a> {
    /// Returns the elements in binary, at most one more than are wanted.
    pub(in crate::inference) fn bytes(
        self,
        name: &str,
        datatype: Datatype,
        wanted: usize,
    ) -> Result<Cow<'a, [u8]>, Failure> {
        match self {
            Self::Raw(bytes) => Ok(bytes.into()),
            Self::Contents(contents) => Elements::of(name, datatype, wanted)?.read(contents),
        }
    }
}

/// The elements of an input, on their way from the field that its datatype has.
struct Elements<'a> {
    name: &'a str,
    datatype: Datatype,
    field: u32,
    wanted: usize,
    count: usize,
    bytes: Vec<u8>,
}

/// The fields of `InferTensorContents`, by their numbers.
const FIELDS: [&str; 8] = [
    "bool_contents",
    "int_contents",
    "int64_contents",
    "uint_contents",
    "uint64_contents",
    "fp32_contents",
    "fp64_contents",
    "bytes_contents",
];

impl<'a> Elements<'a> {
    fn of(name: &'a str, datatype: Datatype, wanted: usize) -> Result<Self, Failure> {
        let field = match datatype {
            Datatype::Bool => 1,
            Datatype::Int8 | Datatype::Int16 | Datatype::Int32 => 2,
            Datatype::Int64 => 3,
            Datatype::Uint8 | Datatype::Uint16 | Datatype::Uint32 => 4,
            Datatype::Uint64 => 5,
            Datatype::Fp32 => 6,
            Datatype::Fp64 => 7,
            Datatype::Bytes => 8,
            Datatype::Fp16 => {
                return Err(Failure::bad_request(format!(
                    "input `{name}`: FP16 comes as raw_input_contents only"
                )));
            }
        };
        Ok(Self {
            name,
            datatype,
            field,
            wanted,
            count: 0,
            bytes: Vec::new(),
        })
    }

    fn read(mut self, contents: Vec<&[u8]>) -> Result<Cow<'_, [u8]>, Failure> {
        // Usually all of them lie in one piece, as they are wanted.
        if let [only] = contents[..]
            && let Some(Ok((field, Value::Bytes(packed)))) = Fields::of_elements(only).next()
            && matches!(self.field, 6 | 7)
            && field == self.field
            && is_last(only, packed)
        {
            return Ok(packed.into());
        }
        for contents in contents {
            for field in Fields::of_elements(contents) {
                let (field, value) = field?;
                if field == self.field {
                    self.take(value)?;
                } else if let (Some(other), false) = (field_name(field), value.is_empty()) {
                    return Err(Failure::bad_request(format!(
                        "input `{}`: got {other}, expected {}, as {} has it",
                        self.name,
                        field_name(self.field).unwrap_or_default(),
                        self.datatype.as_str()
                    )));
                }
                if self.count > self.wanted {
                    break;
                }
            }
        }
        Ok(self.bytes.into())
    }

    fn take(&mut self, value: Value<'_>) -> Result<(), Failure> {
        match (self.field, value) {
            (8, Value::Bytes(text)) => {
                let length = u32::try_from(text.len()).map_err(|_long| broken())?;
                self.bytes.extend(length.to_le_bytes());
                self.bytes.extend(text);
                self.count += 1;
            }
            (6 | 7, Value::Bytes(packed)) => {
                self.bytes.extend(packed);
                self.count += packed.len() / self.datatype.width();
            }
            (6, Value::Four(one)) => {
                self.bytes.extend(one);
                self.count += 1;
            }
            (7, Value::Eight(one)) => {
                self.bytes.extend(one);
                self.count += 1;
            }
            (1..=5, Value::Bytes(mut packed)) => {
                while packed.has_remaining() && self.count <= self.wanted {
                    let one = decode_varint(&mut packed).map_err(|_cut| broken())?;
                    self.whole(one)?;
                }
            }
            (1..=5, Value::Whole(one)) => self.whole(one)?,
            _ => return Err(broken()),
        }
        Ok(())
    }

    /// Takes a whole number, as wide as its datatype is.
    fn whole(&mut self, number: u64) -> Result<(), Failure> {
        let signed = number.cast_signed();
        let fits = match self.datatype {
            Datatype::Bool => {
                self.bytes.push(u8::from(number != 0));
                true
            }
            Datatype::Int64 | Datatype::Uint64 => put(&mut self.bytes, Some(number.to_le_bytes())),
            Datatype::Int32 => put(&mut self.bytes, i32::try_from(signed).ok().map(i32::to_le_bytes)),
            Datatype::Int16 => put(&mut self.bytes, i16::try_from(signed).ok().map(i16::to_le_bytes)),
            Datatype::Int8 => put(&mut self.bytes, i8::try_from(signed).ok().map(i8::to_le_bytes)),
            Datatype::Uint32 => put(&mut self.bytes, u32::try_from(number).ok().map(u32::to_le_bytes)),
            Datatype::Uint16 => put(&mut self.bytes, u16::try_from(number).ok().map(u16::to_le_bytes)),
            Datatype::Uint8 => put(&mut self.bytes, u8::try_from(number).ok().map(u8::to_le_bytes)),
            Datatype::Fp16 | Datatype::Fp32 | Datatype::Fp64 | Datatype::Bytes => false,
        };
        if !fits {
            return Err(Failure::bad_request(format!(
                "input `{}`: element {} does not fit {}",
                self.name,
                self.count,
                self.datatype.as_str()
            )));
        }
        self.count += 1;
        Ok(())
    }
}

/// Says whether a part of a message is its end.
fn is_last(message: &[u8], part: &[u8]) -> bool {
    message.as_ptr_range().end == part.as_ptr_range().end
}

fn put<const WIDTH: usize>(bytes: &mut Vec<u8>, number: Option<[u8; WIDTH]>) -> bool {
    if let Some(number) = number {
        bytes.extend(number);
    }
    number.is_some()
}

fn field_name(field: u32) -> Option<&'static str> {
    FIELDS.get(usize::try_from(field).ok()?.checked_sub(1)?).copied()
}

/// The value of a field, by how it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Value<'a> {
    Whole(u64),
    Eight([u8; 8]),
    Four([u8; 4]),
    Bytes(&'a [u8]),
}

impl Value<'_> {
    fn is_empty(&self) -> bool {
        matches!(self, Value::Bytes([]))
    }
}

/// The fields of a message, one after the other.
struct Fields<'a> {
    rest: &'a [u8],
    /// How many more there may be.
    left: usize,
}

impl<'a> Fields<'a> {
    fn of(rest: &'a [u8]) -> Self {
        Self {
            rest,
            left: FIELDS_MAX,
        }
    }

    /// Elements may be a field each.
    fn of_elements(rest: &'a [u8]) -> Self {
        Self {
            rest,
            left: usize::MAX,
        }
    }

    fn read(&mut self) -> Result<(u32, Value<'a>), Failure> {
        self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| Failure::bad_request(format!("the message has more than {FIELDS_MAX} fields")))?;
        let (field, kind) = decode_key(&mut self.rest).map_err(|_cut| broken())?;
        let value = match kind {
            WireType::Varint => Value::Whole(decode_varint(&mut self.rest).map_err(|_cut| broken())?),
            WireType::SixtyFourBit => Value::Eight(self.chunk()?),
            WireType::ThirtyTwoBit => Value::Four(self.chunk()?),
            WireType::LengthDelimited => {
                let length = decode_varint(&mut self.rest).map_err(|_cut| broken())?;
                let own = usize::try_from(length).ok();
                let (own, rest) = own
                    .and_then(|own| self.rest.split_at_checked(own))
                    .ok_or_else(broken)?;
                self.rest = rest;
                Value::Bytes(own)
            }
            // Of the second edition of protobuf; no message of the protocol has them.
            WireType::StartGroup | WireType::EndGroup => return Err(broken()),
        };
        Ok((field, value))
    }

    fn chunk<const WIDTH: usize>(&mut self) -> Result<[u8; WIDTH], Failure> {
        let (own, rest) = self.rest.split_first_chunk().ok_or_else(broken)?;
        self.rest = rest;
        Ok(*own)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

fn text<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, Failure> {
    std::str::from_utf8(bytes).map_err(|_other| Failure::bad_request(format!("{what} is no text in UTF-8")))
}

fn broken() -> Failure {
    Failure::bad_request("failed to read the message: it is no ModelInferRequest, or cut off".to_owned())
}

#[cfg(test)]
mod tests;
