//! The shapes of other clients: KServe's first protocol, MLflow's scoring, and what describes a model.

use expect_test::expect;
use planner::names::Track;

use super::*;
use crate::metrics::Metrics;
use crate::runtime::Awaited;
use crate::testing::{V1, V2, model, version};

#[test]
fn kserves_first_protocol_takes_lists_or_rows() {
    let runtime = wine();
    for (body, expected) in [
        (
            r#"{"instances":[[1,0.5],[2,0.1]]}"#,
            expect![[r#"
            200 aurora-track=stable aurora-model-version=v20260101-000000
            {"predictions":[6.0,3.0]}"#]],
        ),
        (
            r#"{"instances":[{"a":1,"b":1,"c":2}],"signature_name":"x"}"#,
            expect![[r#"
                200 aurora-track=stable aurora-model-version=v20260101-000000
                {"predictions":[6.0]}"#]],
        ),
        (
            r#"{"instances":[]}"#,
            expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"instances: got lists of shape [0], expected [-1,2]: rows of 2 values (a, b_per_c)"}"#]],
        ),
        (
            r#"{"instances":[[1,0.5],{"a":1,"b":1,"c":2}]}"#,
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"instances: expected lists of numbers or {column: number, …}, got both"}"#]],
        ),
        (
            r#"{"instances":[{"a":1,"b":1,"c":2,"d":3}]}"#,
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"instances[0]: column `d` is unknown; known: a, b, c"}"#]],
        ),
        (
            r#"{"instances":[[{"a":1}]]}"#,
            expect![[r#"
            400
            {"error":"failed to read the body as JSON: invalid type: map, expected a list of numbers, nested or flat at line 1 column 16"}"#]],
        ),
        (
            r#"{"instances":[1,0.5]}"#,
            expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"instances: got lists of shape [2], expected [-1,2]: rows of 2 values (a, b_per_c)"}"#]],
        ),
        (
            r#"{"inputs":[[1,0.5]]}"#,
            expect![[r#"
            400
            {"error":"failed to read the body as JSON: missing field `instances` at line 1 column 20"}"#]],
        ),
    ] {
        check(&runtime, post("/v1/models/wine:predict", body), expected);
    }
    check(
        &runtime,
        get("/"),
        expect![[r#"
        200
        {"status":"alive"}"#]],
    );
    check(
        &runtime,
        get("/v1/models"),
        expect![[r#"
        200
        {"models":["wine"]}"#]],
    );
    check(
        &runtime,
        get("/v1/models/wine"),
        expect![[r#"
        200 aurora-track=stable aurora-model-version=v20260101-000000
        {"name":"wine","ready":true}"#]],
    );
    check(
        &runtime,
        get("/v1/models/other"),
        expect![[r#"
        404
        {"error":"no such model; served: wine"}"#]],
    );
    check(
        &runtime,
        post("/v1/models/other:predict", "{}"),
        expect![[r#"
        404
        {"error":"no such model; served: wine"}"#]],
    );
}

#[test]
fn mlflows_scoring_takes_four_shapes() {
    let runtime = wine();
    for (body, expected) in [
        (
            r#"{"dataframe_split":{"index":[0,1],"columns":["a","b","c"],"data":[[1,1,2],[2,1,10]]}}"#,
            expect![[r#"
                200 aurora-track=stable aurora-model-version=v20260101-000000
                {"predictions":[6.0,3.0]}"#]],
        ),
        (
            r#"{"dataframe_split":{"data":[[1,1,2,"red"]],"columns":["a","b","c","colour"]},"params":{}}"#,
            expect![[r#"
                200 aurora-track=stable aurora-model-version=v20260101-000000
                {"predictions":[6.0]}"#]],
        ),
        (
            r#"{"dataframe_split":{"columns":["a","b","c"],"data":[[1,1,2],[2,1]]}}"#,
            expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"dataframe_split: data[1] has 2 values, expected 3, one for each of columns"}"#]],
        ),
        (
            r#"{"dataframe_records":[{"a":1,"b":1,"c":2,"d":0}]}"#,
            expect![[r#"
                200 aurora-track=stable aurora-model-version=v20260101-000000
                {"predictions":[6.0]}"#]],
        ),
        (
            r#"{"dataframe_records":[{"a":1,"b":1}]}"#,
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"dataframe_records[0]: column `c` is missing; needed: a, b, c"}"#]],
        ),
        (
            r#"{"dataframe_records":[{"a":1,"b":NaN,"c":1}]}"#,
            expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"dataframe_records[0]: column `b`: got NaN or Infinity, which JSON does not have (null is a missing value), expected a value"}"#]],
        ),
        (
            r#"{"instances":[[1,0.5]]}"#,
            expect![[r#"
            200 aurora-track=stable aurora-model-version=v20260101-000000
            {"predictions":[6.0]}"#]],
        ),
        (
            r#"{"inputs":[[1,0.5]]}"#,
            expect![[r#"
            200 aurora-track=stable aurora-model-version=v20260101-000000
            {"predictions":[6.0]}"#]],
        ),
        (
            r#"{"inputs":{"a":[1,2],"b":[1,1],"c":[2,10]}}"#,
            expect![[r#"
            200 aurora-track=stable aurora-model-version=v20260101-000000
            {"predictions":[6.0,3.0]}"#]],
        ),
        (
            r#"{"inputs":{"a":[1,2],"b":[1]}}"#,
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"inputs: column `b` has 1 values, expected 2 as the first has"}"#]],
        ),
        (
            r#"{"inputs":{}}"#,
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"inputs: expected at least one row"}"#]],
        ),
        (
            r#"{"inputs":"x"}"#,
            expect![[r#"
            400
            {"error":"failed to read the body as JSON: invalid type: string \"x\", expected a list of numbers, nested or flat, or {column: [number, …], …} at line 1 column 13"}"#]],
        ),
        (
            r#"{"inputs":[[1,0.5]],"instances":[[1,0.5]]}"#,
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"expected one of dataframe_split, dataframe_records, instances and inputs"}"#]],
        ),
        (
            "{}",
            expect![[r#"
            400 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"expected one of dataframe_split, dataframe_records, instances and inputs"}"#]],
        ),
        (
            r#"{"inputs":[[1,0.5]],"params":{"probabilities":true}}"#,
            expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"probabilities: this model predicts numbers, and has none"}"#]],
        ),
        (
            r#"{"data":[[1,0.5]]}"#,
            expect![[r#"
                400
                {"error":"failed to read the body as JSON: unknown field `data`, expected one of `dataframe_split`, `dataframe_records`, `instances`, `inputs`, `params` at line 1 column 7"}"#]],
        ),
    ] {
        check(&runtime, post("/invocations", body), expected);
    }
    check(
        &runtime,
        get("/ping"),
        expect![[r#"
        200
        {"live":true,"ready":true}"#]],
    );
    check(
        &runtime,
        get("/version"),
        expect![[r#"
        200 content-type=text/plain; charset=utf-8
        0.1.0"#]],
    );
    add_iris(&runtime);
    check(
        &runtime,
        post("/invocations", r#"{"inputs":[[1,0.5]]}"#),
        expect![[r#"
            400
            {"error":"several models are served, name one: POST /predict/MODEL with iris, wine"}"#]],
    );
}

#[test]
fn probabilities_and_extra_columns_come_on_request() {
    let runtime = wine();
    add_iris(&runtime);
    for (path, body, expected) in [
        (
            "/predict/iris",
            r#"{"inputs":[[3,0],[0,4]],"probabilities":true}"#,
            expect![[r#"
                200 aurora-track=stable aurora-model-version=v20260101-000000
                {"predictions":["setosa","versicolor"],"classes":["setosa","versicolor","virginica"],"probabilities":[[0.8834920740271945,0.043986480292057845,0.07252144568074777],[0.017468203540633418,0.9537315977210048,0.02880019873836161]]}"#]],
        ),
        (
            "/predict/iris",
            r#"{"rows":[{"a":3,"b":0,"c":1,"id":"x"}],"extra_columns":true,"probabilities":false}"#,
            expect![[r#"
                200 aurora-track=stable aurora-model-version=v20260101-000000
                {"predictions":["setosa"]}"#]],
        ),
        (
            "/predict/iris",
            r#"{"rows":[{"a":3,"b":0,"id":"x"}],"extra_columns":true}"#,
            expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"rows[0]: column `c` is missing; needed: a, b, c"}"#]],
        ),
        (
            "/predict/wine",
            r#"{"inputs":[[3,0]],"probabilities":true}"#,
            expect![[r#"
                400 aurora-track=stable aurora-model-version=v20260101-000000
                {"error":"probabilities: this model predicts numbers, and has none"}"#]],
        ),
        (
            "/predict/wine",
            r#"{"inputs":[[3,0]],"probabilities":1}"#,
            expect![[r#"
                400
                {"error":"failed to read the body as JSON: invalid type: integer `1`, expected a boolean at line 1 column 35"}"#]],
        ),
    ] {
        check(&runtime, post(path, body), expected);
    }
}

#[test]
fn a_model_describes_its_plain_path_and_its_example_is_answered() {
    let runtime = wine();
    add_iris(&runtime);
    let server = server(&runtime);
    let ask = |ask: Ask<'_>| {
        let response = block_on(send(&server, ask));
        assert_eq!(response.status(), 200, "{response:?}");
        serde_json::from_slice::<serde_json::Value>(response.body()).expect("JSON")
    };
    for name in ["wine", "iris"] {
        let path = format!("/predict/{name}");
        let document = ask(get(&format!("{path}/openapi.json")));
        let post_of = &document["paths"][&path]["post"];
        let examples = &post_of["requestBody"]["content"]["application/json"]["examples"];
        let expected = &post_of["responses"]["200"]["content"]["application/json"]["example"];
        for example in ["rows", "inputs"] {
            let body = examples[example]["value"].to_string();
            assert_eq!(ask(post(&path, &body)), *expected, "{name} {example}");
        }
    }
    check(
        &runtime,
        get("/predict/iris/openapi.json"),
        expect![[r#"
        200 aurora-track=stable aurora-model-version=v20260101-000000
        {"info":{"description":"Version v20260101-000000 of the model iris, on its stable track.","title":"iris","version":"v20260101-000000"},"openapi":"3.1.0","paths":{"/predict/iris":{"post":{"operationId":"predict","requestBody":{"content":{"application/json":{"examples":{"inputs":{"value":{"inputs":[[2.0,0.5]]}},"rows":{"value":{"rows":[{"a":2.0,"b":1.0,"c":2.0}]}}},"schema":{"additionalProperties":false,"oneOf":[{"required":["rows"]},{"required":["inputs"]}],"properties":{"extra_columns":{"default":false,"description":"Whether columns are passed over that the model does not know","type":"boolean"},"inputs":{"description":"Features, in this order: a, b_per_c","items":{"items":{"type":"number"},"maxItems":2,"minItems":2,"type":"array"},"minItems":1,"type":"array"},"probabilities":{"default":false,"description":"Whether the probabilities of classes come too: of a classifier","type":"boolean"},"rows":{"description":"Raw columns, derived as in training","items":{"properties":{"a":{"type":"number"},"b":{"type":"number"},"c":{"type":"number"}},"required":["a","b","c"],"type":"object"},"minItems":1,"type":"array"}},"type":"object"}}},"required":true},"responses":{"200":{"content":{"application/json":{"example":{"predictions":["setosa"]},"schema":{"properties":{"classes":{"description":"The classes, in the order of a row's probabilities","items":{"enum":["setosa","versicolor","virginica"],"type":"string"},"type":"array"},"predictions":{"items":{"enum":["setosa","versicolor","virginica"],"type":"string"},"type":"array"},"probabilities":{"items":{"items":{"type":"number"},"type":"array"},"type":"array"}},"required":["predictions"],"type":"object"}}},"description":"One prediction for each row"},"default":{"content":{"application/json":{"schema":{"properties":{"error":{"type":"string"}},"required":["error"],"type":"object"}}},"description":"Why there is none: 400 what does not fit, 401 no key, 404 no such version, 413 too large, 415 not JSON, 429 and 503 try again, 500 a number that JSON cannot hold"}},"summary":"Predicts rows of raw columns, or of the features that they derive to"}}}}"#]],
    );
}

#[test]
fn a_model_tells_its_configuration_and_what_was_counted() {
    let runtime = wine();
    add_iris(&runtime);
    check(
        &runtime,
        get("/v2/models/wine/config"),
        expect![[r#"
        200 aurora-track=stable aurora-model-version=v20260101-000000
        {"input":[{"data_type":"TYPE_FP64","dims":[2],"name":"input"}],"max_batch_size":100000,"name":"wine","output":[{"data_type":"TYPE_FP64","dims":[1],"name":"prediction"}],"platform":"aurora_onnx"}"#]],
    );
    check(
        &runtime,
        get("/v2/models/iris/config"),
        expect![[r#"
        200 aurora-track=stable aurora-model-version=v20260101-000000
        {"input":[{"data_type":"TYPE_FP64","dims":[2],"name":"input"}],"max_batch_size":100000,"name":"iris","output":[{"data_type":"TYPE_STRING","dims":[1],"name":"label","reshape":{"shape":[]}},{"data_type":"TYPE_FP64","dims":[3],"name":"probabilities"}],"platform":"aurora_onnx"}"#]],
    );
    for body in [ROW, ROW, "{\"inputs\":[]}"] {
        block_on(send(&server(&runtime), post("/v2/models/wine/infer", body)));
    }
    let stats = |path: &str| {
        let response = block_on(send(&server(&runtime), get(path)));
        let mut stats: serde_json::Value = serde_json::from_slice(response.body()).expect("JSON");
        let mut lines = Vec::new();
        for version in stats["model_stats"].as_array_mut().expect("a list") {
            for kind in ["success", "fail"] {
                let part = &mut version["inference_stats"][kind];
                // How long it took is the machine's.
                let took = part["ns"].take();
                assert_eq!(
                    took.as_u64() > Some(0),
                    part["count"].as_u64() > Some(0),
                    "{path}"
                );
            }
            lines.push(version.to_string());
        }
        lines.join("\n")
    };
    expect![[r#"
        {"execution_count":2,"inference_stats":{"fail":{"count":1,"ns":null},"success":{"count":2,"ns":null}},"name":"wine","version":"v20260101-000000"}
        {"execution_count":0,"inference_stats":{"fail":{"count":0,"ns":null},"success":{"count":0,"ns":null}},"name":"wine","version":"v20260202-000000"}"#]].assert_eq(&stats("/v2/models/wine/stats"));
    expect![[r#"{"execution_count":0,"inference_stats":{"fail":{"count":0,"ns":null},"success":{"count":0,"ns":null}},"name":"wine","version":"v20260202-000000"}"#]].assert_eq(&stats("/v2/models/wine/versions/v20260202-000000/stats"));
    assert_eq!(stats("/v2/models/stats").lines().count(), 3);
}

#[test]
fn a_model_that_still_loads_is_not_ready_rather_than_unknown() {
    let runtime = Runtime::new(Metrics::new());
    let pin = |track, number: &str, training| Awaited {
        model: model("wine"),
        track,
        version: version(number),
        training,
    };
    runtime.expect(
        &model("wine"),
        vec![pin(Track::Stable, V1, false), pin(Track::Canary, V2, true)],
    );
    runtime.expected(Instant::now());
    for path in [
        "/v2/models/wine/ready",
        "/v1/models/wine",
        "/v2/models/wine/versions/v20260101-000000/ready",
    ] {
        check(
            &runtime,
            get(path),
            expect![[r#"
            503
            {"name":"wine","ready":false}"#]],
        );
    }
    for ask in [
        post("/v2/models/wine/infer", ROW),
        post("/predict/wine", "{}"),
        get("/v2/models/wine"),
        get("/v2/models/wine/config"),
    ] {
        check(
            &runtime,
            ask,
            expect![[r#"
                503 retry-after=1
                {"error":"no version is loaded: v20260101-000000 is being loaded"}"#]],
        );
    }
    check(
        &runtime,
        post("/v2/repository/index", ""),
        expect![[r#"
        200
        [{"name":"wine","version":"v20260101-000000","state":"LOADING","reason":"is being loaded"},{"name":"wine","version":"v20260202-000000","state":"LOADING","reason":"is still being trained or imported"}]"#]],
    );
    runtime.load(crate::testing::artifact(
        "wine",
        V1,
        Track::Stable,
        &crate::testing::linear(0.0),
    ));
    check(
        &runtime,
        post("/v2/repository/index", ""),
        expect![[r#"
        200
        [{"name":"wine","version":"v20260101-000000","state":"READY","reason":""},{"name":"wine","version":"v20260202-000000","state":"LOADING","reason":"is still being trained or imported"}]"#]],
    );
    runtime.expect(&model("wine"), vec![]);
    runtime.unload(&model("wine"), Track::Stable);
    check(
        &runtime,
        post("/v2/repository/index", ""),
        expect![[r#"
        200
        [{"name":"wine","state":"UNAVAILABLE","reason":"no version is loaded"}]"#]],
    );
    runtime.failed(&model("wine"), Track::Stable, &version(V2));
    check(
        &runtime,
        post("/v2/repository/index", ""),
        expect![[r#"
        200
        [{"name":"wine","version":"v20260202-000000","state":"UNAVAILABLE","reason":"does not load: `aurora status` says why"}]"#]],
    );
    runtime.unload(&model("wine"), Track::Stable);
    check(
        &runtime,
        post("/v2/repository/index", ""),
        expect![[r#"
        200
        [{"name":"wine","state":"UNAVAILABLE","reason":"no version is loaded"}]"#]],
    );
    runtime.failed(&model("broken"), Track::Stable, &version(V2));
    check(
        &runtime,
        post("/predict/broken", "{}"),
        expect![[r#"
        503 retry-after=1
        {"error":"no version is loaded: v20260202-000000 does not load: `aurora status` says why"}"#]],
    );
    check(
        &runtime,
        get("/v1/models/broken"),
        expect![[r#"
        503
        {"name":"broken","ready":false}"#]],
    );
    runtime.unload(&model("broken"), Track::Stable);
    check(
        &runtime,
        get("/v1/models/broken"),
        expect![[r#"
            404
            {"error":"no such model: none is loaded"}"#]],
    );
    runtime.expect(&model("slow"), vec![pin(Track::Stable, V1, false)]);
    runtime.remove(&model("slow"));
    check(
        &runtime,
        get("/v1/models/slow"),
        expect![[r#"
            404
            {"error":"no such model: none is loaded"}"#]],
    );
}
