//! Trains a job of a repository's newest commit into a registry, with a bar while it goes on.

use std::collections::BTreeMap;
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};
use planner::desired::Declared;
use planner::identity::inputs_hash;
use planner::names::{Digest, ModelName, ObjectName, Revision};
use planner::observed::TrainingObject;
use planner::runs::{Job, Phase, RunAction, runs};
use planner::training::{DataSource, Import};
use reconciler::source::Source;
use reconciler::zones::Zones;
use registry::run::{Ending, Progress, RunRequest};
use registry::{DatasetRoots, Observer, Store};

use super::TrainArguments;
use crate::answers::TrainAnswer;
use crate::clock;
use crate::failure::{Context as _, Failure};
use crate::job::{DeclaredJob, declared, outside};
use crate::terminal::{Colour, Terminal, painted};

/// Trains the job and says how that ended.
pub(super) fn run(job: &ObjectName, arguments: &TrainArguments) -> Result<Ending, Failure> {
    let roots = arguments.datasets.roots()?;
    let declared = declared(job, &arguments.repository, &arguments.branch, &roots)?;
    let store = arguments.store.open()?;
    let request = request(declared, &store, &roots, job)?;
    let own = [
        arguments.repository.repo.as_path(),
        arguments.store.data().data_dir.as_path(),
    ];
    let means = arguments.means(&own)?;
    let terminal = Terminal::new(arguments.output.output);
    let bar = if terminal.has_bars() {
        bar(&request)
    } else {
        ProgressBar::hidden()
    };
    let ending = trainer::run(
        &request,
        &means,
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

/// Returns what the job's next run is asked: its version and its baseline are those that `up` would take.
fn request(
    declared: DeclaredJob,
    store: &Store,
    roots: &DatasetRoots,
    job: &ObjectName,
) -> Result<RunRequest, Failure> {
    let DeclaredJob {
        source,
        desired,
        declared:
            Declared {
                spec: training,
                revision,
                committed_at,
                dating: _,
                location,
            },
    } = declared;
    let (source, head) = (&source, &desired.revision);
    let trust = training
        .fit
        .import()
        .and_then(|_import| desired.environment.models.trust());
    let stable = desired.deployments.values();
    let stable = stable.filter(|declared| declared.spec.model == training.model);
    let mut object = TrainingObject {
        spec: training.clone(),
        revision: revision.clone(),
        committed_at,
        baseline: stable.map(|declared| declared.spec.stable.version.clone()).next(),
        trust: None,
        behind: None,
    };
    Zones::default().read(&mut object.spec);
    let registered = Observer::new(store.clone()).observe(&training.model)?;
    let decided = runs(&Job::new(&object, &registered.versions), &[], clock::now());
    let due = decided.actions.into_iter().find_map(|action| match action {
        RunAction::Start {
            version, baseline, ..
        } => Some((version, baseline)),
        RunAction::Stop { .. } | RunAction::Skip { .. } => None,
    });
    let (version, baseline) = due.ok_or_else(|| nothing_due(&training.model, &decided.phase))?;
    let manifest = &location.file;
    let file =
        |file: &DataSource, sha256: Option<Digest>| data(source, store, file, sha256, head, manifest, roots);
    let [dataset, holdout] = match &training.rows {
        None => [None, None],
        Some(rows) => rows.files(file)?,
    };
    let imported = training.fit.import().into_iter().flat_map(Import::committed);
    for (path, digest) in imported {
        file(&DataSource::Committed(path.into_owned()), Some(digest))?;
    }
    let signature = training.fit.import().and_then(Import::committed_signature);
    let run = training
        .fit
        .command()
        .into_iter()
        .flat_map(|command| &command.files);
    for part in run.chain(signature) {
        file(&DataSource::Committed(part.path.clone()), part.sha256)?;
    }
    Ok(RunRequest {
        registry: store.root().to_owned(),
        model: training.model.clone(),
        version,
        job: job.clone(),
        revision,
        inputs_hash: inputs_hash(&training),
        dataset_roots: roots.folders(),
        dataset,
        holdout,
        baseline,
        published_inputs: None,
        trust,
        training,
    })
}

/// Says why no run of a job is due.
fn nothing_due(model: &ModelName, phase: &Phase) -> Failure {
    match phase {
        Phase::Succeeded { version, .. } => {
            Failure::new(format!("{model} {version} exists, and a version never changes"))
                .hint("give the job another version, or other inputs, and commit that")
        }
        Phase::Scheduled { next: Some(next) } => {
            let next = next.format("%F %H:%M");
            Failure::new(format!(
                "no slot of the job's schedule is due; the next one is {next} UTC"
            ))
            .hint("a job without a schedule runs at any time")
        }
        Phase::Scheduled { next: None } => Failure::new("the job's schedule has no slot"),
        Phase::Failed { message, .. } => Failure::new(message.clone()),
        Phase::Suspended => {
            Failure::new("the job is suspended").hint("take `suspend` out of the job, and commit that")
        }
        Phase::Pending { version } | Phase::Running { version } => {
            Failure::new(format!("{model} {version} is under way"))
        }
    }
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
        terminal.document(&TrainAnswer {
            model,
            version,
            ending,
        })?;
        return Ok(());
    }
    match ending {
        Ending::Published { digest, metrics } => {
            terminal.line(painted(Colour::Green, "published").and(format!(" {model} {version}")))?;
            terminal.line(format!("  {digest}"))?;
            terminal.line(format!("  {}", values(metrics)))?;
        }
        Ending::SameInputs => terminal.line("nothing to train: the newest version has the same inputs")?,
        Ending::Refused { message } => {
            terminal.line(painted(Colour::Red, "refused").and(format!(": {message}")))?;
        }
        Ending::Transient { message } => {
            terminal.line(painted(Colour::Red, "failed").and(format!(": {message}")))?;
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
    sha256: Option<Digest>,
    revision: &Revision,
    manifest: &str,
    roots: &DatasetRoots,
) -> Result<Option<PathBuf>, Failure> {
    match data {
        DataSource::Builtin(_) | DataSource::Synthetic(_) => Ok(None),
        DataSource::Absolute(path) => outside(path, roots).map(Some),
        DataSource::Committed(path) => {
            let file = source.data_file(revision, manifest, path)??;
            let digest = match sha256 {
                Some(digest) => digest,
                None => source.data_digest(&file)?,
            };
            source
                .with_data(&file, |bytes| store.stage_dataset(&digest, bytes))?
                .context(|| format!("cannot stage {path}"))?;
            Ok(Some(store.dataset_path(&digest)))
        }
    }
}
