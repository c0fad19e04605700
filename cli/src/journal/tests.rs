use std::fs;

use planner::Timestamp;

use super::*;

fn record(second: i64, message: &str) -> Record {
    serde_json::from_value(serde_json::json!({
        "at": Timestamp::from_timestamp(1_800_000_000 + second, 0).unwrap(), "event": "weight",
        "subject": "model wine", "message": message, "attention": false, "revision": null, "author": null,
    }))
    .unwrap()
}

#[test]
fn what_a_crash_has_torn_costs_no_other_record() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path();
    assert_eq!(read(data_dir).unwrap(), None);
    append(data_dir, &[record(0, "first")]).unwrap();
    let torn = fs::read_to_string(data_dir.join(CURRENT)).unwrap() + "{\"at\":\"2027-";
    fs::write(data_dir.join(CURRENT), torn).unwrap();
    append(data_dir, &[record(1, "two\nlines"), record(2, "third")]).unwrap();
    let expected = [record(0, "first"), record(1, "two\nlines"), record(2, "third")];
    assert_eq!(read(data_dir).unwrap().unwrap(), expected);
}

#[test]
fn two_files_are_kept_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path();
    let records: Vec<Record> = (0..3_000)
        .map(|second| record(second, &"x".repeat(1_000)))
        .collect();
    for records in records.chunks(100) {
        append(data_dir, records).unwrap();
    }
    for _again in 0..3 {
        for records in records.chunks(100) {
            append(data_dir, records).unwrap();
        }
    }
    let sizes: Vec<u64> = fs::read_dir(data_dir)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .collect();
    assert_eq!(sizes.len(), 2);
    assert!(sizes.iter().all(|bytes| *bytes < READ_BYTES_MAX), "{sizes:?}");
    let kept = read(data_dir).unwrap().unwrap();
    assert!(
        kept.len() > 3_000 && kept.last() == records.last(),
        "{}",
        kept.len()
    );
}

#[test]
fn a_change_names_what_it_is_about() {
    let news = crate::news::News::Applied {
        revision: None,
        changes: [
            "MLDeployment/wine: stable v20260101-000000 [aaaaaaaaaa]",
            "alias wine@canary: none -> v20260101-000000",
            "wine: import v20260101-000000 (abc) from https://example.org [aaaaaaaaaa]",
        ]
        .map(str::to_owned)
        .to_vec(),
    };
    let commit = Commit {
        revision: Some("a".repeat(40).parse().unwrap()),
        author: Some("Ann <ann@example.org>".to_owned()),
    };
    let kept = Record::of(&news, &commit, Timestamp::from_timestamp(0, 0).unwrap());
    let subjects: Vec<_> = kept.iter().map(|record| record.subject.as_str()).collect();
    assert_eq!(subjects, ["MLDeployment/wine", "model wine", "model wine"]);
    assert!(kept.iter().all(|record| record.author == commit.author));
}
