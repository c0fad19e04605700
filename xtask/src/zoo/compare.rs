//! Whether the engine answers as the reference does.

use engine::{Buffer, Label, Limits, Program, Scratch, Type};

use super::case::{Case, Tensor, Values};

/// What came of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Equal,
    /// Equal but for rows in which the reference itself can hardly tell the two best scores apart, or has rounded
    /// otherwise what loses digits: how many.
    Tie(usize),
    /// Nobody else answers it.
    NoReference(String),
    /// The engine does not take it.
    Refused(String),
    /// The engine answers something else.
    Differs(String),
}

impl Verdict {
    pub(crate) const NAMES: [&'static str; 5] = ["equal", "tie", "no reference", "refused", "differs"];
    /// The column of what must not be.
    pub(crate) const DIFFERS: usize = 4;

    pub(crate) const fn column(&self) -> usize {
        match self {
            Self::Equal => 0,
            Self::Tie(_) => 1,
            Self::NoReference(_) => 2,
            Self::Refused(_) => 3,
            Self::Differs(_) => Self::DIFFERS,
        }
    }

    /// Returns what is to be said of it beside its name.
    pub(crate) fn said(&self) -> Option<String> {
        let name = Self::NAMES[self.column()];
        match self {
            Self::Equal => None,
            Self::Tie(rows) => Some(format!("{name} in {rows} rows")),
            Self::NoReference(why) | Self::Refused(why) | Self::Differs(why) => {
                Some(format!("{name}: {why}"))
            }
        }
    }
}

/// Reads a model, asks it, and compares.
pub(crate) fn compare(case: &Case) -> anyhow::Result<Verdict> {
    let program = match Program::read(&case.model, &Limits::default()) {
        Ok(program) => program,
        Err(refusal) => {
            let too = case
                .refused
                .as_ref()
                .map(|why| format!(" (onnxruntime too: {why})"));
            return Ok(Verdict::Refused(format!("{refusal}{}", too.unwrap_or_default())));
        }
    };
    let mut inputs = Vec::new();
    for tensor in program.inputs() {
        let given = case.inputs.iter().find(|given| given.name == tensor.name);
        let buffer = given.and_then(|given| given.values.buffer(tensor.element, &program));
        let Some(buffer) = buffer.filter(|buffer| buffer.len() == tensor.width() * case.rows) else {
            anyhow::bail!("{}: nothing fits input {:?}", case.name, tensor.name);
        };
        inputs.push(buffer);
    }
    let outputs = match program.run(&mut Scratch::default(), &inputs, case.rows) {
        Ok(outputs) => outputs,
        Err(refused) => return Ok(Verdict::Refused(refused.to_string())),
    };
    if let Err(problem) = alone(&program, case, &inputs, &outputs) {
        return Ok(Verdict::Differs(problem));
    }
    if case.outputs.is_empty() {
        return Ok(Verdict::NoReference(case.refused.clone().unwrap_or_default()));
    }
    let mut ties = 0;
    for ((tensor, buffer), wanted) in program.outputs().iter().zip(&outputs).zip(&case.outputs) {
        if let Some(labels) = &wanted.labels {
            let found: Vec<String> = tensor.labels.iter().flatten().map(written).collect();
            if found != *labels {
                let problem = format!("{} has columns {found:?}, not {labels:?}", tensor.name);
                return Ok(Verdict::Differs(problem));
            }
        }
        match compare_output(case, &Values::of(buffer, &program), wanted, tensor.element) {
            Ok(rows) => ties += rows,
            Err(problem) => return Ok(Verdict::Differs(format!("{}: {problem}", wanted.name))),
        }
    }
    Ok(if ties == 0 {
        Verdict::Equal
    } else {
        Verdict::Tie(ties)
    })
}

fn written(label: &Label) -> String {
    match label {
        Label::Number(number) => number.to_string(),
        Label::Text(text) => text.clone(),
    }
}

/// Checks that a row has the answer alone that it has among others, and that no rows have none.
fn alone(program: &Program, case: &Case, inputs: &[Buffer], outputs: &[Buffer]) -> Result<(), String> {
    let mut scratch = Scratch::default();
    let bits = |values: Values| match values {
        Values::Floats(floats) => floats.iter().map(|x| x.to_bits().to_string()).collect(),
        Values::Whole(whole) => whole.iter().map(i64::to_string).collect(),
        Values::Texts(texts) => texts,
    };
    let part = |buffer: &Buffer, rows: std::ops::Range<usize>| -> Vec<String> {
        let all: Vec<String> = bits(Values::of(buffer, program));
        let width = all.len() / case.rows;
        all[rows.start * width..rows.end * width].to_vec()
    };
    for rows in [
        0..0,
        0..1,
        case.rows / 2..case.rows / 2 + 1,
        case.rows - 1..case.rows,
    ] {
        let given: Vec<Buffer> = inputs
            .iter()
            .map(|buffer| cut(buffer, rows.clone(), case.rows))
            .collect();
        let answers = program
            .run(&mut scratch, &given, rows.len())
            .map_err(|refused| format!("alone {refused}"))?;
        for ((tensor, answer), among) in program.outputs().iter().zip(&answers).zip(outputs) {
            if bits(Values::of(answer, program)) != part(among, rows.clone()) {
                return Err(format!(
                    "{}: rows {rows:?} are answered otherwise alone",
                    tensor.name
                ));
            }
        }
    }
    Ok(())
}

/// Returns some rows of a buffer.
fn cut(buffer: &Buffer, rows: std::ops::Range<usize>, all: usize) -> Buffer {
    let width = buffer.len() / all;
    let range = rows.start * width..rows.end * width;
    match buffer {
        Buffer::F32(values) => Buffer::F32(values[range].to_vec()),
        Buffer::F64(values) => Buffer::F64(values[range].to_vec()),
        Buffer::I64(values) => Buffer::I64(values[range].to_vec()),
        Buffer::I32(values) => Buffer::I32(values[range].to_vec()),
        Buffer::Bool(values) => Buffer::Bool(values[range].to_vec()),
        Buffer::Text(values) => Buffer::Text(values[range].to_vec()),
    }
}

/// Compares one output; returns how many rows have another label where the scores tie.
fn compare_output(case: &Case, own: &Values, wanted: &Tensor, element: Type) -> Result<usize, String> {
    if own.len() != wanted.values.len() {
        let (found, expected) = (own.len(), wanted.values.len());
        return Err(format!("has {found} entries, not {expected}"));
    }
    // A library answers the random rows alone.
    match (own, &wanted.values) {
        (Values::Floats(own), Values::Floats(reference)) => {
            compare_floats(case, own, reference, tolerance(case, element)).map(|()| 0)
        }
        (Values::Whole(own), Values::Whole(reference)) => labels(case, own, reference),
        (Values::Texts(own), Values::Texts(reference)) => labels(case, own, reference),
        _ => Err(format!("is no {}", wanted.element)),
    }
}

fn tolerance(case: &Case, element: Type) -> f64 {
    let is_double = element == Type::F64 && !case.computes_singles;
    if is_double { 1e-12 } else { 1e-5 }
}

/// Returns the largest finite number there is, without its sign.
fn most(numbers: &[f64]) -> f64 {
    let finite = numbers.iter().map(|x| x.abs()).filter(|x| x.is_finite());
    finite.fold(0.0, f64::max)
}

/// Random rows are held against the largest number among them; an edge also against its own, which may be larger by far.
fn compare_floats(case: &Case, own: &[f64], reference: &[f64], tolerance: f64) -> Result<(), String> {
    let width = (reference.len() / case.rows).max(1);
    let usual = most(&reference[..case.random_rows * width]);
    let rows = own.chunks(width).zip(reference.chunks(width));
    for (row, (own, reference)) in rows.enumerate() {
        let is_random = row < case.random_rows;
        let scale = if is_random {
            usual
        } else {
            usual.max(most(reference))
        };
        let is_near = |a: f64, b: f64| {
            let apart = (a - b).abs();
            a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) || apart <= tolerance * scale
        };
        let all_near = |others: &[f64]| own.iter().zip(others).all(|(a, b)| is_near(*a, *b));
        if all_near(reference) {
            continue;
        }
        let kind = if is_random { "random" } else { "edge" };
        return Err(format!(
            "{kind} row {row} is {own:?}, not {reference:?}; the largest is {scale:e}"
        ));
    }
    Ok(())
}

/// Counts the rows whose label differs and whose scores tie.
fn labels<T: PartialEq + std::fmt::Debug>(case: &Case, own: &[T], reference: &[T]) -> Result<usize, String> {
    let mut ties = 0;
    for (row, (a, b)) in own.iter().zip(reference).enumerate().filter(|(_, (a, b))| a != b) {
        if !is_tie(case, row) {
            let kind = if row < case.random_rows { "random" } else { "edge" };
            return Err(format!("{kind} row {row} is {a:?}, not {b:?}"));
        }
        ties += 1;
    }
    Ok(ties)
}

/// Says whether the reference's two best scores of a row are as near as rounding brings them.
fn is_tie(case: &Case, row: usize) -> bool {
    let scores = case.outputs.iter().find_map(|tensor| match &tensor.values {
        Values::Floats(scores) if scores.len() >= 2 * case.rows => Some((scores, &tensor.element)),
        _ => None,
    });
    let Some((scores, element)) = scores else {
        return false;
    };
    let width = scores.len() / case.rows;
    let mut own = scores[row * width..(row + 1) * width].to_vec();
    own.sort_unstable_by(f64::total_cmp);
    let (best, second) = (own[width - 1], own[width - 2]);
    let element = if element == "FP64" { Type::F64 } else { Type::F32 };
    best.to_bits() == second.to_bits()
        || (best - second).abs() <= tolerance(case, element) * most(scores).max(most(&own))
}
