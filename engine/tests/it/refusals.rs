//! What is refused when a model is read, and by which words.

use engine::{Limits, Program, Type};

use crate::model::{Elements, Model, Value};

#[track_caller]
fn refused(model: &Model, expected: &str) {
    assert_eq!(model.read().unwrap_err().to_string(), expected);
}

fn x() -> Model {
    Model::new(13, 3).input("x", Type::F32, &[-1, 2])
}

#[test]
fn a_model_is_refused_by_the_node_that_is_wrong() {
    for (model, expected) in [
        (
            x().imports("com.microsoft", 1)
                .node("com.microsoft.CDist", &["x", "x"], &["y"], &[])
                .output("y"),
            "CDist \"n0\": is the operator CDist of com.microsoft; supported: the operators of docs/operators.md",
        ),
        (
            x().node("Conv", &["x"], &["y"], &[]).output("y"),
            "Conv \"n0\": is the operator Conv of ai.onnx; supported: the operators of docs/operators.md",
        ),
        (
            x().node("Abs", &["x"], &["y"], &[("alpha", Value::Float(1.0))])
                .output("y"),
            "attribute \"alpha\" of Abs \"n0\": is not known; supported: ",
        ),
        (
            x().node("Abs", &["z"], &["y"], &[]).output("y"),
            "Abs \"n0\": takes \"z\", which nothing before it gives",
        ),
        (
            x().node("Abs", &["x"], &["x"], &[]).output("x"),
            "Abs \"n0\": gives \"x\", which something else gives too",
        ),
        (
            x().node("Abs", &["x"], &["y"], &[]).output("z"),
            "output \"z\": takes \"z\", which nothing before it gives",
        ),
        // Rows of nothing can be cut out; no operator that looks at rows takes them.
        (
            x().constant("s", &[1], &Elements::I64(vec![0]))
                .constant("e", &[1], &Elements::I64(vec![0]))
                .constant("a", &[1], &Elements::I64(vec![1]))
                .node("Slice", &["x", "s", "e", "a"], &["cut"], &[])
                .node(
                    "ai.onnx.ml.LinearRegressor",
                    &["cut"],
                    &["y"],
                    &[("coefficients", Value::Floats(Vec::new()))],
                )
                .output("y"),
            "LinearRegressor \"n1\": takes [rows, 0]; supported: [rows, n]",
        ),
        (
            Model::new(29, 3).input("x", Type::F32, &[-1, 2]).output("x"),
            "operator set \"\": has version 29; supported: 8 to 28",
        ),
        (
            Model::new(13, 6).input("x", Type::F32, &[-1, 2]).output("x"),
            "operator set \"ai.onnx.ml\": has version 6; supported: 1 to 5",
        ),
        (
            Model::new(13, 3).input("x", Type::F32, &[-1, -1]).output("x"),
            "input \"x\": leaves axis 1 open; supported: rows alone",
        ),
        (
            Model::new(13, 3)
                .input("x", Type::F32, &[-1, i64::MAX])
                .output("x"),
            "input \"x\": gives [rows, 9223372036854775807]",
        ),
        // Their number times the width of a row is no number any more.
        (
            x().node(
                "ai.onnx.ml.SVMClassifier",
                &["x"],
                &["label", "y"],
                &[
                    ("classlabels_ints", Value::Ints(vec![0, 1])),
                    ("vectors_per_class", Value::Ints(vec![1 << 62, 1 << 62])),
                    ("support_vectors", Value::Floats(vec![0.0; 4])),
                    ("rho", Value::Floats(vec![0.0])),
                ],
            )
            .output("y"),
            "SVMClassifier \"n0\": counts more vectors than its 4 numbers",
        ),
        // Before an operator makes anything of its width.
        (
            Model::new(13, 3)
                .input("x", Type::F32, &[-1, 1 << 31])
                .node(
                    "ai.onnx.ml.Imputer",
                    &["x"],
                    &["y"],
                    &[("imputed_value_floats", Value::Floats(vec![0.0]))],
                )
                .output("y"),
            "the model has 8589934592 bytes of values for one row, more than the 16777216 allowed",
        ),
        (
            Model::new(13, 3).input("x", Type::F32, &[]).output("x"),
            "input \"x\": has no axis; supported: rows first",
        ),
        (
            x().node("Transpose", &["x"], &["y"], &[]).output("y"),
            "output \"y\": has shape [2, rows]; supported: a row of it for each row of a request",
        ),
        (
            x().output_as("x", Type::Text),
            "output \"x\": is declared as BYTES, and the graph gives FP32",
        ),
        (
            x().constant("c", &[2, 3], &Elements::F32(vec![1.0])).output("x"),
            "tensor \"c\": has shape [2, 3] and 1 values",
        ),
    ] {
        refused(&model, expected);
    }
}

#[test]
fn a_batch_that_was_traced_counts_as_open() {
    let model = Model::new(13, 3)
        .input("x", Type::F32, &[1, 2])
        .constant("s", &[2], &Elements::I64(vec![1, 2]))
        .node("Reshape", &["x", "s"], &["y"], &[])
        .output("y");
    let given = [crate::model::Given::F32(vec![1.0, 2.0, 3.0, 4.0])];
    assert_eq!(crate::model::answer(&model, 2, &given), "FP32 [2, 2]: 1 2 3 4");
}

#[test]
fn values_on_top_of_each_other_keep_rows_apart_by_their_number() {
    let stack = |shape: Vec<i64>| {
        x().node("Neg", &["x"], &["n"], &[])
            .node("Concat", &["x", "n", "x"], &["all"], &[("axis", Value::Int(0))])
            .constant("s", &[i64::try_from(shape.len()).unwrap()], &Elements::I64(shape))
            .node("Reshape", &["all", "s"], &["apart"], &[])
            .node(
                "Transpose",
                &["apart"],
                &["y"],
                &[("perm", Value::Ints(vec![1, 0, 2]))],
            )
            .output("y")
    };
    let given = [crate::model::Given::F32(vec![1.0, 2.0, 3.0, 4.0])];
    assert_eq!(
        crate::model::answer(&stack(vec![3, -1, 2]), 2, &given),
        "FP32 [2, 3, 2]: 1 2 -1 -2 1 2 3 4 -3 -4 3 4"
    );
    refused(
        &stack(vec![-1, 3, 2]),
        "Reshape \"n2\": makes [rows, 3, 2] of [3, rows, 2], which mixes rows; supported: shapes that keep rows apart",
    );
    refused(
        &stack(vec![0, -1, 2]),
        "Reshape \"n2\": keeps axes of [3, rows, 2]; supported: numbers",
    );
    refused(
        &x().node("Concat", &["x", "x"], &["all"], &[("axis", Value::Int(0))])
            .node("Abs", &["all"], &["y"], &[])
            .output("y"),
        "Abs \"n1\": takes [2, rows, 2], in which rows stand one after another; supported: Reshape alone",
    );
    refused(
        &x().node("Concat", &["x", "x"], &["y"], &[("axis", Value::Int(0))])
            .output("y"),
        "output \"y\": has shape [2, rows, 2]; supported: a row of it for each row of a request",
    );
}

#[test]
fn distances_cost_what_there_are_points() {
    let bytes = include_bytes!("../../../fuzz/corpus/model/knn-f32");
    let work = Program::read(bytes, &Limits::default()).unwrap().row_work();
    // Of it, 108 are a difference, its square and the sum, for each of three columns and twelve points.
    assert_eq!(work, 253);
}

#[test]
fn what_costs_too_much_is_refused_before_it_is_asked() {
    let wide = x()
        .constant("s", &[2], &Elements::I64(vec![1, 1000]))
        .constant("o", &[2, 1000], &Elements::F32(vec![1.0; 2000]))
        .node("MatMul", &["x", "o"], &["y"], &[])
        .output("y");
    let bytes = wide.bytes();
    let read = |limits: Limits| {
        Program::read(&bytes, &limits)
            .map(|_| ())
            .map_err(|refusal| refusal.to_string())
    };
    assert_eq!(read(Limits::default()), Ok(()));
    for (limits, expected) in [
        (
            Limits {
                row_bytes_max: 4_000,
                ..Limits::default()
            },
            "the model has 4008 bytes of values for one row, more than the 4000 allowed",
        ),
        (
            Limits {
                row_work_max: 2_000,
                ..Limits::default()
            },
            "the model has 3000 operations for one row, more than the 2000 allowed",
        ),
        (
            Limits {
                constants_max: 1_999,
                ..Limits::default()
            },
            "the model has 2000 numbers in a tensor, more than the 1999 allowed",
        ),
        (
            Limits {
                nodes_max: 0,
                ..Limits::default()
            },
            "the model has 1 inputs, outputs and constants, more than the 0 allowed",
        ),
        (
            Limits {
                bytes_max: 100,
                ..Limits::default()
            },
            "bytes, more than the 100 allowed",
        ),
    ] {
        let said = read(limits).unwrap_err();
        assert!(said.ends_with(expected) || said == expected, "{said}");
    }
}

#[test]
fn different_texts_are_counted_over_the_whole_model() {
    let labels = |texts| [("classlabels_strings", Value::Texts(texts))];
    let model = Model::new(13, 3)
        .input("x", Type::F32, &[-1, 2])
        .node("ai.onnx.ml.ZipMap", &["x"], &["y"], &labels(vec!["one", "two"]))
        .node("ai.onnx.ml.ZipMap", &["x"], &["z"], &labels(vec!["two", "three"]))
        .constant("c", &[2], &Elements::Texts(vec!["four", "one"]))
        .output("y")
        .output("z");
    for (texts_max, text_bytes_max, expected) in [
        (4, 15, Ok(())),
        (
            3,
            15,
            Err("the model has 4 different texts, more than the 3 allowed"),
        ),
        (
            4,
            14,
            Err("the model has 15 bytes of different texts, more than the 14 allowed"),
        ),
    ] {
        let limits = Limits {
            texts_max,
            text_bytes_max,
            ..Limits::default()
        };
        let read = Program::read(&model.bytes(), &limits).map(|_| ());
        assert_eq!(
            read.map_err(|refusal| refusal.to_string()),
            expected.map_err(str::to_owned)
        );
    }
}
