//! Hands traces over: OTLP over HTTP, in JSON.

use std::time::Duration;

use planner::Timestamp;
use planner::finding::Disposition;
use planner::names::EnvironmentName;
use reconciler::Reported;
use serde_json::{Value, json};
use server::Metrics;
use standalone::Event;
use tokio::sync::mpsc;
use web::{Client, Method, Request, Url};

use super::{Recorder, Span, Trace};

/// The most traces that wait.
const WAITING_MAX: usize = 16;
/// How often one is tried.
const ATTEMPTS_MAX: u32 = 4;
/// The first pause between attempts, each other one twice as long.
const PAUSE: Duration = Duration::from_secs(1);
/// How it is counted.
const RECEIVER: &str = "traces";
/// The kind of a span that is no request.
const INTERNAL: u8 = 1;
const OK: u8 = 1;
const ERROR: u8 = 2;

/// Records traces and hands them over. Nothing waits for that.
pub(crate) struct Exporter {
    recorder: Recorder,
    waiting: mpsc::Sender<Value>,
    metrics: Metrics,
}

impl Exporter {
    /// Hands the traces of `environment` to whoever answers at `url`. Called on a runtime, where they are sent.
    pub(crate) fn new(environment: EnvironmentName, client: Client, url: Url, metrics: Metrics) -> Self {
        metrics.begin_told(RECEIVER);
        let (waiting, documents) = mpsc::channel(WAITING_MAX);
        let sending = Sending {
            client,
            url,
            metrics: metrics.clone(),
        };
        drop(tokio::spawn(sending.run(documents)));
        Self {
            recorder: Recorder::new(environment, Box::new(random_id)),
            waiting,
            metrics,
        }
    }

    /// Takes in what a pass reported, before that ends.
    pub(crate) fn reported(&mut self, reported: &Reported) {
        self.recorder.reported(reported);
    }

    /// Takes in what happens on a commit's way.
    pub(crate) fn happened(&mut self, event: &Event, now: Timestamp) {
        let trace = self.recorder.happened(event, now);
        self.send(trace);
    }

    /// Takes in that a pass ended.
    pub(crate) fn passed(&mut self, result: &'static str, took: Duration, now: Timestamp) {
        let traces = self.recorder.passed(result, took, now);
        self.send(traces);
    }

    fn send(&self, traces: impl IntoIterator<Item = Trace>) {
        for trace in traces {
            let document = document(&trace, &self.recorder.environment);
            if self.waiting.try_send(document).is_err() {
                self.metrics.told(RECEIVER, "dropped");
            }
        }
    }
}

/// Returns what a collector takes.
pub(super) fn document(trace: &Trace, environment: &EnvironmentName) -> Value {
    let id = &trace.revision.as_str()[..32];
    let attribute = |name: &str, value: &str| json!({ "key": name, "value": { "stringValue": value } });
    let span = |span: &Span, parent: Option<u64>| {
        let attributes = span.attributes.iter();
        let attributes: Vec<Value> = attributes.map(|(name, value)| attribute(name, value)).collect();
        let status = span.error.as_ref().map_or_else(
            || json!({ "code": OK }),
            |error| json!({ "code": ERROR, "message": error }),
        );
        json!({
            "traceId": id,
            "spanId": format!("{:016x}", span.id),
            "parentSpanId": parent.map(|parent| format!("{parent:016x}")).unwrap_or_default(),
            "name": span.name,
            "kind": INTERNAL,
            "startTimeUnixNano": nanoseconds(span.began),
            "endTimeUnixNano": nanoseconds(span.ended),
            "attributes": attributes,
            "status": status,
        })
    };
    let mut commit = trace.commit.clone();
    commit.attributes = vec![
        ("aurora.environment", environment.to_string()),
        ("vcs.ref.head.revision", trace.revision.to_string()),
        ("aurora.spans_left_out", trace.left_out.to_string()),
    ];
    let parts = trace.spans.iter().map(|part| span(part, Some(commit.id)));
    let spans: Vec<Value> = std::iter::once(span(&commit, None)).chain(parts).collect();
    json!({ "resourceSpans": [{
        "resource": { "attributes": [
            attribute("service.name", "aurora"),
            attribute("service.version", env!("CARGO_PKG_VERSION")),
        ] },
        "scopeSpans": [{ "scope": { "name": "aurora" }, "spans": spans }],
    }] })
}

/// JSON's numbers are too narrow for them: they are written as text.
fn nanoseconds(time: Timestamp) -> String {
    time.timestamp_nanos_opt().unwrap_or_default().to_string()
}

/// Makes the id of a span, which is never 0.
fn random_id() -> u64 {
    let mut random = [0; 8];
    // Without random bytes two spans may be taken for one, which loses a line of a picture.
    let _is_random = getrandom::fill(&mut random).is_ok();
    u64::from_ne_bytes(random).max(1)
}

/// Sends one trace after the other.
struct Sending {
    client: Client,
    url: Url,
    metrics: Metrics,
}

impl Sending {
    async fn run(self, mut documents: mpsc::Receiver<Value>) {
        while let Some(document) = documents.recv().await {
            self.deliver(&document.to_string()).await;
        }
    }

    /// Tries until it is taken, a person must act, or it has been tried often enough.
    async fn deliver(&self, text: &str) {
        let mut pause = PAUSE;
        for attempt in 1..=ATTEMPTS_MAX {
            let request = Request::new(Method::POST, self.url.clone());
            let request = request.body("application/json", text.to_owned());
            let answer = self.client.send(&request).await.and_then(web::Response::success);
            let Err(error) = answer else {
                self.metrics.told(RECEIVER, "ok");
                return;
            };
            self.metrics.told(RECEIVER, "failed");
            if attempt == ATTEMPTS_MAX || error.disposition() != Disposition::Transient {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a trace is not taken; it is not sent again"
                );
                return;
            }
            tokio::time::sleep(error.retry_after().unwrap_or_default().max(pause)).await;
            pause *= 2;
        }
    }
}
