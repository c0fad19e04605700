//! Whose a store is, what an owner's start does, and what is refused.

use std::path::Path;
use std::process::Command;
use std::sync::mpsc;

use expect_test::{Expect, expect};
use planner::finding::Disposition;
use planner::names::{Digest, ModelName};
use registry::{Owner, Store, StoreError};

use crate::scenario::{now, owner, word, write};

fn check_refused<T: std::fmt::Debug>(root: &Path, result: Result<T, StoreError>, expected: &Expect) {
    let error = result.unwrap_err();
    let text = format!("{:?}: {error}", error.disposition());
    expected.assert_eq(&text.replace(&root.display().to_string(), "…"));
}

#[test]
fn a_store_is_made_once_and_belongs_to_its_owner() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    check_refused(
        root,
        Store::open(root),
        &expect![
            "Invalid: … holds no registry: mount the volume that has it, or make an empty one with `aurora registry init` (for a data directory that was in use, --installation takes what its file `installation` says)"
        ],
    );
    Store::init(root, &owner(), now()).unwrap();
    write(root, "publish wine v20261101-120000 one").unwrap();
    let file = root.join("aurora/registry/metadata.json");
    let before = std::fs::read_to_string(&file).unwrap();

    Store::init(root, &owner(), word("2027-01-01T00:00:00Z")).unwrap();
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        before,
        "init again changes nothing"
    );

    Store::open_owned(root, &owner()).unwrap();
    expect![[r#"
        {
          "registry_version": "v1",
          "created_at": "2026-11-20T09:30:00Z",
          "storage_type": "filesystem",
          "owner": {
            "environment": "dev",
            "installation": "one"
          },
          "models": [
            "wine"
          ]
        }
    "#]]
    .assert_eq(&std::fs::read_to_string(&file).unwrap());
    assert_eq!(
        std::fs::read_to_string(root.join("aurora/registry/current-version")).unwrap(),
        "v1\n"
    );

    let other = Owner {
        installation: "two".to_owned(),
        ..owner()
    };
    check_refused(
        root,
        Store::open_owned(root, &other),
        &expect![
            "Invalid: … belongs to environment dev (installation one), and this is environment dev (installation two): give each environment and installation a registry of its own (`registry.path`)"
        ],
    );
    check_refused(
        root,
        Store::init(root, &other, now()),
        &expect![
            "Invalid: … belongs to environment dev (installation one), and this is environment dev (installation two): give each environment and installation a registry of its own (`registry.path`)"
        ],
    );
}

#[test]
fn a_store_that_is_not_understood_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    Store::init(root, &owner(), now()).unwrap();
    let registry = root.join("aurora/registry");

    std::fs::write(registry.join("current-version"), "v2\n").unwrap();
    check_refused(
        root,
        Store::open(root),
        &expect![[r#"Invalid: … has layout "v2", and this aurora reads up to v1: upgrade aurora"#]],
    );
    check_refused(
        root,
        Store::init(root, &owner(), now()),
        &expect![[r#"Invalid: … has layout "v2", and this aurora reads up to v1: upgrade aurora"#]],
    );
    std::fs::remove_file(registry.join("current-version")).unwrap();
    let metadata = registry.join("metadata.json");
    let newer = std::fs::read_to_string(&metadata)
        .unwrap()
        .replace("\"v1\"", "\"v2\"");
    std::fs::write(&metadata, newer).unwrap();
    check_refused(
        root,
        Store::open(root),
        &expect![[r#"Invalid: … has layout "v2", and this aurora reads up to v1: upgrade aurora"#]],
    );

    std::fs::write(root.join("file"), "").unwrap();
    check_refused(
        root,
        Store::init(&root.join("file"), &owner(), now()),
        &expect!["Invalid: failed to open folder …/file: Not a directory (os error 20)"],
    );
}

/// Damages the store's own metadata, and shows what a reader, the owner, another owner and a check find, and what is left.
fn check_damage(command: &str, expected: &Expect) {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    Store::init(root, &owner(), now()).unwrap();
    write(root, "publish wine v20261101-120000 one").unwrap();
    Store::open_owned(root, &owner()).unwrap();
    let registry = root.join("aurora/registry");
    let files = || {
        ["current-version", "identity.json", "metadata.json"]
            .map(|name| std::fs::read(registry.join(name)).ok())
    };
    let before = files();
    let status = Command::new("sh")
        .args(["-ec", command])
        .current_dir(&registry)
        .status();
    assert!(status.unwrap().success(), "{command}");
    let damaged = files();

    let shown = |result: Result<Store, StoreError>| match result {
        Ok(_) => "opens".to_owned(),
        Err(error) => error.to_string(),
    };
    let mut text = format!("reader: {}\n", shown(Store::open(root)));
    let wrong = Store::at(root).check_identity();
    for wrong in wrong.unwrap_or_default() {
        text += &format!("{}: {}\n", wrong.file, wrong.why);
    }
    let other = Owner {
        installation: "two".to_owned(),
        ..owner()
    };
    let foreign = [Store::open_owned(root, &other), Store::init(root, &other, now())];
    assert!(foreign.iter().all(Result::is_err));
    assert_eq!(files(), damaged, "nobody but the owner writes");
    let opened = Store::init(root, &owner(), word("2027-01-01T00:00:00Z"));
    assert_eq!(Store::open_owned(root, &owner()).is_ok(), opened.is_ok());
    assert_eq!(files(), if opened.is_ok() { before } else { damaged });
    text += &format!("owner: {}\n", shown(opened));
    expected.assert_eq(&text.replace(&root.display().to_string(), "…"));
}

#[test]
fn what_two_files_say_heals_the_third() {
    check_damage(
        "printf x > current-version",
        &expect![[r#"
            reader: opens
            registry/current-version: says "x", which is no layout; the next start of `aurora up` writes it anew
            owner: opens
        "#]],
    );
    check_damage(
        "head -c 100 /dev/zero > current-version",
        &expect![[r#"
            reader: opens
            registry/current-version: has more than 64 bytes; the next start of `aurora up` writes it anew
            owner: opens
        "#]],
    );
    check_damage(
        "rm current-version",
        &expect![[r#"
            reader: opens
            registry/current-version: is missing; the next start of `aurora up` writes it anew
            owner: opens
        "#]],
    );
    check_damage(
        "printf '{' > metadata.json",
        &expect![[r#"
            reader: opens
            registry/metadata.json: cannot be read: EOF while parsing an object at line 1 column 1; the next start of `aurora up` writes it anew
            owner: opens
        "#]],
    );
    check_damage(
        "rm metadata.json",
        &expect![[r#"
            reader: opens
            registry/metadata.json: is missing; the next start of `aurora up` writes it anew
            owner: opens
        "#]],
    );
    check_damage(
        "sed -i 's/\"wine\"/7/' metadata.json; rm identity.json",
        &expect![[r#"
            reader: opens
            registry/metadata.json: cannot be read: invalid type: integer `7`, expected a string at line 10 column 5; the next start of `aurora up` writes it anew
            owner: opens
        "#]],
    );
    check_damage(
        "rm identity.json",
        &expect![[r#"
            reader: opens
            owner: opens
        "#]],
    );
    check_damage(
        ": > metadata.json; : > current-version",
        &expect![[r#"
            reader: opens
            registry/current-version: says "", which is no layout; the next start of `aurora up` writes it anew
            registry/metadata.json: cannot be read: EOF while parsing a value at line 1 column 0; the next start of `aurora up` writes it anew
            owner: opens
        "#]],
    );
}

#[test]
fn what_nothing_else_says_is_to_be_restored() {
    check_damage(
        ": > metadata.json; rm identity.json",
        &expect![[r#"
            reader: opens
            registry/metadata.json: cannot be read: EOF while parsing a value at line 1 column 0; nothing else says whose the store is: restore metadata.json, or, if the store is certainly this environment's own, remove …/aurora/registry, and it is made anew
            owner: …/aurora/registry/metadata.json cannot be read: EOF while parsing a value at line 1 column 0; nothing else says whose the store is: restore metadata.json, or, if the store is certainly this environment's own, remove …/aurora/registry, and it is made anew
        "#]],
    );
    check_damage(
        "rm metadata.json identity.json",
        &expect![[r#"
            reader: opens
            registry/metadata.json: is missing; nothing else says whose the store is: restore metadata.json, or, if the store is certainly this environment's own, remove …/aurora/registry, and it is made anew
            owner: …/aurora/registry/metadata.json is missing; nothing else says whose the store is: restore metadata.json, or, if the store is certainly this environment's own, remove …/aurora/registry, and it is made anew
        "#]],
    );
    check_damage(
        ": > metadata.json; : > identity.json; : > current-version",
        &expect![[r#"
            reader: …/aurora/registry/current-version says "", which is no layout; nothing else says whose the store is: restore metadata.json, or, if the store is certainly this environment's own, remove …/aurora/registry, and it is made anew
            registry/current-version: says "", which is no layout; nothing else says whose the store is: restore metadata.json, or, if the store is certainly this environment's own, remove …/aurora/registry, and it is made anew
            registry/metadata.json: cannot be read: EOF while parsing a value at line 1 column 0; nothing else says whose the store is: restore metadata.json, or, if the store is certainly this environment's own, remove …/aurora/registry, and it is made anew
            registry/identity.json: cannot be read: EOF while parsing a value at line 1 column 0; nothing else says whose the store is: restore metadata.json, or, if the store is certainly this environment's own, remove …/aurora/registry, and it is made anew
            owner: …/aurora/registry/metadata.json cannot be read: EOF while parsing a value at line 1 column 0; nothing else says whose the store is: restore metadata.json, or, if the store is certainly this environment's own, remove …/aurora/registry, and it is made anew
        "#]],
    );
    check_damage(
        "rm metadata.json; mkdir metadata.json",
        &expect![[r#"
            reader: opens
            owner: …/aurora/registry/metadata.json is no regular file
        "#]],
    );
    check_damage(
        "mv metadata.json ../m; ln -s ../m metadata.json",
        &expect![[r#"
            reader: opens
            owner: …/aurora/registry/metadata.json is a symbolic link where a file should be: nothing of aurora's is read or written through one
        "#]],
    );
}

#[test]
fn a_folder_of_metadata_that_is_gone_is_made_anew() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    Store::init(root, &owner(), now()).unwrap();
    write(root, "publish wine v20261101-120000 one").unwrap();
    std::fs::remove_dir_all(root.join("aurora/registry")).unwrap();
    let store = Store::init(root, &owner(), now()).unwrap();
    assert_eq!(store.models().unwrap(), [word("wine")]);
    Store::open_owned(root, &owner()).unwrap();
}

/// While a process runs, its list of models is written whenever it changed: a damaged one too, and whose the store is stays.
#[test]
fn a_running_owner_writes_damaged_metadata_anew() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    Store::init(root, &owner(), now()).unwrap();
    write(root, "publish wine v20261101-120000 one").unwrap();
    let observer = registry::Observer::new(Store::open_owned(root, &owner()).unwrap());
    let file = root.join("aurora/registry/metadata.json");
    let whole = std::fs::read(&file).unwrap();
    assert!(!observer.note_models().unwrap());
    for junk in [&b""[..], b"{", &[0; 4096]] {
        std::fs::write(&file, junk).unwrap();
        assert!(observer.note_models().unwrap());
        assert_eq!(std::fs::read(&file).unwrap(), whole);
    }
}

#[test]
fn a_store_that_goes_away_is_not_an_empty_one() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let store = Store::init(root, &owner(), now()).unwrap();
    write(root, "publish wine v20261101-120000 one").unwrap();
    std::fs::remove_dir_all(root).unwrap();
    let wine: ModelName = word("wine");
    check_refused(
        root,
        store.models(),
        &expect![
            "Invalid: … holds no registry: mount the volume that has it, or make an empty one with `aurora registry init` (for a data directory that was in use, --installation takes what its file `installation` says)"
        ],
    );
    check_refused(
        root,
        store.versions(&wine),
        &expect![
            "Invalid: … holds no registry: mount the volume that has it, or make an empty one with `aurora registry init` (for a data directory that was in use, --installation takes what its file `installation` says)"
        ],
    );
    check_refused(
        root,
        registry::Observer::new(store.clone()).observe(&wine),
        &expect![
            "Invalid: … holds no registry: mount the volume that has it, or make an empty one with `aurora registry init` (for a data directory that was in use, --installation takes what its file `installation` says)"
        ],
    );
    check_refused(
        root,
        store.datasets(),
        &expect![
            "Invalid: … holds no registry: mount the volume that has it, or make an empty one with `aurora registry init` (for a data directory that was in use, --installation takes what its file `installation` says)"
        ],
    );
    check_refused(
        root,
        store.publish(crate::scenario::draft("wine", "v20261101-120000", "one")),
        &expect![
            "Invalid: … holds no registry: mount the volume that has it, or make an empty one with `aurora registry init` (for a data directory that was in use, --installation takes what its file `installation` says)"
        ],
    );
}

#[test]
fn a_start_cleans_up_but_never_under_a_writer() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    Store::init(root, &owner(), now()).unwrap();
    write(root, "publish wine v20261101-120000 one").unwrap();
    write(root, "move wine stable v20261101-120000").unwrap();
    let leftovers = [
        "aurora/wine/versions/.tmp-1-0/model.onnx",
        "aurora/wine/aliases/.tmp-1-1",
        "aurora/datasets/.tmp-1-2",
        "aurora/registry/.tmp-1-3",
        "aurora/wine/runs/v20261101-120000/.tmp-1-4",
    ];
    for leftover in leftovers {
        let path = root.join(leftover);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "half").unwrap();
    }
    let left = || {
        leftovers
            .iter()
            .filter(|leftover| root.join(leftover).exists())
            .count()
    };

    // A data file that arrives slowly: its writer is at work for as long as it has no end.
    let (send, receive) = mpsc::channel::<u8>();
    std::thread::scope(|scope| {
        let store = Store::open(root).unwrap();
        let writer = scope.spawn(move || store.stage_dataset(&Digest::of(b"x"), Slow(receive)));
        send.send(b'x').unwrap();
        while std::fs::read_dir(root.join("aurora/datasets")).unwrap().count() < 2 {
            assert!(!writer.is_finished());
            std::thread::yield_now();
        }
        Store::open_owned(root, &owner()).unwrap();
        assert_eq!(left(), leftovers.len());
        drop(send);
        writer.join().unwrap().unwrap();
    });
    assert!(root.join("aurora/datasets").join(Digest::of(b"x").hex()).exists());

    Store::open_owned(root, &owner()).unwrap();
    assert_eq!(left(), 0);
}

/// A reader that has a byte whenever somebody sends one.
struct Slow(mpsc::Receiver<u8>);

impl std::io::Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.recv() {
            Ok(byte) => {
                buffer[0] = byte;
                Ok(1)
            }
            Err(mpsc::RecvError) => Ok(0),
        }
    }
}

#[test]
fn what_the_disk_refuses_is_said_with_what_to_do() {
    let error = |number| StoreError::Io {
        act: "write",
        path: "/registry/aurora/wine/versions/.tmp-1-0/model.onnx".into(),
        error: std::io::Error::from_raw_os_error(number),
    };
    let (no_space, read_only, no_permission) = (error(28), error(30), error(13));
    expect!["failed to write /registry/aurora/wine/versions/.tmp-1-0/model.onnx: No space left on device (os error 28); free some space, for instance with `aurora model gc`"].assert_eq(&no_space.to_string());
    expect!["failed to write /registry/aurora/wine/versions/.tmp-1-0/model.onnx: Read-only file system (os error 30); mount the registry writable"].assert_eq(&read_only.to_string());
    expect!["failed to write /registry/aurora/wine/versions/.tmp-1-0/model.onnx: Permission denied (os error 13); give this user the right to write the registry"].assert_eq(&no_permission.to_string());
    assert_eq!(no_space.disposition(), Disposition::Transient);
    assert_eq!(read_only.disposition(), Disposition::Invalid);
}

#[test]
fn a_list_of_a_hundred_thousand_models_is_read_back() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    Store::init(root, &owner(), now()).unwrap();
    write(root, "publish wine v20261101-120000 one").unwrap();
    let file = root.join("aurora/registry/metadata.json");
    let mut list: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    list["models"] = (0..100_000).map(|n| format!("model-{n:034}")).collect();
    std::fs::write(&file, serde_json::to_vec_pretty(&list).unwrap()).unwrap();
    Store::open_owned(root, &owner()).unwrap();
    list["models"] = serde_json::json!(["wine"]);
    let found: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(found, list);
}
