//! Whether commits are signed by whom the environment allows: reads commits and keys, verifies, and lets the planner judge.
//!
//! ```text
//! last applied ──policy, files of keys──┐
//! commits between it and the newest ──> verify (as of when first seen) ──verdicts──> planner::commits::judge
//! ```
//!
//! Judged are the commits that the newest one contains and the last applied one does not, as far as they touch the
//! environment's folder. Where nothing was applied, or the branch was forced to what does not contain it, the newest commit
//! that touches the folder stands for what came before: who signs a commit signs all that it holds.

mod allowed;
mod keys;
mod openpgp;
mod seen;
mod ssh;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use planner::Timestamp;
use planner::commits::{
    CommitPolicy, Fault, Gap, Judgement, KeyProblem, Shape, SignedCommit, Verdict, Verify, judge,
    key_findings,
};
use planner::finding::Finding;
use planner::names::{EnvironmentName, Revision};
use planner::trust::ModelPolicy;
use signing::VerifyingKey;

use crate::source::{Range, SignatureText, Signed, Source, SourceError};
use allowed::AllowedSigners;
use keys::{Keys, Place};
pub use seen::Seen;

/// How many merges of a forge are looked behind.
const MERGES_MAX: usize = 64;

/// What is judged, and by what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) source: &'a Source,
    pub(crate) environment: &'a EnvironmentName,
    /// What the last applied commit demands; where nothing was applied, what `head` does.
    pub(crate) policy: &'a CommitPolicy,
    /// The last commit that was applied.
    pub(crate) base: Option<&'a Revision>,
    /// The newest commit.
    pub(crate) head: &'a Revision,
    pub(crate) now: Timestamp,
}

impl Question<'_> {
    /// Says whether the newest commit may be applied.
    ///
    /// An error means that Git could not be read now: nothing is known of the commit.
    pub(crate) fn answer(self, seen: &mut Seen) -> Result<Judgement, SourceError> {
        if self.policy.verify == Verify::Off || self.base == Some(self.head) {
            return Ok(Judgement::default());
        }
        let mut looked = Looked {
            question: self,
            keys: None,
            seen,
            known: BTreeSet::new(),
            commits: Vec::new(),
            gaps: Vec::new(),
        };
        looked.look()?;
        let Looked { commits, gaps, .. } = looked;
        Ok(judge(self.policy, self.environment, &commits, &gaps))
    }

    fn place(&self) -> Place<'_> {
        Place {
            source: self.source,
            environment: self.environment,
            revision: self.base.unwrap_or(self.head),
        }
    }
}

/// Says whether a file of allowed signers lets an SSH signature of a commit count, as of when the commit was first seen, and
/// which of its lines make no sense.
pub fn allows(
    signers: &[u8],
    signature: &str,
    payload: &[u8],
    committer: &str,
    seen: Timestamp,
) -> (Result<(), Fault>, Vec<KeyProblem>) {
    let (signers, problems) = AllowedSigners::parse(signers, "allowed_signers");
    let judged = ssh::verify(signature.trim_start(), payload);
    (
        judged.and_then(|key| signers.judge(&key, committer, seen)),
        problems,
    )
}

/// Says what the status lines of gpgv come to, as of when the commit was first seen.
///
/// # Errors
///
/// Why the signature does not count.
pub fn judge_gpgv(status: &str, seen: Timestamp) -> Result<(), Fault> {
    openpgp::judge(status, seen)
}

/// Says what is wrong with the files of keys that a commit's MLEnvironment names: the next commit is judged by them.
pub(crate) fn of_keys(
    source: &Source,
    environment: &EnvironmentName,
    policy: &CommitPolicy,
    revision: &Revision,
) -> BTreeSet<Finding> {
    if policy.verify == Verify::Off {
        return BTreeSet::new();
    }
    let place = Place {
        source,
        environment,
        revision,
    };
    let problems =
        Keys::read(policy, place).map_or_else(|error| vec![keys::unread(&error)], |keys| keys.problems);
    key_findings(environment, problems)
}

/// Returns the public keys, each in PEM, of the file that a commit's MLEnvironment names for its models, and what is wrong with it.
/// None, and nothing wrong, where nobody's signature is needed.
///
/// An error means that Git could not be read now: nothing is known of the file.
pub(crate) fn trusted(
    source: &Source,
    environment: &EnvironmentName,
    policy: &ModelPolicy,
    revision: &Revision,
) -> Result<(Vec<String>, Vec<KeyProblem>), SourceError> {
    let Some(path) = policy.keys.as_ref().filter(|_| policy.verify != Verify::Off) else {
        return Ok((Vec::new(), Vec::new()));
    };
    let place = Place {
        source,
        environment,
        revision,
    };
    let (file, content) = keys::read(path, place)?;
    let trusted = content.and_then(|bytes| {
        let text = String::from_utf8(bytes).map_err(|_not_text| format!("{file}: it is no UTF-8"))?;
        VerifyingKey::all_from_pem(&text).map_err(|bad| format!("{file}: {bad}"))
    });
    Ok(match trusted {
        Ok(keys) => (keys.iter().map(VerifyingKey::to_pem).collect(), Vec::new()),
        Err(_) => (
            Vec::new(),
            keys::unusable(&file, Some(&trusted)).into_iter().collect(),
        ),
    })
}

/// Says what is wrong with the file of keys that a commit's MLEnvironment names for its models.
pub(crate) fn of_trusted(
    source: &Source,
    environment: &EnvironmentName,
    policy: &ModelPolicy,
    revision: &Revision,
) -> BTreeSet<Finding> {
    let problems = trusted(source, environment, policy, revision).map_or_else(
        |error| vec![keys::unread(&error)],
        |(_trusted, problems)| problems,
    );
    key_findings(environment, problems)
}

/// The commits that are judged, as they are found.
struct Looked<'a> {
    question: Question<'a>,
    /// Read with the first commit that has a signature.
    keys: Option<Keys>,
    seen: &'a mut Seen,
    known: BTreeSet<Revision>,
    commits: Vec<SignedCommit>,
    gaps: Vec<Gap>,
}

impl Looked<'_> {
    fn look(&mut self) -> Result<(), SourceError> {
        let Question {
            source,
            environment,
            base,
            head,
            ..
        } = self.question;
        let Some(base) = base else {
            return self.look_at_latest();
        };
        let (commits, range) = source.signed(base, head, environment)?;
        for commit in &commits {
            self.take(commit)?;
        }
        match range {
            Range::Whole => Ok(()),
            Range::Forced if self.is_same_folder(base)? => Ok(()),
            Range::NoBase if self.question.policy.has_file_of_commit() => {
                self.gaps.push(Gap {
                    message: format!(
                        "{}, the last commit that was followed, is gone, and with it the keys by which {} is judged",
                        base.short(),
                        head.short()
                    ),
                    hint: "make it part of the branch again; keys in files of the machine are not lost so".to_owned(),
                });
                Ok(())
            }
            Range::Forced | Range::NoBase => self.look_at_latest(),
            Range::TooMany => {
                self.gaps.push(Gap {
                    message: format!(
                        "there are too many commits since {} to look at all their signatures",
                        base.short()
                    ),
                    hint: "move the branch on in steps, each once the one before is applied".to_owned(),
                });
                Ok(())
            }
        }
    }

    fn is_same_folder(&self, base: &Revision) -> Result<bool, SourceError> {
        let folder = |revision| match self.question.source.folder(revision, self.question.environment) {
            Ok(folder) => Ok(Some(folder.tree)),
            Err(SourceError::NoEnvironment { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        Ok(folder(base)? == folder(self.question.head)?)
    }

    /// Looks at the newest commit that touches the folder, and behind it where it is a forge's merge.
    fn look_at_latest(&mut self) -> Result<(), SourceError> {
        let mut open = vec![self.question.head.clone()];
        for _ in 0..MERGES_MAX {
            let Some(from) = open.pop() else {
                return Ok(());
            };
            let latest = self
                .question
                .source
                .latest_signed(&from, self.question.environment)?;
            let Some(latest) = latest else {
                break;
            };
            let judged = self.take(&latest)?;
            if judged.is_some_and(|(verdict, shape)| (verdict, shape) == (Verdict::Forge, Shape::Remerged)) {
                open.extend(latest.parents.iter().map(|parent| parent.revision()));
            }
        }
        self.gaps.push(Gap {
            message: format!(
                "the commit that made environments/{} what it is at {} lies too far back",
                self.question.environment,
                self.question.head.short()
            ),
            hint: "commit a change of the folder, signed".to_owned(),
        });
        Ok(())
    }

    /// Takes a commit in; returns what it was judged to be, unless it was there before.
    fn take(&mut self, commit: &Signed) -> Result<Option<(Verdict, Shape)>, SourceError> {
        let revision = commit.commit.revision();
        if !self.known.insert(revision.clone()) {
            return Ok(None);
        }
        let seen = self.seen.first(&revision, self.question.now);
        let verdict = match &commit.signature {
            SignatureText::None => Verdict::Fault(Fault::Unsigned),
            SignatureText::Unreadable(why) => Verdict::Fault(Fault::Malformed(why.clone())),
            SignatureText::Text { signature, payload } => {
                let keys = self.keys()?;
                keys.judge(signature, payload, &commit.committer, seen)
            }
        };
        let shape = match (commit.parents.len(), &verdict) {
            (0 | 1, _) => Shape::Plain,
            (_, Verdict::Forge) => {
                let Question {
                    source, environment, ..
                } = self.question;
                if source.is_remerged(&revision, environment)? {
                    Shape::Remerged
                } else {
                    Shape::Merge
                }
            }
            _ => Shape::Merge,
        };
        let answers_for = commit.trailers.iter();
        self.commits.push(SignedCommit {
            answers_for: answers_for.filter_map(|named| named.parse().ok()).collect(),
            author: commit.author.clone(),
            verdict: verdict.clone(),
            shape,
            touches: commit.touches,
            revision,
        });
        Ok(Some((verdict, shape)))
    }

    fn keys(&mut self) -> Result<&Keys, SourceError> {
        if self.keys.is_none() {
            self.keys = Some(Keys::read(self.question.policy, self.question.place())?);
        }
        Ok(self.keys.as_ref().expect("invariant: they were just read"))
    }
}
