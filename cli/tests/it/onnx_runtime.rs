//! Models that the engine refuses are checked, evaluated and served by ONNX Runtime, where job, deployment and process say so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use planner::names::Digest;
use registry::artifact::{Graph, encode};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{
    FREE_PORTS, Repository, Up, aurora, eventually, get, post, run, skipped, text, up_command,
};

/// Counts the words of a text, as scikit-learn does.
const REVIEW: &[u8] = include_bytes!("../../../ort/tests/models/review.onnx");
const ENVIRONMENT: &str = "apiVersion: aurora.io/v1alpha1
kind: MLEnvironment
metadata: { name: dev }
spec: { target: Standalone }
";
const FIRST: &str = "v20261101-120000";
const SECOND: &str = "v20261102-120000";

/// Returns the library; says that a test is skipped where there is none.
fn library() -> Option<PathBuf> {
    let library = std::env::var_os("AURORA_ONNXRUNTIME").map(PathBuf::from);
    let is_required = std::env::var_os("REQUIRE_ONNXRUNTIME").is_some_and(|word| !word.is_empty());
    assert!(
        library.is_some() || !is_required,
        "AURORA_ONNXRUNTIME names no library: .ci/run does"
    );
    if library.is_none() {
        skipped("models that ONNX Runtime serves; AURORA_ONNXRUNTIME names no library: .ci/run brings one");
    }
    library
}

fn job(version: &str, engine: &str) -> String {
    format!(
        "apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata: {{ name: review-{} }}
spec:
  modelName: review
  version: {version}
  dataset: {{ uri: reviews.csv, target: {{ column: mood }} }}
  import: {{ uri: review.onnx, digest: '{}' }}
  {engine}
  evaluation: {{ metric: accuracy, minimum: 0.9, holdout: {{ percent: 50, seed: {} }} }}
",
        &version[1..],
        Digest::of(REVIEW),
        &version[8..9]
    )
}

fn deployment(rest: &str) -> String {
    format!(
        "apiVersion: aurora.io/v1alpha1
kind: MLDeployment
metadata: {{ name: review }}
spec:
  modelName: review
  stable: {{ version: {FIRST} }}
  {rest}
"
    )
}

fn reviews() -> String {
    let words = ["good", "great", "bad", "awful"];
    (0..80).fold("review,mood\n".to_owned(), |rows, n| {
        let mood = if n % 4 < 2 { "pos" } else { "neg" };
        rows + &format!("{} film {n},{mood}\n", words[n % 4])
    })
}

/// Returns the processes that evaluate models for the children of a process.
fn evaluating() -> Vec<(i32, i32)> {
    let all = fs::read_dir("/proc").expect("processes").flatten();
    all.filter_map(|entry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        let parent = rest.split(' ').nth(1)?.parse().ok()?;
        let own = entry.file_name().to_str()?.parse().ok()?;
        (name == "aurora-ort").then_some((own, parent))
    })
    .collect()
}

/// A repository with a text model and a plain one, and a folder for its data.
struct World {
    repository: Repository,
    aside: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let repository = Repository::empty();
        let plain = encode(&Graph::Linear {
            weights: vec![3.0, 1.0],
            intercept: 0.0,
        });
        repository.write("environments/dev/environment.yaml", ENVIRONMENT);
        repository.write("environments/dev/reviews.csv", reviews());
        repository.write("environments/dev/review.onnx", REVIEW);
        repository.write("environments/dev/sum.onnx", &plain);
        let sum = deployment("").replace("review", "sum");
        let import = format!("import: {{ uri: sum.onnx, digest: '{}' }}", Digest::of(&plain));
        let job = format!(
            "apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata: {{ name: sum }}
spec: {{ modelName: sum, version: {FIRST}, {import} }}
---
{sum}"
        );
        repository.write("environments/dev/sum.yaml", job);
        Self {
            repository,
            aside: tempfile::TempDir::new().expect("a folder"),
        }
    }

    fn data(&self) -> PathBuf {
        self.aside.path().join("data")
    }

    fn says(&self, words: &[&str], library: Option<&Path>) -> (Option<i32>, String) {
        let mut command = aurora();
        command.args(words).current_dir(self.repository.path());
        command.env("AURORA_DATA_DIR", self.data());
        command.envs(library.map(|library| ("AURORA_ONNXRUNTIME", library)));
        let output = run(&mut command);
        (output.status.code(), text(&output))
    }

    fn up(&self, library: Option<&Path>) -> Up {
        let mut command: Command = up_command(self.repository.path(), &self.data());
        command.args(FREE_PORTS);
        command.envs(library.map(|library| ("AURORA_ONNXRUNTIME", library)));
        Up::watch(command)
    }
}

#[test]
fn job_deployment_and_process_have_to_say_so() {
    let Some(library) = library() else {
        return;
    };
    let world = World::new();
    let World { repository, .. } = &world;
    repository.write("environments/dev/job.yaml", job(FIRST, ""));
    repository.commit("a model of texts");
    let (code, said) = world.says(&["reconcile", "--once"], Some(&library));
    assert_eq!(code, Some(1), "{said}");
    for told in ["StringNormalizer", "engine: OnnxRuntime"] {
        assert!(said.contains(told), "{told}: {said}");
    }

    let free = [&["doctor"], &FREE_PORTS[..]].concat();
    let (code, said) = world.says(&free, Some(&library));
    assert!(code == Some(0) && said.contains("ok    onnxruntime: /"), "{said}");
    let (code, said) = world.says(&free, Some(&library.with_extension("gone")));
    assert!(code == Some(1) && said.contains("fail  onnxruntime: "), "{said}");

    // The job says it, and the process does not.
    repository.write("environments/dev/job.yaml", job(FIRST, "engine: OnnxRuntime"));
    repository.commit("evaluated by ONNX Runtime");
    let (code, said) = world.says(&["reconcile", "--once", "--timeout", "5"], None);
    assert_eq!(code, Some(1), "{said}");
    let (_, said) = world.says(&["status"], None);
    assert!(said.contains("--onnxruntime"), "{said}");
    let (code, said) = world.says(&["reconcile", "--once"], Some(&library));
    assert_eq!(code, Some(0), "{said}");
    let (_, said) = world.says(&["model", "show", "review", FIRST], None);
    for told in ["OnnxRuntime", "accuracy 1.0000", "review"] {
        assert!(said.contains(told), "{told}: {said}");
    }

    // The deployment does not.
    repository.write("environments/dev/review.yaml", deployment(""));
    repository.commit("it is to be served");
    let (_, said) = world.says(&["plan"], None);
    for told in ["EngineNotDeclared", "add `engine: OnnxRuntime`"] {
        assert!(said.contains(told), "{told}: {said}");
    }
    repository.write("environments/dev/review.yaml", deployment("engine: OnnxRuntime"));
    repository.commit("as ONNX Runtime does");

    // What lies in the registry can be looked at without it, and loaded with it.
    let (code, said) = world.says(&["model", "verify"], None);
    assert!(code == Some(0) && said.contains("not loaded"), "{said}");
    let (code, said) = world.says(&["model", "verify"], Some(&library));
    assert!(code == Some(0) && !said.contains("not loaded"), "{said}");

    // Another model is none the worse for it that this one does not load.
    let up = world.up(None);
    eventually("the other model answers", || {
        (post(up.inference, "/predict/sum", &[], r#"{"inputs": [[1, 2]]}"#).status == 200).then_some(())
    });
    let why = eventually("why it does not load is told", || {
        let status = get(up.control_plane, "/status").body;
        status.contains("--onnxruntime").then_some(status)
    });
    assert!(why.contains("LoadFailed"), "{why}");
    assert!(up.stop().success());
}

#[test]
fn texts_are_served_by_a_process_that_may_die() {
    let Some(library) = library() else {
        return;
    };
    let world = World::new();
    let World { repository, .. } = &world;
    for version in [FIRST, SECOND] {
        let name = format!("environments/dev/{version}.yaml");
        repository.write(&name, job(version, "engine: OnnxRuntime"));
    }
    let canary = format!("engine: OnnxRuntime\n  canary: {{ version: {SECOND}, weight: 50 }}");
    // The same file twice is the same artifact: the canary waits for one that differs.
    repository.write("environments/dev/review.yaml", deployment("engine: OnnxRuntime"));
    repository.commit("a model of texts");
    let up = world.up(Some(&library));
    let ask = |body: &str| post(up.inference, "/predict/review", &[], body);
    let asked =
        r#"{"rows": [{"review": "a good film"}, {"review": "an awful film"}, {"review": "ein Ümläut 😀"}]}"#;
    let answer = eventually("the model answers", || {
        let answer = ask(asked);
        (answer.status == 200).then_some(answer.body)
    });
    assert!(answer.contains(r#"["pos","neg","#), "{answer}");
    let protocol = r#"{"inputs": [{"name": "review", "datatype": "BYTES", "shape": [2, 1], "data": ["great plot", "bad plot"]}]}"#;
    let answer = post(up.inference, "/v2/models/review/infer", &[], protocol);
    assert!(
        answer.status == 200 && answer.body.contains(r#"["pos","neg"]"#),
        "{}",
        answer.body
    );
    let refused = post(
        up.inference,
        "/v2/models/review/infer",
        &[],
        &protocol.replace("[2, 1]", "[1, 2]"),
    );
    assert_eq!(refused.status, 400, "{}", refused.body);

    // Its process dies: it is there again for a later request, and nobody else has noticed.
    let pid = i32::try_from(up.id()).expect("a process");
    let (own, _) = *evaluating()
        .iter()
        .find(|(_, parent)| *parent == pid)
        .expect("it is evaluated");
    kill_process(Pid::from_raw(own).expect("a process"), Signal::KILL).expect("ours");
    let first = ask(asked);
    assert!([200, 503].contains(&first.status), "{}", first.body);
    assert_eq!(
        post(up.inference, "/predict/sum", &[], r#"{"inputs": [[1, 2]]}"#).status,
        200
    );
    eventually("it answers again", || (ask(asked).status == 200).then_some(()));

    // A file is scored, and two versions are compared.
    let rows = world.aside.path().join("rows.csv");
    fs::write(&rows, reviews()).expect("a file");
    let rows = rows.to_string_lossy().into_owned();
    let (code, said) = world.says(&["predict", "review", &rows], Some(&library));
    assert!(
        code == Some(0) && said.lines().count() == 81 && said.contains("\npos\n"),
        "{said}"
    );
    eventually("the second version is published", || {
        let (code, _) = world.says(&["model", "show", "review", SECOND], Some(&library));
        (code == Some(0)).then_some(())
    });
    let (code, said) = world.says(
        &["model", "compare", "review", FIRST, SECOND, "--data", &rows],
        Some(&library),
    );
    assert_eq!(code, Some(0), "{said}");

    repository.write("environments/dev/review.yaml", deployment(&canary));
    repository.commit("the same file as canary");
    eventually("that is told", || {
        get(up.control_plane, "/status")
            .body
            .contains("the same artifact")
            .then_some(())
    });
    assert_eq!(ask(asked).status, 200);
    assert!(up.stop().success());
    eventually("its processes have ended with it", || {
        evaluating()
            .iter()
            .all(|(_, parent)| *parent != pid)
            .then_some(())
    });
}
