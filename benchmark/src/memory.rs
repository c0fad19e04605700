//! `benchmark memory`: what loaded models take while nobody asks, beside a process whose one model is next to nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use registry::artifact::{Child, Graph, Split, Trees, encode};
use tempfile::TempDir;

use crate::figures::{Limit, Report};
use crate::ground::Place;
use crate::http;
use crate::process::{Aurora, Options, Role};
use crate::scenario::Scenario;

/// The version of every model.
const VERSION: &str = "v20261101-120000";
/// How many models are loaded together, each of [`TREES`].
const MODELS: usize = 1_000;
/// What all of them may take, in bytes.
const MODELS_BYTES_MAX: f64 = 1e9;
const TREES: usize = 100;
const TREES_OF_ONE: usize = 500;
/// How many of them are loaded: what one takes is little beside a process.
const COPIES: usize = 20;
const LEAVES: usize = 31;
/// How many times its file one model may take.
const TIMES_ITS_FILE: f64 = 3.0;
/// The numbers of a row.
const WIDTH: usize = 8;
/// How long all may take to be loaded.
const PATIENCE: Duration = Duration::from_mins(10);
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);
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
            .map(|seed| model(TREES_OF_ONE, seed))
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
        .map(|seed| model(TREES, seed))
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
    let folder = TempDir::new()?;
    let inside = folder.path().join("clone/environments/memory");
    fs::create_dir_all(&inside)?;
    let environment = "apiVersion: aurora.io/v1alpha1\nkind: MLEnvironment\nmetadata: { name: memory }\n\
                       spec: { target: Standalone }\n";
    fs::write(inside.join("environment.yaml"), environment)?;
    for index in 0..artifacts.len() {
        let name = name(index);
        let manifest = format!(
            "apiVersion: aurora.io/v1alpha1\nkind: MLDeployment\nmetadata: {{ name: {name} }}\n\
             spec: {{ modelName: {name}, stable: {{ version: {VERSION} }} }}\n"
        );
        fs::write(inside.join(format!("{name}.yaml")), manifest)?;
    }
    let scenario = Scenario::from_folder(&folder.path().join("clone"), "memory")?;
    let data = folder.path().join("data");
    let mut aurora = Aurora::start(&Options {
        aurora: place.aurora.clone(),
        repository: scenario.folder().to_owned(),
        environment: scenario.environment().to_owned(),
        data: data.clone(),
        core: None,
        wrapper: Vec::new(),
        role: Role::Up,
    })?;
    until(&mut aurora, "there is no registry", |_| {
        scenario.registry(&data).join("aurora").is_dir()
    })?;
    let file = folder.path().join("model.onnx");
    for (index, artifact) in artifacts.iter().enumerate() {
        fs::write(&file, artifact)?;
        push(place, &data, &name(index), &file)?;
    }
    for index in 0..artifacts.len() {
        let path = format!("/v2/models/{}/ready", name(index));
        until(&mut aurora, &path, |aurora| {
            let request = http::get(aurora.inference, &path);
            http::ask(aurora.inference, &request, ANSWER_WAIT_MAX).is_ok_and(|(status, _)| status == 200)
        })?;
    }
    thread::sleep(SETTLE);
    let resident = aurora.memory().resident;
    aurora.stop()?;
    Ok(resident)
}

fn until(aurora: &mut Aurora, what: &str, holds: impl Fn(&Aurora) -> bool) -> Result<()> {
    while !holds(aurora) {
        aurora.check_running()?;
        ensure!(
            aurora.started.elapsed() < PATIENCE,
            "{what} after {} s:\n{}",
            PATIENCE.as_secs(),
            aurora.output_tail()
        );
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Publishes a file, as a person does.
fn push(place: &Place, data: &Path, model: &str, file: &PathBuf) -> Result<()> {
    let pushed = Command::new(&place.aurora)
        .args(["model", "push", model, "--version", VERSION, "--data-dir"])
        .arg(data)
        .arg(file)
        .output()?;
    ensure!(
        pushed.status.success(),
        "{}",
        String::from_utf8_lossy(&pushed.stderr)
    );
    Ok(())
}

fn name(index: usize) -> String {
    format!("model-{index:04}")
}

/// Returns a model of balanced trees, which differs by its seed.
fn model(count: usize, seed: usize) -> Result<Vec<u8>> {
    let mut trees = Trees {
        width: WIDTH,
        base: f64::from(u32::try_from(seed)?),
        roots: Vec::new(),
        splits: Vec::new(),
        leaves: Vec::new(),
    };
    for _ in 0..count {
        let root = grow(&mut trees, LEAVES).context("too many nodes")?;
        trees.roots.push(root);
    }
    Ok(encode(&Graph::Trees(trees)))
}

fn grow(trees: &mut Trees, leaves: usize) -> Option<Child> {
    if leaves == 1 {
        // No two are the same, as those that are trained.
        let value = f64::from(u32::try_from(trees.leaves.len()).ok()?);
        trees.leaves.push(value.sin());
        return Child::leaf(trees.leaves.len() - 1);
    }
    let below = grow(trees, leaves / 2)?;
    let otherwise = grow(trees, leaves - leaves / 2)?;
    let at = trees.splits.len();
    let number = u32::try_from(at).ok()?;
    trees.splits.push(Split {
        threshold: f64::from(number).cos(),
        feature: number % u32::try_from(WIDTH).ok()?,
        below,
        otherwise,
    });
    Child::split(at)
}

#[expect(clippy::cast_precision_loss, reason = "a size in MB needs no 53 bits")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
