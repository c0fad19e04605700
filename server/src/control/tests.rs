//! The control plane's answers as clients see them, over a registry in a temporary folder.

mod hostile;
mod signatures;

use expect_test::{Expect, expect};
use planner::Timestamp;
use planner::names::{Digest, Track};
use registry::artifact::Graph;
use registry::{Draft, Event, HistoryEntry, Owner};
use serde_json::{Value, json};
use strum::VariantArray as _;

use super::*;
use crate::http::place::Place;
use crate::keys::Keys;
use crate::testing::{V1, V2, draft, linear, model, version};

struct Seen;

impl StatusSource for Seen {
    fn known(&self) -> Known {
        Known::Objects(Arc::new(status::tests::view(&["wine", "iris"])))
    }

    fn age_seconds(&self) -> Option<f64> {
        Some(1.5)
    }
}

/// A cluster whose nodes are known, and whose classes are not.
impl Infrastructure for Seen {
    fn nodes(&self) -> Result<Value, String> {
        Ok(json!([{
            "name": "one", "ready": true, "roles": [], "version": null, "capacity": {}, "allocatable": {},
        }]))
    }

    fn storage_classes(&self) -> Result<Value, String> {
        Err("storageclasses is forbidden".to_owned())
    }

    fn volumes(&self) -> Result<Value, String> {
        Ok(json!([{
            "name": "models", "class": "fast", "volume": null, "phase": "Pending",
            "requested": "1Gi", "capacity": null, "access_modes": ["ReadWriteOnce"],
        }]))
    }
}

struct Fixture {
    folder: tempfile::TempDir,
    server: Arc<Server>,
}

fn moment() -> Timestamp {
    version(V1).time()
}

fn fixture() -> Fixture {
    fixture_with(Access::default())
}

fn fixture_with(access: Access) -> Fixture {
    let folder = tempfile::tempdir().expect("a folder");
    let owner = Owner {
        environment: "dev".parse().expect("a name"),
        installation: "1".to_owned(),
    };
    let store = Store::init(folder.path(), &owner, moment()).expect("a store");
    for (number, intercept) in [(V1, 0.0), (V2, 1000.0)] {
        let (metadata, artifact) = draft("wine", number, &linear(intercept));
        store.publish(Draft { metadata, artifact }).expect("published");
    }
    let entry = HistoryEntry {
        at: moment(),
        event: Event::Moved,
        alias: Track::Stable,
        from: None,
        to: None,
        digest: None,
        revision: None,
        actor: "test".to_owned(),
        reason: None,
    };
    store
        .move_alias(&model("wine"), Track::Stable, &version(V1), entry)
        .expect("moved");
    let control = ControlPlane {
        store,
        status: Arc::new(Seen),
        infrastructure: Arc::new(Seen),
        inference: None,
        access,
        metrics: Metrics::new(),
        limits: Limits::default(),
    };
    let server = Arc::new(Server::new(control));
    // No answer is awaited for ever.
    server.streams.end();
    Fixture { folder, server }
}

impl Fixture {
    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> hyper::Response<bytes::Bytes> {
        let mut request = warp::test::request().method(method).path(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(request.reply(&routes(self.server.clone(), Place::nowhere())))
    }

    fn get(&self, path: &str) -> hyper::Response<bytes::Bytes> {
        self.send("GET", path, &[])
    }

    #[expect(clippy::needless_pass_by_value, reason = "expect! makes a value")]
    fn check(&self, method: &str, path: &str, expected: Expect) {
        let response = self.send(method, path, &[]);
        let allow = response
            .headers()
            .get("allow")
            .map(|value| value.to_str().expect("ASCII"));
        let body = String::from_utf8_lossy(response.body());
        expected.assert_eq(&format!(
            "{}{} {body}",
            response.status().as_u16(),
            allow.map(|allow| format!(" allow={allow}")).unwrap_or_default()
        ));
    }

    fn artifact_path(&self, number: &str) -> std::path::PathBuf {
        self.folder
            .path()
            .join("aurora/wine/versions")
            .join(number)
            .join("model.onnx")
    }
}

fn bytes_of(intercept: f64) -> Vec<u8> {
    draft("wine", V1, &linear(intercept)).1
}

#[test]
fn it_shows_what_the_registry_holds() {
    let fixture = fixture();
    fixture.check(
        "GET",
        "/health",
        expect![[r#"200 {"status":"ok","service":"aurora-control-plane"}"#]],
    );
    fixture.check(
        "GET",
        "/platform/info",
        expect![[
            r#"200 {"platform":"AURORA Control Plane","version":"v1","control_plane":true,"aurora":"0.1.0"}"#
        ]],
    );
    fixture.check("GET", "/models", expect![[r#"200 {"models":[{"name":"wine","aliases":{"stable":"v20260101-000000"},"versions_count":2,"versions":["v20260202-000000","v20260101-000000"]}]}"#]]);
    fixture.check("GET", "/models/wine", expect![[r#"200 {"name":"wine","aliases":{"stable":"v20260101-000000"},"versions_count":2,"versions":[{"version":"v20260202-000000","digest":"sha256:e4860ae86c32ea886d339c4cd60ecbe996875155fd2742bd5c12bb5bb6c66081","bytes":224,"trained_at":"2026-02-02T00:00:00Z","framework":"test","algorithm":"linear_regression","metrics":{"r2":0.5},"baseline":null,"dataset":{"uri":"synthetic:test","digest":"sha256:e4860ae86c32ea886d339c4cd60ecbe996875155fd2742bd5c12bb5bb6c66081","rows":10},"lineage":{"revision":null,"job":null,"trainer":"test"},"description":{"owner":null,"description":null,"tags":{},"changed_at":null,"changed_by":null}},{"version":"v20260101-000000","digest":"sha256:b9615b97799a2ee1fbdfb2e1cca5157572e70773d4ccf7c3a8079f5a14e338fc","bytes":224,"trained_at":"2026-01-01T00:00:00Z","framework":"test","algorithm":"linear_regression","metrics":{"r2":0.5},"baseline":null,"dataset":{"uri":"synthetic:test","digest":"sha256:b9615b97799a2ee1fbdfb2e1cca5157572e70773d4ccf7c3a8079f5a14e338fc","rows":10},"lineage":{"revision":null,"job":null,"trainer":"test"},"description":{"owner":null,"description":null,"tags":{},"changed_at":null,"changed_by":null}}],"next":null,"history":[{"at":"2026-01-01T00:00:00Z","event":"moved","alias":"stable","from":null,"to":"v20260101-000000","digest":"sha256:b9615b97799a2ee1fbdfb2e1cca5157572e70773d4ccf7c3a8079f5a14e338fc","revision":null,"actor":"test","reason":null}]}"#]]);
    fixture.check(
        "GET",
        "/models/other",
        expect![[r#"404 {"error":"no such model: other"}"#]],
    );
    fixture.check("GET", "/models/..%2Fwine", expect![[r#"400 {"error":"no model has such a name: \"..%2Fwine\" is not a name: at most 40 lower-case letters, digits and '-', a letter or digit at each end"}"#]]);
    fixture.check(
        "GET",
        "/models/wine/v20260303-000000",
        expect![[r#"404 {"error":"wine has no version v20260303-000000"}"#]],
    );
    fixture.check(
        "GET",
        "/models/wine/canary",
        expect![[r#"404 {"error":"wine has no alias canary"}"#]],
    );
    fixture.check("GET", "/models/wine/latest", expect![[r#"400 {"error":"no version has such a name: \"latest\" is not stable, canary, a version (v20261101-120000), a digest (sha256:…) or its first 8 or more digits"}"#]]);
    fixture.check(
        "GET",
        "/nowhere",
        expect![[r#"404 {"error":"no such path: GET /openapi.json lists them"}"#]],
    );
    fixture.check(
        "POST",
        "/models/wine",
        expect![[r#"405 allow=GET, HEAD, OPTIONS {"error":"this path takes GET, HEAD, OPTIONS only"}"#]],
    );
    fixture.check(
        "DELETE",
        "/models/wine/stable/artifact",
        expect![[r#"405 allow=GET, HEAD, OPTIONS {"error":"this path takes GET, HEAD, OPTIONS only"}"#]],
    );
    fixture.check(
        "POST",
        "/status",
        expect![[r#"405 allow=GET, HEAD, OPTIONS {"error":"this path takes GET, HEAD, OPTIONS only"}"#]],
    );
}

#[test]
fn a_version_is_found_by_its_name_its_alias_and_its_digest() {
    let fixture = fixture();
    let digest = Digest::of(&bytes_of(0.0)).to_string();
    let escaped = digest.replace(':', "%3A");
    let short = Digest::of(&bytes_of(0.0)).short();
    for reference in [V1, "stable", &digest, &escaped, &short] {
        let response = fixture.get(&format!("/models/wine/{reference}"));
        assert_eq!(response.status(), 200, "{reference}");
        let metadata: Value = serde_json::from_slice(response.body()).expect("JSON");
        assert_eq!(metadata["version"], V1);
        assert_eq!(metadata["artifact"]["digest"], digest.as_str());
    }
}

#[test]
fn a_model_shows_its_versions_page_by_page() {
    let fixture = fixture();
    let shown = |query: &str| -> Value {
        let response = fixture.get(&format!("/models/wine{query}"));
        assert_eq!(response.status(), 200, "{query}");
        serde_json::from_slice(response.body()).expect("JSON")
    };
    let first = shown("?limit=1");
    assert_eq!(first["versions"][0]["version"], V2);
    assert_eq!(
        (&first["versions_count"], &first["next"]),
        (&json!(2), &json!(V2))
    );
    let last = shown(&format!("?limit=1&before={V2}"));
    assert_eq!(last["versions"][0]["version"], V1);
    assert_eq!(
        (&last["versions_count"], &last["next"]),
        (&json!(2), &Value::Null)
    );
    assert_eq!(shown(&format!("?before={V1}"))["versions"], json!([]));
    for query in ["?limit=0", "?limit=x", "?before=stable", "?before=.."] {
        let path = format!("/models/wine{query}");
        assert_eq!(fixture.get(&path).status(), 400, "{query}");
    }
    // What is wrong with one version does not hide the other.
    std::fs::write(fixture.artifact_path(V2).with_file_name("metadata.json"), "{}").expect("written");
    let shown = shown("");
    let errors: Vec<&Value> = (0..2).map(|at| &shown["versions"][at]["error"]).collect();
    assert!(errors[0].is_string() && errors[1].is_null(), "{errors:?}");
}

#[test]
fn an_artifact_is_handed_out_whole_in_parts_or_not_again() {
    let fixture = fixture();
    let whole = bytes_of(0.0);
    let path = "/models/wine/stable/artifact";
    let etag = format!("\"{}\"", Digest::of(&whole));
    let response = fixture.get(path);
    assert_eq!(response.status(), 200);
    assert_eq!(response.body(), &whole);
    assert_eq!(response.headers()["etag"], etag.as_str());
    assert_eq!(
        response.headers()["content-length"],
        whole.len().to_string().as_str()
    );
    let part = fixture.send("GET", path, &[("range", "bytes=3-9")]);
    assert_eq!(part.status(), 206);
    assert_eq!(part.body(), &whole[3..10]);
    assert_eq!(
        part.headers()["content-range"],
        format!("bytes 3-9/{}", whole.len()).as_str()
    );
    let rest = fixture.send("GET", path, &[("range", "bytes=10-"), ("if-range", &etag)]);
    assert_eq!(
        (rest.status().as_u16(), rest.body().as_ref()),
        (206, &whole[10..])
    );
    let other = fixture.send(
        "GET",
        path,
        &[("range", "bytes=10-"), ("if-range", "\"sha256:00\"")],
    );
    assert_eq!(
        (other.status().as_u16(), other.body().as_ref()),
        (200, &whole[..])
    );
    let beyond = fixture.send("GET", path, &[("range", "bytes=99999999-")]);
    assert_eq!(beyond.status(), 416);
    assert_eq!(
        beyond.headers()["content-range"],
        format!("bytes */{}", whole.len()).as_str()
    );
    let known = fixture.send("GET", path, &[("if-none-match", &etag)]);
    assert_eq!((known.status().as_u16(), known.body().len()), (304, 0));
}

#[test]
fn a_damaged_artifact_is_not_handed_out() {
    let fixture = fixture();
    let path = format!("/models/wine/{V1}/artifact");
    assert_eq!(fixture.get(&path).status(), 200);
    let file = fixture.artifact_path(V1);
    let mut bytes = std::fs::read(&file).expect("there");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).expect("written");
    let response = fixture.get(&path);
    assert_eq!(response.status(), 500);
    expect![[r#"{"error":"wine v20260101-000000 is damaged and is not handed out"}"#]]
        .assert_eq(&String::from_utf8_lossy(response.body()));
    std::fs::remove_file(&file).expect("removed");
    assert_eq!(fixture.get(&path).status(), 500);
    // The same bytes, but through a link that leads out of the version's folder.
    let elsewhere = fixture.folder.path().join("elsewhere");
    std::fs::write(&elsewhere, bytes_of(0.0)).expect("written");
    std::os::unix::fs::symlink(&elsewhere, &file).expect("linked");
    assert_eq!(fixture.get(&path).status(), 500);
    assert_eq!(fixture.get(&format!("/models/wine/{V2}/artifact")).status(), 200);
}

#[test]
fn a_link_in_the_place_of_a_folder_is_not_followed_even_to_the_same_bytes() {
    for folder in [V1, "", ".."] {
        let fixture = fixture();
        let path = format!("/models/wine/{V1}/artifact");
        // It is remembered as sound.
        assert_eq!(fixture.get(&path).status(), 200);
        let versions = fixture.folder.path().join("aurora/wine/versions");
        let folder = std::path::absolute(versions.join(folder)).expect("a path");
        let folder = folder.canonicalize().expect("there");
        let aside = fixture.folder.path().join("aside");
        std::fs::rename(&folder, &aside).expect("moved");
        std::os::unix::fs::symlink(&aside, &folder).expect("linked");
        let response = fixture.get(&path);
        assert_ne!(response.status(), 200, "{}", folder.display());
        assert!(response.body().len() < 1_000);
    }
}

#[test]
fn a_large_artifact_is_streamed_whole() {
    let fixture = fixture();
    let wide = Graph::Linear {
        weights: (0..100_000).map(f64::from).collect(),
        intercept: 0.5,
    };
    let bytes = registry::artifact::encode(&wide);
    let (mut metadata, _) = draft("wide", V1, &linear(0.0));
    metadata.artifact.digest = Digest::of(&bytes);
    metadata.artifact.bytes = bytes.len() as u64;
    let draft = Draft {
        metadata,
        artifact: bytes.clone(),
    };
    fixture.server.control.store.publish(draft).expect("published");
    let response = fixture.get(&format!("/models/wide/{V1}/artifact"));
    assert!(bytes.len() > 5 * 128 * 1024);
    assert!(response.body() == &bytes);
}

#[test]
fn status_is_of_the_models_that_there_are() {
    let fixture = fixture();
    let shown = |path: &str| -> Value {
        let response = fixture.get(path);
        assert_eq!(response.status(), 200, "{path}");
        serde_json::from_slice(response.body()).expect("JSON")
    };
    let all = shown("/status");
    assert_eq!(all["age_seconds"], 1.5);
    assert_eq!(all["environment"]["name"], "dev");
    assert_eq!(all["environment"]["word"], "Serving");
    assert_eq!(all["models"][1]["model"], "wine");
    let objects = shown("/status/objects");
    assert_eq!(objects["deployments"][0]["spec"]["modelName"], "iris");
    let one = shown("/status/models/wine");
    assert_eq!(one["summary"]["word"], "Serving");
    assert_eq!(one["deployments"][0]["spec"]["modelName"], "wine");
    assert_eq!(one["tracks"]["stable"]["algorithm"], "linear_regression");
    assert_eq!(one["history"][0]["event"], "moved");
    fixture.check(
        "GET",
        "/status/models/other",
        expect![[r#"404 {"error":"the environment has no model other"}"#]],
    );
}

#[test]
fn status_tells_since_when_stable_has_been_what_it_is() {
    let fixture = fixture();
    let store = &fixture.server.control.store;
    let shown = || {
        let response = fixture.get("/status/models/wine");
        let shown: Value = serde_json::from_slice(response.body()).expect("JSON");
        match &shown["stable"] {
            Value::Null => "nobody can say".to_owned(),
            stable => format!("{} since {}", stable["version"], stable["since"]),
        }
    };
    let entry = |hour: u64, event, alias| HistoryEntry {
        at: moment() + std::time::Duration::from_secs(3_600 * hour),
        event,
        alias,
        from: None,
        to: None,
        digest: None,
        // So that no entry is taken for the one before it.
        revision: Some(format!("{hour:040}").parse().expect("a revision")),
        actor: "test".to_owned(),
        reason: None,
    };
    let moved = |hour, track, to| {
        let entry = entry(hour, Event::Moved, track);
        store
            .move_alias(&model("wine"), track, &version(to), entry)
            .expect("moved");
    };
    let first = format!("\"{V1}\" since \"2026-01-01T00:00:00Z\"");
    assert_eq!(shown(), first);
    moved(1, Track::Canary, V2);
    let aborted = entry(2, Event::Aborted, Track::Canary);
    store.append_history(&model("wine"), &aborted).expect("appended");
    assert_eq!(shown(), first);
    // Written again, it has been so all the time.
    moved(3, Track::Stable, V1);
    assert_eq!(shown(), first);
    // What left and came back counts from then on.
    moved(4, Track::Stable, V2);
    moved(5, Track::Stable, V1);
    assert_eq!(shown(), format!("\"{V1}\" since \"2026-01-01T05:00:00Z\""));
    let removed = entry(6, Event::Removed, Track::Stable);
    store
        .remove_alias(&model("wine"), Track::Stable, removed)
        .expect("removed");
    assert_eq!(shown(), "nobody can say");
}

#[test]
fn what_it_runs_on_is_shown_and_what_is_unknown_is_no_empty_list() {
    let fixture = fixture();
    fixture.check(
        "GET",
        "/cluster/nodes",
        expect![[r#"200 {"nodes":[{"name":"one","ready":true,"roles":[],"version":null,"capacity":{},"allocatable":{}}]}"#]],
    );
    let response = fixture.get("/storage/classes");
    assert_eq!(response.status(), 200);
    let mut shown: Value = serde_json::from_slice(response.body()).expect("JSON");
    let volume = shown["volume"].take();
    assert_eq!(
        shown,
        json!({ "classes": null, "unknown": "storageclasses is forbidden", "volume": null })
    );
    let volumes: Value = serde_json::from_slice(fixture.get("/storage/volumes").body()).expect("JSON");
    assert_eq!(volumes["volumes"][0]["name"], "models");
    assert_eq!(volumes["registry"]["capacity_bytes"], volume["capacity_bytes"]);
    let bytes = |name: &str| volume[name].as_u64().expect("a number");
    assert!(bytes("capacity_bytes") > 0);
    assert!(bytes("used_bytes") + bytes("available_bytes") <= bytes("capacity_bytes"));
}

#[test]
fn the_openapi_document_has_every_route() {
    let fixture = fixture();
    let response = fixture.get("/openapi.json");
    let document: Value = serde_json::from_slice(response.body()).expect("JSON");
    let mut documented: Vec<&str> = document["paths"]
        .as_object()
        .expect("paths")
        .keys()
        .map(String::as_str)
        .collect();
    let mut served: Vec<&str> = Kind::VARIANTS
        .iter()
        .map(|kind| <&str>::from(*kind))
        .filter(|path| *path != "unknown")
        .collect();
    documented.sort_unstable();
    served.sort_unstable();
    assert_eq!(documented, served);
    for path in served {
        let path = path.replace("{model}", "wine").replace("{ref}", "stable");
        assert_eq!(fixture.get(&path).status(), 200, "{path}");
        for method in [
            "POST", "PUT", "PATCH", "DELETE", "TRACE", "QUERY", "PROPFIND", "get",
        ] {
            let answer = fixture.send(method, &path, &[]);
            assert_eq!(answer.status(), 405, "{method} {path}");
            assert_eq!(answer.headers()["allow"], "GET, HEAD, OPTIONS", "{method} {path}");
        }
        let methods = fixture.send("OPTIONS", &path, &[]);
        assert_eq!(methods.status(), 204, "{path}");
        assert_eq!(methods.headers()["allow"], "GET, HEAD, OPTIONS", "{path}");
    }
}

#[test]
fn everything_but_health_and_an_empty_dashboard_asks_for_a_key() {
    let (key, line) = crate::keys::generate("test").expect("randomness");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), line).expect("written");
    let access = Access {
        keys: Keys::from_file(file.path()).expect("read"),
        ..Access::default()
    };
    let bearer = format!("Bearer {key}");
    let fixture = fixture_with(access);
    for kind in Kind::VARIANTS.iter().copied() {
        let path = <&str>::from(kind)
            .replace("{model}", "wine")
            .replace("{ref}", "stable")
            .replace("unknown", "/nowhere");
        let status = |headers: &[_]| fixture.send("GET", &path, headers).status().as_u16();
        let (open, known) = match kind {
            Kind::Health | Kind::Dashboard => (200, 200),
            Kind::Unknown => (401, 404),
            _ => (401, 200),
        };
        assert_eq!(status(&[]), open, "{path}");
        assert_eq!(status(&[("x-api-key", "wrong")]), open, "{path}");
        assert_eq!(status(&[("x-api-key", &key)]), known, "{path}");
        assert_eq!(status(&[("authorization", &bearer)]), known, "{path}");
        let in_query = fixture.get(&format!("{path}?x-api-key={key}&key={key}"));
        assert_eq!(in_query.status().as_u16(), open, "{path}");
        if open == 401 {
            let asks = &in_query.headers()["www-authenticate"];
            assert_eq!(asks, "Bearer realm=\"aurora\"", "{path}");
        }
    }
}

#[test]
fn metrics_need_no_key_where_that_is_said() {
    let (_, line) = crate::keys::generate("test").expect("randomness");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), line).expect("written");
    let access = |open_metrics| Access {
        keys: Keys::from_file(file.path()).expect("read"),
        open_metrics,
        ..Access::default()
    };
    for (open, expected) in [(false, 401), (true, 200)] {
        let fixture = fixture_with(access(open));
        assert_eq!(fixture.get("/metrics").status(), expected);
        assert_eq!(fixture.get("/models").status(), 401);
    }
}

#[test]
fn metrics_say_how_each_model_stands_unless_a_look_hangs() {
    let fixture = fixture();
    let states = || {
        let page = fixture.get("/metrics");
        assert_eq!(page.status(), 200);
        let page = String::from_utf8_lossy(page.body()).into_owned();
        let states: Vec<_> = page
            .lines()
            .filter(|line| line.starts_with("aurora_model_state{"))
            .map(str::to_owned)
            .collect();
        states
    };
    let serving = ["iris", "wine"].map(|model| {
        format!("aurora_model_state{{environment=\"dev\",model=\"{model}\",state=\"Serving\"}} 1")
    });
    assert_eq!(states(), serving);
    let hanging = fixture.server.looking.clone().try_acquire_owned();
    assert_eq!(states(), [""; 0]);
    drop(hanging);
    assert_eq!(states(), serving);
}

#[test]
fn head_is_taken_wherever_get_is() {
    let fixture = fixture();
    for path in [
        "/health",
        "/platform/info",
        "/metrics",
        "/openapi.json",
        "/models",
        "/models/wine",
        "/models/wine/stable",
        "/models/wine/stable/artifact",
        "/status",
        "/status/objects",
        "/status/badge.svg",
        "/status/models/wine",
        "/status/models/wine/badge.svg",
        "/nowhere",
    ] {
        let [head, get] = ["HEAD", "GET"].map(|method| {
            let response = fixture.send(method, path, &[]);
            (response.status(), response.headers()["content-type"].clone())
        });
        assert_eq!(head, get, "{path}");
    }
}
