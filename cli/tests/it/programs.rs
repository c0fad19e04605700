//! Programs of commits that make models, where the process allows them.

use std::fs;

use registry::artifact::{Graph, encode};

use crate::harness::{Repository, aurora, eventually, private, run, skipped, text};

const ENVIRONMENT: &str = "apiVersion: aurora.io/v1alpha1
kind: MLEnvironment
metadata: { name: dev }
spec: { target: Standalone }
";

/// A repository with a job that runs a script, and a folder beside it.
struct World {
    repository: Repository,
    aside: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let repository = Repository::empty();
        repository.write("environments/dev/environment.yaml", ENVIRONMENT);
        let rows = (0..60).fold("a,b,sum\n".to_owned(), |rows, n: i32| {
            rows + &format!("{n},{},{}\n", (n * n) % 17, 3 * n + (n * n) % 17)
        });
        repository.write("environments/dev/rows.csv", rows);
        let model = encode(&Graph::Linear {
            weights: vec![3.0, 1.0],
            intercept: 0.0,
        });
        repository.write("environments/dev/fit/model.onnx", model);
        repository.commit("data");
        let world = Self {
            repository,
            aside: tempfile::TempDir::new().expect("a folder"),
        };
        let (code, said) = world.aurora(&["reconcile", "--once"]);
        assert_eq!(code, Some(0), "{said}");
        world
    }

    /// Commits a job whose command is a shell's, and the script that it runs, which may take as long as it likes.
    fn commit(&self, version: &str, command: &str, script: &str) -> String {
        self.commit_for(600, version, command, script)
    }

    /// Commits a job that may take so many seconds.
    fn commit_for(&self, seconds: u32, version: &str, command: &str, script: &str) -> String {
        self.repository.write("environments/dev/fit/train.sh", script);
        let name = format!("sum-{}", &version[1..]);
        let job = format!(
            "apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata: {{ name: {name} }}
spec:
  modelName: sum
  version: {version}
  dataset: {{ uri: rows.csv, target: {{ column: sum }} }}
  command: {command}
  files: [ fit/train.sh, fit/model.onnx ]
  hyperparameters: {{ depth: 3 }}
  seed: 42
  evaluation: {{ metric: r2, minimum: 0.9 }}
  activeDeadlineSeconds: {seconds}
"
        );
        self.repository.write("environments/dev/job.yaml", job);
        self.repository.commit("a job");
        name
    }

    /// Checks that of a run's program nothing is left.
    fn has_nothing_left(&self, version: &str) {
        let runs = self.aside.path().join("data/registry/aurora/sum/runs");
        let left = fs::read_dir(runs.join(version)).expect("the run's folder");
        let left: Vec<_> = left.flatten().map(|entry| entry.file_name()).collect();
        assert!(left.iter().all(|name| name != "work"), "{left:?}");
    }

    fn aurora(&self, words: &[&str]) -> (Option<i32>, String) {
        let output = run(aurora()
            .args(words)
            .current_dir(self.repository.path())
            .env("AURORA_DATA_DIR", self.aside.path().join("data"))
            .env("OF_NO_USE", "s3cret"));
        (output.status.code(), text(&output))
    }
}

const SHELL: &str = "[ sh, fit/train.sh ]";

#[test]
fn a_program_of_the_commit_makes_a_model_where_that_is_allowed() {
    let world = World::new();
    let secret = world.aside.path().join("key");
    private(&secret, "s3cret\n");
    let hidden = [
        world.repository.path().join("environments/dev/rows.csv"),
        world.repository.path().join(".git/HEAD"),
        world
            .aside
            .path()
            .join("data/registry/aurora/registry/metadata.json"),
        world.aside.path().join("data/installation"),
        secret.clone(),
    ];
    for path in &hidden[..2] {
        assert!(path.exists(), "{}", path.display());
    }
    let looks = hidden.iter().fold(String::new(), |looks, path| {
        looks + &format!("! cat '{}' 2>> looked || echo found >> found\n", path.display())
    });
    let script = format!(
        "set -eu
head -1 \"$AURORA_DATASET\" | tr -d '\\r' | grep -qx 'a,b,sum'
test \"$AURORA_SEED $AURORA_HYPERPARAMETERS\" = '42 {{\"depth\":3.0}}'
test -z \"${{OF_NO_USE-}}${{AURORA_DATA_DIR-}}\"
echo made > \"$TMPDIR/note\"
{looks}
! kill -CONT $PPID 2>> looked || echo found >> found
cp fit/model.onnx \"$AURORA_OUTPUT/model.onnx\"
echo '{{\"found\": '$(if test -e found; then wc -l < found; else echo 0; fi)'}}' > \"$AURORA_OUTPUT/metrics.json\"
"
    );
    let job = world.commit("v20261101-120000", SHELL, &script);
    let (code, said) = world.aurora(&["plan"]);
    assert!(
        code == Some(1) && said.contains("command sh fit/train.sh"),
        "{said}"
    );
    let (code, said) = world.aurora(&["train", &job]);
    assert!(
        code == Some(1) && said.contains("start aurora with --allow-commands"),
        "{code:?} {said}"
    );
    let source = format!("https://models.example.org/={}", secret.display());
    let (code, said) = world.aurora(&[
        "reconcile",
        "--once",
        "--allow-commands",
        "--import-source",
        &source,
    ]);
    assert_eq!(code, Some(0), "{said}");
    // By hand it sees no more.
    let by_hand = world.commit("v20261102-120000", SHELL, &script);
    let (code, said) = world.aurora(&["train", &by_hand, "--allow-commands", "--import-source", &source]);
    assert_eq!(code, Some(0), "{said}");
    for version in ["v20261101-120000", "v20261102-120000"] {
        world.has_nothing_left(version);
        let (_, said) = world.aurora(&["model", "show", "sum", version]);
        assert!(said.contains("command (command)"), "{said}");
        if said.contains(", trusted)") {
            skipped("what is hidden from a program of a commit: this kernel has no Landlock");
        } else {
            assert!(said.contains("found 0.0000 as it says itself"), "{said}");
        }
    }
}

#[test]
fn a_program_that_ends_otherwise_is_told_with_its_last_words() {
    let world = World::new();
    for (version, command, script, told) in [
        (
            "v20261102-120000",
            SHELL,
            "echo no luck >&2; exit 3",
            "sh ended with exit code 3; its last words: no luck",
        ),
        (
            "v20261103-120000",
            "[ of-nobody ]",
            "",
            "there is no program of-nobody on this machine",
        ),
        (
            "v20261104-120000",
            SHELL,
            "kill -9 $$",
            "sh was ended by signal 9",
        ),
        ("v20261105-120000", SHELL, "true", "it left no model.onnx"),
    ] {
        let job = world.commit(version, command, script);
        let (code, said) = world.aurora(&["train", &job, "--allow-commands"]);
        assert_ne!(code, Some(0), "{said}");
        assert!(said.contains(told), "{told}: {said}");
    }
}

/// A run that takes too long is stopped, and what it started with it.
#[test]
fn a_program_does_not_outlive_its_run() {
    let world = World::new();
    world.commit_for(5, "v20261101-120000", "[ sleep, '98765' ]", "");
    let (code, said) = world.aurora(&["reconcile", "--once", "--allow-commands"]);
    assert_eq!(code, Some(1), "{said}");
    let is_there = || {
        let processes = fs::read_dir("/proc").expect("Linux");
        processes.flatten().any(|process| {
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            line == b"sleep\x0098765\x00"
        })
    };
    eventually("it is gone", || (!is_there()).then_some(()));
    world.has_nothing_left("v20261101-120000");
}
