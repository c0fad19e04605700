//! What differs between two folders, with the entries that are not taken as findings.

use planner::finding::{Finding, Location, Reason};

use super::hash::GitHash;
use super::protocol::{Differing, Listed, ManifestFile, Refusal, RefusedEntry, Request};
use super::{DEPTH_MAX, ENTRIES_MAX, Source, SourceError};

/// What two folders do not share.
#[derive(Debug, Default)]
pub(crate) struct Difference {
    /// What only the older one has, in the order of its tree.
    pub(crate) gone: Side,
    /// What only the newer one has, in the order of its tree.
    pub(crate) new: Side,
    /// More was found than may be, or a tree is not in Git's order: the rest was not looked at, or in vain.
    pub(crate) is_unclear: bool,
}

/// What one of two folders has for itself.
#[derive(Debug, Default)]
pub(crate) struct Side {
    pub(crate) manifests: Vec<ManifestFile>,
    /// The entries that are not taken, and why.
    pub(crate) refused: Vec<Finding>,
    /// How many entries, folders included.
    pub(crate) entries: usize,
}

impl Source {
    /// Walks an environment's folder against an older state of it, or against nothing.
    pub(crate) fn difference(
        &self,
        path: &str,
        old: Option<GitHash>,
        new: Option<GitHash>,
    ) -> Result<Difference, SourceError> {
        if old == new {
            return Ok(Difference::default());
        }
        let Differing {
            gone,
            new,
            is_unclear,
        } = self.ask(&Request::Difference {
            path: path.to_owned(),
            old,
            new,
        })?;
        Ok(Difference {
            gone: side(gone),
            new: side(new),
            is_unclear,
        })
    }
}

fn side(listed: Listed) -> Side {
    let Listed {
        manifests,
        refused,
        entries,
    } = listed;
    Side {
        manifests,
        refused: refused.iter().map(finding).collect(),
        entries,
    }
}

fn finding(entry: &RefusedEntry) -> Finding {
    use Reason::{Unreadable, UnsupportedEntry};
    let RefusedEntry { path, why } = entry;
    let (reason, message, hint) = match why {
        Refusal::TooDeep => (
            Unreadable,
            format!("folder lies more than {DEPTH_MAX} levels below the environment"),
            "move its manifests up",
        ),
        Refusal::TooMany => (
            Unreadable,
            format!("environment has more than {ENTRIES_MAX} files and folders; the rest is not read"),
            "move what is no manifest out of the folder",
        ),
        Refusal::TooMuchWork => (
            Unreadable,
            "here the environment's folders become too large to be read; the rest is not read".to_owned(),
            "move what is no manifest out of the environment's folder; the same folder many times over counts each time",
        ),
        Refusal::TooManyRefused => (
            Unreadable,
            "is the first of too many entries that are not taken; the others are not named".to_owned(),
            "move what is no manifest out of the folder",
        ),
        Refusal::NotUtf8 => (UnsupportedEntry, "name is not UTF-8".to_owned(), "rename it"),
        Refusal::Link => (
            UnsupportedEntry,
            "is a symbolic link, which Aurora does not follow".to_owned(),
            "commit a copy of the file, or move the file here",
        ),
        Refusal::Submodule => (
            UnsupportedEntry,
            "is a submodule, which Aurora does not follow".to_owned(),
            "commit its manifests into this repository",
        ),
        Refusal::Mode(mode) => (
            UnsupportedEntry,
            format!("has mode {mode:06o}, which Git gives to no kind of entry"),
            "commit it anew: git rm --cached, then git add",
        ),
    };
    refused(path, reason, &message, hint)
}

/// Returns a finding on a file or folder as a whole.
pub(crate) fn refused(file: &str, reason: Reason, message: &str, hint: &str) -> Finding {
    Finding {
        location: Some(Location {
            file: file.to_owned(),
            line: 0,
            column: 0,
        }),
        reason,
        subject: planner::finding::Subject::default(),
        message: message.to_owned(),
        hint: hint.to_owned(),
    }
}
