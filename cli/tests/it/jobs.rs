//! What a Pod of a training Job runs: `aurora train` with its request in a variable.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use registry::artifact::{Graph, encode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Repository, aurora, eventually, run, skipped, text};
use crate::limits::limited;

const VERSION: &str = "v20261101-120000";
/// Makes all of a registry but one model's folder unwritable, and becomes the first process of a namespace.
const ITS_MODEL_ALONE: &str = r#"
mount --make-rprivate /
mount --bind "$REGISTRY" "$REGISTRY"
mount --bind "$REGISTRY/aurora/iris" "$REGISTRY/aurora/iris"
mount -o remount,bind,ro "$REGISTRY"
exec "$@"
"#;

/// A registry, and what a Job is asked.
struct Job {
    folder: TempDir,
    request: Value,
}

impl Job {
    /// Takes what `aurora train iris` was asked, for a registry of its own that holds the model's folder.
    fn new() -> Self {
        let repository = Repository::dev();
        let folder = TempDir::new().unwrap();
        let job = Self {
            request: json!({}),
            folder,
        };
        let registry = job.registry();
        let made = run(aurora().args(["registry", "init", "--registry"]).arg(&registry));
        assert!(made.status.success(), "{}", text(&made));
        fs::create_dir(registry.join("aurora/iris")).unwrap();
        let commit = repository.head();
        let request = json!({
            "registry": registry, "model": "iris", "version": VERSION, "job": "iris", "revision": commit.to_string(),
            "inputs_hash": format!("sha256:{}", "1".repeat(64)),
            "dataset": null, "holdout": null, "baseline": null,
            "training": {
                "model": "iris", "runs": { "Fixed": VERSION },
                "dataset": { "source": { "Builtin": "iris" }, "sha256": null, "features": [], "target": null },
                "algorithm": "logistic_regression", "hyperparameters": {}, "seed": 0,
                "evaluation": {
                    "metric": "accuracy", "bound": 0.5, "holdout": { "Percent": { "percent": 20, "seed": 42 } },
                },
                "active_deadline_seconds": 1800, "suspend": false,
            },
        });
        Self { request, ..job }
    }

    fn registry(&self) -> PathBuf {
        self.folder.path().join("registry")
    }

    fn last_words(&self) -> PathBuf {
        self.folder.path().join("termination-log")
    }

    fn version_path(&self) -> PathBuf {
        self.registry().join("aurora/iris/versions").join(VERSION)
    }

    /// Returns the command of the Job's Pod.
    fn command(&self, request: &str) -> Command {
        fs::write(self.last_words(), "").unwrap();
        let mut command = aurora();
        command
            .args(["train", "--termination-log"])
            .arg(self.last_words())
            .env("AURORA_REQUEST", request);
        command
    }

    /// Runs it, and compares its exit code and the word of its last words.
    fn ends(&self, request: &str, code: i32, ending: &str) -> Value {
        let output = run(&mut self.command(request));
        let said = fs::read_to_string(self.last_words()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{}{said}", text(&output));
        let said: Value = serde_json::from_str(&said).unwrap();
        let word = said["ending"].as_str().map(str::to_owned);
        let word = word.or_else(|| Some(said["ending"].as_object()?.keys().next()?.clone()));
        assert_eq!(word.as_deref(), Some(ending), "{said}");
        said
    }
}

/// What the machine lacks is no fault of the run's inputs, which a Job would never try again.
#[test]
fn a_limit_of_the_machine_never_ends_a_run_as_its_inputs_do() {
    let job = Job::new();
    let request = job.request.to_string();
    let files = (6..40).step_by(3).map(|most| format!("--nofile={most}"));
    let memory = (20..140).step_by(20).map(|most| format!("--as={}", most << 20));
    let mut told = 0;
    for limit in files.chain(memory) {
        let output = run(&mut limited(&limit, &job.command(&request)));
        let code = output.status.code();
        assert!(
            !matches!(code, Some(2 | 3)),
            "{limit}: {code:?}: {}",
            text(&output)
        );
        let said = fs::read_to_string(job.last_words()).unwrap();
        told += usize::from(code == Some(1) && said.contains("Transient"));
    }
    assert!(told > 0, "none said why");
    job.ends(&request, 0, "Published");
}

#[test]
fn exit_code_and_last_words_say_how_a_run_ended() {
    let mut job = Job::new();
    let publish = job.request.to_string();
    let said = job.ends(&publish, 0, "Published");
    let path = job
        .registry()
        .join("aurora/iris/runs")
        .join(VERSION)
        .join("result.json");
    let result: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert_eq!(result["ending"], said["ending"]);
    assert!(
        said["ending"]["Published"]["metrics"]["accuracy"]
            .as_f64()
            .unwrap()
            > 0.5
    );
    // Whoever runs it again publishes what is there.
    job.ends(&publish, 0, "Published");

    for (pointer, value, code, ending) in [
        ("/training/evaluation/bound", json!(1.5), 3, "Refused"),
        (
            "/training/dataset/source",
            json!({ "Absolute": "/nowhere/data.csv" }),
            3,
            "Refused",
        ),
        ("/registry", json!("/nowhere"), 1, "Transient"),
        ("/model", json!("../iris"), 2, "Refused"),
        ("/version", json!(null), 2, "Refused"),
    ] {
        let mut changed = job.request.clone();
        changed["version"] = json!("v20261102-120000");
        *changed.pointer_mut(pointer).unwrap() = value;
        job.ends(&changed.to_string(), code, ending);
    }
    job.ends("{", 2, "Refused");
    job.request = json!(null);
    let output = run(aurora().arg("train"));
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("nothing says what to train"));
}

#[test]
fn the_rows_of_somebody_elses_fit_are_prepared_and_what_it_left_is_published() {
    let job = Job::new();
    let mut request = job.request.clone();
    request["training"]["dataset"]["source"] = json!({ "Builtin": "wine-quality" });
    request["training"].as_object_mut().unwrap().remove("algorithm");
    request["training"]["container"] = json!({ "image": "registry.example.com/fit:1" });
    request["training"]["evaluation"] = json!({
        "metric": "r2", "bound": null, "holdout": { "Percent": { "percent": 20, "seed": 42 } },
    });
    let request = request.to_string();
    let work = job.folder.path().join("work");
    let part = |flag: &str, folder: &Path, code: i32| {
        let output = run(job.command(&request).arg(flag).arg(folder));
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        fs::read_to_string(job.last_words()).unwrap()
    };
    assert_eq!(part("--prepare", &work, 0), "");
    let rows = fs::read_to_string(work.join("rows.csv")).unwrap();
    let width = rows.lines().next().unwrap().split(',').count() - 1;
    // A program of somebody else.
    let graph = Graph::Linear {
        weights: vec![0.1; width],
        intercept: 1.0,
    };
    let said = part("--publish", &work.join("output"), 3);
    assert!(said.contains("left no model.onnx"), "{said}");
    fs::write(work.join("output/model.onnx"), encode(&graph)).unwrap();
    let said = part("--publish", &work.join("output"), 0);
    assert!(said.contains("Published"), "{said}");
    assert!(job.version_path().join("metadata.json").exists());
}

/// Asks for a run that takes a while.
fn long(job: &Job) -> String {
    let mut request = job.request.clone();
    request["training"]["dataset"]["source"] = json!({ "Builtin": "wine-quality" });
    request["training"]["algorithm"] = json!("gradient_boosting");
    request["training"]["hyperparameters"] = json!({ "trees": 5000.0, "max_leaves": 64.0 });
    request["training"]["evaluation"]["metric"] = json!("r2");
    request.to_string()
}

fn is_fitting(job: &Job) {
    let path = job
        .registry()
        .join("aurora/iris/runs")
        .join(VERSION)
        .join("progress.jsonl");
    eventually("it fits", || {
        let progress = fs::read_to_string(&path).unwrap_or_default();
        progress.contains("fit").then_some(())
    });
}

#[test]
fn a_signal_ends_a_run_at_once_and_publishes_nothing() {
    let job = Job::new();
    let mut child = job.command(&long(&job)).spawn().unwrap();
    is_fitting(&job);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let status = child.wait().unwrap();
    // What a shell, and a container's runtime, call 143.
    assert_eq!(status.signal(), Some(15), "{status}");
    assert!(!job.version_path().exists());
    assert_eq!(fs::read_to_string(job.last_words()).unwrap(), "");
    // The next Pod begins anew.
    job.ends(&job.request.to_string(), 0, "Published");
}

/// Returns a command as the first process of a container whose registry is mounted as a Pod's is; `None` where this machine
/// makes no container.
fn contained(job: &Job, command: &Command) -> Option<Command> {
    let unshared = ["unshare", "--mount", "--pid", "--fork", "--kill-child"];
    let as_root: &[&str] = if rustix::process::getuid().is_root() {
        &[]
    } else {
        &["sudo", "--non-interactive"]
    };
    let words: Vec<&str> = as_root.iter().chain(&["env"]).copied().collect();
    let start = |words: &[&str]| {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        command
    };
    let can = start(&words).args(unshared).arg("true").output();
    if !can.is_ok_and(|output| output.status.success()) {
        skipped("a training run in a container; no container can be made here");
        return None;
    }
    let mut contained = start(&words);
    contained.arg(format!("REGISTRY={}", job.registry().display()));
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            contained.arg(format!("{}={}", name.display(), value.display()));
        }
    }
    contained
        .args(unshared)
        .args(["sh", "-ec", ITS_MODEL_ALONE, "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    Some(contained)
}

#[test]
fn a_run_that_may_write_its_own_model_alone_publishes() {
    let job = Job::new();
    let Some(mut command) = contained(&job, &job.command(&job.request.to_string())) else {
        return;
    };
    let output = run(&mut command);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(job.version_path().join("model.onnx").exists());
}

#[test]
fn a_signal_ends_a_run_that_is_the_first_process_of_its_container() {
    let job = Job::new();
    let Some(mut command) = contained(&job, &job.command(&long(&job))) else {
        return;
    };
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    is_fitting(&job);
    let first = first_of(&child.id().to_string());
    let signalled = run(Command::new("kill").args(["-TERM", &first]));
    assert!(signalled.status.success(), "{}", text(&signalled));
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(!job.version_path().exists());
}

/// Returns the process that is the first of a namespace below a process.
fn first_of(id: &str) -> String {
    eventually("the container's first process is aurora", || {
        let mut below = vec![id.to_owned()];
        let mut at = 0;
        while let Some(id) = below.get(at).cloned() {
            let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
            below.extend(children.split_whitespace().map(str::to_owned));
            at += 1;
        }
        below.into_iter().find(|id| {
            let status = fs::read_to_string(Path::new("/proc").join(id).join("status")).unwrap_or_default();
            let is_first = status
                .lines()
                .any(|line| line.starts_with("NSpid:") && line.ends_with("\t1"));
            is_first && status.starts_with("Name:\taurora\n")
        })
    })
}
