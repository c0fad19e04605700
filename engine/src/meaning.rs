//! What inputs and outputs mean beyond their types: whose label a column is, and where a value may be missing.

use std::collections::HashMap;
use std::sync::Arc;

use crate::build::{Builder, Classes, Fact};
use crate::program::{Label, Tensor};
use crate::types::{Buffer, Dim, Missing, Source, Symbols, Type};

/// The most outputs of labels that are looked at, and the most ways from inputs: what is beyond them stays unnamed.
const FOLLOWED_MAX: usize = 1 << 10;

/// Names the columns of scores and the classes of labels.
///
/// Where the graph gives labels that scores decide, an output of as many columns that is these scores or is computed from
/// them has their labels too.
pub(crate) fn name_labels(outputs: &mut [Tensor], facts: &[Fact], build: &Builder<'_>) {
    let chosen = facts.iter().filter(|fact| {
        let classes = fact.classes.as_ref();
        classes.is_some_and(|classes| classes.labels.element() == fact.element && is_label(fact.element))
    });
    let chosen: Vec<&Classes> = chosen
        .filter_map(|fact| fact.classes.as_ref())
        .take(FOLLOWED_MAX)
        .collect();
    let sources: Vec<Source> = chosen.iter().map(|classes| classes.scores).collect();
    let mut columns: Vec<Columns> = facts.iter().map(Columns::new).collect();
    for (classes, sources) in chosen.chunks(64).zip(sources.chunks(64)) {
        let reached = follow(build, sources);
        for (columns, fact) in columns.iter_mut().zip(facts) {
            let bits = reached.of(fact.source);
            let reached = classes.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
            for (_, classes) in reached {
                columns.propose(fact, &classes.labels);
            }
        }
    }
    for ((output, fact), columns) in outputs.iter_mut().zip(facts).zip(columns) {
        output.labels = columns
            .labels()
            .and_then(|labels| written(labels, &build.symbols));
        let classes = fact.classes.as_ref();
        let classes = classes.filter(|classes| classes.labels.element() == fact.element);
        output.classes = classes.and_then(|classes| written(&classes.labels, &build.symbols));
    }
}

const fn is_label(element: Type) -> bool {
    matches!(element, Type::I64 | Type::Text)
}

/// What an output's columns may be named after.
enum Columns {
    /// The graph says it.
    Named(Arc<Buffer>),
    /// What all classifiers say that it comes from.
    Proposed(Arc<Buffer>),
    None,
    /// They say different things.
    Disputed,
}

impl Columns {
    fn new(fact: &Fact) -> Self {
        fact.labels.clone().map_or(Self::None, Self::Named)
    }

    fn propose(&mut self, fact: &Fact, labels: &Arc<Buffer>) {
        let is_scores = matches!(fact.element, Type::F32 | Type::F64)
            && matches!(fact.shape.as_slice(), [_, Dim::Fixed(columns)] if *columns == labels.len());
        match self {
            Self::None if is_scores => *self = Self::Proposed(labels.clone()),
            Self::Proposed(known) if is_scores && *known != *labels => *self = Self::Disputed,
            _ => {}
        }
    }

    fn labels(&self) -> Option<&Buffer> {
        match self {
            Self::Named(labels) | Self::Proposed(labels) => Some(labels),
            Self::None | Self::Disputed => None,
        }
    }
}

fn written(labels: &Buffer, symbols: &Symbols) -> Option<Vec<Label>> {
    match labels {
        Buffer::I64(numbers) => Some(numbers.iter().map(|number| Label::Number(*number)).collect()),
        Buffer::Text(texts) => {
            let texts = texts
                .iter()
                .map(|symbol| symbols.text(*symbol).unwrap_or_default());
            Some(
                texts
                    .map(|text| Label::Text(String::from_utf8_lossy(text).into_owned()))
                    .collect(),
            )
        }
        _ => None,
    }
}

/// Finds the inputs in which a missing value means something: on the way from the whole of it, or from a part that a step
/// cuts out, to whatever is answered, each NaN meets a step that knows what to do with it.
pub(crate) fn find_missing(inputs: &mut [Tensor], results: &[Source], build: &Builder<'_>) {
    let is_float = |tensor: &Tensor| matches!(tensor.element, Type::F32 | Type::F64);
    let floats = (0..inputs.len()).filter(|slot| is_float(&inputs[*slot]));
    let mut ways: Vec<(usize, Way)> = floats.map(|slot| (slot, Way::Whole)).collect();
    for (at, step) in build.steps.iter().enumerate() {
        for source in &step.reads {
            if let Source::Slot(slot) = source
                && *slot < inputs.len()
                && is_float(&inputs[*slot])
                && step.kernel.missing() == Missing::Parts
            {
                ways.push((*slot, Way::Part(at)));
            }
        }
    }
    ways.truncate(FOLLOWED_MAX);
    for ways in ways.chunks(64) {
        let (open, met) = spread(build, inputs.len(), ways);
        let answered = results.iter().fold(0, |bits, source| bits | open.of(*source));
        for (bit, (slot, _)) in ways.iter().enumerate() {
            inputs[*slot].takes_missing |= met >> bit & 1 == 1 && answered >> bit & 1 == 0;
        }
    }
}

/// Where a missing value sets out.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// In an input, to the steps that read all of it.
    Whole,
    /// In what a step cuts out of one.
    Part(usize),
}

/// Of each slot, which of up to 64 things have come to it.
struct Reached(Vec<u64>);

impl Reached {
    fn of(&self, source: Source) -> u64 {
        match source {
            Source::Slot(slot) => self.0[slot],
            Source::Constant(_) => 0,
        }
    }
}

/// Follows values to all that is computed from them.
fn follow(build: &Builder<'_>, sources: &[Source]) -> Reached {
    let mut reached = Reached(vec![0; build.slots.len()]);
    for (bit, source) in sources.iter().enumerate() {
        if let Source::Slot(slot) = source {
            reached.0[*slot] |= 1 << bit;
        }
    }
    for step in &build.steps {
        let bits = step
            .reads
            .iter()
            .fold(0, |bits, source| bits | reached.of(*source));
        for slot in &step.writes {
            reached.0[*slot] |= bits;
        }
    }
    reached
}

/// Follows missing values to where each ends; returns where they come, and which of them have met an end.
fn spread(build: &Builder<'_>, inputs: usize, ways: &[(usize, Way)]) -> (Reached, u64) {
    let mut reached = Reached(vec![0; build.slots.len()]);
    let mut parts: HashMap<usize, u64> = HashMap::new();
    for (bit, (slot, way)) in ways.iter().enumerate() {
        match way {
            Way::Whole => reached.0[*slot] |= 1 << bit,
            Way::Part(step) => *parts.entry(*step).or_default() |= 1 << bit,
        }
    }
    let mut met = 0;
    for (at, step) in build.steps.iter().enumerate() {
        let missing = step.kernel.missing();
        let is_cut = |source: &Source| {
            missing == Missing::Parts && matches!(source, Source::Slot(slot) if *slot < inputs)
        };
        let read = step.reads.iter().filter(|source| !is_cut(source));
        let part = parts.get(&at).copied().unwrap_or(0);
        let bits = read.fold(part, |bits, source| bits | reached.of(*source));
        match missing {
            Missing::Ends => met |= bits,
            Missing::Spreads | Missing::Parts => {
                step.writes.iter().for_each(|slot| reached.0[*slot] |= bits);
            }
        }
    }
    (reached, met)
}
