//! What people say of a version.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use planner::names::{ModelName, Version};
use registry::{DescriptionChange, Keep, Reference, Store, StoreError, TooLong};

use crate::scenario::{now, owner, word, write};

const V1: &str = "v20261101-120000";
const V2: &str = "v20261120-093000";

fn store() -> (tempfile::TempDir, Store) {
    let root = tempfile::tempdir().unwrap();
    let store = Store::init(root.path(), &owner(), now()).unwrap();
    for words in [format!("publish wine {V1} one"), format!("publish wine {V2} two")] {
        write(root.path(), &words).unwrap();
    }
    (root, store)
}

fn by(actor: &str) -> DescriptionChange {
    DescriptionChange::new(now(), actor).unwrap()
}

fn v(version: &str) -> (ModelName, Version, Reference) {
    let version: Version = word(version);
    (word("wine"), version.clone(), Reference::Version(version))
}

#[test]
fn what_is_said_last_counts_and_what_is_not_named_stays() {
    let (root, store) = store();
    let (wine, v1, at_v1) = v(V1);
    let digest = store.resolve(&wine, &at_v1).unwrap().digest;
    let first = by("ann")
        .owner("team wine")
        .unwrap()
        .tag("tier", Some("gold"))
        .unwrap();
    store.describe(&wine, &at_v1, first).unwrap();
    // What a crash has torn costs no other line.
    let file = root.path().join(format!("aurora/wine/descriptions/{V1}.jsonl"));
    fs::write(&file, fs::read_to_string(&file).unwrap() + "{\"at\":\"20").unwrap();
    let second = by("bob")
        .description("of 2025")
        .unwrap()
        .tag("tier", None)
        .unwrap()
        .tag("eu", Some("yes"))
        .unwrap();
    let (entry, said) = store.describe(&wine, &at_v1, second).unwrap();
    assert_eq!(said, store.description(&wine, &v1).unwrap());
    assert_eq!(said.owner.as_deref(), Some("team wine"));
    assert_eq!(said.description.as_deref(), Some("of 2025"));
    assert_eq!(said.tags, [("eu".to_owned(), "yes".to_owned())].into());
    assert_eq!(said.changed_by.as_deref(), Some("bob"));
    store
        .describe(&wine, &at_v1, by("ann").owner("").unwrap())
        .unwrap();
    assert_eq!(store.description(&wine, &v1).unwrap().owner, None);
    // It is part of nothing that is checked.
    assert_eq!(entry.digest, digest);
    store.verify(&entry).unwrap();
    assert_eq!(
        store.description(&wine, &word(V2)).unwrap(),
        registry::Description::default()
    );
}

#[test]
fn what_is_too_much_is_refused_and_nothing_is_written() {
    let (root, store) = store();
    let (wine, v1, at_v1) = v(V1);
    let long = "x".repeat(2_001);
    let too_long: [Result<DescriptionChange, TooLong>; 4] = [
        by("ann").owner(&long),
        by("ann").description(&long),
        by("ann").tag(&long, None),
        by("ann").tag("tier", Some(&long)),
    ];
    for refused in too_long {
        assert!(refused.unwrap_err().to_string().contains("2001 characters"));
    }
    let tagged = |from: usize, to: usize| {
        (from..to).fold(by("ann"), |change, tag| {
            change.tag(&format!("t{tag}"), Some("x")).unwrap()
        })
    };
    store.describe(&wine, &at_v1, tagged(0, 50)).unwrap();
    let error = store.describe(&wine, &at_v1, tagged(50, 51)).unwrap_err();
    assert!(error.to_string().contains("more than 50 tags"), "{error}");
    assert_eq!(store.description(&wine, &v1).unwrap().tags.len(), 50);
    let full = loop {
        let change = by("ann").description(&"y".repeat(2_000)).unwrap();
        if let Err(error) = store.describe(&wine, &at_v1, change) {
            break error;
        }
    };
    assert!(matches!(full, StoreError::TooLarge { .. }), "{full}");
    let gone = store.describe(&wine, &Reference::Version(word("v20200101-000000")), by("ann"));
    assert!(matches!(gone, Err(StoreError::NotFound { .. })));
    let folder = root.path().join("aurora/wine/descriptions");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
}

#[test]
fn it_goes_with_its_version_and_with_no_other() {
    let (_root, store) = store();
    let (wine, ..) = v(V1);
    for version in [V1, V2] {
        store
            .describe(&wine, &v(version).2, by("ann").owner("ann").unwrap())
            .unwrap();
    }
    let keep = Keep {
        pinned: BTreeSet::from([(wine.clone(), word(V2))]),
        datasets: BTreeSet::new(),
        last: 0,
        minimum_age: Duration::ZERO,
    };
    let later = now() + Duration::from_hours(48 * 365 * 10);
    assert_eq!(store.collect(&keep, later, true).unwrap().len(), 1);
    assert_eq!(
        store.description(&wine, &word(V1)).unwrap().owner.as_deref(),
        Some("ann")
    );
    store.collect(&keep, later, false).unwrap();
    assert_eq!(store.description(&wine, &word(V1)).unwrap().owner, None);
    assert_eq!(
        store.description(&wine, &word(V2)).unwrap().owner.as_deref(),
        Some("ann")
    );
}
