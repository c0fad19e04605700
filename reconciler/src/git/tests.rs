//! What becomes of a commit over which the reader of Git panics.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use git2::{IndexEntry, IndexTime, Oid, RepositoryInitOptions, Signature};
use registry::{Observer, Owner, Store};

use crate::objects::{MemoryStore, ObjectStore as _};
use crate::source::protocol::Request;
use crate::source::{GitHash, Reader, Repository, Source};
use crate::{Beat, Reconciler};

const ENVIRONMENT: &str = "\
apiVersion: aurora.io/v1alpha1
kind: MLEnvironment
metadata: { name: dev }
spec: { target: Standalone }
";

/// The commits whose folders are not read without a panic.
static STRUCK: Mutex<Vec<GitHash>> = Mutex::new(Vec::new());

/// Panics where a test said so.
pub(super) fn strike(request: &Request) {
    if let Request::Folder { commit, .. } = request {
        let is_struck = STRUCK
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(commit);
        assert!(!is_struck, "struck");
    }
}

fn set_struck(commits: &[Oid]) {
    let commits = commits.iter().map(|id| id.to_string().parse().unwrap());
    *STRUCK.lock().unwrap_or_else(PoisonError::into_inner) = commits.collect();
}

struct World {
    folders: [tempfile::TempDir; 2],
    git: git2::Repository,
    target: Arc<MemoryStore>,
    reconciler: Option<Reconciler>,
    seconds: u32,
}

impl World {
    fn new() -> Self {
        let [folder, store] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let mut options = RepositoryInitOptions::new();
        let git = git2::Repository::init_opts(folder.path(), options.initial_head("main")).unwrap();
        let mut world = Self {
            git,
            target: Arc::new(MemoryStore::default()),
            reconciler: None,
            seconds: 0,
            folders: [folder, store],
        };
        world.commit("environment", ENVIRONMENT);
        let root = world.folders[1].path().to_owned();
        let owner = Owner {
            environment: "dev".parse().unwrap(),
            installation: "test".to_owned(),
        };
        let store = Store::init(&root, &owner, "2026-12-01T00:00:00Z".parse().unwrap()).unwrap();
        let repository = Repository {
            path: world.git.path().to_owned(),
            reader: Reader::Thread,
            remote: None,
        };
        world.reconciler = Some(Reconciler::new(
            Source::open(&repository, None).unwrap(),
            owner.environment,
            world.target.clone(),
            Observer::new(store),
            Arc::new(move |_| root.clone()),
        ));
        world
    }

    fn commit(&mut self, name: &str, manifest: &str) -> Oid {
        let mut index = self.git.index().unwrap();
        index
            .add(&IndexEntry {
                ctime: IndexTime::new(0, 0),
                mtime: IndexTime::new(0, 0),
                dev: 0,
                ino: 0,
                mode: 0o100_644,
                uid: 0,
                gid: 0,
                file_size: 0,
                id: self.git.blob(manifest.as_bytes()).unwrap(),
                flags: 0,
                flags_extended: 0,
                path: format!("environments/dev/{name}.yaml").into_bytes(),
            })
            .unwrap();
        index.write().unwrap();
        let tree = self.git.find_tree(index.write_tree().unwrap()).unwrap();
        let author = Signature::now("Test", "test@example.org").unwrap();
        let parent = self.git.head().ok().map(|head| head.peel_to_commit().unwrap());
        self.git
            .commit(
                Some("refs/heads/main"),
                &author,
                &author,
                name,
                &tree,
                &parent.iter().collect::<Vec<_>>(),
            )
            .unwrap()
    }

    fn job(&mut self, name: &str) -> Oid {
        let manifest = format!(
            "\
apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata: {{ name: {name} }}
spec:
  modelName: {name}
  version: v20261201-000000
  dataset: {{ uri: builtin:iris }}
  algorithm: logistic_regression
  evaluation: {{ metric: accuracy }}
"
        );
        self.commit(name, &manifest)
    }

    /// Passes once; returns what is wrong, and how many objects there are then.
    fn pass(&mut self) -> (String, usize) {
        self.seconds += 1;
        let now = format!("2026-12-01T00:{:02}:{:02}Z", self.seconds / 60, self.seconds % 60);
        let reconciler = self.reconciler.as_mut().unwrap();
        reconciler.pass(Beat::Turn, now.parse().unwrap(), &mut || {});
        let findings: Vec<String> = reconciler
            .standing()
            .findings()
            .map(ToString::to_string)
            .collect();
        (
            findings.join("\n"),
            self.target.observe(None).unwrap().objects.len(),
        )
    }
}

#[test]
fn a_panic_over_a_commit_is_a_finding_that_names_it_and_the_next_commit_is_tried_anew() {
    let mut world = World::new();
    world.job("a");
    assert_eq!(world.pass(), (String::new(), 2));

    let second = world.job("b");
    set_struck(&[second]);
    let (said, objects) = world.pass();
    let short = &second.to_string()[..10];
    assert!(said.contains(&format!(" at {short} ")), "{said}");
    assert!(said.contains("the reader panicked: struck"), "{said}");
    assert_eq!(objects, 2, "what was applied stays");

    let third = world.job("c");
    assert_eq!(world.pass(), (String::new(), 4));

    // The same commit too, once it can be read.
    let fourth = world.job("d");
    set_struck(&[second, third, fourth]);
    assert!(world.pass().0.contains("the reader panicked"));
    set_struck(&[]);
    while world.pass() != (String::new(), 5) {
        thread::sleep(Duration::from_millis(20));
    }
}
