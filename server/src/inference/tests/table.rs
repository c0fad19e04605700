//! Every route, with every method, under every fault that it can meet.

use std::collections::BTreeMap;
use std::io::Write as _;

use expect_test::expect;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::{Response, StatusCode};
use planner::names::Track;
use strum::VariantArray as _;

use super::*;
use crate::keys::Keys;
use crate::runtime::Awaited;
use crate::testing::{V1, model, version};

const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE",
];

/// A path, and the body that it takes where it asks for predictions.
struct Line {
    path: &'static str,
    body: &'static str,
}

const fn read(path: &'static str) -> Line {
    Line { path, body: "" }
}

const INPUTS: &str = r#"{"inputs":[[1,0.5]]}"#;
const LINES: [Line; 31] = [
    read("/"),
    read("/v2"),
    read("/v2/health/live"),
    read("/v2/health/ready"),
    read("/v2/models"),
    read("/v2/models/stats"),
    read("/v2/models/MODEL"),
    read("/v2/models/MODEL/versions/VERSION"),
    read("/v2/models/MODEL/ready"),
    read("/v2/models/MODEL/versions/VERSION/ready"),
    read("/v2/models/MODEL/config"),
    read("/v2/models/MODEL/versions/VERSION/config"),
    read("/v2/models/MODEL/stats"),
    read("/v2/models/MODEL/versions/VERSION/stats"),
    Line {
        path: "/v2/models/MODEL/infer",
        body: ROW,
    },
    Line {
        path: "/v2/models/MODEL/versions/VERSION/infer",
        body: ROW,
    },
    read("/v2/repository/index"),
    read("/v2/repository/models/MODEL/load"),
    read("/v2/repository/models/MODEL/unload"),
    Line {
        path: "/predict",
        body: INPUTS,
    },
    Line {
        path: "/predict/MODEL",
        body: INPUTS,
    },
    read("/predict/MODEL/openapi.json"),
    read("/v1/models"),
    read("/v1/models/MODEL"),
    Line {
        path: "/v1/models/MODEL:predict",
        body: r#"{"instances":[[1,0.5]]}"#,
    },
    Line {
        path: "/invocations",
        body: r#"{"dataframe_split":{"columns":["a","b","c"],"data":[[1,1,2]]}}"#,
    },
    read("/ping"),
    read("/version"),
    read("/health"),
    read("/metrics"),
    read("/nowhere"),
];

/// What is wrong with a request, and what it is then. Nothing where a path cannot meet it.
type Fault = (&'static str, fn(&Line) -> Option<Asked>);

/// What a fault makes of a request.
#[derive(Default)]
struct Asked {
    path: String,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
    is_without_key: bool,
}

fn asked(line: &Line) -> Asked {
    named(line, "wine", V1)
}

fn named(line: &Line, model: &str, version: &str) -> Asked {
    Asked {
        path: line.path.replace("MODEL", model).replace("VERSION", version),
        body: line.body.as_bytes().to_vec(),
        ..Asked::default()
    }
}

/// A fault of the body, which only paths that take one can meet.
fn of_body(line: &Line, body: impl Into<Vec<u8>>, headers: &[(&'static str, &'static str)]) -> Option<Asked> {
    (!line.body.is_empty()).then(|| Asked {
        body: body.into(),
        headers: headers.to_vec(),
        ..asked(line)
    })
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

const FAULTS: [Fault; 15] = [
    ("no key", |line| {
        Some(Asked {
            is_without_key: true,
            ..asked(line)
        })
    }),
    ("no such model", |line| {
        (line.path.contains("MODEL") && !line.path.contains("repository")).then(|| named(line, "other", V1))
    }),
    ("still loading", |line| {
        (line.path.contains("MODEL") && !line.path.contains("repository")).then(|| named(line, "slow", V1))
    }),
    ("no such version", |line| {
        line.path.contains("VERSION").then(|| named(line, "wine", "v9"))
    }),
    ("wrong track", |line| {
        line.path.contains("MODEL").then(|| Asked {
            headers: vec![("aurora-track", "both")],
            ..asked(line)
        })
    }),
    ("no body", |line| of_body(line, "", &[])),
    ("no JSON", |line| of_body(line, "{\"inputs\":", &[])),
    ("wrong shape", |line| {
        of_body(
            line,
            line.body.replace("0.5]", "0.5,7]").replace("1,2]]", "1,2,7]]"),
            &[],
        )
    }),
    ("NaN", |line| {
        of_body(line, line.body.replace("[1,", "[NaN,"), &[])
    }),
    ("media type", |line| {
        of_body(line, line.body, &[("content-type", "text/csv")])
    }),
    ("coding", |line| {
        of_body(line, line.body, &[("content-encoding", "br")])
    }),
    ("no gzip", |line| {
        of_body(line, line.body, &[("content-encoding", "gzip")])
    }),
    ("gzip", |line| {
        of_body(line, gzip(line.body.as_bytes()), &[("content-encoding", "gzip")])
    }),
    ("too large", |line| {
        of_body(line, format!("{}{}", line.body, " ".repeat(70_000)), &[])
    }),
    ("bomb", |line| {
        let body = format!("{}{}", line.body, " ".repeat(70_000));
        of_body(line, gzip(body.as_bytes()), &[("content-encoding", "gzip")])
    }),
];

/// Asks; what it may not have in common with other answers of its status is looked at here.
async fn ask(server: &Arc<Server>, key: &str, method: &str, asked: &Asked) -> StatusCode {
    let mut headers = asked.headers.clone();
    if !asked.is_without_key {
        headers.push(("x-api-key", key.to_owned().leak()));
    }
    let ask = Ask {
        method,
        path: &asked.path,
        headers: &headers,
        body: &asked.body,
    };
    let response: Response<bytes::Bytes> = send(server, ask).await;
    let (status, about) = (
        response.status(),
        format!("{method} {}: {response:?}", asked.path),
    );
    let has = |name: &str| response.headers().contains_key(name);
    assert_eq!(has("allow"), matches!(status.as_u16(), 204 | 405), "{about}");
    assert_eq!(has("www-authenticate"), status == 401, "{about}");
    assert!(has("aurora-request-id"), "{about}");
    if status.is_success() || method == "HEAD" {
        return status;
    }
    assert_eq!(response.headers()["content-type"], "application/json", "{about}");
    let body: serde_json::Value = serde_json::from_slice(response.body()).expect("JSON");
    assert!(body["error"].is_string() || body["ready"] == false, "{about}");
    assert_eq!(
        has("retry-after"),
        status == 503 && body["ready"] != false,
        "{about}"
    );
    status
}

#[test]
fn every_route_answers_every_method_and_fault_as_the_protocol_says() {
    for kind in Kind::VARIANTS {
        let is_there = LINES.iter().any(|line| Route::parse(line.path).kind() == *kind);
        assert!(is_there, "{kind:?} has no line");
    }
    let runtime = wine();
    // What is declared later holds up nobody's readiness but its own.
    assert!(runtime.ready(Instant::now()));
    runtime.expect(
        &model("slow"),
        vec![Awaited {
            model: model("slow"),
            track: Track::Stable,
            version: version(V1),
            training: false,
        }],
    );
    let (key, line) = crate::keys::generate("test").expect("randomness");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), line).expect("written");
    let options = InferenceOptions {
        access: Access {
            keys: Keys::from_file(file.path()).expect("read"),
            ..Access::default()
        },
        limits: Limits {
            body_bytes: 64 << 10,
            ..Limits::default()
        },
        ..options()
    };
    let server = Arc::new(Server::new(runtime, options));
    let mut table = String::new();
    for line in &LINES {
        writeln!(table, "{}", line.path).expect("text grows");
        let methods = METHODS.map(|method| (method, block_on(ask(&server, &key, method, &asked(line)))));
        write_by_status(&mut table, methods);
        let method = if line.body.is_empty() && !line.path.contains("repository") {
            "GET"
        } else {
            "POST"
        };
        let faults = FAULTS.iter().filter_map(|(fault, make)| {
            let status = block_on(ask(&server, &key, method, &make(line)?));
            Some((*fault, status))
        });
        write_by_status(&mut table, faults);
    }
    expect![[r#"
        /
          200 GET, HEAD
          204 OPTIONS
          405 POST, PUT, PATCH, DELETE, TRACE
          200 no key
        /v2
          200 GET, HEAD
          204 OPTIONS
          405 POST, PUT, PATCH, DELETE, TRACE
          401 no key
        /v2/health/live
          200 GET, HEAD
          204 OPTIONS
          405 POST, PUT, PATCH, DELETE, TRACE
          200 no key
        /v2/health/ready
          200 GET, HEAD
          204 OPTIONS
          405 POST, PUT, PATCH, DELETE, TRACE
          200 no key
        /v2/models
          200 GET, HEAD
          204 OPTIONS
          405 POST, PUT, PATCH, DELETE, TRACE
          401 no key
        /v2/models/stats
          200 GET, HEAD
          204 OPTIONS
          405 POST, PUT, PATCH, DELETE, TRACE
          401 no key
        /v2/models/MODEL
          200 GET, HEAD
          204 OPTIONS
          405 POST, PUT, PATCH, DELETE, TRACE
          400 wrong track
          401 no key
          404 no such model
          503 still loading
        /v2/models/MODEL/versions/VERSION
          200 GET, HEAD
          204 OPTIONS
          405 POST, PUT, PATCH, DELETE, TRACE
          400 wrong track
          401 no key
          404 no such model, no such version
          503 still loading
        /v2/models/MODEL/ready
          200 GET, HEAD
          204 OPTIONS
          405 POST, PUT, PATCH, DELETE, TRACE
          400 wrong track
          401 no key
          404 no such model
          503 still loading
        /v2/models/MODEL/versions/VERSION/ready
          200 GET, HEAD
          204 OPTIONS
          405 POST, PUT, PATCH, DELETE, TRACE
          400 wrong track
          401 no key
          404 no such model, no such version
          503 still loading
        /v2/models/MODEL/config
          200 GET, HEAD
          204 OPTIONS
          405 POST, PUT, PATCH, DELETE, TRACE
          400 wrong track
          401 no key
          404 no such model
          503 still loading
        /v2/models/MODEL/versions/VERSION/config
          200 GET, HEAD
          204 OPTIONS
          405 POST, PUT, PATCH, DELETE, TRACE
          400 wrong track
          401 no key
          404 no such model, no such version
          503 still loading
        /v2/models/MODEL/stats
          200 GET, HEAD
          204 OPTIONS
          405 POST, PUT, PATCH, DELETE, TRACE
          400 wrong track
          401 no key
          404 no such model
          503 still loading
        /v2/models/MODEL/versions/VERSION/stats
          200 GET, HEAD
          204 OPTIONS
          405 POST, PUT, PATCH, DELETE, TRACE
          400 wrong track
          401 no key
          404 no such model, no such version
          503 still loading
        /v2/models/MODEL/infer
          200 POST
          204 OPTIONS
          405 GET, HEAD, PUT, PATCH, DELETE, TRACE
          200 gzip
          400 wrong track, no body, no JSON, wrong shape, NaN, no gzip
          401 no key
          404 no such model
          413 too large, bomb
          415 media type, coding
          503 still loading
        /v2/models/MODEL/versions/VERSION/infer
          200 POST
          204 OPTIONS
          405 GET, HEAD, PUT, PATCH, DELETE, TRACE
          200 gzip
          400 wrong track, no body, no JSON, wrong shape, NaN, no gzip
          401 no key
          404 no such model, no such version
          413 too large, bomb
          415 media type, coding
          503 still loading
        /v2/repository/index
          200 POST
          204 OPTIONS
          405 GET, HEAD, PUT, PATCH, DELETE, TRACE
          401 no key
        /v2/repository/models/MODEL/load
          204 OPTIONS
          403 POST
          405 GET, HEAD, PUT, PATCH, DELETE, TRACE
          401 no key
          403 wrong track
        /v2/repository/models/MODEL/unload
          204 OPTIONS
          403 POST
          405 GET, HEAD, PUT, PATCH, DELETE, TRACE
          401 no key
          403 wrong track
        /predict
          200 POST
          204 OPTIONS
          405 GET, HEAD, PUT, PATCH, DELETE, TRACE
          200 gzip
          400 no body, no JSON, wrong shape, NaN, no gzip
          401 no key
          413 too large, bomb
          415 media type, coding
        /predict/MODEL
          200 POST
          204 OPTIONS
          405 GET, HEAD, PUT, PATCH, DELETE, TRACE
          200 gzip
          400 wrong track, no body, no JSON, wrong shape, NaN, no gzip
          401 no key
          404 no such model
          413 too large, bomb
          415 media type, coding
          503 still loading
        /predict/MODEL/openapi.json
          200 GET, HEAD
          204 OPTIONS
          405 POST, PUT, PATCH, DELETE, TRACE
          400 wrong track
          401 no key
          404 no such model
          503 still loading
        /v1/models
          200 GET, HEAD
          204 OPTIONS
          405 POST, PUT, PATCH, DELETE, TRACE
          401 no key
        /v1/models/MODEL
          200 GET, HEAD
          204 OPTIONS
          405 POST, PUT, PATCH, DELETE, TRACE
          400 wrong track
          401 no key
          404 no such model
          503 still loading
        /v1/models/MODEL:predict
          200 POST
          204 OPTIONS
          405 GET, HEAD, PUT, PATCH, DELETE, TRACE
          200 gzip
          400 wrong track, no body, no JSON, wrong shape, NaN, no gzip
          401 no key
          404 no such model
          413 too large, bomb
          415 media type, coding
          503 still loading
        /invocations
          200 POST
          204 OPTIONS
          405 GET, HEAD, PUT, PATCH, DELETE, TRACE
          200 gzip
          400 no body, no JSON, wrong shape, NaN, no gzip
          401 no key
          413 too large, bomb
          415 media type, coding
        /ping
          200 GET, HEAD
          204 OPTIONS
          405 POST, PUT, PATCH, DELETE, TRACE
          200 no key
        /version
          200 GET, HEAD
          204 OPTIONS
          405 POST, PUT, PATCH, DELETE, TRACE
          401 no key
        /health
          200 GET, HEAD
          204 OPTIONS
          405 POST, PUT, PATCH, DELETE, TRACE
          200 no key
        /metrics
          200 GET, HEAD
          204 OPTIONS
          405 POST, PUT, PATCH, DELETE, TRACE
          401 no key
        /nowhere
          404 GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE
          401 no key
    "#]]
    .assert_eq(&table);
}

/// Writes a line for each status, with what gets it.
fn write_by_status<'a>(table: &mut String, got: impl IntoIterator<Item = (&'a str, StatusCode)>) {
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for (what, status) in got {
        by_status.entry(status.as_u16()).or_default().push(what);
    }
    for (status, what) in by_status {
        writeln!(table, "  {status} {}", what.join(", ")).expect("text grows");
    }
}
