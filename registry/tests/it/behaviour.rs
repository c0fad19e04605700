//! Publishing, finding, naming, staging and collecting.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use expect_test::{Expect, expect};
use planner::names::{Digest, ModelName, Track, Version};
use registry::run::{Ending, Progress, RunResult};
use registry::{Collected, Gate, HistoryEntry, Keep, Observer, Reference, Store, StoreError};
use tempfile::TempDir;

use crate::scenario::{because, draft, now, owner, word, write};
use crate::view::{render, render_history};

const V1: &str = "v20261101-120000";
const V2: &str = "v20261120-093000";

/// A store with two versions of one model.
fn store() -> (TempDir, Store) {
    let root = tempfile::tempdir().unwrap();
    let store = Store::init(root.path(), &owner(), now()).unwrap();
    for words in [format!("publish wine {V1} one"), format!("publish wine {V2} two")] {
        write(root.path(), &words).unwrap();
    }
    (root, store)
}

fn wine() -> ModelName {
    word("wine")
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn refused<T: std::fmt::Debug>(result: Result<T, StoreError>, expected: &Expect) {
    expected.assert_eq(&result.unwrap_err().to_string());
}

/// Every file below a root, with what it says or where it leads.
fn everything(root: &Path) -> Vec<String> {
    let told = Command::new("find")
        .args([".", "(", "-type", "l", "-printf", "%p -> %l\\n", ")"])
        .args(["-o", "(", "-type", "f", "-exec", "sha256sum", "{}", ";", ")"])
        .current_dir(root)
        .output()
        .unwrap();
    let mut lines: Vec<String> = String::from_utf8(told.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

#[test]
fn nothing_is_written_once_the_gate_is_closed_wherever_that_comes() {
    type Write = fn(&Store) -> Result<(), StoreError>;
    let moves: Write = |store| store.move_alias(&wine(), Track::Stable, &word(V2), because("because"));
    let removes: Write = |store| store.remove_alias(&wine(), Track::Stable, because("because"));
    let appends: Write = |store| {
        let entry = HistoryEntry {
            event: registry::Event::Aborted,
            digest: Some(Digest::of(b"one")),
            ..because("because")
        };
        store.append_history(&wine(), &entry)
    };
    let stages: Write = |store| store.stage_dataset(&Digest::of(b"rows"), &b"rows"[..]);
    let makes: Write = |store| store.clone().make(&owner(), now()).map(drop);
    let owns: Write = |store| store.clone().own_beside_trainers(&owner()).map(drop);
    for (name, write, asked_at_least) in [
        ("moves", moves, 3),
        ("removes", removes, 3),
        ("appends", appends, 2),
        ("stages", stages, 2),
        ("makes", makes, 2),
        ("owns", owns, 1),
    ] {
        // How often the gate is asked, and what a write leaves that it stops at the n-th time.
        let mut asked = 0;
        for closes_at in 1.. {
            let (root, store) = store();
            store
                .move_alias(&wine(), Track::Stable, &word(V1), because("before"))
                .unwrap();
            let before = everything(root.path());
            let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let counting = count.clone();
            let gate = move || counting.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1 < closes_at;
            let result = write(&store.behind(Gate::new(gate)));
            if count.load(std::sync::atomic::Ordering::Relaxed) < closes_at {
                result.unwrap();
                break;
            }
            asked = closes_at;
            assert!(
                matches!(result, Err(StoreError::NotPermitted)),
                "{name}: {result:?}"
            );
            let after = everything(root.path());
            // Between a line of history and its link, it is the line alone that was written.
            let changed: Vec<&String> = after.iter().filter(|line| !before.contains(line)).collect();
            assert!(
                changed
                    .iter()
                    .all(|line| closes_at > 2 && line.contains("history.jsonl")),
                "{name}: {changed:?}"
            );
            assert_eq!(before.len(), after.len(), "{name}: {after:?}");
        }
        assert!(asked >= asked_at_least, "{name}: {asked}");
    }
}

#[test]
fn a_version_is_files_that_other_tools_read() {
    let (root, _store) = store();
    let folder = root.path().join("aurora/wine/versions").join(V1);
    assert_eq!(files(&folder), ["checksums", "metadata.json", "model.onnx"]);
    let check = Command::new("sha256sum")
        .args(["--check", "--strict", "checksums"])
        .current_dir(&folder)
        .output()
        .unwrap();
    expect![[r#"
        metadata.json: OK
        model.onnx: OK
    "#]]
    .assert_eq(&String::from_utf8(check.stdout).unwrap());
    let metadata = std::fs::read_to_string(folder.join("metadata.json")).unwrap();
    let head: Vec<_> = metadata.lines().take(12).collect();
    expect![[r#"
        {
          "model_name": "wine",
          "version": "v20261101-120000",
          "framework": "linfa",
          "algorithm": "linear_regression",
          "trained_at": "2026-11-20T09:30:00Z",
          "features": 1,
          "r2_score": 0.75,
          "artifact": {
            "file": "model.onnx",
            "digest": "sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
            "bytes": 3"#]]
    .assert_eq(&head.join("\n"));
}

#[test]
fn a_reference_is_a_version_an_alias_or_a_digest() {
    let (root, store) = store();
    write(root.path(), &format!("move wine stable {V1}")).unwrap();
    let find = |reference: &str| {
        let reference: Reference = reference.parse().unwrap();
        store
            .resolve(&wine(), &reference)
            .map(|entry| entry.version.to_string())
    };
    let two = Digest::of(b"two");
    assert_eq!(find(V2).unwrap(), V2);
    assert_eq!(find("stable").unwrap(), V1);
    assert_eq!(find(&two.to_string()).unwrap(), V2);
    refused(find("canary"), &expect!["wine has no alias canary"]);
    refused(
        find("v20270101-000000"),
        &expect!["wine has no version v20270101-000000"],
    );
    refused(
        store.resolve(&word("iris"), &Reference::Alias(Track::Stable)),
        &expect!["iris has no alias stable"],
    );
    expect![[r#""latest" is not stable, canary, a version (v20261101-120000), a digest (sha256:…) or its first 8 or more digits"#]]
        .assert_eq(&"latest".parse::<Reference>().unwrap_err().to_string());

    // Two versions of the same bytes: the newer one.
    write(root.path(), "publish wine v20261121-000000 two").unwrap();
    assert_eq!(find(&two.to_string()).unwrap(), "v20261121-000000");
    // As tables print it, or longer.
    for short in [
        &two.short(),
        &two.hex()[..8],
        &two.hex()[..63],
        &two.to_string()[..20],
    ] {
        assert_eq!(find(short).unwrap(), "v20261121-000000", "{short}");
    }
    refused(
        find("0123456789ab"),
        &expect!["wine has no artifact sha256:0123456789ab…"],
    );
    for malformed in [
        &two.hex()[..7],
        &two.hex().to_uppercase()[..12],
        "sha256:",
        "0123456789ax",
    ] {
        assert!(malformed.parse::<Reference>().is_err(), "{malformed}");
    }
    let names: Vec<_> = store
        .versions(&wine())
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(names, [V1, V2, "v20261121-000000"]);
}

#[test]
fn a_short_digest_that_several_artifacts_have_names_none() {
    let (root, store) = store();
    // The digests of both begin with c43c4589.
    write(root.path(), "publish wine v20261121-000000 n18622").unwrap();
    write(root.path(), "publish wine v20261122-000000 n41826").unwrap();
    let find = |reference: &str| store.resolve(&wine(), &reference.parse().unwrap());
    refused(
        find("c43c4589"),
        &expect![
            "artifact sha256:c43c4589… of wine may be sha256:c43c4589e992fb0e3d7603677c29bd1a021363a908fbc2b5b640f1aafbd94f19 or sha256:c43c45890497216d91999059b9109fa1314396278bded4c54fe6eb70bcc50b54: give more digits"
        ],
    );
    assert_eq!(find("c43c45890").unwrap().version.to_string(), "v20261121-000000");
}

#[test]
fn a_version_never_changes() {
    let (root, store) = store();
    let seen = render(root.path()).unwrap();
    assert_eq!(
        store.publish(draft("wine", V1, "one")).unwrap().digest,
        Digest::of(b"one")
    );
    let mut other_inputs = draft("wine", V1, "one");
    other_inputs.metadata.inputs_hash = None;
    assert!(matches!(
        store.publish(other_inputs),
        Err(StoreError::Exists { .. })
    ));
    refused(
        store.publish(draft("wine", V1, "three")),
        &expect![
            "wine v20261101-120000 exists already with artifact sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed, not sha256:8b5b9db0c13db24256c829aa364aa90c6d2eba318b9232a4ab9313b954d3555f: a version never changes, publish another one"
        ],
    );
    assert_eq!(render(root.path()).unwrap(), seen);
}

#[test]
fn a_draft_that_contradicts_itself_is_refused() {
    let (root, store) = store();
    let mut wrong_digest = draft("iris", V1, "one");
    wrong_digest.artifact = b"oen".to_vec();
    refused(
        store.publish(wrong_digest),
        &expect![
            "iris v20261101-120000 cannot be published: its metadata says sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed in 3 bytes, and the artifact has sha256:a2b65fc80077ecec806bafbf3769a9d50f648bdabc2900bb60f10a13889eecfe in 3"
        ],
    );
    let mut not_finite = draft("iris", V1, "one");
    not_finite
        .metadata
        .metrics
        .as_mut()
        .unwrap()
        .values
        .insert("r2".to_owned(), f64::NAN);
    refused(
        store.publish(not_finite),
        &expect![
            "iris v20261101-120000 cannot be published: metadata.json cannot be read: invalid type: null, expected f64 at line 36 column 16 (is a number not finite?)"
        ],
    );
    refused(
        store.publish(draft("datasets", V1, "one")),
        &expect!["a model cannot be called datasets: the registry keeps a folder of its own under this name"],
    );
    refused(
        store
            .clone()
            .with_artifact_limit(2)
            .publish(draft("iris", V1, "one")),
        &expect!["iris v20261101-120000 cannot be published: an artifact has at most 2 bytes"],
    );
    assert_eq!(
        files(&root.path().join("aurora")),
        ["datasets", "registry", "wine"]
    );
}

#[test]
fn an_artifact_above_the_limit_is_not_read() {
    let (_root, store) = store();
    let entry = store.resolve(&wine(), &Reference::Version(word(V1))).unwrap();
    let store = store.with_artifact_limit(2);
    assert!(matches!(
        store.read_artifact(&entry),
        Err(StoreError::TooLarge { limit: 2, .. })
    ));
    expect!["model.onnx has more than 2 bytes"].assert_eq(&store.verify(&entry).unwrap_err().to_string());
}

#[test]
fn of_writers_of_one_version_one_wins_and_readers_see_it_whole() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::init(root.path(), &owner(), now()).unwrap();
    let published = std::thread::scope(|scope| {
        let writers: Vec<_> = ["one", "two", "three", "four"]
            .map(|content| {
                let store = store.clone();
                scope.spawn(move || store.publish(draft("wine", V1, content)).is_ok())
            })
            .into();
        let reader = scope.spawn(|| {
            while store.versions(&wine()).unwrap().is_empty() {
                std::thread::yield_now();
            }
            render(root.path()).unwrap()
        });
        let seen = reader.join().unwrap();
        assert!(!seen.contains("damaged"), "{seen}");
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .filter(|won| *won)
            .count()
    });
    assert_eq!(published, 1);
    assert_eq!(files(&root.path().join("aurora/wine/versions")), [V1]);
}

#[test]
fn an_alias_moves_with_its_record() {
    let (root, store) = store();
    let to = |version: &str, entry: HistoryEntry| {
        store.move_alias(&wine(), Track::Canary, &word::<Version>(version), entry)
    };
    to(V1, because("pinned")).unwrap();
    to(V2, because("pinned")).unwrap();
    let link = std::fs::read_link(root.path().join("aurora/wine/aliases/canary")).unwrap();
    assert_eq!(link, Path::new("../versions").join(V2));
    let file = root.path().join("aurora/wine/history.jsonl");
    let history = std::fs::read_to_string(&file).unwrap();
    expect![[r#"{"at":"2026-11-20T09:30:00Z","event":"moved","alias":"canary","from":"v20261101-120000","to":"v20261120-093000","digest":"sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3","revision":null,"actor":"aurora","reason":"pinned"}"#]].assert_eq(history.lines().last().unwrap());

    to(V2, because("pinned")).unwrap();
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        history,
        "a repeated move writes nothing"
    );
    refused(
        to("v20270101-000000", because("pinned")),
        &expect!["wine has no version v20270101-000000"],
    );
    let other = HistoryEntry {
        digest: Some(Digest::of(b"other")),
        ..because("pinned")
    };
    refused(
        to(V1, other),
        &expect![
            "wine v20261101-120000 has artifact sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed, not sha256:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa: its alias stays"
        ],
    );

    store
        .remove_alias(&wine(), Track::Canary, because("unpinned"))
        .unwrap();
    store
        .remove_alias(&wine(), Track::Canary, because("unpinned"))
        .unwrap();
    expect![[r#"
        Moved canary - v20261101-120000
        Moved canary v20261101-120000 v20261120-093000
        Removed canary v20261120-093000 -
    "#]]
    .assert_eq(&render_history(root.path(), &wine()).unwrap());
    assert_eq!(files(&root.path().join("aurora/wine/aliases")), [""; 0]);
}

#[test]
fn an_abort_stands_until_the_canary_moves() {
    let (root, store) = store();
    let witness = Observer::new(store.clone());
    let aborted = |words: &str| {
        write(root.path(), words).unwrap();
        let observed = witness.observe(&wine()).unwrap();
        observed.aborted.iter().map(Digest::short).collect::<Vec<_>>()
    };
    let (abort, two) = (format!("abort wine {V2} two"), Digest::of(b"two").short());
    assert_eq!(aborted(&format!("move wine canary {V2}")), [""; 0]);
    assert_eq!(aborted(&abort), [two.as_str()]);
    assert_eq!(aborted(&format!("move wine stable {V1}")), [two.as_str()]);
    assert_eq!(
        aborted(&abort),
        [two.as_str()],
        "an abort that stands is not recorded twice"
    );
    assert_eq!(aborted("remove wine canary"), [""; 0]);
    expect![[r#"
        Moved canary - v20261120-093000
        Aborted canary v20261120-093000 -
        Moved stable - v20261101-120000
        Removed canary v20261120-093000 -
    "#]]
    .assert_eq(&render_history(root.path(), &wine()).unwrap());
    let observed = Observer::new(store).observe(&wine()).unwrap();
    assert_eq!(observed, witness.observe(&wine()).unwrap());
    assert_eq!(observed.history_digests[&word::<Version>(V2)], Digest::of(b"two"));
}

#[test]
fn a_data_file_is_named_by_what_it_holds() {
    let (_root, store) = store();
    let rows = Digest::of(b"rows");
    store.stage_dataset(&rows, b"rows".as_slice()).unwrap();
    store.stage_dataset(&rows, b"rows".as_slice()).unwrap();
    assert_eq!(std::fs::read(store.dataset_path(&rows)).unwrap(), b"rows");
    refused(
        store.stage_dataset(&rows, b"wors".as_slice()),
        &expect![
            "the data has sha256:f5546f1b7c8840599cf253113defd865dd171440834bedeb0ce29e370d3ab8bf, not sha256:bc51e9e65d79e1c90ba544ab2eae1044ccdf8c1af7a559ba375cba4276f7d99e: the file changed, or its sha256 is wrong"
        ],
    );
    assert_eq!(store.datasets().unwrap(), BTreeSet::from([rows]));
    assert_eq!(files(store.dataset_path(&rows).parent().unwrap()), [rows.hex()]);
}

#[test]
fn a_run_leaves_progress_and_a_result() {
    let (_root, store) = store();
    let (model, version): (ModelName, Version) = (word("wine"), word(V1));
    assert!(store.run(&model, &version).unwrap().is_none());
    let run = store.ensure_run(&model, &version).unwrap();
    assert_eq!(run.progress().unwrap(), None);
    assert_eq!(run.result().unwrap(), None);
    let progress = |percent| Progress {
        at: now(),
        percent,
        stage: "fit".to_owned(),
    };
    run.append_progress(&progress(10)).unwrap();
    run.append_progress(&progress(20)).unwrap();
    let file = store.run_dir(&model, &version).join("progress.jsonl");
    let torn = std::fs::read_to_string(&file).unwrap() + "{\"at\":";
    std::fs::write(&file, torn).unwrap();
    assert_eq!(run.progress().unwrap(), Some(progress(20)));
    let result = RunResult {
        at: now(),
        ending: Ending::Refused {
            message: "r2 is 0.2".to_owned(),
        },
    };
    run.write_result(&result).unwrap();
    let found = store.run(&model, &version).unwrap().unwrap();
    assert_eq!(found.result().unwrap(), Some(result));
}

#[test]
fn a_run_goes_with_its_version_and_of_those_without_the_last_stay() {
    let (root, store) = store();
    let run = |version: &str| store.ensure_run(&wine(), &word(version)).map(drop).unwrap();
    let failed = |n: usize| format!("v20261101-{n:06}");
    for version in [V1, V2] {
        run(version);
    }
    (0..30).for_each(|n| run(&failed(n)));
    let runs = root.path().join("aurora/wine/runs");
    std::fs::create_dir(runs.join("mine")).unwrap();
    let keep = Keep {
        pinned: [(wine(), word(&failed(3))), (wine(), word(V2))].into(),
        datasets: [].into(),
        last: 0,
        minimum_age: Duration::from_hours(24),
    };
    assert_eq!(
        store.collect(&keep, now(), false).unwrap(),
        [],
        "a run may be under way"
    );
    let later = word("2126-11-20T09:30:00Z");
    let doomed = store.collect(&keep, later, true).unwrap();
    assert_eq!(files(&runs).len(), 33, "it only says so");
    assert_eq!(store.collect(&keep, later, false).unwrap(), doomed);
    let gone = (0..10)
        .filter(|n| *n != 3)
        .map(|n| Collected::Run(wine(), word(&failed(n))));
    assert_eq!(doomed[0], Collected::Version(wine(), word(V1)));
    assert!(doomed[1..].iter().cloned().eq(gone), "{doomed:?}");
    let mut left: Vec<String> = [failed(3)].into_iter().chain((10..30).map(failed)).collect();
    left.extend([V2.to_owned(), "mine".to_owned()]);
    left.sort();
    assert_eq!(
        files(&runs),
        ["mine"]
            .iter()
            .map(ToString::to_string)
            .chain(left.into_iter().filter(|name| name != "mine"))
            .collect::<Vec<_>>()
    );
    assert_eq!(store.collect(&keep, later, false).unwrap(), []);
}

#[test]
fn a_collection_keeps_what_is_named_new_or_uncertain() {
    let (root, store) = store();
    let newest = "v20261122-000000";
    write(root.path(), &format!("publish wine {newest} three")).unwrap();
    write(root.path(), &format!("move wine canary {V1}")).unwrap();
    for data in ["rows", "other"] {
        write(root.path(), &format!("stage {data}")).unwrap();
    }
    let keep = Keep {
        pinned: BTreeSet::new(),
        datasets: BTreeSet::from([Digest::of(b"rows")]),
        last: 1,
        minimum_age: Duration::from_hours(24),
    };
    let later = word("2126-11-20T09:30:00Z");
    let doomed = [
        Collected::Version(wine(), word(V2)),
        Collected::Dataset(Digest::of(b"other")),
    ];
    let before = render(root.path()).unwrap();
    assert_eq!(store.collect(&keep, now(), false).unwrap(), []);
    assert_eq!(store.collect(&keep, later, true).unwrap(), doomed);
    assert_eq!(render(root.path()).unwrap(), before);
    let pinned = Keep {
        pinned: BTreeSet::from([(wine(), word(V2))]),
        ..keep.clone()
    };
    assert_eq!(store.collect(&pinned, later, true).unwrap(), doomed[1..]);

    // Who knows what a broken alias named?
    let alias = root.path().join("aurora/wine/aliases/stable");
    std::fs::write(&alias, V2).unwrap();
    let collected = store.collect(&keep, later, true).unwrap();
    assert!(matches!(collected[0], Collected::Skipped(..)), "{collected:?}");
    std::fs::remove_file(&alias).unwrap();

    assert_eq!(store.collect(&keep, later, false).unwrap(), doomed);
    expect![[r#"
        dataset bc51e9e65d79
        wine v20261101-120000 7692c3ad3540
        wine v20261122-000000 8b5b9db0c13d
        wine canary -> v20261101-120000
    "#]]
    .assert_eq(&render(root.path()).unwrap());
}
