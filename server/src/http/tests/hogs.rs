//! Clients that take more than they give: connections, bodies, answers that they keep waiting.

use tokio::net::TcpSocket;

use super::*;

#[tokio::test]
async fn the_connection_that_idles_longest_gives_way() {
    let listening = listen(Limits {
        connections: 3,
        ..Limits::default()
    })
    .await;
    let mut silent = listening.connect().await;
    let mut first = listening.connect_and_ask().await;
    let mut second = listening.connect_and_ask().await;
    let mut others = Vec::new();
    for oldest in [&mut silent, &mut first] {
        others.push(listening.connect_and_ask().await);
        assert_eq!(closed(oldest).await, "");
    }
    send(&mut second, &predict(r#"{"inputs":[[5,0]]}"#)).await;
    assert!(receive(&mut second).await.ends_with("[5.0]}"));
    assert!(listening.closed("evicted") >= 2);
}

/// Begins a request and sends all of its body but the last byte.
async fn half_sent(listening: &Listening, bytes: usize) -> TcpStream {
    let mut stream = listening.connect().await;
    let head = format!("POST /predict/wine HTTP/1.1\r\nhost: localhost\r\ncontent-length: {bytes}\r\n\r\n");
    send(&mut stream, &head).await;
    send(&mut stream, &" ".repeat(bytes - 1)).await;
    stream
}

#[tokio::test]
async fn a_full_listener_still_answers_probes() {
    let listening = listen(Limits {
        connections: 2,
        write_timeout: Duration::from_secs(1),
        ..Limits::default()
    })
    .await;
    let asking = [half_sent(&listening, 100).await, half_sent(&listening, 100).await];
    // Their heads have been read once they count as busy; until then one of them would give way.
    tokio::time::sleep(Duration::from_millis(100)).await;
    for path in ["/v2/health/live", "/v2/health/ready", "/health", "/metrics"] {
        let mut probe = listening.connect().await;
        send(
            &mut probe,
            &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"),
        )
        .await;
        let answer = closed(&mut probe).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        assert!(answer.contains("connection: close"), "{path}: {answer}");
    }
    let mut other = listening.connect().await;
    send(&mut other, &predict(r#"{"inputs":[[5,0]]}"#)).await;
    let answer = closed(&mut other).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("too many connections"), "{answer}");
    drop(asking);
}

#[tokio::test]
async fn half_sent_requests_give_way_once_they_are_behind() {
    let listening = listen(Limits {
        connections: 4,
        ..Limits::default()
    })
    .await;
    let mut hogs = Vec::new();
    for _ in 0..4 {
        hogs.push(half_sent(&listening, 1000).await);
    }
    let answered = async {
        loop {
            let mut stream = listening.connect().await;
            send(&mut stream, &predict(r#"{"inputs":[[5,0]]}"#)).await;
            if receive(&mut stream).await.ends_with("[5.0]}") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, answered).await.expect("a place in time");
    assert!(listening.closed("slow") >= 1);
    // It is told why.
    let told = async {
        loop {
            for hog in &mut hogs {
                if let Ok(told) = timeout(Duration::from_millis(20), closed(hog)).await {
                    return told;
                }
            }
        }
    };
    let told = timeout(PATIENCE, told).await.expect("told in time");
    assert!(
        told.starts_with("HTTP/1.1 408") && told.contains("connection: close"),
        "{told}"
    );
}

#[tokio::test]
async fn large_bodies_that_do_not_end_stop_nobody() {
    const BODY: usize = 100_000;
    let listening = listen(Limits {
        body_bytes: BODY,
        bodies_bytes: 4 * BODY,
        ..Limits::default()
    })
    .await;
    let mut hogs = Vec::new();
    for _ in 0..4 {
        hogs.push(half_sent(&listening, BODY).await);
    }
    let ask = async |body: &str| {
        let mut stream = listening.connect().await;
        send(&mut stream, &predict(body)).await;
        receive(&mut stream).await
    };
    // Small ones at once, a large one as soon as somebody is seen to be behind.
    let small = r#"{"inputs":[[5,0]]}"#;
    assert!(ask(small).await.starts_with("HTTP/1.1 200"));
    let large = format!("{small}{}", " ".repeat(BODY - 1000));
    let answer = ask(&large).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(listening.closed("slow") >= 1);
}

#[tokio::test]
async fn bodies_that_do_not_come_keep_nobody_out() {
    let limits = Limits {
        body_bytes: 1000,
        bodies_bytes: 3000,
        ..Limits::default()
    };
    let listening = listen(limits).await;
    let mut slow = Vec::new();
    for _ in 0..10 {
        let mut stream = listening.connect().await;
        let head = "POST /predict/wine HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 1000\r\n\r\n";
        send(&mut stream, head).await;
        // The body is being read once the listener asks for it.
        let mut go = [0; 25];
        let asked = stream.read_exact(&mut go);
        timeout(PATIENCE, asked).await.expect("in time").expect("open");
        slow.push(stream);
    }
    let mut stream = listening.connect().await;
    send(&mut stream, &predict(r#"{"inputs":[[1,0]]}"#)).await;
    let answer = receive(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_take_no_answer_hold_what_the_budget_allows() {
    const ROWS: usize = 400_000;
    let listening = listen(Limits {
        rows: ROWS,
        answer_bytes: 25 * ROWS + 10_000,
        answers_bytes: 60 * ROWS,
        ..Limits::default()
    })
    .await;
    listening.runtime.load(artifact(
        "wine",
        V1,
        Track::Stable,
        &linear(0.123_456_789_123_456_7),
    ));
    let body = format!(r#"{{"inputs":[{}]}}"#, vec!["[0.1,0.2]"; ROWS].join(","));
    let mut hogs = Vec::new();
    let mut codes = Vec::new();
    for _ in 0..6 {
        // What the system buffers for it counts for nobody: it is to be less than an answer.
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("set");
        let mut stream = socket.connect(listening.address).await.expect("connected");
        send(&mut stream, &predict(&body)).await;
        let mut first = [0; 12];
        let read = stream.read_exact(&mut first);
        timeout(PATIENCE, read).await.expect("in time").expect("open");
        codes.push(String::from_utf8_lossy(&first).into_owned());
        hogs.push(stream);
        // In between, small ones are answered at once.
        let mut small = listening.connect().await;
        send(&mut small, &predict(r#"{"inputs":[[5,0]]}"#)).await;
        assert!(receive(&mut small).await.starts_with("HTTP/1.1 200"));
    }
    // Each was answered, for those that took nothing lost theirs.
    assert!(codes.iter().all(|code| code == "HTTP/1.1 200"), "{codes:?}");
    assert!(listening.closed("slow") >= 3, "{}", listening.closed("slow"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_no_answer_is_given_up() {
    let listening = listen(Limits {
        write_timeout: Duration::from_millis(200),
        rows: 2_000_000,
        ..Limits::default()
    })
    .await;
    // Its predictions have 16 digits: 18 MB, more than the sockets of both sides buffer.
    listening.runtime.load(artifact(
        "wine",
        V1,
        Track::Stable,
        &linear(0.123_456_789_123_456_7),
    ));
    let rows = vec!["[0.1,0.2]"; 1_000_000].join(",");
    let mut stream = listening.connect().await;
    send(&mut stream, &predict(&format!(r#"{{"inputs":[{rows}]}}"#))).await;
    let answered = async {
        let counted = "aurora_requests_total{code=\"200\",method=\"POST\",route=\"/predict/{model}\"}";
        while series(listening.runtime.metrics(), counted) < 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, answered).await.expect("evaluated");
    // Nobody reads for longer than the listener waits; the rest never comes.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let part = closed(&mut stream).await;
    assert!(part.starts_with("HTTP/1.1 200"), "{} bytes", part.len());
    assert!(part.len() < 16_000_000, "{} bytes", part.len());
}

#[tokio::test]
async fn slow_clients_are_given_up() {
    let listening = listen(Limits {
        header_timeout: Duration::from_millis(100),
        idle_timeout: Duration::from_millis(150),
        body_timeout: Duration::from_millis(100),
        ..Limits::default()
    })
    .await;
    let mut nothing = listening.connect().await;
    let mut headers = listening.connect().await;
    send(&mut headers, "POST /predict/wine HTTP/1.1\r\nhost: localhost\r\n").await;
    let mut body = listening.connect().await;
    send(
        &mut body,
        "POST /predict/wine HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{",
    )
    .await;
    let mut idle = listening.connect_and_ask().await;
    assert_eq!(closed(&mut nothing).await, "");
    closed(&mut headers).await;
    let answer = receive(&mut body).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(
        answer.contains("{\"error\":\"the body did not arrive within 0.1 s\"}"),
        "{answer}"
    );
    assert_eq!(closed(&mut idle).await, "");
    listening.connect_and_ask().await;
    let of = |reason: &str| listening.closed(reason);
    assert_eq!((of("header"), of("idle")), (2, 1));
}

#[tokio::test]
async fn a_connection_may_idle_for_longer_than_headers_may_take() {
    let listening = listen(Limits {
        header_timeout: Duration::from_millis(50),
        ..Limits::default()
    })
    .await;
    let mut stream = listening.connect_and_ask().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    send(&mut stream, &predict(r#"{"inputs":[[5,0]]}"#)).await;
    assert!(receive(&mut stream).await.ends_with("[5.0]}"));
    // What has begun must go on.
    send(&mut stream, "GET /v2 HTTP/1.1\r\n").await;
    assert_eq!(closed(&mut stream).await, "");
}
