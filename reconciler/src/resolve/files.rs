//! An index brought from one commit's files to another's, and back where the rest of a resolve fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use planner::finding::Reason;
use planner::object::ObjectId;

use super::index::{Document, File, Index, Place, Size};
use super::read::{Batch, Spec, read};
use crate::source::{Difference, ENTRIES_MAX, Folder, ManifestFile, Source, SourceError, refused};

/// What was done to an index.
#[derive(Debug)]
pub(super) struct Edited {
    /// The manifests that may be declared otherwise or no more.
    pub(super) touched: BTreeSet<ObjectId>,
    /// Something was not read for what is there besides: the index is no ground for the next commit.
    pub(super) is_cut: bool,
    /// The specs of the files that were read, by the documents' numbers.
    specs: BTreeMap<Arc<str>, Vec<Option<Spec>>>,
    /// What was replaced, oldest first.
    replaced: Vec<(Arc<str>, Option<File>)>,
    /// Where the older files are in `replaced`.
    older: BTreeMap<Arc<str>, usize>,
    pub(super) difference: Difference,
}

/// Makes an index of a folder.
pub(super) fn list(source: &Source, folder: &Folder) -> Result<(Index, Edited), SourceError> {
    let mut difference = source.difference(&folder.path, None, Some(folder.tree))?;
    let files = std::mem::take(&mut difference.new.manifests);
    let mut batch = read(source, &files, Size::default())?;
    batch.is_cut |= difference.is_unclear;
    let mut index = Index::default();
    let edited = edit(&mut index, difference, batch);
    Ok((index, edited))
}

/// Brings an index from one folder to another. Nothing is done, and nothing returned, where only reading the whole
/// folder gives what is to be known.
pub(super) fn follow(
    source: &Source,
    index: &mut Index,
    from: &Folder,
    to: &Folder,
) -> Result<Option<Edited>, SourceError> {
    let difference = match source.difference(&to.path, Some(from.tree), Some(to.tree)) {
        Ok(difference) => difference,
        // The older tree may be gone from a repository that was cleaned up, or never have been whole.
        Err(error) if error.is_of_objects() => return Ok(None),
        Err(error) => return Err(error),
    };
    let entries = (index.entries + difference.new.entries).saturating_sub(difference.gone.entries);
    if difference.is_unclear || entries > ENTRIES_MAX {
        return Ok(None);
    }
    let mut left = index.size;
    for file in &difference.gone.manifests {
        left = left.without(
            index
                .file(&file.path)
                .map_or_else(Size::default, |file| file.size),
        );
    }
    let batch = read(source, &difference.new.manifests, left)?;
    if batch.is_cut {
        return Ok(None);
    }
    Ok(Some(edit(index, difference, batch)))
}

fn edit(index: &mut Index, difference: Difference, batch: Batch) -> Edited {
    let mut edited = Edited {
        touched: BTreeSet::new(),
        is_cut: batch.is_cut,
        specs: BTreeMap::new(),
        replaced: Vec::new(),
        older: BTreeMap::new(),
        difference,
    };
    for file in &edited.difference.gone.manifests {
        let path: Arc<str> = file.path.as_str().into();
        let old = index.replace(&path, None, &mut edited.touched);
        edited.older.insert(path.clone(), edited.replaced.len());
        edited.replaced.push((path, old));
    }
    for file in batch.files {
        let path: Arc<str> = file.file.path.as_str().into();
        if index.file(&path).is_some() {
            // Only a tree that Git does not write has one name twice.
            edited.is_cut = true;
            let message = "is not the only entry of this name in its folder; this one is not read";
            let finding = refused(&path, Reason::Unreadable, message, "commit the folder anew");
            edited.difference.new.refused.push(finding);
            continue;
        }
        let (documents, specs): (Vec<Document>, Vec<Option<Spec>>) = file.documents.into_iter().unzip();
        let new = File {
            id: file.file.id,
            size: file.size,
            documents: documents.into(),
            findings: file.findings.into(),
        };
        index.replace(&path, Some(new), &mut edited.touched);
        edited.replaced.push((path.clone(), None));
        edited.specs.insert(path, specs);
    }
    for finding in &edited.difference.gone.refused {
        index.unrefuse(finding);
    }
    for finding in &edited.difference.new.refused {
        index.refuse(finding.clone());
    }
    index.entries = index.entries + edited.difference.new.entries - edited.difference.gone.entries;
    edited
}

impl Edited {
    /// Takes the spec of a document that was read.
    pub(super) fn take(&mut self, place: &Place) -> Option<Spec> {
        self.specs.get_mut(&place.path)?.get_mut(place.at)?.take()
    }

    /// Returns a file that was in the index before.
    pub(super) fn replaced(&self, file: &ManifestFile) -> Option<&File> {
        let (_, older) = self.replaced.get(*self.older.get(file.path.as_str())?)?;
        older.as_ref().filter(|older| older.id == file.id)
    }

    /// Brings the index back to what it was.
    pub(super) fn undo(self, index: &mut Index) {
        let mut touched = BTreeSet::new();
        for (path, old) in self.replaced.into_iter().rev() {
            index.replace(&path, old, &mut touched);
        }
        for finding in &self.difference.new.refused {
            index.unrefuse(finding);
        }
        for finding in self.difference.gone.refused {
            index.refuse(finding);
        }
        index.entries = index.entries + self.difference.gone.entries - self.difference.new.entries;
    }
}
