//! A request's body, over a connection to a server that serves a regression and a classifier.
//!
//! The first byte of an input says which path, and whether a part of the body is a binary tensor.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use planner::names::{Digest, Track};
use planner::training::{Derivation, Feature};
use registry::Draft;
use registry::artifact::{Graph, Limits, Model, encode_with_signature};
use registry::metadata::{Labels, VersionMetadata};
use serde_json::{Value, json};
use server::{Access, Artifact, InferenceOptions, Metrics, Runtime, serve_inference};

use crate::Taker;

const PATHS: [&str; 5] = [
    "/v2/models/wine/infer",
    "/v2/models/iris/infer",
    "/predict/wine",
    "/predict/iris",
    "/v2/models/wine/versions/v20260101-000000/infer",
];
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Makes a version of a model of two inputs: a classifier if it is called iris.
pub(crate) fn draft(name: &str) -> Draft {
    let graph = if name == "iris" {
        Graph::Logistic {
            weights: vec![1.0, 0.0, 0.0, 1.0],
            intercepts: vec![0.0, 0.5],
            labels: Labels::Words(vec!["no".to_owned(), "yes".to_owned()]),
        }
    } else {
        Graph::Linear {
            weights: vec![1.0, 10.0],
            intercept: 0.5,
        }
    };
    let features = vec![
        Feature {
            name: "a".to_owned(),
            derivation: Derivation::Column("a".to_owned()),
        },
        Feature {
            name: "b".to_owned(),
            derivation: Derivation::Ratio(["b".to_owned(), "c".to_owned()]),
        },
    ];
    let signature = graph.signature(features, None);
    let artifact = encode_with_signature(&graph, &signature);
    let model = Model::read(&artifact, &Limits::default()).unwrap();
    let prediction = model.predict(&[2.0, 0.5]).unwrap().numbers().to_vec();
    let digest = Digest::of(&artifact);
    let sketch = json!({ "name": "a", "n": 1, "mean": 2.0, "std": 0.0, "edges": [], "counts": [1] });
    let metadata = json!({
        "model_name": name, "version": "v20260101-000000", "framework": "linfa", "algorithm": "linear_regression",
        "trained_at": "2026-01-01T00:00:00Z", "features": 2, "r2_score": 0.9,
        "artifact": { "file": "model.onnx", "digest": digest, "bytes": artifact.len() },
        "inputs_hash": null, "signature": signature,
        "metrics": { "values": { "r2": 0.9 }, "holdout_digest": digest, "holdout_rows": 3 },
        "baseline": null, "dataset": { "uri": "builtin:wine", "digest": digest, "rows": 15 },
        "hyperparameters": {}, "seed": 42, "lineage": { "revision": null, "job": null, "trainer": "fuzz" },
        "reference": { "features": [sketch, sketch], "prediction": sketch },
        "example": { "row": { "a": 2.0, "b": 1.0, "c": 2.0 }, "inputs": [2.0, 0.5], "prediction": prediction },
    });
    let metadata: VersionMetadata = serde_json::from_value(metadata).unwrap();
    Draft { metadata, artifact }
}

/// Starts the server, which lives as long as the process.
pub(crate) fn taker() -> Taker {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let runtime = Runtime::new(Metrics::new());
    for name in ["wine", "iris"] {
        let Draft { metadata, artifact } = draft(name);
        runtime.load(Artifact {
            model: metadata.model_name.clone(),
            track: Track::Stable,
            version: metadata.version.clone(),
            digest: metadata.artifact.digest,
            revision: "1".repeat(40).parse().unwrap(),
            loaded: Model::read(&artifact, &Limits::default()).unwrap(),
            metadata: Arc::new(metadata),
        });
    }
    std::thread::spawn(move || {
        let executor = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        executor.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let options = InferenceOptions {
                access: Access::default(),
                ..InferenceOptions::default()
            };
            serve_inference(runtime, listener, options, std::future::pending()).await;
        });
    });
    let mut client = None;
    Box::new(move |input| {
        let connection = client.take().unwrap_or_else(|| {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            BufReader::new(stream)
        });
        client = ask(connection, input);
    })
}

/// Sends one request and reads its answer; returns the connection if it stays open.
fn ask(mut connection: BufReader<TcpStream>, input: &[u8]) -> Option<BufReader<TcpStream>> {
    let (choice, body) = input.split_first().unwrap_or((&0, &[]));
    let path = PATHS[usize::from(*choice) % PATHS.len()];
    // The JSON ends where the first of these bytes stands.
    let header = match body.iter().position(|byte| *byte == 0xfe) {
        Some(at) if *choice >= 128 => format!("inference-header-content-length: {at}\r\n"),
        _ => "content-type: application/json\r\n".to_owned(),
    };
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{header}content-length: {}\r\n\r\n",
        body.len()
    );
    let mut request = head.into_bytes();
    request.extend_from_slice(body);
    connection.get_mut().write_all(&request).unwrap();

    let mut status = String::new();
    connection.read_line(&mut status).unwrap();
    let code: u16 = status.split(' ').nth(1).unwrap_or_default().parse().unwrap();
    let (mut length, mut is_json, mut closes) = (None, false, false);
    loop {
        let mut line = String::new();
        assert!(
            connection.read_line(&mut line).unwrap() > 0,
            "the answer breaks off"
        );
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(text) = line.strip_prefix("content-length: ") {
            length = text.parse::<usize>().ok();
        }
        is_json |= line == "content-type: application/json";
        closes |= line == "connection: close";
    }
    let length = length.unwrap();
    assert!(length <= ANSWER_BYTES_MAX);
    let mut answer = vec![0; length];
    connection.read_exact(&mut answer).unwrap();
    match code {
        200 => {}
        400 | 404 | 408 | 411 | 413 | 415 | 422 | 429 | 500 => assert!(is_json, "{code}"),
        code => panic!("{path} answers {code}"),
    }
    if is_json {
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let is_error = answer["error"].is_string();
        assert_eq!(is_error, code != 200, "{code}: {answer}");
        // Numbers that leave the range of doubles are the one reason for a 500.
        assert!(
            code != 500
                || answer["error"]
                    .as_str()
                    .is_some_and(|text| text.contains("finite")),
            "{answer}"
        );
    }
    (!closes).then_some(connection)
}
