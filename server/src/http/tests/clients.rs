//! What honest clients rely on, and whom a listener without keys answers.

use registry::artifact::{Child, Graph, Trees};

use super::*;
use crate::metrics::Page;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_has_said_all_gets_its_answer() {
    let listening = listen(Limits::default()).await;
    // One that is answered at once, one that takes a thread of its own, and two in one go.
    let many = format!(r#"{{"inputs":[{}]}}"#, vec!["[5,0]"; 50_000].join(","));
    let small = predict(r#"{"inputs":[[5,0]]}"#);
    for (request, answers) in [(small.clone(), 1), (predict(&many), 1), (small.repeat(2), 2)] {
        let mut stream = listening.connect().await;
        send(&mut stream, &request).await;
        stream.shutdown().await.expect("half-closed");
        let answer = closed(&mut stream).await;
        assert!(answer.ends_with("5.0]}"), "{} bytes", answer.len());
        let start = &answer[..answer.len().min(1000)];
        assert_eq!(answer.matches("HTTP/1.1 200").count(), answers, "{start}");
    }
    // What ends before its body does, or before it has begun, is no request.
    let mut stream = listening.connect().await;
    send(&mut stream, &small[..small.len() - 3]).await;
    stream.shutdown().await.expect("half-closed");
    let answer = closed(&mut stream).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
        "{answer}"
    );
    let mut stream = listening.connect().await;
    stream.shutdown().await.expect("half-closed");
    assert_eq!(closed(&mut stream).await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_whose_connection_breaks_is_counted_as_cancelled() {
    const TREES: usize = 30_000;
    let listening = listen(Limits::default()).await;
    let slow = Graph::Trees(Trees {
        width: 2,
        base: 0.0,
        roots: (0..TREES)
            .map(|tree| Child::leaf(tree).expect("few leaves"))
            .collect(),
        splits: Vec::new(),
        leaves: vec![0.5; TREES],
    });
    listening.runtime.load(artifact("wine", V1, Track::Stable, &slow));
    let body = format!(r#"{{"inputs":[{}]}}"#, vec!["[1,2]"; 2000].join(","));
    let mut stream = listening.connect().await;
    send(&mut stream, &predict(&body)).await;
    let of = |name: &str, labels: &str| {
        let series_name = format!(
            "aurora_inference_{name}_total{{model=\"wine\",{labels}track=\"stable\",version=\"{V1}\"}}"
        );
        series(listening.runtime.metrics(), &series_name)
    };
    let counted = async |name: &str, labels: &str| {
        while of(name, labels) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let started = counted("started", "routed=\"split\",");
    timeout(PATIENCE, started).await.expect("started");
    // A reset, as of a client that is gone; one that only has said all waits for its answer.
    stream.set_zero_linger().expect("set");
    drop(stream);
    let cancelled = counted("outcomes", "outcome=\"cancelled\",routed=\"split\",");
    timeout(PATIENCE, cancelled).await.expect("cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_sends_on_sees_why_it_is_refused() {
    const SENT: usize = 32 << 20;
    let listening = listen(Limits {
        body_bytes: 1 << 20,
        ..Limits::default()
    })
    .await;
    let announced = format!(
        "POST /predict/wine HTTP/1.1\r\nhost: localhost\r\ncontent-length: {SENT}\r\n\r\n{}",
        " ".repeat(SENT)
    );
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, " ".repeat(1 << 20));
    let chunked = format!(
        "POST /predict/wine HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk.repeat(SENT >> 20)
    );
    let nobody = announced.replace("wine", "beer");
    let header = format!(
        "GET /v2 HTTP/1.1\r\nhost: localhost\r\nlong: {}\r\n\r\n",
        "x".repeat(1 << 20)
    );
    for (request, status) in [(announced, 413), (chunked, 413), (nobody, 404), (header, 431)] {
        let mut stream = listening.connect().await;
        // As a client does that writes all before it reads: a reset on the way would fail it.
        send(&mut stream, &request).await;
        let answer = closed(&mut stream).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{status}: {answer:?}"
        );
        assert!(answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test]
async fn only_this_machine_may_ask_without_a_key() {
    let listening = listen(Limits::default()).await;
    for (request, status) in [
        ("GET /v2 HTTP/1.1\r\nhost: evil.example\r\n\r\n", 403),
        ("GET /health HTTP/1.1\r\nhost: evil.example\r\n\r\n", 403),
        ("GET /v2 HTTP/1.1\r\n\r\n", 400),
        (
            "GET /v2 HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n",
            400,
        ),
        (
            "GET /v2 HTTP/1.1\r\nhost: localhost\r\norigin: http://evil.example\r\n\r\n",
            403,
        ),
        (
            "GET http://evil.example/v2 HTTP/1.1\r\nhost: localhost\r\n\r\n",
            403,
        ),
        ("GET http://localhost/v2 HTTP/1.1\r\nhost: localhost\r\n\r\n", 200),
        (
            "GET /v2 HTTP/1.1\r\nhost: 127.0.0.1:1\r\norigin: http://localhost:3000\r\n\r\n",
            200,
        ),
        ("GET /v2 HTTP/1.0\r\n\r\n", 200),
    ] {
        let mut stream = listening.connect().await;
        send(&mut stream, request).await;
        let answer = receive(&mut stream).await;
        assert!(answer.contains(&format!(" {status} ")), "{request:?}: {answer}");
        assert!(answer.contains("aurora-request-id"), "{answer}");
        // The connection is as good as before: the next request is judged by itself.
        if request.contains("HTTP/1.1") {
            send(&mut stream, "GET /v2 HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
            assert!(
                receive(&mut stream).await.starts_with("HTTP/1.1 200"),
                "after {request:?}"
            );
        }
    }
    let counted = "aurora_requests_total{code=\"403\",method=\"GET\",route=\"/v2\"}";
    assert_eq!(series(listening.runtime.metrics(), counted), 3);
}

#[tokio::test]
async fn latencies_are_what_they_are_said_to_be() {
    let listening = listen(Limits::default()).await;
    let mut stream = listening.connect().await;
    let request = predict(r#"{"inputs":[[5,0]]}"#);
    let (first, rest) = request.split_at(request.len() - 5);
    send(&mut stream, first).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    send(&mut stream, rest).await;
    assert!(receive(&mut stream).await.ends_with("[5.0]}"));
    let sum = |name: &str| -> f64 {
        let text = listening.runtime.metrics().render(Page::Inference);
        let line = text.lines().find(|line| line.starts_with(name)).expect("counted");
        line.rsplit_once(' ')
            .expect("a value")
            .1
            .parse()
            .expect("a number")
    };
    // Waiting for the body is the client's time, not the model's.
    let request = sum("aurora_request_latency_seconds_sum{route=\"/predict/{model}\"}");
    let inference = sum("aurora_inference_request_latency_seconds_sum{model=\"wine\"");
    assert!(request - inference > 0.2, "{request} {inference}");
}
