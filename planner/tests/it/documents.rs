//! What a page of the documentation promises to name whole.

use std::collections::BTreeSet;

use planner::finding::Reason;
use planner::rollout::HoldReason;
use planner::word::WaitReason;
use serde::de::DeserializeOwned;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error, StrDeserializer};

const FINDINGS: &str = include_str!("../../../docs/findings.md");

/// Returns all names of an enum, as the refusal of another one lists them.
fn names<T: DeserializeOwned + std::fmt::Debug>() -> BTreeSet<String> {
    let nobody: StrDeserializer<'_, Error> = "nobody".into_deserializer();
    let refused = T::deserialize(nobody).unwrap_err().to_string();
    let words = refused.split('`').skip(1).step_by(2).skip(1);
    words.map(str::to_owned).collect()
}

/// Returns what the first cells of a part's tables name.
fn rows(part: &str) -> BTreeSet<String> {
    let rows = part.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split('`').next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn every_finding_is_described_and_nothing_else() {
    let (findings, others) = FINDINGS.split_once("## Reasons without a finding").unwrap();
    assert_eq!(rows(findings), names::<Reason>());
    let described = rows(others);
    for reason in names::<WaitReason>() {
        assert!(described.contains(&reason), "{reason}");
    }
    // What does not load is a finding.
    for reason in names::<HoldReason>()
        .iter()
        .filter(|reason| *reason != "LoadFailed")
    {
        assert!(described.contains(reason), "{reason}");
    }
    assert!(names::<Reason>().contains("DriftLeft"), "the list is whole");
}
