//! The listener over real sockets: connections, sizes, drain.

mod clients;
mod hogs;
mod pages;
mod tls;
mod turns;

use std::time::Duration;

use planner::names::{Track, Weight};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Limits, Sockets, Tls};
use crate::testing::{V1, V2, artifact, linear, model, series, wine};
use crate::{InferenceOptions, Runtime, serve_inference};

/// Long enough for a busy machine; only waited for when a test fails.
const PATIENCE: Duration = Duration::from_mins(1);

struct Listening {
    address: std::net::SocketAddr,
    shutdown: oneshot::Sender<()>,
    ended: JoinHandle<()>,
    runtime: Runtime,
}

async fn listen(limits: Limits) -> Listening {
    listen_on(limits, None).await
}

async fn listen_on(limits: Limits, tls: Option<Tls>) -> Listening {
    let options = InferenceOptions {
        limits,
        ..InferenceOptions::default()
    };
    listen_with(options, tls).await
}

async fn listen_with(options: InferenceOptions, tls: Option<Tls>) -> Listening {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let (shutdown, signal) = oneshot::channel::<()>();
    let runtime = wine();
    let sockets = Sockets::from(listener).over(tls);
    let serving = serve_inference(runtime.clone(), sockets, options, async {
        // A dropped sender is a shutdown too.
        let _dropped = signal.await;
    });
    Listening {
        address,
        shutdown,
        ended: tokio::spawn(serving),
        runtime,
    }
}

impl Listening {
    /// Returns how many connections the listener closed for a reason.
    fn closed(&self, reason: &str) -> u64 {
        let name = format!("aurora_connections_closed_total{{listener=\"inference\",reason=\"{reason}\"}}");
        series(self.runtime.metrics(), &name)
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connected")
    }

    /// Opens a connection and waits until the listener has answered on it.
    async fn connect_and_ask(&self) -> TcpStream {
        let mut stream = self.connect().await;
        send(
            &mut stream,
            "GET /v2/health/live HTTP/1.1\r\nhost: localhost\r\n\r\n",
        )
        .await;
        assert!(receive(&mut stream).await.starts_with("HTTP/1.1 200"));
        stream
    }
}

async fn send(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.expect("sent");
}

/// Reads one answer: up to the end of a body of the announced length.
async fn receive(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = async {
        loop {
            let mut chunk = [0; 4096];
            let size = stream.read(&mut chunk).await.unwrap_or(0);
            bytes.extend_from_slice(&chunk[..size]);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "));
                length.is_some_and(|length| length.parse() == Ok(body.len()))
            });
            if whole || size == 0 {
                return text;
            }
        }
    };
    timeout(PATIENCE, read).await.expect("an answer in time")
}

/// Waits until the listener closes the connection, and returns what came before.
async fn closed(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    // A reset closes too.
    let _reset = timeout(PATIENCE, read).await.expect("closed in time");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn predict(body: &str) -> String {
    format!(
        "POST /predict/wine HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn a_connection_answers_many_requests() {
    let listening = listen(Limits::default()).await;
    let mut stream = listening.connect().await;
    for n in 0..20 {
        send(&mut stream, &predict(&format!(r#"{{"inputs":[[{n},0]]}}"#))).await;
        let answer = receive(&mut stream).await;
        assert!(
            answer.ends_with(&format!("{{\"predictions\":[{n}.0]}}")),
            "{answer}"
        );
    }
    // Two in one packet, and one in many.
    send(&mut stream, &predict(r#"{"inputs":[[1,0]]}"#).repeat(2)).await;
    let mut both = [0; 4096];
    let mut length = 0;
    while String::from_utf8_lossy(&both[..length]).matches("[1.0]").count() < 2 {
        let read = stream.read(&mut both[length..]);
        length += timeout(PATIENCE, read).await.expect("in time").expect("open");
    }
    for byte in predict(r#"{"inputs":[[7,0]]}"#).chars() {
        send(&mut stream, &byte.to_string()).await;
    }
    assert!(receive(&mut stream).await.ends_with("[7.0]}"));
    let chunked = "POST /predict/wine HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n\
                   9\r\n{\"inputs\"\r\n9\r\n:[[3,0]]}\r\n0\r\n\r\n";
    send(&mut stream, chunked).await;
    assert!(receive(&mut stream).await.ends_with("[3.0]}"));
}

#[tokio::test]
async fn what_is_no_http_is_told_so() {
    let listening = listen(Limits::default()).await;
    let many = format!("GET /v2 HTTP/1.1\r\n{}\r\n", "h: 1\r\n".repeat(200));
    for (request, status) in [
        ("GET /v2 HTTP/1.1\r\nhost: localhost\r\na\x00: b\r\n\r\n", 400),
        ("GET /v2 HTTP/1.1\r\nhost: localhost\r\na: b\r\n c\r\n\r\n", 400),
        (
            "POST /v2 HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
            400,
        ),
        ("CONNECT localhost:1 HTTP/1.1\r\nhost: localhost\r\n\r\n", 405),
        ("CONNECT a:1 HTTP/1.1\r\nhost: localhost\r\n\r\n", 403),
        ("OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n", 404),
        (&many, 431),
    ] {
        let mut stream = listening.connect().await;
        send(&mut stream, request).await;
        let answer = receive(&mut stream).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{request:?}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn a_refusal_does_not_overtake_the_body() {
    let listening = listen(Limits::default()).await;
    let mut stream = listening.connect().await;
    let body = r#"{"inputs":[[1,0]]}"#;
    let request = predict(body).replace("wine", "beer");
    let (head, _) = request.split_at(request.len() - body.len());
    send(&mut stream, head).await;
    // As clients send it that write twice. Were the answer quicker, nothing more could be asked.
    tokio::time::sleep(Duration::from_millis(50)).await;
    send(&mut stream, body).await;
    let answer = receive(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    send(&mut stream, &predict(body)).await;
    let answer = receive(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn headers_and_bodies_that_are_too_large_are_refused() {
    let listening = listen(Limits {
        body_bytes: 1000,
        ..Limits::default()
    })
    .await;
    let mut stream = listening.connect().await;
    let header = format!(
        "GET /v2 HTTP/1.1\r\nhost: localhost\r\nlong: {}\r\n\r\n",
        "x".repeat(60_000)
    );
    send(&mut stream, &header).await;
    let answer = closed(&mut stream).await;
    // A close with bytes unread is a reset, which may overtake the answer.
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    let mut stream = listening.connect().await;
    send(
        &mut stream,
        "POST /predict/wine HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000000000\r\n\r\n{",
    )
    .await;
    let answer = receive(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let mut stream = listening.connect().await;
    let chunk = format!("{:x}\r\n{}\r\n", 600, " ".repeat(600));
    send(
        &mut stream,
        &format!(
            "POST /predict/wine HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n{chunk}{chunk}"
        ),
    )
    .await;
    let answer = receive(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    listening.connect_and_ask().await;
}

#[tokio::test]
async fn a_drain_finishes_what_is_under_way_and_closes_what_idles() {
    let listening = listen(Limits::default()).await;
    let mut idle = listening.connect_and_ask().await;
    let mut silent = listening.connect().await;
    let mut under_way = listening.connect_and_ask().await;
    let body = r#"{"inputs":[[5,0]]}"#;
    let request = predict(body);
    let (first, rest) = request.split_at(request.len() - 5);
    send(&mut under_way, first).await;
    // Its headers are read once the listener has counted it; until then it would be a connection that idles.
    let runtime = listening.runtime.clone();
    tokio::time::sleep(Duration::from_millis(50)).await;
    listening.shutdown.send(()).expect("listening");
    assert_eq!(closed(&mut idle).await, "");
    assert_eq!(closed(&mut silent).await, "");
    assert!(!runtime.ready(std::time::Instant::now()));
    assert!(
        TcpStream::connect(listening.address).await.is_err(),
        "accepts nothing any more"
    );
    assert!(!listening.ended.is_finished());
    send(&mut under_way, rest).await;
    let answer = closed(&mut under_way).await;
    assert!(
        answer.contains("connection: close") && answer.ends_with("[5.0]}"),
        "{answer}"
    );
    timeout(PATIENCE, listening.ended)
        .await
        .expect("ended")
        .expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_lets_a_slow_reader_have_its_whole_answer() {
    let listening = listen(Limits {
        rows: 2_000_000,
        ..Limits::default()
    })
    .await;
    let long = linear(0.123_456_789_123_456_7);
    listening.runtime.load(artifact("wine", V1, Track::Stable, &long));
    let rows = vec!["[0.1,0.2]"; 1_000_000].join(",");
    let mut stream = listening.connect().await;
    send(&mut stream, &predict(&format!(r#"{{"inputs":[{rows}]}}"#))).await;
    let mut first = [0; 12];
    let read = stream.read_exact(&mut first);
    timeout(PATIENCE, read).await.expect("in time").expect("open");
    listening.shutdown.send(()).expect("listening");
    // Longer than a draining listener waits for a connection that idles.
    tokio::time::sleep(Duration::from_millis(700)).await;
    let rest = closed(&mut stream).await;
    assert!(rest.ends_with("]}"), "{} bytes", rest.len());
    timeout(PATIENCE, listening.ended)
        .await
        .expect("ended")
        .expect("no panic");
}

#[tokio::test]
async fn a_drain_answers_what_comes_on_open_connections() {
    let listening = listen(Limits::default()).await;
    let mut open = listening.connect_and_ask().await;
    // Its handshake is done by the system; the listener may not have seen it yet.
    let mut queued = listening.connect().await;
    listening.shutdown.send(()).expect("listening");
    for stream in [&mut open, &mut queued] {
        send(stream, &predict(r#"{"inputs":[[5,0]]}"#)).await;
        let answer = closed(stream).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    timeout(PATIENCE, listening.ended)
        .await
        .expect("ended")
        .expect("no panic");
}

#[tokio::test]
async fn a_drain_ends_although_a_request_does_not() {
    let listening = listen(Limits {
        drain_timeout: Duration::from_millis(300),
        ..Limits::default()
    })
    .await;
    let mut stuck = listening.connect_and_ask().await;
    send(
        &mut stuck,
        "POST /predict/wine HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{",
    )
    .await;
    listening.shutdown.send(()).expect("listening");
    timeout(PATIENCE, listening.ended)
        .await
        .expect("ended")
        .expect("no panic");
    closed(&mut stuck).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_models_are_swapped() {
    let listening = listen(Limits::default()).await;
    let runtime = listening.runtime.clone();
    let swapping = tokio::task::spawn_blocking(move || {
        for round in 0..100 {
            let (old, new) = if round % 2 == 0 { (V1, V2) } else { (V2, V1) };
            runtime.load(artifact("wine", new, Track::Canary, &linear(0.0)));
            runtime.set_weight(&model("wine"), Weight::try_from(50).expect("a percent"));
            runtime.load(artifact("wine", new, Track::Stable, &linear(0.0)));
            runtime.unload(&model("wine"), Track::Canary);
            assert_ne!(old, new);
        }
    });
    let mut asked = 0;
    let mut stream = listening.connect().await;
    while !swapping.is_finished() || asked < 100 {
        send(&mut stream, &predict(r#"{"inputs":[[1,0]]}"#)).await;
        let answer = receive(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        asked += 1;
    }
    swapping.await.expect("no panic");
}
