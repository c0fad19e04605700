//! Commits and what was signed of them: read here, verified elsewhere.
//!
//! A commit *touches* a folder where it does not say of it what each of its parents says; the first commit touches what
//! it holds. So a way along which nothing touches leads to one and the same folder, whichever parents it takes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Write as _;

use git2::{Commit, ErrorCode, Index, MergeOptions, Oid, message_trailers_strs};

use super::repository::{Opened, hash, oid};
use super::{Failure, Output};
use crate::source::hash::GitHash;
use crate::source::protocol::{GitError, Kind, Range, SignatureText, Signed, write_answer};

/// The most commits that are looked at between two.
const COMMITS_MAX: usize = 20_000;
/// The most of them that touch the folder.
const TOUCHING_MAX: usize = 2_000;
/// After how many commits whoever waits is told that it goes on.
const TOLD: usize = 256;
/// The largest commit of which a signature is read, in bytes.
const COMMIT_BYTES_MAX: usize = 256 << 10;
/// The largest signature, in bytes.
const SIGNATURE_BYTES_MAX: usize = 16 << 10;
/// The most parents of a commit.
const PARENTS_MAX: usize = 64;
/// The most trailers that are taken.
const TRAILERS_MAX: usize = 50;
/// How much of a name or an address is taken, in characters.
const NAME_LENGTH_MAX: usize = 100;
/// The most files that are looked at to find one that was renamed.
const RENAMES_MAX: u32 = 200;

/// What is looked at of commits.
pub(super) struct Looked<'a> {
    opened: &'a Opened,
    folder: &'a str,
    trailer: &'a str,
    /// The folder as commits have it.
    folders: RefCell<HashMap<Oid, Option<GitHash>>>,
}

impl<'a> Looked<'a> {
    pub(super) fn new(opened: &'a Opened, folder: &'a str, trailer: &'a str) -> Self {
        Self {
            opened,
            folder,
            trailer,
            folders: RefCell::default(),
        }
    }

    /// Writes the commits that `head` contains and `base` does not, as far as they touch the folder or have the trailer.
    pub(super) fn range(&self, base: GitHash, head: GitHash, output: &mut Output) -> Result<Range, Failure> {
        if self.opened.repository.find_commit(oid(base)).is_err() {
            return Ok(Range::NoBase);
        }
        let unreadable = |error: &git2::Error| self.opened.unreadable("the history", error);
        let repository = &self.opened.repository;
        let mut walk = repository.revwalk().map_err(|error| unreadable(&error))?;
        walk.push(oid(head)).map_err(|error| unreadable(&error))?;
        walk.hide(oid(base)).map_err(|error| unreadable(&error))?;
        let mut touching = 0;
        for (count, id) in walk.enumerate() {
            if count >= COMMITS_MAX || touching >= TOUCHING_MAX {
                return Ok(Range::TooMany);
            }
            let commit = self
                .opened
                .commit(hash(id.map_err(|error| unreadable(&error))?))?;
            let signed = self.read(&commit)?;
            if signed.touches || !signed.trailers.is_empty() {
                touching += usize::from(signed.touches);
                let json = serde_json::to_vec(&signed).map_err(std::io::Error::from)?;
                write_answer(output, Kind::Part, &[&json])?;
                output.flush()?;
            } else if count % TOLD == 0 {
                write_answer(output, Kind::Part, &[])?;
                output.flush()?;
            }
        }
        let contains = base == head
            || repository
                .graph_descendant_of(oid(head), oid(base))
                .unwrap_or(false);
        Ok(if contains { Range::Whole } else { Range::Forced })
    }

    /// Returns the newest commit, along first parents, that touches the folder.
    pub(super) fn latest(&self, head: GitHash) -> Result<Option<Signed>, GitError> {
        let mut commit = self.opened.commit(head)?;
        for _ in 0..COMMITS_MAX {
            let signed = self.read(&commit)?;
            if signed.touches {
                return Ok(Some(signed));
            }
            let Ok(parent) = commit.parent(0) else {
                return Ok(Some(signed));
            };
            commit = parent;
        }
        Ok(None)
    }

    fn read(&self, commit: &Commit<'_>) -> Result<Signed, GitError> {
        let parents: Vec<GitHash> = commit.parent_ids().take(PARENTS_MAX + 1).map(hash).collect();
        Ok(Signed {
            commit: hash(commit.id()),
            touches: self.touches(commit)?,
            author: author(commit),
            committer: named(commit.committer().email_bytes()),
            signature: self.signature(commit, parents.len()),
            trailers: trailers(commit, self.trailer),
            parents,
        })
    }

    fn touches(&self, commit: &Commit<'_>) -> Result<bool, GitError> {
        let ours = self.folder_of(commit)?;
        if commit.parent_count() == 0 {
            return Ok(ours.is_some());
        }
        for parent in commit.parent_ids() {
            // One that is cut off by a shallow clone is what nobody knows.
            let Ok(parent) = self.opened.repository.find_commit(parent) else {
                return Ok(true);
            };
            if self.folder_of(&parent)? != ours {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn folder_of(&self, commit: &Commit<'_>) -> Result<Option<GitHash>, GitError> {
        if let Some(known) = self.folders.borrow().get(&commit.id()) {
            return Ok(*known);
        }
        let found = self.opened.folder_in(hash(commit.tree_id()), self.folder)?;
        self.folders.borrow_mut().insert(commit.id(), found);
        Ok(found)
    }

    /// Takes a commit apart into what was signed and the signature. Two of them could mean one thing to Git and another
    /// one here.
    fn signature(&self, commit: &Commit<'_>, parents: usize) -> SignatureText {
        let header = commit.raw_header_bytes();
        let is_signature = |line: &&[u8]| line.starts_with(b"gpgsig ") || line.starts_with(b"gpgsig-sha256 ");
        let count = header.split(|byte| *byte == b'\n').filter(is_signature).count();
        let bytes = header.len() + commit.message_raw_bytes().len();
        match count {
            0 => return SignatureText::None,
            _ if bytes > COMMIT_BYTES_MAX => {
                let why = format!("the commit has {bytes} bytes, more than {COMMIT_BYTES_MAX}");
                return SignatureText::Unreadable(why);
            }
            _ if parents > PARENTS_MAX => {
                return SignatureText::Unreadable(format!("the commit has more than {PARENTS_MAX} parents"));
            }
            1 => {}
            more => return SignatureText::Unreadable(format!("the commit has {more} signatures")),
        }
        let extracted = self.opened.repository.extract_signature(&commit.id(), None);
        let (signature, payload) = match &extracted {
            Ok((signature, payload)) => (&**signature, &**payload),
            Err(error) if error.code() == ErrorCode::NotFound => return SignatureText::None,
            Err(error) => return SignatureText::Unreadable(error.message().to_owned()),
        };
        match std::str::from_utf8(signature) {
            Ok(text) if text.len() <= SIGNATURE_BYTES_MAX => SignatureText::Text {
                signature: text.to_owned(),
                payload: payload.to_vec(),
            },
            Ok(text) => SignatureText::Unreadable(format!(
                "it has {} bytes, more than {SIGNATURE_BYTES_MAX}",
                text.len()
            )),
            Err(_binary) => SignatureText::Unreadable("it is no text".to_owned()),
        }
    }
}

/// Returns who made a commit, as it says itself: a name and an address.
pub(super) fn author(commit: &Commit<'_>) -> String {
    let author = commit.author();
    format!("{} <{}>", named(author.name_bytes()), named(author.email_bytes()))
}

fn named(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().take(NAME_LENGTH_MAX).collect()
}

fn trailers(commit: &Commit<'_>, name: &str) -> Vec<String> {
    let message = commit.message_bytes();
    let message = std::str::from_utf8(message).ok();
    let message = message.filter(|message| message.len() <= COMMIT_BYTES_MAX);
    let Some(trailers) = message.and_then(|message| message_trailers_strs(message).ok()) else {
        return Vec::new();
    };
    let of_name = trailers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
    of_name
        .map(|(_, value)| value.trim().chars().take(NAME_LENGTH_MAX).collect())
        .take(TRAILERS_MAX)
        .collect()
}

/// Says whether a merge of two says of a folder what merging them anew does, without a conflict in it.
pub(super) fn is_remerged(opened: &Opened, commit: GitHash, folder: &str) -> Result<bool, GitError> {
    let commit = opened.commit(commit)?;
    let (2, Ok(ours), Ok(theirs)) = (commit.parent_count(), commit.parent(0), commit.parent(1)) else {
        return Ok(false);
    };
    let unreadable = |error: &git2::Error| opened.unreadable("a merge", error);
    let repository = &opened.repository;
    // What merging makes stays in memory.
    let objects = repository.odb().map_err(|error| unreadable(&error))?;
    objects
        .add_new_mempack_backend(i32::MAX)
        .map_err(|error| unreadable(&error))?;
    let mut options = MergeOptions::new();
    options.target_limit(RENAMES_MAX);
    let merged = repository.merge_commits(&ours, &theirs, Some(&options));
    let merged = merged.map_err(|error| unreadable(&error))?;
    let mut made = Index::new().map_err(|error| unreadable(&error))?;
    let tree = commit.tree().map_err(|error| unreadable(&error))?;
    made.read_tree(&tree).map_err(|error| unreadable(&error))?;
    Ok(below(&merged, folder) == below(&made, folder))
}

/// Lists what an index has below a folder: path, stage, mode and content.
fn below(index: &Index, folder: &str) -> Vec<(Vec<u8>, u16, u32, Oid)> {
    let is_below = |path: &[u8]| {
        let rest = path.strip_prefix(folder.as_bytes());
        rest.is_some_and(|rest| rest.starts_with(b"/"))
    };
    let entries = index.iter().filter(|entry| is_below(&entry.path));
    entries
        .map(|entry| (entry.path, entry.flags >> 12 & 3, entry.mode, entry.id))
        .collect()
}
