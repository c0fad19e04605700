//! A program: a checked model, ready to answer.

use std::cell::Cell;
use std::fmt;

use crate::build::{Builder, Fact, Slot, Step};
use crate::meaning;
use crate::node::Node;
use crate::onnx::{self, Extent, Model};
use crate::ops;
use crate::refusal::{Limits, Refusal};
use crate::types::{Buffer, Dim, Source, Symbol, Symbols, Type, Values, count, written};

/// What a model takes or gives under one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Its name in the graph.
    pub name: String,
    /// The type of its elements.
    pub element: Type,
    /// Its shape: the rows come first, all other axes are fixed.
    pub shape: Vec<Dim>,
    /// The labels of its last axis, where the graph names them: a classifier's scores or probabilities.
    pub labels: Option<Vec<Label>>,
    /// The labels that its entries are chosen from, where the graph says so: a classifier's answer.
    pub classes: Option<Vec<Label>>,
    /// For an input: whether a missing value, a NaN, has a meaning somewhere in it. Each way that it takes from there, or
    /// from some of the columns, ends in imputers, trees or encoders that know a NaN, so that the answer need not be one.
    pub takes_missing: bool,
}

impl Tensor {
    /// Returns how many elements a row has.
    pub fn width(&self) -> usize {
        count(&self.shape, 1)
    }
}

/// The label of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
}

/// A model, ready to answer. Immutable, and cheap to share between threads.
pub struct Program {
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    results: Vec<Source>,
    constants: Vec<Buffer>,
    slots: Vec<Slot>,
    steps: Vec<Step>,
    symbols: Symbols,
    properties: Vec<(String, String)>,
    row_bytes: usize,
    row_work: usize,
}

/// Says which row has no answer: the model knows none for what is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row {row} has a category that the model does not know, and its {place} refuses")]
pub struct UnknownCategory {
    /// The first such row, counted from 0.
    pub row: usize,
    /// The node that refuses it.
    pub place: String,
}

/// What a program writes while it answers: one for each answer that is under way, kept between answers so that they
/// allocate nothing.
#[derive(Debug, Default)]
pub struct Scratch {
    slots: Vec<Buffer>,
    written: Vec<Buffer>,
}

impl fmt::Debug for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Program")
            .field("inputs", &self.inputs)
            .field("outputs", &self.outputs)
            .field("steps", &self.steps.len())
            .finish_non_exhaustive()
    }
}

/// About how many bytes of values are kept at a time: they stay in the caches of a core.
const BLOCK_BYTES: usize = 256 << 10;
/// The most rows that go through all steps together.
const BLOCK_ROWS: usize = 512;

impl Program {
    /// Reads a model, and checks all of it: operators, types, shapes, indices, costs.
    pub fn read(bytes: &[u8], limits: &Limits) -> Result<Self, Refusal> {
        let model = Model::read(bytes, limits)?;
        let versions = Versions::read(&model.opsets)?;
        let graph = model
            .graph
            .as_ref()
            .ok_or_else(|| Refusal::malformed("it has no graph"))?;
        let mut build = Builder::new(limits);
        for tensor in &graph.initializers {
            let (shape, values) = tensor.values(&mut build.symbols, limits)?;
            let fact = build.constant(&shape, values)?;
            build.name("the graph", tensor.name, fact)?;
        }
        let mut inputs = Vec::new();
        for value in &graph.inputs {
            // Before IR version 4 constants are among the inputs.
            if graph.initializers.iter().any(|tensor| tensor.name == value.name) {
                continue;
            }
            let tensor = input_of(value)?;
            let place = format!("input {:?}", value.name);
            let fact = build.input(&place, tensor.element, tensor.shape.clone())?;
            build.name("the graph", value.name, fact)?;
            inputs.push(tensor);
        }
        for raw in &graph.nodes {
            read_node(&mut build, raw, &versions)?;
        }
        let mut outputs = Vec::new();
        let mut facts = Vec::new();
        for value in &graph.outputs {
            let place = format!("output {:?}", value.name);
            let fact = build.fact(&place, value.name)?;
            check_declared(&place, value, &fact)?;
            outputs.push(output_of(&place, value.name, &fact)?);
            facts.push(fact);
        }
        if inputs.is_empty() || outputs.is_empty() {
            return Err(Refusal::inconsistent("the graph", "has no input or no output"));
        }
        let results: Vec<Source> = facts.iter().map(|fact| fact.source).collect();
        build.drop_unused(&results);
        meaning::name_labels(&mut outputs, &facts, &build);
        meaning::find_missing(&mut inputs, &results, &build);
        let row_bytes = build
            .slots
            .iter()
            .map(|slot| slot.element.width() * count(&slot.shape, 1))
            .sum();
        Limits::check("bytes of values for one row", row_bytes, limits.row_bytes_max)?;
        let written = build.steps.iter().flat_map(|step| &step.writes);
        let elements: usize = written.map(|slot| count(&build.slots[*slot].shape, 1)).sum();
        let row_work = build
            .steps
            .iter()
            .fold(elements, |work, step| work.saturating_add(step.kernel.work()));
        Limits::check("operations for one row", row_work, limits.row_work_max)?;
        let properties = model
            .properties
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Ok(Self {
            inputs,
            outputs,
            results,
            properties: properties.collect(),
            constants: build.constants,
            slots: build.slots,
            steps: build.steps,
            symbols: build.symbols,
            row_bytes,
            row_work,
        })
    }

    /// Returns what it takes.
    pub fn inputs(&self) -> &[Tensor] {
        &self.inputs
    }

    /// Returns what it gives.
    pub fn outputs(&self) -> &[Tensor] {
        &self.outputs
    }

    /// Returns the metadata that stands in the file.
    pub fn properties(&self) -> &[(String, String)] {
        &self.properties
    }

    /// Returns how many bytes of values a row needs while it is answered.
    pub const fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// Returns about how many operations a row costs.
    pub const fn row_work(&self) -> usize {
        self.row_work
    }

    /// Returns about how many bytes the model takes while it waits.
    pub fn bytes(&self) -> usize {
        let constants: usize = self
            .constants
            .iter()
            .map(|buffer| buffer.len() * buffer.element().width())
            .sum();
        constants + self.steps.iter().map(|step| step.kernel.kept()).sum::<usize>() + self.symbols.bytes()
    }

    /// Returns the symbol of a text of a request.
    pub fn symbol(&self, text: &[u8]) -> Symbol {
        self.symbols.find(text)
    }

    /// Returns the texts that the model knows.
    pub fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.symbols.iter()
    }

    /// Returns the text of a symbol; `None` for the unknown one.
    pub fn text(&self, symbol: Symbol) -> Option<&[u8]> {
        self.symbols.text(symbol)
    }

    /// Answers `rows` rows: one buffer for each input, in the order of [`Self::inputs`], row-major; returns one for each
    /// output. One thread, no waiting.
    ///
    /// # Errors
    ///
    /// A row holds a category that the model does not know, and the model says that it then has no answer.
    ///
    /// # Panics
    ///
    /// If an input is missing, or has another type or length than its tensor for that many rows.
    pub fn run(
        &self,
        scratch: &mut Scratch,
        inputs: &[Buffer],
        rows: usize,
    ) -> Result<Vec<Buffer>, UnknownCategory> {
        let mut outputs = Vec::new();
        self.run_into(scratch, inputs, rows, &mut outputs)?;
        Ok(outputs)
    }

    /// As [`Self::run`], into the buffers of an earlier answer, whatever they hold: with those of this program and its
    /// scratch nothing is allocated for as many rows.
    ///
    /// # Errors
    ///
    /// As [`Self::run`]; what is in the buffers then is no answer.
    ///
    /// # Panics
    ///
    /// As [`Self::run`].
    pub fn run_into(
        &self,
        scratch: &mut Scratch,
        inputs: &[Buffer],
        rows: usize,
        outputs: &mut Vec<Buffer>,
    ) -> Result<(), UnknownCategory> {
        assert_eq!(inputs.len(), self.inputs.len(), "a buffer for each input");
        for (tensor, buffer) in self.inputs.iter().zip(inputs) {
            assert_eq!(
                buffer.element(),
                tensor.element,
                "input {:?} has its type",
                tensor.name
            );
            assert_eq!(
                buffer.len(),
                count(&tensor.shape, rows),
                "input {:?} has its length",
                tensor.name
            );
        }
        outputs.resize(self.outputs.len(), Buffer::Bool(Vec::new()));
        for (output, tensor) in outputs.iter_mut().zip(&self.outputs) {
            if output.element() == tensor.element {
                output.clear();
            } else {
                *output = Buffer::empty(tensor.element);
            }
        }
        let block = (BLOCK_BYTES / self.row_bytes.max(1)).clamp(1, BLOCK_ROWS);
        scratch.prepare(&self.slots);
        let mut done = 0;
        while done < rows {
            let taken = block.min(rows - done);
            self.block(scratch, inputs, done, taken, outputs)?;
            done += taken;
        }
        Ok(())
    }

    fn block(
        &self,
        scratch: &mut Scratch,
        inputs: &[Buffer],
        start: usize,
        rows: usize,
        outputs: &mut [Buffer],
    ) -> Result<(), UnknownCategory> {
        let refused = Cell::new(None);
        for (slot, (tensor, buffer)) in self.inputs.iter().zip(inputs).enumerate() {
            let width = tensor.width();
            scratch.slots[slot].resize(rows * width);
            scratch.slots[slot].copy_part(buffer, start * width..(start + rows) * width);
        }
        for step in &self.steps {
            let Scratch { slots, written } = scratch;
            written.clear();
            for slot in &step.writes {
                let mut buffer = std::mem::replace(&mut slots[*slot], Buffer::Bool(Vec::new()));
                buffer.resize(count(&self.slots[*slot].shape, rows));
                written.push(buffer);
            }
            let values = Values {
                slots,
                constants: &self.constants,
                rows,
                refused: &refused,
            };
            step.kernel.run(&values, written);
            for (slot, buffer) in step.writes.iter().zip(written.drain(..)) {
                slots[*slot] = buffer;
            }
            if let Some(row) = refused.get() {
                return Err(UnknownCategory {
                    row: start + row,
                    place: step.kernel.place().unwrap_or_default().to_owned(),
                });
            }
        }
        for (tensor, (output, source)) in self.outputs.iter().zip(outputs.iter_mut().zip(&self.results)) {
            match source {
                Source::Slot(slot) => output.extend(&scratch.slots[*slot]),
                Source::Constant(constant) => {
                    debug_assert_eq!(
                        self.constants[*constant].len(),
                        tensor.width(),
                        "a constant answers each row"
                    );
                    for _ in 0..rows {
                        output.extend(&self.constants[*constant]);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Scratch {
    /// Makes a buffer for each slot, where the ones that are there are another program's.
    fn prepare(&mut self, slots: &[Slot]) {
        let fits = self.slots.len() == slots.len()
            && self
                .slots
                .iter()
                .zip(slots)
                .all(|(buffer, slot)| buffer.element() == slot.element);
        if !fits {
            self.slots = slots.iter().map(|slot| Buffer::empty(slot.element)).collect();
        }
    }
}

/// The versions of the operator sets that a model imports.
struct Versions {
    standard: Option<i64>,
    ml: Option<i64>,
}

impl Versions {
    fn read(opsets: &[(&str, i64)]) -> Result<Self, Refusal> {
        let mut versions = Self {
            standard: None,
            ml: None,
        };
        for (domain, version) in opsets {
            let range = |place: &mut Option<i64>, least: i64, most: i64| {
                if !(least..=most).contains(version) {
                    let found = format!("has version {version}");
                    let place = format!("operator set {domain:?}");
                    return Err(Refusal::unsupported(place, found, format!("{least} to {most}")));
                }
                *place = Some(*version);
                Ok(())
            };
            match *domain {
                "" | "ai.onnx" => range(&mut versions.standard, ops::STANDARD_MIN, ops::STANDARD_MAX)?,
                ops::ML => range(&mut versions.ml, 1, ops::ML_MAX)?,
                // A set that no node uses is none of our business; a node that does is refused by name.
                _ => {}
            }
        }
        Ok(versions)
    }

    fn of(&self, node: &onnx::Node<'_>) -> Result<i64, Refusal> {
        let version = match node.domain {
            "" => self.standard,
            ops::ML => self.ml,
            _ => None,
        };
        version.ok_or_else(|| {
            let found = format!(
                "is of operator set {:?}, which the model does not import",
                node.domain
            );
            Refusal::inconsistent(node.place(), found)
        })
    }
}

fn read_node<'a>(build: &mut Builder<'a>, raw: &onnx::Node<'a>, versions: &Versions) -> Result<(), Refusal> {
    let Some(operator) = ops::find(raw.domain, raw.operator) else {
        let domain = if raw.domain.is_empty() {
            "ai.onnx"
        } else {
            raw.domain
        };
        let found = format!("is the operator {} of {domain}", raw.operator);
        return Err(Refusal::unsupported(
            raw.place(),
            found,
            "the operators of docs/operators.md",
        ));
    };
    let version = versions.of(raw)?;
    let mut node = Node::new(build, raw, version);
    (operator.read)(&mut node)?;
    node.finish()
}

fn input_of(value: &onnx::ValueInfo<'_>) -> Result<Tensor, Refusal> {
    let place = format!("input {:?}", value.name);
    let Some((element, extents)) = &value.tensor else {
        return Err(Refusal::unsupported(place, "is no tensor", "tensors"));
    };
    let Some(element) = onnx::type_of(*element) else {
        return Err(Refusal::unsupported(
            place,
            format!("has elements of ONNX type {element}"),
            onnx::ELEMENTS,
        ));
    };
    let mut shape = Vec::with_capacity(extents.len());
    for (axis, extent) in extents.iter().enumerate() {
        shape.push(match (axis, extent) {
            // A model that was traced with an example has its number of rows here: each operator shows that rows stay apart.
            (0, _) => Dim::Rows(1),
            (_, Extent::Fixed(length)) if *length > 0 => {
                Dim::Fixed(usize::try_from(*length).unwrap_or(usize::MAX))
            }
            (_, Extent::Fixed(length)) => {
                return Err(Refusal::inconsistent(
                    place,
                    format!("has {length} entries in axis {axis}"),
                ));
            }
            (_, Extent::Named(_) | Extent::Open) => {
                return Err(Refusal::unsupported(
                    place,
                    format!("leaves axis {axis} open"),
                    "rows alone",
                ));
            }
        });
    }
    if shape.is_empty() {
        return Err(Refusal::unsupported(place, "has no axis", "rows first"));
    }
    Ok(Tensor {
        name: value.name.to_owned(),
        element,
        shape,
        labels: None,
        classes: None,
        takes_missing: false,
    })
}

/// Refuses an output that the graph says is of texts and is not, or the other way round.
fn check_declared(place: &str, value: &onnx::ValueInfo<'_>, fact: &Fact) -> Result<(), Refusal> {
    let declared = value
        .tensor
        .as_ref()
        .and_then(|(element, _)| onnx::type_of(*element));
    match declared {
        Some(declared) if (declared == Type::Text) != (fact.element == Type::Text) => {
            let problem = format!("is declared as {declared}, and the graph gives {}", fact.element);
            Err(Refusal::inconsistent(place, problem))
        }
        _ => Ok(()),
    }
}

fn output_of(place: &str, name: &str, fact: &Fact) -> Result<Tensor, Refusal> {
    // One axis before the rows that has one entry changes nothing: look-ups of labels leave it.
    let ones = fact.shape.iter().take_while(|dim| **dim == Dim::Fixed(1)).count();
    let own = if fact.shape.get(ones).is_some_and(|dim| dim.is_rows()) && !fact.is_stack {
        &fact.shape[ones..]
    } else {
        &fact.shape
    };
    let shape = match own.split_first() {
        Some((Dim::Rows(1), rest)) if rest.iter().all(|dim| !dim.is_rows()) && !fact.is_stack => own.to_vec(),
        _ if matches!(fact.source, Source::Constant(_)) && fact.shape.first() == Some(&Dim::Fixed(1)) => {
            let mut shape = fact.shape.clone();
            shape[0] = Dim::Rows(1);
            shape
        }
        _ => {
            let found = format!("has shape {}", written(&fact.shape));
            return Err(Refusal::unsupported(
                place,
                found,
                "a row of it for each row of a request",
            ));
        }
    };
    Ok(Tensor {
        name: name.to_owned(),
        element: fact.element,
        shape,
        labels: None,
        classes: None,
        takes_missing: false,
    })
}
