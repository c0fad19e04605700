//! A data directory that the release before wrote (`cli/tests/release-before`): it is opened and converges, and what
//! that release would read of it afterwards still holds aborts and pins.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use git2::{Oid, Signature, Time};
use serde_json::Value;

use crate::harness::{aurora, root, run, text};

/// The last of the commits that it had applied.
const APPLIED: &str = "f64fea314b35780a1d4df7fbc787bee236bc67bd";
/// Of the canary that was aborted, v20261103-120000.
const ABORTED: &str = "sha256:f613028da67626fabb0a8a373ea99f7a222d8fa695f6ade0e2790e453ec02d49";
/// Of what is stable, v20261102-120000.
const STABLE: &str = "sha256:f459a8977adf428d5fee0169723e8b4c2ec2c98820731022b6567fc1f89bc075";
/// Of v20261101-120000, which was stable before.
const FORMER: &str = "sha256:bfe5878e941176308602eefe7f83f2c534ade09989e8228fbe00219caa8310d6";

/// The commits and the data directory, as that release left them.
struct Before {
    folder: tempfile::TempDir,
}

impl Before {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        copy(&fixture().join("data"), &folder.path().join("data"));
        let before = Self { folder };
        git2::Repository::init_opts(
            before.repository(),
            git2::RepositoryInitOptions::new().initial_head("main"),
        )
        .expect("a repository");
        let environment = read(&fixture().join("environment.yaml"));
        before.write("environment.yaml", &environment);
        let mut head = None;
        for (n, message) in (1..).zip(["a canary", "promoted", "another canary"]) {
            before.write("iris.yaml", &read(&fixture().join(format!("iris-{n}.yaml"))));
            head = Some(before.commit(message, 19 + n));
        }
        assert_eq!(head.map(|head| head.to_string()).as_deref(), Some(APPLIED));
        before
    }

    fn repository(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    fn data(&self, path: &str) -> PathBuf {
        self.folder.path().join("data").join(path)
    }

    fn write(&self, name: &str, content: &str) {
        let folder = self.repository().join("environments/dev");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(name), content).expect("a file");
    }

    /// Commits at ten o'clock of a day of November 2026.
    fn commit(&self, message: &str, day: i64) -> Oid {
        let git = git2::Repository::open(self.repository()).expect("the repository");
        let mut index = git.index().expect("an index");
        let all = ["environments"].iter();
        index
            .add_all(all, git2::IndexAddOption::DEFAULT, None)
            .expect("added");
        index.write().expect("written");
        let tree = index.write_tree().expect("a tree");
        let tree = git.find_tree(tree).expect("a tree");
        // 2026-11-01T10:00:00Z
        let time = Time::new(1_793_527_200 + (day - 1) * 86_400, 0);
        let author = Signature::new("t", "t@example.org", &time).expect("an author");
        let parent = git
            .head()
            .ok()
            .map(|head| head.peel_to_commit().expect("a commit"));
        let parents: Vec<_> = parent.iter().collect();
        let message = format!("{message}\n");
        git.commit(Some("HEAD"), &author, &author, &message, &tree, &parents)
            .expect("a commit")
    }

    /// Converges, and says what the report names as applied.
    fn reconcile(&self) -> String {
        let mut command = aurora();
        command
            .args(["reconcile", "--once", "--repo"])
            .arg(self.repository());
        command.arg("--data-dir").arg(self.data(""));
        let output = run(&mut command);
        assert!(output.status.success(), "{}", text(&output));
        let status = self.json("status/MLEnvironment/dev.json");
        status["appliedRevision"].as_str().unwrap_or_default().to_owned()
    }

    fn json(&self, path: &str) -> Value {
        serde_json::from_str(&read(&self.data(path))).expect("JSON")
    }

    fn history(&self) -> String {
        read(&self.data("registry/aurora/iris/history.jsonl"))
    }

    /// What is decided by of the deployment: stable's and the canary's digest, the abort on the object, that in the
    /// status, and the format of the memory that it stands in.
    fn decided(&self) -> [Value; 5] {
        let object = self.json("objects/MLDeployment/iris.json");
        let memory = self.json("status/MLDeployment/iris.json")["memory"].clone();
        [
            object["spec"]["stable"]["digest"].clone(),
            object["spec"]["canary"]["digest"].clone(),
            object["metadata"]["annotations"]["aurora.io/abort"].clone(),
            memory["state"]["Aborted"]["digest"].clone(),
            memory["format"].clone(),
        ]
    }
}

fn fixture() -> PathBuf {
    root().join("cli/tests/release-before")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            copy(&entry.path(), &to);
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path()).expect("a link"), to).expect("a link");
        } else {
            fs::copy(entry.path(), to).expect("a file");
        }
    }
}

/// What a program of before takes from `history.jsonl`, the one file that it reads: the newest digest of each version,
/// and the canary's aborts since its alias moved.
fn as_before(history: &str) -> (Vec<(String, String)>, Vec<String>) {
    let mut digests = std::collections::BTreeMap::new();
    let mut aborted = Vec::new();
    for line in history.lines() {
        let entry: Value = serde_json::from_str(line).expect("an entry");
        let text = |key: &str| entry[key].as_str().map(str::to_owned);
        if let (Some(version), Some(digest)) = (text("to").or(text("from")), text("digest")) {
            digests.insert(version, digest);
        }
        match entry["event"].as_str() {
            Some("aborted") => aborted.extend(text("digest")),
            _ if entry["alias"] == "canary" => aborted.clear(),
            _ => {}
        }
    }
    (digests.into_iter().collect(), aborted)
}

#[test]
fn a_data_directory_of_the_release_before_converges_and_can_go_back() {
    let before = Before::new();
    let run_of =
        |version: &str| read(&before.data(&format!("registry/aurora/iris/runs/{version}/result.json")));
    let runs = ["v20261101-120000", "v20261102-120000", "v20261103-120000"].map(run_of);
    let history = before.history();
    let decided = [STABLE, ABORTED, ABORTED, ABORTED].map(Value::from);
    assert_eq!(before.decided()[..4], decided);

    assert_eq!(before.reconcile(), APPLIED);
    assert_eq!(before.decided()[..4], decided);
    assert_eq!(before.decided()[4], 1);
    assert_eq!(before.history(), history, "nothing has happened");
    assert_eq!(
        ["v20261101-120000", "v20261102-120000", "v20261103-120000"].map(run_of),
        runs,
        "nothing was trained again"
    );
    let mut verify = aurora();
    verify
        .args(["model", "verify", "--data-dir"])
        .arg(before.data(""));
    let output = run(&mut verify);
    assert!(output.status.success(), "{}", text(&output));

    // After a year of moves, the next one closes the history; what a program of before reads says the same.
    let moves: Vec<&str> = history.lines().filter(|line| line.contains("stable")).collect();
    let year = format!("{}\n", moves.join("\n")).repeat(500) + &history;
    fs::write(before.data("registry/aurora/iris/history.jsonl"), &year).expect("a history");
    let back = read(&fixture().join("iris-3.yaml"))
        .replace("stable: { version: v20261102", "stable: { version: v20261101");
    before.write("iris.yaml", &back);
    let head = before.commit("back", 24);
    assert_eq!(before.reconcile(), head.to_string());
    let short = before.history();
    assert!(short.len() < 4_000, "{short}");
    assert_eq!(read(&before.data("registry/aurora/iris/history-1.jsonl")), year);
    let (digests, aborted) = as_before(&short);
    assert_eq!((digests, aborted), as_before(&year));
    assert_eq!(as_before(&short).1, [ABORTED]);
    assert_eq!(
        before.decided()[..4],
        [FORMER, ABORTED, ABORTED, ABORTED].map(Value::from)
    );
}
