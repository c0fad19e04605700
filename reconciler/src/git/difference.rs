//! What differs between two folders: both are walked at once, and what they share is not looked into.
//!
//! A walk that starts from nothing lists the whole folder. What one walk finds gone is what another found new, so that
//! a list can be kept true by differences alone. Work, names and depth are bounded: a few folders that hold each other
//! many times over stand for any number of entries.

use std::cmp::Ordering;

use git2::TreeEntry;

use super::entries::{Entries, EntryKind, in_git_s_order, kind_of};
use super::repository::{Opened, hash};
use crate::source::hash::GitHash;
use crate::source::protocol::{Differing, GitError, Listed, ManifestFile, Refusal, RefusedEntry};
use crate::source::{DEPTH_MAX, ENTRIES_MAX, is_manifest};

/// The most entries that are looked at in both folders, each as often as it is met.
const VISITS_MAX: usize = 2_000_000;
/// The most bytes that all paths of an answer have.
const PATH_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The most entries of one folder that are refused one by one.
const REFUSED_MAX: usize = 1_000;

/// Walks a folder against an older state of it, or against nothing.
pub(super) fn difference(
    opened: &Opened,
    path: &str,
    old: Option<GitHash>,
    new: Option<GitHash>,
) -> Result<Differing, GitError> {
    let mut visits = VISITS_MAX;
    within(opened, path, old, new, &mut visits)
}

/// Does so with what is left of a budget of visits.
pub(super) fn within(
    opened: &Opened,
    path: &str,
    old: Option<GitHash>,
    new: Option<GitHash>,
    visits: &mut usize,
) -> Result<Differing, GitError> {
    let mut walk = Walk {
        opened,
        difference: Differing::default(),
        visits,
        path_bytes: PATH_BYTES_MAX,
    };
    if old != new {
        walk.folders(old, new, path, 0)?;
    }
    Ok(walk.difference)
}

struct Walk<'a> {
    opened: &'a Opened,
    difference: Differing,
    visits: &'a mut usize,
    path_bytes: usize,
}

/// Which of the two folders an entry is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    Old,
    New,
}

impl Walk<'_> {
    /// Walks two folders at once and says whether the walk goes on.
    fn folders(
        &mut self,
        old: Option<GitHash>,
        new: Option<GitHash>,
        path: &str,
        depth: usize,
    ) -> Result<bool, GitError> {
        if depth > DEPTH_MAX {
            for age in [old.map(|_| Age::Old), new.map(|_| Age::New)]
                .into_iter()
                .flatten()
            {
                self.refuse(age, path, Refusal::TooDeep);
            }
            return Ok(true);
        }
        let old = old.map(|id| self.opened.tree(id, path)).transpose()?;
        let new = new.map(|id| self.opened.tree(id, path)).transpose()?;
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
            if *self.visits == 0 {
                let age = if come.is_some() { Age::New } else { Age::Old };
                return Ok(self.give_up(age, path, Refusal::TooMuchWork));
            }
            *self.visits -= 1;
            let goes_on = match (gone, come) {
                (Some(gone), Some(come)) => self.pair(&gone, &come, path, depth)?,
                (Some(gone), None) => self.entry(Age::Old, &gone, path, depth)?,
                (None, Some(come)) => self.entry(Age::New, &come, path, depth)?,
                (None, None) => break,
            };
            if !goes_on {
                return Ok(false);
            }
        }
        self.difference.is_unclear |= old.is_disordered || new.is_disordered;
        Ok(true)
    }

    /// Compares two entries of one name and says whether the walk goes on.
    fn pair(
        &mut self,
        gone: &TreeEntry<'_>,
        come: &TreeEntry<'_>,
        path: &str,
        depth: usize,
    ) -> Result<bool, GitError> {
        let (old, new) = (kind_of(gone), kind_of(come));
        if gone.id() == come.id() && old == new {
            return Ok(true);
        }
        match std::str::from_utf8(gone.name_bytes()) {
            Ok(name) if old == EntryKind::Folder && new == EntryKind::Folder => {
                let path = format!("{path}/{name}");
                self.folders(Some(hash(gone.id())), Some(hash(come.id())), &path, depth + 1)
            }
            Ok(_) | Err(_) => {
                Ok(self.entry(Age::Old, gone, path, depth)? && self.entry(Age::New, come, path, depth)?)
            }
        }
    }

    /// Takes an entry that one folder has for itself and says whether the walk goes on.
    fn entry(&mut self, age: Age, entry: &TreeEntry<'_>, path: &str, depth: usize) -> Result<bool, GitError> {
        let side = self.side(age);
        side.entries += 1;
        if side.entries > ENTRIES_MAX {
            return Ok(self.give_up(age, path, Refusal::TooMany));
        }
        let Ok(name) = std::str::from_utf8(entry.name_bytes()) else {
            let lossy = format!("{path}/{}", String::from_utf8_lossy(entry.name_bytes()));
            self.refuse(age, &lossy, Refusal::NotUtf8);
            return Ok(true);
        };
        let path = format!("{path}/{name}");
        let why = match kind_of(entry) {
            EntryKind::Folder => {
                let id = Some(hash(entry.id()));
                let (old, new) = match age {
                    Age::Old => (id, None),
                    Age::New => (None, id),
                };
                return self.folders(old, new, &path, depth + 1);
            }
            EntryKind::File if !is_manifest(&path) => return Ok(true),
            EntryKind::File => {
                if !self.has_room_for(&path) {
                    return Ok(self.give_up(age, &path, Refusal::TooMuchWork));
                }
                let id = hash(entry.id());
                self.side(age).manifests.push(ManifestFile { path, id });
                return Ok(true);
            }
            // A link with another ending is data beside the manifests; one without may lead to a folder of them.
            EntryKind::Link if !is_manifest(&path) && std::path::Path::new(&path).extension().is_some() => {
                return Ok(true);
            }
            EntryKind::Link => Refusal::Link,
            EntryKind::Submodule => Refusal::Submodule,
            EntryKind::Other(mode) => Refusal::Mode(mode),
        };
        self.refuse(age, &path, why);
        Ok(true)
    }

    /// Notes that the rest is not looked at: the walk does not go on.
    fn give_up(&mut self, age: Age, path: &str, why: Refusal) -> bool {
        self.difference.is_unclear = true;
        self.side(age).refused.push(RefusedEntry {
            path: path.to_owned(),
            why,
        });
        false
    }

    fn refuse(&mut self, age: Age, path: &str, why: Refusal) {
        let has_room = self.has_room_for(path);
        let refused = &mut self.side(age).refused;
        if refused.len() < REFUSED_MAX && has_room {
            let path = path.to_owned();
            refused.push(RefusedEntry { path, why });
            return;
        }
        // One stands for all that follow.
        if refused
            .last()
            .is_none_or(|last| last.why != Refusal::TooManyRefused)
        {
            let path = path.to_owned();
            let why = Refusal::TooManyRefused;
            refused.push(RefusedEntry { path, why });
        }
        self.difference.is_unclear = true;
    }

    /// Takes a path's bytes from what all of them may have.
    fn has_room_for(&mut self, path: &str) -> bool {
        let left = self.path_bytes.checked_sub(path.len());
        self.path_bytes = left.unwrap_or(0);
        left.is_some()
    }

    fn side(&mut self, age: Age) -> &mut Listed {
        match age {
            Age::Old => &mut self.difference.gone,
            Age::New => &mut self.difference.new,
        }
    }
}
