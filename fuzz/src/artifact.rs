//! An ONNX file.

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
    let written = match &signature {
        Some(signature) => encode_with_signature(model.graph(), signature),
        None => encode(model.graph()),
    };
    let (again, kept) = Model::decode_with_signature(&written, &Limits::default()).unwrap();
    assert_eq!(kept, signature);
    assert_eq!(bits(&again.predict(&rows)), bits(&predictions));
}

/// NaN is one of the numbers here.
fn bits(predictions: &Predictions) -> Vec<u64> {
    predictions
        .numbers()
        .iter()
        .map(|number| number.to_bits())
        .collect()
}
