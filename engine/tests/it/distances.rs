//! `Scan` in the one form that is taken: distances to constant points, as skl2onnx writes them.

use engine::Type;

use crate::model::{Elements, Given, Model, Value, answer};

/// Says how far rows of so many numbers are from two points, by the nodes of a body; an operator with `axes` reduces.
fn distances(operators: &[&str], rows: (Type, i64), points: (&[i64], &Elements)) -> Model {
    let mut body = Model::new(13, 1)
        .input("kept", rows.0, &[-1, rows.1])
        .input("point", rows.0, &[rows.1])
        .node("Identity", &["kept"], &["kept_out"], &[]);
    for (at, operator) in operators.iter().enumerate() {
        let (before, after) = (format!("v{at}"), format!("v{}", at + 1));
        let inputs = match at {
            0 => vec!["kept", "point"],
            _ => vec![before.as_str()],
        };
        let reduces = [("axes", Value::Ints(vec![1])), ("keepdims", Value::Int(0))];
        let attributes: &[_] = if operator.starts_with("Reduce") {
            &reduces
        } else {
            &[]
        };
        body = body.node(operator, &inputs, &[&after], attributes);
    }
    let last = format!("v{}", operators.len());
    let body = body.node("Identity", &[&last], &["found_out"], &[]);
    let body = body.output("kept_out").output("found_out");
    Model::new(13, 1)
        .input("x", rows.0, &[-1, rows.1])
        .constant("points", points.0, points.1)
        .node(
            "Scan",
            &["x", "points"],
            &["rows", "found"],
            &[
                ("body", Value::Graph(Box::new(body))),
                ("num_scan_inputs", Value::Int(1)),
            ],
        )
        .node(
            "Transpose",
            &["found"],
            &["y"],
            &[("perm", Value::Ints(vec![1, 0]))],
        )
        .output("y")
}

fn points(numbers: &[f32]) -> Elements {
    Elements::F32(numbers.to_vec())
}

#[test]
fn rows_are_as_far_from_points_as_the_body_says() {
    let points = points(&[0.0, 0.0, 3.0, 1.0]);
    for (operators, expected) in [
        (&["Sub", "ReduceSumSquare"][..], "25 9"),
        (&["Sub", "ReduceSumSquare", "Sqrt"], "5 3"),
        (&["Sub", "Abs", "ReduceSum"], "7 3"),
        (&["Sub", "Abs", "ReduceMax"], "4 3"),
    ] {
        let model = distances(operators, (Type::F32, 2), (&[2, 2], &points));
        let said = answer(&model, 1, &[Given::F32(vec![3.0, 4.0])]);
        assert_eq!(said, format!("FP32 [1, 2]: {expected}"), "{operators:?}");
    }
}

#[test]
fn points_of_another_kind_than_the_rows_are_refused() {
    let euclidean = &["Sub", "ReduceSumSquare"][..];
    let two = points(&[0.0, 0.0, 3.0, 1.0]);
    for (operators, rows, points, told) in [
        (euclidean, (Type::F32, 4), (&[2, 2][..], &two), "takes [rows, "),
        (euclidean, (Type::F32, 2), (&[4], &two), "takes [rows, "),
        (
            euclidean,
            (Type::F32, 2),
            (&[2, 2], &Elements::F64(vec![0.0; 4])),
            "takes [rows, ",
        ),
        (
            &["Sub", "Exp", "ReduceSum"],
            (Type::F32, 2),
            (&[2, 2], &two),
            "has the body Identity, Sub, Exp, ReduceSum, Identity",
        ),
    ] {
        let refused = distances(operators, rows, points).read().unwrap_err().to_string();
        assert!(refused.contains(told), "{refused}");
    }
}
