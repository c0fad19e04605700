use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

fn deployment(model: &str) -> Value {
    json!({
        "apiVersion": crds::API_VERSION, "kind": "MLDeployment", "metadata": { "name": model },
        "spec": { "modelName": model, "stable": { "version": "v20261101-120000" } },
    })
}

/// What a reader tells, as a person sees it: each object with its state, and whether it is the very one of the look before.
fn told(view: &View, before: &View) -> String {
    let object = |(name, object): (&String, &Arc<MLDeployment>)| {
        let state = object.status.as_ref().and_then(|status| status.state);
        let known = before.deployments.get(name);
        let is_same = known.is_some_and(|known| Arc::ptr_eq(known, object));
        format!("{name} {state:?}{}", if is_same { "" } else { " new" })
    };
    let objects = view.deployments.iter().map(object);
    let unreadable = view.unreadable.keys().map(|name| format!("{name} unreadable"));
    objects.chain(unreadable).collect::<Vec<_>>().join(", ")
}

#[test]
fn what_has_changed_is_read_and_the_rest_stays_what_it_is() {
    let folder = TempDir::new().expect("a folder");
    let at = |path: &str| folder.path().join(path);
    for kind in ["objects/MLDeployment", "status/MLDeployment"] {
        fs::create_dir_all(at(kind)).expect("made");
    }
    let write = |path: &str, content: &str| fs::write(at(path), content).expect("written");
    write("objects/MLDeployment/iris.json", &deployment("iris").to_string());
    write("objects/MLDeployment/wine.json", &deployment("wine").to_string());
    let mut reader = Reader::new(folder.path().to_owned());
    let mut before = Arc::new(View::default());
    let wine = deployment("wine").to_string();
    let idle = json!({ "state": "Idle" }).to_string();
    for (path, content, is_same, expected) in [
        ("", None, false, "iris None new, wine None new"),
        ("", None, true, "iris None, wine None"),
        (
            "status/MLDeployment/iris.json",
            Some(&*idle),
            false,
            "iris Some(Idle) new, wine None",
        ),
        // Written anew, and no other than before.
        (
            "objects/MLDeployment/wine.json",
            Some(&*wine),
            true,
            "iris Some(Idle), wine None",
        ),
        // As long as before.
        (
            "status/MLDeployment/iris.json",
            Some(r#"{"state":"Lost"}"#),
            false,
            "wine None, MLDeployment/iris unreadable",
        ),
        (
            "status/MLDeployment/iris.json",
            Some(r#"{"state":"Idl"#),
            false,
            "wine None, MLDeployment/iris unreadable",
        ),
        (
            "status/MLDeployment/iris.json",
            Some(&*idle),
            false,
            "iris Some(Idle) new, wine None",
        ),
    ] {
        if let Some(content) = content {
            write(path, content);
        }
        let view = reader.read().expect("a view");
        assert_eq!(told(&view, &before), expected, "{path}: {content:?}");
        assert_eq!(Arc::ptr_eq(&view, &before), is_same, "{path}: {content:?}");
        before = view;
    }
    fs::remove_file(at("objects/MLDeployment/iris.json")).expect("removed");
    assert_eq!(told(&reader.read().expect("a view"), &before), "wine None");
}

#[test]
fn stamps_count_once_other_content_would_have_others() {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("a.json"), "{}").expect("written");
    let dir = Dir::open(folder.path()).expect("a folder");
    let now = seconds_now();
    for (name, now, counts) in [
        ("a.json", now, false),
        ("a.json", now + 60, true),
        ("none.json", now + 60, false),
    ] {
        let stamps = Stamps::of(Some(&dir), None, name, now);
        assert_eq!(stamps.is_some(), counts, "{name} at {now}");
    }
}
