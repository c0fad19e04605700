//! Who passes, who waits, who is told to come back.

use hyper::header::{HeaderMap, HeaderValue};
use tokio::time::Instant;

use super::*;
use crate::http::place::Place;
use crate::keys::Keys;
use crate::metrics::{ListenerName, Metrics};
use crate::testing::series;

const READ: Demands = Demands {
    audience: Audience::Keys,
    methods: Methods::Read,
};

/// Asks once, and tells the answer and after how many seconds it came.
async fn ask(gate: &Gate, method: &str, demands: Demands, key: Option<&str>) -> String {
    let mut headers = HeaderMap::new();
    if let Some(key) = key {
        headers.insert("x-api-key", key.parse().expect("a header's value"));
    }
    let method = method.parse().expect("a method");
    let id = HeaderValue::from_static("1");
    let place = Place::nowhere();
    let request = Request {
        place: &place,
        method: &method,
        path: "/",
        query: "",
        headers: &headers,
        id: &id,
        refused: None,
    };
    let began = Instant::now();
    let answer = match gate.admit(request, demands).await {
        Ok(None) => "passes".to_owned(),
        Ok(Some(answer)) => told(&answer),
        Err(failure) => told(&failure.response()),
    };
    format!("{answer} after {} s", began.elapsed().as_secs_f64().round())
}

fn told(answer: &Response) -> String {
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let more = header("allow").or(header("retry-after")).unwrap_or_default();
    format!("{} {more}", answer.status().as_u16())
        .trim_end()
        .to_owned()
}

fn gate(access: &Access, per_second: Option<u32>) -> (Gate, Metrics) {
    let limits = Limits {
        peer_requests_per_second: per_second.and_then(NonZero::new),
        ..Limits::default()
    };
    let metrics = Metrics::new();
    (
        Gate::new(&limits, access, metrics.listener(ListenerName::Inference)),
        metrics,
    )
}

#[tokio::test(start_paused = true)]
async fn wrong_keys_are_answered_later_and_later_and_right_ones_at_once() {
    let (key, line) = crate::keys::generate("test").expect("randomness");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), line).expect("written");
    let access = Access {
        keys: Keys::from_file(file.path()).expect("read"),
        ..Access::default()
    };
    let (gate, metrics) = gate(&access, None);
    let mut answers = Vec::new();
    for _ in 0..7 {
        answers.push(ask(&gate, "GET", READ, Some("wrong")).await);
    }
    let at_once = "401 after 0 s";
    let expected = [
        at_once,
        at_once,
        at_once,
        at_once,
        at_once,
        "401 after 1 s",
        "401 after 2 s",
    ];
    assert_eq!(answers, expected);
    for _ in 0..3 {
        ask(&gate, "GET", READ, Some("wrong")).await;
    }
    assert_eq!(ask(&gate, "GET", READ, Some("wrong")).await, "429 6 after 0 s");
    // Whoever else shares the address has its key, and one who has none has tried none.
    assert_eq!(ask(&gate, "GET", READ, Some(&key)).await, "passes after 0 s");
    assert_eq!(ask(&gate, "GET", READ, None).await, "401 after 0 s");
    for (reason, count) in [("unknown_key", 11), ("no_key", 1)] {
        let name = format!("aurora_requests_refused_total{{listener=\"inference\",reason=\"{reason}\"}}");
        assert_eq!(series(&metrics, &name), count, "{reason}");
    }
}

#[tokio::test]
async fn an_address_asks_so_often_and_for_health_as_often_as_it_likes() {
    let (gate, metrics) = gate(&Access::default(), Some(1));
    let health = Demands {
        audience: Audience::Probes,
        ..READ
    };
    for (demands, expected) in [
        (READ, "passes after 0 s"),
        (READ, "passes after 0 s"),
        (READ, "429 1 after 0 s"),
        (health, "passes after 0 s"),
    ] {
        assert_eq!(ask(&gate, "GET", demands, None).await, expected);
    }
    let name = "aurora_requests_refused_total{listener=\"inference\",reason=\"rate\"}";
    assert_eq!(series(&metrics, name), 1);
}

#[tokio::test]
async fn a_path_says_how_it_may_be_asked_for() {
    let (gate, _) = gate(&Access::default(), None);
    for (methods, method, expected) in [
        (Methods::Read, "GET", "passes"),
        (Methods::Read, "HEAD", "passes"),
        (Methods::Read, "OPTIONS", "204 GET, HEAD, OPTIONS"),
        (Methods::Read, "POST", "405 GET, HEAD, OPTIONS"),
        (Methods::Read, "get", "405 GET, HEAD, OPTIONS"),
        (Methods::Read, "TRACE", "405 GET, HEAD, OPTIONS"),
        (Methods::Call, "POST", "passes"),
        (Methods::Call, "HEAD", "405 POST, OPTIONS"),
        (Methods::Call, "OPTIONS", "204 POST, OPTIONS"),
        (Methods::None, "OPTIONS", "passes"),
        (Methods::None, "QUERY", "passes"),
    ] {
        let demands = Demands { methods, ..READ };
        let answer = ask(&gate, method, demands, None).await;
        assert_eq!(answer, format!("{expected} after 0 s"), "{method} {methods:?}");
    }
}
