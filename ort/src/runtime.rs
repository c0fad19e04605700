//! Models as the other process evaluates them, for whoever has a [`Model`](registry::artifact::Model).

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use engine::{Buffer, Dim, Label, Symbols, Tensor, Type};
use registry::artifact::{ArtifactError, FOREIGN_TEXT_BYTES_MAX, Foreign, Starts, Unanswered};

use crate::process::{Lost, Process};
use crate::protocol::{Ask, Loaded, Outlet, Ran, Run, Say, Values, type_named};

/// About how many bytes of rows the process gets at a time: what it makes of them is bounded by its own limit.
const ROWS_BYTES: usize = 4 << 20;
/// The most rows that it gets at a time.
const ROWS_MAX: usize = 4_096;
/// The most inputs, and outputs, of a model.
const OUTLETS_MAX: usize = 1_024;
/// The most values of a row, over all inputs, and over all outputs.
const WIDTH_MAX: usize = 1 << 20;
/// How often a model is there at most while it is loaded: as it came, taken out of that, as ONNX Runtime reads it, and in the form in
/// which it is evaluated.
const COPIES: u64 = 4;
/// The longest words of the process that are passed on, in bytes.
const WORDS_MAX: usize = 1 << 10;
/// How long it is not started again after it has ended twice; each time twice as long, up to the longest.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// What one process may have.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// What it may allocate beside what a model of its size needs to be loaded, in bytes.
    pub memory_bytes: u64,
    /// The threads that it evaluates with.
    pub threads: usize,
    /// How long a model may take to load.
    pub load: Duration,
    /// How long rows may take that are handed over together.
    pub answer: Duration,
}

/// Starts ONNX Runtime for models.
#[derive(Debug, Clone)]
pub struct OnnxRuntime {
    program: PathBuf,
    library: PathBuf,
    limits: Limits,
}

impl OnnxRuntime {
    /// Takes the program `aurora-ort`, the library that it loads, and what each process may have.
    pub fn new(program: &Path, library: &Path, limits: Limits) -> Self {
        Self {
            program: program.to_owned(),
            library: library.to_owned(),
            limits,
        }
    }

    /// Starts a process that loads the library, and ends it.
    ///
    /// # Errors
    ///
    /// The program or the library is not there, or another or older one, or may not have what it needs.
    pub fn try_start(&self) -> Result<(), ArtifactError> {
        // Nothing is no model: only a library that is there can say so.
        match self.start(&[])?.load(&[], self.limits.load) {
            Ok(Say::Refused(_)) => Ok(()),
            Ok(Say::NotStarted(why)) => Err(ArtifactError::NotStarted(shortened(&why))),
            Ok(Say::Loaded(_) | Say::Ran(_)) => {
                let why = "it answers what was not asked".to_owned();
                Err(ArtifactError::NotStarted(why))
            }
            Err(lost) => Err(ArtifactError::NotStarted(lost.to_string())),
        }
    }

    /// Starts a process for a model.
    fn start(&self, artifact: &[u8]) -> Result<Process, ArtifactError> {
        let Limits {
            memory_bytes,
            threads,
            ..
        } = self.limits;
        let for_itself = COPIES * artifact.len() as u64;
        let mut command = Command::new(&self.program);
        command
            .arg("--library")
            .arg(&self.library)
            .args(["--memory-bytes", &(memory_bytes + for_itself).to_string()])
            .args(["--threads", &threads.to_string()]);
        Process::start(command)
            .map_err(|error| ArtifactError::NotStarted(format!("{}: {error}", self.program.display())))
    }

    /// Starts a process, and lets it load a model.
    fn load(&self, artifact: &[u8]) -> Result<(Process, Outlets), ArtifactError> {
        let mut process = self.start(artifact)?;
        // What cannot even be asked has not found its library, or may not have what it needs.
        match process.load(artifact, self.limits.load) {
            Ok(Say::Loaded(loaded)) => {
                let outlets = Outlets::read(loaded).map_err(ArtifactError::Foreign)?;
                Ok((process, outlets))
            }
            Ok(Say::Refused(why)) => Err(ArtifactError::Foreign(shortened(&why))),
            Ok(Say::NotStarted(why)) => Err(ArtifactError::NotStarted(shortened(&why))),
            Ok(Say::Ran(_)) => Err(ArtifactError::Foreign("it answers what was not asked".to_owned())),
            Err(lost) => Err(ArtifactError::Foreign(lost.to_string())),
        }
    }
}

impl Starts for OnnxRuntime {
    fn start(&self, artifact: Arc<[u8]>) -> Result<Box<dyn Foreign>, ArtifactError> {
        let (process, outlets) = self.load(&artifact)?;
        Ok(Box::new(Evaluated {
            runtime: self.clone(),
            artifact,
            outlets,
            state: Mutex::new(State::Running { process, failures: 0 }),
        }))
    }
}

/// What a model takes and gives.
#[derive(Debug, PartialEq)]
struct Outlets {
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
}

impl Outlets {
    /// Reads what the process says of its model, which it may say anything of.
    fn read(loaded: Loaded) -> Result<Self, String> {
        let read = |outlets: Vec<Outlet>, what: &str| {
            if outlets.is_empty() || outlets.len() > OUTLETS_MAX {
                return Err(format!("it has {} {what}, of 1 to {OUTLETS_MAX}", outlets.len()));
            }
            let tensors = outlets.into_iter().map(tensor).collect::<Result<Vec<_>, _>>()?;
            let width = tensors.iter().map(Tensor::width).fold(0, usize::saturating_add);
            if width > WIDTH_MAX {
                return Err(format!(
                    "its {what} have {width} values a row, of at most {WIDTH_MAX}"
                ));
            }
            Ok(tensors)
        };
        Ok(Self {
            inputs: read(loaded.inputs, "inputs")?,
            outputs: read(loaded.outputs, "outputs")?,
        })
    }
}

fn tensor(outlet: Outlet) -> Result<Tensor, String> {
    let Outlet {
        name,
        datatype,
        lengths,
        takes_missing,
        words,
        numbers,
    } = outlet;
    let element = type_named(&datatype)
        .ok_or_else(|| format!("{name:?} is of the type {datatype:?}, which is not evaluated"))?;
    let mut width = 1_usize;
    let mut shape = vec![Dim::Rows(1)];
    for length in lengths {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        width = width.saturating_mul(length);
        shape.push(Dim::Fixed(length));
    }
    if width == 0 || width > WIDTH_MAX {
        return Err(format!("{name:?} has {width} values a row, of 1 to {WIDTH_MAX}"));
    }
    let labels: Vec<Label> = if words.is_empty() {
        numbers.into_iter().map(Label::Number).collect()
    } else {
        words.into_iter().map(Label::Text).collect()
    };
    if !labels.is_empty() && labels.len() != width {
        return Err(format!(
            "{name:?} has {width} columns and {} labels",
            labels.len()
        ));
    }
    Ok(Tensor {
        name,
        element,
        shape,
        labels: Some(labels).filter(|labels| !labels.is_empty()),
        classes: None,
        takes_missing: takes_missing && matches!(element, Type::F32 | Type::F64),
    })
}

/// A model that a process of its own evaluates, which is started again where it has ended.
#[derive(Debug)]
struct Evaluated {
    runtime: OnnxRuntime,
    artifact: Arc<[u8]>,
    outlets: Outlets,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Running {
        process: Process,
        /// How often it has ended since it last answered.
        failures: u32,
    },
    Ended {
        since: Instant,
        failures: u32,
        why: String,
    },
}

impl Foreign for Evaluated {
    fn inputs(&self) -> &[Tensor] {
        &self.outlets.inputs
    }

    fn outputs(&self) -> &[Tensor] {
        &self.outlets.outputs
    }

    fn answer(
        &self,
        inputs: &[Buffer],
        rows: usize,
        symbols: &mut Symbols,
    ) -> Result<Vec<Buffer>, Unanswered> {
        let mut answers: Vec<Buffer> = self
            .outlets
            .outputs
            .iter()
            .map(|tensor| none(tensor.element))
            .collect();
        let width: usize = self.outlets.inputs.iter().map(Tensor::width).sum();
        let at_a_time = (ROWS_BYTES / (width * size_of::<f64>()).max(1)).clamp(1, ROWS_MAX);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut first = 0;
        while first < rows {
            let count = at_a_time.min(rows - first);
            let parts = self.outlets.inputs.iter().zip(inputs);
            let parts = parts.map(|(tensor, buffer)| {
                let width = tensor.width();
                values(buffer, first * width..(first + count) * width, symbols)
            });
            let run = Run {
                rows: count as u64,
                inputs: parts.collect(),
            };
            let ran = self.run(&mut state, run)?;
            append(&self.outlets.outputs, &mut answers, ran, count, symbols)
                .map_err(|problem| ended(&mut state, &Lost::Garbled(problem)))?;
            first += count;
        }
        Ok(answers)
    }
}

impl Evaluated {
    /// Lets the process evaluate rows; starts it where it has ended.
    fn run(&self, state: &mut State, run: Run) -> Result<Ran, Unanswered> {
        if let State::Ended { since, failures, why } = state {
            let pause = pause(*failures);
            let left = pause.saturating_sub(since.elapsed());
            if !left.is_zero() {
                return Err(Unanswered::Unavailable(format!(
                    "ONNX Runtime does not evaluate the model: {why}; it is started again in {} s",
                    left.as_secs() + 1
                )));
            }
            let failures = *failures;
            let (process, outlets) = self.runtime.load(&self.artifact).map_err(|error| {
                *state = State::Ended {
                    since: Instant::now(),
                    failures: failures.saturating_add(1),
                    why: error.to_string(),
                };
                Unanswered::Unavailable(error.to_string())
            })?;
            if outlets != self.outlets {
                let problem = "it says something else of the model than before".to_owned();
                return Err(ended(state, &Lost::Garbled(problem)));
            }
            *state = State::Running { process, failures };
        }
        let State::Running { process, failures } = state else {
            unreachable!("invariant: it was started");
        };
        match process.ask(Ask::Run(run), self.runtime.limits.answer) {
            Ok(Say::Ran(ran)) => {
                *failures = 0;
                Ok(ran)
            }
            Ok(Say::Refused(why)) => Err(Unanswered::Refused(format!(
                "ONNX Runtime refuses the rows: {}",
                shortened(&why)
            ))),
            Ok(Say::Loaded(_) | Say::NotStarted(_)) => Err(ended(
                state,
                &Lost::Garbled("it answers what was not asked".to_owned()),
            )),
            Err(lost) => Err(ended(state, &lost)),
        }
    }
}

/// Adds what the process answered for some rows, and refuses what does not fit.
fn append(
    tensors: &[Tensor],
    answers: &mut [Buffer],
    ran: Ran,
    rows: usize,
    symbols: &mut Symbols,
) -> Result<(), String> {
    if ran.outputs.len() != answers.len() {
        return Err(format!(
            "{} outputs, and the model has {}",
            ran.outputs.len(),
            answers.len()
        ));
    }
    let outputs = tensors.iter().zip(ran.outputs);
    for (answer, (tensor, values)) in answers.iter_mut().zip(outputs) {
        let expected = tensor.width() * rows;
        let before = answer.len();
        extend(answer, &values, symbols)?;
        let got = answer.len() - before;
        if got != expected {
            return Err(format!(
                "{got} elements of output {:?}, of {expected}",
                tensor.name
            ));
        }
    }
    Ok(())
}

/// Ends the process, and says why there is no answer.
fn ended(state: &mut State, lost: &Lost) -> Unanswered {
    let failures = match state {
        State::Running { failures, .. } | State::Ended { failures, .. } => failures.saturating_add(1),
    };
    let why = lost.to_string();
    tracing::error!(
        error = why,
        "ONNX Runtime has failed under a model; it is started again"
    );
    let message = format!("ONNX Runtime does not evaluate the model: {why}");
    *state = State::Ended {
        since: Instant::now(),
        failures,
        why,
    };
    Unanswered::Unavailable(message)
}

/// Returns how long a process is not started again that has ended so often in a row: at once the first time.
fn pause(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        more => PAUSE.saturating_mul(1 << (more - 2).min(16)).min(PAUSE_MAX),
    }
}

const fn none(element: Type) -> Buffer {
    match element {
        Type::F32 => Buffer::F32(Vec::new()),
        Type::F64 => Buffer::F64(Vec::new()),
        Type::I64 => Buffer::I64(Vec::new()),
        Type::I32 => Buffer::I32(Vec::new()),
        Type::Bool => Buffer::Bool(Vec::new()),
        Type::Text => Buffer::Text(Vec::new()),
    }
}

/// Returns some elements as they are sent.
fn values(buffer: &Buffer, range: Range<usize>, symbols: &Symbols) -> Values {
    match buffer {
        Buffer::F32(elements) => Values::of(&elements[range]),
        Buffer::F64(elements) => Values::of(&elements[range]),
        Buffer::I64(elements) => Values::of(&elements[range]),
        Buffer::I32(elements) => Values::of(&elements[range]),
        Buffer::Bool(elements) => Values::of(&elements[range]),
        Buffer::Text(elements) => {
            let texts = elements[range].iter().map(|symbol| symbols.text(*symbol));
            Values::of_texts(texts.map(Option::unwrap_or_default))
        }
    }
}

/// Adds elements that came.
fn extend(answer: &mut Buffer, values: &Values, symbols: &mut Symbols) -> Result<(), String> {
    match answer {
        Buffer::F32(elements) => elements.extend(values.elements::<f32>()?),
        Buffer::F64(elements) => elements.extend(values.elements::<f64>()?),
        Buffer::I64(elements) => elements.extend(values.elements::<i64>()?),
        Buffer::I32(elements) => elements.extend(values.elements::<i32>()?),
        Buffer::Bool(elements) => elements.extend(values.elements::<bool>()?),
        Buffer::Text(elements) => {
            let symbol = |text: &[u8]| {
                if text.len() > FOREIGN_TEXT_BYTES_MAX {
                    let bytes = text.len();
                    return Err(format!(
                        "a text of {bytes} bytes, of at most {FOREIGN_TEXT_BYTES_MAX}"
                    ));
                }
                let symbol = symbols.add(text, &engine::Limits::default());
                symbol.map_err(|error| error.to_string())
            };
            elements.extend(values.texts(symbol)?);
        }
    }
    Ok(())
}

/// Returns words of the process that people can be shown.
fn shortened(words: &str) -> String {
    let end = (0..=WORDS_MAX.min(words.len()))
        .rev()
        .find(|end| words.is_char_boundary(*end))
        .unwrap_or(0);
    planner::shown::escape(words[..end].trim()).into_owned()
}

#[cfg(test)]
mod tests;
