//! What the listener says of itself.

use expect_test::expect;
use planner::names::Track;

use super::*;
use crate::metrics::Metrics;
use crate::testing::{V2, artifact, linear};

#[test]
fn the_server_describes_itself() {
    let runtime = wine();
    add_iris(&runtime);
    check(
        &runtime,
        get("/v2"),
        expect![[r#"
            200
            {"extensions":["binary_tensor_data","model_configuration"],"name":"aurora","version":"0.1.0"}"#]],
    );
    check(
        &runtime,
        get("/v2/"),
        expect![[r#"
            200
            {"extensions":["binary_tensor_data","model_configuration"],"name":"aurora","version":"0.1.0"}"#]],
    );
    check(
        &runtime,
        get("/v2/health/live"),
        expect![[r#"
        200
        {"live":true}"#]],
    );
    check(
        &runtime,
        get("/v2/health/ready"),
        expect![[r#"
        200
        {"live":true,"ready":true}"#]],
    );
    check(
        &runtime,
        get("/health"),
        expect![[r#"
        200
        {"models":["iris","wine"],"service":"aurora-inference","status":"ok"}"#]],
    );
    check(
        &runtime,
        get("/v2/models"),
        expect![[r#"
        200
        {"models":["iris","wine"]}"#]],
    );
    check(
        &runtime,
        get("/v2/models/wine"),
        expect![[r#"
        200 aurora-track=stable aurora-model-version=v20260101-000000
        {"name":"wine","versions":["v20260101-000000","v20260202-000000"],"platform":"aurora_onnx","inputs":[{"name":"input","datatype":"FP64","shape":[-1,2]}],"outputs":[{"name":"prediction","datatype":"FP64","shape":[-1,1]}]}"#]],
    );
    check(
        &runtime,
        get("/v2/models/iris"),
        expect![[r#"
        200 aurora-track=stable aurora-model-version=v20260101-000000
        {"name":"iris","versions":["v20260101-000000"],"platform":"aurora_onnx","inputs":[{"name":"input","datatype":"FP64","shape":[-1,2]}],"outputs":[{"name":"label","datatype":"BYTES","shape":[-1]},{"name":"probabilities","datatype":"FP64","shape":[-1,3]}]}"#]],
    );
    check(
        &runtime,
        get("/v2/models/wine/versions/v20260202-000000"),
        expect![[r#"
        200 aurora-track=canary aurora-model-version=v20260202-000000
        {"name":"wine","versions":["v20260101-000000","v20260202-000000"],"platform":"aurora_onnx","inputs":[{"name":"input","datatype":"FP64","shape":[-1,2]}],"outputs":[{"name":"prediction","datatype":"FP64","shape":[-1,1]}]}"#]],
    );
    check(
        &runtime,
        get("/v2/models/wine/ready"),
        expect![[r#"
        200 aurora-track=stable aurora-model-version=v20260101-000000
        {"name":"wine","ready":true}"#]],
    );
    check(
        &runtime,
        get("/v2/models/wine/versions/v20260101-000000/ready"),
        expect![[r#"
        200 aurora-track=stable aurora-model-version=v20260101-000000
        {"name":"wine","ready":true}"#]],
    );
    check(
        &runtime,
        get("/v2/models/wine/versions/v1/ready"),
        expect![[r#"
        404
        {"error":"version v1 is not loaded"}"#]],
    );
    check(
        &runtime,
        get("/v2/models/other"),
        expect![[r#"
        404
        {"error":"no such model; served: iris, wine"}"#]],
    );
    check(
        &runtime,
        post("/v2/repository/index", ""),
        expect![[r#"
        200
        [{"name":"iris","version":"v20260101-000000","state":"READY","reason":""},{"name":"wine","version":"v20260101-000000","state":"READY","reason":""},{"name":"wine","version":"v20260202-000000","state":"READY","reason":""}]"#]],
    );
    check(
        &runtime,
        post("/v2/repository/models/wine/load", ""),
        expect![[r#"
            403
            {"error":"models change by commit: what the environment's manifests declare is loaded, nothing else"}"#]],
    );
    check(
        &runtime,
        post("/v2/repository/models/wine/unload", "{}"),
        expect![[r#"
            403
            {"error":"models change by commit: what the environment's manifests declare is loaded, nothing else"}"#]],
    );
}

#[test]
fn paths_and_methods_that_do_not_exist_say_so() {
    let runtime = wine();
    check(
        &runtime,
        get("/nowhere"),
        expect![[r#"
            404
            {"error":"no such path: the Open Inference Protocol is under /v2, a plain form at POST /predict/MODEL, KServe's first protocol under /v1, MLflow's at POST /invocations"}"#]],
    );
    check(
        &runtime,
        get("/v2/models/wine/infer"),
        expect![[r#"
            405 allow=POST, OPTIONS
            {"error":"this path takes POST, OPTIONS only"}"#]],
    );
    check(
        &runtime,
        post("/v2/models/wine", ""),
        expect![[r#"
            405 allow=GET, HEAD, OPTIONS
            {"error":"this path takes GET, HEAD, OPTIONS only"}"#]],
    );
    check(
        &runtime,
        Ask {
            method: "DELETE",
            ..get("/v2/models/wine")
        },
        expect![[r#"
            405 allow=GET, HEAD, OPTIONS
            {"error":"this path takes GET, HEAD, OPTIONS only"}"#]],
    );
    check(
        &runtime,
        get("/v2/models/wine/versions/a/b/c/d/e/f"),
        expect![[r#"
            404
            {"error":"no such path: the Open Inference Protocol is under /v2, a plain form at POST /predict/MODEL, KServe's first protocol under /v1, MLflow's at POST /invocations"}"#]],
    );
    check(
        &runtime,
        post("/v2/models/other/infer", ROW),
        expect![[r#"
        404
        {"error":"no such model; served: wine"}"#]],
    );
    check(
        &runtime,
        post("/v2/models/../infer", ROW),
        expect![[r#"
        404
        {"error":"no such model; served: wine"}"#]],
    );
}

#[test]
fn where_health_tells_of_life_it_waits_for_no_model() {
    let options = InferenceOptions {
        health: Health::Alive,
        ..options()
    };
    let server = Arc::new(Server::new(Runtime::new(Metrics::new()), options));
    expect![[r#"
        200
        {"models":[],"service":"aurora-inference","status":"not ready"}"#]]
    .assert_eq(&shown(&block_on(send(&server, get("/health")))));
}

#[test]
fn before_anything_is_loaded_it_lives_but_is_not_ready() {
    let runtime = Runtime::new(Metrics::new());
    check(
        &runtime,
        get("/v2/health/live"),
        expect![[r#"
        200
        {"live":true}"#]],
    );
    check(
        &runtime,
        get("/v2/health/ready"),
        expect![[r#"
        503
        {"live":true,"ready":false}"#]],
    );
    check(
        &runtime,
        get("/health"),
        expect![[r#"
        503
        {"models":[],"service":"aurora-inference","status":"not ready"}"#]],
    );
    check(
        &runtime,
        post("/predict", "{}"),
        expect![[r#"
        503 retry-after=1
        {"error":"no model is loaded yet"}"#]],
    );
    check(
        &runtime,
        get("/v2/models/wine"),
        expect![[r#"
            503 retry-after=1
            {"error":"it is not known yet which models there are, try again"}"#]],
    );
    // Only the canary is there: requests of the split wait for stable.
    runtime.load(artifact("wine", V2, Track::Canary, &linear(0.0)));
    check(
        &runtime,
        get("/v2/models/wine/ready"),
        expect![[r#"
        503
        {"name":"wine","ready":false}"#]],
    );
    check(
        &runtime,
        post("/v2/models/wine/infer", ROW),
        expect![[r#"
        503 retry-after=1
        {"error":"no version is loaded yet"}"#]],
    );
}

#[test]
fn head_is_taken_wherever_get_is() {
    let runtime = wine();
    let server = server(&runtime);
    let allowed = [
        "/",
        "/ping",
        "/version",
        "/v1/models",
        "/v1/models/wine",
        "/v2",
        "/v2/models/stats",
        "/v2/models/wine/config",
        "/v2/models/wine/stats",
        "/predict/wine/openapi.json",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models",
        "/v2/models/wine",
        "/v2/models/wine/ready",
        "/v2/models/wine/versions/v20260101-000000",
        "/v2/models/wine/versions/v20260101-000000/ready",
        "/health",
        "/metrics",
        "/nowhere",
    ];
    for path in allowed {
        let [head, get] = ["HEAD", "GET"].map(|method| {
            let response = block_on(send(&server, Ask { method, ..get(path) }));
            (response.status(), response.headers()["content-type"].clone())
        });
        assert_eq!(head, get, "{path}");
    }
    for path in [
        "/v2/models/wine/infer",
        "/v2/models/wine/versions/v20260101-000000/infer",
        "/v2/repository/index",
        "/v2/repository/models/wine/load",
        "/predict",
        "/predict/wine",
        "/v1/models/wine:predict",
        "/invocations",
    ] {
        let ask = Ask {
            method: "HEAD",
            ..get(path)
        };
        let response = block_on(send(&server, ask));
        assert_eq!(
            (response.status().as_u16(), &response.headers()["allow"]),
            (405, &"POST, OPTIONS".parse().unwrap()),
            "{path}"
        );
    }
}
