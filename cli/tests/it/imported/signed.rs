//! Imports where an environment demands signed models.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use planner::names::Digest;
use registry::artifact::{Graph, encode};
use serde_json::Value;
use signing::{Manifest, SigningKey};

use super::{COMMITTED, ELSEWHERE, ENVIRONMENT, serve};
use crate::clients::python;
use crate::harness::{Repository, aurora, private, root, run, text};

/// The name of the key that is trusted.
const KEY: &str = "579605b69de80e856b0588ed50945a9ff783ea4bb71e46e897f95bdf7c90aab2";

fn vector(file: &str) -> String {
    fs::read_to_string(root().join("signing/src/vectors").join(file)).expect("a vector")
}

fn model(intercept: f64) -> Vec<u8> {
    encode(&Graph::Linear {
        weights: vec![3.0, 1.0],
        intercept,
    })
}

/// Signs a file alone.
fn signed(key: &str, model: &[u8]) -> String {
    let key = SigningKey::from_pem(&vector(&format!("{key}.key"))).expect("a key");
    let manifest = Manifest {
        name: "sum.onnx".to_owned(),
        files: [(".".to_owned(), *Digest::of(model).as_bytes())].into(),
    };
    signing::sign(&key, &manifest)
}

/// A repository whose environment says this of models and trusts the key p256, and a data directory.
struct World {
    repository: Repository,
    aside: tempfile::TempDir,
}

impl World {
    fn new(verify: &str) -> Self {
        let world = Self {
            repository: Repository::empty(),
            aside: tempfile::TempDir::new().expect("a folder"),
        };
        world.write("signers.pub", vector("p256.pub"));
        world.write(
            "environment.yaml",
            ENVIRONMENT.replace(
                "Standalone",
                &format!("Standalone, models: {{ verify: {verify}, keys: signers.pub }}"),
            ),
        );
        world.write("sum.onnx", model(0.0));
        world.repository.commit("an environment");
        world.says(&["reconcile", "--once"], 0, "");
        world
    }

    fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        self.repository
            .write(&format!("environments/dev/{file}"), content);
    }

    fn import(&self, version: &str, uri: &str, model: &[u8], signature: &str) {
        let digest = Digest::of(model);
        self.write(
            "job.yaml",
            format!(
                "apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata: {{ name: sum }}
spec:
  modelName: sum
  version: {version}
  import: {{ uri: '{uri}', digest: '{digest}'{signature} }}
"
            ),
        );
        self.repository.commit("an import");
    }

    #[track_caller]
    fn says(&self, words: &[&str], code: i32, expected: &str) -> String {
        let mut command = aurora();
        command
            .args(words)
            .current_dir(self.repository.path())
            .env("AURORA_DATA_DIR", self.aside.path().join("data"));
        let output = run(&mut command);
        let said = text(&output);
        assert!(!said.contains("s3cret"), "{said}");
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(expected), "{said}");
        said
    }

    /// The key that a version says to be signed by.
    fn signer(&self, version: &str) -> Option<String> {
        let said = self.says(
            &["model", "show", "sum", version, "--output", "json"],
            0,
            "lineage",
        );
        let shown: Value = serde_json::from_str(said.trim()).expect("a document");
        shown["metadata"]["lineage"]["source"]["signer"]
            .as_str()
            .map(str::to_owned)
    }
}

/// What is missing is told before anything runs, what does not count by the run, and what is corrected is tried again.
#[test]
fn an_import_is_signed_by_whom_the_environment_trusts() {
    let world = World::new("Require");
    let names_none = "`import.signature` names no signature of this one";
    world.import(COMMITTED, "sum.onnx", &model(0.0), "");
    world.says(&["validate"], 1, names_none);
    world.says(&["plan"], 2, names_none);
    world.says(&["reconcile", "--once"], 1, names_none);
    for (bundle, why) in [
        (
            signed("p384", &model(0.0)),
            "which is none of those that are trusted",
        ),
        (
            signed("p256", &model(1.0)),
            "none of them has the digest of this one",
        ),
        ("{".to_owned(), "it is no signature of a model by a key"),
    ] {
        world.write("sum.sig", bundle);
        world.import(COMMITTED, "sum.onnx", &model(0.0), ", signature: sum.sig");
        let said = world.says(&["reconcile", "--once"], 1, why);
        assert!(
            said.contains("TrainingFailed") && said.contains("model_signing sign key"),
            "{said}"
        );
    }
    world.write("sum.sig", signed("p256", &model(0.0)));
    world.repository.commit("the right one");
    world.says(&["reconcile", "--once"], 0, "");
    assert_eq!(world.signer(COMMITTED).as_deref(), Some(KEY));
    let told = format!(
        "sum.onnx ({}), signed by the key {}",
        Digest::of(&model(0.0)),
        &KEY[..12]
    );
    world.says(&["model", "show", "sum", COMMITTED], 0, &told);
    // It is there: that its signature is gone is no news.
    world.import(COMMITTED, "sum.onnx", &model(0.0), "");
    world.says(&["reconcile", "--once"], 0, "");
}

#[test]
fn a_warning_is_told_with_the_version_and_off_looks_at_nothing() {
    let world = World::new("Warn");
    world.import(COMMITTED, "sum.onnx", &model(0.0), "");
    world.says(&["reconcile", "--once"], 0, "");
    let told = "warning: nobody who is trusted has signed it: the environment demands signed models";
    world.says(&["model", "show", "sum", COMMITTED], 0, told);
    assert_eq!(world.signer(COMMITTED), None);
    let world = World::new("\"Off\"");
    world.write("sum.sig", "none");
    world.import(COMMITTED, "sum.onnx", &model(0.0), ", signature: sum.sig");
    world.says(&["reconcile", "--once"], 0, "");
    assert_eq!(world.signer(COMMITTED), None);
}

/// A signature from elsewhere lies below a prefix of its own, and is asked for with the credential of that alone.
#[test]
fn a_signature_comes_from_where_the_process_may_import() {
    let world = World::new("Require");
    let (address, asked) = serve(signed("p256", &model(0.0)).into_bytes());
    let at = format!("http://{address}/signatures/sum.sig");
    world.import(
        ELSEWHERE,
        "sum.onnx",
        &model(0.0),
        &format!(", signature: '{at}'"),
    );
    let prefix = format!("http://{address}/signatures");
    world.says(&["train", "sum"], 1, "the signature cannot be fetched");
    assert_eq!(asked.lock().expect("nobody panicked").len(), 0);
    world.says(
        &["train", "sum", "--import-source", &prefix],
        1,
        "give a credential that may read it",
    );
    let token = world.aside.path().join("token");
    private(&token, "s3cret\n");
    // The credential of another prefix is not shown there.
    let other = format!("http://{address}/models={}", token.display());
    world.says(
        &[
            "train",
            "sum",
            "--import-source",
            &prefix,
            "--import-source",
            &other,
        ],
        1,
        "give a credential that may read it",
    );
    let source = format!("{prefix}={}", token.display());
    world.says(&["reconcile", "--once", "--import-source", &source], 0, "");
    assert_eq!(world.signer(ELSEWHERE).as_deref(), Some(KEY));
    // It is gone by now: whoever needs it waits.
    world.import(
        "v20261103-120000",
        "sum.onnx",
        &model(0.0),
        &format!(", signature: '{at}'"),
    );
    let gone = format!("the signature cannot be fetched: nothing lies at {at} (404");
    world.says(&["train", "sum", "--import-source", &source], 1, &gone);
}

fn model_signing(python: &Path, key: &Path, signature: &Path, signed: &Path) -> Output {
    let mut command = Command::new(python);
    command.args(["-m", "model_signing", "sign", "key", "--private_key"]);
    run(command.arg(key).arg("--signature").arg(signature).arg(signed))
}

/// By PyPI's tool: a file alone, and a folder that holds it beside others.
#[test]
fn what_pypis_model_signing_signs_is_imported() {
    let Some(python) = python() else {
        return;
    };
    let world = World::new("Require");
    let key = root().join("signing/src/vectors/p256.key");
    let folder = world.aside.path().join("model");
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("model.onnx"), model(0.0)).expect("a file");
    fs::write(folder.join("README"), "a model").expect("a file");
    for (version, of) in [
        (COMMITTED, folder.join("model.onnx")),
        (ELSEWHERE, folder.clone()),
    ] {
        let signature = world.aside.path().join("model.sig");
        let said = model_signing(&python, &key, &signature, &of);
        assert!(said.status.success(), "{}", text(&said));
        world.write("sum.sig", fs::read(&signature).expect("it was written"));
        world.import(version, "sum.onnx", &model(0.0), ", signature: sum.sig");
        world.says(&["reconcile", "--once"], 0, "");
        assert_eq!(world.signer(version).as_deref(), Some(KEY));
    }
}
