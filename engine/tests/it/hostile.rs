//! Bytes from anybody: refused with words, or answered; never a panic.

use engine::{Buffer, Limits, Program, Scratch, Symbol, Type};
use proptest::prelude::*;

use crate::model::{Elements, Model, Value};

/// A model with something of each kind of step.
fn varied() -> Vec<u8> {
    Model::new(13, 3)
        .input("x", Type::F32, &[-1, 4])
        .input("t", Type::Text, &[-1, 1])
        .constant("i", &[2], &Elements::I64(vec![0, 3]))
        .constant("w", &[2, 2], &Elements::F32(vec![0.5, -1.0, 2.0, 0.25]))
        .node("Gather", &["x", "i"], &["g"], &[("axis", Value::Int(1))])
        .node("MatMul", &["g", "w"], &["m"], &[])
        .node("Softmax", &["m"], &["s"], &[("axis", Value::Int(1))])
        .node(
            "ai.onnx.ml.OneHotEncoder",
            &["t"],
            &["h"],
            &[("cats_strings", Value::Texts(vec!["a", "b"]))],
        )
        .node("Flatten", &["h"], &["f"], &[])
        .node("Concat", &["s", "f"], &["c"], &[("axis", Value::Int(1))])
        .node("TopK", &["c", "k"], &["top", "at"], &[])
        .node("Shape", &["c"], &["shape"], &[])
        .node("ConstantOfShape", &["shape"], &["zeros"], &[])
        .node("Add", &["c", "zeros"], &["y"], &[])
        .constant("k", &[1], &Elements::I64(vec![2]))
        .output("y")
        .output("at")
        .bytes()
}

/// Reads bytes, and answers whatever they have become.
fn take(bytes: &[u8]) {
    let limits = Limits {
        constants_max: 1 << 20,
        row_bytes_max: 1 << 20,
        row_work_max: 1 << 22,
        ..Limits::default()
    };
    let Ok(program) = Program::read(bytes, &limits) else {
        return;
    };
    let mut scratch = Scratch::default();
    for rows in [0, 1, 9] {
        let inputs = program.inputs().iter().map(|tensor| {
            let count = tensor.width() * rows;
            match tensor.element {
                Type::F32 => Buffer::F32(vec![f32::NAN; count]),
                Type::F64 => Buffer::F64(vec![f64::INFINITY; count]),
                Type::I64 => Buffer::I64(vec![i64::MIN; count]),
                Type::I32 => Buffer::I32(vec![-1; count]),
                Type::Bool => Buffer::Bool(vec![true; count]),
                Type::Text => Buffer::Text(vec![Symbol::UNKNOWN; count]),
            }
        });
        let inputs: Vec<Buffer> = inputs.collect();
        let Ok(outputs) = program.run(&mut scratch, &inputs, rows) else {
            continue;
        };
        for (tensor, output) in program.outputs().iter().zip(&outputs) {
            assert_eq!(output.len(), tensor.width() * rows, "{tensor:?}");
        }
    }
}

#[test]
fn each_end_of_a_file_is_refused_or_read() {
    let bytes = varied();
    assert!(Program::read(&bytes, &Limits::default()).is_ok());
    for end in 0..bytes.len() {
        take(&bytes[..end]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn changed_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = varied();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        take(&bytes);
    }
}
