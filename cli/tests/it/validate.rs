//! `aurora validate`: what is committed, what lies in the work tree, and what data files lack.

use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::harness::{Repository, aurora, copy, root, run, text};

const IRIS: &str = "environments/dev/iris.yaml";

/// Returns the exit code, what was said, and the environment's part of the JSON form.
fn validate(repository: &Repository, flags: &[&str]) -> (Option<i32>, String, Value) {
    let mut command = aurora();
    command
        .args(["validate", "--data-dir", "none", "--repo"])
        .arg(repository.path())
        .args(flags);
    let output = run(&mut command);
    let json = run(command.args(["--output", "json"]));
    assert_eq!(output.status.code(), json.status.code());
    let json: Value = serde_json::from_slice(&json.stdout).unwrap_or_default();
    (output.status.code(), text(&output), json[0].clone())
}

/// Every environment that people copy is sound, and is the one that its overlay of `deploy/` installs.
#[test]
fn the_environments_of_this_repository_are_sound() {
    let repository = Repository::empty();
    copy(&root().join("environments"), &repository.file("environments"));
    repository.commit("declare all");
    for environment in ["dev", "staging", "prod"] {
        let (code, said, json) = validate(&repository, &["--environment", environment]);
        assert_eq!(code, Some(0), "{environment}: {said}");
        assert_eq!(json["environment"], environment, "{json}");
        let overlay = root().join("deploy/overlays").join(environment);
        if let Ok(overlay) = std::fs::read_to_string(overlay.join("kustomization.yaml")) {
            let namespace = format!("namespace: aurora-{environment}\n");
            assert!(overlay.contains(&namespace), "{overlay}");
            let declared = repository.read(&format!("environments/{environment}/environment.yaml"));
            assert!(declared.contains(namespace.trim_end()), "{declared}");
        }
    }
}

/// A job that trains on a file.
fn job(name: &str, uri: &str, features: &str, target: &str) -> String {
    format!(
        "---\napiVersion: aurora.io/v1alpha1\nkind: MLTrainingJob\nmetadata: {{ name: {name} }}\nspec:\n  modelName: {name}\n\
         \x20 dataset:\n    uri: {uri}\n    features: [ {features} ]\n    target: {{ column: {target} }}\n\
         \x20 algorithm: linear_regression\n  evaluation: {{ metric: r2 }}\n"
    )
}

#[test]
fn the_work_tree_is_read_where_that_is_asked_for_and_said_to_be_unread_where_not() {
    let repository = Repository::dev();
    let (code, said, json) = validate(&repository, &[]);
    assert_eq!((code, said.contains("uncommitted")), (Some(0), false), "{said}");
    assert_eq!(json["uncommitted_files"], 0);

    let broken = repository
        .read(IRIS)
        .replace("algorithm: logistic_regression", "algorithm: guessing");
    repository.write(IRIS, broken);
    repository.write("environments/dev/more/new.yaml", "a: [\n");
    let (code, said, json) = validate(&repository, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("2 uncommitted files below environments/ were not read; --worktree reads them"),
        "{said}"
    );
    assert_eq!(
        (&json["worktree"], &json["uncommitted_files"]),
        (&false.into(), &2.into())
    );

    let index = std::fs::read(repository.file(".git/index")).unwrap();
    let objects = objects(&repository);
    let (code, said, json) = validate(&repository, &["--worktree"]);
    assert_eq!(code, Some(1), "{said}");
    for words in [
        "dev in the work tree: 2 findings",
        "environments/dev/iris.yaml:",
        "guessing",
        "environments/dev/more/new.yaml:1:4",
    ] {
        assert!(said.contains(words), "{words:?} is missing in: {said}");
    }
    assert_eq!(
        (&json["worktree"], &json["revision"]),
        (&true.into(), &Value::Null)
    );
    assert_eq!(std::fs::read(repository.file(".git/index")).unwrap(), index);
    assert_eq!(
        self::objects(&repository),
        objects,
        "nothing is written into the repository"
    );

    // The commit that was spoken of says the same.
    repository.commit("as it lay there");
    let (code, committed, _) = validate(&repository, &[]);
    assert_eq!(code, Some(1));
    let findings = |said: &str| {
        said.lines()
            .filter(|line| !line.starts_with("dev "))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(findings(&committed), findings(&said));
}

fn objects(repository: &Repository) -> usize {
    let folder = repository.file(".git/objects");
    let folders = std::fs::read_dir(folder).unwrap().flatten();
    folders
        .map(|folder| std::fs::read_dir(folder.path()).unwrap().count())
        .sum()
}

#[test]
fn the_work_tree_is_what_git_would_commit() {
    let repository = Repository::dev();
    repository.write(".gitignore", "*.ignored.yaml\n");
    repository.write("environments/dev/a.ignored.yaml", "a: [\n");
    repository.write("environments/dev/notes.txt", "no manifest");
    std::fs::remove_file(repository.file(IRIS)).unwrap();
    let (code, said, _) = validate(&repository, &["--worktree"]);
    assert_eq!(code, Some(0), "an ignored file is none: {said}");

    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "secret: [\n").unwrap();
    symlink(secret.path(), repository.file("environments/dev/link.yaml")).unwrap();
    repository.write("environments/dev/large.yaml", "#".repeat((1 << 20) + 1));
    let folder = secret.path().parent().unwrap();
    symlink(folder, repository.file("environments/dev/folder")).unwrap();
    let name = secret.path().file_name().unwrap().to_str().unwrap();
    repository.write(
        "environments/dev/job.yaml",
        job("j", &format!("folder/{name}"), "{ name: x, column: x }", "target"),
    );
    let (code, said, _) = validate(&repository, &["--worktree"]);
    assert_eq!(code, Some(1));
    for words in [
        "link.yaml: UnsupportedEntry: is a symbolic link",
        "environments/dev/folder: UnsupportedEntry: is a symbolic link",
        "large.yaml",
        "1048577 bytes",
        "is not in the commit",
    ] {
        assert!(said.contains(words), "{words:?} is missing in: {said}");
    }
    assert!(!said.contains("secret"), "{said}");
}

#[test]
fn a_work_tree_without_any_commit_can_be_checked() {
    let repository = Repository::empty();
    let (code, said, _) = validate(&repository, &[]);
    assert_eq!(code, Some(2));
    assert!(
        said.contains("has no commit yet; commit the environments folder"),
        "{said}"
    );
    repository.write(
        "environments/dev/environment.yaml",
        "apiVersion: aurora.io/v1alpha1\nkind: MLEnvironment\nmetadata: { name: dev }\nspec: { target: Standalone }\n",
    );
    let (code, said, _) = validate(&repository, &["--worktree"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("dev in the work tree: no finding"), "{said}");
    // What is asked for is one or the other.
    let (code, ..) = validate(&repository, &["--worktree", "--revision", "main"]);
    assert_eq!(code, Some(2));
}

#[test]
fn columns_that_a_data_file_lacks_are_named_with_the_nearest() {
    let repository = Repository::dev();
    repository.write(
        "environments/dev/data/h.csv",
        "\"rooms\nall\", area_m2,price_eur\n1,2,3\nnot read: \"\n",
    );
    let features = "{ name: area, column: area_m2 }, { name: x, ratio: [ area_m2, Area ] }";
    repository.write(
        "environments/dev/jobs.yaml",
        job(
            "fits",
            "data/h.csv",
            "{ name: area, column: area_m2 }",
            "price_eur",
        ) + &job("lacks", "data/h.csv", features, "price"),
    );
    let expected = "environments/dev/jobs.yaml:21:79: DatasetUnusable: MLTrainingJob/lacks: spec.dataset.features[1].ratio[1]: data/h.csv has no column \"Area\"\n  \
         hint: the nearest of its 3 columns: area_m2, price_eur, rooms\\nall\n\
         environments/dev/jobs.yaml:22:23: DatasetUnusable: MLTrainingJob/lacks: spec.dataset.target.column: data/h.csv has no column \"price\"\n  \
         hint: the nearest of its 3 columns: price_eur, area_m2, rooms\\nall\n";
    let (code, said, _) = validate(&repository, &["--worktree"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.starts_with(expected), "{said}");
    repository.commit("a job with wrong columns");
    let (code, said, _) = validate(&repository, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.starts_with(expected), "{said}");
}

/// The smallest file of a zone: an hour ahead of UTC for ever.
fn an_hour_ahead() -> Vec<u8> {
    let block = |end: &[u8]| {
        // No leap seconds, transitions or indicators; one type, and four characters of abbreviation.
        let counts = [0_u32, 0, 0, 0, 1, 4].map(u32::to_be_bytes).concat();
        [
            b"TZif2",
            &[0; 15][..],
            &counts,
            &3_600_i32.to_be_bytes(),
            &[0, 0],
            b"TST\0",
            end,
        ]
        .concat()
    };
    [block(b""), block(b"\nTST-1\n")].concat()
}

#[test]
fn a_time_zone_that_only_this_machine_has_is_one() {
    let zones = tempfile::TempDir::new().unwrap();
    std::fs::create_dir(zones.path().join("Mars")).unwrap();
    std::fs::write(zones.path().join("Mars/Olympus"), an_hour_ahead()).unwrap();
    let repository = Repository::dev();
    repository.write(
        "environments/dev/nightly.yaml",
        "apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata: { name: nightly }
spec:
  modelName: nightly
  schedule: { cron: '0 3 * * *', timeZone: Mars/Olympus }
  dataset: { uri: 'builtin:iris' }
  algorithm: logistic_regression
  evaluation: { metric: accuracy }
",
    );
    repository.commit("a job of Mars");
    let validate = |folder: &std::path::Path| {
        let mut command = aurora();
        command.args(["validate", "--repo"]).arg(repository.path());
        let output = run(command.env("TZDIR", folder));
        (output.status.code(), text(&output))
    };
    let (code, said) = validate(zones.path());
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = validate(&zones.path().join("Mars"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("\"Mars/Olympus\" is no IANA time zone"), "{said}");
}
