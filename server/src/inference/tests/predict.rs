//! The plain form.

use expect_test::expect;
use planner::names::Track;
use registry::artifact::{Child, Graph, Split, Trees};
use registry::metadata::Signature;

use super::*;
use crate::metrics::Metrics;
use crate::testing::{V1, artifact, series};

#[test]
fn predict_takes_inputs_or_rows_of_raw_columns() {
    let runtime = wine();
    for (body, expected) in [
        (
            r#"{"inputs":[[1,0.5],[2,0]]}"#,
            expect![[r#"
            200 aurora-track=stable aurora-model-version=v20260101-000000
            {"predictions":[6.0,2.0]}"#]],
        ),
        (
            r#"{"rows":[{"a":1,"b":1,"c":2},{"c":4,"b":1,"a":0}]}"#,
            expect![[r#"
            200 aurora-track=stable aurora-model-version=v20260101-000000
            {"predictions":[6.0,2.5]}"#]],
        ),
        (
            r#"{"inputs":[1,0.5]}"#,
            expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"inputs: got lists of shape [2], expected [-1,2]: rows of 2 values (a, b_per_c)"}"#]],
        ),
        (
            r#"{"inputs":[[1]]}"#,
            expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"inputs: got lists of shape [1, 1], expected [-1,2]: rows of 2 values (a, b_per_c)"}"#]],
        ),
        (
            r#"{"inputs":[[1,2],[3]]}"#,
            expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"inputs: lists of different lengths or depths at element 3"}"#]],
        ),
        (
            r#"{"inputs":[["x",2]]}"#,
            expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"inputs[0]: a: got a text, expected a number"}"#]],
        ),
        (
            r#"{"inputs":[]}"#,
            expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"inputs: got lists of shape [0], expected [-1,2]: rows of 2 values (a, b_per_c)"}"#]],
        ),
        (
            r#"{"rows":[]}"#,
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"rows: expected at least one row"}"#]],
        ),
        (
            r#"{"rows":[{"a":1,"b":1}]}"#,
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"rows[0]: column `c` is missing; needed: a, b, c"}"#]],
        ),
        (
            r#"{"rows":[{"a":1,"b":1e300,"c":1e-300}]}"#,
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"rows[0]: column `c`: is so small that b_per_c is not finite"}"#]],
        ),
        (
            r#"{"rows":[{"a":1,"b":1,"c":2},{},{"a":1}]}"#,
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"rows[1]: column `a` is missing; needed: a, b, c"}"#]],
        ),
        (
            r#"{"rows":[{"a":1,"b":1,"c":2},7]}"#,
            expect![[r#"
            400
            {"error":"failed to read the body as JSON: invalid type: integer `7`, expected a row: {column: number, …} at line 1 column 30"}"#]],
        ),
        (
            r#"{"rows":[{"a":1,"b":1,"c":0}]}"#,
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"rows[0]: column `c`: is 0, and b_per_c divides by it"}"#]],
        ),
        (
            r#"{"rows":[{"a":1,"b":1,"c":1,"zz":1}]}"#,
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"rows[0]: column `zz` is unknown; known: a, b, c"}"#]],
        ),
        (
            r#"{"rows":[{"a":1,"b":1,"c":1,"a ":1}]}"#,
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"rows[0]: column `a ` is unknown; did you mean `a`?"}"#]],
        ),
        (
            r#"{"rows":[{"a":1,"a":1,"b":1,"c":1}]}"#,
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"rows[0]: column `a`: given twice"}"#]],
        ),
        (
            r#"{"rows":[{"a":"1","b":1,"c":1}]}"#,
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"rows[0]: column `a`: got a text, expected a number"}"#]],
        ),
        (
            r#"{"rows":[{"a":null,"b":1,"c":1}]}"#,
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"rows[0]: column `a`: got null, and this model takes no missing value"}"#]],
        ),
        (
            r#"{"rows":[{"a":[[1]],"b":1,"c":1}]}"#,
            expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"rows[0]: column `a`: got a list, expected a value"}"#]],
        ),
        (
            r#"{"rows":[[1,2]]}"#,
            expect![[r#"
            400
            {"error":"failed to read the body as JSON: invalid type: sequence, expected a row: {column: number, …} at line 1 column 9"}"#]],
        ),
        (
            r#"{"inputs":[[1,2]],"rows":[]}"#,
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"expected inputs or rows, got both"}"#]],
        ),
        (
            "{}",
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"expected {\"inputs\": [[number, …], …]} or {\"rows\": [{column: number, …}, …]}"}"#]],
        ),
        (
            r#"{"input":[[1,2]]}"#,
            expect![[r#"
                400
                {"error":"failed to read the body as JSON: unknown field `input`, expected one of `inputs`, `rows`, `probabilities`, `extra_columns` at line 1 column 8"}"#]],
        ),
    ] {
        check(&runtime, post("/predict/wine", body), expected);
    }
    check(
        &runtime,
        post("/predict", r#"{"inputs":[[1,0.5]]}"#),
        expect![[r#"
        200 aurora-track=stable aurora-model-version=v20260101-000000
        {"predictions":[6.0]}"#]],
    );
    add_iris(&runtime);
    check(
        &runtime,
        post("/predict", r#"{"inputs":[[1,0.5]]}"#),
        expect![[r#"
        400
        {"error":"several models are served, name one: POST /predict/MODEL with iris, wine"}"#]],
    );
}

#[test]
fn a_prediction_that_json_cannot_hold_is_an_error() {
    let runtime = Runtime::new(Metrics::new());
    let steep = Graph::Linear {
        weights: vec![1e308, 1e308],
        intercept: 0.0,
    };
    runtime.load(artifact("wine", V1, Track::Stable, &steep));
    check(
        &runtime,
        post("/predict/wine", r#"{"inputs":[[0,0],[10,0]]}"#),
        expect![[r#"
        500 aurora-track=stable aurora-model-version=v20260101-000000
        {"error":"the model's prediction for row 1 is not finite: JSON cannot hold it"}"#]],
    );
    let outcome = series(
        runtime.metrics(),
        "aurora_inference_outcomes_total{model=\"wine\",outcome=\"non_finite\",routed=\"split\",track=\"stable\",\
         version=\"v20260101-000000\"}",
    );
    assert_eq!(outcome, 1);
}

#[test]
fn numbers_are_written_so_that_they_read_back_bit_for_bit() {
    let runtime = wine();
    for value in [0.1 + 0.2, 1e-300, 123_456_789.123_456_78, f64::MIN_POSITIVE, -0.0] {
        let body = format!(r#"{{"inputs":[[{value:?},0]]}}"#);
        let response = block_on(send(&server(&runtime), post("/predict/wine", &body)));
        let answer: serde_json::Value = serde_json::from_slice(response.body()).expect("JSON");
        assert_eq!(answer["predictions"][0].as_f64(), Some(value));
    }
}

#[test]
fn predict_takes_what_curl_sends_without_a_content_type() {
    let ask = Ask {
        headers: &[("content-type", "application/x-www-form-urlencoded")],
        ..post("/predict/wine", r#"{"inputs":[[1,0.5]]}"#)
    };
    check(
        &wine(),
        ask,
        expect![[r#"
        200 aurora-track=stable aurora-model-version=v20260101-000000
        {"predictions":[6.0]}"#]],
    );
}

/// `wine` that takes missing values: 10 where `a` is below 1, 20 where it is not or is missing.
fn tolerant() -> Runtime {
    let leaf = |at| Child::leaf(at).expect("a leaf");
    let graph = Graph::Trees(Trees {
        width: 2,
        base: 0.0,
        roots: vec![Child::split(0).expect("a split")],
        splits: vec![Split {
            threshold: 1.0,
            feature: 0,
            below: leaf(0),
            otherwise: leaf(1),
        }],
        leaves: vec![10.0, 20.0],
    });
    let mut loaded = artifact("wine", V1, Track::Stable, &graph);
    let signature = Signature {
        missing_values: true,
        ..loaded.loaded.signature().clone()
    };
    loaded.loaded = loaded.loaded.described(signature).expect("its own but for that");
    let runtime = Runtime::new(Metrics::new());
    runtime.load(loaded);
    runtime
}

#[test]
fn a_missing_value_is_taken_by_a_model_that_takes_them() {
    let runtime = tolerant();
    for (path, body, expected) in [
        (
            "/predict/wine",
            r#"{"rows":[{"a":0,"b":1,"c":2},{"a":null,"b":1,"c":2},{"a":0,"b":null,"c":2},{"a":0,"b":1,"c":null}]}"#,
            expect![[r#"
                200 aurora-track=stable aurora-model-version=v20260101-000000
                {"predictions":[10.0,20.0,10.0,10.0]}"#]],
        ),
        (
            "/predict/wine",
            r#"{"inputs":[[0,1],[null,1],[0,null]]}"#,
            expect![[r#"
                200 aurora-track=stable aurora-model-version=v20260101-000000
                {"predictions":[10.0,20.0,10.0]}"#]],
        ),
        (
            "/v2/models/wine/infer",
            r#"{"inputs":[{"name":"input","shape":[3,2],"datatype":"FP64","data":[0,1,null,1,0,null]}]}"#,
            expect![[r#"
                200 aurora-track=stable aurora-model-version=v20260101-000000
                {"model_name":"wine","model_version":"v20260101-000000","outputs":[{"name":"prediction","shape":[3,1],"datatype":"FP64","data":[10.0,20.0,10.0]}]}"#]],
        ),
        (
            "/v2/models/wine/infer",
            r#"{"inputs":[{"name":"input","shape":[2,2],"datatype":"FP32","data":[[0,1],[null,1]]}]}"#,
            expect![[r#"
                200 aurora-track=stable aurora-model-version=v20260101-000000
                {"model_name":"wine","model_version":"v20260101-000000","outputs":[{"name":"prediction","shape":[2,1],"datatype":"FP64","data":[10.0,20.0]}]}"#]],
        ),
        // A missing column is a mistake, null is an answer.
        (
            "/predict/wine",
            r#"{"rows":[{"b":1,"c":2}]}"#,
            expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"rows[0]: column `a` is missing; needed: a, b, c"}"#]],
        ),
        (
            "/predict/wine",
            r#"{"rows":[{"a":null,"a":null,"b":1,"c":2}]}"#,
            expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"rows[0]: column `a`: given twice"}"#]],
        ),
        (
            "/predict/wine",
            r#"{"rows":[{"a":null,"b":null,"c":0}]}"#,
            expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"rows[0]: column `c`: is 0, and b_per_c divides by it"}"#]],
        ),
    ] {
        check(&runtime, post(path, body), expected);
    }
}
