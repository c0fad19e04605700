//! Turns a dataset into a published model version.
//!
//! ```text
//! read → derive → split → fit → evaluate → publish
//! ```
//!
//! [`run`] is one file per step; [`prepare`] and [`publish`] are what stands around a fit that somebody else's program does. The fit never sees the holdout; nothing is published that misses its bound, or that
//! the artifact does not predict as the fitted model does. The same inputs and binary give the same artifact, byte for
//! byte: no clock, thread count or order of a hash map goes into it. Nothing here writes to the terminal.
#![expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]

mod algorithm;
mod baseline;
pub mod comparison;
mod dataset;
mod error;
mod external;
mod features;
mod header;
mod holdout;
mod imported;
mod inputs;
mod means;
mod metrics;
pub mod process;
mod profile;
pub mod pushed;
mod record;
mod reference;
pub mod scoring;
mod trainable;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use planner::Timestamp;
use planner::training::{
    Algorithm, DataSource, Evaluation, Fit as Fitter, Holdout, Metric, Rows as Declared, Training,
};
use registry::artifact::{Engines, Graph, Model, Predictions, encode_with_signature};
use registry::metadata::{Attestation, Fit};
use registry::run::{Ending, Progress, RunRequest};
use registry::{Draft, Store};

use crate::baseline::{Stable, by_name};
use crate::dataset::Table;
use crate::error::{EvaluateError, TrainError};
use crate::features::{Answers, Layout, Mixed, Rows};
use crate::holdout::Split;

pub use external::{OUTPUT, ROWS, prepare, publish};
pub use header::{MissingColumn, missing_columns};
pub use means::{Fetched, Isolation, Launch, Means, Unmet, Wanted};
pub use process::{publish_file, run_file};
pub use profile::{ColumnProfile, Profile, ProfileError, profile};
pub use trainable::{JobRows, Trainable, TrainableError, write_trainable};

/// How far a prediction of the artifact may be from the fitted model's, relative to the larger of the prediction and
/// the root mean square of all: sums are added in another order.
const SELF_CHECK: f64 = 1e-9;

/// Trains and publishes what `request` asks for, and says how it ended.
///
/// `means` bring what is imported from elsewhere, and run programs of the commit. `progress` is told of each stage, in percent of the whole. `clock` is read for progress and `trained_at` only.
pub fn run(
    request: &RunRequest,
    means: &dyn Means,
    progress: &mut dyn FnMut(Progress),
    clock: &dyn Fn() -> Timestamp,
) -> Ending {
    told(progress, clock, |stage| train(request, means, stage, clock))
}

/// Tells of the stages of a run, and says how it ended.
fn told(
    progress: &mut dyn FnMut(Progress),
    clock: &dyn Fn() -> Timestamp,
    run: impl FnOnce(&mut dyn FnMut(u8, &str)) -> Result<Ending, TrainError>,
) -> Ending {
    let mut stage = |percent: u8, stage: &str| {
        progress(Progress {
            at: clock(),
            percent,
            stage: stage.to_owned(),
        });
    };
    run(&mut stage).unwrap_or_else(|error| error.ending())
}

fn train(
    request: &RunRequest,
    means: &dyn Means,
    stage: &mut dyn FnMut(u8, &str),
    clock: &dyn Fn() -> Timestamp,
) -> Result<Ending, TrainError> {
    let training = &request.training;
    let algorithm = match &training.fit {
        Fitter::Algorithm(algorithm) => *algorithm,
        Fitter::Container(_) => return Err(TrainError::Container),
        Fitter::Command(command) => return external::run(request, command, means, stage, clock),
        Fitter::Import(import) => return imported::publish(request, import, means, stage, clock),
    };
    let settings = algorithm::settings(algorithm, &training.hyperparameters)?;
    check_metric(declared(training)?, algorithm)?;
    publish_made(request, stage, clock, |layout, train, held_out| {
        let (fitted, fit) = algorithm::fit(
            algorithm,
            &settings,
            training.seed,
            train,
            &layout.features,
            &layout.target.column,
        )?;
        Ok(Made {
            artifact: written(&fitted.graph(), layout),
            said: Some(fitted.predict(held_out)),
            framework: algorithm::framework(algorithm),
            algorithm: algorithm.as_str(),
            settings,
            fit,
            attestation: None,
            signer: None,
        })
    })
}

/// Writes what was fitted to the features of a layout.
fn written(graph: &Graph, layout: &Layout) -> Vec<u8> {
    let signature = graph.signature(layout.features.clone(), Some(&layout.target));
    encode_with_signature(graph, &signature)
}

/// A model, and what is known of how it was made.
struct Made {
    /// With its signature in its own metadata.
    artifact: Vec<u8>,
    /// What whoever fitted it says of the held-out rows, to compare the artifact with.
    said: Option<Vec<f64>>,
    framework: &'static str,
    algorithm: &'static str,
    settings: algorithm::Settings,
    fit: Fit,
    /// Whether the fit can have seen the rows that are held out, where they were not kept from it here.
    attestation: Option<Attestation>,
    /// The key that signed it where it was made, as far as anybody had to have.
    signer: Option<String>,
}

/// Reads the data, lets a model be made of the training rows, evaluates it on the others, and publishes it.
fn publish_made(
    request: &RunRequest,
    stage: &mut dyn FnMut(u8, &str),
    clock: &dyn Fn() -> Timestamp,
    make: impl FnOnce(&Layout, &Rows, &Rows) -> Result<Made, TrainError>,
) -> Result<Ending, TrainError> {
    let Some(store) = store_to_make(request)? else {
        return Ok(Ending::SameInputs);
    };
    evaluate_made(&store, request, (None, &Engines::default()), stage, clock, make)
}

/// Opens the store of a request; [`None`] where its inputs are known, and are those of the version that was made last.
fn store_to_make(request: &RunRequest) -> Result<Option<Store>, TrainError> {
    let store = Store::open(&request.registry).map_err(TrainError::Open)?;
    let is_made =
        request.published_inputs.is_some() && request.published_inputs == inputs::known(&store, request);
    Ok((!is_made).then_some(store))
}

/// As [`publish_made`], once it is known that something is to be made; `taken` is a model that is there already, and takes the
/// rows in its own way, and `engines` are what models may be evaluated by.
fn evaluate_made(
    store: &Store,
    request: &RunRequest,
    (taken, engines): (Option<&Model>, &Engines),
    stage: &mut dyn FnMut(u8, &str),
    clock: &dyn Fn() -> Timestamp,
    make: impl FnOnce(&Layout, &Rows, &Rows) -> Result<Made, TrainError>,
) -> Result<Ending, TrainError> {
    let training = &request.training;
    stage(0, "read");
    let stable = Stable::load(store, request, engines);
    let reader = taken.map_or(Takes::Numbers, Takes::Model);
    let data = read(store, request, stable.as_ref(), reader)?;
    let inputs_hash = inputs::of_tables(request, &data.table, data.holdout.as_ref());
    inputs::remember(store, request, [Some(&data.table), data.holdout.as_ref()]);
    if request.published_inputs == Some(inputs_hash) {
        return Ok(Ending::SameInputs);
    }
    let (layout, split) = (&data.layout, &data.split);
    let train = features::rows(&data.table, &split.train, layout, None)?;
    let labels = match &train.answers {
        Answers::Classes { labels, .. } => Some(labels),
        Answers::Numbers(_) => None,
    };
    let bins = record::bins(layout, labels)?;
    let held_out = features::rows(data.held_table(), &split.held_out, layout, labels)?;

    let is_import = training.fit.import().is_some();
    stage(20, if is_import { "import" } else { "fit" });
    let Made {
        artifact,
        said,
        framework,
        algorithm,
        settings,
        mut fit,
        attestation,
        signer,
    } = make(layout, &train, &held_out)?;
    fit.warnings.extend(few_held_out(split.held_out.len()));
    log_warnings(request, &fit);

    stage(80, "evaluate");
    let by = (training.engine, engines);
    let model = Model::open_as(&artifact, by, |signature| signature).map_err(EvaluateError::from)?;
    let cells = features::cells(data.held_table(), &split.held_out, &layout.features, &model)?;
    let predictions = model.predict_cells(&cells).map_err(EvaluateError::from)?;
    match said {
        Some(said) => self_check(predictions.numbers(), &said)?,
        None => all_finite(predictions.numbers())?,
    }
    let evaluation = &declared(training)?.evaluation;
    let metrics = evaluate(evaluation, &predictions, &held_out)?;
    let baseline =
        stable.and_then(|stable| stable.score(data.held_table(), &split.held_out, layout, &held_out));

    let reference = if layout.is_mixed() {
        None
    } else {
        let said = model.predict(&train.inputs).map_err(EvaluateError::from)?;
        Some(reference::describe(&layout.features, bins, &train, &said))
    };

    stage(90, "publish");
    let findings = record::Findings {
        request,
        decided_on: evaluation.metric,
        inputs_hash,
        layout,
        framework,
        algorithm,
        settings,
        fit,
        table: &data.table,
        rows: data.rows(),
        split,
        metrics: &metrics,
        baseline,
        attestation,
        signer,
        reference,
        example: record::example(data.held_table(), split, layout, &cells, &predictions),
        signature: model.signature().clone(),
        artifact: &artifact,
    };
    let metadata = record::metadata(findings, clock());
    let draft = Draft { metadata, artifact };
    let entry = store.publish(draft).map_err(TrainError::Publish)?;
    stage(100, "publish");
    Ok(Ending::Published {
        digest: entry.digest,
        metrics: by_name(&metrics),
    })
}

fn log_warnings(request: &RunRequest, fit: &Fit) {
    for warning in &fit.warnings {
        tracing::warn!(model = %request.model, version = %request.version, %warning, "the run has a warning");
    }
}

/// Says that the metrics are measured on next to nothing.
fn few_held_out(rows: usize) -> Option<String> {
    /// With fewer, one row more or less changes what the metric says.
    const FEW: usize = 20;
    let words = if rows == 1 {
        "only 1 row is"
    } else {
        "only few rows are"
    };
    (rows < FEW).then(|| format!("{words} held out ({rows}), so that the metrics say little: give more rows"))
}

/// What was read, and how it is split.
struct Data {
    table: Table,
    /// The holdout's own table, where it has one.
    holdout: Option<Table>,
    layout: Layout,
    split: Split,
}

impl Data {
    /// Returns the table that the held-out rows are of.
    fn held_table(&self) -> &Table {
        self.holdout.as_ref().unwrap_or(&self.table)
    }

    fn rows(&self) -> usize {
        self.table.lines.len() + self.holdout.as_ref().map_or(0, |holdout| holdout.lines.len())
    }
}

/// Returns the rows that a job declares.
fn declared(training: &Training) -> Result<&Declared, TrainError> {
    training.rows.as_ref().ok_or(TrainError::NoRows)
}

/// What takes the features of a row.
#[derive(Clone, Copy)]
enum Takes<'a> {
    /// An algorithm of ours: finite numbers.
    Numbers,
    /// A model that is there already, in its own way.
    Model(&'a Model),
    /// A program of somebody else: whatever the data holds.
    AsWritten,
}

fn read(
    store: &Store,
    request: &RunRequest,
    stable: Option<&Stable>,
    reader: Takes<'_>,
) -> Result<Data, TrainError> {
    let training = &request.training;
    let Declared { dataset, evaluation } = declared(training)?;
    let optional = stable.map_or_else(BTreeSet::new, Stable::raw_columns);
    let resolved = std::cell::OnceCell::new();
    let resolve = |names: &[String], own| {
        let target = dataset.target.clone().or(own);
        // Unless the job says which, a model takes the columns that its inputs are named as, in its own order. One that takes a
        // single wide input, as it was given to whoever fitted it, names none.
        let taken = match reader {
            Takes::Model(model) => Some(model),
            Takes::Numbers | Takes::AsWritten => None,
        };
        let own = taken.filter(|model| {
            let is_unsaid = dataset.features.is_empty() && dataset.exclude.is_empty();
            let mut features = model.signature().features.iter();
            let are_columns = features.all(|feature| names.contains(&feature.name));
            is_unsaid && (are_columns || model.input_tensors().len() > 1)
        });
        let own = own.map(|model| &model.signature().features);
        let mut layout = Layout::resolve(
            names,
            own.unwrap_or(&dataset.features),
            &dataset.exclude,
            target,
            training.is_classifier(),
            &optional,
        )?;
        layout.mixed = match reader {
            Takes::Numbers => Mixed::default(),
            Takes::Model(model) => Mixed::of(model, &layout.features),
            Takes::AsWritten => Mixed::as_written(&layout.features),
        };
        if let Some((model, features)) = stable.map(Stable::taken) {
            layout.optional_mixed = Mixed::of(model, features);
        }
        Ok(resolved.get_or_init(|| layout).clone())
    };
    let hash_key = match &evaluation.holdout {
        Holdout::Percent { seed, .. } => *seed,
        Holdout::File { .. } => 0,
    };
    let of = |source, path, sha256| dataset::Request {
        source,
        path,
        roots: &request.dataset_roots,
        sha256,
        store: Some(store),
        seed: training.seed,
        hash_key,
    };
    let table = dataset::read(
        of(
            &dataset.source,
            request.dataset.as_deref(),
            dataset.sha256.as_ref(),
        ),
        &resolve,
    )?;
    let layout = resolved
        .get()
        .cloned()
        .expect("invariant: a table is read by its layout");
    let (holdout, split) = match &evaluation.holdout {
        Holdout::Percent { percent, .. } => (None, holdout::by_percent(&table, *percent)?),
        Holdout::File { source, sha256 } => {
            let request: (&DataSource, Option<&Path>) = (source, request.holdout.as_deref());
            let holdout = dataset::read_alike(of(request.0, request.1, sha256.as_ref()), &table, &layout)?;
            let split = holdout::by_table(&table, &holdout)?;
            (Some(holdout), split)
        }
    };
    Ok(Data {
        table,
        holdout,
        layout,
        split,
    })
}

/// Refuses a metric of the other kind before anything is read.
fn check_metric(rows: &Declared, algorithm: Algorithm) -> Result<(), EvaluateError> {
    let metric = rows.evaluation.metric;
    let classifies = algorithm.is_classifier();
    if metric.is_of_classes() == classifies {
        return Ok(());
    }
    let fitting = Metric::ALL
        .iter()
        .filter(|metric| metric.is_of_classes() == classifies);
    let fitting: Vec<&str> = fitting.map(|metric| metric.as_str()).collect();
    Err(EvaluateError::OtherKind {
        metric,
        algorithm: algorithm.as_str(),
        fitting: fitting.join(", "),
    })
}

/// Measures the held-out rows, and holds the metric against its bound.
fn evaluate(
    evaluation: &Evaluation,
    predictions: &Predictions,
    held_out: &Rows,
) -> Result<BTreeMap<Metric, f64>, EvaluateError> {
    let metrics = metrics::measure(predictions, &held_out.answers)
        .expect("invariant: a model predicts the kind that it was fitted to");
    if let Some((&metric, &value)) = metrics.iter().find(|(_, value)| !value.is_finite()) {
        return Err(EvaluateError::Immeasurable { metric, value });
    }
    let metric = evaluation.metric;
    let value = *metrics.get(&metric).ok_or(EvaluateError::NotGiven { metric })?;
    if let Some(bound) = evaluation.bound {
        let reached = if metric.larger_is_better() {
            value >= bound
        } else {
            value <= bound
        };
        if !reached {
            return Err(EvaluateError::Missed {
                metric,
                value,
                bound,
                rows: held_out.len(),
            });
        }
    }
    Ok(metrics)
}

/// Checks that a model of somebody else predicts numbers.
fn all_finite(predictions: &[f64]) -> Result<(), EvaluateError> {
    let mut numbered = predictions.iter().enumerate();
    match numbered.find(|(_row, value)| !value.is_finite()) {
        Some((row, &value)) => Err(EvaluateError::NotFinite { value, row }),
        None => Ok(()),
    }
}

/// Checks that the decoded artifact predicts what the fitted model does.
fn self_check(artifact: &[f64], fitted: &[f64]) -> Result<(), EvaluateError> {
    assert_eq!(artifact.len(), fitted.len(), "invariant: as many predictions");
    let squares: f64 = fitted.iter().map(|value| value * value).sum();
    let typical = (squares / fitted.len() as f64).sqrt();
    for (row, (&artifact, &fitted)) in artifact.iter().zip(fitted).enumerate() {
        if !artifact.is_finite() {
            return Err(EvaluateError::NotFinite { value: artifact, row });
        }
        let scale = artifact.abs().max(fitted.abs()).max(typical);
        if (artifact - fitted).abs() > SELF_CHECK * scale {
            return Err(EvaluateError::SelfCheck {
                row,
                artifact,
                fitted,
            });
        }
    }
    Ok(())
}
