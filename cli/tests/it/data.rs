//! What of the machine a commit reaches: its data directory, its files, what a training run is given.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{FREE_PORTS, Ground, Repository, Up, aurora, eventually, run, text, trainer};

/// Trains on a file of the machine.
fn outside(path: &Path) -> String {
    format!(
        "\
apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata: {{ name: outside }}
spec:
  modelName: outside
  version: v20261201-000000
  dataset: {{ uri: {}, sha256: \"{}\", target: {{ column: sum }} }}
  algorithm: linear_regression
  evaluation: {{ metric: r2 }}
",
        path.display(),
        planner::names::Digest::of(&fs::read(path).expect("a data file")).hex()
    )
}

fn rows() -> String {
    (0..60).fold("a,b,sum\n".to_owned(), |rows, n: i32| {
        rows + &format!("{n},{},{}\n", (n * n) % 17, 3 * n + (n * n) % 17)
    })
}

#[test]
fn a_data_directory_that_git_tracks_is_refused_by_every_command_that_looks_at_it() {
    let repository = Repository::dev();
    let in_clone = |words: &[&str]| {
        let output = run(aurora().args(words).current_dir(repository.path()));
        (output.status.code(), text(&output))
    };
    let (code, said) = in_clone(&["reconcile", "--once"]);
    assert_eq!(code, Some(0), "{said}");
    // As if somebody else had made all of it, and committed it.
    let mut index = repository.git().index().expect("an index");
    let entry = ".aurora/registry/aurora/iris/versions/v20261101-120000/model.onnx";
    index.add_path(Path::new(entry)).expect("it is there");
    repository.commit_index(&mut index, "innocent");
    for words in [
        &["up", FREE_PORTS[0], FREE_PORTS[1], FREE_PORTS[2], FREE_PORTS[3]][..],
        &["reconcile", "--once"],
        &["serve", FREE_PORTS[0], FREE_PORTS[1]],
        &["control-plane", FREE_PORTS[2], FREE_PORTS[3]],
        &["status"],
        &["plan"],
        &["validate"],
        &["model", "list"],
        &["model", "verify"],
        &["model", "gc"],
        &["train", "iris"],
        &["rollout", "status"],
        &["rollout", "pause", "iris"],
    ] {
        let (code, said) = in_clone(words);
        assert_eq!(code, Some(2), "{words:?}: {said}");
        assert!(said.contains(&format!("Git tracks {entry}")), "{words:?}: {said}");
        assert!(said.contains("--data-dir"), "{words:?}: {said}");
    }
}

#[test]
fn a_file_of_the_machine_is_read_only_below_a_named_root() {
    let ground = Ground::dev();
    let data = tempfile::TempDir::new().expect("a folder");
    let rows_csv = data.path().join("rows.csv");
    fs::write(&rows_csv, rows()).expect("written");
    ground
        .repository
        .write("environments/dev/outside.yaml", outside(&rows_csv));
    ground.repository.commit("data of the machine");
    let once = |flags: &[&str]| {
        let mut command = aurora();
        command
            .args(["reconcile", "--once", "--repo"])
            .arg(ground.repository.path())
            .arg("--data-dir")
            .arg(ground.data())
            .args(flags);
        let output = run(&mut command);
        (output.status.code(), text(&output))
    };
    let validated = |flags: &[&str]| {
        let mut command = aurora();
        command
            .args(["validate", "--data-dir", "/nowhere", "--repo"])
            .arg(ground.repository.path())
            .args(flags);
        text(&run(&mut command))
    };
    let root = data.path().display().to_string();
    let refusal = "lies in no folder that data may be read from";

    let (code, said) = once(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(refusal) && said.contains("--dataset-root"),
        "{said}"
    );
    let other = data.path().join("inner");
    fs::create_dir(&other).expect("made");
    let (code, said) = once(&["--dataset-root", &other.display().to_string()]);
    assert_eq!((code, said.contains(refusal)), (Some(1), true), "{said}");
    let said = validated(&[]);
    assert!(
        !said.contains(refusal) && said.contains("depends on its --dataset-root"),
        "{said}"
    );
    let said = validated(&["--dataset-root", &other.display().to_string()]);
    assert!(said.contains(refusal), "{said}");

    let (code, said) = once(&["--dataset-root", "/usr", "--dataset-root", &root]);
    assert_eq!(code, Some(0), "{said}");
    // What looks at the data directory knows what was named there.
    let mut plan = aurora();
    plan.arg("plan").arg("--repo").arg(ground.repository.path());
    plan.arg("--data-dir").arg(ground.data());
    let output = run(&mut plan);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));

    let (code, said) = once(&["--dataset-root", "/nowhere/at/all"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("cannot use /nowhere/at/all as a dataset root"),
        "{said}"
    );
}

/// A job that works for a while.
const LONG: &str = "\
apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata: { name: long }
spec:
  modelName: wine-quality
  version: v20261201-000000
  dataset: { uri: builtin:wine-quality }
  algorithm: gradient_boosting
  hyperparameters: { trees: 5000, max_leaves: 64, learning_rate: 0.001 }
  evaluation: { metric: r2, minimum: 0.0, holdout: { percent: 20, seed: 0 } }
";

fn open_files_max(process: u32) -> u64 {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).expect("its limits");
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok())
        .expect("a number")
}

#[test]
fn a_training_run_gets_named_variables_and_no_descriptor() {
    let ground = Ground::dev();
    let secret = tempfile::NamedTempFile::new().expect("a file");
    let opened = File::open(secret.path()).expect("opened");
    // A shell hands it on, as supervisors and builds do.
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -S -n 300; exec 9<&0; exec \"$@\" </dev/null", "sh"])
        .arg(env!("CARGO_BIN_EXE_aurora"))
        .args(["up", "--repo"])
        .arg(ground.repository.path())
        .arg("--data-dir")
        .arg(ground.data())
        .args(FREE_PORTS)
        .env("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
        .env("AURORA_REASON", "a setting of another command")
        .env("TZ", "Europe/Paris");
    let mut up = Up::watch_with(command, Stdio::from(opened.try_clone().expect("a copy")));
    assert!(opened.as_raw_fd() > 2);
    up.event("it is ready", |event| event["event"] == "ready");
    let id = up.id();
    assert!(
        fs::read_link(format!("/proc/{id}/fd/9")).is_ok_and(|file| file == secret.path()),
        "aurora itself inherited it"
    );
    ground.repository.write("environments/dev/long.yaml", LONG);
    ground.repository.commit("train for a while");
    let child = trainer(&up).as_raw_nonzero();
    let names = eventually("the trainer's variables", || {
        let variables = fs::read(format!("/proc/{child}/environ")).ok()?;
        let command = fs::read(format!("/proc/{child}/cmdline")).ok()?;
        (!variables.is_empty() && !command.is_empty()).then(|| {
            variables
                .split(|byte| *byte == 0)
                .filter(|variable| !variable.is_empty())
                .map(|variable| String::from_utf8_lossy(variable).into_owned())
                .collect::<Vec<_>>()
        })
    });
    assert!(names.contains(&"TZ=Europe/Paris".to_owned()), "{names:?}");
    for variable in &names {
        let name = variable.split('=').next().unwrap_or_default();
        let is_ours = name.starts_with("AURORA_LOG")
            || ["AURORA_TRAIN_PARENT", "AURORA_TRAIN_OPEN_FILES"].contains(&name);
        assert!(is_ours || !name.starts_with("AURORA_"), "{variable}");
        assert!(
            !name.starts_with("AWS_") && !name.starts_with("CARGO"),
            "{variable}"
        );
    }
    let open = fs::read_dir(format!("/proc/{child}/fd")).expect("it works");
    for descriptor in open.flatten() {
        let file = fs::read_link(descriptor.path()).unwrap_or_default();
        assert_ne!(file, secret.path(), "{descriptor:?}");
    }
    // The server raised its limit for its connections, and hands on the one that it was started with.
    assert!(open_files_max(id) > 300);
    eventually("it takes the limit back", || {
        (open_files_max(child.get().cast_unsigned()) == 300).then_some(())
    });
    assert!(up.stop().success());
}

#[test]
fn whose_a_data_directory_is_is_asked_by_every_command() {
    let ground = Ground::dev();
    let run_in = |words: &[&str]| {
        let mut command = aurora();
        command.args(words).arg("--data-dir").arg(ground.data());
        let output = run(command.current_dir(ground.repository.path()));
        (output.status.code(), text(&output))
    };
    let (code, said) = run_in(&["reconcile", "--once"]);
    assert_eq!(code, Some(0), "{said}");
    let commands: [&[&str]; 11] = [
        &["status"],
        &["plan"],
        &["validate"],
        &["model", "list"],
        &["model", "verify"],
        &["model", "gc"],
        &["model", "gc", "--dry-run"],
        &["rollout", "status"],
        &["rollout", "pause", "iris"],
        &["rollout", "resume", "iris"],
        &["rollout", "abort", "wine-quality"],
    ];
    for folder in ["", "objects", "commands", "registry"] {
        let path = ground.data().join(folder);
        let before = fs::metadata(&path).expect("a folder of ours").permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("it is ours");
        for words in commands {
            let (code, said) = run_in(words);
            assert_eq!(code, Some(2), "{folder}, {words:?}: {said}");
            assert!(
                said.contains("others may write in"),
                "{folder}, {words:?}: {said}"
            );
        }
        fs::set_permissions(&path, before).expect("it is ours");
    }
    let (_, said) = run_in(&["rollout", "status"]);
    assert!(!said.contains("paused"), "{said}");
    let (code, said) = run_in(&["model", "gc"]);
    assert_eq!(code, Some(0), "{said}");

    // A store that is made anew where others may write is theirs too.
    let store = ground.data().parent().expect("a folder").join("store");
    fs::create_dir(&store).expect("made");
    fs::set_permissions(&store, fs::Permissions::from_mode(0o777)).expect("it is ours");
    let output = run(aurora().args(["registry", "init", "--registry"]).arg(&store));
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert_eq!(fs::read_dir(&store).expect("it is there").count(), 0);
}

#[test]
fn a_repository_elsewhere_that_tracks_the_data_directory_is_refused() {
    let ground = Ground::dev();
    let run_beside = |words: &[&str]| {
        let mut command = aurora();
        command.args(words).arg("--repo").arg(ground.repository.path());
        let output = run(command.arg("--data-dir").arg(ground.data()));
        (output.status.code(), text(&output))
    };
    let (code, said) = run_beside(&["reconcile", "--once"]);
    assert_eq!(code, Some(0), "{said}");
    // Nothing around the data directory tells whose work tree it lies in.
    let around = ground.data().canonicalize().expect("it is there");
    let around = around.parent().expect("a folder");
    let git = git2::Repository::open(ground.repository.path()).expect("a repository");
    let mut config = git.config().expect("its configuration");
    config
        .set_str("core.worktree", &around.display().to_string())
        .expect("written");
    let git = git2::Repository::open(git.path()).expect("a repository");
    let file = ground.data().join("installation");
    let file = file.canonicalize().expect("it is there");
    let file = file.strip_prefix(around).expect("it lies there");
    let mut index = git.index().expect("an index");
    index.add_path(file).expect("it is there");
    index.write().expect("written");
    for words in [
        &["reconcile", "--once"][..],
        &["up", "--inference", "127.0.0.1:0"],
        &["plan"],
    ] {
        let (code, said) = run_beside(words);
        assert_eq!(code, Some(2), "{words:?}: {said}");
        assert!(
            said.contains(&format!("Git tracks {}", file.display())),
            "{words:?}: {said}"
        );
    }
}
