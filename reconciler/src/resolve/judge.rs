//! What a commit means for the manifests that it touches: all that has to read Git, before anything is changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use planner::desired::{AllowedRemovals, Desired};
use planner::environment::Environment;
use planner::finding::Location;
use planner::names::{EnvironmentName, ObjectName, Revision};
use planner::object::{Kind, ObjectId};

use super::allowed::Allowed;
use super::carried::Carried;
use super::datasets::{Datasets, Settled};
use super::files::Edited;
use super::index::{Index, Place, Size};
use super::old_files::OldFiles;
use super::read::{Spec, read};
use crate::signatures::trusted;
use crate::source::{Changed, Folder, History, Line, Of, Questions, Source, SourceError, Walked};

/// What is known when a commit is judged.
#[derive(Clone, Copy)]
pub(super) struct Judge<'a> {
    pub(super) source: &'a Source,
    pub(super) revision: &'a Revision,
    pub(super) environment: &'a EnvironmentName,
    pub(super) folder: &'a Folder,
    /// The files of the commit.
    pub(super) index: &'a Index,
    pub(super) datasets: &'a Datasets,
    pub(super) history: Option<&'a History>,
    pub(super) carried: Option<&'a Carried>,
    /// How long a history may be read at a time.
    pub(super) patience: Duration,
    /// What was declared before, if it is not gone on from.
    pub(super) before: Option<&'a Desired>,
    /// Whether it is the first commit that this process judges.
    pub(super) is_first: bool,
    /// What is declared so far, if it is gone on from, with its commit's folder.
    pub(super) former: Option<(&'a Desired, &'a Folder)>,
}

/// What a commit means.
#[derive(Debug)]
pub(super) struct Judged {
    /// The manifests that are declared anew, or may be declared otherwise.
    pub(super) declared: Vec<Found>,
    /// The manifests that are not declared any more.
    pub(super) gone: Vec<ObjectId>,
    pub(super) datasets: Settled,
    pub(super) changes: Changes,
    /// The one MLEnvironment of the folder.
    pub(super) environment: Option<Environment>,
    pub(super) allowed: Option<AllowedRemovals>,
}

/// One spec and where it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: ObjectId,
    pub(super) spec: Spec,
    pub(super) location: Location,
}

/// Which commits changed what.
#[derive(Debug)]
pub(super) enum Changes {
    Walked(Box<Walked>),
    /// Nobody asks: the resolved commit stands for all.
    Uniform(Changed),
}

/// Returns the commit that counted for a manifest that says what it said before.
fn same(before: &Desired, id: &ObjectId, spec: &Spec) -> Option<Changed> {
    let (revision, committed_at) = match (id.kind, spec) {
        (Kind::Deployment, Spec::Deployment(spec)) => {
            let before = before
                .deployments
                .get(&id.name)
                .filter(|before| before.spec == **spec)?;
            (&before.revision, before.committed_at)
        }
        (Kind::Training, Spec::Training(spec)) => {
            let before = before
                .trainings
                .get(&id.name)
                .filter(|before| before.spec == **spec)?;
            (&before.revision, before.committed_at)
        }
        (Kind::Environment | Kind::Deployment | Kind::Training, _) => return None,
    };
    Some(Changed {
        revision: revision.clone(),
        committed_at,
    })
}

impl Judge<'_> {
    pub(super) fn judge(self, edited: &mut Edited, allowed: &mut Allowed) -> Result<Judged, SourceError> {
        let moved = match self.former {
            Some((_, before)) => self.datasets.moved(self.source, before.root, self.folder.root)?,
            None => BTreeSet::new(),
        };
        let mut touched = edited.touched.clone();
        touched.extend(moved.iter().map(ObjectId::training));

        let mut gone = Vec::new();
        let mut specs = Vec::new();
        let mut unread = Vec::new();
        for id in touched {
            let Some(place) = self.index.declared(&id) else {
                gone.push(id);
                continue;
            };
            match edited.take(&place) {
                Some(spec) => specs.push((id, place, spec)),
                None if id.kind == Kind::Training && moved.contains(&id.name) => unread.push((id, place)),
                None if self.is_known(&id) => {}
                None => unread.push((id, place)),
            }
        }
        specs.extend(self.read_again(unread)?);

        let mut settling = self.datasets.settling(self.source, self.folder.root);
        settling.look_for(specs.iter().filter_map(|(_, place, spec)| match spec {
            Spec::Training(training) => Some((&**training, &*place.path)),
            Spec::Deployment(_) => None,
        }))?;
        let mut declared = Vec::new();
        for (id, place, mut spec) in specs {
            let Some(document) = self.index.document(&place) else {
                continue;
            };
            let location = document.location(&place.path);
            let is_usable = match &mut spec {
                Spec::Deployment(_) => true,
                Spec::Training(training) => settling.settle(&id.name, training, &location)?,
            };
            if is_usable {
                declared.push(Found { id, spec, location });
            } else {
                gone.push(id);
            }
        }
        let datasets = settling.finish();
        let changes = match self.history {
            Some(history) => {
                let walked = self.walk(history, edited, &declared, &gone, &datasets)?;
                Changes::Walked(Box::new(walked))
            }
            None => Changes::Uniform(self.source.changed_at(self.revision)?),
        };

        let mut environment = self.index.environment(self.environment, &mut Vec::new()).cloned();
        if let Some(declared) = &mut environment {
            let (keys, _told_elsewhere) =
                trusted(self.source, self.environment, &declared.models, self.revision)?;
            declared.models.trusted = keys;
        }
        let allow = environment
            .as_ref()
            .and_then(|declared| declared.removal.allow.as_ref());
        let allowed = match allow {
            // What was refused for all files together tells nothing of a file in another commit.
            Some(allow) if edited.is_cut => {
                let index = Index::default();
                allowed.resolve(self.source, self.revision, allow, self.environment, &index)?
            }
            Some(allow) => {
                allowed.resolve(self.source, self.revision, allow, self.environment, self.index)?
            }
            None => None,
        };
        Ok(Judged {
            declared,
            gone,
            datasets,
            changes,
            environment,
            allowed,
        })
    }

    /// Says whether a manifest whose document is as it was needs no second look.
    fn is_known(self, id: &ObjectId) -> bool {
        let Some((former, _)) = self.former else {
            return false;
        };
        match id.kind {
            Kind::Deployment => former.deployments.contains_key(&id.name),
            Kind::Training => former.trainings.contains_key(&id.name) || self.datasets.is_unusable(&id.name),
            Kind::Environment => true,
        }
    }

    /// Reads the specs of documents in files that the commit does not touch: specs are kept only while they apply.
    fn read_again(self, unread: Vec<(ObjectId, Place)>) -> Result<Vec<(ObjectId, Place, Spec)>, SourceError> {
        let paths: BTreeSet<&Arc<str>> = unread.iter().map(|(_, place)| &place.path).collect();
        let files = paths.into_iter().filter_map(|path| self.index.manifest(path));
        let mut specs: HashMap<String, Vec<Option<Spec>>> = HashMap::new();
        for file in read(self.source, &files.collect::<Vec<_>>(), Size::default())?.files {
            let documents = file.documents.into_iter().map(|(_, spec)| spec).collect();
            specs.insert(file.file.path, documents);
        }
        let found = unread.into_iter().map(|(id, place)| {
            let spec = specs
                .get_mut(&*place.path)
                .and_then(|documents| documents.get_mut(place.at)?.take())
                .expect("invariant: a file of a commit says the same each time it is read");
            (id, place, spec)
        });
        Ok(found.collect())
    }

    fn walk(
        self,
        history: &History,
        edited: &Edited,
        declared: &[Found],
        gone: &[ObjectId],
        settled: &Settled,
    ) -> Result<Walked, SourceError> {
        let names: BTreeSet<&ObjectId> = declared.iter().map(|found| &found.id).collect();
        let all = || {
            let mut all: BTreeSet<ObjectId> = names.iter().copied().cloned().collect();
            if let Some((former, _)) = self.former {
                all.extend(former.deployments.keys().map(ObjectId::deployment));
                all.extend(former.trainings.keys().map(ObjectId::training));
            }
            for id in gone {
                all.remove(id);
            }
            all
        };
        let mut old = OldFiles::new(self.source, Some(self.index), Some(edited));
        let known = self
            .former
            .map(|(_, before)| (before.tree, self.folder.tree, &edited.difference));
        let line = Line {
            source: self.source,
            head: self.revision,
            environment: self.environment,
            known,
        };
        let specs: HashMap<&ObjectId, &Found> = if self.carried.is_some() || self.before.is_some() {
            declared.iter().map(|found| (&found.id, found)).collect()
        } else {
            HashMap::new()
        };
        let data = |of: Of| {
            let mut data: BTreeMap<String, BTreeSet<ObjectId>> = BTreeMap::new();
            let mut add = |path: &String, job: &ObjectName| {
                data.entry(path.clone())
                    .or_default()
                    .insert(ObjectId::training(job));
            };
            settled.paths().for_each(|(path, job)| add(path, job));
            if of == Of::All {
                for (path, jobs) in self.datasets.jobs() {
                    // Of the others, what they read now counts, not what they read when last looked at.
                    let is_settled = |job: &&ObjectName| names.contains(&ObjectId::training(job));
                    jobs.iter()
                        .filter(|job| !is_settled(job))
                        .for_each(|job| add(path, job));
                }
            }
            data
        };
        history.walk(
            line,
            Questions {
                touched: &names,
                is_out_of_date: &|id| {
                    let mut paths = settled.paths_of(&id.name).iter();
                    // What another process remembered, it had followed.
                    id.kind == Kind::Training
                        && !self.is_first
                        && paths.any(|path| !self.datasets.follows(&id.name, path))
                },
                all: &all,
                carried: &|id| {
                    let found = specs.get(id)?;
                    let before = self.before.and_then(|before| same(before, id, &found.spec));
                    before.or_else(|| self.carried?.changed(id, &found.spec))
                },
                data: &data,
                documents: &mut |files| old.documents(&files),
            },
            self.patience,
        )
    }
}
