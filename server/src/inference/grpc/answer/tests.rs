//! Answers as prost reads them.

use engine::Symbols;
use prost::Message as _;

use super::*;
use crate::inference::grpc::frames::HEAD_BYTES;
use crate::inference::grpc::oip::{InferTensorContents, ModelInferResponse};
use crate::testing::{V1, artifact, linear};
use planner::names::Track;

/// Writes an answer of one output, and reads it.
fn read(buffer: &Buffer, raw: bool) -> ModelInferResponse {
    let artifact = artifact("wine", V1, Track::Stable, &linear(0.0));
    let (model, symbols) = (&artifact.loaded, &Symbols::default());
    let response = InferResponse {
        model_name: "wine",
        model_version: V1,
        id: Some("7"),
        outputs: vec![OutputTensor {
            name: "out",
            shape: vec![buffer.len(), 1],
            datatype: "FP64",
            parameters: None,
            data: Some(Elements {
                buffer,
                model,
                symbols,
            }),
        }],
    };
    let bytes = answer(&response, raw);
    let announced = u32::from_be_bytes(bytes[1..HEAD_BYTES].try_into().expect("four bytes"));
    assert_eq!(usize::try_from(announced), Ok(bytes.len() - HEAD_BYTES));
    let read = ModelInferResponse::decode(&bytes[HEAD_BYTES..]).expect("a message");
    assert_eq!((read.model_name.as_str(), read.id.as_str()), ("wine", "7"));
    assert_eq!(read.outputs[0].name, "out");
    assert_eq!(
        read.outputs[0].shape,
        [i64::try_from(buffer.len()).expect("few"), 1]
    );
    read
}

#[test]
fn numbers_come_in_the_field_of_their_type() {
    let none = InferTensorContents::default;
    for (buffer, expected) in [
        (
            Buffer::F64(vec![0.1, f64::INFINITY]),
            InferTensorContents {
                fp64_contents: vec![0.1, f64::INFINITY],
                ..none()
            },
        ),
        (
            Buffer::F32(vec![0.1, -3.0]),
            InferTensorContents {
                fp32_contents: vec![0.1, -3.0],
                ..none()
            },
        ),
        (
            Buffer::I32(vec![i32::MIN, 300]),
            InferTensorContents {
                int_contents: vec![i32::MIN, 300],
                ..none()
            },
        ),
        (
            Buffer::I64(vec![i64::MIN, -1, 300]),
            InferTensorContents {
                int64_contents: vec![i64::MIN, -1, 300],
                ..none()
            },
        ),
        (
            Buffer::Bool(vec![true, false]),
            InferTensorContents {
                bool_contents: vec![true, false],
                ..none()
            },
        ),
        (Buffer::F64(Vec::new()), none()),
    ] {
        let read = read(&buffer, false);
        assert_eq!(read.outputs[0].contents, Some(expected), "{buffer:?}");
        assert!(read.raw_output_contents.is_empty(), "{buffer:?}");
    }
}

#[test]
fn raw_elements_come_as_the_binary_extension_sends_them() {
    let read = read(&Buffer::F64(vec![0.1, f64::NAN]), true);
    let expected = [0.1_f64.to_le_bytes(), f64::NAN.to_le_bytes()].concat();
    assert_eq!(read.raw_output_contents, [expected]);
    assert_eq!(read.outputs[0].contents, None);
}
