use std::path::PathBuf;
use std::process::Command;

use git2::{Index, IndexEntry, IndexTime, Oid, Repository};

use super::*;

const BLOB: u32 = 0o100_644;
const LINK: u32 = 0o120_000;
const SUBMODULE: u32 = 0o160_000;

fn entry(path: &str, mode: u32) -> IndexEntry {
    IndexEntry {
        ctime: IndexTime::new(0, 0),
        mtime: IndexTime::new(0, 0),
        dev: 0,
        ino: 0,
        mode,
        uid: 0,
        gid: 0,
        file_size: 0,
        id: Oid::from_bytes(&[7; 20]).unwrap(),
        flags: 0,
        flags_extended: 0,
        path: path.as_bytes().to_vec(),
    }
}

struct Clone {
    folder: tempfile::TempDir,
}

impl Clone {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Repository::init(folder.path()).unwrap();
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    /// Adds entries to the index, and nothing to the work tree.
    fn add(&self, version: u32, entries: &[(&str, u32)]) {
        // Opened without its repository, which would want the objects to exist.
        let mut index = Index::open(&self.path().join(".git/index")).unwrap();
        index.clear().unwrap();
        index.set_version(version).unwrap();
        for (path, mode) in entries {
            index.add(&entry(path, *mode)).unwrap();
        }
        index.write().unwrap();
    }

    fn git(&self, arguments: &[&str]) {
        let output = Command::new("git")
            .arg("-C")
            .arg(self.folder.path())
            .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    fn said(&self, folder: &str) -> String {
        said(&mut Tracked::around(&self.path().join(folder)))
    }
}

fn said(tracked: &mut Tracked) -> String {
    match tracked.refuse() {
        Ok(()) => "nothing".to_owned(),
        Err(DataDirError::Tracked { file, .. }) => file,
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_the_index_has_in_a_folder_or_in_its_place_is_tracked() {
    let clone = Clone::new();
    assert_eq!(clone.said(".aurora"), "nothing");
    for (entry, mode, folder, expected) in [
        (".aurora/lock", LINK, ".aurora", ".aurora/lock"),
        (
            ".aurora/registry/aurora/m/x",
            BLOB,
            ".aurora",
            ".aurora/registry/aurora/m/x",
        ),
        (".aurora", LINK, ".aurora", ".aurora"),
        (".aurora", BLOB, ".aurora", ".aurora"),
        (".aurora", SUBMODULE, ".aurora", ".aurora"),
        (".aurora/registry", SUBMODULE, ".aurora", ".aurora/registry"),
        ("deep/er/.aurora/x", BLOB, "deep/er/.aurora", "deep/er/.aurora/x"),
        // A link, or a file, where a folder above it should be.
        ("deep", LINK, "deep/er/.aurora", "deep"),
        ("deep/er", BLOB, "deep/er/.aurora", "deep/er"),
        (
            ".aurora/line\nbreak\u{202e}\u{1b}[2J",
            BLOB,
            ".aurora",
            ".aurora/line\\nbreak\\u{202e}\\u{1b}[2J",
        ),
        // The work tree itself.
        ("a/file", BLOB, "", "README.md"),
        // Neighbours.
        (".aurora.yaml", BLOB, ".aurora", "nothing"),
        (".auror", BLOB, ".aurora", "nothing"),
        (".gitignore", BLOB, ".aurora", "nothing"),
        ("deep/er/file", BLOB, "deep/er/.aurora", "nothing"),
        ("deep/.aurora/x", BLOB, ".aurora", "nothing"),
        ("deep", SUBMODULE, "deep/er/.aurora", "nothing"),
        // Another folder, where the file system tells upper from lower case.
        (".Aurora/lock", BLOB, ".aurora", "nothing"),
    ] {
        for version in [2, 4] {
            clone.add(
                version,
                &[("README.md", BLOB), (entry, mode), ("src/main.rs", BLOB)],
            );
            assert_eq!(
                clone.said(folder),
                expected,
                "{entry:?} for {folder}, version {version}"
            );
        }
    }
}

#[test]
fn one_folder_with_two_spellings_is_one() {
    let clone = Clone::new();
    std::fs::create_dir(clone.path().join(".aurora")).unwrap();
    clone.add(2, &[(".Aurora/lock", BLOB)]);
    assert_eq!(clone.said(".aurora"), "nothing");
    // A file system that does not tell them apart finds one and the same folder at both.
    let tracked = Tracked::around(&clone.path().join(".aurora"));
    let is_meant = |name: &[u8]| tracked.around[0].is_meant(name, Match::Cased, &tracked.folder);
    assert!(is_meant(b".aurora/lock"));
    assert!(!is_meant(b".Aurora/lock"));
}

#[test]
fn each_work_tree_around_a_folder_counts() {
    let outer = Clone::new();
    let inner = outer.path().join("inner");
    Repository::init(&inner).unwrap();
    outer.add(2, &[("inner/.aurora/x", BLOB)]);
    assert_eq!(outer.said("inner/.aurora"), "inner/.aurora/x");
    outer.add(2, &[("inner", SUBMODULE)]);
    assert_eq!(outer.said("inner/.aurora"), "nothing");
    // A submodule keeps what Git knows of it elsewhere.
    let elsewhere = outer.path().join(".git/modules/inner");
    std::fs::create_dir_all(elsewhere.parent().unwrap()).unwrap();
    std::fs::rename(inner.join(".git"), &elsewhere).unwrap();
    std::fs::write(inner.join(".git"), "gitdir: ../.git/modules/inner\n").unwrap();
    assert_eq!(outer.said("inner/.aurora"), "nothing");
    let mut index = Index::open(&elsewhere.join("index")).unwrap();
    index.add(&entry(".aurora/lock", LINK)).unwrap();
    index.write().unwrap();
    assert_eq!(outer.said("inner/.aurora"), ".aurora/lock");
    // Git's own folder is filled by no commit.
    assert_eq!(outer.said(".git/aurora"), "nothing");
}

#[test]
fn a_change_of_the_index_is_seen_and_an_unchanged_one_not_read() {
    let clone = Clone::new();
    let mut tracked = Tracked::around(&clone.path().join(".aurora"));
    clone.add(2, &[("README.md", BLOB)]);
    assert_eq!(said(&mut tracked), "nothing");
    clone.add(2, &[("README.md", BLOB), (".aurora/lock", LINK)]);
    assert_eq!(said(&mut tracked), ".aurora/lock");
    clone.add(2, &[("README.md", BLOB)]);
    assert_eq!(said(&mut tracked), "nothing");

    let stamped = tracked.around[0].read.clone().unwrap().0;
    tracked.around[0].read = Some((stamped, Ok(Some("remembered".to_owned()))));
    assert_eq!(said(&mut tracked), "remembered");
}

/// What only Git itself writes: an intent, a split index, a sparse one, one of a repository of SHA-256.
#[test]
fn the_forms_that_git_gives_an_index_are_understood() {
    if !crate::tests::repository::has_git() {
        return;
    }
    let clone = Clone::new();
    for name in ["a", "b", "c"] {
        std::fs::create_dir_all(clone.path().join(name)).unwrap();
        std::fs::write(clone.path().join(name).join("file"), name).unwrap();
    }
    std::fs::create_dir_all(clone.path().join(".aurora")).unwrap();
    std::fs::write(clone.path().join(".aurora/lock"), "x").unwrap();
    clone.git(&["add", "--intent-to-add", ".aurora/lock"]);
    assert_eq!(clone.said(".aurora"), ".aurora/lock");
    clone.git(&["rm", "-q", "--cached", ".aurora/lock"]);
    assert_eq!(clone.said(".aurora"), "nothing");

    clone.git(&["add", "a", "b", "c", ".aurora"]);
    clone.git(&["update-index", "--split-index"]);
    assert_eq!(clone.said(".aurora"), ".aurora/lock");
    clone.git(&["update-index", "--no-split-index"]);
    clone.git(&["rm", "-rq", "--cached", ".aurora"]);
    clone.git(&["update-index", "--split-index"]);
    assert_eq!(clone.said(".aurora"), "nothing");
    clone.git(&["add", ".aurora"]);
    assert_eq!(clone.said(".aurora"), ".aurora/lock");
    clone.git(&["update-index", "--no-split-index"]);

    clone.git(&["commit", "-qm", "all"]);
    clone.git(&["sparse-checkout", "set", "--cone", "--sparse-index", "a"]);
    assert!(
        clone.said(".aurora").starts_with(".aurora/"),
        "{}",
        clone.said(".aurora")
    );
    assert_eq!(clone.said("a/.aurora"), "nothing");

    let other = tempfile::tempdir().unwrap();
    let path = other.path().canonicalize().unwrap();
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(&path).args(arguments).output();
        assert!(output.unwrap().status.success(), "{arguments:?}");
    };
    git(&["init", "-q", "--object-format=sha256"]);
    std::fs::create_dir(path.join(".aurora")).unwrap();
    for file in ["a", "z", ".aurora/lock"] {
        std::fs::write(path.join(file), "x").unwrap();
    }
    git(&["add", "a", "z"]);
    let folder = path.join(".aurora");
    assert_eq!(said(&mut Tracked::around(&folder)), "nothing");
    git(&["add", "-f", ".aurora"]);
    assert_eq!(said(&mut Tracked::around(&folder)), ".aurora/lock");
}

#[test]
fn an_index_that_cannot_be_read_is_no_empty_one() {
    let clone = Clone::new();
    clone.add(2, &[("README.md", BLOB), ("src/main.rs", BLOB)]);
    let index = clone.path().join(".git/index");
    let whole = std::fs::read(&index).unwrap();
    for bytes in 0..whole.len() - 20 {
        std::fs::write(&index, &whole[..bytes]).unwrap();
        let said = clone.said(".aurora");
        // The checksum at the end is Git's to judge.
        assert!(
            said.contains("cut off, or damaged") || (bytes >= whole.len() - 40 && said == "nothing"),
            "{bytes} of {}: {said}",
            whole.len()
        );
    }
    for (content, expected) in [
        (&b"DIRC\0\0\0\x09\0\0\0\0"[..], "version 9"),
        (b"JUNKJUNKJUNK", "it is no index"),
        (b"DIRC\0\0\0\x02\xff\xff\xff\xff", "cut off, or damaged"),
    ] {
        std::fs::write(&index, content).unwrap();
        assert!(
            clone.said(".aurora").contains(expected),
            "{}",
            clone.said(".aurora")
        );
    }
}

#[test]
fn a_repository_elsewhere_that_names_a_work_tree_around_the_folder_is_found() {
    let elsewhere = tempfile::tempdir().unwrap();
    let elsewhere = elsewhere.path().canonicalize().unwrap();
    let data = elsewhere.join("site/.aurora");
    std::fs::create_dir_all(&data).unwrap();
    let clone = Clone::new();
    clone.add(2, &[("site/.aurora/lock", LINK), ("a/file", BLOB)]);
    let git_dir = clone.path().join(".git");
    let config = std::fs::read_to_string(git_dir.join("config")).unwrap();
    let to_root = "../".repeat(git_dir.components().count() - 1);
    let relative = format!("{to_root}{}", elsewhere.strip_prefix("/").unwrap().display());
    for (named, data, expected) in [
        (String::new(), "site/.aurora", "nothing"),
        (
            format!("[core]\n\tworktree = {}\n", elsewhere.display()),
            "site/.aurora",
            "site/.aurora/lock",
        ),
        (
            format!("[CORE] WorkTree=\"{}\" # ours\n", elsewhere.display()),
            "site/.aurora",
            "site/.aurora/lock",
        ),
        (
            format!("[core]\nworktree = {relative}\n"),
            "site/.aurora",
            "site/.aurora/lock",
        ),
        (
            format!("[core]\nworktree = {}\n", elsewhere.display()),
            "site/.other",
            "nothing",
        ),
        (
            format!("[core]\nworktree = {}/site\n", elsewhere.display()),
            "site/.aurora",
            "nothing",
        ),
        (
            format!("[other]\nworktree = {}\n", elsewhere.display()),
            "site/.aurora",
            "nothing",
        ),
        (
            "[core]\nworktree = /nowhere/at/all\n".to_owned(),
            "site/.aurora",
            "nothing",
        ),
    ] {
        std::fs::write(git_dir.join("config"), format!("{config}{named}")).unwrap();
        let folder = elsewhere.join(data);
        assert_eq!(
            said(&mut Tracked::around(&folder)),
            "nothing",
            "nothing around it tells"
        );
        for repository in [clone.path(), git_dir.clone(), clone.path().join(".git/objects")] {
            let said = said(&mut Tracked::of_repository(&folder, &repository));
            assert_eq!(said, expected, "{named:?}, {}", repository.display());
        }
    }
}
