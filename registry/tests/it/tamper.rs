//! A store that somebody changed behind Aurora's back: each change is named, and none leads outside or to wrong bytes.

use std::path::Path;
use std::process::Command;

use expect_test::{Expect, expect};
use planner::names::{Digest, ModelName, Version};
use planner::observed::{ObservedAlias, ObservedVersion};
use registry::{Entry, Observer, Reference, Store};

use crate::scenario::{now, owner, word, write};

const V1: &str = "v20261101-120000";
const V2: &str = "v20261120-093000";

/// Runs a shell command in the folder of a model with two versions, both aliased, and shows what is then seen of it.
fn check(command: &str, seen: &Expect) {
    let root = tempfile::tempdir().unwrap();
    Store::init(root.path(), &owner(), now()).unwrap();
    for words in [
        format!("publish wine {V1} one"),
        format!("publish wine {V2} two"),
        format!("move wine stable {V1}"),
        format!("move wine canary {V2}"),
    ] {
        write(root.path(), &words).unwrap();
    }
    let store = Store::open(root.path()).unwrap();
    let model: ModelName = word("wine");
    let version: Version = word(V1);
    let entry = store.resolve(&model, &Reference::Version(version)).unwrap();
    store.verify(&entry).unwrap();
    let observer = Observer::new(store.clone());
    observer.observe(&model).unwrap();

    let folder = root.path().join("aurora/wine");
    let status = Command::new("sh")
        .args(["-ec", command])
        .current_dir(&folder)
        .status();
    assert!(status.unwrap().success(), "{command}");
    let text = look(&Observer::new(store.clone()), &model, &entry);
    assert_eq!(
        look(&observer, &model, &entry),
        text,
        "what was seen before changes nothing"
    );
    let text = text.replace(&folder.display().to_string(), "…");
    seen.assert_eq(&text);
    // The owner starts all the same.
    Store::open_owned(root.path(), &owner()).unwrap();
    assert!(Path::new("/etc/passwd").exists(), "nothing outside was touched");
}

fn look(observer: &Observer, model: &ModelName, entry: &Entry) -> String {
    let store = observer.store();
    let mut text = String::new();
    match observer.observe(model) {
        Ok(seen) => {
            for (version, found) in &seen.versions {
                text += &match found {
                    ObservedVersion::Sound { .. } => format!("{version}: sound\n"),
                    ObservedVersion::Damaged(why) => format!("{version}: {}\n", short(why)),
                };
            }
            for (track, alias) in &seen.aliases {
                text += &match alias {
                    ObservedAlias::To(version) => format!("{track}: {version}\n"),
                    ObservedAlias::Broken(why) => format!("{track}: broken: {why}\n"),
                };
            }
        }
        Err(error) => text += &format!("observe: {error}\n"),
    }
    text += &match store.verify(entry) {
        Ok(()) => "verify: sound\n".to_owned(),
        Err(damage) => format!("verify: {}\n", short(&damage.to_string())),
    };
    text += &match store.read_artifact(entry) {
        Ok(bytes) => format!("read: {}\n", String::from_utf8_lossy(&bytes)),
        Err(error) => format!("read: {}\n", short(&error.to_string())),
    };
    let stable = Reference::Alias(planner::names::Track::Stable);
    text += &match store.resolve(model, &stable) {
        Ok(entry) => format!("resolve stable: {}\n", entry.version),
        Err(error) => format!("resolve stable: {}\n", short(&error.to_string())),
    };
    text
}

/// Cuts digests to their first digits.
fn short(text: &str) -> String {
    let mut parts = text.split("sha256:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let digits = part.bytes().take_while(u8::is_ascii_hexdigit).count();
        text + "sha256:" + &part[..digits.min(8)] + &part[digits..]
    })
}

#[test]
fn changed_files() {
    check(
        &format!("printf x >> versions/{V1}/model.onnx"),
        &expect![[r#"
            v20261101-120000: model.onnx has sha256:aa406e03, and its record says sha256:7692c3ad
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: model.onnx has sha256:aa406e03, and its record says sha256:7692c3ad
            read: wine v20261101-120000 is damaged: model.onnx has sha256:aa406e03, and its record says sha256:7692c3ad; restore its model.onnx, or publish another version
            resolve stable: v20261101-120000
        "#]],
    );
    check(
        &format!("printf oen > versions/{V1}/model.onnx"),
        &expect![[r#"
            v20261101-120000: model.onnx has sha256:a2b65fc8, and its record says sha256:7692c3ad
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: model.onnx has sha256:a2b65fc8, and its record says sha256:7692c3ad
            read: wine v20261101-120000 is damaged: model.onnx has sha256:a2b65fc8, and its record says sha256:7692c3ad; restore its model.onnx, or publish another version
            resolve stable: v20261101-120000
        "#]],
    );
    check(
        &format!("sed -i 's/linfa/forust/' versions/{V1}/metadata.json"),
        &expect![[r#"
            v20261101-120000: metadata.json has sha256:74f64108, and its record says sha256:80633a36
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: metadata.json has sha256:74f64108, and its record says sha256:80633a36
            read: one
            resolve stable: wine v20261101-120000 is damaged: metadata.json has sha256:74f64108, and its record says sha256:80633a36; restore its metadata.json, or publish another version
        "#]],
    );
    check(
        &format!("sed -i 's/^./x/' versions/{V1}/checksums"),
        &expect![[r#"
            v20261101-120000: checksums is no list of checksums in line 1
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: checksums is no list of checksums in line 1
            read: one
            resolve stable: wine v20261101-120000 is damaged: checksums is no list of checksums in line 1; restore its checksums, or publish another version
        "#]],
    );
    check(
        &format!(
            "printf oen > versions/{V1}/model.onnx; cd versions/{V1}; sha256sum metadata.json model.onnx > checksums"
        ),
        &expect![[r#"
            v20261101-120000: metadata.json says that model.onnx has sha256:7692c3ad in 3 bytes, and it has sha256:a2b65fc8 in 3
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: metadata.json says that model.onnx has sha256:7692c3ad in 3 bytes, and it has sha256:a2b65fc8 in 3
            read: wine v20261101-120000 is damaged: model.onnx has sha256:a2b65fc8, and its record says sha256:7692c3ad; restore its model.onnx, or publish another version
            resolve stable: v20261101-120000
        "#]],
    );
}

#[test]
fn missing_and_extra_files() {
    check(
        &format!("rm versions/{V1}/model.onnx"),
        &expect![[r#"
            v20261101-120000: model.onnx is missing
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: model.onnx is missing
            read: wine v20261101-120000 is damaged: model.onnx is missing; restore its model.onnx, or publish another version
            resolve stable: v20261101-120000
        "#]],
    );
    check(
        &format!("rm versions/{V1}/metadata.json"),
        &expect![[r#"
            v20261101-120000: metadata.json is missing
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: metadata.json is missing
            read: one
            resolve stable: wine v20261101-120000 is damaged: metadata.json is missing; restore its metadata.json, or publish another version
        "#]],
    );
    check(
        &format!("rm versions/{V1}/checksums"),
        &expect![[r#"
            v20261101-120000: checksums is missing
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: checksums is missing
            read: one
            resolve stable: wine v20261101-120000 is damaged: checksums is missing; restore its checksums, or publish another version
        "#]],
    );
    check(
        &format!("rm -r versions/{V1}"),
        &expect![[r#"
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: its folder is missing
            read: wine v20261101-120000 is damaged: model.onnx is missing; restore its model.onnx, or publish another version
            resolve stable: wine has no version v20261101-120000
        "#]],
    );
    check(
        &format!("touch versions/{V1}/run.sh"),
        &expect![[r#"
            v20261101-120000: run.sh does not belong to it
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: run.sh does not belong to it
            read: one
            resolve stable: v20261101-120000
        "#]],
    );
    check(
        &format!("rm versions/{V1}/model.onnx; mkfifo versions/{V1}/model.onnx"),
        &expect![[r#"
            v20261101-120000: model.onnx is no regular file
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: model.onnx is no regular file
            read: …/versions/v20261101-120000/model.onnx is no regular file
            resolve stable: v20261101-120000
        "#]],
    );
}

#[test]
fn swapped_versions() {
    check(
        &format!("mv versions/{V1} versions/x; mv versions/{V2} versions/{V1}; mv versions/x versions/{V2}"),
        &expect![[r#"
            v20261101-120000: metadata.json is that of wine v20261120-093000
            v20261120-093000: metadata.json is that of wine v20261101-120000
            stable: v20261101-120000
            canary: v20261120-093000
            verify: metadata.json is that of wine v20261120-093000
            read: wine v20261101-120000 is damaged: model.onnx has sha256:3fc4ccfe, and its record says sha256:7692c3ad; restore its model.onnx, or publish another version
            resolve stable: wine v20261101-120000 is damaged: metadata.json is that of wine v20261120-093000; restore its metadata.json, or publish another version
        "#]],
    );
}

#[test]
fn links_that_lead_elsewhere() {
    check(
        &format!(
            "mv versions/{V1}/model.onnx ../model.onnx; ln -s ../../../model.onnx versions/{V1}/model.onnx"
        ),
        &expect![[r#"
            v20261101-120000: model.onnx is a symbolic link
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: model.onnx is a symbolic link
            read: …/versions/v20261101-120000/model.onnx is a symbolic link where a file should be: nothing of aurora's is read or written through one
            resolve stable: v20261101-120000
        "#]],
    );
    check(
        &format!("mv versions/{V1} ../x; ln -s ../../x versions/{V1}"),
        &expect![[r#"
            v20261101-120000: v20261101-120000 is a symbolic link
            v20261120-093000: sound
            stable: v20261101-120000
            canary: v20261120-093000
            verify: v20261101-120000 is a symbolic link
            read: …/versions/v20261101-120000 is a symbolic link where a folder should be: nothing of aurora's is read or written through one
            resolve stable: …/versions/v20261101-120000 is a symbolic link where a folder should be: nothing of aurora's is read or written through one
        "#]],
    );
    check(
        "mv versions ../x; ln -s ../x versions",
        &expect![[r#"
            observe: …/versions is a symbolic link where a folder should be: nothing of aurora's is read or written through one
            verify: versions is a symbolic link
            read: …/versions is a symbolic link where a folder should be: nothing of aurora's is read or written through one
            resolve stable: …/versions is a symbolic link where a folder should be: nothing of aurora's is read or written through one
        "#]],
    );
    check(
        "cp -a . ../x; rm -r ../wine; ln -s x ../wine",
        &expect![[r#"
            observe: … is a symbolic link where a folder should be: nothing of aurora's is read or written through one
            verify: wine is a symbolic link
            read: … is a symbolic link where a folder should be: nothing of aurora's is read or written through one
            resolve stable: … is a symbolic link where a folder should be: nothing of aurora's is read or written through one
        "#]],
    );
}

#[test]
fn aliases_that_are_none() {
    check(
        "ln -sfn ../versions/v20270101-000000 aliases/stable",
        &expect![[r#"
            v20261101-120000: sound
            v20261120-093000: sound
            stable: v20270101-000000
            canary: v20261120-093000
            verify: sound
            read: one
            resolve stable: wine has no version v20270101-000000
        "#]],
    );
    check(
        "ln -sfn ../../../../etc aliases/stable",
        &expect![[r#"
            v20261101-120000: sound
            v20261120-093000: sound
            stable: broken: points to "../../../../etc", not to ../versions/<version>
            canary: v20261120-093000
            verify: sound
            read: one
            resolve stable: alias …/aliases/stable points to "../../../../etc", not to ../versions/<version>: remove it by hand, the next pass sets it anew
        "#]],
    );
    check(
        &format!("ln -sfn $PWD/versions/{V1} aliases/stable"),
        &expect![[r#"
            v20261101-120000: sound
            v20261120-093000: sound
            stable: broken: points to "…/versions/v20261101-120000", not to ../versions/<version>
            canary: v20261120-093000
            verify: sound
            read: one
            resolve stable: alias …/aliases/stable points to "…/versions/v20261101-120000", not to ../versions/<version>: remove it by hand, the next pass sets it anew
        "#]],
    );
    check(
        &format!("ln -sfn ../versions/../versions/{V1} aliases/stable"),
        &expect![[r#"
            v20261101-120000: sound
            v20261120-093000: sound
            stable: broken: points to "../versions/../versions/v20261101-120000", not to ../versions/<version>
            canary: v20261120-093000
            verify: sound
            read: one
            resolve stable: alias …/aliases/stable points to "../versions/../versions/v20261101-120000", not to ../versions/<version>: remove it by hand, the next pass sets it anew
        "#]],
    );
    check(
        "rm aliases/stable; mkdir aliases/stable",
        &expect![[r#"
            v20261101-120000: sound
            v20261120-093000: sound
            stable: broken: is a folder
            canary: v20261120-093000
            verify: sound
            read: one
            resolve stable: alias …/aliases/stable is a folder: remove it by hand, the next pass sets it anew
        "#]],
    );
    check(
        "rm aliases/stable; echo v1 > aliases/stable",
        &expect![[r#"
            v20261101-120000: sound
            v20261120-093000: sound
            stable: broken: is no symbolic link
            canary: v20261120-093000
            verify: sound
            read: one
            resolve stable: alias …/aliases/stable is no symbolic link: remove it by hand, the next pass sets it anew
        "#]],
    );
}

#[test]
fn a_history_that_is_torn_or_rubbish() {
    let root = tempfile::tempdir().unwrap();
    Store::init(root.path(), &owner(), now()).unwrap();
    let publish = format!("publish wine {V1} one");
    let (to_v1, remove) = (format!("move wine stable {V1}"), "remove wine stable");
    for words in [publish.as_str(), &to_v1] {
        write(root.path(), words).unwrap();
    }
    let model = word("wine");
    let file = root.path().join("aurora/wine/history.jsonl");
    let entries = |expected: &Expect| {
        expected.assert_eq(&crate::view::render_history(root.path(), &model).unwrap());
    };
    let append = |text: &str| {
        let whole = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, whole + text).unwrap();
    };

    append(r#"{"at":"2026-11-20T09:3"#);
    entries(&expect![[r#"
        Moved stable - v20261101-120000
    "#]]);
    write(root.path(), remove).unwrap();
    entries(&expect![[r#"
        Moved stable - v20261101-120000
        Removed stable v20261101-120000 -
    "#]]);
    assert!(!std::fs::read_to_string(&file).unwrap().contains("09:3\""));

    append("rubbish\n\u{fffd}\n");
    write(root.path(), &to_v1).unwrap();
    entries(&expect![[r#"
        Moved stable - v20261101-120000
        Removed stable v20261101-120000 -
        Moved stable - v20261101-120000
    "#]]);

    // No crash tears so long a line off: it stays, and the next entry begins a line of its own.
    append(&"x".repeat(20_000));
    write(root.path(), remove).unwrap();
    entries(&expect![[r#"
        Moved stable - v20261101-120000
        Removed stable v20261101-120000 -
        Moved stable - v20261101-120000
        Removed stable v20261101-120000 -
    "#]]);
    let junk = Store::open(root.path()).unwrap().history_junk(&model).unwrap();
    assert_eq!(
        junk.map(|junk| (junk.lines, junk.bytes)),
        Some((3, 8 + 4 + 20_001))
    );
    write(root.path(), &to_v1).unwrap();
    assert_eq!(
        Store::open(root.path()).unwrap().history(&model).unwrap().len(),
        5
    );
}

/// A hundred megabytes of what is no entry: read once, in bounded memory, and no entry before or after it is lost.
#[test]
fn a_history_full_of_junk_is_read_once() {
    for (what, junk, bytes) in [
        ("a hole", "truncate -s 100M history.jsonl", 100 << 20),
        (
            "a line",
            "head -c 20000000 /dev/zero | tr '\\0' x >> history.jsonl",
            20_000_000,
        ),
        (
            "lines",
            "yes '{\"at\": 1}' | head -c 5000000 >> history.jsonl",
            5_000_000,
        ),
        (
            "bytes",
            "head -c 5000000 /dev/urandom >> history.jsonl",
            5_000_000,
        ),
    ] {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let store = Store::init(root, &owner(), now()).unwrap();
        let model: ModelName = word("wine");
        for words in [
            format!("publish wine {V1} one"),
            format!("move wine canary {V1}"),
            format!("abort wine {V1} one"),
        ] {
            write(root, &words).unwrap();
        }
        let observer = Observer::new(store.clone());
        let before = observer.observe(&model).unwrap();
        assert_eq!(before.aborted.len(), 1);
        let status = Command::new("sh")
            .args(["-ec", junk])
            .current_dir(root.join("aurora/wine"))
            .status();
        assert!(status.unwrap().success(), "{what}");

        assert_eq!(observer.observe(&model).unwrap(), before, "{what}");
        let read = observer.history_bytes();
        assert!(read >= bytes, "{what}");
        for _ in 0..3 {
            assert_eq!(observer.observe(&model).unwrap(), before, "{what}");
        }
        write(root, &format!("move wine stable {V1}")).unwrap();
        write(root, "remove wine canary").unwrap();
        let after = observer.observe(&model).unwrap();
        assert!(after.aborted.is_empty(), "{what}");
        // Random bytes may end in what a crash could have torn off.
        let again = observer.history_bytes() - read;
        assert!(again < 100_000, "{what}: {again}");
        assert_eq!(
            Observer::new(store.clone()).observe(&model).unwrap(),
            after,
            "{what}"
        );
        let entries = store.history(&model).unwrap();
        assert_eq!(entries.len(), 4, "{what}");
        assert!(
            store.history_junk(&model).unwrap().unwrap().bytes > bytes / 10 * 9,
            "{what}"
        );
    }
}

/// Stages a data file, changes it behind Aurora's back, and shows what is found; then the file is staged again.
fn check_staged(command: &str, expected: &Expect) {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let store = Store::init(root, &owner(), now()).unwrap();
    let sha256 = Digest::of(b"a,b\n1,2\n");
    store.stage_dataset(&sha256, &b"a,b\n1,2\n"[..]).unwrap();
    assert!(store.verify_dataset(&sha256).is_ok());
    assert!(!store.discard_damaged(&sha256).unwrap());
    let status = Command::new("sh")
        .args(["-ec", command])
        .env("F", sha256.hex())
        .current_dir(root.join("aurora/datasets"))
        .status();
    assert!(status.unwrap().success(), "{command}");

    let mut text = match store.verify_dataset(&sha256) {
        Ok(()) => "sound\n".to_owned(),
        Err(damage) => format!("{damage}\n"),
    };
    text += match store.open_dataset(&sha256) {
        Ok(Some(_)) => "it can be read\n",
        Ok(None) => "there is none\n",
        Err(_) => "it is not read\n",
    };
    assert!(store.discard_damaged(&sha256).unwrap());
    assert!(
        !store.datasets().unwrap().contains(&sha256),
        "the next pass stages it"
    );
    text += &match store.stage_dataset(&sha256, &b"a,b\n1,2\n"[..]) {
        Ok(()) => "staged again\n".to_owned(),
        Err(error) => format!("{error}\n"),
    };
    assert_eq!(std::fs::read(root.join("outside")).unwrap_or_default(), b"");
    let text = text.replace(&root.display().to_string(), "…");
    expected.assert_eq(&text.replace(&sha256.hex(), "F"));
}

#[test]
fn staged_data_is_verified_and_staged_again() {
    check_staged(
        "printf 'a,b\\n' > $F",
        &expect![[r#"
        F has sha256:5be08c9684a1d25efcee09318204824278b08bbfb4aef973ffefd0b9d7478313, and its record says sha256:F
        it can be read
        staged again
    "#]],
    );
    check_staged(
        ": > $F",
        &expect![[r#"
        F has sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855, and its record says sha256:F
        it can be read
        staged again
    "#]],
    );
    check_staged(
        "printf 'a,b\\n1,3\\n' > $F",
        &expect![[r#"
        F has sha256:8baab0330389def9ec921e89f5d0f28e41e6b80ce9de95e046df431dfec66925, and its record says sha256:F
        it can be read
        staged again
    "#]],
    );
    check_staged(
        "rm $F",
        &expect![[r#"
        F is missing
        there is none
        staged again
    "#]],
    );
    check_staged(
        "rm $F; : > ../../outside; ln -s ../../outside $F",
        &expect![[r#"
            F is a symbolic link
            it is not read
            staged again
        "#]],
    );
    check_staged(
        "rm $F; mkfifo $F",
        &expect![[r#"
        F is no regular file
        it is not read
        staged again
    "#]],
    );
    check_staged(
        "rm $F; mkdir $F; touch $F/x",
        &expect![[r#"
        F is no regular file
        it is not read
        …/aurora/datasets/F is a folder where a data file should be: move it away, then the next pass stages the file
    "#]],
    );
}
