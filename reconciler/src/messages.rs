//! What those are told whom an environment names, by two reports. Pure.
//!
//! Findings, changes and reasons are told as a report has them: none of these holds a secret or what a model was asked.

use crds::MLEnvironmentStatus;
use crds::status::FindingStatus;
use planner::finding::Reason;
use planner::names::Revision;
use planner::notify::Topic;
use planner::shown::escape;

use crate::pass::Reported;

/// How many findings, or changes, one message tells; the rest is counted.
const ITEMS_MAX: usize = 20;
/// The longest one, in characters.
const ITEM_CHARACTERS_MAX: usize = 500;

/// What is told at once of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Of what.
    pub topic: Topic,
    /// The commit that the pass looked at.
    pub revision: Option<Revision>,
    /// In a few words.
    pub title: String,
    /// One line each.
    pub items: Vec<String>,
    /// How many more there are.
    pub more: usize,
}

/// Returns what a report brings, in the order of the topics.
pub fn messages(reported: &Reported) -> Vec<Message> {
    let Reported {
        before,
        after,
        receivers: _,
        aborted,
    } = reported;
    let revision = &after.attempted_revision;
    let message = |topic, title: String, all: Vec<String>| {
        let more = all.len().saturating_sub(ITEMS_MAX);
        let items = all.into_iter().take(ITEMS_MAX).map(|item| line(&item)).collect();
        Message {
            topic,
            revision: revision.clone(),
            title,
            items,
            more,
        }
    };
    let (drift, findings): (Vec<_>, Vec<_>) =
        new_findings(before, after).partition(|finding| is_drift(finding));
    let mut all = Vec::new();
    if !findings.is_empty() {
        let title = counted(findings.len(), "new finding", "new findings");
        all.push(message(
            Topic::Finding,
            title,
            findings.into_iter().map(shown).collect(),
        ));
    }
    if !drift.is_empty() {
        let title = "somebody changed what Git declares, and it stands".to_owned();
        all.push(message(
            Topic::Drift,
            title,
            drift.into_iter().map(shown).collect(),
        ));
    }
    if !aborted.is_empty() {
        let title = counted(aborted.len(), "canary aborted", "canaries aborted");
        let items = aborted
            .iter()
            .map(|aborted| format!("{} {}: {}", aborted.model, aborted.version, aborted.reason));
        all.push(message(Topic::Abort, title, items.collect()));
    }
    let known = before.history.last().map(|pass| pass.at);
    if let Some(pass) = after.history.last().filter(|pass| Some(pass.at) != known) {
        let is_whole = after.applied_revision.as_ref() == Some(&pass.revision);
        let title = if is_whole { "applied" } else { "applied in part" };
        all.push(message(Topic::Applied, title.to_owned(), pass.changes.clone()));
    }
    all
}

/// Returns what was not found before. What to do about it may name the newest commit, and where it stands may move: neither
/// is news.
fn new_findings<'a>(
    before: &'a MLEnvironmentStatus,
    after: &'a MLEnvironmentStatus,
) -> impl Iterator<Item = &'a FindingStatus> {
    let said = |finding: &'a FindingStatus| (&finding.reason, &finding.subject, &finding.message);
    after
        .findings
        .iter()
        .filter(move |finding| !before.findings.iter().any(|known| said(known) == said(finding)))
}

fn is_drift(finding: &FindingStatus) -> bool {
    [Reason::Drifted, Reason::DriftLeft]
        .iter()
        .any(|reason| finding.reason == reason.to_string())
}

fn shown(finding: &FindingStatus) -> String {
    let FindingStatus {
        location,
        reason,
        subject,
        message,
        hint: _,
    } = finding;
    let place = location.iter().map(String::as_str);
    let parts = place.chain([reason, subject, message].map(String::as_str));
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    parts.join(": ")
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn line(text: &str) -> String {
    let shown = escape(text);
    if shown.chars().count() <= ITEM_CHARACTERS_MAX {
        return shown.into_owned();
    }
    let begin: String = shown.chars().take(ITEM_CHARACTERS_MAX - 1).collect();
    format!("{begin}…")
}

#[cfg(test)]
mod tests {
    use crds::status::PassStatus;
    use planner::Timestamp;

    use super::*;
    use crate::pass::Aborted;

    fn finding(reason: &str, message: &str) -> FindingStatus {
        FindingStatus {
            location: Some("environments/dev/a.yaml:3:5".to_owned()),
            reason: reason.to_owned(),
            subject: "MLDeployment/a".to_owned(),
            message: message.to_owned(),
            hint: "see elsewhere".to_owned(),
        }
    }

    fn revision(digit: char) -> Revision {
        digit.to_string().repeat(40).parse().unwrap()
    }

    fn pass(second: i64, changes: &[&str]) -> PassStatus {
        PassStatus {
            at: Timestamp::from_timestamp(second, 0).unwrap(),
            revision: revision('b'),
            plan_hash: None,
            changes: changes.iter().map(|change| (*change).to_owned()).collect(),
        }
    }

    fn report(findings: Vec<FindingStatus>, history: Vec<PassStatus>, applied: char) -> MLEnvironmentStatus {
        MLEnvironmentStatus {
            attempted_revision: Some(revision('b')),
            applied_revision: Some(revision(applied)),
            findings,
            history,
            ..MLEnvironmentStatus::default()
        }
    }

    fn check(
        before: MLEnvironmentStatus,
        after: MLEnvironmentStatus,
        aborted: Vec<Aborted>,
        expected: &[&str],
    ) {
        let told = messages(&Reported {
            before,
            after,
            receivers: Vec::new(),
            aborted,
        });
        let shown: Vec<String> = told
            .iter()
            .map(|message| {
                assert_eq!(message.revision, Some(revision('b')));
                let more = if message.more > 0 {
                    format!(" (+{})", message.more)
                } else {
                    String::new()
                };
                format!(
                    "{} {} | {}{more}",
                    message.topic.as_str(),
                    message.title,
                    message.items.join(" | ")
                )
            })
            .collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn only_what_is_new_is_told() {
        let old = || finding("VersionMissing", "there is none");
        let moved = || FindingStatus {
            location: Some("environments/dev/a.yaml:9:9".to_owned()),
            hint: "other words".to_owned(),
            ..old()
        };
        let none = Vec::new;
        check(
            report(none(), none_of(), 'a'),
            report(none(), none_of(), 'b'),
            Vec::new(),
            &[],
        );
        check(
            report(vec![old()], none_of(), 'a'),
            report(vec![moved()], none_of(), 'a'),
            Vec::new(),
            &[],
        );
        check(
            report(vec![old()], none_of(), 'a'),
            report(none(), none_of(), 'a'),
            Vec::new(),
            &[],
        );
        check(
            report(vec![old()], none_of(), 'a'),
            report(
                vec![old(), finding("Duplicate", "a\nb"), finding("Drifted", "by hand")],
                none_of(),
                'a',
            ),
            Vec::new(),
            &[
                "Finding 1 new finding | environments/dev/a.yaml:3:5: Duplicate: MLDeployment/a: a\\nb",
                "Drift somebody changed what Git declares, and it stands | environments/dev/a.yaml:3:5: Drifted: MLDeployment/a: by hand",
            ],
        );
        let many = (0..25)
            .map(|number| finding("Duplicate", &number.to_string()))
            .collect();
        let told = messages(&Reported {
            before: MLEnvironmentStatus::default(),
            after: report(many, none_of(), 'a'),
            receivers: Vec::new(),
            aborted: Vec::new(),
        });
        assert_eq!((told[0].items.len(), told[0].more), (20, 5));
    }

    fn none_of() -> Vec<PassStatus> {
        Vec::new()
    }

    #[test]
    fn passes_that_change_something_and_aborts_are_told_once() {
        let first = || pass(1, &["MLDeployment/a: created"]);
        let second = || pass(2, &["alias a@stable: none -> v1"]);
        check(
            report(Vec::new(), vec![first()], 'a'),
            report(Vec::new(), vec![first(), second()], 'b'),
            Vec::new(),
            &["Applied applied | alias a@stable: none -> v1"],
        );
        check(
            report(Vec::new(), Vec::new(), 'a'),
            report(Vec::new(), vec![first()], 'a'),
            vec![Aborted {
                model: "a".parse().unwrap(),
                version: "v20261101-120000".parse().unwrap(),
                reason: "ann: too slow".to_owned(),
            }],
            &[
                "Abort 1 canary aborted | a v20261101-120000: ann: too slow",
                "Applied applied in part | MLDeployment/a: created",
            ],
        );
        check(
            report(Vec::new(), vec![first()], 'b'),
            report(Vec::new(), vec![first()], 'b'),
            Vec::new(),
            &[],
        );
    }
}
