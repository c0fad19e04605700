//! What is news of an environment: which commit was applied, and what is wrong that was not: pure.

use std::collections::BTreeSet;

use crds::MLEnvironmentStatus;
use crds::status::FindingStatus;

use crate::events::Said;

/// How many new findings are told one by one. All stand in the status.
const FINDINGS_MAX: usize = 10;

/// Returns what is news between two reports.
pub(super) fn between(before: Option<&MLEnvironmentStatus>, after: &MLEnvironmentStatus) -> Vec<Said> {
    let applied = after.applied_revision.as_ref();
    let is_news = before.and_then(|before| before.applied_revision.as_ref()) != applied;
    let mut said: Vec<Said> = applied
        .filter(|_| is_news)
        .map(|revision| {
            let pass = after.history.iter().rev().find(|pass| pass.revision == *revision);
            let changes = pass.map(|pass| pass.changes.join("; ")).unwrap_or_default();
            let note = match changes.as_str() {
                "" => format!("commit {revision} is applied; it changes nothing"),
                changes => format!("commit {revision} is applied: {changes}"),
            };
            Said {
                is_warning: false,
                reason: "Applied".to_owned(),
                note,
            }
        })
        .into_iter()
        .collect();
    let known: BTreeSet<_> = before
        .iter()
        .flat_map(|before| &before.findings)
        .map(what)
        .collect();
    let new = after
        .findings
        .iter()
        .filter(|finding| !known.contains(&what(finding)));
    said.extend(new.take(FINDINGS_MAX).map(told));
    said
}

/// What makes a finding another one: a commit that moves its line does not.
fn what(finding: &FindingStatus) -> [&str; 3] {
    [&finding.reason, &finding.subject, &finding.message]
}

fn told(finding: &FindingStatus) -> Said {
    let place = [finding.location.as_deref(), Some(&finding.subject)];
    let place = place.into_iter().flatten().filter(|text| !text.is_empty());
    let note: Vec<&str> = place.chain([finding.message.as_str()]).collect();
    Said {
        is_warning: true,
        reason: finding.reason.clone(),
        note: note.join(": "),
    }
}

#[cfg(test)]
mod tests {
    use crds::status::PassStatus;
    use expect_test::{Expect, expect};
    use planner::Timestamp;

    use super::*;

    fn report(revision: &str, changes: &[&str], findings: &[(&str, &str)]) -> MLEnvironmentStatus {
        let revision = revision.repeat(40).parse().unwrap();
        let pass = PassStatus {
            at: Timestamp::UNIX_EPOCH,
            revision,
            plan_hash: None,
            changes: changes.iter().map(|change| (*change).to_owned()).collect(),
        };
        let finding = |(location, message): &(&str, &str)| FindingStatus {
            location: Some((*location).to_owned()),
            reason: "VersionMissing".to_owned(),
            subject: "MLDeployment/wine".to_owned(),
            message: (*message).to_owned(),
            hint: String::new(),
        };
        MLEnvironmentStatus {
            applied_revision: Some(pass.revision.clone()),
            history: vec![pass],
            findings: findings.iter().map(finding).collect(),
            ..MLEnvironmentStatus::default()
        }
    }

    fn check(before: Option<&MLEnvironmentStatus>, after: &MLEnvironmentStatus, expected: &Expect) {
        let said = between(before, after).into_iter().map(|said| {
            let kind = if said.is_warning { "Warning" } else { "Normal" };
            format!("{kind} {}: {}\n", said.reason, said.note)
        });
        expected.assert_eq(&said.collect::<String>());
    }

    #[test]
    fn a_commit_and_what_is_wrong_are_told_once() {
        let first = report("a", &["applied MLDeployment/iris"], &[("wine.yaml:7:3", "no v1")]);
        check(
            None,
            &first,
            &expect![[r"
                Normal Applied: commit aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa is applied: applied MLDeployment/iris
                Warning VersionMissing: wine.yaml:7:3: MLDeployment/wine: no v1
            "]],
        );
        check(Some(&first), &first, &expect![""]);
        let moved = report("b", &[], &[("wine.yaml:9:3", "no v1")]);
        check(
            Some(&first),
            &moved,
            &expect![[r"
                Normal Applied: commit bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb is applied; it changes nothing
            "]],
        );
        let many: Vec<(&str, String)> = (0..50).map(|n| ("wine.yaml:9:3", format!("no v{n}"))).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(at, what)| (*at, what.as_str())).collect();
        assert_eq!(
            between(Some(&moved), &report("b", &[], &many)).len(),
            FINDINGS_MAX
        );
    }
}
