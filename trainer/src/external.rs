//! A model that somebody else's program makes: it is handed the rows that a fit may see, and what it leaves is checked,
//! evaluated on the rows that it did not see, held against the bound, and published.
//!
//! ```text
//! prepare ──> rows.csv ──> (their program) ──> output/{model.onnx, metrics.json} ──> publish
//! ```
//!
//! Nothing of what it leaves is believed: no link is followed, sizes are bounded, the model is decoded as data and written
//! anew with the signature that the rows have, and its metrics are shown and decide nothing.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::{fs, io};

use engine::Refusal;
use planner::Timestamp;
use planner::engine::Engine;
use planner::names::Digest;
use planner::training::{Command, CommittedFile, Derivation, Target};
use registry::artifact::{ArtifactError, Engines, Gives, Limits, Model, with_signature};
use registry::files::Dir;
use registry::metadata::{Attestation, Fit, Labels, Signature};
use registry::run::{Ending, Progress, RunRequest};
use registry::{Store, StoreError};

use crate::dataset::shown;
use crate::error::TrainError;
use crate::features::{self, Answers, Layout, Rows};
use crate::means::{Isolation, Launch, Means};
use crate::{Data, Made, Takes, evaluate_made, read, store_to_make, told};

/// The file with the training rows: a header, the features in order (columns as they are written), the target last.
pub const ROWS: &str = "rows.csv";
/// The folder, beside it, that their program writes into.
pub const OUTPUT: &str = "output";
/// The folder, beside them, that a program of the commit runs in, with its files.
const PROGRAM: &str = "program";
/// The largest file of a program, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// What it has to leave there.
const MODEL: &str = "model.onnx";
/// What it may leave there: names and numbers.
const METRICS: &str = "metrics.json";

/// The most of `metrics.json` that is read, in bytes, and the most metrics that are kept.
const METRICS_BYTES_MAX: u64 = 64 << 10;
const METRICS_MAX: usize = 100;
/// The longest name of such a metric, in characters.
const NAME_CHARS_MAX: usize = 80;

/// Says why what their program left is no model of these rows.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExternalError {
    /// Nobody else makes it.
    #[error("the job fits by {0}, an algorithm of Aurora's own")]
    Ours(&'static str),
    /// It is made where it is published.
    #[error("the job runs a command of the commit, and no container makes its model")]
    Here,
    /// It was made elsewhere.
    #[error("the job imports its model, and no program makes it")]
    Import,
    /// A file of the program is too large.
    #[error("{0}, a file of the command, has more than {FILE_BYTES_MAX} bytes")]
    LargeFile(String),
    /// It left none.
    #[error("it left no {MODEL} in the folder AURORA_OUTPUT")]
    Missing,
    /// It cannot be taken as it lies there.
    #[error("{0}")]
    Unusable(StoreError),
    /// It is none that is served.
    #[error("{error}{advice}", error = .0, advice = taken(.0))]
    Unreadable(#[from] ArtifactError),
    /// It takes other inputs.
    #[error("it takes {got} inputs, and the training rows have {expected} features")]
    OtherWidth { got: usize, expected: usize },
    /// It predicts other classes, or none.
    #[error("it predicts {got}, and the training rows have {expected}")]
    OtherLabels { got: String, expected: String },
}

/// Says where it stands which models are taken, where one is sound and none of them.
pub(crate) fn taken(error: &ArtifactError) -> &'static str {
    match error {
        ArtifactError::Graph(Refusal::Unsupported { .. }) => {
            "; docs/operators.md lists what is served: have the trainer write that, or ONNX Runtime serve it (`engine: OnnxRuntime`)"
        }
        _ => "",
    }
}

/// Writes the training rows' features and target to the file [`ROWS`] of a folder, and makes the folder
/// [`OUTPUT`] beside it. What is held out is not handed over.
pub fn prepare(request: &RunRequest, folder: &Path) -> Result<(), Ending> {
    write_rows(request, folder).map_err(|error| error.ending())
}

fn write_rows(request: &RunRequest, folder: &Path) -> Result<(), TrainError> {
    let store = Store::open(&request.registry).map_err(TrainError::Open)?;
    let data = read(&store, request, None, Takes::AsWritten)?;
    let train = features::rows(&data.table, &data.split.train, &data.layout, None)?;
    let csv = csv(&data, &train);
    hand_over(folder, &csv).map_err(TrainError::HandOver)
}

fn hand_over(folder: &Path, csv: &str) -> io::Result<()> {
    /// Their program may be another user's, and nobody else sees the Pod's folder.
    const ANYBODY: u32 = 0o777;
    let dir = Dir::ensure(folder)?;
    let output = dir.make_dir(OUTPUT)?;
    fs::set_permissions(output.path(), fs::Permissions::from_mode(ANYBODY))?;
    Ok(dir.replace_unsynced(ROWS, csv.as_bytes())?)
}

/// Publishes what lies in the folder `made`, if it is a model of the request's rows, evaluated by one of `engines`, and reaches
/// the bound.
pub fn publish(
    request: &RunRequest,
    made: &Path,
    engines: &Engines,
    progress: &mut dyn FnMut(Progress),
    clock: &dyn Fn() -> Timestamp,
) -> Ending {
    told(progress, clock, |stage| {
        match &request.training.fit {
            planner::training::Fit::Algorithm(algorithm) => {
                return Err(ExternalError::Ours(algorithm.as_str()).into());
            }
            planner::training::Fit::Import(_) => return Err(ExternalError::Import.into()),
            planner::training::Fit::Command(_) => return Err(ExternalError::Here.into()),
            planner::training::Fit::Container(_) => {}
        }
        let Some(store) = store_to_make(request)? else {
            return Ok(Ending::SameInputs);
        };
        let left = Left::read(made, (request.training.engine, engines))?;
        evaluate_made(
            &store,
            request,
            (Some(&left.model), engines),
            stage,
            clock,
            |layout, train, _held_out| left.made(request, "container", None, (layout, train)),
        )
    })
}

/// Runs a program of the commit, and publishes what it leaves, if that is a model of the request's rows and reaches the bound.
pub(crate) fn run(
    request: &RunRequest,
    command: &Command,
    means: &dyn Means,
    stage: &mut dyn FnMut(u8, &str),
    clock: &dyn Fn() -> Timestamp,
) -> Result<Ending, TrainError> {
    let Some(store) = store_to_make(request)? else {
        return Ok(Ending::SameInputs);
    };
    stage(0, "read");
    let run = store.ensure_run(&request.model, &request.version);
    let run = run.map_err(TrainError::Open)?;
    let folder = run.begin_work().map_err(TrainError::Open)?;
    let ended = run_in(&store, request, command, &folder, means, stage, clock);
    if let Err(error) = run.end_work() {
        tracing::warn!(%error, "what a program of the commit left cannot be removed");
    }
    ended
}

/// Runs a program in a folder of its own.
fn run_in(
    store: &Store,
    request: &RunRequest,
    command: &Command,
    folder: &Path,
    means: &dyn Means,
    stage: &mut dyn FnMut(u8, &str),
    clock: &dyn Fn() -> Timestamp,
) -> Result<Ending, TrainError> {
    /// When it has ended, in percent of the whole.
    const ENDED: u8 = 70;
    write_rows(request, folder)?;
    let within = folder.join(PROGRAM);
    fs::create_dir(&within).map_err(TrainError::HandOver)?;
    for file in &command.files {
        unpack(store, file, &within)?;
    }
    stage(10, "fit");
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let settings = serde_json::to_string(&request.training.hyperparameters);
    let settings = settings.expect("invariant: settings are names with numbers");
    let roots = request.dataset_roots.iter().map(PathBuf::as_path);
    let isolation = means.start(&Launch {
        argv: &command.argv,
        folder,
        within: &within,
        variables: vec![
            ("AURORA_DATASET", text(&folder.join(ROWS))),
            ("AURORA_OUTPUT", text(&folder.join(OUTPUT))),
            ("AURORA_HYPERPARAMETERS", settings),
            ("AURORA_SEED", request.training.seed.to_string()),
        ],
        hidden: std::iter::once(request.registry.as_path()).chain(roots).collect(),
    });
    let attestation = match isolation.map_err(TrainError::Command)? {
        Isolation::Enforced => None,
        Isolation::Trusted => Some(Attestation::Trusted),
    };
    let engines = means.engines();
    let left = Left::read(&folder.join(OUTPUT), (request.training.engine, &engines))?;
    // What is left to do is a small part of the whole.
    let mut rest =
        |percent: u8, name: &str| stage(percent.max(ENDED), if percent < 80 { "check" } else { name });
    evaluate_made(
        store,
        request,
        (Some(&left.model), &engines),
        &mut rest,
        clock,
        |layout, train, _held_out| left.made(request, "command", attestation, (layout, train)),
    )
}

/// Puts a file of the commit where the program finds it.
fn unpack(store: &Store, file: &CommittedFile, within: &Path) -> Result<(), TrainError> {
    let unstaged = || TrainError::Unstaged(file.path.clone());
    let digest = file.sha256.as_ref().ok_or_else(unstaged)?;
    let staged = match store.open_dataset(digest) {
        Ok(staged) => staged.ok_or_else(unstaged)?,
        Err(StoreError::Link { .. } | StoreError::Malformed { .. }) => return Err(unstaged()),
        Err(error) => return Err(TrainError::Open(error)),
    };
    let mut bytes = Vec::new();
    let read = staged.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    if read.map_err(TrainError::HandOver)? as u64 > FILE_BYTES_MAX {
        return Err(ExternalError::LargeFile(file.path.clone()).into());
    }
    if Digest::of(&bytes) != *digest {
        store.discard_damaged(digest).map_err(TrainError::Open)?;
        return Err(unstaged());
    }
    let place = within.join(&file.path);
    let made = place.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| {
        let mut copy = fs::OpenOptions::new();
        copy.create_new(true).write(true).mode(0o755);
        copy.open(&place)?.write_all(&bytes)
    })
    .map_err(TrainError::HandOver)
}

/// What their program left.
struct Left {
    bytes: Vec<u8>,
    model: Model,
    reported: BTreeMap<String, f64>,
}

impl Left {
    fn read(made: &Path, by: (Engine, &Engines)) -> Result<Self, ExternalError> {
        let folder = Dir::open_if_there(made).map_err(ExternalError::Unusable)?;
        let folder = folder.ok_or(ExternalError::Missing)?;
        let limits = Limits::default();
        let bytes = folder.read(MODEL, "a trainer's model", limits.bytes_max as u64);
        let bytes = bytes.map_err(ExternalError::Unusable)?;
        let bytes = bytes.ok_or(ExternalError::Missing)?;
        Ok(Self {
            model: Model::open_as(&bytes, by, |signature| signature).map_err(ExternalError::Unreadable)?,
            reported: metrics(&folder),
            bytes,
        })
    }

    /// Returns what is published of it, if it is a model of these rows.
    fn made(
        &self,
        request: &RunRequest,
        by: &'static str,
        attestation: Option<Attestation>,
        (layout, train): (&Layout, &Rows),
    ) -> Result<Made, TrainError> {
        let signature = signature(&self.model, layout, train)?;
        Ok(Made {
            artifact: with_signature(&self.bytes, &signature).map_err(ExternalError::Unreadable)?,
            said: None,
            framework: by,
            algorithm: by,
            settings: request.training.hyperparameters.clone(),
            fit: Fit {
                reported: self.reported.clone(),
                ..Fit::default()
            },
            attestation,
            signer: None,
        })
    }
}

/// Returns the signature of a model of these rows, and refuses one that is of others.
pub(crate) fn signature(model: &Model, layout: &Layout, train: &Rows) -> Result<Signature, ExternalError> {
    let (got, expected) = (model.width(), layout.features.len());
    if got != expected {
        return Err(ExternalError::OtherWidth { got, expected });
    }
    let expected = match &train.answers {
        Answers::Classes { labels, .. } => Some(labels),
        Answers::Numbers(_) => None,
    };
    let fits = match (model.gives(), expected) {
        (Gives::Numbers { prediction }, None) => model.output_tensors()[prediction].width() == 1,
        // Labels that the graph does not name are those of the rows, where nothing hangs on their order.
        (
            Gives::Classes {
                probabilities: None, ..
            },
            Some(labels),
        ) => model.labels().is_none_or(|own| own == labels),
        (Gives::Classes { .. }, Some(labels)) => model.labels() == Some(labels),
        _ => false,
    };
    if !fits {
        return Err(ExternalError::OtherLabels {
            got: given(model),
            expected: words(expected),
        });
    }
    let Target {
        column,
        divide_by,
        unit,
    } = &layout.target;
    Ok(Signature {
        features: layout.features.clone(),
        labels: expected.cloned().unwrap_or(Labels::Numbers(Vec::new())),
        target_column: Some(column.clone()),
        target_divide_by: *divide_by,
        target_unit: unit.clone(),
        ..model.signature().clone()
    })
}

/// Says what a model predicts.
fn given(model: &Model) -> String {
    match model.gives() {
        Gives::Numbers { prediction } => match model.output_tensors()[prediction].width() {
            1 => "a number".to_owned(),
            count => format!("{count} numbers at once"),
        },
        Gives::Classes { .. } if model.labels().is_none() => "classes that it does not name".to_owned(),
        Gives::Classes { .. } => words(model.labels()),
    }
}

fn words(labels: Option<&Labels>) -> String {
    /// How many are named.
    const NAMED: usize = 10;
    let listed = |count: usize, some: Vec<String>| {
        let more = if count > NAMED { ", …" } else { "" };
        format!("the classes {}{more}", some.join(", "))
    };
    match labels {
        None => "a number".to_owned(),
        Some(Labels::Numbers(labels)) => {
            let some = labels.iter().take(NAMED).map(ToString::to_string);
            listed(labels.len(), some.collect())
        }
        Some(Labels::Words(labels)) => {
            let some = labels.iter().take(NAMED).map(|label| shown(label));
            listed(labels.len(), some.collect())
        }
    }
}

/// Reads the numbers that their program tells of its fit; what is none is left out.
fn metrics(folder: &Dir) -> BTreeMap<String, f64> {
    let read = folder.read(METRICS, "a trainer's metrics", METRICS_BYTES_MAX);
    let bytes = read.unwrap_or_else(|error| {
        tracing::warn!(%error, "the trainer's metrics are not shown");
        None
    });
    let told: BTreeMap<String, serde_json::Value> = bytes
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    told.into_iter()
        .filter_map(|(name, value)| Some((name, value.as_f64()?)))
        .filter(|(name, _)| name.chars().count() <= NAME_CHARS_MAX)
        .take(METRICS_MAX)
        .collect()
}

/// Renders the training rows as CSV (RFC 4180): columns as the data has them, what is derived with all the digits that it has.
fn csv(data: &Data, train: &Rows) -> String {
    let Layout { features, target, .. } = &data.layout;
    let names = features.iter().map(|feature| feature.name.as_str());
    let header: Vec<String> = names.chain([target.column.as_str()]).map(field).collect();
    let mut csv = header.join(",") + "\r\n";
    for (at, row) in data.split.train.iter().enumerate() {
        let derived = &train.inputs[at * train.width..][..train.width];
        for (feature, derived) in features.iter().zip(derived) {
            csv += &match &feature.derivation {
                Derivation::Column(column) => field(&data.table.texts[column][*row]),
                Derivation::Ratio(_) => derived.to_string(),
            };
            csv.push(',');
        }
        csv += &answer(&train.answers, at);
        csv += "\r\n";
    }
    csv
}

fn answer(answers: &Answers, at: usize) -> String {
    match answers {
        Answers::Numbers(numbers) => numbers[at].to_string(),
        Answers::Classes { index, labels } => {
            let index = index[at].expect("invariant: the labels are those of the training rows");
            match labels {
                Labels::Numbers(labels) => labels[index].to_string(),
                Labels::Words(labels) => field(&labels[index]),
            }
        }
    }
}

/// Writes a text as a field of CSV (RFC 4180): quoted where it has to be.
pub fn field(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) || text.trim() != text {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
