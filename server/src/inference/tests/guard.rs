//! Keys, limits, names of answers.

use expect_test::{Expect, expect};
use planner::names::Track;
use registry::artifact::{Child, Graph, Trees};

use super::*;
use crate::http::frame;
use crate::http::place::Place;
use crate::keys::Keys;
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
    let with = |open_metrics| {
        let access = Access {
            keys: Keys::from_file(file.path()).expect("read"),
            open_metrics,
            ..Access::default()
        };
        Arc::new(Server::new(wine(), InferenceOptions { access, ..options() }))
    };
    let server = with(false);
    let status = |ask| block_on(send(&server, ask)).status().as_u16();
    for path in ["/v2/health/live", "/v2/health/ready", "/health"] {
        assert_eq!(status(get(path)), 200, "{path}");
    }
    let in_query = format!("/v2/models?key={key}&x-api-key={key}");
    for path in ["/v2", "/v2/models", "/metrics", "/nowhere", in_query.as_str()] {
        assert_eq!(status(get(path)), 401, "{path}");
    }
    assert_eq!(status(post("/predict/wine", r#"{"inputs":[[1,2]]}"#)), 401);
    let bearer = format!("Bearer {key}");
    for header in [("x-api-key", key.as_str()), ("authorization", &bearer)] {
        let headers = [header];
        for ask in [get("/metrics"), post("/predict/wine", r#"{"inputs":[[1,2]]}"#)] {
            let response = block_on(send(
                &server,
                Ask {
                    headers: &headers,
                    ..ask
                },
            ));
            assert_eq!(response.status(), 200, "{}", header.0);
        }
    }
    let refused = block_on(send(&server, get("/v2/models")));
    assert_eq!(refused.headers()["www-authenticate"], "Bearer realm=\"aurora\"");
    let open = with(true);
    for (path, expected) in [("/metrics", 200), ("/v2/models", 401)] {
        assert_eq!(block_on(send(&open, get(path))).status(), expected, "{path}");
    }
}

#[test]
fn what_is_over_a_limit_is_told_so() {
    let limits = Limits {
        body_bytes: 200,
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
    assert_eq!(server.admitted.available_permits(), 1);
}

#[test]
fn one_address_leaves_room_for_others() {
    let limits = Limits {
        requests: 16,
        ..Limits::default()
    };
    let server = Arc::new(Server::new(wine(), InferenceOptions { limits, ..options() }));
    let (one, other) = (Place::nowhere(), Place::nowhere());
    let under_way: Vec<_> = (0..14).map(|_| one.admit(14).expect("seven eighths")).collect();
    let ask = |place: &Arc<Place>| {
        let request = warp::test::request()
            .method("POST")
            .path("/predict/wine")
            .body(r#"{"inputs":[[1,2]]}"#);
        let response = block_on(request.reply(&routes(server.clone(), place.clone())));
        shown(&response)
    };
    expect![[r#"
        429 retry-after=1
        {"error":"14 requests of your address are under way already, try again"}"#]]
    .assert_eq(&ask(&one));
    assert!(ask(&other).starts_with("200"));
    drop(under_way);
    assert!(ask(&one).starts_with("200"));
}

#[test]
fn large_bodies_share_what_they_hold_and_small_ones_go_on() {
    let limits = Limits {
        body_bytes: 40_000,
        bodies_bytes: 40_000,
        ..Limits::default()
    };
    let server = Arc::new(Server::new(wine(), InferenceOptions { limits, ..options() }));
    let large = format!("{}{}", r#"{"inputs":[[1,2]]}"#, " ".repeat(30_000));
    block_on(async {
        let mut others = server.frame.bodies.held.hold(Place::nowhere());
        others.grow_to(16_384 + 30_000).await.expect("30,000 of 40,000");
        let refused = shown(&send(&server, post("/predict/wine", &large)).await);
        expect![[r#"
            503 retry-after=1
            {"error":"too many large requests at once, try again"}"#]]
        .assert_eq(&refused);
        let small = post("/predict/wine", r#"{"inputs":[[1,2]]}"#);
        assert_eq!(send(&server, small).await.status(), 200);
        drop(others);
        assert_eq!(send(&server, post("/predict/wine", &large)).await.status(), 200);
        assert_eq!(server.frame.bodies.held.held(), 0);
    });
}

#[test]
fn answers_are_bounded_before_they_are_computed() {
    let limits = Limits {
        answer_bytes: 20_000,
        answers_bytes: 20_000,
        ..Limits::default()
    };
    let runtime = wine();
    add_iris(&runtime);
    let server = Arc::new(Server::new(runtime, InferenceOptions { limits, ..options() }));
    let rows = |rows: usize| vec!["[1,2]"; rows].join(",");
    let plain = |count| format!(r#"{{"inputs":[{}]}}"#, rows(count));
    let outputs = |count, outputs: &str| {
        format!(
            r#"{{"inputs":[{{"name":"input","shape":[{count},2],"datatype":"FP64","data":[{}]}}],"outputs":[{outputs}]}}"#,
            rows(count)
        )
    };
    let check = |path, body: &str, expected: Expect| {
        expected.assert_eq(&shown(&block_on(send(&server, post(path, body)))));
    };
    check(
        "/predict/wine",
        &plain(1000),
        expect![[r#"
            413 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"1000 rows take up to 26024 bytes, more than the 20000 that an answer may have: send at most 759 rows per request"}"#]],
    );
    check(
        "/v2/models/iris/infer",
        &outputs(1000, ""),
        expect![[r#"
            413 aurora-track=stable aurora-model-version=v20260101-000000
            {"error":"1000 rows take up to 89024 bytes, more than the 20000 that an answer may have: send at most 215 rows per request"}"#]],
    );
    let status = |path, body: &str| block_on(send(&server, post(path, body))).status().as_u16();
    // What it says fits, does.
    assert_eq!(status("/predict/wine", &plain(759)), 200);
    assert_eq!(status("/predict/wine", &plain(760)), 413);
    assert_eq!(status("/v2/models/iris/infer", &outputs(215, "")), 200);
    assert_eq!(status("/v2/models/iris/infer", &outputs(216, "")), 413);
    // Only what is asked for counts.
    assert_eq!(
        status("/v2/models/iris/infer", &outputs(1000, r#"{"name":"label"}"#)),
        200
    );
    assert_eq!(server.answers.held(), 0);
}

#[test]
fn an_answer_counts_until_its_bytes_are_gone() {
    let runtime = Runtime::new(Metrics::new());
    runtime.load(artifact(
        "wine",
        V1,
        Track::Stable,
        &crate::testing::linear(0.123_456_789_123),
    ));
    let server = server(&runtime);
    let body = format!(r#"{{"inputs":[{}]}}"#, vec!["[0.1,0.2]"; 2000].join(","));
    block_on(async {
        let mut response = frame::answer(
            &*server,
            &Place::nowhere(),
            hyper::Method::POST,
            ("/predict/wine", ""),
            (&HeaderMap::new(), None),
            futures_util::stream::iter([Ok::<_, warp::Error>(bytes::Bytes::from(body))]),
        )
        .await;
        assert_eq!(response.status(), 200);
        // 2,000 numbers of 15 digits, beyond what is free.
        let held = server.answers.held();
        assert!((10_000..20_000).contains(&held), "{held}");
        assert_eq!(server.frame.bodies.held.held(), 0);
        drop(response.extensions_mut().remove::<crate::http::budget::Counted>());
        assert_eq!(server.answers.held(), 0);
    });
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
    let turns = server.aside.turns();
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
