//! `benchmark predict`: what a prediction costs in the engine, beside onnxruntime and the own predictors of LightGBM and XGBoost, one
//! thread each; and over HTTP beside a bare route that does the same work.
//!
//! Single rows cycle through 4,000, so that no branch is learnt by heart; batches have 1,000. Before anything is timed, all
//! must predict the same.

mod bare;
mod onnxruntime;
mod own;

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use engine::{Buffer, Symbols, Type};
use ort::environment::Environment;
use registry::artifact::{Inputs, Limits, Model};
use tempfile::TempDir;

use crate::figures::{Limit, Report};
use crate::ground::Place;
use crate::processor::{self, SERVER_CORE};

pub use bare::serve as bare;
use onnxruntime::Onnxruntime;
use own::Own;

/// The rows of a batch.
const BATCH: usize = 1000;
/// How long one predictor is asked at a time.
const PERIOD: Duration = Duration::from_millis(200);
/// How far predictions may lie apart, as a share of the largest: sums of floats in another order.
const APART_MAX: f32 = 1e-5;

const MODELS: &str = include_str!("predict/models.py");

/// What single rows and batches of a kind of model may take, as a share of what onnxruntime takes.
struct Aim {
    single: Limit,
    batch: Limit,
}

impl Aim {
    fn of(model: &str) -> Self {
        let batch = Limit::MedianAtMost(1.0);
        match model {
            "linear" => Self {
                single: Limit::MedianAtMost(1.0),
                batch,
            },
            "mlp-64-64" => Self {
                single: Limit::MedianAtMost(2.0),
                batch: Limit::MedianAtMost(2.0),
            },
            _ => Self {
                single: Limit::MedianAtMost(0.5),
                batch,
            },
        }
    }
}

/// A model with the rows that it is asked.
pub(crate) struct Asked {
    folder: PathBuf,
    width: usize,
    /// Row by row.
    numbers: Vec<f32>,
    /// Row by row; none where it takes numbers only.
    texts: Vec<String>,
    /// Texts of a row.
    columns: usize,
}

/// Measures all models, `rounds` times, and the listener beside a bare route. `python` has what `cargo xtask zoo` installs.
pub fn run(place: &Place, python: &Path, rounds: usize, say: &dyn Fn(&str)) -> Result<Report> {
    let made = TempDir::new()?;
    let script = made.path().join("models.py");
    fs::write(&script, MODELS)?;
    let models = made.path().join("models");
    fs::create_dir(&models)?;
    say("training and exporting the models");
    let status = Command::new(python)
        .args(["-W", "ignore"])
        .arg(&script)
        .arg(&models)
        .status()
        .with_context(|| format!("run {}", python.display()))?;
    ensure!(status.success(), "the models could not be made: {status}");
    let libraries = own::libraries(python)?;
    let boosters = own::compile(made.path())?;
    let environment = onnxruntime::load(&libraries.onnxruntime)?;
    processor::pin(SERVER_CORE)?;
    let mut report = Report::new("benchmark predict");
    let mut folders: Vec<PathBuf> = fs::read_dir(&models)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    folders.sort();
    for folder in folders {
        let name = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        say(&name);
        let asked = Asked::read(folder)?;
        let own = Own::start(&boosters, &libraries, &asked)?;
        measure(&mut report, &environment, (&name, &asked), own, rounds)?;
    }
    say("over HTTP");
    bare::run(&mut report, place, rounds)?;
    Ok(report)
}

fn measure(
    report: &mut Report,
    environment: &Environment,
    (name, asked): (&str, &Asked),
    mut own: Option<Own>,
    rounds: usize,
) -> Result<()> {
    let bytes = fs::read(asked.folder.join("model.onnx"))?;
    let model = Model::read(&bytes, &Limits::default()).context("the engine refuses the model")?;
    let mut theirs = Onnxruntime::open(environment, &asked.folder.join("model.onnx"))?;
    agree(&model, asked, &mut theirs, own.as_mut())?;
    let aim = Aim::of(name);
    for (rows, what, limit) in [(1, "single row", aim.single), (BATCH, "batch", aim.batch)] {
        let (mut ours, mut beside, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let (mut owns, mut own_ratios) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let engine = nanoseconds(asked, rows, |first| {
                let Inputs { buffers, mut symbols } = asked.inputs(&model, first, rows);
                black_box(model.answer(&buffers, rows, &mut symbols)?);
                Ok(())
            })?;
            let onnxruntime = nanoseconds(asked, rows, |first| {
                black_box(theirs.ask(asked, first, rows)?);
                Ok(())
            })?;
            ours.push(engine);
            beside.push(onnxruntime);
            ratios.push(engine / onnxruntime);
            if let Some(own) = &mut own {
                let nanoseconds = own.measure(rows)?;
                owns.push(nanoseconds);
                own_ratios.push(engine / nanoseconds);
            }
        }
        report.figure(format!("{name}, {what}"), "ns a row", Limit::None, &ours);
        report.figure(
            format!("{name}, {what}, onnxruntime"),
            "ns a row",
            Limit::None,
            &beside,
        );
        report.figure(
            format!("{name}, {what}: engine / onnxruntime"),
            "",
            limit,
            &ratios,
        );
        if let Some(own) = &own {
            let library = own.library;
            report.figure(
                format!("{name}, {what}, {library}"),
                "ns a row",
                Limit::None,
                &owns,
            );
            let ratio = format!("{name}, {what}: engine / {library}");
            report.figure(ratio, "", Limit::None, &own_ratios);
        }
    }
    Ok(())
}

/// Returns what a row takes, with all rows over and over.
fn nanoseconds(asked: &Asked, rows: usize, mut ask: impl FnMut(usize) -> Result<()>) -> Result<f64> {
    let began = Instant::now();
    let mut count = 0_u32;
    loop {
        for first in (0..asked.rows()).step_by(rows) {
            ask(first)?;
            count += u32::try_from(rows)?;
            // Of what takes long, not all of it each time.
            if count.is_multiple_of(256) && began.elapsed() >= PERIOD {
                break;
            }
        }
        let taken = began.elapsed();
        if taken >= PERIOD {
            return Ok(taken.as_secs_f64() * 1e9 / f64::from(count));
        }
    }
}

/// Fails where not all predict the same.
fn agree(model: &Model, asked: &Asked, theirs: &mut Onnxruntime, own: Option<&mut Own>) -> Result<()> {
    let rows = asked.rows();
    let Inputs { buffers, mut symbols } = asked.inputs(model, 0, rows);
    let answers = model.answer(&buffers, rows, &mut symbols)?;
    let Some(Buffer::F32(ours)) = answers.last() else {
        bail!("the last output is no tensor of FP32");
    };
    let mut others = vec![("onnxruntime", theirs.ask(asked, 0, rows)?)];
    if let Some(own) = own {
        others.push((own.library, own.values()?));
    }
    for (who, theirs) in others {
        ensure!(
            ours.len() == theirs.len(),
            "{who} gives {} numbers, the engine {}",
            theirs.len(),
            ours.len()
        );
        let largest = theirs.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
        let apart = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs());
        let apart = apart.fold(0.0, f32::max);
        ensure!(
            apart <= APART_MAX * largest,
            "{who} and the engine are {apart} apart, of {largest} at most"
        );
    }
    Ok(())
}

impl Asked {
    fn read(folder: PathBuf) -> Result<Self> {
        let bytes = fs::read(folder.join("numbers"))?;
        let (chunks, _rest) = bytes.as_chunks();
        let numbers: Vec<f32> = chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect();
        let texts = fs::read_to_string(folder.join("texts")).unwrap_or_default();
        let texts: Vec<String> = texts.lines().map(str::to_owned).collect();
        let width = 8;
        let rows = numbers.len() / width;
        Ok(Self {
            folder,
            width,
            columns: texts.len() / rows,
            numbers,
            texts,
        })
    }

    fn rows(&self) -> usize {
        self.numbers.len() / self.width
    }

    fn numbers(&self, first: usize, rows: usize) -> &[f32] {
        &self.numbers[first * self.width..(first + rows) * self.width]
    }

    fn texts(&self, first: usize, rows: usize) -> &[String] {
        &self.texts[first * self.columns..(first + rows) * self.columns]
    }

    /// Returns a model's inputs of some rows, as the server makes them of a request's.
    fn inputs(&self, model: &Model, first: usize, rows: usize) -> Inputs {
        let mut symbols = Symbols::default();
        let inputs = model.input_tensors().iter().map(|input| match input.element {
            Type::Text => {
                let texts = self.texts(first, rows).iter();
                let texts = texts.filter_map(|text| model.symbol(text.as_bytes(), &mut symbols));
                Buffer::Text(texts.collect())
            }
            _ => Buffer::F32(self.numbers(first, rows).to_vec()),
        });
        Inputs {
            buffers: inputs.collect(),
            symbols,
        }
    }
}
