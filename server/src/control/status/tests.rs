use std::borrow::Cow;
use std::sync::Mutex;

use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::snapshot::FRESH;
use super::*;
use crate::testing::V1;

/// Returns an environment whose models serve what Git declares.
pub(in super::super) fn view(models: &[&str]) -> View {
    let pin = json!({ "version": V1, "digest": format!("sha256:{}", "a".repeat(64)) });
    let object = |kind: &str, name: &str, spec: Value, status: Value| {
        json!({
            "apiVersion": crds::API_VERSION, "kind": kind, "metadata": { "name": name },
            "spec": spec, "status": status,
        })
    };
    let deployment = |model: &str| {
        let memory = json!({
            "format": 1, "state": "Idle", "since": "2026-11-01T12:05:00Z", "stable": pin, "canary": null, "weight": 0,
            "lost": null, "paused": null, "history": [],
        });
        let spec = json!({ "modelName": model, "stable": pin });
        let status = json!({ "state": "Idle", "stable": pin, "memory": memory });
        serde_json::from_value(object("MLDeployment", model, spec, status)).expect("a deployment")
    };
    let environment = object(
        "MLEnvironment",
        "dev",
        json!({ "target": "Standalone" }),
        json!({}),
    );
    View {
        environment: Some(serde_json::from_value(environment).expect("an environment")),
        deployments: models
            .iter()
            .map(|model| ((*model).to_owned(), Arc::new(deployment(model))))
            .collect(),
        ..View::default()
    }
}

/// What changes while it is looked at.
struct Changing {
    known: Mutex<Known>,
    age_seconds: Mutex<Option<f64>>,
}

impl Changing {
    fn new(known: Known) -> Self {
        Self {
            known: Mutex::new(known),
            age_seconds: Mutex::new(Some(1.5)),
        }
    }

    fn becomes(&self, known: Known) {
        *self.known.lock().expect("no panic") = known;
    }
}

impl StatusSource for Changing {
    fn known(&self) -> Known {
        self.known.lock().expect("no panic").clone()
    }

    fn age_seconds(&self) -> Option<f64> {
        *self.age_seconds.lock().expect("no panic")
    }
}

fn objects(models: &[&str]) -> Known {
    Known::Objects(Arc::new(view(models)))
}

fn change(now: &Snapshot, before: &Snapshot) -> Value {
    serde_json::from_str(&now.body.since(&before.body)).expect("JSON")
}

fn asking(name: &'static str, value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(name, value.parse().expect("a header's value"));
    headers
}

async fn body(response: Response) -> String {
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// With a thousand who look on, a change is written once.
#[test]
fn what_changed_since_the_state_before_is_made_once_for_all() {
    let source = Changing::new(objects(&["wine"]));
    let snapshots = Snapshots::new(0xab);
    let states: Vec<_> = [&["wine"][..], &["iris", "wine"], &["iris"]]
        .into_iter()
        .map(|models| {
            source.becomes(objects(models));
            std::thread::sleep(FRESH);
            snapshots.look(&source)
        })
        .collect();
    let is_made = |before: usize| matches!(states[2].since(&states[before]), Cow::Borrowed(_));
    assert!(is_made(1) && !is_made(0));
    let since =
        |before: usize| serde_json::from_str::<Value>(&states[2].since(&states[before])).expect("JSON");
    for before in [0, 1] {
        assert_eq!(since(before), change(&states[2], &states[before]));
    }
}

#[tokio::test]
async fn a_state_that_a_client_has_is_not_sent_again() {
    let source = Changing::new(objects(&["wine"]));
    let snapshots = Snapshots::new(0xab);
    let first = all(&source, &snapshots, &HeaderMap::new());
    assert_eq!(first.headers()["etag"], "W/\"ab-1\"");
    for (tag, is_known) in [
        ("W/\"ab-1\"", true),
        // What proxies make of it.
        ("\"ab-1\"", true),
        ("\"ab-1-gzip\"", true),
        ("\"x\", W/\"ab-1\"", true),
        ("*", true),
        ("W/\"ab-2\"", false),
        ("W/\"ac-1\"", false),
        ("ab", false),
    ] {
        let answer = all(&source, &snapshots, &asking("if-none-match", tag));
        assert_eq!(answer.status() == StatusCode::NOT_MODIFIED, is_known, "{tag}");
        assert_eq!(answer.headers()["aurora-age-seconds"], "1.5", "{tag}");
        assert_eq!(body(answer).await.is_empty(), is_known, "{tag}");
    }
    source.becomes(objects(&["wine", "iris"]));
    let changed = async || loop {
        let answer = all(&source, &snapshots, &asking("if-none-match", "W/\"ab-1\""));
        if answer.status() == StatusCode::OK {
            return answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    let changed = changed().await;
    assert_eq!(changed.headers()["etag"], "W/\"ab-2\"");
    let shown: Value = serde_json::from_str(&body(changed).await).expect("JSON");
    assert_eq!(
        (&shown["id"], &shown["age_seconds"]),
        (&json!("ab-2"), &json!(1.5))
    );
}

#[test]
fn knowledge_is_worth_something_while_somebody_reconciles() {
    let source = Changing::new(objects(&["wine"]));
    for (age, word) in [
        (Some(0.0), "Serving"),
        (Some(15.0), "Serving"),
        (Some(15.1), "Unknown"),
        (None, "Unknown"),
    ] {
        *source.age_seconds.lock().expect("no panic") = age;
        let snapshot = Snapshots::new(1).look(&source);
        let shown: Value = serde_json::from_str(snapshot.json()).expect("JSON");
        assert_eq!(shown["environment"]["word"], word, "{age:?}");
        assert_eq!(shown["models"][0]["word"], word, "{age:?}");
        // What served last stays to be seen.
        assert_eq!(shown["models"][0]["stable"]["version"], V1, "{age:?}");
    }
}

#[tokio::test]
async fn what_was_read_last_stays_to_be_seen_while_nothing_can_be_read() {
    let source = Changing::new(objects(&["wine"]));
    let snapshots = Snapshots::new(1);
    let before = snapshots.look(&source);
    source.becomes(Known::Unreadable("the disk is gone".to_owned()));
    let now = loop {
        let now = snapshots.look(&source);
        if now.id != before.id {
            break now;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    let change = change(&now, &before);
    assert_eq!(change["error"], "the disk is gone");
    assert_eq!(change["removed"], json!([]));
    assert_eq!(change["environment"]["word"], "Unknown");
    assert_eq!(change["models"][0]["word"], "Unknown");
    assert_eq!(change["models"][0]["stable"]["version"], V1);
}

#[test]
fn a_change_holds_what_has_changed() {
    let of = |known: Known| {
        let source = Changing::new(known);
        Snapshots::new(1).look(&source)
    };
    let before = of(objects(&["iris", "wine"]));
    let mut other = view(&["iris", "tips"]);
    let iris = Arc::make_mut(other.deployments.get_mut("iris").expect("iris"));
    iris.spec.suspend = Some("why".to_owned());
    let changed = of(Known::Objects(Arc::new(other)));
    let change = change(&changed, &before);
    let models = change["models"].as_array().expect("a list");
    let names: Vec<&Value> = models.iter().map(|row| &row["model"]).collect();
    assert_eq!(names, ["iris", "tips"]);
    assert_eq!(models[0]["word"], "Held");
    assert_eq!(change["removed"], json!(["wine"]));
    assert_eq!(change["environment"]["word"], "Held");
    let same = of(objects(&["iris", "wine"]));
    assert_eq!(
        self::change(&same, &before),
        json!({ "models": [], "removed": [] })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_come_as_they_are_seen_and_end_with_the_server() {
    let changing = Arc::new(Changing::new(objects(&["wine"])));
    let source: Arc<dyn StatusSource> = changing.clone();
    let (snapshots, streams) = (Arc::new(Snapshots::new(0xab)), Arc::<Streams>::default());
    let opened = |headers: &HeaderMap| {
        events(&source, &snapshots, &streams, &Method::GET, "", headers).expect("a place")
    };
    let response = opened(&HeaderMap::new());
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut frames = response.into_body();
    let mut next = async || {
        let frame = frames.frame().await?.expect("a frame");
        let bytes = frame.into_data().expect("data");
        Some(String::from_utf8(bytes.to_vec()).expect("UTF-8"))
    };
    let first = next().await.expect("a snapshot");
    assert!(
        first.starts_with("retry: 2000\nevent: snapshot\nid: ab-1\ndata: {"),
        "{first}"
    );
    changing.becomes(objects(&["wine", "iris"]));
    let second = next().await.expect("a change");
    assert!(second.starts_with("event: change\nid: ab-2\ndata: {"), "{second}");
    assert!(
        second.contains("\"model\":\"iris\"") && !second.contains("\"model\":\"wine\""),
        "{second}"
    );

    // Whoever comes back with the newest state is not sent it again; another one's is not known.
    for (id, expected) in [
        ("ab-2", "event: current\n"),
        ("ab-1", "event: snapshot\n"),
        ("\u{e4}", "event: snapshot\n"),
    ] {
        let mut again = opened(&asking("last-event-id", id)).into_body();
        let frame = again.frame().await.expect("a frame").expect("a frame");
        let text = String::from_utf8(frame.into_data().expect("data").to_vec()).expect("UTF-8");
        assert!(text.contains(expected), "{id}: {text}");
    }

    let silent = next().await.expect("a beat");
    assert!(silent.starts_with("event: beat\nid: ab-2\n"), "{silent}");
    streams.end();
    assert_eq!(next().await, None);
}

#[tokio::test]
async fn whoever_asks_once_is_told_what_is_now() {
    let source: Arc<dyn StatusSource> = Arc::new(Changing::new(objects(&["wine"])));
    let (snapshots, streams) = (Arc::new(Snapshots::new(0xab)), Arc::<Streams>::default());
    for (query, known, expected) in [
        ("once", "", "event: snapshot\nid: ab-1\n"),
        ("once=1&x", "", "event: snapshot\nid: ab-1\n"),
        ("once=", "ab-1", "event: current\nid: ab-1\n"),
    ] {
        let headers = asking("last-event-id", known);
        let answer = events(&source, &snapshots, &streams, &Method::GET, query, &headers).expect("a place");
        let said = body(answer).await;
        assert!(said.contains(expected), "{query}: {said}");
        assert_eq!(said.matches("event: ").count(), 1, "{query}: {said}");
    }
}

#[test]
fn there_are_places_for_so_many_streams() {
    let source: Arc<dyn StatusSource> = Arc::new(Changing::new(objects(&[])));
    let (snapshots, streams) = (Arc::new(Snapshots::new(1)), Arc::<Streams>::default());
    let open = || events(&source, &snapshots, &streams, &Method::GET, "", &HeaderMap::new());
    let mut held: Vec<Response> = (0..64).map(|_| open().expect("a place")).collect();
    assert_eq!(
        open().expect_err("none left").status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    held.pop();
    assert!(open().is_ok());
}

#[tokio::test]
async fn a_badge_is_a_picture_whatever_is_known() {
    use planner::word::Word;
    for (word, said) in [
        (Some(Word::Serving), "Serving"),
        (Some(Word::Failed), "Failed"),
        (None, "unknown"),
    ] {
        let answer = badge::answer("wine", word, &HeaderMap::new());
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "image/svg+xml");
        let tag = answer.headers()["etag"].clone();
        let picture = body(answer).await;
        assert!(
            picture.contains(&format!("<title>wine: {said}</title>")),
            "{picture}"
        );
        let again = badge::answer(
            "wine",
            word,
            &asking("if-none-match", tag.to_str().expect("ASCII")),
        );
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    }
}
