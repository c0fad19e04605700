//! A training job as the newest commit of a repository declares it.

use std::path::PathBuf;

use planner::desired::{Declared, Desired};
use planner::names::ObjectName;
use planner::object::ObjectId;
use planner::training::Training;
use reconciler::resolve::{Resolution, Resolver};
use reconciler::source::Source;
use registry::DatasetRoots;

use crate::arguments::{BranchArguments, RepositoryArguments};
use crate::failure::Failure;
use crate::git_reader;

/// A job, and the commit that declares it.
pub(crate) struct DeclaredJob {
    pub(crate) source: Source,
    pub(crate) desired: Desired,
    pub(crate) declared: Declared<Training>,
}

/// Looks a job up in the newest commit.
pub(crate) fn declared(
    job: &ObjectName,
    repository: &RepositoryArguments,
    branch: &BranchArguments,
    roots: &DatasetRoots,
) -> Result<DeclaredJob, Failure> {
    let resolver = Resolver::default().with_dataset_roots(Some(roots.clone()));
    found(job, repository, branch, resolver)
}

/// As [`declared`], where the model that the job imports may be still to come.
pub(crate) fn declared_before_its_model(
    job: &ObjectName,
    repository: &RepositoryArguments,
    branch: &BranchArguments,
    roots: &DatasetRoots,
) -> Result<DeclaredJob, Failure> {
    let resolver = Resolver::default().with_dataset_roots(Some(roots.clone()));
    found(job, repository, branch, resolver.without_imports())
}

fn found(
    job: &ObjectName,
    repository: &RepositoryArguments,
    branch: &BranchArguments,
    mut resolver: Resolver,
) -> Result<DeclaredJob, Failure> {
    let mut source = Source::open(&git_reader::repository(&repository.repo), branch.follow())?;
    let head = source.head()?;
    let environment = &repository.environment;
    resolver.resolve(&source, &head, environment, None)?;
    let Resolution { desired, findings } = resolver.into_resolution();
    let mut known = String::new();
    if let Some(desired) = desired {
        if let Some(declared) = desired.trainings.get(job).cloned() {
            return Ok(DeclaredJob {
                source,
                desired,
                declared,
            });
        }
        let names: Vec<_> = desired.trainings.keys().map(ToString::to_string).collect();
        known = names.join(", ");
    }
    let failure = Failure::new(format!(
        "environment {environment} at {} declares no usable job {job}",
        head.short()
    ));
    let subject = ObjectId::training(job).into();
    Err(
        failure.hint(match findings.iter().find(|finding| finding.subject == subject) {
            // It is one line here.
            Some(finding) => finding
                .to_string()
                .lines()
                .map(str::trim)
                .collect::<Vec<_>>()
                .join("; "),
            None if known.is_empty() => "`aurora validate` says what is wrong there".to_owned(),
            None => format!("it declares {known}"),
        }),
    )
}

/// Returns where a file outside the repository lies, or would lie.
pub(crate) fn outside(path: &str, roots: &DatasetRoots) -> Result<PathBuf, Failure> {
    roots.locate(path).ok_or_else(|| {
        Failure::new(format!("{path} lies in no folder that data may be read from"))
            .hint("give the folder that holds it with --dataset-root")
    })
}
