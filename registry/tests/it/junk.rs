//! Histories and staged data that somebody, or a crash, wrote junk into.

use std::process::Command;

use expect_test::{Expect, expect};
use planner::names::{Digest, ModelName};
use registry::{Observer, Store};

use crate::scenario::{now, owner, word, write};

const V1: &str = "v20261101-120000";

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
    let junk: Vec<_> = junk
        .iter()
        .map(|(file, junk)| (&file[..], junk.lines, junk.bytes))
        .collect();
    assert_eq!(junk, [("history.jsonl", 3, 8 + 4 + 20_001)]);
    write(root.path(), &to_v1).unwrap();
    assert_eq!(
        Store::open(root.path())
            .unwrap()
            .history(&model, 9)
            .unwrap()
            .len(),
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
        let entries = store.history(&model, 9).unwrap();
        assert_eq!(entries.len(), 4, "{what}");
        assert!(
            store.history_junk(&model).unwrap()[0].1.bytes > bytes / 10 * 9,
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
