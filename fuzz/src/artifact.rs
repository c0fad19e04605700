//! An ONNX file.

use engine::{Buffer, Program, Scratch};
use registry::artifact::{Limits, Model, Predictions, encode, encode_with_signature};

/// What is read predicts, and is read back from what is written of it.
pub(crate) fn take(bytes: &[u8]) {
    let Ok((model, signature)) = Model::decode_with_signature(bytes, &Limits::default()) else {
        return;
    };
    let width = model.width();
    if width > 1_000 {
        return;
    }
    let rows: Vec<f64> = [0.5, -1e300, f64::NAN, 3.0]
        .iter()
        .flat_map(|value| vec![*value; width])
        .collect();
    let predictions = model.predict(&rows);
    assert_eq!(predictions.rows(), 4);
    answered_alike(bytes, &rows, &predictions);
    let written = match &signature {
        Some(signature) => encode_with_signature(model.graph(), signature),
        None => encode(model.graph()),
    };
    let (again, kept) = Model::decode_with_signature(&written, &Limits::default()).unwrap();
    assert_eq!(kept, signature);
    assert_eq!(bits(&again.predict(&rows)), bits(&predictions));
}

/// The engine, which reads any team's files, answers ours as they are answered here.
fn answered_alike(bytes: &[u8], rows: &[f64], predictions: &Predictions) {
    let program = Program::read(bytes, &engine::Limits::default()).unwrap();
    let inputs = [Buffer::F64(rows.to_vec())];
    let answers = program.run(&mut Scratch::default(), &inputs, predictions.rows());
    let Some(Buffer::F64(numbers)) = answers.last() else {
        panic!("{answers:?}");
    };
    for (own, other) in numbers.iter().zip(predictions.numbers()) {
        let near = (own - other).abs() <= 1e-9 * own.abs().max(other.abs());
        assert!(
            near || own.to_bits() == other.to_bits() || own.is_nan() && other.is_nan(),
            "{own} {other}"
        );
    }
}

/// NaN is one of the numbers here.
fn bits(predictions: &Predictions) -> Vec<u64> {
    predictions
        .numbers()
        .iter()
        .map(|number| number.to_bits())
        .collect()
}
