//! Models of other teams, as skl2onnx writes them: an input for each column, texts, whole numbers, several numbers at once.

use expect_test::{Expect, expect};

use super::*;
use crate::metrics::Metrics;
use crate::testing::theirs;

const MODELS: [(&str, &[u8], &[&str]); 5] = [
    (
        "survival",
        include_bytes!("../../../../registry/tests/models/survival.onnx"),
        &[],
    ),
    (
        "forest",
        include_bytes!("../../../../registry/tests/models/forest.onnx"),
        &[],
    ),
    (
        "both",
        include_bytes!("../../../../registry/tests/models/both.onnx"),
        &[],
    ),
    (
        "counts",
        include_bytes!("../../../../registry/tests/models/counts.onnx"),
        &[],
    ),
    (
        "strict",
        include_bytes!("../../../../registry/tests/models/strict.onnx"),
        &["red", "town 3"],
    ),
];

fn runtime() -> Runtime {
    let runtime = Runtime::new(Metrics::new());
    for (name, bytes, texts) in MODELS {
        runtime.load(theirs(name, bytes, texts));
    }
    runtime
}

/// Asks each of them, and compares the answers one by one.
fn check_all(path: &str, expected: &[(&str, Expect)]) {
    let runtime = runtime();
    for (body, expected) in expected {
        let answer = told(&runtime, post(path, body));
        expected.assert_eq(&answer);
    }
}

#[test]
fn rows_name_raw_columns_of_any_type() {
    check_all(
        "/predict/survival",
        &[
            (
                r#"{"rows":[{"age":22,"fare":7.25,"sex":"male","port":"Southampton"},
                    {"age":4,"fare":10,"sex":"nobody","port":""}]}"#,
                expect![[r#"
                    200 aurora-track=stable aurora-model-version=v20260101-000000
                    {"predictions":["no","no"]}"#]],
            ),
            (
                r#"{"rows":[{"age":22,"fare":7.25,"sex":"male","port":"Southampton"}],"probabilities":true}"#,
                expect![[r#"
                    200 aurora-track=stable aurora-model-version=v20260101-000000
                    {"predictions":["no"],"classes":["no","yes"],"probabilities":[[0.81723577,0.18276423]]}"#]],
            ),
            (
                r#"{"inputs":[[22,7.25,"male","Southampton"]]}"#,
                expect![[r#"
                200 aurora-track=stable aurora-model-version=v20260101-000000
                {"predictions":["no"]}"#]],
            ),
            (
                r#"{"inputs":[[22,"male",7.25,"Southampton"]]}"#,
                expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"inputs[0]: fare: got a text, expected a number"}"#]],
            ),
            (
                r#"{"rows":[{"age":"22","fare":7.25,"sex":"male","port":""}]}"#,
                expect![[r#"
                    400 aurora-track=stable aurora-model-version=v20260101-000000
                    {"error":"rows[0]: column `age`: got a text, expected a number"}"#]],
            ),
            (
                r#"{"rows":[{"age":22,"fare":7.25,"sex":null,"port":""}]}"#,
                expect![[r#"
                    400 aurora-track=stable aurora-model-version=v20260101-000000
                    {"error":"rows[0]: column `sex`: got null, expected a text (\"\" where there is none)"}"#]],
            ),
            (
                r#"{"rows":[{"age":22,"fare":7.25,"sex":true,"port":""}]}"#,
                expect![[r#"
                    400 aurora-track=stable aurora-model-version=v20260101-000000
                    {"error":"rows[0]: column `sex`: got true or false, expected a text"}"#]],
            ),
            (
                r#"{"rows":[{"age":1e300,"fare":7.25,"sex":"male","port":""}]}"#,
                expect![[r#"
                    400 aurora-track=stable aurora-model-version=v20260101-000000
                    {"error":"rows[0]: column `age`: got 1e300, expected a number that FP32 holds"}"#]],
            ),
        ],
    );
    check_all(
        "/predict/both",
        &[(
            r#"{"inputs":[[22,7.25],[4,80]]}"#,
            expect![[r#"
            200 aurora-track=stable aurora-model-version=v20260101-000000
            {"predictions":[[29.25001,14.7500105],[84.000015,-75.99998]]}"#]],
        )],
    );
    check_all(
        "/predict/counts",
        &[
            (
                r#"{"inputs":[[1,2],[8,7.4]],"probabilities":true}"#,
                expect![[r#"
                    200 aurora-track=stable aurora-model-version=v20260101-000000
                    {"predictions":[0,1],"classes":[0,1],"probabilities":[[1.0,3.0824832e-9],[8.8458206e-11,1.0]]}"#]],
            ),
            (
                r#"{"inputs":[[1e30,2]]}"#,
                expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"inputs[0]: X_0: got 1e30, expected a number that INT64 holds"}"#]],
            ),
        ],
    );
}

#[test]
fn what_a_model_knows_no_answer_to_is_the_clients_fault() {
    let rows = |colours: [&str; 2]| {
        let row =
            |colour| format!(r#"{{"colour":"{colour}","town":"town 3","age":40,"income":3,"height":1.7}}"#);
        format!(r#"{{"rows":[{},{}]}}"#, row(colours[0]), row(colours[1]))
    };
    check_all(
        "/predict/strict",
        &[
            (
                &rows(["red", "blue"]),
                expect![[r#"
                200 aurora-track=stable aurora-model-version=v20260101-000000
                {"predictions":[1,1]}"#]],
            ),
            (
                &rows(["red", "mauve"]),
                expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"row 1 has a category that the model does not know, and its OneHotEncoder \"OneHotEncoder\" refuses"}"#]],
            ),
        ],
    );
}

#[test]
fn the_protocol_takes_several_inputs_by_name_and_rounds_nothing() {
    let inputs = |age: &str, sex: &str| {
        format!(
            r#"{{"inputs":[{{"name":"sex","shape":[1,1],"datatype":"BYTES","data":{sex}}},
            {{"name":"age","shape":[1,1],{age}}},{{"name":"fare","shape":[1,1],"datatype":"FP32","data":[7.25]}},
            {{"name":"port","shape":[1,1],"datatype":"BYTES","data":["Southampton"]}}]}}"#
        )
    };
    let age = |datatype: &str, data: &str| format!(r#""datatype":"{datatype}","data":{data}"#);
    let male = r#"["male"]"#;
    check_all(
        "/v2/models/survival/infer",
        &[
            (
                &inputs(&age("FP32", "[[22]]"), male),
                expect![[r#"
                200 aurora-track=stable aurora-model-version=v20260101-000000
                {"model_name":"survival","model_version":"v20260101-000000","outputs":[{"name":"output_label","shape":[1],"datatype":"BYTES","data":["no"]},{"name":"output_probability","shape":[1,2],"datatype":"FP32","data":[0.81723577,0.18276423]}]}"#]],
            ),
            (
                &inputs(&age("INT32", "[22]"), male),
                expect![[r#"
                200 aurora-track=stable aurora-model-version=v20260101-000000
                {"model_name":"survival","model_version":"v20260101-000000","outputs":[{"name":"output_label","shape":[1],"datatype":"BYTES","data":["no"]},{"name":"output_probability","shape":[1,2],"datatype":"FP32","data":[0.81723577,0.18276423]}]}"#]],
            ),
            (
                &inputs(&age("INT32", "[16777217]"), male),
                expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"input `age`, row 0, column 0: got 16777217.0, expected a number that is exact as FP32"}"#]],
            ),
            (
                &inputs(&age("FP64", "[22]"), male),
                expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"input `age`: got FP64, expected FP32 or a type that widens to it: FP16 (binary), INT8, INT16, UINT8, UINT16, and of INT32, UINT32, INT64 and UINT64 what is exact"}"#]],
            ),
            (
                &inputs(&age("FP32", r#"["22"]"#), male),
                expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"input `age`, row 0, column 0: got a text, expected a number"}"#]],
            ),
            (
                &inputs(&age("FP32", "[null]"), male),
                expect![[r#"
                    200 aurora-track=stable aurora-model-version=v20260101-000000
                    {"model_name":"survival","model_version":"v20260101-000000","outputs":[{"name":"output_label","shape":[1],"datatype":"BYTES","data":["no"]},{"name":"output_probability","shape":[1,2],"datatype":"FP32","data":[0.8253572,0.17464277]}]}"#]],
            ),
            (
                &inputs(&age("FP32", "[22]"), "[1]"),
                expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"input `sex`, row 0, column 0: got a number, expected a text"}"#]],
            ),
            (
                &inputs(&age("FP32", "[22]"), "[[[\"male\"]]]"),
                expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"input `sex`: got data nested as [1, 1, 1], expected [1,1] or a flat list"}"#]],
            ),
            (
                r#"{"inputs":[{"name":"age","shape":[2,1],"datatype":"FP32","data":[1,2]}]}"#,
                expect![[r#"
                    400 aurora-track=stable aurora-model-version=v20260101-000000
                    {"error":"input `fare` FP32 [-1,1] is missing: expected `age` FP32 [-1,1], `fare` FP32 [-1,1], `sex` BYTES [-1,1], `port` BYTES [-1,1]"}"#]],
            ),
            (
                r#"{"inputs":[{"name":"age","shape":[2,1],"datatype":"FP32","data":[1,2]},
                    {"name":"age","shape":[2,1],"datatype":"FP32","data":[1,2]}]}"#,
                expect![[r#"
                    400 aurora-track=stable aurora-model-version=v20260101-000000
                    {"error":"input `age` is given twice"}"#]],
            ),
            (
                r#"{"inputs":[{"name":"weight","shape":[2,1],"datatype":"FP32","data":[1,2]}]}"#,
                expect![[r#"
                    400 aurora-track=stable aurora-model-version=v20260101-000000
                    {"error":"input `weight` is unknown: expected `age` FP32 [-1,1], `fare` FP32 [-1,1], `sex` BYTES [-1,1], `port` BYTES [-1,1]"}"#]],
            ),
        ],
    );
    check_all(
        "/v2/models/counts/infer",
        &[
            (
                r#"{"inputs":[{"name":"X","shape":[2,2],"datatype":"INT64","data":[1,2,8,7]}]}"#,
                expect![[r#"
                    200 aurora-track=stable aurora-model-version=v20260101-000000
                    {"model_name":"counts","model_version":"v20260101-000000","outputs":[{"name":"label","shape":[2],"datatype":"INT64","data":[0,1]},{"name":"probabilities","shape":[2,2],"datatype":"FP32","data":[1.0,3.0824832e-9,8.8458206e-11,1.0]}]}"#]],
            ),
            (
                r#"{"inputs":[{"name":"X","shape":[1,2],"datatype":"FP32","data":[1,2]}]}"#,
                expect![[r#"
                    400 aurora-track=stable aurora-model-version=v20260101-000000
                    {"error":"input `X`: got FP32, expected INT64 or a type that widens to it: INT8, INT16, INT32, UINT8, UINT16, UINT32, and of UINT64 what it holds"}"#]],
            ),
            (
                r#"{"inputs":[{"name":"X","shape":[1,2],"datatype":"INT64","data":[1.5,2]}]}"#,
                expect![[r#"
                    400 aurora-track=stable aurora-model-version=v20260101-000000
                    {"error":"input `X`, row 0, column 0 (X_0): 1.5 is no INT64"}"#]],
            ),
        ],
    );
}

#[test]
fn texts_and_numbers_come_in_binary_one_after_the_other() {
    let input = |name: &str, datatype: &str, bytes: usize| {
        format!(
            r#"{{"name":"{name}","shape":[1,1],"datatype":"{datatype}","parameters":{{"binary_data_size":{bytes}}}}}"#
        )
    };
    let body = |port_bytes: usize, tail: &[u8]| {
        let json = format!(
            r#"{{"inputs":[{},{},{},{}],"outputs":[{{"name":"output_label"}}]}}"#,
            input("age", "FP32", 4),
            input("fare", "FP32", 4),
            input("sex", "BYTES", 8),
            input("port", "BYTES", port_bytes),
        );
        (json.len(), [json.as_bytes(), tail].concat())
    };
    let text = |text: &str| {
        [
            &u32::try_from(text.len()).unwrap().to_le_bytes()[..],
            text.as_bytes(),
        ]
        .concat()
    };
    let rows = [
        22.0_f32.to_le_bytes().to_vec(),
        7.25_f32.to_le_bytes().to_vec(),
        text("male"),
        text("Southampton"),
    ]
    .concat();
    let runtime = runtime();
    let asked = |(json_bytes, body): (usize, Vec<u8>)| {
        let length = json_bytes.to_string();
        let headers: &[(&str, &str)] = &[
            ("inference-header-content-length", &length),
            ("content-type", "application/octet-stream"),
        ];
        let ask = Ask {
            headers,
            body: &body,
            ..post("/v2/models/survival/infer", "")
        };
        told(&runtime, ask)
    };
    expect![[r#"
        200 aurora-track=stable aurora-model-version=v20260101-000000
        {"model_name":"survival","model_version":"v20260101-000000","outputs":[{"name":"output_label","shape":[1],"datatype":"BYTES","data":["no"]}]}"#]].assert_eq(&asked(body(15, &rows)));
    expect![[r#"
        400 aurora-track=stable aurora-model-version=v20260101-000000
        {"error":"input `port`, row 0, column 0: got a text of 11 bytes, more than there are, expected a text"}"#]].assert_eq(&asked(body(14, &rows[..rows.len() - 1])));
    expect![[r#"
        400 aurora-track=stable aurora-model-version=v20260101-000000
        {"error":"got 32 bytes after the JSON, expected 31: what the inputs' binary_data_size count"}"#]]
    .assert_eq(&asked(body(15, &[&rows[..], &[1]].concat())));
    let mut long = rows.clone();
    long[8] = 200;
    expect![[r#"
        400 aurora-track=stable aurora-model-version=v20260101-000000
        {"error":"input `sex`, row 0, column 0: got a text of 200 bytes, more than there are, expected a text"}"#]].assert_eq(&asked(body(15, &long)));
}

#[test]
fn a_description_names_every_input_and_column() {
    let runtime = runtime();
    for (path, expected) in [
        (
            "/v2/models/survival",
            expect![[r#"
            200 aurora-track=stable aurora-model-version=v20260101-000000
            {"name":"survival","versions":["v20260101-000000"],"platform":"aurora_onnx","inputs":[{"name":"age","datatype":"FP32","shape":[-1,1]},{"name":"fare","datatype":"FP32","shape":[-1,1]},{"name":"sex","datatype":"BYTES","shape":[-1,1]},{"name":"port","datatype":"BYTES","shape":[-1,1]}],"outputs":[{"name":"output_label","datatype":"BYTES","shape":[-1]},{"name":"output_probability","datatype":"FP32","shape":[-1,2]}]}"#]],
        ),
        (
            "/v2/models/counts/config",
            expect![[r#"
            200 aurora-track=stable aurora-model-version=v20260101-000000
            {"input":[{"data_type":"TYPE_INT64","dims":[2],"name":"X"}],"max_batch_size":100000,"name":"counts","output":[{"data_type":"TYPE_INT64","dims":[1],"name":"label","reshape":{"shape":[]}},{"data_type":"TYPE_FP32","dims":[2],"name":"probabilities"}],"platform":"aurora_onnx"}"#]],
        ),
        (
            "/predict/survival/openapi.json",
            expect![[r#"
                200 aurora-track=stable aurora-model-version=v20260101-000000
                {"info":{"description":"Version v20260101-000000 of the model survival, on its stable track.","title":"survival","version":"v20260101-000000"},"openapi":"3.1.0","paths":{"/predict/survival":{"post":{"operationId":"predict","requestBody":{"content":{"application/json":{"examples":{"inputs":{"value":{"inputs":[[0.0,0.0,"",""]]}},"rows":{"value":{"rows":[{"age":0.0,"fare":0.0,"port":"","sex":""}]}}},"schema":{"additionalProperties":false,"oneOf":[{"required":["rows"]},{"required":["inputs"]}],"properties":{"extra_columns":{"default":false,"description":"Whether columns are passed over that the model does not know","type":"boolean"},"inputs":{"description":"Features, in this order: age, fare, sex, port","items":{"maxItems":4,"minItems":4,"prefixItems":[{"type":["number","null"]},{"type":["number","null"]},{"type":"string"},{"type":"string"}],"type":"array"},"minItems":1,"type":"array"},"probabilities":{"default":false,"description":"Whether the probabilities of classes come too: of a classifier","type":"boolean"},"rows":{"description":"Raw columns, derived as in training","items":{"properties":{"age":{"type":["number","null"]},"fare":{"type":["number","null"]},"port":{"type":"string"},"sex":{"type":"string"}},"required":["age","fare","port","sex"],"type":"object"},"minItems":1,"type":"array"}},"type":"object"}}},"required":true},"responses":{"200":{"content":{"application/json":{"example":{"predictions":["no"]},"schema":{"properties":{"classes":{"description":"The classes, in the order of a row's probabilities","items":{"enum":["no","yes"],"type":"string"},"type":"array"},"predictions":{"items":{"enum":["no","yes"],"type":"string"},"type":"array"},"probabilities":{"items":{"items":{"type":"number"},"type":"array"},"type":"array"}},"required":["predictions"],"type":"object"}}},"description":"One prediction for each row"},"default":{"content":{"application/json":{"schema":{"properties":{"error":{"type":"string"}},"required":["error"],"type":"object"}}},"description":"Why there is none: 400 what does not fit, 401 no key, 404 no such version, 413 too large, 415 not JSON, 429 and 503 try again, 500 a number that JSON cannot hold"}},"summary":"Predicts rows of raw columns, or of the features that they derive to"}}}}"#]],
        ),
        (
            "/predict/both/openapi.json",
            expect![[r#"
            200 aurora-track=stable aurora-model-version=v20260101-000000
            {"info":{"description":"Version v20260101-000000 of the model both, on its stable track.","title":"both","version":"v20260101-000000"},"openapi":"3.1.0","paths":{"/predict/both":{"post":{"operationId":"predict","requestBody":{"content":{"application/json":{"examples":{"inputs":{"value":{"inputs":[[0.0,0.0]]}},"rows":{"value":{"rows":[{"X_0":0.0,"X_1":0.0}]}}},"schema":{"additionalProperties":false,"oneOf":[{"required":["rows"]},{"required":["inputs"]}],"properties":{"extra_columns":{"default":false,"description":"Whether columns are passed over that the model does not know","type":"boolean"},"inputs":{"description":"Features, in this order: X_0, X_1","items":{"items":{"type":"number"},"maxItems":2,"minItems":2,"type":"array"},"minItems":1,"type":"array"},"probabilities":{"default":false,"description":"Whether the probabilities of classes come too: of a classifier","type":"boolean"},"rows":{"description":"Raw columns, derived as in training","items":{"properties":{"X_0":{"type":"number"},"X_1":{"type":"number"}},"required":["X_0","X_1"],"type":"object"},"minItems":1,"type":"array"}},"type":"object"}}},"required":true},"responses":{"200":{"content":{"application/json":{"example":{"predictions":[[0.0000152587890625,0.00002002716064453125]]},"schema":{"properties":{"predictions":{"items":{"items":{"type":"number"},"maxItems":2,"minItems":2,"type":"array"},"type":"array"}},"required":["predictions"],"type":"object"}}},"description":"One prediction for each row"},"default":{"content":{"application/json":{"schema":{"properties":{"error":{"type":"string"}},"required":["error"],"type":"object"}}},"description":"Why there is none: 400 what does not fit, 401 no key, 404 no such version, 413 too large, 415 not JSON, 429 and 503 try again, 500 a number that JSON cannot hold"}},"summary":"Predicts rows of raw columns, or of the features that they derive to"}}}}"#]],
        ),
    ] {
        expected.assert_eq(&told(&runtime, get(path)));
    }
}
