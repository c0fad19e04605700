//! Signed commits: which commits an environment follows, by who signed them.
//!
//! A commit is judged by what the last applied one says, never by what it brings along itself. What a signature is worth is
//! found out elsewhere and comes in as a [`Verdict`]; here is decided what follows from it.

mod fault;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use fault::Fault;

use crate::finding::{Finding, Location, Reason};
use crate::names::{EnvironmentName, Revision};
use crate::object::ObjectId;

/// How many commits are named in findings; the others are counted.
const NAMED_MAX: usize = 20;

/// What an environment demands of the commits that touch its folder.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CommitPolicy {
    /// What becomes of a commit that nobody whom it allows signed.
    pub verify: Verify,
    /// Who may sign.
    pub signers: KeyFiles,
    /// What the forge itself may sign; absent: nothing.
    pub forge: Option<Forge>,
}

/// What becomes of a commit that is not signed as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Verify {
    /// It is applied: no signature is looked at.
    #[default]
    Off,
    /// It is told, and applied.
    Warn,
    /// It is not applied, nor is any after it.
    Require,
}

impl Verify {
    /// Returns the name that a manifest gives it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "Off",
            Self::Warn => "Warn",
            Self::Require => "Require",
        }
    }
}

/// Where keys stand: a relative path is a file of the environment's folder, an absolute one a file of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KeyFiles {
    /// SSH keys, in the form of OpenSSH's allowed signers.
    pub allowed_signers: Option<String>,
    /// OpenPGP keys, as a binary keyring.
    pub keyring: Option<String>,
}

/// The keys of the forge that merges, and what they are good for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forge {
    /// Its keys.
    pub keys: KeyFiles,
    /// Whether it may sign what is no merge: a squashed request, or an edit in its own editor.
    pub squash: Squash,
}

/// Whether a forge may sign a commit whose content nobody else signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Squash {
    /// It may not.
    #[default]
    Refuse,
    /// It may: whoever may write to the branch by way of the forge is trusted.
    Allow,
}

impl Squash {
    /// Returns the name that a manifest gives it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "Refuse",
            Self::Allow => "Allow",
        }
    }
}

impl CommitPolicy {
    /// Says whether keys are read in a commit.
    pub fn has_file_of_commit(&self) -> bool {
        let Self {
            verify: _,
            signers,
            forge,
        } = self;
        let all = forge.iter().map(|forge| &forge.keys).chain([signers]);
        let mut paths = all.flat_map(|keys| [&keys.allowed_signers, &keys.keyring]);
        paths.any(|path| path.as_ref().is_some_and(|path| !path.starts_with('/')))
    }
}

impl fmt::Display for CommitPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            verify,
            signers,
            forge,
        } = self;
        write!(f, "{}", verify.as_str())?;
        let files = |f: &mut fmt::Formatter<'_>, keys: &KeyFiles| {
            let KeyFiles {
                allowed_signers,
                keyring,
            } = keys;
            let mut named = [allowed_signers, keyring].into_iter().flatten();
            named.try_for_each(|path| write!(f, " {path}"))
        };
        files(f, signers)?;
        if let Some(Forge { keys, squash }) = forge {
            f.write_str(", forge")?;
            files(f, keys)?;
            write!(f, " (squash: {})", squash.as_str())?;
        }
        Ok(())
    }
}

/// What a commit's signature is worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// An allowed signer made it.
    Signer,
    /// The forge made it.
    Forge,
    /// Nobody who may did.
    Fault(Fault),
}

/// What is to be known of a commit to judge it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCommit {
    /// The commit.
    pub revision: Revision,
    /// Who says to have written it: a name and an address, as the commit has them.
    pub author: String,
    /// What its signature is worth.
    pub verdict: Verdict,
    /// What it is.
    pub shape: Shape,
    /// Whether it touches the environment's folder.
    pub touches: bool,
    /// The commits for which whoever signed it answers.
    pub answers_for: BTreeSet<Revision>,
}

/// What a commit is, as far as it decides what a forge's signature under it is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// It has at most one parent.
    Plain,
    /// A merge, that says of the folder exactly what merging its parents anew says.
    Remerged,
    /// A merge, of which that is not so, or not known.
    Merge,
}

/// Something that keeps all commits from being judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// What, a lower-case fragment.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// Something wrong with a file of keys; the other keys count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyProblem {
    /// Where.
    pub location: Location,
    /// What, a lower-case fragment.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// What follows from the verdicts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judgement {
    /// Whether none of the commits may be applied.
    pub is_refused: bool,
    /// What is wrong, for people.
    pub findings: BTreeSet<Finding>,
}

/// Judges the commits between the one that was applied last and a newer one.
///
/// Only those that touch the folder need a signature. One that has a fault counts all the same where a signer answers for
/// it in a commit of these. Under [`Verify::Require`], one that does not count, or a gap, refuses all of them.
pub fn judge(
    policy: &CommitPolicy,
    environment: &EnvironmentName,
    commits: &[SignedCommit],
    gaps: &[Gap],
) -> Judgement {
    let reason = match policy.verify {
        Verify::Off => return Judgement::default(),
        Verify::Warn => Reason::CommitUnverified,
        Verify::Require => Reason::CommitRefused,
    };
    let answered: BTreeSet<&Revision> = commits
        .iter()
        .filter(|commit| commit.verdict == Verdict::Signer)
        .flat_map(|commit| &commit.answers_for)
        .collect();
    let squash = policy.forge.as_ref().map_or(Squash::Refuse, |forge| forge.squash);
    let finding = |message: String, hint: String| Finding {
        location: None,
        reason,
        subject: ObjectId::environment(environment).into(),
        message,
        hint,
    };
    let mut findings: BTreeSet<Finding> = gaps
        .iter()
        .map(|Gap { message, hint }| finding(message.clone(), hint.clone()))
        .collect();
    let faulty: Vec<(&SignedCommit, Fault)> = commits
        .iter()
        .filter(|commit| commit.touches && !answered.contains(&commit.revision))
        .filter_map(|commit| Some((commit, fault(commit, squash)?)))
        .collect();
    for (commit, fault) in faulty.iter().take(NAMED_MAX) {
        let SignedCommit { revision, author, .. } = commit;
        findings.insert(finding(
            format!("commit {} by {author}: {fault}", revision.short()),
            format!("{}; {}", fault.hint(), way_out(revision)),
        ));
    }
    let unnamed = faulty.len().saturating_sub(NAMED_MAX);
    if unnamed > 0 {
        findings.insert(finding(
            format!("and {unnamed} more commits are not signed by an allowed signer"),
            String::new(),
        ));
    }
    Judgement {
        is_refused: policy.verify == Verify::Require && !findings.is_empty(),
        findings,
    }
}

/// The trailer by which a signer answers for another commit; its value is that commit's id.
pub const ANSWER_TRAILER: &str = "Aurora-Answers-For";

fn way_out(revision: &Revision) -> String {
    format!(
        "or let an allowed signer answer for it: git commit --allow-empty -S -m Answer -m \"{ANSWER_TRAILER}: {revision}\""
    )
}

/// Returns what keeps a commit from counting by itself.
fn fault(commit: &SignedCommit, squash: Squash) -> Option<Fault> {
    match (&commit.verdict, commit.shape, squash) {
        (Verdict::Signer, _, _)
        | (Verdict::Forge, Shape::Remerged, _)
        | (Verdict::Forge, Shape::Plain, Squash::Allow) => None,
        (Verdict::Forge, Shape::Merge, _) => Some(Fault::OtherMerge),
        (Verdict::Forge, Shape::Plain, Squash::Refuse) => Some(Fault::Squashed),
        (Verdict::Fault(fault), _, _) => Some(fault.clone()),
    }
}

/// Says what is wrong with files of keys.
pub fn key_findings(environment: &EnvironmentName, problems: Vec<KeyProblem>) -> BTreeSet<Finding> {
    let finding = |problem| {
        let KeyProblem {
            location,
            message,
            hint,
        } = problem;
        Finding {
            location: Some(location),
            reason: Reason::SignersUnusable,
            subject: ObjectId::environment(environment).into(),
            message,
            hint,
        }
    };
    problems.into_iter().map(finding).collect()
}
