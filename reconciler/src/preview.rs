//! What a commit would do, without doing it: for `aurora validate` and `aurora plan`. Reads only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use planner::Timestamp;
use planner::commits::{Judgement, Verify};
use planner::desired::{Declared, Desired};
use planner::endpoint::Endpoint;
use planner::environment::Environment;
use planner::finding::{Finding, Location, Reason};
use planner::identity::plan_hash;
use planner::names::{Digest, EnvironmentName, ModelName, ObjectName, Revision};
use planner::object::ObjectId;
use planner::plan::{Plan, beyond_the_target, plan, refused, unsigned_imports};
use planner::training::{DataSource, Training};
use registry::{DatasetRoots, Observer, Store, StoreError};

use crate::diff::{Ground, Intents, Records, intents};
use crate::objects::{ObjectStore, TargetError};
use crate::observe::Looks;
use crate::pass::{Locate, moved_registry};
use crate::policy::{OVERRIDE_TRAILER, look};
use crate::resolve::{DataDigests, Resolution, Resolver};
use crate::signatures::{Question, Seen, of_keys, of_trusted};
use crate::source::{Follow, Remembered, Repository, Source, SourceError};
use crate::upstream::{ControlPlanes, Elsewhere, Served, ask};
use crate::view::View;
use crate::zones::Zones;

/// Why nothing can be said about a commit.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The repository or a commit cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The objects cannot be read.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The registry cannot be read.
    #[error(transparent)]
    Registry(#[from] StoreError),
    /// Nothing was ever applied.
    #[error("nothing of environment {environment} was applied yet")]
    NotApplied {
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
    /// What is wrong, and what will be refused after the commit before it.
    pub findings: Vec<Finding>,
    /// How many jobs name data outside the repository that nobody can say may be read.
    pub unjudged: usize,
    /// Why nothing is changed, where the MLEnvironment is suspended.
    pub suspended: Option<String>,
    /// How the data files of the commit begin that the jobs read.
    pub heads: Vec<DataHead>,
}

/// What is known besides the commit and the objects.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Where the registry in use lies; absent where it is where the applied MLEnvironment says.
    pub registry: Option<PathBuf>,
    /// Below which folders a file outside the repository may lie; absent where nobody knows.
    pub roots: Option<DatasetRoots>,
    /// The content of data files of the repository.
    pub digests: DataDigests,
    /// The history of the branch that is followed.
    pub history: Option<Remembered>,
    /// When commits were first seen.
    pub seen: Seen,
    /// Who asks other environments' control planes; absent where nobody may be asked.
    pub planes: Option<Arc<dyn ControlPlanes>>,
}

impl Known {
    fn resolver(&self, resolver: Resolver) -> Resolver {
        resolver
            .with_dataset_roots(self.roots.clone())
            .with_data_digests(self.digests.clone())
    }

    fn served(&self, at: &Endpoint, model: &ModelName) -> Result<Served, String> {
        ask(self.planes.as_deref(), at, model)
    }

    /// Counts the jobs whose data outside the repository nothing can be said about.
    fn unjudged(&self, desired: &Desired) -> usize {
        if self.roots.is_some() {
            return 0;
        }
        let trainings = desired.trainings.values();
        trainings
            .filter(|declared| declared.spec.outside().next().is_some())
            .count()
    }
}

/// How a data file of a commit begins.
#[derive(Debug, Clone, PartialEq)]
pub struct DataHead {
    /// The job that reads it.
    pub job: ObjectName,
    /// What the job says.
    pub training: Training,
    /// The start of the job's document.
    pub location: Location,
    /// The manifest's content.
    pub manifest: Arc<[u8]>,
    /// What the manifest calls the file.
    pub uri: String,
    /// Its first line; empty where that is longer than 1 MiB.
    pub line: Arc<[u8]>,
}

/// So much of a data file is looked at.
const HEAD_BYTES_MAX: usize = 1 << 20;

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At<'a> {
    /// The commit that this names: `HEAD`, a branch, a tag, a commit.
    Commit(&'a str),
    /// The files of the work tree as they are, committed or not.
    WorkTree,
}

/// Counts the files below `environments/` that differ from what is committed.
pub fn uncommitted(repository: &Repository) -> Result<usize, PreviewError> {
    Ok(Source::open_any(repository)?.uncommitted_files()?)
}

/// Says what is wrong at a commit or in the work tree, in one environment or all.
pub fn validate(
    repository: &Repository,
    at: At<'_>,
    environment: Option<&EnvironmentName>,
    known: &Known,
) -> Result<Vec<Validated>, PreviewError> {
    let source = Source::open_any(repository)?;
    let revision = match at {
        At::Commit(revision) => source.find(revision)?,
        At::WorkTree => source.work_tree()?,
    };
    let environments = match environment {
        Some(environment) => vec![environment.clone()],
        None => source.environment_names(&revision)?,
    };
    if environments.is_empty() {
        return Err(PreviewError::NoEnvironments { revision });
    }
    // A commit is judged by what it takes away from the one before it; the first one takes nothing away.
    let parent = source.find(&format!("{revision}^")).ok();
    let mut all = Vec::new();
    for environment in environments {
        let mut resolver = known.resolver(Resolver::without_history());
        let mut base = None;
        if let Some(parent) = &parent
            && resolver.resolve(&source, parent, &environment, None).is_ok()
        {
            base.clone_from(&resolver.resolution().desired);
        }
        resolver.resolve(&source, &revision, &environment, None)?;
        let Resolution {
            desired,
            mut findings,
        } = resolver.into_resolution();
        if let (Some(base), Some(head)) = (&base, &desired) {
            findings.extend(refused(base, head));
            findings.extend(unsigned_imports(base, head));
        }
        findings.extend(desired.iter().flat_map(beyond_the_target));
        all.push(Validated {
            environment,
            revision: revision.clone(),
            unjudged: desired.as_ref().map_or(0, |desired| known.unjudged(desired)),
            manifests: desired
                .as_ref()
                .map_or(0, |desired| desired.deployments.len() + desired.trainings.len()),
            findings,
            suspended: desired
                .as_ref()
                .and_then(|desired| desired.environment.suspend.clone()),
            heads: desired.map_or_else(|| Ok(Vec::new()), |desired| heads(&source, &desired))?,
        });
    }
    Ok(all)
}

/// Reads how the data files of a commit begin, each once for each job that reads it.
fn heads(source: &Source, desired: &Desired) -> Result<Vec<DataHead>, PreviewError> {
    let mut heads = Vec::new();
    // Many jobs may stand in one file, and read one file.
    let mut manifests: BTreeMap<String, Arc<[u8]>> = BTreeMap::new();
    let mut lines: BTreeMap<String, Arc<[u8]>> = BTreeMap::new();
    for (job, declared) in &desired.trainings {
        let Declared { spec, location, .. } = declared;
        for (data, _sha256) in spec.sources() {
            let DataSource::Committed(uri) = data else {
                continue;
            };
            // What is wrong with the file itself has its finding.
            let Ok(file) = source.data_file(&desired.revision, &location.file, uri)? else {
                continue;
            };
            if !lines.contains_key(&file.path) {
                let head = source.data_head(&file, HEAD_BYTES_MAX)?;
                lines.insert(file.path.clone(), first_line(&head).into());
            }
            if !manifests.contains_key(&location.file) {
                let content = source.manifest(&desired.revision, &location.file)?;
                manifests.insert(location.file.clone(), content.into());
            }
            heads.push(DataHead {
                job: job.clone(),
                training: spec.clone(),
                location: location.clone(),
                manifest: manifests[&location.file].clone(),
                uri: uri.clone(),
                line: lines[&file.path].clone(),
            });
        }
    }
    Ok(heads)
}

/// Returns the first line of a CSV file, of which a quoted name may hold line ends.
fn first_line(head: &[u8]) -> &[u8] {
    let mut is_quoted = false;
    let end = head.iter().position(|byte| {
        is_quoted ^= *byte == b'"';
        !is_quoted && matches!(byte, b'\n' | b'\r')
    });
    match end {
        Some(end) => &head[..end],
        None if head.len() < HEAD_BYTES_MAX => head,
        None => &[],
    }
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
    /// How many jobs name data outside the repository that nobody can say may be read.
    pub unjudged: usize,
    /// Why nothing is changed, where the MLEnvironment is suspended.
    pub suspended: Option<String>,
}

/// Computes what the newest commit of a branch would do to the objects in a store. Reads only.
pub fn against(
    repository: &Repository,
    follow: Follow,
    environment: &EnvironmentName,
    target: &dyn ObjectStore,
    locate: &Locate,
    known: &Known,
    now: Timestamp,
) -> Result<Preview, PreviewError> {
    let mut source = Source::open(repository, follow)?;
    let revision = source.head()?;
    let mut view = View::default();
    let mut models = BTreeSet::new();
    view.update(target.observe(None)?, &mut models);
    let Some(last_good) = view.observed.environment.clone() else {
        return Err(PreviewError::NotApplied {
            environment: environment.clone(),
        });
    };
    let used = known.registry.clone().unwrap_or_else(|| locate(&last_good));
    let registry = Observer::new(Store::open(&used)?);
    let resolver = Resolver::default()
        .with_remembered(known.history.clone())
        .for_target(last_good.target.clone());
    let mut resolver = known.resolver(resolver);
    let report = &view.report;
    let base = report
        .accepted_revision
        .clone()
        .or(report.applied_revision.clone());
    let base = base.as_ref();
    let before = Followed {
        source: &source,
        environment,
        last_good: &last_good,
        base,
    };
    let judged = before.judge(&mut resolver, &revision, &mut known.seen.clone(), now)?;
    // A commit that is not followed leaves what the one before it says.
    let followed = base.filter(|_| judged.is_refused).unwrap_or(&revision);
    resolver.resolve(&source, followed, environment, Some(&last_good))?;
    let Resolution { desired, findings } = resolver.into_resolution();
    let Some(desired) = desired else {
        return Err(PreviewError::NoEnvironment {
            environment: environment.clone(),
            revision,
        });
    };
    let deployments = desired.deployments.keys().map(ObjectId::deployment);
    let trainings = desired.trainings.keys().map(ObjectId::training);
    view.declare(Some(&desired), deployments.chain(trainings), &mut models);
    let part = view.links.part(&models);
    let mut decidable = Looks::observe(&mut view, &registry, &part, &desired)?;
    look(
        &mut decidable,
        registry.store(),
        &source,
        &mut Zones::default(),
        &mut |at, model| Some(known.served(at, model)),
        now,
    );
    let mut plan = plan(&decidable.desired, &decidable.observed, now);
    plan.findings.extend(findings);
    plan.findings.extend(judged.findings);
    let commits = &desired.environment.commits;
    plan.findings
        .extend(of_keys(&source, environment, commits, followed));
    let models = &desired.environment.models;
    plan.findings
        .extend(of_trusted(&source, environment, models, followed));
    let declared = locate(&desired.environment);
    plan.findings
        .extend(moved_registry(&desired.environment, &declared, &used));
    plan.findings.extend(decidable.unreadable.iter().map(unreadable));
    Ok(Preview {
        revision,
        plan,
        hash: plan_hash(&desired),
        unjudged: known.unjudged(&desired),
        suspended: desired.environment.suspend.clone(),
    })
}

/// What was followed so far.
#[derive(Debug, Clone, Copy)]
struct Followed<'a> {
    source: &'a Source,
    environment: &'a EnvironmentName,
    last_good: &'a Environment,
    base: Option<&'a Revision>,
}

impl Followed<'_> {
    /// Judges a commit by who signed it as the next pass will: by what the commit says that was followed before.
    fn judge(
        self,
        resolver: &mut Resolver,
        head: &Revision,
        seen: &mut Seen,
        now: Timestamp,
    ) -> Result<Judgement, SourceError> {
        let Self {
            source,
            environment,
            last_good,
            base,
        } = self;
        let mut policy = last_good.commits.clone();
        if let Some(base) = base.filter(|_| policy.verify != Verify::Off)
            && resolver
                .resolve(source, base, environment, Some(last_good))
                .is_ok()
            && let Some(desired) = &resolver.resolution().desired
        {
            policy.clone_from(&desired.environment.commits);
        }
        let question = Question {
            source,
            environment,
            policy: &policy,
            base,
            head,
            now,
        };
        question.answer(seen)
    }
}

fn unreadable((model, error): (&ModelName, &StoreError)) -> Finding {
    Finding {
        location: None,
        reason: Reason::StorageUnavailable,
        subject: format!("model {model}").into(),
        message: error.to_string(),
        hint: "nothing is changed about the model until it can be read; what serves stays".to_owned(),
    }
}

/// Computes what the commit `head` means to change against the commit `base`. Needs no data directory; what is known of
/// versions is read in the registry, where one is given.
pub fn between(
    repository: &Repository,
    base: &str,
    head: &str,
    environment: &EnvironmentName,
    registry: Option<&Store>,
    elsewhere: Elsewhere<'_>,
    now: Timestamp,
) -> Result<Intents, PreviewError> {
    let source = Source::open_any(repository)?;
    // What both have in common is read once.
    let mut resolver = Resolver::without_history();
    let mut desired = |text: &str, last_good: Option<&Environment>| {
        let revision = source.find(text)?;
        resolver.resolve(&source, &revision, environment, last_good)?;
        let Resolution { desired, findings } = resolver.resolution().clone();
        match desired {
            Some(desired) => Ok((desired, findings)),
            None => Err(PreviewError::NoEnvironment {
                environment: environment.clone(),
                revision,
            }),
        }
    };
    let (mut base, _findings) = desired(base, None)?;
    let (head, mut findings) = desired(head, Some(&base.environment))?;
    let question = Question {
        source: &source,
        environment,
        policy: &base.environment.commits,
        base: Some(&base.revision),
        head: &head.revision,
        now,
    };
    let judged = question.answer(&mut Seen::default())?;
    findings.extend(judged.findings);
    let commits = &head.environment.commits;
    findings.extend(of_keys(&source, environment, commits, &head.revision));
    let models = &head.environment.models;
    findings.extend(of_trusted(&source, environment, models, &head.revision));
    Zones::default().read_windows(&mut base.environment);
    let overridden = source.trailer(&head.revision, OVERRIDE_TRAILER)?;
    let ground = Ground {
        records: Records(registry),
        elsewhere,
        source: &source,
        overridden: overridden.as_deref(),
        now,
    };
    Ok(intents(&base, &head, &findings, &ground))
}
