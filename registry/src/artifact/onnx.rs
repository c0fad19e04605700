//! The ONNX messages that our artifacts are made of: those fields of `onnx.proto` that we write or judge.
//!
//! There is no field that nests graphs, so decoding does not recurse. [`scan`] bounds what decoding allocates: call it
//! before [`prost::Message::decode`] on anything read from outside.

use prost::bytes::Buf as _;
use prost::encoding::{WireType, decode_key, decode_varint};

use super::{ArtifactError, Limits};

/// `TensorProto.DataType`.
pub(super) mod data_type {
    pub(crate) const UINT8: i32 = 2;
    pub(crate) const INT64: i32 = 7;
    pub(crate) const STRING: i32 = 8;
    pub(crate) const DOUBLE: i32 = 11;
}

/// `AttributeProto.AttributeType`.
pub(super) mod attribute_type {
    pub(crate) const INT: i32 = 2;
    pub(crate) const TENSOR: i32 = 4;
    pub(crate) const INTS: i32 = 7;
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ModelProto {
    #[prost(int64, tag = "1")]
    pub(super) ir_version: i64,
    #[prost(string, tag = "2")]
    pub(super) producer_name: String,
    #[prost(message, optional, tag = "7")]
    pub(super) graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub(super) opset_import: Vec<OperatorSetIdProto>,
    #[prost(message, repeated, tag = "14")]
    pub(super) metadata_props: Vec<StringStringEntryProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StringStringEntryProto {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct OperatorSetIdProto {
    #[prost(string, tag = "1")]
    pub(super) domain: String,
    #[prost(int64, tag = "2")]
    pub(super) version: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub(super) node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub(super) input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub(super) output: Vec<ValueInfoProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub(super) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) output: Vec<String>,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(string, tag = "4")]
    pub(super) op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) attribute: Vec<AttributeProto>,
    #[prost(string, tag = "7")]
    pub(super) domain: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AttributeProto {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(int64, tag = "3")]
    pub(super) i: i64,
    #[prost(message, optional, tag = "5")]
    pub(super) t: Option<TensorProto>,
    #[prost(int64, repeated, tag = "8")]
    pub(super) ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    pub(super) kind: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub(super) dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub(super) data_type: i32,
    #[prost(int32, repeated, tag = "5")]
    pub(super) int32_data: Vec<i32>,
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub(super) string_data: Vec<Vec<u8>>,
    #[prost(int64, repeated, tag = "7")]
    pub(super) int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    pub(super) name: String,
    #[prost(bytes = "vec", tag = "9")]
    pub(super) raw_data: Vec<u8>,
    #[prost(double, repeated, tag = "10")]
    pub(super) double_data: Vec<f64>,
    #[prost(int32, tag = "14")]
    pub(super) data_location: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ValueInfoProto {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, optional, tag = "2")]
    pub(super) kind: Option<TypeProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub(super) tensor_type: Option<TensorTypeProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TensorTypeProto {
    #[prost(int32, tag = "1")]
    pub(super) elem_type: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) shape: Option<TensorShapeProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    pub(super) dim: Vec<DimensionProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct DimensionProto {
    #[prost(oneof = "Dimension", tags = "1, 2")]
    pub(super) value: Option<Dimension>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Dimension {
    #[prost(int64, tag = "1")]
    Value(i64),
    #[prost(string, tag = "2")]
    Param(String),
}

/// What a length-delimited field holds, as far as its cost in memory goes.
enum Field {
    /// A nested message with these fields.
    Message(&'static [(u32, Self)]),
    /// Packed varints: a byte can become eight.
    Integers,
}

const TENSOR: &[(u32, Field)] = &[(1, Field::Integers), (5, Field::Integers), (7, Field::Integers)];
const VALUE_INFO: &[(u32, Field)] = &[(
    2,
    Field::Message(&[(
        1,
        Field::Message(&[(2, Field::Message(&[(1, Field::Message(&[]))]))]),
    )]),
)];
const MODEL: &[(u32, Field)] = &[
    (
        7,
        Field::Message(&[
            (
                1,
                Field::Message(&[(
                    5,
                    Field::Message(&[(5, Field::Message(TENSOR)), (8, Field::Integers)]),
                )]),
            ),
            (5, Field::Message(TENSOR)),
            (11, Field::Message(VALUE_INFO)),
            (12, Field::Message(VALUE_INFO)),
        ]),
    ),
    (8, Field::Message(&[])),
    (14, Field::Message(&[])),
];

/// Walks the wire format and refuses what would make decoding allocate out of proportion to the file's size.
///
/// Messages, texts and numbers are counted against `limits`; the walk allocates nothing and is linear in the size.
pub(super) fn scan(bytes: &[u8], limits: &Limits) -> Result<(), ArtifactError> {
    let mut counts = Counts::default();
    walk(bytes, MODEL, limits, &mut counts)
}

#[derive(Default)]
struct Counts {
    fields: usize,
    integers: usize,
}

fn walk(
    mut bytes: &[u8],
    fields: &[(u32, Field)],
    limits: &Limits,
    counts: &mut Counts,
) -> Result<(), ArtifactError> {
    let truncated = || ArtifactError::Malformed {
        reason: "a field ends after its message".to_owned(),
    };
    while !bytes.is_empty() {
        let (tag, wire) = decode_key(&mut bytes).map_err(ArtifactError::malformed)?;
        match wire {
            WireType::Varint => {
                decode_varint(&mut bytes).map_err(ArtifactError::malformed)?;
                counts.integers += 1;
            }
            WireType::ThirtyTwoBit if bytes.len() >= 4 => bytes.advance(4),
            WireType::SixtyFourBit if bytes.len() >= 8 => bytes.advance(8),
            WireType::LengthDelimited => {
                let length = decode_varint(&mut bytes).map_err(ArtifactError::malformed)?;
                let length = usize::try_from(length)
                    .ok()
                    .filter(|length| *length <= bytes.len())
                    .ok_or_else(truncated)?;
                let (content, rest) = bytes.split_at(length);
                bytes = rest;
                counts.fields += 1;
                match fields
                    .iter()
                    .find(|(known, _)| *known == tag)
                    .map(|(_, field)| field)
                {
                    Some(Field::Message(nested)) => walk(content, nested, limits, counts)?,
                    // Each varint has exactly one byte without the continuation bit.
                    Some(Field::Integers) => {
                        counts.integers += content.iter().filter(|byte| **byte < 0x80).count();
                    }
                    None => {}
                }
            }
            WireType::StartGroup | WireType::EndGroup => {
                return Err(ArtifactError::Malformed {
                    reason: "a protobuf group, which ONNX does not use".to_owned(),
                });
            }
            WireType::ThirtyTwoBit | WireType::SixtyFourBit => return Err(truncated()),
        }
        if counts.fields > limits.fields_max {
            return Err(ArtifactError::TooMany {
                what: "fields",
                max: limits.fields_max,
            });
        }
        if counts.integers > limits.integers_max {
            return Err(ArtifactError::TooMany {
                what: "integers",
                max: limits.integers_max,
            });
        }
    }
    Ok(())
}
