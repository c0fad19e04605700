//! `aurora predict`: what versions say of the rows of a CSV file.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use planner::names::ModelName;
use registry::artifact::{Engines, Gives, Inputs, Model, Unanswered, load};
use registry::metadata::Labels;
use registry::{Entry, Store};
use serde_json::{Value, json};
use trainer::scoring::{Batch, each_batch, field};

use super::model::{StoreArguments, Typed};
use crate::answers::{PredictAnswer, SaidAnswer};
use crate::arguments::{OnnxRuntimeArguments, OutputArguments};
use crate::failure::{Context as _, Failure};
use crate::terminal::Terminal;

/// Flags of `aurora predict`.
#[derive(Debug, Args)]
pub(crate) struct PredictArguments {
    /// The model, and which version of it: stable, canary, a version or a digest [default of REFERENCE: stable]
    #[arg(value_name = "MODEL[@REFERENCE]")]
    model: Asked,
    /// The rows: a CSV file whose header names the raw columns
    file: PathBuf,
    /// Two versions instead, beside each other
    #[arg(long, num_args = 2, value_name = "REFERENCE")]
    compare: Vec<Typed>,
    /// The probabilities of the classes too
    #[arg(long)]
    probabilities: bool,
    /// A column of the file that is written before what is predicted; may be given several times
    #[arg(long, value_name = "COLUMN")]
    keep: Vec<String>,
    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    onnx_runtime: OnnxRuntimeArguments,
    #[command(flatten)]
    output: OutputArguments,
}

/// A model, and perhaps a version of it.
#[derive(Debug, Clone)]
struct Asked {
    model: ModelName,
    reference: Option<Typed>,
}

impl FromStr for Asked {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (model, reference) = match text.split_once('@') {
            Some((model, reference)) => (model, Some(reference)),
            None => (text, None),
        };
        Ok(Self {
            model: model.parse().map_err(|error| format!("{error}"))?,
            reference: reference.map(str::parse).transpose()?,
        })
    }
}

/// A version that says something.
pub(crate) struct Speaker {
    /// What it was asked by.
    pub(crate) asked: String,
    pub(crate) entry: Entry,
    pub(crate) model: Model,
}

impl Speaker {
    /// Loads a version of a model.
    pub(crate) fn load(
        store: &Store,
        model: &ModelName,
        typed: &Typed,
        engines: &Engines,
    ) -> Result<Self, Failure> {
        let entry = store.resolve(model, &typed.reference)?;
        let loaded = load(store, &entry, engines)
            .map_err(|error| Failure::of(&error))
            .hint(|| format!("`aurora model verify {model}` says what is wrong with its files"))?;
        Ok(Self {
            asked: typed.text.clone(),
            entry,
            model: loaded,
        })
    }
}

pub(crate) fn run(arguments: &PredictArguments) -> Result<ExitCode, Failure> {
    let Asked { model, reference } = &arguments.model;
    if reference.is_some() && !arguments.compare.is_empty() {
        return Err(
            Failure::new("a version is named twice, by MODEL@REFERENCE and by --compare")
                .hint("give the model alone, and both versions by --compare"),
        );
    }
    let store = arguments.store.open()?;
    super::model::models(&store, Some(model))?;
    let asked = match &arguments.compare[..] {
        [] => vec![match reference {
            Some(reference) => reference.clone(),
            None => "stable".parse().expect("invariant: an alias names a version"),
        }],
        both => both.to_vec(),
    };
    let engines = arguments.onnx_runtime.engines();
    let speakers = asked
        .iter()
        .map(|reference| Speaker::load(&store, model, reference, &engines))
        .collect::<Result<Vec<_>, _>>()?;
    if arguments.probabilities
        && let Some(silent) = speakers.iter().find(|speaker| !speaker.has_probabilities())
    {
        return Err(Failure::new(format!(
            "{} gives no probabilities: it predicts numbers, or classes alone",
            silent.entry.version
        ))
        .hint("leave out --probabilities"));
    }
    score(arguments, &speakers)?;
    Ok(ExitCode::SUCCESS)
}

fn score(arguments: &PredictArguments, speakers: &[Speaker]) -> Result<(), Failure> {
    let terminal = Terminal::new(arguments.output.output).lined();
    let called = arguments.file.display().to_string();
    let bar = bar(terminal, &arguments.file);
    let models: Vec<&Model> = speakers.iter().map(|speaker| &speaker.model).collect();
    // Where the first rows are refused, nothing was said.
    let mut head = (!terminal.is_json()).then(|| record(&header(arguments, speakers)));
    let mut begin = || match head.take() {
        Some(head) => terminal.records(&head),
        None => Ok(()),
    };
    let mut written = Ok(());
    let read = each_batch(&arguments.file, &called, &models, &arguments.keep, &mut |batch| {
        bar.set_position(batch.bytes);
        if written.is_ok() {
            written = begin()
                .map_err(Failure::from)
                .and_then(|()| write(terminal, arguments, speakers, batch));
        }
    });
    bar.finish_and_clear();
    written?;
    read.map_err(|error| Failure::of(&error))
        .hint(|| "`aurora model show MODEL` names the columns that it takes".to_owned())?;
    begin()?;
    Ok(())
}

/// A bar over the bytes of the file, where one would be seen.
pub(crate) fn bar(terminal: Terminal, file: &std::path::Path) -> ProgressBar {
    let Some(bytes) = fs::metadata(file).ok().filter(|_| terminal.has_bars()) else {
        return ProgressBar::hidden();
    };
    let style = ProgressStyle::with_template("scoring {bar:30} {bytes}/{total_bytes} {eta}")
        .expect("invariant: a fixed template");
    ProgressBar::new(bytes.len()).with_style(style)
}

fn header(arguments: &PredictArguments, speakers: &[Speaker]) -> Vec<String> {
    let mut names = arguments.keep.clone();
    for speaker in speakers {
        let of = match speakers {
            [_] => String::new(),
            _ => format!("@{}", speaker.asked),
        };
        match speaker.width() {
            1 => names.push(format!("prediction{of}")),
            several => names.extend((0..several).map(|at| format!("prediction_{at}{of}"))),
        }
        if arguments.probabilities {
            let labels = speaker.classes().into_iter();
            names.extend(labels.map(|label| format!("probability:{label}{of}")));
        }
    }
    names
}

fn write(
    terminal: Terminal,
    arguments: &PredictArguments,
    speakers: &[Speaker],
    batch: &Batch<'_>,
) -> Result<(), Failure> {
    let rows = batch.lines.len();
    let said = speakers.iter().zip(batch.inputs).map(|(speaker, inputs)| {
        let said = speaker.say(inputs, rows);
        said.map_err(|error| Failure::of(&error))
    });
    let said = said.collect::<Result<Vec<Vec<Said>>, _>>()?;
    let mut text = String::new();
    for row in 0..rows {
        let width = arguments.keep.len();
        let kept = &batch.beside[row * width..][..width];
        let said = said.iter().map(|rows| &rows[row]);
        if terminal.is_json() {
            let kept = arguments.keep.iter().cloned().zip(kept.iter().cloned());
            let said = speakers.iter().zip(said).map(|(speaker, said)| SaidAnswer {
                reference: speaker.asked.clone(),
                version: speaker.entry.version.clone(),
                prediction: said.prediction.clone(),
                probabilities: arguments.probabilities.then(|| said.probabilities.clone()),
            });
            terminal.document(&PredictAnswer {
                line: batch.lines[row],
                kept: kept.collect(),
                said: said.collect(),
            })?;
            continue;
        }
        let mut cells: Vec<String> = kept.to_vec();
        for said in said {
            match &said.prediction {
                Value::Array(several) => cells.extend(several.iter().map(cell)),
                one => cells.push(cell(one)),
            }
            if arguments.probabilities {
                cells.extend(said.probabilities.values().map(f64::to_string));
            }
        }
        text += &record(&cells);
    }
    terminal.records(&text)?;
    Ok(())
}

/// What a version says of a row.
struct Said {
    /// A number, several, or a class.
    prediction: Value,
    /// By class, in the order of their names; empty where there are none.
    probabilities: BTreeMap<String, f64>,
}

impl Speaker {
    fn has_probabilities(&self) -> bool {
        matches!(
            self.model.gives(),
            Gives::Classes {
                probabilities: Some(_),
                ..
            }
        ) && self.model.labels().is_some()
    }

    /// Returns how many values it predicts for a row.
    fn width(&self) -> usize {
        match self.model.gives() {
            Gives::Numbers { prediction } => self.model.output_tensors()[prediction].width(),
            Gives::Classes { .. } => 1,
        }
    }

    /// Returns its classes, in the order of their names.
    fn classes(&self) -> Vec<String> {
        let mut names = match self.model.labels() {
            Some(Labels::Numbers(labels)) => labels.iter().map(ToString::to_string).collect(),
            Some(Labels::Words(labels)) => labels.clone(),
            None => Vec::new(),
        };
        names.sort_unstable();
        names
    }

    fn say(&self, inputs: &Inputs, rows: usize) -> Result<Vec<Said>, Unanswered> {
        let mut symbols = inputs.symbols.clone();
        let answers = self.model.answer(&inputs.buffers, rows, &mut symbols)?;
        Ok(match self.model.gives() {
            Gives::Numbers { prediction } => {
                let numbers = numbers(&answers[prediction]);
                let width = self.width();
                let rows = numbers.chunks_exact(width).map(|row| Said {
                    prediction: match row {
                        [one] => json!(one),
                        several => json!(several),
                    },
                    probabilities: BTreeMap::new(),
                });
                rows.collect()
            }
            Gives::Classes { label, probabilities } => {
                let shares = probabilities.map(|at| numbers(&answers[at])).unwrap_or_default();
                let names: Vec<String> = match self.model.labels() {
                    Some(Labels::Numbers(labels)) => labels.iter().map(ToString::to_string).collect(),
                    Some(Labels::Words(labels)) => labels.clone(),
                    None => Vec::new(),
                };
                let of_row = |row: usize| {
                    let shares = shares.get(row * names.len()..).unwrap_or_default();
                    names.iter().cloned().zip(shares.iter().copied()).collect()
                };
                (0..rows)
                    .map(|row| Said {
                        prediction: json!(self.model.label_text(&answers[label], &symbols, row)),
                        probabilities: of_row(row),
                    })
                    .collect()
            }
        })
    }
}

/// Returns an output's numbers.
fn numbers(buffer: &engine::Buffer) -> Vec<f64> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "whole numbers that are predicted are shown as doubles"
    )]
    match buffer {
        engine::Buffer::F64(numbers) => numbers.clone(),
        engine::Buffer::F32(numbers) => numbers.iter().map(|number| shortest(*number)).collect(),
        engine::Buffer::I64(numbers) => numbers.iter().map(|number| *number as f64).collect(),
        engine::Buffer::I32(numbers) => numbers.iter().copied().map(f64::from).collect(),
        engine::Buffer::Bool(truths) => truths.iter().map(|truth| f64::from(u8::from(*truth))).collect(),
        engine::Buffer::Text(texts) => vec![f64::NAN; texts.len()],
    }
}

/// Returns the double with the digits that an FP32 is written with.
fn shortest(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // JSON has no word for what is no number.
        Value::Null => "NaN".to_owned(),
        other => other.to_string(),
    }
}

/// Renders a record as CSV (RFC 4180).
fn record(cells: &[String]) -> String {
    let cells = cells.iter().map(|cell| field(cell));
    cells.collect::<Vec<_>>().join(",") + "\n"
}
