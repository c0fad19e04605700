//! What `aurora up` writes into its data directory, a real API server takes as it is: objects and statuses of all kinds.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use testkit::{Applied, Namespace, apply, namespace};

use crate::harness::{Repository, Up, eventually};

/// Beside the example: a job that is below its minimum, one that waits for its slot, one with a finding, and a pin that
/// nobody makes.
const FURTHER: &str = "\
apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata: { name: demanding }
spec:
  modelName: demanding
  version: v20261101-120000
  dataset: { uri: 'builtin:iris', exclude: [petal_width] }
  algorithm: logistic_regression
  evaluation: { metric: accuracy, minimum: 1.0 }
---
apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata: { name: nightly }
spec:
  modelName: nightly
  schedule: { cron: '0 3 * * *', timeZone: Europe/Paris }
  dataset: { uri: 'synthetic:linear', features: [{ name: a, ratio: [x1, x2] }] }
  algorithm: linear_regression
  hyperparameters: {}
  suspend: true
  evaluation: { metric: rmse, maximum: 1e6, holdout: { percent: 10 } }
---
apiVersion: aurora.io/v1alpha1
kind: MLDeployment
metadata: { name: nobody }
spec:
  modelName: nobody
  stable: { version: v20261101-120000 }
---
apiVersion: aurora.io/v1alpha1
kind: MLDeployment
metadata: { name: demanding }
spec:
  modelName: demanding
  stable: { version: v20261101-120000 }
  suspend: audit
";

const KINDS: [(&str, &str); 3] = [
    ("MLEnvironment", "mlenvironments"),
    ("MLDeployment", "mldeployments"),
    ("MLTrainingJob", "mltrainingjobs"),
];

fn read(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).expect("JSON")
}

/// Returns what lies in a folder of the data directory, by name.
fn all(data: &Path, folder: &str, kind: &str) -> Vec<(String, Value)> {
    let folder = data.join(folder).join(kind);
    let mut found: Vec<_> = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, read(&path))
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// Says whether a value has all that another has; a whole number may have become one.
fn holds(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted
            .iter()
            .all(|(name, value)| found.get(name).is_some_and(|found| holds(found, value))),
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len()
                && found
                    .iter()
                    .zip(wanted)
                    .all(|(found, wanted)| holds(found, wanted))
        }
        (Value::Number(found), Value::Number(wanted)) => found.as_f64() == wanted.as_f64(),
        _ => found == wanted,
    }
}

/// Applies an object twice: nothing of it is lost, nothing is warned of, and the second time nothing changes.
async fn taken(namespace: &Namespace, plural: &str, subresource: &str, object: &Value) {
    let collection = format!(
        "/apis/aurora.io/v1alpha1/namespaces/{}/{plural}",
        namespace.name()
    );
    let how = Applied {
        collection: &collection,
        subresource,
        manager: if subresource.is_empty() {
            "aurora-reconciler"
        } else {
            "aurora-operator"
        },
        is_dry_run: false,
    };
    let client = namespace.client();
    let first = apply(&client, how, object).await.expect("the server answers");
    assert!(first.is_success(), "{object}: {first:?}");
    assert_eq!(first.warnings, Vec::<String>::new(), "{object}");
    assert!(
        holds(&first.body, object),
        "of {object} the server keeps {}",
        first.body
    );
    let again = apply(&client, how, object).await.expect("the server answers");
    let version = "/metadata/resourceVersion";
    assert_eq!(again.text(version), first.text(version), "{object}");
    assert_eq!(again.warnings, Vec::<String>::new(), "{object}");
}

/// Serves the example and what else there is, until each has come as far as it goes.
fn written(data: &Path) {
    let repository = Repository::dev();
    repository.write("environments/dev/further.yaml", FURTHER);
    repository.write("environments/dev/broken.yaml", "kind: MLDeployment\n");
    repository.commit("declare more");
    let up = Up::ready(repository.path(), data);
    let status = |kind: &str, name: &str| {
        let bytes = fs::read(data.join(format!("status/{kind}/{name}.json"))).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok()
    };
    eventually("the canary answers", || {
        (status("MLDeployment", "wine-quality")?["weight"] == 10).then_some(())
    });
    eventually("a result is below its minimum", || {
        (status("MLTrainingJob", "demanding")?["phase"] == "Failed").then_some(())
    });
    eventually("the report tells what is wrong", || {
        let findings = status("MLEnvironment", "dev")?["findings"].as_array()?.len();
        (findings >= 2).then_some(())
    });
    assert!(up.stop().success());
}

#[tokio::test]
async fn an_api_server_takes_objects_and_statuses_as_they_are_written() {
    let Some(namespace) = namespace().await else {
        return;
    };
    testkit::install(&namespace.client(), &definitions())
        .await
        .expect("the kinds are served");
    let data = tempfile::tempdir().expect("a folder");
    written(data.path());
    let mut memories = 0;
    for (kind, plural) in KINDS {
        let objects = all(data.path(), "objects", kind);
        assert!(!objects.is_empty(), "no {kind}");
        for (_, object) in &objects {
            taken(&namespace, plural, "", object).await;
        }
        let statuses = all(data.path(), "status", kind);
        assert!(!statuses.is_empty(), "no status of an {kind}");
        for (name, status) in statuses {
            memories += usize::from(status["memory"].is_object());
            let object = json!({
                "apiVersion": crds::API_VERSION,
                "kind": kind,
                "metadata": { "name": name },
                "status": status,
            });
            taken(&namespace, plural, "status", &object).await;
        }
    }
    assert!(
        memories >= 4,
        "two deployments and three jobs remember something: {memories}"
    );
}

pub(crate) fn definitions() -> Vec<Value> {
    let yaml = crds::crd_yaml().into_iter();
    yaml.map(|(_, yaml)| serde_yaml::from_str(&yaml).expect("YAML"))
        .collect()
}
