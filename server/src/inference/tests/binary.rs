//! The binary tensor extension, both ways.

use expect_test::{Expect, expect};
use planner::names::Track;
use registry::artifact::Graph;
use registry::metadata::Labels;

use super::*;
use crate::metrics::Metrics;
use crate::testing::{V1, artifact, logistic, series};

const PATH: &str = "/v2/models/wine/infer";

/// A request's JSON with one binary input of two columns.
fn json(shape: &str, datatype: &str, size: usize) -> String {
    format!(
        r#"{{"inputs":[{{"name":"input","shape":{shape},"datatype":"{datatype}","parameters":{{"binary_data_size":{size}}}}}]}}"#
    )
}

fn doubles(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Sends JSON and what follows it.
fn tell(runtime: &Runtime, path: &str, json: &str, tensors: &[u8]) -> String {
    let length = json.len().to_string();
    let ask = Ask {
        headers: &[
            ("inference-header-content-length", &length),
            ("content-type", "application/octet-stream"),
        ],
        body: &[json.as_bytes(), tensors].concat(),
        ..post(path, "")
    };
    shown(&block_on(send(&server(runtime), ask)))
}

#[expect(clippy::needless_pass_by_value, reason = "expect! makes a value")]
fn check(runtime: &Runtime, json: &str, tensors: &[u8], expected: Expect) {
    expected.assert_eq(&tell(runtime, PATH, json, tensors));
}

#[test]
fn inputs_come_as_bytes_of_every_type() {
    let runtime = wine();
    for (datatype, bytes, sum) in [
        ("FP64", doubles(&[1.0, 0.5]), "6.0"),
        ("FP32", [1.5_f32, 0.5].map(f32::to_le_bytes).concat(), "6.5"),
        ("FP16", vec![0x00, 0x3c, 0x00, 0x38], "6.0"),
        ("INT8", vec![0xff, 0x02], "19.0"),
        ("INT16", vec![0xff, 0xff, 0x02, 0x00], "19.0"),
        ("INT32", [-1_i32, 2].map(i32::to_le_bytes).concat(), "19.0"),
        ("INT64", [-1_i64, 2].map(i64::to_le_bytes).concat(), "19.0"),
        ("UINT8", vec![0xff, 0x02], "275.0"),
        ("UINT16", vec![0xff, 0x00, 0x02, 0x00], "275.0"),
        ("UINT32", [5_u32, 2].map(u32::to_le_bytes).concat(), "25.0"),
        ("UINT64", [5_u64, 2].map(u64::to_le_bytes).concat(), "25.0"),
    ] {
        let answer = tell(&runtime, PATH, &json("[1,2]", datatype, bytes.len()), &bytes);
        assert!(answer.starts_with("200 "), "{datatype}: {answer}");
        assert!(
            answer.contains(&format!(r#""data":[{sum}]"#)),
            "{datatype}: {answer}"
        );
    }
}

#[test]
fn each_output_comes_as_it_asks_and_else_as_the_request_does() {
    let runtime = Runtime::new(Metrics::new());
    add_iris(&runtime);
    let ask = |parameters: &str, outputs: &str| {
        let body = format!(
            r#"{{{parameters}"inputs":[{{"name":"input","shape":[1,2],"datatype":"FP64","data":[3,0]}}]{outputs}}}"#
        );
        shown(&block_on(send(
            &server(&runtime),
            post("/v2/models/iris/infer", &body),
        )))
    };
    let all = r#""parameters":{"binary_data_output":true},"#;
    for (parameters, outputs, expected) in [
        (
            all,
            "",
            expect![[r#"
                200 aurora-track=stable aurora-model-version=v20260101-000000 content-type=application/octet-stream
                {"model_name":"iris","model_version":"v20260101-000000","outputs":[{"name":"label","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":10}},{"name":"probabilities","shape":[1,3],"datatype":"FP64","parameters":{"binary_data_size":24}}]}
                060000007365746f7361b81a872b9145ec3f6c1da45c6585a63f951b75f5c390b23f"#]],
        ),
        (
            all,
            r#","outputs":[{"name":"probabilities","parameters":{"binary_data":false}},{"name":"label"}]"#,
            expect![[r#"
                200 aurora-track=stable aurora-model-version=v20260101-000000 content-type=application/octet-stream
                {"model_name":"iris","model_version":"v20260101-000000","outputs":[{"name":"probabilities","shape":[1,3],"datatype":"FP64","data":[0.8834920740271945,0.043986480292057845,0.07252144568074777]},{"name":"label","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":10}}]}
                060000007365746f7361"#]],
        ),
        (
            "",
            r#","outputs":[{"name":"label","parameters":{"binary_data":true}}]"#,
            expect![[r#"
                200 aurora-track=stable aurora-model-version=v20260101-000000 content-type=application/octet-stream
                {"model_name":"iris","model_version":"v20260101-000000","outputs":[{"name":"label","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":10}}]}
                060000007365746f7361"#]],
        ),
        (
            r#""parameters":{"binary_data_output":false},"#,
            r#","outputs":[{"name":"label","parameters":{"binary_data":false}}]"#,
            expect![[r#"
                200 aurora-track=stable aurora-model-version=v20260101-000000
                {"model_name":"iris","model_version":"v20260101-000000","outputs":[{"name":"label","shape":[1],"datatype":"BYTES","data":["setosa"]}]}"#]],
        ),
    ] {
        expected.assert_eq(&ask(parameters, outputs));
    }
}

#[test]
fn whole_numbers_as_labels_come_as_bytes() {
    let runtime = Runtime::new(Metrics::new());
    let labels = Labels::Numbers(vec![7, -8, 9]);
    runtime.load(artifact("wine", V1, Track::Stable, &logistic(labels)));
    let body = r#"{"parameters":{"binary_data_output":true},"inputs":[{"name":"input","shape":[2,2],"datatype":"FP64","data":[3,0,0,4]}],"outputs":[{"name":"label"}]}"#;
    super::check(
        &runtime,
        post(PATH, body),
        expect![[r#"
        200 aurora-track=stable aurora-model-version=v20260101-000000 content-type=application/octet-stream
        {"model_name":"wine","model_version":"v20260101-000000","outputs":[{"name":"label","shape":[2],"datatype":"INT64","parameters":{"binary_data_size":16}}]}
        0700000000000000f8ffffffffffffff"#]],
    );
}

#[test]
fn the_raw_form_is_the_bytes_of_the_one_input() {
    let runtime = wine();
    let ask = |body: &[u8]| {
        let ask = Ask {
            headers: &[("inference-header-content-length", "0")],
            body,
            ..post(PATH, "")
        };
        shown(&block_on(send(&server(&runtime), ask)))
    };
    expect![[r#"
        200 aurora-track=stable aurora-model-version=v20260101-000000 content-type=application/octet-stream
        {"model_name":"wine","model_version":"v20260101-000000","outputs":[{"name":"prediction","shape":[2,1],"datatype":"FP64","parameters":{"binary_data_size":16}}]}
        00000000000018400000000000000840"#]].assert_eq(&ask(&doubles(&[1.0, 0.5, 2.0, 0.1])));
    expect![[r#"
        400 aurora-track=stable aurora-model-version=v20260101-000000
        {"error":"input `input`: got 24 bytes, expected a multiple of 16 for FP64 [-1,2] (inference-header-content-length is 0)"}"#]].assert_eq(&ask(&doubles(&[1.0, 0.5, 2.0])));
    expect![[r#"
        400 aurora-track=stable aurora-model-version=v20260101-000000
        {"error":"input `input`: got 0 bytes, expected a multiple of 16 for FP64 [-1,2] (inference-header-content-length is 0)"}"#]].assert_eq(&ask(&[]));
    expect![[r#"
        400 aurora-track=stable aurora-model-version=v20260101-000000
        {"error":"input `input`, row 0, column 0 (a): got NaN (this model takes no missing value), expected a number"}"#]].assert_eq(&ask(&doubles(&[f64::NAN, 0.5])));
}

#[test]
fn sizes_that_do_not_fit_name_the_tensor() {
    let runtime = wine();
    let row = doubles(&[1.0, 0.5]);
    check(
        &runtime,
        &json("[1,2]", "FP64", 8),
        &row,
        expect![[r#"
        400 aurora-track=stable aurora-model-version=v20260101-000000
        {"error":"input `input`: got binary_data_size 8, expected 16 for FP64 [1,2]"}"#]],
    );
    check(
        &runtime,
        &json("[1,2]", "FP32", 16),
        &row,
        expect![[r#"
        400 aurora-track=stable aurora-model-version=v20260101-000000
        {"error":"input `input`: got binary_data_size 16, expected 8 for FP32 [1,2]"}"#]],
    );
    check(
        &runtime,
        &json("[1,2]", "FP64", 16),
        &row[..9],
        expect![[r#"
        400 aurora-track=stable aurora-model-version=v20260101-000000
        {"error":"input `input`: got 9 bytes after the JSON, expected 16, its binary_data_size"}"#]],
    );
    check(
        &runtime,
        &json("[1,2]", "FP64", 16),
        &[&row[..], b"x"].concat(),
        expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"got 17 bytes after the JSON, expected 16: what the inputs' binary_data_size count"}"#]],
    );
    check(
        &runtime,
        &json("[9223372036854775807,2]", "FP64", 16),
        &row,
        expect![[r#"
            413 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"9223372036854775807 rows, more than the 100000 that a request may have"}"#]],
    );
    check(
        &runtime,
        &json("[-1,2]", "FP64", 16),
        &row,
        expect![[r#"
        400 aurora-track=stable aurora-model-version=v20260101-000000
        {"error":"input `input`: got shape [-1, 2], expected [-1,2] with at least one row: a request says how many (-1 stands for that where the model is described)"}"#]],
    );
    check(
        &runtime,
        ROW,
        &row,
        expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"got 16 bytes after the JSON, expected 0: what the inputs' binary_data_size count"}"#]],
    );
    check(
        &runtime,
        r#"{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP64","parameters":{"binary_data_size":16},"data":[1,2]}]}"#,
        &row,
        expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"input `input`: got data and binary_data_size, expected one of them"}"#]],
    );
    check(
        &runtime,
        &json("[1,2]", "BYTES", 16),
        &row,
        expect![[r#"
        400 aurora-track=stable aurora-model-version=v20260101-000000
        {"error":"input `input`: got BYTES, expected FP64 or a type that widens to it: FP32, FP16 (binary), INT8, INT16, INT32, UINT8, UINT16, UINT32, and of INT64 and UINT64 what is exact"}"#]],
    );
    check(
        &runtime,
        &json("[1,2]", "INT64", 16),
        &[i64::MAX.to_le_bytes(), [0; 8]].concat(),
        expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"input `input`, row 0, column 0 (a): got 9223372036854775807, expected a whole number that is exact as FP64"}"#]],
    );
    check(
        &runtime,
        &json("[1,2]", "FP32", 8),
        &[1.0, f32::NAN].map(f32::to_le_bytes).concat(),
        expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"input `input`, row 0, column 1 (b_per_c): got NaN (this model takes no missing value), expected a number"}"#]],
    );
    super::check(
        &runtime,
        post(PATH, &json("[1,2]", "FP64", 16)),
        expect![[r#"
        400 aurora-track=stable aurora-model-version=v20260101-000000
        {"error":"input `input`: binary_data_size needs the header inference-header-content-length, which says where the JSON ends"}"#]],
    );
}

#[test]
fn a_length_of_json_that_is_none_is_refused() {
    let runtime = wine();
    for (path, headers, expected) in [
        (
            PATH,
            &[("inference-header-content-length", "999")][..],
            expect![[r#"
                400
                {"error":"inference-header-content-length: got 999, but the body has 76 bytes in all (decompressed)"}"#]],
        ),
        (
            PATH,
            &[("inference-header-content-length", "-1")],
            expect![[r#"
            400
            {"error":"inference-header-content-length is no number of bytes: how many the JSON takes, before the tensors"}"#]],
        ),
        (
            PATH,
            &[("inference-header-content-length", "")],
            expect![[r#"
            400
            {"error":"inference-header-content-length is no number of bytes: how many the JSON takes, before the tensors"}"#]],
        ),
        (
            PATH,
            &[("content-type", "application/octet-stream")],
            expect![[r#"
            415
            {"error":"the content type is not application/json (curl: -H 'content-type: application/json')"}"#]],
        ),
        (
            "/predict/wine",
            &[("inference-header-content-length", "10")],
            expect![[r#"
                400
                {"error":"inference-header-content-length is given, but binary tensors are the Open Inference Protocol's: POST /v2/models/MODEL/infer"}"#]],
        ),
    ] {
        let ask = Ask {
            headers,
            ..post(path, ROW)
        };
        super::check(&runtime, ask, expected);
    }
}

/// JSON cannot hold it, bytes can; it counts as what it is.
#[test]
fn what_is_not_finite_comes_as_bytes() {
    let runtime = Runtime::new(Metrics::new());
    let steep = Graph::Linear {
        weights: vec![1e308, 1e308],
        intercept: 0.0,
    };
    runtime.load(artifact("wine", V1, Track::Stable, &steep));
    let body = r#"{"parameters":{"binary_data_output":true},"inputs":[{"name":"input","shape":[1,2],"datatype":"FP64","data":[10,0]}]}"#;
    super::check(
        &runtime,
        post(PATH, body),
        expect![[r#"
        200 aurora-track=stable aurora-model-version=v20260101-000000 content-type=application/octet-stream
        {"model_name":"wine","model_version":"v20260101-000000","outputs":[{"name":"prediction","shape":[1,1],"datatype":"FP64","parameters":{"binary_data_size":8}}]}
        000000000000f07f"#]],
    );
    let outcome = series(
        runtime.metrics(),
        "aurora_inference_outcomes_total{model=\"wine\",outcome=\"non_finite\",routed=\"split\",track=\"stable\",\
         version=\"v20260101-000000\"}",
    );
    assert_eq!(outcome, 1);
}
