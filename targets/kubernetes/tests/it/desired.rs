//! What Git, a registry and an API server have for a reconciler: a repository with an environment, a store with versions, a
//! namespace.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kubernetes::leadership::Terms;
use kubernetes::reconcile::Options;
use planner::Timestamp;
use reconciler::source::Follow;
use registry::{DatasetRoots, Owner, Store};
use testkit::Namespace;

use crate::installed::{ENVIRONMENT, installed};
use crate::repository::{Repo, V1, V2, deployment, dev};
use crate::versions::draft;

/// What is waited for comes within this.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);

/// A repository, a registry and a namespace.
pub(crate) struct Desired {
    pub(crate) namespace: Namespace,
    pub(crate) repo: Repo,
    pub(crate) folder: tempfile::TempDir,
}

impl Desired {
    /// Makes one in the control plane that tests share, whose registry holds two versions of each model.
    pub(crate) async fn new(models: &[&str]) -> Option<Self> {
        Some(Self::of(installed().await?, models))
    }

    /// Makes one in a namespace.
    pub(crate) fn of(namespace: Namespace, models: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("registry");
        let mut repo = Repo::new();
        repo.write(
            "environments/dev/environment.yaml",
            &environment(&root, namespace.name(), "Correct"),
        );
        for model in models {
            repo.write(&file(model), &deployment(model, V1, None));
        }
        repo.commit("first");
        let store = Store::init(&root, &owner(), now()).unwrap();
        for model in models {
            for version in [V1, V2] {
                let draft = draft(&model.parse().unwrap(), &version.parse().unwrap(), None);
                store.publish(draft).unwrap();
            }
        }
        Self {
            namespace,
            repo,
            folder,
        }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("registry")
    }

    pub(crate) fn options(&self, identity: &str) -> Options {
        Options {
            repository: self.repo.repository(),
            follow: Follow::Branch("main".to_owned()),
            environment: dev(),
            namespace: self.namespace.name().to_owned(),
            data_dir: self.folder.path().join("data"),
            dataset_roots: DatasetRoots::default(),
            control_planes: std::sync::Arc::new(reconciler::Nobody),
            signing_key: None,
            identity: identity.to_owned(),
            installation: "another".to_owned(),
            terms: Terms::default(),
        }
    }
}

pub(crate) fn owner() -> Owner {
    Owner {
        environment: ENVIRONMENT.parse().unwrap(),
        installation: "test".to_owned(),
    }
}

pub(crate) fn now() -> Timestamp {
    std::time::SystemTime::now().into()
}

pub(crate) fn file(model: &str) -> String {
    format!("environments/dev/{model}.yaml")
}

pub(crate) fn environment(root: &Path, namespace: &str, drift: &str) -> String {
    format!(
        "apiVersion: aurora.io/v1alpha1
kind: MLEnvironment
metadata: {{ name: dev }}
spec:
  target: Kubernetes
  namespace: {namespace}
  drift: {drift}
  registry: {{ path: \"{}\" }}
",
        root.display()
    )
}

pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Tells a figure past the test harness, which would keep it to itself.
pub(crate) fn note(what: &str) {
    // A closed standard error is no reason to fail a test.
    drop(std::io::Write::write_all(
        &mut std::io::stderr(),
        format!("{what}\n").as_bytes(),
    ));
}
