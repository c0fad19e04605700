//! Models of other teams, as skl2onnx writes them (`tests/models/make.py`).

use super::*;
use crate::metadata::Cell;

const SURVIVAL: &[u8] = include_bytes!("../../../tests/models/survival.onnx");
const FOREST: &[u8] = include_bytes!("../../../tests/models/forest.onnx");
const BOTH: &[u8] = include_bytes!("../../../tests/models/both.onnx");
const COUNTS: &[u8] = include_bytes!("../../../tests/models/counts.onnx");

fn read(bytes: &[u8]) -> Model {
    Model::read(bytes, &Limits::default()).unwrap()
}

fn number(value: f64) -> Cell {
    Cell::Number(value)
}

fn text(value: &str) -> Cell {
    Cell::Text(value.to_owned())
}

/// Shows predictions with as many digits as FP32 has.
fn predicted(bytes: &[u8], cells: &[Cell]) -> String {
    match read(bytes).predict_cells(cells) {
        Ok(Predictions::Numbers(numbers)) => format!("{numbers:.4?}"),
        Ok(Predictions::Classes {
            index,
            probabilities,
            k,
        }) => format!("{index:?} of {k}: {probabilities:.5?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_graph_says_what_it_takes_and_what_its_outputs_mean() {
    let said: Vec<String> = [SURVIVAL, FOREST, BOTH, COUNTS]
        .map(|bytes| {
            let model = read(bytes);
            format!("{}; gives {:?}", shown(model.signature()), model.gives())
        })
        .to_vec();
    expect![[r#"
        age, fare, sex, port: BYTES output_label, FP32 output_probability, labels ["no", "yes"]; gives Classes { label: 0, probabilities: Some(1) }
        X_0, X_1: FP32 variable, labels []; gives Numbers { prediction: 0 }
        X_0, X_1: FP32 variable, labels []; gives Numbers { prediction: 0 }
        X_0, X_1: INT64 label, FP32 probabilities, labels [0, 1]; gives Classes { label: 0, probabilities: Some(1) }"#]].assert_eq(&said.join("\n"));
}

/// What is expected is onnxruntime's.
#[test]
fn rows_of_any_type_are_predicted() {
    let survival = [
        [number(22.0), number(7.25), text("male"), text("Southampton")],
        [number(4.0), number(10.0), text("nobody"), text("")],
    ]
    .concat();
    let wide = [22.0, 7.25, 4.0, 80.0].map(number);
    let said = [
        predicted(SURVIVAL, &survival),
        predicted(FOREST, &wide),
        predicted(BOTH, &wide),
        predicted(COUNTS, &[1.0, 2.0, 8.0, 7.0].map(number)),
        // Rounded to what the input holds.
        predicted(COUNTS, &[1.4, 1.6].map(number)),
    ];
    expect![[r#"
        [Some(0), Some(0)] of 2: [0.81724, 0.18276, 0.51144, 0.48856]
        [20.2368, 96.1457]
        [29.2500, 14.7500, 84.0000, -76.0000]
        [Some(0), Some(1)] of 2: [1.00000, 0.00000, 0.00000, 1.00000]
        [Some(0)] of 2: [1.00000, 0.00000]"#]]
    .assert_eq(&said.join("\n"));
}

#[test]
fn a_cell_that_no_input_takes_is_refused_by_its_column() {
    let said = [
        predicted(SURVIVAL, &[text("old"), number(7.25), text("male"), text("")]),
        predicted(SURVIVAL, &[number(22.0), number(7.25), number(1.0), text("")]),
        predicted(SURVIVAL, &[number(22.0), number(7.25), Cell::Missing, text("")]),
        predicted(FOREST, &[Cell::Missing, number(1.0)]),
        predicted(FOREST, &[number(1e300), number(1.0)]),
        predicted(COUNTS, &[number(1e30), Cell::Bool(true)]),
        predicted(COUNTS, &[number(1.0), Cell::Bool(true)]),
    ];
    expect![[r#"
        column "age" is a text, and the model takes a number there
        column "sex" is a number, and the model takes a text there
        column "sex" is missing, and the model takes a text ("" where there is none) there
        [40.1281]
        column "X_0" is a number, and the model takes a number that FP32 holds there
        column "X_0" is a number, and the model takes a number that INT64 holds there
        column "X_1" is true or false, and the model takes a number there"#]]
    .assert_eq(&said.join("\n"));
}
