//! What a browser is told that calls for a page: of the dashboard, and of anybody else.

use expect_test::{Expect, expect};

use super::*;
use crate::keys::{Access, Keys};

const DASHBOARD: &str = "origin: http://127.0.0.1:8000\r\n";
const ELSEWHERE: &str = "origin: http://127.0.0.1:9000\r\n";
const ASKS: &str =
    "access-control-request-method: POST\r\naccess-control-request-headers: aurora-track,content-type\r\n";

/// Sends requests without a body, or with a row where they call, and shows of each answer what is about pages.
async fn check(access: Access, requests: &[(&str, &str, &[&str])], expected: Expect) {
    let options = InferenceOptions {
        access,
        ..InferenceOptions::default()
    };
    let listening = listen_with(options, None).await;
    let mut shown = Vec::new();
    for (name, line, headers) in requests {
        let body = if line.starts_with("POST") {
            r#"{"inputs":[[1,0]]}"#
        } else {
            ""
        };
        let headers = headers.concat();
        let length = body.len();
        let request =
            format!("{line} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {length}\r\n\r\n{body}");
        let mut stream = listening.connect().await;
        send(&mut stream, &request).await;
        // An answer to OPTIONS has no body, and so no length.
        stream.shutdown().await.expect("half-closed");
        let answer = closed(&mut stream).await;
        let status = answer.get(9..12).unwrap_or_default();
        let of_pages = |line: &&str| line.starts_with("access-control-") || line.starts_with("vary");
        shown.push(format!("{name}: {status}\n"));
        shown.extend(
            answer
                .lines()
                .filter(of_pages)
                .map(|line| format!("    {line}\n")),
        );
    }
    expected.assert_eq(&shown.concat());
}

fn open_to_the_dashboard() -> Access {
    let dashboard = ["http://127.0.0.1:8000", "http://localhost:8000"];
    let dashboard = dashboard.map(|origin| origin.parse().expect("an origin"));
    Access {
        origins: dashboard.into_iter().collect(),
        ..Access::default()
    }
}

#[tokio::test]
async fn pages_of_the_dashboard_may_call_and_no_others() {
    let requests: [(&str, &str, &[&str]); 12] = [
        ("the dashboard asks", "OPTIONS /predict/wine", &[DASHBOARD, ASKS]),
        ("it calls", "POST /predict/wine", &[DASHBOARD]),
        ("it calls what is not there", "POST /predict/beer", &[DASHBOARD]),
        (
            "it asks what it may not send",
            "OPTIONS /predict/wine",
            &[
                DASHBOARD,
                "access-control-request-method: PUT\r\naccess-control-request-headers: cookie\r\n",
            ],
        ),
        (
            "it asks about what is read",
            "OPTIONS /metrics",
            &[DASHBOARD, ASKS],
        ),
        ("it reads", "GET /v2/models", &[DASHBOARD]),
        ("another port asks", "OPTIONS /predict/wine", &[ELSEWHERE, ASKS]),
        ("another port calls", "POST /predict/wine", &[ELSEWHERE]),
        (
            "another site asks",
            "OPTIONS /predict/wine",
            &["origin: http://evil.example\r\n", ASKS],
        ),
        (
            "two at once",
            "OPTIONS /predict/wine",
            &[DASHBOARD, ELSEWHERE, ASKS],
        ),
        ("no page asks for the methods", "OPTIONS /predict/wine", &[]),
        ("no page calls", "POST /predict/wine", &[]),
    ];
    check(
        open_to_the_dashboard(),
        &requests,
        expect![[r#"
        the dashboard asks: 204
            access-control-allow-methods: POST
            access-control-allow-headers: aurora-track, content-type, x-api-key
            access-control-max-age: 600
            access-control-allow-origin: http://127.0.0.1:8000
            vary: origin
        it calls: 200
            access-control-allow-origin: http://127.0.0.1:8000
            vary: origin
            access-control-expose-headers: aurora-model-version, aurora-request-id, aurora-track
        it calls what is not there: 404
            access-control-allow-origin: http://127.0.0.1:8000
            vary: origin
            access-control-expose-headers: aurora-model-version, aurora-request-id, aurora-track
        it asks what it may not send: 204
            access-control-allow-methods: POST
            access-control-allow-headers: aurora-track, content-type, x-api-key
            access-control-max-age: 600
            access-control-allow-origin: http://127.0.0.1:8000
            vary: origin
        it asks about what is read: 204
        it reads: 200
        another port asks: 204
        another port calls: 200
        another site asks: 403
        two at once: 204
        no page asks for the methods: 204
        no page calls: 200
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_browser_asks_without_a_key_and_calls_with_one() {
    let (key, line) = crate::keys::generate("test").expect("randomness");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), line).expect("written");
    let access = Access {
        keys: Keys::from_file(file.path()).expect("read"),
        ..open_to_the_dashboard()
    };
    let key = format!("x-api-key: {key}\r\n");
    let evil = "origin: http://evil.example\r\n";
    let requests: [(&str, &str, &[&str]); 6] = [
        ("the dashboard asks", "OPTIONS /predict/wine", &[DASHBOARD, ASKS]),
        ("it calls without a key", "POST /predict/wine", &[DASHBOARD]),
        ("it calls with one", "POST /predict/wine", &[DASHBOARD, &key]),
        ("it asks for the methods", "OPTIONS /predict/wine", &[DASHBOARD]),
        ("another site asks", "OPTIONS /predict/wine", &[evil, ASKS]),
        (
            "another site calls with a key",
            "POST /predict/wine",
            &[evil, &key],
        ),
    ];
    check(
        access,
        &requests,
        expect![[r#"
        the dashboard asks: 204
            access-control-allow-methods: POST
            access-control-allow-headers: aurora-track, content-type, x-api-key
            access-control-max-age: 600
            access-control-allow-origin: http://127.0.0.1:8000
            vary: origin
        it calls without a key: 401
            access-control-allow-origin: http://127.0.0.1:8000
            vary: origin
            access-control-expose-headers: aurora-model-version, aurora-request-id, aurora-track
        it calls with one: 200
            access-control-allow-origin: http://127.0.0.1:8000
            vary: origin
            access-control-expose-headers: aurora-model-version, aurora-request-id, aurora-track
        it asks for the methods: 401
        another site asks: 401
        another site calls with a key: 200
    "#]],
    )
    .await;
}
