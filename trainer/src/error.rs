//! What can go wrong with a run, one variant per stage, sorted by what happens next.

use planner::finding::Disposition;
use planner::training::Metric;
use planner::trust::HOW_TO_SIGN;
use registry::StoreError;
use registry::artifact::{ArtifactError, PredictError, Unanswered};
use registry::run::Ending;

use crate::algorithm::FitError;
use crate::dataset::ReadError;
use crate::external::ExternalError;
use crate::features::DeriveError;
use crate::holdout::SplitError;
use crate::imported::ImportError;
use crate::imported::signer::Unsigned;
use crate::means::Unmet;
use crate::pushed::PushError;
use crate::record::TooWide;
use crate::trainable::Fault;

/// Why a run did not publish.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrainError {
    /// The model is made by somebody else's program.
    #[error(
        "a job with a container is run in a cluster, and here nothing is fitted for it: train by an algorithm"
    )]
    Container,
    #[error("the job has no rows, and only an import does without: add `dataset` and `evaluation`")]
    NoRows,
    #[error("failed to open the registry: {0}")]
    Open(StoreError),
    #[error("failed to read the data: {0}")]
    Read(#[from] ReadError),
    #[error("failed to derive the features: {0}")]
    Derive(#[from] DeriveError),
    #[error("failed to split off the holdout: {0}")]
    Split(#[from] SplitError),
    #[error("failed to record: {0}")]
    Record(#[from] TooWide),
    #[error("the trainer's model cannot be published: {0}")]
    External(#[from] ExternalError),
    #[error("failed to import the model: {0}")]
    Import(#[from] ImportError),
    #[error("the model cannot be imported: {0}{advice}", advice = .0.advice())]
    Unusable(PushError),
    #[error("failed to fetch the model: {0}")]
    Fetch(#[from] Unmet),
    /// Somebody must have signed what is imported, and nobody who is trusted did.
    #[error("the model is not imported: {0}{advice}", advice = how_to_sign(.0))]
    Unsigned(Unsigned),
    #[error("failed to run the job's command: {0}")]
    Command(Unmet),
    /// A copy that was staged for the run is not the file of the commit.
    #[error("the staged copy of {0} is missing or damaged: it is staged again before the next attempt")]
    Unstaged(String),
    #[error("failed to hand over the training rows: {0}")]
    HandOver(std::io::Error),
    #[error("failed to fit: {0}")]
    Fit(#[from] FitError),
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// The rows that a model may have been fitted to cannot be told.
    #[error("failed to look for what the model may have been fitted to: {0}")]
    Attest(#[from] Fault),
    #[error("failed to publish: {0}")]
    Publish(StoreError),
}

/// Why a fitted model is not published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EvaluateError {
    /// The bound was missed.
    #[error(
        "the {} of {value:.6} on {rows} held-out rows misses the {} of {bound}: nothing was published", metric.as_str(), bound_word(*metric)
    )]
    Missed {
        metric: Metric,
        value: f64,
        bound: f64,
        rows: usize,
    },
    /// The metric is of the other kind of target.
    #[error("{} is no metric of {algorithm}: take {fitting}", metric.as_str())]
    OtherKind {
        metric: Metric,
        algorithm: &'static str,
        fitting: String,
    },
    /// A held-out row is none that the model takes, or has no answer.
    #[error("a held-out row: {0}")]
    Row(#[from] PredictError),
    /// What evaluates the model gives no answer for the training rows.
    #[error("the training rows: {0}")]
    Unanswered(#[from] Unanswered),
    /// The metric needs what the model does not give.
    #[error("the model gives no probabilities, which {} is measured by: take another metric", metric.as_str())]
    NotGiven { metric: Metric },
    /// A held-out row is predicted as no finite number.
    #[error("the model predicts {value} for held-out row {row}: scale the features or the target")]
    NotFinite { value: f64, row: usize },
    /// The errors are too large to be measured.
    #[error("the {} on the holdout is {value}: scale the target", metric.as_str())]
    Immeasurable { metric: Metric, value: f64 },
    /// Our own invariant broke: the artifact is not what was fitted.
    #[error(
        "the artifact predicts {artifact} for held-out row {row}, and the fitted model {fitted}: \
         move the features closer to 0 (an offset takes their digits), or report a defect of aurora"
    )]
    SelfCheck { row: usize, artifact: f64, fitted: f64 },
    /// Our own invariant broke: the artifact cannot be read back.
    #[error(
        "the artifact cannot be read back ({0}): take fewer trees or leaves, or report this as a defect of aurora"
    )]
    Unreadable(#[from] ArtifactError),
}

fn bound_word(metric: Metric) -> &'static str {
    if metric.larger_is_better() {
        "minimum"
    } else {
        "maximum"
    }
}

/// Says what to do about a model that nobody has signed; where a signature does not come, that says what to do.
fn how_to_sign(why: &Unsigned) -> String {
    match why {
        Unsigned::Fetch(_) => String::new(),
        Unsigned::Unnamed | Unsigned::Refused { .. } | Unsigned::Uncovered { .. } => {
            format!("; {HOW_TO_SIGN}")
        }
    }
}

impl TrainError {
    /// Says what happens next: whoever is at fault must act, or the run may be tried again.
    pub(crate) fn disposition(&self) -> Disposition {
        match self {
            Self::Fetch(unmet) | Self::Command(unmet) | Self::Unsigned(Unsigned::Fetch(unmet)) => {
                unmet.disposition
            }
            Self::Read(ReadError::Io { .. } | ReadError::Damaged { .. } | ReadError::Staged(_)) => {
                Disposition::Transient
            }
            Self::Unusable(PushError::Artifact(error))
            | Self::External(ExternalError::Unreadable(error))
            | Self::Evaluate(EvaluateError::Unreadable(error)) => error.disposition(),
            Self::Evaluate(
                EvaluateError::Row(PredictError::Unanswered(error)) | EvaluateError::Unanswered(error),
            ) => error.disposition(),
            Self::Read(_)
            | Self::Container
            | Self::NoRows
            | Self::Unusable(_)
            | Self::Unsigned(_)
            | Self::Derive(_)
            | Self::Split(_)
            | Self::Record(_)
            | Self::Import(ImportError::TooLarge(_))
            | Self::Fit(_)
            | Self::External(_)
            | Self::Evaluate(_)
            | Self::Publish(StoreError::Exists { .. } | StoreError::Draft { .. }) => Disposition::Invalid,
            // Whether a store or its disk is at fault, the same inputs may be published once that is repaired.
            Self::Unstaged(_)
            | Self::Open(_)
            | Self::HandOver(_)
            | Self::Import(_)
            | Self::Attest(_)
            | Self::Publish(_) => Disposition::Transient,
        }
    }

    /// Says how a run ends that ends so.
    pub(crate) fn ending(&self) -> Ending {
        let message = self.to_string();
        match self.disposition() {
            Disposition::Invalid => Ending::Refused { message },
            Disposition::Waiting | Disposition::Transient => Ending::Transient { message },
        }
    }
}
