//! A commit's files → the desired state and findings. Reads Git, writes nothing.
//!
//! ```text
//! difference of two folders ──files──> index ──judge──> what the touched manifests mean ──> resolution
//!                             parse    claims  datasets, history, allowed                   changed in place
//! ```
//!
//! One bad file never stops the others: what is wrong becomes a finding, and the environment counts as partly
//! understood, so that nothing is removed. A commit costs what it changes: all that can fail is found out before the
//! last resolution is touched.

mod allowed;
mod bounds;
mod carried;
mod datasets;
mod files;
mod index;
mod judge;
mod old_files;
mod read;
mod revise;
pub(crate) mod stable;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use planner::commits::Verify;
use planner::desired::{Completeness, Desired};
use planner::environment::{Environment, Target};
use planner::finding::{Finding, Location, Reason};
use planner::names::{EnvironmentName, Revision};
use planner::object::{Kind, ObjectId};
use planner::observed::Observed;
use registry::DatasetRoots;

use crate::source::{ENVIRONMENTS, Folder, History, Remembered, Source, SourceError};
use allowed::Allowed;
use carried::Carried;
pub use datasets::DataDigests;
use datasets::Datasets;
use files::Edited;
use index::Index;
use judge::{Changes, Judge, Judged};
use old_files::OldFiles;
use revise::{Header, Stamps, restamp, revise};

/// What an environment's folder says at one commit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resolution {
    /// The desired state; absent where there is no MLEnvironment to go by.
    pub desired: Option<Desired>,
    /// What is wrong, sorted by place.
    pub findings: Vec<Finding>,
}

/// What of a resolution may differ from the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touched {
    /// Anything.
    Everything,
    /// These manifests: what they declare, since which commit, where, or whether they do. The MLEnvironment is among
    /// them where it or what it allows to remove differs.
    ///
    /// The revision as a whole, the findings and the completeness may differ besides.
    Manifests(BTreeSet<ObjectId>),
}

/// Resolves commits one after the other, and keeps the last resolution: a new commit costs what it changes.
#[derive(Debug)]
pub struct Resolver {
    resolution: Resolution,
    /// What the resolution was asked for with.
    asked: Option<Asked>,
    /// What the resolution stands on; absent where the next one has to read the whole folder.
    ground: Option<Ground>,
    /// Absent where it does not matter which commit changed a manifest.
    history: Option<History>,
    /// What counted before this process began, until the first commit was resolved.
    carried: Option<Carried>,
    allowed: Allowed,
    roots: Option<DatasetRoots>,
    digests: DataDigests,
    /// Whether the files that models are imported from may be still to come.
    imports_may_come: bool,
    /// How long a history may be read at a time.
    patience: Duration,
    /// What the resolved environment is for; absent where that does not matter.
    target: Option<Target>,
}

#[derive(Debug, PartialEq)]
struct Asked {
    revision: Revision,
    environment: EnvironmentName,
    last_good: Option<Environment>,
}

#[derive(Debug)]
struct Ground {
    folder: Folder,
    index: Index,
    datasets: Datasets,
}

impl Default for Resolver {
    fn default() -> Self {
        Self {
            history: Some(History::default()),
            ..Self::without_history()
        }
    }
}

impl Resolver {
    /// Returns a resolver that takes the resolved commit itself for the one that changed each manifest: for comparing.
    pub fn without_history() -> Self {
        Self {
            resolution: Resolution::default(),
            asked: None,
            ground: None,
            history: None,
            carried: None,
            allowed: Allowed::default(),
            roots: None,
            digests: DataDigests::new(),
            imports_may_come: false,
            patience: Duration::MAX,
            target: None,
        }
    }

    /// Takes no MLEnvironment but one of this target: whoever carries out what is resolved can do nothing with another.
    #[must_use]
    pub fn for_target(self, target: Target) -> Self {
        Self {
            target: Some(target),
            ..self
        }
    }

    /// Judges files outside the repository by the folders that they may lie in. Without, nothing is said about them.
    #[must_use]
    pub fn with_dataset_roots(self, roots: Option<DatasetRoots>) -> Self {
        Self { roots, ..self }
    }

    /// Looks at no file that a model is imported from: the model may be yet to be fitted, to rows that its job tells.
    #[must_use]
    pub fn without_imports(self) -> Self {
        Self {
            imports_may_come: true,
            ..self
        }
    }

    /// Takes what an earlier resolver knew of the content of data files, so that none of it is hashed again.
    #[must_use]
    pub fn with_data_digests(self, digests: DataDigests) -> Self {
        Self { digests, ..self }
    }

    /// Reads a history for about this long at a time: [`Self::go_on`] reads the rest. Without, a commit is resolved only
    /// once the commits that last changed its manifests are found.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Takes what an earlier resolver knew of the history, so that only what came since is read.
    #[must_use]
    pub fn with_remembered(self, remembered: Option<Remembered>) -> Self {
        let history = remembered.map(History::remembering);
        Self {
            history: history.or(self.history),
            ..self
        }
    }

    /// Returns what is known of the history, for another process.
    pub fn remembered(&self) -> Option<Remembered> {
        // Which commit changed the data of a job that is not declared, or cannot be used, is not followed.
        let is_usable = |ground: &Ground, id: &ObjectId| {
            ground.index.declared(id).is_some() && !ground.datasets.is_unusable(&id.name)
        };
        let ground = self.ground.as_ref();
        let is_followed =
            |id: &ObjectId| id.kind != Kind::Training || ground.is_some_and(|ground| is_usable(ground, id));
        self.history.as_ref()?.remembered(&is_followed)
    }

    /// Returns the commit of which that is known.
    pub fn walked_to(&self) -> Option<Revision> {
        self.history.as_ref()?.walked_to()
    }

    /// Says whether there is more of the history to read: until then other commits stand for those that last changed
    /// manifests.
    pub fn is_under_way(&self) -> bool {
        self.history.as_ref().is_some_and(History::is_under_way)
    }

    /// Reads on in the history of the commit that was resolved last, and says which manifests were last changed by
    /// another commit than was said.
    pub fn go_on(&mut self, source: &Source) -> Result<Touched, SourceError> {
        let index = self.ground.as_ref().map(|ground| &ground.index);
        let mut old = OldFiles::new(source, index, None);
        let mut touched = BTreeSet::new();
        let Some(history) = &mut self.history else {
            return Ok(Touched::Manifests(touched));
        };
        let is_declared = |id: &ObjectId| index.is_none_or(|index| index.is_claimed(id));
        let documents = &mut |files: Vec<_>| old.documents(&files);
        let found = history.go_on(source, documents, self.patience, &is_declared)?;
        if let Some(desired) = &mut self.resolution.desired {
            restamp(desired, history, &found, &mut touched);
        }
        Ok(Touched::Manifests(touched))
    }

    /// Returns what is known of the content of the data files that jobs read.
    pub fn data_digests(&self) -> &DataDigests {
        &self.digests
    }

    /// Takes in what objects say of the commits that changed their manifests, until the first commit is resolved: where
    /// a history goes no further back, it stands for what was found when it did.
    pub fn carry_on(&mut self, observed: &Observed) {
        if self.asked.is_none() && self.history.is_some() {
            self.carried = Some(Carried::of(observed));
        }
    }

    /// Returns the last resolution: before the first, nothing is desired and nothing found.
    pub fn resolution(&self) -> &Resolution {
        &self.resolution
    }

    /// Forgets the last resolution: nothing is desired and nothing found, as before the first.
    pub(crate) fn forget(&mut self) {
        self.resolution = Resolution::default();
        self.asked = None;
        self.ground = None;
    }

    /// Returns the last resolution and forgets all else.
    pub fn into_resolution(self) -> Resolution {
        self.resolution
    }

    /// Resolves an environment at a commit, and says what may differ from the last resolution.
    ///
    /// `last_good` is the MLEnvironment that goes on where the commit has none that can be read. An error means that
    /// Git could not be read; then nothing is known about the commit, and the last resolution stays as it was.
    pub fn resolve(
        &mut self,
        source: &Source,
        revision: &Revision,
        environment: &EnvironmentName,
        last_good: Option<&Environment>,
    ) -> Result<Touched, SourceError> {
        let asked = Asked {
            revision: revision.clone(),
            environment: environment.clone(),
            last_good: last_good.cloned(),
        };
        if self.asked.as_ref() == Some(&asked) {
            return Ok(Touched::Manifests(BTreeSet::new()));
        }
        // A commit that hangs is not read all the time; another one is, at once.
        if let Some(error) = source.held(Some(revision)) {
            return Err(error);
        }
        match self.read(source, &asked) {
            Ok(touched) => {
                self.carried = None;
                self.asked = Some(asked);
                Ok(touched)
            }
            Err(error) => {
                let error = error.for_commit(revision);
                if error.is_of_objects() {
                    source.hold(Some(revision), &error);
                }
                Err(error)
            }
        }
    }

    fn read(&mut self, source: &Source, asked: &Asked) -> Result<Touched, SourceError> {
        let Asked {
            revision,
            environment,
            last_good,
        } = asked;
        match source.folder(revision, environment) {
            Ok(folder) => {
                if let Some(touched) = self.follow(source, asked, &folder)? {
                    Ok(touched)
                } else {
                    self.resolve_anew(source, asked, folder)?;
                    Ok(Touched::Everything)
                }
            }
            Err(SourceError::NoEnvironment { existing, .. }) => {
                self.ground = None;
                self.resolution = folder_missing(revision, environment, last_good.as_ref(), &existing);
                Ok(Touched::Everything)
            }
            Err(error) => Err(error),
        }
    }

    /// Goes on from the last resolution; nothing is done where that takes reading the whole folder.
    fn follow(
        &mut self,
        source: &Source,
        asked: &Asked,
        folder: &Folder,
    ) -> Result<Option<Touched>, SourceError> {
        let is_same = |last: &Asked| last.environment == asked.environment;
        let (Some(ground), Some(former)) = (&mut self.ground, &self.resolution.desired) else {
            return Ok(None);
        };
        if !self.asked.as_ref().is_some_and(is_same) {
            return Ok(None);
        }
        let Some(mut edited) = files::follow(source, &mut ground.index, &ground.folder, folder)? else {
            return Ok(None);
        };
        let judge = Judge {
            source,
            revision: &asked.revision,
            environment: &asked.environment,
            folder,
            index: &ground.index,
            datasets: &ground.datasets,
            history: self.history.as_ref(),
            carried: self.carried.as_ref(),
            patience: self.patience,
            is_first: self.asked.is_none(),
            before: None,
            former: Some((former, &ground.folder)),
        };
        let judged = judge.judge(&mut edited, &mut self.allowed);
        let Some(mut ground) = self.ground.take() else {
            return Ok(None);
        };
        match judged {
            Ok(judged) => {
                ground.folder = folder.clone();
                Ok(Some(self.accept(asked, judged, &edited, ground)))
            }
            Err(error) => {
                edited.undo(&mut ground.index);
                self.ground = Some(ground);
                Err(error)
            }
        }
    }

    /// Reads the whole folder.
    fn resolve_anew(&mut self, source: &Source, asked: &Asked, folder: Folder) -> Result<(), SourceError> {
        let (mut index, mut edited) = files::list(source, &folder)?;
        index.target.clone_from(&self.target);
        let ground = Ground {
            folder,
            index,
            datasets: Datasets::new(self.roots.clone(), self.digests.clone(), self.imports_may_come),
        };
        let judge = Judge {
            source,
            revision: &asked.revision,
            environment: &asked.environment,
            folder: &ground.folder,
            index: &ground.index,
            datasets: &ground.datasets,
            history: self.history.as_ref(),
            carried: self.carried.as_ref(),
            patience: self.patience,
            is_first: self.asked.is_none(),
            before: self
                .asked
                .as_ref()
                .filter(|last| last.environment == asked.environment)
                .and(self.resolution.desired.as_ref()),
            former: None,
        };
        let judged = judge.judge(&mut edited, &mut self.allowed)?;
        self.resolution = Resolution::default();
        self.ground = None;
        self.accept(asked, judged, &edited, ground);
        Ok(())
    }

    /// Changes the resolution to what a commit was judged to mean. Nothing here can fail.
    fn accept(&mut self, asked: &Asked, judged: Judged, edited: &Edited, mut ground: Ground) -> Touched {
        let Judged {
            declared,
            gone,
            datasets,
            changes,
            environment,
            allowed,
        } = judged;
        if ground.datasets.accept(datasets, &gone) {
            self.digests = ground.datasets.contents();
        }
        let findings = findings(&ground, &asked.environment);
        let stamps = match changes {
            Changes::Uniform(changed) => Stamps::Uniform(changed),
            Changes::Walked(walked) => {
                let history = self.history.get_or_insert_default();
                let found = history.accept(*walked, &edited.touched, &|id| ground.index.is_claimed(id));
                Stamps::Each { history, found }
            }
        };
        let former = self.resolution.desired.take();
        let desired = environment
            .map(|environment| with_keys(environment, asked.last_good.as_ref()))
            .or_else(|| asked.last_good.clone())
            .map(|environment| Header {
                revision: asked.revision.clone(),
                environment,
                completeness: if findings.is_empty() {
                    Completeness::Complete
                } else {
                    Completeness::Partial
                },
                allowed,
            })
            .map(|header| revise(former, header, declared, &gone, &stamps));
        let (desired, touched) = match desired {
            Some((desired, touched)) => {
                // What was not read, for what was there besides, may be read at the next commit.
                self.ground = (!edited.is_cut).then_some(ground);
                (Some(desired), touched)
            }
            // Nothing is desired without an environment, and specs are kept nowhere else.
            None => (None, Touched::Everything),
        };
        self.resolution = Resolution { desired, findings };
        touched
    }
}

/// A file of keys that cannot be used leaves those that were trusted before.
fn with_keys(mut environment: Environment, last_good: Option<&Environment>) -> Environment {
    let models = &mut environment.models;
    let before = last_good.filter(|_| models.verify != Verify::Off && models.trusted.is_empty());
    if let Some(before) = before {
        models.trusted.clone_from(&before.models.trusted);
    }
    environment
}

fn findings(ground: &Ground, environment: &EnvironmentName) -> Vec<Finding> {
    let mut findings = Vec::new();
    ground.index.environment(environment, &mut findings);
    ground.index.findings(&mut findings);
    findings.extend(ground.datasets.findings().cloned());
    bounds::bounded(findings)
}

/// A commit without the environment's folder removes nothing: it may be a mistake, and the folder holds the limits
/// that a removal is judged by.
fn folder_missing(
    revision: &Revision,
    environment: &EnvironmentName,
    last_good: Option<&Environment>,
    existing: &[String],
) -> Resolution {
    let finding = Finding {
        location: Some(Location {
            file: format!("{ENVIRONMENTS}/{environment}"),
            line: 0,
            column: 0,
        }),
        reason: Reason::EnvironmentMissing,
        subject: ObjectId::environment(environment).into(),
        message: if existing.is_empty() {
            "the commit has no such folder, nor another environment".to_owned()
        } else {
            format!("the commit has no such folder; it has {}", existing.join(", "))
        },
        hint: "what was applied stays; restore the folder, or commit it with its MLEnvironment and without the manifests of the models that are to go".to_owned(),
    };
    Resolution {
        desired: last_good.map(|environment| Desired {
            revision: revision.clone(),
            environment: environment.clone(),
            allowed: None,
            overrides: BTreeMap::new(),
            promoted: BTreeMap::new(),
            completeness: Completeness::Partial,
            deployments: BTreeMap::new(),
            trainings: BTreeMap::new(),
        }),
        findings: vec![finding],
    }
}
