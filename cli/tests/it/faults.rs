//! `tests/bad-commits`: each fault is one commit on a running `up`. What served serves, other models go on, nothing is
//! removed, and both `up` and `aurora validate` say what the folder's `expected.txt` says.

#[path = "../../../tests/bad-commits/fixture.rs"]
mod fixture;

use std::path::Path;

use git2::{IndexEntry, IndexTime, Oid};
use serde_json::{Value, json};

use self::fixture::{Entry, Fault, Level, Tree, example, faults};
use crate::harness::{Ground, Repository, Up, aurora, eventually, get, run, text};

const IRIS: &str = "environments/dev/iris.yaml";
const STABLE: &str = "v20261101-120000";
const CANARY: &str = "v20261120-093000";
/// How many requests are sent while a fault stands.
const REQUESTS: usize = 60;

/// The example's iris with a second version as canary, whose weight shows that a commit was applied.
fn iris(example: &Tree, weight: usize) -> Entry {
    let Some(Entry::File(bytes)) = example.get(IRIS) else {
        panic!("the example has {IRIS}")
    };
    let text = String::from_utf8_lossy(bytes);
    let jobs = text
        .split("---\n")
        .find(|document| document.contains("kind: MLTrainingJob"));
    let first = jobs.expect("the example trains iris").trim_end().to_owned();
    let second = first
        .replace("name: iris", "name: iris-2")
        .replace(STABLE, CANARY)
        .replace(
            "algorithm: logistic_regression",
            "algorithm: logistic_regression\n  hyperparameters: { l2: 3 }",
        );
    Entry::File(
        format!(
            "{first}\n---\n{second}\n---\napiVersion: aurora.io/v1alpha1\nkind: MLDeployment\nmetadata: {{ name: iris }}\n\
             spec:\n  modelName: iris\n  stable: {{ version: {STABLE} }}\n  canary: {{ version: {CANARY}, weight: {weight} }}\n"
        )
        .into_bytes(),
    )
}

/// Makes `tree` the branch's next commit, whatever the work tree holds.
fn commit(repository: &Repository, tree: &Tree, message: &str) -> Oid {
    let mut index = repository.git().index().expect("an index");
    index.clear().expect("an empty index");
    for (path, entry) in tree {
        let (mode, content) = match entry {
            Entry::File(bytes) => (0o100_644, bytes.clone()),
            Entry::Symlink(target) => (0o120_000, target.clone().into_bytes()),
            Entry::Submodule => (0o160_000, Vec::new()),
        };
        let time = IndexTime::new(0, 0);
        let mut entry = IndexEntry {
            ctime: time,
            mtime: time,
            dev: 0,
            ino: 0,
            mode,
            uid: 0,
            gid: 0,
            file_size: 0,
            // A submodule is the id of a commit elsewhere.
            id: Oid::from_str(&"1".repeat(40)).expect("an id"),
            flags: 0,
            flags_extended: 0,
            path: path.clone().into_bytes(),
        };
        if mode != 0o160_000 {
            entry.id = repository.git().blob(&content).expect("a blob");
        }
        index.add(&entry).expect("an entry");
    }
    repository.commit_index(&mut index, message)
}

/// Returns the environment's status once `up` has looked at `commit` and `settled` says that it is done with it.
fn status(up: &Up, commit: Oid, what: &str, settled: impl Fn(&Value) -> bool) -> Value {
    eventually(&format!("{what}: up has dealt with {commit}"), || {
        let status = up.status();
        (status["environment"]["status"]["attemptedRevision"] == commit.to_string() && settled(&status))
            .then_some(status)
    })
}

fn deployment<'a>(status: &'a Value, name: &str) -> &'a Value {
    let deployments = status["deployments"].as_array().expect("a list");
    deployments
        .iter()
        .find(|deployment| deployment["metadata"]["name"] == name)
        .unwrap_or_else(|| panic!("{name} is deployed: {status:#}"))
}

/// Renders the findings of a status as `aurora validate` prints them.
fn findings(status: &Value) -> String {
    let findings = status["environment"]["status"]["findings"].as_array().cloned();
    let lines = findings.unwrap_or_default().into_iter().map(|finding| {
        let part = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
        let place = [part("location"), part("reason"), part("subject"), part("message")];
        let place: Vec<_> = place.into_iter().filter(|part| !part.is_empty()).collect();
        match part("hint") {
            hint if hint.is_empty() => format!("{}\n", place.join(": ")),
            hint => format!("{}\n  hint: {hint}\n", place.join(": ")),
        }
    });
    lines.collect()
}

/// Runs `aurora validate` and returns its findings, without the verdict at the end.
fn validate(repository: &Path, data: &Path) -> String {
    let output = run(aurora()
        .args(["validate", "--environment", "dev", "--repo"])
        .arg(repository)
        .arg("--data-dir")
        .arg(data));
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let (findings, _verdict) = said
        .split_once("dev at ")
        .unwrap_or_else(|| panic!("no verdict: {said}"));
    findings.to_owned()
}

fn versions(status: &Value, name: &str) -> [Value; 2] {
    let status = &deployment(status, name)["status"];
    [
        status["stable"]["version"].clone(),
        status["canary"]["version"].clone(),
    ]
}

#[test]
fn a_bad_commit_stops_its_own_model_and_nothing_else() {
    let ground = Ground::dev();
    let up = ground.up();
    let example = example();
    let metadata = get(up.control_plane, &format!("/models/wine-quality/{STABLE}")).json();
    let body = json!({ "rows": [metadata["example"]["row"]] }).to_string();
    let digest = metadata["artifact"]["digest"]
        .as_str()
        .expect("a digest")
        .to_owned();

    let mut weight = 1;
    let mut good = example.clone();
    good.insert(IRIS.to_owned(), iris(&example, weight));
    let head = commit(&ground.repository, &good, "iris gets a canary");
    status(&up, head, "the ground", |status| {
        deployment(status, "iris")["status"]["weight"] == weight && findings(status).is_empty()
    });

    for fault in faults() {
        let Fault { name, .. } = &fault;
        // The bad commit also raises the weight of iris, unless it takes iris away.
        let mut bad = good.clone();
        bad.insert(IRIS.to_owned(), iris(&example, weight + 1));
        fault.apply(&mut bad);
        let touches_iris = bad.get(IRIS) != Some(&iris(&example, weight + 1));
        let expected = if touches_iris { weight } else { weight + 1 };
        let head = commit(&ground.repository, &bad, name);
        let seen = status(&up, head, name, |status| {
            !findings(status).is_empty() && deployment(status, "iris")["status"]["weight"] == expected
        });

        // What served serves.
        for _ in 0..REQUESTS {
            let answer = up.predict("wine-quality", &[("aurora-track", "stable")], &body);
            assert_eq!(
                (answer.status, answer.version()),
                (200, STABLE),
                "{name}: {answer:?}"
            );
        }
        let canary = (0..REQUESTS)
            .map(|_| up.predict("wine-quality", &[], &body))
            .inspect(|answer| assert_eq!(answer.status, 200, "{name}: {answer:?}"))
            .filter(|answer| answer.version() == CANARY)
            .count();
        assert!(
            (4..=8).contains(&canary),
            "{name}: {canary} of {REQUESTS} at weight 10"
        );

        // Nothing is removed.
        for model in ["wine-quality", "iris"] {
            assert_eq!(versions(&seen, model), [STABLE, CANARY], "{name}: {seen:#}");
        }

        // A commit's id depends on the clock, an artifact's digest on the processor.
        let same = |text: &str| {
            text.replace(&head.to_string()[..10], "REVISION")
                .replace(&digest, "sha256:DIGEST")
        };
        // Both say the same, and it is what the folder says.
        let validated = same(&validate(ground.repository.path(), &ground.data()));
        let reported = same(&findings(&seen));
        assert_eq!(reported, validated, "{name}: up and validate differ");
        // A fault in a file's text is written down where the files are parsed.
        match fault.level {
            Level::File => {
                let golden = std::fs::read_to_string(&fault.expected).expect("expected.txt");
                assert_eq!(validated.trim_end(), golden.trim_end(), "{name}");
            }
            Level::Repository => expect_test::expect_file![&fault.expected].assert_eq(&validated),
        }

        weight += 1;
        good.insert(IRIS.to_owned(), iris(&example, weight));
        let head = commit(&ground.repository, &good, "good again");
        status(&up, head, name, |status| {
            findings(status).is_empty() && deployment(status, "iris")["status"]["weight"] == weight
        });
    }
    assert!(up.stop().success());
}
