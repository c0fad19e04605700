//! An ONNX file.

use engine::Program;
use registry::artifact::{Limits, Model, Predictions, with_signature};
use registry::metadata::Cell;

/// What is read predicts, and does so alike once it carries its signature.
pub(crate) fn take(bytes: &[u8]) {
    let Ok(model) = Model::read(bytes, &Limits::default()) else {
        return;
    };
    let work = model.program().map_or(0, Program::row_work);
    if model.width() > 1_000 || work > 1_000_000 {
        return;
    }
    let cells = [
        Cell::Number(0.5),
        Cell::Number(-1e300),
        Cell::Missing,
        Cell::Number(3.0),
        Cell::Text("setosa".to_owned()),
        Cell::Bool(true),
    ];
    let signed = with_signature(bytes, model.signature()).unwrap();
    let again = Model::read(&signed, &Limits::default()).unwrap();
    assert_eq!(again.signature(), model.signature());
    for cell in cells {
        let row = vec![cell; model.width()];
        match (model.predict_cells(&row), again.predict_cells(&row)) {
            (Ok(predictions), Ok(others)) => assert_eq!(bits(&others), bits(&predictions)),
            (Err(error), Err(other)) => assert_eq!(other, error),
            (one, other) => panic!("{one:?} {other:?}"),
        }
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
