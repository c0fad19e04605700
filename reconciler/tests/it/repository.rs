//! A repository to commit to, and manifests to commit.

use std::path::Path;

use git2::{IndexEntry, IndexTime, Oid, Repository, Signature, Time};
use planner::names::{EnvironmentName, Revision};

/// A repository on branch `main`, without a work tree's files: commits are made in its index.
pub(crate) struct Repo {
    folder: tempfile::TempDir,
    git: Repository,
    seconds: i64,
}

impl Repo {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = git2::RepositoryInitOptions::new();
        options.initial_head("main");
        let git = Repository::init_opts(folder.path(), &options).unwrap();
        Self {
            folder,
            git,
            seconds: 1_790_000_000,
        }
    }

    /// A repository whose first commit holds these files below `environments/dev/`, beside an MLEnvironment.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let mut repo = Self::new();
        repo.write("environments/dev/environment.yaml", ENVIRONMENT);
        for (path, content) in files {
            repo.write(&format!("environments/dev/{path}"), content);
        }
        repo.commit("first");
        repo
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The repository, read by a thread of this process.
    pub(crate) fn repository(&self) -> reconciler::source::Repository {
        at(self.path())
    }

    pub(crate) fn git(&self) -> &Repository {
        &self.git
    }

    pub(crate) fn write(&mut self, path: &str, content: &str) {
        self.entry(path.as_bytes(), 0o100_644, content.as_bytes());
    }

    /// Stages an entry of any mode.
    pub(crate) fn entry(&mut self, path: &[u8], mode: u32, content: &[u8]) {
        let id = self.git.blob(content).unwrap();
        self.entry_of(path, mode, id);
    }

    pub(crate) fn entry_of(&mut self, path: &[u8], mode: u32, id: Oid) {
        let mut index = self.git.index().unwrap();
        index
            .add(&IndexEntry {
                ctime: IndexTime::new(0, 0),
                mtime: IndexTime::new(0, 0),
                dev: 0,
                ino: 0,
                mode,
                uid: 0,
                gid: 0,
                file_size: 0,
                id,
                flags: 0,
                flags_extended: 0,
                path: path.to_vec(),
            })
            .unwrap();
        index.write().unwrap();
    }

    pub(crate) fn remove(&mut self, path: &str) {
        let mut index = self.git.index().unwrap();
        if index.get_path(Path::new(path), 0).is_some() {
            index.remove_path(Path::new(path)).unwrap();
        } else {
            index.remove_dir(Path::new(path), 0).unwrap();
        }
        index.write().unwrap();
    }

    /// Commits what is staged, a minute after the last commit.
    pub(crate) fn commit(&mut self, message: &str) -> Revision {
        let parent = self.git.refname_to_id("refs/heads/main").ok();
        self.commit_on(message, parent.as_slice())
    }

    pub(crate) fn commit_on(&mut self, message: &str, parents: &[Oid]) -> Revision {
        self.seconds += 60;
        let author = Signature::new("Test", "test@example.org", &Time::new(self.seconds, 0)).unwrap();
        let tree = self.git.index().unwrap().write_tree().unwrap();
        let tree = self.git.find_tree(tree).unwrap();
        let parents: Vec<_> = parents
            .iter()
            .map(|id| self.git.find_commit(*id).unwrap())
            .collect();
        let parents: Vec<_> = parents.iter().collect();
        let id = self
            .git
            .commit(None, &author, &author, message, &tree, &parents)
            .unwrap();
        self.git.reference("refs/heads/main", id, true, message).unwrap();
        revision(id)
    }

    /// Writes a file below `environments/dev/` and commits.
    pub(crate) fn change(&mut self, path: &str, content: &str) -> Revision {
        self.write(&format!("environments/dev/{path}"), content);
        self.commit(path)
    }

    /// Moves the branch to another commit, and the index with it.
    pub(crate) fn force(&mut self, to: &Revision) {
        let id = Oid::from_str(to.as_str()).unwrap();
        self.git.reference("refs/heads/main", id, true, "force").unwrap();
        let tree = self.git.find_commit(id).unwrap().tree().unwrap();
        let mut index = self.git.index().unwrap();
        index.read_tree(&tree).unwrap();
        index.write().unwrap();
    }
}

/// Says whether there is a `git` to ask; without one, past the test harness, that a test is skipped: `.ci/run` lists it.
pub(crate) fn has_git() -> bool {
    let is_there = std::process::Command::new("git")
        .arg("--version")
        .output()
        .is_ok();
    if !is_there {
        let line = b"skipped: a test of what Git itself does; it needs the command git\n";
        std::io::Write::write_all(&mut std::io::stderr(), line).unwrap();
    }
    is_there
}

/// What lies at a path, read by a thread of this process.
pub(crate) fn at(path: &Path) -> reconciler::source::Repository {
    reconciler::source::Repository {
        path: path.to_owned(),
        reader: reconciler::source::Reader::Thread,
        remote: None,
    }
}

pub(crate) fn revision(id: Oid) -> Revision {
    id.to_string().parse().unwrap()
}

pub(crate) fn dev() -> EnvironmentName {
    "dev".parse().unwrap()
}

pub(crate) const ENVIRONMENT: &str = "\
apiVersion: aurora.io/v1alpha1
kind: MLEnvironment
metadata: { name: dev }
spec: { target: Standalone }
";

pub(crate) const V1: &str = "v20261101-120000";
pub(crate) const V2: &str = "v20261120-093000";

/// An MLDeployment named as its model. `canary`: a version and its weight.
pub(crate) fn deployment(model: &str, stable: &str, canary: Option<(&str, u8)>) -> String {
    let canary = canary.map_or(String::new(), |(version, weight)| {
        format!("  canary: {{ version: {version}, weight: {weight} }}\n")
    });
    format!(
        "apiVersion: aurora.io/v1alpha1
kind: MLDeployment
metadata: {{ name: {model} }}
spec:
  modelName: {model}
  stable: {{ version: {stable} }}
{canary}"
    )
}

/// An MLTrainingJob of a fixed version, named `<model>-<version>`.
pub(crate) fn training(model: &str, version: &str, dataset: &str) -> String {
    let name = version.trim_start_matches('v');
    format!(
        "apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata: {{ name: {model}-{name} }}
spec:
  modelName: {model}
  version: {version}
  dataset: {{ uri: \"{dataset}\"{} }}
  algorithm: linear_regression
  evaluation: {{ metric: r2, minimum: 0.1, holdout: {{ percent: 20, seed: 0 }} }}
",
        if dataset.contains(':') {
            ""
        } else {
            ", target: { column: quality }"
        }
    )
}
