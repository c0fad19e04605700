//! Commits, and where a folder lies in one.

use git2::{Commit, Tree, message_trailers_strs};

use super::branch;
use super::entries::{EntryKind, kind_of};
use super::repository::{Opened, hash, oid};
use crate::source::hash::GitHash;
use crate::source::protocol::{FoundFolder, GitError};

/// The most folders that are named.
const NAMED_MAX: usize = 100;

/// The longest message that is looked through for trailers, in bytes.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// How much of a trailer is taken, in characters.
const TRAILER_LENGTH_MAX: usize = 256;

impl Opened {
    pub(super) fn commit(&self, id: GitHash) -> Result<Commit<'_>, GitError> {
        self.repository
            .find_commit(oid(id))
            .map_err(|error| self.unreadable(format!("commit {}", &id.to_string()[..10]), &error))
    }

    /// Finds the commit that a text names. A branch's name stands for the branch, whatever tag has it too.
    pub(super) fn find(&self, text: &str) -> Result<GitHash, GitError> {
        let end = [text.find(['~', '^', ':']), text.find("@{")];
        let end = end.into_iter().flatten().min().unwrap_or(text.len());
        let branch = format!("refs/heads/{}", &text[..end]);
        let full = match self.repository.refname_to_id(&branch) {
            Ok(_id) => format!("{branch}{}", &text[end..]),
            Err(_other) => text.to_owned(),
        };
        self.repository
            .revparse_single(&full)
            .and_then(|object| object.peel_to_commit())
            .map(|commit| hash(commit.id()))
            .map_err(|error| match branch::fix(self, None) {
                // There is no commit yet.
                Err(unborn @ GitError::Unborn { .. }) if text == "HEAD" => unborn,
                Ok(_) | Err(_) => self.unreadable(text, &error),
            })
    }

    /// Reads a trailer of a commit's message: the last line of its name, in letters of either case, in the last paragraph.
    ///
    /// A message that is no UTF-8, or too long, has none.
    pub(super) fn trailer(&self, commit: GitHash, name: &str) -> Result<Option<String>, GitError> {
        let commit = self.commit(commit)?;
        let message = commit.message_bytes();
        let message = std::str::from_utf8(message).ok();
        let message = message.filter(|message| message.len() <= MESSAGE_BYTES_MAX);
        let Some(trailers) = message.and_then(|message| message_trailers_strs(message).ok()) else {
            return Ok(None);
        };
        let mut newest_first = trailers.iter().rev();
        let named = newest_first.find(|(key, _)| key.eq_ignore_ascii_case(name));
        let value = named.map(|(_, value)| value.trim());
        let value = value.filter(|value| !value.is_empty());
        let plain = |value: &str| {
            value
                .chars()
                .filter(|c| !c.is_control())
                .take(TRAILER_LENGTH_MAX)
                .collect()
        };
        Ok(value.map(plain))
    }

    /// Says whether a commit contains another one, as far as the clone goes back: a shallow one has left out what would
    /// tell, and is taken for one that was not forced. A commit that is gone is not contained.
    pub(super) fn contains(&self, head: GitHash, commit: GitHash) -> bool {
        let contains = self.repository.graph_descendant_of(oid(head), oid(commit));
        contains.unwrap_or(false) || self.repository.is_shallow()
    }

    /// Finds a folder of a commit.
    pub(super) fn folder(&self, commit: GitHash, path: &str) -> Result<Option<FoundFolder>, GitError> {
        let commit = self.commit(commit)?;
        let root = hash(commit.tree_id());
        Ok(self.folder_in(root, path)?.map(|tree| FoundFolder { tree, root }))
    }

    /// Finds the folder at a path below a tree.
    pub(super) fn folder_in(&self, root: GitHash, path: &str) -> Result<Option<GitHash>, GitError> {
        let mut found = root;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            match entry(&self.tree(found, path)?, name) {
                Some((id, EntryKind::Folder)) => found = id,
                Some(_) | None => return Ok(None),
            }
        }
        Ok(Some(found))
    }

    /// Lists the folders in a folder of a commit.
    pub(super) fn folders(&self, commit: GitHash, path: &str) -> Result<Vec<String>, GitError> {
        let Some(FoundFolder { tree, .. }) = self.folder(commit, path)? else {
            return Ok(Vec::new());
        };
        Ok(self
            .tree(tree, path)?
            .iter()
            .filter(|entry| kind_of(entry) == EntryKind::Folder)
            .map(|entry| String::from_utf8_lossy(entry.name_bytes()).into_owned())
            .take(NAMED_MAX)
            .collect())
    }
}

/// Returns what a tree has of a name. No entry's name has a NUL, and libgit2 takes none.
pub(super) fn entry(tree: &Tree<'_>, name: &str) -> Option<(GitHash, EntryKind)> {
    if name.contains('\0') {
        return None;
    }
    let entry = tree.get_name_bytes(name.as_bytes())?;
    Some((hash(entry.id()), kind_of(&entry)))
}
