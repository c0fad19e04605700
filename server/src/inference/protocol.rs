//! The Open Inference Protocol's bodies, as they are on the wire.
//!
//! Fields that the protocol does not know are skipped, as its text asks.

use std::borrow::Cow;
use std::fmt;

use engine::{Buffer, Symbol, Symbols};
use registry::artifact::Model;
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::grpc::Given;
use super::tensor::Data;

/// The body of an infer request.
#[derive(Debug, Deserialize)]
pub(super) struct InferRequest<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) parameters: Option<RequestParameters>,
    #[serde(borrow)]
    pub(super) inputs: Vec<InputTensor<'a>>,
    #[serde(borrow)]
    pub(super) outputs: Option<Vec<RequestedOutput<'a>>>,
    /// What its answer is written as.
    #[serde(skip)]
    pub(super) written: Written,
}

/// What the protocol's answer is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Written {
    /// JSON, with the elements of outputs that are wanted in binary behind it.
    #[default]
    Json,
    /// A message of gRPC.
    Message {
        /// Whether the elements come as bytes, and not as numbers.
        raw: bool,
    },
}

/// One input tensor.
#[derive(Debug, Deserialize)]
pub(super) struct InputTensor<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    pub(super) shape: Vec<Length>,
    #[serde(borrow)]
    pub(super) datatype: Cow<'a, str>,
    pub(super) parameters: Option<InputParameters>,
    pub(super) data: Option<Data>,
    /// What a message of gRPC has instead.
    #[serde(skip)]
    pub(super) given: Option<Given<'a>>,
}

/// One length of a shape: what is below 0 is refused where the tensor's name is known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Length(pub(super) i64);

/// One output that the client wants.
#[derive(Debug, Deserialize)]
pub(super) struct RequestedOutput<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    pub(super) parameters: Option<OutputParameters>,
}

/// What the binary tensor extension asks of a request. Every other parameter is the client's own business.
#[derive(Debug, Deserialize)]
pub(super) struct RequestParameters {
    /// Whether outputs come in binary that do not say themselves.
    pub(super) binary_data_output: Option<bool>,
}

/// What it says of an input.
#[derive(Debug, Deserialize)]
pub(super) struct InputParameters {
    /// How many of the bytes after the JSON are its elements.
    pub(super) binary_data_size: Option<u64>,
}

/// What it asks of an output.
#[derive(Debug, Deserialize)]
pub(super) struct OutputParameters {
    pub(super) binary_data: Option<bool>,
}

/// The body of an answer.
#[derive(Debug, Serialize)]
pub(super) struct InferResponse<'a> {
    pub(super) model_name: &'a str,
    pub(super) model_version: &'a str,
    /// Echoed where it was given, else left out: never null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a str>,
    pub(super) outputs: Vec<OutputTensor<'a>>,
}

/// One output tensor.
#[derive(Debug, Serialize)]
pub(super) struct OutputTensor<'a> {
    pub(super) name: &'a str,
    pub(super) shape: Vec<usize>,
    pub(super) datatype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parameters: Option<BinarySize>,
    /// Absent where its bytes follow the JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<Elements<'a>>,
}

/// How many of the bytes after the JSON are an output's.
#[derive(Debug, Serialize)]
pub(super) struct BinarySize {
    pub(super) binary_data_size: usize,
}

/// The elements of an output tensor, row-major.
#[derive(Debug, Clone, Copy)]
pub(super) struct Elements<'a> {
    pub(super) buffer: &'a Buffer,
    /// These know the texts.
    pub(super) model: &'a Model,
    pub(super) symbols: &'a Symbols,
}

impl<'a> Elements<'a> {
    /// Returns a text; none that the model does not know is ever given.
    pub(super) fn text(&self, symbol: Symbol) -> &'a [u8] {
        self.model.text(symbol, self.symbols).unwrap_or_default()
    }

    /// Returns how many bytes the elements take in binary.
    pub(super) fn binary_bytes(&self) -> usize {
        match self.buffer {
            Buffer::F32(numbers) => size_of_val(&numbers[..]),
            Buffer::F64(numbers) => size_of_val(&numbers[..]),
            Buffer::I32(numbers) => size_of_val(&numbers[..]),
            Buffer::I64(numbers) => size_of_val(&numbers[..]),
            Buffer::Bool(truths) => truths.len(),
            Buffer::Text(symbols) => symbols
                .iter()
                .map(|symbol| size_of::<u32>() + self.text(*symbol).len())
                .sum(),
        }
    }

    /// Appends the elements as the binary tensor extension sends them: little-endian, a text with its length before it.
    pub(super) fn append_to(&self, bytes: &mut Vec<u8>) {
        match self.buffer {
            Buffer::F32(numbers) => numbers
                .iter()
                .for_each(|number| bytes.extend(number.to_le_bytes())),
            Buffer::F64(numbers) => numbers
                .iter()
                .for_each(|number| bytes.extend(number.to_le_bytes())),
            Buffer::I32(numbers) => numbers
                .iter()
                .for_each(|number| bytes.extend(number.to_le_bytes())),
            Buffer::I64(numbers) => numbers
                .iter()
                .for_each(|number| bytes.extend(number.to_le_bytes())),
            Buffer::Bool(truths) => bytes.extend(truths.iter().map(|truth| u8::from(*truth))),
            Buffer::Text(symbols) => {
                for symbol in symbols {
                    let text = self.text(*symbol);
                    let length =
                        u32::try_from(text.len()).expect("invariant: an artifact is bounded in bytes");
                    bytes.extend(length.to_le_bytes());
                    bytes.extend_from_slice(text);
                }
            }
        }
    }
}

impl Serialize for Elements<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.buffer {
            Buffer::F32(numbers) => numbers.serialize(serializer),
            Buffer::F64(numbers) => numbers.serialize(serializer),
            Buffer::I32(numbers) => numbers.serialize(serializer),
            Buffer::I64(numbers) => numbers.serialize(serializer),
            Buffer::Bool(truths) => truths.serialize(serializer),
            Buffer::Text(symbols) => {
                let texts = symbols.iter().map(|symbol| self.text(*symbol));
                serializer.collect_seq(texts.map(String::from_utf8_lossy))
            }
        }
    }
}

impl fmt::Debug for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;

        impl Visitor<'_> for Whole {
            type Value = Length;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number")
            }

            fn visit_u64<E>(self, value: u64) -> Result<Length, E> {
                // Nothing is so long.
                Ok(Length(i64::try_from(value).unwrap_or(i64::MAX)))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Length, E> {
                Ok(Length(value))
            }
        }

        deserializer.deserialize_i64(Whole)
    }
}
