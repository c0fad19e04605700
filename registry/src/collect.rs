//! Garbage collection: what nothing names any more, old enough that nobody is about to.
//!
//! A version leaves by a rename, so readers never see half of it. Holds the store's lock exclusively.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use planner::Timestamp;
use planner::names::{Digest, ModelName, Version};
use planner::observed::ObservedAlias;

use crate::description;
use crate::error::StoreError;
use crate::files::{Dir, TEMPORARY};
use crate::reference::versions_in;
use crate::signatures;
use crate::store::{RUNS, Store, Sweep, VERSIONS, within};

/// How many runs of each model that made no version stay: the newest.
const RUNS_KEPT: usize = 20;

/// What a collection keeps besides whatever an alias names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// Versions that a pin, an object or a status names.
    pub pinned: BTreeSet<(ModelName, Version)>,
    /// Data files that a job names.
    pub datasets: BTreeSet<Digest>,
    /// How many of each model's newest versions.
    pub last: usize,
    /// Whatever was written within this time: 24 hours, unless somebody means otherwise.
    pub minimum_age: Duration,
}

/// One thing that a collection removed, or would remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Collected {
    /// A version, and the run that made it.
    Version(ModelName, Version),
    /// What is left of a run that made no version.
    Run(ModelName, Version),
    /// A staged data file.
    Dataset(Digest),
    /// What an unfinished write left.
    Leftover(PathBuf),
    /// Nothing: this model was passed over, because what it keeps is not certain.
    Skipped(ModelName, String),
}

impl Store {
    /// Removes the versions, with their runs, and data files that nothing keeps, the runs without a version but for the
    /// newest 20 of each model, and what unfinished writes left.
    ///
    /// With `dry_run` it removes nothing and returns what it would remove.
    pub fn collect(&self, keep: &Keep, now: Timestamp, dry_run: bool) -> Result<Vec<Collected>, StoreError> {
        let _lock = self.lock_exclusive()?;
        let sweep = if dry_run {
            Sweep::OnlyList
        } else {
            Sweep::BesideTrainers
        };
        let mut collected: Vec<Collected> = self.sweep(sweep)?.into_iter().map(Collected::Leftover).collect();
        for model in self.models()? {
            match self.collect_model(&model, keep, now, dry_run) {
                Ok(of_model) => collected.extend(of_model),
                Err(error @ (StoreError::Link { .. } | StoreError::BrokenAlias { .. })) => {
                    collected.push(Collected::Skipped(model, error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(dir) = self.datasets_dir()? {
            for digest in self.datasets()? {
                let name = digest.hex();
                if !keep.datasets.contains(&digest) && is_old(&dir, &name, keep, now)? {
                    if !dry_run {
                        dir.remove(&name)?;
                    }
                    collected.push(Collected::Dataset(digest));
                }
            }
        }
        Ok(collected)
    }

    fn collect_model(
        &self,
        model: &ModelName,
        keep: &Keep,
        now: Timestamp,
        dry_run: bool,
    ) -> Result<Vec<Collected>, StoreError> {
        let mut named = BTreeSet::new();
        for (track, alias) in self.aliases(model)? {
            match alias {
                ObservedAlias::To(version) => named.insert(version),
                ObservedAlias::Broken(why) => {
                    let path = self.alias_path(model, track);
                    return Err(StoreError::BrokenAlias { path, why });
                }
            };
        }
        let Some(model_dir) = self.model_dir(model)? else {
            return Ok(Vec::new());
        };
        let versions = model_dir.dir(VERSIONS)?;
        let runs = within(&model_dir, RUNS)?;
        let made = versions.as_ref().map_or(Ok(Vec::new()), versions_in)?;
        let ran = runs.as_ref().map_or(Ok(Vec::new()), versions_in)?;
        let is_doomed = |dir: &Dir, version: &Version| {
            let is_kept = named.contains(version) || keep.pinned.contains(&(model.clone(), version.clone()));
            Ok::<_, StoreError>(!is_kept && is_old(dir, &version.to_string(), keep, now)?)
        };
        let mut collected = Vec::new();
        if let Some(dir) = &versions {
            for version in made.iter().rev().skip(keep.last) {
                if is_doomed(dir, version)? {
                    if !dry_run {
                        // First: a version may have no run, and what is left of a run looks like one that failed.
                        if let Some(runs) = runs.as_ref().filter(|_| ran.contains(version)) {
                            remove(runs, version)?;
                        }
                        remove(dir, version)?;
                        description::forget(&model_dir, version)?;
                        signatures::forget(&model_dir, version)?;
                    }
                    collected.push(Collected::Version(model.clone(), version.clone()));
                }
            }
        }
        collected.reverse();
        if let Some(dir) = &runs {
            let failed = ran.iter().rev().filter(|version| !made.contains(version));
            let mut runs = Vec::new();
            for version in failed.skip(RUNS_KEPT) {
                if is_doomed(dir, version)? {
                    if !dry_run {
                        remove(dir, version)?;
                    }
                    runs.push(Collected::Run(model.clone(), version.clone()));
                }
            }
            collected.extend(runs.into_iter().rev());
        }
        Ok(collected)
    }
}

/// Removes a version's folder; nobody sees half of it.
fn remove(dir: &Dir, version: &Version) -> Result<(), StoreError> {
    let doomed = format!("{TEMPORARY}gc-{version}");
    dir.rename(&version.to_string(), &doomed)?;
    dir.sync()?;
    dir.remove(&doomed)
}

fn is_old(dir: &Dir, name: &str, keep: &Keep, now: Timestamp) -> Result<bool, StoreError> {
    let Some(stamp) = dir.stamp(name)? else {
        return Ok(false);
    };
    let age = now.timestamp().saturating_sub(stamp.modified_seconds());
    Ok(u64::try_from(age).is_ok_and(|age| age >= keep.minimum_age.as_secs()))
}
