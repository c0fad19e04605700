//! What a commit would do, without doing it: for `aurora validate` and `aurora plan`. Reads only.

use std::path::{Path, PathBuf};

use planner::Timestamp;
use planner::finding::Finding;
use planner::identity::plan_hash;
use planner::names::{Digest, EnvironmentName, Revision};
use planner::plan::{Plan, plan};
use registry::{Observer, Store, StoreError};

use crate::diff::{Intents, intents};
use crate::observe::observe;
use crate::resolve::{Resolution, Resolver};
use crate::source::{Source, SourceError};
use crate::standalone::objects::Objects;
use crate::standalone::{DataDir, DataDirError, registry_root};

/// Why nothing can be said about a commit.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The repository or a commit cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The data directory cannot be read.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The registry cannot be read.
    #[error(transparent)]
    Registry(#[from] StoreError),
    /// Nothing was ever applied in the data directory.
    #[error(
        "{} holds no applied state of environment {environment}: start it with aurora up, or compare two commits with --base and --head",
        path.display()
    )]
    NotApplied {
        /// The data directory.
        path: PathBuf,
        /// The environment.
        environment: EnvironmentName,
    },
    /// A commit has no environment at all.
    #[error("{} has no folder below environments/; commit environments/NAME with an MLEnvironment and the models' manifests", revision.short())]
    NoEnvironments {
        /// The commit.
        revision: Revision,
    },
    /// A commit has no MLEnvironment that can be read.
    #[error("{} of environment {environment} has no MLEnvironment that can be read; aurora validate says why", revision.short())]
    NoEnvironment {
        /// The environment.
        environment: EnvironmentName,
        /// The commit.
        revision: Revision,
    },
}

/// What is wrong in one environment at one commit.
#[derive(Debug, Clone, PartialEq)]
pub struct Validated {
    /// The environment.
    pub environment: EnvironmentName,
    /// The commit.
    pub revision: Revision,
    /// How many MLDeployments and MLTrainingJobs are in order.
    pub manifests: usize,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Says what is wrong at the commit that `revision` names (`HEAD`, a branch, a tag, a commit), in one environment or all.
pub fn validate(
    repository: &Path,
    revision: &str,
    environment: Option<&EnvironmentName>,
) -> Result<Vec<Validated>, PreviewError> {
    let source = Source::open_any(repository)?;
    let revision = source.find(revision)?;
    let environments = match environment {
        Some(environment) => vec![environment.clone()],
        None => source.environment_names(&revision)?,
    };
    if environments.is_empty() {
        return Err(PreviewError::NoEnvironments { revision });
    }
    let mut all = Vec::new();
    for environment in environments {
        let mut resolver = Resolver::without_history();
        resolver.resolve(&source, &revision, &environment, None)?;
        let Resolution { desired, findings } = resolver.into_resolution();
        all.push(Validated {
            environment,
            revision: revision.clone(),
            manifests: desired.map_or(0, |desired| desired.deployments.len() + desired.trainings.len()),
            findings,
        });
    }
    Ok(all)
}

/// What the next pass would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// The commit.
    pub revision: Revision,
    /// The actions, findings and waits.
    pub plan: Plan,
    /// The hash of what the commit intends.
    pub hash: Digest,
}

/// Computes what the newest commit of a branch would do to the state in a data directory. Takes no lock.
pub fn against_data_dir(
    repository: &Path,
    branch: Option<&str>,
    environment: &EnvironmentName,
    data_dir: &Path,
    now: Timestamp,
) -> Result<Preview, PreviewError> {
    let mut source = Source::open(repository, branch)?;
    let revision = source.head()?;
    let not_applied = || PreviewError::NotApplied {
        path: data_dir.to_owned(),
        environment: environment.clone(),
    };
    let data_dir_opened = DataDir::peek(data_dir).map_err(|_missing| not_applied())?;
    let objects = Objects::load(data_dir_opened.into(), environment)?;
    let last_good = objects.state().environment.clone().ok_or_else(not_applied)?;
    let store = Store::open(&registry_root(&objects.data_dir, &last_good))?;
    let mut resolver = Resolver::default();
    resolver.resolve(&source, &revision, environment, Some(&last_good))?;
    let resolution = resolver.into_resolution();
    let Some(desired) = resolution.desired else {
        return Err(PreviewError::NoEnvironment {
            environment: environment.clone(),
            revision,
        });
    };
    let observation = observe(&objects, &Observer::new(store), &desired)?;
    let (decidable, unreadable) = observation.decidable(&desired);
    let mut plan = plan(&decidable, &observation.observed, now);
    plan.findings.extend(resolution.findings);
    plan.findings.extend(unreadable);
    plan.findings.sort();
    plan.findings.dedup();
    Ok(Preview {
        revision,
        plan,
        hash: plan_hash(&desired),
    })
}

/// Computes what the commit `head` means to change against the commit `base`. Needs no data directory.
pub fn between(
    repository: &Path,
    base: &str,
    head: &str,
    environment: &EnvironmentName,
) -> Result<Intents, PreviewError> {
    let source = Source::open_any(repository)?;
    let mut resolver = Resolver::without_history();
    let mut desired = |text: &str, last_good: Option<&planner::environment::Environment>| {
        let revision = source.find(text)?;
        resolver.resolve(&source, &revision, environment, last_good)?;
        let resolution = resolver.resolution().clone();
        match resolution.desired {
            Some(desired) => Ok((desired, resolution.findings)),
            None => Err(PreviewError::NoEnvironment {
                environment: environment.clone(),
                revision,
            }),
        }
    };
    let (base, _findings) = desired(base, None)?;
    let (head, findings) = desired(head, Some(&base.environment))?;
    Ok(intents(&base, &head, &findings))
}
