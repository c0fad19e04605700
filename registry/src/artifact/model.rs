//! A model that was read: what it takes and gives, what its outputs mean, and its answers.

use std::collections::HashMap;
use std::iter;
use std::sync::{Arc, Mutex, PoisonError};

use engine::{Buffer, Limits, Program, Scratch, Symbol, Symbols, Tensor, Type};
use planner::engine::Engine;

use super::evaluator::{Engines, Evaluator, Unanswered};
use super::filling::{Filling, Inputs, Value};
use super::{ArtifactError, meaning, signature};
use crate::metadata::{Cell, Labels, Signature};

/// The most buffers that are kept for the next answers: more are under way together only where more threads are.
const KEPT_MAX: usize = 8;

/// A model, ready to answer. Immutable, and shared between threads.
#[derive(Debug)]
pub struct Model {
    evaluator: Evaluator,
    signature: Signature,
    origin: Origin,
    gives: Gives,
    /// For each feature the input that it is a column of.
    inputs: Box<[usize]>,
    /// What answers wrote into and the next ones write into again.
    scratches: Mutex<Vec<Scratch>>,
}

/// Where a model's signature stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// In a property of the artifact.
    Property,
    /// Nowhere: it is what the graph says by itself.
    Graph,
}

/// What the outputs of a model mean, by their places among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gives {
    /// Numbers.
    Numbers {
        /// The output that has them.
        prediction: usize,
    },
    /// A class for each row.
    Classes {
        /// The output that names it.
        label: usize,
        /// The output that says how likely each class is, in the order of the signature's labels.
        probabilities: Option<usize>,
    },
}

/// What a model says of `n` rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Predictions {
    /// Numbers, row-major; one for each row, unless the model predicts several at once.
    Numbers(Vec<f64>),
    /// A classification.
    Classes {
        /// The index of each row's label; [`None`] for one that the signature does not list.
        index: Vec<Option<usize>>,
        /// Row-major, `n × k`; empty where the model gives none.
        probabilities: Vec<f64>,
        /// How many labels there are.
        k: usize,
    },
}

/// Says why rows of cells have no predictions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PredictError {
    /// A cell is none that the model takes.
    #[error(transparent)]
    Cell(#[from] CellError),
    /// What evaluates it gives no answer.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
}

/// Says which cell no input takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {feature:?} is {found}, and the model takes {expected} there")]
pub struct CellError {
    /// The feature's name.
    pub feature: String,
    /// What the cell is.
    pub found: &'static str,
    /// What it would have to be.
    pub expected: &'static str,
}

impl Predictions {
    /// Returns the numbers of all rows, row-major: predictions, or probabilities.
    pub fn numbers(&self) -> &[f64] {
        match self {
            Self::Numbers(numbers) => numbers,
            Self::Classes { probabilities, .. } => probabilities,
        }
    }
}

impl Model {
    /// Reads an artifact.
    ///
    /// Everything is checked here: operators, types, shapes, indices, costs. The signature is that of the artifact's own
    /// property, else what the graph says by itself.
    pub fn read(bytes: &[u8], limits: &Limits) -> Result<Self, ArtifactError> {
        Self::read_as(bytes, limits, |signature| signature)
    }

    /// As [`Self::read`], with what whoever brings the model knows better: `tell` is given the signature that it has.
    ///
    /// # Errors
    ///
    /// As [`Self::read`]; and what is told is another model's.
    pub fn read_as(
        bytes: &[u8],
        limits: &Limits,
        tell: impl FnOnce(Signature) -> Signature,
    ) -> Result<Self, ArtifactError> {
        let program = Program::read(bytes, limits)?;
        let property = signature::read(program.properties())?;
        Self::told(Evaluator::Program(Box::new(program)), property, tell)
    }

    /// As [`Self::read_as`], for a model that is evaluated by what its job or its version says.
    ///
    /// # Errors
    ///
    /// As [`Self::read_as`]; this process has no such engine, or that refuses the model.
    pub fn open_as(
        bytes: &[u8],
        (engine, engines): (Engine, &Engines),
        tell: impl FnOnce(Signature) -> Signature,
    ) -> Result<Self, ArtifactError> {
        match engine {
            Engine::Aurora => Self::read_as(bytes, &Limits::default(), tell),
            Engine::OnnxRuntime => {
                let starts = engines.onnx_runtime()?;
                let properties = signature::properties(bytes)?;
                let property = signature::read(&properties)?;
                let foreign = starts.start(Arc::from(bytes))?;
                Self::told(Evaluator::Foreign { foreign, properties }, property, tell)
            }
        }
    }

    fn told(
        evaluator: Evaluator,
        property: Option<Signature>,
        tell: impl FnOnce(Signature) -> Signature,
    ) -> Result<Self, ArtifactError> {
        let (signature, origin) = match property {
            Some(signature) => (signature, Origin::Property),
            None => (
                meaning::signature(evaluator.inputs(), evaluator.outputs()),
                Origin::Graph,
            ),
        };
        Self::of(evaluator, tell(signature), origin)
    }

    /// Returns the model with a signature that is known from elsewhere, in the place of its own.
    ///
    /// # Errors
    ///
    /// It is another model's.
    pub fn described(self, signature: Signature) -> Result<Self, ArtifactError> {
        Self::of(self.evaluator, signature, Origin::Graph)
    }

    fn of(evaluator: Evaluator, signature: Signature, origin: Origin) -> Result<Self, ArtifactError> {
        meaning::check(evaluator.inputs(), evaluator.outputs(), &signature)?;
        let gives = meaning::gives(&signature)?;
        let tensors = evaluator.inputs().iter().enumerate();
        let inputs = tensors.flat_map(|(input, tensor)| iter::repeat_n(input, tensor.width()));
        Ok(Self {
            inputs: inputs.collect(),
            evaluator,
            signature,
            origin,
            gives,
            scratches: Mutex::default(),
        })
    }

    /// Returns what goes in and comes out.
    pub const fn signature(&self) -> &Signature {
        &self.signature
    }

    pub(super) const fn origin(&self) -> Origin {
        self.origin
    }

    /// Returns the checked graph, where the engine evaluates it.
    pub const fn program(&self) -> Option<&Program> {
        self.evaluator.program()
    }

    /// Says whether another process evaluates it: an answer then waits for that, and may fail.
    pub const fn is_foreign(&self) -> bool {
        self.program().is_none()
    }

    /// Returns what evaluates it.
    pub const fn engine(&self) -> Engine {
        match self.evaluator {
            Evaluator::Program(_) => Engine::Aurora,
            Evaluator::Foreign { .. } => Engine::OnnxRuntime,
        }
    }

    /// Returns the metadata that stands in its file.
    pub fn properties(&self) -> &[(String, String)] {
        self.evaluator.properties()
    }

    /// Returns the tensors that it takes.
    pub fn input_tensors(&self) -> &[Tensor] {
        self.evaluator.inputs()
    }

    /// Returns the tensors that it gives.
    pub fn output_tensors(&self) -> &[Tensor] {
        self.evaluator.outputs()
    }

    /// Returns the symbol of a text of a request, whose texts `symbols` are; [`None`] where it has more than are taken.
    pub fn symbol(&self, text: &[u8], symbols: &mut Symbols) -> Option<Symbol> {
        self.evaluator.symbol(text, symbols)
    }

    /// Returns the text of a symbol of a request or its answer; [`None`] for the unknown one.
    pub fn text<'a>(&'a self, symbol: Symbol, symbols: &'a Symbols) -> Option<&'a [u8]> {
        self.evaluator.text(symbol, symbols)
    }

    /// Returns about how many operations a row costs; 0 where another process evaluates it.
    pub fn row_work(&self) -> usize {
        match &self.evaluator {
            Evaluator::Program(program) => program.row_work(),
            Evaluator::Foreign { .. } => 0,
        }
    }

    /// Returns the texts that it knows; of one that another process evaluates nothing is known.
    pub fn known_texts(&self) -> impl Iterator<Item = &str> {
        let program = match &self.evaluator {
            Evaluator::Program(program) => Some(program),
            Evaluator::Foreign { .. } => None,
        };
        let texts = program.into_iter().flat_map(|program| program.texts());
        texts.filter_map(|text| std::str::from_utf8(text).ok())
    }

    /// Returns what its outputs mean.
    pub const fn gives(&self) -> Gives {
        self.gives
    }

    /// Returns how many values a row has, over all inputs.
    pub fn width(&self) -> usize {
        self.signature.features.len()
    }

    /// Returns the class labels in the order of the probabilities; [`None`] where there are no classes, or nobody says which.
    pub fn labels(&self) -> Option<&Labels> {
        match self.gives {
            Gives::Classes { .. } => Some(&self.signature.labels).filter(|labels| !labels.is_empty()),
            Gives::Numbers { .. } => None,
        }
    }

    /// Returns the input that a feature is a column of.
    pub(super) const fn input_of(&self, feature: usize) -> usize {
        self.inputs[feature]
    }

    /// Says whether a value of an input may be missing.
    pub fn takes_missing(&self, input: usize) -> bool {
        self.signature.missing_values && self.input_tensors()[input].takes_missing
    }

    /// Answers `rows` rows: a buffer for each input, row-major, whose texts are those of `symbols`; returns one for each
    /// output. The engine needs one thread and waits for nothing; another process is waited for.
    ///
    /// # Errors
    ///
    /// A row has a category that the model knows no answer to; or another process evaluates it, and gives none.
    ///
    /// # Panics
    ///
    /// If an input is missing, or has another type or length than its tensor for so many rows.
    pub fn answer(
        &self,
        inputs: &[Buffer],
        rows: usize,
        symbols: &mut Symbols,
    ) -> Result<Vec<Buffer>, Unanswered> {
        let program = match &self.evaluator {
            Evaluator::Program(program) => program,
            Evaluator::Foreign { foreign, .. } => return foreign.answer(inputs, rows, symbols),
        };
        let mut scratch = self.kept().pop().unwrap_or_default();
        let answers = program.run(&mut scratch, inputs, rows);
        let mut kept = self.kept();
        if kept.len() < KEPT_MAX {
            kept.push(scratch);
        }
        Ok(answers?)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<Scratch>> {
        self.scratches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Predicts rows of numbers, row-major `n × width`, as the inputs' types hold them.
    ///
    /// # Errors
    ///
    /// A row has a category that the model knows no answer to; or another process evaluates it, and gives none.
    ///
    /// # Panics
    ///
    /// If the length of `rows` is no multiple of [`Self::width`], or an input takes texts.
    pub fn predict(&self, rows: &[f64]) -> Result<Predictions, Unanswered> {
        let width = self.width();
        assert!(
            rows.len().is_multiple_of(width),
            "{} values are no whole rows of {width}",
            rows.len()
        );
        let count = rows.len() / width;
        if let [only] = self.input_tensors()
            && only.element == Type::F64
        {
            return self.predictions(&Inputs::of_numbers(rows.to_vec()), count);
        }
        let mut filling = Filling::new(self, count);
        for (at, value) in rows.iter().enumerate() {
            filling
                .push(at % width, Value::Number(*value))
                .expect("invariant: the caller knows that the inputs take numbers");
        }
        self.predictions(&filling.finish(), count)
    }

    /// Predicts rows of cells, row-major `n × width`.
    ///
    /// # Errors
    ///
    /// A cell is none that it takes; or as for [`Self::answer`].
    pub fn predict_cells(&self, cells: &[Cell]) -> Result<Predictions, PredictError> {
        let inputs = self.inputs(cells)?;
        Ok(self.predictions(&inputs, cells.len() / self.width().max(1))?)
    }

    /// Makes the inputs of rows of cells, row-major `n × width`.
    ///
    /// # Panics
    ///
    /// If there are no whole rows.
    pub fn inputs(&self, cells: &[Cell]) -> Result<Inputs, CellError> {
        let width = self.width();
        assert!(
            cells.len().is_multiple_of(width),
            "{} cells are no whole rows of {width}",
            cells.len()
        );
        let mut filling = Filling::new(self, cells.len() / width);
        for (at, cell) in cells.iter().enumerate() {
            let value = match cell {
                Cell::Number(number) => Value::Number(*number),
                Cell::Text(text) => Value::Text(text),
                Cell::Bool(bool) => Value::Bool(*bool),
                Cell::Missing => Value::Missing,
            };
            let feature = at % width;
            filling.push(feature, value).map_err(|expected| CellError {
                feature: self.signature.features[feature].name.clone(),
                found: value.kind(),
                expected,
            })?;
        }
        Ok(filling.finish())
    }

    /// Predicts `rows` rows of inputs, as [`Self::answer`] takes them.
    ///
    /// # Errors
    ///
    /// A row has a category that the model knows no answer to; or another process evaluates it, and gives none.
    pub fn predictions(&self, inputs: &Inputs, rows: usize) -> Result<Predictions, Unanswered> {
        let mut symbols = inputs.symbols.clone();
        let mut answers = self.answer(&inputs.buffers, rows, &mut symbols)?;
        Ok(match self.gives {
            Gives::Numbers { prediction } => Predictions::Numbers(doubles(answers.swap_remove(prediction))),
            Gives::Classes { label, probabilities } => Predictions::Classes {
                index: self.indices(&answers[label], &mut symbols),
                probabilities: probabilities
                    .map(|at| doubles(answers.swap_remove(at)))
                    .unwrap_or_default(),
                k: self.signature.labels.len(),
            },
        })
    }

    /// Returns the label of a row as text.
    ///
    /// # Panics
    ///
    /// If `labels` has no such row, or is no output of labels.
    pub fn label_text(&self, labels: &Buffer, symbols: &Symbols, row: usize) -> String {
        match labels {
            Buffer::Text(labels) => {
                let text = self.text(labels[row], symbols).unwrap_or_default();
                String::from_utf8_lossy(text).into_owned()
            }
            Buffer::I64(numbers) => numbers[row].to_string(),
            Buffer::I32(numbers) => numbers[row].to_string(),
            Buffer::Bool(truths) => truths[row].to_string(),
            Buffer::F32(_) | Buffer::F64(_) => unreachable!("invariant: labels are no fractions"),
        }
    }

    /// Returns the place of each label among the signature's.
    fn indices(&self, labels: &Buffer, symbols: &mut Symbols) -> Vec<Option<usize>> {
        match (&self.signature.labels, labels) {
            (Labels::Words(words), Buffer::Text(labels)) => {
                let places = words.iter().enumerate();
                let places: HashMap<Symbol, usize> = places
                    .filter_map(|(at, word)| Some((self.symbol(word.as_bytes(), symbols)?, at)))
                    .collect();
                labels.iter().map(|label| places.get(label).copied()).collect()
            }
            (Labels::Numbers(numbers), labels) => {
                let places = numbers.iter().enumerate();
                let places: HashMap<i64, usize> = places.map(|(at, number)| (*number, at)).collect();
                wholes(labels)
                    .iter()
                    .map(|label| places.get(label).copied())
                    .collect()
            }
            (Labels::Words(_), other) => vec![None; other.len()],
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "whole numbers that are answers are shown as doubles"
)]
fn doubles(buffer: Buffer) -> Vec<f64> {
    match buffer {
        Buffer::F64(values) => values,
        Buffer::F32(values) => values.into_iter().map(f64::from).collect(),
        Buffer::I64(values) => values.into_iter().map(|value| value as f64).collect(),
        Buffer::I32(values) => values.into_iter().map(f64::from).collect(),
        Buffer::Bool(values) => values
            .into_iter()
            .map(|value| f64::from(u8::from(value)))
            .collect(),
        Buffer::Text(values) => vec![f64::NAN; values.len()],
    }
}

fn wholes(buffer: &Buffer) -> Vec<i64> {
    match buffer {
        Buffer::I64(values) => values.clone(),
        Buffer::I32(values) => values.iter().map(|value| i64::from(*value)).collect(),
        Buffer::Bool(values) => values.iter().map(|value| i64::from(*value)).collect(),
        Buffer::F32(_) | Buffer::F64(_) | Buffer::Text(_) => vec![i64::MIN; buffer.len()],
    }
}
