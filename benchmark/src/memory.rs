//! `benchmark memory`: what loaded models take while nobody asks, beside a process whose one model is next to nothing.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use registry::artifact::{Graph, encode};

use crate::figures::{Limit, Report};
use crate::ground::Place;
use crate::pushed::{Pushed, WIDTH, serve, trees};

/// How many models are loaded together, each of [`TREES`].
const MODELS: usize = 1_000;
/// What all of them may take, in bytes.
const MODELS_BYTES_MAX: f64 = 1e9;
const TREES: usize = 100;
const TREES_OF_ONE: usize = 500;
/// How many of them are loaded: what one takes is little beside a process.
const COPIES: usize = 20;
/// How many times its file one model may take.
const TIMES_ITS_FILE: f64 = 3.0;
/// Lets what loading took be given back.
const SETTLE: Duration = Duration::from_secs(3);

/// Loads [`COPIES`] models, each `artifact` or 500 trees, and then a thousand of 100 trees.
pub fn run(place: &Place, artifact: Option<&Path>, say: &dyn Fn(&str)) -> Result<Report> {
    let some: Vec<Vec<u8>> = match artifact {
        Some(path) => {
            let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
            vec![bytes; COPIES]
        }
        None => (0..COPIES)
            .map(|seed| trees(TREES_OF_ONE, seed))
            .collect::<Result<_>>()?,
    };
    say("one model of next to nothing");
    let base = resident(
        place,
        &[encode(&Graph::Linear {
            weights: vec![1.0; WIDTH],
            intercept: 0.0,
        })],
    )?;
    say("some models");
    let file = some[0].len() as u64;
    let each = resident(place, &some)?.saturating_sub(base) / COPIES as u64;
    say("a thousand models");
    let many: Vec<Vec<u8>> = (0..MODELS)
        .map(|seed| trees(TREES, seed))
        .collect::<Result<_>>()?;
    let files: usize = many.iter().map(Vec::len).sum();
    let with_many = resident(place, &many)?;
    let mut report = Report::new("benchmark memory");
    report.figure(
        "a process with a model of next to nothing",
        "MB",
        Limit::None,
        &[megabytes(base)],
    );
    report.figure("file of a model", "MB", Limit::None, &[megabytes(file)]);
    report.figure(
        "what it takes / its file",
        "",
        Limit::AtMost(TIMES_ITS_FILE),
        &[megabytes(each) / megabytes(file)],
    );
    report.figure(
        format!("files of {MODELS} models of {TREES} trees"),
        "MB",
        Limit::None,
        &[megabytes(files as u64)],
    );
    report.figure(
        format!("{MODELS} models of {TREES} trees"),
        "MB",
        Limit::AtMost(MODELS_BYTES_MAX / 1e6),
        &[megabytes(with_many)],
    );
    Ok(report)
}

/// Returns what `aurora up` holds, in bytes, that serves these models and is asked nothing.
fn resident(place: &Place, artifacts: &[Vec<u8>]) -> Result<u64> {
    let models = artifacts.iter().enumerate().map(|(index, artifact)| Pushed {
        name: format!("model-{index:04}"),
        artifact: artifact.clone(),
        engine: "Aurora",
    });
    let serving = serve(place, &models.collect::<Vec<_>>(), None, &[])?;
    thread::sleep(SETTLE);
    let resident = serving.aurora.memory().resident;
    serving.aurora.stop()?;
    Ok(resident)
}

#[expect(clippy::cast_precision_loss, reason = "a size in MB needs no 53 bits")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
