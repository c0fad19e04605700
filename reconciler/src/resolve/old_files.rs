//! The files of older commits, which a walk along the history parses.

use std::collections::{BTreeMap, HashMap};

use super::files::Edited;
use super::index::{File, Index, Size};
use super::read::{ReadFile, read};
use crate::source::{Documents, ManifestFile, Source, SourceError};

/// How many files are remembered while a history is walked.
const FILES_MAX: usize = 4_096;
/// How many files may be unreadable until the history counts as ended there.
const UNREADABLE_MAX: usize = 2;

/// Parses files of older commits, each once as far as they can be remembered.
pub(super) struct OldFiles<'a> {
    source: &'a Source,
    /// The files of the commit that is resolved.
    index: Option<&'a Index>,
    /// Those that it took the place of.
    edited: Option<&'a Edited>,
    parsed: HashMap<ManifestFile, Documents>,
}

impl<'a> OldFiles<'a> {
    pub(super) fn new(source: &'a Source, index: Option<&'a Index>, edited: Option<&'a Edited>) -> Self {
        Self {
            source,
            index,
            edited,
            parsed: HashMap::new(),
        }
    }

    /// Returns the documents of each file.
    pub(super) fn documents(&mut self, files: &[ManifestFile]) -> Result<Vec<Documents>, SourceError> {
        if self.parsed.len() > FILES_MAX {
            self.parsed.clear();
        }
        let unknown: BTreeMap<_, _> = files
            .iter()
            .filter(|file| self.known(file).is_none())
            .map(|file| ((file.path.as_str(), file.id), file))
            .collect();
        let unknown = unknown.into_values().cloned().collect();
        for file in self.read(unknown)? {
            let documents = file
                .documents
                .iter()
                .filter_map(|(document, _)| Some((document.id()?, document.digest)));
            self.parsed.insert(file.file, documents.collect());
        }
        Ok(files
            .iter()
            .map(|file| self.known(file).unwrap_or_default())
            .collect())
    }

    fn known(&self, file: &ManifestFile) -> Option<Documents> {
        let current = self.index.and_then(|index| index.file(&file.path));
        let current = current.filter(|known| known.id == file.id);
        let current = current.or_else(|| self.edited?.replaced(file));
        // One without bytes may have been refused for what all files have together.
        let current = current.filter(|known| known.size.bytes > 0);
        current
            .map(File::documents)
            .or_else(|| self.parsed.get(file).cloned())
    }

    /// Reads files of older commits. One that nobody can read any more counts for one that does not parse: what came
    /// after it is followed all the same.
    fn read(&self, files: Vec<ManifestFile>) -> Result<Vec<ReadFile>, SourceError> {
        let whole = read(self.source, &files, Size::default());
        match whole {
            Ok(batch) => return Ok(batch.files),
            Err(error) if !error.is_of_objects() => return Err(error),
            Err(_unreadable) => {}
        }
        let mut found = Vec::new();
        let mut unreadable = 0;
        for file in files {
            match read(self.source, &[file], Size::default()) {
                Ok(batch) => found.extend(batch.files),
                Err(error) => {
                    unreadable += 1;
                    if !error.is_of_objects() || unreadable > UNREADABLE_MAX {
                        return Err(error);
                    }
                }
            }
        }
        Ok(found)
    }
}
