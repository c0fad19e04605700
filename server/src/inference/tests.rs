//! The listener's answers as clients see them, without a socket.

mod any_body;
mod binary;
mod clients;
mod coding;
mod describe;
mod guard;
mod infer;
mod predict;
mod table;
mod theirs;

use std::fmt::Write as _;

use expect_test::Expect;

use super::*;
use crate::testing::{add_iris, wine};

/// One request; what is not given is what most requests have.
#[derive(Clone, Copy)]
struct Ask<'a> {
    method: &'a str,
    path: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: &'a [u8],
}

fn get(path: &str) -> Ask<'_> {
    Ask {
        method: "GET",
        path,
        headers: &[],
        body: b"",
    }
}

fn post<'a>(path: &'a str, body: &'a str) -> Ask<'a> {
    Ask {
        method: "POST",
        path,
        headers: &[],
        body: body.as_bytes(),
    }
}

fn options() -> InferenceOptions {
    InferenceOptions::default()
}

fn server(runtime: &Runtime) -> Arc<Server> {
    Arc::new(Server::new(runtime.clone(), options()))
}

async fn send(server: &Arc<Server>, ask: Ask<'_>) -> hyper::Response<bytes::Bytes> {
    let mut request = warp::test::request()
        .method(ask.method)
        .path(ask.path)
        .body(ask.body);
    for (name, value) in ask.headers {
        request = request.header(*name, *value);
    }
    request.reply(&routes(server.clone(), Place::nowhere())).await
}

/// Shows status, the headers that matter, and the body.
fn shown(response: &hyper::Response<bytes::Bytes>) -> String {
    let mut text = response.status().as_u16().to_string();
    for name in ["allow", "retry-after", "aurora-track", "aurora-model-version"] {
        if let Some(value) = response.headers().get(name) {
            write!(text, " {name}={}", value.to_str().expect("ASCII")).expect("text grows");
        }
    }
    let kind = response.headers()["content-type"].to_str().expect("ASCII");
    if kind != "application/json" {
        write!(text, " content-type={kind}").expect("text grows");
    }
    assert!(response.headers().contains_key("aurora-request-id"));
    let json_bytes = response.headers().get("inference-header-content-length");
    let json_bytes = json_bytes.map_or(response.body().len(), |value| {
        value.to_str().expect("ASCII").parse().expect("a number")
    });
    let (json, tensors) = response.body().split_at(json_bytes);
    let text = format!("{text}\n{}", String::from_utf8_lossy(json));
    if tensors.is_empty() {
        text
    } else {
        format!("{text}\n{}", hex::encode(tensors))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "expect! makes a value")]
fn check(runtime: &Runtime, ask: Ask<'_>, expected: Expect) {
    expected.assert_eq(&told(runtime, ask));
}

/// Returns an answer as it is shown.
fn told(runtime: &Runtime, ask: Ask<'_>) -> String {
    shown(&block_on(send(&server(runtime), ask)))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

const ROW: &str = r#"{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP64","data":[1,0.5]}]}"#;
