//! The repository that the kills happen over: one model that moves with every commit, and one that stands still.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use benchmark::scenario::{Pins, Scenario};

use super::disk::Phase;
use crate::random::Random;

/// The environment's name.
pub(super) const ENVIRONMENT: &str = "kill";
/// The model whose pins move.
pub(super) const MOVING: &str = "moving";
/// The model that nobody touches.
pub(super) const STEADY: &str = "steady";
/// The version of the model that nobody touches.
pub(super) const STEADY_VERSION: &str = "v20260101-000000";

/// What a commit does to the moving model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The canary, if any, becomes stable, and a version that does not exist yet is trained and becomes the canary.
    Train,
    /// The canary becomes stable.
    Promote,
    /// The canary leaves.
    Withdraw,
    /// The canary's weight changes.
    Weigh,
}

/// The repository and what its head declares.
pub(super) struct KillScenario {
    repository: Scenario,
    file: PathBuf,
    /// The moving model's pins.
    pub(super) declared: Pins,
    /// How many versions of the moving model were asked for.
    versions: u32,
}

impl Change {
    /// Picks a change in whose course `aim` occurs.
    pub(super) fn for_phase(aim: Phase, declared: &Pins, random: &mut Random) -> Self {
        let has_canary = declared.canary.is_some();
        let candidates: &[Self] = match (aim, has_canary) {
            (Phase::Train | Phase::Publish, _) | (_, false) => &[Self::Train],
            (Phase::Alias | Phase::Swap, true) => &[Self::Train, Self::Promote, Self::Withdraw],
            (Phase::Reconcile | Phase::Idle, true) => {
                &[Self::Train, Self::Promote, Self::Withdraw, Self::Weigh]
            }
        };
        candidates[random.below(candidates.len())]
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "promote and train",
            Self::Promote => "promote",
            Self::Withdraw => "withdraw",
            Self::Weigh => "weigh",
        })
    }
}

impl KillScenario {
    /// Makes the repository with one version on stable.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let environment = folder.join("environments").join(ENVIRONMENT);
        fs::create_dir_all(&environment)?;
        fs::write(environment.join("environment.yaml"), ENVIRONMENT_MANIFEST)?;
        fs::write(environment.join("steady.yaml"), steady())?;
        let file = environment.join("moving.yaml");
        let declared = Pins {
            stable: version(1),
            canary: None,
        };
        fs::write(&file, moving(&declared, 1))?;
        Ok(Self {
            repository: Scenario::from_folder(folder, ENVIRONMENT)?,
            file,
            declared,
            versions: 1,
        })
    }

    /// Returns the repository's folder.
    pub(super) fn folder(&self) -> &Path {
        self.repository.folder()
    }

    /// Commits a change.
    pub(super) fn commit(&mut self, change: Change, random: &mut Random) -> Result<()> {
        let weight = u8::try_from(1 + random.below(99))?;
        let Pins { stable, canary } = self.declared.clone();
        let canary_version = canary.map(|(version, _weight)| version);
        self.declared = match change {
            Change::Train => {
                self.versions += 1;
                Pins {
                    stable: canary_version.unwrap_or(stable),
                    canary: Some((version(self.versions), weight)),
                }
            }
            Change::Promote => Pins {
                stable: canary_version.unwrap_or(stable),
                canary: None,
            },
            Change::Withdraw => Pins { stable, canary: None },
            Change::Weigh => Pins {
                stable,
                canary: canary_version.map(|version| (version, weight)),
            },
        };
        fs::write(&self.file, moving(&self.declared, self.versions))?;
        self.repository.commit_all(&format!("{MOVING}: {change}"))?;
        Ok(())
    }
}

/// Returns the name of the n-th version.
fn version(number: u32) -> String {
    format!(
        "v20260102-{:02}{:02}{:02}",
        number / 3600,
        number / 60 % 60,
        number % 60
    )
}

const ENVIRONMENT_MANIFEST: &str = "\
apiVersion: aurora.io/v1alpha1
kind: MLEnvironment
metadata: { name: kill }
spec: { target: Standalone }
";

fn steady() -> String {
    format!(
        "\
apiVersion: aurora.io/v1alpha1
kind: MLDeployment
metadata: {{ name: {STEADY} }}
spec:
  modelName: {STEADY}
  stable: {{ version: {STEADY_VERSION} }}
---
apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata: {{ name: {STEADY} }}
spec:
  modelName: {STEADY}
  version: {STEADY_VERSION}
  dataset: {{ uri: \"builtin:iris\" }}
  algorithm: logistic_regression
  evaluation: {{ metric: accuracy, holdout: {{ percent: 20, seed: 0 }} }}
"
    )
}

/// Declares the pins, and a job for the newest version. Another holdout gives each version other training rows, and so
/// another digest.
fn moving(pins: &Pins, newest: u32) -> String {
    let canary = pins
        .canary
        .as_ref()
        .map_or_else(String::new, |(version, weight)| {
            format!("  canary: {{ version: {version}, weight: {weight} }}\n")
        });
    format!(
        "\
apiVersion: aurora.io/v1alpha1
kind: MLDeployment
metadata: {{ name: {MOVING} }}
spec:
  modelName: {MOVING}
  stable: {{ version: {} }}
{canary}---
apiVersion: aurora.io/v1alpha1
kind: MLTrainingJob
metadata: {{ name: {MOVING} }}
spec:
  modelName: {MOVING}
  version: {}
  dataset: {{ uri: \"builtin:wine-quality\" }}
  algorithm: gradient_boosting
  hyperparameters: {{ trees: 400, max_leaves: 8 }}
  evaluation: {{ metric: r2, holdout: {{ percent: 20, seed: {newest} }} }}
",
        pins.stable,
        version(newest)
    )
}
