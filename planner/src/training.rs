//! What a training job fits, on which data, and what its result must reach.

mod address;
mod command;
mod committed;
mod hyperparameters;
mod import;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::names::{Digest, ModelName, Version};
use crate::pod::Pod;
use crate::schedule::Schedule;
use crate::shown::escape;

pub use address::{Address, Prefix, Scheme};
pub use command::Command;
pub use committed::CommittedFile;
pub use hyperparameters::{Hyperparameter, Values};
pub use import::{FileName, Import, ImportSource, Outputs, SignatureSource, Told};

/// The spec of an MLTrainingJob.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// The registered model that gets the version.
    pub model: ModelName,
    /// When a run starts and what its version is called.
    pub runs: RunPolicy,
    /// The rows, and what is measured on them; absent of an import that nobody evaluates.
    #[serde(flatten)]
    pub rows: Option<Rows>,
    /// What makes the model.
    #[serde(flatten)]
    pub fit: Fit,
    /// What checks and evaluates the model, and is to serve it.
    #[serde(default, skip_serializing_if = "Engine::is_own")]
    pub engine: Engine,
    /// Its settings by name; a name absent here has the algorithm's default.
    pub hyperparameters: BTreeMap<String, f64>,
    /// The seed of all randomness of the run.
    pub seed: u64,
    /// The longest that a run may take, in seconds.
    pub active_deadline_seconds: u64,
    /// No run starts while true; a run under way goes on.
    pub suspend: bool,
    /// Settings of the pods of its runs in a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Box<Pod>>,
}

impl Training {
    /// Returns the schedule, to say what its zone is read by.
    pub fn schedule_mut(&mut self) -> Option<&mut Schedule> {
        match &mut self.runs {
            RunPolicy::Scheduled { schedule, .. } => Some(schedule),
            RunPolicy::Fixed(_) | RunPolicy::PerInputs => None,
        }
    }

    /// Says whether predictions are classes rather than numbers.
    pub const fn is_classifier(&self) -> bool {
        match &self.fit {
            Fit::Algorithm(algorithm) => algorithm.is_classifier(),
            Fit::Container(_) | Fit::Command(_) | Fit::Import(_) => match &self.rows {
                Some(rows) => rows.evaluation.metric.is_of_classes(),
                None => false,
            },
        }
    }

    /// Says what makes its versions, and whether nobody evaluates them.
    pub fn by(&self) -> String {
        match &self.rows {
            Some(_) => self.fit.to_string(),
            None => format!("{}, not evaluated", self.fit),
        }
    }

    /// Returns the files of the commit that a run reads, each with its digest where that is known.
    pub fn committed(&self) -> impl Iterator<Item = (Cow<'_, str>, Option<Digest>)> {
        let rows = self.sources().filter_map(|(source, sha256)| match source {
            DataSource::Committed(path) => Some((Cow::Borrowed(path.as_str()), sha256)),
            DataSource::Absolute(_) | DataSource::Builtin(_) | DataSource::Synthetic(_) => None,
        });
        let imported = self.fit.import().into_iter().flat_map(Import::committed);
        let run = self.fit.command().into_iter().flat_map(|command| &command.files);
        let signature = self.fit.import().and_then(Import::committed_signature);
        rows.chain(imported.map(|(path, digest)| (path, Some(digest))))
            .chain(
                run.chain(signature)
                    .map(|file| (Cow::Borrowed(file.path.as_str()), file.sha256)),
            )
    }

    /// Returns the paths outside the commit that a run reads.
    pub fn outside(&self) -> impl Iterator<Item = &str> {
        self.sources().filter_map(|(source, _sha256)| match source {
            DataSource::Absolute(path) => Some(path.as_str()),
            DataSource::Committed(_) | DataSource::Builtin(_) | DataSource::Synthetic(_) => None,
        })
    }

    /// Returns where its rows come from, those of a holdout of its own included.
    pub fn sources(&self) -> impl Iterator<Item = (&DataSource, Option<Digest>)> {
        self.rows.iter().flat_map(Rows::sources).flatten()
    }

    /// Says whether what it is trained from is known only once its file is read: it lies at a path, and no digest is
    /// given.
    pub fn has_open_data(&self) -> bool {
        self.sources()
            .any(|(source, sha256)| matches!(source, DataSource::Absolute(_)) && sha256.is_none())
    }
}

/// The rows of a run, and what is measured on those that are held out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    /// The rows and what they mean.
    pub dataset: Dataset,
    /// The metric that decides whether the result is published.
    pub evaluation: Evaluation,
}

impl Rows {
    /// Returns where the dataset comes from, and a holdout of its own where it has one, each with its digest where that is known.
    pub fn sources(&self) -> [Option<(&DataSource, Option<Digest>)>; 2] {
        let Self { dataset, evaluation } = self;
        let holdout = match &evaluation.holdout {
            Holdout::File { source, sha256 } => Some((source, *sha256)),
            Holdout::Percent { .. } => None,
        };
        [Some((&dataset.source, dataset.sha256)), holdout]
    }

    /// Returns the files of the dataset and of the holdout, as `find` finds them.
    ///
    /// # Errors
    ///
    /// The first of `find`.
    pub fn files<T, E>(
        &self,
        mut find: impl FnMut(&DataSource, Option<Digest>) -> Result<Option<T>, E>,
    ) -> Result<[Option<T>; 2], E> {
        let mut found = [None, None];
        for (file, source) in found.iter_mut().zip(self.sources()) {
            if let Some((source, sha256)) = source {
                *file = find(source, sha256)?;
            }
        }
        Ok(found)
    }
}

/// When runs happen: the three ways of docs/design.md, "Version of a run".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum RunPolicy {
    /// Trained once, and only if the registry lacks the version.
    Fixed(Version),
    /// One run per set of inputs; the version is the committer time of the job's revision.
    PerInputs,
    /// One run per slot of the schedule; the version is the slot in UTC.
    Scheduled {
        /// The slots.
        schedule: Schedule,
        /// A slot missed by more than this is skipped, in seconds. Absent: any missed slot is caught up with the newest one.
        starting_deadline_seconds: Option<u64>,
        /// What a slot does while the run before it goes on.
        concurrency: Concurrency,
    },
}

/// What a slot does while the run before it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Concurrency {
    /// The slot is skipped.
    Forbid,
    /// The run under way is stopped, the new one starts.
    Replace,
    /// Both run.
    Allow,
}

impl Concurrency {
    /// Returns the name that a manifest gives it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forbid => "Forbid",
            Self::Replace => "Replace",
            Self::Allow => "Allow",
        }
    }
}

/// The rows of a training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dataset {
    /// Where the rows come from.
    pub source: DataSource,
    /// The SHA-256 of the file; resolved by the reconciler for a file of the commit, absent for `builtin:` and `synthetic:`.
    pub sha256: Option<Digest>,
    /// The model's inputs in order; empty: every column but the target and `exclude`, as it is.
    pub features: Vec<Feature>,
    /// The columns that are no features, where none are listed: all others but the target are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// What is predicted; absent: the dataset's own (only `builtin:` and `synthetic:` have one).
    pub target: Option<Target>,
}

/// Where rows come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataSource {
    /// `builtin:NAME`: data that ships in the binary.
    Builtin(String),
    /// `synthetic:NAME`: drawn from the job's seed.
    Synthetic(String),
    /// A file of the same commit, relative to the manifest's folder.
    Committed(String),
    /// An absolute path; its digest is given.
    Absolute(String),
}

impl DataSource {
    /// The names behind `builtin:`.
    pub const BUILTIN: [&str; 2] = ["iris", "wine-quality"];

    /// The names behind `synthetic:`.
    pub const SYNTHETIC: [&str; 3] = ["blobs", "friedman1", "linear"];
}

/// One input of the model and how it derives from raw columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    /// Its name in the model's signature.
    pub name: String,
    /// How it is computed.
    pub derivation: Derivation,
}

/// How a feature derives from raw columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Derivation {
    /// The column as it is.
    #[serde(rename = "column")]
    Column(String),
    /// The first column divided by the second; a zero denominator is refused.
    #[serde(rename = "ratio")]
    Ratio([String; 2]),
}

/// What is predicted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The raw column.
    pub column: String,
    /// What its values are divided by; finite, not zero.
    pub divide_by: Option<f64>,
    /// What one unit of a prediction means, e.g. `100,000 USD`.
    pub unit: Option<String>,
}

/// What makes the model of the rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// One of Aurora's own.
    Algorithm(Algorithm),
    /// A program of somebody else in an image: in a cluster only.
    Container(Box<Container>),
    /// A program of the commit: on one machine only.
    Command(Box<Command>),
    /// Nobody here: it was made elsewhere.
    Import(Box<Import>),
}

impl Fit {
    /// Returns the algorithm, where it is one of Aurora's own.
    pub const fn algorithm(&self) -> Option<Algorithm> {
        match self {
            Self::Algorithm(algorithm) => Some(*algorithm),
            Self::Container(_) | Self::Command(_) | Self::Import(_) => None,
        }
    }

    /// Returns the program of the commit, where it is one.
    pub const fn command(&self) -> Option<&Command> {
        match self {
            Self::Command(command) => Some(command),
            Self::Algorithm(_) | Self::Container(_) | Self::Import(_) => None,
        }
    }

    /// Returns what is imported, where something is.
    pub const fn import(&self) -> Option<&Import> {
        match self {
            Self::Import(import) => Some(import),
            Self::Algorithm(_) | Self::Container(_) | Self::Command(_) => None,
        }
    }
}

/// As a plan names it.
impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Algorithm(algorithm) => f.write_str(algorithm.as_str()),
            Self::Container(container) => write!(f, "container {}", escape(&container.image)),
            Self::Command(command) => command.fmt(f),
            Self::Import(import) => import.fmt(f),
        }
    }
}

/// A program in an image: it is given the rows that a fit may see, and writes a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// The image.
    pub image: String,
    /// The program and its first arguments; empty: the image's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// The arguments after them; empty: the image's own, unless there is a command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
}

/// What is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Ordinary least squares.
    LinearRegression,
    /// Gradient-boosted regression trees, squared loss.
    GradientBoosting,
    /// Multinomial logistic regression: the one classifier.
    LogisticRegression,
}

impl Algorithm {
    /// All, in the order in which documentation lists them.
    pub const ALL: [Self; 3] = [
        Self::LinearRegression,
        Self::GradientBoosting,
        Self::LogisticRegression,
    ];

    /// Returns the name that a manifest gives it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LinearRegression => "linear_regression",
            Self::GradientBoosting => "gradient_boosting",
            Self::LogisticRegression => "logistic_regression",
        }
    }

    /// Says whether predictions are classes rather than numbers.
    pub const fn is_classifier(self) -> bool {
        matches!(self, Self::LogisticRegression)
    }
}

/// The metric that decides, its bound, and the rows it is measured on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// What is measured.
    pub metric: Metric,
    /// The value that must be reached: a minimum or a maximum, as the metric has it. Absent: measured, not enforced.
    pub bound: Option<f64>,
    /// The rows it is measured on, which the fit never sees.
    pub holdout: Holdout,
}

/// What is measured on the holdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Coefficient of determination.
    R2,
    /// Root of the mean squared error, in the target's unit.
    Rmse,
    /// Mean absolute error, in the target's unit.
    Mae,
    /// Share of rows whose class is right.
    Accuracy,
    /// Mean negative log-probability of the right class, probabilities clipped at 1e-15.
    LogLoss,
}

impl Metric {
    /// All, in the order in which documentation lists them.
    pub const ALL: [Self; 5] = [Self::R2, Self::Rmse, Self::Mae, Self::Accuracy, Self::LogLoss];

    /// Returns the name that a manifest gives it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::R2 => "r2",
            Self::Rmse => "rmse",
            Self::Mae => "mae",
            Self::Accuracy => "accuracy",
            Self::LogLoss => "log_loss",
        }
    }

    /// Says whether a larger value is better: then a bound is a `minimum`, else a `maximum`.
    pub const fn larger_is_better(self) -> bool {
        matches!(self, Self::R2 | Self::Accuracy)
    }

    /// Says whether the metric is of classes rather than of numbers.
    pub const fn is_of_classes(self) -> bool {
        matches!(self, Self::Accuracy | Self::LogLoss)
    }
}

/// The rows that the fit never sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Holdout {
    /// The rows whose keyed hash falls below the percentage (docs/design.md, "Holdout").
    Percent {
        /// 1 to 99.
        percent: u8,
        /// The key of the hash.
        seed: u64,
    },
    /// The rows of a file of the same columns, relative to the manifest's folder or absolute.
    File {
        /// The file.
        source: DataSource,
        /// Its SHA-256, resolved as the dataset's.
        sha256: Option<Digest>,
    },
}
