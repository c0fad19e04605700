//! Keys, limits, names of answers.

use expect_test::{Expect, expect};
use planner::names::Track;
use registry::artifact::{Child, Graph, Trees};

use super::*;
use crate::metrics::Metrics;
use crate::testing::{V1, artifact, series};

#[test]
fn every_answer_of_a_model_names_who_answered() {
    let runtime = wine();
    let server = server(&runtime);
    for body in [ROW, r#"{"inputs":[]}"#] {
        let response = block_on(send(&server, post("/v2/models/wine/infer", body)));
        let header = |name: &str| response.headers()[name].to_str().expect("ASCII").to_owned();
        assert_eq!(header("aurora-model-version"), V1);
        assert_eq!(header("aurora-track"), "stable");
        assert_eq!(header("aurora-revision"), "1".repeat(40));
        assert!(header("aurora-model-digest").starts_with("sha256:"));
    }
    let id = |name: &str, value: &str| {
        let headers = &[(name, value)];
        let ask = Ask {
            headers,
            ..post("/v2/models/wine/infer", ROW)
        };
        let response = block_on(send(&server, ask));
        response.headers()["aurora-request-id"]
            .to_str()
            .expect("ASCII")
            .to_owned()
    };
    assert_eq!(id("aurora-request-id", "mine-1"), "mine-1");
    assert_eq!(id("x-request-id", "proxy/2"), "proxy/2");
    let long = "x".repeat(129);
    assert_ne!(id("aurora-request-id", &long), long);
    assert_ne!(id("aurora-request-id", "a b"), "a b");
    assert_ne!(id("accept", "*/*"), id("accept", "*/*"));
}

#[test]
fn keys_are_asked_for_everywhere_but_health() {
    let (key, line) = crate::keys::generate("test").expect("randomness");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), line).expect("written");
    let options = InferenceOptions {
        keys: Keys::from_file(file.path()).expect("read"),
        ..options()
    };
    let server = Arc::new(Server::new(wine(), options));
    let status = |ask| block_on(send(&server, ask)).status().as_u16();
    for path in ["/v2/health/live", "/v2/health/ready", "/health"] {
        assert_eq!(status(get(path)), 200, "{path}");
    }
    let in_query = format!("/v2/models?key={key}&x-api-key={key}");
    for path in ["/v2", "/v2/models", "/metrics", "/nowhere", in_query.as_str()] {
        assert_eq!(status(get(path)), 401, "{path}");
    }
    assert_eq!(status(post("/predict/wine", r#"{"inputs":[[1,2]]}"#)), 401);
    let headers = &[("x-api-key", key.as_str())];
    assert_eq!(
        status(Ask {
            headers,
            ..get("/metrics")
        }),
        200
    );
    assert_eq!(
        status(Ask {
            headers,
            ..post("/predict/wine", r#"{"inputs":[[1,2]]}"#)
        }),
        200
    );
}

#[test]
fn what_is_over_a_limit_is_told_so() {
    let limits = Limits {
        body_bytes: 200,
        bodies_bytes: 300,
        rows: 2,
        requests: 1,
        ..Limits::default()
    };
    let options = InferenceOptions { limits, ..options() };
    let server = Arc::new(Server::new(wine(), options));
    let check = |ask, expected: Expect| expected.assert_eq(&shown(&block_on(send(&server, ask))));
    let large = " ".repeat(201);
    check(
        post("/predict/wine", &large),
        expect![[r#"
        413
        {"error":"the body is larger than 200 bytes: send fewer rows per request"}"#]],
    );
    check(
        post("/predict/wine", r#"{"inputs":[[1,2],[1,2],[1,2]]}"#),
        expect![[r#"
        413 aurora-track=stable aurora-model-version=v20260101-000000
        {"error":"3 rows, more than the 2 that a request may have"}"#]],
    );
    let held = server.bodies.held.try_acquire_many(290).expect("290 of 300");
    check(
        post("/predict/wine", r#"{"inputs":[[1,2]]}"#),
        expect![[r#"
        503 retry-after=1
        {"error":"too many large requests at once, try again"}"#]],
    );
    drop(held);
    let admitted = server.admitted.try_acquire().expect("1 of 1");
    check(
        post("/predict/wine", r#"{"inputs":[[1,2]]}"#),
        expect![[r#"
        429 retry-after=1
        {"error":"1 requests are under way already, try again"}"#]],
    );
    drop(admitted);
    check(
        post("/predict/wine", r#"{"inputs":[[1,2]]}"#),
        expect![[r#"
        200 aurora-track=stable aurora-model-version=v20260101-000000
        {"predictions":[21.0]}"#]],
    );
    // What still comes on an open connection is answered.
    server.runtime.drain();
    check(
        post("/predict/wine", r#"{"inputs":[[1,2]]}"#),
        expect![[r#"
        200 aurora-track=stable aurora-model-version=v20260101-000000
        {"predictions":[21.0]}"#]],
    );
    check(
        get("/v2/health/ready"),
        expect![[r#"
        503
        {"live":true,"ready":false}"#]],
    );
    assert_eq!(server.bodies.held.available_permits(), 300);
    assert_eq!(server.admitted.available_permits(), 1);
}

/// A hundred rows of it are too much for an async worker.
fn slow() -> Graph {
    const TREES: usize = 30_000;
    Graph::Trees(Trees {
        width: 2,
        base: 0.0,
        roots: (0..TREES)
            .map(|tree| Child::leaf(tree).expect("few leaves"))
            .collect(),
        splits: Vec::new(),
        leaves: vec![0.5; TREES],
    })
}

#[tokio::test]
async fn a_request_whose_client_leaves_is_counted_as_cancelled() {
    let runtime = Runtime::new(Metrics::new());
    runtime.load(artifact("wine", V1, Track::Stable, &slow()));
    let server = server(&runtime);
    // Every turn is taken: a request that needs one waits.
    let turns = server.turns.clone();
    let all = u32::try_from(turns.available_permits()).expect("a few");
    let taken = turns.acquire_many(all).await.expect("open");
    let rows = vec!["[1,2]"; 100].join(",");
    let body = format!(r#"{{"inputs":[{rows}]}}"#);
    let waiting = send(&server, post("/predict/wine", &body));
    assert!(
        tokio::time::timeout(Duration::from_millis(50), waiting)
            .await
            .is_err()
    );
    drop(taken);
    assert_eq!(send(&server, post("/predict/wine", &body)).await.status(), 200);
    let of = |outcome: &str| {
        series(
            runtime.metrics(),
            &format!(
                "aurora_inference_outcomes_total{{model=\"wine\",outcome=\"{outcome}\",routed=\"split\",\
                 track=\"stable\",version=\"{V1}\"}}"
            ),
        )
    };
    assert_eq!((of("ok"), of("cancelled")), (1, 1));
}
