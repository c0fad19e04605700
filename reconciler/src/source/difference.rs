//! What differs between two folders: both are walked at once, and what they share is not looked into.
//!
//! A walk that starts from nothing lists the whole folder. What one walk finds gone is what another found new, so that
//! a list can be kept true by differences alone.

use std::cmp::Ordering;

use git2::{FileMode, Oid, Tree, TreeEntry};
use planner::finding::{Finding, Location, Reason};

use super::tree::{ManifestFile, is_manifest};
use super::{Source, SourceError};

/// The most entries that a folder is read with, folders included.
pub(crate) const ENTRIES_MAX: usize = 100_000;
/// The most levels of folders below the environment's.
const DEPTH_MAX: usize = 16;

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
        old: Option<Oid>,
        new: Option<Oid>,
    ) -> Result<Difference, SourceError> {
        let mut walk = Walk {
            source: self,
            difference: Difference::default(),
        };
        if old != new {
            walk.folders(old, new, path, 0)?;
        }
        Ok(walk.difference)
    }
}

struct Walk<'a> {
    source: &'a Source,
    difference: Difference,
}

/// Which of the two folders an entry is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    Old,
    New,
}

impl Walk<'_> {
    fn folders(
        &mut self,
        old: Option<Oid>,
        new: Option<Oid>,
        path: &str,
        depth: usize,
    ) -> Result<(), SourceError> {
        if depth > DEPTH_MAX {
            for age in [old.map(|_| Age::Old), new.map(|_| Age::New)]
                .into_iter()
                .flatten()
            {
                self.refuse(
                    age,
                    path,
                    Reason::Unreadable,
                    &format!("folder lies more than {DEPTH_MAX} levels below the environment"),
                    "move its manifests up",
                );
            }
            return Ok(());
        }
        let old = old.map(|id| self.source.tree(id, path)).transpose()?;
        let new = new.map(|id| self.source.tree(id, path)).transpose()?;
        let mut old = Entries::of(old.as_ref());
        let mut new = Entries::of(new.as_ref());
        loop {
            let order = match (&old.next, &new.next) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => in_git_s_order(old, new),
            };
            let gone = if order.is_le() { old.pull() } else { None };
            let come = if order.is_ge() { new.pull() } else { None };
            let goes_on = match (gone, come) {
                (Some(gone), Some(come)) => self.pair(&gone, &come, path, depth)?,
                (Some(gone), None) => self.entry(Age::Old, &gone, path, depth)?,
                (None, Some(come)) => self.entry(Age::New, &come, path, depth)?,
                (None, None) => break,
            };
            if !goes_on {
                return Ok(());
            }
        }
        self.difference.is_unclear |= old.is_disordered || new.is_disordered;
        Ok(())
    }

    /// Compares two entries of one name and says whether the walk goes on.
    fn pair(
        &mut self,
        gone: &TreeEntry<'_>,
        come: &TreeEntry<'_>,
        path: &str,
        depth: usize,
    ) -> Result<bool, SourceError> {
        if gone.id() == come.id() && gone.filemode() == come.filemode() {
            return Ok(true);
        }
        match std::str::from_utf8(gone.name_bytes()) {
            Ok(name) if is_folder(gone) && is_folder(come) => {
                let path = format!("{path}/{name}");
                self.folders(Some(gone.id()), Some(come.id()), &path, depth + 1)?;
                Ok(true)
            }
            Ok(_) | Err(_) => {
                Ok(self.entry(Age::Old, gone, path, depth)? && self.entry(Age::New, come, path, depth)?)
            }
        }
    }

    /// Takes an entry that one folder has for itself and says whether the walk goes on.
    fn entry(
        &mut self,
        age: Age,
        entry: &TreeEntry<'_>,
        path: &str,
        depth: usize,
    ) -> Result<bool, SourceError> {
        let side = self.side(age);
        side.entries += 1;
        let entries = side.entries;
        if entries > ENTRIES_MAX {
            if entries == ENTRIES_MAX + 1 {
                self.refuse(
                    age,
                    path,
                    Reason::Unreadable,
                    &format!(
                        "environment has more than {ENTRIES_MAX} files and folders; the rest is not read"
                    ),
                    "move what is no manifest out of the folder",
                );
            }
            self.difference.is_unclear = true;
            return Ok(false);
        }
        let Ok(name) = std::str::from_utf8(entry.name_bytes()) else {
            let lossy = format!("{path}/{}", String::from_utf8_lossy(entry.name_bytes()));
            self.refuse(
                age,
                &lossy,
                Reason::UnsupportedEntry,
                "name is not UTF-8",
                "rename it",
            );
            return Ok(true);
        };
        let path = format!("{path}/{name}");
        if is_folder(entry) {
            let (old, new) = match age {
                Age::Old => (Some(entry.id()), None),
                Age::New => (None, Some(entry.id())),
            };
            self.folders(old, new, &path, depth + 1)?;
        } else {
            self.leaf(age, entry, path);
        }
        Ok(true)
    }

    fn leaf(&mut self, age: Age, entry: &TreeEntry<'_>, path: String) {
        if entry.filemode() == i32::from(FileMode::Link) {
            // A link with another ending is data beside the manifests; one without may lead to a folder of them.
            if is_manifest(&path) || std::path::Path::new(&path).extension().is_none() {
                self.refuse(
                    age,
                    &path,
                    Reason::UnsupportedEntry,
                    "is a symbolic link, which Aurora does not follow",
                    "commit a copy of the file, or move the file here",
                );
            }
        } else if entry.filemode() == i32::from(FileMode::Commit) {
            self.refuse(
                age,
                &path,
                Reason::UnsupportedEntry,
                "is a submodule, which Aurora does not follow",
                "commit its manifests into this repository",
            );
        } else if is_manifest(&path) {
            let id = entry.id();
            self.side(age).manifests.push(ManifestFile { path, id });
        }
    }

    fn refuse(&mut self, age: Age, file: &str, reason: Reason, message: &str, hint: &str) {
        self.side(age).refused.push(refused(file, reason, message, hint));
    }

    fn side(&mut self, age: Age) -> &mut Side {
        match age {
            Age::Old => &mut self.difference.gone,
            Age::New => &mut self.difference.new,
        }
    }
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

/// The entries of a tree one after the other, the next one in sight.
struct Entries<'t> {
    rest: Option<git2::TreeIter<'t>>,
    next: Option<TreeEntry<'t>>,
    /// An entry did not come after the one before it: walking two such trees at once would miss what they share.
    is_disordered: bool,
}

impl<'t> Entries<'t> {
    fn of(tree: Option<&'t Tree<'_>>) -> Self {
        let mut rest = tree.map(Tree::iter);
        let next = rest.as_mut().and_then(Iterator::next);
        Self {
            rest,
            next,
            is_disordered: false,
        }
    }

    fn pull(&mut self) -> Option<TreeEntry<'t>> {
        let following = self.rest.as_mut().and_then(Iterator::next);
        if let (Some(pulled), Some(following)) = (&self.next, &following) {
            self.is_disordered |= in_git_s_order(pulled, following).is_ge();
        }
        std::mem::replace(&mut self.next, following)
    }
}

/// Compares two entries as a tree sorts them: by name, a folder's name ending in a slash.
fn in_git_s_order(a: &TreeEntry<'_>, b: &TreeEntry<'_>) -> Ordering {
    let (a_name, b_name) = (a.name_bytes(), b.name_bytes());
    let shared = a_name.len().min(b_name.len());
    a_name[..shared].cmp(&b_name[..shared]).then_with(|| {
        let following = |entry: &TreeEntry<'_>, name: &[u8]| {
            let end = if is_folder(entry) { b'/' } else { 0 };
            name.get(shared).copied().unwrap_or(end)
        };
        following(a, a_name).cmp(&following(b, b_name))
    })
}

fn is_folder(entry: &TreeEntry<'_>) -> bool {
    entry.filemode() == i32::from(FileMode::Tree)
}
