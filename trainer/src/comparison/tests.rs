use expect_test::{Expect, expect};
use planner::training::{Derivation, Feature};
use registry::artifact::{Graph, Limits, encode_with_signature};

use super::*;
use crate::scoring::each_batch;

fn model(graph: &Graph) -> Model {
    let feature = |name: &str| Feature {
        name: name.to_owned(),
        derivation: Derivation::Column(name.to_owned()),
    };
    let signature = graph.signature(vec![feature("a"), feature("b")], None);
    Model::read(&encode_with_signature(graph, &signature), &Limits::default()).unwrap()
}

fn linear(weights: [f64; 2]) -> Model {
    model(&Graph::Linear {
        weights: weights.to_vec(),
        intercept: 0.0,
    })
}

/// The first class where `a` is larger, the other where `b` is.
fn classes(labels: [&str; 2], scale: f64) -> Model {
    model(&Graph::Logistic {
        weights: vec![scale, 0.0, 0.0, scale],
        intercepts: vec![0.0, 0.0],
        labels: Labels::Words(labels.map(str::to_owned).to_vec()),
    })
}

#[expect(clippy::needless_pass_by_value, reason = "expect! makes a value")]
fn check(models: [&Model; 2], content: &str, by: Option<&str>, answer: Option<&str>, expected: Expect) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    let mut comparing = match Comparing::new(models, by.is_some(), answer.map(|_| None)) {
        Ok(comparing) => comparing,
        Err(why) => return expected.assert_eq(&why.to_string()),
    };
    let beside: Vec<String> = by.into_iter().chain(answer).map(str::to_owned).collect();
    each_batch(file.path(), "rows.csv", &models, &beside, &mut |batch| {
        comparing.add(batch).unwrap();
    })
    .unwrap();
    let Comparison {
        rows,
        difference,
        shift,
        changed,
        worst,
        parts,
        measured,
    } = comparing.finish();
    let mut told = vec![
        format!("{rows} rows, shift {shift:.3?}, changed {changed:?}"),
        format!("{difference:.3?}"),
    ];
    told.extend(worst.iter().map(|row| format!("{row:.3?}")));
    told.extend(parts.iter().map(|part| format!("{part:.3?}")));
    told.extend(measured.map(|measured| format!("{measured:.3?}")));
    expected.assert_eq(&told.join("\n"));
}

#[test]
fn numbers_differ_by_their_distance() {
    let (old, new) = (linear([1.0, 0.0]), linear([1.0, 1.0]));
    check(
        [&old, &new],
        "a,b,city,y\n1,0,Rome,1\n2,1,Rome,3\n3,-5,Oslo,3\n4,2,,\n",
        Some("city"),
        Some("y"),
        expect![[r#"
            4 rows, shift Some(-0.500), changed None
            Spread { mean: 2.000, p50: 2.000, p90: 5.000, p99: 5.000, max: 5.000 }
            Row { line: 4, said: [Number(3.000), Number(-2.000)], difference: 5.000 }
            Row { line: 5, said: [Number(4.000), Number(6.000)], difference: 2.000 }
            Row { line: 3, said: [Number(2.000), Number(3.000)], difference: 1.000 }
            Part { name: "\"\"", rows: 1, mean: 2.000, max: 2.000 }
            Part { name: "\"Oslo\"", rows: 1, mean: 5.000, max: 5.000 }
            Part { name: "\"Rome\"", rows: 2, mean: 0.500, max: 1.000 }
            (3, [{"mae": 0.333, "r2": 0.625, "rmse": 0.577}, {"mae": 1.667, "r2": -8.375, "rmse": 2.887}])"#]],
    );
    // A model is the same as itself, and of no rows there is nothing to say.
    check(
        [&old, &old],
        "a,b\n1,0\n2,1\n",
        None,
        None,
        expect![[r#"
        2 rows, shift Some(0.000), changed None
        Spread { mean: 0.000, p50: 0.000, p90: 0.000, p99: 0.000, max: 0.000 }"#]],
    );
    check(
        [&old, &new],
        "a,b\n",
        None,
        None,
        expect![[r#"
            0 rows, shift Some(0.000), changed None
            Spread { mean: 0.000, p50: 0.000, p90: 0.000, p99: 0.000, max: 0.000 }"#]],
    );
}

#[test]
fn classes_differ_by_their_probabilities_whatever_their_order() {
    let (old, new) = (classes(["yes", "no"], 1.0), classes(["no", "yes"], -1.0));
    check(
        [&old, &new],
        "a,b,y\n1,0,yes\n0,3,yes\n",
        None,
        Some("y"),
        expect![[r#"
            2 rows, shift None, changed Some(0)
            Spread { mean: 0.000, p50: 0.000, p90: 0.000, p99: 0.000, max: 0.000 }
            (2, [{"accuracy": 0.500, "log_loss": 1.681}, {"accuracy": 0.500, "log_loss": 1.681}])"#]],
    );
    let sure = classes(["yes", "no"], 9.0);
    check(
        [&old, &sure],
        "a,b,y\n1,0,yes\n0,3,maybe\n",
        None,
        Some("y"),
        expect![[r#"
            2 rows, shift None, changed Some(0)
            Spread { mean: 0.158, p50: 0.269, p90: 0.269, p99: 0.269, max: 0.269 }
            Row { line: 2, said: [Class(Some("yes")), Class(Some("yes"))], difference: 0.269 }
            Row { line: 3, said: [Class(Some("no")), Class(Some("no"))], difference: 0.047 }
            (2, [{"accuracy": 0.500, "log_loss": 17.426}, {"accuracy": 0.500, "log_loss": 17.269}])"#]],
    );
    let other = classes(["yes", "perhaps"], 1.0);
    check(
        [&old, &other],
        "a,b\n1,0\n",
        None,
        None,
        expect!["they tell other classes apart: yes, no, and yes, perhaps"],
    );
    check(
        [&old, &linear([1.0, 0.0])],
        "a,b\n1,0\n",
        None,
        None,
        expect!["one predicts numbers and the other one classes"],
    );
}

#[test]
fn many_numbers_part_the_data_by_ranges() {
    let (old, new) = (linear([1.0, 0.0]), linear([1.0, 1.0]));
    let rows: Vec<String> = (0..100).map(|row| format!("{row},{}", row / 10)).collect();
    let rows = rows.join("\n");
    check(
        [&old, &new],
        &format!("a,b\n{rows}"),
        Some("a"),
        None,
        expect![[r#"
        100 rows, shift Some(4.500), changed None
        Spread { mean: 4.500, p50: 5.000, p90: 8.000, p99: 9.000, max: 9.000 }
        Row { line: 92, said: [Number(90.000), Number(99.000)], difference: 9.000 }
        Row { line: 93, said: [Number(91.000), Number(100.000)], difference: 9.000 }
        Row { line: 94, said: [Number(92.000), Number(101.000)], difference: 9.000 }
        Row { line: 95, said: [Number(93.000), Number(102.000)], difference: 9.000 }
        Row { line: 96, said: [Number(94.000), Number(103.000)], difference: 9.000 }
        Row { line: 97, said: [Number(95.000), Number(104.000)], difference: 9.000 }
        Row { line: 98, said: [Number(96.000), Number(105.000)], difference: 9.000 }
        Row { line: 99, said: [Number(97.000), Number(106.000)], difference: 9.000 }
        Row { line: 100, said: [Number(98.000), Number(107.000)], difference: 9.000 }
        Row { line: 101, said: [Number(99.000), Number(108.000)], difference: 9.000 }
        Part { name: "below 25", rows: 25, mean: 0.800, max: 2.000 }
        Part { name: "25 to below 50", rows: 25, mean: 3.200, max: 4.000 }
        Part { name: "50 to below 75", rows: 25, mean: 5.800, max: 7.000 }
        Part { name: "from 75 on", rows: 25, mean: 8.200, max: 9.000 }"#]],
    );
}
