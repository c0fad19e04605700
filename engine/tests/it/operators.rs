//! Operators by what they answer, each row worked out by hand from the specification.

use engine::Type;

use crate::model::{Elements, Given, Model, Value, answer};

/// One node over `x`, rows of three FP32, and constants `a`, `b`, …: 1.5 −2 NaN and 0 4 1.
#[track_caller]
fn check(
    operator: &str,
    version: i64,
    constants: &[(Vec<i64>, Elements)],
    attributes: &[(&str, Value)],
    expected: &str,
) {
    let names = ["a", "b", "c", "d"];
    let mut model = Model::new(version, 3).input("x", Type::F32, &[-1, 3]);
    let mut inputs = vec!["x"];
    for ((dims, elements), name) in constants.iter().zip(names) {
        model = model.constant(name, dims, elements);
        inputs.push(name);
    }
    let model = model.node(operator, &inputs, &["y"], attributes).output("y");
    let given = Given::F32(vec![1.5, -2.0, f32::NAN, 0.0, 4.0, 1.0]);
    assert_eq!(
        answer(&model, 2, &[given]),
        expected,
        "{operator} of operator set {version}"
    );
}

fn floats(values: &[f32]) -> (Vec<i64>, Elements) {
    (
        vec![values.len().try_into().unwrap()],
        Elements::F32(values.to_vec()),
    )
}

fn ints(values: &[i64]) -> (Vec<i64>, Elements) {
    (
        vec![values.len().try_into().unwrap()],
        Elements::I64(values.to_vec()),
    )
}

#[test]
fn one_entry_at_a_time() {
    for (operator, expected) in [
        ("Abs", "FP32 [2, 3]: 1.5 2 NaN 0 4 1"),
        ("Neg", "FP32 [2, 3]: -1.5 2 NaN -0 -4 -1"),
        ("Relu", "FP32 [2, 3]: 1.5 0 NaN 0 4 1"),
        ("Sign", "FP32 [2, 3]: 1 -1 NaN 0 1 1"),
        ("Sqrt", "FP32 [2, 3]: 1.2247449 NaN NaN 0 2 1"),
        ("Floor", "FP32 [2, 3]: 1 -2 NaN 0 4 1"),
        ("Round", "FP32 [2, 3]: 2 -2 NaN 0 4 1"),
        ("Softsign", "FP32 [2, 3]: 0.6 -0.6666667 NaN 0 0.8 0.5"),
        ("HardSwish", "FP32 [2, 3]: 1.125 -0.3333333 NaN 0 4 0.6666667"),
        (
            "Mish",
            "FP32 [2, 3]: 1.4033782 -0.25250146 NaN 0 3.997413 0.8650984",
        ),
        ("Celu", "FP32 [2, 3]: 1.5 -0.86466473 NaN 0 4 1"),
        ("ThresholdedRelu", "FP32 [2, 3]: 1.5 0 0 0 4 0"),
        ("IsNaN", "BOOL [2, 3]: false false true false false false"),
        ("Reciprocal", "FP32 [2, 3]: 0.6666667 -0.5 NaN inf 0.25 1"),
        (
            "Sigmoid",
            "FP32 [2, 3]: 0.81757444 0.11920292 NaN 0.5 0.98201376 0.7310586",
        ),
    ] {
        check(operator, 13, &[], &[], expected);
    }
}

#[test]
fn a_row_is_brought_to_its_own_scale() {
    let (scale, bias) = (floats(&[1.0, 2.0, 1.0]), floats(&[0.0, 0.0, 1.0]));
    for (constants, attributes, expected) in [
        (
            vec![scale.clone(), bias],
            vec![],
            "FP32 [2, 3]: NaN NaN NaN -0.98057884 2.745621 0.6077685",
        ),
        (
            vec![scale],
            vec![("epsilon", Value::Float(1.0))],
            "FP32 [2, 3]: NaN NaN NaN -0.84515417 2.366432 -0.33806166",
        ),
        (
            vec![floats(&[1.0])],
            vec![],
            "LayerNormalization \"n0\": has 1 scales and 3 offsets for 3 entries",
        ),
    ] {
        check("LayerNormalization", 17, &constants, &attributes, expected);
    }
}

#[test]
fn two_values_are_stretched_to_one_shape() {
    let row = floats(&[10.0, 20.0, 30.0]);
    let column = (vec![1, 1], Elements::F32(vec![2.0]));
    check(
        "Add",
        13,
        std::slice::from_ref(&row),
        &[],
        "FP32 [2, 3]: 11.5 18 NaN 10 24 31",
    );
    check(
        "Mul",
        13,
        std::slice::from_ref(&column),
        &[],
        "FP32 [2, 3]: 3 -4 NaN 0 8 2",
    );
    check(
        "Less",
        13,
        std::slice::from_ref(&column),
        &[],
        "BOOL [2, 3]: true true false true false true",
    );
    check("Max", 13, &[floats(&[0.0])], &[], "FP32 [2, 3]: 1.5 0 NaN 0 4 1");
    check("Pow", 13, &[column], &[], "FP32 [2, 3]: 2.25 4 NaN 0 16 1");
    check("Pow", 13, &[ints(&[3])], &[], "FP32 [2, 3]: 3.375 -8 NaN 0 64 1");
    check(
        "Add",
        13,
        &[floats(&[1.0, 2.0])],
        &[],
        "Add \"n0\": takes [rows, 3] and [2] together",
    );
    check(
        "Add",
        13,
        &[ints(&[1])],
        &[],
        "Add \"n0\": takes FP32 and INT64; supported: two of one type",
    );
    // The shorter shape is stretched whichever side it stands on.
    let model = Model::new(13, 3)
        .input("x", Type::F32, &[-1, 1])
        .constant(
            "a",
            &[2, 1, 3],
            &Elements::F32(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        )
        .node("Sub", &["a", "x"], &["wide"], &[])
        .node(
            "Transpose",
            &["wide"],
            &["y"],
            &[("perm", Value::Ints(vec![1, 0, 2]))],
        )
        .output("y");
    let given = [Given::F32(vec![0.0, 10.0])];
    assert_eq!(
        answer(&model, 2, &given),
        "FP32 [2, 2, 3]: 1 2 3 4 5 6 -9 -8 -7 -6 -5 -4"
    );
}

#[test]
fn whole_numbers_wrap_and_divide_by_zero_to_zero() {
    let model = |operator: &str, by: i64, attributes: &[(&str, Value)]| {
        Model::new(13, 3)
            .input("x", Type::I64, &[-1, 1])
            .constant("a", &[1], &Elements::I64(vec![by]))
            .node(operator, &["x", "a"], &["y"], attributes)
            .output("y")
    };
    let given = [Given::I64(vec![7, -7, i64::MAX])];
    for (operator, by, attributes, expected) in [
        ("Div", 2, vec![], "INT64 [3, 1]: 3 -3 4611686018427387903"),
        ("Div", 0, vec![], "INT64 [3, 1]: 0 0 0"),
        ("Add", 1, vec![], "INT64 [3, 1]: 8 -6 -9223372036854775808"),
        ("Mod", 3, vec![], "INT64 [3, 1]: 1 2 1"),
        ("Mod", 3, vec![("fmod", Value::Int(1))], "INT64 [3, 1]: 1 -1 1"),
    ] {
        assert_eq!(
            answer(&model(operator, by, &attributes), 3, &given),
            expected,
            "{operator} {by}"
        );
    }
}

#[test]
fn axes_are_taken_together_but_never_the_rows() {
    let last = || vec![("axes", Value::Ints(vec![-1])), ("keepdims", Value::Int(0))];
    let model = |operator: &str, attributes: &[(&str, Value)]| {
        Model::new(11, 3)
            .input("x", Type::F32, &[-1, 3])
            .node(operator, &["x"], &["y"], attributes)
            .output("y")
    };
    let given = [Given::F32(vec![1.0, -2.0, 4.0, 0.0, 3.0, 4.0])];
    for (operator, expected) in [
        ("ReduceSum", "FP32 [2]: 3 7"),
        ("ReduceMean", "FP32 [2]: 1 2.3333333"),
        ("ReduceMax", "FP32 [2]: 4 4"),
        ("ReduceMin", "FP32 [2]: -2 0"),
        ("ReduceProd", "FP32 [2]: -8 0"),
        ("ReduceL1", "FP32 [2]: 7 7"),
        ("ReduceL2", "FP32 [2]: 4.582576 5"),
        ("ReduceSumSquare", "FP32 [2]: 21 25"),
        ("ReduceLogSumExp", "FP32 [2]: 4.0509458 4.326563"),
    ] {
        assert_eq!(
            answer(&model(operator, &last()), 2, &given),
            expected,
            "{operator}"
        );
    }
    assert_eq!(
        answer(&model("ReduceSum", &[("axes", Value::Ints(vec![0]))]), 2, &given),
        "ReduceSum \"n0\": works along axis 0 of [rows, 3], which mixes rows; supported: operators that work row by row"
    );
    assert_eq!(
        answer(
            &model("ArgMax", &[("axis", Value::Int(1)), ("keepdims", Value::Int(0))]),
            2,
            &given
        ),
        "INT64 [2]: 2 2"
    );
    assert_eq!(
        answer(&model("Softmax", &[]), 2, &given),
        "FP32 [2, 3]: 0.047314156 0.0023556333 0.95033026 0.013212888 0.26538795 0.7213992"
    );
}

#[test]
fn elements_move_within_their_rows() {
    let x = || Model::new(13, 3).input("x", Type::F32, &[-1, 3]);
    let given = [Given::F32(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])];
    let index = |values: &[i64]| Elements::I64(values.to_vec());
    for (model, expected) in [
        (
            x().constant("i", &[2], &index(&[2, -3])).node(
                "Gather",
                &["x", "i"],
                &["y"],
                &[("axis", Value::Int(1))],
            ),
            "FP32 [2, 2]: 3 1 6 4",
        ),
        (
            x().constant("i", &[1], &index(&[0]))
                .node("Gather", &["x", "i"], &["y"], &[]),
            "Gather \"n0\": works along axis 0 of [rows, 3], which mixes rows; supported: operators that work row by row",
        ),
        (
            x().constant("s", &[1], &index(&[2]))
                .constant("e", &[1], &index(&[-4]))
                .constant("a", &[1], &index(&[1]))
                .constant("t", &[1], &index(&[-2]))
                .node("Slice", &["x", "s", "e", "a", "t"], &["y"], &[]),
            "FP32 [2, 2]: 3 1 6 4",
        ),
        (
            x().node("Concat", &["x", "x"], &["y"], &[("axis", Value::Int(-1))]),
            "FP32 [2, 6]: 1 2 3 1 2 3 4 5 6 4 5 6",
        ),
        (
            x().node("Concat", &["x", "x"], &["y"], &[("axis", Value::Int(0))]),
            "output \"y\": has shape [2, rows, 3]; supported: a row of it for each row of a request",
        ),
        (
            x().constant("p", &[2], &index(&[1, 2])).node(
                "Split",
                &["x", "p"],
                &["z", "y"],
                &[("axis", Value::Int(1))],
            ),
            "FP32 [2, 2]: 2 3 5 6",
        ),
        (
            x().constant("s", &[3], &index(&[-1, 1, 3]))
                .node("Reshape", &["x", "s"], &["y"], &[]),
            "FP32 [2, 1, 3]: 1 2 3 4 5 6",
        ),
        (
            x().constant("s", &[2], &index(&[3, -1]))
                .node("Reshape", &["x", "s"], &["y"], &[]),
            "Reshape \"n0\": makes [3, rows] of [rows, 3], which mixes rows; supported: shapes that keep rows apart",
        ),
        // What a model says of its own shape is known, whatever the rows are.
        (
            x().node("Shape", &["x"], &["s"], &[])
                .node(
                    "ConstantOfShape",
                    &["s"],
                    &["o"],
                    &[("value", Value::Tensor(vec![1], Elements::F32(vec![7.0])))],
                )
                .node("Add", &["x", "o"], &["y"], &[]),
            "FP32 [2, 3]: 8 9 10 11 12 13",
        ),
        (
            x().constant("i", &[2], &index(&[0, 2])).node(
                "ai.onnx.ml.ArrayFeatureExtractor",
                &["x", "i"],
                &["y"],
                &[],
            ),
            "FP32 [2, 2]: 1 3 4 6",
        ),
        (
            x().constant("w", &[3, 2], &Elements::F32(vec![1.0, 0.0, 0.0, 1.0, 1.0, 1.0]))
                .constant("b", &[2], &Elements::F32(vec![0.5, -0.5]))
                .node("Gemm", &["x", "w", "b"], &["y"], &[("alpha", Value::Float(2.0))]),
            "FP32 [2, 2]: 8.5 9.5 20.5 21.5",
        ),
    ] {
        assert_eq!(answer(&model.output("y"), 2, &given), expected);
    }
}

#[test]
fn classical_operators_take_rows_of_numbers() {
    let x = || Model::new(13, 3).input("x", Type::F32, &[-1, 2]);
    let given = [Given::F32(vec![3.0, -4.0, 0.0, f32::NAN])];
    for (operator, attributes, expected) in [
        (
            "Scaler",
            vec![
                ("offset", Value::Floats(vec![1.0, 0.0])),
                ("scale", Value::Floats(vec![2.0])),
            ],
            "FP32 [2, 2]: 4 -8 -2 NaN",
        ),
        (
            "Normalizer",
            vec![("norm", Value::Text("L2"))],
            "FP32 [2, 2]: 0.6 -0.8 NaN NaN",
        ),
        (
            "Normalizer",
            vec![("norm", Value::Text("L1"))],
            "FP32 [2, 2]: 0.42857143 -0.5714286 NaN NaN",
        ),
        (
            "Binarizer",
            vec![("threshold", Value::Float(0.5))],
            "FP32 [2, 2]: 1 0 0 0",
        ),
        (
            "Imputer",
            vec![
                ("imputed_value_floats", Value::Floats(vec![9.0, 8.0])),
                ("replaced_value_float", Value::Float(f32::NAN)),
            ],
            "FP32 [2, 2]: 3 -4 0 8",
        ),
        (
            "LinearRegressor",
            vec![
                ("coefficients", Value::Floats(vec![2.0, 1.0])),
                ("intercepts", Value::Floats(vec![0.5])),
            ],
            "FP32 [2, 1]: 2.5 NaN",
        ),
        (
            "LinearRegressor",
            vec![("coefficients", Value::Floats(vec![2.0]))],
            "attribute \"coefficients\" of LinearRegressor \"n0\": has 1 entries, not 1 × 2",
        ),
        (
            "SVMRegressor",
            vec![
                ("kernel_type", Value::Text("RBF")),
                ("kernel_params", Value::Floats(vec![0.5, 0.0, 3.0])),
                ("n_supports", Value::Int(1)),
                ("support_vectors", Value::Floats(vec![3.0, -4.0])),
                ("coefficients", Value::Floats(vec![2.0])),
                ("rho", Value::Floats(vec![1.0])),
            ],
            "FP32 [2, 1]: 3 NaN",
        ),
    ] {
        let operator = format!("ai.onnx.ml.{operator}");
        let model = x().node(&operator, &["x"], &["y"], &attributes).output("y");
        assert_eq!(answer(&model, 2, &given), expected, "{operator}");
    }
}

#[test]
fn texts_are_looked_up_and_an_unknown_one_is_none_of_them() {
    let x = || Model::new(13, 3).input("x", Type::Text, &[-1, 1]);
    let given = [Given::Texts(vec!["red", "green", "blue", ""])];
    let keys = || Value::Texts(vec!["red", "green"]);
    for (model, expected) in [
        (
            x().node(
                "ai.onnx.ml.LabelEncoder",
                &["x"],
                &["y"],
                &[
                    ("keys_strings", keys()),
                    ("values_int64s", Value::Ints(vec![5, 6])),
                    ("default_int64", Value::Int(-3)),
                ],
            ),
            "INT64 [4, 1]: 5 6 -3 -3",
        ),
        (
            x().node(
                "ai.onnx.ml.LabelEncoder",
                &["x"],
                &["y"],
                &[
                    ("keys_strings", keys()),
                    ("values_strings", Value::Texts(vec!["warm", "cold"])),
                ],
            ),
            "BYTES [4, 1]: warm cold _Unused _Unused",
        ),
        (
            x().node(
                "ai.onnx.ml.OneHotEncoder",
                &["x"],
                &["y"],
                &[("cats_strings", keys())],
            ),
            "FP32 [4, 1, 2]: 1 0 0 1 0 0 0 0",
        ),
        (
            x().node(
                "ai.onnx.ml.OneHotEncoder",
                &["x"],
                &["y"],
                &[("cats_strings", keys()), ("zeros", Value::Int(0))],
            ),
            "row 2 has a category that the model does not know, and its OneHotEncoder \"n0\" refuses",
        ),
        (
            x().constant("a", &[1], &Elements::Texts(vec!["blue"]))
                .node("Equal", &["x", "a"], &["y"], &[]),
            "BOOL [4, 1]: false false true false",
        ),
        (
            x().node("Equal", &["x", "x"], &["y"], &[]),
            "Equal \"n0\": compares two texts of a request; supported: one with a constant",
        ),
        (
            x().node("Cast", &["x"], &["y"], &[("to", Value::Int(1))]),
            "Cast \"n0\": casts BYTES to FP32; supported: numbers and truth values, and texts to themselves",
        ),
    ] {
        assert_eq!(answer(&model.output("y"), 4, &given), expected);
    }
}

#[test]
fn classifiers_give_labels_and_scores() {
    let x = || Model::new(13, 3).input("x", Type::F32, &[-1, 1]);
    let given = [Given::F32(vec![-1.0, 0.0, 2.0])];
    let labels = || ("classlabels_strings", Value::Texts(vec!["no", "yes"]));
    let model = x()
        .node(
            "ai.onnx.ml.LinearClassifier",
            &["x"],
            &["label", "scores"],
            &[
                labels(),
                ("coefficients", Value::Floats(vec![-1.0, 1.0])),
                ("intercepts", Value::Floats(vec![0.0, 0.0])),
                ("post_transform", Value::Text("SOFTMAX")),
            ],
        )
        .node("ai.onnx.ml.ZipMap", &["scores"], &["probabilities"], &[labels()])
        .output("label")
        .output("probabilities");
    assert_eq!(
        answer(&model, 3, &given),
        "BYTES [3]: no no yes; FP32 [3, 2]: 0.880797 0.11920292 0.5 0.5 0.01798621 0.98201376"
    );
    let program = model.read().unwrap();
    assert_eq!(
        program.outputs()[1].labels.as_deref(),
        Some(
            &[
                engine::Label::Text("no".to_owned()),
                engine::Label::Text("yes".to_owned())
            ][..]
        )
    );
}

#[test]
fn what_does_not_depend_on_a_request_is_computed_once() {
    let x = Model::new(13, 3)
        .input("x", Type::F64, &[-1, 1])
        .constant("a", &[2], &Elements::F64(vec![1.0, 2.0]))
        .node("Exp", &["a"], &["raised"], &[])
        .node("Log", &["raised"], &["again"], &[])
        .node("ReduceMax", &["again"], &["most"], &[("keepdims", Value::Int(0))])
        .node("Abs", &["x"], &["unused"], &[])
        .node("Add", &["x", "most"], &["y"], &[])
        .output("y");
    let program = x.read().unwrap();
    assert_eq!(answer(&x, 2, &[Given::F64(vec![0.0, 1.0])]), "FP64 [2, 1]: 2 3");
    // One number in, one out: nothing of what nobody reads.
    assert_eq!(program.row_work(), 1);
}
