//! What a commit, a pull or another user puts in the data directory or in its place: no file outside is touched, nothing
//! of it is used, and whoever starts or runs aurora is told what to do.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use planner::Timestamp;
use registry::DatasetRoots;
use rustix::fs::{CWD, Mode, mkfifoat};

use super::model;
use super::repository::{ENVIRONMENT, Repo, V1, V2, deployment, dev, training};
use super::world::World;
use crate::run::{Options, Standalone};

const LINK: u32 = 0o120_000;
const FILE: u32 = 0o100_644;
const SUBMODULE: u32 = 0o160_000;

/// A clone with a file beside it that nobody may touch.
struct Victim {
    repo: Repo,
    beside: tempfile::TempDir,
}

impl Victim {
    fn new() -> Self {
        let repo = Repo::with(&[("m.yaml", &model("m", V1, None))]);
        let beside = tempfile::tempdir().unwrap();
        fs::create_dir(beside.path().join("folder")).unwrap();
        for file in ["precious", "folder/settings.json"] {
            fs::write(beside.path().join(file), "precious").unwrap();
        }
        Self { repo, beside }
    }

    fn data_dir(&self) -> PathBuf {
        self.repo.path().join(".aurora")
    }

    /// Puts something in the work tree as a checkout does: as a link where `target` is given, else as a file.
    fn put(&self, path: &str, target: Option<&str>) {
        let file = self.repo.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        if file.symlink_metadata().is_ok_and(|there| there.is_dir()) {
            fs::remove_dir_all(&file).unwrap();
        } else {
            let _nothing = fs::remove_file(&file);
        }
        match target {
            Some(target) => symlink(self.beside.path().join(target), file).unwrap(),
            None => fs::write(file, "planted").unwrap(),
        }
    }

    fn open_at(&self, data_dir: &Path) -> Result<Standalone, String> {
        let options = Options {
            repository: self.repo.repository(),
            follow: reconciler::source::Follow::CheckedOut,
            environment: dev(),
            data_dir: data_dir.to_owned(),
            dataset_roots: DatasetRoots::default(),
            control_planes: std::sync::Arc::new(reconciler::Nobody),
            signing_key: None,
            installation: "test-installation".to_owned(),
        };
        let now: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        Standalone::open(&options, now).map_err(|error| self.cut(&error.to_string()))
    }

    fn cut(&self, said: &str) -> String {
        let path = |path: &Path| path.canonicalize().unwrap().display().to_string();
        said.replace(&path(self.repo.path()), "CLONE")
            .replace(&path(self.beside.path()), "BESIDE")
    }

    #[track_caller]
    fn assert_untouched(&self, after: &str) {
        let mut names: Vec<_> = ["", "folder"]
            .iter()
            .flat_map(|folder| fs::read_dir(self.beside.path().join(folder)).unwrap())
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["folder", "precious", "settings.json"], "{after}");
        for file in ["precious", "folder/settings.json"] {
            let content = fs::read_to_string(self.beside.path().join(file)).unwrap();
            assert_eq!(content, "precious", "{file} after {after}");
        }
    }
}

#[test]
fn a_data_directory_that_a_commit_fills_is_refused_before_anything_in_it_is_touched() {
    for (path, target, mode, expected) in [
        (
            ".aurora/lock",
            Some("precious"),
            LINK,
            "Git tracks .aurora/lock, in the folder CLONE/.aurora",
        ),
        (
            ".aurora/heartbeat",
            Some("precious"),
            LINK,
            "Git tracks .aurora/heartbeat,",
        ),
        (
            ".aurora/.gitignore",
            Some("precious"),
            LINK,
            "Git tracks .aurora/.gitignore,",
        ),
        (
            ".aurora/status/MLDeployment",
            Some("folder"),
            LINK,
            "Git tracks .aurora/status/MLDeployment,",
        ),
        (
            ".aurora/objects/MLEnvironment/.tmp-dev.json",
            Some("precious"),
            LINK,
            "Git tracks .aurora/objects/",
        ),
        (
            ".aurora/registry",
            Some("folder"),
            LINK,
            "Git tracks .aurora/registry,",
        ),
        (
            ".aurora/registry/aurora/m/versions/v20261101-120000/model.onnx",
            None,
            FILE,
            "Git tracks .aurora/registry/",
        ),
        (".aurora/git", None, SUBMODULE, "Git tracks .aurora/git,"),
        (
            ".aurora",
            Some("folder"),
            LINK,
            "CLONE/.aurora is a symbolic link in the Git work tree CLONE",
        ),
        (".aurora", None, SUBMODULE, "Git tracks .aurora,"),
        (".aurora", None, FILE, "Git tracks .aurora,"),
    ] {
        let mut victim = Victim::new();
        victim.put(path, target);
        let content = target.map_or("planted".to_owned(), |target| {
            victim.beside.path().join(target).display().to_string()
        });
        if mode == SUBMODULE {
            let head = victim.repo.git().refname_to_id("refs/heads/main").unwrap();
            victim.repo.entry_of(path.as_bytes(), mode, head);
        } else {
            victim.repo.entry(path.as_bytes(), mode, content.as_bytes());
        }
        // What is only added counts as what is committed.
        for is_committed in [false, true] {
            if is_committed {
                victim.repo.commit("innocent");
            }
            let said = victim.open_at(&victim.data_dir()).unwrap_err();
            assert!(said.starts_with(expected), "{path}: {said}");
            assert!(said.contains("--data-dir"), "{path}: {said}");
            victim.assert_untouched(path);
            let looked = crate::inspect(&victim.data_dir()).unwrap_err().to_string();
            assert_eq!(
                victim.cut(&looked),
                said,
                "{path}: whoever looks is told the same"
            );
        }
    }
}

#[test]
fn a_data_directory_elsewhere_in_a_clone_is_judged_as_the_usual_one() {
    let mut victim = Victim::new();
    victim.put("environments/dev/data/lock", Some("precious"));
    victim.repo.entry(b"environments/dev/data/lock", LINK, b"x");
    let said = victim
        .open_at(&victim.repo.path().join("environments/dev/data"))
        .unwrap_err();
    assert!(
        said.starts_with("Git tracks environments/dev/data/lock,"),
        "{said}"
    );
    victim.put("shortcut", Some("folder"));
    let said = victim
        .open_at(&victim.repo.path().join("shortcut/data"))
        .unwrap_err();
    assert!(
        said.starts_with("CLONE/shortcut is a symbolic link in the Git work tree"),
        "{said}"
    );
    victim.assert_untouched("all");

    // A registry that a manifest puts there, and a clone in the place of one of our folders.
    let mut planted = Victim::new();
    planted.put("models/aurora/registry/current-version", None);
    planted
        .repo
        .entry(b"models/aurora/registry/current-version", FILE, b"x");
    let root = planted.repo.path().canonicalize().unwrap().join("models");
    planted.repo.change(
        "environment.yaml",
        &ENVIRONMENT.replace(
            "Standalone",
            &format!("Standalone, registry: {{ path: {} }}", root.display()),
        ),
    );
    let said = planted.open_at(&planted.data_dir()).unwrap_err();
    assert!(
        said.starts_with("Git tracks models/aurora/registry/current-version,"),
        "{said}"
    );
    let said = victim.open_at(&victim.repo.path().join("deep")).map(drop);
    assert_eq!(said, Ok(()));
    fs::create_dir(victim.repo.path().join("deep/git/.git")).unwrap();
    let said = victim.open_at(&victim.repo.path().join("deep")).unwrap_err();
    assert!(said.contains("CLONE/deep/git is a Git work tree"), "{said}");
    fs::remove_dir_all(victim.repo.path().join("deep")).unwrap();

    // One that Git ignores works, and so does one in Git's own folder, or behind a link that no commit can bring.
    for path in [".aurora", "deep/er/.aurora", ".git/aurora"] {
        let opened = victim.open_at(&victim.repo.path().join(path));
        drop(opened.unwrap_or_else(|said| panic!("{path}: {said}")));
    }
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir(outside.path().join("disk")).unwrap();
    symlink("disk", outside.path().join("data")).unwrap();
    let opened = victim.open_at(&outside.path().join("data")).unwrap();
    assert!(opened.data_dir().ends_with("disk"));
}

/// What Git does not know of may still have been put there.
#[test]
fn nothing_in_the_place_of_a_file_or_folder_is_followed_read_or_waited_for() {
    for (path, target) in [
        ("lock", "precious"),
        (".gitignore", "precious"),
        ("installation", "precious"),
        ("objects", "folder"),
        ("status", "folder"),
        ("commands", "folder"),
        ("registry", "folder"),
        ("git", "folder"),
        ("objects/MLEnvironment", "folder"),
        ("objects/MLDeployment", "folder"),
        ("status/MLTrainingJob", "folder"),
        ("registry/aurora", "folder"),
        ("registry/aurora/registry", "folder"),
        ("registry/aurora/registry/.lock", "precious"),
        ("registry/aurora/datasets", "folder"),
    ] {
        let victim = Victim::new();
        drop(victim.open_at(&victim.data_dir()).unwrap());
        victim.put(&format!(".aurora/{path}"), Some(target));
        let said = victim.open_at(&victim.data_dir()).unwrap_err();
        let expected = format!("CLONE/.aurora/{path} is a symbolic link where a");
        assert!(said.contains(&expected), "{path}: {said}");
        victim.assert_untouched(path);
    }
    for path in [
        "lock",
        ".gitignore",
        "installation",
        "registry/aurora/registry/.lock",
    ] {
        let victim = Victim::new();
        drop(victim.open_at(&victim.data_dir()).unwrap());
        let file = victim.data_dir().join(path);
        fs::remove_file(&file).unwrap();
        mkfifoat(CWD, &file, Mode::from_raw_mode(0o600)).unwrap();
        let said = victim.open_at(&victim.data_dir()).unwrap_err();
        assert!(
            said.contains(&format!("CLONE/.aurora/{path} is no regular file")),
            "{said}"
        );
        assert!(file.symlink_metadata().unwrap().file_type().is_fifo());
    }
}

#[test]
fn a_file_with_another_name_is_not_changed_there() {
    let victim = Victim::new();
    drop(victim.open_at(&victim.data_dir()).unwrap());
    let precious = victim.beside.path().join("precious");
    let (lock, heartbeat) = (
        victim.data_dir().join("lock"),
        victim.data_dir().join("heartbeat"),
    );
    fs::remove_file(&lock).unwrap();
    if fs::hard_link(&precious, &lock).is_err() {
        // Another file system.
        return;
    }
    let said = victim.open_at(&victim.data_dir()).unwrap_err();
    assert!(said.contains("CLONE/.aurora/lock is a hard link"), "{said}");
    fs::remove_file(&lock).unwrap();
    fs::hard_link(&precious, &heartbeat).unwrap();
    let before = precious.metadata().unwrap().modified().unwrap();
    let data_dir = crate::DataDir::open(&victim.data_dir(), "test").unwrap();
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_hours(24);
    data_dir.beat(long_ago).unwrap();
    assert_eq!(crate::last_beat(data_dir.path()), Some(long_ago));
    assert_eq!(precious.metadata().unwrap().modified().unwrap(), before);
    victim.assert_untouched("all");
}

#[test]
fn a_folder_that_others_may_write_in_is_refused_and_one_of_ours_is_private() {
    let victim = Victim::new();
    drop(victim.open_at(&victim.data_dir()).unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&victim.data_dir()), 0o700);
    for (folder, bits) in [
        ("", 0o770),
        ("", 0o777),
        ("", 0o1777),
        ("registry", 0o775),
        ("objects", 0o757),
    ] {
        let path = victim.data_dir().join(folder);
        let before = mode(&path);
        fs::set_permissions(&path, fs::Permissions::from_mode(bits)).unwrap();
        let said = victim.open_at(&victim.data_dir()).unwrap_err();
        let expected = format!(
            "others may write in CLONE/.aurora{}",
            if folder.is_empty() { "" } else { "/" }
        );
        assert!(said.starts_with(&expected), "{said}");
        assert!(said.contains("chmod go-w"), "{said}");
        fs::set_permissions(&path, fs::Permissions::from_mode(before)).unwrap();
    }
    drop(victim.open_at(&victim.data_dir()).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_pull_brings_is_not_used_and_what_serves_goes_on() {
    let mut world = World::start_in_clone(Repo::with(&[("m.yaml", &model("m", V1, None))]));
    world.settle();
    let beside = tempfile::tempdir().unwrap();
    let precious = beside.path().join("precious");
    fs::write(&precious, "precious").unwrap();

    // A pull replaces an ignored file by a link, and the manifest goes on in the same commit.
    let lock = world.data_dir().join("lock");
    fs::remove_file(&lock).unwrap();
    symlink(&precious, &lock).unwrap();
    world
        .repo
        .entry(b".aurora/lock", LINK, precious.display().to_string().as_bytes());
    world.repo.change("m.yaml", &model("m", V2, None));
    for _ in 0..5 {
        world.turn();
    }
    assert_eq!(world.slots.show("m"), V1);
    assert!(
        world.findings().contains("Git tracks .aurora/lock"),
        "{}",
        world.findings()
    );
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    assert!(
        lock.symlink_metadata().unwrap().is_symlink(),
        "it is for a person to take away"
    );

    // Once it is taken away, the commit after it counts.
    fs::remove_file(&lock).unwrap();
    world.repo.remove(".aurora/lock");
    world.repo.commit("taken away");
    world.settle();
    assert_eq!(world.slots.show("m"), V2);
    assert_eq!(world.findings(), "");
    assert!(lock.symlink_metadata().unwrap().is_file());
    assert!(world.second_start().is_err(), "it holds the lock again");
}

/// A checkout writes the files first and the index last: in between, nothing is decided by what it has brought.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_version_that_a_checkout_is_bringing_is_not_served() {
    // A pin waits for a version that no job makes.
    let waiting = format!(
        "{}---\n{}",
        deployment("m", V2, None),
        training("m", V1, "builtin:iris")
    );
    let mut world = World::start_in_clone(Repo::with(&[("m.yaml", &waiting)]));
    world.settle();
    assert!(
        world.findings().contains("VersionMissing"),
        "{}",
        world.findings()
    );
    let versions = world.store.root().join("aurora/m/versions");
    let lock = world.repo.path().join(".git/index.lock");
    fs::write(&lock, "").unwrap();
    let (model, version) = ("m".parse().unwrap(), V2.parse().unwrap());
    world
        .store
        .publish(super::versions::draft(&model, &version, None))
        .unwrap();
    for _ in 0..5 {
        world.turn();
    }
    assert_eq!(world.slots.show("m"), "nothing");
    fs::remove_file(&lock).unwrap();
    for file in ["model.onnx", "metadata.json", "checksums"] {
        let path = format!(".aurora/registry/aurora/m/versions/{V2}/{file}");
        let content = fs::read(versions.join(V2).join(file)).unwrap();
        world.repo.entry(path.as_bytes(), FILE, &content);
    }
    for _ in 0..5 {
        world.turn();
    }
    assert_eq!(world.slots.show("m"), "nothing");
    assert!(
        world.findings().contains("Git tracks .aurora/registry"),
        "{}",
        world.findings()
    );
    // A commit alone holds nothing up.
    world.repo.remove(".aurora/registry");
    world.settle();
    assert_eq!(world.slots.show("m"), V2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_data_directory_that_was_replaced_by_a_link_is_not_made_anew_behind_it() {
    let mut world = World::start(Repo::with(&[("m.yaml", &model("m", V1, None))]));
    world.settle();
    let beside = tempfile::tempdir().unwrap();
    fs::rename(world.data_dir(), beside.path().join("aside")).unwrap();
    fs::create_dir(beside.path().join("folder")).unwrap();
    symlink(beside.path().join("folder"), world.data_dir()).unwrap();
    for _ in 0..5 {
        world.turn();
        world.wait(std::time::Duration::from_mins(1));
    }
    assert_eq!(world.slots.show("m"), V1);
    assert_eq!(fs::read_dir(beside.path().join("folder")).unwrap().count(), 0);
    fs::remove_file(world.data_dir()).unwrap();
    fs::rename(beside.path().join("aside"), world.data_dir()).unwrap();
    world.repo.change("m.yaml", &model("m", V2, None));
    world.wait(std::time::Duration::from_mins(1));
    world.settle();
    assert_eq!(world.slots.show("m"), V2);
}
