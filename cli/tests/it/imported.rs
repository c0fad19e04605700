//! Models that were made elsewhere come in by a commit: from the commit, and from where the process may import.

mod signed;
mod story;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

use planner::names::Digest;
use registry::artifact::{Graph, encode};

use crate::harness::{Repository, aurora, private, run, text};

const ENVIRONMENT: &str = "apiVersion: aurora.io/v1alpha1
kind: MLEnvironment
metadata: { name: dev }
spec: { target: Standalone }
";
const NETWORK: &[u8] = include_bytes!("../../../registry/tests/models/network.onnx");
const TENSORS: &[u8] = include_bytes!("../../../registry/tests/models/network.data");
const COMMITTED: &str = "v20261101-120000";
const ELSEWHERE: &str = "v20261102-120000";

/// Imports a version of what adds three of `a` and one of `b`.
fn job(version: &str, uri: &str, model: &[u8]) -> String {
    format!(
        "apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata: {{ name: sum-{} }}
spec:
  modelName: sum
  version: {version}
  dataset: {{ uri: rows.csv, target: {{ column: sum }} }}
  import: {{ uri: '{uri}', digest: '{}' }}
  evaluation: {{ metric: r2, minimum: 0.9 }}
",
        &version[1..],
        Digest::of(model)
    )
}

fn rows() -> String {
    (0..60).fold("a,b,sum\n".to_owned(), |rows, n: i32| {
        rows + &format!("{n},{},{}\n", (n * n) % 17, 3 * n + (n * n) % 17)
    })
}

fn model(intercept: f64) -> Vec<u8> {
    encode(&Graph::Linear {
        weights: vec![3.0, 1.0],
        intercept,
    })
}

/// Answers one path with a model to whoever brings a token, once; keeps what it was asked.
pub(crate) fn serve(model: Vec<u8>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    thread::spawn(move || {
        let mut is_gone = false;
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let may = head.contains("authorization: Bearer s3cret\r\n");
            kept.lock().expect("nobody panicked").push(head);
            let (status, body) = match (may, is_gone) {
                (true, false) => ("200 OK", model.as_slice()),
                (true, true) => ("404 Not Found", b"".as_slice()),
                (false, _) => ("401 Unauthorized", b"".as_slice()),
            };
            is_gone |= may;
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
            // Who was refused is gone.
            drop(stream.write_all(&[head.as_bytes(), body].concat()));
        }
    });
    (address, asked)
}

/// A model that is to be attested is fitted after its job is committed: neither its file nor its digest is there yet.
#[test]
fn the_rows_to_fit_to_are_told_before_there_is_a_model() {
    let repository = Repository::empty();
    repository.write("environments/dev/environment.yaml", ENVIRONMENT);
    repository.write("environments/dev/rows.csv", rows());
    let aside = tempfile::TempDir::new().expect("a folder");
    let train = aside.path().join("train.csv");
    let split = || {
        let mut command = aurora();
        let command = command.args(["dataset", "split", "sum-20261101-120000"]);
        let output = run(command.arg(&train).current_dir(repository.path()));
        assert!(output.status.success(), "{}", text(&output));
        std::fs::read(&train).expect("it was written")
    };
    repository.write(
        "environments/dev/job.yaml",
        job(COMMITTED, "sum.onnx", b"not there"),
    );
    repository.commit("a job for a model that is to come");
    let before = split();
    repository.write("environments/dev/sum.onnx", model(0.0));
    repository.write(
        "environments/dev/job.yaml",
        job(COMMITTED, "sum.onnx", &model(0.0)),
    );
    repository.commit("the model");
    assert!(split() == before, "the rows do not depend on the model");
}

#[test]
fn a_model_comes_from_the_commit_and_from_where_the_process_may_import() {
    let repository = Repository::empty();
    let aside = tempfile::TempDir::new().expect("a folder");
    let aurora_says = |words: &[&str]| {
        let mut command = aurora();
        command
            .args(words)
            .current_dir(repository.path())
            .env("AURORA_DATA_DIR", aside.path().join("data"));
        let output = run(&mut command);
        let said = text(&output);
        assert!(!said.contains("s3cret"), "{said}");
        (output.status.code(), said)
    };
    repository.write("environments/dev/environment.yaml", ENVIRONMENT);
    repository.write("environments/dev/rows.csv", rows());
    repository.write("environments/dev/sum.onnx", model(0.0));
    let of_commit = job(COMMITTED, "sum.onnx", &model(0.0));
    repository.write("environments/dev/committed.yaml", &of_commit);
    repository.commit("a model of the commit");
    let (code, said) = aurora_says(&["reconcile", "--once"]);
    assert_eq!(code, Some(0), "{said}");
    let (_, said) = aurora_says(&["model", "show", "sum", COMMITTED]);
    let source = format!("sum.onnx ({})", Digest::of(&model(0.0)));
    assert!(said.contains(&source), "{said}");
    // Nothing says that it was not fitted to the rows that it was measured on.
    assert!(said.contains("rows, unattested)"), "{said}");
    let (_, said) = aurora_says(&["model", "compare", "sum", COMMITTED, COMMITTED]);
    assert!(said.contains("holdout  unattested"), "{said}");
    let train = aside.path().join("train.csv");
    let (code, said) = aurora_says(&[
        "dataset",
        "split",
        "sum-20261101-120000",
        train.to_str().expect("a path"),
    ]);
    assert_eq!(code, Some(0), "{said}");
    let trainable = std::fs::read(&train).expect("it was written");
    assert!(said.contains(&Digest::of(&trainable).to_string()), "{said}");
    let lines = trainable.split(|byte| *byte == b'\n').count() - 2;
    assert!(
        said.contains(&format!("{lines} rows to fit to; {} are held out", 60 - lines)),
        "{said}"
    );

    let (address, asked) = serve(model(0.5));
    let uri = format!("http://{address}/team/sum.onnx");
    repository.write(
        "environments/dev/elsewhere.yaml",
        job(ELSEWHERE, &uri, &model(0.5)),
    );
    repository.commit("a model from elsewhere");
    let (code, said) = aurora_says(&["plan"]);
    let planned = format!("import {uri} ({})", Digest::of(&model(0.5)).short());
    assert!(code == Some(1) && said.contains(&planned), "{said}");
    let prefix = format!("http://{address}/team");
    // Nobody allowed it; then nobody says who asks.
    for (flags, words) in [
        (vec![], "start aurora with --import-source"),
        (
            vec!["--import-source", &prefix],
            "give a credential that may read it",
        ),
    ] {
        let (code, said) = aurora_says(&[&["train", "sum-20261102-120000"], flags.as_slice()].concat());
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(words), "{said}");
    }
    let token = aside.path().join("token");
    private(&token, "s3cret\n");
    let source = format!("{prefix}={}", token.display());
    let before = asked.lock().expect("nobody panicked").len();
    // It is gone after that, and the version needs it no more.
    for _time in 0..2 {
        let (code, said) = aurora_says(&["reconcile", "--once", "--import-source", &source]);
        assert_eq!(code, Some(0), "{said}");
    }
    assert_eq!(
        asked.lock().expect("nobody panicked").len(),
        before + 1,
        "it is fetched once"
    );
    let (_, said) = aurora_says(&["model", "show", "sum", ELSEWHERE]);
    assert!(said.contains(&uri), "{said}");
    repository.write(
        "environments/dev/again.yaml",
        job("v20261103-120000", &uri, &model(0.5)),
    );
    repository.commit("the same once more");
    let (code, said) = aurora_says(&["train", "sum-20261103-120000", "--import-source", &source]);
    assert!(
        code == Some(1) && said.contains(&format!("nothing lies at {uri} (404")),
        "{said}"
    );
    let (code, said) = aurora_says(&["model", "verify"]);
    assert_eq!(code, Some(0), "{said}");

    let (code, said) = aurora_says(&["reconcile", "--once", "--import-source", "https://me:s3cret@h/"]);
    assert_eq!(code, Some(2), "{said}");
}

/// A job without rows imports a model as it is, names what the graph does not, and every place says that nobody evaluated it.
#[test]
fn a_model_of_no_rows_is_imported_and_called_not_evaluated() {
    let repository = Repository::empty();
    let aside = tempfile::TempDir::new().expect("a folder");
    let aurora_says = |words: &[&str]| {
        let mut command = aurora();
        command
            .args(words)
            .current_dir(repository.path())
            .env("AURORA_DATA_DIR", aside.path().join("data"));
        let output = run(&mut command);
        (output.status.code(), text(&output))
    };
    let bytes = model(0.0);
    let job = |version: &str, told: &str| {
        format!(
            "apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata: {{ name: sum-{} }}
spec:
  modelName: sum
  version: {version}
  import: {{ uri: sum.onnx, digest: '{}'{told} }}
",
            &version[1..],
            Digest::of(&bytes)
        )
    };
    repository.write("environments/dev/environment.yaml", ENVIRONMENT);
    repository.write("environments/dev/sum.onnx", &bytes);
    repository.write("environments/dev/bare.yaml", job(COMMITTED, ""));
    repository.commit("a model of no rows");
    let (code, said) = aurora_says(&["reconcile", "--once"]);
    assert_eq!(code, Some(0), "{said}");
    repository.write(
        "environments/dev/told.yaml",
        job(ELSEWHERE, ", features: [width, height]"),
    );
    repository.commit("the same with names");
    let (code, said) = aurora_says(&["plan"]);
    let planned = format!("import sum.onnx ({}), not evaluated", Digest::of(&bytes).short());
    assert!(code == Some(1) && said.contains(&planned), "{said}");
    let (code, said) = aurora_says(&["reconcile", "--once"]);
    assert_eq!(code, Some(0), "{said}");
    let (_, said) = aurora_says(&["model", "show", "sum", COMMITTED]);
    assert!(said.contains("not evaluated"), "{said}");
    assert!(
        said.contains(&Digest::of(&bytes).to_string()),
        "it is as it came: {said}"
    );
    let (_, said) = aurora_says(&["model", "show", "sum", ELSEWHERE]);
    assert!(said.contains("width") && said.contains("height"), "{said}");
    let (code, said) = aurora_says(&["model", "compare", "sum", COMMITTED, ELSEWHERE]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("was not evaluated"), "{said}");

    // Tensors in a file beside it.
    let folder = repository.path().join("environments/dev/networks");
    std::fs::create_dir(&folder).expect("a folder");
    for (name, bytes) in [("network.onnx", NETWORK), ("network.data", TENSORS)] {
        std::fs::write(folder.join(name), bytes).expect("a file");
    }
    let network = |digest: Digest| {
        job(
            "v20261104-120000",
            &format!(", files: {{ network.data: '{digest}' }}"),
        )
        .replace("sum.onnx", "networks/network.onnx")
        .replace(&Digest::of(&bytes).to_string(), &Digest::of(NETWORK).to_string())
    };
    repository.write("environments/dev/network.yaml", network(Digest::of(NETWORK)));
    let (code, said) = aurora_says(&["validate", "--worktree"]);
    let told = "spec.import.files: the digest of networks/network.data is not";
    assert!(code == Some(1) && said.contains(told), "{said}");
    repository.write("environments/dev/network.yaml", network(Digest::of(TENSORS)));
    repository.commit("a network");
    let (code, said) = aurora_says(&["reconcile", "--once"]);
    assert_eq!(code, Some(0), "{said}");
    let (_, imported) = aurora_says(&["model", "show", "sum", "v20261104-120000", "--output", "json"]);
    let pushed = folder.join("network.onnx");
    let (code, said) = aurora_says(&["model", "push", "sum", pushed.to_str().expect("a path")]);
    assert_eq!(code, Some(0), "{said}");
    let digest = said.split_whitespace().nth(2).expect("model, version, digest");
    assert!(
        imported.contains(digest),
        "one file, however it came: {imported} {said}"
    );

    // Whatever is fitted needs rows.
    let fitted = job("v20261103-120000", "").replace(
        "import: { uri: sum.onnx, digest:",
        "algorithm: linear_regression #",
    );
    repository.write("environments/dev/fitted.yaml", fitted);
    let (code, said) = aurora_says(&["validate", "--worktree"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("`dataset` is missing: without rows nothing is fitted"),
        "{said}"
    );
}
