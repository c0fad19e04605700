//! A repository of one's own, from `aurora init` to a canary that is promoted and rolled back.

mod page;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde_json::Value;

use crate::harness::{Up, aurora, eventually, run, text};

/// Rows of houses, in which the price is what the size says.
fn houses() -> String {
    let row = |n: u32| {
        let size = 40 + n * 7 % 160;
        format!(
            "{size},{},town-{},{}\n",
            1900 + n * 13 % 120,
            n % 5,
            size * 3 + n % 2
        )
    };
    let rows: Vec<String> = (0..200).map(row).collect();
    format!("size,year,town,price\n{}", rows.concat())
}

/// Runs a command in a folder as somebody with a name does.
fn words(folder: &Path, words: &[&str]) -> (Option<i32>, String) {
    let mut command = aurora();
    command.current_dir(folder).args(words);
    for role in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{role}_NAME"), "Ada")
            .env(format!("GIT_{role}_EMAIL"), "ada@example.org");
    }
    let output = run(&mut command);
    (output.status.code(), text(&output))
}

fn done(folder: &Path, line: &[&str]) -> String {
    let (code, said) = words(folder, line);
    assert_eq!(code, Some(0), "{line:?}: {said}");
    said
}

/// Waits until the status of the model is as somebody wants it.
fn served(up: &Up, what: &str, wanted: impl Fn(&Value) -> bool) {
    eventually(what, || {
        let status = up.status();
        wanted(&status["deployments"][0]).then_some(())
    });
}

#[test]
fn a_file_becomes_a_model_that_is_tried_promoted_and_rolled_back() {
    let ground = tempfile::tempdir().unwrap();
    fs::write(ground.path().join("Houses 2026.csv"), houses()).unwrap();
    let said = done(
        ground.path(),
        &["init", "Houses 2026.csv", "--target", "price", "--folder", "mine"],
    );
    assert!(said.contains("next: cd mine && aurora up"), "{said}");
    let folder = ground.path().join("mine");
    done(&folder, &["validate"]);
    let up = Up::ready(&folder, &folder.join(".aurora"));
    let answer = up.predict("houses-2026", &[], r#"{"rows":[{"size":100,"year":2000}]}"#);
    assert_eq!(answer.status, 200, "{answer:?}");
    let price = answer.json()["predictions"][0].as_f64().unwrap();
    assert!((250.0..350.0).contains(&price), "{price}");
    let first = answer.version().to_owned();

    // Another version, by hand, then as a canary.
    let file = folder.join("environments/dev/houses-2026.yaml");
    let manifest = fs::read_to_string(&file).unwrap();
    let (job, deployment) = manifest.split_once("---\n").unwrap();
    let second = "v20270101-000000";
    let another = job
        .replace(&first, second)
        .replace("name: houses-2026 }", "name: houses-2026-b }")
        .replace("seed: 0\n", "hyperparameters: { learning_rate: 0.05 }\n");
    fs::write(&file, format!("{job}---\n{another}---\n{deployment}")).unwrap();
    done(&folder, &["validate", "--worktree"]);
    let repository = git2::Repository::open(&folder).unwrap();
    let mut index = repository.index().unwrap();
    index
        .add_path(Path::new("environments/dev/houses-2026.yaml"))
        .unwrap();
    index.write().unwrap();
    let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
    let parent = repository.head().unwrap().peel_to_commit().unwrap();
    repository
        .commit(
            Some("HEAD"),
            &parent.author(),
            &parent.author(),
            "train another",
            &tree,
            &[&parent],
        )
        .unwrap();
    let edit = |words: &[&str]| done(&folder, &[words, &["houses-2026", "--branch", "main"]].concat());
    let pin = [
        "pin",
        "houses-2026",
        second,
        "--track",
        "canary",
        "--weight",
        "10",
        "--branch",
        "main",
    ];
    done(&folder, &pin);
    served(&up, "the canary has its share", |model| {
        model["status"]["weight"] == 10
    });
    edit(&["promote"]);
    served(&up, "the canary is stable", |model| {
        model["status"]["stable"]["version"] == second && model["status"]["canary"].is_null()
    });
    edit(&["rollback"]);
    served(&up, "the first version is back", |model| {
        model["status"]["stable"]["version"] == first.as_str()
    });
    let manifest = fs::read_to_string(&file).unwrap();
    assert!(manifest.contains(&format!("rejected: [{second}]")), "{manifest}");
    assert!(done(&folder, &["status", "--wait", "--revision", "HEAD"]).contains("houses-2026"));
}

#[test]
fn without_data_there_are_flowers_and_nothing_of_anybodys_is_replaced() {
    let ground = tempfile::tempdir().unwrap();
    done(ground.path(), &["init"]);
    assert!(ground.path().join(".git").is_dir());
    done(ground.path(), &["validate"]);
    for program in [".github/actions/plan/plan.sh", ".github/runner/job-started"] {
        let mode = fs::metadata(ground.path().join(program)).unwrap().mode();
        assert_ne!(mode & 0o100, 0, "{program} can be run");
    }
    let refused = |line: &[&str], why: &str| {
        let (code, said) = words(ground.path(), line);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(why), "{said}");
    };
    refused(&["init"], "is there already, and nothing was written");
    fs::write(ground.path().join("a.csv"), houses()).unwrap();
    fs::write(ground.path().join("b.csv"), "a;b\n1;2\n").unwrap();
    refused(
        &["init", "a.csv", "--folder", "a"],
        "name it with --target: size, year, town, price",
    );
    refused(
        &["init", "a.csv", "--folder", "a", "--target", "prize"],
        "the file has no column prize",
    );
    refused(
        &["init", "b.csv", "--folder", "a", "--target", "b"],
        "separate the cells by commas",
    );
    refused(&["init", "c.csv", "--folder", "a", "--target", "b"], "c.csv");
    assert!(!ground.path().join("a").exists());

    // In a repository that is there, its files stay and nothing is committed.
    let other = tempfile::tempdir().unwrap();
    git2::Repository::init(other.path()).unwrap();
    fs::create_dir_all(other.path().join(".github/workflows")).unwrap();
    let theirs = ["README.md", ".github/workflows/plan.yml"];
    for file in theirs {
        fs::write(other.path().join(file), "mine").unwrap();
    }
    let said = done(other.path(), &["init"]);
    assert!(said.contains("commit the files"), "{said}");
    for file in theirs {
        assert_eq!(fs::read_to_string(other.path().join(file)).unwrap(), "mine");
        assert!(
            said.contains(&format!("{file} was there and stays as it is")),
            "{said}"
        );
    }
    done(other.path(), &["validate", "--worktree"]);

    // Where a folder is needed and somebody has a file, nothing is begun.
    let file = tempfile::tempdir().unwrap();
    fs::write(file.path().join(".github"), "mine").unwrap();
    let (code, said) = words(file.path(), &["init"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("no folder, and nothing was written"), "{said}");
    assert_eq!(fs::read_dir(file.path()).unwrap().count(), 1);
}
