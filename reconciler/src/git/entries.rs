//! The entries of trees, by what they are.

use std::cmp::Ordering;

use git2::{Tree, TreeEntry};

use super::repository::{Opened, oid};
use crate::source::hash::GitHash;
use crate::source::protocol::{Cause, GitError};

/// The largest tree that is read, in bytes: more entries than a folder may have.
const TREE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Of how many trees it is remembered that they are not too large: one may be met any number of times.
const TREES_MAX: usize = 4_096;

/// What an entry is. As for Git itself, only the bits of the type count: old and foreign tools write modes such as 100664.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    File,
    Folder,
    Link,
    Submodule,
    Other(u32),
}

pub(super) fn kind_of(entry: &TreeEntry<'_>) -> EntryKind {
    let mode = u32::try_from(entry.filemode_raw()).unwrap_or_default();
    match mode & 0o170_000 {
        0o100_000 => EntryKind::File,
        0o040_000 => EntryKind::Folder,
        0o120_000 => EntryKind::Link,
        0o160_000 => EntryKind::Submodule,
        _ => EntryKind::Other(mode),
    }
}

impl Opened {
    pub(super) fn tree(&self, id: GitHash, path: &str) -> Result<Tree<'_>, GitError> {
        let unreadable = |error: &git2::Error| self.unreadable(path, error);
        let is_known = self.trees.borrow().contains(&id);
        if !is_known {
            let objects = self.repository.odb().map_err(|error| unreadable(&error))?;
            let (bytes, _kind) = objects.read_header(oid(id)).map_err(|error| unreadable(&error))?;
            if bytes > TREE_BYTES_MAX {
                return Err(GitError::Unreadable {
                    what: path.to_owned(),
                    message: format!("the folder's own list has {bytes} bytes, more than {TREE_BYTES_MAX}"),
                    cause: Cause::Damaged,
                });
            }
            let mut trees = self.trees.borrow_mut();
            if trees.len() >= TREES_MAX {
                trees.clear();
            }
            trees.insert(id);
        }
        self.repository
            .find_tree(oid(id))
            .map_err(|error| unreadable(&error))
    }
}

/// The entries of a tree one after the other, the next one in sight.
pub(super) struct Entries<'t> {
    rest: Option<git2::TreeIter<'t>>,
    pub(super) next: Option<TreeEntry<'t>>,
    /// An entry did not come after the one before it: walking two such trees at once would miss what they share.
    pub(super) is_disordered: bool,
}

impl<'t> Entries<'t> {
    pub(super) fn of(tree: Option<&'t Tree<'_>>) -> Self {
        let mut rest = tree.map(Tree::iter);
        let next = rest.as_mut().and_then(Iterator::next);
        Self {
            rest,
            next,
            is_disordered: false,
        }
    }

    pub(super) fn pull(&mut self) -> Option<TreeEntry<'t>> {
        let following = self.rest.as_mut().and_then(Iterator::next);
        if let (Some(pulled), Some(following)) = (&self.next, &following) {
            self.is_disordered |= in_git_s_order(pulled, following).is_ge();
        }
        std::mem::replace(&mut self.next, following)
    }
}

/// Compares two entries as a tree sorts them: by name, a folder's name ending in a slash.
pub(super) fn in_git_s_order(a: &TreeEntry<'_>, b: &TreeEntry<'_>) -> Ordering {
    let (a_name, b_name) = (a.name_bytes(), b.name_bytes());
    let shared = a_name.len().min(b_name.len());
    a_name[..shared].cmp(&b_name[..shared]).then_with(|| {
        let following = |entry: &TreeEntry<'_>, name: &[u8]| {
            let end = if kind_of(entry) == EntryKind::Folder {
                b'/'
            } else {
                0
            };
            name.get(shared).copied().unwrap_or(end)
        };
        following(a, a_name).cmp(&following(b, b_name))
    })
}
