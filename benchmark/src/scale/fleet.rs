//! An environment of any number of small models: one file per model with a deployment and the job that trains it, and a
//! folder for each hundred. In one folder, Git itself would write and read a tree of all files for each commit.
//!
//! The first [`CANARIES`] have a second version as canary, whose weight commits move. Each model has a holdout of its
//! own, so that no two artifacts are the same.

use std::fmt::Write as _;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use git2::Oid;

use super::answers::Pin;
use crate::scenario::{Pins, Scenario};

/// The environment's name.
pub(crate) const ENVIRONMENT: &str = "scale";
/// What every model has as stable.
pub(crate) const STABLE: &str = "v20261101-120000";
/// What some have as canary.
pub(crate) const CANARY: &str = "v20261120-093000";
/// How many models have a canary.
pub(crate) const CANARIES: usize = 4;
/// The environment on one machine.
pub(crate) const STANDALONE: &str = "{ target: Standalone }";
/// How many models a folder has.
const FOLDER: usize = 100;
/// How many percent of the rows are held out; the seed of the holdout is the model's index.
pub(crate) const HOLDOUT_PERCENT: u8 = 20;

/// The repository of an environment.
#[derive(Debug)]
pub(crate) struct Fleet {
    scenario: Scenario,
    models: usize,
}

impl Fleet {
    /// Declares an environment by its spec, and `models` models in the repository at `folder`, which may already declare some
    /// of them, and commits.
    pub(crate) fn declare(folder: &Path, spec: &str, models: usize) -> Result<Self> {
        let inside = folder.join("environments").join(ENVIRONMENT);
        fs::create_dir_all(&inside).with_context(|| format!("failed to make {}", inside.display()))?;
        let environment = format!(
            "apiVersion: aurora.io/v1alpha1\nkind: MLEnvironment\nmetadata: {{ name: {ENVIRONMENT} }}\n\
             spec: {spec}\n"
        );
        fs::write(inside.join("environment.yaml"), environment)?;
        for index in 0..models {
            let folder = inside.join(format!("{:03}", index / FOLDER));
            fs::create_dir_all(&folder)?;
            let file = folder.join(format!("{}.yaml", model_name(index)));
            fs::write(file, manifest(index))?;
        }
        Ok(Self {
            scenario: Scenario::from_folder(folder, ENVIRONMENT)?,
            models,
        })
    }

    /// Returns the repository's folder.
    pub(crate) fn folder(&self) -> &Path {
        self.scenario.folder()
    }

    /// Returns the folder that holds the registry's `aurora/`, for a data directory.
    pub(crate) fn registry(&self, data: &Path) -> PathBuf {
        self.scenario.registry(data)
    }

    /// Returns what every track of every model must serve.
    pub(crate) fn pins(&self) -> Vec<Pin> {
        let pin = |index: usize, track, version| Pin {
            model: model_name(index),
            track,
            version,
        };
        (0..self.models)
            .map(|index| pin(index, "stable", STABLE))
            .chain(canaries(self.models).map(|index| pin(index, "canary", CANARY)))
            .collect()
    }

    /// Moves the weight of one model's canary by a commit.
    pub(crate) fn move_weight(&self, index: usize, weight: u8) -> Result<Oid> {
        let canary = Some((CANARY.to_owned(), weight));
        self.pin(index, STABLE, canary, &format!("weight {weight}"))
    }

    /// Changes what a model pins by a commit.
    pub(crate) fn pin(
        &self,
        index: usize,
        stable: &str,
        canary: Option<(String, u8)>,
        message: &str,
    ) -> Result<Oid> {
        let model = model_name(index);
        let pins = Pins {
            stable: stable.to_owned(),
            canary,
        };
        self.scenario
            .commit(&model, &pins, &format!("{model}: {message}"))
    }
}

/// Returns the indices of the models with a canary.
pub(crate) fn canaries(models: usize) -> Range<usize> {
    0..CANARIES.min(models)
}

/// Returns a model's name, which is its job's and its deployment's too.
pub(crate) fn model_name(index: usize) -> String {
    format!("model-{index:05}")
}

fn manifest(index: usize) -> String {
    let model = model_name(index);
    let mut text = job(&model, &model, STABLE, index, "");
    let mut canary = String::new();
    if index < CANARIES {
        text += &job(
            &format!("{model}-canary"),
            &model,
            CANARY,
            index,
            "  hyperparameters: { l2: 0.5 }\n",
        );
        canary = format!("  canary: {{ version: {CANARY}, weight: 0 }}\n");
    }
    let _infallible = write!(
        text,
        "---\napiVersion: aurora.io/v1alpha1\nkind: MLDeployment\nmetadata: {{ name: {model} }}\nspec:\n  \
         modelName: {model}\n  stable: {{ version: {STABLE} }}\n{canary}"
    );
    text
}

fn job(name: &str, model: &str, version: &str, seed: usize, settings: &str) -> String {
    format!(
        "---\napiVersion: aurora.io/v1alpha1\nkind: MLTrainingJob\nmetadata: {{ name: {name} }}\nspec:\n  \
         modelName: {model}\n  version: {version}\n  dataset: {{ uri: builtin:iris }}\n  \
         algorithm: logistic_regression\n{settings}  evaluation:\n    metric: accuracy\n    \
         holdout: {{ percent: {HOLDOUT_PERCENT}, seed: {seed} }}\n"
    )
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_model_is_a_job_and_a_deployment_and_some_have_a_canary() {
        expect![[r"
            ---
            apiVersion: aurora.io/v1alpha1
            kind: MLTrainingJob
            metadata: { name: model-00042 }
            spec:
              modelName: model-00042
              version: v20261101-120000
              dataset: { uri: builtin:iris }
              algorithm: logistic_regression
              evaluation:
                metric: accuracy
                holdout: { percent: 20, seed: 42 }
            ---
            apiVersion: aurora.io/v1alpha1
            kind: MLDeployment
            metadata: { name: model-00042 }
            spec:
              modelName: model-00042
              stable: { version: v20261101-120000 }
        "]]
        .assert_eq(&manifest(42));
        let first = manifest(0);
        assert!(first.contains("name: model-00000-canary") && first.contains("weight: 0"));
    }

    #[test]
    fn a_repository_grows_and_a_commit_moves_one_weight() {
        let folder = tempfile::tempdir().unwrap();
        let first = Fleet::declare(folder.path(), STANDALONE, 1).unwrap();
        assert_eq!(first.pins().len(), 2);
        let fleet = Fleet::declare(folder.path(), STANDALONE, 6).unwrap();
        assert_eq!(fleet.pins().len(), 6 + CANARIES);
        fleet.move_weight(3, 100).unwrap();
        let again = Scenario::from_folder(folder.path(), ENVIRONMENT).unwrap();
        let weight = |model: &str| again.pins(model).unwrap().canary.map(|(_version, weight)| weight);
        assert_eq!(weight("model-00003"), Some(100));
        assert_eq!(weight("model-00002"), Some(0));
        assert_eq!(weight("model-00005"), None);
    }
}
