//! Builds a program node by node: every value's type and shape is known when its node has been read, what does not depend
//! on a request is computed at once, and what nobody uses is left out.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use crate::refusal::{Limits, Refusal};
use crate::types::{Buffer, Dim, Element, Kernel, RANK_MAX, Source, Symbols, Type, Values, count, written};

/// What is known of a value.
#[derive(Debug, Clone)]
pub(crate) struct Fact {
    pub(crate) element: Type,
    pub(crate) shape: Vec<Dim>,
    pub(crate) source: Source,
    /// Extents of another value, as `Shape` gives them: whole numbers that may depend on the rows.
    pub(crate) extents: Option<Vec<Dim>>,
    /// The labels of the last axis, as a classifier or `ZipMap` names them.
    pub(crate) labels: Option<Arc<Buffer>>,
    /// What its entries are chosen from.
    pub(crate) classes: Option<Classes>,
    /// Values one after another, each with all rows: the first axis counts them, which for the graph is one with the next.
    pub(crate) is_stack: bool,
}

/// The labels that a classifier chooses from.
#[derive(Debug, Clone)]
pub(crate) struct Classes {
    /// One for each column of the scores.
    pub(crate) labels: Arc<Buffer>,
    /// The scores that decide.
    pub(crate) scores: Source,
}

/// The most places among which the largest score is followed to the outputs.
const PLACES_MAX: usize = 1 << 16;

impl Fact {
    pub(crate) fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Returns the axis that has the rows.
    pub(crate) fn rows_axis(&self) -> Option<usize> {
        self.shape.iter().position(|dim| dim.is_rows())
    }
}

/// One step: a kernel, what it reads, and the slots it writes.
pub(crate) struct Step {
    pub(crate) kernel: Box<dyn Kernel>,
    pub(crate) reads: Vec<Source>,
    pub(crate) writes: Vec<usize>,
}

/// The type and shape of a slot.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) element: Type,
    pub(crate) shape: Vec<Dim>,
}

/// A program under construction.
pub(crate) struct Builder<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) symbols: Symbols,
    pub(crate) constants: Vec<Buffer>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) steps: Vec<Step>,
    facts: HashMap<&'a str, Fact>,
    constant_elements: usize,
    /// How many splits and leaves the trees that were read have together.
    pub(crate) tree_nodes: usize,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            symbols: Symbols::default(),
            constants: Vec::new(),
            slots: Vec::new(),
            steps: Vec::new(),
            facts: HashMap::new(),
            constant_elements: 0,
            tree_nodes: 0,
        }
    }

    /// Adds a value that a request brings.
    pub(crate) fn input(&mut self, place: &str, element: Type, shape: Vec<Dim>) -> Result<Fact, Refusal> {
        check_shape(place, &shape)?;
        let source = Source::Slot(self.slot(element, shape.clone())?);
        Ok(Fact {
            element,
            shape,
            source,
            extents: None,
            labels: None,
            classes: None,
            is_stack: false,
        })
    }

    /// Makes room for a value. What it takes is bounded before anybody makes anything of its width; all of them together are
    /// once it is known which are used.
    fn slot(&mut self, element: Type, shape: Vec<Dim>) -> Result<usize, Refusal> {
        let bytes = element.width() * count(&shape, 1);
        Limits::check("bytes of values for one row", bytes, self.limits.row_bytes_max)?;
        self.slots.push(Slot { element, shape });
        Ok(self.slots.len() - 1)
    }

    /// Adds a value of the model.
    pub(crate) fn constant(&mut self, shape: &[usize], elements: Buffer) -> Result<Fact, Refusal> {
        debug_assert_eq!(
            shape.iter().product::<usize>(),
            elements.len(),
            "a constant fills its shape"
        );
        self.constant_elements += elements.len();
        Limits::check("constants", self.constant_elements, self.limits.constants_max)?;
        let shape: Vec<Dim> = shape.iter().map(|dim| Dim::Fixed(*dim)).collect();
        check_shape("a constant", &shape)?;
        let element = elements.element();
        self.constants.push(elements);
        Ok(Fact {
            element,
            shape,
            source: Source::Constant(self.constants.len() - 1),
            extents: None,
            labels: None,
            classes: None,
            is_stack: false,
        })
    }

    /// Adds labels among which scores decide.
    pub(crate) fn classes(&mut self, labels: Buffer, scores: Source) -> Result<Classes, Refusal> {
        self.constant_elements += labels.len();
        Limits::check("constants", self.constant_elements, self.limits.constants_max)?;
        Ok(Classes {
            labels: Arc::new(labels),
            scores,
        })
    }

    /// Adds the places of scores as their labels, where there are few enough.
    pub(crate) fn places(&mut self, count: usize, scores: Source) -> Result<Option<Classes>, Refusal> {
        if count > PLACES_MAX {
            return Ok(None);
        }
        let places = (0..).take(count).collect();
        self.classes(Buffer::I64(places), scores).map(Some)
    }

    /// Returns the elements of a value that does not depend on a request.
    pub(crate) fn known<T: Element>(&self, fact: &Fact) -> Option<&[T]> {
        match fact.source {
            Source::Constant(constant) if fact.element == T::TYPE => Some(T::of(&self.constants[constant])),
            _ => None,
        }
    }

    /// Returns a value's whole numbers as extents: of a constant, or of another value's shape.
    pub(crate) fn extents(&self, fact: &Fact) -> Option<Vec<Dim>> {
        if let Some(extents) = &fact.extents {
            return Some(extents.clone());
        }
        let known = self.known::<i64>(fact)?;
        known
            .iter()
            .map(|value| usize::try_from(*value).ok().map(Dim::Fixed))
            .collect()
    }

    /// Adds whole numbers that are extents of a value: a constant where they do not depend on the rows.
    pub(crate) fn extents_value(
        &mut self,
        place: &str,
        shape: &[usize],
        extents: Vec<Dim>,
    ) -> Result<Fact, Refusal> {
        let fixed: Option<Vec<i64>> = extents
            .iter()
            .map(|dim| dim.fixed().and_then(|value| i64::try_from(value).ok()))
            .collect();
        if let Some(fixed) = fixed {
            return self.constant(shape, Buffer::I64(fixed));
        }
        let dims = shape.iter().map(|dim| Dim::Fixed(*dim)).collect();
        let kernel = Extents {
            extents: extents.clone(),
        };
        let mut fact = self.emit(place, kernel, Type::I64, dims, &[])?;
        fact.extents = Some(extents);
        Ok(fact)
    }

    /// Adds a step with one result; see [`Self::emit_all`].
    pub(crate) fn emit(
        &mut self,
        place: &str,
        kernel: impl Kernel + 'static,
        element: Type,
        shape: Vec<Dim>,
        reads: &[&Fact],
    ) -> Result<Fact, Refusal> {
        let mut facts = self.emit_all(place, Box::new(kernel), vec![(element, shape)], reads)?;
        Ok(facts.remove(0))
    }

    /// Adds a step that reads `reads` and gives values of these types and shapes, or runs it at once where it reads
    /// nothing of a request.
    pub(crate) fn emit_all(
        &mut self,
        place: &str,
        kernel: Box<dyn Kernel>,
        results: Vec<(Type, Vec<Dim>)>,
        reads: &[&Fact],
    ) -> Result<Vec<Fact>, Refusal> {
        for (_, shape) in &results {
            check_shape(place, shape)?;
        }
        let is_fixed = results
            .iter()
            .all(|(_, shape)| shape.iter().all(|dim| !dim.is_rows()));
        let is_constant = reads
            .iter()
            .all(|fact| matches!(fact.source, Source::Constant(_)));
        if is_fixed && is_constant {
            return self.fold(kernel.as_ref(), &results);
        }
        let writes: Vec<usize> = results
            .iter()
            .map(|(element, shape)| self.slot(*element, shape.clone()))
            .collect::<Result<_, _>>()?;
        self.steps.push(Step {
            kernel,
            reads: reads.iter().map(|fact| fact.source).collect(),
            writes: writes.clone(),
        });
        let facts = results.into_iter().zip(writes);
        Ok(facts
            .map(|((element, shape), slot)| Fact {
                element,
                shape,
                source: Source::Slot(slot),
                extents: None,
                labels: None,
                classes: None,
                is_stack: false,
            })
            .collect())
    }

    fn fold(&mut self, kernel: &dyn Kernel, results: &[(Type, Vec<Dim>)]) -> Result<Vec<Fact>, Refusal> {
        let mut out = Vec::with_capacity(results.len());
        for (element, shape) in results {
            let elements = count(shape, 0);
            Limits::check(
                "constants",
                self.constant_elements + elements,
                self.limits.constants_max,
            )?;
            let mut buffer = Buffer::empty(*element);
            buffer.resize(elements);
            out.push(buffer);
        }
        let refused = Cell::new(None);
        let values = Values {
            slots: &[],
            constants: &self.constants,
            rows: 0,
            refused: &refused,
        };
        kernel.run(&values, &mut out);
        if refused.get().is_some() {
            return Err(Refusal::inconsistent(
                kernel.place().unwrap_or_default(),
                "knows no such category as the constant has",
            ));
        }
        let shapes = results
            .iter()
            .map(|(_, shape)| shape.iter().map(|dim| dim.at(0)).collect::<Vec<_>>());
        shapes
            .zip(out)
            .map(|(shape, elements)| self.constant(&shape, elements))
            .collect()
    }

    /// Returns the value of a name.
    pub(crate) fn fact(&self, place: &str, name: &str) -> Result<Fact, Refusal> {
        self.facts.get(name).cloned().ok_or_else(|| {
            let problem = format!("takes {name:?}, which nothing before it gives");
            Refusal::inconsistent(place, problem)
        })
    }

    /// Gives a value its name, which nothing else may have.
    pub(crate) fn name(&mut self, place: &str, name: &'a str, fact: Fact) -> Result<(), Refusal> {
        if self.facts.insert(name, fact).is_some() {
            return Err(Refusal::inconsistent(
                place,
                format!("gives {name:?}, which something else gives too"),
            ));
        }
        Ok(())
    }

    /// Drops the steps whose results nobody reads; `wanted` are the slots of the outputs.
    pub(crate) fn drop_unused(&mut self, wanted: &[Source]) {
        let mut is_read = vec![false; self.slots.len()];
        let mark = |is_read: &mut Vec<bool>, source: &Source| {
            if let Source::Slot(slot) = source {
                is_read[*slot] = true;
            }
        };
        for source in wanted {
            mark(&mut is_read, source);
        }
        let mut kept = Vec::with_capacity(self.steps.len());
        for step in self.steps.drain(..).rev() {
            if step.writes.iter().any(|slot| is_read[*slot]) {
                for source in &step.reads {
                    mark(&mut is_read, source);
                }
                kept.push(step);
            }
        }
        kept.reverse();
        self.steps = kept;
    }
}

/// Refuses a shape whose rows stand in two axes: it would mix rows, and answers would depend on what is asked together.
pub(crate) fn check_shape(place: &str, shape: &[Dim]) -> Result<(), Refusal> {
    if shape.iter().filter(|dim| dim.is_rows()).count() > 1 {
        let found = format!("gives {}, which mixes rows", written(shape));
        return Err(Refusal::unsupported(
            place,
            found,
            "operators that work row by row",
        ));
    }
    if shape.len() > RANK_MAX {
        let found = format!("gives {} axes", shape.len());
        return Err(Refusal::unsupported(place, found, format!("at most {RANK_MAX}")));
    }
    // Empty axes count as one here: any part of a shape can then be multiplied out.
    let elements = shape
        .iter()
        .try_fold(1_usize, |total, dim| total.checked_mul(dim.at(1).max(1)));
    match elements {
        Some(elements) if elements <= 1 << 32 => Ok(()),
        _ => Err(Refusal::inconsistent(place, format!("gives {}", written(shape)))),
    }
}

/// Whole numbers that are a value's extents.
#[derive(Debug)]
struct Extents {
    extents: Vec<Dim>,
}

impl Kernel for Extents {
    fn run(&self, values: &Values<'_>, out: &mut [Buffer]) {
        for (out, dim) in i64::of_mut(&mut out[0]).iter_mut().zip(&self.extents) {
            *out = i64::try_from(dim.at(values.rows)).unwrap_or(i64::MAX);
        }
    }
}
