//! What the commit that `removal.allow` names still declares.

use std::collections::BTreeSet;

use planner::desired::AllowedRemovals;
use planner::names::{EnvironmentName, Revision};

use super::index::{About, Document, Index, Size};
use super::read::read;
use crate::source::{Source, SourceError};

/// Remembers the commit that was last asked for: what it declares never changes, only where the branch is does.
#[derive(Debug, Default)]
pub(super) struct Allowed {
    known: Option<Known>,
}

#[derive(Debug)]
struct Known {
    environment: EnvironmentName,
    allow: Revision,
    /// A head, and how many first-parent steps lead from there to the commit.
    steps: Option<(Revision, Option<usize>)>,
    declares: Declares,
}

/// What a commit declares in the environment.
#[derive(Debug)]
enum Declares {
    Unread,
    NotUnderstood,
    These(AllowedRemovals),
}

impl Allowed {
    /// Resolves what the commit still declares; nothing where it is no commit of the branch, or was not understood as
    /// a whole.
    ///
    /// `index` saves reading what the branch's newest commit has alike.
    pub(super) fn resolve(
        &mut self,
        source: &Source,
        head: &Revision,
        allow: &Revision,
        environment: &EnvironmentName,
        index: &Index,
    ) -> Result<Option<AllowedRemovals>, SourceError> {
        let is_known = |known: &Known| known.allow == *allow && known.environment == *environment;
        let mut known = self.known.take().filter(is_known).unwrap_or_else(|| Known {
            environment: environment.clone(),
            allow: allow.clone(),
            steps: None,
            declares: Declares::Unread,
        });
        let steps = source.first_parent_steps(head, allow, known.steps.as_ref())?;
        known.steps = Some((head.clone(), steps));
        let known = self.known.insert(known);
        if steps.is_none() {
            return Ok(None);
        }
        if matches!(known.declares, Declares::Unread) {
            known.declares = match declared_by(source, allow, environment, index) {
                Ok(declared) => declared.map_or(Declares::NotUnderstood, Declares::These),
                // What nobody can read any more allows nothing, and stops nothing.
                Err(error) if error.is_of_objects() => Declares::Unread,
                Err(error) => return Err(error),
            };
        }
        Ok(match &known.declares {
            Declares::These(allowed) => Some(allowed.clone()),
            Declares::NotUnderstood | Declares::Unread => None,
        })
    }
}

fn declared_by(
    source: &Source,
    allow: &Revision,
    environment: &EnvironmentName,
    index: &Index,
) -> Result<Option<AllowedRemovals>, SourceError> {
    let folder = match source.folder(allow, environment) {
        Ok(folder) => folder,
        Err(SourceError::NoEnvironment { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let difference = source.difference(&folder.path, None, Some(folder.tree))?;
    if difference.is_unclear || !difference.new.refused.is_empty() {
        return Ok(None);
    }
    let mut allowed = AllowedRemovals {
        revision: allow.clone(),
        models: BTreeSet::new(),
    };
    let mut size = Size::default();
    let mut others = Vec::new();
    for manifest in difference.new.manifests {
        match index.file(&manifest.path) {
            Some(file) if file.id == manifest.id => {
                if !file.findings.is_empty() {
                    return Ok(None);
                }
                size += file.size;
                file.documents
                    .iter()
                    .for_each(|document| add(&mut allowed, document));
            }
            Some(_) | None => others.push(manifest),
        }
    }
    let others = read(source, &others, size)?;
    if others.is_cut || size.is_too_large() {
        return Ok(None);
    }
    for file in &others.files {
        if !file.findings.is_empty() {
            return Ok(None);
        }
        file.documents
            .iter()
            .for_each(|(document, _)| add(&mut allowed, document));
    }
    Ok(Some(allowed))
}

fn add(allowed: &mut AllowedRemovals, document: &Document) {
    match &document.about {
        About::Environment(_) | About::Training(..) => {}
        About::Deployment(_, model, _) => drop(allowed.models.insert(model.clone())),
    }
}
