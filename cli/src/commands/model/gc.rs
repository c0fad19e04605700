//! `aurora model gc`: removes versions that nothing names, and what is left of old runs. What is pinned is read from the environment's objects and
//! their status, and from the newest commit where a repository is given.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use planner::names::{Digest, EnvironmentName, ModelName, Version};
use planner::training::{RunPolicy, Training};
use reconciler::resolve::{Resolution, Resolver};
use reconciler::source::Source;
use registry::{Collected, Keep};
use serde_json::{Value, json};

use super::StoreArguments;
use crate::answers::CollectAnswer;
use crate::arguments::OutputArguments;
use crate::clock;
use crate::commands::status;
use crate::failure::{Context as _, Failure};
use crate::git_reader;
use crate::terminal::{Colour, Line, Terminal, painted};

/// Flags of `aurora model gc`.
#[derive(Debug, Args)]
pub(crate) struct GcArguments {
    /// How many of each model's newest versions stay whatever names them
    #[arg(long, env = "AURORA_KEEP_LAST", value_name = "N", default_value_t = 5)]
    keep_last: usize,

    /// What is younger stays, in hours
    #[arg(long, env = "AURORA_MINIMUM_AGE", value_name = "HOURS", default_value_t = 24)]
    minimum_age: u64,

    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,

    /// The desired-state repository: what its newest commit pins stays, applied or not
    #[arg(long, env = "AURORA_REPO", value_name = "PATH")]
    repo: Option<PathBuf>,

    /// The environment: a folder below environments/
    #[arg(long, env = "AURORA_ENVIRONMENT", value_name = "NAME", default_value = "dev")]
    environment: EnvironmentName,

    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    output: OutputArguments,
}

pub(crate) fn run(arguments: &GcArguments) -> Result<ExitCode, Failure> {
    if !arguments.dry_run {
        arguments.store.refuse_to_write()?;
    }
    let store = arguments.store.open()?;
    let mut named = Named::default();
    // Without the objects nobody knows what is pinned: then nothing is removed.
    named.by_objects(arguments)?;
    if let Some(repo) = &arguments.repo {
        named.by_commit(repo, &arguments.environment)?;
    }
    let keep = Keep {
        pinned: named.versions,
        datasets: named.datasets,
        last: arguments.keep_last,
        minimum_age: Duration::from_secs(arguments.minimum_age.saturating_mul(3600)),
    };
    let collected = store.collect(&keep, clock::now(), arguments.dry_run)?;
    say(
        Terminal::new(arguments.output.output),
        &collected,
        arguments.dry_run,
    )?;
    Ok(ExitCode::SUCCESS)
}

/// What must stay.
#[derive(Debug, Default)]
struct Named {
    versions: BTreeSet<(ModelName, Version)>,
    datasets: BTreeSet<Digest>,
}

impl Named {
    fn by_objects(&mut self, arguments: &GcArguments) -> Result<(), Failure> {
        let view = status::read(&arguments.store.data().settled()?)
            .hint(|| "what is pinned is read from the data directory: give it with --data-dir".to_owned())?;
        for deployment in view.deployments.values() {
            let spec = &deployment.spec;
            let mut pin = |version: &Version| {
                self.versions.insert((spec.model_name.clone(), version.clone()));
            };
            pin(&spec.stable.version);
            spec.canary.iter().for_each(|canary| pin(&canary.version));
            for track in deployment
                .status
                .iter()
                .flat_map(|status| status.stable.iter().chain(&status.canary))
            {
                pin(&track.version);
            }
        }
        for training in view.trainings.values() {
            let version = training.spec.version.iter();
            let made = training
                .status
                .iter()
                .filter_map(|status| status.version.as_ref());
            for version in version.chain(made) {
                self.versions
                    .insert((training.spec.model_name.clone(), version.clone()));
            }
            let dataset = training.spec.dataset.iter();
            let evaluation = training.spec.evaluation.iter();
            let files = dataset
                .filter_map(|dataset| dataset.sha256.as_ref())
                .chain(evaluation.filter_map(|evaluation| evaluation.holdout.sha256.as_ref()));
            let import = training.spec.import.iter().map(|import| import.digest);
            self.datasets.extend(
                files
                    .filter_map(|digest| Digest::from_hex(digest).ok())
                    .chain(import),
            );
        }
        Ok(())
    }

    fn by_commit(&mut self, repo: &std::path::Path, environment: &EnvironmentName) -> Result<(), Failure> {
        let mut source = Source::open(&git_reader::repository(repo), None)?;
        let head = source.head()?;
        let mut resolver = Resolver::without_history();
        resolver.resolve(&source, &head, environment, None)?;
        let Resolution { desired, findings } = resolver.into_resolution();
        // What a manifest pins that cannot be read is not known, and what is not known removes nothing.
        if !findings.is_empty() {
            return Err(Failure::new(format!(
                "the newest commit has {} findings: what it pins is not known, so nothing is removed",
                findings.len()
            ))
            .hint("`aurora validate` lists what is wrong with it"));
        }
        for declared in desired.iter().flat_map(|desired| desired.deployments.values()) {
            let spec = &declared.spec;
            let canary = spec.canary.iter().map(|canary| &canary.pin);
            for pin in canary.chain([&spec.stable]) {
                self.versions.insert((spec.model.clone(), pin.version.clone()));
            }
        }
        for declared in desired.iter().flat_map(|desired| desired.trainings.values()) {
            let Training { model, runs, .. } = &declared.spec;
            if let RunPolicy::Fixed(version) = runs {
                self.versions.insert((model.clone(), version.clone()));
            }
            let files = declared.spec.committed();
            self.datasets.extend(files.filter_map(|(_path, sha256)| sha256));
        }
        Ok(())
    }
}

fn say(terminal: Terminal, collected: &[Collected], dry_run: bool) -> Result<(), Failure> {
    if terminal.is_json() {
        let values: Vec<Value> = collected
            .iter()
            .map(|collected| match collected {
                Collected::Version(model, version) => json!({ "version": version, "model": model }),
                Collected::Run(model, version) => json!({ "run": version, "model": model }),
                Collected::Dataset(digest) => json!({ "dataset": digest }),
                Collected::Leftover(path) => json!({ "leftover": path.to_string_lossy() }),
                Collected::Skipped(model, why) => json!({ "skipped": model, "why": why }),
            })
            .collect();
        terminal.document(&CollectAnswer {
            dry_run,
            collected: values,
        })?;
        return Ok(());
    }
    let verb = if dry_run { "would remove" } else { "removed" };
    for collected in collected {
        terminal.line(match collected {
            Collected::Version(model, version) => Line::from(format!("{verb} {model} {version}")),
            Collected::Run(model, version) => Line::from(format!("{verb} the run of {model} {version}")),
            Collected::Dataset(digest) => Line::from(format!("{verb} dataset {digest}")),
            Collected::Leftover(path) => Line::from(format!("{verb} {}", path.display())),
            Collected::Skipped(model, why) => {
                painted(Colour::Yellow, "kept all of").and(format!(" {model}: {why}"))
            }
        })?;
    }
    if collected.is_empty() {
        terminal.line("nothing to remove")?;
    }
    Ok(())
}
