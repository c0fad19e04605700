//! The Open Inference Protocol's requests.

use expect_test::{Expect, expect};
use planner::names::Track;
use registry::metadata::Labels;

use super::*;
use crate::metrics::Metrics;
use crate::testing::{V1, artifact, logistic};

#[test]
fn a_regression_answers_prediction() {
    let runtime = wine();
    check(
        &runtime,
        post("/v2/models/wine/infer", ROW),
        expect![[r#"
        200 aurora-track=stable aurora-model-version=v20260101-000000
        {"model_name":"wine","model_version":"v20260101-000000","outputs":[{"name":"prediction","shape":[1,1],"datatype":"FP64","data":[6.0]}]}"#]],
    );
    let nested = r#"{"id":"r-1","parameters":{"any":"thing"},"inputs":[{"data":[[1,0.5],[2,0.1]],"datatype":"FP64",
        "shape":[2,2],"name":"input","parameters":{"content_type":"np"}}],"outputs":[{"name":"prediction"}],"more":[{}]}"#;
    check(
        &runtime,
        post("/v2/models/wine/infer", nested),
        expect![[r#"
        200 aurora-track=stable aurora-model-version=v20260101-000000
        {"model_name":"wine","model_version":"v20260101-000000","id":"r-1","outputs":[{"name":"prediction","shape":[2,1],"datatype":"FP64","data":[6.0,3.0]}]}"#]],
    );
    check(
        &runtime,
        post("/v2/models/wine/versions/v20260202-000000/infer", ROW),
        expect![[r#"
        200 aurora-track=canary aurora-model-version=v20260202-000000
        {"model_name":"wine","model_version":"v20260202-000000","outputs":[{"name":"prediction","shape":[1,1],"datatype":"FP64","data":[1006.0]}]}"#]],
    );
    let canary = Ask {
        headers: &[("aurora-track", "canary")],
        ..post("/v2/models/wine/infer", ROW)
    };
    check(
        &runtime,
        canary,
        expect![[r#"
        200 aurora-track=canary aurora-model-version=v20260202-000000
        {"model_name":"wine","model_version":"v20260202-000000","outputs":[{"name":"prediction","shape":[1,1],"datatype":"FP64","data":[1006.0]}]}"#]],
    );
    for (path, track, expected) in [
        (
            "/v2/models/wine/infer",
            "Canary",
            expect![[r#"
            400
            {"error":"aurora-track is neither stable nor canary"}"#]],
        ),
        (
            "/v2/models/wine/versions/v20260202-000000/infer",
            "stable",
            expect![[r#"
            400
            {"error":"aurora-track is stable, but version v20260202-000000 is loaded on canary"}"#]],
        ),
        (
            "/v2/models/wine/versions/v1/infer",
            "stable",
            expect![[r#"
            404
            {"error":"version v1 is not loaded"}"#]],
        ),
    ] {
        let headers = &[("aurora-track", track)];
        check(
            &runtime,
            Ask {
                headers,
                ..post(path, ROW)
            },
            expected,
        );
    }
    let predict = Ask {
        headers: &[("aurora-track", "canary")],
        ..post("/predict/wine", r#"{"inputs":[[1,0.5]]}"#)
    };
    check(
        &runtime,
        predict,
        expect![[r#"
        200 aurora-track=canary aurora-model-version=v20260202-000000
        {"predictions":[1006.0]}"#]],
    );
}

#[test]
fn a_classifier_answers_label_and_probabilities() {
    let runtime = Runtime::new(Metrics::new());
    add_iris(&runtime);
    runtime.load(artifact(
        "digits",
        V1,
        Track::Stable,
        &logistic(Labels::Numbers(vec![7, 8, 9])),
    ));
    let rows = r#"{"inputs":[{"name":"input","shape":[2,2],"datatype":"FP64","data":[3,0,0,4]}]}"#;
    check(
        &runtime,
        post("/v2/models/iris/infer", rows),
        expect![[r#"
        200 aurora-track=stable aurora-model-version=v20260101-000000
        {"model_name":"iris","model_version":"v20260101-000000","outputs":[{"name":"label","shape":[2],"datatype":"BYTES","data":["setosa","versicolor"]},{"name":"probabilities","shape":[2,3],"datatype":"FP64","data":[0.8834920740271945,0.043986480292057845,0.07252144568074777,0.017468203540633418,0.9537315977210048,0.02880019873836161]}]}"#]],
    );
    check(
        &runtime,
        post("/v2/models/digits/infer", rows),
        expect![[r#"
        200 aurora-track=stable aurora-model-version=v20260101-000000
        {"model_name":"digits","model_version":"v20260101-000000","outputs":[{"name":"label","shape":[2],"datatype":"INT64","data":[7,8]},{"name":"probabilities","shape":[2,3],"datatype":"FP64","data":[0.8834920740271945,0.043986480292057845,0.07252144568074777,0.017468203540633418,0.9537315977210048,0.02880019873836161]}]}"#]],
    );
    let label = r#"{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP64","data":[3,0]}],"outputs":[{"name":"label"}]}"#;
    check(
        &runtime,
        post("/v2/models/iris/infer", label),
        expect![[r#"
        200 aurora-track=stable aurora-model-version=v20260101-000000
        {"model_name":"iris","model_version":"v20260101-000000","outputs":[{"name":"label","shape":[1],"datatype":"BYTES","data":["setosa"]}]}"#]],
    );
    check(
        &runtime,
        post("/predict/iris", r#"{"inputs":[[3,0],[0,4]]}"#),
        expect![[r#"
        200 aurora-track=stable aurora-model-version=v20260101-000000
        {"predictions":["setosa","versicolor"]}"#]],
    );
    check(
        &runtime,
        post("/predict", r#"{"inputs":[[3,0]]}"#),
        expect![[r#"
        400
        {"error":"several models are served, name one: POST /predict/MODEL with digits, iris"}"#]],
    );
}

#[test]
fn types_that_widen_without_loss_are_widened_and_others_named() {
    let runtime = wine();
    let with = |datatype: &str, data: &str| {
        format!(r#"{{"inputs":[{{"name":"input","shape":[1,2],"datatype":"{datatype}","data":{data}}}]}}"#)
    };
    for (datatype, data, expected) in [
        // 0.1 as FP32 is 0.10000000149011612.
        (
            "FP32",
            "[0.1, 0]",
            expect![[r#"
            200 aurora-track=stable aurora-model-version=v20260101-000000
            {"model_name":"wine","model_version":"v20260101-000000","outputs":[{"name":"prediction","shape":[1,1],"datatype":"FP64","data":[0.10000000149011612]}]}"#]],
        ),
        (
            "FP32",
            "[1e300, 0]",
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"input `input`, row 0, column 0 (a): 1e300 is no FP32"}"#]],
        ),
        (
            "INT8",
            "[-128, 1]",
            expect![[r#"
            200 aurora-track=stable aurora-model-version=v20260101-000000
            {"model_name":"wine","model_version":"v20260101-000000","outputs":[{"name":"prediction","shape":[1,1],"datatype":"FP64","data":[-118.0]}]}"#]],
        ),
        (
            "INT8",
            "[1, 128]",
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"input `input`, row 0, column 1 (b_per_c): 128.0 is no INT8"}"#]],
        ),
        (
            "UINT16",
            "[-1, 1]",
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"input `input`, row 0, column 0 (a): -1.0 is no UINT16"}"#]],
        ),
        (
            "INT32",
            "[1.5, 1]",
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"input `input`, row 0, column 0 (a): 1.5 is no INT32"}"#]],
        ),
        (
            "UINT32",
            "[4294967295, 0]",
            expect![[r#"
            200 aurora-track=stable aurora-model-version=v20260101-000000
            {"model_name":"wine","model_version":"v20260101-000000","outputs":[{"name":"prediction","shape":[1,1],"datatype":"FP64","data":[4294967295.0]}]}"#]],
        ),
        (
            "INT64",
            "[1, 1]",
            expect![[r#"
                200 aurora-track=stable aurora-model-version=v20260101-000000
                {"model_name":"wine","model_version":"v20260101-000000","outputs":[{"name":"prediction","shape":[1,1],"datatype":"FP64","data":[11.0]}]}"#]],
        ),
        (
            "BOOL",
            "[true, false]",
            expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"input `input`: got BOOL, expected FP64 or a type that widens to it: FP32, FP16 (binary), INT8, INT16, INT32, UINT8, UINT16, UINT32, and of INT64 and UINT64 what is exact"}"#]],
        ),
        (
            "BYTES",
            "[\"a\", \"b\"]",
            expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"input `input`: got BYTES, expected FP64 or a type that widens to it: FP32, FP16 (binary), INT8, INT16, INT32, UINT8, UINT16, UINT32, and of INT64 and UINT64 what is exact"}"#]],
        ),
        (
            "FP64",
            "[\"1\", 1]",
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"input `input`, row 0, column 0 (a): got a text, expected a number"}"#]],
        ),
        (
            "FP64",
            "[1, true]",
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"input `input`, row 0, column 1 (b_per_c): got true or false, expected a number"}"#]],
        ),
        (
            "FP64",
            "[1, null]",
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"input `input`, row 0, column 1 (b_per_c): got null (this model takes no missing value), expected a number"}"#]],
        ),
    ] {
        check(
            &runtime,
            post("/v2/models/wine/infer", &with(datatype, data)),
            expected,
        );
    }
}

#[test]
fn inputs_that_do_not_fit_are_refused_with_what_was_expected() {
    let runtime = wine();
    let tensor = |name: &str, shape: &str, data: &str| {
        format!(r#"{{"name":"{name}","shape":{shape},"datatype":"FP64","data":{data}}}"#)
    };
    let check = |inputs: &str, expected: Expect| {
        let body = format!(r#"{{"inputs":[{inputs}]}}"#);
        check(&runtime, post("/v2/models/wine/infer", &body), expected);
    };
    check(
        "",
        expect![[r#"
        400 aurora-track=stable aurora-model-version=v20260101-000000
        {"error":"expected one input, `input` FP64 [-1,2], got none"}"#]],
    );
    check(
        &tensor("x", "[1,2]", "[1,2]"),
        expect![[r#"
        400 aurora-track=stable aurora-model-version=v20260101-000000
        {"error":"input `x` is unknown: expected `input` FP64 [-1,2]"}"#]],
    );
    let both = format!(
        "{},{}",
        tensor("input", "[1,2]", "[1,2]"),
        tensor("x", "[1,2]", "[1,2]")
    );
    check(
        &both,
        expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"expected one input, `input` FP64 [-1,2], got 2, the first of them `input`"}"#]],
    );
    check(
        &tensor("input", "[1,3]", "[1,2,3]"),
        expect![[r#"
        400 aurora-track=stable aurora-model-version=v20260101-000000
        {"error":"input `input`: got shape [1, 3], expected [-1,2] with at least one row"}"#]],
    );
    check(
        &tensor("input", "[2]", "[1,2]"),
        expect![[r#"
        400 aurora-track=stable aurora-model-version=v20260101-000000
        {"error":"input `input`: got shape [2], expected [-1,2] with at least one row"}"#]],
    );
    check(
        &tensor("input", "[0,2]", "[]"),
        expect![[r#"
        400 aurora-track=stable aurora-model-version=v20260101-000000
        {"error":"input `input`: got shape [0, 2], expected [-1,2] with at least one row"}"#]],
    );
    check(
        &tensor("input", "[1,2]", "[1,2,3]"),
        expect![[r#"
        400 aurora-track=stable aurora-model-version=v20260101-000000
        {"error":"input `input`: got 3 elements, expected 2 for shape [1,2]"}"#]],
    );
    check(
        &tensor("input", "[18446744073709551615,2]", "[1,2]"),
        expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"input `input`: got 2 elements, expected 18446744073709551614 for shape [9223372036854775807,2]"}"#]],
    );
    check(
        &tensor("input", "[-1,2]", "[1,2]"),
        expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"input `input`: got shape [-1, 2], expected [-1,2] with at least one row: a request says how many (-1 stands for that where the model is described)"}"#]],
    );
    check(
        &tensor("input", "[2,2]", "[[1,2,3],[4]]"),
        expect![[r#"
        400 aurora-track=stable aurora-model-version=v20260101-000000
        {"error":"input `input`: lists of different lengths or depths at element 4"}"#]],
    );
    check(
        &tensor("input", "[2,2]", "[[1,2,3,4]]"),
        expect![[r#"
        400 aurora-track=stable aurora-model-version=v20260101-000000
        {"error":"input `input`: got data nested as [1, 4], expected [2,2] or a flat list"}"#]],
    );
    check(
        r#"{"name":"input","shape":[1,2],"datatype":"FP64"}"#,
        expect![[r#"
        400 aurora-track=stable aurora-model-version=v20260101-000000
        {"error":"input `input` has no data"}"#]],
    );
    check(
        r#"{"name":"input","shape":[1,2],"datatype":"FP64","parameters":{"binary_data_size":16}}"#,
        expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"input `input`: binary_data_size needs the header inference-header-content-length, which says where the JSON ends"}"#]],
    );
}

#[test]
fn bodies_that_are_no_request_are_refused() {
    let runtime = wine();
    for (body, expected) in [
        (
            "",
            expect![[r#"
            400
            {"error":"the body is no JSON object"}"#]],
        ),
        (
            "{",
            expect![[r#"
            400
            {"error":"failed to read the body as JSON: EOF while parsing an object at line 1 column 1"}"#]],
        ),
        (
            "[]",
            expect![[r#"
            400
            {"error":"the body is no JSON object"}"#]],
        ),
        (
            "{}",
            expect![[r#"
            400
            {"error":"failed to read the body as JSON: missing field `inputs` at line 1 column 2"}"#]],
        ),
        (
            r#"{"inputs":1}"#,
            expect![[r#"
            400
            {"error":"failed to read the body as JSON: invalid type: integer `1`, expected a sequence at line 1 column 11"}"#]],
        ),
        (
            r#"{"inputs":[],"inputs":[]}"#,
            expect![[r#"
            400
            {"error":"failed to read the body as JSON: duplicate field `inputs` at line 1 column 21"}"#]],
        ),
        (
            r#"{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP64","data":[NaN,1]}]}"#,
            expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"input `input`, row 0, column 0 (a): got NaN or Infinity, which JSON does not have (null is a missing value), expected a number"}"#]],
        ),
        (
            r#"{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP64","data":[1,1]}],"outputs":[{"name":"x"}]}"#,
            expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"output `x` is unknown: expected prediction"}"#]],
        ),
        (
            r#"{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP64","data":[1,1]}],"outputs":[{"name":"prediction","parameters":{"binary_data":true}}]}"#,
            expect![[r#"
                200 aurora-track=stable aurora-model-version=v20260101-000000 content-type=application/octet-stream
                {"model_name":"wine","model_version":"v20260101-000000","outputs":[{"name":"prediction","shape":[1,1],"datatype":"FP64","parameters":{"binary_data_size":8}}]}
                0000000000002640"#]],
        ),
        (
            r#"{"parameters":{"binary_data_output":true},"inputs":[{"name":"input","shape":[1,2],"datatype":"FP64","data":[1,1]}]}"#,
            expect![[r#"
                200 aurora-track=stable aurora-model-version=v20260101-000000 content-type=application/octet-stream
                {"model_name":"wine","model_version":"v20260101-000000","outputs":[{"name":"prediction","shape":[1,1],"datatype":"FP64","parameters":{"binary_data_size":8}}]}
                0000000000002640"#]],
        ),
    ] {
        check(&runtime, post("/v2/models/wine/infer", body), expected);
    }
    for (name, value, expected) in [
        (
            "content-type",
            "application/x-www-form-urlencoded",
            expect![[r#"
            415
            {"error":"the content type is not application/json (curl: -H 'content-type: application/json')"}"#]],
        ),
        (
            "content-encoding",
            "gzip",
            expect![[r#"
                400
                {"error":"the body is not what its content-encoding says: invalid gzip header"}"#]],
        ),
        (
            "inference-header-content-length",
            "80",
            expect![[r#"
                400
                {"error":"inference-header-content-length: got 80, but the body has 76 bytes in all (decompressed)"}"#]],
        ),
        (
            "content-type",
            "Application/JSON; charset=utf-8",
            expect![[r#"
            200 aurora-track=stable aurora-model-version=v20260101-000000
            {"model_name":"wine","model_version":"v20260101-000000","outputs":[{"name":"prediction","shape":[1,1],"datatype":"FP64","data":[6.0]}]}"#]],
        ),
    ] {
        let headers = &[(name, value)];
        check(
            &runtime,
            Ask {
                headers,
                ..post("/v2/models/wine/infer", ROW)
            },
            expected,
        );
    }
}
