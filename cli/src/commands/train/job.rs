//! Trains a job of a repository's newest commit into a registry, with a bar while it goes on.

use std::collections::BTreeMap;
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};
use planner::desired::Declared;
use planner::identity::inputs_hash;
use planner::names::{Digest, ObjectName, Revision, Version};
use planner::training::{DataSource, Holdout, RunPolicy, Training};
use reconciler::resolve::Resolver;
use reconciler::source::Source;
use registry::Store;
use registry::run::{Ending, Progress, RunRequest};
use serde_json::json;

use super::TrainArguments;
use crate::clock;
use crate::failure::{Context as _, Failure};
use crate::terminal::{Colour, Terminal};

/// Trains the job and says how that ended.
pub(super) fn run(job: &ObjectName, arguments: &TrainArguments) -> Result<Ending, Failure> {
    let mut source = Source::open(&arguments.repository.repo, arguments.branch.branch.as_deref())?;
    let head = source.head()?;
    let environment = &arguments.repository.environment;
    let mut resolver = Resolver::default();
    resolver.resolve(&source, &head, environment, None)?;
    let mut trainings = resolver
        .into_resolution()
        .desired
        .map(|desired| desired.trainings)
        .unwrap_or_default();
    let known: Vec<_> = trainings.keys().map(ToString::to_string).collect();
    let Some(declared) = trainings.remove(job) else {
        let failure = Failure::new(format!(
            "environment {environment} at {} declares no usable job {job}",
            head.short()
        ));
        return Err(failure.hint(if known.is_empty() {
            "`aurora validate` says what is wrong there".to_owned()
        } else {
            format!("it declares {}", known.join(", "))
        }));
    };
    let store = arguments.store.open()?;
    let request = request(&source, &head, &store, job, declared)?;
    let terminal = Terminal::new(arguments.output.output);
    let bar = if terminal.has_bars() {
        bar(&request)
    } else {
        ProgressBar::hidden()
    };
    let ending = trainer::run(
        &request,
        &mut |progress: Progress| {
            bar.set_position(u64::from(progress.percent));
            bar.set_message(progress.stage);
        },
        &clock::now,
    );
    bar.finish_and_clear();
    say(terminal, &request, &ending)?;
    Ok(ending)
}

fn request(
    source: &Source,
    head: &Revision,
    store: &Store,
    job: &ObjectName,
    declared: Declared<Training>,
) -> Result<RunRequest, Failure> {
    let Declared {
        spec: training,
        revision,
        location,
        ..
    } = declared;
    let existing = store.versions(&training.model)?;
    let version = match &training.runs {
        RunPolicy::Fixed(version) if existing.contains(version) => {
            return Err(Failure::new(format!(
                "{} {version} exists, and a version never changes",
                training.model
            ))
            .hint("give the job another version, and commit that"));
        }
        RunPolicy::Fixed(version) => version.clone(),
        RunPolicy::PerInputs | RunPolicy::Scheduled { .. } => {
            Version::at(clock::now(), |version| existing.contains(version))
        }
    };
    let dataset = data(
        source,
        store,
        &training.dataset.source,
        training.dataset.sha256.as_ref(),
        head,
        &location.file,
    )?;
    let holdout = match &training.evaluation.holdout {
        Holdout::Percent { .. } => None,
        Holdout::File { source: file, sha256 } => {
            data(source, store, file, sha256.as_ref(), head, &location.file)?
        }
    };
    Ok(RunRequest {
        registry: store.root().to_owned(),
        model: training.model.clone(),
        version,
        job: job.clone(),
        revision,
        inputs_hash: inputs_hash(&training),
        dataset,
        holdout,
        baseline: None,
        training,
    })
}

fn bar(request: &RunRequest) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} [{bar:24}] {percent:>3}% {msg}")
        .unwrap_or_else(|_invalid| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::new(100)
        .with_style(style)
        .with_prefix(format!("training {} {}", request.model, request.version))
}

fn say(terminal: Terminal, request: &RunRequest, ending: &Ending) -> Result<(), Failure> {
    let RunRequest { model, version, .. } = request;
    if terminal.is_json() {
        terminal.document(&json!({ "model": model, "version": version, "ending": ending }))?;
        return Ok(());
    }
    match ending {
        Ending::Published { digest, metrics } => {
            terminal.line(format!(
                "{} {model} {version}",
                terminal.paint(Colour::Green, "published")
            ))?;
            terminal.line(format!("  {digest}\n  {}", values(metrics)))?;
        }
        Ending::Refused { message } => {
            terminal.line(format!("{}: {message}", terminal.paint(Colour::Red, "refused")))?;
        }
        Ending::Failed { message } => {
            terminal.line(format!("{}: {message}", terminal.paint(Colour::Red, "failed")))?;
        }
    }
    Ok(())
}

fn values(metrics: &BTreeMap<String, f64>) -> String {
    let values: Vec<_> = metrics
        .iter()
        .map(|(name, value)| format!("{name} {value:.4}"))
        .collect();
    values.join(", ")
}

/// Returns the file of a source that has one: a file of the commit is staged in the registry.
fn data(
    source: &Source,
    store: &Store,
    data: &DataSource,
    sha256: Option<&Digest>,
    revision: &Revision,
    manifest: &str,
) -> Result<Option<PathBuf>, Failure> {
    match data {
        DataSource::Builtin(_) | DataSource::Synthetic(_) => Ok(None),
        DataSource::Absolute(path) => Ok(Some(PathBuf::from(path))),
        DataSource::Committed(path) => {
            let file = source.data_file(revision, manifest, path)??;
            let digest = match sha256 {
                Some(digest) => *digest,
                None => source.data_digest(&file)?,
            };
            source
                .with_data(&file, |bytes| store.stage_dataset(&digest, bytes))?
                .context(|| format!("cannot stage {path}"))?;
            Ok(Some(store.dataset_path(&digest)))
        }
    }
}
