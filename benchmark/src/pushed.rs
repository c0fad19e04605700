//! Models that were pushed into a registry by hand, as a person does, and `aurora up` that serves them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use registry::artifact::{Child, Graph, Split, Trees, encode};
use tempfile::TempDir;

use crate::ground::Place;
use crate::http;
use crate::process::{Aurora, Options, Role};
use crate::scenario::Scenario;

/// The version of every model.
pub const VERSION: &str = "v20261101-120000";
/// The numbers of a row.
pub const WIDTH: usize = 8;
const LEAVES: usize = 31;
/// How long all may take to be loaded.
const PATIENCE: Duration = Duration::from_mins(10);
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);

/// A model to be pushed and served.
#[derive(Debug)]
pub struct Pushed {
    /// Its name.
    pub name: String,
    /// Its ONNX file.
    pub artifact: Vec<u8>,
    /// What evaluates it, as manifests say it.
    pub engine: &'static str,
}

/// What serves them.
#[derive(Debug)]
pub struct Serving {
    /// The process.
    pub aurora: Aurora,
    /// The folder that holds the registry's `aurora/`.
    pub registry: PathBuf,
    _folder: TempDir,
}

/// Serves models by `aurora up`, once all of them are ready; on one core if one is given, and with these variables set.
pub fn serve(place: &Place, models: &[Pushed], core: Option<usize>, variables: &[String]) -> Result<Serving> {
    let folder = TempDir::new()?;
    let inside = folder.path().join("clone/environments/pushed");
    fs::create_dir_all(&inside)?;
    let environment = "apiVersion: aurora.io/v1alpha1\nkind: MLEnvironment\nmetadata: { name: pushed }\n\
                       spec: { target: Standalone }\n";
    fs::write(inside.join("environment.yaml"), environment)?;
    for Pushed { name, engine, .. } in models {
        let manifest = format!(
            "apiVersion: aurora.io/v1alpha1\nkind: MLDeployment\nmetadata: {{ name: {name} }}\n\
             spec: {{ modelName: {name}, engine: {engine}, stable: {{ version: {VERSION} }} }}\n"
        );
        fs::write(inside.join(format!("{name}.yaml")), manifest)?;
    }
    let scenario = Scenario::from_folder(&folder.path().join("clone"), "pushed")?;
    let data = folder.path().join("data");
    let wrapper = match variables {
        [] => Vec::new(),
        set => [&["env".to_owned()], set].concat(),
    };
    let mut aurora = Aurora::start(&Options {
        aurora: place.aurora.clone(),
        repository: scenario.folder().to_owned(),
        environment: scenario.environment().to_owned(),
        data: data.clone(),
        core,
        wrapper,
        role: Role::Up,
    })?;
    let registry = scenario.registry(&data);
    until(&mut aurora, "there is no registry", |_| {
        registry.join("aurora").is_dir()
    })?;
    let file = folder.path().join("model.onnx");
    for Pushed {
        name,
        artifact,
        engine,
    } in models
    {
        fs::write(&file, artifact)?;
        let pushed = Command::new(&place.aurora)
            .args([
                "model",
                "push",
                name,
                "--version",
                VERSION,
                "--engine",
                engine,
                "--data-dir",
            ])
            .arg(&data)
            .arg(&file)
            .envs(variables.iter().filter_map(|set| set.split_once('=')))
            .output()?;
        let said = String::from_utf8_lossy(&pushed.stderr);
        ensure!(pushed.status.success(), "{name} is not pushed: {said}");
    }
    for Pushed { name, .. } in models {
        let path = format!("/v2/models/{name}/ready");
        until(&mut aurora, &format!("{path} is not 200"), |aurora| {
            let request = http::get(aurora.inference, &path);
            http::ask(aurora.inference, &request, ANSWER_WAIT_MAX).is_ok_and(|(status, _)| status == 200)
        })?;
    }
    Ok(Serving {
        aurora,
        registry,
        _folder: folder,
    })
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

/// Returns a model of balanced trees, which differs by its seed.
pub fn trees(count: usize, seed: usize) -> Result<Vec<u8>> {
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
