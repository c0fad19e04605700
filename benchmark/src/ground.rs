//! Where a figure is measured: a temporary folder with a repository made from this checkout and a data directory.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::predictions::Example;
use crate::process::{self, Aurora};
use crate::scenario::Scenario;

/// How long anything may take to be ready before the run is given up.
const READY_WAIT_MAX: Duration = Duration::from_secs(90);

/// What every command needs to know.
#[derive(Debug, Clone)]
pub struct Place {
    /// The `aurora` binary.
    pub aurora: PathBuf,
    /// The checkout whose `environments/` are declared.
    pub checkout: PathBuf,
    /// The environment.
    pub environment: String,
}

/// A repository and an empty data directory, deleted when dropped.
#[derive(Debug)]
pub struct Ground {
    place: Place,
    folder: TempDir,
    /// The repository.
    pub scenario: Scenario,
}

/// When the tracks answered, from the start of the process.
#[derive(Debug, Clone, Copy)]
pub struct Readiness {
    /// The first correct prediction of any track.
    pub first: Duration,
    /// The first correct prediction of the last track.
    pub all: Duration,
}

impl Ground {
    /// Makes the repository and names a data directory that does not exist yet.
    pub fn new(place: &Place) -> Result<Self> {
        if !place.aurora.is_file() {
            bail!(
                "no aurora at {}: build it with `cargo build --release`, or name it with --aurora",
                place.aurora.display()
            );
        }
        let folder = tempfile::Builder::new().prefix("aurora-benchmark-").tempdir()?;
        let scenario =
            Scenario::from_checkout(&place.checkout, &place.environment, &folder.path().join("clone"))?;
        Ok(Self {
            place: place.clone(),
            folder,
            scenario,
        })
    }

    /// Returns the data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts `aurora up`, on one core if one is given.
    pub fn start(&self, core: Option<usize>) -> Result<Aurora> {
        Aurora::start(&process::Options {
            aurora: self.place.aurora.clone(),
            repository: self.scenario.folder().to_owned(),
            environment: self.scenario.environment().to_owned(),
            data: self.data(),
            core,
            wrapper: Vec::new(),
            role: process::Role::Up,
        })
    }

    /// Waits until each track that the manifests declare predicts its version's example correctly.
    pub fn wait_until_ready(&self, aurora: &mut Aurora) -> Result<Readiness> {
        let mut waiting = Vec::new();
        for model in self.scenario.models() {
            let pins = self.scenario.pins(&model)?;
            waiting.push((model.clone(), "stable", pins.stable));
            waiting.extend(pins.canary.map(|(version, _weight)| (model, "canary", version)));
        }
        let mut first = None;
        while aurora.started.elapsed() < READY_WAIT_MAX {
            let registry = self.scenario.registry(&self.data());
            waiting.retain(|(model, track, version)| {
                let answered = Example::read(&registry, model, version)
                    .is_some_and(|example| example.is_predicted(aurora.inference, Some(track)));
                if answered {
                    first.get_or_insert_with(|| aurora.started.elapsed());
                }
                !answered
            });
            if let (true, Some(first)) = (waiting.is_empty(), first) {
                let all = aurora.started.elapsed();
                return Ok(Readiness { first, all });
            }
            aurora.check_running()?;
            thread::sleep(Duration::from_millis(2));
        }
        bail!(
            "{waiting:?} did not answer within {} s:\n{}",
            READY_WAIT_MAX.as_secs(),
            aurora.output_tail()
        )
    }

    /// Returns the example of a version that is in the registry.
    pub fn example(&self, model: &str, version: &str) -> Result<Example> {
        Example::read(&self.scenario.registry(&self.data()), model, version)
            .with_context(|| format!("no readable metadata of {model} {version}"))
    }

    /// Returns the model that has a canary, which the scenarios move.
    pub fn canary_model(&self) -> Result<String> {
        for model in self.scenario.models() {
            if self.scenario.pins(&model)?.canary.is_some() {
                return Ok(model);
            }
        }
        bail!("no MLDeployment of {} has a canary", self.scenario.environment())
    }
}
