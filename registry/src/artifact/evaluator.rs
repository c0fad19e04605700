//! What answers for a model: the engine in this process, or a process of its own.

use std::fmt;
use std::sync::Arc;

use engine::{Buffer, Limits, Program, Symbol, Symbols, Tensor};
use planner::engine::Engine;
use planner::finding::Disposition;

use super::ArtifactError;

/// The longest text that such a model may give, in bytes: they are labels.
pub const FOREIGN_TEXT_BYTES_MAX: usize = 1 << 10;

/// Evaluates one model that the engine may refuse, in a process of its own.
///
/// Texts are numbered by the [`Symbols`] of a request, since such a model's own are not known.
pub trait Foreign: fmt::Debug + Send + Sync {
    /// Returns what it takes; of each shape all but the rows is fixed.
    fn inputs(&self) -> &[Tensor];

    /// Returns what it gives.
    fn outputs(&self) -> &[Tensor];

    /// Answers `rows` rows: a buffer for each input, row-major; returns one for each output, each of its tensor's type and
    /// length, no text longer than [`FOREIGN_TEXT_BYTES_MAX`]. Blocks until the other process has answered, up to a deadline of its own.
    ///
    /// # Errors
    ///
    /// The process has ended, does not answer in time, or refuses these rows.
    fn answer(
        &self,
        inputs: &[Buffer],
        rows: usize,
        symbols: &mut Symbols,
    ) -> Result<Vec<Buffer>, Unanswered>;
}

/// Says why rows that fit a model's signature have no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// What evaluates it refuses these rows: another time it would again.
    #[error("{0}")]
    Refused(String),
    /// A row holds what the model says that it has no answer to.
    #[error(transparent)]
    UnknownCategory(#[from] engine::UnknownCategory),
    /// Nothing evaluates it now: a later request may be answered.
    #[error("{0}")]
    Unavailable(String),
}

impl Unanswered {
    /// Says what happens next.
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::Refused(_) | Self::UnknownCategory(_) => Disposition::Invalid,
            Self::Unavailable(_) => Disposition::Transient,
        }
    }
}

/// Starts what evaluates models that the engine may refuse.
pub trait Starts: fmt::Debug + Send + Sync {
    /// Starts a process for an artifact, and lets it check all of it.
    ///
    /// # Errors
    ///
    /// It refuses the artifact, or cannot be started.
    fn start(&self, artifact: Arc<[u8]>) -> Result<Box<dyn Foreign>, ArtifactError>;
}

/// What models may be evaluated by in this process: `engine`, and what it was given beside it.
#[derive(Debug, Clone, Default)]
pub struct Engines {
    onnx_runtime: Option<Arc<dyn Starts>>,
}

impl Engines {
    /// Takes what starts ONNX Runtime.
    pub fn with_onnx_runtime(starts: Arc<dyn Starts>) -> Self {
        Self {
            onnx_runtime: Some(starts),
        }
    }

    /// Says whether models of an engine can be evaluated.
    pub const fn have(&self, engine: Engine) -> bool {
        match engine {
            Engine::Aurora => true,
            Engine::OnnxRuntime => self.onnx_runtime.is_some(),
        }
    }

    /// Returns what starts ONNX Runtime.
    pub(super) fn onnx_runtime(&self) -> Result<&dyn Starts, ArtifactError> {
        self.onnx_runtime.as_deref().ok_or(ArtifactError::NoOnnxRuntime)
    }
}

/// What answers for one model.
#[derive(Debug)]
pub(super) enum Evaluator {
    /// The engine, in this process.
    Program(Box<Program>),
    /// Another process.
    Foreign {
        foreign: Box<dyn Foreign>,
        /// The metadata that stands in its file.
        properties: Vec<(String, String)>,
    },
}

impl Evaluator {
    pub(super) fn inputs(&self) -> &[Tensor] {
        match self {
            Self::Program(program) => program.inputs(),
            Self::Foreign { foreign, .. } => foreign.inputs(),
        }
    }

    pub(super) fn outputs(&self) -> &[Tensor] {
        match self {
            Self::Program(program) => program.outputs(),
            Self::Foreign { foreign, .. } => foreign.outputs(),
        }
    }

    pub(super) fn properties(&self) -> &[(String, String)] {
        match self {
            Self::Program(program) => program.properties(),
            Self::Foreign { properties, .. } => properties,
        }
    }

    pub(super) const fn program(&self) -> Option<&Program> {
        match self {
            Self::Program(program) => Some(program),
            Self::Foreign { .. } => None,
        }
    }

    /// Returns the symbol of a text of a request; [`None`] where it has more of them than are taken.
    pub(super) fn symbol(&self, text: &[u8], symbols: &mut Symbols) -> Option<Symbol> {
        match self {
            Self::Program(program) => Some(program.symbol(text)),
            Self::Foreign { .. } => symbols.add(text, &Limits::default()).ok(),
        }
    }

    /// Returns the text of a symbol of a request or an answer.
    pub(super) fn text<'a>(&'a self, symbol: Symbol, symbols: &'a Symbols) -> Option<&'a [u8]> {
        match self {
            Self::Program(program) => program.text(symbol),
            Self::Foreign { .. } => symbols.text(symbol),
        }
    }
}
