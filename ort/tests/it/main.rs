//! Models of any graph, in processes of their own: with a real ONNX Runtime, which `.ci/run` brings along.

mod common;

use std::time::{Duration, Instant};

use aurora_ort::Limits;
use common::{LIMITS, numbers, open};
use expect_test::{Expect, expect};
use registry::artifact::Predictions;
use registry::metadata::Cell;

fn texts(texts: &[&str]) -> Vec<Cell> {
    texts.iter().map(|text| Cell::Text((*text).to_owned())).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "expect! makes a value")]
fn check(name: &str, expected: Expect) {
    if let Some(opened) = open(name, LIMITS) {
        let said = match opened {
            Err(error) => error.to_string(),
            Ok(model) => format!("{:#?}", model.signature()),
        };
        expected.assert_eq(&said);
    }
}

#[test]
fn what_a_model_takes_and_gives_is_learnt_from_it() {
    check(
        "review.onnx",
        expect![[r#"
        Signature {
            inputs: [
                Tensor {
                    name: "review",
                    datatype: "BYTES",
                    shape: [
                        -1,
                        1,
                    ],
                },
            ],
            outputs: [
                Tensor {
                    name: "output_label",
                    datatype: "BYTES",
                    shape: [
                        -1,
                    ],
                },
                Tensor {
                    name: "output_probability",
                    datatype: "FP32",
                    shape: [
                        -1,
                        2,
                    ],
                },
            ],
            features: [
                Feature {
                    name: "review",
                    derivation: Column(
                        "review",
                    ),
                },
            ],
            labels: Words(
                [
                    "neg",
                    "pos",
                ],
            ),
            target_column: None,
            target_divide_by: None,
            target_unit: None,
            missing_values: false,
            roles: Roles {
                prediction: None,
                label: Some(
                    "output_label",
                ),
                probabilities: Some(
                    "output_probability",
                ),
            },
        }"#]],
    );
    check(
        "gaps.onnx",
        expect![[r#"
        Signature {
            inputs: [
                Tensor {
                    name: "x",
                    datatype: "FP32",
                    shape: [
                        -1,
                        2,
                    ],
                },
            ],
            outputs: [
                Tensor {
                    name: "variable",
                    datatype: "FP32",
                    shape: [
                        -1,
                        1,
                    ],
                },
            ],
            features: [
                Feature {
                    name: "x_0",
                    derivation: Column(
                        "x_0",
                    ),
                },
                Feature {
                    name: "x_1",
                    derivation: Column(
                        "x_1",
                    ),
                },
            ],
            labels: Numbers(
                [],
            ),
            target_column: None,
            target_divide_by: None,
            target_unit: None,
            missing_values: true,
            roles: Roles {
                prediction: Some(
                    "variable",
                ),
                label: None,
                probabilities: None,
            },
        }"#]],
    );
}

#[test]
fn a_model_that_is_none_of_rows_is_refused() {
    check(
        "mixed.onnx",
        expect![[
            r#"ONNX Runtime refuses the model: output "y" says something else of a row by itself than of one beside another: rows are not to hang together"#
        ]],
    );
    check(
        "open_axis.onnx",
        expect![[
            r#"ONNX Runtime refuses the model: input "x" has the shape [-1, -1, 2]: the rows come first, and nothing else is open"#
        ]],
    );
}

#[test]
fn texts_come_and_go_whatever_they_are() {
    let Some(model) = open("review.onnx", LIMITS) else {
        return;
    };
    let model = model.expect("ONNX Runtime reads it");
    let said = model.predict_cells(&texts(&["good film", "awful", "", "ein Film über Ümläute"]));
    expect!["Ok(Classes { index: [Some(1), Some(0), Some(0), Some(0)], probabilities: [0.2581, 0.7419, 0.8427, 0.1573, 0.5000, 0.5000, 0.5888, 0.4112], k: 2 })"].assert_eq(&format!("{said:.4?}"));
    // More rows than are handed over at a time.
    let many: Vec<Cell> = (0..10_000)
        .map(|n| Cell::Text(format!("{} film {n}", ["good", "bad"][n % 2])))
        .collect();
    let Ok(Predictions::Classes {
        index,
        probabilities,
        k,
    }) = model.predict_cells(&many)
    else {
        panic!("classes");
    };
    assert_eq!((index.len(), probabilities.len(), k), (10_000, 20_000, 2));
    assert!(
        index
            .iter()
            .enumerate()
            .all(|(n, index)| *index == Some(1 - n % 2))
    );
}

#[test]
fn what_is_missing_is_passed_on_where_that_has_a_meaning() {
    let Some(model) = open("gaps.onnx", LIMITS) else {
        return;
    };
    let model = model.expect("ONNX Runtime reads it");
    let said = model.predict_cells(&numbers(&[1.0, 2.0, f64::NAN, 3.0, 4.0, f64::NAN]));
    expect!["Ok(Numbers([2.9804, 5.2435, 6.4717]))"].assert_eq(&format!("{said:.4?}"));
}

#[test]
fn a_model_that_wants_more_memory_than_it_may_have_is_refused() {
    if let Some(opened) = open("hungry.onnx", LIMITS) {
        let error = opened.expect_err("it is refused").to_string();
        assert!(
            error.contains("Failed to allocate memory for requested buffer of size 34359738368"),
            "{error}"
        );
    }
}

#[test]
fn what_happens_to_one_model_happens_to_no_other() {
    let limits = Limits {
        answer: Duration::from_secs(2),
        ..LIMITS
    };
    let (Some(slow), Some(gaps)) = (open("slow.onnx", limits), open("gaps.onnx", LIMITS)) else {
        return;
    };
    let (slow, gaps) = (slow.expect("it loads"), gaps.expect("it loads"));
    let fine = numbers(&[1.0, 2.0]);
    let before = gaps.predict_cells(&fine);
    let quick = slow.predict_cells(&fine);
    assert!(quick.is_ok(), "{quick:?}");

    // It takes longer than it may: it is ended, and is there again for the next request.
    let began = Instant::now();
    let late = slow.predict_cells(&numbers(&[1e6, 0.0]));
    expect![[r#"Err(Unanswered(Unavailable("ONNX Runtime does not evaluate the model: it has not answered within 2 s")))"#]].assert_eq(&format!("{late:?}"));
    assert!(began.elapsed() < Duration::from_mins(1));
    assert_eq!(gaps.predict_cells(&fine), before);
    assert_eq!(slow.predict_cells(&fine), quick);
}
