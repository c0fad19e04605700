//! A node as its operator reads it: inputs and attributes are asked for by name, and what nobody asked for is refused.

use crate::build::{Builder, Classes, Fact, check_shape};
use crate::onnx::{self, Attribute};
use crate::refusal::Refusal;
use crate::types::{Buffer, Dim, Element, Kernel, Symbol, Type, written};

/// A node that is being read into a program.
pub(crate) struct Node<'a, 'b> {
    /// Names it in errors.
    pub(crate) place: String,
    /// The version of its operator set.
    pub(crate) version: i64,
    pub(crate) build: &'b mut Builder<'a>,
    pub(crate) raw: &'b onnx::Node<'a>,
    asked: Vec<&'static str>,
    results: Vec<Fact>,
}

impl<'a, 'b> Node<'a, 'b> {
    pub(crate) fn new(build: &'b mut Builder<'a>, raw: &'b onnx::Node<'a>, version: i64) -> Self {
        Self {
            place: raw.place(),
            version,
            build,
            raw,
            asked: Vec::new(),
            results: Vec::new(),
        }
    }

    /// Returns how many inputs it has.
    pub(crate) fn input_count(&self) -> usize {
        self.raw.inputs.len()
    }

    /// Returns an input that the operator cannot do without.
    pub(crate) fn input(&self, index: usize) -> Result<Fact, Refusal> {
        self.optional_input(index)?
            .ok_or_else(|| self.inconsistent(format!("lacks its input {index}")))
    }

    /// Returns an input that may be left out.
    pub(crate) fn optional_input(&self, index: usize) -> Result<Option<Fact>, Refusal> {
        match self.raw.inputs.get(index) {
            None | Some(&"") => Ok(None),
            Some(name) => {
                let fact = self.build.fact(&self.place, name)?;
                if fact.is_stack {
                    let found = format!(
                        "takes {}, in which rows stand one after another",
                        written(&fact.shape)
                    );
                    return Err(self.unsupported(found, "Reshape alone"));
                }
                Ok(Some(fact))
            }
        }
    }

    /// Returns the first input, which may be a stack of values.
    pub(crate) fn stack(&self) -> Result<Fact, Refusal> {
        match self.raw.inputs.first() {
            Some(name) if !name.is_empty() => self.build.fact(&self.place, name),
            _ => self.input(0),
        }
    }

    /// Returns all inputs.
    pub(crate) fn inputs(&self) -> Result<Vec<Fact>, Refusal> {
        (0..self.input_count()).map(|index| self.input(index)).collect()
    }

    /// Refuses more inputs than an operator has.
    pub(crate) fn at_most(&self, inputs: usize) -> Result<(), Refusal> {
        if self.input_count() > inputs {
            return Err(self.inconsistent(format!("has {} inputs, not {inputs}", self.input_count())));
        }
        Ok(())
    }

    fn attribute(&mut self, name: &'static str) -> Option<Attribute<'a>> {
        self.asked.push(name);
        self.raw
            .attributes
            .iter()
            .find(|attribute| attribute.name == name)
            .copied()
    }

    /// Says whether an attribute is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.raw.attributes.iter().any(|attribute| attribute.name == name)
    }

    /// Returns a whole number, or what stands where it is left out.
    pub(crate) fn int(&mut self, name: &'static str, default: i64) -> Result<i64, Refusal> {
        self.attribute(name)
            .map_or(Ok(default), |attribute| attribute.int())
    }

    /// Returns a switch: a whole number of 0 or 1.
    pub(crate) fn flag(&mut self, name: &'static str, default: bool) -> Result<bool, Refusal> {
        Ok(self.int(name, i64::from(default))? != 0)
    }

    /// Returns a float, or what stands where it is left out.
    pub(crate) fn float(&mut self, name: &'static str, default: f32) -> Result<f32, Refusal> {
        self.attribute(name)
            .map_or(Ok(default), |attribute| attribute.float())
    }

    /// Returns a text of ASCII, or what stands where it is left out.
    pub(crate) fn text(&mut self, name: &'static str, default: &'static str) -> Result<String, Refusal> {
        let Some(attribute) = self.attribute(name) else {
            return Ok(default.to_owned());
        };
        Ok(String::from_utf8_lossy(attribute.bytes()?).into_owned())
    }

    /// Returns the bytes of a text.
    pub(crate) fn bytes(&mut self, name: &'static str) -> Result<Option<&'a [u8]>, Refusal> {
        self.attribute(name)
            .map(|attribute| attribute.bytes())
            .transpose()
    }

    /// Returns whole numbers; none where they are left out.
    pub(crate) fn ints(&mut self, name: &'static str) -> Result<Vec<i64>, Refusal> {
        self.attribute(name)
            .map_or(Ok(Vec::new()), |attribute| attribute.ints())
    }

    /// Returns floats; none where they are left out.
    pub(crate) fn floats(&mut self, name: &'static str) -> Result<Vec<f32>, Refusal> {
        self.attribute(name)
            .map_or(Ok(Vec::new()), |attribute| attribute.floats())
    }

    /// Returns texts; none where they are left out.
    pub(crate) fn texts(&mut self, name: &'static str) -> Result<Vec<&'a [u8]>, Refusal> {
        self.attribute(name)
            .map_or(Ok(Vec::new()), |attribute| attribute.texts())
    }

    /// Returns the symbols of texts of the model.
    pub(crate) fn symbols(&mut self, texts: &[&[u8]]) -> Result<Vec<Symbol>, Refusal> {
        texts.iter().map(|text| self.symbol(text)).collect()
    }

    pub(crate) fn symbol(&mut self, text: &[u8]) -> Result<Symbol, Refusal> {
        self.build.symbols.add(text, self.build.limits)
    }

    /// Returns the shape and elements of a tensor.
    pub(crate) fn tensor(&mut self, name: &'static str) -> Result<Option<(Vec<usize>, Buffer)>, Refusal> {
        let Some(tensor) = self
            .attribute(name)
            .map(|attribute| attribute.tensor())
            .transpose()?
            .flatten()
        else {
            return Ok(None);
        };
        let limits = self.build.limits;
        tensor.values(&mut self.build.symbols, limits).map(Some)
    }

    /// Returns the body of a loop.
    pub(crate) fn graph(&mut self, name: &'static str) -> Result<onnx::Graph<'a>, Refusal> {
        let limits = self.build.limits;
        let graph = self
            .attribute(name)
            .map(|attribute| attribute.graph(limits))
            .transpose()?
            .flatten();
        graph.ok_or_else(|| self.inconsistent(format!("lacks its {name}")))
    }

    /// Reads attributes that change nothing.
    pub(crate) fn ignore(&mut self, names: &[&'static str]) {
        self.asked.extend(names);
    }

    /// Returns the place of one of its attributes, for errors.
    pub(crate) fn attribute_place(&self, name: &str) -> String {
        format!("attribute {name:?} of {}", self.place)
    }

    pub(crate) fn inconsistent(&self, problem: impl Into<String>) -> Refusal {
        Refusal::inconsistent(self.place.clone(), problem)
    }

    pub(crate) fn unsupported(&self, found: impl Into<String>, supported: impl Into<String>) -> Refusal {
        Refusal::unsupported(self.place.clone(), found, supported)
    }

    /// Refuses an input of another type.
    pub(crate) fn wrong_type(&self, found: Type, supported: &str) -> Refusal {
        self.unsupported(format!("takes {found}"), supported)
    }

    /// Refuses an input of another shape.
    pub(crate) fn wrong_shape(&self, found: &[Dim], supported: &str) -> Refusal {
        self.unsupported(format!("takes {}", written(found)), supported)
    }

    /// Returns a whole axis number for a rank; negative ones count from the end.
    pub(crate) fn axis(&self, axis: i64, rank: usize) -> Result<usize, Refusal> {
        let signed = i64::try_from(rank).unwrap_or(i64::MAX);
        let from_start = if axis < 0 { axis + signed } else { axis };
        match usize::try_from(from_start) {
            Ok(found) if found < rank => Ok(found),
            _ => Err(self.inconsistent(format!("has axis {axis}, and its input has {rank} axes"))),
        }
    }

    /// Refuses an operation along the rows.
    pub(crate) fn not_rows(&self, fact: &Fact, axis: usize) -> Result<usize, Refusal> {
        fact.shape[axis].fixed().ok_or_else(|| {
            self.unsupported(
                format!(
                    "works along axis {axis} of {}, which mixes rows",
                    written(&fact.shape)
                ),
                "operators that work row by row",
            )
        })
    }

    /// Returns the elements of an input that must be part of the model.
    pub(crate) fn known<T: Element>(&self, fact: &Fact, what: &str) -> Result<Vec<T>, Refusal> {
        let known = self.build.known::<T>(fact).map(<[T]>::to_vec);
        known.ok_or_else(|| self.unsupported(format!("takes {what} from a request"), "a constant"))
    }

    /// Returns the whole numbers of an input, or of the attribute that an older version has in its place.
    pub(crate) fn ints_or_input(
        &mut self,
        name: &'static str,
        index: usize,
    ) -> Result<Option<Vec<i64>>, Refusal> {
        if self.has(name) {
            return self.ints(name).map(Some);
        }
        match self.optional_input(index)? {
            Some(fact) => self.known::<i64>(&fact, name).map(Some),
            None => Ok(None),
        }
    }

    /// Adds a step, whose result is this node's next.
    pub(crate) fn emit(
        &mut self,
        kernel: impl Kernel + 'static,
        element: Type,
        shape: Vec<Dim>,
        reads: &[&Fact],
    ) -> Result<(), Refusal> {
        let fact = self.build.emit(&self.place, kernel, element, shape, reads)?;
        self.results.push(fact);
        Ok(())
    }

    /// Adds a step with many results.
    pub(crate) fn emit_all(
        &mut self,
        kernel: impl Kernel + 'static,
        results: Vec<(Type, Vec<Dim>)>,
        reads: &[&Fact],
    ) -> Result<(), Refusal> {
        let facts = self
            .build
            .emit_all(&self.place, Box::new(kernel), results, reads)?;
        self.results.extend(facts);
        Ok(())
    }

    /// Adds the step of a classifier: its first result is a label for each row, its second the scores of all labels.
    pub(crate) fn emit_classes(
        &mut self,
        kernel: impl Kernel + 'static,
        labels: Buffer,
        results: Vec<(Type, Vec<Dim>)>,
        reads: &[&Fact],
    ) -> Result<(), Refusal> {
        let mut facts = self
            .build
            .emit_all(&self.place, Box::new(kernel), results, reads)?;
        if let [label, scores, ..] = facts.as_mut_slice() {
            let classes = self.build.classes(labels, scores.source)?;
            if scores.shape.last() == Some(&Dim::Fixed(classes.labels.len())) {
                scores.labels = Some(classes.labels.clone());
            }
            label.classes = Some(classes);
        }
        self.results.extend(facts);
        Ok(())
    }

    /// Says what the entries of the last result are chosen from.
    pub(crate) fn choose(&mut self, classes: Option<Classes>) {
        if let Some(result) = self.results.last_mut() {
            result.classes = classes;
        }
    }

    /// Adds a result that is already there.
    pub(crate) fn give(&mut self, fact: Fact) {
        self.results.push(fact);
    }

    /// Adds a value with another shape as a result: the elements stay where they are.
    pub(crate) fn reshape(&mut self, fact: Fact, shape: Vec<Dim>) -> Result<(), Refusal> {
        check_shape(&self.place, &shape)?;
        self.results.push(Fact {
            shape,
            labels: None,
            is_stack: false,
            ..fact
        });
        Ok(())
    }

    /// Names the results, and refuses attributes that the operator has not asked for.
    pub(crate) fn finish(self) -> Result<(), Refusal> {
        let unknown = self
            .raw
            .attributes
            .iter()
            .find(|attribute| !self.asked.contains(&attribute.name));
        if let Some(attribute) = unknown {
            let place = self.attribute_place(attribute.name);
            return Err(Refusal::unsupported(place, "is not known", self.asked.join(", ")));
        }
        let wanted: Vec<&'a str> = self.raw.outputs.clone();
        for (index, name) in wanted.into_iter().enumerate() {
            if name.is_empty() {
                continue;
            }
            let Some(fact) = self.results.get(index).cloned() else {
                return Err(self.unsupported(
                    format!("gives {name:?} as output {index}"),
                    format!("{} outputs", self.results.len()),
                ));
            };
            self.build.name(&self.place, name, fact)?;
        }
        Ok(())
    }
}
