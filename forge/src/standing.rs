//! What a commit's status says, by the report of a pass.

use crds::MLEnvironmentStatus;
use crds::status::{Condition, ConditionStatus};
use planner::names::Revision;

/// The longest description that a forge takes, in characters.
const DESCRIPTION_CHARACTERS_MAX: usize = 140;

/// How a commit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is being applied, or held by somebody's will.
    Pending,
    /// All of it was applied.
    Success,
    /// Something of it was not, and a person must act.
    Failure,
    /// Another one came before it was applied.
    Superseded,
}

impl State {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Superseded => "error",
        }
    }
}

/// What is told of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitState {
    /// The commit.
    pub revision: Revision,
    /// How it stands.
    pub state: State,
    /// A few words, at most 140 characters on one line.
    pub description: String,
}

impl CommitState {
    /// Makes a state of any words: one line, cut to what a forge takes.
    pub fn new(revision: Revision, state: State, description: &str) -> Self {
        Self {
            revision,
            state,
            description: line(description),
        }
    }

    /// Reads a report; nothing where no commit was ever looked at.
    pub fn of(report: &MLEnvironmentStatus) -> Option<Self> {
        let revision = report.attempted_revision.clone()?;
        let holds = |kind: &str| {
            let found = report.conditions.iter().find(|condition| condition.kind == kind);
            found.filter(|condition| condition.status == ConditionStatus::True)
        };
        let (state, description) = if let Some(stalled) = holds("Stalled") {
            (State::Failure, failed(report, stalled))
        } else if report.applied_revision.as_ref() == Some(&revision) {
            (State::Success, "applied".to_owned())
        } else if holds("Reconciling").is_some() {
            (State::Pending, "being applied".to_owned())
        } else {
            // Ready stands as False then, with the reason: somebody wants it so.
            let ready = report
                .conditions
                .iter()
                .find(|condition| condition.kind == "Ready");
            let why = ready
                .map(|ready| ready.message.as_str())
                .filter(|why| !why.is_empty());
            (
                State::Pending,
                why.map_or("not applied yet".to_owned(), |why| format!("held: {why}")),
            )
        };
        Some(Self {
            revision,
            state,
            description: line(&description),
        })
    }

    /// Returns what is told of a commit that another one overtook.
    pub(crate) fn superseded(&self, by: &Revision) -> Self {
        Self {
            revision: self.revision.clone(),
            state: State::Superseded,
            description: format!("overtaken by {} before it was applied", by.short()),
        }
    }

    /// Says whether somebody who was told the other one need not be told this.
    pub(crate) fn is_told_by(&self, other: &Self) -> bool {
        let is_worded = self.state == State::Failure;
        self.revision == other.revision
            && self.state == other.state
            && (!is_worded || self.description == other.description)
    }
}

fn failed(report: &MLEnvironmentStatus, stalled: &Condition) -> String {
    match report.counts.findings {
        0 | 1 => stalled.message.clone(),
        findings => format!("{findings} findings, first {}", stalled.message),
    }
}

fn line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let shown = words.join(" ");
    if shown.chars().count() <= DESCRIPTION_CHARACTERS_MAX {
        return shown;
    }
    let begin: String = shown.chars().take(DESCRIPTION_CHARACTERS_MAX - 1).collect();
    format!("{begin}…")
}

#[cfg(test)]
mod tests {
    use crds::status::Counts;
    use planner::Timestamp;

    use super::*;

    /// A report whose one true condition is `holds`.
    fn report(holds: &str, message: &str, applied: char) -> MLEnvironmentStatus {
        let condition = |kind: &str| Condition {
            kind: kind.to_owned(),
            status: if holds == kind {
                ConditionStatus::True
            } else {
                ConditionStatus::False
            },
            reason: "Any".to_owned(),
            message: message.to_owned(),
            last_transition_time: Timestamp::UNIX_EPOCH,
        };
        MLEnvironmentStatus {
            conditions: ["Ready", "Reconciling", "Stalled"].map(condition).into(),
            attempted_revision: Some(revision('b')),
            applied_revision: Some(revision(applied)),
            ..MLEnvironmentStatus::default()
        }
    }

    fn revision(digit: char) -> Revision {
        digit.to_string().repeat(40).parse().unwrap()
    }

    fn check(report: &MLEnvironmentStatus, state: State, description: &str) {
        let found = CommitState::of(report).unwrap();
        assert_eq!((found.state, found.description.as_str()), (state, description));
        assert_eq!(found.revision, revision('b'));
    }

    #[test]
    fn a_report_says_how_its_commit_stands() {
        check(&report("Ready", "", 'b'), State::Success, "applied");
        check(
            &report("Reconciling", "waits for v20261101-120000", 'a'),
            State::Pending,
            "being applied",
        );
        // Something could not be read since, and is tried again.
        check(
            &report("Reconciling", "the branch is away", 'b'),
            State::Success,
            "applied",
        );
        check(
            &report("None", "stock-taking", 'a'),
            State::Pending,
            "held: stock-taking",
        );
        check(&report("None", "", 'a'), State::Pending, "not applied yet");
        check(
            &report("Stalled", "VersionMissing: there is\n none", 'b'),
            State::Failure,
            "VersionMissing: there is none",
        );
        let two = MLEnvironmentStatus {
            counts: Counts {
                findings: 2,
                ..Counts::default()
            },
            ..report("Stalled", &"é".repeat(200), 'a')
        };
        let expected = format!("2 findings, first {}…", "é".repeat(121));
        check(&two, State::Failure, &expected);
        assert_eq!(expected.chars().count(), 140);
        assert_eq!(CommitState::of(&MLEnvironmentStatus::default()), None);
    }

    #[test]
    fn only_what_is_new_is_told() {
        let of = |state, description: &str| CommitState {
            revision: revision('b'),
            state,
            description: description.to_owned(),
        };
        let cases = [
            (
                of(State::Pending, "held: x"),
                of(State::Pending, "being applied"),
                true,
            ),
            (
                of(State::Success, "applied"),
                of(State::Pending, "being applied"),
                false,
            ),
            (of(State::Failure, "a"), of(State::Failure, "b"), false),
            (of(State::Failure, "a"), of(State::Failure, "a"), true),
            (
                CommitState {
                    revision: revision('c'),
                    ..of(State::Success, "applied")
                },
                of(State::Success, "applied"),
                false,
            ),
        ];
        for (new, old, is_told) in cases {
            assert_eq!(new.is_told_by(&old), is_told, "{new:?} after {old:?}");
        }
    }
}
