//! Messages as prost writes them, as others may, and as nobody should.

use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::inference::grpc::oip::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use crate::inference::grpc::oip::{InferTensorContents, ModelInferRequest};

fn tensor(name: &str, datatype: &str, shape: &[i64]) -> InferInputTensor {
    InferInputTensor {
        name: name.to_owned(),
        datatype: datatype.to_owned(),
        shape: shape.to_vec(),
        ..InferInputTensor::default()
    }
}

/// Returns the elements that contents hold for a datatype.
fn elements(datatype: &str, wanted: usize, contents: &InferTensorContents) -> Result<Vec<u8>, String> {
    of_bytes(datatype, wanted, vec![&contents.encode_to_vec()])
}

fn of_bytes(datatype: &str, wanted: usize, contents: Vec<&[u8]>) -> Result<Vec<u8>, String> {
    let datatype = datatype.parse().expect("a datatype");
    let given = Given::Contents(contents).bytes("x", datatype, wanted);
    given.map(Cow::into_owned).map_err(|failure| failure.message)
}

#[test]
fn each_datatype_has_its_field() {
    let none = InferTensorContents::default;
    let le = |numbers: &[&[u8]]| Ok(numbers.concat());
    for (datatype, contents, expected) in [
        (
            "BOOL",
            InferTensorContents {
                bool_contents: vec![true, false],
                ..none()
            },
            le(&[&[1], &[0]]),
        ),
        (
            "INT8",
            InferTensorContents {
                int_contents: vec![-128, 127],
                ..none()
            },
            le(&[&[0x80], &[0x7f]]),
        ),
        (
            "INT16",
            InferTensorContents {
                int_contents: vec![-2, 300],
                ..none()
            },
            le(&[&(-2_i16).to_le_bytes(), &300_i16.to_le_bytes()]),
        ),
        (
            "INT32",
            InferTensorContents {
                int_contents: vec![i32::MIN, 7],
                ..none()
            },
            le(&[&i32::MIN.to_le_bytes(), &7_i32.to_le_bytes()]),
        ),
        (
            "INT64",
            InferTensorContents {
                int64_contents: vec![i64::MIN, 7],
                ..none()
            },
            le(&[&i64::MIN.to_le_bytes(), &7_i64.to_le_bytes()]),
        ),
        (
            "UINT8",
            InferTensorContents {
                uint_contents: vec![255, 0],
                ..none()
            },
            le(&[&[255], &[0]]),
        ),
        (
            "UINT64",
            InferTensorContents {
                uint64_contents: vec![u64::MAX, 0],
                ..none()
            },
            le(&[&u64::MAX.to_le_bytes(), &[0; 8]]),
        ),
        (
            "FP32",
            InferTensorContents {
                fp32_contents: vec![0.1, f32::NAN],
                ..none()
            },
            le(&[&0.1_f32.to_le_bytes(), &f32::NAN.to_le_bytes()]),
        ),
        (
            "FP64",
            InferTensorContents {
                fp64_contents: vec![0.1, -1e300],
                ..none()
            },
            le(&[&0.1_f64.to_le_bytes(), &(-1e300_f64).to_le_bytes()]),
        ),
        (
            "BYTES",
            InferTensorContents {
                bytes_contents: vec![b"ab".to_vec(), Vec::new()],
                ..none()
            },
            le(&[&2_u32.to_le_bytes(), b"ab", &0_u32.to_le_bytes()]),
        ),
        (
            "INT8",
            InferTensorContents {
                int_contents: vec![1, 128],
                ..none()
            },
            Err("input `x`: element 1 does not fit INT8".to_owned()),
        ),
        (
            "UINT16",
            InferTensorContents {
                uint_contents: vec![65536],
                ..none()
            },
            Err("input `x`: element 0 does not fit UINT16".to_owned()),
        ),
        (
            "FP64",
            InferTensorContents {
                fp32_contents: vec![1.0],
                ..none()
            },
            Err("input `x`: got fp32_contents, expected fp64_contents, as FP64 has it".to_owned()),
        ),
        (
            "FP16",
            none(),
            Err("input `x`: FP16 comes as raw_input_contents only".to_owned()),
        ),
    ] {
        assert_eq!(elements(datatype, 2, &contents), expected, "{datatype}");
    }
}

/// Elements may be a field each, and lie in several contents: all count, as protobuf has it.
#[test]
fn elements_that_lie_apart_are_put_together() {
    let one = |number: f64| {
        let mut bytes = vec![7 << 3 | 1];
        bytes.extend(number.to_le_bytes());
        bytes
    };
    let packed = InferTensorContents {
        fp64_contents: vec![3.0],
        ..InferTensorContents::default()
    };
    let (first, last) = ([one(1.0), one(2.0)].concat(), packed.encode_to_vec());
    let expected: Vec<u8> = [1.0_f64, 2.0, 3.0]
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    assert_eq!(of_bytes("FP64", 3, vec![&first, &last]), Ok(expected));
}

/// A byte of a message makes eight of a number: no more of them are made than are wanted, and one.
#[test]
fn no_more_elements_are_made_than_are_wanted() {
    let many = InferTensorContents {
        int64_contents: vec![1; 1 << 16],
        ..InferTensorContents::default()
    };
    assert_eq!(elements("INT64", 2, &many).map(|bytes| bytes.len()), Ok(3 * 8));
}

#[test]
fn what_there_is_too_much_of_is_refused() {
    let message = |request: ModelInferRequest| request.encode_to_vec();
    let refused = |bytes: &[u8]| {
        request(bytes)
            .map(|_read| ())
            .map_err(|failure| failure.message)
            .expect_err("too much")
    };
    let inputs = ModelInferRequest {
        inputs: vec![InferInputTensor::default(); TENSORS_MAX + 1],
        ..ModelInferRequest::default()
    };
    assert_eq!(refused(&message(inputs)), "more than 4096 inputs");
    let shape = ModelInferRequest {
        inputs: vec![tensor("x", "FP64", &[1; LENGTHS_MAX + 1])],
        ..ModelInferRequest::default()
    };
    assert_eq!(refused(&message(shape)), "a shape has more than 64 lengths");
    let parameters = [4 << 3 | 2, 0].repeat(FIELDS_MAX + 1);
    assert_eq!(refused(&parameters), "the message has more than 65536 fields");
    assert_eq!(
        named(&parameters).map_err(|failure| failure.message),
        Err("the message has more than 65536 fields".to_owned())
    );
}

#[test]
fn contents_and_raw_contents_are_told_apart() {
    let with = |contents: bool, raw: usize| {
        let contents = contents.then(InferTensorContents::default);
        ModelInferRequest {
            inputs: vec![InferInputTensor {
                contents,
                ..tensor("x", "FP64", &[0])
            }],
            raw_input_contents: vec![Vec::new(); raw],
            ..ModelInferRequest::default()
        }
        .encode_to_vec()
    };
    let read = |bytes: &[u8]| {
        request(bytes)
            .map(|read| read.written)
            .map_err(|failure| failure.message)
    };
    assert_eq!(read(&with(true, 0)), Ok(Written::Message { raw: false }));
    assert_eq!(read(&with(false, 1)), Ok(Written::Message { raw: true }));
    assert_eq!(
        read(&with(true, 1)),
        Err("input `x`: got contents and raw_input_contents, expected one of them".to_owned())
    );
    assert_eq!(
        read(&with(false, 2)),
        Err("got 2 raw_input_contents for 1 inputs, expected one for each".to_owned())
    );
}

fn any_request() -> impl Strategy<Value = ModelInferRequest> {
    let text = "[a-zé]{0,4}";
    let input =
        (text, prop::collection::vec(any::<i64>(), 0..4)).prop_map(|(name, shape)| InferInputTensor {
            shape,
            ..tensor(&name, "FP64", &[])
        });
    let inputs = prop::collection::vec((input, prop::collection::vec(any::<u8>(), 0..9)), 0..4);
    (text, text, text, inputs, prop::collection::vec(text, 0..3)).prop_map(
        |(model_name, model_version, id, inputs, outputs)| {
            let (inputs, raw_input_contents) = inputs.into_iter().unzip();
            let outputs = outputs.into_iter().map(|name| InferRequestedOutputTensor {
                name,
                ..InferRequestedOutputTensor::default()
            });
            ModelInferRequest {
                model_name,
                model_version,
                id,
                inputs,
                outputs: outputs.collect(),
                raw_input_contents,
                ..ModelInferRequest::default()
            }
        },
    )
}

proptest! {
    #[test]
    fn what_prost_writes_is_read(written in any_request()) {
        let bytes = written.encode_to_vec();
        let named = named(&bytes).expect("a name");
        prop_assert_eq!(named.model, &written.model_name);
        prop_assert_eq!(named.version.unwrap_or_default(), &written.model_version);
        let read = request(&bytes).expect("read");
        prop_assert_eq!(read.id.unwrap_or_default(), &*written.id);
        prop_assert_eq!(read.inputs.len(), written.inputs.len());
        for ((read, input), raw) in read.inputs.iter().zip(&written.inputs).zip(&written.raw_input_contents) {
            prop_assert_eq!(&read.name, &input.name);
            let shape: Vec<i64> = read.shape.iter().map(|length| length.0).collect();
            prop_assert_eq!(&shape, &input.shape);
            prop_assert!(matches!(read.given, Some(Given::Raw(bytes)) if bytes == raw), "{:?}", read.given);
        }
        let outputs: Vec<_> = read.outputs.unwrap_or_default().into_iter().map(|output| output.name).collect();
        prop_assert!(outputs.iter().eq(written.outputs.iter().map(|output| &output.name)));
    }

    /// Whatever bytes come, they are read or refused; and what prost takes of them is what we take.
    #[test]
    fn any_bytes_are_read_or_refused(
        written in any_request(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        keep in any::<prop::sample::Index>(),
    ) {
        let mut bytes = written.encode_to_vec();
        if !bytes.is_empty() {
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(keep.index(bytes.len()) + 1);
        }
        let ours = request(&bytes);
        if let (Ok(theirs), Ok(ours)) = (ModelInferRequest::decode(&bytes[..]), ours) {
            prop_assert_eq!(&*ours.id.unwrap_or_default(), &*theirs.id);
            prop_assert_eq!(ours.inputs.len(), theirs.inputs.len());
        }
    }
}
