//! Histories that have grown, and are closed.

use std::fs;
use std::path::Path;

use planner::names::{Digest, ModelName, Version};
use registry::{Event, HistoryEntry, Observer, Store};

use crate::scenario::{because, now, owner, word, write};

const V1: &str = "v20261101-120000";
const V2: &str = "v20261120-093000";

/// Writes what an Aurora that closes no history left: a year of moves, with an abort that stands.
fn a_long_history(root: &Path, lines: usize) -> Store {
    let store = Store::init(root, &owner(), now()).unwrap();
    for words in [
        format!("publish wine {V1} one"),
        format!("publish wine {V2} two"),
        format!("move wine canary {V2}"),
        format!("move wine stable {V1}"),
    ] {
        write(root, &words).unwrap();
    }
    let file = root.join("aurora/wine/history.jsonl");
    let whole = fs::read_to_string(&file).unwrap();
    let stable = whole.lines().last().unwrap();
    let mut text = format!("{stable}\n").repeat(lines - 2);
    text += &whole;
    fs::write(&file, text).unwrap();
    write(root, &format!("abort wine {V2} two")).unwrap();
    store
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_history_that_has_grown_is_closed_and_the_next_one_begins_with_what_counts() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let folder = root.join("aurora/wine");
    let model: ModelName = word("wine");
    // The abort closes it.
    let store = a_long_history(root, 14_000);
    assert_eq!(
        names(&folder),
        ["aliases", "history-1.jsonl", "history.jsonl", "versions"]
    );
    assert_eq!(
        fs::read_to_string(folder.join("history-1.jsonl"))
            .unwrap()
            .lines()
            .count(),
        14_000
    );
    let short = fs::read_to_string(folder.join("history.jsonl")).unwrap();
    assert_eq!(short.lines().count(), 3, "{short}");

    // It alone says all that is decided by: whoever reads no closed part decides the same.
    let observer = Observer::new(store.clone());
    let found = observer.observe(&model).unwrap();
    assert_eq!(observer.history_bytes(), short.len() as u64);
    let digests = [(V1, "one"), (V2, "two")]
        .map(|(version, content)| (word::<Version>(version), Digest::of(content.as_bytes())));
    assert!(found.history_digests.clone().into_iter().eq(digests));
    assert_eq!(found.aborted, [Digest::of(b"two")].into());
    write(root, &format!("abort wine {V2} two")).unwrap();
    write(root, &format!("move wine stable {V1}")).unwrap();
    assert_eq!(
        fs::read_to_string(folder.join("history.jsonl")).unwrap(),
        short,
        "what is recorded is known"
    );

    // Shown is all of it, each entry once.
    let count = |newest| store.history(&model, newest).unwrap().len();
    assert_eq!(
        (count(usize::MAX), count(14_001), count(2), count(0)),
        (14_001, 14_001, 2, 0)
    );
    assert_eq!(store.history(&model, 1).unwrap()[0].event, Event::Aborted);
    assert_eq!(store.history_junk(&model).unwrap(), []);

    // So it is again, after as much again.
    fs::write(folder.join("history.jsonl"), short + &"\n".repeat(200_000)).unwrap();
    write(root, "remove wine canary").unwrap();
    assert_eq!(
        names(&folder)[1..4],
        ["history-1.jsonl", "history-2.jsonl", "history.jsonl"]
    );
    assert_eq!(count(usize::MAX), 14_002);
    assert!(observer.observe(&model).unwrap().aborted.is_empty());

    // A closed part that somebody took away takes its entries along, and nothing else.
    fs::remove_file(folder.join("history-1.jsonl")).unwrap();
    fs::remove_file(folder.join("history-2.jsonl")).unwrap();
    let left = store.history(&model, 9).unwrap();
    assert_eq!(left.last().unwrap().event, Event::Removed);
    assert_eq!(
        Observer::new(store).observe(&model).unwrap(),
        observer.observe(&model).unwrap()
    );
}

#[test]
fn a_history_that_cannot_be_closed_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let folder = root.join("aurora/wine");
    let store = a_long_history(root, 100);
    write(root, "grow wine").unwrap();
    fs::create_dir(folder.join("history-1.jsonl")).unwrap();
    write(root, "remove wine canary").unwrap();
    assert!(fs::metadata(folder.join("history.jsonl")).unwrap().len() > 140_000);
    let model: ModelName = word("wine");
    assert_eq!(store.history(&model, 1).unwrap()[0].event, Event::Removed);

    fs::remove_dir(folder.join("history-1.jsonl")).unwrap();
    write(root, "remove wine stable").unwrap();
    assert!(fs::metadata(folder.join("history.jsonl")).unwrap().len() < 10_000);
    assert_eq!(store.history(&model, 1000).unwrap().len(), 103);
}

/// As many versions as a model may have in years: what is carried along is long itself, and is not closed with each entry.
#[test]
fn what_still_counts_may_be_long() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let store = Store::init(root, &owner(), now()).unwrap();
    let model: ModelName = word("wine");
    let mut lines = String::new();
    for n in 0..1_000 {
        let entry = HistoryEntry {
            to: Some(word(&format!("v20261101-120000-{}", n + 2))),
            digest: Some(Digest::of(b"some")),
            ..because("pinned")
        };
        lines += &format!("{}\n", serde_json::to_string(&entry).unwrap());
    }
    fs::create_dir(root.join("aurora/wine")).unwrap();
    let file = root.join("aurora/wine/history.jsonl");
    fs::write(&file, &lines).unwrap();
    let before = Observer::new(store.clone()).observe(&model).unwrap();
    assert_eq!(before.history_digests.len(), 1_000);
    write(root, &format!("abort wine {V1} one")).unwrap();
    assert_eq!(names(&root.join("aurora/wine")), ["history.jsonl"]);
    fs::write(&file, fs::read_to_string(&file).unwrap() + &lines.repeat(2)).unwrap();
    write(root, &format!("abort wine {V1} two")).unwrap();
    assert_eq!(
        names(&root.join("aurora/wine")),
        ["history-1.jsonl", "history.jsonl"]
    );
    let after = Observer::new(store.clone()).observe(&model).unwrap();
    assert_eq!(after.history_digests.len(), 1_001);
    assert_eq!(store.history(&model, usize::MAX).unwrap().len(), 3_002);
}

/// A model that nothing moves has its history closed too, once it was looked at; what is known of it stays.
#[test]
fn a_long_history_is_closed_though_nothing_is_appended() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let folder = root.join("aurora/wine");
    let store = a_long_history(root, 100);
    let model: ModelName = word("wine");
    let observer = Observer::new(store.clone());
    assert!(
        !observer.close_history(&model).unwrap(),
        "nobody has looked at it"
    );
    let before = observer.observe(&model).unwrap();
    assert!(!observer.close_history(&model).unwrap(), "it is short");

    write(root, "grow wine").unwrap();
    let whole = fs::read(folder.join("history.jsonl")).unwrap();
    let mut torn = whole.clone();
    torn.extend_from_slice(b"{\"at\":\"2026");
    fs::write(folder.join("history.jsonl"), torn).unwrap();
    observer.observe(&model).unwrap();
    assert!(observer.close_history(&model).unwrap());
    assert_eq!(fs::read(folder.join("history-1.jsonl")).unwrap(), whole);
    assert_eq!(observer.observe(&model).unwrap(), before);
    assert_eq!(Observer::new(store.clone()).observe(&model).unwrap(), before);
    assert_eq!(store.history(&model, 1_000).unwrap().len(), 101);
    assert!(!observer.close_history(&model).unwrap(), "it is short again");
}
